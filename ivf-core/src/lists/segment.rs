//! What a reader of a list gets: segments of ids and blocks of codes.

use crate::bytes::{ALIGN, SharedBytes};
use crate::error::StoreError;
use crate::id::{Id, Ids, ListOffset};
use crate::layout::{CodeLayout, Planes};
use std::borrow::Cow;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// The bytes of one plane of a segment: the store's own, or shared (read from a disk, or a snapshot's).
#[derive(Clone, Debug)]
pub enum PlaneBytes<'a> {
    /// Borrowed from the store.
    Borrowed(&'a [u8]),
    /// Kept alive by the segment itself.
    Shared(SharedBytes),
}

impl Deref for PlaneBytes<'_> {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl<'a> From<PlaneBytes<'a>> for Cow<'a, [u8]> {
    fn from(bytes: PlaneBytes<'a>) -> Self {
        match bytes {
            PlaneBytes::Borrowed(bytes) => Self::Borrowed(bytes),
            PlaneBytes::Shared(bytes) => Self::Owned(bytes.to_vec()),
        }
    }
}

/// The ids of a segment: the store's own, or shared.
#[derive(Clone, Debug)]
pub enum SegmentIds<'a> {
    /// Borrowed from the store.
    Borrowed(Ids<'a>),
    /// Kept alive by the segment itself.
    Shared(Arc<[Id]>),
}

/// A stretch of a list: its ids, its planes, and its own partly filled last block.
///
/// Made only by [`Segment::new`], so whoever holds one may rely on: every plane has exactly
/// [`CodeLayout::plane_bytes`]`(plane, len)` bytes and starts on a 64-byte boundary; there are `len` ids.
#[derive(Clone, Debug)]
pub struct Segment<'a> {
    ids: SegmentIds<'a>,
    planes: Planes<PlaneBytes<'a>>,
}

impl<'a> Segment<'a> {
    /// A segment of codes laid out as `layout`.
    ///
    /// # Errors
    /// [`StoreError::Segment`] if a plane has the wrong length or start.
    pub fn new(layout: &CodeLayout, ids: SegmentIds<'a>, planes: Planes<PlaneBytes<'a>>) -> Result<Self, StoreError> {
        let segment = Self { ids, planes };
        let len = segment.len();
        let fault = |what| Err(StoreError::Segment { len, what });
        if segment.planes.len() != layout.plane_count() {
            return fault("it has another number of planes than the layout");
        }
        for (p, plane) in segment.planes.iter().enumerate() {
            if plane.len() != layout.plane_bytes(p, len) {
                return fault("a plane is not as long as its blocks");
            }
            if !plane.is_empty() && !(plane.as_ptr() as usize).is_multiple_of(ALIGN) {
                return fault("a plane does not start on a 64-byte boundary");
            }
        }
        Ok(segment)
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.ids().len()
    }

    /// True if there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ids.
    #[inline]
    pub fn ids(&self) -> Ids<'_> {
        match &self.ids {
            SegmentIds::Borrowed(ids) => *ids,
            SegmentIds::Shared(ids) => Ids::Listed(ids),
        }
    }

    /// The blocks of plane `p`.
    ///
    /// # Panics
    /// If the layout has no plane `p`.
    #[inline]
    pub fn plane(&self, p: usize) -> &[u8] {
        &self.planes[p]
    }

    /// Reads the code of entry `slot`.
    ///
    /// # Panics
    /// If `slot >= len`, or `layout` is another one than the segment was made with.
    pub fn code(&self, layout: &CodeLayout, slot: usize, code: &mut [u8]) {
        assert!(slot < self.len(), "entry {slot} of {}", self.len());
        let planes: Planes<&[u8]> = self.planes.iter().map(|p| &**p).collect();
        layout.get(&planes, slot, code);
    }
}

impl Segment<'_> {
    /// Reads the codes of some entries, one after the other: a call of the packer a block.
    ///
    /// # Panics
    /// If the entries pass `len`, `codes` has another length, or `layout` is another one than the
    /// segment was made with.
    pub fn unpack(&self, layout: &CodeLayout, entries: Range<usize>, codes: &mut [u8]) {
        assert!(entries.end <= self.len(), "entries {entries:?} of {}", self.len());
        assert_eq!(codes.len(), entries.len() * layout.code_size(), "room for a code an entry");
        let planes: Planes<&[u8]> = self.planes.iter().map(|p| &**p).collect();
        layout.unpack(&planes, entries.start, codes);
    }
}

/// A list as a reader sees it: its segments in order.
#[derive(Clone, Debug, Default)]
pub struct ListRef<'a> {
    /// Most lists have one segment: it stands here, so that reading such a list takes no heap.
    first: Option<Segment<'a>>,
    rest: Vec<Segment<'a>>,
    len: usize,
}

impl<'a> ListRef<'a> {
    /// A list of these segments. Empty ones are dropped.
    pub fn new(segments: impl IntoIterator<Item = Segment<'a>>) -> Self {
        let mut segments = segments.into_iter().filter(|segment| !segment.is_empty());
        let (first, rest) = (segments.next(), segments.collect::<Vec<_>>());
        let len = first.iter().chain(&rest).map(Segment::len).sum();
        Self { first, rest, len }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The segments, none of them empty.
    pub fn segments(&self) -> impl Iterator<Item = &Segment<'a>> {
        self.first.iter().chain(&self.rest)
    }

    /// The segments with the list offset of their first entries.
    pub fn placed(&self) -> impl Iterator<Item = (usize, &Segment<'a>)> {
        self.segments().scan(0, |start, segment| {
            let first = *start;
            *start += segment.len();
            Some((first, segment))
        })
    }

    /// The ids in order.
    pub fn ids(&self) -> impl Iterator<Item = Id> {
        self.segments().flat_map(|segment| segment.ids().iter())
    }

    /// The id of the entry at `offset`; `None` past the end.
    pub fn id(&self, offset: ListOffset) -> Option<Id> {
        self.placed().find_map(|(first, segment)| {
            let slot = offset.index().checked_sub(first).filter(|&slot| slot < segment.len())?;
            Some(segment.ids().get(slot))
        })
    }

    /// The id of the entry at `offset`, its code written to `code`; `None` past the end.
    pub fn entry(&self, layout: &CodeLayout, offset: ListOffset, code: &mut [u8]) -> Option<Id> {
        self.placed().find_map(|(first, segment)| {
            let slot = offset.index().checked_sub(first).filter(|&slot| slot < segment.len())?;
            segment.code(layout, slot, code);
            Some(segment.ids().get(slot))
        })
    }

    /// The entries in order: each id with its code.
    pub fn entries(&self, layout: &CodeLayout) -> impl Iterator<Item = (Id, Vec<u8>)> {
        self.segments().flat_map(move |segment| {
            (0..segment.len()).map(move |slot| {
                let mut code = vec![0; layout.code_size()];
                segment.code(layout, slot, &mut code);
                (segment.ids().get(slot), code)
            })
        })
    }

    /// All codes as rows, `len x code_size` bytes, in order.
    pub fn unpack(&self, layout: &CodeLayout) -> Vec<u8> {
        let mut codes = vec![0; self.len * layout.code_size()];
        let mut rest = &mut codes[..];
        for segment in self.segments() {
            let (rows, next) = rest.split_at_mut(segment.len() * layout.code_size());
            segment.unpack(layout, 0..segment.len(), rows);
            rest = next;
        }
        codes
    }
}
