//! The entries of an index: a bound codec, the lists with its codes, and the location of each id.

use super::options::IvfOptions;
use super::{IvfIndex, Trained};
use crate::executor::executor_for;
use ivf_core::ability::{AddMark, Undo};
use ivf_core::accelerator::Accelerator;
use ivf_core::codec::overflowing;
use ivf_core::error::{AddError, BindError, Computed, EditError, InputError, StoreError};
use ivf_core::executor::{Executor, map_items};
use ivf_core::lists::ListBatch;
use ivf_core::{
    Binding, BoundCodec, CodeLayout, Codec, DirectMap, DirectMapKind, Id, InvertedLists, InvertedListsMut,
    Level1Quantizer, ListNo, ListOffset, Location, Rows,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Number of vectors that one task of a parallel encoding handles.
const ENCODE_CHUNK: usize = 1024;

/// Operations for each number of a vector to encode, by which a loop counts as small or large: many
/// more than `Flat` needs, and fewer than `PQ`.
const ENCODE_WORK: usize = 16;

/// Maximum number of array elements per entry of an array map. The limit counts 1024 entries more
/// than there are.
const MAX_SPARSENESS: u64 = 4;

#[derive(Clone, Debug)]
pub(super) struct Entries {
    pub(super) codec: Arc<dyn Codec>,
    pub(super) bound: Arc<dyn BoundCodec>,
    /// May be shared with callers that requested them. A write then goes to a snapshot.
    pub(super) lists: Arc<dyn InvertedLists>,
    /// Searches in place of the engine. It has the present codec and lists: each change of them
    /// drops it.
    pub(super) accelerator: Option<Arc<dyn Accelerator>>,
    /// Shared between clones of an index until one of them writes.
    pub(super) map: Arc<DirectMap>,
    /// One more than the largest id ever added; the first id that `add` assigns.
    pub(super) next_id: u64,
    pub(super) len: usize,
}

/// A write in progress.
#[derive(Debug, Default)]
pub(super) struct Write {
    /// Length, before the write, of each list that it has appended to. Undoing truncates the lists
    /// to it.
    before: BTreeMap<ListNo, usize>,
    /// Locations of the appended entries; recorded only for an index with a direct map.
    places: Vec<(Id, Location)>,
}

/// A state between two adds, which lets a wrapper undo the second: the length of each list, the
/// number of vectors, and the next id. `None` if the index was not trained.
pub(crate) struct Mark(Option<(Vec<u32>, usize, u64)>);

impl IvfIndex {
    pub(super) fn mark(&self) -> Result<Mark, StoreError> {
        let Some(Trained { entries, .. }) = &self.trained else { return Ok(Mark(None)) };
        // Offsets are 32 bits.
        let lens = entries.list_numbers().map(|list| Ok(entries.lists.list_len(list)? as u32));
        Ok(Mark(Some((lens.collect::<Result<_, StoreError>>()?, entries.len, entries.next_id))))
    }

    pub(super) fn undo(&mut self, mark: Mark) -> Result<(), StoreError> {
        if let (Some(Trained { entries, .. }), Some((lens, len, next_id))) = (&mut self.trained, mark.0) {
            let mut write = Write::default();
            for (list, start) in entries.list_numbers().zip(lens) {
                let (lists, start) = (entries.lists.clone(), start as usize);
                let len = lists.list_len(list)?;
                if len == start {
                    continue;
                }
                write.before.insert(list, start);
                for (offset, id) in lists.list_ids(list, start..len)?.entries() {
                    entries.map_mut().remove(id, Location { list, offset });
                }
            }
            entries.roll_back(&write)?;
            (entries.len, entries.next_id) = (len, next_id);
        }
        Ok(())
    }
}

impl Undo for IvfIndex {
    fn mark(&self) -> Result<AddMark, StoreError> {
        Ok(AddMark::new(self.mark()?))
    }

    fn undo(&mut self, mark: AddMark) -> Result<(), StoreError> {
        self.undo(mark.into_inner::<Mark>()?)
    }
}

impl Entries {
    pub(super) fn new(
        codec: Arc<dyn Codec>,
        binding: &Binding<'_>,
        lists: Box<dyn InvertedLists>,
        map: DirectMapKind,
    ) -> Result<Self, BindError> {
        let bound = codec.clone().bind(binding)?;
        let map = Arc::new(DirectMap::new(map));
        Ok(Self { codec, bound, lists: lists.into(), accelerator: None, map, next_id: 0, len: 0 })
    }

    /// Binds the codec to new centroids.
    pub(super) fn bind(&mut self, binding: Binding<'_>) -> Result<(), BindError> {
        self.set_bound(self.codec.clone().bind(&binding)?);
        Ok(())
    }

    /// Replaces the codec that is bound to the centroids.
    pub(super) fn set_bound(&mut self, bound: Arc<dyn BoundCodec>) {
        self.accelerator = None;
        self.bound = bound;
    }

    /// Replaces the lists, and returns the old ones.
    pub(super) fn set_lists(&mut self, lists: Box<dyn InvertedLists>) -> Arc<dyn InvertedLists> {
        self.accelerator = None;
        std::mem::replace(&mut self.lists, lists.into())
    }

    /// Returns the ids of the next `n` vectors, for a caller that supplies none.
    pub(super) fn count_ids(&self, n: usize) -> Result<Vec<Id>, AddError> {
        let end = self.next_id.checked_add(n as u64).filter(|end| *end <= 1 << 63).ok_or(AddError::IdsExhausted)?;
        Ok((self.next_id..end).map(|id| Id(id as i64)).collect())
    }

    /// Checks that the direct map can hold the caller's ids.
    pub(super) fn check_ids(&self, ids: impl Iterator<Item = Id>) -> Result<(), AddError> {
        if self.map.kind() == DirectMapKind::Array {
            for (expected, id) in (self.next_id..).map(|id| Id(id as i64)).zip(ids) {
                if id != expected {
                    return Err(AddError::IdNotSequential { id, expected });
                }
            }
        }
        Ok(())
    }

    pub(super) fn layout(&self) -> &CodeLayout {
        self.bound.codec().layout()
    }

    /// Returns the lists for writing. Other holders of the lists keep the old state.
    pub(super) fn writer(&mut self) -> Result<&mut dyn InvertedListsMut, StoreError> {
        // First, because it may hold the lists.
        self.accelerator = None;
        if Arc::get_mut(&mut self.lists).is_none() {
            self.lists = self.lists.snapshot()?.into();
        }
        Arc::get_mut(&mut self.lists).and_then(|lists| lists.writer()).ok_or(StoreError::ReadOnly)
    }

    /// Returns the direct map for writing.
    pub(super) fn map_mut(&mut self) -> &mut DirectMap {
        Arc::make_mut(&mut self.map)
    }

    pub(super) fn list_numbers(&self) -> impl Iterator<Item = ListNo> + use<> {
        (0..self.lists.nlist()).map(|no| ListNo(no as u32))
    }

    /// Checks that the residuals of vectors, if the codes are of residuals, do not overflow.
    pub(super) fn check_residuals(&self, rows: Rows<'_, f32>, lists: &[ListNo]) -> Result<(), InputError> {
        if !self.bound.by_residual() {
            return Ok(());
        }
        match overflowing(rows, lists, self.bound.centroids()).first() {
            Some(&row) => Err(InputError::Overflow { row, what: Computed::Residual }),
            None => Ok(()),
        }
    }

    /// Encodes vectors; `lists` names the list of each.
    pub(super) fn encode(&self, rows: Rows<'_, f32>, lists: &[ListNo], executor: Option<&dyn Executor>) -> Vec<u8> {
        let executor = executor_for(executor, rows.as_slice().len().saturating_mul(ENCODE_WORK));
        let code_size = self.layout().code_size();
        let mut codes = vec![0; rows.len() * code_size];
        let jobs: Vec<_> = codes.chunks_mut(ENCODE_CHUNK * code_size).zip(lists.chunks(ENCODE_CHUNK)).collect();
        map_items(executor, jobs, |job, (codes, lists)| {
            let start = job * ENCODE_CHUNK;
            self.bound.encode(rows.slice(start..start + lists.len()), lists, codes);
        });
        codes
    }

    /// Appends entries to their lists. They do not count until [`commit`](Self::commit) is called.
    pub(super) fn append(
        &mut self,
        write: &mut Write,
        lists: &[ListNo],
        ids: &[Id],
        codes: &[u8],
        executor: Option<&dyn Executor>,
    ) -> Result<(), StoreError> {
        let executor = executor_for(executor, codes.len());
        let batch = ListBatch::group(lists, ids, codes, self.layout().code_size());
        for group in batch.groups() {
            let len = self.lists.list_len(group.list)?;
            write.before.entry(group.list).or_insert(len);
            if self.map.kind() != DirectMapKind::None {
                let offsets = (len..).map(|offset| ListOffset(offset as u32));
                let locations = offsets.map(|offset| Location { list: group.list, offset });
                write.places.extend(group.ids().zip(locations));
            }
        }
        self.writer()?.append(&batch, executor)
    }

    /// Completes a write of `added` vectors. `largest` is the largest id among them and the skipped
    /// rows.
    pub(super) fn commit(&mut self, write: Write, added: usize, largest: Option<Id>) {
        if !write.places.is_empty() {
            let map = self.map_mut();
            write.places.into_iter().for_each(|(id, place)| map.insert(id, place));
        }
        self.len += added;
        if let Some(largest) = largest.and_then(|id| u64::try_from(id.0).ok()) {
            self.next_id = self.next_id.max(largest + 1);
        }
    }

    /// Truncates the lists to their lengths before the write.
    pub(super) fn roll_back(&mut self, write: &Write) -> Result<(), StoreError> {
        write.before.iter().try_for_each(|(&list, &len)| self.writer()?.truncate(list, len))
    }

    /// Returns the first location of an id, in list order.
    pub(super) fn find(&self, id: Id) -> Result<Option<Location>, StoreError> {
        if self.map.kind() != DirectMapKind::None {
            return Ok(self.map.get(id));
        }
        for list in self.list_numbers() {
            let entries = self.lists.list_ids(list, 0..self.lists.list_len(list)?)?;
            let offset = entries.placed().find_map(|(first, ids)| Some(first + ids.position(id)?));
            if let Some(offset) = offset {
                return Ok(Some(Location { list, offset: ListOffset(offset as u32) }));
            }
        }
        Ok(None)
    }

    /// Builds a direct map of the given kind over the present entries.
    pub(super) fn mapped(&self, kind: DirectMapKind) -> Result<DirectMap, EditError> {
        made_map(&*self.lists, kind, self.len, self.next_id)
    }
}

/// Returns the binding of the codec of an index.
pub(super) fn binding(
    quantizer: &Arc<dyn Level1Quantizer>,
    by_residual: bool,
    options: &IvfOptions,
) -> Binding<'static> {
    Binding::new(quantizer.clone()).by_residual(by_residual).table_memory(options.table_memory)
}

/// Builds a direct map over the `len` entries of these lists, whose ids are below `next_id`.
pub(super) fn made_map(
    lists: &dyn InvertedLists,
    kind: DirectMapKind,
    len: usize,
    next_id: u64,
) -> Result<DirectMap, EditError> {
    let mut map = DirectMap::new(kind);
    if kind == DirectMapKind::None {
        return Ok(map);
    }
    let is_array = kind == DirectMapKind::Array;
    // An array over all ids ever assigned would be mostly empty.
    if is_array && next_id > (len as u64 + 1024).saturating_mul(MAX_SPARSENESS) {
        return Err(EditError::NotForArray(Id(next_id.saturating_sub(1) as i64)));
    }
    for list in (0..lists.nlist()).map(|no| ListNo(no as u32)) {
        for (offset, id) in lists.list_ids(list, 0..lists.list_len(list)?)?.entries() {
            if is_array && !u64::try_from(id.0).is_ok_and(|id| id < next_id) {
                return Err(EditError::NotForArray(id));
            }
            map.insert(id, Location { list, offset });
        }
    }
    Ok(map)
}
