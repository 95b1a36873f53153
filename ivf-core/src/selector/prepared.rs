//! Prepared selectors, which test many ids at a time.

use super::IdSelector;
use crate::id::{Id, Ids};
use crate::mask::Mask;
use roaring::RoaringTreemap;
use std::collections::HashSet;
use std::ops::Range;

/// A selector that is prepared for many tests. [`IdSelector::prepare`] creates it.
///
/// ```
/// use ivf_core::{Id, IdSelector, Ids, selector::Selected};
/// let selector = IdSelector::range(10..20);
/// let prepared = selector.prepare(1);
/// // Sorted ids are bisected.
/// assert_eq!(prepared.select(Ids::Ascending(&[Id(2), Id(11), Id(12), Id(40)])), Selected::Run(1..3));
/// ```
#[derive(Debug)]
pub struct Prepared<'a>(Kind<'a>);

/// The entries that a selector selects out of a sequence of entries.
///
/// ```
/// use ivf_core::mask::Mask;
/// use ivf_core::selector::Selected;
/// let selected = Selected::of_mask(Mask::from_fn(4, |entry| entry != 1));
/// assert_eq!((selected.count_in(0..4), selected.count_in(0..2)), (3, 1));
/// assert_eq!(selected.into_mask(4).ones(0..4).collect::<Vec<_>>(), [0, 2, 3]);
/// // All entries are a run, which a scan handles faster than a mask.
/// assert_eq!(Selected::of_mask(Mask::of_range(4, 0..4)), Selected::Run(0..4));
/// assert_eq!(Selected::of_mask(Mask::of_range(4, 0..0)), Selected::None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selected {
    /// No entries.
    None,
    /// The entries of a non-empty range.
    Run(Range<usize>),
    /// The entries whose bits are set: at least one, and not all.
    Some(Mask),
}

#[derive(Debug)]
enum Kind<'a> {
    All,
    Range {
        start: Id,
        end: Id,
    },
    Sorted {
        ids: &'a [Id],
        bits: Option<HashBits>,
    },
    Set {
        ids: &'a HashSet<Id>,
        bits: Option<HashBits>,
    },
    Bitmap(&'a [u8]),
    Roaring(&'a RoaringTreemap),
    Not(Box<Kind<'a>>),
    And(Box<Kind<'a>>, Second<'a>),
    Or(Box<Kind<'a>>, Second<'a>),
    Xor(Box<Kind<'a>>, Box<Kind<'a>>),
    /// A selector that is a closure, which is called for each id.
    Closure(&'a IdSelector<'a>),
}

/// The second operand of a combination. It is evaluated only for the ids that the first operand has
/// not decided.
#[derive(Debug)]
struct Second<'a> {
    kind: Box<Kind<'a>>,
    selector: &'a IdSelector<'a>,
    /// Whether the operand contains a closure. A closure must not be called for ids that the first
    /// operand has decided.
    has_closure: bool,
}

impl Second<'_> {
    /// Returns the selected entries among those in `undecided`.
    fn select_of(&self, ids: Ids<'_>, undecided: &Mask) -> Mask {
        if !self.has_closure {
            let mut mask = self.kind.select(ids).into_mask(ids.len());
            mask.combine(undecided, |a, b| a & b);
            return mask;
        }
        let mut mask = Mask::of_range(ids.len(), 0..0);
        let selected = undecided.ones(0..ids.len()).filter(|&i| self.selector.contains(ids.get(i)));
        selected.for_each(|i| mask.set(i));
        mask
    }
}

impl<'a> Prepared<'a> {
    /// Prepares a selector. `tests` is the expected number of ids that will be tested with it.
    pub(super) fn new(selector: &'a IdSelector<'a>, tests: usize) -> Self {
        Self(Kind::new(selector, tests))
    }

    /// Returns the entries whose ids are in the selector.
    pub fn select(&self, ids: Ids<'_>) -> Selected {
        if ids.is_empty() { Selected::None } else { self.0.select(ids) }
    }
}

