//! `IVF<n>`: exact search for the nearest of `n` centroids.

use super::first_pass::ByteCentroids;
use super::{check_assign, first_non_finite, learn, nearest, nearest_many, parse_nlist, unsupported};
use crate::executor::executor_for;
use crate::kernels::PackedRows;
use crate::kmeans::KMeans;
use ivf_core::error::{BuildError, DecodeError, PartsError, SearchError, StoreError, TrainError};
use ivf_core::field::{Field, FieldType, Schema};
use ivf_core::node::NamedArray;
use ivf_core::params::Takes;
use ivf_core::quantizer::order_fault;
use ivf_core::registry::QuantizerRow;
use ivf_core::{
    AnyRows, Centroids, Level1Quantizer, ListNo, Metric, Node, Permute, Probes, Promise, QuantizerSpec, Rows,
    SearchParams, StoredNode, TrainOptions, TrainReport,
};
use std::fmt;
use std::sync::Arc;

/// The registry row of this quantizer.
pub(super) const ROW: QuantizerRow = QuantizerRow::new(
    "flat",
    "IVF<n>[k|M]",
    |token, _| {
        // `IVF4(...)` belongs to another registry row.
        let nlist = parse_nlist(token.plain()?)?;
        Some(nlist.map(|nlist| Arc::new(FlatQuantizerSpec { nlist }) as _))
    },
    |node, _| Ok(Arc::new(FlatQuantizer::read(node)?)),
)
.about("n lists around k-means centroids, which are searched exhaustively; k = 1024, M = 1024 x 1024")
.samples(&["IVF1", "IVF16", "IVF40"]);

const SCHEMA: &Schema = &[Field::new("dim", FieldType::UInt), Field::new("metric", FieldType::Metric)];

/// The specification `IVF<n>`: `n` centroids learnt by k-means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlatQuantizerSpec {
    /// Number of lists, at least 1.
    pub nlist: usize,
}

impl fmt::Display for FlatQuantizerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IVF{}", self.nlist)
    }
}

impl QuantizerSpec for FlatQuantizerSpec {
    fn nlist(&self) -> usize {
        self.nlist
    }

    fn check(&self, _dim: usize, _metric: Metric) -> Result<(), BuildError> {
        Ok(())
    }

    fn training_points(&self, options: &TrainOptions<'_>) -> usize {
        KMeans::new(self.nlist, Metric::L2).training_points(options)
    }

    fn training_memory(&self, dim: usize, metric: Metric, points: usize, options: &TrainOptions<'_>) -> usize {
        KMeans::new(self.nlist, metric).training_memory(dim, points, options)
    }

    fn train(
        &self,
        rows: AnyRows<'_>,
        metric: Metric,
        options: &TrainOptions<'_>,
    ) -> Result<(Arc<dyn Level1Quantizer>, TrainReport), TrainError> {
        let (centroids, report) = learn(self, rows, metric, options)?;
        let rows = Rows::new(&centroids, rows.dim()).expect("centroids are rows");
        // Training checks what reading a file checks.
        let quantizer = FlatQuantizer::from_centroids(rows, metric);
        let quantizer = quantizer.map_err(|error| unsupported(self, format!("these vectors: {error}")))?;
        Ok((Arc::new(quantizer), report))
    }
}

/// A quantizer that finds the nearest centroids exactly.
#[derive(Clone, Debug)]
pub struct FlatQuantizer {
    centroids: PackedRows,
    /// The centroids as bytes, where they make a first pass.
    bytes: Option<ByteCentroids>,
    metric: Metric,
}

