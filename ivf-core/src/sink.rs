//! Where a scan puts what it finds.

use crate::id::{Id, Location};
use std::cmp::Ordering;
use std::ops::ControlFlow;

/// An entry that a scan found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbor {
    /// Its distance from the query, smaller is closer.
    pub distance: f32,
    /// Its id.
    pub id: Id,
    /// Where it stands.
    pub location: Location,
}

impl Neighbor {
    /// The order of results: by distance, then by id, then by place, so that ties never depend on who scanned first.
    pub fn order(&self, other: &Self) -> Ordering {
        let by_distance = self.distance.partial_cmp(&other.distance).expect("no NaN enters a sink");
        by_distance.then(self.id.cmp(&other.id)).then(self.location.cmp(&other.location))
    }
}

/// Collects the results of one query: its `k` nearest, or all within a radius.
///
/// A scan compares each distance with [`threshold`](Self::threshold) and pushes what is not above it. The threshold of a top-k
/// sink falls as better results arrive: it is infinite at first, then that of the k-th best of some or all results so far. A sink can be
/// used again and again; what it holds at the end does not depend on the order of the pushes.
///
/// ```
/// use ivf_core::{Id, Location, Neighbor, Sink};
/// let mut sink = Sink::top_k(2);
/// for (id, distance) in [(7, 3.0), (8, 1.0), (9, 2.0), (1, 2.0)] {
///     sink.push(Neighbor { distance, id: Id(id), location: Location::new(0, 0) });
/// }
/// let ids: Vec<i64> = sink.into_sorted().iter().map(|n| n.id.0).collect();
/// assert_eq!(ids, [8, 1]); // 1 and 9 are equally far: the smaller id wins
/// ```
#[derive(Clone, Debug)]
pub struct Sink {
    threshold: f32,
    /// Results wanted. `usize::MAX`: all.
    k: usize,
    /// Few results are kept in order, so that the threshold is always that of the k-th; of more, twice as many are collected
    /// and then cut back.
    buffer: Vec<Neighbor>,
    updates: u64,
}

/// Up to so many results are kept in order: moving them aside for a new one costs less than what a late threshold lets in.
const FEW: usize = 32;

impl Sink {
    /// Collects the `k` nearest; memory is taken as results arrive.
    pub fn top_k(k: usize) -> Self {
        let threshold = if k == 0 { f32::NEG_INFINITY } else { f32::INFINITY };
        Self { threshold, k, buffer: Vec::new(), updates: 0 }
    }

    /// Collects the `k` nearest of those nearer than `radius` (strictly), an inner distance.
    pub fn top_k_within(k: usize, radius: f32) -> Self {
        // (`usize::MAX`: all of them.)
        let sink = Self::top_k(k);
        Self { threshold: sink.threshold.min(radius.next_down()), ..sink }
    }

    /// Collects everything nearer than `radius` (strictly, as in Faiss), an inner distance.
    pub fn range(radius: f32) -> Self {
        // The greatest float below: scans compare with <=.
        Self::within(radius.next_down())
    }

    /// Collects everything at an inner distance of at most `threshold`.
    pub fn within(threshold: f32) -> Self {
        Self { threshold, k: usize::MAX, buffer: Vec::new(), updates: 0 }
    }

    /// Nothing with a greater distance can enter any more.
    #[inline]
    pub fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Offers a result; one beyond the threshold (or NaN) is dropped.
    #[inline]
    pub fn push(&mut self, neighbor: Neighbor) {
        if neighbor.distance <= self.threshold {
            self.keep(neighbor);
        }
    }

    fn keep(&mut self, neighbor: Neighbor) {
        if self.k <= FEW {
            self.insert(neighbor);
            return;
        }
        self.updates += 1;
        self.buffer.push(neighbor);
        if self.buffer.len() >= self.k.saturating_mul(2) {
            self.cut();
        }
    }

    /// Puts a result into its place among few.
    fn insert(&mut self, neighbor: Neighbor) {
        let full = self.buffer.len() == self.k;
        match self.buffer.last() {
            // -infinity <= -infinity: such a distance passes the threshold of a sink that wants nothing.
            None if full => return,
            Some(last) if full && neighbor.order(last).is_ge() => return,
            _ => {}
        }
        self.updates += 1;
        if self.buffer.capacity() == 0 {
            self.buffer.reserve_exact(self.k);
        }
        let farther = |other: &Neighbor| {
            other.distance > neighbor.distance
                || (other.distance == neighbor.distance && other.order(&neighbor).is_gt())
        };
        // The farther ones move up by one; the last of a full sink falls off.
        if !full {
            self.buffer.push(neighbor);
        }
        let mut place = self.buffer.len() - 1;
        while place > 0 && farther(&self.buffer[place - 1]) {
            self.buffer[place] = self.buffer[place - 1];
            place -= 1;
        }
        self.buffer[place] = neighbor;
        if self.buffer.len() == self.k {
            self.threshold = self.buffer[self.k - 1].distance;
        }
    }

    /// How many results there are, at most k.
    pub fn len(&self) -> usize {
        self.buffer.len().min(self.k)
    }

    /// True if nothing was found yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes over what another sink of the same query found.
    pub fn merge(&mut self, other: Sink) {
        let updates = self.updates + other.updates;
        if self.buffer.is_empty() && self.k == other.k && other.threshold <= self.threshold {
            *self = other;
        } else {
            other.buffer.into_iter().for_each(|neighbor| self.push(neighbor));
        }
        self.updates = updates;
    }

    /// What is held now, in no order: the results so far, and perhaps some that better ones have pushed out already.
    pub fn held(&self) -> &[Neighbor] {
        &self.buffer
    }

