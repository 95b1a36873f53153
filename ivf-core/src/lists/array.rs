//! Lists in memory, each in one growing array a plane; those of a file stay where they are until they are written to.

use super::stored::StoredLists;
use super::{
    Group, InvertedLists, InvertedListsMut, ListBatch, ListRef, Moved, PlaneBytes, Segment, SegmentIds, closing_moves,
};
use crate::bytes::{ALIGN, AlignedBytes};
use crate::error::{DecodeError, StoreError};
use crate::executor::{Executor, map_items};
use crate::id::{Id, Ids, ListNo, ListOffset, Location};
use crate::layout::{CodeLayout, Planes};
use crate::node::{NamedArray, Node, StoredNode};
use crate::registry::StoreRow;
use std::borrow::Cow;
use std::mem;

/// The store in memory: for each list its ids, and one 64-byte aligned array a plane.
///
/// Ids that count up by one are not stored (see [`Ids::Run`]). Lists that were read stay in the bytes they were read into, or in the
/// mapped or opened file, until something is written to them: then they are copied, and what they came from is as it was.
///
/// ```text
/// own     -      -      list 2     -          written to
/// stored  list 0 list 1 (list 2)   list 3     where the file has them
/// ```
#[derive(Clone, Debug)]
pub struct ArrayLists {
    layout: CodeLayout,
    /// The lists that lie in memory of their own: all of them, unless `stored` has the others. (Boxed: a list that a file has takes a
    /// pointer here.)
    own: Vec<Option<Box<ArrayList>>>,
    stored: Option<StoredLists>,
}

#[derive(Clone, Debug, Default)]
struct ArrayList {
    ids: IdColumn,
    planes: Planes<AlignedBytes>,
}

/// Of an exported node.
pub(super) const META_VERSION: u16 = 0;

/// Meta of an exported node: the shape of the lists, checked against the codec's layout by the reader.
#[derive(PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Meta {
    pub(super) nlist: u64,
    pub(super) layout: String,
    pub(super) code_size: u64,
    pub(super) block_len: u64,
}

impl Meta {
    pub(super) fn new(nlist: u64, layout: &CodeLayout) -> Self {
        let (code_size, block_len) = (layout.code_size() as u64, layout.block_len() as u64);
        Self { nlist, layout: layout.name().to_owned(), code_size, block_len }
    }
}

impl ArrayLists {
    /// The row of this store, the default one.
    pub const ROW: StoreRow = StoreRow::new(
        "array",
        "lists in memory",
        |nlist, layout| Ok(Box::new(Self::new(nlist, layout.clone()))),
        |node, layout| Ok(Box::new(Self::read(node, layout)?)),
    );

    /// `nlist` empty lists.
    pub fn new(nlist: usize, layout: CodeLayout) -> Self {
        let empty = ArrayList {
            ids: IdColumn::default(),
            planes: (0..layout.plane_count()).map(|_| AlignedBytes::new()).collect(),
        };
        Self { own: vec![Some(Box::new(empty)); nlist], stored: None, layout }
    }

    /// The store that a node exported by [`InvertedLists::export`] holds. The lists stay in the node's sections.
    ///
    /// # Errors
    /// [`DecodeError`] for whatever does not fit together.
    pub fn read(node: &StoredNode, layout: &CodeLayout) -> Result<Self, DecodeError> {
        let stored = StoredLists::read(node, layout)?;
        Ok(Self { layout: layout.clone(), own: vec![None; stored.nlist()], stored: Some(stored) })
    }

    /// The list in memory of its own; `None` if the file has it.
    fn get(&self, list: ListNo) -> Result<Option<&ArrayList>, StoreError> {
        let own = self.own.get(list.index()).ok_or(StoreError::NoSuchList { list, nlist: self.own.len() })?;
        Ok(own.as_deref())
    }

    /// The lists of the file.
    ///
    /// # Panics
    /// If there is no file: then every list is in memory of its own.
    fn stored(&self) -> &StoredLists {
        self.stored.as_ref().expect("lists that are not the store's own are a file's")
    }

