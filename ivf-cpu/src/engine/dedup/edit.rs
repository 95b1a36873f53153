//! Training, adding, removing, replacing and merging.

use super::DedupIndex;
use super::groups::{Groups, Member};
use super::place::Placement;
use ivf_core::ability::{Add, AddWithIds, Merge, Remove, Reset, ScanIds, Train, Update, Upsert};
use ivf_core::error::{AddError, EditError, InputError, MergeError, StoreError, TrainError};
use ivf_core::params::NonFinite;
use ivf_core::{
    AddOptions, AddReport, AnyRows, Cancel, DirectMapKind, Id, IdSelector, Index, Rows, TrainOptions, TrainReport,
    UpsertReport,
};
use std::any::Any;
use std::collections::HashSet;
use std::sync::Arc;

/// Number of vectors that a merge adds at a time.
const TOGETHER: usize = 4096;

impl Train for DedupIndex {
    fn train(&mut self, rows: AnyRows<'_>, options: &TrainOptions<'_>) -> Result<TrainReport, TrainError> {
        let report = self.inner.train(rows, options)?;
        self.forget();
        Ok(report)
    }

    fn training_points(&mut self, options: &TrainOptions<'_>) -> usize {
        self.inner.training_points(options)
    }

    fn training_memory(&mut self, points: usize, options: &TrainOptions<'_>) -> usize {
        self.inner.training_memory(points, options)
    }
}

impl Reset for DedupIndex {
    fn reset(&mut self) -> Result<(), StoreError> {
        self.inner.reset()?;
        self.forget();
        Ok(())
    }
}

impl Add for DedupIndex {
    fn add(&mut self, rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<AddReport, AddError> {
        let end = self.next_id.checked_add(rows.len() as u64).filter(|end| *end <= 1 << 63);
        let ids: Vec<Id> = (self.next_id..end.ok_or(AddError::IdsExhausted)?).map(|id| Id(id as i64)).collect();
        self.add_with_ids(rows, &ids, options)
    }
}

impl AddWithIds for DedupIndex {
    fn add_with_ids(&mut self, rows: AnyRows<'_>, ids: &[Id], options: &AddOptions<'_>) -> Result<AddReport, AddError> {
        if !self.is_trained() {
            return Err(AddError::NotTrained);
        }
        if ids.len() != rows.len() {
            return Err(InputError::IdCount { rows: rows.len(), ids: ids.len() }.into());
        }
        let (mut scratch, mut converted) = (Vec::new(), Vec::new());
        let (finite, skipped) = rows.finite(self.dim(), options.non_finite, &mut scratch)?;
        let mut numbers: Vec<usize> = (0..rows.len()).collect();
        numbers.retain(|row| skipped.binary_search(row).is_err());
        let kept: Vec<Id> = numbers.iter().map(|&row| ids[row]).collect();
        self.add_finite(finite.to_f32(&mut converted), &kept, |row| numbers[row], options)?;
        // The ids of skipped rows are used up too.
        self.count(ids);
        Ok(AddReport::new(kept.len(), skipped))
    }
}

impl Remove for DedupIndex {
    fn remove(&mut self, selector: &IdSelector<'_>) -> Result<usize, EditError> {
        if !self.is_trained() {
            return Err(EditError::NotTrained);
        }
        self.use_hash_map()?;
        let mut gone = Vec::new();
        if let Some(mut ids) = selector.listed(self.len()) {
            ids.sort_unstable();
            ids.dedup();
            self.members_of(&ids, &mut gone)?;
        } else {
            gone.extend(self.groups.all().filter(|member| selector.contains(member.id)));
            self.inner.scan_ids(&mut |name| {
                if selector.contains(name) && !self.groups.has(name) {
                    gone.push(Member { name, id: name, count: 1 });
                }
            })?;
        }
        self.remove_members(gone)
    }
}

impl Update for DedupIndex {
    fn update(&mut self, ids: &[Id], rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<(), EditError> {
        self.replace(ids, rows, options, |missing| Err(EditError::NoSuchId(missing)))?;
        Ok(())
    }
}

impl Upsert for DedupIndex {
    fn upsert(&mut self, ids: &[Id], rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<UpsertReport, EditError> {
        let updated = self.replace(ids, rows, options, |_| Ok(()))?;
        Ok(UpsertReport::new(updated, ids.len() - updated))
    }
}

impl Merge for DedupIndex {
    fn merge_from(&mut self, other: &mut dyn Index, shift: i64, options: &AddOptions<'_>) -> Result<(), MergeError> {
        let other: &mut dyn Any = other;
        let other = other.downcast_mut::<DedupIndex>().ok_or(MergeError::Incompatible("kind"))?;
        self.inner.check_fits(&other.inner)?;
        let mut overflow = None;
        other.scan_ids(&mut |id| {
            if id.0.checked_add(shift).is_none() {
                overflow = Some(id);
            }
        })?;
        if let Some(id) = overflow {
            return Err(MergeError::IdOverflow { id, shift });
        }
        let (mark, groups, next_id) = (self.inner.mark()?, Arc::clone(&self.groups), self.next_id);
        // If the reset of the other index fails, both indexes are unchanged.
        let merged = self.copy_from(other, shift, options).and_then(|()| Ok(other.reset()?));
        if merged.is_err() {
            self.inner.undo(mark)?;
            (self.groups, self.next_id) = (groups, next_id);
        }
        merged
    }
}

impl DedupIndex {
    fn forget(&mut self) {
        (self.groups, self.known, self.next_id, self.next_name) = (Arc::default(), None, 0, i64::MIN);
    }

