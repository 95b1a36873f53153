//! The trained type of all transforms that multiply by a matrix.

use super::product::{products, weighted_sum};
use ivf_core::error::{Computed, DecodeError, InputError, PartsError};
use ivf_core::field::{Field, FieldType, Schema};
use ivf_core::node::NamedArray;
use ivf_core::registry::{Parsed, Registry, Token};
use ivf_core::transform::Reverse;
use ivf_core::{MAX_DIM, Metric, Node, Rows, StoredNode, Transform, TransformSpec};
use ivf_cpu::kernels::PackedRows;
use std::sync::Arc;

pub(super) const SCHEMA: &Schema = &[Field::new("dim", FieldType::UInt), Field::new("token", FieldType::Text)];

/// Number of rows that pass over the matrix together.
const CHUNK: usize = 128;

/// A trained linear map: `A (x - mean)`, for a matrix `A` and a mean (or zeros). It is what
/// [`PcaSpec`](super::PcaSpec), [`OpqSpec`](super::OpqSpec) and
/// [`RotationSpec`](super::RotationSpec) train.
///
/// Each output is a fold over the dimensions in order, with one fused multiply-add for each. So it
/// is the same on every instruction set, and for any cut of a batch.
///
/// ```
/// use ivf_core::transform::Reverse;
/// use ivf_core::{Rows, Transform};
/// use ivf_pq::transform::{LinearMap, RotationSpec};
/// use std::sync::Arc;
///
/// // A quarter turn around the point (1, 1).
/// let matrix = Rows::new(&[0.0, -1.0, 1.0, 0.0], 2)?;
/// let turn = LinearMap::new("rr", Arc::new(RotationSpec::new(None)), matrix, Some(vec![1.0, 1.0]), None)?;
/// let mut out = [0.0; 2];
/// turn.apply(Rows::new(&[3.0, 1.0], 2)?, &mut out)?;
/// assert_eq!(out, [0.0, 2.0]);
///
/// // Its rows are orthonormal, so the transposed matrix undoes it.
/// let mut back = [0.0; 2];
/// turn.reverse(&out, &mut back);
/// assert_eq!(back, [3.0, 1.0]);
/// assert_eq!((turn.matrix(), turn.mean()), (vec![0.0, -1.0, 1.0, 0.0], Some(&[1.0, 1.0][..])));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct LinearMap {
    tag: &'static str,
    spec: Arc<dyn TransformSpec>,
    /// The rows of the matrix.
    packed: PackedRows,
    mean: Option<Vec<f32>>,
    /// The rows of the matrix that undoes the map, if it is not the transposed one.
    inverse: Option<PackedRows>,
}

impl LinearMap {
    /// Creates the map of a matrix, whose rows have the input dimension. `tag` is that of the kind
    /// in files. Without `inverse`, the transposed matrix undoes the map, so the rows (or the
    /// columns) should be orthonormal. `inverse` has a row for each input dimension.
    ///
    /// # Errors
    /// [`PartsError::Mismatch`] if a dimension is not that of the specification, the mean or the
    /// inverse has another length, or a number is not finite.
    pub fn new(
        tag: &'static str,
        spec: Arc<dyn TransformSpec>,
        matrix: Rows<'_, f32>,
        mean: Option<Vec<f32>>,
        inverse: Option<Rows<'_, f32>>,
    ) -> Result<Self, PartsError> {
        let fault = |what: String| Err(PartsError::Mismatch(what));
        let (dim, dim_out) = (matrix.dim(), matrix.len());
        let is_dim = |dim: usize| (1..=MAX_DIM).contains(&dim);
        if !is_dim(dim) || !is_dim(dim_out) {
            return fault(format!("a matrix of {dim_out} x {dim}: from 1 to {MAX_DIM} dimensions are supported"));
        }
        let expected = spec.dim_out(dim, Metric::L2)?;
        if expected != dim_out {
            return fault(format!("{spec} maps {dim} dimensions to {expected}, but the matrix to {dim_out}"));
        }
        if let Some(mean) = mean.as_ref().filter(|mean| mean.len() != dim) {
            return fault(format!("a mean of {} numbers for {dim} dimensions", mean.len()));
        }
        if let Some(inverse) = inverse.filter(|inverse| (inverse.len(), inverse.dim()) != (dim, dim_out)) {
            return fault(format!("an inverse of {} x {} for {dim_out} x {dim}", inverse.len(), inverse.dim()));
        }
        let inverses = inverse.iter().flat_map(|rows| rows.as_slice());
        if !matrix.as_slice().iter().chain(mean.iter().flatten()).chain(inverses).all(|x| x.is_finite()) {
            return fault("a number that is not finite".to_owned());
        }
        Ok(Self { tag, spec, packed: PackedRows::new(matrix), mean, inverse: inverse.map(PackedRows::new) })
    }

