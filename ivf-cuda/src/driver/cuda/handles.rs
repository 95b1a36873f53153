//! Objects of the CUDA driver, which are destroyed when dropped.
//!
//! They belong to the context that is bound to the thread when they are made. It has to be bound to
//! every thread that uses or drops them; if another is, the driver refuses.

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys;
use std::ffi::{CString, c_void};
use std::ops::Range;
use std::ptr::NonNull;
use std::slice;

/// A stream that does not wait for the default stream.
#[derive(Debug)]
pub(super) struct OwnStream(sys::CUstream);

// SAFETY: the driver's objects can be used from every thread that has their context bound.
unsafe impl Send for OwnStream {}

impl OwnStream {
    pub(super) fn new() -> Result<Self, DriverError> {
        result::stream::create(result::stream::StreamKind::NonBlocking).map(Self)
    }

    pub(super) fn raw(&self) -> sys::CUstream {
        self.0
    }

    pub(super) fn synchronize(&self) -> Result<(), DriverError> {
        // SAFETY: the stream exists.
        unsafe { result::stream::synchronize(self.0) }
    }
}

impl Drop for OwnStream {
    fn drop(&mut self) {
        // SAFETY: the stream exists, and is not used after.
        let _ = unsafe { result::stream::destroy(self.0) };
    }
}

/// A point in the operations of a stream.
#[derive(Debug)]
pub(super) struct Event(sys::CUevent);

// SAFETY: as for streams.
unsafe impl Send for Event {}

impl Event {
    pub(super) fn new() -> Result<Self, DriverError> {
        result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING).map(Self)
    }

    /// Moves the event to the end of what is in the stream now.
    pub(super) fn record(&self, stream: &OwnStream) -> Result<(), DriverError> {
        // SAFETY: both exist.
        unsafe { result::event::record(self.0, stream.raw()) }
    }

    /// Waits for the event.
    pub(super) fn synchronize(&self) -> Result<(), DriverError> {
        // SAFETY: the event exists.
        unsafe { result::event::synchronize(self.0) }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: the event exists, and is not used after.
        let _ = unsafe { result::event::destroy(self.0) };
    }
}

/// Pinned memory of the host, which the device can access while the processor goes on.
#[derive(Debug)]
pub(super) struct Pinned {
    at: NonNull<u8>,
    len: usize,
}

// SAFETY: the memory is owned, and every thread can access it.
unsafe impl Send for Pinned {}

impl Pinned {
    /// Allocates memory, all 0. Not write-combined, as cudarc's safe layer would: reading results
    /// from that is very slow.
    pub(super) fn new(len: usize) -> Result<Self, DriverError> {
        // SAFETY: no reference to the memory is made before it is written, below.
        let at = unsafe { result::malloc_host(len, 0) }?;
        let at = NonNull::new(at.cast::<u8>()).ok_or(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY))?;
        // SAFETY: the memory has this length.
        unsafe { at.write_bytes(0, len) };
        Ok(Self { at, len })
    }

    /// Returns a part of the memory. Nothing else is borrowed: the device may use the rest.
    ///
    /// # Panics
    /// If the part is not within the memory.
    pub(super) fn part(&mut self, part: Range<usize>) -> &mut [u8] {
        assert!(part.start <= part.end && part.end <= self.len);
        // SAFETY: the part begins within the memory, or at its end.
        let start = unsafe { self.at.add(part.start) };
        // SAFETY: the part is within the memory, which was written, and is borrowed as `self` is.
        unsafe { slice::from_raw_parts_mut(start.as_ptr(), part.len()) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: `malloc_host` returned the memory, and it is not used after.
        let _ = unsafe { result::free_host(self.at.as_ptr().cast::<c_void>()) };
    }
}

/// A kernel of a [`Module`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Function {
    pub(super) raw: sys::CUfunction,
    /// Size of its parameter.
    pub(super) args: usize,
    /// Bytes of dynamic shared memory that it may ask for.
    pub(super) shared: usize,
}

/// Loaded kernels.
#[derive(Debug)]
pub(super) struct Module(sys::CUmodule);

// SAFETY: as for streams.
unsafe impl Send for Module {}

impl Module {
    /// Loads kernels.
    ///
    /// # Safety
    /// `image` is a whole cubin, or text that ends with a null byte.
    pub(super) unsafe fn new(image: &[u8]) -> Result<Self, DriverError> {
        // SAFETY: the caller says so.
        unsafe { result::module::load_data(image.as_ptr().cast()) }.map(Self)
    }

    /// Returns a kernel, which must have one parameter.
    pub(super) fn function(&self, name: &str) -> Result<Function, DriverError> {
        let name = CString::new(name).map_err(|_| DriverError(sys::CUresult::CUDA_ERROR_NOT_FOUND))?;
        // SAFETY: the module exists.
        let raw = unsafe { result::module::get_function(self.0, name) }?;
        let (mut offset, mut args, mut other) = (0, 0, 0);
        // SAFETY: the function exists, and two numbers are written to where they are given.
        unsafe { sys::cuFuncGetParamInfo(raw, 0, &mut offset, &mut args) }.result()?;
        // SAFETY: as above.
        let second = unsafe { sys::cuFuncGetParamInfo(raw, 1, &mut offset, &mut other) };
        if second == sys::CUresult::CUDA_SUCCESS {
            return Err(DriverError(sys::CUresult::CUDA_ERROR_INVALID_VALUE));
        }
        let shared = attribute(raw, sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES)?;
        Ok(Function { raw, args, shared })
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // SAFETY: the module exists, and is not used after.
        let _ = unsafe { result::module::unload(self.0) };
    }
}

impl Function {
    /// Lets the kernel ask for as much shared memory as a block can have, which is `most`. Without
    /// this it may have 48 KiB.
    pub(super) fn opt_in(&mut self, most: usize) -> Result<(), DriverError> {
        let taken = attribute(self.raw, sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES)?;
        let shared = most.saturating_sub(taken);
        let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        // SAFETY: the function exists.
        unsafe { result::function::set_function_attribute(self.raw, attribute, shared as i32) }?;
        self.shared = shared;
        Ok(())
    }
}

fn attribute(function: sys::CUfunction, attribute: sys::CUfunction_attribute) -> Result<usize, DriverError> {
    // SAFETY: the function exists.
    let value = unsafe { result::function::get_function_attribute(function, attribute) }?;
    Ok(value.try_into().unwrap_or(0))
}
