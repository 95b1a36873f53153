//! k-means: Lloyd's algorithm, and the mini-batch variant ([`mini_batch`]).
//!
//! The assignment is a fused kernel: product and arg-min over packed centroids, without an n x k
//! matrix. From the second round on, it has a first pass in bytes if the machine has an instruction
//! for it ([`assign`]). The sums are in `f64`, and the sum of each centroid runs over its points in
//! order. The result is therefore bit-identical for any number of threads.

mod assign;
mod distinct;
mod memory;
mod mini_batch;
mod parts;
pub(crate) mod sample;
mod start;
mod update;

use crate::executor::executor_for;
use assign::{Assignment, Bytes};
use distinct::Distinct;
use ivf_core::error::TrainError;
use ivf_core::params::KMeansStart;
use ivf_core::report::Warning;
use ivf_core::{AnyRows, Metric, Rows, TrainOptions, TrainReport};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use update::Sums;

pub(crate) use assign::first_pass_pays;
pub use memory::train_parts_memory;
pub use parts::train_parts;

/// Random number generator of training. The same seed gives the same numbers on every machine and
/// in every version.
pub(crate) type Random = Xoshiro256PlusPlus;

/// Minimum number of points for each centroid without a warning in the report (Faiss's
/// `min_points_per_centroid`).
const MIN_POINTS: usize = 39;

/// Default maximum number of training points for each centroid (Faiss's `max_points_per_centroid`).
const MAX_POINTS: usize = 256;

/// Parameters of k-means. The rounds, seed, sampling and start come with each call, in
/// [`TrainOptions`].
///
/// ```
/// use ivf_core::{Metric, Rows, TrainOptions};
/// use ivf_cpu::KMeans;
/// let points = [0.0_f32, 0.1, 0.2, 9.0, 9.1, 9.2];
/// let (mut centroids, report) =
///     KMeans::new(2, Metric::L2).train(Rows::new(&points, 1)?.into(), &TrainOptions::new())?;
/// centroids.sort_by(f32::total_cmp);
/// assert_eq!(centroids, [0.1, 9.1]);
/// assert_eq!(report.warnings.len(), 1); // three points a centroid are few
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct KMeans {
    k: usize,
    metric: Metric,
    spherical: bool,
    iterations: usize,
}

impl KMeans {
    /// Creates k-means with `k` centroids, points assigned by `metric`, and 10 rounds. For a
    /// similarity ([`Metric::is_similarity`]), it is spherical: centroids have unit length.
    ///
    /// # Panics
    /// If `k` is zero or more than `u32::MAX`.
    pub fn new(k: usize, metric: Metric) -> Self {
        assert!((1..=u32::MAX as usize).contains(&k), "1 to 2^32 - 1 centroids");
        Self { k, metric, spherical: metric.is_similarity(), iterations: 10 }
    }

