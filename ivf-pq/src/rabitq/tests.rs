//! Compares codes, estimates and scans with plain computations.

use super::code::{Code, Form, layout};
use super::{RaBitQCodec, RaBitQSpec};
use crate::tests::Noise;
use ivf_core::bytes::AlignedBytes;
use ivf_core::error::PartsError;
use ivf_core::lists::{ListRef, PlaneBytes, Segment, SegmentIds};
use ivf_core::mask::Mask;
use ivf_core::quantizer::Origin;
use ivf_core::registry::Token;
use ivf_core::scanner::ScanRange;
use ivf_core::{
    Binding, BoundCodec, Codec, Id, Ids, KnobValue, ListNo, Metric, Neighbor, Registry, Rows, Settings, Sink,
};
use std::sync::Arc;

const METRICS: [Metric; 2] = [Metric::L2, Metric::InnerProduct];

fn spec(bits: u32) -> RaBitQSpec {
    RaBitQSpec { bits, fast_scan: None }
}

fn codec(bits: u32, metric: Metric, mean: Vec<f32>) -> Arc<RaBitQCodec> {
    Arc::new(RaBitQCodec::from_parts(spec(bits), metric, mean).unwrap())
}

fn bound(codec: &Arc<RaBitQCodec>) -> Arc<dyn BoundCodec> {
    codec.clone().bind(&Binding::new(Arc::new(Origin { dim: codec.dim() }))).unwrap()
}

fn settings(values: &[(&str, f64)]) -> Settings {
    let mut settings = Settings::new();
    for &(name, value) in values {
        let value = if name == "qb" { KnobValue::Int(value as i64) } else { KnobValue::Float(value) };
        settings.set(name, value);
    }
    settings
}

fn exact(metric: Metric, query: &[f32], vector: &[f32]) -> f64 {
    let pairs = query.iter().zip(vector).map(|(&q, &x)| (f64::from(q), f64::from(x)));
    match metric {
        Metric::L2 => pairs.map(|(q, x)| (q - x).powi(2)).sum(),
        _ => pairs.map(|(q, x)| -q * x).sum(),
    }
}

#[test]
fn every_code_is_kept_in_every_slot() {
    for dim in [1, 3, 8, 15, 16, 17, 100] {
        for low in 0..=8 {
            let layout = layout(Form { dim, low });
            let size = layout.code_size();
            let code = |slot: usize| -> Vec<u8> { (0..size).map(|i| (slot * 37 + i * 91 + 5) as u8).collect() };
            let mut planes: Vec<AlignedBytes> =
                (0..layout.plane_count()).map(|p| AlignedBytes::zeroed(layout.plane_bytes(p, 64))).collect();
            for round in 0..2 {
                for slot in (0..64).map(|i| i * 29 % 64) {
                    let code = if round == 0 { vec![0xff; size] } else { code(slot) };
                    layout.put(&mut planes.iter_mut().map(|plane| &mut plane[..]).collect::<Vec<_>>(), slot, &code);
                }
            }
            let views: Vec<&[u8]> = planes.iter().map(|plane| &plane[..]).collect();
            let mut found = vec![0; size];
            for slot in 0..64 {
                layout.get(&views, slot, &mut found);
                assert_eq!(found, code(slot), "dimension {dim}, {low} low bits, slot {slot}");
            }
        }
    }
}

#[test]
fn more_bits_decode_to_nearer_vectors_in_the_same_direction() {
    let mut noise = Noise(3);
    for dim in [1, 7, 33, 128] {
        let mean: Vec<f32> = (0..dim).map(|_| noise.float() * 10.0).collect();
        let rows: Vec<f32> = (0..50 * dim).map(|i| noise.float() + mean[i % dim]).collect();
        for metric in METRICS {
            let mut last = f64::INFINITY;
            for bits in 1..=9 {
                let codec = codec(bits, metric, mean.clone());
                let size = codec.layout().code_size();
                let mut codes = vec![0; 50 * size];
                codec.encode(Rows::new(&rows, dim).unwrap(), &mut codes);
                let (mut error, mut vector) = (0.0, vec![0.0; dim]);
                for (row, code) in rows.chunks_exact(dim).zip(codes.chunks_exact(size)) {
                    codec.decode(code, &mut vector);
                    error += exact(Metric::L2, row, &vector);
                }
                assert!(
                    error < last * if dim > 7 { 0.5 } else { 1.0 } || error < 1e-6,
                    "{dim}, {bits}: {error}, {last}"
                );
                last = error;
            }
        }
    }
}

