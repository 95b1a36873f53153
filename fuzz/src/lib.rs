//! The functions of the fuzz targets. They panic if the library breaks a guarantee.
//! `tests/fuzz_inputs.rs` calls the same functions with all seeds and all regressions.

#![forbid(unsafe_code)]

mod containers;
mod factory;
mod tree;
mod vectors;

pub use containers::{container, container_resealed};
pub use factory::factory;
pub use tree::write_tree;
pub use vectors::{bin, hdf5, npy, vecs};

/// A target: its name, and its function of an input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("container", container),
    ("container_resealed", container_resealed),
    ("factory", factory),
    ("vecs", vecs),
    ("bin", bin),
    ("npy", npy),
    ("hdf5", hdf5),
];
