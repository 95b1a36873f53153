//! Selectors: sets of ids to find, remove or copy.

mod prepared;

pub use prepared::{Prepared, Selected};

use crate::id::Id;
use roaring::RoaringTreemap;
use std::collections::HashSet;
use std::fmt;

/// A set of ids: the ids that a search may return, or the ids to remove.
///
/// ```
/// use ivf_core::{Id, IdSelector};
/// let odd = |id: Id| id.0 % 2 == 1;
/// let selector = IdSelector::range(0..10) & IdSelector::Fn(&odd);
/// assert!(selector.contains(Id(3)));
/// assert!(!selector.contains(Id(4)) && !selector.contains(Id(11)));
///
/// // Sets combine with `&`, `|`, `^` and `!`.
/// let banned = IdSelector::set([Id(3), Id(1000)]);
/// let selector = selector & !banned;
/// assert!(selector.contains(Id(5)) && !selector.contains(Id(3)));
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub enum IdSelector<'a> {
    /// Every id.
    All,
    /// `start <= id < end`.
    Range {
        /// The first id.
        start: Id,
        /// The id after the last.
        end: Id,
    },
    /// The ids of a sorted list, which [`IdSelector::sorted`] creates.
    Sorted(SortedIds),
    /// The ids of a hash set.
    Set(HashSet<Id>),
    /// The ids of a bitmap: bit `i % 8` of byte `i / 8` is set for id `i` (as in Faiss's
    /// `IDSelectorBitmap`). Ids past the end and negative ids are not in the set.
    Bitmap(Vec<u8>),
    /// The ids of a compressed bitmap. Negative ids are not in the set.
    Roaring(RoaringTreemap),
    /// The ids that are not in the inner set.
    Not(Box<IdSelector<'a>>),
    /// The ids in both sets.
    And(Box<IdSelector<'a>>, Box<IdSelector<'a>>),
    /// The ids in at least one of the two sets.
    Or(Box<IdSelector<'a>>, Box<IdSelector<'a>>),
    /// The ids in exactly one of the two sets.
    Xor(Box<IdSelector<'a>>, Box<IdSelector<'a>>),
    /// The ids for which the function returns true. It may be called from several threads, and more
    /// than once for the same id.
    Fn(&'a (dyn Fn(Id) -> bool + Sync)),
}

/// Ids in ascending order, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortedIds(Vec<Id>);

impl SortedIds {
    /// Returns the ids.
    pub fn as_slice(&self) -> &[Id] {
        &self.0
    }
}

impl<'a> IdSelector<'a> {
    /// Creates the set of ids with `range.start <= id < range.end`.
    pub fn range(range: std::ops::Range<i64>) -> Self {
        Self::Range { start: Id(range.start), end: Id(range.end) }
    }

    /// Creates the set of the ids of a list, which may be in any order.
    ///
    /// ```
    /// use ivf_core::{Id, IdSelector};
    /// let selector = IdSelector::sorted(vec![Id(7), Id(2), Id(7)]);
    /// assert!(matches!(&selector, IdSelector::Sorted(ids) if ids.as_slice() == [Id(2), Id(7)]));
    /// ```
    pub fn sorted(mut ids: Vec<Id>) -> Self {
        ids.sort_unstable();
        ids.dedup();
        Self::Sorted(SortedIds(ids))
    }

    /// Creates a hash set of ids.
    pub fn set(ids: impl IntoIterator<Item = Id>) -> Self {
        Self::Set(ids.into_iter().collect())
    }

    /// Returns true if `id` is in the set.
    pub fn contains(&self, id: Id) -> bool {
        match self {
            Self::All => true,
            Self::Range { start, end } => (*start..*end).contains(&id),
            Self::Sorted(ids) => ids.0.binary_search(&id).is_ok(),
            Self::Set(ids) => ids.contains(&id),
            Self::Bitmap(bytes) => {
                usize::try_from(id.0).is_ok_and(|i| bytes.get(i / 8).is_some_and(|byte| byte >> (i % 8) & 1 == 1))
            }
            Self::Roaring(ids) => u64::try_from(id.0).is_ok_and(|id| ids.contains(id)),
            Self::Not(inner) => !inner.contains(id),
            Self::And(a, b) => a.contains(id) && b.contains(id),
            Self::Or(a, b) => a.contains(id) || b.contains(id),
            Self::Xor(a, b) => a.contains(id) ^ b.contains(id),
            Self::Fn(keep) => keep(id),
        }
    }

    /// Returns the ids of the set, each once and in no order, if there are at most `most`. Returns
    /// `None` if there are more, if the selector cannot list its ids, or if that would take longer
    /// than the work for `most` ids.
    ///
    /// [`All`](Self::All), [`Fn`](Self::Fn) and [`Not`](Self::Not) cannot list their ids.
    /// [`And`](Self::And) can if one of its two operands can. [`Or`](Self::Or) and
    /// [`Xor`](Self::Xor) can if both operands can. All other kinds can.
    ///
    /// ```
    /// use ivf_core::{Id, IdSelector};
    /// let few = IdSelector::range(0..10) & IdSelector::set([Id(3), Id(40)]);
    /// assert_eq!(few.listed(5), Some(vec![Id(3)]));
    /// assert_eq!(IdSelector::range(0..10).listed(5), None);
    /// assert_eq!((!few).listed(5), None);
    /// ```
    pub fn listed(&self, most: usize) -> Option<Vec<Id>> {
        let few = |ids: Vec<Id>| (ids.len() <= most).then_some(ids);
        match self {
            Self::All | Self::Fn(_) | Self::Not(_) => None,
            Self::Sorted(ids) => (ids.0.len() <= most).then(|| ids.0.clone()),
            Self::Set(ids) => (ids.len() <= most).then(|| ids.iter().copied().collect()),
            Self::Range { start, end } if start >= end => Some(Vec::new()),
            Self::Range { start, end } => {
                (end.0.abs_diff(start.0) <= most as u64).then(|| (start.0..end.0).map(Id).collect())
            }
            Self::Bitmap(bytes) => {
                if bytes.len() / 8 > most {
                    return None;
                }
                let mut ids = Vec::new();
                for (byte, &bits) in bytes.iter().enumerate().filter(|(_, bits)| **bits != 0) {
                    ids.extend((0..8).filter(|bit| bits >> bit & 1 == 1).map(|bit| Id((byte * 8 + bit) as i64)));
                    if ids.len() > most {
                        return None;
                    }
                }
                Some(ids)
            }
            Self::Roaring(ids) => {
                // Numbers above `i64::MAX` are not ids.
                (ids.len() <= most as u64).then(|| ids.iter().map_while(|id| i64::try_from(id).ok()).map(Id).collect())
            }
            Self::And(a, b) => {
                // The shorter list, filtered by the other.
                let (mut ids, other) = match (a.listed(most), b.listed(most)) {
                    (Some(ids), Some(others)) if others.len() < ids.len() => (others, a),
                    (Some(ids), _) => (ids, b),
                    (None, others) => (others?, a),
                };
                ids.retain(|id| other.contains(*id));
                Some(ids)
            }
            Self::Or(a, b) => {
                let mut ids = a.listed(most)?;
                ids.extend(b.listed(most)?.into_iter().filter(|id| !a.contains(*id)));
                few(ids)
            }
            Self::Xor(a, b) => {
                let (ids, others) = (a.listed(most)?, b.listed(most)?);
                let only = |ids: Vec<Id>, other: &Self| ids.into_iter().filter(|id| !other.contains(*id)).collect();
                let mut ids: Vec<Id> = only(ids, b);
                ids.extend::<Vec<Id>>(only(others, a));
                few(ids)
            }
        }
    }

    /// Prepares the selector for about `tests` ids to test. For many tests it builds lookup tables,
    /// which do not pay for few.
    ///
    /// ```
    /// use ivf_core::{Id, IdSelector, Ids};
    /// let selector = IdSelector::set([Id(5), Id(6)]);
    /// let entries = [Id(6), Id(1), Id(5)];
    /// let selected = selector.prepare(entries.len()).select(Ids::Listed(&entries));
    /// assert_eq!(selected.count_in(0..3), 2);
    /// ```
    pub fn prepare(&self, tests: usize) -> Prepared<'_> {
        Prepared::new(self, tests)
    }
}

