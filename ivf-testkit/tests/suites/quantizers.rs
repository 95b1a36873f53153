//! Tests of the quantizer suite: a tiny quantizer of k centroids passes, and its faulty variants
//! are caught.

use crate::assert_caught;
use ivf_core::error::{BuildError, DecodeError, InputError, SearchError, StoreError, TrainError};
use ivf_core::field::{Field, FieldType, Schema};
use ivf_core::node::NamedArray;
use ivf_core::param::{Param, ParamRange};
use ivf_core::params::Takes;
use ivf_core::quantizer::order_fault;
use ivf_core::{
    AnyRows, Centroids, KnobValue, Level1Quantizer, ListNo, Metric, Node, Permute, Probes, Promise, QuantizerSpec,
    Rows, SearchParams, Settings, StoredNode, TrainOptions, TrainReport,
};
use ivf_testkit::data::Vectors;
use ivf_testkit::oracle::distance;
use ivf_testkit::quantizers::check_quantizer;
use std::fmt;
use std::sync::Arc;

/// The fault or the peculiarity of a quantizer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum QuantizerFault {
    None,
    /// Correct: it misses the second list, promises nothing, and has absent lists.
    SkipsTheSecond,
    SkipsTheSecondThoughExact,
    SkipsTheFirst,
    WidensOtherwise,
    RenumbersNothing,
    RenumbersBackwards,
    RenumbersByAnything,
    ExportsTheOldNumbers,
    ListsTheFarthestFirst,
    HasTheWrongSign,
    GivesMoreProbesThanLists,
    NamesAListTwice,
    IgnoresCancel,
    TrainsThoughCancelled,
    TakesAnyParameter,
    TakesAnyEffort,
    TakesNprobe0,
    TakesAnyDimension,
    TrustsTheFile,
    DependsOnTheCut,
    SaysNoMemory,
    SaysNoTrainingMemory,
    HasAnotherTag,
    RowsFromTheStart,
}

use QuantizerFault as Fault;

const TAG: &str = "tiny centroids";

/// A parameter without effect.
const EFFORT: Param =
    Param::new("effort", ParamRange::Whole { least: 1, most: 8 }, KnobValue::Int(2), "how hard it tries");

const SCHEMA: &Schema = &[Field::new("dim", FieldType::UInt), Field::new("metric", FieldType::Metric)];

#[derive(Clone, Copy, Debug)]
struct Spec {
    nlist: usize,
    fault: Fault,
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tiny{}", self.nlist)
    }
}

impl QuantizerSpec for Spec {
    fn nlist(&self) -> usize {
        self.nlist
    }
    fn check(&self, _: usize, _: Metric) -> Result<(), BuildError> {
        Ok(())
    }
    fn training_points(&self, _: &TrainOptions<'_>) -> usize {
        1000
    }
    fn training_memory(&self, dim: usize, _: Metric, points: usize, _: &TrainOptions<'_>) -> usize {
        if self.fault == Fault::SaysNoTrainingMemory { 0 } else { 4 * self.nlist * dim + 4 * points.min(1000) * dim }
    }
    fn params(&self, _: usize, _: Metric) -> Vec<Param> {
        vec![EFFORT]
    }
    fn train(
        &self,
        rows: AnyRows<'_>,
        metric: Metric,
        options: &TrainOptions<'_>,
    ) -> Result<(Arc<dyn Level1Quantizer>, TrainReport), TrainError> {
        if self.fault != Fault::TrainsThoughCancelled {
            options.check_cancel()?;
        }
        if rows.len() < self.nlist {
            let who = format!("the {} centroids", self.nlist);
            return Err(TrainError::TooFew { who, needed: self.nlist, found: rows.len() });
        }
        let mut scratch = Vec::new();
        let rows = rows.to_f32(&mut scratch);
        let step = rows.len() / self.nlist;
        let data = rows.iter().step_by(step).take(self.nlist).flatten().copied().collect();
        let quantizer = KMeans::new(Vectors { data, dim: rows.dim() }, metric, self.fault);
        Ok((Arc::new(quantizer), TrainReport::default()))
    }
}

/// A quantizer with fixed centroids.
#[derive(Clone, Debug)]
pub(crate) struct KMeans {
    centroids: Vectors,
    /// The list number of each centroid.
    numbers: Vec<u32>,
    metric: Metric,
    fault: Fault,
}

impl KMeans {
    pub(crate) fn new(centroids: Vectors, metric: Metric, fault: Fault) -> Self {
        let numbers = (0..centroids.len() as u32).collect();
        Self { centroids, numbers, metric, fault }
    }

