//! The parts of a code, and how lists store them.

use crate::scan::BLOCK;
use ivf_core::CodeLayout;
use ivf_core::layout::BlockPacker;
use std::sync::Arc;

/// Number of bits in a word of a bit plane.
pub(super) const WORD: usize = 16;

/// The sizes of the parts of a code.
///
/// ```text
/// a code      signs: a bit per dimension | add, rescale, [error]: f32 | [low bits: bits - 1 per dimension | add, rescale: f32]
/// ```
///
/// The parts in brackets exist for more than one bit. `add` and `rescale` are the two factors of an
/// estimate, and `error` is the factor of the error of the signs' estimate. The number of a
/// dimension has its sign as the highest bit; the low bits are the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) dim: usize,
    /// Number of bits of a dimension below the sign.
    pub(super) low: usize,
}

impl Form {
    pub(super) fn sign_bytes(self) -> usize {
        self.dim.div_ceil(8)
    }

    /// Number of factors after the signs.
    pub(super) fn factors(self) -> usize {
        if self.low == 0 { 2 } else { 3 }
    }

    pub(super) fn low_bytes(self) -> usize {
        (self.dim * self.low).div_ceil(8)
    }

    /// Returns where the low bits begin.
    fn low_start(self) -> usize {
        self.sign_bytes() + 4 * self.factors()
    }

    pub(super) fn code_size(self) -> usize {
        self.low_start() + if self.low == 0 { 0 } else { self.low_bytes() + 8 }
    }

    /// Number of words that hold one bit of each dimension.
    pub(super) fn words(self) -> usize {
        self.dim.div_ceil(WORD)
    }

    /// Number of words of a bit plane in a list. They also hold the last, unused bits of a code.
    fn stored_words(self) -> usize {
        (8 * self.low_bytes()).div_ceil(self.low.max(1)).div_ceil(WORD)
    }

    /// Number of bytes of a code's low bits and their factors in a list.
    pub(super) fn row_bytes(self) -> usize {
        8 + 2 * self.low * self.stored_words()
    }
}

fn float(bytes: &[u8]) -> f32 {
    f32::from_le_bytes(bytes.try_into().expect("four bytes"))
}

/// Reads the parts of a code.
#[derive(Clone, Copy, Debug)]
pub(super) struct Code<'a>(pub(super) Form, pub(super) &'a [u8]);

impl<'a> Code<'a> {
    pub(super) fn signs(self) -> &'a [u8] {
        &self.1[..self.0.sign_bytes()]
    }

    /// Returns a factor of the signs' estimate: add, rescale, error.
    pub(super) fn factor(self, i: usize) -> f32 {
        float(&self.1[self.0.sign_bytes() + 4 * i..][..4])
    }

    /// Returns the low bits of a number.
    pub(super) fn low(self, i: usize) -> u16 {
        let Self(form, code) = self;
        crate::product::number(&code[form.low_start()..][..form.low_bytes()], form.low as u32, i)
    }

    /// Returns the low bits and their factors.
    pub(super) fn rest(self) -> &'a [u8] {
        &self.1[self.0.low_start()..]
    }

    /// Returns a factor of the estimate by all bits: add, rescale.
    pub(super) fn whole_factor(self, i: usize) -> f32 {
        float(&self.1[self.0.low_start() + self.0.low_bytes() + 4 * i..][..4])
    }
}

/// Writes the parts of a code, whose bytes are zero.
#[derive(Debug)]
pub(super) struct CodeMut<'a>(pub(super) Form, pub(super) &'a mut [u8]);

impl CodeMut<'_> {
    pub(super) fn set_sign(&mut self, i: usize) {
        self.1[i / 8] |= 1 << (i % 8);
    }

    pub(super) fn set_factor(&mut self, i: usize, factor: f32) {
        self.1[self.0.sign_bytes() + 4 * i..][..4].copy_from_slice(&factor.to_le_bytes());
    }

    /// Sets the low bits of numbers `8 * eight..8 * (eight + 1)`.
    pub(super) fn set_low(&mut self, eight: usize, numbers: [u8; 8]) {
        let Self(form, code) = self;
        let bits = &mut code[form.low_start()..][..form.low_bytes()];
        let bytes = bits.chunks_mut(form.low).nth(eight).expect("eight numbers of the code");
        bytes.copy_from_slice(&close(numbers, form.low)[..bytes.len()]);
    }

    pub(super) fn set_whole_factor(&mut self, i: usize, factor: f32) {
        self.1[self.0.low_start() + self.0.low_bytes() + 4 * i..][..4].copy_from_slice(&factor.to_le_bytes());
    }
}

/// Returns the layout of codes: blocks of 64, so that a scan by signs reads nothing else.
///
/// ```text
/// plane 0   | signs of dimensions 0..8 of 64 codes | signs of 8..16 | ...       one byte per code in each column
/// plane 1   | add of 64 codes | rescale | [error] |                             f32
/// plane 2   | add, rescale, low bits of code 0 | of code 1 | ...                only for more than one bit
/// ```
///
/// In plane 2, bit `p` of 16 dimensions is a word. The words of all bits of dimensions 0..16 come
/// first, from the lowest bit on, then those of 16..32.
pub(super) fn layout(form: Form) -> CodeLayout {
    let sizes = [BLOCK * form.sign_bytes(), BLOCK * 4 * form.factors(), BLOCK * form.row_bytes()];
    let planes = if form.low == 0 { 2 } else { 3 };
    CodeLayout::custom("planes", form.code_size(), BLOCK, &sizes[..planes], Arc::new(Packer { form }))
}

