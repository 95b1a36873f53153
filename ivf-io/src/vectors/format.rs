//! Vector file formats: the header of a file, and the bytes before each vector.

use super::npy;
use super::{MAX_DIM, VectorFileError, VectorType};
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

#[cfg(feature = "hdf5")]
use super::hdf5::read_head as read_hdf5_head;

/// A format of vector files.
///
/// ```text
/// fvecs ivecs bvecs         | dim | x0 ... xd-1 | dim | x0 ... xd-1 | ...         dim: i32, the same in all records
/// fbin ibin u8bin i8bin     | n | dim | x0 ... xd-1 | x0 ... xd-1 | ...           n, dim: u32
/// npy                       | header | x0 ... xd-1 | x0 ... xd-1 | ...            NumPy's, two axes, C order
/// hdf5 h5                   | ... | x0 ... xd-1 | x0 ... xd-1 | ...               a contiguous dataset, selected by name
/// ```
///
/// All numbers are little-endian. HDF5 files can only be read, and only in builds with the feature
/// `hdf5`. They hold several datasets. `FILE.hdf5:DATASET` selects one, for example
/// `glove-100-angular.hdf5:train`. If a file of that full name exists, it is used instead.
///
/// ```
/// use ivf_io::vectors::{VectorFormat, VectorType};
/// use std::path::Path;
///
/// let format = VectorFormat::of(Path::new("base.u8bin"))?;
/// assert_eq!((format.element, format.is_written()), (Some(VectorType::U8), true));
/// // A dataset of an HDF5 file. Another build may read it, but none writes such files.
/// assert!(!VectorFormat::of(Path::new("glove.hdf5:train"))?.is_written());
/// # Ok::<(), ivf_io::VectorFileError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct VectorFormat {
    /// File extension, without the dot.
    pub extension: &'static str,
    /// Element type, or `None` if each file declares its own.
    pub element: Option<VectorType>,
    /// Number of bytes before the numbers of each vector.
    pub(super) record_head: usize,
    /// Whether a file holds several named datasets.
    pub(super) datasets: bool,
    /// Reads the header of a file.
    pub(super) read_head: fn(&mut Source<'_>) -> Result<Shape, VectorFileError>,
    /// Makes the header of a file. `None` for formats that can only be read.
    pub(super) head: Option<MakeHead>,
}

/// Makes the header for vectors of a shape. Returns `None` if there are more vectors than a header
/// can count.
pub(super) type MakeHead = fn(&Shape) -> Option<Vec<u8>>;

/// All vector file formats.
pub const FORMATS: &[VectorFormat] = &[
    vecs("fvecs", VectorType::F32),
    vecs("ivecs", VectorType::I32),
    vecs("bvecs", VectorType::U8),
    bin("fbin", VectorType::F32),
    bin("ibin", VectorType::I32),
    bin("u8bin", VectorType::U8),
    bin("i8bin", VectorType::I8),
    VectorFormat {
        extension: "npy",
        element: None,
        record_head: 0,
        datasets: false,
        read_head: npy::read_head,
        head: Some(npy::head),
    },
    hdf5("hdf5"),
    hdf5("h5"),
];

const fn vecs(extension: &'static str, element: VectorType) -> VectorFormat {
    let record_head = size_of::<i32>();
    VectorFormat {
        extension,
        element: Some(element),
        record_head,
        datasets: false,
        read_head: read_vecs_head,
        head: Some(|_| Some(Vec::new())),
    }
}

const fn bin(extension: &'static str, element: VectorType) -> VectorFormat {
    VectorFormat {
        extension,
        element: Some(element),
        record_head: 0,
        datasets: false,
        read_head: read_bin_head,
        head: Some(bin_head),
    }
}

const fn hdf5(extension: &'static str) -> VectorFormat {
    VectorFormat { extension, element: None, record_head: 0, datasets: true, read_head: read_hdf5_head, head: None }
}

impl VectorFormat {
    /// Returns the format of a file, by its name.
    ///
    /// # Errors
    /// [`VectorFileError::Format`] with the known extensions.
    pub fn of(path: &Path) -> Result<&'static Self, VectorFileError> {
        let file = split(path).map_or(path, |(file, _)| file);
        Self::by_ending(file).ok_or_else(|| VectorFileError::Format { path: path.to_owned(), known: endings(|_| true) })
    }

    /// Returns whether files of this format can be written.
    pub fn is_written(&self) -> bool {
        self.head.is_some()
    }

    fn by_ending(file: &Path) -> Option<&'static Self> {
        let extension = file.extension().unwrap_or_default();
        FORMATS.iter().find(|format| extension.eq_ignore_ascii_case(format.extension))
    }
}

/// Returns the file of a path to vectors: `a.hdf5` for `a.hdf5:train`. Other paths are returned
/// unchanged.
///
/// ```
/// use ivf_io::vectors::file_of;
/// use std::path::Path;
///
/// // To get the size of the file, or to watch it.
/// assert_eq!(file_of(Path::new("data/glove.hdf5:train")), Path::new("data/glove.hdf5"));
/// assert_eq!(file_of(Path::new("data/base.fvecs")), Path::new("data/base.fvecs"));
/// ```
pub fn file_of(path: &Path) -> PathBuf {
    split(path).map_or(path, |(file, _)| file).to_owned()
}

