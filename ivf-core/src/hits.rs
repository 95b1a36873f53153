//! The results of searches.

use crate::id::{Id, Location};
use crate::metric::Metric;
use crate::report::SearchStats;
use crate::sink::Sink;

/// The results of a batch of queries: the ids and distances of each query, nearest first.
///
/// Rows are ragged: a query that finds fewer than k results has a shorter row, and nothing is
/// padded. Distances are values of the metric, so a similarity is large for near vectors. Entries
/// at equal distances are ordered by id.
#[derive(Clone, Debug, PartialEq)]
pub struct Hits {
    starts: Vec<usize>,
    ids: Vec<Id>,
    distances: Vec<f32>,
    locations: Vec<Location>,
}

/// The results of one query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HitsRow<'a> {
    /// The ids, nearest first.
    pub ids: &'a [Id],
    /// Their distances or similarities.
    pub distances: &'a [f32],
    /// Their locations; empty unless requested by
    /// [`SearchParams::locations`](crate::SearchParams::locations).
    pub locations: &'a [Location],
}

impl<'a> HitsRow<'a> {
    /// Returns the number of results.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Returns true if there are no results.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Writes the results, nearest first, to a row of ids and a row of distances of the same
    /// length. Results that do not fit are left out. Missing results have id -1 and the worst
    /// distance of the metric, as in Faiss.
    ///
    /// A writer of a matrix of results thus needs memory for one row only.
    ///
    /// # Panics
    /// If the two rows differ in length.
    ///
    /// ```
    /// use ivf_core::{Hits, Metric, Sink};
    /// let hits = Hits::from_sinks(Metric::L2, [Sink::top_k(3)], false);
    /// let (mut ids, mut distances) = ([0; 3], [0.0; 3]);
    /// hits.row(0).pad_into(Metric::L2, &mut ids, &mut distances);
    /// assert_eq!((ids, distances), ([-1; 3], [f32::MAX; 3]));
    /// ```
    pub fn pad_into(&self, metric: Metric, ids: &mut [i64], distances: &mut [f32]) {
        assert_eq!(ids.len(), distances.len(), "there must be one distance per id");
        let len = self.len().min(ids.len());
        ids[..len].iter_mut().zip(self.ids).for_each(|(padded, id)| *padded = id.0);
        distances[..len].copy_from_slice(&self.distances[..len]);
        ids[len..].fill(-1);
        distances[len..].fill(metric.to_user_distance(f32::MAX));
    }

    /// Iterates over the results, nearest first.
    pub fn iter(&self) -> RowIter<'a> {
        self.ids.iter().copied().zip(self.distances.iter().copied())
    }
}

/// An iterator over the ids of a row with their distances or similarities.
pub type RowIter<'a> =
    std::iter::Zip<std::iter::Copied<std::slice::Iter<'a, Id>>, std::iter::Copied<std::slice::Iter<'a, f32>>>;

impl<'a> IntoIterator for HitsRow<'a> {
    type Item = (Id, f32);
    type IntoIter = RowIter<'a>;

    fn into_iter(self) -> RowIter<'a> {
        self.iter()
    }
}

/// An iterator over the results of each query, in order.
#[derive(Clone, Debug)]
pub struct HitsIter<'a> {
    hits: &'a Hits,
    queries: std::ops::Range<usize>,
}

impl<'a> Iterator for HitsIter<'a> {
    type Item = HitsRow<'a>;

    fn next(&mut self) -> Option<HitsRow<'a>> {
        self.queries.next().map(|query| self.hits.row(query))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.queries.size_hint()
    }
}

impl ExactSizeIterator for HitsIter<'_> {}

impl<'a> IntoIterator for &'a Hits {
    type Item = HitsRow<'a>;
    type IntoIter = HitsIter<'a>;

    fn into_iter(self) -> HitsIter<'a> {
        self.rows()
    }
}

impl<'a> IntoIterator for &'a SearchResult {
    type Item = HitsRow<'a>;
    type IntoIter = HitsIter<'a>;

    fn into_iter(self) -> HitsIter<'a> {
        self.hits.rows()
    }
}

impl Default for Hits {
    fn default() -> Self {
        Self { starts: vec![0], ids: Vec::new(), distances: Vec::new(), locations: Vec::new() }
    }
}

