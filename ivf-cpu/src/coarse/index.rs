//! `IVF<n>(<index>)` and `IVF<n>_HNSW<M>`: a coarse quantizer that searches an index of the
//! centroids.
//!
//! An exhaustive search of a million centroids costs more than the search of the lists that it
//! selects. An index of the centroids (another IVF, a graph, compressed codes) is faster, but
//! misses some of the nearest.

use super::{check_assign, first_non_finite, learn, parse_nlist, unsupported};
use crate::executor::executor_for;
use crate::hnsw::NAME as GRAPH;
use crate::kernels::{Distance, Visitor, distances_to_rows, with_distance};
use crate::kmeans::KMeans;
use crate::simd::{Kernel, Level, Simd};
use ivf_core::error::{
    AddError, BuildError, DecodeError, InputError, PartsError, ReconstructError, SearchError, StoreError, TrainError,
};
use ivf_core::executor::map_items;
use ivf_core::field::{Field, FieldType, Schema};
use ivf_core::hits::Hits;
use ivf_core::params::{QUANTIZER_PREFIX, Takes};
use ivf_core::registry::{IndexSpec, Parsed, QuantizerRow, Registry, Token, TokenError};
use ivf_core::{
    AddOptions, AnyRows, Centroids, Id, Index, Knob, Level1Quantizer, ListNo, Metric, Node, Param, Probes, Promise,
    QuantizerSpec, Rows, SearchParam, SearchParams, StoredNode, TrainOptions, TrainReport,
};
use std::fmt;
use std::sync::Arc;

/// The registry row of this quantizer.
pub(super) const ROW: QuantizerRow =
    QuantizerRow::new("index", "IVF<n>[k|M](<index>), IVF<n>[k|M]_HNSW[<M>]", parse, |node, registry| {
        Ok(Arc::new(IndexQuantizer::read(node, registry)?))
    })
    .about("n lists around k-means centroids, which an index finds, or a graph")
    .samples(&["IVF16(IVF4,Flat)", "IVF16_HNSW4"]);

const SCHEMA: &Schema = &[
    Field::new("nlist", FieldType::UInt),
    Field::new("metric", FieldType::Metric),
    Field::new("token", FieldType::Text),
];

/// Maximum nesting depth of quantizers of this kind. Each level builds its inner index several
/// times to query its abilities.
const MAX_DEPTH: usize = 4;

/// Number of rows that one task of a parallel loop handles.
const CHUNK: usize = 256;

/// Returns whether an index follows the number of lists after `_`, without parentheses.
fn is_graph(index: &str) -> bool {
    index.strip_prefix(GRAPH).is_some_and(|m| m.bytes().all(|byte| byte.is_ascii_digit()))
}

fn parse(token: &Token<'_>, registry: &Registry) -> Parsed<dyn QuantizerSpec> {
    if let Some((name, index)) = token.plain().and_then(|text| text.split_once('_')) {
        let nlist = parse_nlist(name).filter(|_| is_graph(index))?;
        let shifted = |error: TokenError| error.shifted(name.len() + 1);
        let spec =
            |nlist| Ok(Arc::new(IndexQuantizerSpec::new(nlist, registry.parse_index(index).map_err(shifted)?)) as _);
        return Some(nlist.and_then(spec));
    }
    let arguments = token.arguments()?;
    let nlist = parse_nlist(token.name())?;
    if parentheses(arguments) >= MAX_DEPTH {
        let what = format!("more than {MAX_DEPTH} nested parentheses in a coarse quantizer");
        return Some(Err(TokenError::new(token.arguments_span(), what)));
    }
    let spec = |nlist| Ok(Arc::new(IndexQuantizerSpec::new(nlist, token.index_argument(registry)?)) as _);
    Some(nlist.and_then(spec))
}

/// Returns the nesting depth of parentheses.
fn parentheses(text: &str) -> usize {
    let (mut open, mut most) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' => open += 1,
            b')' => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
    }
    most
}