    /// The list, in memory of its own from now on.
    fn get_mut(&mut self, list: ListNo) -> Result<&mut ArrayList, StoreError> {
        self.own([list])?;
        Ok(self.own[list.index()].as_deref_mut().expect("its own just above"))
    }

    /// Copies lists that the file has into memory of their own. Where the file was read into memory, all of them are copied at the
    /// first write: it would stay there for the sake of a few.
    fn own(&mut self, lists: impl IntoIterator<Item = ListNo>) -> Result<(), StoreError> {
        let mut wanted = Vec::new();
        for list in lists {
            if self.get(list)?.is_none() {
                wanted.push(list);
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        if self.stored().in_memory() {
            let numbers = (0..self.own.len()).map(|no| ListNo(no as u32));
            wanted = numbers.filter(|list| self.own[list.index()].is_none()).collect();
        }
        let copy = |list: &ListNo| ArrayList::copy_of(self.stored(), *list, &self.layout);
        let copies = wanted.iter().map(copy).collect::<Result<Vec<_>, _>>()?;
        for (list, copy) in wanted.into_iter().zip(copies) {
            self.own[list.index()] = Some(Box::new(copy));
        }
        if self.own.iter().all(Option::is_some) {
            self.stored = None;
        }
        Ok(())
    }
}

/// Zero bytes between the lists of a section, so that each list starts aligned.
fn padding(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGN) - bytes
}

impl InvertedLists for ArrayLists {
    fn nlist(&self) -> usize {
        self.own.len()
    }

    fn layout(&self) -> &CodeLayout {
        &self.layout
    }

    fn list_len(&self, list: ListNo) -> Result<usize, StoreError> {
        Ok(self.get(list)?.map_or_else(|| self.stored().len(list), |own| own.ids.len()))
    }

    fn list(&self, list: ListNo) -> Result<ListRef<'_>, StoreError> {
        let Some(own) = self.get(list)? else { return self.stored().list(list, &self.layout) };
        let planes = own.planes.iter().map(|plane| PlaneBytes::Borrowed(plane)).collect();
        Ok(ListRef::new([Segment::new(&self.layout, SegmentIds::Borrowed(own.ids.view()), planes)?]))
    }

    fn prefetch(&self, lists: &[ListNo]) {
        let Some(stored) = &self.stored else { return };
        for &list in lists {
            if let Ok(None) = self.get(list) {
                stored.prefetch(list, &self.layout);
            }
        }
    }

    fn memory(&self) -> usize {
        let own = self.own.iter().flatten().map(|own| size_of::<ArrayList>() + own.memory()).sum::<usize>();
        size_of_val(&self.own[..]) + own + self.stored.as_ref().map_or(0, StoredLists::memory)
    }

    fn export(&self) -> Result<Node<'_>, StoreError> {
        const ZEROS: [u8; ALIGN] = [0; ALIGN];
        let (mut lens, mut runs, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        let mut planes: Planes<Vec<Cow<'_, [u8]>>> = (0..self.layout.plane_count()).map(|_| Vec::new()).collect();
        for no in 0..self.own.len() {
            let list = ListNo(no as u32);
            lens.push(self.list_len(list)? as u64);
            let own = self.get(list)?;
            let run = own.map_or_else(|| self.stored().run(list), |own| own.ids.run());
            runs.extend(run.map_or([0, 0], |first| [1, first.0]));
            ids.push(match own {
                Some(own) => Cow::Borrowed(own.ids.listed_bytes()),
                None => self.stored().listed_ids(list)?.into(),
            });
            for (p, plane) in planes.iter_mut().enumerate() {
                let blocks: Cow<'_, [u8]> = match own {
                    Some(own) => Cow::Borrowed(&own.planes[p]),
                    None => self.stored().plane(list, p, &self.layout)?.into(),
                };
                let zeros = Cow::Borrowed(&ZEROS[..padding(blocks.len())]);
                plane.extend([blocks, zeros]);
            }
        }
        let mut node = Node::new(Self::ROW.tag, META_VERSION, &Meta::new(self.own.len() as u64, &self.layout));
        node.push(NamedArray::owned("lens", &[lens.len() as u64], lens));
        node.push(NamedArray::owned("runs", &[runs.len() as u64 / 2, 2], runs));
        node.push(NamedArray::bytes::<Id>("ids", ids));
        for (p, plane) in planes.into_iter().enumerate() {
            node.push(NamedArray::bytes::<u8>(&format!("plane{p}"), plane));
        }
        Ok(node)
    }

    fn writer(&mut self) -> Option<&mut dyn InvertedListsMut> {
        Some(self)
    }
}

