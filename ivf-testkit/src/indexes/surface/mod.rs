//! The whole surface of an index, against a naive model.

mod add;
mod ask;
mod back;
mod check;
mod edit;
mod lists;
mod model;
mod step;
mod subset;
mod truth;
mod whole;

use super::{MakeIndex, ReadIndex};
use crate::data::{Vectors, random};
use check::Check;
use ivf_core::{Codec, Level1Quantizer, StoredNode};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::thread;
use step::History;

/// Writes of a history.
const STEPS: usize = 25;

/// An index to check, and what its model is made of.
///
/// Its metric is L2, the inner product or cosine; its coarse quantizer, if it has one, compares a
/// vector with every centroid, and can renumber its lists.
pub struct Subject<'a> {
    /// What messages call it.
    pub name: String,
    /// Makes the index, trained and empty.
    pub make: MakeIndex<'a>,
    /// Reads what such an index exports.
    pub read: ReadIndex<'a>,
    /// Where the bytes are that such a reader is given.
    pub rest: fn(&StoredNode) -> StoredNode,
    /// The codec that the index has learnt.
    pub codec: Arc<dyn Codec>,
    /// The coarse quantizer that the index has learnt; `None` for one list around the origin.
    pub quantizer: Option<Arc<dyn Level1Quantizer>>,
    /// Whether codes are the vectors themselves, so that their distances are the oracle's.
    pub is_exact: bool,
    /// Whether the index keeps the caller's ids in its lists. Under an id map of a wrapper ties go
    /// by insertion: its vectors should have none.
    pub keeps_ids: bool,
    /// Generates vectors: a seed, how many, their dimension.
    pub vectors: fn(u64, usize, usize) -> Vectors,
}

impl fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("name", &self.name).field("codec", &self.codec).finish_non_exhaustive()
    }
}

/// How often each kind of step, call and parameter came up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    /// How often a kind came up; `"history"` counts the histories.
    pub fn of(&self, kind: &str) -> u64 {
        self.0.get(kind).copied().unwrap_or(0)
    }

    /// Adds another tally.
    pub fn add(&mut self, other: &Tally) {
        other.0.iter().for_each(|(kind, times)| *self.0.entry(kind).or_default() += times);
    }

    fn count(&mut self, kind: &'static str) {
        *self.0.entry(kind).or_default() += 1;
    }
}

/// The kinds of steps, calls and parameters that histories of an inverted-file index with every
/// ability are made of: each should come up in some hundred of them.
pub fn surface_kinds() -> impl Iterator<Item = &'static str> {
    let params = [
        "nprobe",
        "max_codes",
        "max_lists",
        "ensure_k",
        "max_results",
        "max_empty_lists",
        "per_query",
        "locations",
        "Auto",
        "Queries",
        "Probes",
        "QueriesAndProbes",
        "FineQueries",
        "ListMajor",
        "threads 2",
        "threads 4",
        "default executor",
    ];
    let calls = [
        "search and reconstruct",
        "search and return codes",
        "search preassigned",
        "range search preassigned",
        "search one",
        "reconstruct at a place",
    ];
    params.into_iter().chain(calls).chain(ask::KINDS).chain(step::KINDS.map(|(_, name, _)| name)).chain(subset::KINDS)
}

/// Runs a generated history for each seed: writes of every sort that the index is able to (add,
/// with ids, to given lists, codes; remove, update, upsert; merge, copies of subsets; lists sorted
/// and permuted; direct maps; files; clones, of which one stays as it was and one goes on; calls
/// that fail), and after each of them the contents, searches with random parameters of every sort
/// and vectors given back are compared with a model, a plain vector of entries, to the bit. Says
/// what came up.
///
/// # Panics
/// If the index differs from the model or a call fails; the message names subject, seed, step and
/// what was done.
pub fn check_surface(subject: &Subject<'_>, seeds: Range<u64>) -> Tally {
    let mut tally = Tally::default();
    for seed in seeds {
        let mut noted = Noted(format!("{}, seed {seed}", subject.name));
        let mut history = History::new(subject, random(seed));
        for step in 0..STEPS {
            let before = format!("{}, seed {seed}, step {step}", subject.name);
            noted.0.clone_from(&before);
            let what = history.step(&mut tally, &before);
            let at = format!("{before}, after {what}");
            noted.0.clone_from(&at);
            Check::run(subject, &history.model, &*history.index, &mut history.random, &mut tally, &at);
        }
        history.check_clone(&format!("{}, seed {seed}, at the end", subject.name));
        tally.count("history");
    }
    tally
}

/// Where a history is: said when the index itself panics, since its message does not know.
struct Noted(String);

impl Drop for Noted {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the panic came in {}", self.0);
        }
    }
}
