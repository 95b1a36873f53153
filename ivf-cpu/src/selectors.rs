//! Selectors of the caller's ids, for an inner index that has numbers of its own.

use ivf_core::{Id, IdSelector, QueryParams, SearchParams};
use std::iter;

/// A function that returns whether a number may be found.
type Keep<'a> = Box<dyn Fn(Id) -> bool + Sync + 'a>;

/// Runs a search with parameters whose selectors are translated, those of single queries as well.
///
/// `listed` returns the numbers that a selector selects, or `None` if it is better to test the
/// number of each vector that is scanned. `keep` is that test.
pub(crate) fn with_translated<T>(
    params: &SearchParams<'_>,
    listed: impl Fn(&IdSelector<'_>) -> Option<Vec<Id>>,
    keep: impl Fn(&IdSelector<'_>, Id) -> bool + Sync,
    search: impl FnOnce(&SearchParams<'_>) -> T,
) -> T {
    let queries = params.per_query.unwrap_or_default();
    let asked = || iter::once(params.selector).chain(queries.iter().map(|one| one.selector));
    let keep = &keep;
    let keep_of = |selector| -> Keep<'_> { Box::new(move |number| keep(selector, number)) };
    let keeps: Vec<Option<Keep<'_>>> = asked().map(|selector| selector.map(keep_of)).collect();
    let translated = asked().zip(&keeps).map(|(selector, keep)| {
        let keep = keep.as_ref()?;
        Some(listed(selector?).map_or(IdSelector::Fn(&**keep), IdSelector::sorted))
    });
    let translated: Vec<Option<IdSelector<'_>>> = translated.collect();
    let of_queries = queries.iter().zip(&translated[1..]).map(|(one, selector)| {
        let mut one: QueryParams<'_> = *one;
        one.selector = selector.as_ref();
        one
    });
    let of_queries: Vec<QueryParams<'_>> = of_queries.collect();
    let mut params: SearchParams<'_> = params.clone();
    params.selector = translated[0].as_ref();
    params.per_query = params.per_query.map(|_| &of_queries[..]);
    search(&params)
}
