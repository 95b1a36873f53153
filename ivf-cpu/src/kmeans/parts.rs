//! k-means of several parts (ranges of dimensions) of vectors at once, for the codebooks of a
//! product quantizer.

use super::{MIN_POINTS, Random, check_level, column_means, most_points, sample, update};
use crate::executor::executor_for;
use crate::kernels::{BLOCK, LaneCentroids, PackedRows, squared_norm};
use crate::simd::{Kernel, Level, Simd};
use ivf_core::error::{Computed, InputError, TrainError};
use ivf_core::executor::map_items;
use ivf_core::report::Warning;
use ivf_core::{Rows, TrainOptions, TrainReport};
use rand::SeedableRng;
use std::ops::Range;

/// Number of blocks of points in one task of a parallel loop.
const CHUNK: usize = 64;

/// Trains `k` centroids (L2) for each part of the points, and returns them row after row. It runs
/// 25 rounds unless the options set another number, over at most
/// [`TrainOptions::max_points_per_centroid`] points for each centroid. The points are transposed
/// once for all parts and rounds. The result is bit-identical for any number of threads. All
/// centroids are finite.
///
/// ```
/// use ivf_core::{Rows, TrainOptions};
/// use ivf_cpu::train_parts;
///
/// // The first dimension has clusters around 1 and 9, the other two around (4, 5) and (-4, -5).
/// let points = [0.0, 4.0, 5.0, 2.0, -4.0, -5.0, 8.0, -4.0, -5.0, 10.0, 4.0, 5.0];
/// let (mut codebooks, report) = train_parts(Rows::new(&points, 3)?, &[0..1, 1..3], 2, &TrainOptions::new())?;
/// codebooks[0].sort_by(f32::total_cmp);
/// assert_eq!(codebooks[0], [1.0, 9.0]);
/// assert_eq!(codebooks[1].len(), 2 * 2);
/// assert_eq!(report.points, 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`TrainError::TooFew`] if there are fewer points than centroids. [`InputError::Overflow`] if a
/// point is so large that the squared norm of one of its parts, relative to the mean of the points,
/// is beyond half the range of `f32`. [`TrainError::Cancelled`],
/// [`TrainError::Unsupported`] if `IVF_SIMD` names an instruction set that this machine does not
/// have.
///
/// # Panics
/// If there are no parts, a part is empty or lies outside the dimensions, or `k` is not in
/// `1..=65536`.
pub fn train_parts(
    points: Rows<'_, f32>,
    parts: &[Range<usize>],
    k: usize,
    options: &TrainOptions<'_>,
) -> Result<(Vec<Vec<f32>>, TrainReport), TrainError> {
    assert!((1..=1 << 16).contains(&k), "1 to 65536 centroids");
    assert!(
        !parts.is_empty() && parts.iter().all(|part| !part.is_empty() && part.end <= points.dim()),
        "non-empty parts within the dimensions"
    );
    check_level()?;
    if points.len() < k {
        return Err(TrainError::TooFew { who: format!("{k} centroids"), needed: k, found: points.len() });
    }
    let (given, most, seed) = (points.len(), most_points(k, options), options.seed_or_default());
    let mut random = Random::seed_from_u64(seed);
    let mut scratch = Vec::new();
    let points = sample::sample(points.into(), most, &mut random, &mut scratch);
    let mut report = TrainReport::default();
    report.points = points.len();
    if points.len() < k * MIN_POINTS {
        report.warnings.push(Warning::FewPoints { points: points.len(), centroids: k, wanted: MIN_POINTS });
    }
    // Centres the points, so that little cancels in products.
    let (dim, middle) = (points.dim(), column_means(points));
    let mut moved = Vec::with_capacity(points.as_slice().len());
    points.iter().for_each(|row| moved.extend(row.iter().zip(&middle).map(|(x, m)| x - m)));
    let points = Rows::new(&moved, dim).expect("as many rows");
    // A centroid is a mean of points. So its norm, and its products with points, do not overflow.
    if let Some(row) = points.iter().position(|row| parts.iter().any(|part| is_too_long(&row[part.clone()]))) {
        let row = sample::number(given, most, seed, row);
        return Err(InputError::Overflow { row, what: Computed::SubvectorNorm }.into());
    }
    let executor = executor_for(options.executor, points.len() * dim * k);
    let packed = PackedRows::new(points);
    let blocks: Vec<&[[f32; BLOCK]]> = packed.blocks().collect();
    // The same points part after part, for the sums.
    let rows: Vec<Vec<f32>> = parts
        .iter()
        .map(|part| {
            let len = points.len() * part.len();
            let mut rows = Vec::with_capacity(len + update::PADDING);
            points.iter().for_each(|row| rows.extend_from_slice(&row[part.clone()]));
            rows.resize(len + update::PADDING, 0.0);
            rows
        })
        .collect();
    let mut codebooks: Vec<Vec<f32>> = parts
        .iter()
        .map(|part| {
            let chosen = sample::choose(points.len(), k, &mut random);
            chosen.into_iter().flat_map(|i| &points.row(i)[part.clone()]).copied().collect()
        })
        .collect();
    let level = Level::get();
    let rounds = options.iterations.unwrap_or(25);
    // The term of the objective that does not depend on the centroids.
    let norms: f64 = points.as_slice().iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    let mut numbers = vec![[0_u16; BLOCK]; blocks.len() * parts.len()];
    let mut objectives = Vec::new();
    for round in 0..rounds {
        options.check_cancel()?;
        let centroids: Vec<LaneCentroids> =
            codebooks.iter().zip(parts).map(|(rows, part)| LaneCentroids::new(rows.clone(), part.len())).collect();
        let jobs: Vec<_> = blocks.chunks(CHUNK).zip(numbers.chunks_mut(CHUNK * parts.len())).collect();
        let values = map_items(executor, jobs, |job, (blocks, numbers)| {
            let left = points.len() - job * CHUNK * BLOCK;
            level.run(Assign { blocks, left, parts, centroids: &centroids, numbers })
        });
        objectives.push(norms + 2.0 * values.iter().sum::<f64>());
        let jobs: Vec<_> = codebooks.iter_mut().enumerate().collect();
        let sizes = map_items(executor, jobs, |_, (p, codebook)| {
            let mut sums = update::Sums::new(k, parts[p].len());
            let numbers = numbers.iter().skip(p).step_by(parts.len()).flatten();
            sums.add_padded(&rows[p], numbers.take(points.len()).copied());
            sums.write_means(codebook);
            sums.sizes
        });
        for ((codebook, mut sizes), part) in codebooks.iter_mut().zip(sizes).zip(parts) {
            // After the last round, no other round would correct what a split moves.
            if round + 1 < rounds {
                report.splits += update::split_empty(codebook, &mut sizes, part.len(), &mut random);
            }
        }
        if let Some(progress) = options.progress {
            progress.step("codebooks", round as u64 + 1, rounds as u64);
        }
    }
    report.objectives.push(objectives);
    for (codebook, part) in codebooks.iter_mut().zip(parts) {
        for row in codebook.chunks_exact_mut(part.len()) {
            // A split of points near the largest float may leave the range.
            let back = |x: f32, m: f32| (x + m).clamp(f32::MIN, f32::MAX);
            row.iter_mut().zip(&middle[part.clone()]).for_each(|(x, m)| *x = back(*x, *m));
        }
    }
    Ok((codebooks, report))
}

