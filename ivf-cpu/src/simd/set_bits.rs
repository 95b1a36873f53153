//! The lanes that a bit mask selects.

/// The numbers of the bits that are set, in ascending order.
///
/// ```
/// use ivf_cpu::simd::{Lanes, Scalar, Simd};
/// let near = Scalar.at_most(Scalar.load(&std::array::from_fn(|i| (i % 5) as f32)), 0.5);
/// assert!(Lanes(near.into()).eq([0, 5, 10, 15]));
/// assert_eq!((Lanes(0).len(), Lanes(u64::MAX).last()), (0, Some(63)));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Lanes(pub u64);

impl Iterator for Lanes {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        let lane = self.0.trailing_zeros() as usize;
        self.0 &= self.0.wrapping_sub(1);
        (lane < 64).then_some(lane)
    }

    #[inline(always)]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.count_ones() as usize, Some(self.0.count_ones() as usize))
    }
}

impl ExactSizeIterator for Lanes {}
