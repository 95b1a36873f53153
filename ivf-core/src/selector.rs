//! Which ids may be found, removed or copied.

use crate::id::{Id, Ids};
use crate::mask::Mask;
use roaring::RoaringTreemap;
use std::collections::HashSet;
use std::fmt;

/// A set of ids: which may be found by a search, or are to be removed.
///
/// ```
/// use ivf_core::{Id, IdSelector};
/// let odd = |id: Id| id.0 % 2 == 1;
/// let selector = IdSelector::range(0..10) & IdSelector::Fn(&odd);
/// assert!(selector.contains(Id(3)));
/// assert!(!selector.contains(Id(4)) && !selector.contains(Id(11)));
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
    /// The ids of a sorted list; made by [`IdSelector::sorted`].
    Sorted(SortedIds),
    /// The ids of a hash set.
    Set(HashSet<Id>),
    /// Id `i` by bit `i % 8` of byte `i / 8` (as Faiss's `IDSelectorBitmap`); ids past the end and negative ones are out.
    Bitmap(Vec<u8>),
    /// The ids of a compressed bitmap; negative ones are out.
    Roaring(RoaringTreemap),
    /// The ids not in the other.
    Not(Box<IdSelector<'a>>),
    /// The ids in both.
    And(Box<IdSelector<'a>>, Box<IdSelector<'a>>),
    /// The ids in either.
    Or(Box<IdSelector<'a>>, Box<IdSelector<'a>>),
    /// The ids in exactly one.
    Xor(Box<IdSelector<'a>>, Box<IdSelector<'a>>),
    /// The ids for which the function says so. It may be called from several threads, for an id more than once.
    Fn(&'a (dyn Fn(Id) -> bool + Sync)),
}

/// Ids in ascending order, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortedIds(Vec<Id>);

impl SortedIds {
    /// The ids.
    pub fn as_slice(&self) -> &[Id] {
        &self.0
    }
}

impl<'a> IdSelector<'a> {
    /// `range.start <= id < range.end`.
    pub fn range(range: std::ops::Range<i64>) -> Self {
        Self::Range { start: Id(range.start), end: Id(range.end) }
    }

    /// The ids of a list, in any order.
    pub fn sorted(mut ids: Vec<Id>) -> Self {
        ids.sort_unstable();
        ids.dedup();
        Self::Sorted(SortedIds(ids))
    }

    /// The ids of a collection, as a hash set.
    pub fn set(ids: impl IntoIterator<Item = Id>) -> Self {
        Self::Set(ids.into_iter().collect())
    }

    /// True if `id` is in the set.
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

    /// The ids of the set one by one, if it is one that lists them (sorted, set, range) and there are at most `most`.
    pub fn listed(&self, most: usize) -> Option<Vec<Id>> {
        let ids: Vec<Id> = match self {
            Self::Sorted(ids) if ids.0.len() <= most => ids.0.clone(),
            Self::Set(ids) if ids.len() <= most => ids.iter().copied().collect(),
            Self::Range { start, end } if start >= end => Vec::new(),
            Self::Range { start, end } if end.0.abs_diff(start.0) <= most as u64 => (start.0..end.0).map(Id).collect(),
            _ => return None,
        };
        Some(ids)
    }

    /// Writes one bit for each of `ids` into `mask`.
    pub fn mask(&self, ids: Ids<'_>, mask: &mut Mask) {
        mask.fill(ids.len(), |i| self.contains(ids.get(i)));
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

    #[test]
    fn every_kind_agrees_with_a_plain_set_in_single_ids_and_masks() {
        let members = [0_i64, 3, 4, 64, 65, 700];
        let ids = || members.map(Id);
        let mut bitmap = vec![0u8; 88];
        members.iter().for_each(|&i| bitmap[i as usize / 8] |= 1 << (i % 8));
        let is_member = |id: Id| members.contains(&id.0);
        let kinds = [
            IdSelector::sorted(ids().into_iter().rev().chain([Id(3)]).collect()),
            IdSelector::set(ids()),
            IdSelector::Bitmap(bitmap),
            IdSelector::Roaring(members.iter().map(|&i| i as u64).collect()),
            IdSelector::Fn(&is_member),
            !!IdSelector::Fn(&is_member),
            IdSelector::set(ids()) & IdSelector::All,
            IdSelector::range(0..5) & IdSelector::set(ids()) | IdSelector::range(5..800) & IdSelector::set(ids()),
            IdSelector::set(ids()) ^ !IdSelector::All,
        ];
        let asked: Vec<Id> = (-5..800).map(Id).collect();
        for kind in &kinds {
            let mut mask = Mask::default();
            kind.mask(Ids::Listed(&asked), &mut mask);
            for (i, &id) in asked.iter().enumerate() {
                assert_eq!(kind.contains(id), is_member(id), "{kind:?} {id}");
                assert_eq!(mask.get(i), is_member(id), "{kind:?} {id}");
            }
            kind.mask(Ids::Run { first: Id(-5), len: 805 }, &mut mask);
            assert_eq!(mask.count(), members.len());
        }
        assert!(!IdSelector::range(4..4).contains(Id(4)));
    }
}
