//! `RFlat` and `Refine(<codec>)`: an index that re-ranks candidates by the codes of another codec.

use super::{parts_around, set_inner_knob};
use crate::abilities::abilities;
use crate::codec::RowsSpec;
use crate::engine::CodesIndex;
use crate::executor::executor_for;
use ivf_core::ability::{Add, Reconstruct, Remove, Reset, Train, Update};
use ivf_core::error::{
    AddError, BuildError, DecodeError, EditError, InputError, KnobError, PartsError, ReconstructError, SearchError,
    StoreError, TrainError, Unable,
};
use ivf_core::executor::map;
use ivf_core::field::{Field, FieldType, Schema};
use ivf_core::index_ivf::check_k;
use ivf_core::param::ParamRange;
use ivf_core::params::NonFinite;
use ivf_core::registry::{Parsed, Registry, Side, Token, TokenError, WrapperRow, WrapperSpec};
use ivf_core::{
    AddOptions, AddReport, AnyRows, CodecSpec, DirectMapKind, Hits, Id, IdSelector, Index, Knob, KnobValue, Location,
    Metric, Neighbor, Node, Param, Part, Rows, SearchParam, SearchParams, SearchResult, Sink, SpecText, StoredNode,
    Takes, TrainOptions, TrainReport,
};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// The registry row of this wrapper.
pub(super) const ROW: WrapperRow = WrapperRow::new("refine", "RFlat, Refine(<codec>)", parse, |node, registry| {
    Ok(Box::new(Refine::read(node, registry)?))
})
.about("re-ranks the candidates of an index by full vectors, or by the codes of a codec; knob k_factor_rf")
.samples(&[FULL, "Refine(SQ8)"])
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

/// Parses `RFlat` or `Refine(<codec>)`.
fn parse(token: &Token<'_>, registry: &Registry) -> Parsed<dyn WrapperSpec> {
    if token.plain() == Some(FULL) {
        return Some(Ok(Arc::new(RefineSpec { codec: Arc::new(RowsSpec) })));
    }
    if token.name() != NAME {
        return None;
    }
    // Faiss takes any index here, and the tokens of most have a comma.
    let only_codecs = |error: TokenError| match token.arguments() {
        Some(arguments) if error.span == token.arguments_span() && arguments.contains(',') => {
            let what = format!("{NAME} takes one codec, such as {NAME}(SQ8), and '{arguments}' has a comma");
            TokenError::new(token.arguments_span(), what)
        }
        _ => error,
    };
    let codec = token.codec_argument(registry).map_err(only_codecs);
    Some(codec.map(|codec| Arc::new(RefineSpec { codec }) as Arc<dyn WrapperSpec>))
}

#[derive(Debug)]
struct RefineSpec {
    codec: Arc<dyn CodecSpec>,
}

impl fmt::Display for RefineSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&token_of(&self.codec.to_string()))
    }
}

impl WrapperSpec for RefineSpec {
    fn wrap(&self, inner: Box<dyn Index>) -> Result<Box<dyn Index>, BuildError> {
        Ok(Box::new(Refine::new(inner, self.codec.clone())?))
    }
}

/// Returns whether the token of a codec stands for full vectors.
fn is_full(codec: &str) -> bool {
    codec == RowsSpec.to_string()
}

/// Returns the token of the wrapper whose refining codes have this codec.
fn token_of(codec: &str) -> String {
    if is_full(codec) { FULL.to_owned() } else { format!("{NAME}({codec})") }
}

