//! First pass in bytes: products of quantised vectors, with a bound on their error.
//!
//! One lane of one VNNI instruction computes four products of bytes, so this pass takes a quarter
//! of the time of the exact one. It reports only which pairs may be near. The caller computes the
//! distances of these pairs exactly.

use super::{BLOCK, Candidates};
use crate::simd::{LANES, Simd};
use ivf_core::Rows;
use std::borrow::Cow;

/// Maximum number of dimensions. It keeps `(255 + 128) * 127 * dim` plus a bias below 2^31, so that
/// sums of products do not overflow.
pub const MAX_DIM: usize = 1 << 14;

/// Maximum absolute value of a bias, see [`MAX_DIM`].
pub const MAX_BIAS: i32 = 1 << 29;

/// Minimum scale for which the error bound holds. Below it, sums of squares in `f32` underflow.
const SMALLEST_SCALE: f64 = 1e-15;

/// Vectors as signed bytes, in dimension-major blocks of 32 with groups of four dimensions:
///
/// ```text
/// dim 6:  block 0 | a0 a1 a2 a3 | b0 b1 b2 b3 | ... 32 | a4 a5 0 0 | b4 b5 0 0 | ... 32 |   block 1 | ...
/// ```
/// ```
/// # use ivf_core::Rows;
/// # use ivf_cpu::kernels::PackedBytes;
/// // A block of 32 vectors of two dimensions, with room for four, and two numbers for each vector.
/// let packed = PackedBytes::new(Rows::new(&[1.0; 64], 2)?);
/// assert_eq!(packed.memory(), 32 * 4 + 32 * 2 * 4);
/// # Ok::<(), ivf_core::RowsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct PackedBytes {
    columns: Vec<[[i8; 4]; BLOCK]>,
    /// Sum of the bytes of each vector.
    sums: Vec<i32>,
    /// For each block, the initial sums of products with query bytes, which all include 128.
    starts: Vec<[i32; BLOCK]>,
    /// Value of one unit of a byte.
    scale: f64,
    /// Largest norm of a vector.
    norm: f64,
    /// Largest norm of a quantisation error: a vector less the values of its bytes.
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
            starts: vec![[0; BLOCK]; rows.len().div_ceil(BLOCK)],
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
            packed.starts[i / BLOCK][i % BLOCK] = -128 * sum;
            packed.norm = packed.norm.max(norm.sqrt());
            packed.error = packed.error.max(error.sqrt());
        }
        packed
    }

    /// Returns the memory in bytes.
    pub fn memory(&self) -> usize {
        size_of_val(&self.columns[..]) + size_of_val(&self.sums[..]) + size_of_val(&self.starts[..])
    }
}

/// Queries as unsigned bytes (128 is zero), all on one scale.
///
/// ```
/// use ivf_core::Rows;
/// use ivf_cpu::kernels::{ByteQueries, PackedBytes};
///
/// // The largest number becomes 127. Here it is 127, so bytes hold these numbers exactly.
/// let packed = PackedBytes::new(Rows::new(&[127.0, 0.0, 0.0, 25.0], 2)?);
/// let queries = ByteQueries::new(Rows::new(&[127.0, 2.0], 2)?);
/// assert_eq!(queries.unit(&packed), 1.0);
///
/// // A product of bytes times `unit` differs from the exact product by at most `error`: a vector
/// // whose product with the query is at least 50 has at least this product of bytes.
/// assert!(queries.bounded(&packed), "the numbers are not tiny");
/// let error = queries.error(0, &packed);
/// let threshold = ((50.0 - error) / queries.unit(&packed)).floor();
/// assert_eq!(threshold, 49.0);
/// assert!((queries.squared_norm(0) - (127.0 * 127.0 + 4.0)).abs() <= error);
/// assert!(queries.largest_product(&packed) >= 127.0 * 127.0);
/// # Ok::<(), ivf_core::RowsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ByteQueries<'a> {
    groups: Cow<'a, [[u8; 4]]>,
    scale: f64,
    /// Norm of each query, and norm of its quantisation error.
    lengths: Cow<'a, [(f64, f64)]>,
    dim: usize,
}

