//! The distinct points among points with copies.

use ivf_core::Rows;
use ivf_core::executor::{Executor, map_items};

/// Number of points in one task of the parallel loop.
const CHUNK: usize = 4096;

/// The points without their copies, in order.
///
/// A copy has the same nearest centroid as the first point like it, so one search serves both. With
/// many copies, many centroids start at one place. No bound can then choose between them, and a
/// search for each copy would compute the distances to all of them.
///
/// ```text
/// points      a b a c b a
/// firsts      0 1   3            a b c
/// kinds       0 1 0 2 1 0        of each point
/// ```
#[derive(Debug)]
pub(super) struct Distinct<'a> {
    points: Rows<'a, f32>,
    /// Number of the first point of each kind. Empty, like `kinds`, if no point is a copy.
    firsts: Vec<u32>,
    /// Number of each point among the distinct points.
    kinds: Vec<u32>,
}

impl<'a> Distinct<'a> {
    /// Finds the copies: points whose bits are those of an earlier point. If the hashes of two
    /// distinct points collide, it may take copies of them for distinct points.
    pub(super) fn new(points: Rows<'a, f32>, executor: &dyn Executor) -> Self {
        let mut keys = vec![0; points.len()];
        map_items(executor, keys.chunks_mut(CHUNK).collect(), |task, keys: &mut [u64]| {
            for (i, key) in (task * CHUNK..).zip(keys) {
                *key = u64::from(hash(points.row(i))) << 32 | i as u64;
            }
        });
        // Equal hashes come together, and equal points in their order.
        keys.sort_unstable();
        let number = |key: u64| key as u32;
        let same = |a: u64, b: u64| {
            let bits = |key| points.row(number(key) as usize).iter().map(|x| x.to_bits());
            a >> 32 == b >> 32 && bits(a).eq(bits(b))
        };
        let mut kinds: Vec<u32> = Vec::new();
        let mut first = keys.first().copied().unwrap_or_default();
        for &key in keys.iter().skip(1) {
            if !same(first, key) {
                first = key;
                continue;
            }
            if kinds.is_empty() {
                kinds.extend(0..points.len() as u32);
            }
            kinds[number(key) as usize] = number(first);
        }
        drop(keys);
        // So far, each point names the first point like it. That point has its kind already.
        let mut firsts = Vec::new();
        for i in 0..kinds.len() {
            let first = kinds[i] as usize;
            if first == i {
                firsts.push(i as u32);
            }
            kinds[i] = if first == i { firsts.len() as u32 - 1 } else { kinds[first] };
        }
        Self { points, firsts, kinds }
    }

    /// Returns all points.
    pub(super) fn points(&self) -> Rows<'a, f32> {
        self.points
    }

    /// Returns the number of distinct points.
    pub(super) fn len(&self) -> usize {
        if self.firsts.is_empty() { self.points.len() } else { self.firsts.len() }
    }

    /// Returns the number of point `i` among the distinct points.
    #[inline(always)]
    pub(super) fn kind(&self, i: usize) -> usize {
        if self.kinds.is_empty() { i } else { self.kinds[i] as usize }
    }

    /// Returns distinct points. They are copied to `scratch` if copies lie between them.
    pub(super) fn rows<'s>(&self, range: std::ops::Range<usize>, scratch: &'s mut Vec<f32>) -> Rows<'s, f32>
    where
        'a: 's,
    {
        if self.firsts.is_empty() {
            return self.points.slice(range);
        }
        scratch.clear();
        self.firsts[range].iter().for_each(|&i| scratch.extend_from_slice(self.points.row(i as usize)));
        Rows::new(scratch, self.points.dim()).expect("whole points")
    }
}

/// Multiplier whose bits are the golden ratio's.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Returns a hash of the bits of a point.
fn hash(point: &[f32]) -> u32 {
    let step = |hash: u64, x: &f32| (hash.rotate_left(5) ^ u64::from(x.to_bits())).wrapping_mul(GOLDEN);
    (point.iter().fold(0, step) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use ivf_core::executor::Inline;

    #[test]
    fn each_point_has_the_kind_of_the_first_point_like_it() {
        let patterns: [&[u8]; 6] = [b"", b"a", b"abcd", b"aaaa", b"abacba", b"abcdefgagbgcgdgeg"];
        for pattern in patterns {
            for dim in [1, 2, 5] {
                // Points that differ in one coordinate only.
                let point = |kind: u8| (0..dim).map(move |d| if d == 1 % dim { f32::from(kind) } else { 0.5 });
                let data: Vec<f32> = pattern.iter().copied().flat_map(point).collect();
                let points = Rows::new(&data, dim).unwrap();
                let distinct = Distinct::new(points, &Inline);
                let mut kinds: Vec<u8> = Vec::new();
                for (i, kind) in pattern.iter().enumerate() {
                    let known = kinds.iter().position(|known| known == kind);
                    assert_eq!(distinct.kind(i), known.unwrap_or(kinds.len()), "{pattern:?}");
                    if known.is_none() {
                        kinds.push(*kind);
                    }
                }
                assert_eq!(distinct.len(), kinds.len());
                for start in 0..kinds.len() {
                    let expected: Vec<f32> = kinds[start..].iter().copied().flat_map(point).collect();
                    let mut scratch = vec![f32::NAN];
                    assert_eq!(distinct.rows(start..kinds.len(), &mut scratch).as_slice(), expected);
                }
            }
        }
        // Equal numbers with other bits are other points.
        let zeros = Rows::new(&[0.0, -0.0, 0.0], 1).unwrap();
        assert_eq!(Distinct::new(zeros, &Inline).len(), 2);
    }
}
