//! Executors on rayon thread pools, and the choice of an executor for a loop.

use ivf_core::Executor;
use ivf_core::executor::Inline;
use rayon::prelude::*;
use std::sync::{Arc, OnceLock};

/// Amount of work that one thread does in the time that a pool takes to wake its threads: about
/// 50 µs, at one operation for each multiply-add or byte of a code.
const SMALL: usize = 1 << 20;

/// Returns the executor of a loop of about `work` operations: multiply-adds, or bytes of codes that
/// are read.
///
/// This is the given executor, or [`RayonGlobal`] if there is none. A small loop runs on the
/// calling thread instead, unless the given executor is one that takes small loops too
/// ([`Executor::pays`]). So a small call starts no thread and waits for none, with default
/// parameters or with a [`RayonPool`].
///
/// ```
/// use ivf_core::executor::{Executor, Inline};
/// use ivf_cpu::{RayonPool, executor_for};
/// assert_eq!(executor_for(None, 1000).threads(), 1);
/// let pool = RayonPool::new(2)?;
/// assert_eq!(executor_for(Some(&pool), 1000).threads(), 1);
/// assert_eq!(executor_for(Some(&pool), 1 << 30).threads(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn executor_for(given: Option<&dyn Executor>, work: usize) -> &dyn Executor {
    let executor = given.unwrap_or(&RayonGlobal);
    if executor.pays(work) { executor } else { &Inline }
}

/// Rayon's global pool, the default executor of large loops.
///
/// A loop runs on the calling thread instead, if that thread belongs to a rayon pool already, if
/// the process was forked after the pool had started, or if the pool cannot be started. Otherwise
/// the loop could wait for ever: a thread of a pool that waits takes up other tasks of its pool,
/// and one of those may want a lock that the thread holds; the threads of a pool do not survive
/// `fork`.
#[derive(Clone, Copy, Debug, Default)]
pub struct RayonGlobal;

impl RayonGlobal {
    /// Returns true if the calling thread can hand tasks to the global pool. Starts the pool if
    /// necessary.
    fn is_usable() -> bool {
        /// The process in which the pool started, or `None` if it could not start.
        static STARTED: OnceLock<Option<u32>> = OnceLock::new();
        let start = || match rayon::ThreadPoolBuilder::new().build_global() {
            Ok(()) => Some(std::process::id()),
            // Only the system's refusal of a thread has a source. Any other error means that the
            // pool had been started before.
            Err(error) => std::error::Error::source(&error).is_none().then(std::process::id),
        };
        rayon::current_thread_index().is_none() && *STARTED.get_or_init(start) == Some(std::process::id())
    }
}

impl Executor for RayonGlobal {
    fn pays(&self, work: usize) -> bool {
        work >= SMALL
    }

    fn threads(&self) -> usize {
        if Self::is_usable() { rayon::current_num_threads() } else { 1 }
    }

    fn for_each(&self, n: usize, task: &(dyn Fn(usize) + Sync)) {
        if n <= 1 || self.threads() == 1 {
            return Inline.for_each(n, task);
        }
        spread(n, task);
    }
}

/// A rayon pool, either new or supplied by the caller.
///
/// A pool of one thread leaves all work to the calling thread. So does a pool that is called by one
/// of its own threads, or in a process that was forked after the pool had been passed in.
///
/// ```
/// use ivf_core::Executor;
/// use ivf_cpu::RayonPool;
/// use std::sync::Arc;
///
/// // A pool that the application already has, or one of two threads.
/// let pool = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(2).build()?);
/// let (shared, own) = (RayonPool::from(pool.clone()), RayonPool::new(2)?);
/// assert_eq!((shared.threads(), own.threads()), (2, 2));
///
/// // A pool that is called by one of its own threads does not wait for the others.
/// own.for_each(2, &|_| assert_eq!((own.threads(), shared.threads()), (1, 2)));
/// # Ok::<(), rayon::ThreadPoolBuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RayonPool {
    pool: Arc<rayon::ThreadPool>,
    /// The process whose threads these are.
    process: u32,
}

impl RayonPool {
    /// Starts a pool of `threads` threads, at least one. Rayon caps the number at some tens of
    /// thousands, and starting that many is slow.
    ///
    /// # Errors
    /// The error of rayon if the threads cannot be started.
    pub fn new(threads: usize) -> Result<Self, rayon::ThreadPoolBuildError> {
        Ok(rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build()?.into())
    }
}

impl From<rayon::ThreadPool> for RayonPool {
    fn from(pool: rayon::ThreadPool) -> Self {
        Arc::new(pool).into()
    }
}

impl From<Arc<rayon::ThreadPool>> for RayonPool {
    fn from(pool: Arc<rayon::ThreadPool>) -> Self {
        Self { pool, process: std::process::id() }
    }
}

impl Executor for RayonPool {
    fn pays(&self, work: usize) -> bool {
        work >= SMALL
    }

    fn threads(&self) -> usize {
        let is_usable = self.pool.current_thread_index().is_none() && self.process == std::process::id();
        if is_usable { self.pool.current_num_threads() } else { 1 }
    }

    fn for_each(&self, n: usize, task: &(dyn Fn(usize) + Sync)) {
        if n <= 1 || self.threads() == 1 {
            return Inline.for_each(n, task);
        }
        let run = || self.pool.install(|| spread(n, task));
        if rayon::current_thread_index().is_none() {
            return run();
        }
        // A thread of another pool would take up tasks of that pool while it waits (see
        // `RayonGlobal`). A thread of no pool waits in its place.
        std::thread::scope(|scope| match std::thread::Builder::new().spawn_scoped(scope, run) {
            Ok(waiting) => waiting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => Inline.for_each(n, task),
        });
    }
}

/// Runs the tasks on the current pool. They are long, so each one can be stolen separately.
fn spread(n: usize, task: &(dyn Fn(usize) + Sync)) {
    (0..n).into_par_iter().with_max_len(1).for_each(task);
}
