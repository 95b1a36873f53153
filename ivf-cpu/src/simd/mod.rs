//! Instruction sets: one token for each level, and one trampoline that runs kernels.
//!
//! A kernel is generic, safe code ([`Kernel::run`], `#[inline(always)]`) over the few operations
//! that a [`Simd`] offers, on registers of 16 floats. [`Level::run`] calls it inside a function
//! that is compiled for the level's instruction set. Every step of a distance is one fused
//! multiply-add in every level, so results are bit-identical on all levels.
//!
//! | level | needs | `IVF_SIMD` |
//! |---|---|---|
//! | scalar | nothing; fused multiply-adds may be library calls | `scalar` |
//! | NEON | any 64-bit ARM | `neon` |
//! | AVX2 | AVX2, FMA, F16C | `avx2` |
//! | AVX-512 | AVX-512 F, BW, DQ, VL, and the ones above | `avx512` |
//! | AVX-512 VNNI | AVX-512 VNNI, VBMI, BF16, VPOPCNTDQ, and the ones above (Zen 4, Sapphire Rapids and later) | `avx512vnni` |
//!
//! A new level needs a file with its [`Simd`], a row in `SETS`, and an arm in [`Level::run`].

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
mod set_bits;
mod vector;

pub use scalar::Scalar;
pub use set_bits::Lanes;
pub(crate) use vector::join;
pub use vector::{LANES, Lane, Simd};

use ivf_core::error::BuildError;
use std::ffi::OsStr;
use std::fmt;
use std::sync::OnceLock;

/// Maximum number of bytes whose sums always fit 16 bits.
#[cfg(target_arch = "x86_64")]
const WITHIN_16_BITS: usize = 257;

/// Instruction set that this machine has. Only detection makes such a value, so [`Level::run`] is
/// safe.
///
/// ```
/// use ivf_cpu::simd::{Level, check};
///
/// // Every machine has the level `scalar`, and lists its best level last.
/// let levels = Level::available();
/// assert_eq!(levels[0].to_string(), "scalar");
/// # if std::env::var_os("IVF_SIMD").is_none() {
/// assert_eq!(Some(&Level::get()), levels.last());
/// # }
///
/// // A name in `IVF_SIMD` that this machine does not know is an error here, and ignored by `get`.
/// assert_eq!(check().is_ok(), Level::from_env() == Ok(Level::get()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level(Set);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    Scalar,
    #[cfg(target_arch = "aarch64")]
    Neon,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
}

/// Instruction set, its name, and a check whether this machine has it. Each set needs all sets
/// above it.
struct Row(Set, &'static str, fn() -> bool);

#[cfg(target_arch = "x86_64")]
const SETS: &[Row] = {
    use std::arch::is_x86_feature_detected as has;
    &[
        Row(Set::Scalar, "scalar", || true),
        Row(Set::Avx2, "avx2", || has!("avx2") && has!("fma") && has!("f16c")),
        Row(Set::Avx512, "avx512", || has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl")),
        Row(Set::Avx512Vnni, "avx512vnni", || {
            has!("avx512vnni") && has!("avx512vbmi") && has!("avx512bf16") && has!("avx512vpopcntdq")
        }),
    ]
};
#[cfg(target_arch = "aarch64")]
const SETS: &[Row] = &[Row(Set::Scalar, "scalar", || true), Row(Set::Neon, "neon", || true)];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const SETS: &[Row] = &[Row(Set::Scalar, "scalar", || true)];

/// Error for an `IVF_SIMD` that names an instruction set that is unknown or that this machine
/// lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLevel(String);

impl fmt::Display for UnknownLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<String> = Level::available().iter().map(Level::to_string).collect();
        write!(f, "this machine has no instruction set '{}'; it has {}", self.0.escape_debug(), known.join(", "))
    }
}

impl std::error::Error for UnknownLevel {}

/// Work that [`Level::run`] compiles for an instruction set.
///
/// `run` must be `#[inline(always)]`, and so must every function that its loops call. Otherwise
/// they are compiled for the baseline.
///
/// ```
/// use ivf_cpu::simd::{Kernel, LANES, Level, Simd};
///
/// /// Returns which of 16 numbers, in order, are within 1 of a number.
/// struct Near<'a>(&'a [f32; LANES], f32);
///
/// impl Kernel for Near<'_> {
///     type Output = u32;
///     const BYTES: bool = false;
///
///     #[inline(always)]
///     fn run<S: Simd>(self, simd: S) -> u32 {
///         let away = simd.abs(simd.sub(simd.load(self.0), simd.splat(self.1)));
///         simd.at_most(away, 1.0)
///     }
/// }
///
/// // An index runs kernels on the best level, or on the one that `IVF_SIMD` names. A test runs
/// // them on all levels.
/// let numbers = std::array::from_fn(|i| i as f32);
/// for level in Level::available() {
///     assert_eq!(level.run(Near(&numbers, 3.0)), 0b11100, "{level}");
/// }
/// ```
pub trait Kernel {
    /// Type of the result.
    type Output;

