//! Reading and writing little-endian numbers within bounds.

use crate::error::DecodeError;

/// Reads little-endian numbers and byte runs from a slice, never past its end.
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
        /// The next number of this type.
        ///
        /// # Errors
        /// [`DecodeError::Truncated`].
        pub fn $name(&mut self) -> Result<$name, DecodeError> {
            let bytes = self.bytes(size_of::<$name>())?;
            Ok($name::from_le_bytes(bytes.try_into().expect("as many bytes as asked for")))
        }
    )*};
}

impl<'a> Reader<'a> {
    /// A reader of `bytes`; `what` names them in errors.
    pub fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, bytes }
    }

    numbers!(u8 u16 u32 u64 i32 i64 f32);

    /// The next `n` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn bytes(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.bytes.split_at_checked(n).ok_or(DecodeError::Truncated {
            what: self.what,
            needed: n as u64,
            left: self.bytes.len() as u64,
        })?;
        self.bytes = tail;
        Ok(head)
    }

    /// A string: a `u16` length and as many bytes of UTF-8.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], or [`DecodeError::Value`] for bytes that are no UTF-8.
    pub fn str(&mut self) -> Result<&'a str, DecodeError> {
        let len = self.u16()?;
        let bytes = self.bytes(len.into())?;
        std::str::from_utf8(bytes).map_err(|_| DecodeError::value(self.what, "a name is no UTF-8"))
    }

    /// A count of things that take at least `least` bytes each, checked against the bytes left, so that a caller may
    /// allocate for it.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn count(&mut self, least: usize) -> Result<usize, DecodeError> {
        let count = self.u32()? as usize;
        let needed = count as u64 * least as u64;
        if needed > self.bytes.len() as u64 {
            return Err(DecodeError::Truncated { what: self.what, needed, left: self.bytes.len() as u64 });
        }
        Ok(count)
    }

    /// Bytes not read yet.
    pub fn left(&self) -> usize {
        self.bytes.len()
    }

    /// Says that everything is read.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`].
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.bytes.len() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing { what: self.what, left: left as u64 }),
        }
    }
}

/// Hands out a typed slice piece by piece, never past its end: how the lists of a section are told apart.
#[derive(Clone, Debug)]
pub struct Bound<'a, T> {
    what: &'static str,
    rest: &'a [T],
}

impl<'a, T> Bound<'a, T> {
    /// Hands out `all`; `what` names it in errors.
    pub fn new(what: &'static str, all: &'a [T]) -> Self {
        Self { what, rest: all }
    }

    /// The next `n` items.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn take(&mut self, n: usize) -> Result<&'a [T], DecodeError> {
        let (head, tail) = self.rest.split_at_checked(n).ok_or(DecodeError::Truncated {
            what: self.what,
            needed: n as u64,
            left: self.rest.len() as u64,
        })?;
        self.rest = tail;
        Ok(head)
    }

    /// Says that everything is taken.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`].
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing { what: self.what, left: left as u64 }),
        }
    }
}

/// Writes what [`Reader`] reads.
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

    /// Writes bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// Writes a string as [`Reader::str`] reads it.
    ///
    /// # Panics
    /// If it is longer than 65,535 bytes.
    pub fn str(&mut self, text: &str) {
        self.u16(text.len().try_into().expect("a short name"));
        self.bytes(text.as_bytes());
    }

    /// Writes a count as [`Reader::count`] reads it.
    ///
    /// # Panics
    /// If it passes `u32::MAX`.
    pub fn count(&mut self, count: usize) {
        self.u32(count.try_into().expect("a count of 32 bits"));
    }

    /// What was written.
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
