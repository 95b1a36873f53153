//! The caller's vectors: checked, borrowed matrices of one element type.

use crate::element::{Element, ElementType};
use crate::error::InputError;
pub use crate::error::RowsError;
use crate::params::NonFinite;
use half::{bf16, f16};
use std::ops::Range;

/// Maximum dimension of the vectors of an index (the same limit as in Faiss's files).
pub const MAX_DIM: usize = 1 << 20;

/// A borrowed matrix of vectors: `len` rows of `dim` elements, one after the other.
///
/// [`Rows::new`] checks the shape once. Afterwards `dim >= 1` and `data.len() == len * dim` always
/// hold.
///
/// ```
/// use ivf_core::Rows;
/// let data = [1.0_f32, 2.0, 3.0, 4.0];
/// let rows = Rows::new(&data, 2)?;
/// assert_eq!((rows.len(), rows.dim()), (2, 2));
/// assert_eq!(rows.row(1), &[3.0, 4.0]);
/// assert!(Rows::new(&data, 3).is_err());
///
/// let sums: Vec<f32> = rows.iter().map(|row| row.iter().sum()).collect();
/// assert_eq!(sums, [3.0, 7.0]);
/// // A part of the rows borrows the same data.
/// let last = rows.slice(1..2);
/// assert_eq!(last.as_slice(), &data[2..]);
/// assert!(rows.slice(0..0).is_empty());
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

    /// Returns the number of vectors.
    pub fn len(&self) -> usize {
        self.data.len() / self.dim
    }

    /// Returns true if there are no vectors.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Returns the number of elements of a vector, at least 1.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Returns all elements, row after row.
    pub fn as_slice(&self) -> &'a [T] {
        self.data
    }

    /// Returns vector number `i`.
    ///
    /// # Panics
    /// If `i >= len`.
    pub fn row(&self, i: usize) -> &'a [T] {
        &self.data[i * self.dim..][..self.dim]
    }

    /// Returns the vectors of `range`.
    ///
    /// # Panics
    /// If the range ends past `len`.
    pub fn slice(&self, range: Range<usize>) -> Rows<'a, T> {
        Rows { data: &self.data[range.start * self.dim..range.end * self.dim], dim: self.dim }
    }

    /// Iterates over the vectors in order.
    pub fn iter(&self) -> std::slice::ChunksExact<'a, T> {
        self.data.chunks_exact(self.dim)
    }
}

