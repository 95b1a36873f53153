//! `PQ<M>x<bits>`: product-quantised codes in lists, of residuals or of the vectors themselves.

use crate::bound::BoundPq;
use crate::layout::layout;
use crate::product::{MAX_BITS, ProductQuantizer, code_size, equal_parts};
use crate::wide::BoundWide;
use ivf_core::error::{BindError, BuildError, DecodeError, PartsError, TrainError};
use ivf_core::field::{Field, FieldType, Schema};
use ivf_core::node::NamedArray;
use ivf_core::param::ParamRange;
use ivf_core::registry::{CodecRow, Parsed, Registry, Token, TokenError};
use ivf_core::{
    Binding, BoundCodec, CodeLayout, Codec, CodecContext, CodecSpec, CodecTraining, KnobValue, MAX_DIM, Metric, Node,
    Param, Residuals, Rows, StoredNode, TrainOptions, TrainReport,
};
use ivf_cpu::train_parts_memory;
use std::fmt;
use std::sync::Arc;

/// Registry row of this codec.
pub(crate) const ROW: CodecRow =
    CodecRow::new("pq", "PQ<M>[x<bits>][np], PQ<M>x4fs[r][_<bbs>]", parse, |node, _registry| {
        Ok(Arc::new(PqCodec::read(node)?))
    })
    .about("product quantisation: M subquantizers of 8 (or 1 to 16) bits; 4 bits are the fastest")
    .samples(&["PQ8", "PQ16x8", "PQ8x4fs", "PQ4x4fsr_64", "PQ4x6"]);

const SCHEMA: &Schema = &[
    Field::new("metric", FieldType::Metric),
    Field::since_version_2("bits", FieldType::UInt),
    Field::since_version_2("fast_scan_block", FieldType::UInt),
    Field::since_version_2("fast_scan_residuals", FieldType::Bool),
];

/// Default maximum number of training points for each centroid.
const POINTS: usize = 256;

/// Name of the parameter that allows distances to be sums of rounded tables.
pub(crate) const RAW_SUMS: &str = "raw_sums";

/// Default number of bits of a subquantizer.
const BITS: u32 = 8;

fn parse(token: &Token<'_>, _registry: &Registry) -> Parsed<dyn CodecSpec> {
    let token = token.plain()?;
    // `PQ8+16` is not a codec but an index of two.
    let rest = token.strip_prefix("PQ").filter(|rest| !rest.contains('+'))?;
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (m, form) = rest.split_at(digits(rest));
    let fault = |span: std::ops::Range<usize>, what: &str| Some(Err(TokenError::new(span, what)));
    if m.is_empty() {
        return fault(0..token.len(), "PQ needs the number of subquantizers, as in PQ16");
    }
    let form_at = 2 + m.len();
    let spec = match m.parse::<usize>() {
        Ok(subquantizers) if (1..=MAX_DIM).contains(&subquantizers) => PqSpec::new(subquantizers),
        _ => return fault(2..form_at, &format!("the number of subquantizers must be from 1 to {MAX_DIM}")),
    };
    // Faiss's "np" disables the reordering of centroids for Hamming distances, which does not exist
    // here.
    if form.is_empty() || form == "np" {
        return Some(Ok(Arc::new(spec)));
    }
    let bits = form.strip_prefix('x').map_or("", |form| &form[..digits(form)]);
    if bits.is_empty() {
        let what =
            "only x and the number of bits (as in x4, x4fs or x8np), or np may follow the number of subquantizers";
        return fault(form_at..token.len(), what);
    }
    let after_at = form_at + 1 + bits.len();
    let spec = match bits.parse::<u32>() {
        Ok(bits) if (1..=MAX_BITS).contains(&bits) => spec.bits(bits),
        _ => return fault(form_at + 1..after_at, &format!("the number of bits must be from 1 to {MAX_BITS}")),
    };
    let after = &token[after_at..];
    if after.is_empty() || after == "np" {
        return Some(Ok(Arc::new(spec)));
    }
    let Some(fast) = after.strip_prefix("fs") else {
        return fault(after_at..token.len(), "only np, fs or fsr may follow the number of bits");
    };
    if spec.bits != FAST_SCAN_BITS {
        return fault(form_at + 1..after_at, "a fast scan needs 4 bits, as in x4fs");
    }
    let (by_residual, block) = fast.strip_prefix('r').map_or((false, fast), |block| (true, block));
    let block = match block.strip_prefix('_') {
        None if block.is_empty() => FastScan::BLOCK,
        block => match block.and_then(|block| block.parse::<usize>().ok()).filter(|&n| is_block(n)) {
            Some(block) => block,
            None => {
                let at = token.len() - fast.len() + usize::from(by_residual);
                return fault(at..token.len(), "only _ and a block size may follow: a multiple of 32, at most 4096");
            }
        },
    };
    Some(Ok(Arc::new(spec.fast_scan(FastScan { by_residual, block }))))
}

