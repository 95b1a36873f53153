//! Update of the centroids from an assignment.

use super::Random;
use crate::simd::{Kernel, Level, Simd};
use ivf_core::Rows;
use ivf_core::executor::{Executor, map_items, split};
use rand::RngExt;

/// Number of floats that are added at once.
const WIDTH: usize = 8;

/// Number of floats past the end of the rows for [`Sums::add_padded`].
pub(super) const PADDING: usize = WIDTH;

/// Sum and number of the points of each centroid.
#[derive(Debug)]
pub(super) struct Sums {
    pub(super) sizes: Vec<usize>,
    sums: Vec<f64>,
    dim: usize,
    /// Length of each sum in `sums`: a multiple of [`WIDTH`].
    stride: usize,
}

impl Sums {
    /// Creates sums of no points.
    pub(super) fn new(k: usize, dim: usize) -> Self {
        let stride = dim.next_multiple_of(WIDTH);
        Self { sizes: vec![0; k], sums: vec![0.0; k * stride], dim, stride }
    }

    /// Removes all points.
    pub(super) fn clear(&mut self) {
        self.sizes.fill(0);
        self.sums.fill(0.0);
    }

    /// Adds each point to its centroid's sum. The result is bit-identical for any number of
    /// threads, because a single thread adds the points of a centroid, in order.
    pub(super) fn add(&mut self, points: Rows<'_, f32>, numbers: &[u32], executor: &dyn Executor) {
        let (k, stride) = (self.sizes.len(), self.stride);
        // Groups the points by centroid, in order.
        let mut ends = vec![0usize; k + 1];
        numbers.iter().for_each(|&c| ends[c as usize + 1] += 1);
        self.sizes.iter_mut().zip(&ends[1..]).for_each(|(size, more)| *size += more);
        for c in 0..k {
            ends[c + 1] += ends[c];
        }
        let mut next = ends.clone();
        let mut members = vec![0u32; numbers.len()];
        for (i, &c) in numbers.iter().enumerate() {
            members[next[c as usize]] = i as u32;
            next[c as usize] += 1;
        }
        let level = Level::get();
        let mut rest = &mut self.sums[..];
        let jobs: Vec<_> = split(k, executor.threads() * 8)
            .into_iter()
            .map(|part| (part.clone(), rest.split_off_mut(..part.len() * stride).expect("one sum for each centroid")))
            .collect();
        map_items(executor, jobs, |_, (part, sums)| {
            for (c, sum) in part.zip(sums.chunks_exact_mut(stride)) {
                level.run(AddRows { rows: points, members: &members[ends[c]..ends[c + 1]], sum });
            }
        });
    }

    /// Adds points of few dimensions, row after row. [`PADDING`] more floats of any value must
    /// follow the last row.
    ///
    /// # Panics
    /// If there are fewer floats, or a number is not below `k`.
    pub(super) fn add_padded(&mut self, rows: &[f32], numbers: impl Iterator<Item = u8>) {
        for (i, c) in numbers.enumerate() {
            let c = usize::from(c);
            self.sizes[c] += 1;
            let sum = self.sums[c * self.stride..][..self.stride].as_chunks_mut::<WIDTH>().0;
            for (chunk, sum) in sum.iter_mut().enumerate() {
                let row: &[f32; WIDTH] = rows[i * self.dim + chunk * WIDTH..].first_chunk().expect("padding");
                // Past the last dimension, the sum adds floats of the next point. They are never
                // read.
                for (sum, &x) in sum.iter_mut().zip(row) {
                    *sum += f64::from(x);
                }
            }
        }
    }

    /// Moves each centroid to the mean of its points. A centroid without points does not move.
    pub(super) fn write_means(&self, centroids: &mut [f32]) {
        let sums = self.sums.chunks_exact(self.stride);
        for ((&size, sum), centroid) in self.sizes.iter().zip(sums).zip(centroids.chunks_exact_mut(self.dim)) {
            if size > 0 {
                let scale = 1.0 / size as f64;
                centroid.iter_mut().zip(sum).for_each(|(c, sum)| *c = (sum * scale) as f32);
            }
        }
    }
}

/// Prefetch distance, in iterations.
const PREFETCH_DISTANCE: usize = 4;

/// Adds rows to a sum, one after the other.
struct AddRows<'a> {
    rows: Rows<'a, f32>,
    members: &'a [u32],
    sum: &'a mut [f64],
}

impl Kernel for AddRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (at, &i) in self.members.iter().enumerate() {
            if let Some(&soon) = self.members.get(at + PREFETCH_DISTANCE) {
                simd.prefetch(self.rows.row(soon as usize));
            }
            for (sum, &x) in self.sum.iter_mut().zip(self.rows.row(i as usize)) {
                *sum += f64::from(x);
            }
        }
    }
}

/// Relative change of each coordinate that moves the two halves of a split centroid apart.
const NUDGE: f32 = 1.0 / 1024.0;

/// Gives every empty cluster half of another cluster, drawn with a probability that grows with its
/// size. Returns the number of splits.
pub(super) fn split_empty(centroids: &mut [f32], sizes: &mut [usize], dim: usize, random: &mut Random) -> usize {
    let mut splits = 0;
    for empty in 0..sizes.len() {
        if sizes[empty] > 0 {
            continue;
        }
        // All points that clusters can spare: all but one of each.
        let spare: u64 = sizes.iter().map(|&size| size.saturating_sub(1) as u64).sum();
        if spare == 0 {
            break;
        }
        let mut drawn = random.random_range(0..spare);
        let large = sizes
            .iter()
            .position(|&size| {
                let spare = size.saturating_sub(1) as u64;
                let hit = drawn < spare;
                drawn = drawn.saturating_sub(spare);
                hit
            })
            .expect("the draw is below the sum");
        let source = centroids[large * dim..][..dim].to_vec();
        for (d, x) in source.into_iter().enumerate() {
            let nudge = if d % 2 == 0 { NUDGE } else { -NUDGE };
            centroids[empty * dim + d] = x * (1.0 + nudge);
            centroids[large * dim + d] = x * (1.0 - nudge);
        }
        sizes[empty] = sizes[large] / 2;
        sizes[large] -= sizes[empty];
        splits += 1;
    }
    splits
}
