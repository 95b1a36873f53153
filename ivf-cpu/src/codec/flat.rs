//! `Flat`: unchanged vectors, 4 bytes per dimension.
//!
//! A list consists of dimension-major blocks of 32 vectors. The upper and lower halves of their
//! floats are stored in separate planes ([`SplitFloats`] shows the layout). One load serves 32
//! sums. Each sum runs over the dimensions in order, so all ways of scanning give bit-identical
//! distances. A search for a single query reads little more than half of the bytes.

use super::rows::{RowsScanner, RowsSpec};
use crate::kernels::{BLOCK, Distance, SplitFloats, Visitor, scan_many, scan_one, with_distance};
use crate::simd::{Kernel, Level, Simd};
use ivf_core::error::{BindError, BuildError, DecodeError, TrainError};
use ivf_core::field::{Field, FieldType, Schema};
use ivf_core::registry::CodecRow;
use ivf_core::scanner::{ScanQuery, ScanRange};
use ivf_core::{
    Binding, BoundCodec, Centroids, CodeLayout, Codec, CodecContext, CodecSpec, CodecTraining, InvertedListScanner,
    ListNo, Metric, Node, Residuals, Rows, Settings, Sink, StoredNode, TrainOptions, TrainReport,
};
use std::fmt;
use std::sync::Arc;

/// The registry row of this codec.
pub(super) const ROW: CodecRow = CodecRow::new(
    "flat",
    "Flat",
    |token, _| (token.plain()? == "Flat").then(|| Ok(Arc::new(FlatSpec) as _)),
    |node, _| Ok(Arc::new(FlatCodec::read(node)?)),
)
.about("full vectors, 4 bytes per dimension, exact")
.samples(&["Flat"]);

const SCHEMA: &Schema =
    &[Field::new("dim", FieldType::UInt), Field::new("metric", FieldType::Metric), Field::new("rows", FieldType::Bool)];

/// The specification of the codec `Flat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlatSpec;

impl fmt::Display for FlatSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flat")
    }
}

impl CodecSpec for FlatSpec {
    fn check(&self, context: &CodecContext) -> Result<(), BuildError> {
        let metric = context.metric;
        match metric {
            // For the cosine, a transform normalises before an inner-product index.
            Metric::Cosine => Err(BuildError::Metric { kind: self.to_string(), metric }),
            Metric::Lp(p) if !(p.is_finite() && p > 0.0) => Err(BuildError::Metric { kind: self.to_string(), metric }),
            _ => Ok(()),
        }
    }

    fn residuals(&self) -> Residuals {
        Residuals::Never
    }

    fn training_points(&self, _options: &TrainOptions<'_>) -> usize {
        0
    }

    fn training_memory(&self, _context: &CodecContext, _points: usize, _options: &TrainOptions<'_>) -> usize {
        0
    }

    fn code_size(&self, context: &CodecContext) -> usize {
        context.dim * size_of::<f32>()
    }

    fn train(&self, input: &CodecTraining<'_>) -> Result<(Arc<dyn Codec>, TrainReport), TrainError> {
        Ok((Arc::new(FlatCodec::new(input.rows.dim(), input.context.metric)), TrainReport::default()))
    }
}

/// A codec that stores vectors unchanged.
///
/// ```
/// use ivf_core::{Codec, Metric, Rows};
/// use ivf_cpu::codec::FlatCodec;
///
/// // A code is the vector itself, four bytes per dimension.
/// let codec = FlatCodec::new(2, Metric::L2);
/// let (mut code, mut vector) = (vec![0; codec.layout().code_size()], [0.0; 2]);
/// codec.encode(Rows::new(&[0.1, 2.0], 2)?, &mut code);
/// codec.decode(&code, &mut vector);
/// assert_eq!((code.len(), vector), (8, [0.1, 2.0]));
/// # Ok::<(), ivf_core::RowsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct FlatCodec {
    dim: usize,
    metric: Metric,
    layout: CodeLayout,
    /// True if each vector is contiguous; see [`RowsSpec`].
    rows: bool,
}

impl FlatCodec {
    /// Creates the codec for vectors of `dim` dimensions.
    ///
    /// # Panics
    /// If `dim` is zero.
    pub fn new(dim: usize, metric: Metric) -> Self {
        Self { dim, metric, layout: SplitFloats::layout(dim).of_codec(ROW.tag), rows: false }
    }

