//! `IMI2x<bits>`: the inverted multi-index, whose centroids are all pairs of half centroids.
//!
//! Babenko and Lempitsky, "The inverted multi-index", CVPR 2012.

use super::nearest::{Smallest, split_key};
use super::{check_assign, first_non_finite, nearest, nearest_many, unsupported};
use crate::executor::executor_for;
use crate::kernels::PackedRows;
use crate::kmeans::KMeans;
use ivf_core::error::{BuildError, DecodeError, PartsError, SearchError, StoreError, TrainError};
use ivf_core::executor::map_items;
use ivf_core::field::{Field, FieldType, Schema};
use ivf_core::node::NamedArray;
use ivf_core::params::Takes;
use ivf_core::registry::{Parsed, QuantizerRow, Token, TokenError};
use ivf_core::{
    AnyRows, Centroids, Level1Quantizer, ListNo, Metric, Node, Probes, Promise, QuantizerSpec, Rows, SearchParams,
    StoredNode, TrainOptions, TrainReport,
};
use std::fmt;
use std::sync::Arc;

/// The registry row of this quantizer.
pub(super) const ROW: QuantizerRow = QuantizerRow::new(
    "multi",
    "IMI2x<bits>",
    |token, _| parse(token),
    |node, _| Ok(Arc::new(MultiQuantizer::read(node)?)),
)
.about("2^(2 bits) lists around all pairs of 2^bits centroids of each half of the dimensions")
.samples(&["IMI2x2"]);

const SCHEMA: &Schema =
    &[Field::new("dim", FieldType::UInt), Field::new("bits", FieldType::UInt), Field::new("metric", FieldType::Metric)];

/// Maximum number of bits of a half. The number of a list has 32 bits, and all ones are not a list.
const MAX_BITS: u32 = 15;

/// Number of rows that one task of a parallel loop handles.
const CHUNK: usize = 64;

fn parse(token: &Token<'_>) -> Parsed<dyn QuantizerSpec> {
    const NAME: &str = "IMI2x";
    let bits = token.plain()?.strip_prefix(NAME)?;
    let fault = |what| Some(Err(TokenError::new(NAME.len()..token.text().len(), what)));
    if bits.is_empty() || !bits.bytes().all(|byte| byte.is_ascii_digit()) {
        return fault("the number of bits of each half must follow".to_owned());
    }
    match bits.parse() {
        Ok(bits) if (1..=MAX_BITS).contains(&bits) => Some(Ok(Arc::new(MultiQuantizerSpec { bits }))),
        _ => fault(format!("each half has 1 to {MAX_BITS} bits")),
    }
}

/// The specification `IMI2x<bits>`: two codebooks of `2^bits` centroids, learnt by k-means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MultiQuantizerSpec {
    /// Number of bits of each half of a list number, 1 to 15.
    pub bits: u32,
}

impl MultiQuantizerSpec {
    /// Returns k-means of a half.
    fn kmeans(&self, metric: Metric) -> KMeans {
        KMeans::new(1 << self.bits, metric).iterations(25)
    }
}

impl fmt::Display for MultiQuantizerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IMI2x{}", self.bits)
    }
}

impl QuantizerSpec for MultiQuantizerSpec {
    fn nlist(&self) -> usize {
        1 << (2 * self.bits)
    }

    fn check(&self, dim: usize, metric: Metric) -> Result<(), BuildError> {
        if !is_sum(metric) {
            return Err(BuildError::Metric { kind: self.to_string(), metric });
        }
        if !dim.is_multiple_of(2) {
            return Err(BuildError::Dim { kind: self.to_string(), dim, why: "it has no two halves".to_owned() });
        }
        Ok(())
    }

    fn training_points(&self, options: &TrainOptions<'_>) -> usize {
        self.kmeans(Metric::L2).training_points(options)
    }

