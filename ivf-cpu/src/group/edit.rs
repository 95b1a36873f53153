//! Training, adding, removing and replacing. A change is made in all members, or in none.

use super::{Group, Kind, after};
use crate::wrap::Before;
use ivf_core::ability::{Add, AddWithIds, Remove, Reset, Train, Update, Upsert};
use ivf_core::error::{AddError, EditError, InputError, StoreError, TrainError};
use ivf_core::params::NonFinite;
use ivf_core::{AddOptions, AddReport, AnyRows, Id, IdSelector, Index, Rows, TrainOptions, TrainReport, UpsertReport};
use std::collections::HashSet;
use std::ops::Range;

/// The first member learns from all rows, and the others get its training.
impl Train for Group {
    fn train(&mut self, rows: AnyRows<'_>, options: &TrainOptions<'_>) -> Result<TrainReport, TrainError> {
        if !self.is_empty() {
            return Err(TrainError::NotEmpty { len: self.len() });
        }
        let mut first = self.first().clone_index()?;
        let report = first.train_with(rows, options)?;
        let others = (1..self.members.len()).map(|_| first.clone_index()).collect::<Result<Vec<_>, _>>()?;
        self.members = [first].into_iter().chain(others).collect();
        Ok(report)
    }

    fn training_points(&mut self, options: &TrainOptions<'_>) -> usize {
        self.members[0].as_train().map_or(0, |train| train.training_points(options))
    }

    fn training_memory(&mut self, points: usize, options: &TrainOptions<'_>) -> usize {
        let before = self.memory();
        let first = self.members[0].as_train().map_or(0, |train| train.training_memory(points, options));
        first.saturating_add(before)
    }
}

impl Add for Group {
    fn add(&mut self, rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<AddReport, AddError> {
        if self.kind == Kind::Replicas {
            return self.add_to_all(rows.len(), |replica, quiet| replica.add_with(rows, quiet), options);
        }
        let end = self.next_id.checked_add(rows.len() as u64).filter(|end| *end <= 1 << 63);
        let ids: Vec<Id> = (self.next_id..end.ok_or(AddError::IdsExhausted)?).map(|id| Id(id as i64)).collect();
        self.add_with_ids(rows, &ids, options)
    }
}

impl AddWithIds for Group {
    fn add_with_ids(&mut self, rows: AnyRows<'_>, ids: &[Id], options: &AddOptions<'_>) -> Result<AddReport, AddError> {
        if ids.len() != rows.len() {
            return Err(InputError::IdCount { rows: rows.len(), ids: ids.len() }.into());
        }
        if self.kind == Kind::Replicas {
            let add = |replica: &mut dyn Index, quiet: &AddOptions<'_>| replica.add_with_ids_with(rows, ids, quiet);
            return self.add_to_all(rows.len(), add, options);
        }
        let mut quiet = *options;
        quiet.progress = None;
        let mut done = Vec::new();
        let mut report = AddReport::default();
        for (shard, range) in self.runs(rows.len()) {
            let start = range.start;
            let before = Before::of(&mut *self.members[shard])?;
            let added = self.members[shard].add_with_ids_with(rows.slice(range.clone()), &ids[range.clone()], &quiet);
            match added {
                Ok(added) => {
                    done.push((shard, before));
                    report.added += added.added;
                    report.skipped.extend(added.skipped.iter().map(|row| start + row));
                }
                Err(error) => {
                    self.restore(done)?;
                    return Err(renumbered(error, start));
                }
            }
            if let Some(progress) = options.progress {
                progress.step("add", range.end as u64, rows.len() as u64);
            }
        }
        self.next_id = ids.iter().map(|id| after(*id)).fold(self.next_id, u64::max);
        Ok(report)
    }
}

impl Group {
    /// Returns the rows of an add for each shard that gets some. They fill the shards up to about
    /// the same number of vectors. Without rows, the first shard checks the call.
    fn runs(&self, rows: usize) -> Vec<(usize, Range<usize>)> {
        let wanted = self.len().saturating_add(rows).div_ceil(self.members.len());
        let (mut runs, mut start) = (Vec::new(), 0);
        for (shard, member) in self.members.iter().enumerate() {
            let end = start + wanted.saturating_sub(member.len()).min(rows - start);
            if end > start {
                runs.push((shard, start..end));
            }
            start = end;
        }
        if runs.is_empty() {
            runs.push((0, 0..0));
        }
        runs
    }