    /// Creates the codec that stores each vector contiguously.
    pub(super) fn rows(dim: usize, metric: Metric) -> Self {
        let layout = CodeLayout::rows(dim * size_of::<f32>()).of_codec(ROW.tag);
        Self { dim, metric, layout, rows: true }
    }

    fn read(node: &StoredNode) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        let fields = node.fields(SCHEMA)?;
        let (dim, metric) = (fields.dim("dim")?, fields.get("metric")?);
        FlatSpec
            .check(&CodecContext::new(dim, metric))
            .map_err(|error| DecodeError::value(&node.tag, error.to_string()))?;
        Ok(if fields.get("rows")? { Self::rows(dim, metric) } else { Self::new(dim, metric) })
    }
}

impl Codec for FlatCodec {
    fn spec(&self) -> Arc<dyn CodecSpec> {
        if self.rows { Arc::new(RowsSpec) } else { Arc::new(FlatSpec) }
    }

    fn tag(&self) -> &str {
        ROW.tag
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
        assert_eq!(rows.dim(), self.dim, "vectors of the codec's dimension");
        codes.copy_from_slice(bytemuck::cast_slice(rows.as_slice()));
    }

    fn decode(&self, code: &[u8], vector: &mut [f32]) {
        bytemuck::cast_slice_mut::<f32, u8>(vector).copy_from_slice(code);
    }

    fn memory(&self) -> usize {
        0
    }

    fn export(&self) -> Node<'_> {
        Node::new(ROW.tag, 0).with("dim", self.dim).with("metric", self.metric).with("rows", self.rows)
    }

    fn bind(self: Arc<Self>, to: &Binding<'_>) -> Result<Arc<dyn BoundCodec>, BindError> {
        if to.by_residual {
            return Err(BindError::Unsupported { kind: FlatSpec.to_string(), what: "codes of residuals".into() });
        }
        Ok(Arc::new(BoundFlat { codec: self, centroids: Arc::clone(&to.centroids) }))
    }
}

#[derive(Debug)]
struct BoundFlat {
    codec: Arc<FlatCodec>,
    centroids: Arc<dyn Centroids>,
}

impl BoundCodec for BoundFlat {
    fn codec(&self) -> &dyn Codec {
        &*self.codec
    }

    fn centroids(&self) -> &dyn Centroids {
        &*self.centroids
    }

    fn by_residual(&self) -> bool {
        false
    }

    fn shares_lists(&self, _len: usize) -> bool {
        !self.codec.rows
    }

    fn scanner(&self, _settings: &Settings) -> Box<dyn InvertedListScanner + '_> {
        struct Make<'a>(&'a FlatCodec);
        impl Visitor for Make<'_> {
            type Output = Box<dyn InvertedListScanner>;
            fn visit<D: Distance>(self, distance: D) -> Self::Output {
                let (level, query) = (Level::get(), vec![0.0; self.0.dim]);
                if self.0.rows {
                    return Box::new(RowsScanner { distance, level, query });
                }
                Box::new(FlatScanner { distance, level, query })
            }
        }
        with_distance(self.codec.metric, Make(&self.codec))
    }
}

/// Returns whether the codes of a codec are the vectors, each of them contiguous.
pub(crate) fn are_rows(codec: &dyn Codec) -> bool {
    codec.tag() == ROW.tag && codec.layout().block_len() == 1
}

/// Returns the distance of a code, which need not be aligned.
pub(super) fn distance_of<D: Distance>(distance: D, query: &[f32], code: &[u8]) -> f32 {
    let (coordinates, rest) = code.as_chunks::<4>();
    assert!(rest.is_empty() && coordinates.len() == query.len(), "a code of the codec's size");
    distance.between(query, coordinates.iter().map(|&bytes| f32::from_le_bytes(bytes)))
}

struct FlatScanner<D> {
    distance: D,
    level: Level,
    query: Vec<f32>,
}

impl<D: Distance> InvertedListScanner for FlatScanner<D> {
    fn set_query(&mut self, query: &[f32]) {
        self.query.copy_from_slice(query);
    }

    fn set_list(&mut self, _list: ListNo, _coarse_distance: f32) {}

    fn distance(&self, code: &[u8]) -> f32 {
        distance_of(self.distance, &self.query, code)
    }

