//! The product quantizer codec, bound to the centroids of an index.

use crate::codec::{PqCodec, RAW_SUMS};
use crate::l2::L2Scanner;
use crate::list_tables::{ListTables, TASK_LISTS};
use crate::per_query::PerQueryScanner;
use crate::scan::{InList, Stored};
use ivf_core::error::{BindError, Cancelled};
use ivf_core::executor::map_items;
use ivf_core::{Binding, BoundCodec, Centroids, Codec, InvertedListScanner, ListNo, Metric, Settings};
use ivf_cpu::executor_for;
use ivf_cpu::simd::{Kernel, Level, Simd};
use std::sync::Arc;

/// Maximum size, in bytes, of the tables of a block of queries, so that they stay in a cache. (With
/// 256 centroids, it counts the first-pass tables only. The whole tables take four times as much,
/// but are seldom read.)
const BLOCK_BYTES: usize = 1 << 22;

/// Number of codes of a list that take as many bytes as a query's first-pass tables. From twice
/// this number on, reading the tables again for each list takes less time than reading the codes
/// for each query.
const TABLE_CODES: usize = 256;

/// Codec that is bound to the centroids of an index. For L2 and codes of residuals, it also holds
/// tables for each list:
///
/// ```text
/// table        bytes for each list    beyond the budget
/// rows         4 * dim                a scanner fetches the centroid of a list on each visit
/// list_tables  K * subquantizers      a scanner makes whole tables for each query and list
/// ```
///
/// The budget, [`Binding::table_memory`], applies to each of the two tables separately. Neither
/// changes a distance.
#[derive(Debug)]
pub(crate) struct BoundPq<const K: usize> {
    pub(crate) codec: Arc<PqCodec>,
    pub(crate) by_residual: bool,
    centroids: Arc<dyn Centroids>,
    /// Centroids of the lists with the quantizer's mean added, row after row.
    rows: Option<Vec<f32>>,
    pub(crate) list_tables: Option<ListTables<K>>,
    /// True if a first pass is faster than exact distances.
    looks_up: bool,
}

impl<const K: usize> BoundPq<K>
where
    InList: Stored<K>,
{
    pub(crate) fn new(codec: Arc<PqCodec>, to: &Binding<'_>) -> Result<Self, BindError> {
        to.check_dim(&*codec)?;
        let dim = codec.dim();
        to.check_cancel()?;
        let level = Level::get();
        let (by_residual, centroids) = (to.by_residual, Arc::clone(&to.centroids));
        let looks_up = level.run(HasLookup::<K>);
        let mut bound = Self { codec, by_residual, centroids, rows: None, list_tables: None, looks_up };
        let numbers = bound.centroids.nlist().checked_mul(dim);
        let bytes = numbers.and_then(|numbers| numbers.checked_mul(size_of::<f32>()));
        if bound.needs_lists() && bytes.is_some_and(|bytes| bytes <= to.table_memory) {
            let rows = bound.make_rows(to)?;
            if looks_up {
                bound.list_tables = ListTables::new(bound.codec.quantizer(), &rows, level, to)?;
            }
            bound.rows = Some(rows);
        }
        Ok(bound)
    }

    /// Returns whether a distance depends on the list beyond the coarse distance.
    fn needs_lists(&self) -> bool {
        self.by_residual && self.codec.metric() == Metric::L2
    }

    fn make_rows(&self, to: &Binding<'_>) -> Result<Vec<f32>, Cancelled> {
        let dim = self.codec.dim();
        let mut rows = vec![0.0; self.centroids.nlist() * dim];
        let executor = executor_for(to.executor, rows.len());
        let tasks = rows.chunks_mut(TASK_LISTS * dim).collect();
        let done = map_items(executor, tasks, |task, rows: &mut [f32]| {
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

    /// Returns the vector that the residuals of a list are relative to: the list's centroid with
    /// the quantizer's mean added. `room` is a buffer of `dim` numbers.
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

struct HasLookup<const K: usize>;

impl<const K: usize> Kernel for HasLookup<K>
where
    InList: Stored<K>,
{
    type Output = bool;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> bool {
        InList::has_lookup::<S>()
    }
}

impl<const K: usize> BoundCodec for BoundPq<K>
where
    InList: Stored<K>,
{
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
        // Without lookups, a scan does not wait for memory. Tables of 16 entries are smaller than
        // any list.
        self.looks_up && (K == 16 || len >= 2 * TABLE_CODES)
    }

    fn queries_at_once(&self) -> usize {
        let bytes = if K == 16 { K + size_of::<[f32; K]>() } else { TABLE_CODES };
        // At least one, however many subquantizers there are.
        (BLOCK_BYTES / (bytes * self.codec.quantizer().subquantizers().len())).max(1)
    }

    fn memory(&self) -> usize {
        let rows = self.rows.as_ref().map_or(0, |rows| rows.capacity() * size_of::<f32>());
        self.codec.memory() + rows + self.list_tables.as_ref().map_or(0, ListTables::<K>::memory)
    }

    fn scanner(&self, settings: &Settings) -> Box<dyn InvertedListScanner + '_> {
        if self.needs_lists() {
            return Box::new(L2Scanner::new(self));
        }
        Box::new(PerQueryScanner::new(self, settings.flag(RAW_SUMS).unwrap_or(false)))
    }
}