impl Selected {
    /// Returns the number of selected entries in `range`.
    pub fn count_in(&self, range: Range<usize>) -> usize {
        match self {
            Self::None => 0,
            Self::Run(run) => run.end.min(range.end).saturating_sub(run.start.max(range.start)),
            Self::Some(mask) => mask.count_in(range),
        }
    }

    /// Converts the selection to one in a longer sequence of `len` entries, which contains this one
    /// from `start` on.
    fn moved(self, start: usize, len: usize) -> Self {
        match self {
            Self::None => Self::None,
            Self::Run(run) => Self::Run(start + run.start..start + run.end),
            Self::Some(mask) if mask.len() == len => Self::Some(mask),
            Self::Some(mask) => {
                let mut moved = Mask::of_range(len, 0..0);
                mask.ones(0..mask.len()).for_each(|i| moved.set(start + i));
                Self::Some(moved)
            }
        }
    }

    /// Converts the selection to a mask of `len` bits.
    ///
    /// # Panics
    /// May panic if the selection is from a sequence of another length.
    pub fn into_mask(self, len: usize) -> Mask {
        match self {
            Self::None => Mask::of_range(len, 0..0),
            Self::Run(run) => Mask::of_range(len, run),
            Self::Some(mask) => mask,
        }
    }

    fn of_run(run: Range<usize>) -> Self {
        if run.is_empty() { Self::None } else { Self::Run(run) }
    }

    /// Creates a selection of the entries whose bits are set.
    pub fn of_mask(mask: Mask) -> Self {
        match mask.count() {
            0 => Self::None,
            all if all == mask.len() => Self::Run(0..all),
            _ => Self::Some(mask),
        }
    }
}

impl<'a> Kind<'a> {
    fn new(selector: &'a IdSelector<'a>, tests: usize) -> Self {
        let inner = |selector: &'a IdSelector<'a>| Box::new(Self::new(selector, tests));
        let second = |selector: &'a IdSelector<'a>| Second {
            kind: inner(selector),
            selector,
            has_closure: has_closure(selector),
        };
        match selector {
            IdSelector::All => Self::All,
            IdSelector::Range { start, end } => Self::Range { start: *start, end: *end },
            IdSelector::Sorted(ids) => {
                let ids = ids.as_slice();
                Self::Sorted { ids, bits: HashBits::new(ids.iter(), ids.len(), tests) }
            }
            IdSelector::Set(ids) => Self::Set { ids, bits: HashBits::new(ids.iter(), ids.len(), tests) },
            IdSelector::Bitmap(bytes) => Self::Bitmap(bytes),
            IdSelector::Roaring(ids) => Self::Roaring(ids),
            IdSelector::Not(a) => Self::Not(inner(a)),
            IdSelector::And(a, b) => Self::And(inner(a), second(b)),
            IdSelector::Or(a, b) => Self::Or(inner(a), second(b)),
            IdSelector::Xor(a, b) => Self::Xor(inner(a), inner(b)),
            IdSelector::Fn(_) => Self::Closure(selector),
        }
    }

