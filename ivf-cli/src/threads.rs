//! The threads of a command.

use crate::failure::Failure;
use clap::value_parser;
use ivf_core::Executor;
use ivf_cpu::RayonPool;

/// More threads than any machine serves well: a pool of tens of thousands does nothing but start.
const MAX_THREADS: i64 = 1024;

/// The option of every command that computes.
#[derive(clap::Args)]
pub(crate) struct ThreadsArg {
    /// Threads to use [default: one a core]
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=MAX_THREADS))]
    threads: Option<u16>,
}

/// The pool that `--threads` asks for.
pub(crate) struct Threads(Option<RayonPool>);

impl ThreadsArg {
    /// A pool of so many threads; the library's own default if the number is not given.
    pub(crate) fn start(&self) -> Result<Threads, Failure> {
        let pool = self.threads.map(|threads| RayonPool::new(threads.into())).transpose();
        Ok(Threads(pool.map_err(|error| Failure::failed("cannot start the threads", &error))?))
    }
}

impl Threads {
    /// The executor for options and parameters.
    pub(crate) fn executor(&self) -> Option<&dyn Executor> {
        self.0.as_ref().map(|pool| pool as &dyn Executor)
    }
}
