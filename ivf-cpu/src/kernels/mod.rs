//! Distances: how one is defined, and the loops that compute many.

mod bytes;
mod distance;
mod halves;
mod lanes;
mod packed;
mod rows;
mod scan;
#[cfg(test)]
mod tests;

pub use bytes::{ByteQueries, MAX_BIAS, MAX_DIM as MAX_BYTES_DIM, PackedBytes, scan_bytes};
pub use distance::{
    BrayCurtis, Canberra, Distance, InnerProduct, Jaccard, JensenShannon, L1, L2, Linf, Lp, Visitor, with_distance,
};
pub use halves::{Halves, scan_halves};
pub use lanes::LaneCentroids;
pub use packed::{BLOCK, PackedRows};
pub use rows::{distances_to_rows, squared_norm};
use scan::CACHED;
pub use scan::{Near, scan};
