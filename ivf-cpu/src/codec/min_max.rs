//! `MinMax(<codec>)` and `MinMaxFP16(<codec>)`: another codec, which codes each vector scaled by
//! its own minimum and range. (Faiss's `IndexRowwiseMinMax`, whose string is `MinMax,<codec>`.)
//!
//! Vectors of very different lengths then lose about the same share of their values. A code is:
//!
//! ```text
//! MinMax       | range, f32 | minimum, f32 | code of (vector - minimum) / range |
//! MinMaxFP16   | range, f16 | minimum, f16 | code of (vector - minimum) / range |
//! ```
//!
//! `MinMaxFP16` cuts a minimum to -65,504 to 65,504, and a range to at most 65,504, the largest
//! number of `f16`. A vector with coordinates beyond that comes back wrong, without an error, so
//! such vectors need `MinMax`.
//!
//! Distances of scaled vectors would mean nothing, so a scan decodes each code and computes the
//! distance to the vector that it stands for. (Faiss has no search.)

use super::rows::distances_to_vectors;
use half::f16;
use ivf_core::error::{BindError, BuildError, DecodeError, InputError, TrainError};
use ivf_core::field::{Field, FieldType, Schema};
use ivf_core::registry::{CodecRow, Parsed, Registry, Token};
use ivf_core::scanner::ScanRange;
use ivf_core::{
    Binding, BoundCodec, Centroids, CodeLayout, Codec, CodecContext, CodecSpec, CodecTraining, InvertedListScanner,
    ListNo, Metric, Node, Residuals, Rows, Settings, Sink, StoredNode, TrainOptions, TrainReport,
};
use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

/// The registry row of this codec.
pub(super) const ROW: CodecRow =
    CodecRow::new("min-max", "MinMax(<codec>), MinMaxFP16(<codec>)", parse, |node, registry| {
        Ok(Arc::new(MinMax::read(node, registry)?))
    })
    .about("another codec of each vector scaled by its own minimum and range, which the code keeps as floats")
    .samples(&["MinMax(SQ8)", "MinMaxFP16(SQ4)"])
    .takes_codec(true);

/// Name of the other codec in files.
const CODEC: &str = "codec";

/// Fields of the codec in files.
const SCHEMA: &Schema = &[Field::new("metric", FieldType::Metric), Field::new("half", FieldType::Bool)];

/// Number of codes that are decoded at a time.
const TOGETHER: usize = 32;

/// The form in which a code keeps the minimum and the range of its vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Single,
    /// As `f16`, which holds numbers up to 65,504. Others are cut to that.
    Half,
}

impl Form {
    const ALL: [Self; 2] = [Self::Single, Self::Half];

    fn name(self) -> &'static str {
        match self {
            Self::Single => "MinMax",
            Self::Half => "MinMaxFP16",
        }
    }

    /// Returns the size of both numbers in bytes.
    fn size(self) -> usize {
        match self {
            Self::Single => 2 * size_of::<f32>(),
            Self::Half => 2 * size_of::<f16>(),
        }
    }

    /// Writes a range and a minimum, both of them cut to what the form can hold.
    fn write(self, scale: Scale, code: &mut [u8]) {
        let (range, min) = code.split_at_mut(self.size() / 2);
        match self {
            Self::Single => {
                range.copy_from_slice(&scale.range.to_le_bytes());
                min.copy_from_slice(&scale.min.to_le_bytes());
            }
            Self::Half => {
                let half = |x: f32| f16::from_f32(x.clamp(f16::MIN.to_f32(), f16::MAX.to_f32())).to_le_bytes();
                range.copy_from_slice(&half(scale.range));
                min.copy_from_slice(&half(scale.min));
            }
        }
    }

    fn read(self, code: &[u8]) -> Scale {
        let (range, min) = code.split_at(self.size() / 2);
        let float = |bytes: &[u8]| match *bytes {
            [a, b, c, d] => f32::from_le_bytes([a, b, c, d]),
            [a, b] => f16::from_le_bytes([a, b]).to_f32(),
            _ => unreachable!("a number of two or four bytes"),
        };
        Scale { range: float(range), min: float(min) }
    }
}

/// The minimum and the range of a vector.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Scale {
    range: f32,
    min: f32,
}

