//! Queries in bytes, and the bound that the products of their bytes give.

use super::numbers::Numbers;
use super::scale::Scale;
use ivf_cpu::simd::{Kernel, LANES, Simd};

/// Maximum number of dimensions whose products have a sum of 32 bits.
const MAX_DIM: usize = 1 << 16;

/// Smallest value of a unit of products. Below it, products of floats underflow.
const SMALLEST: f64 = 1e-30;

/// What a codec's scale contributes to the bound.
#[derive(Clone, Debug)]
pub(super) struct ByteScale {
    /// How many numbers a byte of a code has: 1 or 2.
    pub(super) per_byte: usize,
    /// Largest number of a code.
    most: f32,
    /// The inverses of the steps. 0 for a step of 0.
    inverses: Vec<f32>,
    /// Squared norm of the vector of the code of zeros.
    of_zeros: f64,
    /// Largest absolute value of a [term](term_of) of a code.
    largest: f64,
}

impl ByteScale {
    pub(super) fn new(scale: &Scale, per_byte: usize) -> Self {
        let most = ((1_u32 << (8 / per_byte)) - 1) as f32;
        let inverse = |step: &f32| if *step == 0.0 { 0.0 } else { 1.0 / step };
        let largest = |(step, base): (&f32, &f32)| {
            let width = f64::from(most) * f64::from(*step);
            width * (width + 2.0 * f64::from(base.abs()))
        };
        Self {
            per_byte,
            most,
            inverses: scale.steps().iter().map(inverse).collect(),
            of_zeros: scale.bases().iter().map(|base| f64::from(*base).powi(2)).sum(),
            largest: scale.steps().iter().zip(scale.bases()).map(largest).sum(),
        }
    }

    /// Returns the norm of a vector, without its centroid, whose code has this term.
    pub(super) fn norm(&self, term: f64) -> f64 {
        (term + self.of_zeros).sqrt()
    }

    pub(super) fn memory(&self) -> usize {
        self.inverses.capacity() * size_of::<f32>()
    }
}

/// Returns the term of a code in the bound: the squared norm of its vector, less that of the code
/// of zeros, both without a centroid.
pub(super) fn term_of(numbers: impl Numbers, code: &[u8], steps: &[f32], bases: &[f32]) -> f32 {
    // Eight sums side by side, so that they need not wait for each other.
    let mut sums = [0.0_f64; 8];
    for (eight, (steps, bases)) in steps.chunks(8).zip(bases.chunks(8)).enumerate() {
        for i in 0..steps.len() {
            let x = f64::from(numbers.get(code, 8 * eight + i)) * f64::from(steps[i]);
            sums[i] += x * (x + 2.0 * f64::from(bases[i]));
        }
    }
    let sum = sums.iter().sum::<f64>() as f32;
    sum.clamp(f32::MIN, f32::MAX)
}

/// A query in bytes. With `c` the numbers of a code, `s` the steps, `b` the bases without the
/// centroid and `B` those with it, the distances are
///
/// ```text
/// L2              sum of (q - B - s c)^2 = |q - B|^2 + term - 2 (sum of w c),   w = s (q - B + b)
/// inner product  -sum of q (B + s c)     = -q B - (sum of w c),                 w = s q
/// ```
///
/// The weights `w` are `unit * k` plus an error `e`, with whole numbers `k` from -127 to 127. The
/// sum of `k c` is exact. The vector of a code without its centroid is `r = s c + b`, and its
/// squared norm is `term + |b|^2`. So the rest is, by the inequalities of Cauchy and Schwarz and of
/// the means, for any `norm > 0`,
///
/// ```text
/// |sum of e c + (e/s) b|  =  |sum of (e/s) r|  <=  |e/s| |r|
///                        <=  |e/s| ((term + |b|^2) / norm + norm) / 2
/// ```
///
/// So a distance is at least `constant + of_term * term - unit * (sum of k c)`, see [`Terms`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ByteQuery {
    /// Value of a unit of products.
    unit: f64,
    /// Norm of `e/s`.
    error: f64,
    /// Sum of `(e/s) b`.
    shift: f64,
    /// Upper bound of the norm of the query.
    norm: f64,
}

/// What bounds the distances from a query to the codes of a list.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Terms {
    /// Units of products in 1, or 0 if there is no bound.
    per_unit: f64,
    constant: f64,
    /// `of_term` in units of products.
    of_term: f32,
    /// Bound of the rounding errors of a distance, and of those relative to a distance.
    rounding: f64,
    relative: f64,
    /// Bound of the rounding errors of a comparison with a limit.
    of_limit: f64,
}

