//! Compares codes, decoded vectors and scans with their definitions in double precision.

use super::bound::BoundSq;
use super::numbers::{Bits, Halves, Numbers};
use super::scan::SqScanner;
use super::{ROWS, SqCodec, SqSpec};
use half::{bf16, f16};
use ivf_core::error::{BindError, DecodeError, TrainError};
use ivf_core::node::NamedArray;
use ivf_core::registry::Token;
use ivf_core::scanner::{ScanQuery, ScanRange};
use ivf_core::{
    ArrayLists, Binding, BoundCodec, Cancel, Centroids, Codec, CodecContext, CodecSpec, CodecTraining, Id,
    InvertedListScanner, InvertedLists, InvertedListsMut, ListNo, Metric, Node, Registry, Rows, Settings, Sink,
    TrainOptions,
};
use ivf_cpu::kernels::{Distance, InnerProduct, L1, L2};
use ivf_cpu::simd::Level;
use std::sync::Arc;

const DIMS: [usize; 6] = [1, 3, 5, 31, 33, 100];

const KINDS: [SqSpec; 7] = [
    SqSpec::SQ4,
    SqSpec::SQ6,
    SqSpec::SQ8,
    SqSpec::SQ8_DIRECT,
    SqSpec::SQ8_DIRECT_SIGNED,
    SqSpec::SQ_FP16,
    SqSpec::SQ_BF16,
];

/// Centroids of two lists: the values of `of_list` in every dimension.
#[derive(Debug)]
struct Two {
    dim: usize,
    of_list: [f32; 2],
}

impl Centroids for Two {
    fn dim(&self) -> usize {
        self.dim
    }
    fn nlist(&self) -> usize {
        2
    }
    fn centroid(&self, list: ListNo, out: &mut [f32]) {
        out.fill(self.of_list[list.index()]);
    }
}

/// Returns numbers from -2 to 3 that repeat after long.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 * 5.0 - 2.0
    };
    (0..count).map(next).collect()
}

fn trained(spec: SqSpec, rows: Rows<'_, f32>, metric: Metric) -> Arc<SqCodec> {
    let options = TrainOptions::new();
    let node = spec.train(&CodecTraining::new(rows, metric, &options)).unwrap().0.export().to_stored();
    let read = SqCodec::read(&node, spec.kind).unwrap();
    assert_eq!(*read.spec().to_string(), spec.to_string());
    Arc::new(read)
}

fn encoded(codec: &dyn Codec, rows: Rows<'_, f32>) -> Vec<u8> {
    let mut codes = vec![0xaa; rows.len() * codec.layout().code_size()];
    codec.encode(rows, &mut codes);
    codes
}

#[test]
fn codes_have_the_bits_of_faiss_and_decode_to_the_middles_of_their_steps() {
    for (spec, bits) in [(SqSpec::SQ4, 4), (SqSpec::SQ6, 6), (SqSpec::SQ8, 8)] {
        for (dim, spec) in DIMS.iter().flat_map(|&dim| [(dim, spec), (dim, spec.uniform())]) {
            let data = numbers(dim * 200, 7);
            let codec = trained(spec, Rows::new(&data, dim).unwrap(), Metric::L2);
            let beyond = numbers(dim * 50, 9).iter().map(|x| x * 1.3).collect::<Vec<f32>>();
            let codes = encoded(&*codec, Rows::new(&beyond, dim).unwrap());
            let (min, width) = codec.ranges().unwrap();
            assert_eq!(
                (min.len(), codec.spec.is_uniform()),
                (if spec.is_uniform() { 1 } else { dim }, spec.is_uniform())
            );
            let most = f64::from((1 << bits) - 1);
            let size = (dim * bits).div_ceil(8);
            for (row, code) in beyond.chunks_exact(dim).zip(codes.chunks_exact(size)) {
                let mut expected = vec![0; size];
                let mut decoded = vec![f32::NAN; dim];
                codec.decode(code, &mut decoded);
                for (d, &x) in row.iter().enumerate() {
                    let (min, width) = (min[d % min.len()], width[d % width.len()]);
                    // In single precision, as Faiss does it.
                    let number = (((x - min) / width).clamp(0.0, 1.0) * most as f32) as u32;
                    (0..bits).for_each(|bit| {
                        expected[(d * bits + bit) / 8] |= ((number >> bit & 1) as u8) << ((d * bits + bit) % 8)
                    });
                    let value = f64::from(min) + (f64::from(number) + 0.5) / most * f64::from(width);
                    assert!((f64::from(decoded[d]) - value).abs() < 2e-6, "{spec}, {dim}: {} for {value}", decoded[d]);
                }
                assert_eq!(code, expected, "{spec}, {dim} dimensions");
            }
        }
    }
}

