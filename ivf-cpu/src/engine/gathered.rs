//! Gathering the selected entries of a list, so that a scan costs only as much as they do.

use ivf_core::bytes::AlignedBytes;
use ivf_core::error::StoreError;
use ivf_core::layout::Planes;
use ivf_core::lists::{PlaneBytes, Segment, SegmentIds};
use ivf_core::mask::Mask;
use ivf_core::scanner::ScanRange;
use ivf_core::{CodeLayout, Id, Ids};

/// Cost of copying one code from its block into another, measured in codes scanned.
const TAKE_OUT: usize = 48;

/// Entries copied from a segment into blocks of their own.
#[derive(Default)]
pub(super) struct Gathered {
    ids: Vec<Id>,
    slots: Vec<u32>,
    planes: Planes<AlignedBytes>,
    code: Vec<u8>,
}

/// Returns whether copying `chosen` of `len` entries is cheaper than scanning all of them for this
/// many queries.
pub(super) fn pays(chosen: usize, len: usize, queries: usize) -> bool {
    chosen.saturating_mul(TAKE_OUT) <= (len - chosen).saturating_mul(queries)
}

impl Gathered {
    /// Copies the entries of the range whose bit in `mask` is set.
    pub(super) fn take_out(&mut self, scan_range: &ScanRange<'_>, mask: &Mask) {
        let (layout, segment) = (scan_range.layout(), scan_range.segment());
        self.slots.clear();
        self.slots.extend(mask.ones(scan_range.range()).map(|slot| slot as u32));
        self.ids.clear();
        self.ids.extend(self.slots.iter().map(|&slot| segment.ids().get(slot as usize)));
        while self.planes.len() < layout.plane_count() {
            self.planes.push(AlignedBytes::new());
        }
        for (p, plane) in self.planes.iter_mut().enumerate() {
            plane.resize(layout.plane_bytes(p, self.slots.len()));
        }
        let from: Planes<&[u8]> = (0..layout.plane_count()).map(|p| segment.plane(p)).collect();
        let mut to: Planes<&mut [u8]> = self.planes.iter_mut().map(|plane| &mut **plane).collect();
        for (place, &slot) in self.slots.iter().enumerate() {
            layout.copy_between(&from, slot as usize, &mut to, place, &mut self.code);
        }
    }

    /// Returns the gathered entries as a segment.
    pub(super) fn segment(&self, layout: &CodeLayout) -> Result<Segment<'_>, StoreError> {
        let planes = self.planes.iter().map(|plane| PlaneBytes::Borrowed(plane)).collect();
        Segment::new(layout, SegmentIds::Borrowed(Ids::Listed(&self.ids)), planes)
    }

    /// Returns the indices of the gathered entries in their original segment, ascending.
    pub(super) fn slots(&self) -> &[u32] {
        &self.slots
    }

    /// Returns the number of gathered entries whose original index is below `limit`.
    pub(super) fn below(&self, limit: usize) -> usize {
        self.slots.partition_point(|&slot| (slot as usize) < limit)
    }
}
