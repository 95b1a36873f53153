//! `RFlat` and `Refine(<index>)`: an index that re-ranks candidates by another index of the same
//! vectors.
//! `PQ<M>+<M2>` is one whose refining codes are of residuals.
//!
//! | file | content |
//! |---|---|
//! | `mod` | the tokens, the index with its parts and knobs |
//! | `refining` | the index that re-ranks: codes, or any index |
//! | `search` | re-ranking, reconstructing |
//! | `edit` | training, adding, removing, replacing |
//! | `residual` | the token of two product quantizers, codes of residuals |

mod edit;
mod refining;
mod residual;
mod search;

use super::measure::{MEASURING, is_measurable};
use super::{parts_around, set_inner_knob};
use crate::abilities::abilities;
use crate::codec::{RowsSpec, as_rows};
use crate::engine::CodesIndex;
use ivf_core::ability::{Distances, Reconstruct, Remove, Reset, StandaloneCodec, Train, Update};
use ivf_core::error::{BuildError, DecodeError, KnobError, PartsError, SearchError, StoreError, Unable};
use ivf_core::field::{Field, FieldType, Schema};
use ivf_core::param::ParamRange;
use ivf_core::registry::{IndexSpec, Parsed, Registry, Side, Token, TokenError, WrapperRow, WrapperSpec};
use ivf_core::{
    AnyRows, CodecSpec, Index, Knob, KnobValue, Metric, Node, Param, Part, SearchParam, SearchParams, SearchResult,
    SpecText, StoredNode, Takes,
};
use refining::Refining;
pub(super) use residual::ROW as RESIDUAL;
use search::Refined;
use std::fmt;
use std::sync::Arc;

/// The registry row of this wrapper.
pub(super) const ROW: WrapperRow = WrapperRow::new("refine", "RFlat, Refine(<index>)", parse, |node, registry| {
    Ok(Box::new(Refine::read(node, registry)?))
})
.about("re-ranks the candidates of an index by full vectors, or by another index; knob k_factor_rf")
.samples(&[FULL, "Refine(SQ8)", "Refine(L2norm,IVF16,Flat)"])
.level(2)
.side(Side::After);

/// The token for full vectors.
const FULL: &str = "RFlat";

/// The name of the token for any codec, which is its argument.
const NAME: &str = "Refine";

/// Fields of the index in files.
const SCHEMA: &Schema = &[Field::new(SearchParam::KFactorRf.name(), FieldType::Float32)];

/// Names of the two indexes among the parts.
const BASE: &str = "base";
const REFINE: &str = "refine";

/// Parses `RFlat` or `Refine(<index>)`.
fn parse(token: &Token<'_>, registry: &Registry) -> Parsed<dyn WrapperSpec> {
    if token.plain() == Some(FULL) {
        return Some(Ok(Arc::new(RefineSpec { by: Refiner::Codec(Arc::new(RowsSpec)) })));
    }
    if token.name() != NAME {
        return None;
    }
    Some(refiner(token, registry).map(|by| Arc::new(RefineSpec { by }) as Arc<dyn WrapperSpec>))
}

/// Parses the argument: a codec, or a whole index.
fn refiner(token: &Token<'_>, registry: &Registry) -> Result<Refiner, TokenError> {
    let Some(argument) = token.arguments().filter(|text| !text.is_empty()) else {
        return Err(TokenError::new(0..token.text().len(), format!("{NAME} needs an index in parentheses")));
    };
    if let Some(codec) = codec_of(argument, registry) {
        return Ok(Refiner::Codec(codec.map_err(|error| error.shifted(token.arguments_span().start))?));
    }
    let index = token.index_argument(registry)?;
    // Parentheses around a codec, and other forms of its token.
    match codec_of(&index.to_string(), registry) {
        Some(Ok(codec)) => Ok(Refiner::Codec(codec)),
        _ => Ok(Refiner::Index(index)),
    }
}

/// Parses a text that is one token as a codec.
fn codec_of(text: &str, registry: &Registry) -> Parsed<dyn CodecSpec> {
    let token = Token::new(text).ok().filter(|token| !token.name().contains(','))?;
    registry.parse_codec(&token)
}

/// What re-ranks.
#[derive(Debug)]
enum Refiner {
    Codec(Arc<dyn CodecSpec>),
    Index(Arc<dyn IndexSpec>),
}

