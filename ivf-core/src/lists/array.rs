//! The store in memory: each list has one growing array per plane. Lists of an opened file stay in
//! the file until they are modified.

use super::stored::{StoredLists, VERSION};
use super::table::ListTable;
use super::{
    Group, InvertedLists, InvertedListsMut, ListBatch, ListIds, ListRef, Moved, PlaneBytes, Segment, SegmentIds,
    StoreRow, closing_moves,
};
use crate::bytes::{ALIGN, AlignedBytes};
use crate::error::{DecodeError, StoreError};
use crate::executor::{Executor, map_items};
use crate::id::{Id, Ids, ListNo, ListOffset, Location};
use crate::layout::{CodeLayout, Planes};
use crate::node::{NamedArray, Node, StoredNode};
use std::borrow::Cow;
use std::mem;
use std::ops::Range;
use std::sync::Arc;

/// The store in memory. Each list has its ids and one 64-byte aligned array per plane.
///
/// Consecutive ids are not stored (see [`Ids::Run`]). Lists of a file stay in the bytes that the
/// file was read into, or in the mapped or opened file, until they are modified. A modification
/// copies them and leaves the original unchanged.
///
/// A clone, or a [snapshot](InvertedLists::snapshot), shares all lists and takes one pointer per
/// 256 lists. A later write to a list, on either side, copies that list first. A list without
/// entries takes no memory.
///
/// ```text
/// own     -      -      list 2     -          modified, in memory of its own
/// stored  list 0 list 1 (list 2)   list 3     in the file
/// ```
///
/// ```
/// use ivf_core::{ArrayLists, CodeLayout, Id, InvertedLists, InvertedListsMut, ListNo};
/// let layout = CodeLayout::rows(1);
/// let mut lists = ArrayLists::new(2, layout.clone());
/// lists.replace(ListNo(1), &[Id(7), Id(8)], b"ab")?;
///
/// // Lists of a file are as in the file until they change.
/// let file = lists.export()?.to_stored();
/// let mut opened = ArrayLists::read(&file, &layout)?;
/// opened.truncate(ListNo(1), 1)?;
/// assert_eq!(opened.list(ListNo(1))?.unpack(&layout), b"a");
/// assert_eq!(ArrayLists::read(&file, &layout)?.list_len(ListNo(1))?, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ArrayLists {
    layout: CodeLayout,
    nlist: usize,
    /// The lists that have memory of their own. The others are in `stored`, or empty.
    own: ListTable<ArrayList>,
    stored: Option<StoredLists>,
}

#[derive(Clone, Debug, Default)]
struct ArrayList {
    ids: IdColumn,
    /// No planes while the list is empty, else one for each plane of the layout.
    planes: Planes<AlignedBytes>,
}

