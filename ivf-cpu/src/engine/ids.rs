//! Passing through all ids.

use super::{IvfIndex, Trained};
use ivf_core::error::StoreError;
use ivf_core::{Id, ScanIds};

impl ScanIds for IvfIndex {
    fn scan_ids(&self, found: &mut dyn FnMut(Id)) -> Result<(), StoreError> {
        let Some(Trained { entries, .. }) = &self.trained else { return Ok(()) };
        entries.list_numbers().try_for_each(|list| {
            entries.lists.list(list)?.ids().for_each(&mut *found);
            Ok(())
        })
    }
}