impl std::ops::Not for IdSelector<'_> {
    type Output = Self;
    fn not(self) -> Self {
        Self::Not(Box::new(self))
    }
}

impl std::ops::BitAnd for IdSelector<'_> {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self::And(Box::new(self), Box::new(other))
    }
}

impl std::ops::BitOr for IdSelector<'_> {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self::Or(Box::new(self), Box::new(other))
    }
}

impl std::ops::BitXor for IdSelector<'_> {
    type Output = Self;
    fn bitxor(self, other: Self) -> Self {
        Self::Xor(Box::new(self), Box::new(other))
    }
}

impl fmt::Debug for IdSelector<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("All"),
            Self::Range { start, end } => write!(f, "Range({start}..{end})"),
            Self::Sorted(ids) => write!(f, "Sorted({} ids)", ids.0.len()),
            Self::Set(ids) => write!(f, "Set({} ids)", ids.len()),
            Self::Bitmap(bytes) => write!(f, "Bitmap({} bytes)", bytes.len()),
            Self::Roaring(ids) => write!(f, "Roaring({} ids)", ids.len()),
            Self::Not(inner) => write!(f, "!{inner:?}"),
            Self::And(a, b) => write!(f, "({a:?} & {b:?})"),
            Self::Or(a, b) => write!(f, "({a:?} | {b:?})"),
            Self::Xor(a, b) => write!(f, "({a:?} ^ {b:?})"),
            Self::Fn(_) => f.write_str("Fn"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Ids;

    /// Returns a selector of every kind, each with these members.
    fn kinds<'a>(members: &[i64], is_member: &'a (dyn Fn(Id) -> bool + Sync)) -> Vec<IdSelector<'a>> {
        let ids = || members.iter().copied().map(Id);
        let mut bitmap = vec![0u8; 88];
        members.iter().for_each(|&i| bitmap[i as usize / 8] |= 1 << (i % 8));
        vec![
            IdSelector::sorted(ids().rev().chain([Id(3)]).collect()),
            IdSelector::set(ids()),
            IdSelector::Bitmap(bitmap),
            IdSelector::Roaring(members.iter().map(|&i| i as u64).collect()),
            IdSelector::Fn(is_member),
            !!IdSelector::Fn(is_member),
            IdSelector::set(ids()) & IdSelector::All,
            IdSelector::range(0..5) & IdSelector::set(ids()) | IdSelector::range(5..800) & IdSelector::set(ids()),
            IdSelector::set(ids()) ^ !IdSelector::All,
            (IdSelector::set(ids()) | IdSelector::range(7..9)) ^ IdSelector::range(7..9),
        ]
    }

    /// Returns the selected entries.
    fn entries(selected: &Selected, len: usize) -> Vec<usize> {
        match selected {
            Selected::None => Vec::new(),
            Selected::Run(run) => run.clone().collect(),
            Selected::Some(mask) => {
                assert_eq!(mask.len(), len);
                mask.ones(0..len).collect()
            }
        }
    }

    #[test]
    fn every_kind_agrees_with_a_plain_set_in_single_ids_and_selections() {
        let members = [0_i64, 3, 4, 64, 65, 700];
        let is_member = |id: Id| members.contains(&id.0);
        let ascending: Vec<Id> = (-5..800).map(Id).collect();
        let repeated: Vec<Id> = (-5..800).flat_map(|id| [Id(id), Id(id)]).collect();
        let shuffled: Vec<Id> = (0..805).map(|i| Id(i * 123 % 805 - 5)).collect();
        for kind in &kinds(&members, &is_member) {
            for &id in &ascending {
                assert_eq!(kind.contains(id), is_member(id), "{kind:?} {id}");
            }
            for tests in [0, 1_000_000] {
                let prepared = kind.prepare(tests);
                for ids in [
                    Ids::Ascending(&ascending),
                    Ids::Ascending(&repeated),
                    Ids::Listed(&shuffled),
                    Ids::Listed(&[Id(i64::MIN), Id(4), Id(i64::MAX)]),
                    Ids::Run { first: Id(-5), len: 805 },
                    Ids::Run { first: Id(2), len: 130 },
                    Ids::Run { first: Id(i64::MAX - 5), len: 6 },
                    Ids::Run { first: Id(i64::MIN), len: 6 },
                    Ids::Listed(&[]),
                ] {
                    let expected: Vec<usize> = (0..ids.len()).filter(|&i| is_member(ids.get(i))).collect();
                    assert_eq!(entries(&prepared.select(ids), ids.len()), expected, "{kind:?} {tests}");
                }
            }
        }
        assert!(!IdSelector::range(4..4).contains(Id(4)));
    }

    #[test]
    fn a_range_over_ids_in_order_is_a_run_and_so_is_everything() {
        let ids: Vec<Id> = (0..50).map(|i| Id(i * 2)).collect();
        let run = |selector: &IdSelector<'_>, ids| selector.prepare(1).select(ids);
        let range = IdSelector::range(10..21);
        assert_eq!(run(&range, Ids::Ascending(&ids)), Selected::Run(5..11));
        assert_eq!(run(&range, Ids::Run { first: Id(8), len: 4 }), Selected::Run(2..4));
        assert_eq!(run(&(range.clone() & IdSelector::range(16..90)), Ids::Ascending(&ids)), Selected::Run(8..11));
        assert_eq!(run(&IdSelector::All, Ids::Listed(&ids)), Selected::Run(0..50));
        assert_eq!(run(&!IdSelector::All, Ids::Listed(&ids)), Selected::None);
        assert_eq!(run(&IdSelector::Range { start: Id(9), end: Id(5) }, Ids::Ascending(&ids)), Selected::None);
    }

    #[test]
    fn a_closure_hears_only_of_what_the_first_of_two_leaves_open() {
        let table = [true; 200];
        let guarded = |id: Id| table[id.0 as usize];
        let even: Vec<Id> = (0..200).step_by(2).map(Id).collect();
        let ascending: Vec<Id> = (-200..400).map(Id).collect();
        let shuffled: Vec<Id> = (0..600).map(|i| Id(i * 7 % 600 - 200)).collect();
        for (selector, count) in [
            (IdSelector::range(0..200) & IdSelector::Fn(&guarded), 200),
            (IdSelector::set(even.iter().copied()) & IdSelector::Fn(&guarded), 100),
            (!IdSelector::range(0..200) | !IdSelector::Fn(&guarded), 400),
        ] {
            for ids in [Ids::Ascending(&ascending), Ids::Listed(&shuffled), Ids::Run { first: Id(-200), len: 600 }] {
                let selected = selector.prepare(0).select(ids);
                assert_eq!(selected.count_in(0..600), count, "{selector:?}");
                let expected: Vec<usize> = (0..600).filter(|&i| selector.contains(ids.get(i))).collect();
                assert_eq!(entries(&selected, 600), expected, "{selector:?}");
            }
        }
        // More chosen ids than entries.
        let many = IdSelector::sorted((-1000..1000).map(|i| Id(i * 3)).collect());
        let selected = many.prepare(0).select(Ids::Ascending(&ascending[250..300]));
        assert_eq!(entries(&selected, 50), (0..50).filter(|i| (i + 50) % 3 == 0).collect::<Vec<_>>());
    }

    #[test]
    fn what_can_be_listed_is_listed_each_id_once() {
        let members = [0_i64, 3, 4, 64, 65, 700];
        let is_member = |id: Id| members.contains(&id.0);
        for kind in &kinds(&members, &is_member) {
            let Some(mut ids) = kind.listed(20) else { continue };
            ids.sort_unstable();
            assert_eq!(ids, members.map(Id), "{kind:?}");
            // Only `And` may list fewer ids than its operands have.
            assert!(kind.listed(3).is_none() || matches!(kind, IdSelector::And(..)), "{kind:?}");
        }
        let can = kinds(&members, &is_member).iter().filter(|kind| kind.listed(20).is_some()).count();
        assert_eq!(can, 7);
        assert_eq!(IdSelector::range(5..8).listed(3), Some(vec![Id(5), Id(6), Id(7)]));
        assert_eq!(IdSelector::range(i64::MIN..i64::MAX).listed(3), None);
        assert_eq!(IdSelector::Roaring([5, u64::MAX].into_iter().collect()).listed(3), Some(vec![Id(5)]));
    }
}
