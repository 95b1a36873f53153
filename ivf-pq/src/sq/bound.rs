//! A scalar quantizer, bound to the centroids of an index.

use super::codec::SqCodec;
use ivf_core::error::{BindError, Cancelled};
use ivf_core::executor::map_items;
use ivf_core::{Binding, BoundCodec, Centroids, Codec, InvertedListScanner, ListNo, Settings};
use ivf_cpu::executor_for;
use std::sync::Arc;

/// Number of lists whose bases a task computes.
const TASK_LISTS: usize = 256;

/// Codec that is bound to the centroids of an index. A code of a residual decodes as
/// `number * step + (base + centroid)`. If the sums in parentheses fit the budget
/// ([`Binding::table_memory`]), they are kept for each list. Otherwise a scanner computes them on
/// each visit of a list, with the same results.
#[derive(Debug)]
pub(super) struct BoundSq {
    pub(super) codec: Arc<SqCodec>,
    by_residual: bool,
    centroids: Arc<dyn Centroids>,
    bases: Option<Vec<f32>>,
}

impl BoundSq {
    pub(super) fn new(codec: Arc<SqCodec>, to: &Binding<'_>) -> Result<Self, BindError> {
        to.check_dim(&*codec)?;
        let dim = codec.dim();
        to.check_cancel()?;
        let mut bound = Self { codec, by_residual: to.by_residual, centroids: Arc::clone(&to.centroids), bases: None };
        let numbers = bound.centroids.nlist().checked_mul(dim);
        let bytes = numbers.and_then(|numbers| numbers.checked_mul(size_of::<f32>()));
        if bound.by_residual && bytes.is_some_and(|bytes| bytes <= to.table_memory) {
            bound.bases = Some(bound.make_bases(to)?);
        }
        Ok(bound)
    }

    fn make_bases(&self, to: &Binding<'_>) -> Result<Vec<f32>, Cancelled> {
        let dim = self.codec.dim();
        let mut rows = vec![0.0; self.centroids.nlist() * dim];
        let executor = executor_for(to.executor, rows.len());
        let tasks = rows.chunks_mut(TASK_LISTS * dim).collect();
        let done = map_items(executor, tasks, |task, rows: &mut [f32]| {
            to.check_cancel()?;
            self.centroids.centroid_rows(ListNo((task * TASK_LISTS) as u32), rows);
            rows.chunks_exact_mut(dim).for_each(|row| self.codec.scale().add_bases(row));
            Ok(())
        });
        done.into_iter().collect::<Result<(), Cancelled>>()?;
        Ok(rows)
    }

    /// Writes what is added to the numbers of a list, times their steps.
    ///
    /// # Panics
    /// If there is no such list.
    pub(super) fn bases_of(&self, list: ListNo, out: &mut [f32]) {
        match &self.bases {
            Some(bases) => out.copy_from_slice(&bases[list.index() * out.len()..][..out.len()]),
            None if self.by_residual => {
                self.centroids.centroid(list, out);
                self.codec.scale().add_bases(out);
            }
            None => out.copy_from_slice(self.codec.scale().bases()),
        }
    }
}

impl BoundCodec for BoundSq {
    fn codec(&self) -> &dyn Codec {
        &*self.codec
    }

    fn centroids(&self) -> &dyn Centroids {
        &*self.centroids
    }

    fn by_residual(&self) -> bool {
        self.by_residual
    }

    fn shares_lists(&self, _len: usize) -> bool {
        true
    }

    fn memory(&self) -> usize {
        self.codec.memory() + self.bases.as_ref().map_or(0, |bases| bases.capacity() * size_of::<f32>())
    }

    fn scanner(&self, _settings: &Settings) -> Box<dyn InvertedListScanner + '_> {
        self.codec.kind().numbers.scanner(self)
    }
}