/// A base index that finds candidates, and a standalone index of the same vectors that re-ranks
/// them. (Faiss's `IndexRefine`.)
///
/// The refining index has a codec of its own: full vectors (`RFlat`), or codes that are finer than
/// those of the base (`Refine(SQ8)`). Results have its distances, and reconstructed vectors are
/// those that its codes stand for.
///
/// A search for `k` results takes the best `k * k_factor_rf` results of the base, and keeps the `k`
/// with the smallest refined distances. The default of the knob `k_factor_rf` (alias `k_factor`) is
/// 4. At 1, Faiss's default, the index only re-orders the results of the base. The value is stored
/// with the index.
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
    refine: CodesIndex,
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

    /// Creates an index that refines the results of `base` by the codes of a codec. `Flat` stores
    /// full vectors, each of them contiguously, as [`flat`](Self::flat).
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
        let codec = if is_full(&text) { Arc::new(RowsSpec) } else { codec };
        let unable = |unable| BuildError::Unable { wrapper: token_of(&text), unable };
        if !base.is_empty() {
            return Err(unable(base.unable("start empty")));
        }
        if base.as_add().is_none() {
            return Err(unable(base.unable("add")));
        }
        let refine = CodesIndex::new(base.dim(), base.metric(), codec)?;
        Ok(Self { base, refine, k_factor_rf: DEFAULT_FACTOR })
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
        let fault = |what: String| Err(PartsError::Mismatch(what));
        if (base.dim(), base.metric(), base.len()) != (refine.dim(), refine.metric(), refine.len()) {
            return fault("the base and the refining vectors differ in dimension, metric or number".to_owned());
        }
        if valid_factor(k_factor_rf).is_none() {
            return fault(format!("{} is {k_factor_rf}, and must be {}", K_FACTOR_RF.name, K_FACTOR_RF.range));
        }
        Ok(Self { base, refine, k_factor_rf })
    }

    /// Returns the index that finds candidates.
    pub fn base(&self) -> &dyn Index {
        &*self.base
    }

    fn read(node: &StoredNode, registry: &Registry) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        let k_factor_rf = node.fields(SCHEMA)?.get::<f32>(&K_FACTOR_RF.name)?;
        let base = registry.read_index(node.child(BASE)?)?;
        let refine = CodesIndex::read(node.child(REFINE)?, registry)?;
        Self::from_parts(base, refine, k_factor_rf).map_err(|error| DecodeError::value(&node.tag, error.to_string()))
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
        self.base.is_trained() && self.refine.is_trained()
    }

    fn spec_text(&self) -> SpecText {
        self.base.spec_text().after(ROW.level, &token_of(&self.refine.spec()))
    }

    fn search_rows(
        &self,
        queries: AnyRows<'_>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        check_k(k)?;
        params.only("a refining index", &self.takes())?;
        let k_factor_rf = params.k_factor_rf.unwrap_or(self.k_factor_rf);
        let k_factor_rf = valid_factor(k_factor_rf)
            .ok_or_else(|| SearchError::invalid(K_FACTOR_RF.name, K_FACTOR_RF.range.to_string(), k_factor_rf))?;
        let candidates = (k as f64 * f64::from(k_factor_rf)).ceil().min(usize::MAX as f64) as usize;
        let mut base_params = params.clone().without(SearchParam::KFactorRf);
        if self.base.takes().contains_own(RAW_SUMS) {
            // The candidates get other distances anyway.
            base_params = base_params.or(&[(RAW_SUMS, true)].into());
        }
        let mut result = self.base.search_rows(queries, candidates.max(k), &base_params)?;

        let started = Instant::now();
        let mut scratch = Vec::new();
        let rows = queries.to_f32(&mut scratch);
        let executor = executor_for(params.executor, result.hits.total() * self.dim());
        // Several queries of a batch may re-rank the same row. Sorting all candidates by row, so
        // that each row is read once, pays only for large rows and many candidates. With 160 for
        // each query, it takes 16 % less time for rows of 4,608 bytes, as much for 512 bytes, and 3
        // % more for 400 bytes. With 40, it takes as much, as much, and 4 % more.
        let sinks = map(executor, rows.len(), |i| -> Result<Sink, SearchError> {
            params.check_cancel()?;
            let ids = result.hits.row(i).ids;
            let mut sink = Sink::top_k(k);
            if ids.is_empty() {
                // Nothing was found, or the query was skipped because it is not finite.
                return Ok(sink);
            }
            for (&id, distance) in ids.iter().zip(self.refine.distances(rows.row(i), ids)?) {
                sink.push(Neighbor { distance, id, location: Location::default() });
            }
            Ok(sink)
        });
        let sinks = sinks.into_iter().collect::<Result<Vec<_>, _>>()?;
        result.hits = Hits::from_sinks(self.metric(), sinks, false);
        result.stats.scan_time += started.elapsed();
        Ok(result)
    }

    fn takes(&self) -> Takes {
        self.base.takes().with(SearchParam::KFactorRf).without(SearchParam::Locations)
    }

    fn parts(&self) -> Vec<Part> {
        let own = Part::new("", ROW.tag).with_knobs(vec![Knob::new(K_FACTOR_RF, self.k_factor_rf)]);
        let mut parts = parts_around(vec![own], BASE, &*self.base);
        // The refining index manages its own direct map, so its knobs are hidden from the caller.
        let without_knobs = |part: Part| part.with_knobs(Vec::new()).under(REFINE);
        parts.extend(self.refine.parts().into_iter().map(without_knobs));
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
        self.base.memory().saturating_add(self.refine.memory())
    }

    fn wrapped(&self) -> Option<&dyn Index> {
        Some(&*self.base)
    }

    fn wrapped_mut(&mut self) -> Option<&mut dyn Index> {
        Some(&mut *self.base)
    }

    fn clone_index(&self) -> Result<Box<dyn Index>, StoreError> {
        let (base, refine) = (self.base.clone_index()?, self.refine.snapshot()?);
        Ok(Box::new(Self { base, refine, k_factor_rf: self.k_factor_rf }))
    }

    fn memory_with(&self, vectors: usize) -> usize {
        self.base.memory_with(vectors).saturating_add(self.refine.memory_with(vectors))
    }

    fn export(&self) -> Result<Node<'_>, StoreError> {
        let (base, refine) = (self.base.len(), self.refine.len());
        if base != refine {
            // Do not overwrite a readable file with one that cannot be read.
            return Err(StoreError::Inconsistent(format!("{base} vectors in the base, {refine} refining vectors")));
        }
        let mut node = Node::new(ROW.tag, 0).with(&K_FACTOR_RF.name, self.k_factor_rf);
        node.push_child(BASE, self.base.export()?);
        node.push_child(REFINE, self.refine.export()?);
        Ok(node)
    }

    fn as_train(&mut self) -> Option<&mut dyn Train> {
        if self.base.as_train().is_none() && self.refine.as_train().is_none() {
            return None;
        }
        Some(self)
    }

    abilities! {
        own self {
            mut as_add: Add,
            shared as_reconstruct: Reconstruct,
        }
        given base {
            mut as_reset: Reset,
            mut as_remove: Remove,
            mut as_update: Update,
        }
        of base {
            shared as_scan_ids: ScanIds,
        }
        of refine {
            shared as_standalone_codec: StandaloneCodec,
        }
    }
}

