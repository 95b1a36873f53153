//! Direct maps, which give the locations of an id without a search through the lists.

use crate::id::{Id, ListNo, ListOffset, Location};
use crate::names::serde_names;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// The kind of direct map that an index keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DirectMapKind {
    /// No map: finding an id scans all lists.
    #[default]
    None,
    /// An array indexed by id, with 12 bytes per id, for ids that count up from 0.
    Array,
    /// A hash table, for arbitrary ids.
    Hash,
}

serde_names!(DirectMapKind, "direct map": None = "None" | "NoMap", Array = "Array", Hash = "Hash" | "Hashtable");

/// The locations of each id. An id can have several locations, if it was added twice or spilled
/// into several lists.
///
/// ```
/// use ivf_core::{DirectMap, DirectMapKind, Id, ListNo, ListOffset, Location};
/// let mut map = DirectMap::new(DirectMapKind::Hash);
/// for (offset, id) in [5, 6, 7].into_iter().enumerate() {
///     map.insert(Id(id), Location::new(1, offset as u32));
/// }
/// // List 1 loses its first entry, and its last entry fills the gap.
/// map.remove(Id(5), Location::new(1, 0));
/// map.moved(Id(7), Location::new(1, 2), ListOffset(0));
/// assert_eq!((map.get(Id(5)), map.get(Id(7))), (None, Some(Location::new(1, 0))));
/// // The list is sorted by id.
/// map.reordered(ListNo(1), &[Id(7), Id(6)], &[Id(6), Id(7)]);
/// assert_eq!(map.get(Id(7)), Some(Location::new(1, 1)));
/// // The lists 0 and 1 swap numbers.
/// map.renumber(&[ListNo(1), ListNo(0)]);
/// assert_eq!(map.get(Id(7)), Some(Location::new(0, 1)));
/// // The id is added once more, in another list.
/// map.insert(Id(7), Location::new(1, 0));
/// assert_eq!(map.places(Id(7)).collect::<Vec<_>>(), [Location::new(0, 1), Location::new(1, 0)]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct DirectMap {
    first: First,
    /// The second and further locations of an id, ascending. Few ids have any.
    more: HashMap<Id, Vec<Location>>,
}

/// The lowest location of each id.
#[derive(Clone, Debug, Default)]
enum First {
    #[default]
    None,
    Array(Vec<Option<Location>>),
    Hash(HashMap<Id, Location>),
}

impl DirectMap {
    /// Creates an empty map.
    pub fn new(kind: DirectMapKind) -> Self {
        let first = match kind {
            DirectMapKind::None => First::None,
            DirectMapKind::Array => First::Array(Vec::new()),
            DirectMapKind::Hash => First::Hash(HashMap::new()),
        };
        Self { first, more: HashMap::new() }
    }

    /// Returns the kind of the map.
    pub fn kind(&self) -> DirectMapKind {
        match self.first {
            First::None => DirectMapKind::None,
            First::Array(_) => DirectMapKind::Array,
            First::Hash(_) => DirectMapKind::Hash,
        }
    }

    /// Returns the lowest location of an id, or `None` if it has none or the map keeps none.
    pub fn get(&self, id: Id) -> Option<Location> {
        match &self.first {
            First::None => None,
            First::Array(places) => places.get(usize::try_from(id.0).ok()?).copied().flatten(),
            First::Hash(places) => places.get(&id).copied(),
        }
    }

    /// Returns all locations of an id, ascending.
    pub fn places(&self, id: Id) -> impl Iterator<Item = Location> {
        self.get(id).into_iter().chain(self.more.get(&id).into_iter().flatten().copied())
    }

    /// Returns true if the map can hold the id. An array holds only ids from 0 to one past its
    /// last.
    ///
    /// ```
    /// use ivf_core::{DirectMap, DirectMapKind, Id, Location};
    /// let mut map = DirectMap::new(DirectMapKind::Array);
    /// assert_eq!(map.kind(), DirectMapKind::Array);
    /// assert!(map.takes(Id(0)) && !map.takes(Id(1)) && !map.takes(Id(-1)));
    /// map.insert(Id(0), Location::new(3, 0));
    /// assert!(map.takes(Id(1)));
    /// ```
    pub fn takes(&self, id: Id) -> bool {
        match &self.first {
            First::Array(places) => usize::try_from(id.0).is_ok_and(|i| i <= places.len()),
            First::None | First::Hash(_) => true,
        }
    }

    /// Records a new location of an id.
    ///
    /// # Panics
    /// If the map is an array and the id is negative.
    pub fn insert(&mut self, id: Id, at: Location) {
        if self.kind() == DirectMapKind::None {
            return;
        }
        match self.get(id) {
            None => self.set(id, Some(at)),
            Some(first) => {
                // Keep the lowest location in `first`, and the others in ascending order.
                self.set(id, Some(first.min(at)));
                let more = self.more.entry(id).or_default();
                let other = first.max(at);
                more.insert(more.partition_point(|place| *place < other), other);
            }
        }
    }

    /// Removes a location of an id. Does nothing if the id does not have it.
    pub fn remove(&mut self, id: Id, at: Location) {
        if self.more.is_empty()
            && let First::Hash(places) = &mut self.first
        {
            if let Entry::Occupied(place) = places.entry(id)
                && *place.get() == at
            {
                place.remove();
            }
            return;
        }
        let Some(first) = self.get(id) else { return };
        let Some(more) = self.more.get_mut(&id) else {
            if first == at {
                self.set(id, None);
            }
            return;
        };
        let next = if first == at { Some(more.remove(0)) } else { None };
        more.retain(|place| *place != at);
        if more.is_empty() {
            self.more.remove(&id);
        }
        if next.is_some() {
            self.set(id, next);
        }
    }

