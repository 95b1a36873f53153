//! What is wrong with a vector file.

use super::{MAX_DIM, VectorType};
use std::io;
use std::path::{Path, PathBuf};

/// Why a vector file could not be read or written. Records count from 0. What the system says is
/// the source, not in the text.
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
    /// A file without vectors: nobody can tell their dimension.
    #[error("{} has no vectors", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A dimension that no vector has: probably a file of another kind.
    #[error("{}: record {record} has dimension {found}, which must be from 1 to {MAX_DIM}", path.display())]
    Dimension {
        /// The file.
        path: PathBuf,
        /// The record.
        record: u64,
        /// Its dimension.
        found: i64,
    },
    /// A name that ends like none of the [formats](super::FORMATS).
    #[error("{}: the name says no format of vectors: it should end in {known}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// How names may end.
        known: String,
    },
    /// A file of a format that is only read shall be written.
    #[error("{}: such files are only read; those to write end in {known}", path.display())]
    OnlyRead {
        /// The file.
        path: PathBuf,
        /// How names of files to write end.
        known: String,
    },
    /// A format that this build leaves out.
    #[error("{}: this build reads no such files: it was made without the feature `{feature}`", path.display())]
    Feature {
        /// The file.
        path: PathBuf,
        /// The feature of this crate.
        feature: &'static str,
    },
    /// The name does not say which of the sets of vectors in the file, or says one that is not there.
    #[error("{}: no dataset of that name; {}", path.display(), choices(there))]
    Dataset {
        /// The file, with the dataset if the name says one.
        path: PathBuf,
        /// Those there are, not counting such as lie in groups.
        there: Vec<String>,
    },
    /// What stands before the vectors cannot be.
    #[error("{}: {what}", path.display())]
    Head {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A number that the other type does not hold.
    #[error("{}: vector {record}, dimension {column}: {number} is no {element}", path.display())]
    Number {
        /// The file.
        path: PathBuf,
        /// The record.
        record: u64,
        /// Where in the record.
        column: usize,
        /// The number.
        number: String,
        /// What it should become.
        element: VectorType,
    },
    /// A record of another dimension than the first.
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
    /// The file ends inside a record.
    #[error("{}: record {record} is cut short: {left} bytes of {needed}", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The record, if all before it are as long as the first.
        record: u64,
        /// Bytes of a record.
        needed: u64,
        /// Bytes there are.
        left: u64,
    },
}

impl VectorFileError {
    pub(super) fn read(path: &Path, why: impl Into<io::Error>) -> Self {
        Self::Read { path: path.to_owned(), why: why.into() }
    }

    pub(super) fn write(path: &Path, why: io::Error) -> Self {
        Self::Write { path: path.to_owned(), why }
    }
}

/// Names that are shown.
const SHOWN: usize = 20;

/// What a name may say about a file with these datasets.
fn choices(there: &[String]) -> String {
    if there.is_empty() {
        return "the file has none".to_owned();
    }
    let shown: Vec<String> = there.iter().take(SHOWN).map(|name| name.escape_debug().to_string()).collect();
    format!("FILE:DATASET takes one of {}{}", shown.join(", "), if there.len() > SHOWN { ", ..." } else { "" })
}
