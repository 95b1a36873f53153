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
        let (mut done, mut report) = (Vec::new(), AddReport::default());
        let runs = self.runs(rows.len());
        let last = runs.len() - 1;
        for (turn, (shard, range)) in runs.into_iter().enumerate() {
            let start = range.start;
            let added = self.add_to(shard, turn == last, &mut done, |shard| {
                shard.add_with_ids_with(rows.slice(range.clone()), &ids[range.clone()], &quiet)
            });
            let added = added.map_err(|error| renumbered(error, start))?;
            report.added += added.added;
            report.skipped.extend(added.skipped.iter().map(|row| start + row));
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
        let last = self.members.len() - 1;
        for replica in 0..=last {
            report = self.add_to(replica, replica == last, &mut done, |index| add(index, &quiet))?;
            if let Some(progress) = options.progress {
                progress.step("add", (rows * (replica + 1)) as u64, total);
            }
        }
        Ok(report)
    }

    /// Adds to one member, and notes its state before in `done`. If that fails, the members in
    /// `done` are as they were before. After the last member nothing can fail, so its state is not
    /// kept.
    fn add_to(
        &mut self,
        member: usize,
        is_last: bool,
        done: &mut Vec<(usize, Before)>,
        add: impl FnOnce(&mut dyn Index) -> Result<AddReport, AddError>,
    ) -> Result<AddReport, AddError> {
        let index = &mut *self.members[member];
        let before = if is_last { Ok(None) } else { Before::of(index).map(Some) };
        let added: Result<(AddReport, Option<Before>), AddError> = match before {
            Ok(before) => add(index).map(|report| (report, before)),
            Err(error) => Err(error.into()),
        };
        match added {
            Ok((report, before)) => {
                done.extend(before.map(|before| (member, before)));
                Ok(report)
            }
            Err(error) => {
                self.restore(std::mem::take(done))?;
                Err(error)
            }
        }
    }

    /// Takes back the vectors that were just added to some members. Returns the first error, after
    /// all members that can be restored are.
    fn restore(&mut self, states: Vec<(usize, Before)>) -> Result<(), StoreError> {
        let mut restored = Ok(());
        for (member, before) in states {
            restored = restored.and(before.restore(&mut self.members[member]));
        }
        restored
    }

    /// Changes members. If one of them refuses, all are as they were before.
    fn change<T>(&mut self, change: impl FnOnce(&mut Self) -> Result<T, EditError>) -> Result<T, EditError> {
        let (members, next_id) = (self.clones()?, self.next_id);
        change(self).inspect_err(|_| (self.members, self.next_id) = (members, next_id))
    }

    /// Removes vectors from one member after the other. If one of them fails, those before it are
    /// as they were, unless their store cannot be copied.
    fn remove_from_each<T, E: From<StoreError>>(
        &mut self,
        mut remove: impl FnMut(&mut dyn Index) -> Result<T, E>,
    ) -> Result<Vec<T>, E> {
        // A member that fails is as it was, so the last one is not copied.
        let others = &self.members[..self.members.len() - 1];
        let copies: Result<Vec<_>, StoreError> = others.iter().map(|member| member.clone_index()).collect();
        let before = match copies {
            Ok(before) => before,
            // Removing needs no copy, and fails half way only if the store does.
            Err(StoreError::NoSnapshot { .. }) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let removed: Result<Vec<T>, E> = self.members.iter_mut().map(|member| remove(&mut **member)).collect();
        removed.inspect_err(|_| self.members.iter_mut().zip(before).for_each(|(member, before)| *member = before))
    }

    /// Replaces the vectors of ids in shards. `owners[i]` is the first shard with `ids[i]`. If that
    /// fails, some shards may be changed.
    fn update_owned(
        &mut self,
        owners: &[usize],
        ids: &[Id],
        rows: AnyRows<'_>,
        options: &AddOptions<'_>,
    ) -> Result<(), EditError> {
        for shard in 0..self.members.len() {
            // One entry replaces all of its id, those in later shards too.
            let earlier = owners.iter().zip(ids).filter(|(owner, _)| **owner < shard);
            let earlier: Vec<Id> = earlier.map(|(_, id)| *id).collect();
            if !earlier.is_empty() {
                self.members[shard].remove(&IdSelector::set(earlier))?;
            }
            let of_shard: Vec<usize> = (0..ids.len()).filter(|row| owners[*row] == shard).collect();
            if of_shard.is_empty() {
                continue;
            }
            let (shard_ids, vectors) = chosen(rows, ids, &of_shard);
            let vectors = Rows::new(&vectors, rows.dim()).map_err(InputError::from)?;
            self.members[shard].update_with(&shard_ids, vectors, options).map_err(|error| match error {
                EditError::Input(error) => EditError::Input(error.renumbered(|row| of_shard[row])),
                other => other,
            })?;
        }
        Ok(())
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
        self.remove_from_each(|member| match member.as_reset() {
            Some(reset) => reset.reset(),
            None => Ok(()),
        })?;
        self.next_id = 0;
        Ok(())
    }
}

impl Remove for Group {
    fn remove(&mut self, selector: &IdSelector<'_>) -> Result<usize, EditError> {
        let removed = self.remove_from_each(|member| member.remove(selector))?;
        Ok(match self.kind {
            Kind::Shards => removed.iter().sum(),
            Kind::Replicas => removed[0],
        })
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
        let owners = ids.iter().zip(self.owners(ids)?);
        let owners = owners.map(|(id, owner)| owner.ok_or(EditError::NoSuchId(*id)));
        let owners = owners.collect::<Result<Vec<usize>, EditError>>()?;
        self.change(|group| group.update_owned(&owners, ids, rows, options))
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
        // Those of the old ids, in the same order.
        let owners: Vec<usize> = owners.into_iter().flatten().collect();
        self.change(|group| {
            group.add_with_ids(rows_of(&new_rows)?.into(), &new_ids, &options)?;
            group.update_owned(&owners, &old_ids, rows_of(&old_rows)?.into(), &options)?;
            Ok(UpsertReport::new(old.len(), new.len()))
        })
    }
}
