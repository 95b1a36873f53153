//! The inner loop of a search: one query, or a block of them, against the codes of a list.

use crate::id::{ListNo, ListOffset, Location};
use crate::layout::CodeLayout;
use crate::lists::{ListRef, Segment};
use crate::mask::Mask;
use crate::plan::PlannedProbe;
use crate::rows::Rows;
use crate::sink::{Neighbor, Sink};
use std::ops::Range;

/// What to scan: entries of one segment of a list.
#[derive(Clone, Debug)]
pub struct Piece<'a> {
    segment: &'a Segment<'a>,
    number: usize,
    layout: &'a CodeLayout,
    list: ListNo,
    first: usize,
    range: Range<usize>,
    mask: Option<&'a Mask>,
    /// Where the entries stand in the list, if not one after the other.
    slots: Option<&'a [u32]>,
}

impl<'a> Piece<'a> {
    /// The pieces of a list's entries `range` (offsets in the list), one a segment, without filter.
    pub fn of_list(
        list: ListNo,
        entries: &'a ListRef<'a>,
        layout: &'a CodeLayout,
        range: Range<usize>,
    ) -> impl Iterator<Item = Piece<'a>> {
        entries.placed().enumerate().filter_map(move |(number, (first, segment))| {
            let start = range.start.saturating_sub(first);
            let end = range.end.saturating_sub(first).min(segment.len());
            let range = start..end;
            (start < end).then_some(Piece { segment, number, layout, list, first, range, mask: None, slots: None })
        })
    }

    /// All of a segment of entries that were taken out of another one: entry `i` stands at `slots[i]` there, and the other at offset
    /// `first` in its list.
    ///
    /// # Panics
    /// If there is not one slot an entry.
    pub fn taken_out(
        list: ListNo,
        segment: &'a Segment<'a>,
        layout: &'a CodeLayout,
        first: usize,
        slots: &'a [u32],
    ) -> Self {
        assert_eq!(slots.len(), segment.len(), "a slot an entry");
        Piece { segment, number: 0, layout, list, first, range: 0..segment.len(), mask: None, slots: Some(slots) }
    }

    /// The same entries, of which only those with a bit in `mask` (one for each entry of the segment) count.
    ///
    /// # Panics
    /// If the mask is not as long as the segment.
    #[must_use]
    pub fn masked(mut self, mask: Option<&'a Mask>) -> Self {
        assert!(mask.is_none_or(|mask| mask.len() == self.segment.len()), "a bit an entry");
        self.mask = mask;
        self
    }

    /// The entries of this piece that lie in `range` too.
    #[must_use]
    pub fn within(mut self, range: Range<usize>) -> Self {
        let start = self.range.start.max(range.start);
        self.range = start..self.range.end.min(range.end).max(start);
        self
    }

    /// The segment.
    pub fn segment(&self) -> &'a Segment<'a> {
        self.segment
    }

    /// Which of the list's segments it is.
    pub fn segment_number(&self) -> usize {
        self.number
    }

    /// How its codes lie.
    pub fn layout(&self) -> &'a CodeLayout {
        self.layout
    }

    /// The list offset of the segment's first entry.
    pub fn first_offset(&self) -> usize {
        self.first
    }

    /// The list it belongs to.
    pub fn list(&self) -> ListNo {
        self.list
    }

    /// The entries of the segment to scan.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// The blocks of the segment that hold entries to scan.
    pub fn blocks(&self) -> Range<usize> {
        if self.range.is_empty() {
            return 0..0;
        }
        self.range.start / self.layout.block_len()..self.layout.blocks(self.range.end)
    }

    /// Which of the entries `start..start + n` to scan, one bit each, `n <= 64`: those in the range and in the mask.
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

    /// Whether a mask leaves out some of the entries.
    pub fn is_masked(&self) -> bool {
        self.mask.is_some()
    }

    /// How many entries there are to scan.
    pub fn selected_len(&self) -> usize {
        self.mask.map_or(self.range.len(), |mask| mask.count_in(self.range.clone()))
    }

    /// The entries to scan, one by one.
    pub fn slots(&self) -> impl Iterator<Item = usize> {
        self.range.clone().filter(|&slot| self.mask.is_none_or(|mask| mask.get(slot)))
    }

    /// The entry at `slot`, found at `distance`.
    #[inline]
    pub fn neighbor(&self, slot: usize, distance: f32) -> Neighbor {
        let place = self.slots.map_or(slot, |slots| slots[slot] as usize);
        let offset = ListOffset((self.first + place) as u32);
        Neighbor { distance, id: self.segment.ids().get(slot), location: Location { list: self.list, offset } }
    }
}