impl FlatQuantizer {
    /// Creates a quantizer with these centroids, one per list.
    ///
    /// ```
    /// use ivf_core::{Centroids, Level1Quantizer, ListNo, Metric, Rows, SearchParams};
    /// use ivf_cpu::coarse::FlatQuantizer;
    ///
    /// // Centroids learnt elsewhere: list `i` is around centroid `i`.
    /// let quantizer = FlatQuantizer::from_centroids(Rows::new(&[0.0, 10.0, 20.0], 1)?, Metric::L2)?;
    /// let probes = quantizer.assign(Rows::new(&[12.0], 1)?, 2, &SearchParams::new())?;
    /// assert!(probes.row(0).eq([(Some(ListNo(1)), 4.0), (Some(ListNo(2)), 64.0)]));
    ///
    /// let mut centroid = [0.0];
    /// quantizer.centroid(ListNo(2), &mut centroid);
    /// assert_eq!(centroid, [20.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`PartsError::Mismatch`] if there are no centroids or more than `u32::MAX`, or if one holds
    /// a NaN or an infinity.
    pub fn from_centroids(centroids: Rows<'_, f32>, metric: Metric) -> Result<Self, PartsError> {
        let fault = |what: String| Err(PartsError::Mismatch(what));
        if !(1..=u32::MAX as usize).contains(&centroids.len()) {
            return fault(format!("{} centroids: a quantizer has 1 to 4294967295", centroids.len()));
        }
        if let Some(list) = first_non_finite(centroids) {
            return fault(format!("the centroid of list {list} holds a NaN or an infinity"));
        }
        let bytes = ByteCentroids::new(centroids, metric);
        Ok(Self { centroids: PackedRows::new(centroids), bytes, metric })
    }

    fn read(node: &StoredNode) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        let fields = node.fields(SCHEMA)?;
        let fault = |what: String| DecodeError::value(&node.tag, what);
        let rows = Rows::new(node.array::<f32>("centroids")?, fields.dim("dim")?);
        let rows = rows.map_err(|error| fault(error.to_string()))?;
        Self::from_centroids(rows, fields.get("metric")?).map_err(|error| fault(error.to_string()))
    }

    /// Returns all centroids, row after row.
    fn rows(&self) -> Vec<f32> {
        let mut rows = vec![0.0; self.nlist() * self.dim()];
        self.centroids.rows(0, &mut rows);
        rows
    }
}

impl Centroids for FlatQuantizer {
    fn dim(&self) -> usize {
        self.centroids.dim()
    }

    fn nlist(&self) -> usize {
        self.centroids.len()
    }

    fn centroid(&self, list: ListNo, out: &mut [f32]) {
        self.centroids.row(list.index(), out);
    }

    fn centroid_rows(&self, first: ListNo, out: &mut [f32]) {
        self.centroids.rows(first.index(), out);
    }
}

impl Level1Quantizer for FlatQuantizer {
    fn tag(&self) -> &str {
        ROW.tag
    }

    fn assign(&self, rows: Rows<'_, f32>, nprobe: usize, params: &SearchParams<'_>) -> Result<Probes, SearchError> {
        params.only("the flat quantizer", &Takes::default())?;
        check_assign(self, rows, nprobe, params)?;
        let executor = executor_for(params.executor, rows.as_slice().len() * self.nlist());
        if nprobe == 1 {
            let (mut numbers, mut distances) = (vec![0; rows.len()], vec![0.0; rows.len()]);
            nearest(rows, &self.centroids, self.metric, executor, &mut numbers, &mut distances);
            return Probes::new(1, numbers.into_iter().map(|no| Some(ListNo(no))).collect(), distances);
        }
        let nprobe = nprobe.min(self.nlist());
        let (numbers, distances) = match &self.bytes {
            Some(bytes) => bytes.nearest_many(rows, &self.centroids, nprobe, executor),
            None => nearest_many(rows, &self.centroids, self.metric, nprobe, executor),
        };
        let lists = numbers.into_iter().map(|no| Some(ListNo(no))).collect();
        Probes::new(nprobe, lists, distances)
    }

    fn promise(&self) -> Promise {
        Promise::EXACT
    }

    fn spec(&self) -> Arc<dyn QuantizerSpec> {
        Arc::new(FlatQuantizerSpec { nlist: self.nlist() })
    }

