//! Matrices with orthonormal rows: made of any rows, drawn at random, and the one nearest to a
//! matrix.

use super::eigen::{self, eigen};
use ivf_core::Executor;
use ivf_core::TrainOptions;
use ivf_core::error::TrainError;
use ivf_core::executor::map_items;
use ivf_cpu::executor_for;
use ivf_cpu::simd::{Kernel, Level, Simd};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Number of rows in one task of a product.
const ROWS: usize = 32;
/// Number of rows between two checks for cancellation.
const CHECKED: usize = 64;

/// Makes rows of `dim` numbers orthonormal, from the first to the last (modified Gram-Schmidt). A
/// row that is a sum of those before it, up to rounding, is replaced by another direction. There
/// are at most `dim` rows.
pub(super) fn orthonormalise(rows: &mut [f64], dim: usize, options: &TrainOptions<'_>) -> Result<(), TrainError> {
    let mut unit = 0;
    for i in 0..rows.len() / dim {
        if i.is_multiple_of(CHECKED) {
            options.check_cancel()?;
        }
        let (before, rest) = rows.split_at_mut(i * dim);
        let row = &mut rest[..dim];
        while !Level::get().run(Orthonormalise { before, row }) {
            // At least one of the unit vectors is not a sum of fewer than `dim` vectors.
            row.fill(0.0);
            row[unit % dim] = 1.0;
            unit += 1;
        }
    }
    Ok(())
}

/// Makes a row orthogonal to orthonormal rows, and of unit length. Returns false if nothing of the
/// row is left.
struct Orthonormalise<'a> {
    before: &'a [f64],
    row: &'a mut [f64],
}

impl Kernel for Orthonormalise<'_> {
    type Output = bool;
    const BYTES: bool = false;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> bool {
        let Self { before, row } = self;
        let mut norm = scale_to_unit(row);
        // Where much cancels, rounding leaves something of the other rows, which a second pass
        // removes (Kahan's "twice is enough").
        let mut passes = 0;
        while norm > 0.0 && passes < 3 {
            for other in before.chunks_exact(row.len()) {
                let product = eigen::dot(row, other);
                eigen::add(row, -product, other);
            }
            norm = scale_to_unit(row);
            passes += 1;
            if norm < 1e-10 {
                return false;
            }
            if norm > 0.7 {
                return true;
            }
        }
        norm > 0.0
    }
}

/// Scales a vector to unit length. Returns its length before that. A zero vector stays zero.
#[inline(always)]
fn scale_to_unit(row: &mut [f64]) -> f64 {
    let mut largest = 0.0_f64;
    for x in &*row {
        largest = largest.max(x.abs());
    }
    if largest == 0.0 {
        return 0.0;
    }
    // Squares of numbers near 1 neither overflow nor vanish.
    let scale = eigen::power_of_two(-eigen::exponent(largest));
    for x in &mut *row {
        *x *= scale;
    }
    let norm = eigen::dot(row, row).sqrt();
    for x in &mut *row {
        *x /= norm;
    }
    norm / scale
}

/// Draws `n` orthonormal rows of `dim` numbers, `n <= dim`.
///
/// Rows of independent normal numbers have no direction that they prefer. Each number is a sum of
/// 12 uniform ones instead, which is near to normal, and the same on all machines (logarithms are
/// not).
pub(super) fn random(n: usize, dim: usize, options: &TrainOptions<'_>) -> Result<Vec<f64>, TrainError> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(options.seed_or_default());
    let mut rows = Vec::with_capacity(n * dim);
    for _ in 0..n * dim {
        rows.push((0..12).map(|_| f64::from(random.random::<u32>())).sum::<f64>() / f64::from(u32::MAX) - 6.0);
    }
    orthonormalise(&mut rows, dim, options)?;
    Ok(rows)
}

/// Returns the memory of [`nearest`] in bytes, besides the matrix, for `n` rows.
pub(super) fn nearest_memory(n: usize) -> usize {
    5 * n * n * size_of::<f64>() + eigen::memory(n)
}

/// Returns the orthogonal matrix that is nearest to a square matrix `M` of `n` rows: `U V^T` for
/// the singular value decomposition `U S V^T` of `M` (Schönemann, "A generalized solution of the
/// orthogonal Procrustes problem", 1966). Where `M` has no rank, it is one of the nearest.
///
/// `V` are the eigenvectors of `M^T M`, and `U S = M V`.
pub(super) fn nearest(matrix: &[f64], n: usize, options: &TrainOptions<'_>) -> Result<Vec<f64>, TrainError> {
    let executor = options.executor;
    let largest = matrix.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
    let scale = if largest > 0.0 { eigen::power_of_two(-eigen::exponent(largest)) } else { 1.0 };
    let scaled: Vec<f64> = matrix.iter().map(|x| x * scale).collect();
    let columns = transposed(&scaled, n);
    let mut gram = product(&columns, n, &scaled, n, executor);
    let right = eigen(&mut gram, n, n, options)?.vectors;
    // Row `i` of these is `M v_i`, the largest first, so that the small ones take what rounding
    // left of the large ones.
    let mut left = product(&right, n, &columns, n, executor);
    orthonormalise(&mut left, n, options)?;
    Ok(product(&transposed(&left, n), n, &right, n, executor))
}

