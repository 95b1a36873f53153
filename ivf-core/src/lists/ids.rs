//! The ids of a part of a list, read without its codes.

use super::SegmentIds;
use crate::id::{Id, Ids, ListOffset};
use std::ops::Range;

/// The ids of consecutive entries of a list, which
/// [`InvertedLists::list_ids`](super::InvertedLists::list_ids) returns.
///
/// ```
/// use ivf_core::lists::{ListIds, SegmentIds};
/// use ivf_core::{Id, Ids, ListOffset};
/// // The entries 64 to 67 of a list, in two segments.
/// let segments = [Ids::Run { first: Id(7), len: 3 }, Ids::Listed(&[Id(1)])];
/// let ids = ListIds::new(64, segments.map(SegmentIds::Borrowed));
/// assert_eq!((ids.start(), ids.len(), ids.is_empty()), (64, 4, false));
/// assert_eq!(ids.id(ListOffset(65)), Some(Id(8)));
/// assert_eq!(ids.entries().last(), Some((ListOffset(67), Id(1))));
///
/// // The offset of an id. A segment that is a run takes constant time.
/// let offset = ids.placed().find_map(|(first, ids)| Some(first + ids.position(Id(9))?));
/// assert_eq!(offset, Some(66));
///
/// assert!(ids.narrowed(66..100).iter().eq([Id(9), Id(1)]));
/// ```
#[derive(Clone, Debug, Default)]
pub struct ListIds<'a> {
    start: usize,
    /// The first segment, stored inline: most lists have only one.
    first: Option<SegmentIds<'a>>,
    rest: Vec<SegmentIds<'a>>,
    len: usize,
}

impl<'a> ListIds<'a> {
    /// Creates the ids of the segments of a list that follow the entry before offset `start`. Empty
    /// segments are dropped.
    pub fn new(start: usize, segments: impl IntoIterator<Item = SegmentIds<'a>>) -> Self {
        let mut segments = segments.into_iter().filter(|ids| !ids.view().is_empty());
        let (first, rest) = (segments.next(), segments.collect::<Vec<_>>());
        let len = first.iter().chain(&rest).map(|ids| ids.view().len()).sum();
        Self { start, first, rest, len }
    }

    /// Returns the offset in the list of the first entry.
    pub fn start(&self) -> usize {
        self.start
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns true if there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Iterates over the ids of the segments, each with the offset in the list of its first entry.
    pub fn placed(&self) -> impl Iterator<Item = (usize, Ids<'_>)> {
        self.first.iter().chain(&self.rest).map(SegmentIds::view).scan(self.start, |start, ids| {
            let first = *start;
            *start += ids.len();
            Some((first, ids))
        })
    }

    /// Iterates over the ids in order.
    pub fn iter(&self) -> impl Iterator<Item = Id> {
        self.placed().flat_map(|(_, ids)| ids.iter())
    }

    /// Iterates over the ids in order, each with its offset in the list.
    pub fn entries(&self) -> impl Iterator<Item = (ListOffset, Id)> {
        (self.start..).map(|offset| ListOffset(offset as u32)).zip(self.iter())
    }

    /// Returns the id of the entry at an offset of the list, or `None` if it is not among these.
    pub fn id(&self, offset: ListOffset) -> Option<Id> {
        self.placed().find_map(|(first, ids)| {
            let slot = offset.index().checked_sub(first).filter(|&slot| slot < ids.len())?;
            Some(ids.get(slot))
        })
    }

    /// Returns the ids of those entries whose offsets in the list are in `entries`.
    pub fn narrowed(self, entries: Range<usize>) -> Self {
        if entries.start <= self.start && self.start + self.len <= entries.end {
            return self;
        }
        let start = entries.start.clamp(self.start, self.start + self.len);
        let mut next = self.start;
        let narrowed = self.first.into_iter().chain(self.rest).map(|ids| {
            let (first, len) = (next, ids.view().len());
            next += len;
            let slots = entries.start.saturating_sub(first).min(len)..entries.end.saturating_sub(first).min(len);
            ids.narrowed(slots.start..slots.end.max(slots.start))
        });
        Self::new(start, narrowed)
    }
}
