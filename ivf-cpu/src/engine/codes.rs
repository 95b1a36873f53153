//! The standalone index of a codec (`Flat`, `PQ16`, ...). It has one list, and each search scans
//! all of its codes.

use super::entries::Mark;
use super::stored::StoredCodes;
use super::{IvfIndex, IvfOptions};
use crate::abilities::abilities;
use crate::coarse::{OneList, OneListSpec};
use crate::wrap::check_lengths;
use ivf_core::ability::{CopySubset, Distances, Merge, RangeSearch, Subset, Train};
use ivf_core::error::{
    BuildError, DecodeError, EditError, KnobError, MergeError, PartsError, ReconstructError, SearchError, StoreError,
};
use ivf_core::lists::Segment;
use ivf_core::part::{unknown_knob, unknown_part};
use ivf_core::registry::{IndexRow, Registry};
use ivf_core::{
    AddOptions, AnyRows, Codec, CodecSpec, DirectMapKind, Id, Index, InvertedLists, KnobValue, ListNo, Metric, Node,
    ParallelMode, Part, Rows, SearchParam, SearchParams, SearchResult, Settings, SpecText, StoredNode, Takes,
    TrainOptions, index_as_ref,
};
use std::any::Any;
use std::sync::Arc;

/// The knobs of the engine that this index exposes.
const KNOBS: [&str; 2] = ["mode", "direct_map"];

/// The registry row of this index.
pub(crate) const ROW: IndexRow =
    IndexRow::without_token("codes", |node, registry| Ok(Box::new(CodesIndex::read(node, registry)?)))
        .about("a codec and one list, searched exhaustively");

/// The search parameters, without those of the codec.
const TAKES: Takes = Takes::of(&[
    SearchParam::Selector,
    SearchParam::Mode,
    SearchParam::Locations,
    SearchParam::SkipBadQueries,
    SearchParam::PerQuery,
]);

/// The range-search parameters, without those of the codec.
const RANGE_TAKES: Takes = TAKES.with(SearchParam::MaxResults);

/// The standalone index of a codec: every code is compared with every query. With the codec `Flat`
/// the results are exact.
///
/// It is the IVF engine with one list. With a codec that needs no training (`Flat`), the index is
/// trained from the start. Consecutive ids from 0 take no memory.
///
/// ```
/// use ivf_core::{DirectMapKind, Id, Index, KnobValue, Metric, ParallelMode, Rows, SearchParams};
/// use ivf_cpu::CodesIndex;
/// use ivf_cpu::codec::FlatSpec;
/// use std::sync::Arc;
///
/// let mut index = CodesIndex::new(1, Metric::L2, Arc::new(FlatSpec))?;
/// let dynamic: &mut dyn Index = &mut index;
/// dynamic.add(Rows::new(&[1.0_f32, 2.0, 4.0], 1)?)?;
/// let found = dynamic.search(Rows::new(&[3.5_f32], 1)?, 2, &SearchParams::new())?;
/// assert_eq!(found.hits.row(0).ids, [Id(2), Id(1)]);
///
/// // Methods of its own: the distances of chosen vectors, and two settings, which are also knobs.
/// assert_eq!(index.distances(&[3.0], &[Id(0), Id(2)])?, [4.0, 1.0]);
/// index.set_direct_map(DirectMapKind::Hash)?;
/// assert_eq!(index.direct_map(), DirectMapKind::Hash);
/// index.set_parallel_mode(ParallelMode::Probes);
/// let index: &dyn Index = &index;
/// assert_eq!(index.knob("mode"), Some(KnobValue::from("probes")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct CodesIndex {
    inner: IvfIndex,
    /// True if the codec needs training.
    learns: bool,
}

index_as_ref!(CodesIndex);