/// The storage of a list.
enum Place<'a> {
    Own(&'a ArrayList),
    Stored(&'a StoredLists),
    Empty,
}

impl ArrayLists {
    /// The registry row of this store, which is the default store.
    pub const ROW: StoreRow = StoreRow::new(
        "array",
        |nlist, layout| {
            if u32::try_from(nlist.saturating_sub(1)).is_err() {
                return Err(StoreError::TooManyLists { nlist });
            }
            Ok(Box::new(Self::new(nlist, layout.clone())))
        },
        |node, layout| Ok(Box::new(Self::read(node, layout)?)),
    )
    .about("lists in memory");

    /// Creates a store of `nlist` empty lists.
    pub fn new(nlist: usize, layout: CodeLayout) -> Self {
        Self { layout, nlist, own: ListTable::new(), stored: None }
    }

    /// Opens the store in a node that [`InvertedLists::export`] returned. The lists stay in the
    /// node's sections.
    ///
    /// # Errors
    /// [`DecodeError`] if the node is inconsistent or does not match `layout`.
    pub fn read(node: &StoredNode, layout: &CodeLayout) -> Result<Self, DecodeError> {
        let stored = StoredLists::read(node, layout)?;
        Ok(Self { layout: layout.clone(), nlist: stored.nlist(), own: ListTable::new(), stored: Some(stored) })
    }

    fn place(&self, list: ListNo) -> Result<Place<'_>, StoreError> {
        if list.index() >= self.nlist {
            return Err(StoreError::NoSuchList { list, nlist: self.nlist });
        }
        Ok(match (self.own.get(list.index()), &self.stored) {
            (Some(own), _) => Place::Own(own),
            (None, Some(stored)) => Place::Stored(stored),
            (None, None) => Place::Empty,
        })
    }

    /// Returns a list for modification, after copying it into memory of its own if needed.
    fn get_mut(&mut self, list: ListNo) -> Result<&mut ArrayList, StoreError> {
        self.own([list])?;
        Ok(self.own.get_mut(list.index()))
    }

    /// Copies stored lists into memory of their own. If the file was read into memory, the first
    /// write copies all lists. Otherwise the whole file would stay in memory for the sake of a few
    /// lists.
    fn own(&mut self, lists: impl IntoIterator<Item = ListNo>) -> Result<(), StoreError> {
        let mut wanted = Vec::new();
        for list in lists {
            if let Place::Stored(_) = self.place(list)? {
                wanted.push(list);
            }
        }
        let Some(stored) = self.stored.as_ref().filter(|_| !wanted.is_empty()) else { return Ok(()) };
        let is_whole = stored.in_memory();
        if is_whole {
            wanted = stored.filled().filter(|list| self.own.get(list.index()).is_none()).collect();
        }
        let copy = |list: &ListNo| ArrayList::copy_of(stored, *list, &self.layout);
        let copies = wanted.iter().map(copy).collect::<Result<Vec<_>, _>>()?;
        for (list, copy) in wanted.into_iter().zip(copies) {
            self.own.set(list.index(), Some(copy));
        }
        if is_whole {
            self.stored = None;
        }
        Ok(())
    }

    /// Releases the memory of a list that became empty.
    fn let_go(&mut self, list: ListNo) {
        if self.own.get(list.index()).is_some_and(|own| own.ids.len() == 0) {
            // If a file has the list, an empty list replaces it. Without it, the list of the file
            // would show again.
            let empty = self.stored.is_some().then(ArrayList::default);
            self.own.set(list.index(), empty);
        }
    }

    /// Returns the lists to export, and whether these are only the non-empty ones. If fewer than
    /// half of the lists have entries, a file stores the numbers of these lists; otherwise it
    /// stores all lists.
    fn exported(&self) -> (Vec<ListNo>, bool) {
        let stored = self.stored.iter().flat_map(StoredLists::filled);
        let stored = stored.filter(|list| self.own.get(list.index()).is_none());
        let own = self.own.iter().filter(|(_, list)| list.ids.len() > 0).map(|(at, _)| ListNo(at as u32));
        let mut filled: Vec<ListNo> = own.chain(stored).collect();
        if filled.len() < self.nlist / 2 {
            filled.sort_unstable();
            return (filled, true);
        }
        ((0..self.nlist).map(|no| ListNo(no as u32)).collect(), false)
    }
}

/// Returns the number of zero bytes that follow a list of `bytes` bytes in a section, so that the
/// next list starts aligned.
fn padding(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGN) - bytes
}

impl InvertedLists for ArrayLists {
    fn tag(&self) -> &str {
        Self::ROW.tag
    }

    fn nlist(&self) -> usize {
        self.nlist
    }

    fn layout(&self) -> &CodeLayout {
        &self.layout
    }

    fn list_len(&self, list: ListNo) -> Result<usize, StoreError> {
        Ok(match self.place(list)? {
            Place::Own(own) => own.ids.len(),
            Place::Stored(stored) => stored.len(list),
            Place::Empty => 0,
        })
    }

