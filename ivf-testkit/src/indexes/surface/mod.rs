//! The suite for the whole surface of an index, against a naive model.

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

/// Number of steps of a history.
const STEPS: usize = 25;

/// An index to check, and the components of its model.
///
/// Its metric is L2, the inner product or cosine. Its coarse quantizer, if it has one, compares a
/// vector with every centroid and can renumber its lists.
pub struct Subject<'a> {
    /// Name of the subject in messages.
    pub name: String,
    /// Makes the index, trained and empty.
    pub make: MakeIndex<'a>,
    /// Reads an export of the index.
    pub read: ReadIndex<'a>,
    /// Converts an exported node before it is read, for example to bytes in an open or mapped file.
    pub rest: fn(&StoredNode) -> StoredNode,
    /// The codec of the trained index.
    pub codec: Arc<dyn Codec>,
    /// The coarse quantizer of the trained index, or `None` for a single list around the origin.
    pub quantizer: Option<Arc<dyn Level1Quantizer>>,
    /// Whether codes are the vectors themselves, so that distances are the oracle's.
    pub is_exact: bool,
    /// Whether the index stores the caller's ids in its lists. Under the id map of a wrapper, ties
    /// are ordered by insertion, so its vectors should have none.
    pub keeps_ids: bool,
    /// Generates vectors from a seed, their number and their dimension.
    pub vectors: fn(u64, usize, usize) -> Vectors,
}

impl fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("name", &self.name).field("codec", &self.codec).finish_non_exhaustive()
    }
}

/// Number of occurrences of each kind of step, call and parameter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    /// Returns the number of occurrences of a kind. `"history"` counts the histories.
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

/// Returns the kinds of steps, calls and parameters in histories of an inverted-file index with
/// every ability. A few hundred histories should contain each of them.
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

/// Runs a generated history for each seed, and returns what occurred in them.
///
/// A history has all kinds of writes that the index supports: add (plain, with ids, to given lists,
/// codes), remove, update, upsert, merge, copies of subsets, sorted and permuted lists, direct
/// maps, reloading, clones, and calls that fail. Of a clone and its original, one continues the
/// history and the other must stay unchanged.
///
/// After each step the contents, searches with random parameters of every kind, and returned
/// vectors and codes are compared with a model, a plain vector of entries. All must be
/// bit-identical.
///
/// # Panics
/// If the index differs from the model or a call fails. The message names subject, seed, step and
/// the last call.
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

/// The position in a history, printed if the index itself panics, whose message does not name it.
struct Noted(String);

impl Drop for Noted {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the panic occurred in {}", self.0);
        }
    }
}
