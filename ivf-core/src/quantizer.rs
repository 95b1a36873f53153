//! Coarse quantizers, which assign vectors to lists and choose the lists that a query probes.
//!
//! A quantizer whose centroids are the first training vectors. `First` implements
//! [`QuantizerSpec`]. `Points` implements [`Centroids`], [`Level1Quantizer`] and [`Permute`].
//!
//! ```
//! use ivf_core::error::{BuildError, InputError, SearchError, StoreError, TrainError};
//! use ivf_core::node::NamedArray;
//! use ivf_core::params::Takes;
//! use ivf_core::quantizer::order_fault;
//! use ivf_core::{
//!     AnyRows, Centroids, Id, Index, Level1Quantizer, ListNo, Metric, Node, Permute, Probes, Promise, QuantizerSpec,
//!     Rows, SearchParams, TrainOptions, TrainReport,
//! };
//! use std::{fmt, sync::Arc};
//!
//! /// The specification, with its number of lists.
//! #[derive(Debug)]
//! struct First(usize);
//!
//! impl fmt::Display for First {
//!     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
//!         write!(f, "First{}", self.0)
//!     }
//! }
//!
//! impl QuantizerSpec for First {
//!     fn nlist(&self) -> usize {
//!         self.0
//!     }
//!
//!     fn check(&self, _dim: usize, metric: Metric) -> Result<(), BuildError> {
//!         match metric {
//!             Metric::L2 => Ok(()),
//!             metric => Err(BuildError::Metric { kind: self.to_string(), metric }),
//!         }
//!     }
//!
//!     fn training_points(&self, _options: &TrainOptions<'_>) -> usize {
//!         self.0
//!     }
//!
//!     fn training_memory(&self, dim: usize, _metric: Metric, _points: usize, _options: &TrainOptions<'_>) -> usize {
//!         self.0 * dim * size_of::<f32>()
//!     }
//!
//!     fn train(
//!         &self,
//!         rows: AnyRows<'_>,
//!         _metric: Metric,
//!         _options: &TrainOptions<'_>,
//!     ) -> Result<(Arc<dyn Level1Quantizer>, TrainReport), TrainError> {
//!         if rows.len() < self.0 {
//!             return Err(TrainError::TooFew { who: format!("{} lists", self.0), needed: self.0, found: rows.len() });
//!         }
//!         let mut scratch = Vec::new();
//!         let centroids = rows.slice(0..self.0).to_f32(&mut scratch).as_slice().to_vec();
//!         Ok((Arc::new(Points { dim: rows.dim(), centroids }), TrainReport::default()))
//!     }
//! }
//!
//! /// The trained quantizer.
//! #[derive(Debug)]
//! struct Points {
//!     dim: usize,
//!     centroids: Vec<f32>,
//! }
//!
//! impl Centroids for Points {
//!     fn dim(&self) -> usize {
//!         self.dim
//!     }
//!
//!     fn nlist(&self) -> usize {
//!         self.centroids.len() / self.dim
//!     }
//!
//!     fn centroid(&self, list: ListNo, out: &mut [f32]) {
//!         out.copy_from_slice(&self.centroids[list.index() * self.dim..][..self.dim]);
//!     }
//! }
//!
//! impl Level1Quantizer for Points {
//!     fn tag(&self) -> &str {
//!         "first"
//!     }
//!
//!     fn assign(&self, rows: Rows<'_, f32>, nprobe: usize, params: &SearchParams<'_>) -> Result<Probes, SearchError> {
//!         params.only("a quantizer of first vectors", &Takes::default())?;
//!         params.check_cancel()?;
//!         if rows.dim() != self.dim {
//!             return Err(InputError::Dim { expected: self.dim, found: rows.dim() }.into());
//!         }
//!         if nprobe == 0 {
//!             return Err(SearchError::invalid("nprobe", "at least 1", nprobe));
//!         }
//!         let nprobe = nprobe.min(self.nlist());
//!         let (mut lists, mut distances) = (Vec::new(), Vec::new());
//!         for row in rows.iter() {
//!             let distance = |c: &[f32]| row.iter().zip(c).map(|(x, c)| (x - c) * (x - c)).sum::<f32>();
//!             let mut near: Vec<(f32, u32)> = self.centroids.chunks_exact(self.dim).map(distance).zip(0..).collect();
//!             near.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
//!             lists.extend(near[..nprobe].iter().map(|near| Some(ListNo(near.1))));
//!             distances.extend(near[..nprobe].iter().map(|near| near.0));
//!         }
//!         Probes::new(nprobe, lists, distances)
//!     }
//!
//!     fn promise(&self) -> Promise {
//!         Promise::EXACT
//!     }
//!
//!     fn spec(&self) -> Arc<dyn QuantizerSpec> {
//!         Arc::new(First(self.nlist()))
//!     }
//!
//!     fn metric(&self) -> Option<Metric> {
//!         Some(Metric::L2)
//!     }
//!
//!     fn as_permute(&self) -> Option<&dyn Permute> {
//!         Some(self)
//!     }
//!
//!     fn memory(&self) -> usize {
//!         self.centroids.capacity() * size_of::<f32>()
//!     }
//!
//!     fn export(&self) -> Result<Node<'_>, StoreError> {
//!         let mut node = Node::new(self.tag(), 0);
//!         node.push(NamedArray::borrowed("centroids", &[self.nlist() as u64, self.dim as u64], &self.centroids));
//!         Ok(node)
//!     }
//! }
//!
//! impl Permute for Points {
//!     fn permuted(&self, order: &[ListNo]) -> Arc<dyn Level1Quantizer> {
//!         assert_eq!(order_fault(self.nlist(), order), None);
//!         let mut centroids = vec![0.0; self.centroids.len()];
//!         for (list, centroid) in order.iter().zip(centroids.chunks_exact_mut(self.dim)) {
//!             self.centroid(*list, centroid);
//!         }
//!         Arc::new(Self { dim: self.dim, centroids })
//!     }
//! }
//!
//! // An inverted file over it. (A `QuantizerRow` would give it a token and a reader of files.)
//! let index = ivf_cpu::IvfIndex::new(1, Metric::L2, Arc::new(First(2)), Arc::new(ivf_cpu::codec::FlatSpec))?;
//! let mut index: Box<dyn Index> = Box::new(index);
//! index.train(Rows::new(&[0.0_f32, 10.0], 1)?)?;
//! index.add(Rows::new(&[1.0_f32, 9.0, 4.0], 1)?)?;
//! let found = index.search(Rows::new(&[5.5_f32], 1)?, 1, &SearchParams::new())?.hits;
//! assert_eq!(found.row(0).ids, [Id(1)]); // one probe, the list around 10, misses the 4
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::error::{BuildError, DecodeError, SearchError, TrainError};
use crate::id::ListNo;
use crate::metric::Metric;
use crate::node::Node;
use crate::param::Param;
use crate::params::{SearchParams, TrainOptions};
use crate::plan::Probes;
use crate::report::TrainReport;
use crate::rows::{AnyRows, Rows};
use std::fmt;
use std::sync::Arc;

