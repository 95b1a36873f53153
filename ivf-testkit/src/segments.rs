//! A naive store whose lists have many segments of uneven lengths. It holds rows of ids and codes,
//! and splits and lays them out anew for every reader.
//!
//! ```text
//! list of 44 entries:   | 3 | 1 | 37 | 3 |      segments of 3, 1, 37, 8, 3, 1, 37, ... entries, each with its own partial last block
//! ```

use ivf_core::bytes::{AlignedBytes, SharedBytes};
use ivf_core::error::{DecodeError, StoreError};
use ivf_core::field::{Field, FieldType, Schema};
use ivf_core::layout::Planes;
use ivf_core::lists::{ListBatch, ListRef, Moved, PlaneBytes, Segment, SegmentIds, closing_moves};
use ivf_core::node::NamedArray;
use ivf_core::registry::StoreRow;
use ivf_core::{
    CodeLayout, Executor, Id, InvertedLists, InvertedListsMut, ListNo, ListOffset, Location, Node, StoredNode,
};

/// Lengths of the segments of a list, repeated.
const LENGTHS: [usize; 4] = [3, 1, 37, 8];

/// The registry row of this store.
pub const ROW: StoreRow = StoreRow::new(
    "segments",
    |nlist, layout| Ok(Box::new(SegmentedLists::new(nlist, layout))),
    |node, layout| Ok(Box::new(SegmentedLists::read(node, layout)?)),
)
.about("lists in many segments");

/// The fields of the node. A reader compares the stored layout with the codec's.
const SCHEMA: &Schema = &[
    Field::new("layout", FieldType::Text),
    Field::new("code_size", FieldType::UInt),
    Field::new("block_len", FieldType::UInt),
    Field::new("codec", FieldType::Text),
];

/// A store whose lists have many segments.
#[derive(Clone, Debug)]
pub struct SegmentedLists {
    layout: CodeLayout,
    lists: Vec<Vec<(Id, Vec<u8>)>>,
}

impl SegmentedLists {
    /// Creates a store of `nlist` empty lists.
    pub fn new(nlist: usize, layout: &CodeLayout) -> Self {
        Self { layout: layout.clone(), lists: vec![Vec::new(); nlist] }
    }

    fn read(node: &StoredNode, layout: &CodeLayout) -> Result<Self, DecodeError> {
        let fault = || DecodeError::value(&node.tag, "lengths, ids and codes do not fit together");
        let (lens, ids) = (node.array::<u64>("lens")?, node.array::<i64>("ids")?);
        let codes = node.array::<u8>("codes")?;
        let fields = node.fields(SCHEMA)?;
        let (name, codec): (String, String) = (fields.get("layout")?, fields.get("codec")?);
        let sizes: (usize, usize) = (fields.get("code_size")?, fields.get("block_len")?);
        let is_other = (&*name, &*codec) != (layout.name(), layout.codec());
        if is_other || sizes != (layout.code_size(), layout.block_len()) {
            return Err(DecodeError::value(&node.tag, format!("the codes are not laid out as {layout}")));
        }
        if codes.len() != ids.len() * layout.code_size() {
            return Err(fault());
        }
        let mut entries = ids.iter().map(|id| Id(*id)).zip(codes.chunks_exact(layout.code_size()).map(<[u8]>::to_vec));
        let mut lists = Self::new(lens.len(), layout);
        for (list, &len) in lists.lists.iter_mut().zip(lens) {
            let len = usize::try_from(len).map_err(|_| fault())?;
            list.extend(entries.by_ref().take(len));
            if list.len() != len {
                return Err(fault());
            }
        }
        if entries.next().is_some() { Err(fault()) } else { Ok(lists) }
    }

    fn get(&self, list: ListNo) -> Result<&Vec<(Id, Vec<u8>)>, StoreError> {
        self.lists.get(list.index()).ok_or(StoreError::NoSuchList { list, nlist: self.lists.len() })
    }

    fn get_mut(&mut self, list: ListNo) -> Result<&mut Vec<(Id, Vec<u8>)>, StoreError> {
        let nlist = self.lists.len();
        self.lists.get_mut(list.index()).ok_or(StoreError::NoSuchList { list, nlist })
    }

    fn segment(&self, entries: &[(Id, Vec<u8>)]) -> Result<Segment<'_>, StoreError> {
        let bytes = |p| AlignedBytes::zeroed(self.layout.plane_bytes(p, entries.len()));
        let mut planes: Planes<AlignedBytes> = (0..self.layout.plane_count()).map(bytes).collect();
        let mut places: Planes<&mut [u8]> = planes.iter_mut().map(|plane| &mut **plane).collect();
        for (slot, (_, code)) in entries.iter().enumerate() {
            self.layout.put(&mut places, slot, code);
        }
        drop(places);
        let planes = planes.into_iter().map(|plane| PlaneBytes::Shared(SharedBytes::from(plane))).collect();
        Segment::new(&self.layout, SegmentIds::Shared(entries.iter().map(|(id, _)| *id).collect()), planes)
    }
}