/// The specification `IVF<n>(<index>)`: `n` centroids learnt by k-means, in an index. That of a
/// graph of vectors is written `IVF<n>_HNSW<M>`.
///
/// ```
/// use ivf_core::{Index, Metric, Rows, SearchParams};
/// use ivf_cpu::IvfIndex;
/// use ivf_cpu::codec::FlatSpec;
/// use ivf_cpu::coarse::IndexQuantizerSpec;
/// use std::sync::Arc;
/// # #[derive(Debug)]
/// # struct Flat;
/// # impl std::fmt::Display for Flat {
/// #     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
/// #         f.write_str("Flat")
/// #     }
/// # }
/// # impl ivf_core::registry::IndexSpec for Flat {
/// #     fn build(&self, dim: usize, metric: Metric) -> Result<Box<dyn Index>, ivf_core::error::BuildError> {
/// #         Ok(Box::new(ivf_cpu::CodesIndex::new(dim, metric, Arc::new(FlatSpec))?))
/// #     }
/// # }
///
/// // `Flat` is an `IndexSpec`. The parser of `ivf-factory` makes one of any factory string.
/// let quantizer = IndexQuantizerSpec::new(4, Arc::new(Flat));
/// assert_eq!((quantizer.to_string(), quantizer.index().to_string()), ("IVF4(Flat)".to_owned(), "Flat".to_owned()));
///
/// let mut index = IvfIndex::new(1, Metric::L2, Arc::new(quantizer), Arc::new(FlatSpec))?;
/// let index: &mut dyn Index = &mut index;
/// let vectors: Vec<f32> = (0..200).map(|i| i as f32).collect();
/// index.train(Rows::new(&vectors, 1)?)?;
/// index.add(Rows::new(&vectors, 1)?)?;
/// let found = index.search(Rows::new(&[90.0_f32], 1)?, 1, &SearchParams::new())?;
/// assert_eq!(found.hits.row(0).ids, [90.into()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct IndexQuantizerSpec {
    nlist: usize,
    index: Arc<dyn IndexSpec>,
    /// The parameters of an existing index, whose knobs may have been set. `None` for a
    /// specification from which no index was made.
    params: Option<Arc<[Param]>>,
}

impl IndexQuantizerSpec {
    /// Specifies `nlist` lists, whose centroids are stored in an index of the given kind.
    ///
    /// # Panics
    /// If `nlist` is zero or more than `u32::MAX`.
    pub fn new(nlist: usize, index: Arc<dyn IndexSpec>) -> Self {
        assert!((1..=u32::MAX as usize).contains(&nlist), "1 to 2^32 - 1 lists");
        Self { nlist, index, params: None }
    }

    /// Returns the specification of the index of the centroids.
    pub fn index(&self) -> &Arc<dyn IndexSpec> {
        &self.index
    }

    /// Returns the error of this quantizer if it cannot be trained.
    fn untrainable(&self, what: impl fmt::Display) -> TrainError {
        unsupported(self, what)
    }
}

impl fmt::Display for IndexQuantizerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let index = self.index.to_string();
        if is_graph(&index) { write!(f, "IVF{}_{index}", self.nlist) } else { write!(f, "IVF{}({index})", self.nlist) }
    }
}

impl QuantizerSpec for IndexQuantizerSpec {
    fn nlist(&self) -> usize {
        self.nlist
    }

    fn check(&self, dim: usize, metric: Metric) -> Result<(), BuildError> {
        let kind = || self.to_string();
        // For the cosine, a transform normalises before an inner-product index.
        if metric == Metric::Cosine {
            return Err(BuildError::Metric { kind: kind(), metric });
        }
        let mut index = self.index.build(dim, metric)?;
        if index.metric() != metric {
            return Err(BuildError::Metric { kind: kind(), metric });
        }
        if index.dim() != dim {
            return Err(BuildError::Dim { kind: kind(), dim, why: format!("its index has {}", index.dim()) });
        }
        for (can, ability) in [(index.as_add().is_some(), "add"), (index.as_reconstruct().is_some(), "reconstruct")] {
            if !can {
                return Err(BuildError::Unable { wrapper: kind(), unable: index.unable(ability) });
            }
        }
        Ok(())
    }

    fn training_points(&self, options: &TrainOptions<'_>) -> usize {
        KMeans::new(self.nlist, Metric::L2).training_points(options)
    }

