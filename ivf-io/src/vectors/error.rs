//! Errors of reading and writing vector files.

use super::{MAX_DIM, VectorType};
use crate::looks::{Expected, Looks};
use std::io;
use std::path::{Path, PathBuf};

/// An error of reading or writing a vector file. Records are numbered from 0. The operating
/// system's error is the source, and is not repeated in the text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VectorFileError {
    /// The file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        why: io::Error,
    },
    /// The file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        why: io::Error,
    },
    /// The file has no vectors, so their dimension is unknown.
    #[error("{} has no vectors", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The dimension is out of range. The file probably has another format.
    #[error("{}: record {record} has dimension {found}, which must be from 1 to {MAX_DIM}", path.display())]
    Dimension {
        /// The file.
        path: PathBuf,
        /// The record.
        record: u64,
        /// Its dimension.
        found: i64,
    },
    /// The file name ends like none of the [formats](super::FORMATS).
    #[error("{}: unknown format of vectors: the file name should end in {known}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Known file extensions.
        known: String,
    },
    /// A file was to be written in a format that can only be read.
    #[error("{}: this format can only be read; names of files to write end in {known}", path.display())]
    OnlyRead {
        /// The file.
        path: PathBuf,
        /// Extensions of the formats that can be written.
        known: String,
    },
    /// The format is not supported by this build.
    #[error("{}: this build cannot read such files: it lacks the feature `{feature}`", path.display())]
    Feature {
        /// The file.
        path: PathBuf,
        /// The feature of this crate.
        feature: &'static str,
    },
    /// The name selects no dataset of the file, or one that does not exist.
    #[error("{}: no dataset of that name; {}", path.display(), choices(there))]
    Dataset {
        /// The file, with the dataset if the name includes one.
        path: PathBuf,
        /// Datasets of the file, without those in groups.
        there: Vec<String>,
    },
    /// The header of the file is invalid, or cannot describe the vectors.
    #[error("{}: {what}", path.display())]
    Head {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A number cannot be converted to the target type.
    #[error(
        "{}: vector {record}, dimension {column}: {number} does not fit {element}{}",
        path.display(),
        advice.as_ref().map(|advice| format!("; {advice}")).unwrap_or_default()
    )]
    Number {
        /// The file.
        path: PathBuf,
        /// The record.
        record: u64,
        /// Index in the record.
        column: usize,
        /// The number.
        number: String,
        /// The target type.
        element: VectorType,
        /// What to do about it, if the format has a remedy.
        advice: Option<String>,
    },
    /// A record whose dimension differs from that of the first.
    #[error("{}: record {record} has dimension {found}, record 0 has {expected}", path.display())]
    Ragged {
        /// The file.
        path: PathBuf,
        /// The record.
        record: u64,
        /// The dimension of the first record.
        expected: usize,
        /// The dimension of this one.
        found: i64,
    },
    /// The file was refused, and its first bytes look like those of another format.
    #[error("{why}; {looks}")]
    Looks {
        /// Why the file was refused.
        why: Box<VectorFileError>,
        /// What it looks like, and what to do.
        looks: Looks,
    },
    /// The file ends inside a record.
    #[error("{}: record {record} is cut short: {left} bytes of {needed}", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The record, assuming that all records before it are as long as the first.
        record: u64,
        /// Size of a record in bytes.
        needed: u64,
        /// Number of bytes that are left of it.
        left: u64,
    },
}

impl VectorFileError {
    /// Adds what a refused file looks like, from its first bytes and, if known, its length.
    pub(super) fn looking(self, start: &[u8], len: Option<u64>, expected: Expected<'_>) -> Self {
        let refused =
            matches!(self, Self::Dimension { .. } | Self::Format { .. } | Self::Head { .. } | Self::Truncated { .. });
        match refused.then(|| Looks::of(start, len, expected)).flatten() {
            Some(looks) => Self::Looks { why: Box::new(self), looks },
            None => self,
        }
    }

    pub(super) fn read(path: &Path, why: impl Into<io::Error>) -> Self {
        Self::Read { path: path.to_owned(), why: why.into() }
    }

    pub(super) fn write(path: &Path, why: io::Error) -> Self {
        Self::Write { path: path.to_owned(), why }
    }
}

/// Maximum number of dataset names in a message.
const SHOWN: usize = 20;

/// Returns a hint about the datasets that a name can select.
fn choices(there: &[String]) -> String {
    if there.is_empty() {
        return "the file has none".to_owned();
    }
    let shown: Vec<String> = there.iter().take(SHOWN).map(|name| name.escape_debug().to_string()).collect();
    format!("FILE:DATASET takes one of {}{}", shown.join(", "), if there.len() > SHOWN { ", ..." } else { "" })
}