#[test]
fn estimates_are_unbiased_and_their_errors_are_as_small_as_the_paper_says() {
    const DIM: usize = 128;
    let mut noise = Noise(5);
    let mean: Vec<f32> = (0..DIM).map(|_| noise.float()).collect();
    let mut rows = || -> Vec<f32> { (0..100 * DIM).map(|i| noise.float() + mean[i % DIM]).collect() };
    let (rows, queries) = (rows(), rows());
    for metric in METRICS {
        for bits in 1..=7 {
            let codec = codec(bits, metric, mean.clone());
            let size = codec.layout().code_size();
            let mut codes = vec![0; 100 * size];
            codec.encode(Rows::new(&rows, DIM).unwrap(), &mut codes);
            let bound = bound(&codec);
            // Without a bound by the signs, which would raise some estimates.
            let mut scanner = bound.scanner(&settings(&[("epsilon", 1e6)]));
            let (mut sum, mut squares, mut lengths) = (0.0, 0.0, 0.0);
            for query in queries.chunks_exact(DIM) {
                scanner.set_query(query);
                scanner.set_list(ListNo(0), 0.0);
                for (row, code) in rows.chunks_exact(DIM).zip(codes.chunks_exact(size)) {
                    let error = f64::from(scanner.distance(code)) - exact(metric, query, row);
                    let scale = if metric == Metric::L2 { 2.0 } else { 1.0 };
                    let length = |x: &[f32]| exact(Metric::L2, x, &mean).sqrt();
                    sum += error;
                    squares += error * error;
                    lengths += (scale * length(query) * length(row)).powi(2);
                }
            }
            // The error of one product of unit vectors is about 0.6 / sqrt(dim) for the signs, and
            // half of it with each further bit.
            let error = (squares / lengths * DIM as f64).sqrt();
            let expected = 0.75 / f64::from(1 << (bits - 1));
            assert!(error < expected, "{metric}, {bits} bits: {error}, expected {expected}");
            let bias = sum.abs() / 1e4 / (squares / 1e4).sqrt();
            assert!(bias < 0.15, "{metric}, {bits} bits: a bias of {bias} standard errors");
        }
    }
}

/// Returns entries of lists with these codes.
fn entries<'a>(codec: &'a RaBitQCodec, planes: &'a [AlignedBytes], len: usize) -> ListRef<'a> {
    let planes = planes.iter().map(|plane| PlaneBytes::Borrowed(plane)).collect();
    let ids = SegmentIds::Borrowed(Ids::Run { first: Id(5), len });
    ListRef::new([Segment::new(codec.layout(), ids, planes).unwrap()])
}

