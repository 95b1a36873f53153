//! Scan of a list: first by signs alone, then by all bits for the codes that may be near.

use super::code::{Code, Form, put_row};
use super::query::{Query, TOGETHER};
use super::total;
use crate::scan::{BLOCK, prefetch_ids};
use ivf_core::Sink;
use ivf_core::scanner::ScanRange;
use ivf_cpu::simd::{Kernel, LANES, Lanes, Simd};

/// Number of blocks whose low bits are read from memory while others are scanned.
const BLOCKS: usize = 4;

/// A query and the terms that all codes of a list have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct InList<'a> {
    pub(super) form: Form,
    pub(super) query: &'a Query,
    /// Term that the distances of all codes have in common.
    pub(super) start: f32,
    /// Error of an estimate by signs, for an error factor of 1.
    pub(super) error: f32,
}

impl InList<'_> {
    /// Returns the estimates by the signs of 16 codes, and their lower bounds. Without low bits,
    /// the bound is the estimate itself.
    #[inline(always)]
    fn by_signs<S: Simd>(&self, simd: S, sums: S::F32, factors: [&[f32; LANES]; 3]) -> S::F32 {
        let product = simd.mul_add(sums, simd.splat(self.query.step), simd.splat(self.query.low));
        let [add, rescale, error] = factors;
        let estimate = simd.mul_add(product, simd.load(rescale), simd.load(add));
        let estimate = simd.add(estimate, simd.splat(self.start));
        if self.form.low == 0 {
            return estimate;
        }
        simd.neg_mul_add(simd.splat(self.error), simd.load(error), estimate)
    }

    /// Returns the estimate by all bits. It is at least `bound`, the lower bound by the signs, so
    /// that a code that the bound excludes is one that its distance excludes, whatever was scanned
    /// before.
    #[inline(always)]
    fn by_all_bits<S: Simd>(&self, simd: S, signs: impl Fn(usize) -> u8, row: &[u8], bound: f32) -> f32 {
        let product = match self.form.low {
            1 => self.product::<S, 1>(simd, signs, row),
            2 => self.product::<S, 2>(simd, signs, row),
            3 => self.product::<S, 3>(simd, signs, row),
            4 => self.product::<S, 4>(simd, signs, row),
            5 => self.product::<S, 5>(simd, signs, row),
            6 => self.product::<S, 6>(simd, signs, row),
            7 => self.product::<S, 7>(simd, signs, row),
            _ => self.product::<S, 8>(simd, signs, row),
        };
        let float = |i: usize| f32::from_le_bytes([row[i], row[i + 1], row[i + 2], row[i + 3]]);
        let distance = product.mul_add(float(4), float(0)) + self.start;
        // A bound that is NaN excludes the code.
        if distance >= bound { distance } else { bound }
    }

    /// Returns the product of the numbers of a code with the query.
    #[inline(always)]
    fn product<S: Simd, const LOW: usize>(&self, simd: S, signs: impl Fn(usize) -> u8, row: &[u8]) -> f32 {
        let (mut high, mut sums) = (simd.splat(0.0), [simd.splat(0.0); LOW]);
        let words = row[8..].as_chunks::<2>().0.as_chunks::<LOW>().0;
        for (w, (coordinates, words)) in self.query.coordinates.iter().zip(words).enumerate() {
            let x = simd.load(coordinates);
            let sign = u16::from_le_bytes([signs(2 * w), signs(2 * w + 1)]);
            high = simd.add_where(high, sign, x);
            for (sum, word) in sums.iter_mut().zip(words) {
                *sum = simd.add_where(*sum, u16::from_le_bytes(*word), x);
            }
        }
        // From the highest bit on, so that the lanes are added only once. (Two chains, of even and
        // of odd bits, were a twelfth slower.)
        let (mut product, two) = (high, simd.splat(2.0));
        for p in 0..LOW {
            product = simd.mul_add(product, two, sums[LOW - 1 - p]);
        }
        // The numbers count from zero, their values from the middle.
        total(simd.to_array(product)) - ((2 << LOW) - 1) as f32 / 2.0 * self.query.sum
    }
}

/// Distance of one code.
pub(super) struct OneCode<'a> {
    pub(super) list: InList<'a>,
    pub(super) code: &'a [u8],
}

impl Kernel for OneCode<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let Self { list, code } = self;
        let code = Code(list.form, code);
        let signs = code.signs();
        let mut sum = 0.0;
        for (tables, signs) in list.query.tables.chunks(TOGETHER).zip(signs.chunks(TOGETHER / 2)) {
            let entries = tables.as_chunks::<2>().0.iter().zip(signs);
            let entries = entries.map(|([low, high], sign)| {
                u32::from(low[usize::from(sign & 15)]) + u32::from(high[usize::from(sign >> 4)])
            });
            sum += entries.sum::<u32>() as f32;
        }
        let factor = |i: usize| [if i < list.form.factors() { code.factor(i) } else { 0.0 }; LANES];
        let factors = [factor(0), factor(1), factor(2)];
        let bounds = list.by_signs(simd, simd.splat(sum), std::array::from_fn(|i| &factors[i]));
        let bound = simd.to_array(bounds)[0];
        if list.form.low == 0 {
            return bound;
        }
        // The row that a list would store.
        let mut row = vec![0; list.form.row_bytes()];
        put_row(list.form, code.rest(), &mut row);
        list.by_all_bits(simd, |i| signs.get(i).copied().unwrap_or(0), &row, bound)
    }
}