/// The centroids of the lists, which a codec of residuals needs.
pub trait Centroids: Send + Sync + fmt::Debug {
    /// Returns the dimension of the centroids.
    fn dim(&self) -> usize;

    /// Returns the number of lists.
    fn nlist(&self) -> usize;

    /// Writes the centroid of `list` to `out` (`dim` elements).
    ///
    /// # Panics
    /// If `list >= nlist` or the length of `out` is not `dim`.
    fn centroid(&self, list: ListNo, out: &mut [f32]);

    /// Writes the centroids of consecutive lists, starting at `first`, to `out`, row after row.
    ///
    /// ```
    /// use ivf_core::{Centroids, ListNo, Metric, Rows};
    /// let centroids = [0.0, 10.0, 20.0];
    /// let quantizer = ivf_cpu::coarse::FlatQuantizer::from_centroids(Rows::new(&centroids, 1)?, Metric::L2)?;
    /// let mut last = [0.0; 2];
    /// quantizer.centroid_rows(ListNo(1), &mut last);
    /// assert_eq!(last, [10.0, 20.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    /// If `out` has more rows than there are lists from `first` on, or if `dim` does not divide its
    /// length.
    fn centroid_rows(&self, first: ListNo, out: &mut [f32]) {
        assert!(out.len().is_multiple_of(self.dim()), "rows of {} numbers", self.dim());
        for (list, row) in (first.0..).zip(out.chunks_exact_mut(self.dim())) {
            self.centroid(ListNo(list), row);
        }
    }
}

