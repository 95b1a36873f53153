//! Running the program.

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

/// Returns a command that runs the program with arguments and captures its output.
pub(crate) fn command(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ivf"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Result of a run.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the program to its end.
pub(crate) fn ivf(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ran {
    ran(&mut command(args))
}

/// Runs a command to its end.
pub(crate) fn ran(command: &mut Command) -> Ran {
    let Output { status, stdout, stderr } = command.output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("the program prints UTF-8");
    Ran { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

impl Ran {
    /// Asserts that the run succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self
    }

    /// Asserts that the run failed with `code` after warnings only, and as in
    /// [`failed`](Self::failed). Returns the error message.
    #[track_caller]
    pub(crate) fn failed_after_warnings(mut self, code: i32) -> String {
        let error = self.stderr.find("error: ").unwrap_or(0);
        let warnings = self.stderr.drain(..error).collect::<String>();
        assert!(warnings.lines().all(|line| line.starts_with("warning: ")), "{warnings}{}", self.stderr);
        self.failed(code)
    }

    /// Asserts that the run ended with `code`, printed nothing to standard output and did not
    /// panic. Returns the error message.
    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{}", self.stderr);
        assert!(self.stderr.starts_with("error: "), "{}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self.stderr
    }
}
