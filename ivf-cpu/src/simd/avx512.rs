//! AVX-512, with and without the byte products of VNNI.

use super::{Kernel, LANES, Simd, WITHIN_16_BITS};
use half::{bf16, f16};
use std::arch::x86_64::*;

/// Token for AVX-512 F, BW, DQ and VL. With `VNNI`, it includes VNNI, VBMI, BF16 and VPOPCNTDQ.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512<const VNNI: bool>(());

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn call<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512::<false>(()))
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
#[target_feature(enable = "avx512vnni,avx512vbmi,avx512bf16,avx512vpopcntdq")]
pub(super) fn call_vnni<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512::<true>(()))
}

impl<const VNNI: bool> Simd for Avx512<VNNI> {
    type F32 = __m512;
    type I32 = __m512i;

    // 16 sums, 2 columns and a broadcast from memory, of 32 registers.
    const TILE: usize = 8;
    const HALVES: usize = 2;
    const HAS_DOT4: bool = VNNI;
    const HAS_LOOKUP: bool = VNNI;
    const HAS_HALF_BYTES: bool = true;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: the token is made only inside `call` and `call_vnni`.
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> __m512 {
        // SAFETY: 16 floats are there; the token is made only inside `call` and `call_vnni`.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn load_f16(self, from: &[f16; LANES]) -> __m512 {
        let bits: __m256i = bytemuck::must_cast(*from);
        // SAFETY: the token is made only inside `call` and `call_vnni`.
        unsafe { _mm512_cvtph_ps(bits) }
    }

    #[inline(always)]
    fn load_bf16(self, from: &[bf16; LANES]) -> __m512 {
        let bits: __m256i = bytemuck::must_cast(*from);
        // SAFETY: the token is made only inside `call` and `call_vnni`.
        unsafe { widen_bf16(bits) }
    }

    #[inline(always)]
    fn load_u8(self, from: &[u8; LANES]) -> __m512 {
        let bytes: __m128i = bytemuck::must_cast(*from);
        // SAFETY: the token is made only inside `call` and `call_vnni`.
        unsafe { widen_u8(bytes) }
    }

    #[inline(always)]
    fn load_i8(self, from: &[i8; LANES]) -> __m512 {
        let bytes: __m128i = bytemuck::must_cast(*from);
        // SAFETY: the token is made only inside `call` and `call_vnni`.
        unsafe { widen_i8(bytes) }
    }

    #[inline(always)]
    fn load_bits(self, from: &[u32; LANES], shift: u32, mask: u32) -> __m512 {
        let words: __m512i = bytemuck::must_cast(*from);
        // SAFETY: the token is made only inside `call` and `call_vnni`.
        unsafe { bits(words, shift, mask) }
    }

    #[inline(always)]
    fn to_array(self, v: __m512) -> [f32; LANES] {
        bytemuck::must_cast(v)
    }

    #[inline(always)]
    fn transpose(self, rows: [__m512; LANES]) -> [__m512; LANES] {
        // SAFETY: the token is made only inside `call` and `call_vnni`.
        unsafe { transpose(rows) }
    }

    #[inline(always)]
    fn join(self, upper: &[bf16; LANES], lower: &[u16; LANES]) -> __m512 {
        let (upper, lower): (__m256i, __m256i) = (bytemuck::must_cast(*upper), bytemuck::must_cast(*lower));
        // SAFETY: the token is made only inside `call` and `call_vnni`.
        unsafe { join(upper, lower) }
    }

