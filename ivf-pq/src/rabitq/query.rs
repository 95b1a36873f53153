//! What a scan needs of a query: tables of bytes for the signs, and the query itself.

use super::code::{Form, WORD};
use ivf_cpu::simd::{Kernel, Simd};

/// Number of tables whose sums of bytes fit 16 bits.
pub(super) const TOGETHER: usize = 256;

/// A query, relative to the mean of the codec for everything but the products.
#[derive(Clone, Debug, Default)]
pub(super) struct Query {
    /// For each four dimensions, the sums of the coordinates whose signs are positive, in bytes.
    pub(super) tables: Vec<[u8; 16]>,
    /// The coordinates, and zeros up to a whole number of words.
    pub(super) coordinates: Vec<[f32; WORD]>,
    /// The product of signs with the query is `step` times the sum of bytes plus `low`.
    pub(super) step: f32,
    pub(super) low: f32,
    /// Sum of the coordinates.
    pub(super) sum: f32,
    /// Squared norm.
    pub(super) squares: f32,
}

/// Makes the tables of a query.
pub(super) struct SetQuery<'a> {
    pub(super) form: Form,
    pub(super) vector: &'a [f32],
    /// Number of bits to which the coordinates are rounded before they are added, or 0.
    pub(super) bits: u32,
    pub(super) query: &'a mut Query,
}

impl Kernel for SetQuery<'_> {
    type Output = ();
    const BYTES: bool = false;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Self { form, vector, bits, query } = self;
        query.coordinates.clear();
        query.coordinates.resize(form.words(), [0.0; WORD]);
        query.coordinates.as_flattened_mut()[..vector.len()].copy_from_slice(vector);
        query.sum = vector.iter().sum();
        query.squares = vector.iter().map(|x| x * x).sum();

        // Each byte of signs has two tables.
        query.tables.clear();
        query.tables.resize(2 * form.sign_bytes(), [0; 16]);
        let mut rounded = query.coordinates.clone();
        if bits > 0 {
            round(rounded.as_flattened_mut(), vector.len(), bits);
        }
        let fours = rounded.as_flattened().as_chunks::<4>().0;
        let (mut widest, mut low) = (0.0_f32, 0.0);
        for four in fours {
            widest = widest.max(four.iter().map(|x| x.abs()).sum());
            low += four.iter().map(|x| x.min(0.0)).sum::<f32>();
        }
        let step = (widest / 255.0).max(f32::MIN_POSITIVE);
        for (table, four) in query.tables.iter_mut().zip(fours) {
            let least = four.iter().map(|x| x.min(0.0)).sum::<f32>();
            // The sums of all subsets of the four coordinates.
            let mut sums = [0.0_f32; 16];
            for (bit, &x) in four.iter().enumerate() {
                for subset in 1 << bit..2 << bit {
                    sums[subset] = sums[subset - (1 << bit)] + x;
                }
            }
            *table = sums.map(|sum| ((sum - least) / step + 0.5) as u8);
        }
        // A sign is 2 bit - 1.
        (query.step, query.low) = (2.0 * step, 2.0 * low - rounded.as_flattened().iter().sum::<f32>());
    }
}

/// Rounds the first `len` numbers to `2^bits` values between the least and the greatest.
#[inline(always)]
fn round(numbers: &mut [f32], len: usize, bits: u32) {
    let numbers = &mut numbers[..len];
    let (least, most) =
        numbers.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &x| (low.min(x), high.max(x)));
    let step = (most - least) / ((1 << bits) - 1) as f32;
    if step > 0.0 && step.is_finite() {
        numbers.iter_mut().for_each(|x| *x = ((*x - least) / step).round() * step + least);
    }
}
