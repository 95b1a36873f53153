//! The device as the engine of an index sees it.

use crate::device::Device;
use crate::driver::Stream;
use crate::error::CudaError;
use crate::mirror::{Mirror, shared_blocks};
use crate::search::{Searcher, failed};
use ivf_core::accelerator::{AcceleratedParts, Accelerator, PlannedScan, ScanCounts};
use ivf_core::error::SearchError;
use ivf_core::lists::ArrayLists;
use ivf_core::quantizer::Origin;
use ivf_core::{
    Binding, BoundCodec, Codec, Id, InvertedLists, InvertedListsMut, Level1Quantizer, ListNo, Metric, Probes, Rows,
    Sink,
};
use ivf_cpu::codec::FlatCodec;
use std::sync::Arc;

/// Tag of the coarse quantizer whose centroids a device can search.
const FLAT_QUANTIZER: &str = "flat";

/// The lists of an index, and its centroids, on a device.
#[derive(Debug)]
pub(crate) struct OnDevice {
    device: Device,
    lists: Mirror,
    /// The centroids, as one list, if the quantizer compares all of them.
    centroids: Option<Mirror>,
}

impl OnDevice {
    /// Copies an index to a device.
    pub(crate) fn new(device: &Device, parts: &AcceleratedParts) -> Result<Self, CudaError> {
        let room = device.room()?;
        let lists = Mirror::new(device, room.stream(), &*parts.bound, &*parts.lists)?;
        let centroids = mirror_of_centroids(device, room.stream(), &*parts.quantizer)?;
        Ok(Self { device: device.clone(), lists, centroids })
    }

    /// Brings the device up to date after vectors were added at the ends of lists. `before` has the
    /// lengths of the lists before that.
    pub(crate) fn sync_added(&mut self, parts: &AcceleratedParts, before: &[usize]) -> Result<(), CudaError> {
        let room = self.device.room()?;
        let block_len = self.lists.block_len();
        let full = |list: ListNo, _: usize| before[list.index()] / block_len;
        self.lists.sync(room.stream(), &*parts.lists, full)
    }

    /// Brings the device up to date after any change of lists. `old` are the lists that it has.
    pub(crate) fn sync_changed(
        &mut self,
        parts: &AcceleratedParts,
        old: &Arc<dyn InvertedLists>,
    ) -> Result<(), CudaError> {
        let room = self.device.room()?;
        let keep = |list: ListNo, blocks: usize| shared_blocks(old.layout(), old, &*parts.lists, list, blocks);
        self.lists.sync(room.stream(), &*parts.lists, keep)
    }

    /// Returns the memory on the device, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.lists.bytes() + self.centroids.as_ref().map_or(0, Mirror::bytes)
    }

    fn searcher(&self) -> Searcher<'_> {
        Searcher { device: &self.device, lists: &self.lists, centroids: self.centroids.as_ref() }
    }
}

/// Copies the centroids to a device as one list of flat codes. Their ids are the numbers of the
/// lists. Returns `None` if the quantizer is of another kind.
fn mirror_of_centroids(
    device: &Device,
    stream: Stream,
    quantizer: &dyn Level1Quantizer,
) -> Result<Option<Mirror>, CudaError> {
    let unread = |error: &dyn std::fmt::Display| CudaError::Lists(error.to_string());
    let tag = quantizer.export().map_err(|error| unread(&error))?.tag;
    let metric = quantizer.metric().filter(|metric| matches!(metric, Metric::L2 | Metric::InnerProduct));
    let Some(metric) = metric.filter(|_| tag == FLAT_QUANTIZER) else { return Ok(None) };
    let (dim, nlist) = (quantizer.dim(), quantizer.nlist());
    let codec = Arc::new(FlatCodec::new(dim, metric));
    let mut rows = vec![0.0_f32; nlist * dim];
    quantizer.centroid_rows(ListNo(0), &mut rows);
    let mut codes = vec![0; nlist * codec.layout().code_size()];
    codec.encode(Rows::new(&rows, dim).map_err(|error| unread(&error))?, &mut codes);
    let ids: Vec<Id> = (0..nlist as i64).map(Id).collect();
    let mut lists = ArrayLists::new(1, codec.layout().clone());
    lists.replace(ListNo(0), &ids, &codes).map_err(|error| unread(&error))?;
    let origin = Arc::new(Origin { dim });
    let bound: Arc<dyn BoundCodec> = codec.bind(&Binding::new(origin)).map_err(|error| unread(&error))?;
    Mirror::new(device, stream, &*bound, &lists).map(Some)
}

impl Accelerator for OnDevice {
    fn assign(&self, rows: Rows<'_, f32>, nprobe: usize) -> Result<Option<Probes>, SearchError> {
        self.searcher().assign(rows, nprobe).map_err(failed)
    }

    fn scan(&self, scan: &PlannedScan<'_>, sinks: &mut [Sink]) -> Result<(), SearchError> {
        self.searcher().scan(scan, sinks)
    }

    fn search(
        &self,
        queries: Rows<'_, f32>,
        nprobe: usize,
        sinks: &mut [Sink],
    ) -> Result<Option<ScanCounts>, SearchError> {
        self.searcher().search(queries, nprobe, sinks).map_err(failed)
    }
}
