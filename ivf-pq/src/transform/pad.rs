//! `Pad<n>`: zeros behind the last dimension.

use super::{check_dims, check_training, dimensions};
use ivf_core::error::{BuildError, DecodeError, InputError, TrainError};
use ivf_core::field::{Field, FieldType, Schema};
use ivf_core::registry::{Parsed, Registry, Token, TokenError, TransformRow};
use ivf_core::transform::Reverse;
use ivf_core::{AnyRows, MAX_DIM, Metric, Node, Rows, StoredNode, TrainOptions, TrainReport, Transform, TransformSpec};
use std::fmt;
use std::sync::Arc;

/// The registry row of this transform.
pub(super) const ROW: TransformRow =
    TransformRow::new("pad", "Pad<n>", parse, |node, _| Ok(Arc::new(Pad::read(node)?)))
        .about("appends zeros up to n dimensions; vectors that have more stay as they are")
        .samples(&["Pad20"]);

const SCHEMA: &Schema = &[Field::new("dim", FieldType::UInt), Field::new("to", FieldType::UInt)];

fn parse(token: &Token<'_>, _registry: &Registry) -> Parsed<dyn TransformSpec> {
    let token = token.plain()?;
    let digits = token.strip_prefix("Pad")?;
    if digits.is_empty() {
        return Some(Err(TokenError::new(0..token.len(), "Pad needs the number of dimensions, as in Pad128")));
    }
    Some(dimensions(digits, 3).map(|to| Arc::new(PadSpec { to }) as _))
}

/// `Pad<n>`: zeros behind the last dimension, so that a kind that needs a multiple of some number
/// works. It keeps every metric. (Faiss's `RemapDimensionsTransform`.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PadSpec {
    /// Number of dimensions to have at least, from 1 to [`MAX_DIM`].
    pub to: usize,
}

impl fmt::Display for PadSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pad{}", self.to)
    }
}

impl TransformSpec for PadSpec {
    fn dim_out(&self, dim: usize, _metric: Metric) -> Result<usize, BuildError> {
        Ok(dim.max(check_dims(self, dim, self.to)?))
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
        Ok((Arc::new(Pad::new(rows.dim(), *self)), TrainReport::default()))
    }
}

/// Appends zeros to vectors.
///
/// ```
/// use ivf_core::{Rows, Transform};
/// use ivf_pq::transform::{Pad, PadSpec};
/// let mut out = [9.0; 6];
/// Pad::new(2, PadSpec { to: 3 }).apply(Rows::new(&[1.0, 2.0, 3.0, 4.0], 2)?, &mut out)?;
/// assert_eq!(out, [1.0, 2.0, 0.0, 3.0, 4.0, 0.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Pad {
    dim: usize,
    spec: PadSpec,
}

impl Pad {
    /// Creates the transform of vectors of `dim` dimensions.
    ///
    /// # Panics
    /// If `dim` or the dimension of the specification is not from 1 to [`MAX_DIM`].
    pub fn new(dim: usize, spec: PadSpec) -> Self {
        let is_dim = |dim: usize| (1..=MAX_DIM).contains(&dim);
        assert!(is_dim(dim) && is_dim(spec.to), "from 1 to {MAX_DIM} dimensions");
        Self { dim, spec }
    }

    fn read(node: &StoredNode) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        let fields = node.fields(SCHEMA)?;
        Ok(Self { dim: fields.dim("dim")?, spec: PadSpec { to: fields.dim("to")? } })
    }
}

impl Transform for Pad {
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
        self.dim.max(self.spec.to)
    }

    fn apply(&self, rows: Rows<'_, f32>, out: &mut [f32]) -> Result<(), InputError> {
        let dim_out = self.dim_out();
        assert_eq!((rows.dim(), out.len()), (self.dim, rows.len() * dim_out), "rows of {} dimensions", self.dim);
        for (row, out) in rows.iter().zip(out.chunks_exact_mut(dim_out)) {
            let (start, zeros) = out.split_at_mut(self.dim);
            start.copy_from_slice(row);
            zeros.fill(0.0);
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
        Node::new(ROW.tag, 0).with("dim", self.dim).with("to", self.spec.to)
    }
}

/// Cuts off what was appended.
impl Reverse for Pad {
    fn reverse(&self, vector: &[f32], out: &mut [f32]) {
        assert_eq!((vector.len(), out.len()), (self.dim_out(), self.dim), "a vector of the output dimension");
        out.copy_from_slice(&vector[..self.dim]);
    }
}
