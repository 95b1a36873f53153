//! The IVF engine: an index made of a coarse quantizer, a codec and lists. Each operation has its
//! own file.

mod accelerate;
mod add;
mod codes;
mod dedup;
mod entries;
mod file;
mod filter;
mod gathered;
mod ids;
mod knobs;
mod lists;
mod merge;
mod options;
mod pieces;
mod preassigned;
mod reconstruct;
mod remove;
mod rounds;
mod scan;
mod search;
mod standalone;
mod stored;
mod subset;
mod train;
mod update;

pub use codes::CodesIndex;
pub(crate) use codes::ROW as CODES;
pub use dedup::DedupIndex;
pub(crate) use dedup::ROW as DEDUP;
pub(crate) use entries::Mark;
pub(crate) use file::ROW as IVF;
pub use options::IvfOptions;
pub(crate) use search::Queries;
pub(crate) use stored::StoredCodes;

use crate::abilities::abilities;
use crate::coarse::OneListSpec;
use crate::simd;
use entries::Entries;
use ivf_core::ability::Reset;
use ivf_core::error::{BuildError, EditError, KnobError, PartsError, SearchError, StoreError};
use ivf_core::lists::{ArrayLists, StoreSpec};
use ivf_core::{
    AnyRows, Codec, CodecContext, CodecSpec, DirectMapKind, Id, Index, InvertedLists, KnobValue, Level1Quantizer,
    MAX_DIM, Metric, Node, ParallelMode, Part, QuantizerSpec, SearchParams, SearchResult, SpecText, Takes,
    index_as_ref,
};
use std::sync::Arc;

/// An inverted-file index: `IVF<n>,<codec>`. (Faiss's `IndexIVF`.)
///
/// Each vector is stored as a code in the list of its nearest centroid. A search scans the `nprobe`
/// lists whose centroids are nearest to the query.
///
/// ```
/// use ivf_core::{Index, Metric, Rows, SearchParams};
/// use ivf_cpu::IvfIndex;
/// use ivf_cpu::coarse::FlatQuantizerSpec;
/// use ivf_cpu::codec::FlatSpec;
/// use std::sync::Arc;
/// let mut index = IvfIndex::new(2, Metric::L2, Arc::new(FlatQuantizerSpec { nlist: 4 }), Arc::new(FlatSpec))?;
/// let vectors: Vec<f32> = (0..200).map(|i| (i / 2) as f32).collect();
/// let rows = Rows::new(&vectors, 2)?;
/// let index: &mut dyn Index = &mut index;
/// index.train(rows)?;
/// index.add(rows)?;
/// let found = index.search(rows.slice(7..8), 1, &SearchParams::new().nprobe(2))?;
/// assert_eq!(found.hits.row(0).ids[0].0, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct IvfIndex {
    dim: usize,
    metric: Metric,
    quantizer: Arc<dyn QuantizerSpec>,
    codec: Arc<dyn CodecSpec>,
    store: Arc<dyn StoreSpec>,
    by_residual: bool,
    options: IvfOptions,
    trained: Option<Trained>,
}

/// The result of training.
#[derive(Clone, Debug)]
struct Trained {
    quantizer: Arc<dyn Level1Quantizer>,
    entries: Entries,
}

index_as_ref!(IvfIndex);

impl IvfIndex {
    /// Creates an untrained index with lists in memory and the default [`IvfOptions`]: `nprobe` is
    /// 1.
    ///
    /// # Errors
    /// [`BuildError`] if the quantizer or the codec does not support the dimension or the metric.
    /// None supports [`Metric::Cosine`]: wrap an inner-product index in
    /// [`PreTransform::cosine`](crate::PreTransform::cosine).
    pub fn new(
        dim: usize,
        metric: Metric,
        quantizer: Arc<dyn QuantizerSpec>,
        codec: Arc<dyn CodecSpec>,
    ) -> Result<Self, BuildError> {
        simd::check()?;
        if !(1..=MAX_DIM).contains(&dim) {
            let why = format!("it takes 1 to {MAX_DIM} dimensions");
            return Err(BuildError::Dim { kind: codec.to_string(), dim, why });
        }
        quantizer.check(dim, metric)?;
        let index = Self::unchecked(dim, metric, quantizer, codec, IvfOptions::default());
        index.codec.check(&index.context())?;
        Ok(index)
    }

