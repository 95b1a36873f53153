//! What a filter leaves of a list, put together: a scan then costs what is left.

use ivf_core::bytes::AlignedBytes;
use ivf_core::error::StoreError;
use ivf_core::layout::Planes;
use ivf_core::lists::{PlaneBytes, Segment, SegmentIds};
use ivf_core::mask::Mask;
use ivf_core::scanner::Piece;
use ivf_core::{CodeLayout, Id, Ids};

/// So many codes are passed over by a scan in the time in which one is taken out of its block and put into another.
const TAKE_OUT: usize = 48;

/// Entries taken out of a segment, in blocks of their own.
#[derive(Default)]
pub(super) struct Packed {
    ids: Vec<Id>,
    slots: Vec<u32>,
    planes: Planes<AlignedBytes>,
    code: Vec<u8>,
}

/// Whether it pays to take `chosen` of `len` entries out for so many queries.
pub(super) fn pays(chosen: usize, len: usize, queries: usize) -> bool {
    chosen.saturating_mul(TAKE_OUT) <= (len - chosen).saturating_mul(queries)
}

impl Packed {
    /// Takes the entries of the piece that have a bit in `mask` out of their segment.
    pub(super) fn take_out(&mut self, piece: &Piece<'_>, mask: &Mask) {
        let (layout, segment) = (piece.layout(), piece.segment());
        self.slots.clear();
        self.slots.extend(mask.ones(piece.range()).map(|slot| slot as u32));
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

    /// The entries as a segment.
    pub(super) fn segment(&self, layout: &CodeLayout) -> Result<Segment<'_>, StoreError> {
        let planes = self.planes.iter().map(|plane| PlaneBytes::Borrowed(plane)).collect();
        Segment::new(layout, SegmentIds::Borrowed(Ids::Listed(&self.ids)), planes)
    }

    /// Where they stood in the segment they were taken out of.
    pub(super) fn slots(&self) -> &[u32] {
        &self.slots
    }

    /// How many of them stood below `limit`.
    pub(super) fn below(&self, limit: usize) -> usize {
        self.slots.partition_point(|&slot| (slot as usize) < limit)
    }
}
