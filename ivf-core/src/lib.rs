//! The contracts and plain data of the ivf framework.
//!
//! This crate uses no files, no threads and no particular instruction set. It defines the parts of
//! an inverted-file index and their contracts. Start with [`Index`], then read [`Level1Quantizer`],
//! [`InvertedLists`] and [`InvertedListScanner`]. The engines that implement them are in `ivf-cpu`,
//! and later in `ivf-cuda`.
//!
//! | modules | contents |
//! |---|---|
//! | [`rows`], [`element`], [`id`], [`metric`] | vectors, ids, metrics |
//! | [`index`], [`ability`], [`index_ivf`], [`part`], [`knobs`] | the index, its abilities, its parts and knobs |
//! | [`quantizer`], [`plan`] | the choice of the lists to probe |
//! | [`codec`], [`layout`], [`scanner`] | encoding, storing and scanning of vectors |
//! | [`lists`], [`bytes`] | storage of the codes |
//! | [`selector`], [`mask`] | filters by id |
//! | [`sink`], [`hits`], [`report`] | results and reports |
//! | [`accelerator`] | devices that search and train in place of the engine |
//! | [`params`], [`param`], [`executor`] | parameters and options of calls |
//! | [`transform`], [`direct_map`] | other parts of an index |
//! | [`registry`], [`spec`], [`node`], [`field`], [`section`], [`wire`] | factory strings and files |
//!
//! Inside the library, smaller distances are always closer: see [`Metric`].

#![forbid(unsafe_code)]

pub mod ability;
pub mod accelerator;
pub mod bytes;
pub mod codec;
pub mod direct_map;
pub mod element;
pub mod error;
pub mod executor;
mod faiss_params;
pub mod field;
pub mod hits;
pub mod id;
pub mod index;
pub mod index_ivf;
pub mod knobs;
pub mod layout;
pub mod lists;
pub mod mask;
pub mod metric;
mod names;
pub mod node;
pub mod param;
pub mod params;
pub mod part;
pub mod plan;
pub mod quantizer;
pub mod registry;
pub mod report;
pub mod rows;
pub mod scanner;
pub mod section;
pub mod selector;
pub mod sink;
pub mod spec;
pub mod transform;
pub mod wire;

pub use ability::{
    Accelerate, Add, AddCodes, AddWithIds, CopySubset, Distances, Merge, RangeSearch, Reconstruct, Remove, Reset,
    ScanIds, StandaloneCodec, Subset, Train, Undo, Update, Upsert,
};
pub use accelerator::{Accelerator, KMeansDevice};
pub use codec::{Binding, BoundCodec, Codec, CodecContext, CodecSpec, CodecTraining, Residuals};
pub use direct_map::{DirectMap, DirectMapKind};
pub use element::{Element, ElementType};
pub use executor::Executor;
pub use hits::{Hits, HitsRow, SearchResult};
pub use id::{Id, Ids, ListNo, ListOffset, Location};
pub use index::Index;
pub use index_ivf::{IndexIvf, IndexIvfMut};
pub use layout::CodeLayout;
pub use lists::{ArrayLists, InvertedLists, InvertedListsMut};
pub use metric::Metric;
pub use node::{Node, StoredNode};
pub use param::{Param, Settings};
pub use params::{
    AddOptions, Cancel, ParallelMode, Progress, QueryParams, SearchParam, SearchParams, Takes, TrainOptions,
};
pub use part::{Knob, KnobValue, Part};
pub use plan::{Limits, Probes, SearchPlan};
pub use quantizer::{Centroids, Level1Quantizer, Permute, Promise, QuantizerSpec};
pub use registry::Registry;
pub use report::{AddReport, SearchStats, TrainReport, UpsertReport};
pub use rows::{AnyRows, MAX_DIM, Rows, RowsError};
pub use scanner::{Exactness, InvertedListScanner};
pub use section::Section;
pub use selector::IdSelector;
pub use sink::{Collector, Neighbor, Sink};
pub use spec::SpecText;
pub use transform::{Transform, TransformSpec};
