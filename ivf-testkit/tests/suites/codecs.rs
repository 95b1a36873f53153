//! Codecs and scanners: the tiny codec, and the same with faults.

use crate::assert_caught;
use crate::scalar::{Fault, ScalarSpec, read};
use ivf_core::{CodecSpec, Metric};
use ivf_testkit::codecs::{check_codec, train};
use ivf_testkit::scanners::check_scanner;
use std::sync::Arc;

fn spec(by_residual: bool, fault: Fault) -> Arc<dyn CodecSpec> {
    Arc::new(ScalarSpec { by_residual, fault })
}

#[test]
fn the_tiny_codec_passes() {
    for (by_residual, dim, metric) in
        [(false, 1, Metric::L2), (true, 7, Metric::L2), (true, 16, Metric::InnerProduct), (false, 5, Metric::Cosine)]
    {
        let spec = spec(by_residual, Fault::None);
        check_codec(&spec, dim, metric, &read);
        check_scanner(train(&spec, dim, metric));
    }
}

#[test]
fn faulty_codecs_are_caught() {
    for (fault, words) in [
        (Fault::EncodesByPlaceInBatch, "cut of the batch"),
        (Fault::AddsToTheOutput, "what the output held before"),
        (Fault::TrainsAnew, "trained on"),
        (Fault::DecodesToInfinity, "decodes to"),
        (Fault::ForgetsResiduals, "bound, it gives other codes"),
    ] {
        assert_caught(words, || check_codec(&spec(true, fault), 6, Metric::L2, &read));
    }
}

#[test]
fn faulty_readers_are_caught() {
    let spec = spec(false, Fault::None);
    assert_caught("panicked", || {
        check_codec(&spec, 6, Metric::L2, &|node| {
            // Trusts that the arrays are there and as long as each other.
            let (least, step) = (node.array::<f32>("least")?, node.array::<f32>("step")?);
            assert!(least.iter().enumerate().all(|(d, x)| x + step[d] != f32::MIN_POSITIVE));
            read(node)
        });
    });
    assert_caught("read back", || check_codec(&spec, 6, Metric::L2, &|_| Ok(train(&spec, 7, Metric::L2))));
}

#[test]
fn faulty_scanners_are_caught() {
    for (fault, words) in [
        (Fault::IgnoresMask, "a filter that keeps"),
        (Fault::IgnoresRange, "entries"),
        (Fault::StopsAfter64, "list 6 of 65"),
        (Fault::RoundsDistances, "place 0"),
        (Fault::KeepsTheFirstQuery, "query 1"),
    ] {
        assert_caught(words, || check_scanner(train(&spec(true, fault), 6, Metric::L2)));
    }
}
