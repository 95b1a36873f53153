//! One list in memory: its ids and its codes.

use super::stored::StoredLists;
use super::{Group, PlaneBytes, Segment, SegmentIds};
use crate::bytes::AlignedBytes;
use crate::error::StoreError;
use crate::id::{Id, Ids, ListNo};
use crate::layout::{CodeLayout, Planes};
use std::borrow::Cow;
use std::mem;

/// Number of lists of a store from which on its short lists keep their codes in rows.
const SHORT_FROM: usize = 1 << 18;

/// Returns the number of entries below which a list is short, in a store of `nlist` lists. A short
/// list keeps its codes one after the other. It is packed into blocks when it is read.
///
/// In a store of this many lists, most lists have few entries. A block for each of them would take
/// most of the memory: 4 KiB for one vector of 32 floats. In a store of fewer lists, packing would
/// cost more than it saves.
pub(super) fn short(nlist: usize, layout: &CodeLayout) -> usize {
    if nlist < SHORT_FROM { 0 } else { layout.block_len() / 4 }
}

/// Packs the codes of a short list into the planes of a segment.
pub(super) fn packed(layout: &CodeLayout, codes: &[u8], len: usize) -> Planes<PlaneBytes<'static>> {
    blocks(layout, codes, len).into_iter().map(|plane| PlaneBytes::Shared(plane.into())).collect()
}

/// Packs codes into the blocks of each plane.
fn blocks(layout: &CodeLayout, codes: &[u8], len: usize) -> Planes<AlignedBytes> {
    let plane = |p| AlignedBytes::zeroed(layout.plane_bytes(p, len));
    let mut planes: Planes<AlignedBytes> = (0..layout.plane_count()).map(plane).collect();
    if len > 0 {
        layout.pack(&mut views(&mut planes), 0, codes);
    }
    planes
}

fn views(planes: &mut Planes<AlignedBytes>) -> Planes<&mut [u8]> {
    planes.iter_mut().map(|plane| &mut **plane).collect()
}

/// A list in memory.
#[derive(Clone, Debug, Default)]
pub(super) struct ArrayList {
    ids: IdColumn,
    codes: Codes,
}

/// The codes of a list.
#[derive(Clone, Debug)]
enum Codes {
    /// The codes of an empty or a short list, one after the other.
    Rows(Vec<u8>),
    /// The blocks in each plane of the layout.
    Blocks(Box<Planes<AlignedBytes>>),
}

impl Default for Codes {
    fn default() -> Self {
        Self::Rows(Vec::new())
    }
}

impl ArrayList {
    /// Creates a list of contiguous codes.
    pub(super) fn new(layout: &CodeLayout, short: usize, ids: &[Id], codes: &[u8]) -> Self {
        let mut column = IdColumn::default();
        column.extend(ids.iter().copied());
        let codes = if ids.len() < short {
            Codes::Rows(codes.to_vec())
        } else {
            Codes::Blocks(Box::new(blocks(layout, codes, ids.len())))
        };
        Self { ids: column, codes }
    }

    /// Copies a list out of a file.
    pub(super) fn copy_of(
        stored: &StoredLists,
        list: ListNo,
        layout: &CodeLayout,
        short: usize,
    ) -> Result<Self, StoreError> {
        let entries = stored.list(list, layout)?;
        // The ids were read together with the segment, so that the file is not read twice.
        let Some(segment) = entries.segments().next() else { return Ok(Self::default()) };
        let ids = match stored.run(list) {
            Some(first) => IdColumn::Run { first, len: entries.len() },
            None => IdColumn::of(entries.ids().collect()),
        };
        let plane = |p| AlignedBytes::copy_of(segment.plane(p));
        let mut own = Self { ids, codes: Codes::Blocks(Box::new((0..layout.plane_count()).map(plane).collect())) };
        // A file may hold arbitrary bytes in these slots.
        own.clear_tail(layout, usize::MAX);
        own.settle(layout, short);
        Ok(own)
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn ids(&self) -> Ids<'_> {
        self.ids.view()
    }

    /// Returns the first of consecutive ids. Returns `None` for other ids and for an empty list.
    pub(super) fn run(&self) -> Option<Id> {
        self.ids.run()
    }

    /// Returns the bytes of ids that are not consecutive, or an empty slice.
    pub(super) fn listed_bytes(&self) -> &[u8] {
        self.ids.listed_bytes()
    }

