//! List codecs of this crate.

mod flat;

pub use flat::{FlatCodec, FlatSpec};

use ivf_core::registry::CodecRow;

/// The codecs of this crate.
pub const CODECS: &[CodecRow] = &[flat::ROW];
