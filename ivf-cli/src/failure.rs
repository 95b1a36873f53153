//! How a command ends badly.

use ivf_factory::{ReadIndexError, WriteIndexError};
use ivf_io::{ReadError, VectorFileError};
use std::error::Error;
use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::process::ExitCode;

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line asks for something that cannot be: exit code 2.
    Usage(String),
    /// Something went wrong on the way: exit code 1.
    Failed(String),
    /// Standard output cannot be written: exit code 1, or 0 if its reader has gone.
    Output(io::Error),
}

impl Failure {
    /// An error in what the command line asks for.
    pub(crate) fn usage(error: &dyn Error) -> Self {
        Self::Usage(chain(error))
    }

    /// What could not be done, and why.
    pub(crate) fn failed(what: impl fmt::Display, error: &dyn Error) -> Self {
        Self::Failed(format!("{what}: {}", chain(error)))
    }

    /// The exit code of the program.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Failed(_) | Self::Output(_) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Failed(text) => f.write_str(text),
            Self::Output(error) => write!(f, "cannot write to standard output: {error}"),
        }
    }
}

/// Errors of files, which name the file themselves.
macro_rules! from_file_errors {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::Failed(chain(&error))
            }
        }
    )*};
}
from_file_errors!(VectorFileError, ReadError, ReadIndexError, WriteIndexError);

/// From a write to standard output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// A line on standard error. If nobody can read it, that is no reason to end.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The error and its sources.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        write!(text, ": {source}").expect("a string takes everything");
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use ivf_core::error::StoreError;

    #[test]
    fn sources_are_joined() {
        let error = StoreError::Backend("the disk is full".into());
        assert_eq!(
            Failure::failed("cannot add", &error).to_string(),
            "cannot add: reading or writing the lists failed: the disk is full"
        );
    }
}
