//! The index as a node, and back.

use super::{Entries, IvfIndex, Trained};
use crate::coarse::OneListSpec;
use ivf_core::error::{DecodeError, EditError, StoreError};
use ivf_core::registry::{IndexRow, Registry};
use ivf_core::{
    Centroids, DirectMapKind, InvertedLists, Level1Quantizer, MAX_DIM, Metric, Node, ParallelMode, QuantizerSpec,
    StoredNode,
};
use std::sync::Arc;

/// The row of this index.
pub(crate) const ROW: IndexRow = IndexRow::new("ivf", "a coarse quantizer, a codec and lists", |node, registry| {
    let index = IvfIndex::read(node, registry)?;
    if index.is_standalone() {
        return Err(DecodeError::value(&node.tag, "it has no coarse quantizer"));
    }
    Ok(Box::new(index))
});

#[derive(serde::Serialize, serde::Deserialize)]
struct Meta {
    dim: u64,
    metric: Metric,
    quantizer: String,
    codec: String,
    nprobe: u64,
    max_codes: u64,
    mode: ParallelMode,
    map: DirectMapKind,
    store: String,
    trained: Option<TrainedMeta>,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct TrainedMeta {
    next_id: u64,
    len: u64,
}

impl IvfIndex {
    pub(super) fn export_node(&self) -> Result<Node<'_>, StoreError> {
        let trained = self.trained.as_ref();
        let meta = Meta {
            dim: self.dim as u64,
            metric: self.metric,
            quantizer: self.quantizer.to_string(),
            codec: self.codec.to_string(),
            nprobe: self.nprobe as u64,
            max_codes: self.max_codes as u64,
            mode: self.mode,
            map: self.map,
            store: self.store.tag().to_owned(),
            trained: trained
                .map(|Trained { entries, .. }| TrainedMeta { next_id: entries.next_id, len: entries.len as u64 }),
        };
        let mut node = Node::new(ROW.tag, 0, &meta);
        if let Some(Trained { quantizer, entries }) = trained {
            node.push_child("quantizer", quantizer.export());
            node.push_child("codec", entries.bound.codec().export());
            node.push_child("lists", entries.lists.export()?);
        }
        Ok(node)
    }

    pub(super) fn read(node: &StoredNode, registry: &Registry) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        let meta: Meta = node.meta()?;
        let fault = |what: String| DecodeError::value(&node.tag, what);
        let size = |what: &str, value: u64| usize::try_from(value).map_err(|_| fault(format!("{what} is {value}")));
        let quantizer: Arc<dyn QuantizerSpec> = if meta.quantizer.is_empty() {
            Arc::new(OneListSpec)
        } else {
            registry.quantizer_spec(&node.tag, &meta.quantizer)?
        };
        let codec = registry.codec_spec(&node.tag, &meta.codec)?;
        let dim = size("the dimension", meta.dim)?;
        if !(1..=MAX_DIM).contains(&dim) {
            return Err(fault(format!("{dim} dimensions")));
        }
        quantizer.check(dim, meta.metric).map_err(|error| fault(error.to_string()))?;
        // A trained codec speaks for itself, and may have what its specification cannot say (parts of uneven lengths).
        if meta.trained.is_none() {
            codec.check(dim, meta.metric).map_err(|error| fault(error.to_string()))?;
        }
        let mut index = IvfIndex::unchecked(dim, meta.metric, quantizer, codec);
        index.nprobe = size("nprobe", meta.nprobe)?.max(1);
        index.max_codes = size("max_codes", meta.max_codes)?;
        index.mode = meta.mode;
        index.map = meta.map;
        index.store = registry.store_spec(&meta.store)?;
        if let Some(trained) = meta.trained {
            let trained = index.read_trained(node, registry, &trained)?;
            index.map = trained.entries.map.kind();
            index.trained = Some(trained);
        }
        Ok(index)
    }

    fn read_trained(&self, node: &StoredNode, registry: &Registry, meta: &TrainedMeta) -> Result<Trained, DecodeError> {
        let fault = |what: String| DecodeError::value(&node.tag, what);
        let store_fault = |error: StoreError| fault(error.to_string());
        let quantizer: Arc<dyn Level1Quantizer> = registry.read_quantizer(node.child("quantizer")?)?;
        let codec = registry.read_codec(node.child("codec")?)?;
        if (quantizer.dim(), codec.dim()) != (self.dim, self.dim) {
            let dims = (quantizer.dim(), codec.dim());
            return Err(fault(format!("the quantizer's and the codec's dimensions are {dims:?}, not {}", self.dim)));
        }
        if let Some(metric) = quantizer.metric().filter(|metric| *metric != self.metric) {
            return Err(fault(format!("the quantizer is for the metric {metric}, not {}", self.metric)));
        }
        if codec.metric() != self.metric {
            return Err(fault(format!("the codec is for the metric {}, not {}", codec.metric(), self.metric)));
        }
        if quantizer.nlist() != self.quantizer.nlist() {
            return Err(fault(format!("{} centroids for {}", quantizer.nlist(), self.quantizer)));
        }
        if codec.spec().to_string() != self.codec.to_string() {
            return Err(fault(format!("a codec {} where {} should be", codec.spec(), self.codec)));
        }
        let lists: Box<dyn InvertedLists> = registry.read_lists(node.child("lists")?, codec.layout())?;
        if lists.nlist() != quantizer.nlist() {
            return Err(fault(format!("{} lists for {} centroids", lists.nlist(), quantizer.nlist())));
        }
        if *lists.layout() != *codec.layout() {
            return Err(fault(format!("lists of {} for codes of {}", lists.layout(), codec.layout())));
        }
        let len = lists.total_len().map_err(store_fault)?;
        if len as u64 != meta.len {
            return Err(fault(format!("{len} entries in the lists, {} said", meta.len)));
        }
        if meta.next_id > 1 << 63 {
            return Err(fault(format!("the next id is {}", meta.next_id)));
        }
        let centroids: Arc<dyn Centroids> = quantizer.clone();
        let mut entries = Entries::new(codec, centroids, lists, DirectMapKind::None);
        entries.len = len;
        entries.next_id = meta.next_id;
        // An array map over ids most of which are gone takes too much memory to believe a file, and damaged lists may have ids that
        // are for no array: a table serves as well.
        entries.map = match entries.mapped(self.map) {
            Err(EditError::NotForArray(_)) => entries.mapped(DirectMapKind::Hash),
            made => made,
        }
        .map_err(|error| fault(error.to_string()))?;
        Ok(Trained { quantizer, entries })
    }
}
