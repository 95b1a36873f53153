//! Training, adding and resetting.

use super::HnswIndex;
use super::graph::{Graph, MAX_NODES};
use super::link::{Before, Linking};
use super::vectors::Vectors;
use ivf_core::ability::{Add, Reset, Train};
use ivf_core::error::{AddError, StoreError, TrainError};
use ivf_core::{AddOptions, AddReport, AnyRows, Index, ListNo, TrainOptions, TrainReport};
use std::sync::Arc;

impl Train for HnswIndex {
    fn train(&mut self, rows: AnyRows<'_>, options: &TrainOptions<'_>) -> Result<TrainReport, TrainError> {
        let storage: &mut dyn Index = &mut self.storage;
        storage.train_with(rows, options)
    }

    fn training_points(&mut self, options: &TrainOptions<'_>) -> usize {
        self.storage.as_train().map_or(0, |train| train.training_points(options))
    }

    fn training_memory(&mut self, points: usize, options: &TrainOptions<'_>) -> usize {
        self.storage.as_train().map_or(0, |train| train.training_memory(points, options))
    }
}

impl Add for HnswIndex {
    fn add(&mut self, rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<AddReport, AddError> {
        if self.len().saturating_add(rows.len()) > MAX_NODES {
            return Err(StoreError::ListFull { list: ListNo(0) }.into());
        }
        let mark = self.storage.mark()?;
        let mut quiet = *options;
        quiet.progress = None;
        let storage: &mut dyn Index = &mut self.storage;
        let report = storage.add_with(rows, &quiet)?;
        match self.link(options) {
            Ok(()) => Ok(report),
            Err(error) => {
                self.storage.undo(mark)?;
                Err(error)
            }
        }
    }
}

impl HnswIndex {
    /// Links the vectors that are not in the graph yet. If it fails, the graph is as it was.
    fn link(&mut self, options: &AddOptions<'_>) -> Result<(), AddError> {
        let stored = self.storage.stored()?.ok_or(AddError::NotTrained)?;
        let vectors = Vectors::new(self.storage.metric(), self.storage.dim(), &stored);
        let graph = Arc::make_mut(&mut self.graph);
        let mut before = Before::new(graph);
        let linking = Linking { vectors: &vectors, pool: &self.pool, ef: self.ef_construction, options };
        linking.run(graph, &mut before).map_err(|_| {
            before.restore(graph);
            AddError::Cancelled
        })
    }
}

impl Reset for HnswIndex {
    fn reset(&mut self) -> Result<(), StoreError> {
        if let Some(reset) = self.storage.as_reset() {
            reset.reset()?;
        }
        self.graph = Arc::new(Graph::new(self.graph.upper.width));
        Ok(())
    }
}
