//! How much memory k-means takes, so that a caller with little of it can say how many points there are room for.
//!
//! These are sums over what the functions beside this one hold at once; `tests/memory.rs` compares them with an allocator's count.

use super::{KMeans, assign, most_points, sample, update};
use crate::executor::or_global;
use crate::kernels::BLOCK;
use ivf_core::TrainOptions;
use ivf_core::params::KMeansStart;

const F32: usize = size_of::<f32>();

/// Bytes of a point in a round: its centroid's number, its distance, and its place among those of its centroid.
const ASSIGNED: usize = 2 * size_of::<u32>() + F32;

/// For [`KMeans::train`], beside the points.
pub(super) fn whole(kmeans: &KMeans, dim: usize, points: usize, options: &TrainOptions<'_>) -> usize {
    let row = dim * F32;
    let (drawn, used) = drawn(kmeans.k, row, points, options);
    let start = match options.start.unwrap_or_default() {
        // Packed, and the distance to the nearest centroid so far.
        KMeansStart::PlusPlus => used.next_multiple_of(BLOCK) * (row + F32),
        _ => 0,
    };
    let rounds = match options.mini_batch {
        Some(batch) => batch.min(points) * (row + sample::CHOSEN + ASSIGNED),
        None if assign::first_pass_pays(kmeans.metric, dim) => used * (quantised(dim) + ASSIGNED),
        None => used * ASSIGNED,
    };
    drawn + start.max(rounds) + kmeans.k.next_multiple_of(BLOCK) * of_centroid(dim, options)
}

/// A point as bytes, with two lengths.
fn quantised(dim: usize) -> usize {
    dim.next_multiple_of(4) + 2 * size_of::<f64>()
}

/// A centroid: as it is, packed, and as bytes with a norm; its sum, its size and where its points begin; and for each thread
/// two thresholds.
fn of_centroid(dim: usize, options: &TrainOptions<'_>) -> usize {
    let sum = dim.next_multiple_of(update::PADDING) * size_of::<f64>() + 3 * size_of::<usize>();
    let threads = or_global(options.executor).threads() * 2 * size_of::<f64>();
    2 * dim * F32 + quantised(dim) + sum + threads
}

/// Bytes of the points that are drawn, if they are fewer than all, and how many are used.
fn drawn(k: usize, row: usize, points: usize, options: &TrainOptions<'_>) -> (usize, usize) {
    let used = points.min(most_points(k, options));
    (if used < points { used * (row + sample::CHOSEN) } else { 0 }, used)
}

/// Bytes of memory that [`train_parts`](super::train_parts) takes at its peak for `parts` parts of `points` points of `dim`, with `k`
/// centroids each, beside those points.
pub fn parts(dim: usize, parts: usize, points: usize, k: usize, options: &TrainOptions<'_>) -> usize {
    let row = dim * F32;
    let (drawn, used) = drawn(k, row, points, options);
    // Moved to their middle, packed, and part after part; and the number of a centroid for each part.
    let of_points = used.next_multiple_of(BLOCK) * (3 * row + parts);
    // The codebooks, those of a round with their norms, and the sums.
    let sums = (dim + parts * update::PADDING) * size_of::<f64>();
    drawn + of_points + k * (3 * row + 2 * parts * F32 + sums)
}
