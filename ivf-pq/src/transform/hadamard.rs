//! `HR[seed]`: a random rotation in `d log d` steps.

use super::linear::{check_range, within_range};
use super::{check_dims, check_rotation, check_training};
use ivf_core::error::{BuildError, DecodeError, InputError, TrainError};
use ivf_core::field::{Field, FieldType, Schema};
use ivf_core::registry::{Parsed, Registry, Token, TokenError, TransformRow};
use ivf_core::transform::Reverse;
use ivf_core::{AnyRows, MAX_DIM, Metric, Node, Rows, StoredNode, TrainOptions, TrainReport, Transform, TransformSpec};
use ivf_cpu::simd::{Kernel, Level, Simd};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::fmt;
use std::sync::Arc;

/// The registry row of this transform.
pub(super) const ROW: TransformRow =
    TransformRow::new("hr", "HR[seed]", parse, |node, _| Ok(Arc::new(Hadamard::read(node)?)))
        .about("rotates at random with Hadamard matrices, to the next power of two; the number is the seed")
        .samples(&["HR"]);

const SCHEMA: &Schema = &[Field::new("dim", FieldType::UInt), Field::new("seed", FieldType::UInt)];

/// The seed of a token without one, as in Faiss.
const SEED: u32 = 12_345;

/// Number of signs in a word.
const BITS: usize = u32::BITS as usize;
/// Number of rounds of signs and a Hadamard matrix.
const ROUNDS: usize = 3;

fn parse(token: &Token<'_>, _registry: &Registry) -> Parsed<dyn TransformSpec> {
    let digits = token.plain()?.strip_prefix("HR")?;
    if digits.is_empty() {
        return Some(Ok(Arc::new(HadamardSpec::default())));
    }
    match digits.parse::<u32>() {
        Ok(seed) if super::is_number(digits) => Some(Ok(Arc::new(HadamardSpec { seed }))),
        _ => Some(Err(TokenError::new(2..2 + digits.len(), format!("only a seed may follow, from 0 to {}", u32::MAX)))),
    }
}

/// `HR[seed]`: a random rotation by Hadamard matrices.
///
/// The output dimension is the next power of two, and zeros are appended to the input. The map is
/// `H D3 H D2 H D1`, where `H` is the Hadamard matrix and each `D` has random signs on its diagonal
/// (Andoni, Indyk, Laarhoven, Razenshteyn, Schmidt, "Practical and Optimal LSH for Angular
/// Distance", NIPS 2015). With a single round, a vector of few nonzero coordinates would get few
/// different ones.
///
/// ```
/// use ivf_core::{Metric, TransformSpec};
/// use ivf_pq::transform::HadamardSpec;
/// let spec = HadamardSpec { seed: 7 };
/// assert_eq!((spec.to_string(), HadamardSpec::default().to_string()), ("HR7".into(), "HR".into()));
/// assert_eq!(spec.dim_out(100, Metric::L2)?, 128);
/// # Ok::<(), ivf_core::error::BuildError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HadamardSpec {
    /// Seed of the signs.
    pub seed: u32,
}

impl Default for HadamardSpec {
    fn default() -> Self {
        Self { seed: SEED }
    }
}

impl fmt::Display for HadamardSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.seed == SEED { f.write_str("HR") } else { write!(f, "HR{}", self.seed) }
    }
}

impl TransformSpec for HadamardSpec {
    fn dim_out(&self, dim: usize, metric: Metric) -> Result<usize, BuildError> {
        check_rotation(self, metric)?;
        Ok(check_dims(self, dim, dim)?.next_power_of_two())
    }

    fn is_reversible(&self) -> bool {
        true
    }

    fn training_points(&self, _options: &TrainOptions<'_>) -> usize {
        0
    }

    fn training_memory(&self, _dim: usize, _metric: Metric, _points: usize, _options: &TrainOptions<'_>) -> usize {
        0
    }

    fn train(
        &self,
        rows: AnyRows<'_>,
        metric: Metric,
        _options: &TrainOptions<'_>,
    ) -> Result<(Arc<dyn Transform>, TrainReport), TrainError> {
        check_training(self.dim_out(rows.dim(), metric))?;
        Ok((Arc::new(Hadamard::new(rows.dim(), *self)), TrainReport::default()))
    }
}

