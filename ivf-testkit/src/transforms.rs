//! The suite for transforms: train, apply, reverse, export, read back, damage.

use crate::compare::assert_same_node;
use crate::damage::{array_bytes, check_damaged_nodes};
use crate::data::{Vectors, clusters, uniform};
use crate::executor::Threads;
use ivf_core::error::{DecodeError, InputError, TrainError};
use ivf_core::transform::Reverse;
use ivf_core::{Cancel, Executor, Metric, Rows, StoredNode, TrainOptions, Transform, TransformSpec};
use std::sync::Arc;

/// A function that reads an exported transform.
pub type ReadTransform<'a> = &'a dyn Fn(&StoredNode) -> Result<Arc<dyn Transform>, DecodeError>;

/// Number of training vectors.
const POINTS: usize = 2000;
/// Number of vectors that are transformed.
const SAMPLE: usize = 150;
/// Number of damaged nodes.
const DAMAGES: usize = 300;
/// Largest dimension of a transform from a damaged node that is used. A damaged node may declare
/// any dimension, and the test allocates no more memory than for this one.
const GREATEST: usize = 1 << 16;

/// Checks a specification and the transform it trains into, for vectors of `dim` before an index of
/// this metric:
///
/// * Training gives the same bytes again, for any number of threads. The transform returns the
///   specification that it was trained from. If training learns from vectors, a cancelled training
///   is an error, and training memory is positive and does not fall as the number of vectors grows.
///   A transform that exports arrays reports memory.
/// * The specification and the transform report the same output dimension.
/// * The output depends neither on how the batch is split nor on the previous content of the output
///   buffer, and it is finite. An error about a row names its number.
/// * A transform that can be reversed restores vectors: transforming them again gives the same
///   result, up to the rounding of sums.
/// * Exported and read back, the transform gives the same vectors. A damaged node gives an error or
///   a transform that works.
///
/// # Panics
/// If a check fails.
pub fn check_transform(spec: &Arc<dyn TransformSpec>, dim: usize, metric: Metric, read: ReadTransform<'_>) {
    let at = format!("{spec}, {dim} dimensions, {metric}");
    let dim_out = spec.dim_out(dim, metric).unwrap_or_else(|error| panic!("{at}: refused: {error}"));
    let transform = train(spec, dim, metric, &Threads(2), &at);
    let node = transform.export().to_stored();
    for threads in [1, 4] {
        let again = train(spec, dim, metric, &Threads(threads), &at);
        assert_same_node(&again.export().to_stored(), &node, format_args!("{at}: trained on {threads} threads"));
    }
    check_training(spec, dim, metric, &at);
    assert_eq!(transform.spec().to_string(), spec.to_string(), "{at}: the transform's specification");
    let dims = (transform.dim_in(), transform.dim_out());
    assert_eq!(dims, (dim, dim_out), "{at}: dimensions in and out");
    assert_eq!(transform.tag(), node.tag, "{at}: tags of the transform and of its node");
    let bytes = array_bytes(&node);
    assert!(bytes == 0 || transform.memory() > 0, "{at}: {bytes} bytes of arrays, which take no memory");
    check_apply(&*transform, &at);
    check_bad_rows(&*transform, &at);
    assert!(!spec.is_reversible() || transform.as_reverse().is_some(), "{at}: not reversible, once trained");
    if let Some(reverse) = transform.as_reverse() {
        check_reverse(&*transform, reverse, &at);
    }
    let back = read(&node).unwrap_or_else(|error| panic!("{at}: reading it back: {error}"));
    check_read_back(&*transform, &*back, &format!("{at}, read back"));
    check_damaged_nodes(&node, 83, DAMAGES, |damaged| {
        if let Ok(transform) = read(damaged) {
            use_it(&*transform);
        }
    });
}

fn train(
    spec: &Arc<dyn TransformSpec>,
    dim: usize,
    metric: Metric,
    executor: &dyn Executor,
    at: &str,
) -> Arc<dyn Transform> {
    let points = clusters(81, POINTS, dim, 20);
    let trained = spec.train(points.rows().into(), metric, &TrainOptions::new().executor(executor));
    trained.unwrap_or_else(|error| panic!("{at}: it does not train: {error}")).0
}

/// Checks a training that is cancelled before it begins, and the memory that training reports.
fn check_training(spec: &Arc<dyn TransformSpec>, dim: usize, metric: Metric, at: &str) {
    let options = TrainOptions::new();
    if spec.training_points(&options) == 0 {
        return;
    }
    let cancel = Cancel::new();
    cancel.cancel();
    let points = clusters(81, POINTS, dim, 20);
    let trained = spec.train(points.rows().into(), metric, &TrainOptions::new().cancel(&cancel));
    assert!(matches!(trained, Err(TrainError::Cancelled)), "{at}: a cancelled training gives {trained:?}");
    let memory = [1, 100, POINTS, 100 * POINTS].map(|n| spec.training_memory(dim, metric, n, &options));
    assert!(memory.iter().all(|&bytes| bytes > 0), "{at}: training that takes no memory: {memory:?} bytes");
    assert!(memory.is_sorted(), "{at}: training on more vectors takes less memory: {memory:?} bytes");
}

fn applied(transform: &dyn Transform, rows: Rows<'_, f32>, before: f32, at: &str) -> Vectors {
    let mut data = vec![before; rows.len() * transform.dim_out()];
    transform.apply(rows, &mut data).unwrap_or_else(|error| panic!("{at}: transforming {} rows: {error}", rows.len()));
    Vectors { data, dim: transform.dim_out() }
}

