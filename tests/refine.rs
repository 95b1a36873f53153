//! Candidates that the codes of another codec re-rank.

use ivf::cpu::{CodesIndex, Refine};
use ivf::error::TrainError;
use ivf::{Cancel, Id, IdSelector, Index, Metric, Rows, SearchParams, TrainOptions, default_registry};
use ivf_testkit::data;
use std::collections::HashSet;

const DIM: usize = 16;
const VECTORS: usize = 3000;
const QUERIES: usize = 50;
const K: usize = 10;

/// Codecs of the refining index: of bytes, of half-bytes in blocks, of planes, with tables, and of
/// more bits than a byte.
const CODECS: [&str; 7] = ["SQ8", "SQfp16", "SQ6", "RaBitQ4", "PQ8", "PQ8x4fs", "PQ4x9"];

fn filled(spec: &str, metric: Metric, vectors: Rows<'_, f32>) -> Box<dyn Index> {
    let mut index = ivf::build(spec, DIM, metric).unwrap_or_else(|error| panic!("{error}"));
    index.train(vectors).unwrap_or_else(|error| panic!("{spec}: {error}"));
    index.add(vectors).unwrap_or_else(|error| panic!("{spec}: {error}"));
    index
}

/// The candidates of a base are re-ordered by the distances that the codec alone computes, bit for
/// bit, and the vectors are those of its codes.
#[test]
fn results_are_those_of_the_codec_among_the_candidates() {
    let vectors = data::clusters(1, VECTORS, DIM, 30);
    let queries = data::clusters(2, QUERIES, DIM, 30);
    for metric in [Metric::L2, Metric::InnerProduct] {
        let base = filled("IVF8,PQ8x4fs", metric, vectors.rows());
        for codec in CODECS {
            let spec = format!("IVF8,PQ8x4fs,Refine({codec})");
            let index = filled(&spec, metric, vectors.rows());
            assert_eq!(index.spec(), spec);
            let codes = filled(codec, metric, vectors.rows());
            let params = SearchParams::new().nprobe(8);
            let candidates = base.search(queries.rows(), 3 * K, &params.clone().set("raw_sums", true)).unwrap().hits;
            let found = index.search(queries.rows(), K, &params.k_factor_rf(3.0)).unwrap().hits;
            for i in 0..QUERIES {
                let ids: HashSet<Id> = candidates.row(i).ids.iter().copied().collect();
                let selector = IdSelector::set(ids);
                let expected = codes
                    .search(queries.rows().slice(i..i + 1), K, &SearchParams::new().selector(&selector))
                    .unwrap()
                    .hits;
                assert_eq!((found.row(i), found.row(i).len()), (expected.row(0), K), "{spec}, {metric}, query {i}");
            }
            assert_eq!(index.reconstruct(Id(77)).unwrap(), codes.reconstruct(Id(77)).unwrap(), "{spec}");
        }
    }
}

#[test]
fn finer_codes_find_more() {
    let vectors = data::clusters(1, VECTORS, DIM, 30);
    let queries = data::clusters(2, QUERIES, DIM, 30);
    let truth = filled("Flat", Metric::L2, vectors.rows()).search(queries.rows(), K, &SearchParams::new()).unwrap();
    let recall = |spec: &str| {
        let found =
            filled(spec, Metric::L2, vectors.rows()).search(queries.rows(), K, &SearchParams::new().nprobe(8)).unwrap();
        let hits = (0..QUERIES).map(|i| {
            let ids = found.hits.row(i).ids;
            truth.hits.row(i).ids.iter().filter(|id| ids.contains(id)).count()
        });
        hits.sum::<usize>() as f64 / (K * QUERIES) as f64
    };
    let (alone, coarse, fine, full) = (
        recall("IVF8,PQ2"),
        recall("IVF8,PQ2,Refine(PQ8x4)"),
        recall("IVF8,PQ2,Refine(SQ8)"),
        recall("IVF8,PQ2,RFlat"),
    );
    let found = format!("{alone} alone, then {coarse}, {fine}, and {full} by full vectors");
    assert!(alone + 0.05 < coarse && coarse < fine && fine <= full && full < fine + 0.03, "{found}");
}

#[test]
fn training_learns_both_or_neither() {
    let vectors = data::clusters(1, VECTORS, DIM, 30);
    let options = TrainOptions::new().iterations(3);
    let mut index = ivf::build("IVF8,Flat,Refine(PQ4)", DIM, Metric::L2).unwrap();
    let train = index.as_train().unwrap();
    // The base alone learns from 8 x 256 vectors.
    assert_eq!(train.training_points(&options), 256 * 256);

    // Enough for eight lists, and too few for 256 centroids.
    let error = index.train_with(vectors.rows().slice(0..200), &options).unwrap_err();
    assert!(matches!(&error, TrainError::TooFew { needed: 256, found: 200, .. }), "{error}");
    let wrapped = |index: &dyn Index| index.wrapped().map(|base| base.is_trained());
    assert_eq!((index.is_trained(), wrapped(&*index)), (false, Some(false)));
    let cancel = Cancel::new();
    cancel.cancel();
    let cancelled = index.train_with(vectors.rows(), &options.cancel(&cancel));
    assert!(matches!(cancelled, Err(TrainError::Cancelled)), "{cancelled:?}");
    assert_eq!((index.is_trained(), wrapped(&*index)), (false, Some(false)));

    let report = index.train_with(vectors.rows(), &options).unwrap();
    let of_base = ivf::build("IVF8,Flat", DIM, Metric::L2).unwrap().train_with(vectors.rows(), &options).unwrap();
    // One k-means for the lists, and one for the codebooks.
    assert_eq!((report.objectives.len(), of_base.objectives.len()), (2, 1));
    assert!(report.points == VECTORS && index.is_trained());

    // A failure leaves a trained index as it was, with its old codebooks.
    let before = index.clone_index().unwrap();
    assert!(index.train_with(vectors.rows().slice(0..200), &options).is_err());
    assert!(index.export().unwrap().same(&before.export().unwrap()));
    index.add(vectors.rows()).unwrap();
    let error = index.train_with(vectors.rows(), &options).unwrap_err();
    assert!(matches!(error, TrainError::NotEmpty { len: VECTORS }), "{error}");
}

