//! Inverted-file (IVF) vector search: composable, memory-safe, built from factory strings.
//!
//! This crate is the front door: it re-exports the framework's crates under short names and adds
//! nothing.
//!
//! ```
//! use ivf::{Metric, Rows, SearchParams};
//!
//! // 1,000 vectors of 8 dimensions.
//! let vectors: Vec<f32> = (0..8000).map(|i| ((i * 37) % 101) as f32).collect();
//! let rows = Rows::new(&vectors, 8)?;
//!
//! let mut index = ivf::build("IVF16,Flat", 8, Metric::L2)?;
//! index.train(rows)?;
//! index.add(rows)?;
//!
//! for row in &index.search(rows.slice(0..2), 5, &SearchParams::new().nprobe(4))? {
//!     for (id, distance) in row {
//!         println!("vector {id} at {distance}");
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to look
//!
//! | you want to | look at |
//! |---|---|
//! | make an index from a string | [`build`], [`Spec`] and the table of tokens in `docs/factory.md` |
//! | make it from a config file | [`BuildParams`]; [`SearchParams`], [`TrainOptions`] and [`AddOptions`] work with serde |
//! | search | `search` of [`dyn Index`](Index), [`SearchParams`], [`SearchResult`], [`Hits`] |
//! | let only some ids be found | [`IdSelector`], [`SearchParams::selector`], for each query its own: [`QueryParams`] |
//! | add, remove, update, reconstruct, merge | the verbs of [`dyn Index`](Index); [`ability`] |
//! | set and read knobs | `set_knob` of [`dyn Index`](Index), [`Index::parts`], [`Index::takes`] |
//! | keep an index in a file | [`write_index`], [`read_index`] |
//! | search a file without reading all of it | [`open_index`], [`open_mapped`] with an [`io::Map`]; [`verify_index`] |
//! | share an index between threads while it changes | [`cpu::SharedIndex`], [`Index::clone_index`] |
//! | stop a long call, hear how far it is | [`Cancel`], [`Progress`] |
//! | bring your own lists of probes, or take results as they are found | [`IndexIvf::search_preassigned`], [`IndexIvf::search_one`] |
//! | add to given lists, replace or renumber them | [`IndexIvfMut`]; inside wrappers, `find_ivf_mut` of [`dyn Index`](Index) |
//! | look inside an index, whatever its kind | [`Index::export`], [`Node`], [`field`] |
//! | make an index of parts from elsewhere | [`cpu::IvfIndex::from_parts`] and its like |
//! | write a codec, a store, a quantizer | [`Codec`], [`InvertedLists`], [`Level1Quantizer`], and [`registry`] |
//! | read vector files | [`io`] |
//!
//! `use ivf::*` is fine too:
//!
//! ```
//! use ivf::*;
//! use ivf::params::NonFinite;
//! let options = AddOptions::new().non_finite(NonFinite::SkipRow);
//! # let _ = options;
//! ```
//!
//! A kind of your own, with a factory token of its own, is a row added to a clone of
//! [`default_registry`].
//!
//! # Examples
//!
//! The folder `examples/` is to be read in order:
//!
//! | example | shows |
//! |---|---|
//! | `01_quickstart` | build, train, add, search, filter, save, load |
//! | `02_own_codec` | a codec with a token and a parameter of its own |
//! | `03_own_store` | a list store that shares its chunks with snapshots |
//! | `04_filters_and_edits` | filters, limits of single queries, results as they are found, changes by id |
//! | `05_inspector` | what stands in any index file |
//! | `06_wrapping_codec` | a codec around any other codec |
//! | `07_own_quantizer` | a coarse quantizer that finds its lists by any index |
//! | `08_store_with_path` | lists in a folder of your own |
//! | `09_application` | a config, shards, merge, threads that share an index, Ctrl-C |

#![forbid(unsafe_code)]

pub use ivf_core::*;
pub use ivf_cpu as cpu;
pub use ivf_factory::{
    BuildParams, FactoryError, ParseError, ReadIndexError, Spec, SpecError, SpecSeed, SpecTree, WriteIndexError, build,
    build_with, default_registry, open_container, open_container_with, open_index, open_index_with, open_mapped,
    open_mapped_with, parse_index, read_index, read_index_with, verify_index, verify_index_with, write_index,
};
pub use ivf_io as io;
pub use ivf_pq as pq;

/// README.md, whose examples are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
