//! `OPQ<M>[_<d>]`: the rotation that a product quantizer of `M` parts loses least after.

use super::eigen::{self, Eigen};
use super::fit::{CHUNK, Turned};
use super::linear::LinearMap;
use super::moments::{self, POINTS, Points};
use super::pca::{floats, principal};
use super::{check_dims, check_points, check_rotation, check_training, dimensions, is_number, orthogonal, wrong_dim};
use crate::product::{ProductQuantizer, equal_parts};
use ivf_core::error::{BuildError, TrainError};
use ivf_core::executor::map_items;
use ivf_core::registry::{Parsed, Registry, Token, TokenError, TransformRow};
use ivf_core::{AnyRows, Metric, Rows, TrainOptions, TrainReport, Transform, TransformSpec};
use ivf_cpu::{executor_for, train_parts, train_parts_memory};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// The registry row of this transform.
pub(super) const ROW: TransformRow = TransformRow::new(TAG, "OPQ<M>[_<d>]", parse, |node, registry| {
    Ok(Arc::new(LinearMap::read(node, registry, TAG, parse)?))
})
.about("the rotation, to d dimensions or as many as there are, that a product quantizer loses least after")
.samples(&["OPQ4"]);

const TAG: &str = "opq";

/// Number of bits of a subquantizer that the rotation is trained with, as in Faiss.
const BITS: u32 = 8;
/// Number of k-means iterations before the first rotation.
const FIRST_ITERATIONS: usize = 10;
/// Number of rotations.
const ROUNDS: usize = 20;

fn parse(token: &Token<'_>, _registry: &Registry) -> Parsed<dyn TransformSpec> {
    let token = token.plain()?;
    let rest = token.strip_prefix("OPQ")?;
    let (m, dim_out) = rest.split_once('_').map_or((rest, None), |(m, dim_out)| (m, Some(dim_out)));
    if !is_number(m) {
        let what = "OPQ needs the number of subquantizers, as in OPQ16 or OPQ16_64";
        return Some(Err(TokenError::new(0..token.len(), what)));
    }
    let parsed = dimensions(m, 3).and_then(|subquantizers| {
        let dim_out = dim_out.map(|digits| dimensions(digits, 4 + m.len())).transpose()?;
        if let Some(dim_out) = dim_out.filter(|dim_out| !dim_out.is_multiple_of(subquantizers)) {
            let what = format!("the number of subquantizers, {subquantizers}, must divide {dim_out}");
            return Err(TokenError::new(4 + m.len()..token.len(), what));
        }
        Ok(Arc::new(OpqSpec { subquantizers, dim_out }) as _)
    });
    Some(parsed)
}

/// `OPQ<M>[_<d>]`: optimised product quantisation (Ge, He, Ke, Sun, "Optimized Product
/// Quantization", CVPR 2013): the rotation before a product quantizer that minimises its error.
///
/// The start is the parametric solution of the paper: principal directions, each given to the part
/// with the least product of variances. With `d` below the input dimension, the others are cut
/// off; with more, zeros are appended. Then rounds of coding and turning improve it. No mean is
/// subtracted, so that inner products stay what they are.
///
/// The rotation is trained on vectors, also if lists code residuals behind it, as in Faiss.
/// Training needs 256 vectors, and takes at most 65,536.
///
/// ```
/// use ivf_core::{Metric, TransformSpec};
/// use ivf_pq::transform::OpqSpec;
///
/// // A dimension that 16 does not divide, with and without a dimension that it does.
/// assert!(OpqSpec { subquantizers: 16, dim_out: None }.dim_out(100, Metric::L2).is_err());
/// assert_eq!(OpqSpec { subquantizers: 16, dim_out: Some(64) }.dim_out(100, Metric::L2)?, 64);
/// assert_eq!(OpqSpec { subquantizers: 16, dim_out: Some(112) }.dim_out(100, Metric::L2)?, 112);
/// # Ok::<(), ivf_core::error::BuildError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpqSpec {
    /// Number of subquantizers, at least 1, which divides the number of dimensions of the output.
    pub subquantizers: usize,
    /// Number of dimensions of the output; as many as the input has if absent.
    pub dim_out: Option<usize>,
}

impl fmt::Display for OpqSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OPQ{}", self.subquantizers)?;
        self.dim_out.map_or(Ok(()), |dim_out| write!(f, "_{dim_out}"))
    }
}

