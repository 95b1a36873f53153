//! Open containers: the header is read at once, sections are read on demand.

use super::error::{ContainerError, ReadError};
use super::header::{ArrayInfo, Extent, Header};
use super::read::{CHUNK, check, in_memory, read_header, walk};
use crate::file;
use crate::mmap::Map;
use ivf_core::bytes::AlignedBytes;
use ivf_core::error::{DecodeError, StoreError};
use ivf_core::lists::PlaneBytes;
use ivf_core::node::DType;
use ivf_core::{Section, StoredNode};
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// An open container. Its header was read and checked. Its sections are read on demand.
///
/// ```
/// use ivf_core::Node;
/// use ivf_core::node::NamedArray;
/// use ivf_io::{Container, FORMAT_VERSION, write_container};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("base.ivf");
///
/// let mut node = Node::new("thing", 1);
/// node.push(NamedArray::borrowed("weights", &[2], &[0.5_f32, 1.5]));
/// write_container(&path, &node)?; // base.ivf
///
/// let container = Container::open(&path)?;
/// assert_eq!(container.version(), FORMAT_VERSION);
/// let sections = container.sections();
/// assert_eq!((sections[0].path.as_str(), sections[0].len), ("weights", 8));
/// // `verify` reads the whole file. A section that is read on its own is verified as well.
/// assert!(container.verify()?.is_empty(), "something is damaged");
/// assert_eq!(container.node().array::<f32>("weights")?, [0.5, 1.5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Container {
    path: PathBuf,
    place: Place,
    header: Arc<Header>,
    len: u64,
}

/// Source of the bytes.
#[derive(Clone, Debug)]
enum Place {
    File(Arc<File>),
    Map(Arc<Map>),
}

/// A section of a container: the array in it, and its position in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SectionInfo {
    /// Path of the array: the names of the nodes that contain it, below the root, then its own
    /// name, such as `lists/plane0`. A long path is shortened to its end.
    pub path: String,
    /// Element type of the array.
    pub dtype: DType,
    /// Lengths of the axes, slowest-varying first.
    pub shape: Vec<u64>,
    /// Offset of the first byte in the file.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
    /// Expected CRC32C of the bytes.
    pub checksum: u32,
}

impl Container {
    /// Opens a file. Sections are read from it piece by piece, at offsets. This is safe even if the
    /// file is written to meanwhile. (Bytes that are written while the container is open can show
    /// up as the contents of a list, but do no other harm.)
    ///
    /// # Errors
    /// [`ReadError`]: the file cannot be read, is not a container, has an unsupported format
    /// version, or its header is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ReadError> {
        let path = path.as_ref();
        let open = || {
            let (file, len) = file::open(path)?;
            let header = Arc::new(read_header(&file, len)?);
            Ok(Self { path: path.to_owned(), place: Place::File(Arc::new(file)), header, len })
        };
        open().map_err(|why| ReadError { path: path.to_owned(), why })
    }

    /// Opens a memory-mapped file. Its sections are used in place, without a copy.
    ///
    /// ```
    /// use ivf_io::{Container, Map};
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("base.ivf");
    /// # let mut node = ivf_core::Node::new("thing", 1);
    /// # node.push(ivf_core::node::NamedArray::borrowed("weights", &[2], &[0.5_f32, 1.5]));
    /// # ivf_io::write_container(&path, &node)?;
    ///
    /// // SAFETY: nobody writes into the file; a new version replaces it by rename.
    /// let container = Container::from_map(unsafe { Map::open(&path)? })?; // base.ivf
    /// // The floats stay in the map, which the node keeps.
    /// assert_eq!(container.node().array::<f32>("weights")?, [0.5, 1.5]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn from_map(map: Map) -> Result<Self, ReadError> {
        let (path, len) = (map.path().to_owned(), map.len() as u64);
        match read_header(&map[..], len) {
            Ok(header) => Ok(Self { path, place: Place::Map(Arc::new(map)), header: Arc::new(header), len }),
            Err(why) => Err(ReadError { path, why }),
        }
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the format version of the file, major and minor.
    pub fn version(&self) -> (u16, u16) {
        self.header.version
    }

    /// Returns the length of the file in bytes.
    #[allow(clippy::len_without_is_empty, reason = "a container has a header at least")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Returns the sections, in the order in which they lie in the file.
    pub fn sections(&self) -> Vec<SectionInfo> {
        let info = |ArrayInfo { section, path, dtype, shape }: ArrayInfo<'_>| {
            let Extent { offset, len, crc } = self.header.sections[section];
            SectionInfo { path, dtype, shape: shape.to_vec(), offset, len, checksum: crc }
        };
        self.header.arrays().into_iter().map(info).collect()
    }

    /// Returns the tree of nodes. When a section is first requested as a whole, it is read and its
    /// checksum is verified. Parts of a section are not verified.
    pub fn node(&self) -> StoredNode {
        let section = |number| -> Arc<dyn Section> {
            let of = Of { header: self.header.clone(), number };
            match &self.place {
                Place::File(file) => Arc::new(FileSection { file: file.clone(), of, whole: OnceLock::new() }),
                Place::Map(map) => Arc::new(MapSection { map: map.clone(), of, checked: OnceLock::new() }),
            }
        };
        self.header.to_stored(&(0..self.header.sections.len()).map(section).collect::<Vec<_>>())
    }

    /// Reads the whole file once, using little memory, and returns the indexes of the damaged
    /// [sections](Self::sections). The result is empty if the file is intact.
    ///
    /// # Errors
    /// [`ReadError`]: the file cannot be read, or bytes between sections are not zero.
    pub fn verify(&self) -> Result<Vec<usize>, ReadError> {
        let damaged = match &self.place {
            Place::File(file) => damaged(At { file, next: self.header.end }, &self.header),
            Place::Map(map) => damaged(&map[self.header.end as usize..], &self.header),
        };
        damaged.map_err(|why| ReadError { path: self.path.clone(), why })
    }
}

