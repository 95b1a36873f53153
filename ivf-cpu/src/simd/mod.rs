//! Instruction sets: one token a level, one trampoline.
//!
//! A kernel is generic, safe code ([`Kernel::run`], `#[inline(always)]`). [`Level::run`] calls it inside a function that is
//! compiled for the level's instruction set, so that the compiler turns its loops over 32 lanes into that set's vectors. Every
//! step of a distance is one fused multiply-add in every level, so the bits of a result never depend on the level.
//!
//! | level | needs | `IVF_SIMD` |
//! |---|---|---|
//! | scalar | nothing; fused multiply-adds may be library calls | `scalar` |
//! | AVX2 | AVX2, FMA | `avx2` |
//! | AVX-512 | AVX-512 F, BW, DQ, VL, and AVX2, FMA | `avx512` |

use std::fmt;
use std::sync::OnceLock;

/// An instruction set that this machine has: made only by detection, so holding one makes [`Level::run`] safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level(Set);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// The environment asks for an instruction set that is unknown or not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLevel(String);

impl fmt::Display for UnknownLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<String> = Level::available().iter().map(Level::to_string).collect();
        write!(f, "this machine has no instruction set '{}'; it has {}", self.0, known.join(", "))
    }
}

impl std::error::Error for UnknownLevel {}

/// Work that [`Level::run`] compiles for an instruction set.
///
/// `run` must be `#[inline(always)]`, and so must what its loops call, or it is compiled for the baseline.
pub trait Kernel {
    /// What it gives back.
    type Output;
    /// The work.
    fn run(self) -> Self::Output;
}

impl Level {
    /// The levels of this machine, the best last.
    pub fn available() -> Vec<Level> {
        #[allow(unused_mut, reason = "there are more on x86-64")]
        let mut levels = vec![Level(Set::Scalar)];
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            if has!("avx2") && has!("fma") {
                levels.push(Level(Set::Avx2));
                if has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl") {
                    levels.push(Level(Set::Avx512));
                }
            }
        }
        levels
    }

    /// The level that `IVF_SIMD` names, or the best of this machine if it is not set. Looked up once.
    ///
    /// # Errors
    /// [`UnknownLevel`] if `IVF_SIMD` names none of this machine's.
    pub fn from_env() -> Result<Level, UnknownLevel> {
        static LEVEL: OnceLock<Result<Level, UnknownLevel>> = OnceLock::new();
        LEVEL
            .get_or_init(|| {
                let levels = Level::available();
                match std::env::var_os("IVF_SIMD") {
                    None => Ok(*levels.last().expect("scalar is always there")),
                    Some(name) => {
                        let name = name.to_string_lossy();
                        let found = levels.into_iter().find(|level| level.to_string() == name);
                        found.ok_or_else(|| UnknownLevel(name.into_owned()))
                    }
                }
            })
            .clone()
    }

    /// [`Level::from_env`] for code that has nowhere to put an error.
    ///
    /// # Panics
    /// If `IVF_SIMD` names an instruction set that this machine does not have.
    pub fn get() -> Level {
        match Level::from_env() {
            Ok(level) => level,
            Err(error) => panic!("IVF_SIMD: {error}"),
        }
    }

    /// Runs a kernel with the level's instruction set.
    #[inline]
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Set::Scalar => kernel.run(),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Level` of this set is made only by `available`, after the CPU said it has AVX2 and FMA.
            Set::Avx2 => unsafe { avx2(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Level` of this set is made only by `available`, after the CPU said it has all these features.
            Set::Avx512 => unsafe { avx512(kernel) },
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Set::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => "avx512",
        })
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
fn avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}
