//! Any codec: trained, encoding, decoding, exported, read back, damaged.

use crate::centroids::FixedCentroids;
use crate::compare::assert_same_node;
use crate::damage::check_damaged_nodes;
use crate::data::{Vectors, bytes, clusters, random, uniform};
use crate::executor::Threads;
use crate::layouts::check_layout;
use ivf_core::codec::residuals;
use ivf_core::error::DecodeError;
use ivf_core::{Codec, CodecSpec, Executor, ListNo, Metric, Rows, StoredNode, TrainOptions};
use std::sync::Arc;

/// Reads an exported codec.
pub type ReadCodec<'a> = &'a dyn Fn(&StoredNode) -> Result<Arc<dyn Codec>, DecodeError>;

/// Training vectors at most.
const POINTS: usize = 3000;
/// Damaged nodes tried.
const DAMAGES: usize = 400;
/// A damaged node may say any dimension: no memory is taken for a greater one than this.
const GREATEST: usize = 1 << 16;

/// The codec that a specification trains into, on generated vectors.
///
/// # Panics
/// If training fails.
pub fn train(spec: &Arc<dyn CodecSpec>, dim: usize, metric: Metric) -> Arc<dyn Codec> {
    train_on(spec, dim, metric, &Threads(2))
}

fn train_on(spec: &Arc<dyn CodecSpec>, dim: usize, metric: Metric, executor: &dyn Executor) -> Arc<dyn Codec> {
    spec.check(dim, metric).unwrap_or_else(|error| panic!("{spec} refuses {dim} dimensions and {metric}: {error}"));
    let points = vectors(1, spec.training_points(&TrainOptions::new()).min(POINTS), dim, metric);
    let options = TrainOptions::new().executor(executor);
    let trained = spec.train(points.rows(), metric, &options);
    trained.unwrap_or_else(|error| panic!("{spec} does not train in {dim} dimensions for {metric}: {error}")).0
}

pub(crate) fn vectors(seed: u64, n: usize, dim: usize, metric: Metric) -> Vectors {
    let vectors = clusters(seed, n, dim, 20);
    if metric == Metric::Cosine { vectors.unit() } else { vectors }
}

/// Checks a specification and the codec it trains into:
///
/// * training gives the same bytes again and for any number of threads, and the codec knows what it was trained from;
/// * the layout keeps its [promises](check_layout);
/// * codes are the same again, for every cut of the batch, and whatever the output held before; decoded they are finite;
/// * a code decodes to something nearer to its vector than the mean of all is;
/// * every string of bytes decodes without panic;
/// * bound to centroids, it codes residuals if the specification says so;
/// * exported and read back, it gives the same codes and vectors; a damaged node gives an error or a codec that works.
///
/// # Panics
/// If one of these does not hold.
pub fn check_codec(spec: &Arc<dyn CodecSpec>, dim: usize, metric: Metric, read: ReadCodec<'_>) {
    let codec = train(spec, dim, metric);
    let at = format!("{spec}, {dim} dimensions, {metric}");
    let node = codec.export().to_stored();
    for threads in [1, 4] {
        let again = train_on(spec, dim, metric, &Threads(threads));
        assert_same_node(&again.export().to_stored(), &node, format_args!("{at}: trained on {threads} threads"));
    }
    assert_eq!((codec.dim(), codec.metric()), (dim, metric), "{at}: dimension and metric");
    assert_eq!(codec.spec().to_string(), spec.to_string(), "{at}: the codec's specification");
    assert_eq!(codec.spec().by_residual(), spec.by_residual(), "{at}: the codec's specification codes residuals");
    codec.memory();
    check_layout(codec.layout());
    check_codes(&*codec, &at);
    check_bound(codec.clone(), &at);
    let back = read(&node).unwrap_or_else(|error| panic!("{at}: reading it back: {error}"));
    check_read_back(&*codec, &*back, &at);
    check_damaged_nodes(&node, 3, DAMAGES, |damaged| {
        if let Ok(codec) = read(damaged) {
            use_it(&*codec);
        }
    });
}

