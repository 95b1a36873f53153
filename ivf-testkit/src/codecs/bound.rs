//! Checks of a codec that is bound to the centroids of lists.

use super::{bits, encode, settings, vectors};
use crate::centroids::FixedCentroids;
use crate::data::{Vectors, uniform};
use crate::executor::Threads;
use crate::oracle;
use ivf_core::codec::residuals;
use ivf_core::error::BindError;
use ivf_core::plan::PlannedProbe;
use ivf_core::{Binding, BoundCodec, Cancel, Codec, CodecContext, ListNo, Residuals, TrainOptions};
use std::sync::Arc;

/// Number of lists to bind to.
const LISTS: usize = 4;
/// Number of coded vectors.
const SAMPLE: usize = 40;

/// Binds the codec to lists around generated centroids, on the given number of threads.
fn bind(codec: &Arc<dyn Codec>, by_residual: bool, threads: usize, at: &str) -> (Arc<dyn BoundCodec>, FixedCentroids) {
    let centroids = FixedCentroids(uniform(5, LISTS, codec.dim()));
    let executor = Threads(threads);
    let options = TrainOptions::new().executor(&executor);
    let binding = Binding::new(Arc::new(centroids.clone())).by_residual(by_residual).options(&options);
    let bound = codec.clone().bind(&binding);
    (bound.unwrap_or_else(|error| panic!("{at}: binding it on {threads} threads: {error}")), centroids)
}

pub(super) fn check_bound(codec: &Arc<dyn Codec>, context: &CodecContext, at: &str) {
    let (size, dim) = (codec.layout().code_size(), codec.dim());
    check_declarations(codec, context, at);
    let (bound, centroids) = bind(codec, context.by_residual, 1, at);
    assert_eq!(bound.codec().spec().to_string(), codec.spec().to_string(), "{at}: the codec of the bound codec");
    assert_eq!(bound.by_residual(), context.by_residual, "{at}: bound, it codes residuals");
    assert_eq!(bound.centroids().nlist(), LISTS, "{at}: bound, its centroids");
    assert!(bound.memory() >= codec.memory(), "{at}: bound, it takes {} bytes, less than alone", bound.memory());
    let sample = vectors(6, SAMPLE, dim, codec.metric());
    let lists: Vec<ListNo> = (0..SAMPLE as u32).map(|i| ListNo(i % LISTS as u32)).collect();
    let mut codes = vec![0; SAMPLE * size];
    bound.encode(sample.rows(), &lists, &mut codes);
    let coded = if context.by_residual {
        Vectors { data: residuals(sample.rows(), &lists, &centroids), dim }
    } else {
        sample.clone()
    };
    // A code may keep a number that depends on the centroid, but stands for the same vector.
    let alone = encode(&**codec, coded.rows(), 0);
    let (mut first, mut second) = (vec![0.0; dim], vec![0.0; dim]);
    for (code, alone) in codes.chunks_exact(size).zip(alone.chunks_exact(size)) {
        codec.decode(code, &mut first);
        codec.decode(alone, &mut second);
        assert!(bits(&first) == bits(&second), "{at}: bound, it gives codes of other vectors");
    }
    let (mut whole, mut part) = (vec![0.0; dim], vec![0.0; dim]);
    for (&list, code) in lists.iter().zip(codes.chunks_exact(size)) {
        bound.decode(list, code, &mut whole);
        codec.decode(code, &mut part);
        if context.by_residual {
            part.iter_mut().zip(centroids.0.rows().row(list.index())).for_each(|(x, c)| *x += c);
        }
        assert!(bits(&whole) == bits(&part), "{at}: bound, it decodes to other vectors");
    }
    let again = bind(codec, context.by_residual, 4, at).0;
    let mut codes_again = vec![0xff; codes.len()];
    again.encode(sample.rows(), &lists, &mut codes_again);
    assert!(codes_again == codes, "{at}: bound on 4 threads, it gives other codes");
    let distances = |bound: &dyn BoundCodec| scans(bound, &centroids, &sample, &lists, &codes);
    assert!(distances(&*bound) == distances(&*again), "{at}: bound on 4 threads, its scanners give other distances");
    check_unusual_bindings(codec, context.by_residual, at);
}

