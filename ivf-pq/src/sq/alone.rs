//! Scan for one query alone. For inner products with codes of bytes it has a first pass: products
//! of whole numbers rule out most codes, and only the others get their exact distance.

use super::layout::Column;
use super::numbers::{Coded, Numbers};
use ivf_core::scanner::{ScanQuery, ScanRange};
use ivf_cpu::kernels::{BLOCK, Distance};
use ivf_cpu::simd::{Kernel, LANES, Simd};

/// Maximum number of dimensions whose products have a sum of 32 bits.
const MAX_DIM: usize = 1 << 16;

/// Largest number of a code.
const MOST: f64 = 255.0;

/// Returns whether there is a first pass for a distance and numbers: for inner products with bytes.
pub(super) const fn serves<D: Distance, N: Numbers>() -> bool {
    N::ARE_BYTES && matches!(D::BY_PRODUCT, Some((0.0, 1.0)))
}

/// A query in bytes. With `c` the numbers of a code and `s` the steps, its distance is
///
/// ```text
/// - sum of q (c s + base)  =  - sum of (q s) c  - sum of q base
///                          >= - delta * (sum of k c)  - excess  - sum of q base
///
/// k      = q s / delta, rounded to a signed byte
/// excess = the most that the sum of (q s - delta k) c can be, for bytes c
/// ```
///
/// The sum of `k c` is exact in whole numbers. So a code whose sum is too small for the threshold
/// is certainly too far. (Time of a query over glove-angular, `IVF1024,SQ8`: 0.037 ms at nprobe 16,
/// and 0.095 ms at 64. Without the first pass: 0.047 and 0.176 ms.)
#[derive(Debug, Default)]
pub(super) struct ByteQuery {
    /// The bytes `k`, four for each word of a code.
    bytes: Vec<[i8; 4]>,
    delta: f64,
    excess: f64,
    /// Of the current list: the sum of `q base`, and a bound of the rounding errors of a distance.
    constant: f64,
    rounding: f64,
}

impl ByteQuery {
    /// Sets the query.
    pub(super) fn set(&mut self, query: &[f32], steps: &[f32]) {
        let weight = |d: usize| f64::from(query[d]) * f64::from(steps[d]);
        let most = (0..query.len()).fold(0.0_f64, |most, d| most.max(weight(d).abs()));
        self.delta = if query.len() <= MAX_DIM { most / 127.0 } else { 0.0 };
        self.excess = 0.0;
        self.bytes.clear();
        self.bytes.resize(query.len().div_ceil(4), [0; 4]);
        if self.is_usable() {
            for d in 0..query.len() {
                let byte = (weight(d) / self.delta).round();
                self.bytes[d / 4][d % 4] = byte as i8;
                self.excess += MOST * (weight(d) - self.delta * byte).max(0.0);
            }
        }
    }

    /// Returns whether the query has bytes: if it is not zero.
    fn is_usable(&self) -> bool {
        self.delta > 0.0 && self.delta.is_finite()
    }

    /// Sets the list, by the bases of its vectors.
    pub(super) fn set_list(&mut self, query: &[f32], steps: &[f32], bases: &[f32]) {
        // Eight sums side by side, so that they need not wait for each other.
        let (mut constants, mut sizes) = ([0.0_f64; 8], [0.0_f64; 8]);
        for ((query, steps), bases) in query.chunks(8).zip(steps.chunks(8)).zip(bases.chunks(8)) {
            for i in 0..query.len() {
                let (q, base) = (f64::from(query[i]), f64::from(bases[i]));
                constants[i] += q * base;
                sizes[i] += q.abs() * (1.0 + base.abs() + MOST * f64::from(steps[i]));
            }
        }
        self.constant = constants.iter().sum();
        // Each dimension has two roundings, of at most half of the last place of the sums so far;
        // the bound is twice that. The 1 above and below is for underflow.
        let (dim, size) = (query.len() as f64, sizes.iter().sum::<f64>());
        self.rounding = 2.0 * (dim + 8.0) * (f64::from(f32::EPSILON) * size + 1e-37 * (1.0 + size));
        if size > f64::from(f32::MAX) / 4.0 {
            // Sums may overflow.
            self.rounding = f64::INFINITY;
        }
    }

    /// Returns the least sum of a code whose distance can be at most `threshold`.
    #[inline(always)]
    fn least_sum(&self, threshold: f32) -> i32 {
        let least = (-f64::from(threshold) - self.constant - self.excess - self.rounding) / self.delta;
        // Two less, for the roundings of these computations.
        if least.is_nan() { i32::MIN } else { (least.floor() - 2.0) as i32 }
    }
}

