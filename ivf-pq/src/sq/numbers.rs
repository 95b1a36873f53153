//! The numbers of a code: whole ones of a few bits, or floats of 16 bits.

use super::bound::BoundSq;
use super::layout::{self, Column};
use super::scale::Scale;
use super::scan::SqScanner;
use ivf_core::{CodeLayout, Codec, InvertedListScanner, Rows};
use ivf_cpu::kernels::{BLOCK, Columns, Distance, Visitor, with_distance};
use ivf_cpu::simd::{LANES, Lane, Simd};
use std::fmt;
use std::marker::PhantomData;

/// How a code holds one number for each dimension.
pub(super) trait Numbers: Copy + Send + Sync + fmt::Debug + 'static {
    /// Whether a query alone takes blocks in pairs.
    const IN_PAIRS: bool = true;

    /// Numbers in a byte of a code, or `None` if there is no first pass in bytes.
    const PER_BYTE: Option<usize> = None;

    /// What a block holds one after the other, with an element for each code.
    type Column: bytemuck::Pod;

    /// Returns the least and the largest number.
    fn limits(self) -> (f32, f32);

    /// Returns the size of a code in bytes.
    fn code_size(self, dim: usize) -> usize;

    /// Returns the layout of codes in lists: blocks of 32 in one plane, or, if codes have a first
    /// pass in bytes and `has_terms`, in two.
    fn layout(self, scale: &Scale, has_terms: bool) -> CodeLayout;

    /// Writes the number of dimension `d` into a code whose bits are zero there. A number within
    /// the limits is rounded to one that a code can hold: to the nearest float, or down.
    fn put(self, code: &mut [u8], d: usize, number: f32);

    /// Returns the number of dimension `d`.
    fn get(self, code: &[u8], d: usize) -> f32;

    /// Returns the numbers of dimensions `d..d + 16` of a code. `d` is a multiple of 16.
    fn of_code<S: Simd>(self, simd: S, code: &[u8], d: usize) -> S::F32;

    /// Returns the numbers of dimension `d` of the 16 codes of a block from `LANES * half` on.
    fn load<S: Simd>(self, simd: S, block: &[Self::Column], d: usize, half: usize) -> S::F32;
}

/// Whole numbers of `B` bits, the first in the lowest bits of the first byte.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bits<const B: usize>;

impl<const B: usize> Bits<B> {
    const MASK: u32 = (1 << B) - 1;

    /// Number of bits of a word.
    const WORD: usize = 8 * layout::WORD;

    /// Returns the number of dimension `d`.
    #[inline(always)]
    fn whole(self, code: &[u8], d: usize) -> u8 {
        let (byte, shift) = (d * B / 8, d * B % 8);
        let upper = if shift + B > 8 { u32::from(code[byte + 1]) } else { 0 };
        ((u32::from(code[byte]) | upper << 8) >> shift & Self::MASK) as u8
    }
}

impl<const B: usize> Numbers for Bits<B> {
    type Column = Column;

    const PER_BYTE: Option<usize> = match B {
        4 => Some(2),
        8 => Some(1),
        _ => None,
    };

    fn limits(self) -> (f32, f32) {
        (0.0, Self::MASK as f32)
    }

    fn code_size(self, dim: usize) -> usize {
        (dim * B).div_ceil(8)
    }

    fn layout(self, scale: &Scale, has_terms: bool) -> CodeLayout {
        let code_size = self.code_size(scale.steps().len());
        if Self::PER_BYTE.is_some() && has_terms {
            return layout::with_terms(self, code_size, scale);
        }
        layout::layout(code_size)
    }

    #[inline(always)]
    fn put(self, code: &mut [u8], d: usize, number: f32) {
        let (byte, shift) = (d * B / 8, d * B % 8);
        let bits = (number as u32) << shift;
        code[byte] |= bits as u8;
        if shift + B > 8 {
            code[byte + 1] |= (bits >> 8) as u8;
        }
    }

    #[inline(always)]
    fn get(self, code: &[u8], d: usize) -> f32 {
        f32::from(self.whole(code, d))
    }

    #[inline(always)]
    fn of_code<S: Simd>(self, simd: S, code: &[u8], d: usize) -> S::F32 {
        // 16 numbers of `B` bits begin at the first bit of a byte.
        let (bytes, mut numbers) = (&code[d * B / 8..][..LANES * B / 8], [0; LANES]);
        for (i, number) in numbers.iter_mut().enumerate() {
            *number = self.whole(bytes, i);
        }
        simd.load_u8(&numbers)
    }

    #[inline(always)]
    fn load<S: Simd>(self, simd: S, block: &[Column], d: usize, half: usize) -> S::F32 {
        let (first, shift) = (d * B / Self::WORD, d * B % Self::WORD);
        let low = simd.load_bits(&block[first].as_chunks::<LANES>().0[half], shift as u32, Self::MASK);
        if const { Self::WORD.is_multiple_of(B) } || shift + B <= Self::WORD {
            return low;
        }
        // The upper bits of the number are the lowest ones of the next word.
        let bits = Self::WORD - shift;
        let high = simd.load_bits(&block[first + 1].as_chunks::<LANES>().0[half], 0, Self::MASK >> bits);
        simd.mul_add(high, simd.splat((1 << bits) as f32), low)
    }
}

/// Floats of 16 bits. In a block, dimension after dimension:
///
/// ```text
/// 2 dimensions, codes a b c ...    block 0 | a0 b0 c0 ... 32 | a1 b1 c1 ... 32 |   block 1 | ...     64 bytes for each dimension
/// ```
#[derive(Clone, Copy, Debug)]
pub(super) struct Halves<T>(PhantomData<T>);

