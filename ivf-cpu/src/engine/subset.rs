//! Selecting entries of an index to copy into another.

use super::entries::Entries;
use ivf_core::error::{MergeError, StoreError};
use ivf_core::{Id, ListNo, Subset};
use std::ops::Range;

/// Entries of an index to be copied into another. A list without selected entries takes no memory.
pub(super) struct Selection {
    lists: Vec<ListSelection>,
}

/// Selected entries of a list.
pub(super) struct ListSelection {
    pub(super) list: ListNo,
    /// Their offsets in the list, ascending.
    pub(super) entries: Vec<usize>,
    /// Their ids in the other index.
    pub(super) ids: Vec<Id>,
}

impl Selection {
    /// Selects the entries of each list whose offsets are in `range` and for whose ids `keep`
    /// returns true. The arguments of `range` are the list and its length.
    fn chosen(
        entries: &Entries,
        range: impl Fn(ListNo, usize) -> Range<usize>,
        keep: impl Fn(Id) -> bool,
    ) -> Result<Self, StoreError> {
        let mut lists = Vec::new();
        for list in entries.list_numbers() {
            let range = range(list, entries.lists.list_len(list)?);
            if range.is_empty() {
                continue;
            }
            let ids = entries.lists.list_ids(list, range)?;
            let chosen = ids.entries().filter(|(_, id)| keep(*id));
            let (entries, ids): (Vec<_>, Vec<_>) = chosen.map(|(offset, id)| (offset.index(), id)).unzip();
            if !ids.is_empty() {
                lists.push(ListSelection { list, entries, ids });
            }
        }
        Ok(Self { lists })
    }

    pub(super) fn all(entries: &Entries) -> Result<Self, StoreError> {
        Self::chosen(entries, |_, len| 0..len, |_| true)
    }

    pub(super) fn of(entries: &Entries, subset: &Subset<'_>) -> Result<Self, MergeError> {
        let fault = |what| Err(MergeError::Subset { what, found: format!("{subset:?}") });
        let chosen = match subset {
            Subset::Ids(selector) => Self::chosen(entries, |_, len| 0..len, |id| selector.contains(id)),
            Subset::IdModulo { modulus, remainder } => {
                if *modulus < 1 || !(0..*modulus).contains(remainder) {
                    return fault("a modulus of at least 1 and a remainder below it");
                }
                Self::chosen(entries, |_, len| 0..len, |id| id.0.rem_euclid(*modulus) == *remainder)
            }
            Subset::Elements(range) => {
                let total = entries.len;
                if range.start > range.end || range.end > total {
                    return fault("a range of the entries");
                }
                let len = |no| entries.lists.list_len(no).map(|len| len as u64);
                let lens = entries.list_numbers().map(len).collect::<Result<Vec<u64>, StoreError>>()?;
                let places = ranked(&lens, range);
                Self::chosen(entries, |list, _| places[list.index()].clone(), |_| true)
            }
            Subset::ListFraction { part, of } => {
                if part >= of {
                    return fault("a part below the number of parts");
                }
                let place = |len: usize, part: usize| (len as u128 * part as u128 / *of as u128) as usize;
                Self::chosen(entries, |_, len| place(len, *part)..place(len, *part + 1), |_| true)
            }
            Subset::Lists(range) => {
                if range.start > range.end || range.end > entries.lists.nlist() {
                    return fault("a range of the lists");
                }
                let of_list = |list: ListNo, len| if range.contains(&list.index()) { 0..len } else { 0..0 };
                Self::chosen(entries, of_list, |_| true)
            }
            _ => return fault("a kind of subset that this index supports"),
        };
        Ok(chosen?)
    }

    /// Returns the selection with `shift` added to each id.
    pub(super) fn shifted(mut self, shift: i64) -> Result<Self, MergeError> {
        for id in self.lists.iter_mut().flat_map(|chosen| &mut chosen.ids) {
            let overflow = MergeError::IdOverflow { id: *id, shift };
            id.0 = id.0.checked_add(shift).ok_or(overflow)?;
        }
        Ok(self)
    }

    /// Returns the lists with selected entries, in order.
    pub(super) fn lists(&self) -> &[ListSelection] {
        &self.lists
    }

