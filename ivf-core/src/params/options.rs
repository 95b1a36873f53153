//! What a training or an add may ask for, and how a long call is watched and ended.

use crate::error::{Cancelled, TrainError};
use crate::executor::Executor;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The seed of everything random unless the caller names one (Faiss's).
pub const DEFAULT_SEED: u64 = 1234;

/// What one training asks for; absent fields mean the kind's own defaults. In a config file (serde)
/// it is a map of names and values.
#[derive(Clone, Copy, Default, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TrainOptions<'a> {
    /// Rounds of k-means (10 for coarse centroids, 25 for codebooks).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iterations: Option<usize>,
    /// Points of each round of k-means, drawn anew for each: mini-batch k-means, for more points
    /// than whole rounds have time for. Every round uses all points by default, and always for the
    /// codebooks of parts of vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mini_batch: Option<usize>,
    /// At most this many training points for each centroid, the rest is left out by sampling (256).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_points_per_centroid: Option<usize>,
    /// The seed of everything random ([`DEFAULT_SEED`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// How k-means starts. (Codebooks of parts of vectors start from random points.)
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<KMeansStart>,
    /// Who runs the loops; rayon's global pool by default.
    #[serde(skip)]
    pub executor: Option<&'a dyn Executor>,
    /// Told about the rounds.
    #[serde(skip)]
    pub progress: Option<&'a dyn Progress>,
    /// Ends the training early.
    #[serde(skip)]
    pub cancel: Option<&'a Cancel>,
}

impl<'a> TrainOptions<'a> {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
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

    /// The seed: the caller's, else [`DEFAULT_SEED`].
    pub fn seed_or_default(&self) -> u64 {
        self.seed.unwrap_or(DEFAULT_SEED)
    }
}

impl TrainOptions<'_> {
    /// Says whether the caller has cancelled.
    ///
    /// # Errors
    /// [`TrainError::Cancelled`].
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
            .finish_non_exhaustive()
    }
}

/// How k-means chooses its first centroids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KMeansStart {
    /// Training points drawn at random, each at most once.
    #[default]
    Random,
    /// Training points drawn one after the other, far ones more likely (k-means++, Arthur and
    /// Vassilvitskii, SODA 2007).
    PlusPlus,
}

/// What one add asks for; absent fields mean the defaults. In a config file (serde) it is a map of
/// names and values.
#[derive(Clone, Copy, Default, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AddOptions<'a> {
    /// What to do with a vector that holds a NaN or an infinity.
    pub non_finite: NonFinite,
    /// Who runs the loops; rayon's global pool by default.
    #[serde(skip)]
    pub executor: Option<&'a dyn Executor>,
    /// Told about the vectors added.
    #[serde(skip)]
    pub progress: Option<&'a dyn Progress>,
    /// Ends the add early; the index is then as before it.
    #[serde(skip)]
    pub cancel: Option<&'a Cancel>,
}

impl<'a> AddOptions<'a> {
    /// The defaults.
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

/// What `add` does with a vector that holds a NaN or an infinity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NonFinite {
    /// The whole call is an error that names the row.
    #[default]
    Reject,
    /// The row is left out: it uses up its implicit id, is not counted, and stands in the report.
    SkipRow,
}

/// Tells a call on another thread to stop. Clones stop the same call.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for an early end.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody did.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Says whether somebody did, if there is somebody who could.
    ///
    /// # Errors
    /// [`Cancelled`], which becomes the error of each verb.
    pub fn check(cancel: Option<&Cancel>) -> Result<(), Cancelled> {
        match cancel {
            Some(cancel) if cancel.is_cancelled() => Err(Cancelled),
            _ => Ok(()),
        }
    }
}

/// Hears how far a long call has come. May be called from the thread of the call only.
pub trait Progress: Sync {
    /// `done` of `total` steps of `stage` ("k-means", "add", ...) are done.
    fn step(&self, stage: &'static str, done: u64, total: u64);
}
