//! `PQ<M>+<M2>`: candidates of a product quantizer, re-ranked by the codes of what it leaves.

use ivf::error::{AddError, CodeError, Computed, EditError, InputError, TrainError};
use ivf::node::StoredNode;
use ivf::params::NonFinite;
use ivf::{
    AddOptions, Cancel, Id, IdSelector, Index, Metric, Rows, SearchParams, TrainOptions, default_registry, read_index,
    write_index,
};
use ivf_testkit::data;
use std::collections::HashSet;

const DIM: usize = 16;
const VECTORS: usize = 3000;
const QUERIES: usize = 40;
const K: usize = 10;

fn filled(spec: &str, metric: Metric, vectors: Rows<'_, f32>) -> Box<dyn Index> {
    let mut index = ivf::build(spec, DIM, metric).unwrap_or_else(|error| panic!("{error}"));
    index.train(vectors).unwrap_or_else(|error| panic!("{spec}: {error}"));
    index.add(vectors).unwrap_or_else(|error| panic!("{spec}: {error}"));
    index
}

/// Returns what two codes of each vector stand for, computed step by step with two indexes.
fn sums(first: &dyn Index, second: &str, vectors: Rows<'_, f32>) -> Vec<f32> {
    let decoded = first.sa_decode(&first.sa_encode(vectors).unwrap()).unwrap();
    let residuals: Vec<f32> = vectors.as_slice().iter().zip(&decoded).map(|(x, decoded)| x - decoded).collect();
    let second = filled(second, first.metric(), Rows::new(&residuals, DIM).unwrap());
    let mut sums = Vec::new();
    for id in (0..vectors.len() as i64).map(Id) {
        let (x, residual) = (first.reconstruct(id).unwrap(), second.reconstruct(id).unwrap());
        sums.extend(x.iter().zip(&residual).map(|(x, residual)| x + residual));
    }
    sums
}

#[test]
fn results_are_exact_distances_to_the_sums_among_the_candidates() {
    let vectors = data::clusters(1, VECTORS, DIM, 30);
    let queries = data::clusters(2, QUERIES, DIM, 30);
    for metric in [Metric::L2, Metric::InnerProduct] {
        for (first, second) in [("PQ4", "8"), ("PQ8x4fs", "16"), ("PQ8x4fsr", "4x6"), ("PQ8x9", "2")] {
            let spec = format!("IVF8,{first}+{second}");
            let index = filled(&spec, metric, vectors.rows());
            assert_eq!(index.spec(), spec);
            let base = filled(&format!("IVF8,{first}"), metric, vectors.rows());
            let sums = sums(&*base, &format!("PQ{second}"), vectors.rows());
            let exact = filled("Flat", metric, Rows::new(&sums, DIM).unwrap());
            assert_eq!(index.reconstruct(Id(77)).unwrap(), exact.reconstruct(Id(77)).unwrap(), "{spec}");

            // All vectors are candidates.
            let all = SearchParams::new().nprobe(8).k_factor_rf((VECTORS / K) as f32);
            let found = index.search(queries.rows(), K, &all).unwrap().hits;
            let expected = exact.search(queries.rows(), K, &SearchParams::new()).unwrap().hits;
            assert_eq!(found, expected, "{spec}, {metric}");

            // Some are.
            let params = SearchParams::new().nprobe(8);
            let raw = params.clone().set("raw_sums", first.contains("fs"));
            let raw = if base.takes().contains_own("raw_sums") { raw } else { params.clone() };
            let candidates = base.search(queries.rows(), 3 * K, &raw).unwrap().hits;
            let (found, reconstructed) =
                index.search_and_reconstruct_with(queries.rows(), K, &params.k_factor_rf(3.0)).unwrap();
            for i in 0..QUERIES {
                let ids: HashSet<Id> = candidates.row(i).ids.iter().copied().collect();
                let (query, selector) = (queries.rows().slice(i..i + 1), IdSelector::set(ids));
                let expected = exact.search(query, K, &SearchParams::new().selector(&selector)).unwrap().hits;
                assert_eq!((found.hits.row(i), K), (expected.row(0), expected.total()), "{spec}, {metric}, query {i}");
            }
            for (id, vector) in found.hits.ids().iter().zip(reconstructed.chunks(DIM)) {
                assert_eq!(vector, exact.reconstruct(*id).unwrap(), "{spec}: {id}");
            }
            let decoded = index.sa_decode(&index.sa_encode(vectors.rows()).unwrap()).unwrap();
            assert!(decoded == sums, "{spec}: standalone codes");
        }
    }
}

