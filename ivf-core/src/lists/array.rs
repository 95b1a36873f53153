//! The store in memory: each list has one growing array per plane. Lists of an opened file stay in
//! the file until they are modified.

use super::array_list::{ArrayList, short};
use super::stored::{StoredLists, version};
use super::table::ListTable;
use super::{
    Group, InvertedLists, InvertedListsMut, ListBatch, ListIds, ListRef, Moved, SegmentIds, StoreRow, closing_moves,
};
use crate::bytes::ALIGN;
use crate::error::{DecodeError, StoreError};
use crate::executor::{Executor, map_items};
use crate::id::{Id, ListNo, ListOffset, Location};
use crate::layout::{CodeLayout, Planes};
use crate::node::{NamedArray, Node, StoredNode};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// The store in memory. Each list has its ids and one 64-byte aligned array per plane.
///
/// Consecutive ids are not stored (see [`Ids::Run`](crate::Ids::Run)). Lists of a file stay in the
/// bytes that the file was read into, or in the mapped or opened file, until they are modified. A
/// modification copies them and leaves the original unchanged.
///
/// A clone, or a [snapshot](InvertedLists::snapshot), shares all lists and takes one pointer per
/// 256 lists. A later write to a list, on either side, copies that list first. A list without
/// entries takes no memory. From 262,144 lists on, a list of less than a quarter of a block keeps
/// its codes one after the other, and is packed when it is read.
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
    /// Lists of fewer entries keep their codes in rows.
    short: usize,
    /// The lists that have memory of their own. The others are in `stored`, or empty.
    own: ListTable<ArrayList>,
    stored: Option<StoredLists>,
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
        Self { short: short(nlist, &layout), layout, nlist, own: ListTable::new(), stored: None }
    }

    /// Opens the store in a node that [`InvertedLists::export`] returned. The lists stay in the
    /// node's sections.
    ///
    /// # Errors
    /// [`DecodeError`] if the node is inconsistent or does not match `layout`.
    pub fn read(node: &StoredNode, layout: &CodeLayout) -> Result<Self, DecodeError> {
        let stored = StoredLists::read(node, layout)?;
        let empty = Self::new(stored.nlist(), layout.clone());
        Ok(Self { stored: Some(stored), ..empty })
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
        let copy = |list: &ListNo| ArrayList::copy_of(stored, *list, &self.layout, self.short);
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
        if self.own.get(list.index()).is_some_and(|own| own.len() == 0) {
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
        let own = self.own.iter().filter(|(_, list)| list.len() > 0).map(|(at, _)| ListNo(at as u32));
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
            Place::Own(own) => own.len(),
            Place::Stored(stored) => stored.len(list),
            Place::Empty => 0,
        })
    }

    fn list(&self, list: ListNo) -> Result<ListRef<'_>, StoreError> {
        let own = match self.place(list)? {
            Place::Own(own) if own.len() > 0 => own,
            Place::Stored(stored) => return stored.list(list, &self.layout),
            _ => return Ok(ListRef::default()),
        };
        Ok(ListRef::new([own.segment(&self.layout)?]))
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
            Place::Own(own) => Ok(ListIds::new(0, [SegmentIds::Borrowed(own.ids())]).narrowed(entries)),
            Place::Empty => Ok(ListIds::new(0, []).narrowed(entries)),
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

    fn overhead(&self, entries: usize) -> usize {
        let (lists, layout) = (self.nlist.min(entries), &self.layout);
        let half = layout.block_len() / 2 * layout.code_size();
        if self.short == 0 {
            return lists.saturating_mul(half);
        }
        // Lists in rows have no blocks. Each list has an entry in the table, and each chunk of
        // lists a part of it.
        let blocks = if entries / self.nlist < self.short { 0 } else { half };
        lists.saturating_mul(blocks + ListTable::<ArrayList>::ENTRY) + ListTable::<ArrayList>::table(self.nlist)
    }

    fn export(&self) -> Result<Node<'_>, StoreError> {
        const ZEROS: [u8; ALIGN] = [0; ALIGN];
        let (numbers, is_sparse) = self.exported();
        let (mut lens, mut runs, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        let mut rows = Vec::new();
        let mut planes: Planes<Vec<Cow<'_, [u8]>>> = (0..self.layout.plane_count()).map(|_| Vec::new()).collect();
        for &list in &numbers {
            lens.push(self.list_len(list)? as u64);
            let place = self.place(list)?;
            let run = match &place {
                Place::Own(own) => own.run(),
                Place::Stored(stored) => stored.run(list),
                Place::Empty => None,
            };
            runs.extend(run.map_or([0, 0], |first| [1, first.0]));
            ids.push(match &place {
                Place::Own(own) => Cow::Borrowed(own.listed_bytes()),
                Place::Stored(stored) => stored.listed_ids(list)?.into(),
                Place::Empty => Cow::Borrowed(&[][..]),
            });
            if self.list_len(list)? < self.short {
                rows.push(match &place {
                    Place::Own(own) => Cow::Borrowed(own.rows().unwrap_or_default()),
                    Place::Stored(stored) => stored.rows(list, &self.layout)?,
                    Place::Empty => Cow::Borrowed(&[][..]),
                });
                continue;
            }
            for (p, plane) in planes.iter_mut().enumerate() {
                let blocks: Cow<'_, [u8]> = match &place {
                    Place::Own(own) => own.plane(p),
                    Place::Stored(stored) => stored.plane(list, p, &self.layout)?.into(),
                    Place::Empty => Cow::Borrowed(&[]),
                };
                let zeros = Cow::Borrowed(&ZEROS[..padding(blocks.len())]);
                plane.extend([blocks, zeros]);
            }
        }
        let layout = &self.layout;
        let mut node = Node::new(Self::ROW.tag, version(self.short))
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
        if self.short > 0 {
            node.push(NamedArray::bytes::<u8>("rows", rows));
        }
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
        let (layout, short) = (&self.layout, self.short);
        let numbers: Vec<usize> = batch.groups().map(|group| group.list.index()).collect();
        let lists = self.own.many_mut(numbers.into_iter());
        let jobs: Vec<(&mut Arc<ArrayList>, Group<'_>)> = lists.into_iter().zip(batch.groups()).collect();
        map_items(executor, jobs, |_, (list, group)| Arc::make_mut(list).append(layout, short, &group));
        Ok(())
    }

    fn truncate(&mut self, list: ListNo, len: usize) -> Result<(), StoreError> {
        if len < self.list_len(list)? {
            let (layout, short) = (self.layout.clone(), self.short);
            self.get_mut(list)?.truncate(&layout, short, len);
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
        list.put(&layout, at.offset.index(), id, code);
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
        let (layout, short) = (self.layout.clone(), self.short);
        let own = self.get_mut(list)?;
        let mut scratch = Vec::new();
        let moves = closing_moves(len, offsets)
            .into_iter()
            .map(|(from, to)| {
                let id = own.copy(&layout, from.index(), to.index(), &mut scratch);
                Moved { id, from, to }
            })
            .collect();
        own.truncate(&layout, short, len - offsets.len());
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
        let own = ArrayList::new(&self.layout, self.short, ids, codes);
        self.own.set(list.index(), Some(own));
        self.let_go(list);
        Ok(())
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        *self = Self::new(self.nlist, self.layout.clone());
        Ok(())
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
    fn short_lists_of_many_are_in_rows_and_read_as_blocks() {
        const MANY: usize = 1 << 18;
        let layout = CodeLayout::interleaved(1, 3, 16).of_codec("pq");
        let code = |i: i64| [i as u8, 7, i as u8 ^ 0x55];
        let (mut few, mut many) = (ArrayLists::new(20, layout.clone()), ArrayLists::new(MANY, layout.clone()));
        // Version 0 of the node has only blocks, for any number of lists.
        let mut old = ArrayLists { short: 0, ..many.clone() };
        // The same history on both: lists grow beyond a quarter of a block, and shrink.
        let mut next = 0;
        for (list, count) in
            [(3, 1), (5, 3), (3, 2), (5, 1), (3, 1), (7, 40), (9, 3), (3, 30), (9, 1), (11, 2), (12, 2)]
        {
            let ids: Vec<Id> = (next..next + count).map(|i| Id(i * 3 % 101)).collect();
            let codes: Vec<u8> = (next..next + count).flat_map(code).collect();
            next += count;
            for lists in [&mut few, &mut many, &mut old] {
                let batch = vec![ListNo(list); ids.len()];
                lists.append(&ListBatch::group(&batch, &ids, &codes, 3), &Inline).unwrap();
            }
        }
        for lists in [&mut few, &mut many, &mut old] {
            lists.truncate(ListNo(7), 3).unwrap();
            lists.remove(ListNo(9), &[ListOffset(0), ListOffset(2)]).unwrap();
            lists.remove(ListNo(11), &[ListOffset(0)]).unwrap();
            lists.remove(ListNo(12), &[ListOffset(0)]).unwrap();
            lists.put(Location::new(11, 0), Id(77), &[1, 2, 3]).unwrap();
            lists.replace(ListNo(13), &[Id(1), Id(5)], b"abcdef").unwrap();
        }
        let contents = |lists: &ArrayLists| -> Vec<_> {
            (0..20).map(|list| lists.list(ListNo(list)).unwrap().entries(&layout).collect::<Vec<_>>()).collect()
        };
        let expected = contents(&few);
        assert_eq!(contents(&many), expected);
        let is_rows = [3, 5, 7, 9, 11, 12, 13].map(|list| many.own.get(list).unwrap().rows().is_some());
        assert_eq!(is_rows, [false, false, true, true, true, true, true]);
        // A file has them in rows, too, and gives the same lists to readers and to writers.
        let node = many.export().unwrap().to_stored();
        assert_eq!((node.version, node.array::<u8>("rows").unwrap().len()), (1, (3 + 2 + 1 + 1 + 2) * 3));
        let mut back = ArrayLists::read(&node, &layout).unwrap();
        assert_eq!(contents(&back), expected);
        let part: Vec<_> = back.list_range(ListNo(7), 1..2).unwrap().entries(&layout).collect();
        assert_eq!(part[1], expected[7][1]);
        assert!(back.list_ids(ListNo(7), 1..3).unwrap().iter().eq(expected[7][1..].iter().map(|entry| entry.0)));
        assert!(back.export().unwrap().same(&many.export().unwrap()));
        back.prefetch(&[ListNo(7), ListNo(3)]);
        back.truncate(ListNo(3), 1).unwrap();
        many.truncate(ListNo(3), 1).unwrap();
        assert_eq!(contents(&back), contents(&many));
        assert!(back.export().unwrap().same(&many.export().unwrap()));
        let node = old.export().unwrap().to_stored();
        assert_eq!(node.version, 0);
        let mut old = ArrayLists::read(&node, &layout).unwrap();
        assert_eq!(contents(&old), expected);
        old.truncate(ListNo(3), 1).unwrap();
        assert_eq!(contents(&old), contents(&many));
        assert!(old.export().unwrap().same(&many.export().unwrap()));
    }

    #[test]
    fn lists_of_another_codec_are_refused() {
        let layout = |codec| CodeLayout::rows(1).of_codec(codec);
        let node = |layout| ArrayLists::new(2, layout).export().unwrap().to_stored();
        assert!(ArrayLists::read(&node(layout("pq")), &layout("pq")).is_ok());
        let error = ArrayLists::read(&node(layout("pq")), &layout("sq8")).unwrap_err().to_string();
        assert!(error.contains("of pq") && error.contains("of sq8"), "{error}");
    }
}