/// A single list whose centroid is the origin. The codec of an index without coarse quantizer is
/// bound to it.
///
/// ```
/// use ivf_core::quantizer::{Centroids, Origin};
/// use ivf_core::ListNo;
/// let origin = Origin { dim: 2 };
/// let mut centroid = [1.0; 2];
/// origin.centroid(ListNo(0), &mut centroid);
/// assert_eq!((origin.nlist(), centroid), (1, [0.0, 0.0]));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// Dimension of the centroid.
    pub dim: usize,
}

impl Centroids for Origin {
    fn dim(&self) -> usize {
        self.dim
    }

    fn nlist(&self) -> usize {
        1
    }

    fn centroid(&self, list: ListNo, out: &mut [f32]) {
        assert_eq!((list, out.len()), (ListNo(0), self.dim), "there is one list, of {} dimensions", self.dim);
        out.fill(0.0);
    }
}

/// What a quantizer guarantees about its probes, beyond the contract of
/// [`Level1Quantizer::assign`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Promise {
    /// The returned lists are the nearest ones. If false, they are only near ones, and a row may
    /// have fewer than requested. (Examples: a graph, an index that probes few of its own lists.)
    pub exact: bool,
    /// The lists for `k` probes begin with the lists for fewer probes. For example, the result of
    /// `assign` with 1 probe is a prefix of the result with `k`. An index that widens a search then
    /// scans only the additional lists.
    pub prefix: bool,
}

impl Promise {
    /// Exact lists. The prefix guarantee follows from it.
    pub const EXACT: Self = Self { exact: true, prefix: true };
    /// No guarantees.
    pub const NONE: Self = Self { exact: false, prefix: false };
}

/// A trained coarse quantizer, which assigns vectors to lists. (Faiss's `Level1Quantizer`.)
///
/// Implementations and callers rely on this contract. A quantizer is immutable; a caller that
/// changes it creates a new one. It is therefore shared by `Arc` and called from many threads.
/// Results do not depend on the number of threads or on how the rows are split into calls.
///
/// [The module](self) has an implementation.
///
/// ```
/// use ivf_core::{Level1Quantizer, ListNo, Metric, Promise, Rows, SearchParams};
/// let centroids = [0.0, 10.0, 20.0];
/// let quantizer = ivf_cpu::coarse::FlatQuantizer::from_centroids(Rows::new(&centroids, 1)?, Metric::L2)?;
/// let probes = quantizer.assign(Rows::new(&[12.0], 1)?, 2, &SearchParams::new())?;
/// assert!(probes.row(0).eq([(Some(ListNo(1)), 4.0), (Some(ListNo(2)), 64.0)]));
/// assert_eq!(quantizer.promise(), Promise::EXACT);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Level1Quantizer: Centroids {
    /// Returns the tag of the kind, which is used in files and in the node of
    /// [`export`](Self::export).
    fn tag(&self) -> &str;

    /// Returns the `nprobe` lists nearest to each row, nearest first. Ties are ordered by list
    /// number, and no list occurs twice in a row. [`promise`](Self::promise) tells whether the
    /// lists are exactly the nearest ones.
    ///
    /// Coarse distances are internal distances (smaller is closer) to the centroids, in the metric
    /// that the quantizer was trained for. At most `nlist` probes are returned per row. Probes that
    /// were not found are absent and come last.
    ///
    /// # Errors
    /// [`SearchError`] if the rows have another dimension, `nprobe` is 0, a parameter is not
    /// supported, or the caller cancelled.
    fn assign(&self, rows: Rows<'_, f32>, nprobe: usize, params: &SearchParams<'_>) -> Result<Probes, SearchError>;

    /// Returns what the quantizer guarantees about its probes.
    fn promise(&self) -> Promise;

    /// Returns the specification that the quantizer was trained from.
    fn spec(&self) -> Arc<dyn QuantizerSpec>;

    /// Returns the metric that the quantizer was trained for, or `None` if its results are the same
    /// for every metric.
    fn metric(&self) -> Option<Metric>;

    /// Returns the ability to renumber the lists, if the quantizer has it.
    fn as_permute(&self) -> Option<&dyn Permute> {
        None
    }

    /// Returns the memory that the quantizer takes, in bytes.
    fn memory(&self) -> usize;

    /// Exports the contents of the quantizer, for a file or another reader.
    ///
    /// # Errors
    /// [`StoreError`](crate::error::StoreError) if a list of an index inside it cannot be read.
    fn export(&self) -> Result<Node<'_>, crate::error::StoreError>;
}