/// Returns whether the squared norm is beyond half the range of `f32`. The other half leaves room
/// for the products of two such vectors.
fn is_too_long(vector: &[f32]) -> bool {
    squared_norm(vector) > f32::MAX / 2.0
}

/// Search for the nearest centroids of all points in some blocks, for all parts. Returns the sum of
/// the values of [`LaneCentroids::nearest`].
struct Assign<'a> {
    blocks: &'a [&'a [[f32; BLOCK]]],
    /// Number of points from the first block on. Lanes beyond them are padding.
    left: usize,
    parts: &'a [Range<usize>],
    centroids: &'a [LaneCentroids],
    /// Centroid numbers for each block and part.
    numbers: &'a mut [[u16; BLOCK]],
}

impl Kernel for Assign<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f64 {
        let (mut found, mut values, mut sum) = ([0; BLOCK], [0.0; BLOCK], 0.0);
        let blocks = self.blocks.iter().zip(self.numbers.chunks_exact_mut(self.parts.len()));
        for (b, (block, numbers)) in blocks.enumerate() {
            let valid = (self.left - b * BLOCK).min(BLOCK);
            for ((part, centroids), numbers) in self.parts.iter().zip(self.centroids).zip(numbers) {
                centroids.nearest(simd, &block[part.clone()], &mut found, &mut values);
                numbers.iter_mut().zip(found).for_each(|(number, found)| *number = found as u16);
                sum += values[..valid].iter().map(|&value| f64::from(value)).sum::<f64>();
            }
        }
        sum
    }
}
