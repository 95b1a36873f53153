//! `--memory-limit`: the maximum memory of a command, and what fits into it.

use crate::failure::Failure;
use indicatif::BinaryBytes;
use ivf_core::{Index, Train, TrainOptions};
use parse_size::Config;
use std::fmt;
use std::str::FromStr;

/// Resident memory that is not counted otherwise, in bytes: the program, the stacks of its threads,
/// read-ahead, and freed memory that the system's allocator keeps.
const PROGRAM: usize = 32 << 20;

/// Number of bytes of vectors that are read and added at a time, without a limit.
const BLOCK: usize = 8 << 20;

/// Number of copies of a block in memory while it is added: as read, transformed, as codes, and as
/// codes by list, with ids.
const BLOCK_COPIES: usize = 5;

/// Limit divided by the maximum size of a block.
const BLOCKS_IN_LIMIT: usize = 64;

/// Peak memory of the lists divided by their size. A full list grows by half, and is in memory
/// twice while it moves; ids double.
const GROWTH: usize = 2;

/// Maximum memory of a command, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemoryLimit(usize);

impl FromStr for MemoryLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = Config::new().with_binary().parse_size(text).ok().and_then(|bytes| usize::try_from(bytes).ok());
        match bytes {
            Some(0) => Err("the limit must be above 0".to_owned()),
            Some(bytes) => Ok(Self(bytes)),
            None => {
                Err("a size is a number of bytes, or a number with K, M, G or T (powers of 1024), such as 512M or 1.5G"
                    .to_owned())
            }
        }
    }
}

impl fmt::Display for MemoryLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shown(self.0).fmt(f)
    }
}

/// Formats a number of bytes for people.
fn shown(bytes: usize) -> BinaryBytes {
    BinaryBytes(bytes as u64)
}

/// Returns the number of bytes of vectors to read and add at a time.
pub(crate) fn block_bytes(limit: Option<MemoryLimit>) -> usize {
    limit.map_or(BLOCK, |limit| BLOCK.min(limit.0 / BLOCKS_IN_LIMIT))
}

impl MemoryLimit {
    /// Returns how many of `wanted` training vectors of dimension `dim` fit, with the memory that
    /// training takes for them.
    pub(crate) fn training_points(
        self,
        train: &mut dyn Train,
        dim: usize,
        wanted: usize,
        options: &TrainOptions<'_>,
    ) -> usize {
        let room = self.0.saturating_sub(PROGRAM);
        let mut fits = |points: usize| {
            let sample = points.saturating_mul(dim * size_of::<f32>());
            sample.saturating_add(train.training_memory(points, options)) <= room
        };
        if fits(wanted) {
            return wanted;
        }
        let (mut most, mut too_many) = (0, wanted);
        while too_many - most > 1 {
            let middle = most + (too_many - most) / 2;
            if fits(middle) { most = middle } else { too_many = middle }
        }
        most
    }

    /// Checks that an index will fit within the limit once it holds `vectors` vectors.
    ///
    /// # Errors
    /// [`Failure`] with both numbers.
    pub(crate) fn check_whole(self, index: &dyn Index, vectors: u64) -> Result<(), Failure> {
        let vectors_here = usize::try_from(vectors).unwrap_or(usize::MAX);
        let needed = self.needed(index.memory(), index.memory_with(vectors_here));
        if needed <= self.0 {
            return Ok(());
        }
        Err(Failure::Failed(format!(
            "{} of {vectors} vectors takes up to {}, but the memory limit is {self}",
            index.spec(),
            parts("while it is built", self.enough(needed).0, index.memory(), index.memory_with(vectors_here)),
        )))
    }

    /// Checks that an index in a file fits within the limit while it changes. At most `lists` bytes
    /// of lists will be in memory, of the file and new ones.
    ///
    /// # Errors
    /// [`Failure`] with both numbers.
    pub(crate) fn check_change(self, index: &dyn Index, lists: u64) -> Result<(), Failure> {
        let tables = index.memory();
        let memory = tables.saturating_add(usize::try_from(lists).unwrap_or(usize::MAX));
        let needed = self.needed(tables, memory);
        if needed <= self.0 {
            return Ok(());
        }
        Err(Failure::Failed(format!(
            "{} of {} vectors takes up to {}, but the memory limit is {self}",
            index.spec(),
            index.len(),
            parts("while it is changed", self.enough(needed).0, tables, memory),
        )))
    }

    /// Checks that the index has not exceeded the limit after `done` of `vectors` vectors. `tables`
    /// is its size in bytes before the first of them.
    ///
    /// # Errors
    /// [`Failure`] with the number of vectors added so far.
    pub(crate) fn check_grown(self, index: &dyn Index, tables: usize, done: u64, vectors: u64) -> Result<(), Failure> {
        let needed = self.needed(tables, index.memory());
        if needed <= self.0 {
            return Ok(());
        }
        Err(Failure::Failed(format!(
            "stopped after {done} of {vectors} vectors: {} takes up to {}, but the memory limit is {self}; no index is \
             written",
            index.spec(),
            parts("by then", needed, tables, index.memory()),
        )))
    }

