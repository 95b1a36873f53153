//! The CPU engine of the ivf framework.
//!
//! | module | what |
//! |---|---|
//! | [`IvfIndex`], [`CodesIndex`] | the IVF engine, and a codec's standalone index (`Flat`) |
//! | [`PreTransform`], [`IdMap`], [`Refine`] | indexes around an index |
//! | [`SharedIndex`] | one index for many readers and writers |
//! | [`coarse`] | coarse quantizers |
//! | [`codec`], [`transform`] | list codecs, transforms |
//! | [`KMeans`] | training of centroids |
//! | [`kernels`], [`simd`] | distances, and the instruction sets they run on |
//! | [`RayonGlobal`], [`RayonPool`], [`executor_or_global`] | who runs the loops |
//!
//! The const slices ([`CODECS`], [`QUANTIZERS`], ...) are the rows of these kinds, from which `ivf-factory` fills its registry.
//!
//! All `unsafe` of this crate is two calls in [`simd`].

#![deny(unsafe_code)]

pub mod coarse;
pub mod codec;
mod engine;
mod executor;
pub mod kernels;
mod kmeans;
mod shared;
#[allow(unsafe_code, reason = "the trampolines into functions compiled for an instruction set")]
pub mod simd;
pub mod transform;
mod wrap;

pub use coarse::QUANTIZERS;
pub use codec::CODECS;
pub use engine::{CodesIndex, IvfIndex, IvfOptions};
pub use executor::{RayonGlobal, RayonPool, executor_or_global};
pub use kmeans::{KMeans, column_means, train_parts, train_parts_memory};
pub use shared::SharedIndex;
pub use transform::TRANSFORMS;
pub use wrap::{IdMap, PreTransform, Refine, WRAPPERS};

use ivf_core::registry::IndexRow;

/// The indexes of this crate that the factory composes.
pub const INDEXES: &[IndexRow] = &[engine::IVF, engine::CODES, wrap::PRE_TRANSFORM];
