//! What an implementer of a new kind needs: `use ivf::extend::*`.
//!
//! A kind is a set of types that implement the contracts below, and one row in a
//! [`Registry`](ivf_core::Registry). The row gives it a factory token, a reader of files and its
//! samples for tests. Indexes of the new kind are built with [`build_with`](crate::build_with) and
//! read with [`read_index_with`](crate::read_index_with).
//!
//! | kind | contracts | row | example |
//! |---|---|---|---|
//! | codec | [`CodecSpec`], [`Codec`], [`BoundCodec`], [`InvertedListScanner`] | [`CodecRow`] | `02_own_codec`, `06_wrapping_codec` |
//! | list store | [`StoreSpec`], [`InvertedLists`], [`InvertedListsMut`] | [`StoreRow`] | `03_own_store`, `08_store_with_path` |
//! | coarse quantizer | [`QuantizerSpec`], [`Level1Quantizer`], [`Centroids`] | [`QuantizerRow`] | `07_own_quantizer` |
//! | transform | [`TransformSpec`], [`Transform`] | [`TransformRow`] | `ivf::cpu::transform` |
//! | index or wrapper | [`Index`](ivf_core::Index), [`IndexSpec`], [`WrapperSpec`] and the traits in [`ability`](ivf_core::ability) | [`IndexRow`], [`WrapperRow`] | `ivf::cpu::Refine` |
//!
//! A device that searches and trains in place of the engine implements [`Accelerator`] and
//! [`KMeansDevice`]; [`Accelerate`] and [`TrainOptions::device`](field@crate::TrainOptions::device)
//! take it.
//!
//! What callers need too, such as [`Registry`](ivf_core::Registry),
//! [`Settings`](ivf_core::Settings) and [`ListNo`](ivf_core::ListNo), is at the root of `ivf`.
//! Errors are in [`error`](ivf_core::error).
//!
//! The crate `ivf-testkit` has a conformance suite for each kind. It is not on crates.io: it comes
//! with a clone of the repository. From another repository, make it a git dependency, and take
//! `ivf-index` from the same commit.
//!
//! A second token for an existing codec takes one row:
//!
//! ```
//! use ivf::extend::*;
//! use ivf::prelude::*;
//! use std::sync::Arc;
//!
//! /// `Exact` is another token for the codec `Flat`. Files have the tag and the token of `Flat`.
//! const EXACT: CodecRow = CodecRow::new(
//!     "exact",
//!     "Exact",
//!     |token, _| (token.plain()? == "Exact").then(|| Ok(Arc::new(ivf::cpu::codec::FlatSpec) as _)),
//!     |node, _| Err(ivf::error::DecodeError::value(&node.tag, "no file has this tag")),
//! );
//!
//! let registry = ivf::default_registry().clone().with_codecs(&[EXACT]);
//! let mut index = ivf::build_with("IDMap,Exact", 2, Metric::L2, &registry)?;
//! index.add_with_ids(Rows::new(&[0.0_f32, 1.0], 2)?, &[Id(7)])?;
//! assert_eq!(index.spec(), "IDMap,Flat");
//! assert_eq!(index.reconstruct(Id(7))?, [0.0, 1.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[doc(inline)]
pub use ivf_core::ability::{
    Accelerate, Add, AddCodes, AddMark, AddWithIds, CopySubset, Distances, Merge, RangeSearch, Reconstruct, Remove,
    Reset, ScanIds, StandaloneCodec, Train, Undo, Update, Upsert,
};
#[doc(inline)]
pub use ivf_core::accelerator::{
    AcceleratedParts, Accelerator, KMeansDevice, KMeansPoints, PlannedScan, ScanCounts, Selection,
};
#[doc(inline)]
pub use ivf_core::bytes::{AlignedBytes, PlaneBytes};
#[doc(inline)]
pub use ivf_core::codec::{Binding, BoundCodec, Codec, CodecContext, CodecSpec, CodecTraining, Residuals};
#[doc(inline)]
pub use ivf_core::direct_map::DirectMap;
#[doc(inline)]
pub use ivf_core::executor::map_items;
#[doc(inline)]
pub use ivf_core::field::{Field, FieldType, Schema, Value};
#[doc(inline)]
pub use ivf_core::layout::{BlockPacker, CodeLayout, MAX_PLANES, Planes};
#[doc(inline)]
pub use ivf_core::lists::{
    ArrayLists, Group, InvertedLists, InvertedListsMut, ListBatch, ListIds, ListRef, Moved, Segment, SegmentIds,
    StoreSpec, closing_moves,
};
#[doc(inline)]
pub use ivf_core::node::{NamedArray, Node, StoredNode};
#[doc(inline)]
pub use ivf_core::param::ParamRange;
#[doc(inline)]
pub use ivf_core::plan::{Limits, PlannedProbe, SearchPlan};
#[doc(inline)]
pub use ivf_core::quantizer::{Centroids, Level1Quantizer, Origin, Permute, Promise, QuantizerSpec};
#[doc(inline)]
pub use ivf_core::registry::{
    CodecRow, IndexRow, IndexSpec, Parsed, QuantizerRow, Side, StoreRow, Token, TokenError, TransformRow, WrapperRow,
    WrapperSpec,
};
#[doc(inline)]
pub use ivf_core::scanner::{Exactness, InvertedListScanner, ScanQuery, ScanRange};
#[doc(inline)]
pub use ivf_core::section::Section;
#[doc(inline)]
pub use ivf_core::spec::SpecText;
#[doc(inline)]
pub use ivf_core::transform::{Reverse, Transform, TransformSpec};
#[doc(inline)]
pub use ivf_core::wire::Bound;
