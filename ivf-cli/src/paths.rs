//! Checks of output files before any work: none is another file of the command, and each can be
//! written.

use crate::failure::Failure;
use ivf_io::vectors::file_of;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf, is_separator};

/// Checks that an output file can be written, and that it is not another file of the command.
///
/// # Errors
/// [`Failure`] of [`refuse_same`] or [`check_writable`].
pub(crate) fn check_output(output: &Path, others: &[&Path]) -> Result<(), Failure> {
    refuse_same(output, others)?;
    check_writable(output)
}

/// Checks that an output file is not another file of the command.
pub(crate) fn refuse_same(output: &Path, others: &[&Path]) -> Result<(), Failure> {
    match others.iter().find(|other| is_same(&file_of(other), output)) {
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

/// Checks that a file can be written: that its folder is there and takes new files, and that its
/// name is that of a regular file, or free. The check makes a file in the folder and removes it.
///
/// # Errors
/// [`Failure`] with the file and its folder.
pub(crate) fn check_writable(path: &Path) -> Result<(), Failure> {
    let fail = |why: String| Err(Failure::Failed(format!("cannot write {}: {why}", path.display())));
    let given = folder(path);
    let target = match path.canonicalize() {
        Ok(target) => target,
        Err(error) if error.kind() == ErrorKind::NotFound && !given.exists() => {
            return fail(format!("there is no folder {}", given.display()));
        }
        Err(error) if error.kind() == ErrorKind::NotFound && is_file_name(path) => path.to_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => return fail("it is not the name of a file".to_owned()),
        Err(_) if given.exists() && !given.is_dir() => return fail(format!("{} is not a folder", given.display())),
        Err(error) => return fail(format!("{error} (the folder is {})", given.display())),
    };
    if let Ok(old) = fs::metadata(&target)
        && !old.is_file()
    {
        return fail(if old.is_dir() { "it is a folder" } else { "it is not a regular file" }.to_owned());
    }
    let folder = folder(&target);
    match tempfile::Builder::new().prefix(".ivf-").tempfile_in(folder) {
        Ok(_) => Ok(()),
        // The error names the temporary file, which does not help the user.
        Err(error) => {
            let why = io::Error::from(error.kind());
            fail(format!("its folder {} takes no new files: {why}", folder.display()))
        }
    }
}

/// Returns true if a path ends with the name of a file: a name, and no separator after it.
fn is_file_name(path: &Path) -> bool {
    path.file_name().is_some() && !path.to_string_lossy().ends_with(is_separator)
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
