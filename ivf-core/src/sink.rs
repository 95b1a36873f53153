//! Sinks, which collect the results of a scan.

use crate::id::{Id, Location};
use arrayvec::ArrayVec;
use std::cmp::Ordering;
use std::ops::ControlFlow;

/// A result of a scan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbor {
    /// Internal distance from the query; smaller is closer.
    pub distance: f32,
    /// Id of the entry.
    pub id: Id,
    /// Location of the entry.
    pub location: Location,
}

impl Neighbor {
    /// Compares two results by distance, then id, then location. Ties therefore never depend on the
    /// order of the scan.
    ///
    /// ```
    /// use ivf_core::{Id, Location, Neighbor};
    /// let near = |distance, id| Neighbor { distance, id: Id(id), location: Location::new(0, 0) };
    /// let mut found = [near(2.0, 7), near(2.0, 3), near(1.0, 9)];
    /// found.sort_by(Neighbor::order);
    /// assert_eq!(found.map(|neighbor| neighbor.id.0), [9, 3, 7]);
    /// ```
    pub fn order(&self, other: &Self) -> Ordering {
        let by_distance = self.distance.partial_cmp(&other.distance).expect("distances in a sink are never NaN");
        by_distance.then(self.id.cmp(&other.id)).then(self.location.cmp(&other.location))
    }
}

/// The results of one query: its `k` nearest entries, or all within a radius.
///
/// A scan compares each distance with [`threshold`](Self::threshold) and pushes results that are
/// not above it. The threshold of a top-k sink falls as better results arrive. It is infinite at
/// first, and then the k-th smallest distance among some or all results so far.
///
/// One sink can collect the results of many scans. Its final content does not depend on the order
/// of the pushes.
///
/// ```
/// use ivf_core::{Id, Location, Neighbor, Sink};
/// let mut sink = Sink::top_k(2);
/// for (id, distance) in [(7, 3.0), (8, 1.0), (9, 2.0), (1, 2.0)] {
///     sink.push(Neighbor { distance, id: Id(id), location: Location::new(0, 0) });
/// }
/// let ids: Vec<i64> = sink.into_sorted().iter().map(|n| n.id.0).collect();
/// assert_eq!(ids, [8, 1]); // 1 and 9 are equally far; the smaller id comes first
/// ```
///
/// A range query keeps all within its radius, and may be capped:
///
/// ```
/// # use ivf_core::{Id, Location, Neighbor, Sink};
/// let fill = |mut sink: Sink| {
///     for (id, distance) in [(7, 3.0), (8, 1.0), (9, 2.0)] {
///         sink.push(Neighbor { distance, id: Id(id), location: Location::new(0, 0) });
///     }
///     sink.into_sorted().iter().map(|n| n.id.0).collect::<Vec<_>>()
/// };
/// assert_eq!(fill(Sink::range(3.0)), [8, 9]); // nearer than 3
/// assert_eq!(fill(Sink::within(3.0)), [8, 9, 7]); // at most 3
/// assert_eq!(fill(Sink::top_k_within(1, 3.0)), [8]);
/// ```
#[derive(Clone, Debug)]
pub struct Sink {
    threshold: f32,
    /// Maximum number of results; `usize::MAX` means all.
    k: usize,
    /// For small `k` the results are kept sorted, so that the threshold is always the k-th
    /// distance. For larger `k` the buffer grows to `2 k` results and is then cut back to about
    /// `k`.
    buffer: Vec<Neighbor>,
    updates: u64,
}

/// Largest `k` for which the results are kept sorted. Up to here, shifting results on each
/// insertion costs less than the additional results that a less strict threshold would let in.
const FEW: usize = 32;

/// Half of the results for which a sink has room at first, if `k` is larger.
const AT_FIRST: usize = 512;

impl Sink {
    /// Creates a sink for the `k` nearest entries. Memory is allocated as results arrive.
    pub fn top_k(k: usize) -> Self {
        let threshold = if k == 0 { f32::NEG_INFINITY } else { f32::INFINITY };
        Self { threshold, k, buffer: Vec::new(), updates: 0 }
    }

    /// Creates a sink for the `k` nearest of the entries nearer than `radius` (strictly), an
    /// internal distance.
    pub fn top_k_within(k: usize, radius: f32) -> Self {
        // `k` may be `usize::MAX`, which means all of them.
        let sink = Self::top_k(k);
        Self { threshold: sink.threshold.min(radius.next_down()), ..sink }
    }

    /// Creates a sink for all entries nearer than `radius` (strictly, as in Faiss), an internal
    /// distance.
    pub fn range(radius: f32) -> Self {
        // Scans compare with `<=`, so the threshold is the greatest float below the radius.
        Self::within(radius.next_down())
    }

