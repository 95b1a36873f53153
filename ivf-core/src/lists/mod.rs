//! Inverted lists: the stores of codes.
//!
//! [`InvertedLists`] is the read half of a store, [`InvertedListsMut`] the write half.
//! [`ArrayLists`] is the store in memory. A store handles codes only through the codec's
//! [`CodeLayout`] and does not interpret the content of blocks.
//!
//! A store that keeps each entry on its own, and packs a list when it is read. [`ArrayLists`] keeps
//! lists packed. `examples/03_own_store.rs` also reads its lists from files.
//!
//! ```
//! use ivf_core::bytes::{AlignedBytes, PlaneBytes};
//! use ivf_core::error::StoreError;
//! use ivf_core::layout::Planes;
//! use ivf_core::lists::{ListBatch, ListRef, Moved, Segment, SegmentIds, StoreSpec, closing_moves};
//! use ivf_core::node::NamedArray;
//! use ivf_core::{
//!     CodeLayout, Executor, Id, IdSelector, Index, InvertedLists, InvertedListsMut, ListNo, ListOffset, Location,
//!     Metric, Node, Rows,
//! };
//! use std::sync::Arc;
//!
//! #[derive(Clone, Debug)]
//! struct Entries {
//!     layout: CodeLayout,
//!     lists: Vec<Vec<(Id, Vec<u8>)>>,
//! }
//!
//! impl Entries {
//!     fn get(&self, list: ListNo) -> Result<&Vec<(Id, Vec<u8>)>, StoreError> {
//!         self.lists.get(list.index()).ok_or(StoreError::NoSuchList { list, nlist: self.lists.len() })
//!     }
//!
//!     fn get_mut(&mut self, list: ListNo) -> Result<&mut Vec<(Id, Vec<u8>)>, StoreError> {
//!         let nlist = self.lists.len();
//!         self.lists.get_mut(list.index()).ok_or(StoreError::NoSuchList { list, nlist })
//!     }
//! }
//!
//! impl InvertedLists for Entries {
//!     fn tag(&self) -> &str {
//!         EntriesSpec.tag()
//!     }
//!
//!     fn nlist(&self) -> usize {
//!         self.lists.len()
//!     }
//!
//!     fn layout(&self) -> &CodeLayout {
//!         &self.layout
//!     }
//!
//!     fn list_len(&self, list: ListNo) -> Result<usize, StoreError> {
//!         Ok(self.get(list)?.len())
//!     }
//!
//!     fn list(&self, list: ListNo) -> Result<ListRef<'_>, StoreError> {
//!         let (entries, layout) = (self.get(list)?, &self.layout);
//!         let ids: Vec<Id> = entries.iter().map(|entry| entry.0).collect();
//!         let blank = |p| AlignedBytes::zeroed(layout.plane_bytes(p, entries.len()));
//!         let mut planes: Planes<AlignedBytes> = (0..layout.plane_count()).map(blank).collect();
//!         let codes = entries.iter().flat_map(|entry| entry.1.iter().copied()).collect::<Vec<u8>>();
//!         layout.pack(&mut planes.iter_mut().map(|plane| &mut **plane).collect::<Planes<_>>(), 0, &codes);
//!         let planes = planes.into_iter().map(|plane| PlaneBytes::Shared(plane.into())).collect();
//!         Ok(ListRef::new([Segment::new(layout, SegmentIds::Shared(ids.into()), planes)?]))
//!     }
//!
//!     fn memory(&self) -> usize {
//!         let entry = size_of::<(Id, Vec<u8>)>() + self.layout.code_size();
//!         self.lists.iter().map(|list| list.len() * entry).sum()
//!     }
//!
//!     fn export(&self) -> Result<Node<'_>, StoreError> {
//!         let mut node = Node::new(self.tag(), 0).with("layout", self.layout.to_string());
//!         let lens: Vec<u64> = self.lists.iter().map(|list| list.len() as u64).collect();
//!         node.push(NamedArray::owned("lens", &[lens.len() as u64], lens));
//!         let all = || self.lists.iter().flatten();
//!         let ids: Vec<Id> = all().map(|entry| entry.0).collect();
//!         node.push(NamedArray::owned("ids", &[ids.len() as u64], ids));
//!         node.push(NamedArray::pieces("codes", all().map(|entry| &entry.1[..])));
//!         Ok(node)
//!     }
//!
//!     fn snapshot(&self) -> Result<Box<dyn InvertedLists>, StoreError> {
//!         Ok(Box::new(self.clone()))
//!     }
//!
//!     fn writer(&mut self) -> Option<&mut dyn InvertedListsMut> {
//!         Some(self)
//!     }
//! }
//!
//! impl InvertedListsMut for Entries {
//!     fn append(&mut self, batch: &ListBatch<'_>, _executor: &dyn Executor) -> Result<(), StoreError> {
//!         if batch.code_size() != self.layout.code_size() {
//!             let found = format!("{} bytes a code", batch.code_size());
//!             return Err(StoreError::Layout { expected: self.layout.to_string(), found });
//!         }
//!         // Everything is checked before anything is written.
//!         for group in batch.groups() {
//!             let len = self.get(group.list)?.len() + group.len();
//!             u32::try_from(len).map_err(|_| StoreError::ListFull { list: group.list })?;
//!         }
//!         for group in batch.groups() {
//!             self.get_mut(group.list)?.extend(group.ids().zip(group.codes().map(<[u8]>::to_vec)));
//!         }
//!         Ok(())
//!     }
//!
//!     fn truncate(&mut self, list: ListNo, len: usize) -> Result<(), StoreError> {
//!         self.get_mut(list)?.truncate(len);
//!         Ok(())
//!     }
//!
//!     fn put(&mut self, at: Location, id: Id, code: &[u8]) -> Result<(), StoreError> {
//!         if code.len() != self.layout.code_size() {
//!             return Err(StoreError::Segment { len: 1, what: "a code of another length" });
//!         }
//!         let entries = self.get_mut(at.list)?;
//!         let len = entries.len();
//!         *entries.get_mut(at.offset.index()).ok_or(StoreError::NoSuchEntry { at, len })? = (id, code.to_vec());
//!         Ok(())
//!     }
//!
//!     fn remove(&mut self, list: ListNo, offsets: &[ListOffset]) -> Result<Vec<Moved>, StoreError> {
//!         let entries = self.get_mut(list)?;
//!         let len = entries.len();
//!         if let Some(&offset) = offsets.iter().find(|offset| offset.index() >= len) {
//!             return Err(StoreError::NoSuchEntry { at: Location { list, offset }, len });
//!         }
//!         // The entries that fill the gaps are the same in every store.
//!         let moves = closing_moves(len, offsets).into_iter().map(|(from, to)| {
//!             entries[to.index()] = entries[from.index()].clone();
//!             Moved { id: entries[to.index()].0, from, to }
//!         });
//!         let moves = moves.collect();
//!         entries.truncate(len - offsets.len());
//!         Ok(moves)
//!     }
//!
//!     fn replace(&mut self, list: ListNo, ids: &[Id], codes: &[u8]) -> Result<(), StoreError> {
//!         let size = self.layout.code_size();
//!         let entries = self.get_mut(list)?;
//!         u32::try_from(ids.len()).map_err(|_| StoreError::ListFull { list })?;
//!         if codes.len() != ids.len() * size {
//!             return Err(StoreError::Segment { len: ids.len(), what: "there is not one code per id" });
//!         }
//!         *entries = ids.iter().copied().zip(codes.chunks_exact(size).map(<[u8]>::to_vec)).collect();
//!         Ok(())
//!     }
//!
//!     fn clear(&mut self) -> Result<(), StoreError> {
//!         self.lists.iter_mut().for_each(Vec::clear);
//!         Ok(())
//!     }
//! }
//!
//! #[derive(Debug)]
//! struct EntriesSpec;
//!
//! impl StoreSpec for EntriesSpec {
//!     fn tag(&self) -> &str {
//!         "entries"
//!     }
//!
//!     fn create(&self, nlist: usize, layout: &CodeLayout) -> Result<Box<dyn InvertedLists>, StoreError> {
//!         Ok(Box::new(Entries { layout: layout.clone(), lists: vec![Vec::new(); nlist] }))
//!     }
//! }
//!
//! // An inverted file creates the store when it is trained.
//! # use ivf_cpu::{IvfIndex, coarse::FlatQuantizerSpec, codec::FlatSpec};
//! let index = IvfIndex::new(1, Metric::L2, Arc::new(FlatQuantizerSpec { nlist: 1 }), Arc::new(FlatSpec))?;
//! let mut index: Box<dyn Index> = Box::new(index.with_store(Arc::new(EntriesSpec)));
//! let vectors = Rows::new(&[5.0_f32, 6.0, 7.0, 8.0], 1)?;
//! index.train(vectors)?;
//! index.add(vectors)?;
//! index.remove(&IdSelector::range(0..2))?;
//! let lists = index.as_ivf().and_then(|ivf| ivf.lists()).ok_or("trained above")?;
//! assert!(lists.list(ListNo(0))?.ids().eq([Id(2), Id(3)])); // the last two filled the gaps
//! assert_eq!(index.reconstruct(Id(3))?, [8.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod array;
mod array_list;
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
/// ```
/// use ivf_core::{ArrayLists, CodeLayout, Id, InvertedLists, InvertedListsMut, ListNo};
/// let mut lists = ArrayLists::new(3, CodeLayout::rows(1));
/// lists.replace(ListNo(1), &[Id(7), Id(8)], b"ab")?;
///
/// // Codes are read through the layout, whatever the store.
/// assert_eq!(lists.list(ListNo(1))?.unpack(lists.layout()), b"ab");
/// assert!(lists.list(ListNo(3)).is_err());
///
/// // A search goes on in the snapshot while the lists change.
/// let snapshot = lists.snapshot()?;
/// lists.writer().ok_or("read-only lists")?.clear()?;
/// assert_eq!((snapshot.list_len(ListNo(1))?, lists.list_len(ListNo(1))?), (2, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
    ///
    /// ```
    /// # use ivf_core::{ArrayLists, CodeLayout, Id, InvertedLists, InvertedListsMut, ListNo};
    /// // Two codes of 32 bytes take 64, so a part can begin at every second entry.
    /// let mut lists = ArrayLists::new(1, CodeLayout::rows(32));
    /// lists.replace(ListNo(0), &[10, 11, 12, 13, 14].map(Id), &[0; 5 * 32])?;
    /// let part = lists.list_range(ListNo(0), 3..4)?;
    /// assert_eq!(part.start(), 2);
    /// assert!(part.ids().eq([Id(12), Id(13)]));
    /// // Ids alone are those of exactly the entries, as far as there are any.
    /// assert!(lists.list_ids(ListNo(0), 3..4)?.iter().eq([Id(13)]));
    /// assert!(lists.list_ids(ListNo(0), 5..9)?.is_empty());
    /// # Ok::<(), ivf_core::error::StoreError>(())
    /// ```
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
    ///
    /// ```
    /// # use ivf_core::{ArrayLists, CodeLayout, Id, InvertedLists, InvertedListsMut, ListNo};
    /// # let mut lists = ArrayLists::new(3, CodeLayout::rows(1));
    /// # lists.replace(ListNo(1), &[Id(7), Id(8)], b"ab")?;
    /// // A disk can read list 1 while list 2 is scanned.
    /// let probed = [ListNo(2), ListNo(1)];
    /// lists.prefetch(&probed);
    /// let scanned = probed.iter().map(|list| Ok(lists.list(*list)?.len()));
    /// assert_eq!(scanned.sum::<Result<usize, ivf_core::error::StoreError>>()?, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn prefetch(&self, _lists: &[ListNo]) {}

    /// Returns true if reading a list only reads memory, which is the default. A search reads a
    /// list that is not in memory once for all queries that probe it, where the mode leaves it the
    /// choice.
    ///
    /// ```
    /// # use ivf_core::{ArrayLists, CodeLayout, InvertedLists};
    /// assert!(ArrayLists::new(3, CodeLayout::rows(1)).in_memory());
    /// ```
    fn in_memory(&self) -> bool {
        true
    }

    /// Returns the memory that the lists take, in bytes, as exactly as the store knows it.
    fn memory(&self) -> usize;

    /// Estimates the memory of `entries` entries in this store, in bytes, beside their codes and
    /// ids. The provided method assumes that the last block of each list is half full.
    ///
    /// ```
    /// use ivf_core::{ArrayLists, CodeLayout, InvertedLists};
    /// let layout = CodeLayout::interleaved(4, 8, 32);
    /// let overhead = |nlist, entries| ArrayLists::new(nlist, layout.clone()).overhead(entries);
    /// // Half a block for each list, of 16 codes of 32 bytes.
    /// assert_eq!(overhead(1000, 1_000_000), 1000 * 16 * 32);
    /// // A store of 262,144 lists or more has no blocks for lists of few entries.
    /// assert!(overhead(1 << 24, 1_000_000) < 500_000_000);
    /// ```
    fn overhead(&self, entries: usize) -> usize {
        let layout = self.layout();
        self.nlist().min(entries).saturating_mul(layout.block_len() / 2 * layout.code_size())
    }

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
///
/// ```
/// use ivf_core::executor::Inline;
/// use ivf_core::lists::ListBatch;
/// use ivf_core::{ArrayLists, CodeLayout, Id, InvertedLists, InvertedListsMut, ListNo, Location};
/// let mut lists = ArrayLists::new(2, CodeLayout::rows(1));
/// let batch = ListBatch::group(&[ListNo(1), ListNo(0), ListNo(1)], &[Id(7), Id(8), Id(9)], b"abc", 1);
/// lists.append(&batch, &Inline)?;
/// lists.put(Location::new(1, 0), Id(6), b"z")?;
/// assert!(lists.list(ListNo(1))?.entries(lists.layout()).eq([(Id(6), b"z".to_vec()), (Id(9), b"c".to_vec())]));
///
/// // A writer that undoes the batch knows the length before it.
/// lists.truncate(ListNo(1), 0)?;
/// lists.truncate(ListNo(0), 0)?;
/// assert_eq!((&lists as &dyn InvertedLists).total_len()?, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait InvertedListsMut: InvertedLists {
    /// Prepares lists for writing. A store whose lists are in a file reads them here. An error of
    /// that read then occurs before anything is modified. Unknown list numbers are ignored.
    ///
    /// ```
    /// # use ivf_core::{ArrayLists, CodeLayout, Id, InvertedLists, InvertedListsMut, ListNo, ListOffset};
    /// # let mut saved = ArrayLists::new(2, CodeLayout::rows(1));
    /// # saved.replace(ListNo(0), &[Id(1)], b"a")?;
    /// # saved.replace(ListNo(1), &[Id(2)], b"b")?;
    /// # let file = saved.export()?.to_stored();
    /// let mut lists = ArrayLists::read(&file, &CodeLayout::rows(1))?;
    /// // If list 1 cannot be read, list 0 has not changed yet.
    /// lists.prepare(&[ListNo(0), ListNo(1)])?;
    /// lists.remove(ListNo(0), &[ListOffset(0)])?;
    /// lists.remove(ListNo(1), &[ListOffset(0)])?;
    /// assert_eq!((lists.list_len(ListNo(0))?, saved.list_len(ListNo(0))?), (0, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    /// ```
    /// use ivf_core::lists::Moved;
    /// use ivf_core::{ArrayLists, CodeLayout, Id, InvertedLists, InvertedListsMut, ListNo, ListOffset};
    /// let mut lists = ArrayLists::new(1, CodeLayout::rows(1));
    /// lists.replace(ListNo(0), &[0, 1, 2, 3, 4, 5].map(Id), b"abcdef")?;
    /// let moves = lists.remove(ListNo(0), &[ListOffset(1), ListOffset(3)])?;
    /// assert_eq!(lists.list(ListNo(0))?.unpack(lists.layout()), b"aecf");
    /// assert_eq!(moves[0], Moved { id: Id(4), from: ListOffset(4), to: ListOffset(1) });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
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
/// ```
/// use ivf_core::{ListOffset, lists::closing_moves};
/// // Of 6 entries, 4 stay. Entry 4 fills the gap at 1, and entry 5 is itself removed.
/// assert_eq!(closing_moves(6, &[1, 5].map(ListOffset)), [(ListOffset(4), ListOffset(1))]);
/// ```
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
///
/// ```
/// use ivf_core::{ArrayLists, CodeLayout, lists::StoreSpec};
/// let spec: &dyn StoreSpec = &ArrayLists::ROW;
/// let lists = spec.create(4, &CodeLayout::rows(8))?;
/// assert_eq!((lists.nlist(), lists.tag()), (4, spec.tag()));
/// # Ok::<(), ivf_core::error::StoreError>(())
/// ```
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
    /// ```
    /// # use ivf_core::{ArrayLists, CodeLayout, Id, InvertedLists, InvertedListsMut, ListNo, Location};
    /// let mut lists = ArrayLists::new(2, CodeLayout::rows(1));
    /// lists.replace(ListNo(0), &[7, 8].map(Id), b"ab")?;
    /// lists.replace(ListNo(1), &[Id(9)], b"c")?;
    /// let lists: &dyn InvertedLists = &lists;
    /// let mut codes = [0; 2];
    /// let ids = lists.codes_at(&[Location::new(1, 0), Location::new(0, 1)], &mut codes)?;
    /// assert_eq!((ids, &codes), (vec![Id(9), Id(8)], b"cb"));
    /// # Ok::<(), ivf_core::error::StoreError>(())
    /// ```
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
    ///
    /// ```
    /// # use ivf_core::{ArrayLists, CodeLayout, Id, InvertedLists, InvertedListsMut, ListNo};
    /// let mut lists = ArrayLists::new(2, CodeLayout::rows(1));
    /// lists.replace(ListNo(0), &[1, 2, 3].map(Id), b"abc")?;
    /// lists.replace(ListNo(1), &[Id(4)], b"d")?;
    /// let lists: &dyn InvertedLists = &lists;
    /// assert_eq!(lists.total_len()?, 4);
    /// assert_eq!(lists.imbalance_factor()?, 2.0 * (9.0 + 1.0) / 16.0);
    /// # Ok::<(), ivf_core::error::StoreError>(())
    /// ```
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
