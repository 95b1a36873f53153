//! Inverted lists: where the codes are kept.
//!
//! [`InvertedLists`] is the read half, [`InvertedListsMut`] the write half; [`ArrayLists`] is the store in memory. A store
//! moves blocks as the codec's [`CodeLayout`] says and never looks inside them.

mod array;
mod batch;
mod segment;
mod stored;
mod table;

pub use array::ArrayLists;
pub use batch::{Group, ListBatch};
pub use segment::{ListRef, PlaneBytes, Segment, SegmentIds};

use crate::error::StoreError;
use crate::executor::Executor;
use crate::id::{Id, ListNo, ListOffset, Location};
use crate::layout::CodeLayout;
use crate::node::Node;
use std::fmt;

/// The read half of a store: `nlist` lists, each a sequence of segments.
///
/// Both sides may rely on: reads may run from many threads at once; a [`ListRef`] stays as it is while it is borrowed; list
/// lengths do not exceed 2^32 - 1; every segment is laid out as [`layout`](Self::layout).
///
/// # Errors
/// Reading is fallible (a list may stand on a disk). Asking for a list past the end is [`StoreError::NoSuchList`].
pub trait InvertedLists: Send + Sync + fmt::Debug {
    /// The tag of the store's row, and of [`export`](Self::export)'s node.
    fn tag(&self) -> &str;

    /// How many lists: list numbers are `0..nlist`.
    fn nlist(&self) -> usize;

    /// How codes lie in the segments.
    fn layout(&self) -> &CodeLayout;

    /// The length of a list, without reading it.
    fn list_len(&self, list: ListNo) -> Result<usize, StoreError>;

    /// A list, ready to scan.
    fn list(&self, list: ListNo) -> Result<ListRef<'_>, StoreError>;

    /// These lists are about to be read, in this order: a hint, which a store on a disk uses. Unknown numbers are ignored.
    fn prefetch(&self, _lists: &[ListNo]) {}

    /// Bytes of memory that the lists take, as near as the store knows.
    fn memory(&self) -> usize;

    /// The store for a file or another reader of its insides.
    fn export(&self) -> Result<Node<'_>, StoreError>;

    /// The lists as they are now: what is written to either of the two afterwards does not show in
    /// the other. A store in memory shares what neither changes.
    ///
    /// # Errors
    /// [`StoreError::NoSnapshot`] for a store that cannot be copied.
    fn snapshot(&self) -> Result<Box<dyn InvertedLists>, StoreError>;

    /// The write half, if the store has one.
    fn writer(&mut self) -> Option<&mut dyn InvertedListsMut> {
        None
    }
}

/// The write half of a store.
///
/// A write that fails may leave part of a batch behind; the caller, who knows the lengths from before, cuts it off with
/// [`truncate`](Self::truncate). No other call runs beside a write (`&mut self` says so).
pub trait InvertedListsMut: InvertedLists {
    /// These lists are about to be written to. What can fail of that because of where they are now (in a file, which has to be read
    /// first) fails here, before anything is changed. Unknown numbers are ignored.
    fn prepare(&mut self, _lists: &[ListNo]) -> Result<(), StoreError> {
        Ok(())
    }