/// [`Rows`] whose element type is known at run time, so that object-safe traits accept every type.
///
/// Vectors are converted only on request, block by block ([`AnyRows::to_f32`]).
///
/// ```
/// use ivf_core::error::InputError;
/// use ivf_core::{AnyRows, ElementType, Rows};
/// let bytes = [1_u8, 2, 3, 4];
/// let rows: AnyRows<'_> = Rows::new(&bytes, 2)?.into();
/// assert_eq!((rows.len(), rows.dim(), rows.element_type()), (2, 2, ElementType::U8));
/// // An engine converts block by block, into memory that it uses again for the next block.
/// let mut scratch = Vec::new();
/// let block = rows.slice(1..2);
/// assert!(!block.is_empty());
/// assert_eq!(block.to_f32(&mut scratch).as_slice(), &[3.0, 4.0]);
///
/// // First of all, it checks the vectors of the caller.
/// let floats = [0.0_f32, 1.0, f32::NAN, 3.0];
/// let rows: AnyRows<'_> = Rows::new(&floats, 2)?.into();
/// assert_eq!(rows.check(3), Err(InputError::Dim { expected: 3, found: 2 }));
/// assert_eq!(rows.check(2), Err(InputError::NonFinite { row: 1 }));
/// assert_eq!(rows.first_non_finite(), Some(1));
/// # Ok::<(), ivf_core::RowsError>(())
/// ```
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
    /// Returns the number of vectors.
    pub fn len(&self) -> usize {
        each!(self, rows => rows.len())
    }

    /// Returns true if there are no vectors.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of elements of a vector.
    pub fn dim(&self) -> usize {
        each!(self, rows => rows.dim())
    }

    /// Returns the element type.
    pub fn element_type(&self) -> ElementType {
        fn of<T: Element>(_: &Rows<'_, T>) -> ElementType {
            T::TYPE
        }
        each!(self, rows => of(rows))
    }

    /// Returns the vectors of `range`.
    ///
    /// # Panics
    /// If the range ends past `len`.
    pub fn slice(&self, range: Range<usize>) -> AnyRows<'a> {
        each!(self, rows => rows.slice(range).into())
    }

    /// Returns the vectors as `f32`. Vectors that are `f32` already are borrowed from the caller;
    /// others are converted into `scratch`.
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

    /// Checks that these are finite vectors of dimension `dim`.
    ///
    /// # Errors
    /// [`InputError::Dim`] for another dimension, or [`InputError::NonFinite`] with the number of
    /// the first vector that is not finite.
    pub fn check(&self, dim: usize) -> Result<(), InputError> {
        if self.dim() != dim {
            return Err(InputError::Dim { expected: dim, found: self.dim() });
        }
        match self.first_non_finite() {
            Some(row) => Err(InputError::NonFinite { row }),
            None => Ok(()),
        }
    }

    /// Checks the dimension, and returns the vectors that are finite, with the row numbers of the
    /// others. If there are others, the finite vectors are copied into `scratch`.
    ///
    /// ```
    /// use ivf_core::params::NonFinite;
    /// use ivf_core::{AnyRows, Rows};
    /// let floats = [0.0_f32, 1.0, f32::NAN, 3.0, 4.0, 5.0];
    /// let rows: AnyRows<'_> = Rows::new(&floats, 2)?.into();
    /// assert!(rows.finite(2, NonFinite::Reject, &mut Vec::new()).is_err());
    /// let mut scratch = Vec::new();
    /// let (finite, skipped) = rows.finite(2, NonFinite::SkipRow, &mut scratch)?;
    /// assert_eq!((finite.len(), skipped), (2, vec![1]));
    /// assert_eq!(finite.to_f32(&mut Vec::new()).as_slice(), [0.0, 1.0, 4.0, 5.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`check`](Self::check). With [`NonFinite::SkipRow`], only a wrong dimension is an error.
    pub fn finite<'s>(
        self,
        dim: usize,
        non_finite: NonFinite,
        scratch: &'s mut Vec<f32>,
    ) -> Result<(AnyRows<'s>, Vec<usize>), InputError>
    where
        'a: 's,
    {
        match self.check(dim) {
            Err(InputError::NonFinite { .. }) if non_finite == NonFinite::SkipRow => {}
            checked => return checked.map(|()| (self, Vec::new())),
        }
        let mut converted = Vec::new();
        let mut skipped = Vec::new();
        scratch.clear();
        for (row, vector) in self.to_f32(&mut converted).iter().enumerate() {
            if vector.iter().all(|x| x.is_finite()) {
                scratch.extend_from_slice(vector);
            } else {
                skipped.push(row);
            }
        }
        Ok((Rows { data: scratch, dim }.into(), skipped))
    }

    /// Returns the number of the first vector that holds a NaN or an infinity.
    pub fn first_non_finite(&self) -> Option<usize> {
        // Integers are always finite and need not be read.
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
        let mut scratch = Vec::new();
        let (finite, skipped) = any.finite(2, NonFinite::SkipRow, &mut scratch).unwrap();
        assert_eq!((finite.len(), finite.element_type(), skipped), (1, ElementType::F32, vec![1]));
        assert_eq!(any.finite(2, NonFinite::Reject, &mut Vec::new()).unwrap_err(), InputError::NonFinite { row: 1 });
        assert!(any.finite(3, NonFinite::SkipRow, &mut Vec::new()).is_err());
        let bytes: AnyRows = Rows::new(&[1u8, 255], 1).unwrap().into();
        assert_eq!(bytes.to_f32(&mut Vec::new()).as_slice(), &[1.0, 255.0]);
        assert_eq!(bytes.first_non_finite(), None);
    }
}
