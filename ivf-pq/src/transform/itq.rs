//! `ITQ[n]`: the rotation whose signs say most about centred directions.

use super::eigen::{self, Eigen};
use super::fit::Turned;
use super::linear::LinearMap;
use super::moments::{self, POINTS, Points};
use super::pca::{floats, principal};
use super::{check_dims, check_points, check_projection, check_rotation, check_training, dimensions, orthogonal};
use ivf_core::error::{BuildError, DecodeError, InputError, PartsError, TrainError};
use ivf_core::node::NamedArray;
use ivf_core::registry::{Parsed, Registry, Token, TransformRow};
use ivf_core::{AnyRows, Metric, Node, Rows, StoredNode, TrainOptions, TrainReport, Transform, TransformSpec};
use std::fmt;
use std::sync::Arc;

/// The registry row of this transform.
pub(super) const ROW: TransformRow =
    TransformRow::new(TAG, "ITQ[n]", parse, |node, registry| Ok(Arc::new(Itq::read(node, registry)?)))
        .about("centred directions, projected to n dimensions, and rotated so that signs say most about them")
        .samples(&["ITQ8"]);

const TAG: &str = "itq";

/// Maximum number of rotations, as in Faiss.
const ROUNDS: usize = 50;
/// Relative improvement of the objective below which the rotation is final.
const SETTLED: f64 = 1e-5;

fn parse(token: &Token<'_>, _registry: &Registry) -> Parsed<dyn TransformSpec> {
    let digits = token.plain()?.strip_prefix("ITQ")?;
    if digits.is_empty() {
        return Some(Ok(Arc::new(ItqSpec { dim_out: None })));
    }
    Some(dimensions(digits, 3).map(|dim_out| Arc::new(ItqSpec { dim_out: Some(dim_out) }) as _))
}

/// `ITQ[n]`: iterative quantisation (Gong, Lazebnik, "Iterative Quantization: A Procrustean
/// Approach to Learning Binary Codes", CVPR 2011), as Faiss's `ITQTransform` does it.
///
/// The mean of the training vectors is subtracted, and the difference is scaled to unit length.
/// With `n`, it is projected on its principal directions. The rotation minimises the distance to
/// the nearest vector of signs. Distances behind it are those of directions from the mean: for L2
/// and the inner product alike, they differ from those of the vectors.
///
/// ```
/// use ivf_core::{Metric, TransformSpec};
/// use ivf_pq::transform::ItqSpec;
/// let spec = ItqSpec { dim_out: Some(64) };
/// assert_eq!((spec.to_string(), spec.dim_out(100, Metric::L2)?), ("ITQ64".into(), 64));
/// assert!(spec.dim_out(32, Metric::L2).is_err());
/// # Ok::<(), ivf_core::error::BuildError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItqSpec {
    /// Number of dimensions to project to, at least 1; no projection if absent.
    pub dim_out: Option<usize>,
}

impl fmt::Display for ItqSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ITQ")?;
        self.dim_out.map_or(Ok(()), |dim_out| write!(f, "{dim_out}"))
    }
}

impl TransformSpec for ItqSpec {
    fn dim_out(&self, dim: usize, metric: Metric) -> Result<usize, BuildError> {
        check_rotation(self, metric)?;
        let dim_out = check_dims(self, dim, self.dim_out.unwrap_or(dim))?;
        check_projection(self, dim, dim_out)?;
        Ok(dim_out)
    }

    fn training_points(&self, _options: &TrainOptions<'_>) -> usize {
        POINTS
    }

    fn training_memory(&self, dim: usize, metric: Metric, points: usize, _options: &TrainOptions<'_>) -> usize {
        let Ok(dim_out) = self.dim_out(dim, metric) else { return 0 };
        let used = points.min(POINTS);
        let turn = moments::memory(dim_out) + orthogonal::nearest_memory(dim_out) + used * dim_out * size_of::<f32>();
        let matrices = (2 * dim * dim_out + 2 * dim_out * dim_out) * size_of::<f64>();
        let directions = used * dim * size_of::<f32>();
        moments::sampled(dim, points) + directions + matrices + turn.max(moments::memory(dim) + eigen::memory(dim))
    }

