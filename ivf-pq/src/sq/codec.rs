//! The specification of a scalar quantizer, and the trained codec.

use super::bound::BoundSq;
use super::bytes::ByteScale;
use super::kinds::Kind;
use super::scale::{Learnt, Scale};
use ivf_core::error::{BindError, BuildError, DecodeError, PartsError, TrainError};
use ivf_core::field::{Field, FieldType, Schema};
use ivf_core::node::NamedArray;
use ivf_core::{
    Binding, BoundCodec, CodeLayout, Codec, CodecContext, CodecSpec, CodecTraining, MAX_DIM, Metric, Node, Residuals,
    Rows, StoredNode, TrainOptions, TrainReport,
};
use std::fmt;
use std::sync::Arc;

const SCHEMA: &Schema = &[
    Field::new("dim", FieldType::UInt),
    Field::new("metric", FieldType::Metric),
    Field::new("uniform", FieldType::Bool),
];

/// Version of nodes from which on blocks of codes of 4 and 8 bits have the terms of a first pass.
const VERSION_OF_TERMS: u16 = 1;

/// Maximum number of training vectors, as in Faiss. Only the extremes of each dimension count.
const POINTS: usize = 100_000;

/// The specification of a scalar quantizer.
///
/// ```
/// use ivf_core::{CodecContext, CodecSpec, Metric};
/// use ivf_pq::SqSpec;
///
/// // The factory token says how many bits a dimension takes.
/// let context = CodecContext::new(10, Metric::L2);
/// let sizes = [SqSpec::SQ4, SqSpec::SQ6, SqSpec::SQ8, SqSpec::SQ_FP16].map(|spec| spec.code_size(&context));
/// assert_eq!(sizes, [5, 8, 10, 20]);
///
/// // With one range for all dimensions, the token is the same.
/// let uniform = SqSpec::SQ8.uniform();
/// assert!(uniform.is_uniform() && uniform.to_string() == "SQ8");
/// ```
#[derive(Clone, Copy)]
pub struct SqSpec {
    pub(super) kind: &'static Kind,
    is_uniform: bool,
}

impl PartialEq for SqSpec {
    fn eq(&self, other: &Self) -> bool {
        self.kind.tag == other.kind.tag && self.is_uniform == other.is_uniform
    }
}

impl Eq for SqSpec {}

impl fmt::Debug for SqSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqSpec").field("token", &self.kind.token).field("uniform", &self.is_uniform).finish()
    }
}

impl fmt::Display for SqSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.token)
    }
}

impl SqSpec {
    pub(super) const fn new(kind: &'static Kind) -> Self {
        Self { kind, is_uniform: false }
    }

    /// Returns the specification with one learnt range for all dimensions. (Faiss's
    /// `QT_8bit_uniform` and `QT_4bit_uniform`, which have no token of their own.) Kinds that learn
    /// no ranges stay as they are.
    #[must_use]
    pub fn uniform(self) -> Self {
        Self { is_uniform: self.learns(), ..self }
    }

    /// Returns whether one learnt range serves all dimensions.
    pub fn is_uniform(&self) -> bool {
        self.is_uniform
    }

    pub(super) fn learns(&self) -> bool {
        self.kind.constant.is_none()
    }

    fn check_metric(&self, metric: Metric) -> Result<(), BuildError> {
        let is_good = match metric {
            Metric::L2 | Metric::InnerProduct => true,
            // Learnt ranges cut coordinates, which may make negative ones of a distribution. (Faiss
            // has no other metrics either.)
            _ if self.learns() => false,
            // For the cosine, a transform normalises before an inner-product index.
            Metric::Cosine => false,
            Metric::Lp(p) => p.is_finite() && p > 0.0,
            _ => true,
        };
        if is_good { Ok(()) } else { Err(BuildError::Metric { kind: self.to_string(), metric }) }
    }
}

impl CodecSpec for SqSpec {
    fn check(&self, context: &CodecContext) -> Result<(), BuildError> {
        self.check_metric(context.metric)
    }

    fn residuals(&self) -> Residuals {
        Residuals::Optional { default: self.kind.by_residual }
    }

    fn training_points(&self, _options: &TrainOptions<'_>) -> usize {
        if self.learns() { POINTS } else { 0 }
    }

    fn training_memory(&self, context: &CodecContext, _points: usize, _options: &TrainOptions<'_>) -> usize {
        // The extremes, and the tables of the codec.
        if self.learns() { 6 * context.dim * size_of::<f32>() } else { 0 }
    }

    fn code_size(&self, context: &CodecContext) -> usize {
        self.kind.numbers.code_size(context.dim)
    }