impl Train for Refine {
    fn train(&mut self, rows: AnyRows<'_>, options: &TrainOptions<'_>) -> Result<TrainReport, TrainError> {
        if self.refine.as_train().is_none() {
            return self.base.train_with(rows, options);
        }
        if !self.is_empty() {
            return Err(TrainError::NotEmpty { len: self.len() });
        }
        // If one of the two fails, both stay as they were.
        let (mut base, mut refine) = (self.base.clone_index()?, self.refine.snapshot()?);
        let mut report = base.train_with(rows, options)?;
        let of_refine = train_on_rest(&mut refine, rows, &report.skipped, options)?;
        if report.skipped.is_empty() {
            // A base that does not learn skips nothing.
            report.skipped.clone_from(&of_refine.skipped);
        }
        report.merge(of_refine);
        (self.base, self.refine) = (base, refine);
        Ok(report)
    }

    fn training_points(&mut self, options: &TrainOptions<'_>) -> usize {
        let base = self.base.as_train().map_or(0, |train| train.training_points(options));
        base.max(self.refine.as_train().map_or(0, |train| train.training_points(options)))
    }

    fn training_memory(&mut self, points: usize, options: &TrainOptions<'_>) -> usize {
        let base = self.base.as_train().map_or(0, |train| train.training_memory(points, options));
        let Some(train) = self.refine.as_train() else { return base };
        // The rows that are left if the base skips some, and the trained state that is replaced.
        let vectors = points.saturating_mul(self.base.dim() * size_of::<f32>());
        let left = if options.non_finite == NonFinite::SkipRow { vectors } else { 0 };
        let refine = train.training_memory(points, options).saturating_add(left);
        base.max(refine).saturating_add(self.memory())
    }
}

