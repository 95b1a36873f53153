//! Search plans: the lists that each query scans, and the number of codes in each. Every search
//! mode works from a plan.

use crate::error::SearchError;
use crate::id::ListNo;

/// The result of a coarse quantizer: for each of `n` queries the `nprobe` nearest lists, nearest
/// first.
///
/// A probe may be absent, because the quantizer found fewer lists or because the caller left it
/// out.
///
/// Two probes for each of two queries. For the second query, one list was found:
///
/// ```
/// use ivf_core::{ListNo, Probes};
/// let lists = [Some(4), Some(1), Some(2), None].map(|list| list.map(ListNo));
/// let probes = Probes::new(2, lists.to_vec(), vec![0.5, 1.5, 3.0, f32::INFINITY])?;
/// assert_eq!((probes.len(), probes.nprobe(), probes.is_empty()), (2, 2, false));
/// assert!(probes.row(0).eq([(Some(ListNo(4)), 0.5), (Some(ListNo(1)), 1.5)]));
/// assert_eq!(probes.row(1).filter(|(list, _)| list.is_some()).count(), 1);
/// # Ok::<(), ivf_core::error::SearchError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Probes {
    nprobe: usize,
    lists: Vec<Option<ListNo>>,
    distances: Vec<f32>,
}

impl Probes {
    /// Creates probes from `n x nprobe` lists and their coarse distances (smaller is closer), row
    /// after row.
    ///
    /// # Errors
    /// [`SearchError::InvalidParam`] if `nprobe` is zero. [`SearchError::Probes`] if `lists` and
    /// `distances` differ in length, or if `nprobe` does not divide their length.
    pub fn new(nprobe: usize, lists: Vec<Option<ListNo>>, distances: Vec<f32>) -> Result<Self, SearchError> {
        if nprobe == 0 {
            return Err(SearchError::invalid("nprobe", "at least 1", 0));
        }
        if lists.len() != distances.len() || !lists.len().is_multiple_of(nprobe) {
            return Err(SearchError::Probes { nprobe, lists: lists.len(), distances: distances.len() });
        }
        Ok(Self { nprobe, lists, distances })
    }

    /// Returns the probes with none for the queries `rows`.
    ///
    /// ```
    /// use ivf_core::{ListNo, Probes};
    /// let probes = Probes::new(1, vec![Some(ListNo(4)), Some(ListNo(2))], vec![0.5, 1.5])?;
    /// // Query 0 scans no list. The other keeps its number.
    /// let probes = probes.without_rows(&[0]);
    /// assert!(probes.row(0).all(|(list, _)| list.is_none()));
    /// assert!(probes.row(1).eq([(Some(ListNo(2)), 1.5)]));
    /// # Ok::<(), ivf_core::error::SearchError>(())
    /// ```
    ///
    /// # Panics
    /// If there is no such query.
    #[must_use]
    pub fn without_rows(mut self, rows: &[usize]) -> Self {
        for row in rows {
            self.lists[row * self.nprobe..(row + 1) * self.nprobe].fill(None);
        }
        self
    }

    /// Returns the number of queries.
    pub fn len(&self) -> usize {
        self.lists.len() / self.nprobe
    }

    /// Returns true if there are no queries.
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// Returns the number of probes per query.
    pub fn nprobe(&self) -> usize {
        self.nprobe
    }

    /// Returns the probes of query `i` with their coarse distances.
    ///
    /// # Panics
    /// If `i >= len`.
    pub fn row(&self, i: usize) -> impl ExactSizeIterator<Item = (Option<ListNo>, f32)> {
        let range = i * self.nprobe..(i + 1) * self.nprobe;
        self.lists[range.clone()].iter().copied().zip(self.distances[range].iter().copied())
    }
}

/// One step of a plan: a scan of the first codes of a list.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct PlannedProbe {
    /// The list.
    pub list: ListNo,
    /// Number of codes to scan, from the start of the list; at least 1.
    pub codes: u32,
    /// The query's distance from the list's centroid, as the coarse quantizer returned it.
    pub coarse_distance: f32,
}

