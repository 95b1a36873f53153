//! The numbers that vector files hold, and how one becomes another.

use half::f16;
use std::fmt;

/// The type of the numbers in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum VectorType {
    /// Floats of 32 bits.
    F32,
    /// Floats of 16 bits.
    F16,
    /// Bytes.
    U8,
    /// Signed bytes.
    I8,
    /// Integers of 32 bits.
    I32,
    /// Integers of 64 bits.
    I64,
}

impl VectorType {
    /// Bytes of a number.
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

/// A number on its way from one type to another. Every type but `i64` fits the floats exactly.
#[derive(Clone, Copy, Debug)]
pub enum Number {
    /// Of a float type.
    Float(f64),
    /// Of an integer type.
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

/// What a vector in a file may be made of.
pub trait VectorElement: bytemuck::Pod + Send + Sync + fmt::Debug {
    /// Its name.
    const TYPE: VectorType;

    /// The number.
    fn number(self) -> Number;

    /// The number in this type, exactly; only `f16` rounds what is a float. `None` if it does not fit.
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
                    // Casts saturate, and -2^63 is the only end of a type that is a float and a number of it.
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
            // From `f16`, or from itself.
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