/// Splits `FILE.hdf5:DATASET` into the file and the dataset. Returns `None` for any other name, and
/// for a path that exists as a file.
pub(super) fn split(path: &Path) -> Option<(&Path, &str)> {
    let name = path.to_str().filter(|_| !path.exists())?;
    let parts = name.match_indices(':').map(|(at, _)| (Path::new(&name[..at]), &name[at + 1..]));
    parts.into_iter().find(|(file, _)| VectorFormat::by_ending(file).is_some_and(|format| format.datasets))
}

/// Returns the extensions of the formats for which `which` is true.
pub(super) fn endings(which: impl Fn(&VectorFormat) -> bool) -> String {
    let which = FORMATS.iter().filter(|format| which(format));
    let ending =
        |format: &VectorFormat| format!(".{}{}", format.extension, if format.datasets { ":DATASET" } else { "" });
    which.map(ending).collect::<Vec<_>>().join(", ")
}

/// The contents of a file's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) element: VectorType,
    pub(super) dim: usize,
    pub(super) len: u64,
    /// Offset of the first record in bytes.
    pub(super) start: u64,
    /// Number of bytes of a record before its numbers.
    pub(super) record_head: usize,
}

impl Shape {
    /// Returns the size of a record in bytes.
    pub(super) fn record(&self) -> u64 {
        (self.record_head + self.dim * self.element.size()) as u64
    }

    /// Returns the size of all records in bytes.
    pub(super) fn whole(&self) -> u128 {
        u128::from(self.len) * u128::from(self.record())
    }
}

/// A file whose header is being read.
pub(super) struct Source<'a> {
    /// The path that the caller gave.
    pub(super) path: &'a Path,
    pub(super) file: &'a mut File,
    /// The dataset, if the path names one.
    #[cfg_attr(not(feature = "hdf5"), allow(dead_code, reason = "no other format has names in it"))]
    pub(super) dataset: Option<&'a str>,
    pub(super) format: &'static VectorFormat,
    /// Length of the file in bytes.
    pub(super) bytes: u64,
}

impl Source<'_> {
    /// Reads the next `N` bytes of the header.
    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], VectorFileError> {
        let failed = |why| VectorFileError::read(self.path, why);
        let end = self.file.stream_position().map_err(failed)? + N as u64;
        if self.bytes < end {
            return Err(self.truncated(0, end, self.bytes));
        }
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    pub(super) fn dim(&self, found: i64) -> Result<usize, VectorFileError> {
        match usize::try_from(found) {
            Ok(dim @ 1..=MAX_DIM) => Ok(dim),
            _ => Err(VectorFileError::Dimension { path: self.path.to_owned(), record: 0, found }),
        }
    }

    pub(super) fn truncated(&self, record: u64, needed: u64, left: u64) -> VectorFileError {
        VectorFileError::Truncated { path: self.path.to_owned(), record, needed, left }
    }

    /// Returns an error about the header.
    pub(super) fn fault(&self, what: impl Into<String>) -> VectorFileError {
        VectorFileError::Head { path: self.path.to_owned(), what: what.into() }
    }

    /// Checks that the file is exactly as long as its header implies.
    pub(super) fn check_len(&self, shape: Shape) -> Result<Shape, VectorFileError> {
        let (record, left) = (shape.record(), self.bytes.saturating_sub(shape.start));
        let whole = shape.whole();
        if whole > u128::from(left) {
            return Err(self.truncated(left / record, record, left % record));
        }
        if whole < u128::from(left) {
            let more = u128::from(left) - whole;
            return Err(self.fault(format!("{} vectors of {record} bytes and {more} bytes more", shape.len)));
        }
        Ok(shape)
    }
}

fn read_vecs_head(source: &mut Source<'_>) -> Result<Shape, VectorFileError> {
    let element = source.format.element.expect("the format has a fixed element type");
    let dim = i32::from_le_bytes(source.take()?);
    let dim = source.dim(dim.into())?;
    let mut shape = Shape { element, dim, len: 0, start: 0, record_head: source.format.record_head };
    shape.len = source.bytes / shape.record();
    match source.bytes % shape.record() {
        0 => Ok(shape),
        left => Err(source.truncated(shape.len, shape.record(), left)),
    }
}

fn read_bin_head(source: &mut Source<'_>) -> Result<Shape, VectorFileError> {
    let element = source.format.element.expect("the format has a fixed element type");
    let [len, dim] = [source.take()?, source.take()?].map(u32::from_le_bytes);
    let dim = source.dim(dim.into())?;
    source.check_len(Shape { element, dim, len: len.into(), start: 8, record_head: 0 })
}

#[cfg(not(feature = "hdf5"))]
fn read_hdf5_head(source: &mut Source<'_>) -> Result<Shape, VectorFileError> {
    Err(VectorFileError::Feature { path: source.path.to_owned(), feature: "hdf5" })
}

fn bin_head(shape: &Shape) -> Option<Vec<u8>> {
    let (len, dim) = (u32::try_from(shape.len).ok()?, u32::try_from(shape.dim).ok()?);
    Some([len.to_le_bytes(), dim.to_le_bytes()].concat())
}
