//! The expected content of an exact index.

use super::{Want, middle_radius};
use crate::compare::assert_exact;
use crate::data::small_integers;
use crate::oracle::{self, exact};
use ivf_core::{Id, IdSelector, Index, Metric, Rows, SearchParams};
use std::collections::BTreeSet;

/// The entries of an exact index, in a plain vector.
#[derive(Clone, Debug)]
pub(super) struct Model {
    metric: Metric,
    pub(super) dim: usize,
    pub(super) entries: Vec<(Id, Vec<f32>)>,
    /// The largest id ever added.
    pub(super) largest: Option<Id>,
}

impl Model {
    pub(super) fn new(index: &dyn Index) -> Self {
        Self { metric: index.metric(), dim: index.dim(), entries: Vec::new(), largest: None }
    }

    pub(super) fn add(&mut self, id: Id, vector: &[f32]) {
        self.entries.push((id, vector.to_vec()));
        self.largest = self.largest.max(Some(id));
    }

    pub(super) fn ids(&self) -> BTreeSet<Id> {
        self.entries.iter().map(|(id, _)| *id).collect()
    }

    /// Removes the selected entries and returns their number.
    pub(super) fn remove(&mut self, selector: &IdSelector<'_>) -> usize {
        let before = self.entries.len();
        self.entries.retain(|(id, _)| !selector.contains(*id));
        before - self.entries.len()
    }

    /// Asserts that the index holds these vectors: compares its length, results and reconstructed
    /// vectors.
    pub(super) fn check(&self, index: &dyn Index, seed: u64, at: &str) {
        assert_eq!(index.len(), self.entries.len(), "{at}: number of vectors");
        assert!(index.is_trained(), "{at}: the index is no longer trained");
        let data: Vec<f32> = self.entries.iter().flat_map(|(_, vector)| vector).copied().collect();
        let base = Rows::new(&data, self.dim).expect("whole vectors");
        let ids: Vec<Id> = self.entries.iter().map(|(id, _)| *id).collect();
        let queries = small_integers(seed, 3, self.dim, 4);
        let truth = |want: Want| exact(self.metric, base, &ids, queries.rows(), want.k(), want.radius(), |_| true);
        let mut wants = vec![Want::K(5)];
        if index.as_range_search().is_some() {
            wants.extend(middle_radius(&truth(Want::K(40))).map(Want::Radius));
        }
        for want in wants {
            let found = want.search(index, queries.rows().into(), &SearchParams::new());
            let found = found.unwrap_or_else(|error| panic!("{at}: {want:?}: {error}"));
            assert_exact(&found.hits, &truth(want), format_args!("{at}: {want:?}"));
        }
        self.check_reconstruct(index, seed as usize, at);
    }

    fn check_reconstruct(&self, index: &dyn Index, turn: usize, at: &str) {
        if index.as_reconstruct().is_none() {
            return;
        }
        let ids = self.ids();
        for id in ids.iter().copied().skip(turn % 5).step_by(ids.len() / 4 + 1) {
            let found = index.reconstruct(id).unwrap_or_else(|error| panic!("{at}: reconstructing {id}: {error}"));
            // The model does not know which of several entries comes first in list order.
            let mut candidates = self.entries.iter().filter(|(own, _)| *own == id).map(|(_, vector)| self.kept(vector));
            assert!(candidates.any(|vector| vector == found), "{at}: {id} reconstructs to {found:?}");
        }
    }

    /// Returns a vector in the form in which the index stores it.
    pub(super) fn kept(&self, vector: &[f32]) -> Vec<f32> {
        if self.metric == Metric::Cosine { oracle::unit(vector) } else { vector.to_vec() }
    }
}