    fn scan(&mut self, scan_range: &ScanRange<'_>, sink: &mut Sink) {
        let only = ScanQuery {
            number: 0,
            query: &self.query,
            probes: &[],
            coarse_distance: 0.0,
            limit: usize::MAX,
            mask: None,
            sink,
        };
        self.level.run(ScanBlocks { distance: self.distance, scan_range, queries: &mut [only] });
    }

    fn scan_batch(&mut self, scan_range: &ScanRange<'_>, queries: &mut [ScanQuery<'_>]) {
        self.level.run(ScanBlocks { distance: self.distance, scan_range, queries });
    }
}

/// Scans the blocks of a range for one query, or for a batch of them.
struct ScanBlocks<'a, 'q, D> {
    distance: D,
    scan_range: &'a ScanRange<'a>,
    queries: &'a mut [ScanQuery<'q>],
}

impl<D: Distance> Kernel for ScanBlocks<'_, '_, D> {
    type Output = ();
    const BYTES: bool = false;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { distance, scan_range, queries } = self;
        let Some(dim) = queries.first().map(|query| query.query.len()) else { return };
        let blocks = SplitFloats::new(scan_range.segment().plane(0), scan_range.segment().plane(1), dim);
        let (mut left, mut columns) = (scan_range.blocks(), Vec::new());
        if let [query] = &mut *queries {
            let seen: Vec<u32> = left.clone().map(|b| query.selected(scan_range, b * BLOCK, BLOCK) as u32).collect();
            let (first, seen) = (left.start, |b: usize| seen[b]);
            let (blocks, mut threshold) = (blocks.blocks(left), query.sink.threshold());
            return scan_one(simd, distance, query.query, &mut threshold, blocks, &mut columns, seen, |near| {
                for (lane, distance) in near.hits(u32::MAX) {
                    query.sink.push(scan_range.neighbor((first + near.block) * BLOCK + lane, distance));
                }
                query.sink.threshold()
            });
        }
        let rows: Vec<&[f32]> = queries.iter().map(|query| query.query).collect();
        let mut thresholds: Vec<f32> = queries.iter().map(|query| query.sink.threshold()).collect();
        // Scan only runs of blocks from which some query may find an entry. Blocks that all filters
        // exclude cost nothing.
        let wanted = |b: usize, queries: &[ScanQuery<'_>]| {
            queries.iter().any(|query| query.selected(scan_range, b * BLOCK, BLOCK) != 0)
        };
        while let Some(first) = left.find(|&b| wanted(b, queries)) {
            let end = left.find(|&b| !wanted(b, queries)).unwrap_or(left.end);
            let blocks = blocks.blocks(first..end);
            scan_many(simd, distance, &rows, &mut thresholds, blocks, &mut columns, |near| {
                let start = (first + near.block) * BLOCK;
                let query = &mut queries[near.query];
                for (lane, distance) in near.hits(query.selected(scan_range, start, BLOCK) as u32) {
                    query.sink.push(scan_range.neighbor(start + lane, distance));
                }
                query.sink.threshold()
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ivf_core::quantizer::Origin;

    fn codecs() -> [FlatCodec; 2] {
        [FlatCodec::new(3, Metric::Lp(3.0)), FlatCodec::rows(3, Metric::L2)]
    }

    #[test]
    fn a_codec_is_read_as_it_was_exported() {
        for codec in codecs() {
            let read = FlatCodec::read(&codec.export().to_stored()).unwrap();
            assert!(read.export().same(&codec.export()));
            assert_eq!((read.layout(), read.layout().codec()), (codec.layout(), "flat"));
            let mut cosine = codec.export();
            cosine.fields.set("metric", Metric::Cosine);
            assert!(matches!(FlatCodec::read(&cosine.to_stored()), Err(DecodeError::Value { .. })));
        }
    }

    #[test]
    fn residuals_are_refused() {
        for codec in codecs() {
            let codec: Arc<dyn Codec> = Arc::new(codec);
            let to = Binding::new(Arc::new(Origin { dim: 3 }));
            assert!(!Arc::clone(&codec).bind(&to).unwrap().by_residual());
            assert!(matches!(codec.bind(&to.by_residual(true)), Err(BindError::Unsupported { .. })));
        }
    }
}
