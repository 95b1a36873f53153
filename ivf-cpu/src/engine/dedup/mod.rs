//! `IVF<n>,FlatDedup`: an inverted file that stores equal vectors once.

mod edit;
mod file;
mod groups;
mod known;
mod place;
mod search;

use super::IvfIndex;
use crate::abilities::abilities;
use crate::codec::FlatSpec;
use crate::wrap::{parts_around, set_inner_knob};
use groups::Groups;
use ivf_core::error::{BuildError, KnobError, SearchError, StoreError};
use ivf_core::lists::StoreSpec;
use ivf_core::part::{below, unknown_knob};
use ivf_core::registry::{IndexRow, IndexSpec, Parsed, Registry, Token, TokenError};
use ivf_core::{
    AnyRows, DirectMapKind, Index, KnobValue, Metric, Node, Part, QuantizerSpec, SearchParams, SearchResult, SpecText,
    Takes, index_as_ref,
};
use known::{Known, table_memory};
use std::fmt;
use std::sync::Arc;

/// The registry row of this index.
pub(crate) const ROW: IndexRow =
    IndexRow::new("flat-dedup", "FlatDedup", parse, |node, registry| Ok(Box::new(DedupIndex::read(node, registry)?)))
        .about("full vectors in the lists of the coarse quantizer before it; equal vectors are stored once")
        .samples(&["FlatDedup"])
        .takes_quantizer(true);

fn parse(token: &Token<'_>, _: &Registry) -> Parsed<dyn IndexSpec> {
    (token.plain()? == ROW.grammar).then(|| match token.quantizer() {
        Some(quantizer) => Ok(Arc::new(FlatDedup { quantizer: quantizer.clone() }) as _),
        None => Err(TokenError::new(0..token.text().len(), "a coarse quantizer must stand before it: IVF64,FlatDedup")),
    })
}

/// The specification of the index, with its coarse quantizer.
#[derive(Debug)]
struct FlatDedup {
    quantizer: Arc<dyn QuantizerSpec>,
}

impl fmt::Display for FlatDedup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.quantizer, ROW.grammar)
    }
}

impl IndexSpec for FlatDedup {
    fn build(&self, dim: usize, metric: Metric) -> Result<Box<dyn Index>, BuildError> {
        Ok(Box::new(DedupIndex::new(dim, metric, self.quantizer.clone())?))
    }
}

/// Name of the inverted file among the parts.
const INNER: &str = "index";

/// The knob of the inverted file that is hidden: this index finds its copies with a hash map.
const HIDDEN: &str = "direct_map";

/// An inverted file of full vectors that stores equal vectors once: `IVF<n>,FlatDedup`. (Faiss's
/// `IndexIVFFlatDedup`, which can neither search within a radius nor update vectors.)
///
/// Its results are those of `IVF<n>,Flat`. Vectors are equal if all of their coordinates have the
/// same bits as `f32`. So 0 and -0 differ. A search compares a query once with each stored copy,
/// and returns each vector that shares it under its own id. The parameter `max_codes` and the
/// statistics count copies.
///
/// The memory of a copy is that of a vector and about 60 bytes. Every further vector that shares it
/// takes about 80 bytes. The first add to an index from a file reads all copies.
///
/// ```
/// use ivf_core::{Id, IdSelector, Index, Metric, Rows, SearchParams};
/// use ivf_cpu::DedupIndex;
/// use ivf_cpu::coarse::FlatQuantizerSpec;
/// use std::sync::Arc;
///
/// let mut dedup = DedupIndex::new(1, Metric::L2, Arc::new(FlatQuantizerSpec { nlist: 2 }))?;
/// let index: &mut dyn Index = &mut dedup;
/// index.train(Rows::new(&[0.0_f32, 1.0, 8.0, 9.0], 1)?)?;
/// index.add(Rows::new(&[5.0_f32, 5.0, 7.0, 5.0], 1)?)?;
/// let query = Rows::new(&[5.0_f32], 1)?;
/// assert_eq!(index.search(query, 4, &SearchParams::new())?.hits.row(0).ids, [0, 1, 3, 2].map(Id));
/// // The others stay when the vector is removed with which the copy came.
/// index.remove(&IdSelector::range(0..1))?;
/// assert_eq!(index.reconstruct(Id(3))?, [5.0]);
/// assert_eq!((dedup.len(), dedup.copies()), (3, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DedupIndex {
    /// The copies, under their names. It has a hash map from names to locations.
    inner: IvfIndex,
    groups: Arc<Groups>,
    /// Built by the first add.
    known: Option<Arc<Known>>,
    /// One more than the largest id ever added; the first id that `add` assigns.
    next_id: u64,
    /// The least name that may be free for a copy whose id is the name of another one.
    next_name: i64,
}

index_as_ref!(DedupIndex);

