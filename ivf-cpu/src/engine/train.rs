//! Training: the coarse quantizer first, then the codec, then empty lists.

use super::accelerate::Assigner;
use super::entries::binding;
use super::{Entries, IvfIndex, Trained};
use crate::kmeans::{Random, sample};
use ivf_core::codec::residuals;
use ivf_core::error::{Computed, InputError, SearchError, TrainError};
use ivf_core::params::NonFinite;
use ivf_core::{AnyRows, Centroids, CodecTraining, Index, Rows, SearchParams, Train, TrainOptions, TrainReport};
use rand::SeedableRng;

/// Memory used while assigning one vector to its list, in bytes.
const LISTS: usize = 40;

impl Train for IvfIndex {
    fn train(&mut self, rows: AnyRows<'_>, options: &TrainOptions<'_>) -> Result<TrainReport, TrainError> {
        if !self.is_empty() {
            return Err(TrainError::NotEmpty { len: self.len() });
        }
        let mut finite = Vec::new();
        let (rows, skipped) = rows.finite(self.dim, options.non_finite, &mut finite)?;
        let unsupported = |what: String| TrainError::Unsupported { kind: self.codec.to_string(), what };
        self.codec.check(&self.context()).map_err(|error| unsupported(error.to_string()))?;
        let (quantizer, mut report) = self.quantizer.train(rows, self.metric, options)?;

        let (most, seed) = (self.codec.training_points(options), options.seed_or_default());
        let mut scratch = Vec::new();
        let sample = sample::sample(rows, most, &mut Random::seed_from_u64(seed), &mut scratch);
        let number = |row| sample::number(rows.len(), most, seed, row);
        let lists = if self.by_residual || self.codec.learns_from_lists() {
            let mut params = SearchParams::new().for_quantizer(&self.options.settings);
            (params.executor, params.cancel) = (options.executor, options.cancel);
            let unsupported = |what: String| TrainError::Unsupported { kind: self.quantizer.to_string(), what };
            let assigner = Assigner { quantizer: &*quantizer, accelerator: None, params: &params };
            let lists = assigner.nearest(sample).map_err(|error| match error {
                SearchError::Input(error) => TrainError::Input(error.renumbered(number)),
                SearchError::Cancelled => TrainError::Cancelled,
                other => unsupported(other.to_string()),
            })?;
            let lists = lists.into_iter().collect::<Option<Vec<_>>>();
            Some(lists.ok_or_else(|| unsupported("vectors that belong to no list".to_owned()))?)
        } else {
            None
        };
        let centroids: &dyn Centroids = &*quantizer;
        let residuals = lists.as_ref().filter(|_| self.by_residual).map(|lists| residuals(sample, lists, centroids));
        let seen = match &residuals {
            Some(residuals) => Rows::new(residuals, self.dim).expect("residuals have the vectors' shape"),
            None => sample,
        };
        if let Some(row) = AnyRows::from(seen).first_non_finite() {
            return Err(InputError::Overflow { row: number(row), what: Computed::Residual }.into());
        }
        let mut input = CodecTraining::new(seen, self.metric, options).context(self.context());
        if let Some(lists) = &lists {
            input = input.lists(lists, centroids);
        }
        let (codec, codec_report) = self.codec.train(&input).map_err(|error| match error {
            TrainError::Input(error) => TrainError::Input(error.renumbered(number)),
            other => other,
        })?;
        report.merge(codec_report);
        // Free these before the per-list tables are built.
        drop((residuals, scratch, lists));

        let lists = self.store.create(quantizer.nlist(), codec.layout())?;
        let binding = binding(&quantizer, self.by_residual, &self.options).options(options);
        let mut entries = Entries::new(codec, &binding, lists, self.options.direct_map)?;
        if let Some(before) = &self.trained {
            // Ids continue after the largest ever added, even if the index is trained again.
            entries.next_id = before.entries.next_id;
        }
        self.quantizer = quantizer.spec();
        self.trained = Some(Trained { quantizer, entries });
        report.skipped = skipped;
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
        // The sampled vectors if there are more, their lists (as the quantizer returns them, and as
        // the codec receives them), and the residuals.
        let drawn = if points > most { seen * (vector + sample::CHOSEN) } else { 0 };
        let assigned = if self.by_residual || self.codec.learns_from_lists() { seen * LISTS } else { 0 };
        let residuals = if self.by_residual { seen * vector } else { 0 };
        let codes = drawn + assigned + residuals + self.codec.training_memory(&self.context(), seen, options);
        // The vectors that are left if some are skipped.
        let finite = if options.non_finite == NonFinite::SkipRow { points.saturating_mul(vector) } else { 0 };
        // The centroids exist by then.
        lists.max(self.quantizer.trained_memory(self.dim).saturating_add(codes)).saturating_add(finite)
    }
}
