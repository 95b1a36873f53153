//! Inverted-file (IVF) vector search: composable, memory-safe, built from factory strings.
//!
//! An IVF index partitions vectors into lists around centroids. A search scans only the lists whose
//! centroids are nearest to the query. The architecture and the strings are those of
//! [Faiss](https://github.com/facebookresearch/faiss).
//!
//! ```
//! use ivf::prelude::*;
//!
//! // 1,000 vectors of 8 dimensions.
//! let vectors: Vec<f32> = (0..8000).map(|i| (i as f32 * 0.7).sin()).collect();
//! let rows = Rows::new(&vectors, 8)?;
//!
//! let mut index = ivf::build("IVF16,Flat", 8, Metric::L2)?;
//! index.train(rows)?;
//! index.add(rows)?;
//!
//! // A search scans the 4 lists nearest to the query. The default is 1 list, as in Faiss.
//! for row in &index.search(rows.slice(0..2), 5, &SearchParams::new().nprobe(4))? {
//!     for (id, distance) in row {
//!         println!("vector {id} at distance {distance}");
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Should I use this?
//!
//! Yes, to search 10,000 to some 100 million vectors on one machine with approximate results. Below
//! that, use the exact index `"Flat"`. The README lists what is missing: a GPU engine, Python,
//! Faiss's files, graphs, learnt transforms and additive codecs.
//!
//! The package is `ivf-index`, and the library is `ivf`:
//!
//! ```toml
//! [dependencies]
//! ivf-index = "0.1"
//! ```
//!
//! # Where to look
//!
//! Applications need [`prelude`]. Authors of codecs, list stores, quantizers, transforms or
//! wrappers need [`extend`]. All other items are in the modules below, by topic.
//!
//! | to | use |
//! |---|---|
//! | build an index from a string | [`build`]; [`factory_strings`] lists the tokens, abilities and knobs |
//! | build it from a config file | [`BuildParams`]; [`SearchParams`], [`TrainOptions`] and [`AddOptions`] work with serde |
//! | search | [`search`](trait.Index.html#method.search), [`SearchParams`], [`SearchResult`], [`Hits`] |
//! | filter by id | [`IdSelector`] with [`SearchParams::selector`], or for single queries [`QueryParams`] |
//! | add, remove, update, reconstruct, merge | the methods of [`dyn Index`](Index) |
//! | set and read knobs | [`set_knob`](trait.Index.html#method.set_knob), [`Index::parts`], [`Index::takes`] |
//! | keep an index in a file | [`write_index`], [`read_index`] |
//! | search a file without reading all of it | [`open_index`], or [`open_mapped`] with an [`io::Map`]; [`verify_index`] |
//! | share an index between threads while it changes | [`cpu::SharedIndex`], [`Index::clone_index`] |
//! | bring your own probes, or collect results as they are found | [`IndexIvf::search_preassigned`], [`IndexIvf::search_one`] |
//! | add to given lists, replace or renumber lists | [`IndexIvfMut`]; inside wrappers, `find_ivf_mut` of [`dyn Index`](Index) |
//! | inspect an index of any kind | [`Index::export`], [`node::Node`], [`field`] |
//! | assemble an index from parts | [`cpu::IvfIndex::from_parts`], [`cpu::CodesIndex::from_parts`] |
//! | read and write vector files | [`io`] |
//!
//! Most items are defined in the crates below this one, and their examples name those crates. In an
//! application, write `ivf::` for `ivf_core::` and `ivf_factory::`, `ivf::extend::` for contracts
//! of implementers, and `ivf::cpu::`, `ivf::pq::` and `ivf::io::` for `ivf_cpu::`, `ivf_pq::` and
//! `ivf_io::`.
//!
//! The [examples](https://docs.rs/crate/ivf-index/latest/source/examples/) are best read in order:
//! `01_quickstart`, `02_own_codec`, `03_own_store`, `04_filters_and_edits`, `05_inspector`,
//! `06_wrapping_codec`, `07_own_quantizer`, `08_store_with_path`, `09_application`.
//!
//! # Threads and pools
//!
//! Small loops, of up to about 50 µs, run on the calling thread. Larger ones run on rayon's global
//! pool. To use another pool, pass a [`cpu::RayonPool`] as the `executor` of a call;
//! [`executor::Inline`] runs a call on the calling thread. Results are bit-identical for any number
//! of threads.
//!
//! A call from a task of a rayon pool runs on the thread of that task, as the other threads have
//! tasks of their own. Pass a [`cpu::RayonPool`] that is not the task's to run it on several
//! threads. If the system has no thread to give, a call with the default executor runs on the
//! calling thread.
//!
//! # Locks and forks
//!
//! The library keeps no global mutable state, and a search holds no lock. An update of a
//! [`cpu::SharedIndex`] holds a lock while it runs. Tasks of a pool may hold a lock around a call:
//! a call that waits for threads never takes up another task of the pool meanwhile. (Rayon's own
//! loops do, and such a task would wait for the lock that its thread holds.)
//!
//! The threads of a pool do not survive `fork`. In the child process, calls run on the calling
//! thread; to use several, create a new pool there and pass it as executor. (If code outside this
//! library starts rayon's global pool before a fork, and this library is first used after it, pass
//! an executor: the library cannot know of the fork.)
//!
//! # Cancelling and progress
//!
//! Training, adding and searching take a [`Cancel`], which another thread may trigger. The call
//! then returns an error and leaves the index as it was. Training and adding report to a
//! [`Progress`].
//!
//! # Cosine
//!
//! [`Metric::Cosine`] scales vectors and queries to unit length and searches by inner product. A
//! zero vector has no direction and is an error. Reconstructed vectors are the scaled ones.
//!
//! # Sharing
//!
//! An index is [`Sync`]: any number of threads may search it through `&index`.
//! [`Index::clone_index`] gives a snapshot that shares memory with the original until either is
//! written to. [`cpu::SharedIndex`] publishes snapshots to readers while a writer changes the
//! index.
//!
//! # Memory
//!
//! [`Index::memory`] gives the bytes that an index holds, `memory_with` of [`dyn Index`](Index)
//! estimates them for more vectors, and `training_memory` gives the peak of training. An index that
//! was opened with [`open_index`] reads its lists from the file when a search scans them.
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `hdf5` | no | reading vectors from HDF5 files, as those of ann-benchmarks |
//!
//! # Oldest supported Rust
//!
//! Rust 1.95 (`rust-version` in `Cargo.toml`). It rises only in a minor version, to a release that
//! is at least six months old once this crate is past 1.0.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod extend;
pub mod prelude;

