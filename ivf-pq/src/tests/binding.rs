//! Compares codes of vectors and of residuals, in several lists, with distances to decoded vectors.
//! Checks that the tables of lists do not depend on threads and stay within their memory budget.

use super::{Fixed, List, Noise};
use crate::list_tables::{ListTables, TASK_LISTS};
use crate::{PqCodec, PqSpec, ProductQuantizer, equal_parts};
use ivf_core::error::BindError;
use ivf_core::executor::Inline;
use ivf_core::mask::Mask;
use ivf_core::plan::PlannedProbe;
use ivf_core::quantizer::Origin;
use ivf_core::scanner::{ScanQuery, ScanRange};
use ivf_core::{
    Binding, BoundCodec, Cancel, Centroids, Codec, CodecContext, CodecSpec, CodecTraining, ListNo, Metric, Neighbor,
    Residuals, Rows, Settings, Sink, TrainOptions,
};
use ivf_cpu::RayonPool;
use ivf_cpu::simd::Level;
use std::sync::Arc;

const CENTROIDS: usize = 256;
const DIM: usize = 12;
/// More lists than three tasks take.
const NLIST: usize = 3 * TASK_LISTS + 7;

/// Returns a codec of 3 subquantizers, with or without a mean.
fn codec(metric: Metric, with_mean: bool, noise: &mut Noise) -> Arc<PqCodec> {
    let subquantizers = equal_parts(DIM, 3);
    let books = subquantizers.iter().map(|part| (0..CENTROIDS * part.len()).map(|_| noise.float()).collect()).collect();
    let mean = with_mean.then(|| (0..DIM).map(|_| noise.float()).collect());
    Arc::new(PqCodec::new(ProductQuantizer::new(subquantizers, books, mean).unwrap(), metric))
}

fn centroids(noise: &mut Noise) -> Arc<Fixed> {
    Arc::new(Fixed((0..NLIST * DIM).map(|_| noise.float()).collect(), DIM))
}

/// Returns the inner distance to the vector that a code of a list decodes to.
fn oracle(bound: &dyn BoundCodec, query: &[f32], list: ListNo, code: &[u8]) -> f64 {
    let mut vector = vec![0.0; query.len()];
    bound.decode(list, code, &mut vector);
    let pairs = query.iter().zip(&vector).map(|(&q, &x)| (f64::from(q), f64::from(x)));
    match bound.codec().metric() {
        Metric::L2 => pairs.map(|(q, x)| (q - x).powi(2)).sum(),
        _ => pairs.map(|(q, x)| -q * x).sum(),
    }
}

fn coarse_distance(bound: &dyn BoundCodec, query: &[f32], list: ListNo) -> f32 {
    let mut centroid = vec![0.0; query.len()];
    bound.centroids().centroid(list, &mut centroid);
    match bound.codec().metric() {
        // L2 does not use it, so any value will do.
        Metric::L2 => 7.0,
        _ => query.iter().zip(&centroid).map(|(q, c)| -q * c).sum(),
    }
}

/// Returns the hits of queries in lists. Each query is scanned alone, with its own sinks, and all
/// queries are scanned as a batch. Both must give the same hits.
fn found(
    bound: &dyn BoundCodec,
    lists: &[(ListNo, List)],
    queries: Rows<'_, f32>,
    mask: &[Mask],
) -> Vec<Vec<Neighbor>> {
    let layout = bound.codec().layout();
    let (mut scanner, mut all) = (bound.scanner(&Settings::new()), Vec::new());
    let probes: Vec<Vec<PlannedProbe>> = (queries.iter())
        .map(|query| {
            let probe = |(no, list): &(ListNo, List)| PlannedProbe {
                list: *no,
                codes: list.len as u32,
                coarse_distance: coarse_distance(bound, query, *no),
            };
            lists.iter().map(probe).collect()
        })
        .collect();
    let probes: Vec<&[PlannedProbe]> = probes.iter().map(|probes| &probes[..]).collect();
    let mut batch: Vec<Vec<Sink>> = queries.iter().map(|_| vec![Sink::top_k(5), Sink::top_k(50)]).collect();
    let mut alone = batch.clone();
    for (query, (probes, sinks)) in queries.iter().zip(probes.iter().zip(&mut alone)) {
        scanner.set_query(query);
        scanner.set_probes(probes);
        for ((probe, (no, list)), mask) in probes.iter().zip(lists).zip(mask) {
            let entries = list.entries();
            let scan_range = ScanRange::of_list(*no, &entries, layout, 0..list.len).next().unwrap();
            scanner.set_list(*no, probe.coarse_distance);
            let distances: Vec<f32> = (0..list.len).map(|slot| scanner.distance(list.code(slot))).collect();
            for (slot, &distance) in distances.iter().enumerate() {
                let exact = oracle(bound, query, *no, list.code(slot));
                assert!((f64::from(distance) - exact).abs() < 1e-4, "{no:?}: {distance}, {exact}");
            }
            scanner.set_list(*no, probe.coarse_distance);
            for sink in sinks.iter_mut() {
                scanner.scan(&scan_range, sink);
            }
            // Each list alone: fresh sinks, with a filter.
            let scan_range = scan_range.masked(Some(mask));
            for mut found in super::sinks(&distances) {
                let mut expected = found.fork();
                scan_range.slots().for_each(|slot| expected.push(scan_range.neighbor(slot, distances[slot])));
                scanner.scan(&scan_range, &mut found);
                assert_eq!(found.into_sorted(), expected.into_sorted());
            }
        }
    }
    scanner.set_queries(queries, &probes);
    for (at, (no, list)) in lists.iter().enumerate() {
        let entries = list.entries();
        let scan_range = ScanRange::of_list(*no, &entries, layout, 0..list.len).next().unwrap();
        for sink in 0..2 {
            let mut scans: Vec<ScanQuery<'_>> = (batch.iter_mut().enumerate())
                .map(|(number, sinks)| ScanQuery {
                    number,
                    query: queries.row(number),
                    probes: probes[number],
                    coarse_distance: probes[number][at].coarse_distance,
                    limit: list.len,
                    mask: None,
                    sink: &mut sinks[sink],
                })
                .collect();
            scanner.scan_batch(&scan_range, &mut scans);
        }
    }
    for (batch, alone) in batch.into_iter().flatten().zip(alone.into_iter().flatten()) {
        let alone = alone.into_sorted();
        assert_eq!(batch.into_sorted(), alone);
        all.push(alone);
    }
    all
}

