//! Seeded vectors and ids: the same bits for the same seed, on every machine.

use ivf_core::{Id, Rows};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::collections::HashSet;

/// The random number generator of this crate.
pub type Random = Xoshiro256PlusPlus;

/// Returns a generator with this seed.
pub fn random(seed: u64) -> Random {
    Random::seed_from_u64(seed)
}

/// Vectors that own their memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Vectors {
    /// The elements, row after row.
    pub data: Vec<f32>,
    /// Number of elements of a vector.
    pub dim: usize,
}

impl Vectors {
    /// Returns the vectors in the form that the library takes.
    ///
    /// # Panics
    /// If `dim` does not divide the data.
    pub fn rows(&self) -> Rows<'_, f32> {
        Rows::new(&self.data, self.dim).expect("generated vectors divide into rows")
    }

    /// Returns the number of vectors.
    pub fn len(&self) -> usize {
        self.rows().len()
    }

    /// Returns whether there are no vectors.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Overwrites about every third vector with a copy of another one.
    #[must_use]
    pub fn with_duplicates(mut self, seed: u64) -> Self {
        let (mut random, n, dim) = (random(seed), self.len(), self.dim);
        for to in 0..n {
            if random.random_ratio(1, 3) {
                let from = random.random_range(0..n);
                self.data.copy_within(from * dim..(from + 1) * dim, to * dim);
            }
        }
        self
    }

    /// Scales every vector to length 1, as the metric `Cosine` does.
    #[must_use]
    pub fn unit(self) -> Self {
        let data = self.rows().iter().flat_map(crate::oracle::unit).collect();
        Self { data, dim: self.dim }
    }
}

/// Returns `n` vectors with elements uniform in -1..1.
pub fn uniform(seed: u64, n: usize, dim: usize) -> Vectors {
    let mut random = random(seed);
    Vectors { data: (0..n * dim).map(|_| random.random_range(-1.0..1.0)).collect(), dim }
}

/// Returns `n` vectors around `clusters` centres. The vectors are nearly Gaussian with a standard
/// deviation of 0.2, and the centres are uniform in -1..1.
///
/// # Panics
/// If `clusters` is 0.
pub fn clusters(seed: u64, n: usize, dim: usize, clusters: usize) -> Vectors {
    let mut random = random(seed);
    let centres = uniform(random.random(), clusters, dim);
    let mut data = Vec::with_capacity(n * dim);
    for _ in 0..n {
        let centre = centres.rows().row(random.random_range(0..clusters));
        // A sum of 12 uniform numbers is close enough to normal, and has the same bits on every
        // machine. `ln` and `cos` do not guarantee that.
        data.extend(centre.iter().map(|c| c + 0.2 * ((0..12).map(|_| random.random::<f32>()).sum::<f32>() - 6.0)));
    }
    Vectors { data, dim }
}

/// Returns `n` vectors of the integers `0..below`, none of them all zero. They have many exact
/// ties, and every element type can hold their values (for `below <= 128`).
///
/// # Panics
/// If `below < 2`.
pub fn small_integers(seed: u64, n: usize, dim: usize, below: u8) -> Vectors {
    assert!(below >= 2, "0 alone makes zero vectors only");
    let mut random = random(seed);
    let mut data: Vec<f32> = (0..n * dim).map(|_| f32::from(random.random_range(0..below))).collect();
    for row in data.chunks_exact_mut(dim) {
        if row.iter().all(|&x| x == 0.0) {
            row[random.random_range(0..dim)] = 1.0;
        }
    }
    Vectors { data, dim }
}

/// Returns `n` random bytes.
pub fn bytes(random: &mut Random, n: usize) -> Vec<u8> {
    (0..n).map(|_| random.random()).collect()
}

/// Returns the ids `0..n` in order.
pub fn sequential_ids(n: usize) -> Vec<Id> {
    (0..n as i64).map(Id).collect()
}

/// Returns the ids `0..n` in random order.
pub fn shuffled_ids(seed: u64, n: usize) -> Vec<Id> {
    let mut ids = sequential_ids(n);
    ids.shuffle(&mut random(seed));
    ids
}

/// Returns `n` distinct ids from all over `i64`, about half of them negative.
pub fn any_ids(seed: u64, n: usize) -> Vec<Id> {
    let mut random = random(seed);
    let mut seen = HashSet::new();
    // The range excludes the largest id: no id could follow it.
    std::iter::repeat_with(|| Id(random.random_range(i64::MIN..i64::MAX)))
        .filter(|id| seen.insert(*id))
        .take(n)
        .collect()
}

/// Returns `n` ids drawn from `-(distinct / 2)..distinct - distinct / 2`. If `n` exceeds
/// `distinct`, some of them repeat.
///
/// # Panics
/// If `distinct` is 0.
pub fn repeated_ids(seed: u64, n: usize, distinct: usize) -> Vec<Id> {
    let mut random = random(seed);
    let first = -(distinct as i64 / 2);
    (0..n).map(|_| Id(first + random.random_range(0..distinct as i64))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_everything() {
        assert_eq!(clusters(1, 50, 3, 4), clusters(1, 50, 3, 4));
        assert_ne!(clusters(1, 50, 3, 4), clusters(2, 50, 3, 4));
        // Pinned: recorded results depend on these bits.
        assert_eq!(random(1).random::<u64>(), 14_971_601_782_005_023_387);
    }

    #[test]
    fn vectors_are_what_their_names_say() {
        let integers = small_integers(3, 200, 2, 2).with_duplicates(4);
        assert!(integers.rows().iter().all(|row| row.iter().any(|&x| x != 0.0)));
        assert!(integers.data.iter().all(|&x| x == 0.0 || x == 1.0));
        assert_eq!((integers.len(), integers.is_empty()), (200, false));
        for row in uniform(5, 20, 7).unit().rows().iter() {
            assert!((row.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn ids_are_what_their_names_say() {
        let mut shuffled = shuffled_ids(1, 100);
        assert_ne!(shuffled, sequential_ids(100));
        shuffled.sort();
        assert_eq!(shuffled, sequential_ids(100));
        let any = any_ids(2, 100);
        assert!(any.iter().any(|id| id.0 < 0) && any.iter().any(|id| id.0 > 0));
        let repeated: HashSet<Id> = repeated_ids(3, 100, 9).into_iter().collect();
        assert!(repeated.iter().all(|id| (-4..5).contains(&id.0)) && repeated.len() <= 9);
    }
}