    /// Returns the matrix, row after row: one for each output dimension.
    pub fn matrix(&self) -> Vec<f32> {
        all_rows(&self.packed)
    }

    /// Returns the mean that is subtracted from vectors, if there is one.
    pub fn mean(&self) -> Option<&[f32]> {
        self.mean.as_deref()
    }

    /// Reads the map of a kind, whose tokens `parse` parses.
    pub(super) fn read(
        node: &StoredNode,
        registry: &Registry,
        tag: &'static str,
        parse: fn(&Token<'_>, &Registry) -> Parsed<dyn TransformSpec>,
    ) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        let fault = |what: String| DecodeError::value(&node.tag, what);
        let fields = node.fields(SCHEMA)?;
        let (dim, token) = (fields.dim("dim")?, fields.get::<String>("token")?);
        let shown = || token.chars().take(60).flat_map(char::escape_debug).collect::<String>();
        let spec = Token::new(&token).map(|token| parse(&token, registry));
        let Ok(Some(Ok(spec))) = spec else { return Err(fault(format!("'{}' is not a token of it", shown()))) };
        let matrix = Rows::new(node.array::<f32>("matrix")?, dim).map_err(|error| fault(error.to_string()))?;
        let some = |numbers: &[f32]| (!numbers.is_empty()).then(|| numbers.to_vec());
        let mean = some(node.array("mean")?);
        let inverse = node.array::<f32>("inverse")?;
        let inverse = match matrix.len() {
            _ if inverse.is_empty() => None,
            0 => return Err(fault("a matrix without rows".to_owned())),
            dim_out => Some(Rows::new(inverse, dim_out).map_err(|error| fault(error.to_string()))?),
        };
        Self::new(tag, spec, matrix, mean, inverse).map_err(|error| fault(error.to_string()))
    }
}

fn all_rows(packed: &PackedRows) -> Vec<f32> {
    let mut rows = vec![0.0; packed.len() * packed.dim()];
    packed.rows(0, &mut rows);
    rows
}

/// Returns a matrix as an array of two axes.
fn array(name: &str, packed: &PackedRows) -> NamedArray<'static> {
    NamedArray::owned(name, &[packed.len() as u64, packed.dim() as u64], all_rows(packed))
}

/// Returns the first row with a number that is not finite, although all numbers of the input were.
pub(super) fn check_range(rows: Rows<'_, f32>, out: &[f32], dim_out: usize) -> Result<(), InputError> {
    let is_finite = |row: &[f32]| row.iter().all(|x| x.is_finite());
    match rows.iter().zip(out.chunks_exact(dim_out)).position(|(row, out)| !is_finite(out) && is_finite(row)) {
        Some(row) => Err(InputError::Overflow { row, what: Computed::Transformed }),
        None => Ok(()),
    }
}

impl Transform for LinearMap {
    fn spec(&self) -> Arc<dyn TransformSpec> {
        self.spec.clone()
    }

    fn tag(&self) -> &str {
        self.tag
    }

    fn dim_in(&self) -> usize {
        self.packed.dim()
    }

