//! The suite for coarse quantizers: train, assign, renumber, export, read back, damage.
//!
//! | file | content |
//! |---|---|
//! | `assign` | the assigned lists, against the oracle |
//! | `errors` | calls that must fail, and parameters |
//! | `renumber` | renumbered lists |

mod assign;
mod errors;
mod renumber;

use crate::compare::assert_same_node;
use crate::damage::{array_bytes, check_damaged_nodes};
use crate::data::{Vectors, clusters, uniform};
use crate::executor::Threads;
use assign::{Subject, check_assign, same_assignments};
use errors::{check_cancel, check_errors, check_parameters};
use ivf_core::error::{DecodeError, TrainError};
use ivf_core::{
    Cancel, Executor, Level1Quantizer, ListNo, Metric, QuantizerSpec, SearchParams, StoredNode, TrainOptions,
};
use renumber::check_renumbered;
use std::sync::Arc;

/// A function that reads an exported quantizer.
pub type ReadQuantizer<'a> = &'a dyn Fn(&StoredNode) -> Result<Arc<dyn Level1Quantizer>, DecodeError>;

/// Number of training vectors: the minimum, and the number per list.
const POINTS: usize = 2000;
const POINTS_PER_LIST: usize = 40;
/// Number of query vectors that resemble the training vectors.
const QUERIES: usize = 60;
/// Number of damaged nodes.
const DAMAGES: usize = 300;
/// Largest dimension and number of lists of a quantizer from a damaged node that is used. A damaged
/// node may declare any, and the test allocates no more memory than for these.
const GREATEST: usize = 1 << 16;

/// Checks a specification and the quantizer it trains into:
///
/// * Training gives the same bytes again, for any number of threads. The quantizer returns the
///   specification that it was trained from. If training learns from vectors, a cancelled training
///   is an error, and training memory is positive and does not fall as the number of vectors grows.
///   A quantizer that exports arrays reports memory.
/// * [`assign`](Level1Quantizer::assign) returns at most `min(nprobe, nlist)` lists, each once, by
///   ascending coarse distance, ties by number, absent lists last. A coarse distance is the
///   oracle's distance to the centroid, up to the rounding of sums. The result depends neither on
///   how the batch is split nor on the number of threads.
/// * The quantizer keeps its [promise](Level1Quantizer::promise). Exact lists are the oracle's
///   lists, and with the prefix promise the lists for few probes begin those for more. With any
///   promise or none, the first list is the nearest one for more than half of the vectors.
/// * `nprobe` 0, vectors of another dimension, undeclared parameters and values out of range are
///   errors. A cancelled call ends.
/// * A [renumbered](ivf_core::Permute) quantizer is the same with other list numbers, also in its
///   export.
/// * Exported and read back, the quantizer gives the same answers. A damaged node gives an error or
///   a quantizer that works and names no list out of range.
///
/// # Panics
/// If a check fails.
pub fn check_quantizer(spec: &Arc<dyn QuantizerSpec>, dim: usize, metric: Metric, read: ReadQuantizer<'_>) {
    let at = format!("{spec}, {dim} dimensions, {metric}");
    spec.check(dim, metric).unwrap_or_else(|error| panic!("{at}: refused: {error}"));
    let data = Data::new(spec.nlist(), dim, metric);
    let quantizer = data.train(spec, metric, &Threads(2), &at);
    let node = exported(&*quantizer, &at);
    for threads in [1, 4] {
        let again = exported(&*data.train(spec, metric, &Threads(threads), &at), &at);
        assert_same_node(&again, &node, format_args!("{at}: trained on {threads} threads"));
    }
    check_training(spec, &data, metric, &at);
    check_identity(spec, &*quantizer, dim, metric, &at);
    assert_eq!(quantizer.tag(), node.tag, "{at}: tags of the quantizer and of its node");
    let bytes = array_bytes(&node);
    assert!(bytes == 0 || quantizer.memory() > 0, "{at}: {bytes} bytes of arrays, which take no memory");
    check_rows(&*quantizer, &at);
    let subject = Subject { quantizer: &*quantizer, at: at.clone() };
    check_assign(&subject, &data);
    check_errors(&subject);
    check_parameters(&subject, spec);
    check_cancel(&subject);
    check_renumbered(&subject, &data, read);
    let back = read(&node).unwrap_or_else(|error| panic!("{at}: reading it back: {error}"));
    check_read_back(&*quantizer, &*back, &data, &format!("{at}, read back"));
    check_damaged_nodes(&node, 73, DAMAGES, |damaged| {
        if let Ok(quantizer) = read(damaged) {
            use_it(&*quantizer);
        }
    });
}

/// Training vectors and queries.
struct Data {
    points: Vectors,
    queries: Vectors,
}

impl Data {
    fn new(nlist: usize, dim: usize, metric: Metric) -> Self {
        let n = POINTS.max(POINTS_PER_LIST * nlist);
        let mut points = clusters(71, n + QUERIES, dim, (2 * nlist).clamp(4, 200));
        match metric {
            Metric::L2 | Metric::InnerProduct => {}
            Metric::Cosine => points = points.unit(),
            // Metrics of distributions are defined for numbers of at least 0.
            _ => points.data.iter_mut().for_each(|x| *x = x.abs()),
        }
        let queries = Vectors { data: points.data.split_off(n * dim), dim };
        Self { points, queries }
    }

    fn train(
        &self,
        spec: &Arc<dyn QuantizerSpec>,
        metric: Metric,
        executor: &dyn Executor,
        at: &str,
    ) -> Arc<dyn Level1Quantizer> {
        let trained = spec.train(self.points.rows().into(), metric, &TrainOptions::new().executor(executor));
        trained.unwrap_or_else(|error| panic!("{at}: it does not train: {error}")).0
    }
}

