//! The codecs that a device has kernels for, read from what they export.

use crate::device::{Buffer, Device};
use crate::driver::{DevicePtr, Stream};
use crate::error::CudaError;
use crate::kernels::{self, CodecKernels};
use ivf_core::{BoundCodec, ListNo, Metric, Node};

/// A codec that a device knows: a row of [`ROWS`].
struct Row {
    /// Tag of the codec in files.
    tag: &'static str,
    read: fn(&Source<'_>) -> Result<Tables, CudaError>,
}

/// All codecs that a device knows. `SQ8_direct` and the like are scalar quantizers with a constant.
const ROWS: &[Row] = &[
    Row { tag: "flat", read: |source| source.with_layout(&["halves"]).map(|_| Tables::new(CodecKernels::FLAT)) },
    Row { tag: "sq4", read: |source| learnt(source, CodecKernels::SQ4, 15.0) },
    Row { tag: "sq6", read: |source| learnt(source, CodecKernels::SQ6, 63.0) },
    Row { tag: "sq8", read: |source| learnt(source, CodecKernels::SQ8, 255.0) },
    Row { tag: "sq8_direct", read: |source| fixed(source.with_layout(WORDS)?, CodecKernels::SQ8, 0.0) },
    Row { tag: "sq8_direct_signed", read: |source| fixed(source.with_layout(WORDS)?, CodecKernels::SQ8, 128.0) },
    Row { tag: "sq_fp16", read: |source| fixed(source.with_layout(FLOATS)?, CodecKernels::SQ_FP16, 0.0) },
    Row { tag: "sq_bf16", read: |source| fixed(source.with_layout(FLOATS)?, CodecKernels::SQ_BF16, 0.0) },
    Row { tag: "pq", read: pq },
];

const WORDS: &[&str] = &["words", "words and terms"];
const FLOATS: &[&str] = &["interleaved2"];

/// What a codec is read from.
struct Source<'a> {
    bound: &'a dyn BoundCodec,
    node: &'a Node<'a>,
    dim: usize,
}

impl Source<'_> {
    /// Checks that lists have one of these layouts.
    fn with_layout(&self, layouts: &[&str]) -> Result<&Self, CudaError> {
        let codec = self.bound.codec();
        let layout = codec.layout().name();
        if layouts.contains(&layout) {
            return Ok(self);
        }
        Err(CudaError::Unsupported { what: format!("{} with the layout {layout}", codec.spec()) })
    }
}

/// The trained state of a codec, as kernels read it.
#[derive(Debug)]
struct Tables {
    kernels: [CodecKernels; 2],
    steps: Vec<f32>,
    rows: Vec<f32>,
    has_row_of_list: bool,
    codebooks: Vec<f32>,
    ends: Vec<u32>,
    bits: u32,
    starts_with_coarse: bool,
}

impl Tables {
    fn new(kernels: [CodecKernels; 2]) -> Self {
        let (steps, rows, codebooks, ends) = Default::default();
        Self { kernels, steps, rows, has_row_of_list: false, codebooks, ends, bits: 0, starts_with_coarse: false }
    }
}

/// A codec on a device.
#[derive(Debug)]
pub(crate) struct DeviceCodec {
    pub(crate) kernels: CodecKernels,
    pub(crate) metric: Metric,
    pub(crate) dim: usize,
    /// Bytes of shared memory that a scan with lookup tables takes.
    pub(crate) table_bytes: usize,
    args: kernels::Codec,
    buffers: Vec<Buffer>,
}

impl DeviceCodec {
    /// Copies the trained state of a codec to a device.
    ///
    /// # Errors
    /// [`CudaError::Unsupported`] if there are no kernels for the codec, its layout or its metric.
    pub(crate) fn new(device: &Device, stream: Stream, bound: &dyn BoundCodec) -> Result<Self, CudaError> {
        let codec = bound.codec();
        let unsupported = |what: String| CudaError::Unsupported { what };
        let which = match codec.metric() {
            Metric::L2 => 0,
            Metric::InnerProduct => 1,
            other => return Err(unsupported(format!("the metric {other}"))),
        };
        let node = codec.export();
        let source = Source { bound, node: &node, dim: codec.dim() };
        let row = ROWS.iter().find(|row| row.tag == codec.tag());
        let row = row.ok_or_else(|| unsupported(format!("the codec {}", codec.spec())))?;
        let tables = (row.read)(&source)?;
        let mut buffers = Vec::new();
        let mut upload = |data: &[u8]| -> Result<DevicePtr, CudaError> {
            if data.is_empty() {
                return Ok(DevicePtr(0));
            }
            buffers.push(device.upload(stream, data, "the codec")?);
            Ok(buffers[buffers.len() - 1].at())
        };
        let dim = codec.dim() as u32;
        let subquantizers = tables.ends.len() as u32;
        let table_bytes = ((subquantizers as usize) << tables.bits) * size_of::<f32>();
        let has_tables = subquantizers > 0 && table_bytes <= device.info().shared_memory;
        let args = kernels::Codec {
            steps: upload(bytemuck::cast_slice(&tables.steps))?,
            rows: upload(bytemuck::cast_slice(&tables.rows))?,
            codebooks: upload(bytemuck::cast_slice(&tables.codebooks))?,
            ends: upload(bytemuck::cast_slice(&tables.ends))?,
            row_stride: if tables.has_row_of_list { dim } else { 0 },
            dim,
            subquantizers,
            bits: tables.bits,
            tables: has_tables.into(),
            coarse: tables.starts_with_coarse.into(),
        };
        let table_bytes = if has_tables { table_bytes } else { 0 };
        let kernels = tables.kernels[which];
        Ok(Self { kernels, metric: codec.metric(), dim: codec.dim(), table_bytes, args, buffers })
    }