/// The ability of a quantizer to renumber its lists.
pub trait Permute {
    /// Returns a quantizer with the same lists under new numbers. Its list `i` is list `order[i]`
    /// of this one.
    ///
    /// ```
    /// use ivf_core::{Level1Quantizer, ListNo, Metric, Rows};
    /// let centroids = [0.0, 10.0, 20.0];
    /// let quantizer = ivf_cpu::coarse::FlatQuantizer::from_centroids(Rows::new(&centroids, 1)?, Metric::L2)?;
    /// let permute = quantizer.as_permute().ok_or("its lists keep their numbers")?;
    /// let permuted = permute.permuted(&[2, 0, 1].map(ListNo));
    /// let mut rows = [0.0; 3];
    /// permuted.centroid_rows(ListNo(0), &mut rows);
    /// assert_eq!(rows, [20.0, 0.0, 10.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    /// If `order` does not name every list exactly once.
    fn permuted(&self, order: &[ListNo]) -> Arc<dyn Level1Quantizer>;
}

/// The specification of a coarse quantizer, which training turns into a quantizer. Displayed as its
/// factory token.
pub trait QuantizerSpec: Send + Sync + fmt::Debug + fmt::Display {
    /// Returns the number of lists.
    fn nlist(&self) -> usize;

    /// Checks, before any training, that the quantizer supports this dimension and metric.
    ///
    /// # Errors
    /// [`BuildError`] if it does not.
    fn check(&self, dim: usize, metric: Metric) -> Result<(), BuildError>;

    /// Returns the maximum number of training vectors. If given more, training samples this many.
    /// 0 means that it learns nothing from vectors, `usize::MAX` that it uses all of them.
    fn training_points(&self, options: &TrainOptions<'_>) -> usize;

    /// Returns the peak memory of training on `points` vectors of dimension `dim`, in bytes. The
    /// vectors themselves (as `f32`) are not counted.
    fn training_memory(&self, dim: usize, metric: Metric, points: usize, options: &TrainOptions<'_>) -> usize;

    /// Returns the memory of the trained quantizer for vectors of dimension `dim`, in bytes. The
    /// default is that of a centroid of `f32` for each list.
    ///
    /// ```
    /// let registry = ivf_factory::default_registry();
    /// let memory = |token| registry.quantizer_spec("example", token).map(|spec| spec.trained_memory(8));
    /// assert_eq!(memory("IVF16")?, 16 * 8 * 4);
    /// // 16 centroids of 4 dimensions for each half, and 256 lists.
    /// assert_eq!(memory("IMI2x4")?, 2 * 16 * 4 * 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn trained_memory(&self, dim: usize) -> usize {
        self.nlist().saturating_mul(dim.saturating_mul(size_of::<f32>()))
    }

    /// Returns the parameters of [`Level1Quantizer::assign`]. An index exposes them as knobs of its
    /// part `quantizer`, and accepts them in each search as `quantizer_<name>`.
    ///
    /// ```
    /// use ivf_core::Metric;
    /// let registry = ivf_factory::default_registry();
    /// // The inverted file `IVF4,Flat` searches these 16 centroids, and it has parameters.
    /// let spec = registry.quantizer_spec("example", "IVF16(IVF4,Flat)")?;
    /// assert!(spec.params(8, Metric::L2).iter().any(|param| param.is_named("nprobe")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn params(&self, _dim: usize, _metric: Metric) -> Vec<Param> {
        Vec::new()
    }

