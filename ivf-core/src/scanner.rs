//! The inner loop of a search, which compares one query or a block of queries with the codes of a
//! list.

use crate::id::{Id, Ids, ListNo, ListOffset, Location};
use crate::layout::CodeLayout;
use crate::lists::{ListRef, Segment};
use crate::mask::Mask;
use crate::plan::PlannedProbe;
use crate::rows::Rows;
use crate::sink::{Neighbor, Sink};
use std::ops::Range;

/// The entries to scan in one segment of a list.
///
/// A list of two segments, with entries 0 to 3 and 4 to 5. The scan ranges cover entries 1 to 4:
///
/// ```
/// use ivf_core::bytes::{AlignedBytes, PlaneBytes};
/// use ivf_core::lists::{ListRef, Segment, SegmentIds};
/// use ivf_core::mask::Mask;
/// use ivf_core::scanner::ScanRange;
/// use ivf_core::{CodeLayout, Id, Ids, ListNo, Location};
/// let layout = CodeLayout::interleaved(1, 1, 2); // codes of one byte, in blocks of two
/// let codes = AlignedBytes::copy_of(&[5, 6, 7, 8]);
/// let segment = |first, len| {
///     let planes = [PlaneBytes::Borrowed(&codes[..len])].into_iter().collect();
///     Segment::new(&layout, SegmentIds::Borrowed(Ids::Run { first: Id(first), len }), planes)
/// };
/// let list = ListRef::new([segment(10, 4)?, segment(20, 2)?]);
/// let ranges: Vec<_> = ScanRange::of_list(ListNo(3), &list, &layout, 1..5).collect();
/// assert_eq!((ranges[0].range(), ranges[1].range()), (1..4, 0..1));
/// assert_eq!((ranges[1].segment_number(), ranges[1].first_offset()), (1, 4));
///
/// // A filter excludes slot 2, and a limit slot 3. Slot 1 is left, in block 0.
/// let mask = Mask::from_fn(4, |slot| slot != 2);
/// let range = ranges[0].clone().masked(Some(&mask)).within(0..3);
/// assert!(range.slots().eq([1]) && range.is_masked());
/// assert_eq!((range.selected_len(), range.selected(0, 4)), (1, 0b0010));
/// assert_eq!(range.blocks(), 0..2); // of the range, whatever the mask
///
/// let mut code = [0];
/// range.segment().code(range.layout(), 1, &mut code);
/// let neighbor = range.neighbor(1, f32::from(code[0]));
/// assert_eq!((neighbor.id, neighbor.distance), (Id(11), 6.0));
/// assert_eq!(neighbor.location, Location { list: range.list(), offset: ivf_core::ListOffset(1) });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ScanRange<'a> {
    segment: &'a Segment<'a>,
    number: usize,
    layout: &'a CodeLayout,
    list: ListNo,
    first: usize,
    range: Range<usize>,
    mask: Option<&'a Mask>,
    /// Offset of each entry, relative to `first`; `None` if the entries are consecutive.
    slots: Option<&'a [u32]>,
}

