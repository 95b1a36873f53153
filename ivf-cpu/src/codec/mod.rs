//! List codecs of this crate.

mod flat;
mod rows;

pub use flat::{FlatCodec, FlatSpec};
pub(crate) use rows::{RowsSpec, distances_to_vectors};

use ivf_core::registry::CodecRow;

/// The codecs of this crate.
pub const CODECS: &[CodecRow] = &[flat::ROW];