    fn select(&self, ids: Ids<'_>) -> Selected {
        let len = ids.len();
        match self {
            Self::All => Selected::Run(0..len),
            Self::Range { start, end } => select_range(*start, *end, ids),
            Self::Sorted { ids: chosen, bits } => match ids {
                Ids::Run { .. } | Ids::Ascending(_) => select_sorted(chosen, ids),
                Ids::Listed(ids) => each(ids, |id| {
                    bits.as_ref().is_none_or(|bits| bits.may_have(id)) && chosen.binary_search(&id).is_ok()
                }),
            },
            Self::Set { ids: chosen, bits } => {
                of_any(ids, |id| bits.as_ref().is_none_or(|bits| bits.may_have(id)) && chosen.contains(&id))
            }
            Self::Bitmap(bytes) => match ids {
                Ids::Run { first: Id(first @ 0..), len } => {
                    let mut mask = Mask::of_range(len, 0..0);
                    mask.fill_words(|w| bits_of(bytes, first as usize + w * 64));
                    Selected::of_mask(mask)
                }
                _ => of_any(ids, |id| {
                    // A negative id is converted to an index past the end.
                    let byte = usize::try_from(id.0 as u64 / 8).ok().and_then(|byte| bytes.get(byte));
                    byte.is_some_and(|byte| byte >> (id.0 & 7) & 1 == 1)
                }),
            },
            Self::Roaring(chosen) => of_any(ids, |id| u64::try_from(id.0).is_ok_and(|id| chosen.contains(id))),
            Self::Closure(selector) => of_any(ids, |id| selector.contains(id)),
            Self::Not(inner) => match inner.select(ids) {
                Selected::None => Selected::Run(0..len),
                Selected::Run(run) if run.start == 0 => Selected::of_run(run.end..len),
                Selected::Run(run) if run.end == len => Selected::of_run(0..run.start),
                other => {
                    let mut mask = other.into_mask(len);
                    mask.invert();
                    Selected::of_mask(mask)
                }
            },
            // As for `&&` and `||`, the second operand is evaluated for the ids that the first
            // leaves undecided.
            Self::And(a, b) => match a.select(ids) {
                Selected::None => Selected::None,
                Selected::Run(run) => b.kind.select(ids.slice(run.clone())).moved(run.start, len),
                Selected::Some(mask) => Selected::of_mask(b.select_of(ids, &mask)),
            },
            Self::Or(a, b) => match a.select(ids) {
                Selected::None => b.kind.select(ids),
                Selected::Run(run) if run.len() == len => Selected::Run(run),
                a => {
                    let mut mask = a.into_mask(len);
                    let mut undecided = mask.clone();
                    undecided.invert();
                    mask.combine(&b.select_of(ids, &undecided), |a, b| a | b);
                    Selected::of_mask(mask)
                }
            },
            Self::Xor(a, b) => match (a.select(ids), b.select(ids)) {
                (Selected::None, other) | (other, Selected::None) => other,
                (a, b) => combined(a, b, len, |a, b| a ^ b),
            },
        }
    }
}

fn has_closure(selector: &IdSelector<'_>) -> bool {
    match selector {
        IdSelector::Fn(_) => true,
        IdSelector::Not(a) => has_closure(a),
        IdSelector::And(a, b) | IdSelector::Or(a, b) | IdSelector::Xor(a, b) => has_closure(a) || has_closure(b),
        _ => false,
    }
}

fn combined(a: Selected, b: Selected, len: usize, op: impl Fn(u64, u64) -> u64) -> Selected {
    let mut mask = a.into_mask(len);
    mask.combine(&b.into_mask(len), op);
    Selected::of_mask(mask)
}

fn each(ids: &[Id], keep: impl Fn(Id) -> bool) -> Selected {
    let mut mask = Mask::of_range(ids.len(), 0..0);
    let mut words = ids.chunks(64);
    mask.fill_words(|_| {
        let ids = words.next().unwrap_or_default();
        ids.iter().enumerate().fold(0, |word, (bit, &id)| word | u64::from(keep(id)) << bit)
    });
    Selected::of_mask(mask)
}

fn of_any(ids: Ids<'_>, keep: impl Fn(Id) -> bool) -> Selected {
    match ids {
        Ids::Listed(ids) | Ids::Ascending(ids) => each(ids, keep),
        Ids::Run { .. } => Selected::of_mask(Mask::from_fn(ids.len(), |i| keep(ids.get(i)))),
    }
}

fn select_range(start: Id, end: Id, ids: Ids<'_>) -> Selected {
    match ids {
        _ if start >= end => Selected::None,
        Ids::Run { first, len } => {
            let place = |id: Id| usize::try_from(id.0.saturating_sub(first.0)).map_or(0, |place| place.min(len));
            // In a run that ends at `i64::MAX`, the id after the last one does not exist.
            Selected::of_run(place(start)..place(end))
        }
        Ids::Ascending(ids) => {
            Selected::of_run(ids.partition_point(|id| *id < start)..ids.partition_point(|id| *id < end))
        }
        Ids::Listed(ids) => {
            // A single comparison suffices, since an id below the start wraps around to a large
            // number.
            let width = end.0.wrapping_sub(start.0) as u64;
            each(ids, |id| (id.0.wrapping_sub(start.0) as u64) < width)
        }
    }
}

