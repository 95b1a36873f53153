//! Writing of vector files.

use super::element::with_element;
use super::format::{MakeHead, Shape, VectorFormat, endings};
use super::stream::{self, HeaderLast, InOrder, Target};
use super::{MAX_DIM, VectorElement, VectorFileError, VectorType};
use crate::file::AtomicFile;
use ivf_core::Rows;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writer of a vector file in blocks. The extension determines the [format](super::FORMATS).
/// [`finish`](Self::finish) puts the complete file in place. If the writer is dropped before, no
/// file appears, and an old file stays.
///
/// ```
/// use ivf_core::Rows;
/// use ivf_io::{VectorWriter, read_vectors};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("out.fbin");
///
/// let mut writer = VectorWriter::create(&path)?; // out.fbin
/// for block in [[1.0_f32, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]] {
///     writer.write(Rows::new(&block, 2)?)?;
/// }
/// assert!(!path.exists());
/// writer.finish()?;
/// assert_eq!(read_vectors::<f32>(&path)?.rows().len(), 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct VectorWriter {
    path: PathBuf,
    out: Box<dyn Target>,
    format: &'static VectorFormat,
    head: MakeHead,
    /// Shape of the vectors written so far, or `None` before the first.
    shape: Option<Shape>,
    record: Vec<u8>,
}

impl fmt::Debug for VectorWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VectorWriter").field("path", &self.path).field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl VectorWriter {
    /// Starts a file that will appear at `path`. A program that computes for long before it writes
    /// can start its file first, and learns early whether it can be written.
    ///
    /// # Errors
    /// [`VectorFileError::Format`] for an unknown extension, [`VectorFileError::OnlyRead`] for a
    /// format that can only be read, and [`VectorFileError::Write`] if the file cannot be created.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, VectorFileError> {
        let path = path.as_ref();
        let unknown = |_| VectorFileError::Format { path: path.to_owned(), known: endings(VectorFormat::is_written) };
        let format = VectorFormat::of(path).map_err(unknown)?;
        Self::create_as(path, format)
    }

    /// Starts a file of the given format, whatever its name. The path `-` is standard output, to
    /// which the vectors are written as [`to_writer`](Self::to_writer) does. (`./-` is a file of
    /// that name.)
    ///
    /// ```
    /// use ivf_core::Rows;
    /// use ivf_io::{VectorReader, VectorWriter};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("base.part1");
    /// let mut writer = VectorWriter::create_as(&path, "fbin".parse()?)?;
    /// writer.write(Rows::new(&[1.0_f32, 2.0], 2)?)?;
    /// writer.finish()?;
    /// assert_eq!(VectorReader::open_as(&path, "fbin".parse()?)?.read_all::<f32>()?.into_data(), [1.0, 2.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`create`](Self::create), except for the extension.
    pub fn create_as(path: impl AsRef<Path>, format: &'static VectorFormat) -> Result<Self, VectorFileError> {
        let path = path.as_ref();
        if stream::is_standard(path) {
            return Self::to_writer(io::stdout(), "standard output", format);
        }
        Self::new(path, format, || Ok(Box::new(AtomicFile::create(path)?)))
    }

    /// Writes vectors to a stream, such as a pipe. `name` stands for the file in errors.
    ///
    /// Formats without a header (fvecs and its like) are written in order. The header of the others
    /// holds the number of vectors, so a temporary file holds the vectors until
    /// [`finish`](Self::finish). If the writer is dropped before, a part may have been written.
    ///
    /// ```
    /// use ivf_core::Rows;
    /// use ivf_io::VectorWriter;
    ///
    /// let mut writer = VectorWriter::to_writer(std::io::sink(), "the sink", "npy".parse()?)?;
    /// writer.write(Rows::new(&[1.0_f32, 2.0], 2)?)?;
    /// writer.finish()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`VectorFileError::OnlyRead`] for a format that can only be read, and
    /// [`VectorFileError::Write`] if there is no temporary file.
    pub fn to_writer(
        out: impl Write + Send + 'static,
        name: impl AsRef<Path>,
        format: &'static VectorFormat,
    ) -> Result<Self, VectorFileError> {
        Self::new(name.as_ref(), format, || {
            Ok(if format.counted { Box::new(HeaderLast::new(out)?) } else { Box::new(InOrder::new(out)) })
        })
    }

    fn new(
        path: &Path,
        format: &'static VectorFormat,
        out: impl FnOnce() -> io::Result<Box<dyn Target>>,
    ) -> Result<Self, VectorFileError> {
        let only_read =
            || VectorFileError::OnlyRead { path: path.to_owned(), known: endings(VectorFormat::is_written) };
        let head = format.head.ok_or_else(only_read)?;
        let out = out().map_err(|why| VectorFileError::write(path, why))?;
        Ok(Self { path: path.to_owned(), out, format, head, shape: None, record: Vec::new() })
    }

    /// Appends vectors. The first ones set the dimension of the file and, in formats without a
    /// fixed element type, the element type. Numbers are converted to the element type of the file,
    /// which must be able to hold them (see [`VectorElement::from_number`]). After an error, drop
    /// the writer: a record may be written in part.
    ///
    /// # Errors
    /// [`VectorFileError`]: the dimension differs from that of the first vectors or exceeds
    /// [`MAX_DIM`], a number does not fit, or the file system reports an error.
    pub fn write<T: VectorElement>(&mut self, rows: Rows<'_, T>) -> Result<(), VectorFileError> {
        if rows.is_empty() {
            return Ok(());
        }
        let found = rows.dim() as i64;
        let shape = match self.shape {
            Some(shape) => shape,
            None => self.start(rows.dim(), self.format.element.unwrap_or(T::TYPE))?,
        };
        let (path, record, expected) = (|| self.path.clone(), shape.len, shape.dim);
        if rows.dim() != expected {
            return Err(VectorFileError::Ragged { path: path(), record, expected, found });
        }
        let head = (expected as i32).to_le_bytes();
        for (i, row) in rows.iter().enumerate() {
            let bytes = if T::TYPE == shape.element {
                bytemuck::cast_slice(row)
            } else {
                self.convert(row, shape.element, shape.len + i as u64)?;
                &self.record
            };
            let put = self.out.write_all(&head[..shape.record_head]).and_then(|()| self.out.write_all(bytes));
            put.map_err(|why| VectorFileError::write(&self.path, why))?;
        }
        self.shape = Some(Shape { len: shape.len + rows.len() as u64, ..shape });
        Ok(())
    }

    /// Writes a header that does not hold the number of vectors yet.
    fn start(&mut self, dim: usize, element: VectorType) -> Result<Shape, VectorFileError> {
        if dim > MAX_DIM {
            return Err(VectorFileError::Dimension { path: self.path.clone(), record: 0, found: dim as i64 });
        }
        let mut shape = Shape { record_head: self.format.record_head, ..Shape::new(element, dim, 0) };
        let head = (self.head)(&shape).expect("every header can count 0 vectors");
        shape.start = head.len() as u64;
        self.out.write_all(&head).map_err(|why| VectorFileError::write(&self.path, why))?;
        self.shape = Some(shape);
        Ok(shape)
    }

    fn convert<T: VectorElement>(
        &mut self,
        row: &[T],
        element: VectorType,
        record: u64,
    ) -> Result<(), VectorFileError> {
        self.record.clear();
        let done = with_element!(element, S => convert::<T, S>(row, &mut self.record));
        done.map_err(|(column, number)| {
            let (path, number) = (self.path.clone(), number.to_string());
            VectorFileError::Number { path, record, column, number, element, advice: None }
        })
    }

    /// Completes the file and puts it in place.
    ///
    /// # Errors
    /// [`VectorFileError`]: there were no vectors (a reader could not tell their dimension), there
    /// were more than the format can count, or the file system reports an error. The old file then
    /// stays, except if only the last step fails, the sync of the folder.
    pub fn finish(mut self) -> Result<(), VectorFileError> {
        let Some(shape) = self.shape else {
            return Err(VectorFileError::Empty { path: self.path });
        };
        let Some(head) = (self.head)(&shape) else {
            let what = format!("{} vectors are more than {} can count", shape.len, self.format.extension);
            return Err(VectorFileError::Head { path: self.path, what });
        };
        assert_eq!(head.len() as u64, shape.start, "the header has a fixed length");
        let put = self.out.replace_start(&head).and_then(|()| self.out.finish());
        put.map_err(|why| VectorFileError::write(&self.path, why))
    }
}

