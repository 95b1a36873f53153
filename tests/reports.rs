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
    for (spec, metric, two_level) in [
        ("IVF64,Flat", Metric::L2, false),
        ("IVF64,Flat", Metric::L2, true),
        ("IVF64,Flat", Metric::InnerProduct, false),
    ] {
        let mut index = ivf::build(spec, DIM, metric).unwrap();
        index.train_with(vectors.rows(), &TrainOptions::new().balanced(true).two_level(two_level)).unwrap();
        index.add(vectors.rows()).unwrap();
        let at = format!("{spec}, {metric}, {two_level}");
        let lists = index.as_ivf().unwrap().lists().unwrap();
        let mut sizes: Vec<usize> = (0..64).map(|list| lists.list_len(ListNo(list)).unwrap()).collect();
        sizes.sort_unstable();
        // The copies share a list, and take the centroids of a few others. The rest is in many.
        assert!(sizes[63] >= 4000, "{at}: {sizes:?}");
        assert!(sizes[62] < 4 * 4000 / 63, "{at}: {sizes:?}");
        if metric == Metric::L2 {
            let found = index.search(vectors.rows().slice(1..2), 1, &SearchParams::new().nprobe(64)).unwrap();
            assert_eq!(found.hits.row(0).ids, [Id(1)], "{at}");
        }
    }
    // Even halves of a multi-index are not even lists.
    let mut multi = ivf::build("IMI2x3,Flat", DIM, Metric::L2).unwrap();
    let error = multi.train_with(vectors.rows(), &TrainOptions::new().balanced(true)).unwrap_err();
    assert!(error.to_string().contains("balanced"), "{error}");
}

/// By the inner product of vectors of very different lengths, a search of a graph reached 611 of
/// 8,326 vectors, and found 6 % of the 890 best ones.
/// (<https://github.com/milvus-io/milvus/issues/51821>)
#[test]
fn graphs_reach_short_vectors_by_the_inner_product() {
    const DIM: usize = 32;
    let mut vectors = data::uniform(1, 8326, DIM);
    for (i, row) in vectors.data.chunks_exact_mut(DIM).enumerate() {
        // One length in 64 is 30 times the shortest.
        let length = 1.0 + 29.0 / (1.0 + (i % 64) as f32);
        row.iter_mut().for_each(|x| *x *= length);
    }
    let mut queries = data::uniform(2, 20, DIM).data;
    queries.extend_from_slice(&vectors.data[..20 * DIM]);
    let queries = Rows::new(&queries, DIM).unwrap();
    let truth = filled("Flat", Metric::InnerProduct, vectors.rows());
    for (spec, least) in [("HNSW32", 0.95), ("HNSW32,SQ8", 0.9)] {
        let index = filled(spec, Metric::InnerProduct, vectors.rows());
        for k in [10, 890] {
            let truth = truth.search(queries, k, &SearchParams::new()).unwrap().hits;
            let found = index.search(queries, k, &SearchParams::new().set("efSearch", 64)).unwrap();
            let right = found.hits.rows().zip(truth.rows());
            let right: usize = right.map(|(a, b)| a.ids.iter().filter(|id| b.ids.contains(id)).count()).sum();
            let recall = right as f64 / truth.total() as f64;
            assert!(recall >= least, "{spec}, k = {k}: recall {recall}");
        }
    }
}

/// The threshold of a range search was ignored, or results above it were missing.
/// (<https://github.com/facebookresearch/faiss/issues/3684>)
#[test]
fn a_range_search_of_a_graph_keeps_the_threshold() {
    const DIM: usize = 64;
    let (vectors, queries) = (data::uniform(1, 3000, DIM), data::uniform(2, 10, DIM));
    let index = filled("HNSW16", Metric::Cosine, vectors.rows());
    let flat = filled("Flat", Metric::Cosine, vectors.rows());
    for radius in [0.3, 0.2, 0.0] {
        let params = SearchParams::new().set("efSearch", 256);
        let found = index.range_search_with(queries.rows(), radius, &params).unwrap().hits;
        let truth = flat.range_search(queries.rows(), radius).unwrap().hits;
        assert!(found.rows().all(|row| row.distances.iter().all(|similarity| *similarity >= radius)));
        assert!(found.total() * 10 >= truth.total() * 9, "{radius}: {} of {}", found.total(), truth.total());
    }
}

/// Selectors were applied to the ids that vectors have within their shard, and a knob could not be
/// set in shards of wrapped lists. (<https://github.com/facebookresearch/faiss/issues/5581>,
/// <https://github.com/facebookresearch/faiss/issues/671>)
#[test]
fn shards_select_by_the_ids_that_they_return_and_take_knobs() {
    let vectors = [0.0_f32, 10.0, 20.0, 30.0];
    let (vectors, query) = (Rows::new(&vectors, 1).unwrap(), Rows::new(&[20.0_f32], 1).unwrap());
    for factory in ["Shards2(Flat)", "Shards2(IDMap2,IVF1,Flat)"] {
        let index = filled(factory, Metric::L2, vectors);
        for id in 0..4 {
            let selector = IdSelector::range(id..id + 1);
            let found = index.search(query, 4, &SearchParams::new().selector(&selector)).unwrap().hits;
            assert_eq!(found.row(0).ids, [Id(id)], "{factory}");
        }
    }
    let mut index = filled("Shards2(IDMap2,IVF2,Flat)", Metric::L2, vectors);
    let found = |index: &dyn Index| index.search(query, 4, &SearchParams::new()).unwrap().hits.total();
    assert_eq!(found(&*index), 2);
    index.set_knob("nprobe", 2).unwrap();
    assert_eq!(found(&*index), 4);
}

/// `search_and_reconstruct` did not hand the parameters of the coarse quantizer on, and found other
/// vectors than `search`. (<https://github.com/facebookresearch/faiss/issues/5589>)
#[test]
fn every_search_hands_the_beam_of_the_centroids_on() {
    const DIM: usize = 8;
    let (vectors, queries) = (data::uniform(1, 4000, DIM), data::uniform(2, 100, DIM));
    let index = filled("IVF800_HNSW2,Flat", Metric::L2, vectors.rows());
    let reconstruct = index.as_reconstruct().unwrap();
    let found = |ef: usize| {
        let params = SearchParams::new().nprobe(2).set("quantizer_efSearch", ef);
        let found = index.search(queries.rows(), 3, &params).unwrap().hits;
        let (same, _) = reconstruct.search_and_reconstruct(queries.rows().into(), 3, &params).unwrap();
        assert_eq!(same.hits, found, "efSearch {ef}");
        found
    };
    assert!(found(2) != found(400), "a narrow beam misses lists");
}
