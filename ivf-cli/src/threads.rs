//! The threads of a command.

use crate::failure::Failure;
use clap::value_parser;
use ivf_core::Executor;
use ivf_core::executor::Inline;
use ivf_cpu::RayonPool;
use std::num::NonZeroUsize;

/// Maximum number of threads, more than any machine uses well. A pool of tens of thousands does
/// nothing but start.
const MAX_THREADS: usize = 1024;

/// Maximum default number of threads for each core. More only take time to start.
const MAX_PER_CORE: usize = 8;

/// Environment variable with the default number of threads, as for every program that uses rayon.
const DEFAULT: &str = "RAYON_NUM_THREADS";

/// The `--threads` option of every command that computes.
#[derive(clap::Args)]
pub(crate) struct ThreadsArg {
    /// Number of threads [default: RAYON_NUM_THREADS if it is set, at most 8 per core, or else one
    /// per core]. With 1, the command starts no thread
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=MAX_THREADS as i64))]
    threads: Option<u16>,
}

/// The threads of a command. It never uses rayon's global pool, whose size has no bound and which
/// panics if it cannot start.
pub(crate) enum Threads {
    /// The thread of the caller alone.
    Own(Inline),
    /// A pool of several threads.
    Pool(RayonPool),
}

impl ThreadsArg {
    /// Starts the given number of threads, or the default number.
    ///
    /// # Errors
    /// As [`Threads::start`].
    pub(crate) fn start(&self) -> Result<Threads, Failure> {
        self.threads.map_or_else(Threads::start_default, |threads| Threads::start(threads.into()))
    }
}

impl Threads {
    /// Starts this number of threads, unless the caller's thread is enough.
    ///
    /// # Errors
    /// [`Failure`] if the system refuses to start them.
    pub(crate) fn start(threads: usize) -> Result<Self, Failure> {
        if threads <= 1 {
            return Ok(Self::Own(Inline));
        }
        let cannot = |error| Failure::failed(format_args!("cannot start {threads} threads (try --threads 1)"), &error);
        Ok(Self::Pool(RayonPool::new(threads).map_err(cannot)?))
    }

    /// Starts the default number of threads.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub(crate) fn start_default() -> Result<Self, Failure> {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self::start(default_number(std::env::var(DEFAULT).ok().as_deref(), cores))
    }

    /// Returns the executor for options and parameters.
    pub(crate) fn executor(&self) -> &dyn Executor {
        match self {
            Self::Own(own) => own,
            Self::Pool(pool) => pool,
        }
    }
}

/// Returns the default number of threads. As in rayon, a variable that is 0 or no number counts as
/// not set.
fn default_number(variable: Option<&str>, cores: usize) -> usize {
    let wanted = variable.and_then(|text| text.trim().parse().ok()).filter(|wanted| *wanted > 0);
    wanted.unwrap_or(cores).min(cores.saturating_mul(MAX_PER_CORE)).min(MAX_THREADS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_number_has_a_bound() {
        for (variable, cores, expected) in [
            (None, 8, 8),
            (None, 4096, 1024),
            (Some("3"), 8, 3),
            (Some("100000"), 8, 64),
            (Some("100000"), 512, 1024),
            (Some("0"), 8, 8),
            (Some("many"), 8, 8),
            (Some(""), 8, 8),
        ] {
            assert_eq!(default_number(variable, cores), expected, "{variable:?}, {cores}");
        }
    }

    #[test]
    fn one_thread_is_the_callers() {
        let threads = Threads::start(1).expect("nothing to start");
        let here = std::thread::current().id();
        threads.executor().for_each(3, &|_| assert_eq!(std::thread::current().id(), here));
        assert_eq!(threads.executor().threads(), 1);
        assert_eq!(Threads::start(3).expect("threads").executor().threads(), 3);
    }
}
