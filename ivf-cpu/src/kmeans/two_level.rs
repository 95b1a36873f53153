//! k-means of two levels, for so many centroids that a comparison of each point with all of them
//! takes too long.
//!
//! The first level has about the square root of `k` centroids. Their clusters, the groups, divide
//! the `k` centroids of the second level in proportion to their points, and k-means of each group
//! learns its own. A few rounds over all points follow, because points near the border of a group
//! have their nearest centroid in another one. In these rounds a point is compared with the
//! centroids of the groups near it.
//!
//! ```text
//! comparisons of a point, k = 65,536     one level: 65,536     two levels: 256 + 256, then 8 x 256
//! ```

use super::balance::Penalties;
use super::lloyd::{Assign, Lloyd, Rounds};
use super::{KMeans, Random, normalize_rows, start};
use crate::coarse::{nearest, nearest_many};
use crate::kernels::PackedRows;
use ivf_core::error::TrainError;
use ivf_core::executor::{Executor, Inline, map_items};
use ivf_core::{Rows, TrainOptions};
use rand::SeedableRng;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

/// Number of centroids from which on training has two levels by default.
pub(super) const DEFAULT_FROM: usize = 1 << 14;

/// Number of groups with which the last rounds compare a point.
pub(super) const NEAR: usize = 8;

/// Number of the last rounds.
const LAST_ROUNDS: usize = 2;

/// Number of groups between two checks for a cancellation, for each thread.
pub(super) const GROUPS_AT_ONCE: usize = 4;

/// Number of points of a group that are copied at a time.
const CHUNK: usize = 1024;

/// Returns the number of groups for `k` centroids.
pub(super) fn groups(k: usize) -> usize {
    k.isqrt()
}

/// Trains `k` centroids of the points. With penalties, the last rounds even the sizes of clusters.
pub(super) fn train(
    lloyd: &Lloyd<'_>,
    plain: Rows<'_, f32>,
    rounds: usize,
    penalties: &mut Option<Penalties>,
    random: &mut Random,
) -> Result<(Vec<f32>, Rounds), TrainError> {
    let Lloyd { kmeans, options, executor, .. } = *lloyd;
    let (k, dim) = (kmeans.k, plain.dim());
    let first = KMeans { k: groups(k), ..*kmeans };
    let mut one_level = options.two_level(false);
    one_level.balanced = None;
    let (firsts, report) = first.train(plain.into(), &one_level)?;
    let packed = PackedRows::new(Rows::new(&firsts, dim).expect("whole centroids"));
    let (homes, members) = {
        let most = NEAR.min(packed.len());
        let (near, _) = nearest_many(plain, &packed, kmeans.metric, most, executor);
        let near = near.chunks_exact(most);
        (Members::new(packed.len(), near.clone().map(|near| &near[..1])), Members::new(packed.len(), near))
    };
    let sizes: Vec<usize> = (0..packed.len()).map(|group| homes.of(group).len()).collect();
    let shares = apportion(&sizes, k);
    let seed = options.seed_or_default();
    let mut centroids = Vec::with_capacity(k * lloyd.points.dim());
    let mut done = Rounds { objectives: vec![0.0; rounds], splits: report.splits };
    // Progress and cancellation between some groups at a time.
    let step = GROUPS_AT_ONCE * executor.threads();
    let dividing = if penalties.is_some() { rounds / 5 } else { 0 };
    for from in (0..shares.len()).step_by(step) {
        options.check_cancel()?;
        let to = (from + step).min(shares.len());
        let learnt = map_items(executor, (from..to).collect(), |_, group| {
            let members = homes.of(group);
            let rows: Vec<f32> = members.iter().flat_map(|&i| plain.row(i as usize)).copied().collect();
            let points = Rows::new(&rows, dim).expect("whole points");
            let group_lloyd = Lloyd { points, executor: &Inline, dividing, device: None, stage: None, ..*lloyd };
            group_centroids(&group_lloyd, shares[group], rounds, seed ^ group as u64)
        });
        for learnt in learnt {
            let (rows, group) = learnt?;
            centroids.extend(rows);
            done.objectives.iter_mut().zip(group.objectives).for_each(|(sum, objective)| *sum += objective);
            done.splits += group.splits;
        }
        if let Some(progress) = options.progress {
            progress.step("k-means of groups", to as u64, shares.len() as u64);
        }
    }
    drop(homes);
    if penalties.is_some() {
        let rows = Rows::new(&centroids, dim).expect("whole centroids");
        centroids = Penalties::extended(rows, kmeans.metric);
    }
    let last = match rounds {
        0 => 0,
        // Penalties need some rounds to take effect.
        _ if penalties.is_some() => rounds.max(LAST_ROUNDS),
        _ => LAST_ROUNDS,
    };
    let mut assignment = Grouped::new(lloyd, members, &shares);
    let rounds = lloyd.run(&mut assignment, &mut centroids, last, penalties, random)?;
    done.objectives.extend(rounds.objectives);
    done.splits += rounds.splits;
    Ok((centroids, done))
}

