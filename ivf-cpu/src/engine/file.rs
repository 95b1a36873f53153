//! Exporting the index as a node, reading it back, and assembling it from parts.

use super::entries::binding;
use super::knobs::{DIRECT_MAP_NAMES, direct_map_name, direct_map_named};
use super::{Entries, IvfIndex, IvfOptions, Trained};
use crate::coarse::OneListSpec;
use crate::simd;
use ivf_core::error::{BuildError, DecodeError, EditError, PartsError, StoreError};
use ivf_core::field::{Field, FieldType, Schema};
use ivf_core::registry::{IndexRow, Registry};
use ivf_core::{
    Binding, Codec, DirectMapKind, InvertedLists, Level1Quantizer, MAX_DIM, Metric, Node, ParallelMode, QuantizerSpec,
    Settings, StoredNode,
};
use std::sync::Arc;

/// The registry row of this index.
pub(crate) const ROW: IndexRow = IndexRow::without_token("ivf", |node, registry| {
    let index = IvfIndex::read(node, registry)?;
    if index.is_standalone() {
        return Err(DecodeError::value(&node.tag, "it has no coarse quantizer"));
    }
    Ok(Box::new(index))
})
.about("a coarse quantizer, a codec and lists");

const SCHEMA: &Schema = &[
    Field::new("dim", FieldType::UInt),
    Field::new("metric", FieldType::Metric),
    Field::new("quantizer", FieldType::Text),
    Field::new("codec", FieldType::Text),
    Field::new("nprobe", FieldType::UInt),
    Field::new("max_codes", FieldType::UInt),
    Field::new("mode", FieldType::Word(ParallelMode::NAMES)),
    Field::new("direct_map", FieldType::Word(DIRECT_MAP_NAMES)),
    Field::new("store", FieldType::Text),
    Field::since_version_2("by_residual", FieldType::Bool),
    Field::since_version_2("table_memory", FieldType::UInt),
    Field::since_version_2("settings", FieldType::Texts),
    Field::grouped("next_id", FieldType::UInt),
    Field::grouped("len", FieldType::UInt),
];

