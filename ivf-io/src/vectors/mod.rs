//! Vector files: fvecs (`f32`) and ivecs (`i32`), the formats of the TEXMEX benchmark sets.
//!
//! ```text
//! record 0             record 1
//! | dim | x0 ... xd-1 | dim | x0 ... xd-1 | ...      dim: i32, the same in all records; x: 4 bytes each; little-endian
//! ```
//!
//! A file holds nothing else: no header, no count. [`VecsReader`] and [`VecsWriter`] go through it in blocks; [`read_fvecs`]
//! and [`write_fvecs`] take it whole.

mod error;
mod read;
mod write;

pub use error::VectorFileError;
pub use read::{FvecsReader, IvecsReader, VecsReader, Vectors, read_fvecs, read_ivecs};
pub use write::{FvecsWriter, IvecsWriter, VecsWriter, write_fvecs, write_ivecs};

/// Dimensions that a vector of a file may have: more are taken for a file of another kind.
pub const MAX_DIM: usize = 1 << 20;

/// What the coordinates in a vector file may be; any bytes must be a value.
pub trait VecsElement: bytemuck::Pod {}

impl VecsElement for f32 {}
impl VecsElement for i32 {}

/// Bytes of a record's dimension.
const HEAD: usize = size_of::<i32>();
