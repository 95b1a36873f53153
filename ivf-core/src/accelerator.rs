//! Contracts of a device, such as a GPU, that searches and trains in place of the engine.
//!
//! A device computes the same distances as the engine, bit for bit: a distance is a fold over the
//! dimensions in order. So no result tells where it was computed. The engine remains in charge. It
//! checks the arguments, plans, filters, and returns the results. It drops the accelerator of an
//! index before the first change of its lists, its codec or its quantizer.
//!
//! This device is a plain loop over the codes. A real one copies them into its own memory first:
//!
//! ```
//! use ivf_core::accelerator::{AcceleratedParts, PlannedScan, ScanCounts};
//! use ivf_core::error::SearchError;
//! use ivf_core::mask::Mask;
//! use ivf_core::scanner::ScanRange;
//! # use ivf_core::*;
//! # use std::sync::Arc;
//! #[derive(Debug)]
//! struct Loop(AcceleratedParts);
//!
//! impl Accelerator for Loop {
//!     fn assign(&self, rows: Rows<'_, f32>, nprobe: usize) -> Result<Option<Probes>, SearchError> {
//!         // `Ok(None)` would leave it to the quantizer.
//!         self.0.quantizer.assign(rows, nprobe, &SearchParams::new()).map(Some)
//!     }
//!
//!     fn scan(&self, scan: &PlannedScan<'_>, sinks: &mut [Sink]) -> Result<(), SearchError> {
//!         let AcceleratedParts { bound, lists, .. } = &self.0;
//!         let mut scanner = bound.scanner(&Settings::new());
//!         for (query, sink) in sinks.iter_mut().enumerate() {
//!             scan.check_cancel()?;
//!             scanner.set_query(scan.queries.row(query));
//!             scanner.set_probes(scan.probes(query));
//!             for probe in scan.probes(query) {
//!                 scanner.set_list(probe.list, probe.coarse_distance);
//!                 let entries = lists.list(probe.list)?;
//!                 let selected = scan.select(query, probe.list)?;
//!                 let planned = 0..probe.codes as usize;
//!                 for range in ScanRange::of_list(probe.list, &entries, lists.layout(), planned) {
//!                     let (first, len) = (range.first_offset(), range.segment().len());
//!                     let own = selected.as_ref().map(|mask| Mask::from_fn(len, |slot| mask.get(first + slot)));
//!                     scanner.scan(&range.masked(own.as_ref()), sink);
//!                 }
//!             }
//!         }
//!         Ok(())
//!     }
//!
//!     fn search(
//!         &self,
//!         queries: Rows<'_, f32>,
//!         nprobe: usize,
//!         sinks: &mut [Sink],
//!     ) -> Result<Option<ScanCounts>, SearchError> {
//!         let Some(probes) = self.assign(queries, nprobe)? else { return Ok(None) };
//!         let lists = &self.0.lists;
//!         let list_len = |list| Ok(lists.list_len(list)?);
//!         let plan = SearchPlan::new(&probes, lists.nlist(), |_| Limits::default(), list_len)?;
//!         self.scan(&PlannedScan::new(queries, &plan, 0), sinks)?;
//!         Ok(Some(ScanCounts { lists: plan.probes().len() as u64, codes: plan.codes() }))
//!     }
//! }
//!
//! let vectors = [0.0_f32, 1.0, 10.0, 11.0];
//! let rows = Rows::new(&vectors, 1)?;
//! let mut index = ivf_factory::build("IVF2,Flat", 1, Metric::L2)?;
//! index.train(rows)?;
//! index.add(rows)?;
//!
//! let ability = index.as_accelerate_mut().ok_or("no lists")?;
//! let parts = ability.accelerated().ok_or("not trained")?;
//! ability.set_accelerator(Some(Arc::new(Loop(parts))))?;
//! let even = IdSelector::set([0, 2].map(Id));
//! let found = index.search(Rows::new(&[10.9_f32], 1)?, 1, &SearchParams::new().selector(&even))?;
//! assert_eq!(found.hits.row(0).ids, [Id(2)]);
//!
//! // The lists change, so the device no longer has them.
//! index.add(rows)?;
//! assert!(index.as_accelerate().ok_or("no lists")?.accelerator().is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::codec::BoundCodec;
use crate::error::{Cancelled, SearchError, TrainError};
use crate::id::ListNo;
use crate::lists::InvertedLists;
use crate::mask::Mask;
use crate::metric::Metric;
use crate::params::Cancel;
use crate::plan::{PlannedProbe, Probes, SearchPlan};
use crate::quantizer::Level1Quantizer;
use crate::rows::Rows;
use crate::sink::Sink;
use std::fmt;
use std::sync::Arc;

