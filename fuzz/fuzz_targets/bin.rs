//! Any bytes as an fbin, ibin, u8bin or i8bin file.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ivf_fuzz::bin(bytes));
