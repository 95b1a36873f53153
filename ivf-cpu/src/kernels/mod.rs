//! Distances: how one is defined, and the loops that compute many.

mod distance;
mod packed;

pub use distance::{
    BrayCurtis, Canberra, Distance, InnerProduct, Jaccard, JensenShannon, L1, L2, Linf, Lp, Visitor, with_distance,
};
pub use packed::{BLOCK, PackedRows, block_distances, tile_distances};
