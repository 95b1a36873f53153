//! Vector file formats: the header of a file, and the bytes before each vector.

use super::npy;
use super::{MAX_DIM, VectorFileError, VectorType};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

#[cfg(feature = "hdf5")]
use super::hdf5::read_head as read_hdf5_head;

/// A format of vector files.
///
/// ```text
/// fvecs ivecs bvecs         | dim | x0 ... xd-1 | dim | x0 ... xd-1 | ...         dim: i32, the same in all records
/// fbin ibin u8bin i8bin     | n | dim | x0 ... xd-1 | x0 ... xd-1 | ...           n, dim: u32
/// npy                       | header | x0 ... xd-1 | x0 ... xd-1 | ...            NumPy's, two axes, C order; one axis of integers is rows of one
/// hdf5 h5                   | ... | x0 ... xd-1 | x0 ... xd-1 | ...               a contiguous dataset, selected by name
/// ```
///
/// An ibin file may also be a ground truth of Big-ANN: as many 32-bit distances as ids follow the
/// ids. The length of the file tells, and only the ids are read.
///
/// Numbers are little-endian; in npy and HDF5 files that are read, they may be big-endian. HDF5
/// files can only be read, and only in builds with the feature
/// `hdf5`. They hold several datasets. `FILE.hdf5:DATASET` selects one, for example
/// `glove-100-angular.hdf5:train`. If a file of that full name exists, it is used instead.
///
/// The name of a format is its extension. A reference to a format parses from its name, in any
/// case, for options such as `--vector-format fvecs`:
///
/// ```
/// use ivf_io::vectors::{VectorFormat, VectorType};
/// use std::path::Path;
///
/// let format: &VectorFormat = "FVECS".parse()?;
/// assert_eq!(format.to_string(), "fvecs");
/// assert!("csv".parse::<&VectorFormat>().is_err());
/// let format = VectorFormat::of(Path::new("base.u8bin"))?;
/// assert_eq!((format.element, format.is_written()), (Some(VectorType::U8), true));
/// // A dataset of an HDF5 file. Another build may read it, but none writes such files.
/// assert!(!VectorFormat::of(Path::new("glove.hdf5:train"))?.is_written());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct VectorFormat {
    /// File extension, without the dot: also the name of the format.
    pub extension: &'static str,
    /// Element type, or `None` if each file declares its own.
    pub element: Option<VectorType>,
    /// Number of bytes before the numbers of each vector.
    pub(super) record_head: usize,
    /// Whether the header holds the number of vectors. A stream of such a format is read in order,
    /// and its header is written last; of other formats, the other way round.
    pub(super) counted: bool,
    /// Whether as many 32-bit distances may follow the vectors, which are ids then.
    pub(super) distances: bool,
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
        counted: true,
        distances: false,
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
        counted: false,
        distances: false,
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
        counted: true,
        distances: matches!(element, VectorType::I32),
        datasets: false,
        read_head: read_bin_head,
        head: Some(bin_head),
    }
}

const fn hdf5(extension: &'static str) -> VectorFormat {
    VectorFormat {
        extension,
        element: None,
        record_head: 0,
        counted: true,
        distances: false,
        datasets: true,
        read_head: read_hdf5_head,
        head: None,
    }
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

/// Writes the name of the format: its extension.
impl fmt::Display for VectorFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.extension)
    }
}

/// The error for a name that is not that of a format of vectors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown format of vectors '{name}'; expected one of {known}", name = .0, known = names())]
pub struct UnknownFormat(pub String);

fn names() -> String {
    FORMATS.iter().map(|format| format.extension).collect::<Vec<_>>().join(", ")
}

/// Parses the name of a format, in any case, with or without a dot before it.
impl FromStr for &'static VectorFormat {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        let plain = name.strip_prefix('.').unwrap_or(name);
        let known = FORMATS.iter().find(|format| plain.eq_ignore_ascii_case(format.extension));
        known.ok_or_else(|| UnknownFormat(name.chars().take(60).flat_map(char::escape_debug).collect()))
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

/// Splits the path of a file whose format the caller gives. A file of a format with datasets may
/// have any name: the last colon ends it.
pub(super) fn split_as<'p>(path: &'p Path, format: &VectorFormat) -> (&'p Path, Option<&'p str>) {
    if !format.datasets {
        return (path, None);
    }
    let at_colon = || path.to_str().filter(|_| !path.exists())?.rsplit_once(':');
    let split = split(path).or_else(|| at_colon().map(|(file, dataset)| (Path::new(file), dataset)));
    split.map_or((path, None), |(file, dataset)| (file, Some(dataset)))
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
    pub(super) big_endian: bool,
    pub(super) dim: usize,
    pub(super) len: u64,
    /// Offset of the first record in bytes.
    pub(super) start: u64,
    /// Number of bytes of a record before its numbers.
    pub(super) record_head: usize,
}