    /// How many results were taken in, those pushed out later too. (Faiss's `nheap_updates`.)
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Forgets the results; the threshold stays.
    pub fn clear(&mut self) {
        self.buffer.clear();
    }

    /// An empty sink that collects the same: as many, within what is left of the threshold.
    pub fn fork(&self) -> Self {
        Self { threshold: self.threshold, k: self.k, buffer: Vec::new(), updates: 0 }
    }

    /// The results, nearest first.
    pub fn into_sorted(mut self) -> Vec<Neighbor> {
        self.cut();
        self.buffer.sort_unstable_by(Neighbor::order);
        self.buffer
    }

    #[cold]
    fn cut(&mut self) {
        if self.k > FEW && self.buffer.len() >= self.k {
            let (_, kth, _) = self.buffer.select_nth_unstable_by(self.k - 1, Neighbor::order);
            self.threshold = kth.distance;
            self.buffer.truncate(self.k);
        }
    }
}

/// A caller's own way to collect the results of one query: told of them as they are found.
///
/// A search hands over what it found in a stretch of a list (some thousand codes), so that a collector costs a call a stretch, not a
/// call a hit. (Faiss's `ResultHandler`.)
///
/// ```
/// use ivf_core::{Collector, Id, Neighbor};
/// use std::{collections::HashMap, ops::ControlFlow};
/// /// The nearest vector of each group of a hundred ids.
/// #[derive(Default)]
/// struct NearestOfGroups(HashMap<i64, (f32, Id)>);
/// impl Collector for NearestOfGroups {
///     fn threshold(&self) -> f32 {
///         f32::INFINITY
///     }
///     fn collect(&mut self, found: &[Neighbor]) -> ControlFlow<()> {
///         for hit in found {
///             let nearest = self.0.entry(hit.id.0 / 100).or_insert((hit.distance, hit.id));
///             if hit.distance < nearest.0 {
///                 *nearest = (hit.distance, hit.id);
///             }
///         }
///         ControlFlow::Continue(())
///     }
/// }
/// ```
pub trait Collector {
    /// Results beyond this inner distance (smaller is closer) are of no use any more. Asked before each stretch.
    fn threshold(&self) -> f32;

    /// Takes the results of a stretch, none of them beyond the threshold, in no order. [`ControlFlow::Break`] ends the search.
    fn collect(&mut self, found: &[Neighbor]) -> ControlFlow<()>;
}

impl Collector for Sink {
    fn threshold(&self) -> f32 {
        self.threshold
    }

    fn collect(&mut self, found: &[Neighbor]) -> ControlFlow<()> {
        found.iter().for_each(|neighbor| self.push(*neighbor));
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn neighbor(distance: f32, id: i64) -> Neighbor {
        Neighbor { distance, id: Id(id), location: Location::new(0, id as u32) }
    }

    /// A stream with many ties, some infinities and some NaN.
    fn stream() -> Vec<Neighbor> {
        (0..500_i64)
            .map(|i| {
                let distance = match i * 7919 % 101 {
                    0 => f32::NAN,
                    1 => f32::INFINITY,
                    2 => f32::NEG_INFINITY,
                    r => (r / 4) as f32,
                };
                neighbor(distance, i * 31 % 500)
            })
            .collect()
    }

    fn sorted(keep: impl Fn(f32) -> bool) -> Vec<Neighbor> {
        let mut all: Vec<_> = stream().into_iter().filter(|n| keep(n.distance)).collect();
        all.sort_by(Neighbor::order);
        all
    }

    #[test]
    fn top_k_is_a_sorted_prefix_whoever_pushed_first() {
        for k in [0, 1, 2, 10, 100, 499, 500, 501, usize::MAX] {
            let expected: Vec<_> = sorted(|d| !d.is_nan()).into_iter().take(k).collect();
            let mut forward = Sink::top_k(k);
            stream().into_iter().for_each(|n| forward.push(n));
            let mut backward = Sink::top_k(k);
            let mut half = backward.fork();
            stream().into_iter().rev().enumerate().for_each(
                |(i, n)| {
                    if i % 2 == 0 { backward.push(n) } else { half.push(n) }
                },
            );
            backward.merge(half);
            assert_eq!(forward.into_sorted(), expected, "{k}");
            assert_eq!(backward.into_sorted(), expected, "{k}");
        }
    }

    #[test]
    fn a_capped_range_keeps_the_nearest_and_updates_are_counted() {
        for (k, radius) in [(0, 5.0), (1, 5.0), (10, 5.0), (100, 5.0), (100, f32::INFINITY), (600, 3.0)] {
            let mut sink = Sink::top_k_within(k, radius);
            stream().into_iter().for_each(|n| sink.push(n));
            assert!(sink.updates() >= sink.len() as u64 && sink.held().len() >= sink.len());
            let expected: Vec<_> = sorted(|d| d < radius).into_iter().take(k).collect();
            assert_eq!(sink.into_sorted(), expected, "{k} {radius}");
        }
        let (mut whole, mut part) = (Sink::top_k(3), Sink::top_k(3));
        whole.push(neighbor(1.0, 1));
        part.push(neighbor(0.5, 2));
        whole.merge(part);
        assert_eq!(whole.updates(), 2);
    }

    #[test]
    fn a_range_is_strict() {
        for radius in [f32::NEG_INFINITY, 0.0, 3.0, 3.5, f32::INFINITY] {
            let mut sink = Sink::range(radius);
            stream().into_iter().for_each(|n| sink.push(n));
            // The one float that `next_down` cannot go below.
            let expected = sorted(|d| d < radius || (radius == d && d == f32::NEG_INFINITY));
            assert_eq!(sink.into_sorted(), expected, "{radius}");
        }
    }
}
