//! The read view of a list: segments of ids and of blocks of codes.

use crate::bytes::ALIGN;
pub use crate::bytes::PlaneBytes;
use crate::error::StoreError;
use crate::id::{Id, Ids, ListOffset};
use crate::layout::{CodeLayout, Planes};
use crate::lists::ListIds;
use std::ops::Range;
use std::sync::Arc;

/// The ids of a segment: borrowed from the store, or shared.
///
/// ```
/// use ivf_core::lists::SegmentIds;
/// use ivf_core::{Id, Ids};
/// let stored = [7, 3].map(Id);
/// let (borrowed, shared) = (SegmentIds::Borrowed(Ids::Listed(&stored)), SegmentIds::Shared(stored.into()));
/// // A reader sees the same ids.
/// assert_eq!([borrowed, shared].map(|ids| ids.view().get(1)), [Id(3); 2]);
/// ```
#[derive(Clone, Debug)]
pub enum SegmentIds<'a> {
    /// Borrowed from the store.
    Borrowed(Ids<'a>),
    /// Shared, and kept alive by the segment itself.
    Shared(Arc<[Id]>),
}

impl SegmentIds<'_> {
    /// Returns a view of the ids.
    #[inline]
    pub fn view(&self) -> Ids<'_> {
        match self {
            Self::Borrowed(ids) => *ids,
            Self::Shared(ids) => Ids::Listed(ids),
        }
    }

    /// Returns the ids of the entries `slots`.
    ///
    /// # Panics
    /// If the range ends past the last entry.
    pub(super) fn narrowed(self, slots: Range<usize>) -> Self {
        match self {
            Self::Borrowed(ids) => Self::Borrowed(ids.slice(slots)),
            Self::Shared(ids) if slots.len() == ids.len() => Self::Shared(ids),
            Self::Shared(ids) => Self::Shared(ids[slots].into()),
        }
    }
}

/// A run of consecutive entries of a list, with its ids and its planes. The last block of each
/// segment may be partly filled.
///
/// [`Segment::new`], the only constructor, checks the shape. Every plane has exactly
/// [`CodeLayout::plane_bytes`]`(plane, len)` bytes and starts on a 64-byte boundary.
///
/// ```
/// use ivf_core::bytes::{AlignedBytes, PlaneBytes};
/// use ivf_core::lists::{Segment, SegmentIds};
/// use ivf_core::{CodeLayout, Id, Ids};
/// // Codes of one byte in blocks of four. The second block is partly filled.
/// let layout = CodeLayout::interleaved(1, 1, 4);
/// let bytes = AlignedBytes::copy_of(b"abcdef\0\0");
/// let planes = [PlaneBytes::Borrowed(&bytes)].into_iter().collect();
/// let ids = SegmentIds::Borrowed(Ids::Run { first: Id(10), len: 6 });
/// let segment = Segment::new(&layout, ids, planes)?;
/// assert_eq!((segment.len(), segment.is_empty(), segment.ids().get(5)), (6, false, Id(15)));
/// assert_eq!(segment.plane(0).len(), 2 * 4);
///
/// let mut code = [0];
/// segment.code(&layout, 1, &mut code);
/// assert_eq!(&code, b"b");
/// let mut codes = [0; 3];
/// segment.unpack(&layout, 3..6, &mut codes);
/// assert_eq!(&codes, b"def");
/// # Ok::<(), ivf_core::error::StoreError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Segment<'a> {
    ids: SegmentIds<'a>,
    planes: Planes<PlaneBytes<'a>>,
}

impl<'a> Segment<'a> {
    /// Creates a segment of codes in the layout `layout`.
    ///
    /// # Errors
    /// [`StoreError::Segment`] if the number of planes, or the length or alignment of a plane, is
    /// wrong.
    pub fn new(layout: &CodeLayout, ids: SegmentIds<'a>, planes: Planes<PlaneBytes<'a>>) -> Result<Self, StoreError> {
        let segment = Self { ids, planes };
        let len = segment.len();
        let fault = |what| Err(StoreError::Segment { len, what });
        if segment.planes.len() != layout.plane_count() {
            return fault("the number of planes differs from the layout");
        }
        for (p, plane) in segment.planes.iter().enumerate() {
            if plane.len() != layout.plane_bytes(p, len) {
                return fault("the length of a plane does not match its number of blocks");
            }
            if !plane.is_empty() && !(plane.as_ptr() as usize).is_multiple_of(ALIGN) {
                return fault("a plane does not start on a 64-byte boundary");
            }
        }
        Ok(segment)
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.ids().len()
    }

