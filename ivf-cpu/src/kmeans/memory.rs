//! Memory use of k-means, so that a caller with little memory can compute how many points fit.
//!
//! Each figure is a sum over the data that the functions of this module hold at the same time.
//! `tests/memory.rs` compares the figures with the count of an allocator.

use super::{KMeans, assign, most_points, sample, two_level, update};
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
    let threads = executor_for(options.executor, used.saturating_mul(dim * kmeans.k)).threads();
    let of_centroids = kmeans.k.next_multiple_of(BLOCK) * of_centroid(dim, threads);
    // A copy of the points with another dimension, for the penalties.
    let extended = if options.balanced.unwrap_or_default() { used * (row + F32) } else { 0 };
    if kmeans.has_two_levels(options) {
        return drawn + extended + of_centroids + two_levels(kmeans, dim, used, threads, options);
    }
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
    drawn + extended + start.max(rounds) + of_centroids
}

/// Returns the memory of two levels in bytes, in addition to the points and the centroids.
fn two_levels(kmeans: &KMeans, dim: usize, used: usize, threads: usize, options: &TrainOptions<'_>) -> usize {
    const NUMBER: usize = size_of::<u32>();
    let (row, groups) = (dim * F32, two_level::groups(kmeans.k));
    let near = two_level::NEAR.min(groups);
    let mut one_level = options.two_level(false);
    one_level.balanced = None;
    let first = whole(&KMeans { k: groups, ..*kmeans }, dim, used, &one_level);
    // The groups near each point with their distances, and the points of each group.
    let assigned = used * (near * (2 * NUMBER + F32) + NUMBER);
    // Copies of the points of the groups that are learnt at the same time, of uneven sizes.
    let copied = (used / groups).saturating_mul(4 * threads).min(used) * (row + ASSIGNED + size_of::<u64>());
    // The nearest centroids of the points near some groups.
    let found = (used * near / groups).saturating_mul(2 * two_level::GROUPS_AT_ONCE * threads).min(used * near);
    let grouped = used * (near + 1) * NUMBER;
    let last = grouped + used * (NUMBER + F32) + found * (NUMBER + F32);
    first.max(assigned).max(grouped + copied).max(last)
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
