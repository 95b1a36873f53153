//! The native container: one file that holds a tree of nodes and their arrays.
//!
//! ```text
//! 0          64                  p        q                                    file length
//! | preamble | header            | zeros  | section 0 | zeros | section 1 | ... |
//! | 64 bytes | tree of nodes,    | to a   | raw array | to a  | raw array |     |
//! |          | section table     | mult.  |           | mult. |           |     |
//!                                  of 64                of 64
//! ```
//!
//! `docs/format.md` defines each byte. The preamble, the header and each section have a checksum,
//! and the bytes between them must be zero, so no change of a byte goes unnoticed. The encoding of
//! a tree is unique: its sections follow in the order of the table, each at the next multiple of
//! 64.
//!
//! The format is frozen as version 2.0: every later library reads the files that this one writes.
//! This library also reads the files of version 1.0, whose nodes hold their fields without names.
//!
//! ```
//! use ivf_core::field::{Field, FieldType};
//! use ivf_core::{Node, node::NamedArray};
//! use ivf_io::{decode_container, write_container_to};
//!
//! let mut node = Node::new("thing", 1).with("dim", 7_u64);
//! node.push(NamedArray::borrowed("weights", &[2], &[0.5_f32, 1.5]));
//! let mut bytes = Vec::new();
//! write_container_to(&mut bytes, &node)?;
//!
//! let stored = decode_container(&bytes)?;
//! let fields = stored.fields(&[Field::new("dim", FieldType::UInt)])?;
//! assert_eq!(fields.dim("dim")?, 7);
//! assert_eq!(stored.array::<f32>("weights")?, [0.5, 1.5]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod header;
mod open;
mod preamble;
mod read;
#[cfg(test)]
mod saves;
#[cfg(test)]
mod tests;
mod write;

pub use error::{ContainerError, EncodeError, NodeError, ReadError, WriteError};
pub use header::{MAX_AXES, MAX_DEPTH, MAX_NAME};
pub use open::{Container, SectionInfo};
pub use preamble::FORMAT_VERSION;
pub use read::{decode_container, read_container};
pub use write::{check_writable, write_container, write_container_to};
