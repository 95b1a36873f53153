//! Element types of vector files, and conversions between them.

use half::f16;
use std::fmt;

/// Element type of the vectors in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum VectorType {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// Unsigned bytes.
    U8,
    /// Signed bytes.
    I8,
    /// Signed 32-bit integers.
    I32,
    /// Signed 64-bit integers.
    I64,
}

impl VectorType {
    /// Returns the size of a number in bytes.
    pub fn size(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::F16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::I64 => 8,
        }
    }
}

impl fmt::Display for VectorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::I32 => "i32",
            Self::I64 => "i64",
        })
    }
}

/// A number during its conversion between types. All types except `i64` are exactly representable
/// as `f64`.
#[derive(Clone, Copy, Debug)]
pub enum Number {
    /// A number of a float type.
    Float(f64),
    /// A number of an integer type.
    Int(i64),
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Float(x) => x.fmt(f),
            Self::Int(i) => i.fmt(f),
        }
    }
}

/// Element type of vectors that are read from, or written to, a file.
///
/// ```
/// use ivf_io::vectors::{Number, VectorElement, VectorType};
///
/// // A reader converts the numbers of a file to those of the caller, exactly or not at all.
/// fn convert<S: VectorElement, T: VectorElement>(number: S) -> Option<T> {
///     T::from_number(number.number())
/// }
/// assert_eq!(convert::<u8, f32>(200), Some(200.0));
/// assert_eq!(convert::<i32, u8>(300), None);
/// assert_eq!(convert::<f32, u8>(0.5), None);
/// assert!(matches!(7_i8.number(), Number::Int(7)));
///
/// // A vector of two floats takes 8 bytes of a file.
/// assert_eq!((f32::TYPE, 2 * f32::TYPE.size()), (VectorType::F32, 8));
/// ```
pub trait VectorElement: bytemuck::Pod + Send + Sync + fmt::Debug {
    /// The [`VectorType`] of this type.
    const TYPE: VectorType;

    /// Returns the value as a [`Number`].
    fn number(self) -> Number;

    /// Converts a number to this type, exactly, except that `f16` rounds floats. Returns `None` if
    /// the number does not fit.
    fn from_number(number: Number) -> Option<Self>;
}

macro_rules! integers {
    ($($type:ident $name:ident),*) => {$(
        impl VectorElement for $type {
            const TYPE: VectorType = VectorType::$name;

            #[inline]
            fn number(self) -> Number {
                Number::Int(self.into())
            }

            #[inline]
            fn from_number(number: Number) -> Option<Self> {
                match number {
                    Number::Int(i) => i.try_into().ok(),
                    // Casts saturate. `i64::MAX` is refused, because it equals 2^63 once rounded to
                    // a float, and 2^63 does not fit.
                    Number::Float(x) => Some(x as $type).filter(|&i| i as f64 == x && (i as i128) < i64::MAX as i128),
                }
            }
        }
    )*};
}

integers!(u8 U8, i8 I8, i32 I32, i64 I64);

impl VectorElement for f32 {
    const TYPE: VectorType = VectorType::F32;

    #[inline]
    fn number(self) -> Number {
        Number::Float(self.into())
    }

    #[inline]
    fn from_number(number: Number) -> Option<Self> {
        match number {
            // Exact: `x` was an `f16` or an `f32`.
            Number::Float(x) => Some(x as f32),
            Number::Int(i) => Some(i as f32).filter(|&x| x as i128 == i.into()),
        }
    }
}

impl VectorElement for f16 {
    const TYPE: VectorType = VectorType::F16;

    #[inline]
    fn number(self) -> Number {
        Number::Float(self.into())
    }

    #[inline]
    fn from_number(number: Number) -> Option<Self> {
        match number {
            Number::Float(x) => Some(f16::from_f64(x)).filter(|rounded| rounded.is_finite() || !x.is_finite()),
            Number::Int(i) => Some(f16::from_f64(i as f64)).filter(|&x| x.to_f64() as i128 == i.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to<T: VectorElement>(x: impl VectorElement) -> Option<T> {
        T::from_number(x.number())
    }

    #[test]
    fn what_fits_is_kept_and_what_does_not_is_none() {
        assert_eq!((to::<f32>(200_u8), to::<i64>(-5_i8), to::<u8>(-5_i8)), (Some(200.0), Some(-5), None));
        assert_eq!(
            (to::<u8>(255.0_f32), to::<u8>(0.5_f32), to::<u8>(256.0_f32), to::<i8>(-128.0_f32)),
            (Some(255), None, None, Some(-128))
        );
        assert_eq!(
            (to::<f32>(1_i32 << 24), to::<f32>((1_i32 << 24) + 1), to::<f32>(i64::MAX)),
            (Some(16_777_216.0), None, None)
        );
        assert_eq!((to::<i64>(f32::INFINITY), to::<i64>(9.223_372e18_f32), to::<i64>(f32::NAN)), (None, None, None));
        assert_eq!(
            (to::<i64>(-9.223_372e18_f32), to::<i32>(-2.0_f32.powi(31))),
            (Some(-9_223_372_036_854_775_808), Some(i32::MIN))
        );
        assert_eq!(
            (to::<f16>(0.1_f32), to::<f16>(65_520.0_f32), to::<f16>(2049_i32)),
            (Some(f16::from_f32(0.1)), None, None)
        );
        assert!(to::<f16>(f32::INFINITY).is_some_and(f16::is_infinite) && to::<f32>(f16::NAN).is_some_and(f32::is_nan));
    }
}
