//! Exporting an id map as a node, and reading it back.

use super::numbers::Numbers;
use super::{INNER, IdMap, Kind};
use ivf_core::error::{DecodeError, StoreError};
use ivf_core::field::{Field, FieldType, Schema};
use ivf_core::node::NamedArray;
use ivf_core::registry::Registry;
use ivf_core::{Id, Node, StoredNode};

/// Version of a node with an id and a flag for each number that the wrapped index ever assigned.
const DENSE: u16 = 0;

/// Version of a node with a number and an id for each vector.
const SPARSE: u16 = 1;

/// Name of the field of a sparse node with the number after the last one that was assigned.
const END: &str = "end";

const SCHEMA: &Schema = &[Field::new("next_id", FieldType::UInt), Field::since_version_2(END, FieldType::UInt)];

impl IdMap {
    /// Exports the index. The ids of removed vectors are not exported.
    pub(super) fn export_node(&self) -> Result<Node<'_>, StoreError> {
        let (ids, vectors) = (self.ids.len(), self.inner.len());
        if ids != vectors {
            // Do not overwrite a readable file with one that cannot be read.
            return Err(StoreError::Inconsistent(format!("{ids} ids for {vectors} vectors")));
        }
        let tag = self.kind.row().tag;
        let (len, end) = (ids as u64, self.ids.end());
        // A dense node has 9 bytes a number, a sparse node 16 bytes a vector.
        let is_sparse = end.saturating_mul(9) > len * 16;
        let mut node = Node::new(tag, if is_sparse { SPARSE } else { DENSE }).with("next_id", self.next_id);
        if is_sparse {
            node = node.with(END, end);
            let (numbers, ids): (Vec<u64>, Vec<Id>) = self.ids.iter().unzip();
            node.push(NamedArray::owned("numbers", &[len], numbers));
            node.push(NamedArray::owned("ids", &[len], ids));
        } else if let Some(ids) = self.ids.consecutive() {
            node.push(NamedArray::borrowed("ids", &[len], ids));
            node.push(NamedArray::owned("present", &[len], vec![1_u8; ids.len()]));
        } else {
            let (mut ids, mut present) = (vec![Id(-1); end as usize], vec![0_u8; end as usize]);
            for (number, id) in self.ids.iter() {
                (ids[number as usize], present[number as usize]) = (id, 1);
            }
            node.push(NamedArray::owned("ids", &[end], ids));
            node.push(NamedArray::owned("present", &[end], present));
        }
        node.push_child(INNER, self.inner.export()?);
        Ok(node)
    }

    pub(super) fn read(node: &StoredNode, registry: &Registry, kind: Kind) -> Result<Self, DecodeError> {
        node.expect_version(SPARSE)?;
        let fault = |what: String| DecodeError::value(&node.tag, what);
        let fields = node.fields(SCHEMA)?;
        let inner = registry.read_index(node.child(INNER)?)?;
        let ids = node.array::<Id>("ids")?;
        let mut numbers = Numbers::default();
        numbers.reserve(ids.len().min(inner.len()));
        if node.version == DENSE {
            let present = node.array::<u8>("present")?;
            if ids.len() != present.len() {
                return Err(fault(format!("{} ids and {} flags", ids.len(), present.len())));
            }
            for (&id, &present) in ids.iter().zip(present) {
                if present == 0 {
                    numbers.skip_to(numbers.end() + 1);
                } else {
                    numbers.push(id);
                }
            }
        } else {
            let (listed, end): (_, u64) = (node.array::<u64>("numbers")?, fields.get(END)?);
            if ids.len() != listed.len() {
                return Err(fault(format!("{} ids and {} numbers", ids.len(), listed.len())));
            }
            if end > 1 << 63 || listed.last().is_some_and(|last| *last >= end) || !listed.is_sorted_by(|a, b| a < b) {
                return Err(fault(format!("the numbers do not ascend to below {end}")));
            }
            for (&id, &number) in ids.iter().zip(listed) {
                numbers.skip_to(number);
                numbers.push(id);
            }
            numbers.skip_to(end);
        }
        Self::of_parts(kind, inner, numbers, fields.get("next_id")?).map_err(|error| fault(error.to_string()))
    }
}