    fn list(&self, list: ListNo) -> Result<ListRef<'_>, StoreError> {
        let own = match self.place(list)? {
            Place::Own(own) if own.ids.len() > 0 => own,
            Place::Stored(stored) => return stored.list(list, &self.layout),
            _ => return Ok(ListRef::default()),
        };
        let planes = own.planes.iter().map(|plane| PlaneBytes::Borrowed(plane)).collect();
        Ok(ListRef::new([Segment::new(&self.layout, SegmentIds::Borrowed(own.ids.view()), planes)?]))
    }

    fn list_range(&self, list: ListNo, entries: Range<usize>) -> Result<ListRef<'_>, StoreError> {
        match self.place(list)? {
            Place::Stored(stored) => stored.list_range(list, &self.layout, entries),
            _ => Ok(self.list(list)?.narrowed(&self.layout, entries)),
        }
    }

    fn list_ids(&self, list: ListNo, entries: Range<usize>) -> Result<ListIds<'_>, StoreError> {
        match self.place(list)? {
            Place::Stored(stored) => stored.list_ids(list, entries),
            _ => Ok(self.list(list)?.into_ids().narrowed(entries)),
        }
    }

    fn prefetch(&self, lists: &[ListNo]) {
        for &list in lists {
            if let Ok(Place::Stored(stored)) = self.place(list) {
                stored.prefetch(list, &self.layout);
            }
        }
    }

    fn in_memory(&self) -> bool {
        self.stored.as_ref().is_none_or(StoredLists::in_memory)
    }

    fn memory(&self) -> usize {
        let own = self.own.iter().map(|(_, own)| own.memory()).sum::<usize>();
        self.own.memory() + own + self.stored.as_ref().map_or(0, StoredLists::memory)
    }

    fn export(&self) -> Result<Node<'_>, StoreError> {
        const ZEROS: [u8; ALIGN] = [0; ALIGN];
        let (numbers, is_sparse) = self.exported();
        let (mut lens, mut runs, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        let mut planes: Planes<Vec<Cow<'_, [u8]>>> = (0..self.layout.plane_count()).map(|_| Vec::new()).collect();
        for &list in &numbers {
            lens.push(self.list_len(list)? as u64);
            let place = self.place(list)?;
            let run = match &place {
                Place::Own(own) => own.ids.run(),
                Place::Stored(stored) => stored.run(list),
                Place::Empty => None,
            };
            runs.extend(run.map_or([0, 0], |first| [1, first.0]));
            ids.push(match &place {
                Place::Own(own) => Cow::Borrowed(own.ids.listed_bytes()),
                Place::Stored(stored) => stored.listed_ids(list)?.into(),
                Place::Empty => Cow::Borrowed(&[][..]),
            });
            for (p, plane) in planes.iter_mut().enumerate() {
                let blocks: Cow<'_, [u8]> = match &place {
                    Place::Own(own) => Cow::Borrowed(own.planes.get(p).map_or(&[], |plane| plane)),
                    Place::Stored(stored) => stored.plane(list, p, &self.layout)?.into(),
                    Place::Empty => Cow::Borrowed(&[]),
                };
                let zeros = Cow::Borrowed(&ZEROS[..padding(blocks.len())]);
                plane.extend([blocks, zeros]);
            }
        }
        let layout = &self.layout;
        let mut node = Node::new(Self::ROW.tag, VERSION)
            .with("nlist", self.nlist)
            .with("layout", layout.name())
            .with("code_size", layout.code_size())
            .with("block_len", layout.block_len())
            .with("codec", layout.codec());
        if is_sparse {
            let numbers: Vec<u32> = numbers.iter().map(|list| list.0).collect();
            node.push(NamedArray::owned("numbers", &[numbers.len() as u64], numbers));
        }
        node.push(NamedArray::owned("lens", &[lens.len() as u64], lens));
        node.push(NamedArray::owned("runs", &[runs.len() as u64 / 2, 2], runs));
        node.push(NamedArray::bytes::<Id>("ids", ids));
        for (p, plane) in planes.into_iter().enumerate() {
            node.push(NamedArray::bytes::<u8>(&format!("plane{p}"), plane));
        }
        Ok(node)
    }

    fn snapshot(&self) -> Result<Box<dyn InvertedLists>, StoreError> {
        Ok(Box::new(self.clone()))
    }

    fn writer(&mut self) -> Option<&mut dyn InvertedListsMut> {
        Some(self)
    }
}

impl InvertedListsMut for ArrayLists {
    fn prepare(&mut self, lists: &[ListNo]) -> Result<(), StoreError> {
        let nlist = self.nlist;
        self.own(lists.iter().copied().filter(|list| list.index() < nlist))
    }

