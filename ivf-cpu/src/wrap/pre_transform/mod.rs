//! Transforms before an index, such as `L2norm,Flat`. The cosine is implemented as a normalising
//! transform before an inner-product index.

mod abilities;
mod apply;
mod ivf;
mod parts;

use super::measure::is_measurable;
use super::{parts_around, set_inner_knob};
use crate::abilities::abilities;
use crate::transform::NormalizeSpec;
use apply::{Failed, How, apply};
use ivf_core::ability::{Distances, Reconstruct, StandaloneCodec, Train};
use ivf_core::error::{BuildError, CodeError, InputError, KnobError, MergeError, SearchError, StoreError, TrainError};
use ivf_core::params::NonFinite;
use ivf_core::registry::IndexRow;
use ivf_core::{
    AnyRows, Index, KnobValue, Metric, Node, Part, Rows, SearchParams, SearchResult, SpecText, Takes, TrainOptions,
    TrainReport, Transform, TransformSpec,
};
use std::sync::Arc;

/// The registry row of this index.
pub(crate) const ROW: IndexRow =
    IndexRow::without_token("pre-transform", |node, registry| Ok(Box::new(PreTransform::read(node, registry)?)))
        .about("transforms before an index");

/// An index whose vectors and queries first pass through a chain of transforms. (Faiss's
/// `IndexPreTransform`.)
///
/// ```
/// use ivf_core::{Index, Metric, Rows, SearchParams};
/// use ivf_cpu::codec::FlatSpec;
/// use ivf_cpu::transform::NormalizeSpec;
/// use ivf_cpu::{CodesIndex, PreTransform};
/// use std::sync::Arc;
///
/// let flat = |metric| CodesIndex::new(2, metric, Arc::new(FlatSpec)).map(Box::new);
/// let index = PreTransform::new(2, vec![Arc::new(NormalizeSpec)], flat(Metric::L2)?)?;
/// // The transform does not learn, so it is there from the start.
/// assert_eq!((index.spec().as_str(), index.transforms().len()), ("L2norm,Flat", 1));
/// let mut index: Box<dyn Index> = Box::new(index);
/// index.add(Rows::new(&[30.0_f32, 40.0], 2)?)?;
/// assert_eq!(index.reconstruct(0.into())?, [0.6, 0.8]);
///
/// // The cosine is such a chain, but has a metric of its own.
/// let mut cosine = PreTransform::cosine(flat(Metric::InnerProduct)?)?;
/// assert_eq!((cosine.metric(), cosine.inner().metric()), (Metric::Cosine, Metric::InnerProduct));
/// let index: &mut dyn Index = &mut cosine;
/// index.add(Rows::new(&[5.0_f32, 0.0, 0.0, 7.0], 2)?)?;
/// let found = index.search(Rows::new(&[1.0_f32, 9.0], 2)?, 1, &SearchParams::new())?;
/// assert_eq!(found.hits.row(0).ids, [1.into()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PreTransform {
    dim: usize,
    specs: Vec<Arc<dyn TransformSpec>>,
    /// The trained transforms; `None` before training.
    chain: Option<Chain>,
    inner: Box<dyn Index>,
    /// True if the transform implements the cosine. The metric then implies it, and the factory
    /// string does not contain it.
    cosine: bool,
}

/// Trained transforms, in order.
type Chain = Vec<Arc<dyn Transform>>;

/// Name of the wrapped index among the parts.
const INNER: &str = "index";

/// Returns the name of transform number `i` among the parts.
fn transform_name(i: usize) -> String {
    format!("transform{i}")
}

/// Returns whether the transform learns from vectors.
fn learns(spec: &Arc<dyn TransformSpec>) -> bool {
    spec.training_points(&TrainOptions::new()) > 0
}

impl PreTransform {
    /// Creates a chain of transforms of vectors of `dim` dimensions before `inner`. `inner` is an
    /// empty index of the output dimension of the chain.
    ///
    /// # Errors
    /// [`BuildError`] if a transform does not support its dimension or the metric of `inner`, or if
    /// the dimension of `inner` is not the output dimension of the chain.
    pub fn new(dim: usize, chain: Vec<Arc<dyn TransformSpec>>, inner: Box<dyn Index>) -> Result<Self, BuildError> {
        Self::untrained(dim, chain, inner)?.trained_if_nothing_learns()
    }

