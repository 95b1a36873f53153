//! Writing a container.

use super::error::{EncodeError, WriteError};
use super::header;
use super::preamble::{self, FORMAT_VERSION, Preamble};
use crate::file::AtomicFile;
use ivf_core::Node;
use ivf_core::bytes::ALIGN;
use std::io::Write;
use std::path::Path;

/// Writes a tree of nodes to the file at `path`, atomically: whoever opens it, even after a crash, finds the old file or the
/// new one. A symbolic link is followed; only a regular file is replaced.
///
/// The arrays are read twice (checksums, then bytes) and never copied together.
///
/// # Errors
/// [`WriteError`] with the path: the tree has no container, or the file system refuses. The old file, or its absence, is left
/// as it was, and no temporary file stays; only when the last step fails, syncing the folder, is the new file there already.
pub fn write_container(path: &Path, root: &Node<'_>) -> Result<(), WriteError> {
    let write = || -> Result<(), EncodeError> {
        let mut file = AtomicFile::create(path)?;
        write_container_to(&mut file, root)?;
        Ok(file.commit()?)
    };
    write().map_err(|why| WriteError { path: path.to_owned(), why })
}

/// Writes a tree of nodes to a stream: a `Vec<u8>`, say.
///
/// # Errors
/// [`EncodeError`]: the tree has no container (nothing is written then), or the stream fails.
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
