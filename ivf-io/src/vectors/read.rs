//! Reading vector files.

use super::{HEAD, MAX_DIM, VecsElement, VectorFileError};
use crate::file;
use ivf_core::{Rows, RowsError};
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// Bytes read ahead.
const BUFFER: usize = 1 << 18;

/// Reads a vector file in blocks.
///
/// ```no_run
/// use ivf_core::Rows;
/// use ivf_io::FvecsReader;
///
/// let mut reader = FvecsReader::open("base.fvecs")?;
/// let mut block = Vec::new();
/// while reader.read_block(10_000, &mut block)? > 0 {
///     let rows = Rows::new(&block, reader.dim())?;
///     println!("{} vectors of {} dimensions", rows.len(), rows.dim());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct VecsReader<T> {
    path: PathBuf,
    input: BufReader<File>,
    dim: usize,
    len: u64,
    /// The record that comes next.
    next: u64,
    element: PhantomData<T>,
}

/// Reads fvecs files.
pub type FvecsReader = VecsReader<f32>;

/// Reads ivecs files.
pub type IvecsReader = VecsReader<i32>;

impl<T: VecsElement> VecsReader<T> {
    /// Opens a file; reads its first dimension and, from its length, how many vectors it has.
    ///
    /// # Errors
    /// [`VectorFileError`]: the file cannot be read, is empty, begins with no dimension, or does not divide into records.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, VectorFileError> {
        let path = path.as_ref();
        let (mut file, bytes) = file::open(path).map_err(|why| VectorFileError::read(path, why))?;
        if bytes == 0 {
            return Err(VectorFileError::Empty { path: path.to_owned() });
        }
        let truncated =
            |record, needed, left| VectorFileError::Truncated { path: path.to_owned(), record, needed, left };
        if bytes < HEAD as u64 {
            return Err(truncated(0, HEAD as u64, bytes));
        }
        let mut head = [0; HEAD];
        file.read_exact(&mut head).and_then(|()| file.rewind()).map_err(|why| VectorFileError::read(path, why))?;
        let found = i32::from_le_bytes(head);
        let dim = match usize::try_from(found) {
            Ok(dim @ 1..=MAX_DIM) => dim,
            _ => return Err(VectorFileError::Dimension { path: path.to_owned(), record: 0, found: found.into() }),
        };
        let record = (HEAD + dim * size_of::<T>()) as u64;
        if !bytes.is_multiple_of(record) {
            return Err(truncated(bytes / record, record, bytes % record));
        }
        let input = BufReader::with_capacity(BUFFER, file);
        Ok(Self { path: path.to_owned(), input, dim, len: bytes / record, next: 0, element: PhantomData })
    }

    /// Elements of a vector; at least 1.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of vectors in the file; at least 1.
    #[allow(clippy::len_without_is_empty, reason = "a file without vectors does not open")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Replaces the contents of `block` by the next vectors, at most `max_rows`, row after row. Returns how many; 0 at the end.
    ///
    /// # Errors
    /// [`VectorFileError`]: the file cannot be read, or a record has another dimension. The block then holds nothing of use.
    pub fn read_block(&mut self, max_rows: usize, block: &mut Vec<T>) -> Result<usize, VectorFileError> {
        let left = usize::try_from(self.len - self.next).unwrap_or(usize::MAX);
        let rows = max_rows.min(left);
        let elements = rows.saturating_mul(self.dim);
        block.clear();
        block.try_reserve(elements).map_err(|why| VectorFileError::read(&self.path, why))?;
        block.resize(elements, T::zeroed());
        for row in block.chunks_exact_mut(self.dim) {
            let mut head = [0; HEAD];
            self.fill(&mut head)?;
            let found = i32::from_le_bytes(head);
            if usize::try_from(found) != Ok(self.dim) {
                let (path, record, expected) = (self.path.clone(), self.next, self.dim);
                return Err(VectorFileError::Ragged { path, record, expected, found: found.into() });
            }
            self.fill(bytemuck::cast_slice_mut(row))?;
            self.next += 1;
        }
        Ok(rows)
    }

    /// Reads the vectors that are left.
    ///
    /// # Errors
    /// As [`read_block`](Self::read_block).
    pub fn read_all(mut self) -> Result<Vectors<T>, VectorFileError> {
        let mut data = Vec::new();
        self.read_block(usize::MAX, &mut data)?;
        Ok(Vectors { data, dim: self.dim })
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), VectorFileError> {
        self.input.read_exact(bytes).map_err(|why| VectorFileError::read(&self.path, why))
    }
}

/// The vectors of a file in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Vectors<T> {
    data: Vec<T>,
    dim: usize,
}

impl<T> Vectors<T> {
    /// Takes `data` as rows of `dim` elements.
    ///
    /// # Errors
    /// [`RowsError`] if `dim` is zero or does not divide `data.len()`.
    pub fn new(data: Vec<T>, dim: usize) -> Result<Self, RowsError> {
        Rows::new(&data, dim)?;
        Ok(Self { data, dim })
    }

    /// The vectors as rows.
    pub fn rows(&self) -> Rows<'_, T> {
        Rows::new(&self.data, self.dim).expect("the shape was checked when it was made")
    }

    /// Elements of a vector; at least 1.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// All elements, row after row.
    pub fn into_data(self) -> Vec<T> {
        self.data
    }
}

/// Reads a whole fvecs file.
///
/// # Errors
/// [`VectorFileError`].
pub fn read_fvecs(path: impl AsRef<Path>) -> Result<Vectors<f32>, VectorFileError> {
    FvecsReader::open(path)?.read_all()
}

/// Reads a whole ivecs file.
///
/// # Errors
/// [`VectorFileError`].
pub fn read_ivecs(path: impl AsRef<Path>) -> Result<Vectors<i32>, VectorFileError> {
    IvecsReader::open(path)?.read_all()
}
