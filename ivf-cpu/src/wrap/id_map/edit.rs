//! Adding, removing, replacing and merging vectors by caller-supplied ids.

use super::{IdMap, Kind};
use ivf_core::ability::{Add, AddWithIds, Merge, Remove, Reset, Update, Upsert};
use ivf_core::error::{AddError, EditError, InputError, MergeError, StoreError};
use ivf_core::params::NonFinite;
use ivf_core::{AddOptions, AddReport, AnyRows, Id, IdSelector, Index, Rows, UpsertReport};
use std::any::Any;
use std::collections::HashSet;
use std::sync::Arc;

impl Add for IdMap {
    fn add(&mut self, rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<AddReport, AddError> {
        let end = self.next_id.checked_add(rows.len() as u64).filter(|end| *end <= 1 << 63);
        let ids: Vec<Id> = (self.next_id..end.ok_or(AddError::IdsExhausted)?).map(|id| Id(id as i64)).collect();
        self.add_with_ids(rows, &ids, options)
    }
}

impl AddWithIds for IdMap {
    fn add_with_ids(&mut self, rows: AnyRows<'_>, ids: &[Id], options: &AddOptions<'_>) -> Result<AddReport, AddError> {
        if ids.len() != rows.len() {
            return Err(InputError::IdCount { rows: rows.len(), ids: ids.len() }.into());
        }
        let report = self.inner.add_with(rows, options)?;
        self.note(ids, &report);
        Ok(report)
    }
}

impl Reset for IdMap {
    fn reset(&mut self) -> Result<(), StoreError> {
        if let Some(reset) = self.inner.as_reset() {
            reset.reset()?;
            self.forget();
            self.next_id = 0;
        }
        Ok(())
    }
}

impl Remove for IdMap {
    fn remove(&mut self, selector: &IdSelector<'_>) -> Result<usize, EditError> {
        let numbers: Vec<Id> = match self.numbers_named(selector, self.len()) {
            Some(numbers) => numbers,
            None => {
                let named = self.ids.iter().filter(|(_, id)| selector.contains(*id));
                named.map(|(number, _)| Id(number as i64)).collect()
            }
        };
        let removed = self.inner.remove(&IdSelector::sorted(numbers.clone()))?;
        if self.kind == Kind::Map2 {
            let gone: Vec<Id> = numbers.iter().filter_map(|number| self.id_of(*number)).collect();
            let table = Arc::make_mut(&mut self.table);
            gone.iter().for_each(|id| {
                table.remove(id);
            });
        }
        self.forget_numbers(numbers.iter().map(|number| number.0 as u64));
        if let (true, Some(reset)) = (self.inner.is_empty(), self.inner.as_reset()) {
            // No vector is left: number from 0 again and free the ids.
            reset.reset()?;
            self.forget();
        }
        Ok(removed)
    }
}

impl Update for IdMap {
    fn update(&mut self, ids: &[Id], rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<(), EditError> {
        if ids.len() != rows.len() {
            return Err(InputError::IdCount { rows: rows.len(), ids: ids.len() }.into());
        }
        let known = self.numbers_of(ids);
        let (mut first, mut others) = (Vec::with_capacity(ids.len()), Vec::new());
        for id in ids {
            let numbers = known.get(id).map(Vec::as_slice).unwrap_or_default();
            let (&number, rest) = numbers.split_first().ok_or(EditError::NoSuchId(*id))?;
            first.push(Id(number as i64));
            others.extend(rest.iter().map(|&number| Id(number as i64)));
        }
        let updated = self.inner.update_with(&first, rows, options);
        // An id that occurs twice has the same number twice. Report the caller's id.
        updated.map_err(|error| match error {
            EditError::TwiceNamed(number) => EditError::TwiceNamed(self.id_of(number).unwrap_or(number)),
            other => other,
        })?;
        if !others.is_empty() {
            self.inner.remove(&IdSelector::set(others.iter().copied()))?;
            let table = Arc::make_mut(&mut self.table);
            for id in ids {
                if let Some(numbers) = table.get_mut(id) {
                    numbers.truncate(1);
                }
            }
            self.forget_numbers(others.iter().map(|number| number.0 as u64));
        }
        Ok(())
    }
}

impl Merge for IdMap {
    fn merge_from(&mut self, other: &mut dyn Index, shift: i64, options: &AddOptions<'_>) -> Result<(), MergeError> {
        let other: &mut dyn Any = other;
        let other = other.downcast_mut::<IdMap>().ok_or(MergeError::Incompatible("kind"))?;
        if self.kind != other.kind {
            return Err(MergeError::Incompatible("kind"));
        }
        let shifted = |(number, id): (u64, Id)| {
            let shifted = id.0.checked_add(shift).map(Id).ok_or(MergeError::IdOverflow { id, shift })?;
            Ok((number, shifted))
        };
        let ids = other.ids.iter().map(shifted).collect::<Result<Vec<(u64, Id)>, MergeError>>()?;
        // The merged index assigns the numbers after the last vector of the other index again.
        let start = self.ids.end();
        self.inner.merge_from_with(&mut *other.inner, start as i64, options)?;
        for (number, id) in ids {
            Arc::make_mut(&mut self.ids).skip_to(start + number);
            self.note(&[id], &AddReport::new(1, Vec::new()));
        }
        other.forget();
        other.next_id = 0;
        Ok(())
    }
}

impl Upsert for IdMap {
    fn upsert(&mut self, ids: &[Id], rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<UpsertReport, EditError> {
        if ids.len() != rows.len() {
            return Err(InputError::IdCount { rows: rows.len(), ids: ids.len() }.into());
        }
        rows.check(self.dim())?;
        let mut seen = HashSet::with_capacity(ids.len());
        if let Some(twice) = ids.iter().find(|id| !seen.insert(**id)) {
            return Err(EditError::TwiceNamed(*twice));
        }
        let known = self.numbers_of(ids);
        let (old, new): (Vec<usize>, Vec<usize>) = (0..ids.len()).partition(|&row| known.contains_key(&ids[row]));
        let mut scratch = Vec::new();
        let vectors = rows.to_f32(&mut scratch);
        let some = |chosen: &[usize]| -> (Vec<Id>, Vec<f32>) {
            (
                chosen.iter().map(|&row| ids[row]).collect(),
                chosen.iter().flat_map(|&row| vectors.row(row)).copied().collect(),
            )
        };
        let ((old_ids, old_rows), (new_ids, new_rows)) = (some(&old), some(&new));
        let rows_of = |vectors| Rows::<f32>::new(vectors, rows.dim()).map_err(InputError::from);
        let options = options.non_finite(NonFinite::Reject);
        // Add the new vectors first: they can be removed if the others cannot be replaced.
        let next_id = self.next_id;
        self.add_with_ids(rows_of(&new_rows)?.into(), &new_ids, &options)?;
        if let Err(error) = self.update(&old_ids, rows_of(&old_rows)?.into(), &options) {
            self.remove(&IdSelector::sorted(new_ids))?;
            // The new ids count as never added.
            self.next_id = next_id;
            return Err(error);
        }
        Ok(UpsertReport::new(old.len(), new.len()))
    }
}
