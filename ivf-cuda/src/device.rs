//! A device: a driver, the memory that was taken from it, and room for searches.

use crate::driver::cuda::CudaDevice;
use crate::driver::{DeviceInfo, DevicePtr, Driver, Stream};
use crate::error::CudaError;
use crate::module::LoadOptions;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Largest share of the free memory that is by default the room of one search.
const ROOM_SHARE: u64 = 10;

/// Largest room of one search by default, in bytes.
const MOST_ROOM: u64 = 3 << 29;

/// How a [`Device`] is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceOptions {
    /// Largest number of bytes that the device's indexes and searches take together. By default,
    /// all memory of the device.
    pub budget: Option<u64>,
    /// Number of bytes of the room of one search. Batches are cut so that they fit it. By default,
    /// a tenth of the free memory, and at most 1.5 GiB.
    pub room: Option<u64>,
}

impl DeviceOptions {
    /// Sets the budget, in bytes.
    #[must_use]
    pub fn budget(self, bytes: u64) -> Self {
        Self { budget: Some(bytes), ..self }
    }

    /// Sets the room of one search, in bytes.
    #[must_use]
    pub fn room(self, bytes: u64) -> Self {
        Self { room: Some(bytes), ..self }
    }
}

/// A device, shared by all indexes on it. Clones are the same device.
///
/// ```
/// use ivf_cuda::{CudaError, Device, DeviceOptions, LoadOptions};
/// match Device::open(0, &LoadOptions::default(), DeviceOptions::default().budget(8 << 30)) {
///     Ok(device) => println!("{}: {} bytes in use", device.info().name, device.used()),
///     // There is none on most machines.
///     Err(CudaError::Unavailable(why)) => println!("{why}"),
///     Err(error) => return Err(error.into()),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Device(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    driver: Arc<dyn Driver>,
    options: DeviceOptions,
    used: Mutex<u64>,
    /// Rooms of searches that have ended.
    rooms: Mutex<Vec<Room>>,
}

/// A mutex guards plain data, which is whole even if a thread panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Device {
    /// Opens the CUDA device with this number.
    ///
    /// # Errors
    /// [`CudaError::Unavailable`] without a usable device, [`CudaError::NoSuchDevice`],
    /// [`CudaError::Kernels`] if the kernels cannot be loaded, [`CudaError::Driver`].
    pub fn open(ordinal: usize, load: &LoadOptions, options: DeviceOptions) -> Result<Self, CudaError> {
        Ok(Self::with_driver(Arc::new(CudaDevice::open(ordinal, load)?), options))
    }

    /// Uses another driver, such as one that runs the kernels on the CPU.
    pub fn with_driver(driver: Arc<dyn Driver>, options: DeviceOptions) -> Self {
        Self(Arc::new(Inner { driver, options, used: Mutex::new(0), rooms: Mutex::new(Vec::new()) }))
    }

    /// Returns what is known of the device.
    pub fn info(&self) -> &DeviceInfo {
        self.0.driver.info()
    }

    /// Returns the number of bytes that indexes and searches take on the device.
    pub fn used(&self) -> u64 {
        *lock(&self.0.used)
    }

    /// Frees the memory of searches that have ended. The next ones allocate it again.
    pub fn trim(&self) {
        self.0.free_rooms();
    }

    pub(crate) fn driver(&self) -> &dyn Driver {
        &*self.0.driver
    }

    /// Allocates memory within the budget.
    pub(crate) fn alloc(&self, bytes: u64, what: &'static str) -> Result<Buffer, CudaError> {
        let bytes = bytes.max(1);
        Ok(Buffer { at: self.0.alloc(bytes, what)?, device: self.clone(), bytes })
    }

    /// Allocates memory and writes to it.
    pub(crate) fn upload<T: bytemuck::NoUninit>(
        &self,
        stream: Stream,
        data: &[T],
        what: &'static str,
    ) -> Result<Buffer, CudaError> {
        let bytes: &[u8] = bytemuck::cast_slice(data);
        let buffer = self.alloc(bytes.len() as u64, what)?;
        if !bytes.is_empty() {
            self.driver().write(stream, buffer.at, bytes)?;
        }
        Ok(buffer)
    }

    /// Returns the number of bytes that one search should take at most.
    pub(crate) fn room_bytes(&self) -> Result<u64, CudaError> {
        if let Some(room) = self.0.options.room {
            return Ok(room);
        }
        let (mut free, _) = self.driver().memory()?;
        if let Some(limit) = self.0.options.budget {
            free = free.min(limit.saturating_sub(self.used()));
        }
        Ok((free / ROOM_SHARE).min(MOST_ROOM))
    }

    /// Returns a room for a search, which nobody else uses meanwhile.
    pub(crate) fn room(&self) -> Result<RoomGuard, CudaError> {
        let known = lock(&self.0.rooms).pop();
        let room = match known {
            Some(room) => room,
            None => Room { stream: self.driver().stream()?, at: DevicePtr(0), bytes: 0 },
        };
        Ok(RoomGuard { device: self.clone(), room: Some(room) })
    }
}

