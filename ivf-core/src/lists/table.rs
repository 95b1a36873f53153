//! A table with a slot for each list, of which snapshots share what neither has changed.

use std::sync::Arc;

/// Slots of a chunk.
const CHUNK: usize = 256;

type Chunk<T> = [Option<Arc<T>>; CHUNK];

/// A slot for each list, most of them empty perhaps: chunks without a list take 8 bytes, those past
/// the last list nothing.
///
/// A clone shares the chunks, and each chunk its lists. Whoever changes a list gets a copy of it
/// and of its chunk if somebody else has them too.
///
/// ```text
/// chunks      0       1      2                        a clone: 3 pointers
///             |       -      |
/// slots   | A | B | -...   | C | - | ...              C changed in the clone: chunk 2 and C are copied there
/// ```
#[derive(Clone, Debug)]
pub(super) struct ListTable<T>(Vec<Option<Arc<Chunk<T>>>>);

impl<T: Clone> ListTable<T> {
    /// All slots empty.
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// The list in a slot.
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

    /// Puts a list into a slot, or takes it out.
    pub(super) fn set(&mut self, slot: usize, list: Option<T>) {
        if list.is_some() || self.get(slot).is_some() {
            self.chunk_mut(slot / CHUNK)[slot % CHUNK] = list.map(Arc::new);
        }
    }

    /// The list in a slot, its own from now on; a default one if there was none.
    pub(super) fn get_mut(&mut self, slot: usize) -> &mut T
    where
        T: Default,
    {
        Arc::make_mut(self.chunk_mut(slot / CHUNK)[slot % CHUNK].get_or_insert_with(Arc::default))
    }

    /// The lists in some slots, ascending, each once; [`Arc::make_mut`] makes one its own. Default
    /// ones where there was none.
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
                let place = chunks.nth(chunk - next_chunk).expect("as many chunks as the last slot needs");
                let place = place.get_or_insert_with(|| Arc::new(std::array::from_fn(|_| None)));
                in_chunk = Arc::make_mut(place).iter_mut();
                (next_chunk, next_slot) = (chunk + 1, 0);
            }
            let place = in_chunk.nth(slot - next_slot).expect("slots ascend");
            next_slot = slot + 1;
            found.push(place.get_or_insert_with(Arc::default));
        }
        found
    }

    /// The lists that there are, each with its slot.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        let chunks = self.0.iter().enumerate().filter_map(|(at, chunk)| Some((at, chunk.as_ref()?)));
        chunks.flat_map(|(at, chunk)| {
            let slots = chunk.iter().enumerate();
            slots.filter_map(move |(slot, list)| Some((at * CHUNK + slot, list.as_deref()?)))
        })
    }

    /// Bytes of memory of the table, without what its lists point to.
    pub(super) fn memory(&self) -> usize {
        let lists = self.iter().count() * (size_of::<T>() + 2 * size_of::<usize>());
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
