//! Tests of the suites themselves: correct subjects pass, and each deliberate fault is caught for
//! the right reason.

mod codecs;
mod indexes;
mod ivf;
mod naive;
mod quantizers;
mod scalar;
mod stores;
mod surface;
mod transforms;
mod wrappers;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Asserts that a suite panics with a message that contains `words`.
fn assert_caught(words: &str, suite: impl FnOnce()) {
    let panic = catch_unwind(AssertUnwindSafe(suite)).expect_err("the suite misses a fault");
    let message = panic.downcast_ref::<String>().cloned();
    let message = message.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default();
    assert!(message.contains(words), "caught, but not for '{words}': {message}");
}
