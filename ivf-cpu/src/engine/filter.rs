//! Filters of a search: selectors applied list by list.

use super::entries::Entries;
use super::pieces::{Chosen, TASK_CODES, piece};
use ivf_core::error::StoreError;
use ivf_core::scanner::ScanRange;
use ivf_core::selector::{Prepared, Selected};
use ivf_core::{DirectMapKind, IdSelector, InvertedLists, ListNo, ListOffset, Location, SearchParams};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::OnceLock;

/// Cost of one direct-map lookup, including the sorting of its location, measured in tests of an id
/// by a selector.
const LOOKUP: usize = 16;

/// Minimum average number of scans of each list for which the selected entries are cached.
const AGAIN: usize = 2;

/// The filters of a search.
pub(super) enum Filters<'a> {
    /// No filter: every entry may be found.
    None,
    /// One filter for all queries.
    Common(Filter<'a>),
    /// At most one filter per query, as an index into the distinct filters.
    PerQuery(Vec<Option<usize>>, Vec<Filter<'a>>),
}

impl<'a> Filters<'a> {
    /// Prepares the filters in `params`, for `queries` queries that each scan about `lists` lists.
    pub(super) fn new(params: &SearchParams<'a>, entries: &'a Entries, queries: usize, lists: usize) -> Self {
        let passes = |queries: usize| {
            let lists = queries.saturating_mul(lists);
            (entries.len as u128 * lists as u128 / entries.lists.nlist().max(1) as u128).min(usize::MAX as u128)
                as usize
        };
        let is_own = params.per_query.is_some_and(|all| all.iter().any(|one| one.selector.is_some()));
        if !is_own {
            return match params.selector {
                Some(selector) => Self::Common(Filter::new(selector, entries, passes(queries))),
                None => Self::None,
            };
        }
        // Queries that share a selector share its filter.
        let mut numbers: HashMap<*const IdSelector<'a>, usize> = HashMap::new();
        let mut different: Vec<(&'a IdSelector<'a>, usize)> = Vec::new();
        let number = |i| {
            let selector = params.of_query(i).selector?;
            let number = *numbers.entry(std::ptr::from_ref(selector)).or_insert_with(|| {
                different.push((selector, 0));
                different.len() - 1
            });
            different[number].1 += 1;
            Some(number)
        };
        let of_queries = (0..queries).map(number).collect();
        let made = different.into_iter().map(|(selector, queries)| Filter::new(selector, entries, passes(queries)));
        Self::PerQuery(of_queries, made.collect())
    }

    /// Returns false if every entry may be found.
    pub(super) fn are_any(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Returns the filter of a query.
    pub(super) fn of(&self, query: usize) -> Option<&Filter<'a>> {
        match self {
            Self::None => None,
            Self::Common(filter) => Some(filter),
            Self::PerQuery(of_queries, filters) => of_queries[query].map(|number| &filters[number]),
        }
    }
}

/// A selector applied to the lists of an index, piece by piece.
///
/// The selected entries of a piece come from one of three sources:
/// - the direct map, if the selector can list its ids and they are few;
/// - a scan of the piece's ids, cached for the whole call, if many queries probe the list;
/// - a scan of the piece's ids for one query, not cached.
pub(super) struct Filter<'a> {
    prepared: Prepared<'a>,
    /// Locations of the selected ids, ascending; `None` if the direct map is not used.
    places: Option<Vec<Location>>,
    /// Cached selection of each piece of each list; empty if selections are not cached.
    known: Vec<OnceLock<Pieces>>,
}

type Pieces = Box<[OnceLock<Chosen>]>;

/// The selection of the most recently scanned piece, for a [`Filter`] without a cache of its own.
#[derive(Default)]
pub(super) struct SelectionCache {
    piece: Option<(ListNo, usize)>,
    chosen: Chosen,
}

impl SelectionCache {
    /// Forgets the piece, because another filter is used from now on.
    pub(super) fn forget(&mut self) {
        self.piece = None;
    }
}

