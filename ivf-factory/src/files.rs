//! Index files, with the registry that knows what is in them.

use crate::default::default_registry;
use ivf_core::error::{DecodeError, StoreError};
use ivf_core::{Index, Registry};
use std::path::{Path, PathBuf};

/// Why an index file could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadIndexError {
    /// The file cannot be read, or is no index file, or is damaged.
    #[error(transparent)]
    File(#[from] ivf_io::ReadError),
    /// The file is whole, but what stands in it is no index, or not one that the registry knows.
    #[error("cannot read {}: {why}", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: DecodeError,
    },
}

/// Why an index file could not be written. What was there before is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteIndexError {
    /// The lists of the index cannot be read.
    #[error("cannot write {}: {why}", path.display())]
    Export {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: StoreError,
    },
    /// The file cannot be written.
    #[error(transparent)]
    File(#[from] ivf_io::WriteError),
}

/// Reads an index file into memory.
///
/// # Errors
/// [`ReadIndexError`], with the path. No file makes it panic.
pub fn read_index(path: impl AsRef<Path>) -> Result<Box<dyn Index>, ReadIndexError> {
    read_index_with(path, default_registry())
}

/// [`read_index`] with kinds of the caller's own.
///
/// # Errors
/// As [`read_index`].
pub fn read_index_with(path: impl AsRef<Path>, registry: &Registry) -> Result<Box<dyn Index>, ReadIndexError> {
    let path = path.as_ref();
    let node = ivf_io::read_container(path)?;
    registry.read_index(&node).map_err(|why| ReadIndexError::Decode { path: path.into(), why })
}

/// Writes an index file: whole, or not at all. It takes no registry, since an index knows its insides itself.
///
/// # Errors
/// [`WriteIndexError`], with the path.
pub fn write_index(index: &dyn Index, path: impl AsRef<Path>) -> Result<(), WriteIndexError> {
    let path = path.as_ref();
    let node = index.export().map_err(|why| WriteIndexError::Export { path: path.into(), why })?;
    Ok(ivf_io::write_container(path, &node)?)
}