#[test]
fn numbers_of_fixed_ranges_are_cut_and_rounded_as_documented() {
    let of = |spec, x: f32| {
        let codec = SqCodec::without_ranges(spec, 1, Metric::L2).unwrap();
        let (code, mut decoded) = (encoded(&codec, Rows::new(&[x], 1).unwrap()), [0.0]);
        codec.decode(&code, &mut decoded);
        (code, decoded[0])
    };
    for (x, code, decoded) in [(0.0, 0, 0.0), (7.9, 7, 7.0), (255.0, 255, 255.0), (1e30, 255, 255.0), (-3.0, 0, 0.0)] {
        assert_eq!(of(SqSpec::SQ8_DIRECT, x), (vec![code], decoded), "{x}");
    }
    for (x, code, decoded) in
        [(0.0, 128, 0.0), (-128.0, 0, -128.0), (-0.5, 127, -1.0), (127.9, 255, 127.0), (-1e30, 0, -128.0)]
    {
        assert_eq!(of(SqSpec::SQ8_DIRECT_SIGNED, x), (vec![code], decoded), "{x}");
    }
    for x in [0.0, 1.0, -0.37, 65504.0, 65519.0, 1e30, f32::MAX, f32::MIN, 1e-7, 1e-45] {
        let half = f16::from_f32(x.clamp(-65504.0, 65504.0));
        assert_eq!(of(SqSpec::SQ_FP16, x), (half.to_le_bytes().to_vec(), half.to_f32()), "{x}");
        let half = bf16::from_f32(x.clamp(bf16::MIN.to_f32(), bf16::MAX.to_f32()));
        assert_eq!(of(SqSpec::SQ_BF16, x), (half.to_le_bytes().to_vec(), half.to_f32()), "{x}");
        assert!(half.to_f32().is_finite());
    }
}

