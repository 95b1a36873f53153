//! Lists in memory, each in one growing array a plane.

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
use crate::wire::Bound;
use std::mem;

/// The store in memory: for each list its ids, and one 64-byte aligned array a plane.
///
/// Ids that count up by one are not stored (see [`Ids::Run`]).
#[derive(Clone, Debug)]
pub struct ArrayLists {
    layout: CodeLayout,
    lists: Vec<ArrayList>,
}

#[derive(Clone, Debug, Default)]
struct ArrayList {
    ids: IdColumn,
    planes: Planes<AlignedBytes>,
}

/// Meta of an exported node: the shape of the lists, checked against the codec's layout by the reader.
#[derive(serde::Serialize, serde::Deserialize)]
struct Meta {
    nlist: u64,
    layout: String,
    code_size: u64,
    block_len: u64,
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
        Self { lists: vec![empty; nlist], layout }
    }

    fn get(&self, list: ListNo) -> Result<&ArrayList, StoreError> {
        self.lists.get(list.index()).ok_or(StoreError::NoSuchList { list, nlist: self.lists.len() })
    }

    fn get_mut(&mut self, list: ListNo) -> Result<&mut ArrayList, StoreError> {
        let nlist = self.lists.len();
        self.lists.get_mut(list.index()).ok_or(StoreError::NoSuchList { list, nlist })
    }

    /// The store that a node exported by [`InvertedLists::export`] holds.
    ///
    /// # Errors
    /// [`DecodeError`] for whatever does not fit together; memory is taken only for bytes that are there.
    pub fn read(node: &StoredNode, layout: &CodeLayout) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        let meta: Meta = node.meta()?;
        let fault = |what: String| DecodeError::value(Self::ROW.tag, what);
        if (meta.layout.as_str(), meta.code_size, meta.block_len)
            != (layout.name(), layout.code_size() as u64, layout.block_len() as u64)
        {
            return Err(fault(format!(
                "the codes are laid out as {} ({} bytes, blocks of {}), the codec's as {layout}",
                meta.layout, meta.code_size, meta.block_len
            )));
        }
        let lens = node.array::<u64>("lens")?;
        if lens.len() as u64 != meta.nlist {
            return Err(fault(format!("{} list lengths for {} lists", lens.len(), meta.nlist)));
        }
        let runs = node.array::<i64>("runs")?;
        if runs.len() != 2 * lens.len() {
            return Err(fault(format!("{} id runs for {} lists", runs.len(), lens.len())));
        }
        let mut ids = Bound::new("ids", node.array::<Id>("ids")?);
        let mut planes: Planes<Bound<'_, u8>> = Planes::new();
        for p in 0..layout.plane_count() {
            planes.push(Bound::new("a plane", node.array::<u8>(&format!("plane{p}"))?));
        }
        let mut lists = Vec::new();
        for (&len, run) in lens.iter().zip(runs.chunks_exact(2)) {
            let len = u32::try_from(len).map_err(|_| fault(format!("a list of {len} entries")))? as usize;
            let ids = match run {
                [1, first] if len > 0 && first.checked_add(len as i64 - 1).is_some() => {
                    IdColumn::Run { first: Id(*first), len }
                }
                [0, 0] => IdColumn::from_listed(ids.take(len)?.to_vec()),
                _ => return Err(fault("a run of ids that cannot be".into())),
            };
            let planes = planes
                .iter_mut()
                .enumerate()
                .map(|(p, plane)| {
                    let bytes = layout.plane_bytes(p, len);
                    let codes = AlignedBytes::copy_of(plane.take(bytes)?);
                    plane.take(padding(bytes))?;
                    Ok(codes)
                })
                .collect::<Result<Planes<_>, DecodeError>>()?;
            let mut list = ArrayList { ids, planes };
            list.clear_tail(layout);
            lists.push(list);
        }
        ids.finish()?;
        planes.into_iter().try_for_each(Bound::finish)?;
        Ok(Self { layout: layout.clone(), lists })
    }
}

/// Zero bytes between the lists of a section, so that each list starts aligned.
fn padding(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGN) - bytes
}

impl InvertedLists for ArrayLists {
    fn nlist(&self) -> usize {
        self.lists.len()
    }

    fn layout(&self) -> &CodeLayout {
        &self.layout
    }

    fn list_len(&self, list: ListNo) -> Result<usize, StoreError> {
        Ok(self.get(list)?.ids.len())
    }

