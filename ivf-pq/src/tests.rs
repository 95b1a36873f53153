//! Compares scans with exact distances, over tables and codebooks that are random, flat, steep,
//! huge and broken.

mod binding;
mod parts;

use crate::layout::layout;
use crate::list_tables::{ListTables, SetQuery};
use crate::per_query::Sums;
use crate::product::{Table, number};
use crate::scan::{InList, ScanCodes, Stored};
use crate::tables::{ByteTables, Source, SumLimit, Whole};
use crate::{PqCodec, PqSpec, ProductQuantizer, equal_parts};
use ivf_core::bytes::AlignedBytes;
use ivf_core::error::{InputError, TrainError};
use ivf_core::lists::{ListRef, PlaneBytes, Segment, SegmentIds};
use ivf_core::mask::Mask;
use ivf_core::scanner::{ScanQuery, ScanRange};
use ivf_core::{
    Binding, Centroids, CodeLayout, Codec, CodecSpec, Id, Ids, ListNo, Metric, Rows, Settings, Sink, TrainOptions,
};
use ivf_cpu::simd::Level;
use std::sync::Arc;

/// Pseudorandom numbers, the same on every run.
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    pub(crate) fn float(&mut self) -> f32 {
        (self.next() % 20_001) as f32 / 10_000.0 - 1.0
    }
}

/// Number of kinds of tables.
const KINDS: usize = 11;

/// Returns tables of one kind. Each kind covers a special case.
fn tables<const K: usize>(subquantizers: usize, kind: usize, noise: &mut Noise) -> Vec<Table<K>> {
    (0..subquantizers)
        .map(|m| {
            std::array::from_fn(|i| match kind {
                0 => noise.float(),
                1 => 0.25,
                // One subquantizer decides, and the others hardly differ.
                2 if m == 0 => noise.float() * 1e6,
                2 => noise.float() * 1e-6,
                3 => noise.float() * 1e37,
                4 => noise.float() * 1e-40,
                // Sums that cancel.
                5 => [1e7, -1e7][m % 2] + noise.float(),
                6 => (i % 3) as f32,
                7 if i % 50 == 0 => [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][i / 50 % 3],
                7 => noise.float(),
                // Sums that overflow on their way, although their final values are finite.
                9 => [-3e38, -3e38, 3.3e38, 3.3e38][m % 4],
                // Steps of exactly a byte.
                8 => i as f32,
                _ => f32::from_bits((noise.next() as u32) << 1),
            })
        })
        .collect()
}

/// Lengths of lists: less and more than a block, than eight blocks, and than the number of codes
/// that are scanned without tables.
const LENGTHS: [usize; 9] = [1, 24, 25, 63, 64, 65, 200, 577, 1100];

/// List of codes in one range.
struct List {
    layout: CodeLayout,
    codes: Vec<u8>,
    plane: AlignedBytes,
    len: usize,
}

impl List {
    fn new(subquantizers: usize, bits: u32, len: usize, noise: &mut Noise) -> Self {
        let layout = layout(subquantizers, bits);
        let codes: Vec<u8> = (0..len * layout.code_size()).map(|_| noise.next() as u8).collect();
        let mut plane = AlignedBytes::zeroed(layout.plane_bytes(0, len));
        for (slot, code) in codes.chunks_exact(layout.code_size()).enumerate() {
            layout.put(&mut [&mut plane], slot, code);
        }
        Self { layout, codes, plane, len }
    }

    fn entries(&self) -> ListRef<'_> {
        let planes = [PlaneBytes::Borrowed(&self.plane)].into_iter().collect();
        let ids = SegmentIds::Borrowed(Ids::Run { first: Id(5), len: self.len });
        ListRef::new([Segment::new(&self.layout, ids, planes).unwrap()])
    }

    fn code(&self, slot: usize) -> &[u8] {
        &self.codes[slot * self.layout.code_size()..][..self.layout.code_size()]
    }

    /// Returns the numbers of a code.
    fn numbers(&self, slot: usize, subquantizers: usize, bits: u32) -> impl Iterator<Item = u16> {
        (0..subquantizers).map(move |m| number(self.code(slot), bits, m))
    }
}

