//! Compressed codecs of the ivf framework: [`ProductQuantizer`] and the codec `PQ<M>x<bits>` around
//! it.
//!
//! [`CODECS`] has the rows from which `ivf-factory` fills its registry.

#![forbid(unsafe_code)]

mod bound;
mod codec;
mod l2;
mod layout;
mod list_tables;
mod per_query;
mod product;
mod rabitq;
mod scan;
mod tables;
#[cfg(test)]
mod tests;
mod wide;

pub use codec::{FastScan, PqCodec, PqSpec};
pub use product::{MAX_BITS, ProductQuantizer, equal_parts};
pub use rabitq::{RaBitQCodec, RaBitQSpec};

use ivf_core::registry::CodecRow;

/// The codecs of this crate.
pub const CODECS: &[CodecRow] = &[codec::ROW, rabitq::ROW];
