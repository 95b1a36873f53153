//! Candidates that another index re-ranks, which is more than a codec.

use ivf::cpu::Refine;
use ivf::error::SearchError;
use ivf::params::NonFinite;
use ivf::{AddOptions, Id, IdSelector, Index, Metric, Rows, SearchParams};
use ivf_testkit::data;

const DIM: usize = 16;
const VECTORS: usize = 1200;
const K: usize = 6;

/// Indexes that re-rank: of lists, behind a transform, with ids, refining in turn, of distinct
/// vectors, of shards.
const INDEXES: [&str; 8] = [
    "IVF16,Flat",
    "IVF8,PQ8",
    "L2norm,Flat",
    "L2norm,IVF8,SQ8",
    "IDMap2,Flat",
    "PQ4,RFlat",
    "IVF8,FlatDedup",
    "Shards2(IVF4,Flat)",
];

fn filled(spec: &str, metric: Metric) -> Box<dyn Index> {
    let mut index = ivf::build(spec, DIM, metric).unwrap_or_else(|error| panic!("{error}"));
    let vectors = data::clusters(1, VECTORS, DIM, 20);
    index.train(vectors.rows()).unwrap_or_else(|error| panic!("{spec}: {error}"));
    index.add(vectors.rows()).unwrap_or_else(|error| panic!("{spec}: {error}"));
    index
}

/// The results are the candidates of the base, in the order of the other index alone.
#[test]
fn results_are_those_of_the_other_index_among_the_candidates() {
    let queries = data::clusters(2, 20, DIM, 20);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.ivf");
    for metric in [Metric::L2, Metric::InnerProduct, Metric::Cosine] {
        let base = filled("IVF8,PQ4", metric);
        for by in INDEXES {
            let spec = format!("IVF8,PQ4,Refine({by})");
            let index = filled(&spec, metric);
            assert_eq!(index.spec(), spec);
            let other = filled(by, metric);
            let params = SearchParams::new().nprobe(4);
            let candidates = base.search(queries.rows(), 3 * K, &params).unwrap().hits;
            let params = params.k_factor_rf(3.0);
            let found = index.search(queries.rows(), K, &params).unwrap().hits;
            for (row, found) in found.rows().enumerate() {
                let selector = IdSelector::set(candidates.row(row).ids.iter().copied());
                let mut alone = SearchParams::new().selector(&selector);
                if other.takes().contains(ivf::SearchParam::Nprobe) {
                    alone.nprobe = Some(1000);
                }
                if other.takes().contains(ivf::SearchParam::KFactorRf) {
                    alone.k_factor_rf = Some(100.0);
                }
                let expected = other.search(queries.rows().slice(row..row + 1), K, &alone).unwrap().hits;
                assert_eq!(found.ids, expected.row(0).ids, "{spec}, {metric}, query {row}");
                let near = found.distances.iter().zip(expected.row(0).distances);
                assert!(near.into_iter().all(|(a, b)| (a - b).abs() <= 1e-4 * (1.0 + b.abs())), "{spec}, {metric}");
            }
            if index.as_reconstruct().is_some() {
                assert_eq!(index.reconstruct(Id(77)).unwrap(), other.reconstruct(Id(77)).unwrap(), "{spec}");
            }
            ivf::write_index(&index, &path).unwrap();
            let read = ivf::read_index(&path).unwrap();
            assert_eq!(read.search(queries.rows(), K, &params).unwrap().hits, found, "{spec}, {metric}");
        }
    }
}

#[test]
fn ids_stay_together_through_failures_removals_and_updates() {
    let vectors = data::clusters(1, VECTORS, DIM, 20);
    for (base, by) in [("IVF8,PQ4", "L2norm,IVF8,Flat"), ("L2norm,PQ4", "IVF4,Flat"), ("PQ4", "L2norm,Flat")] {
        let spec = format!("({base}),Refine({by})");
        let mut index = filled(&spec, Metric::L2);
        let before = index.clone_index().unwrap();
        // One of the two cannot take a zero vector.
        let rows = [vectors.rows().row(1).to_vec(), vec![0.0; DIM]].concat();
        assert!(index.add(Rows::new(&rows, DIM).unwrap()).is_err(), "{spec}");
        assert!(index.export().unwrap().same(&before.export().unwrap()), "{spec}: as it was before");
        index.remove(&IdSelector::range(10..1000)).unwrap();
        index.add(vectors.rows().slice(5..6)).unwrap();
        index.update(&[Id(1100)], vectors.rows().slice(500..501)).unwrap();
        let other = filled(by, Metric::L2);
        for (id, row) in [(3, 3), (VECTORS as i64, 5), (1100, 500)] {
            assert_eq!(index.reconstruct(Id(id)).unwrap(), other.reconstruct(Id(row)).unwrap(), "{spec}: {id}");
        }
        assert_eq!(index.len(), VECTORS - 990 + 1);
    }
}

