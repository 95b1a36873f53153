//! Training data for codecs, and checks of their training.

use crate::centroids::FixedCentroids;
use crate::data::{Vectors, clusters, uniform};
use crate::executor::Threads;
use crate::oracle;
use ivf_core::codec::residuals;
use ivf_core::error::TrainError;
use ivf_core::{
    Cancel, Codec, CodecContext, CodecSpec, CodecTraining, Executor, ListNo, Metric, Settings, TrainOptions,
    TrainReport,
};
use std::sync::Arc;

/// Maximum number of training vectors.
const POINTS: usize = 3000;
/// Number of lists of the index that the training belongs to.
const LISTS: usize = 8;

/// Trains a codec on generated vectors, or on residuals if that is the codec's default choice.
///
/// # Panics
/// If training fails.
pub fn train(spec: &Arc<dyn CodecSpec>, dim: usize, metric: Metric) -> Arc<dyn Codec> {
    let context = CodecContext::new(dim, metric).by_residual(spec.residuals().default_choice());
    train_on(spec, &context, &Threads(2))
}

pub(super) fn train_on(spec: &Arc<dyn CodecSpec>, context: &CodecContext, executor: &dyn Executor) -> Arc<dyn Codec> {
    spec.check(context).unwrap_or_else(|error| panic!("{spec} refuses {context:?}: {error}"));
    let trained = learn(spec, context, &TrainOptions::new().executor(executor));
    trained.unwrap_or_else(|error| panic!("{spec} does not train, {context:?}: {error}")).0
}

/// Trains on generated vectors, with lists around a few centroids.
fn learn(
    spec: &Arc<dyn CodecSpec>,
    context: &CodecContext,
    options: &TrainOptions<'_>,
) -> Result<(Arc<dyn Codec>, TrainReport), TrainError> {
    let points = spec.training_points(&TrainOptions::new()).min(POINTS);
    let points = vectors(1, points, context.dim, context.metric);
    let centroids = FixedCentroids(uniform(10, LISTS, context.dim));
    let nearest = |point: &[f32]| {
        let distance = |list: &ListNo| oracle::distance(Metric::L2, point, centroids.0.rows().row(list.index()));
        let lists = (0..LISTS as u32).map(ListNo);
        lists.min_by(|a, b| distance(a).total_cmp(&distance(b))).expect("there are lists")
    };
    let lists: Vec<ListNo> = points.rows().iter().map(nearest).collect();
    let seen = if context.by_residual { residuals(points.rows(), &lists, &centroids) } else { points.data.clone() };
    let seen = Vectors { data: seen, dim: context.dim };
    let input = CodecTraining::new(seen.rows(), context.metric, options).context(*context);
    let needs_lists = context.by_residual || spec.learns_from_lists();
    spec.train(&if needs_lists { input.lists(&lists, &centroids) } else { input })
}

pub(crate) fn vectors(seed: u64, n: usize, dim: usize, metric: Metric) -> Vectors {
    let vectors = clusters(seed, n, dim, 20);
    if metric == Metric::Cosine { vectors.unit() } else { vectors }
}

/// Returns the scanner parameters of a codec with their default values.
pub(crate) fn settings(codec: &dyn Codec, by_residual: bool) -> Settings {
    let context = CodecContext::new(codec.dim(), codec.metric()).by_residual(by_residual);
    let params = codec.spec().params(&context);
    let resolved = Settings::new().resolved(&params, &Settings::new());
    resolved.unwrap_or_else(|error| panic!("{}: the default of a parameter: {error}", codec.spec()))
}

/// Checks a training that is cancelled before it begins, and the memory that training reports.
pub(super) fn check_training(spec: &Arc<dyn CodecSpec>, context: &CodecContext, at: &str) {
    let options = TrainOptions::new();
    if spec.training_points(&options) == 0 {
        return;
    }
    let cancel = Cancel::new();
    cancel.cancel();
    let trained = learn(spec, context, &TrainOptions::new().cancel(&cancel));
    assert!(matches!(trained, Err(TrainError::Cancelled)), "{at}: a cancelled training gives {trained:?}");
    let memory: Vec<usize> = [1, 100, POINTS].map(|n| spec.training_memory(context, n, &options)).to_vec();
    assert!(memory.iter().all(|&bytes| bytes > 0), "{at}: training that takes no memory: {memory:?} bytes");
    assert!(memory.is_sorted(), "{at}: training on more vectors takes less memory: {memory:?} bytes");
}
