//! Bytes at rest for the ivf framework.
//!
//! | module | what |
//! |---|---|
//! | [`container`] | the native index file: a tree of exported nodes, written whole and read whole |
//! | [`vectors`] | fvecs, ivecs, bvecs, fbin, ibin, u8bin, i8bin and npy files, read and written in blocks |
//!
//! This crate knows trees of nodes and matrices of numbers, not indexes: `ivf-factory` turns one into the other. Every file
//! is replaced atomically, and every byte of an index file is covered by a checksum or compared with the one value that it
//! may have.

#![forbid(unsafe_code)]

#[cfg(target_endian = "big")]
compile_error!("ivf files are little-endian and are read without conversion: a big-endian target is not supported");

pub mod container;
mod file;
pub mod vectors;

pub use container::{
    ContainerError, EncodeError, FORMAT_VERSION, NodeError, ReadError, WriteError, decode_container, read_container,
    write_container, write_container_to,
};
pub use vectors::{VectorFileError, VectorReader, VectorType, VectorWriter, Vectors, read_vectors, write_vectors};