    fn train(
        &self,
        rows: AnyRows<'_>,
        metric: Metric,
        options: &TrainOptions<'_>,
    ) -> Result<(Arc<dyn Transform>, TrainReport), TrainError> {
        options.check_cancel()?;
        let dim = rows.dim();
        let dim_out = check_training(self.dim_out(dim, metric))?;
        let needed = if self.dim_out.is_some() { dim_out + 1 } else { 1 };
        check_points(format!("the directions of {self}"), needed, rows.len())?;
        let mut scratch = Vec::new();
        let points = Points::sample(rows, true, options, &mut scratch);
        let center = points.mean();
        let directions = directions(&points);
        let directions = AnyRows::from(Rows::new(&directions, dim).expect("whole rows"));
        // All of them, as there are no more than are sampled.
        let mut scratch = Vec::new();
        let directions = Points::sample(directions, self.dim_out.is_some(), options, &mut scratch);
        let axes = match self.dim_out {
            Some(dim_out) => principal(&directions, dim_out, options)?,
            None => Eigen { values: Vec::new(), vectors: identity(dim) },
        };
        let write = |range, out: &mut [f32]| directions.write(range, out);
        let mut turned = Turned::new(directions.len(), dim, &write, &floats(&axes.vectors), options);
        let objectives = improve(&mut turned, options)?;
        let matrix = floats(&orthogonal::product(&turned.rotation, dim_out, &axes.vectors, dim, options.executor));
        let matrix = Rows::new(&matrix, dim).expect("whole rows");
        let mean = self.dim_out.map(|_| directions.mean());
        let map = LinearMap::new(TAG, Arc::new(*self), matrix, mean, None)
            .and_then(|map| Itq::new(center, map))
            .map_err(|error| TrainError::Unsupported { kind: self.to_string(), what: error.to_string() })?;
        let mut report = TrainReport::default();
        report.points = points.len();
        report.objectives.push(objectives);
        Ok((Arc::new(map), report))
    }
}

fn identity(n: usize) -> Vec<f64> {
    let mut matrix = vec![0.0; n * n];
    (0..n).for_each(|i| matrix[i * n + i] = 1.0);
    matrix
}

/// Returns the points scaled to unit length.
fn directions(points: &Points<'_>) -> Vec<f32> {
    let mut rows = vec![0.0; points.len() * points.dim()];
    points.write(0..points.len(), &mut rows);
    rows.chunks_exact_mut(points.dim()).for_each(scale_to_unit);
    rows
}

/// Scales a vector to unit length. A zero vector stays one.
fn scale_to_unit(row: &mut [f32]) {
    let norm = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    if norm > 0.0 {
        row.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
    }
}

/// Turns the points, first at random and then towards their signs. Returns, before each rotation,
/// the sum of squared distances of the signs and the points, whose numbers have a mean square of 1.
fn improve(turned: &mut Turned, options: &TrainOptions<'_>) -> Result<Vec<f64>, TrainError> {
    let dim = turned.dim;
    let start = orthogonal::random(dim, dim, options)?;
    turned.turn(&start, options);
    let mut objectives: Vec<f64> = Vec::new();
    for round in 0..ROUNDS {
        options.check_cancel()?;
        let sizes = turned.points.iter().map(|&x| f64::from(x.abs())).sum::<f64>();
        let squares = turned.points.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>();
        let count = turned.points.len() as f64;
        let scale = if squares > 0.0 { (count / squares).sqrt() } else { 1.0 };
        let objective = 2.0 * count - 2.0 * scale * sizes;
        let is_settled = objectives.last().is_some_and(|last| last - objective <= SETTLED * last);
        objectives.push(objective);
        if is_settled {
            break;
        }
        let signs = |_, points: &[f32], out: &mut [f32]| {
            out.iter_mut().zip(points).for_each(|(sign, &x)| *sign = if x < 0.0 { -1.0 } else { 1.0 });
        };
        turned.fit(&signs, options)?;
        if let Some(progress) = options.progress {
            progress.step("rotation", round as u64 + 1, ROUNDS as u64);
        }
    }
    Ok(objectives)
}