    pub(super) fn len(&self) -> usize {
        self.lists.iter().map(|chosen| chosen.ids.len()).sum()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = Id> {
        self.lists.iter().flat_map(|chosen| &chosen.ids).copied()
    }

    pub(super) fn largest(&self) -> Option<Id> {
        self.ids().max()
    }
}

/// Returns, for each list, the entries whose ranks among all entries are in `range`. They are
/// consecutive, because the ranks of a list ascend with the offset.
///
/// Entries are ranked by the key `(2 i + 1) / 2 n` for entry `i` of a list of `n`. So the entries
/// of a list with keys below a bound `x` are those with `i < n x - 1/2`. A bisection finds the
/// bound with the wanted number of entries below it, in time that grows with the number of lists
/// and not with the number of entries.
fn ranked(lens: &[u64], range: &Range<usize>) -> Vec<Range<usize>> {
    let (starts, ends) = (cut(lens, range.start as u64), cut(lens, range.end as u64));
    starts.into_iter().zip(ends).map(|(start, end)| start as usize..end as usize).collect()
}

/// Number of fractional bits of a bound. Two different keys differ by at least `1 / (4 n m)`, where
/// `n` and `m` are below 2^32.
const PLACES: u32 = 68;

/// Returns the number of entries of each list that are among the first `count` of all. Among equal
/// keys, lower lists come first.
fn cut(lens: &[u64], count: u64) -> Vec<u64> {
    // Entries with keys below x / 2^PLACES are those with (2 i + 1) 2^PLACES < 2 n x.
    let below = |n: u64, x: u128| {
        let odd = (u128::from(2 * n) * x).div_ceil(1 << PLACES);
        u64::try_from(odd / 2).unwrap_or(u64::MAX).min(n)
    };
    let total = |x: u128| lens.iter().map(|&n| below(n, x)).sum::<u64>();
    // Find the greatest bound with at most `count` entries below it. The remaining entries have the
    // bound itself as their key.
    let (mut low, mut high) = (0_u128, 1_u128 << PLACES);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if total(middle) <= count { low = middle } else { high = middle - 1 }
    }
    let mut cut: Vec<u64> = lens.iter().map(|&n| below(n, low)).collect();
    let mut left = count - cut.iter().sum::<u64>();
    for (cut, &n) in cut.iter_mut().zip(lens) {
        if left > 0 && below(n, low + 1) > *cut {
            *cut += 1;
            left -= 1;
        }
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computes the same by sorting the keys of all entries.
    fn naive(lens: &[u64], range: &Range<usize>) -> Vec<Range<usize>> {
        let mut order: Vec<(u64, u64, usize)> = Vec::new();
        for (list, &n) in lens.iter().enumerate() {
            order.extend((0..n).map(|i| (2 * i + 1, n, list)));
        }
        order.sort_by(|a, b| (a.0 * b.1).cmp(&(b.0 * a.1)).then(a.2.cmp(&b.2)));
        let count = |end: usize, list| order[..end].iter().filter(|entry| entry.2 == list).count();
        (0..lens.len()).map(|list| count(range.start, list)..count(range.end, list)).collect()
    }

    #[test]
    fn ranks_are_those_of_a_sort() {
        for lens in [&[0, 5, 3, 3, 8, 1][..], &[4, 4, 4], &[1], &[0], &[], &[7, 2, 30, 0, 11, 30]] {
            let total: u64 = lens.iter().sum();
            for start in 0..=total as usize {
                for end in start..=total as usize {
                    assert_eq!(ranked(lens, &(start..end)), naive(lens, &(start..end)), "{lens:?}, {start}..{end}");
                }
            }
        }
    }

    #[test]
    fn ranks_of_long_lists_add_up() {
        let lens = [u64::from(u32::MAX), u64::from(u32::MAX) - 1, 1, 0, 12_345];
        let total: u64 = lens.iter().sum();
        for count in [0, 1, 2, total / 3, total / 2, total - 1, total] {
            let cut = cut(&lens, count);
            assert_eq!(cut.iter().sum::<u64>(), count);
            assert!(cut.iter().zip(lens).all(|(cut, n)| *cut <= n));
        }
    }
}
