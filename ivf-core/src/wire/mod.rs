//! Bytes from outside: a bounded reader, a writer, and the one module that knows bincode.
//!
//! Whatever reads here answers every byte string with a value or a [`DecodeError`](crate::error::DecodeError): it never
//! panics, and it takes no more memory than the bytes it was given justify.

pub mod meta;
mod reader;

pub use reader::{Bound, Reader, Writer};
