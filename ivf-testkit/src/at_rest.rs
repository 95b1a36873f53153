//! Stored nodes whose bytes count as outside of memory: as in an open file, and as in a mapped one.

use ivf_core::bytes::AlignedBytes;
use ivf_core::error::{DecodeError, StoreError};
use ivf_core::lists::PlaneBytes;
use ivf_core::node::StoredArray;
use ivf_core::{Section, StoredNode};
use std::ops::Range;
use std::sync::Arc;

/// Returns the node with its bytes as in a mapped file: parts are borrowed, and no memory is held.
pub fn mapped(node: &StoredNode) -> StoredNode {
    place(node, false)
}

/// Returns the node with its bytes as in an open file: each part is a copy.
pub fn opened(node: &StoredNode) -> StoredNode {
    place(node, true)
}

fn place(node: &StoredNode, copies: bool) -> StoredNode {
    let array = |array: &StoredArray| StoredArray {
        bytes: Arc::new(AtRest { bytes: array.bytes.clone(), copies }),
        ..array.clone()
    };
    StoredNode {
        arrays: node.arrays.iter().map(array).collect(),
        children: node.children.iter().map(|(name, child)| (name.clone(), place(child, copies))).collect(),
        ..node.clone()
    }
}

#[derive(Debug)]
struct AtRest {
    bytes: Arc<dyn Section>,
    /// Whether [`Section::part`] returns a copy.
    copies: bool,
}

impl Section for AtRest {
    fn len(&self) -> u64 {
        self.bytes.len()
    }

    fn whole(&self) -> Result<&[u8], DecodeError> {
        self.bytes.whole()
    }

    fn part(&self, range: Range<u64>) -> Result<PlaneBytes<'_>, StoreError> {
        let part = self.bytes.part(range)?;
        Ok(if self.copies { PlaneBytes::Shared(AlignedBytes::copy_of(&part).into()) } else { part })
    }

    fn memory(&self) -> usize {
        0
    }
}
