//! Exporting the index as a node, and reading it back.

use super::groups::Groups;
use super::{DedupIndex, INNER, ROW};
use crate::codec::FlatSpec;
use crate::engine::IvfIndex;
use ivf_core::error::{DecodeError, StoreError};
use ivf_core::field::{Field, FieldType, Schema};
use ivf_core::node::NamedArray;
use ivf_core::registry::Registry;
use ivf_core::{DirectMapKind, Id, Index, Node, ScanIds, StoredNode};
use std::sync::Arc;

const SCHEMA: &Schema = &[Field::new("next_id", FieldType::UInt)];

impl DedupIndex {
    pub(super) fn export_node(&self) -> Result<Node<'_>, StoreError> {
        let (names, ids) = self.groups.pairs();
        for group in names.chunk_by(|a, b| a == b) {
            if !self.has_copy(group[0])? {
                // Do not overwrite a readable file with one that cannot be read.
                return Err(StoreError::Inconsistent(format!("no copy has the name {}", group[0])));
            }
        }
        let len = names.len() as u64;
        let mut node = Node::new(ROW.tag, 0).with("next_id", self.next_id);
        node.push(NamedArray::owned("names", &[len], names));
        node.push(NamedArray::owned("ids", &[len], ids));
        node.push_child(INNER, self.inner.export()?);
        Ok(node)
    }

    pub(super) fn read(node: &StoredNode, registry: &Registry) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        let fault = |what: String| DecodeError::value(&node.tag, what);
        let next_id: u64 = node.fields(SCHEMA)?.get("next_id")?;
        if next_id > 1 << 63 {
            return Err(fault(format!("the next id is {next_id}, above 2^63")));
        }
        let inner = IvfIndex::read(node.child(INNER)?, registry)?;
        if inner.is_standalone() {
            return Err(fault("it has no coarse quantizer".to_owned()));
        }
        if inner.codec.to_string() != FlatSpec.to_string() {
            return Err(fault(format!("the codec of its copies is {}, not {FlatSpec}", inner.codec)));
        }
        if inner.options.direct_map != DirectMapKind::Hash {
            return Err(fault("the inverted file has no hash map".to_owned()));
        }
        let mut index = Self { inner, groups: Arc::default(), known: None, next_id, next_name: i64::MIN };
        if let Some(name) = index.shared_name().map_err(|error| fault(error.to_string()))? {
            return Err(fault(format!("two copies have the name {name}")));
        }
        let (names, ids) = (node.array::<Id>("names")?, node.array::<Id>("ids")?);
        if names.len() != ids.len() {
            return Err(fault(format!("{} names and {} ids", names.len(), ids.len())));
        }
        if !names.iter().zip(ids).is_sorted() {
            return Err(fault("the names and ids do not ascend".to_owned()));
        }
        let mut groups = Groups::default();
        for (&name, &id) in names.iter().zip(ids) {
            if !index.has_copy(name).map_err(|error| fault(error.to_string()))? {
                return Err(fault(format!("no copy has the name {name}")));
            }
            groups.insert(name, id, 1);
        }
        index.groups = Arc::new(groups);
        Ok(index)
    }

    /// Returns a name that several copies have.
    fn shared_name(&self) -> Result<Option<Id>, StoreError> {
        let Some(trained) = &self.inner.trained else { return Ok(None) };
        let mut shared = None;
        self.inner.scan_ids(&mut |name| {
            if trained.entries.map.places(name).nth(1).is_some() {
                shared = Some(name);
            }
        })?;
        Ok(shared)
    }
}
