//! Inverted lists: the stores of codes.
//!
//! [`InvertedLists`] is the read half of a store, [`InvertedListsMut`] the write half.
//! [`ArrayLists`] is the store in memory. A store handles codes only through the codec's
//! [`CodeLayout`] and does not interpret the content of blocks.

mod array;
mod batch;
mod ids;
mod row;
mod segment;
mod stored;
mod table;

pub use array::ArrayLists;
pub use batch::{Group, ListBatch};
pub use ids::ListIds;
pub use row::{CreateLists, ReadLists, StoreRow};
pub use segment::{ListRef, PlaneBytes, Segment, SegmentIds};

use crate::error::StoreError;
use crate::executor::Executor;
use crate::id::{Id, ListNo, ListOffset, Location};
use crate::layout::CodeLayout;
use crate::node::Node;
use std::fmt;
use std::ops::Range;

/// The read half of a store: `nlist` lists, each a sequence of segments.
///
/// Implementations and callers rely on this contract:
///
/// * Many threads may read at the same time.
/// * A [`ListRef`] does not change while it is borrowed.
/// * The length of a list is at most 2^32 - 1.
/// * Every segment has the layout that [`layout`](Self::layout) returns.
///
/// # Errors
/// Reading may fail, since a list may be on a disk. A list number past the end is
/// [`StoreError::NoSuchList`].
pub trait InvertedLists: Send + Sync + fmt::Debug {
    /// Returns the tag of the store's registry row, which is also the tag of the node of
    /// [`export`](Self::export).
    fn tag(&self) -> &str;

    /// Returns the number of lists. List numbers are `0..nlist`.
    fn nlist(&self) -> usize;

    /// Returns the layout of the codes in the segments.
    fn layout(&self) -> &CodeLayout;

    /// Returns the length of a list, without reading the list.
    fn list_len(&self, list: ListNo) -> Result<usize, StoreError>;

    /// Returns a list for reading.
    fn list(&self, list: ListNo) -> Result<ListRef<'_>, StoreError>;

    /// Returns the part of a list that holds the entries at the offsets `entries`, as far as the
    /// list has them. The part may hold further entries before and after them.
    ///
    /// Scans read a list part by part. The default reads the whole list and cuts the part out of
    /// it, which costs nothing in memory. A store whose lists are on a disk reads only the blocks
    /// and ids of the part ([`ListRef::part`]).
    fn list_range(&self, list: ListNo, entries: Range<usize>) -> Result<ListRef<'_>, StoreError> {
        Ok(self.list(list)?.narrowed(self.layout(), entries))
    }

    /// Returns the ids of exactly the entries at the offsets `entries`, as far as the list has
    /// them.
    ///
    /// Filters and edits read the ids before they read codes. The default reads the codes as well.
    /// A store whose lists are on a disk reads only these ids.
    fn list_ids(&self, list: ListNo, entries: Range<usize>) -> Result<ListIds<'_>, StoreError> {
        Ok(self.list_range(list, entries.clone())?.into_ids().narrowed(entries))
    }

    /// Gives the hint that these lists will be read soon, in this order. It is useful to a store on
    /// a disk. Unknown list numbers are ignored.
    fn prefetch(&self, _lists: &[ListNo]) {}

    /// Returns the memory that the lists take, in bytes, as exactly as the store knows it.
    fn memory(&self) -> usize;

    /// Exports the contents of the store, for a file or another reader.
    fn export(&self) -> Result<Node<'_>, StoreError>;

    /// Returns a copy of the lists as they are now. Later writes to one of the two stores do not
    /// affect the other. A store in memory shares the lists that neither side has modified.
    ///
    /// # Errors
    /// [`StoreError::NoSnapshot`] if the store cannot be copied.
    fn snapshot(&self) -> Result<Box<dyn InvertedLists>, StoreError>;

    /// Returns the write half, or `None` for a read-only store.
    fn writer(&mut self) -> Option<&mut dyn InvertedListsMut> {
        None
    }
}