/// Scan of a range of a list for one query.
pub(super) struct ScanBits<'a, 's> {
    pub(super) list: InList<'a>,
    pub(super) scan_range: &'a ScanRange<'a>,
    pub(super) sink: &'s mut Sink,
}

impl Kernel for ScanBits<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let mut left = self.scan_range.blocks();
        while !left.is_empty() {
            // Blocks without selected codes cost nothing.
            let Some(first) = self.scan_range.first_block(left.clone()) else { return };
            // One block at a time gives a threshold as early as possible.
            let together = if self.sink.threshold() < f32::MAX { left.end - first } else { 1 };
            left.start = first + self.blocks(simd, first, together.min(BLOCKS));
        }
    }
}

impl ScanBits<'_, '_> {
    /// Scans `count` blocks, at most [`BLOCKS`]. Returns `count`.
    #[inline(always)]
    fn blocks<S: Simd>(&mut self, simd: S, first: usize, count: usize) -> usize {
        let form = self.list.form;
        let segment = self.scan_range.segment();
        let columns = bytemuck::cast_slice::<u8, [u8; BLOCK]>(segment.plane(0));
        let factors = bytemuck::cast_slice::<u8, [f32; BLOCK]>(segment.plane(1));
        let (mut bounds, mut near) = ([[0.0; BLOCK]; BLOCKS], [0; BLOCKS]);
        for i in 0..count {
            let block = first + i;
            let columns = &columns[block * form.sign_bytes()..][..form.sign_bytes()];
            let factors = &factors[block * form.factors()..][..form.factors()];
            near[i] = self.scan_range.selected(block * BLOCK, BLOCK);
            if near[i] != 0 {
                near[i] &= self.block(simd, columns, factors, &mut bounds[i]);
            }
            if form.low == 0 {
                prefetch_ids(simd, self.scan_range, block, near[i]);
            } else {
                for lane in Lanes(near[i]) {
                    simd.prefetch(row(segment.plane(2), form, block * BLOCK + lane));
                }
            }
        }
        for i in 0..count {
            let block = first + i;
            for lane in Lanes(near[i]) {
                let mut distance = bounds[i][lane];
                // The threshold may have fallen since.
                if form.low > 0 && distance <= self.sink.threshold() {
                    let columns = &columns[block * form.sign_bytes()..][..form.sign_bytes()];
                    let sign = |i: usize| columns.get(i).map_or(0, |column| column[lane]);
                    let row = row(segment.plane(2), form, block * BLOCK + lane);
                    distance = self.list.by_all_bits(simd, sign, row, distance);
                }
                if distance <= self.sink.threshold() {
                    self.sink.push(self.scan_range.neighbor(block * BLOCK + lane, distance));
                }
            }
        }
        count
    }

    /// Writes the lower bounds of the codes of a block by their signs. Returns a bit mask of those
    /// within the threshold.
    #[inline(always)]
    fn block<S: Simd>(
        &self,
        simd: S,
        columns: &[[u8; BLOCK]],
        factors: &[[f32; BLOCK]],
        bounds: &mut [f32; BLOCK],
    ) -> u64 {
        let mut totals = [simd.splat(0.0); BLOCK / LANES];
        for (tables, columns) in self.list.query.tables.chunks(TOGETHER).zip(columns.chunks(TOGETHER / 2)) {
            let [sums] = simd.half_byte_sums::<false, 1>(tables, [columns]);
            for (total, sums) in totals.iter_mut().zip(sums.as_chunks::<LANES>().0) {
                *total = simd.add(*total, simd.load_u16(sums));
            }
        }
        let mut near = 0;
        for (group, (&total, bounds)) in totals.iter().zip(bounds.as_chunks_mut::<LANES>().0).enumerate() {
            let factor = |i: usize| &factors[i.min(factors.len() - 1)].as_chunks::<LANES>().0[group];
            let found = self.list.by_signs(simd, total, [factor(0), factor(1), factor(2)]);
            *bounds = simd.to_array(found);
            near |= u64::from(simd.at_most(found, self.sink.threshold())) << (group * LANES);
        }
        near
    }
}

/// Returns the low bits of a code and their factors.
#[inline(always)]
fn row(plane: &[u8], form: Form, slot: usize) -> &[u8] {
    &plane[slot * form.row_bytes()..][..form.row_bytes()]
}