#[derive(Debug)]
struct Packer {
    form: Form,
}

impl BlockPacker for Packer {
    fn put(&self, planes: &mut [&mut [u8]], slot: usize, code: &[u8]) {
        assert!(slot < BLOCK, "a slot of the block");
        let form = self.form;
        let (signs, rest) = code.split_at(form.sign_bytes());
        for (column, sign) in planes[0].chunks_exact_mut(BLOCK).zip(signs) {
            column[slot] = *sign;
        }
        let (factors, rest) = rest.split_at(4 * form.factors());
        for (column, factor) in planes[1].chunks_exact_mut(4 * BLOCK).zip(factors.chunks_exact(4)) {
            column[4 * slot..][..4].copy_from_slice(factor);
        }
        if form.low == 0 {
            return;
        }
        put_row(form, rest, &mut planes[2][slot * form.row_bytes()..][..form.row_bytes()]);
    }

    fn get(&self, planes: &[&[u8]], slot: usize, code: &mut [u8]) {
        assert!(slot < BLOCK, "a slot of the block");
        let form = self.form;
        code.fill(0);
        let (signs, rest) = code.split_at_mut(form.sign_bytes());
        for (sign, column) in signs.iter_mut().zip(planes[0].chunks_exact(BLOCK)) {
            *sign = column[slot];
        }
        let (factors, rest) = rest.split_at_mut(4 * form.factors());
        for (factor, column) in factors.chunks_exact_mut(4).zip(planes[1].chunks_exact(4 * BLOCK)) {
            factor.copy_from_slice(&column[4 * slot..][..4]);
        }
        if form.low == 0 {
            return;
        }
        let row = &planes[2][slot * form.row_bytes()..][..form.row_bytes()];
        let (bits, factors) = rest.split_at_mut(form.low_bytes());
        factors.copy_from_slice(&row[..8]);
        for (bits, words) in bits.chunks_mut(2 * form.low).zip(row[8..].chunks_exact(2 * form.low)) {
            let middle = bits.len().min(form.low);
            let (first, second) = bits.split_at_mut(middle);
            let (mut low, mut high) = ([0; 8], [0; 8]);
            for (p, word) in words.as_chunks::<2>().0.iter().enumerate() {
                [low[p], high[p]] = *word;
            }
            first.copy_from_slice(&close(transposed(low), form.low)[..first.len()]);
            second.copy_from_slice(&close(transposed(high), form.low)[..second.len()]);
        }
    }
}

/// Writes the low bits and their factors, as they are in a code, to a row of plane 2.
pub(super) fn put_row(form: Form, code: &[u8], row: &mut [u8]) {
    let (bits, factors) = code.split_at(form.low_bytes());
    row[..8].copy_from_slice(factors);
    for (bits, words) in bits.chunks(2 * form.low).zip(row[8..].chunks_exact_mut(2 * form.low)) {
        let (first, second) = bits.split_at(bits.len().min(form.low));
        let (first, second) = (transposed(apart(first, form.low)), transposed(apart(second, form.low)));
        for (p, word) in words.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            *word = [first[p], second[p]];
        }
    }
}

/// Returns eight numbers of `low` bits, which lie one after the other in `low` bytes. Bytes that
/// are not there are zero.
fn apart(bytes: &[u8], low: usize) -> [u8; 8] {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    let word = u64::from_le_bytes(word);
    let mut numbers = [0; 8];
    for (i, number) in numbers.iter_mut().enumerate() {
        *number = (word >> (low * i)) as u8 & (u8::MAX >> (8 - low));
    }
    numbers
}

/// The reverse of [`apart`], with zeros after the `low` bytes.
fn close(numbers: [u8; 8], low: usize) -> [u8; 8] {
    let word = numbers.into_iter().rev().fold(0_u64, |word, number| word << low | u64::from(number));
    word.to_le_bytes()
}

/// Swaps the numbers of bytes and of bits: bit `i` of byte `j` becomes bit `j` of byte `i`.
/// (Each step swaps two halves of squares of 2, 4 and 8 bits. H. S. Warren, Hacker's Delight, 7-3.)
fn transposed(bytes: [u8; 8]) -> [u8; 8] {
    let mut x = u64::from_le_bytes(bytes);
    for (by, mask) in [(7, 0x00aa_00aa_00aa_00aa), (14, 0x0000_cccc_0000_cccc), (28, 0x0000_0000_f0f0_f0f0)] {
        let swapped = (x ^ x >> by) & mask;
        x ^= swapped ^ swapped << by;
    }
    x.to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_transposed_and_numbers_taken_apart_as_documented() {
        let bytes: [u8; 8] = std::array::from_fn(|i| (i as u8).wrapping_mul(97) ^ 0x5a);
        let other = transposed(bytes);
        for (i, j) in (0..64).map(|n| (n / 8, n % 8)) {
            assert_eq!(other[i] >> j & 1, bytes[j] >> i & 1, "bit {j} of byte {i}");
        }
        for low in 1..=8 {
            let numbers = apart(&bytes[..low], low);
            for (m, number) in numbers.into_iter().enumerate() {
                assert_eq!(u16::from(number), crate::product::number(&bytes[..low], low as u32, m), "{low} bits");
            }
            assert_eq!(close(numbers, low)[..low], bytes[..low], "{low} bits");
            assert_eq!(apart(&[], low), [0; 8]);
        }
    }
}
