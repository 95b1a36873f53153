//! A tiny codec: each dimension, between its minimum and maximum in the training data, in 8 bits.

use ivf_core::error::{BindError, BuildError, DecodeError, TrainError};
use ivf_core::field::{Field, FieldType, Schema};
use ivf_core::node::NamedArray;
use ivf_core::plan::PlannedProbe;
use ivf_core::scanner::{Exactness, ScanRange};
use ivf_core::{
    Binding, BoundCodec, Centroids, CodeLayout, Codec, CodecContext, CodecSpec, CodecTraining, InvertedListScanner,
    ListNo, Metric, Node, Residuals, Rows, Settings, Sink, StoredNode, TrainOptions, TrainReport,
};
use ivf_testkit::oracle;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// The fault or the peculiarity of a codec, its reader or its scanner.
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
    SaysLongerCodes,
    SaysNoTrainingMemory,
    SaysNoMemory,
    IgnoresCancel,
    NamesNoCodec,
    BindsToAnything,
    DependsOnThreads,
    /// Correct: it works only for lists that `set_probes` was told of.
    NeedsProbes,
    /// Correct: it reports distances with a bound, which for saturated codes is too large to be
    /// useful.
    SaysBounded,
    BoundsTooTightly,
    /// Correct: it reports approximate distances.
    SaysEstimate,
    EstimatesNothing,
}

const TAG: &str = "tiny8";

/// The choices of residuals by their names.
const RESIDUALS: [(&str, Residuals); 3] =
    [("never", Residuals::Never), ("optional", Residuals::Optional { default: true }), ("always", Residuals::Always)];

const SCHEMA: &Schema = &[
    Field::new("residuals", FieldType::Word(&["never", "optional", "always"])),
    Field::new("metric", FieldType::Metric),
];

#[derive(Clone, Copy, Debug)]
pub(crate) struct ScalarSpec {
    pub(crate) residuals: Residuals,
    pub(crate) fault: Fault,
}

impl ScalarSpec {
    fn word(&self) -> &'static str {
        RESIDUALS.iter().find(|(_, known)| *known == self.residuals).expect("one of the three").0
    }
}

impl fmt::Display for ScalarSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tiny8{}", self.word())
    }
}

impl CodecSpec for ScalarSpec {
    fn check(&self, _: &CodecContext) -> Result<(), BuildError> {
        Ok(())
    }

    fn residuals(&self) -> Residuals {
        self.residuals
    }

    fn training_points(&self, _options: &TrainOptions<'_>) -> usize {
        500
    }

    fn training_memory(&self, context: &CodecContext, _points: usize, _options: &TrainOptions<'_>) -> usize {
        if self.fault == Fault::SaysNoTrainingMemory { 0 } else { 2 * context.dim * size_of::<f32>() }
    }

    fn code_size(&self, context: &CodecContext) -> usize {
        context.dim + usize::from(self.fault == Fault::SaysLongerCodes)
    }

    fn train(&self, input: &CodecTraining<'_>) -> Result<(Arc<dyn Codec>, TrainReport), TrainError> {
        static TURN: AtomicU8 = AtomicU8::new(0);
        if self.fault != Fault::IgnoresCancel {
            input.options.check_cancel()?;
        }
        let (rows, metric) = (input.rows, input.context.metric);
        let dim = rows.dim();
        let column = |d: usize| rows.iter().map(move |row| row[d]);
        let least: Vec<f32> = (0..dim).map(|d| column(d).fold(f32::INFINITY, f32::min)).collect();
        let mut step: Vec<f32> =
            (0..dim).map(|d| (column(d).fold(f32::NEG_INFINITY, f32::max) - least[d]) / 255.0).collect();
        if self.fault == Fault::TrainsAnew {
            step[0] += f32::from(TURN.fetch_add(1, Ordering::Relaxed));
        }
        let layout = CodeLayout::rows(dim).of_codec(if self.fault == Fault::NamesNoCodec { "" } else { TAG });
        let codec = Scalar { spec: *self, metric, least, step, layout };
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

/// Reads an export of the scalar codec.
pub(crate) fn read(node: &StoredNode) -> Result<Arc<dyn Codec>, DecodeError> {
    node.expect_version(0)?;
    let fields = node.fields(SCHEMA)?;
    let (word, metric) = (fields.get::<String>("residuals")?, fields.get("metric")?);
    let residuals = RESIDUALS.iter().find(|(known, _)| *known == word).expect("one of the three").1;
    let (least, step) = (node.array::<f32>("least")?, node.array::<f32>("step")?);
    if least.is_empty() || least.len() != step.len() {
        return Err(DecodeError::value(&node.tag, "each dimension needs a minimum and a step"));
    }
    Ok(Arc::new(Scalar {
        spec: ScalarSpec { residuals, fault: Fault::None },
        metric,
        least: least.to_vec(),
        step: step.to_vec(),
        layout: CodeLayout::rows(least.len()).of_codec(TAG),
    }))
}

impl Codec for Scalar {
    fn spec(&self) -> Arc<dyn CodecSpec> {
        Arc::new(self.spec)
    }

    fn tag(&self) -> &str {
        TAG
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
        if self.spec.fault == Fault::SaysNoMemory { 0 } else { 8 * self.dim() }
    }

    fn export(&self) -> Node<'_> {
        let mut node = Node::new(TAG, 0).with("residuals", self.spec.word()).with("metric", self.metric);
        let shape = [self.dim() as u64];
        node.push(NamedArray::borrowed("least", &shape, &self.least));
        node.push(NamedArray::borrowed("step", &shape, &self.step));
        node
    }

    fn bind(self: Arc<Self>, to: &Binding<'_>) -> Result<Arc<dyn BoundCodec>, BindError> {
        let (fault, by_residual) = (self.spec.fault, to.by_residual);
        if !self.spec.residuals.allows(by_residual) && fault != Fault::BindsToAnything {
            let (kind, what) = (self.spec.to_string(), format!("by_residual {by_residual}"));
            return Err(BindError::Unsupported { kind, what });
        }
        to.check_cancel()?;
        let threads = to.executor.map_or(1, |executor| executor.threads());
        let scale = if fault == Fault::DependsOnThreads { threads as f32 } else { 1.0 };
        Ok(Arc::new(BoundScalar { codec: self, centroids: to.centroids.clone(), by_residual, scale }))
    }
}

#[derive(Debug)]
struct BoundScalar {
    codec: Arc<Scalar>,
    centroids: Arc<dyn Centroids>,
    by_residual: bool,
    scale: f32,
}

impl BoundCodec for BoundScalar {
    fn codec(&self) -> &dyn Codec {
        &*self.codec
    }

