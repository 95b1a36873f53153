//! Sums over training vectors, from which the transforms learn: means and second moments.

use super::product::products;
use ivf_core::error::TrainError;
use ivf_core::executor::map_items;
use ivf_core::{AnyRows, Rows, TrainOptions};
use ivf_cpu::kernels::{BLOCK, PackedRows};
use ivf_cpu::{executor_for, sample_memory, sample_rows};
use std::ops::Range;

/// Maximum number of training vectors of a transform. (Faiss: 65,536 for OPQ, 1,000 for each
/// dimension for PCA.) In 2,000 dimensions, these are 32 for each.
pub(super) const POINTS: usize = 1 << 16;

/// Number of vectors whose products are summed in `f32`. Sums of more are in `f64`.
const SUMMED: usize = 256;
/// Number of such sums in one round of tasks.
const AT_ONCE: usize = 8;
/// Number of rows of a matrix of moments in one task.
const ROWS: usize = 40;

/// Returns the memory of drawing the training vectors of a transform from `points` vectors, in
/// bytes: 0 if all are used.
pub(super) fn sampled(dim: usize, points: usize) -> usize {
    if points > POINTS { sample_memory(POINTS, dim) } else { 0 }
}

/// Training vectors, less their mean (or not), times a power of two that makes the largest number
/// about 1. So squares and sums neither overflow nor vanish.
#[derive(Debug)]
pub(super) struct Points<'a> {
    rows: Rows<'a, f32>,
    /// The mean of the vectors, or zeros.
    pub(super) mean: Vec<f64>,
    /// Scaled numbers are this many times the given ones.
    pub(super) scale: f64,
}

impl<'a> Points<'a> {
    /// Draws the training vectors of a transform.
    pub(super) fn sample(
        rows: AnyRows<'a>,
        centred: bool,
        options: &TrainOptions<'_>,
        scratch: &'a mut Vec<f32>,
    ) -> Self {
        let rows = sample_rows(rows, POINTS, options.seed_or_default(), scratch);
        let dim = rows.dim();
        let mut mean = vec![0.0; dim];
        if centred && !rows.is_empty() {
            rows.iter().for_each(|row| mean.iter_mut().zip(row).for_each(|(mean, &x)| *mean += f64::from(x)));
            mean.iter_mut().for_each(|mean| *mean /= rows.len() as f64);
        }
        let away =
            |row: &[f32]| row.iter().zip(&mean).fold(0.0, |most: f64, (&x, m)| most.max((f64::from(x) - m).abs()));
        let largest = rows.iter().map(away).fold(0.0, f64::max);
        let scale = if largest > 0.0 { super::eigen::power_of_two(-super::eigen::exponent(largest)) } else { 1.0 };
        Self { rows, mean, scale }
    }

    /// Returns the number of vectors.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns the dimension of the vectors.
    pub(super) fn dim(&self) -> usize {
        self.rows.dim()
    }

    /// Returns the mean as it is subtracted from vectors.
    pub(super) fn mean(&self) -> Vec<f32> {
        self.mean.iter().map(|&mean| mean as f32).collect()
    }

    /// Writes some of the vectors, row after row.
    pub(super) fn write(&self, range: Range<usize>, out: &mut [f32]) {
        for (row, out) in self.rows.slice(range).iter().zip(out.chunks_exact_mut(self.dim())) {
            for ((out, &x), mean) in out.iter_mut().zip(row).zip(&self.mean) {
                *out = ((f64::from(x) - mean) * self.scale) as f32;
            }
        }
    }

    /// Returns the matrix of second moments: the mean over all vectors `x` of `x x^T`.
    pub(super) fn moments(&self, options: &TrainOptions<'_>) -> Result<Vec<f64>, TrainError> {
        let write = |range: Range<usize>, out: &mut [f32]| self.write(range, out);
        let mut moments = cross_moments(self.len(), self.dim(), &write, None, options)?;
        moments.iter_mut().for_each(|sum| *sum /= self.len() as f64);
        Ok(moments)
    }
}

/// Writes some vectors, row after row.
pub(super) type Write<'a> = &'a (dyn Fn(Range<usize>, &mut [f32]) + Sync);

/// Returns the memory of [`cross_moments`] in bytes.
pub(super) fn memory(dim: usize) -> usize {
    let packed = dim.next_multiple_of(BLOCK) + 2 * dim;
    dim * dim * size_of::<f64>() + AT_ONCE * SUMMED * packed * size_of::<f32>() + 8 * ROWS * dim * size_of::<f32>()
}

