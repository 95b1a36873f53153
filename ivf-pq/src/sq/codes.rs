//! Distances to codes that lie anywhere in memory, each of them contiguous.

use super::numbers::Numbers;
use ivf_cpu::kernels::{Distance, distances_of_query};
use ivf_cpu::simd::{Kernel, LANES, Simd};

/// Number of codes whose memory is read while the distances to other codes are computed.
const AHEAD: usize = 32;

/// Decodes codes, 16 at a time, and computes their distances from a query.
pub(super) struct DistancesTo<'a, D, N> {
    pub(super) distance: D,
    pub(super) numbers: N,
    pub(super) query: &'a [f32],
    pub(super) steps: &'a [f32],
    pub(super) bases: &'a [f32],
    pub(super) codes: &'a [&'a [u8]],
    pub(super) out: &'a mut [f32],
}

impl<D: Distance, N: Numbers> Kernel for DistancesTo<'_, D, N> {
    type Output = ();
    const BYTES: bool = false;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { distance, numbers, query, steps, bases, codes, out } = self;
        let dim = query.len();
        let mut decoded = vec![0.0; LANES.min(codes.len()) * dim];
        codes.iter().take(AHEAD).for_each(|code| simd.prefetch(code));
        for (i, (some, out)) in codes.chunks(LANES).zip(out.chunks_mut(LANES)).enumerate() {
            codes.iter().skip(i * LANES + AHEAD).take(LANES).for_each(|code| simd.prefetch(code));
            for (code, row) in some.iter().zip(decoded.chunks_exact_mut(dim)) {
                decode(simd, numbers, code, steps, bases, row);
            }
            distances_of_query(simd, distance, query, decoded.chunks_exact(dim).take(some.len()), out);
        }
    }
}

/// Decodes a code as `number * step + base`.
#[inline(always)]
pub(super) fn decode<S: Simd, N: Numbers>(
    simd: S,
    numbers: N,
    code: &[u8],
    steps: &[f32],
    bases: &[f32],
    row: &mut [f32],
) {
    let bases = &bases[..steps.len()];
    let (row, last) = row.as_chunks_mut::<LANES>();
    let (steps, last_steps) = steps.as_chunks::<LANES>();
    let (bases, last_bases) = bases.as_chunks::<LANES>();
    let coefficients = steps.iter().zip(bases);
    for (i, (x, (steps, bases))) in row.iter_mut().zip(coefficients).enumerate() {
        let number = numbers.of_code(simd, code, i * LANES);
        *x = simd.to_array(simd.mul_add(simd.load(steps), number, simd.load(bases)));
    }
    let coefficients = last_steps.iter().zip(last_bases);
    for (i, (x, (step, base))) in last.iter_mut().zip(coefficients).enumerate() {
        *x = step.mul_add(numbers.get(code, row.len() * LANES + i), *base);
    }
}