    fn centroids(&self) -> &dyn Centroids {
        &*self.centroids
    }

    fn by_residual(&self) -> bool {
        self.by_residual
    }

    fn encode(&self, rows: Rows<'_, f32>, lists: &[ListNo], codes: &mut [u8]) {
        if self.by_residual && self.codec.spec.fault != Fault::ForgetsResiduals {
            let residuals = ivf_core::codec::residuals(rows, lists, &*self.centroids);
            return self.codec.encode(Rows::new(&residuals, rows.dim()).expect("as the rows"), codes);
        }
        self.codec.encode(rows, codes);
    }

    fn scanner(&self, _: &Settings) -> Box<dyn InvertedListScanner + '_> {
        let plain = Scanner { bound: self, query: Vec::new(), list: ListNo(0) };
        match self.codec.spec.fault {
            Fault::None => Box::new(plain),
            fault => Box::new(FaultyScanner { plain, fault, probes: Vec::new() }),
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
        self.bound.scale * oracle::distance(self.bound.codec.metric, &self.query, &vector)
    }
}

struct FaultyScanner<'a> {
    plain: Scanner<'a>,
    fault: Fault,
    probes: Vec<ListNo>,
}

impl InvertedListScanner for FaultyScanner<'_> {
    fn set_query(&mut self, query: &[f32]) {
        if self.fault != Fault::KeepsTheFirstQuery || self.plain.query.is_empty() {
            self.plain.set_query(query);
        }
    }

    fn set_probes(&mut self, probes: &[PlannedProbe]) {
        self.probes = probes.iter().map(|probe| probe.list).collect();
    }

    fn set_list(&mut self, list: ListNo, coarse_distance: f32) {
        assert!(self.fault != Fault::NeedsProbes || self.probes.contains(&list), "no probe names list {list}");
        self.plain.set_list(list, coarse_distance);
    }

    fn distance(&self, code: &[u8]) -> f32 {
        match self.fault {
            Fault::SaysEstimate => 1.02 * self.plain.distance(code),
            Fault::EstimatesNothing => 1.0e3,
            _ => self.plain.distance(code),
        }
    }

    fn exactness(&self) -> Exactness {
        match self.fault {
            Fault::SaysBounded | Fault::BoundsTooTightly => Exactness::Bounded,
            Fault::SaysEstimate | Fault::EstimatesNothing => Exactness::Estimate,
            _ => Exactness::Exact,
        }
    }

    /// Returns a bound of the error of an L2 distance. If the decoded vector is off by at most `e`,
    /// the distance is off by at most `2 |q - y| e + e^2`.
    fn bound(&self, code: &[u8]) -> f32 {
        if self.fault == Fault::BoundsTooTightly {
            return 1.0e-4;
        }
        if code.iter().any(|byte| matches!(byte, 0 | 255)) {
            return 1.0e6;
        }
        let off = self.plain.bound.codec.step.iter().map(|step| step * step / 4.0).sum::<f32>().sqrt();
        1.01 * (2.0 * self.plain.distance(code).sqrt() * off + off * off)
    }

    fn scan(&mut self, scan_range: &ScanRange<'_>, sink: &mut Sink) {
        let scan_range = match self.fault {
            Fault::IgnoresMask => scan_range.clone().masked(None),
            Fault::StopsAfter64 => scan_range.clone().within(0..64),
            _ => scan_range.clone(),
        };
        let slots: Vec<usize> = match self.fault {
            Fault::IgnoresRange => (0..scan_range.segment().len()).collect(),
            _ => scan_range.slots().collect(),
        };
        let mut code = vec![0; scan_range.layout().code_size()];
        for slot in slots {
            scan_range.segment().code(scan_range.layout(), slot, &mut code);
            let distance = self.distance(&code);
            let rounded = if self.fault == Fault::RoundsDistances { distance * 1.0000002 } else { distance };
            sink.push(scan_range.neighbor(slot, rounded));
        }
    }
}