#[test]
fn scans_find_the_decoded_vectors_whatever_codes_are_of_and_however_they_are_bound() {
    let mut noise = Noise(17);
    let centroids = centroids(&mut noise);
    let pools = [RayonPool::new(1).unwrap(), RayonPool::new(4).unwrap()];
    let queries: Vec<f32> = (0..3 * DIM).map(|_| noise.float()).collect();
    let queries = Rows::new(&queries, DIM).unwrap();
    let lists = [(0, 20), (TASK_LISTS, 65), (NLIST - 1, 700), (5, 24)];
    let lists = lists.map(|(no, len)| (ListNo(no as u32), List::new(3, 8, len, &mut noise)));
    let masks = [2, 3, 5, 7].into_iter().zip(&lists);
    let masks: Vec<Mask> = masks.map(|(step, (_, list))| Mask::from_fn(list.len, |slot| slot % step == 0)).collect();
    for metric in [Metric::L2, Metric::InnerProduct] {
        for (with_mean, by_residual) in [(false, false), (false, true), (true, false), (true, true)] {
            let codec = codec(metric, with_mean, &mut noise);
            let mut first = None;
            for table_memory in [Binding::TABLE_MEMORY, 4 * DIM * NLIST, 0] {
                for pool in &pools {
                    let binding = Binding::new(centroids.clone()).by_residual(by_residual).table_memory(table_memory);
                    let binding = binding.options(&TrainOptions::new().executor(pool));
                    let bound = codec.clone().bind(&binding).unwrap();
                    assert_eq!(bound.by_residual(), by_residual);
                    let more = bound.memory() - codec.memory();
                    if by_residual && metric == Metric::L2 && table_memory > 0 {
                        assert!(more >= 4 * DIM * NLIST);
                    } else {
                        assert_eq!(more, 0);
                    }
                    let found = found(&*bound, &lists, queries, &masks);
                    assert_eq!(first.get_or_insert_with(|| found.clone()), &found, "{metric}, {table_memory} bytes");
                }
            }
        }
    }
}

#[test]
fn one_list_around_the_origin_gives_the_same_bits_as_residuals_and_as_vectors() {
    let mut noise = Noise(37);
    let queries: Vec<f32> = (0..3 * DIM).map(|_| noise.float()).collect();
    let queries = Rows::new(&queries, DIM).unwrap();
    let lists = [(ListNo(0), List::new(3, 8, 777, &mut noise))];
    let masks = [Mask::from_fn(777, |slot| slot % 3 == 0)];
    for (metric, with_mean) in [(Metric::L2, false), (Metric::L2, true), (Metric::InnerProduct, true)] {
        let codec = codec(metric, with_mean, &mut noise);
        let [vectors, residuals] = [false, true].map(|by_residual| {
            let binding = Binding::new(Arc::new(Origin { dim: DIM })).by_residual(by_residual);
            found(&*codec.clone().bind(&binding).unwrap(), &lists, queries, &masks)
        });
        assert_eq!(vectors, residuals, "{metric}");
    }
}

