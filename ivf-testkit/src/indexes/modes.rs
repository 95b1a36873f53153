//! The suite for modes, threads and batches, which must not change results.

use super::{Want, middle_radius};
use crate::compare::{assert_same_hits, pairs};
use crate::executor::Threads;
use ivf_core::error::SearchError;
use ivf_core::executor::Inline;
use ivf_core::{Executor, Hits, Id, IdSelector, Index, ParallelMode, Rows, SearchParams};

/// Number of queries that are also searched one at a time.
const SINGLE: usize = 3;

/// Checks that k-NN and range search give the same ids and distances in every [`ParallelMode`] that
/// the index takes, on 1, 2 and 8 threads, for all queries at once, in batches of 7 and one at a
/// time.
///
/// The searches run without and with a filter, limits on codes, lists and results, `ensure_k`, and
/// locations, as far as the index takes these parameters.
///
/// Every search gets `nprobe`, unless it is `None` (for an index without lists).
///
/// # Panics
/// If a result differs or a search fails. The message names mode, threads and batch.
pub fn check_modes(index: &dyn Index, queries: Rows<'_, f32>, nprobe: Option<usize>) {
    let odd = |id: Id| id.0 % 2 != 0;
    let rare = |id: Id| id.0 % 29 == 0;
    let (odd, rare) = (IdSelector::Fn(&odd), IdSelector::Fn(&rare));
    let mut plain = SearchParams::new();
    plain.nprobe = nprobe;
    let radius = middle_radius(&pairs(&search(index, queries, Want::K(20), &plain.clone().executor(&Inline)).hits));
    for (name, params) in [
        ("plain", plain.clone()),
        ("filtered", plain.clone().selector(&odd)),
        ("at most 37 codes", plain.clone().max_codes(37)),
        ("at most 3 lists", plain.clone().max_lists(3)),
        ("at most 4 results", plain.clone().max_results(4)),
        ("until a list is empty", plain.clone().selector(&rare).max_empty_lists(1)),
        ("widened", plain.clone().selector(&rare).ensure_k(true)),
        ("with locations", plain.clone().locations(true)),
    ] {
        let mut wants = vec![Want::K(10)];
        if let Some(radius) = radius
            && index.as_range_search().is_some()
            && params.ensure_k.is_none()
        {
            wants.push(Want::Radius(radius));
        }
        for want in wants {
            if is_taken(want.search(index, queries.slice(0..0).into(), &params)) {
                check_wanted(index, queries, want, &params, &format!("{}, {want:?}, {name}", index.spec()));
            }
        }
    }
}

fn check_wanted(index: &dyn Index, queries: Rows<'_, f32>, want: Want, params: &SearchParams<'_>, at: &str) {
    let expected = search(index, queries, want, &params.clone().executor(&Inline)).hits;
    // With the library's default executor and mode.
    assert_same_hits(&search(index, queries, want, params).hits, &expected, format_args!("{at}, default executor"));
    let none = queries.slice(0..0).into();
    let taken = |mode: &ParallelMode| is_taken(want.search(index, none, &params.clone().mode(*mode)));
    let modes = ParallelMode::ALL.into_iter().filter(taken).map(Some);
    for mode in [None].into_iter().chain(modes) {
        for threads in [1, 2, 8] {
            let executor: &dyn Executor = if threads == 1 { &Inline } else { &Threads(threads) };
            let mut params = params.clone().executor(executor);
            params.mode = mode;
            for (batch, upto) in [(queries.len(), queries.len()), (7, queries.len()), (1, queries.len().min(SINGLE))] {
                for start in (0..upto).step_by(batch.max(1)) {
                    let range = start..(start + batch).min(upto);
                    let found = search(index, queries.slice(range.clone()), want, &params).hits;
                    assert_same_rows(
                        &found,
                        &expected,
                        range.clone(),
                        &format!("{at}, mode {mode:?}, {threads} threads, queries {range:?}"),
                    );
                }
            }
        }
    }
}

fn assert_same_rows(found: &Hits, all: &Hits, range: std::ops::Range<usize>, at: &str) {
    assert_eq!(found.len(), range.len(), "{at}: rows of results");
    for (found, query) in found.rows().zip(range) {
        let expected = all.row(query);
        let bits = |distances: &[f32]| distances.iter().map(|d| d.to_bits()).collect::<Vec<_>>();
        assert!(
            found.ids == expected.ids && bits(found.distances) == bits(expected.distances),
            "{at}: query {query}\n found    {:?} {:?}\n expected {:?} {:?}",
            found.ids,
            found.distances,
            expected.ids,
            expected.distances
        );
        assert_eq!(found.locations, expected.locations, "{at}: query {query}: locations");
    }
}

/// Returns false if the index does not take a parameter. Other errors show when results are
/// compared.
fn is_taken<T>(result: Result<T, SearchError>) -> bool {
    !matches!(result, Err(SearchError::UnsupportedParam { .. }))
}

fn search(index: &dyn Index, queries: Rows<'_, f32>, want: Want, params: &SearchParams<'_>) -> ivf_core::SearchResult {
    let found = want.search(index, queries.into(), params);
    found.unwrap_or_else(|error| panic!("{}, {want:?}, {params:?}: {error}", index.spec()))
}