impl Hits {
    /// Collects the contents of the sinks, one per query, and converts distances to values of the
    /// metric.
    pub fn from_sinks(metric: Metric, sinks: impl IntoIterator<Item = Sink>, with_locations: bool) -> Self {
        let mut hits = Self::default();
        for sink in sinks {
            for neighbor in sink.into_sorted() {
                hits.ids.push(neighbor.id);
                hits.distances.push(metric.to_user_distance(neighbor.distance));
                if with_locations {
                    hits.locations.push(neighbor.location);
                }
            }
            hits.starts.push(hits.ids.len());
        }
        hits
    }

    /// Returns the number of queries.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Returns true if there are no queries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the results of query `i`.
    ///
    /// # Panics
    /// If `i >= len`.
    pub fn row(&self, i: usize) -> HitsRow<'_> {
        let range = self.starts[i]..self.starts[i + 1];
        HitsRow {
            ids: &self.ids[range.clone()],
            distances: &self.distances[range.clone()],
            locations: if self.locations.is_empty() { &[] } else { &self.locations[range] },
        }
    }

    /// Iterates over the results of each query, in order.
    pub fn rows(&self) -> HitsIter<'_> {
        HitsIter { hits: self, queries: 0..self.len() }
    }

    /// Returns the number of results of all queries together.
    pub fn total(&self) -> usize {
        self.ids.len()
    }

    /// Returns the results with `rename` applied to every id.
    pub fn map_ids(mut self, mut rename: impl FnMut(Id) -> Id) -> Self {
        self.ids.iter_mut().for_each(|id| *id = rename(*id));
        self
    }

    /// Returns the results without locations.
    pub fn without_locations(mut self) -> Self {
        self.locations.clear();
        self
    }

    /// Returns the locations of all results, row after row. They are empty unless requested by
    /// [`SearchParams::locations`](crate::SearchParams::locations).
    pub fn locations(&self) -> &[Location] {
        &self.locations
    }

    /// Returns the ids of all results, row after row.
    pub fn ids(&self) -> &[Id] {
        &self.ids
    }

    /// Returns the results as `n x k` matrices of ids and distances. Missing results have id -1 and
    /// the worst distance, as in Faiss.
    ///
    /// The matrices take `12 n k` bytes, even if few results were found.
    /// [`HitsRow::pad_into`] writes row after row instead.
    pub fn padded(&self, k: usize, metric: Metric) -> (Vec<i64>, Vec<f32>) {
        let (mut ids, mut distances) = (vec![0; self.len() * k], vec![0.0; self.len() * k]);
        for (i, row) in self.rows().enumerate() {
            let padded = i * k..(i + 1) * k;
            row.pad_into(metric, &mut ids[padded.clone()], &mut distances[padded]);
        }
        (ids, distances)
    }
}

/// The result of a search. Iterating over it gives one row of results per query.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct SearchResult {
    /// The results.
    pub hits: Hits,
    /// Statistics of the search.
    pub stats: SearchStats,
}

impl SearchResult {
    /// Creates a result from its two parts.
    pub fn new(hits: Hits, stats: SearchStats) -> Self {
        Self { hits, stats }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::Neighbor;

    #[test]
    fn rows_are_ragged_and_padding_is_asked_for() {
        let mut full = Sink::top_k(2);
        for (id, distance) in [(4, -2.0), (5, -3.0), (6, -1.0)] {
            full.push(Neighbor { distance, id: Id(id), location: Location::new(1, 2) });
        }
        let hits = Hits::from_sinks(Metric::InnerProduct, [full, Sink::top_k(2)], false);
        assert_eq!((hits.len(), hits.total()), (2, 2));
        assert_eq!(hits.row(0).ids, &[Id(5), Id(4)]);
        assert_eq!(hits.row(0).distances, &[3.0, 2.0]);
        assert!(hits.row(1).ids.is_empty() && hits.row(0).locations.is_empty());
        let listed: Vec<(Id, f32)> = (&hits).into_iter().flatten().collect();
        assert_eq!(listed, [(Id(5), 3.0), (Id(4), 2.0)]);
        let (ids, distances) = hits.padded(3, Metric::InnerProduct);
        assert_eq!(ids, [5, 4, -1, -1, -1, -1]);
        assert_eq!(distances[2], -f32::MAX);
        let (mut ids, mut distances) = ([0], [0.0]);
        hits.row(0).pad_into(Metric::InnerProduct, &mut ids, &mut distances);
        assert_eq!((ids, distances), ([5], [3.0]));
    }
}
