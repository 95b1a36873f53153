//! File formats of the `ivf` framework: index files and vector files.
//!
//! | module | what |
//! |---|---|
//! | [`container`] | the native index file: a tree of exported nodes, written whole, and read whole or on demand |
//! | [`mmap`] | memory-mapped files |
//! | [`vectors`] | fvecs, ivecs, bvecs, fbin, ibin, u8bin, i8bin and npy files, read and written in blocks; HDF5 files, read only (feature `hdf5`) |
//!
//! This crate handles trees of nodes and matrices of numbers, not indexes. `ivf-factory` converts
//! between trees of nodes and indexes. Every file is replaced atomically. Every byte of an index
//! file is covered by a checksum or compared with its only valid value.
//!
//! The text of an error names the file and states what this library found. The operating system's
//! error, an [`io::Error`](std::io::Error), is the [source](std::error::Error::source) and is not
//! repeated in the text. To report each fact exactly once, print the chain of sources, joined with
//! `: `.
//!
//! ```
//! use std::error::Error;
//!
//! let error = ivf_io::Container::open("missing.ivf").unwrap_err();
//! assert_eq!(error.to_string(), "cannot read missing.ivf");
//! let why = error.source().and_then(|source| source.downcast_ref::<std::io::Error>()).expect("the system's error");
//! assert_eq!(why.kind(), std::io::ErrorKind::NotFound);
//! ```

#![deny(unsafe_code)]

#[cfg(target_endian = "big")]
compile_error!("ivf files are little-endian and are read without conversion: a big-endian target is not supported");

pub mod container;
mod file;
mod looks;
#[allow(unsafe_code, reason = "a map is only as good as the promise that its file stays as it is")]
pub mod mmap;
pub mod vectors;

pub use container::{
    Container, ContainerError, EncodeError, FORMAT_VERSION, NodeError, ReadError, SectionInfo, WriteError,
    check_writable, decode_container, read_container, write_container, write_container_to,
};
pub use file::{OwnerChange, WriteCheck};
pub use looks::Looks;
pub use mmap::{Map, MapError};
pub use vectors::{VectorFileError, VectorReader, VectorType, VectorWriter, Vectors, read_vectors, write_vectors};
