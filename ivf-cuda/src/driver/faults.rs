//! A driver whose operations fail when a test wants them to.

use super::{DeviceInfo, DevicePtr, Driver, Launch, Stream};
use crate::error::CudaError;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A driver that lets one operation fail, and knows what is allocated.
///
/// It counts the operations that can fail: `stream`, `alloc`, `write`, `read`, `fill`, `copy`,
/// `launch` and `synchronize`. One that fails does not reach the inner driver, and the next one is
/// passed on again. So a test can let each operation of a task fail in turn, and compare
/// [`live`](Self::live) before and after.
///
/// # Example
/// ```no_run
/// # fn check(device: ivf_cuda::driver::faults::Faulty<ivf_cuda::driver::process::ProcessDevice>) {
/// use ivf_cuda::driver::Driver;
/// device.fail_at(1);
/// let at = device.alloc(256).unwrap();
/// assert!(device.alloc(256).is_err());
/// device.free(at);
/// assert_eq!(device.live(), (0, 0));
/// # }
/// ```
#[derive(Debug)]
pub struct Faulty<D: Driver> {
    inner: D,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    operations: u64,
    fail_at: Option<u64>,
    live: HashMap<DevicePtr, usize>,
}

impl<D: Driver> Faulty<D> {
    /// Wraps a driver. No operation fails.
    #[must_use]
    pub fn new(inner: D) -> Self {
        Self { inner, state: Mutex::default() }
    }

    /// Lets one operation fail, once: with 0 the next one, with 1 the one after it. It replaces an
    /// earlier call whose operation has not come yet; with `u64::MAX` none fails.
    pub fn fail_at(&self, n: u64) {
        let mut state = self.state();
        state.fail_at = state.operations.checked_add(n);
    }

    /// Returns the number of operations so far, with those that failed.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Returns the number of allocations that were not freed, and the bytes that they take.
    #[must_use]
    pub fn live(&self) -> (usize, u64) {
        let state = self.state();
        (state.live.len(), state.live.values().map(|&bytes| bytes as u64).sum())
    }

    /// Returns the driver that is wrapped.
    pub fn inner(&self) -> &D {
        &self.inner
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an operation. Returns whether it is the one that fails.
    fn fails(&self) -> bool {
        let mut state = self.state();
        let number = state.operations;
        state.operations += 1;
        state.fail_at.take_if(|at| *at == number).is_some()
    }

    fn check(&self, operation: &'static str) -> Result<(), CudaError> {
        if !self.fails() {
            return Ok(());
        }
        Err(CudaError::Driver {
            device: self.info().name.clone(),
            operation,
            code: 999,
            what: "a test let this operation fail".into(),
        })
    }
}

impl<D: Driver> Driver for Faulty<D> {
    fn info(&self) -> &DeviceInfo {
        self.inner.info()
    }

    fn memory(&self) -> Result<(u64, u64), CudaError> {
        self.inner.memory()
    }

    fn alloc(&self, bytes: usize) -> Result<DevicePtr, CudaError> {
        if self.fails() {
            let (free, limit) = self.memory().unwrap_or_default();
            return Err(CudaError::OutOfMemory {
                device: self.info().name.clone(),
                what: "an allocation that a test let fail",
                wanted: bytes as u64,
                free,
                limit,
            });
        }
        let at = self.inner.alloc(bytes)?;
        self.state().live.insert(at, bytes);
        Ok(at)
    }

    fn free(&self, at: DevicePtr) {
        // Before the memory is freed: another thread may get the same address right after.
        self.state().live.remove(&at);
        self.inner.free(at);
    }

    fn stream(&self) -> Result<Stream, CudaError> {
        self.check("stream")?;
        self.inner.stream()
    }

    fn write(&self, stream: Stream, to: DevicePtr, bytes: &[u8]) -> Result<(), CudaError> {
        self.check("write")?;
        self.inner.write(stream, to, bytes)
    }

    fn read(&self, stream: Stream, from: DevicePtr, bytes: &mut [u8]) -> Result<(), CudaError> {
        self.check("read")?;
        self.inner.read(stream, from, bytes)
    }

    fn fill(&self, stream: Stream, at: DevicePtr, value: u8, bytes: usize) -> Result<(), CudaError> {
        self.check("fill")?;
        self.inner.fill(stream, at, value, bytes)
    }

