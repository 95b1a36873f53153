//! The suite for searches whose coarse half the caller does.

use super::middle_radius;
use crate::compare::{assert_same_hits, pairs};
use crate::executor::Threads;
use ivf_core::error::SearchError;
use ivf_core::executor::Inline;
use ivf_core::{Hits, IndexIvf, ListNo, ParallelMode, Probes, Rows, SearchParam, SearchParams, Sink};

const K: usize = 10;

/// Checks [`IndexIvf::search_preassigned`] for k-NN and range search. With the probes of the
/// index's own quantizer it must equal a plain search. Two halves of the probes, searched into the
/// same sinks, must find what all probes find, in every mode. Probes without a list are ignored,
/// and probes that do not fit the queries or the lists are errors.
///
/// # Panics
/// If a result differs or a call fails. The message names the check.
pub fn check_preassigned(index: &dyn IndexIvf, queries: Rows<'_, f32>, nprobe: usize) {
    let at = format!("{}, nprobe {nprobe}", index.spec());
    let probes = index.assign(queries.into(), nprobe, &SearchParams::new());
    let probes = probes.unwrap_or_else(|error| panic!("{at}: assigning the queries: {error}"));
    assert_eq!(probes.len(), queries.len(), "{at}: a row of probes for each query");

    let plain = SearchParams::new();
    let expected = index.search_rows(queries.into(), K, &plain.clone().nprobe(nprobe));
    let expected = expected.unwrap_or_else(|error| panic!("{at}: search: {error}")).hits;
    let found = index.search_preassigned(queries.into(), &probes, K, &plain);
    assert_same_hits(&found.unwrap_or_else(|error| panic!("{at}: preassigned: {error}")).hits, &expected, &at);
    check_halves(index, queries, &probes, &expected, &at);

    if let (Some(range), Some(radius)) = (index.as_range_search(), middle_radius(&pairs(&expected))) {
        let at = format!("{at}, radius {radius}");
        let expected = range.range_search(queries.into(), radius, &plain.clone().nprobe(nprobe));
        let expected = expected.unwrap_or_else(|error| panic!("{at}: range search: {error}")).hits;
        let found = index.range_search_preassigned(queries.into(), &probes, radius, &plain);
        assert_same_hits(&found.unwrap_or_else(|error| panic!("{at}: preassigned: {error}")).hits, &expected, &at);
    }
    check_bad_probes(index, queries, &probes, &at);
    if index.takes().contains(SearchParam::SkipBadQueries) {
        check_skipped(index, queries, nprobe, &at);
    }
}

/// Checks that a query which is skipped gets no probes and no results, and the others theirs.
fn check_skipped(index: &dyn IndexIvf, queries: Rows<'_, f32>, nprobe: usize, at: &str) {
    let at = format!("{at}, a query skipped");
    let bad = queries.len() / 2;
    let mut vectors = queries.as_slice().to_vec();
    vectors[bad * queries.dim()] = f32::NAN;
    let rows = Rows::new(&vectors, queries.dim()).expect("whole rows");
    let skipping = SearchParams::new().skip_bad_queries(true);
    let refused = index.assign(rows.into(), nprobe, &SearchParams::new());
    assert!(matches!(refused, Err(SearchError::Input(_))), "{at}: by default, assigning gives {refused:?}");
    let probes = index.assign(rows.into(), nprobe, &skipping);
    let probes = probes.unwrap_or_else(|error| panic!("{at}: assigning the queries: {error}"));
    assert!(probes.row(bad).all(|(list, _)| list.is_none()), "{at}: it has probes");
    // Probes that the caller made do not matter for it.
    let given = index.assign(queries.into(), nprobe, &SearchParams::new());
    let given = given.unwrap_or_else(|error| panic!("{at}: assigning the queries: {error}"));
    let all = index.search_preassigned(queries.into(), &given, K, &SearchParams::new());
    let all = all.unwrap_or_else(|error| panic!("{at}: preassigned: {error}")).hits;
    for probes in [&probes, &given] {
        let refused = index.search_preassigned(rows.into(), probes, K, &SearchParams::new());
        assert!(matches!(refused, Err(SearchError::Input(_))), "{at}: by default it gives {refused:?}");
        let found = index.search_preassigned(rows.into(), probes, K, &skipping);
        let found = found.unwrap_or_else(|error| panic!("{at}: preassigned: {error}")).hits;
        let ranged = index.range_search_preassigned(rows.into(), probes, f32::MAX, &skipping);
        let ranged = ranged.unwrap_or_else(|error| panic!("{at}: range search: {error}")).hits;
        assert!(found.row(bad).is_empty() && ranged.row(bad).is_empty(), "{at}: it finds {:?}", found.row(bad));
        for row in (0..queries.len()).filter(|&row| row != bad) {
            assert_eq!(found.row(row), all.row(row), "{at}: query {row}");
        }
    }
    let mut sink = Sink::top_k(K);
    let one = index.search_one(rows.slice(bad..bad + 1).into(), &mut sink, &skipping.nprobe(nprobe));
    assert!(one.is_ok() && sink.is_empty(), "{at}: a search with a collector gives {one:?}");
}