    /// Assembles an index from existing parts, such as parts decoded from a foreign file or trained
    /// elsewhere. They pass the same checks as the parts in an index file. A direct map is built
    /// from the ids in the lists.
    ///
    /// ```
    /// use ivf_core::lists::ArrayLists;
    /// use ivf_core::{Codec, Id, Index, InvertedLists, ListNo, Metric, Rows, SearchParams};
    /// use ivf_cpu::coarse::FlatQuantizer;
    /// use ivf_cpu::codec::FlatCodec;
    /// use ivf_cpu::{IvfIndex, IvfOptions};
    /// use std::sync::Arc;
    /// let centroids = [0.0_f32, 10.0];
    /// let quantizer = FlatQuantizer::from_centroids(Rows::new(&centroids, 1)?, Metric::L2)?;
    /// let codec = FlatCodec::new(1, Metric::L2);
    /// let mut lists: Box<dyn InvertedLists> = Box::new(ArrayLists::new(2, codec.layout().clone()));
    /// let mut code = vec![0; codec.layout().code_size()];
    /// codec.encode(Rows::new(&[9.5], 1)?, &mut code);
    /// lists.writer().expect("lists in memory").replace(ListNo(1), &[Id(7)], &code)?;
    /// let mut options = IvfOptions::default();
    /// options.nprobe = 2;
    /// let index = IvfIndex::from_parts(Arc::new(quantizer), Arc::new(codec), lists, options)?;
    /// let index: &dyn Index = &index;
    /// assert_eq!(index.search(Rows::new(&[8.0], 1)?, 1, &SearchParams::new())?.hits.row(0).ids, &[Id(7)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`PartsError`] if the parts differ in dimension, metric, number of lists or layout, a
    /// centroid is not finite, an option is out of range, or the lists cannot be read.
    pub fn from_parts(
        quantizer: Arc<dyn Level1Quantizer>,
        codec: Arc<dyn Codec>,
        lists: Box<dyn InvertedLists>,
        options: IvfOptions,
    ) -> Result<Self, PartsError> {
        if let Some(list) = lists::not_finite(&*quantizer) {
            return Err(PartsError::Mismatch(format!("the centroid of list {list} holds a NaN or an infinity")));
        }
        let mut index = Self::unchecked(codec.dim(), codec.metric(), quantizer.spec(), codec.spec(), options);
        if index.is_standalone() {
            return Err(PartsError::Mismatch("a quantizer without a factory token".to_owned()));
        }
        index.assemble_checked(quantizer, codec, lists)?;
        Ok(index)
    }

    /// Creates an untrained index without checking the dimension and the metric.
    fn unchecked(
        dim: usize,
        metric: Metric,
        quantizer: Arc<dyn QuantizerSpec>,
        codec: Arc<dyn CodecSpec>,
        options: IvfOptions,
    ) -> Self {
        let store = options.store.clone().unwrap_or_else(|| Arc::new(ArrayLists::ROW));
        let by_residual = options.by_residual.unwrap_or_else(|| codec.residuals().default_choice());
        let mut index = Self { dim, metric, quantizer, codec, store, by_residual, options, trained: None };
        // In a standalone index the centroid is the origin, so a vector equals its residual.
        index.by_residual &= !index.is_standalone();
        index
    }