fn check_codes(codec: &dyn Codec, at: &str) {
    let (size, dim) = (codec.layout().code_size(), codec.dim());
    let sample = vectors(2, 150, dim, codec.metric());
    let codes = encode(codec, sample.rows(), 0);
    assert!(encode(codec, sample.rows(), 0xff) == codes, "{at}: codes depend on what the output held before");
    for cut in [1, 7, 64] {
        let pieces = (0..sample.len()).step_by(cut).map(|i| sample.rows().slice(i..(i + cut).min(sample.len())));
        let cut_codes: Vec<u8> = pieces.flat_map(|piece| encode(codec, piece, 0)).collect();
        assert!(cut_codes == codes, "{at}: codes depend on the cut of the batch into pieces of {cut}");
    }
    codec.encode(sample.rows().slice(0..0), &mut []);
    let (mut vector, mut again) = (vec![0.0; dim], vec![f32::NAN; dim]);
    for (row, code) in codes.chunks_exact(size).enumerate() {
        codec.decode(code, &mut vector);
        codec.decode(code, &mut again);
        assert!(vector.iter().all(|x| x.is_finite()), "{at}: vector {row} decodes to {vector:?}");
        assert!(bits(&vector) == bits(&again), "{at}: decoding depends on what the output held before");
    }
    let mut mean = vec![0.0; dim];
    sample
        .rows()
        .iter()
        .for_each(|row| mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += x / sample.len() as f32));
    let (mut kept, mut lost) = (0.0, 0.0);
    for (row, code) in sample.rows().iter().zip(codes.chunks_exact(size)) {
        codec.decode(code, &mut vector);
        lost += row.iter().zip(&vector).map(|(x, y)| (x - y) * (x - y)).sum::<f32>();
        kept += row.iter().zip(&mean).map(|(x, y)| (x - y) * (x - y)).sum::<f32>();
    }
    assert!(lost < kept, "{at}: decoded codes are no nearer to their vectors ({lost}) than the mean is ({kept})");
    // Far from everything seen in training: any code will do.
    for value in [0.0, -1.0e3, 1.0e19, f32::MAX] {
        encode(codec, Rows::new(&vec![value; dim], dim).expect("one row"), 0);
    }
    let mut random = random(4);
    for _ in 0..200 {
        codec.decode(&bytes(&mut random, size), &mut vector);
    }
    for byte in [0, 0x7f, 0x80, 0xff] {
        codec.decode(&vec![byte; size], &mut vector);
    }
}

fn check_bound(codec: Arc<dyn Codec>, at: &str) {
    let (size, dim) = (codec.layout().code_size(), codec.dim());
    let centroids = FixedCentroids(uniform(5, 4, dim));
    let bound = codec.clone().bind(Arc::new(centroids.clone()));
    assert_eq!(bound.codec().spec().to_string(), codec.spec().to_string(), "{at}: the codec of the bound codec");
    let sample = vectors(6, 40, dim, codec.metric());
    let lists: Vec<ListNo> = (0..sample.len() as u32).map(|i| ListNo(i % 4)).collect();
    let mut codes = vec![0; sample.len() * size];
    bound.encode(sample.rows(), &lists, &mut codes);
    let coded = if codec.spec().by_residual() {
        Vectors { data: residuals(sample.rows(), &lists, &centroids), dim }
    } else {
        sample
    };
    assert!(codes == encode(&*codec, coded.rows(), 0), "{at}: bound, it gives other codes");
    let (mut whole, mut part) = (vec![0.0; dim], vec![0.0; dim]);
    for (&list, code) in lists.iter().zip(codes.chunks_exact(size)) {
        bound.decode(list, code, &mut whole);
        codec.decode(code, &mut part);
        if codec.spec().by_residual() {
            part.iter_mut().zip(centroids.0.rows().row(list.index())).for_each(|(x, c)| *x += c);
        }
        assert!(bits(&whole) == bits(&part), "{at}: bound, it decodes to other vectors");
    }
}

fn check_read_back(codec: &dyn Codec, back: &dyn Codec, at: &str) {
    let size = codec.layout().code_size();
    assert_eq!((back.dim(), back.metric()), (codec.dim(), codec.metric()), "{at}, read back: dimension and metric");
    assert_eq!(back.spec().to_string(), codec.spec().to_string(), "{at}, read back: specification");
    assert_eq!(back.layout(), codec.layout(), "{at}, read back: layout");
    let sample = vectors(7, 60, codec.dim(), codec.metric());
    let codes = encode(codec, sample.rows(), 0);
    assert!(encode(back, sample.rows(), 0) == codes, "{at}, read back: other codes");
    let (mut ours, mut theirs) = (vec![0.0; codec.dim()], vec![0.0; codec.dim()]);
    for code in codes.chunks_exact(size) {
        codec.decode(code, &mut ours);
        back.decode(code, &mut theirs);
        assert!(bits(&ours) == bits(&theirs), "{at}, read back: other vectors");
    }
    assert_same_node(&back.export().to_stored(), &codec.export().to_stored(), format_args!("{at}, read back"));
}

/// Whatever a codec out of a damaged node answers, it answers.
fn use_it(codec: &dyn Codec) {
    let (dim, size) = (codec.dim(), codec.layout().code_size());
    if dim == 0 || dim > GREATEST || size > GREATEST {
        assert!(dim > 0, "a codec of no dimension");
        return;
    }
    let sample = uniform(8, 3, dim);
    let codes = encode(codec, sample.rows(), 0);
    codec.decode(&codes[..size], &mut vec![0.0; dim]);
    codec.decode(&vec![0xff; size], &mut vec![0.0; dim]);
    codec.spec().to_string();
    codec.export();
}

fn encode(codec: &dyn Codec, rows: Rows<'_, f32>, before: u8) -> Vec<u8> {
    let mut codes = vec![before; rows.len() * codec.layout().code_size()];
    codec.encode(rows, &mut codes);
    codes
}

fn bits(vector: &[f32]) -> Vec<u32> {
    vector.iter().map(|x| x.to_bits()).collect()
}