    fn training_memory(&self, dim: usize, metric: Metric, points: usize, options: &TrainOptions<'_>) -> usize {
        // One half of the points at a time, and the codebook of the first half.
        let half = dim / 2 * size_of::<f32>();
        let kmeans = self.kmeans(metric).training_memory(dim / 2, points, options);
        kmeans.saturating_add(points.saturating_mul(half)).saturating_add(half << self.bits)
    }

    fn trained_memory(&self, dim: usize) -> usize {
        (dim * size_of::<f32>()) << self.bits
    }

    fn train(
        &self,
        rows: AnyRows<'_>,
        metric: Metric,
        options: &TrainOptions<'_>,
    ) -> Result<(Arc<dyn Level1Quantizer>, TrainReport), TrainError> {
        if options.balanced == Some(true) {
            // Even halves do not make even lists.
            return Err(unsupported(self, "balanced lists".to_owned()));
        }
        let (mut centroids, mut report) = (Vec::new(), TrainReport::default());
        for half in 0..2 {
            let points = half_of(rows, half);
            let points = Rows::new(&points, rows.dim() / 2).expect("halves of rows");
            let (learnt, trained) = self.kmeans(metric).train(points.into(), options).map_err(|error| match error {
                TrainError::TooFew { needed, found, .. } => {
                    TrainError::TooFew { who: format!("the {needed} centroids of each half of {self}"), needed, found }
                }
                other => other,
            })?;
            centroids.extend(learnt);
            report.merge(trained);
        }
        let quantizer = MultiQuantizer::from_centroids(&centroids, rows.dim(), metric);
        let quantizer = quantizer.map_err(|error| unsupported(self, format!("these vectors: {error}")))?;
        Ok((Arc::new(quantizer), report))
    }
}

/// Returns whether a distance is the sum of the distances of the two halves, and the nearest
/// centroid one that k-means can learn for each half.
fn is_sum(metric: Metric) -> bool {
    matches!(metric, Metric::L2 | Metric::InnerProduct)
}

/// Copies a half of each row.
fn half_of(rows: AnyRows<'_>, half: usize) -> Vec<f32> {
    let (dim, mut scratch) = (rows.dim() / 2, Vec::new());
    let mut halves = Vec::with_capacity(rows.len() * dim);
    for start in (0..rows.len()).step_by(CHUNK) {
        let rows = rows.slice(start..(start + CHUNK).min(rows.len())).to_f32(&mut scratch);
        rows.iter().for_each(|row| halves.extend_from_slice(&row[half * dim..][..dim]));
    }
    halves
}

/// A quantizer with two codebooks of `2^bits` centroids, one for each half of the dimensions. Its
/// `2^(2 bits)` centroids are all pairs of these.
///
/// ```text
/// bits 2, dim 4                first half           second half
/// list 0b10_01 = 9             (codebook 0, row 1 | codebook 1, row 2)
/// ```
///
/// The distance to a centroid is the sum of the distances of the two halves. So a search for the
/// nearest of a million centroids computes the distances to two thousand halves. Each of many lists
/// has few vectors: use a large nprobe. (Faiss's `MultiIndexQuantizer`.)
#[derive(Clone, Debug)]
pub struct MultiQuantizer {
    bits: u32,
    halves: [PackedRows; 2],
    metric: Metric,
}

