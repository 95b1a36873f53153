//! Reading a container into memory.

use super::error::{ContainerError, ReadError};
use super::header::Header;
use super::preamble::{self, Preamble};
use crate::file;
use ivf_core::StoredNode;
use ivf_core::bytes::{ALIGN, AlignedBytes, SharedBytes};
use ivf_core::error::DecodeError;
use std::io::Read;
use std::path::Path;

/// Reads the tree of nodes of the file at `path`. All bytes are checked; each array is read straight into memory of its own
/// that begins on a 64-byte boundary.
///
/// Whatever the file holds, the answer is a tree or an error: no panic, and no more memory than a small multiple of the
/// file's length.
///
/// # Errors
/// [`ReadError`] with the path: the file cannot be read, is no container, has another format version, or is damaged.
pub fn read_container(path: &Path) -> Result<StoredNode, ReadError> {
    let read = || {
        let (file, len) = file::open(path)?;
        read_from(file, len)
    };
    read().map_err(|why| ReadError { path: path.to_owned(), why })
}

/// Reads the tree of nodes of a container in memory, as [`read_container`] reads a file.
///
/// # Errors
/// [`ContainerError`].
pub fn decode_container(bytes: &[u8]) -> Result<StoredNode, ContainerError> {
    read_from(bytes, bytes.len() as u64)
}

/// Reads a container of `len` bytes, in order and each byte once.
fn read_from(mut input: impl Read, len: u64) -> Result<StoredNode, ContainerError> {
    if len == 0 {
        return Err(ContainerError::Empty);
    }
    let mut start = vec![0; len.min(preamble::LEN as u64) as usize];
    input.read_exact(&mut start)?;
    let preamble = Preamble::parse(&start, len)?;

    // Every length from here on was compared with that of the file before memory is taken for it.
    let mut bytes = vec![0; in_memory("the header", preamble.header_len)?];
    input.read_exact(&mut bytes)?;
    check(&bytes, preamble.header_crc, || "the header".to_owned())?;
    let header = Header::parse(&bytes, len)?;

    let mut end = preamble::LEN as u64 + preamble.header_len;
    let mut sections: Vec<SharedBytes> = Vec::with_capacity(header.sections.len());
    for (i, section) in header.sections.iter().enumerate() {
        let mut gap = [0; ALIGN];
        let gap = &mut gap[..(section.offset - end) as usize];
        input.read_exact(gap)?;
        if gap.iter().any(|&byte| byte != 0) {
            return Err(DecodeError::value("the file", format!("the bytes before section {i} are not zero")).into());
        }
        let mut bytes = AlignedBytes::zeroed(in_memory("a section", section.len)?);
        input.read_exact(&mut bytes)?;
        check(&bytes, section.crc, || format!("section {i}"))?;
        sections.push(bytes.into());
        end = section.offset + section.len;
    }
    Ok(header.into_stored(&sections))
}

fn check(bytes: &[u8], crc: u32, what: impl FnOnce() -> String) -> Result<(), DecodeError> {
    if crc32c::crc32c(bytes) == crc { Ok(()) } else { Err(DecodeError::Checksum { what: what() }) }
}

fn in_memory(what: &str, len: u64) -> Result<usize, DecodeError> {
    usize::try_from(len).map_err(|_| DecodeError::value(what, format!("{len} bytes do not fit in memory")))
}
