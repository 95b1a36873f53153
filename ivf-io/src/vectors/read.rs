//! Reading of vector files.

use super::element::with_element;
use super::format::{Shape, Source, VectorFormat, cut_short, split_as, too_long};
use super::npy;
use super::stream::{self, Forward};
use super::{VectorElement, VectorFileError, VectorType};
use crate::file;
use crate::looks::{Expected, Looks, START};
use ivf_core::{Rows, RowsError};
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Size of the read buffer in bytes.
const BUFFER: usize = 1 << 18;

/// Minimum number of numbers for which memory is reserved at a time, while a stream has not shown
/// that it is as long as its header says.
const STEP: usize = 1 << 16;

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
pub struct VectorReader {
    path: PathBuf,
    input: BufReader<Box<dyn Bytes>>,
    /// Whether the bytes come from a stream, whose length only its end shows.
    is_stream: bool,
    /// What a stream or a file of records looks like, if not like its format: for the error, if
    /// there will be one.
    looks: Option<Looks>,
    format: &'static VectorFormat,
    shape: Shape,
    /// Index of the next record.
    next: u64,
    /// Buffer for a record whose type is not the caller's.
    record: Vec<u8>,
}

/// The bytes of a file, or of a stream that seeks forward by reading.
trait Bytes: Read + Seek + Send {}

impl<R: Read + Seek + Send> Bytes for R {}