    fn untrained(dim: usize, specs: Vec<Arc<dyn TransformSpec>>, inner: Box<dyn Index>) -> Result<Self, BuildError> {
        let mut out = dim;
        for spec in &specs {
            out = spec.dim_out(out, inner.metric())?;
        }
        if out != inner.dim() {
            let why = format!("the index behind the transforms has {}", inner.dim());
            return Err(BuildError::Dim { kind: "the transforms' result".to_owned(), dim: out, why });
        }
        Ok(Self { dim, specs, chain: None, inner, cosine: false })
    }

    /// Trains the chain at once if no transform learns from vectors. Then only the inner index can
    /// be untrained.
    fn trained_if_nothing_learns(self) -> Result<Self, BuildError> {
        if self.specs.iter().any(learns) {
            return Ok(self);
        }
        let (chain, ..) = self
            .train_chain(AnyRows::F32(no_rows(self.dim)?), &TrainOptions::new())
            .map_err(|error| BuildError::Dim { kind: self.tokens(), dim: self.dim, why: error.to_string() })?;
        Ok(Self { chain: Some(chain), ..self })
    }

    /// Creates an index for cosine similarity: vectors and queries are normalised before `inner`,
    /// an inner-product index. If `inner` holds vectors, they must be of unit length.
    ///
    /// # Errors
    /// [`BuildError::Metric`] if `inner` has another metric.
    pub fn cosine(inner: Box<dyn Index>) -> Result<Self, BuildError> {
        if inner.metric() != Metric::InnerProduct {
            return Err(BuildError::Metric { kind: "the cosine's inner index".to_owned(), metric: inner.metric() });
        }
        Ok(Self { cosine: true, ..Self::new(inner.dim(), vec![Arc::new(NormalizeSpec)], inner)? })
    }

    /// Returns the wrapped index.
    pub fn inner(&self) -> &dyn Index {
        &*self.inner
    }

    /// Returns the trained transforms, in order; empty before training.
    pub fn transforms(&self) -> &[Arc<dyn Transform>] {
        self.chain.as_deref().unwrap_or_default()
    }

    fn tokens(&self) -> String {
        self.specs.iter().map(|spec| spec.to_string()).collect::<Vec<_>>().join(",")
    }

    /// Trains the chain. Returns it with the transformed rows and the training report. The last
    /// result has, for each transform, the rows of its input that are skipped.
    #[allow(clippy::type_complexity, reason = "four results of one loop")]
    fn train_chain(
        &self,
        rows: AnyRows<'_>,
        options: &TrainOptions<'_>,
    ) -> Result<(Chain, Vec<f32>, TrainReport, Vec<Vec<usize>>), TrainError> {
        let (mut report, mut skipped) = (TrainReport::default(), Vec::new());
        let (mut chain, mut vectors) = (Chain::new(), Vec::new());
        for spec in &self.specs {
            let rows = match chain.last() {
                Some(last) => Rows::new(&vectors, last.dim_out()).map_err(InputError::from)?.into(),
                None => rows,
            };
            options.check_cancel()?;
            let (transform, part) = spec.train(rows, self.inner.metric(), options)?;
            report.merge(part);
            vectors = apply(&*transform, rows, options.into())?;
            if options.non_finite == NonFinite::SkipRow {
                skipped.push(drop_non_finite(&mut vectors, transform.dim_out()));
            }
            chain.push(transform);
        }
        if chain.is_empty() {
            vectors = rows.to_f32(&mut Vec::new()).as_slice().to_vec();
        }
        Ok((chain, vectors, report, skipped))
    }

