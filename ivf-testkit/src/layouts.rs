//! Layouts: samples for testing stores, and the checks of a packer's contract.

use crate::data::{bytes, random};
use ivf_core::CodeLayout;
use ivf_core::bytes::AlignedBytes;
use ivf_core::layout::BlockPacker;
use rand::RngExt;
use std::sync::Arc;

/// Returns the layouts that [`check_store`](crate::stores::check_store) runs with: rows, blocks,
/// and one with two planes.
pub fn samples() -> Vec<CodeLayout> {
    vec![
        CodeLayout::rows(1),
        CodeLayout::rows(13),
        CodeLayout::interleaved(4, 3, 32),
        CodeLayout::interleaved(1, 7, 64).of_codec("testkit"),
        two_planes(),
    ]
}

/// Returns a layout of two planes in blocks of 4. The first plane holds three bytes of each code as
/// rows, the second plane holds the other two bytes interleaved.
///
/// ```text
/// codes a b c d:
///   plane 0   | a0 a1 a2 | b0 b1 b2 | c0 c1 c2 | d0 d1 d2 |
///   plane 1   | a3 b3 c3 d3 | a4 b4 c4 d4 |
/// ```
pub fn two_planes() -> CodeLayout {
    CodeLayout::custom("testkit-split", HEAD + TAIL, BLOCK, &[HEAD * BLOCK, TAIL * BLOCK], Arc::new(Split))
}

const BLOCK: usize = 4;
const HEAD: usize = 3;
const TAIL: usize = 2;

#[derive(Debug)]
struct Split;

impl BlockPacker for Split {
    fn put(&self, planes: &mut [&mut [u8]], slot: usize, code: &[u8]) {
        planes[0][slot * HEAD..][..HEAD].copy_from_slice(&code[..HEAD]);
        code[HEAD..].iter().enumerate().for_each(|(i, byte)| planes[1][i * BLOCK + slot] = *byte);
    }

    fn get(&self, planes: &[&[u8]], slot: usize, code: &mut [u8]) {
        code[..HEAD].copy_from_slice(&planes[0][slot * HEAD..][..HEAD]);
        code[HEAD..].iter_mut().enumerate().for_each(|(i, byte)| *byte = planes[1][i * BLOCK + slot]);
    }
}

