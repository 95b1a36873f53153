//! Names of things: vectors, lists, places in lists.

use bytemuck::{Pod, Zeroable};
use std::fmt;

/// The name of a vector: any `i64`, negative ones too.
///
/// Absence is an `Option` or a shorter row, never a magic id; -1 for "nothing" exists only at the
/// edges (Python, Faiss's files).
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

/// The number of an inverted list: `0..nlist`.
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
    /// The number as an index into a slice.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The place of an entry in its list: `0..list length`, over all segments of the list.
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
    /// The place as an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where an entry stands: a list and an offset in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct Location {
    /// The list.
    pub list: ListNo,
    /// The place in the list.
    pub offset: ListOffset,
}

impl Location {
    /// A location from its two numbers.
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

/// The ids of a stretch of entries: listed one by one, or counting up from a first one.
///
/// A list whose ids are consecutive (that of every `Flat` index filled with `add`) stores none of
/// them.
#[derive(Clone, Copy, Debug)]
pub enum Ids<'a> {
    /// One id an entry.
    Listed(&'a [Id]),
    /// One id an entry, none less than the one before it: a range of ids is found by bisection.
    Ascending(&'a [Id]),
    /// `first`, `first + 1`, ..., `len` of them.
    Run {
        /// The id of entry 0.
        first: Id,
        /// How many.
        len: usize,
    },
}

impl<'a> Ids<'a> {
    /// How many entries.
    pub fn len(&self) -> usize {
        match self {
            Self::Listed(ids) | Self::Ascending(ids) => ids.len(),
            Self::Run { len, .. } => *len,
        }
    }

    /// True if there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The id of entry `i`.
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

    /// The first entry with the id: at once for a run, by bisection for ascending ids, by looking
    /// at each for others.
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

    /// The ids of the entries `range`.
    ///
    /// # Panics
    /// If the range passes the end.
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

    /// The ids in order.
    pub fn iter(&self) -> impl Iterator<Item = Id> + use<'a> {
        let ids = *self;
        (0..ids.len()).map(move |i| ids.get(i))
    }
}
