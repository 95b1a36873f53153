//! Direct maps, which give the locations of an id without a search through the lists.

use crate::id::{Id, ListNo, ListOffset, Location};
use crate::names::serde_names;
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

/// The kind of direct map that an index keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
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
/// Every edit of one location takes a number of steps that is at most logarithmic in the number of
/// entries, even if all entries have one id.
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
    /// The second and further locations of ids. Few ids have any.
    more: Further<Location>,
}

/// The lowest location of each id.
#[derive(Clone, Debug, Default)]
enum First {
    #[default]
    None,
    Array(Vec<Option<Location>>),
    Hash(HashMap<Id, Location>),
}

/// Further locations of ids, in one ordered set. (A sorted `Vec` for each id would make the removal
/// of an id quadratic in the number of its entries.)
#[derive(Clone, Debug, Default)]
struct Further<L>(BTreeSet<(Id, L)>);

/// `L::default()` is the lowest location.
impl<L: Copy + Default + Ord> Further<L> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the further locations of an id, ascending.
    fn of(&self, id: Id) -> impl Iterator<Item = L> {
        self.0.range((id, L::default())..).take_while(move |(other, _)| *other == id).map(|(_, at)| *at)
    }

    fn insert(&mut self, id: Id, at: L) {
        self.0.insert((id, at));
    }

    /// Removes a location, and returns whether the id had it.
    fn remove(&mut self, id: Id, at: L) -> bool {
        self.0.remove(&(id, at))
    }

    /// Removes and returns the lowest further location of an id.
    fn take_first(&mut self, id: Id) -> Option<L> {
        let first = self.of(id).next()?;
        self.remove(id, first);
        Some(first)
    }
}

impl DirectMap {
    /// Creates an empty map.
    pub fn new(kind: DirectMapKind) -> Self {
        let first = match kind {
            DirectMapKind::None => First::None,
            DirectMapKind::Array => First::Array(Vec::new()),
            DirectMapKind::Hash => First::Hash(HashMap::new()),
        };
        Self { first, more: Further::default() }
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
        self.get(id).into_iter().chain(self.more.of(id))
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
                // The lowest location belongs in `first`.
                if at < first {
                    self.set(id, Some(at));
                }
                self.more.insert(id, first.max(at));
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
        if self.get(id) == Some(at) {
            let next = self.more.take_first(id);
            self.set(id, next);
        } else {
            self.more.remove(id, at);
        }
    }

    /// Records that an entry of an id moved to another offset. Does nothing if the id does not have
    /// the location `from`: in a file that others write to, the entry may have received another id
    /// since.
    pub fn moved(&mut self, id: Id, from: Location, to: ListOffset) {
        let place = match &mut self.first {
            First::None => None,
            First::Array(places) => usize::try_from(id.0).ok().and_then(|i| places.get_mut(i)?.as_mut()),
            First::Hash(places) => places.get_mut(&id),
        };
        let Some(first) = place else { return };
        let to = Location { list: from.list, offset: to };
        let is_first = *first == from;
        if is_first && self.more.is_empty() {
            *first = to;
        } else if is_first || self.more.remove(id, from) {
            if is_first {
                self.remove(id, from);
            }
            self.insert(id, to);
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
        for (id, mut place) in std::mem::take(&mut self.more).0 {
            renamed(&mut place);
            self.insert(id, place);
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
        let first = match &self.first {
            First::None => 0,
            First::Array(places) => size_of_val(&places[..]),
            First::Hash(places) => places.capacity() * (size_of::<(Id, Location)>() + 1),
        };
        // The nodes of the ordered set are at least half full.
        first + self.more.0.len() * 2 * size_of::<(Id, Location)>()
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
    use std::cell::Cell;
    use std::cmp::Ordering;

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

    /// A location that counts its comparisons.
    #[derive(Clone, Copy, Debug, Default)]
    struct Counted(u32);

    thread_local! {
        static COMPARISONS: Cell<usize> = const { Cell::new(0) };
    }

    impl Ord for Counted {
        fn cmp(&self, other: &Self) -> Ordering {
            COMPARISONS.set(COMPARISONS.get() + 1);
            self.0.cmp(&other.0)
        }
    }

    impl PartialOrd for Counted {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }

    impl PartialEq for Counted {
        fn eq(&self, other: &Self) -> bool {
            self.cmp(other).is_eq()
        }
    }

    impl Eq for Counted {}

    #[test]
    fn an_edit_of_an_id_with_many_entries_takes_few_steps() {
        // A node holds up to 11 locations, and a tree of 2^14 of them has at most six levels.
        const STEPS: usize = 6 * 11 * 2;
        let steps = |edit: &mut dyn FnMut()| {
            COMPARISONS.set(0);
            edit();
            COMPARISONS.get()
        };
        let n = 1 << 14;
        for ids in [1, 3, n] {
            let mut more = Further::default();
            let id = |i: u32| Id(i64::from(i % ids));
            // Ascending, descending and scattered locations.
            for i in 0..n {
                let at = Counted(i.wrapping_mul(40_503) % n);
                assert!(steps(&mut || more.insert(id(at.0), at)) <= STEPS);
            }
            for i in 0..n / 4 {
                assert!(steps(&mut || assert!(more.remove(id(i), Counted(i)))) <= STEPS);
                assert!(steps(&mut || assert!(!more.remove(id(i), Counted(i)))) <= STEPS);
                let last = n - 1 - i;
                assert!(steps(&mut || assert!(more.remove(id(last), Counted(last)))) <= STEPS);
            }
            for i in n / 4..3 * n / 4 {
                let mut first = None;
                assert!(steps(&mut || first = more.take_first(id(i))) <= 2 * STEPS);
                assert!(first.is_some_and(|first| id(first.0) == id(i)), "{ids} ids, entry {i}");
            }
            assert!(more.is_empty());
        }
    }

    #[test]
    fn a_map_of_few_ids_is_that_of_a_sorted_list() {
        for kind in [DirectMapKind::Array, DirectMapKind::Hash] {
            let (mut map, mut model) = (DirectMap::new(kind), BTreeSet::new());
            let mut state = 1_u32;
            for step in 0..4000 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let (id, at) = (Id(i64::from(state >> 8 & 3)), Location::new(state >> 12 & 3, state >> 16 & 63));
                let to = ListOffset(state >> 22 & 63);
                let moved = Location { list: at.list, offset: to };
                match state >> 30 {
                    0 if !model.contains(&(id, moved)) => {
                        map.moved(id, at, to);
                        if model.remove(&(id, at)) {
                            model.insert((id, moved));
                        }
                    }
                    1 => {
                        map.remove(id, at);
                        model.remove(&(id, at));
                    }
                    _ if !model.contains(&(id, at)) => {
                        map.insert(id, at);
                        model.insert((id, at));
                    }
                    _ => {}
                }
                for id in (0..4).map(Id) {
                    let expected = model.iter().filter(|(other, _)| *other == id).map(|(_, at)| *at);
                    assert!(map.places(id).eq(expected), "step {step}, id {id}");
                }
            }
        }
    }
}