    fn metric(&self) -> Option<Metric> {
        Some(self.metric)
    }

    fn as_permute(&self) -> Option<&dyn Permute> {
        Some(self)
    }

    fn memory(&self) -> usize {
        self.centroids.memory() + self.bytes.as_ref().map_or(0, ByteCentroids::memory)
    }

    fn export(&self) -> Result<Node<'_>, StoreError> {
        let mut node = Node::new(ROW.tag, 0).with("dim", self.dim()).with("metric", self.metric);
        node.push(NamedArray::owned("centroids", &[self.nlist() as u64, self.dim() as u64], self.rows()));
        Ok(node)
    }
}

impl Permute for FlatQuantizer {
    fn permuted(&self, order: &[ListNo]) -> Arc<dyn Level1Quantizer> {
        assert_eq!(order_fault(self.nlist(), order), None, "every list occurs once in the order");
        let mut centroids = vec![0.0; self.nlist() * self.dim()];
        for (list, centroid) in order.iter().zip(centroids.chunks_exact_mut(self.dim())) {
            self.centroids.row(list.index(), centroid);
        }
        let rows = Rows::new(&centroids, self.dim()).expect("whole centroids");
        let bytes = ByteCentroids::new(rows, self.metric);
        Arc::new(Self { centroids: PackedRows::new(rows), bytes, metric: self.metric })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIM: usize = 3;

    fn quantizer(nlist: usize) -> FlatQuantizer {
        let rows: Vec<f32> = (0..nlist * DIM).map(|i| (i * 7919 % 1013) as f32).collect();
        FlatQuantizer::from_centroids(Rows::new(&rows, DIM).unwrap(), Metric::L2).unwrap()
    }

    #[test]
    fn rows_of_centroids_are_the_centroids() {
        let quantizer = quantizer(70);
        for (first, count) in [(0, 70), (1, 69), (31, 2), (32, 32), (64, 6), (70, 0), (5, 1)] {
            let mut rows = vec![f32::NAN; count * DIM];
            quantizer.centroid_rows(ListNo(first), &mut rows);
            let mut centroid = [0.0; DIM];
            for (list, row) in (first..).zip(rows.chunks_exact(DIM)) {
                quantizer.centroid(ListNo(list), &mut centroid);
                assert_eq!(row, centroid);
            }
        }
    }

    #[test]
    fn lists_get_other_numbers_and_files_keep_them() {
        let before = quantizer(33);
        let order: Vec<ListNo> = (0..33).map(|list| ListNo(list * 5 % 33)).collect();
        let after = before.as_permute().unwrap().permuted(&order);
        let after = FlatQuantizer::read(&after.export().unwrap().to_stored()).unwrap();
        for (list, old) in (0..).map(ListNo).zip(&order) {
            let (mut new, mut expected) = ([0.0; DIM], [0.0; DIM]);
            after.centroid(list, &mut new);
            before.centroid(*old, &mut expected);
            assert_eq!(new, expected);
        }
    }

    #[test]
    fn centroids_that_cannot_be_are_refused() {
        let refused =
            |rows: &[f32]| FlatQuantizer::from_centroids(Rows::new(rows, 1).unwrap(), Metric::L2).unwrap_err();
        assert_eq!(refused(&[]).to_string(), "0 centroids: a quantizer has 1 to 4294967295");
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(refused(&[0.0, bad]).to_string(), "the centroid of list 1 holds a NaN or an infinity");
        }
        let mut node = Node::new(ROW.tag, 0).with("dim", 2_u64).with("metric", Metric::L2);
        assert!(matches!(FlatQuantizer::read(&node.to_stored()), Err(DecodeError::Missing { .. })));
        node.push(NamedArray::owned("centroids", &[3], vec![1.0_f32, 2.0, 3.0]));
        assert!(matches!(FlatQuantizer::read(&node.to_stored()), Err(DecodeError::Value { .. })));
    }
}
