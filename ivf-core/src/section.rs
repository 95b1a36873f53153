//! The bytes of a stored array, wherever they lie.

use crate::bytes::AlignedBytes;
use crate::error::{DecodeError, StoreError};
use crate::lists::PlaneBytes;
use std::fmt;
use std::ops::Range;

/// The bytes of a [`StoredArray`](crate::node::StoredArray): in memory, in a mapped file, or in a file that is read when somebody asks.
///
/// What is small is asked for [whole](Self::whole), and checked; lists ask for the [part](Self::part) that a search needs.
/// Both sides may rely on: calls may come from many threads at once; the first byte stands on a 64-byte boundary, and so does that
/// of a part whose start is a multiple of 64.
pub trait Section: Send + Sync + fmt::Debug {
    /// Length in bytes.
    fn len(&self) -> u64;

    /// True if there are no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All bytes, in memory, as they were written: where a checksum is known, it was compared.
    ///
    /// # Errors
    /// [`DecodeError::Checksum`], or [`DecodeError::Read`] if the bytes cannot be had.
    fn whole(&self) -> Result<&[u8], DecodeError>;

    /// Some of the bytes, as they are now: no checksum vouches for them, so they may be any.
    ///
    /// # Errors
    /// [`StoreError::Backend`] if they cannot be had.
    ///
    /// # Panics
    /// May panic if the range does not lie inside.
    fn part(&self, range: Range<u64>) -> Result<PlaneBytes<'_>, StoreError>;

    /// This part is about to be asked for: a hint.
    fn prefetch(&self, _range: Range<u64>) {}

    /// Bytes of memory that are held for as long as the section is.
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