impl<'a> Filter<'a> {
    /// Prepares a filter for a search that scans about `passes` codes, counting repeated scans.
    pub(super) fn new(selector: &'a IdSelector<'a>, entries: &Entries, passes: usize) -> Self {
        let tests = passes.min(entries.len);
        let places = entries.named_places(selector, tests / LOOKUP);
        // Allocating the cache must not take longer than the scan: no cache for many lists that are
        // mostly empty.
        let nlist = entries.lists.nlist();
        let keep = places.is_none() && passes > 0 && passes >= entries.len.saturating_mul(AGAIN).max(nlist);
        let lists = if keep { nlist } else { 0 };
        Self { prepared: selector.prepare(tests), places, known: (0..lists).map(|_| OnceLock::new()).collect() }
    }

    /// Returns false if no entry of these is selected, as far as is known without reading the list.
    pub(super) fn may_choose_of(&self, list: ListNo, entries: Range<usize>) -> bool {
        match &self.places {
            Some(places) => !of_list(places, list, entries).is_empty(),
            None => true,
        }
    }

    /// Returns the selection of the piece of a list that begins at offset `start`.
    pub(super) fn select<'s>(
        &'s self,
        lists: &dyn InvertedLists,
        list: ListNo,
        start: usize,
        last: &'s mut SelectionCache,
    ) -> Result<&'s Chosen, StoreError> {
        let len = lists.list_len(list)?;
        let piece = piece(start, len);
        if let Some(known) = self.known.get(list.index()) {
            let pieces = || (0..len.div_ceil(TASK_CODES as usize)).map(|_| OnceLock::new()).collect();
            if let Some(known) = known.get_or_init(pieces).get(start / TASK_CODES as usize) {
                if let Some(chosen) = known.get() {
                    return Ok(chosen);
                }
                let chosen = self.make(lists, list, piece)?;
                // If another thread was faster, its selection is the same.
                return Ok(known.get_or_init(|| chosen));
            }
        }
        if last.piece != Some((list, start)) {
            last.chosen = self.make(lists, list, piece)?;
            last.piece = Some((list, start));
        }
        Ok(&last.chosen)
    }

    fn make(&self, lists: &dyn InvertedLists, list: ListNo, piece: Range<usize>) -> Result<Chosen, StoreError> {
        Ok(match &self.places {
            Some(places) => Chosen::of_places(piece.clone(), of_list(places, list, piece)),
            None => Chosen::of_ids(&self.prepared, &lists.list_ids(list, piece)?),
        })
    }
}

/// Restricts a range to the selected entries of its segment. Returns `None` if none is selected.
pub(super) fn restricted<'a>(range: ScanRange<'a>, selected: Option<&'a Selected>) -> Option<ScanRange<'a>> {
    match selected {
        None => Some(range),
        Some(Selected::None) => None,
        Some(Selected::Run(run)) => Some(range.within(run.clone())),
        Some(Selected::Some(mask)) => Some(range.masked(Some(mask))),
    }
}

/// Returns the locations of these entries of a list. `places` must be sorted.
fn of_list(places: &[Location], list: ListNo, entries: Range<usize>) -> &[Location] {
    let at = |offset: usize| Location { list, offset: ListOffset(offset as u32) };
    let from = &places[places.partition_point(|place| *place < at(entries.start))..];
    &from[..from.partition_point(|place| *place < at(entries.end))]
}

impl Entries {
    /// Returns the sorted locations of the selected ids. Returns `None` without a direct map, or if
    /// the selector cannot list its ids or lists more than `most`.
    fn named_places(&self, selector: &IdSelector<'_>, most: usize) -> Option<Vec<Location>> {
        if self.map.kind() == DirectMapKind::None {
            return None;
        }
        let mut places: Vec<Location> = selector.listed(most)?.iter().flat_map(|id| self.map.places(*id)).collect();
        places.sort_unstable();
        Some(places)
    }
}