    /// Makes the inverted file find copies by a hash map, which a caller of `wrapped_mut` may have
    /// replaced.
    fn use_hash_map(&mut self) -> Result<(), StoreError> {
        self.inner.set_direct_map(DirectMapKind::Hash).map_err(|error| match error {
            EditError::Store(error) => error,
            other => StoreError::Inconsistent(other.to_string()),
        })
    }

    /// Marks ids as used.
    fn count(&mut self, ids: &[Id]) {
        let largest = ids.iter().max().and_then(|id| u64::try_from(id.0).ok());
        self.next_id = self.next_id.max(largest.map_or(0, |id| id + 1));
    }

    /// Adds finite vectors. `number` returns the caller's number of a row.
    fn add_finite(
        &mut self,
        rows: Rows<'_, f32>,
        ids: &[Id],
        number: impl Fn(usize) -> usize,
        options: &AddOptions<'_>,
    ) -> Result<(), AddError> {
        Cancel::check(options.cancel).map_err(|_| AddError::Cancelled)?;
        self.use_hash_map()?;
        let placement = self.place(rows, ids, false)?;
        let (names, mut copied) = (placement.new_names(), Vec::new());
        let new = placement.new_rows(rows, &mut copied)?;
        let added = self.inner.add_with_ids(new.into(), &names, options);
        added.map_err(|error| renumbered(error, |row| number(placement.new[row])))?;
        self.note(&placement, ids);
        self.count(ids);
        Ok(())
    }

    /// Replaces all vectors of `ids`. Calls `missing` for each id that is not in the index; if it
    /// succeeds, the vector is added. Returns the number of ids that were in the index.
    fn replace(
        &mut self,
        ids: &[Id],
        rows: AnyRows<'_>,
        options: &AddOptions<'_>,
        mut missing: impl FnMut(Id) -> Result<(), EditError>,
    ) -> Result<usize, EditError> {
        if !self.is_trained() {
            return Err(EditError::NotTrained);
        }
        if ids.len() != rows.len() {
            return Err(InputError::IdCount { rows: rows.len(), ids: ids.len() }.into());
        }
        rows.check(self.dim())?;
        let mut seen = HashSet::with_capacity(ids.len());
        if let Some(&twice) = ids.iter().find(|id| !seen.insert(**id)) {
            return Err(EditError::TwiceNamed(twice));
        }
        Cancel::check(options.cancel).map_err(|_| AddError::Cancelled)?;
        self.use_hash_map()?;
        let mut old = Vec::new();
        self.members_of(ids, &mut old)?;
        let found: HashSet<Id> = old.iter().map(|member| member.id).collect();
        ids.iter().filter(|id| !found.contains(id)).try_for_each(|id| missing(*id))?;

        let mut converted = Vec::new();
        let rows = rows.to_f32(&mut converted);
        let placement = self.place(rows, ids, true)?;
        let (names, mut copied) = (placement.new_names(), Vec::new());
        let new = placement.new_rows(rows, &mut copied)?;
        // One call replaces the copies that keep their names and adds the others. If it fails,
        // nothing has changed.
        let options = options.non_finite(NonFinite::Reject);
        let replaced = self.inner.upsert(&names, new.into(), &options);
        replaced.map_err(|error| match error {
            EditError::Add(error) => EditError::Add(renumbered(error, |row| placement.new[row])),
            other => other,
        })?;
        let kept: HashSet<Id> = names.into_iter().collect();
        old.retain(|member| member.name != member.id || !kept.contains(&member.name));
        self.note(&placement, ids);
        self.count(ids);
        self.remove_members(old)?;
        Ok(found.len())
    }