    fn training_memory(&self, dim: usize, metric: Metric, points: usize, options: &TrainOptions<'_>) -> usize {
        let kmeans = KMeans::new(self.nlist, metric).training_memory(dim, points, options);
        let Ok(mut index) = self.index.build(dim, metric) else { return kmeans };
        // The centroids as learnt, and as reconstructed by the index.
        let centroids = self.nlist.saturating_mul(2 * dim * size_of::<f32>());
        let training = index.as_train().map_or(0, |train| train.training_memory(self.nlist, options));
        kmeans.max(centroids.saturating_add(training).saturating_add(index.memory_with(self.nlist)))
    }

    fn params(&self, dim: usize, metric: Metric) -> Vec<Param> {
        match &self.params {
            Some(params) => params.to_vec(),
            None => self.index.build(dim, metric).map(|index| declared(&*index)).unwrap_or_default(),
        }
    }

    /// Learns centroids, trains the index on them, and adds them. (Faiss's `quantizer_trains_alone
    /// = 2`.)
    fn train(
        &self,
        rows: AnyRows<'_>,
        metric: Metric,
        options: &TrainOptions<'_>,
    ) -> Result<(Arc<dyn Level1Quantizer>, TrainReport), TrainError> {
        let (centroids, mut report) = learn(self, rows, metric, options)?;
        let centroids = Rows::new(&centroids, rows.dim()).expect("centroids are rows");
        let mut index =
            self.index.build(rows.dim(), metric).map_err(|error| self.untrainable(format!("this index: {error}")))?;
        report.merge(index.train_with(centroids, options).map_err(|error| match error {
            TrainError::TooFew { who, needed, found } => {
                self.untrainable(format!("{found} lists: in its index, {who} need at least {needed} centroids"))
            }
            TrainError::Input(error) => of_centroid(error),
            other => other,
        })?);
        let mut adding = AddOptions::new();
        (adding.executor, adding.cancel) = (options.executor, options.cancel);
        index.add_with(centroids, &adding).map_err(|error| match error {
            AddError::Cancelled => TrainError::Cancelled,
            AddError::Input(error) => of_centroid(error),
            AddError::Store(error) => error.into(),
            AddError::Unable(error) => error.into(),
            other => self.untrainable(format!("these vectors: {other}")),
        })?;
        let quantizer = IndexQuantizer::from_index(Arc::clone(&self.index), index).map_err(|error| match error {
            PartsError::Bind(error) => error.into(),
            PartsError::Store(error) => error.into(),
            other => self.untrainable(format!("these vectors: {other}")),
        })?;
        Ok((Arc::new(quantizer), report))
    }
}

/// Returns the error of an index that cannot hold a centroid.
fn of_centroid(error: InputError) -> TrainError {
    match error {
        InputError::Overflow { row, .. } | InputError::ZeroVector { row } | InputError::NonFinite { row } => {
            TrainError::Centroid { list: ListNo(row as u32), error }
        }
        other => other.into(),
    }
}

/// Returns the search parameters of an index that are knobs of its parts, with the present value of
/// each.
fn declared(index: &dyn Index) -> Vec<Param> {
    let takes = index.takes();
    let mut params: Vec<Param> = Vec::new();
    for part in index.parts() {
        let is_quantizer = part.path.rsplit('/').next() == Some("quantizer");
        for Knob { param, value, .. } in part.knobs {
            let prefix = if is_quantizer { QUANTIZER_PREFIX } else { "" };
            let name = format!("{prefix}{}", param.name);
            let is_taken = field(&name).map_or(takes.contains_own(&name), |field| takes.contains(field));
            // Of several knobs with one name, take the outermost.
            if is_taken && params.iter().all(|known| known.name != name) {
                params.push(param.renamed(name).with_default(value));
            }
        }
    }
    params
}

/// Returns the search parameter of this name that takes a plain value.
fn field(name: &str) -> Option<SearchParam> {
    SearchParam::ALL.iter().copied().find(|field| field.name() == name && field.range().is_some())
}

/// A quantizer whose centroids are stored in an index: id `i` is the centroid of list `i`.
///
/// The centroid of a list is the vector that the index reconstructs. If the index is lossy, it
/// differs from the centroid that k-means found. Residuals and coarse distances are relative to the
/// reconstructed centroid. Access to a centroid must not fail, so the quantizer keeps a copy of all
/// centroids (`nlist x dim` floats, which [`memory`](Level1Quantizer::memory) includes).
///
/// The index selects the nearest centroids, and the quantizer recomputes their distances exactly.
/// If the index can widen a search that finds too few results ([`SearchParams::ensure_k`]), it does
/// so, because a vector without a list could not be added.
#[derive(Debug)]
pub struct IndexQuantizer {
    index: Box<dyn Index>,
    spec: IndexQuantizerSpec,
    centroids: Vec<f32>,
    takes: Takes,
    widens: bool,
}