impl<'a> ScanRange<'a> {
    /// Returns the scan ranges that cover the entries `range` of a list (offsets in the list), one
    /// per segment and without a filter.
    pub fn of_list(
        list: ListNo,
        entries: &'a ListRef<'a>,
        layout: &'a CodeLayout,
        range: Range<usize>,
    ) -> impl Iterator<Item = ScanRange<'a>> {
        entries.placed().enumerate().filter_map(move |(number, (first, segment))| {
            let start = range.start.saturating_sub(first);
            let end = range.end.saturating_sub(first).min(segment.len());
            let range = start..end;
            (start < end).then_some(ScanRange { segment, number, layout, list, first, range, mask: None, slots: None })
        })
    }

    /// Creates a scan range over a whole segment whose entries were copied out of another segment,
    /// the source. Entry `i` is entry `slots[i]` of the source, and the source begins at offset
    /// `first` of the list.
    ///
    /// An engine copied entry 1 out of a segment that begins at offset 4. A result still has its
    /// place in the list:
    ///
    /// ```
    /// # use ivf_core::scanner::ScanRange;
    /// # use ivf_core::{ArrayLists, CodeLayout, Id, InvertedLists, InvertedListsMut, ListNo, Location};
    /// let mut copies = ArrayLists::new(1, CodeLayout::rows(1));
    /// copies.replace(ListNo(0), &[Id(21)], &[9])?;
    /// let copies = copies.list(ListNo(0))?;
    /// let segment = copies.segments().next().ok_or("no segment")?;
    /// let layout = CodeLayout::rows(1);
    /// let neighbor = ScanRange::taken_out(ListNo(3), segment, &layout, 4, &[1]).neighbor(0, 0.5);
    /// assert_eq!((neighbor.id, neighbor.location), (Id(21), Location::new(3, 4 + 1)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    /// If `slots` is not as long as the segment.
    pub fn taken_out(
        list: ListNo,
        segment: &'a Segment<'a>,
        layout: &'a CodeLayout,
        first: usize,
        slots: &'a [u32],
    ) -> Self {
        assert_eq!(slots.len(), segment.len(), "there must be one slot per entry");
        ScanRange { segment, number: 0, layout, list, first, range: 0..segment.len(), mask: None, slots: Some(slots) }
    }

    /// Restricts the range to the entries whose bits are set in `mask`, which has one bit per entry
    /// of the segment.
    ///
    /// # Panics
    /// If the mask is not as long as the segment.
    #[must_use]
    pub fn masked(mut self, mask: Option<&'a Mask>) -> Self {
        assert!(mask.is_none_or(|mask| mask.len() == self.segment.len()), "the mask must have one bit per entry");
        self.mask = mask;
        self
    }

    /// Restricts the range to the entries that also lie in `range`.
    #[must_use]
    pub fn within(mut self, range: Range<usize>) -> Self {
        let start = self.range.start.max(range.start);
        self.range = start..self.range.end.min(range.end).max(start);
        self
    }

    /// Returns the segment.
    pub fn segment(&self) -> &'a Segment<'a> {
        self.segment
    }

    /// Returns the position of the segment among the segments of the list.
    pub fn segment_number(&self) -> usize {
        self.number
    }

    /// Returns the layout of the codes.
    pub fn layout(&self) -> &'a CodeLayout {
        self.layout
    }

    /// Returns the offset in the list of the segment's first entry.
    pub fn first_offset(&self) -> usize {
        self.first
    }

    /// Returns the list that the segment belongs to.
    pub fn list(&self) -> ListNo {
        self.list
    }

    /// Returns the range of entries to scan, as indices in the segment.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// Returns the range of blocks of the segment that hold entries to scan.
    pub fn blocks(&self) -> Range<usize> {
        if self.range.is_empty() {
            return 0..0;
        }
        self.range.start / self.layout.block_len()..self.layout.blocks(self.range.end)
    }

    /// Returns one bit for each of the entries `start..start + n`. A bit is set if the entry is in
    /// the range and in the mask, and is thus to be scanned.
    ///
    /// # Panics
    /// If `n > 64`.
    #[inline]
    pub fn selected(&self, start: usize, n: usize) -> u64 {
        assert!(n <= 64, "a word has 64 bits");
        let ones = |n: usize| if n >= 64 { u64::MAX } else { (1 << n) - 1 };
        let bits =
            ones(self.range.end.saturating_sub(start).min(n)) & !ones(self.range.start.saturating_sub(start).min(n));
        match self.mask {
            Some(mask) => bits & mask.bits(start, n),
            None => bits,
        }
    }

    /// Returns the first of some blocks with an entry to scan. Blocks have at most 64 codes.
    ///
    /// ```
    /// use ivf_core::mask::Mask;
    /// use ivf_core::scanner::ScanRange;
    /// use ivf_core::{ArrayLists, CodeLayout, Id, InvertedLists, InvertedListsMut, ListNo};
    /// let mut lists = ArrayLists::new(1, CodeLayout::interleaved(1, 1, 2));
    /// lists.replace(ListNo(0), &[7, 8, 9, 10, 11].map(Id), b"abcde")?;
    /// let entries = lists.list(ListNo(0))?;
    /// let mask = Mask::from_fn(5, |entry| entry == 3);
    /// let range = ScanRange::of_list(ListNo(0), &entries, lists.layout(), 0..5).next().ok_or("entries")?;
    /// let range = range.masked(Some(&mask));
    /// assert_eq!((range.first_block(0..3), range.first_block(2..3)), (Some(1), None));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    /// If a block has more than 64 codes.
    #[inline(always)]
    pub fn first_block(&self, mut blocks: Range<usize>) -> Option<usize> {
        let len = self.layout.block_len();
        blocks.find(|block| self.selected(block * len, len) != 0)
    }

    /// Returns true if the range has a mask.
    pub fn is_masked(&self) -> bool {
        self.mask.is_some()
    }

    /// Returns the number of entries to scan.
    pub fn selected_len(&self) -> usize {
        self.mask.map_or(self.range.len(), |mask| mask.count_in(self.range.clone()))
    }

    /// Iterates over the entries to scan, as indices in the segment.
    pub fn slots(&self) -> impl Iterator<Item = usize> {
        self.range.clone().filter(|&slot| self.mask.is_none_or(|mask| mask.get(slot)))
    }

    /// Returns where the id of the entry with index `slot` in the segment is in memory: a slice of
    /// one id, which is empty if ids are not stored. A scanner prefetches it before it calls
    /// [`neighbor`](Self::neighbor).
    ///
    /// ```
    /// use ivf_core::scanner::ScanRange;
    /// use ivf_core::{ArrayLists, CodeLayout, Id, InvertedLists, InvertedListsMut, ListNo};
    /// let mut lists = ArrayLists::new(1, CodeLayout::rows(1));
    /// lists.replace(ListNo(0), &[Id(7), Id(3)], b"ab")?;
    /// let entries = lists.list(ListNo(0))?;
    /// let range = ScanRange::of_list(ListNo(0), &entries, lists.layout(), 0..2).next().ok_or("entries")?;
    /// assert_eq!(range.stored_id(1), [Id(3)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline(always)]
    pub fn stored_id(&self, slot: usize) -> &[Id] {
        match self.segment.ids() {
            Ids::Listed(ids) | Ids::Ascending(ids) => ids.get(slot..=slot).unwrap_or_default(),
            Ids::Run { .. } => &[],
        }
    }

    /// Returns the entry with index `slot` in the segment as a result at `distance`.
    #[inline]
    pub fn neighbor(&self, slot: usize, distance: f32) -> Neighbor {
        let place = self.slots.map_or(slot, |slots| slots[slot] as usize);
        let offset = ListOffset((self.first + place) as u32);
        Neighbor { distance, id: self.segment.ids().get(slot), location: Location { list: self.list, offset } }
    }
}

