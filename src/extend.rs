//! What an implementer of a new kind needs: `use ivf::extend::*`.
//!
//! A kind is a set of types that implement the contracts below, and one row in a
//! [`Registry`](ivf_core::Registry). The row gives it a factory token, a reader of files and its
//! samples for tests. Indexes of the new kind are then built with
//! [`build_with`](crate::build_with), read with [`read_index_with`](crate::read_index_with), and
//! checked by the suites of `ivf-testkit`.
//!
//! | kind | contracts | row | example |
//! |---|---|---|---|
//! | codec | [`CodecSpec`], [`Codec`], [`BoundCodec`], [`InvertedListScanner`] | [`CodecRow`] | `02_own_codec`, `06_wrapping_codec` |
//! | list store | [`StoreSpec`], [`InvertedLists`], [`InvertedListsMut`] | [`StoreRow`] | `03_own_store`, `08_store_with_path` |
//! | coarse quantizer | [`QuantizerSpec`], [`Level1Quantizer`], [`Centroids`] | [`QuantizerRow`] | `07_own_quantizer` |
//! | transform | [`TransformSpec`], [`Transform`] | [`TransformRow`] | `ivf::cpu::transform` |
//! | index or wrapper | [`Index`](ivf_core::Index) and the traits in [`ability`](ivf_core::ability) | [`IndexRow`], [`WrapperRow`] | `ivf::cpu::Refine` |
//!
//! ```
//! use ivf::extend::*;
//! let registry = ivf::default_registry().clone();
//! assert!(registry.codecs().iter().any(|row: &CodecRow| row.tag == "flat"));
//! ```

#[doc(inline)]
pub use ivf_core::ability::{
    Add, AddCodes, AddWithIds, CopySubset, Merge, RangeSearch, Reconstruct, Remove, Reset, ScanIds, StandaloneCodec,
    Train, Update, Upsert,
};
#[doc(inline)]
pub use ivf_core::codec::{Binding, BoundCodec, Codec, CodecContext, CodecSpec, CodecTraining, Residuals};
#[doc(inline)]
pub use ivf_core::direct_map::DirectMap;
#[doc(inline)]
pub use ivf_core::field::{Field, FieldType, Schema};
#[doc(inline)]
pub use ivf_core::layout::CodeLayout;
#[doc(inline)]
pub use ivf_core::lists::{ArrayLists, InvertedLists, InvertedListsMut, ListBatch, ListIds, ListRef, Moved, StoreSpec};
#[doc(inline)]
pub use ivf_core::node::{Node, StoredNode};
#[doc(inline)]
pub use ivf_core::param::ParamRange;
#[doc(inline)]
pub use ivf_core::plan::{Limits, SearchPlan};
#[doc(inline)]
pub use ivf_core::quantizer::{Centroids, Level1Quantizer, Permute, Promise, QuantizerSpec};
#[doc(inline)]
pub use ivf_core::registry::{
    CodecRow, IndexRow, IndexSpec, Parsed, QuantizerRow, StoreRow, Token, TokenError, TransformRow, WrapperRow,
};
#[doc(inline)]
pub use ivf_core::scanner::{Exactness, InvertedListScanner, ScanQuery, ScanRange};
#[doc(inline)]
pub use ivf_core::section::Section;
#[doc(inline)]
pub use ivf_core::spec::SpecText;
#[doc(inline)]
pub use ivf_core::transform::{Transform, TransformSpec};