impl TransformSpec for OpqSpec {
    fn dim_out(&self, dim: usize, metric: Metric) -> Result<usize, BuildError> {
        check_rotation(self, metric)?;
        let dim_out = check_dims(self, dim, self.dim_out.unwrap_or(dim))?;
        let m = self.subquantizers;
        if m == 0 {
            return Err(wrong_dim(self, dim, "there must be at least one subquantizer".to_owned()));
        }
        if dim_out.is_multiple_of(m) {
            return Ok(dim_out);
        }
        let nearest = (dim / m).max(1) * m;
        Err(wrong_dim(
            self,
            dim,
            format!("the number of subquantizers, {m}, must divide it; OPQ{m}_{nearest} makes {nearest} of them"),
        ))
    }

    fn is_reversible(&self) -> bool {
        true
    }

    fn training_points(&self, _options: &TrainOptions<'_>) -> usize {
        POINTS
    }

    fn training_memory(&self, dim: usize, metric: Metric, points: usize, options: &TrainOptions<'_>) -> usize {
        let Ok(dim_out) = self.dim_out(dim, metric) else { return 0 };
        let used = points.min(POINTS);
        let start = moments::memory(dim) + eigen::memory(dim);
        let books = train_parts_memory(dim_out, self.subquantizers, used, 1 << BITS, options);
        let turn = moments::memory(dim_out) + orthogonal::nearest_memory(dim_out) + used * self.subquantizers;
        let turned = used * dim_out * size_of::<f32>();
        let matrices = (dim * dim_out + dim_out * dim_out) * size_of::<f64>();
        moments::sampled(dim, points) + matrices + start.max(turned + books.max(turn))
    }

    fn train(
        &self,
        rows: AnyRows<'_>,
        metric: Metric,
        options: &TrainOptions<'_>,
    ) -> Result<(Arc<dyn Transform>, TrainReport), TrainError> {
        options.check_cancel()?;
        let dim_out = check_training(self.dim_out(rows.dim(), metric))?;
        check_points(format!("the {} centroids of {self}", 1 << BITS), 1 << BITS, rows.len())?;
        let mut scratch = Vec::new();
        let points = Points::sample(rows, metric == Metric::L2, options, &mut scratch);
        let dim = points.dim();
        let start = start(principal(&points, dim.min(dim_out), options)?, dim, dim_out, self.subquantizers);
        let write = |range, out: &mut [f32]| points.write(range, out);
        let mut turned = Turned::new(points.len(), dim, &write, &floats(&start), options);
        let objectives = self.improve(&mut turned, options)?;
        let matrix = floats(&orthogonal::product(&turned.rotation, dim_out, &start, dim, options.executor));
        let matrix = Rows::new(&matrix, dim).expect("whole rows");
        let map = LinearMap::new(TAG, Arc::new(*self), matrix, None, None)
            .map_err(|error| TrainError::Unsupported { kind: self.to_string(), what: error.to_string() })?;
        let mut report = TrainReport::default();
        report.points = points.len();
        // Of the vectors as they were given.
        let unit = points.scale * points.scale;
        report.objectives.push(objectives.into_iter().map(|objective| objective / unit).collect());
        Ok((Arc::new(map), report))
    }
}

/// Returns the parametric solution: the principal directions, divided among the parts so that the
/// products of their variances are balanced. Rows past the last direction are zero.
fn start(Eigen { values, vectors }: Eigen, dim: usize, dim_out: usize, parts: usize) -> Vec<f64> {
    let len = dim_out / parts;
    let largest = values.first().copied().unwrap_or(0.0);
    // A variance of which `f32` sees nothing counts as the least that it sees.
    let least = largest * f64::from(f32::EPSILON);
    // As `f32`, so that the last bit of a logarithm, in which platforms differ, decides nothing.
    let size = |value: f64| if largest > 0.0 { (value.max(least) / least).log2() as f32 } else { 0.0 };
    let (mut sizes, mut places) = (vec![0.0_f32; parts], vec![0; parts]);
    let mut start = vec![0.0; dim_out * dim];
    for (value, vector) in values.iter().zip(vectors.chunks_exact(dim)) {
        let open = (0..parts).filter(|&part| places[part] < len);
        let part = open.min_by(|&a, &b| sizes[a].total_cmp(&sizes[b])).expect("as many places as directions");
        start[(part * len + places[part]) * dim..][..dim].copy_from_slice(vector);
        sizes[part] += size(*value);
        places[part] += 1;
    }
    start
}

