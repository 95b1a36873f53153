//! A table of lists whose clones share all unmodified lists.

use std::sync::Arc;

/// Number of table entries per chunk.
const CHUNK: usize = 256;

type Chunk<T> = [Option<Arc<T>>; CHUNK];

/// A table with one entry per list, in chunks. Most entries may be empty: a chunk without a list
/// takes 8 bytes, and chunks past the last list take none.
///
/// A clone shares the chunks, and a copied chunk shares its lists. A modification of a list copies
/// the list and its chunk if they are shared.
///
/// ```text
/// chunks      0       1      2                        a clone: 3 pointers
///             |       -      |
/// entries | A | B | -...   | C | - | ...              C modified in the clone: chunk 2 and C are copied
/// ```
#[derive(Clone, Debug)]
pub(super) struct ListTable<T>(Vec<Option<Arc<Chunk<T>>>>);

impl<T> ListTable<T> {
    /// Memory of an entry in bytes, without the memory that it points to.
    pub(super) const ENTRY: usize = size_of::<T>() + 2 * size_of::<usize>();

    /// Returns the memory of a table of `slots` entries in bytes, if each chunk has one, without
    /// the entries.
    pub(super) const fn table(slots: usize) -> usize {
        slots.div_ceil(CHUNK) * (size_of::<Chunk<T>>() + 3 * size_of::<usize>())
    }
}

impl<T: Clone> ListTable<T> {
    /// Creates an empty table.
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Returns the list with number `slot`, if there is one.
    #[inline]
    pub(super) fn get(&self, slot: usize) -> Option<&T> {
        self.0.get(slot / CHUNK)?.as_ref()?[slot % CHUNK].as_deref()
    }

    fn chunk_mut(&mut self, chunk: usize) -> &mut Chunk<T> {
        if self.0.len() <= chunk {
            self.0.resize(chunk + 1, None);
        }
        let chunk = &mut self.0[chunk];
        Arc::make_mut(chunk.get_or_insert_with(|| Arc::new(std::array::from_fn(|_| None))))
    }

    /// Sets or removes the list with number `slot`.
    pub(super) fn set(&mut self, slot: usize, list: Option<T>) {
        if list.is_some() || self.get(slot).is_some() {
            self.chunk_mut(slot / CHUNK)[slot % CHUNK] = list.map(Arc::new);
        }
    }

    /// Returns the list with number `slot` for modification, after copying it if it is shared.
    /// Inserts a default list if there is none.
    pub(super) fn get_mut(&mut self, slot: usize) -> &mut T
    where
        T: Default,
    {
        Arc::make_mut(self.chunk_mut(slot / CHUNK)[slot % CHUNK].get_or_insert_with(Arc::default))
    }

    /// Returns the lists with the numbers `slots`, which are strictly ascending. Inserts default
    /// lists where there are none. The chunks are copied if they are shared. The caller copies the
    /// lists, by [`Arc::make_mut`].
    pub(super) fn many_mut(&mut self, slots: impl ExactSizeIterator<Item = usize> + Clone) -> Vec<&mut Arc<T>>
    where
        T: Default,
    {
        if let Some(last) = slots.clone().last() {
            self.chunk_mut(last / CHUNK);
        }
        let mut found = Vec::with_capacity(slots.len());
        let (mut chunks, mut next_chunk) = (self.0.iter_mut(), 0);
        let (mut in_chunk, mut next_slot) = ([].iter_mut(), 0);
        for slot in slots {
            let (chunk, slot) = (slot / CHUNK, slot % CHUNK);
            if chunk >= next_chunk {
                let place = chunks.nth(chunk - next_chunk).expect("the table has a chunk for the last slot");
                let place = place.get_or_insert_with(|| Arc::new(std::array::from_fn(|_| None)));
                in_chunk = Arc::make_mut(place).iter_mut();
                (next_chunk, next_slot) = (chunk + 1, 0);
            }
            let place = in_chunk.nth(slot - next_slot).expect("slots are strictly ascending");
            next_slot = slot + 1;
            found.push(place.get_or_insert_with(Arc::default));
        }
        found
    }

    /// Iterates over the lists, each with its number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        let chunks = self.0.iter().enumerate().filter_map(|(at, chunk)| Some((at, chunk.as_ref()?)));
        chunks.flat_map(|(at, chunk)| {
            let slots = chunk.iter().enumerate();
            slots.filter_map(move |(slot, list)| Some((at * CHUNK + slot, list.as_deref()?)))
        })
    }

    /// Returns the memory of the table in bytes, without the memory that its lists point to.
    pub(super) fn memory(&self) -> usize {
        let lists = self.iter().count() * Self::ENTRY;
        let chunks = self.0.iter().flatten().count() * (size_of::<Chunk<T>>() + 2 * size_of::<usize>());
        self.0.capacity() * size_of::<usize>() + chunks + lists
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_keeps_what_it_had() {
        let mut table = ListTable::<Vec<u32>>::new();
        assert_eq!(table.memory(), 0);
        for (i, list) in table.many_mut([3, 255, 256, 5000].into_iter()).into_iter().enumerate() {
            Arc::make_mut(list).push(i as u32);
        }
        let snapshot = table.clone();
        table.get_mut(255).push(9);
        table.set(3, None);
        table.set(70_000, Some(vec![7]));
        let all = |table: &ListTable<Vec<u32>>| table.iter().map(|(at, l)| (at, l.clone())).collect::<Vec<_>>();
        assert_eq!(all(&snapshot), [(3, vec![0]), (255, vec![1]), (256, vec![2]), (5000, vec![3])]);
        assert_eq!(all(&table), [(255, vec![1, 9]), (256, vec![2]), (5000, vec![3]), (70_000, vec![7])]);
        assert_eq!((table.get(1 << 40), table.get(4)), (None, None));
        // Untouched lists are shared.
        assert!(std::ptr::eq(snapshot.get(5000).unwrap(), table.get(5000).unwrap()));
    }
}
