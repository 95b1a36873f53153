//! The kernels, as code for a device.
//!
//! A device gets the first of these that it accepts:
//!
//! 1. a file of the cache, from an earlier compilation for the same device;
//! 2. the output of NVRTC, which compiles the sources on the host. NVRTC is part of the CUDA
//!    toolkit, not of the driver, so many hosts lack it;
//! 3. the PTX in this crate, which the driver compiles, and keeps in a cache of its own.

mod cache;
#[allow(unsafe_code)]
pub(crate) mod nvrtc;

use crate::driver::DeviceInfo;
use crate::error::CudaError;
use crate::kernels::SOURCES;
use cache::{Cache, Hash};
use std::fmt;
use std::path::PathBuf;

/// PTX for compute capability 8.0 and above. `cargo xtask kernels` makes it.
const PTX: &[u8] = include_bytes!("../../ptx/compute_80.ptx.deflate");

/// Upper bound for the size of the PTX.
const MAX_PTX: usize = 64 << 20;

/// Where the kernels are taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// Folder of the cache of compiled kernels; it is made if need be. None leaves the cache out.
    /// A folder that other users can write to is not used.
    pub cache: Option<PathBuf>,
    /// Whether to compile the kernels for the device if NVRTC is installed. Otherwise the driver
    /// compiles the PTX in this crate.
    pub nvrtc: bool,
}

impl Default for LoadOptions {
    /// Compiles if possible. The cache is in the folder that the environment variable
    /// `IVF_CUDA_CACHE` names, or nowhere if it is `off`; without the variable, in `ivf-cuda` in
    /// the user's folder for caches.
    fn default() -> Self {
        Self { cache: cache::default_folder(|name| std::env::var_os(name)), nvrtc: true }
    }
}

/// Where the kernels of a device were taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The cache.
    Cache,
    /// NVRTC.
    Nvrtc,
    /// The PTX in this crate.
    Ptx,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cache => "cache",
            Self::Nvrtc => "NVRTC",
            Self::Ptx => "PTX",
        })
    }
}

/// A compiler of kernels.
pub(crate) trait Compiler {
    /// Returns its version: major and minor.
    fn version(&self) -> (i32, i32);

    /// Returns the sources, compiled for an architecture such as `sm_80`.
    fn compile(&self, architecture: &str) -> Result<Vec<u8>, String>;
}

/// Loads the kernels with `open`, which returns why the device does not accept an image: a cubin,
/// or PTX with a null byte at its end.
///
/// # Errors
/// [`CudaError::Kernels`] if the device accepts none, with all the reasons.
pub(crate) fn load<M>(
    device: &DeviceInfo,
    cache: Option<PathBuf>,
    compiler: Option<&dyn Compiler>,
    mut open: impl FnMut(&[u8]) -> Result<M, String>,
) -> Result<(M, Origin), CudaError> {
    let mut reasons = Vec::new();
    if let Some(compiler) = compiler {
        let cache = cache.map(Cache::new);
        let key = key(device, compiler.version());
        if let Some(module) = cache.as_ref().and_then(|cache| cache.get(key)).and_then(|cubin| open(&cubin).ok()) {
            return Ok((module, Origin::Cache));
        }
        let compiled = compiler.compile(&architecture(device.capability));
        match compiled.and_then(|cubin| Ok((open(&cubin)?, cubin))) {
            Ok((module, cubin)) => {
                if let Some(cache) = cache {
                    cache.put(key, &cubin);
                }
                return Ok((module, Origin::Nvrtc));
            }
            Err(reason) => reasons.push(format!("NVRTC: {reason}")),
        }
    }
    match ptx().and_then(|ptx| open(&ptx)) {
        Ok(module) => Ok((module, Origin::Ptx)),
        Err(reason) => {
            reasons.push(format!("PTX: {reason}"));
            Err(CudaError::Kernels(reasons.join("; ")))
        }
    }
}

/// Returns the name of a device's architecture for NVRTC. That of 9.0 is the one that
/// `kernels/compile.py` checks.
fn architecture((major, minor): (u32, u32)) -> String {
    let suffix = if (major, minor) == (9, 0) { "a" } else { "" };
    format!("sm_{major}{minor}{suffix}")
}

/// Returns the key of a cubin in the cache: a hash of all that it depends on.
fn key(device: &DeviceInfo, nvrtc: (i32, i32)) -> u128 {
    let target = format!("{:?} {nvrtc:?} {} {:?}", device.capability, device.driver_version, nvrtc::OPTIONS);
    sources_hash().with(target.as_bytes()).value()
}

/// Returns a hash of the sources. `kernels/compile.py` makes the same.
fn sources_hash() -> Hash {
    let mut sources = SOURCES.to_vec();
    sources.sort_unstable();
    sources.iter().fold(Hash::new(), |hash, (name, text)| hash.with(name.as_bytes()).with(text.as_bytes()))
}

/// Returns the PTX in this crate, with a null byte at its end.
fn ptx() -> Result<Vec<u8>, String> {
    let mut ptx =
        miniz_oxide::inflate::decompress_to_vec_with_limit(PTX, MAX_PTX).map_err(|error| error.to_string())?;
    ptx.push(0);
    Ok(ptx)
}

#[cfg(test)]
mod tests;