    /// Sets the number of rounds for calls whose options do not set it.
    ///
    /// ```
    /// use ivf_core::{Metric, Rows, TrainOptions};
    /// use ivf_cpu::KMeans;
    /// let points = [0.0_f32, 1.0, 8.0, 9.0];
    /// let kmeans = KMeans::new(2, Metric::L2).iterations(3);
    /// let rounds = |options: &TrainOptions<'_>| -> Result<usize, Box<dyn std::error::Error>> {
    ///     let (_, report) = kmeans.train(Rows::new(&points, 1)?.into(), options)?;
    ///     Ok(report.objectives[0].len())
    /// };
    /// assert_eq!(rounds(&TrainOptions::new())?, 3);
    /// assert_eq!(rounds(&TrainOptions::new().iterations(5))?, 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn iterations(self, iterations: usize) -> Self {
        Self { iterations, ..self }
    }

    /// Returns the maximum number of points that [`train`](Self::train) uses. If given more,
    /// training samples this many. With [`TrainOptions::mini_batch`], there is no limit.
    ///
    /// ```
    /// use ivf_core::{Metric, TrainOptions};
    /// use ivf_cpu::KMeans;
    /// let kmeans = KMeans::new(1000, Metric::L2);
    /// let (few, usual) = (TrainOptions::new().max_points_per_centroid(50), TrainOptions::new());
    /// let points = [&few, &usual].map(|options| kmeans.training_points(options));
    /// assert_eq!(points, [50_000, 256_000]);
    /// // Fewer points also save the memory that training takes besides them.
    /// assert!(kmeans.training_memory(128, points[0], &few) < kmeans.training_memory(128, points[1], &usual));
    /// ```
    pub fn training_points(&self, options: &TrainOptions<'_>) -> usize {
        if options.mini_batch.is_some() { usize::MAX } else { most_points(self.k, options) }
    }

    /// Returns the peak memory of [`train`](Self::train) in bytes for `points` points of `dim`
    /// dimensions, in addition to these points as `f32`. It covers the data made for each point and
    /// each centroid, and the sums.
    pub fn training_memory(&self, dim: usize, points: usize, options: &TrainOptions<'_>) -> usize {
        memory::whole(self, dim, points, options)
    }

    /// Trains the centroids of `rows` (all finite). Returns them as `k x dim` numbers, all finite.
    ///
    /// At most [`TrainOptions::max_points_per_centroid`] rows for each centroid are used, drawn
    /// without repetition. A centroid that loses all its points takes half of another cluster;
    /// larger clusters are chosen with a higher probability. With [`TrainOptions::mini_batch`], the
    /// start is drawn from those rows, each round draws from all rows, and clusters are split only
    /// at the end.
    ///
    /// # Errors
    /// [`TrainError::TooFew`] if there are fewer rows than centroids, [`TrainError::Cancelled`],
    /// [`TrainError::Unsupported`] if `IVF_SIMD` names an instruction set that this machine does
    /// not have.
    pub fn train(&self, rows: AnyRows<'_>, options: &TrainOptions<'_>) -> Result<(Vec<f32>, TrainReport), TrainError> {
        check_level()?;
        let (k, dim) = (self.k, rows.dim());
        if rows.len() < k {
            return Err(TrainError::TooFew { who: format!("{k} centroids"), needed: k, found: rows.len() });
        }
        let mut random = Random::seed_from_u64(options.seed_or_default());
        let mut scratch = Vec::new();
        let points = sample::sample(rows, most_points(k, options), &mut random, &mut scratch);
        let mut report = TrainReport::default();
        report.points = points.len();
        if points.len() < k.saturating_mul(MIN_POINTS) {
            report.warnings.push(Warning::FewPoints { points: points.len(), centroids: k, wanted: MIN_POINTS });
        }

        let mut centroids = match options.start.unwrap_or_default() {
            KMeansStart::PlusPlus => start::plus_plus(points, k, options, &mut random)?,
            _ => start::random(points, k, &mut random),
        };
        if self.spherical {
            normalize_rows(&mut centroids, dim);
        }
        if let Some(batch) = options.mini_batch {
            report.merge(mini_batch::train(self, rows, batch, &mut centroids, options, &mut random)?);
            return Ok((centroids, report));
        }
        let rounds = options.iterations.unwrap_or(self.iterations);
        let executor = executor_for(options.executor, points.as_slice().len().saturating_mul(k));
        let distinct = Distinct::new(points, executor);
        let mut bytes = Bytes::new(&distinct, self.metric);
        let mut assignment = Assignment::new(&distinct, self.metric, executor, &mut bytes);
        let (mut sums, mut objectives) = (Sums::new(k, dim), Vec::new());
        // The number of rounds has no limit: a caller that means to cancel asks for more rounds
        // than there is time for.
        for round in 0..rounds {
            options.check_cancel()?;
            assignment.round(Rows::new(&centroids, dim).expect("k rows"));
            objectives.push((0..points.len()).map(|i| f64::from(assignment.distance(i))).sum());
            sums.clear();
            sums.add(points, |i| assignment.number(i), executor);
            sums.write_means(&mut centroids);
            report.splits += update::split_empty(&mut centroids, &mut sums.sizes, dim, &mut random);
            if self.spherical {
                normalize_rows(&mut centroids, dim);
            }
            if let Some(progress) = options.progress {
                progress.step("k-means", round as u64 + 1, rounds as u64);
            }
        }
        report.objectives.push(objectives);
        Ok((centroids, report))
    }
}

fn check_level() -> Result<(), TrainError> {
    crate::simd::check().map_err(|error| TrainError::Unsupported { kind: "k-means".into(), what: error.to_string() })
}

/// Returns the maximum number of training points for `k` centroids.
fn most_points(k: usize, options: &TrainOptions<'_>) -> usize {
    k.saturating_mul(options.max_points_per_centroid.unwrap_or(MAX_POINTS).max(1))
}

/// Returns the mean of the rows.
///
/// ```
/// use ivf_core::Rows;
/// let rows = [1.0, 10.0, 3.0, 30.0];
/// assert_eq!(ivf_cpu::column_means(Rows::new(&rows, 2)?), [2.0, 20.0]);
/// # Ok::<(), ivf_core::RowsError>(())
/// ```
pub fn column_means(rows: Rows<'_, f32>) -> Vec<f32> {
    let mut sums = vec![0.0_f64; rows.dim()];
    rows.iter().for_each(|row| sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x)));
    sums.into_iter().map(|sum| (sum / rows.len() as f64) as f32).collect()
}

