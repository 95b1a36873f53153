//! Executors, which run the tasks of a parallel loop on the caller's thread or on a thread pool.

use std::sync::Mutex;

/// An executor of the independent tasks of a loop, on any number of threads.
///
/// No result of this library depends on the number of threads. `ivf-cpu` has an executor that uses
/// rayon; [`Inline`] runs everything on the caller's own thread.
///
/// ```
/// use ivf_core::executor::{Executor, Inline, map};
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// /// Two threads. Each takes the next task when it has finished one.
/// struct TwoThreads;
///
/// impl Executor for TwoThreads {
///     fn threads(&self) -> usize {
///         2
///     }
///
///     fn for_each(&self, n: usize, task: &(dyn Fn(usize) + Sync)) {
///         let next = AtomicUsize::new(0);
///         let work = || {
///             while let Some(i) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|i| *i < n) {
///                 task(i);
///             }
///         };
///         std::thread::scope(|threads| {
///             threads.spawn(work);
///             work();
///         });
///     }
/// }
///
/// assert_eq!(map(&Inline, 3, |i| i * i), [0, 1, 4]);
/// assert_eq!(map(&TwoThreads, 3, |i| i * i), [0, 1, 4]);
/// ```
pub trait Executor: Send + Sync {
    /// Returns the maximum number of tasks that run at the same time, at least 1. Loops divide
    /// their work by it.
    fn threads(&self) -> usize;

    /// Returns true if a loop of about `work` operations (multiply-adds, or bytes of codes that are
    /// read) should run on this executor rather than on the calling thread. The default is true.
    ///
    /// ```
    /// use ivf_core::executor::{Executor, Inline};
    /// assert!(Inline.pays(1));
    /// ```
    fn pays(&self, _work: usize) -> bool {
        true
    }

    /// Calls `task(i)` once for each `i` in `0..n`, in any order. Returns when all calls are done.
    ///
    /// # Panics
    /// If a call of `task` panics.
    fn for_each(&self, n: usize, task: &(dyn Fn(usize) + Sync));
}

/// An executor that runs everything on the caller's own thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inline;

impl Executor for Inline {
    fn threads(&self) -> usize {
        1
    }

    fn for_each(&self, n: usize, task: &(dyn Fn(usize) + Sync)) {
        (0..n).for_each(task);
    }
}

/// Calls `task(i)` for each `i` in `0..n`, and returns the results in order.
pub fn map<T: Send>(executor: &dyn Executor, n: usize, task: impl Fn(usize) -> T + Sync) -> Vec<T> {
    if n <= 1 || executor.threads() == 1 {
        return (0..n).map(task).collect();
    }
    let slots: Vec<Mutex<Option<T>>> = (0..n).map(|_| Mutex::new(None)).collect();
    executor.for_each(n, &|i| *lock(&slots[i]) = Some(task(i)));
    slots
        .into_iter()
        .map(|slot| slot.into_inner().unwrap_or_else(|p| p.into_inner()).expect("every task has run"))
        .collect()
}

/// Calls `task(i, items[i])` for each item, and returns the results in order. It serves to pass
/// each task its own `&mut`.
///
/// ```
/// use ivf_core::executor::{Inline, map_items};
/// let mut output = [0; 5];
/// // Each task fills its own two places of the output.
/// let lens = map_items(&Inline, output.chunks_mut(2).collect(), |i, part| {
///     part.fill(i);
///     part.len()
/// });
/// assert_eq!(lens, [2, 2, 1]);
/// assert_eq!(output, [0, 0, 1, 1, 2]);
/// ```
pub fn map_items<I: Send, T: Send>(
    executor: &dyn Executor,
    items: Vec<I>,
    task: impl Fn(usize, I) -> T + Sync,
) -> Vec<T> {
    if items.len() <= 1 || executor.threads() == 1 {
        return items.into_iter().enumerate().map(|(i, item)| task(i, item)).collect();
    }
    let items: Vec<Mutex<Option<I>>> = items.into_iter().map(|item| Mutex::new(Some(item))).collect();
    map(executor, items.len(), |i| task(i, lock(&items[i]).take().expect("a task runs once")))
}

/// Divides `0..n` into at most `parts` ranges of nearly equal length. No range is empty.
///
/// ```
/// use ivf_core::executor::split;
/// assert_eq!(split(10, 4), [0..2, 2..5, 5..7, 7..10]);
/// assert_eq!(split(2, 4), [0..1, 1..2]);
/// ```
pub fn split(n: usize, parts: usize) -> Vec<std::ops::Range<usize>> {
    let parts = parts.clamp(1, n.max(1));
    (0..parts).map(|i| n * i / parts..n * (i + 1) / parts).filter(|range| !range.is_empty()).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A poisoned slot belongs to a task that panicked. That panic propagates to the caller.
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_cover_everything_once() {
        for n in 0..40 {
            for parts in 0..9 {
                let ranges = split(n, parts);
                assert!(ranges.len() <= parts.max(1));
                assert_eq!(ranges.into_iter().flatten().collect::<Vec<_>>(), (0..n).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn items_are_handed_out_once() {
        let mut data = [1, 2, 3];
        let sums = map_items(&Inline, data.iter_mut().collect(), |i, item| {
            *item += i;
            *item
        });
        assert_eq!(sums, vec![1, 3, 5]);
    }
}
