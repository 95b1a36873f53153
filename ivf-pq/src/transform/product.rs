//! Inner products of rows with packed vectors: the matrix product of a linear map, and of the
//! moments that training computes.

use ivf_cpu::kernels::{BLOCK, Distance, InnerProduct, PackedRows};
use ivf_cpu::simd::{Kernel, LANES, Level, Simd};

/// Size, in bytes, of the packed vectors that stay in the second-level cache while all rows pass
/// over them.
const CACHED: usize = 1 << 18;

/// Writes the inner product of each row with each packed vector, from block `first` on, to `out`,
/// row after row.
///
/// ```text
///              32 packed vectors (lanes)
///            +--------------------------+
/// row 0      | sums                     |     a tile of sums stays in registers over all
/// row 1      | sums                     |     dimensions, then goes to the output
///   ...      +--------------------------+
/// ```
///
/// Each product is a fold over the dimensions in order, with one fused multiply-add for each. So it
/// depends neither on the instruction set nor on the other rows.
///
/// # Panics
/// If a row has another dimension, or `out` another length.
pub(super) fn products(rows: &[&[f32]], packed: &PackedRows, first: usize, out: &mut [f32]) {
    let stride = packed.len() - first * BLOCK;
    assert_eq!(out.len(), rows.len() * stride, "a product for each row and vector");
    assert!(rows.iter().all(|row| row.len() == packed.dim()), "rows of the vectors' dimension");
    Level::get().run(Products { rows, packed, first, out });
}

struct Products<'a> {
    rows: &'a [&'a [f32]],
    packed: &'a PackedRows,
    first: usize,
    out: &'a mut [f32],
}

impl Kernel for Products<'_> {
    type Output = ();
    const BYTES: bool = false;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { rows, packed, first, out } = self;
        let (dim, stride) = (packed.dim(), packed.len() - first * BLOCK);
        let cached = (CACHED / (dim * size_of::<[f32; BLOCK]>())).max(1);
        for (group, columns) in packed.columns()[first * dim..].chunks(cached * dim).enumerate() {
            let at = group * cached * BLOCK;
            let (mut rows, mut out) = (rows, &mut *out);
            while !rows.is_empty() {
                let done = match rows.len().min(S::TILE) {
                    8.. => tile::<S, 8>(simd, rows, columns, stride, at, out),
                    5.. => tile::<S, 5>(simd, rows, columns, stride, at, out),
                    4 => tile::<S, 4>(simd, rows, columns, stride, at, out),
                    2.. => tile::<S, 2>(simd, rows, columns, stride, at, out),
                    _ => tile::<S, 1>(simd, rows, columns, stride, at, out),
                };
                (rows, out) = (&rows[done..], &mut out[done * stride..]);
            }
        }
    }
}

/// Computes the products of the first `Q` rows with some blocks of vectors, the first of which is
/// number `at` of a row of the output. Returns `Q`.
#[inline(always)]
fn tile<S: Simd, const Q: usize>(
    simd: S,
    rows: &[&[f32]],
    columns: &[[f32; BLOCK]],
    stride: usize,
    at: usize,
    out: &mut [f32],
) -> usize {
    // No code is compiled for tiles that exceed the registers of the instruction set.
    if const { Q > 1 && Q > S::TILE } {
        return Q;
    }
    let rows: &[&[f32]; Q] = rows.first_chunk().expect("Q rows");
    let zero = simd.splat(0.0);
    for (b, block) in columns.chunks_exact(rows[0].len()).enumerate() {
        let from = at + b * BLOCK;
        let mut lanes = [[0.0; BLOCK]; Q];
        // Two halves at once where one would leave the multipliers waiting for each other.
        if const { S::HALVES == 2 || Q <= 2 } {
            let sums = InnerProduct.distances::<S, _, Q, 2>(simd, *rows, block, 0);
            for q in 0..Q {
                let halves = lanes[q].as_chunks_mut::<LANES>().0;
                // The distance is the negated product.
                halves[0] = simd.to_array(simd.sub(zero, sums[q][0]));
                halves[1] = simd.to_array(simd.sub(zero, sums[q][1]));
            }
        } else {
            for half in 0..2 {
                let sums = InnerProduct.distances::<S, _, Q, 1>(simd, *rows, block, half);
                for q in 0..Q {
                    lanes[q].as_chunks_mut::<LANES>().0[half] = simd.to_array(simd.sub(zero, sums[q][0]));
                }
            }
        }
        let count = (stride - from).min(BLOCK);
        for q in 0..Q {
            out[q * stride + from..][..count].copy_from_slice(&lanes[q][..count]);
        }
    }
    Q
}