    fn read(node: &StoredNode, fault: Fault) -> Result<Arc<dyn Level1Quantizer>, DecodeError> {
        let wrong = || DecodeError::value(TAG, "centroids and numbers do not fit together");
        node.expect_version(0)?;
        let fields = node.fields(SCHEMA)?;
        let (dim, metric) = (fields.dim("dim")?, fields.get("metric")?);
        let (data, numbers) = (node.array::<f32>("centroids")?.to_vec(), node.array::<u32>("numbers")?.to_vec());
        if data.len() != dim * numbers.len() || data.is_empty() || data.iter().any(|x| !x.is_finite()) {
            return Err(wrong());
        }
        let order: Vec<ListNo> = numbers.iter().copied().map(ListNo).collect();
        if order_fault(numbers.len(), &order).is_some() && fault != Fault::TrustsTheFile {
            return Err(wrong());
        }
        Ok(Arc::new(Self { centroids: Vectors { data, dim }, numbers, metric, fault }))
    }

    /// Returns all lists with their distances, nearest first.
    fn ranked(&self, query: &[f32]) -> Vec<(Option<ListNo>, f32)> {
        let sign = if self.fault == Fault::HasTheWrongSign { -1.0 } else { 1.0 };
        let all = self.centroids.rows();
        let mut lists: Vec<(f32, u32)> =
            all.iter().zip(&self.numbers).map(|(c, no)| (sign * distance(self.metric, query, c), *no)).collect();
        lists.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        match self.fault {
            Fault::ListsTheFarthestFirst => lists.reverse(),
            Fault::SkipsTheFirst => drop(lists.remove(0)),
            Fault::SkipsTheSecond | Fault::SkipsTheSecondThoughExact if lists.len() > 2 => drop(lists.remove(1)),
            Fault::NamesAListTwice if lists.len() > 2 => lists[2] = lists[1],
            _ => {}
        }
        lists.into_iter().map(|(distance, no)| (Some(ListNo(no)), distance)).collect()
    }
}

impl Centroids for KMeans {
    fn dim(&self) -> usize {
        self.centroids.dim
    }
    fn nlist(&self) -> usize {
        self.centroids.len()
    }
    fn centroid(&self, list: ListNo, out: &mut [f32]) {
        let at = self.numbers.iter().position(|no| *no == list.0);
        let at = at.or(Some(0).filter(|_| self.fault == Fault::TrustsTheFile)).expect("a list that is there");
        out.copy_from_slice(self.centroids.rows().row(at));
    }
    fn centroid_rows(&self, first: ListNo, out: &mut [f32]) {
        let first = if self.fault == Fault::RowsFromTheStart { 0 } else { first.0 };
        for (list, row) in (first..).map(ListNo).zip(out.chunks_exact_mut(self.dim())) {
            self.centroid(list, row);
        }
    }
}

impl Level1Quantizer for KMeans {
    fn tag(&self) -> &str {
        if self.fault == Fault::HasAnotherTag { "another" } else { TAG }
    }
    fn assign(&self, rows: Rows<'_, f32>, nprobe: usize, params: &SearchParams<'_>) -> Result<Probes, SearchError> {
        if self.fault != Fault::TakesAnyParameter {
            params.only("tiny centroids", &Takes::default().with_own([EFFORT.name]))?;
        }
        if self.fault != Fault::TakesAnyEffort {
            params.resolved(&[EFFORT], &Settings::new())?;
        }
        if self.fault != Fault::IgnoresCancel {
            params.check_cancel()?;
        }
        if rows.dim() != self.dim() {
            if self.fault == Fault::TakesAnyDimension {
                return Probes::new(1, vec![None; rows.len()], vec![0.0; rows.len()]);
            }
            return Err(InputError::Dim { expected: self.dim(), found: rows.dim() }.into());
        }
        let nprobe = if self.fault == Fault::TakesNprobe0 { nprobe.max(1) } else { nprobe };
        let most = if self.fault == Fault::GivesMoreProbesThanLists { nprobe } else { nprobe.min(self.nlist()) };
        let (mut lists, mut distances) = (Vec::new(), Vec::new());
        for (row, query) in rows.iter().enumerate() {
            let mut ranked = self.ranked(query);
            if self.fault == Fault::DependsOnTheCut && row == 5 || self.fault == Fault::WidensOtherwise && nprobe == 1 {
                ranked.remove(0);
            }
            ranked.resize(most, (None, f32::INFINITY));
            let (named, far): (Vec<_>, Vec<f32>) = ranked.into_iter().unzip();
            lists.extend(named);
            distances.extend(far);
        }
        Probes::new(most, lists, distances)
    }
    fn promise(&self) -> Promise {
        let mut promise = Promise::NONE;
        match self.fault {
            Fault::SkipsTheSecond | Fault::SkipsTheFirst | Fault::DependsOnTheCut => promise,
            Fault::WidensOtherwise => {
                promise.prefix = true;
                promise
            }
            _ => Promise::EXACT,
        }
    }
    fn spec(&self) -> Arc<dyn QuantizerSpec> {
        Arc::new(Spec { nlist: self.nlist(), fault: self.fault })
    }
    fn metric(&self) -> Option<Metric> {
        Some(self.metric)
    }
    fn as_permute(&self) -> Option<&dyn Permute> {
        Some(self)
    }
    fn memory(&self) -> usize {
        if self.fault == Fault::SaysNoMemory { 0 } else { 4 * self.centroids.data.len() + 4 * self.numbers.len() }
    }
    fn export(&self) -> Result<Node<'_>, StoreError> {
        let (nlist, dim) = (self.nlist() as u64, self.dim() as u64);
        let numbers = match self.fault {
            Fault::ExportsTheOldNumbers => (0..nlist as u32).collect(),
            _ => self.numbers.clone(),
        };
        let mut node = Node::new(TAG, 0).with("dim", dim).with("metric", self.metric);
        node.push(NamedArray::borrowed("centroids", &[nlist, dim], &self.centroids.data));
        node.push(NamedArray::owned("numbers", &[nlist], numbers));
        Ok(node)
    }
}

