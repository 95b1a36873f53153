//! The operations of a device that the engine needs.
//!
//! The engine is written against [`Driver`]: [`cuda`] implements it with the CUDA driver, and
//! [`process`] with a program that runs the same kernels on the CPU. [`faults`] wraps a driver, and
//! lets an operation fail.

#[allow(unsafe_code)]
pub mod cuda;
pub mod faults;
pub mod process;

use crate::error::CudaError;
use std::fmt;

/// An address in the memory of a device. 0 is no address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct DevicePtr(pub u64);

impl DevicePtr {
    /// Returns the address `bytes` bytes further.
    #[must_use]
    pub fn plus(self, bytes: usize) -> Self {
        Self(self.0 + bytes as u64)
    }
}

/// A stream of a device: its operations run one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stream(pub u64);

/// What is known of a device.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceInfo {
    /// The name that the driver gives it, such as `NVIDIA H200`.
    pub name: String,
    /// Its number among the devices of its driver.
    pub ordinal: usize,
    /// Compute capability: major and minor.
    pub capability: (u32, u32),
    /// Number of multiprocessors.
    pub multiprocessors: u32,
    /// Memory in bytes.
    pub memory: u64,
    /// Largest number of bytes of shared memory that a block of threads can ask for.
    pub shared_memory: usize,
    /// Version of the driver: 1000 x major + 10 x minor of the CUDA version that it supports.
    pub driver_version: i32,
}

/// A launch of a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Launch {
    /// Name of the kernel.
    pub kernel: &'static str,
    /// Number of blocks of threads, in two dimensions.
    pub grid: [u32; 2],
    /// Number of threads of a block: a multiple of 32.
    pub threads: u32,
    /// Bytes of dynamic shared memory of a block.
    pub shared: usize,
    /// The bytes of the kernel's only parameter, a structure of `kernels/args.cuh`.
    pub args: Vec<u8>,
}

/// The operations of a device.
///
/// Many threads may call them at the same time. Operations of one stream run in order. Memory that
/// was freed must not be in use by any stream.
///
/// An address that no `alloc` returned is refused as far as the driver can tell: the engine, and
/// nobody else, makes addresses.
///
/// # Errors
/// [`CudaError::Driver`] for a failed operation. After an error that makes the device's state
/// unusable, every operation is [`CudaError::Poisoned`].
pub trait Driver: Send + Sync + fmt::Debug {
    /// Returns what is known of the device.
    fn info(&self) -> &DeviceInfo;

    /// Returns the free and the total memory, in bytes.
    fn memory(&self) -> Result<(u64, u64), CudaError>;

    /// Allocates memory, aligned to 256 bytes. Its content is arbitrary.
    ///
    /// # Errors
    /// [`CudaError::OutOfMemory`] if there is too little.
    fn alloc(&self, bytes: usize) -> Result<DevicePtr, CudaError>;

    /// Frees memory that [`alloc`](Self::alloc) returned. Waits for all streams first. Errors are
    /// kept for the next operation.
    fn free(&self, at: DevicePtr);

    /// Creates a stream.
    fn stream(&self) -> Result<Stream, CudaError>;

    /// Writes bytes to the device. They may be changed as soon as the call returns.
    fn write(&self, stream: Stream, to: DevicePtr, bytes: &[u8]) -> Result<(), CudaError>;

    /// Reads bytes from the device, after all earlier operations of the stream.
    fn read(&self, stream: Stream, from: DevicePtr, bytes: &mut [u8]) -> Result<(), CudaError>;

    /// Sets `bytes` bytes to `value`.
    fn fill(&self, stream: Stream, at: DevicePtr, value: u8, bytes: usize) -> Result<(), CudaError>;

    /// Copies `bytes` bytes within the device. The ranges do not overlap.
    fn copy(&self, stream: Stream, from: DevicePtr, to: DevicePtr, bytes: usize) -> Result<(), CudaError>;

    /// Launches kernels, one after the other. A driver may keep a sequence that it has seen before
    /// in a form that starts faster (a CUDA graph).
    fn launch(&self, stream: Stream, launches: &[Launch]) -> Result<(), CudaError>;

    /// Waits for the operations of a stream.
    fn synchronize(&self, stream: Stream) -> Result<(), CudaError>;
}
