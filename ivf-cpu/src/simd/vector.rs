//! What a kernel asks of an instruction set.

use half::{bf16, f16};
use ivf_core::Element;

/// Floats in a register as kernels see it, whatever the hardware's width: half a block of codes.
pub const LANES: usize = 16;

/// The operations of an instruction set, on registers of 16 floats (or 16 sums of four byte products).
///
/// A value of such a type is the proof that the machine has the set: only a [`Level`](super::Level) makes them (but for
/// [`Scalar`](super::Scalar), which every machine has).
pub trait Simd: Copy + Send + Sync + 'static {
    /// 16 floats.
    type F32: Copy;
    /// 16 integers of 32 bits.
    type I32: Copy;

    /// Queries in a tile of sums that stays in registers, ...
    const TILE: usize;
    /// ... over this many halves of a block (1 or 2).
    const HALVES: usize;
    /// True if a fused multiply-add is an instruction, and may be spent to spare memory.
    const FAST_FMA: bool = true;
    /// True if [`dot4`](Self::dot4) is an instruction, several times as fast as four multiply-adds of floats.
    const HAS_DOT4: bool;
    /// True if [`lookups_at_most`](Self::lookups_at_most) looks up 64 bytes at once, in registers.
    const HAS_LOOKUP: bool = false;

    /// The same float 16 times.
    fn splat(self, x: f32) -> Self::F32;
    /// 16 floats from memory.
    fn load(self, from: &[f32; LANES]) -> Self::F32;
    /// 16 half-precision floats from memory, widened.
    fn load_f16(self, from: &[f16; LANES]) -> Self::F32;
    /// 16 half-width floats of the other kind, widened.
    #[inline(always)]
    fn load_bf16(self, from: &[bf16; LANES]) -> Self::F32 {
        self.load(&from.map(|x| f32::from_bits(u32::from(x.to_bits()) << 16)))
    }
    /// 16 bytes, as floats.
    #[inline(always)]
    fn load_u8(self, from: &[u8; LANES]) -> Self::F32 {
        self.load(&from.map(f32::from))
    }
    /// 16 signed bytes, as floats.
    #[inline(always)]
    fn load_i8(self, from: &[i8; LANES]) -> Self::F32 {
        self.load(&from.map(f32::from))
    }
    /// 16 floats of which [`Halves`](crate::kernels::Halves) keeps the upper and the lower bits apart.
    #[inline(always)]
    fn join(self, upper: &[bf16; LANES], lower: &[u16; LANES]) -> Self::F32 {
        self.load(&std::array::from_fn(|i| join(upper[i], lower[i])))
    }
    /// The lanes in order.
    fn to_array(self, v: Self::F32) -> [f32; LANES];
    /// Lane `i` of register `j` as lane `j` of register `i`.
    #[inline(always)]
    fn transpose(self, rows: [Self::F32; LANES]) -> [Self::F32; LANES] {
        let rows = rows.map(|row| self.to_array(row));
        std::array::from_fn(|i| self.load(&std::array::from_fn(|j| rows[j][i])))
    }
    /// The lanes without their signs.
    fn abs(self, v: Self::F32) -> Self::F32;
    /// `a - b`.
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b + c`, rounded once.
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// `c - a * b`, rounded once.
    fn neg_mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// One bit a lane: set where the lane is `<= threshold`. NaN is not.
    fn at_most(self, v: Self::F32, threshold: f32) -> u32;

    /// 16 integers from memory.
    fn load_i32(self, from: &[i32; LANES]) -> Self::I32;
    /// The lanes in order.
    fn to_array_i32(self, v: Self::I32) -> [i32; LANES];
    /// Adds to lane `i` the four products of `a`'s bytes (unsigned) with bytes `4 i .. 4 i + 4` of `b`.
    fn dot4(self, sum: Self::I32, a: [u8; 4], b: &[[i8; 4]; LANES]) -> Self::I32;
    /// One bit a lane: set where the lane is `>= threshold`.
    fn at_least_i32(self, v: Self::I32, threshold: i32) -> u32;
    /// The best so far of each lane, and its number: where `found` is less, that and its number.
    fn keep_less(self, best: (Self::F32, Self::I32), found: Self::F32, number: i32) -> (Self::F32, Self::I32);
    /// Which of 64 codes in each of `B` blocks come to at most `limit`, one bit each: a code's sum is that of its bytes' entries in
    /// the tables, one a part. `blocks` hold for each part the bytes of 64 codes.
    ///
    /// # Panics
    /// If a block has another number of parts than there are tables, or their sums could be more than 16 bits hold.
    #[inline(always)]
    fn lookups_at_most<const B: usize>(self, tables: &[[u8; 256]], blocks: [&[[u8; 64]]; B], limit: u16) -> [u64; B] {
        assert!(tables.len() <= 257, "sums of 16 bits");
        blocks.map(|block| {
            assert!(block.len() == tables.len(), "a table a part");
            let mut sums = [0_u16; 64];
            for (table, codes) in tables.iter().zip(block) {
                sums.iter_mut().zip(codes).for_each(|(sum, &code)| *sum += u16::from(table[usize::from(code)]));
            }
            sums.iter().rev().fold(0, |bits, &sum| bits << 1 | u64::from(sum <= limit))
        })
    }
    /// Asks for the cache lines of `data`, which will be read soon.
    fn prefetch<T>(self, data: &[T]);
}

/// The float of a rounded upper half and what is missing in its lower one, whatever their bits.
#[inline(always)]
pub(crate) fn join(upper: bf16, lower: u16) -> f32 {
    f32::from_bits((u32::from(upper.to_bits()) << 16).wrapping_add_signed(i32::from(lower as i16)))
}

/// An element type that loads into a register of floats.
pub trait Lane: Element {
    /// 16 elements, each its exact value.
    fn load<S: Simd>(simd: S, from: &[Self; LANES]) -> S::F32;
}

impl Lane for f32 {
    #[inline(always)]
    fn load<S: Simd>(simd: S, from: &[f32; LANES]) -> S::F32 {
        simd.load(from)
    }
}

impl Lane for f16 {
    #[inline(always)]
    fn load<S: Simd>(simd: S, from: &[f16; LANES]) -> S::F32 {
        simd.load_f16(from)
    }
}

impl Lane for bf16 {
    #[inline(always)]
    fn load<S: Simd>(simd: S, from: &[bf16; LANES]) -> S::F32 {
        simd.load_bf16(from)
    }
}

impl Lane for u8 {
    #[inline(always)]
    fn load<S: Simd>(simd: S, from: &[u8; LANES]) -> S::F32 {
        simd.load_u8(from)
    }
}

impl Lane for i8 {
    #[inline(always)]
    fn load<S: Simd>(simd: S, from: &[i8; LANES]) -> S::F32 {
        simd.load_i8(from)
    }
}
