//! The steps of a history, applied to the index and to the model.

use super::check::done;
use super::model::{Entry, Model, knob};
use super::{Subject, Tally, lists, subset};
use crate::data::{Random, Vectors};
use ivf_core::{Id, Index};
use rand::RngExt;
use rand::seq::SliceRandom;

/// A function that performs a step and describes it. It returns `None` if the index does not
/// support the step.
type Step = fn(&mut History<'_>, &str) -> Option<String>;

/// Every kind of step: its weight, its name and its function.
pub(super) const KINDS: [(u32, &str, Step); 18] = [
    (6, "add", |history, at| history.add(at)),
    (6, "add with ids", |history, at| history.add_with_ids(at)),
    (2, "add with rows skipped", |history, at| history.add_skipping(at)),
    (4, "add to given lists", lists::add_preassigned),
    (3, "add codes", |history, at| history.add_codes(at)),
    (7, "remove", |history, at| history.remove(at)),
    (4, "update", |history, at| history.update(at)),
    (4, "upsert", |history, at| history.upsert(at)),
    (3, "merge", |history, at| history.merge(at)),
    (3, "copy a subset", subset::copy),
    (1, "reset", |history, at| history.reset(at)),
    (2, "sort entries", lists::sort_entries),
    (2, "permute lists", lists::permute),
    (1, "sort lists by size", lists::sort_by_size),
    (3, "reload", |history, at| history.reload(at)),
    (3, "clone", |history, at| history.clone_index(at)),
    (3, "knobs", |history, at| history.knobs(at)),
    (3, "refused call", |history, at| history.refused(at)),
];

pub(super) struct History<'a> {
    pub(super) subject: &'a Subject<'a>,
    pub(super) random: Random,
    pub(super) index: Box<dyn Index>,
    pub(super) model: Model,
    /// A clone that was taken some steps ago, and its expected content.
    pub(super) clone: Option<(Box<dyn Index>, Model)>,
    /// Maximum number of vectors of a batch.
    most: usize,
}

impl<'a> History<'a> {
    pub(super) fn new(subject: &'a Subject<'a>, mut random: Random) -> Self {
        let index = (subject.make)();
        assert!(index.is_trained() && index.is_empty(), "{}: a new index is not trained and empty", subject.name);
        let model = Model::new(subject, &*index);
        let most = [12, 12, 12, 90][random.random_range(0..4)];
        Self { subject, random, index, model, clone: None, most }
    }

    /// Performs one step that the index supports, and describes it.
    pub(super) fn step(&mut self, tally: &mut Tally, at: &str) -> String {
        loop {
            let mut turn = self.random.random_range(0..KINDS.iter().map(|(weight, ..)| weight).sum());
            let chosen = KINDS.iter().find(|(weight, ..)| {
                let is_chosen = turn < *weight;
                turn = turn.saturating_sub(*weight);
                is_chosen
            });
            let (_, name, step) = chosen.expect("the turn is below the sum");
            if let Some(what) = step(self, &format!("{at}, {name}")) {
                tally.count(name);
                if let Some(subset) = subset::KINDS.iter().find(|kind| what.starts_with(**kind)) {
                    tally.count(subset);
                }
                return format!("{name}: {what}");
            }
        }
    }

    pub(super) fn vectors(&mut self) -> Vectors {
        let n = self.random.random_range(0..=self.most);
        self.vectors_of(n)
    }

    pub(super) fn vectors_of(&mut self, n: usize) -> Vectors {
        (self.subject.vectors)(self.random.random(), n, self.model.dim)
    }

    /// Returns consecutive new ids, ids that may be in use, negative ids, and rarely some from a
    /// wide range.
    pub(super) fn ids(&mut self, n: usize) -> Vec<Id> {
        let (random, next) = (&mut self.random, self.model.next as i64);
        let kind = random.random_range(0..12);
        (0..n as i64)
            .map(|i| match kind {
                0..5 => Id(next + i),
                5..9 => Id(random.random_range(0..next + 20)),
                9 | 10 => Id(random.random_range(-60..60)),
                _ => Id(random.random_range(-1_000_000..1_000_000)),
            })
            .collect()
    }

    /// Returns the ids that `add` gives.
    pub(super) fn counted(&self, n: usize) -> Vec<Id> {
        (self.model.next as i64..).map(Id).take(n).collect()
    }

    /// Returns whether an array map refuses these new ids.
    pub(super) fn refuses(&self, mut ids: impl Iterator<Item = Id>) -> bool {
        let mut expected = self.model.next as i64..;
        self.subject.keeps_ids && self.model.map == 1 && !ids.all(|id| expected.next() == Some(id.0))
    }

    pub(super) fn entries(&self, ids: &[Id], vectors: &Vectors) -> Vec<Entry> {
        ids.iter().zip(vectors.rows().iter()).map(|(id, vector)| self.model.entry(*id, vector, None)).collect()
    }

    /// Returns up to `most` ids of the index, in any order.
    pub(super) fn known(&mut self, most: usize) -> Vec<Id> {
        let mut ids: Vec<Id> = self.model.ids().into_iter().collect();
        ids.shuffle(&mut self.random);
        ids.truncate(self.random.random_range(0..=most));
        ids
    }

    /// Returns another index with the same training and the same list numbers, whose direct map
    /// takes any ids.
    pub(super) fn other(&mut self) -> Box<dyn Index> {
        let mut other = (self.subject.make)();
        if let Some(ivf) = other.as_ivf_mut().filter(|_| !self.model.order.is_sorted()) {
            done(ivf.permute_lists(&self.model.order), "the lists of another index");
        }
        let kind = [0, 2][self.random.random_range(0..2)];
        if knob(&*other, "direct_map").is_some() {
            done(other.set_knob("direct_map", kind), "the map of another index");
        }
        other
    }
}