/// Limit for the codes of a list: those that can be near have `sum + of_term * term <= most`, with
/// the sum of the products of their numbers with the negated bytes of the query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    pub(super) of_term: f32,
    pub(super) most: f32,
}

impl Terms {
    /// Returns the limit for distances of at most `threshold`, or `None` if every code may be near.
    #[inline(always)]
    pub(super) fn limit(&self, threshold: f32) -> Option<Limit> {
        let threshold = f64::from(threshold);
        let most = (threshold - self.constant + self.rounding + self.relative * threshold.abs()) * self.per_unit;
        let most = (most + self.of_limit + 4.0 * f64::from(f32::EPSILON) * most.abs()) as f32;
        (self.per_unit > 0.0 && most.is_finite()).then_some(Limit { of_term: self.of_term, most })
    }
}

/// What a query is compared with.
#[derive(Clone, Copy, Debug)]
pub(super) struct List<'a> {
    pub(super) scale: &'a ByteScale,
    pub(super) steps: &'a [f32],
    /// Bases without the centroid.
    pub(super) own: &'a [f32],
    /// Bases with the centroid of the list.
    pub(super) bases: &'a [f32],
}

/// Makes the bytes of queries, negated. With `IS_L2` they depend on the list. Otherwise they are
/// the same for every list.
pub(super) struct ToBytes<'a, Q, const IS_L2: bool> {
    pub(super) queries: Q,
    pub(super) list: List<'a>,
    /// The bytes, row after row, in [`quads`] groups of four.
    pub(super) rows: &'a mut Vec<[i8; 4]>,
    pub(super) out: &'a mut Vec<ByteQuery>,
}

impl<'q, Q: Iterator<Item = &'q [f32]>, const IS_L2: bool> Kernel for ToBytes<'_, Q, IS_L2> {
    type Output = ();
    const BYTES: bool = false;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { mut queries, list, rows, out } = self;
        let quads = quads(list.steps.len(), list.scale.per_byte);
        out.clear();
        let mut next = queries.next();
        while let Some(query) = next {
            // Queries are scattered over the batch, so the next one is prefetched.
            next = queries.next();
            next.iter().for_each(|query| simd.prefetch(query));
            let first = out.len() * quads;
            if rows.len() < first + quads {
                rows.resize(first + quads, [0; 4]);
            }
            let row = &mut rows[first..][..quads];
            out.push(bytes::<S, IS_L2>(simd, query, list, row));
            if list.scale.per_byte == 2 {
                take_apart(row);
            }
        }
    }
}

/// Returns the number of groups of four query bytes. Each word of a code is multiplied with
/// `per_byte` of them.
pub(super) fn quads(dim: usize, per_byte: usize) -> usize {
    dim.div_ceil(4 * per_byte) * per_byte
}

/// Reorders each eight bytes: the even dimensions first, then the odd ones. The lower half of byte
/// `i` of a word has dimension `2 i`, the upper half `2 i + 1`.
///
/// ```text
/// 0 1 2 3 | 4 5 6 7   ->   0 2 4 6 | 1 3 5 7
/// ```
#[inline(always)]
fn take_apart(row: &mut [[i8; 4]]) {
    for [a, b] in row.as_chunks_mut::<2>().0 {
        (*a, *b) = ([a[0], a[2], b[0], b[2]], [a[1], a[3], b[1], b[3]]);
    }
}

