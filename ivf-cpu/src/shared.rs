//! An index shared by many readers and writers: searches continue while vectors are added and
//! removed.

use ivf_core::Index;
use ivf_core::error::StoreError;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// An index that threads share. Readers search a snapshot; writers change the index one at a time,
/// and each publishes the next snapshot.
///
/// A reader never waits for a writer, and a snapshot never changes while it is held. Publishing
/// costs as much as [`Index::clone_index`]: snapshots share lists in memory, and an update copies
/// the lists that it writes to. One update with many vectors costs less than many updates with few.
///
/// A direct map, and the ids and table of an [`IdMap`](crate::IdMap), are shared and copied as a
/// whole: the first write after each publication copies them, in time that grows with the number of
/// vectors (tens to hundreds of milliseconds for a million). Collect the changes of such an index
/// in few updates.
///
/// Neither [`load`](Self::load) nor a search of the snapshot that it returns holds a lock, so tasks
/// of a thread pool may call both. An update holds a lock while it runs: do not call
/// [`update`](Self::update) from a task of the pool that the update itself runs on.
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
    /// The snapshot that readers load.
    published: RwLock<Arc<dyn Index>>,
    /// The index that writers change. `None` after a failed update: the next update starts from the
    /// published snapshot.
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

    /// Returns the snapshot that the last update published.
    pub fn load(&self) -> Arc<dyn Index> {
        self.published.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the index, and publishes the result if `change` succeeds. If `change` fails, its
    /// effects are undone: readers and the next update continue with the published snapshot.
    ///
    /// # Errors
    /// The error that `change` returns, or a [`StoreError`] if no snapshot can be made.
    ///
    /// # Panics
    /// If `change` panics. The next update discards its effects.
    pub fn update<T, E: From<StoreError>>(&self, change: impl FnOnce(&mut dyn Index) -> Result<T, E>) -> Result<T, E> {
        let mut working = self.lock();
        // Taken out, so that it is dropped if `change` fails or panics.
        let mut index = match working.take() {
            Some(index) => index,
            None => self.load().clone_index()?,
        };
        let done = change(&mut *index)?;
        let next = index.clone_index()?;
        let before =
            std::mem::replace(&mut *self.published.write().unwrap_or_else(PoisonError::into_inner), next.into());
        // The lock is free again: no reader waits until a snapshot that nobody holds is freed.
        drop(before);
        *working = Some(index);
        Ok(done)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<dyn Index>>> {
        self.working.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
