//! Which devices can be used, or why none can.
//!
//! cudarc opens the driver's library at its first call, and panics if there is none, or if a
//! function is missing. Every call of it in this crate comes after [`devices`] or `device`, which
//! look first.

use crate::driver::DeviceInfo;
use crate::error::{CudaError, Unavailable};
use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::{self, CUdevice, CUdevice_attribute as Attribute};
use std::sync::OnceLock;

/// The oldest supported driver is that of CUDA 12.5 (version 555): older ones refuse PTX 8.5, which
/// the crate embeds, and those before 12.4 do not tell the size of a kernel's parameter.
const OLDEST_DRIVER: i32 = 12_050;

/// The kernels multiply matrices of bf16, which devices before 8.0 cannot.
const LEAST_CAPABILITY: (u32, u32) = (8, 0);

/// CUDA's error number for a function that is not there.
const NOT_FOUND: i32 = 500;

/// The functions of the driver's library that are called before its version is known. All releases
/// have them.
const FIRST_FUNCTIONS: &[&str] = &["cuInit", "cuDriverGetVersion", "cuGetErrorName", "cuGetErrorString"];

/// All others that this crate calls, itself or through cudarc.
const FUNCTIONS: &[&str] = &[
    "cuCtxGetCurrent",
    "cuCtxSetCurrent",
    "cuDeviceGet",
    "cuDeviceGetAttribute",
    "cuDeviceGetCount",
    "cuDeviceGetName",
    "cuDevicePrimaryCtxRelease_v2",
    "cuDevicePrimaryCtxRetain",
    "cuDeviceTotalMem_v2",
    "cuEventCreate",
    "cuEventDestroy_v2",
    "cuEventRecord",
    "cuEventSynchronize",
    "cuFuncGetAttribute",
    "cuFuncGetParamInfo",
    "cuFuncSetAttribute",
    "cuGraphDestroy",
    "cuGraphExecDestroy",
    "cuGraphInstantiateWithFlags",
    "cuGraphLaunch",
    "cuLaunchKernel",
    "cuMemAlloc_v2",
    "cuMemFreeHost",
    "cuMemFree_v2",
    "cuMemGetInfo_v2",
    "cuMemHostAlloc",
    "cuMemcpyDtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyDtoH_v2",
    "cuMemcpyHtoDAsync_v2",
    "cuMemcpyHtoD_v2",
    "cuMemsetD8Async",
    "cuModuleGetFunction",
    "cuModuleLoadData",
    "cuModuleUnload",
    "cuStreamBeginCapture_v2",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamEndCapture",
    "cuStreamSynchronize",
];

/// Returns the devices that can be used: at least one, in the order of their numbers.
///
/// Does not load or start anything on them, and never panics.
///
/// # Errors
/// Says why there is none.
pub fn devices() -> Result<Vec<DeviceInfo>, Unavailable> {
    let all = all_devices()?;
    let first = all.first().map(too_old);
    let usable: Vec<_> = all.into_iter().filter(is_usable).collect();
    if usable.is_empty() { Err(first.unwrap_or(Unavailable::NoDevice)) } else { Ok(usable) }
}

/// Returns what is known of one device.
pub(crate) fn device(ordinal: usize) -> Result<DeviceInfo, CudaError> {
    let all = all_devices().map_err(CudaError::Unavailable)?;
    let found = all.len();
    match all.into_iter().nth(ordinal) {
        None => Err(CudaError::NoSuchDevice { ordinal, found }),
        Some(device) if is_usable(&device) => Ok(device),
        Some(device) => Err(CudaError::Unavailable(too_old(&device))),
    }
}

/// Returns the number of a CUDA error, and its name and description.
///
/// An error comes from the driver, so its library is there.
pub(crate) fn describe(error: DriverError) -> (i32, String) {
    let name = error.error_name().unwrap_or(c"unknown error").to_string_lossy();
    let text = error.error_string().unwrap_or(c"no description").to_string_lossy();
    (error.0 as i32, format!("{name}, {text}"))
}