impl Shape {
    /// Returns the shape of little-endian vectors without anything between or before them.
    pub(super) fn new(element: VectorType, dim: usize, len: u64) -> Self {
        Self { element, big_endian: false, dim, len, start: 0, record_head: 0 }
    }

    /// Returns the size of a record in bytes.
    pub(super) fn record(&self) -> u64 {
        (self.record_head + self.dim * self.element.size()) as u64
    }

    /// Returns the size of all records in bytes.
    pub(super) fn whole(&self) -> u128 {
        u128::from(self.len) * u128::from(self.record())
    }
}

/// A file or stream whose header is being read.
pub(super) struct Source<'a> {
    /// The path that the caller gave.
    pub(super) path: &'a Path,
    /// The bytes from the start.
    pub(super) file: &'a mut (dyn Read + Send),
    /// The file itself, or `None` for a stream, which has no length yet.
    pub(super) handle: Option<&'a File>,
    /// The dataset, if the path names one.
    #[cfg_attr(not(feature = "hdf5"), allow(dead_code, reason = "no other format has names in it"))]
    pub(super) dataset: Option<&'a str>,
    pub(super) format: &'static VectorFormat,
    /// Length of the file in bytes; `u64::MAX` for a stream.
    pub(super) bytes: u64,
    /// Number of bytes that [`take`](Self::take) has read.
    pub(super) taken: u64,
}

impl Source<'_> {
    /// Reads the next `N` bytes of the header.
    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], VectorFileError> {
        self.taken += N as u64;
        if self.bytes < self.taken {
            return Err(self.truncated(0, self.taken, self.bytes));
        }
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes).map_err(|why| VectorFileError::read(self.path, why))?;
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

    /// Checks that the file is exactly as long as its header implies. The end of a stream is
    /// checked when the reader gets there.
    pub(super) fn check_len(&self, shape: Shape) -> Result<Shape, VectorFileError> {
        if self.handle.is_none() {
            return Ok(shape);
        }
        let (record, left) = (shape.record(), self.bytes.saturating_sub(shape.start));
        let whole = shape.whole();
        if whole > u128::from(left) {
            return Err(self.truncated(left / record, record, left % record));
        }
        match u128::from(left) - whole {
            0 => Ok(shape),
            more if more == whole && self.format.distances => Ok(shape),
            more if more < whole && self.format.distances => Err(self.fault(cut_short(&shape, more))),
            more => Err(self.fault(too_long(&shape, more))),
        }
    }
}

/// Returns the text about bytes after the vectors.
pub(super) fn too_long(shape: &Shape, more: impl fmt::Display) -> String {
    format!("{} vectors of {} bytes and {more} bytes more", shape.len, shape.record())
}

/// Returns the text about a ground truth whose distances end after `more` bytes.
pub(super) fn cut_short(shape: &Shape, more: u128) -> String {
    let (start, whole) = (u128::from(shape.start), shape.whole());
    format!(
        "the distances after the {} rows of {} ids are cut short: {} bytes were expected, {} are there; a file of the \
         ids alone has {}",
        shape.len,
        shape.dim,
        start + 2 * whole,
        start + whole + more,
        start + whole
    )
}

fn read_vecs_head(source: &mut Source<'_>) -> Result<Shape, VectorFileError> {
    let element = source.format.element.expect("the format has a fixed element type");
    let dim = i32::from_le_bytes(source.take()?);
    let dim = source.dim(dim.into())?;
    let mut shape = Shape { record_head: source.format.record_head, ..Shape::new(element, dim, 0) };
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
    source.check_len(Shape { start: 8, ..Shape::new(element, dim, len.into()) })
}

#[cfg(not(feature = "hdf5"))]
fn read_hdf5_head(source: &mut Source<'_>) -> Result<Shape, VectorFileError> {
    Err(VectorFileError::Feature { path: source.path.to_owned(), feature: "hdf5" })
}

fn bin_head(shape: &Shape) -> Option<Vec<u8>> {
    let (len, dim) = (u32::try_from(shape.len).ok()?, u32::try_from(shape.dim).ok()?);
    Some([len.to_le_bytes(), dim.to_le_bytes()].concat())
}
