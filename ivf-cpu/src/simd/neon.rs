//! NEON, which every 64-bit ARM processor has.

use super::{LANES, Simd};
use half::f16;
use std::arch::aarch64::*;

/// Token for NEON, which is in the baseline of the architecture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Neon(());

impl Neon {
    pub(super) fn new() -> Self {
        Self(())
    }
}

impl Simd for Neon {
    type F32 = [float32x4_t; 4];
    type I32 = [i32; LANES];

    // 20 sums, 4 columns and a broadcast take 25 of 32 registers.
    const TILE: usize = 5;
    const HALVES: usize = 1;
    const HAS_DOT4: bool = false;
    const HAS_HALF_BYTES: bool = true;

    #[inline(always)]
    fn splat(self, x: f32) -> [float32x4_t; 4] {
        // SAFETY: NEON is in the baseline.
        [unsafe { vdupq_n_f32(x) }; 4]
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> [float32x4_t; 4] {
        let quarters = from.as_chunks::<4>().0;
        // SAFETY: four floats are there; NEON is in the baseline.
        std::array::from_fn(|i| unsafe { vld1q_f32(quarters[i].as_ptr()) })
    }

    #[inline(always)]
    fn load_f16(self, from: &[f16; LANES]) -> [float32x4_t; 4] {
        self.load(&from.map(f16::to_f32))
    }

    #[inline(always)]
    fn to_array(self, v: [float32x4_t; 4]) -> [f32; LANES] {
        let mut out = [0.0; LANES];
        for (quarter, v) in out.as_chunks_mut::<4>().0.iter_mut().zip(v) {
            // SAFETY: there is room for four floats; NEON is in the baseline.
            unsafe { vst1q_f32(quarter.as_mut_ptr(), v) };
        }
        out
    }

    #[inline(always)]
    fn abs(self, v: [float32x4_t; 4]) -> [float32x4_t; 4] {
        // SAFETY: NEON is in the baseline.
        v.map(|v| unsafe { vabsq_f32(v) })
    }

    #[inline(always)]
    fn sub(self, a: [float32x4_t; 4], b: [float32x4_t; 4]) -> [float32x4_t; 4] {
        // SAFETY: NEON is in the baseline.
        std::array::from_fn(|i| unsafe { vsubq_f32(a[i], b[i]) })
    }

    #[inline(always)]
    fn mul_add(self, a: [float32x4_t; 4], b: [float32x4_t; 4], c: [float32x4_t; 4]) -> [float32x4_t; 4] {
        // SAFETY: NEON is in the baseline.
        std::array::from_fn(|i| unsafe { vfmaq_f32(c[i], a[i], b[i]) })
    }

    #[inline(always)]
    fn neg_mul_add(self, a: [float32x4_t; 4], b: [float32x4_t; 4], c: [float32x4_t; 4]) -> [float32x4_t; 4] {
        // SAFETY: NEON is in the baseline.
        std::array::from_fn(|i| unsafe { vfmsq_f32(c[i], a[i], b[i]) })
    }

    #[inline(always)]
    fn at_most(self, v: [float32x4_t; 4], threshold: f32) -> u32 {
        v.into_iter().rev().fold(0, |bits, quarter| {
            // SAFETY: NEON is in the baseline.
            bits << 4 | unsafe { at_most(quarter, threshold) }
        })
    }

    #[inline(always)]
    fn load_i32(self, from: &[i32; LANES]) -> [i32; LANES] {
        *from
    }

    #[inline(always)]
    fn to_array_i32(self, v: [i32; LANES]) -> [i32; LANES] {
        v
    }

    #[inline(always)]
    fn dot4(self, sum: [i32; LANES], a: [u8; 4], b: &[[i8; 4]; LANES]) -> [i32; LANES] {
        super::Scalar.dot4(sum, a, b)
    }

    #[inline(always)]
    fn at_least_i32(self, v: [i32; LANES], threshold: i32) -> u32 {
        super::Scalar.at_least_i32(v, threshold)
    }

    #[inline(always)]
    fn keep_less(
        self,
        best: ([float32x4_t; 4], [i32; LANES]),
        found: [float32x4_t; 4],
        number: i32,
    ) -> ([float32x4_t; 4], [i32; LANES]) {
        let (values, numbers) = super::Scalar.keep_less((self.to_array(best.0), best.1), self.to_array(found), number);
        (self.load(&values), numbers)
    }

    #[inline(always)]
    fn half_byte_sums<const PAIRED: bool, const B: usize>(
        self,
        tables: &[[u8; 16]],
        blocks: [&[[u8; 64]]; B],
    ) -> [[u16; 64]; B] {
        // SAFETY: NEON is in the baseline.
        unsafe { half_byte_sums::<PAIRED, B>(tables, blocks) }
    }

    #[inline(always)]
    fn prefetch<T>(self, _data: &[T]) {}
}

/// Returns a bit mask of the lanes that are at most the threshold.
#[inline]
#[target_feature(enable = "neon")]
fn at_most(v: float32x4_t, threshold: f32) -> u32 {
    let bits = vcombine_u32(vcreate_u32(1 | 2 << 32), vcreate_u32(4 | 8 << 32));
    vaddvq_u32(vandq_u32(vcleq_f32(v, vdupq_n_f32(threshold)), bits))
}

/// Implements [`Simd::half_byte_sums`] for 16 codes at a time: one lookup for 16 half bytes.
#[inline]
#[target_feature(enable = "neon")]
fn half_byte_sums<const PAIRED: bool, const B: usize>(tables: &[[u8; 16]], blocks: [&[[u8; 64]]; B]) -> [[u16; 64]; B] {
    let (pairs, rest) = tables.as_chunks::<2>();
    assert!(rest.is_empty(), "pairs of tables");
    let mut sums = [[0; 64]; B];
    for (sums, block) in sums.iter_mut().zip(blocks) {
        assert!(block.len() == pairs.len(), "a byte for two tables");
        let mut eighths = [vdupq_n_u16(0); 8];
        for (&[first, second], codes) in pairs.iter().zip(block) {
            let (first, second): (uint8x16_t, uint8x16_t) = (bytemuck::must_cast(first), bytemuck::must_cast(second));
            let codes: [uint8x16_t; 4] = bytemuck::must_cast(*codes);
            for i in 0..4 {
                let low = vqtbl1q_u8(first, vandq_u8(codes[i], vdupq_n_u8(15)));
                let high = vqtbl1q_u8(second, vshrq_n_u8::<4>(codes[i]));
                let [added, more] = if PAIRED {
                    let pair = vqaddq_u8(low, high);
                    [vmovl_u8(vget_low_u8(pair)), vmovl_high_u8(pair)]
                } else {
                    [vaddl_u8(vget_low_u8(low), vget_low_u8(high)), vaddl_high_u8(low, high)]
                };
                eighths[2 * i] = vqaddq_u16(eighths[2 * i], added);
                eighths[2 * i + 1] = vqaddq_u16(eighths[2 * i + 1], more);
            }
        }
        *sums = bytemuck::must_cast(eighths);
    }
    sums
}
