//! Errors in the vectors that a caller passed.

use std::fmt;

/// The reason why a slice is not a matrix of vectors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowsError {
    /// The dimension is zero.
    #[error("a vector needs at least one dimension")]
    ZeroDim,
    /// The length of the slice is not a multiple of the dimension.
    #[error("{len} elements do not divide into rows of {dim}")]
    Ragged {
        /// Number of elements in the slice.
        len: usize,
        /// Number of elements of a row.
        dim: usize,
    },
}

/// An error in the vectors that a caller passed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// The dimension of the vectors is not that of the index.
    #[error("the vectors have {found} dimensions, but the index has {expected}")]
    Dim {
        /// Dimension of the index.
        expected: usize,
        /// Dimension of the vectors.
        found: usize,
    },
    /// A vector holds a NaN or an infinity.
    #[error("vector {row} holds a NaN or an infinity")]
    NonFinite {
        /// Index of the vector in the caller's rows.
        row: usize,
    },
    /// A vector without direction where one is needed (cosine metric, `L2norm`).
    #[error("vector {row} has no direction: its length is zero")]
    ZeroVector {
        /// Index of the vector in the caller's rows.
        row: usize,
    },
    /// A number that is computed from a finite vector is beyond the range of `f32`.
    #[error("vector {row} is too large: {what} overflows f32")]
    Overflow {
        /// Index of the vector in the caller's rows.
        row: usize,
        /// The number that overflows.
        what: Computed,
    },
    /// The number of ids is not the number of vectors.
    #[error("{ids} ids for {rows} vectors")]
    IdCount {
        /// Number of vectors.
        rows: usize,
        /// Number of ids.
        ids: usize,
    },
    /// The slice is not a matrix.
    #[error(transparent)]
    Rows(#[from] RowsError),
}

impl InputError {
    /// Returns the error with another row number, if it has one. A caller that passes on some of
    /// its rows names its own row with it.
    ///
    /// ```
    /// use ivf_core::error::InputError;
    /// let error = InputError::NonFinite { row: 2 };
    /// assert_eq!(error.renumbered(|row| 1000 + row), InputError::NonFinite { row: 1002 });
    /// ```
    #[must_use]
    pub fn renumbered(self, number: impl FnOnce(usize) -> usize) -> Self {
        match self {
            Self::NonFinite { row } => Self::NonFinite { row: number(row) },
            Self::ZeroVector { row } => Self::ZeroVector { row: number(row) },
            Self::Overflow { row, what } => Self::Overflow { row: number(row), what },
            Self::Dim { .. } | Self::IdCount { .. } | Self::Rows(_) => self,
        }
    }
}

/// A number that is computed from a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Computed {
    /// A coordinate of the residual: the vector minus the centroid of its list.
    Residual,
    /// A coordinate of the residual that a second code encodes: the vector minus what its first
    /// code stands for.
    CodeResidual,
    /// The squared distance of a subvector (or of a subvector of the residual) from the mean of the
    /// training vectors.
    SubvectorNorm,
    /// A coordinate of the transformed vector.
    Transformed,
}

impl fmt::Display for Computed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Residual => "its residual (the vector minus the centroid of its list)",
            Self::CodeResidual => "the residual of its first code (the vector minus what that code stands for)",
            Self::SubvectorNorm => "the squared distance of a subvector from the training mean",
            Self::Transformed => "a coordinate of the transformed vector",
        })
    }
}