/// Returns layouts that differ from this one in one property each, with the name of the property:
/// code size, block length, name, codec. Their codes cannot be read.
pub(crate) fn unlike(layout: &CodeLayout) -> [(&'static str, CodeLayout); 4] {
    let (name, size, len) = (layout.name(), layout.code_size(), layout.block_len());
    let bytes: Vec<usize> = (0..layout.plane_count()).map(|p| layout.block_bytes(p)).collect();
    let custom =
        |name: &str, size, len| CodeLayout::custom(name, size, len, &bytes, Arc::new(Blank)).of_codec(layout.codec());
    [
        ("code size", custom(name, size + 1, len)),
        ("block length", custom(name, size, len + 1)),
        ("name", custom("testkit-other", size, len)),
        ("codec", layout.clone().of_codec("testkit-other")),
    ]
}

/// A packer that stores nothing.
#[derive(Debug)]
struct Blank;

impl BlockPacker for Blank {
    fn put(&self, _planes: &mut [&mut [u8]], _slot: usize, _code: &[u8]) {}

    fn get(&self, _planes: &[&[u8]], _slot: usize, code: &mut [u8]) {
        code.fill(0);
    }
}

/// Returns the planes of a segment of these codes: zeroed blocks, then one `put` for each code.
///
/// # Panics
/// If the length of `codes` is not a multiple of the layout's code size.
pub fn pack(layout: &CodeLayout, codes: &[u8]) -> Vec<AlignedBytes> {
    assert!(codes.len().is_multiple_of(layout.code_size()), "whole codes");
    let len = codes.len() / layout.code_size();
    let mut planes: Vec<AlignedBytes> =
        (0..layout.plane_count()).map(|p| AlignedBytes::zeroed(layout.plane_bytes(p, len))).collect();
    for (slot, code) in codes.chunks_exact(layout.code_size()).enumerate() {
        layout.put(&mut views(&mut planes), slot, code);
    }
    planes
}

fn views(planes: &mut [AlignedBytes]) -> Vec<&mut [u8]> {
    planes.iter_mut().map(|plane| &mut **plane).collect()
}

/// Checks the contract of [`BlockPacker`]. `get` returns the code that `put` wrote. A `put` leaves
/// other slots unchanged, whatever the block holds. Zero codes restore the content of a zeroed
/// block.
///
/// # Panics
/// If the layout breaks the contract.
pub fn check_layout(layout: &CodeLayout) {
    let mut random = random(17);
    let (size, len) = (layout.code_size(), 2 * layout.block_len() + 1);
    let mut codes = bytes(&mut random, len * size);
    let mut planes = pack(layout, &vec![0; len * size]);
    assert!(planes.iter().all(|p| p.iter().all(|&b| b == 0)), "{layout}: zero codes change a zeroed block");
    planes.iter_mut().for_each(|plane| plane.iter_mut().for_each(|byte| *byte = random.random()));
    for (slot, code) in codes.chunks_exact(size).enumerate() {
        layout.put(&mut views(&mut planes), slot, code);
    }
    for turn in 0..4 * len {
        let slot = random.random_range(0..len);
        let code = bytes(&mut random, size);
        layout.put(&mut views(&mut planes), slot, &code);
        codes[slot * size..][..size].copy_from_slice(&code);
        if turn % 16 == 0 || turn + 1 == 4 * len {
            let shared: Vec<&[u8]> = planes.iter().map(|plane| &**plane).collect();
            let mut got = vec![0xaa; size];
            for (other, expected) in codes.chunks_exact(size).enumerate() {
                layout.get(&shared, other, &mut got);
                assert_eq!(got, expected, "{layout}: slot {other} after a put into slot {slot}");
            }
        }
    }
    let (mut planes, mut others) = (pack(layout, &codes), pack(layout, &vec![0; len * size]));
    let mut scratch = Vec::new();
    for _ in 0..2 * len {
        let (from, to) = (random.random_range(0..len), random.random_range(0..len));
        layout.copy(&mut views(&mut planes), from, to, &mut scratch);
        codes.copy_within(from * size..(from + 1) * size, to * size);
        let shared: Vec<&[u8]> = planes.iter().map(|plane| &**plane).collect();
        layout.copy_between(&shared, to, &mut views(&mut others), from, &mut scratch);
        let (mut got, mut other) = (vec![0xaa; size], vec![0xaa; size]);
        layout.get(&shared, to, &mut got);
        layout.get(&others.iter().map(|plane| &**plane).collect::<Vec<&[u8]>>(), from, &mut other);
        let expected = &codes[to * size..][..size];
        assert_eq!((&got[..], &other[..]), (expected, expected), "{layout}: slot {from} copied to slot {to}");
    }
    for slot in 0..len {
        layout.put(&mut views(&mut planes), slot, &vec![0; size]);
    }
    assert!(planes.iter().all(|p| p.iter().all(|&b| b == 0)), "{layout}: zero codes do not restore a zeroed block");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    #[test]
    fn the_samples_keep_their_promises() {
        samples().iter().for_each(check_layout);
    }

    #[derive(Debug)]
    struct Spills;

    impl BlockPacker for Spills {
        fn put(&self, planes: &mut [&mut [u8]], slot: usize, code: &[u8]) {
            planes[0][slot] = code[0];
            planes[0][(slot + 1) % 2] |= code[0] & 1;
        }

        fn get(&self, planes: &[&[u8]], slot: usize, code: &mut [u8]) {
            code[0] = planes[0][slot];
        }
    }

    #[test]
    fn a_packer_that_touches_its_neighbour_is_caught() {
        let check = || check_layout(&CodeLayout::custom("spills", 1, 2, &[2], Arc::new(Spills)));
        assert!(catch_unwind(check).is_err());
    }
}
