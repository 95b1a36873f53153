//! The row of a list store in a registry.

use super::{InvertedLists, StoreSpec};
use crate::error::{DecodeError, StoreError};
use crate::layout::CodeLayout;
use crate::node::StoredNode;

/// A function that creates a number of empty lists of codes with a layout.
pub type CreateLists = fn(usize, &CodeLayout) -> Result<Box<dyn InvertedLists>, StoreError>;

/// A function that reads exported lists of codes with a layout.
pub type ReadLists = fn(&StoredNode, &CodeLayout) -> Result<Box<dyn InvertedLists>, DecodeError>;

/// The row of one kind of store: its tag, constructor and reader.
///
/// ```
/// use ivf_core::lists::{StoreRow, StoreSpec};
/// use ivf_core::{ArrayLists, CodeLayout};
/// const ROW: StoreRow = StoreRow::new(
///     "mine",
///     |nlist, layout| Ok(Box::new(ArrayLists::new(nlist, layout.clone()))),
///     |node, layout| Ok(Box::new(ArrayLists::read(node, layout)?)),
/// )
/// .about("lists in memory");
/// assert_eq!(ROW.create(3, &CodeLayout::rows(1))?.nlist(), 3);
/// # Ok::<(), ivf_core::error::StoreError>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct StoreRow {
    /// The tag in files.
    pub tag: &'static str,
    /// A one-sentence description.
    pub about: &'static str,
    /// The constructor of empty lists. It fails for a store that needs data that a row does not
    /// have.
    pub create: CreateLists,
    /// The reader of exported lists.
    pub read: ReadLists,
}

impl StoreRow {
    /// Creates a row.
    pub const fn new(tag: &'static str, create: CreateLists, read: ReadLists) -> Self {
        Self { tag, about: "", create, read }
    }

    /// Sets the one-sentence description.
    #[must_use]
    pub const fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }
}

impl StoreSpec for StoreRow {
    fn tag(&self) -> &str {
        self.tag
    }

    fn create(&self, nlist: usize, layout: &CodeLayout) -> Result<Box<dyn InvertedLists>, StoreError> {
        (self.create)(nlist, layout)
    }
}