/// Memory on a device, freed when dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    device: Device,
    at: DevicePtr,
    bytes: u64,
}

impl Buffer {
    pub(crate) fn at(&self) -> DevicePtr {
        self.at
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.device.0.free(self.at, self.bytes);
    }
}

/// A stream and memory for one search.
#[derive(Debug)]
struct Room {
    stream: Stream,
    at: DevicePtr,
    bytes: u64,
}

/// A room in use. It is given back when dropped. Its address stays the same from search to search,
/// so that equal searches launch equal sequences.
#[derive(Debug)]
pub(crate) struct RoomGuard {
    device: Device,
    room: Option<Room>,
}

impl RoomGuard {
    /// Returns the device.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    pub(crate) fn stream(&self) -> Stream {
        self.room.as_ref().map_or(Stream(0), |room| room.stream)
    }

    /// Returns the address of at least `bytes` bytes. What an earlier call returned is free then.
    pub(crate) fn take(&mut self, bytes: u64) -> Result<DevicePtr, CudaError> {
        let inner = &self.device.0;
        let Some(room) = &mut self.room else { return Ok(DevicePtr(0)) };
        if room.bytes < bytes {
            let (at, old) = (std::mem::take(&mut room.at), std::mem::take(&mut room.bytes));
            inner.free(at, old);
            room.at = inner.alloc(bytes, "a search")?;
            room.bytes = bytes;
        }
        Ok(room.at)
    }
}

impl Drop for RoomGuard {
    fn drop(&mut self) {
        if let Some(room) = self.room.take() {
            lock(&self.device.0.rooms).push(room);
        }
    }
}

impl Inner {
    fn alloc(&self, wanted: u64, what: &'static str) -> Result<DevicePtr, CudaError> {
        let device = || self.driver.info().name.clone();
        let mut used = lock(&self.used);
        if let Some(limit) = self.options.budget {
            let free = limit.saturating_sub(*used);
            if wanted > free {
                return Err(CudaError::OutOfMemory { device: device(), what, wanted, free, limit });
            }
        }
        let size = usize::try_from(wanted).unwrap_or(usize::MAX);
        let at = self.driver.alloc(size).map_err(|error| match error {
            CudaError::OutOfMemory { free, limit, .. } => {
                CudaError::OutOfMemory { device: device(), what, wanted, free, limit }
            }
            other => other,
        })?;
        *used += wanted;
        Ok(at)
    }

    fn free(&self, at: DevicePtr, bytes: u64) {
        if bytes > 0 {
            self.driver.free(at);
            *lock(&self.used) -= bytes;
        }
    }

    fn free_rooms(&self) {
        for room in lock(&self.rooms).iter_mut() {
            self.free(std::mem::take(&mut room.at), std::mem::take(&mut room.bytes));
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.free_rooms();
    }
}
