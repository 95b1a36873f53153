//! Assembling the index from trained transforms and an inner index, given by a caller or read from
//! a file.

use super::{Chain, INNER, PreTransform, ROW, transform_name};
use crate::transform::NormalizeSpec;
use ivf_core::error::{DecodeError, PartsError, StoreError};
use ivf_core::field::{Field, FieldType, Schema};
use ivf_core::registry::Registry;
use ivf_core::{Index, Metric, Node, StoredNode, Transform};
use std::sync::Arc;

/// Fields of the index in files.
const SCHEMA: &Schema = &[
    Field::new("dim", FieldType::UInt),
    Field::new("transforms", FieldType::Texts),
    Field::new("trained", FieldType::Bool),
    Field::new("cosine", FieldType::Bool),
];

impl PreTransform {
    /// Assembles an index from trained transforms and the index behind them, which may hold
    /// vectors. (For a cosine, see [`cosine`](Self::cosine).)
    ///
    /// ```
    /// use ivf_core::{Index, Metric, Rows, SearchParams};
    /// use ivf_cpu::codec::FlatSpec;
    /// use ivf_cpu::transform::Normalize;
    /// use ivf_cpu::{CodesIndex, PreTransform};
    /// use std::sync::Arc;
    ///
    /// // An index that already holds vectors of unit length gets the transform for its queries.
    /// let mut inner: Box<dyn Index> = Box::new(CodesIndex::new(2, Metric::L2, Arc::new(FlatSpec))?);
    /// inner.add(Rows::new(&[0.6_f32, 0.8], 2)?)?;
    /// let index = PreTransform::from_parts(vec![Arc::new(Normalize::new(2))], inner)?;
    /// let index: &dyn Index = &index;
    /// let found = index.search(Rows::new(&[30.0_f32, 40.0], 2)?, 1, &SearchParams::new())?;
    /// assert_eq!(found.hits.row(0).distances, [0.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`PartsError`] if the dimensions of two consecutive parts differ, or a transform does not
    /// support its dimension or the metric of `inner`.
    pub fn from_parts(chain: Vec<Arc<dyn Transform>>, inner: Box<dyn Index>) -> Result<Self, PartsError> {
        let dim = chain.first().map_or(inner.dim(), |first| first.dim_in());
        let specs = chain.iter().map(|transform| transform.spec()).collect();
        Self::untrained(dim, specs, inner)?.with_chain(chain)
    }

    /// Sets the trained transforms, which must match the specifications.
    fn with_chain(self, chain: Chain) -> Result<Self, PartsError> {
        let fault = |what: String| Err(PartsError::Mismatch(what));
        if chain.len() != self.specs.len() {
            return fault(format!("there are {} transforms, not {}", chain.len(), self.specs.len()));
        }
        let mut dim = self.dim;
        for (transform, spec) in chain.iter().zip(&self.specs) {
            let (found, wanted) = (transform.spec().to_string(), spec.to_string());
            if transform.dim_in() != dim || found != wanted {
                let dim_in = transform.dim_in();
                return fault(format!("a transform is {found} of {dim_in} dimensions, not {wanted} of {dim}"));
            }
            dim = transform.dim_out();
        }
        if dim != self.inner.dim() {
            return fault(format!("{dim} dimensions for an index of {}", self.inner.dim()));
        }
        Ok(Self { chain: Some(chain), ..self })
    }

    pub(super) fn read(node: &StoredNode, registry: &Registry) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        let fields = node.fields(SCHEMA)?;
        let (dim, tokens) = (fields.dim("dim")?, fields.get::<Vec<String>>("transforms")?);
        let (trained, cosine) = (fields.get::<bool>("trained")?, fields.get::<bool>("cosine")?);
        let fault = |what: String| DecodeError::value(&node.tag, what);
        let inner = registry.read_index(node.child(INNER)?)?;
        let specs = tokens.iter().map(|token| registry.transform_spec(&node.tag, token)).collect::<Result<_, _>>()?;
        let index = Self::untrained(dim, specs, inner).map_err(|error| fault(error.to_string()))?;
        if cosine && (index.tokens() != NormalizeSpec.to_string() || index.inner.metric() != Metric::InnerProduct) {
            return Err(fault("a cosine that is not a normalised inner product".to_owned()));
        }
        let index = Self { cosine, ..index };
        if !trained {
            let index = index.trained_if_nothing_learns().map_err(|error| fault(error.to_string()))?;
            return if index.chain.is_some() || index.inner.is_empty() {
                Ok(index)
            } else {
                Err(fault(format!("{} vectors behind untrained transforms", index.inner.len())))
            };
        }
        let chain = (0..tokens.len()).map(|i| registry.read_transform(node.child(&transform_name(i))?));
        let chain = chain.collect::<Result<Chain, DecodeError>>()?;
        index.with_chain(chain).map_err(|error| fault(error.to_string()))
    }

    pub(super) fn export_node(&self) -> Result<Node<'_>, StoreError> {
        let tokens: Vec<String> = self.specs.iter().map(|spec| spec.to_string()).collect();
        let mut node = Node::new(ROW.tag, 0)
            .with("dim", self.dim)
            .with("transforms", tokens)
            .with("trained", self.chain.is_some())
            .with("cosine", self.cosine);
        node.push_child(INNER, self.inner.export()?);
        for (i, transform) in self.transforms().iter().enumerate() {
            node.push_child(&transform_name(i), transform.export());
        }
        Ok(node)
    }
}
