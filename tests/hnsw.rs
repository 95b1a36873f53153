//! Graphs: many copies of a vector, tokens, and graphs of centroids. (The conformance suites in
//! tests/matrix.rs check recall, filters, files and threads.)

use ivf::{Id, IdSelector, KnobValue, Metric, Rows, SearchParams, Spec};
use ivf_testkit::data::{clusters, uniform};

const DIM: usize = 8;

#[test]
fn ten_thousand_copies_neither_hide_others_nor_slow_them_down() {
    for (factory, metric) in [("HNSW16", Metric::L2), ("HNSW16", Metric::Cosine), ("HNSW16,SQ8", Metric::L2)] {
        let others = clusters(1, 4000, DIM, 10);
        // In the middle of the others, at the start and at the end.
        let copy = others.rows().row(17).to_vec();
        let mut rows = Vec::new();
        for (i, row) in others.rows().iter().enumerate() {
            rows.extend_from_slice(row);
            let times = if matches!(i, 0 | 3999) { 1000 } else { 2 };
            (0..times).for_each(|_| rows.extend_from_slice(&copy));
        }
        let rows = Rows::new(&rows, DIM).expect("whole rows");
        assert!(rows.len() > 13_000);
        let mut index = ivf::build(factory, DIM, metric).expect("a good string");
        index.train(rows).expect("enough vectors");
        index.add(rows.slice(0..5000)).expect("finite vectors");
        index.add(rows.slice(5000..rows.len())).expect("finite vectors");

        // The copies come in the order of their ids, all at the same distance.
        let query = Rows::new(&copy, DIM).expect("a row");
        let found = index.search(query, 3000, &SearchParams::new()).expect("a good query").hits;
        let is_copy = |id: &Id| rows.row(id.0 as usize) == copy;
        let copies: Vec<Id> = (0..rows.len() as i64).map(Id).filter(is_copy).take(3000).collect();
        assert!(factory.contains("SQ8") || found.row(0).ids == copies, "{factory}, {metric}");
        let few = index.search(query, 5, &SearchParams::new()).expect("a good query");
        assert_eq!(few.hits.row(0).ids, &found.row(0).ids[..5]);

        // The others are found among them, with few comparisons.
        let params = SearchParams::new().set("efSearch", 64);
        let found = index.search(others.rows(), 1, &params).expect("good queries");
        let right = found.hits.rows().zip(others.rows().iter());
        let right = right.filter(|(row, query)| rows.row(row.ids[0].0 as usize) == *query).count();
        let least = if factory.contains("SQ8") { 3000 } else { 3950 };
        assert!(right > least, "{factory}, {metric}: {right} of 4000 find themselves");
        assert!(found.stats.codes < 4000 * 2500, "{factory}: {} comparisons", found.stats.codes);

        // A filter that selects copies alone, and one that selects none of them.
        let last = IdSelector::range(rows.len() as i64 - 900..rows.len() as i64);
        for selector in [last, IdSelector::Fn(&|id: Id| id.0 == 0 || id.0 > 13_000)] {
            let params = SearchParams::new().selector(&selector);
            let found = index.search(query, 10, &params).expect("a good query").hits;
            assert!(found.row(0).len() == 10 && found.row(0).ids.iter().all(|id| selector.contains(*id)));
        }
    }
}

#[test]
fn few_vectors_are_all_found() {
    for len in [0, 1, 2, 15] {
        let mut index = ivf::build("HNSW2", DIM, Metric::L2).expect("a good string");
        let rows = uniform(1, len, DIM);
        index.add(rows.rows()).expect("finite vectors");
        let found = index.search(uniform(2, 3, DIM).rows(), 20, &SearchParams::new()).expect("good queries").hits;
        assert!(found.rows().all(|row| row.len() == len));
        let all = index.range_search(uniform(2, 3, DIM).rows(), f32::INFINITY).expect("good queries").hits;
        assert!(all.rows().all(|row| row.len() == len));
        index.reset().expect("in memory");
        assert!(index.is_empty() && index.add(rows.rows()).is_ok() && index.len() == len);
    }
}

