//! Executors on rayon thread pools.

use ivf_core::Executor;
use rayon::prelude::*;
use std::sync::Arc;

/// Rayon's global pool, the default executor of every call.
#[derive(Clone, Copy, Debug, Default)]
pub struct RayonGlobal;

impl Executor for RayonGlobal {
    fn threads(&self) -> usize {
        rayon::current_num_threads()
    }

    fn for_each(&self, n: usize, turn: &(dyn Fn(usize) + Sync)) {
        // Iterations are long: let rayon steal each one separately.
        (0..n).into_par_iter().with_max_len(1).for_each(turn);
    }
}

/// A rayon pool, either new or supplied by the caller.
///
/// ```
/// use ivf_core::Executor;
/// use ivf_cpu::{RayonPool, executor_or_global};
/// use std::sync::Arc;
///
/// // A pool that the application already has, or one of two threads.
/// let pool = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(2).build()?);
/// let (shared, own) = (RayonPool::from(pool.clone()), RayonPool::new(2)?);
/// assert_eq!((shared.threads(), own.threads()), (2, 2));
///
/// // A function that takes an executor from its caller runs on the global pool if it gets none.
/// assert_eq!(executor_or_global(Some(&own)).threads(), 2);
/// assert_eq!(executor_or_global(None).threads(), rayon::current_num_threads());
/// # Ok::<(), rayon::ThreadPoolBuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RayonPool(Arc<rayon::ThreadPool>);

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
        Self(Arc::new(pool))
    }
}

impl From<Arc<rayon::ThreadPool>> for RayonPool {
    fn from(pool: Arc<rayon::ThreadPool>) -> Self {
        Self(pool)
    }
}

impl Executor for RayonPool {
    fn threads(&self) -> usize {
        self.0.current_num_threads()
    }

    fn for_each(&self, n: usize, turn: &(dyn Fn(usize) + Sync)) {
        self.0.install(|| (0..n).into_par_iter().with_max_len(1).for_each(turn));
    }
}

/// Returns the given executor, or rayon's global pool if there is none.
pub fn executor_or_global(executor: Option<&dyn Executor>) -> &dyn Executor {
    executor.unwrap_or(&RayonGlobal)
}

pub(crate) use executor_or_global as or_global;
