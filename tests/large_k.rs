//! The memory of searches for many more results than there are vectors.

use ivf::{Metric, SearchParams};
use ivf_testkit::data;
use ivf_testkit::executor::Threads;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

const DIM: usize = 8;
const VECTORS: usize = 300;
const QUERIES: usize = 200;
const K: usize = 1 << 20;

/// Bytes of one result: in a sink that may have grown to twice its size, and in the hits.
const OF_RESULT: usize = 3 * size_of::<ivf::Neighbor>() + 2 * 12;

/// The only test of this file, since the allocator would also count concurrent tests.
#[test]
fn a_search_takes_memory_for_what_is_found_and_not_for_k() {
    let vectors = data::clusters(1, VECTORS, DIM, 8);
    let queries = data::clusters(2, QUERIES, DIM, 8);
    for spec in ["Flat", "IVF4,Flat", "IVF4,PQ4", "IVF4,Flat,RFlat", "IDMap,Flat"] {
        let mut index = ivf::build(spec, DIM, Metric::L2).expect("a good string");
        index.train(vectors.rows()).expect("enough vectors");
        index.add(vectors.rows()).expect("trained");
        let mut params = SearchParams::new().executor(&Threads(2));
        if index.takes().contains(ivf::SearchParam::Nprobe) {
            params = params.nprobe(4);
        }
        let before = ALLOCATED.current_usage();
        ALLOCATED.reset_peak_usage();
        let found = index.search(queries.rows(), K, &params).expect("good queries").hits;
        let mut rows = (vec![0; VECTORS + 1], vec![0.0; VECTORS + 1]);
        for row in &found {
            row.pad_into(Metric::L2, &mut rows.0, &mut rows.1);
            assert_eq!((rows.0[VECTORS], rows.1[VECTORS]), (-1, f32::MAX), "{spec}");
            assert!(rows.0[..VECTORS].iter().all(|id| *id >= 0), "{spec}");
        }
        let peak = ALLOCATED.peak_usage() - before;
        // Two indexes of a refining one hold their results at the same time.
        let most = 2 * QUERIES * VECTORS * OF_RESULT + (1 << 20);
        assert!(found.total() == QUERIES * VECTORS && peak <= most, "{spec}: {peak} bytes, at most {most}");
    }
}