    /// Adds the vectors of other ids to `found`.
    fn members_of(&self, ids: &[Id], found: &mut Vec<Member>) -> Result<(), StoreError> {
        for &id in ids {
            found.extend(self.groups.of_id(id));
            if !self.groups.has(id) && self.has_copy(id)? {
                found.push(Member { name: id, id, count: 1 });
            }
        }
        Ok(())
    }

    /// Removes vectors, and the copies that have no others. Returns the number of vectors.
    fn remove_members(&mut self, mut gone: Vec<Member>) -> Result<usize, EditError> {
        gone.sort_unstable();
        let emptied = self.groups.emptied(&gone);
        if !emptied.is_empty() {
            self.inner.remove(&IdSelector::sorted(emptied))?;
        }
        for member in &gone {
            if self.groups.has(member.name) {
                Arc::make_mut(&mut self.groups).leave(*member);
            }
        }
        Ok(gone.iter().map(|member| member.count).sum())
    }

    /// Adds all vectors of another index.
    fn copy_from(&mut self, other: &DedupIndex, shift: i64, options: &AddOptions<'_>) -> Result<(), MergeError> {
        let mut names = Vec::with_capacity(other.inner.len());
        other.inner.scan_ids(&mut |name| names.push(name))?;
        let mut quiet = *options;
        quiet.progress = None;
        let (mut rows, mut ids, mut done) = (Vec::new(), Vec::new(), 0);
        let mut add = |rows: &mut Vec<f32>, ids: &mut Vec<Id>| -> Result<(), MergeError> {
            let vectors = Rows::new(rows, other.dim()).map_err(|error| AddError::from(InputError::from(error)))?;
            self.add_finite(vectors, ids, |row| row, &quiet)?;
            done += ids.len();
            if let Some(progress) = options.progress {
                progress.step("merge", done as u64, other.len() as u64);
            }
            rows.clear();
            ids.clear();
            Ok(())
        };
        let mut failed = Ok(());
        other.each_copy(&names, |i, vector| {
            for member in Groups::members(&other.groups, names[i]) {
                for _ in 0..member.count {
                    if failed.is_err() {
                        return;
                    }
                    rows.extend_from_slice(vector);
                    ids.push(Id(member.id.0.wrapping_add(shift)));
                    if ids.len() == TOGETHER {
                        failed = add(&mut rows, &mut ids);
                    }
                }
            }
        })?;
        failed?;
        add(&mut rows, &mut ids)
    }
}

impl Placement {
    fn new_names(&self) -> Vec<Id> {
        self.new.iter().map(|&row| self.names[row]).collect()
    }

    /// Returns the vectors of the new copies. They are copied unless all rows are new.
    fn new_rows<'r>(&self, rows: Rows<'r, f32>, copied: &'r mut Vec<f32>) -> Result<Rows<'r, f32>, InputError> {
        if self.new.len() == rows.len() {
            return Ok(rows);
        }
        copied.reserve_exact(self.new.len() * rows.dim());
        self.new.iter().for_each(|&row| copied.extend_from_slice(rows.row(row)));
        Ok(Rows::new(copied, rows.dim())?)
    }
}

/// Returns the error with the caller's number of the row.
fn renumbered(error: AddError, number: impl FnOnce(usize) -> usize) -> AddError {
    match error {
        AddError::Input(error) => AddError::Input(error.renumbered(number)),
        AddError::Unassigned { row } => AddError::Unassigned { row: number(row) },
        other => other,
    }
}