#[derive(Debug)]
struct RefineSpec {
    by: Refiner,
}

impl fmt::Display for RefineSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&match &self.by {
            Refiner::Codec(codec) => token_of(&codec.to_string()),
            Refiner::Index(index) => token_of(&index.to_string()),
        })
    }
}

impl WrapperSpec for RefineSpec {
    fn wrap(&self, inner: Box<dyn Index>) -> Result<Box<dyn Index>, BuildError> {
        Ok(Box::new(match &self.by {
            Refiner::Codec(codec) => Refine::new(inner, codec.clone())?,
            Refiner::Index(index) => {
                let refine = index.build(inner.dim(), inner.metric())?;
                Refine::by_index(inner, refine)?
            }
        }))
    }
}

/// Returns whether the token of a codec stands for full vectors.
fn is_full(codec: &str) -> bool {
    codec == RowsSpec.to_string()
}

/// Returns the token of the wrapper whose refining index has this factory string.
fn token_of(refine: &str) -> String {
    if is_full(refine) { FULL.to_owned() } else { format!("{NAME}({refine})") }
}

/// A base index that finds candidates, and another index of the same vectors that re-ranks them.
/// (Faiss's `IndexRefine`.)
///
/// The refining index is usually a codec of its own: full vectors (`RFlat`), or codes that are
/// finer than those of the base (`Refine(SQ8)`). It can be any index that has the ability
/// [`Distances`](ivf_core::Distances) or [`Reconstruct`]: `Refine(PCA64,Flat)` compares projected
/// vectors. It is not searched. Results have its distances, and reconstructed vectors are its own.
///
/// A search for `k` results takes the best `k * k_factor_rf` results of the base, and keeps the `k`
/// with the smallest refined distances. The default of the knob `k_factor_rf` (alias `k_factor`) is
/// 4. At 1, Faiss's default, the index only re-orders the results of the base. The value is stored
/// with the index.
///
/// The index of the token `PQ<M>+<M2>` is one of these too. Its refining codes are of residuals: a
/// vector minus what its code in the base stands for. Its results have the distances to the sums of
/// what both codes stand for.
///
/// ```
/// use ivf_core::{Index, Metric, Rows, SearchParams};
/// use ivf_cpu::codec::FlatSpec;
/// use ivf_cpu::coarse::FlatQuantizerSpec;
/// use ivf_cpu::{IvfIndex, Refine};
/// use std::sync::Arc;
///
/// // Usually the base has a lossy codec. Whatever it has, the result has exact distances.
/// let base = IvfIndex::new(1, Metric::L2, Arc::new(FlatQuantizerSpec { nlist: 2 }), Arc::new(FlatSpec))?;
/// let mut refine = Refine::flat(Box::new(base))?;
/// assert_eq!((refine.spec(), refine.base().spec()), ("IVF2,Flat,RFlat".to_owned(), "IVF2,Flat".to_owned()));
///
/// let index: &mut dyn Index = &mut refine;
/// let vectors: Vec<f32> = (0..100).map(|i| i as f32).collect();
/// index.train(Rows::new(&vectors, 1)?)?;
/// index.add(Rows::new(&vectors, 1)?)?;
/// // For each of 3 results, the base finds 2 candidates.
/// let params = SearchParams::new().nprobe(2).k_factor_rf(2.0);
/// let found = index.search(Rows::new(&[7.0_f32], 1)?, 3, &params)?;
/// assert_eq!(found.hits.row(0).distances, [0.0, 1.0, 1.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Refine {
    base: Box<dyn Index>,
    refine: Refining,
    /// Whether the refining codes are of residuals, instead of the vectors themselves.
    of_residuals: bool,
    k_factor_rf: f32,
}

const K_FACTOR_RF: Param = Param::new(
    SearchParam::KFactorRf.name(),
    ParamRange::Number { least: 1.0 },
    KnobValue::Float(DEFAULT_FACTOR as f64),
    "number of candidates re-ranked for each result; at 1, refinement only reorders results",
)
.with_alias(SearchParam::KFactorRf.alias().expect("the search parameter has an alias"));

/// Name of the parameter of codecs that allows less accurate distances.
const RAW_SUMS: &str = "raw_sums";

/// Default number of candidates per result.
const DEFAULT_FACTOR: f32 = 4.0;

