//! Vector files of the TEXMEX and Big-ANN benchmarks, NumPy files, and (with the feature `hdf5`)
//! the HDF5 files of ann-benchmarks.
//!
//! [`VectorReader`] and [`VectorWriter`] process a file in blocks. [`read_vectors`] and
//! [`write_vectors`] process a whole file. The extension of the file determines its
//! [format](FORMATS), unless the caller names one: then a file may have any name, and be standard
//! input or output. The caller chooses the type of the numbers in memory.

mod element;
mod error;
mod format;
#[cfg(feature = "hdf5")]
mod hdf5;
mod npy;
mod read;
mod stream;
mod write;

pub use element::{Number, VectorElement, VectorType};
pub use error::VectorFileError;
pub use format::{FORMATS, UnknownFormat, VectorFormat, file_of};
pub use read::{VectorReader, Vectors, read_vectors};
pub use write::{VectorWriter, write_vectors};

/// Maximum dimension of the vectors in a file. A larger number is taken as a sign of another
/// format.
pub const MAX_DIM: usize = 1 << 20;
