//! Rayon as an executor.

use ivf_core::Executor;
use rayon::prelude::*;
use std::sync::Arc;

/// Rayon's global pool: what every call runs on unless it names another executor.
#[derive(Clone, Copy, Debug, Default)]
pub struct RayonGlobal;

impl Executor for RayonGlobal {
    fn threads(&self) -> usize {
        rayon::current_num_threads()
    }

    fn for_each(&self, n: usize, turn: &(dyn Fn(usize) + Sync)) {
        // Turns are large: let each be stolen by itself.
        (0..n).into_par_iter().with_max_len(1).for_each(turn);
    }
}

/// A rayon pool: one of its own, or one that the caller has.
///
/// ```
/// use ivf_cpu::RayonPool;
/// use std::sync::Arc;
/// let pool = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(2).build()?);
/// let executor = RayonPool::from(pool.clone());
/// # let _ = executor;
/// # Ok::<(), rayon::ThreadPoolBuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RayonPool(Arc<rayon::ThreadPool>);

impl RayonPool {
    /// A pool of `threads` threads, at least one; rayon starts at most some tens of thousands, and takes its time for that.
    ///
    /// # Errors
    /// What rayon says if the threads cannot be started.
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

/// The caller's executor, or rayon's global pool: what an `executor` that is absent means.
pub fn executor_or_global(executor: Option<&dyn Executor>) -> &dyn Executor {
    executor.unwrap_or(&RayonGlobal)
}

pub(crate) use executor_or_global as or_global;
