//! Replacing vectors by id.

use super::{IvfIndex, Trained};
use ivf_core::error::{EditError, InputError};
use ivf_core::{AddOptions, AnyRows, DirectMapKind, Id, IdSelector, ListNo, ListOffset, Update};
use std::collections::{BTreeMap, HashSet};

impl Update for IvfIndex {
    fn update(&mut self, ids: &[Id], rows: AnyRows<'_>) -> Result<(), EditError> {
        let Trained { entries, .. } = self.trained.as_ref().ok_or(EditError::NotTrained)?;
        if ids.len() != rows.len() {
            return Err(InputError::IdCount { rows: rows.len(), ids: ids.len() }.into());
        }
        if rows.dim() != self.dim {
            return Err(InputError::Dim { expected: self.dim, found: rows.dim() }.into());
        }
        if let Some(row) = rows.first_non_finite() {
            return Err(InputError::NonFinite { row }.into());
        }
        let mut wanted = HashSet::with_capacity(ids.len());
        if let Some(&twice) = ids.iter().find(|id| !wanted.insert(**id)) {
            return Err(EditError::TwiceNamed(twice));
        }
        let mut places: BTreeMap<ListNo, Vec<ListOffset>> = BTreeMap::new();
        let mut found = HashSet::with_capacity(ids.len());
        if entries.map.kind() == DirectMapKind::None {
            let wanted = IdSelector::Set(wanted);
            for list in entries.list_numbers() {
                for (offset, id) in entries.lists.list(list)?.ids().enumerate().filter(|(_, id)| wanted.contains(*id)) {
                    found.insert(id);
                    places.entry(list).or_default().push(ListOffset(offset as u32));
                }
            }
        } else {
            for &id in ids {
                for place in entries.map.places(id) {
                    found.insert(id);
                    places.entry(place.list).or_default().push(place.offset);
                }
            }
            places.values_mut().for_each(|offsets| offsets.sort_unstable());
        }
        if let Some(&missing) = ids.iter().find(|id| !found.contains(id)) {
            return Err(EditError::NoSuchId(missing));
        }

        // The new entries come first: if they cannot be written, nothing has changed. They stand behind the old ones, and so
        // do not move those.
        self.add_checked(rows, ids, &AddOptions::new())?;
        let entries = &mut self.trained.as_mut().ok_or(EditError::NotTrained)?.entries;
        entries.remove_at(places.into_iter().collect())?;
        Ok(())
    }
}
