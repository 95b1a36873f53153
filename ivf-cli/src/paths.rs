//! Files that a command must not overwrite.

use crate::failure::Failure;
use ivf_io::vectors::file_of;
use std::path::{Path, PathBuf};

/// Checks that an output file is not another file of the command.
pub(crate) fn refuse_same(output: &Path, others: &[&Path]) -> Result<(), Failure> {
    match others.iter().find(|other| place(&file_of(other)) == place(output)) {
        Some(other) => {
            let (output, other) = (output.display(), other.display());
            Err(Failure::Usage(format!("{output} cannot be written: it is also {other}, which this command uses")))
        }
        None => Ok(()),
    }
}

/// Returns the path of an existing or future file, with links resolved.
fn place(path: &Path) -> PathBuf {
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

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