/// Returns the sum of `x y^T` over `n` pairs of vectors of `dim` numbers, or of `x x^T` if there
/// is no right one. The sums do not depend on the number of threads.
pub(super) fn cross_moments(
    n: usize,
    dim: usize,
    left: Write<'_>,
    right: Option<Write<'_>>,
    options: &TrainOptions<'_>,
) -> Result<Vec<f64>, TrainError> {
    let mut moments = vec![0.0; dim * dim];
    let executor = executor_for(options.executor, n.saturating_mul(dim * dim));
    for first in (0..n).step_by(AT_ONCE * SUMMED) {
        options.check_cancel()?;
        let starts: Vec<usize> = (first..n.min(first + AT_ONCE * SUMMED)).step_by(SUMMED).collect();
        let pairs = map_items(executor, starts, |_, start| {
            let range = start..n.min(start + SUMMED);
            let columns = columns(range.clone(), dim, left);
            let packed = match right {
                Some(right) => PackedRows::new(columns_of(&self::columns(range.clone(), dim, right), range.len())),
                None => PackedRows::new(columns_of(&columns, range.len())),
            };
            (columns, packed)
        });
        let jobs: Vec<_> = moments.chunks_mut(ROWS * dim).collect();
        map_items(executor, jobs, |job, sums| {
            let start = job * ROWS;
            // Of a symmetric matrix, the blocks before the diagonal are those after it.
            let block = if right.is_none() { start / BLOCK } else { 0 };
            let width = dim - block * BLOCK;
            let count = sums.len() / dim;
            let mut part = vec![0.0; count * width];
            for (columns, packed) in &pairs {
                let len = packed.dim();
                let rows: Vec<&[f32]> = columns[start * len..][..count * len].chunks_exact(len).collect();
                products(&rows, packed, block, &mut part);
                for (sums, part) in sums.chunks_exact_mut(dim).zip(part.chunks_exact(width)) {
                    sums[dim - width..].iter_mut().zip(part).for_each(|(sum, &x)| *sum += f64::from(x));
                }
            }
        });
    }
    if right.is_none() {
        for i in 0..dim {
            for j in 0..i {
                moments[i * dim + j] = moments[j * dim + i];
            }
        }
    }
    Ok(moments)
}

/// Returns some vectors with one row for each dimension.
fn columns(range: Range<usize>, dim: usize, write: Write<'_>) -> Vec<f32> {
    let len = range.len();
    let mut rows = vec![0.0; len * dim];
    write(range, &mut rows);
    let mut columns = vec![0.0; len * dim];
    for (i, row) in rows.chunks_exact(dim).enumerate() {
        row.iter().enumerate().for_each(|(d, x)| columns[d * len + i] = *x);
    }
    columns
}

fn columns_of(columns: &[f32], len: usize) -> Rows<'_, f32> {
    Rows::new(columns, len).expect("whole columns")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ivf_testkit::data::clusters;
    use ivf_testkit::executor::Threads;

    #[test]
    fn moments_are_the_sums_of_products_for_any_number_of_threads() {
        for (n, dim) in [(1, 1), (300, 7), (2500, 45), (256, 40), (3000, 100)] {
            let data = clusters(3, n, dim, 5);
            for centred in [false, true] {
                let (mut scratch, mut other) = (Vec::new(), Vec::new());
                let options = TrainOptions::new();
                let points = Points::sample(data.rows().into(), centred, &options, &mut scratch);
                let found = points.moments(&options).unwrap();
                let threads = Threads(3);
                let on_threads = Points::sample(data.rows().into(), centred, &options, &mut other);
                assert_eq!(on_threads.moments(&options.executor(&threads)).unwrap(), found);
                for (i, j) in [(0, 0), (dim - 1, 0), (dim / 2, dim - 1), (0, dim - 1)] {
                    let terms = data
                        .rows()
                        .iter()
                        .map(|row| (f64::from(row[i]) - points.mean[i]) * (f64::from(row[j]) - points.mean[j]));
                    let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), x| (sum + x, size + x.abs()));
                    let unit = points.scale * points.scale / n as f64;
                    let off = (found[i * dim + j] - sum * unit).abs();
                    assert!(off <= size * unit * SUMMED as f64 * f64::from(f32::EPSILON), "{off} of {sum}");
                }
            }
        }
    }
}
