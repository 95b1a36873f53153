//! A first pass in bytes: products of quantised vectors, with a bound on how far off they can be.
//!
//! Four products of bytes are one lane of one instruction (VNNI), so that this pass takes a quarter of the exact one's time.
//! It only says which pairs may be near; whoever uses it computes those exactly.

use super::{BLOCK, Near};
use crate::simd::{LANES, Simd};
use ivf_core::Rows;

/// Sums of products must not overflow: `(255 + 128) * 127 * dim` and a bias together stay below 2^31.
pub const MAX_DIM: usize = 1 << 14;

/// The largest bias, see [`MAX_DIM`].
pub const MAX_BIAS: i32 = 1 << 29;

/// Vectors as signed bytes in dimension-major blocks of 32, four dimensions together:
///
/// ```text
/// dim 6:  block 0 | a0 a1 a2 a3 | b0 b1 b2 b3 | ... 32 | a4 a5 0 0 | b4 b5 0 0 | ... 32 |   block 1 | ...
/// ```
#[derive(Clone, Debug)]
pub struct PackedBytes {
    columns: Vec<[[i8; 4]; BLOCK]>,
    /// For each vector the sum of its bytes.
    sums: Vec<i32>,
    /// What a byte is worth.
    scale: f64,
    /// The longest vector, and the longest difference between a vector and its bytes.
    norm: f64,
    error: f64,
    len: usize,
    dim: usize,
}

impl PackedBytes {
    /// Quantises rows.
    ///
    /// # Panics
    /// If the dimension is greater than [`MAX_DIM`].
    pub fn new(rows: Rows<'_, f32>) -> Self {
        let dim = rows.dim();
        assert!(dim <= MAX_DIM, "at most {MAX_DIM} dimensions");
        let groups = dim.div_ceil(4);
        let scale = scale(rows.as_slice());
        let mut packed = Self {
            columns: vec![[[0; 4]; BLOCK]; rows.len().div_ceil(BLOCK) * groups],
            sums: Vec::with_capacity(rows.len()),
            scale,
            norm: 0.0,
            error: 0.0,
            len: rows.len(),
            dim,
        };
        for (i, row) in rows.iter().enumerate() {
            let columns = &mut packed.columns[i / BLOCK * groups..][..groups];
            let (mut sum, mut norm, mut error) = (0, 0.0, 0.0);
            for (d, &x) in row.iter().enumerate() {
                let byte = (f64::from(x) / scale).round() as i8;
                columns[d / 4][i % BLOCK][d % 4] = byte;
                sum += i32::from(byte);
                norm += f64::from(x).powi(2);
                error += (f64::from(x) - f64::from(byte) * scale).powi(2);
            }
            packed.sums.push(sum);
            packed.norm = packed.norm.max(norm.sqrt());
            packed.error = packed.error.max(error.sqrt());
        }
        packed
    }
}

/// Queries as unsigned bytes (128 is zero), all on one scale.
#[derive(Clone, Debug)]
pub struct ByteQueries {
    groups: Vec<[u8; 4]>,
    scale: f64,
    /// Of each query its length, and that of the difference between it and its bytes.
    lengths: Vec<(f64, f64)>,
    dim: usize,
}

impl ByteQueries {
    /// Quantises rows.
    #[inline(always)]
    pub fn new(rows: Rows<'_, f32>) -> Self {
        let dim = rows.dim();
        let scale = scale(rows.as_slice());
        let mut groups = vec![[128; 4]; rows.len() * dim.div_ceil(4)];
        let mut lengths = Vec::with_capacity(rows.len());
        let (step, steps) = (scale as f32, (1.0 / scale) as f32);
        for (row, groups) in rows.iter().zip(groups.chunks_exact_mut(dim.div_ceil(4))) {
            let (mut norm, mut error) = ([0.0; 4], [0.0; 4]);
            for (xs, group) in row.chunks(4).zip(groups) {
                for (i, &x) in xs.iter().enumerate() {
                    let byte = (x * steps).round_ties_even().clamp(-127.0, 127.0);
                    group[i] = (byte + 128.0) as u8;
                    norm[i] += x * x;
                    let off = x - byte * step;
                    error[i] += off * off;
                }
            }
            let length = |parts: [f32; 4]| f64::from(parts.iter().sum::<f32>().sqrt());
            // The sums are of f32: the slack is more than they, and each difference, can be wrong by.
            let slack = 1.0 + dim as f64 * f64::from(f32::EPSILON);
            lengths.push((length(norm) * slack, length(error) * slack + 1e-5 * dim as f64 * scale));
        }
        Self { groups, scale, lengths, dim }
    }

    /// The product of query `q` with any of the vectors differs from that of their bytes by at most this, the rounding of
    /// an exact kernel included.
    pub fn error(&self, q: usize, packed: &PackedBytes) -> f64 {
        let (norm, error) = self.lengths[q];
        let rounding = 4.0 * (self.dim + 8) as f64 * f64::from(f32::EPSILON);
        error * packed.norm + (norm + error) * packed.error + rounding * (norm + packed.norm).powi(2)
    }

