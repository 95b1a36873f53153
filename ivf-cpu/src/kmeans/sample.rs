//! Sampling of training points.

use super::Random;
use ivf_core::{AnyRows, Rows};
use rand::{RngExt, SeedableRng};

/// Memory of a number while [`choose`] draws it, in bytes: in a set, whose nodes are two thirds
/// full, then in an array.
pub(crate) const CHOSEN: usize = 24;

/// Returns `k` of the numbers `0..n` in ascending order, each at most once (Floyd's method, which
/// needs no array of `n`).
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

/// Returns at most `most` of the rows as `f32`, drawn without repetition and in their order. If
/// they are `f32` and no more than `most`, returns all of them without a copy.
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

/// Returns at most `most` of the rows as `f32`, drawn with this seed, without repetition and in
/// their order. Rows that need no copy are returned as they are.
///
/// ```
/// use ivf_core::Rows;
/// use ivf_cpu::{sample_memory, sample_rows};
/// let bytes: Vec<u8> = (0..100).collect();
/// let mut scratch = Vec::new();
/// let sample = sample_rows(Rows::new(&bytes, 2)?.into(), 10, 1234, &mut scratch);
/// assert_eq!((sample.len(), sample.dim()), (10, 2));
/// assert!(sample.iter().all(|row| row[1] == row[0] + 1.0));
/// assert!(sample_memory(10, 2) >= size_of_val(sample.as_slice()));
/// # Ok::<(), ivf_core::RowsError>(())
/// ```
pub fn sample_rows<'s>(rows: AnyRows<'s>, most: usize, seed: u64, scratch: &'s mut Vec<f32>) -> Rows<'s, f32> {
    sample(rows, most, &mut Random::seed_from_u64(seed), scratch)
}

/// Returns the memory in bytes of drawing `count` of more rows of `dim` dimensions, with
/// [`sample_rows`].
pub fn sample_memory(count: usize, dim: usize) -> usize {
    count * (dim * size_of::<f32>() + CHOSEN)
}

/// Returns the number, among `n` rows, of row `i` of a [`sample`] of at most `most` of them that a
/// new generator with this seed drew.
pub(crate) fn number(n: usize, most: usize, seed: u64, i: usize) -> usize {
    if n <= most { i } else { choose(n, most, &mut Random::seed_from_u64(seed))[i] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_a_sample_is_the_row_of_its_number() {
        let data: Vec<f32> = (0..100).map(|i| i as f32).collect();
        let rows = Rows::new(&data, 1).unwrap();
        for (most, seed) in [(1, 5), (7, 5), (99, 6), (100, 7), (101, 8)] {
            let mut scratch = Vec::new();
            let sample = sample(rows.into(), most, &mut Random::seed_from_u64(seed), &mut scratch);
            for (i, row) in sample.iter().enumerate() {
                assert_eq!(rows.row(number(100, most, seed, i)), row, "{most}");
            }
        }
    }
}
