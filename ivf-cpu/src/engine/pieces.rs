//! Pieces of lists: the units in which a list is scanned, filtered and read.

use ivf_core::lists::ListIds;
use ivf_core::mask::Mask;
use ivf_core::selector::{Prepared, Selected};
use ivf_core::{CodeLayout, Ids, Location};
use std::borrow::Cow;
use std::iter;
use std::ops::Range;

/// Maximum number of codes in a task. Longer lists are split into several tasks, so that one query
/// over one list still uses every thread.
pub(super) const TASK_CODES: u32 = 1 << 15;

/// Maximum number of bytes of codes that a thread reads at a time. It bounds the memory of a search
/// of lists in a file: a task of 1024 floats a vector would hold 128 MiB.
const READ_BYTES: usize = 1 << 22;

/// Returns the piece of a list of `len` entries that begins at `start`, a multiple of
/// [`TASK_CODES`].
pub(super) fn piece(start: usize, len: usize) -> Range<usize> {
    start..len.min(start + TASK_CODES as usize)
}

/// Minimum number of bytes of codes that are left out between two reads. Reading fewer bytes takes
/// no longer than a call.
const GAP_BYTES: usize = 1 << 16;

/// Splits a range of a list into the ranges that are read one after the other. Given a selection,
/// they leave out long stretches of entries that are not selected.
///
/// ```text
/// range       | 0 .. 8191  | 8192 .. 16383 | 16384 .. 20000 |
/// selected      17, 93                       16390, 19000
/// read          17 .. 93                     16390, 19000
/// ```
pub(super) fn reads<'r>(
    layout: &CodeLayout,
    range: Range<usize>,
    chosen: Option<&'r Chosen>,
) -> impl Iterator<Item = Range<usize>> + use<'r> {
    let step = layout.aligned_entries();
    let most = (READ_BYTES / layout.code_size()).max(1).next_multiple_of(step);
    let gap = (GAP_BYTES / layout.code_size()).div_ceil(WORD);
    let mut next = range.start;
    let ranges = iter::from_fn(move || {
        // The limits are multiples of the step, so that no block is read twice.
        let read = next..range.end.min((next / most + 1) * most);
        next = read.end;
        (!read.is_empty()).then_some(read)
    });
    ranges.flat_map(move |read| match chosen {
        None => vec![read],
        Some(chosen) => match chosen.stretches(&read, gap) {
            // The masks of whole ranges need no copy.
            stretches if stretches.len() == 1 && stretches[0].len() > read.len() / 2 => vec![read],
            stretches => stretches,
        },
    })
}

/// Number of entries in a word of a mask.
const WORD: usize = 64;

/// The selected entries of a piece of a list.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    /// Offset in the list of the first entry of the piece.
    start: usize,
    len: usize,
    selected: Selected,
}

impl Default for Chosen {
    fn default() -> Self {
        Self { start: 0, len: 0, selected: Selected::None }
    }
}

impl Chosen {
    /// Selects the entries whose ids are in a selector.
    pub(super) fn of_ids(selector: &Prepared<'_>, ids: &ListIds<'_>) -> Self {
        let (start, len) = (ids.start(), ids.len());
        let mut segments = ids.placed();
        let selected = match (segments.next(), segments.next()) {
            (Some((_, ids)), None) => selector.select(ids),
            (first, second) => {
                let mut mask = Mask::of_range(len, 0..0);
                let mut add = |(first, ids): (usize, Ids<'_>)| match selector.select(ids) {
                    Selected::None => {}
                    Selected::Run(run) => mask.set_range(first - start + run.start..first - start + run.end),
                    Selected::Some(own) => own.ones(0..own.len()).for_each(|i| mask.set(first - start + i)),
                };
                first.into_iter().chain(second).chain(segments).for_each(&mut add);
                Selected::of_mask(mask)
            }
        };
        Self { start, len, selected }
    }

    /// Selects the entries at the given locations, all in the piece.
    pub(super) fn of_places(piece: Range<usize>, places: &[Location]) -> Self {
        let mut mask = Mask::of_range(piece.len(), 0..0);
        places.iter().for_each(|place| mask.set(place.offset.index() - piece.start));
        Self { start: piece.start, len: piece.len(), selected: Selected::of_mask(mask) }
    }

    /// Returns true if an entry in `range` is selected.
    pub(super) fn selects_of(&self, range: &Range<usize>) -> bool {
        !self.stretches(range, usize::MAX).is_empty()
    }