    /// Whether the kernel uses products or lookups of bytes. A kernel without them is compiled once
    /// for both forms of AVX-512, with VNNI and without.
    const BYTES: bool = true;

    /// Does the work with the operations of an instruction set.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

impl Level {
    /// Returns the levels of this machine, the best last.
    pub fn available() -> Vec<Level> {
        SETS.iter().take_while(|row| row.2()).map(|row| Level(row.0)).collect()
    }

    /// Returns the level that `IVF_SIMD` names, or the best level of this machine if it is not set.
    /// The variable is read only once.
    ///
    /// # Errors
    /// [`UnknownLevel`] if `IVF_SIMD` names no level of this machine.
    pub fn from_env() -> Result<Level, UnknownLevel> {
        looked_up().clone()
    }

    /// Returns [`Level::from_env`], or the best level of this machine if `IVF_SIMD` names none of
    /// its levels. It serves code that cannot return an error. ([`check`] has reported the error by
    /// then: an index calls it when it is made or read.)
    pub fn get() -> Level {
        looked_up().as_ref().copied().unwrap_or_else(|_| best())
    }

    /// Runs a kernel with the level's instruction set.
    #[inline]
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Set::Scalar => kernel.run(Scalar),
            #[cfg(target_arch = "aarch64")]
            Set::Neon => kernel.run(neon::Neon::new()),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: only `available` makes this level, after the CPU reported its features.
            Set::Avx2 => unsafe { avx2::call(kernel) },
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Vnni if const { K::BYTES } => {
                // SAFETY: only `available` makes this level, after the CPU reported its features.
                unsafe { avx512::call_vnni(kernel) }
            }
            #[cfg(target_arch = "x86_64")]
            // SAFETY: only `available` makes this level, after the CPU reported its features.
            Set::Avx512 | Set::Avx512Vnni => unsafe { avx512::call(kernel) },
        }
    }
}

fn looked_up() -> &'static Result<Level, UnknownLevel> {
    static LEVEL: OnceLock<Result<Level, UnknownLevel>> = OnceLock::new();
    LEVEL.get_or_init(|| named(std::env::var_os("IVF_SIMD").as_deref()))
}

/// The level of this name, or the best of this machine if none is named.
fn named(name: Option<&OsStr>) -> Result<Level, UnknownLevel> {
    let Some(name) = name else { return Ok(best()) };
    let name = name.to_string_lossy();
    let found = Level::available().into_iter().find(|level| level.to_string() == name);
    found.ok_or_else(|| UnknownLevel(name.into_owned()))
}

fn best() -> Level {
    *Level::available().last().expect("scalar is always there")
}