/// Scan of a range for one query, which decodes in registers. It takes blocks in pairs: a pair has
/// four registers of sums. One block has two, and each addition waits for the one before. (Decoding
/// pairs into columns in the cache took 1.6 times as long.)
pub(super) struct ScanAlone<'a, 'q, D, N> {
    pub(super) distance: D,
    pub(super) numbers: N,
    /// The query in bytes, for a first pass.
    pub(super) bytes: Option<&'a ByteQuery>,
    pub(super) steps: &'a [f32],
    pub(super) bases: &'a [f32],
    pub(super) scan_range: &'a ScanRange<'a>,
    pub(super) query: ScanQuery<'q>,
}

impl<D: Distance, N: Numbers> Kernel for ScanAlone<'_, '_, D, N> {
    type Output = ();
    // Only the first pass has products of bytes.
    const BYTES: bool = serves::<D, N>();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let bytes = self.bytes.filter(|bytes| S::HAS_DOT4 && bytes.is_usable());
        let least_sum = |threshold: f32| bytes.map_or(0, |bytes| bytes.least_sum(threshold));
        let mut least = least_sum(self.query.sink.threshold());
        // A block that waits for another one, with a mask of the lanes to compare.
        let mut waiting = None;
        for b in self.scan_range.blocks() {
            let mut lanes = self.query.selected(self.scan_range, b * BLOCK, BLOCK) as u32;
            if lanes == 0 {
                continue;
            }
            if const { serves::<D, N>() }
                && let Some(bytes) = bytes
            {
                lanes &= at_least(simd, bytemuck::cast_slice(self.block(b)), &bytes.bytes, least);
                if lanes == 0 {
                    continue;
                }
            }
            if const { N::IN_PAIRS } {
                let Some(other) = waiting.take() else {
                    waiting = Some((b, lanes));
                    continue;
                };
                self.compare::<S, 2, 4>(simd, [other, (b, lanes)]);
            } else {
                self.compare::<S, 1, 2>(simd, [(b, lanes)]);
            }
            least = least_sum(self.query.sink.threshold());
        }
        if let Some(last) = waiting {
            self.compare::<S, 1, 2>(simd, [last]);
        }
    }
}

impl<'a, D: Distance, N: Numbers> ScanAlone<'a, '_, D, N> {
    #[inline(always)]
    fn block(&self, b: usize) -> &'a [N::Column] {
        let columns = self.scan_range.layout().block_bytes(0) / size_of::<N::Column>();
        &bytemuck::cast_slice::<u8, N::Column>(self.scan_range.segment().plane(0))[b * columns..][..columns]
    }

    /// Computes the distances of `M` blocks in `H = 2 M` registers, and passes those in the masks
    /// of lanes that are near to the sink.
    #[inline(always)]
    fn compare<S: Simd, const M: usize, const H: usize>(&mut self, simd: S, pair: [(usize, u32); M]) {
        let blocks = pair.map(|(b, _)| self.block(b));
        let (steps, bases) = (self.steps, &self.bases[..self.steps.len()]);
        let coded = Coded { numbers: self.numbers, blocks, steps, bases };
        let threshold = self.query.sink.threshold();
        let [sums] = self.distance.distances::<S, _, 1, H>(simd, [self.query.query], coded, 0);
        for (sums, (b, lanes)) in sums.as_chunks::<2>().0.iter().zip(pair) {
            let near = simd.at_most(sums[0], threshold) | simd.at_most(sums[1], threshold) << LANES;
            let mut lanes = lanes & near;
            if lanes != 0 {
                let distances: [f32; BLOCK] = bytemuck::must_cast(sums.map(|sums| simd.to_array(sums)));
                while lanes != 0 {
                    let lane = lanes.trailing_zeros() as usize;
                    lanes &= lanes - 1;
                    self.query.sink.push(self.scan_range.neighbor(b * BLOCK + lane, distances[lane]));
                }
            }
        }
    }
}

/// Returns a bit mask of the codes of a block whose sum of products is at least `least`.
#[inline(always)]
fn at_least<S: Simd>(simd: S, block: &[Column], bytes: &[[i8; 4]], least: i32) -> u32 {
    let mut sums = [simd.load_i32(&[0; LANES]); 2];
    for (column, bytes) in block.iter().zip(bytes) {
        let halves = bytemuck::must_cast_ref::<Column, [[[u8; 4]; LANES]; 2]>(column);
        sums[0] = simd.dot4_signed(sums[0], &halves[0], *bytes);
        sums[1] = simd.dot4_signed(sums[1], &halves[1], *bytes);
    }
    simd.at_least_i32(sums[0], least) | simd.at_least_i32(sums[1], least) << LANES
}
