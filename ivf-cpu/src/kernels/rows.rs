//! Vectors in rows: the same folds, several side by side.

use super::Distance;
use ivf_core::Element;

/// Pairs whose folds run side by side: each is one chain of dependent steps, so one alone would wait for itself.
const CHAINS: usize = 8;

/// The distance of each pair of a query and a row.
///
/// # Panics
/// If the vectors differ in length, or there is not one place in `out` a pair.
#[inline(always)]
pub fn distances_to_rows<'a, D: Distance, T: Element>(
    distance: D,
    mut pairs: impl ExactSizeIterator<Item = (&'a [f32], &'a [T])>,
    out: &mut [f32],
) {
    assert_eq!(pairs.len(), out.len(), "a place a pair");
    for out in out.chunks_mut(CHAINS) {
        let first = pairs.next().expect("as many pairs as places");
        // Past the end, the first pair again.
        let mut chunk = [first; CHAINS];
        chunk[1..out.len()].fill_with(|| pairs.next().expect("as many pairs as places"));
        let dim = first.0.len();
        assert!(chunk.iter().all(|(q, row)| q.len() == dim && row.len() == dim), "vectors of the same dimension");
        let chunk = chunk.map(|(query, row)| (&query[..dim], &row[..dim]));
        let mut sums = [D::Sum::default(); CHAINS];
        for d in 0..dim {
            for (sum, (query, row)) in sums.iter_mut().zip(chunk) {
                *sum = distance.step(*sum, query[d], row[d].to_f32());
            }
        }
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out = distance.finish(sum));
    }
}

/// The squared Euclidean norm: a fold over the dimensions in order, as a distance is.
#[inline(always)]
pub fn squared_norm<T: Element>(row: &[T]) -> f32 {
    row.iter().map(|x| x.to_f32()).fold(0.0, |sum, x| x.mul_add(x, sum))
}