#[test]
fn distances_that_overflow_are_far() {
    let rows: Vec<f32> = (0..2000 * DIM).map(|i| if i % 3 == 0 { f32::MAX } else { -f32::MAX }).collect();
    for metric in [Metric::L2, Metric::InnerProduct, Metric::L1] {
        let mut index = ivf::build("HNSW4", DIM, metric).expect("a good string");
        let rows = Rows::new(&rows, DIM).expect("whole rows");
        index.add(rows).expect("finite vectors");
        index.search(rows.slice(0..5), 3, &SearchParams::new()).expect("finite queries");
    }
}

#[test]
fn tokens_are_those_of_faiss() {
    for (factory, canonical) in [
        ("HNSW", "HNSW32"),
        ("HNSW16,Flat", "HNSW16"),
        ("HNSW16_Flat", "HNSW16"),
        ("HNSW_SQ8", "HNSW32,SQ8"),
        ("HNSW32_PQ4", "HNSW32,PQ4"),
        ("HNSW8,PQ4x4", "HNSW8,PQ4x4"),
        ("IVF64_HNSW,Flat", "IVF64_HNSW32,Flat"),
        ("IVF2k_HNSW8,PQ4", "IVF2048_HNSW8,PQ4"),
        ("IVF64(HNSW8),Flat", "IVF64_HNSW8,Flat"),
        ("IVF64(HNSW8,SQ8),Flat", "IVF64(HNSW8,SQ8),Flat"),
        ("IDMap2,HNSW8,RFlat", "IDMap2,HNSW8,RFlat"),
    ] {
        let spec: Spec = factory.parse().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(spec.to_string(), canonical);
        let index = spec.build(DIM, Metric::L2).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(index.spec(), canonical);
    }
}

#[test]
fn vectors_cannot_be_removed() {
    let mut index = ivf::build("HNSW8", DIM, Metric::L2).expect("a good string");
    let error = index.remove(&IdSelector::All).expect_err("it cannot");
    assert_eq!(error.to_string(), "HNSW8 cannot remove");
}

#[test]
fn a_graph_of_centroids_returns_as_many_lists_as_are_probed() {
    let mut index = ivf::build("IVF600_HNSW4,Flat", DIM, Metric::L2).expect("a good string");
    let rows = uniform(3, 6000, DIM);
    index.train(rows.rows()).expect("enough vectors");
    index.add(rows.rows()).expect("finite vectors");
    assert_eq!(index.knob("quantizer_efSearch"), Some(KnobValue::from(16)));
    let queries = uniform(4, 50, DIM);
    for nprobe in [1, 16, 100, 600] {
        let params = SearchParams::new().nprobe(nprobe);
        let found = index.search(queries.rows(), 1, &params).expect("good queries");
        assert_eq!(found.stats.lists, 50 * nprobe as u64, "nprobe {nprobe}");
    }
    // All lists are all vectors.
    let mut flat = ivf::build("Flat", DIM, Metric::L2).expect("a good string");
    flat.add(rows.rows()).expect("finite vectors");
    let all = index.search(queries.rows(), 10, &SearchParams::new().nprobe(600)).expect("good queries").hits;
    assert_eq!(all, flat.search(queries.rows(), 10, &SearchParams::new()).expect("good queries").hits);
    // A wider search of the graph finds nearer lists.
    let coarse = |ef: usize| {
        let params = SearchParams::new().nprobe(4).set("quantizer_efSearch", ef);
        index.search(queries.rows(), 10, &params).expect("good queries").hits
    };
    let right =
        |(found, all): (ivf::HitsRow<'_>, ivf::HitsRow<'_>)| found.ids.iter().filter(|id| all.ids.contains(id)).count();
    let recall = |found: &ivf::Hits| found.rows().zip(all.rows()).map(right).sum::<usize>();
    let wide = coarse(200);
    assert!(recall(&wide) > recall(&coarse(1)), "{} and {}", recall(&wide), recall(&coarse(1)));
    index.set_knob("quantizer_efSearch", 200).expect("a knob");
    assert_eq!(index.search(queries.rows(), 10, &SearchParams::new().nprobe(4)).expect("good queries").hits, wide);
}
