//! How lists store codes of a product quantizer: blocks of 64 codes, subquantizer after
//! subquantizer.

use crate::product::{code_size, number, set_number};
use crate::scan::BLOCK;
use ivf_core::CodeLayout;
use ivf_core::layout::BlockPacker;
use std::sync::Arc;

/// Returns the layout of codes.
///
/// ```text
/// bits      in a list                      64 codes a b c ..., 3 subquantizers
/// 8         bytes                          | a0 b0 c0 ... | a1 b1 c1 ... | a2 b2 c2 ... |
/// 4         half bytes, the lower first    | a0a1 b0b1 c0c1 ... | a2-- b2-- c2-- ... |
/// 1, 2, 3   half bytes, as for 4 bits
/// 5, 6, 7   bytes, as for 8 bits
/// 9 to 16   numbers of 16 bits             | a0 b0 c0 ... | a1 b1 c1 ... | a2 b2 c2 ... |
/// ```
///
/// In all but the first two rows, a list takes more memory than the codes, so that a scan looks up
/// numbers without shifting bits. The last bits of a code, which no subquantizer uses, are kept as
/// further numbers.
pub(crate) fn layout(subquantizers: usize, bits: u32) -> CodeLayout {
    let size = code_size(subquantizers, bits);
    if bits == 8 || bits == 4 {
        return CodeLayout::interleaved(1, size, BLOCK);
    }
    let numbers = (8 * size).div_ceil(bits as usize);
    let form = match bits {
        0..=4 => Form::HalfBytes,
        5..=8 => Form::Bytes,
        _ => Form::Words,
    };
    let block_bytes = match form {
        Form::HalfBytes => numbers.div_ceil(2) * BLOCK,
        Form::Bytes => numbers * BLOCK,
        Form::Words => numbers * BLOCK * 2,
    };
    CodeLayout::custom(&format!("numbers{bits}"), size, BLOCK, &[block_bytes], Arc::new(Packer { numbers, bits, form }))
}

#[derive(Clone, Copy, Debug)]
enum Form {
    HalfBytes,
    Bytes,
    Words,
}

/// Spreads the numbers of a code over the columns of a block.
#[derive(Debug)]
struct Packer {
    numbers: usize,
    bits: u32,
    form: Form,
}

impl BlockPacker for Packer {
    fn put(&self, planes: &mut [&mut [u8]], slot: usize, code: &[u8]) {
        assert!(slot < BLOCK, "a slot of the block");
        let plane = &mut *planes[0];
        for m in 0..self.numbers {
            let number = number(code, self.bits, m);
            match self.form {
                Form::HalfBytes => {
                    let byte = &mut plane[m / 2 * BLOCK + slot];
                    let shift = m % 2 * 4;
                    *byte = *byte & !(15 << shift) | (number as u8) << shift;
                }
                Form::Bytes => plane[m * BLOCK + slot] = number as u8,
                Form::Words => plane[2 * (m * BLOCK + slot)..][..2].copy_from_slice(&number.to_le_bytes()),
            }
        }
    }

    fn get(&self, planes: &[&[u8]], slot: usize, code: &mut [u8]) {
        assert!(slot < BLOCK, "a slot of the block");
        let plane = planes[0];
        code.fill(0);
        for m in 0..self.numbers {
            let number = match self.form {
                Form::HalfBytes => u16::from(plane[m / 2 * BLOCK + slot] >> (m % 2 * 4) & 15),
                Form::Bytes => plane[m * BLOCK + slot].into(),
                Form::Words => u16::from_le_bytes([plane[2 * (m * BLOCK + slot)], plane[2 * (m * BLOCK + slot) + 1]]),
            };
            set_number(code, self.bits, m, number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ivf_core::bytes::AlignedBytes;

    #[test]
    fn every_code_is_kept_in_every_slot_and_leaves_the_others() {
        for bits in 1..=16 {
            for subquantizers in [1, 2, 3, 7, 8, 16] {
                let layout = layout(subquantizers, bits);
                let size = layout.code_size();
                let code = |slot: usize| -> Vec<u8> { (0..size).map(|i| (slot * 37 + i * 91 + 5) as u8).collect() };
                let mut plane = AlignedBytes::zeroed(layout.plane_bytes(0, BLOCK));
                let slots: Vec<usize> = (0..BLOCK).map(|i| i * 29 % BLOCK).collect();
                slots.iter().for_each(|&slot| layout.put(&mut [&mut plane], slot, &vec![0xff; size]));
                slots.iter().for_each(|&slot| layout.put(&mut [&mut plane], slot, &code(slot)));
                let mut found = vec![0; size];
                for slot in 0..BLOCK {
                    layout.get(&[&plane], slot, &mut found);
                    assert_eq!(found, code(slot), "{bits} bits, {subquantizers} subquantizers, slot {slot}");
                }
            }
        }
    }
}