/// Scales each row to unit length. A zero row does not change.
fn normalize_rows(rows: &mut [f32], dim: usize) {
    for row in rows.chunks_exact_mut(dim) {
        let norm = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        if norm > 0.0 {
            row.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::RayonPool;
    use ivf_core::Cancel;
    use ivf_core::executor::Inline;

    /// Returns `n` points around `k` corners of a grid, cycling through the corners.
    fn clusters(k: usize, n: usize) -> Vec<f32> {
        (0..n)
            .flat_map(|i| {
                let corner = (i % k) as f32 * 10.0;
                [corner + (i * 7 % 11) as f32 * 0.1, -corner + (i * 5 % 13) as f32 * 0.1]
            })
            .collect()
    }

    #[test]
    fn the_objective_never_rises_and_threads_change_no_bit() {
        let points = clusters(8, 1000);
        let rows: AnyRows = Rows::new(&points, 2).unwrap().into();
        for start in [KMeansStart::Random, KMeansStart::PlusPlus] {
            let options = TrainOptions::new().start(start);
            let (inline, report) = KMeans::new(8, Metric::L2).train(rows, &options.executor(&Inline)).unwrap();
            let pool = RayonPool::new(3).unwrap();
            let (pooled, _) = KMeans::new(8, Metric::L2).train(rows, &options.executor(&pool)).unwrap();
            assert_eq!(inline, pooled);
            assert!(report.objectives[0].windows(2).all(|w| w[1] <= w[0] * (1.0 + 1e-6)), "{:?}", report.objectives);
            assert_eq!((report.points, report.warnings.len()), (1000, 0));
        }
    }

    #[test]
    fn fewer_distinct_points_than_centroids_still_give_k_finite_centroids() {
        let points = [[1.0_f32, 2.0]; 50].concat();
        let rows: AnyRows = Rows::new(&points, 2).unwrap().into();
        for start in [KMeansStart::Random, KMeansStart::PlusPlus] {
            let options = TrainOptions::new().start(start);
            let (centroids, report) = KMeans::new(8, Metric::L2).train(rows, &options).unwrap();
            assert!(centroids.len() == 16 && centroids.iter().all(|c| c.is_finite()));
            assert!(report.splits > 0 && report.warnings.len() == 1);
        }
    }

    #[test]
    fn for_the_inner_product_centroids_have_unit_length() {
        let points = clusters(4, 400);
        let rows: AnyRows = Rows::new(&points, 2).unwrap().into();
        let (centroids, _) = KMeans::new(4, Metric::InnerProduct).train(rows, &TrainOptions::new()).unwrap();
        for c in centroids.chunks_exact(2) {
            assert!((c[0].hypot(c[1]) - 1.0).abs() < 1e-6, "{c:?}");
        }
    }

    #[test]
    fn mini_batches_find_the_clusters_with_any_number_of_threads() {
        let points = clusters(8, 20_000);
        let rows: AnyRows = Rows::new(&points, 2).unwrap().into();
        for metric in [Metric::L2, Metric::InnerProduct] {
            let options = TrainOptions::new().mini_batch(500).iterations(60).start(KMeansStart::PlusPlus);
            let (inline, report) = KMeans::new(8, metric).train(rows, &options.executor(&Inline)).unwrap();
            let pool = RayonPool::new(3).unwrap();
            let (pooled, _) = KMeans::new(8, metric).train(rows, &options.executor(&pool)).unwrap();
            assert_eq!(inline, pooled);
            let whole = TrainOptions::new().iterations(20).start(KMeansStart::PlusPlus);
            let (_, whole) = KMeans::new(8, metric).train(rows, &whole).unwrap();
            let [found, best] =
                [&report, &whole].map(|report| report.objectives[0].last().unwrap() / report.points as f64);
            assert!(report.objectives[0].len() == 60 && report.points == 20_000);
            assert!((found - best).abs() <= 0.1 * best.abs(), "{found}, {best}");
        }
        // A batch of more points than there are takes all of them, and an empty one takes one.
        for (batch, rounds) in [(usize::MAX, 1), (0, 3), (1, 0)] {
            let options = TrainOptions::new().mini_batch(batch).iterations(rounds);
            let (centroids, report) = KMeans::new(8, Metric::L2).train(rows, &options).unwrap();
            assert!(centroids.iter().all(|c| c.is_finite()) && report.objectives[0].len() == rounds);
        }
    }

    #[test]
    fn sampling_is_bounded_and_seeded() {
        let points = clusters(4, 4000);
        let rows: AnyRows = Rows::new(&points, 2).unwrap().into();
        let options = TrainOptions::new().max_points_per_centroid(100);
        let train = |options: &TrainOptions<'_>| KMeans::new(4, Metric::L2).train(rows, options).unwrap();
        let (centroids, report) = train(&options);
        assert_eq!(report.points, 400);
        assert_eq!(train(&options).0, centroids);
        assert_ne!(train(&options.seed(5)).0, centroids);
    }

    #[test]
    fn too_few_points_and_cancelling_are_errors() {
        let rows: AnyRows = Rows::new(&[1.0_f32, 2.0], 1).unwrap().into();
        let few = KMeans::new(3, Metric::L2).train(rows, &TrainOptions::new());
        assert!(matches!(few, Err(TrainError::TooFew { needed: 3, found: 2, .. })));
        let cancel = Cancel::new();
        cancel.cancel();
        let cancelled = KMeans::new(2, Metric::L2).train(rows, &TrainOptions::new().cancel(&cancel));
        assert!(matches!(cancelled, Err(TrainError::Cancelled)));
        // A caller that means to cancel may ask for any number of rounds.
        for start in [KMeansStart::Random, KMeansStart::PlusPlus] {
            let options = TrainOptions::new().iterations(usize::MAX).start(start).cancel(&cancel);
            assert!(matches!(KMeans::new(2, Metric::L2).train(rows, &options), Err(TrainError::Cancelled)));
        }
    }
}