impl<'a> ByteQueries<'a> {
    /// Quantises rows.
    #[inline(always)]
    pub fn new(rows: Rows<'_, f32>) -> ByteQueries<'static> {
        let mut groups = vec![[0; 4]; rows.len() * rows.dim().div_ceil(4)];
        let mut lengths = vec![(0.0, 0.0); rows.len()];
        let (scale, dim) = (ByteQueries::within(rows, &mut groups, &mut lengths).scale, rows.dim());
        ByteQueries { groups: groups.into(), scale, lengths: lengths.into(), dim }
    }

    /// Quantises rows into memory of the caller. A caller with many chunks of rows can keep the
    /// bytes of all of them in one allocation, which the system's allocator releases as a whole.
    ///
    /// ```
    /// use ivf_core::Rows;
    /// use ivf_cpu::kernels::ByteQueries;
    ///
    /// let (mut groups, mut lengths) = ([[0; 4]; 1], [(0.0, 0.0); 1]);
    /// ByteQueries::within(Rows::new(&[1.0, -1.0, 0.25], 3)?, &mut groups, &mut lengths);
    /// // 128 stands for zero, and fills the group. 1 becomes 128 + 127.
    /// assert_eq!(groups, [[255, 1, 160, 128]]);
    /// # Ok::<(), ivf_core::RowsError>(())
    /// ```
    ///
    /// # Panics
    /// If `groups` does not have one entry for every four dimensions of each row, or `lengths` not
    /// one entry for each row.
    #[inline(always)]
    pub fn within(rows: Rows<'_, f32>, groups: &'a mut [[u8; 4]], lengths: &'a mut [(f64, f64)]) -> Self {
        let dim = rows.dim();
        assert!(groups.len() == rows.len() * dim.div_ceil(4) && lengths.len() == rows.len(), "room for all rows");
        let scale = scale(rows.as_slice());
        groups.fill([128; 4]);
        let (step, steps) = (scale as f32, (1.0 / scale) as f32);
        let room = groups.chunks_exact_mut(dim.div_ceil(4)).zip(&mut *lengths);
        for (row, (groups, lengths)) in rows.iter().zip(room) {
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
            // The sums are in `f32`: the slack exceeds their rounding error and that of each
            // difference.
            let slack = 1.0 + dim as f64 * f64::from(f32::EPSILON);
            *lengths = (length(norm) * slack, length(error) * slack + 1e-5 * dim as f64 * scale);
        }
        Self { groups: Cow::Borrowed(groups), scale, lengths: Cow::Borrowed(lengths), dim }
    }

    /// Returns an upper bound of the error of a byte product: the difference between the product of
    /// query `q` with any of the vectors and the product of their bytes. It includes the rounding
    /// error of an exact kernel.
    pub fn error(&self, q: usize, packed: &PackedBytes) -> f64 {
        let (norm, error) = self.lengths[q];
        let rounding = 4.0 * (self.dim + 8) as f64 * f64::from(f32::EPSILON);
        error * packed.norm + (norm + error) * packed.error + rounding * (norm + packed.norm).powi(2)
    }

    /// Returns the squared norm of query `q`; [`error`](Self::error) covers its rounding.
    #[inline(always)]
    pub fn squared_norm(&self, q: usize) -> f64 {
        self.lengths[q].0.powi(2)
    }

    /// Returns an upper bound of the size of a product of the first query with a vector, and of the
    /// products of their bytes.
    pub fn largest_product(&self, packed: &PackedBytes) -> f64 {
        let (norm, error) = self.lengths[0];
        (norm + error) * (packed.norm + packed.error)
    }

    /// Returns whether [`error`](Self::error) is a valid bound. It is not for vectors so small that
    /// the squares of their quantisation errors underflow.
    pub fn bounded(&self, packed: &PackedBytes) -> bool {
        self.scale.min(packed.scale) >= SMALLEST_SCALE
    }

    /// Returns the value of one unit of a product of bytes.
    pub fn unit(&self, packed: &PackedBytes) -> f64 {
        self.scale * packed.scale
    }
}

/// Returns the value of one unit of a byte if the largest absolute value of `data` maps to 127.
#[inline(always)]
fn scale(data: &[f32]) -> f64 {
    let largest = data.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    f64::from(largest).max(f64::from(f32::MIN_POSITIVE)) / 127.0
}

/// For each query and block, calls `near` if the block has a vector that may be near: the product
/// of their bytes, less the vector's `bias`, is at least the query's threshold. The candidates
/// carry no distances.
///
/// ```
/// use ivf_core::Rows;
/// use ivf_cpu::kernels::{BLOCK, ByteQueries, PackedBytes, scan_bytes, squared_norm};
/// use ivf_cpu::simd::Scalar;
///
/// // Which vectors are within a distance of 10 of the query? Those whose product with it, less
/// // half their squared norm, is at least half of (the query's squared norm less 100).
/// let vectors = [127.0, 0.0, 0.0, 25.0];
/// let packed = PackedBytes::new(Rows::new(&vectors, 2)?);
/// let queries = ByteQueries::new(Rows::new(&[127.0, 2.0], 2)?);
/// let unit = queries.unit(&packed);
/// let bias: Vec<i32> =
///     vectors.chunks(2).map(|vector| (f64::from(squared_norm(vector)) / 2.0 / unit).floor() as i32).collect();
/// let least = (queries.squared_norm(0) - 100.0) / 2.0 - queries.error(0, &packed);
///
/// let mut near = Vec::new();
/// scan_bytes(Scalar, &queries, &packed, &bias, &[(least / unit).floor() as i32], |found| {
///     near.extend(found.hits(u32::MAX).map(|(lane, _)| (found.query, found.block * BLOCK + lane)));
/// });
/// assert_eq!(near, [(0, 0)]); // Vector 0 is at a distance of 2, vector 1 far away.
/// # Ok::<(), ivf_core::RowsError>(())
/// ```
///
/// # Panics
/// If `thresholds` does not have one entry for each query or `bias` one for each vector, if a bias
/// is beyond [`MAX_BIAS`], or if the dimensions differ.
#[inline(always)]
pub fn scan_bytes<S: Simd>(
    simd: S,
    queries: &ByteQueries<'_>,
    packed: &PackedBytes,
    bias: &[i32],
    thresholds: &[i32],
    mut near: impl FnMut(Candidates<'_>),
) {
    assert!(queries.dim == packed.dim && thresholds.len() == queries.lengths.len() && bias.len() == packed.len);
    assert!(bias.iter().all(|bias| bias.abs() <= MAX_BIAS), "biases of at most {MAX_BIAS}");
    // Initial values of the sums. They subtract the products with the 128 that every query byte
    // includes.
    let starts: Vec<[i32; BLOCK]> = (0..packed.len.div_ceil(BLOCK))
        .map(|block| {
            std::array::from_fn(|lane| match block * BLOCK + lane {
                i if i < packed.len => -128 * packed.sums[i] - bias[i],
                // Padding lanes get a low value that is far enough from an overflow.
                _ => -(1 << 30),
            })
        })
        .collect();
    let groups = packed.dim.div_ceil(4);
    let queries: Vec<&[[u8; 4]]> = queries.groups.chunks(groups).collect();
    let mut sums = [[[0; LANES]; 2]; TILE];
    for (tile, queries) in queries.chunks(TILE).enumerate() {
        // A tile that is not full repeats its last query. The repeated results are ignored.
        let rows = std::array::from_fn(|q| queries[q.min(queries.len() - 1)]);
        for (b, (block, starts)) in packed.columns.chunks_exact(groups).zip(&starts).enumerate() {
            products(simd, rows, block, starts, &mut sums);
            let valid = u32::MAX >> (BLOCK - (packed.len - b * BLOCK).min(BLOCK));
            for (query, sums) in (tile * TILE..).zip(&sums[..queries.len()]) {
                let threshold = thresholds[query];
                let [low, high] = std::array::from_fn(|half| simd.load_i32(&sums[half]));
                let lanes = simd.at_least_i32(low, threshold) | simd.at_least_i32(high, threshold) << LANES;
                if lanes & valid != 0 {
                    near(Candidates { query, block: b, lanes: lanes & valid, distances: &[f32::NAN; BLOCK] });
                }
            }
        }
    }
}

/// Writes, for each of one or four queries, a score of every vector: the product of their bytes,
/// times the query's factor, plus the vector's offset. `scores` gets one block of scores for each
/// block of vectors.
///
/// ```
/// use ivf_core::Rows;
/// use ivf_cpu::kernels::{BLOCK, ByteQueries, PackedBytes, score_bytes};
/// use ivf_cpu::simd::Scalar;
///
/// let packed = PackedBytes::new(Rows::new(&[127.0, 0.0, 0.0, 25.0], 2)?);
/// let queries = [[127.0, 2.0], [0.0, 127.0], [1.0, 0.0], [0.0, 1.0]];
/// let queries = queries.map(|query| ByteQueries::new(Rows::new(&query, 2).expect("a row")));
/// let factors: [f32; 4] = std::array::from_fn(|q| queries[q].unit(&packed) as f32);
/// let mut scores = [[[0.0; BLOCK]; 1]; 4];
/// let [a, b, c, d] = &mut scores;
/// score_bytes(Scalar, queries.each_ref(), &packed, factors, &[[0.5; BLOCK]], [a, b, c, d]);
/// assert_eq!(scores[0][0][..2], [127.0 * 127.0 + 0.5, 2.0 * 25.0 + 0.5]);
/// # Ok::<(), ivf_core::RowsError>(())
/// ```
///
/// # Panics
/// If the dimensions differ, a query is not one row, or there is not one block of offsets and of
/// scores for each block of vectors.
#[inline(always)]
pub fn score_bytes<S: Simd, const Q: usize>(
    simd: S,
    queries: [&ByteQueries<'_>; Q],
    packed: &PackedBytes,
    factors: [f32; Q],
    offsets: &[[f32; BLOCK]],
    scores: [&mut [[f32; BLOCK]]; Q],
) {
    const { assert!(Q == 1 || Q == TILE) };
    let (blocks, groups) = (packed.starts.len(), packed.dim.div_ceil(4));
    assert!(offsets.len() == blocks && scores.iter().all(|scores| scores.len() == blocks), "blocks of scores");
    assert!(queries.iter().all(|query| query.groups.len() == groups), "one row of the vectors' dimension");
    // With one query, all four rows are that query, and only the first is used.
    let [a, b, c, d] = [0, 1, 2, 3].map(|q| queries[q % Q]);
    let rows = [&a.groups[..], &b.groups[..], &c.groups[..], &d.groups[..]];
    let mut sums = [[[0; LANES]; 2]; TILE];
    for (b, (block, starts)) in packed.columns.chunks_exact(groups).zip(&packed.starts).enumerate() {
        if Q == 1 {
            sums[0] = products_of_one(simd, rows[0], block, starts);
        } else {
            products(simd, rows, block, starts, &mut sums);
        }
        for q in 0..Q {
            let factor = simd.splat(factors[q]);
            let offsets = offsets[b].as_chunks::<LANES>().0;
            let out = scores[q][b].as_chunks_mut::<LANES>().0;
            for half in 0..2 {
                let products = simd.floats_of(simd.load_i32(&sums[q][half]));
                out[half] = simd.to_array(simd.mul_add(products, factor, simd.load(&offsets[half])));
            }
        }
    }
}

/// Number of queries in a tile. Their sums stay in registers.
const TILE: usize = 4;

/// Adds the products of the queries with the vectors of a block to `starts`, and writes the results
/// to `sums`. (If the function returned the sums, the compiler would keep some of them in memory
/// during the loop.)
#[inline(always)]
fn products<S: Simd>(
    simd: S,
    rows: [&[[u8; 4]]; TILE],
    block: &[[[i8; 4]; BLOCK]],
    starts: &[i32; BLOCK],
    sums: &mut [[[i32; LANES]; 2]; TILE],
) {
    let [a, b, c, d] = rows.map(|row| &row[..block.len()]);
    let [low, high] = *starts.as_chunks::<LANES>().0 else { unreachable!("a block has two halves") };
    let (low, high) = (simd.load_i32(&low), simd.load_i32(&high));
    // Eight variables: in an array, some sums would leave the registers in every iteration.
    let (mut a0, mut b0, mut c0, mut d0) = (low, low, low, low);
    let (mut a1, mut b1, mut c1, mut d1) = (high, high, high, high);
    for (g, column) in block.iter().enumerate() {
        (a0, a1) = dot_column(simd, (a0, a1), a[g], column);
        (b0, b1) = dot_column(simd, (b0, b1), b[g], column);
        (c0, c1) = dot_column(simd, (c0, c1), c[g], column);
        (d0, d1) = dot_column(simd, (d0, d1), d[g], column);
    }
    sums[0] = [simd.to_array_i32(a0), simd.to_array_i32(a1)];
    sums[1] = [simd.to_array_i32(b0), simd.to_array_i32(b1)];
    sums[2] = [simd.to_array_i32(c0), simd.to_array_i32(c1)];
    sums[3] = [simd.to_array_i32(d0), simd.to_array_i32(d1)];
}

/// Adds the products of one query with the vectors of a block to `starts`.
#[inline(always)]
fn products_of_one<S: Simd>(
    simd: S,
    row: &[[u8; 4]],
    block: &[[[i8; 4]; BLOCK]],
    starts: &[i32; BLOCK],
) -> [[i32; LANES]; 2] {
    let [low, high] = *starts.as_chunks::<LANES>().0 else { unreachable!("a block has two halves") };
    let zero = simd.load_i32(&[0; LANES]);
    // A sum waits for its last addition, so that every fourth group has sums of its own.
    let (mut a0, mut b0, mut c0, mut d0) = (simd.load_i32(&low), zero, zero, zero);
    let (mut a1, mut b1, mut c1, mut d1) = (simd.load_i32(&high), zero, zero, zero);
    let (fours, rest) = row[..block.len()].as_chunks::<4>();
    let (columns, rest_columns) = block.as_chunks::<4>();
    for (row, columns) in fours.iter().zip(columns) {
        let [a, b, c, d] = columns;
        (a0, a1) = dot_column(simd, (a0, a1), row[0], a);
        (b0, b1) = dot_column(simd, (b0, b1), row[1], b);
        (c0, c1) = dot_column(simd, (c0, c1), row[2], c);
        (d0, d1) = dot_column(simd, (d0, d1), row[3], d);
    }
    for (&row, column) in rest.iter().zip(rest_columns) {
        (a0, a1) = dot_column(simd, (a0, a1), row, column);
    }
    let (mut sums, halves) = ([[0; LANES]; 2], [[a0, b0, c0, d0], [a1, b1, c1, d1]]);
    for (sums, of_groups) in sums.iter_mut().zip(halves) {
        for of_group in of_groups {
            let of_group = simd.to_array_i32(of_group);
            for lane in 0..LANES {
                sums[lane] += of_group[lane];
            }
        }
    }
    sums
}

/// Adds the products of a group of a query with the groups of a column.
#[inline(always)]
fn dot_column<S: Simd>(
    simd: S,
    (low, high): (S::I32, S::I32),
    group: [u8; 4],
    column: &[[i8; 4]; BLOCK],
) -> (S::I32, S::I32) {
    let [first, second] = column.as_chunks::<LANES>().0 else { unreachable!("a block has two halves") };
    (simd.dot4(low, group, first), simd.dot4(high, group, second))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Kernel, Level};

    struct Found<'a> {
        queries: &'a ByteQueries<'a>,
        packed: &'a PackedBytes,
        bias: &'a [i32],
        thresholds: &'a [i32],
    }

    impl Kernel for Found<'_> {
        type Output = Vec<(usize, usize)>;

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Self::Output {
            let mut found = Vec::new();
            scan_bytes(simd, self.queries, self.packed, self.bias, self.thresholds, |near| {
                found.extend(near.hits(u32::MAX).map(|(lane, _)| (near.query, near.block * BLOCK + lane)));
            });
            found.sort_unstable();
            found
        }
    }