/// Selects sorted ids by a sorted list. Each id of the shorter sequence is searched in the longer
/// one.
fn select_sorted(chosen: &[Id], ids: Ids<'_>) -> Selected {
    let len = ids.len();
    let (first, last) = (ids.get(0), ids.get(len - 1));
    let chosen = &chosen[chosen.partition_point(|id| *id < first)..chosen.partition_point(|id| *id <= last)];
    if chosen.is_empty() {
        return Selected::None;
    }
    let mut mask = Mask::of_range(len, 0..0);
    match ids {
        Ids::Run { first, .. } => {
            chosen.iter().for_each(|id| mask.set(id.0.wrapping_sub(first.0) as usize));
        }
        Ids::Listed(ids) | Ids::Ascending(ids) => {
            let mut from = 0;
            if chosen.len() > ids.len() {
                for (i, id) in ids.iter().enumerate() {
                    from += gallop(&chosen[from..], |other| other < id);
                    if chosen.get(from) == Some(id) {
                        mask.set(i);
                    }
                }
                return Selected::of_mask(mask);
            }
            for id in chosen {
                from += gallop(&ids[from..], |other| other < id);
                while ids.get(from) == Some(id) {
                    mask.set(from);
                    from += 1;
                }
            }
        }
    }
    Selected::of_mask(mask)
}

/// Returns the number of leading ids for which `before` is true. The search doubles its step and
/// then bisects, so that a near position is found in few steps.
fn gallop(ids: &[Id], before: impl Fn(&Id) -> bool) -> usize {
    let mut step = 1;
    while step < ids.len() && before(&ids[step]) {
        step *= 2;
    }
    let start = step / 2;
    start + ids[start..ids.len().min(step + 1)].partition_point(before)
}

/// Returns the 64 bits of a bitmap from bit `start` on.
fn bits_of(bytes: &[u8], start: usize) -> u64 {
    let word = |byte: usize| match bytes.get(byte..byte + 8) {
        Some(eight) => u64::from_le_bytes(eight.try_into().expect("eight bytes")),
        None => {
            let rest = bytes.get(byte..).unwrap_or_default();
            rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
        }
    };
    let (byte, shift) = (start / 8, start % 8);
    let low = word(byte) >> shift;
    if shift == 0 { low } else { low | u64::from(bytes.get(byte + 8).copied().unwrap_or(0)) << (64 - shift) }
}

/// A bitmap of the hashes of the ids of a set. It rejects most ids that are not in the set with one
/// lookup.
#[derive(Debug)]
struct HashBits {
    words: Vec<u64>,
    shift: u32,
}

impl HashBits {
    /// Minimum number of bits per id of the set. With 16 bits, at most about one in 16 other ids is
    /// not rejected.
    const BITS: usize = 16;

    /// Builds the bitmap for a set of `len` ids. Returns `None` if it does not pay for the
    /// expected number of ids to test (`tests`).
    fn new<'i>(ids: impl Iterator<Item = &'i Id>, len: usize, tests: usize) -> Option<Self> {
        if tests < len {
            return None;
        }
        let bits = (len.max(4) * Self::BITS).next_power_of_two();
        let mut made = Self { words: vec![0; bits / 64], shift: 64 - bits.trailing_zeros() };
        for id in ids {
            let bit = made.bit(*id);
            made.words[bit / 64] |= 1 << (bit % 64);
        }
        Some(made)
    }

    /// Fibonacci hashing (Knuth, TAOCP 3, 6.4): the upper bits of a product.
    fn bit(&self, id: Id) -> usize {
        ((id.0 as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> self.shift) as usize
    }

    /// Returns false only for ids that are not in the set.
    fn may_have(&self, id: Id) -> bool {
        let bit = self.bit(id);
        self.words[bit / 64] >> (bit % 64) & 1 == 1
    }
}
