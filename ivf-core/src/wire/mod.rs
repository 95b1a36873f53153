//! Encoding and decoding of bytes: a bounded reader, a writer, and the only module that uses
//! bincode.
//!
//! Readers return a value or a [`DecodeError`](crate::error::DecodeError) for every input. They
//! never panic, and the memory that they allocate is bounded by the size of the input.

pub mod meta;
mod reader;
mod version_1;

pub use reader::{Bound, Reader, Writer};
pub use version_1::decode_version_1;