/// A trained ITQ: a linear map of centred directions.
///
/// A vector that equals the mean of the training vectors has no direction, and becomes zeros (or,
/// with a projection, the image of zeros). There is no way back, as in Faiss: the distance of a
/// vector from the mean is lost.
///
/// ```
/// use ivf_core::{Rows, Transform};
/// use ivf_pq::transform::{Itq, ItqSpec, LinearMap};
/// use std::sync::Arc;
/// let spec = Arc::new(ItqSpec { dim_out: None });
/// let map = LinearMap::new("itq", spec, Rows::new(&[1.0, 0.0, 0.0, 1.0], 2)?, None, None)?;
/// let itq = Itq::new(vec![10.0, 10.0], map)?;
/// let mut out = [0.0; 4];
/// itq.apply(Rows::new(&[13.0, 14.0, 10.0, 10.0], 2)?, &mut out)?;
/// assert_eq!(out, [0.6, 0.8, 0.0, 0.0]);
/// assert!(itq.as_reverse().is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Itq {
    center: Vec<f32>,
    map: LinearMap,
}

impl Itq {
    /// Creates the transform of a centre, and a map of directions from it.
    ///
    /// # Errors
    /// [`PartsError::Mismatch`] if the centre has not the dimension of the map, or is not finite.
    pub fn new(center: Vec<f32>, map: LinearMap) -> Result<Self, PartsError> {
        if center.len() != map.dim_in() {
            let what = format!("a centre of {} numbers for {} dimensions", center.len(), map.dim_in());
            return Err(PartsError::Mismatch(what));
        }
        if !center.iter().all(|x| x.is_finite()) {
            return Err(PartsError::Mismatch("a centre that is not finite".to_owned()));
        }
        Ok(Self { center, map })
    }

    fn read(node: &StoredNode, registry: &Registry) -> Result<Self, DecodeError> {
        let map = LinearMap::read(node, registry, TAG, parse)?;
        Self::new(node.array("center")?.to_vec(), map).map_err(|error| DecodeError::value(&node.tag, error.to_string()))
    }
}

impl Transform for Itq {
    fn spec(&self) -> Arc<dyn TransformSpec> {
        self.map.spec()
    }

    fn tag(&self) -> &str {
        TAG
    }

    fn dim_in(&self) -> usize {
        self.map.dim_in()
    }

    fn dim_out(&self) -> usize {
        self.map.dim_out()
    }

    /// Maps the rows. A row with a NaN or an infinity gets a NaN in its output. The index behind
    /// the transform decides what happens to it.
    fn apply(&self, rows: Rows<'_, f32>, out: &mut [f32]) -> Result<(), InputError> {
        let dim = self.dim_in();
        assert_eq!((rows.dim(), out.len()), (dim, rows.len() * self.dim_out()), "rows of {dim} dimensions");
        let mut directions = vec![0.0; rows.len() * dim];
        for (row, direction) in rows.iter().zip(directions.chunks_exact_mut(dim)) {
            let away = |(&x, &center): (&f32, &f32)| f64::from(x) - f64::from(center);
            let norm = row.iter().zip(&self.center).map(away).map(|x| x * x).sum::<f64>().sqrt();
            let norm = if norm == 0.0 { 1.0 } else { norm };
            let pairs = row.iter().zip(&self.center);
            direction.iter_mut().zip(pairs).for_each(|(direction, pair)| *direction = (away(pair) / norm) as f32);
        }
        self.map.apply(Rows::new(&directions, dim)?, out)
    }

    fn memory(&self) -> usize {
        self.map.memory() + self.center.capacity() * size_of::<f32>()
    }

    fn export(&self) -> Node<'_> {
        let mut node = self.map.export();
        node.push(NamedArray::borrowed("center", &[self.center.len() as u64], &self.center));
        node
    }
}