    /// Returns true if there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the ids.
    #[inline]
    pub fn ids(&self) -> Ids<'_> {
        self.ids.view()
    }

    /// Returns the blocks of plane `p`.
    ///
    /// # Panics
    /// If the layout has no plane `p`.
    #[inline]
    pub fn plane(&self, p: usize) -> &[u8] {
        &self.planes[p]
    }

    /// Returns whether the blocks are read where they are stored, in memory or in a map of a file.
    /// Otherwise they are a copy, which was read for this segment.
    ///
    /// ```
    /// use ivf_core::{ArrayLists, CodeLayout, Id, InvertedLists, ListNo};
    /// let mut lists = ArrayLists::new(1, CodeLayout::rows(1));
    /// lists.writer().ok_or("lists in memory")?.replace(ListNo(0), &[Id(7)], b"a")?;
    /// assert!(lists.list(ListNo(0))?.segments().all(|segment| segment.is_in_place()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_in_place(&self) -> bool {
        self.planes.iter().all(|plane| matches!(plane, PlaneBytes::Borrowed(_)))
    }

    /// Reads the code of entry `slot` (its index in the segment) into `code`.
    ///
    /// # Panics
    /// If `slot >= len`, or if `layout` is not the layout of the segment.
    pub fn code(&self, layout: &CodeLayout, slot: usize, code: &mut [u8]) {
        assert!(slot < self.len(), "entry {slot} of a segment of {} entries", self.len());
        let planes: Planes<&[u8]> = self.planes.iter().map(|p| &**p).collect();
        layout.get(&planes, slot, code);
    }
}

impl<'a> Segment<'a> {
    /// Returns the first and the end of the entries that a segment of whole blocks needs to hold
    /// the entries `slots` of `len` entries. The first is where every plane is aligned.
    pub(super) fn whole_blocks(layout: &CodeLayout, len: usize, slots: Range<usize>) -> Range<usize> {
        let (step, end) = (layout.aligned_entries(), slots.end.min(len));
        let start = slots.start.min(end) / step * step;
        start..end.checked_next_multiple_of(layout.block_len()).map_or(len, |end| end.min(len))
    }

    /// Returns the segment of the blocks that hold the entries `slots`, and the index of its first
    /// entry in this segment.
    fn narrowed(self, layout: &CodeLayout, slots: Range<usize>) -> (usize, Self) {
        let range = Self::whole_blocks(layout, self.len(), slots);
        let bytes = |p| layout.plane_bytes(p, range.start)..layout.plane_bytes(p, range.end);
        let planes = self.planes.into_iter().enumerate().map(|(p, plane)| plane.narrowed(bytes(p))).collect();
        (range.start, Self { ids: self.ids.narrowed(range), planes })
    }
}

impl Segment<'_> {
    /// Reads the codes of a range of entries into `codes`, one after the other. It calls the packer
    /// once per block.
    ///
    /// # Panics
    /// If `entries` ends past `len`, `codes` has another length, or `layout` is not the layout of
    /// the segment.
    pub fn unpack(&self, layout: &CodeLayout, entries: Range<usize>, codes: &mut [u8]) {
        assert!(entries.end <= self.len(), "entries {entries:?} of a segment of {} entries", self.len());
        assert_eq!(codes.len(), entries.len() * layout.code_size(), "`codes` must hold one code per entry");
        let planes: Planes<&[u8]> = self.planes.iter().map(|p| &**p).collect();
        layout.unpack(&planes, entries.start, codes);
    }
}

/// The read view of a list, or of consecutive entries of it: its segments in order.
///
/// A list of two segments, with one and two entries:
///
/// ```
/// use ivf_core::bytes::{AlignedBytes, PlaneBytes};
/// use ivf_core::lists::{ListRef, Segment, SegmentIds};
/// use ivf_core::{CodeLayout, Id, ListOffset};
/// let layout = CodeLayout::rows(1);
/// let segment = |ids: &[i64], codes| {
///     let ids = ids.iter().copied().map(Id).collect();
///     let planes = [PlaneBytes::Shared(AlignedBytes::copy_of(codes).into())].into_iter().collect();
///     Segment::new(&layout, SegmentIds::Shared(ids), planes)
/// };
/// let list = ListRef::new([segment(&[7], b"a")?, segment(&[8, 9], b"bc")?, segment(&[], b"")?]);
/// assert_eq!((list.len(), list.is_empty(), list.segments().count()), (3, false, 2));
/// assert!(list.placed().map(|(first, segment)| (first, segment.len())).eq([(0, 1), (1, 2)]));
///
/// assert!(list.ids().eq([Id(7), Id(8), Id(9)]));
/// assert_eq!((list.id(ListOffset(2)), list.id(ListOffset(3))), (Some(Id(9)), None));
/// let mut code = [0];
/// assert_eq!(list.entry(&layout, ListOffset(1), &mut code), Some(Id(8)));
/// assert_eq!(&code, b"b");
///
/// assert_eq!(list.unpack(&layout), b"abc");
/// assert_eq!(list.entries(&layout).last(), Some((Id(9), b"c".to_vec())));
/// # Ok::<(), ivf_core::error::StoreError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ListRef<'a> {
    /// The first segment, stored inline. Most lists have only one, and reading such a list then
    /// needs no heap allocation.
    first: Option<Segment<'a>>,
    rest: Vec<Segment<'a>>,
    len: usize,
    /// Offset in the list of the first entry.
    start: usize,
}

