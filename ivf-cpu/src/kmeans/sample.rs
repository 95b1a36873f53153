//! Drawing training points.

use super::Random;
use ivf_core::{AnyRows, Rows};
use rand::RngExt;

/// Bytes of a number while it is being drawn: in a set, whose nodes are two thirds full, then in an array.
pub(crate) const CHOSEN: usize = 24;

/// `k` of the numbers `0..n`, each at most once, ascending (Floyd's method: no array of n).
pub(crate) fn choose(n: usize, k: usize, random: &mut Random) -> Vec<usize> {
    let mut chosen = std::collections::BTreeSet::new();
    for last in n - k..n {
        let drawn = random.random_range(0..=last as u64) as usize;
        if !chosen.insert(drawn) {
            chosen.insert(last);
        }
    }
    chosen.into_iter().collect()
}

/// At most `most` of the rows, drawn without repetition and in their order, as `f32`; all of them without a copy if they are
/// `f32` and few enough.
pub(crate) fn sample<'s>(
    rows: AnyRows<'s>,
    most: usize,
    random: &mut Random,
    scratch: &'s mut Vec<f32>,
) -> Rows<'s, f32> {
    if rows.len() <= most {
        return rows.to_f32(scratch);
    }
    let mut one = Vec::new();
    scratch.reserve(most * rows.dim());
    for i in choose(rows.len(), most, random) {
        scratch.extend_from_slice(rows.slice(i..i + 1).to_f32(&mut one).as_slice());
    }
    Rows::new(scratch, rows.dim()).expect("whole rows")
}
