//! The suite for scanners, against a loop over their own `distance`.

mod fixture;

use crate::compare::assert_same_neighbors;
use crate::data::{any_ids, bytes, random};
use fixture::{Fixture, List, QUERIES, Reference, segment, sinks, windows};
use ivf_core::lists::ListRef;
use ivf_core::mask::Mask;
use ivf_core::plan::PlannedProbe;
use ivf_core::scanner::{Exactness, ScanQuery, ScanRange};
use ivf_core::{CodeLayout, Codec, InvertedListScanner, ListNo, Neighbor, Sink};
use rand::RngExt;
use std::ops::Range;
use std::sync::Arc;

/// Checks the scans of a codec's scanner. It binds the codec to a few centroids, in each way that
/// the codec allows (codes of vectors, of residuals), and codes vectors into lists of several
/// lengths and segments.
///
/// `scan` (with filters, ranges and prefixes) and `scan_batch` (with a limit and a filter for each
/// query) must put into a sink exactly what a loop over [`InvertedListScanner::distance`] puts
/// there: the same ids, locations and bit-identical distances. The scanner learns all lists of a
/// query before the first scan. One scanner runs all checks, so no state may remain from one call
/// to the next. Lists of arbitrary bytes must not cause a panic.
///
/// # Panics
/// If a result differs. The message names the list, the filter and the sink.
pub fn check_scanner(codec: Arc<dyn Codec>) {
    for fixture in &Fixture::of(&codec) {
        let mut scanner = fixture.scanner();
        check_scans(fixture, &mut *scanner);
        check_batches(fixture, &mut *scanner);
        check_scans(fixture, &mut *scanner);
        check_any_bytes(fixture, &mut *scanner);
    }
}

/// Checks that distances are as exact as the scanner [declares](InvertedListScanner::exactness):
///
/// * [`Exactness::Exact`]: the distance to a code is the distance to its decoded vector in the
///   codec's metric, up to the rounding of sums.
/// * [`Exactness::Bounded`]: the distance differs from the distance to the encoded vector by at
///   most the scanner's bound.
/// * [`Exactness::Estimate`]: the distance is finite. The mean error of the distances is smaller
///   than the mean deviation of the true distances from their mean.
///
/// # Panics
/// If a distance is not as exact. The message names the codec, and the location unless distances
/// are estimates.
pub fn check_distances(codec: Arc<dyn Codec>) {
    for fixture in &Fixture::of(&codec) {
        let exactness = fixture.scanner().exactness();
        let (mut found, mut expected) = (Vec::new(), Vec::new());
        for query in fixture.queries.rows().iter().take(3) {
            for list in &fixture.lists {
                for neighbor in fixture.reference(query, list).into_iter().flatten() {
                    match exactness {
                        Exactness::Exact => check_exact(fixture, query, list, &neighbor),
                        Exactness::Bounded => check_bounded(fixture, query, list, &neighbor),
                        _ => {}
                    }
                    found.push(neighbor.distance);
                    expected.push(fixture.true_distance(query, list, neighbor.location.offset).0);
                }
            }
        }
        if exactness == Exactness::Estimate {
            check_estimates(&found, &expected, &fixture.name());
        }
    }
}

fn check_exact(fixture: &Fixture, query: &[f32], list: &List, neighbor: &Neighbor) {
    let (expected, bound) = fixture.decoded_distance(query, list, neighbor.location.offset);
    // Metrics of distributions are NaN for vectors that are not distributions.
    let both_nan = neighbor.distance.is_nan() && expected.is_nan();
    assert!(
        both_nan || (neighbor.distance - expected).abs() <= bound,
        "{}: the distance to {:?} is {}, that to the decoded vector {expected} (+- {bound})",
        fixture.name(),
        neighbor.location,
        neighbor.distance
    );
}

fn check_bounded(fixture: &Fixture, query: &[f32], list: &List, neighbor: &Neighbor) {
    let mut scanner = fixture.scanner();
    scanner.set_query(query);
    scanner.set_probes(&fixture.probes(query));
    scanner.set_list(list.no, fixture.coarse(query, list.no));
    let mut code = vec![0; fixture.layout().code_size()];
    list.entries.entry(fixture.layout(), neighbor.location.offset, &mut code).expect("an entry of the list");
    let bound = scanner.bound(&code);
    let (expected, rounding) = fixture.true_distance(query, list, neighbor.location.offset);
    assert!(
        bound.is_finite() && (neighbor.distance - expected).abs() <= bound + rounding,
        "{}: the distance to {:?} is {}, with a bound of {bound}, that to the encoded vector {expected} (+- {rounding})",
        fixture.name(),
        neighbor.location,
        neighbor.distance
    );
}

