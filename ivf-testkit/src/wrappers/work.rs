//! Checks of adding, searching and cloning through a wrapper.

use super::parts::{other_value, value_of};
use super::{MakeInner, train};
use crate::compare::{assert_exact, assert_same_hits};
use crate::data::{Vectors, any_ids, clusters, sequential_ids};
use crate::indexes::selectors;
use crate::oracle::exact;
use ivf_core::error::StoreError;
use ivf_core::{Hits, Id, Index, SearchParam, SearchParams};

/// Number of added vectors.
const VECTORS: usize = 300;
const QUERIES: usize = 6;
const K: usize = 10;

/// Returns vectors whose distances do not tie, so that the order of ids does not matter.
fn base(index: &dyn Index) -> Vectors {
    clusters(92, VECTORS, index.dim(), 8)
}

/// Adds vectors, with ids if the index takes ids, and returns the ids.
pub(super) fn fill(index: &mut dyn Index, at: &str) -> Vec<Id> {
    let base = base(index);
    let takes_ids = index.as_add_with_ids().is_some();
    let ids = ids(index);
    let added = if takes_ids { index.add_with_ids(base.rows(), &ids) } else { index.add(base.rows()) };
    added.unwrap_or_else(|error| panic!("{at}: adding {VECTORS} vectors: {error}"));
    assert_eq!(index.len(), VECTORS, "{at}: number of vectors");
    ids
}

fn ids(index: &mut dyn Index) -> Vec<Id> {
    if index.as_add_with_ids().is_some() { any_ids(93, VECTORS) } else { sequential_ids(VECTORS) }
}

fn search(index: &dyn Index, params: &SearchParams<'_>, at: &str) -> Hits {
    let queries = clusters(94, QUERIES, index.dim(), 8);
    index.search(queries.rows(), K, params).unwrap_or_else(|error| panic!("{at}: search: {error}")).hits
}

fn truth(index: &dyn Index, ids: &[Id], keep: &dyn Fn(Id) -> bool) -> Vec<Vec<(Id, f32)>> {
    let queries = clusters(94, QUERIES, index.dim(), 8);
    exact(index.metric(), base(index).rows(), ids, queries.rows(), Some(K), None, keep)
}

/// Returns whether the wrapper keeps the vectors that were added, as far as it can say.
fn keeps_vectors(index: &dyn Index, ids: &[Id], at: &str) -> bool {
    let Some(reconstruct) = index.as_reconstruct() else { return true };
    let base = base(index);
    let mut vectors = vec![0.0; base.data.len()];
    let found = reconstruct.reconstruct_many(ids, &mut vectors);
    found.unwrap_or_else(|error| panic!("{at}: reconstructing {VECTORS} vectors: {error}"));
    vectors == base.data
}

/// Checks that the wrapper finds what the oracle finds, if the wrapped index alone does. A wrapper
/// with codes of its own may keep other vectors, and is not checked then.
pub(super) fn check_exact(make_inner: MakeInner<'_>, index: &mut dyn Index, at: &str) {
    let mut inner = make_inner();
    train(&mut *inner, at);
    let inner_ids = fill(&mut *inner, at);
    let found = crate::compare::pairs(&search(&*inner, &SearchParams::new(), at));
    if found != truth(&*inner, &inner_ids, &|_| true) {
        return;
    }
    let ids = ids(index);
    if !keeps_vectors(index, &ids, at) {
        return;
    }
    let expected = truth(index, &ids, &|_| true);
    assert_exact(&search(index, &SearchParams::new(), at), &expected, format_args!("{at}, which is exact"));
    if !index.takes().contains(SearchParam::Selector) {
        return;
    }
    let odd = |id: Id| id.0 % 2 != 0;
    for selector in selectors(&ids, &odd) {
        let expected = truth(index, &ids, &|id| selector.contains(id));
        let found = search(index, &SearchParams::new().selector(&selector), at);
        assert_exact(&found, &expected, format_args!("{at}, {selector:?}"));
    }
}

/// Adds a few vectors with new ids.
fn add_some(index: &mut dyn Index, at: &str) {
    let more = clusters(95, QUERIES, index.dim(), 8);
    let ids: Vec<Id> = (0..QUERIES as i64).map(|i| Id(i64::from(i32::MAX) + i)).collect();
    let takes_ids = index.as_add_with_ids().is_some();
    let added = if takes_ids { index.add_with_ids(more.rows(), &ids) } else { index.add(more.rows()) };
    added.unwrap_or_else(|error| panic!("{at}: adding to one of two clones: {error}"));
}

/// Checks that writes and knobs of one clone do not show in another.
pub(super) fn check_clone(index: &dyn Index, at: &str) {
    let clone = |index: &dyn Index| match index.clone_index() {
        Ok(clone) => Some(clone),
        Err(StoreError::NoSnapshot { .. }) => None,
        Err(error) => panic!("{at}: a clone: {error}"),
    };
    let plain = SearchParams::new();
    let (len, parts, hits) = (index.len(), index.parts(), search(index, &plain, at));
    let Some(mut first) = clone(index) else { return };
    let Some(mut second) = clone(&*first) else { return };
    let is_unchanged = |index: &dyn Index, at: &str| {
        assert_eq!((index.len(), index.parts()), (len, parts.clone()), "{at}: vectors and parts");
        assert_same_hits(&search(index, &plain, at), &hits, at);
    };
    is_unchanged(&*second, &format!("{at}, a clone"));
    add_some(&mut *first, at);
    is_unchanged(&*second, &format!("{at}, after the other clone was added to"));
    is_unchanged(index, &format!("{at}, after a clone was added to"));
    let Some(mut third) = clone(&*second) else { return };
    add_some(&mut *second, at);
    is_unchanged(&*third, &format!("{at}, after what it is a clone of was added to"));
    set_some(&mut *third);
    is_unchanged(index, &format!("{at}, after knobs of a clone were set"));
}

/// Sets all knobs that can be set.
fn set_some(index: &mut dyn Index) {
    for part in index.parts() {
        for knob in &part.knobs {
            if let Some(value) = other_value(knob)
                && index.set_knob_at(&part.path, knob.name(), value.clone()).is_ok()
            {
                assert_eq!(
                    value_of(&index.parts(), &part.path, knob),
                    Some(value),
                    "{}: a knob that was set",
                    part.path
                );
            }
        }
    }
}