    fn train(&self, input: &CodecTraining<'_>) -> Result<(Arc<dyn Codec>, TrainReport), TrainError> {
        let (rows, metric) = (input.rows, input.context.metric);
        let mut report = TrainReport::default();
        let learnt = if self.learns() {
            input.options.check_cancel()?;
            if rows.is_empty() {
                return Err(TrainError::TooFew { who: format!("the ranges of {self}"), needed: 1, found: 0 });
            }
            report.points = rows.len();
            Some(Learnt::of(rows, self.is_uniform))
        } else {
            None
        };
        let codec = SqCodec::new(*self, rows.dim(), metric, learnt, true)
            .map_err(|error| TrainError::Unsupported { kind: self.to_string(), what: error.to_string() })?;
        Ok((Arc::new(codec), report))
    }
}

/// Scalar quantizer as a list codec (Faiss's `ScalarQuantizer`). Each dimension of a vector becomes
/// a number of 4, 6, 8 or 16 bits. Codes have the bytes of Faiss.
///
/// ```
/// use ivf_core::{Codec, Metric, Rows};
/// use ivf_pq::{SqCodec, SqSpec};
///
/// // One range for all dimensions, from 0 to 255. The second dimension has its own in the next one.
/// let codec = SqCodec::with_ranges(SqSpec::SQ8.uniform(), 2, Metric::L2, &[0.0], &[255.0])?;
/// let (mut code, mut vector) = (vec![0; codec.layout().code_size()], [0.0; 2]);
/// codec.encode(Rows::new(&[3.2, 300.0], 2)?, &mut code);
/// codec.decode(&code, &mut vector);
/// assert_eq!((code.as_slice(), vector), (&[3, 255][..], [3.5, 255.5]));
///
/// let codec = SqCodec::with_ranges(SqSpec::SQ8, 2, Metric::L2, &[0.0, -1.0], &[255.0, 2.0])?;
/// codec.encode(Rows::new(&[3.2, 0.0], 2)?, &mut code);
/// assert_eq!(code, [3, 127]);
/// assert_eq!(codec.ranges(), Some((&[0.0, -1.0][..], &[255.0, 2.0][..])));
///
/// // Other kinds have no ranges. Half-precision floats saturate.
/// let codec = SqCodec::without_ranges(SqSpec::SQ_FP16, 2, Metric::L2)?;
/// let mut code = vec![0; codec.layout().code_size()];
/// codec.encode(Rows::new(&[0.5, 1.0e9], 2)?, &mut code);
/// codec.decode(&code, &mut vector);
/// assert_eq!((code.len(), vector), (4, [0.5, 65504.0]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SqCodec {
    pub(super) spec: SqSpec,
    metric: Metric,
    dim: usize,
    scale: Scale,
    layout: CodeLayout,
    /// What a first pass in bytes takes, if blocks have terms for it.
    byte_scale: Option<ByteScale>,
}

impl SqCodec {
    /// Creates a codec that learns ranges from the ranges that it would have learnt: the least
    /// values, and the widths of the ranges. There is one for each dimension, or a single one if
    /// `spec` [is uniform](SqSpec::uniform).
    ///
    /// # Errors
    /// [`PartsError::Build`] for a metric that is not supported. [`PartsError::Mismatch`] if the
    /// dimension or the number of ranges is wrong, a number is not finite or a width negative, or
    /// the kind has no ranges.
    pub fn with_ranges(
        spec: SqSpec,
        dim: usize,
        metric: Metric,
        min: &[f32],
        width: &[f32],
    ) -> Result<Self, PartsError> {
        Self::new(spec, dim, metric, Some(Learnt { min: min.to_vec(), width: width.to_vec() }), true)
    }

    /// Creates a codec that needs no training.
    ///
    /// # Errors
    /// As [`with_ranges`](Self::with_ranges). [`PartsError::Mismatch`] if the kind learns ranges.
    pub fn without_ranges(spec: SqSpec, dim: usize, metric: Metric) -> Result<Self, PartsError> {
        Self::new(spec, dim, metric, None, true)
    }

