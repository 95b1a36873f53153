//! The first 64 bytes of a container.

use super::error::ContainerError;
use crate::looks::{Expected, Looks};
use ivf_core::error::DecodeError;
use ivf_core::wire::{Reader, Writer};

/// The version of the format, major and minor, that this library writes.
///
/// It also reads version 1.0, whose nodes hold their fields without names. It refuses a file of a
/// later minor version, which may hold data that only a later library understands. The format is
/// frozen: every later library reads the files that this one writes.
pub const FORMAT_VERSION: (u16, u16) = (2, 0);

/// The newest version of each major version that this library reads.
pub(super) const NEWEST: [(u16, u16); 2] = [(1, 0), FORMAT_VERSION];

/// Length of a preamble in bytes.
pub(super) const LEN: usize = 64;

/// Magic number, modelled on PNG's: a non-ASCII byte, the name, and line ends that a transfer in
/// text mode would change.
const MAGIC: [u8; 8] = *b"\x89IVF\r\n\x1a\n";

/// Number of bytes before the preamble's own checksum, which covers them.
const CHECKED: usize = LEN - size_of::<u32>();

const RESERVED: [u8; 28] = [0; 28];

/// Contents of a preamble.
///
/// ```text
/// 0      8      10     12          16             24           32        60          64
/// | magic | major | minor | header crc | header length | file length | zeros | this crc |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Preamble {
    /// The version of the format, major and minor.
    pub(super) version: (u16, u16),
    /// CRC32C of the header.
    pub(super) header_crc: u32,
    /// Length in bytes of the header, which follows the preamble.
    pub(super) header_len: u64,
    /// Length in bytes of the whole file.
    pub(super) file_len: u64,
}

impl Preamble {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut out = Writer::new();
        out.bytes(&MAGIC);
        out.u16(self.version.0);
        out.u16(self.version.1);
        out.u32(self.header_crc);
        out.u64(self.header_len);
        out.u64(self.file_len);
        out.bytes(&RESERVED);
        let mut bytes = out.into_bytes();
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    /// Parses the first bytes, at most [`LEN`], of a file that is `actual_len` bytes long. Checks
    /// that the header lies inside the file.
    pub(super) fn parse(bytes: &[u8], actual_len: u64) -> Result<Self, ContainerError> {
        if !MAGIC.starts_with(&bytes[..bytes.len().min(MAGIC.len())]) {
            return Err(ContainerError::Magic { looks: Looks::of(bytes, Some(actual_len), Expected::Index) });
        }
        let mut reader = Reader::new("the preamble", bytes);
        reader.bytes(MAGIC.len())?;
        // The version is checked before the checksum: in another version, the rest of the preamble
        // may differ.
        let (major, minor) = (reader.u16()?, reader.u16()?);
        if !NEWEST.iter().any(|&(known, newest)| major == known && minor <= newest) {
            return Err(ContainerError::Version { major, minor });
        }
        let version = (major, minor);
        let preamble = Self { version, header_crc: reader.u32()?, header_len: reader.u64()?, file_len: reader.u64()? };
        let reserved = reader.bytes(RESERVED.len())?;
        let crc = reader.u32()?;
        reader.finish()?;
        if crc != crc32c::crc32c(&bytes[..CHECKED]) {
            return Err(DecodeError::Checksum { what: "the preamble".to_owned() }.into());
        }
        if reserved != RESERVED {
            return Err(DecodeError::value("the preamble", "reserved bytes are not zero").into());
        }
        preamble.check_lengths(actual_len)?;
        Ok(preamble)
    }

    fn check_lengths(&self, actual_len: u64) -> Result<(), DecodeError> {
        if self.file_len > actual_len {
            return Err(DecodeError::Truncated { what: "the file", needed: self.file_len, left: actual_len });
        }
        if self.file_len < actual_len {
            return Err(DecodeError::Trailing { what: "the file", left: actual_len - self.file_len });
        }
        let left = self.file_len.saturating_sub(LEN as u64);
        if self.header_len > left {
            return Err(DecodeError::Truncated { what: "the header", needed: self.header_len, left });
        }
        Ok(())
    }
}
