//! The threads of a command.

use crate::failure::Failure;
use ivf_core::Executor;
use ivf_cpu::RayonPool;
use std::num::NonZeroUsize;

/// The pool that `--threads` asks for.
pub(crate) struct Threads(Option<RayonPool>);

impl Threads {
    /// A pool of `threads`; the library's own default if the number is not given.
    pub(crate) fn new(threads: Option<NonZeroUsize>) -> Result<Self, Failure> {
        let pool = threads.map(|threads| RayonPool::new(threads.get())).transpose();
        Ok(Self(pool.map_err(|error| Failure::failed("cannot start the threads", &error))?))
    }

    /// The executor for options and parameters.
    pub(crate) fn executor(&self) -> Option<&dyn Executor> {
        self.0.as_ref().map(|pool| pool as &dyn Executor)
    }
}