impl<'a> ListRef<'a> {
    /// Creates a list from segments. Empty segments are dropped.
    pub fn new(segments: impl IntoIterator<Item = Segment<'a>>) -> Self {
        Self::part(0, segments)
    }

    /// Creates the part of a list that begins at offset `start` from its segments. Empty segments
    /// are dropped.
    ///
    /// ```
    /// use ivf_core::bytes::{AlignedBytes, PlaneBytes};
    /// use ivf_core::lists::{ListRef, Segment, SegmentIds};
    /// use ivf_core::{CodeLayout, Id, ListOffset};
    /// // A store has read the codes and ids of entries 64 and 65 from a disk.
    /// let layout = CodeLayout::rows(1);
    /// let planes = [PlaneBytes::Shared(AlignedBytes::copy_of(b"ab").into())].into_iter().collect();
    /// let segment = Segment::new(&layout, SegmentIds::Shared([7, 8].map(Id).into()), planes)?;
    /// let part = ListRef::part(64, [segment]);
    /// assert_eq!((part.start(), part.len()), (64, 2));
    /// // Offsets are those of the list.
    /// assert_eq!(part.id(ListOffset(65)), Some(Id(8)));
    /// assert_eq!(part.id(ListOffset(0)), None);
    /// # Ok::<(), ivf_core::error::StoreError>(())
    /// ```
    pub fn part(start: usize, segments: impl IntoIterator<Item = Segment<'a>>) -> Self {
        let mut segments = segments.into_iter().filter(|segment| !segment.is_empty());
        let (first, rest) = (segments.next(), segments.collect::<Vec<_>>());
        let len = first.iter().chain(&rest).map(Segment::len).sum();
        Self { first, rest, len, start }
    }

    /// Returns the offset in the list of the first entry: 0, except for a part of a list.
    pub fn start(&self) -> usize {
        self.start
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns the part of the list that holds the entries at the offsets `entries`, in whole
    /// blocks. Nothing but ids is copied. The part may begin some blocks before the first entry,
    /// because planes are aligned to 64 bytes.
    ///
    /// ```
    /// use ivf_core::{ArrayLists, CodeLayout, Id, InvertedLists, InvertedListsMut, ListNo};
    /// // 130 codes of one byte in blocks of 64. The second block has the entries 64 to 127.
    /// let mut lists = ArrayLists::new(1, CodeLayout::interleaved(1, 1, 64));
    /// lists.replace(ListNo(0), &(0..130).map(Id).collect::<Vec<_>>(), &[0; 130])?;
    /// let part = lists.list(ListNo(0))?.narrowed(lists.layout(), 70..72);
    /// assert_eq!((part.start(), part.len()), (64, 64));
    /// // Without codes there are no blocks, so the ids can be narrowed further.
    /// assert!(part.into_ids().narrowed(70..72).iter().eq([Id(70), Id(71)]));
    /// # Ok::<(), ivf_core::error::StoreError>(())
    /// ```
    pub fn narrowed(self, layout: &CodeLayout, entries: Range<usize>) -> Self {
        if entries.start <= self.start && self.start + self.len <= entries.end {
            return self;
        }
        let (mut next, mut start) = (self.start, None);
        let mut segments = Vec::new();
        for segment in self.first.into_iter().chain(self.rest) {
            let (first, len) = (next, segment.len());
            next += len;
            let slots = entries.start.saturating_sub(first).min(len)..entries.end.saturating_sub(first).min(len);
            if slots.start < slots.end {
                let (before, segment) = segment.narrowed(layout, slots);
                start.get_or_insert(first + before);
                segments.push(segment);
            }
        }
        Self::part(start.unwrap_or(entries.start), segments)
    }

    /// Returns the ids alone.
    pub fn into_ids(self) -> ListIds<'a> {
        ListIds::new(self.start, self.first.into_iter().chain(self.rest).map(|segment| segment.ids))
    }