/// Returns the factor if it is valid: a finite number of at least 1.
fn valid_factor(k_factor_rf: f32) -> Option<f32> {
    Some(k_factor_rf).filter(|factor| factor.is_finite() && *factor >= 1.0)
}

impl Refine {
    /// Creates an index that refines the results of `base` by the full vectors.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn flat(base: Box<dyn Index>) -> Result<Self, BuildError> {
        Self::new(base, Arc::new(RowsSpec))
    }

    /// Creates an index that refines the results of `base` by the codes of a codec. Each code is
    /// contiguous, whatever the codec's layout is. With `Flat`, it is the index of
    /// [`flat`](Self::flat).
    ///
    /// ```
    /// use ivf_core::{Index, Metric};
    /// use ivf_cpu::codec::FlatSpec;
    /// use ivf_cpu::{CodesIndex, Refine};
    /// use std::sync::Arc;
    /// let base = CodesIndex::new(2, Metric::L2, Arc::new(FlatSpec))?;
    /// // With a codec of one's own, the index is called `Flat,Refine(<its token>)`.
    /// let index = Refine::new(Box::new(base), Arc::new(FlatSpec))?;
    /// assert_eq!(index.spec(), "Flat,RFlat");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`BuildError::Unable`] if the base cannot add, or is not empty. The error of the codec if it
    /// does not support the dimension or the metric.
    pub fn new(mut base: Box<dyn Index>, codec: Arc<dyn CodecSpec>) -> Result<Self, BuildError> {
        let text = codec.to_string();
        let unable = |unable| BuildError::Unable { wrapper: token_of(&text), unable };
        if !base.is_empty() {
            return Err(unable(base.unable("start empty")));
        }
        if base.as_add().is_none() {
            return Err(unable(base.unable("add")));
        }
        let refine = CodesIndex::new(base.dim(), base.metric(), as_rows(codec))?;
        Ok(Self::unchecked(base, Refining::Codes(refine), false))
    }

    /// Creates an index that refines the results of `base` by the distances of another index, which
    /// gets the same vectors.
    ///
    /// ```
    /// use ivf_core::{Id, Index, Metric, Rows, SearchParams};
    /// use ivf_cpu::codec::FlatSpec;
    /// use ivf_cpu::coarse::FlatQuantizerSpec;
    /// use ivf_cpu::{CodesIndex, IvfIndex, Refine};
    /// use std::sync::Arc;
    ///
    /// let base = CodesIndex::new(1, Metric::L2, Arc::new(FlatSpec))?;
    /// let refine = IvfIndex::new(1, Metric::L2, Arc::new(FlatQuantizerSpec { nlist: 2 }), Arc::new(FlatSpec))?;
    /// let mut index = Refine::by_index(Box::new(base), Box::new(refine))?;
    /// let index: &mut dyn Index = &mut index;
    /// assert_eq!(index.spec(), "Flat,Refine(IVF2,Flat)");
    /// let vectors: Vec<f32> = (0..100).map(|i| i as f32).collect();
    /// index.train(Rows::new(&vectors, 1)?)?;
    /// index.add(Rows::new(&vectors, 1)?)?;
    /// let found = index.search(Rows::new(&[7.5_f32], 1)?, 1, &SearchParams::new())?;
    /// assert_eq!((found.hits.row(0).ids, found.hits.row(0).distances), (&[Id(7)][..], &[0.25][..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`BuildError::Unable`] if one of the two cannot add or is not empty, or if `refine` cannot
    /// compute distances to given ids. [`BuildError::Dim`] or [`BuildError::Metric`] if the two
    /// differ in it.
    pub fn by_index(mut base: Box<dyn Index>, mut refine: Box<dyn Index>) -> Result<Self, BuildError> {
        let token = token_of(&refine.spec());
        let unable = |unable| BuildError::Unable { wrapper: token.clone(), unable };
        for index in [&mut base, &mut refine] {
            if !index.is_empty() {
                return Err(unable(index.unable("start empty")));
            }
            if index.as_add().is_none() {
                return Err(unable(index.unable("add")));
            }
        }
        if !is_measurable(&*refine) {
            return Err(unable(refine.unable(MEASURING)));
        }
        if refine.dim() != base.dim() {
            let why = format!("the refining index has {}", refine.dim());
            return Err(BuildError::Dim { kind: token, dim: base.dim(), why });
        }
        if refine.metric() != base.metric() {
            return Err(BuildError::Metric { kind: token, metric: base.metric() });
        }
        let refine = Refining::of_index(refine).map_err(|error| BuildError::Dim {
            kind: token,
            dim: base.dim(),
            why: error.to_string(),
        })?;
        Ok(Self::unchecked(base, refine, false))
    }

    /// Assembles a refining index from the base and codes of the same vectors under the same ids.
    ///
    /// ```
    /// use ivf_core::{Index, Metric, Rows};
    /// use ivf_cpu::codec::FlatSpec;
    /// use ivf_cpu::{CodesIndex, Refine};
    /// use std::sync::Arc;
    ///
    /// let flat = || -> Result<CodesIndex, Box<dyn std::error::Error>> {
    ///     let mut index = CodesIndex::new(1, Metric::L2, Arc::new(FlatSpec))?;
    ///     <dyn Index>::add(&mut index, Rows::new(&[1.0_f32, 2.0], 1)?)?;
    ///     Ok(index)
    /// };
    /// // The base stands for a compressed index of the same vectors.
    /// let index = Refine::from_parts(Box::new(flat()?), flat()?, 4.0)?;
    /// assert_eq!((index.len(), index.spec().as_str()), (2, "Flat,RFlat"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`PartsError::Mismatch`] if the two differ in dimension, metric or number of vectors, or if
    /// `k_factor_rf` is not a finite number of at least 1.
    pub fn from_parts(base: Box<dyn Index>, refine: CodesIndex, k_factor_rf: f32) -> Result<Self, PartsError> {
        Self::of_parts(base, Refining::Codes(refine), k_factor_rf)
    }

    fn of_parts(base: Box<dyn Index>, refining: Refining, k_factor_rf: f32) -> Result<Self, PartsError> {
        let refine = refining.get();
        let fault = |what: String| Err(PartsError::Mismatch(what));
        if (base.dim(), base.metric(), base.len()) != (refine.dim(), refine.metric(), refine.len()) {
            return fault("the base and the refining vectors differ in dimension, metric or number".to_owned());
        }
        if valid_factor(k_factor_rf).is_none() {
            return fault(format!("{} is {k_factor_rf}, and must be {}", K_FACTOR_RF.name, K_FACTOR_RF.range));
        }
        Ok(Self { k_factor_rf, ..Self::unchecked(base, refining, false) })
    }

    /// Creates an index of two that fit, with the default number of candidates.
    fn unchecked(base: Box<dyn Index>, refine: Refining, of_residuals: bool) -> Self {
        Self { base, refine, of_residuals, k_factor_rf: DEFAULT_FACTOR }
    }

    /// Returns the index that finds candidates.
    pub fn base(&self) -> &dyn Index {
        &*self.base
    }

    fn read(node: &StoredNode, registry: &Registry) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        let k_factor_rf = node.fields(SCHEMA)?.get::<f32>(&K_FACTOR_RF.name)?;
        let (base, refine) = Self::read_both(node, registry)?;
        let fault = |what: String| DecodeError::value(&node.tag, what);
        if !is_measurable(refine.get()) {
            return Err(fault(refine.get().unable(MEASURING).to_string()));
        }
        Self::of_parts(base, refine, k_factor_rf).map_err(|error| fault(error.to_string()))
    }

    fn read_both(node: &StoredNode, registry: &Registry) -> Result<(Box<dyn Index>, Refining), DecodeError> {
        let base = registry.read_index(node.child(BASE)?)?;
        Ok((base, Refining::read(node.child(REFINE)?, registry)?))
    }

    fn tag(&self) -> &'static str {
        if self.of_residuals { residual::ROW.tag } else { ROW.tag }
    }

    fn refine_unable(&self, ability: &'static str) -> Unable {
        self.refine.get().unable(ability)
    }
}