/// Number of bits of a subquantizer in Faiss's fast scan.
const FAST_SCAN_BITS: u32 = 4;

/// Returns whether the token of a fast-scan index of Faiss can have this block size.
pub(crate) fn is_block(block: usize) -> bool {
    (32..=4096).contains(&block) && block.is_multiple_of(32)
}

/// Rejects metrics that are not sums over subquantizers. (Cosine is a transform followed by the
/// inner product.)
fn check_metric(spec: &PqSpec, metric: Metric) -> Result<(), BuildError> {
    match metric {
        Metric::L2 | Metric::InnerProduct => Ok(()),
        _ => Err(BuildError::Metric { kind: spec.to_string(), metric }),
    }
}

/// `PQ<M>x<bits>`: `M` subquantizers of 1 to 16 bits each.
///
/// ```
/// use ivf_core::{CodecContext, CodecSpec, Metric};
/// use ivf_pq::{FastScan, PqSpec};
///
/// let spec = PqSpec::new(16);
/// assert_eq!((spec.to_string(), spec.bits(4).to_string()), ("PQ16".into(), "PQ16x4".into()));
/// // 16 subquantizers of 4 bits take 8 bytes.
/// assert_eq!(spec.bits(4).code_size(&CodecContext::new(32, Metric::L2)), 8);
///
/// // Faiss's fast scan encodes no residuals unless it is told to.
/// let fast = spec.bits(4).fast_scan(FastScan::default());
/// assert_eq!((fast.to_string(), fast.residuals().default_choice()), ("PQ16x4fs".into(), false));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PqSpec {
    /// Number of subquantizers.
    pub subquantizers: usize,
    /// Number of bits in a code for each subquantizer.
    pub bits: u32,
    /// The form of Faiss's fast-scan index, if the token had it.
    pub fast_scan: Option<FastScan>,
}

/// What the token of a fast-scan index of Faiss says. Every `PQ<M>x4` is scanned that way here,
/// with exact distances for the codes that pass. The token sets whether codes encode residuals
/// unless the index is told otherwise, and is kept for files of Faiss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FastScan {
    /// Whether codes encode residuals.
    pub by_residual: bool,
    /// Number of codes in a block of Faiss. It has no effect here.
    pub block: usize,
}

impl FastScan {
    /// Default number of codes in a block of Faiss.
    pub(crate) const BLOCK: usize = 32;
}

impl Default for FastScan {
    fn default() -> Self {
        Self { by_residual: false, block: Self::BLOCK }
    }
}

impl PqSpec {
    /// `PQ<M>`, with 8 bits.
    pub fn new(subquantizers: usize) -> Self {
        Self { subquantizers, bits: BITS, fast_scan: None }
    }

    /// Returns the specification with another number of bits.
    #[must_use]
    pub fn bits(self, bits: u32) -> Self {
        Self { bits, ..self }
    }

    /// Returns the specification with the form of a fast-scan index.
    #[must_use]
    pub fn fast_scan(self, fast_scan: FastScan) -> Self {
        Self { fast_scan: Some(fast_scan), ..self }
    }
}

impl fmt::Display for PqSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PQ{}", self.subquantizers)?;
        if self.bits != BITS {
            write!(f, "x{}", self.bits)?;
        }
        let Some(FastScan { by_residual, block }) = self.fast_scan else { return Ok(()) };
        f.write_str(if by_residual { "fsr" } else { "fs" })?;
        if block == FastScan::BLOCK { Ok(()) } else { write!(f, "_{block}") }
    }
}

impl CodecSpec for PqSpec {
    fn check(&self, context: &CodecContext) -> Result<(), BuildError> {
        check_metric(self, context.metric)?;
        let fault = |why: String| Err(BuildError::Dim { kind: self.to_string(), dim: context.dim, why });
        if self.subquantizers == 0 || !context.dim.is_multiple_of(self.subquantizers) {
            return fault(format!("the number of subquantizers, {}, must divide it", self.subquantizers));
        }
        if !(1..=MAX_BITS).contains(&self.bits) {
            return fault(format!("a subquantizer has 1 to {MAX_BITS} bits, not {}", self.bits));
        }
        Ok(())
    }

