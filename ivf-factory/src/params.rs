//! Configuration of an index in a config file.

use crate::default::default_registry;
use crate::error::FactoryError;
use crate::spec::Spec;
use ivf_core::knobs::set_all;
use ivf_core::{AddOptions, Index, KnobValue, Metric, Registry, SearchParams, Settings, TrainOptions};
use serde::{Deserialize, Serialize};

/// Configuration of an application's index: how to build, train, fill and search it. Only `factory`
/// and `dim` are required. An unknown name is an error.
///
/// [`build`](Self::build) uses the first four fields. The others are for the calls that take them.
/// A search fails if it gets a parameter that the index does not take. [`SearchParams::retain`]
/// removes such parameters, for configs that serve several indexes.
///
/// ```
/// use ivf_core::Rows;
/// use ivf_factory::BuildParams;
///
/// let config: BuildParams = serde_json::from_str(r#"{
///     "factory": "IVF4,PQ2,RFlat",
///     "dim": 4,
///     "metric": "cosine",
///     "knobs": { "nprobe": 2, "by_residual": false, "mode": "queries" },
///     "train": { "iterations": 5, "seed": 7 },
///     "add": { "non_finite": "skip_row" },
///     "search": { "k_factor_rf": 4 }
/// }"#)?;
/// let mut index = config.build()?;
///
/// let vectors: Vec<f32> = (0..4096).map(|i| 1.0 + (i * 7919 % 1000) as f32).collect();
/// let rows = Rows::new(&vectors, config.dim)?;
/// index.train_with(rows, &config.train)?;
/// index.add_with(rows, &config.add)?;
/// let found = index.search(Rows::new(&vectors[..4], 4)?, 1, &config.search)?;
/// assert_eq!(found.hits.row(0).ids[0], 0.into());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct BuildParams {
    /// The factory string. It is not a [`Spec`], so that a config with kinds of the caller's own
    /// can be read without them.
    pub factory: String,
    /// Dimension of the vectors, at least 1.
    #[serde(deserialize_with = "positive")]
    pub dim: usize,
    /// The metric; `l2` by default.
    #[serde(default = "default_metric")]
    pub metric: Metric,
    /// Knobs to set before the index is trained, by the names that
    /// [`set_knobs`](ivf_core::knobs::set_knobs) takes: `nprobe`, `quantizer_efSearch`, or with the
    /// path of a part, `base/quantizer/nprobe`. [`build`](Self::build) fails if the index lacks a
    /// knob. [`set_known`](ivf_core::knobs::set_known) is for knobs that serve several kinds.
    /// In a file, the field may also be called `params`.
    #[serde(default, alias = "params", skip_serializing_if = "Settings::is_empty")]
    pub knobs: Settings,
    /// Options for training.
    #[serde(default)]
    pub train: TrainOptions<'static>,
    /// Options for adding vectors.
    #[serde(default)]
    pub add: AddOptions<'static>,
    /// Parameters for searches.
    #[serde(default)]
    pub search: SearchParams<'static>,
}

/// Reads a dimension.
fn positive<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    match usize::deserialize(deserializer)? {
        0 => Err(serde::de::Error::custom("dim must be at least 1")),
        dim => Ok(dim),
    }
}

fn default_metric() -> Metric {
    Metric::L2
}

impl BuildParams {
    /// Returns the configuration of a factory string's index, for vectors of dimension `dim`. All
    /// other fields have their defaults.
    pub fn new(factory: impl Into<String>, dim: usize) -> Self {
        Self {
            factory: factory.into(),
            dim,
            metric: default_metric(),
            knobs: Settings::new(),
            train: TrainOptions::new(),
            add: AddOptions::new(),
            search: SearchParams::new(),
        }
    }

    /// Sets the metric.
    #[must_use]
    pub fn metric(self, metric: Metric) -> Self {
        Self { metric, ..self }
    }

    /// Sets a knob.
    ///
    /// ```
    /// use ivf_core::Metric;
    /// use ivf_factory::{BuildParams, default_registry};
    ///
    /// let params = BuildParams::new("IVF64,Flat", 8).metric(Metric::InnerProduct).knob("nprobe", 8);
    /// assert_eq!(params.build()?.knob("nprobe"), Some(8.into()));
    /// // A knob that the index lacks is an error, also with kinds of one's own.
    /// let misspelt = params.knob("nprob", 8);
    /// assert!(misspelt.build_with(default_registry()).is_err());
    /// # Ok::<(), ivf_factory::FactoryError>(())
    /// ```
    #[must_use]
    pub fn knob(mut self, name: &str, value: impl Into<KnobValue>) -> Self {
        self.knobs.set(name, value);
        self
    }

    /// Builds the index, untrained and empty, and sets its knobs.
    ///
    /// # Errors
    /// [`FactoryError`]: the string does not parse, the index does not work with this dimension or
    /// metric, or it does not have such a knob or accept its value.
    pub fn build(&self) -> Result<Box<dyn Index>, FactoryError> {
        self.build_with(default_registry())
    }

    /// Like [`build`](Self::build), with the kinds of `registry`.
    ///
    /// # Errors
    /// As for [`build`](Self::build).
    pub fn build_with(&self, registry: &Registry) -> Result<Box<dyn Index>, FactoryError> {
        let mut index = Spec::parse(&self.factory, registry)?.build(self.dim, self.metric)?;
        set_all(&mut *index, self.knobs.iter().map(|(name, value)| (name, value.clone())))?;
        Ok(index)
    }
}
