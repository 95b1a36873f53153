//! Options of training and adding, progress reports, and cancellation.

use crate::accelerator::KMeansDevice;
use crate::error::{Cancelled, TrainError};
use crate::executor::Executor;
use crate::names::serde_names;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Default seed of all random numbers (the same as in Faiss).
pub const DEFAULT_SEED: u64 = 1234;

/// The options of one training. An absent field means the default of the component that is trained.
/// In a config file (serde) the options are a map of names and values.
///
/// ```
/// use ivf_core::params::DEFAULT_SEED;
/// use ivf_core::{Metric, Rows, TrainOptions};
/// let options = TrainOptions::new().iterations(5).seed(42);
/// assert_eq!(options.seed_or_default(), 42);
/// assert_eq!(TrainOptions::new().seed_or_default(), DEFAULT_SEED);
///
/// let mut index = ivf_factory::build("IVF2,Flat", 1, Metric::L2)?;
/// let report = index.train_with(Rows::new(&[0.0_f32, 1.0, 10.0, 11.0], 1)?, &options)?;
/// assert_eq!(report.objectives[0].len(), 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Default, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TrainOptions<'a> {
    /// Number of iterations of k-means. The default is 10 for coarse centroids and 25 for
    /// codebooks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iterations: Option<usize>,
    /// Number of points per iteration of mini-batch k-means, sampled anew in each iteration. It is
    /// for training sets so large that iterations over all points take too long. By default, every
    /// iteration uses all points. The codebooks of subquantizers always do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mini_batch: Option<usize>,
    /// Maximum number of training points per centroid. If given more, training samples this many.
    /// The default is 256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_points_per_centroid: Option<usize>,
    /// Seed of all random numbers. The default is [`DEFAULT_SEED`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Initialization of k-means. (Codebooks of subquantizers always start from random points.)
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<KMeansStart>,
    /// Whether k-means of the lists has two levels. The first level learns about `sqrt(k)`
    /// clusters, and the second divides each of them. It is much faster for many centroids, and a
    /// little less exact. The default is true from 16,384 centroids on, unless `mini_batch` or
    /// `start` is set. `start` applies to the first level. The second level starts from random
    /// points.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub two_level: Option<bool>,
    /// Whether training evens the sizes of the lists, for a more even time of searches: a vector
    /// counts as farther from the centroids of large lists. It takes 1.2 to 2.3 times as long. The
    /// default is false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balanced: Option<bool>,
    /// Treatment of training vectors that the index cannot take.
    pub non_finite: NonFinite,
    /// Executor of the parallel loops. By default, small loops run on the calling thread, and
    /// large ones on rayon's global pool.
    #[serde(skip)]
    pub executor: Option<&'a dyn Executor>,
    /// Device on which k-means of the lists assigns and adds up the points, with the same result.
    /// The CPU handles codebooks, the metrics that the device refuses, balanced clusters, the
    /// second of two levels, and the sums of mini-batches. By default, it handles everything.
    #[serde(skip)]
    pub device: Option<&'a dyn KMeansDevice>,
    /// Receives the progress of the iterations.
    #[serde(skip)]
    pub progress: Option<&'a dyn Progress>,
    /// Cancels the training.
    #[serde(skip)]
    pub cancel: Option<&'a Cancel>,
}

impl<'a> TrainOptions<'a> {
    /// Creates options in which every field has its default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`non_finite`](field@Self::non_finite).
    #[must_use]
    pub fn non_finite(mut self, non_finite: NonFinite) -> Self {
        self.non_finite = non_finite;
        self
    }

    setters! {
        iterations: usize,
        mini_batch: usize,
        max_points_per_centroid: usize,
        seed: u64,
        start: KMeansStart,
        two_level: bool,
        balanced: bool,
        executor: &'a dyn Executor,
        device: &'a dyn KMeansDevice,
        progress: &'a dyn Progress,
        cancel: &'a Cancel,
    }

    /// Returns the caller's seed, or [`DEFAULT_SEED`] if it is absent.
    pub fn seed_or_default(&self) -> u64 {
        self.seed.unwrap_or(DEFAULT_SEED)
    }
}

