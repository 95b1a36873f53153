//! Replacing vectors by id, and adding vectors with new ids.

use super::{IvfIndex, Trained};
use ivf_core::error::{EditError, InputError};
use ivf_core::params::NonFinite;
use ivf_core::{AddOptions, AnyRows, Id, IdSelector, Update, Upsert, UpsertReport};
use std::collections::HashSet;

impl Update for IvfIndex {
    fn update(&mut self, ids: &[Id], rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<(), EditError> {
        self.replace(ids, rows, options, |missing| Err(EditError::NoSuchId(missing)))?;
        Ok(())
    }
}

impl Upsert for IvfIndex {
    fn upsert(&mut self, ids: &[Id], rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<UpsertReport, EditError> {
        let updated = self.replace(ids, rows, options, |_| Ok(()))?;
        Ok(UpsertReport::new(updated, ids.len() - updated))
    }
}

impl IvfIndex {
    /// Replaces all entries of `ids` by new vectors. Calls `missing` for each id that is not in the
    /// index; if it succeeds, the vector is added. Returns the number of ids that were in the
    /// index.
    fn replace(
        &mut self,
        ids: &[Id],
        rows: AnyRows<'_>,
        options: &AddOptions<'_>,
        mut missing: impl FnMut(Id) -> Result<(), EditError>,
    ) -> Result<usize, EditError> {
        let Trained { entries, .. } = self.trained.as_mut().ok_or(EditError::NotTrained)?;
        if ids.len() != rows.len() {
            return Err(InputError::IdCount { rows: rows.len(), ids: ids.len() }.into());
        }
        rows.check(self.dim)?;
        let mut wanted = HashSet::with_capacity(ids.len());
        if let Some(&twice) = ids.iter().find(|id| !wanted.insert(**id)) {
            return Err(EditError::TwiceNamed(twice));
        }
        let mut found = HashSet::with_capacity(ids.len());
        let places = entries.places(&IdSelector::Set(wanted), |id, _| {
            found.insert(id);
        })?;
        let new: Vec<Id> = ids.iter().copied().filter(|id| !found.contains(id)).collect();
        new.iter().try_for_each(|id| missing(*id))?;
        entries.check_ids(new.into_iter())?;

        // Write the new entries before removing the old ones: if the write fails, nothing has
        // changed. The new entries are appended, so they do not move the old ones. The lists of the
        // old entries are prepared first.
        entries.prepare(&places)?;
        let options = options.non_finite(NonFinite::Reject);
        self.add_checked(rows, ids, &options)?;
        let entries = &mut self.trained.as_mut().ok_or(EditError::NotTrained)?.entries;
        entries.remove_at(places)?;
        Ok(found.len())
    }
}