    /// Learns the lists from vectors. All vectors are finite.
    ///
    /// # Errors
    /// [`TrainError`] if there are too few vectors, or the caller cancelled.
    fn train(
        &self,
        rows: AnyRows<'_>,
        metric: Metric,
        options: &TrainOptions<'_>,
    ) -> Result<(Arc<dyn Level1Quantizer>, TrainReport), TrainError>;
}

/// Checks that `order` names each of `nlist` lists exactly once, and returns `None` if so.
///
/// Otherwise returns the first list in `order` that occurs a second time or does not exist. If the
/// length of `order` is not `nlist`, returns that length as a list number.
///
/// ```
/// use ivf_core::{ListNo, quantizer::order_fault};
/// assert_eq!(order_fault(3, &[2, 0, 1].map(ListNo)), None);
/// assert_eq!(order_fault(3, &[2, 0, 2].map(ListNo)), Some(ListNo(2))); // twice
/// assert_eq!(order_fault(3, &[0, 1, 7].map(ListNo)), Some(ListNo(7))); // does not exist
/// ```
pub fn order_fault(nlist: usize, order: &[ListNo]) -> Option<ListNo> {
    if order.len() != nlist {
        return Some(ListNo(order.len() as u32));
    }
    let mut seen = vec![false; nlist];
    order.iter().copied().find(|list| seen.get_mut(list.index()).is_none_or(|seen| std::mem::replace(seen, true)))
}

/// Returns the number of bytes of a list number in a standalone code: as many as `nlist - 1` needs,
/// and 0 for a single list. (Faiss's `coarse_code_size`.)
///
/// ```
/// use ivf_core::ListNo;
/// use ivf_core::quantizer::{decode_list, encode_list, list_code_size};
/// assert_eq!([1, 256, 257].map(list_code_size), [0, 1, 2]);
/// let mut code = [0; 2];
/// encode_list(ListNo(258), &mut code);
/// assert_eq!(code, [2, 1]);
/// assert_eq!(decode_list(300, &code)?, ListNo(258));
/// assert!(decode_list(258, &code).is_err()); // the lists are 0 to 257
/// # Ok::<(), ivf_core::error::DecodeError>(())
/// ```
pub fn list_code_size(nlist: usize) -> usize {
    let last = nlist.saturating_sub(1) as u64;
    (64 - last.leading_zeros() as usize).div_ceil(8)
}

/// Writes a list number as [`list_code_size`] bytes, little-endian.
///
/// # Panics
/// If `code` is longer than 8 bytes.
pub fn encode_list(list: ListNo, code: &mut [u8]) {
    code.copy_from_slice(&u64::from(list.0).to_le_bytes()[..code.len()]);
}

/// Reads a list number that [`encode_list`] wrote.
///
/// # Errors
/// [`DecodeError::Value`] if the number is not below `nlist`.
///
/// # Panics
/// If `code` is longer than 8 bytes.
pub fn decode_list(nlist: usize, code: &[u8]) -> Result<ListNo, DecodeError> {
    let mut bytes = [0; 8];
    bytes[..code.len()].copy_from_slice(code);
    let list = u64::from_le_bytes(bytes);
    if list >= nlist as u64 {
        return Err(DecodeError::value("code", format!("it names list {list}, but there are {nlist} lists")));
    }
    u32::try_from(list)
        .map(ListNo)
        .map_err(|_| DecodeError::value("code", format!("it names list {list}, which does not fit 32 bits")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_numbers_take_as_many_bytes_as_faiss_gives_them() {
        for (nlist, bytes) in [(1, 0), (2, 1), (256, 1), (257, 2), (65536, 2), (65537, 3), (1 << 24, 3)] {
            assert_eq!(list_code_size(nlist), bytes, "{nlist}");
            let last = ListNo(nlist as u32 - 1);
            let mut code = vec![0; bytes];
            encode_list(last, &mut code);
            assert_eq!(decode_list(nlist, &code).unwrap(), last);
            assert!(nlist == 1 || decode_list(nlist - 1, &code).is_err());
        }
    }
}