    /// Records that an entry of an id moved to another offset. Does nothing if the id does not have
    /// the location `from`: in a file that others write to, the entry may have received another id
    /// since.
    pub fn moved(&mut self, id: Id, from: Location, to: ListOffset) {
        if self.more.is_empty() {
            let place = match &mut self.first {
                First::None => None,
                First::Array(places) => usize::try_from(id.0).ok().and_then(|i| places.get_mut(i)?.as_mut()),
                First::Hash(places) => places.get_mut(&id),
            };
            if let Some(place) = place.filter(|place| **place == from) {
                place.offset = to;
            }
            return;
        }
        if self.places(id).any(|place| place == from) {
            self.remove(id, from);
            self.insert(id, Location { list: from.list, offset: to });
        }
    }

    /// Records that the lists were renumbered: list `i` is now list `to[i]`.
    ///
    /// # Panics
    /// If a location has a list that `to` does not contain.
    pub fn renumber(&mut self, to: &[ListNo]) {
        let renamed = |place: &mut Location| place.list = to[place.list.index()];
        match &mut self.first {
            First::None => {}
            First::Array(places) => places.iter_mut().flatten().for_each(renamed),
            First::Hash(places) => places.values_mut().for_each(renamed),
        }
        // Restore the order: the lowest location of an id belongs in `first`.
        for (id, mut more) in std::mem::take(&mut self.more) {
            more.iter_mut().for_each(renamed);
            more.extend(self.get(id));
            more.sort_unstable();
            let first = more.remove(0);
            self.set(id, Some(first));
            self.more.insert(id, more);
        }
    }

    /// Records that the entries of a list were reordered. Their ids were `before` and are now
    /// `after`.
    pub fn reordered(&mut self, list: ListNo, before: &[Id], after: &[Id]) {
        if self.kind() == DirectMapKind::None {
            return;
        }
        let place = |offset: usize| Location { list, offset: ListOffset(offset as u32) };
        before.iter().enumerate().for_each(|(offset, id)| self.remove(*id, place(offset)));
        after.iter().enumerate().for_each(|(offset, id)| self.insert(*id, place(offset)));
    }

    /// Returns the approximate memory in bytes.
    ///
    /// ```
    /// use ivf_core::{DirectMap, DirectMapKind, Id, Location};
    /// let mut map = DirectMap::new(DirectMapKind::Array);
    /// (0..10).for_each(|id| map.insert(Id(id), Location::new(0, id as u32)));
    /// assert_eq!(map.memory(), 10 * 12);
    /// ```
    pub fn memory(&self) -> usize {
        match &self.first {
            First::None => 0,
            First::Array(places) => size_of_val(&places[..]),
            First::Hash(places) => places.capacity() * (size_of::<(Id, Location)>() + 1),
        }
    }

    fn set(&mut self, id: Id, place: Option<Location>) {
        match &mut self.first {
            First::None => {}
            First::Array(places) => {
                let i = usize::try_from(id.0).expect("an array map has no negative ids");
                if i >= places.len() {
                    places.resize(i + 1, None);
                }
                places[i] = place;
            }
            First::Hash(places) => {
                match place {
                    Some(place) => places.insert(id, place),
                    None => places.remove(&id),
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_keep_every_place_of_an_id() {
        for kind in [DirectMapKind::Array, DirectMapKind::Hash] {
            let mut map = DirectMap::new(kind);
            let at = |offset| Location::new(1, offset);
            map.insert(Id(3), at(5));
            map.insert(Id(3), at(2));
            map.insert(Id(3), at(9));
            map.insert(Id(0), at(0));
            let places = |map: &DirectMap| map.places(Id(3)).map(|place| place.offset.0).collect::<Vec<_>>();
            assert_eq!(places(&map), [2, 5, 9]);
            map.moved(Id(3), at(2), ListOffset(7));
            assert_eq!(places(&map), [5, 7, 9]);
            map.remove(Id(3), at(5));
            map.remove(Id(3), at(5));
            assert_eq!(places(&map), [7, 9]);
            map.remove(Id(3), at(9));
            map.remove(Id(3), at(7));
            assert_eq!((places(&map), map.get(Id(0))), (vec![], Some(at(0))));
            map.insert(Id(3), Location::new(0, 4));
            map.insert(Id(3), Location::new(2, 1));
            map.renumber(&[ListNo(2), ListNo(1), ListNo(0)]);
            assert_eq!(map.places(Id(3)).collect::<Vec<_>>(), [Location::new(0, 1), Location::new(2, 4)]);
            map.reordered(ListNo(0), &[Id(7), Id(3)], &[Id(3), Id(7)]);
            assert_eq!((map.get(Id(3)), map.get(Id(7))), (Some(Location::new(0, 0)), Some(Location::new(0, 1))));
        }
        for kind in [DirectMapKind::Array, DirectMapKind::Hash] {
            // No id has two locations, so `remove` and `moved` need only one lookup.
            let mut map = DirectMap::new(kind);
            (0..3).for_each(|id| map.insert(Id(id), Location::new(4, id as u32)));
            map.moved(Id(2), Location::new(4, 2), ListOffset(0));
            map.moved(Id(1), Location::new(4, 2), ListOffset(7));
            map.moved(Id(9), Location::new(4, 2), ListOffset(7));
            map.remove(Id(1), Location::new(4, 2));
            map.remove(Id(0), Location::new(4, 0));
            let places = [None, Some(Location::new(4, 1)), Some(Location::new(4, 0)), None];
            assert_eq!([0, 1, 2, 9].map(|id| map.get(Id(id))), places);
        }
        assert!(!DirectMap::new(DirectMapKind::Array).takes(Id(-1)));
        assert_eq!(DirectMap::default().get(Id(0)), None);
    }
}
