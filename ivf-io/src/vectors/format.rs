//! The formats: what stands before the vectors, and before each of them.

use super::npy;
use super::{MAX_DIM, VectorFileError, VectorType};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// A format of vector files.
///
/// ```text
/// fvecs ivecs bvecs         | dim | x0 ... xd-1 | dim | x0 ... xd-1 | ...         dim: i32, the same in all records
/// fbin ibin u8bin i8bin     | n | dim | x0 ... xd-1 | x0 ... xd-1 | ...           n, dim: u32
/// npy                       | header | x0 ... xd-1 | x0 ... xd-1 | ...            NumPy's, two axes, C order
/// ```
///
/// All numbers are little-endian.
#[derive(Clone, Copy, Debug)]
pub struct VectorFormat {
    /// How the names of its files end, without the point.
    pub extension: &'static str,
    /// The type of its numbers; `None` if each file says.
    pub element: Option<VectorType>,
    /// Bytes before the numbers of each vector.
    pub(super) record_head: usize,
    /// Reads what stands before the vectors.
    pub(super) read_head: fn(&mut Source<'_>) -> Result<Shape, VectorFileError>,
    /// Writes it.
    pub(super) head: fn(&Shape) -> Option<Vec<u8>>,
}

/// All formats.
pub const FORMATS: &[VectorFormat] = &[
    vecs("fvecs", VectorType::F32),
    vecs("ivecs", VectorType::I32),
    vecs("bvecs", VectorType::U8),
    bin("fbin", VectorType::F32),
    bin("ibin", VectorType::I32),
    bin("u8bin", VectorType::U8),
    bin("i8bin", VectorType::I8),
    VectorFormat { extension: "npy", element: None, record_head: 0, read_head: npy::read_head, head: npy::head },
];

const fn vecs(extension: &'static str, element: VectorType) -> VectorFormat {
    let record_head = size_of::<i32>();
    VectorFormat {
        extension,
        element: Some(element),
        record_head,
        read_head: read_vecs_head,
        head: |_| Some(Vec::new()),
    }
}

const fn bin(extension: &'static str, element: VectorType) -> VectorFormat {
    VectorFormat { extension, element: Some(element), record_head: 0, read_head: read_bin_head, head: bin_head }
}

impl VectorFormat {
    /// The format of a file by its name.
    ///
    /// # Errors
    /// [`VectorFileError::Format`] with the known endings.
    pub fn of(path: &Path) -> Result<&'static Self, VectorFileError> {
        let extension = path.extension().unwrap_or_default();
        let found = FORMATS.iter().find(|format| extension.eq_ignore_ascii_case(format.extension));
        found.ok_or_else(|| VectorFileError::Format { path: path.to_owned() })
    }
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
}

/// A file whose head is read.
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) file: &'a mut File,
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

    /// Refuses a file that does not hold just what its head says.
    pub(super) fn check_len(&self, shape: Shape) -> Result<Shape, VectorFileError> {
        let (record, left) = (shape.record(), self.bytes.saturating_sub(shape.start));
        let whole = u128::from(shape.len) * u128::from(record);
        if whole > u128::from(left) {
            return Err(self.truncated(left / record, record, left % record));
        }
        if whole < u128::from(left) {
            let what = format!("{} vectors of {} bytes and {} bytes more", shape.len, record, u128::from(left) - whole);
            return Err(VectorFileError::Head { path: self.path.to_owned(), what });
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

fn bin_head(shape: &Shape) -> Option<Vec<u8>> {
    let (len, dim) = (u32::try_from(shape.len).ok()?, u32::try_from(shape.dim).ok()?);
    Some([len.to_le_bytes(), dim.to_le_bytes()].concat())
}
