//! The CPU engine of the ivf framework.
//!
//! | item | purpose |
//! |---|---|
//! | [`IvfIndex`], [`CodesIndex`] | the IVF engine, and the standalone index of a codec (`Flat`) |
//! | [`DedupIndex`] | an inverted file that stores equal vectors once |
//! | [`HnswIndex`] | a graph |
//! | [`PreTransform`], [`IdMap`], [`Refine`] | wrappers around an index |
//! | [`Group`] | several indexes as one: shards or replicas |
//! | [`SharedIndex`] | an index shared by many readers and writers |
//! | [`coarse`] | coarse quantizers |
//! | [`codec`], [`transform`] | list codecs, transforms |
//! | [`KMeans`] | k-means training of centroids |
//! | [`kernels`], [`simd`] | distance kernels, and the instruction sets they run on |
//! | [`RayonGlobal`], [`RayonPool`], [`executor_for`] | executors, which run parallel loops |
//!
//! The constants [`CODECS`], [`QUANTIZERS`] and so on hold the registry rows of this crate.
//! `ivf-factory` fills its registry from them.
//!
//! All `unsafe` code of this crate is in [`simd`].

#![deny(unsafe_code)]

mod abilities;
pub mod coarse;
pub mod codec;
mod engine;
mod executor;
mod group;
mod hnsw;
pub mod kernels;
mod kmeans;
mod selectors;
mod shared;
#[allow(unsafe_code, reason = "the trampolines into functions compiled for an instruction set")]
pub mod simd;
pub mod transform;
mod wrap;

pub use coarse::QUANTIZERS;
pub use codec::CODECS;
pub use engine::{CodesIndex, DedupIndex, IvfIndex, IvfOptions};
pub use executor::{RayonGlobal, RayonPool, executor_for};
pub use group::Group;
pub use hnsw::{HnswIndex, HnswSpec};
pub use kmeans::{KMeans, column_means, sample_memory, sample_rows, train_parts, train_parts_memory};
pub use shared::SharedIndex;
pub use transform::TRANSFORMS;
pub use wrap::{IdMap, PreTransform, Refine, WRAPPERS};

use ivf_core::registry::IndexRow;

/// The indexes of this crate: those that the factory composes, and those with a token.
pub const INDEXES: &[IndexRow] = &[
    engine::IVF,
    engine::CODES,
    engine::DEDUP,
    hnsw::ROW,
    wrap::REFINE_RESIDUAL,
    wrap::PRE_TRANSFORM,
    group::SHARDS,
    group::REPLICAS,
];
