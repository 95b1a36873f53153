//! Index files whose checksums and lengths are right, and the rest anything.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ivf_fuzz::container_resealed(bytes));