impl IndexQuantizer {
    /// Creates a quantizer from an index that holds the centroids under consecutive ids from 0, one
    /// per list. `spec` is the specification of such an index.
    ///
    /// ```
    /// use ivf_core::registry::IndexSpec;
    /// use ivf_core::{Centroids, Index, Level1Quantizer, ListNo, Metric, Rows, SearchParams};
    /// use ivf_cpu::coarse::IndexQuantizer;
    /// use std::sync::Arc;
    /// # #[derive(Debug)]
    /// # struct Flat;
    /// # impl std::fmt::Display for Flat {
    /// #     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
    /// #         f.write_str("Flat")
    /// #     }
    /// # }
    /// # impl IndexSpec for Flat {
    /// #     fn build(&self, dim: usize, metric: Metric) -> Result<Box<dyn Index>, ivf_core::error::BuildError> {
    /// #         Ok(Box::new(ivf_cpu::CodesIndex::new(dim, metric, Arc::new(ivf_cpu::codec::FlatSpec))?))
    /// #     }
    /// # }
    ///
    /// // Centroids learnt elsewhere, in an index of any kind.
    /// let mut index = Flat.build(1, Metric::L2)?;
    /// index.add(Rows::new(&[0.0_f32, 10.0, 20.0], 1)?)?;
    /// let quantizer = IndexQuantizer::from_index(Arc::new(Flat), index)?;
    /// assert_eq!((quantizer.nlist(), quantizer.index().len()), (3, 3));
    ///
    /// let probes = quantizer.assign(Rows::new(&[12.0], 1)?, 2, &SearchParams::new())?;
    /// assert!(probes.row(0).eq([(Some(ListNo(1)), 4.0), (Some(ListNo(2)), 64.0)]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`PartsError::Mismatch`] if `spec` specifies another kind of index. Also if the index is not
    /// trained, is for [`Metric::Cosine`], has no vectors or more than `u32::MAX`, lacks an id, or
    /// cannot reconstruct vectors. Also if a centroid holds a NaN or an infinity.
    /// [`PartsError::Store`] if the index cannot be read.
    pub fn from_index(spec: Arc<dyn IndexSpec>, index: Box<dyn Index>) -> Result<Self, PartsError> {
        let fault = |what: String| Err(PartsError::Mismatch(what));
        let nlist = index.len();
        if index.spec() != spec.to_string() {
            return fault(format!("the index of centroids is {}, not {spec}", index.spec()));
        }
        if parentheses(&spec.to_string()) >= MAX_DEPTH {
            return fault(format!("more than {MAX_DEPTH} nested parentheses in a coarse quantizer"));
        }
        if !index.is_trained() || index.metric() == Metric::Cosine {
            let what = if index.is_trained() { "normalises vectors" } else { "is not trained" };
            return fault(format!("the index of centroids {what}"));
        }
        if !(1..=u32::MAX as usize).contains(&nlist) {
            return fault(format!("an index of {nlist} centroids: a quantizer has 1 to 4294967295"));
        }
        let centroids = all_centroids(&*index)?;
        let rows = Rows::new(&centroids, index.dim()).expect("centroids are rows");
        if let Some(list) = first_non_finite(rows) {
            return fault(format!("the centroid of list {list} holds a NaN or an infinity"));
        }
        let params = declared(&*index);
        let takes = params.iter().fold(Takes::default(), |takes, param| match field(&param.name) {
            Some(field) => takes.with(field),
            None => takes.with_own([param.name.clone()]),
        });
        let widens = index.takes().contains(SearchParam::EnsureK);
        let spec = IndexQuantizerSpec { params: Some(params.into()), ..IndexQuantizerSpec::new(nlist, spec) };
        Ok(Self { index, spec, centroids, takes, widens })
    }

    /// Returns the index of the centroids.
    pub fn index(&self) -> &dyn Index {
        &*self.index
    }

