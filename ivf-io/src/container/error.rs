//! Why a container could not be read or written.

use super::header::MAX_DEPTH;
use super::preamble::FORMAT_VERSION;
use ivf_core::error::DecodeError;
use std::io;
use std::path::PathBuf;

/// Why bytes are no container that this library reads.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContainerError {
    /// There are no bytes.
    #[error("the file is empty")]
    Empty,
    /// The bytes begin with another magic: an image, a text, an index of another library.
    #[error("this is not an ivf index file")]
    Magic,
    /// A version of the format that this library does not read.
    #[error("the file has format {major}.{minor}; this library reads {}.0 to {}.{}", FORMAT_VERSION.0, FORMAT_VERSION.0, FORMAT_VERSION.1)]
    Version {
        /// The file's major version.
        major: u16,
        /// The file's minor version.
        minor: u16,
    },
    /// The bytes are cut short, damaged, or make no sense.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The bytes could not be had. Never from a slice.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A file that could not be read as a container.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}: {why}", path.display())]
pub struct ReadError {
    /// The file.
    pub path: PathBuf,
    /// The reason.
    pub why: ContainerError,
}

/// Why a tree of nodes has no container.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The tree is too deep.
    #[error("the node '{tag}' is nested deeper than {MAX_DEPTH} levels")]
    Depth {
        /// The tag of the first node beyond the limit.
        tag: String,
    },
    /// A tag or a name has a control character.
    #[error("the name {name:?} has a control character")]
    Name {
        /// The name.
        name: String,
    },
    /// Two arrays or two children have the same name.
    #[error("the node '{tag}' has two {what} named '{name}'")]
    Duplicate {
        /// The node's tag.
        tag: String,
        /// Arrays or children.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// The shape of an array does not multiply to its bytes.
    #[error("the array '{name}' of '{tag}' has {len} bytes, which its shape does not multiply to")]
    Shape {
        /// The node's tag.
        tag: String,
        /// The array's name.
        name: String,
        /// Its bytes.
        len: u64,
    },
    /// Something is longer than the format can say.
    #[error("{what}: {len} are too many, there may be {most}")]
    Limit {
        /// What is counted.
        what: &'static str,
        /// How many there are.
        len: usize,
        /// How many there may be.
        most: usize,
    },
}

/// Why a container could not be written to a stream.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The tree cannot be written.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The stream failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {why}", path.display())]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// The reason.
    pub why: EncodeError,
}
