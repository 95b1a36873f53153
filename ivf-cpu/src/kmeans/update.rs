//! New centroids from an assignment.

use super::Random;
use ivf_core::Rows;
use ivf_core::executor::{Executor, map_items, split};
use rand::RngExt;

/// Moves each centroid to the mean of its points and gives their numbers; one without points stays where it is.
pub(super) fn means(
    points: Rows<'_, f32>,
    numbers: &[u32],
    centroids: &mut [f32],
    executor: &dyn Executor,
) -> Vec<usize> {
    let dim = points.dim();
    let k = centroids.len() / dim;
    // Points by centroid, in order: each sum is one thread's, over the same points in the same order, however many threads.
    let mut ends = vec![0usize; k + 1];
    numbers.iter().for_each(|&c| ends[c as usize + 1] += 1);
    let sizes = ends[1..].to_vec();
    for c in 0..k {
        ends[c + 1] += ends[c];
    }
    let mut next = ends.clone();
    let mut members = vec![0u32; numbers.len()];
    for (i, &c) in numbers.iter().enumerate() {
        members[next[c as usize]] = i as u32;
        next[c as usize] += 1;
    }
    let parts = split(k, executor.threads() * 8);
    let mut rest = centroids;
    let mut jobs = Vec::new();
    for part in parts {
        let (head, tail) = rest.split_at_mut(part.len() * dim);
        rest = tail;
        jobs.push((part, head));
    }
    map_items(executor, jobs, |_, (part, centroids)| {
        let mut sum = vec![0.0_f64; dim];
        for (c, centroid) in part.zip(centroids.chunks_exact_mut(dim)) {
            let members = &members[ends[c]..ends[c + 1]];
            if members.is_empty() {
                continue;
            }
            sum.fill(0.0);
            for &i in members {
                sum.iter_mut().zip(points.row(i as usize)).for_each(|(sum, &x)| *sum += f64::from(x));
            }
            let scale = 1.0 / members.len() as f64;
            centroid.iter_mut().zip(&sum).for_each(|(c, sum)| *c = (sum * scale) as f32);
        }
    });
    sizes
}

/// How far the halves of a split centroid are moved apart, as a share of each coordinate.
const NUDGE: f32 = 1.0 / 1024.0;

/// Gives every empty cluster half of another one, drawn with a probability that grows with its size; says how many there were.
pub(super) fn split_empty(centroids: &mut [f32], sizes: &mut [usize], dim: usize, random: &mut Random) -> usize {
    let mut splits = 0;
    for empty in 0..sizes.len() {
        if sizes[empty] > 0 {
            continue;
        }
        // All points of all clusters that have one to spare.
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