impl Scale {
    fn of(row: &[f32]) -> Self {
        let (min, max) = row.iter().fold((f32::MAX, f32::MIN), |(min, max), x| (min.min(*x), max.max(*x)));
        // The range of large numbers may overflow.
        Self { range: (max - min).min(f32::MAX), min }
    }

    /// Scales a coordinate to about 0 to 1.
    fn down(self, x: f32) -> f32 {
        let (range, offset) = (f64::from(self.range), f64::from(x) - f64::from(self.min));
        let scaled = if range > 0.0 { offset / range } else { 0.0 };
        scaled.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32
    }

    /// Scales a coordinate back.
    fn up(self, x: f32) -> f32 {
        let scaled = f64::from(x) * f64::from(self.range) + f64::from(self.min);
        scaled.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32
    }
}

/// Parses `MinMax(<codec>)`, or `MinMax` with a codec that follows after a comma.
fn parse(token: &Token<'_>, registry: &Registry) -> Parsed<dyn CodecSpec> {
    let form = Form::ALL.into_iter().find(|form| form.name() == token.name())?;
    let codec = match token.codec() {
        Some(codec) if token.arguments().is_none() => Ok(Arc::clone(codec)),
        _ => token.codec_argument(registry),
    };
    Some(codec.map(|codec| Arc::new(MinMaxSpec { form, codec }) as _))
}

/// The specification of a codec of scaled vectors.
#[derive(Debug)]
struct MinMaxSpec {
    form: Form,
    codec: Arc<dyn CodecSpec>,
}

/// The other codec only encodes and decodes, so its metric does not matter.
fn inner(dim: usize) -> CodecContext {
    CodecContext::new(dim, Metric::L2)
}

/// Returns the vectors, each scaled by its own minimum and range in this form.
fn scaled(form: Form, rows: Rows<'_, f32>) -> (Vec<Scale>, Vec<f32>) {
    let mut code = vec![0; form.size()];
    let mut vectors = Vec::with_capacity(rows.as_slice().len());
    let scales = rows.iter().map(|row| {
        // Decoding has what the form keeps.
        form.write(Scale::of(row), &mut code);
        let scale = form.read(&code);
        vectors.extend(row.iter().map(|x| scale.down(*x)));
        scale
    });
    (scales.collect(), vectors)
}

impl fmt::Display for MinMaxSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.form.name(), self.codec)
    }
}

impl CodecSpec for MinMaxSpec {
    fn check(&self, context: &CodecContext) -> Result<(), BuildError> {
        super::FlatSpec.check(context).map_err(|error| match error {
            BuildError::Metric { metric, .. } => BuildError::Metric { kind: self.to_string(), metric },
            other => other,
        })?;
        if self.codec.learns_from_lists() || !self.codec.residuals().allows(false) {
            let why = "it depends on lists, which scaled vectors do not have".to_owned();
            return Err(BuildError::Dim { kind: self.codec.to_string(), dim: context.dim, why });
        }
        self.codec.check(&inner(context.dim))
    }

    fn residuals(&self) -> Residuals {
        Residuals::Never
    }

    fn training_points(&self, options: &TrainOptions<'_>) -> usize {
        self.codec.training_points(options)
    }

    fn training_memory(&self, context: &CodecContext, points: usize, options: &TrainOptions<'_>) -> usize {
        let points = points.min(self.training_points(options));
        let scaled = points.saturating_mul(context.dim * size_of::<f32>() + size_of::<Scale>());
        scaled.saturating_add(self.codec.training_memory(&inner(context.dim), points, options))
    }

    fn code_size(&self, context: &CodecContext) -> usize {
        self.form.size() + self.codec.code_size(&inner(context.dim))
    }

    fn train(&self, input: &CodecTraining<'_>) -> Result<(Arc<dyn Codec>, TrainReport), TrainError> {
        let dim = input.rows.dim();
        let (_, vectors) = scaled(self.form, input.rows);
        let rows = Rows::new(&vectors, dim).map_err(InputError::from)?;
        let (codec, report) = self.codec.train(&input.rows(rows).context(inner(dim)))?;
        Ok((Arc::new(MinMax::new(self.form, input.context.metric, codec)), report))
    }
}

/// A trained codec of scaled vectors.
#[derive(Debug)]
struct MinMax {
    form: Form,
    metric: Metric,
    codec: Arc<dyn Codec>,
    layout: CodeLayout,
}

