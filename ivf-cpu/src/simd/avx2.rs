//! AVX2 with FMA and F16C.

use super::{Kernel, LANES, Simd, WITHIN_16_BITS};
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
    const HAS_HALF_BYTES: bool = true;

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
    fn half_byte_sums<const PAIRED: bool, const B: usize>(
        self,
        tables: &[[u8; 16]],
        blocks: [&[[u8; 64]]; B],
    ) -> [[u16; 64]; B] {
        // SAFETY: the token is made only inside `call`.
        unsafe { half_byte_sums::<PAIRED, B>(tables, blocks) }
    }

    #[inline(always)]
    fn lookup_half_bytes(self, tables: [&[f32; LANES]; 2], bytes: &[u8; LANES]) -> [[__m256; 2]; 2] {
        let tables = [bytemuck::must_cast(*tables[0]), bytemuck::must_cast(*tables[1])];
        // SAFETY: the token is made only inside `call`.
        unsafe { lookup_half_bytes(tables, bytemuck::must_cast(*bytes)) }
    }

    #[inline(always)]
    fn add_where(self, sum: [__m256; 2], bits: u16, v: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: the token is made only inside `call`.
        unsafe { add_where(sum, bits, v) }
    }

    #[inline(always)]
    fn at_most_u16(self, numbers: &[u16; 64], limit: u16) -> u64 {
        // SAFETY: the token is made only inside `call`.
        unsafe { at_most_u16(bytemuck::must_cast(*numbers), limit) }
    }

    #[inline(always)]
    fn load_u16(self, from: &[u16; LANES]) -> [__m256; 2] {
        let halves: [__m128i; 2] = bytemuck::must_cast(*from);
        // SAFETY: the token is made only inside `call`.
        halves.map(|half| unsafe { widen_u16(half) })
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

#[inline]
#[target_feature(enable = "avx2")]
fn widen_u16(numbers: __m128i) -> __m256 {
    _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(numbers))
}

/// Adds zero to the lanes whose bits are not set, which changes no sum of numbers from zero on.
#[inline]
#[target_feature(enable = "avx2")]
fn add_where(sum: [__m256; 2], bits: u16, v: [__m256; 2]) -> [__m256; 2] {
    let bits = _mm256_set1_epi32(bits.into());
    let lanes = [_mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128), {
        _mm256_setr_epi32(1 << 8, 1 << 9, 1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 15)
    }];
    std::array::from_fn(|i| {
        let is_set = _mm256_cmpeq_epi32(_mm256_and_si256(bits, lanes[i]), lanes[i]);
        _mm256_add_ps(sum[i], _mm256_and_ps(v[i], _mm256_castsi256_ps(is_set)))
    })
}

/// Implements [`Simd::lookup_half_bytes`], for 8 bytes at a time.
#[inline]
#[target_feature(enable = "avx2")]
fn lookup_half_bytes([lower, upper]: [[__m256; 2]; 2], bytes: [i64; 2]) -> [[__m256; 2]; 2] {
    let first = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(bytes[0]));
    let second = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(bytes[1]));
    let of_upper = [_mm256_srli_epi32::<4>(first), _mm256_srli_epi32::<4>(second)];
    [[lookup(lower, first), lookup(lower, second)], [lookup(upper, of_upper[0]), lookup(upper, of_upper[1])]]
}

/// Looks up 8 entries, in both halves of the table. Bit 3 of a number selects the half.
#[inline]
#[target_feature(enable = "avx2")]
fn lookup([low, high]: [__m256; 2], numbers: __m256i) -> __m256 {
    let is_high = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(numbers));
    _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, numbers), _mm256_permutevar8x32_ps(high, numbers), is_high)
}

/// Implements [`Simd::half_byte_sums`] for 32 codes at a time. A table is repeated in both halves
/// of a register, and one shuffle looks up 32 half bytes. As the entries of even and odd codes lie
/// in the same 16 bits, one register sums both, another the odd ones alone, and the difference are
/// the even ones.
#[inline]
#[target_feature(enable = "avx2")]
fn half_byte_sums<const PAIRED: bool, const B: usize>(tables: &[[u8; 16]], blocks: [&[[u8; 64]]; B]) -> [[u16; 64]; B] {
    let (pairs, rest) = tables.as_chunks::<2>();
    assert!(rest.is_empty(), "pairs of tables");
    let low_bits = _mm256_set1_epi8(15);
    let mut sums = [[0; 64]; B];
    for (sums, block) in sums.iter_mut().zip(blocks) {
        assert!(block.len() == pairs.len(), "a byte for two tables");
        let numbers = if PAIRED { pairs.len() } else { tables.len() };
        if numbers > WITHIN_16_BITS {
            *sums = super::Scalar.half_byte_sums::<PAIRED, 1>(tables, [block])[0];
            continue;
        }
        let (mut both, mut odd) = ([_mm256_setzero_si256(); 2], [_mm256_setzero_si256(); 2]);
        for (&[first, second], codes) in pairs.iter().zip(block) {
            let first = _mm256_broadcastsi128_si256(bytemuck::must_cast(first));
            let second = _mm256_broadcastsi128_si256(bytemuck::must_cast(second));
            let codes: [__m256i; 2] = bytemuck::must_cast(*codes);
            for i in 0..2 {
                let low = _mm256_shuffle_epi8(first, _mm256_and_si256(codes[i], low_bits));
                let high = _mm256_and_si256(_mm256_srli_epi16::<4>(codes[i]), low_bits);
                let high = _mm256_shuffle_epi8(second, high);
                if PAIRED {
                    let pair = _mm256_adds_epu8(low, high);
                    both[i] = _mm256_add_epi16(both[i], pair);
                    odd[i] = _mm256_add_epi16(odd[i], _mm256_srli_epi16::<8>(pair));
                } else {
                    both[i] = _mm256_add_epi16(both[i], _mm256_add_epi16(low, high));
                    odd[i] = _mm256_add_epi16(odd[i], _mm256_srli_epi16::<8>(low));
                    odd[i] = _mm256_add_epi16(odd[i], _mm256_srli_epi16::<8>(high));
                }
            }
        }
        let mut quarters = [_mm256_setzero_si256(); 4];
        for i in 0..2 {
            let even = _mm256_sub_epi16(both[i], _mm256_slli_epi16::<8>(odd[i]));
            let (low, high) = (_mm256_unpacklo_epi16(even, odd[i]), _mm256_unpackhi_epi16(even, odd[i]));
            quarters[2 * i] = _mm256_permute2x128_si256::<0x20>(low, high);
            quarters[2 * i + 1] = _mm256_permute2x128_si256::<0x31>(low, high);
        }
        *sums = bytemuck::must_cast(quarters);
    }
    sums
}

#[inline]
#[target_feature(enable = "avx2")]
fn at_most_u16(numbers: [__m256i; 4], limit: u16) -> u64 {
    let limit = _mm256_set1_epi16(limit.cast_signed());
    let mut bits = 0;
    for (i, pair) in numbers.as_chunks::<2>().0.iter().enumerate() {
        // A number is at most the limit if the saturating difference is zero.
        let low = _mm256_cmpeq_epi16(_mm256_subs_epu16(pair[0], limit), _mm256_setzero_si256());
        let high = _mm256_cmpeq_epi16(_mm256_subs_epu16(pair[1], limit), _mm256_setzero_si256());
        // Packing interleaves the halves of the two registers.
        let packed = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi16(low, high));
        bits |= u64::from(_mm256_movemask_epi8(packed) as u32) << (32 * i);
    }
    bits
}
