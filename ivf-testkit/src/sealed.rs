//! Files in memory that can no longer be changed: the kernel enforces it, so they can be mapped
//! safely.

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;

/// A sealed file in memory (`memfd_create(2)`). It exists until this value is dropped.
#[derive(Debug)]
pub struct SealedFile(File);

impl SealedFile {
    /// Creates a file with these bytes.
    ///
    /// # Errors
    /// The errors of the system calls.
    pub fn new(bytes: &[u8]) -> io::Result<Self> {
        let mut file = File::from(memfd_create("sealed", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC)?);
        file.write_all(bytes)?;
        fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW)?;
        Ok(Self(file))
    }

    /// Returns the path under which this process can open the file.
    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}