    /// Returns ranges of offsets in `range`, ascending, that hold all selected entries of it. They
    /// leave out at least `gap` words of entries between two of them.
    fn stretches(&self, range: &Range<usize>, gap: usize) -> Vec<Range<usize>> {
        let slot = |offset: usize| offset.saturating_sub(self.start).min(self.len);
        let within = slot(range.start)..slot(range.end);
        let mut found: Vec<Range<usize>> = Vec::new();
        match &self.selected {
            Selected::None => {}
            Selected::Run(run) => found.push(run.start.max(within.start)..run.end.min(within.end)),
            Selected::Some(mask) => {
                for word in within.start / WORD..within.end.div_ceil(WORD) {
                    let of_word = within.start.max(WORD * word)..within.end.min(WORD * (word + 1));
                    if mask.count_in(of_word.clone()) == 0 {
                        continue;
                    }
                    match found.last_mut() {
                        Some(last) if (of_word.start - last.end) / WORD < gap => last.end = of_word.end,
                        _ => found.push(of_word),
                    }
                }
                for stretch in &mut found {
                    let last = stretch.start.max((stretch.end - 1) / WORD * WORD)..stretch.end;
                    stretch.start = mask.ones(stretch.clone()).next().unwrap_or(stretch.end);
                    stretch.end = mask.ones(last).last().map_or(stretch.start, |last| last + 1);
                }
            }
        }
        found.retain(|stretch| stretch.start < stretch.end);
        found.iter_mut().for_each(|stretch| *stretch = self.start + stretch.start..self.start + stretch.end);
        found
    }

    /// Returns the selection of a segment of `len` entries that begins at offset `first` of the
    /// list. Entries outside of the piece are not selected.
    pub(super) fn of_segment(&self, first: usize, len: usize) -> Cow<'_, Selected> {
        if (first, len) == (self.start, self.len) {
            return Cow::Borrowed(&self.selected);
        }
        let slot = |entry: usize| (self.start + entry).saturating_sub(first).min(len);
        Cow::Owned(match &self.selected {
            Selected::None => Selected::None,
            Selected::Run(run) if slot(run.start) < slot(run.end) => Selected::Run(slot(run.start)..slot(run.end)),
            Selected::Run(_) => Selected::None,
            Selected::Some(own) => {
                let mut mask = Mask::of_range(len, 0..0);
                match first.checked_sub(self.start) {
                    Some(ahead) => mask.fill_words(|word| own.bits(ahead + 64 * word, 64)),
                    None => own.ones(0..len.saturating_sub(self.start - first)).for_each(|i| mask.set(slot(i))),
                }
                Selected::of_mask(mask)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ivf_core::lists::SegmentIds;
    use ivf_core::{Id, IdSelector};

    #[test]
    fn a_selection_is_the_same_in_every_segment() {
        let ids: Vec<Id> = (0..300).map(|i| Id(i * 7 % 300)).collect();
        let every = |keep: &(dyn Fn(Id) -> bool + Sync)| {
            let selector = IdSelector::Fn(keep);
            let prepared = selector.prepare(300);
            let (whole, parts) = (0..300, [0..100, 100..164, 164..300]);
            for pieces in [std::slice::from_ref(&whole), &parts] {
                let segments = pieces.iter().map(|piece| SegmentIds::Borrowed(Ids::Listed(&ids[piece.clone()])));
                let chosen = Chosen::of_ids(&prepared, &ListIds::new(1000, segments));
                for first in [900, 999, 1000, 1001, 1063, 1064, 1200, 1299, 1300] {
                    for len in [1, 63, 64, 100, 300, 500] {
                        let expected = Mask::from_fn(len, |i| {
                            let entry = (first + i).checked_sub(1000).and_then(|entry| ids.get(entry));
                            entry.is_some_and(|id| keep(*id))
                        });
                        let found = chosen.of_segment(first, len).into_owned().into_mask(len);
                        assert_eq!(found, expected, "{first}, {len}");
                        let range = first..first + len;
                        assert_eq!(chosen.selects_of(&range), expected.count() > 0, "{first}, {len}");
                        for gap in [0, 1, 3, usize::MAX] {
                            let stretches = chosen.stretches(&range, gap);
                            let ends = |i: usize| stretches[i].end + gap.saturating_mul(WORD);
                            assert!((1..stretches.len()).all(|i| ends(i - 1) <= stretches[i].start), "{stretches:?}");
                            let is_inside = |entry: usize| stretches.iter().any(|one| one.contains(&entry));
                            assert!(expected.ones(0..len).all(|i| is_inside(first + i)), "{stretches:?}");
                            assert!(stretches.iter().all(|one| range.start <= one.start && one.end <= range.end));
                        }
                    }
                }
            }
        };
        every(&|_| true);
        every(&|_| false);
        every(&|id| id.0 == 140);
        every(&|id| id.0 % 3 == 0);
        every(&|id| (10..12).contains(&id.0) || id.0 > 290);
    }

    #[test]
    fn reads_cover_what_is_selected_once() {
        let layout = CodeLayout::interleaved(4, 1 << 15, 32);
        let all: Vec<_> = reads(&layout, 40..130, None).collect();
        assert_eq!(all, [40..64, 64..96, 96..128, 128..130]);
        let places = [Location::new(0, 70), Location::new(0, 129)];
        let chosen = Chosen::of_places(40..130, &places);
        assert_eq!(reads(&layout, 40..130, Some(&chosen)).collect::<Vec<_>>(), [70..71, 129..130]);
        // Small codes are read in one go.
        let layout = CodeLayout::rows(8);
        assert!(reads(&layout, 5..32_768, None).eq(std::iter::once(5..32_768)));
        let places = [Location::new(0, 3), Location::new(0, 150), Location::new(0, 30_000)];
        let chosen = Chosen::of_places(0..32_768, &places);
        assert_eq!(reads(&layout, 0..32_768, Some(&chosen)).collect::<Vec<_>>(), [3..151, 30_000..30_001]);
    }
}
