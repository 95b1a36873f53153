//! Any text as a factory string.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ivf_fuzz::factory(bytes));
