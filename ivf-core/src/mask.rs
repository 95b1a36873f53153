//! Bit masks: one bit per entry of a segment, set if a search may return the entry.

use std::ops::Range;

/// A mask with one bit per entry of a segment. A selector is converted to a mask before a scan.
///
/// ```
/// use ivf_core::mask::Mask;
/// let mut even = Mask::from_fn(10, |i| i % 2 == 0);
/// assert_eq!((even.len(), even.is_empty(), even.count()), (10, false, 5));
/// assert!(even.get(4) && !even.get(5));
/// assert!(even.ones(3..9).eq([4, 6, 8]));
/// assert_eq!((even.count_in(3..9), even.bits(4, 4)), (3, 0b0101));
///
/// // Combine, restrict and change masks.
/// even.combine(&Mask::of_range(10, 0..5), |a, b| a & b);
/// assert!(even.ones(0..10).eq([0, 2, 4]));
/// even.invert();
/// even.clip(0..6);
/// assert!(even.ones(0..10).eq([1, 3, 5]));
/// even.set(9);
/// even.set_range(6..8);
/// assert!(even.ones(0..10).eq([1, 3, 5, 6, 7, 9]));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mask {
    words: Vec<u64>,
    len: usize,
}

impl Mask {
    /// Creates a mask of `len` bits. Bit `i` is set if `keep(i)` returns true.
    pub fn from_fn(len: usize, keep: impl FnMut(usize) -> bool) -> Self {
        let mut mask = Self::default();
        mask.fill(len, keep);
        mask
    }

    /// Resets this mask to `len` bits and reuses its memory. Bit `i` is set if `keep(i)` returns
    /// true.
    ///
    /// A filter fills one mask for segment after segment:
    ///
    /// ```
    /// # use ivf_core::{Id, Ids, mask::Mask};
    /// let mut mask = Mask::default();
    /// let mut counts = Vec::new();
    /// for ids in [Ids::Run { first: Id(0), len: 4 }, Ids::Run { first: Id(100), len: 2 }] {
    ///     mask.fill(ids.len(), |slot| ids.get(slot).0 > 2);
    ///     counts.push(mask.count());
    /// }
    /// assert_eq!(counts, [1, 2]);
    /// ```
    pub fn fill(&mut self, len: usize, mut keep: impl FnMut(usize) -> bool) {
        self.len = len;
        self.words.clear();
        self.words.extend((0..len.div_ceil(64)).map(|w| {
            let bits = (len - w * 64).min(64);
            (0..bits).fold(0u64, |word, b| word | (u64::from(keep(w * 64 + b)) << b))
        }));
    }

    /// Creates a mask of `len` bits and sets the bits in `range`.
    ///
    /// # Panics
    /// If the range ends past `len`.
    pub fn of_range(len: usize, range: Range<usize>) -> Self {
        let mut mask = Self { words: vec![0; len.div_ceil(64)], len };
        mask.set_range(range);
        mask
    }

    /// Overwrites the mask 64 bits at a time. `word(w)` returns the bits of the 64 entries that
    /// start at entry `64 w`.
    ///
    /// ```
    /// # use ivf_core::mask::Mask;
    /// let allowed: [u64; 2] = [0b1001, 0b1]; // a bitmap of a database
    /// let mut mask = Mask::of_range(70, 0..0);
    /// mask.fill_words(|w| allowed[w]);
    /// assert!(mask.ones(0..70).eq([0, 3, 64]));
    /// ```
    pub fn fill_words(&mut self, mut word: impl FnMut(usize) -> u64) {
        self.words.iter_mut().enumerate().for_each(|(w, bits)| *bits = word(w));
        self.clip(0..self.len);
    }

    /// Sets bit `i`.
    ///
    /// # Panics
    /// If `i >= len`.
    #[inline]
    pub fn set(&mut self, i: usize) {
        assert!(i < self.len, "bit {i} of a mask of {} bits", self.len);
        self.words[i / 64] |= 1 << (i % 64);
    }

    /// Sets the bits in `range`.
    ///
    /// # Panics
    /// If the range ends past the last bit.
    pub fn set_range(&mut self, range: Range<usize>) {
        assert!(range.is_empty() || range.end <= self.len, "bits {range:?} of a mask of {} bits", self.len);
        for w in range.start / 64..range.end.div_ceil(64) {
            self.words[w] |= word_of(w, &range);
        }
    }

    /// Clears the bits outside of `range`.
    pub fn clip(&mut self, range: Range<usize>) {
        self.words.iter_mut().enumerate().for_each(|(w, word)| *word &= word_of(w, &range));
    }

