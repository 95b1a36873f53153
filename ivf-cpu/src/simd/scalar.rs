//! No instruction set in particular: arrays, which the compiler may vectorise.

use super::{LANES, Simd};
use half::f16;

/// Token that every machine has.
#[derive(Clone, Copy, Debug)]
pub struct Scalar;

impl Simd for Scalar {
    type F32 = [f32; LANES];
    type I32 = [i32; LANES];

    const TILE: usize = 1;
    const HALVES: usize = 2;
    const FAST_FMA: bool = false;
    const HAS_DOT4: bool = false;

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; LANES] {
        [x; LANES]
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> [f32; LANES] {
        *from
    }

    #[inline(always)]
    fn load_f16(self, from: &[f16; LANES]) -> [f32; LANES] {
        from.map(f16::to_f32)
    }

    #[inline(always)]
    fn to_array(self, v: [f32; LANES]) -> [f32; LANES] {
        v
    }

    #[inline(always)]
    fn abs(self, v: [f32; LANES]) -> [f32; LANES] {
        v.map(f32::abs)
    }

    #[inline(always)]
    fn sub(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|i| a[i] - b[i])
    }

    #[inline(always)]
    fn mul_add(self, a: [f32; LANES], b: [f32; LANES], c: [f32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|i| a[i].mul_add(b[i], c[i]))
    }

    #[inline(always)]
    fn neg_mul_add(self, a: [f32; LANES], b: [f32; LANES], c: [f32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|i| (-a[i]).mul_add(b[i], c[i]))
    }

    #[inline(always)]
    fn at_most(self, v: [f32; LANES], threshold: f32) -> u32 {
        v.iter().enumerate().fold(0, |bits, (i, &x)| bits | u32::from(x <= threshold) << i)
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
        let products = |b: &[i8; 4]| a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum::<i32>();
        std::array::from_fn(|i| sum[i].wrapping_add(products(&b[i])))
    }

    #[inline(always)]
    fn at_least_i32(self, v: [i32; LANES], threshold: i32) -> u32 {
        v.iter().enumerate().fold(0, |bits, (i, &x)| bits | u32::from(x >= threshold) << i)
    }

    #[inline(always)]
    fn keep_less(
        self,
        best: ([f32; LANES], [i32; LANES]),
        found: [f32; LANES],
        number: i32,
    ) -> ([f32; LANES], [i32; LANES]) {
        let less: [bool; LANES] = std::array::from_fn(|i| found[i] < best.0[i]);
        (
            std::array::from_fn(|i| if less[i] { found[i] } else { best.0[i] }),
            std::array::from_fn(|i| if less[i] { number } else { best.1[i] }),
        )
    }

    #[inline(always)]
    fn prefetch<T>(self, _data: &[T]) {}
}