    fn append(&mut self, batch: &ListBatch<'_>, executor: &dyn Executor) -> Result<(), StoreError> {
        if batch.code_size() != self.layout.code_size() {
            return Err(StoreError::Layout {
                expected: self.layout.to_string(),
                found: format!("{} bytes a code", batch.code_size()),
            });
        }
        for group in batch.groups() {
            let len = self.list_len(group.list)? + group.len();
            if u32::try_from(len).is_err() {
                return Err(StoreError::ListFull { list: group.list });
            }
        }
        self.own(batch.groups().map(|group| group.list))?;
        let layout = &self.layout;
        let numbers: Vec<usize> = batch.groups().map(|group| group.list.index()).collect();
        let lists = self.own.many_mut(numbers.into_iter());
        let jobs: Vec<(&mut Arc<ArrayList>, Group<'_>)> = lists.into_iter().zip(batch.groups()).collect();
        map_items(executor, jobs, |_, (list, group)| Arc::make_mut(list).append(layout, &group));
        Ok(())
    }

    fn truncate(&mut self, list: ListNo, len: usize) -> Result<(), StoreError> {
        if len < self.list_len(list)? {
            let layout = self.layout.clone();
            self.get_mut(list)?.truncate(&layout, len);
            self.let_go(list);
        }
        Ok(())
    }

    fn put(&mut self, at: Location, id: Id, code: &[u8]) -> Result<(), StoreError> {
        let len = self.list_len(at.list)?;
        if at.offset.index() >= len {
            return Err(StoreError::NoSuchEntry { at, len });
        }
        if code.len() != self.layout.code_size() {
            return Err(StoreError::Segment { len: 1, what: "the code has the wrong length" });
        }
        let layout = self.layout.clone();
        let list = self.get_mut(at.list)?;
        list.ids.set(at.offset.index(), id);
        layout.put(&mut list.planes_mut(), at.offset.index(), code);
        Ok(())
    }

    fn remove(&mut self, list: ListNo, offsets: &[ListOffset]) -> Result<Vec<Moved>, StoreError> {
        let len = self.list_len(list)?;
        if let Some(&offset) = offsets.iter().find(|o| o.index() >= len) {
            return Err(StoreError::NoSuchEntry { at: Location { list, offset }, len });
        }
        if offsets.is_empty() {
            return Ok(Vec::new());
        }
        let layout = self.layout.clone();
        let own = self.get_mut(list)?;
        let mut scratch = Vec::new();
        let moves = closing_moves(len, offsets)
            .into_iter()
            .map(|(from, to)| {
                let id = own.ids.view().get(from.index());
                own.ids.set(to.index(), id);
                layout.copy(&mut own.planes_mut(), from.index(), to.index(), &mut scratch);
                Moved { id, from, to }
            })
            .collect();
        own.truncate(&layout, len - offsets.len());
        self.let_go(list);
        Ok(moves)
    }

    fn replace(&mut self, list: ListNo, ids: &[Id], codes: &[u8]) -> Result<(), StoreError> {
        self.place(list)?;
        if u32::try_from(ids.len()).is_err() {
            return Err(StoreError::ListFull { list });
        }
        if codes.len() != ids.len() * self.layout.code_size() {
            return Err(StoreError::Segment { len: ids.len(), what: "there is not one code per id" });
        }
        let mut own = ArrayList::default();
        own.extend(&self.layout, ids.iter().copied(), |planes, layout| layout.pack(planes, 0, codes));
        self.own.set(list.index(), Some(own));
        self.let_go(list);
        Ok(())
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        *self = Self::new(self.nlist, self.layout.clone());
        Ok(())
    }
}

impl ArrayList {
    /// Copies a list out of a file.
    fn copy_of(stored: &StoredLists, list: ListNo, layout: &CodeLayout) -> Result<Self, StoreError> {
        let entries = stored.list(list, layout)?;
        // The ids were read together with the segment, so that the file is not read twice.
        let Some(segment) = entries.segments().next() else { return Ok(Self::default()) };
        let ids = match stored.run(list) {
            Some(first) => IdColumn::Run { first, len: entries.len() },
            None => IdColumn::of(entries.ids().collect()),
        };
        let plane = |p| AlignedBytes::copy_of(segment.plane(p));
        let mut own = Self { ids, planes: (0..layout.plane_count()).map(plane).collect() };
        // A file may hold arbitrary bytes in these slots.
        own.clear_tail(layout, usize::MAX);
        Ok(own)
    }

    fn memory(&self) -> usize {
        self.ids.memory() + self.planes.iter().map(AlignedBytes::memory).sum::<usize>()
    }

    fn planes_mut(&mut self) -> Planes<&mut [u8]> {
        self.planes.iter_mut().map(|plane| &mut **plane).collect()
    }

    /// Appends ids, and calls `pack` to write their codes.
    fn extend(
        &mut self,
        layout: &CodeLayout,
        ids: impl ExactSizeIterator<Item = Id>,
        pack: impl FnOnce(&mut [&mut [u8]], &CodeLayout),
    ) {
        self.ids.extend(ids);
        while self.planes.len() < layout.plane_count() {
            self.planes.push(AlignedBytes::new());
        }
        for (p, plane) in self.planes.iter_mut().enumerate() {
            plane.resize(layout.plane_bytes(p, self.ids.len()));
        }
        pack(&mut self.planes_mut(), layout);
    }

    fn append(&mut self, layout: &CodeLayout, group: &Group<'_>) {
        let start = self.ids.len();
        self.extend(layout, group.ids(), |planes, layout| {
            if group.len() < PACKED {
                for (slot, code) in (start..).zip(group.codes()) {
                    layout.put(planes, slot, code);
                }
                return;
            }
            // The codes of one list are not contiguous in the batch. They are gathered block by
            // block and then packed.
            let (mut rows, mut slot) = (Vec::new(), start);
            let mut codes = group.codes();
            while codes.len() > 0 {
                let count = (layout.block_len() - slot % layout.block_len()).min(codes.len());
                rows.clear();
                codes.by_ref().take(count).for_each(|code| rows.extend_from_slice(code));
                layout.pack(planes, slot, &rows);
                slot += count;
            }
        });
    }

