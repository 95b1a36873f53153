//! The CUDA engine: IVF and flat search, and k-means, on NVIDIA GPUs.
//!
//! The crate builds and runs without CUDA: [`devices`] then says that there is no driver. An index
//! comes to a device as a [`CudaIndex`], and its results stay those of the CPU, bit for bit.
//! [`CudaKMeans`] trains on a device.
//!
//! The kernels (`kernels/*.cuh`) are compiled by NVRTC of the machine, or taken from the crate.
//! Tests run the same kernels on the CPU ([`driver::process`]).

#![deny(unsafe_code)]

pub mod driver;

mod accelerator;
mod arena;
mod codec;
mod device;
mod error;
mod index;
mod kernels;
mod kmeans;
mod mirror;
mod module;
#[allow(unsafe_code)]
mod probe;
mod search;

pub use device::{Device, DeviceOptions};
pub use error::{CudaError, Unavailable};
pub use index::{ChangeError, CudaIndex};
pub use kmeans::CudaKMeans;
pub use module::{LoadOptions, Origin};
pub use probe::devices;
