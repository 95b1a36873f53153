//! Removing by selector.

use super::IvfIndex;
use super::entries::Entries;
use ivf_core::error::{EditError, StoreError};
use ivf_core::{IdSelector, ListNo, ListOffset, Location, Remove};

impl Remove for IvfIndex {
    fn remove(&mut self, selector: &IdSelector<'_>) -> Result<usize, EditError> {
        let entries = &mut self.trained.as_mut().ok_or(EditError::NotTrained)?.entries;
        let mut doomed = Vec::new();
        for list in entries.list_numbers() {
            let ids = entries.lists.list(list)?;
            let offsets: Vec<ListOffset> = ids
                .ids()
                .enumerate()
                .filter(|&(_, id)| selector.contains(id))
                .map(|(offset, _)| ListOffset(offset as u32))
                .collect();
            if !offsets.is_empty() {
                doomed.push((list, offsets));
            }
        }
        Ok(entries.remove_at(doomed)?)
    }
}

impl Entries {
    /// Removes entries by place (offsets ascending in each list) and says how many.
    pub(super) fn remove_at(&mut self, doomed: Vec<(ListNo, Vec<ListOffset>)>) -> Result<usize, StoreError> {
        self.writer()?;
        let mut removed = 0;
        for (list, offsets) in doomed {
            let ids: Vec<_> = {
                let entries = self.lists.list(list)?;
                let mut ids = entries.ids().enumerate();
                offsets.iter().filter_map(|o| ids.find(|(i, _)| *i == o.index()).map(|(_, id)| (id, *o))).collect()
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
