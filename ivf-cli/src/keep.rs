//! Changes of index files: what `add`, `remove`, `merge` and `set` share.
//!
//! ```text
//! Change::open    the output is checked and locked; only the header of the index is read
//! (command)       everything that can be refused without the lists is refused
//! Change::read    the memory limit is checked, then every byte of the index
//! (command)       the index changes in memory; lists that do not change stay in the file
//! Change::write   a new file replaces the old one, or appears at `--out`; the lock ends
//! ```

use crate::build::file_len;
use crate::failure::Failure;
use crate::lock::Lock;
use crate::memory::MemoryLimit;
use crate::paths::{check_output, is_same};
use ivf_core::Index;
use ivf_io::Container;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The arguments of every command that changes an index.
#[derive(clap::Args)]
pub(crate) struct ChangeArgs {
    /// Index file
    pub(crate) index: PathBuf,
    /// File to write the changed index to [default: the index file, which is replaced]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Maximum memory to use, such as 512M or 1.5G [default: no limit]. It is an error if the index
    /// does not fit
    #[arg(long, value_name = "SIZE")]
    memory_limit: Option<MemoryLimit>,
}

/// An index file that is being changed.
pub(crate) struct Change {
    /// The index, whose lists are in the file until they change.
    pub(crate) index: Box<dyn Index>,
    pub(crate) limit: Option<MemoryLimit>,
    source: Source,
    target: PathBuf,
    _lock: Lock,
}

/// An index file that is read.
pub(crate) struct Source {
    container: Container,
}

/// A written file.
pub(crate) struct Written {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) time: Duration,
}

impl ChangeArgs {
    /// Checks and locks the output, and opens the index. `others` are further files that the
    /// command reads.
    ///
    /// # Errors
    /// [`Failure`] if the output cannot be written, another program writes it, or the index cannot
    /// be opened.
    pub(crate) fn open(&self, others: &[&Path]) -> Result<Change, Failure> {
        let target = self.out.as_ref().unwrap_or(&self.index).clone();
        check_output(&target, others)?;
        let lock = Lock::take(&target)?;
        let (source, index) = Source::open(&self.index)?;
        Ok(Change { index, limit: self.memory_limit, source, target, _lock: lock })
    }

    /// Returns true if this is the file of the index.
    pub(crate) fn is_index(&self, path: &Path) -> bool {
        is_same(path, &self.index)
    }
}

impl Source {
    /// Opens an index file. Its lists stay in it, and are not checked.
    ///
    /// # Errors
    /// [`Failure`] if it is no index file.
    pub(crate) fn open(path: &Path) -> Result<(Self, Box<dyn Index>), Failure> {
        let container = Container::open(path)?;
        let index = ivf_factory::open_container(&container)?;
        Ok((Self { container }, index))
    }

    /// Returns the length of the file in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.container.len()
    }

    /// Reads the file and checks every byte, so that damage is not written to a new file with
    /// checksums that fit it.
    ///
    /// # Errors
    /// [`Failure`] with the damaged sections.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let (damaged, sections) = (self.container.verify()?, self.container.sections());
        if damaged.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = damaged.iter().map(|number| sections[*number].path.as_str()).collect();
        Err(Failure::Failed(format!("{} is damaged: {}", self.container.path().display(), names.join(", "))))
    }
}

impl Change {
    /// Returns the path of the index file.
    pub(crate) fn path(&self) -> &Path {
        self.source.container.path()
    }

    /// Returns whether the changed index replaces the file that it was read from.
    pub(crate) fn is_in_place(&self) -> bool {
        is_same(&self.target, self.path())
    }

    /// Checks the memory limit, and then every byte of the file. The lists change and grow by at
    /// most `more` bytes, or stay as they are.
    ///
    /// # Errors
    /// [`Failure`] if the index does not fit within the limit, or if the file is damaged.
    pub(crate) fn read(&self, more: Option<u64>) -> Result<(), Failure> {
        if let Some(limit) = self.limit {
            let lists = self.source.len().saturating_add(more.unwrap_or(0));
            // A list that changes is read, copied, and gets room for half as much again.
            let spare = more.map_or(0, |_| lists / 2);
            limit.check_change(&*self.index, lists.saturating_add(spare))?;
        }
        self.source.check()
    }

    /// Writes the changed index.
    ///
    /// # Errors
    /// [`Failure`] if the file cannot be written. The old file then stays.
    pub(crate) fn write(self) -> Result<Written, Failure> {
        let start = Instant::now();
        ivf_factory::write_index(&self.index, &self.target)?;
        Ok(Written { bytes: file_len(&self.target)?, time: start.elapsed(), path: self.target })
    }
}