/// Trains an index on the rows that are not skipped.
fn train_on_rest(
    index: &mut dyn Index,
    rows: AnyRows<'_>,
    skipped: &[usize],
    options: &TrainOptions<'_>,
) -> Result<TrainReport, TrainError> {
    if skipped.is_empty() {
        return index.train_with(rows, options);
    }
    let mut skipped = skipped.iter().peekable();
    let kept: Vec<usize> = (0..rows.len()).filter(|row| skipped.next_if_eq(&row).is_none()).collect();
    let mut scratch = Vec::new();
    let rows = rows.to_f32(&mut scratch);
    let left: Vec<f32> = kept.iter().flat_map(|&row| rows.row(row)).copied().collect();
    let left = Rows::new(&left, rows.dim()).map_err(InputError::from)?;
    index.train_with(left, options).map_err(|error| match error {
        TrainError::Input(error) => TrainError::Input(error.renumbered(|row| kept[row])),
        other => other,
    })
}

impl Add for Refine {
    fn add(&mut self, rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<AddReport, AddError> {
        // Both indexes assign ids from 0 and get the same calls, so a vector has the same id in
        // both.
        let mark = self.refine.mark()?;
        let refined = self.add_refining(rows, options)?;
        match self.base.add_with(rows, options) {
            Ok(report) if report.skipped == refined.skipped => Ok(report),
            Ok(report) => {
                // A transform in the base cannot take some of the rows. They are skipped here too.
                self.refine.undo(mark)?;
                let mut vectors = rows.to_f32(&mut Vec::new()).as_slice().to_vec();
                let dim = rows.dim();
                report.skipped.iter().for_each(|row| vectors[row * dim..(row + 1) * dim].fill(f32::NAN));
                let mut again = AddOptions::new().non_finite(NonFinite::SkipRow);
                again.executor = options.executor;
                self.add_refining(Rows::new(&vectors, dim).map_err(InputError::from)?.into(), &again)?;
                Ok(report)
            }
            Err(error) => {
                self.refine.undo(mark)?;
                Err(error)
            }
        }
    }
}

impl Refine {
    /// Builds a hash map from ids to locations, unless there is one. After vectors have moved, ids
    /// are no longer consecutive, and finding one without a map would need a scan.
    fn map_ids(&mut self) -> Result<(), EditError> {
        match self.refine.direct_map() {
            DirectMapKind::Hash => Ok(()),
            _ => self.refine.set_direct_map(DirectMapKind::Hash),
        }
    }

    fn add_refining(&mut self, rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<AddReport, AddError> {
        let unable = self.refine_unable("add");
        self.refine.as_add().ok_or(unable)?.add(rows, options)
    }

    fn refine_unable(&self, ability: &'static str) -> Unable {
        let refine: &dyn Index = &self.refine;
        refine.unable(ability)
    }
}

impl Reset for Refine {
    fn reset(&mut self) -> Result<(), StoreError> {
        if let Some(reset) = self.base.as_reset() {
            reset.reset()?;
        }
        match self.refine.as_reset() {
            Some(reset) => reset.reset(),
            None => Ok(()),
        }
    }
}

impl Remove for Refine {
    fn remove(&mut self, selector: &IdSelector<'_>) -> Result<usize, EditError> {
        let removed = self.base.remove(selector)?;
        let refine: &mut dyn Index = &mut self.refine;
        refine.remove(selector)?;
        self.map_ids()?;
        Ok(removed)
    }
}

impl Update for Refine {
    fn update(&mut self, ids: &[Id], rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<(), EditError> {
        for index in [&mut *self.base, &mut self.refine] {
            index.update_with(ids, rows, options)?;
        }
        self.map_ids()
    }
}

impl Reconstruct for Refine {
    fn reconstruct(&self, id: Id, vector: &mut [f32]) -> Result<(), ReconstructError> {
        match self.refine.as_reconstruct() {
            Some(reconstruct) => reconstruct.reconstruct(id, vector),
            None => Err(self.refine_unable("reconstruct").into()),
        }
    }

    fn reconstruct_many(&self, ids: &[Id], vectors: &mut [f32]) -> Result<(), ReconstructError> {
        match self.refine.as_reconstruct() {
            Some(reconstruct) => reconstruct.reconstruct_many(ids, vectors),
            None => Err(self.refine_unable("reconstruct").into()),
        }
    }

    fn search_and_reconstruct(
        &self,
        queries: AnyRows<'_>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<(SearchResult, Vec<f32>), SearchError> {
        let found = self.search_rows(queries, k, params)?;
        // An index that assigns its own ids has each id once.
        let mut vectors = vec![0.0; found.hits.total() * self.dim()];
        self.reconstruct_many(found.hits.ids(), &mut vectors)?;
        Ok((found, vectors))
    }
}
