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
///
/// A section that reads its bytes when they are first needed:
///
/// ```
/// use ivf_core::Section;
/// use ivf_core::bytes::{AlignedBytes, PlaneBytes};
/// use ivf_core::error::{DecodeError, StoreError};
/// use std::{io, ops::Range, sync::OnceLock};
///
/// #[derive(Debug)]
/// struct OnDemand {
///     len: u64,
///     read: fn() -> io::Result<Vec<u8>>,
///     bytes: OnceLock<AlignedBytes>,
/// }
///
/// impl Section for OnDemand {
///     fn len(&self) -> u64 {
///         self.len
///     }
///
///     fn whole(&self) -> Result<&[u8], DecodeError> {
///         if self.bytes.get().is_none() {
///             let failed = |why: io::Error| DecodeError::Read { what: "a section".to_owned(), why: Box::new(why) };
///             let bytes = (self.read)().map_err(failed)?;
///             if bytes.len() as u64 != self.len {
///                 return Err(DecodeError::value("a section", format!("{} bytes, not {}", bytes.len(), self.len)));
///             }
///             // Of two threads that read at the same time, one keeps its bytes.
///             let _ = self.bytes.set(AlignedBytes::copy_of(&bytes));
///         }
///         Ok(self.bytes.get().map_or(&[], |bytes| bytes))
///     }
///
///     fn part(&self, range: Range<u64>) -> Result<PlaneBytes<'_>, StoreError> {
///         let whole = self.whole().map_err(|error| StoreError::Backend(Box::new(error)))?;
///         Ok(PlaneBytes::Borrowed(&whole[range.start as usize..range.end as usize]))
///     }
///
///     fn prefetch(&self, _range: Range<u64>) {
///         let _ = self.whole(); // An error occurs again when a part is read.
///     }
///
///     fn memory(&self) -> usize {
///         self.bytes.get().map_or(0, AlignedBytes::memory)
///     }
/// }
///
/// let section = OnDemand { len: 3, read: || Ok(vec![7, 8, 9]), bytes: OnceLock::new() };
/// assert_eq!((section.is_empty(), section.memory()), (false, 0));
/// section.prefetch(1..3);
/// assert!(section.memory() >= 3);
/// assert_eq!(&*section.part(1..3)?, [8, 9]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