/// Returns sinks that keep few codes, many codes, and all codes within a distance.
fn sinks(distances: &[f32]) -> Vec<Sink> {
    let mut sorted: Vec<f32> = distances.iter().copied().filter(|distance| distance.is_finite()).collect();
    sorted.sort_by(f32::total_cmp);
    let ranks = [0, sorted.len() / 20, sorted.len() / 2];
    let ranges = ranges_of(&sorted, &ranks);
    [1, 10, 100, 2000].map(Sink::top_k).into_iter().chain(ranges).collect()
}

fn ranges_of(sorted: &[f32], ranks: &[usize]) -> Vec<Sink> {
    ranks.iter().filter_map(|&rank| sorted.get(rank)).map(|&radius| Sink::range(radius)).collect()
}

#[test]
fn the_scan_finds_what_the_whole_tables_find() {
    check_scans::<16>(4);
    check_scans::<256>(8);
}

fn check_scans<const K: usize>(bits: u32)
where
    InList: Stored<K>,
{
    let mut noise = Noise(7);
    for subquantizers in [1, 2, 3, 8, 16, 20, 25, 64, 257, 300] {
        for (at, len) in LENGTHS.into_iter().enumerate() {
            let list = List::new(subquantizers, bits, len, &mut noise);
            let entries = list.entries();
            let mask = Mask::from_fn(len, |slot| slot % 7 != 3);
            // Each kind occurs with each length, over all numbers of subquantizers.
            for kind in (0..KINDS).filter(|kind| len < 300 || (kind + at + subquantizers).is_multiple_of(3)) {
                let tables = tables::<K>(subquantizers, kind, &mut noise);
                for level in Level::available() {
                    // The bytes of a query serve all its lists, whatever their start values are.
                    let mut bytes = ByteTables::default();
                    for (start, mask) in [(0.0, None), (-3.5, Some(&mask)), (1e6, None), (-1e3, None)] {
                        let scan_range = ScanRange::of_list(ListNo(0), &entries, &list.layout, 0..len).next().unwrap();
                        let scan_range = scan_range.masked(mask);
                        let sums = Sums { start, tables: &tables };
                        let distance = |slot| sums.of(list.numbers(slot, subquantizers, bits));
                        let distances: Vec<f32> = scan_range.slots().map(distance).collect();
                        for sink in sinks(&distances) {
                            let mut expected = sink.fork();
                            for (slot, &distance) in scan_range.slots().zip(&distances) {
                                expected.push(scan_range.neighbor(slot, distance));
                            }
                            let expected = expected.into_sorted();
                            let mut scan = |sink: &mut Sink| {
                                let (exact, source) = (Sums { start, tables: &tables }, Some(Whole(&tables)));
                                let (start, bytes) = (f64::from(start), &mut bytes);
                                level.run(ScanCodes { exact, start, source, bytes, scan_range: &scan_range, sink });
                            };
                            let mut found = sink.fork();
                            scan(&mut found);
                            // In the second scan, the sink has its threshold from the first code
                            // on.
                            let mut again = found.fork();
                            scan(&mut again);
                            for found in [found, again] {
                                let found = found.into_sorted();
                                assert_eq!(
                                    found, expected,
                                    "{level}, {subquantizers} of {bits} bits, {len} codes, tables {kind}, from {start}"
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn raw_sums_are_near_the_distances_and_a_scan_finds_what_each_says() {
    let mut noise = Noise(31);
    // In the last case, most sums are above 65,535.
    for (subquantizers, len, is_far) in
        [(1, 5, false), (3, 64, false), (25, 700, false), (600, 130, false), (600, 130, true)]
    {
        let dim = 2 * subquantizers;
        let mut book = || {
            (0..32)
                .map(|i| {
                    if !is_far {
                        noise.float()
                    } else if i < 2 {
                        1.0
                    } else {
                        -1.0
                    }
                })
                .collect()
        };
        let books = (0..subquantizers).map(|_| book()).collect();
        let pq = ProductQuantizer::new(equal_parts(dim, subquantizers), books, None).unwrap();
        let codec = Arc::new(PqCodec::new(pq, Metric::InnerProduct));
        let bound = codec.bind(&Binding::new(Arc::new(Fixed(vec![0.0; dim], dim)))).unwrap();
        let list = List::new(subquantizers, 4, len, &mut noise);
        let entries = list.entries();
        let query: Vec<f32> = (0..dim).map(|_| if is_far { 1.0 } else { noise.float() }).collect();
        let mut settings = Settings::new();
        let mut exact = bound.scanner(&settings);
        settings.set("raw_sums", true);
        let mut raw = bound.scanner(&settings);
        for scanner in [&mut exact, &mut raw] {
            scanner.set_query(&query);
            scanner.set_list(ListNo(0), 0.0);
        }
        // A rounded entry is off by at most half a step of the widest pair of tables, which is
        // below 8.
        let most = subquantizers as f32 * 8.0 / 254.0 / 2.0 * 1.01;
        let distances: Vec<f32> = (0..len).map(|slot| raw.distance(list.code(slot))).collect();
        for (slot, distance) in distances.iter().enumerate() {
            let off = (distance - exact.distance(list.code(slot))).abs();
            assert!(off <= most || is_far, "{subquantizers} subquantizers: {off}");
        }
        let two = query.repeat(2);
        raw.set_queries(Rows::new(&two, dim).unwrap(), &[&[], &[]]);
        let mask = Mask::from_fn(len, |slot| slot % 7 != 3);
        for mask in [None, Some(&mask)] {
            let scan_range = ScanRange::of_list(ListNo(0), &entries, &list.layout, 0..len).next().unwrap().masked(mask);
            for sink in sinks(&distances) {
                let mut expected = sink.fork();
                scan_range.slots().for_each(|slot| expected.push(scan_range.neighbor(slot, distances[slot])));
                let mut found = sink.fork();
                raw.scan(&scan_range, &mut found);
                let expected = expected.into_sorted();
                assert_eq!(found.into_sorted(), expected, "{subquantizers} subquantizers, {len} codes");
                let mut of_batch = [sink.fork(), sink.fork()];
                let query = |(number, sink)| ScanQuery {
                    number,
                    query: &query,
                    probes: &[],
                    coarse_distance: 0.0,
                    limit: len,
                    mask,
                    sink,
                };
                let mut queries: Vec<ScanQuery<'_>> = of_batch.iter_mut().enumerate().map(query).collect();
                let all = ScanRange::of_list(ListNo(0), &entries, &list.layout, 0..len).next().unwrap();
                raw.scan_batch(&all, &mut queries);
                for found in of_batch {
                    assert_eq!(found.into_sorted(), expected, "{subquantizers} subquantizers, {len} codes, a batch");
                }
            }
        }
    }
}

/// Asserts that a first pass keeps every code whose distance is at most the threshold, for many
/// thresholds. (It needs no special instructions. The scans of all instruction sets rely on this
/// property.)
fn assert_keeps<const K: usize>(
    source: impl Source<K>,
    subquantizers: usize,
    start: f64,
    found: &[(Vec<u16>, f32)],
    context: impl Fn() -> String,
) where
    InList: Stored<K>,
{
    let mut bytes = ByteTables::default();
    let mut thresholds: Vec<f32> = found.iter().map(|&(_, distance)| distance).filter(|t| !t.is_nan()).collect();
    thresholds.sort_by(|a, b| b.total_cmp(a));
    for threshold in thresholds.into_iter().step_by(3) {
        let limit = bytes.sum_limit(source, subquantizers, start, threshold);
        for &(ref numbers, distance) in found {
            let entries = || numbers.iter().zip(&bytes.entries).map(|(&number, table)| table[usize::from(number)]);
            let sum = || entries().map(u32::from).sum::<u32>().min(u16::MAX.into());
            let kept = match limit {
                SumLimit::All => true,
                SumLimit::AtMost(limit) => sum() <= u32::from(limit),
                SumLimit::None => false,
            };
            assert!(
                kept || distance > threshold || distance.is_nan(),
                "{}: {distance}, {threshold}, {limit:?}",
                context()
            );
        }
    }
}

#[test]
fn a_first_pass_over_any_tables_keeps_what_is_near() {
    check_first_passes::<16>(4);
    check_first_passes::<256>(8);
}

fn check_first_passes<const K: usize>(bits: u32)
where
    InList: Stored<K>,
{
    let mut noise = Noise(11);
    for subquantizers in [1, 2, 5, 16, 64, 257, 600] {
        for kind in 0..KINDS {
            let list = List::new(subquantizers, bits, 120, &mut noise);
            let tables = tables::<K>(subquantizers, kind, &mut noise);
            for start in [0.0, 1e4, -1e-3] {
                let sums = Sums { start, tables: &tables };
                let numbers = |slot| list.numbers(slot, subquantizers, bits);
                let found: Vec<(Vec<u16>, f32)> =
                    (0..list.len).map(|slot| (numbers(slot).collect(), sums.of(numbers(slot)))).collect();
                let context = || format!("{subquantizers} subquantizers of {bits} bits, tables {kind}, from {start}");
                assert_keeps(Whole(&tables), subquantizers, start.into(), &found, context);
            }
        }
    }
}

/// Centroids, row after row, and their dimension.
#[derive(Clone, Debug)]
struct Fixed(Vec<f32>, usize);

impl Fixed {
    fn rows(&self) -> Rows<'_, f32> {
        Rows::new(&self.0, self.1).unwrap()
    }
}

impl Centroids for Fixed {
    fn dim(&self) -> usize {
        self.1
    }

    fn nlist(&self) -> usize {
        self.rows().len()
    }

    fn centroid(&self, list: ListNo, out: &mut [f32]) {
        out.copy_from_slice(self.rows().row(list.index()));
    }
}

/// Returns the functions that make codebooks, centroids of lists, and queries from one random
/// number each. Each kind covers a special case.
fn scales(kind: usize) -> [fn(f32, usize) -> f32; 3] {
    match kind {
        0 => [|x, _| x, |x, _| x, |x, _| x],
        // Lists far from the origin, as in data that are never negative.
        1 => [|x, _| x, |x, _| x + 1e3, |x, _| x + 1e3],
        // One list far away from all others.
        2 => [|x, _| x, |x, list| if list == 1 { 1e6 } else { x }, |x, _| x],
        // Codes that hardly differ; then lists that do not differ at all.
        3 => [|x, _| x * 1e-6, |x, _| x, |x, _| x],
        4 => [|x, _| x, |_, _| 0.0, |x, _| x],
        // Queries far away.
        5 => [|x, _| x, |x, _| x, |x, _| x * 1e8],
        6 => [|x, _| x * 1e-22, |x, _| x * 1e-22, |x, _| x * 1e-22],
        7 => [|x, _| x * 1e18, |x, _| x * 1e18, |x, _| x * 1e18],
        8 => [|x, _| x * 1e38, |x, _| x * 1e38, |x, _| x * 1e38],
        // Whole numbers: many distances are the same.
        9 => [|x, _| (x * 2.0).round(), |x, _| (x * 2.0).round(), |x, _| (x * 2.0).round()],
        _ => [|_, _| 0.0, |_, _| 0.0, |_, _| 0.0],
    }
}

#[test]
fn l2_scans_find_what_each_distance_says() {
    check_l2::<16>(1);
    check_l2::<16>(4);
    check_l2::<256>(6);
    check_l2::<256>(8);
}

fn check_l2<const K: usize>(bits: u32)
where
    InList: Stored<K>,
{
    let mut noise = Noise(5);
    for (kind, subquantizers, nlist) in (0..11).flat_map(|kind| {
        [
            (kind, equal_parts(12, 3), 5),
            (kind, vec![0..1, 1..7, 7..33], 2),
            (kind, equal_parts(64, 64), 40),
            (kind, equal_parts(8, 2), 1),
            (kind, equal_parts(16, 1), 3),
        ]
    }) {
        let [of_codebook, of_list, of_query] = scales(kind);
        let dim = subquantizers.last().unwrap().end;
        let codebooks: Vec<Vec<f32>> = subquantizers
            .iter()
            .map(|part| (0..part.len() << bits).map(|i| of_codebook(noise.float(), i)).collect())
            .collect();
        let centroids: Vec<f32> = (0..nlist * dim).map(|i| of_list(noise.float(), i / dim)).collect();
        let queries: Vec<f32> = (0..3 * dim).map(|i| of_query(noise.float(), i)).collect();
        let mean = (kind % 2 == 1).then(|| (0..dim).map(|_| noise.float()).collect());
        let pq = ProductQuantizer::new(subquantizers.clone(), codebooks, mean).unwrap();
        let codec = Arc::new(PqCodec::new(pq, Metric::L2));
        let rows = Fixed(centroids, dim);
        let binding = Binding::new(Arc::new(rows.clone())).by_residual(true);
        let bound = codec.clone().bind(&binding).unwrap();
        let terms = Level::available().into_iter().map(|level| {
            let moved = rows.rows().iter().flat_map(|row| {
                row.iter().enumerate().map(|(d, c)| c + codec.quantizer().mean().map_or(0.0, |mean| mean[d]))
            });
            let moved: Vec<f32> = moved.collect();
            (level, ListTables::<K>::new(codec.quantizer(), &moved, level, &binding).unwrap())
        });
        let terms: Vec<_> = terms.collect();
        let mut scanner = bound.scanner(&Settings::new());
        for (query, len) in Rows::new(&queries, dim).unwrap().iter().zip([20, 65, 700]) {
            let list = List::new(subquantizers.len(), bits, len, &mut noise);
            let entries = list.entries();
            scanner.set_query(query);
            for no in [0, nlist - 1].map(|no| ListNo(no as u32)) {
                let scan_range = ScanRange::of_list(no, &entries, &list.layout, 0..len).next().unwrap();
                // A wrong coarse distance changes nothing.
                scanner.set_list(no, 7.0);
                let numbers = |slot| list.numbers(slot, subquantizers.len(), bits).collect();
                let found: Vec<(Vec<u16>, f32)> =
                    (0..len).map(|slot| (numbers(slot), scanner.distance(list.code(slot)))).collect();
                let distances: Vec<f32> = found.iter().map(|found| found.1).collect();
                for sink in sinks(&distances) {
                    let mut expected = sink.fork();
                    (0..len).for_each(|slot| expected.push(scan_range.neighbor(slot, distances[slot])));
                    let mut found = sink.fork();
                    scanner.set_list(no, 7.0);
                    scanner.scan(&scan_range, &mut found);
                    let mut again = found.fork();
                    scanner.scan(&scan_range, &mut again);
                    let expected = expected.into_sorted();
                    assert_eq!(
                        found.into_sorted(),
                        expected,
                        "kind {kind}, {subquantizers:?} of {bits} bits, {len} codes"
                    );
                    assert_eq!(
                        again.into_sorted(),
                        expected,
                        "kind {kind}, {subquantizers:?} of {bits} bits, {len} codes"
                    );
                }
                for (level, terms) in &terms {
                    assert_eq!(terms.is_some(), nlist > 1);
                    let Some(terms) = terms else { continue };
                    let (mut of_query, mut tables) = (terms.of_query(), vec![[0.0; K]; subquantizers.len()]);
                    level.run(SetQuery {
                        pq: codec.quantizer(),
                        terms,
                        query,
                        tables: &mut tables,
                        of_query: &mut of_query,
                    });
                    let z: f64 = (rows.rows().row(no.index()).iter().zip(query).enumerate())
                        .map(|(d, (c, q))| {
                            let c = c + codec.quantizer().mean().map_or(0.0, |mean| mean[d]);
                            f64::from(q - c).powi(2)
                        })
                        .sum();
                    assert_keeps(terms.source(no, &of_query), subquantizers.len(), z, &found, || {
                        format!("kind {kind}, {subquantizers:?} of {bits} bits, {level}")
                    });
                }
            }
        }
    }
}

#[test]
fn codes_are_the_nearest_centroids_and_training_does_not_depend_on_threads() {
    let mut noise = Noise(3);
    let data: Vec<f32> = (0..3000 * 12).map(|_| noise.float()).collect();
    let far: Vec<f32> = data.iter().map(|x| x + 1e4).collect();
    for (data, subquantizers, centred) in
        [(&data, equal_parts(12, 3), false), (&far, equal_parts(12, 3), false), (&far, vec![0..1, 1..7, 7..12], true)]
    {
        let rows = Rows::new(data, 12).unwrap();
        let pool = ivf_cpu::RayonPool::new(3).unwrap();
        let options = TrainOptions::new().iterations(4);
        let (pq, report) = ProductQuantizer::train(rows, subquantizers.clone(), 8, centred, &options).unwrap();
        let (other, _) =
            ProductQuantizer::train(rows, subquantizers.clone(), 8, centred, &options.executor(&pool)).unwrap();
        let objectives = &report.objectives[0];
        assert!(objectives.windows(2).all(|pair| 0.0 <= pair[1] && pair[1] <= pair[0] * 1.000_001), "{objectives:?}");
        let mut codes = vec![0; rows.len() * subquantizers.len()];
        pq.encode(rows, &mut codes);
        let zero = vec![0.0; 12];
        let mean = pq.mean().unwrap_or(&zero);
        assert_eq!(pq.mean().is_some(), centred);
        for (m, part) in subquantizers.iter().enumerate() {
            assert_eq!(pq.codebook(m).as_slice(), other.codebook(m).as_slice());
            for (row, code) in rows.iter().zip(codes.chunks_exact(subquantizers.len())) {
                let off = |c: &[f32]| -> f64 {
                    part.clone().zip(c).map(|(d, &c)| (f64::from(row[d] - mean[d]) - f64::from(c)).powi(2)).sum()
                };
                let best = pq.codebook(m).iter().map(off).fold(f64::INFINITY, f64::min);
                assert!(off(pq.codebook(m).row(code[m].into())) <= best + 2e-3 * (1.0 + best));
            }
        }
        let mut vector = vec![0.0; 12];
        pq.decode(&codes[..subquantizers.len()], &mut vector);
        assert_eq!(vector[0], pq.codebook(0).row(codes[0].into())[0] + mean[0]);
    }
}

#[test]
fn rows_that_cannot_be_learnt_from_are_an_error() {
    let train = |data: &[f32]| {
        let rows = Rows::new(data, 4).unwrap();
        ProductQuantizer::train(rows, equal_parts(4, 2), 8, true, &TrainOptions::new()).map(|_| ())
    };
    let mut noise = Noise(9);
    let mut data: Vec<f32> = (0..300 * 4).map(|_| noise.float()).collect();
    assert!(train(&data).is_ok());
    assert!(matches!(train(&data[..255 * 4]), Err(TrainError::TooFew { needed: 256, found: 255, .. })));
    let large: Vec<f32> = data.iter().map(|x| x.signum() * 3.4e38).collect();
    assert!(matches!(train(&large), Err(TrainError::Input(InputError::Overflow { .. }))));
    for bad in [f32::NAN, f32::INFINITY] {
        data[777] = bad;
        assert!(matches!(train(&data), Err(TrainError::Input(_))));
    }
}

#[test]
fn training_takes_as_many_points_as_the_options_say() {
    let mut noise = Noise(13);
    let data: Vec<f32> = (0..3000 * 2).map(|_| noise.float()).collect();
    let rows = Rows::new(&data, 2).unwrap();
    for (most, points) in [(0, 256), (3, 768), (1000, 3000)] {
        let options = TrainOptions::new().max_points_per_centroid(most).iterations(2);
        let (_, report) = ProductQuantizer::train(rows, equal_parts(2, 1), 8, false, &options).unwrap();
        assert_eq!(report.points, points);
        assert_eq!(PqSpec::new(1).training_points(&options), 256 * most.max(1));
    }
}
