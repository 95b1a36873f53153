//! Errors of reading and writing containers.

use super::header::MAX_DEPTH;
use super::preamble::NEWEST;
use crate::looks::Looks;
use ivf_core::error::DecodeError;
use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// The reason why bytes cannot be read as a container.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContainerError {
    /// There are no bytes.
    #[error("the file is empty")]
    Empty,
    /// The bytes begin with another magic number: an image, a text, or an index of another library.
    #[error("this is not an ivf index file{}", looks.as_ref().map(|looks| format!("; {looks}")).unwrap_or_default())]
    Magic {
        /// What the bytes look like, if they tell.
        looks: Option<Looks>,
    },
    /// A version of the format that this library does not read.
    #[error("the file has format {major}.{minor}; this library reads {}", versions())]
    Version {
        /// The file's major version.
        major: u16,
        /// The file's minor version.
        minor: u16,
    },
    /// The bytes are truncated, damaged or invalid.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The bytes could not be read. This does not occur when a slice is decoded.
    #[error("the bytes cannot be read")]
    Io(#[from] io::Error),
}

/// Returns the versions of the format that this library reads, as text.
fn versions() -> String {
    NEWEST
        .map(|(major, newest)| match newest {
            0 => format!("{major}.0"),
            newest => format!("{major}.0 to {major}.{newest}"),
        })
        .join(" and ")
}

/// A file that could not be read as a container.
///
/// Displays the file and what is wrong with its bytes. If the operating system could not read them,
/// the [`io::Error`] is the [source](Error::source) and not part of the text.
#[derive(Debug)]
pub struct ReadError {
    /// The file.
    pub path: PathBuf,
    /// The reason.
    pub why: ContainerError,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read {}", self.path.display())?;
        match &self.why {
            ContainerError::Io(_) => Ok(()),
            why => write!(f, ": {why}"),
        }
    }
}

impl Error for ReadError {
    /// Returns the source of [`why`](Self::why), whose own text is already part of this error's
    /// text.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.why.source()
    }
}

/// The reason why a tree of nodes cannot be written as a container.
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
        /// `arrays` or `children`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// The product of an array's shape and element size is not its length in bytes.
    #[error("the array '{name}' of '{tag}' has {len} bytes, which does not match its shape")]
    Shape {
        /// The node's tag.
        tag: String,
        /// The array's name.
        name: String,
        /// Its length in bytes.
        len: u64,
    },
    /// A field holds a metric that has no name, such as `Lp` of a NaN.
    #[error("the field '{name}' of '{tag}' holds an invalid metric")]
    Metric {
        /// The node's tag.
        tag: String,
        /// The field's name.
        name: String,
    },
    /// A count or length exceeds the limit of the format.
    #[error("{what}: {len}, more than the maximum of {most}")]
    Limit {
        /// What is counted.
        what: &'static str,
        /// The count.
        len: usize,
        /// The maximum.
        most: usize,
    },
}

/// An error of writing a container to a stream.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The tree cannot be written.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The stream failed.
    #[error("the bytes cannot be written")]
    Io(#[from] io::Error),
}

/// A file that could not be written.
///
/// Displays the file and what is wrong with the tree. If the operating system reported an error,
/// the [`io::Error`] is the [source](Error::source) and not part of the text.
#[derive(Debug)]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// The reason.
    pub why: EncodeError,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot write {}", self.path.display())?;
        match &self.why {
            EncodeError::Io(_) => Ok(()),
            why => write!(f, ": {why}"),
        }
    }
}

impl Error for WriteError {
    /// Returns the source of [`why`](Self::why), whose own text is already part of this error's
    /// text.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.why.source()
    }
}