/// Checks scans of lists of several lengths, at one level, against `distance`, and that against the
/// definition in double precision.
fn check_scans<D: Distance, N: Numbers>(
    spec: SqSpec,
    (metric, distance): (Metric, D),
    numbers_of: N,
    definition: fn(f64, f64) -> f64,
) {
    for dim in DIMS {
        let data = numbers(dim * 33, 3).iter().map(|x| x * 40.0).collect::<Vec<f32>>();
        let rows = Rows::new(&data, dim).unwrap();
        let codec = trained(spec, rows, metric);
        let query_rows = numbers(dim * 11, 5).iter().map(|x| x * 40.0).collect::<Vec<f32>>();
        let queries: Vec<&[f32]> = query_rows.chunks_exact(dim).collect();
        for (by_residual, table_memory) in [(false, 0), (true, 0), (true, 1 << 20)] {
            let centroids = Arc::new(Two { dim, of_list: [0.0, 12.25] });
            let to = Binding::new(centroids).by_residual(by_residual).table_memory(table_memory);
            let bound = BoundSq::new(codec.clone(), &to).unwrap();
            assert_eq!(bound.memory() > codec.memory(), table_memory > 0);
            for (len, list) in [0, 1, 31, 32, 33].iter().flat_map(|len| [(*len, ListNo(0)), (*len, ListNo(1))]) {
                let mut codes = vec![0; len * codec.layout().code_size()];
                bound.encode(rows.slice(0..len), &vec![list; len], &mut codes);
                let mut lists = ArrayLists::new(2, codec.layout().clone());
                lists.replace(list, &(0..len as i64).map(Id).collect::<Vec<_>>(), &codes).unwrap();
                let entries = lists.list(list).unwrap();
                let mut scanner = bound.scanner(&Settings::new());
                let mut decoded = vec![0.0; dim];
                let mut sums = |query: &[f32]| -> Vec<f32> {
                    scanner.set_query(query);
                    scanner.set_list(list, 0.0);
                    let sums = codes.chunks_exact(codec.layout().code_size()).map(|code| {
                        bound.decode(list, code, &mut decoded);
                        let pairs = query.iter().zip(&decoded).map(|(q, x)| (f64::from(*q), f64::from(*x)));
                        let (sum, size) = pairs.fold((0.0, 1.0), |(sum, size), (q, x)| {
                            (sum + definition(q, x), size + (q.abs() + x.abs()).powi(2))
                        });
                        let found = scanner.distance(code);
                        let off = (f64::from(found) - sum).abs();
                        assert!(off < 1e-6 * dim as f64 * size, "{spec}, {metric}, {dim}: {found} for {sum}");
                        found
                    });
                    sums.collect()
                };
                let expected: Vec<Vec<f32>> = queries.iter().map(|query| sums(query)).collect();
                for level in Level::available() {
                    let mut scanner = SqScanner::new(&bound, distance, numbers_of).at_level(level);
                    // One query after the other, and batches of several sizes.
                    for count in [1, 2, queries.len()] {
                        let all = Rows::new(&query_rows[..count * dim], dim).unwrap();
                        scanner.set_queries(all, &vec![&[][..]; count]);
                        let mut sinks = vec![Sink::top_k(100); count];
                        for range in ScanRange::of_list(list, &entries, lists.layout(), 0..len) {
                            let query = |(number, sink)| ScanQuery {
                                number,
                                query: queries[number],
                                probes: &[],
                                coarse_distance: 0.0,
                                limit: len - number.min(len),
                                mask: None,
                                sink,
                            };
                            scanner
                                .scan_batch(&range, &mut sinks.iter_mut().enumerate().map(query).collect::<Vec<_>>());
                        }
                        for (q, sink) in sinks.into_iter().enumerate() {
                            let mut found: Vec<(i64, u32)> =
                                sink.into_sorted().iter().map(|near| (near.id.0, near.distance.to_bits())).collect();
                            found.sort_unstable();
                            let expected = expected[q].iter().enumerate().map(|(i, x)| (i as i64, x.to_bits()));
                            let expected: Vec<_> = expected.take(len - q.min(len)).collect();
                            assert_eq!(found, expected, "{spec}, {metric}, {dim} dimensions, {len} codes, {level}");
                        }
                    }
                    let mut sink = Sink::top_k(100);
                    scanner.set_query(queries[0]);
                    scanner.set_list(list, 0.0);
                    let mut given = vec![f32::NAN; len];
                    scanner.distances(&codes, &mut given);
                    assert!(given.iter().zip(&expected[0]).all(|(a, b)| a.to_bits() == b.to_bits()), "{spec}, {level}");
                    ScanRange::of_list(list, &entries, lists.layout(), 0..len)
                        .for_each(|range| scanner.scan(&range, &mut sink));
                    let mut found: Vec<f32> = sink.into_sorted().iter().map(|near| near.distance).collect();
                    let mut expected = expected[0].clone();
                    found.sort_by(f32::total_cmp);
                    expected.sort_by(f32::total_cmp);
                    assert_eq!(found, expected, "{spec}, {metric}, {dim} dimensions, {len} codes, {level}, alone");
                }
            }
        }
    }
}

#[test]
fn scans_of_all_levels_equal_the_definition() {
    fn each<N: Numbers>(spec: SqSpec, numbers: N) {
        check_scans(spec, (Metric::L2, L2), numbers, |q, x| (q - x) * (q - x));
        check_scans(spec, (Metric::InnerProduct, InnerProduct), numbers, |q, x| -q * x);
    }
    each(SqSpec::SQ4, Bits::<4>);
    each(SqSpec::SQ6, Bits::<6>);
    each(SqSpec::SQ8, Bits::<8>);
    each(SqSpec::SQ6.uniform(), Bits::<6>);
    each(SqSpec::SQ8_DIRECT, Bits::<8>);
    each(SqSpec::SQ8_DIRECT_SIGNED, Bits::<8>);
    each(SqSpec::SQ_FP16, Halves::<f16>::NEW);
    each(SqSpec::SQ_BF16, Halves::<bf16>::NEW);
    check_scans(SqSpec::SQ8_DIRECT, (Metric::L1, L1), Bits::<8>, |q, x| (q - x).abs());
    check_scans(SqSpec::SQ_FP16, (Metric::L1, L1), Halves::<f16>::NEW, |q, x| (q - x).abs());
}