    fn truncate(&mut self, layout: &CodeLayout, len: usize) {
        let before = self.ids.len();
        if len >= before {
            return;
        }
        self.ids.truncate(len);
        for (p, plane) in self.planes.iter_mut().enumerate() {
            plane.resize(layout.plane_bytes(p, len));
        }
        self.clear_tail(layout, before);
    }

    /// Zeroes the slots from the end of the list up to slot `end`, but not past the last block. The
    /// contract of the layout requires this.
    fn clear_tail(&mut self, layout: &CodeLayout, end: usize) {
        let len = self.ids.len();
        let end = end.min(layout.blocks(len) * layout.block_len());
        if end > len {
            let zeros = vec![0; (end - len) * layout.code_size()];
            layout.pack(&mut self.planes_mut(), len, &zeros);
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
    use crate::executor::Inline;

    fn add(lists: &mut ArrayLists, list: u32, ids: &[Id]) {
        let codes = vec![1; ids.len()];
        lists.append(&ListBatch::group(&vec![ListNo(list); ids.len()], ids, &codes, 1), &Inline).unwrap();
    }

    fn ids(lists: &ArrayLists, list: u32) -> Vec<i64> {
        lists.list(ListNo(list)).unwrap().ids().map(|id| id.0).collect()
    }

    #[test]
    fn ids_that_count_up_are_not_stored() {
        let mut lists = ArrayLists::new(1, CodeLayout::rows(1));
        add(&mut lists, 0, &[Id(5), Id(6)]);
        let two = lists.memory();
        add(&mut lists, 0, &[Id(7)]);
        assert_eq!(lists.memory(), two);
        add(&mut lists, 0, &[Id(-1)]);
        assert!(lists.memory() >= two + 4 * 8);
        assert_eq!(ids(&lists, 0), [5, 6, 7, -1]);
        let mut run = ArrayLists::new(1, CodeLayout::rows(1));
        add(&mut run, 0, &[Id(i64::MAX - 1), Id(i64::MAX), Id(i64::MIN)]);
        assert_eq!(run.list(ListNo(0)).unwrap().ids().last(), Some(Id(i64::MIN)));
    }

    #[test]
    fn a_snapshot_stays_as_it_was_and_empty_lists_take_nothing() {
        let mut lists = ArrayLists::new(1 << 28, CodeLayout::rows(1));
        assert!(lists.memory() < 100);
        for list in [0, 300, 301] {
            add(&mut lists, list, &[Id(1), Id(9), Id(4)]);
        }
        let snapshot = lists.snapshot().unwrap();
        add(&mut lists, 300, &[Id(8)]);
        lists.put(Location::new(0, 1), Id(7), &[0]).unwrap();
        lists.remove(ListNo(301), &[ListOffset(0), ListOffset(1), ListOffset(2)]).unwrap();
        assert_eq!([0, 300, 301].map(|list| ids(&lists, list)), [vec![1, 7, 4], vec![1, 9, 4, 8], vec![]]);
        for list in [0, 300, 301] {
            let held: Vec<i64> = snapshot.list(ListNo(list)).unwrap().ids().map(|id| id.0).collect();
            assert_eq!(held, [1, 9, 4], "{list}");
        }
        // Few of many lists have entries, so the file stores their numbers.
        let node = snapshot.export().unwrap();
        assert_eq!(node.array("numbers").map(|array| array.byte_len()), Some(3 * 4));
        let mut back = ArrayLists::read(&node.to_stored(), &CodeLayout::rows(1)).unwrap();
        assert!(back.export().unwrap().same(&node));
        assert_eq!((ids(&back, 300), ids(&back, 5)), (vec![1, 9, 4], vec![]));
        add(&mut back, 5, &[Id(3)]);
        assert_eq!((ids(&back, 300), ids(&back, 5), back.nlist()), (vec![1, 9, 4], vec![3], 1 << 28));
        back.clear().unwrap();
        assert!(back.memory() < 100);
    }

    #[test]
    fn lists_of_another_codec_are_refused() {
        let layout = |codec| CodeLayout::rows(1).of_codec(codec);
        let node = |layout| ArrayLists::new(2, layout).export().unwrap().to_stored();
        assert!(ArrayLists::read(&node(layout("pq")), &layout("pq")).is_ok());
        let error = ArrayLists::read(&node(layout("pq")), &layout("sq8")).unwrap_err().to_string();
        assert!(error.contains("of pq") && error.contains("of sq8"), "{error}");
    }

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