impl IvfIndex {
    pub(super) fn export_node(&self) -> Result<Node<'_>, StoreError> {
        let options = &self.options;
        let mut node = Node::new(ROW.tag, 0)
            .with("dim", self.dim)
            .with("metric", self.metric)
            .with("quantizer", self.quantizer.to_string())
            .with("codec", self.codec.to_string())
            .with("nprobe", options.nprobe)
            .with("max_codes", options.max_codes)
            .with("mode", options.mode.name())
            .with("direct_map", direct_map_name(options.direct_map))
            .with("store", self.store.tag())
            .with("by_residual", self.by_residual)
            .with("table_memory", options.table_memory)
            .with("settings", options.settings.to_lines());
        if let Some(Trained { quantizer, entries }) = &self.trained {
            node = node.with("next_id", entries.next_id).with("len", entries.len);
            node.push_child("quantizer", quantizer.export()?);
            node.push_child("codec", entries.bound.codec().export());
            node.push_child("lists", entries.lists.export()?);
        }
        Ok(node)
    }

    pub(super) fn read(node: &StoredNode, registry: &Registry) -> Result<Self, DecodeError> {
        let fault = |what: String| DecodeError::value(&node.tag, what);
        simd::check().map_err(|error| fault(error.to_string()))?;
        node.expect_version(0)?;
        let fields = node.fields(SCHEMA)?;
        let (dim, metric): (usize, Metric) = (fields.dim("dim")?, fields.get("metric")?);
        let token: String = fields.get("quantizer")?;
        let quantizer: Arc<dyn QuantizerSpec> = match token.is_empty() {
            true => Arc::new(OneListSpec),
            false => registry.quantizer_spec(&node.tag, &token)?,
        };
        let codec = registry.codec_spec(&node.tag, &fields.get::<String>("codec")?)?;
        quantizer.check(dim, metric).map_err(|error| fault(error.to_string()))?;
        let lines: Vec<String> = fields.opt("settings")?.unwrap_or_default();
        let settings = Settings::from_lines(lines.iter().map(String::as_str));
        let mode: String = fields.get("mode")?;
        let options = IvfOptions {
            nprobe: fields.get::<usize>("nprobe")?.max(1),
            max_codes: fields.get("max_codes")?,
            mode: mode.parse().map_err(|_| fault(format!("unknown parallel mode {mode}")))?,
            direct_map: direct_map_named(&fields.get::<String>("direct_map")?),
            by_residual: fields.opt("by_residual")?,
            table_memory: fields.opt("table_memory")?.unwrap_or(Binding::TABLE_MEMORY),
            settings: settings.map_err(|error| fault(error.to_string()))?,
            next_id: fields.opt("next_id")?,
            store: Some(registry.store_spec(&fields.get::<String>("store")?)?),
        };
        let mut index = IvfIndex::unchecked(dim, metric, quantizer, codec, options);
        let Some(len) = fields.opt::<u64>("len")? else {
            // Only an untrained codec is checked by its specification. A trained codec may have a
            // shape that its specification cannot express (subvectors of uneven lengths).
            index.codec.check(&index.context()).map_err(|error| fault(error.to_string()))?;
            index.check_options().map_err(|error| fault(error.to_string()))?;
            return Ok(index);
        };
        let quantizer: Arc<dyn Level1Quantizer> = registry.read_quantizer(node.child("quantizer")?)?;
        let codec = registry.read_codec(node.child("codec")?)?;
        let lists: Box<dyn InvertedLists> = registry.read_lists(node.child("lists")?, codec.layout())?;
        index.assemble(quantizer, codec, lists).map_err(|error| fault(error.to_string()))?;
        if ivf_core::Index::len(&index) as u64 != len {
            let found = ivf_core::Index::len(&index);
            return Err(fault(format!("the lists hold {found} entries, not {len}")));
        }
        Ok(index)
    }

    /// Checks the options, and normalises the settings to the names and value types of their
    /// parameters.
    fn check_options(&mut self) -> Result<(), PartsError> {
        let fault = |what: String| Err(PartsError::Mismatch(what));
        if self.options.nprobe == 0 {
            return fault("nprobe is 0, and must be at least 1".to_owned());
        }
        if !self.is_standalone() && !self.codec.residuals().allows(self.by_residual) {
            return fault(format!("by_residual is {}, which {} does not allow", self.by_residual, self.codec));
        }
        self.options.settings = self.normal_settings()?;
        Ok(())
    }

    /// [`assemble`](Self::assemble) for parts that a caller chose. It also checks the next id
    /// against the ids in the lists, and that the direct map fits. Files skip both checks: opening
    /// in place must not read all lists, and a damaged file gets a map of another kind.
    pub(super) fn assemble_checked(
        &mut self,
        quantizer: Arc<dyn Level1Quantizer>,
        codec: Arc<dyn Codec>,
        lists: Box<dyn InvertedLists>,
    ) -> Result<(), PartsError> {
        let (asked, after) = (self.options.direct_map, super::lists::after_largest(&*lists)?);
        let next_id = *self.options.next_id.get_or_insert(after);
        if next_id < after {
            let what = format!("the next id is {next_id}, and the lists hold the id {}", after - 1);
            return Err(PartsError::Mismatch(what));
        }
        self.assemble(quantizer, codec, lists)?;
        if self.options.direct_map != asked {
            let asked = direct_map_name(asked);
            return Err(PartsError::Mismatch(format!("ids in the lists that the direct map '{asked}' does not take")));
        }
        Ok(())
    }

    /// Makes the index trained with these parts, if they fit each other and the specification of
    /// the index.
    pub(super) fn assemble(
        &mut self,
        quantizer: Arc<dyn Level1Quantizer>,
        codec: Arc<dyn Codec>,
        lists: Box<dyn InvertedLists>,
    ) -> Result<(), PartsError> {
        let fault = |what: String| Err(PartsError::Mismatch(what));
        simd::check().map_err(|error| PartsError::Mismatch(error.to_string()))?;
        if self.metric == Metric::Cosine {
            return fault("codes cannot use cosine: normalise with a transform before the index".to_owned());
        }
        if self.dim > MAX_DIM {
            return fault(format!("{} dimensions: at most {MAX_DIM} are supported", self.dim));
        }
        // A trained codec may have another shape than its specification (subvectors of uneven
        // lengths), but not another metric.
        if let Err(error @ BuildError::Metric { .. }) = self.codec.check(&self.context()) {
            return Err(error.into());
        }
        // The specification of the quantizer as it is now, and not the one that it was made from.
        let spec = quantizer.spec();
        if spec.to_string() != self.quantizer.to_string() {
            return fault(format!("the quantizer is {spec}, not {}", self.quantizer));
        }
        spec.check(self.dim, self.metric).map_err(|error| PartsError::Mismatch(error.to_string()))?;
        self.quantizer = spec;
        self.check_options()?;
        if (quantizer.dim(), codec.dim()) != (self.dim, self.dim) {
            let dims = (quantizer.dim(), codec.dim());
            return fault(format!("the quantizer's and the codec's dimensions are {dims:?}, not {}", self.dim));
        }
        if let Some(metric) = quantizer.metric().filter(|metric| *metric != self.metric) {
            return fault(format!("the quantizer is for the metric {metric}, not {}", self.metric));
        }
        if codec.metric() != self.metric {
            return fault(format!("the codec is for the metric {}, not {}", codec.metric(), self.metric));
        }
        if codec.spec().to_string() != self.codec.to_string() {
            return fault(format!("the codec is {}, not {}", codec.spec(), self.codec));
        }
        if lists.nlist() != quantizer.nlist() {
            return fault(format!("{} lists for {} centroids", lists.nlist(), quantizer.nlist()));
        }
        if *lists.layout() != *codec.layout() {
            return fault(format!("the layout of the lists is {}, of the codec {}", lists.layout(), codec.layout()));
        }
        let len = lists.total_len()?;
        let next_id = match self.options.next_id.take() {
            Some(next_id) if next_id <= 1 << 63 => next_id,
            Some(next_id) => return fault(format!("the next id is {next_id}, above 2^63")),
            None => super::lists::after_largest(&*lists)?,
        };
        let binding = binding(&quantizer, self.by_residual, &self.options);
        let mut entries = Entries::new(codec, &binding, lists, DirectMapKind::None)?;
        (entries.len, entries.next_id) = (len, next_id);
        // If most ids are gone, an array map takes more memory than a file can justify. Damaged
        // lists may also hold ids that no array can hold. A hash table serves as well.
        let map = match entries.mapped(self.options.direct_map) {
            Err(EditError::NotForArray(_)) => entries.mapped(DirectMapKind::Hash),
            made => made,
        };
        let map = map.map_err(|error| PartsError::Mismatch(error.to_string()))?;
        self.options.direct_map = map.kind();
        entries.map = map.into();
        self.trained = Some(Trained { quantizer, entries });
        Ok(())
    }
}
