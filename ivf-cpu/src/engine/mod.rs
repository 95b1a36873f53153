//! The IVF engine: a coarse quantizer, a codec and lists make an index. One verb a file.

mod add;
mod codes;
mod entries;
mod file;
mod filter;
mod lists;
mod merge;
mod packed;
mod preassigned;
mod reconstruct;
mod remove;
mod rounds;
mod scan;
mod search;
mod standalone;
mod train;
mod update;

pub use codes::CodesIndex;
pub(crate) use codes::ROW as CODES;
pub(crate) use file::ROW as IVF;

use crate::coarse::OneListSpec;
use entries::Entries;
use ivf_core::ability::{
    Add, AddCodes, AddWithIds, CopySubset, Merge, RangeSearch, Reconstruct, Remove, Reset, StandaloneCodec, Train,
    Update, Upsert,
};
use ivf_core::error::SearchError;
use ivf_core::error::{BuildError, EditError, KnobError, StoreError};
use ivf_core::lists::{ArrayLists, StoreSpec};
use ivf_core::part::unknown_knob;
use ivf_core::{
    AnyRows, CodecSpec, DirectMapKind, Id, Index, IndexIvf, IndexIvfMut, Knob, KnobValue, Level1Quantizer, MAX_DIM,
    Metric, Node, ParallelMode, Part, QuantizerSpec, SearchParams, SearchResult, SpecText,
};
use std::sync::Arc;

/// An inverted-file index: `IVF<n>,<codec>`. (Faiss's `IndexIVF`.)
///
/// A vector goes to the list of its nearest centroid and is kept there as a code; a search looks into the `nprobe` lists whose
/// centroids are nearest to the query.
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
/// let found = index.search(rows.slice(7..8).into(), 1, &SearchParams::new().nprobe(2))?;
/// assert_eq!(found.hits.row(0).ids[0].0, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct IvfIndex {
    dim: usize,
    metric: Metric,
    quantizer: Arc<dyn QuantizerSpec>,
    codec: Arc<dyn CodecSpec>,
    store: Arc<dyn StoreSpec>,
    map: DirectMapKind,
    nprobe: usize,
    max_codes: usize,
    mode: ParallelMode,
    trained: Option<Trained>,
}

/// What training made.
#[derive(Debug)]
struct Trained {
    quantizer: Arc<dyn Level1Quantizer>,
    entries: Entries,
}

impl IvfIndex {
    /// An untrained index with lists in memory, `nprobe` 1.
    ///
    /// # Errors
    /// [`BuildError`] if the quantizer or the codec cannot work with the dimension or the metric. [`Metric::Cosine`] is one
    /// that none can: wrap an inner product index in [`PreTransform::cosine`](crate::PreTransform::cosine).
    pub fn new(
        dim: usize,
        metric: Metric,
        quantizer: Arc<dyn QuantizerSpec>,
        codec: Arc<dyn CodecSpec>,
    ) -> Result<Self, BuildError> {
        if !(1..=MAX_DIM).contains(&dim) {
            let why = format!("it takes 1 to {MAX_DIM} dimensions");
            return Err(BuildError::Dim { kind: codec.to_string(), dim, why });
        }
        quantizer.check(dim, metric)?;
        codec.check(dim, metric)?;
        Ok(Self::unchecked(dim, metric, quantizer, codec))
    }

    /// The same for kinds that are known to take the dimension and the metric.
    fn unchecked(dim: usize, metric: Metric, quantizer: Arc<dyn QuantizerSpec>, codec: Arc<dyn CodecSpec>) -> Self {
        Self {
            dim,
            metric,
            quantizer,
            codec,
            store: Arc::new(ArrayLists::ROW),
            map: DirectMapKind::None,
            nprobe: 1,
            max_codes: 0,
            mode: ParallelMode::Auto,
            trained: None,
        }
    }

    /// The index with lists of another kind. They are made when it is trained.
    ///
    /// # Panics
    /// If the index is trained.
    #[must_use]
    pub fn with_store(self, store: Arc<dyn StoreSpec>) -> Self {
        assert!(self.trained.is_none(), "the lists of a trained index are made already");
        Self { store, ..self }
    }

    /// Keeps a direct map of another kind, from now on and over what is there.
    ///
    /// # Errors
    /// [`EditError`] if an id is not for an array, or the lists cannot be read. The map is as it was.
    pub fn set_direct_map(&mut self, kind: DirectMapKind) -> Result<(), EditError> {
        if kind == self.map {
            return Ok(());
        }
        if let Some(trained) = &mut self.trained {
            trained.entries.map = trained.entries.mapped(kind)?;
        }
        self.map = kind;
        Ok(())
    }

    /// Which direct map it keeps.
    pub fn direct_map(&self) -> DirectMapKind {
        self.map
    }

    /// How work is cut up unless a call says otherwise.
    pub fn set_parallel_mode(&mut self, mode: ParallelMode) {
        self.mode = mode;
    }

    fn is_standalone(&self) -> bool {
        self.quantizer.to_string() == OneListSpec.to_string()
    }
}

const NPROBE: (&str, &str) = ("nprobe", "a whole number of at least 1");
const MAX_CODES: (&str, &str) = ("max_codes", "a whole number, 0 for no limit");
const DIRECT_MAP: (&str, &str) = ("direct_map", "0 (none), 1 (array) or 2 (hash)");
const QUANTIZER: &str = "quantizer_";

/// The direct maps by the numbers that Faiss gives them.
const DIRECT_MAPS: [DirectMapKind; 3] = [DirectMapKind::None, DirectMapKind::Array, DirectMapKind::Hash];

