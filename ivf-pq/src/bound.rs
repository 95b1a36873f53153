//! Product-quantised codes of the lists of an index.

use crate::codec::PqCodec;
use crate::l2::L2Scanner;
use crate::per_query::PerQueryScanner;
use crate::product::CENTROIDS;
use crate::terms::{TASK_LISTS, Terms};
use ivf_core::error::{BindError, Cancelled};
use ivf_core::executor::map_items;
use ivf_core::{Binding, BoundCodec, Centroids, Codec, InvertedListScanner, ListNo, Metric, Settings};
use ivf_cpu::executor_or_global;
use ivf_cpu::simd::{Kernel, Level, Simd};
use std::sync::Arc;

/// Bytes that the first-pass tables of a block of queries may take, so that they stay in a cache.
/// (Whole tables that are made once for a query, four times as much, lie beside them, and are
/// seldom looked at.)
const BLOCK_BYTES: usize = 1 << 22;

/// A query's tables for a first pass are as many bytes as this many codes of a list. Twice as many codes, and reading the tables again
/// for each list takes less time than reading the codes for each query.
const TABLE_CODES: usize = CENTROIDS;

/// A codec, and for L2 and codes of residuals what is made for each list:
///
/// ```text
/// table              bytes of a list    beyond the budget
/// rows               4 * dim            a list's centroid is fetched whenever a scanner comes to it
/// terms              256 * parts        a scanner makes whole tables for each query and list
/// ```
///
/// The budget, [`Binding::table_memory`], holds for each of the two. Neither changes a distance.
#[derive(Debug)]
pub(crate) struct BoundPq {
    pub(crate) codec: Arc<PqCodec>,
    pub(crate) by_residual: bool,
    centroids: Arc<dyn Centroids>,
    /// The centroids of the lists with the quantizer's mean added, row after row.
    rows: Option<Vec<f32>>,
    pub(crate) terms: Option<Terms>,
    /// True where a first pass is faster than exact distances.
    looks_up: bool,
}

impl BoundPq {
    pub(crate) fn new(codec: Arc<PqCodec>, to: &Binding<'_>) -> Result<Self, BindError> {
        let (dim, found) = (codec.dim(), to.centroids.dim());
        if found != dim {
            let (kind, what) = (codec.spec().to_string(), format!("centroids of {found} dimensions: it codes {dim}"));
            return Err(BindError::Unsupported { kind, what });
        }
        to.check_cancel()?;
        let level = Level::get();
        let (by_residual, centroids) = (to.by_residual, Arc::clone(&to.centroids));
        let looks_up = level.run(HasLookup);
        let mut bound = Self { codec, by_residual, centroids, rows: None, terms: None, looks_up };
        let numbers = bound.centroids.nlist().checked_mul(dim);
        let bytes = numbers.and_then(|numbers| numbers.checked_mul(size_of::<f32>()));
        if bound.needs_lists() && bytes.is_some_and(|bytes| bytes <= to.table_memory) {
            let rows = bound.make_rows(to)?;
            if looks_up {
                bound.terms = Terms::new(bound.codec.quantizer(), &rows, level, to)?;
            }
            bound.rows = Some(rows);
        }
        Ok(bound)
    }

    /// Whether a distance depends on the list beyond the coarse distance.
    fn needs_lists(&self) -> bool {
        self.by_residual && self.codec.metric() == Metric::L2
    }

    fn make_rows(&self, to: &Binding<'_>) -> Result<Vec<f32>, Cancelled> {
        let dim = self.codec.dim();
        let mut rows = vec![0.0; self.centroids.nlist() * dim];
        let tasks = rows.chunks_mut(TASK_LISTS * dim).collect();
        let done = map_items(executor_or_global(to.executor), tasks, |task, rows: &mut [f32]| {
            to.check_cancel()?;
            self.centroids.centroid_rows(ListNo((task * TASK_LISTS) as u32), rows);
            rows.chunks_exact_mut(dim).for_each(|row| self.add_mean(row));
            Ok(())
        });
        done.into_iter().collect::<Result<(), Cancelled>>()?;
        Ok(rows)
    }

    fn add_mean(&self, row: &mut [f32]) {
        if let Some(mean) = self.codec.quantizer().mean() {
            row.iter_mut().zip(mean).for_each(|(c, m)| *c += m);
        }
    }

    /// What residuals of a list are coded relative to: its centroid with the quantizer's mean
    /// added. `room` has `dim` places.
    ///
    /// # Panics
    /// If there is no such list.
    pub(crate) fn row<'r>(&'r self, list: ListNo, room: &'r mut [f32]) -> &'r [f32] {
        let dim = self.codec.quantizer().dim();
        match &self.rows {
            Some(rows) => &rows[list.index() * dim..][..dim],
            None => {
                self.centroids.centroid(list, room);
                self.add_mean(room);
                room
            }
        }
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

    fn by_residual(&self) -> bool {
        self.by_residual
    }

    fn shares_lists(&self, len: usize) -> bool {
        // Elsewhere it is not memory that a scan waits for.
        self.looks_up && len >= 2 * TABLE_CODES
    }

    fn queries_at_once(&self) -> usize {
        // At least one, however many parts there are.
        (BLOCK_BYTES / (TABLE_CODES * self.codec.quantizer().parts().len())).max(1)
    }

    fn memory(&self) -> usize {
        let rows = self.rows.as_ref().map_or(0, |rows| rows.capacity() * size_of::<f32>());
        self.codec.memory() + rows + self.terms.as_ref().map_or(0, Terms::memory)
    }

    fn scanner(&self, _settings: &Settings) -> Box<dyn InvertedListScanner + '_> {
        if self.needs_lists() { Box::new(L2Scanner::new(self)) } else { Box::new(PerQueryScanner::new(self)) }
    }
}