    fn read(node: &StoredNode, registry: &Registry) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        let fault = |what: String| DecodeError::value(&node.tag, what);
        let fields = node.fields(SCHEMA)?;
        let token: String = fields.get("token")?;
        let spec = registry.parse_index(&token).map_err(|error| {
            let token: String = token.chars().take(60).flat_map(char::escape_debug).collect();
            fault(format!("the stored token '{token}': {}", error.what))
        })?;
        let index = registry.read_index(node.child("index")?)?;
        let expected = (fields.get::<u64>("nlist")?, fields.get::<Metric>("metric")?);
        if expected != (index.len() as u64, index.metric()) {
            let (len, metric) = (index.len(), index.metric());
            return Err(fault(format!(
                "{len} centroids for {metric} in a quantizer of {} for {}",
                expected.0, expected.1
            )));
        }
        Self::from_index(spec, index).map_err(|error| fault(error.to_string()))
    }

    /// Ranks the lists of some rows by exact distance. Row 0 has the hits at row `first` of `hits`.
    fn rank(
        &self,
        rows: Rows<'_, f32>,
        first: usize,
        hits: &Hits,
        lists: &mut [Option<ListNo>],
        distances: &mut [f32],
    ) -> Result<(), SearchError> {
        let (dim, nlist, nprobe) = (self.dim(), self.nlist(), lists.len() / rows.len());
        let (mut found, mut pairs, mut ends) = (Vec::new(), Vec::new(), Vec::with_capacity(rows.len()));
        for (row, query) in rows.iter().enumerate() {
            let start = found.len();
            for id in hits.row(first + row).ids {
                let list = u32::try_from(id.0).ok().filter(|list| (*list as usize) < nlist).ok_or_else(|| {
                    let what = format!("an index of {nlist} centroids returns the id {id}");
                    StoreError::Inconsistent(what)
                })?;
                found.push(list);
            }
            if found.len() == start || nprobe == nlist {
                // The index leaves out a centroid whose distance is NaN. If it finds nothing, all
                // lists are equally far, and the lower ones come first, as in the flat quantizer.
                // Who asks for all lists gets all.
                found.truncate(start);
                found.extend(0..nprobe as u32);
            }
            found[start..].sort_unstable();
            let kept = start + dedup(&mut found[start..]);
            found.truncate(kept);
            pairs.extend(found[start..].iter().map(|&list| (query, &self.centroids[list as usize * dim..][..dim])));
            ends.push(found.len());
        }
        let mut exact = vec![0.0; pairs.len()];
        with_distance(self.index.metric(), Pairs { pairs: &pairs, out: &mut exact });
        let (mut start, mut ranked) = (0, Vec::new());
        for (end, (lists, distances)) in
            ends.into_iter().zip(lists.chunks_exact_mut(nprobe).zip(distances.chunks_exact_mut(nprobe)))
        {
            ranked.clear();
            // A distance that overflows to NaN counts as infinite.
            let far = |distance: f32| if distance.is_nan() { f32::INFINITY } else { distance };
            ranked.extend(exact[start..end].iter().map(|&distance| far(distance)).zip(&found[start..end]));
            // The lists ascend and the sort is stable: among equal distances the lower list comes
            // first.
            ranked.sort_by(|(a, _), (b, _)| a.partial_cmp(b).expect("no NaN"));
            for ((&(distance, &list), place), to) in ranked.iter().zip(lists).zip(distances) {
                (*place, *to) = (Some(ListNo(list)), distance);
            }
            start = end;
        }
        Ok(())
    }
}

/// Moves the first of each run of equal numbers to the front, and returns how many there are.
fn dedup(numbers: &mut [u32]) -> usize {
    let mut kept = 0;
    for i in 0..numbers.len() {
        if kept == 0 || numbers[kept - 1] != numbers[i] {
            numbers[kept] = numbers[i];
            kept += 1;
        }
    }
    kept
}