/// For each query, the lists to scan and the number of codes in each, fixed before any scanning.
///
/// Query-major search, list-major batches, GPUs, disks and shards all work from the same plan, so
/// that they agree. A plan can be sent to another process (serde).
///
/// [`Limits`] are applied here, in probe order and before any filter. If `max_codes` ends within a
/// list, the plan scans only the first codes of that list.
///
/// ```
/// use ivf_core::{Limits, ListNo, Probes, SearchPlan};
/// let probes = Probes::new(2, vec![Some(ListNo(0)), Some(ListNo(1))], vec![0.5, 1.5])?;
/// let limits = Limits { max_codes: 12, ..Limits::default() };
/// let lens = [10, 7];
/// let plan = SearchPlan::new(&probes, 2, |_query| limits, |list| Ok(lens[list.index()]))?;
/// let steps: Vec<(u32, u32)> = plan.row(0).iter().map(|step| (step.list.0, step.codes)).collect();
/// assert_eq!(steps, [(0, 10), (1, 2)]); // all of list 0, and the first two of list 1
/// assert_eq!((plan.len(), plan.codes()), (1, 12));
///
/// // A second round scans what the first one left.
/// let first = SearchPlan::from_rows([&plan.row(0)[..1]]);
/// let second = SearchPlan::from_rows([&plan.row(0)[1..]]);
/// assert!(!second.is_empty());
/// assert_eq!([first.probes(), second.probes()].concat(), plan.probes());
/// # Ok::<(), ivf_core::error::SearchError>(())
/// ```
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Untrusted")]
pub struct SearchPlan {
    starts: Vec<usize>,
    probes: Vec<PlannedProbe>,
}

/// A plan as it was received, before validation.
#[derive(serde::Deserialize)]
struct Untrusted {
    starts: Vec<usize>,
    probes: Vec<PlannedProbe>,
}

impl TryFrom<Untrusted> for SearchPlan {
    type Error = &'static str;

    fn try_from(plan: Untrusted) -> Result<Self, &'static str> {
        let ends = (plan.starts.first(), plan.starts.last());
        if ends != (Some(&0), Some(&plan.probes.len())) || !plan.starts.is_sorted() {
            return Err("the row starts of a search plan do not match its probes");
        }
        if plan.probes.iter().any(|probe| probe.codes == 0) {
            return Err("a planned probe must scan at least one code");
        }
        Ok(Self { starts: plan.starts, probes: plan.probes })
    }
}

/// Limits of the scan of one query. By default there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Number of probes to scan, from the first on.
    pub nprobe: usize,
    /// Maximum number of lists to scan. Empty lists do not count.
    pub max_lists: usize,
    /// Maximum number of codes to scan, counted before the filter.
    pub max_codes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { nprobe: usize::MAX, max_lists: usize::MAX, max_codes: usize::MAX }
    }
}

impl SearchPlan {
    /// Plans the scans for `probes`, each query within its `limits`. `list_len` returns the length
    /// of a list. Empty lists and absent probes are left out.
    ///
    /// # Errors
    /// [`SearchError::NoSuchList`] for a probe of a list past the last one, even beyond the limits.
    /// Errors of `list_len` are passed on.
    pub fn new(
        probes: &Probes,
        nlist: usize,
        limits: impl Fn(usize) -> Limits,
        mut list_len: impl FnMut(ListNo) -> Result<usize, SearchError>,
    ) -> Result<Self, SearchError> {
        let mut plan = Self { starts: vec![0], probes: Vec::new() };
        for row in 0..probes.len() {
            let limits = limits(row);
            let (mut lists, mut codes) = (limits.max_lists, limits.max_codes);
            for (place, (list, coarse_distance)) in probes.row(row).enumerate() {
                let Some(list) = list else { continue };
                if list.index() >= nlist {
                    return Err(SearchError::NoSuchList { row, list, nlist });
                }
                if place >= limits.nprobe || lists == 0 || codes == 0 {
                    continue;
                }
                let scanned = list_len(list)?.min(codes);
                if scanned > 0 {
                    codes -= scanned;
                    lists -= 1;
                    plan.probes.push(PlannedProbe { list, codes: scanned as u32, coarse_distance });
                }
            }
            plan.starts.push(plan.probes.len());
        }
        Ok(plan)
    }