    /// Creates a sink for all entries at an internal distance of at most `threshold`.
    pub fn within(threshold: f32) -> Self {
        Self { threshold, k: usize::MAX, buffer: Vec::new(), updates: 0 }
    }

    /// Returns the threshold. Results with a greater distance cannot enter the sink any more.
    #[inline]
    pub fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Returns the maximum number of results, or `usize::MAX` if all are kept.
    ///
    /// ```
    /// use ivf_core::Sink;
    /// assert_eq!(Sink::top_k_within(10, 3.0).k(), 10);
    /// assert_eq!(Sink::range(3.0).k(), usize::MAX);
    /// ```
    pub fn k(&self) -> usize {
        self.k
    }

    /// Offers a result. A result whose distance is above the threshold or NaN is dropped.
    #[inline]
    pub fn push(&mut self, neighbor: Neighbor) {
        if neighbor.distance <= self.threshold {
            self.keep(neighbor);
        }
    }

    /// Offers results, as [`push`](Self::push) does for each.
    ///
    /// ```
    /// use ivf_core::{Id, Location, Neighbor, Sink};
    /// let mut sink = Sink::top_k(2);
    /// let near = |(id, distance)| Neighbor { distance, id: Id(id), location: Location::new(0, 0) };
    /// sink.push_all([(7, 3.0), (8, 1.0), (9, 2.0)].into_iter().map(near));
    /// assert_eq!(sink.into_sorted().iter().map(|n| n.id.0).collect::<Vec<_>>(), [8, 9]);
    /// ```
    #[inline(always)]
    pub fn push_all(&mut self, found: impl ExactSizeIterator<Item = Neighbor>) {
        let (before, threshold) = (self.buffer.len(), self.threshold);
        let after = before + found.len();
        // The threshold changes only when the buffer reaches `k` or `2 k` results. Below that,
        // results are appended. `keep` makes the first reservation.
        let next_change = if before < self.k { self.k } else { self.k.saturating_mul(2) };
        if self.k > FEW && after < next_change && after <= self.buffer.capacity() {
            for hit in found {
                if hit.distance <= threshold {
                    self.buffer.push(hit);
                }
            }
            self.updates += (self.buffer.len() - before) as u64;
        } else {
            for hit in found {
                self.push(hit);
            }
        }
    }

    fn keep(&mut self, neighbor: Neighbor) {
        if self.k <= FEW {
            self.insert(neighbor);
            return;
        }
        self.updates += 1;
        if self.buffer.capacity() == 0 {
            self.buffer.reserve(self.k.min(AT_FIRST) * 2);
        }
        self.buffer.push(neighbor);
        if self.buffer.len() >= self.k.saturating_mul(2) {
            self.thin_out();
        } else if self.buffer.len() == self.k {
            // The first `k` results: the farthest of them is a threshold.
            self.lower_threshold();
        }
    }

    #[cold]
    fn lower_threshold(&mut self) {
        self.threshold = self.buffer.iter().map(|hit| hit.distance).fold(f32::NEG_INFINITY, f32::max);
    }

    /// Drops most of the results that are certainly not among the `k` nearest, and lowers the
    /// threshold.
    ///
    /// It looks for a number that at least `k` distances do not exceed, and few more: by bisection,
    /// which needs no branch for a single distance.
    #[cold]
    fn thin_out(&mut self) {
        let (mut few, mut many) = (ArrayVec::<i32, { 2 * AT_FIRST }>::new(), Vec::new());
        let keys = self.buffer.iter().map(|hit| ordered(hit.distance));
        let keys: &[i32] = if self.buffer.len() <= few.capacity() {
            few.extend(keys);
            &few
        } else {
            many.extend(keys);
            &many
        };
        let at_most = |limit: i32| keys.iter().map(|key| u32::from(*key <= limit)).sum::<u32>() as usize;
        let (mut low, mut high) =
            keys.iter().fold((i32::MAX, i32::MIN), |(low, high), &key| (low.min(key), high.max(key)));
        let mut left = keys.len();
        while low < high && left > self.k + self.k / 8 {
            let middle = (i64::from(low) + i64::from(high)).div_euclid(2) as i32;
            let count = at_most(middle);
            if count >= self.k {
                (high, left) = (middle, count);
            } else {
                low = middle + 1;
            }
        }
        if left > self.k + self.k / 2 {
            // Many results are as far as the k-th.
            return self.cut();
        }
        let mut kept = 0;
        for (i, key) in keys.iter().enumerate() {
            self.buffer[kept] = self.buffer[i];
            kept += usize::from(*key <= high);
        }
        self.buffer.truncate(kept);
        self.lower_threshold();
    }