/// Learns `k` centroids of the points of one group.
fn group_centroids(lloyd: &Lloyd<'_>, k: usize, rounds: usize, seed: u64) -> Result<(Vec<f32>, Rounds), TrainError> {
    if k == 0 {
        return Ok(Default::default());
    }
    let mut random = Random::seed_from_u64(seed);
    let mut centroids = start::random(lloyd.points, k, &mut random);
    if lloyd.kmeans.spherical {
        let dim = lloyd.points.dim();
        normalize_rows(&mut centroids, dim, dim);
    }
    let rounds = lloyd.run_plain(&mut centroids, rounds, &mut None, &mut random)?;
    Ok((centroids, rounds))
}

/// Divides `seats` among groups in proportion to their sizes. A group has at most as many as
/// points. Every group of points has one if there are enough. (Jefferson's method: each next seat
/// goes to the group with the most points for each seat.)
fn apportion(sizes: &[usize], seats: usize) -> Vec<usize> {
    let mut shares = vec![0; sizes.len()];
    /// Points for each seat, scaled to a whole number.
    fn claim(size: usize, seats: usize) -> u128 {
        if seats == 0 { u128::MAX } else { ((size as u128) << 64) / (seats + 1) as u128 }
    }
    let groups = sizes.iter().enumerate().filter(|(_, size)| **size > 0);
    let mut claims: BinaryHeap<_> = groups.map(|(group, &size)| (claim(size, 0), size, Reverse(group))).collect();
    for _ in 0..seats {
        let Some((_, size, Reverse(group))) = claims.pop() else { break };
        shares[group] += 1;
        if shares[group] < size {
            claims.push((claim(size, shares[group]), size, Reverse(group)));
        }
    }
    shares
}

/// The points of each group, in order.
struct Members {
    points: Vec<u32>,
    /// End of the points of each group.
    ends: Vec<usize>,
}

impl Members {
    /// Groups points by the groups of each.
    fn new<'n>(groups: usize, of_points: impl Iterator<Item = &'n [u32]> + Clone) -> Self {
        let mut ends = vec![0_usize; groups];
        of_points.clone().flatten().for_each(|&group| ends[group as usize] += 1);
        let mut total = 0;
        for end in &mut ends {
            // The start so far.
            (total, *end) = (total + *end, total);
        }
        let mut points = vec![0; total];
        for (i, of_point) in of_points.enumerate() {
            for &group in of_point {
                let end = &mut ends[group as usize];
                points[*end] = i as u32;
                *end += 1;
            }
        }
        Self { points, ends }
    }

    fn of(&self, group: usize) -> &[u32] {
        let start = if group == 0 { 0 } else { self.ends[group - 1] };
        &self.points[start..self.ends[group]]
    }
}

