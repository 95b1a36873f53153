//! Stored nodes whose bytes are not in memory, or not for the reader to count: as in an open file, and as in a mapped one.

use ivf_core::bytes::{AlignedBytes, SharedBytes};
use ivf_core::error::{DecodeError, StoreError};
use ivf_core::lists::PlaneBytes;
use ivf_core::node::StoredArray;
use ivf_core::{Section, StoredNode};
use std::ops::Range;
use std::sync::Arc;

/// The node with its bytes as in a mapped file: parts are borrowed, and no memory is held.
pub fn mapped(node: &StoredNode) -> StoredNode {
    place(node, &|section| Arc::new(Mapped(section)))
}

/// The node with its bytes as in an open file: each part is a copy.
pub fn opened(node: &StoredNode) -> StoredNode {
    place(node, &|section| Arc::new(Opened(section)))
}

fn place(node: &StoredNode, how: &dyn Fn(Arc<dyn Section>) -> Arc<dyn Section>) -> StoredNode {
    let array = |array: &StoredArray| StoredArray { bytes: how(array.bytes.clone()), ..array.clone() };
    StoredNode {
        arrays: node.arrays.iter().map(array).collect(),
        children: node.children.iter().map(|(name, child)| (name.clone(), place(child, how))).collect(),
        ..node.clone()
    }
}

#[derive(Debug)]
struct Mapped(Arc<dyn Section>);

impl Section for Mapped {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn whole(&self) -> Result<&[u8], DecodeError> {
        self.0.whole()
    }

    fn part(&self, range: Range<u64>) -> Result<PlaneBytes<'_>, StoreError> {
        self.0.part(range)
    }

    fn memory(&self) -> usize {
        0
    }
}

#[derive(Debug)]
struct Opened(Arc<dyn Section>);

impl Section for Opened {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn whole(&self) -> Result<&[u8], DecodeError> {
        self.0.whole()
    }

    fn part(&self, range: Range<u64>) -> Result<PlaneBytes<'_>, StoreError> {
        Ok(PlaneBytes::Shared(SharedBytes::from(AlignedBytes::copy_of(&self.0.part(range)?))))
    }

    fn memory(&self) -> usize {
        0
    }
}
