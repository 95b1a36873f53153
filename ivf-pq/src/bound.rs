//! Product-quantised codes around the centroids of an index.

use crate::codec::PqCodec;
use crate::inner_product::InnerProductScanner;
use crate::l2::L2Scanner;
use crate::product::CENTROIDS;
use crate::terms::Terms;
use ivf_core::{BoundCodec, Centroids, Codec, InvertedListScanner, ListNo, Metric};
use ivf_cpu::simd::{Kernel, Level, Simd};
use std::sync::Arc;

/// A block of queries has tables of so many bytes for a first pass, so that they stay in a cache. (For the inner product their whole
/// tables, four times as much, lie beside them, and are seldom looked at.)
const BLOCK_BYTES: usize = 1 << 22;

/// A query's tables for a first pass are as many bytes as this many codes of a list. Twice as many codes, and reading the tables again
/// for each list takes less time than reading the codes for each query.
const TABLE_CODES: usize = CENTROIDS;

#[derive(Debug)]
pub(crate) struct BoundPq {
    pub(crate) codec: Arc<PqCodec>,
    centroids: Arc<dyn Centroids>,
    /// For L2 the centroids of the lists with the quantizer's mean added, row after row.
    rows: Vec<f32>,
    pub(crate) terms: Option<Terms>,
    /// True where a first pass is faster than exact distances.
    looks_up: bool,
}

impl BoundPq {
    pub(crate) fn new(codec: Arc<PqCodec>, centroids: Arc<dyn Centroids>) -> Self {
        let (mut rows, mut terms, looks_up) = (Vec::new(), None, Level::get().run(HasLookup));
        if codec.metric() == Metric::L2 {
            rows.resize(centroids.nlist() * codec.dim(), 0.0);
            for (list, row) in rows.chunks_exact_mut(codec.dim()).enumerate() {
                centroids.centroid(ListNo(list as u32), row);
                if let Some(mean) = codec.quantizer().mean() {
                    row.iter_mut().zip(mean).for_each(|(c, m)| *c += m);
                }
            }
            if looks_up {
                terms = Terms::new(codec.quantizer(), &rows, Level::get());
            }
        }
        Self { codec, centroids, rows, terms, looks_up }
    }

    /// For L2 what vectors of a list are coded relative to.
    ///
    /// # Panics
    /// If there is no such list.
    pub(crate) fn row(&self, list: ListNo) -> &[f32] {
        let dim = self.codec.dim();
        &self.rows[list.index() * dim..][..dim]
    }
}

struct HasLookup;

impl Kernel for HasLookup {
    type Output = bool;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> bool {
        S::HAS_LOOKUP
    }
}

impl BoundCodec for BoundPq {
    fn codec(&self) -> &dyn Codec {
        &*self.codec
    }

    fn centroids(&self) -> &dyn Centroids {
        &*self.centroids
    }

    fn shares_lists(&self, len: usize) -> bool {
        // Elsewhere it is not memory that a scan waits for.
        self.looks_up && len >= 2 * TABLE_CODES
    }

    fn queries_at_once(&self) -> usize {
        BLOCK_BYTES / (TABLE_CODES * self.codec.quantizer().parts().len())
    }

    fn memory(&self) -> usize {
        self.codec.memory() + size_of_val(&self.rows[..]) + self.terms.as_ref().map_or(0, Terms::memory)
    }

    fn scanner(&self) -> Box<dyn InvertedListScanner + '_> {
        match self.codec.metric() {
            Metric::L2 => Box::new(L2Scanner::new(self)),
            _ => Box::new(InnerProductScanner::new(self)),
        }
    }
}
