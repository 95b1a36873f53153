//! Compressed codecs of the ivf framework: [`ProductQuantizer`] and the codec `PQ<M>` around it.
//!
//! [`CODECS`] has the rows from which `ivf-factory` fills its registry.

#![forbid(unsafe_code)]

mod bound;
mod codec;
mod inner_product;
mod l2;
mod product;
mod scan;
mod tables;
mod terms;
#[cfg(test)]
mod tests;

pub use codec::{PqCodec, PqSpec};
pub use product::{CENTROIDS, ProductQuantizer, equal_parts};
pub use terms::MOST_TERMS;

use ivf_core::registry::CodecRow;

/// The codecs of this crate.
pub const CODECS: &[CodecRow] = &[codec::ROW];
