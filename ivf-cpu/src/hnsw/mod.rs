//! `HNSW<M>`: a hierarchical graph of the vectors, whose links a search follows to the nearest.
//!
//! | file | what |
//! |---|---|
//! | `graph.rs` | the links of each node on each level |
//! | `beam.rs` | the search of one level |
//! | `select.rs` | the choice of links |
//! | `link.rs` | linking of new nodes, batch by batch |
//! | `search.rs`, `filter.rs` | searches of all kinds |
//! | `vectors.rs`, `scorer.rs` | codes, and distances to them |
//! | `edit.rs`, `file.rs`, `knobs.rs` | adding and training, files, knobs |

mod beam;
mod edit;
mod file;
mod filter;
mod graph;
mod knobs;
mod link;
mod marks;
mod pool;
mod scorer;
mod search;
mod select;
mod spec;
#[cfg(test)]
mod tests;
mod vectors;

pub(crate) use file::ROW;
pub use spec::HnswSpec;
pub(crate) use spec::NAME;

use crate::abilities::abilities;
use crate::codec::as_rows;
use crate::engine::CodesIndex;
use graph::Graph;
use ivf_core::ability::{Reconstruct, Train};
use ivf_core::error::{BuildError, KnobError, ReconstructError, SearchError, StoreError};
use ivf_core::{
    AnyRows, CodecSpec, Id, Index, KnobValue, Metric, Node, Part, SearchParams, SearchResult, SpecText, Takes,
    index_as_ref,
};
use knobs::{EF_CONSTRUCTION_DEFAULT, EF_SEARCH, EF_SEARCH_DEFAULT, TAKES};
use pool::Pool;
use std::sync::Arc;

/// A graph of vectors, or of the codes of a codec: `HNSW<M>[,<codec>]`. (Malkov and Yashunin, arXiv
/// 1603.09320; Faiss's `IndexHNSW`.)
///
/// Each vector has up to 2 M links to near ones, and one vector of M is also on a higher level,
/// with M links there. A search walks from the top down to a near vector, and then follows the
/// links of the nearest vectors that it knows until the links of the `efSearch` nearest have been
/// followed. A larger `efSearch` finds more of the true neighbours and takes longer. For `k` above
/// `efSearch`, `k` takes its place.
///
/// * Results are approximate, but their number is not: a search returns `k` vectors if so many are
///   there and selected, because it compares all of them where the graph leads to too few. It also
///   does so where that costs less (few vectors, or few selected ones).
/// * Distances are exact for the stored codes.
/// * The graph does not depend on the number of threads. It depends little on how vectors are
///   divided among calls of `add`: vectors are linked in batches, of at most 2 % of the graph. The
///   bounds of the batches are fixed numbers of vectors, and a call that ends between two of them
///   cuts a batch in two.
/// * Vectors with equal codes are linked once, so that copies do not fill the links of each other.
/// * Ids are consecutive. [`IdMap`](crate::IdMap) gives other ones. Vectors cannot be removed.
/// * A search of `n` vectors uses a byte for each of them, which it keeps for later searches.
///
/// ```
/// use ivf_core::{Id, Index, Metric, Rows, SearchParams};
/// use ivf_cpu::HnswIndex;
/// use ivf_cpu::codec::FlatSpec;
/// use std::sync::Arc;
///
/// let mut index = HnswIndex::new(1, Metric::L2, 16, Arc::new(FlatSpec))?;
/// let index: &mut dyn Index = &mut index;
/// let vectors: Vec<f32> = (0..2000).map(|i| i as f32).collect();
/// index.add(Rows::new(&vectors, 1)?)?;
/// let query = Rows::new(&[1234.4_f32], 1)?;
/// let found = index.search(query, 3, &SearchParams::new().set("efSearch", 32))?;
/// assert_eq!(found.hits.row(0).ids, [Id(1234), Id(1235), Id(1233)]);
/// assert!(found.stats.codes < 1000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct HnswIndex {
    /// The codes, in rows: vector `i` is node `i` of the graph.
    storage: CodesIndex,
    /// Shared between clones until one of them writes.
    graph: Arc<Graph>,
    ef_construction: usize,
    ef_search: usize,
    pool: Pool,
}