    /// With `has_terms`, blocks have the terms of a first pass in bytes if the kind has one. Only
    /// those of old files have none.
    fn new(
        spec: SqSpec,
        dim: usize,
        metric: Metric,
        learnt: Option<Learnt>,
        has_terms: bool,
    ) -> Result<Self, PartsError> {
        spec.check_metric(metric)?;
        let fault = |what: String| Err(PartsError::Mismatch(what));
        if !(1..=MAX_DIM).contains(&dim) {
            return fault(format!("{dim} dimensions: from 1 to {MAX_DIM} are supported"));
        }
        let limits = spec.kind.numbers.limits();
        let scale = match (spec.kind.constant, learnt) {
            (Some(constant), None) => Scale::fixed(constant, limits, dim),
            (None, Some(learnt)) => {
                let (needed, found) = (if spec.is_uniform { 1 } else { dim }, (learnt.min.len(), learnt.width.len()));
                if found != (needed, needed) {
                    return fault(format!("{} least values and {} widths (expected {needed})", found.0, found.1));
                }
                let is_good = learnt.min.iter().all(|x| x.is_finite())
                    && learnt.width.iter().all(|width| width.is_finite() && *width >= 0.0);
                if !is_good {
                    return fault("a range that is not finite, or of a negative width".to_owned());
                }
                Scale::learnt(learnt, limits, dim)
            }
            (Some(_), Some(_)) => return fault(format!("ranges for {spec}, which has none")),
            (None, None) => return fault(format!("no ranges for {spec}, which learns them")),
        };
        let layout = spec.kind.numbers.layout(&scale, has_terms).of_codec(spec.kind.tag);
        let per_byte = spec.kind.numbers.per_byte().filter(|_| has_terms);
        let byte_scale = per_byte.map(|per_byte| ByteScale::new(&scale, per_byte));
        Ok(Self { spec, metric, dim, scale, layout, byte_scale })
    }

    /// Returns the learnt ranges: the least values, and the widths. Both have one element for each
    /// dimension, or a single one if the ranges are uniform.
    pub fn ranges(&self) -> Option<(&[f32], &[f32])> {
        self.scale.ranges().map(|learnt| (&learnt.min[..], &learnt.width[..]))
    }

    /// Returns what a first pass in bytes takes, if blocks have terms for it.
    pub(super) fn byte_scale(&self) -> Option<&ByteScale> {
        self.byte_scale.as_ref()
    }

    pub(super) fn kind(&self) -> &'static Kind {
        self.spec.kind
    }

    pub(super) fn scale(&self) -> &Scale {
        &self.scale
    }

    pub(super) fn read(node: &StoredNode, kind: &'static Kind) -> Result<Self, DecodeError> {
        node.expect_version(VERSION_OF_TERMS)?;
        let has_terms = node.version >= VERSION_OF_TERMS;
        let fields = node.fields(SCHEMA)?;
        let (dim, metric, spec) = (fields.dim("dim")?, fields.get("metric")?, SqSpec::new(kind));
        let spec = if fields.get("uniform")? { spec.uniform() } else { spec };
        let learnt = if spec.learns() {
            Some(Learnt { min: node.array("min")?.to_vec(), width: node.array("width")?.to_vec() })
        } else {
            None
        };
        Self::new(spec, dim, metric, learnt, has_terms)
            .map_err(|error| DecodeError::value(&node.tag, error.to_string()))
    }
}

impl Codec for SqCodec {
    fn spec(&self) -> Arc<dyn CodecSpec> {
        Arc::new(self.spec)
    }

    fn tag(&self) -> &str {
        self.spec.kind.tag
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn layout(&self) -> &CodeLayout {
        &self.layout
    }

    fn encode(&self, rows: Rows<'_, f32>, codes: &mut [u8]) {
        assert_eq!((rows.dim(), codes.len()), (self.dim, rows.len() * self.layout.code_size()), "wrong lengths");
        self.spec.kind.numbers.encode(&self.scale, rows, codes);
    }

    fn decode(&self, code: &[u8], vector: &mut [f32]) {
        assert_eq!((code.len(), vector.len()), (self.layout.code_size(), self.dim), "wrong lengths");
        self.spec.kind.numbers.decode(&self.scale, code, vector);
    }

    fn memory(&self) -> usize {
        self.scale.memory() + self.byte_scale.as_ref().map_or(0, ByteScale::memory)
    }

    fn export(&self) -> Node<'_> {
        let version = if self.byte_scale.is_some() { VERSION_OF_TERMS } else { 0 };
        let fields = Node::new(self.spec.kind.tag, version).with("dim", self.dim).with("metric", self.metric);
        let mut node = fields.with("uniform", self.spec.is_uniform);
        if let Some((min, width)) = self.ranges() {
            node.push(NamedArray::borrowed("min", &[min.len() as u64], min));
            node.push(NamedArray::borrowed("width", &[width.len() as u64], width));
        }
        node
    }

    fn bind(self: Arc<Self>, to: &Binding<'_>) -> Result<Arc<dyn BoundCodec>, BindError> {
        Ok(Arc::new(BoundSq::new(self, to)?))
    }
}
