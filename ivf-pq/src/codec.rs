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

/// The row of this codec.
pub(crate) const ROW: CodecRow =
    CodecRow::new("pq", "PQ<M>[x8][np]", parse, |node, _registry| Ok(Arc::new(PqCodec::read(node)?)))
        .about("product quantisation: M parts, a byte each")
        .samples(&["PQ8", "PQ16x8"]);

const SCHEMA: &Schema = &[Field::new("metric", FieldType::Metric)];

/// Points for each centroid that training uses.
const POINTS: usize = 256;

fn parse(token: &Token<'_>, _registry: &Registry) -> Parsed<dyn CodecSpec> {
    let token = token.plain()?;
    let rest = token.strip_prefix("PQ")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (m, bits) = rest.split_at(digits);
    let fault = |span: std::ops::Range<usize>, what: &str| Some(Err(TokenError::new(span, what)));
    if m.is_empty() {
        return fault(0..token.len(), "PQ wants the number of parts, as in PQ16");
    }
    let parts = match m.parse::<usize>() {
        Ok(parts) if (1..=MAX_DIM).contains(&parts) => parts,
        _ => return fault(2..2 + digits, &format!("the number of parts must be from 1 to {MAX_DIM}")),
    };
    match bits {
        // Faiss's "np" turns something off that is never on here: the reordering of centroids for Hamming distances.
        "" | "x8" | "np" | "x8np" => Some(Ok(Arc::new(PqSpec { parts }))),
        _ => fault(
            2 + digits..token.len(),
            "after the number of parts stands x8 (other sizes are not known), np or x8np, or nothing",
        ),
    }
}

/// Refuses metrics that sums over parts cannot give. (Cosine is a transform and the inner product.)
fn check_metric(spec: &PqSpec, metric: Metric) -> Result<(), BuildError> {
    match metric {
        Metric::L2 | Metric::InnerProduct => Ok(()),
        _ => Err(BuildError::Metric { kind: spec.to_string(), metric }),
    }
}

/// `PQ<M>`: `M` parts, 8 bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PqSpec {
    /// Parts of a vector, and bytes of a code.
    pub parts: usize,
}

impl fmt::Display for PqSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PQ{}", self.parts)
    }
}

impl CodecSpec for PqSpec {
    fn check(&self, context: &CodecContext) -> Result<(), BuildError> {
        check_metric(self, context.metric)?;
        if !context.dim.is_multiple_of(self.parts) {
            let why = format!("the number of parts, {}, must divide it", self.parts);
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
        train_parts_memory(context.dim, self.parts, points, CENTROIDS, options)
    }

    fn code_size(&self, _context: &CodecContext) -> usize {
        self.parts
    }

    fn train(&self, input: &CodecTraining<'_>) -> Result<(Arc<dyn Codec>, TrainReport), TrainError> {
        let (rows, metric) = (input.rows, input.context.metric);
        // An index that was read with parts of its own may be trained again.
        self.check(&CodecContext::new(rows.dim(), metric))
            .map_err(|error| TrainError::Unsupported { kind: self.to_string(), what: error.to_string() })?;
        let parts = equal_parts(rows.dim(), self.parts);
        let (quantizer, report) = ProductQuantizer::train(rows, parts, false, input.options)?;
        Ok((Arc::new(PqCodec::new(quantizer, metric)), report))
    }
}

/// A product quantizer as a list codec. Codes lie in blocks of 64, part after part.
#[derive(Clone, Debug)]
pub struct PqCodec {
    quantizer: ProductQuantizer,
    metric: Metric,
    layout: CodeLayout,
}

impl PqCodec {
    /// The codec of a trained quantizer, for L2 or inner product.
    ///
    /// # Panics
    /// For another metric: [`from_parts`](Self::from_parts) is for a metric that is not known.
    pub fn new(quantizer: ProductQuantizer, metric: Metric) -> Self {
        Self::from_parts(quantizer, metric).expect("L2 or inner product")
    }

    /// The codec of a trained quantizer, with every check that reading a file does (those of
    /// [`ProductQuantizer::new`] among them).
    ///
    /// # Errors
    /// [`PartsError::Build`] for a metric other than L2 and inner product.
    pub fn from_parts(quantizer: ProductQuantizer, metric: Metric) -> Result<Self, PartsError> {
        let parts = quantizer.parts().len();
        check_metric(&PqSpec { parts }, metric)?;
        let layout = CodeLayout::interleaved(1, parts, BLOCK).of_codec(ROW.tag);
        Ok(Self { quantizer, metric, layout })
    }

    /// The quantizer, with its codebooks.
    pub fn quantizer(&self) -> &ProductQuantizer {
        &self.quantizer
    }

    fn read(node: &StoredNode) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        let fault = |what: String| DecodeError::value(&node.tag, what);
        let metric = node.fields(SCHEMA)?.get::<Metric>("metric")?;
        let (ends, codebooks, mean) =
            (node.array::<u32>("ends")?, node.array::<f32>("codebooks")?, node.array::<f32>("mean")?);
        let (mut parts, mut books, mut start, mut left) = (Vec::new(), Vec::new(), 0, codebooks);
        for end in ends.iter().map(|&end| end as usize) {
            let numbers = end.checked_sub(start).and_then(|len| len.checked_mul(CENTROIDS));
            let Some((book, rest)) = numbers.and_then(|numbers| left.split_at_checked(numbers)) else {
                return Err(fault(format!("a part from {start} to {end}, and {} numbers for it", left.len())));
            };
            parts.push(start..end);
            books.push(book.to_vec());
            (start, left) = (end, rest);
        }
        if !left.is_empty() {
            return Err(fault(format!("{} numbers in codebooks that belong to no part", left.len())));
        }
        let mean = Some(mean.to_vec()).filter(|mean| !mean.is_empty());
        let codec = ProductQuantizer::new(parts, books, mean).and_then(|quantizer| Self::from_parts(quantizer, metric));
        codec.map_err(|error| fault(error.to_string()))
    }
}

impl Codec for PqCodec {
    fn spec(&self) -> Arc<dyn CodecSpec> {
        Arc::new(PqSpec { parts: self.quantizer.parts().len() })
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
        let parts = self.quantizer.parts();
        let ends: Vec<u32> = parts.iter().map(|part| part.end as u32).collect();
        node.push(NamedArray::owned("ends", &[ends.len() as u64], ends));
        let books = (0..parts.len()).map(|m| self.quantizer.codebook(m).as_slice());
        node.push(NamedArray::pieces("codebooks", books));
        node.push(NamedArray::pieces("mean", self.quantizer.mean()));
        node
    }

    fn bind(self: Arc<Self>, to: &Binding<'_>) -> Result<Arc<dyn BoundCodec>, BindError> {
        Ok(Arc::new(BoundPq::new(self, to)?))
    }
}
