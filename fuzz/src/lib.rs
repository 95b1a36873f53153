//! What each fuzz target does with its bytes: it panics if the library breaks a promise. `tests/fuzz_inputs.rs` replays all seeds and
//! all regressions through the same bodies.

#![forbid(unsafe_code)]

mod containers;
mod factory;
mod tree;
mod vectors;

pub use containers::{container, container_resealed};
pub use factory::factory;
pub use tree::write_tree;
pub use vectors::{bin, hdf5, npy, vecs};

/// A target: its name, and what it does with an input.
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
