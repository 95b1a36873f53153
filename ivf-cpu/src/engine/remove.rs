//! Removing by selector.

use super::IvfIndex;
use super::entries::Entries;
use ivf_core::error::{EditError, StoreError};
use ivf_core::{DirectMapKind, Id, IdSelector, ListNo, ListOffset, Location, Remove};
use std::collections::BTreeMap;

impl Remove for IvfIndex {
    fn remove(&mut self, selector: &IdSelector<'_>) -> Result<usize, EditError> {
        let entries = &mut self.trained.as_mut().ok_or(EditError::NotTrained)?.entries;
        let places = entries.places(selector, |_, _| ())?;
        Ok(entries.remove_at(places)?)
    }
}

/// Locations of entries: for each list its offsets, ascending.
pub(super) type Places = BTreeMap<ListNo, Vec<ListOffset>>;

impl Entries {
    /// Returns the locations of all entries whose ids are selected, and calls `found` with the id
    /// and the location of each. With a direct map and a selector that can list its ids, nothing is
    /// scanned. Otherwise the locations of an id are found in ascending order.
    pub(super) fn places(
        &self,
        selector: &IdSelector<'_>,
        mut found: impl FnMut(Id, Location),
    ) -> Result<Places, StoreError> {
        let mut places = Places::new();
        if self.map.kind() != DirectMapKind::None
            && let Some(ids) = selector.listed(self.len)
        {
            for id in ids {
                for place in self.map.places(id) {
                    found(id, place);
                    places.entry(place.list).or_default().push(place.offset);
                }
            }
            places.values_mut().for_each(|offsets| offsets.sort_unstable());
            return Ok(places);
        }
        for list in self.list_numbers() {
            let entries = self.lists.list_ids(list, 0..self.lists.list_len(list)?)?;
            for (offset, id) in entries.entries().filter(|&(_, id)| selector.contains(id)) {
                found(id, Location { list, offset });
                places.entry(list).or_default().push(offset);
            }
        }
        Ok(places)
    }

    /// Prepares the lists for a removal, so that an unreadable list makes it fail before it starts.
    pub(super) fn prepare(&mut self, places: &Places) -> Result<(), StoreError> {
        let lists: Vec<ListNo> = places.keys().copied().collect();
        self.writer()?.prepare(&lists)
    }

    /// Removes the entries at some locations and returns their number.
    pub(super) fn remove_at(&mut self, doomed: Places) -> Result<usize, StoreError> {
        self.prepare(&doomed)?;
        let mut removed = 0;
        for (list, offsets) in doomed {
            let mut ids: Vec<(Id, ListOffset)> = Vec::new();
            if let (Some(first), Some(last)) = (offsets.first(), offsets.last())
                && self.map.kind() != DirectMapKind::None
            {
                let entries = self.lists.list_ids(list, first.index()..last.index() + 1)?;
                let mut wanted = offsets.iter().copied().peekable();
                for (start, segment) in entries.placed() {
                    while let Some(offset) = wanted.next_if(|offset| offset.index() < start + segment.len()) {
                        ids.push((segment.get(offset.index() - start), offset));
                    }
                }
            }
            let moves = self.writer()?.remove(list, &offsets)?;
            if self.map.kind() != DirectMapKind::None {
                let map = self.map_mut();
                ids.into_iter().for_each(|(id, offset)| map.remove(id, Location { list, offset }));
                for moved in moves {
                    map.moved(moved.id, Location { list, offset: moved.from }, moved.to);
                }
            }
            removed += offsets.len();
            self.len -= offsets.len();
        }
        Ok(removed)
    }
}