impl DedupIndex {
    /// Creates an untrained index.
    ///
    /// # Errors
    /// As [`IvfIndex::new`].
    pub fn new(dim: usize, metric: Metric, quantizer: Arc<dyn QuantizerSpec>) -> Result<Self, BuildError> {
        let mut inner = IvfIndex::new(dim, metric, quantizer, Arc::new(FlatSpec))?;
        inner.options.direct_map = DirectMapKind::Hash;
        Ok(Self { inner, groups: Arc::default(), known: None, next_id: 0, next_name: i64::MIN })
    }

    /// Selects another kind of lists; see [`IvfIndex::with_store`].
    ///
    /// ```
    /// use ivf_core::{ArrayLists, Index, Metric};
    /// use ivf_cpu::DedupIndex;
    /// use ivf_cpu::coarse::FlatQuantizerSpec;
    /// use std::sync::Arc;
    ///
    /// let index = DedupIndex::new(2, Metric::L2, Arc::new(FlatQuantizerSpec { nlist: 4 }))?;
    /// let index = index.with_store(Arc::new(ArrayLists::ROW)); // the default
    /// assert!(index.parts().iter().any(|part| (&*part.path, &*part.kind) == ("index/lists", "array")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    /// If the index is trained.
    #[must_use]
    pub fn with_store(self, store: Arc<dyn StoreSpec>) -> Self {
        Self { inner: self.inner.with_store(store), ..self }
    }

    /// Returns the number of stored copies: the number of different vectors.
    pub fn copies(&self) -> usize {
        self.inner.len()
    }
}

impl Index for DedupIndex {
    fn dim(&self) -> usize {
        self.inner.dim()
    }

    fn metric(&self) -> Metric {
        self.inner.metric()
    }

    fn len(&self) -> usize {
        self.inner.len() + self.groups.surplus()
    }

    fn is_trained(&self) -> bool {
        self.inner.is_trained()
    }

    fn spec_text(&self) -> SpecText {
        SpecText::base(FlatDedup { quantizer: self.inner.quantizer.clone() }.to_string())
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
        self.inner.takes()
    }

    fn parts(&self) -> Vec<Part> {
        let mut parts = parts_around(vec![Part::new("", ROW.tag)], INNER, &self.inner);
        parts.iter_mut().for_each(|part| part.knobs.retain(|knob| knob.name() != HIDDEN));
        parts
    }

    fn set_knob_at(&mut self, path: &str, name: &str, value: KnobValue) -> Result<(), KnobError> {
        if below(path, INNER) == Some("") && name == HIDDEN {
            let parts = self.parts();
            return Err(unknown_knob(name, &parts[1..2]));
        }
        set_inner_knob(self, INNER, path, name, value)
    }

    fn memory(&self) -> usize {
        let known = self.known.as_ref().map_or(0, |known| table_memory(known.capacity()));
        self.inner.memory().saturating_add(known).saturating_add(self.groups.memory())
    }

    /// Assumes that all further vectors are different ones.
    fn memory_with(&self, vectors: usize) -> usize {
        let more = vectors.saturating_sub(self.len());
        if more == 0 {
            return self.memory();
        }
        let copies = self.inner.len();
        // The direct map of the inverted file is a hash table too, with entries of the same size.
        let map = table_memory(copies.saturating_add(more)).saturating_sub(table_memory(copies));
        let known = self.known.as_ref().map_or((0, copies), |known| (known.capacity(), known.len()));
        let known = table_memory(known.0.max(known.1.saturating_add(more)));
        let inner = self.inner.memory_with(copies.saturating_add(more));
        [map, known, self.groups.memory()].into_iter().fold(inner, usize::saturating_add)
    }

    fn wrapped(&self) -> Option<&dyn Index> {
        Some(&self.inner)
    }

    fn wrapped_mut(&mut self) -> Option<&mut dyn Index> {
        Some(&mut self.inner)
    }

    fn clone_index(&self) -> Result<Box<dyn Index>, StoreError> {
        Ok(Box::new(Self {
            inner: self.inner.snapshot()?,
            groups: Arc::clone(&self.groups),
            known: self.known.clone(),
            next_id: self.next_id,
            next_name: self.next_name,
        }))
    }

    fn export(&self) -> Result<Node<'_>, StoreError> {
        self.export_node()
    }

    abilities! {
        own self {
            mut as_train: Train,
            mut as_add: Add,
            mut as_add_with_ids: AddWithIds,
            mut as_reset: Reset,
            shared as_range_search: RangeSearch,
            mut as_remove: Remove,
            mut as_update: Update,
            mut as_upsert: Upsert,
            shared as_scan_ids: ScanIds,
            shared as_reconstruct: Reconstruct,
            mut as_merge: Merge,
        }
        of inner {
            shared as_standalone_codec: StandaloneCodec,
            shared as_accelerate: Accelerate,
            mut as_accelerate_mut: Accelerate,
        }
    }
}
