//! One index for many readers and writers: searches go on while vectors come and go.

use ivf_core::Index;
use ivf_core::error::StoreError;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// An index that threads share: readers search a snapshot of it, writers change it one after the
/// other and publish the next snapshot.
///
/// A reader never waits for a writer, and a snapshot stays as it is for as long as somebody holds
/// it. Publishing costs what [`Index::clone_index`] does: lists in memory are shared, and an update
/// copies those that it writes to. One update with many vectors costs less than many updates with
/// few.
///
/// Neither [`load`](Self::load) nor a search of what it gives holds a lock, so tasks of a thread
/// pool may call both. An update holds one while it runs: do not call [`update`](Self::update) from
/// a task of the pool that the update itself runs on.
///
/// ```
/// use ivf_core::{Index, Metric, Rows, SearchParams};
/// use ivf_cpu::codec::FlatSpec;
/// use ivf_cpu::{CodesIndex, SharedIndex};
/// use std::sync::Arc;
/// let shared = SharedIndex::new(Box::new(CodesIndex::new(1, Metric::L2, Arc::new(FlatSpec))?))?;
/// let before = shared.load();
/// let rows = Rows::new(&[1.0_f32, 5.0], 1)?;
/// std::thread::scope(|threads| {
///     threads.spawn(|| shared.update(|index| index.add(rows)).expect("good vectors"));
/// });
/// assert_eq!((before.len(), shared.load().len()), (0, 2));
/// let found = shared.load().search(Rows::new(&[4.0_f32], 1)?, 1, &SearchParams::new())?;
/// assert_eq!(found.hits.row(0).ids[0].0, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SharedIndex {
    /// What readers get.
    published: RwLock<Arc<dyn Index>>,
    /// What writers change; nothing after a change that failed: the next one begins with what is
    /// published.
    working: Mutex<Option<Box<dyn Index>>>,
}

impl fmt::Debug for SharedIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedIndex").field("published", &self.load()).finish_non_exhaustive()
    }
}

impl SharedIndex {
    /// Shares an index.
    ///
    /// # Errors
    /// [`StoreError::NoSnapshot`] if its lists are in a store that cannot be copied.
    pub fn new(index: Box<dyn Index>) -> Result<Self, StoreError> {
        let published = index.clone_index()?.into();
        Ok(Self { published: RwLock::new(published), working: Mutex::new(Some(index)) })
    }

    /// The index as the last update left it.
    pub fn load(&self) -> Arc<dyn Index> {
        self.published.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the index, and publishes what came of it if `change` succeeds. After an error
    /// readers go on with what they had, and so does the next update: what `change` did before it
    /// failed is undone.
    ///
    /// # Errors
    /// What `change` says; a [`StoreError`] if there is no snapshot to publish.
    ///
    /// # Panics
    /// If `change` does. What it did before is undone by the next update.
    pub fn update<T, E: From<StoreError>>(&self, change: impl FnOnce(&mut dyn Index) -> Result<T, E>) -> Result<T, E> {
        let mut working = self.lock();
        // Taken out, so that it is gone if `change` fails or panics.
        let mut index = match working.take() {
            Some(index) => index,
            None => self.load().clone_index()?,
        };
        let done = change(&mut *index)?;
        let next = index.clone_index()?;
        *self.published.write().unwrap_or_else(PoisonError::into_inner) = next.into();
        *working = Some(index);
        Ok(done)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<dyn Index>>> {
        self.working.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
