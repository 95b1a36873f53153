//! Update of the centroids from an assignment.

use super::Random;
use crate::simd::{Kernel, Level, Simd};
use ivf_core::Rows;
use ivf_core::error::TrainError;
use ivf_core::executor::{Executor, map_items, split};
use rand::RngExt;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

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
    /// `number` returns the centroid of a point.
    pub(super) fn add(&mut self, points: Rows<'_, f32>, number: impl Fn(usize) -> u32, executor: &dyn Executor) {
        let (k, stride) = (self.sizes.len(), self.stride);
        // Groups the points by centroid, in order.
        let mut ends = vec![0usize; k + 1];
        (0..points.len()).for_each(|i| ends[number(i) as usize + 1] += 1);
        self.sizes.iter_mut().zip(&ends[1..]).for_each(|(size, more)| *size += more);
        for c in 0..k {
            ends[c + 1] += ends[c];
        }
        let mut next = ends.clone();
        let mut members = vec![0u32; points.len()];
        for i in 0..points.len() {
            let next = &mut next[number(i) as usize];
            members[*next] = i as u32;
            *next += 1;
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

    /// Sets the sums to those that `write` writes, `k x dim` numbers. They are of points with these
    /// numbers of their centroids.
    pub(super) fn set(
        &mut self,
        numbers: &[u32],
        write: impl FnOnce(&mut [f64]) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let (k, dim, stride) = (self.sizes.len(), self.dim, self.stride);
        self.sizes.fill(0);
        numbers.iter().for_each(|&number| self.sizes[number as usize] += 1);
        write(&mut self.sums[..k * dim])?;
        // From the last sum on, none overwrites another that is still to be moved.
        (0..k).rev().for_each(|c| self.sums.copy_within(c * dim..(c + 1) * dim, c * stride));
        Ok(())
    }

    /// Adds points of few dimensions, row after row. [`PADDING`] more floats of any value must
    /// follow the last row.
    ///
    /// # Panics
    /// If there are fewer floats, or a number is not below `k`.
    pub(super) fn add_padded(&mut self, rows: &[f32], numbers: impl Iterator<Item = u16>) {
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
/// size. Finite centroids stay finite. Returns the number of splits.
pub(super) fn split_empty(centroids: &mut [f32], sizes: &mut [usize], dim: usize, random: &mut Random) -> usize {
    if !sizes.contains(&0) {
        return 0;
    }
    let (mut spare, mut splits) = (Spare::new(sizes), 0);
    for empty in 0..sizes.len() {
        if sizes[empty] > 0 {
            continue;
        }
        if spare.total == 0 {
            break;
        }
        let large = spare.cluster(random.random_range(0..spare.total));
        let size = sizes[large];
        halve(centroids, sizes, dim, large, empty);
        spare.change(empty, 0, sizes[empty]);
        spare.change(large, size, sizes[large]);
        splits += 1;
    }
    splits
}

/// Gives the clusters of less than half the mean size half of the largest clusters, as long as
/// these have more than one and a half times the mean size. The points of such a small cluster go
/// to its neighbours in the next round. Returns the number of splits.
pub(super) fn split_large(centroids: &mut [f32], sizes: &mut [usize], dim: usize) -> usize {
    let (points, k) = (sizes.iter().sum::<usize>(), sizes.len());
    let mut small: Vec<usize> = (0..k).filter(|&c| 2 * sizes[c] * k < points).collect();
    small.sort_by_key(|&c| sizes[c]);
    let is_large = |size: usize| 2 * size * k > 3 * points;
    let large = sizes.iter().enumerate().filter(|(_, size)| is_large(**size));
    let mut large: BinaryHeap<_> = large.map(|(c, &size)| (size, Reverse(c))).collect();
    let mut splits = 0;
    for small in small {
        let Some((_, Reverse(cluster))) = large.pop() else { break };
        halve(centroids, sizes, dim, cluster, small);
        splits += 1;
        for half in [cluster, small].into_iter().filter(|&half| is_large(sizes[half])) {
            large.push((sizes[half], Reverse(half)));
        }
    }
    splits
}

/// Gives half of the cluster `large` to the cluster `other`, and places both centroids near that of
/// `large`.
fn halve(centroids: &mut [f32], sizes: &mut [usize], dim: usize, large: usize, other: usize) {
    for d in 0..dim {
        let x = centroids[large * dim + d];
        let nudge = if d % 2 == 0 { NUDGE } else { -NUDGE };
        // Only the largest floats leave the range.
        let moved = |nudge: f32| (x * (1.0 + nudge)).clamp(f32::MIN, f32::MAX);
        centroids[other * dim + d] = moved(nudge);
        centroids[large * dim + d] = moved(-nudge);
    }
    let size = sizes[large];
    (sizes[other], sizes[large]) = (size / 2, size - size / 2);
}

/// The points that clusters can spare: all but one of each. It is a binary indexed tree (Fenwick,
/// "A new data structure for cumulative frequency tables", 1994), because a draw from many empty
/// clusters must not visit all clusters.
struct Spare {
    /// Entry `i` is the sum over the clusters `i - (i & -i)..i`. Entry 0 is not used.
    sums: Vec<u64>,
    total: u64,
}

impl Spare {
    fn new(sizes: &[usize]) -> Self {
        let mut sums = vec![0; sizes.len() + 1];
        sums.iter_mut().skip(1).zip(sizes).for_each(|(sum, &size)| *sum = Self::of(size));
        let total = sums.iter().sum();
        for i in 1..sums.len() {
            let above = i + (i & i.wrapping_neg());
            if above < sums.len() {
                sums[above] += sums[i];
            }
        }
        Self { sums, total }
    }

    fn of(size: usize) -> u64 {
        size.saturating_sub(1) as u64
    }

    /// Records another size of a cluster.
    fn change(&mut self, cluster: usize, from: usize, to: usize) {
        let (from, to) = (Self::of(from), Self::of(to));
        self.total = self.total - from + to;
        let mut i = cluster + 1;
        while i < self.sums.len() {
            self.sums[i] = self.sums[i] - from + to;
            i += i & i.wrapping_neg();
        }
    }

    /// Returns the cluster of a point: the first one for which it and the clusters before it can
    /// spare more than `drawn` points.
    fn cluster(&self, drawn: u64) -> usize {
        self.steps(drawn).last().map_or(0, |(at, _)| at)
    }

    /// Returns the steps of the search for a cluster. Each is a number that the cluster is not
    /// below, and the rest of `drawn` there.
    fn steps(&self, drawn: u64) -> impl Iterator<Item = (usize, u64)> {
        let steps = (0..self.sums.len().ilog2() + 1).rev().map(|bit| 1 << bit);
        steps.scan((0, drawn), |(at, left), step| {
            if let Some(&sum) = self.sums.get(*at + step).filter(|sum| **sum <= *left) {
                (*at, *left) = (*at + step, *left - sum);
            }
            Some((*at, *left))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    /// Returns the cluster that a draw falls on, by visiting all clusters before it.
    fn drawn_cluster(sizes: &[usize], mut drawn: u64) -> usize {
        let hit = |&size: &usize| {
            let spare = size.saturating_sub(1) as u64;
            let hit = drawn < spare;
            drawn = drawn.saturating_sub(spare);
            hit
        };
        sizes.iter().position(hit).unwrap()
    }

    #[test]
    fn a_draw_falls_on_the_same_cluster_and_visits_few() {
        let mut random = Random::seed_from_u64(7);
        for k in [1, 2, 3, 7, 8, 9, 64, 100, 1000] {
            let mut sizes: Vec<usize> = (0..k).map(|i| if i % 3 == 0 { 0 } else { i * 7 % 13 }).collect();
            sizes[k - 1] += 40;
            let mut spare = Spare::new(&sizes);
            for turn in 0..k {
                let total: u64 = sizes.iter().map(|&size| Spare::of(size)).sum();
                assert_eq!(spare.total, total);
                for drawn in [0, total / 2, total - 1, random.random_range(0..total)] {
                    assert_eq!(spare.cluster(drawn), drawn_cluster(&sizes, drawn), "{k}");
                    assert!(spare.steps(drawn).count() <= 1 + (k + 1).ilog2() as usize, "{k}");
                }
                let (changed, to) = (turn * 5 % k, 1 + turn * 3 % 50);
                spare.change(changed, sizes[changed], to);
                sizes[changed] = to;
                if sizes.iter().all(|&size| size < 2) {
                    break;
                }
            }
        }
    }

    #[test]
    fn small_clusters_take_halves_of_large_ones() {
        // The mean size is 10: 4 is small, 15 is not large.
        let mut sizes = [34, 15, 4, 3, 10, 5, 9, 0];
        let mut centroids: Vec<f32> = (0..8).map(|c| 1024.0 * (c + 1) as f32).collect();
        let splits = split_large(&mut centroids, &mut sizes, 1);
        // The cluster of 34 gives 17 to the empty one, and each of these gives half to another.
        assert_eq!((splits, sizes), (3, [9, 15, 8, 8, 10, 5, 9, 9]));
        assert_eq!([1, 4, 5, 6].map(|c| centroids[c]), [2048.0, 5120.0, 6144.0, 7168.0]);
        assert!([0, 2, 3, 7].iter().all(|&c| (centroids[c] - 1024.0).abs() < 4.0), "{centroids:?}");
        assert_eq!(split_large(&mut centroids, &mut [5, 5, 5, 5, 5, 5, 5, 5], 1), 0);
        assert_eq!(split_large(&mut [], &mut [], 1), 0);
    }

    #[test]
    fn split_centroids_of_the_largest_floats_stay_finite() {
        for x in [f32::MAX, f32::MIN, f32::MAX / 1.0005, 1e-45, 0.0] {
            let mut centroids = [x, x, -x, 7.0, 7.0, 7.0];
            let mut sizes = [5, 0];
            let splits = split_empty(&mut centroids, &mut sizes, 3, &mut Random::seed_from_u64(1));
            assert_eq!((splits, sizes), (1, [3, 2]));
            assert!(centroids.iter().all(|c| c.is_finite()), "{x}: {centroids:?}");
            let near = |c: &f32, x: f32| (c - x).abs() <= x.abs() * 2.0 * NUDGE;
            assert!(centroids.chunks(3).all(|c| near(&c[0], x) && near(&c[1], x) && near(&c[2], -x)), "{centroids:?}");
        }
    }
}