impl TrainOptions<'_> {
    /// Checks that the caller has not cancelled.
    ///
    /// ```
    /// use ivf_core::error::TrainError;
    /// use ivf_core::{Cancel, TrainOptions};
    /// let cancel = Cancel::new();
    /// let options = TrainOptions::new().cancel(&cancel);
    /// assert!(options.check_cancel().is_ok());
    /// cancel.cancel();
    /// assert!(matches!(options.check_cancel(), Err(TrainError::Cancelled)));
    /// ```
    ///
    /// # Errors
    /// [`TrainError::Cancelled`] if the caller has.
    pub fn check_cancel(&self) -> Result<(), TrainError> {
        match self.cancel {
            Some(cancel) if cancel.is_cancelled() => Err(TrainError::Cancelled),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for TrainOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrainOptions")
            .field("iterations", &self.iterations)
            .field("mini_batch", &self.mini_batch)
            .field("max_points_per_centroid", &self.max_points_per_centroid)
            .field("seed", &self.seed)
            .field("start", &self.start)
            .field("two_level", &self.two_level)
            .field("balanced", &self.balanced)
            .field("non_finite", &self.non_finite)
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

/// The choice of the initial centroids of k-means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum KMeansStart {
    /// Training points sampled at random, without replacement.
    #[default]
    Random,
    /// Training points sampled one after the other, with a higher probability for points far from
    /// the chosen ones (k-means++, Arthur and Vassilvitskii, SODA 2007).
    PlusPlus,
}

serde_names!(KMeansStart, "start of k-means": Random = "random", PlusPlus = "plus_plus" | "kmeans_plus_plus" | "kmeans++");

/// The options of one add. An absent field means the default. In a config file (serde) the options
/// are a map of names and values.
///
/// ```
/// use ivf_core::params::NonFinite;
/// use ivf_core::{AddOptions, Metric, Rows};
/// let mut index = ivf_factory::build("Flat", 1, Metric::L2)?;
/// let rows = Rows::new(&[1.0, f32::NAN, 3.0], 1)?;
/// assert!(index.add(rows).is_err() && index.is_empty());
///
/// let options = AddOptions::new().non_finite(NonFinite::SkipRow);
/// assert_eq!(index.add_with(rows, &options)?.skipped, [1]);
/// assert_eq!(index.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Default, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AddOptions<'a> {
    /// Treatment of vectors that the index cannot take.
    pub non_finite: NonFinite,
    /// Executor of the parallel loops. By default, small loops run on the calling thread, and
    /// large ones on rayon's global pool.
    #[serde(skip)]
    pub executor: Option<&'a dyn Executor>,
    /// Receives the progress of the add.
    #[serde(skip)]
    pub progress: Option<&'a dyn Progress>,
    /// Cancels the add. The index is then as it was before.
    #[serde(skip)]
    pub cancel: Option<&'a Cancel>,
}

impl<'a> AddOptions<'a> {
    /// Creates options in which every field has its default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`non_finite`](field@Self::non_finite).
    #[must_use]
    pub fn non_finite(mut self, non_finite: NonFinite) -> Self {
        self.non_finite = non_finite;
        self
    }

    setters! {
        executor: &'a dyn Executor,
        progress: &'a dyn Progress,
        cancel: &'a Cancel,
    }
}

impl fmt::Debug for AddOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddOptions").field("non_finite", &self.non_finite).finish_non_exhaustive()
    }
}

/// The treatment, in `train` and `add`, of vectors that the index cannot take. They hold a NaN or
/// an infinity, or are zero where a direction is needed (cosine, `L2norm`). A vector whose numbers
/// overflow a computation is an error in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum NonFinite {
    /// The whole call fails with an error that contains the row number.
    #[default]
    Reject,
    /// The row is skipped, and the report lists its number. It is not counted as added, and its
    /// implicit id stays unused.
    SkipRow,
}

serde_names!(NonFinite, "treatment of bad rows": Reject = "reject", SkipRow = "skip_row");

/// A flag with which another thread stops a call. All clones share one flag.
///
/// ```
/// use ivf_core::Cancel;
/// use ivf_core::error::Cancelled;
/// /// Checks between two steps of a long loop, as an engine does.
/// fn sum(steps: &[u32], cancel: Option<&Cancel>) -> Result<u32, Cancelled> {
///     let mut sum = 0;
///     for step in steps {
///         Cancel::check(cancel)?;
///         sum += step;
///     }
///     Ok(sum)
/// }
/// let cancel = Cancel::new();
/// assert_eq!(sum(&[1, 2], Some(&cancel)), Ok(3));
///
/// let of_other_thread = cancel.clone();
/// std::thread::scope(|threads| {
///     threads.spawn(move || of_other_thread.cancel());
/// });
/// assert!(cancel.is_cancelled());
/// assert_eq!(sum(&[1, 2], Some(&cancel)), Err(Cancelled));
/// assert_eq!(sum(&[1, 2], None), Ok(3));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Creates a flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the call to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Returns true if [`cancel`](Self::cancel) was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Checks that an optional flag is not set.
    ///
    /// # Errors
    /// [`Cancelled`] if it is. Each operation converts it to its own error type.
    pub fn check(cancel: Option<&Cancel>) -> Result<(), Cancelled> {
        match cancel {
            Some(cancel) if cancel.is_cancelled() => Err(Cancelled),
            _ => Ok(()),
        }
    }
}

/// A receiver of progress reports of a long call. Reports come only from the thread that made the
/// call.
///
/// ```
/// use ivf_core::{AddOptions, Metric, Progress, Rows};
/// use std::sync::atomic::{AtomicU64, Ordering};
/// #[derive(Default)]
/// struct Percent(AtomicU64);
///
/// impl Progress for Percent {
///     fn step(&self, _stage: &'static str, done: u64, total: u64) {
///         self.0.store(100 * done / total, Ordering::Relaxed);
///     }
/// }
///
/// let percent = Percent::default();
/// let mut index = ivf_factory::build("Flat", 1, Metric::L2)?;
/// index.add_with(Rows::new(&[1.0_f32, 2.0], 1)?, &AddOptions::new().progress(&percent))?;
/// assert_eq!(percent.0.into_inner(), 100);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Progress: Sync {
    /// Reports that `done` of `total` steps of `stage` ("k-means", "add", ...) are done.
    fn step(&self, stage: &'static str, done: u64, total: u64);
}