/// A rotation by Hadamard matrices and signs.
///
/// Each call draws the signs from the seed. Keeping them would take 3 bits for each output
/// dimension, which is 393 kB at [`MAX_DIM`]. A file of 1 MiB that repeats the token `HR` would
/// then allocate tens of GB.
///
/// ```
/// use ivf_core::{Rows, Transform};
/// use ivf_pq::transform::{Hadamard, HadamardSpec};
/// let mut out = [0.0; 8];
/// Hadamard::new(2, HadamardSpec { seed: 1 }).apply(Rows::new(&[3.0, 4.0, 0.0, 0.0, -6.0, 8.0, 1.0, 1.0], 2)?, &mut out)?;
/// let norm = |vector: &[f32]| vector.iter().map(|x| x * x).sum::<f32>().sqrt();
/// assert!((norm(&out[..2]) - 5.0).abs() < 1e-5 && (norm(&out[4..6]) - 10.0).abs() < 1e-5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Hadamard {
    dim: usize,
    spec: HadamardSpec,
}

/// The signs of each round, a bit each.
type Signs = [Vec<u32>; ROUNDS];

impl Hadamard {
    /// Creates the rotation of vectors of `dim` dimensions.
    ///
    /// # Panics
    /// If `dim` is not from 1 to [`MAX_DIM`].
    pub fn new(dim: usize, spec: HadamardSpec) -> Self {
        assert!((1..=MAX_DIM).contains(&dim), "from 1 to {MAX_DIM} dimensions");
        Self { dim, spec }
    }

    /// Draws the signs.
    fn signs(&self) -> Signs {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(self.spec.seed.into());
        let words = self.dim_out().div_ceil(BITS);
        std::array::from_fn(|_| (0..words).map(|_| random.random()).collect())
    }

    fn read(node: &StoredNode) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        let fields = node.fields(SCHEMA)?;
        let (dim, seed) = (fields.dim("dim")?, fields.get::<u64>("seed")?);
        let fault = || DecodeError::value(&node.tag, format!("the seed {seed}, which has more than 32 bits"));
        Ok(Self::new(dim, HadamardSpec { seed: u32::try_from(seed).map_err(|_| fault())? }))
    }
}

impl Transform for Hadamard {
    fn spec(&self) -> Arc<dyn TransformSpec> {
        Arc::new(self.spec)
    }

    fn tag(&self) -> &str {
        ROW.tag
    }

    fn dim_in(&self) -> usize {
        self.dim
    }

    fn dim_out(&self) -> usize {
        self.dim.next_power_of_two()
    }

    /// Rotates the rows. A row with a NaN or an infinity gets such numbers in its output. The index
    /// behind the transform decides what happens to it.
    ///
    /// # Errors
    /// [`InputError::Overflow`] for a finite row whose output is beyond the range of `f32`.
    fn apply(&self, rows: Rows<'_, f32>, out: &mut [f32]) -> Result<(), InputError> {
        let dim_out = self.dim_out();
        assert_eq!((rows.dim(), out.len()), (self.dim, rows.len() * dim_out), "rows of {} dimensions", self.dim);
        if rows.is_empty() {
            return Ok(());
        }
        for (row, out) in rows.iter().zip(out.chunks_exact_mut(dim_out)) {
            let (start, zeros) = out.split_at_mut(self.dim);
            start.copy_from_slice(row);
            zeros.fill(0.0);
        }
        Level::get().run(Rotate { signs: &self.signs(), vectors: out, dim: dim_out, is_reverse: false });
        check_range(rows, out, dim_out)
    }

    fn as_reverse(&self) -> Option<&dyn Reverse> {
        Some(self)
    }

    fn memory(&self) -> usize {
        0
    }

    fn export(&self) -> Node<'_> {
        Node::new(ROW.tag, 0).with("dim", self.dim).with("seed", u64::from(self.spec.seed))
    }
}

/// Rotates back, and cuts off what was appended.
impl Reverse for Hadamard {
    fn reverse(&self, vector: &[f32], out: &mut [f32]) {
        assert_eq!((vector.len(), out.len()), (self.dim_out(), self.dim), "a vector of the output dimension");
        let signs = self.signs();
        within_range(vector, &[], out, |vector, out| {
            let mut whole = vector.to_vec();
            Level::get().run(Rotate { signs: &signs, vectors: &mut whole, dim: vector.len(), is_reverse: true });
            out.copy_from_slice(&whole[..self.dim]);
        });
    }
}