impl CodesIndex {
    /// Creates an empty index.
    ///
    /// # Errors
    /// [`BuildError`] if the codec does not support the dimension or the metric.
    pub fn new(dim: usize, metric: Metric, codec: Arc<dyn CodecSpec>) -> Result<Self, BuildError> {
        let learns = codec.training_points(&TrainOptions::new()) > 0;
        let mut inner = IvfIndex::new(dim, metric, Arc::new(OneListSpec), codec.clone())?;
        if !learns {
            let rows = Rows::new(&[0.0_f32; 0], dim).map_err(|error| BuildError::Dim {
                kind: codec.to_string(),
                dim,
                why: error.to_string(),
            })?;
            inner.train(rows.into(), &TrainOptions::new()).map_err(|error| BuildError::Dim {
                kind: codec.to_string(),
                dim,
                why: error.to_string(),
            })?;
        }
        Ok(Self { inner, learns })
    }

    /// Assembles an index from an existing codec and its one list; see [`IvfIndex::from_parts`].
    ///
    /// ```
    /// use ivf_core::{ArrayLists, Codec, Id, Index, InvertedLists, ListNo, Metric, Rows};
    /// use ivf_cpu::codec::FlatCodec;
    /// use ivf_cpu::{CodesIndex, IvfOptions};
    /// use std::sync::Arc;
    ///
    /// let codec = FlatCodec::new(1, Metric::L2);
    /// let mut lists = ArrayLists::new(1, codec.layout().clone());
    /// let mut code = vec![0; codec.layout().code_size()];
    /// codec.encode(Rows::new(&[9.5], 1)?, &mut code);
    /// lists.writer().ok_or("lists in memory")?.replace(ListNo(0), &[Id(7)], &code)?;
    /// let index = CodesIndex::from_parts(Arc::new(codec), Box::new(lists), IvfOptions::default())?;
    /// let index: &dyn Index = &index;
    /// assert_eq!(index.reconstruct(Id(7))?, [9.5]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`IvfIndex::from_parts`].
    pub fn from_parts(
        codec: Arc<dyn Codec>,
        lists: Box<dyn InvertedLists>,
        options: IvfOptions,
    ) -> Result<Self, PartsError> {
        let quantizer = Arc::new(OneList::new(codec.dim()));
        let learns = codec.spec().training_points(&TrainOptions::new()) > 0;
        if options.max_codes != 0 {
            return Err(PartsError::Mismatch("max_codes does not apply to an index of one list".to_owned()));
        }
        let mut inner = IvfIndex::unchecked(codec.dim(), codec.metric(), Arc::new(OneListSpec), codec.spec(), options);
        inner.assemble_checked(quantizer, codec, lists)?;
        Ok(Self { inner, learns })
    }

    /// Switches to another kind of direct map; see [`IvfIndex::set_direct_map`].
    ///
    /// # Errors
    /// As [`IvfIndex::set_direct_map`].
    pub fn set_direct_map(&mut self, kind: DirectMapKind) -> Result<(), EditError> {
        self.inner.set_direct_map(kind)
    }

    /// Returns the kind of direct map.
    pub fn direct_map(&self) -> DirectMapKind {
        self.inner.direct_map()
    }

    /// Sets the default parallel mode, which the parameters of a search can override.
    pub fn set_parallel_mode(&mut self, mode: ParallelMode) {
        self.inner.set_parallel_mode(mode);
    }

    /// Returns the inner distances (smaller is closer) from a query to the vectors of `ids`,
    /// the same as a search returns.
    ///
    /// # Errors
    /// [`ReconstructError`] if an id is not in the index, the index is not trained, or the lists
    /// cannot be read.
    ///
    /// # Panics
    /// If the query has another dimension.
    pub fn distances(&self, query: &[f32], ids: &[Id]) -> Result<Vec<f32>, ReconstructError> {
        self.inner.distances(query, ids)
    }

    /// Reconstructs the vectors of `ids`, each of which is found on its own, as
    /// [`distances`](Self::distances) does.
    pub(crate) fn vectors(&self, ids: &[Id], vectors: &mut [f32]) -> Result<(), ReconstructError> {
        self.inner.vectors(ids, vectors)
    }