    /// Combines this mask with another of the same length. `op` is applied to each pair of 64-bit
    /// words.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn combine(&mut self, other: &Mask, op: impl Fn(u64, u64) -> u64) {
        assert_eq!(self.len, other.len, "masks of different lengths");
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word = op(*word, *other));
        self.clip(0..self.len);
    }

    /// Inverts every bit.
    pub fn invert(&mut self) {
        self.words.iter_mut().for_each(|word| *word = !*word);
        self.clip(0..self.len);
    }

    /// Returns the indices of the set bits in `range`, in ascending order.
    pub fn ones(&self, range: Range<usize>) -> impl Iterator<Item = usize> {
        let words = range.start / 64..range.end.min(self.len).div_ceil(64);
        words.flat_map(move |w| {
            let mut left = self.words[w] & word_of(w, &range);
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros() as usize;
                left &= left.wrapping_sub(1);
                (bit < 64).then_some(w * 64 + bit)
            })
        })
    }

    /// Returns the number of set bits in `range`.
    pub fn count_in(&self, range: Range<usize>) -> usize {
        let words = range.start / 64..range.end.min(self.len).div_ceil(64);
        words.map(|w| (self.words[w] & word_of(w, &range)).count_ones() as usize).sum()
    }

    /// Returns the number of bits.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns true if the mask has no bits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns bit `i`.
    ///
    /// # Panics
    /// If `i >= len`.
    #[inline]
    pub fn get(&self, i: usize) -> bool {
        assert!(i < self.len, "bit {i} of a mask of {} bits", self.len);
        self.words[i / 64] >> (i % 64) & 1 == 1
    }

    /// Returns bits `start..start + n` in the low bits of a word. Bits past the end are 0.
    ///
    /// # Panics
    /// If `n > 64`.
    #[inline]
    pub fn bits(&self, start: usize, n: usize) -> u64 {
        assert!(n <= 64, "a word has 64 bits");
        let word = |w: usize| self.words.get(w).copied().unwrap_or(0);
        let (w, shift) = (start / 64, start % 64);
        let mut bits = word(w) >> shift;
        if shift > 0 {
            bits |= word(w + 1) << (64 - shift);
        }
        if n == 64 { bits } else { bits & ((1 << n) - 1) }
    }

    /// Returns the number of set bits.
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }
}

/// Returns a word that has the bits of word `w` in `range` set, and no others.
fn word_of(w: usize, range: &Range<usize>) -> u64 {
    let ones = |n: usize| if n >= 64 { u64::MAX } else { (1 << n) - 1 };
    ones(range.end.saturating_sub(w * 64)) & !ones(range.start.saturating_sub(w * 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_combinations_are_those_of_single_bits() {
        let keep = |i: usize| i % 5 != 1;
        for len in [1, 64, 65, 200] {
            let plain = Mask::from_fn(len, keep);
            for range in [0..0, 0..len, 1..len, len / 3..len / 2, 63.min(len)..len] {
                let within = |i: usize| range.contains(&i);
                let mask = Mask::of_range(len, range.clone());
                assert_eq!(mask, Mask::from_fn(len, within), "{len} {range:?}");
                let mut clipped = plain.clone();
                clipped.clip(range.clone());
                assert_eq!(clipped, Mask::from_fn(len, |i| keep(i) && within(i)));
                assert_eq!(plain.count_in(range.clone()), clipped.count());
                assert_eq!(plain.ones(range.clone()).collect::<Vec<_>>(), clipped.ones(0..len).collect::<Vec<_>>());
                let mut other = plain.clone();
                other.combine(&mask, |a, b| !(a ^ b));
                assert_eq!(other, Mask::from_fn(len, |i| keep(i) == within(i)));
                other.invert();
                assert_eq!(other, Mask::from_fn(len, |i| keep(i) != within(i)));
            }
        }
    }

    #[test]
    fn bits_are_the_single_bits_everywhere() {
        let keep = |i: usize| i.is_multiple_of(3) || i % 7 == 2;
        for len in [0, 1, 63, 64, 65, 130] {
            let mask = Mask::from_fn(len, keep);
            assert_eq!(mask.count(), (0..len).filter(|&i| keep(i)).count());
            for start in 0..len {
                for n in [1, 32, 64] {
                    let expected =
                        (0..n).filter(|b| start + b < len && mask.get(start + b)).fold(0u64, |word, b| word | 1 << b);
                    assert_eq!(mask.bits(start, n), expected, "{len} {start} {n}");
                }
            }
        }
    }
}