fn exported(quantizer: &dyn Level1Quantizer, at: &str) -> StoredNode {
    quantizer.export().unwrap_or_else(|error| panic!("{at}: export: {error}")).to_stored()
}

/// Checks a training that is cancelled before it begins, and the memory that training reports.
fn check_training(spec: &Arc<dyn QuantizerSpec>, data: &Data, metric: Metric, at: &str) {
    let options = TrainOptions::new();
    if spec.training_points(&options) == 0 {
        return;
    }
    let cancel = Cancel::new();
    cancel.cancel();
    let trained = spec.train(data.points.rows().into(), metric, &TrainOptions::new().cancel(&cancel));
    assert!(matches!(trained, Err(TrainError::Cancelled)), "{at}: a cancelled training gives {trained:?}");
    let dim = data.points.dim;
    let memory = [1, 100, POINTS, 100 * POINTS].map(|n| spec.training_memory(dim, metric, n, &options));
    assert!(memory.iter().all(|&bytes| bytes > 0), "{at}: training that takes no memory: {memory:?} bytes");
    assert!(memory.is_sorted(), "{at}: training on more vectors takes less memory: {memory:?} bytes");
}

fn check_identity(
    spec: &Arc<dyn QuantizerSpec>,
    quantizer: &dyn Level1Quantizer,
    dim: usize,
    metric: Metric,
    at: &str,
) {
    assert_eq!(quantizer.spec().to_string(), spec.to_string(), "{at}: the quantizer's specification");
    let sizes = (quantizer.nlist(), quantizer.dim());
    assert_eq!(sizes, (spec.nlist(), dim), "{at}: number of lists and dimension");
    let of = quantizer.metric();
    assert!(of.is_none_or(|of| of == metric), "{at}: the quantizer is for {of:?}");
    assert!(quantizer.promise().prefix || !quantizer.promise().exact, "{at}: exact lists have prefixes");
}

/// Checks that single centroids and rows of centroids agree.
fn check_rows(quantizer: &dyn Level1Quantizer, at: &str) {
    let (nlist, dim) = (quantizer.nlist(), quantizer.dim());
    let all = centroids(quantizer);
    assert!(all.data.iter().all(|x| x.is_finite()), "{at}: a centroid is not finite");
    for first in [0, 1, nlist / 2, nlist - 1, nlist] {
        let first = first.min(nlist);
        let mut rows = vec![f32::NAN; (nlist - first) * dim];
        quantizer.centroid_rows(ListNo(first as u32), &mut rows);
        assert!(bits(&rows) == bits(&all.data[first * dim..]), "{at}: the centroids from {first} on as rows differ");
    }
}

fn centroids(quantizer: &dyn Level1Quantizer) -> Vectors {
    let (nlist, dim) = (quantizer.nlist(), quantizer.dim());
    let mut data = vec![f32::NAN; nlist * dim];
    for (list, row) in (0..).map(ListNo).zip(data.chunks_exact_mut(dim)) {
        quantizer.centroid(list, row);
    }
    Vectors { data, dim }
}

fn bits(vector: &[f32]) -> Vec<u32> {
    vector.iter().map(|x| x.to_bits()).collect()
}

fn check_read_back(quantizer: &dyn Level1Quantizer, back: &dyn Level1Quantizer, data: &Data, at: &str) {
    let sizes = (back.nlist(), back.dim(), back.metric());
    let expected = (quantizer.nlist(), quantizer.dim(), quantizer.metric());
    assert_eq!(sizes, expected, "{at}: number of lists, dimension and metric");
    assert_eq!(back.spec().to_string(), quantizer.spec().to_string(), "{at}: specification");
    assert_eq!((back.tag(), back.promise()), (quantizer.tag(), quantizer.promise()), "{at}: tag and promise");
    assert_eq!(back.as_permute().is_some(), quantizer.as_permute().is_some(), "{at}: renumbers its lists");
    assert!(bits(&centroids(back).data) == bits(&centroids(quantizer).data), "{at}: other centroids");
    same_assignments(back, quantizer, data, at);
    assert_same_node(&exported(back, at), &exported(quantizer, at), at);
}

/// Checks that a quantizer from a damaged node answers without a panic, with lists that exist.
fn use_it(quantizer: &dyn Level1Quantizer) {
    let (nlist, dim) = (quantizer.nlist(), quantizer.dim());
    quantizer.spec().to_string();
    quantizer.memory();
    let _ = quantizer.export();
    if dim == 0 || dim > GREATEST || nlist == 0 || nlist > GREATEST {
        assert!(dim > 0 && nlist > 0, "a quantizer of {nlist} lists and {dim} dimensions");
        return;
    }
    let mut centroid = vec![0.0; dim];
    [0, nlist - 1].into_iter().for_each(|list| quantizer.centroid(ListNo(list as u32), &mut centroid));
    let queries = uniform(74, 3, dim);
    for nprobe in [1, 3, nlist] {
        // An error is allowed: the quantizer may detect the damage only here.
        let Ok(probes) = quantizer.assign(queries.rows(), nprobe, &SearchParams::new()) else { continue };
        assert_eq!(probes.len(), queries.len(), "rows of probes of a damaged quantizer");
        for list in (0..probes.len()).flat_map(|row| probes.row(row)).filter_map(|(list, _)| list) {
            assert!(list.index() < nlist, "a damaged quantizer of {nlist} lists names list {list}");
            quantizer.centroid(list, &mut centroid);
        }
    }
}