/// The write half of a store.
///
/// A write that fails may leave part of a batch behind. The caller, which knows the previous
/// lengths, removes it with [`truncate`](Self::truncate). No other call runs during a write,
/// because it borrows the store mutably.
pub trait InvertedListsMut: InvertedLists {
    /// Prepares lists for writing. A store whose lists are in a file reads them here. An error of
    /// that read then occurs before anything is modified. Unknown list numbers are ignored.
    fn prepare(&mut self, _lists: &[ListNo]) -> Result<(), StoreError> {
        Ok(())
    }

    /// Appends each group of the batch to its list, in the group's order.
    ///
    /// # Errors
    /// [`StoreError::NoSuchList`] or [`StoreError::Layout`], before anything is written.
    /// [`StoreError::ListFull`], or an error of the backend.
    fn append(&mut self, batch: &ListBatch<'_>, executor: &dyn Executor) -> Result<(), StoreError>;

    /// Shortens a list to its first `len` entries. A list that is not longer stays as it is.
    fn truncate(&mut self, list: ListNo, len: usize) -> Result<(), StoreError>;

    /// Overwrites the id and the code of an entry.
    ///
    /// # Errors
    /// [`StoreError::NoSuchEntry`] past the end of the list, [`StoreError::Segment`] for a code of
    /// another length.
    fn put(&mut self, at: Location, id: Id, code: &[u8]) -> Result<(), StoreError>;

    /// Removes the entries at `offsets` (strictly ascending) and fills the gaps with entries from
    /// the end of the list.
    ///
    /// The resulting order is the same for every store. With `m` entries left, the remaining
    /// entries from offset `m` on, in ascending order, fill the gaps below `m`, in ascending order.
    /// Returns these moves. There are at most as many moves as removed entries.
    ///
    /// ```text
    /// a b c d e f, remove 1 and 3:   m = 4, gaps 1 3, remaining from 4 on: e f   ->   a e c f,  moves 4->1, 5->3
    /// ```
    ///
    /// # Errors
    /// [`StoreError::NoSuchEntry`] for an offset past the end, before anything is removed.
    ///
    /// # Panics
    /// May panic if the offsets are not strictly ascending.
    fn remove(&mut self, list: ListNo, offsets: &[ListOffset]) -> Result<Vec<Moved>, StoreError>;

    /// Replaces the entries of a list by `ids` and `codes` (rows of `code_size` bytes).
    ///
    /// # Errors
    /// [`StoreError::NoSuchList`], [`StoreError::ListFull`], or [`StoreError::Segment`] if there is
    /// not one code per id. In these cases the list stays as it is.
    fn replace(&mut self, list: ListNo, ids: &[Id], codes: &[u8]) -> Result<(), StoreError>;

    /// Empties every list.
    fn clear(&mut self) -> Result<(), StoreError>;
}

/// An entry whose offset changed when others were removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Id of the entry.
    pub id: Id,
    /// Old offset.
    pub from: ListOffset,
    /// New offset.
    pub to: ListOffset,
}

/// Returns the moves, as pairs (from, to), that fill the gaps at `offsets` in a list of length
/// `len`. [`InvertedListsMut::remove`] describes their order.
///
/// # Panics
/// If the offsets are not strictly ascending or not below `len`.
pub fn closing_moves(len: usize, offsets: &[ListOffset]) -> Vec<(ListOffset, ListOffset)> {
    assert!(offsets.windows(2).all(|pair| pair[0] < pair[1]), "offsets must be strictly ascending");
    assert!(offsets.last().is_none_or(|last| last.index() < len), "offsets must lie in the list");
    let left = len - offsets.len();
    let (gaps, gone) = offsets.split_at(offsets.partition_point(|o| o.index() < left));
    let survivors = (left..len).map(|o| ListOffset(o as u32)).filter(|o| gone.binary_search(o).is_err());
    survivors.zip(gaps.iter().copied()).collect()
}