    #[inline(always)]
    fn abs(self, v: __m512) -> __m512 {
        // SAFETY: the token is made only inside `call` and `call_vnni`.
        unsafe { _mm512_abs_ps(v) }
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the token is made only inside `call` and `call_vnni`.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: the token is made only inside `call` and `call_vnni`.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn neg_mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: the token is made only inside `call` and `call_vnni`.
        unsafe { _mm512_fnmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn at_most(self, v: __m512, threshold: f32) -> u32 {
        let threshold = self.splat(threshold);
        // SAFETY: the token is made only inside `call` and `call_vnni`.
        u32::from(unsafe { _mm512_cmp_ps_mask::<_CMP_LE_OQ>(v, threshold) })
    }

    #[inline(always)]
    fn load_i32(self, from: &[i32; LANES]) -> __m512i {
        bytemuck::must_cast(*from)
    }

    #[inline(always)]
    fn to_array_i32(self, v: __m512i) -> [i32; LANES] {
        bytemuck::must_cast(v)
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the token is made only inside `call` and `call_vnni`.
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    fn floats_of(self, v: __m512i) -> __m512 {
        // SAFETY: the token is made only inside `call` and `call_vnni`.
        unsafe { _mm512_cvtepi32_ps(v) }
    }

    #[inline(always)]
    fn dot4(self, sum: __m512i, a: [u8; 4], b: &[[i8; 4]; LANES]) -> __m512i {
        // SAFETY: the token is made only inside `call` and `call_vnni`.
        let a = unsafe { _mm512_set1_epi32(i32::from_le_bytes(a)) };
        let b: __m512i = bytemuck::must_cast(*b);
        if VNNI {
            // SAFETY: the token with VNNI is made only inside `call_vnni`.
            return unsafe { _mm512_dpbusd_epi32(sum, a, b) };
        }
        // SAFETY: the token is made only inside `call` and `call_vnni`.
        unsafe { dot4_by_halves(sum, a, b) }
    }

    #[inline(always)]
    fn dot4_signed(self, sum: __m512i, a: &[[u8; 4]; LANES], b: [i8; 4]) -> __m512i {
        if VNNI {
            let a: __m512i = bytemuck::must_cast(*a);
            // SAFETY: the token with VNNI is made only inside `call_vnni`.
            return unsafe { dot4_signed(sum, a, bytemuck::must_cast(b)) };
        }
        bytemuck::must_cast(super::Scalar.dot4_signed(bytemuck::must_cast(sum), a, b))
    }

    #[inline(always)]
    fn half_bytes(self, bytes: &[[u8; 4]; LANES]) -> [[[u8; 4]; LANES]; 2] {
        // SAFETY: the token is made only inside `call` and `call_vnni`.
        bytemuck::must_cast(unsafe { half_bytes(bytemuck::must_cast(*bytes)) })
    }

    #[inline(always)]
    fn at_least_i32(self, v: __m512i, threshold: i32) -> u32 {
        // SAFETY: the token is made only inside `call` and `call_vnni`.
        u32::from(unsafe { at_least(v, threshold) })
    }

    #[inline(always)]
    fn keep_less(self, best: (__m512, __m512i), found: __m512, number: i32) -> (__m512, __m512i) {
        // SAFETY: the token is made only inside `call` and `call_vnni`.
        unsafe { keep_less(best, found, number) }
    }

    #[inline(always)]
    fn lookups_at_most<const B: usize>(self, tables: &[[u8; 256]], blocks: [&[[u8; 64]]; B], limit: u16) -> [u64; B] {
        if VNNI {
            // SAFETY: the token with VNNI (and so VBMI) is made only inside `call_vnni`.
            return unsafe { lookups_at_most(tables, blocks, limit) };
        }
        super::Scalar.lookups_at_most(tables, blocks, limit)
    }

    #[inline(always)]
    fn half_byte_sums<const PAIRED: bool, const B: usize>(
        self,
        tables: &[[u8; 16]],
        blocks: [&[[u8; 64]]; B],
    ) -> [[u16; 64]; B] {
        if VNNI {
            // SAFETY: the token with VNNI (and so VBMI) is made only inside `call_vnni`.
            return unsafe { half_byte_sums_permuted::<PAIRED, B>(tables, blocks) };
        }
        // SAFETY: the token is made only inside `call` and `call_vnni`.
        unsafe { half_byte_sums::<PAIRED, B>(tables, blocks) }
    }

    #[inline(always)]
    fn half_bytes_at_most<const B: usize>(self, tables: &[[u8; 16]], blocks: [&[[u8; 64]]; B], limit: u16) -> [u64; B] {
        if VNNI {
            // SAFETY: the token with VNNI (and so VBMI) is made only inside `call_vnni`.
            return unsafe { half_bytes_at_most_permuted(tables, blocks, limit) };
        }
        // SAFETY: the token is made only inside `call` and `call_vnni`.
        unsafe { half_bytes_at_most(tables, blocks, limit) }
    }

    #[inline(always)]
    fn lookup_half_bytes(self, tables: [&[f32; LANES]; 2], bytes: &[u8; LANES]) -> [__m512; 2] {
        let tables = [bytemuck::must_cast(*tables[0]), bytemuck::must_cast(*tables[1])];
        // SAFETY: the token is made only inside `call` and `call_vnni`.
        unsafe { lookup_half_bytes(tables, bytemuck::must_cast(*bytes)) }
    }

    #[inline(always)]
    fn add_where(self, sum: __m512, bits: u16, v: __m512) -> __m512 {
        // SAFETY: the token is made only inside `call` and `call_vnni`.
        unsafe { _mm512_mask_add_ps(sum, bits, sum, v) }
    }

    #[inline(always)]
    fn at_most_u16(self, numbers: &[u16; 64], limit: u16) -> u64 {
        // SAFETY: the token is made only inside `call` and `call_vnni`.
        unsafe { at_most_u16(bytemuck::must_cast(*numbers), limit) }
    }

    #[inline(always)]
    fn load_u16(self, from: &[u16; LANES]) -> __m512 {
        // SAFETY: the token is made only inside `call` and `call_vnni`.
        unsafe { widen_u16(bytemuck::must_cast(*from)) }
    }

    #[inline(always)]
    fn prefetch<T>(self, data: &[T]) {
        super::avx2::prefetch(data);
    }
}

/// Multiplies even and odd bytes separately, as 16-bit numbers. No sum of two products can then
/// saturate, as it would in `vpmaddubsw`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn dot4_by_halves(sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
    let low = _mm512_set1_epi16(0xff);
    let even = _mm512_madd_epi16(_mm512_and_si512(a, low), _mm512_srai_epi16::<8>(_mm512_slli_epi16::<8>(b)));
    let odd = _mm512_madd_epi16(_mm512_srli_epi16::<8>(a), _mm512_srai_epi16::<8>(b));
    _mm512_add_epi32(sum, _mm512_add_epi32(even, odd))
}

/// Transposes pairs of rows, then pairs of pairs, within each quarter of the registers; then the
/// quarters.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(mut rows: [__m512; LANES]) -> [__m512; LANES] {
    for i in (0..LANES).step_by(4) {
        let [a, b, c, d] = [rows[i], rows[i + 1], rows[i + 2], rows[i + 3]];
        let (ab, cd) = (_mm512_unpacklo_ps(a, b), _mm512_unpacklo_ps(c, d));
        let (low, high) = (_mm512_unpackhi_ps(a, b), _mm512_unpackhi_ps(c, d));
        rows[i] = _mm512_shuffle_ps::<0b01_00_01_00>(ab, cd);
        rows[i + 1] = _mm512_shuffle_ps::<0b11_10_11_10>(ab, cd);
        rows[i + 2] = _mm512_shuffle_ps::<0b01_00_01_00>(low, high);
        rows[i + 3] = _mm512_shuffle_ps::<0b11_10_11_10>(low, high);
    }
    let mut columns = rows;
    for i in 0..4 {
        let [a, b, c, d] = [rows[i], rows[i + 4], rows[i + 8], rows[i + 12]];
        let (ab, cd) = (_mm512_shuffle_f32x4::<0b10_00_10_00>(a, b), _mm512_shuffle_f32x4::<0b10_00_10_00>(c, d));
        let (low, high) = (_mm512_shuffle_f32x4::<0b11_01_11_01>(a, b), _mm512_shuffle_f32x4::<0b11_01_11_01>(c, d));
        columns[i] = _mm512_shuffle_f32x4::<0b10_00_10_00>(ab, cd);
        columns[i + 4] = _mm512_shuffle_f32x4::<0b10_00_10_00>(low, high);
        columns[i + 8] = _mm512_shuffle_f32x4::<0b11_01_11_01>(ab, cd);
        columns[i + 12] = _mm512_shuffle_f32x4::<0b11_01_11_01>(low, high);
    }
    columns
}

#[inline]
#[target_feature(enable = "avx512f")]
fn join(upper: __m256i, lower: __m256i) -> __m512 {
    let upper = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(upper));
    _mm512_castsi512_ps(_mm512_add_epi32(upper, _mm512_cvtepi16_epi32(lower)))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn widen_bf16(bits: __m256i) -> __m512 {
    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(bits)))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn widen_u8(bytes: __m128i) -> __m512 {
    _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn bits(words: __m512i, shift: u32, mask: u32) -> __m512 {
    let shifted = _mm512_srl_epi32(words, _mm_cvtsi32_si128(shift.cast_signed()));
    _mm512_cvtepi32_ps(_mm512_and_si512(shifted, _mm512_set1_epi32(mask.cast_signed())))
}

#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn dot4_signed(sum: __m512i, a: __m512i, b: i32) -> __m512i {
    _mm512_dpbusd_epi32(sum, a, _mm512_set1_epi32(b))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn half_bytes(bytes: __m512i) -> [__m512i; 2] {
    let low_bits = _mm512_set1_epi32(0x0f0f_0f0f);
    [_mm512_and_si512(bytes, low_bits), _mm512_and_si512(_mm512_srli_epi32::<4>(bytes), low_bits)]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn widen_i8(bytes: __m128i) -> __m512 {
    _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn lookup_half_bytes([lower, upper]: [__m512; 2], bytes: __m128i) -> [__m512; 2] {
    // A permutation takes the lowest four bits of an index.
    let bytes = _mm512_cvtepu8_epi32(bytes);
    [_mm512_permutexvar_ps(bytes, lower), _mm512_permutexvar_ps(_mm512_srli_epi32::<4>(bytes), upper)]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn widen_u16(numbers: __m256i) -> __m512 {
    _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(numbers))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn at_most_u16(numbers: [__m512i; 2], limit: u16) -> u64 {
    let limit = _mm512_set1_epi16(limit.cast_signed());
    let [low, high] = [0, 1].map(|half| u64::from(_mm512_cmple_epu16_mask(numbers[half], limit)));
    low | high << 32
}

#[inline]
#[target_feature(enable = "avx512f")]
fn at_least(v: __m512i, threshold: i32) -> u16 {
    _mm512_cmpge_epi32_mask(v, _mm512_set1_epi32(threshold))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn keep_less((value, no): (__m512, __m512i), found: __m512, number: i32) -> (__m512, __m512i) {
    let less = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(found, value);
    (_mm512_mask_mov_ps(value, less, found), _mm512_mask_mov_epi32(no, less, _mm512_set1_epi32(number)))
}

/// Implements [`Simd::lookups_at_most`]. A table of 256 bytes fills four registers. One permutation
/// looks up in the first two and another one in the last two. The highest bit of each index selects
/// one of the two results. The sums of even and odd codes are kept separately, in 16 bits each.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn lookups_at_most<const B: usize>(tables: &[[u8; 256]], blocks: [&[[u8; 64]]; B], limit: u16) -> [u64; B] {
    // (A loop, since a closure would not be compiled for these instructions.)
    let mut sliced = blocks;
    for block in &mut sliced {
        assert!(block.len() == tables.len(), "one table for each subquantizer");
        *block = &block[..tables.len()];
    }
    let low_bytes = _mm512_set1_epi16(0xff);
    let (mut even, mut odd) = ([_mm512_setzero_si512(); B], [_mm512_setzero_si512(); B]);
    for (m, table) in tables.iter().enumerate() {
        let [a, b, c, d]: [__m512i; 4] = bytemuck::must_cast(*table);
        for i in 0..B {
            let codes: __m512i = bytemuck::must_cast(sliced[i][m]);
            let (low, high) = (_mm512_permutex2var_epi8(a, codes, b), _mm512_permutex2var_epi8(c, codes, d));
            let found = _mm512_mask_blend_epi8(_mm512_movepi8_mask(codes), low, high);
            even[i] = _mm512_add_epi16(even[i], _mm512_and_si512(found, low_bytes));
            odd[i] = _mm512_add_epi16(odd[i], _mm512_srli_epi16::<8>(found));
        }
    }
    at_most(even, odd, limit)
}

/// Sums of even and of odd codes, 16 bits each, of `B` blocks.
type EvenAndOdd<const B: usize> = ([__m512i; B], [__m512i; B]);

/// Looks up the lower halves of bytes in one table, and the upper halves in another one. A table of
/// 16 bytes is repeated in the four quarters of a register.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn shuffled(first: __m512i, second: __m512i, codes: __m512i) -> (__m512i, __m512i) {
    let low_bits = _mm512_set1_epi8(15);
    let upper = _mm512_and_si512(_mm512_srli_epi16::<4>(codes), low_bits);
    (_mm512_shuffle_epi8(first, _mm512_and_si512(codes, low_bits)), _mm512_shuffle_epi8(second, upper))
}

/// The same with fewer instructions. The lookup ignores the highest two bits of a byte, and the two
/// bits below select one of the four copies.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn permuted(first: __m512i, second: __m512i, codes: __m512i) -> (__m512i, __m512i) {
    (_mm512_permutexvar_epi8(codes, first), _mm512_permutexvar_epi8(_mm512_srli_epi16::<4>(codes), second))
}

/// Defines a function that adds entries of tables of 16 bytes. (A macro, since the two functions
/// are compiled for different instructions.)
///
/// As the entries of even and odd codes lie in the same 16 bits, one register sums both, another
/// the odd ones alone, and the difference are the even ones. If a sum may exceed 16 bits, even
/// and odd codes are summed separately, with saturation.
macro_rules! add_half_bytes {
    ($name:ident, $look_up:ident, $features:literal) => {
        #[inline]
        #[target_feature(enable = $features)]
        fn $name<const PAIRED: bool, const B: usize>(tables: &[[u8; 16]], blocks: [&[[u8; 64]]; B]) -> EvenAndOdd<B> {
            let (pairs, rest) = tables.as_chunks::<2>();
            assert!(rest.is_empty(), "pairs of tables");
            // (A loop, since a closure would not be compiled for these instructions.)
            let mut sliced = blocks;
            for block in &mut sliced {
                assert!(block.len() == pairs.len(), "a byte for two tables");
                *block = &block[..pairs.len()];
            }
            let low_byte = _mm512_set1_epi16(0xff);
            let (mut even, mut odd) = ([_mm512_setzero_si512(); B], [_mm512_setzero_si512(); B]);
            let numbers = if PAIRED { pairs.len() } else { tables.len() };
            if numbers > WITHIN_16_BITS {
                for (j, &[first, second]) in pairs.iter().enumerate() {
                    let first = _mm512_broadcast_i32x4(bytemuck::must_cast(first));
                    let second = _mm512_broadcast_i32x4(bytemuck::must_cast(second));
                    for i in 0..B {
                        let (low, high) = $look_up(first, second, bytemuck::must_cast(sliced[i][j]));
                        let (evens, odds) = if PAIRED {
                            let pair = _mm512_adds_epu8(low, high);
                            (_mm512_and_si512(pair, low_byte), _mm512_srli_epi16::<8>(pair))
                        } else {
                            let evens = [_mm512_and_si512(low, low_byte), _mm512_and_si512(high, low_byte)];
                            let odds = [_mm512_srli_epi16::<8>(low), _mm512_srli_epi16::<8>(high)];
                            (_mm512_add_epi16(evens[0], evens[1]), _mm512_add_epi16(odds[0], odds[1]))
                        };
                        even[i] = _mm512_adds_epu16(even[i], evens);
                        odd[i] = _mm512_adds_epu16(odd[i], odds);
                    }
                }
                return (even, odd);
            }
            for (j, &[first, second]) in pairs.iter().enumerate() {
                let first = _mm512_broadcast_i32x4(bytemuck::must_cast(first));
                let second = _mm512_broadcast_i32x4(bytemuck::must_cast(second));
                for i in 0..B {
                    let (low, high) = $look_up(first, second, bytemuck::must_cast(sliced[i][j]));
                    if PAIRED {
                        let pair = _mm512_adds_epu8(low, high);
                        even[i] = _mm512_add_epi16(even[i], pair);
                        odd[i] = _mm512_add_epi16(odd[i], _mm512_srli_epi16::<8>(pair));
                    } else {
                        even[i] = _mm512_add_epi16(even[i], _mm512_add_epi16(low, high));
                        odd[i] = _mm512_add_epi16(odd[i], _mm512_srli_epi16::<8>(low));
                        odd[i] = _mm512_add_epi16(odd[i], _mm512_srli_epi16::<8>(high));
                    }
                }
            }
            for (even, odd) in even.iter_mut().zip(odd) {
                *even = _mm512_sub_epi16(*even, _mm512_slli_epi16::<8>(odd));
            }
            (even, odd)
        }
    };
}

add_half_bytes!(add_shuffled, shuffled, "avx512f,avx512bw");
add_half_bytes!(add_permuted, permuted, "avx512f,avx512bw,avx512vbmi");

/// Implements [`Simd::half_byte_sums`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn half_byte_sums<const PAIRED: bool, const B: usize>(tables: &[[u8; 16]], blocks: [&[[u8; 64]]; B]) -> [[u16; 64]; B] {
    in_order(add_shuffled::<PAIRED, B>(tables, blocks))
}

/// The same with VBMI.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn half_byte_sums_permuted<const PAIRED: bool, const B: usize>(
    tables: &[[u8; 16]],
    blocks: [&[[u8; 64]]; B],
) -> [[u16; 64]; B] {
    in_order(add_permuted::<PAIRED, B>(tables, blocks))
}