    /// Returns the list as a segment.
    pub(super) fn segment(&self, layout: &CodeLayout) -> Result<Segment<'_>, StoreError> {
        let planes = match &self.codes {
            Codes::Rows(rows) => packed(layout, rows, self.len()),
            Codes::Blocks(planes) => planes.iter().map(|plane| PlaneBytes::Borrowed(plane)).collect(),
        };
        Segment::new(layout, SegmentIds::Borrowed(self.ids.view()), planes)
    }

    /// Returns the codes of a short list, or `None` for a list in blocks.
    pub(super) fn rows(&self) -> Option<&[u8]> {
        match &self.codes {
            Codes::Rows(rows) => Some(rows),
            Codes::Blocks(_) => None,
        }
    }

    /// Returns the blocks in plane `p`. A list in rows has none.
    pub(super) fn plane(&self, p: usize) -> Cow<'_, [u8]> {
        match &self.codes {
            Codes::Rows(_) => Cow::Borrowed(&[]),
            Codes::Blocks(planes) => Cow::Borrowed(&planes[p]),
        }
    }

    pub(super) fn memory(&self) -> usize {
        let codes = match &self.codes {
            Codes::Rows(rows) => rows.capacity(),
            Codes::Blocks(planes) => {
                size_of::<Planes<AlignedBytes>>() + planes.iter().map(AlignedBytes::memory).sum::<usize>()
            }
        };
        self.ids.memory() + codes
    }

    /// Replaces an entry.
    pub(super) fn put(&mut self, layout: &CodeLayout, slot: usize, id: Id, code: &[u8]) {
        self.ids.set(slot, id);
        match &mut self.codes {
            Codes::Rows(rows) => rows[slot * code.len()..][..code.len()].copy_from_slice(code),
            Codes::Blocks(planes) => layout.put(&mut views(planes), slot, code),
        }
    }

    /// Copies the entry `from` to the entry `to`. Returns its id.
    pub(super) fn copy(&mut self, layout: &CodeLayout, from: usize, to: usize, scratch: &mut Vec<u8>) -> Id {
        let (id, size) = (self.ids.view().get(from), layout.code_size());
        self.ids.set(to, id);
        match &mut self.codes {
            Codes::Rows(rows) => rows.copy_within(from * size..(from + 1) * size, to * size),
            Codes::Blocks(planes) => layout.copy(&mut views(planes), from, to, scratch),
        }
        id
    }

    pub(super) fn append(&mut self, layout: &CodeLayout, short: usize, group: &Group<'_>) {
        let start = self.ids.len();
        let len = start + group.len();
        self.ids.extend(group.ids());
        if let Codes::Rows(rows) = &mut self.codes {
            if len < short {
                rows.reserve_exact(group.len() * layout.code_size());
                group.codes().for_each(|code| rows.extend_from_slice(code));
                return;
            }
            self.codes = Codes::Blocks(Box::new(blocks(layout, rows, start)));
        }
        let Codes::Blocks(planes) = &mut self.codes else { unreachable!("rows became blocks above") };
        for (p, plane) in planes.iter_mut().enumerate() {
            plane.resize(layout.plane_bytes(p, len));
        }
        let mut planes = views(planes);
        if group.len() < PACKED {
            for (slot, code) in (start..).zip(group.codes()) {
                layout.put(&mut planes, slot, code);
            }
            return;
        }
        // The codes of one list are not contiguous in the batch. They are gathered block by block
        // and then packed.
        let (mut rows, mut slot) = (Vec::new(), start);
        let mut codes = group.codes();
        while codes.len() > 0 {
            let count = (layout.block_len() - slot % layout.block_len()).min(codes.len());
            rows.clear();
            codes.by_ref().take(count).for_each(|code| rows.extend_from_slice(code));
            layout.pack(&mut planes, slot, &rows);
            slot += count;
        }
    }

    pub(super) fn truncate(&mut self, layout: &CodeLayout, short: usize, len: usize) {
        let before = self.ids.len();
        if len >= before {
            return;
        }
        self.ids.truncate(len);
        match &mut self.codes {
            Codes::Rows(rows) => rows.truncate(len * layout.code_size()),
            Codes::Blocks(planes) => {
                for (p, plane) in planes.iter_mut().enumerate() {
                    plane.resize(layout.plane_bytes(p, len));
                }
            }
        }
        self.clear_tail(layout, before);
        self.settle(layout, short);
    }

    /// Unpacks the blocks of a list that is short.
    fn settle(&mut self, layout: &CodeLayout, short: usize) {
        if self.len() >= short {
            return;
        }
        if let Codes::Blocks(planes) = &self.codes {
            let mut rows = vec![0; self.len() * layout.code_size()];
            let views: Planes<&[u8]> = planes.iter().map(|plane| &**plane).collect();
            layout.unpack(&views, 0, &mut rows);
            drop(views);
            self.codes = Codes::Rows(rows);
        }
    }

    /// Zeroes the slots from the end of the list up to slot `end`, but not past the last block. The
    /// contract of the layout requires this.
    fn clear_tail(&mut self, layout: &CodeLayout, end: usize) {
        let len = self.ids.len();
        let end = end.min(layout.blocks(len) * layout.block_len());
        if let Codes::Blocks(planes) = &mut self.codes
            && end > len
        {
            let zeros = vec![0; (end - len) * layout.code_size()];
            layout.pack(&mut views(planes), len, &zeros);
        }
    }
}

