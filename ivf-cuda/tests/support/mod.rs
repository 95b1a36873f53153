//! Devices for tests: the kernels on the CPU, in a process with AddressSanitizer.

#![allow(dead_code)]

use ivf_core::{Index, Metric, Rows};
use ivf_cuda::driver::process::{BuildError, Order, ProcessDevice, ProcessOptions, build_emulator};
use ivf_cuda::{Device, DeviceOptions};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Orders of threads that every test runs in: no result depends on the order.
pub(crate) const ORDERS: [Order; 3] = [Order::Forward, Order::Reverse, Order::Seed(7)];

/// Returns the emulator, or `None` if there is no C++ compiler.
pub(crate) fn emulator() -> Option<&'static Path> {
    static EMULATOR: OnceLock<Option<PathBuf>> = OnceLock::new();
    let build = || {
        let kernels = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
        let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cuda-emulator");
        match build_emulator(&kernels, &to, true) {
            Ok(()) => Some(to),
            Err(error @ BuildError::NoCompiler { .. }) => {
                println!("skipped: {error}");
                None
            }
            Err(error) => panic!("{error}"),
        }
    };
    EMULATOR.get_or_init(build).as_deref()
}

/// Returns a driver that runs the kernels in this order.
pub(crate) fn driver(order: Order) -> Option<ProcessDevice> {
    Some(ProcessDevice::spawn(emulator()?, &ProcessOptions { order, ..ProcessOptions::default() }).unwrap())
}

/// Returns a device that runs the kernels in this order. Its room is small, so that batches are
/// cut.
pub(crate) fn device(order: Order) -> Option<Device> {
    Some(Device::with_driver(Arc::new(driver(order)?), DeviceOptions::default().room(4 << 20)))
}

/// Returns numbers that look random, but are the same each time.
pub(crate) fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..count).map(|_| next()).collect()
}

/// Returns a trained index with vectors, some of which are equal.
pub(crate) fn index(spec: &str, dim: usize, metric: Metric, vectors: &[f32]) -> Box<dyn Index> {
    let mut index = ivf_factory::build(spec, dim, metric).unwrap_or_else(|error| panic!("{spec}: {error}"));
    let rows = Rows::new(vectors, dim).unwrap();
    if !index.is_trained() {
        index.train(rows).unwrap();
    }
    index.add(rows).unwrap();
    index.add(rows.slice(0..rows.len() / 10)).unwrap();
    index
}
