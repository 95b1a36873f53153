//! Initial centroids.

use super::{Random, sample};
use crate::executor::executor_for;
use crate::kernels::{BLOCK, Distance, L2, PackedRows};
use crate::simd::{Kernel, LANES, Level, Simd};
use ivf_core::error::TrainError;
use ivf_core::executor::map_items;
use ivf_core::{Rows, TrainOptions};
use rand::RngExt;

/// Returns `k` different points.
pub(super) fn random(points: Rows<'_, f32>, k: usize, random: &mut Random) -> Vec<f32> {
    sample::choose(points.len(), k, random).into_iter().flat_map(|i| points.row(i)).copied().collect()
}

/// Returns the centroids of k-means++ (Arthur and Vassilvitskii, SODA 2007). The probability of
/// each next point is proportional to its squared distance from the nearest one chosen before.
pub(super) fn plus_plus(
    points: Rows<'_, f32>,
    k: usize,
    options: &TrainOptions<'_>,
    random: &mut Random,
) -> Result<Vec<f32>, TrainError> {
    let executor = executor_for(options.executor, points.as_slice().len());
    // Packed like a database, so that one scan computes the distances from a new centroid to all
    // points.
    let packed = PackedRows::new(points);
    let mut nearest = vec![f32::INFINITY; points.len()];
    let mut chosen = random.random_range(0..points.len() as u64) as usize;
    let mut centroids = points.row(chosen).to_vec();
    let level = Level::get();
    for found in 1..k {
        options.check_cancel()?;
        if let Some(progress) = options.progress {
            progress.step("k-means++", found as u64, k as u64);
        }
        let blocks: Vec<_> = packed.blocks().zip(nearest.chunks_mut(BLOCK)).collect();
        let parts = ivf_core::executor::split(blocks.len(), executor.threads() * 4);
        let mut blocks = blocks.into_iter();
        let jobs: Vec<Vec<_>> = parts.iter().map(|part| blocks.by_ref().take(part.len()).collect()).collect();
        map_items(executor, jobs, |_, job| level.run(Nearer { query: points.row(chosen), job }));
        let total: f64 = nearest.iter().map(|&d| f64::from(d)).sum();
        let mut left = random.random_range(0.0..1.0) * total;
        // If every point is a centroid already, any point will do: its empty cluster is split
        // later.
        let far = nearest.iter().position(|&d| {
            left -= f64::from(d);
            d > 0.0 && left <= 0.0
        });
        chosen = far.or_else(|| nearest.iter().rposition(|&d| d > 0.0)).unwrap_or(0);
        centroids.extend_from_slice(points.row(chosen));
    }
    Ok(centroids)
}

struct Nearer<'a> {
    query: &'a [f32],
    job: Vec<(&'a [[f32; BLOCK]], &'a mut [f32])>,
}

impl Kernel for Nearer<'_> {
    type Output = ();
    const BYTES: bool = false;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (block, nearest) in self.job {
            let [sums] = L2.distances::<S, _, 1, 2>(simd, [self.query], block, 0);
            for (nearest, sums) in nearest.chunks_mut(LANES).zip(sums) {
                for (near, distance) in nearest.iter_mut().zip(simd.to_array(sums)) {
                    *near = near.min(distance);
                }
            }
        }
    }
}
