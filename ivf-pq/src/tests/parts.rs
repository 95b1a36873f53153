//! Codecs from components that do not fit together, given by a caller or read from a file.

use super::Noise;
use crate::{CODECS, PqCodec, ProductQuantizer, equal_parts};
use ivf_core::error::PartsError;
use ivf_core::node::{NamedArray, StoredFields};
use ivf_core::registry::{Decoded, Token};
use ivf_core::{Codec, Metric, Node, Registry, StoredNode};
use std::sync::Arc;

const CENTROIDS: usize = 256;

fn read(node: &StoredNode) -> Decoded<Arc<dyn Codec>> {
    Registry::new().with_codecs(CODECS).read_codec(node)
}

fn node(ends: &[u32], codebooks: usize, mean: usize, metric: Metric) -> StoredNode {
    let mut node = Node::new("pq", 0).with("metric", metric);
    node.push(NamedArray::owned("ends", &[ends.len() as u64], ends.to_vec()));
    node.push(NamedArray::owned("codebooks", &[codebooks as u64], vec![0.5_f32; codebooks]));
    node.push(NamedArray::owned("mean", &[mean as u64], vec![0.25_f32; mean]));
    node.to_stored()
}

#[test]
fn a_codec_is_read_as_it_was_exported_in_both_versions_of_the_fields() {
    let mut noise = Noise(3);
    for (metric, number) in [(Metric::L2, 0_u32), (Metric::InnerProduct, 1)] {
        let subquantizers = vec![0..1, 1..4];
        let books =
            subquantizers.iter().map(|part| (0..CENTROIDS * part.len()).map(|_| noise.float()).collect()).collect();
        let mean = Some((0..4).map(|_| noise.float()).collect());
        let codec = PqCodec::new(ProductQuantizer::new(subquantizers, books, mean).unwrap(), metric);
        let mut stored = codec.export().to_stored();
        assert!(read(&stored).unwrap().export().same(&codec.export()));
        stored.fields = StoredFields::Version1(number.to_le_bytes().to_vec());
        assert!(read(&stored).unwrap().export().same(&codec.export()));
    }
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    assert!(read(&node(&[1, 3], 3 * CENTROIDS, 3, Metric::L2)).is_ok());
    let most = u32::MAX;
    for (ends, codebooks, mean, metric) in [
        (&[][..], 0, 0, Metric::L2),
        (&[0], 0, 0, Metric::L2),
        (&[2, 1], 2 * CENTROIDS, 0, Metric::L2),
        (&[1, 1], CENTROIDS, 0, Metric::L2),
        (&[1, 3], 3 * CENTROIDS - 1, 0, Metric::L2),
        (&[1, 3], 3 * CENTROIDS + 1, 0, Metric::L2),
        (&[1, most], 3 * CENTROIDS, 0, Metric::L2),
        (&[1, 3], 3 * CENTROIDS, 2, Metric::L2),
        (&[1, 3], 3 * CENTROIDS, 0, Metric::Cosine),
    ] {
        let error = read(&node(ends, codebooks, mean, metric)).unwrap_err();
        assert!(error.to_string().starts_with("pq: "), "{error}");
    }
    let quantizer = ProductQuantizer::new(equal_parts(2, 1), vec![vec![0.0; 512]], None).unwrap();
    let error = PqCodec::from_parts(quantizer, Metric::L1).unwrap_err();
    assert!(matches!(error, PartsError::Build(_)), "{error}");
    let large = (1 << 20) + 1;
    for (subquantizers, books) in [
        (vec![0..2, 3..4], vec![vec![0.0; 512], vec![0.0; 256]]),
        (equal_parts(2, 1), vec![]),
        (equal_parts(2, 1), vec![vec![0.0; 511]]),
        (equal_parts(2, 1), vec![vec![f32::NAN; 512]]),
        (equal_parts(large, 1), vec![vec![]]),
    ] {
        assert!(matches!(ProductQuantizer::new(subquantizers, books, None), Err(PartsError::Mismatch(_))));
    }
}

#[test]
fn tokens_are_parsed_and_faults_have_spans() {
    let registry = Registry::new().with_codecs(CODECS);
    let parse = |text| registry.parse_codec(&Token::new(text).unwrap()).map(|spec| spec.map(|s| s.to_string()));
    assert_eq!(parse("PQ16"), Some(Ok("PQ16".to_owned())));
    for (text, canonical) in [
        ("PQ16x8np", "PQ16"),
        ("PQ16np", "PQ16"),
        ("PQ16x04", "PQ16x4"),
        ("PQ3x12np", "PQ3x12"),
        ("PQ8x4fs", "PQ8x4fs"),
        ("PQ8x4fs_32", "PQ8x4fs"),
        ("PQ8x4fsr_96", "PQ8x4fsr_96"),
    ] {
        assert_eq!(parse(text), Some(Ok(canonical.to_owned())), "{text}");
    }
    assert!(parse("Flat").is_none() && parse("PQ16(Flat)").is_none());
    assert_eq!(parse("PQ").unwrap().unwrap_err().span, 0..2);
    assert_eq!(parse("PQ0").unwrap().unwrap_err().span, 2..3);
    for (text, span) in [
        ("PQ8x", 3..4),
        ("PQ8y4", 3..5),
        ("PQ8x0", 4..5),
        ("PQ8x17", 4..6),
        ("PQ8x4f", 5..6),
        ("PQ8x4npfs", 5..9),
        ("PQ8x5fs", 4..5),
        ("PQ8x4fs_", 7..8),
        ("PQ8x4fs_33", 7..10),
        ("PQ8x4fsr32", 8..10),
        ("PQ8x4fs_99999999999999999999", 7..28),
    ] {
        assert_eq!(parse(text).unwrap().unwrap_err().span, span, "{text}");
    }
}