    /// Appends each group of the batch to its list, in the group's order.
    ///
    /// # Errors
    /// [`StoreError::NoSuchList`] and [`StoreError::Layout`] before anything is written; [`StoreError::ListFull`] or the
    /// backend's trouble.
    fn append(&mut self, batch: &ListBatch<'_>, executor: &dyn Executor) -> Result<(), StoreError>;

    /// Cuts a list to its first `len` entries; a shorter one stays as it is.
    fn truncate(&mut self, list: ListNo, len: usize) -> Result<(), StoreError>;

    /// Overwrites an entry.
    ///
    /// # Errors
    /// [`StoreError::NoSuchEntry`] past the end of the list, [`StoreError::Segment`] for a code of
    /// another length.
    fn put(&mut self, at: Location, id: Id, code: &[u8]) -> Result<(), StoreError>;

    /// Removes the entries at `offsets` (ascending, each once) and closes the gaps from the end of the list.
    ///
    /// The order afterwards is the same for every store: with `m` entries left, the gaps below `m`, in ascending order, are
    /// filled by the survivors from `m` on, in ascending order. The moves are returned; there are at most as many as
    /// removed entries.
    ///
    /// ```text
    /// a b c d e f, remove 1 and 3:   m = 4, gaps 1 3, survivors from 4 on: e f   ->   a e c f,  moves 4->1, 5->3
    /// ```
    ///
    /// # Errors
    /// [`StoreError::NoSuchEntry`] past the end, before anything is removed.
    ///
    /// # Panics
    /// May panic if the offsets are not ascending.
    fn remove(&mut self, list: ListNo, offsets: &[ListOffset]) -> Result<Vec<Moved>, StoreError>;

    /// Replaces a whole list: `ids` with `codes` (rows of `code_size` bytes).
    ///
    /// # Errors
    /// [`StoreError::NoSuchList`], [`StoreError::ListFull`], and [`StoreError::Segment`] if there
    /// is not one code an id; nothing is replaced then.
    fn replace(&mut self, list: ListNo, ids: &[Id], codes: &[u8]) -> Result<(), StoreError>;

    /// Empties every list.
    fn clear(&mut self) -> Result<(), StoreError>;
}

/// An entry that changed its place when others were removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Its id.
    pub id: Id,
    /// Where it stood.
    pub from: ListOffset,
    /// Where it stands.
    pub to: ListOffset,
}

/// The moves that close the gaps at `offsets` in a list of `len`, as [`InvertedListsMut::remove`] promises: pairs (from, to).
///
/// # Panics
/// If the offsets are not ascending or pass `len`.
pub fn closing_moves(len: usize, offsets: &[ListOffset]) -> Vec<(ListOffset, ListOffset)> {
    assert!(offsets.windows(2).all(|pair| pair[0] < pair[1]), "offsets ascend");
    assert!(offsets.last().is_none_or(|last| last.index() < len), "offsets lie in the list");
    let left = len - offsets.len();
    let (gaps, gone) = offsets.split_at(offsets.partition_point(|o| o.index() < left));
    let survivors = (left..len).map(|o| ListOffset(o as u32)).filter(|o| gone.binary_search(o).is_err());
    survivors.zip(gaps.iter().copied()).collect()
}

/// How to make an empty store once the layout is known (a codec is trained before its lists exist).
///
/// A [`StoreRow`](crate::registry::StoreRow) is one; a store that needs more than its row knows, a folder say, has its own.
pub trait StoreSpec: Send + Sync + fmt::Debug {
    /// The tag of the store's row: an index that travels without lists (untrained) finds its store again by it.
    fn tag(&self) -> &str;

    /// `nlist` empty lists.
    fn create(&self, nlist: usize, layout: &CodeLayout) -> Result<Box<dyn InvertedLists>, StoreError>;
}

impl dyn InvertedLists + '_ {
    /// Reads the codes at some places, one after the other (`places.len() x code_size` bytes), and gives the ids that stand there. A list
    /// of which several are read is read once.
    ///
    /// # Errors
    /// [`StoreError::NoSuchEntry`] for a place past the end of its list, or the list cannot be read.
    ///
    /// # Panics
    /// If `codes` has another length.
    pub fn codes_at(&self, places: &[Location], codes: &mut [u8]) -> Result<Vec<Id>, StoreError> {
        let size = self.layout().code_size();
        assert_eq!(codes.len(), places.len() * size, "room for a code a place");
        let mut ids = vec![Id(0); places.len()];
        let mut order: Vec<usize> = (0..places.len()).collect();
        order.sort_by_key(|&i| places[i]);
        for run in order.chunk_by(|&a, &b| places[a].list == places[b].list) {
            let entries = self.list(places[run[0]].list)?;
            for &i in run {
                let id = entries.entry(self.layout(), places[i].offset, &mut codes[i * size..][..size]);
                ids[i] = id.ok_or(StoreError::NoSuchEntry { at: places[i], len: entries.len() })?;
            }
        }
        Ok(ids)
    }

    /// Entries in all lists.
    pub fn total_len(&self) -> Result<usize, StoreError> {
        (0..self.nlist()).map(|no| self.list_len(ListNo(no as u32))).sum()
    }

    /// How uneven the lists are, as Faiss counts: `nlist x sum len^2 / (sum len)^2`; 1 is even, 0 means no entries.
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
