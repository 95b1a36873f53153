//! The operations that a kernel needs from an instruction set.

use half::{bf16, f16};
use ivf_core::Element;

/// Number of floats in a register as kernels see it, for any width of the hardware: half a block of
/// codes.
pub const LANES: usize = 16;

/// Operations of an instruction set, on registers of 16 floats (or 16 sums of four byte products).
///
/// A value of such a type proves that the machine has the set: only a [`Level`](super::Level) makes
/// them. The exception is [`Scalar`](super::Scalar), which every machine has.
///
/// ```
/// use ivf_cpu::simd::{LANES, Scalar, Simd};
/// let simd = Scalar;
///
/// // Registers of floats: 0, 1, ... 15, and sixteen times 2.
/// let count = simd.load(&std::array::from_fn(|i| i as f32));
/// let two = simd.splat(2.0);
/// let first = |v| simd.to_array(v)[..4].to_vec();
/// assert_eq!(first(simd.sub(count, two)), [-2.0, -1.0, 0.0, 1.0]);
/// assert_eq!(first(simd.abs(simd.sub(count, two))), [2.0, 1.0, 0.0, 1.0]);
/// assert_eq!(first(simd.mul_add(count, two, two)), [2.0, 4.0, 6.0, 8.0]);
/// assert_eq!(first(simd.neg_mul_add(count, two, two)), [2.0, 0.0, -2.0, -4.0]);
/// assert_eq!(simd.at_most(count, 2.0), 0b111);
///
/// // Register `i` holds 16 times `i`. Transposed, every register counts.
/// let columns = simd.transpose(std::array::from_fn(|i| simd.splat(i as f32)));
/// assert_eq!(first(columns[9]), [0.0, 1.0, 2.0, 3.0]);
///
/// // Integers: each lane adds four products of an unsigned and a signed byte.
/// let sums = simd.dot4(simd.load_i32(&[1000; LANES]), [255, 1, 0, 0], &[[-2, 10, 9, 9]; LANES]);
/// assert_eq!(simd.to_array_i32(sums), [1000 - 510 + 10; LANES]);
/// assert_eq!(simd.at_least_i32(sums, 500), 0xffff);
///
/// // The smallest value of each lane so far and its number: 2 and 7, until `count` is smaller.
/// let (least, numbers) = simd.keep_less((two, simd.load_i32(&[7; LANES])), count, 8);
/// assert_eq!(first(least), [0.0, 1.0, 2.0, 2.0]);
/// assert_eq!(simd.to_array_i32(numbers)[..4], [8, 8, 7, 7]);
/// ```
pub trait Simd: Copy + Send + Sync + 'static {
    /// Register of 16 floats.
    type F32: Copy;
    /// Register of 16 integers of 32 bits.
    type I32: Copy;

    /// Number of queries in a tile whose sums stay in registers, over [`HALVES`](Self::HALVES)
    /// halves of a block.
    const TILE: usize;
    /// Number of halves of a block in a tile (1 or 2).
    const HALVES: usize;
    /// True if a fused multiply-add is one instruction, so that extra ones may be spent to save
    /// memory reads.
    const FAST_FMA: bool = true;
    /// True if [`dot4`](Self::dot4) is one instruction, several times as fast as four multiply-adds
    /// of floats.
    const HAS_DOT4: bool;
    /// True if [`lookups_at_most`](Self::lookups_at_most) looks up 64 bytes at once, in registers.
    const HAS_LOOKUP: bool = false;
    /// True if [`half_byte_sums`](Self::half_byte_sums) looks up at least 16 half bytes at once, in
    /// registers.
    const HAS_HALF_BYTES: bool = false;

    /// Returns a register with the same float 16 times.
    fn splat(self, x: f32) -> Self::F32;
    /// Loads 16 floats.
    fn load(self, from: &[f32; LANES]) -> Self::F32;
    /// Loads 16 half-precision floats (`f16`), widened.
    fn load_f16(self, from: &[f16; LANES]) -> Self::F32;
    /// Loads 16 `bf16` floats, widened.
    #[inline(always)]
    fn load_bf16(self, from: &[bf16; LANES]) -> Self::F32 {
        self.load(&from.map(|x| f32::from_bits(u32::from(x.to_bits()) << 16)))
    }
    /// Loads 16 bytes as floats.
    #[inline(always)]
    fn load_u8(self, from: &[u8; LANES]) -> Self::F32 {
        self.load(&from.map(f32::from))
    }
    /// Loads 16 signed bytes as floats.
    #[inline(always)]
    fn load_i8(self, from: &[i8; LANES]) -> Self::F32 {
        self.load(&from.map(f32::from))
    }
    /// Loads 16 words and returns some bits of each as a float: `(word >> shift) & mask`.
    ///
    /// ```
    /// use ivf_cpu::simd::{LANES, Scalar, Simd};
    /// // The second byte of each word, and its upper half.
    /// let words = [0x0000_a705; LANES];
    /// let [byte, half] = [(8, 0xff), (12, 0xf)].map(|(shift, mask)| Scalar.load_bits(&words, shift, mask));
    /// assert_eq!((Scalar.to_array(byte)[0], Scalar.to_array(half)[0]), (167.0, 10.0));
    /// ```
    ///
    /// # Panics
    /// May panic if `shift` exceeds 31. The mask must leave fewer than 24 bits, so that the float
    /// is exact.
    #[inline(always)]
    fn load_bits(self, from: &[u32; LANES], shift: u32, mask: u32) -> Self::F32 {
        self.load(&from.map(|word| (word >> shift & mask) as f32))
    }
    /// Joins 16 floats whose upper and lower bits [`SplitFloats`](crate::kernels::SplitFloats)
    /// keeps separately.
    ///
    /// ```
    /// use half::bf16;
    /// use ivf_cpu::simd::{LANES, Scalar, Simd};
    ///
    /// // 1.5 and -3 fit the upper half, so their lower half is zero.
    /// let upper: [bf16; LANES] = std::array::from_fn(|i| bf16::from_f32(if i == 0 { 1.5 } else { -3.0 }));
    /// assert_eq!(Scalar.to_array(Scalar.join(&upper, &[0; LANES]))[..2], [1.5, -3.0]);
    /// // The lower half counts in units of the last place of a float.
    /// assert_eq!(Scalar.to_array(Scalar.join(&upper, &[1; LANES]))[0], 1.5_f32.next_up());
    /// ```
    #[inline(always)]
    fn join(self, upper: &[bf16; LANES], lower: &[u16; LANES]) -> Self::F32 {
        self.load(&std::array::from_fn(|i| join(upper[i], lower[i])))
    }
    /// Returns the lanes in order.
    fn to_array(self, v: Self::F32) -> [f32; LANES];
    /// Transposes 16 registers: lane `i` of register `j` becomes lane `j` of register `i`.
    #[inline(always)]
    fn transpose(self, rows: [Self::F32; LANES]) -> [Self::F32; LANES] {
        let rows = rows.map(|row| self.to_array(row));
        std::array::from_fn(|i| self.load(&std::array::from_fn(|j| rows[j][i])))
    }
    /// Returns the absolute values of the lanes.
    fn abs(self, v: Self::F32) -> Self::F32;
    /// Returns `a - b`.
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// Returns `a * b + c`, rounded once.
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// Returns `c - a * b`, rounded once.
    fn neg_mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// Returns a bit mask of the lanes that are `<= threshold`. The bit of a NaN is not set.
    fn at_most(self, v: Self::F32, threshold: f32) -> u32;

    /// Loads 16 integers.
    fn load_i32(self, from: &[i32; LANES]) -> Self::I32;
    /// Returns the lanes in order.
    fn to_array_i32(self, v: Self::I32) -> [i32; LANES];
    /// Adds four products to lane `i` of `sum`: the (unsigned) bytes of `a` times the bytes `b[i]`.
    fn dot4(self, sum: Self::I32, a: [u8; 4], b: &[[i8; 4]; LANES]) -> Self::I32;
    /// Adds four products to lane `i` of `sum`: the (unsigned) bytes `a[i]` times the bytes of `b`.
    ///
    /// ```
    /// use ivf_cpu::simd::{LANES, Scalar, Simd};
    /// let sums = Scalar.dot4_signed(Scalar.load_i32(&[7; LANES]), &[[255, 1, 0, 0]; LANES], [-2, 10, 9, 9]);
    /// assert_eq!(Scalar.to_array_i32(sums), [7 - 510 + 10; LANES]);
    /// ```
    #[inline(always)]
    fn dot4_signed(self, sum: Self::I32, a: &[[u8; 4]; LANES], b: [i8; 4]) -> Self::I32 {
        let mut sums = self.to_array_i32(sum);
        for (sum, a) in sums.iter_mut().zip(a) {
            let products = a.iter().zip(b).map(|(&a, b)| i32::from(a) * i32::from(b));
            *sum = sum.wrapping_add(products.sum());
        }
        self.load_i32(&sums)
    }

    /// Returns the lower halves of bytes, and the upper halves.
    ///
    /// ```
    /// use ivf_cpu::simd::{LANES, Scalar, Simd};
    /// let halves = Scalar.half_bytes(&[[0x21, 0x43, 0x65, 0x87]; LANES]);
    /// assert_eq!(halves, [[[1, 3, 5, 7]; LANES], [[2, 4, 6, 8]; LANES]]);
    /// ```
    #[inline(always)]
    fn half_bytes(self, bytes: &[[u8; 4]; LANES]) -> [[[u8; 4]; LANES]; 2] {
        let mut halves = [*bytes; 2];
        let [low, high] = &mut halves;
        low.as_flattened_mut().iter_mut().for_each(|byte| *byte &= 15);
        high.as_flattened_mut().iter_mut().for_each(|byte| *byte >>= 4);
        halves
    }
    /// Returns the lanes as floats, rounded to the nearest.
    ///
    /// ```
    /// use ivf_cpu::simd::{LANES, Scalar, Simd};
    /// let floats = Scalar.floats_of(Scalar.load_i32(&[-(1 << 25) - 1; LANES]));
    /// assert_eq!(Scalar.to_array(floats), [-33_554_432.0; LANES]);
    /// ```
    #[inline(always)]
    fn floats_of(self, v: Self::I32) -> Self::F32 {
        self.load(&self.to_array_i32(v).map(|x| x as f32))
    }
    /// Returns a bit mask of the lanes that are `>= threshold`.
    fn at_least_i32(self, v: Self::I32, threshold: i32) -> u32;
    /// Updates the best value of each lane and its number. Where `found` is less, `found` and
    /// `number` replace them.
    fn keep_less(self, best: (Self::F32, Self::I32), found: Self::F32, number: i32) -> (Self::F32, Self::I32);
    /// Returns a bit mask for each of `B` blocks: the codes, of 64, whose sum is at most `limit`.
    /// The sum of a code adds one entry of each table, selected by the code's byte. There is one
    /// table for each subquantizer, and `blocks` hold the bytes of 64 codes for each subquantizer.
    /// Sums wrap at 16 bits.
    ///
    /// ```
    /// use ivf_cpu::simd::{Scalar, Simd};
    ///
    /// // Two subquantizers, whose tables hold the byte itself and twice the byte.
    /// let mut tables = [[0; 256]; 2];
    /// for byte in 0..100 {
    ///     (tables[0][byte], tables[1][byte]) = (byte as u8, 2 * byte as u8);
    /// }
    /// // Code `i` of the block is (i, 1), so its sum is i + 2.
    /// let block = [std::array::from_fn(|i| i as u8), [1; 64]];
    /// assert_eq!(Scalar.lookups_at_most(&tables, [&block[..]], 5), [0b1111]);
    /// ```
    ///
    /// # Panics
    /// If a block does not have as many subquantizers as there are tables.
    #[inline(always)]
    fn lookups_at_most<const B: usize>(self, tables: &[[u8; 256]], blocks: [&[[u8; 64]]; B], limit: u16) -> [u64; B] {
        blocks.map(|block| {
            assert!(block.len() == tables.len(), "one table for each subquantizer");
            let mut sums = [0_u16; 64];
            for (table, codes) in tables.iter().zip(block) {
                sums.iter_mut()
                    .zip(codes)
                    .for_each(|(sum, &code)| *sum = sum.wrapping_add(table[usize::from(code)].into()));
            }
            sums.iter().rev().fold(0, |bits, &sum| bits << 1 | u64::from(sum <= limit))
        })
    }
    /// Returns for each of `B` blocks the sums of 64 codes of half bytes. The sum of a code adds
    /// one entry of each table, selected by the code's half byte for that table. A byte of a block
    /// holds the half bytes of two tables, the lower bits those of the first.
    ///
    /// With `PAIRED`, the sum of the two entries that a byte selects stops at 255. That takes fewer
    /// instructions. In both forms, sums stop at 65,535.
    ///
    /// ```
    /// use ivf_cpu::simd::{Scalar, Simd};
    ///
    /// // Two tables, which hold the half byte itself and ten times as much.
    /// let tables = [std::array::from_fn(|i| i as u8), std::array::from_fn(|i| 10 * i as u8)];
    /// // Code `i` of the block is (i % 16, 3): one byte for both tables.
    /// let block = [std::array::from_fn(|i| i as u8 % 16 | 3 << 4)];
    /// let [sums] = Scalar.half_byte_sums::<false, 1>(&tables, [&block[..]]);
    /// assert_eq!((sums[0], sums[9], sums[63]), (30, 39, 45));
    /// let [paired] = Scalar.half_byte_sums::<true, 1>(&[[200; 16], [100; 16]], [&block[..]]);
    /// assert_eq!(paired, [255; 64]);
    /// assert_eq!(Scalar.at_most_u16(&sums, 31), 0b11 | 0b11 << 16 | 0b11 << 32 | 0b11 << 48);
    /// ```
    ///
    /// # Panics
    /// If a block does not have one byte for two tables.
    #[inline(always)]
    fn half_byte_sums<const PAIRED: bool, const B: usize>(
        self,
        tables: &[[u8; 16]],
        blocks: [&[[u8; 64]]; B],
    ) -> [[u16; 64]; B] {
        let (pairs, rest) = tables.as_chunks::<2>();
        assert!(rest.is_empty(), "pairs of tables");
        blocks.map(|block| {
            assert!(block.len() == pairs.len(), "a byte for two tables");
            let mut sums = [0_u16; 64];
            for ([first, second], codes) in pairs.iter().zip(block) {
                for (sum, &code) in sums.iter_mut().zip(codes) {
                    let [a, b] = [first[usize::from(code & 15)], second[usize::from(code >> 4)]];
                    let pair = if PAIRED { a.saturating_add(b).into() } else { u16::from(a) + u16::from(b) };
                    *sum = sum.saturating_add(pair);
                }
            }
            sums
        })
    }
    /// Returns for each of `B` blocks a bit mask of the codes whose sum, as in a paired
    /// [`half_byte_sums`](Self::half_byte_sums), is at most `limit`.
    ///
    /// ```
    /// use ivf_cpu::simd::{Scalar, Simd};
    /// let tables = [std::array::from_fn(|i| i as u8), [1; 16]];
    /// let block = [std::array::from_fn(|i| i as u8 % 16)];
    /// assert_eq!(Scalar.half_bytes_at_most(&tables, [&block[..]], 2), [0b11 * 0x1_0001_0001_0001]);
    /// ```
    ///
    /// # Panics
    /// If a block does not have one byte for two tables.
    #[inline(always)]
    fn half_bytes_at_most<const B: usize>(self, tables: &[[u8; 16]], blocks: [&[[u8; 64]]; B], limit: u16) -> [u64; B] {
        blocks.map(|block| {
            let [sums] = self.half_byte_sums::<true, 1>(tables, [block]);
            self.at_most_u16(&sums, limit)
        })
    }
    /// Looks up the lower halves of 16 bytes in one table of 16 floats, and the upper halves in
    /// another one.
    ///
    /// ```
    /// use ivf_cpu::simd::{LANES, Scalar, Simd};
    /// let halves = std::array::from_fn(|i| i as f32 / 2.0);
    /// let tens = std::array::from_fn(|i| i as f32 * 10.0);
    /// let [lower, upper] = Scalar.lookup_half_bytes([&halves, &tens], &[0x2f; LANES]);
    /// assert_eq!((Scalar.to_array(lower)[0], Scalar.to_array(upper)[0]), (7.5, 20.0));
    /// ```
    #[inline(always)]
    fn lookup_half_bytes(self, [lower, upper]: [&[f32; LANES]; 2], bytes: &[u8; LANES]) -> [Self::F32; 2] {
        let (mut found, mut found_upper) = ([0.0; LANES], [0.0; LANES]);
        for (i, byte) in bytes.iter().enumerate() {
            found[i] = lower[usize::from(byte & 15)];
            found_upper[i] = upper[usize::from(byte >> 4)];
        }
        [self.load(&found), self.load(&found_upper)]
    }
    /// Returns `a + b`.
    ///
    /// ```
    /// use ivf_cpu::simd::{LANES, Scalar, Simd};
    /// let sum = Scalar.add(Scalar.splat(1.0), Scalar.splat(0.5));
    /// assert_eq!(Scalar.to_array(sum), [1.5; LANES]);
    /// ```
    #[inline(always)]
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        self.mul_add(self.splat(1.0), a, b)
    }
    /// Returns the larger lanes. For a NaN, either lane.
    ///
    /// ```
    /// use ivf_cpu::simd::{LANES, Scalar, Simd};
    /// let larger = Scalar.max(Scalar.splat(1.0), Scalar.splat(0.5));
    /// assert_eq!(Scalar.to_array(larger), [1.0; LANES]);
    /// ```
    #[inline(always)]
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        let (a, b) = (self.to_array(a), self.to_array(b));
        self.load(&std::array::from_fn(|i| a[i].max(b[i])))
    }
    /// Adds the lanes of `v` whose bits are set to those of `sum`. Other lanes keep their sums.
    ///
    /// ```
    /// use ivf_cpu::simd::{Scalar, Simd};
    /// let sum = Scalar.add_where(Scalar.splat(1.0), 0b101, Scalar.splat(5.0));
    /// assert_eq!(Scalar.to_array(sum)[..4], [6.0, 1.0, 6.0, 1.0]);
    /// ```
    #[inline(always)]
    fn add_where(self, sum: Self::F32, bits: u16, v: Self::F32) -> Self::F32 {
        let (sums, v) = (self.to_array(sum), self.to_array(v));
        self.load(&std::array::from_fn(|i| if bits >> i & 1 == 1 { sums[i] + v[i] } else { sums[i] }))
    }
    /// Returns a bit mask of the numbers that are at most `limit`.
    #[inline(always)]
    fn at_most_u16(self, numbers: &[u16; 64], limit: u16) -> u64 {
        numbers.iter().rev().fold(0, |bits, &number| bits << 1 | u64::from(number <= limit))
    }
    /// Loads 16 integers of 16 bits as floats.
    ///
    /// ```
    /// use ivf_cpu::simd::{LANES, Scalar, Simd};
    /// assert_eq!(Scalar.to_array(Scalar.load_u16(&[u16::MAX; LANES])), [65_535.0; LANES]);
    /// ```
    #[inline(always)]
    fn load_u16(self, from: &[u16; LANES]) -> Self::F32 {
        self.load(&from.map(f32::from))
    }
    /// Prefetches the cache lines of `data`, which will be read soon.
    ///
    /// ```
    /// use ivf_cpu::simd::{Scalar, Simd};
    ///
    /// /// Returns the sums of blocks. The next block is on its way while one is summed.
    /// fn sums<S: Simd>(simd: S, blocks: &[&[f32]]) -> Vec<f32> {
    ///     let sum = |(i, block): (usize, &&[f32])| {
    ///         if let Some(next) = blocks.get(i + 1) {
    ///             simd.prefetch(next);
    ///         }
    ///         block.iter().sum()
    ///     };
    ///     blocks.iter().enumerate().map(sum).collect()
    /// }
    /// assert_eq!(sums(Scalar, &[&[1.0, 2.0], &[3.0]]), [3.0, 3.0]);
    /// ```
    fn prefetch<T>(self, data: &[T]);
}