/// One query of a batch scan, with its limit, filter and sink.
#[derive(Debug)]
pub struct ScanQuery<'a> {
    /// Row of the query among the queries of [`InvertedListScanner::set_queries`].
    pub number: usize,
    /// The query, of `dim` elements.
    pub query: &'a [f32],
    /// All lists that the query will scan, in probe order.
    pub probes: &'a [PlannedProbe],
    /// Coarse distance from the query to the list.
    pub coarse_distance: f32,
    /// Upper bound of the entries that the query scans, as an index in the segment.
    pub limit: usize,
    /// Filter over the segment.
    pub mask: Option<&'a Mask>,
    /// Sink for the results.
    pub sink: &'a mut Sink,
}

impl ScanQuery<'_> {
    /// Returns the same query with the same sink, for a shorter time: to scan some queries of a
    /// batch in another way.
    ///
    /// ```
    /// use ivf_core::Sink;
    /// use ivf_core::scanner::ScanQuery;
    /// let sink = &mut Sink::top_k(1);
    /// let mut query =
    ///     ScanQuery { number: 7, query: &[], probes: &[], coarse_distance: 0.0, limit: 3, mask: None, sink };
    /// let number = query.reborrow().number;
    /// assert_eq!((number, query.number), (7, 7));
    /// ```
    pub fn reborrow(&mut self) -> ScanQuery<'_> {
        ScanQuery { sink: &mut *self.sink, ..*self }
    }

    /// Returns one bit for each of the entries `start..start + n`. A bit is set if the query may
    /// find the entry: if the range, the query's limit and its mask have it.
    ///
    /// ```
    /// use ivf_core::scanner::{ScanQuery, ScanRange};
    /// use ivf_core::{ArrayLists, CodeLayout, Id, InvertedLists, InvertedListsMut, ListNo, Sink};
    /// let mut lists = ArrayLists::new(1, CodeLayout::rows(1));
    /// lists.replace(ListNo(0), &[7, 8, 9, 10].map(Id), b"abcd")?;
    /// let entries = lists.list(ListNo(0))?;
    /// let range = ScanRange::of_list(ListNo(0), &entries, lists.layout(), 1..4).next().ok_or("entries")?;
    /// let sink = &mut Sink::top_k(1);
    /// let query =
    ///     ScanQuery { number: 0, query: &[], probes: &[], coarse_distance: 0.0, limit: 3, mask: None, sink };
    /// assert_eq!(query.selected(&range, 0, 32), 0b110);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    /// If `n > 64`.
    #[inline(always)]
    pub fn selected(&self, scan_range: &ScanRange<'_>, start: usize, n: usize) -> u64 {
        let below = self.limit.saturating_sub(start).min(n);
        let limit = if below < 64 { (1 << below) - 1 } else { u64::MAX };
        let bits = scan_range.selected(start, n) & limit;
        self.mask.map_or(bits, |mask| bits & mask.bits(start, n))
    }
}

