//! Which vectors share a stored copy.

use ivf_core::Id;
use std::collections::{BTreeMap, BTreeSet};
use std::iter;

/// The ids of the vectors that share a stored copy.
///
/// Each copy has a name, its id in the lists. Most copies have one vector, whose id is the name.
/// Nothing is kept of these. Every other copy has its group here:
///
/// ```text
/// lists     | 4: [1.5, 2.0] | 7: [0.0, 3.0] | -2^63: [9.0, 9.0] |
/// members   (4, 4) once, (4, 5) once, (4, 8) twice; (-2^63, 7) once
/// names     (4, 4), (5, 4), (7, -2^63), (8, 4)
/// ```
///
/// The vector of id 7 is alone. Another vector was added later under the same id, so its copy has a
/// name that no id had. Each change takes a number of steps that is logarithmic in the number of
/// members, even if all vectors are equal.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    /// The number of vectors for each name and id.
    members: BTreeMap<(Id, Id), usize>,
    /// The same pairs, as ids with their names.
    names: BTreeSet<(Id, Id)>,
    /// Number of vectors in all groups.
    vectors: usize,
    /// Number of groups.
    groups: usize,
}

/// Lowest and highest id.
const LEAST: Id = Id(i64::MIN);
const MOST: Id = Id(i64::MAX);

/// A vector of a copy, or several ones under the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member {
    pub(super) name: Id,
    pub(super) id: Id,
    pub(super) count: usize,
}

impl Groups {
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Returns by how many the vectors outnumber the copies.
    pub(super) fn surplus(&self) -> usize {
        self.vectors - self.groups
    }

    /// Returns true if the copy of this name has a group.
    pub(super) fn has(&self, name: Id) -> bool {
        self.group(name).next().is_some()
    }

    fn group(&self, name: Id) -> impl Iterator<Item = Member> {
        let group = self.members.range((name, LEAST)..=(name, MOST));
        group.map(|(&(name, id), &count)| Member { name, id, count })
    }

    /// Returns the members of a copy that is in the lists, by ascending id.
    pub(super) fn members(&self, name: Id) -> impl Iterator<Item = Member> {
        let mut group = self.group(name).peekable();
        let alone = group.peek().is_none().then_some(Member { name, id: name, count: 1 });
        group.chain(alone)
    }

    /// Returns the members of all groups, by ascending name and id.
    pub(super) fn all(&self) -> impl Iterator<Item = Member> {
        self.members.iter().map(|(&(name, id), &count)| Member { name, id, count })
    }

    /// Returns the members of groups with this id. A copy without a group that has the name `id` is
    /// not among them.
    pub(super) fn of_id(&self, id: Id) -> impl Iterator<Item = Member> {
        let names = self.names.range((id, LEAST)..=(id, MOST));
        names.map(|&(id, name)| Member { name, id, count: self.members.get(&(name, id)).copied().unwrap_or(0) })
    }

    /// Records the only vector of a new copy.
    pub(super) fn start(&mut self, name: Id, id: Id) {
        if name != id {
            self.insert(name, id, 1);
        }
    }

    /// Records another vector of a copy.
    pub(super) fn join(&mut self, name: Id, id: Id) {
        if !self.has(name) {
            self.insert(name, name, 1);
        }
        self.insert(name, id, 1);
    }

    pub(super) fn insert(&mut self, name: Id, id: Id, count: usize) {
        self.groups += usize::from(!self.has(name));
        *self.members.entry((name, id)).or_default() += count;
        self.names.insert((id, name));
        self.vectors += count;
    }

    /// Forgets vectors of a copy. If the only vector left has the name as its id, the group goes.
    pub(super) fn leave(&mut self, gone: Member) {
        self.drop_members(gone);
        let mut left = self.group(gone.name);
        let (first, second) = (left.next(), left.next());
        if let (Some(alone @ Member { name, id, count: 1 }), None) = (first, second)
            && name == id
        {
            drop(left);
            self.drop_members(alone);
        }
    }

    fn drop_members(&mut self, gone: Member) {
        let pair = (gone.name, gone.id);
        let Some(count) = self.members.get_mut(&pair) else { return };
        let dropped = gone.count.min(*count);
        *count -= dropped;
        self.vectors -= dropped;
        if *count == 0 {
            self.members.remove(&pair);
            self.names.remove(&(gone.id, gone.name));
            self.groups -= usize::from(!self.has(gone.name));
        }
    }

    /// Returns the names of the copies that have no other vectors than these. `gone` is sorted.
    pub(super) fn emptied(&self, gone: &[Member]) -> Vec<Id> {
        let of_names = gone.chunk_by(|a, b| a.name == b.name);
        // The members come in the same order, and the comparison ends at the first that stays.
        let empty = of_names.filter(|gone| self.members(gone[0].name).eq(gone.iter().copied()));
        empty.map(|gone| gone[0].name).collect()
    }

    /// Returns the members for export: one pair of name and id for each vector.
    pub(super) fn pairs(&self) -> (Vec<Id>, Vec<Id>) {
        self.all().flat_map(|member| iter::repeat_n((member.name, member.id), member.count)).unzip()
    }

    /// Returns the memory in bytes. The nodes of ordered sets are at least half full.
    pub(super) fn memory(&self) -> usize {
        self.members.len() * 2 * (size_of::<((Id, Id), usize)>() + size_of::<(Id, Id)>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: i64, id: i64, count: usize) -> Member {
        Member { name: Id(name), id: Id(id), count }
    }

    #[test]
    fn groups_are_kept_only_of_copies_that_need_one() {
        let mut groups = Groups::default();
        groups.start(Id(4), Id(4));
        assert!(groups.is_empty() && groups.members(Id(4)).eq([member(4, 4, 1)]));
        for id in [5, 8, 8] {
            groups.join(Id(4), Id(id));
        }
        groups.start(LEAST, Id(8));
        assert!(groups.members(Id(4)).eq([member(4, 4, 1), member(4, 5, 1), member(4, 8, 2)]));
        assert!(groups.of_id(Id(8)).eq([member(i64::MIN, 8, 1), member(4, 8, 2)]));
        assert_eq!((groups.vectors, groups.surplus(), groups.has(Id(8))), (5, 3, false));
        let (names, ids) = groups.pairs();
        assert_eq!(names, [LEAST, Id(4), Id(4), Id(4), Id(4)]);
        assert_eq!(ids, [8, 4, 5, 8, 8].map(Id));

        assert_eq!(groups.emptied(&[member(4, 8, 2), member(7, 7, 1)]), [Id(7)]);
        assert_eq!(groups.emptied(&[member(4, 4, 1), member(4, 5, 1), member(4, 8, 1)]), []);
        groups.leave(member(4, 8, 2));
        groups.leave(member(4, 4, 1));
        assert!(groups.members(Id(4)).eq([member(4, 5, 1)]), "the name stays");
        groups.join(Id(4), Id(4));
        groups.leave(member(4, 5, 1));
        groups.leave(member(i64::MIN, 8, 1));
        assert!(groups.is_empty() && groups.names.is_empty() && groups.surplus() == 0);
    }
}
