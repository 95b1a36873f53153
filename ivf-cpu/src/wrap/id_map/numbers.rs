//! The caller's ids of the numbers that a wrapped index assigns to its vectors.

use ivf_core::Id;

/// The ids of the vectors of a wrapped index, by their numbers. The wrapped index counts its
/// numbers up and never assigns one twice.
///
/// Numbers are kept in words of 64. A word without numbers takes no memory:
///
/// ```text
/// numbers        0 .. 63          64 .. 127    128 .. 191
/// words     | held 1011 0... |   (none)     | held 0100 1... |    numbers 0, 2, 3; 129, 132
/// ids       | a b c                         | d e             |    ids of the held numbers, in order
/// ```
///
/// The id of a removed number stays in its place until more than half of the ids are removed ones.
/// Then all of them are dropped, so that the memory is proportional to the number of vectors, and a
/// removal costs constant time on average.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers {
    /// The ids of the held numbers.
    ids: Vec<Id>,
    words: Vec<Word>,
    /// The number after the last one that the wrapped index assigned.
    end: u64,
    /// Number of held numbers whose vectors are removed.
    removed: usize,
}

/// The numbers from `64 * index` on.
#[derive(Clone, Copy, Debug)]
struct Word {
    index: u64,
    /// The numbers that have a place in `ids`.
    held: u64,
    /// Those of them whose vectors are in the index.
    present: u64,
    /// The place of the first one in `ids`.
    first: usize,
}

/// Number of removed ids that are always left in their places.
const FEW: usize = 64;

/// Memory of one id in bytes, not counting [`WORD`].
pub(super) const OF_ID: usize = size_of::<Id>();

/// Memory of 64 consecutive numbers in bytes, not counting their ids.
pub(super) const WORD: usize = size_of::<Word>();

/// Number of numbers in a word.
pub(super) const OF_WORD: usize = u64::BITS as usize;

impl Numbers {
    /// Returns the number after the last one that the wrapped index assigned.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Returns the number of vectors.
    pub(super) fn len(&self) -> usize {
        self.ids.len() - self.removed
    }

    /// Returns the ids of all numbers from 0 on, if no vector was left out or removed.
    pub(super) fn consecutive(&self) -> Option<&[Id]> {
        (self.len() as u64 == self.end).then_some(&self.ids[..])
    }

    /// Returns the number of ids and of words for which memory is allocated.
    pub(super) fn capacity(&self) -> (usize, usize) {
        (self.ids.capacity(), self.words.capacity())
    }

    /// Returns the number of ids and of words that are in use.
    pub(super) fn used(&self) -> (usize, usize) {
        (self.ids.len(), self.words.len())
    }

    /// Makes room for ids of `count` more numbers.
    pub(super) fn reserve(&mut self, count: usize) {
        self.ids.reserve(count);
        self.words.reserve(count.div_ceil(OF_WORD) + 1);
    }

    /// Records the id of the next number, and returns the number.
    pub(super) fn push(&mut self, id: Id) -> u64 {
        let number = self.end;
        let (index, bit) = place(number);
        if self.words.last().is_none_or(|word| word.index != index) {
            self.words.push(Word { index, held: 0, present: 0, first: self.ids.len() });
        }
        if let Some(word) = self.words.last_mut() {
            word.held |= bit;
            word.present |= bit;
        }
        self.ids.push(id);
        self.end += 1;
        number
    }

    /// Records that the wrapped index left out all numbers below `end`.
    pub(super) fn skip_to(&mut self, end: u64) {
        self.end = self.end.max(end);
    }

    /// Returns the position of a word. Between two words are as many positions as indexes, or
    /// fewer. So the search is over as many words as there are gaps.
    fn position(&self, index: u64) -> Option<usize> {
        let (first, last) = (self.words.first()?.index, self.words.last()?.index);
        let (after, before) = (index.checked_sub(first)?, last.checked_sub(index)?);
        let most = self.words.len() - 1;
        let at_most = |words: u64| usize::try_from(words).unwrap_or(usize::MAX).min(most);
        let (low, high) = (most - at_most(before), at_most(after));
        let found = self.words[low..=high].binary_search_by_key(&index, |word| word.index);
        found.ok().map(|position| low + position)
    }