/// The accuracy of the distances of a scanner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exactness {
    /// A distance is the distance to the vector that the code decodes to, up to the rounding of
    /// sums.
    Exact,
    /// A distance is an estimate of the distance to the vector that was encoded. Its error is at
    /// most [`InvertedListScanner::bound`].
    Bounded,
    /// A distance is an estimate of the distance to the vector that was encoded.
    Estimate,
}

/// Computes distances between queries and the codes of inverted lists. (Faiss's
/// `InvertedListScanner`.)
///
/// [`BoundCodec::scanner`](crate::BoundCodec::scanner) creates a scanner, and one thread uses it:
///
/// ```text
/// set_query(q)  ->  set_probes(lists of q)  ->  set_list(l, coarse)  ->  scan(range, sink), ...  ->  set_list(...)  ->  ...
/// set_queries(all, probes)  ->  scan_batch(range, some of them)  ->  ...
/// ```
///
/// A codec must implement [`set_query`](Self::set_query), [`set_list`](Self::set_list) and
/// [`distance`](Self::distance). The loops have default implementations, which a fast codec
/// overrides. An overridden loop must push every entry that can still enter the sink. Its distances
/// must be bit-identical to those of [`distance`](Self::distance).
///
/// A scanner of numbers that were rounded to tens, one byte each. It has the three required methods
/// and two that describe its distances:
///
/// ```
/// use ivf_core::plan::PlannedProbe;
/// use ivf_core::scanner::{Exactness, ScanQuery, ScanRange};
/// use ivf_core::{
///     ArrayLists, CodeLayout, Id, InvertedListScanner, InvertedLists, InvertedListsMut, ListNo, Rows, Sink,
/// };
///
/// struct Tens {
///     query: f32,
/// }
///
/// impl InvertedListScanner for Tens {
///     fn set_query(&mut self, query: &[f32]) {
///         assert_eq!(query.len(), 1);
///         self.query = query[0];
///     }
///
///     fn set_list(&mut self, _list: ListNo, _coarse_distance: f32) {
///         // These codes do not depend on the centroid of the list.
///     }
///
///     fn distance(&self, code: &[u8]) -> f32 {
///         (self.query - 10.0 * f32::from(code[0])).abs()
///     }
///
///     fn exactness(&self) -> Exactness {
///         Exactness::Bounded
///     }
///
///     fn bound(&self, _code: &[u8]) -> f32 {
///         5.0 // the largest error of rounding to tens
///     }
/// }
///
/// let mut lists = ArrayLists::new(1, CodeLayout::rows(1));
/// lists.replace(ListNo(0), &[Id(7), Id(8), Id(9)], &[1, 5, 9])?;
/// let entries = lists.list(ListNo(0))?;
/// let whole = || ScanRange::of_list(ListNo(0), &entries, lists.layout(), 0..entries.len());
/// let probes = [PlannedProbe { list: ListNo(0), codes: 3, coarse_distance: 0.0 }];
///
/// let mut scanner = Tens { query: 0.0 };
/// scanner.set_query(&[60.0]);
/// scanner.set_probes(&probes);
/// scanner.set_list(ListNo(0), 0.0);
/// let mut distances = [0.0; 2];
/// scanner.distances(&[1, 5], &mut distances);
/// assert_eq!(distances, [50.0, 10.0]);
/// let mut sink = Sink::top_k(1);
/// whole().for_each(|range| scanner.scan(&range, &mut sink));
/// assert_eq!(sink.into_sorted()[0].id, Id(8));
///
/// // Two queries share each pass over the list. The second one may scan only two entries.
/// let queries = [0.0, 99.0];
/// scanner.set_queries(Rows::new(&queries, 1)?, &[&probes, &probes]);
/// let mut sinks = [Sink::top_k(1), Sink::top_k(1)];
/// for range in whole() {
///     let query = |(number, sink)| ScanQuery {
///         number,
///         query: &queries[number..][..1],
///         probes: &probes,
///         coarse_distance: 0.0,
///         limit: 3 - number,
///         mask: None,
///         sink,
///     };
///     scanner.scan_batch(&range, &mut sinks.iter_mut().enumerate().map(query).collect::<Vec<_>>());
/// }
/// assert_eq!(sinks.map(|sink| sink.into_sorted()[0].id), [Id(7), Id(8)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait InvertedListScanner: Send {
    /// Sets the query for the calls that follow.
    ///
    /// # Panics
    /// If the query has another dimension than the codec.
    fn set_query(&mut self, query: &[f32]);

    /// Sets all lists that the query will scan, in probe order. Codecs use it for tables that
    /// depend on several lists of a query.
    ///
    /// The caller calls it after [`set_query`](Self::set_query) and before it sets the first list.
    /// A search that runs in rounds calls it in each round. If the scan of a query is split over
    /// several scanners, each scanner is given all lists, although it may scan only some of them.
    fn set_probes(&mut self, _probes: &[PlannedProbe]) {}

    /// Sets the list for the calls that follow, and the query's coarse distance from it. The caller
    /// calls it after `set_query`.
    ///
    /// The coarse distance is the internal distance, in the index's metric, from the query to the
    /// list's centroid. It is 0 in an index without coarse quantizer.
    ///
    /// # Panics
    /// If there is no such list.
    fn set_list(&mut self, list: ListNo, coarse_distance: f32);

    /// Returns the distance from the query to a code of the list; smaller is closer.
    ///
    /// # Panics
    /// If the length of `code` is not the code size of the layout.
    fn distance(&self, code: &[u8]) -> f32;

    /// Returns the accuracy of [`distance`](Self::distance).
    fn exactness(&self) -> Exactness {
        Exactness::Exact
    }

    /// Returns the maximum error of [`distance`](Self::distance) for a code, relative to the
    /// distance to the vector that was encoded. Meaningful for scanners that are
    /// [`Exactness::Bounded`].
    ///
    /// # Panics
    /// As for [`distance`](Self::distance).
    fn bound(&self, _code: &[u8]) -> f32 {
        f32::INFINITY
    }

    /// Computes the distances to several codes of the list, which follow one another in `codes`.
    ///
    /// # Panics
    /// If `codes` does not hold exactly one code per element of `distances`.
    fn distances(&self, codes: &[u8], distances: &mut [f32]) {
        let size = codes.len().checked_div(distances.len()).unwrap_or(0);
        assert_eq!(codes.len(), size * distances.len(), "whole codes");
        for (code, distance) in codes.chunks_exact(size.max(1)).zip(distances) {
            *distance = self.distance(code);
        }
    }

    /// Computes the distances to several codes of the list. The codes may lie anywhere in memory. A
    /// scanner can prefetch the codes that follow.
    ///
    /// ```
    /// # use ivf_core::{Binding, Codec, ListNo, Metric, Settings, quantizer::Origin};
    /// # use std::sync::Arc;
    /// # let flat = Arc::new(ivf_cpu::codec::FlatCodec::new(1, Metric::L2));
    /// # let bound = flat.bind(&Binding::new(Arc::new(Origin { dim: 1 })))?;
    /// let mut scanner = bound.scanner(&Settings::new());
    /// scanner.set_query(&[1.0]);
    /// scanner.set_list(ListNo(0), 0.0);
    /// let (near, far) = (2.0_f32.to_le_bytes(), 4.0_f32.to_le_bytes());
    /// let mut distances = [0.0; 2];
    /// scanner.distances_to(&[&far, &near], &mut distances);
    /// assert_eq!(distances, [9.0, 1.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    /// If there is not one code per element of `distances`, or a code has another size.
    fn distances_to(&self, codes: &[&[u8]], distances: &mut [f32]) {
        assert_eq!(codes.len(), distances.len(), "a code for each distance");
        codes.iter().zip(distances).for_each(|(code, distance)| *distance = self.distance(code));
    }

    /// Scans the range and offers every entry to the sink.
    fn scan(&mut self, scan_range: &ScanRange<'_>, sink: &mut Sink) {
        let mut code = vec![0; scan_range.layout().code_size()];
        for slot in scan_range.slots() {
            scan_range.segment().code(scan_range.layout(), slot, &mut code);
            sink.push(scan_range.neighbor(slot, self.distance(&code)));
        }
    }

    /// Sets the queries for later calls of [`scan_batch`](Self::scan_batch), which refer to them by
    /// row number. `probes` has, for each query, all lists that the query will scan, in probe
    /// order. A scanner that needs tables per query may compute them here, once for all lists.
    ///
    /// # Panics
    /// If the queries have another dimension than the codec, or if there is not one row of probes
    /// per query.
    fn set_queries(&mut self, _queries: Rows<'_, f32>, _probes: &[&[PlannedProbe]]) {}

    /// Scans one range for several of the queries that were set, each with its own limit, filter
    /// and sink. The range itself has no filter. After the call, no query and no list is set for
    /// single scans.
    ///
    /// # Panics
    /// May panic if a query's number is not one of the queries that were set. A scanner that does
    /// not use the number does not check it.
    fn scan_batch(&mut self, scan_range: &ScanRange<'_>, queries: &mut [ScanQuery<'_>]) {
        for query in queries {
            self.set_query(query.query);
            self.set_probes(query.probes);
            self.set_list(scan_range.list(), query.coarse_distance);
            self.scan(&scan_range.clone().within(0..query.limit).masked(query.mask), query.sink);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists::SegmentIds;

    #[test]
    fn pieces_stop_at_the_prefix_and_bits_agree_with_slots() {
        let layout = CodeLayout::rows(1);
        let segment = |first, len| {
            Segment::new(&layout, SegmentIds::Borrowed(Ids::Run { first: Id(first), len }), Default::default())
        };
        // The constructor must reject a segment without planes.
        assert!(segment(0, 3).is_err());
        let bytes = crate::bytes::AlignedBytes::zeroed(70);
        let segment = |first, len: usize| {
            let planes = [crate::lists::PlaneBytes::Borrowed(&bytes[..len])].into_iter().collect();
            Segment::new(&layout, SegmentIds::Borrowed(Ids::Run { first: Id(first), len }), planes).unwrap()
        };
        let list = ListRef::new([segment(0, 70), segment(100, 0), segment(200, 5)]);
        for prefix in [0, 1, 69, 70, 71, 75, 99] {
            let scan_ranges: Vec<_> = ScanRange::of_list(ListNo(3), &list, &layout, 0..prefix).collect();
            assert_eq!(scan_ranges.iter().map(|p| p.range().len()).sum::<usize>(), prefix.min(75));
        }
        let mask = Mask::from_fn(70, |i| i % 5 != 1);
        let scan_range =
            ScanRange::of_list(ListNo(3), &list, &layout, 0..75).next().unwrap().masked(Some(&mask)).within(3..67);
        let from_bits: Vec<usize> = (0..70)
            .step_by(32)
            .flat_map(|start| (0..32).map(move |b| (start, b)))
            .filter(|&(start, b)| scan_range.selected(start, 32) >> b & 1 == 1)
            .map(|(start, b)| start + b)
            .collect();
        assert_eq!(from_bits, scan_range.slots().collect::<Vec<_>>());
        assert_eq!(scan_range.blocks(), 3..67);
        let second = ScanRange::of_list(ListNo(3), &list, &layout, 0..75).nth(1).unwrap();
        assert_eq!(second.neighbor(2, 1.0).location, Location::new(3, 72));
        assert_eq!(second.neighbor(2, 1.0).id, Id(202));
    }
}
