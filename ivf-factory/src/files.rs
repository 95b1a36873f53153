//! Index files, with the registry that knows what is in them.

use crate::default::default_registry;
use ivf_core::error::{DecodeError, StoreError};
use ivf_core::{Index, Registry};
use ivf_io::{Container, Map};
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

/// Opens an index file whose lists stay in it: each is read when a search comes to it. What a search always needs (centroids,
/// codebooks) is read into memory now, and checked; the lists are not: [`verify_index`] does that.
///
/// Safe whoever writes to the file. Lists that are written to are copied into memory; the file stays as it is. An index of one
/// list (`Flat`) reads all of it for each piece of work: map it, or read it. A direct map is made of all ids, which are read for it; and
/// [`write_index`] of an opened index takes all its lists through memory.
///
/// # Errors
/// [`ReadIndexError`], with the path.
pub fn open_index(path: impl AsRef<Path>) -> Result<Box<dyn Index>, ReadIndexError> {
    open_index_with(path, default_registry())
}

/// [`open_index`] with kinds of the caller's own.
///
/// # Errors
/// As [`open_index`].
pub fn open_index_with(path: impl AsRef<Path>, registry: &Registry) -> Result<Box<dyn Index>, ReadIndexError> {
    read_opened(&Container::open(path)?, registry)
}

/// Opens an index in a mapped file, whose lists are scanned where they lie. As [`open_index`] otherwise.
///
/// ```no_run
/// use ivf_io::Map;
///
/// // SAFETY: nobody writes into the file while the index is there; new ones replace it by rename.
/// let map = unsafe { Map::open("base.ivf")? };
/// let index = ivf_factory::open_mapped(map)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`ReadIndexError`], with the path.
pub fn open_mapped(map: Map) -> Result<Box<dyn Index>, ReadIndexError> {
    open_mapped_with(map, default_registry())
}

/// [`open_mapped`] with kinds of the caller's own.
///
/// # Errors
/// As [`open_mapped`].
pub fn open_mapped_with(map: Map, registry: &Registry) -> Result<Box<dyn Index>, ReadIndexError> {
    read_opened(&Container::from_map(map)?, registry)
}

/// The index in a container that is open, as [`open_index`] and [`open_mapped`] give it.
///
/// # Errors
/// As [`open_index`].
pub fn open_container(container: &Container) -> Result<Box<dyn Index>, ReadIndexError> {
    read_opened(container, default_registry())
}

fn read_opened(container: &Container, registry: &Registry) -> Result<Box<dyn Index>, ReadIndexError> {
    let fault = |why| ReadIndexError::Decode { path: container.path().to_owned(), why };
    registry.read_index(&container.node()).map_err(fault)
}

/// Checks an index file: every byte of it, and that it holds an index, which is opened for that (in the memory of [`open_index`]).
///
/// # Errors
/// [`ReadIndexError`], with the path and what is damaged.
pub fn verify_index(path: impl AsRef<Path>) -> Result<(), ReadIndexError> {
    verify_index_with(path, default_registry())
}

/// [`verify_index`] with kinds of the caller's own.
///
/// # Errors
/// As [`verify_index`].
pub fn verify_index_with(path: impl AsRef<Path>, registry: &Registry) -> Result<(), ReadIndexError> {
    let container = Container::open(path)?;
    let damaged = container.verify()?;
    if !damaged.is_empty() {
        let sections = container.sections();
        let names: Vec<&str> = damaged.iter().map(|number| sections[*number].path.as_str()).collect();
        let why = DecodeError::Checksum { what: names.join(", ") };
        return Err(ReadIndexError::Decode { path: container.path().to_owned(), why });
    }
    read_opened(&container, registry).map(drop)
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
