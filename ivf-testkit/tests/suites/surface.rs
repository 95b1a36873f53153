//! Tests of the surface suite: a naive index with a codec that stores vectors unchanged passes, and
//! its faulty variants are caught.

use crate::assert_caught;
use crate::naive::{Fault, Naive};
use ivf_core::error::{BindError, BuildError, TrainError};
use ivf_core::{
    Binding, BoundCodec, Centroids, CodeLayout, Codec, CodecContext, CodecSpec, CodecTraining, InvertedListScanner,
    ListNo, Metric, Node, Residuals, Rows, Settings, StoredNode, TrainOptions, TrainReport,
};
use ivf_testkit::data::small_integers;
use ivf_testkit::indexes::surface::{Subject, Tally, check_surface};
use ivf_testkit::oracle::distance;
use std::fmt;
use std::sync::Arc;

const DIM: usize = 6;

/// A codec whose codes are the vectors, little-endian.
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
    fn check(&self, _: &CodecContext) -> Result<(), BuildError> {
        Ok(())
    }
    fn residuals(&self) -> Residuals {
        Residuals::Never
    }
    fn training_points(&self, _: &TrainOptions<'_>) -> usize {
        0
    }
    fn training_memory(&self, _: &CodecContext, _: usize, _: &TrainOptions<'_>) -> usize {
        0
    }
    fn code_size(&self, context: &CodecContext) -> usize {
        4 * context.dim
    }
    fn train(&self, input: &CodecTraining<'_>) -> Result<(Arc<dyn Codec>, TrainReport), TrainError> {
        Ok((Arc::new(Whole::new(input.context.metric, input.rows.dim())), TrainReport::default()))
    }
}

impl Whole {
    fn new(metric: Metric, dim: usize) -> Self {
        Self(metric, CodeLayout::rows(4 * dim).of_codec("whole"))
    }
}

impl Codec for Whole {
    fn spec(&self) -> Arc<dyn CodecSpec> {
        Arc::new(WholeSpec)
    }
    fn tag(&self) -> &str {
        "whole"
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
        Node::new("whole", 0).with("metric", self.0)
    }
    fn bind(self: Arc<Self>, to: &Binding<'_>) -> Result<Arc<dyn BoundCodec>, BindError> {
        Ok(Arc::new(Bound(self, to.centroids.clone())))
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
    fn by_residual(&self) -> bool {
        false
    }
    fn scanner(&self, _: &Settings) -> Box<dyn InvertedListScanner + '_> {
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
        // An index that was read back has no fault.
        read: &Naive::read,
        rest: StoredNode::clone,
        codec: Arc::new(Whole::new(inner, DIM)),
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
        for kind in ["merge", "add codes", "reload", "clone", "per_query", "max_results", "selector roaring"] {
            assert!(tally.of(kind) > 0, "{kind} came up in {tally:?}");
        }
        // The naive index does not support these.
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
        (Fault::ClonesAllButOne, "clone"),
        (Fault::TakesNaN, "calls that must fail"),
    ] {
        assert_caught(words, || drop(check(Metric::L2, fault)));
    }
}