    fn residuals(&self) -> Residuals {
        Residuals::Optional { default: self.fast_scan.is_none_or(|fast| fast.by_residual) }
    }

    fn training_points(&self, options: &TrainOptions<'_>) -> usize {
        (1_usize << self.bits).saturating_mul(options.max_points_per_centroid.unwrap_or(POINTS).max(1))
    }

    fn training_memory(&self, context: &CodecContext, points: usize, options: &TrainOptions<'_>) -> usize {
        train_parts_memory(context.dim, self.subquantizers, points, 1 << self.bits, options)
    }

    fn code_size(&self, _context: &CodecContext) -> usize {
        code_size(self.subquantizers, self.bits)
    }

    fn params(&self, context: &CodecContext) -> Vec<Param> {
        // Where the tables depend on the list, or do not fit registers, exact sums are as fast.
        if self.bits > 4 || context.by_residual && context.metric == Metric::L2 {
            return Vec::new();
        }
        let about = "whether distances are sums of tables rounded to bytes: faster, and less accurate";
        vec![Param::new(RAW_SUMS, ParamRange::Bool, KnobValue::Bool(false), about)]
    }

    fn train(&self, input: &CodecTraining<'_>) -> Result<(Arc<dyn Codec>, TrainReport), TrainError> {
        let (rows, metric) = (input.rows, input.context.metric);
        // An index that was read may have subquantizers of different lengths, and may be trained
        // again.
        self.check(&CodecContext::new(rows.dim(), metric))
            .map_err(|error| TrainError::Unsupported { kind: self.to_string(), what: error.to_string() })?;
        let subquantizers = equal_parts(rows.dim(), self.subquantizers);
        let (quantizer, report) = ProductQuantizer::train(rows, subquantizers, self.bits, false, input.options)?;
        Ok((Arc::new(PqCodec { fast_scan: self.fast_scan, ..PqCodec::new(quantizer, metric) }), report))
    }
}

/// Product quantizer as a list codec. Codes are stored in blocks of 64, subquantizer after
/// subquantizer: in half bytes for up to 4 bits, in bytes for up to 8 bits.
///
/// ```
/// use ivf_core::{Codec, Metric, Rows};
/// use ivf_pq::{PqCodec, ProductQuantizer, equal_parts};
///
/// // A codebook that was trained elsewhere, for each of two dimensions: the numbers 0 to 255.
/// let book: Vec<f32> = (0..256).map(|i| i as f32).collect();
/// let quantizer = ProductQuantizer::new(equal_parts(2, 2), vec![book.clone(), book], None)?;
///
/// // If the metric comes from a file or a user, `from_parts` reports that it does not work.
/// assert!(PqCodec::from_parts(quantizer.clone(), Metric::L1).is_err());
///
/// let codec = PqCodec::new(quantizer, Metric::L2);
/// let (mut code, mut vector) = (vec![0; codec.layout().code_size()], [0.0; 2]);
/// codec.encode(Rows::new(&[3.2, 7.9], 2)?, &mut code);
/// codec.decode(&code, &mut vector);
/// assert_eq!((code.as_slice(), vector), (&[3, 8][..], [3.0, 8.0]));
/// assert_eq!(codec.quantizer().subquantizers(), [0..1, 1..2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct PqCodec {
    quantizer: ProductQuantizer,
    metric: Metric,
    layout: CodeLayout,
    fast_scan: Option<FastScan>,
}

impl PqCodec {
    /// Creates the codec of a trained quantizer, for L2 or inner product.
    ///
    /// # Panics
    /// For another metric. If the metric is not known in advance, use
    /// [`from_parts`](Self::from_parts).
    pub fn new(quantizer: ProductQuantizer, metric: Metric) -> Self {
        Self::from_parts(quantizer, metric).expect("L2 or inner product")
    }

    /// Creates the codec of a trained quantizer, with every check that reading a file does
    /// (including the checks of [`ProductQuantizer::new`]).
    ///
    /// # Errors
    /// [`PartsError::Build`] for a metric other than L2 and inner product.
    pub fn from_parts(quantizer: ProductQuantizer, metric: Metric) -> Result<Self, PartsError> {
        let (subquantizers, bits) = (quantizer.subquantizers().len(), quantizer.bits());
        check_metric(&PqSpec::new(subquantizers).bits(bits), metric)?;
        let layout = layout(subquantizers, bits).of_codec(ROW.tag);
        Ok(Self { quantizer, metric, layout, fast_scan: None })
    }