    /// Passes rows through the trained chain. Returns one matrix, so that an add is a single call
    /// to the inner index, which succeeds or fails as a whole. Returns `None` before training.
    ///
    /// With [`NonFinite::SkipRow`], a row that a transform cannot take becomes NaN, so that the
    /// inner index skips it.
    fn transformed(&self, rows: AnyRows<'_>, how: How<'_>) -> Result<Option<Vec<f32>>, Failed> {
        if rows.dim() != self.dim {
            return Err(InputError::Dim { expected: self.dim, found: rows.dim() }.into());
        }
        let Some(chain) = &self.chain else { return Ok(None) };
        let Some((first, rest)) = chain.split_first() else {
            return Ok(Some(rows.to_f32(&mut Vec::new()).as_slice().to_vec()));
        };
        let mut vectors = apply(&**first, rows, how)?;
        for transform in rest {
            let rows = Rows::new(&vectors, transform.dim_in()).map_err(InputError::from)?;
            vectors = apply(&**transform, rows.into(), how)?;
        }
        Ok(Some(vectors))
    }

    /// Returns the memory of the trained transforms, in bytes.
    fn chain_memory(&self) -> usize {
        self.transforms().iter().fold(0, |sum: usize, transform| sum.saturating_add(transform.memory()))
    }

    /// Returns whether every transform can be reversed, once the chain is trained.
    fn is_reversible(&self) -> bool {
        match &self.chain {
            Some(chain) => chain.iter().all(|transform| transform.as_reverse().is_some()),
            None => self.specs.iter().all(|spec| spec.is_reversible()),
        }
    }

    /// Passes a vector of the inner index back through the chain, which must be
    /// [reversible](Self::is_reversible).
    fn reversed(&self, vector: &[f32]) -> Vec<f32> {
        let mut current = vector.to_vec();
        for transform in self.transforms().iter().rev() {
            if let Some(reverse) = transform.as_reverse() {
                let mut before = vec![0.0; transform.dim_in()];
                reverse.reverse(&current, &mut before);
                current = before;
            }
        }
        current
    }

    /// Passes vectors of the inner index back through the chain, row after row.
    fn reversed_rows(&self, vectors: &[f32]) -> Vec<f32> {
        vectors.chunks_exact(self.inner.dim()).flat_map(|vector| self.reversed(vector)).collect()
    }

    /// Checks that the other index has the same transforms.
    fn check_fits(&self, other: &Self) -> Result<(), MergeError> {
        if (self.dim, self.tokens(), self.cosine) != (other.dim, other.tokens(), other.cosine) {
            return Err(MergeError::Incompatible("dimension or transforms"));
        }
        let same = self.transforms().len() == other.transforms().len()
            && self.transforms().iter().zip(other.transforms()).all(|(a, b)| a.export().same(&b.export()));
        if same { Ok(()) } else { Err(MergeError::Incompatible("their transforms")) }
    }

    fn standalone(&self) -> Result<&dyn StandaloneCodec, CodeError> {
        Ok(self.inner.as_standalone_codec().ok_or_else(|| self.inner.unable("encode vectors"))?)
    }

    fn behind<'v>(&self, vectors: &'v [f32]) -> Rows<'v, f32> {
        Rows::new(vectors, self.inner.dim()).expect("transforms make whole rows")
    }

    /// Passes queries through the chain. If the call skips bad queries, they become NaN, and the
    /// inner index skips them.
    fn queries(&self, queries: AnyRows<'_>, params: &SearchParams<'_>) -> Result<Vec<f32>, SearchError> {
        let non_finite = match params.skip_bad_queries {
            Some(true) => NonFinite::SkipRow,
            _ => {
                queries.check(self.dim)?;
                NonFinite::Reject
            }
        };
        let how = How { executor: params.executor, cancel: params.cancel, non_finite };
        self.transformed(queries, how)?.ok_or(SearchError::NotTrained)
    }
}

fn no_rows(dim: usize) -> Result<Rows<'static, f32>, BuildError> {
    Rows::new(&[], dim).map_err(|error| BuildError::Dim { kind: "a transform".to_owned(), dim, why: error.to_string() })
}

