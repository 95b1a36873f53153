//! `Flat`: vectors as they are, 4 bytes a dimension.
//!
//! A list is dimension-major blocks of 32 vectors, the upper and lower halves of their floats apart ([`Halves`] has the picture):
//! one load serves 32 sums, each sum still runs over the dimensions in order, so that every way of scanning gives the same bits,
//! and a single query reads little more than half of the bytes.

use super::rows::{RowsScanner, RowsSpec};
use crate::kernels::{BLOCK, Distance, Halves, Visitor, scan_halves, with_distance};
use crate::simd::{Kernel, Level, Simd};
use ivf_core::error::{BindError, BuildError, DecodeError, TrainError};
use ivf_core::field::{Field, FieldType, Schema};
use ivf_core::registry::CodecRow;
use ivf_core::scanner::{Piece, ScanQuery};
use ivf_core::{
    Binding, BoundCodec, Centroids, CodeLayout, Codec, CodecContext, CodecSpec, CodecTraining, InvertedListScanner,
    ListNo, Metric, Node, Residuals, Rows, Settings, Sink, StoredNode, TrainOptions, TrainReport,
};
use std::fmt;
use std::sync::Arc;

/// The row of this codec.
pub(super) const ROW: CodecRow = CodecRow::new(
    "flat",
    "Flat",
    |token, _| (token.plain()? == "Flat").then(|| Ok(Arc::new(FlatSpec) as _)),
    |node, _| Ok(Arc::new(FlatCodec::read(node)?)),
)
.about("vectors as they are: 4 bytes a dimension, exact")
.samples(&["Flat"]);

const SCHEMA: &Schema =
    &[Field::new("dim", FieldType::UInt), Field::new("metric", FieldType::Metric), Field::new("rows", FieldType::Bool)];

/// `Flat`.
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
            // Normalising is a transform before the index, which then has the inner product.
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

/// Vectors as they are.
#[derive(Clone, Debug)]
pub struct FlatCodec {
    dim: usize,
    metric: Metric,
    layout: CodeLayout,
    /// True if each vector lies in one piece, see [`RowsSpec`].
    rows: bool,
}

impl FlatCodec {
    /// The codec for vectors of `dim`.
    ///
    /// # Panics
    /// If `dim` is zero.
    pub fn new(dim: usize, metric: Metric) -> Self {
        Self { dim, metric, layout: Halves::layout(dim).of_codec(ROW.tag), rows: false }
    }

    /// The codec whose vectors lie in one piece each.
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

/// The distance of a code, wherever its bytes lie.
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

    fn scan(&mut self, piece: &Piece<'_>, sink: &mut Sink) {
        let targets = &mut [One { piece, sink }];
        self.level.run(Scan { distance: self.distance, queries: &[&self.query], piece, targets });
    }

    fn scan_batch(&mut self, piece: &Piece<'_>, queries: &mut [ScanQuery<'_>]) {
        let rows: Vec<&[f32]> = queries.iter().map(|query| query.query).collect();
        self.level.run(Scan { distance: self.distance, queries: &rows, piece, targets: queries });
    }
}

/// Whose results a scan finds.
trait Target {
    /// Which of the 32 entries from `start` on it may see.
    fn selected(&self, piece: &Piece<'_>, start: usize) -> u32;
    /// Where they go.
    fn sink(&mut self) -> &mut Sink;
}

/// The only query of a scan, which sees all of its piece.
struct One<'a> {
    piece: &'a Piece<'a>,
    sink: &'a mut Sink,
}

impl Target for One<'_> {
    #[inline(always)]
    fn selected(&self, _piece: &Piece<'_>, start: usize) -> u32 {
        self.piece.selected(start, BLOCK) as u32
    }

    #[inline(always)]
    fn sink(&mut self) -> &mut Sink {
        self.sink
    }
}

impl Target for ScanQuery<'_> {
    #[inline(always)]
    fn selected(&self, piece: &Piece<'_>, start: usize) -> u32 {
        let below = self.limit.saturating_sub(start).min(BLOCK);
        let bits = piece.selected(start, BLOCK) & ((1 << below) - 1);
        self.mask.map_or(bits, |mask| bits & mask.bits(start, BLOCK)) as u32
    }

    #[inline(always)]
    fn sink(&mut self) -> &mut Sink {
        self.sink
    }
}

struct Scan<'a, D, T> {
    distance: D,
    queries: &'a [&'a [f32]],
    piece: &'a Piece<'a>,
    targets: &'a mut [T],
}

impl<D: Distance, T: Target> Kernel for Scan<'_, D, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { distance, queries, piece, targets } = self;
        let Some(dim) = queries.first().map(|query| query.len()) else { return };
        let blocks = Halves::new(piece.segment().plane(0), piece.segment().plane(1), dim);
        let mut thresholds: Vec<f32> = targets.iter_mut().map(|target| target.sink().threshold()).collect();
        let (mut left, mut columns) = (piece.blocks(), Vec::new());
        if let [target] = &mut *targets {
            let seen: Vec<u32> = left.clone().map(|b| target.selected(piece, b * BLOCK)).collect();
            let (first, seen) = (left.start, |b: usize| seen[b]);
            let blocks = blocks.blocks(left);
            return scan_halves(simd, distance, queries, &mut thresholds, blocks, &mut columns, seen, |near| {
                for (lane, distance) in near.hits(u32::MAX) {
                    target.sink().push(piece.neighbor((first + near.block) * BLOCK + lane, distance));
                }
                target.sink().threshold()
            });
        }
        // Runs of blocks of which somebody wants something: what a filter leaves out costs nothing.
        while let Some(first) = left.find(|&b| wanted(piece, targets, b)) {
            let end = left.find(|&b| !wanted(piece, targets, b)).unwrap_or(left.end);
            let blocks = blocks.blocks(first..end);
            let all = |_| u32::MAX;
            scan_halves(simd, distance, queries, &mut thresholds, blocks, &mut columns, all, |near| {
                let start = (first + near.block) * BLOCK;
                let target = &mut targets[near.query];
                for (lane, distance) in near.hits(target.selected(piece, start)) {
                    target.sink().push(piece.neighbor(start + lane, distance));
                }
                target.sink().threshold()
            });
        }
    }
}

#[inline(always)]
fn wanted<T: Target>(piece: &Piece<'_>, targets: &[T], block: usize) -> bool {
    targets.iter().any(|target| target.selected(piece, block * BLOCK) != 0)
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
