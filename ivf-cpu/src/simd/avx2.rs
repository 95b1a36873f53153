//! AVX2 with FMA and F16C.

use super::{Kernel, LANES, Simd};
use half::f16;
use std::arch::x86_64::*;

/// Token for AVX2, FMA and F16C.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2(());

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn call<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2(()))
}

/// Prefetches every cache line of `data`.
#[inline(always)]
pub(super) fn prefetch<T>(data: &[T]) {
    for line in cache_lines(data) {
        // SAFETY: a prefetch reads nothing, and every x86-64 has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line) };
    }
}

/// Returns the addresses of the cache lines of `data`.
#[inline(always)]
fn cache_lines<T>(data: &[T]) -> impl Iterator<Item = *const i8> {
    let start = data.as_ptr().cast::<i8>();
    let before = start.addr() % 64;
    (0..before + size_of_val(data)).step_by(64).map(move |offset| start.wrapping_sub(before).wrapping_add(offset))
}

impl Simd for Avx2 {
    type F32 = [__m256; 2];
    type I32 = [__m256i; 2];

    // 10 sums, 2 columns and a broadcast take 13 of 16 registers. A tile over whole blocks would
    // spill.
    const TILE: usize = 5;
    const HALVES: usize = 1;
    const HAS_DOT4: bool = false;

    #[inline(always)]
    fn splat(self, x: f32) -> [__m256; 2] {
        // SAFETY: the token is made only inside `call`.
        [unsafe { _mm256_set1_ps(x) }; 2]
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> [__m256; 2] {
        bytemuck::must_cast(*from)
    }

    #[inline(always)]
    fn load_f16(self, from: &[f16; LANES]) -> [__m256; 2] {
        let halves: [__m128i; 2] = bytemuck::must_cast(*from);
        // SAFETY: the token is made only inside `call`.
        halves.map(|half| unsafe { _mm256_cvtph_ps(half) })
    }

    #[inline(always)]
    fn load_bits(self, from: &[u32; LANES], shift: u32, mask: u32) -> [__m256; 2] {
        let words: [__m256i; 2] = bytemuck::must_cast(*from);
        // SAFETY: the token is made only inside `call`.
        unsafe { bits(words, shift, mask) }
    }

    #[inline(always)]
    fn to_array(self, v: [__m256; 2]) -> [f32; LANES] {
        bytemuck::must_cast(v)
    }

    #[inline(always)]
    fn abs(self, v: [__m256; 2]) -> [__m256; 2] {
        let [sign, _] = self.splat(-0.0);
        // SAFETY: the token is made only inside `call`.
        v.map(|v| unsafe { _mm256_andnot_ps(sign, v) })
    }

    #[inline(always)]
    fn sub(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: the token is made only inside `call`.
        std::array::from_fn(|i| unsafe { _mm256_sub_ps(a[i], b[i]) })
    }

    #[inline(always)]
    fn mul_add(self, a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: the token is made only inside `call`.
        std::array::from_fn(|i| unsafe { _mm256_fmadd_ps(a[i], b[i], c[i]) })
    }

    #[inline(always)]
    fn neg_mul_add(self, a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: the token is made only inside `call`.
        std::array::from_fn(|i| unsafe { _mm256_fnmadd_ps(a[i], b[i], c[i]) })
    }

    #[inline(always)]
    fn at_most(self, v: [__m256; 2], threshold: f32) -> u32 {
        // SAFETY: the token is made only inside `call`.
        unsafe { at_most(v, threshold) }
    }

    #[inline(always)]
    fn load_i32(self, from: &[i32; LANES]) -> [__m256i; 2] {
        bytemuck::must_cast(*from)
    }

    #[inline(always)]
    fn to_array_i32(self, v: [__m256i; 2]) -> [i32; LANES] {
        bytemuck::must_cast(v)
    }

    #[inline(always)]
    fn dot4(self, sum: [__m256i; 2], a: [u8; 4], b: &[[i8; 4]; LANES]) -> [__m256i; 2] {
        let b: [__m256i; 2] = bytemuck::must_cast(*b);
        // SAFETY: the token is made only inside `call`.
        unsafe { dot4(sum, i32::from_le_bytes(a), b) }
    }

    #[inline(always)]
    fn at_least_i32(self, v: [__m256i; 2], threshold: i32) -> u32 {
        // SAFETY: the token is made only inside `call`.
        unsafe { at_least(v, threshold) }
    }

    #[inline(always)]
    fn keep_less(
        self,
        best: ([__m256; 2], [__m256i; 2]),
        found: [__m256; 2],
        number: i32,
    ) -> ([__m256; 2], [__m256i; 2]) {
        // SAFETY: the token is made only inside `call`.
        unsafe { keep_less(best, found, number) }
    }

    #[inline(always)]
    fn prefetch<T>(self, data: &[T]) {
        prefetch(data);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn bits(words: [__m256i; 2], shift: u32, mask: u32) -> [__m256; 2] {
    let (shift, mask) = (_mm_cvtsi32_si128(shift.cast_signed()), _mm256_set1_epi32(mask.cast_signed()));
    words.map(|words| _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srl_epi32(words, shift), mask)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn at_most(v: [__m256; 2], threshold: f32) -> u32 {
    let threshold = _mm256_set1_ps(threshold);
    let [low, high] = v.map(|v| _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LE_OQ>(v, threshold)) as u32);
    low | high << 8
}

#[inline]
#[target_feature(enable = "avx2")]
fn at_least(v: [__m256i; 2], threshold: i32) -> u32 {
    let threshold = _mm256_set1_epi32(threshold);
    let [low, high] = v.map(|v| _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(threshold, v))) as u32);
    !(low | high << 8) & 0xffff
}

/// Multiplies even and odd bytes separately, as 16-bit numbers. No sum of two products can then
/// saturate, as it would in `vpmaddubsw`.
#[inline]
#[target_feature(enable = "avx2")]
fn dot4(sum: [__m256i; 2], a: i32, b: [__m256i; 2]) -> [__m256i; 2] {
    let (a, low) = (_mm256_set1_epi32(a), _mm256_set1_epi16(0xff));
    std::array::from_fn(|i| {
        let even = _mm256_madd_epi16(_mm256_and_si256(a, low), _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(b[i])));
        let odd = _mm256_madd_epi16(_mm256_srli_epi16::<8>(a), _mm256_srai_epi16::<8>(b[i]));
        _mm256_add_epi32(sum[i], _mm256_add_epi32(even, odd))
    })
}

#[inline]
#[target_feature(enable = "avx2")]
fn keep_less(best: ([__m256; 2], [__m256i; 2]), found: [__m256; 2], number: i32) -> ([__m256; 2], [__m256i; 2]) {
    let number = _mm256_castsi256_ps(_mm256_set1_epi32(number));
    let (mut values, mut numbers) = best;
    for ((value, no), found) in values.iter_mut().zip(&mut numbers).zip(found) {
        let less = _mm256_cmp_ps::<_CMP_LT_OQ>(found, *value);
        *value = _mm256_blendv_ps(*value, found, less);
        *no = _mm256_castps_si256(_mm256_blendv_ps(_mm256_castsi256_ps(*no), number, less));
    }
    (values, numbers)
}
