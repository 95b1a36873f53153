//! A plain inverted-file index: fixed centroids, vectors in lists, searched by the oracle's distances.

use crate::assert_caught;
use ivf_core::ability::RangeSearch;
use ivf_core::error::{BuildError, KnobError, ReconstructError, SearchError, StoreError, TrainError};
use ivf_core::index_ivf::{check_k, check_radius};
use ivf_core::part::unknown_knob;
use ivf_core::{
    AnyRows, Centroids, Hits, Id, Index, IndexIvf, InvertedLists, KnobValue, Level1Quantizer, Limits, ListNo, Location,
    Metric, Neighbor, Node, ParallelMode, Part, Probes, QuantizerSpec, Rows, SearchParams, SearchPlan, SearchResult,
    SearchStats, Sink, SpecText, TrainOptions, TrainReport,
};
use ivf_testkit::centroids::FixedCentroids;
use ivf_testkit::data::{Vectors, clusters};
use ivf_testkit::indexes::{check_modes, check_preassigned};
use ivf_testkit::oracle::distance;
use std::fmt;
use std::sync::Arc;

#[derive(Clone, Debug)]
struct Quantizer(FixedCentroids);

impl Centroids for Quantizer {
    fn dim(&self) -> usize {
        self.0.dim()
    }
    fn nlist(&self) -> usize {
        self.0.nlist()
    }
    fn centroid(&self, list: ListNo, out: &mut [f32]) {
        self.0.centroid(list, out);
    }
}

impl Level1Quantizer for Quantizer {
    fn assign(&self, rows: Rows<'_, f32>, nprobe: usize, _: &SearchParams<'_>) -> Result<Probes, SearchError> {
        let nprobe = nprobe.min(self.nlist());
        let (mut lists, mut distances) = (Vec::new(), Vec::new());
        for row in rows.iter() {
            let centroids = self.0.0.rows();
            let mut all: Vec<(f32, u32)> =
                (0..).zip(centroids.iter()).map(|(no, c)| (distance(Metric::L2, row, c), no)).collect();
            all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            lists.extend(all[..nprobe].iter().map(|&(_, no)| Some(ListNo(no))));
            distances.extend(all[..nprobe].iter().map(|&(d, _)| d));
        }
        Probes::new(nprobe, lists, distances)
    }
    fn spec(&self) -> Arc<dyn QuantizerSpec> {
        Arc::new(Spec(self.nlist()))
    }
    fn metric(&self) -> Option<Metric> {
        Some(Metric::L2)
    }
    fn permuted(&self, order: &[ListNo]) -> Arc<dyn Level1Quantizer> {
        let rows = self.0.0.rows();
        let data = order.iter().flat_map(|list| rows.row(list.index())).copied().collect();
        Arc::new(Self(FixedCentroids(Vectors { data, dim: self.dim() })))
    }
    fn memory(&self) -> usize {
        0
    }
    fn export(&self) -> Node<'_> {
        Node::new("naive", 0, &())
    }
    fn with_knob(&self, name: &str, _: KnobValue) -> Result<Arc<dyn Level1Quantizer>, KnobError> {
        Err(unknown_knob(name, &[]))
    }
}

#[derive(Debug)]
struct Spec(usize);

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Naive{}", self.0)
    }
}

impl QuantizerSpec for Spec {
    fn nlist(&self) -> usize {
        self.0
    }
    fn check(&self, _: usize, _: Metric) -> Result<(), BuildError> {
        Ok(())
    }
    fn training_points(&self, _: &TrainOptions<'_>) -> usize {
        usize::MAX
    }
    fn training_memory(&self, _: usize, _: Metric, _: usize, _: &TrainOptions<'_>) -> usize {
        0
    }
    fn train(
        &self,
        rows: AnyRows<'_>,
        _: Metric,
        _: &TrainOptions<'_>,
    ) -> Result<(Arc<dyn Level1Quantizer>, TrainReport), TrainError> {
        Err(TrainError::TooFew { needed: self.0, found: rows.len() })
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    StartsSinksAnew,
    IgnoresNprobe,
    SkipsBadProbes,
    CutsByQuery,
}

#[derive(Debug)]
struct NaiveIvf {
    quantizer: Arc<dyn Level1Quantizer>,
    lists: Vec<Vec<(Id, Vec<f32>)>>,
    fault: Fault,
}

impl NaiveIvf {
    fn new(n: usize, dim: usize, fault: Fault) -> Self {
        let quantizer = Quantizer(FixedCentroids(clusters(1, 8, dim, 8)));
        let mut lists = vec![Vec::new(); 8];
        for (id, vector) in clusters(2, n, dim, 8).rows().iter().enumerate() {
            let row = Rows::new(vector, dim).expect("one row");
            let probes = quantizer.assign(row, 1, &SearchParams::new()).expect("assigned");
            let list = probes.row(0).next().and_then(|(list, _)| list).expect("one list");
            lists[list.index()].push((Id(id as i64), vector.to_vec()));
        }
        Self { quantizer: Arc::new(quantizer), lists, fault }
    }