    #[test]
    fn every_length_on_every_level_is_the_products_of_the_bytes_and_within_the_bound() {
        for dim in 1..=257 {
            for (offset, queries, vectors) in [(dim % 16, 1 + dim % 9, 37), (0, 3, 1 + dim % 64)] {
                // Large and small values, and both ends of the scale.
                let value = |i: usize| ((i * 7919 % 1013) as f32 / 506.0 - 1.0) * [1.0, 0.01, 1.0][i % 3];
                let rows: Vec<f32> = (0..offset + vectors * dim).map(value).collect();
                let points: Vec<f32> = (0..offset + queries * dim).map(|i| value(i * 5 + 3)).collect();
                let (rows, points) =
                    (Rows::new(&rows[offset..], dim).unwrap(), Rows::new(&points[offset..], dim).unwrap());
                let (packed, bytes) = (PackedBytes::new(rows), ByteQueries::new(points));
                let bias: Vec<i32> = (0..vectors as i32).map(|i| (i - 9) * 1000).collect();
                let groups = dim.div_ceil(4);
                let product = |q: usize, i: usize| -> i32 {
                    let group = |g: usize| {
                        let (a, b) = (bytes.groups[q * groups + g], packed.columns[i / BLOCK * groups + g][i % BLOCK]);
                        a.iter().zip(b).map(|(&a, b)| (i32::from(a) - 128) * i32::from(b)).sum::<i32>()
                    };
                    (0..groups).map(group).sum()
                };
                for q in 0..queries {
                    for i in 0..vectors {
                        let exact: f64 =
                            points.row(q).iter().zip(rows.row(i)).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
                        let off = (exact - f64::from(product(q, i)) * bytes.unit(&packed)).abs();
                        assert!(off <= bytes.error(q, &packed), "dimension {dim}: {off} is beyond the bound");
                    }
                }
                let thresholds: Vec<i32> = (0..queries).map(|q| product(q, q % vectors) - bias[q % vectors]).collect();
                for thresholds in [thresholds.iter().map(|t| t + 1).collect(), thresholds, vec![i32::MIN; queries]] {
                    let near = |&(q, i): &(usize, usize)| product(q, i) - bias[i] >= thresholds[q];
                    let expected: Vec<_> =
                        (0..queries).flat_map(|q| (0..vectors).map(move |i| (q, i))).filter(near).collect();
                    for level in Level::available() {
                        let found = Found { queries: &bytes, packed: &packed, bias: &bias, thresholds: &thresholds };
                        assert_eq!(level.run(found), expected, "dimension {dim}, {level}");
                    }
                }
            }
        }
    }

