//! Opening of files for reading, and atomic replacement of files.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, ErrorKind, Seek, SeekFrom, Write};
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

/// The result of a [check](crate::check_writable) that a file can be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriteCheck {
    /// The change of the owner that the write brings, if this process may not give the new file to
    /// the owner of the old one.
    pub owner: Option<OwnerChange>,
}

/// A change of the owner of a file, by a write that replaces it. Users and groups are numbers, as
/// on Unix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnerChange {
    /// User and group of the old file.
    pub from: (u32, u32),
    /// User and group of the new file.
    pub to: (u32, u32),
}

impl fmt::Display for OwnerChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from: (from_user, from_group), to: (to_user, to_group) } = self;
        write!(
            f,
            "the old file belongs to user {from_user} and group {from_group}, the new one to user {to_user} and group \
             {to_group}"
        )
    }
}

/// Number of bytes that a check writes. A full disk has no room for them.
const PROBE: usize = 4096;

impl AtomicFile {
    /// Starts a file that will appear at `path`. A symbolic link is followed, a dangling one is
    /// replaced. The mode of an old file is kept, and its owner if this process may.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self::begin(path)?.0)
    }

    /// Checks that a file can be written at `path`, by starting one and removing it.
    pub(crate) fn check(path: &Path) -> io::Result<WriteCheck> {
        let (mut file, owner) = Self::begin(path)?;
        let probed = file.out.write_all(&[0; PROBE]).and_then(|()| file.out.flush());
        probed.map_err(|why| in_folder(why, folder_of(&file.target)))?;
        Ok(WriteCheck { owner })
    }

    fn begin(path: &Path) -> io::Result<(Self, Option<OwnerChange>)> {
        let target = resolve(path)?;
        let folder = folder_of(&target);
        #[cfg(unix)]
        let old = fs::metadata(&target).ok();
        let mut builder = tempfile::Builder::new();
        builder.prefix(".ivf-").suffix(".tmp");
        // Temporary files are private by default, and stay so until they have the owner of an old
        // file. Without one, the finished file has the mode of any new file, which the umask
        // limits.
        #[cfg(unix)]
        if old.is_none() {
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        }
        let temp = builder.tempfile_in(folder).map_err(|why| in_folder(why, folder))?;
        #[cfg(unix)]
        let owner = match old {
            Some(old) => {
                check_sticky(folder, &old, temp.as_file())?;
                keep_owner_and_mode(&old, temp.as_file())?
            }
            None => None,
        };
        #[cfg(not(unix))]
        let owner = None;
        let (file, temp) = temp.into_parts();
        Ok((Self { out: BufWriter::with_capacity(BUFFER, file), temp, target }, owner))
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

/// Gives the new file the owner, the group and the mode of the old one, as far as this process may.
/// Returns the change of the owner, if there is one.
#[cfg(unix)]
fn keep_owner_and_mode(old: &Metadata, new: &File) -> io::Result<Option<OwnerChange>> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let owner = |metadata: &Metadata| (metadata.uid(), metadata.gid());
    // A process that may not give files away may still pass them to a group of its own.
    if owner(&new.metadata()?) != owner(old) && fchown(new, Some(old.uid()), Some(old.gid())).is_err() {
        let _ = fchown(new, None, Some(old.gid()));
    }
    let made = new.metadata()?;
    let mut mode = old.permissions().mode();
    if made.gid() != old.gid() {
        // Another group gets no more than everybody.
        mode &= !0o070 | (mode & 0o007) << 3;
    }
    new.set_permissions(fs::Permissions::from_mode(mode))?;
    Ok((owner(&made) != owner(old)).then(|| OwnerChange { from: owner(old), to: owner(&made) }))
}

/// Checks that the rename to come is allowed. In a folder with the sticky bit, such as `/tmp`, only
/// the owner of a file or of the folder may replace the file.
#[cfg(unix)]
fn check_sticky(folder: &Path, old: &Metadata, new: &File) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    const STICKY: u32 = 0o1000;
    let (of, user) = (fs::metadata(folder)?, new.metadata()?.uid());
    if of.mode() & STICKY == 0 || [0, old.uid(), of.uid()].contains(&user) {
        return Ok(());
    }
    let what = format!("in the folder {}, the file of another user cannot be replaced", folder.display());
    Err(io::Error::new(ErrorKind::PermissionDenied, what))
}

/// Returns the path to rename to, with symbolic links resolved. Only a regular file may be
/// replaced: a rename over a device would delete the device.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    if path.to_string_lossy().ends_with(std::path::is_separator) && !path.exists() {
        return Err(io::Error::new(ErrorKind::IsADirectory, "it is the name of a folder"));
    }
    match fs::canonicalize(path) {
        Ok(real) => {
            regular(&fs::metadata(&real)?)?;
            Ok(real)
        }
        Err(error) if error.kind() == ErrorKind::NotFound && path.file_name().is_some() => Ok(path.to_owned()),
        Err(error) => Err(in_folder(error, folder_of(path))),
    }
}

/// Returns an error of a new file, with a text that names the folder. The name of a temporary file
/// does not help the caller.
fn in_folder(why: io::Error, folder: &Path) -> io::Error {
    let (kind, shown) = (why.kind(), folder.display());
    let what = match kind {
        ErrorKind::NotFound if !folder.exists() => format!("there is no folder {shown}"),
        ErrorKind::NotADirectory => format!("{shown} is not a folder"),
        ErrorKind::PermissionDenied => format!("no permission to write files in the folder {shown}"),
        ErrorKind::ReadOnlyFilesystem => format!("the folder {shown} is read-only"),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => format!("no space is left in the folder {shown}"),
        ErrorKind::InvalidFilename => "the file name is too long, or invalid".to_owned(),
        _ => format!("the folder {shown} takes no file: {kind}"),
    };
    io::Error::new(kind, what)
}

fn regular(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_dir() {
        return Err(io::Error::new(ErrorKind::IsADirectory, "it is a folder"));
    }
    if !metadata.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
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
mod tests;
