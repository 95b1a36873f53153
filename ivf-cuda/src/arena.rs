//! Blocks of one size on a device, taken from a few large allocations.

use crate::device::{Buffer, Device};
use crate::driver::DevicePtr;
use crate::error::CudaError;

/// Bytes of an allocation, unless more are needed at once or fewer are free.
const SLAB: u64 = 64 << 20;

/// Blocks of one size. A block that is given back is used again; memory returns to the device when
/// the arena is dropped.
#[derive(Debug)]
pub(crate) struct Arena {
    device: Device,
    block_bytes: u64,
    slabs: Vec<Buffer>,
    /// Free blocks. The next one is the last, and addresses fall, so that blocks taken together
    /// usually follow one another.
    free: Vec<DevicePtr>,
}

impl Arena {
    pub(crate) fn new(device: &Device, block_bytes: usize) -> Self {
        Self { device: device.clone(), block_bytes: block_bytes as u64, slabs: Vec::new(), free: Vec::new() }
    }

    /// Returns the size of a block in bytes.
    pub(crate) fn block_bytes(&self) -> usize {
        self.block_bytes as usize
    }

    /// Returns the bytes that are allocated.
    pub(crate) fn bytes(&self) -> u64 {
        self.slabs.iter().map(Buffer::bytes).sum()
    }

    /// Takes blocks: all or none.
    ///
    /// # Errors
    /// [`CudaError::OutOfMemory`].
    pub(crate) fn take(&mut self, blocks: usize) -> Result<Vec<DevicePtr>, CudaError> {
        let missing = blocks.saturating_sub(self.free.len()) as u64;
        if missing > 0 {
            let usual = missing.max((SLAB / self.block_bytes).min(4 * missing + 64));
            let alloc = |blocks: u64| self.device.alloc(blocks.saturating_mul(self.block_bytes), "the lists");
            let (slab, count) = match alloc(usual) {
                Ok(slab) => (slab, usual),
                Err(CudaError::OutOfMemory { .. }) if usual > missing => (alloc(missing)?, missing),
                Err(error) => return Err(error),
            };
            let blocks = (0..count).rev().map(|i| slab.at().plus((i * self.block_bytes) as usize));
            // Blocks that were free before are taken first.
            let old = std::mem::replace(&mut self.free, blocks.collect());
            self.free.extend(old);
            self.slabs.push(slab);
        }
        let mut taken = self.free.split_off(self.free.len() - blocks);
        taken.reverse();
        Ok(taken)
    }

    /// Gives blocks back.
    pub(crate) fn give_back(&mut self, blocks: impl IntoIterator<Item = DevicePtr>) {
        self.free.extend(blocks);
        self.free.sort_unstable_by(|a, b| b.cmp(a));
    }
}
