//! The [`Driver`] of an NVIDIA GPU.
//!
//! Above cudarc's thin layer: its safe one records events around every launch once there is a
//! second stream, and frees memory without binding the context.

mod graphs;
mod handles;
mod staging;

use crate::driver::{DeviceInfo, DevicePtr, Driver, Launch, Stream};
use crate::error::CudaError;
use crate::module::nvrtc::Nvrtc;
use crate::module::{self, Compiler, LoadOptions, Origin};
use crate::probe;
use cudarc::driver::CudaContext;
use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::CUresult;
use graphs::{Graph, Graphs, Met};
use handles::{Function, Module, OwnStream};
use staging::Staging;
use std::collections::{BTreeMap, HashMap};
use std::ffi::c_void;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

/// Errors that leave the context unusable, by CUDA's manual, or may (999 is an unknown one). They
/// come late, from an operation that another thread may have started.
const FINAL_ERRORS: &[i32] =
    &[4, 201, 214, 220, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 721, 810, 911, 999];

/// An NVIDIA GPU, with the kernels loaded.
///
/// Uses the primary context of the device, as the CUDA runtime and other libraries do. An operation
/// leaves that context bound to the thread that called it.
pub struct CudaDevice {
    info: DeviceInfo,
    origin: Origin,
    /// The error that made the device unusable.
    final_error: OnceLock<String>,
    /// An error of `free`, for the next operation.
    kept_error: Mutex<Option<CudaError>>,
    /// The length of what is allocated at each address.
    allocations: Mutex<BTreeMap<u64, u64>>,
    lanes: RwLock<Vec<Arc<Mutex<Lane>>>>,
    kernels: Mutex<Kernels>,
    // Last, so that it is released after what belongs to it.
    context: Arc<CudaContext>,
}

/// A stream, and what only it uses.
#[derive(Debug)]
struct Lane {
    graphs: Graphs<Graph>,
    /// None if there is no pinned memory to be had.
    staging: Option<Staging>,
    stream: OwnStream,
}

/// The kernels, and those that were launched so far, by their names.
#[derive(Debug)]
struct Kernels {
    functions: HashMap<&'static str, Function>,
    module: Module,
}

// SAFETY: the functions are part of the module, and like it can be used from every thread that has
// the context bound.
unsafe impl Send for Kernels {}

impl CudaDevice {
    /// Opens the device with a number, and loads the kernels.
    ///
    /// # Errors
    /// [`CudaError::Unavailable`] or [`CudaError::NoSuchDevice`] if there is none, and
    /// [`CudaError::Kernels`] if the kernels cannot be loaded.
    pub fn open(ordinal: usize, options: &LoadOptions) -> Result<Self, CudaError> {
        let info = probe::device(ordinal)?;
        let context = CudaContext::new(ordinal).map_err(|error| error_of(&info, "opening the device", 0, error))?;
        let compiler = if options.nvrtc { Nvrtc::find() } else { None };
        let compiler = compiler.as_ref().map(|compiler| compiler as &dyn Compiler);
        let (module, origin) = module::load(&info, options.cache.clone(), compiler, |image| {
            // SAFETY: the image is a cubin of NVRTC, perhaps from a file with a checksum, or PTX
            // with a null byte at its end.
            unsafe { Module::new(image) }.map_err(|error| probe::describe(error).1)
        })?;
        Ok(Self {
            info,
            origin,
            final_error: OnceLock::new(),
            kept_error: Mutex::default(),
            allocations: Mutex::default(),
            lanes: RwLock::default(),
            kernels: Mutex::new(Kernels { functions: HashMap::new(), module }),
            context,
        })
    }

    /// Returns where the kernels were taken from.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Begins an operation: fails if an earlier error forbids it or was kept, and binds the
    /// context.
    fn begin(&self) -> Result<(), CudaError> {
        self.bind()?;
        lock(&self.kept_error).take().map_or(Ok(()), Err)
    }

    fn bind(&self) -> Result<(), CudaError> {
        if let Some(cause) = self.final_error.get() {
            return Err(CudaError::Poisoned { device: self.info.name.clone(), cause: cause.clone() });
        }
        self.check("binding the context", self.context.bind_to_thread())
    }

    fn check<T>(&self, operation: &'static str, done: Result<T, DriverError>) -> Result<T, CudaError> {
        done.map_err(|error| self.failed(operation, 0, error))
    }

    /// Returns the error of an operation that asked for `wanted` bytes of memory. Remembers it if
    /// it is final.
    fn failed(&self, operation: &'static str, wanted: u64, error: DriverError) -> CudaError {
        let failed = error_of(&self.info, operation, wanted, error);
        if FINAL_ERRORS.contains(&(error.0 as i32)) {
            // If another thread was first, its error is as good.
            let _ = self.final_error.set(failed.to_string());
        }
        failed
    }

    fn refused(&self, operation: &'static str, what: String) -> CudaError {
        let code = CUresult::CUDA_ERROR_INVALID_VALUE as i32;
        CudaError::Driver { device: self.info.name.clone(), operation, code, what }
    }

