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
use ivf_core::{CodeLayout, InvertedLists};

/// Makes an empty store of so many lists with codes laid out so.
pub type MakeStore<'a> = &'a dyn Fn(usize, &CodeLayout) -> Box<dyn InvertedLists>;

const STEPS: usize = 150;

/// Runs generated histories of writes (append, truncate, put, remove, replace, clear) against a model, over several
/// [layouts](layouts::samples), and compares everything after each step: lengths, ids, codes, planes byte by byte, the moves
/// that a removal reports, and that a call which fails changes nothing.
///
/// # Panics
/// If the store has no write half or differs from the model; the message names layout, seed, step and list.
pub fn check_store(make: MakeStore<'_>) {
    for layout in layouts::samples() {
        for (seed, nlist) in [(1, 1), (2, 7), (3, 7)] {
            let mut store = make(nlist, &layout);
            let mut history = History::new(nlist, &layout, random(seed));
            history.check(&*store, &format!("{layout}, {nlist} lists, new"));
            for step in 0..STEPS {
                let at = format!("{layout}, {nlist} lists, seed {seed}, step {step}");
                history.step(&mut *store, &at);
            }
        }
    }
}