/// Searches the lists of an index in place of the engine, on another device.
///
/// An accelerator holds the contents that the parts of the index had when it was made (see
/// [`Accelerate`](crate::ability::Accelerate)). Both sides rely on this contract:
///
/// * Many threads may call it at the same time.
/// * The rows have the dimension of the quantizer, and are finite.
/// * Distances are those of the quantizer and of a [scanner](crate::BoundCodec::scanner) whose
///   settings have their defaults, bit for bit.
/// * A failure of the device is [`SearchError::Device`]. The search then fails: the engine does not
///   repeat it on the CPU.
///
/// [The module](self) has an implementation.
pub trait Accelerator: Send + Sync + fmt::Debug {
    /// Returns the `nprobe` lists nearest to each row, from 1 to the number of lists, as
    /// [`Level1Quantizer::assign`] returns them without parameters. Returns `None` if the device
    /// leaves that to the quantizer.
    ///
    /// # Errors
    /// [`SearchError`] if the device fails.
    fn assign(&self, rows: Rows<'_, f32>, nprobe: usize) -> Result<Option<Probes>, SearchError>;

    /// Scans a plan: passes to `sinks[i]` the planned and selected entries of query `i`. Entries
    /// that are certainly not in the final content of the sink may be left out.
    ///
    /// At least one query scans a list. A sink may hold results of earlier scans. If a plan names a
    /// list twice for a query, its entries are passed on twice.
    ///
    /// # Errors
    /// [`SearchError`] if the device fails, the selection cannot be read, or the caller cancelled.
    /// The sinks may then hold some of the results.
    ///
    /// # Panics
    /// May panic if there is not one sink per query.
    fn scan(&self, scan: &PlannedScan<'_>, sinks: &mut [Sink]) -> Result<(), SearchError>;

    /// Searches without limits and filters: scans, for each query, all entries of the `nprobe`
    /// lists that [`assign`](Self::assign) returns. Returns `None`, with the sinks as they were, if
    /// the device cannot assign.
    ///
    /// # Errors
    /// As [`scan`](Self::scan).
    ///
    /// # Panics
    /// May panic if there is not one sink per query.
    fn search(
        &self,
        queries: Rows<'_, f32>,
        nprobe: usize,
        sinks: &mut [Sink],
    ) -> Result<Option<ScanCounts>, SearchError>;
}

/// The parts of an index that an accelerator takes over.
///
/// An accelerator copies what it needs. While it holds the `Arc` of the lists, a write to the index
/// goes to a [snapshot](InvertedLists::snapshot) of them, or fails if the store makes none.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AcceleratedParts {
    /// The coarse quantizer.
    pub quantizer: Arc<dyn Level1Quantizer>,
    /// The codec, bound to the centroids.
    pub bound: Arc<dyn BoundCodec>,
    /// The lists.
    pub lists: Arc<dyn InvertedLists>,
}

impl AcceleratedParts {
    /// Creates the parts.
    ///
    /// ```
    /// use ivf_core::accelerator::AcceleratedParts;
    /// use ivf_core::{ArrayLists, Binding, Codec, Metric};
    /// use ivf_cpu::coarse::OneList;
    /// use ivf_cpu::codec::FlatCodec;
    /// use std::sync::Arc;
    /// let (codec, quantizer) = (Arc::new(FlatCodec::new(2, Metric::L2)), Arc::new(OneList::new(2)));
    /// let lists = ArrayLists::new(1, codec.layout().clone());
    /// let bound = codec.bind(&Binding::new(quantizer.clone()))?;
    /// let parts = AcceleratedParts::new(quantizer, bound, Arc::new(lists));
    /// assert_eq!((parts.quantizer.nlist(), parts.bound.codec().dim(), parts.lists.nlist()), (1, 2, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(quantizer: Arc<dyn Level1Quantizer>, bound: Arc<dyn BoundCodec>, lists: Arc<dyn InvertedLists>) -> Self {
        Self { quantizer, bound, lists }
    }
}