    /// The squared length of query `q`; [`error`](Self::error) covers its rounding.
    #[inline(always)]
    pub fn squared_norm(&self, q: usize) -> f64 {
        self.lengths[q].0.powi(2)
    }

    /// What one unit of a product of bytes is worth.
    pub fn unit(&self, packed: &PackedBytes) -> f64 {
        self.scale * packed.scale
    }
}

/// What a byte is worth, if the largest of `data` is to be 127.
#[inline(always)]
fn scale(data: &[f32]) -> f64 {
    let largest = data.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    f64::from(largest).max(f64::from(f32::MIN_POSITIVE)) / 127.0
}

/// Calls `near` wherever the product of a query's bytes with a vector's, less the vector's `bias`, is at least the query's
/// threshold. (`near` gets no distances.)
///
/// # Panics
/// If there is not one threshold a query and one bias a vector, a bias is beyond [`MAX_BIAS`], or the dimensions differ.
#[inline(always)]
pub fn scan_bytes<S: Simd>(
    simd: S,
    queries: &ByteQueries,
    packed: &PackedBytes,
    bias: &[i32],
    thresholds: &[i32],
    mut near: impl FnMut(Near<'_>),
) {
    assert!(queries.dim == packed.dim && thresholds.len() == queries.lengths.len() && bias.len() == packed.len);
    assert!(bias.iter().all(|bias| bias.abs() <= MAX_BIAS), "biases of at most {MAX_BIAS}");
    // What the sums start from: the products with the 128 of every query's byte are taken away again.
    let starts: Vec<[i32; BLOCK]> = (0..packed.len.div_ceil(BLOCK))
        .map(|block| {
            std::array::from_fn(|lane| match block * BLOCK + lane {
                i if i < packed.len => -128 * packed.sums[i] - bias[i],
                // Least of all, and far enough from an overflow.
                _ => -(1 << 30),
            })
        })
        .collect();
    let queries: Vec<&[[u8; 4]]> = queries.groups.chunks(packed.dim.div_ceil(4)).collect();
    let mut query = 0;
    while query < queries.len() {
        query += match queries.len() - query {
            4.. => tile::<S, 4>(simd, &queries, query, packed, &starts, thresholds, &mut near),
            _ => tile::<S, 1>(simd, &queries, query, packed, &starts, thresholds, &mut near),
        };
    }
}

/// Queries `first..first + Q` against all vectors. Gives `Q`.
#[inline(always)]
fn tile<S: Simd, const Q: usize>(
    simd: S,
    queries: &[&[[u8; 4]]],
    first: usize,
    packed: &PackedBytes,
    starts: &[[i32; BLOCK]],
    thresholds: &[i32],
    near: &mut impl FnMut(Near<'_>),
) -> usize {
    let groups = packed.dim.div_ceil(4);
    let rows: [&[[u8; 4]]; Q] = std::array::from_fn(|q| &queries[first + q][..groups]);
    for (b, (block, starts)) in packed.columns.chunks_exact(groups).zip(starts).enumerate() {
        let sums = products(simd, rows, block, starts);
        // All comparisons before any answer: the sums are never looked up by number, and so stay in registers.
        let mut limits = thresholds[first..][..Q].iter();
        let lanes = sums.map(|[low, high]| {
            let threshold = *limits.next().expect("Q of them");
            simd.at_least_i32(low, threshold) | simd.at_least_i32(high, threshold) << LANES
        });
        for (q, lanes) in lanes.into_iter().enumerate() {
            let valid = (packed.len - b * BLOCK).min(BLOCK);
            let lanes = lanes & (u32::MAX >> (BLOCK - valid));
            if lanes != 0 {
                near(Near { query: first + q, block: b, lanes, distances: &[f32::NAN; BLOCK] });
            }
        }
    }
    Q
}

/// The products of `Q` queries with the vectors of a block, on top of `starts`. (A function of its own, so that its sums stay in
/// registers: what is done with them later looks them up by number.)
#[inline(always)]
fn products<S: Simd, const Q: usize>(
    simd: S,
    rows: [&[[u8; 4]]; Q],
    block: &[[[i8; 4]; BLOCK]],
    starts: &[i32; BLOCK],
) -> [[S::I32; 2]; Q] {
    let rows = rows.map(|row| &row[..block.len()]);
    let starts = starts.as_chunks::<LANES>().0;
    let mut sums: [[S::I32; 2]; Q] = std::array::from_fn(|_| std::array::from_fn(|half| simd.load_i32(&starts[half])));
    for (g, column) in block.iter().enumerate() {
        let halves = column.as_chunks::<LANES>().0;
        for q in 0..Q {
            sums[q][0] = simd.dot4(sums[q][0], rows[q][g], &halves[0]);
            sums[q][1] = simd.dot4(sums[q][1], rows[q][g], &halves[1]);
        }
    }
    sums
}