impl InvertedLists for SegmentedLists {
    fn tag(&self) -> &str {
        ROW.tag
    }

    fn nlist(&self) -> usize {
        self.lists.len()
    }

    fn layout(&self) -> &CodeLayout {
        &self.layout
    }

    fn list_len(&self, list: ListNo) -> Result<usize, StoreError> {
        Ok(self.get(list)?.len())
    }

    fn list(&self, list: ListNo) -> Result<ListRef<'_>, StoreError> {
        let (mut rest, mut segments) = (&self.get(list)?[..], Vec::new());
        for len in LENGTHS.into_iter().cycle() {
            let (segment, after) = rest.split_at(len.min(rest.len()));
            if segment.is_empty() {
                break;
            }
            segments.push(self.segment(segment)?);
            rest = after;
        }
        Ok(ListRef::new(segments))
    }

    fn memory(&self) -> usize {
        self.lists.iter().map(|list| list.len() * (size_of::<(Id, Vec<u8>)>() + self.layout.code_size())).sum()
    }

    fn export(&self) -> Result<Node<'_>, StoreError> {
        let entries = || self.lists.iter().flatten();
        let lens: Vec<u64> = self.lists.iter().map(|list| list.len() as u64).collect();
        let ids: Vec<i64> = entries().map(|(id, _)| id.0).collect();
        let layout = &self.layout;
        let mut node = Node::new(ROW.tag, 0)
            .with("layout", layout.name())
            .with("code_size", layout.code_size())
            .with("block_len", layout.block_len())
            .with("codec", layout.codec());
        node.push(NamedArray::owned("lens", &[lens.len() as u64], lens));
        node.push(NamedArray::owned("ids", &[ids.len() as u64], ids));
        node.push(NamedArray::pieces("codes", entries().map(|(_, code)| &code[..])));
        Ok(node)
    }

    fn snapshot(&self) -> Result<Box<dyn InvertedLists>, StoreError> {
        Ok(Box::new(self.clone()))
    }

    fn writer(&mut self) -> Option<&mut dyn InvertedListsMut> {
        Some(self)
    }
}

impl InvertedListsMut for SegmentedLists {
    fn append(&mut self, batch: &ListBatch<'_>, _executor: &dyn Executor) -> Result<(), StoreError> {
        if batch.code_size() != self.layout.code_size() {
            let found = format!("{} bytes a code", batch.code_size());
            return Err(StoreError::Layout { expected: self.layout.to_string(), found });
        }
        batch.groups().try_for_each(|group| self.get(group.list).map(|_| ()))?;
        for group in batch.groups() {
            self.get_mut(group.list)?.extend(group.ids().zip(group.codes().map(<[u8]>::to_vec)));
        }
        Ok(())
    }

    fn truncate(&mut self, list: ListNo, len: usize) -> Result<(), StoreError> {
        self.get_mut(list)?.truncate(len);
        Ok(())
    }

    fn put(&mut self, at: Location, id: Id, code: &[u8]) -> Result<(), StoreError> {
        let size = self.layout.code_size();
        let list = self.get_mut(at.list)?;
        let len = list.len();
        let entry = list.get_mut(at.offset.index()).ok_or(StoreError::NoSuchEntry { at, len })?;
        if code.len() != size {
            return Err(StoreError::Segment { len: 1, what: "the code has the wrong length" });
        }
        *entry = (id, code.to_vec());
        Ok(())
    }

    fn remove(&mut self, list: ListNo, offsets: &[ListOffset]) -> Result<Vec<Moved>, StoreError> {
        let entries = self.get_mut(list)?;
        let len = entries.len();
        if let Some(&offset) = offsets.iter().find(|offset| offset.index() >= len) {
            return Err(StoreError::NoSuchEntry { at: Location { list, offset }, len });
        }
        let mut moves = Vec::new();
        for (from, to) in closing_moves(len, offsets) {
            entries[to.index()] = entries[from.index()].clone();
            moves.push(Moved { id: entries[to.index()].0, from, to });
        }
        entries.truncate(len - offsets.len());
        Ok(moves)
    }

    fn replace(&mut self, list: ListNo, ids: &[Id], codes: &[u8]) -> Result<(), StoreError> {
        let size = self.layout.code_size();
        if codes.len() != ids.len() * size {
            return Err(StoreError::Segment { len: ids.len(), what: "there is not one code per id" });
        }
        *self.get_mut(list)? = ids.iter().copied().zip(codes.chunks_exact(size).map(<[u8]>::to_vec)).collect();
        Ok(())
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        self.lists.iter_mut().for_each(Vec::clear);
        Ok(())
    }
}
