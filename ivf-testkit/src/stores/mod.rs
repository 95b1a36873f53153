//! The suite for stores of inverted lists, against a model.
//!
//! | file | content |
//! |---|---|
//! | `model` | the expected content of a store, and the comparison with it |
//! | `history` | generated writes, and the errors that must change nothing |
//! | `export` | a store exported, read back, damaged |

mod export;
mod history;
mod model;

pub use export::{ReadStore, check_store_export};

use crate::data::random;
use crate::layouts;
use history::History;
use ivf_core::error::StoreError;
use ivf_core::{CodeLayout, InvertedLists};

/// A function that makes an empty store of this number of lists, with codes in this layout.
pub type MakeStore<'a> = &'a dyn Fn(usize, &CodeLayout) -> Box<dyn InvertedLists>;

const STEPS: usize = 150;
/// Number of steps between two snapshots, and number of snapshots that are kept.
const SNAPSHOT_STEPS: usize = 15;
const SNAPSHOTS: usize = 2;
/// Number of bytes that emptied lists may take beyond lists that never held anything.
const EMPTIED: usize = 4096;

/// Runs generated histories of writes (append, truncate, put, remove, replace, clear) against a
/// model, over several [layouts](layouts::samples).
///
/// After each step it compares lengths, ids, codes, planes byte by byte, and the moves that a
/// removal reports. A call that fails (an unknown list or entry, codes of a wrong length) must
/// change nothing.
///
/// If the store supports snapshots, some are taken on the way. Writes to the store must not show in
/// a snapshot, and writes to a snapshot must not show in the store. Emptied lists must give their
/// memory back.
///
/// # Panics
/// If the store has no write half or differs from the model. The message names layout, seed, step
/// and list.
pub fn check_store(make: MakeStore<'_>) {
    for layout in layouts::samples() {
        for (seed, nlist) in [(1, 1), (2, 7), (3, 7)] {
            let mut store = make(nlist, &layout);
            let mut history = History::new(nlist, &layout, random(seed));
            history.check(&*store, &format!("{layout}, {nlist} lists, new"));
            let mut snapshots = Snapshots::default();
            for step in 0..STEPS {
                let at = format!("{layout}, {nlist} lists, seed {seed}, step {step}");
                if step % SNAPSHOT_STEPS == 0 {
                    snapshots.take(&*store, &history, step, &at);
                }
                history.step(&mut *store, &at);
                if step % 5 == 4 {
                    snapshots.check(step % 2 == 0, &at);
                    history.check(&*store, &format!("{at}, after writes to a snapshot"));
                }
            }
            snapshots.check(false, &format!("{layout}, {nlist} lists, seed {seed}, at the end"));
        }
        check_emptied(make, &layout);
    }
}

/// Earlier states of a store, each with its step and its expected content.
#[derive(Default)]
struct Snapshots(Vec<(usize, Box<dyn InvertedLists>, History)>);

impl Snapshots {
    fn take(&mut self, store: &dyn InvertedLists, history: &History, step: usize, at: &str) {
        let snapshot = match store.snapshot() {
            Ok(snapshot) => snapshot,
            Err(StoreError::NoSnapshot { tag }) if tag == store.tag() => return,
            Err(error) => panic!("{at}: taking a snapshot: {error}"),
        };
        assert_eq!(snapshot.tag(), store.tag(), "{at}: tag of a snapshot");
        self.0.push((step, snapshot, history.clone()));
        if self.0.len() > SNAPSHOTS {
            self.0.remove(0);
        }
    }

    /// Compares the snapshots with their expected content, then writes to them if `writes` is set.
    fn check(&mut self, writes: bool, at: &str) {
        for (step, snapshot, history) in &mut self.0 {
            let at = format!("{at}: the snapshot of step {step}");
            history.check(&**snapshot, &at);
            if writes {
                history.step(&mut **snapshot, &at);
            }
        }
    }
}

fn check_emptied(make: MakeStore<'_>, layout: &CodeLayout) {
    const LISTS: usize = 5;
    let (mut store, empty) = (make(LISTS, layout), make(LISTS, layout).memory());
    let mut history = History::new(LISTS, layout, random(4));
    for way in 0..History::WAYS {
        let at = format!("{layout}, {LISTS} lists, emptied");
        let what = history.empty_lists(&mut *store, way, &at);
        let memory = store.memory();
        assert!(
            memory <= empty + EMPTIED,
            "{layout}: after {what}, {memory} bytes are left, and lists that never held anything take {empty}"
        );
    }
}
