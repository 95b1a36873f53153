//! A tiny codec: each dimension between the least and the greatest value seen, in 8 bits.

use ivf_core::error::{BuildError, DecodeError, TrainError};
use ivf_core::node::NamedArray;
use ivf_core::scanner::Piece;
use ivf_core::{
    BoundCodec, Centroids, CodeLayout, Codec, CodecSpec, InvertedListScanner, ListNo, Metric, Node, Rows, Sink,
    StoredNode, TrainOptions, TrainReport,
};
use ivf_testkit::oracle;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// What is wrong with a codec, its reader or its scanner.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Fault {
    #[default]
    None,
    EncodesByPlaceInBatch,
    AddsToTheOutput,
    TrainsAnew,
    DecodesToInfinity,
    ForgetsResiduals,
    IgnoresMask,
    IgnoresRange,
    StopsAfter64,
    RoundsDistances,
    KeepsTheFirstQuery,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ScalarSpec {
    pub(crate) by_residual: bool,
    pub(crate) fault: Fault,
}

impl fmt::Display for ScalarSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.by_residual { "Tiny8r" } else { "Tiny8" })
    }
}

impl CodecSpec for ScalarSpec {
    fn check(&self, _: usize, _: Metric) -> Result<(), BuildError> {
        Ok(())
    }

    fn by_residual(&self) -> bool {
        self.by_residual
    }

    fn training_points(&self, _options: &TrainOptions<'_>) -> usize {
        500
    }

    fn training_memory(&self, dim: usize, _points: usize, _options: &TrainOptions<'_>) -> usize {
        2 * dim * size_of::<f32>()
    }

    fn code_size(&self, dim: usize) -> usize {
        dim
    }

    fn train(
        &self,
        rows: Rows<'_, f32>,
        metric: Metric,
        _: &TrainOptions<'_>,
    ) -> Result<(Arc<dyn Codec>, TrainReport), TrainError> {
        static TURN: AtomicU8 = AtomicU8::new(0);
        let dim = rows.dim();
        let column = |d: usize| rows.iter().map(move |row| row[d]);
        let least: Vec<f32> = (0..dim).map(|d| column(d).fold(f32::INFINITY, f32::min)).collect();
        let mut step: Vec<f32> =
            (0..dim).map(|d| (column(d).fold(f32::NEG_INFINITY, f32::max) - least[d]) / 255.0).collect();
        if self.fault == Fault::TrainsAnew {
            step[0] += f32::from(TURN.fetch_add(1, Ordering::Relaxed));
        }
        let codec = Scalar { spec: *self, metric, least, step, layout: CodeLayout::rows(dim) };
        Ok((Arc::new(codec), TrainReport::default()))
    }
}

#[derive(Clone, Debug)]
struct Scalar {
    spec: ScalarSpec,
    metric: Metric,
    least: Vec<f32>,
    step: Vec<f32>,
    layout: CodeLayout,
}

/// Reads what [`Codec::export`] of the scalar codec wrote.
pub(crate) fn read(node: &StoredNode) -> Result<Arc<dyn Codec>, DecodeError> {
    node.expect_version(0)?;
    let (by_residual, metric) = node.meta::<(bool, Metric)>()?;
    let (least, step) = (node.array::<f32>("least")?, node.array::<f32>("step")?);
    if least.is_empty() || least.len() != step.len() {
        return Err(DecodeError::value(&node.tag, "a bound and a step a dimension are needed"));
    }
    Ok(Arc::new(Scalar {
        spec: ScalarSpec { by_residual, fault: Fault::None },
        metric,
        least: least.to_vec(),
        step: step.to_vec(),
        layout: CodeLayout::rows(least.len()),
    }))
}

impl Codec for Scalar {
    fn spec(&self) -> Arc<dyn CodecSpec> {
        Arc::new(self.spec)
    }