impl Permute for KMeans {
    fn permuted(&self, order: &[ListNo]) -> Arc<dyn Level1Quantizer> {
        let is_checked = self.fault != Fault::RenumbersByAnything;
        assert!(!is_checked || order_fault(self.nlist(), order).is_none(), "an order of all lists");
        let renumber = |old: &u32| match self.fault {
            Fault::RenumbersNothing => *old,
            Fault::RenumbersBackwards => order[*old as usize].0,
            _ => order.iter().position(|list| list.0 == *old).unwrap_or(0) as u32,
        };
        Arc::new(Self { numbers: self.numbers.iter().map(renumber).collect(), ..self.clone() })
    }
}

fn check(nlist: usize, dim: usize, metric: Metric, fault: Fault) {
    let spec: Arc<dyn QuantizerSpec> = Arc::new(Spec { nlist, fault });
    check_quantizer(&spec, dim, metric, &|node| KMeans::read(node, fault));
}

#[test]
fn tiny_centroids_pass() {
    for (nlist, dim, metric) in [
        (1, 3, Metric::L2),
        (2, 1, Metric::L2),
        (16, 6, Metric::L2),
        (9, 5, Metric::InnerProduct),
        (8, 4, Metric::Cosine),
        (8, 4, Metric::JensenShannon),
    ] {
        check(nlist, dim, metric, Fault::None);
        check(nlist, dim, metric, Fault::SkipsTheSecond);
    }
}

#[test]
fn faulty_quantizers_are_caught() {
    for (fault, words) in [
        (Fault::RenumbersNothing, "before"),
        (Fault::RenumbersBackwards, "before"),
        (Fault::RenumbersByAnything, "which does not name every list once"),
        (Fault::ExportsTheOldNumbers, "read back: other centroids"),
        (Fault::ListsTheFarthestFirst, "nprobe 1, row 0, place 0"),
        (Fault::HasTheWrongSign, "the coarse distance of list"),
        (Fault::GivesMoreProbesThanLists, "15 probes a row, of 8 lists"),
        (Fault::NamesAListTwice, "a list stands twice"),
        (Fault::SkipsTheSecondThoughExact, "place 1"),
        (Fault::SkipsTheFirst, "the first list is the nearest one for"),
        (Fault::WidensOtherwise, "do not begin those for more probes"),
        (Fault::IgnoresCancel, "a cancelled assignment gives Ok"),
        (Fault::TrainsThoughCancelled, "a cancelled training gives Ok"),
        (Fault::TakesAnyParameter, "a parameter that it does not declare, gives Ok"),
        (Fault::TakesAnyEffort, "effort of Word(\"xyzzy\") gives Ok"),
        (Fault::TakesNprobe0, "nprobe 0 gives Ok"),
        (Fault::TakesAnyDimension, "vectors of 5 dimensions give Ok"),
        (Fault::TrustsTheFile, "panicked"),
        (Fault::DependsOnTheCut, "depends on the cut"),
        (Fault::SaysNoMemory, "which take no memory"),
        (Fault::SaysNoTrainingMemory, "training that takes no memory"),
        (Fault::HasAnotherTag, "tags of the quantizer"),
        (Fault::RowsFromTheStart, "as rows differ"),
    ] {
        assert_caught(words, || check(8, 4, Metric::L2, fault));
    }
}