fn is_usable(device: &DeviceInfo) -> bool {
    device.capability >= LEAST_CAPABILITY
}

fn too_old(device: &DeviceInfo) -> Unavailable {
    Unavailable::OldDevice { name: device.name.clone(), capability: device.capability }
}

/// Returns all devices of the driver, also those that are too old: at least one.
fn all_devices() -> Result<Vec<DeviceInfo>, Unavailable> {
    static IS_PRESENT: OnceLock<bool> = OnceLock::new();
    let is_present = *IS_PRESENT.get_or_init(|| {
        // SAFETY: opens and closes the driver's library, whose initialisers may be run.
        unsafe { sys::is_culib_present() }
    });
    if !is_present {
        return Err(Unavailable::NoDriver);
    }
    check_functions(FIRST_FUNCTIONS)?;
    result::init().map_err(reason)?;
    let driver_version = driver_version()?;
    if driver_version < OLDEST_DRIVER {
        return Err(Unavailable::OldDriver { found: driver_version, needed: OLDEST_DRIVER });
    }
    check_functions(FUNCTIONS)?;
    let count = result::device::get_count().map_err(reason)?;
    if count < 1 {
        return Err(Unavailable::NoDevice);
    }
    (0..count).map(|ordinal| info(ordinal, driver_version).map_err(reason)).collect()
}

/// Fails if the library lacks one of the functions.
fn check_functions(names: &[&str]) -> Result<(), Unavailable> {
    // SAFETY: the library was found, and its initialisers were run then.
    let library = unsafe { sys::culib() };
    let is_there = |name: &str| {
        // SAFETY: the address is not used.
        unsafe { library.get::<*const ()>(name.as_bytes()) }.is_ok()
    };
    match names.iter().find(|name| !is_there(name)) {
        Some(name) => Err(Unavailable::Failed { code: NOT_FOUND, what: format!("its library has no function {name}") }),
        None => Ok(()),
    }
}

fn driver_version() -> Result<i32, Unavailable> {
    let mut version = 0;
    // SAFETY: writes a number to where it is given.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result().map_err(reason)?;
    Ok(version)
}

fn info(ordinal: i32, driver_version: i32) -> Result<DeviceInfo, DriverError> {
    let device = result::device::get(ordinal)?;
    let capability = (
        attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
        attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
    );
    // SAFETY: `get` returned the device.
    let memory = unsafe { result::device::total_mem(device) }?;
    Ok(DeviceInfo {
        name: result::device::get_name(device)?,
        ordinal: ordinal as usize,
        capability,
        multiprocessors: attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        memory: memory as u64,
        shared_memory: attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)? as usize,
        driver_version,
    })
}

fn attribute(device: CUdevice, attribute: Attribute) -> Result<u32, DriverError> {
    // SAFETY: `get` returned the device.
    let value = unsafe { result::device::get_attribute(device, attribute) }?;
    Ok(value.try_into().unwrap_or(0))
}

fn reason(error: DriverError) -> Unavailable {
    match error.0 {
        sys::CUresult::CUDA_ERROR_NO_DEVICE => Unavailable::NoDevice,
        sys::CUresult::CUDA_ERROR_STUB_LIBRARY => Unavailable::Stub,
        sys::CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH => Unavailable::Mismatch,
        _ => {
            let (code, what) = describe(error);
            Unavailable::Failed { code, what }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Also where there is no driver: then it says so.
    #[test]
    fn devices_are_found_or_a_reason_is_given() {
        match devices() {
            Ok(devices) => {
                assert!(!devices.is_empty() && devices.iter().all(is_usable));
                assert_eq!(device(devices[0].ordinal), Ok(devices[0].clone()));
            }
            Err(reason) => {
                assert!(!reason.to_string().is_empty());
                assert!(device(0).is_err());
            }
        }
    }

    #[test]
    fn functions_are_in_order_once() {
        assert!(FUNCTIONS.is_sorted());
        assert!(FUNCTIONS.iter().all(|name| !FIRST_FUNCTIONS.contains(name)));
    }
}
