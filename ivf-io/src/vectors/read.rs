//! Reading vector files.

use super::format::{Shape, Source, VectorFormat, split};
use super::{VectorElement, VectorFileError, VectorType};
use crate::file;
use half::f16;
use ivf_core::{Rows, RowsError};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Bytes read ahead.
const BUFFER: usize = 1 << 18;

/// Reads a vector file in blocks, of any of the [formats](super::FORMATS): its name says which.
///
/// ```no_run
/// use ivf_core::Rows;
/// use ivf_io::VectorReader;
///
/// let mut reader = VectorReader::open("base.u8bin")?;
/// let mut block: Vec<f32> = Vec::new();
/// while reader.read_block(10_000, &mut block)? > 0 {
///     let rows = Rows::new(&block, reader.dim())?;
///     println!("{} vectors of {} dimensions", rows.len(), rows.dim());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct VectorReader {
    path: PathBuf,
    input: BufReader<File>,
    shape: Shape,
    /// The record that comes next.
    next: u64,
    /// Room for a record of another type than the caller's.
    record: Vec<u8>,
}

impl VectorReader {
    /// Opens a file; reads its head, and compares its length with what that says.
    ///
    /// # Errors
    /// [`VectorFileError`]: the file cannot be read, its name says no format, or none that this build reads, or not which of the
    /// sets in the file; it has no vectors, or a head that cannot be, or another length.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, VectorFileError> {
        let path = path.as_ref();
        Self::open_as(path, VectorFormat::of(path)?)
    }

    /// Opens a file of a format that its name does not say.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_as(path: impl AsRef<Path>, format: &'static VectorFormat) -> Result<Self, VectorFileError> {
        let path = path.as_ref();
        let (place, dataset) = split(path).map_or((path, None), |(file, dataset)| (file, Some(dataset)));
        let (mut file, bytes) = file::open(place).map_err(|why| VectorFileError::read(place, why))?;
        let empty = || VectorFileError::Empty { path: path.to_owned() };
        if bytes == 0 {
            return Err(empty());
        }
        let shape = (format.read_head)(&mut Source { path, file: &mut file, dataset, format, bytes })?;
        if shape.len == 0 {
            return Err(empty());
        }
        file.seek(SeekFrom::Start(shape.start)).map_err(|why| VectorFileError::read(path, why))?;
        let input = BufReader::with_capacity(BUFFER, file);
        Ok(Self { path: path.to_owned(), input, shape, next: 0, record: Vec::new() })
    }

    /// Numbers of a vector; at least 1.
    pub fn dim(&self) -> usize {
        self.shape.dim
    }

    /// Number of vectors in the file; at least 1.
    #[allow(clippy::len_without_is_empty, reason = "a file without vectors does not open")]
    pub fn len(&self) -> u64 {
        self.shape.len
    }

    /// The type of the numbers in the file.
    pub fn element(&self) -> VectorType {
        self.shape.element
    }

    /// Number of vectors that are not read yet.
    pub fn left(&self) -> u64 {
        self.shape.len - self.next
    }

    /// Leaves out the next `n` vectors, or all that are left.
    ///
    /// # Errors
    /// [`VectorFileError::Read`].
    pub fn skip(&mut self, n: u64) -> Result<(), VectorFileError> {
        let n = n.min(self.left());
        // The head said that they are there, and a file is not longer than this.
        let bytes = (n * self.shape.record()) as i64;
        self.input.seek_relative(bytes).map_err(|why| VectorFileError::read(&self.path, why))?;
        self.next += n;
        Ok(())
    }

    /// Replaces the contents of `block` by the next vectors, at most `max_rows`, row after row. Returns how many; 0 at the end.
    /// The numbers become those of the caller's type, which must hold them (see [`VectorElement::from_number`]).
    ///
    /// # Errors
    /// [`VectorFileError`]: the file cannot be read, a record has another dimension, or a number does not fit. The block then holds
    /// nothing of use.
    pub fn read_block<T: VectorElement>(
        &mut self,
        max_rows: usize,
        block: &mut Vec<T>,
    ) -> Result<usize, VectorFileError> {
        let left = usize::try_from(self.shape.len - self.next).unwrap_or(usize::MAX);
        let rows = max_rows.min(left);
        let elements = rows.saturating_mul(self.shape.dim);
        block.clear();
        block.try_reserve(elements).map_err(|why| VectorFileError::read(&self.path, why))?;
        block.resize(elements, T::zeroed());
        for row in block.chunks_exact_mut(self.shape.dim) {
            if self.shape.record_head > 0 {
                self.check_record_head()?;
            }
            if T::TYPE == self.shape.element {
                fill(&mut self.input, &self.path, bytemuck::cast_slice_mut(row))?;
            } else {
                self.record.resize(self.shape.dim * self.shape.element.size(), 0);
                fill(&mut self.input, &self.path, &mut self.record)?;
                self.convert(row)?;
            }
            self.next += 1;
        }
        Ok(rows)
    }

    /// Reads the vectors that are left.
    ///
    /// # Errors
    /// As [`read_block`](Self::read_block).
    pub fn read_all<T: VectorElement>(mut self) -> Result<Vectors<T>, VectorFileError> {
        let mut data = Vec::new();
        self.read_block(usize::MAX, &mut data)?;
        Ok(Vectors { data, dim: self.shape.dim })
    }

    fn check_record_head(&mut self) -> Result<(), VectorFileError> {
        let mut head = [0; size_of::<i32>()];
        fill(&mut self.input, &self.path, &mut head)?;
        let found = i32::from_le_bytes(head);
        if usize::try_from(found) == Ok(self.shape.dim) {
            return Ok(());
        }
        let (path, record, expected) = (self.path.clone(), self.next, self.shape.dim);
        Err(VectorFileError::Ragged { path, record, expected, found: found.into() })
    }

    fn convert<T: VectorElement>(&self, row: &mut [T]) -> Result<(), VectorFileError> {
        let done = match self.shape.element {
            VectorType::F32 => convert::<f32, T>(&self.record, row),
            VectorType::F16 => convert::<f16, T>(&self.record, row),
            VectorType::U8 => convert::<u8, T>(&self.record, row),
            VectorType::I8 => convert::<i8, T>(&self.record, row),
            VectorType::I32 => convert::<i32, T>(&self.record, row),
            VectorType::I64 => convert::<i64, T>(&self.record, row),
        };
        done.map_err(|(column, number)| VectorFileError::Number {
            path: self.path.clone(),
            record: self.next,
            column,
            number: number.to_string(),
            element: T::TYPE,
        })
    }
}

/// Numbers of another type; or the first that does not fit, and where it stands.
fn convert<S: VectorElement, T: VectorElement>(record: &[u8], row: &mut [T]) -> Result<(), (usize, super::Number)> {
    for (column, (bytes, to)) in record.chunks_exact(size_of::<S>()).zip(row).enumerate() {
        let number = bytemuck::pod_read_unaligned::<S>(bytes).number();
        *to = T::from_number(number).ok_or((column, number))?;
    }
    Ok(())
}

fn fill(input: &mut impl Read, path: &Path, bytes: &mut [u8]) -> Result<(), VectorFileError> {
    input.read_exact(bytes).map_err(|why| VectorFileError::read(path, why))
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

/// Reads a whole file of vectors, of any of the formats, its numbers as `T`.
///
/// # Errors
/// [`VectorFileError`].
pub fn read_vectors<T: VectorElement>(path: impl AsRef<Path>) -> Result<Vectors<T>, VectorFileError> {
    VectorReader::open(path)?.read_all()
}