    fn dim(&self) -> usize {
        self.least.len()
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn layout(&self) -> &CodeLayout {
        &self.layout
    }

    fn encode(&self, rows: Rows<'_, f32>, codes: &mut [u8]) {
        for (i, (row, code)) in rows.iter().zip(codes.chunks_exact_mut(self.dim())).enumerate() {
            for (d, (x, byte)) in row.iter().zip(code).enumerate() {
                let level = ((x - self.least[d]) / self.step[d]).round() as u8;
                *byte = match self.spec.fault {
                    Fault::EncodesByPlaceInBatch => level ^ u8::from(i == 70),
                    Fault::AddsToTheOutput => *byte | level,
                    _ => level,
                };
            }
        }
    }

    fn decode(&self, code: &[u8], vector: &mut [f32]) {
        for (d, (byte, x)) in code.iter().zip(vector).enumerate() {
            *x = self.least[d] + f32::from(*byte) * self.step[d];
            if self.spec.fault == Fault::DecodesToInfinity && *byte == 255 {
                *x = f32::INFINITY;
            }
        }
    }

    fn memory(&self) -> usize {
        8 * self.dim()
    }

    fn export(&self) -> Node<'_> {
        let mut node = Node::new("tiny8", 0, &(self.spec.by_residual, self.metric));
        let shape = [self.dim() as u64];
        node.push(NamedArray::borrowed("least", &shape, &self.least));
        node.push(NamedArray::borrowed("step", &shape, &self.step));
        node
    }

    fn bind(self: Arc<Self>, centroids: Arc<dyn Centroids>) -> Arc<dyn BoundCodec> {
        Arc::new(BoundScalar { codec: self, centroids })
    }
}

#[derive(Debug)]
struct BoundScalar {
    codec: Arc<Scalar>,
    centroids: Arc<dyn Centroids>,
}

impl BoundCodec for BoundScalar {
    fn codec(&self) -> &dyn Codec {
        &*self.codec
    }

    fn centroids(&self) -> &dyn Centroids {
        &*self.centroids
    }

    fn encode(&self, rows: Rows<'_, f32>, lists: &[ListNo], codes: &mut [u8]) {
        if self.codec.spec.by_residual && self.codec.spec.fault != Fault::ForgetsResiduals {
            let residuals = ivf_core::codec::residuals(rows, lists, &*self.centroids);
            return self.codec.encode(Rows::new(&residuals, rows.dim()).expect("as the rows"), codes);
        }
        self.codec.encode(rows, codes);
    }

    fn scanner(&self) -> Box<dyn InvertedListScanner + '_> {
        let plain = Scanner { bound: self, query: Vec::new(), list: ListNo(0) };
        match self.codec.spec.fault {
            Fault::None => Box::new(plain),
            fault => Box::new(FaultyScanner { plain, fault }),
        }
    }
}

struct Scanner<'a> {
    bound: &'a BoundScalar,
    query: Vec<f32>,
    list: ListNo,
}

impl InvertedListScanner for Scanner<'_> {
    fn set_query(&mut self, query: &[f32]) {
        self.query = query.to_vec();
    }

    fn set_list(&mut self, list: ListNo, _: f32) {
        self.list = list;
    }

    fn distance(&self, code: &[u8]) -> f32 {
        let mut vector = vec![0.0; self.query.len()];
        self.bound.decode(self.list, code, &mut vector);
        oracle::distance(self.bound.codec.metric, &self.query, &vector)
    }
}

struct FaultyScanner<'a> {
    plain: Scanner<'a>,
    fault: Fault,
}

impl InvertedListScanner for FaultyScanner<'_> {
    fn set_query(&mut self, query: &[f32]) {
        if self.fault != Fault::KeepsTheFirstQuery || self.plain.query.is_empty() {
            self.plain.set_query(query);
        }
    }

    fn set_list(&mut self, list: ListNo, coarse_distance: f32) {
        self.plain.set_list(list, coarse_distance);
    }

    fn distance(&self, code: &[u8]) -> f32 {
        self.plain.distance(code)
    }

    fn scan(&mut self, piece: &Piece<'_>, sink: &mut Sink) {
        let piece = match self.fault {
            Fault::IgnoresMask => piece.clone().masked(None),
            Fault::StopsAfter64 => piece.clone().within(0..64),
            _ => piece.clone(),
        };
        let slots: Vec<usize> = match self.fault {
            Fault::IgnoresRange => (0..piece.segment().len()).collect(),
            _ => piece.slots().collect(),
        };
        let mut code = vec![0; piece.layout().code_size()];
        for slot in slots {
            piece.segment().code(piece.layout(), slot, &mut code);
            let distance = self.distance(&code);
            let rounded = if self.fault == Fault::RoundsDistances { distance * 1.0000002 } else { distance };
            sink.push(piece.neighbor(slot, rounded));
        }
    }
}
