//! Options of training and adding, progress reports, and cancellation.

use crate::error::{Cancelled, TrainError};
use crate::executor::Executor;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Default seed of all random numbers (the same as in Faiss).
pub const DEFAULT_SEED: u64 = 1234;

/// The options of one training. An absent field means the default of the component that is trained.
/// In a config file (serde) the options are a map of names and values.
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
    /// Treatment of training vectors that the index cannot take.
    pub non_finite: NonFinite,
    /// Executor of the parallel loops; rayon's global pool by default.
    #[serde(skip)]
    pub executor: Option<&'a dyn Executor>,
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
        executor: &'a dyn Executor,
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
            .field("non_finite", &self.non_finite)
            .finish_non_exhaustive()
    }
}

/// The choice of the initial centroids of k-means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KMeansStart {
    /// Training points sampled at random, without replacement.
    #[default]
    Random,
    /// Training points sampled one after the other, with a higher probability for points far from
    /// the chosen ones (k-means++, Arthur and Vassilvitskii, SODA 2007).
    PlusPlus,
}

/// The options of one add. An absent field means the default. In a config file (serde) the options
/// are a map of names and values.
#[derive(Clone, Copy, Default, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AddOptions<'a> {
    /// Treatment of vectors that the index cannot take.
    pub non_finite: NonFinite,
    /// Executor of the parallel loops; rayon's global pool by default.
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
/// an infinity, or are zero where a direction is needed (cosine, `L2norm`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NonFinite {
    /// The whole call fails with an error that contains the row number.
    #[default]
    Reject,
    /// The row is skipped, and the report lists its number. It is not counted as added, and its
    /// implicit id stays unused.
    SkipRow,
}

/// A flag with which another thread stops a call. All clones share one flag.
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
pub trait Progress: Sync {
    /// Reports that `done` of `total` steps of `stage` ("k-means", "add", ...) are done.
    fn step(&self, stage: &'static str, done: u64, total: u64);
}