    fn lane(&self, operation: &'static str, stream: Stream) -> Result<Arc<Mutex<Lane>>, CudaError> {
        let lanes = self.lanes.read().unwrap_or_else(PoisonError::into_inner);
        let lane = usize::try_from(stream.0).ok().and_then(|number| lanes.get(number)).cloned();
        lane.ok_or_else(|| self.refused(operation, format!("there is no stream {}", stream.0)))
    }

    /// Fails unless the bytes, if any, lie in memory that was allocated. Where the device shares
    /// the host's page tables, another address could be the host's.
    fn check_range(&self, operation: &'static str, at: DevicePtr, bytes: usize) -> Result<(), CudaError> {
        let allocations = lock(&self.allocations);
        let is_within = allocations.range(..=at.0).next_back().is_some_and(|(start, len)| {
            let offset = at.0 - start;
            offset <= *len && bytes as u64 <= len - offset
        });
        if is_within || bytes == 0 {
            return Ok(());
        }
        Err(self.refused(operation, format!("{bytes} bytes at {:#x} are not allocated", at.0)))
    }

    /// Returns the kernel of a launch, ready for it.
    fn function(&self, launch: &Launch) -> Result<Function, CudaError> {
        let kernels = &mut *lock(&self.kernels);
        let mut function = match kernels.functions.get(launch.kernel) {
            Some(function) => *function,
            None => kernels.module.function(launch.kernel).map_err(|error| match error.0 {
                CUresult::CUDA_ERROR_NOT_FOUND => CudaError::Kernels(format!("there is no kernel {}", launch.kernel)),
                _ => self.failed("looking for a kernel", 0, error),
            })?,
        };
        if launch.shared > function.shared {
            self.check("asking for shared memory", function.opt_in(self.info.shared_memory))?;
        }
        kernels.functions.insert(launch.kernel, function);
        if launch.args.len() != function.args {
            let what = format!("{} takes {} bytes, not {}", launch.kernel, function.args, launch.args.len());
            return Err(self.refused("a launch", what));
        }
        Ok(function)
    }
}

impl Driver for CudaDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn memory(&self) -> Result<(u64, u64), CudaError> {
        self.begin()?;
        let (free, total) = self.check("asking for free memory", result::mem_get_info())?;
        Ok((free as u64, total as u64))
    }

    fn alloc(&self, bytes: usize) -> Result<DevicePtr, CudaError> {
        self.begin()?;
        // The driver refuses to allocate nothing.
        let bytes = bytes.max(1);
        // SAFETY: the memory's content is arbitrary, and is read as bytes only.
        let allocated = unsafe { result::malloc_sync(bytes) };
        let at = allocated.map_err(|error| self.failed("an allocation", bytes as u64, error))?;
        lock(&self.allocations).insert(at, bytes as u64);
        Ok(DevicePtr(at))
    }

    fn free(&self, at: DevicePtr) {
        const FREE: &str = "a release of memory";
        let freed = (|| {
            let refused = || self.refused(FREE, format!("{:#x} is not allocated", at.0));
            if !lock(&self.allocations).contains_key(&at.0) {
                return Err(refused());
            }
            self.bind()?;
            // Stream by stream, since the whole context cannot be waited for while another thread
            // captures.
            let lanes = self.lanes.read().unwrap_or_else(PoisonError::into_inner).clone();
            for lane in lanes {
                let done = lock(&lane).stream.synchronize();
                self.check(FREE, done)?;
            }
            lock(&self.allocations).remove(&at.0).ok_or_else(refused)?;
            // SAFETY: the memory was allocated, is freed once, and no stream uses it any more.
            self.check(FREE, unsafe { result::free_sync(at.0) })
        })();
        if let Err(error) = freed {
            lock(&self.kept_error).get_or_insert(error);
        }
    }

    fn stream(&self) -> Result<Stream, CudaError> {
        self.begin()?;
        let stream = self.check("making a stream", OwnStream::new())?;
        let lane = Lane { graphs: Graphs::default(), staging: Staging::new().ok(), stream };
        let mut lanes = self.lanes.write().unwrap_or_else(PoisonError::into_inner);
        lanes.push(Arc::new(Mutex::new(lane)));
        Ok(Stream(lanes.len() as u64 - 1))
    }

    fn write(&self, stream: Stream, to: DevicePtr, bytes: &[u8]) -> Result<(), CudaError> {
        const WRITE: &str = "a write to the device";
        self.begin()?;
        self.check_range(WRITE, to, bytes.len())?;
        let lane = self.lane(WRITE, stream)?;
        let Lane { staging, stream, .. } = &mut *lock(&lane);
        let done = match staging {
            Some(staging) => staging.write(stream, to.0, bytes),
            None => staging::write_directly(stream, to.0, bytes),
        };
        self.check(WRITE, done)
    }

    fn read(&self, stream: Stream, from: DevicePtr, bytes: &mut [u8]) -> Result<(), CudaError> {
        const READ: &str = "a read from the device";
        self.begin()?;
        self.check_range(READ, from, bytes.len())?;
        let lane = self.lane(READ, stream)?;
        if bytes.is_empty() {
            return Ok(());
        }
        let Lane { staging, stream, .. } = &mut *lock(&lane);
        let done = match staging {
            Some(staging) => staging.read(stream, from.0, bytes),
            None => staging::read_directly(stream, from.0, bytes),
        };
        self.check(READ, done)
    }

    fn fill(&self, stream: Stream, at: DevicePtr, value: u8, bytes: usize) -> Result<(), CudaError> {
        const FILL: &str = "a fill of device memory";
        self.begin()?;
        self.check_range(FILL, at, bytes)?;
        let lane = self.lane(FILL, stream)?;
        if bytes == 0 {
            return Ok(());
        }
        // SAFETY: the device has the memory, and the stream exists.
        self.check(FILL, unsafe { result::memset_d8_async(at.0, value, bytes, lock(&lane).stream.raw()) })
    }

    fn copy(&self, stream: Stream, from: DevicePtr, to: DevicePtr, bytes: usize) -> Result<(), CudaError> {
        const COPY: &str = "a copy within the device";
        self.begin()?;
        self.check_range(COPY, from, bytes)?;
        self.check_range(COPY, to, bytes)?;
        let lane = self.lane(COPY, stream)?;
        if bytes == 0 {
            return Ok(());
        }
        // SAFETY: the device has the memory, and the stream exists.
        self.check(COPY, unsafe { result::memcpy_dtod_async(to.0, from.0, bytes, lock(&lane).stream.raw()) })
    }

    fn launch(&self, stream: Stream, launches: &[Launch]) -> Result<(), CudaError> {
        const LAUNCH: &str = "a launch";
        self.begin()?;
        let lane = self.lane(LAUNCH, stream)?;
        let Lane { graphs, stream, .. } = &mut *lock(&lane);
        // A graph takes about as long to start as one kernel.
        let met = if launches.len() < 2 { Met::Launch } else { graphs.meet(launches) };
        if let Met::Graph(graph) = met {
            return self.check(LAUNCH, graph.launch(stream));
        }
        let is_captured = matches!(met, Met::Capture);
        let functions = launches.iter().map(|launch| self.function(launch)).collect::<Result<Vec<_>, _>>()?;
        let kernels = functions.iter().zip(launches);
        let start = || kernels.clone().try_for_each(|(function, launch)| start(stream, function, launch));
        if is_captured {
            let graph = Graph::capture(stream, start);
            graphs.keep(graph);
            if let Met::Graph(graph) = graphs.meet(launches) {
                return self.check(LAUNCH, graph.launch(stream));
            }
        }
        self.check(LAUNCH, start())
    }

    fn synchronize(&self, stream: Stream) -> Result<(), CudaError> {
        self.begin()?;
        let lane = self.lane("waiting", stream)?;
        let done = lock(&lane).stream.synchronize();
        self.check("waiting", done)
    }
}