    /// Returns true if there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Iterates over the segments. No segment is empty.
    pub fn segments(&self) -> impl Iterator<Item = &Segment<'a>> {
        self.first.iter().chain(&self.rest)
    }

    /// Iterates over the segments, each with the offset in the list of its first entry.
    pub fn placed(&self) -> impl Iterator<Item = (usize, &Segment<'a>)> {
        self.segments().scan(self.start, |start, segment| {
            let first = *start;
            *start += segment.len();
            Some((first, segment))
        })
    }

    /// Iterates over the ids in order.
    pub fn ids(&self) -> impl Iterator<Item = Id> {
        self.segments().flat_map(|segment| segment.ids().iter())
    }

    /// Returns the offset in the list of the first of these entries with this id.
    ///
    /// ```
    /// use ivf_core::{ArrayLists, CodeLayout, Id, InvertedLists, InvertedListsMut, ListNo, ListOffset};
    /// let mut lists = ArrayLists::new(1, CodeLayout::rows(1));
    /// lists.replace(ListNo(0), &[7, 8, 8].map(Id), b"abc")?;
    /// assert_eq!(lists.list(ListNo(0))?.position(Id(8)), Some(ListOffset(1)));
    /// assert_eq!(lists.list(ListNo(0))?.position(Id(9)), None);
    /// # Ok::<(), ivf_core::error::StoreError>(())
    /// ```
    pub fn position(&self, id: Id) -> Option<ListOffset> {
        self.placed().find_map(|(first, segment)| Some(ListOffset((first + segment.ids().position(id)?) as u32)))
    }

    /// Returns the id of the entry at `offset` of the list, or `None` if the entry is not among
    /// these.
    pub fn id(&self, offset: ListOffset) -> Option<Id> {
        self.placed().find_map(|(first, segment)| {
            let slot = offset.index().checked_sub(first).filter(|&slot| slot < segment.len())?;
            Some(segment.ids().get(slot))
        })
    }

    /// Returns the id of the entry at `offset` of the list and writes its code to `code`. Returns
    /// `None` if the entry is not among these.
    pub fn entry(&self, layout: &CodeLayout, offset: ListOffset, code: &mut [u8]) -> Option<Id> {
        self.placed().find_map(|(first, segment)| {
            let slot = offset.index().checked_sub(first).filter(|&slot| slot < segment.len())?;
            segment.code(layout, slot, code);
            Some(segment.ids().get(slot))
        })
    }

    /// Returns the code of the entry at `offset` of the list where it lies in memory. Returns
    /// `None` if the entry is not among these, or if the layout does not keep the bytes of a code
    /// together.
    ///
    /// ```
    /// use ivf_core::{ArrayLists, CodeLayout, Id, InvertedLists, InvertedListsMut, ListNo, ListOffset};
    /// let code = |layout: CodeLayout, offset| -> Result<_, Box<dyn std::error::Error>> {
    ///     let mut lists = ArrayLists::new(1, layout);
    ///     lists.replace(ListNo(0), &[Id(7), Id(8)], b"abcd")?;
    ///     Ok(lists.list(ListNo(0))?.code_in_place(lists.layout(), ListOffset(offset)).map(<[u8]>::to_vec))
    /// };
    /// assert_eq!(code(CodeLayout::rows(2), 1)?.as_deref(), Some(&b"cd"[..]));
    /// assert_eq!(code(CodeLayout::rows(2), 2)?, None);
    /// assert_eq!(code(CodeLayout::interleaved(1, 2, 4), 1)?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn code_in_place(&self, layout: &CodeLayout, offset: ListOffset) -> Option<&[u8]> {
        if layout.block_len() != 1 || layout.plane_count() != 1 {
            return None;
        }
        self.placed().find_map(|(first, segment)| {
            let slot = offset.index().checked_sub(first).filter(|&slot| slot < segment.len())?;
            let size = layout.code_size();
            segment.plane(0).get(slot * size..(slot + 1) * size)
        })
    }

    /// Iterates over the entries in order, each as its id and its code.
    pub fn entries(&self, layout: &CodeLayout) -> impl Iterator<Item = (Id, Vec<u8>)> {
        self.segments().flat_map(move |segment| {
            (0..segment.len()).map(move |slot| {
                let mut code = vec![0; layout.code_size()];
                segment.code(layout, slot, &mut code);
                (segment.ids().get(slot), code)
            })
        })
    }

    /// Returns all codes as rows, in order (`len x code_size` bytes).
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