/// Minimum number of codes for which packing whole blocks pays; fewer codes are written one by one.
const PACKED: usize = 4;

/// The ids of a list. Consecutive ids are not stored.
#[derive(Clone, Debug)]
enum IdColumn {
    Run {
        first: Id,
        len: usize,
    },
    /// `ascending` is true if the ids are known to be sorted, so that a range of ids is found by
    /// bisection.
    Listed {
        ids: Vec<Id>,
        ascending: bool,
    },
}

impl Default for IdColumn {
    fn default() -> Self {
        Self::Run { first: Id(0), len: 0 }
    }
}

impl IdColumn {
    fn of(ids: Vec<Id>) -> Self {
        let ascending = ids.is_sorted();
        if ids.is_empty() { Self::default() } else { Self::Listed { ids, ascending } }
    }

    fn view(&self) -> Ids<'_> {
        match self {
            Self::Run { first, len } => Ids::Run { first: *first, len: *len },
            Self::Listed { ids, ascending: true } => Ids::Ascending(ids),
            Self::Listed { ids, ascending: false } => Ids::Listed(ids),
        }
    }

    fn len(&self) -> usize {
        self.view().len()
    }

    fn memory(&self) -> usize {
        match self {
            Self::Run { .. } => 0,
            Self::Listed { ids, .. } => ids.capacity() * size_of::<Id>(),
        }
    }

    /// Returns the first of consecutive ids. Returns `None` for other ids and for an empty list.
    fn run(&self) -> Option<Id> {
        match self {
            Self::Run { first, len } if *len > 0 => Some(*first),
            _ => None,
        }
    }

    /// Returns the bytes of ids that are not consecutive, or an empty slice.
    fn listed_bytes(&self) -> &[u8] {
        match self {
            Self::Run { .. } => &[],
            Self::Listed { ids, .. } => bytemuck::cast_slice(ids),
        }
    }

    fn extend(&mut self, mut new: impl ExactSizeIterator<Item = Id>) {
        while let Some(id) = new.next() {
            match self {
                Self::Run { first, len } if *len == 0 => (*first, *len) = (id, 1),
                Self::Run { first, len } if first.0.checked_add(*len as i64) == Some(id.0) => *len += 1,
                _ => {
                    let (ids, ascending) = self.listed();
                    let (needed, capacity) = (ids.len() + 1 + new.len(), ids.capacity());
                    if needed > capacity {
                        // Grow by half, as the planes do.
                        ids.reserve_exact(needed.max(capacity + capacity / 2) - ids.len());
                    }
                    for id in std::iter::once(id).chain(new) {
                        *ascending &= ids.last().is_none_or(|last| *last <= id);
                        ids.push(id);
                    }
                    return;
                }
            }
        }
    }

    fn set(&mut self, i: usize, id: Id) {
        if self.view().get(i) != id {
            let (ids, ascending) = self.listed();
            ids[i] = id;
            *ascending &= ids[i.saturating_sub(1)..ids.len().min(i + 2)].is_sorted();
        }
    }

    fn truncate(&mut self, to: usize) {
        match self {
            Self::Run { len, .. } => *len = to,
            Self::Listed { ids, .. } => ids.truncate(to),
        }
        if to == 0 {
            *self = Self::default();
        }
    }

    /// Returns the ids as a vector, after converting a run to one, and whether they are sorted.
    fn listed(&mut self) -> (&mut Vec<Id>, &mut bool) {
        if let Self::Run { .. } = self {
            let column = mem::take(self);
            *self = Self::Listed { ids: column.view().iter().collect(), ascending: true };
        }
        match self {
            Self::Listed { ids, ascending } => (ids, ascending),
            Self::Run { .. } => unreachable!("the run was converted above"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_in_order_are_known_to_be() {
        let mut column = IdColumn::default();
        let is_ascending = |column: &IdColumn| matches!(column.view(), Ids::Ascending(_));
        column.extend([3, 5, 5, 9].into_iter().map(Id).collect::<Vec<_>>().into_iter());
        assert!(is_ascending(&column));
        column.set(1, Id(4));
        assert!(is_ascending(&column));
        column.truncate(3);
        column.set(2, Id(1));
        assert!(!is_ascending(&column));
        assert!(is_ascending(&IdColumn::of(vec![Id(1), Id(1)])) && !is_ascending(&IdColumn::of(vec![Id(2), Id(1)])));
    }
}