impl Drop for CudaDevice {
    /// Waits for the streams. All errors are ignored: nobody is left to be told.
    fn drop(&mut self) {
        // The fields are dropped after this, with the context still bound.
        let _ = self.context.bind_to_thread();
        for lane in self.lanes.get_mut().unwrap_or_else(PoisonError::into_inner) {
            let _ = lock(lane).stream.synchronize();
        }
        for at in std::mem::take(&mut *lock(&self.allocations)).into_keys() {
            // SAFETY: the memory was allocated and not freed, and no stream uses it any more.
            let _ = unsafe { result::free_sync(at) };
        }
    }
}

impl fmt::Debug for CudaDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CudaDevice").field("info", &self.info).field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// Launches a kernel, or adds it to what is captured of the stream.
fn start(stream: &OwnStream, function: &Function, launch: &Launch) -> Result<(), DriverError> {
    let grid = (launch.grid[0], launch.grid[1], 1);
    let shared = u32::try_from(launch.shared).unwrap_or(u32::MAX);
    let mut args = [launch.args.as_ptr().cast_mut().cast::<c_void>()];
    // SAFETY: the stream and the function exist. The function has one parameter of as many bytes
    // (`CudaDevice::function`), which are read before the call returns. What the kernel does with
    // the addresses in them is up to the engine that made the launch.
    unsafe { result::launch_kernel(function.raw, grid, (launch.threads, 1, 1), shared, stream.raw(), &mut args) }
}

fn error_of(info: &DeviceInfo, operation: &'static str, wanted: u64, error: DriverError) -> CudaError {
    let device = info.name.clone();
    if error.0 == CUresult::CUDA_ERROR_OUT_OF_MEMORY {
        let (free, limit) = result::mem_get_info().map_or((0, info.memory), |(free, all)| (free as u64, all as u64));
        // Other operations do not tell how much they need.
        let what = if wanted > 0 { "device memory" } else { operation };
        return CudaError::OutOfMemory { device, what, wanted, free, limit };
    }
    let (code, what) = probe::describe(error);
    CudaError::Driver { device, operation, code, what }
}

/// Locks also what a thread that panicked had locked: every state in between is a valid one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