struct Rotate<'a> {
    signs: &'a Signs,
    vectors: &'a mut [f32],
    dim: usize,
    is_reverse: bool,
}

impl Kernel for Rotate<'_> {
    type Output = ();
    const BYTES: bool = false;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Self { signs, vectors, dim, is_reverse } = self;
        let scale = 1.0 / (dim as f32).sqrt();
        for vector in vectors.chunks_exact_mut(dim) {
            for round in 0..ROUNDS {
                if is_reverse {
                    hadamard(vector, scale);
                    flip(vector, &signs[ROUNDS - 1 - round]);
                } else {
                    flip(vector, &signs[round]);
                    hadamard(vector, scale);
                }
            }
        }
    }
}

/// Negates the numbers whose bit is set.
#[inline(always)]
fn flip(vector: &mut [f32], signs: &[u32]) {
    for (numbers, word) in vector.chunks_mut(BITS).zip(signs) {
        for (i, x) in numbers.iter_mut().enumerate() {
            *x = f32::from_bits(x.to_bits() ^ (word >> i & 1) << 31);
        }
    }
}

/// Multiplies by the Hadamard matrix, scaled to be orthogonal: in each step, sums and differences
/// of pairs that are twice as far apart.
#[inline(always)]
fn hadamard(vector: &mut [f32], scale: f32) {
    for x in &mut *vector {
        *x *= scale;
    }
    let mut half = 1;
    while half < vector.len() {
        for pair in vector.chunks_exact_mut(2 * half) {
            let (low, high) = pair.split_at_mut(half);
            for (low, high) in low.iter_mut().zip(high) {
                (*low, *high) = (*low + *high, *low - *high);
            }
        }
        half *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_rotates_as_the_scalar_one() {
        for dim in [1, 2, 5, 32, 100] {
            let hadamard = Hadamard::new(dim, HadamardSpec { seed: 9 });
            let (dim, signs) = (hadamard.dim_out(), &hadamard.signs());
            let vectors: Vec<f32> = (0..3 * dim).map(|i| (i * 37 % 101) as f32 * 0.11 - 4.0).collect();
            for is_reverse in [false, true] {
                let mut expected = vectors.clone();
                Rotate { signs, vectors: &mut expected, dim, is_reverse }.run(ivf_cpu::simd::Scalar);
                for level in Level::available() {
                    let mut found = vectors.clone();
                    level.run(Rotate { signs, vectors: &mut found, dim, is_reverse });
                    assert_eq!(found, expected, "{level}");
                }
            }
        }
    }

    /// A file holds only the seed, so other signs would change what the index behind it means.
    #[test]
    fn a_seed_stands_for_the_same_signs_in_every_version() {
        let signs: [[u32; 2]; ROUNDS] =
            [[0x8d94_8a82, 0x3477_f953], [0x15ca_a2fc, 0x2cef_8853], [0x43ff_3fff, 0xb9c1_8b4a]];
        assert_eq!(Hadamard::new(33, HadamardSpec::default()).signs(), signs);
        let rows = [1.0_f32, 2.0, 3.0];
        for (seed, expected) in [(SEED, [-2.0, 0.0, -1.0, -3.0]), (7, [0.0, -2.0, 3.0, -1.0])] {
            let hadamard = Hadamard::new(3, HadamardSpec { seed });
            let (mut out, mut back) = ([0.0; 4], [0.0; 3]);
            hadamard.apply(Rows::new(&rows, 3).unwrap(), &mut out).unwrap();
            hadamard.reverse(&out, &mut back);
            assert_eq!((out, back), (expected, rows), "HR{seed}");
        }
    }

    #[test]
    fn the_largest_rotation_takes_no_more_memory_than_the_smallest() {
        let hadamard = Hadamard::new(MAX_DIM, HadamardSpec::default());
        assert_eq!((hadamard.dim_out(), hadamard.memory()), (MAX_DIM, 0));
        // It owns no allocation, and is two numbers.
        assert!(!std::mem::needs_drop::<Hadamard>(), "{hadamard:?}");
        assert!(size_of_val(&hadamard) <= 16, "{hadamard:?}");
    }
}