fn check_estimates(found: &[f32], expected: &[f32], name: &str) {
    let unusable = found.iter().find(|distance| !distance.is_finite());
    assert!(unusable.is_none(), "{name}: an estimated distance is {unusable:?}");
    let mean = |values: &mut dyn Iterator<Item = f32>| values.map(f64::from).sum::<f64>() / expected.len() as f64;
    let middle = mean(&mut expected.iter().copied());
    let error = mean(&mut found.iter().zip(expected).map(|(found, expected)| (found - expected).abs()));
    let deviation = mean(&mut expected.iter().map(|expected| (f64::from(*expected) - middle).abs() as f32));
    assert!(error < deviation, "{name}: estimated distances are off by {error} on average, their mean by {deviation}");
}

fn check_scans(fixture: &Fixture, scanner: &mut dyn InvertedListScanner) {
    for (q, query) in fixture.queries.rows().iter().take(3).enumerate() {
        scanner.set_query(query);
        scanner.set_probes(&fixture.probes(query));
        let mut before: Reference = Vec::new();
        for list in &fixture.lists {
            let all = fixture.reference(query, list);
            scanner.set_list(list.no, fixture.coarse(query, list.no));
            let len = list.entries.len();
            for ((name, empty), (window, range)) in sinks(&all).iter().flat_map(|s| windows(len).map(move |w| (s, w))) {
                // The results of the previous list must stay in the sink.
                let mut sink = empty.fork();
                before.iter().flatten().for_each(|neighbor| sink.push(*neighbor));
                for (filter, masks) in &list.filters {
                    let masks = masks.as_deref();
                    let (mut found, mut expected) = (sink.clone(), sink.clone());
                    scan(scanner, fixture.layout(), list, &window, &range, masks, &mut found);
                    offer(&all, &window, &range, masks, &mut expected);
                    assert_same_neighbors(
                        &found.into_sorted(),
                        &expected.into_sorted(),
                        format_args!(
                            "{}: scan of query {q}, list {} of {len}, entries {window:?}, {range:?} of a segment, {filter}, \
                             {name}",
                            fixture.name(),
                            list.no
                        ),
                    );
                }
            }
            before = all;
        }
    }
}

/// Scans the entries of a list that lie in `window` and, within their segment, in `range`, filtered
/// by one mask per segment.
fn scan(
    scanner: &mut dyn InvertedListScanner,
    layout: &CodeLayout,
    list: &List,
    window: &Range<usize>,
    range: &Range<usize>,
    masks: Option<&[Mask]>,
    sink: &mut Sink,
) {
    for scan_range in ScanRange::of_list(list.no, &list.entries, layout, window.clone()) {
        let mask = masks.map(|masks| &masks[list.segment_of(&scan_range)]);
        scanner.scan(&scan_range.within(range.clone()).masked(mask), sink);
    }
}

/// Pushes the same entries one by one.
fn offer(all: &Reference, window: &Range<usize>, range: &Range<usize>, masks: Option<&[Mask]>, sink: &mut Sink) {
    let mut offset = 0;
    for (s, neighbors) in all.iter().enumerate() {
        for (slot, neighbor) in neighbors.iter().enumerate() {
            if window.contains(&offset) && range.contains(&slot) && masks.is_none_or(|masks| masks[s].get(slot)) {
                sink.push(*neighbor);
            }
            offset += 1;
        }
    }
}

fn check_batches(fixture: &Fixture, scanner: &mut dyn InvertedListScanner) {
    let probes: Vec<Vec<PlannedProbe>> = fixture.queries.rows().iter().map(|query| fixture.probes(query)).collect();
    let rows: Vec<&[PlannedProbe]> = probes.iter().map(Vec::as_slice).collect();
    scanner.set_queries(fixture.queries.rows(), &rows);
    for list in &fixture.lists {
        let references: Vec<_> = fixture.queries.rows().iter().map(|query| fixture.reference(query, list)).collect();
        for window in [0..usize::MAX, 0..40, 20..90] {
            for scan_range in ScanRange::of_list(list.no, &list.entries, fixture.layout(), window) {
                for count in [1, 2, 7, QUERIES] {
                    check_batch(fixture, scanner, list, &scan_range, (&references[..count], &rows));
                }
            }
        }
    }
}