    /// Creates a plan from one row per query: its scans, in order.
    pub fn from_rows<'r>(rows: impl IntoIterator<Item = &'r [PlannedProbe]>) -> Self {
        let mut plan = Self { starts: vec![0], probes: Vec::new() };
        for row in rows {
            plan.probes.extend_from_slice(row);
            plan.starts.push(plan.probes.len());
        }
        plan
    }

    /// Returns the number of queries.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Returns true if there are no queries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the probes of query `i`, in probe order.
    ///
    /// # Panics
    /// If `i >= len`.
    pub fn row(&self, i: usize) -> &[PlannedProbe] {
        &self.probes[self.starts[i]..self.starts[i + 1]]
    }

    /// Returns the probes of all queries.
    pub fn probes(&self) -> &[PlannedProbe] {
        &self.probes
    }

    /// Returns the total number of codes to scan, over all queries.
    pub fn codes(&self) -> u64 {
        self.probes.iter().map(|probe| u64::from(probe.codes)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_codes_is_spent_in_probe_order() {
        let lists = [Some(2), None, Some(0), Some(1)].map(|no| no.map(ListNo));
        let probes = Probes::new(4, lists.to_vec(), vec![0.0; 4]).unwrap();
        let lens = [10, 0, 5];
        let plan = |limits| SearchPlan::new(&probes, 3, |_| limits, |list| Ok(lens[list.index()])).unwrap();
        let steps = |limits| plan(limits).row(0).iter().map(|p| (p.list.0, p.codes)).collect::<Vec<_>>();
        let codes = |max_codes| Limits { max_codes, ..Limits::default() };
        assert_eq!(steps(Limits::default()), [(2, 5), (0, 10)]);
        assert_eq!(steps(codes(7)), [(2, 5), (0, 2)]);
        assert_eq!(steps(codes(5)), [(2, 5)]);
        assert_eq!(plan(codes(7)).codes(), 7);
        assert_eq!(steps(Limits { max_lists: 1, ..Limits::default() }), [(2, 5)]);
        assert_eq!(steps(Limits { nprobe: 2, ..Limits::default() }), [(2, 5)]);
        assert_eq!(steps(Limits { nprobe: 0, ..Limits::default() }), []);
        let whole = plan(Limits::default());
        let tail = SearchPlan::from_rows([&whole.row(0)[1..], &[]]);
        assert_eq!((tail.len(), tail.row(0), tail.codes()), (2, &whole.row(0)[1..], 10));
    }

    #[test]
    fn bad_probes_are_errors() {
        assert!(Probes::new(0, vec![], vec![]).is_err());
        for (nprobe, lists, distances) in [(2, 3, 3), (1, 3, 2)] {
            let error = Probes::new(nprobe, vec![None; lists], vec![0.0; distances]).unwrap_err();
            let SearchError::Probes { nprobe: probes, lists: found, distances: beside } = error else {
                panic!("{error}");
            };
            assert_eq!((probes, found, beside), (nprobe, lists, distances));
        }
        let past = Probes::new(1, vec![Some(ListNo(0)), Some(ListNo(3))], vec![0.0; 2]).unwrap();
        let error = SearchPlan::new(&past, 3, |_| Limits { nprobe: 0, ..Limits::default() }, |_| Ok(1)).unwrap_err();
        assert!(matches!(error, SearchError::NoSuchList { row: 1, list: ListNo(3), nlist: 3 }));
    }
}
