//! Finding the stored copy of a vector.

use ivf_core::Id;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// A hash table from the bits of stored vectors to the names of their copies.
///
/// An entry is only a hint: its copy may have been removed, or replaced by another one of the same
/// name. So the vector of a hint must be compared. Removals and updates therefore leave the table
/// as it is. Of two vectors with equal hashes, the later one has the entry. Equal vectors of the
/// other then get a second copy, which changes no result. The key of the hash function is random,
/// so nobody can choose such vectors.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    names: HashMap<u64, Id>,
    hasher: RandomState,
}

impl Known {
    /// Returns the hash of the bits of a vector.
    pub(super) fn hash(&self, vector: &[f32]) -> u64 {
        self.hasher.hash_one(bytemuck::cast_slice::<f32, u8>(vector))
    }

    /// Returns the name of the copy that may be of a vector with this hash.
    pub(super) fn hint(&self, hash: u64) -> Option<Id> {
        self.names.get(&hash).copied()
    }

    pub(super) fn insert(&mut self, hash: u64, name: Id) {
        self.names.insert(hash, name);
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn capacity(&self) -> usize {
        self.names.capacity()
    }
}

/// Returns the memory of a hash table with capacity for this number of entries of 16 bytes. At most
/// seven of eight places are occupied, the number of places is a power of two, and each has a byte
/// of metadata.
pub(super) fn table_memory(capacity: usize) -> usize {
    if capacity == 0 {
        return 0;
    }
    let places = capacity.saturating_mul(8).div_ceil(7).checked_next_power_of_two().unwrap_or(usize::MAX);
    places.saturating_mul(size_of::<(u64, Id)>() + 1)
}

/// Returns true if two vectors have the same bits. So 0 and -0 differ.
pub(super) fn same_bits(a: &[f32], b: &[f32]) -> bool {
    bytemuck::cast_slice::<f32, u32>(a) == bytemuck::cast_slice::<f32, u32>(b)
}