    /// Selects another kind of lists. Training creates them.
    ///
    /// ```
    /// use ivf_core::registry::StoreRow;
    /// use ivf_core::{ArrayLists, Index, Metric};
    /// use ivf_cpu::IvfIndex;
    /// use ivf_cpu::codec::FlatSpec;
    /// use ivf_cpu::coarse::FlatQuantizerSpec;
    /// use std::sync::Arc;
    ///
    /// // A store of one's own. (This one is the default store with another tag.)
    /// const STORE: StoreRow = StoreRow::new(
    ///     "mine",
    ///     |nlist, layout| Ok(Box::new(ArrayLists::new(nlist, layout.clone()))),
    ///     |node, layout| Ok(Box::new(ArrayLists::read(node, layout)?)),
    /// );
    /// let index = IvfIndex::new(2, Metric::L2, Arc::new(FlatQuantizerSpec { nlist: 4 }), Arc::new(FlatSpec))?;
    /// let index = index.with_store(Arc::new(STORE));
    /// assert!(index.parts().iter().any(|part| part.path == "lists" && part.kind == "mine"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    /// If the index is trained.
    #[must_use]
    pub fn with_store(self, store: Arc<dyn StoreSpec>) -> Self {
        assert!(self.trained.is_none(), "a trained index already has its lists");
        Self { store, ..self }
    }

    /// Switches to another kind of direct map, and builds it over the present entries.
    ///
    /// ```
    /// use ivf_core::{DirectMapKind, Id, Index, Metric, Rows};
    /// use ivf_cpu::IvfIndex;
    /// use ivf_cpu::codec::FlatSpec;
    /// use ivf_cpu::coarse::FlatQuantizerSpec;
    /// use std::sync::Arc;
    ///
    /// let mut index = IvfIndex::new(1, Metric::L2, Arc::new(FlatQuantizerSpec { nlist: 1 }), Arc::new(FlatSpec))?;
    /// let dynamic: &mut dyn Index = &mut index;
    /// dynamic.train(Rows::new(&[1.0_f32], 1)?)?;
    /// dynamic.add_with_ids(Rows::new(&[1.0_f32], 1)?, &[Id(-7)])?;
    ///
    /// // An array has no place for a negative id.
    /// assert!(index.set_direct_map(DirectMapKind::Array).is_err());
    /// assert_eq!(index.direct_map(), DirectMapKind::None);
    /// index.set_direct_map(DirectMapKind::Hash)?;
    /// // From now on, no call scans the lists for an id.
    /// assert_eq!(index.direct_map(), DirectMapKind::Hash);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`EditError`] if an array cannot hold the ids, or the lists cannot be read. The map is then
    /// unchanged.
    pub fn set_direct_map(&mut self, kind: DirectMapKind) -> Result<(), EditError> {
        if kind == self.options.direct_map {
            return Ok(());
        }
        if let Some(trained) = &mut self.trained {
            trained.entries.map = trained.entries.mapped(kind)?.into();
        }
        self.options.direct_map = kind;
        Ok(())
    }

    /// Returns the kind of direct map.
    pub fn direct_map(&self) -> DirectMapKind {
        self.options.direct_map
    }

    /// Sets the default parallel mode, which the parameters of a search can override.
    ///
    /// ```
    /// use ivf_core::{Index, KnobValue, Metric, ParallelMode};
    /// # use ivf_cpu::{IvfIndex, codec::FlatSpec, coarse::FlatQuantizerSpec};
    /// # use std::sync::Arc;
    /// # let mut index = IvfIndex::new(2, Metric::L2, Arc::new(FlatQuantizerSpec { nlist: 4 }), Arc::new(FlatSpec))?;
    /// index.set_parallel_mode(ParallelMode::ListMajor);
    /// let index: &dyn Index = &index;
    /// assert_eq!(index.knob("mode"), Some(KnobValue::from("list_major")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_parallel_mode(&mut self, mode: ParallelMode) {
        self.options.mode = mode;
    }

    /// Returns the context in which the codec is used.
    fn context(&self) -> CodecContext {
        CodecContext::new(self.dim, self.metric).by_residual(self.by_residual)
    }

    fn is_standalone(&self) -> bool {
        self.quantizer.to_string() == OneListSpec.to_string()
    }
}

