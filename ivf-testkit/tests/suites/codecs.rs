//! Tests of the codec and scanner suites: a tiny codec passes, and its faulty variants are caught.

use crate::assert_caught;
use crate::scalar::{Fault, ScalarSpec, read};
use ivf_core::{CodecSpec, Metric, Residuals};
use ivf_testkit::codecs::{check_codec, train};
use ivf_testkit::scanners::{check_distances, check_scanner};
use std::sync::Arc;

const OPTIONAL: Residuals = Residuals::Optional { default: true };

fn spec(residuals: Residuals, fault: Fault) -> Arc<dyn CodecSpec> {
    Arc::new(ScalarSpec { residuals, fault })
}

#[test]
fn the_tiny_codec_passes() {
    for (residuals, dim, metric) in [
        (Residuals::Never, 1, Metric::L2),
        (OPTIONAL, 7, Metric::L2),
        (Residuals::Always, 16, Metric::InnerProduct),
        (Residuals::Never, 5, Metric::Cosine),
    ] {
        let spec = spec(residuals, Fault::None);
        check_codec(&spec, dim, metric, &read);
        check_scanner(train(&spec, dim, metric));
        check_distances(train(&spec, dim, metric));
    }
}

#[test]
fn unusual_scanners_pass() {
    for fault in [Fault::NeedsProbes, Fault::SaysBounded, Fault::SaysEstimate] {
        let codec = train(&spec(OPTIONAL, fault), 6, Metric::L2);
        check_scanner(codec.clone());
        check_distances(codec);
    }
}

#[test]
fn faulty_codecs_are_caught() {
    for (fault, words) in [
        (Fault::EncodesByPlaceInBatch, "cut of the batch"),
        (Fault::AddsToTheOutput, "what the output held before"),
        (Fault::TrainsAnew, "trained on"),
        (Fault::DecodesToInfinity, "decodes to"),
        (Fault::ForgetsResiduals, "codes of residuals: bound, it gives codes of other vectors"),
        (Fault::SaysLongerCodes, "size of a code, told and laid out"),
        (Fault::SaysNoTrainingMemory, "training that takes no memory"),
        (Fault::SaysNoMemory, "which take no memory"),
        (Fault::IgnoresCancel, "a cancelled training gives Ok"),
        (Fault::NamesNoCodec, "tags of the codec and its layout"),
        (Fault::DependsOnThreads, "bound on 4 threads, its scanners give other distances"),
    ] {
        assert_caught(words, || check_codec(&spec(OPTIONAL, fault), 6, Metric::L2, &read));
    }
    let careless = spec(Residuals::Never, Fault::BindsToAnything);
    assert_caught("binding with by_residual true gives Ok", || check_codec(&careless, 6, Metric::L2, &read));
}

#[test]
fn faulty_readers_are_caught() {
    let spec = spec(Residuals::Never, Fault::None);
    assert_caught("panicked", || {
        check_codec(&spec, 6, Metric::L2, &|node| {
            // Trusts that both arrays exist and have the same length.
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
        assert_caught(words, || check_scanner(train(&spec(OPTIONAL, fault), 6, Metric::L2)));
    }
}

#[test]
fn distances_less_exact_than_told_are_caught() {
    for (fault, words) in [
        (Fault::BoundsTooTightly, "with a bound of 0.0001"),
        (Fault::EstimatesNothing, "estimated distances are off by"),
    ] {
        assert_caught(words, || check_distances(train(&spec(OPTIONAL, fault), 6, Metric::L2)));
    }
}