impl Index for Refine {
    fn dim(&self) -> usize {
        self.base.dim()
    }

    fn metric(&self) -> Metric {
        self.base.metric()
    }

    fn len(&self) -> usize {
        self.base.len()
    }

    fn is_trained(&self) -> bool {
        self.base.is_trained() && self.refine.get().is_trained()
    }

    fn spec_text(&self) -> SpecText {
        if self.of_residuals {
            return SpecText::base(residual::joined(&self.base.spec(), &self.refine.get().spec()));
        }
        self.base.spec_text().after(ROW.level, &token_of(&self.refine.get().spec()))
    }

    fn search_rows(
        &self,
        queries: AnyRows<'_>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        let Refined { mut result, .. } = self.search_refined(queries, k, params)?;
        result.hits = result.hits.without_locations();
        Ok(result)
    }

    fn takes(&self) -> Takes {
        self.base.takes().with(SearchParam::KFactorRf).without(SearchParam::Locations)
    }

    fn parts(&self) -> Vec<Part> {
        let own = Part::new("", self.tag()).with_knobs(vec![Knob::new(K_FACTOR_RF, self.k_factor_rf)]);
        let mut parts = parts_around(vec![own], BASE, &*self.base);
        // The refining index manages its own direct map, so its knobs are hidden from the caller.
        let without_knobs = |part: Part| part.with_knobs(Vec::new()).under(REFINE);
        parts.extend(self.refine.get().parts().into_iter().map(without_knobs));
        parts
    }

