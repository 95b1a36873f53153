//! Transforms that learn from vectors, or turn them: projections, rotations, padding.
//!
//! | file | token | what |
//! |---|---|---|
//! | `pca.rs` | `PCA[W][R]<n>` | projection on the directions of the largest variance |
//! | `opq.rs` | `OPQ<M>[_<d>]` | the rotation that a product quantizer of `M` parts loses least after |
//! | `rotation.rs` | `RR[n]` | random rotation |
//! | `hadamard.rs` | `HR[seed]` | random rotation in `d log d` steps |
//! | `itq.rs` | `ITQ[n]` | the rotation whose signs say most about centred directions |
//! | `pad.rs` | `Pad<n>` | zeros behind the last dimension |
//! | `center.rs` | `Center` | vectors less their mean |
//!
//! `linear.rs` is the trained type of all that multiply by a matrix, and `product.rs` the kernel.
//! Training sums moments (`moments.rs`), takes eigenvectors (`eigen.rs`), and makes matrices
//! orthogonal (`orthogonal.rs`, `fit.rs`).

mod center;
mod eigen;
mod fit;
mod hadamard;
mod itq;
mod linear;
mod moments;
mod opq;
mod orthogonal;
mod pad;
mod pca;
mod product;
mod rotation;
#[cfg(test)]
mod tests;

pub use center::{Center, CenterSpec};
pub use hadamard::{Hadamard, HadamardSpec};
pub use itq::{Itq, ItqSpec};
pub use linear::LinearMap;
pub use opq::OpqSpec;
pub use pad::{Pad, PadSpec};
pub use pca::PcaSpec;
pub use rotation::RotationSpec;

use ivf_core::error::{BuildError, TrainError};
use ivf_core::registry::{TokenError, TransformRow};
use ivf_core::{MAX_DIM, Metric};
use ivf_cpu::simd;
use std::fmt::Display;

/// The transforms of this crate.
pub const TRANSFORMS: &[TransformRow] =
    &[pca::ROW, opq::ROW, rotation::ROW, hadamard::ROW, itq::ROW, pad::ROW, center::ROW];

/// Rejects metrics that a rotation changes. (Cosine is a transform followed by the inner product.)
fn check_rotation(kind: &dyn Display, metric: Metric) -> Result<(), BuildError> {
    match metric {
        Metric::L2 | Metric::InnerProduct | Metric::Cosine => Ok(()),
        _ => Err(BuildError::Metric { kind: kind.to_string(), metric }),
    }
}

/// Returns an error about a dimension.
fn wrong_dim(kind: &dyn Display, dim: usize, why: String) -> BuildError {
    BuildError::Dim { kind: kind.to_string(), dim, why }
}

/// Checks that the input and the output of a transform have numbers of dimensions that vectors can
/// have. Returns the dimension of the output.
fn check_dims(kind: &dyn Display, dim: usize, dim_out: usize) -> Result<usize, BuildError> {
    match [dim, dim_out].into_iter().find(|dim| !(1..=MAX_DIM).contains(dim)) {
        Some(wrong) => Err(wrong_dim(kind, dim, format!("vectors have from 1 to {MAX_DIM} dimensions, not {wrong}"))),
        None => Ok(dim_out),
    }
}

/// Checks that a projection keeps no more dimensions than there are.
fn check_projection(kind: &dyn Display, dim: usize, dim_out: usize) -> Result<(), BuildError> {
    if dim_out <= dim {
        return Ok(());
    }
    Err(wrong_dim(
        kind,
        dim,
        format!("a projection keeps at most as many, not {dim_out}; Pad{dim_out} adds dimensions"),
    ))
}

/// Returns an error if the specification does not take the vectors, although `dim_out` was not
/// asked, or if `IVF_SIMD` names no instruction set of this machine.
fn check_training(checked: Result<usize, BuildError>) -> Result<usize, TrainError> {
    let unsupported = |error: BuildError| TrainError::Unsupported {
        kind: error.kind().unwrap_or("a transform").to_owned(),
        what: error.to_string(),
    };
    simd::check().map_err(unsupported)?;
    checked.map_err(unsupported)
}

/// Checks that there are enough training vectors.
fn check_points(who: String, needed: usize, found: usize) -> Result<(), TrainError> {
    if found < needed { Err(TrainError::TooFew { who, needed, found }) } else { Ok(()) }
}

/// Parses a number of dimensions in a token, which begins at byte `at`.
fn dimensions(digits: &str, at: usize) -> Result<usize, TokenError> {
    let number = digits.parse::<usize>().ok().filter(|n| (1..=MAX_DIM).contains(n) && is_number(digits));
    let what = || format!("a number of dimensions must be here, from 1 to {MAX_DIM}");
    number.ok_or_else(|| TokenError::new(at..at + digits.len(), what()))
}

/// Returns whether a text is digits only.
fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit())
}
