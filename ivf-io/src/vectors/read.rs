//! Reading of vector files.

use super::format::{Shape, Source, VectorFormat, split};
use super::{VectorElement, VectorFileError, VectorType};
use crate::file;
use half::f16;
use ivf_core::{Rows, RowsError};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Size of the read buffer in bytes.
const BUFFER: usize = 1 << 18;

/// Reader of a vector file in blocks. It reads all [formats](super::FORMATS), chosen by the
/// extension.
///
/// ```
/// use ivf_core::Rows;
/// use ivf_io::{VectorReader, VectorType};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("base.u8bin");
/// # ivf_io::write_vectors(&path, Rows::new(&[1_u8, 2, 3, 4, 5, 6, 7, 8, 9, 10], 2)?)?;
///
/// // Five vectors of bytes, read as floats: one is skipped, the others come in blocks of three.
/// let mut reader = VectorReader::open(&path)?; // base.u8bin
/// assert_eq!((reader.len(), reader.dim(), reader.element()), (5, 2, VectorType::U8));
/// reader.skip(1)?;
/// let (mut block, mut lengths): (Vec<f32>, _) = (Vec::new(), Vec::new());
/// while reader.read_block(3, &mut block)? > 0 {
///     let rows = Rows::new(&block, reader.dim())?;
///     lengths.push((rows.len(), reader.left()));
/// }
/// assert_eq!(lengths, [(3, 1), (1, 0)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct VectorReader {
    path: PathBuf,
    input: BufReader<File>,
    shape: Shape,
    /// Index of the next record.
    next: u64,
    /// Buffer for a record whose type is not the caller's.
    record: Vec<u8>,
}

impl VectorReader {
    /// Opens a file, reads its header, and compares the length of the file with it.
    ///
    /// # Errors
    /// [`VectorFileError`]:
    ///
    /// * The file cannot be read.
    /// * The name does not select a format that this build reads, or a dataset of the file.
    /// * The file has no vectors, its header is invalid, or its length does not match the header.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, VectorFileError> {
        let path = path.as_ref();
        Self::open_as(path, VectorFormat::of(path)?)
    }

    /// Opens a file of the given format, whatever its name.
    ///
    /// ```
    /// use ivf_io::VectorReader;
    /// use ivf_io::vectors::VectorFormat;
    /// use std::path::Path;
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("upload-17");
    /// # std::fs::write(&path, [1, 0, 0, 0, 2, 0, 0, 0, 5, 6])?;
    ///
    /// let format = VectorFormat::of(Path::new("any.u8bin"))?;
    /// let reader = VectorReader::open_as(&path, format)?; // upload-17
    /// let vectors = reader.read_all::<u8>()?;
    /// assert_eq!(vectors.rows().row(0), [5, 6]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`open`](Self::open).
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

    /// Returns the dimension of the vectors, at least 1.
    pub fn dim(&self) -> usize {
        self.shape.dim
    }

    /// Returns the number of vectors in the file, at least 1.
    #[allow(clippy::len_without_is_empty, reason = "a file without vectors does not open")]
    pub fn len(&self) -> u64 {
        self.shape.len
    }

    /// Returns the element type of the file.
    pub fn element(&self) -> VectorType {
        self.shape.element
    }

    /// Returns the number of vectors that are not read yet.
    pub fn left(&self) -> u64 {
        self.shape.len - self.next
    }

    /// Skips the next `n` vectors, or all that are left if there are fewer.
    ///
    /// # Errors
    /// [`VectorFileError::Read`].
    pub fn skip(&mut self, n: u64) -> Result<(), VectorFileError> {
        let n = n.min(self.left());
        // The vectors exist: the length of the file was checked. A file is not longer than
        // `i64::MAX` bytes.
        let bytes = (n * self.shape.record()) as i64;
        self.input.seek_relative(bytes).map_err(|why| VectorFileError::read(&self.path, why))?;
        self.next += n;
        Ok(())
    }

    /// Replaces the contents of `block` by the next vectors, row by row, at most `max_rows`.
    /// Returns the number of vectors read, which is 0 at the end. The numbers are converted to the
    /// caller's type, which must be able to hold them (see [`VectorElement::from_number`]).
    ///
    /// # Errors
    /// [`VectorFileError`]: the file cannot be read, a record has another dimension, or a number
    /// does not fit. The contents of the block are then unspecified.
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

    /// Reads all vectors that are left.
    ///
    /// # Errors
    /// As for [`read_block`](Self::read_block).
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

/// Converts the numbers of a record. The error holds the index and the value of the first number
/// that does not fit.
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

/// Vectors in memory, such as those of a file.
///
/// ```
/// use ivf_io::Vectors;
///
/// let vectors = Vectors::new(vec![1.0_f32, 2.0, 3.0, 4.0], 2)?;
/// assert_eq!((vectors.dim(), vectors.rows().row(1)), (2, &[3.0, 4.0][..]));
/// assert_eq!(vectors.into_data(), [1.0, 2.0, 3.0, 4.0]);
/// # Ok::<(), ivf_core::RowsError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Vectors<T> {
    data: Vec<T>,
    dim: usize,
}

impl<T> Vectors<T> {
    /// Interprets `data` as rows of `dim` elements.
    ///
    /// # Errors
    /// [`RowsError`] if `dim` is zero or does not divide `data.len()`.
    pub fn new(data: Vec<T>, dim: usize) -> Result<Self, RowsError> {
        Rows::new(&data, dim)?;
        Ok(Self { data, dim })
    }

    /// Returns the vectors as rows.
    pub fn rows(&self) -> Rows<'_, T> {
        Rows::new(&self.data, self.dim).expect("the constructor checked the shape")
    }

    /// Returns the dimension of the vectors, at least 1.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Returns all elements, row by row.
    pub fn into_data(self) -> Vec<T> {
        self.data
    }
}

/// Reads a whole vector file of any format, and converts its numbers to `T`.
///
/// ```
/// use ivf_core::Rows;
/// use ivf_io::{VectorFileError, read_vectors, write_vectors};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("base.fvecs");
///
/// write_vectors(&path, Rows::new(&[1.0_f32, 2.0, 3.0, 4.5], 2)?)?; // base.fvecs
/// assert_eq!(read_vectors::<f32>(&path)?.rows().row(1), [3.0, 4.5]);
/// // 4.5 is not a byte.
/// assert!(matches!(read_vectors::<u8>(&path), Err(VectorFileError::Number { record: 1, column: 1, .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`VectorFileError`].
pub fn read_vectors<T: VectorElement>(path: impl AsRef<Path>) -> Result<Vectors<T>, VectorFileError> {
    VectorReader::open(path)?.read_all()
}