/// Checks that this machine has the instruction set that `IVF_SIMD` names. An index calls it when
/// it is made or read, and training calls it when it begins. Scans and kernels then run on
/// [`Level::get`].
///
/// # Errors
/// [`BuildError::Environment`] if `IVF_SIMD` names no instruction set of this machine.
pub fn check() -> Result<(), BuildError> {
    Level::from_env().map(|_| ()).map_err(|error| BuildError::Environment(format!("IVF_SIMD: {error}")))
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = SETS.iter().find(|row| row.0 == self.0).expect("every set has a row");
        f.write_str(row.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With `IVF_REQUIRE_SIMD=avx512vnni`, this fails on a machine without that level, which the
    /// tests of all levels would skip.
    #[test]
    fn the_required_level_is_there() {
        let names: Vec<String> = Level::available().iter().map(Level::to_string).collect();
        if let Ok(required) = std::env::var("IVF_REQUIRE_SIMD") {
            assert!(names.contains(&required), "{required} is not among {}", names.join(", "));
        }
    }

    /// Results of the lookups of half bytes and of the operations around them.
    #[derive(Debug, PartialEq)]
    struct HalfBytes {
        exact: [[u16; 64]; 3],
        sums: [[u16; 64]; 3],
        near: [u64; 3],
        found: [[f32; LANES]; 2],
        added: [f32; LANES],
        loaded: [f32; LANES],
    }

    struct LookUp<'a> {
        tables: &'a [[u8; 16]],
        blocks: [&'a [[u8; 64]]; 3],
        limit: u16,
    }

    impl Kernel for LookUp<'_> {
        type Output = HalfBytes;

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> HalfBytes {
            let Self { tables, blocks, limit } = self;
            let exact = simd.half_byte_sums::<false, 3>(tables, blocks);
            let sums = simd.half_byte_sums::<true, 3>(tables, blocks);
            let near = simd.half_bytes_at_most(tables, blocks, limit);
            assert_eq!(near, sums.map(|sums| simd.at_most_u16(&sums, limit)));
            let numbers = blocks[0][0].as_chunks::<LANES>().0[1];
            let table = std::array::from_fn(|i| i as f32 - 7.5);
            let other = std::array::from_fn(|i| 100.0 - i as f32);
            let [found, upper] = simd.lookup_half_bytes([&table, &other], &numbers);
            let added = simd.add_where(simd.splat(1.0), limit, simd.add(found, found));
            let loaded = simd.load_u16(&sums[2].as_chunks::<LANES>().0[3]);
            HalfBytes {
                exact,
                sums,
                near,
                found: [simd.to_array(found), simd.to_array(upper)],
                added: simd.to_array(added),
                loaded: simd.to_array(loaded),
            }
        }
    }

    #[test]
    fn every_level_looks_up_half_bytes_as_the_scalar_one() {
        // Fewer tables than sums of 16 bits allow, and more.
        for pairs in [1, 2, 13, 128, 129, 257, 258, 400] {
            let byte = |i: usize| (i.wrapping_mul(2_654_435_761) >> 13) as u8;
            let tables: Vec<[u8; 16]> = (0..2 * pairs)
                .map(|m| std::array::from_fn(|i| byte(m * 16 + i) | if m % 3 == 0 { 0x80 } else { 0 }))
                .collect();
            let blocks: Vec<Vec<[u8; 64]>> = (0..3)
                .map(|b| (0..pairs).map(|j| std::array::from_fn(|i| byte(b * 7 + j * 64 + i + 5))).collect())
                .collect();
            let blocks = [&blocks[0][..], &blocks[1][..], &blocks[2][..]];
            for limit in [0, 100, 130 * pairs as u16, 40_000, u16::MAX] {
                let expected = Level(Set::Scalar).run(LookUp { tables: &tables, blocks, limit });
                for level in Level::available() {
                    let found = level.run(LookUp { tables: &tables, blocks, limit });
                    assert_eq!(found, expected, "{level}, {pairs} pairs of tables, {limit}");
                }
            }
            // The largest sums, which exceed 16 bits from 258 pairs on, or from 129 if each entry
            // is added on its own.
            let tables = vec![[255; 16]; 2 * pairs];
            for level in Level::available() {
                let found = level.run(LookUp { tables: &tables, blocks, limit: u16::MAX });
                let most = |of_pair: usize| [[(of_pair * pairs).min(65_535) as u16; 64]; 3];
                assert_eq!((found.sums, found.exact), (most(255), most(510)), "{level}, {pairs} pairs of tables");
            }
        }
    }

    #[test]
    fn a_level_is_found_by_its_name_and_no_other_name_passes() {
        assert_eq!(named(None), Ok(best()));
        for level in Level::available() {
            assert_eq!(named(Some(level.to_string().as_ref())), Ok(level));
        }
        for unknown in ["mmx", "", "Scalar", "avx2\n"] {
            let error = named(Some(unknown.as_ref())).unwrap_err().to_string();
            assert!(error.contains(&unknown.escape_debug().to_string()) && error.contains("it has scalar"), "{error}");
        }
        assert!(Level::available().contains(&Level::get()));
        assert_eq!(check().is_ok(), Level::from_env().is_ok());
    }

    /// Bits of words as floats, and sums of products of bytes.
    struct OfWords<'a>(&'a [u32; LANES], u32, u32, [i8; 4]);

    impl Kernel for OfWords<'_> {
        type Output = ([[f32; LANES]; 3], [i32; LANES]);

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Self::Output {
            let Self(words, shift, mask, bytes) = self;
            let sums = simd.dot4_signed(simd.load_i32(&[-9; LANES]), bytemuck::must_cast_ref(words), bytes);
            let bits = simd.load_bits(words, shift, mask);
            let whole = simd.floats_of(simd.load_i32(&words.map(|word| word as i32)));
            let largest = simd.max(bits, simd.floats_of(sums));
            ([bits, whole, largest].map(|floats| simd.to_array(floats)), simd.to_array_i32(sums))
        }
    }

    #[test]
    fn every_level_takes_the_same_numbers_out_of_words() {
        let words = std::array::from_fn(|i| (i as u32 + 1).wrapping_mul(2_654_435_761));
        for (shift, mask) in [(0, 0xff), (8, 0x3f), (28, 0xf), (31, 0x3f), (5, 0), (9, 0x7f_ffff)] {
            for bytes in [[0; 4], [-128; 4], [127; 4], [1, -2, 3, -100]] {
                let expected = Level(Set::Scalar).run(OfWords(&words, shift, mask, bytes));
                assert_eq!(expected.0[0][3], (words[3] >> shift & mask) as f32);
                assert_eq!(expected.0[1][3], words[3] as i32 as f32);
                for level in Level::available() {
                    assert_eq!(level.run(OfWords(&words, shift, mask, bytes)), expected, "{level}");
                }
            }
        }
    }
}