/// A planned scan: for each query, the lists to scan and the number of codes in each.
///
/// ```
/// use ivf_core::accelerator::{PlannedScan, Selection};
/// use ivf_core::error::SearchError;
/// use ivf_core::mask::Mask;
/// use ivf_core::plan::PlannedProbe;
/// use ivf_core::{Cancel, ListNo, Rows, SearchPlan};
///
/// /// Selects the first entries of each list, as many as the number of the query.
/// struct First;
///
/// impl Selection for First {
///     fn is_common(&self) -> bool {
///         false
///     }
///
///     fn select(&self, query: usize, _: ListNo) -> Result<Option<Mask>, SearchError> {
///         Ok((query > 0).then(|| Mask::of_range(10, 0..query)))
///     }
/// }
///
/// let probe = |list, codes| [PlannedProbe { list: ListNo(list), codes, coarse_distance: 0.5 }];
/// let (a, b, c) = (probe(0, 10), probe(4, 10), probe(2, 3));
/// let plan = SearchPlan::from_rows([&a[..], &b, &c]);
/// // The first row of the plan is of another batch.
/// let (queries, cancel) = ([0.0, 1.0], Cancel::new());
/// let scan = PlannedScan::new(Rows::new(&queries, 1)?, &plan, 1)
///     .with_selection(Some(&First))
///     .with_cancel(Some(&cancel));
/// assert_eq!((scan.probes(0), scan.probes(1)), (&b[..], &c[..]));
/// assert_eq!(scan.select(0, ListNo(4))?, None);
/// assert_eq!(scan.select(1, ListNo(2))?.map(|mask| mask.count()), Some(1));
/// assert!(scan.selection.is_some_and(|selection| !selection.is_common()));
/// assert!(scan.check_cancel().is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct PlannedScan<'a> {
    /// The queries.
    pub queries: Rows<'a, f32>,
    /// The lists that each query scans, and the number of codes in each.
    pub plan: &'a SearchPlan,
    /// The row of the plan of the first query.
    pub first: usize,
    /// The entries that the queries may find; `None` means all.
    pub selection: Option<&'a dyn Selection>,
    /// Ends the scan early.
    pub cancel: Option<&'a Cancel>,
}

impl<'a> PlannedScan<'a> {
    /// Creates the scan of all entries that rows `first..first + queries.len()` of the plan name.
    ///
    /// # Panics
    /// If the plan has fewer rows.
    pub fn new(queries: Rows<'a, f32>, plan: &'a SearchPlan, first: usize) -> Self {
        assert!(first + queries.len() <= plan.len(), "a row of the plan for each query");
        Self { queries, plan, first, selection: None, cancel: None }
    }

    /// Sets the selection.
    #[must_use]
    pub fn with_selection(self, selection: Option<&'a dyn Selection>) -> Self {
        Self { selection, ..self }
    }

    /// Sets the flag that ends the scan early.
    #[must_use]
    pub fn with_cancel(self, cancel: Option<&'a Cancel>) -> Self {
        Self { cancel, ..self }
    }

    /// Returns what a query scans, in probe order.
    ///
    /// # Panics
    /// If there is no such query.
    pub fn probes(&self, query: usize) -> &'a [PlannedProbe] {
        assert!(query < self.queries.len(), "query {query} of {}", self.queries.len());
        self.plan.row(self.first + query)
    }

    /// Returns the entries of a list that a query may find; see [`Selection::select`].
    ///
    /// # Errors
    /// As [`Selection::select`].
    pub fn select(&self, query: usize, list: ListNo) -> Result<Option<Mask>, SearchError> {
        self.selection.map_or(Ok(None), |selection| selection.select(query, list))
    }

    /// Checks that the caller has not cancelled.
    ///
    /// # Errors
    /// [`Cancelled`] if the caller has.
    pub fn check_cancel(&self) -> Result<(), Cancelled> {
        Cancel::check(self.cancel)
    }
}

impl fmt::Debug for PlannedScan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlannedScan")
            .field("queries", &self.queries.len())
            .field("plan", &self.plan)
            .field("first", &self.first)
            .field("is_filtered", &self.selection.is_some())
            .finish_non_exhaustive()
    }
}

/// The entries of the lists that the queries of a [`PlannedScan`] may find.
pub trait Selection: Sync {
    /// Returns true if all queries may find the same entries. [`select`](Self::select) then returns
    /// the same for each of them.
    fn is_common(&self) -> bool;

    /// Returns the entries of a list that a query of the scan may find: a bit for each entry of the
    /// list, by its offset. Returns `None` if the query may find all.
    ///
    /// # Errors
    /// [`SearchError::Store`] if the ids of the list cannot be read.
    ///
    /// # Panics
    /// If there is no such query.
    fn select(&self, query: usize, list: ListNo) -> Result<Option<Mask>, SearchError>;
}

