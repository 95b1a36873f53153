//! Any bytes as an HDF5 file.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ivf_fuzz::hdf5(bytes));