/// Removes the rows that hold a NaN or an infinity, and returns their numbers.
fn drop_non_finite(vectors: &mut Vec<f32>, dim: usize) -> Vec<usize> {
    let (mut kept, mut dropped) = (0, Vec::new());
    for row in 0..vectors.len() / dim {
        let range = row * dim..(row + 1) * dim;
        if vectors[range.clone()].iter().all(|x| x.is_finite()) {
            vectors.copy_within(range, kept * dim);
            kept += 1;
        } else {
            dropped.push(row);
        }
    }
    vectors.truncate(kept * dim);
    dropped
}

impl Index for PreTransform {
    fn dim(&self) -> usize {
        self.dim
    }

    fn metric(&self) -> Metric {
        if self.cosine { Metric::Cosine } else { self.inner.metric() }
    }

    fn len(&self) -> usize {
        self.inner.len()
    }

    fn is_trained(&self) -> bool {
        self.chain.is_some() && self.inner.is_trained()
    }

    fn spec_text(&self) -> SpecText {
        let inner = self.inner.spec_text();
        if self.cosine { inner } else { inner.before(SpecText::TRANSFORM, &self.tokens()) }
    }

    fn search_rows(
        &self,
        queries: AnyRows<'_>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        let queries = self.queries(queries, params)?;
        self.inner.search_rows(self.behind(&queries).into(), k, params)
    }

    fn takes(&self) -> Takes {
        self.inner.takes()
    }

    /// Returns the parts. They include the transforms once these are trained.
    fn parts(&self) -> Vec<Part> {
        let mut own = vec![Part::new("", ROW.tag)];
        let transforms = self.transforms().iter().enumerate();
        own.extend(transforms.map(|(i, transform)| Part::new(&transform_name(i), transform.tag())));
        parts_around(own, INNER, &*self.inner)
    }

    fn set_knob_at(&mut self, path: &str, name: &str, value: KnobValue) -> Result<(), KnobError> {
        set_inner_knob(self, INNER, path, name, value)
    }

    fn memory(&self) -> usize {
        self.inner.memory().saturating_add(self.chain_memory())
    }

    fn memory_with(&self, vectors: usize) -> usize {
        self.inner.memory_with(vectors).saturating_add(self.chain_memory())
    }

    fn wrapped(&self) -> Option<&dyn Index> {
        Some(&*self.inner)
    }

    fn wrapped_mut(&mut self) -> Option<&mut dyn Index> {
        Some(&mut *self.inner)
    }

    fn clone_index(&self) -> Result<Box<dyn Index>, StoreError> {
        Ok(Box::new(Self {
            dim: self.dim,
            specs: self.specs.clone(),
            chain: self.chain.clone(),
            inner: self.inner.clone_index()?,
            cosine: self.cosine,
        }))
    }

    fn export(&self) -> Result<Node<'_>, StoreError> {
        self.export_node()
    }

    fn as_train(&mut self) -> Option<&mut dyn Train> {
        if self.specs.iter().any(learns) || self.inner.as_train().is_some() { Some(self) } else { None }
    }

    abilities! {
        given inner {
            mut as_add: Add,
            mut as_add_with_ids: AddWithIds,
            shared as_range_search: RangeSearch,
            mut as_update: Update,
            mut as_upsert: Upsert,
            shared as_copy_subset: CopySubset,
            mut as_merge: Merge,
            shared as_ivf: IndexIvf,
            mut as_ivf_mut: IndexIvfMut,
        }
        of inner {
            mut as_undo: Undo,
            mut as_reset: Reset,
            mut as_remove: Remove,
            shared as_scan_ids: ScanIds,
            mut as_add_codes: AddCodes,
            shared as_accelerate: Accelerate,
            mut as_accelerate_mut: Accelerate,
        }
    }

    fn as_distances(&self) -> Option<&dyn Distances> {
        is_measurable(&*self.inner).then_some(self)
    }

    fn as_reconstruct(&self) -> Option<&dyn Reconstruct> {
        self.inner.as_reconstruct()?;
        if self.is_reversible() { Some(self) } else { None }
    }

    fn as_standalone_codec(&self) -> Option<&dyn StandaloneCodec> {
        self.inner.as_standalone_codec()?;
        if self.is_reversible() { Some(self) } else { None }
    }
}