    /// Returns the quantizer with its codebooks.
    pub fn quantizer(&self) -> &ProductQuantizer {
        &self.quantizer
    }

    fn read(node: &StoredNode) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        let fault = |what: String| DecodeError::value(&node.tag, what);
        let fields = node.fields(SCHEMA)?;
        let metric = fields.get::<Metric>("metric")?;
        let bits = fields.opt::<u64>("bits")?.unwrap_or(BITS.into());
        if !(1..=MAX_BITS.into()).contains(&bits) {
            return Err(fault(format!("{bits} bits for a subquantizer")));
        }
        let block = fields.opt::<u64>("fast_scan_block")?.map(|block| usize::try_from(block).unwrap_or(0));
        let by_residual = fields.opt("fast_scan_residuals")?.unwrap_or(false);
        if block.is_some_and(|block| !is_block(block) || bits != FAST_SCAN_BITS.into()) {
            return Err(fault("an invalid block of a fast scan".to_owned()));
        }
        let fast_scan = block.map(|block| FastScan { by_residual, block });
        let (ends, codebooks, mean) =
            (node.array::<u32>("ends")?, node.array::<f32>("codebooks")?, node.array::<f32>("mean")?);
        let (mut subquantizers, mut books, mut start, mut left) = (Vec::new(), Vec::new(), 0, codebooks);
        for end in ends.iter().map(|&end| end as usize) {
            let numbers = end.checked_sub(start).and_then(|len| len.checked_mul(1 << bits));
            let Some((book, rest)) = numbers.and_then(|numbers| left.split_at_checked(numbers)) else {
                return Err(fault(format!("a subquantizer {start}..{end} with {} codebook numbers left", left.len())));
            };
            subquantizers.push(start..end);
            books.push(book.to_vec());
            (start, left) = (end, rest);
        }
        if !left.is_empty() {
            return Err(fault(format!("{} codebook numbers that belong to no subquantizer", left.len())));
        }
        let mean = Some(mean.to_vec()).filter(|mean| !mean.is_empty());
        let codec =
            ProductQuantizer::new(subquantizers, books, mean).and_then(|quantizer| Self::from_parts(quantizer, metric));
        Ok(Self { fast_scan, ..codec.map_err(|error| fault(error.to_string()))? })
    }
}

impl Codec for PqCodec {
    fn spec(&self) -> Arc<dyn CodecSpec> {
        let spec = PqSpec::new(self.quantizer.subquantizers().len()).bits(self.quantizer.bits());
        Arc::new(PqSpec { fast_scan: self.fast_scan, ..spec })
    }

    fn tag(&self) -> &str {
        ROW.tag
    }

    fn dim(&self) -> usize {
        self.quantizer.dim()
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn layout(&self) -> &CodeLayout {
        &self.layout
    }

    fn encode(&self, rows: Rows<'_, f32>, codes: &mut [u8]) {
        self.quantizer.encode(rows, codes);
    }

    fn decode(&self, code: &[u8], vector: &mut [f32]) {
        self.quantizer.decode(code, vector);
    }

    fn memory(&self) -> usize {
        self.quantizer.memory()
    }

    fn export(&self) -> Node<'_> {
        let mut node = Node::new(ROW.tag, 0).with("metric", self.metric);
        if self.quantizer.bits() != BITS {
            node = node.with("bits", u64::from(self.quantizer.bits()));
        }
        if let Some(FastScan { by_residual, block }) = self.fast_scan {
            node = node.with("fast_scan_block", block as u64).with("fast_scan_residuals", by_residual);
        }
        let subquantizers = self.quantizer.subquantizers();
        let ends: Vec<u32> = subquantizers.iter().map(|part| part.end as u32).collect();
        node.push(NamedArray::owned("ends", &[ends.len() as u64], ends));
        let books = (0..subquantizers.len()).map(|m| self.quantizer.codebook(m).as_slice());
        node.push(NamedArray::pieces("codebooks", books));
        node.push(NamedArray::pieces("mean", self.quantizer.mean()));
        node
    }

    fn bind(self: Arc<Self>, to: &Binding<'_>) -> Result<Arc<dyn BoundCodec>, BindError> {
        Ok(match self.quantizer.bits() {
            0..=4 => Arc::new(BoundPq::<16>::new(self, to)?),
            5..=8 => Arc::new(BoundPq::<256>::new(self, to)?),
            _ => Arc::new(BoundWide::new(self, to)?),
        })
    }
}
