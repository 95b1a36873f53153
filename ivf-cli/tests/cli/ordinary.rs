//! Running the program as an ordinary user: limits and modes of files do not bind root.

use crate::files::Folder;
use crate::program::{Ran, command, ran};
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The user `nobody`.
const NOBODY: u32 = 65534;

/// An ordinary user, with a folder that the user can read and a copy of the program.
pub(crate) struct Ordinary {
    folder: Folder,
    program: PathBuf,
    is_root: bool,
}

impl Ordinary {
    pub(crate) fn new() -> Self {
        let folder = Folder::new();
        let (is_root, program) = (fs::metadata("/proc/self").expect("a process").uid() == 0, folder.path("ivf"));
        fs::copy(command([""; 0]).get_program(), &program).expect("room for the program");
        let mode = if is_root { 0o777 } else { 0o755 };
        fs::set_permissions(folder.path("."), Permissions::from_mode(mode)).expect("a folder of this user");
        Self { folder, program, is_root }
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Lets nobody write to a folder.
    pub(crate) fn close(&self, folder: &Path) {
        fs::set_permissions(folder, Permissions::from_mode(0o555)).expect("a folder of this user");
    }

    /// Lets its owner write to a folder, so that it can be removed.
    pub(crate) fn open(&self, folder: &Path) {
        fs::set_permissions(folder, Permissions::from_mode(0o755)).expect("a folder of this user");
    }

    /// Runs the program after the command `first` of the shell, with environment variables.
    pub(crate) fn ran(
        &self,
        first: &str,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
        variables: &[(&str, &str)],
    ) -> Ran {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{first}\nexec \"$0\" \"$@\"")]).arg(&self.program).args(args);
        shell.envs(variables.iter().copied());
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if self.is_root {
            shell.uid(NOBODY).gid(NOBODY);
        }
        ran(&mut shell)
    }
}
