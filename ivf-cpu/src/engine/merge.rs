//! Taking over another index's entries.

use super::IvfIndex;
use super::entries::{Entries, Write};
use crate::executor::or_global;
use ivf_core::error::{MergeError, StoreError};
use ivf_core::{AddOptions, Executor, Id, Index, Merge, Reset};
use std::any::Any;

impl Merge for IvfIndex {
    fn merge_from(&mut self, other: &mut dyn Index, shift: i64, options: &AddOptions<'_>) -> Result<(), MergeError> {
        let other: &mut dyn Any = other;
        let other = other.downcast_mut::<IvfIndex>().ok_or(MergeError::Incompatible("kind"))?;
        self.merge_ivf(other, shift, options)
    }
}

impl IvfIndex {
    pub(super) fn merge_ivf(
        &mut self,
        other: &mut IvfIndex,
        shift: i64,
        options: &AddOptions<'_>,
    ) -> Result<(), MergeError> {
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
        let entries = &mut ours.entries;
        let shifted = |id: Id| id.0.checked_add(shift).map(Id).ok_or(MergeError::IdOverflow { id, shift });
        let mut ids = Vec::with_capacity(theirs.entries.len);
        for list in theirs.entries.list_numbers() {
            for id in theirs.entries.lists.list(list)?.ids() {
                ids.push(shifted(id)?);
            }
        }
        ids.sort_unstable();
        entries.check_ids(ids.iter().copied())?;
        let mut write = Write::default();
        if let Err(error) = entries.append_all(&mut write, &theirs.entries, shift, or_global(options.executor)) {
            entries.roll_back(&write)?;
            return Err(error.into());
        }
        // The other lets go first: if it cannot, both are as they were.
        let added = theirs.entries.len;
        if let Err(error) = other.reset() {
            entries.roll_back(&write)?;
            return Err(MergeError::Store(error));
        }
        entries.commit(write, added, ids.last().copied());
        Ok(())
    }
}

impl Entries {
    /// Appends the other's entries list by list, their ids shifted.
    fn append_all(
        &mut self,
        write: &mut Write,
        other: &Entries,
        shift: i64,
        executor: &dyn Executor,
    ) -> Result<(), StoreError> {
        for list in other.list_numbers() {
            let entries = other.lists.list(list)?;
            let ids: Vec<Id> = entries.ids().map(|id| Id(id.0 + shift)).collect();
            let codes = entries.unpack(other.layout());
            self.append(write, &vec![list; ids.len()], &ids, &codes, executor)?;
        }
        Ok(())
    }
}
