//! Vectors as the caller has them: checked, borrowed matrices of one element type.

use crate::element::{Element, ElementType};
use crate::error::InputError;
use half::{bf16, f16};
use std::ops::Range;

/// No index takes vectors of more dimensions (as Faiss's files).
pub const MAX_DIM: usize = 1 << 20;

/// Why a slice is no matrix of vectors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowsError {
    /// The dimension is zero.
    #[error("a vector needs at least one dimension")]
    ZeroDim,
    /// The slice does not divide into rows.
    #[error("{len} elements do not divide into rows of {dim}")]
    Ragged {
        /// Elements in the slice.
        len: usize,
        /// Elements asked for in a row.
        dim: usize,
    },
}

/// A borrowed matrix of vectors: `len` rows of `dim` elements, one after the other.
///
/// The shape is checked once, by [`Rows::new`]; whoever holds a `Rows` may rely on `dim >= 1` and on
/// `data.len() == len * dim`.
///
/// ```
/// use ivf_core::Rows;
/// let data = [1.0_f32, 2.0, 3.0, 4.0];
/// let rows = Rows::new(&data, 2)?;
/// assert_eq!((rows.len(), rows.dim()), (2, 2));
/// assert_eq!(rows.row(1), &[3.0, 4.0]);
/// assert!(Rows::new(&data, 3).is_err());
/// # Ok::<(), ivf_core::RowsError>(())
/// ```
#[derive(Debug)]
pub struct Rows<'a, T> {
    data: &'a [T],
    dim: usize,
}

impl<T> Clone for Rows<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Rows<'_, T> {}

impl<'a, T> Rows<'a, T> {
    /// Views `data` as rows of `dim` elements.
    ///
    /// # Errors
    /// [`RowsError`] if `dim` is zero or does not divide `data.len()`.
    pub fn new(data: &'a [T], dim: usize) -> Result<Self, RowsError> {
        if dim == 0 {
            return Err(RowsError::ZeroDim);
        }
        if !data.len().is_multiple_of(dim) {
            return Err(RowsError::Ragged { len: data.len(), dim });
        }
        Ok(Self { data, dim })
    }

    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.data.len() / self.dim
    }

    /// True if there is no vector.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Elements of a vector; at least 1.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// All elements, row after row.
    pub fn as_slice(&self) -> &'a [T] {
        self.data
    }

    /// Vector number `i`.
    ///
    /// # Panics
    /// If `i >= len`.
    pub fn row(&self, i: usize) -> &'a [T] {
        &self.data[i * self.dim..][..self.dim]
    }

    /// The vectors of `range`.
    ///
    /// # Panics
    /// If the range ends past `len`.
    pub fn slice(&self, range: Range<usize>) -> Rows<'a, T> {
        Rows { data: &self.data[range.start * self.dim..range.end * self.dim], dim: self.dim }
    }

    /// The vectors in order.
    pub fn iter(&self) -> std::slice::ChunksExact<'a, T> {
        self.data.chunks_exact(self.dim)
    }
}

