//! Reading of whole containers.

use super::error::{ContainerError, ReadError};
use super::header::{Extent, Header};
use super::preamble::{self, Preamble};
use crate::file;
use ivf_core::bytes::{ALIGN, AlignedBytes};
use ivf_core::error::DecodeError;
use ivf_core::{Section, StoredNode};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// Number of bytes of a section that are read at a time. They are checksummed while still in the
/// CPU cache.
pub(super) const CHUNK: usize = 1 << 18;

/// Reads the tree of nodes of the file at `path`. All bytes are checked. Each array is read
/// directly into memory of its own, aligned to 64 bytes.
///
/// For any contents of the file, the result is a tree or an error. The function does not panic, and
/// allocates no more than a small multiple of the file's length.
///
/// ```
/// use ivf_core::Node;
/// use ivf_io::{ContainerError, read_container, write_container};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("thing.ivf");
///
/// write_container(&path, &Node::new("thing", 1))?; // thing.ivf
/// assert_eq!(read_container(&path)?.tag, "thing");
///
/// std::fs::write(&path, "a text")?;
/// let error = read_container(&path).err().ok_or("this is no container")?;
/// assert!(matches!(error.why, ContainerError::Magic { .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`ReadError`] with the path: the file cannot be read, is not a container, has an unsupported
/// format version, or is damaged.
pub fn read_container(path: &Path) -> Result<StoredNode, ReadError> {
    let read = || {
        let (file, len) = file::open(path)?;
        read_from(file, len)
    };
    read().map_err(|why| ReadError { path: path.to_owned(), why })
}

/// Reads the tree of nodes of a container in memory, like [`read_container`] for a file.
///
/// ```
/// use ivf_core::Node;
/// use ivf_io::{decode_container, write_container_to};
///
/// let mut bytes = Vec::new();
/// write_container_to(&mut bytes, &Node::new("thing", 1))?;
/// assert_eq!(decode_container(&bytes)?.version, 1);
/// // A change of any byte is an error.
/// bytes[70] ^= 1;
/// assert!(decode_container(&bytes).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`ContainerError`].
pub fn decode_container(bytes: &[u8]) -> Result<StoredNode, ContainerError> {
    read_from(bytes, bytes.len() as u64)
}

/// Reads a container of `len` bytes sequentially, each byte once.
fn read_from(mut input: impl Read, len: u64) -> Result<StoredNode, ContainerError> {
    let header = read_header(&mut input, len)?;
    let mut sections: Vec<Arc<dyn Section>> = Vec::with_capacity(header.sections.len());
    walk(&mut input, &header, |number, extent, input| {
        let mut bytes = AlignedBytes::zeroed(in_memory("a section", extent.len)?);
        let mut crc = 0;
        for chunk in bytes.chunks_mut(CHUNK) {
            input.read_exact(chunk)?;
            crc = crc32c::crc32c_append(crc, chunk);
        }
        if crc != extent.crc {
            return Err(DecodeError::Checksum { what: header.section_name(number) }.into());
        }
        sections.push(Arc::new(bytes));
        Ok(())
    })?;
    Ok(header.to_stored(&sections))
}

/// Reads and checks the preamble and the header of a file of `len` bytes.
pub(super) fn read_header(mut input: impl Read, len: u64) -> Result<Header, ContainerError> {
    if len == 0 {
        return Err(ContainerError::Empty);
    }
    let mut start = vec![0; len.min(preamble::LEN as u64) as usize];
    input.read_exact(&mut start)?;
    let preamble = Preamble::parse(&start, len)?;

    // From here on, every length has been compared with the file's length before memory is
    // allocated.
    let mut bytes = vec![0; in_memory("the header", preamble.header_len)?];
    input.read_exact(&mut bytes)?;
    check(&bytes, preamble.header_crc, || "the header".to_owned())?;
    Ok(Header::parse(&bytes, &preamble)?)
}

/// Visits the bytes after the header. Checks that the bytes between sections are zero, and calls
/// `each` to read a section.
pub(super) fn walk<R: Read>(
    input: &mut R,
    header: &Header,
    mut each: impl FnMut(usize, &Extent, &mut R) -> Result<(), ContainerError>,
) -> Result<(), ContainerError> {
    let mut end = header.end;
    for (number, extent) in header.sections.iter().enumerate() {
        let mut gap = [0; ALIGN];
        let gap = &mut gap[..(extent.offset - end) as usize];
        input.read_exact(gap)?;
        if gap.iter().any(|&byte| byte != 0) {
            return Err(
                DecodeError::value("the file", format!("the bytes before section {number} are not zero")).into()
            );
        }
        each(number, extent, input)?;
        end = extent.offset + extent.len;
    }
    Ok(())
}

pub(super) fn check(bytes: &[u8], crc: u32, what: impl FnOnce() -> String) -> Result<(), DecodeError> {
    if crc32c::crc32c(bytes) == crc { Ok(()) } else { Err(DecodeError::Checksum { what: what() }) }
}

pub(super) fn in_memory(what: &str, len: u64) -> Result<usize, DecodeError> {
    usize::try_from(len).map_err(|_| DecodeError::value(what, format!("{len} bytes do not fit in memory")))
}
