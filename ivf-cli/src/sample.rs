//! Training vectors: a random sample of a file, drawn in one pass.

use ivf_core::Rows;
use ivf_core::params::DEFAULT_SEED;
use ivf_io::{VectorFileError, VectorReader};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Maximum number of bytes of consecutive vectors that are read at once.
const AT_ONCE: usize = 1 << 20;

/// Iterator over a random subset of the numbers from `next` on, ascending. All subsets of `wanted`
/// numbers are equally likely. (Knuth, TAOCP 2, 3.4.2, algorithm S: it takes a random number for
/// each vector passed, and keeps no list of those that are drawn.)
#[derive(Clone, Debug)]
struct Drawn {
    random: Xoshiro256PlusPlus,
    next: u64,
    left: u64,
    wanted: u64,
}

impl Drawn {
    fn new(len: u64, wanted: usize, seed: Option<u64>) -> Self {
        let random = Xoshiro256PlusPlus::seed_from_u64(seed.unwrap_or(DEFAULT_SEED));
        Self { random, next: 0, left: len, wanted: len.min(wanted as u64) }
    }
}

impl Iterator for Drawn {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        while self.wanted > 0 {
            let (number, drawn) = (self.next, self.random.random_range(0..self.left) < self.wanted);
            self.next += 1;
            self.left -= 1;
            if drawn {
                self.wanted -= 1;
                return Some(number);
            }
        }
        None
    }
}

/// Vectors drawn from a file, in the order of the file.
#[derive(Debug)]
pub(crate) struct Sample {
    data: Vec<f32>,
    dim: usize,
    drawn: Drawn,
}

impl Sample {
    /// Draws `wanted` vectors at random without replacement, or takes all if there are fewer.
    /// Vectors that are not drawn are skipped, not read.
    ///
    /// # Errors
    /// [`VectorFileError`] if the file cannot be read.
    pub(crate) fn read(reader: &mut VectorReader, wanted: usize, seed: Option<u64>) -> Result<Self, VectorFileError> {
        let (dim, len) = (reader.dim(), reader.left());
        let drawn = Drawn::new(len, wanted, seed);
        let mut data: Vec<f32> = Vec::new();
        // The header of a stream may promise more vectors than there are. If they do not fit into
        // memory, reading them shows whether they exist.
        drop(data.try_reserve_exact((drawn.wanted as usize).saturating_mul(dim)));
        let at_once = (AT_ONCE / (size_of::<f32>() * dim)).max(1);
        let (mut block, mut at) = (Vec::new(), 0);
        let mut numbers = drawn.clone().peekable();
        while let Some(first) = numbers.next() {
            let mut rows = 1;
            while rows < at_once && numbers.next_if_eq(&(first + rows as u64)).is_some() {
                rows += 1;
            }
            reader.skip(first - at)?;
            reader.read_block(rows, &mut block)?;
            data.extend_from_slice(&block);
            at = first + rows as u64;
        }
        Ok(Self { data, dim, drawn })
    }

    /// Returns the vectors.
    pub(crate) fn rows(&self) -> Rows<'_, f32> {
        Rows::new(&self.data, self.dim).expect("whole vectors were read")
    }

    /// Returns the number in the file of a vector of the sample.
    pub(crate) fn number(&self, row: usize) -> u64 {
        self.drawn.clone().nth(row).expect("a number for each vector")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(len: u64, wanted: usize, seed: u64) -> Vec<u64> {
        Drawn::new(len, wanted, Some(seed)).collect()
    }

    #[test]
    fn numbers_rise_and_each_is_drawn_as_often_as_any_other() {
        const LEN: u64 = 20;
        const ROUNDS: u64 = 4000;
        let (mut counts, mut pairs) = ([0_u64; LEN as usize], [[0_u64; LEN as usize]; LEN as usize]);
        for seed in 0..ROUNDS {
            let numbers = drawn(LEN, 5, seed);
            assert!(numbers.len() == 5 && numbers.is_sorted_by(|a, b| a < b) && numbers[4] < LEN);
            for &a in &numbers {
                counts[a as usize] += 1;
                numbers.iter().for_each(|&b| pairs[a as usize][b as usize] += 1);
            }
        }
        // 1000 of each are expected, with a standard deviation of 27; of each pair 211, with one of
        // 14.
        assert!(counts.iter().all(|count| (860..=1140).contains(count)), "{counts:?}");
        for (a, row) in pairs.iter().enumerate() {
            for (b, count) in row.iter().enumerate() {
                assert!(a == b || (130..=290).contains(count), "{a}, {b}: {count}");
            }
        }
    }

    #[test]
    fn all_are_drawn_if_there_are_no_more() {
        for wanted in [7, 8, 1000] {
            assert_eq!(drawn(7, wanted, 3), (0..7).collect::<Vec<_>>());
        }
        assert!(drawn(7, 0, 3).is_empty());
        assert_eq!(drawn(1000, 30, 3), drawn(1000, 30, 3));
        assert_ne!(drawn(1000, 30, 3), drawn(1000, 30, 4));
        assert_eq!(Drawn::new(1000, 30, None).collect::<Vec<_>>(), drawn(1000, 30, DEFAULT_SEED));
    }

    #[test]
    fn a_sample_has_the_vectors_that_it_says() {
        const LEN: usize = 3000;
        let folder = tempfile::tempdir().expect("a folder");
        // Short records, and long ones that are read a few at a time. Formats with and without a
        // dimension before each record.
        for (name, dim) in [("a.fvecs", 3), ("a.fbin", 3), ("b.fbin", 20_000)] {
            let len = if dim > 3 { 40 } else { LEN };
            let path = folder.path().join(name);
            let data: Vec<f32> = (0..len).flat_map(|i| std::iter::repeat_n(i as f32, dim)).collect();
            ivf_io::write_vectors(&path, Rows::new(&data, dim).expect("whole rows")).expect("a writable folder");
            for wanted in [0, 1, len / 10, len - len / 10, len, len + 1] {
                let mut reader = VectorReader::open(&path).expect("a good file");
                let sample = Sample::read(&mut reader, wanted, Some(9)).expect("a good file");
                assert_eq!(sample.rows().len(), wanted.min(len));
                for (row, vector) in sample.rows().iter().enumerate() {
                    assert!(vector.iter().all(|&x| x == sample.number(row) as f32), "{name}, {wanted}, {row}");
                }
            }
        }
    }
}
