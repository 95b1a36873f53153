//! Tests of the program as its users see it: its output, the files that it writes, its exit codes.

mod build_and_search;
mod convert;
mod demo;
mod eval;
mod files;
mod hdf5;
mod info;
mod keep;
mod kinds;
mod man;
mod memory;
mod mistakes;
#[cfg(target_os = "linux")]
mod ordinary;
mod outputs;
mod program;
mod search;
mod streams;
#[cfg(target_os = "linux")]
mod threads;
mod truth;
mod walk;
