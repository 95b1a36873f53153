//! The search of a graph: greedy on the upper levels, then with a beam.

use super::graph::Graph;
use super::marks::Marks;
use super::scorer::Scorer;
use crate::simd::Simd;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A node and its distance, in one number that orders by distance, then by node. Its last bit is
/// free.
///
/// ```text
/// | ordered bits of the distance: 32 | node: 31 | expanded: 1 |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found(u64);

/// The bit that says that the links of a node have been followed.
const EXPANDED: u64 = 1;

impl Found {
    #[inline(always)]
    pub(super) fn new(distance: f32, node: u32) -> Self {
        // -0 and 0 are the same distance.
        let bits = (distance + 0.0).to_bits();
        let ordered = bits ^ ((bits as i32 >> 31) as u32 | 1 << 31);
        Self(u64::from(ordered) << 32 | u64::from(node) << 1)
    }

    #[inline(always)]
    pub(super) fn node(self) -> u32 {
        (self.0 as u32) >> 1
    }

    #[inline(always)]
    pub(super) fn distance(self) -> f32 {
        let ordered = (self.0 >> 32) as u32;
        let mask = if ordered >> 31 == 1 { 1 << 31 } else { u32::MAX };
        f32::from_bits(ordered ^ mask)
    }

    #[inline(always)]
    fn is_expanded(self) -> bool {
        self.0 & EXPANDED != 0
    }
}

/// The memory of a search, which the next one uses again.
#[derive(Clone, Debug, Default)]
pub(super) struct Scratch {
    /// The nodes that were visited.
    pub(super) visited: Marks,
    /// The nearest nodes so far, nearest first.
    pub(super) beam: Vec<Found>,
    /// Nodes whose links are to be followed, where the beam does not hold them.
    queue: BinaryHeap<Reverse<Found>>,
    fresh: Vec<u32>,
    distances: Vec<f32>,
    /// Number of distances that searches have computed.
    pub(super) computed: u64,
}

impl Scratch {
    /// Puts the links of a node on a level that were not visited before into `fresh`.
    #[inline(always)]
    fn follow<S: Simd>(&mut self, simd: S, scorer: &impl Scorer, graph: &Graph, node: u32, level: usize) {
        self.fresh.clear();
        for &link in graph.links(node, level) {
            if self.visited.set(link) {
                scorer.prefetch(simd, link);
                self.fresh.push(link);
            }
        }
    }

    /// Computes the distances of the nodes in `fresh`.
    #[inline(always)]
    fn score<S: Simd>(&mut self, simd: S, scorer: &impl Scorer) {
        self.computed += self.fresh.len() as u64;
        self.distances.resize(self.fresh.len(), 0.0);
        scorer.distances(simd, &self.fresh, &mut self.distances);
    }

    /// Scores one node.
    #[inline(always)]
    fn one<S: Simd>(&mut self, simd: S, scorer: &impl Scorer, node: u32) -> Found {
        self.fresh.clear();
        self.fresh.push(node);
        self.score(simd, scorer);
        Found::new(self.distances[0], node)
    }

    /// Puts a node into the beam, which holds at most `ef`. Returns its place, or `None` if it is
    /// too far.
    #[inline(always)]
    fn keep(&mut self, found: Found, ef: usize) -> Option<usize> {
        let beam = &mut self.beam;
        if beam.len() >= ef {
            if beam.last().is_none_or(|last| found >= *last) {
                return None;
            }
            beam.pop();
        }
        let place = beam.partition_point(|other| *other < found);
        beam.insert(place, found);
        Some(place)
    }
}

/// Walks from a node to the nearest one that it finds, from level `from` down to level `to`.
#[inline(always)]
pub(super) fn descend<S: Simd>(
    simd: S,
    scorer: &impl Scorer,
    graph: &Graph,
    scratch: &mut Scratch,
    entry: u32,
    levels: std::ops::RangeInclusive<usize>,
) -> Found {
    let mut nearest = scratch.one(simd, scorer, entry);
    // A node that was visited is no nearer, on any level.
    scratch.visited.start(graph.len());
    scratch.visited.set(entry);
    for level in levels.rev() {
        loop {
            scratch.follow(simd, scorer, graph, nearest.node(), level);
            scratch.score(simd, scorer);
            let before = nearest;
            for (&distance, &node) in scratch.distances.iter().zip(&scratch.fresh) {
                nearest = nearest.min(Found::new(distance, node));
            }
            if nearest == before {
                break;
            }
        }
    }
    nearest
}

