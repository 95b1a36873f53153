//! List codecs of this crate.

mod as_rows;
mod flat;
mod min_max;
mod rows;

pub(crate) use as_rows::as_rows;
pub(crate) use flat::are_rows;
pub use flat::{FlatCodec, FlatSpec};
pub(crate) use rows::{RowsSpec, distances_to_vectors};

use ivf_core::registry::CodecRow;

/// The codecs of this crate.
pub const CODECS: &[CodecRow] = &[flat::ROW, min_max::ROW, as_rows::ROW];
