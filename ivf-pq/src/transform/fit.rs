//! Points that are turned, again and again, to be near to targets.

use super::moments::{Write, cross_moments};
use super::orthogonal::{nearest, product, transposed};
use super::pca::floats;
use super::product::products;
use ivf_core::error::TrainError;
use ivf_core::executor::map_items;
use ivf_core::{Rows, TrainOptions};
use ivf_cpu::executor_for;
use ivf_cpu::kernels::PackedRows;
use std::ops::Range;

/// Writes the targets of some points, which are passed with their numbers.
pub(super) type Targets<'a> = &'a (dyn Fn(Range<usize>, &[f32], &mut [f32]) + Sync);

/// Number of points in one task.
pub(super) const CHUNK: usize = 256;

/// Points, and the product of all rotations that they went through.
pub(super) struct Turned {
    /// The points, row after row.
    pub(super) points: Vec<f32>,
    pub(super) dim: usize,
    /// The product of the rotations, row after row.
    pub(super) rotation: Vec<f64>,
}

impl Turned {
    /// Creates points that are not rotated yet: the images of vectors under a matrix of rows of
    /// `dim_in` numbers.
    pub(super) fn new(n: usize, dim_in: usize, write: Write<'_>, matrix: &[f32], options: &TrainOptions<'_>) -> Self {
        let matrix = PackedRows::new(Rows::new(matrix, dim_in).expect("whole rows"));
        let dim = matrix.len();
        let mut points = vec![0.0; n * dim];
        let jobs: Vec<_> = points.chunks_mut(CHUNK * dim).collect();
        map_items(executor_for(options.executor, n * dim * dim_in), jobs, |job, out| {
            let len = out.len() / dim;
            let mut rows = vec![0.0; len * dim_in];
            write(job * CHUNK..job * CHUNK + len, &mut rows);
            products(&rows.chunks_exact(dim_in).collect::<Vec<_>>(), &matrix, 0, out);
        });
        let mut rotation = vec![0.0; dim * dim];
        (0..dim).for_each(|i| rotation[i * dim + i] = 1.0);
        Self { points, dim, rotation }
    }

    /// Returns the number of points.
    pub(super) fn len(&self) -> usize {
        self.points.len() / self.dim
    }

    /// Turns the points so that the sum of squared distances to their targets is least.
    pub(super) fn fit(&mut self, targets: Targets<'_>, options: &TrainOptions<'_>) -> Result<(), TrainError> {
        let dim = self.dim;
        // The rotation P maximises the sum of (P x) y, which is the trace of P times the sum of
        // x y^T.
        let points = |range: Range<usize>| &self.points[range.start * dim..range.end * dim];
        let left = |range: Range<usize>, out: &mut [f32]| out.copy_from_slice(points(range));
        let right = |range: Range<usize>, out: &mut [f32]| targets(range.clone(), points(range), out);
        let moments = cross_moments(self.len(), dim, &left, Some(&right), options)?;
        let turn = nearest(&transposed(&moments, dim), dim, options)?;
        self.turn(&turn, options);
        Ok(())
    }

    /// Turns the points.
    pub(super) fn turn(&mut self, turn: &[f64], options: &TrainOptions<'_>) {
        let (dim, floats) = (self.dim, floats(turn));
        let packed = PackedRows::new(Rows::new(&floats, dim).expect("whole rows"));
        let executor = executor_for(options.executor, self.points.len() * dim);
        let jobs: Vec<_> = self.points.chunks_mut(CHUNK * dim).collect();
        map_items(executor, jobs, |_, out| {
            let before = out.to_vec();
            products(&before.chunks_exact(dim).collect::<Vec<_>>(), &packed, 0, out);
        });
        self.rotation = product(turn, dim, &self.rotation, dim, options.executor);
    }
}
