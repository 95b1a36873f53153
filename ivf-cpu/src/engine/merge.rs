//! Merging: moving all entries of another index, or copying a subset.

use super::entries::{Entries, Write};
use super::subset::{ListSelection, Selection};
use super::{IvfIndex, Trained};
use ivf_core::error::{AddError, MergeError, StoreError};
use ivf_core::{AddOptions, Cancel, CopySubset, DirectMapKind, Id, Index, ListOffset, Location, Merge, Reset, Subset};
use std::any::Any;

impl Merge for IvfIndex {
    fn merge_from(&mut self, other: &mut dyn Index, shift: i64, options: &AddOptions<'_>) -> Result<(), MergeError> {
        let other: &mut dyn Any = other;
        let other = other.downcast_mut::<IvfIndex>().ok_or(MergeError::Incompatible("kind"))?;
        self.merge_ivf(other, shift, options)
    }
}

impl CopySubset for IvfIndex {
    fn copy_subset_to(
        &self,
        other: &mut dyn Index,
        subset: &Subset<'_>,
        options: &AddOptions<'_>,
    ) -> Result<usize, MergeError> {
        let other: &mut dyn Any = other;
        let other = other.downcast_mut::<IvfIndex>().ok_or(MergeError::Incompatible("kind"))?;
        self.copy_ivf(other, subset, options)
    }
}

impl IvfIndex {
    pub(super) fn merge_ivf(
        &mut self,
        other: &mut IvfIndex,
        shift: i64,
        options: &AddOptions<'_>,
    ) -> Result<(), MergeError> {
        self.check_fits(other)?;
        let (entries, theirs) = (self.entries_mut()?, other.entries()?);
        let part = Selection::all(theirs)?.shifted(shift)?;
        let write = entries.append_part(theirs, &part, options)?;
        // Reset the other index before the commit: if that fails, both indexes are unchanged.
        if let Err(error) = other.reset() {
            entries.roll_back(&write)?;
            return Err(MergeError::Store(error));
        }
        entries.commit(write, part.len(), part.largest());
        Ok(())
    }

    pub(super) fn copy_ivf(
        &self,
        other: &mut IvfIndex,
        subset: &Subset<'_>,
        options: &AddOptions<'_>,
    ) -> Result<usize, MergeError> {
        other.check_fits(self)?;
        let (entries, ours) = (other.entries_mut()?, self.entries()?);
        let part = Selection::of(ours, subset)?;
        let write = entries.append_part(ours, &part, options)?;
        entries.commit(write, part.len(), part.largest());
        Ok(part.len())
    }

    fn entries(&self) -> Result<&Entries, MergeError> {
        Ok(&self.trained.as_ref().ok_or(UNTRAINED)?.entries)
    }

    fn entries_mut(&mut self) -> Result<&mut Entries, MergeError> {
        Ok(&mut self.trained.as_mut().ok_or(UNTRAINED)?.entries)
    }

    /// Checks that codes have the same meaning in the other index.
    pub(super) fn check_fits(&self, other: &IvfIndex) -> Result<(), MergeError> {
        if (self.dim, self.spec()) != (other.dim, other.spec()) || self.metric != other.metric {
            return Err(MergeError::Incompatible("dimension, metric or kind"));
        }
        let (Some(ours), Some(theirs)) = (&self.trained, &other.trained) else { return Err(UNTRAINED) };
        let Trained { quantizer, entries } = ours;
        if self.by_residual != other.by_residual {
            return Err(MergeError::Incompatible("whether they code residuals"));
        }
        if !quantizer.export()?.same(&theirs.quantizer.export()?) {
            return Err(MergeError::Incompatible("their coarse quantizers"));
        }
        if !entries.bound.codec().export().same(&theirs.entries.bound.codec().export()) {
            return Err(MergeError::Incompatible("their codecs"));
        }
        Ok(())
    }
}

/// Number of entries, for each selected one, above which the selected codes are read one by one.
const SPARSE: usize = 32;

const UNTRAINED: MergeError = MergeError::Incompatible("training: both must be trained");

impl Entries {
    /// Appends selected entries of another index list by list, either all of them or none.
    fn append_part(
        &mut self,
        other: &Entries,
        part: &Selection,
        options: &AddOptions<'_>,
    ) -> Result<Write, MergeError> {
        if self.map.kind() == DirectMapKind::Array {
            let mut ids: Vec<Id> = part.ids().collect();
            ids.sort_unstable();
            self.check_ids(ids.into_iter())?;
        }
        let mut write = Write::default();
        match self.append_lists(&mut write, other, part, options) {
            Ok(()) => Ok(write),
            Err(error) => {
                self.roll_back(&write)?;
                Err(error)
            }
        }
    }

    fn append_lists(
        &mut self,
        write: &mut Write,
        other: &Entries,
        part: &Selection,
        options: &AddOptions<'_>,
    ) -> Result<(), MergeError> {
        let mut done = 0;
        for chosen @ ListSelection { list, ids, .. } in part.lists() {
            Cancel::check(options.cancel).map_err(|_| AddError::Cancelled)?;
            let codes = other.codes_of(chosen)?;
            self.append(write, &vec![*list; ids.len()], ids, &codes, options.executor)?;
            done += ids.len();
            if let Some(progress) = options.progress {
                progress.step("merge", done as u64, part.len() as u64);
            }
        }
        Ok(())
    }

    /// Returns the codes of selected entries, one after the other.
    fn codes_of(&self, chosen: &ListSelection) -> Result<Vec<u8>, StoreError> {
        let (entries, layout, size) = (&chosen.entries, self.layout(), self.layout().code_size());
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(Vec::new()) };
        let span = last + 1 - first;
        if entries.len() < span / SPARSE {
            let place = |&entry: &usize| Location { list: chosen.list, offset: ListOffset(entry as u32) };
            let mut codes = vec![0; entries.len() * size];
            self.lists.codes_at(&entries.iter().map(place).collect::<Vec<_>>(), &mut codes)?;
            return Ok(codes);
        }
        let part = self.lists.list_range(chosen.list, *first..last + 1)?;
        let codes = part.unpack(layout);
        if entries.len() == part.len() {
            return Ok(codes);
        }
        Ok(entries.iter().flat_map(|entry| &codes[(entry - part.start()) * size..][..size]).copied().collect())
    }
}
