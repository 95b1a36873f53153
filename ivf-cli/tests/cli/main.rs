//! Tests of the program as its users see it: its output, the files that it writes, its exit codes.

mod build_and_search;
mod convert;
mod demo;
mod eval;
mod files;
mod hdf5;
mod info;
mod kinds;
mod memory;
mod mistakes;
mod program;
mod search;
mod truth;