impl fmt::Debug for VectorReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, shape, next, .. } = self;
        f.debug_struct("VectorReader")
            .field("path", path)
            .field("shape", shape)
            .field("next", next)
            .finish_non_exhaustive()
    }
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
    ///   The error also says what such a file looks like, if its first bytes tell.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, VectorFileError> {
        let path = path.as_ref();
        let format = VectorFormat::of(path).map_err(|error| {
            let (file, bytes) = match file::open(path) {
                Ok(opened) => opened,
                Err(why) if !stream::is_standard(path) => return unopened(path, why),
                Err(_) => return error,
            };
            error.looking(&start_of(&file), Some(bytes), Expected::AnyVectors)
        })?;
        Self::open_as(path, format)
    }

    /// Opens a file of the given format, whatever its name. The path `-` is standard input, which
    /// is read as [`from_reader`](Self::from_reader) does, or in place if it is a file. (`./-` is a
    /// file of that name.)
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
        if stream::is_standard(path) {
            let name = Path::new("standard input");
            return match stream::standard_input_file() {
                Some((file, bytes)) => Self::of_file(name, None, file, bytes, format),
                None => Self::from_reader(io::stdin(), name, format),
            };
        }
        let (place, dataset) = split_as(path, format);
        let (file, bytes) = file::open(place).map_err(|why| unopened(place, why))?;
        Self::of_file(path, dataset, file, bytes, format)
    }

    /// Reads vectors from a stream, such as a pipe. `name` stands for the file in errors.
    ///
    /// Formats whose header holds the number of vectors (fbin and its like, npy) are read in order,
    /// without a copy. Whether the stream is as long as its header says shows only at its end, so
    /// the last block can be an error. Other formats (fvecs and its like) are first copied to a
    /// temporary file, because only their length tells how many vectors there are. An HDF5 file
    /// cannot be read from a stream.
    ///
    /// ```
    /// use ivf_io::VectorReader;
    ///
    /// let bytes: Vec<u8> = [2_u32, 1, 10, 11].map(u32::to_le_bytes).concat();
    /// let reader = VectorReader::from_reader(std::io::Cursor::new(bytes), "ids", "ibin".parse()?)?;
    /// assert_eq!(reader.read_all::<i64>()?.into_data(), [10, 11]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn from_reader(
        mut input: impl Read + Send + 'static,
        name: impl AsRef<Path>,
        format: &'static VectorFormat,
    ) -> Result<Self, VectorFileError> {
        let path = name.as_ref();
        let failed = |why| VectorFileError::read(path, why);
        if !format.counted {
            let (file, bytes) = stream::copy_to_file(input).map_err(failed)?;
            return Self::of_file(path, None, file, bytes, format);
        }
        let mut start = Vec::new();
        input.by_ref().take(START as u64).read_to_end(&mut start).map_err(failed)?;
        if start.is_empty() {
            return Err(VectorFileError::Empty { path: path.to_owned() });
        }
        let input = io::Cursor::new(start.clone()).chain(input);
        let mut input = BufReader::with_capacity(BUFFER, Box::new(Forward::new(input)) as Box<dyn Bytes>);
        let mut source =
            Source { path, file: &mut input, handle: None, dataset: None, format, bytes: u64::MAX, taken: 0 };
        let shape = (format.read_head)(&mut source)
            .map_err(|error| error.looking(&start, None, Expected::Vectors(format.extension)))?;
        let looks = Looks::of(&start, None, Expected::Vectors(format.extension));
        Ok(Self { is_stream: true, looks, ..Self::new(path, input, format, shape)? })
    }

    fn of_file(
        path: &Path,
        dataset: Option<&str>,
        mut file: File,
        bytes: u64,
        format: &'static VectorFormat,
    ) -> Result<Self, VectorFileError> {
        if bytes == 0 {
            return Err(VectorFileError::Empty { path: path.to_owned() });
        }
        let mut from_start = &file;
        let mut source = Source { path, file: &mut from_start, handle: Some(&file), dataset, format, bytes, taken: 0 };
        let shape = (format.read_head)(&mut source)
            .map_err(|error| error.looking(&start_of(&file), Some(bytes), Expected::Vectors(format.extension)))?;
        // Such a file may be of another format although its length fits.
        let has_records = shape.record_head > 0;
        let looks = has_records.then(|| Looks::of(&start_of(&file), Some(bytes), Expected::Vectors(format.extension)));
        file.seek(SeekFrom::Start(shape.start)).map_err(|why| VectorFileError::read(path, why))?;
        let reader = Self::new(path, BufReader::with_capacity(BUFFER, Box::new(file)), format, shape)?;
        Ok(Self { looks: looks.flatten(), ..reader })
    }

    fn new(
        path: &Path,
        input: BufReader<Box<dyn Bytes>>,
        format: &'static VectorFormat,
        shape: Shape,
    ) -> Result<Self, VectorFileError> {
        if shape.len == 0 {
            return Err(VectorFileError::Empty { path: path.to_owned() });
        }
        Ok(Self {
            path: path.to_owned(),
            input,
            is_stream: false,
            looks: None,
            format,
            shape,
            next: 0,
            record: Vec::new(),
        })
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
        // In a file the vectors exist: its length was checked. It is at most `i64::MAX` bytes.
        let bytes = i64::try_from(u128::from(n) * u128::from(self.shape.record())).unwrap_or(i64::MAX);
        self.input
            .seek_relative(bytes)
            .map_err(|why| self.failed(why, format_args!("before vector {}", self.next + n)))?;
        self.next += n;
        self.check_end()
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
        while block.len() < elements {
            // A stream may be shorter than its header says, so memory grows with what it delivers.
            let step = if self.is_stream { block.len().max(STEP).next_multiple_of(self.shape.dim) } else { elements };
            let from = block.len();
            let to = from.saturating_add(step).min(elements);
            block.try_reserve(to - from).map_err(|why| VectorFileError::read(&self.path, why))?;
            block.resize(to, T::zeroed());
            self.read_rows(&mut block[from..])?;
        }
        self.check_end()?;
        Ok(rows)
    }

    /// Reads as many records as there are rows.
    fn read_rows<T: VectorElement>(&mut self, rows: &mut [T]) -> Result<(), VectorFileError> {
        for row in rows.chunks_exact_mut(self.shape.dim) {
            if self.shape.record_head > 0 {
                self.check_record_head()?;
            }
            if T::TYPE == self.shape.element {
                let bytes = bytemuck::cast_slice_mut(row);
                self.input.read_exact(bytes).map_err(|why| self.failed(why, self.place()))?;
                self.to_little_endian(bytes);
            } else {
                let mut record = std::mem::take(&mut self.record);
                record.resize(self.shape.dim * self.shape.element.size(), 0);
                self.input.read_exact(&mut record).map_err(|why| self.failed(why, self.place()))?;
                self.to_little_endian(&mut record);
                self.convert(&record, row)?;
                self.record = record;
            }
            self.next += 1;
        }
        Ok(())
    }

    fn to_little_endian(&self, bytes: &mut [u8]) {
        if self.shape.big_endian {
            bytes.chunks_exact_mut(self.shape.element.size()).for_each(<[u8]>::reverse);
        }
    }

    /// Checks, once the last vector of a stream has been read, that the stream ends there.
    fn check_end(&mut self) -> Result<(), VectorFileError> {
        if !self.is_stream || self.next < self.shape.len {
            return Ok(());
        }
        // One byte more than a ground truth has tells that something else follows.
        let whole = self.shape.whole();
        let most = if self.format.distances { u64::try_from(whole).unwrap_or(u64::MAX - 1) } else { 0 };
        let rest = io::copy(&mut self.input.by_ref().take(most + 1), &mut io::sink());
        match rest.map_err(|why| VectorFileError::read(&self.path, why))? {
            0 => Ok(()),
            rest if self.format.distances && u128::from(rest) == whole => Ok(()),
            rest => {
                let is_cut = self.format.distances && u128::from(rest) < whole;
                let what = match is_cut {
                    true => cut_short(&self.shape, rest.into()),
                    false => too_long(&self.shape, format_args!("at least {rest}")),
                };
                let why = VectorFileError::Head { path: self.path.clone(), what };
                Err(match self.looks.take() {
                    Some(looks) => VectorFileError::Looks { why: why.into(), looks },
                    None => why,
                })
            }
        }
    }

    fn place(&self) -> String {
        format!("inside vector {}", self.next)
    }

    /// Returns the error of a failed read. The end of the bytes is told with its place.
    fn failed(&self, why: io::Error, place: impl fmt::Display) -> VectorFileError {
        if why.kind() == ErrorKind::UnexpectedEof {
            let looks = self.looks.as_ref().map(|looks| format!("; {looks}")).unwrap_or_default();
            let what = format!("it ends {place} of {}{looks}", self.shape.len);
            return VectorFileError::read(&self.path, io::Error::new(ErrorKind::UnexpectedEof, what));
        }
        VectorFileError::read(&self.path, why)
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
        self.input.read_exact(&mut head).map_err(|why| self.failed(why, self.place()))?;
        let found = i32::from_le_bytes(head);
        if usize::try_from(found) == Ok(self.shape.dim) {
            return Ok(());
        }
        let (path, record, expected) = (self.path.clone(), self.next, self.shape.dim);
        let why = VectorFileError::Ragged { path, record, expected, found: found.into() };
        Err(match self.looks.take() {
            Some(looks) => VectorFileError::Looks { why: why.into(), looks },
            None => why,
        })
    }

    /// Returns advice for integers that a float cannot hold exactly. NumPy rounds them.
    fn rounding(&self, to: VectorType) -> Option<String> {
        use VectorType::{F16, F32, F64};
        let is_rounded = to == F32 && !matches!(self.shape.element, F16 | F32 | F64);
        let again = || npy::save_again(&self.path, "{}.astype('float32')");
        (is_rounded && self.format.extension == "npy").then(|| format!("to round such numbers, {}", again()))
    }

    fn convert<T: VectorElement>(&self, record: &[u8], row: &mut [T]) -> Result<(), VectorFileError> {
        let done = with_element!(self.shape.element, S => convert::<S, T>(record, row));
        done.map_err(|(column, number)| VectorFileError::Number {
            path: self.path.clone(),
            record: self.next,
            column,
            number: number.to_string(),
            element: T::TYPE,
            advice: self.rounding(T::TYPE),
        })
    }
}

/// Returns whether a path leads to a pipe or the like, such as that of a shell's `<(command)`.
fn is_pipe(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

/// Returns the error for a file that cannot be opened.
fn unopened(path: &Path, why: io::Error) -> VectorFileError {
    match is_pipe(path) {
        true => VectorFileError::read(path, io::Error::new(why.kind(), format!("{why}: use - for standard input"))),
        false => VectorFileError::read(path, why),
    }
}

/// Returns the first bytes of a file, as many as can be read.
fn start_of(file: &File) -> Vec<u8> {
    let mut start = vec![0; START];
    let read = file::read_at(file, &mut start, 0).unwrap_or(0);
    start.truncate(read);
    start
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