impl IvfIndex {
    fn direct_map_knob(&self) -> Knob {
        let number = DIRECT_MAPS.iter().position(|kind| *kind == self.map).unwrap_or_default();
        Knob::new(DIRECT_MAP.0, KnobValue::Int(number as u64), DIRECT_MAP.1)
    }

    fn turn_direct_map(&mut self, value: KnobValue) -> Result<(), KnobError> {
        let fault = |found: String| KnobError::Value { name: DIRECT_MAP.0.to_owned(), must: DIRECT_MAP.1, found };
        let number = value.whole(DIRECT_MAP.0, 0, DIRECT_MAP.1)?;
        let kind = *DIRECT_MAPS.get(number).ok_or_else(|| fault(value.to_string()))?;
        self.set_direct_map(kind).map_err(|error| fault(format!("{value}: {error}")))
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

    fn search(&self, queries: AnyRows<'_>, k: usize, params: &SearchParams<'_>) -> Result<SearchResult, SearchError> {
        self.search_nearest(queries, k, params)
    }

    fn parts(&self) -> Vec<Part> {
        let knobs = vec![
            Knob::new(NPROBE.0, KnobValue::Int(self.nprobe as u64), NPROBE.1),
            Knob::new(MAX_CODES.0, KnobValue::Int(self.max_codes as u64), MAX_CODES.1),
            self.direct_map_knob(),
        ];
        let mut parts = vec![Part { path: String::new(), kind: file::ROW.tag.to_owned(), knobs }];
        if let Some(trained) = &self.trained {
            let mut knobs = trained.quantizer.knobs();
            knobs.iter_mut().for_each(|knob| knob.name.insert_str(0, QUANTIZER));
            let kind = trained.quantizer.export().tag;
            parts.push(Part { path: "quantizer".to_owned(), kind, knobs });
        }
        parts
    }

    fn set_knob(&mut self, name: &str, value: KnobValue) -> Result<(), KnobError> {
        if name == NPROBE.0 {
            self.nprobe = value.whole(name, 1, NPROBE.1)?;
        } else if name == MAX_CODES.0 {
            self.max_codes = value.whole(name, 0, MAX_CODES.1)?;
        } else if name == DIRECT_MAP.0 {
            self.turn_direct_map(value)?;
        } else if let (Some(inner), Some(trained)) = (name.strip_prefix(QUANTIZER), &mut self.trained) {
            trained.quantizer = trained.quantizer.with_knob(inner, value)?;
        } else {
            return Err(unknown_knob(name, &self.parts()));
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        self.trained.as_ref().map_or(0, |Trained { quantizer, entries }| {
            quantizer.memory() + entries.bound.memory() + entries.lists.memory() + entries.map.memory()
        })
    }

    fn memory_with(&self, vectors: usize) -> usize {
        // The ids of one list for everything count up, and are not stored.
        let id = if self.is_standalone() { 0 } else { size_of::<Id>() };
        let more = vectors.saturating_sub(self.len());
        let codes = more.saturating_mul(self.codec.code_size(self.dim) + id);
        // The last block of a list is half full on average.
        let blocks = self.trained.as_ref().filter(|_| more > 0).map_or(0, |Trained { entries, .. }| {
            let layout = entries.layout();
            entries.lists.nlist().saturating_mul(layout.block_len() / 2 * layout.code_size())
        });
        self.memory().saturating_add(codes).saturating_add(blocks)
    }

    fn export(&self) -> Result<Node<'_>, StoreError> {
        self.export_node()
    }

    fn as_train(&mut self) -> Option<&mut dyn Train> {
        Some(self)
    }

    fn as_add(&mut self) -> Option<&mut dyn Add> {
        Some(self)
    }

    fn as_add_with_ids(&mut self) -> Option<&mut dyn AddWithIds> {
        Some(self)
    }

    fn as_reset(&mut self) -> Option<&mut dyn Reset> {
        Some(self)
    }

    fn as_range_search(&self) -> Option<&dyn RangeSearch> {
        Some(self)
    }

    fn as_remove(&mut self) -> Option<&mut dyn Remove> {
        Some(self)
    }

    fn as_update(&mut self) -> Option<&mut dyn Update> {
        Some(self)
    }

    fn as_upsert(&mut self) -> Option<&mut dyn Upsert> {
        Some(self)
    }

    fn as_reconstruct(&self) -> Option<&dyn Reconstruct> {
        Some(self)
    }

    fn as_merge(&mut self) -> Option<&mut dyn Merge> {
        Some(self)
    }

    fn as_copy_subset(&self) -> Option<&dyn CopySubset> {
        Some(self)
    }

    fn as_standalone_codec(&self) -> Option<&dyn StandaloneCodec> {
        Some(self)
    }

    fn as_add_codes(&mut self) -> Option<&mut dyn AddCodes> {
        Some(self)
    }

    fn as_ivf(&self) -> Option<&dyn IndexIvf> {
        Some(self)
    }

    fn as_ivf_mut(&mut self) -> Option<&mut dyn IndexIvfMut> {
        Some(self)
    }
}

impl Reset for IvfIndex {
    fn reset(&mut self) -> Result<(), StoreError> {
        if let Some(Trained { entries, .. }) = &mut self.trained {
            entries.writer()?.clear()?;
            entries.map = ivf_core::DirectMap::new(self.map);
            entries.next_id = 0;
            entries.len = 0;
        }
        Ok(())
    }
}
