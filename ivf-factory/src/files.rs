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
/// ```
/// use ivf_core::{Metric, Rows};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("base.ivf");
///
/// let mut index = ivf_factory::build("Flat", 1, Metric::L2)?;
/// index.add(Rows::new(&[2.5_f32], 1)?)?;
/// ivf_factory::write_index(&index, &path)?; // base.ivf
/// let read = ivf_factory::read_index(&path)?;
/// assert_eq!(read.reconstruct(0.into())?, [2.5]);
///
/// std::fs::write(&path, "a text")?;
/// let error = ivf_factory::read_index(&path).unwrap_err();
/// assert!(error.to_string().contains("base.ivf: this is not an ivf index file"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`ReadIndexError`], with the path. No contents of a file cause a panic.
pub fn read_index(path: impl AsRef<Path>) -> Result<Box<dyn Index>, ReadIndexError> {
    read_index_with(path, default_registry())
}

/// Like [`read_index`], with the kinds of `registry`.
///
/// ```
/// use ivf_core::{Metric, Registry};
/// use ivf_factory::{ReadIndexError, build, open_index_with, read_index_with, verify_index_with, write_index};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("base.ivf");
///
/// // The same registry serves all functions of this kind. This one knows no PQ.
/// let few = Registry::new()
///     .with_codecs(ivf_cpu::CODECS)
///     .with_quantizers(ivf_cpu::QUANTIZERS)
///     .with_indexes(ivf_cpu::INDEXES)
///     .with_stores(&[ivf_core::ArrayLists::ROW]);
/// write_index(&build("IVF4,Flat", 8, Metric::L2)?, &path)?; // base.ivf
/// verify_index_with(&path, &few)?;
/// assert_eq!(read_index_with(&path, &few)?.spec(), "IVF4,Flat");
///
/// write_index(&build("IVF4,PQ2", 8, Metric::L2)?, &path)?;
/// for refused in [read_index_with(&path, &few), open_index_with(&path, &few)] {
///     assert!(matches!(refused, Err(ReadIndexError::Decode { .. })));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
/// ```
/// use ivf_core::{Metric, Rows, SearchParams};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("base.ivf");
/// let vectors: Vec<f32> = (0..1000).map(|i| i as f32).collect();
/// let rows = Rows::new(&vectors, 1)?;
/// let mut index = ivf_factory::build("IVF4,Flat", 1, Metric::L2)?;
/// index.train(rows)?;
/// index.add(rows)?;
/// ivf_factory::write_index(&index, &path)?; // base.ivf
///
/// let opened = ivf_factory::open_index(&path)?;
/// let found = opened.search(rows.slice(7..8), 1, &SearchParams::new())?;
/// assert_eq!(found.hits.row(0).ids, [7.into()]);
/// // The vectors are not in memory.
/// assert!(opened.memory() < index.memory());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
/// ```
/// use ivf_core::{Metric, Rows, SearchParams};
/// use ivf_io::Map;
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("base.ivf");
/// # let mut index = ivf_factory::build("Flat", 1, Metric::L2)?;
/// # index.add(Rows::new(&[1.0_f32, 5.0], 1)?)?;
/// # ivf_factory::write_index(&index, &path)?;
///
/// // SAFETY: nobody writes into the file while the index is there; new ones replace it by rename.
/// let map = unsafe { Map::open(&path)? }; // base.ivf
/// let index = ivf_factory::open_mapped(map)?;
/// let found = index.search(Rows::new(&[4.0_f32], 1)?, 1, &SearchParams::new())?;
/// assert_eq!(found.hits.row(0).ids, [1.into()]);
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
/// ```
/// use ivf_core::{Metric, Registry};
/// use ivf_factory::{ReadIndexError, open_mapped_with};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("base.ivf");
/// # ivf_factory::write_index(&ivf_factory::build("Flat", 8, Metric::L2)?, &path)?;
///
/// // SAFETY: nobody writes into the file while it is mapped.
/// let map = unsafe { ivf_io::Map::open(&path)? }; // base.ivf
/// // An empty registry knows no kind of index.
/// assert!(matches!(open_mapped_with(map, &Registry::new()), Err(ReadIndexError::Decode { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As for [`open_mapped`].
pub fn open_mapped_with(map: Map, registry: &Registry) -> Result<Box<dyn Index>, ReadIndexError> {
    open_container_with(&Container::from_map(map)?, registry)
}

/// Opens the index in an open container, like [`open_index`] and [`open_mapped`].
///
/// ```
/// use ivf_core::{Metric, Rows};
/// use ivf_io::Container;
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("base.ivf");
/// # let mut index = ivf_factory::build("Flat", 1, Metric::L2)?;
/// # index.add(Rows::new(&[1.0_f32, 5.0], 1)?)?;
/// # ivf_factory::write_index(&index, &path)?;
///
/// // The sections show the size of an index before anything of it is read.
/// let container = Container::open(&path)?; // base.ivf
/// assert!(container.sections().iter().map(|section| section.len).sum::<u64>() < 1_000_000);
/// let index = ivf_factory::open_container(&container)?;
/// assert_eq!(index.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As for [`open_index`].
pub fn open_container(container: &Container) -> Result<Box<dyn Index>, ReadIndexError> {
    open_container_with(container, default_registry())
}

/// Like [`open_container`], with the kinds of `registry`.
///
/// ```
/// use ivf_core::{Metric, Registry};
/// use ivf_factory::{default_registry, open_container_with};
/// use ivf_io::Container;
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("base.ivf");
/// # ivf_factory::write_index(&ivf_factory::build("Flat", 8, Metric::L2)?, &path)?;
///
/// // Which of several registries knows the kinds of a file?
/// let container = Container::open(&path)?; // base.ivf
/// let knows = [&Registry::new(), default_registry()].map(|known| open_container_with(&container, known).is_ok());
/// assert_eq!(knows, [false, true]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
/// ```
/// use ivf_core::{Metric, Rows};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("base.ivf");
/// # let mut index = ivf_factory::build("Flat", 1, Metric::L2)?;
/// # index.add(Rows::new(&[1.0_f32, 5.0], 1)?)?;
/// # ivf_factory::write_index(&index, &path)?;
///
/// ivf_factory::verify_index(&path)?; // base.ivf
/// // One bit of the last vector changes on the disk.
/// let mut bytes = std::fs::read(&path)?;
/// *bytes.last_mut().ok_or("no bytes")? ^= 1;
/// std::fs::write(&path, bytes)?;
/// // The file still opens, because the lists are not read.
/// assert!(ivf_factory::open_index(&path).is_ok());
/// assert!(ivf_factory::verify_index(&path).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
/// ```
/// use ivf_core::Metric;
/// use ivf_cpu::CodesIndex;
/// use ivf_cpu::codec::FlatSpec;
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("base.ivf");
///
/// let index = ivf_factory::build("IVF16,Flat", 8, Metric::L2)?;
/// ivf_factory::write_index(&index, &path)?; // base.ivf
/// let index = CodesIndex::new(8, Metric::L2, std::sync::Arc::new(FlatSpec))?;
/// ivf_factory::write_index(&index, &path)?;
/// assert_eq!(ivf_factory::read_index(&path)?.spec(), "Flat");
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