    /// Scores of one query, computed alone and with three others.
    struct Scored<'a>(&'a ByteQueries<'a>, &'a ByteQueries<'a>, &'a PackedBytes, &'a [[f32; BLOCK]]);

    impl Kernel for Scored<'_> {
        type Output = [Vec<[f32; BLOCK]>; 2];

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Self::Output {
            let Self(query, other, packed, offsets) = self;
            let room = || vec![[0.0; BLOCK]; offsets.len()];
            let (mut alone, mut a, mut b, mut c, mut d) = (room(), room(), room(), room(), room());
            score_bytes(simd, [query], packed, [0.5], offsets, [&mut alone]);
            let scores = [&mut a[..], &mut b, &mut c, &mut d];
            score_bytes(simd, [other, other, query, other], packed, [2.0, 2.0, 0.5, 2.0], offsets, scores);
            [alone, c]
        }
    }

    #[test]
    fn a_query_alone_has_the_scores_that_it_has_in_a_tile() {
        for dim in [1, 4, 13, 16, 17, 31, 64, 100, 257] {
            let value = |i: usize| (i * 7919 % 1013) as f32 / 506.0 - 1.0;
            let rows: Vec<f32> = (0..70 * dim).map(value).collect();
            let points: Vec<f32> = (0..2 * dim).map(|i| value(i * 5 + 3)).collect();
            let packed = PackedBytes::new(Rows::new(&rows, dim).unwrap());
            let [query, other] = [0, 1].map(|q| ByteQueries::new(Rows::new(&points[q * dim..][..dim], dim).unwrap()));
            let offsets = vec![[0.25; BLOCK]; 3];
            let groups = dim.div_ceil(4);
            let score = |i: usize| {
                let products = (0..groups).map(|g| {
                    let (a, b) = (query.groups[g], packed.columns[i / BLOCK * groups + g][i % BLOCK]);
                    a.iter().zip(b).map(|(&a, b)| (i32::from(a) - 128) * i32::from(b)).sum::<i32>()
                });
                (products.sum::<i32>() as f32).mul_add(0.5, 0.25)
            };
            for level in Level::available() {
                for scores in level.run(Scored(&query, &other, &packed, &offsets)) {
                    let found: Vec<f32> = scores.as_flattened()[..70].to_vec();
                    assert_eq!(found, (0..70).map(score).collect::<Vec<_>>(), "dimension {dim}, {level}");
                }
            }
        }
    }
}
