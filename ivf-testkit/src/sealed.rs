//! Files in memory that nobody can change any more: the system vouches for it, so that they can be
//! mapped safely.

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;

/// A sealed file (`memfd_create(2)`), there for as long as this is.
#[derive(Debug)]
pub struct SealedFile(File);

impl SealedFile {
    /// A file of these bytes.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(bytes: &[u8]) -> io::Result<Self> {
        let mut file = File::from(memfd_create("sealed", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC)?);
        file.write_all(bytes)?;
        fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW)?;
        Ok(Self(file))
    }

    /// The name under which this process can open it.
    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}