impl OpqSpec {
    /// Codes and turns the points in rounds. Returns the error of each coding.
    fn improve(&self, turned: &mut Turned, options: &TrainOptions<'_>) -> Result<Vec<f64>, TrainError> {
        let (n, m) = (turned.len(), self.subquantizers);
        let parts = equal_parts(turned.dim, m);
        let mut quiet = options.iterations(FIRST_ITERATIONS);
        quiet.progress = None;
        let rows = Rows::new(&turned.points, turned.dim).expect("whole rows");
        let (mut books, _) = train_parts(rows, &parts, 1 << BITS, &quiet)?;
        let mut codes = vec![0_u8; n * m];
        let mut objectives = Vec::new();
        for round in 0..ROUNDS {
            options.check_cancel()?;
            let quantizer = self.quantizer(books)?;
            objectives.push(encode(&quantizer, turned, &mut codes, options));
            books = means(&quantizer, turned, &codes, options);
            let quantizer = self.quantizer(books)?;
            let targets = |range: Range<usize>, _: &[f32], out: &mut [f32]| {
                let codes = codes[range.start * m..range.end * m].chunks_exact(m);
                codes.zip(out.chunks_exact_mut(quantizer.dim())).for_each(|(code, out)| quantizer.decode(code, out));
            };
            turned.fit(&targets, options)?;
            books = (0..m).map(|part| quantizer.codebook(part).as_slice().to_vec()).collect();
            if let Some(progress) = options.progress {
                progress.step("rotation", round as u64 + 1, ROUNDS as u64);
            }
        }
        Ok(objectives)
    }

    fn quantizer(&self, books: Vec<Vec<f32>>) -> Result<ProductQuantizer, TrainError> {
        let dim = books.iter().map(Vec::len).sum::<usize>() >> BITS;
        ProductQuantizer::new(equal_parts(dim, self.subquantizers), books, None)
            .map_err(|error| TrainError::Unsupported { kind: self.to_string(), what: error.to_string() })
    }
}

/// Codes the points, and returns the sum of squared distances to what the codes stand for.
fn encode(quantizer: &ProductQuantizer, turned: &Turned, codes: &mut [u8], options: &TrainOptions<'_>) -> f64 {
    let (dim, size) = (turned.dim, quantizer.code_size());
    let jobs: Vec<_> = codes.chunks_mut(CHUNK * size).zip(turned.points.chunks(CHUNK * dim)).collect();
    let errors = map_items(executor_for(options.executor, turned.points.len() << BITS), jobs, |_, (codes, points)| {
        let rows = Rows::new(points, dim).expect("whole rows");
        quantizer.encode(rows, codes);
        let mut decoded = vec![0.0; dim];
        let mut error = 0.0;
        for (row, code) in rows.iter().zip(codes.chunks_exact(size)) {
            quantizer.decode(code, &mut decoded);
            error += row.iter().zip(&decoded).map(|(x, y)| f64::from((x - y) * (x - y))).sum::<f64>();
        }
        error
    });
    errors.into_iter().sum()
}

/// Returns the codebooks of the means of the points of each code. A centroid without points stays.
fn means(quantizer: &ProductQuantizer, turned: &Turned, codes: &[u8], options: &TrainOptions<'_>) -> Vec<Vec<f32>> {
    let parts = quantizer.subquantizers();
    map_items(executor_for(options.executor, turned.points.len()), (0..parts.len()).collect(), |_, part: usize| {
        let (range, mut book) = (parts[part].clone(), quantizer.codebook(part).as_slice().to_vec());
        let mut sums = vec![0.0_f64; book.len()];
        let mut counts = vec![0_u32; 1 << BITS];
        for (row, code) in turned.points.chunks_exact(turned.dim).zip(codes.chunks_exact(parts.len())) {
            let number = usize::from(code[part]);
            counts[number] += 1;
            let sums = &mut sums[number * range.len()..][..range.len()];
            sums.iter_mut().zip(&row[range.clone()]).for_each(|(sum, &x)| *sum += f64::from(x));
        }
        for ((mean, sums), &count) in
            book.chunks_exact_mut(range.len()).zip(sums.chunks_exact(range.len())).zip(&counts)
        {
            if count > 0 {
                mean.iter_mut().zip(sums).for_each(|(mean, sum)| *mean = (sum / f64::from(count)) as f32);
            }
        }
        book
    })
}