/// [`Rows`] whose element type is known at run time, so that object-safe traits take every type.
///
/// Nothing is converted until somebody asks, and then block by block ([`AnyRows::to_f32`]).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum AnyRows<'a> {
    /// Rows of `f32`.
    F32(Rows<'a, f32>),
    /// Rows of [`half::f16`].
    F16(Rows<'a, f16>),
    /// Rows of [`half::bf16`].
    Bf16(Rows<'a, bf16>),
    /// Rows of `u8`.
    U8(Rows<'a, u8>),
    /// Rows of `i8`.
    I8(Rows<'a, i8>),
}

macro_rules! each {
    ($self:expr, $rows:ident => $body:expr) => {
        match $self {
            AnyRows::F32($rows) => $body,
            AnyRows::F16($rows) => $body,
            AnyRows::Bf16($rows) => $body,
            AnyRows::U8($rows) => $body,
            AnyRows::I8($rows) => $body,
        }
    };
}

impl<'a> AnyRows<'a> {
    /// Number of vectors.
    pub fn len(&self) -> usize {
        each!(self, rows => rows.len())
    }

    /// True if there is no vector.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Elements of a vector.
    pub fn dim(&self) -> usize {
        each!(self, rows => rows.dim())
    }

    /// The element type.
    pub fn element_type(&self) -> ElementType {
        fn of<T: Element>(_: &Rows<'_, T>) -> ElementType {
            T::TYPE
        }
        each!(self, rows => of(rows))
    }

    /// The vectors of `range`.
    ///
    /// # Panics
    /// If the range ends past `len`.
    pub fn slice(&self, range: Range<usize>) -> AnyRows<'a> {
        each!(self, rows => rows.slice(range).into())
    }

    /// The vectors as `f32`: the caller's own memory if they are `f32` already, else converted into `scratch`.
    pub fn to_f32<'s>(&self, scratch: &'s mut Vec<f32>) -> Rows<'s, f32>
    where
        'a: 's,
    {
        fn convert<'s, T: Element>(rows: &Rows<'_, T>, scratch: &'s mut Vec<f32>) -> Rows<'s, f32> {
            scratch.clear();
            scratch.extend(rows.as_slice().iter().map(|v| v.to_f32()));
            Rows { data: scratch, dim: rows.dim }
        }
        match self {
            AnyRows::F32(rows) => *rows,
            AnyRows::F16(rows) => convert(rows, scratch),
            AnyRows::Bf16(rows) => convert(rows, scratch),
            AnyRows::U8(rows) => convert(rows, scratch),
            AnyRows::I8(rows) => convert(rows, scratch),
        }
    }

    /// Says that these are finite vectors of `dim`.
    ///
    /// # Errors
    /// [`InputError::Dim`], or [`InputError::NonFinite`] naming the first such vector.
    pub fn check(&self, dim: usize) -> Result<(), InputError> {
        if self.dim() != dim {
            return Err(InputError::Dim { expected: dim, found: self.dim() });
        }
        match self.first_non_finite() {
            Some(row) => Err(InputError::NonFinite { row }),
            None => Ok(()),
        }
    }

    /// The number of the first vector that holds a NaN or an infinity.
    pub fn first_non_finite(&self) -> Option<usize> {
        // Integers are finite, always: do not read them.
        match self {
            AnyRows::F32(rows) => rows.iter().position(|r| r.iter().any(|v| !v.is_finite())),
            AnyRows::F16(rows) => rows.iter().position(|r| r.iter().any(|v| !v.is_finite())),
            AnyRows::Bf16(rows) => rows.iter().position(|r| r.iter().any(|v| !v.is_finite())),
            AnyRows::U8(_) | AnyRows::I8(_) => None,
        }
    }
}

macro_rules! from_rows {
    ($($variant:ident $type:ty),*) => {$(
        impl<'a> From<Rows<'a, $type>> for AnyRows<'a> {
            fn from(rows: Rows<'a, $type>) -> Self {
                AnyRows::$variant(rows)
            }
        }
    )*};
}
from_rows!(F32 f32, F16 f16, Bf16 bf16, U8 u8, I8 i8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_checked_once() {
        assert_eq!(Rows::<f32>::new(&[], 0).unwrap_err(), RowsError::ZeroDim);
        assert_eq!(Rows::new(&[1u8, 2, 3], 2).unwrap_err(), RowsError::Ragged { len: 3, dim: 2 });
        assert!(Rows::<f32>::new(&[], 3).unwrap().is_empty());
    }

    #[test]
    fn any_rows_convert_exactly_and_find_the_first_bad_row() {
        let halves: Vec<f16> = [0.5, -1.0, 2.0, f32::INFINITY].map(f16::from_f32).to_vec();
        let any: AnyRows = Rows::new(&halves, 2).unwrap().into();
        assert_eq!((any.len(), any.dim(), any.element_type()), (2, 2, ElementType::F16));
        assert_eq!(any.first_non_finite(), Some(1));
        assert_eq!(any.check(2), Err(InputError::NonFinite { row: 1 }));
        assert_eq!(any.check(3), Err(InputError::Dim { expected: 3, found: 2 }));
        assert_eq!(any.slice(0..1).check(2), Ok(()));
        assert_eq!(any.slice(0..1).to_f32(&mut Vec::new()).as_slice(), &[0.5, -1.0]);
        let bytes: AnyRows = Rows::new(&[1u8, 255], 1).unwrap().into();
        assert_eq!(bytes.to_f32(&mut Vec::new()).as_slice(), &[1.0, 255.0]);
        assert_eq!(bytes.first_non_finite(), None);
    }
}