impl MinMax {
    fn new(form: Form, metric: Metric, codec: Arc<dyn Codec>) -> Self {
        let layout = CodeLayout::rows(form.size() + codec.layout().code_size()).of_codec(ROW.tag);
        Self { form, metric, codec, layout }
    }

    fn read(node: &StoredNode, registry: &Registry) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        let fields = node.fields(SCHEMA)?;
        let form = if fields.get("half")? { Form::Half } else { Form::Single };
        let read = Self::new(form, fields.get("metric")?, registry.read_codec(node.child(CODEC)?)?);
        let fault = |what: String| Err(DecodeError::value(&node.tag, what));
        if read.codec.metric() != Metric::L2 {
            return fault(format!("the codec of scaled vectors has the metric {}", read.codec.metric()));
        }
        match read.spec().check(&CodecContext::new(read.dim(), read.metric)) {
            Ok(()) => Ok(read),
            Err(error) => fault(error.to_string()),
        }
    }
}

impl Codec for MinMax {
    fn spec(&self) -> Arc<dyn CodecSpec> {
        Arc::new(MinMaxSpec { form: self.form, codec: self.codec.spec() })
    }

    fn tag(&self) -> &str {
        ROW.tag
    }

    fn dim(&self) -> usize {
        self.codec.dim()
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn layout(&self) -> &CodeLayout {
        &self.layout
    }

    fn encode(&self, rows: Rows<'_, f32>, codes: &mut [u8]) {
        let (size, inner_size) = (self.layout.code_size(), self.codec.layout().code_size());
        assert_eq!(codes.len(), rows.len() * size, "one code for each vector");
        let (scales, vectors) = scaled(self.form, rows);
        let mut inner = vec![0; rows.len() * inner_size];
        self.codec.encode(Rows::new(&vectors, rows.dim()).expect("rows of this dimension"), &mut inner);
        let parts = scales.into_iter().zip(inner.chunks_exact(inner_size));
        for (code, (scale, inner)) in codes.chunks_exact_mut(size).zip(parts) {
            let (head, rest) = code.split_at_mut(self.form.size());
            self.form.write(scale, head);
            rest.copy_from_slice(inner);
        }
    }

    fn decode(&self, code: &[u8], vector: &mut [f32]) {
        assert_eq!(code.len(), self.layout.code_size(), "a code of the codec's size");
        let (head, rest) = code.split_at(self.form.size());
        self.codec.decode(rest, vector);
        let scale = self.form.read(head);
        vector.iter_mut().for_each(|x| *x = scale.up(*x));
    }

    fn memory(&self) -> usize {
        self.codec.memory()
    }

    fn export(&self) -> Node<'_> {
        let mut node = Node::new(ROW.tag, 0).with("metric", self.metric).with("half", self.form == Form::Half);
        node.push_child(CODEC, self.codec.export());
        node
    }

    fn bind(self: Arc<Self>, to: &Binding<'_>) -> Result<Arc<dyn BoundCodec>, BindError> {
        to.check_dim(&*self)?;
        if to.by_residual {
            return Err(BindError::Unsupported { kind: self.spec().to_string(), what: "codes of residuals".into() });
        }
        Ok(Arc::new(BoundMinMax { codec: self, centroids: Arc::clone(&to.centroids) }))
    }
}

#[derive(Debug)]
struct BoundMinMax {
    codec: Arc<MinMax>,
    centroids: Arc<dyn Centroids>,
}

impl BoundCodec for BoundMinMax {
    fn codec(&self) -> &dyn Codec {
        &*self.codec
    }

    fn centroids(&self) -> &dyn Centroids {
        &*self.centroids
    }

    fn by_residual(&self) -> bool {
        false
    }

    fn scanner(&self, _settings: &Settings) -> Box<dyn InvertedListScanner + '_> {
        Box::new(Decoding {
            codec: &self.codec,
            query: vec![0.0; self.codec.dim()],
            vectors: RefCell::default(),
            codes: Vec::new(),
        })
    }
}

/// A scanner that decodes codes and computes the distances to the decoded vectors.
struct Decoding<'a> {
    codec: &'a MinMax,
    query: Vec<f32>,
    /// Scratch memory of decoded vectors, which grows to at most [`TOGETHER`] of them.
    vectors: RefCell<Vec<f32>>,
    /// Scratch memory of the codes of a scan.
    codes: Vec<u8>,
}