/// Returns a query of a batch that scans `limit` codes.
fn of_batch<'a>(queries: &[&'a [f32]], limit: usize, (number, sink): (usize, &'a mut Sink)) -> ScanQuery<'a> {
    ScanQuery { number, query: queries[number], probes: &[], coarse_distance: 0.0, limit, mask: None, sink }
}

/// Compares the results of scans, alone and in batches, with the distance of every code.
fn check_first_pass<D: Distance, N: Numbers>(spec: SqSpec, (metric, distance): (Metric, D), numbers_of: N) {
    let (dim, len) = (37, 300);
    let data = numbers(dim * len, 11);
    let rows = Rows::new(&data, dim).unwrap();
    let mut flat = data.clone();
    // Dimensions without a range, and of very different ones.
    for row in flat.chunks_exact_mut(dim) {
        (row[3], row[4], row[5]) = (2.5, row[4] * 1e6, row[5] * 1e-6);
    }
    for rows in [rows, Rows::new(&flat, dim).unwrap()] {
        let codec = trained(spec, rows, metric);
        assert!(codec.byte_scale().is_some());
        let to = Binding::new(Arc::new(Two { dim, of_list: [3.0, -70.0] })).by_residual(true);
        let bound = BoundSq::new(codec.clone(), &to).unwrap();
        let codes = encoded(&*codec, rows);
        let mut lists = ArrayLists::new(2, codec.layout().clone());
        lists.replace(ListNo(1), &(0..len as i64).map(Id).collect::<Vec<_>>(), &codes).unwrap();
        let entries = lists.list(ListNo(1)).unwrap();
        for (scale, seed) in
            [0.0, 1e-45, 1e-30, 1e-12, 1.0, 1e6, 1e20, 1e37, f32::MAX].iter().flat_map(|x| [(*x, 1), (*x, 2)])
        {
            // Some queries near the vectors of the list, which are compared with close limits.
            let near = |(i, x): (usize, &f32)| if i < 2 * dim { *x * 0.3 - 70.0 } else { *x * scale };
            let queries: Vec<f32> =
                numbers(9 * dim, seed).iter().enumerate().map(near).map(|x| x.clamp(f32::MIN, f32::MAX)).collect();
            let queries: Vec<&[f32]> = queries.chunks_exact(dim).collect();
            for (level, k) in Level::available().into_iter().flat_map(|level| [1, 3, 40].map(|k| (level, k))) {
                let mut scanner = SqScanner::new(&bound, distance, numbers_of).at_level(level);
                let bits = |sink: Sink| -> Vec<(Id, u32)> {
                    sink.into_sorted().iter().map(|near| (near.id, near.distance.to_bits())).collect()
                };
                let range = || ScanRange::of_list(ListNo(1), &entries, lists.layout(), 0..len);
                let mut expected = Vec::new();
                for query in &queries {
                    scanner.set_query(query);
                    scanner.set_list(ListNo(1), 0.0);
                    let (mut found, mut all) = (Sink::top_k(k), Sink::top_k(k));
                    for range in range() {
                        scanner.scan(&range, &mut found);
                        for (slot, code) in codes.chunks_exact(codec.layout().code_size()).enumerate() {
                            all.push(range.neighbor(slot, scanner.distance(code)));
                        }
                    }
                    expected.push(bits(all));
                    assert_eq!(
                        bits(found),
                        expected[expected.len() - 1],
                        "{spec}, a query of {scale}, k = {k}, {level}"
                    );
                }
                scanner.set_queries(Rows::new(&queries.concat(), dim).unwrap(), &vec![&[][..]; queries.len()]);
                let mut sinks = vec![Sink::top_k(k); queries.len()];
                // Not all queries take part, and their order is another one.
                let mut batch: Vec<ScanQuery<'_>> =
                    sinks.iter_mut().enumerate().skip(1).map(|one| of_batch(&queries, len, one)).collect();
                batch.reverse();
                range().for_each(|range| scanner.scan_batch(&range, &mut batch));
                for (q, sink) in sinks.into_iter().enumerate().skip(1) {
                    assert_eq!(bits(sink), expected[q], "{spec}, query {q} of a batch, {scale}, k = {k}, {level}");
                }
                // With limits from the start, so that the first pass sees all blocks together.
                let radius = |q: usize| expected[q].last().map_or(f32::MAX, |(_, bits)| f32::from_bits(*bits));
                let within = |q: usize| match radius(q) {
                    radius if radius < f32::MAX => Sink::top_k_within(k, radius.next_up()),
                    _ => Sink::top_k(k),
                };
                let mut sinks: Vec<Sink> = (0..queries.len()).map(within).collect();
                let mut batch: Vec<ScanQuery<'_>> =
                    sinks.iter_mut().enumerate().map(|one| of_batch(&queries, len, one)).collect();
                range().for_each(|range| scanner.scan_batch(&range, &mut batch));
                for (q, sink) in sinks.into_iter().enumerate() {
                    assert_eq!(bits(sink), expected[q], "{spec}, query {q} within {}, k = {k}, {level}", radius(q));
                }
            }
        }
    }
}

#[test]
fn a_first_pass_loses_no_code_that_is_near_enough() {
    for (eight, four) in [(SqSpec::SQ8, SqSpec::SQ4), (SqSpec::SQ8.uniform(), SqSpec::SQ4.uniform())] {
        check_first_pass(eight, (Metric::InnerProduct, InnerProduct), Bits::<8>);
        check_first_pass(eight, (Metric::L2, L2), Bits::<8>);
        check_first_pass(four, (Metric::InnerProduct, InnerProduct), Bits::<4>);
        check_first_pass(four, (Metric::L2, L2), Bits::<4>);
    }
}

#[test]
fn every_vector_of_the_whole_range_decodes_to_a_finite_one() {
    let values = [f32::MAX, f32::MIN, 0.9 * f32::MAX, f32::MIN_POSITIVE, 1e-45, -3e-45, 0.0, 1.0, -65504.0, 1e30, 7.0];
    let pairs: Vec<f32> = values.iter().flat_map(|x| [*x; 2]).collect();
    for spec in KINDS.iter().flat_map(|spec| [*spec, spec.uniform()]) {
        for (a, b) in values.iter().flat_map(|a| values.iter().map(move |b| (*a, *b))) {
            let codec = trained(spec, Rows::new(&[a, b, b, a], 2).unwrap(), Metric::L2);
            let codes = encoded(&*codec, Rows::new(&pairs, 2).unwrap());
            let size = codec.layout().code_size();
            let mut decoded = [0.0; 2];
            for code in codes.chunks_exact(size) {
                codec.decode(code, &mut decoded);
                assert!(decoded.iter().all(|x| x.is_finite()), "{spec}, {a}, {b}: {decoded:?}");
            }
            if a == b && spec.learns() {
                let tolerance = f32::EPSILON * a.abs();
                assert!((decoded[0] - a).abs() <= tolerance, "{spec}: {} for the constant {a}", decoded[0]);
            }
            // Whatever a code of whole numbers holds, and wherever its list is.
            if spec.kind.numbers.limits().0 == 0.0 {
                for centroid in values {
                    let centroids = Arc::new(Two { dim: 2, of_list: [centroid; 2] });
                    let bound = BoundSq::new(codec.clone(), &Binding::new(centroids).by_residual(true)).unwrap();
                    let mut bases = [0.0; 2];
                    bound.bases_of(ListNo(1), &mut bases);
                    let most = spec.kind.numbers.limits().1;
                    let ends = bases.iter().zip(codec.scale().steps()).map(|(base, step)| step.mul_add(most, *base));
                    assert!(ends.chain(bases).all(f32::is_finite), "{spec}, {a}, {b} around {centroid}");
                }
            }
        }
    }
}

#[test]
fn hostile_nodes_are_typed_errors() {
    let registry = Registry::new().with_codecs(&ROWS);
    let node = |tag: &str, dim: u64, metric: Metric, uniform: bool, min: &[f32], width: &[f32]| {
        let mut node = Node::new(tag, 0).with("dim", dim).with("metric", metric).with("uniform", uniform);
        node.push(NamedArray::owned("min", &[min.len() as u64], min.to_vec()));
        node.push(NamedArray::owned("width", &[width.len() as u64], width.to_vec()));
        registry.read_codec(&node.to_stored())
    };
    let (nan, infinite) = (f32::NAN, f32::INFINITY);
    assert!(node("sq8", 2, Metric::L2, false, &[0.0, 1.0], &[1.0, 0.0]).is_ok());
    assert!(node("sq8", 2, Metric::L2, true, &[0.0], &[1.0]).is_ok());
    for (dim, metric, uniform, min, width) in [
        (0, Metric::L2, false, &[][..], &[][..]),
        (u64::MAX, Metric::L2, true, &[0.0], &[1.0]),
        (2, Metric::Cosine, true, &[0.0], &[1.0]),
        (2, Metric::L1, true, &[0.0], &[1.0]),
        (2, Metric::L2, false, &[0.0], &[1.0]),
        (2, Metric::L2, false, &[0.0, 0.0], &[1.0]),
        (2, Metric::L2, false, &[0.0, 0.0, 0.0], &[1.0, 1.0, 1.0]),
        (2, Metric::L2, true, &[0.0, 0.0], &[1.0, 1.0]),
        (2, Metric::L2, true, &[nan], &[1.0]),
        (2, Metric::L2, true, &[infinite], &[1.0]),
        (2, Metric::L2, true, &[0.0], &[nan]),
        (2, Metric::L2, true, &[0.0], &[infinite]),
        (2, Metric::L2, true, &[0.0], &[-1.0]),
    ] {
        let error = node("sq4", dim, metric, uniform, min, width).unwrap_err();
        assert!(matches!(error, DecodeError::Value { .. }), "{error}");
    }
    let without = Node::new("sq6", 0).with("dim", 2_u64).with("metric", Metric::L2).with("uniform", false);
    assert!(matches!(registry.read_codec(&without.to_stored()), Err(DecodeError::Missing { .. })));
    assert!(SqCodec::with_ranges(SqSpec::SQ_FP16, 1, Metric::L2, &[0.0], &[1.0]).is_err());
    assert!(SqCodec::without_ranges(SqSpec::SQ8, 1, Metric::L2).is_err());
    for metric in [Metric::Cosine, Metric::Lp(-1.0), Metric::Lp(f32::NAN)] {
        assert!(SqCodec::without_ranges(SqSpec::SQ8_DIRECT, 1, metric).is_err(), "{metric}");
    }
}

#[test]
fn uniform_codecs_and_codecs_without_ranges_are_read_as_they_were_exported() {
    let registry = Registry::new().with_codecs(&ROWS);
    let data = numbers(5 * 40, 1);
    for spec in KINDS.iter().flat_map(|spec| [*spec, spec.uniform()]) {
        let codec = trained(spec, Rows::new(&data, 5).unwrap(), Metric::InnerProduct);
        let read = registry.read_codec(&codec.export().to_stored()).unwrap();
        assert!(read.export().same(&codec.export()) && read.layout() == codec.layout());
        let parsed = registry.parse_codec(&Token::new(&spec.to_string()).unwrap()).unwrap().unwrap();
        assert_eq!(parsed.residuals(), spec.residuals());
        let context = CodecContext::new(5, Metric::L2);
        assert_eq!(parsed.code_size(&context), codec.layout().code_size());
    }
}

#[test]
fn trainings_and_bindings_that_cannot_be_are_refused() {
    let (cancel, none) = (Cancel::new(), Rows::new(&[], 3).unwrap());
    let train = |options: &TrainOptions<'_>| SqSpec::SQ8.train(&CodecTraining::new(none, Metric::L2, options));
    assert!(matches!(train(&TrainOptions::new()), Err(TrainError::TooFew { needed: 1, .. })));
    cancel.cancel();
    assert!(matches!(train(&TrainOptions::new().cancel(&cancel)), Err(TrainError::Cancelled)));
    assert!(SqSpec::SQ_FP16.train(&CodecTraining::new(none, Metric::L2, &TrainOptions::new())).is_ok());
    let codec = Arc::new(SqCodec::without_ranges(SqSpec::SQ_BF16, 3, Metric::L2).unwrap());
    let other = Binding::new(Arc::new(Two { dim: 2, of_list: [0.0; 2] }));
    assert!(matches!(codec.bind(&other), Err(BindError::Unsupported { .. })));
}