/// Reconstructs all vectors, which must have consecutive ids from 0.
fn all_centroids(index: &dyn Index) -> Result<Vec<f32>, PartsError> {
    let (nlist, dim) = (index.len(), index.dim());
    let fault = |what: String| PartsError::Mismatch(what);
    let reconstruct = index.as_reconstruct().ok_or_else(|| fault(index.unable("reconstruct").to_string()))?;
    let mut rows = Vec::new();
    // A one-byte code may decode to many floats, so the vectors may not fit in memory.
    let len = nlist.checked_mul(dim).filter(|&len| rows.try_reserve_exact(len).is_ok());
    rows.resize(len.ok_or_else(|| fault(format!("{nlist} centroids of {dim} dimensions do not fit in memory")))?, 0.0);
    let ids: Vec<Id> = (0..nlist as i64).map(Id).collect();
    match reconstruct.reconstruct_many(&ids, &mut rows) {
        Ok(()) => Ok(rows),
        Err(ReconstructError::Store(error)) => Err(error.into()),
        Err(error) => Err(fault(format!("the index of centroids cannot reconstruct them: {error}"))),
    }
}

struct Pairs<'a> {
    pairs: &'a [(&'a [f32], &'a [f32])],
    out: &'a mut [f32],
}

impl Visitor for Pairs<'_> {
    type Output = ();

    fn visit<D: Distance>(self, distance: D) {
        Level::get().run(WithDistance { distance, pairs: self });
    }
}

struct WithDistance<'a, D> {
    distance: D,
    pairs: Pairs<'a>,
}

impl<D: Distance> Kernel for WithDistance<'_, D> {
    type Output = ();
    const BYTES: bool = false;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        distances_to_rows(simd, self.distance, self.pairs.pairs.iter().copied(), self.pairs.out);
    }
}

impl Centroids for IndexQuantizer {
    fn dim(&self) -> usize {
        self.index.dim()
    }

    fn nlist(&self) -> usize {
        self.spec.nlist
    }

    fn centroid(&self, list: ListNo, out: &mut [f32]) {
        let dim = self.dim();
        out.copy_from_slice(&self.centroids[list.index() * dim..][..dim]);
    }

    fn centroid_rows(&self, first: ListNo, out: &mut [f32]) {
        assert!(out.len().is_multiple_of(self.dim()), "rows of {} numbers", self.dim());
        out.copy_from_slice(&self.centroids[first.index() * self.dim()..][..out.len()]);
    }
}

impl Level1Quantizer for IndexQuantizer {
    fn tag(&self) -> &str {
        ROW.tag
    }

    fn assign(&self, rows: Rows<'_, f32>, nprobe: usize, params: &SearchParams<'_>) -> Result<Probes, SearchError> {
        params.only("a quantizer made of an index", &self.takes)?;
        check_assign(self, rows, nprobe, params)?;
        let nprobe = nprobe.min(self.nlist());
        let mut params = params.clone();
        if self.widens && params.ensure_k.is_none() {
            params.ensure_k = Some(true);
        }
        let hits = self.index.search_rows(rows.into(), nprobe, &params)?.hits;
        if hits.len() != rows.len() {
            let what = format!("an index of centroids returns results for {} of {} rows", hits.len(), rows.len());
            return Err(StoreError::Inconsistent(what).into());
        }
        let places = rows.len() * nprobe;
        let (mut lists, mut distances) = (vec![None; places], vec![f32::INFINITY; places]);
        let tasks: Vec<_> = lists.chunks_mut(CHUNK * nprobe).zip(distances.chunks_mut(CHUNK * nprobe)).collect();
        let executor = executor_for(params.executor, places * rows.dim());
        let ranked = map_items(executor, tasks, |task, (lists, distances)| {
            let first = task * CHUNK;
            let rows = rows.slice(first..first + lists.len() / nprobe);
            self.rank(rows, first, &hits, lists, distances)
        });
        ranked.into_iter().collect::<Result<(), SearchError>>()?;
        Probes::new(nprobe, lists, distances)
    }

    fn promise(&self) -> Promise {
        Promise::NONE
    }

    fn spec(&self) -> Arc<dyn QuantizerSpec> {
        Arc::new(self.spec.clone())
    }

    fn metric(&self) -> Option<Metric> {
        Some(self.index.metric())
    }

    fn memory(&self) -> usize {
        self.index.memory() + self.centroids.capacity() * size_of::<f32>()
    }

    fn export(&self) -> Result<Node<'_>, StoreError> {
        let mut node = Node::new(ROW.tag, 0)
            .with("nlist", self.nlist())
            .with("metric", self.index.metric())
            .with("token", self.spec.index.to_string());
        node.push_child("index", self.index.export()?);
        Ok(node)
    }
}

#[cfg(test)]
mod tests;