/// Returns the numbers of the sections whose checksums do not match.
fn damaged(mut input: impl Read, header: &Header) -> Result<Vec<usize>, ContainerError> {
    let (mut damaged, mut chunk) = (Vec::new(), vec![0; CHUNK]);
    walk(&mut input, header, |number, extent, input| {
        let (mut left, mut crc) = (extent.len, 0);
        while left > 0 {
            let chunk = &mut chunk[..left.min(CHUNK as u64) as usize];
            input.read_exact(chunk)?;
            crc = crc32c::crc32c_append(crc, chunk);
            left -= chunk.len() as u64;
        }
        if crc != extent.crc {
            damaged.push(number);
        }
        Ok(())
    })?;
    Ok(damaged)
}

/// Reader of a file from an offset on, independent of the cursor of its handle.
struct At<'a> {
    file: &'a File,
    next: u64,
}

impl Read for At<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = file::read_at(self.file, bytes, self.next)?;
        self.next += read as u64;
        Ok(read)
    }
}

/// A reference to a section of a container.
#[derive(Debug)]
struct Of {
    header: Arc<Header>,
    number: usize,
}

impl Of {
    fn extent(&self) -> Extent {
        self.header.sections[self.number]
    }

    fn name(&self) -> String {
        self.header.section_name(self.number)
    }

    fn check(&self, bytes: &[u8]) -> Result<(), DecodeError> {
        check(bytes, self.extent().crc, || self.name())
    }
}

/// A section that is read from its file on demand.
#[derive(Debug)]
struct FileSection {
    file: Arc<File>,
    of: Of,
    whole: OnceLock<AlignedBytes>,
}

impl FileSection {
    fn read(&self, range: Range<u64>) -> io::Result<AlignedBytes> {
        let len = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        let mut bytes = AlignedBytes::zeroed(len);
        At { file: &self.file, next: self.of.extent().offset + range.start }.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

impl Section for FileSection {
    fn len(&self) -> u64 {
        self.of.extent().len
    }

    fn whole(&self) -> Result<&[u8], DecodeError> {
        if self.whole.get().is_none() {
            let len = self.len();
            in_memory("a section", len)?;
            let failed = |why: io::Error| DecodeError::Read { what: self.of.name(), why: why.into() };
            let bytes = self.read(0..len).map_err(failed)?;
            self.of.check(&bytes)?;
            // If another thread was faster, its bytes are the same.
            let _ = self.whole.set(bytes);
        }
        Ok(self.whole.get().expect("set just above"))
    }

    fn part(&self, range: Range<u64>) -> Result<PlaneBytes<'_>, StoreError> {
        assert!(range.end <= self.len(), "the range lies inside the section");
        let bytes = self.read(range).map_err(|why| StoreError::Backend(why.into()))?;
        Ok(PlaneBytes::Shared(bytes.into()))
    }

    fn memory(&self) -> usize {
        self.whole.get().map_or(0, Section::memory)
    }
}

/// A section of a mapped file.
#[derive(Debug)]
struct MapSection {
    map: Arc<Map>,
    of: Of,
    /// Set once the checksum has been verified.
    checked: OnceLock<()>,
}

impl MapSection {
    fn bytes(&self) -> &[u8] {
        let Extent { offset, len, .. } = self.of.extent();
        &self.map[offset as usize..][..len as usize]
    }
}

impl Section for MapSection {
    fn len(&self) -> u64 {
        self.of.extent().len
    }

    fn whole(&self) -> Result<&[u8], DecodeError> {
        if self.checked.get().is_none() {
            self.of.check(self.bytes())?;
            let _ = self.checked.set(());
        }
        Ok(self.bytes())
    }

    fn part(&self, range: Range<u64>) -> Result<PlaneBytes<'_>, StoreError> {
        Ok(PlaneBytes::Borrowed(&self.bytes()[range.start as usize..range.end as usize]))
    }

    fn prefetch(&self, range: Range<u64>) {
        let offset = self.of.extent().offset;
        self.map.prefetch(offset + range.start..offset + range.end);
    }

    fn memory(&self) -> usize {
        0
    }
}
