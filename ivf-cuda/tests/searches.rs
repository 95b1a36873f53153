//! Searches on a device give what the CPU gives, bit for bit.

mod support;

use ivf_core::{Id, IdSelector, Index, Metric, Rows, SearchParams, SearchResult};
use ivf_cuda::CudaIndex;
use support::{ORDERS, device, index, numbers};

/// Codecs that the device has kernels for, in lists and alone.
const SPECS: &[&str] = &[
    "Flat",
    "IVF16,Flat",
    "IVF16,SQ8",
    "IVF16,SQ4",
    "IVF16,SQ6",
    "IVF16,SQfp16",
    "IVF16,SQbf16",
    "IVF16,SQ8_direct_signed",
    "IVF16,PQ4",
    "IVF16,PQ4x4",
    "IVF16,PQ8x6np",
    "SQ8",
    "PQ4",
];

const DIM: usize = 24;

fn same(found: &SearchResult, expected: &SearchResult, what: &str) {
    assert_eq!(found.hits.len(), expected.hits.len(), "{what}");
    for query in 0..expected.hits.len() {
        let (found, expected) = (found.hits.row(query), expected.hits.row(query));
        assert_eq!(found.ids, expected.ids, "{what}: ids of query {query}");
        let bits = |distances: &[f32]| distances.iter().map(|distance| distance.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(found.distances), bits(expected.distances), "{what}: distances of query {query}");
    }
    assert_eq!((found.stats.lists, found.stats.codes), (expected.stats.lists, expected.stats.codes), "{what}");
}

#[test]
fn results_are_those_of_the_cpu() {
    let (vectors, queries) = (numbers(700 * DIM, 1), numbers(40 * DIM, 2));
    let queries = Rows::new(&queries, DIM).unwrap();
    for order in ORDERS {
        let Some(device) = device(order) else { return };
        for (spec, metric) in SPECS.iter().flat_map(|spec| [(spec, Metric::L2), (spec, Metric::InnerProduct)]) {
            let cpu = index(spec, DIM, metric, &vectors);
            let gpu = CudaIndex::new(&*cpu, &device).unwrap_or_else(|error| panic!("{spec}: {error}"));
            let is_ivf = cpu.as_ivf().is_some();
            let nprobe = |n: usize| if is_ivf { SearchParams::new().nprobe(n) } else { SearchParams::new() };
            for (count, k, n) in [(1, 1, 1), (40, 10, 4), (40, 100, 16), (7, 2000, 16), (3, 770, 2)] {
                let rows = queries.slice(0..count);
                let what = format!("{spec} {metric} {order}, {count} queries, k {k}, nprobe {n}");
                let search = |index: &dyn Index| index.search(rows, k, &nprobe(n)).unwrap();
                same(&search(&*gpu), &search(&*cpu), &what);
            }
            let half = IdSelector::range(100..400);
            let own = nprobe(5).selector(&half);
            let search = |index: &dyn Index| index.search(queries, 5, &own).unwrap();
            same(&search(&*gpu), &search(&*cpu), &format!("{spec} {metric}, filtered"));
            let radius = search(&*cpu).hits.row(0).distances[4];
            let range = |index: &dyn Index| index.range_search_with(queries, radius, &nprobe(16)).unwrap();
            same(&range(&*gpu), &range(&*cpu), &format!("{spec} {metric}, within {radius}"));
        }
    }
}

#[test]
fn lists_may_have_any_length() {
    for order in ORDERS {
        let Some(device) = device(order) else { return };
        for len in [0, 1, 31, 32, 33, 64, 65, 2100] {
            // Descending distances: every code is nearer than all before.
            let vectors: Vec<f32> = (0..len * 2).map(|i| (len * 2 - i) as f32).collect();
            let mut cpu = ivf_factory::build("Flat", 2, Metric::L2).unwrap();
            if len > 0 {
                cpu.add(Rows::new(&vectors, 2).unwrap()).unwrap();
            }
            let gpu = CudaIndex::new(&*cpu, &device).unwrap();
            let queries = numbers(2 * 20, 5);
            let queries = Rows::new(&queries, 2).unwrap();
            for k in [1, 2, 33, 2100] {
                let search = |index: &dyn Index| index.search(queries, k, &SearchParams::new()).unwrap();
                same(&search(&*gpu), &search(&*cpu), &format!("{len} codes, k {k}, {order}"));
            }
        }
    }
}

#[test]
fn ties_are_broken_by_id() {
    let Some(device) = device(ORDERS[2]) else { return };
    let vectors = [1.0_f32, 2.0].repeat(500);
    let mut cpu = ivf_factory::build("IVF2,Flat", 2, Metric::L2).unwrap();
    let rows = Rows::new(&vectors, 2).unwrap();
    cpu.train(rows).unwrap();
    let ids: Vec<Id> = (0..500).map(|i| Id((i * 7919) % 500 - 250)).collect();
    cpu.add_with_ids(rows, &ids).unwrap();
    let gpu = CudaIndex::new(&*cpu, &device).unwrap();
    for k in [1, 5, 100, 499] {
        let search = |index: &dyn Index| index.search(rows.slice(0..3), k, &SearchParams::new().nprobe(2)).unwrap();
        same(&search(&*gpu), &search(&*cpu), &format!("k {k}"));
        assert_eq!(search(&*gpu).hits.row(0).ids[0], Id(-250));
    }
}

#[test]
fn a_search_without_room_for_all_candidates_is_repeated() {
    let Some(device) = device(ORDERS[0]) else { return };
    // Every code of the later lists is nearer than those of the first, as the queries see it: the
    // distances of a preassigned search need not follow the order of the probes.
    let vectors: Vec<f32> = (0..6000).map(|i| (6000 - i) as f32).collect();
    let mut cpu = ivf_factory::build("IVF2,Flat", 1, Metric::L2).unwrap();
    let rows = Rows::new(&vectors, 1).unwrap();
    cpu.train(rows).unwrap();
    cpu.add(rows).unwrap();
    let gpu = CudaIndex::new(&*cpu, &device).unwrap();
    let query = Rows::new(&[0.0_f32], 1).unwrap();
    for k in [1, 10, 1000] {
        let search = |index: &dyn Index| index.search(query, k, &SearchParams::new().nprobe(2)).unwrap();
        same(&search(&*gpu), &search(&*cpu), &format!("k {k}"));
    }
}