/// Returns the float of a rounded upper half and the difference in its lower half, for any bits.
#[inline(always)]
pub(crate) fn join(upper: bf16, lower: u16) -> f32 {
    f32::from_bits((u32::from(upper.to_bits()) << 16).wrapping_add_signed(i32::from(lower as i16)))
}

/// Element type that loads into a register of floats.
///
/// ```
/// use half::{bf16, f16};
/// use ivf_cpu::simd::{LANES, Lane, Scalar, Simd};
///
/// /// Returns the sum of 16 numbers of any type that loads as floats.
/// fn sum<T: Lane>(numbers: [T; LANES]) -> f32 {
///     Scalar.to_array(T::load(Scalar, &numbers)).iter().sum()
/// }
/// assert_eq!((sum([2_u8; LANES]), sum([-2_i8; LANES])), (32.0, -32.0));
/// assert_eq!((sum([f16::ONE; LANES]), sum([bf16::ONE; LANES])), (16.0, 16.0));
///
/// // An instruction set has a load of its own for each of them.
/// let (bytes, signed) = (Scalar.load_u8(&[1; LANES]), Scalar.load_i8(&[1; LANES]));
/// let (half, brain) = (Scalar.load_f16(&[f16::ONE; LANES]), Scalar.load_bf16(&[bf16::ONE; LANES]));
/// for register in [bytes, signed, half, brain] {
///     assert_eq!(Scalar.to_array(register), [1.0; LANES]);
/// }
/// ```
pub trait Lane: Element {
    /// Loads 16 elements, each as its exact value.
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
