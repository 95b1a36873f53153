//! Vector files: those of the TEXMEX and Big-ANN benchmark sets, NumPy's, and (with the feature `hdf5`) those of ann-benchmarks.
//!
//! [`VectorReader`] and [`VectorWriter`] go through a file in blocks, [`read_vectors`] and [`write_vectors`] take it whole. The name
//! of a file says its [format](FORMATS), and the caller says the type that its numbers shall have in memory.

mod element;
mod error;
mod format;
#[cfg(feature = "hdf5")]
mod hdf5;
mod npy;
mod read;
mod write;

pub use element::{Number, VectorElement, VectorType};
pub use error::VectorFileError;
pub use format::{FORMATS, VectorFormat, file_of};
pub use read::{VectorReader, Vectors, read_vectors};
pub use write::{VectorWriter, write_vectors};

/// Dimensions that a vector of a file may have: more are taken for a file of another kind.
pub const MAX_DIM: usize = 1 << 20;
