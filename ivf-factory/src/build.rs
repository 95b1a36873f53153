//! Building of untrained, empty indexes from specifications.

use crate::default::default_registry;
use crate::error::{FactoryError, SpecError};
use crate::spec::Spec;
use crate::tree::SpecTree;
use ivf_core::error::BuildError;
use ivf_core::{CodecContext, CodecSpec, Index, MAX_DIM, Metric, QuantizerSpec, Registry};
use ivf_cpu::{CodesIndex, IvfIndex, PreTransform};
use std::ops::Range;
use std::sync::Arc;

/// Builds the index that a factory string describes, untrained and empty, for vectors of dimension
/// `dim`. (Faiss: `index_factory`.)
///
/// ```
/// use ivf_core::{Metric, Rows};
///
/// let mut index = ivf_factory::build("IVF2,Flat", 1, Metric::L2)?;
/// assert!(index.is_empty() && !index.is_trained());
/// let vectors = Rows::new(&[0.0_f32, 1.0, 8.0, 9.0], 1)?;
/// index.train(vectors)?;
/// index.add(vectors)?;
/// assert_eq!(index.len(), 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`FactoryError`]: the string does not parse, or the index does not work with this dimension or
/// metric.
pub fn build(factory: &str, dim: usize, metric: Metric) -> Result<Box<dyn Index>, FactoryError> {
    build_with(factory, dim, metric, default_registry())
}

/// Like [`build`], with the kinds of `registry`.
///
/// ```
/// use ivf_core::{Metric, Registry};
/// use ivf_factory::{build_with, default_registry};
///
/// // A server that offers only some kinds to its users. (Kinds of one's own are added to a clone
/// // of the default registry.)
/// let few = Registry::new().with_codecs(ivf_cpu::CODECS).with_indexes(ivf_cpu::INDEXES);
/// assert_eq!(build_with("Flat", 4, Metric::L2, &few)?.spec(), "Flat");
/// assert!(build_with("PQ2", 4, Metric::L2, &few).is_err());
/// assert!(build_with("PQ2", 4, Metric::L2, default_registry()).is_ok());
/// # Ok::<(), ivf_factory::FactoryError>(())
/// ```
///
/// # Errors
/// As for [`build`].
pub fn build_with(
    factory: &str,
    dim: usize,
    metric: Metric,
    registry: &Registry,
) -> Result<Box<dyn Index>, FactoryError> {
    Ok(Spec::parse(factory, registry)?.build(dim, metric)?)
}

/// A build error, and the span of the part that caused it.
struct Refusal {
    span: Range<usize>,
    why: BuildError,
}

/// Adds a span to a build error.
fn at(span: &Range<usize>) -> impl FnOnce(BuildError) -> Refusal {
    let span = span.clone();
    |why| Refusal { span, why }
}

impl Spec {
    /// Builds the index of the specification, untrained and empty, for vectors of dimension `dim`.
    ///
    /// ```
    /// use ivf_core::Metric;
    /// use ivf_factory::Spec;
    ///
    /// // Parsed once, for example from a config, and built for each shard.
    /// let spec: Spec = "IVF16,PQ2".parse()?;
    /// let shards: Vec<_> = (0..3).map(|_| spec.build(8, Metric::Cosine)).collect::<Result<_, _>>()?;
    /// assert!(shards.iter().all(|shard| shard.spec() == "IVF16,PQ2" && shard.metric() == Metric::Cosine));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`SpecError`] if a part does not work with the dimension, the metric or the index that it
    /// wraps. The error points at the token of the part.
    pub fn build(&self, dim: usize, metric: Metric) -> Result<Box<dyn Index>, SpecError> {
        let built = if metric == Metric::Cosine {
            // Cosine is the inner product of vectors of unit length. Vectors are scaled once, on
            // entry, whatever the index inside.
            index(&self.tree, &self.spans, dim, Metric::InnerProduct)
                .and_then(|inner| Ok(Box::new(PreTransform::cosine(inner).map_err(at(&(0..self.input.len())))?) as _))
        } else {
            index(&self.tree, &self.spans, dim, metric)
        };
        built.map_err(|Refusal { span, why }| {
            let span = narrowed(&self.input, span, why.kind().unwrap_or_default());
            SpecError { input: self.input.clone(), span, why }
        })
    }
}

