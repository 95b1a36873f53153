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
    /// 64-bit floats.
    F64,
    /// Unsigned bytes.
    U8,
    /// Signed bytes.
    I8,
    /// Unsigned 16-bit integers.
    U16,
    /// Signed 16-bit integers.
    I16,
    /// Unsigned 32-bit integers.
    U32,
    /// Signed 32-bit integers.
    I32,
    /// Unsigned 64-bit integers.
    U64,
    /// Signed 64-bit integers.
    I64,
}

/// Evaluates an expression that uses the type of a [`VectorType`], under a name of the caller's.
macro_rules! with_element {
    ($element:expr, $type:ident => $body:expr) => {
        match $element {
            VectorType::F32 => {
                type $type = f32;
                $body
            }
            VectorType::F16 => {
                type $type = half::f16;
                $body
            }
            VectorType::F64 => {
                type $type = f64;
                $body
            }
            VectorType::U8 => {
                type $type = u8;
                $body
            }
            VectorType::I8 => {
                type $type = i8;
                $body
            }
            VectorType::U16 => {
                type $type = u16;
                $body
            }
            VectorType::I16 => {
                type $type = i16;
                $body
            }
            VectorType::U32 => {
                type $type = u32;
                $body
            }
            VectorType::I32 => {
                type $type = i32;
                $body
            }
            VectorType::U64 => {
                type $type = u64;
                $body
            }
            VectorType::I64 => {
                type $type = i64;
                $body
            }
        }
    };
}
pub(super) use with_element;

impl VectorType {
    /// Returns the size of a number in bytes.
    pub fn size(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::F16 | Self::U16 | Self::I16 => 2,
            Self::F32 | Self::U32 | Self::I32 => 4,
            Self::F64 | Self::U64 | Self::I64 => 8,
        }
    }
}

impl fmt::Display for VectorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::F64 => "f64",
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::U64 => "u64",
            Self::I64 => "i64",
        })
    }
}

/// A number during its conversion between types. All floats are exactly representable as `f64`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Number {
    /// A number of a float type.
    Float(f64),
    /// A number of an integer type.
    Int(i64),
    /// An integer above `i64::MAX`.
    Large(u64),
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Large and small numbers would have hundreds of digits.
            Self::Float(x) if *x != 0.0 && !(1e-5..1e16).contains(&x.abs()) => write!(f, "{x:e}"),
            Self::Float(x) => x.fmt(f),
            Self::Int(i) => i.fmt(f),
            Self::Large(n) => n.fmt(f),
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

    /// Converts a number to this type, exactly, except that floats are rounded to a smaller float
    /// type. Returns `None` if the number does not fit. A finite float does not fit if it would
    /// become an infinity.
    fn from_number(number: Number) -> Option<Self>;
}

macro_rules! integers {
    ($($type:ident $name:ident),*) => {$(
        impl VectorElement for $type {
            const TYPE: VectorType = VectorType::$name;

            #[inline]
            fn number(self) -> Number {
                // Only a `u64` can be too large for an `i64`.
                i64::try_from(self).map_or_else(|_| Number::Large(self as u64), Number::Int)
            }

            #[inline]
            fn from_number(number: Number) -> Option<Self> {
                match number {
                    Number::Int(i) => i.try_into().ok(),
                    Number::Large(n) => n.try_into().ok(),
                    // Casts saturate. The maximum of a 64-bit type is refused: rounded to a float,
                    // it equals 2^63 or 2^64, which does not fit.
                    Number::Float(x) => {
                        Some(x as $type).filter(|&i| i as f64 == x && (size_of::<$type>() < 8 || i != $type::MAX))
                    }
                }
            }
        }
    )*};
}

integers!(u8 U8, i8 I8, u16 U16, i16 I16, u32 U32, i32 I32, u64 U64, i64 I64);

macro_rules! floats {
    ($($type:ident $name:ident $round:expr),*) => {$(
        impl VectorElement for $type {
            const TYPE: VectorType = VectorType::$name;

            #[inline]
            fn number(self) -> Number {
                Number::Float(self.into())
            }

            #[inline]
            fn from_number(number: Number) -> Option<Self> {
                let round: fn(f64) -> $type = $round;
                match number {
                    Number::Float(x) => Some(round(x)).filter(|rounded| rounded.is_finite() || !x.is_finite()),
                    // `i as f64` may round; the comparison with the integer notices it.
                    Number::Int(i) => Some(round(i as f64)).filter(|&x| f64::from(x) as i128 == i.into()),
                    Number::Large(n) => Some(round(n as f64)).filter(|&x| f64::from(x) as i128 == n.into()),
                }
            }
        }
    )*};
}

floats!(f32 F32 |x| x as f32, f16 F16 f16::from_f64, f64 F64 |x| x);

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
        assert_eq!(
            (to::<f32>(0.1_f64), to::<f32>(1e300_f64), to::<f64>(0.1_f32), to::<f32>(f64::NEG_INFINITY)),
            (Some(0.1), None, Some(f64::from(0.1_f32)), Some(f32::NEG_INFINITY))
        );
        assert_eq!(
            (to::<i64>(u64::MAX), to::<u64>(u64::MAX), to::<f64>(u64::MAX), to::<f64>(1_u64 << 63), to::<u8>(u64::MAX)),
            (None, Some(u64::MAX), None, Some(9_223_372_036_854_775_808.0), None)
        );
        assert_eq!(
            (
                to::<u64>(18_446_744_073_709_551_615.0_f64),
                to::<u64>(-1.0_f64),
                to::<u64>(9_223_372_036_854_775_808.0_f64)
            ),
            (None, None, Some(1 << 63))
        );
        assert_eq!(
            (
                to::<u16>(65_535.0_f32),
                to::<u16>(65_536.0_f32),
                to::<i16>(u16::MAX),
                to::<u32>(-1_i16),
                to::<u32>(u32::MAX)
            ),
            (Some(u16::MAX), None, None, None, Some(u32::MAX))
        );
        assert!(to::<f16>(f32::INFINITY).is_some_and(f16::is_infinite) && to::<f32>(f16::NAN).is_some_and(f32::is_nan));
    }
}