    /// Adds the same rows to all replicas.
    fn add_to_all(
        &mut self,
        rows: usize,
        mut add: impl FnMut(&mut dyn Index, &AddOptions<'_>) -> Result<AddReport, AddError>,
        options: &AddOptions<'_>,
    ) -> Result<AddReport, AddError> {
        let mut quiet = *options;
        quiet.progress = None;
        let (mut done, mut report) = (Vec::new(), AddReport::default());
        let total = (rows * self.members.len()) as u64;
        for replica in 0..self.members.len() {
            let before = Before::of(&mut *self.members[replica])?;
            match add(&mut *self.members[replica], &quiet) {
                Ok(added) => report = added,
                Err(error) => {
                    self.restore(done)?;
                    return Err(error);
                }
            }
            done.push((replica, before));
            if let Some(progress) = options.progress {
                progress.step("add", (rows * (replica + 1)) as u64, total);
            }
        }
        Ok(report)
    }

    /// Takes back the vectors that were just added to some members.
    fn restore(&mut self, states: Vec<(usize, Before)>) -> Result<(), StoreError> {
        states.into_iter().try_for_each(|(member, before)| before.restore(&mut self.members[member]))
    }

    /// Changes members. If one of them refuses, all are as they were before.
    fn change<T>(&mut self, change: impl FnOnce(&mut Self) -> Result<T, EditError>) -> Result<T, EditError> {
        let before = self.clones()?;
        change(self).inspect_err(|_| self.members = before)
    }
}

/// Returns an error of a run of rows with the row numbers of the whole call.
fn renumbered(error: AddError, start: usize) -> AddError {
    match error {
        AddError::Input(error) => AddError::Input(error.renumbered(|row| start + row)),
        AddError::Unassigned { row } => AddError::Unassigned { row: start + row },
        other => other,
    }
}

impl Reset for Group {
    fn reset(&mut self) -> Result<(), StoreError> {
        for member in &mut self.members {
            if let Some(reset) = member.as_reset() {
                reset.reset()?;
            }
        }
        self.next_id = 0;
        Ok(())
    }
}

impl Remove for Group {
    fn remove(&mut self, selector: &IdSelector<'_>) -> Result<usize, EditError> {
        let mut removed = 0;
        for member in &mut self.members {
            let of_member = member.remove(selector)?;
            removed = if self.kind == Kind::Shards { removed + of_member } else { of_member };
        }
        Ok(removed)
    }
}

/// Returns some rows, converted, and their ids.
fn chosen(rows: AnyRows<'_>, ids: &[Id], which: &[usize]) -> (Vec<Id>, Vec<f32>) {
    let mut scratch = Vec::new();
    let vectors = rows.to_f32(&mut scratch);
    let some = which.iter().flat_map(|&row| vectors.row(row)).copied().collect();
    (which.iter().map(|&row| ids[row]).collect(), some)
}

/// Checks the rows and ids of an update.
fn check_update(dim: usize, ids: &[Id], rows: AnyRows<'_>) -> Result<(), EditError> {
    if ids.len() != rows.len() {
        return Err(InputError::IdCount { rows: rows.len(), ids: ids.len() }.into());
    }
    rows.check(dim)?;
    let mut seen = HashSet::with_capacity(ids.len());
    match ids.iter().find(|id| !seen.insert(**id)) {
        Some(twice) => Err(EditError::TwiceNamed(*twice)),
        None => Ok(()),
    }
}

impl Update for Group {
    fn update(&mut self, ids: &[Id], rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<(), EditError> {
        if !self.is_trained() {
            return Err(EditError::NotTrained);
        }
        check_update(self.dim(), ids, rows)?;
        if self.kind == Kind::Replicas {
            return self.change(|group| {
                group.members.iter_mut().try_for_each(|replica| replica.update_with(ids, rows, options))
            });
        }
        let owners = self.owners(ids)?;
        if let Some((id, _)) = ids.iter().zip(&owners).find(|(_, owner)| owner.is_none()) {
            return Err(EditError::NoSuchId(*id));
        }
        self.change(|group| {
            for shard in 0..group.members.len() {
                let (of_shard, others): (Vec<usize>, Vec<usize>) =
                    (0..ids.len()).partition(|row| owners[*row] == Some(shard));
                // One entry replaces all of its id, those in later shards too.
                let earlier = others.iter().filter(|row| owners[**row].is_some_and(|owner| owner < shard));
                let earlier: Vec<Id> = earlier.map(|row| ids[*row]).collect();
                if !earlier.is_empty() {
                    group.members[shard].remove(&IdSelector::set(earlier))?;
                }
                if of_shard.is_empty() {
                    continue;
                }
                let (shard_ids, vectors) = chosen(rows, ids, &of_shard);
                let vectors = Rows::new(&vectors, rows.dim()).map_err(InputError::from)?;
                group.members[shard].update_with(&shard_ids, vectors, options).map_err(|error| match error {
                    EditError::Input(error) => EditError::Input(error.renumbered(|row| of_shard[row])),
                    other => other,
                })?;
            }
            Ok(())
        })
    }
}

impl Upsert for Group {
    fn upsert(&mut self, ids: &[Id], rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<UpsertReport, EditError> {
        if !self.is_trained() {
            return Err(EditError::NotTrained);
        }
        check_update(self.dim(), ids, rows)?;
        if self.kind == Kind::Replicas {
            return self.change(|group| {
                let mut report = UpsertReport::default();
                for replica in &mut group.members {
                    report = replica.upsert_with(ids, rows, options)?;
                }
                Ok(report)
            });
        }
        let owners = self.owners(ids)?;
        let (old, new): (Vec<usize>, Vec<usize>) = (0..ids.len()).partition(|row| owners[*row].is_some());
        let ((old_ids, old_rows), (new_ids, new_rows)) = (chosen(rows, ids, &old), chosen(rows, ids, &new));
        let rows_of = |vectors| Rows::<f32>::new(vectors, rows.dim()).map_err(InputError::from);
        let options = options.non_finite(NonFinite::Reject);
        let next_id = self.next_id;
        self.change(|group| {
            group.add_with_ids(rows_of(&new_rows)?.into(), &new_ids, &options)?;
            let updated = group.update(&old_ids, rows_of(&old_rows)?.into(), &options);
            updated.inspect_err(|_| group.next_id = next_id)?;
            Ok(UpsertReport::new(old.len(), new.len()))
        })
    }
}
