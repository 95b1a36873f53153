//! Writing of containers.

use super::error::{EncodeError, WriteError};
use super::header;
use super::preamble::{self, FORMAT_VERSION, Preamble};
use crate::file::{AtomicFile, WriteCheck};
use ivf_core::Node;
use ivf_core::bytes::ALIGN;
use std::io::Write;
use std::path::Path;

/// Writes a tree of nodes to the file at `path`, atomically: a reader finds the old file or the new
/// one, even after a crash. Symbolic links are followed. Only a regular file is replaced. The new
/// file has the mode and, if the process may set them, the owner and the group of the old one
/// ([`check_writable`] tells beforehand).
///
/// The arrays are read twice, for the checksums and for the bytes. They are never concatenated in
/// memory.
///
/// ```
/// use ivf_core::Node;
/// use ivf_io::{Container, write_container};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("thing.ivf");
///
/// write_container(&path, &Node::new("thing", 1))?; // thing.ivf
/// let old = Container::open(&path)?;
/// // A reader of the old file is not disturbed by a new one.
/// write_container(&path, &Node::new("thing", 2))?;
/// assert_eq!((old.node().version, Container::open(&path)?.node().version), (1, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`WriteError`] with the path: the tree cannot be encoded, or the file system reports an error.
/// The old file stays as it was, if there was one, and no temporary file remains. One exception: if
/// the last step fails, the sync of the folder, the new file is already in place.
pub fn write_container(path: &Path, root: &Node<'_>) -> Result<(), WriteError> {
    let write = || -> Result<(), EncodeError> {
        let mut file = AtomicFile::create(path)?;
        write_container_to(&mut file, root)?;
        Ok(file.commit()?)
    };
    write().map_err(|why| WriteError { path: path.to_owned(), why })
}

/// Checks that a file can be written at `path`, before the work that makes its contents. A file is
/// begun in the folder and removed again; an old file at `path` stays as it is.
///
/// ```
/// let error = ivf_io::check_writable("no/such/folder/base.ivf").unwrap_err();
/// assert_eq!(error.to_string(), "cannot write no/such/folder/base.ivf");
/// let why = std::error::Error::source(&error).expect("the system's error").to_string();
/// assert_eq!(why, "there is no folder no/such/folder");
/// ```
///
/// # Errors
/// [`WriteError`] with the path and, as its source, the reason: the folder does not exist or takes
/// no file, its disk is full, the path is that of a folder or a device, or the name is too long.
pub fn check_writable(path: impl AsRef<Path>) -> Result<WriteCheck, WriteError> {
    let path = path.as_ref();
    AtomicFile::check(path).map_err(|why| WriteError { path: path.to_owned(), why: why.into() })
}

/// Writes a tree of nodes to a stream, for example a `Vec<u8>`.
///
/// ```
/// use ivf_core::Node;
/// use ivf_io::{EncodeError, write_container_to};
///
/// let mut bytes = Vec::new();
/// write_container_to(&mut bytes, &Node::new("thing", 1))?;
/// let len = bytes.len();
/// assert_eq!(bytes[1..4], *b"IVF");
///
/// // A tree that no reader would accept is not written at all.
/// let refused = write_container_to(&mut bytes, &Node::new("two\nlines", 1));
/// assert!(matches!(refused, Err(EncodeError::Node(_))));
/// assert_eq!(bytes.len(), len);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`EncodeError`]: the tree cannot be encoded (then nothing is written), or the stream fails.
pub fn write_container_to(out: &mut (impl Write + ?Sized), root: &Node<'_>) -> Result<(), EncodeError> {
    let header = header::encode(root)?;
    let preamble = Preamble {
        version: FORMAT_VERSION,
        header_crc: crc32c::crc32c(&header.bytes),
        header_len: header.bytes.len() as u64,
        file_len: header.file_len,
    };
    out.write_all(&preamble.to_bytes())?;
    out.write_all(&header.bytes)?;
    let mut end = preamble::LEN as u64 + preamble.header_len;
    for (section, array) in &header.sections {
        out.write_all(&[0; ALIGN][..(section.offset - end) as usize])?;
        for piece in &array.pieces {
            out.write_all(piece)?;
        }
        end = section.offset + section.len;
    }
    Ok(())
}