/// Returns the transposed matrix of one with rows of `n` numbers.
pub(super) fn transposed(matrix: &[f64], n: usize) -> Vec<f64> {
    let rows = matrix.len() / n;
    let mut columns = vec![0.0; matrix.len()];
    for (i, row) in matrix.chunks_exact(n).enumerate() {
        row.iter().enumerate().for_each(|(j, x)| columns[j * rows + i] = *x);
    }
    columns
}

/// Returns the product of a matrix with rows of `n` numbers and one with `n` rows of `width`.
pub(super) fn product(
    left: &[f64],
    n: usize,
    right: &[f64],
    width: usize,
    executor: Option<&dyn Executor>,
) -> Vec<f64> {
    let mut out = vec![0.0; left.len() / n * width];
    let jobs: Vec<_> = left.chunks(ROWS * n).zip(out.chunks_mut(ROWS * width)).collect();
    map_items(executor_for(executor, left.len() * width), jobs, |_, (left, out)| {
        Level::get().run(Product { left, n, right, width, out });
    });
    out
}

struct Product<'a> {
    left: &'a [f64],
    n: usize,
    right: &'a [f64],
    width: usize,
    out: &'a mut [f64],
}

impl Kernel for Product<'_> {
    type Output = ();
    const BYTES: bool = false;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Self { left, n, right, width, out } = self;
        for (k, right) in right.chunks_exact(width).enumerate() {
            for (left, out) in left.chunks_exact(n).zip(out.chunks_exact_mut(width)) {
                eigen::add(out, left[k], right);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the largest deviation of the products of rows from those of orthonormal ones.
    fn deviation(rows: &[f64], dim: usize) -> f64 {
        let mut most = 0.0_f64;
        for (i, a) in rows.chunks_exact(dim).enumerate() {
            for (j, b) in rows.chunks_exact(dim).enumerate() {
                let product: f64 = a.iter().zip(b).map(|(x, y)| x * y).sum();
                most = most.max((product - f64::from(u8::from(i == j))).abs());
            }
        }
        most
    }

    #[test]
    fn random_rows_are_orthonormal_and_depend_on_the_seed() {
        for (n, dim) in [(1, 1), (1, 9), (5, 9), (40, 40), (64, 100)] {
            let options = TrainOptions::new();
            let rows = random(n, dim, &options).unwrap();
            assert!(rows.len() == n * dim && deviation(&rows, dim) < 1e-14 * dim as f64);
            assert_eq!(random(n, dim, &options).unwrap(), rows);
            assert!(dim == 1 || random(n, dim, &options.seed(5)).unwrap() != rows);
        }
    }

    #[test]
    fn rows_that_depend_on_one_another_are_replaced() {
        let dim = 6;
        for scale in [1.0, 1e-200, 1e200] {
            let mut rows: Vec<f64> = (0..dim * dim).map(|i| scale * (i % dim + i / dim * 2) as f64).collect();
            rows[2 * dim..3 * dim].fill(0.0);
            orthonormalise(&mut rows, dim, &TrainOptions::new()).unwrap();
            assert!(deviation(&rows, dim) < 1e-14, "{rows:?}");
        }
    }

    #[test]
    fn the_nearest_orthogonal_matrix_has_the_largest_trace() {
        let n = 12;
        let options = TrainOptions::new();
        let rotation = random(n, n, &options.seed(3)).unwrap();
        // A rotation times a positive matrix: the rotation is the nearest.
        let positive: Vec<f64> = {
            let axes = random(n, n, &options.seed(4)).unwrap();
            let mut scaled = axes.clone();
            for (i, row) in scaled.chunks_exact_mut(n).enumerate() {
                row.iter_mut().for_each(|x| *x *= 0.3_f64.powi(i as i32));
            }
            product(&transposed(&axes, n), n, &scaled, n, None)
        };
        let matrix = product(&rotation, n, &positive, n, None);
        for scale in [1.0, 1e-250, 1e250] {
            let scaled: Vec<f64> = matrix.iter().map(|x| x * scale).collect();
            let found = nearest(&scaled, n, &options).unwrap();
            assert!(deviation(&found, n) < 1e-13);
            // The least singular value is 1e-6 of the largest, and its square the limit.
            let off = found.iter().zip(&rotation).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
            assert!(off < 1e-3, "{off}");
            let trace = |q: &[f64]| q.iter().zip(&matrix).map(|(x, y)| x * y).sum::<f64>();
            assert!(trace(&found) >= trace(&rotation) * (1.0 - 1e-12));
        }
        // Without rank, it is still orthogonal.
        for matrix in [vec![0.0; n * n], vec![1.0; n * n]] {
            assert!(deviation(&nearest(&matrix, n, &options).unwrap(), n) < 1e-13);
        }
    }
}
