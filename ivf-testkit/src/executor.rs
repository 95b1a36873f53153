//! An executor on plain threads.

use ivf_core::Executor;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Runs tasks on the given number of new threads. A free thread takes the next task, so the order
/// differs from run to run, and no result may depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Threads(pub usize);

impl Executor for Threads {
    fn threads(&self) -> usize {
        self.0.max(1)
    }

    fn for_each(&self, n: usize, task: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            let work = || {
                while let Some(i) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&i| i < n) {
                    task(i);
                }
            };
            let workers: Vec<_> = (0..self.threads().min(n)).map(|_| scope.spawn(work)).collect();
            for worker in workers {
                // Passes the panic of a task, with its message, on to the caller.
                worker.join().unwrap_or_else(|panic| resume_unwind(panic));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ivf_core::executor::map;
    use std::panic::catch_unwind;

    #[test]
    fn every_task_runs_once() {
        for threads in [0, 1, 2, 8] {
            for n in [0, 1, 2, 100] {
                assert_eq!(map(&Threads(threads), n, |i| i), (0..n).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_with_its_message() {
        let panic = catch_unwind(|| Threads(2).for_each(10, &|i| assert!(i != 7, "task seven"))).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"task seven"));
    }
}