impl Index for IvfIndex {
    fn dim(&self) -> usize {
        self.dim
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn len(&self) -> usize {
        self.trained.as_ref().map_or(0, |trained| trained.entries.len)
    }

    fn is_trained(&self) -> bool {
        self.trained.is_some()
    }

    fn spec_text(&self) -> SpecText {
        SpecText::base(format!("{},{}", self.quantizer, self.codec))
    }

    fn search_rows(
        &self,
        queries: AnyRows<'_>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        self.search_nearest(queries, k, params)
    }

    fn takes(&self) -> Takes {
        self.with_own(&search::TAKES)
    }

    fn parts(&self) -> Vec<Part> {
        self.all_parts()
    }

    fn set_knob_at(&mut self, path: &str, name: &str, value: KnobValue) -> Result<(), KnobError> {
        self.set_knob_of(path, name, &value)
    }

    fn memory(&self) -> usize {
        self.trained.as_ref().map_or(0, |Trained { quantizer, entries }| {
            quantizer.memory() + entries.bound.memory() + entries.lists.memory() + entries.map.memory()
        })
    }

    fn memory_with(&self, vectors: usize) -> usize {
        // A standalone index has consecutive ids, which are not stored.
        let id = if self.is_standalone() { 0 } else { size_of::<Id>() };
        let more = vectors.saturating_sub(self.len());
        let codes = more.saturating_mul(self.codec.code_size(&self.context()) + id);
        let lists = self.trained.as_ref().filter(|_| more > 0);
        let overhead = lists.map_or(0, |trained| trained.entries.lists.overhead(vectors));
        self.memory().saturating_add(codes).saturating_add(overhead)
    }

    fn export(&self) -> Result<Node<'_>, StoreError> {
        self.export_node()
    }

    fn clone_index(&self) -> Result<Box<dyn Index>, StoreError> {
        Ok(Box::new(self.snapshot()?))
    }

    abilities! {
        own self {
            mut as_train: Train,
            mut as_add: Add,
            mut as_add_with_ids: AddWithIds,
            mut as_undo: Undo,
            mut as_reset: Reset,
            shared as_range_search: RangeSearch,
            mut as_remove: Remove,
            mut as_update: Update,
            mut as_upsert: Upsert,
            shared as_scan_ids: ScanIds,
            shared as_distances: Distances,
            shared as_reconstruct: Reconstruct,
            mut as_merge: Merge,
            shared as_copy_subset: CopySubset,
            shared as_standalone_codec: StandaloneCodec,
            mut as_add_codes: AddCodes,
            shared as_ivf: IndexIvf,
            mut as_ivf_mut: IndexIvfMut,
            shared as_accelerate: Accelerate,
            mut as_accelerate_mut: Accelerate,
        }
    }
}

impl IvfIndex {
    /// Returns a copy of the index in its present state. Lists in memory are shared.
    fn snapshot(&self) -> Result<Self, StoreError> {
        let mut copy = self.clone();
        if let Some(Trained { entries, .. }) = &mut copy.trained {
            // If the store cannot make snapshots, the error appears here and not at the first
            // write. The accelerator has the same entries.
            entries.lists = entries.lists.snapshot()?.into();
        }
        Ok(copy)
    }
}

impl Reset for IvfIndex {
    fn reset(&mut self) -> Result<(), StoreError> {
        if let Some(Trained { entries, .. }) = &mut self.trained {
            entries.writer()?.clear()?;
            entries.map = Arc::new(ivf_core::DirectMap::new(self.options.direct_map));
            entries.next_id = 0;
            entries.len = 0;
        }
        Ok(())
    }
}