index_as_ref!(HnswIndex);

impl HnswIndex {
    /// Creates an empty index with `m` links for each vector and level, twice as many on level 0.
    ///
    /// # Errors
    /// [`BuildError`] if the codec does not support the dimension or the metric, or if `m` is not
    /// within 2 to 1024.
    pub fn new(dim: usize, metric: Metric, m: usize, codec: Arc<dyn CodecSpec>) -> Result<Self, BuildError> {
        let spec = HnswSpec::new(m, codec.clone())?;
        let storage = CodesIndex::new(dim, metric, as_rows(codec))?;
        Ok(Self {
            storage,
            graph: Arc::new(Graph::new(spec.m())),
            ef_construction: EF_CONSTRUCTION_DEFAULT,
            ef_search: EF_SEARCH_DEFAULT,
            pool: Pool::default(),
        })
    }

    fn spec_of(&self) -> HnswSpec {
        HnswSpec::of(self.graph.upper.width, self.storage.codec().clone())
    }
}

impl Index for HnswIndex {
    fn dim(&self) -> usize {
        self.storage.dim()
    }

    fn metric(&self) -> Metric {
        self.storage.metric()
    }

    fn len(&self) -> usize {
        self.graph.len()
    }

    fn is_trained(&self) -> bool {
        self.storage.is_trained()
    }

    fn spec_text(&self) -> SpecText {
        SpecText::base(self.spec_of().to_string())
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
        self.with_own(&TAKES)
    }

    fn parts(&self) -> Vec<Part> {
        self.all_parts()
    }

    fn set_knob_at(&mut self, path: &str, name: &str, value: KnobValue) -> Result<(), KnobError> {
        self.set_knob_of(path, name, value)
    }

    fn memory(&self) -> usize {
        self.storage.memory() + self.graph.memory()
    }

    fn memory_with(&self, vectors: usize) -> usize {
        let more = self.graph.memory_of(vectors.saturating_sub(self.len()));
        self.storage.memory_with(vectors).saturating_add(self.graph.memory()).saturating_add(more)
    }

    fn export(&self) -> Result<Node<'_>, StoreError> {
        self.export_node()
    }

    fn clone_index(&self) -> Result<Box<dyn Index>, StoreError> {
        Ok(Box::new(Self { storage: self.storage.snapshot()?, ..self.clone() }))
    }

    fn as_train(&mut self) -> Option<&mut dyn Train> {
        self.storage.as_train()?;
        Some(self)
    }

    abilities! {
        own self {
            mut as_add: Add,
            mut as_reset: Reset,
            shared as_range_search: RangeSearch,
            shared as_reconstruct: Reconstruct,
        }
        of storage {
            shared as_scan_ids: ScanIds,
            shared as_standalone_codec: StandaloneCodec,
        }
    }
}

impl Reconstruct for HnswIndex {
    fn reconstruct(&self, id: Id, vector: &mut [f32]) -> Result<(), ReconstructError> {
        self.reconstruct_many(&[id], vector)
    }

    fn reconstruct_many(&self, ids: &[Id], vectors: &mut [f32]) -> Result<(), ReconstructError> {
        self.storage.vectors(ids, vectors)
    }

    fn search_and_reconstruct(
        &self,
        queries: AnyRows<'_>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<(SearchResult, Vec<f32>), SearchError> {
        let found = self.search_nearest(queries, k, params)?;
        let mut vectors = vec![0.0; found.hits.total() * self.dim()];
        self.storage.vectors(found.hits.ids(), &mut vectors)?;
        Ok((found, vectors))
    }
}
