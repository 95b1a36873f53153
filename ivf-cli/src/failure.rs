//! Failures of commands.

use ivf_core::error::{BuildError, InputError};
use ivf_factory::{ReadIndexError, WriteIndexError};
use ivf_io::{ReadError, VectorFileError, WriteError};
use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

/// The reason why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line is invalid: exit code 2.
    Usage(String),
    /// The command failed while it was running: exit code 1.
    Failed(String),
    /// Standard output cannot be written: exit code 1, or 0 if its reader has closed it.
    Output(io::Error),
}

impl Failure {
    /// Makes a failure from an error in the command line.
    pub(crate) fn usage(error: &dyn Error) -> Self {
        Self::Usage(chain(error))
    }

    /// Makes a failure from what could not be done, and why.
    pub(crate) fn failed(what: impl fmt::Display, error: &dyn Error) -> Self {
        Self::Failed(format!("{what}: {}", chain(error)))
    }

    /// Makes a failure from what could not be done, and the vector that is why. For commands with
    /// the option `--skip-bad-rows`, which is named if it would help.
    pub(crate) fn of_vector(what: impl fmt::Display, error: &InputError) -> Self {
        let hint = match error {
            InputError::NonFinite { .. } | InputError::ZeroVector { .. } | InputError::Overflow { .. } => {
                "; --skip-bad-rows skips such vectors"
            }
            _ => "",
        };
        Self::Failed(format!("{what}: {}{hint}", chain(error)))
    }

    /// Returns the exit code of the program.
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

/// Conversions of errors that name their subject themselves: a file, or an environment variable.
macro_rules! from_errors {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::Failed(chain(&error))
            }
        }
    )*};
}
from_errors!(BuildError, VectorFileError, ReadError, ReadIndexError, WriteIndexError, WriteError);

/// Converts an error of a write to standard output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Prints a line to standard error. A failure to do so is ignored.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Returns the texts of an error and its sources. The text of a third-party error may end with the
/// text of its source, which is then not repeated.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let why = source.to_string();
        if !text.ends_with(&why) {
            text.push_str(": ");
            text.push_str(&why);
        }
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use ivf_core::error::{AddError, SearchError, StoreError};

    #[test]
    fn sources_are_joined() {
        let error = StoreError::Backend("the disk is full".into());
        assert_eq!(
            Failure::failed("cannot add", &error).to_string(),
            "cannot add: reading or writing the lists failed: the disk is full"
        );
        let error = AddError::Assign(Box::new(SearchError::Store(error)));
        assert_eq!(
            Failure::failed("cannot add", &error).to_string(),
            "cannot add: assigning the vectors to lists failed: reading or writing the lists failed: the disk is full"
        );
    }

    /// An error whose text includes its source.
    #[derive(Debug)]
    struct SaysItsSource(StoreError);

    impl fmt::Display for SaysItsSource {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "no search: {}", self.0)
        }
    }

    impl Error for SaysItsSource {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn what_an_error_repeats_is_printed_once() {
        let error = SaysItsSource(StoreError::Backend("the disk is full".into()));
        assert_eq!(
            Failure::usage(&error).to_string(),
            "no search: reading or writing the lists failed: the disk is full"
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_said_once() {
        let error = ivf_io::VectorReader::open("missing.fvecs").expect_err("no such file");
        let text = Failure::from(error).to_string();
        assert!(text.starts_with("cannot read missing.fvecs: "), "{text}");
        assert_eq!(text.matches("os error").count(), 1, "{text}");
    }
}