/// Makes the bytes of a query.
#[inline(always)]
fn bytes<S: Simd, const IS_L2: bool>(simd: S, query: &[f32], list: List<'_>, out: &mut [[i8; 4]]) -> ByteQuery {
    /// Added to a float of up to 22 bits, it rounds it to a whole number in the lowest bits.
    const ROUND: f32 = (3 << 22) as f32;
    let chunks = query.len().div_ceil(LANES);
    let mut most = simd.splat(0.0);
    for i in 0..chunks {
        most = simd.max(most, simd.abs(weights::<S, IS_L2>(simd, query, list, i)));
    }
    let unit = simd.to_array(most).iter().fold(0.0_f32, |most, x| most.max(*x)) / 127.0;
    let (per, round, zero) = (simd.splat(1.0 / unit), simd.splat(ROUND), simd.splat(0.0));
    let (mut errors, mut shifts, mut norms) = (zero, zero, zero);
    for i in 0..chunks {
        let weights = weights::<S, IS_L2>(simd, query, list, i);
        let rounded = simd.mul_add(weights, per, round);
        let error = simd.neg_mul_add(simd.splat(unit), simd.sub(rounded, round), weights);
        let error = simd.mul_add(error, simd.load(&chunk(&list.scale.inverses, i)), zero);
        errors = simd.mul_add(error, error, errors);
        shifts = simd.mul_add(error, simd.load(&chunk(list.own, i)), shifts);
        let x = simd.load(&chunk(query, i));
        norms = simd.mul_add(x, x, norms);
        let rounded = simd.to_array(rounded);
        let mut negated = [0_i8; LANES];
        for j in 0..LANES {
            negated[j] = (rounded[j].to_bits() as i8).wrapping_neg();
        }
        let words: [[i8; 4]; LANES / 4] = bytemuck::must_cast(negated);
        let room = &mut out[i * words.len()..];
        match room.first_chunk_mut() {
            Some(room) => *room = words,
            None => {
                let len = room.len();
                room.copy_from_slice(&words[..len]);
            }
        }
    }
    let ulp = f64::from(f32::EPSILON);
    // The error includes the rounding of its own computation; 1e-18 is for underflow.
    let error = sum(simd, errors).sqrt() * (1.0 + (chunks + 16) as f64 * ulp) + 1e-18 * query.len() as f64;
    ByteQuery { unit: unit.into(), error, shift: sum(simd, shifts), norm: most_norm(sum(simd, norms), chunks) }
}

/// Returns the weights of 16 dimensions.
#[inline(always)]
fn weights<S: Simd, const IS_L2: bool>(simd: S, query: &[f32], list: List<'_>, i: usize) -> S::F32 {
    let mut x = simd.load(&chunk(query, i));
    if const { IS_L2 } {
        x = simd.add(simd.sub(x, simd.load(&chunk(list.bases, i))), simd.load(&chunk(list.own, i)));
    }
    simd.mul_add(x, simd.load(&chunk(list.steps, i)), simd.splat(0.0))
}

/// Returns an upper bound of a norm. Its square was computed as sixteen sums of `chunks` squares in
/// `f32`, of numbers that have up to four roundings themselves.
fn most_norm(square: f64, chunks: usize) -> f64 {
    // Squares that underflow are below 1e-40.
    let most = square * (1.0 + (chunks + 16) as f64 * f64::from(f32::EPSILON)) + 1e-40 * (LANES * chunks) as f64;
    most.sqrt()
}

/// What the bounds for a list take.
#[derive(Debug, Default)]
pub(super) struct ListTerms {
    /// The bases, 16 dimensions at a time.
    bases: Vec<[f32; LANES]>,
    /// Upper bound of the norm of a vector, and of the norm of the absolute values of all numbers
    /// that are added for it.
    most: f64,
    all: f64,
    /// Norm of a typical vector without its centroid. Any number above zero is right.
    norm: f64,
}

impl ListTerms {
    /// Sets the list.
    pub(super) fn set(&mut self, list: List<'_>, norm: f64) {
        let List { steps, own, bases, scale } = list;
        let chunks = steps.len().div_ceil(LANES);
        let (mut mosts, mut alls) = ([0.0; LANES], [0.0; LANES]);
        self.norm = norm;
        self.bases.clear();
        for i in 0..chunks {
            let (steps, own, bases) = (chunk(steps, i), chunk(own, i), chunk(bases, i));
            for j in 0..LANES {
                let most: f32 = scale.most * steps[j] + bases[j].abs();
                let all = most + own[j].abs();
                mosts[j] += most * most;
                alls[j] += all * all;
            }
            self.bases.push(bases);
        }
        let norm = |squares: [f32; LANES]| most_norm(squares.iter().map(|x| f64::from(*x)).sum(), chunks);
        (self.most, self.all) = (norm(mosts), norm(alls));
    }
}

/// Computes what bounds the distances from queries to the codes of a list.
pub(super) struct ToTerms<'a, Q, const IS_L2: bool> {
    /// The queries, and what is known of their bytes.
    pub(super) queries: Q,
    pub(super) list: &'a ListTerms,
    pub(super) scale: &'a ByteScale,
    pub(super) out: &'a mut Vec<Terms>,
}

impl<'q, Q: Iterator<Item = (&'q [f32], ByteQuery)>, const IS_L2: bool> Kernel for ToTerms<'_, Q, IS_L2> {
    type Output = ();
    const BYTES: bool = false;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { mut queries, list, scale, out } = self;
        out.clear();
        let mut next = queries.next();
        while let Some((query, bytes)) = next {
            // Queries are scattered over the batch, so the next one is prefetched.
            next = queries.next();
            next.iter().for_each(|(query, _)| simd.prefetch(query));
            out.push(terms::<S, IS_L2>(simd, query, bytes, list, scale));
        }
    }
}