/// The parameters and the expected sink of one query of a batch.
struct Asked<'a> {
    limit: usize,
    filter: &'static str,
    mask: Option<&'a Mask>,
    name: &'static str,
    sink: Sink,
}

fn check_batch(
    fixture: &Fixture,
    scanner: &mut dyn InvertedListScanner,
    list: &List,
    scan_range: &ScanRange<'_>,
    (references, probes): (&[Reference], &[&[PlannedProbe]]),
) {
    let (s, len, count) = (list.segment_of(scan_range), scan_range.segment().len(), references.len());
    let mut random = random(23 + count as u64 + 100 * scan_range.range().start as u64);
    let mut ask = |reference| {
        let limit = [len, len, 0, 1, len / 2, random.random_range(0..=len)][random.random_range(0..6)];
        let (filter, masks) = &list.filters[random.random_range(0..list.filters.len())];
        let (name, sink) = sinks(reference)[random.random_range(0..4)].clone();
        Asked { limit, filter, mask: masks.as_ref().map(|masks| &masks[s]), name, sink }
    };
    let asked: Vec<Asked<'_>> = references.iter().map(&mut ask).collect();
    let mut found: Vec<Sink> = asked.iter().map(|asked| asked.sink.clone()).collect();
    let mut queries: Vec<ScanQuery<'_>> = (found.iter_mut().zip(&asked).zip(fixture.queries.rows().iter()).enumerate())
        .map(|(number, ((sink, &Asked { limit, mask, .. }), query))| {
            let coarse_distance = fixture.coarse(query, list.no);
            ScanQuery { number, query, probes: probes[number], coarse_distance, limit, mask, sink }
        })
        .collect();
    scanner.scan_batch(scan_range, &mut queries);
    for (q, (found, mut asked)) in found.into_iter().zip(asked).enumerate() {
        for slot in
            scan_range.range().filter(|&slot| slot < asked.limit && asked.mask.is_none_or(|mask| mask.get(slot)))
        {
            asked.sink.push(references[q][s][slot]);
        }
        assert_same_neighbors(
            &found.into_sorted(),
            &asked.sink.into_sorted(),
            format_args!(
                "{}: query {q} of a batch of {count}, list {}, {:?} of segment {s} of {len}, limit {}, {}, {}",
                fixture.name(),
                list.no,
                scan_range.range(),
                asked.limit,
                asked.filter,
                asked.name
            ),
        );
    }
}

/// Checks that arbitrary bytes as codes cause no panic: a damaged file may give wrong answers only.
fn check_any_bytes(fixture: &Fixture, scanner: &mut dyn InvertedListScanner) {
    const LEN: usize = 70;
    let mut random = random(24);
    let (layout, no) = (fixture.layout(), ListNo(1));
    let n = LEN * layout.code_size();
    for codes in [bytes(&mut random, n), vec![0; n], vec![0x7f; n], vec![0xff; n]] {
        let list = ListRef::new([segment(layout, &any_ids(25, LEN), &codes)]);
        let scan_range = ScanRange::of_list(no, &list, layout, 0..LEN).next().expect("one segment");
        for mut sink in [Sink::top_k(3), Sink::range(f32::INFINITY)] {
            let mut sinks = [sink.clone(), sink.clone()];
            let query = fixture.queries.rows().row(0);
            scanner.set_query(query);
            scanner.set_probes(&fixture.probes(query));
            scanner.set_list(no, fixture.coarse(query, no));
            scanner.scan(&scan_range, &mut sink);
            let probes = [0, 1].map(|q| fixture.probes(fixture.queries.rows().row(q)));
            scanner.set_queries(fixture.queries.rows().slice(0..2), &[&probes[0], &probes[1]]);
            let mut queries: Vec<ScanQuery<'_>> = (sinks.iter_mut().zip(fixture.queries.rows().iter()).enumerate())
                .map(|(number, (sink, query))| {
                    let coarse_distance = fixture.coarse(query, no);
                    let probes = &probes[number][..];
                    ScanQuery { number, query, probes, coarse_distance, limit: LEN, mask: None, sink }
                })
                .collect();
            scanner.scan_batch(&scan_range, &mut queries);
        }
    }
}
