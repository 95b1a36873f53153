//! Memory-mapped files: the only `unsafe` code of this crate.

use crate::file;
use memmap2::{MapIfSafeError, Mmap, MmapOptions};
use std::io;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};

/// A file mapped into memory for reading. While the map exists, the file must not change or shrink.
/// Either the operating system ensures that, or the caller.
///
/// | guarantee | use |
/// |---|---|
/// | the operating system makes the file immutable: fs-verity, a sealed memfd | [`Map::open_if_safe`] (a disk error in the map still ends the process) |
/// | no process writes to the file or truncates it while it is mapped | [`Map::open`], which is `unsafe` for this reason |
/// | neither | [`Container::open`](crate::Container::open), which reads at offsets instead |
///
/// Replacing a file by another one of the same name, as every save of this library does, does not
/// affect a map of the old file.
///
/// ```
/// use ivf_io::{Container, Map};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("base.ivf");
/// # ivf_io::write_container(&path, &ivf_core::Node::new("thing", 1))?;
///
/// // SAFETY: the file belongs to this service, which replaces it by rename and never writes into it.
/// let map = unsafe { Map::open(&path)? }; // base.ivf
/// assert_eq!(map.path(), path);
/// assert_eq!(map.len() as u64, std::fs::metadata(&path)?.len());
/// let container = Container::from_map(map)?;
/// # assert_eq!(container.node().tag, "thing");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Map {
    path: PathBuf,
    bytes: Mmap,
}

/// An error of mapping a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// The file cannot be opened or mapped.
    #[error("cannot map {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        why: io::Error,
    },
    /// The operating system does not guarantee that the file stays unchanged. See [`Map`] for
    /// alternatives.
    #[error("cannot map {} safely: the operating system does not make it immutable", path.display())]
    Mutable {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        why: io::Error,
    },
}

impl Map {
    /// Maps a file that the operating system makes immutable.
    ///
    /// ```
    /// use ivf_io::{Container, Map, MapError};
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("base.ivf");
    /// # ivf_io::write_container(&path, &ivf_core::Node::new("thing", 1))?;
    ///
    /// // Anyone may write to an ordinary file, so it is read at offsets instead.
    /// let mapped = Map::open_if_safe(&path);
    /// assert!(matches!(mapped, Err(MapError::Mutable { .. })));
    /// let container = match mapped {
    ///     Ok(map) => Container::from_map(map)?,
    ///     Err(_) => Container::open(&path)?,
    /// };
    /// assert_eq!(container.node().tag, "thing");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`MapError::Mutable`] for any other file, and on systems without immutable files (Linux,
    /// Android and FreeBSD have them). [`MapError::Io`] if the file cannot be opened or mapped.
    pub fn open_if_safe(path: impl AsRef<Path>) -> Result<Self, MapError> {
        let path = path.as_ref().to_owned();
        let (file, _) = file::open(&path).map_err(|why| MapError::Io { path: path.clone(), why })?;
        match MmapOptions::new().map_if_safe(&file) {
            Ok(bytes) => Ok(Self { path, bytes }),
            Err(error) => {
                let failed = MapIfSafeError::map_failed(&error);
                let why = io::Error::from(error);
                Err(if failed { MapError::Io { path, why } } else { MapError::Mutable { path, why } })
            }
        }
    }

    /// Maps a file.
    ///
    /// # Safety
    /// Until the map is dropped, no code of this or another process may write to the file or
    /// truncate it. A write would change bytes behind a shared reference. Access to a page that was
    /// cut off ends the process (`SIGBUS`).
    ///
    /// # Errors
    /// [`MapError::Io`].
    // SAFETY: the caller promises what the map needs.
    pub unsafe fn open(path: impl AsRef<Path>) -> Result<Self, MapError> {
        let path = path.as_ref().to_owned();
        let open = || {
            let (file, _) = file::open(&path)?;
            // SAFETY: the file does not change while it is mapped, as the caller has promised.
            unsafe { Mmap::map(&file) }
        };
        match open() {
            Ok(bytes) => Ok(Self { path, bytes }),
            Err(why) => Err(MapError::Io { path, why }),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Asks the operating system to read these bytes soon, where it supports such hints.
    #[cfg_attr(not(unix), expect(unused_variables, reason = "there are no hints"))]
    pub(crate) fn prefetch(&self, range: Range<u64>) {
        // Without the hint, a scan would wait for every page of a list. A failed hint costs no more
        // than that.
        #[cfg(unix)]
        let _ = self.bytes.advise_range(
            memmap2::Advice::WillNeed,
            range.start as usize,
            (range.end - range.start) as usize,
        );
    }
}

impl Deref for Map {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Container, write_container};
    use ivf_core::Node;
    use ivf_core::error::DecodeError;
    use ivf_core::node::NamedArray;

    #[test]
    fn a_mapped_container_is_used_where_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ivf");
        let mut root = Node::new("root", 0);
        root.push(NamedArray::owned("x", &[1000], (0..1000_u32).collect()));
        root.push(NamedArray::owned("y", &[10], vec![7_u8; 10]));
        write_container(&path, &root).unwrap();
        // SAFETY: nobody else knows the folder.
        let map = unsafe { Map::open(&path) }.unwrap();
        let (start, end) = (map.as_ptr().addr(), map.as_ptr().addr() + map.len());
        let container = Container::from_map(map).unwrap();
        let node = container.node();
        let x = node.array::<u32>("x").unwrap();
        assert_eq!((x[0], x[999]), (0, 999));
        assert!((start..end).contains(&x.as_ptr().addr()), "the array is a copy");
        assert_eq!(&*node.section::<u8>("y").unwrap().part(2..5).unwrap(), [7; 3]);
        assert!(container.verify().unwrap().is_empty());

        // The map still shows the old file after a new one has taken its name.
        root.arrays[0].pieces[0].to_mut()[0] = 9;
        write_container(&path, &root).unwrap();
        assert_eq!(node.array::<u32>("x").unwrap()[0], 0);
    }

    #[test]
    fn what_cannot_be_mapped_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ivf");
        assert!(matches!(Map::open_if_safe(&path), Err(MapError::Io { .. })));
        std::fs::write(&path, "a file that anybody may change").unwrap();
        let refused = Map::open_if_safe(&path).unwrap_err();
        assert!(matches!(refused, MapError::Mutable { .. }), "{refused}");
        std::fs::write(&path, "").unwrap();
        // SAFETY: nobody else knows the folder.
        let map = unsafe { Map::open(&path) }.unwrap();
        assert!(Container::from_map(map).unwrap_err().to_string().ends_with("the file is empty"));
        // SAFETY: a folder is refused before anything is mapped.
        assert!(unsafe { Map::open(folder.path()) }.is_err());
    }

    #[test]
    fn damage_in_a_mapped_file_is_found_when_the_whole_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ivf");
        let mut root = Node::new("root", 0);
        root.push(NamedArray::owned("x", &[100], vec![1_u8; 100]));
        write_container(&path, &root).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() = 2;
        std::fs::write(&path, &bytes).unwrap();
        // SAFETY: nobody else knows the folder.
        let container = Container::from_map(unsafe { Map::open(&path) }.unwrap()).unwrap();
        assert!(matches!(container.node().array::<u8>("x"), Err(DecodeError::Checksum { .. })));
        assert_eq!(container.verify().unwrap(), [0]);
    }
}