#[test]
fn a_second_code_finds_more() {
    let vectors = data::clusters(1, VECTORS, DIM, 30);
    let queries = data::clusters(2, QUERIES, DIM, 30);
    for metric in [Metric::L2, Metric::InnerProduct, Metric::Cosine] {
        let truth = filled("Flat", metric, vectors.rows()).search(queries.rows(), K, &SearchParams::new()).unwrap();
        let recall = |spec: &str| {
            let params = SearchParams::new().nprobe(8);
            let found = filled(spec, metric, vectors.rows()).search(queries.rows(), K, &params).unwrap();
            let hits = (0..QUERIES).map(|i| {
                let ids = found.hits.row(i).ids;
                truth.hits.row(i).ids.iter().filter(|id| ids.contains(id)).count()
            });
            hits.sum::<usize>() as f64 / (K * QUERIES) as f64
        };
        let (alone, refined, full) = (recall("IVF8,PQ2"), recall("IVF8,PQ2+8"), recall("IVF8,PQ2,RFlat"));
        let found = format!("{metric}: {alone} alone, {refined}, and {full} by full vectors");
        assert!(alone + 0.1 < refined && refined <= full && full < refined + 0.1, "{found}");
    }
}

#[test]
fn training_learns_both_or_neither() {
    let vectors = data::clusters(1, VECTORS, DIM, 30);
    let options = TrainOptions::new().iterations(3);
    let mut index = ivf::build("IVF8,PQ4x4+4", DIM, Metric::L2).unwrap();
    assert_eq!(index.as_train().unwrap().training_points(&options), 256 * 256);
    // Enough for eight lists and 16 centroids, and too few for 256 centroids.
    let error = index.train_with(vectors.rows().slice(0..200), &options).unwrap_err();
    assert!(matches!(&error, TrainError::TooFew { needed: 256, found: 200, .. }), "{error}");
    let trained = |index: &dyn Index| (index.is_trained(), index.wrapped().map(|base| base.is_trained()));
    assert_eq!(trained(&*index), (false, Some(false)));
    let cancel = Cancel::new();
    cancel.cancel();
    let cancelled = index.train_with(vectors.rows(), &options.cancel(&cancel));
    assert!(matches!(cancelled, Err(TrainError::Cancelled)), "{cancelled:?}");
    assert_eq!(trained(&*index), (false, Some(false)));
    assert!(matches!(index.add(vectors.rows()), Err(AddError::NotTrained)));
    let updated = index.update(&[Id(0)], vectors.rows().slice(0..1));
    assert!(matches!(updated, Err(EditError::NotTrained)), "{updated:?}");

    let report = index.train_with(vectors.rows(), &options).unwrap();
    assert!(report.points == VECTORS && trained(&*index) == (true, Some(true)));
    let before = index.clone_index().unwrap();
    assert!(index.train_with(vectors.rows().slice(0..200), &options).is_err());
    assert!(index.export().unwrap().same(&before.export().unwrap()));
    index.add(vectors.rows()).unwrap();
    let cancelled = index.add_with(vectors.rows(), &AddOptions::new().cancel(&cancel));
    assert!(matches!(cancelled, Err(AddError::Cancelled)), "{cancelled:?}");
    let error = index.train_with(vectors.rows(), &options).unwrap_err();
    assert!(index.len() == VECTORS && matches!(error, TrainError::NotEmpty { len: VECTORS }), "{error}");
}