/// Finds the `ef` nearest nodes of a level, into `scratch.beam`, from the nodes in it on.
///
/// It follows the links of the nearest node whose links were not followed yet, until those of the
/// `ef` nearest have been.
#[inline(always)]
pub(super) fn widen<S: Simd>(
    simd: S,
    scorer: &impl Scorer,
    graph: &Graph,
    scratch: &mut Scratch,
    level: usize,
    ef: usize,
) {
    scratch.visited.start(graph.len());
    for i in 0..scratch.beam.len() {
        let found = scratch.beam[i];
        scratch.visited.set(found.node());
        scratch.beam[i] = Found(found.0 & !EXPANDED);
    }
    let mut next = 0;
    while next < scratch.beam.len() {
        let nearest = scratch.beam[next];
        if nearest.is_expanded() {
            next += 1;
            continue;
        }
        scratch.beam[next] = Found(nearest.0 | EXPANDED);
        next += 1;
        scratch.follow(simd, scorer, graph, nearest.node(), level);
        // The links that will probably be followed next.
        if let Some(after) = scratch.beam.get(next) {
            let (rows, row) = graph.row_of(after.node(), level);
            simd.prefetch(rows.whole(row));
        }
        scratch.score(simd, scorer);
        for i in 0..scratch.fresh.len() {
            let found = Found::new(scratch.distances[i], scratch.fresh[i]);
            if let Some(place) = scratch.keep(found, ef) {
                next = next.min(place);
            }
        }
    }
}

/// Finds the `ef` nearest of the nodes that `keeps` selects, into `scratch.beam`. It finds its way
/// through all nodes, from `start` on.
///
/// Returns false if it would compute more than `most` distances. The beam is then incomplete.
#[inline(always)]
pub(super) fn widen_selected<S: Simd>(
    simd: S,
    scorer: &impl Scorer,
    graph: &Graph,
    scratch: &mut Scratch,
    start: Found,
    (ef, most): (usize, u64),
    keeps: impl Fn(u32) -> bool,
) -> bool {
    scratch.visited.start(graph.len());
    scratch.visited.set(start.node());
    scratch.beam.clear();
    scratch.queue.clear();
    scratch.queue.push(Reverse(start));
    if keeps(start.node()) {
        scratch.keep(start, ef);
    }
    let limit = scratch.computed.saturating_add(most);
    while let Some(Reverse(nearest)) = scratch.queue.pop() {
        let is_full = scratch.beam.len() >= ef;
        if is_full && scratch.beam.last().is_some_and(|last| nearest > *last) {
            break;
        }
        if scratch.computed >= limit {
            return false;
        }
        scratch.follow(simd, scorer, graph, nearest.node(), 0);
        scratch.score(simd, scorer);
        for i in 0..scratch.fresh.len() {
            let found = Found::new(scratch.distances[i], scratch.fresh[i]);
            let is_near = scratch.beam.len() < ef || scratch.beam.last().is_some_and(|last| found < *last);
            if is_near {
                scratch.queue.push(Reverse(found));
                if keeps(found.node()) {
                    scratch.keep(found, ef);
                }
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_nodes_order_by_distance_then_by_number() {
        let distances = [f32::NEG_INFINITY, -1.5, -1e-40, 0.0, 1e-40, 1.5, 2.0, f32::MAX, f32::INFINITY];
        let all: Vec<Found> = distances.iter().flat_map(|&x| [0, 7, (1 << 31) - 1].map(|n| Found::new(x, n))).collect();
        assert!(all.is_sorted());
        for (found, &distance) in all.iter().step_by(3).zip(&distances) {
            assert_eq!((found.distance().to_bits(), found.node()), (distance.to_bits(), 0));
        }
        assert_eq!(Found::new(-0.0, 7), Found::new(0.0, 7));
        assert_eq!(all[2].node(), (1 << 31) - 1);
    }
}