/// One query of a batch scan: which it is, how far its list's centroid is, how much it scans, where its results go.
#[derive(Debug)]
pub struct ScanQuery<'a> {
    /// Its row among the queries that were set.
    pub number: usize,
    /// The query, `dim` long.
    pub query: &'a [f32],
    /// All lists that it is about to scan, in probe order.
    pub probes: &'a [PlannedProbe],
    /// Its coarse distance from the list.
    pub coarse_distance: f32,
    /// It scans the entries of the piece below `limit` (numbers in the segment).
    pub limit: usize,
    /// Its filter over the segment.
    pub mask: Option<&'a Mask>,
    /// Its results.
    pub sink: &'a mut Sink,
}

/// How exact the distances of a scanner are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exactness {
    /// A distance is that to the vector which the code decodes to, up to the rounding of sums.
    Exact,
    /// A distance is an estimate of that to the vector which was encoded, and at most
    /// [`InvertedListScanner::bound`] away from it.
    Bounded,
    /// A distance is an estimate of that to the vector which was encoded.
    Estimate,
}

/// Computes distances between queries and the codes of inverted lists. (Faiss's `InvertedListScanner`.)
///
/// A scanner is made by [`BoundCodec::scanner`](crate::BoundCodec::scanner) and used by one thread:
///
/// ```text
/// set_query(q)  ->  set_probes(lists of q)  ->  set_list(l, coarse)  ->  scan(piece, sink), ...  ->  set_list(...)  ->  ...
/// set_queries(all, probes)  ->  scan_batch(piece, some of them)  ->  ...
/// ```
///
/// A codec works once it has written [`set_query`](Self::set_query), [`set_list`](Self::set_list) and
/// [`distance`](Self::distance); the loops are provided, and a fast codec overrides them. Whoever overrides a loop pushes the
/// same distances as [`distance`](Self::distance) gives, to the bit, for every entry that can still enter the sink.
pub trait InvertedListScanner: Send {
    /// The query that later calls speak of.
    ///
    /// # Panics
    /// If it has another dimension than the codec.
    fn set_query(&mut self, query: &[f32]);

    /// All lists that the query is about to scan, in probe order: for tables that depend on several
    /// lists of a query. Called after [`set_query`](Self::set_query) and before its first list is
    /// set; a search that goes on in rounds calls it for each round. A scan of a query may be split
    /// over several scanners: each is told of all lists, and may scan some.
    fn set_probes(&mut self, _probes: &[PlannedProbe]) {}

    /// The list that later calls speak of, and the query's coarse distance from it: the inner distance, in the index's metric,
    /// from the query to the list's centroid (0 in an index without coarse quantizer). Called after `set_query`.
    ///
    /// # Panics
    /// If there is no such list.
    fn set_list(&mut self, list: ListNo, coarse_distance: f32);

    /// The distance from the query to a code of the list, smaller is closer.
    ///
    /// # Panics
    /// If `code` has another length than the layout says.
    fn distance(&self, code: &[u8]) -> f32;

    /// How exact [`distance`](Self::distance) is.
    fn exactness(&self) -> Exactness {
        Exactness::Exact
    }

    /// How far [`distance`](Self::distance) to a code may be from the distance to the vector that
    /// was encoded, for scanners that are [`Exactness::Bounded`].
    ///
    /// # Panics
    /// As [`distance`](Self::distance).
    fn bound(&self, _code: &[u8]) -> f32 {
        f32::INFINITY
    }

