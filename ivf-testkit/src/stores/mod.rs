//! Any store of inverted lists against a model.
//!
//! | file | what |
//! |---|---|
//! | `model` | what a store should hold, and the comparison with what it holds |
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

/// Makes an empty store of so many lists with codes laid out so.
pub type MakeStore<'a> = &'a dyn Fn(usize, &CodeLayout) -> Box<dyn InvertedLists>;

const STEPS: usize = 150;
/// A snapshot is taken every so many steps; the last ones are kept.
const SNAPSHOT_STEPS: usize = 15;
const SNAPSHOTS: usize = 2;
/// Bytes that emptied lists may take more than lists that never held anything.
const EMPTIED: usize = 4096;

/// Runs generated histories of writes (append, truncate, put, remove, replace, clear) against a
/// model, over several [layouts](layouts::samples), and compares everything after each step:
/// lengths, ids, codes, planes byte by byte, the moves that a removal reports, and that a call
/// which fails (for a list or an entry that is not there, with codes of a wrong length) changes
/// nothing.
///
/// A store that gives snapshots is asked for one now and then: while the store is written to, it
/// stays as the model was at that moment, and what is written to it does not show in the store.
/// Emptied lists give their memory back.
///
/// # Panics
/// If the store has no write half or differs from the model; the message names layout, seed, step
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

/// Earlier states of a store, each with the step it is of and what it should hold.
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

    /// Compares them with what they should hold; then writes to them, if asked to.
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