/// Returns what bounds the distances from a query to the codes of a list.
#[inline(always)]
fn terms<S: Simd, const IS_L2: bool>(
    simd: S,
    query: &[f32],
    bytes: ByteQuery,
    list: &ListTerms,
    scale: &ByteScale,
) -> Terms {
    let mut first = simd.splat(0.0);
    let mut add = |query: &[f32; LANES], bases: &[f32; LANES]| {
        let (query, bases) = (simd.load(query), simd.load(bases));
        if const { IS_L2 } {
            let away = simd.sub(query, bases);
            first = simd.mul_add(away, away, first);
        } else {
            first = simd.neg_mul_add(query, bases, first);
        }
    };
    let (whole, rest) = query.as_chunks::<LANES>();
    for (query, bases) in whole.iter().zip(&list.bases) {
        add(query, bases);
    }
    if let Some(bases) = list.bases.get(whole.len()) {
        add(&chunk(rest, 0), bases);
    }
    let first = sum(simd, first);
    // The sums of the absolute values of all that is added, and of those of an exact fold.
    let (size, fold) = if IS_L2 {
        ((list.all + bytes.norm).powi(2), 0.0)
    } else {
        (bytes.norm * (list.all + bytes.norm), bytes.norm * list.most)
    };
    let (dim, chunks, ulp) = (query.len() as f64, list.bases.len() as f64, f64::from(f32::EPSILON));
    // The exact fold has a rounding for each dimension. Relative to its result, if no term is
    // negative.
    let of_fold = (dim + 8.0) * ulp;
    let relative = if IS_L2 { of_fold } else { 0.0 };
    // The sums here are of a sixteenth of the dimensions, with some roundings for each term.
    let rounding = (chunks + 24.0) * ulp * size + of_fold * fold + 1e-36 * dim * (1.0 + size);
    let (share, norm) = (if IS_L2 { 2.0 } else { 1.0 }, list.norm);
    let of_norm = bytes.error / norm * share / 2.0;
    let constant = first + share * bytes.shift - of_norm * (scale.of_zeros + norm * norm);
    let per_unit = 1.0 / (bytes.unit * share);
    let of_term = per_unit * if IS_L2 { 1.0 - of_norm } else { -of_norm };
    // The sums and terms are rounded to floats, multiplied and added.
    let of_limit = 1.0 + 4.0 * ulp * (127.0 * f64::from(scale.most) * dim + of_term.abs() * scale.largest);
    let has_bound = query.len() <= MAX_DIM
        && bytes.unit >= SMALLEST
        && size < f64::from(f32::MAX) / 4.0
        && (constant + of_limit).is_finite()
        && (of_term as f32).is_finite();
    let per_unit = if has_bound { per_unit } else { 0.0 };
    Terms { per_unit, constant, of_term: of_term as f32, rounding, relative, of_limit }
}

/// Returns the sum of the lanes.
#[inline(always)]
fn sum<S: Simd>(simd: S, v: S::F32) -> f64 {
    simd.to_array(v).iter().map(|x| f64::from(*x)).sum()
}

/// Returns 16 numbers, with zeros after the last one.
#[inline(always)]
fn chunk(all: &[f32], number: usize) -> [f32; LANES] {
    let rest = &all[number * LANES..];
    if let Some(chunk) = rest.first_chunk::<LANES>() {
        return *chunk;
    }
    let mut chunk = [0.0; LANES];
    chunk[..rest.len()].copy_from_slice(rest);
    chunk
}

#[cfg(test)]
mod tests {
    use super::super::numbers::Bits;
    use super::super::scale::Learnt;
    use super::*;
    use ivf_core::Rows;
    use ivf_cpu::simd::Level;

    const DIM: usize = 70;
    const CODES: usize = 1000;

    /// Largest number of a byte.
    const MOST: f32 = 255.0;

