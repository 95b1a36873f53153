//! Which lists a query scans, and how much of each: what every way of searching shares.

use crate::error::SearchError;
use crate::id::ListNo;

/// The lists nearest to each query, nearest first: what a coarse quantizer answers, `n x nprobe`.
///
/// A probe may be absent (a quantizer that found fewer lists, or a caller's own choice).
#[derive(Clone, Debug, PartialEq)]
pub struct Probes {
    nprobe: usize,
    lists: Vec<Option<ListNo>>,
    distances: Vec<f32>,
}

impl Probes {
    /// `n x nprobe` lists with their coarse distances (smaller is closer), row after row.
    ///
    /// # Errors
    /// [`SearchError::InvalidParam`] if `nprobe` is zero, [`SearchError::Probes`] if the two differ
    /// in length or do not divide into rows.
    pub fn new(nprobe: usize, lists: Vec<Option<ListNo>>, distances: Vec<f32>) -> Result<Self, SearchError> {
        if nprobe == 0 {
            return Err(SearchError::invalid("nprobe", "at least 1", 0));
        }
        if lists.len() != distances.len() || !lists.len().is_multiple_of(nprobe) {
            return Err(SearchError::Probes { nprobe, lists: lists.len(), distances: distances.len() });
        }
        Ok(Self { nprobe, lists, distances })
    }

    /// Number of queries.
    pub fn len(&self) -> usize {
        self.lists.len() / self.nprobe
    }

    /// True if there is no query.
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// Probes for each query.
    pub fn nprobe(&self) -> usize {
        self.nprobe
    }

    /// The probes of query `i` with their coarse distances.
    ///
    /// # Panics
    /// If `i >= len`.
    pub fn row(&self, i: usize) -> impl ExactSizeIterator<Item = (Option<ListNo>, f32)> {
        let range = i * self.nprobe..(i + 1) * self.nprobe;
        self.lists[range.clone()].iter().copied().zip(self.distances[range].iter().copied())
    }
}

/// One piece of a plan: scan the first `prefix` codes of a list.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct PlannedProbe {
    /// The list.
    pub list: ListNo,
    /// How many of its codes, at least 1.
    pub prefix: u32,
    /// The query's distance from the list's centroid, as the coarse quantizer gave it.
    pub coarse_distance: f32,
}

/// For each query the lists to scan and how much of each, fixed before any scanning: query-major search, list-major batches,
/// GPUs, disks and shards all work from it, so that they agree. It can be sent (serde).
///
/// [`Limits`] are spent here, in probe order and before any filter: the last list is cut to what is left of the codes.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Untrusted")]
pub struct SearchPlan {
    starts: Vec<usize>,
    probes: Vec<PlannedProbe>,
}

/// A plan as it was received.
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
            return Err("the rows of a search plan do not divide its probes");
        }
        if plan.probes.iter().any(|probe| probe.prefix == 0) {
            return Err("a planned probe scans at least one code");
        }
        Ok(Self { starts: plan.starts, probes: plan.probes })
    }
}

/// How much of its probes a query scans. Nothing is limited by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// So many of the first probes.
    pub nprobe: usize,
    /// So many lists with codes.
    pub lists: usize,
    /// So many codes, filtered out or not.
    pub codes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { nprobe: usize::MAX, lists: usize::MAX, codes: usize::MAX }
    }
}

impl SearchPlan {
    /// Plans `probes` over lists whose lengths `list_len` tells, each query within its `limits`; empty lists and absent probes are left
    /// out.
    ///
    /// # Errors
    /// [`SearchError::NoSuchList`] for a probe past the last list (also one past the limits), or what `list_len` says.
    pub fn new(
        probes: &Probes,
        nlist: usize,
        limits: impl Fn(usize) -> Limits,
        mut list_len: impl FnMut(ListNo) -> Result<usize, SearchError>,
    ) -> Result<Self, SearchError> {
        let mut plan = Self { starts: vec![0], probes: Vec::new() };
        for row in 0..probes.len() {
            let limits = limits(row);
            let (mut lists, mut codes) = (limits.lists, limits.codes);
            for (place, (list, coarse_distance)) in probes.row(row).enumerate() {
                let Some(list) = list else { continue };
                if list.index() >= nlist {
                    return Err(SearchError::NoSuchList { row, list, nlist });
                }
                if place >= limits.nprobe || lists == 0 || codes == 0 {
                    continue;
                }
                let prefix = list_len(list)?.min(codes);
                if prefix > 0 {
                    codes -= prefix;
                    lists -= 1;
                    plan.probes.push(PlannedProbe { list, prefix: prefix as u32, coarse_distance });
                }
            }
            plan.starts.push(plan.probes.len());
        }
        Ok(plan)
    }

    /// A plan of rows: for each query what it scans, in order.
    pub fn from_rows<'r>(rows: impl IntoIterator<Item = &'r [PlannedProbe]>) -> Self {
        let mut plan = Self { starts: vec![0], probes: Vec::new() };
        for row in rows {
            plan.probes.extend_from_slice(row);
            plan.starts.push(plan.probes.len());
        }
        plan
    }

    /// Number of queries.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// True if there is no query.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The probes of query `i`, in probe order.
    ///
    /// # Panics
    /// If `i >= len`.
    pub fn row(&self, i: usize) -> &[PlannedProbe] {
        &self.probes[self.starts[i]..self.starts[i + 1]]
    }

    /// Probes of all queries.
    pub fn probes(&self) -> &[PlannedProbe] {
        &self.probes
    }

    /// Codes that all queries together will pass over.
    pub fn codes(&self) -> u64 {
        self.probes.iter().map(|probe| u64::from(probe.prefix)).sum()
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
        let prefixes = |limits| plan(limits).row(0).iter().map(|p| (p.list.0, p.prefix)).collect::<Vec<_>>();
        let codes = |codes| Limits { codes, ..Limits::default() };
        assert_eq!(prefixes(Limits::default()), [(2, 5), (0, 10)]);
        assert_eq!(prefixes(codes(7)), [(2, 5), (0, 2)]);
        assert_eq!(prefixes(codes(5)), [(2, 5)]);
        assert_eq!(plan(codes(7)).codes(), 7);
        assert_eq!(prefixes(Limits { lists: 1, ..Limits::default() }), [(2, 5)]);
        assert_eq!(prefixes(Limits { nprobe: 2, ..Limits::default() }), [(2, 5)]);
        assert_eq!(prefixes(Limits { nprobe: 0, ..Limits::default() }), []);
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