impl<T> Halves<T> {
    pub(super) const NEW: Self = Self(PhantomData);
}

impl<T: Lane + num_traits::Bounded> Numbers for Halves<T> {
    /// A query alone waits for memory, and reads it faster from one place at a time. (In pairs, it
    /// took 1.4 times as long.)
    const IN_PAIRS: bool = false;
    type Column = [T; BLOCK];

    fn limits(self) -> (f32, f32) {
        (T::min_value().to_f32(), T::max_value().to_f32())
    }

    fn code_size(self, dim: usize) -> usize {
        dim * size_of::<T>()
    }

    fn layout(self, scale: &Scale, _has_terms: bool) -> CodeLayout {
        CodeLayout::interleaved(size_of::<T>(), scale.steps().len(), BLOCK)
    }

    #[inline(always)]
    fn put(self, code: &mut [u8], d: usize, number: f32) {
        let size = size_of::<T>();
        code[d * size..][..size].copy_from_slice(bytemuck::bytes_of(&T::from_f32(number)));
    }

    #[inline(always)]
    fn get(self, code: &[u8], d: usize) -> f32 {
        let size = size_of::<T>();
        bytemuck::pod_read_unaligned::<T>(&code[d * size..][..size]).to_f32()
    }

    #[inline(always)]
    fn of_code<S: Simd>(self, simd: S, code: &[u8], d: usize) -> S::F32 {
        let size = size_of::<T>();
        let mut numbers = [T::from_f32(0.0); LANES];
        bytemuck::cast_slice_mut(&mut numbers).copy_from_slice(&code[d * size..][..LANES * size]);
        T::load(simd, &numbers)
    }

    #[inline(always)]
    fn load<S: Simd>(self, simd: S, block: &[[T; BLOCK]], d: usize, half: usize) -> S::F32 {
        T::load(simd, &block[d].as_chunks::<LANES>().0[half])
    }
}

/// Blocks of codes, whose vectors load as `number * step + base`.
#[derive(Debug)]
pub(super) struct Coded<'a, N: Numbers, const M: usize> {
    pub(super) numbers: N,
    pub(super) blocks: [&'a [N::Column]; M],
    pub(super) steps: &'a [f32],
    /// What is added to the numbers, times their steps: one for each step.
    pub(super) bases: &'a [f32],
}

impl<N: Numbers, const M: usize> Clone for Coded<'_, N, M> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<N: Numbers, const M: usize> Copy for Coded<'_, N, M> {}

impl<N: Numbers, const M: usize> Columns for Coded<'_, N, M> {
    #[inline(always)]
    fn dim(self) -> usize {
        self.steps.len()
    }

    #[inline(always)]
    fn load<S: Simd>(self, simd: S, d: usize, half: usize) -> S::F32 {
        const HALVES: usize = BLOCK / LANES;
        let number = self.numbers.load(simd, self.blocks[half / HALVES], d, half % HALVES);
        simd.mul_add(simd.splat(self.steps[d]), number, simd.splat(self.bases[d]))
    }
}

/// [`Numbers`] of any kind.
pub(super) trait AnyNumbers: Send + Sync + fmt::Debug {
    /// Returns the least and the largest number.
    fn limits(&self) -> (f32, f32);
    /// Returns the size of a code in bytes.
    fn code_size(&self, dim: usize) -> usize;
    /// Returns the numbers in a byte of a code, or `None` if there is no first pass in bytes.
    fn per_byte(&self) -> Option<usize>;
    /// Returns the layout of codes in lists.
    fn layout(&self, scale: &Scale, has_terms: bool) -> CodeLayout;
    /// Encodes vectors, row after row.
    fn encode(&self, scale: &Scale, rows: Rows<'_, f32>, codes: &mut [u8]);
    /// Decodes a code.
    fn decode(&self, scale: &Scale, code: &[u8], vector: &mut [f32]);
    /// Creates a scanner of lists.
    fn scanner<'a>(&self, bound: &'a BoundSq) -> Box<dyn InvertedListScanner + 'a>;
}

impl<N: Numbers> AnyNumbers for N {
    fn limits(&self) -> (f32, f32) {
        Numbers::limits(*self)
    }

    fn code_size(&self, dim: usize) -> usize {
        Numbers::code_size(*self, dim)
    }

    fn per_byte(&self) -> Option<usize> {
        N::PER_BYTE
    }

    fn layout(&self, scale: &Scale, has_terms: bool) -> CodeLayout {
        Numbers::layout(*self, scale, has_terms)
    }

    fn encode(&self, scale: &Scale, rows: Rows<'_, f32>, codes: &mut [u8]) {
        codes.fill(0);
        for (row, code) in rows.iter().zip(codes.chunks_exact_mut(Numbers::code_size(*self, rows.dim()))) {
            row.iter().enumerate().for_each(|(d, &x)| self.put(code, d, scale.number(d, x)));
        }
    }

    fn decode(&self, scale: &Scale, code: &[u8], vector: &mut [f32]) {
        let (steps, bases) = (scale.steps(), scale.bases());
        for (d, x) in vector.iter_mut().enumerate() {
            *x = steps[d].mul_add(self.get(code, d), bases[d]);
        }
    }

    fn scanner<'a>(&self, bound: &'a BoundSq) -> Box<dyn InvertedListScanner + 'a> {
        struct Make<'a, N>(&'a BoundSq, N);
        impl<'a, N: Numbers> Visitor for Make<'a, N> {
            type Output = Box<dyn InvertedListScanner + 'a>;
            fn visit<D: Distance>(self, distance: D) -> Self::Output {
                Box::new(SqScanner::new(self.0, distance, self.1))
            }
        }
        with_distance(bound.codec.metric(), Make(bound, *self))
    }
}