    /// Returns the id of a number, or `None` if its vector is not in the index.
    pub(super) fn get(&self, number: u64) -> Option<Id> {
        let (index, bit) = place(number);
        let word = &self.words[self.position(index)?];
        let rank = (word.held & (bit - 1)).count_ones() as usize;
        (word.present & bit != 0).then(|| self.ids[word.first + rank])
    }

    /// Iterates over the numbers of the vectors in the index, ascending, each with its id.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, Id)> {
        self.words.iter().flat_map(|word| {
            let numbers = (0..u64::from(u64::BITS)).filter(|bit| word.held >> bit & 1 == 1);
            let ids = &self.ids[word.first..][..word.held.count_ones() as usize];
            let present = numbers.zip(ids).filter(|(bit, _)| word.present >> bit & 1 == 1);
            present.map(|(bit, id)| (word.index * u64::from(u64::BITS) + bit, *id))
        })
    }

    /// Records that the vectors of some numbers were removed. Returns true if memory was freed.
    pub(super) fn remove(&mut self, numbers: impl IntoIterator<Item = u64>) -> bool {
        for number in numbers {
            let (index, bit) = place(number);
            if let Some(position) = self.position(index) {
                let word = &mut self.words[position];
                self.removed += usize::from(word.present & bit != 0);
                word.present &= !bit;
            }
        }
        let is_sparse = self.removed > FEW && self.removed > self.ids.len() / 2;
        if is_sparse {
            let mut left = Self::default();
            left.ids.reserve_exact(self.len());
            for (number, id) in self.iter() {
                left.skip_to(number);
                left.push(id);
            }
            left.skip_to(self.end);
            left.words.shrink_to_fit();
            *self = left;
        }
        is_sparse
    }
}

/// Returns the index of the word of a number, and the bit of the number in it.
fn place(number: u64) -> (u64, u64) {
    (number / u64::from(u64::BITS), 1 << (number % u64::from(u64::BITS)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn numbers_keep_their_ids_through_every_history() {
        for seed in 1..20_u64 {
            let (mut numbers, mut model) = (Numbers::default(), BTreeMap::new());
            let mut state = seed;
            let mut random = |below: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % below
            };
            for step in 0..300 {
                match random(4) {
                    0 => numbers.skip_to(numbers.end() + random(500)),
                    1 => {
                        let (start, width) = (random(numbers.end() + 1), random(200 * seed));
                        let gone: Vec<u64> = (start..start + width).filter(|_| random(8) > 0).collect();
                        for number in &gone {
                            model.remove(number);
                        }
                        numbers.remove(gone);
                    }
                    _ => {
                        for i in 0..random(100) {
                            let id = Id(step * 1000 - i as i64);
                            model.insert(numbers.push(id), id);
                        }
                    }
                }
                assert!(numbers.iter().eq(model.iter().map(|(number, id)| (*number, *id))), "{seed}, step {step}");
                assert_eq!(numbers.len(), model.len());
                for number in (0..50).map(|_| random(numbers.end() + 70)) {
                    assert_eq!(numbers.get(number), model.get(&number).copied(), "{seed}, step {step}, {number}");
                }
            }
        }
    }

    #[test]
    fn what_is_gone_takes_no_memory() {
        let mut numbers = Numbers::default();
        for i in 0..100_000 {
            numbers.push(Id(i));
        }
        numbers.remove((0..100_000).filter(|number| number % 10_000 != 0));
        assert_eq!((numbers.len(), numbers.used(), numbers.get(30_000)), (10, (10, 10), Some(Id(30_000))));
        // One in, one out: the ids that are kept do not grow with the number of steps.
        let (mut most, mut freed) = (0, 0);
        for step in 0..100_000 {
            let number = numbers.push(Id(step));
            freed += usize::from(numbers.remove([number - 10]));
            most = most.max(numbers.used().0);
        }
        assert!(most <= 2 * (FEW + 20) && freed <= 100_000 / FEW, "{most} ids, {freed} compactions");
    }
}