/// Assignment of points to the nearest centroids of the groups near them.
struct Grouped<'a> {
    points: Rows<'a, f32>,
    kmeans: &'a KMeans,
    options: &'a TrainOptions<'a>,
    executor: &'a dyn Executor,
    members: Members,
    /// Centroids of each group.
    ranges: Vec<Range<usize>>,
    numbers: Vec<u32>,
    distances: Vec<f32>,
}

impl<'a> Grouped<'a> {
    fn new(lloyd: &Lloyd<'a>, members: Members, shares: &[usize]) -> Self {
        let Lloyd { kmeans, points, options, executor, .. } = *lloyd;
        let mut end = 0;
        let ranges = shares.iter().map(|share| {
            end += share;
            end - share..end
        });
        let (numbers, distances) = (vec![0; points.len()], vec![0.0; points.len()]);
        Self { points, kmeans, options, executor, members, ranges: ranges.collect(), numbers, distances }
    }
}

impl Assign for Grouped<'_> {
    fn round(&mut self, centroids: Rows<'_, f32>) -> Result<(), TrainError> {
        self.distances.fill(f32::INFINITY);
        let step = GROUPS_AT_ONCE * self.executor.threads();
        let groups: Vec<usize> = (0..self.ranges.len()).filter(|&group| !self.ranges[group].is_empty()).collect();
        for groups in groups.chunks(step) {
            self.options.check_cancel()?;
            let found = map_items(self.executor, groups.to_vec(), |_, group| {
                let members = self.members.of(group);
                let packed = PackedRows::new(centroids.slice(self.ranges[group].clone()));
                let (mut numbers, mut distances) = (vec![0; members.len()], vec![0.0; members.len()]);
                let found = numbers.chunks_mut(CHUNK).zip(distances.chunks_mut(CHUNK));
                let mut rows = Vec::new();
                for (members, (numbers, distances)) in members.chunks(CHUNK).zip(found) {
                    rows.clear();
                    members.iter().for_each(|&i| rows.extend_from_slice(self.points.row(i as usize)));
                    let rows = Rows::new(&rows, self.points.dim()).expect("whole points");
                    nearest(rows, &packed, self.kmeans.metric, &Inline, numbers, distances);
                }
                (numbers, distances)
            });
            for (&group, (numbers, distances)) in groups.iter().zip(found) {
                let first = self.ranges[group].start as u32;
                for ((&i, number), distance) in self.members.of(group).iter().zip(numbers).zip(distances) {
                    let (no, best) = (&mut self.numbers[i as usize], &mut self.distances[i as usize]);
                    // Groups ascend, and with them the numbers of their centroids.
                    if distance < *best {
                        (*no, *best) = (first + number, distance);
                    }
                }
            }
        }
        Ok(())
    }

    fn number(&self, i: usize) -> u32 {
        self.numbers[i]
    }

    fn distance(&self, i: usize) -> f32 {
        self.distances[i]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_follow_sizes() {
        assert_eq!(apportion(&[10, 20, 30], 6), [1, 2, 3]);
        assert_eq!(apportion(&[1, 0, 1000], 10), [1, 0, 9]);
        // No group has more seats than points.
        assert_eq!(apportion(&[2, 3, 1], 6), [2, 3, 1]);
        assert_eq!(apportion(&[5, 5], 3), [2, 1]);
        assert_eq!(apportion(&[], 0), []);
    }

    #[test]
    fn members_are_the_points_near_a_group_in_order() {
        let near: [[u32; 2]; 4] = [[2, 0], [0, 1], [2, 1], [0, 2]];
        let members = Members::new(4, near.iter().map(|near| &near[..]));
        let all: Vec<&[u32]> = (0..4).map(|group| members.of(group)).collect();
        assert_eq!(all, [&[0, 1, 3][..], &[1, 2], &[0, 2, 3], &[]]);
    }
}
