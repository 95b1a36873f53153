//! Errors of the CUDA engine.

use std::fmt;

/// Why no device can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unavailable {
    /// The CUDA driver's library is not installed.
    NoDriver,
    /// The library is a stub of the toolkit, not a driver.
    Stub,
    /// The driver's library and its kernel module differ in version.
    Mismatch,
    /// There is a driver, but no device.
    NoDevice,
    /// The driver is older than the oldest supported version.
    OldDriver {
        /// The version of the driver: 1000 x major + 10 x minor.
        found: i32,
        /// The oldest supported version.
        needed: i32,
    },
    /// The compute capability of the device is below 8.0.
    OldDevice {
        /// Name of the device.
        name: String,
        /// Its compute capability.
        capability: (u32, u32),
    },
    /// The driver failed in another way.
    Failed {
        /// The CUDA error number.
        code: i32,
        /// Its name and description.
        what: String,
    },
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDriver => f.write_str("no CUDA driver is installed"),
            Self::Stub => f.write_str("the CUDA driver's library is a stub of the toolkit"),
            Self::Mismatch => f.write_str("the CUDA driver's library and kernel module differ in version"),
            Self::NoDevice => f.write_str("no CUDA device"),
            Self::OldDriver { found, needed } => write!(
                f,
                "the CUDA driver supports CUDA {}.{}, but {}.{} is needed",
                found / 1000,
                found % 1000 / 10,
                needed / 1000,
                needed % 1000 / 10
            ),
            Self::OldDevice { name, capability: (major, minor) } => {
                write!(f, "{name} has compute capability {major}.{minor}, but 8.0 is needed")
            }
            Self::Failed { code, what } => write!(f, "the CUDA driver failed: {what} (error {code})"),
        }
    }
}

/// An error of a device, or of what was asked of it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CudaError {
    /// No device can be used.
    #[error("{0}")]
    Unavailable(Unavailable),
    /// There is no device with this number.
    #[error("there is no CUDA device {ordinal}: there are {found}")]
    NoSuchDevice {
        /// The number that was asked for.
        ordinal: usize,
        /// The number of devices.
        found: usize,
    },
    /// The device, or the budget for it, has too little memory. Nothing was changed.
    #[error("{device} has too little memory: {what} takes {wanted} bytes, {free} are free of {limit}")]
    OutOfMemory {
        /// Name of the device.
        device: String,
        /// What the memory is for.
        what: &'static str,
        /// Bytes that were asked for.
        wanted: u64,
        /// Bytes that are free: of the budget, or of the device.
        free: u64,
        /// The budget, or the memory of the device.
        limit: u64,
    },
    /// An operation of the driver failed.
    #[error("{operation} failed on {device}: {what} (error {code})")]
    Driver {
        /// Name of the device.
        device: String,
        /// The operation.
        operation: &'static str,
        /// The CUDA error number.
        code: i32,
        /// Its name and description.
        what: String,
    },
    /// A kernel could not be loaded or compiled.
    #[error("the kernels could not be loaded: {0}")]
    Kernels(String),
    /// The lists of the index could not be read.
    #[error("the lists could not be read: {0}")]
    Lists(String),
    /// An earlier error made the device's state unusable. An index on it can still be brought to
    /// the CPU, from where it can be searched or sent to a device again.
    #[error("{device} cannot be used any more since an earlier error: {cause}")]
    Poisoned {
        /// Name of the device.
        device: String,
        /// The earlier error.
        cause: String,
    },
    /// The device does not support what the index needs.
    #[error("{what} is not supported on a CUDA device")]
    Unsupported {
        /// What is not supported.
        what: String,
    },
}