    fn set_knob_at(&mut self, path: &str, name: &str, value: KnobValue) -> Result<(), KnobError> {
        if !(path.is_empty() && K_FACTOR_RF.is_named(name)) {
            return set_inner_knob(self, BASE, path, name, value);
        }
        // A number out of the range of `f32` becomes an infinity, which is not valid.
        let number = value.as_number().and_then(|number| valid_factor(number as f32));
        self.k_factor_rf = number.ok_or_else(|| KnobError::Value {
            name: name.to_owned(),
            must: K_FACTOR_RF.range.to_string(),
            found: value.to_string(),
        })?;
        Ok(())
    }

    fn memory(&self) -> usize {
        self.base.memory().saturating_add(self.refine.get().memory())
    }

    fn wrapped(&self) -> Option<&dyn Index> {
        Some(&*self.base)
    }

    fn wrapped_mut(&mut self) -> Option<&mut dyn Index> {
        Some(&mut *self.base)
    }

    fn clone_index(&self) -> Result<Box<dyn Index>, StoreError> {
        let (base, refine) = (self.base.clone_index()?, self.refine.snapshot()?);
        Ok(Box::new(Self { base, refine, ..*self }))
    }

    fn memory_with(&self, vectors: usize) -> usize {
        self.base.memory_with(vectors).saturating_add(self.refine.get().memory_with(vectors))
    }

    fn export(&self) -> Result<Node<'_>, StoreError> {
        let (base, refine) = (self.base.len(), self.refine.get().len());
        if base != refine {
            // Do not overwrite a readable file with one that cannot be read.
            return Err(StoreError::Inconsistent(format!("{base} vectors in the base, {refine} refining vectors")));
        }
        let mut node = Node::new(self.tag(), 0).with(&K_FACTOR_RF.name, self.k_factor_rf);
        node.push_child(BASE, self.base.export()?);
        node.push_child(REFINE, self.refine.get().export()?);
        Ok(node)
    }

    fn as_train(&mut self) -> Option<&mut dyn Train> {
        if self.base.as_train().is_none() && self.refine.get_mut().as_train().is_none() {
            return None;
        }
        Some(self)
    }

    fn as_standalone_codec(&self) -> Option<&dyn StandaloneCodec> {
        if self.of_residuals { Some(self) } else { self.refine.get().as_standalone_codec() }
    }

    fn as_distances(&self) -> Option<&dyn Distances> {
        // Those of sums of two codes are computed from reconstructed vectors.
        (!self.of_residuals).then_some(self)
    }

    fn as_reconstruct(&self) -> Option<&dyn Reconstruct> {
        self.refine.get().as_reconstruct()?;
        Some(self)
    }

    fn as_reset(&mut self) -> Option<&mut dyn Reset> {
        (self.base.as_reset().is_some() && self.refine.get_mut().as_reset().is_some()).then_some(self)
    }

    fn as_remove(&mut self) -> Option<&mut dyn Remove> {
        (self.base.as_remove().is_some() && self.refine.get_mut().as_remove().is_some()).then_some(self)
    }

    fn as_update(&mut self) -> Option<&mut dyn Update> {
        (self.base.as_update().is_some() && self.refine.get_mut().as_update().is_some()).then_some(self)
    }

    abilities! {
        own self {
            mut as_add: Add,
        }
        of base {
            shared as_scan_ids: ScanIds,
            shared as_accelerate: Accelerate,
            mut as_accelerate_mut: Accelerate,
        }
    }
}
