//! Troubles that people have reported of other libraries, tried here.

use ivf::{Id, IdSelector, Index, ListNo, Metric, Rows, SearchParams, TrainOptions};
use ivf_testkit::data;

const K: usize = 10;

fn filled(spec: &str, metric: Metric, vectors: Rows<'_, f32>) -> Box<dyn Index> {
    let mut index = ivf::build(spec, vectors.dim(), metric).unwrap();
    index.train(vectors).unwrap_or_else(|error| panic!("{spec}: {error}"));
    index.add(vectors).unwrap_or_else(|error| panic!("{spec}: {error}"));
    index
}

/// Sums of many table entries exceed 16 bits, and wrapped or stopped there: recall collapsed above
/// 1,000 to 1,500 dimensions. (<https://github.com/lance-format/lance/issues/9280>,
/// <https://github.com/antgroup/vsag/issues/2283>)
#[test]
fn many_dimensions_lose_no_recall() {
    const DIM: usize = 4096;
    let vectors = data::clusters(1, 600, DIM, 60);
    let queries = data::clusters(2, 20, DIM, 60);
    for metric in [Metric::L2, Metric::InnerProduct] {
        let truth =
            filled("Flat", metric, vectors.rows()).search(queries.rows(), K, &SearchParams::new()).unwrap().hits;
        for (spec, least) in [
            ("IVF4,RaBitQ", 0.3),
            ("IVF4,RaBitQ4", 0.8),
            ("IVF4,SQ4", 0.75),
            ("IVF4,SQ8", 0.97),
            ("IVF4,PQ2048x4", 0.35),
            ("IVF4,PQ2048x4fs,RFlat", 0.85),
            ("IVF4,PQ4096x4fs,RFlat", 0.97),
        ] {
            let index = filled(spec, metric, vectors.rows());
            let found = index.search(queries.rows(), K, &SearchParams::new().nprobe(4)).unwrap().hits;
            let right = found
                .rows()
                .zip(truth.rows())
                .map(|(found, truth)| found.ids.iter().filter(|id| truth.ids.contains(id)).count());
            let recall = right.sum::<usize>() as f64 / (found.len() * K) as f64;
            assert!(recall >= least, "{spec}, {metric}: recall {recall}, at least {least}");
        }
    }
}

/// Norms and products of vectors far from the origin cancelled in single precision: a squared
/// distance of 64 came out as 0 or 4,096.
/// (<https://github.com/RedisAI/VectorSimilarity/pull/1007>)
#[test]
fn distances_far_from_the_origin_are_right() {
    let vectors: Vec<f32> = (0..512).flat_map(|i| [100_000.0 + (i % 9) as f32, 100_000.0 + (i / 9) as f32]).collect();
    let vectors = Rows::new(&vectors, 2).unwrap();
    for spec in ["SQ8", "SQ4", "IVF2,SQ8", "IVF2,SQ4", "IVF2,SQfp16", "IVF2,PQ2"] {
        let index = filled(spec, Metric::L2, vectors);
        let params = if spec.starts_with("IVF") { SearchParams::new().nprobe(2) } else { SearchParams::new() };
        let found = index.search(vectors, K, &params).unwrap().hits;
        for (query, row) in vectors.iter().zip(found.rows()) {
            assert_eq!(row.len(), K);
            for (id, distance) in row {
                let vector = index.reconstruct(id).unwrap();
                let away: Vec<f64> = query.iter().zip(&vector).map(|(q, x)| f64::from(q - x)).collect();
                let exact = away.iter().map(|x| x * x).sum::<f64>();
                // The coordinates of the reconstructed vector are rounded to a 128th.
                let most = away.iter().map(|x| (2.0 * x.abs() + 1.0 / 128.0) / 128.0).sum::<f64>();
                assert!((f64::from(distance) - exact).abs() <= most, "{spec}: {distance} for {exact}");
            }
        }
    }
}

/// A filter that keeps fewer vectors than are to be found left invalid candidates, which
/// re-ranking made valid again. (<https://github.com/rapidsai/raft/issues/1796>)
#[test]
fn re_ranking_brings_no_filtered_vector_back() {
    let vectors = data::clusters(1, 500, 16, 10);
    for refine in ["RFlat", "Refine(SQ8)", "Refine(PQ8x4)"] {
        let index = filled(&format!("IVF8,PQ4x4fs,{refine}"), Metric::L2, vectors.rows());
        let kept = [3, 77, 401].map(Id);
        let selector = IdSelector::sorted(kept.to_vec());
        let params = SearchParams::new().nprobe(8).k_factor_rf(20.0).selector(&selector);
        for row in index.search(vectors.rows().slice(0..50), K, &params).unwrap().hits.rows() {
            let mut ids = row.ids.to_vec();
            ids.sort();
            assert_eq!(ids, kept, "{refine}");
        }
    }
}

/// Half of all vectors were equal, and one list held them and scans took long; or k-means left many
/// lists empty. (<https://github.com/facebookresearch/faiss/issues/1311>,
/// <https://github.com/NVIDIA/cuvs/issues/988>, <https://github.com/antgroup/vsag/issues/2870>)
#[test]
fn balanced_lists_spread_what_can_be_spread() {
    const DIM: usize = 8;
    let mut vectors = data::clusters(5, 8000, DIM, 40);
    for copy in vectors.data.chunks_exact_mut(DIM).step_by(2) {
        copy.fill(0.25);
    }
    let options = TrainOptions::new().balanced(true);
    for (spec, metric, two_level) in [
        ("IVF64,Flat", Metric::L2, false),
        ("IVF64,Flat", Metric::L2, true),
        ("IVF64,Flat", Metric::InnerProduct, false),
        ("IMI2x3,Flat", Metric::L2, false),
    ] {
        let mut index = ivf::build(spec, DIM, metric).unwrap();
        index.train_with(vectors.rows(), &options.two_level(two_level)).unwrap();
        index.add(vectors.rows()).unwrap();
        let at = format!("{spec}, {metric}, {two_level}");
        let lists = index.as_ivf().unwrap().lists().unwrap();
        let mut sizes: Vec<usize> = (0..64).map(|list| lists.list_len(ListNo(list)).unwrap()).collect();
        sizes.sort_unstable();
        // The copies share a list. The others are in many.
        assert!(sizes[63] >= 4000, "{at}: {sizes:?}");
        assert!(sizes[62] < 1000, "{at}: {sizes:?}");
        if metric == Metric::L2 {
            let found = index.search(vectors.rows().slice(1..2), 1, &SearchParams::new().nprobe(64)).unwrap();
            assert_eq!(found.hits.row(0).ids, [Id(1)], "{at}");
        }
    }
}
