//! Locks, so that two programs do not write the same index file at the same time.

use crate::failure::{self, Failure};
use crate::paths::{folder, place};
use same_file::Handle;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Maximum length, in bytes, of the part of a file's name that is in the name of its lock file.
/// Most file systems take names of 255 bytes.
const MAX_NAME: usize = 200;

/// Number of times that a lock is tried while other writers end at the same moment.
const TRIES: usize = 100;

/// The right to write one index file, held until this is dropped.
///
/// The lock is the operating system's lock of an empty file beside the index: `.a.ivf.lock` for
/// `a.ivf`. It cannot be a lock of the index file itself: a save replaces that file, so a second
/// writer would lock the new file while the first still holds the old one. Besides, a new index has
/// no file yet, and a locked file cannot be read on Windows. Readers take no lock: a save replaces
/// the file in one step, so they see the old index or the new one.
///
/// The holder removes the lock file when it ends. Between opening a lock file and locking it, its
/// holder may have removed it. [`take`](Self::take) therefore checks that the path still leads to
/// the file that it locked, and otherwise starts again. Only a holder removes the file, so the
/// check stays true until the holder ends, and there is never a second holder. If a program is
/// killed, its lock ends with it. The file stays, locks nothing, and the next writer removes it.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    /// Holds the lock while it is open; `None` on a file system without locks.
    file: Option<File>,
}

impl Lock {
    /// Locks the index file at `target`, which may not exist yet. On a file system without locks,
    /// there is a warning, and nothing is locked.
    ///
    /// # Errors
    /// [`Failure`] if another program holds the lock, or if the lock file cannot be opened.
    pub(crate) fn take(target: &Path) -> Result<Self, Failure> {
        let path = lock_path(&place(target));
        for _ in 0..TRIES {
            let file = open(&path)
                .map_err(|error| Failure::failed(format_args!("cannot open the lock {}", path.display()), &error))?;
            match file.try_lock() {
                Ok(()) if is_at(&file, &path) => return Ok(Self { path, file: Some(file) }),
                // The last holder removed the file after it was opened here.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(Failure::Failed(format!(
                        "{} is being written by another program, which holds the lock {}",
                        target.display(),
                        path.display()
                    )));
                }
                Err(TryLockError::Error(error)) => {
                    failure::say(format_args!(
                        "warning: {} cannot be locked, so a second writer is not refused: {error}",
                        target.display()
                    ));
                    drop(fs::remove_file(&path));
                    return Ok(Self { path, file: None });
                }
            }
        }
        Err(Failure::Failed(format!("the lock {} is taken again and again", path.display())))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The file is removed before the lock ends. Afterwards it could be another writer's.
        if self.file.is_some() {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Returns the path of the lock file of an index file.
fn lock_path(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    // Two long names may share a lock file. One of two writers is then refused without need.
    let end = name.floor_char_boundary(MAX_NAME);
    folder(target).join(format!(".{}.lock", &name[..end]))
}

/// Opens a lock file, and makes it if it is not there.
fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    // A lock file that was left behind may belong to another user. Reading is enough to lock it.
    file.or_else(|error| File::open(path).map_err(|_| error))
}

/// Returns true if the path leads to this open file.
fn is_at(file: &File, path: &Path) -> bool {
    let opened = file.try_clone().and_then(Handle::from_file);
    matches!((opened, Handle::from_path(path)), (Ok(opened), Ok(there)) if opened == there)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[test]
    fn one_writer_at_a_time_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.ivf");
        let lock = Lock::take(&target).unwrap();
        assert_eq!(names(folder.path()), [".a.ivf.lock"]);
        let refused = Lock::take(&target).unwrap_err().to_string();
        assert!(refused.contains("a.ivf is being written by another program"), "{refused}");
        drop(Lock::take(&folder.path().join("b.ivf")).unwrap());
        // The file may be replaced while the lock is held.
        fs::write(folder.path().join("new"), "new").unwrap();
        fs::rename(folder.path().join("new"), &target).unwrap();
        Lock::take(&target).unwrap_err();
        drop(lock);
        drop(Lock::take(&target).unwrap());
        assert_eq!(names(folder.path()), ["a.ivf"]);
    }

    #[test]
    fn a_lock_that_was_removed_after_it_was_opened_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = lock_path(&folder.path().join("a.ivf"));
        let late = open(&path).unwrap();
        assert!(is_at(&late, &path));
        fs::remove_file(&path).unwrap();
        late.try_lock().unwrap();
        assert!(!is_at(&late, &path));
        // Nor does it count once the next writer has made the file again.
        let _next = open(&path).unwrap();
        assert!(!is_at(&late, &path));
    }

    #[test]
    fn a_lock_file_that_a_killed_program_left_locks_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.ivf");
        fs::write(lock_path(&target), "").unwrap();
        drop(Lock::take(&target).unwrap());
        assert_eq!(names(folder.path()), [""; 0]);
    }

    #[test]
    fn names_of_any_length_have_a_lock() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a".repeat(255), "\u{e4}".repeat(127), "a".to_owned()] {
            drop(Lock::take(&folder.path().join(name)).unwrap());
        }
    }

    #[cfg(unix)]
    #[test]
    fn two_names_of_one_file_share_a_lock() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("a.ivf"), folder.path().join("link.ivf"));
        std::os::unix::fs::symlink("a.ivf", &link).unwrap();
        let _lock = Lock::take(&link).unwrap();
        Lock::take(&target).unwrap_err();
    }
}
