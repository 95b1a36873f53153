//! A codec's standalone index: `Flat`, and later `PQ16`, `SQ8`, ... One list, every code of which is scanned.

use super::entries::Mark;
use super::{IvfIndex, IvfOptions};
use crate::coarse::{OneList, OneListSpec};
use ivf_core::ability::{
    Add, AddCodes, AddWithIds, CopySubset, Merge, RangeSearch, Reconstruct, Remove, Reset, StandaloneCodec, Subset,
    Train, Update, Upsert,
};
use ivf_core::error::{
    BuildError, DecodeError, EditError, KnobError, MergeError, PartsError, ReconstructError, SearchError, StoreError,
};
use ivf_core::part::{unknown_knob, unknown_part};
use ivf_core::registry::{IndexRow, Registry};
use ivf_core::{
    AddOptions, AnyRows, Codec, CodecSpec, DirectMapKind, Id, Index, InvertedLists, KnobValue, Metric, Node,
    ParallelMode, Part, Rows, SearchParam, SearchParams, SearchResult, SpecText, StoredNode, Takes, TrainOptions,
    index_as_ref,
};
use std::any::Any;
use std::sync::Arc;

/// The knobs that it shows of those of the engine.
const KNOBS: [&str; 2] = ["mode", "direct_map"];

/// The row of this index.
pub(crate) const ROW: IndexRow =
    IndexRow::without_token("codes", |node, registry| Ok(Box::new(CodesIndex::read(node, registry)?)))
        .about("a codec and one list, searched exhaustively");

/// The parameters of a search, beside those of the codec.
const TAKES: Takes =
    Takes::of(&[SearchParam::Selector, SearchParam::Mode, SearchParam::Locations, SearchParam::PerQuery]);

/// Those of a range search.
const RANGE_TAKES: Takes = TAKES.with(SearchParam::MaxResults);

/// A codec's standalone index: every code is compared with every query. With the codec `Flat` the answers are exact.
///
/// It is the IVF engine with one list. A codec that learns nothing (`Flat`) makes an index that is trained from the start. Ids
/// that count up from 0 take no memory.
#[derive(Clone, Debug)]
pub struct CodesIndex {
    inner: IvfIndex,
    /// False for a codec that learns nothing.
    learns: bool,
}

index_as_ref!(CodesIndex);

impl CodesIndex {
    /// An empty index.
    ///
    /// # Errors
    /// [`BuildError`] if the codec cannot work with the dimension or the metric.
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

    /// The index of a codec and its one list that somebody has already; see
    /// [`IvfIndex::from_parts`].
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
            return Err(PartsError::Mismatch("max_codes is for an index of many lists".to_owned()));
        }
        let mut inner = IvfIndex::unchecked(codec.dim(), codec.metric(), Arc::new(OneListSpec), codec.spec(), options);
        inner.assemble(quantizer, codec, lists)?;
        Ok(Self { inner, learns })
    }

    /// Keeps a direct map of another kind; see [`IvfIndex::set_direct_map`].
    ///
    /// # Errors
    /// As [`IvfIndex::set_direct_map`].
    pub fn set_direct_map(&mut self, kind: DirectMapKind) -> Result<(), EditError> {
        self.inner.set_direct_map(kind)
    }

    /// Which direct map it keeps.
    pub fn direct_map(&self) -> DirectMapKind {
        self.inner.direct_map()
    }

    /// How work is cut up unless a call says otherwise.
    pub fn set_parallel_mode(&mut self, mode: ParallelMode) {
        self.inner.set_parallel_mode(mode);
    }

    /// The inner distances (smaller is closer) from a query to the vectors of `ids`, the same as a search gives.
    ///
    /// # Errors
    /// [`ReconstructError`]: an id that is not there, not trained, or the lists cannot be read.
    ///
    /// # Panics
    /// If the query has another dimension.
    pub fn distances(&self, query: &[f32], ids: &[Id]) -> Result<Vec<f32>, ReconstructError> {
        self.inner.distances(query, ids)
    }

    /// The index as it is now; see [`Index::clone_index`].
    pub(crate) fn snapshot(&self) -> Result<Self, StoreError> {
        Ok(Self { inner: self.inner.snapshot()?, learns: self.learns })
    }

    /// The state that [`undo`](Self::undo) goes back to.
    pub(crate) fn mark(&self) -> Result<Mark, StoreError> {
        self.inner.mark()
    }

    /// Forgets what was added since the mark.
    pub(crate) fn undo(&mut self, mark: Mark) -> Result<(), StoreError> {
        self.inner.undo(mark)
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
            return Err(DecodeError::value(&node.tag, "max_codes is for an index of many lists"));
        }
        if !learns && !inner.is_trained() {
            return Err(DecodeError::value(&node.tag, format!("an untrained {}, which learns nothing", inner.codec)));
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

    fn as_add(&mut self) -> Option<&mut dyn Add> {
        self.inner.as_add()
    }

    fn as_add_with_ids(&mut self) -> Option<&mut dyn AddWithIds> {
        self.inner.as_add_with_ids()
    }

    fn as_reset(&mut self) -> Option<&mut dyn Reset> {
        self.inner.as_reset()
    }

    fn as_range_search(&self) -> Option<&dyn RangeSearch> {
        Some(self)
    }

    fn as_remove(&mut self) -> Option<&mut dyn Remove> {
        self.inner.as_remove()
    }

    fn as_update(&mut self) -> Option<&mut dyn Update> {
        self.inner.as_update()
    }

    fn as_upsert(&mut self) -> Option<&mut dyn Upsert> {
        self.inner.as_upsert()
    }

    fn as_reconstruct(&self) -> Option<&dyn Reconstruct> {
        self.inner.as_reconstruct()
    }

    fn as_merge(&mut self) -> Option<&mut dyn Merge> {
        Some(self)
    }

    fn as_copy_subset(&self) -> Option<&dyn CopySubset> {
        Some(self)
    }

    fn as_standalone_codec(&self) -> Option<&dyn StandaloneCodec> {
        self.inner.as_standalone_codec()
    }

    fn as_add_codes(&mut self) -> Option<&mut dyn AddCodes> {
        self.inner.as_add_codes()
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