/// Implements [`Simd::half_bytes_at_most`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn half_bytes_at_most<const B: usize>(tables: &[[u8; 16]], blocks: [&[[u8; 64]]; B], limit: u16) -> [u64; B] {
    let (even, odd) = add_shuffled::<true, B>(tables, blocks);
    at_most(even, odd, limit)
}

/// The same with VBMI.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn half_bytes_at_most_permuted<const B: usize>(tables: &[[u8; 16]], blocks: [&[[u8; 64]]; B], limit: u16) -> [u64; B] {
    let (even, odd) = add_permuted::<true, B>(tables, blocks);
    at_most(even, odd, limit)
}

/// Returns the sums in the order of the codes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn in_order<const B: usize>((even, odd): EvenAndOdd<B>) -> [[u16; 64]; B] {
    let first_half = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    let second_half = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    let mut sums = [[0; 64]; B];
    for ((sums, even), odd) in sums.iter_mut().zip(even).zip(odd) {
        let (low, high) = (_mm512_unpacklo_epi16(even, odd), _mm512_unpackhi_epi16(even, odd));
        let halves =
            [_mm512_permutex2var_epi64(low, first_half, high), _mm512_permutex2var_epi64(low, second_half, high)];
        *sums = bytemuck::must_cast(halves);
    }
    sums
}

/// Returns bit masks of the codes whose sums are at most `limit`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn at_most<const B: usize>(even: [__m512i; B], odd: [__m512i; B], limit: u16) -> [u64; B] {
    let limit = _mm512_set1_epi16(limit.cast_signed());
    let mut near = [0; B];
    for ((near, even), odd) in near.iter_mut().zip(even).zip(odd) {
        let (even, odd) = (_mm512_cmple_epu16_mask(even, limit), _mm512_cmple_epu16_mask(odd, limit));
        if even | odd != 0 {
            *near = spread(even) | spread(odd) << 1;
        }
    }
    near
}

/// Moves bit `i` to bit `2 i`.
fn spread(bits: u32) -> u64 {
    [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ]
    .into_iter()
    .fold(u64::from(bits), |bits, (by, mask)| (bits | bits << by) & mask)
}