    fn dim_out(&self) -> usize {
        self.packed.len()
    }

    /// Maps the rows. A row with a NaN or an infinity gets such numbers in its output. The index
    /// behind the transform decides what happens to it.
    ///
    /// # Errors
    /// [`InputError::Overflow`] for a finite row whose output is beyond the range of `f32`.
    fn apply(&self, rows: Rows<'_, f32>, out: &mut [f32]) -> Result<(), InputError> {
        let (dim, dim_out) = (self.dim_in(), self.dim_out());
        assert_eq!((rows.dim(), out.len()), (dim, rows.len() * dim_out), "rows of {dim} dimensions");
        let mut moved = Vec::new();
        for (i, out) in out.chunks_mut(CHUNK * dim_out).enumerate() {
            let chunk = rows.slice(i * CHUNK..i * CHUNK + out.len() / dim_out);
            let chunk = match &self.mean {
                Some(mean) => {
                    moved.clear();
                    chunk.iter().for_each(|row| moved.extend(row.iter().zip(mean).map(|(x, mean)| x - mean)));
                    Rows::new(&moved, dim).expect("whole rows")
                }
                None => chunk,
            };
            products(&chunk.iter().collect::<Vec<_>>(), &self.packed, 0, out);
        }
        check_range(rows, out, dim_out)
    }

    fn as_reverse(&self) -> Option<&dyn Reverse> {
        Some(self)
    }

    fn memory(&self) -> usize {
        let mean = self.mean.as_ref().map_or(0, Vec::capacity) * size_of::<f32>();
        self.packed.memory() + mean + self.inverse.as_ref().map_or(0, PackedRows::memory)
    }

    fn export(&self) -> Node<'_> {
        let mut node = Node::new(self.tag, 0).with("dim", self.dim_in()).with("token", self.spec.to_string());
        node.push(array("matrix", &self.packed));
        let mean = self.mean().unwrap_or_default();
        node.push(NamedArray::borrowed("mean", &[mean.len() as u64], mean));
        node.push(match &self.inverse {
            Some(inverse) => array("inverse", inverse),
            None => NamedArray::owned("inverse", &[0, self.dim_out() as u64], Vec::<f32>::new()),
        });
        node
    }
}

/// Writes the image of a vector under a linear map, plus `mean` (or nothing, if it is empty), cut
/// to the range of `f32`. A vector is near what was encoded, so its reverse may be beyond that
/// range.
pub(super) fn within_range(vector: &[f32], mean: &[f32], out: &mut [f32], map: impl Fn(&[f32], &mut [f32])) {
    map(vector, out);
    // The image of a smaller vector, so that sums of large numbers stay in the range.
    let shrink = if out.iter().all(|x| x.is_finite()) { 0 } else { 64 };
    if shrink > 0 {
        let small: Vec<f32> = vector.iter().map(|x| x * 0.5_f32.powi(shrink)).collect();
        map(&small, out);
    }
    let grow = 2.0_f64.powi(shrink);
    let mean = mean.iter().copied().chain(std::iter::repeat(0.0));
    for (x, mean) in out.iter_mut().zip(mean) {
        let whole = f64::from(*x) * grow + f64::from(mean);
        *x = whole.clamp(f32::MIN.into(), f32::MAX.into()) as f32;
    }
}

/// Undoes the map. What a projection to fewer dimensions cuts off is lost, so the result is the
/// nearest vector of those that the projection keeps.
impl Reverse for LinearMap {
    fn reverse(&self, vector: &[f32], out: &mut [f32]) {
        assert_eq!((vector.len(), out.len()), (self.dim_out(), self.dim_in()), "a vector of the output dimension");
        let mean = self.mean.as_deref().unwrap_or_default();
        within_range(vector, mean, out, |vector, out| match &self.inverse {
            Some(inverse) => products(&[vector], inverse, 0, out),
            None => weighted_sum(&self.packed, vector, out),
        });
    }
}
