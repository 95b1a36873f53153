//! Memory use of k-means, so that a caller with little memory can compute how many points fit.
//!
//! Each figure is a sum over the data that the functions of this module hold at the same time.
//! `tests/memory.rs` compares the figures with the count of an allocator.

use super::{KMeans, assign, most_points, sample, update};
use crate::executor::executor_for;
use crate::kernels::BLOCK;
use ivf_core::TrainOptions;
use ivf_core::params::KMeansStart;

const F32: usize = size_of::<f32>();

/// Size of the data of a point in a round, in bytes. If it is no copy: the number of its centroid,
/// its distance, and its number among all points. In any case: its number among the distinct
/// points, and its position among the points of that centroid.
const ASSIGNED: usize = 4 * size_of::<u32>() + F32;

/// Returns the memory of [`KMeans::train`] in bytes, in addition to the points.
pub(super) fn whole(kmeans: &KMeans, dim: usize, points: usize, options: &TrainOptions<'_>) -> usize {
    let row = dim * F32;
    let (drawn, used) = drawn(kmeans.k, row, points, options);
    let start = match options.start.unwrap_or_default() {
        // The packed points, and the distance of each to the nearest centroid so far.
        KMeansStart::PlusPlus => used.next_multiple_of(BLOCK) * (row + F32),
        _ => 0,
    };
    let rounds = match options.mini_batch {
        Some(batch) => batch.min(points) * (row + sample::CHOSEN + ASSIGNED),
        None if assign::first_pass_pays(kmeans.metric, dim) => used * (quantised(dim) + ASSIGNED),
        None => used * ASSIGNED,
    };
    let threads = executor_for(options.executor, used.saturating_mul(dim * kmeans.k)).threads();
    drawn + start.max(rounds) + kmeans.k.next_multiple_of(BLOCK) * of_centroid(dim, threads)
}

/// Returns the memory of a point as bytes, with two norms.
fn quantised(dim: usize) -> usize {
    dim.next_multiple_of(4) + 2 * size_of::<f64>()
}

/// Returns the memory of a centroid in bytes: as it is, packed, and as bytes with a norm. It
/// includes its sum, its size, the start of its points, and two thresholds for each thread.
fn of_centroid(dim: usize, threads: usize) -> usize {
    let sum = dim.next_multiple_of(update::PADDING) * size_of::<f64>() + 3 * size_of::<usize>();
    let thresholds = threads * 2 * size_of::<f64>();
    2 * dim * F32 + quantised(dim) + sum + thresholds
}

/// Returns the memory of the sampled points in bytes (0 if all points are used), and the number of
/// points that are used.
fn drawn(k: usize, row: usize, points: usize, options: &TrainOptions<'_>) -> (usize, usize) {
    let used = points.min(most_points(k, options));
    (if used < points { used * (row + sample::CHOSEN) } else { 0 }, used)
}

/// Returns the peak memory of [`train_parts`](super::train_parts) in bytes, in addition to the
/// points. There are `points` points of `dim` dimensions, and `parts` parts with `k` centroids
/// each.
///
/// ```
/// use ivf_core::TrainOptions;
/// use ivf_cpu::train_parts_memory;
///
/// // The codebooks of 16 parts of vectors of 128 dimensions. How many points fit in 100 MB?
/// let (dim, parts, centroids) = (128, 16, 256);
/// let options = TrainOptions::new();
/// let memory = |points| points * dim * size_of::<f32>() + train_parts_memory(dim, parts, points, centroids, &options);
/// assert!(memory(40_000) < 100_000_000);
/// assert!(memory(60_000) > 100_000_000);
/// ```
pub fn train_parts_memory(dim: usize, parts: usize, points: usize, k: usize, options: &TrainOptions<'_>) -> usize {
    let row = dim * F32;
    let (drawn, used) = drawn(k, row, points, options);
    // The points: centred, packed, and part after part. Also a centroid number for each point and
    // part.
    let of_points = used.next_multiple_of(BLOCK) * (3 * row + parts * size_of::<u16>());
    // The codebooks, their copies in a round with the norms, and the sums.
    let sums = (dim + parts * update::PADDING) * size_of::<f64>();
    drawn + of_points + k * (3 * row + 2 * parts * F32 + sums)
}
