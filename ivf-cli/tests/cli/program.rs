//! Running the program.

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

/// The program with arguments, its output caught.
pub(crate) fn command(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ivf"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a run ended with.
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
    /// The same, if all went well.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self
    }

    /// The last line of a run that ended with `code`, printed nothing and did not panic, after lines that warn.
    #[track_caller]
    pub(crate) fn failed_after_warnings(mut self, code: i32) -> String {
        let error = self.stderr.find("error: ").unwrap_or(0);
        let warnings = self.stderr.drain(..error).collect::<String>();
        assert!(warnings.lines().all(|line| line.starts_with("warning: ")), "{warnings}{}", self.stderr);
        self.failed(code)
    }

    /// The message of a run that ended with `code`, printed nothing and did not panic.
    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{}", self.stderr);
        assert!(self.stderr.starts_with("error: "), "{}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self.stderr
    }
}