#[test]
fn scans_find_what_each_distance_says_in_any_order() {
    let mut noise = Noise(7);
    for (dim, len) in [(1, 5), (12, 64), (33, 65), (100, 700), (1100, 130)] {
        for metric in METRICS {
            for bits in [1, 2, 4, 9] {
                let mean: Vec<f32> = (0..dim).map(|_| noise.float()).collect();
                let codec = codec(bits, metric, mean);
                let (layout, size) = (codec.layout(), codec.layout().code_size());
                // Vectors, and arbitrary bytes.
                let rows: Vec<f32> = (0..len * dim).map(|_| noise.float()).collect();
                let mut codes = vec![0; len * size];
                codec.encode(Rows::new(&rows, dim).unwrap(), &mut codes);
                codes.chunks_exact_mut(size).skip(3).step_by(17).flatten().for_each(|byte| *byte = noise.next() as u8);
                let mut planes: Vec<AlignedBytes> =
                    (0..layout.plane_count()).map(|p| AlignedBytes::zeroed(layout.plane_bytes(p, len))).collect();
                layout.pack(&mut planes.iter_mut().map(|plane| &mut plane[..]).collect::<Vec<_>>(), 0, &codes);
                let entries = entries(&codec, &planes, len);
                let mask = Mask::from_fn(len, |slot| slot % 7 != 3);
                let bound = bound(&codec);
                for settings in [settings(&[]), settings(&[("qb", 4.0), ("epsilon", 0.5)])] {
                    let mut scanner = bound.scanner(&settings);
                    let query: Vec<f32> = (0..dim).map(|_| noise.float()).collect();
                    scanner.set_query(&query);
                    scanner.set_list(ListNo(0), 0.0);
                    for (range, mask) in [(0..len, None), (0..len, Some(&mask)), (len / 3..len - 1, None)] {
                        let scan_range = ScanRange::of_list(ListNo(0), &entries, layout, range).next().unwrap();
                        let scan_range = scan_range.masked(mask);
                        for k in [1, 10, 1000] {
                            let mut expected = Sink::top_k(k);
                            for slot in scan_range.slots() {
                                let distance = scanner.distance(&codes[slot * size..][..size]);
                                expected.push(scan_range.neighbor(slot, distance));
                            }
                            let expected: Vec<Neighbor> = expected.into_sorted();
                            let mut found = Sink::top_k(k);
                            scanner.scan(&scan_range, &mut found);
                            // In the second scan, the sink has its threshold from the first code
                            // on.
                            let mut again = found.fork();
                            scanner.scan(&scan_range, &mut again);
                            for found in [found, again] {
                                let found = found.into_sorted();
                                assert_eq!(found, expected, "{dim}, {len}, {metric}, {bits} bits, {k}");
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn zeros_constants_and_extremes_have_finite_codes() {
    for metric in METRICS {
        for bits in [1, 3, 9] {
            for value in [0.0, 1.0, f32::MIN_POSITIVE / 4.0, 1e19, f32::MAX] {
                let codec = codec(bits, metric, vec![0.0; 20]);
                let rows: Vec<f32> = (0..40).map(|i| if i < 20 { value } else { [value, -value][i % 2] }).collect();
                let size = codec.layout().code_size();
                let mut codes = vec![0; 2 * size];
                codec.encode(Rows::new(&rows, 20).unwrap(), &mut codes);
                for (row, code) in rows.chunks_exact(20).zip(codes.chunks_exact(size)) {
                    let parts = Code(codec.form(), code);
                    assert!((0..codec.form().factors()).all(|i| parts.factor(i).is_finite()), "{value}");
                    let mut vector = [0.0; 20];
                    codec.decode(code, &mut vector);
                    assert!(vector.iter().all(|x| x.is_finite()), "{metric}, {bits} bits, {value}: {vector:?}");
                    if value < 1e18 {
                        // All coordinates have the same size, so the code is exact.
                        let off = row.iter().zip(vector).all(|(x, y)| (x - y).abs() <= 1e-5 * value);
                        assert!(off, "{metric}, {bits} bits, {value}: {vector:?}");
                        let bound = bound(&codec);
                        let mut scanner = bound.scanner(&Settings::new());
                        scanner.set_query(row);
                        scanner.set_list(ListNo(0), 0.0);
                        assert!(!scanner.distance(code).is_nan(), "{metric}, {bits} bits, {value}");
                    }
                }
            }
        }
    }
}

#[test]
fn tokens_are_parsed_and_faults_have_spans() {
    let registry = Registry::new();
    let parse =
        |text| (super::ROW.parse)(&Token::new(text).unwrap(), &registry).map(|spec| spec.map(|s| s.to_string()));
    for (text, canonical) in [
        ("RaBitQ", "RaBitQ"),
        ("RaBitQ1", "RaBitQ"),
        ("RaBitQ9", "RaBitQ9"),
        ("RaBitQfs", "RaBitQfs"),
        ("RaBitQfs1_32", "RaBitQfs"),
        ("RaBitQfs4_128", "RaBitQfs4_128"),
    ] {
        assert_eq!(parse(text), Some(Ok(canonical.to_owned())), "{text}");
    }
    for (text, span) in [
        ("RaBitQ0", 6..7),
        ("RaBitQ10", 6..8),
        ("RaBitQ4_32", 6..10),
        ("RaBitQfsx", 8..9),
        ("RaBitQfs4_33", 9..12),
        ("RaBitQfs_", 8..9),
    ] {
        assert_eq!(parse(text).unwrap().unwrap_err().span, span, "{text}");
    }
    assert!(parse("RaBit").is_none());
}

#[test]
fn a_codec_is_read_as_it_was_exported_and_faults_are_errors() {
    let read = |node: &ivf_core::Node<'_>| RaBitQCodec::read(&node.to_stored());
    for mean in [vec![0.0; 3], vec![1.0, -2.0, 0.5]] {
        for spec in [spec(1), RaBitQSpec { bits: 4, fast_scan: Some(64) }] {
            let codec = RaBitQCodec::from_parts(spec, Metric::L2, mean.clone()).unwrap();
            let node = codec.export();
            let found = read(&node).unwrap();
            assert!(found.export().same(&node));
            assert_eq!((found.spec().to_string(), found.mean()), (spec.to_string(), &mean[..]));
        }
    }
    let codec = codec(2, Metric::L2, vec![1.0, 2.0]);
    for (name, value) in [("bits", 0_u64), ("bits", 10), ("bits", 1 << 40), ("dim", 3), ("fast_scan_block", 5)] {
        let mut node = codec.export();
        node.fields.set(name, value);
        assert!(read(&node).unwrap_err().to_string().starts_with("rabitq: "), "{name} {value}");
    }
    let mut node = codec.export();
    node.fields.set("metric", Metric::L1);
    assert!(read(&node).is_err());
    for mean in [vec![], vec![f32::NAN]] {
        let error = RaBitQCodec::from_parts(spec(1), Metric::L2, mean).unwrap_err();
        assert!(matches!(error, PartsError::Mismatch(_)), "{error}");
    }
}