/// What an accelerator has scanned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanCounts {
    /// Number of lists, summed over all queries. Empty lists do not count.
    pub lists: u64,
    /// Number of codes, summed over all queries.
    pub codes: u64,
}

/// Assigns the points of k-means to their centroids and adds them up, on another device.
/// [`TrainOptions::device`](field@crate::TrainOptions::device) passes it to a training.
///
/// This device is a plain loop:
///
/// ```
/// use ivf_core::accelerator::{KMeansDevice, KMeansPoints};
/// use ivf_core::error::TrainError;
/// use ivf_core::{Metric, Rows, TrainOptions};
/// #[derive(Debug)]
/// struct Loop;
///
/// struct Points<'p> {
///     points: Rows<'p, f32>,
///     /// The number of the centroid of each point.
///     numbers: Vec<u32>,
/// }
///
/// impl KMeansDevice for Loop {
///     fn points<'p>(
///         &'p self,
///         points: Rows<'p, f32>,
///         metric: Metric,
///     ) -> Result<Option<Box<dyn KMeansPoints + 'p>>, TrainError> {
///         if metric != Metric::L2 {
///             return Ok(None);
///         }
///         Ok(Some(Box::new(Points { points, numbers: Vec::new() })))
///     }
/// }
///
/// impl KMeansPoints for Points<'_> {
///     fn assign(
///         &mut self,
///         centroids: Rows<'_, f32>,
///         numbers: &mut [u32],
///         distances: &mut [f32],
///     ) -> Result<(), TrainError> {
///         for ((point, number), least) in self.points.iter().zip(&mut *numbers).zip(distances) {
///             (*number, *least) = (0, f32::INFINITY);
///             for (centroid, no) in centroids.iter().zip(0..) {
///                 let distance = point.iter().zip(centroid).fold(0.0_f32, |sum, (x, c)| (x - c).mul_add(x - c, sum));
///                 if distance < *least {
///                     (*number, *least) = (no, distance);
///                 }
///             }
///         }
///         self.numbers = numbers.to_vec();
///         Ok(())
///     }
///
///     fn sums(&mut self, sums: &mut [f64]) -> Result<(), TrainError> {
///         sums.fill(0.0);
///         let dim = self.points.dim();
///         for (point, number) in self.points.iter().zip(&self.numbers) {
///             let sum = &mut sums[*number as usize * dim..][..dim];
///             sum.iter_mut().zip(point).for_each(|(sum, x)| *sum += f64::from(*x));
///         }
///         Ok(())
///     }
/// }
///
/// let points = [0.0_f32, 0.1, 0.2, 9.0, 9.1, 9.2];
/// let train = |options: &TrainOptions<'_>| {
///     ivf_cpu::KMeans::new(2, Metric::L2).train(Rows::new(&points, 1)?.into(), options)
/// #       .map_err(Box::<dyn std::error::Error>::from)
/// };
/// let (on_cpu, on_device) = (TrainOptions::new(), TrainOptions::new().device(&Loop));
/// assert_eq!(train(&on_device)?.0, train(&on_cpu)?.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait KMeansDevice: Send + Sync + fmt::Debug {
    /// Takes over some points, all finite, for rounds of k-means. Returns `None` if the CPU is to
    /// handle them, because the device does not have the metric, or because they are too many or
    /// too few.
    ///
    /// # Errors
    /// [`TrainError::Device`] if the device fails.
    fn points<'p>(
        &'p self,
        points: Rows<'p, f32>,
        metric: Metric,
    ) -> Result<Option<Box<dyn KMeansPoints + 'p>>, TrainError>;
}

/// Points of k-means on a device.
pub trait KMeansPoints {
    /// Writes the number of the nearest centroid of each point, and its internal distance as the
    /// kernels of the CPU compute it, bit for bit. Of equally near centroids, the lowest number
    /// wins. A point whose distances are all NaN or positive infinity (overflow) gets number 0 and
    /// an infinite distance.
    ///
    /// There is one number and one distance per point, and at least one centroid, all finite.
    ///
    /// # Errors
    /// [`TrainError::Device`] if the device fails.
    fn assign(
        &mut self,
        centroids: Rows<'_, f32>,
        numbers: &mut [u32],
        distances: &mut [f32],
    ) -> Result<(), TrainError>;

    /// Writes, for each centroid of the last assignment, the sum of its points: `k x dim` numbers,
    /// row after row. A sum starts from 0, and the points are added in their order, in `f64`.
    ///
    /// # Errors
    /// [`TrainError::Device`] if the device fails.
    fn sums(&mut self, sums: &mut [f64]) -> Result<(), TrainError>;
}
