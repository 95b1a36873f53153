//! Scalar quantizers: each dimension of a vector is a number of 4 to 16 bits.
//!
//! [`kinds`] is the table of them. [`numbers`] says how a code holds its numbers, [`scale`] how a
//! number becomes a coordinate, and [`layout`] how codes lie in a block.

mod alone;
mod bound;
mod bytes;
mod codec;
mod codes;
mod first_pass;
mod kinds;
mod layout;
mod numbers;
mod scale;
mod scan;
#[cfg(test)]
mod tests;

pub use codec::{SqCodec, SqSpec};
pub(crate) use kinds::ROWS;