/// The specification of a store, which creates an empty store once the layout is known. (A codec is
/// trained before its lists exist.)
///
/// A [`StoreRow`] is a specification. A store that needs further data,
/// such as the path of a folder, implements its own.
pub trait StoreSpec: Send + Sync + fmt::Debug {
    /// Returns the tag of the store's registry row. An untrained index, which is saved without
    /// lists, finds its store by this tag.
    fn tag(&self) -> &str;

    /// Creates a store of `nlist` empty lists.
    fn create(&self, nlist: usize, layout: &CodeLayout) -> Result<Box<dyn InvertedLists>, StoreError>;
}

impl dyn InvertedLists + '_ {
    /// Reads the codes at the locations `places` into `codes` (`places.len() x code_size` bytes),
    /// and returns the ids. Only the blocks that hold the codes are read, each once.
    ///
    /// # Errors
    /// [`StoreError::NoSuchEntry`] for a location past the end of its list, or an error of reading
    /// a list.
    ///
    /// # Panics
    /// If `codes` has another length.
    pub fn codes_at(&self, places: &[Location], codes: &mut [u8]) -> Result<Vec<Id>, StoreError> {
        let (layout, size) = (self.layout(), self.layout().code_size());
        assert_eq!(codes.len(), places.len() * size, "`codes` must hold one code per location");
        let mut ids = vec![Id(0); places.len()];
        let mut order: Vec<usize> = (0..places.len()).collect();
        order.sort_by_key(|&i| places[i]);
        let offset = |i: usize| places[i].offset.index();
        for run in order.chunk_by(|&a, &b| places[a].list == places[b].list) {
            let list = places[run[0]].list;
            let mut part = ListRef::default();
            // Entries in the same block or in adjoining blocks are read together.
            for near in run.chunk_by(|&a, &b| offset(b) / layout.block_len() - offset(a) / layout.block_len() <= 1) {
                let (first, last) = (offset(near[0]), offset(near[near.len() - 1]));
                // A store may have returned more than it was asked for.
                if part.is_empty() || last >= part.start() + part.len() {
                    part = self.list_range(list, first..last + 1)?;
                }
                for &i in near {
                    let id = part.entry(layout, places[i].offset, &mut codes[i * size..][..size]);
                    match id {
                        Some(id) => ids[i] = id,
                        None => return Err(StoreError::NoSuchEntry { at: places[i], len: self.list_len(list)? }),
                    }
                }
            }
        }
        Ok(ids)
    }

    /// Returns the number of entries in all lists.
    pub fn total_len(&self) -> Result<usize, StoreError> {
        (0..self.nlist()).map(|no| self.list_len(ListNo(no as u32))).sum()
    }

    /// Returns the imbalance factor, defined as in Faiss: `nlist x sum len^2 / (sum len)^2`. It is
    /// 1 if all lists have the same length, and 0 if there are no entries.
    pub fn imbalance_factor(&self) -> Result<f64, StoreError> {
        let (mut sum, mut squares) = (0.0, 0.0);
        for no in 0..self.nlist() {
            let len = self.list_len(ListNo(no as u32))? as f64;
            sum += len;
            squares += len * len;
        }
        Ok(if sum == 0.0 { 0.0 } else { squares * self.nlist() as f64 / (sum * sum) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_moves_are_as_promised() {
        let offsets = |v: &[u32]| v.iter().map(|&o| ListOffset(o)).collect::<Vec<_>>();
        let moves =
            |len, v: &[u32]| closing_moves(len, &offsets(v)).iter().map(|(a, b)| (a.0, b.0)).collect::<Vec<_>>();
        assert_eq!(moves(6, &[1, 3]), [(4, 1), (5, 3)]);
        assert_eq!(moves(6, &[1, 5]), [(4, 1)]);
        assert_eq!(moves(3, &[0, 1, 2]), []);
        assert_eq!(moves(3, &[2]), []);
        assert_eq!(moves(3, &[]), []);
    }
}
