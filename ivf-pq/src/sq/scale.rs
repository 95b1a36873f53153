//! The map between coordinates and the numbers of a code.

use ivf_core::Rows;

/// Learnt ranges: the least value of each dimension and the width of its range, as Faiss stores
/// them. One pair serves all dimensions if the ranges are uniform.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Learnt {
    pub(super) min: Vec<f32>,
    pub(super) width: Vec<f32>,
}

impl Learnt {
    /// Returns the ranges of the coordinates of at least one row. A range that is wider than the
    /// largest float is cut at both ends, to half of the largest float.
    pub(super) fn of(rows: Rows<'_, f32>, is_uniform: bool) -> Self {
        let mut low = rows.row(0).to_vec();
        let mut high = low.clone();
        for row in rows.iter() {
            for ((low, high), &x) in low.iter_mut().zip(&mut high).zip(row) {
                (*low, *high) = (low.min(x), high.max(x));
            }
        }
        if is_uniform {
            low = vec![low.iter().copied().fold(f32::INFINITY, f32::min)];
            high = vec![high.iter().copied().fold(f32::NEG_INFINITY, f32::max)];
        }
        for (low, high) in low.iter_mut().zip(&mut high) {
            if !(*high - *low).is_finite() {
                (*low, *high) = (low.max(f32::MIN / 2.0), high.min(f32::MAX / 2.0));
            }
        }
        let width = low.iter().zip(&high).map(|(low, high)| high - low).collect();
        Self { min: low, width }
    }

    /// Returns whether one range serves all of `dim` dimensions.
    pub(super) fn is_uniform(&self, dim: usize) -> bool {
        self.min.len() < dim
    }
}

/// The map between coordinates and numbers, for each dimension:
///
/// ```text
/// learnt    number = (x - min) / width, cut to 0 .. 1, times the largest number, rounded down
///           x      = min + (number + 1/2) step,  step = width / largest number
/// fixed     number = x + constant, cut to the limits of the numbers
///           x      = number - constant
/// ```
///
/// Both decode as `number * step + base`, one fused operation. Its result is always finite, since a
/// base from which it could overflow is moved.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    learnt: Option<Learnt>,
    limits: (f32, f32),
    steps: Vec<f32>,
    bases: Vec<f32>,
}

impl Scale {
    /// Creates the scale of `dim` dimensions whose numbers are coordinates plus a constant.
    pub(super) fn fixed(constant: f32, limits: (f32, f32), dim: usize) -> Self {
        Self::new(None, limits, vec![1.0; dim], vec![-constant; dim])
    }

    /// Creates the scale of `dim` dimensions with learnt ranges, one for each or one for all.
    pub(super) fn learnt(learnt: Learnt, limits: (f32, f32), dim: usize) -> Self {
        let of = |d: usize| if learnt.is_uniform(dim) { 0 } else { d };
        let steps: Vec<f32> = (0..dim).map(|d| learnt.width[of(d)] / limits.1).collect();
        let middles = steps.iter().enumerate().map(|(d, step)| step.mul_add(0.5, learnt.min[of(d)])).collect();
        Self::new(Some(learnt), limits, steps, middles)
    }

    fn new(learnt: Option<Learnt>, limits: (f32, f32), steps: Vec<f32>, bases: Vec<f32>) -> Self {
        let mut scale = Self { learnt, limits, steps, bases };
        scale.bases = scale.bases.iter().enumerate().map(|(d, base)| scale.moved(d, *base)).collect();
        scale
    }

    /// Returns the learnt ranges.
    pub(super) fn ranges(&self) -> Option<&Learnt> {
        self.learnt.as_ref()
    }

    /// Returns the difference between two consecutive numbers of each dimension.
    pub(super) fn steps(&self) -> &[f32] {
        &self.steps
    }

    /// Returns the coordinate of the number 0 of each dimension.
    pub(super) fn bases(&self) -> &[f32] {
        &self.bases
    }

    /// Adds the bases to the centroid of a list: the result are the bases of its vectors.
    pub(super) fn add_bases(&self, centroid: &mut [f32]) {
        for (d, (x, base)) in centroid.iter_mut().zip(&self.bases).enumerate() {
            *x = self.moved(d, *x + base);
        }
    }

    /// Returns the nearest base from which no number of dimension `d` overflows, as far as the
    /// numbers have a small range. (Floats of 16 bits can exceed it from any base.)
    fn moved(&self, d: usize, base: f32) -> f32 {
        let most = f64::from(f32::MAX) - f64::from(self.steps[d]) * f64::from(self.limits.1);
        if f64::from(base) <= most || self.limits.0 < 0.0 {
            return base.max(f32::MIN);
        }
        let rounded = most as f32;
        if f64::from(rounded) <= most { rounded } else { rounded.next_down() }
    }

    /// Returns the number of a coordinate of dimension `d`, before it is rounded.
    #[inline(always)]
    pub(super) fn number(&self, d: usize, x: f32) -> f32 {
        let Some(learnt) = &self.learnt else { return (x - self.bases[d]).clamp(self.limits.0, self.limits.1) };
        let of = if learnt.min.len() == 1 { 0 } else { d };
        let (min, width) = (learnt.min[of], learnt.width[of]);
        // As Faiss computes it, so that codes are the same.
        let share = if width == 0.0 { 0.0 } else { ((x - min) / width).clamp(0.0, 1.0) };
        share * self.limits.1
    }

    /// Returns the memory in bytes.
    pub(super) fn memory(&self) -> usize {
        let learnt = self.learnt.as_ref().map_or(0, |learnt| learnt.min.capacity() + learnt.width.capacity());
        (learnt + self.steps.capacity() + self.bases.capacity()) * size_of::<f32>()
    }
}