/// A base that needs no training is trained for the sake of the refining codec.
#[test]
fn the_refining_codec_alone_may_learn() {
    let vectors = data::clusters(1, VECTORS, DIM, 30);
    for (spec, learns) in [("Flat,RFlat", false), ("Flat,Refine(SQfp16)", false), ("Flat,Refine(SQ8)", true)] {
        let mut index = ivf::build(spec, DIM, Metric::L2).unwrap();
        assert_eq!((index.as_train().is_some(), index.is_trained()), (learns, !learns), "{spec}");
        let added = index.add(vectors.rows());
        assert_eq!(added.is_err(), learns, "{spec}: {added:?}");
        assert_eq!(index.len(), if learns { 0 } else { VECTORS }, "{spec}");
    }
}

#[test]
fn ids_stay_together_through_removals_and_updates() {
    let vectors = data::clusters(1, VECTORS, DIM, 30);
    let mut index = filled("IVF8,PQ4,Refine(SQ8)", Metric::L2, vectors.rows());
    let codes = filled("SQ8", Metric::L2, vectors.rows());
    index.remove(&IdSelector::range(10..1000)).unwrap();
    index.update(&[Id(2000)], vectors.rows().slice(500..501)).unwrap();
    index.add(vectors.rows().slice(20..21)).unwrap();
    for (id, row) in [(5, 5), (1500, 1500), (2000, 500), (VECTORS as i64, 20)] {
        assert_eq!(index.reconstruct(Id(id)).unwrap(), codes.reconstruct(Id(row)).unwrap(), "{id}");
        let query = vectors.rows().slice(row as usize..row as usize + 1);
        let found = index.search(query, 1, &SearchParams::new().nprobe(8)).unwrap().hits;
        assert_eq!(found.row(0).ids, [Id(id)]);
    }
}

#[test]
fn codecs_that_do_not_fit_are_refused() {
    let registry = default_registry();
    for (spec, metric, token, words) in [
        ("IVF8,PQ4,Refine(PQ3)", Metric::L2, "PQ3", "the number of subquantizers, 3, must divide it"),
        ("Flat,Refine(SQ8)", Metric::L1, "SQ8", "does not support the metric l1"),
    ] {
        let error = ivf::build(spec, DIM, metric).unwrap_err();
        let ivf::FactoryError::Build(error) = error else { panic!("{error}") };
        assert_eq!(&error.input[error.span.clone()], token, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    let codes = |dim, metric| CodesIndex::new(dim, metric, registry.codec_spec("example", "SQ8").unwrap()).unwrap();
    let base = || ivf::build("IVF8,PQ4", DIM, Metric::L2).unwrap();
    assert_eq!(Refine::from_parts(base(), codes(DIM, Metric::L2), 2.0).unwrap().spec(), "IVF8,PQ4,Refine(SQ8)");
    assert!(Refine::from_parts(base(), codes(DIM, Metric::InnerProduct), 2.0).is_err());
    assert!(Refine::from_parts(base(), codes(8, Metric::L2), 2.0).is_err());
    // `Flat` by name has full vectors, each of them contiguous.
    let flat = Refine::new(base(), registry.codec_spec("example", "Flat").unwrap()).unwrap();
    let same = Refine::flat(base()).unwrap();
    assert!(flat.export().unwrap().same(&same.export().unwrap()) && flat.spec() == "IVF8,PQ4,RFlat");
}

/// An index that is written before it is trained knows its codec by name only.
#[test]
fn codes_are_contiguous_also_in_an_index_that_was_read_before_training() {
    let vectors = data::clusters(1, VECTORS, DIM, 30);
    let folder = tempfile::tempdir().unwrap();
    for (spec, tag) in [("IVF8,PQ4,Refine(SQ8)", "rows"), ("IVF8,PQ4+8", "rows"), ("IVF8,PQ4,RFlat", "flat")] {
        let path = folder.path().join("untrained.ivf");
        ivf::write_index(&*ivf::build(spec, DIM, Metric::L2).unwrap(), &path).unwrap();
        let mut index = ivf::read_index(&path).unwrap();
        index.train(vectors.rows()).unwrap();
        index.add(vectors.rows()).unwrap();
        let node = index.export().unwrap().to_stored();
        let inner = node.child("refine").unwrap().child("inner").unwrap();
        assert_eq!(inner.child("codec").unwrap().tag, tag, "{spec}");
    }
}
