//! Running a closure in a forked process.

/// Time after which the system ends a forked process, in seconds. A process that hangs fails its
/// test so.
const TIME_LIMIT: u32 = 60;

/// Forks this process and calls `run` in the child. Returns true if `run` returned true there.
///
/// The child has only the calling thread. `run` must not use what another thread may have held at
/// the fork, such as the lock of standard output.
pub(crate) fn in_child(run: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child calls `run` and `_exit`; the allocator stays usable after a fork.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "no process can be forked");
    if child == 0 {
        // SAFETY: it takes and returns numbers.
        unsafe { libc::alarm(TIME_LIMIT) };
        let passed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_or(false);
        // SAFETY: it ends the process.
        unsafe { libc::_exit(if passed { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: `status` can be written to, and `child` is a child of this process.
    let waited = unsafe { libc::waitpid(child, &mut status, 0) };
    waited == child && status == 0
}