    /// Returns numbers from -1 to 1.
    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(next).collect()
    }

    /// Checks for each query that its limit has the codes within a threshold, and few others.
    fn check<const IS_L2: bool>() {
        // Half of the dimensions have a tenth of the range.
        let data: Vec<f32> =
            numbers(CODES * DIM, 1).iter().enumerate().map(|(i, x)| if i % 2 == 0 { *x } else { *x / 10.0 }).collect();
        let scale = Scale::learnt(Learnt::of(Rows::new(&data, DIM).unwrap(), false), (0.0, MOST), DIM);
        let (byte_scale, centroid) = (ByteScale::new(&scale, 1), numbers(DIM, 2));
        let mut bases = centroid.clone();
        scale.add_bases(&mut bases);
        let number = |i: usize, x: f32| scale.number(i % DIM, x) as u8;
        let codes: Vec<u8> = data.iter().enumerate().map(|(i, x)| number(i, *x)).collect();
        let term = |code: &[u8]| term_of(Bits::<8>, code, scale.steps(), scale.bases());
        let terms: Vec<f32> = codes.chunks_exact(DIM).map(term).collect();
        let norm = byte_scale.norm(terms.iter().map(|term| f64::from(*term)).sum::<f64>() / CODES as f64);
        let list = List { scale: &byte_scale, steps: scale.steps(), own: scale.bases(), bases: &bases };
        let queries: Vec<f32> = numbers(20 * DIM, 3);
        for level in Level::available() {
            let (mut rows, mut bytes, mut bounds, mut list_terms) = Default::default();
            let queries = || queries.chunks_exact(DIM);
            level.run(ToBytes::<_, IS_L2> { queries: queries(), list, rows: &mut rows, out: &mut bytes });
            ListTerms::set(&mut list_terms, list, norm);
            let pairs = queries().zip(bytes.iter().copied());
            level.run(ToTerms::<_, IS_L2> { queries: pairs, list: &list_terms, scale: &byte_scale, out: &mut bounds });
            let rows: &[i8] = bytemuck::cast_slice(&rows);
            for ((query, bytes), bound) in queries().zip(rows.chunks_exact(DIM.next_multiple_of(4))).zip(&bounds) {
                let distance = |code: &[u8]| -> f64 {
                    let coordinates = code.iter().enumerate().map(|(d, c)| {
                        let x = f64::from(scale.steps()[d]).mul_add(f64::from(*c), f64::from(bases[d]));
                        if IS_L2 { (f64::from(query[d]) - x).powi(2) } else { -f64::from(query[d]) * x }
                    });
                    coordinates.sum()
                };
                let distances: Vec<f64> = codes.chunks_exact(DIM).map(distance).collect();
                let mut sorted = distances.clone();
                sorted.sort_by(f64::total_cmp);
                for count in [1, 20, 300] {
                    let limit = bound.limit(sorted[count - 1] as f32).unwrap();
                    let passes = |code: &[u8], term: f32| {
                        let products = code.iter().zip(bytes).map(|(c, k)| i32::from(*c) * i32::from(*k));
                        limit.of_term.mul_add(term, products.sum::<i32>() as f32) <= limit.most
                    };
                    let passed: Vec<bool> =
                        codes.chunks_exact(DIM).zip(&terms).map(|(code, term)| passes(code, *term)).collect();
                    let lost = passed.iter().zip(&distances).filter(|(passed, x)| !**passed && **x < sorted[count - 1]);
                    assert_eq!(lost.count(), 0, "{level}");
                    let left = passed.iter().filter(|passed| **passed).count();
                    assert!(left <= count * 3 / 2 + 30, "{left} codes of {count}, {level}");
                }
            }
        }
    }

    #[test]
    fn a_limit_has_all_codes_within_the_threshold_and_few_others() {
        check::<true>();
        check::<false>();
    }

    /// Checks the code whose distance is the farthest below the one that the bytes tell: the
    /// numbers are the largest where the weights exceed their bytes, and zero elsewhere.
    fn check_worst<const IS_L2: bool>() {
        let scale = Scale::learnt(Learnt { min: vec![-1.0; DIM], width: vec![2.0; DIM] }, (0.0, MOST), DIM);
        let (byte_scale, queries) = (ByteScale::new(&scale, 1), numbers(20 * DIM, 9));
        let (steps, own) = (scale.steps(), scale.bases());
        let list = List { scale: &byte_scale, steps, own, bases: own };
        for query in queries.chunks_exact(DIM) {
            let (mut rows, mut bytes, mut bounds, mut list_terms) = Default::default();
            let (level, queries) = (Level::get(), [query].into_iter());
            level.run(ToBytes::<_, IS_L2> { queries: queries.clone(), list, rows: &mut rows, out: &mut bytes });
            let (row, of_query): (&[i8], ByteQuery) = (bytemuck::cast_slice(&rows), bytes[0]);
            let weight = |d: usize| f64::from(steps[d]) * f64::from(query[d]);
            let error = |d: usize| weight(d) + of_query.unit * f64::from(row[d]);
            let code: Vec<u8> = (0..DIM).map(|d| if error(d) > 0.0 { 255 } else { 0 }).collect();
            let term = term_of(Bits::<8>, &code, steps, own);
            ListTerms::set(&mut list_terms, list, byte_scale.norm(term.into()));
            let pairs = queries.zip(bytes.iter().copied());
            level.run(ToTerms::<_, IS_L2> { queries: pairs, list: &list_terms, scale: &byte_scale, out: &mut bounds });
            let bound: Terms = bounds[0];
            let distance = (0..DIM).map(|d| {
                let (q, x) = (f64::from(query[d]), f64::from(steps[d]) * f64::from(code[d]) + f64::from(own[d]));
                if IS_L2 { (q - x).powi(2) } else { -q * x }
            });
            let limit = bound.limit(distance.sum::<f64>() as f32).unwrap();
            let products = code.iter().zip(row).map(|(c, k)| i32::from(*c) * i32::from(*k)).sum::<i32>();
            let found = limit.of_term.mul_add(term, products as f32);
            assert!(found <= limit.most, "{found} exceeds {}", limit.most);
        }
    }

    #[test]
    fn a_limit_has_the_worst_code() {
        check_worst::<true>();
        check_worst::<false>();
    }

    /// The norms bound rounding errors that few inputs reach, so no other test would miss them.
    #[test]
    fn norms_are_upper_bounds_and_near() {
        for size in [1.0, 1e-15, 1e15] {
            let scale = Scale::learnt(Learnt { min: vec![-size; DIM], width: vec![2.0 * size; DIM] }, (0.0, MOST), DIM);
            let (byte_scale, data) = (ByteScale::new(&scale, 1), numbers(2 * DIM, 5));
            let scaled: Vec<f32> = data.iter().map(|x| x * size).collect();
            let (query, bases) = scaled.split_at(DIM);
            let list = List { scale: &byte_scale, steps: scale.steps(), own: scale.bases(), bases };
            let (mut rows, mut bytes, mut terms) = (Vec::new(), Vec::new(), ListTerms::default());
            let queries = [query].into_iter();
            Level::get().run(ToBytes::<_, true> { queries, list, rows: &mut rows, out: &mut bytes });
            terms.set(list, 1.0);
            let norm = |of: &dyn Fn(usize) -> f64| (0..DIM).map(|d| of(d).powi(2)).sum::<f64>().sqrt();
            let most = |d: usize| f64::from(MOST) * f64::from(scale.steps()[d]) + f64::from(bases[d]).abs();
            let all = |d: usize| most(d) + f64::from(scale.bases()[d]).abs();
            let query = |d: usize| f64::from(query[d]);
            for (found, exact) in [(bytes[0].norm, norm(&query)), (terms.most, norm(&most)), (terms.all, norm(&all))] {
                assert!((exact..exact * 1.0001).contains(&found), "{found} for {exact}");
            }
        }
    }

    #[test]
    fn extremes_have_no_limit() {
        let scale = Scale::learnt(Learnt { min: vec![0.0; 2], width: vec![1.0, 0.0] }, (0.0, MOST), 2);
        let byte_scale = ByteScale::new(&scale, 1);
        let list = List { scale: &byte_scale, steps: scale.steps(), own: scale.bases(), bases: scale.bases() };
        for (query, has_limit) in [
            ([1.0, 1.0], true),
            ([0.0, 0.0], false),
            ([1e-40, 0.0], false),
            ([f32::MAX, 1.0], false),
            ([f32::MAX, -f32::MAX], false),
        ] {
            let (mut rows, mut bytes, mut bounds, mut list_terms) = Default::default();
            let queries = [&query[..]].into_iter();
            let level = Level::get();
            level.run(ToBytes::<_, false> { queries: queries.clone(), list, rows: &mut rows, out: &mut bytes });
            ListTerms::set(&mut list_terms, list, 1.0);
            let pairs = queries.zip(bytes.iter().copied());
            level.run(ToTerms::<_, false> { queries: pairs, list: &list_terms, scale: &byte_scale, out: &mut bounds });
            let bound: Terms = bounds[0];
            assert_eq!(bound.limit(-1.0).is_some(), has_limit, "{query:?}");
            assert!(bound.limit(f32::INFINITY).is_none(), "{query:?}");
        }
    }
}
