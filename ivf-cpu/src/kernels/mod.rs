//! Distance definitions, and the kernels that compute many distances.

mod by_lanes;
mod bytes;
mod distance;
mod lanes;
mod packed;
mod rows;
mod scan;
mod split_floats;
#[cfg(test)]
mod tests;

pub(crate) use by_lanes::{ByLanes, LaneQuery, NegatedProducts, SquaredDifferences};
pub use bytes::{ByteQueries, MAX_BIAS, MAX_DIM as MAX_BYTES_DIM, PackedBytes, scan_bytes, score_bytes};
pub use distance::{
    BrayCurtis, Canberra, Columns, Distance, InnerProduct, Jaccard, JensenShannon, L1, L2, Linf, Lp, Visitor,
    with_distance,
};
pub use lanes::LaneCentroids;
pub use packed::{BLOCK, PackedRows};
pub use rows::{distances_of_query, distances_to_rows, squared_norm};
use scan::CACHED;
pub use scan::{Candidates, scan};
pub use split_floats::{SplitFloats, scan_split_floats};
pub(crate) use split_floats::{scan_many, scan_one};