    fn list(&self, list: ListNo) -> Result<ListRef<'_>, StoreError> {
        let list = self.get(list)?;
        let planes = list.planes.iter().map(|plane| PlaneBytes::Borrowed(plane)).collect();
        Ok(ListRef::new([Segment::new(&self.layout, SegmentIds::Borrowed(list.ids.view()), planes)?]))
    }

    fn memory(&self) -> usize {
        let list = |list: &ArrayList| list.ids.memory() + list.planes.iter().map(|p| p.len()).sum::<usize>();
        self.lists.len() * size_of::<ArrayList>() + self.lists.iter().map(list).sum::<usize>()
    }

    fn export(&self) -> Result<Node<'_>, StoreError> {
        const ZEROS: [u8; ALIGN] = [0; ALIGN];
        let mut node = Node::new(
            Self::ROW.tag,
            0,
            &Meta {
                nlist: self.lists.len() as u64,
                layout: self.layout.name().to_owned(),
                code_size: self.layout.code_size() as u64,
                block_len: self.layout.block_len() as u64,
            },
        );
        let lens: Vec<u64> = self.lists.iter().map(|list| list.ids.len() as u64).collect();
        let runs: Vec<i64> = self.lists.iter().flat_map(|list| list.ids.run()).collect();
        node.push(NamedArray::owned("lens", &[lens.len() as u64], lens));
        node.push(NamedArray::owned("runs", &[runs.len() as u64 / 2, 2], runs));
        let listed = self.lists.iter().filter_map(|list| match &list.ids {
            IdColumn::Listed(ids) => Some(&ids[..]),
            IdColumn::Run { .. } => None,
        });
        node.push(NamedArray::pieces("ids", listed));
        for p in 0..self.layout.plane_count() {
            let pieces = self.lists.iter().flat_map(|list| {
                let plane = &list.planes[p];
                [&plane[..], &ZEROS[..padding(plane.len())]]
            });
            node.push(NamedArray::pieces(&format!("plane{p}"), pieces));
        }
        Ok(node)
    }

    fn writer(&mut self) -> Option<&mut dyn InvertedListsMut> {
        Some(self)
    }
}

impl InvertedListsMut for ArrayLists {
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
        let layout = &self.layout;
        let (mut rest, mut next) = (self.lists.iter_mut(), 0);
        let jobs: Vec<(&mut ArrayList, Group<'_>)> = batch
            .groups()
            .map(|group| {
                let list = rest.nth(group.list.index() - next).expect("checked above");
                next = group.list.index() + 1;
                (list, group)
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
        *self = Self::new(self.lists.len(), self.layout.clone());
        Ok(())
    }
}

impl ArrayList {
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
        if len >= self.ids.len() {
            return;
        }
        self.ids.truncate(len);
        for (p, plane) in self.planes.iter_mut().enumerate() {
            plane.resize(layout.plane_bytes(p, len));
        }
        self.clear_tail(layout);
    }

    /// Zeroes the slots past the end in the last block, as the layout's contract says.
    fn clear_tail(&mut self, layout: &CodeLayout) {
        let len = self.ids.len();
        let zero = vec![0; layout.code_size()];
        let mut planes = self.planes_mut();
        for slot in len..layout.blocks(len) * layout.block_len() {
            layout.put(&mut planes, slot, &zero);
        }
    }
}

/// Ids of a list: not stored while they count up by one.
#[derive(Clone, Debug)]
enum IdColumn {
    Run { first: Id, len: usize },
    Listed(Vec<Id>),
}

impl Default for IdColumn {
    fn default() -> Self {
        Self::Run { first: Id(0), len: 0 }
    }
}

impl IdColumn {
    fn from_listed(ids: Vec<Id>) -> Self {
        if ids.is_empty() { Self::default() } else { Self::Listed(ids) }
    }

    fn view(&self) -> Ids<'_> {
        match self {
            Self::Run { first, len } => Ids::Run { first: *first, len: *len },
            Self::Listed(ids) => Ids::Listed(ids),
        }
    }

    fn len(&self) -> usize {
        self.view().len()
    }

    fn memory(&self) -> usize {
        match self {
            Self::Run { .. } => 0,
            Self::Listed(ids) => size_of_val(&ids[..]),
        }
    }

    /// (1, first) for a run, (0, 0) for listed ids or none: how a file says it.
    fn run(&self) -> [i64; 2] {
        match self {
            Self::Run { first, len } if *len > 0 => [1, first.0],
            _ => [0, 0],
        }
    }

    fn extend(&mut self, new: impl ExactSizeIterator<Item = Id>) {
        for id in new {
            match self {
                Self::Run { first, len } if *len == 0 => (*first, *len) = (id, 1),
                Self::Run { first, len } if first.0.checked_add(*len as i64) == Some(id.0) => *len += 1,
                _ => self.listed().push(id),
            }
        }
    }

    fn set(&mut self, i: usize, id: Id) {
        if self.view().get(i) != id {
            self.listed()[i] = id;
        }
    }

    fn truncate(&mut self, to: usize) {
        match self {
            Self::Run { len, .. } => *len = to,
            Self::Listed(ids) => ids.truncate(to),
        }
        if to == 0 {
            *self = Self::default();
        }
    }

    fn listed(&mut self) -> &mut Vec<Id> {
        if let Self::Run { .. } = self {
            let column = mem::take(self);
            *self = Self::Listed(column.view().iter().collect());
        }
        match self {
            Self::Listed(ids) => ids,
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
}
