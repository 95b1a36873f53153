//! Taking over another index's entries.

use super::IvfIndex;
use crate::executor::RayonGlobal;
use ivf_core::error::{MergeError, StoreError};
use ivf_core::{DirectMapKind, Id, Index, Merge, Reset};
use std::any::Any;

impl Merge for IvfIndex {
    fn merge_from(&mut self, other: &mut dyn Index, shift: i64) -> Result<(), MergeError> {
        let other: &mut dyn Any = other;
        let other = other.downcast_mut::<IvfIndex>().ok_or(MergeError::Incompatible("kind"))?;
        self.merge_ivf(other, shift)
    }
}

impl IvfIndex {
    pub(super) fn merge_ivf(&mut self, other: &mut IvfIndex, shift: i64) -> Result<(), MergeError> {
        if (self.dim, self.spec()) != (other.dim, other.spec()) || self.metric != other.metric {
            return Err(MergeError::Incompatible("dimension, metric or kind"));
        }
        let (Some(ours), Some(theirs)) = (&mut self.trained, &other.trained) else {
            return Err(MergeError::Incompatible("training: both must be trained"));
        };
        if !ours.quantizer.export().same(&theirs.quantizer.export()) {
            return Err(MergeError::Incompatible("their coarse quantizers"));
        }
        if !ours.entries.bound.codec().export().same(&theirs.entries.bound.codec().export()) {
            return Err(MergeError::Incompatible("their codecs"));
        }
        if ours.entries.map.kind() == DirectMapKind::Array {
            return Err(MergeError::Incompatible("ids: an array direct map takes only ids that count up"));
        }
        let entries = &mut ours.entries;
        let before = entries.lengths()?;
        let mut next_id = 0;
        for list in entries.list_numbers() {
            let moved = (|| {
                let list_ref = theirs.entries.lists.list(list)?;
                let shifted = |id: Id| id.0.checked_add(shift).map(Id).ok_or(MergeError::IdOverflow { id, shift });
                let ids = list_ref.ids().map(shifted).collect::<Result<Vec<Id>, _>>()?;
                let codes = list_ref.unpack(entries.layout());
                entries.append(&vec![list; ids.len()], &ids, &codes, &RayonGlobal)?;
                Ok(ids.iter().map(|id| (i128::from(id.0) + 1).max(0) as u64).max().unwrap_or(0))
            })();
            match moved {
                Ok(end) => next_id = next_id.max(end),
                Err(error) => {
                    entries.roll_back(&before)?;
                    return Err(error);
                }
            }
        }
        // The other lets go first: if it cannot, both are as they were.
        let added = theirs.entries.len;
        if let Err(error) = other.reset() {
            entries.roll_back(&before)?;
            return Err(MergeError::Store(error));
        }
        entries.commit(&before, added, next_id).map_err(|error: StoreError| error.into())
    }
}
