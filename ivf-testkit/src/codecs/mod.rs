//! The suite for codecs: train, encode, decode, bind, export, read back, damage.
//!
//! | file | content |
//! |---|---|
//! | `learn` | training data, and checks of training |
//! | `bound` | the codec bound to centroids |

mod bound;
mod learn;

pub use learn::train;
pub(crate) use learn::{settings, vectors};

use crate::compare::assert_same_node;
use crate::damage::{array_bytes, check_damaged_nodes};
use crate::data::{bytes, random, uniform};
use crate::executor::Threads;
use crate::layouts::check_layout;
use bound::{check_bound, check_refused_binding};
use ivf_core::error::DecodeError;
use ivf_core::{Binding, Codec, CodecContext, CodecSpec, Metric, Rows, StoredNode};
use learn::{check_training, train_on};
use std::sync::Arc;

/// A function that reads an exported codec.
pub type ReadCodec<'a> = &'a dyn Fn(&StoredNode) -> Result<Arc<dyn Codec>, DecodeError>;

/// Number of damaged nodes.
const DAMAGES: usize = 400;
/// Largest dimension and code size of a codec from a damaged node that is used. A damaged node may
/// declare any, and the test allocates no more memory than for these.
const GREATEST: usize = 1 << 16;

/// Checks a specification and the codec it trains into, for codes of vectors and of residuals, as
/// far as the codec allows them:
///
/// * Training gives the same bytes again, for any number of threads. The codec returns the
///   specification that it was trained from. If training learns from vectors, a cancelled training
///   is an error, and training memory is positive and does not fall as the number of vectors grows.
/// * The codec, its layout and the exported node have the same tag. Codes have the size that the
///   specification reports. A codec that exports arrays reports memory.
/// * The layout keeps its [contract](check_layout).
/// * Codes depend neither on how the batch is split nor on the previous content of the output
///   buffer. Decoded codes are finite.
/// * On average, a decoded code is nearer to its vector than the mean of all vectors is.
/// * Every string of bytes decodes without a panic.
/// * A bound codec codes residuals if asked to, and gives the same codes and distances for any
///   number of binding threads. A binding that the codec does not allow is a typed error.
/// * Exported and read back, the codec gives the same codes and vectors. A damaged node gives an
///   error or a codec that works.
///
/// # Panics
/// If a check fails.
pub fn check_codec(spec: &Arc<dyn CodecSpec>, dim: usize, metric: Metric, read: ReadCodec<'_>) {
    let choices = [false, true].into_iter().filter(|choice| spec.residuals().allows(*choice));
    for by_residual in choices {
        let context = CodecContext::new(dim, metric).by_residual(by_residual);
        let of = if by_residual { "residuals" } else { "vectors" };
        check_context(spec, &context, read, &format!("{spec}, {dim} dimensions, {metric}, codes of {of}"));
    }
}

fn check_context(spec: &Arc<dyn CodecSpec>, context: &CodecContext, read: ReadCodec<'_>, at: &str) {
    let codec = train_on(spec, context, &Threads(2));
    let node = codec.export().to_stored();
    for threads in [1, 4] {
        let again = train_on(spec, context, &Threads(threads));
        assert_same_node(&again.export().to_stored(), &node, format_args!("{at}: trained on {threads} threads"));
    }
    assert_eq!((codec.dim(), codec.metric()), (context.dim, context.metric), "{at}: dimension and metric");
    assert_eq!(codec.spec().to_string(), spec.to_string(), "{at}: the codec's specification");
    assert_eq!(codec.spec().residuals(), spec.residuals(), "{at}: the residuals of the codec's specification");
    assert_eq!(spec.code_size(context), codec.layout().code_size(), "{at}: size of a code, told and laid out");
    let tags = (codec.tag(), codec.layout().codec());
    assert_eq!(tags, (&*node.tag, &*node.tag), "{at}: tags of the codec and its layout, beside the node's");
    let exported = array_bytes(&node);
    assert!(exported == 0 || codec.memory() > 0, "{at}: {exported} bytes of arrays, which take no memory");
    check_training(spec, context, at);
    check_layout(codec.layout());
    check_codes(&*codec, at);
    check_bound(&codec, context, at);
    check_refused_binding(&codec, at);
    let back = read(&node).unwrap_or_else(|error| panic!("{at}: reading it back: {error}"));
    check_read_back(&*codec, &*back, at);
    check_damaged_nodes(&node, 3, DAMAGES, |damaged| {
        if let Ok(codec) = read(damaged) {
            use_it(&codec, context.by_residual);
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
    // Vectors far outside of the training data: any code is correct.
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

fn check_read_back(codec: &dyn Codec, back: &dyn Codec, at: &str) {
    let size = codec.layout().code_size();
    assert_eq!((back.dim(), back.metric()), (codec.dim(), codec.metric()), "{at}, read back: dimension and metric");
    assert_eq!(back.spec().to_string(), codec.spec().to_string(), "{at}, read back: specification");
    assert_eq!(back.tag(), codec.tag(), "{at}, read back: tag");
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

/// Checks that a codec from a damaged node answers without a panic.
fn use_it(codec: &Arc<dyn Codec>, by_residual: bool) {
    let (dim, size) = (codec.dim(), codec.layout().code_size());
    if dim == 0 || dim > GREATEST || size > GREATEST {
        assert!(dim > 0, "a codec of no dimension");
        return;
    }
    let sample = uniform(8, 3, dim);
    let codes = encode(&**codec, sample.rows(), 0);
    codec.decode(&codes[..size], &mut vec![0.0; dim]);
    codec.decode(&vec![0xff; size], &mut vec![0.0; dim]);
    codec.spec().to_string();
    codec.export();
    let centroids = Arc::new(crate::centroids::FixedCentroids(uniform(9, 2, dim)));
    if let Ok(bound) = codec.clone().bind(&Binding::new(centroids).by_residual(by_residual)) {
        let mut scanner = bound.scanner(&settings(&**codec, by_residual));
        scanner.set_query(sample.rows().row(0));
        scanner.set_list(ivf_core::ListNo(1), 1.0);
        scanner.distance(&codes[..size]);
    }
}

fn encode(codec: &dyn Codec, rows: Rows<'_, f32>, before: u8) -> Vec<u8> {
    let mut codes = vec![before; rows.len() * codec.layout().code_size()];
    codec.encode(rows, &mut codes);
    codes
}

fn bits(vector: &[f32]) -> Vec<u32> {
    vector.iter().map(|x| x.to_bits()).collect()
}