/// Converts the numbers of a vector. The error holds the index and the value of the first number
/// that does not fit.
fn convert<S: VectorElement, T: VectorElement>(row: &[S], record: &mut Vec<u8>) -> Result<(), (usize, super::Number)> {
    for (column, from) in row.iter().enumerate() {
        let number = from.number();
        let to = T::from_number(number).ok_or((column, number))?;
        record.extend_from_slice(bytemuck::bytes_of(&to));
    }
    Ok(())
}

/// Writes a whole vector file, atomically. The extension determines the format.
///
/// ```
/// use ivf_core::Rows;
/// use ivf_io::{VectorFileError, write_vectors};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("small.bvecs");
///
/// // The numbers are converted to those of the format.
/// write_vectors(&path, Rows::new(&[1.0_f32, 255.0], 2)?)?; // small.bvecs
/// assert_eq!(std::fs::read(&path)?, [2, 0, 0, 0, 1, 255]);
/// let failed = write_vectors(&path, Rows::new(&[1.0_f32, 256.0], 2)?);
/// assert!(matches!(failed, Err(VectorFileError::Number { column: 1, .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`VectorFileError`].
pub fn write_vectors<T: VectorElement>(path: impl AsRef<Path>, rows: Rows<'_, T>) -> Result<(), VectorFileError> {
    let mut writer = VectorWriter::create(path)?;
    writer.write(rows)?;
    writer.finish()
}
