//! Checks of output files before any work: none is another file of the command, and each can be
//! written.

use crate::failure::{self, Failure};
use crate::vectors::is_standard;
use ivf_io::check_writable;
use ivf_io::vectors::file_of;
use std::path::{Path, PathBuf};

/// Checks that an output file can be written, and that it is not another file of the command. Warns
/// if the write changes the owner of an old file.
///
/// # Errors
/// [`Failure`] of [`refuse_same`] or [`check_writable`], or if the output is standard output or a
/// read-only file.
pub(crate) fn check_output(output: &Path, others: &[&Path]) -> Result<(), Failure> {
    if is_standard(output) {
        let text = "this output cannot be standard output (-): name a file (./- is a file of that name)";
        return Err(Failure::Usage(text.to_owned()));
    }
    refuse_same(output, others)?;
    // A write replaces the file, for which only the permissions of the folder count.
    if output.metadata().is_ok_and(|old| old.is_file() && old.permissions().readonly()) {
        return Err(Failure::Failed(format!(
            "{} is read-only and is not replaced: make it writable, or write to another file",
            output.display()
        )));
    }
    if let Some(owner) = check_writable(output)?.owner {
        failure::say(format_args!("warning: {}: {owner}", output.display()));
    }
    Ok(())
}

/// Checks that an output file is not another file of the command.
pub(crate) fn refuse_same(output: &Path, others: &[&Path]) -> Result<(), Failure> {
    match others.iter().find(|other| !is_standard(other) && is_same(&file_of(other), output)) {
        Some(other) => {
            let (output, other) = (output.display(), other.display());
            Err(Failure::Usage(format!("{output} cannot be written: it is also {other}, which this command uses")))
        }
        None => Ok(()),
    }
}

/// Returns true if two paths lead to the same existing or future file.
pub(crate) fn is_same(one: &Path, other: &Path) -> bool {
    place(one) == place(other)
}

/// Returns the path of an existing or future file, with links resolved.
pub(crate) fn place(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    // Follows as many links as an operating system does. `canonicalize` does not follow a link to a
    // file that does not exist yet.
    for _ in 0..40 {
        if let Ok(place) = path.canonicalize() {
            return place;
        }
        let Ok(target) = path.read_link() else { break };
        path = folder(&path).join(target);
    }
    let folder = folder(&path);
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    path.file_name().map_or(folder.clone(), |name| folder.join(name))
}

/// Returns the folder of a file.
pub(crate) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