/// Returns the bits of the distances from a few queries to the codes, list by list.
fn scans(
    bound: &dyn BoundCodec,
    centroids: &FixedCentroids,
    queries: &Vectors,
    lists: &[ListNo],
    codes: &[u8],
) -> Vec<u32> {
    let (codec, size) = (bound.codec(), bound.codec().layout().code_size());
    let mut scanner = bound.scanner(&settings(codec, bound.by_residual()));
    let mut distances = Vec::new();
    for query in queries.rows().iter().take(3) {
        let probe = |no: usize| PlannedProbe {
            list: ListNo(no as u32),
            codes: (SAMPLE / LISTS) as u32,
            coarse_distance: oracle::distance(codec.metric(), query, centroids.0.rows().row(no)),
        };
        let probes: Vec<PlannedProbe> = (0..LISTS).map(probe).collect();
        scanner.set_query(query);
        scanner.set_probes(&probes);
        for probe in &probes {
            scanner.set_list(probe.list, probe.coarse_distance);
            let of_list = lists.iter().zip(codes.chunks_exact(size)).filter(|(list, _)| **list == probe.list);
            distances.extend(of_list.map(|(_, code)| scanner.distance(code).to_bits()));
        }
    }
    distances
}

/// Checks bindings that may fail: without memory for tables, and cancelled.
fn check_unusual_bindings(codec: &Arc<dyn Codec>, by_residual: bool, at: &str) {
    let binding = Binding::new(Arc::new(FixedCentroids(uniform(5, LISTS, codec.dim())))).by_residual(by_residual);
    let result = codec.clone().bind(&binding.clone().table_memory(0));
    let is_typed = matches!(&result, Ok(_) | Err(BindError::Memory { .. }));
    assert!(is_typed, "{at}: binding without memory for tables gives {result:?}");
    let cancel = Cancel::new();
    cancel.cancel();
    let result = codec.clone().bind(&binding.options(&TrainOptions::new().cancel(&cancel)));
    let is_typed = matches!(&result, Ok(_) | Err(BindError::Cancelled));
    assert!(is_typed, "{at}: a cancelled binding gives {result:?}");
}

/// Checks that binding refuses a choice of residuals that the codec does not allow. One exception:
/// a codec that always codes residuals may be bound without them, to the single list of an index
/// without lists.
pub(super) fn check_refused_binding(codec: &Arc<dyn Codec>, at: &str) {
    let residuals = codec.spec().residuals();
    for by_residual in [false, true].into_iter().filter(|choice| !residuals.allows(*choice)) {
        let centroids = Arc::new(FixedCentroids(uniform(5, LISTS, codec.dim())));
        let result = codec.clone().bind(&Binding::new(centroids).by_residual(by_residual));
        let is_refused = match &result {
            Ok(_) => residuals == Residuals::Always,
            Err(error) => matches!(error, BindError::Unsupported { .. }),
        };
        assert!(
            is_refused,
            "{at}: residuals are {residuals:?}, and binding with by_residual {by_residual} gives {result:?}"
        );
    }
}

/// Checks that each scanner parameter is declared once, with a default in range.
fn check_declarations(codec: &Arc<dyn Codec>, context: &CodecContext, at: &str) {
    let params = codec.spec().params(context);
    for (i, param) in params.iter().enumerate() {
        assert!(param.range.normal(&param.default).is_some(), "{at}: the default of {param:?} is out of range");
        let is_new = params[..i].iter().all(|other| !other.is_named(&param.name));
        assert!(is_new, "{at}: two parameters are named {}", param.name);
    }
}
