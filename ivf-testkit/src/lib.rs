//! Conformance suites, oracles and data generators for testing new kinds of components.
//!
//! Each suite is one function over the contracts of `ivf-core`, so it takes a codec, a store or an
//! index from any crate. Call it from a `tests/` folder. It fails as tests do: it panics, and the
//! message names the call, the result and the expectation. All suites together take a few seconds
//! at `opt-level = 2`.
//!
//! | you wrote | call |
//! |---|---|
//! | a [`CodeLayout`](ivf_core::CodeLayout) | [`layouts::check_layout`] |
//! | a [`CodecSpec`](ivf_core::CodecSpec) and its codec | [`codecs::check_codec`], then [`scanners::check_scanner`] and [`scanners::check_distances`] with [`codecs::train`] |
//! | a [`QuantizerSpec`](ivf_core::QuantizerSpec) and its quantizer | [`quantizers::check_quantizer`] |
//! | a [`TransformSpec`](ivf_core::TransformSpec) and its transform | [`transforms::check_transform`] |
//! | a [`WrapperSpec`](ivf_core::registry::WrapperSpec) and its index | [`wrappers::check_wrapper`] |
//! | lists, [`InvertedLists`](ivf_core::InvertedLists) | [`stores::check_store`]; with a reader, [`stores::check_store_export`] |
//! | any [`Index`](ivf_core::Index) | [`indexes::check_modes`], [`indexes::check_bad_input`] |
//! | an index that is exact | also [`indexes::check_exhaustive`], [`indexes::check_history`] |
//! | an [`IndexIvf`](ivf_core::IndexIvf) | also [`indexes::check_preassigned`] |
//! | an index with a reader | also [`indexes::check_reload`], [`indexes::check_damaged`] |
//! | an index over a codec and lists | also [`indexes::surface::check_surface`] |
//!
//! Other tests can use the building blocks of the suites:
//!
//! | module | content |
//! |---|---|
//! | [`data`] | seeded vectors and ids, the same bits on every machine |
//! | [`oracle`] | the definition of every metric, and exhaustive search with it |
//! | [`executor`] | an executor of several threads |
//! | [`centroids`] | centroids to bind a codec to |
//! | [`compare`] | results compared bit for bit |
//! | [`damage`] | exported nodes, damaged in many ways |
//! | [`reseal`](mod@reseal) | recomputed checksums for damaged index files |
//! | [`segments`] | a store whose lists have many segments |
//! | [`at_rest`], `sealed` (Linux) | nodes whose bytes are as in an open or a mapped file; files that can be mapped safely |
//!
//! ```
//! use ivf_core::lists::{ArrayLists, InvertedLists};
//! use ivf_testkit::stores;
//! stores::check_store(&|nlist, layout| Box::new(ArrayLists::new(nlist, layout.clone())));
//! ```

#![forbid(unsafe_code)]

pub mod at_rest;
pub mod centroids;
pub mod codecs;
pub mod compare;
pub mod damage;
pub mod data;
pub mod executor;
pub mod indexes;
pub mod layouts;
pub mod oracle;
pub mod quantizers;
pub mod reseal;
pub mod scanners;
#[cfg(target_os = "linux")]
pub mod sealed;
pub mod segments;
pub mod stores;
pub mod transforms;
pub mod wrappers;
