//! Training, adding and searching without the rows that an index cannot take.

use ivf::params::NonFinite;
use ivf::{AddOptions, Id, Index, Metric, Rows, SearchParams, TrainOptions};
use ivf_testkit::data;

const DIM: usize = 8;
const ROWS: usize = 700;
const NAN: usize = 3;
const ZERO: usize = 400;
const INFINITE: usize = 699;

/// Rows of which three cannot be taken under cosine.
fn rows() -> Vec<f32> {
    let mut vectors = data::clusters(1, ROWS, DIM, 8).data;
    vectors[NAN * DIM] = f32::NAN;
    vectors[ZERO * DIM..(ZERO + 1) * DIM].fill(0.0);
    vectors[(INFINITE + 1) * DIM - 1] = f32::INFINITY;
    vectors
}

/// Indexes, with the rows that they cannot take.
fn cases() -> Vec<(&'static str, Metric, Vec<usize>)> {
    let (plain, cosine) = (vec![NAN, INFINITE], vec![NAN, ZERO, INFINITE]);
    vec![
        ("Flat", Metric::L2, plain.clone()),
        ("IVF8,Flat", Metric::L2, plain.clone()),
        ("IVF8,PQ4", Metric::InnerProduct, plain.clone()),
        ("IDMap2,IVF8,PQ4,RFlat", Metric::L2, plain),
        ("Flat,Refine(SQ8)", Metric::L2, vec![NAN, INFINITE]),
        ("IVF8,PQ4,Refine(PQ8)", Metric::L2, vec![NAN, INFINITE]),
        ("IVF8,PQ4+8", Metric::L2, vec![NAN, INFINITE]),
        ("Flat", Metric::Cosine, cosine.clone()),
        ("IVF8,PQ4", Metric::Cosine, cosine.clone()),
        ("IVF8,PQ4+4", Metric::Cosine, cosine.clone()),
        ("IVF8,Flat,RFlat", Metric::Cosine, cosine.clone()),
        ("IDMap,IVF8,Flat", Metric::Cosine, cosine.clone()),
        ("L2norm,IVF8,Flat", Metric::L2, cosine.clone()),
        ("(L2norm,IVF8,Flat),RFlat", Metric::L2, cosine.clone()),
        ("(L2norm,L2norm,IVF8,Flat),RFlat", Metric::L2, cosine.clone()),
        ("L2norm,IVF8,Flat,Refine(SQ8)", Metric::L2, cosine),
    ]
}

#[test]
fn skipped_rows_change_nothing_for_the_others() {
    let vectors = rows();
    let bad = Rows::new(&vectors, DIM).expect("whole rows");
    for (spec, metric, skipped) in cases() {
        let at = format!("{spec}, {metric}");
        let kept: Vec<usize> = (0..ROWS).filter(|row| !skipped.contains(row)).collect();
        let left: Vec<f32> = kept.iter().flat_map(|&row| bad.row(row)).copied().collect();
        let left = Rows::new(&left, DIM).expect("whole rows");
        let mut index = ivf::build(spec, DIM, metric).expect("a good string");
        let mut reference = ivf::build(spec, DIM, metric).expect("a good string");
        if let Some(train) = index.as_train() {
            let options = TrainOptions::new().iterations(4);
            let refused = train.train(bad.into(), &options);
            assert!(refused.is_err(), "{at}: {refused:?}");
            let report = train.train(bad.into(), &options.non_finite(NonFinite::SkipRow)).expect(&at);
            assert_eq!(report.skipped, skipped, "{at}: training");
            let mut expected = reference.train_with(left, &options).expect(&at);
            expected.skipped = skipped.clone();
            assert_eq!(report, expected, "{at}");
            assert!(index.export().expect(&at).same(&reference.export().expect(&at)), "{at}: training differs");
        }
        for round in 0..2 {
            let options = AddOptions::new().non_finite(NonFinite::SkipRow);
            let report = index.add_with(bad, &options).expect(&at);
            assert_eq!((report.added, &report.skipped), (kept.len(), &skipped), "{at}: adding");
            reference.add(left).expect(&at);
            assert_eq!(index.len(), reference.len(), "{at}");
            // A skipped row uses up its id.
            let id_of = |id: Id| {
                let (round, row) = (id.0 as usize / kept.len(), id.0 as usize % kept.len());
                Id((round * ROWS + kept[row]) as i64)
            };
            let search = |index: &dyn Index| index.search(left.slice(0..20), 5, &SearchParams::new()).expect(&at).hits;
            assert_eq!(search(&*index), search(&*reference).map_ids(id_of), "{at}, round {round}");
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("index.ivf");
        ivf::write_index(&*index, &path).expect(&at);
        assert_eq!(ivf::read_index(&path).expect(&at).len(), 2 * kept.len(), "{at}");
    }
}

#[test]
fn bad_queries_find_nothing_if_the_call_skips_them() {
    let vectors = rows();
    let queries = Rows::new(&vectors, DIM).expect("whole rows");
    for (spec, metric, skipped) in cases() {
        let at = format!("{spec}, {metric}");
        let mut index = ivf::build(spec, DIM, metric).expect("a good string");
        let good = data::clusters(1, ROWS, DIM, 8);
        index.train(good.rows()).expect(&at);
        index.add(good.rows()).expect(&at);
        let refused = index.search(queries, 3, &SearchParams::new());
        assert!(refused.is_err(), "{at}: {refused:?}");
        let params = SearchParams::new().skip_bad_queries(true);
        let found = index.search(queries, 3, &params).expect(&at);
        assert_eq!((found.hits.len(), found.stats.queries), (ROWS, ROWS as u64), "{at}");
        let empty: Vec<usize> = (0..ROWS).filter(|&row| found.hits.row(row).is_empty()).collect();
        assert_eq!(empty, skipped, "{at}");
        if index.as_reconstruct().is_some() {
            let (again, vectors) = index.search_and_reconstruct_with(queries, 3, &params).expect(&at);
            assert_eq!((&again.hits, vectors.len()), (&found.hits, found.hits.total() * DIM), "{at}");
        }
    }
}