#[test]
fn both_codes_stay_together_through_edits_and_files() {
    let vectors = data::clusters(1, VECTORS, DIM, 30);
    let spec = "IVF8(IVF2,Flat),PQ4+8";
    let whole = filled(spec, Metric::L2, vectors.rows());
    let mut index = filled(spec, Metric::L2, vectors.rows());
    index.set_knob("k_factor", 7.0).unwrap();
    index.remove(&IdSelector::range(10..1000)).unwrap();
    index.update(&[Id(2000)], vectors.rows().slice(500..501)).unwrap();
    index.add(vectors.rows().slice(20..21)).unwrap();
    // A skipped row uses up its id.
    let mut more = vectors.rows().as_slice()[14 * DIM..17 * DIM].to_vec();
    (more[0], more[2 * DIM]) = (f32::NAN, f32::INFINITY);
    let skip = AddOptions::new().non_finite(NonFinite::SkipRow);
    let report = index.add_with(Rows::new(&more, DIM).unwrap(), &skip).unwrap();
    assert_eq!((report.added, report.skipped), (1, vec![0, 2]));
    index.add(vectors.rows().slice(30..31)).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.ivf");
    write_index(&*index, &path).unwrap();
    let back = read_index(&path).unwrap();
    assert_eq!((back.spec(), back.knob("k_factor_rf")), (spec.to_owned(), Some(7.0.into())));
    let snapshot = index.clone_index().unwrap();
    let n = VECTORS as i64;
    for (id, row) in [(5, 5), (1500, 1500), (2000, 500), (n, 20), (n + 2, 15), (n + 4, 30)] {
        let query = vectors.rows().slice(row as usize..row as usize + 1);
        for index in [&*index, &*back, &*snapshot] {
            assert_eq!(index.reconstruct(Id(id)).unwrap(), whole.reconstruct(Id(row)).unwrap(), "{id}");
            let found = index.search(query, 1, &SearchParams::new().nprobe(8)).unwrap().hits;
            assert_eq!(found.row(0).ids, [Id(id)]);
        }
    }
    index.reset().unwrap();
    index.add(vectors.rows()).unwrap();
    assert_eq!(index.reconstruct(Id(9)).unwrap(), whole.reconstruct(Id(9)).unwrap());
}

#[test]
fn a_residual_that_overflows_is_named_with_its_vector() {
    let far = vec![-3e38; 300];
    let mut index = ivf::build("IVF1,PQ1+1", 1, Metric::L2).unwrap();
    // All codes of the base stand for -3e38, and its own residuals are not computed.
    index.set_knob("by_residual", false).unwrap();
    index.train(Rows::new(&far, 1).unwrap()).unwrap();
    let overflow = |row| InputError::Overflow { row, what: Computed::CodeResidual };
    let data = [f32::NAN, -3e38, 3e38];
    let rows = Rows::new(&data, 1).unwrap();
    let before = index.clone_index().unwrap();
    let skip = AddOptions::new().non_finite(NonFinite::SkipRow);
    let Err(AddError::Input(error)) = index.add_with(rows, &skip) else { panic!("the last row overflows") };
    assert_eq!(error, overflow(2));
    let message = "vector 2 is too large: the residual of its first code (the vector minus what that code stands for) overflows f32";
    assert_eq!(error.to_string(), message);
    let Err(AddError::Input(error)) = index.add(rows.slice(1..3)) else { panic!("the last row overflows") };
    assert_eq!(error, overflow(1));
    let error = index.sa_encode(rows.slice(1..3)).unwrap_err();
    assert!(
        matches!(&error, CodeError::Input(error) | CodeError::Add(AddError::Input(error)) if *error == overflow(1)),
        "{error:?}"
    );
    assert!(index.export().unwrap().same(&before.export().unwrap()));
    index.add(rows.slice(1..2)).unwrap();
    let Err(EditError::Add(AddError::Input(error))) = index.update(&[Id(0)], rows.slice(2..3)) else {
        panic!("the row overflows")
    };
    assert_eq!((error, index.reconstruct(Id(0)).unwrap()), (overflow(0), vec![-3e38]));
}

