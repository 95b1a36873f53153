//! `L2norm`: vectors scaled to unit length.

use ivf_core::error::{BuildError, DecodeError, InputError, TrainError};
use ivf_core::field::{Field, FieldType, Schema};
use ivf_core::registry::TransformRow;
use ivf_core::transform::Reverse;
use ivf_core::{AnyRows, Metric, Node, Rows, StoredNode, TrainOptions, TrainReport, Transform, TransformSpec};
use std::fmt;
use std::sync::Arc;

/// The registry row of this transform.
pub(super) const ROW: TransformRow = TransformRow::new(
    "l2norm",
    "L2norm",
    // Faiss accepts both spellings.
    |token, _| matches!(token.plain()?, "L2norm" | "L2Norm").then(|| Ok(Arc::new(NormalizeSpec) as _)),
    |node, _| Ok(Arc::new(Normalize::read(node)?)),
)
.about("scales vectors to unit length; a zero vector is an error")
.samples(&["L2norm"]);

const SCHEMA: &Schema = &[Field::new("dim", FieldType::UInt)];

/// The specification of the transform `L2norm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NormalizeSpec;

impl fmt::Display for NormalizeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("L2norm")
    }
}

impl TransformSpec for NormalizeSpec {
    fn dim_out(&self, dim: usize, _metric: Metric) -> Result<usize, BuildError> {
        Ok(dim)
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
        _metric: Metric,
        _options: &TrainOptions<'_>,
    ) -> Result<(Arc<dyn Transform>, TrainReport), TrainError> {
        Ok((Arc::new(Normalize::new(rows.dim())), TrainReport::default()))
    }
}

/// Scales vectors to unit length. The length is computed in `f64`, where the squares of `f32`
/// neither overflow nor vanish.
///
/// ```
/// use ivf_core::error::InputError;
/// use ivf_core::{Rows, Transform};
/// use ivf_cpu::transform::Normalize;
///
/// let normalize = Normalize::new(2);
/// let mut unit = [0.0; 2];
/// normalize.apply(Rows::new(&[3.0, 4.0], 2)?, &mut unit)?;
/// assert_eq!(unit, [0.6, 0.8]);
///
/// // A zero vector has no direction.
/// let none = normalize.apply(Rows::new(&[0.0, 0.0], 2)?, &mut unit);
/// assert!(matches!(none, Err(InputError::ZeroVector { row: 0 })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Normalize {
    dim: usize,
}

impl Normalize {
    /// Creates the transform of vectors of `dim` dimensions.
    ///
    /// # Panics
    /// If `dim` is zero.
    pub fn new(dim: usize) -> Self {
        assert!(dim > 0, "vectors have dimensions");
        Self { dim }
    }

    fn read(node: &StoredNode) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        Ok(Self::new(node.fields(SCHEMA)?.dim("dim")?))
    }
}

impl Transform for Normalize {
    fn spec(&self) -> Arc<dyn TransformSpec> {
        Arc::new(NormalizeSpec)
    }

    fn tag(&self) -> &str {
        ROW.tag
    }

    fn dim_in(&self) -> usize {
        self.dim
    }

    fn dim_out(&self) -> usize {
        self.dim
    }

    /// Normalises the rows. A row with a NaN or an infinity gets a NaN in its output. The index
    /// behind the transform decides what happens to it.
    fn apply(&self, rows: Rows<'_, f32>, out: &mut [f32]) -> Result<(), InputError> {
        assert_eq!((rows.dim(), out.len()), (self.dim, rows.as_slice().len()), "rows of {} dimensions", self.dim);
        for (row, (vector, unit)) in rows.iter().zip(out.chunks_exact_mut(self.dim)).enumerate() {
            let norm = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
            if norm == 0.0 {
                return Err(InputError::ZeroVector { row });
            }
            unit.iter_mut().zip(vector).for_each(|(unit, &x)| *unit = (f64::from(x) / norm) as f32);
        }
        Ok(())
    }

    fn as_reverse(&self) -> Option<&dyn Reverse> {
        Some(self)
    }

    fn memory(&self) -> usize {
        0
    }

    fn export(&self) -> Node<'_> {
        Node::new(ROW.tag, 0).with("dim", self.dim)
    }
}

/// The length is lost, so the reverse of a unit vector is the unit vector itself (as in Faiss).
impl Reverse for Normalize {
    fn reverse(&self, vector: &[f32], out: &mut [f32]) {
        out.copy_from_slice(vector);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_length_at_every_scale_and_zero_is_named() {
        let rows = [3.0_f32, 4.0, 3e-30, 4e-30, 3e30, 4e30];
        let mut out = [0.0; 6];
        Normalize::new(2).apply(Rows::new(&rows, 2).unwrap(), &mut out).unwrap();
        // The inputs of the later rows are themselves rounded: one unit in the last place.
        let exact = [0.6_f32, 0.8].into_iter().cycle();
        assert!(out.iter().zip(exact).all(|(got, want)| (got - want).abs() <= f32::EPSILON), "{out:?}");
        let error = Normalize::new(1).apply(Rows::new(&[1.0, 0.0], 1).unwrap(), &mut out[..2]).unwrap_err();
        assert_eq!(error, InputError::ZeroVector { row: 1 });
        Normalize::new(2).apply(Rows::new(&[f32::INFINITY, 1.0], 2).unwrap(), &mut out[..2]).unwrap();
        assert!(out[0].is_nan());
    }

    #[test]
    fn a_transform_is_read_as_it_was_exported() {
        let exported = Normalize::new(7);
        let read = Normalize::read(&exported.export().to_stored()).unwrap();
        assert_eq!((read.dim_in(), read.dim_out(), read.tag()), (7, 7, ROW.tag));
        let no_dimension = Node::new(ROW.tag, 0).with("dim", 0_u64);
        assert!(matches!(Normalize::read(&no_dimension.to_stored()), Err(DecodeError::Value { .. })));
    }
}
