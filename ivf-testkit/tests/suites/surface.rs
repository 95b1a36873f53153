//! The whole surface: a naive index under a codec that keeps vectors as they are, and the same with faults.

use crate::assert_caught;
use crate::naive::{Fault, Naive};
use ivf_core::error::{BuildError, TrainError};
use ivf_core::{
    BoundCodec, Centroids, CodeLayout, Codec, CodecSpec, InvertedListScanner, ListNo, Metric, Node, Rows, StoredNode,
    TrainOptions, TrainReport,
};
use ivf_testkit::data::small_integers;
use ivf_testkit::indexes::surface::{Subject, Tally, check_surface};
use ivf_testkit::oracle::distance;
use std::fmt;
use std::sync::Arc;

const DIM: usize = 6;

/// Codes are the vectors, little-endian.
#[derive(Clone, Debug)]
struct Whole(Metric, CodeLayout);

#[derive(Debug)]
struct WholeSpec;

impl fmt::Display for WholeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Whole")
    }
}

impl CodecSpec for WholeSpec {
    fn check(&self, _: usize, _: Metric) -> Result<(), BuildError> {
        Ok(())
    }
    fn by_residual(&self) -> bool {
        false
    }
    fn training_points(&self, _: &TrainOptions<'_>) -> usize {
        0
    }
    fn training_memory(&self, _: usize, _: usize, _: &TrainOptions<'_>) -> usize {
        0
    }
    fn code_size(&self, dim: usize) -> usize {
        4 * dim
    }
    fn train(
        &self,
        rows: Rows<'_, f32>,
        metric: Metric,
        _: &TrainOptions<'_>,
    ) -> Result<(Arc<dyn Codec>, TrainReport), TrainError> {
        Ok((Arc::new(Whole(metric, CodeLayout::rows(4 * rows.dim()))), TrainReport::default()))
    }
}

impl Codec for Whole {
    fn spec(&self) -> Arc<dyn CodecSpec> {
        Arc::new(WholeSpec)
    }
    fn dim(&self) -> usize {
        self.1.code_size() / 4
    }
    fn metric(&self) -> Metric {
        self.0
    }
    fn layout(&self) -> &CodeLayout {
        &self.1
    }
    fn encode(&self, rows: Rows<'_, f32>, codes: &mut [u8]) {
        let bytes = rows.as_slice().iter().flat_map(|x| x.to_le_bytes());
        codes.iter_mut().zip(bytes).for_each(|(code, byte)| *code = byte);
    }
    fn decode(&self, code: &[u8], vector: &mut [f32]) {
        for (x, code) in vector.iter_mut().zip(code.chunks_exact(4)) {
            *x = f32::from_le_bytes([code[0], code[1], code[2], code[3]]);
        }
    }
    fn memory(&self) -> usize {
        0
    }
    fn export(&self) -> Node<'_> {
        Node::new("whole", 0, &self.0)
    }
    fn bind(self: Arc<Self>, centroids: Arc<dyn Centroids>) -> Arc<dyn BoundCodec> {
        Arc::new(Bound(self, centroids))
    }
}

#[derive(Debug)]
struct Bound(Arc<Whole>, Arc<dyn Centroids>);

impl BoundCodec for Bound {
    fn codec(&self) -> &dyn Codec {
        &*self.0
    }
    fn centroids(&self) -> &dyn Centroids {
        &*self.1
    }
    fn scanner(&self) -> Box<dyn InvertedListScanner + '_> {
        Box::new(Scanner(self, Vec::new()))
    }
}

struct Scanner<'a>(&'a Bound, Vec<f32>);

impl InvertedListScanner for Scanner<'_> {
    fn set_query(&mut self, query: &[f32]) {
        self.1 = query.to_vec();
    }
    fn set_list(&mut self, _: ListNo, _: f32) {}
    fn distance(&self, code: &[u8]) -> f32 {
        let mut vector = vec![0.0; self.1.len()];
        self.0.0.decode(code, &mut vector);
        distance(self.0.0.0, &self.1, &vector)
    }
}

fn check(metric: Metric, fault: Fault) -> Tally {
    let inner = if metric == Metric::Cosine { Metric::InnerProduct } else { metric };
    let subject = Subject {
        name: format!("naive, {metric}, {fault:?}"),
        make: &|| Box::new(Naive::new(DIM, metric, fault)),
        // What is read has no fault any more.
        read: &Naive::read,
        rest: StoredNode::clone,
        codec: Arc::new(Whole(inner, CodeLayout::rows(4 * DIM))),
        quantizer: None,
        is_exact: true,
        keeps_ids: true,
        vectors: |seed, n, dim| small_integers(seed, n, dim, 4),
    };
    check_surface(&subject, 1..40)
}

#[test]
fn a_naive_index_passes() {
    for metric in [Metric::L2, Metric::InnerProduct, Metric::Cosine] {
        let tally = check(metric, Fault::None);
        assert_eq!(tally.of("history"), 39);
        for kind in ["merge", "add codes", "reload", "per_query", "max_results", "selector roaring"] {
            assert!(tally.of(kind) > 0, "{kind} came up in {tally:?}");
        }
        // It has no such ability.
        assert_eq!(tally.of("copy a subset") + tally.of("permute lists") + tally.of("nprobe"), 0);
    }
}

#[test]
fn faults_of_searches_are_caught() {
    for (fault, words) in [
        (Fault::IgnoresSelector, "found"),
        (Fault::IgnoresQueryParams, "per_query: Some("),
        (Fault::IgnoresMaxResults, "max_results: Some("),
        (Fault::IncludesRadius, "range search within"),
        (Fault::ReversesTies, "found"),
        (Fault::DependsOnMode, "mode: Some(ListMajor)"),
        (Fault::ForgetsLocations, "places given"),
    ] {
        assert_caught(words, || drop(check(Metric::L2, fault)));
    }
}

#[test]
fn faults_of_writes_are_caught() {
    for (fault, words) in [
        (Fault::CountsIdsOnAfterReset, "after add"),
        (Fault::UpdatesOnlyFirst, "after update"),
        (Fault::ForgetsSkippedIds, "after add"),
        (Fault::AddsBeforeItFails, "after refused call"),
        (Fault::MergesWithoutShift, "after merge"),
        (Fault::TakesNaN, "add with rows skipped"),
    ] {
        assert_caught(words, || drop(check(Metric::L2, fault)));
    }
}