    fn copy(&self, stream: Stream, from: DevicePtr, to: DevicePtr, bytes: usize) -> Result<(), CudaError> {
        self.check("copy")?;
        self.inner.copy(stream, from, to, bytes)
    }

    fn launch(&self, stream: Stream, launches: &[Launch]) -> Result<(), CudaError> {
        self.check("launch")?;
        self.inner.launch(stream, launches)
    }

    fn synchronize(&self, stream: Stream) -> Result<(), CudaError> {
        self.check("synchronize")?;
        self.inner.synchronize(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A driver that gives addresses away, and does nothing.
    #[derive(Debug)]
    struct Nothing {
        info: DeviceInfo,
        next: Mutex<u64>,
    }

    impl Driver for Nothing {
        fn info(&self) -> &DeviceInfo {
            &self.info
        }
        fn memory(&self) -> Result<(u64, u64), CudaError> {
            Ok((1000, 2000))
        }
        fn alloc(&self, _: usize) -> Result<DevicePtr, CudaError> {
            let mut next = self.next.lock().unwrap();
            *next += 256;
            Ok(DevicePtr(*next))
        }
        fn free(&self, _: DevicePtr) {}
        fn stream(&self) -> Result<Stream, CudaError> {
            Ok(Stream(1))
        }
        fn write(&self, _: Stream, _: DevicePtr, _: &[u8]) -> Result<(), CudaError> {
            Ok(())
        }
        fn read(&self, _: Stream, _: DevicePtr, _: &mut [u8]) -> Result<(), CudaError> {
            Ok(())
        }
        fn fill(&self, _: Stream, _: DevicePtr, _: u8, _: usize) -> Result<(), CudaError> {
            Ok(())
        }
        fn copy(&self, _: Stream, _: DevicePtr, _: DevicePtr, _: usize) -> Result<(), CudaError> {
            Ok(())
        }
        fn launch(&self, _: Stream, _: &[Launch]) -> Result<(), CudaError> {
            Ok(())
        }
        fn synchronize(&self, _: Stream) -> Result<(), CudaError> {
            Ok(())
        }
    }

    fn device() -> Faulty<Nothing> {
        let info = DeviceInfo {
            name: "nothing".into(),
            ordinal: 0,
            capability: (9, 0),
            multiprocessors: 1,
            memory: 2000,
            shared_memory: 0,
            driver_version: 13000,
        };
        Faulty::new(Nothing { info, next: Mutex::new(0) })
    }

    /// One of each operation.
    fn all_operations(device: &Faulty<Nothing>) -> Result<(), CudaError> {
        let stream = device.stream()?;
        let at = device.alloc(100)?;
        let result = (|| {
            device.write(stream, at, &[1])?;
            device.read(stream, at, &mut [0])?;
            device.fill(stream, at, 0, 100)?;
            device.copy(stream, at, at, 0)?;
            device.launch(stream, &[])?;
            device.synchronize(stream)
        })();
        device.free(at);
        result
    }

    #[test]
    fn each_operation_fails_once() {
        let device = device();
        all_operations(&device).unwrap();
        let count = device.operations();
        assert_eq!(count, 8);
        for n in 0..count {
            device.fail_at(n);
            match all_operations(&device).unwrap_err() {
                CudaError::OutOfMemory { wanted, free, limit, .. } => {
                    assert_eq!((n, wanted, free, limit), (1, 100, 1000, 2000));
                }
                CudaError::Driver { operation, .. } => {
                    let names = ["stream", "", "write", "read", "fill", "copy", "launch", "synchronize"];
                    assert_eq!(operation, names[n as usize]);
                }
                other => panic!("{other}"),
            }
            assert_eq!(device.live(), (0, 0));
            all_operations(&device).unwrap();
        }
        device.fail_at(3);
        device.fail_at(u64::MAX);
        all_operations(&device).unwrap();
    }

    #[test]
    fn live_counts_what_is_allocated() {
        let device = device();
        let (a, b) = (device.alloc(10).unwrap(), device.alloc(300).unwrap());
        assert_eq!(device.live(), (2, 310));
        device.free(a);
        assert_eq!(device.live(), (1, 300));
        device.free(b);
        assert_eq!(device.live(), (0, 0));
    }
}
