//! Transforms of this crate.

mod normalize;

pub use normalize::{Normalize, NormalizeSpec};

use ivf_core::registry::TransformRow;

/// The transforms of this crate.
pub const TRANSFORMS: &[TransformRow] = &[normalize::ROW];