/// What one of the two indexes skips, the other one skips too.
#[test]
fn skipped_rows_are_skipped_in_both_indexes() {
    let vectors = data::clusters(1, VECTORS, DIM, 20);
    let huge = vec![f32::MAX; DIM];
    for (base, by) in [
        ("PQ4", "L2norm,Flat"),
        ("L2norm,PQ4", "Flat"),
        ("IVF4,PQ4", "PCA8,L2norm,IVF4,Flat"),
        ("Center,L2norm,PQ4", "L2norm,Flat"),
        ("PQ4", "Flat"),
    ] {
        let spec = format!("({base}),Refine({by})");
        let mut index = filled(&spec, Metric::L2);
        let mut rows = vectors.rows().slice(0..6).as_slice().to_vec();
        rows[DIM..2 * DIM].fill(0.0);
        rows[3 * DIM] = f32::NAN;
        rows[4 * DIM..5 * DIM].copy_from_slice(&huge);
        let rows = Rows::new(&rows, DIM).unwrap();
        let options = AddOptions::new().non_finite(NonFinite::SkipRow);
        let report = index.add_with(rows, &options).unwrap();
        assert!(report.skipped.contains(&3), "{spec}: {:?}", report.skipped);
        // PCA moves the zero vector.
        assert_eq!(report.skipped.contains(&1), spec.contains("L2norm") && !spec.contains("PCA"), "{spec}");
        assert_eq!(index.len(), VECTORS + rows.len() - report.skipped.len(), "{spec}");
        // Every candidate can be re-ranked, and the index can be saved.
        let mut params = SearchParams::new().k_factor_rf(1000.0);
        params.nprobe = base.starts_with("IVF").then_some(4);
        let all = index.search(vectors.rows().slice(0..1), 2000, &params).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(all.hits.total(), index.len(), "{spec}");
        index.export().unwrap_or_else(|error| panic!("{spec}: {error}"));
        for row in (0..6).filter(|row| !report.skipped.contains(row)) {
            let id = Id((VECTORS + row) as i64);
            assert_eq!(all.hits.row(0).ids.iter().filter(|found| **found == id).count(), 1, "{spec}: {id}");
        }
    }
}

#[test]
fn a_query_that_a_transform_cannot_take_is_named_or_skipped() {
    let index = filled("PQ4,Refine(L2norm,Flat)", Metric::L2);
    let queries = [vec![1.0_f32; DIM], vec![0.0; DIM]].concat();
    let queries = Rows::new(&queries, DIM).unwrap();
    let error = index.search(queries, 3, &SearchParams::new()).unwrap_err();
    assert!(matches!(&error, SearchError::Input(ivf::error::InputError::ZeroVector { row: 1 })), "{error}");
    let found = index.search(queries, 3, &SearchParams::new().skip_bad_queries(true)).unwrap().hits;
    assert_eq!((found.row(0).len(), found.row(1).len()), (3, 0));
}

#[test]
fn an_index_that_cannot_is_refused_when_it_is_built() {
    let build = |dim, metric| ivf::build("PQ4", dim, metric).unwrap();
    let flat = |dim, metric| ivf::build("L2norm,Flat", dim, metric).unwrap();
    assert!(Refine::by_index(build(DIM, Metric::L2), flat(DIM, Metric::L2)).is_ok());
    for (refine, words) in [(flat(8, Metric::L2), "has 8"), (flat(DIM, Metric::InnerProduct), "metric")] {
        let error = Refine::by_index(build(DIM, Metric::L2), refine).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let error = Refine::by_index(build(DIM, Metric::L2), filled("L2norm,Flat", Metric::L2)).unwrap_err();
    assert!(error.to_string().contains("cannot start empty"), "{error}");
    // The token that is at fault is shown.
    let error = ivf::build("IVF8,PQ4,Refine(IVF4,PQ3)", DIM, Metric::L2).unwrap_err();
    let ivf::FactoryError::Build(error) = error else { panic!("{error}") };
    assert_eq!(&error.input[error.span.clone()], "PQ3", "{error}");
}

/// A codec in parentheses of its own is the same index, with codes in rows.
#[test]
fn a_codec_keeps_its_own_path() {
    for (text, spec) in
        [("Refine((SQ8))", "PQ4,Refine(SQ8)"), ("Refine(Flat)", "PQ4,RFlat"), ("Refine((PQ8x8))", "PQ4,Refine(PQ8)")]
    {
        let index = filled(&format!("PQ4,{text}"), Metric::L2);
        assert_eq!(index.spec(), spec);
        assert_eq!(index.export().unwrap().to_stored().child("refine").unwrap().tag, "codes", "{text}");
    }
}