#[test]
fn terms_depend_neither_on_threads_nor_on_tasks_and_fit_the_budget() {
    let mut noise = Noise(19);
    let (codec, centroids) = (codec(Metric::L2, false, &mut noise), centroids(&mut noise));
    let bytes = NLIST * 3 * CENTROIDS;
    let pool = RayonPool::new(4).unwrap();
    let options = [TrainOptions::new().executor(&Inline), TrainOptions::new().executor(&pool)];
    for level in Level::available() {
        let terms = |options: &TrainOptions<'_>, table_memory| {
            let binding = Binding::new(centroids.clone()).table_memory(table_memory).options(options);
            ListTables::<CENTROIDS>::new(codec.quantizer(), &centroids.0, level, &binding).unwrap()
        };
        let alone = terms(&options[0], bytes).unwrap();
        assert!(alone.memory() >= bytes);
        assert_eq!(terms(&options[1], bytes).as_ref(), Some(&alone));
        assert!(terms(&options[1], bytes - 1).is_none());
    }
}

#[test]
fn binding_ends_when_the_caller_cancels_and_refuses_other_dimensions() {
    let mut noise = Noise(23);
    let centroids = centroids(&mut noise);
    let cancel = Cancel::new();
    cancel.cancel();
    for metric in [Metric::L2, Metric::InnerProduct] {
        let codec = codec(metric, true, &mut noise);
        for by_residual in [false, true] {
            let binding = Binding::new(centroids.clone()).by_residual(by_residual);
            let options = TrainOptions::new().cancel(&cancel);
            let cancelled = codec.clone().bind(&binding.clone().options(&options));
            assert_eq!(cancelled.unwrap_err(), BindError::Cancelled);
            assert!(codec.clone().bind(&binding).is_ok());
        }
        let other = codec.bind(&Binding::new(Arc::new(Fixed(vec![0.0; 4], 4))));
        assert_eq!(other.unwrap_err().to_string(), "PQ3 does not support centroids of 4 dimensions (expected 12)");
    }
    // Cancelling while the tables of lists are made.
    let codec = codec(Metric::L2, false, &mut noise);
    let options = TrainOptions::new().cancel(&cancel);
    let binding = Binding::new(centroids.clone()).options(&options);
    assert!(ListTables::<CENTROIDS>::new(codec.quantizer(), &centroids.0, Level::get(), &binding).is_err());
}

/// Centroids of as many lists as a multi-index has.
#[derive(Debug)]
struct Many;

impl Centroids for Many {
    fn dim(&self) -> usize {
        DIM
    }

    fn nlist(&self) -> usize {
        1 << 28
    }

    fn centroid(&self, list: ListNo, out: &mut [f32]) {
        assert!(list.index() < self.nlist());
        out.fill((list.0 % 1000) as f32 / 1000.0);
    }
}

#[test]
fn a_multi_index_takes_no_memory_for_its_lists() {
    let mut noise = Noise(29);
    for (metric, by_residual) in [(Metric::L2, true), (Metric::L2, false), (Metric::InnerProduct, true)] {
        let codec = codec(metric, true, &mut noise);
        let bound = codec.clone().bind(&Binding::new(Arc::new(Many)).by_residual(by_residual)).unwrap();
        assert_eq!(bound.memory(), codec.memory());
        let lists = [0, 777, (1 << 28) - 1, 12_345_678].map(|no| (ListNo(no), List::new(3, 8, 90, &mut noise)));
        let masks = vec![Mask::from_fn(90, |slot| slot % 3 == 1); 4];
        let queries: Vec<f32> = (0..2 * DIM).map(|_| noise.float()).collect();
        found(&*bound, &lists, Rows::new(&queries, DIM).unwrap(), &masks);
    }
}

#[test]
fn training_works_on_vectors_as_on_residuals() {
    let mut noise = Noise(31);
    let data: Vec<f32> = (0..600 * DIM).map(|_| 100.0 + noise.float()).collect();
    let rows = Rows::new(&data, DIM).unwrap();
    let options = TrainOptions::new().iterations(3);
    let spec = PqSpec::new(3);
    assert_eq!(spec.residuals(), Residuals::Optional { default: true });
    for by_residual in [false, true] {
        let context = CodecContext::new(DIM, Metric::L2).by_residual(by_residual);
        let (codec, _) = spec.train(&CodecTraining::new(rows, Metric::L2, &options).context(context)).unwrap();
        assert_eq!(codec.layout().code_size(), spec.code_size(&context));
        assert_eq!((codec.tag(), codec.layout().codec()), ("pq", "pq"));
        let (mut codes, mut vector) = (vec![0; 600 * 3], vec![0.0; DIM]);
        codec.encode(rows, &mut codes);
        for (row, code) in rows.iter().zip(codes.chunks_exact(3)) {
            codec.decode(code, &mut vector);
            assert!(row.iter().zip(&vector).all(|(x, y)| (x - y).abs() < 2.0));
        }
    }
    // Rows that another codec made for this one may have another dimension than the index.
    let other = CodecTraining::new(rows, Metric::L2, &options).rows(Rows::new(&data, 5).unwrap());
    assert!(spec.train(&other).is_err());
}
