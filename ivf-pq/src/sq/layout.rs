//! Blocks of codes whose numbers are shorter than 16 bits.

use super::bytes::term_of;
use super::numbers::Numbers;
use super::scale::Scale;
use ivf_core::CodeLayout;
use ivf_core::layout::BlockPacker;
use ivf_cpu::kernels::BLOCK;
use std::sync::Arc;

/// Size of a word in bytes.
pub(super) const WORD: usize = 4;

/// One word of each code of a block.
pub(super) type Column = [u32; BLOCK];

/// Returns the layout of codes in blocks of 32, interleaved by words of 4 bytes. The last word is
/// filled up with zeros:
///
/// ```text
/// SQ8, 6 dimensions: codes a b c ... of 6 bytes, 2 words each
///   block 0 | a0 a1 a2 a3  b0 b1 b2 b3 ... 32 | a4 a5 0 0  b4 b5 0 0 ... 32 |   block 1 | ...
///                    128 bytes                          128 bytes
///
/// dimensions of a word, lowest bits first
///   SQ8  | 0 | 1 | 2 | 3 |
///   SQ4  |0|1|2|3|4|5|6|7|
///   SQ6  |0 |1 |2 |3 |4 |5    | 5|6 |7 |8 |9 |10   |10|11|12|13|14|15|       the numbers 5 and 10 lie in two words
/// ```
///
/// A word holds several numbers of one code. So one load gives a register that has them for 16
/// codes, from which shifts take one dimension after the other. The bytes of a code stay as they
/// are, in the order of Faiss.
///
/// (Not columns of bytes for each dimension: those take a load for each dimension, and a packer
/// that takes the numbers of `SQ4` and `SQ6` apart.)
pub(super) fn layout(code_size: usize) -> CodeLayout {
    let bytes = code_size.div_ceil(WORD) * size_of::<Column>();
    CodeLayout::custom("words", code_size, BLOCK, &[bytes], Arc::new(Words))
}

/// Returns the layout of codes with a first pass in bytes, in two planes: words as in [`layout`],
/// and a term of each code for the bound of that pass ([`term_of`]):
///
/// ```text
/// plane 0   block 0 | words of 32 codes |   block 1 | ...
/// plane 1   block 0 | f32 x 32          |   block 1 | ...     128 bytes for each block
/// ```
pub(super) fn with_terms(numbers: impl Numbers, code_size: usize, scale: &Scale) -> CodeLayout {
    let (steps, bases) = (scale.steps().to_vec(), scale.bases().to_vec());
    let words = code_size.div_ceil(WORD) * size_of::<Column>();
    let packer = Arc::new(WordsAndTerms { numbers, steps, bases });
    CodeLayout::custom("words and terms", code_size, BLOCK, &[words, BLOCK * size_of::<f32>()], packer)
}

/// Packer of codes, word by word.
#[derive(Debug)]
struct Words;

impl BlockPacker for Words {
    fn put(&self, planes: &mut [&mut [u8]], slot: usize, code: &[u8]) {
        for (word, column) in code.chunks(WORD).zip(planes[0].as_chunks_mut::<{ WORD * BLOCK }>().0) {
            column[slot * WORD..][..word.len()].copy_from_slice(word);
        }
    }

    fn get(&self, planes: &[&[u8]], slot: usize, code: &mut [u8]) {
        for (word, column) in code.chunks_mut(WORD).zip(planes[0].as_chunks::<{ WORD * BLOCK }>().0) {
            word.copy_from_slice(&column[slot * WORD..][..word.len()]);
        }
    }
}

/// Packer of codes, word by word, with their terms.
#[derive(Debug)]
struct WordsAndTerms<N> {
    numbers: N,
    steps: Vec<f32>,
    bases: Vec<f32>,
}

impl<N: Numbers> BlockPacker for WordsAndTerms<N> {
    fn put(&self, planes: &mut [&mut [u8]], slot: usize, code: &[u8]) {
        Words.put(planes, slot, code);
        let term = term_of(self.numbers, code, &self.steps, &self.bases);
        planes[1].as_chunks_mut::<4>().0[slot] = term.to_le_bytes();
    }

    fn get(&self, planes: &[&[u8]], slot: usize, code: &mut [u8]) {
        Words.get(planes, slot, code);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_as_the_picture_shows() {
        let layout = layout(6);
        assert_eq!((layout.block_bytes(0), layout.block_len()), (256, 32));
        let mut plane = vec![0; 256];
        layout.put(&mut [&mut plane], 1, b"abcdef");
        assert_eq!((&plane[..9], &plane[128..136]), (&b"\0\0\0\0abcd\0"[..], &b"\0\0\0\0ef\0\0"[..]));
        let mut code = [0; 6];
        layout.get(&[&plane], 1, &mut code);
        assert_eq!(&code, b"abcdef");
    }
}
