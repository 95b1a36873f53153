//! Inverted-file (IVF) vector search: composable, memory-safe, built from factory strings.
//!
//! This crate is the front door: it re-exports the framework's crates under short names and adds nothing.
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
//! let found = index.search(rows.slice(0..2).into(), 5, &SearchParams::new().nprobe(4))?;
//! assert_eq!(found.hits.row(0).ids[0].0, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to look
//!
//! | you want to | look at |
//! |---|---|
//! | make an index from a string | [`build`], [`Spec`] and the table of tokens in `docs/factory.md` |
//! | search | [`Index::search`], [`SearchParams`], [`Hits`] |
//! | let only some ids be found | [`IdSelector`], [`SearchParams::selector`], for each query its own: [`QueryParams`] |
//! | add, remove, update, reconstruct, merge | the abilities: [`ability`], [`Index`] and its `as_*` |
//! | keep an index in a file | [`write_index`], [`read_index`] |
//! | search a file without reading all of it | [`open_index`], [`open_mapped`] with an [`io::Map`]; [`verify_index`] |
//! | bring your own lists of probes, or take results as they are found | [`IndexIvf::search_preassigned`], [`IndexIvf::search_one`] |
//! | add to given lists, replace or renumber them | [`IndexIvfMut`] |
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
//! An own kind, with a factory token of its own, is a row added to [`default_registry`]'s clone; `examples/` has two.

#![forbid(unsafe_code)]

pub use ivf_core::*;
pub use ivf_cpu as cpu;
pub use ivf_factory::{
    FactoryError, ParseError, ReadIndexError, Spec, WriteIndexError, build, build_with, default_registry,
    open_container, open_index, open_index_with, open_mapped, open_mapped_with, read_index, read_index_with,
    verify_index, verify_index_with, write_index,
};
pub use ivf_io as io;
pub use ivf_pq as pq;

/// README.md, whose examples are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