/// Writes to `out` the sum of the packed vectors, each times its weight: the product with the
/// transposed matrix.
///
/// # Panics
/// If there is not a weight for each vector, or `out` has another dimension.
pub(super) fn weighted_sum(packed: &PackedRows, weights: &[f32], out: &mut [f32]) {
    assert_eq!((weights.len(), out.len()), (packed.len(), packed.dim()), "a weight for each vector");
    let mut lanes = vec![[0.0; LANES]; 2 * packed.len().div_ceil(BLOCK)];
    lanes.as_flattened_mut()[..weights.len()].copy_from_slice(weights);
    Level::get().run(WeightedSum { packed, weights: &lanes, out });
}

struct WeightedSum<'a> {
    packed: &'a PackedRows,
    weights: &'a [[f32; LANES]],
    out: &'a mut [f32],
}

impl Kernel for WeightedSum<'_> {
    type Output = ();
    const BYTES: bool = false;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { packed, weights, out } = self;
        let (columns, dim) = (packed.columns(), packed.dim());
        for (d, out) in out.iter_mut().enumerate() {
            let mut sums = simd.splat(0.0);
            for (b, weights) in weights.as_chunks::<2>().0.iter().enumerate() {
                let halves = columns[b * dim + d].as_chunks::<LANES>().0;
                sums = simd.mul_add(simd.load(&halves[0]), simd.load(&weights[0]), sums);
                sums = simd.mul_add(simd.load(&halves[1]), simd.load(&weights[1]), sums);
            }
            *out = simd.to_array(sums).iter().sum();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ivf_core::Rows;

    fn numbers(count: usize, step: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * step % 101) as f32 - 50.0) * 0.37).collect()
    }

    #[test]
    fn products_are_folds_in_order_on_every_level_for_any_shape() {
        for (dim, vectors, n) in [(1, 1, 1), (7, 33, 3), (16, 64, 5), (40, 100, 13), (3, 31, 8), (5, 96, 9)] {
            let (left, right) = (numbers(n * dim, 17), numbers(vectors * dim, 23));
            let rows: Vec<&[f32]> = left.chunks_exact(dim).collect();
            let packed = PackedRows::new(Rows::new(&right, dim).unwrap());
            for first in 0..vectors.div_ceil(BLOCK) {
                let expected: Vec<f32> = rows
                    .iter()
                    .flat_map(|row| right.chunks_exact(dim).skip(first * BLOCK).map(move |vector| (row, vector)))
                    .map(|(row, vector)| row.iter().zip(vector).fold(0.0_f32, |sum, (x, y)| x.mul_add(*y, sum)))
                    .collect();
                for level in Level::available() {
                    let mut out = vec![f32::NAN; expected.len()];
                    level.run(Products { rows: &rows, packed: &packed, first, out: &mut out });
                    assert_eq!(out, expected, "{level}, {n} x {dim} x {vectors}");
                }
            }
        }
    }

    #[test]
    fn sums_of_weighted_vectors_are_the_same_on_every_level() {
        for (dim, vectors) in [(1, 1), (6, 33), (9, 64), (3, 100)] {
            let data = numbers(vectors * dim, 29);
            let weights = numbers(vectors, 31);
            let packed = PackedRows::new(Rows::new(&data, dim).unwrap());
            let mut expected = vec![f32::NAN; dim];
            weighted_sum(&packed, &weights, &mut expected);
            for (d, found) in expected.iter().enumerate() {
                let terms = weights.iter().enumerate().map(|(i, w)| f64::from(*w) * f64::from(data[i * dim + d]));
                let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
                assert!((f64::from(*found) - sum).abs() <= size * vectors as f64 * f64::from(f32::EPSILON));
            }
            let mut padded = vec![[0.0; LANES]; 2 * vectors.div_ceil(BLOCK)];
            padded.as_flattened_mut()[..vectors].copy_from_slice(&weights);
            for level in Level::available() {
                let mut out = vec![f32::NAN; dim];
                level.run(WeightedSum { packed: &packed, weights: &padded, out: &mut out });
                assert_eq!(out, expected, "{level}");
            }
        }
    }
}