/// Builds the index of a tree. `spans` holds the spans of its tokens: first those of the base, then
/// outwards.
fn index(tree: &SpecTree, spans: &[Range<usize>], dim: usize, metric: Metric) -> Result<Box<dyn Index>, Refusal> {
    let (own, inside) = spans.split_last().expect("a span for each token");
    match tree {
        SpecTree::Codes(codec) => Ok(Box::new(CodesIndex::new(dim, metric, codec.clone()).map_err(at(own))?)),
        SpecTree::Index(index) => index.build(dim, metric).map_err(at(own)),
        SpecTree::Ivf { quantizer, codec } => {
            let refused = |why| {
                let is_quantizer = refuses(quantizer, codec, dim, metric, &why);
                at(if is_quantizer { &spans[0] } else { own })(why)
            };
            Ok(Box::new(IvfIndex::new(dim, metric, quantizer.clone(), codec.clone()).map_err(refused)?))
        }
        SpecTree::Transformed { .. } => chain(tree, spans, dim, metric),
        SpecTree::Wrapped { wrapper, inner, .. } => wrapper.wrap(index(inner, inside, dim, metric)?).map_err(at(own)),
    }
}

/// Returns whether the coarse quantizer of an inverted file caused the error, and not the codec.
/// The quantizer is not checked again: it may hold indexes that hold indexes.
fn refuses(
    quantizer: &Arc<dyn QuantizerSpec>,
    codec: &Arc<dyn CodecSpec>,
    dim: usize,
    metric: Metric,
    why: &BuildError,
) -> bool {
    let (coarse, fine, kind) = (quantizer.to_string(), codec.to_string(), why.kind().unwrap_or_default());
    if kind == fine {
        return false;
    }
    let context = CodecContext::new(dim, metric).by_residual(codec.residuals().default_choice());
    find(&coarse, kind).is_some()
        || find(&fine, kind).is_none() && (1..=MAX_DIM).contains(&dim) && codec.check(&context).is_ok()
}

/// Builds consecutive transforms as one index, so that a vector is copied once.
fn chain(tree: &SpecTree, spans: &[Range<usize>], dim: usize, metric: Metric) -> Result<Box<dyn Index>, Refusal> {
    let (mut transforms, mut dim_inner, mut rest, mut inside) = (Vec::new(), dim, tree, spans);
    while let SpecTree::Transformed { transform, inner } = rest {
        let (own, others) = inside.split_last().expect("a span for each token");
        dim_inner = transform.dim_out(dim_inner, metric).map_err(at(own))?;
        transforms.push(transform.clone());
        (rest, inside) = (inner, others);
    }
    let own = &spans[inside.len()..];
    let start = own.iter().map(|span| span.start).min().unwrap_or_default();
    let end = own.iter().map(|span| span.end).max().unwrap_or_default();
    let inner = index(rest, inside, dim_inner, metric)?;
    Ok(Box::new(PreTransform::new(dim, transforms, inner).map_err(at(&(start..end)))?))
}

/// Returns the span of `kind` in a text as a whole token: as an argument, or as the codec after
/// another token.
fn find(text: &str, kind: &str) -> Option<Range<usize>> {
    let bounds = |c: Option<char>| c.is_none_or(|c| matches!(c, ',' | '(' | ')'));
    let mut found = text.match_indices(kind).filter(|_| !kind.is_empty());
    let (start, _) = found.find(|(start, _)| {
        bounds(text[..*start].chars().next_back()) && bounds(text[start + kind.len()..].chars().next())
    })?;
    Some(start..start + kind.len())
}

/// Returns the span of `kind` inside a span, or the whole span if it is not there.
fn narrowed(input: &str, span: Range<usize>, kind: &str) -> Range<usize> {
    match find(&input[span.clone()], kind) {
        Some(inside) => span.start + inside.start..span.start + inside.end,
        None => span,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_narrowed_to_the_token_that_refuses() {
        let input = "L2norm,IVF64(IVF16,PQ16),Flat";
        for (kind, found) in [("PQ16", "PQ16"), ("PQ1", "IVF64(IVF16,PQ16)"), ("", "IVF64(IVF16,PQ16)")] {
            assert_eq!(&input[narrowed(input, 7..24, kind)], found);
        }
        assert_eq!(narrowed(input, 25..29, "Flat"), 25..29);
    }
}
