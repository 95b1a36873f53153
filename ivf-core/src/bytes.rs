//! Bytes that codes live in: aligned to a cache line, owned or shared.

use aligned_vec::{AVec, ConstAlign};
use std::fmt;
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

/// The alignment every plane of codes starts on: a cache line, and the widest vector register.
pub const ALIGN: usize = 64;

/// A growable byte buffer whose first byte stands on a 64-byte boundary.
#[derive(Clone)]
pub struct AlignedBytes(AVec<u8, ConstAlign<ALIGN>>);

impl AlignedBytes {
    /// An empty buffer.
    pub fn new() -> Self {
        Self(AVec::new(ALIGN))
    }

    /// A copy of `bytes`.
    pub fn copy_of(bytes: &[u8]) -> Self {
        Self(AVec::from_slice(ALIGN, bytes))
    }

    /// `len` zero bytes.
    pub fn zeroed(len: usize) -> Self {
        let mut bytes = Self::new();
        bytes.resize(len);
        bytes
    }

    /// Grows with zero bytes, or cuts, to `len`.
    pub fn resize(&mut self, len: usize) {
        if len > self.0.capacity() {
            // Doubling, as a `Vec` does.
            self.0.reserve(len.max(2 * self.0.capacity()) - self.0.len());
        }
        self.0.resize(len, 0);
    }
}

impl Default for AlignedBytes {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for AlignedBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for AlignedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl AsRef<[u8]> for AlignedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for AlignedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlignedBytes({} bytes)", self.len())
    }
}

/// A stretch of bytes that several owners share: a loaded section, a mapped file, a snapshot's segment. Clones are cheap.
#[derive(Clone)]
pub struct SharedBytes {
    owner: Arc<dyn AsRef<[u8]> + Send + Sync>,
    range: Range<usize>,
}

impl SharedBytes {
    /// All bytes of `owner`.
    pub fn new(owner: Arc<dyn AsRef<[u8]> + Send + Sync>) -> Self {
        let range = 0..(*owner).as_ref().len();
        Self { owner, range }
    }

    /// A part of these bytes, sharing the owner; `None` if the range does not lie inside.
    pub fn slice(&self, range: Range<usize>) -> Option<Self> {
        if range.start > range.end || range.end > self.range.len() {
            return None;
        }
        Some(Self { owner: self.owner.clone(), range: self.range.start + range.start..self.range.start + range.end })
    }
}

impl Deref for SharedBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &(*self.owner).as_ref()[self.range.clone()]
    }
}

impl From<AlignedBytes> for SharedBytes {
    fn from(bytes: AlignedBytes) -> Self {
        Self::new(Arc::new(bytes))
    }
}

impl fmt::Debug for SharedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedBytes({} bytes)", self.range.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_keeps_alignment_and_zero_fills() {
        let mut bytes = AlignedBytes::new();
        for len in [1, 63, 64, 65, 1000, 100_000, 10, 500] {
            bytes.resize(len);
            assert_eq!(bytes.len(), len);
            assert_eq!(bytes.as_ptr() as usize % ALIGN, 0);
        }
        bytes[499] = 7;
        bytes.resize(10);
        bytes.resize(500);
        assert_eq!(bytes[499], 0);
        assert_eq!(bytes.clone().as_ptr() as usize % ALIGN, 0);
    }

    #[test]
    fn slices_of_shared_bytes_stay_inside() {
        let all = SharedBytes::from(AlignedBytes::copy_of(&[1, 2, 3, 4]));
        let part = all.slice(1..3).unwrap();
        assert_eq!(&*part, &[2, 3]);
        assert_eq!(&*part.slice(1..2).unwrap(), &[3]);
        assert!(part.slice(1..3).is_none());
    }
}
