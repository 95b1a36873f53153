//! Indexes around an index.

mod id_map;
mod pre_transform;
mod refine;

pub use id_map::IdMap;
pub use pre_transform::PreTransform;
pub use refine::Refine;

use ivf_core::registry::{IndexRow, WrapperRow};

/// The wrappers of this crate that have a token.
pub const WRAPPERS: &[WrapperRow] = &[id_map::ROW2, id_map::ROW, refine::ROW];

/// The wrappers of this crate that the factory makes by itself: around transforms, and for the cosine.
pub(crate) const PRE_TRANSFORM: IndexRow = pre_transform::ROW;