    /// Returns the maximum memory of the command while an index grows to `memory` bytes. Its
    /// `tables` are in memory a second time while they are written.
    fn needed(self, tables: usize, memory: usize) -> usize {
        let grown = grown(tables, memory);
        let blocks = BLOCK_COPIES * block_bytes(Some(self));
        grown.saturating_add(2 * tables).saturating_add(blocks + PROGRAM)
    }

    /// Returns the smallest sufficient limit, if this one requires `needed` bytes. With a larger
    /// limit the blocks become larger too, up to their size without a limit.
    fn enough(self, needed: usize) -> Self {
        let without = needed - BLOCK_COPIES * block_bytes(Some(self));
        let blocks = without.saturating_mul(BLOCK_COPIES) / (BLOCKS_IN_LIMIT - BLOCK_COPIES) + BLOCKS_IN_LIMIT;
        Self(without.saturating_add(blocks.min(BLOCK_COPIES * BLOCK)))
    }
}

/// Returns the maximum memory of the vectors of an index that has grown from `tables` to `memory`
/// bytes.
fn grown(tables: usize, memory: usize) -> usize {
    memory.saturating_sub(tables).saturating_mul(GROWTH)
}

/// Returns a text about `needed` bytes: how much of it is fixed, and how much grows with the data.
fn parts(when: &str, needed: usize, tables: usize, memory: usize) -> String {
    let vectors = grown(tables, memory).min(needed);
    format!(
        "{} {when} ({} for the program and the tables of the index, {} for the vectors)",
        shown(needed),
        shown(needed - vectors),
        shown(vectors)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        let bytes = |text: &str| text.parse::<MemoryLimit>().map(|limit| limit.0);
        for (text, expected) in [
            ("1", 1),
            ("4096", 4096),
            ("512M", 512 << 20),
            ("512m", 512 << 20),
            ("1G", 1 << 30),
            ("1GB", 1 << 30),
            ("1GiB", 1 << 30),
            ("1.5G", 3 << 29),
            ("64K", 64 << 10),
            ("2T", 2 << 40),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in ["", "G", "1X", "one", "-1", "1.5.1G", "1G1", "99999999999999999999T"] {
            assert!(bytes(text).unwrap_err().contains("512M or 1.5G"), "{text}");
        }
        assert!(bytes("0").unwrap_err().contains("above 0"));
        assert_eq!(MemoryLimit(3 << 29).to_string(), "1.50 GiB");
    }

    /// Training that takes a fixed number of bytes, and a tenth of that for each point.
    struct Takes(usize);

    impl Train for Takes {
        fn train(
            &mut self,
            _: ivf_core::AnyRows<'_>,
            _: &TrainOptions<'_>,
        ) -> Result<ivf_core::TrainReport, ivf_core::error::TrainError> {
            Ok(ivf_core::TrainReport::default())
        }

        fn training_points(&mut self, _: &TrainOptions<'_>) -> usize {
            usize::MAX
        }

        fn training_memory(&mut self, points: usize, _: &TrainOptions<'_>) -> usize {
            self.0 + points * self.0 / 10
        }
    }

    #[test]
    fn the_limit_that_is_said_to_be_enough_is() {
        for tables in [0, 1 << 10, 50 << 20] {
            for memory in [tables, tables + 1, tables + (3 << 20), tables + (1 << 30), tables + (40 << 30)] {
                let limit = MemoryLimit(1 << 20);
                let enough = limit.enough(limit.needed(tables, memory));
                assert!(enough.needed(tables, memory) <= enough.0, "{tables}, {memory}: {}", enough.0);
                assert!(enough.0 <= limit.needed(tables, memory) + BLOCK_COPIES * BLOCK, "{tables}, {memory}");
            }
        }
    }

    #[test]
    fn as_many_points_as_there_is_room_for() {
        let points = |limit: usize, wanted: usize| {
            MemoryLimit(limit).training_points(&mut Takes(1000), 25, wanted, &TrainOptions::new())
        };
        // 200 bytes per point, plus 1000.
        assert_eq!(points(PROGRAM + 1000 + 200 * 77, 1000), 77);
        assert_eq!(points(PROGRAM + 1000 + 200 * 77 - 1, 1000), 76);
        assert_eq!(points(PROGRAM + 1000 + 200 * 77, 50), 50);
        assert_eq!(points(PROGRAM + 1000, 50), 0);
        assert_eq!(points(1, 50), 0);
        assert_eq!(points(1, 0), 0);
    }
}