    /// The distances to several codes of the list, one after the other.
    ///
    /// # Panics
    /// If `codes` is not as long as the codes.
    fn distances(&self, codes: &[u8], distances: &mut [f32]) {
        let size = codes.len().checked_div(distances.len()).unwrap_or(0);
        assert_eq!(codes.len(), size * distances.len(), "whole codes");
        for (code, distance) in codes.chunks_exact(size.max(1)).zip(distances) {
            *distance = self.distance(code);
        }
    }

    /// Offers every entry of the piece to the sink.
    fn scan(&mut self, piece: &Piece<'_>, sink: &mut Sink) {
        let mut code = vec![0; piece.layout().code_size()];
        for slot in piece.slots() {
            piece.segment().code(piece.layout(), slot, &mut code);
            sink.push(piece.neighbor(slot, self.distance(&code)));
        }
    }

    /// The queries that later calls of [`scan_batch`](Self::scan_batch) speak of by their numbers,
    /// each with all lists that it is about to scan, in probe order. A scanner that makes something
    /// for a query may make it here, once for all lists.
    ///
    /// # Panics
    /// If they have another dimension than the codec, or there is not one row of probes a query.
    fn set_queries(&mut self, _queries: Rows<'_, f32>, _probes: &[&[PlannedProbe]]) {}

    /// Scans one piece (without filter of its own) for several of the queries set at once, each with its own limit, filter and
    /// sink. Afterwards no single query and no list is set.
    ///
    /// # Panics
    /// If a query's number is not one of those that were set (or not, as a scanner that does not look at it likes).
    fn scan_batch(&mut self, piece: &Piece<'_>, queries: &mut [ScanQuery<'_>]) {
        for query in queries {
            self.set_query(query.query);
            self.set_probes(query.probes);
            self.set_list(piece.list(), query.coarse_distance);
            self.scan(&piece.clone().within(0..query.limit).masked(query.mask), query.sink);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Id, Ids};
    use crate::lists::SegmentIds;

    #[test]
    fn pieces_stop_at_the_prefix_and_bits_agree_with_slots() {
        let layout = CodeLayout::rows(1);
        let segment = |first, len| {
            Segment::new(&layout, SegmentIds::Borrowed(Ids::Run { first: Id(first), len }), Default::default())
        };
        // No planes: the constructor must refuse.
        assert!(segment(0, 3).is_err());
        let bytes = crate::bytes::AlignedBytes::zeroed(70);
        let segment = |first, len: usize| {
            let planes = [crate::lists::PlaneBytes::Borrowed(&bytes[..len])].into_iter().collect();
            Segment::new(&layout, SegmentIds::Borrowed(Ids::Run { first: Id(first), len }), planes).unwrap()
        };
        let list = ListRef::new([segment(0, 70), segment(100, 0), segment(200, 5)]);
        for prefix in [0, 1, 69, 70, 71, 75, 99] {
            let pieces: Vec<_> = Piece::of_list(ListNo(3), &list, &layout, 0..prefix).collect();
            assert_eq!(pieces.iter().map(|p| p.range().len()).sum::<usize>(), prefix.min(75));
        }
        let mask = Mask::from_fn(70, |i| i % 5 != 1);
        let piece = Piece::of_list(ListNo(3), &list, &layout, 0..75).next().unwrap().masked(Some(&mask)).within(3..67);
        let from_bits: Vec<usize> = (0..70)
            .step_by(32)
            .flat_map(|start| (0..32).map(move |b| (start, b)))
            .filter(|&(start, b)| piece.selected(start, 32) >> b & 1 == 1)
            .map(|(start, b)| start + b)
            .collect();
        assert_eq!(from_bits, piece.slots().collect::<Vec<_>>());
        assert_eq!(piece.blocks(), 3..67);
        let second = Piece::of_list(ListNo(3), &list, &layout, 0..75).nth(1).unwrap();
        assert_eq!(second.neighbor(2, 1.0).location, Location::new(3, 72));
        assert_eq!(second.neighbor(2, 1.0).id, Id(202));
    }
}
