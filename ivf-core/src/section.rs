//! Access to the bytes of a stored array, in memory or in a file.

use crate::bytes::{AlignedBytes, PlaneBytes};
use crate::error::{DecodeError, StoreError};
use std::fmt;
use std::ops::Range;

/// The bytes of a [`StoredArray`](crate::node::StoredArray): in memory, in a mapped file, or in a
/// file that is read on demand.
///
/// Small arrays are read [whole](Self::whole), which verifies their checksum. Lists read the
/// [part](Self::part) that a search needs.
///
/// Implementations and callers rely on this contract. Calls may come from many threads at the same
/// time. The first byte is aligned to 64 bytes, and so is the first byte of a part whose start is a
/// multiple of 64.
pub trait Section: Send + Sync + fmt::Debug {
    /// Returns the length in bytes.
    fn len(&self) -> u64;

    /// Returns true if there are no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns all bytes, in memory. If a checksum is known, it has been verified.
    ///
    /// # Errors
    /// [`DecodeError::Checksum`] if the checksum differs, or [`DecodeError::Read`] if the bytes
    /// cannot be read.
    fn whole(&self) -> Result<&[u8], DecodeError>;

    /// Returns some of the bytes, as they are now. No checksum is verified, so a caller must be
    /// prepared for arbitrary bytes.
    ///
    /// # Errors
    /// [`StoreError::Backend`] if they cannot be read.
    ///
    /// # Panics
    /// May panic if the range ends past the last byte.
    fn part(&self, range: Range<u64>) -> Result<PlaneBytes<'_>, StoreError>;

    /// Gives the hint that this part will be read soon.
    fn prefetch(&self, _range: Range<u64>) {}

    /// Returns the memory that the section holds for its whole lifetime, in bytes.
    fn memory(&self) -> usize;
}

impl Section for AlignedBytes {
    fn len(&self) -> u64 {
        (**self).len() as u64
    }

    fn whole(&self) -> Result<&[u8], DecodeError> {
        Ok(self)
    }

    fn part(&self, range: Range<u64>) -> Result<PlaneBytes<'_>, StoreError> {
        Ok(PlaneBytes::Borrowed(&self[range.start as usize..range.end as usize]))
    }

    fn memory(&self) -> usize {
        AlignedBytes::memory(self)
    }
}
