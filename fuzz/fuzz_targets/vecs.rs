//! Any bytes as an fvecs, ivecs or bvecs file.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ivf_fuzz::vecs(bytes));
