//! Bounded reading and writing of little-endian numbers.

use crate::error::DecodeError;

/// A reader of little-endian numbers and byte strings from a slice. It never reads past the end.
///
/// ```
/// use ivf_core::wire::Reader;
/// let mut reader = Reader::new("a pair", &[1, 0, 0, 0, 7]);
/// assert_eq!(reader.u32()?, 1);
/// assert!(reader.u32().is_err());
/// # Ok::<(), ivf_core::error::DecodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    what: &'static str,
    bytes: &'a [u8],
}

macro_rules! numbers {
    ($($name:ident)*) => {$(
        /// Reads the next number of this type.
        ///
        /// # Errors
        /// [`DecodeError::Truncated`] if too few bytes are left.
        pub fn $name(&mut self) -> Result<$name, DecodeError> {
            let bytes = self.bytes(size_of::<$name>())?;
            Ok($name::from_le_bytes(bytes.try_into().expect("the slice has the requested length")))
        }
    )*};
}

impl<'a> Reader<'a> {
    /// Creates a reader of `bytes`. `what` names them in errors.
    pub fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, bytes }
    }

    numbers!(u8 u16 u32 u64 i32 i64 f32);

    /// Reads the next `n` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if too few bytes are left.
    pub fn bytes(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.bytes.split_at_checked(n).ok_or(DecodeError::Truncated {
            what: self.what,
            needed: n as u64,
            left: self.bytes.len() as u64,
        })?;
        self.bytes = tail;
        Ok(head)
    }

    /// Reads a string: a `u16` length, then that number of bytes of UTF-8.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if too few bytes are left, or [`DecodeError::Value`] for bytes
    /// that are not UTF-8.
    pub fn str(&mut self) -> Result<&'a str, DecodeError> {
        let len = self.u16()?;
        let bytes = self.bytes(len.into())?;
        std::str::from_utf8(bytes).map_err(|_| DecodeError::value(self.what, "a name is not UTF-8"))
    }

    /// Reads a count (a `u32`) of items that take at least `least` bytes each. The count is checked
    /// against the number of bytes left, so that the caller can safely allocate memory for it.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if too few bytes are left for the count or for its items.
    pub fn count(&mut self, least: usize) -> Result<usize, DecodeError> {
        let count = self.u32()? as usize;
        let needed = count as u64 * least as u64;
        if needed > self.bytes.len() as u64 {
            return Err(DecodeError::Truncated { what: self.what, needed, left: self.bytes.len() as u64 });
        }
        Ok(count)
    }

    /// Returns the number of bytes that are left.
    pub fn left(&self) -> usize {
        self.bytes.len()
    }

    /// Checks that all bytes have been read.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`] if bytes are left.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.bytes.len() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing { what: self.what, left: left as u64 }),
        }
    }
}

/// Divides a typed slice into consecutive pieces, never past its end. It separates the lists of a
/// section.
///
/// The lengths of two lists divide a section:
///
/// ```
/// use ivf_core::wire::Bound;
/// let mut lists = Bound::new("the lists", &[7.0, 8.0, 9.0]);
/// assert_eq!(lists.take(2)?, [7.0, 8.0]);
/// assert!(lists.clone().take(2).is_err()); // one is left
/// assert_eq!(lists.take(1)?, [9.0]);
/// lists.finish()?; // a fourth number would be an error
/// # Ok::<(), ivf_core::error::DecodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Bound<'a, T> {
    what: &'static str,
    rest: &'a [T],
}

impl<'a, T> Bound<'a, T> {
    /// Creates a divider of `all`. `what` names it in errors.
    pub fn new(what: &'static str, all: &'a [T]) -> Self {
        Self { what, rest: all }
    }

    /// Returns the next `n` items.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if too few items are left.
    pub fn take(&mut self, n: usize) -> Result<&'a [T], DecodeError> {
        let (head, tail) = self.rest.split_at_checked(n).ok_or(DecodeError::Truncated {
            what: self.what,
            needed: n as u64,
            left: self.rest.len() as u64,
        })?;
        self.rest = tail;
        Ok(head)
    }

    /// Checks that all items have been taken.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`] if items are left.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing { what: self.what, left: left as u64 }),
        }
    }
}

/// A writer in the format of [`Reader`].
///
/// ```
/// use ivf_core::wire::{Reader, Writer};
/// let mut writer = Writer::new();
/// writer.str("flat");
/// writer.count(2);
/// writer.f32(0.5);
/// writer.f32(1.5);
/// writer.bytes(&[7, 8]);
/// let bytes = writer.into_bytes();
///
/// let mut reader = Reader::new("a record", &bytes);
/// assert_eq!(reader.str()?, "flat");
/// let numbers = reader.count(4)?; // each takes 4 bytes, so more than are left is an error
/// assert_eq!(numbers, 2);
/// assert_eq!((reader.f32()?, reader.f32()?), (0.5, 1.5));
/// assert_eq!(reader.left(), 2);
/// assert_eq!(reader.bytes(2)?, [7, 8]);
/// reader.finish()?;
/// # Ok::<(), ivf_core::error::DecodeError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

macro_rules! put_numbers {
    ($($name:ident)*) => {$(
        /// Writes a number of this type.
        pub fn $name(&mut self, value: $name) {
            self.bytes.extend(value.to_le_bytes());
        }
    )*};
}

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    put_numbers!(u8 u16 u32 u64 i32 i64 f32);

    /// Writes bytes unchanged.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// Writes a string in the format of [`Reader::str`].
    ///
    /// # Panics
    /// If it is longer than 65,535 bytes.
    pub fn str(&mut self, text: &str) {
        self.u16(text.len().try_into().expect("a string has at most 65,535 bytes"));
        self.bytes(text.as_bytes());
    }

    /// Writes a count in the format of [`Reader::count`].
    ///
    /// # Panics
    /// If it is above `u32::MAX`.
    pub fn count(&mut self, count: usize) {
        self.u32(count.try_into().expect("a count fits 32 bits"));
    }

    /// Returns the written bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_every_cut_is_an_error() {
        let mut writer = Writer::new();
        writer.u8(1);
        writer.i64(-2);
        writer.str("tag");
        writer.count(3);
        writer.bytes(&[9, 9, 9]);
        writer.f32(0.5);
        let bytes = writer.into_bytes();
        let read = |bytes: &[u8]| -> Result<(), DecodeError> {
            let mut reader = Reader::new("test", bytes);
            assert_eq!(reader.u8()?, 1);
            assert_eq!(reader.i64()?, -2);
            assert_eq!(reader.str()?, "tag");
            let n = reader.count(1)?;
            assert_eq!(reader.bytes(n)?, &[9, 9, 9]);
            assert_eq!(reader.f32()?, 0.5);
            reader.finish()
        };
        read(&bytes).unwrap();
        for cut in 0..bytes.len() {
            assert!(read(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert!(read(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn a_count_is_checked_before_anything_is_allocated() {
        let mut reader = Reader::new("test", &[0xff, 0xff, 0xff, 0xff, 0]);
        assert!(matches!(reader.count(8), Err(DecodeError::Truncated { .. })));
    }
}
