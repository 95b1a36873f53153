//! Coarse quantizers: which list a vector belongs to, which lists a query should look into.

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

/// The centre of each list, as a codec of residuals needs it.
pub trait Centroids: Send + Sync + fmt::Debug {
    /// Dimension of the centroids.
    fn dim(&self) -> usize;

    /// How many lists.
    fn nlist(&self) -> usize;

    /// Writes the centroid of `list` to `out` (`dim` places).
    ///
    /// # Panics
    /// If `list >= nlist` or `out` has another length.
    fn centroid(&self, list: ListNo, out: &mut [f32]);

    /// Writes the centroids of the lists from `first` on to `out`, row after row.
    ///
    /// # Panics
    /// If there are fewer lists, or `out` is not of whole rows.
    fn centroid_rows(&self, first: ListNo, out: &mut [f32]) {
        assert!(out.len().is_multiple_of(self.dim()), "rows of {} numbers", self.dim());
        for (list, row) in (first.0..).zip(out.chunks_exact_mut(self.dim())) {
            self.centroid(ListNo(list), row);
        }
    }
}

/// One list around the origin: what the codec of an index without coarse quantizer is bound to.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// Dimension of the origin.
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
        assert_eq!((list, out.len()), (ListNo(0), self.dim), "one list of {} dimensions", self.dim);
        out.fill(0.0);
    }
}

/// What a quantizer promises of its probes beyond the contract of [`Level1Quantizer::assign`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Promise {
    /// The lists it names are the nearest ones. Without it they are near (a graph, an index that
    /// probes few of its own lists), and a row may have fewer.
    pub exact: bool,
    /// The lists for `k` probes begin with those for fewer: `assign(1)` begins `assign(k)`. An
    /// index that widens a search then scans only what is new.
    pub prefix: bool,
}

impl Promise {
    /// Exact: then it has prefixes too.
    pub const EXACT: Self = Self { exact: true, prefix: true };
    /// No promise.
    pub const NONE: Self = Self { exact: false, prefix: false };
}

/// A trained coarse quantizer: assigns vectors to lists. (Faiss's `Level1Quantizer`.)
///
/// Both sides may rely on: a quantizer never changes once made (who replaces it makes a new one), so it is shared by `Arc` and
/// called from many threads; answers do not depend on the number of threads or on how the rows are cut up.
pub trait Level1Quantizer: Centroids {
    /// The tag of its kind, in files and of [`export`](Self::export)'s node.
    fn tag(&self) -> &str;

    /// The `nprobe` lists nearest to each row (as near as [`promise`](Self::promise) says), nearest
    /// first, ties by list number, no list twice. Coarse distances are the inner ones (smaller is
    /// closer) of the metric it was trained for, to the centroids. At most `nlist` probes come back
    /// for each row; those that it does not find are absent, and stand last.
    ///
    /// # Errors
    /// [`SearchError`]: rows of another dimension, `nprobe` 0, a parameter it does not take,
    /// cancelled.
    fn assign(&self, rows: Rows<'_, f32>, nprobe: usize, params: &SearchParams<'_>) -> Result<Probes, SearchError>;

    /// What it promises of its probes.
    fn promise(&self) -> Promise;

    /// The specification it was trained from.
    fn spec(&self) -> Arc<dyn QuantizerSpec>;

    /// The metric it was trained for; `None` if its answers are the same for every metric.
    fn metric(&self) -> Option<Metric>;

    /// The ability to give its lists other numbers.
    fn as_permute(&self) -> Option<&dyn Permute> {
        None
    }

    /// Bytes of memory it takes.
    fn memory(&self) -> usize;

    /// The quantizer for a file or another reader of its insides.
    ///
    /// # Errors
    /// [`StoreError`](crate::error::StoreError) if a list of an index inside it cannot be read.
    fn export(&self) -> Result<Node<'_>, crate::error::StoreError>;
}

/// The ability of a quantizer to give its lists other numbers.
pub trait Permute {
    /// The same lists under other numbers: list `i` is what is list `order[i]` here.
    ///
    /// # Panics
    /// If `order` does not name every list once.
    fn permuted(&self, order: &[ListNo]) -> Arc<dyn Level1Quantizer>;
}

/// What a coarse quantizer shall be: trains into one. Displayed as its factory token.
pub trait QuantizerSpec: Send + Sync + fmt::Debug + fmt::Display {
    /// How many lists.
    fn nlist(&self) -> usize;

    /// Says whether it can work with this dimension and metric, before anything is trained.
    ///
    /// # Errors
    /// [`BuildError`].
    fn check(&self, dim: usize, metric: Metric) -> Result<(), BuildError>;

    /// How many training vectors it uses at most: of more, it draws this many. 0 if it learns
    /// nothing from vectors, `usize::MAX` if it uses all there are.
    fn training_points(&self, options: &TrainOptions<'_>) -> usize;

    /// Bytes of memory that training on `points` vectors of `dim` takes at its peak, beside those vectors (as `f32`).
    fn training_memory(&self, dim: usize, metric: Metric, points: usize, options: &TrainOptions<'_>) -> usize;

    /// The parameters of [`Level1Quantizer::assign`]: an index shows them as knobs of its part
    /// `quantizer`, and takes them in each search as `quantizer_<name>`.
    fn params(&self, _dim: usize, _metric: Metric) -> Vec<Param> {
        Vec::new()
    }

    /// Learns the lists from vectors (all finite).
    ///
    /// # Errors
    /// [`TrainError`]: too few vectors, cancelled.
    fn train(
        &self,
        rows: AnyRows<'_>,
        metric: Metric,
        options: &TrainOptions<'_>,
    ) -> Result<(Arc<dyn Level1Quantizer>, TrainReport), TrainError>;
}

/// The first list that an order of `nlist` lists names twice, or that is not there; `None` if it names every list once. An order of
/// another length is at fault with the number of lists that it has.
pub fn order_fault(nlist: usize, order: &[ListNo]) -> Option<ListNo> {
    if order.len() != nlist {
        return Some(ListNo(order.len() as u32));
    }
    let mut seen = vec![false; nlist];
    order.iter().copied().find(|list| seen.get_mut(list.index()).is_none_or(|seen| std::mem::replace(seen, true)))
}

/// Bytes that name a list in a standalone code: as many as `nlist - 1` needs, none for one list. (Faiss's
/// `coarse_code_size`.)
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

/// Reads what [`encode_list`] wrote.
///
/// # Errors
/// [`DecodeError::Value`] if there is no such list.
///
/// # Panics
/// If `code` is longer than 8 bytes.
pub fn decode_list(nlist: usize, code: &[u8]) -> Result<ListNo, DecodeError> {
    let mut bytes = [0; 8];
    bytes[..code.len()].copy_from_slice(code);
    let list = u64::from_le_bytes(bytes);
    if list >= nlist as u64 {
        return Err(DecodeError::value("code", format!("it names list {list} of {nlist}")));
    }
    u32::try_from(list).map(ListNo).map_err(|_| DecodeError::value("code", format!("it names list {list}")))
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
