//! Element types: the types that one coordinate of a vector may have.

use bytemuck::Pod;
use half::{bf16, f16};
use num_traits::AsPrimitive;

/// The element type of a vector, known at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub enum ElementType {
    /// IEEE 754 single precision, 4 bytes.
    F32,
    /// IEEE 754 half precision, 2 bytes.
    F16,
    /// The upper half of an `f32`, 2 bytes.
    Bf16,
    /// Unsigned byte.
    U8,
    /// Signed byte.
    I8,
}

impl ElementType {
    /// Returns the size of one element in bytes.
    pub fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::U8 | Self::I8 => 1,
        }
    }
}

/// One coordinate of a vector: a plain number that converts to `f32` without error.
///
/// It is implemented for `f32`, [`half::f16`], [`half::bf16`], `u8` and `i8`. Every value of these
/// types is exactly representable as `f32`.
///
/// ```
/// use half::f16;
/// use ivf_core::Element;
/// /// Returns the values as they are after a conversion to `T`.
/// fn rounded<T: Element>(values: &[f32]) -> Vec<f32> {
///     values.iter().map(|value| T::from_f32(*value).to_f32()).collect()
/// }
/// assert_eq!(rounded::<u8>(&[0.4, 300.0, -3.0, f32::NAN]), [0.0, 255.0, 0.0, 0.0]);
/// // Half precision has 11 significant bits.
/// assert_eq!(rounded::<f16>(&[0.5, 2049.0]), [0.5, 2048.0]);
/// assert_eq!((f16::TYPE.size(), u8::TYPE.size()), (2, 1));
/// ```
pub trait Element: Pod + PartialOrd + AsPrimitive<f32> + std::fmt::Debug + Send + Sync {
    /// The same type as a run-time value.
    const TYPE: ElementType;

    /// Returns the exact value as `f32`.
    fn to_f32(self) -> f32 {
        self.as_()
    }

    /// Returns the nearest value of this type. Integers saturate, and NaN becomes 0.
    fn from_f32(value: f32) -> Self;
}

impl Element for f32 {
    const TYPE: ElementType = ElementType::F32;
    fn from_f32(value: f32) -> Self {
        value
    }
}

impl Element for f16 {
    const TYPE: ElementType = ElementType::F16;
    fn from_f32(value: f32) -> Self {
        f16::from_f32(value)
    }
}

impl Element for bf16 {
    const TYPE: ElementType = ElementType::Bf16;
    fn from_f32(value: f32) -> Self {
        bf16::from_f32(value)
    }
}

impl Element for u8 {
    const TYPE: ElementType = ElementType::U8;
    fn from_f32(value: f32) -> Self {
        value.round() as u8
    }
}

impl Element for i8 {
    const TYPE: ElementType = ElementType::I8;
    fn from_f32(value: f32) -> Self {
        value.round() as i8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trips<T: Element>(values: &[f32]) {
        for &v in values {
            assert_eq!(T::from_f32(v).to_f32(), v, "{:?}", T::TYPE);
        }
        assert_eq!(T::TYPE.size(), size_of::<T>());
    }

    #[test]
    fn every_type_keeps_small_integers() {
        let positive = [0.0, 1.0, 7.0, 100.0, 127.0];
        round_trips::<f32>(&positive);
        round_trips::<f16>(&positive);
        round_trips::<bf16>(&positive);
        round_trips::<u8>(&positive);
        round_trips::<i8>(&positive);
        round_trips::<i8>(&[-128.0, -1.0]);
        assert_eq!(u8::from_f32(-3.0), 0);
        assert_eq!(u8::from_f32(300.0), 255);
    }
}