    fn find(&self, queries: AnyRows<'_>, empty: Sink, params: &SearchParams<'_>) -> Result<SearchResult, SearchError> {
        params.only("naive ivf", &["nprobe", "max_codes", "selector", "mode", "locations"])?;
        let probes = self.assign(queries, params.nprobe.unwrap_or(1), &SearchParams::new())?;
        let mut rest = *params;
        rest.nprobe = None;
        let mut sinks = vec![empty; queries.len()];
        let stats = self.search_preassigned_into(queries, &probes, &mut sinks, &rest)?;
        let hits = Hits::from_sinks(self.metric(), sinks, params.locations.unwrap_or(false));
        Ok(SearchResult::new(hits, stats))
    }
}

impl Index for NaiveIvf {
    fn dim(&self) -> usize {
        self.quantizer.dim()
    }
    fn metric(&self) -> Metric {
        Metric::L2
    }
    fn len(&self) -> usize {
        self.lists.iter().map(Vec::len).sum()
    }
    fn is_trained(&self) -> bool {
        true
    }
    fn spec_text(&self) -> SpecText {
        SpecText::base("Naive8,Flat")
    }
    fn search(&self, queries: AnyRows<'_>, k: usize, params: &SearchParams<'_>) -> Result<SearchResult, SearchError> {
        check_k(k)?;
        self.find(queries, Sink::top_k(k), params)
    }
    fn parts(&self) -> Vec<Part> {
        Vec::new()
    }
    fn set_knob(&mut self, name: &str, _: KnobValue) -> Result<(), KnobError> {
        Err(unknown_knob(name, &[]))
    }
    fn memory(&self) -> usize {
        0
    }
    fn memory_with(&self, vectors: usize) -> usize {
        4 * self.dim() * vectors
    }
    fn export(&self) -> Result<Node<'_>, StoreError> {
        Ok(Node::new("naive ivf", 0, &()))
    }
    fn as_range_search(&self) -> Option<&dyn RangeSearch> {
        Some(self)
    }
    fn as_ivf(&self) -> Option<&dyn IndexIvf> {
        Some(self)
    }
}

impl RangeSearch for NaiveIvf {
    fn range_search(
        &self,
        queries: AnyRows<'_>,
        radius: f32,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        check_radius(radius)?;
        self.find(queries, Sink::range(radius), params)
    }
}

impl IndexIvf for NaiveIvf {
    fn nlist(&self) -> usize {
        self.lists.len()
    }
    fn nprobe(&self) -> usize {
        1
    }
    fn max_codes(&self) -> usize {
        0
    }
    fn parallel_mode(&self) -> ParallelMode {
        ParallelMode::Auto
    }
    fn quantizer(&self) -> Option<&Arc<dyn Level1Quantizer>> {
        Some(&self.quantizer)
    }
    fn lists(&self) -> Option<&dyn InvertedLists> {
        None
    }

    fn assign(&self, queries: AnyRows<'_>, nprobe: usize, params: &SearchParams<'_>) -> Result<Probes, SearchError> {
        let mut scratch = Vec::new();
        self.quantizer.assign(queries.to_f32(&mut scratch), nprobe, params)
    }

    fn reconstruct_at(&self, at: Location, vector: &mut [f32]) -> Result<(), ReconstructError> {
        vector.copy_from_slice(&self.lists[at.list.index()][at.offset.index()].1);
        Ok(())
    }

    fn search_preassigned_into(
        &self,
        queries: AnyRows<'_>,
        probes: &Probes,
        sinks: &mut [Sink],
        params: &SearchParams<'_>,
    ) -> Result<SearchStats, SearchError> {
        if self.fault != Fault::IgnoresNprobe {
            params.only("naive ivf", &["max_codes", "selector", "mode", "locations"])?;
        }
        for (what, found) in [("probes", probes.len()), ("sinks", sinks.len())] {
            if found != queries.len() {
                return Err(SearchError::Count { what, found, queries: queries.len() });
            }
        }
        let codes = params.max_codes.filter(|&limit| limit > 0).unwrap_or(usize::MAX);
        let limit = |_| Limits { codes, ..Limits::default() };
        let len = |list: ListNo| Ok(self.lists[list.index()].len());
        let plan = match self.fault {
            Fault::SkipsBadProbes => {
                SearchPlan::new(probes, usize::MAX, limit, |list| Ok(self.lists.get(list.index()).map_or(0, Vec::len)))
            }
            _ => SearchPlan::new(probes, self.nlist(), limit, len),
        }?;
        let mut scratch = Vec::new();
        for (i, query) in queries.to_f32(&mut scratch).iter().enumerate() {
            if self.fault == Fault::StartsSinksAnew {
                sinks[i] = sinks[i].fork();
            }
            for probe in plan.row(i) {
                let cut = usize::from(self.fault == Fault::CutsByQuery && i == 5);
                for (offset, (id, vector)) in
                    self.lists[probe.list.index()][cut..probe.prefix as usize].iter().enumerate()
                {
                    if params.selector.is_none_or(|selector| selector.contains(*id)) {
                        let location = Location::new(probe.list.0, (offset + cut) as u32);
                        sinks[i].push(Neighbor { distance: distance(Metric::L2, query, vector), id: *id, location });
                    }
                }
            }
        }
        Ok(SearchStats::default())
    }
}

#[test]
fn a_plain_ivf_passes() {
    let (index, queries) = (NaiveIvf::new(300, 5, Fault::None), clusters(3, 20, 5, 8));
    check_preassigned(&index, queries.rows(), 4);
    check_modes(&index, queries.rows(), Some(4));
}

#[test]
fn faulty_ivfs_are_caught() {
    let queries = clusters(3, 20, 5, 8);
    for (fault, words) in [
        (Fault::StartsSinksAnew, "two halves"),
        (Fault::IgnoresNprobe, "nprobe is no error"),
        (Fault::SkipsBadProbes, "a probe past the last list is no error"),
    ] {
        assert_caught(words, || check_preassigned(&NaiveIvf::new(300, 5, fault), queries.rows(), 4));
    }
    assert_caught("queries 7..14: query 12", || {
        check_modes(&NaiveIvf::new(300, 5, Fault::CutsByQuery), queries.rows(), Some(8))
    });
}
