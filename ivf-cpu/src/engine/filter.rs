//! Which entries a search may see: selectors at work, list by list.

use super::entries::Entries;
use ivf_core::lists::ListRef;
use ivf_core::mask::Mask;
use ivf_core::selector::{Prepared, Selected};
use ivf_core::{DirectMapKind, IdSelector, ListNo, Location, SearchParams};
use std::collections::HashMap;
use std::sync::OnceLock;

/// The cost of one lookup in a direct map, with its place put in order, in tests of an id by a
/// selector.
const LOOKUP: usize = 16;

/// What a selector chooses of a list is kept if each list is asked for so many times, on average.
const AGAIN: usize = 2;

/// The filters of a search.
pub(super) enum Filters<'a> {
    /// Everything may be found.
    None,
    /// One for all queries.
    Common(Filter<'a>),
    /// One a query, if it has one: its number among the different ones.
    Each(Vec<Option<usize>>, Vec<Filter<'a>>),
}

impl<'a> Filters<'a> {
    /// The filters that `params` ask for, in a search of `queries` that scans about `lists` lists for each.
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
        Self::Each(of_queries, made.collect())
    }

    /// The filter of a query.
    pub(super) fn of(&self, query: usize) -> Option<&Filter<'a>> {
        match self {
            Self::None => None,
            Self::Common(filter) => Some(filter),
            Self::Each(of_queries, filters) => of_queries[query].map(|number| &filters[number]),
        }
    }
}

/// A selector over the lists of an index.
///
/// What it chooses of a list comes from one of three: from the direct map, if the selector can name few ids; from the list's ids,
/// kept for the whole call, if many queries come by; from the list's ids, made for a query and forgotten.
pub(super) struct Filter<'a> {
    prepared: Prepared<'a>,
    /// Where the chosen ids stand, ascending.
    places: Option<Vec<Location>>,
    /// What is chosen of each segment of each list; empty if that is not kept.
    known: Vec<OnceLock<Vec<Selected>>>,
}

/// What is chosen of the list that was asked for last: room for a [`Filter`] that keeps nothing.
#[derive(Default)]
pub(super) struct Last {
    list: Option<ListNo>,
    selected: Vec<Selected>,
}

impl Last {
    /// Forgets the list: another filter is asked from now on.
    pub(super) fn forget(&mut self) {
        self.list = None;
    }
}

impl<'a> Filter<'a> {
    /// A filter for a search that passes over about `passes` codes, the same ones again and again perhaps.
    pub(super) fn new(selector: &'a IdSelector<'a>, entries: &Entries, passes: usize) -> Self {
        let tests = passes.min(entries.len);
        let places = entries.named_places(selector, tests / LOOKUP);
        // Room for what is kept takes no more time than the scan: of many lists that are mostly
        // empty, nothing is.
        let nlist = entries.lists.nlist();
        let keep = places.is_none() && passes > 0 && passes >= entries.len.saturating_mul(AGAIN).max(nlist);
        let lists = if keep { nlist } else { 0 };
        Self { prepared: selector.prepare(tests), places, known: (0..lists).map(|_| OnceLock::new()).collect() }
    }

    /// False if nothing is chosen of a list, as far as that is known without reading it.
    pub(super) fn may_choose_of(&self, list: ListNo) -> bool {
        match &self.places {
            Some(places) => !of_list(places, list).is_empty(),
            None => true,
        }
    }

    /// What is chosen of each segment of a list.
    pub(super) fn select<'s>(&'s self, list: ListNo, entries: &ListRef<'_>, last: &'s mut Last) -> &'s [Selected] {
        if let Some(known) = self.known.get(list.index()) {
            return known.get_or_init(|| self.make(list, entries));
        }
        if last.list != Some(list) {
            last.selected = self.make(list, entries);
            last.list = Some(list);
        }
        &last.selected
    }

    fn make(&self, list: ListNo, entries: &ListRef<'_>) -> Vec<Selected> {
        let Some(places) = &self.places else {
            return entries.segments().map(|segment| self.prepared.select(segment.ids())).collect();
        };
        let mut left = of_list(places, list);
        let of_segment = |(first, len): (usize, usize)| {
            let (here, rest) = left.split_at(left.partition_point(|place| place.offset.index() < first + len));
            left = rest;
            let mut mask = Mask::of_range(len, 0..0);
            here.iter().for_each(|place| mask.set(place.offset.index() - first));
            Selected::of_mask(mask)
        };
        entries.placed().map(|(first, segment)| (first, segment.len())).map(of_segment).collect()
    }
}

/// The places in one list, of places in order.
fn of_list(places: &[Location], list: ListNo) -> &[Location] {
    let from = &places[places.partition_point(|place| place.list < list)..];
    &from[..from.partition_point(|place| place.list == list)]
}

impl Entries {
    /// The places of the chosen ids, in order, if there is a map to find them in, and the selector names at most `most`.
    fn named_places(&self, selector: &IdSelector<'_>, most: usize) -> Option<Vec<Location>> {
        if self.map.kind() == DirectMapKind::None {
            return None;
        }
        let mut places: Vec<Location> = selector.listed(most)?.iter().flat_map(|id| self.map.places(*id)).collect();
        places.sort_unstable();
        Some(places)
    }
}
