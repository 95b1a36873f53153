//! Tests of the program as its users see it: its output, the files that it writes, its exit codes.

mod build_and_search;
mod convert;
mod demo;
mod files;
mod hdf5;
mod info;
mod keep;
mod man;
mod memory;
mod mistakes;
#[cfg(target_os = "linux")]
mod ordinary;
mod outputs;
mod program;
#[cfg(target_os = "linux")]
mod threads;
