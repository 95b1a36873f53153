//! Copies between the host's memory and the device's, by way of pinned memory.
//!
//! On some systems, a copy from ordinary memory reads it after the call returned. What goes through
//! this pinned memory leaves its source free at once, and costs another copy on the host.
//!
//! ```text
//! half 0 | write | write | write      | free |      recorded when half 1 was begun
//! half 1 | write | write | next ...   |             when full, half 0 is waited for
//! ```

use super::handles::{Event, OwnStream, Pinned};
use cudarc::driver::result::{self, DriverError};
use std::ops::Range;

/// Bytes of a half.
const HALF: usize = 4 << 20;

/// Writes begin at multiples of this, which copies are fastest from.
const ALIGNMENT: usize = 256;

/// Pinned memory of a stream.
#[derive(Debug)]
pub(super) struct Staging {
    halves: [Half; 2],
    /// The half that is being filled.
    current: usize,
    /// Bytes of it that are in use.
    used: usize,
}

#[derive(Debug)]
struct Half {
    pinned: Pinned,
    /// After the last copy from or to this half.
    copied: Event,
    /// Whether the event has to be waited for.
    is_recorded: bool,
}

impl Half {
    fn new() -> Result<Self, DriverError> {
        Ok(Self { pinned: Pinned::new(HALF)?, copied: Event::new()?, is_recorded: false })
    }

    /// Waits until no copy uses this half, if the other was begun after it.
    fn wait(&mut self) -> Result<(), DriverError> {
        if self.is_recorded {
            self.copied.synchronize()?;
            self.is_recorded = false;
        }
        Ok(())
    }
}

impl Staging {
    pub(super) fn new() -> Result<Self, DriverError> {
        Ok(Self { halves: [Half::new()?, Half::new()?], current: 0, used: 0 })
    }

    /// Writes to the device, after what is in the stream. The bytes may be changed at once.
    pub(super) fn write(&mut self, stream: &OwnStream, to: u64, bytes: &[u8]) -> Result<(), DriverError> {
        for (to, chunk) in (to..).step_by(HALF).zip(bytes.chunks(HALF)) {
            let part = self.reserve(stream, chunk.len())?;
            let pinned = self.halves[self.current].pinned.part(part);
            pinned.copy_from_slice(chunk);
            // SAFETY: the device has the memory, which the caller checked. The pinned bytes are not
            // changed before the copy ended: `reserve` waits for it.
            unsafe { result::memcpy_htod_async(to, pinned, stream.raw()) }?;
        }
        Ok(())
    }

    /// Reads from the device, after what is in the stream, and waits for it.
    pub(super) fn read(&mut self, stream: &OwnStream, from: u64, bytes: &mut [u8]) -> Result<(), DriverError> {
        // A chunk is taken out of its half while the next comes into the other.
        let mut last: Option<(usize, Range<usize>, &mut [u8])> = None;
        for (from, chunk) in (from..).step_by(HALF).zip(bytes.chunks_mut(HALF)) {
            let part = self.reserve(stream, chunk.len())?;
            let pinned = self.halves[self.current].pinned.part(part.clone());
            // SAFETY: the device has the memory, which the caller checked. The pinned bytes are not
            // accessed before the copy ended: that is waited for, and if it fails they are left
            // alone.
            unsafe { result::memcpy_dtoh_async(pinned, from, stream.raw()) }?;
            if let Some((number, part, chunk)) = last.replace((self.current, part, chunk)) {
                let half = &mut self.halves[number];
                half.wait()?;
                chunk.copy_from_slice(half.pinned.part(part));
            }
        }
        stream.synchronize()?;
        if let Some((number, part, chunk)) = last {
            chunk.copy_from_slice(self.halves[number].pinned.part(part));
        }
        self.used = 0;
        self.halves.iter_mut().for_each(|half| half.is_recorded = false);
        Ok(())
    }

    /// Returns `len` bytes of the current half, at most all, that no copy uses.
    fn reserve(&mut self, stream: &OwnStream, len: usize) -> Result<Range<usize>, DriverError> {
        if self.used + len > HALF {
            let full = &mut self.halves[self.current];
            full.copied.record(stream)?;
            full.is_recorded = true;
            self.halves[1 - self.current].wait()?;
            self.current = 1 - self.current;
            self.used = 0;
        }
        let start = self.used;
        self.used = (start + len).next_multiple_of(ALIGNMENT);
        Ok(start..start + len)
    }
}

/// Writes to the device without pinned memory, and waits for it.
pub(super) fn write_directly(stream: &OwnStream, to: u64, bytes: &[u8]) -> Result<(), DriverError> {
    stream.synchronize()?;
    // SAFETY: the device has the memory, which the caller checked. The bytes are read before the
    // call returns.
    unsafe { result::memcpy_htod_sync(to, bytes) }?;
    // They may still be on their way to the device, in the default stream.
    // SAFETY: the default stream exists always.
    unsafe { result::stream::synchronize(result::stream::null()) }
}

/// Reads from the device without pinned memory, and waits for it.
pub(super) fn read_directly(stream: &OwnStream, from: u64, bytes: &mut [u8]) -> Result<(), DriverError> {
    stream.synchronize()?;
    // SAFETY: the device has the memory, which the caller checked. The bytes are there when the
    // call returns.
    unsafe { result::memcpy_dtoh_sync(bytes, from) }
}
