//! Any codec with each code contiguous, for codes that are read one at a time at arbitrary
//! locations.
//!
//! Most codecs interleave the codes of a block, so that a scan compares many of them at once. A
//! read of one code would then cost a cache line for every few of its bytes.

use super::flat::FlatSpec;
use super::rows::RowsSpec;
use ivf_core::error::{BindError, BuildError, DecodeError, TrainError};
use ivf_core::plan::PlannedProbe;
use ivf_core::registry::{CodecRow, Registry};
use ivf_core::scanner::Exactness;
use ivf_core::{
    Binding, BoundCodec, Centroids, CodeLayout, Codec, CodecContext, CodecSpec, CodecTraining, InvertedListScanner,
    ListNo, Metric, Node, Param, Residuals, Rows, Settings, StoredNode, TrainOptions, TrainReport,
};
use std::fmt;
use std::sync::Arc;

/// The registry row of this codec, which has no token.
pub(super) const ROW: CodecRow =
    CodecRow::new("rows", "", |_, _| None, |node, registry| Ok(Arc::new(AsRows::read(node, registry)?)))
        .about("the codes of another codec, each of them contiguous");

/// Name of the other codec in files.
const CODEC: &str = "codec";

/// Returns the specification of a codec with contiguous codes.
pub(crate) fn as_rows(codec: Arc<dyn CodecSpec>) -> Arc<dyn CodecSpec> {
    // `Flat` has contiguous vectors of its own.
    if codec.to_string() == FlatSpec.to_string() { Arc::new(RowsSpec) } else { Arc::new(AsRowsSpec(codec)) }
}

/// The specification of a codec with contiguous codes. Its name is that of the codec.
#[derive(Debug)]
struct AsRowsSpec(Arc<dyn CodecSpec>);

impl fmt::Display for AsRowsSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl CodecSpec for AsRowsSpec {
    fn check(&self, context: &CodecContext) -> Result<(), BuildError> {
        self.0.check(context)
    }

    fn residuals(&self) -> Residuals {
        self.0.residuals()
    }

    fn training_points(&self, options: &TrainOptions<'_>) -> usize {
        self.0.training_points(options)
    }

    fn learns_from_lists(&self) -> bool {
        self.0.learns_from_lists()
    }

    fn training_memory(&self, context: &CodecContext, points: usize, options: &TrainOptions<'_>) -> usize {
        self.0.training_memory(context, points, options)
    }

    fn code_size(&self, context: &CodecContext) -> usize {
        self.0.code_size(context)
    }

    fn params(&self, context: &CodecContext) -> Vec<Param> {
        self.0.params(context)
    }

    fn train(&self, input: &CodecTraining<'_>) -> Result<(Arc<dyn Codec>, TrainReport), TrainError> {
        let (codec, report) = self.0.train(input)?;
        let layout = codec.layout();
        let is_contiguous = (layout.block_len(), layout.plane_count()) == (1, 1);
        Ok((if is_contiguous { codec } else { Arc::new(AsRows::new(codec)) }, report))
    }
}

/// A trained codec with contiguous codes.
#[derive(Debug)]
struct AsRows {
    codec: Arc<dyn Codec>,
    layout: CodeLayout,
}

impl AsRows {
    fn new(codec: Arc<dyn Codec>) -> Self {
        let layout = CodeLayout::rows(codec.layout().code_size()).of_codec(ROW.tag);
        Self { codec, layout }
    }

    fn read(node: &StoredNode, registry: &Registry) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        node.fields(&[])?;
        Ok(Self::new(registry.read_codec(node.child(CODEC)?)?))
    }
}

impl Codec for AsRows {
    fn spec(&self) -> Arc<dyn CodecSpec> {
        Arc::new(AsRowsSpec(self.codec.spec()))
    }

    fn tag(&self) -> &str {
        ROW.tag
    }

    fn dim(&self) -> usize {
        self.codec.dim()
    }

    fn metric(&self) -> Metric {
        self.codec.metric()
    }

    fn layout(&self) -> &CodeLayout {
        &self.layout
    }

    fn encode(&self, rows: Rows<'_, f32>, codes: &mut [u8]) {
        self.codec.encode(rows, codes);
    }

    fn decode(&self, code: &[u8], vector: &mut [f32]) {
        self.codec.decode(code, vector);
    }

    fn memory(&self) -> usize {
        self.codec.memory()
    }

    fn export(&self) -> Node<'_> {
        let mut node = Node::new(ROW.tag, 0);
        node.push_child(CODEC, self.codec.export());
        node
    }

    fn bind(self: Arc<Self>, to: &Binding<'_>) -> Result<Arc<dyn BoundCodec>, BindError> {
        let bound = Arc::clone(&self.codec).bind(to)?;
        Ok(Arc::new(BoundRows { codec: self, bound }))
    }
}

/// The codec in an index, with the other codec bound to the same index.
#[derive(Debug)]
struct BoundRows {
    codec: Arc<AsRows>,
    bound: Arc<dyn BoundCodec>,
}

impl BoundCodec for BoundRows {
    fn codec(&self) -> &dyn Codec {
        &*self.codec
    }

    fn centroids(&self) -> &dyn Centroids {
        self.bound.centroids()
    }

    fn by_residual(&self) -> bool {
        self.bound.by_residual()
    }

    fn memory(&self) -> usize {
        self.bound.memory()
    }

    fn scanner(&self, settings: &Settings) -> Box<dyn InvertedListScanner + '_> {
        Box::new(RowsScanner(self.bound.scanner(settings)))
    }

    fn encode(&self, rows: Rows<'_, f32>, lists: &[ListNo], codes: &mut [u8]) {
        self.bound.encode(rows, lists, codes);
    }

    fn decode(&self, list: ListNo, code: &[u8], vector: &mut [f32]) {
        self.bound.decode(list, code, vector);
    }
}

/// A scanner that computes distances of given codes as the other codec's does. It scans lists with
/// the provided methods of the trait.
struct RowsScanner<'a>(Box<dyn InvertedListScanner + 'a>);

impl InvertedListScanner for RowsScanner<'_> {
    fn set_query(&mut self, query: &[f32]) {
        self.0.set_query(query);
    }

    fn set_probes(&mut self, probes: &[PlannedProbe]) {
        self.0.set_probes(probes);
    }

    fn set_list(&mut self, list: ListNo, coarse_distance: f32) {
        self.0.set_list(list, coarse_distance);
    }

    fn distance(&self, code: &[u8]) -> f32 {
        self.0.distance(code)
    }

    fn exactness(&self) -> Exactness {
        self.0.exactness()
    }

    fn bound(&self, code: &[u8]) -> f32 {
        self.0.bound(code)
    }

    fn distances(&self, codes: &[u8], distances: &mut [f32]) {
        self.0.distances(codes, distances);
    }

    fn distances_to(&self, codes: &[&[u8]], distances: &mut [f32]) {
        self.0.distances_to(codes, distances);
    }
}
