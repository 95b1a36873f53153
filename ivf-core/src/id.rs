//! Identifiers of vectors, lists and entries of lists.

use bytemuck::{Pod, Zeroable};
use std::fmt;

/// The id of a vector: any `i64`, including negative ones.
///
/// A missing id is an `Option` or a shorter row, never a reserved id. The id -1 for "nothing"
/// exists only at the boundaries (Python, Faiss's files).
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Pod,
    Zeroable,
    serde::Serialize,
    serde::Deserialize,
)]
#[repr(transparent)]
pub struct Id(pub i64);

/// The number of an inverted list, from 0 to nlist - 1.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Pod,
    Zeroable,
    serde::Serialize,
    serde::Deserialize,
)]
#[repr(transparent)]
pub struct ListNo(pub u32);

impl ListNo {
    /// Returns the number as an index into a slice.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The offset of an entry in its list, counted from 0 over all segments of the list.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Pod,
    Zeroable,
    serde::Serialize,
    serde::Deserialize,
)]
#[repr(transparent)]
pub struct ListOffset(pub u32);

impl ListOffset {
    /// Returns the offset as an index into a slice.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The location of an entry: a list and an offset in it.
///
/// ```
/// use ivf_core::Location;
/// let lists = [vec!["a"], vec!["b", "c"]];
/// let at = Location::new(1, 0);
/// assert_eq!(lists[at.list.index()][at.offset.index()], "b");
/// // Locations are in order of their lists, and then of their offsets.
/// assert!(Location::new(0, 9) < at);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct Location {
    /// The list.
    pub list: ListNo,
    /// The offset in the list.
    pub offset: ListOffset,
}

impl Location {
    /// Creates a location from its two numbers.
    pub fn new(list: u32, offset: u32) -> Self {
        Self { list: ListNo(list), offset: ListOffset(offset) }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ListNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<i64> for Id {
    fn from(id: i64) -> Self {
        Self(id)
    }
}

/// The ids of a run of entries: stored one by one, or counted up from a first id.
///
/// A list whose ids are consecutive, such as that of a `Flat` index filled with `add`, stores no
/// ids.
///
/// ```
/// use ivf_core::{Id, Ids};
/// let run = Ids::Run { first: Id(10), len: 4 };
/// let listed = Ids::Listed(&[Id(7), Id(3), Id(9)]);
/// assert_eq!((run.len(), run.get(2)), (4, Id(12)));
/// assert_eq!((run.position(Id(13)), listed.position(Id(9))), (Some(3), Some(2)));
/// assert_eq!(listed.position(Id(4)), None);
///
/// let tail = run.slice(2..4);
/// assert_eq!(tail.iter().collect::<Vec<_>>(), [Id(12), Id(13)]);
/// assert!(run.slice(4..4).is_empty());
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Ids<'a> {
    /// One id per entry, in any order.
    Listed(&'a [Id]),
    /// One id per entry, in ascending order (equal ids are allowed). A range of ids is found by
    /// bisection.
    Ascending(&'a [Id]),
    /// The `len` consecutive ids `first`, `first + 1`, ...
    Run {
        /// The id of entry 0.
        first: Id,
        /// Number of entries.
        len: usize,
    },
}

impl<'a> Ids<'a> {
    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        match self {
            Self::Listed(ids) | Self::Ascending(ids) => ids.len(),
            Self::Run { len, .. } => *len,
        }
    }

    /// Returns true if there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the id of entry `i`.
    ///
    /// # Panics
    /// If `i >= len`.
    #[inline]
    pub fn get(&self, i: usize) -> Id {
        match self {
            Self::Listed(ids) | Self::Ascending(ids) => ids[i],
            Self::Run { first, len } => {
                assert!(i < *len, "entry {i} of {len}");
                Id(first.0.wrapping_add(i as i64))
            }
        }
    }

    /// Returns the first entry with the id. This takes constant time for a run, a bisection for
    /// ascending ids, and a linear scan otherwise.
    pub fn position(&self, id: Id) -> Option<usize> {
        match self {
            Self::Listed(ids) => ids.iter().position(|&listed| listed == id),
            Self::Ascending(ids) => {
                let place = ids.partition_point(|&listed| listed < id);
                (ids.get(place) == Some(&id)).then_some(place)
            }
            Self::Run { first, len } => {
                id.0.checked_sub(first.0).and_then(|i| usize::try_from(i).ok()).filter(|i| i < len)
            }
        }
    }

    /// Returns the ids of the entries `range`.
    ///
    /// # Panics
    /// If the range ends past `len`.
    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        match self {
            Self::Listed(ids) => Self::Listed(&ids[range]),
            Self::Ascending(ids) => Self::Ascending(&ids[range]),
            Self::Run { first, len } => {
                assert!(range.start <= range.end && range.end <= *len, "entries {range:?} of {len}");
                Self::Run { first: Id(first.0.wrapping_add(range.start as i64)), len: range.len() }
            }
        }
    }

    /// Iterates over the ids in order.
    pub fn iter(&self) -> impl Iterator<Item = Id> + use<'a> {
        let ids = *self;
        (0..ids.len()).map(move |i| ids.get(i))
    }
}
