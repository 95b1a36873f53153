//! k-means: Lloyd's algorithm, and its variants: mini-batches ([`mini_batch`]), two levels
//! ([`two_level`]), clusters of similar sizes ([`balance`]).
//!
//! The assignment is a fused kernel: product and arg-min over packed centroids, without an n x k
//! matrix. From the second round on, it has a first pass in bytes if the machine has an instruction
//! for it ([`assign`]). The sums are in `f64`, and the sum of each centroid runs over its points in
//! order. The result is therefore bit-identical for any number of threads.

mod assign;
mod balance;
mod device;
mod distinct;
mod lloyd;
mod memory;
mod mini_batch;
mod parts;
pub(crate) mod sample;
mod start;
mod two_level;
mod update;

use crate::executor::executor_for;
use balance::Penalties;
use ivf_core::error::TrainError;
use ivf_core::params::KMeansStart;
use ivf_core::report::Warning;
use ivf_core::{AnyRows, Metric, Rows, TrainOptions, TrainReport};
use lloyd::{Lloyd, Rounds};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

pub(crate) use assign::first_pass_pays;
pub use memory::train_parts_memory;
pub use parts::train_parts;
pub use sample::{sample_memory, sample_rows};

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
    /// Creates k-means with `k` centroids, points assigned by `metric`, and 10 rounds. For the
    /// inner product and the cosine, it is spherical: centroids have unit length.
    ///
    /// # Panics
    /// If `k` is zero or more than `u32::MAX`.
    pub fn new(k: usize, metric: Metric) -> Self {
        assert!((1..=u32::MAX as usize).contains(&k), "1 to 2^32 - 1 centroids");
        Self { k, metric, spherical: matches!(metric, Metric::InnerProduct | Metric::Cosine), iterations: 10 }
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
    /// at the end. [`TrainOptions::two_level`] and [`TrainOptions::balanced`] select other
    /// variants.
    ///
    /// # Errors
    /// [`TrainError::TooFew`] if there are fewer rows than centroids, [`TrainError::Cancelled`],
    /// [`TrainError::Unsupported`] if the options exclude each other or the metric, or `IVF_SIMD`
    /// names an instruction set that this machine does not have.
    pub fn train(&self, rows: AnyRows<'_>, options: &TrainOptions<'_>) -> Result<(Vec<f32>, TrainReport), TrainError> {
        check_level()?;
        self.check(options)?;
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

        let rounds = options.iterations.unwrap_or(self.iterations);
        let executor = executor_for(options.executor, points.as_slice().len().saturating_mul(k));
        let (is_balanced, has_two_levels) = (options.balanced.unwrap_or_default(), self.has_two_levels(options));
        // With one level, the first rounds divide large clusters, and later ones change penalties.
        let (dividing, start) =
            if is_balanced && !has_two_levels { (rounds / 5, rounds.saturating_mul(3) / 10) } else { (0, 0) };
        let mut penalties = is_balanced.then(|| Penalties::new(k, points, self.metric, start));
        let extended = is_balanced.then(|| Penalties::extended(points, self.metric));
        let seen = extended.as_ref().map_or(points, |rows| Rows::new(rows, dim + 1).expect("whole points"));
        let (device, stage) = (options.device, Some("k-means"));
        let lloyd = Lloyd { kmeans: self, points: seen, options, executor, dividing, device, stage };
        let (mut centroids, done) = if has_two_levels {
            two_level::train(&lloyd, points, rounds, &mut penalties, &mut random)?
        } else {
            let mut centroids = self.start(seen, dim, options, &mut random)?;
            if let Some(batch) = options.mini_batch {
                report.merge(mini_batch::train(self, rows, batch, &mut centroids, options, &mut random)?);
                return Ok((centroids, report));
            }
            // Penalties need some rounds to take effect.
            let rounds = if is_balanced { rounds.saturating_add(rounds.div_ceil(4)) } else { rounds };
            let done = lloyd.run_plain(&mut centroids, rounds, &mut penalties, &mut random)?;
            (centroids, done)
        };
        if is_balanced {
            centroids = Penalties::stripped(&centroids, dim);
        }
        let Rounds { objectives, splits } = done;
        report.objectives.push(objectives);
        report.splits += splits;
        Ok((centroids, report))
    }

    /// Checks that the options can be met together.
    fn check(&self, options: &TrainOptions<'_>) -> Result<(), TrainError> {
        let is_balanced = options.balanced.unwrap_or_default();
        if is_balanced {
            Penalties::check(self.metric)?;
        }
        let with_batches = [(is_balanced, "balanced"), (options.two_level.unwrap_or_default(), "two_level")];
        match with_batches.into_iter().find(|(is_set, _)| *is_set && options.mini_batch.is_some()) {
            Some((_, name)) => {
                let what = format!("`{name}` together with `mini_batch`");
                Err(TrainError::Unsupported { kind: "k-means".to_owned(), what })
            }
            None => Ok(()),
        }
    }

    /// Returns whether training has two levels.
    fn has_two_levels(&self, options: &TrainOptions<'_>) -> bool {
        let by_default = self.k >= two_level::DEFAULT_FROM && options.start.is_none() && options.mini_batch.is_none();
        options.two_level.unwrap_or(by_default)
    }

    /// Returns the initial centroids, of unit length in the first `dim` dimensions if k-means is
    /// spherical.
    fn start(
        &self,
        points: Rows<'_, f32>,
        dim: usize,
        options: &TrainOptions<'_>,
        random: &mut Random,
    ) -> Result<Vec<f32>, TrainError> {
        let mut centroids = match options.start.unwrap_or_default() {
            KMeansStart::PlusPlus => start::plus_plus(points, self.k, options, random)?,
            _ => start::random(points, self.k, random),
        };
        if self.spherical {
            normalize_rows(&mut centroids, points.dim(), dim);
        }
        Ok(centroids)
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

/// Scales the first `dim` of `width` numbers of each row to unit length. Zeros do not change.
fn normalize_rows(rows: &mut [f32], width: usize, dim: usize) {
    for row in rows.chunks_exact_mut(width).map(|row| &mut row[..dim]) {
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
    use rand::RngExt;

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

    /// Returns points of [`WIDE`] dimensions around places of uneven frequency.
    fn uneven(n: usize) -> Vec<f32> {
        let mut random = Random::seed_from_u64(11);
        let places: Vec<f32> = (0..40 * WIDE).map(|_| random.random_range(-1.0..1.0)).collect();
        let mut data = Vec::with_capacity(n * WIDE);
        for _ in 0..n {
            let place = (random.random_range(0.0..1.0_f32).powi(2) * 40.0) as usize;
            data.extend(places[place * WIDE..][..WIDE].iter().map(|x| x + random.random_range(-0.3..0.3)));
        }
        data
    }

    const WIDE: usize = 12;

    /// Returns the sizes of the clusters around the centroids, relative to the mean size, and the
    /// objective.
    fn sizes(points: Rows<'_, f32>, centroids: &[f32], metric: Metric) -> (Vec<f64>, f64) {
        let packed = crate::kernels::PackedRows::new(Rows::new(centroids, points.dim()).unwrap());
        let (mut numbers, mut distances) = (vec![0; points.len()], vec![0.0; points.len()]);
        crate::coarse::nearest(points, &packed, metric, &Inline, &mut numbers, &mut distances);
        let mut sizes = vec![0.0; packed.len()];
        let one = packed.len() as f64 / points.len() as f64;
        numbers.iter().for_each(|&no| sizes[no as usize] += one);
        (sizes, distances.iter().map(|&d| f64::from(d)).sum())
    }

    #[test]
    fn variants_agree_for_any_number_of_threads() {
        let data = uneven(12_000);
        let points = Rows::new(&data, WIDE).unwrap();
        for metric in [Metric::L2, Metric::InnerProduct] {
            for (two_level, balanced) in [(true, false), (false, true), (true, true)] {
                let options = TrainOptions::new().two_level(two_level).balanced(balanced);
                let kmeans = KMeans::new(100, metric);
                let (inline, report) = kmeans.train(points.into(), &options.executor(&Inline)).unwrap();
                let pool = RayonPool::new(3).unwrap();
                let (pooled, _) = kmeans.train(points.into(), &options.executor(&pool)).unwrap();
                assert_eq!(inline, pooled, "{metric}, {two_level}, {balanced}");
                assert!(inline.len() == 100 * WIDE && inline.iter().all(|c| c.is_finite()));
                assert_eq!(report.points, 12_000);
                if metric == Metric::InnerProduct {
                    let norm = |c: &[f32]| c.iter().map(|x| x * x).sum::<f32>().sqrt();
                    assert!(inline.chunks(WIDE).all(|c| (norm(c) - 1.0).abs() < 1e-6));
                }
            }
        }
    }

    #[test]
    fn two_levels_come_near_one() {
        let data = uneven(20_000);
        let points = Rows::new(&data, WIDE).unwrap();
        let objective = |options: &TrainOptions<'_>| {
            let (centroids, _) = KMeans::new(200, Metric::L2).train(points.into(), options).unwrap();
            sizes(points, &centroids, Metric::L2).1
        };
        let [one, two] = [false, true].map(|two_level| objective(&TrainOptions::new().two_level(two_level)));
        assert!(two <= one * 1.05, "{two}, {one}");
    }

    #[test]
    fn balanced_clusters_have_similar_sizes() {
        let data = uneven(20_000);
        let points = Rows::new(&data, WIDE).unwrap();
        for (metric, two_level) in [(Metric::L2, false), (Metric::L2, true), (Metric::InnerProduct, false)] {
            let variation = |balanced| {
                let options = TrainOptions::new().balanced(balanced).two_level(two_level);
                let (centroids, _) = KMeans::new(64, metric).train(points.into(), &options).unwrap();
                let (sizes, _) = sizes(points, &centroids, metric);
                (sizes.iter().map(|size| (size - 1.0).powi(2)).sum::<f64>() / sizes.len() as f64).sqrt()
            };
            let (plain, balanced) = (variation(false), variation(true));
            assert!(balanced < 0.7 * plain, "{metric}, {two_level}: {balanced}, {plain}");
        }
    }

    #[test]
    fn options_that_exclude_each_other_are_errors() {
        let rows: AnyRows = Rows::new(&[1.0_f32, 2.0, 3.0], 1).unwrap().into();
        let train = |metric, options: &TrainOptions<'_>| KMeans::new(2, metric).train(rows, options);
        let batches = TrainOptions::new().mini_batch(2);
        for (metric, options, named) in [
            (Metric::L2, batches.balanced(true), "`balanced` together with `mini_batch`"),
            (Metric::L2, batches.two_level(true), "`two_level` together with `mini_batch`"),
            (Metric::L1, TrainOptions::new().balanced(true), "the metric l1"),
        ] {
            let error = train(metric, &options).unwrap_err();
            assert!(matches!(&error, TrainError::Unsupported { what, .. } if what.contains(named)), "{error}");
        }
        assert!(train(Metric::L2, &batches.balanced(false).two_level(false)).is_ok());
        // Points so large that their distances overflow, and as many centroids as points.
        let huge = [f32::MAX, f32::MIN, f32::MAX, 0.0];
        for (two_level, balanced) in [(true, true), (true, false), (false, true)] {
            let options = TrainOptions::new().two_level(two_level).balanced(balanced);
            for metric in [Metric::L2, Metric::InnerProduct] {
                let (centroids, _) =
                    KMeans::new(4, metric).train(Rows::new(&huge, 1).unwrap().into(), &options).unwrap();
                assert!(centroids.len() == 4 && centroids.iter().all(|c| c.is_finite()), "{centroids:?}");
            }
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