impl InvertedListsMut for ArrayLists {
    fn prepare(&mut self, lists: &[ListNo]) -> Result<(), StoreError> {
        let nlist = self.own.len();
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
        let (mut rest, mut next) = (self.own.iter_mut(), 0);
        let jobs: Vec<(&mut ArrayList, Group<'_>)> = batch
            .groups()
            .map(|group| {
                let list = rest.nth(group.list.index() - next).and_then(Option::as_deref_mut);
                next = group.list.index() + 1;
                (list.expect("its own just above"), group)
            })
            .collect();
        map_items(executor, jobs, |_, (list, group)| list.append(layout, &group));
        Ok(())
    }

    fn truncate(&mut self, list: ListNo, len: usize) -> Result<(), StoreError> {
        let layout = self.layout.clone();
        self.get_mut(list)?.truncate(&layout, len);
        Ok(())
    }

    fn put(&mut self, at: Location, id: Id, code: &[u8]) -> Result<(), StoreError> {
        let layout = self.layout.clone();
        let list = self.get_mut(at.list)?;
        if at.offset.index() >= list.ids.len() {
            return Err(StoreError::NoSuchEntry { at, len: list.ids.len() });
        }
        list.ids.set(at.offset.index(), id);
        layout.put(&mut list.planes_mut(), at.offset.index(), code);
        Ok(())
    }

    fn remove(&mut self, list: ListNo, offsets: &[ListOffset]) -> Result<Vec<Moved>, StoreError> {
        let layout = self.layout.clone();
        let no = list;
        let list = self.get_mut(list)?;
        let len = list.ids.len();
        if let Some(&offset) = offsets.iter().find(|o| o.index() >= len) {
            return Err(StoreError::NoSuchEntry { at: Location { list: no, offset }, len });
        }
        let mut scratch = Vec::new();
        let moves = closing_moves(len, offsets)
            .into_iter()
            .map(|(from, to)| {
                let id = list.ids.view().get(from.index());
                list.ids.set(to.index(), id);
                layout.copy(&mut list.planes_mut(), from.index(), to.index(), &mut scratch);
                Moved { id, from, to }
            })
            .collect();
        list.truncate(&layout, len - offsets.len());
        Ok(moves)
    }

    fn replace(&mut self, list: ListNo, ids: &[Id], codes: &[u8]) -> Result<(), StoreError> {
        self.get(list)?;
        if u32::try_from(ids.len()).is_err() {
            return Err(StoreError::ListFull { list });
        }
        if codes.len() != ids.len() * self.layout.code_size() {
            return Err(StoreError::Segment { len: ids.len(), what: "there is not one code an id" });
        }
        let lists = vec![list; ids.len()];
        let batch = ListBatch::group(&lists, ids, codes, self.layout.code_size());
        let layout = self.layout.clone();
        let list = self.get_mut(list)?;
        list.truncate(&layout, 0);
        for group in batch.groups() {
            list.append(&layout, &group);
        }
        Ok(())
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        *self = Self::new(self.own.len(), self.layout.clone());
        Ok(())
    }
}

impl ArrayList {
    /// A copy of a list that a file has.
    fn copy_of(stored: &StoredLists, list: ListNo, layout: &CodeLayout) -> Result<Self, StoreError> {
        let entries = stored.list(list, layout)?;
        let ids = match stored.run(list) {
            Some(first) => IdColumn::Run { first, len: entries.len() },
            None => IdColumn::of(entries.ids().collect()),
        };
        // What was read for the ids is at hand: a file is not read twice.
        let segment = entries.segments().next();
        let plane = |p| AlignedBytes::copy_of(segment.map_or(&[], |segment| segment.plane(p)));
        let mut own = Self { ids, planes: (0..layout.plane_count()).map(plane).collect() };
        // In a file anything may stand there.
        own.clear_tail(layout, usize::MAX);
        Ok(own)
    }

