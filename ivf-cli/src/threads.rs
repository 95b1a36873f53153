//! The threads of a command.

use crate::failure::Failure;
use clap::value_parser;
use ivf_core::Executor;
use ivf_cpu::RayonPool;

/// Maximum number of threads, more than any machine uses well. A pool of tens of thousands does
/// nothing but start.
const MAX_THREADS: i64 = 1024;

/// The `--threads` option of every command that computes.
#[derive(clap::Args)]
pub(crate) struct ThreadsArg {
    /// Number of threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=MAX_THREADS))]
    threads: Option<u16>,
}

/// The thread pool for `--threads`.
pub(crate) struct Threads(Option<RayonPool>);

impl ThreadsArg {
    /// Starts a pool of the given number of threads. Without a number, the library's default is
    /// used.
    pub(crate) fn start(&self) -> Result<Threads, Failure> {
        let pool = self.threads.map(|threads| RayonPool::new(threads.into())).transpose();
        Ok(Threads(pool.map_err(|error| Failure::failed("cannot start the threads", &error))?))
    }
}

impl Threads {
    /// Returns the executor for options and parameters.
    pub(crate) fn executor(&self) -> Option<&dyn Executor> {
        self.0.as_ref().map(|pool| pool as &dyn Executor)
    }
}