    /// Returns the codec as kernels take it.
    pub(crate) fn args(&self) -> kernels::Codec {
        self.args
    }

    /// Returns the memory on the device, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.buffers.iter().map(Buffer::bytes).sum()
    }
}

/// Returns an array of floats of a node; none if it has no such array.
fn floats(node: &Node<'_>, name: &str) -> Vec<f32> {
    let pieces = node.array(name).map(|array| array.pieces.concat()).unwrap_or_default();
    bytemuck::pod_collect_to_vec(&pieces)
}

/// Reads a scalar quantizer with learnt ranges, whose largest number is `most`. The steps and bases
/// are computed as the CPU computes them.
fn learnt(source: &Source<'_>, kernels: [CodecKernels; 2], most: f32) -> Result<Tables, CudaError> {
    source.with_layout(WORDS)?;
    let (min, width) = (floats(source.node, "min"), floats(source.node, "width"));
    if min.is_empty() || min.len() != width.len() {
        return Err(CudaError::Unsupported { what: format!("{} without ranges", source.node.tag) });
    }
    let of = |d: usize| if min.len() < source.dim { 0 } else { d };
    let steps: Vec<f32> = (0..source.dim).map(|d| width[of(d)] / most).collect();
    let bases: Vec<f32> = steps.iter().enumerate().map(|(d, step)| step.mul_add(0.5, min[of(d)])).collect();
    Ok(scalar(source, kernels, steps, bases))
}

/// Reads a scalar quantizer whose numbers are coordinates plus a constant.
fn fixed(source: &Source<'_>, kernels: [CodecKernels; 2], constant: f32) -> Result<Tables, CudaError> {
    Ok(scalar(source, kernels, vec![1.0; source.dim], vec![-constant; source.dim]))
}

/// Returns the tables of a scalar quantizer: a coordinate is `number * step + base`. For residuals,
/// the base of a list includes its centroid.
fn scalar(source: &Source<'_>, kernels: [CodecKernels; 2], steps: Vec<f32>, bases: Vec<f32>) -> Tables {
    let Source { bound, dim, .. } = *source;
    if !bound.by_residual() {
        return Tables { steps, rows: bases, ..Tables::new(kernels) };
    }
    let nlist = bound.centroids().nlist();
    let mut rows = vec![0.0_f32; nlist * dim];
    for (list, row) in rows.chunks_exact_mut(dim).enumerate() {
        bound.centroids().centroid(ListNo(list as u32), row);
        row.iter_mut().zip(&bases).for_each(|(x, base)| *x += base);
    }
    Tables { steps, rows, has_row_of_list: true, ..Tables::new(kernels) }
}

/// Reads a product quantizer with numbers of up to 8 bits.
fn pq(source: &Source<'_>) -> Result<Tables, CudaError> {
    let Source { bound, node, dim } = *source;
    let unsupported = |what: &str| CudaError::Unsupported { what: format!("{} {what}", bound.codec().spec()) };
    if node.fields.value("fast_scan_block").is_some() {
        return Err(unsupported("(sums of rounded tables)"));
    }
    let ends = node.array("ends").map(|array| array.pieces.concat()).unwrap_or_default();
    let ends: Vec<u32> = bytemuck::pod_collect_to_vec(&ends);
    let (codebooks, mean) = (floats(node, "codebooks"), floats(node, "mean"));
    let bits = codebooks.len().checked_div(dim).filter(|centroids| centroids.is_power_of_two()).map(usize::ilog2);
    let bits = bits.filter(|bits| (1..=8).contains(bits)).ok_or_else(|| unsupported("(more than 8 bits)"))?;
    let is_product = bound.codec().metric() == Metric::InnerProduct;
    if is_product && !mean.is_empty() {
        return Err(unsupported("(a mean, with the inner product)"));
    }
    let kernels = if bits <= 4 { CodecKernels::PQ4 } else { CodecKernels::PQ8 };
    let mut tables = Tables { codebooks, ends, bits, ..Tables::new(kernels) };
    if is_product {
        tables.starts_with_coarse = bound.by_residual();
    } else if bound.by_residual() {
        tables.rows = vec![0.0; bound.centroids().nlist() * dim];
        for (list, row) in tables.rows.chunks_exact_mut(dim).enumerate() {
            bound.centroids().centroid(ListNo(list as u32), row);
            row.iter_mut().zip(&mean).for_each(|(x, mean)| *x += mean);
        }
        tables.has_row_of_list = true;
    } else {
        tables.rows = mean;
    }
    Ok(tables)
}
