//! Writing vector files.

use super::{MAX_DIM, VecsElement, VectorFileError};
use crate::file::AtomicFile;
use ivf_core::Rows;
use std::io::Write;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// Writes a vector file in blocks. The file appears, whole, by [`finish`](Self::finish); dropped before, it never does, and an
/// old file at that place stays.
///
/// ```no_run
/// use ivf_core::Rows;
/// use ivf_io::FvecsWriter;
///
/// let mut writer = FvecsWriter::create("out.fvecs")?;
/// for block in [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]] {
///     writer.write(Rows::new(&block, 2)?)?;
/// }
/// writer.finish()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct VecsWriter<T> {
    path: PathBuf,
    out: AtomicFile,
    /// The dimension of the first vector; `None` before it.
    dim: Option<usize>,
    /// The record that comes next.
    next: u64,
    element: PhantomData<T>,
}

/// Writes fvecs files.
pub type FvecsWriter = VecsWriter<f32>;

/// Writes ivecs files.
pub type IvecsWriter = VecsWriter<i32>;

impl<T: VecsElement> VecsWriter<T> {
    /// Starts a file that shall stand at `path`.
    ///
    /// # Errors
    /// [`VectorFileError::Write`].
    pub fn create(path: impl AsRef<Path>) -> Result<Self, VectorFileError> {
        let path = path.as_ref();
        let out = AtomicFile::create(path).map_err(|why| VectorFileError::write(path, why))?;
        Ok(Self { path: path.to_owned(), out, dim: None, next: 0, element: PhantomData })
    }

    /// Appends vectors. The first ones set the dimension of the file. After an error the writer is to be dropped: a record may
    /// have been written in part.
    ///
    /// # Errors
    /// [`VectorFileError`]: another dimension than the first, one past [`MAX_DIM`], or the file system refuses.
    pub fn write(&mut self, rows: Rows<'_, T>) -> Result<(), VectorFileError> {
        if rows.is_empty() {
            return Ok(());
        }
        let (path, record, found) = (|| self.path.clone(), self.next, rows.dim() as i64);
        if rows.dim() > MAX_DIM {
            return Err(VectorFileError::Dimension { path: path(), record, found });
        }
        let expected = *self.dim.get_or_insert(rows.dim());
        if rows.dim() != expected {
            return Err(VectorFileError::Ragged { path: path(), record, expected, found });
        }
        let head = (expected as i32).to_le_bytes();
        for row in rows.iter() {
            let put = self.out.write_all(&head).and_then(|()| self.out.write_all(bytemuck::cast_slice(row)));
            put.map_err(|why| VectorFileError::write(&self.path, why))?;
            self.next += 1;
        }
        Ok(())
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// [`VectorFileError`]: there were no vectors (no reader could tell their dimension), or the file system refuses. An old
    /// file stays then.
    pub fn finish(self) -> Result<(), VectorFileError> {
        if self.next == 0 {
            return Err(VectorFileError::Empty { path: self.path });
        }
        self.out.commit().map_err(|why| VectorFileError::write(&self.path, why))
    }
}

/// Writes a whole fvecs file, atomically.
///
/// # Errors
/// [`VectorFileError`].
pub fn write_fvecs(path: impl AsRef<Path>, rows: Rows<'_, f32>) -> Result<(), VectorFileError> {
    write_vecs(path.as_ref(), rows)
}

/// Writes a whole ivecs file, atomically.
///
/// # Errors
/// [`VectorFileError`].
pub fn write_ivecs(path: impl AsRef<Path>, rows: Rows<'_, i32>) -> Result<(), VectorFileError> {
    write_vecs(path.as_ref(), rows)
}

fn write_vecs<T: VecsElement>(path: &Path, rows: Rows<'_, T>) -> Result<(), VectorFileError> {
    let mut writer = VecsWriter::create(path)?;
    writer.write(rows)?;
    writer.finish()
}
