//! `PQ<M>`: product-quantised codes in lists, by residual.

use crate::bound::BoundPq;
use crate::product::{CENTROIDS, ProductQuantizer, equal_parts};
use crate::scan::BLOCK;
use ivf_core::error::{BuildError, DecodeError, TrainError};
use ivf_core::node::NamedArray;
use ivf_core::registry::{CodecRow, Parsed, TokenError};
use ivf_core::{
    BoundCodec, Centroids, CodeLayout, Codec, CodecSpec, MAX_DIM, Metric, Node, Rows, StoredNode, TrainOptions,
    TrainReport,
};
use ivf_cpu::train_parts_memory;
use std::fmt;
use std::sync::Arc;

/// The row of this codec.
pub(crate) const ROW: CodecRow = CodecRow::new(
    "pq",
    "PQ<M>[x8][np]",
    "product quantisation: M parts, a byte each",
    &["PQ8", "PQ16x8"],
    parse,
    |node| Ok(Arc::new(PqCodec::read(node)?)),
);

/// Points for each centroid that training uses.
const POINTS: usize = 256;

fn parse(token: &str) -> Parsed<dyn CodecSpec> {
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

/// The metrics that sums over parts can give. (Cosine is a transform and the inner product.)
fn is_taken(metric: Metric) -> bool {
    matches!(metric, Metric::L2 | Metric::InnerProduct)
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
    fn check(&self, dim: usize, metric: Metric) -> Result<(), BuildError> {
        if !is_taken(metric) {
            return Err(BuildError::Metric { kind: self.to_string(), metric });
        }
        if !dim.is_multiple_of(self.parts) {
            let why = format!("the number of parts, {}, must divide it", self.parts);
            return Err(BuildError::Dim { kind: self.to_string(), dim, why });
        }
        Ok(())
    }

    fn by_residual(&self) -> bool {
        true
    }

    fn training_points(&self, options: &TrainOptions<'_>) -> usize {
        CENTROIDS.saturating_mul(options.max_points_per_centroid.unwrap_or(POINTS).max(1))
    }

    fn training_memory(&self, dim: usize, points: usize, options: &TrainOptions<'_>) -> usize {
        train_parts_memory(dim, self.parts, points, CENTROIDS, options)
    }

    fn code_size(&self, _dim: usize) -> usize {
        self.parts
    }

    fn train(
        &self,
        rows: Rows<'_, f32>,
        metric: Metric,
        options: &TrainOptions<'_>,
    ) -> Result<(Arc<dyn Codec>, TrainReport), TrainError> {
        // An index that was read with parts of its own may be trained again.
        self.check(rows.dim(), metric)
            .map_err(|error| TrainError::Unsupported { kind: self.to_string(), what: error.to_string() })?;
        let (quantizer, report) = ProductQuantizer::train(rows, equal_parts(rows.dim(), self.parts), false, options)?;
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
    /// For another metric.
    pub fn new(quantizer: ProductQuantizer, metric: Metric) -> Self {
        assert!(is_taken(metric), "L2 or inner product");
        let layout = CodeLayout::interleaved(1, quantizer.parts().len(), BLOCK);
        Self { quantizer, metric, layout }
    }

    /// The quantizer, with its codebooks.
    pub fn quantizer(&self) -> &ProductQuantizer {
        &self.quantizer
    }

    fn read(node: &StoredNode) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        let fault = |what: String| DecodeError::value(&node.tag, what);
        let metric: Metric = node.meta()?;
        let (ends, codebooks, mean) =
            (node.array::<u32>("ends")?, node.array::<f32>("codebooks")?, node.array::<f32>("mean")?);
        let dim = ends.last().map_or(0, |&end| end as usize);
        if !(1..=MAX_DIM).contains(&dim) || ends.len() > dim || codebooks.len() != CENTROIDS * dim {
            return Err(fault(format!("{} parts, {} numbers in codebooks", ends.len(), codebooks.len())));
        }
        let (mut parts, mut start) = (Vec::with_capacity(ends.len()), 0);
        for &end in ends {
            if end as usize <= start || end as usize > dim {
                return Err(fault(format!("a part from {start} to {end}")));
            }
            parts.push(start..end as usize);
            start = end as usize;
        }
        if !is_taken(metric) {
            return Err(fault(format!("the metric {metric}")));
        }
        let books = parts.iter().map(|part| codebooks[CENTROIDS * part.start..CENTROIDS * part.end].to_vec()).collect();
        let mean = Some(mean.to_vec()).filter(|mean| !mean.is_empty());
        Ok(Self::new(ProductQuantizer::new(parts, books, mean).map_err(fault)?, metric))
    }
}

impl Codec for PqCodec {
    fn spec(&self) -> Arc<dyn CodecSpec> {
        Arc::new(PqSpec { parts: self.quantizer.parts().len() })
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
        let mut node = Node::new(ROW.tag, 0, &self.metric);
        let parts = self.quantizer.parts();
        let ends: Vec<u32> = parts.iter().map(|part| part.end as u32).collect();
        node.push(NamedArray::owned("ends", &[ends.len() as u64], ends));
        let books = (0..parts.len()).map(|m| self.quantizer.codebook(m).as_slice());
        node.push(NamedArray::pieces("codebooks", books));
        node.push(NamedArray::pieces("mean", self.quantizer.mean()));
        node
    }

    fn bind(self: Arc<Self>, centroids: Arc<dyn Centroids>) -> Arc<dyn BoundCodec> {
        Arc::new(BoundPq::new(self, centroids))
    }
}
