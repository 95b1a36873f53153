//! `RaBitQ<bits>`: codes of one to nine bits a dimension, with an unbiased estimate of distances.
//!
//! Gao and Long, "RaBitQ: Quantizing High-Dimensional Vectors with a Theoretical Error Bound for
//! Approximate Nearest Neighbor Search" (SIGMOD 2024, arXiv 2405.12497), and Gao et al., "Practical
//! and Asymptotically Optimal Quantization of High-Dimensional Vectors in Euclidean Space for
//! Approximate Nearest Neighbor Search" (SIGMOD 2025, arXiv 2409.09913).
//!
//! Let `r` be a vector less the centroid `c` of its list, and `y` the point of a grid that has
//! nearly the same direction as `r`. The grid of one bit is the signs; the grid of `b` bits has
//! `2^b` values in each dimension. With `z = q - c`, the product of a query's part with a vector's
//! is estimated as
//!
//! ```text
//! r z  =  f y z,  f = |r|^2 / (r y)       so  |q - x|^2  =  |z|^2 + |r|^2 - 2 f y z
//!                                                        =  |z|^2 + (|r|^2 + 2 f y c) - 2 f y q
//!                                                           list    code                code, query
//! ```
//!
//! A code keeps `y`, the number in parentheses and `-2 f`. The last product depends on the query
//! alone, so its tables serve all lists.

mod bound;
mod code;
mod codec;
mod encode;
mod query;
mod scan;
#[cfg(test)]
mod tests;

use ivf_cpu::simd::LANES;

pub(crate) use codec::ROW;
pub use codec::{RaBitQCodec, RaBitQSpec};

/// Returns the sum of lanes. Halves are added, so that few additions wait for another one.
#[inline(always)]
fn total(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}