impl InvertedListScanner for Decoding<'_> {
    fn set_query(&mut self, query: &[f32]) {
        self.query.copy_from_slice(query);
    }

    fn set_list(&mut self, _list: ListNo, _coarse_distance: f32) {}

    fn distance(&self, code: &[u8]) -> f32 {
        let mut distance = [0.0];
        self.distances(code, &mut distance);
        distance[0]
    }

    fn distances(&self, codes: &[u8], distances: &mut [f32]) {
        let (size, dim) = (self.codec.layout.code_size(), self.codec.dim());
        assert_eq!(codes.len(), size * distances.len(), "whole codes");
        let mut vectors = self.vectors.borrow_mut();
        let len = distances.len().min(TOGETHER) * dim;
        if vectors.len() < len {
            vectors.resize(len, 0.0);
        }
        for (codes, distances) in codes.chunks(TOGETHER * size).zip(distances.chunks_mut(TOGETHER)) {
            let vectors = &mut vectors[..distances.len() * dim];
            let decoded = codes.chunks_exact(size).zip(vectors.chunks_exact_mut(dim));
            decoded.for_each(|(code, vector)| self.codec.decode(code, vector));
            distances_to_vectors(self.codec.metric, &self.query, vectors, distances);
        }
    }

    fn scan(&mut self, scan_range: &ScanRange<'_>, sink: &mut Sink) {
        let size = self.codec.layout.code_size();
        let mut codes = std::mem::take(&mut self.codes);
        codes.resize(TOGETHER * size, 0);
        let (mut numbers, mut distances) = ([0; TOGETHER], [0.0; TOGETHER]);
        let mut slots = scan_range.slots();
        loop {
            let mut len = 0;
            for slot in slots.by_ref().take(TOGETHER) {
                scan_range.segment().code(scan_range.layout(), slot, &mut codes[len * size..][..size]);
                numbers[len] = slot;
                len += 1;
            }
            if len == 0 {
                break;
            }
            let distances = &mut distances[..len];
            self.distances(&codes[..len * size], distances);
            numbers.iter().zip(&*distances).for_each(|(&slot, d)| sink.push(scan_range.neighbor(slot, *d)));
        }
        self.codes = codes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codec(form: Form) -> MinMax {
        MinMax::new(form, Metric::InnerProduct, Arc::new(super::super::FlatCodec::new(3, Metric::L2)))
    }

    #[test]
    fn a_code_has_the_range_and_the_minimum_first() {
        let row = Rows::new(&[-1.0, 0.5, 3.0], 3).unwrap();
        let (mut single, mut half) = (vec![0; 20], vec![0; 16]);
        codec(Form::Single).encode(row, &mut single);
        codec(Form::Half).encode(row, &mut half);
        assert_eq!(single[..8], [4.0_f32.to_le_bytes(), (-1.0_f32).to_le_bytes()].concat());
        assert_eq!(half[..4], [f16::from_f32(4.0).to_le_bytes(), f16::from_f32(-1.0).to_le_bytes()].concat());
        assert_eq!(single[8..], half[4..]);
        assert_eq!(single[8..], [0.0_f32, 0.375, 1.0].map(f32::to_le_bytes).concat());
    }

    #[test]
    fn equal_and_extreme_coordinates_come_back_finite() {
        for form in Form::ALL {
            let codec = codec(form);
            for row in [[2.5; 3], [f32::MIN, 0.0, f32::MAX], [0.0; 3], [1e-40, 0.0, 1e-40], [70_000.0, 1.0, -70_000.0]]
            {
                let (mut code, mut back) = (vec![0; codec.layout.code_size()], [f32::NAN; 3]);
                codec.encode(Rows::new(&row, 3).unwrap(), &mut code);
                codec.decode(&code, &mut back);
                assert!(back.iter().all(|x| x.is_finite()), "{form:?}, {row:?}: {back:?}");
                if form == Form::Single && row[0] != f32::MIN {
                    // Coordinates are rounded relative to the range.
                    let range =
                        row.iter().copied().fold(f32::MIN, f32::max) - row.iter().copied().fold(f32::MAX, f32::min);
                    let near =
                        row.iter().zip(&back).all(|(x, y)| (x - y).abs() <= f32::EPSILON * range + 1e-6 * x.abs());
                    assert!(near, "{row:?}: {back:?}");
                }
            }
        }
    }
}