    /// Replaces the specification of the codec by another form of it, which training will take.
    pub(crate) fn map_codec(&mut self, form: impl FnOnce(Arc<dyn CodecSpec>) -> Arc<dyn CodecSpec>) {
        self.inner.codec = form(Arc::clone(&self.inner.codec));
    }

    /// Returns the codec.
    pub(crate) fn codec(&self) -> &Arc<dyn CodecSpec> {
        &self.inner.codec
    }

    /// Returns the codes for reading at random, or `None` if the index is not trained. The codec
    /// must store each code contiguously.
    pub(crate) fn stored(&self) -> Result<Option<StoredCodes<'_>>, StoreError> {
        self.inner.trained.as_ref().map(|trained| StoredCodes::new(&trained.entries)).transpose()
    }

    /// Copies the codes into memory, unless they are there or in a map of a file.
    pub(crate) fn hold(&mut self) -> Result<(), StoreError> {
        let Some(trained) = &mut self.inner.trained else { return Ok(()) };
        let in_place = trained.entries.lists.list_range(ListNo(0), 0..1)?.segments().all(Segment::is_in_place);
        if in_place { Ok(()) } else { trained.entries.writer()?.prepare(&[ListNo(0)]) }
    }

    /// Returns the parameters of the codec for a search.
    pub(crate) fn codec_settings(&self, params: &SearchParams<'_>) -> Result<Settings, SearchError> {
        params.resolved(&self.inner.codec_params(), &self.inner.options.settings)
    }

    /// Returns `takes` with the parameters of the codec.
    pub(crate) fn with_codec_params(&self, takes: &Takes) -> Takes {
        self.inner.with_codec_params(takes)
    }

    /// Returns a copy of the index in its present state; see [`Index::clone_index`].
    pub(crate) fn snapshot(&self) -> Result<Self, StoreError> {
        Ok(Self { inner: self.inner.snapshot()?, learns: self.learns })
    }

    /// Returns a mark of the present state, to which [`undo`](Self::undo) can return.
    pub(crate) fn mark(&self) -> Result<Mark, StoreError> {
        self.inner.mark()
    }

    /// Removes the vectors added since the mark.
    pub(crate) fn undo(&mut self, mark: Mark) -> Result<(), StoreError> {
        self.inner.undo(mark)
    }

    /// Returns whether a node is of an index of this kind.
    pub(crate) fn is_node(node: &StoredNode) -> bool {
        node.tag == ROW.tag
    }

    pub(crate) fn read(node: &StoredNode, registry: &Registry) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        node.fields(&[])?;
        let inner = IvfIndex::read(node.child("inner")?, registry)?;
        let learns = inner.codec.training_points(&TrainOptions::new()) > 0;
        if !inner.is_standalone() {
            return Err(DecodeError::value(&node.tag, "it has a coarse quantizer"));
        }
        if inner.options.max_codes != 0 {
            return Err(DecodeError::value(&node.tag, "max_codes does not apply to an index of one list"));
        }
        if !learns && !inner.is_trained() {
            return Err(DecodeError::value(&node.tag, format!("untrained, but {} needs no training", inner.codec)));
        }
        Ok(Self { inner, learns })
    }
}

impl Index for CodesIndex {
    fn dim(&self) -> usize {
        self.inner.dim()
    }

    fn metric(&self) -> Metric {
        self.inner.metric()
    }

    fn len(&self) -> usize {
        self.inner.len()
    }

    fn is_trained(&self) -> bool {
        self.inner.is_trained()
    }

    fn spec_text(&self) -> SpecText {
        SpecText::base(self.inner.codec.to_string())
    }

    fn search_rows(
        &self,
        queries: AnyRows<'_>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        params.only("an index without lists", &self.takes())?;
        self.inner.search_rows(queries, k, params)
    }

