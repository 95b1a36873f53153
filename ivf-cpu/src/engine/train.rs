//! Training: the coarse quantizer first, then the codec, then empty lists.

use super::{Entries, IvfIndex, Trained};
use crate::coarse::nearest_lists;
use crate::executor::or_global;
use crate::kmeans::{Random, sample};
use ivf_core::codec::residuals;
use ivf_core::error::{SearchError, TrainError};
use ivf_core::{AnyRows, Centroids, Index, Rows, SearchParams, Train, TrainOptions, TrainReport};
use rand::SeedableRng;
use std::sync::Arc;

/// Bytes that it takes to find the list of a vector.
const LISTS: usize = 40;

impl Train for IvfIndex {
    fn train(&mut self, rows: AnyRows<'_>, options: &TrainOptions<'_>) -> Result<TrainReport, TrainError> {
        if !self.is_empty() {
            return Err(TrainError::NotEmpty { len: self.len() });
        }
        rows.check(self.dim)?;
        let (quantizer, mut report) = self.quantizer.train(rows, self.metric, options)?;

        let mut random = Random::seed_from_u64(options.seed.unwrap_or_default());
        let mut scratch = Vec::new();
        let sample = sample::sample(rows, self.codec.training_points(options), &mut random, &mut scratch);
        let residuals = if self.codec.by_residual() {
            let mut params = SearchParams::new().executor(or_global(options.executor));
            params.cancel = options.cancel;
            let unsupported = |what: String| TrainError::Unsupported { kind: self.quantizer.to_string(), what };
            let lists = nearest_lists(&*quantizer, sample, &params).map_err(|error| match error {
                SearchError::Cancelled => TrainError::Cancelled,
                other => unsupported(other.to_string()),
            })?;
            let lists = lists.into_iter().collect::<Option<Vec<_>>>();
            let lists = lists.ok_or_else(|| unsupported("vectors that belong to no list".to_owned()))?;
            let centroids: &dyn Centroids = &*quantizer;
            Some(residuals(sample, &lists, centroids))
        } else {
            None
        };
        let seen = match &residuals {
            Some(residuals) => Rows::new(residuals, self.dim).expect("residuals have the vectors' shape"),
            None => sample,
        };
        let (codec, codec_report) = self.codec.train(seen, self.metric, options)?;
        report.merge(codec_report);
        // What the lists have ahead of all queries is made now.
        drop((residuals, scratch));

        let lists = self.store.create(quantizer.nlist(), codec.layout())?;
        let centroids: Arc<dyn Centroids> = quantizer.clone();
        let mut entries = Entries::new(codec, centroids, lists, self.map);
        if let Some(before) = &self.trained {
            // Ids go on from the largest ever added, whatever was learnt in between.
            entries.next_id = before.entries.next_id;
        }
        self.trained = Some(Trained { quantizer, entries });
        Ok(report)
    }

    fn training_points(&mut self, options: &TrainOptions<'_>) -> usize {
        self.quantizer.training_points(options).max(self.codec.training_points(options))
    }

    fn training_memory(&mut self, points: usize, options: &TrainOptions<'_>) -> usize {
        let vector = self.dim * size_of::<f32>();
        let lists = self.quantizer.training_memory(self.dim, self.metric, points, options);
        let most = self.codec.training_points(options);
        let seen = points.min(most);
        // Those drawn from more, their lists (as the quantizer says them, and as they are handed on), and the residuals.
        let drawn = if points > most { seen * (vector + sample::CHOSEN) } else { 0 };
        let residuals = if self.codec.by_residual() { seen * (vector + LISTS) } else { 0 };
        let codes = drawn + residuals + self.codec.training_memory(self.dim, seen, options);
        // The centroids are learnt by then.
        lists.max(self.quantizer.nlist() * vector + codes)
    }
}