#[doc(inline)]
pub use ivf_factory::{
    BuildParams, FactoryError, ParseError, ReadIndexError, Spec, SpecError, SpecSeed, SpecTree, WriteIndexError, build,
    build_with, default_registry, open_container, open_container_with, open_index, open_index_with, open_mapped,
    open_mapped_with, parse_index, read_index, read_index_with, verify_index, verify_index_with, write_index,
};

// What callers of an index name.
#[doc(inline)]
pub use ivf_core::{
    AddOptions, AddReport, AnyRows, Cancel, Collector, DirectMapKind, Element, ElementType, Executor, Hits, HitsRow,
    Id, IdSelector, Ids, Index, IndexIvf, IndexIvfMut, Knob, KnobValue, ListNo, ListOffset, Location, MAX_DIM, Metric,
    Neighbor, ParallelMode, Param, Part, Probes, Progress, QueryParams, Registry, Rows, RowsError, SearchParam,
    SearchParams, SearchResult, SearchStats, Settings, Sink, Subset, Takes, TrainOptions, TrainReport, UpsertReport,
};

// Topics, for callers and implementers.
#[doc(inline)]
pub use ivf_core::{
    ability, accelerator, bytes, codec, direct_map, element, error, executor, field, hits, id, index, index_as_ref,
    index_ivf, knobs, layout, lists, mask, metric, node, param, params, part, plan, quantizer, registry, report, rows,
    scanner, section, selector, sink, spec, transform, wire,
};

// The crates of the engine, the files and the compressed codecs.
#[doc(inline)]
pub use ivf_cpu as cpu;
#[doc(inline)]
pub use ivf_io as io;
#[doc(inline)]
pub use ivf_pq as pq;

/// The grammar of factory strings, and the tables of tokens, knobs and abilities.
#[doc = include_str!("../docs/factory.md")]
pub mod factory_strings {}

/// The format of index files.
#[doc = include_str!("../docs/format.md")]
pub mod file_format {}

/// README.md, whose examples are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
