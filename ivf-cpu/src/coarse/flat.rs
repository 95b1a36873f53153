//! `IVF<n>`: the nearest of `n` centroids, found exactly.

use super::{nearest, nearest_many};
use crate::executor::or_global;
use crate::kernels::PackedRows;
use crate::kmeans::KMeans;
use ivf_core::error::{BuildError, DecodeError, InputError, KnobError, SearchError, TrainError};
use ivf_core::node::NamedArray;
use ivf_core::part::unknown_knob;
use ivf_core::quantizer::order_fault;
use ivf_core::registry::{Parsed, QuantizerRow, Registry, TokenError};
use ivf_core::{
    AnyRows, Centroids, KnobValue, Level1Quantizer, ListNo, MAX_DIM, Metric, Node, Probes, QuantizerSpec, Rows,
    SearchParams, StoredNode, TrainOptions, TrainReport,
};
use std::fmt;
use std::sync::Arc;

/// The row of this quantizer.
pub(super) const ROW: QuantizerRow = QuantizerRow::new(
    "flat",
    "IVF<n>[k|M]",
    "n lists around k-means centroids, searched exhaustively; k = 1024, M = 1024 x 1024",
    &["IVF1", "IVF16", "IVF40"],
    parse,
    |node, _: &Registry| Ok(Arc::new(FlatQuantizer::read(node)?)),
);

fn parse(token: &str) -> Parsed<dyn QuantizerSpec> {
    let number = token.strip_prefix("IVF")?;
    let digits = &number[..number.bytes().take_while(u8::is_ascii_digit).count()];
    // `IVF4_HNSW32` and the like belong to other rows.
    if number.contains(['_', '(']) {
        return None;
    }
    let suffix = 3 + digits.len();
    let fault = |span: std::ops::Range<usize>, what: &str| Some(Err(TokenError::new(span, what)));
    if digits.is_empty() {
        return fault(3..token.len(), "the number of lists is missing");
    }
    let scale: u64 = match &token[suffix..] {
        "" => 1,
        "k" => 1 << 10,
        "M" => 1 << 20,
        _ => {
            return fault(suffix..token.len(), "after the number of lists stands k (x 1024), M (x 1048576) or nothing");
        }
    };
    match digits.parse::<u64>().ok().and_then(|n| n.checked_mul(scale)) {
        Some(0) => fault(3..token.len(), "the number of lists must be at least 1"),
        Some(nlist) if nlist <= u32::MAX.into() => Some(Ok(Arc::new(FlatQuantizerSpec { nlist: nlist as usize }))),
        _ => fault(3..token.len(), "the number of lists must be at most 4294967295"),
    }
}

/// `IVF<n>`: `n` centroids learnt by k-means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlatQuantizerSpec {
    /// How many lists, at least 1.
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
        let (centroids, report) = KMeans::new(self.nlist, metric).train(rows, options)?;
        let rows = Rows::new(&centroids, rows.dim()).expect("centroids are rows");
        Ok((Arc::new(FlatQuantizer::new(rows, metric)), report))
    }
}

/// The nearest of a set of centroids, found exactly.
#[derive(Clone, Debug)]
pub struct FlatQuantizer {
    centroids: PackedRows,
    metric: Metric,
}

impl FlatQuantizer {
    /// A quantizer with these centroids, one a list.
    ///
    /// # Panics
    /// If there are none, or more than `u32::MAX`.
    pub fn new(centroids: Rows<'_, f32>, metric: Metric) -> Self {
        assert!((1..=u32::MAX as usize).contains(&centroids.len()), "1 to 2^32 - 1 centroids");
        Self { centroids: PackedRows::new(centroids), metric }
    }

    fn read(node: &StoredNode) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        let (dim, metric): (u64, Metric) = node.meta()?;
        let centroids = node.array::<f32>("centroids")?;
        let fault = |what: &str| DecodeError::value(&node.tag, what);
        let dim =
            usize::try_from(dim).ok().filter(|dim| *dim <= MAX_DIM).ok_or_else(|| fault("too many dimensions"))?;
        let rows = Rows::new(centroids, dim).map_err(|error| fault(&error.to_string()))?;
        if rows.is_empty() || rows.len() > u32::MAX as usize {
            return Err(fault("no centroids, or too many"));
        }
        if !centroids.iter().all(|x| x.is_finite()) {
            return Err(fault("a centroid that is not finite"));
        }
        Ok(Self::new(rows, metric))
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
}

impl Level1Quantizer for FlatQuantizer {
    fn assign(&self, rows: Rows<'_, f32>, nprobe: usize, params: &SearchParams<'_>) -> Result<Probes, SearchError> {
        params.only("the flat quantizer", &[])?;
        params.check_cancel()?;
        if rows.dim() != self.dim() {
            return Err(InputError::Dim { expected: self.dim(), found: rows.dim() }.into());
        }
        if nprobe == 0 {
            return Err(SearchError::InvalidParam { param: "nprobe", must: "at least 1", found: "0".into() });
        }
        let executor = or_global(params.executor);
        if nprobe == 1 {
            let (mut numbers, mut distances) = (vec![0; rows.len()], vec![0.0; rows.len()]);
            nearest(rows, &self.centroids, self.metric, executor, &mut numbers, &mut distances);
            return Probes::new(1, numbers.into_iter().map(|no| Some(ListNo(no))).collect(), distances);
        }
        let nprobe = nprobe.min(self.nlist());
        let (numbers, distances) = nearest_many(rows, &self.centroids, self.metric, nprobe, executor);
        let lists = numbers.into_iter().map(|no| Some(ListNo(no))).collect();
        Probes::new(nprobe, lists, distances)
    }

    fn spec(&self) -> Arc<dyn QuantizerSpec> {
        Arc::new(FlatQuantizerSpec { nlist: self.nlist() })
    }

    fn metric(&self) -> Option<Metric> {
        Some(self.metric)
    }

    fn permuted(&self, order: &[ListNo]) -> Arc<dyn Level1Quantizer> {
        assert_eq!(order_fault(self.nlist(), order), None, "every list once");
        let mut centroids = vec![0.0; self.nlist() * self.dim()];
        for (list, centroid) in order.iter().zip(centroids.chunks_exact_mut(self.dim())) {
            self.centroids.row(list.index(), centroid);
        }
        let rows = Rows::new(&centroids, self.dim()).expect("whole centroids");
        Arc::new(Self::new(rows, self.metric))
    }

    fn memory(&self) -> usize {
        self.centroids.memory()
    }

    fn export(&self) -> Node<'_> {
        let mut centroids = vec![0.0; self.nlist() * self.dim()];
        for (no, centroid) in centroids.chunks_exact_mut(self.dim()).enumerate() {
            self.centroids.row(no, centroid);
        }
        let mut node = Node::new(ROW.tag, 0, &(self.dim() as u64, self.metric));
        node.push(NamedArray::owned("centroids", &[self.nlist() as u64, self.dim() as u64], centroids));
        node
    }

    fn with_knob(&self, name: &str, _value: KnobValue) -> Result<Arc<dyn Level1Quantizer>, KnobError> {
        Err(unknown_knob(name, &[]))
    }
}
