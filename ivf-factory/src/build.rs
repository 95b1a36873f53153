//! From a specification to an index: untrained, empty.

use crate::default::default_registry;
use crate::error::FactoryError;
use crate::spec::Spec;
use ivf_core::error::BuildError;
use ivf_core::{Index, Metric, Registry};
use ivf_cpu::{CodesIndex, IvfIndex, PreTransform};

/// The index that a factory string stands for, for vectors of `dim`: untrained and empty. (Faiss's `index_factory`.)
///
/// # Errors
/// [`FactoryError`]: the string stands for no index, or not for one of this dimension and metric.
pub fn build(factory: &str, dim: usize, metric: Metric) -> Result<Box<dyn Index>, FactoryError> {
    build_with(factory, dim, metric, default_registry())
}

/// [`build`] with kinds of the caller's own.
///
/// # Errors
/// As [`build`].
pub fn build_with(
    factory: &str,
    dim: usize,
    metric: Metric,
    registry: &Registry,
) -> Result<Box<dyn Index>, FactoryError> {
    Ok(Spec::parse(factory, registry)?.build(dim, metric)?)
}

impl Spec {
    /// The index that the specification stands for, for vectors of `dim`: untrained and empty.
    ///
    /// # Errors
    /// [`BuildError`] if a part does not work with the dimension, the metric or what it wraps.
    pub fn build(&self, dim: usize, metric: Metric) -> Result<Box<dyn Index>, BuildError> {
        // Cosine is the inner product of vectors scaled to unit length: scaled once, on entry, whatever stands inside.
        if metric == Metric::Cosine {
            let inner = self.build(dim, Metric::InnerProduct)?;
            return Ok(Box::new(PreTransform::cosine(inner)?));
        }
        match self {
            Self::Codes(codec) => Ok(Box::new(CodesIndex::new(dim, metric, codec.clone())?)),
            Self::Ivf { quantizer, codec } => {
                Ok(Box::new(IvfIndex::new(dim, metric, quantizer.clone(), codec.clone())?))
            }
            Self::Transformed { .. } => self.build_chain(dim, metric),
            Self::Wrapped { wrapper, inner, .. } => wrapper.wrap(inner.build(dim, metric)?),
        }
    }

    /// Transforms that follow one another become one index, so that a vector is copied once.
    fn build_chain(&self, dim: usize, metric: Metric) -> Result<Box<dyn Index>, BuildError> {
        let (mut chain, mut dim_inner, mut rest) = (Vec::new(), dim, self);
        while let Self::Transformed { transform, inner } = rest {
            dim_inner = transform.dim_out(dim_inner)?;
            chain.push(transform.clone());
            rest = inner;
        }
        Ok(Box::new(PreTransform::new(dim, chain, rest.build(dim_inner, metric)?)?))
    }
}