/// Searches the even positions of the probes, then the odd ones. The other positions have no list.
fn check_halves(index: &dyn IndexIvf, queries: Rows<'_, f32>, probes: &Probes, expected: &Hits, at: &str) {
    let half = |odd: usize| {
        let places = (0..probes.len()).flat_map(|i| probes.row(i).enumerate());
        let (lists, distances) =
            places.map(|(place, (list, distance))| (list.filter(|_| place % 2 == odd), distance)).unzip();
        Probes::new(probes.nprobe(), lists, distances).expect("as the whole")
    };
    let halves = [half(0), half(1)];
    for mode in ParallelMode::ALL {
        let mut sinks = vec![Sink::top_k(K); queries.len()];
        let params = SearchParams::new().mode(mode).executor(&Threads(2));
        for half in &halves {
            let done = index.search_preassigned_into(queries.into(), half, &mut sinks, &params);
            done.unwrap_or_else(|error| panic!("{at}, half of the probes, {mode:?}: {error}"));
        }
        let found = Hits::from_sinks(index.metric(), sinks, false);
        assert_same_hits(
            &found,
            expected,
            format_args!("{at}, two halves of the probes into the same sinks, {mode:?}"),
        );
    }
}

fn check_bad_probes(index: &dyn IndexIvf, queries: Rows<'_, f32>, probes: &Probes, at: &str) {
    let params = SearchParams::new().executor(&Inline);
    let n = queries.len();
    let fails = |what: &str, probes: &Probes, sinks: usize, params: &SearchParams<'_>| {
        let mut sinks = vec![Sink::top_k(K); sinks];
        let error = index.search_preassigned_into(queries.into(), probes, &mut sinks, params).err();
        let error = error.unwrap_or_else(|| panic!("{at}: {what} is no error"));
        assert!(sinks.iter().all(Sink::is_empty), "{at}: {what} is an error, but results came");
        error
    };
    let past = ListNo(index.nlist() as u32);
    let mut lists: Vec<Option<ListNo>> = (0..n).flat_map(|i| probes.row(i).map(|(list, _)| list)).collect();
    *lists.last_mut().expect("there are queries to check with") = Some(past);
    let outside = Probes::new(probes.nprobe(), lists.clone(), vec![0.0; lists.len()]).expect("as the whole");
    let error = fails("a probe past the last list", &outside, n, &params);
    let named = matches!(error, SearchError::NoSuchList { row, list, .. } if (row, list) == (n - 1, past));
    assert!(named, "{at}: a probe past the last list gives {error:?}");

    let more = probes.nprobe() * (n + 1);
    let more = Probes::new(probes.nprobe(), vec![None; more], vec![0.0; more]).expect("one row more");
    for (what, probes, sinks) in [("a row of probes too many", &more, n), ("a sink too few", probes, n - 1)] {
        let error = fails(what, probes, sinks, &params);
        assert!(matches!(error, SearchError::Count { .. }), "{at}: {what} gives {error:?}");
    }
    let of_quantizer = "quantizer_efSearch";
    for (what, params) in [
        ("nprobe", params.clone().nprobe(1)),
        ("ensure_k", params.clone().ensure_k(true)),
        ("max_results", params.clone().max_results(1)),
        ("max_empty_lists", params.clone().max_empty_lists(1)),
        (of_quantizer, params.clone().set(of_quantizer, 1)),
    ] {
        let error = fails(what, probes, n, &params);
        let named = matches!(&error, SearchError::UnsupportedParam { param, .. } if param == what);
        assert!(named, "{at}: preassigned with {what} gives {error:?}");
    }
}
