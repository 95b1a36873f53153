//! `PQ<M>`: product-quantised codes in lists, of residuals or of the vectors themselves.

use crate::bound::BoundPq;
use crate::product::{CENTROIDS, ProductQuantizer, equal_parts};
use crate::scan::BLOCK;
use ivf_core::error::{BindError, BuildError, DecodeError, PartsError, TrainError};
use ivf_core::field::{Field, FieldType, Schema};
use ivf_core::node::NamedArray;
use ivf_core::registry::{CodecRow, Parsed, Registry, Token, TokenError};
use ivf_core::{
    Binding, BoundCodec, CodeLayout, Codec, CodecContext, CodecSpec, CodecTraining, MAX_DIM, Metric, Node, Residuals,
    Rows, StoredNode, TrainOptions, TrainReport,
};
use ivf_cpu::train_parts_memory;
use std::fmt;
use std::sync::Arc;

/// Registry row of this codec.
pub(crate) const ROW: CodecRow =
    CodecRow::new("pq", "PQ<M>[x8][np]", parse, |node, _registry| Ok(Arc::new(PqCodec::read(node)?)))
        .about("product quantisation: M subquantizers, one byte each")
        .samples(&["PQ8", "PQ16x8"]);

const SCHEMA: &Schema = &[Field::new("metric", FieldType::Metric)];

/// Default maximum number of training points for each centroid.
const POINTS: usize = 256;

fn parse(token: &Token<'_>, _registry: &Registry) -> Parsed<dyn CodecSpec> {
    let token = token.plain()?;
    let rest = token.strip_prefix("PQ")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (m, bits) = rest.split_at(digits);
    let fault = |span: std::ops::Range<usize>, what: &str| Some(Err(TokenError::new(span, what)));
    if m.is_empty() {
        return fault(0..token.len(), "PQ needs the number of subquantizers, as in PQ16");
    }
    let subquantizers = match m.parse::<usize>() {
        Ok(subquantizers) if (1..=MAX_DIM).contains(&subquantizers) => subquantizers,
        _ => return fault(2..2 + digits, &format!("the number of subquantizers must be from 1 to {MAX_DIM}")),
    };
    match bits {
        // Faiss's "np" disables the reordering of centroids for Hamming distances, which does not
        // exist here.
        "" | "x8" | "np" | "x8np" => Some(Ok(Arc::new(PqSpec { subquantizers }))),
        _ => fault(
            2 + digits..token.len(),
            "only x8 (other sizes are not supported), np or x8np may follow the number of subquantizers",
        ),
    }
}

/// Rejects metrics that are not sums over subquantizers. (Cosine is a transform followed by the
/// inner product.)
fn check_metric(spec: &PqSpec, metric: Metric) -> Result<(), BuildError> {
    match metric {
        Metric::L2 | Metric::InnerProduct => Ok(()),
        _ => Err(BuildError::Metric { kind: spec.to_string(), metric }),
    }
}

/// `PQ<M>`: `M` subquantizers, 8 bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PqSpec {
    /// Number of subquantizers, and of bytes in a code.
    pub subquantizers: usize,
}

impl fmt::Display for PqSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PQ{}", self.subquantizers)
    }
}

impl CodecSpec for PqSpec {
    fn check(&self, context: &CodecContext) -> Result<(), BuildError> {
        check_metric(self, context.metric)?;
        if !context.dim.is_multiple_of(self.subquantizers) {
            let why = format!("the number of subquantizers, {}, must divide it", self.subquantizers);
            return Err(BuildError::Dim { kind: self.to_string(), dim: context.dim, why });
        }
        Ok(())
    }

    fn residuals(&self) -> Residuals {
        Residuals::Optional { default: true }
    }

    fn training_points(&self, options: &TrainOptions<'_>) -> usize {
        CENTROIDS.saturating_mul(options.max_points_per_centroid.unwrap_or(POINTS).max(1))
    }

    fn training_memory(&self, context: &CodecContext, points: usize, options: &TrainOptions<'_>) -> usize {
        train_parts_memory(context.dim, self.subquantizers, points, CENTROIDS, options)
    }

    fn code_size(&self, _context: &CodecContext) -> usize {
        self.subquantizers
    }

    fn train(&self, input: &CodecTraining<'_>) -> Result<(Arc<dyn Codec>, TrainReport), TrainError> {
        let (rows, metric) = (input.rows, input.context.metric);
        // An index that was read may have subquantizers of different lengths, and may be trained
        // again.
        self.check(&CodecContext::new(rows.dim(), metric))
            .map_err(|error| TrainError::Unsupported { kind: self.to_string(), what: error.to_string() })?;
        let subquantizers = equal_parts(rows.dim(), self.subquantizers);
        let (quantizer, report) = ProductQuantizer::train(rows, subquantizers, false, input.options)?;
        Ok((Arc::new(PqCodec::new(quantizer, metric)), report))
    }
}

/// Product quantizer as a list codec. Codes are stored in blocks of 64, subquantizer after
/// subquantizer.
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
        let subquantizers = quantizer.subquantizers().len();
        check_metric(&PqSpec { subquantizers }, metric)?;
        let layout = CodeLayout::interleaved(1, subquantizers, BLOCK).of_codec(ROW.tag);
        Ok(Self { quantizer, metric, layout })
    }

    /// Returns the quantizer with its codebooks.
    pub fn quantizer(&self) -> &ProductQuantizer {
        &self.quantizer
    }

    fn read(node: &StoredNode) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        let fault = |what: String| DecodeError::value(&node.tag, what);
        let metric = node.fields(SCHEMA)?.get::<Metric>("metric")?;
        let (ends, codebooks, mean) =
            (node.array::<u32>("ends")?, node.array::<f32>("codebooks")?, node.array::<f32>("mean")?);
        let (mut subquantizers, mut books, mut start, mut left) = (Vec::new(), Vec::new(), 0, codebooks);
        for end in ends.iter().map(|&end| end as usize) {
            let numbers = end.checked_sub(start).and_then(|len| len.checked_mul(CENTROIDS));
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
        codec.map_err(|error| fault(error.to_string()))
    }
}

impl Codec for PqCodec {
    fn spec(&self) -> Arc<dyn CodecSpec> {
        Arc::new(PqSpec { subquantizers: self.quantizer.subquantizers().len() })
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
        let subquantizers = self.quantizer.subquantizers();
        let ends: Vec<u32> = subquantizers.iter().map(|part| part.end as u32).collect();
        node.push(NamedArray::owned("ends", &[ends.len() as u64], ends));
        let books = (0..subquantizers.len()).map(|m| self.quantizer.codebook(m).as_slice());
        node.push(NamedArray::pieces("codebooks", books));
        node.push(NamedArray::pieces("mean", self.quantizer.mean()));
        node
    }

    fn bind(self: Arc<Self>, to: &Binding<'_>) -> Result<Arc<dyn BoundCodec>, BindError> {
        Ok(Arc::new(BoundPq::new(self, to)?))
    }
}
