//! Compressed codecs of the ivf framework: scalar quantizers ([`SqCodec`]), [`ProductQuantizer`]
//! with the codec `PQ<M>x<bits>` around it, and RaBitQ ([`RaBitQCodec`]). [`transform`] has the
//! transforms that are learnt for them, such as `OPQ`.
//!
//! [`CODECS`] and [`TRANSFORMS`] have the rows from which `ivf-factory` fills its registry.

#![forbid(unsafe_code)]

mod bound;
mod codec;
mod l2;
mod layout;
mod list_tables;
mod per_query;
mod product;
mod rabitq;
mod raw;
mod scan;
mod sq;
mod tables;
#[cfg(test)]
mod tests;
pub mod transform;
mod wide;

pub use codec::{FastScan, PqCodec, PqSpec};
pub use product::{MAX_BITS, ProductQuantizer, equal_parts};
pub use rabitq::{RaBitQCodec, RaBitQSpec};
pub use sq::{SqCodec, SqSpec};
pub use transform::TRANSFORMS;

use ivf_core::registry::CodecRow;

/// The codecs of this crate.
pub const CODECS: &[CodecRow] = &[
    sq::ROWS[0],
    sq::ROWS[1],
    sq::ROWS[2],
    sq::ROWS[3],
    sq::ROWS[4],
    sq::ROWS[5],
    sq::ROWS[6],
    codec::ROW,
    rabitq::ROW,
];