fn check_apply(transform: &dyn Transform, at: &str) {
    let sample = clusters(82, SAMPLE, transform.dim_in(), 20);
    let whole = applied(transform, sample.rows(), 0.0, at);
    assert!(whole.data.iter().all(|x| x.is_finite()), "{at}: a transformed vector is not finite");
    let again = applied(transform, sample.rows(), f32::NAN, at);
    assert!(bits(&again) == bits(&whole), "{at}: vectors depend on what the output held before");
    for cut in [1, 7, 64] {
        let pieces = (0..SAMPLE).step_by(cut).map(|i| sample.rows().slice(i..(i + cut).min(SAMPLE)));
        let data = pieces.flat_map(|piece| applied(transform, piece, 0.0, at).data).collect();
        let pieces = Vectors { data, dim: whole.dim };
        assert!(bits(&pieces) == bits(&whole), "{at}: vectors depend on the cut of the batch into pieces of {cut}");
    }
    applied(transform, sample.rows().slice(0..0), 0.0, at);
}

/// Returns the row that an error names.
fn row_of(error: &InputError) -> Option<usize> {
    match error {
        InputError::NonFinite { row } | InputError::ZeroVector { row } | InputError::Overflow { row, .. } => Some(*row),
        _ => None,
    }
}

/// Checks rows that a transform may refuse, alone and in a batch: the error must name that row.
fn check_bad_rows(transform: &dyn Transform, at: &str) {
    const ROWS: usize = 100;
    const BAD: usize = 77;
    let dim = transform.dim_in();
    for value in [0.0, f32::MIN_POSITIVE / 4.0, f32::MAX] {
        let apply = |data: &[f32]| {
            let rows = Rows::new(data, dim).expect("whole rows");
            transform.apply(rows, &mut vec![0.0; rows.len() * transform.dim_out()])
        };
        let alone = apply(&vec![value; dim]).err();
        let mut batch = clusters(84, ROWS, dim, 5).data;
        batch[BAD * dim..][..dim].fill(value);
        let together = apply(&batch).err();
        let rows = [&alone, &together].map(|error| error.as_ref().map(row_of));
        let expected = [alone.as_ref().map(|_| Some(0)), alone.as_ref().map(|_| Some(BAD))];
        assert!(rows == expected, "{at}: a row of {value:?} gives {alone:?}, and as row {BAD} of a batch {together:?}");
    }
}

fn check_reverse(transform: &dyn Transform, reverse: &dyn Reverse, at: &str) {
    let made = applied(transform, clusters(85, SAMPLE, transform.dim_in(), 20).rows(), 0.0, at);
    let mut undone = Vectors { data: vec![f32::NAN; SAMPLE * transform.dim_in()], dim: transform.dim_in() };
    for (vector, out) in made.rows().iter().zip(undone.data.chunks_exact_mut(transform.dim_in())) {
        reverse.reverse(vector, out);
    }
    let again = applied(transform, undone.rows(), 0.0, &format!("{at}, undone"));
    for (row, (found, expected)) in again.rows().iter().zip(made.rows().iter()).enumerate() {
        let size: f32 = expected.iter().map(|x| x.abs()).sum();
        let bound = 64.0 * transform.dim_in() as f32 * f32::EPSILON * (1.0 + size);
        let off = found.iter().zip(expected).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
        assert!(off <= bound, "{at}: row {row}, undone and transformed again, is {found:?}, not {expected:?}");
    }
}

fn check_read_back(transform: &dyn Transform, back: &dyn Transform, at: &str) {
    let dims = (back.dim_in(), back.dim_out());
    assert_eq!(dims, (transform.dim_in(), transform.dim_out()), "{at}: dimensions in and out");
    assert_eq!(back.spec().to_string(), transform.spec().to_string(), "{at}: specification");
    assert_eq!(back.tag(), transform.tag(), "{at}: tag");
    assert_eq!(back.as_reverse().is_some(), transform.as_reverse().is_some(), "{at}: can be undone");
    let sample = clusters(86, SAMPLE, transform.dim_in(), 20);
    let [found, expected] = [back, transform].map(|transform| applied(transform, sample.rows(), 0.0, at));
    assert!(bits(&found) == bits(&expected), "{at}: other vectors");
    assert_same_node(&back.export().to_stored(), &transform.export().to_stored(), at);
}

/// Checks that a transform from a damaged node answers without a panic.
fn use_it(transform: &dyn Transform) {
    let (dim_in, dim_out) = (transform.dim_in(), transform.dim_out());
    transform.spec().to_string();
    transform.memory();
    transform.export();
    if dim_in == 0 || dim_out == 0 || dim_in.max(dim_out) > GREATEST {
        assert!(dim_in > 0 && dim_out > 0, "a transform from {dim_in} to {dim_out} dimensions");
        return;
    }
    let mut out = vec![0.0; 3 * dim_out];
    // An error is allowed: the transform may detect the damage only here.
    let _ = transform.apply(uniform(87, 3, dim_in).rows(), &mut out);
    if let Some(reverse) = transform.as_reverse() {
        reverse.reverse(&out[..dim_out], &mut vec![0.0; dim_in]);
    }
}

fn bits(vectors: &Vectors) -> Vec<u32> {
    vectors.data.iter().map(|x| x.to_bits()).collect()
}
