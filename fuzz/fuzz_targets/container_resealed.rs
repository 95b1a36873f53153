//! Index files with correct checksums and lengths, and arbitrary contents.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ivf_fuzz::container_resealed(bytes));