impl MultiQuantizer {
    /// Creates a quantizer of vectors of `dim` dimensions from the `2^bits` centroids of the first
    /// half, followed by those of the second half: each `dim / 2` numbers.
    ///
    /// ```
    /// use ivf_core::{Centroids, Level1Quantizer, ListNo, Metric, Rows, SearchParams};
    /// use ivf_cpu::coarse::MultiQuantizer;
    ///
    /// // The first dimension is near 0 or 10, the second near 5 or 7.
    /// let quantizer = MultiQuantizer::from_centroids(&[0.0, 10.0, 5.0, 7.0], 2, Metric::L2)?;
    /// assert_eq!((quantizer.nlist(), quantizer.spec().to_string()), (4, "IMI2x1".to_owned()));
    ///
    /// // List 0b01 has the second centroid of the first half, and the first of the second half.
    /// let mut centroid = [0.0; 2];
    /// quantizer.centroid(ListNo(0b01), &mut centroid);
    /// assert_eq!(centroid, [10.0, 5.0]);
    ///
    /// let probes = quantizer.assign(Rows::new(&[9.0, 5.5], 2)?, 2, &SearchParams::new())?;
    /// assert!(probes.row(0).eq([(Some(ListNo(0b01)), 1.25), (Some(ListNo(0b11)), 3.25)]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`PartsError::Mismatch`] if the dimension is odd or zero, the number of centroids of a half
    /// is not `2^bits` for 1 to 15 bits, a centroid holds a NaN or an infinity, or the metric is
    /// neither L2 nor the inner product.
    pub fn from_centroids(centroids: &[f32], dim: usize, metric: Metric) -> Result<Self, PartsError> {
        let fault = |what: String| Err(PartsError::Mismatch(what));
        if dim == 0 || !dim.is_multiple_of(2) {
            return fault(format!("{dim} dimensions have no two halves"));
        }
        if !is_sum(metric) {
            return fault(format!("a multi-index has no metric {metric}"));
        }
        let len = centroids.len() / dim;
        let bits = len.checked_ilog2().unwrap_or_default();
        if !(1..=MAX_BITS).contains(&bits) || centroids.len() != dim << bits {
            return fault(format!("{} numbers are not 2^bits centroids for each half of {dim} dimensions", {
                centroids.len()
            }));
        }
        let rows = Rows::new(centroids, dim / 2).expect("whole centroids");
        if let Some(row) = first_non_finite(rows) {
            return fault(format!("the centroid {} of half {} holds a NaN or an infinity", row % len, row / len));
        }
        Ok(Self { bits, halves: [0, len].map(|first| PackedRows::new(rows.slice(first..first + len))), metric })
    }

    fn read(node: &StoredNode) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        let fields = node.fields(SCHEMA)?;
        let fault = |what: String| DecodeError::value(&node.tag, what);
        let quantizer =
            Self::from_centroids(node.array::<f32>("centroids")?, fields.dim("dim")?, fields.get("metric")?)
                .map_err(|error| fault(error.to_string()))?;
        match fields.get::<u64>("bits")? {
            bits if bits == u64::from(quantizer.bits) => Ok(quantizer),
            bits => Err(fault(format!("the centroids of {} bits in a quantizer of {bits}", quantizer.bits))),
        }
    }

    /// Returns the numbers of the half centroids of a list.
    fn pair(&self, list: ListNo) -> [usize; 2] {
        let list = list.index();
        assert!(list < self.nlist(), "list {list} of {}", self.nlist());
        [list & ((1 << self.bits) - 1), list >> self.bits]
    }

    /// Returns the list of a pair of half centroids.
    fn list(&self, [first, second]: [u32; 2]) -> u32 {
        first | second << self.bits
    }

    /// Writes the nearest lists of one row, given the half centroids nearest to its halves: their
    /// numbers and their distances, nearest first.
    fn combine(
        &self,
        halves: [(&[u32], &[f32]); 2],
        best: &mut Smallest,
        lists: &mut [Option<ListNo>],
        to: &mut [f32],
    ) {
        best.clear();
        let [(first_numbers, first), (second_numbers, second)] = halves;
        for (&no, &distance) in first_numbers.iter().zip(first) {
            for (&other, &rest) in second_numbers.iter().zip(second) {
                // Distances ascend. Sums of ascending floats ascend, too. A sum is NaN if
                // infinities cancel.
                let sum = distance + rest;
                if sum > best.threshold() {
                    break;
                }
                if !sum.is_nan() {
                    best.push(sum, self.list([no, other]));
                }
            }
        }
        best.sort();
        for ((&key, list), to) in best.keys().iter().zip(&mut *lists).zip(&mut *to) {
            let (distance, number) = split_key(key);
            (*list, *to) = (Some(ListNo(number)), distance);
        }
        let found = best.keys().len();
        if found < lists.len() {
            // The other distances overflow. All these lists are equally far.
            let mut named: Vec<u32> = best.keys().iter().map(|&key| split_key(key).1).collect();
            named.sort_unstable();
            let unnamed = (0..).filter(|number| named.binary_search(number).is_err());
            lists[found..].iter_mut().zip(unnamed).for_each(|(list, number)| *list = Some(ListNo(number)));
            to[found..].fill(f32::INFINITY);
        }
    }
}

