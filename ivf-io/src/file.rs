//! Opening of files for reading, and atomic replacement of files.

use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use tempfile::TempPath;

/// Size of the write buffer in bytes. The lists of an index arrive in many small pieces.
const BUFFER: usize = 1 << 18;

/// Opens a regular file. Returns it with its length in bytes.
pub(crate) fn open(path: &Path) -> io::Result<(File, u64)> {
    // This check comes before opening, which would block for a named pipe without a writer.
    regular(&fs::metadata(path)?)?;
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    Ok((file, len))
}

/// Reads some bytes at an offset, independent of the cursor of the handle.
pub(crate) fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_at(file, bytes, at);
    #[cfg(windows)]
    return std::os::windows::fs::FileExt::seek_read(file, bytes, at);
}

/// A file that replaces an old one atomically. The old file stays unchanged until
/// [`commit`](Self::commit). If this is dropped before, the new file is removed.
#[derive(Debug)]
pub(crate) struct AtomicFile {
    out: BufWriter<File>,
    /// Temporary path of the new file, which is removed when this is dropped.
    temp: TempPath,
    target: PathBuf,
}

impl AtomicFile {
    /// Starts a file that will appear at `path`. A symbolic link is followed, a dangling one is
    /// replaced. The mode of an old file is kept.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let target = resolve(path)?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(".ivf-").suffix(".tmp");
        // Temporary files are private by default. The finished file should have the mode of any new
        // file, which the umask limits.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        // Only the kind of the error is kept: the name of a temporary file does not help the
        // caller.
        let temp = builder.tempfile_in(folder_of(&target)).map_err(|error| error.kind())?;
        #[cfg(unix)]
        if let Ok(old) = fs::metadata(&target) {
            temp.as_file().set_permissions(old.permissions())?;
        }
        let (file, temp) = temp.into_parts();
        Ok(Self { out: BufWriter::with_capacity(BUFFER, file), temp, target })
    }

    /// Replaces the first bytes of the new file.
    pub(crate) fn replace_start(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.rewind()?;
        self.out.write_all(bytes)?;
        self.out.seek(SeekFrom::End(0)).map(drop)
    }

    /// Replaces the old file by the new one. After success, the new file survives a crash of the
    /// machine.
    ///
    /// On failure the old file is still in place, with one exception: if the rename succeeded and
    /// only the sync of the folder failed, the new file is in place.
    pub(crate) fn commit(self) -> io::Result<()> {
        crash::step()?;
        let file = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        crash::step()?;
        file.sync_all()?;
        crash::step()?;
        // Without a sync of the folder the rename can be lost. The folder is opened before the
        // rename, so that a failure to open it leaves the old file in place.
        #[cfg(unix)]
        let folder = File::open(folder_of(&self.target))?;
        self.temp.persist(&self.target).map_err(|failed| failed.error)?;
        crash::step()?;
        #[cfg(unix)]
        folder.sync_all()?;
        crash::step()?;
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        crash::write(&mut self.out, bytes)?;
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Hooks at which tests of this crate kill a save or simulate a full disk. Outside of tests they do
/// nothing.
#[cfg(not(test))]
mod crash {
    use std::io;

    pub(super) fn write(_out: &mut impl io::Write, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn step() -> io::Result<()> {
        Ok(())
    }
}

/// Hooks for tests. Environment variables abort the process after a number of bytes written, or
/// between two steps of a commit. `fill_disk` simulates a full disk at such a point, for one
/// thread.
#[cfg(test)]
pub(crate) mod crash {
    use std::cell::Cell;
    use std::io::{self, Write};

    /// Environment variables: number of bytes, and of commit steps, after which the process aborts.
    pub(crate) const BYTES: &str = "IVF_TEST_CRASH_BYTES";
    pub(crate) const STEPS: &str = "IVF_TEST_CRASH_STEPS";

    thread_local! {
        static WRITTEN: Cell<u64> = const { Cell::new(0) };
        static STEPPED: Cell<u64> = const { Cell::new(0) };
        static FULL: Cell<(u64, u64)> = const { Cell::new((u64::MAX, u64::MAX)) };
    }

    /// Simulates a full disk once this thread has written `bytes` bytes, or completed `steps`
    /// steps.
    pub(crate) fn fill_disk(bytes: u64, steps: u64) {
        WRITTEN.set(0);
        STEPPED.set(0);
        FULL.set((bytes, steps));
    }

    fn limit(name: &str) -> u64 {
        std::env::var(name).map_or(u64::MAX, |limit| limit.parse().unwrap())
    }

    pub(super) fn write(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
        let before = WRITTEN.replace(WRITTEN.get() + bytes.len() as u64);
        let fits = |limit: u64| (limit.saturating_sub(before) as usize).min(bytes.len());
        if fits(limit(BYTES)) < bytes.len() {
            out.write_all(&bytes[..fits(limit(BYTES))]).and_then(|()| out.flush()).unwrap();
            std::process::abort();
        }
        match fits(FULL.get().0) {
            fit if fit < bytes.len() => out.write_all(&bytes[..fit]).and(Err(io::ErrorKind::StorageFull.into())),
            _ => Ok(()),
        }
    }

    pub(super) fn step() -> io::Result<()> {
        let before = STEPPED.replace(STEPPED.get() + 1);
        if limit(STEPS) == before {
            std::process::abort();
        }
        if FULL.get().1 == before { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

/// Returns the path to rename to, with symbolic links resolved. Only a regular file may be
/// replaced: a rename over a device would delete the device.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Ok(real) => {
            regular(&fs::metadata(&real)?)?;
            Ok(real)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.file_name().is_some() => Ok(path.to_owned()),
        Err(error) => Err(error),
    }
}

fn regular(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"));
    }
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    Ok(())
}

fn folder_of(target: &Path) -> &Path {
    match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_dropped_file_leaves_the_old_one_and_no_rest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "old").unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(&vec![1; 2 * BUFFER]).unwrap();
        assert_eq!(names(folder.path()).len(), 2);
        drop(file);
        assert_eq!(names(folder.path()), ["a"]);
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }

    #[test]
    fn a_failed_rename_leaves_no_rest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"new").unwrap();
        fs::create_dir(&path).unwrap();
        assert!(file.commit().is_err());
        assert_eq!(names(folder.path()), ["a"]);
        assert!(path.is_dir());
    }

    #[test]
    fn a_bare_name_lies_in_the_current_folder() {
        assert_eq!(folder_of(Path::new("a.ivf")), Path::new("."));
        assert_eq!(folder_of(Path::new("b/a.ivf")), Path::new("b"));
        assert_eq!(folder_of(Path::new("/a.ivf")), Path::new("/"));
    }

    #[test]
    fn only_a_regular_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(AtomicFile::create(folder.path()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert!(AtomicFile::create(Path::new("")).is_err());
        assert!(AtomicFile::create(Path::new("..")).is_err());
        #[cfg(unix)]
        assert_eq!(AtomicFile::create(Path::new("/dev/null")).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(names(folder.path()), [""; 0]);
    }

    #[cfg(unix)]
    #[test]
    fn links_and_modes_are_kept() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("a"), folder.path().join("link"));
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let mut file = AtomicFile::create(&link).unwrap();
        file.write_all(b"new").unwrap();
        file.commit().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    }
}
