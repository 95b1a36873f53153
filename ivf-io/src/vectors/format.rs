//! The formats: what stands before the vectors, and before each of them.

use super::npy;
use super::{MAX_DIM, VectorFileError, VectorType};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

#[cfg(feature = "hdf5")]
use super::hdf5::read_head as read_hdf5_head;

/// A format of vector files.
///
/// ```text
/// fvecs ivecs bvecs         | dim | x0 ... xd-1 | dim | x0 ... xd-1 | ...         dim: i32, the same in all records
/// fbin ibin u8bin i8bin     | n | dim | x0 ... xd-1 | x0 ... xd-1 | ...           n, dim: u32
/// npy                       | header | x0 ... xd-1 | x0 ... xd-1 | ...            NumPy's, two axes, C order
/// hdf5 h5                   | ... | x0 ... xd-1 | x0 ... xd-1 | ...               a dataset in one piece, found by its name
/// ```
///
/// All numbers are little-endian. HDF5 files are only read, in builds with the feature `hdf5`, and hold several sets of vectors:
/// `FILE.hdf5:DATASET` names one, such as `glove-100-angular.hdf5:train`. A file that itself has that name is taken as it is.
#[derive(Clone, Copy, Debug)]
pub struct VectorFormat {
    /// How the names of its files end, without the point.
    pub extension: &'static str,
    /// The type of its numbers; `None` if each file says.
    pub element: Option<VectorType>,
    /// Bytes before the numbers of each vector.
    pub(super) record_head: usize,
    /// Whether a file holds several sets of vectors, each with a name.
    pub(super) datasets: bool,
    /// Reads what stands before the vectors.
    pub(super) read_head: fn(&mut Source<'_>) -> Result<Shape, VectorFileError>,
    /// Makes it, for so many vectors; `None` in formats that are only read.
    pub(super) head: Option<MakeHead>,
}

/// What stands before vectors of this shape; `None` if there are more than a head can count.
pub(super) type MakeHead = fn(&Shape) -> Option<Vec<u8>>;

/// All formats.
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
    /// The format of a file by its name.
    ///
    /// # Errors
    /// [`VectorFileError::Format`] with the known endings.
    pub fn of(path: &Path) -> Result<&'static Self, VectorFileError> {
        let file = split(path).map_or(path, |(file, _)| file);
        Self::by_ending(file).ok_or_else(|| VectorFileError::Format { path: path.to_owned(), known: endings(|_| true) })
    }

    /// Whether such files are written, or only read.
    pub fn is_written(&self) -> bool {
        self.head.is_some()
    }

    fn by_ending(file: &Path) -> Option<&'static Self> {
        let extension = file.extension().unwrap_or_default();
        FORMATS.iter().find(|format| extension.eq_ignore_ascii_case(format.extension))
    }
}

/// The file that a name of vectors stands for: `a.hdf5` for `a.hdf5:train`, most often the name itself.
pub fn file_of(path: &Path) -> PathBuf {
    split(path).map_or(path, |(file, _)| file).to_owned()
}

/// The parts of `FILE.hdf5:DATASET`; nothing for another name, or a file that there is.
pub(super) fn split(path: &Path) -> Option<(&Path, &str)> {
    let name = path.to_str().filter(|_| !path.exists())?;
    let parts = name.match_indices(':').map(|(at, _)| (Path::new(&name[..at]), &name[at + 1..]));
    parts.into_iter().find(|(file, _)| VectorFormat::by_ending(file).is_some_and(|format| format.datasets))
}

/// How names of vector files may end.
pub(super) fn endings(which: impl Fn(&VectorFormat) -> bool) -> String {
    let which = FORMATS.iter().filter(|format| which(format));
    let ending =
        |format: &VectorFormat| format!(".{}{}", format.extension, if format.datasets { ":DATASET" } else { "" });
    which.map(ending).collect::<Vec<_>>().join(", ")
}

/// What the head of a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) element: VectorType,
    pub(super) dim: usize,
    pub(super) len: u64,
    /// Bytes before the first record.
    pub(super) start: u64,
    /// Bytes of a record before its numbers.
    pub(super) record_head: usize,
}

impl Shape {
    /// Bytes of a record.
    pub(super) fn record(&self) -> u64 {
        (self.record_head + self.dim * self.element.size()) as u64
    }

    /// Bytes of all records.
    pub(super) fn whole(&self) -> u128 {
        u128::from(self.len) * u128::from(self.record())
    }
}

/// A file whose head is read.
pub(super) struct Source<'a> {
    /// What the caller named.
    pub(super) path: &'a Path,
    pub(super) file: &'a mut File,
    /// Which of its sets of vectors, where the name says so.
    #[cfg_attr(not(feature = "hdf5"), allow(dead_code, reason = "no other format has names in it"))]
    pub(super) dataset: Option<&'a str>,
    pub(super) format: &'static VectorFormat,
    /// Its length.
    pub(super) bytes: u64,
}

impl Source<'_> {
    /// The next bytes, `N` of those that a head has.
    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], VectorFileError> {
        let mut bytes = [0; N];
        if self.bytes < N as u64 {
            return Err(self.truncated(0, N as u64, self.bytes));
        }
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

    /// What stands before the vectors cannot be.
    pub(super) fn fault(&self, what: impl Into<String>) -> VectorFileError {
        VectorFileError::Head { path: self.path.to_owned(), what: what.into() }
    }

    /// Refuses a file that does not hold just what its head says.
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
    let element = source.format.element.expect("a format of one type");
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
    let element = source.format.element.expect("a format of one type");
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