impl Centroids for MultiQuantizer {
    fn dim(&self) -> usize {
        2 * self.halves[0].dim()
    }

    fn nlist(&self) -> usize {
        1 << (2 * self.bits)
    }

    fn centroid(&self, list: ListNo, out: &mut [f32]) {
        let dim = self.dim();
        assert_eq!(out.len(), dim, "a centroid has {dim} dimensions");
        for ((half, number), out) in self.halves.iter().zip(self.pair(list)).zip(out.chunks_exact_mut(dim / 2)) {
            half.row(number, out);
        }
    }
}

impl Level1Quantizer for MultiQuantizer {
    fn tag(&self) -> &str {
        ROW.tag
    }

    fn assign(&self, rows: Rows<'_, f32>, nprobe: usize, params: &SearchParams<'_>) -> Result<Probes, SearchError> {
        params.only("the multi-index", &Takes::default())?;
        check_assign(self, rows, nprobe, params)?;
        let executor = executor_for(params.executor, rows.as_slice().len() << self.bits);
        let halves = [0, 1].map(|half| half_of(rows.into(), half));
        let halves = [0, 1].map(|half| Rows::new(&halves[half], self.dim() / 2).expect("halves of rows"));
        if nprobe == 1 {
            let [(first, near), (second, nearer)] = [0, 1].map(|half| {
                let (mut numbers, mut distances) = (vec![0; rows.len()], vec![0.0; rows.len()]);
                nearest(halves[half], &self.halves[half], self.metric, executor, &mut numbers, &mut distances);
                (numbers, distances)
            });
            let lists = first.iter().zip(second).map(|(&first, second)| Some(ListNo(self.list([first, second]))));
            let distances = near.iter().zip(nearer).map(|(a, b)| if (a + b).is_nan() { f32::INFINITY } else { a + b });
            return Probes::new(1, lists.collect(), distances.collect());
        }
        let nprobe = nprobe.min(self.nlist());
        // A half centroid that is farther than `nprobe` others is in no result.
        let k = nprobe.min(1 << self.bits);
        let near = [0, 1].map(|half| nearest_many(halves[half], &self.halves[half], self.metric, k, executor));
        let places = rows.len() * nprobe;
        let (mut lists, mut distances) = (vec![None; places], vec![0.0; places]);
        let tasks: Vec<_> = lists.chunks_mut(CHUNK * nprobe).zip(distances.chunks_mut(CHUNK * nprobe)).collect();
        map_items(executor, tasks, |task, (lists, distances)| {
            let mut best = Smallest::new(nprobe);
            let rows = lists.chunks_exact_mut(nprobe).zip(distances.chunks_exact_mut(nprobe));
            for (row, (lists, distances)) in (task * CHUNK..).zip(rows) {
                let of_row = |half: usize| (&near[half].0[row * k..][..k], &near[half].1[row * k..][..k]);
                self.combine([of_row(0), of_row(1)], &mut best, lists, distances);
            }
        });
        Probes::new(nprobe, lists, distances)
    }

    fn promise(&self) -> Promise {
        // Up to ties: sums that round to the same number are ordered by list among those that are
        // compared, which are more for a larger `nprobe`. A search that widens checks this.
        Promise::EXACT
    }

    fn spec(&self) -> Arc<dyn QuantizerSpec> {
        Arc::new(MultiQuantizerSpec { bits: self.bits })
    }

    fn metric(&self) -> Option<Metric> {
        Some(self.metric)
    }