    fn memory(&self) -> usize {
        self.ids.memory() + self.planes.iter().map(|plane| plane.len()).sum::<usize>()
    }

    fn planes_mut(&mut self) -> Planes<&mut [u8]> {
        self.planes.iter_mut().map(|plane| &mut **plane).collect()
    }

    fn append(&mut self, layout: &CodeLayout, group: &Group<'_>) {
        let start = self.ids.len();
        self.ids.extend(group.ids());
        for (p, plane) in self.planes.iter_mut().enumerate() {
            plane.resize(layout.plane_bytes(p, start + group.len()));
        }
        let mut planes = self.planes_mut();
        for (slot, code) in (start..).zip(group.codes()) {
            layout.put(&mut planes, slot, code);
        }
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

    /// Zeroes the slots past the end in the last block, as the layout's contract says, up to slot `end`.
    fn clear_tail(&mut self, layout: &CodeLayout, end: usize) {
        let len = self.ids.len();
        let zero = vec![0; layout.code_size()];
        let mut planes = self.planes_mut();
        for slot in len..end.min(layout.blocks(len) * layout.block_len()) {
            layout.put(&mut planes, slot, &zero);
        }
    }
}

/// Ids of a list: not stored while they count up by one.
#[derive(Clone, Debug)]
enum IdColumn {
    Run {
        first: Id,
        len: usize,
    },
    /// `ascending`: known to be in order, so that a range is found by bisection.
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
            Self::Listed { ids, .. } => size_of_val(&ids[..]),
        }
    }

    /// The first of ids that count up; `None` for others, or if there is none.
    fn run(&self) -> Option<Id> {
        match self {
            Self::Run { first, len } if *len > 0 => Some(*first),
            _ => None,
        }
    }

    /// The bytes of ids that do not count up.
    fn listed_bytes(&self) -> &[u8] {
        match self {
            Self::Run { .. } => &[],
            Self::Listed { ids, .. } => bytemuck::cast_slice(ids),
        }
    }

    fn extend(&mut self, new: impl ExactSizeIterator<Item = Id>) {
        for id in new {
            match self {
                Self::Run { first, len } if *len == 0 => (*first, *len) = (id, 1),
                Self::Run { first, len } if first.0.checked_add(*len as i64) == Some(id.0) => *len += 1,
                _ => {
                    let (ids, ascending) = self.listed();
                    *ascending &= ids.last().is_none_or(|last| *last <= id);
                    ids.push(id);
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

    fn listed(&mut self) -> (&mut Vec<Id>, &mut bool) {
        if let Self::Run { .. } = self {
            let column = mem::take(self);
            *self = Self::Listed { ids: column.view().iter().collect(), ascending: true };
        }
        match self {
            Self::Listed { ids, ascending } => (ids, ascending),
            Self::Run { .. } => unreachable!("listed just above"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::Inline;

    #[test]
    fn ids_that_count_up_are_not_stored() {
        let mut lists = ArrayLists::new(1, CodeLayout::rows(1));
        let empty = lists.memory();
        let add = |lists: &mut ArrayLists, ids: &[Id]| {
            let codes = vec![0; ids.len()];
            lists.append(&ListBatch::group(&vec![ListNo(0); ids.len()], ids, &codes, 1), &Inline).unwrap();
        };
        add(&mut lists, &[Id(5), Id(6)]);
        add(&mut lists, &[Id(7)]);
        assert_eq!(lists.memory(), empty + 3);
        add(&mut lists, &[Id(-1)]);
        assert_eq!(lists.memory(), empty + 4 + 4 * 8);
        assert_eq!(lists.list(ListNo(0)).unwrap().ids().map(|id| id.0).collect::<Vec<_>>(), [5, 6, 7, -1]);
        let mut run = ArrayLists::new(1, CodeLayout::rows(1));
        add(&mut run, &[Id(i64::MAX - 1), Id(i64::MAX), Id(i64::MIN)]);
        assert_eq!(run.list(ListNo(0)).unwrap().ids().last(), Some(Id(i64::MIN)));
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
