//! Replacing vectors by id.

use super::{IvfIndex, Trained};
use ivf_core::error::{EditError, InputError};
use ivf_core::params::NonFinite;
use ivf_core::{AddOptions, AnyRows, Id, IdSelector, Update};
use std::collections::HashSet;

impl Update for IvfIndex {
    fn update(&mut self, ids: &[Id], rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<(), EditError> {
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
        let places = entries.places(&IdSelector::Set(wanted), |id| {
            found.insert(id);
        })?;
        if let Some(&missing) = ids.iter().find(|id| !found.contains(id)) {
            return Err(EditError::NoSuchId(missing));
        }

        // The new entries come first: if they cannot be written, nothing has changed. They stand behind the old ones, and so
        // do not move those. The lists of the old ones are at hand before that.
        entries.prepare(&places)?;
        let options = options.non_finite(NonFinite::Reject);
        self.add_checked(rows, ids, &options)?;
        let entries = &mut self.trained.as_mut().ok_or(EditError::NotTrained)?.entries;
        entries.remove_at(places)?;
        Ok(())
    }
}