    fn memory(&self) -> usize {
        self.halves.iter().map(PackedRows::memory).sum()
    }

    fn export(&self) -> Result<Node<'_>, StoreError> {
        let dim = self.dim();
        let mut centroids = vec![0.0; dim << self.bits];
        for (half, rows) in self.halves.iter().zip(centroids.chunks_exact_mut((dim / 2) << self.bits)) {
            half.rows(0, rows);
        }
        let mut node =
            Node::new(ROW.tag, 0).with("dim", dim).with("bits", u64::from(self.bits)).with("metric", self.metric);
        node.push(NamedArray::owned("centroids", &[2, 1 << self.bits, dim as u64 / 2], centroids));
        Ok(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_a_number_of_bits() {
        let parse = |text| {
            let parsed = parse(&Token::new(text).unwrap());
            parsed.map(|spec| spec.map(|spec| spec.to_string()).map_err(|error| error.span))
        };
        assert_eq!(parse("IMI2x8"), Some(Ok("IMI2x8".to_owned())));
        assert_eq!(parse("IMI2x15"), Some(Ok("IMI2x15".to_owned())));
        for (bad, span) in [("IMI2x", 5..5), ("IMI2x0", 5..6), ("IMI2x16", 5..7), ("IMI2x-1", 5..7), ("IMI2x8b", 5..7)]
        {
            assert_eq!(parse(bad), Some(Err(span)), "{bad}");
        }
        assert_eq!((parse("IMI3x8"), parse("IVF16"), parse("IMI2x8(Flat)")), (None, None, None));
    }

    #[test]
    fn ties_and_overflow_name_every_list_once() {
        // Equal half centroids, and distances that overflow to infinities of both signs.
        for (value, metric) in [(1.0, Metric::L2), (f32::MAX, Metric::L2), (f32::MAX, Metric::InnerProduct)] {
            let centroids = [value, value, -value, value, value, value, value, -value];
            let quantizer = MultiQuantizer::from_centroids(&centroids, 2, metric).unwrap();
            for query in [[1.0, 1.0], [f32::MAX, -f32::MAX], [-f32::MAX, -f32::MAX]] {
                for nprobe in 1..=16 {
                    let rows = Rows::new(&query, 2).unwrap();
                    let probes = quantizer.assign(rows, nprobe, &SearchParams::new()).unwrap();
                    let lists: Vec<(f32, ListNo)> =
                        probes.row(0).map(|(list, distance)| (distance, list.unwrap())).collect();
                    assert_eq!(lists.len(), nprobe);
                    assert!(lists.is_sorted(), "{lists:?}");
                    let mut distinct: Vec<ListNo> = lists.iter().map(|(_, list)| *list).collect();
                    distinct.sort_unstable();
                    distinct.dedup();
                    assert_eq!(distinct.len(), nprobe, "{lists:?}");
                }
            }
        }
    }

    #[test]
    fn centroids_that_cannot_be_are_refused() {
        let refused = |centroids: &[f32], dim, metric| MultiQuantizer::from_centroids(centroids, dim, metric).is_err();
        let numbers = [0.5; 24];
        assert!(!refused(&numbers[..8], 4, Metric::L2));
        for (len, dim) in [(8, 0), (9, 3), (0, 2), (2, 2), (6, 2), (24, 4), (7, 2), (8, 16)] {
            assert!(refused(&numbers[..len], dim, Metric::L2), "{len} numbers, {dim} dimensions");
        }
        assert!(refused(&numbers[..8], 4, Metric::L1));
        assert!(refused(&[1.0, f32::NAN, 1.0, 1.0], 2, Metric::L2));
        let mut node = Node::new(ROW.tag, 0).with("dim", 2_u64).with("bits", 2_u64).with("metric", Metric::L2);
        node.push(NamedArray::owned("centroids", &[2, 2, 1], vec![1.0_f32, 2.0, 3.0, 4.0]));
        assert!(matches!(MultiQuantizer::read(&node.to_stored()), Err(DecodeError::Value { .. })));
    }
}
