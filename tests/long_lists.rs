//! Lists longer than a task or a collector batch, and calls with more queries than a block.

use ivf::{Hits, Id, IdSelector, Index, Metric, ParallelMode, QueryParams, SearchParams, Sink};
use ivf_testkit::data::{self, Vectors};

const DIM: usize = 4;

fn filled(spec: &str, vectors: &Vectors) -> Box<dyn Index> {
    let mut index = ivf::build(spec, DIM, Metric::L2).expect("a good string");
    index.train(vectors.rows().slice(0..vectors.len().min(4000))).expect("enough vectors");
    index.add(vectors.rows()).expect("trained");
    index
}

/// Returns, for each query, the first `k` ids of all its results that its selector keeps.
fn filtered(all: &Hits, k: usize, params: &SearchParams<'_>) -> Vec<Vec<Id>> {
    let may = |q: usize, id: &Id| params.of_query(q).selector.is_none_or(|selector| selector.contains(*id));
    let rows = all.rows().enumerate();
    rows.map(|(q, row)| row.ids.iter().copied().filter(|id| may(q, id)).take(k).collect()).collect()
}

fn ids(hits: &Hits) -> Vec<Vec<Id>> {
    hits.rows().map(|row| row.ids.to_vec()).collect()
}

#[test]
fn long_lists_are_scanned_whole_in_every_mode_and_with_every_filter() {
    const N: usize = 150_000;
    let (vectors, queries) = (data::small_integers(1, N, DIM, 40), data::small_integers(2, 6, DIM, 40));
    let rare = |id: Id| id.0 % 40_000 == 7;
    let selectors = [
        IdSelector::range(40_000..41_000),
        IdSelector::sorted((0..N as i64).step_by(3000).map(Id).collect()),
        IdSelector::set((0..N as i64).step_by(7).map(Id)),
        IdSelector::Bitmap((0..18_750).map(|byte| if byte % 17 == 0 { 0x81 } else { 0 }).collect()),
        IdSelector::range(149_990..200_000),
        IdSelector::Fn(&rare),
    ];
    let own: Vec<QueryParams<'_>> = selectors.iter().map(|one| QueryParams::new().selector(one)).collect();
    for spec in ["Flat", "IVF2,Flat", "IVF2,PQ2"] {
        let mut index = filled(spec, &vectors);
        for map in [0, 2] {
            index.set_knob("direct_map", map).expect("any ids");
            for max_codes in [0, 50_000, 100_001] {
                let mut plain = SearchParams::new();
                if let Some(ivf) = index.as_ivf() {
                    (plain.nprobe, plain.max_codes) = (Some(ivf.nlist()), Some(max_codes));
                }
                let all = index.search(queries.rows(), N, &plain).expect("good queries").hits;
                for params in
                    selectors.iter().map(|one| plain.clone().selector(one)).chain([plain.clone().per_query(&own)])
                {
                    let expected = filtered(&all, 20, &params);
                    for mode in ParallelMode::ALL {
                        let found = index.search(queries.rows(), 20, &params.clone().mode(mode)).expect("queries").hits;
                        assert_eq!(ids(&found), expected, "{spec}, map {map}, {max_codes} codes, {mode:?}, {params:?}");
                    }
                    if let (Some(ivf), None) = (index.as_ivf(), params.per_query) {
                        let mut sink = Sink::top_k(20);
                        let query = queries.rows().slice(0..1);
                        ivf.search_one(query.into(), &mut sink, &params).expect("a good query");
                        let found: Vec<Id> = sink.into_sorted().iter().map(|hit| hit.id).collect();
                        assert_eq!(found, expected[0], "{spec}, map {map}, {max_codes} codes, one query, {params:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn what_a_filter_leaves_of_a_list_ends_where_the_limit_does() {
    let (vectors, queries) = (data::small_integers(3, 400, DIM, 30), data::small_integers(4, 64, DIM, 30));
    let even = |id: Id| id.0 % 2 == 0;
    for (spec, selector) in [("IVF2,Flat", IdSelector::Fn(&even)), ("IVF2,PQ2", !IdSelector::range(10..300))] {
        let index = filled(spec, &vectors);
        for max_codes in 1..=400 {
            let plain = SearchParams::new().nprobe(2).max_codes(max_codes).mode(ParallelMode::ListMajor);
            let all = index.search(queries.rows(), 400, &plain).expect("good queries").hits;
            let params = plain.clone().selector(&selector);
            let found = index.search(queries.rows(), 50, &params).expect("good queries").hits;
            assert_eq!(ids(&found), filtered(&all, 50, &params), "{spec}, {max_codes} codes");
        }
    }
}

#[test]
fn many_queries_find_what_each_finds_alone() {
    const N: usize = 33_000;
    let index = filled("IVF32,Flat", &data::small_integers(5, 3000, DIM, 40));
    let queries = data::small_integers(6, N, DIM, 40);
    let selectors: Vec<IdSelector<'_>> = (0..10).map(|s| IdSelector::range(s * 300..s * 300 + 40)).collect();
    let own = |i: usize| {
        let own = QueryParams::new().nprobe(1 + i % 5);
        if i.is_multiple_of(11) { own } else { own.selector(&selectors[i % 10]).max_lists(i % 7) }
    };
    let own: Vec<QueryParams<'_>> = (0..N).map(own).collect();
    let range = index.as_range_search().expect("supported");
    for (ensure_k, is_range) in [(false, false), (true, false), (false, true)] {
        let search = |some: std::ops::Range<usize>| {
            let params = SearchParams::new().per_query(&own[some.clone()]);
            let rows = queries.rows().slice(some);
            let found = if is_range {
                range.range_search(rows.into(), 30.0, &params.max_results(3).max_empty_lists(1))
            } else {
                index.search(rows, 5, &params.clone().ensure_k(ensure_k))
            };
            found.expect("good queries").hits
        };
        let together = search(0..N);
        for q in (0..N).step_by(97) {
            assert_eq!(search(q..q + 1).row(0), together.row(q), "query {q}, ensure_k {ensure_k}, range {is_range}");
        }
    }
}

#[test]
fn a_capped_range_search_ends_where_an_uncapped_one_does() {
    // The lists lie around 0, 10, 20 and 30. Seen from the query at 0, the first probed list has a
    // near vector, the second a farther one, the third none within the radius, and the last the
    // nearest.
    let mut index = ivf::build("IVF4,Flat", DIM, Metric::L2).expect("a good string");
    let centre = |x: f32| vec![x; DIM];
    let training: Vec<f32> = (0..40).flat_map(|i| centre((i % 4) as f32 * 10.0)).collect();
    index.train(ivf::Rows::new(&training, DIM).expect("whole rows")).expect("enough vectors");
    let query = centre(0.0);
    let row = ivf::Rows::new(&query, DIM).expect("one row");
    let probes =
        index.as_ivf().expect("an inverted file").assign(row.into(), 4, &SearchParams::new()).expect("one query");
    let order: Vec<ivf::ListNo> = probes.row(0).filter_map(|(list, _)| list).collect();
    // One vector for each list, in probe order. The third is beyond the radius.
    for (list, x) in order.iter().zip([1.0, 2.0, 90.0, 0.5]) {
        let vector = centre(x);
        let ivf = index.as_ivf_mut().expect("an inverted file");
        let vector = ivf::Rows::new(&vector, DIM).expect("one row");
        ivf.add_preassigned(vector.into(), &[Some(*list)], None, &ivf::AddOptions::new()).expect("a list");
    }
    let range = index.as_range_search().expect("supported");
    let search = |most: usize, empty: usize| {
        let params = SearchParams::new().nprobe(4).max_results(most).max_empty_lists(empty);
        range.range_search(row.into(), 100.0, &params).expect("a good query").hits.ids().to_vec()
    };
    assert_eq!(search(0, 1), [Id(0), Id(1)], "the third list ends it");
    assert_eq!(search(1, 1), [Id(0)], "the second has a result, though a worse one");
    assert_eq!(search(1, 2), [Id(3)]);
    assert_eq!(search(0, 2), [Id(3), Id(0), Id(1)]);
}