    fn takes(&self) -> Takes {
        self.inner.with_codec_params(&TAKES)
    }

    fn parts(&self) -> Vec<Part> {
        let knobs = self.inner.own_knobs().into_iter().filter(|knob| KNOBS.contains(&knob.name())).collect();
        let own = Part::new("", ROW.tag).with_knobs(knobs);
        vec![own, self.inner.codec_part(), self.inner.lists_part()]
    }

    fn clone_index(&self) -> Result<Box<dyn Index>, StoreError> {
        Ok(Box::new(self.snapshot()?))
    }

    fn set_knob_at(&mut self, path: &str, name: &str, value: KnobValue) -> Result<(), KnobError> {
        match path {
            "" if KNOBS.contains(&name) => self.inner.set_knob_of("", name, &value),
            "" => Err(unknown_knob(name, &self.parts()[..1])),
            "codec" => self.inner.set_codec_param(name, &value),
            "lists" => Err(unknown_knob(name, &[])),
            _ => Err(unknown_part(path, &self.parts())),
        }
    }

    fn memory(&self) -> usize {
        self.inner.memory()
    }

    fn memory_with(&self, vectors: usize) -> usize {
        self.inner.memory_with(vectors)
    }

    fn export(&self) -> Result<Node<'_>, StoreError> {
        let mut node = Node::new(ROW.tag, 0);
        node.push_child("inner", self.inner.export()?);
        Ok(node)
    }

    fn as_train(&mut self) -> Option<&mut dyn Train> {
        if self.learns { self.inner.as_train() } else { None }
    }

    abilities! {
        own self {
            shared as_range_search: RangeSearch,
            mut as_merge: Merge,
            shared as_copy_subset: CopySubset,
            shared as_distances: Distances,
        }
        of inner {
            mut as_add: Add,
            mut as_add_with_ids: AddWithIds,
            mut as_undo: Undo,
            mut as_reset: Reset,
            mut as_remove: Remove,
            mut as_update: Update,
            mut as_upsert: Upsert,
            shared as_scan_ids: ScanIds,
            shared as_reconstruct: Reconstruct,
            shared as_standalone_codec: StandaloneCodec,
            mut as_add_codes: AddCodes,
            shared as_accelerate: Accelerate,
            mut as_accelerate_mut: Accelerate,
        }
    }
}

impl Distances for CodesIndex {
    fn distances_to(&self, query: &[f32], ids: &[Id], distances: &mut [f32]) -> Result<(), SearchError> {
        check_lengths(self.dim(), query, ids, distances)?;
        distances.copy_from_slice(&self.distances(query, ids)?);
        Ok(())
    }
}

impl RangeSearch for CodesIndex {
    fn range_takes(&self) -> Takes {
        self.inner.with_codec_params(&RANGE_TAKES)
    }

    fn range_search(
        &self,
        queries: AnyRows<'_>,
        radius: f32,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        params.only("a range search of an index without lists", &self.range_takes())?;
        self.inner.range_search(queries, radius, params)
    }
}

impl Merge for CodesIndex {
    fn merge_from(&mut self, other: &mut dyn Index, shift: i64, options: &AddOptions<'_>) -> Result<(), MergeError> {
        let other: &mut dyn Any = other;
        let other = other.downcast_mut::<CodesIndex>().ok_or(MergeError::Incompatible("kind"))?;
        self.inner.merge_ivf(&mut other.inner, shift, options)
    }
}

impl CopySubset for CodesIndex {
    fn copy_subset_to(
        &self,
        other: &mut dyn Index,
        subset: &Subset<'_>,
        options: &AddOptions<'_>,
    ) -> Result<usize, MergeError> {
        let other: &mut dyn Any = other;
        let other = other.downcast_mut::<CodesIndex>().ok_or(MergeError::Incompatible("kind"))?;
        self.inner.copy_ivf(&mut other.inner, subset, options)
    }
}
