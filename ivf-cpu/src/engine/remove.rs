//! Removing by selector.

use super::IvfIndex;
use super::entries::Entries;
use ivf_core::error::{EditError, StoreError};
use ivf_core::{DirectMapKind, Id, IdSelector, ListNo, ListOffset, Location, Remove};
use std::collections::{BTreeMap, HashSet};

impl Remove for IvfIndex {
    fn remove(&mut self, selector: &IdSelector<'_>) -> Result<usize, EditError> {
        let entries = &mut self.trained.as_mut().ok_or(EditError::NotTrained)?.entries;
        let (places, _) = entries.places(selector)?;
        Ok(entries.remove_at(places)?)
    }
}

/// Entries of lists, by place: for each list its offsets, ascending.
pub(super) type Places = BTreeMap<ListNo, Vec<ListOffset>>;

impl Entries {
    /// The places of all entries whose ids are selected, and their ids. With a direct map, and a selector that can list its ids,
    /// nothing is scanned.
    pub(super) fn places(&self, selector: &IdSelector<'_>) -> Result<(Places, HashSet<Id>), StoreError> {
        let (mut places, mut found) = (Places::new(), HashSet::new());
        if self.map.kind() != DirectMapKind::None
            && let Some(ids) = selector.listed(self.len)
        {
            for id in ids {
                for place in self.map.places(id) {
                    found.insert(id);
                    places.entry(place.list).or_default().push(place.offset);
                }
            }
            places.values_mut().for_each(|offsets| offsets.sort_unstable());
            return Ok((places, found));
        }
        for list in self.list_numbers() {
            let entries = self.lists.list(list)?;
            for (offset, id) in entries.ids().enumerate().filter(|&(_, id)| selector.contains(id)) {
                found.insert(id);
                places.entry(list).or_default().push(ListOffset(offset as u32));
            }
        }
        Ok((places, found))
    }

    /// Removes entries by place and says how many.
    pub(super) fn remove_at(&mut self, doomed: Places) -> Result<usize, StoreError> {
        self.writer()?;
        let mut removed = 0;
        for (list, offsets) in doomed {
            let ids: Vec<(Id, ListOffset)> = {
                let entries = self.lists.list(list)?;
                offsets.iter().filter_map(|&offset| Some((entries.id(offset)?, offset))).collect()
            };
            let moves = self.writer()?.remove(list, &offsets)?;
            ids.into_iter().for_each(|(id, offset)| self.map.remove(id, Location { list, offset }));
            for moved in moves {
                self.map.moved(moved.id, Location { list, offset: moved.from }, moved.to);
            }
            removed += offsets.len();
            self.len -= offsets.len();
        }
        Ok(removed)
    }
}
