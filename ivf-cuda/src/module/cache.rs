//! Compiled kernels on disk.
//!
//! A file has the name of its key, and is used only if every byte of it is what was written:
//!
//! ```text
//! 0          8         24         40         48
//! | IVFCUBIN | key     | checksum | length   | cubin ... |
//!              16 bytes  16 bytes   8 bytes
//! ```
//!
//! Numbers are little-endian. The checksum is a hash of the cubin. A cache that cannot be read or
//! written is as good as an empty one: nothing here fails.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

const MAGIC: &[u8; 8] = b"IVFCUBIN";

const HEADER: usize = 48;

/// Upper bound for the size of a file.
const MAX_FILE: u64 = 256 << 20;

/// A folder of compiled kernels.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Returns the cubin of a key.
    pub(super) fn get(&self, key: u128) -> Option<Vec<u8>> {
        if !is_private(&self.folder).ok()? {
            return None;
        }
        let mut file = Vec::new();
        File::open(self.path(key)).ok()?.take(MAX_FILE + 1).read_to_end(&mut file).ok()?;
        let (header, cubin) = file.split_at_checked(HEADER)?;
        (header == header_of(key, cubin)).then(|| cubin.to_vec())
    }

    /// Keeps a cubin.
    pub(super) fn put(&self, key: u128, cubin: &[u8]) {
        // A cache that cannot be written is no error: the next start compiles again.
        let _ = self.try_put(key, cubin);
    }

    fn try_put(&self, key: u128, cubin: &[u8]) -> io::Result<()> {
        make_folder(&self.folder)?;
        if !is_private(&self.folder)? {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        // Other processes see the whole file or none, and two that write at a time do not meet.
        static WRITTEN: AtomicU64 = AtomicU64::new(0);
        let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
        let part = self.folder.join(format!("{key:032x}.{}.{number}.part", process::id()));
        let written = (|| {
            let mut file = File::create_new(&part)?;
            file.write_all(&header_of(key, cubin))?;
            file.write_all(cubin)?;
            drop(file);
            fs::rename(&part, self.path(key))
        })();
        if written.is_err() {
            let _ = fs::remove_file(&part);
        }
        written
    }

    fn path(&self, key: u128) -> PathBuf {
        self.folder.join(format!("{key:032x}.cubin"))
    }
}

fn header_of(key: u128, cubin: &[u8]) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(MAGIC);
    header[8..24].copy_from_slice(&key.to_le_bytes());
    header[24..40].copy_from_slice(&Hash::new().with(cubin).value().to_le_bytes());
    header[40..].copy_from_slice(&(cubin.len() as u64).to_le_bytes());
    header
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Whether no other user can write to the folder. Its files run on the device, in the memory of all
/// that this process has there.
fn is_private(folder: &Path) -> io::Result<bool> {
    let metadata = fs::metadata(folder)?;
    #[cfg(unix)]
    let is_private = std::os::unix::fs::MetadataExt::mode(&metadata) & 0o022 == 0;
    // Elsewhere, a user's folders are the user's own unless shared on purpose.
    #[cfg(not(unix))]
    let is_private = true;
    Ok(metadata.is_dir() && is_private)
}

/// Returns the folder of the cache for an environment, or None if it names none.
pub(super) fn default_folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if let Some(asked) = variable("IVF_CUDA_CACHE") {
        return (asked != "off" && !asked.is_empty()).then(|| asked.into());
    }
    // A relative path is to be ignored, by the rules for these variables.
    let folder = |name| variable(name).map(PathBuf::from).filter(|folder: &PathBuf| folder.is_absolute());
    let caches = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
    Some(caches.or_else(|| folder("LOCALAPPDATA"))?.join("ivf-cuda"))
}

/// FNV-1a with 128 bits: the same on every machine, and easy to make in Python. It is no protection
/// against somebody who can write to the folder; [`is_private`] is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hash(u128);

impl Hash {
    pub(super) fn new() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }

    /// Adds bytes, after their number: so no two sequences of parts are alike.
    pub(super) fn with(self, part: &[u8]) -> Self {
        let len = (part.len() as u64).to_le_bytes();
        let prime = 0x0000_0000_0100_0000_0000_0000_0000_013b;
        Self(len.iter().chain(part).fold(self.0, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(prime)))
    }

    pub(super) fn value(self) -> u128 {
        self.0
    }
}
