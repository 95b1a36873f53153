//! The suite for approximate indexes, against the oracle.

use super::MakeIndex;
use crate::data::{Vectors, clusters, sequential_ids, uniform};
use crate::oracle::{distance, exact};
use ivf_core::{Hits, Id, IdSelector, Index, SearchParams};

/// Number of vectors.
const VECTORS: usize = 3000;
/// Number of queries.
const QUERIES: usize = 40;
/// Number of results of a search.
const K: usize = 10;

/// Checks an approximate index of full vectors, whose ids are consecutive.
///
/// What it returns must be right: distances are those of the [oracle](crate::oracle) bit for bit,
/// results are in order, filters and radii hold, and no vector comes twice. A search must return as
/// many vectors as it should: `k`, or all that are selected. Of the true results, the share
/// `recall` must be found: in data of two kinds, with filters that select from a half of the
/// vectors to one of them, and within a radius.
///
/// # Panics
/// If a result is wrong or a call fails. The message names the check.
pub fn check_approximate(make: MakeIndex<'_>, recall: f64) {
    let dim = make().dim();
    for (name, base, queries) in [
        ("clusters", clusters(71, VECTORS, dim, 20), clusters(71, VECTORS + QUERIES, dim, 20)),
        ("uniform", uniform(72, VECTORS, dim), uniform(73, QUERIES, dim)),
    ] {
        // Positive vectors suit every metric.
        let positive = |vectors: Vectors| Vectors { data: vectors.data.iter().map(|x| x.abs() + 0.01).collect(), dim };
        let (base, queries) = (positive(base), positive(last(queries)));
        let mut index = make();
        let mut check = Check { at: format!("{}, {name}", index.spec()), base: &base, queries: &queries, recall };
        check.nearest(&*index, 0, K, None);
        let mut start = 0;
        for end in [1, 2, 40, 700, VECTORS] {
            let report = index.add(base.rows().slice(start..end));
            let report = report.unwrap_or_else(|error| panic!("{}: adding {start}..{end}: {error}", check.at));
            assert_eq!((report.added, index.len()), (end - start, end), "{}: vectors added", check.at);
            for k in [1, K, end + 50] {
                check.nearest(&*index, end, k, None);
            }
            start = end;
        }
        check.range(&*index);
        let nobody = IdSelector::range(-5..0);
        for share in [2, 10, 100, VECTORS as i64] {
            let some = move |id: Id| id.0 % share == share / 2;
            let ids = || (0..VECTORS as i64).map(Id).filter(|id| some(*id));
            let bitmap = ids().fold(vec![0; VECTORS.div_ceil(8)], |mut bytes: Vec<u8>, id| {
                bytes[id.0 as usize / 8] |= 1 << (id.0 % 8);
                bytes
            });
            for selector in [
                IdSelector::Fn(&some),
                IdSelector::sorted(ids().collect()),
                IdSelector::Bitmap(bitmap),
                IdSelector::range(100..100 + VECTORS as i64 / share),
                !IdSelector::range(100..VECTORS as i64 + 100 - VECTORS as i64 / share),
                nobody.clone(),
            ] {
                check.at = format!("{}, {name}, {selector:?} of one in {share}", index.spec());
                check.nearest(&*index, VECTORS, K, Some(&selector));
            }
        }
    }
}

/// Returns the last vectors, as queries from the same clusters as the others.
fn last(vectors: Vectors) -> Vectors {
    let start = (vectors.len() - QUERIES) * vectors.dim;
    Vectors { data: vectors.data[start..].to_vec(), dim: vectors.dim }
}

struct Check<'a> {
    at: String,
    base: &'a Vectors,
    queries: &'a Vectors,
    recall: f64,
}

impl Check<'_> {
    fn nearest(&self, index: &dyn Index, len: usize, k: usize, selector: Option<&IdSelector<'_>>) {
        let at = format!("{}, {len} vectors, k = {k}", self.at);
        let mut params = SearchParams::new();
        params.selector = selector;
        let found = index.search(self.queries.rows(), k, &params);
        let found = found.unwrap_or_else(|error| panic!("{at}: {error}")).hits;
        let keep = |id: Id| selector.is_none_or(|selector| selector.contains(id));
        let base = self.base.rows().slice(0..len);
        let expected = exact(index.metric(), base, &sequential_ids(len), self.queries.rows(), Some(k), None, keep);
        for (row, expected) in found.rows().zip(&expected) {
            assert_eq!(row.len(), expected.len(), "{at}: number of results");
        }
        self.check_hits(index, &found, &expected, &at);
    }

    fn range(&self, index: &dyn Index) {
        if index.as_range_search().is_none() {
            return;
        }
        let truth = |k, radius| {
            let ids = sequential_ids(VECTORS);
            exact(index.metric(), self.base.rows(), &ids, self.queries.rows(), k, radius, |_| true)
        };
        let nearest = truth(Some(VECTORS), None);
        // From a few results to all of them.
        for rank in [0, 5, 100, VECTORS / 2] {
            let radius = nearest[0][rank].1;
            let at = format!("{}, radius {radius}", self.at);
            let found = index.range_search(self.queries.rows(), radius);
            let found = found.unwrap_or_else(|error| panic!("{at}: {error}")).hits;
            self.check_hits(index, &found, &truth(None, Some(radius)), &at);
            let params = SearchParams::new().max_results(3);
            let capped = index.range_search_with(self.queries.rows(), radius, &params);
            let capped = capped.unwrap_or_else(|error| panic!("{at}, at most 3: {error}")).hits;
            assert!(
                capped.rows().zip(found.rows()).all(|(some, all)| all.ids.starts_with(some.ids)),
                "{at}, at most 3"
            );
        }
    }

    /// Checks that results are right, and that they have the expected recall.
    fn check_hits(&self, index: &dyn Index, found: &Hits, expected: &[Vec<(Id, f32)>], at: &str) {
        let metric = index.metric();
        let (mut right, mut all) = (0, 0);
        assert_eq!(found.len(), expected.len(), "{at}: a row of results for each query");
        for ((row, expected), query) in found.rows().zip(expected).zip(self.queries.rows().iter()) {
            for (id, found) in row {
                let vector = self.base.rows().row(usize::try_from(id.0).expect("an id that was added"));
                let true_distance = metric.to_user_distance(distance(metric, query, vector));
                assert!(found.to_bits() == true_distance.to_bits(), "{at}: {id} at {found}, not {true_distance}");
            }
            let key = |i: usize| (metric.to_user_distance(row.distances[i]), row.ids[i]);
            assert!((1..row.len()).all(|i| key(i - 1) < key(i)), "{at}: not in order: {row:?}");
            // Vectors at the same distance as the last are as good.
            right += row.ids.iter().filter(|id| expected.iter().any(|(known, _)| known == *id)).count();
            all += expected.len();
        }
        assert!(right as f64 >= self.recall * all as f64, "{at}: recall {} of {all}", right as f64 / all as f64);
    }
}
