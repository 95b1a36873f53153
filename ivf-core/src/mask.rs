//! One bit an entry: who may be found.

/// A bit for each entry of a segment: the form a selector takes before a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mask {
    words: Vec<u64>,
    len: usize,
}

impl Mask {
    /// A mask of `len` bits, bit `i` as `keep(i)` says.
    pub fn from_fn(len: usize, keep: impl FnMut(usize) -> bool) -> Self {
        let mut mask = Self::default();
        mask.fill(len, keep);
        mask
    }

    /// Makes this a mask of `len` bits, bit `i` as `keep(i)` says, in the memory it has.
    pub fn fill(&mut self, len: usize, mut keep: impl FnMut(usize) -> bool) {
        self.len = len;
        self.words.clear();
        self.words.extend((0..len.div_ceil(64)).map(|w| {
            let bits = (len - w * 64).min(64);
            (0..bits).fold(0u64, |word, b| word | (u64::from(keep(w * 64 + b)) << b))
        }));
    }

    /// Number of bits.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there is no bit.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bit `i`.
    ///
    /// # Panics
    /// If `i >= len`.
    #[inline]
    pub fn get(&self, i: usize) -> bool {
        assert!(i < self.len, "bit {i} of {}", self.len);
        self.words[i / 64] >> (i % 64) & 1 == 1
    }

    /// Bits `start..start + n` in the low bits of a word, `n <= 64`; bits past the end are 0.
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

    /// How many bits are set.
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
