//! The suite for exact indexes, against the oracle.

use super::{MakeIndex, Want, middle_radius, selectors};
use crate::compare::assert_exact;
use crate::data::{Vectors, any_ids, clusters, sequential_ids, small_integers};
use crate::oracle::exact;
use half::{bf16, f16};
use ivf_core::{AnyRows, Element, Id, Index, Rows, SearchParams};

/// Checks that an index that claims to be exact (`Flat`, or `IVF,Flat` that probes every list)
/// gives the ids and the bit-identical distances of the [oracle](crate::oracle::exact).
///
/// It checks k-NN and, if supported, range search, for `k` beyond the number of vectors, an empty
/// index and no queries. Vectors are added in batches, by `add` and with ids (negative and repeated
/// ones). Queries and vectors have every element type, and selectors are of every kind.
///
/// # Panics
/// If a result differs or a call fails. The message names the check.
pub fn check_exhaustive(make: MakeIndex<'_>) {
    let dim = make().dim();
    for (name, base, queries) in [
        ("integers", small_integers(31, 240, dim, 4).with_duplicates(32), small_integers(33, 9, dim, 4)),
        ("clusters", clusters(34, 180, dim, 6), clusters(35, 9, dim, 6)),
    ] {
        let mut index = make();
        let at = format!("{}, {name}", index.spec());
        assert!(index.is_trained() && index.is_empty(), "{at}: the index to check is trained and empty");
        check_results(&*index, &at, &Vectors { data: Vec::new(), dim }, &[], &queries);
        if index.as_add().is_some() {
            add_in_batches(&mut *index, &base, None, &at);
            check_results(&*index, &format!("{at}, added"), &base, &sequential_ids(base.len()), &queries);
        }
        let mut ids = any_ids(36, base.len());
        // Repeats some ids, and makes some small enough for bitmaps.
        (0..20).for_each(|i| ids[i * 7] = ids[i * 9 + 1]);
        (0..60).for_each(|i| ids[i * 3] = Id(i as i64));
        let mut index = make();
        if index.as_add_with_ids().is_some() {
            add_in_batches(&mut *index, &base, Some(&ids), &at);
            check_results(&*index, &format!("{at}, added with ids"), &base, &ids, &queries);
        }
    }
}

fn add_in_batches(index: &mut dyn Index, base: &Vectors, ids: Option<&[Id]>, at: &str) {
    let ends = [1, 1, 40, 47, 120, base.len()];
    let mut start = 0;
    let whole = is_whole(base);
    let (halves, bytes) = (cast::<f16>(base), cast::<u8>(base));
    for (batch, end) in ends.into_iter().enumerate() {
        let rows = match batch % 4 {
            1 if whole => any(&halves, base.dim),
            2 if whole => any(&bytes, base.dim),
            _ => base.rows().into(),
        };
        let rows = rows.slice(start..end);
        let report = match ids {
            Some(ids) => index.add_with_ids(rows, &ids[start..end]),
            None => index.add(rows),
        };
        let report = report.unwrap_or_else(|error| panic!("{at}: adding batch {batch} ({start}..{end}): {error}"));
        assert_eq!((report.added, &report.skipped[..]), (end - start, &[][..]), "{at}: report of batch {batch}");
        assert_eq!(index.len(), end, "{at}: number of vectors after batch {batch}");
        start = end;
    }
}

fn check_results(index: &dyn Index, at: &str, base: &Vectors, ids: &[Id], queries: &Vectors) {
    let metric = index.metric();
    let n = base.len();
    let truth = |want: Want, keep: &dyn Fn(Id) -> bool| {
        exact(metric, base.rows(), ids, queries.rows(), want.k(), want.radius(), keep)
    };
    let everything = truth(Want::K(n.max(1)), &|_| true);
    let mut wants: Vec<Want> = [1, 3, 10, n.max(1), n + 50].map(Want::K).to_vec();
    if index.as_range_search().is_some() {
        wants.extend([middle_radius(&everything).unwrap_or(1.0), 0.0, -1.0e30, 1.0e30].map(Want::Radius));
    }
    for &want in &wants {
        let at = format!("{at}, {want:?}");
        let check = |what: &str, rows: AnyRows<'_>, params: &SearchParams<'_>, expected: &[Vec<(Id, f32)>]| {
            let found = want.search(index, rows, params).unwrap_or_else(|error| panic!("{at}, {what}: {error}"));
            assert_exact(&found.hits, expected, format_args!("{at}, {what}"));
        };
        let plain = SearchParams::new();
        let expected = truth(want, &|_| true);
        check("f32", queries.rows().into(), &plain, &expected);
        check("no queries", queries.rows().slice(0..0).into(), &plain, &[]);
        if is_whole(queries) {
            check("f16", any(&cast::<f16>(queries), queries.dim), &plain, &expected);
            check("bf16", any(&cast::<bf16>(queries), queries.dim), &plain, &expected);
            check("u8", any(&cast::<u8>(queries), queries.dim), &plain, &expected);
            check("i8", any(&cast::<i8>(queries), queries.dim), &plain, &expected);
        }
        let odd = |id: Id| id.0 % 2 != 0;
        for selector in selectors(ids, &odd) {
            let expected = truth(want, &|id| selector.contains(id));
            check(&format!("{selector:?}"), queries.rows().into(), &plain.clone().selector(&selector), &expected);
        }
    }
}

/// Returns whether every element type can hold the values.
fn is_whole(vectors: &Vectors) -> bool {
    vectors.data.iter().all(|x| x.fract() == 0.0 && (0.0..128.0).contains(x))
}

fn cast<T: Element>(vectors: &Vectors) -> Vec<T> {
    vectors.data.iter().map(|&x| T::from_f32(x)).collect()
}

fn any<'a, T>(data: &'a [T], dim: usize) -> AnyRows<'a>
where
    AnyRows<'a>: From<Rows<'a, T>>,
{
    Rows::new(data, dim).expect("as many elements as the vectors have").into()
}