#[test]
fn what_does_not_fit_is_refused_with_its_token() {
    for (spec, dim, metric, token, words) in [
        ("IVF8,PQ4+8", DIM, Metric::L1, "PQ4+8", "does not support the metric l1"),
        ("IVF8,PQ4+3", DIM, Metric::L2, "PQ4+3", "the number of subquantizers, 3, must divide it"),
        ("IVF8,PQ3+4", DIM, Metric::L2, "PQ3+4", "the number of subquantizers, 3, must divide it"),
        ("IDMap,L2norm,IVF8,PQ3+4", DIM, Metric::Cosine, "PQ3+4", "must divide it"),
    ] {
        let ivf::FactoryError::Build(error) = ivf::build(spec, dim, metric).unwrap_err() else { panic!("{spec}") };
        assert_eq!(&error.input[error.span.clone()], token, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    let error = ivf::build("PQ8+16", DIM, Metric::L2).unwrap_err().to_string();
    assert!(error.contains("a coarse quantizer must stand before it: IVF64,PQ8+16") && error.contains("^^^^^^"));
    assert_eq!("IVF8,PQ8x8np+16x8".parse::<ivf::Spec>().unwrap().to_string(), "IVF8,PQ8+16");
}

fn exported(spec: &str, metric: Metric, vectors: Rows<'_, f32>) -> StoredNode {
    filled(spec, metric, vectors).export().unwrap().to_stored()
}

fn child<'a>(node: &'a mut StoredNode, name: &str) -> &'a mut StoredNode {
    &mut node.children.iter_mut().find(|(known, _)| known == name).unwrap().1
}

#[test]
fn nodes_whose_parts_do_not_fit_are_refused() {
    let vectors = data::clusters(1, 600, DIM, 30);
    let node = || exported("IVF4,PQ4+8", Metric::L2, vectors.rows());
    let part = |spec: &str, name: &str| child(&mut exported(spec, Metric::L2, vectors.rows()), name).clone();
    let refused = |node: &StoredNode, words: &str| {
        let error = default_registry().read_index(node).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    assert_eq!(default_registry().read_index(&node()).unwrap().spec(), "IVF4,PQ4+8");
    let no_ivf = "not an inverted file with the codec PQ";
    for base in ["PQ4", "Flat", "IVF4,Flat", "IVF4,SQ8", "IDMap,IVF4,PQ4", "L2norm,IVF4,PQ4", "IVF4,PQ4,RFlat"] {
        let mut other = node();
        *child(&mut other, "base") = exported(base, Metric::L2, vectors.rows());
        refused(&other, no_ivf);
    }
    let mut nested = node();
    *child(&mut nested, "base") = node();
    refused(&nested, no_ivf);
    for refine in ["SQ8", "RaBitQ", "Flat"] {
        let mut other = node();
        *child(&mut other, "refine") = part(&format!("IVF4,PQ4,Refine({refine})"), "refine");
        refused(&other, "the codec of the residuals is");
    }
    let mut fewer = node();
    *child(&mut fewer, "refine") = exported("PQ8", Metric::L2, vectors.rows().slice(0..500));
    refused(&fewer, "differ in dimension, metric or number");
    let mut similar = node();
    *child(&mut similar, "refine") = exported("PQ8", Metric::InnerProduct, vectors.rows());
    refused(&similar, "differ in dimension, metric or number");
    let mut untrained = ivf::build("IVF4,PQ4+8", DIM, Metric::L2).unwrap().export().unwrap().to_stored();
    let mut trained = ivf::build("PQ8", DIM, Metric::L2).unwrap();
    trained.train(vectors.rows()).unwrap();
    *child(&mut untrained, "refine") = trained.export().unwrap().to_stored();
    // It is untrained as long as one of its two codecs is.
    let mut half = default_registry().read_index(&untrained).unwrap();
    assert!(!half.is_trained() && matches!(half.add(vectors.rows()), Err(AddError::NotTrained)));
    half.train(vectors.rows()).unwrap();
    half.add(vectors.rows()).unwrap();
    let mut newer = node();
    newer.version = 1;
    refused(&newer, "version 1");
    let mut lone = node();
    lone.children.pop();
    refused(&lone, "refine");

    // Other ids under the same number: a search says so.
    let mut shifted = node();
    let mut other = ivf::build("PQ8", DIM, Metric::L2).unwrap();
    other.train(vectors.rows()).unwrap();
    let ids: Vec<Id> = (1000..1600).map(Id).collect();
    other.add_with_ids(vectors.rows(), &ids).unwrap();
    *child(&mut shifted, "refine") = other.export().unwrap().to_stored();
    let index = default_registry().read_index(&shifted).unwrap();
    assert!(index.search(vectors.rows().slice(0..1), 1, &SearchParams::new()).is_err());
}
