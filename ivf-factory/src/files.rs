//! Reading and writing of index files, with a registry of the kinds in them.

use crate::default::default_registry;
use ivf_core::error::{DecodeError, StoreError};
use ivf_core::{Index, Registry};
use ivf_io::{Container, Map};
use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

/// An error of reading an index file.
///
/// Displays the file and what is wrong with it. The [source](Error::source) holds what the text
/// leaves out, such as an error of the operating system.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadIndexError {
    /// The file cannot be read, is not an index file, or is damaged.
    File(ivf_io::ReadError),
    /// The file is intact, but it holds no index, or an index of a kind that the registry does not
    /// know.
    Decode {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: DecodeError,
    },
}

impl fmt::Display for ReadIndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(why) => why.fmt(f),
            Self::Decode { path, why } => write!(f, "cannot read {}: {why}", path.display()),
        }
    }
}

impl Error for ReadIndexError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::File(why) => why.source(),
            Self::Decode { why, .. } => why.source(),
        }
    }
}

impl From<ivf_io::ReadError> for ReadIndexError {
    fn from(why: ivf_io::ReadError) -> Self {
        Self::File(why)
    }
}

/// An error of writing an index file. An old file stays as it was, except if only the last step
/// failed, the sync of the folder.
///
/// Displays the file and what is wrong. The [source](Error::source) holds what the text leaves out,
/// such as an error of the operating system.
#[derive(Debug)]
#[non_exhaustive]
pub enum WriteIndexError {
    /// The lists of the index cannot be read.
    Export {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: StoreError,
    },
    /// The file cannot be written.
    File(ivf_io::WriteError),
}

impl fmt::Display for WriteIndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Export { path, why } => write!(f, "cannot write {}: {why}", path.display()),
            Self::File(why) => why.fmt(f),
        }
    }
}

impl Error for WriteIndexError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Export { why, .. } => why.source(),
            Self::File(why) => why.source(),
        }
    }
}

impl From<ivf_io::WriteError> for WriteIndexError {
    fn from(why: ivf_io::WriteError) -> Self {
        Self::File(why)
    }
}

/// Reads an index file into memory.
///
/// # Errors
/// [`ReadIndexError`], with the path. No contents of a file cause a panic.
pub fn read_index(path: impl AsRef<Path>) -> Result<Box<dyn Index>, ReadIndexError> {
    read_index_with(path, default_registry())
}

/// Like [`read_index`], with the kinds of `registry`.
///
/// # Errors
/// As for [`read_index`].
pub fn read_index_with(path: impl AsRef<Path>, registry: &Registry) -> Result<Box<dyn Index>, ReadIndexError> {
    let path = path.as_ref();
    let node = ivf_io::read_container(path)?;
    registry.read_index(&node).map_err(|why| ReadIndexError::Decode { path: path.into(), why })
}

/// Opens an index file whose lists stay in the file. A list is read when a search probes it. Data
/// that every search needs (centroids, codebooks) is read into memory now, and checked. The lists
/// are not checked: [`verify_index`] does that.
///
/// This is safe even if the file is written to meanwhile. A list that the index modifies is copied
/// into memory, and the file stays unchanged. An index of one list (`Flat`) reads the whole list
/// for each task, so it is better to map or read its file. A direct map is built from all ids,
/// which are read for it. [`write_index`] of an opened index reads all its lists into memory.
///
/// # Errors
/// [`ReadIndexError`], with the path.
pub fn open_index(path: impl AsRef<Path>) -> Result<Box<dyn Index>, ReadIndexError> {
    open_index_with(path, default_registry())
}

/// Like [`open_index`], with the kinds of `registry`.
///
/// # Errors
/// As for [`open_index`].
pub fn open_index_with(path: impl AsRef<Path>, registry: &Registry) -> Result<Box<dyn Index>, ReadIndexError> {
    open_container_with(&Container::open(path)?, registry)
}

/// Opens an index in a mapped file. Its lists are scanned in place. Otherwise like [`open_index`].
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

/// Like [`open_mapped`], with the kinds of `registry`.
///
/// # Errors
/// As for [`open_mapped`].
pub fn open_mapped_with(map: Map, registry: &Registry) -> Result<Box<dyn Index>, ReadIndexError> {
    open_container_with(&Container::from_map(map)?, registry)
}

/// Opens the index in an open container, like [`open_index`] and [`open_mapped`].
///
/// # Errors
/// As for [`open_index`].
pub fn open_container(container: &Container) -> Result<Box<dyn Index>, ReadIndexError> {
    open_container_with(container, default_registry())
}

/// Like [`open_container`], with the kinds of `registry`.
///
/// # Errors
/// As for [`open_container`].
pub fn open_container_with(container: &Container, registry: &Registry) -> Result<Box<dyn Index>, ReadIndexError> {
    let fault = |why| ReadIndexError::Decode { path: container.path().to_owned(), why };
    registry.read_index(&container.node()).map_err(fault)
}

/// Checks every byte of an index file, and that the file holds an index. For that, the index is
/// opened, which takes the memory of [`open_index`].
///
/// # Errors
/// [`ReadIndexError`], with the path and what is damaged.
pub fn verify_index(path: impl AsRef<Path>) -> Result<(), ReadIndexError> {
    verify_index_with(path, default_registry())
}

/// Like [`verify_index`], with the kinds of `registry`.
///
/// # Errors
/// As for [`verify_index`].
pub fn verify_index_with(path: impl AsRef<Path>, registry: &Registry) -> Result<(), ReadIndexError> {
    let container = Container::open(path)?;
    let damaged = container.verify()?;
    if !damaged.is_empty() {
        let sections = container.sections();
        let names: Vec<&str> = damaged.iter().map(|number| sections[*number].path.as_str()).collect();
        let why = DecodeError::Checksum { what: names.join(", ") };
        return Err(ReadIndexError::Decode { path: container.path().to_owned(), why });
    }
    open_container_with(&container, registry).map(drop)
}

/// Writes an index file, atomically. It takes no registry, because an index exports itself.
/// [`check_writable`](ivf_io::check_writable) tells, before long work, whether the file can be
/// written, and whether its owner will change.
///
/// The index may be boxed or not:
///
/// ```no_run
/// use ivf_core::Metric;
/// let index = ivf_factory::build("IVF16,Flat", 8, Metric::L2)?;
/// ivf_factory::write_index(&index, "base.ivf")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`WriteIndexError`], with the path.
pub fn write_index(index: &(impl AsRef<dyn Index> + ?Sized), path: impl AsRef<Path>) -> Result<(), WriteIndexError> {
    let path = path.as_ref();
    let node = index.as_ref().export().map_err(|why| WriteIndexError::Export { path: path.into(), why })?;
    Ok(ivf_io::write_container(path, &node)?)
}