    /// Inserts a result into the sorted buffer (small `k`).
    fn insert(&mut self, neighbor: Neighbor) {
        let full = self.buffer.len() == self.k;
        match self.buffer.last() {
            // For k = 0 the threshold is -infinity, and a distance of -infinity passes it.
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
        // Shift the farther results up by one. The last result of a full sink is dropped.
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

    /// Returns the number of results, at most `k`.
    pub fn len(&self) -> usize {
        self.buffer.len().min(self.k)
    }

    /// Returns true if there are no results yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds the results of another sink of the same query.
    pub fn merge(&mut self, other: Sink) {
        let updates = self.updates + other.updates;
        if self.buffer.is_empty() && self.k == other.k && other.threshold <= self.threshold {
            *self = other;
        } else {
            other.buffer.into_iter().for_each(|neighbor| self.push(neighbor));
        }
        self.updates = updates;
    }

    /// Returns the content of the buffer, in no order: the results so far, and possibly some that
    /// better results have already replaced.
    pub fn held(&self) -> &[Neighbor] {
        &self.buffer
    }

    /// Returns the number of results that entered the sink, including those replaced later.
    /// (Faiss's `nheap_updates`.)
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Removes the results. The threshold stays as it is.
    ///
    /// A search passes on what it has so far, and goes on:
    ///
    /// ```
    /// # use ivf_core::{Collector, Id, Location, Neighbor, Sink};
    /// # let near = |distance, id| Neighbor { distance, id: Id(id), location: Location::new(0, 0) };
    /// # let mut collector = Sink::top_k(1);
    /// let mut batch = Sink::within(3.0);
    /// batch.push(near(2.0, 1));
    /// if collector.collect(batch.held()).is_continue() {
    ///     batch.clear();
    /// }
    /// assert_eq!((batch.len(), batch.threshold()), (0, 3.0));
    /// assert_eq!(collector.len(), 1);
    /// ```
    pub fn clear(&mut self) {
        self.buffer.clear();
    }

    /// Creates an empty sink with the same `k` and the current threshold.
    ///
    /// Two threads scan for one query. The second one drops what the first has already beaten:
    ///
    /// ```
    /// # use ivf_core::{Id, Location, Neighbor, Sink};
    /// # let near = |distance, id| Neighbor { distance, id: Id(id), location: Location::new(0, 0) };
    /// let mut first = Sink::top_k(1);
    /// first.push(near(5.0, 1));
    /// let mut second = first.fork();
    /// assert!(second.is_empty());
    /// assert_eq!(second.threshold(), 5.0);
    /// second.push(near(7.0, 2));
    /// second.push(near(2.0, 3));
    /// assert_eq!(second.len(), 1);
    ///
    /// first.merge(second);
    /// assert_eq!(first.updates(), 2); // ids 1 and 3
    /// assert_eq!(first.into_sorted(), [near(2.0, 3)]);
    /// ```
    pub fn fork(&self) -> Self {
        Self { threshold: self.threshold, k: self.k, buffer: Vec::new(), updates: 0 }
    }

    /// Returns the results, nearest first.
    pub fn into_sorted(mut self) -> Vec<Neighbor> {
        self.cut();
        if self.k <= FEW {
            // The results are sorted already.
            return self.buffer;
        }
        let mut keys: Vec<u64> = (0_u32..).zip(&self.buffer).map(|(i, hit)| key(hit.distance, i)).collect();
        keys.sort_unstable();
        let mut sorted: Vec<Neighbor> = keys.iter().map(|key| self.buffer[*key as u32 as usize]).collect();
        for ties in sorted.chunk_by_mut(|a, b| a.distance == b.distance) {
            ties.sort_unstable_by(Neighbor::order);
        }
        sorted
    }

    #[cold]
    fn cut(&mut self) {
        if self.k > FEW && self.buffer.len() >= self.k {
            // Selects among integers, which move and compare faster than results.
            let mut keys: Vec<u64> = (0_u32..).zip(&self.buffer).map(|(i, hit)| key(hit.distance, i)).collect();
            let (_, &mut kth, _) = keys.select_nth_unstable(self.k - 1);
            let kth = (kth >> 32) as u32;
            let ties_kept = keys[..self.k].iter().filter(|key| (**key >> 32) as u32 == kth).count();
            self.threshold = self.buffer[keys[self.k - 1] as u32 as usize].distance;
            // Among results as far as the k-th, ids decide.
            let is_tie = |hit: &Neighbor| hit.distance == self.threshold;
            let mut ties: Vec<Neighbor> = self.buffer.iter().copied().filter(is_tie).collect();
            if ties.len() > ties_kept {
                ties.select_nth_unstable_by(ties_kept, Neighbor::order);
                ties.truncate(ties_kept);
            }
            let threshold = self.threshold;
            self.buffer.retain(|hit| hit.distance < threshold);
            self.buffer.extend(ties);
        }
    }
}

/// Returns a number that orders results by distance, with the result's place in the lower half.
#[inline]
fn key(distance: f32, place: u32) -> u64 {
    // The sign bit of a signed number counts the other way.
    u64::from(ordered(distance) as u32 ^ 1 << 31) << 32 | u64::from(place)
}

/// Returns a number that orders distances.
#[inline]
fn ordered(distance: f32) -> i32 {
    // -0 and 0 are the same distance.
    let bits = (distance + 0.0).to_bits() as i32;
    // The bits of negative floats count down.
    bits ^ (bits >> 31 & i32::MAX)
}

/// A caller's own collector for the results of one query. It receives the results during the
/// search.
///
/// A search passes results on in batches: one call per range of a few thousand codes of a list,
/// instead of one call per result. (Faiss's `ResultHandler`.)
///
/// ```
/// use ivf_core::{Collector, Id, Metric, Neighbor, Rows, SearchParams};
/// use std::{collections::BTreeMap, ops::ControlFlow};
/// /// The nearest vector of each group of a hundred ids.
/// #[derive(Default)]
/// struct NearestOfGroups(BTreeMap<i64, (f32, Id)>);
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
/// // The vectors 0 to 299, each with its number as id.
/// let vectors: Vec<f32> = (0..300).map(|i| i as f32).collect();
/// let mut index = ivf_factory::build("IVF4,Flat", 1, Metric::L2)?;
/// index.train(Rows::new(&vectors, 1)?)?;
/// index.add(Rows::new(&vectors, 1)?)?;
/// let ivf = index.as_ivf().ok_or("no lists")?;
/// let mut nearest = NearestOfGroups::default();
/// ivf.search_one(Rows::new(&[120.0_f32], 1)?.into(), &mut nearest, &SearchParams::new().nprobe(4))?;
/// let nearest: Vec<_> = nearest.0.into_values().collect();
/// assert_eq!(nearest, [(441.0, Id(99)), (0.0, Id(120)), (6400.0, Id(200))]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Collector {
    /// Returns the largest internal distance (smaller is closer) that is still of use. The search
    /// calls it before each batch.
    fn threshold(&self) -> f32;

    /// Receives one batch of results, in no order. None of them is above the threshold.
    /// [`ControlFlow::Break`] ends the search.
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

    /// Returns results with many ties, some infinities and some NaN.
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
    fn results_pushed_together_are_those_pushed_one_by_one() {
        for k in [0, 1, 32, 33, 64, 100, 499, 501, usize::MAX] {
            for most in [1, 7, 64, 300] {
                let (mut each, mut together) = (Sink::top_k(k), Sink::top_k(k));
                for some in stream().chunks(most) {
                    some.iter().for_each(|n| each.push(*n));
                    together.push_all(some.iter().copied());
                    let state = |sink: &Sink| (sink.threshold(), sink.updates(), sink.held().to_vec());
                    assert_eq!(state(&together), state(&each), "{k}, {most} at a time");
                }
                assert_eq!(together.into_sorted(), each.into_sorted(), "{k}, {most} at a time");
            }
        }
    }

    #[test]
    fn a_threshold_is_never_below_the_kth_distance_and_falls() {
        // Distances that spread over all sizes, and some with many ties.
        let distances = |i: i64| match i * 7919 % 17 {
            0 => 3.5,
            1 => -0.0,
            2 => 0.0,
            r => ((i * 31 % 1009) as f32 - 400.0) * 10.0_f32.powi(r as i32 - 9),
        };
        for k in [33, 100, 512, 513, 700] {
            let mut sink = Sink::top_k(k);
            let (mut all, mut last) = (Vec::new(), f32::INFINITY);
            for i in 0..5000 {
                let hit = neighbor(distances(i), i);
                sink.push(hit);
                all.push(hit.distance);
                assert!(sink.threshold() <= last && sink.held().len() < 2 * k);
                last = sink.threshold();
                if i % 50 == 0 && all.len() >= k {
                    all.select_nth_unstable_by(k - 1, f32::total_cmp);
                    assert!(sink.threshold() >= all[k - 1], "{k}");
                }
            }
            all.sort_by(f32::total_cmp);
            let near = all.iter().filter(|distance| **distance <= sink.threshold()).count();
            assert!(near < 2 * k + 300, "{near} distances below the threshold, of {k}");
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
            // -infinity is the one float without a next lower one.
            let expected = sorted(|d| d < radius || (radius == d && d == f32::NEG_INFINITY));
            assert_eq!(sink.into_sorted(), expected, "{radius}");
        }
    }
}
