//! A naive index with every ability: a vector of vectors, searched with the oracle's distances.

use ivf_core::ability::{
    Add, AddCodes, AddWithIds, Merge, RangeSearch, Reconstruct, Remove, Reset, StandaloneCodec, Update,
};
use ivf_core::error::{
    AddError, CodeError, DecodeError, EditError, InputError, KnobError, MergeError, ReconstructError, SearchError,
    StoreError,
};
use ivf_core::field::{Field, FieldType, Schema};
use ivf_core::index_ivf::{check_k, check_radius};
use ivf_core::node::NamedArray;
use ivf_core::param::{Param, ParamRange};
use ivf_core::params::NonFinite;
use ivf_core::part::{unknown_knob, unknown_part};
use ivf_core::{
    AddOptions, AddReport, AnyRows, Hits, Id, IdSelector, Index, Knob, KnobValue, Location, Metric, Neighbor, Node,
    ParallelMode, Part, SearchParam, SearchParams, SearchResult, SearchStats, Settings, Sink, SpecText, StoredNode,
    Takes,
};
use ivf_testkit::oracle::{distance, unit};
use std::any::Any;

/// The fault of an index.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Fault {
    #[default]
    None,
    IgnoresSelector,
    IncludesRadius,
    TakesNaN,
    NamesRowOfBlock,
    ReversesTies,
    DependsOnThreads,
    DependsOnMode,
    IgnoresNprobe,
    CountsIdsOnAfterReset,
    UpdatesOnlyFirst,
    AddsBeforeItFails,
    ForgetsSkippedIds,
    IgnoresQueryParams,
    IgnoresMaxResults,
    ForgetsLocations,
    MergesWithoutShift,
    DeclaresNprobe,
    RefusesEffort,
    TakesAnyEffort,
    TakesAnyKnob,
    KnowsAnyPath,
    ClonesAllButOne,
}

/// A naive index.
#[derive(Clone, Debug)]
pub(crate) struct Naive {
    pub(crate) dim: usize,
    pub(crate) metric: Metric,
    pub(crate) fault: Fault,
    ids: Vec<Id>,
    data: Vec<f32>,
    largest: Option<Id>,
    /// The value of [`EFFORT`].
    effort: u64,
}

/// The parameters that it takes, besides its own.
const TAKES: Takes =
    Takes::of(&[SearchParam::Selector, SearchParam::Mode, SearchParam::Locations, SearchParam::PerQuery]);

/// A parameter of the index itself, which has no effect.
const EFFORT: Param =
    Param::new("effort", ParamRange::Whole { least: 1, most: 8 }, KnobValue::Int(2), "how hard it tries");

const SCHEMA: &Schema = &[
    Field::new("dim", FieldType::UInt),
    Field::new("metric", FieldType::Metric),
    Field::new("effort", FieldType::UInt),
    Field::since_version_2("largest", FieldType::Int),
];

impl Naive {
    pub(crate) fn new(dim: usize, metric: Metric, fault: Fault) -> Self {
        Self { dim, metric, fault, ids: Vec::new(), data: Vec::new(), largest: None, effort: 2 }
    }

    pub(crate) fn read(node: &StoredNode) -> Result<Box<dyn Index>, DecodeError> {
        node.expect_version(0)?;
        let fields = node.fields(SCHEMA)?;
        let (dim, metric) = (fields.get::<usize>("dim")?, fields.get("metric")?);
        let largest = fields.opt("largest")?.map(Id);
        let effort = fields.get::<u64>("effort")?;
        let (ids, data) = (node.array::<i64>("ids")?, node.array::<f32>("data")?);
        if dim == 0 || dim.checked_mul(ids.len()) != Some(data.len()) || !(1..=8).contains(&effort) {
            return Err(DecodeError::value("naive", "ids and vectors differ in number, or effort is out of range"));
        }
        let ids = ids.iter().copied().map(Id).collect();
        Ok(Box::new(Self { dim, metric, fault: Fault::None, ids, data: data.to_vec(), largest, effort }))
    }

    /// Returns the checked vectors, of unit length for cosine, with `None` for skipped rows.
    fn vectors(&self, rows: AnyRows<'_>, skip: bool) -> Result<Vec<Option<Vec<f32>>>, InputError> {
        if rows.dim() != self.dim {
            return Err(InputError::Dim { expected: self.dim, found: rows.dim() });
        }
        let mut scratch = Vec::new();
        let rows = rows.to_f32(&mut scratch);
        let vector = |(row, x): (usize, &[f32])| {
            if !x.iter().all(|x| x.is_finite()) && self.fault != Fault::TakesNaN {
                let row = if self.fault == Fault::NamesRowOfBlock { row % 64 } else { row };
                return if skip { Ok(None) } else { Err(InputError::NonFinite { row }) };
            }
            if self.metric != Metric::Cosine {
                return Ok(Some(x.to_vec()));
            }
            match x.iter().any(|&x| x != 0.0) {
                true => Ok(Some(unit(x))),
                false if skip => Ok(None),
                false => Err(InputError::ZeroVector { row }),
            }
        };
        rows.iter().enumerate().map(vector).collect()
    }

    fn find(
        &self,
        queries: AnyRows<'_>,
        empty: Sink,
        params: &SearchParams<'_>,
        takes: &Takes,
    ) -> Result<SearchResult, SearchError> {
        match self.fault {
            Fault::IgnoresNprobe => {}
            Fault::DeclaresNprobe => params.only("naive", &takes.clone().without(SearchParam::Nprobe))?,
            Fault::RefusesEffort => params.only("naive", &TAKES)?,
            _ => params.only("naive", takes)?,
        }
        if self.fault != Fault::TakesAnyEffort {
            params.resolved(&[EFFORT], &Settings::new())?;
        }
        params.check_cancel()?;
        params.check_per_query(queries.len())?;
        let queries = self.vectors(queries, false)?;
        let metric = if self.metric == Metric::Cosine { Metric::InnerProduct } else { self.metric };
        let wrong = match self.fault {
            Fault::DependsOnThreads => params.executor.is_some_and(|executor| executor.threads() == 8),
            Fault::DependsOnMode => params.mode == Some(ParallelMode::ListMajor),
            _ => false,
        };
        let sinks = queries.iter().flatten().enumerate().map(|(number, query)| {
            let mut sink = empty.clone();
            let own = params.of_query(number).selector;
            let selector = if self.fault == Fault::IgnoresQueryParams { params.selector } else { own };
            for (i, (id, vector)) in self.ids.iter().zip(self.data.chunks_exact(self.dim)).enumerate() {
                let kept = selector.is_none_or(|selector| selector.contains(*id));
                if (kept || self.fault == Fault::IgnoresSelector) && !(wrong && i % 3 == 0) {
                    let id = if self.fault == Fault::ReversesTies { Id(-1 - id.0) } else { *id };
                    let location = Location::new(0, i as u32);
                    sink.push(Neighbor { distance: distance(metric, query, vector), id, location });
                }
            }
            sink
        });
        let locations = params.locations == Some(true) && self.fault != Fault::ForgetsLocations;
        let hits = Hits::from_sinks(self.metric, sinks, locations);
        let hits = hits.map_ids(|id| if self.fault == Fault::ReversesTies { Id(-1 - id.0) } else { id });
        Ok(SearchResult::new(hits, SearchStats::default()))
    }

    fn insert(
        &mut self,
        rows: AnyRows<'_>,
        ids: impl Fn(usize) -> Id,
        options: &AddOptions<'_>,
    ) -> Result<AddReport, AddError> {
        if options.cancel.is_some_and(|cancel| cancel.is_cancelled()) {
            return Err(AddError::Cancelled);
        }
        let vectors = self.vectors(rows, options.non_finite == NonFinite::SkipRow);
        if vectors.is_err() && self.fault == Fault::AddsBeforeItFails {
            self.ids.push(Id(0));
            self.data.resize(self.data.len() + self.dim, 0.0);
        }
        let vectors = vectors?;
        let mut report = AddReport::default();
        for (row, vector) in vectors.into_iter().enumerate() {
            let skips = vector.is_none() && self.fault == Fault::ForgetsSkippedIds;
            self.largest = self.largest.max(Some(ids(row)).filter(|_| !skips));
            match vector {
                Some(vector) => {
                    self.ids.push(ids(row));
                    self.data.extend(vector);
                    report.added += 1;
                }
                None => report.skipped.push(row),
            }
        }
        Ok(report)
    }

    fn retain(&mut self, keep: impl Fn(usize, Id) -> bool) -> usize {
        let left: Vec<usize> = (0..self.ids.len()).filter(|&i| keep(i, self.ids[i])).collect();
        let removed = self.ids.len() - left.len();
        self.data = left.iter().flat_map(|&i| &self.data[i * self.dim..][..self.dim]).copied().collect();
        self.ids = left.iter().map(|&i| self.ids[i]).collect();
        removed
    }
}

impl Index for Naive {
    fn dim(&self) -> usize {
        self.dim
    }
    fn metric(&self) -> Metric {
        self.metric
    }
    fn len(&self) -> usize {
        self.ids.len()
    }
    fn is_trained(&self) -> bool {
        true
    }
    fn spec_text(&self) -> SpecText {
        SpecText::base("Naive")
    }
    fn search_rows(
        &self,
        queries: AnyRows<'_>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        check_k(k)?;
        self.find(queries, Sink::top_k(k), params, &self.takes())
    }
    fn takes(&self) -> Takes {
        let takes = if self.fault == Fault::DeclaresNprobe { TAKES.with(SearchParam::Nprobe) } else { TAKES };
        takes.with_own([EFFORT.name])
    }
    fn parts(&self) -> Vec<Part> {
        vec![Part::new("", "naive").with_knobs(vec![Knob::new(EFFORT, self.effort)])]
    }
    fn set_knob_at(&mut self, path: &str, name: &str, value: KnobValue) -> Result<(), KnobError> {
        if !path.is_empty() && self.fault != Fault::KnowsAnyPath {
            return Err(unknown_part(path, &self.parts()));
        }
        if !EFFORT.is_named(name) {
            return Err(unknown_knob(name, &self.parts()));
        }
        match EFFORT.range.check(name, &value) {
            Err(_) if self.fault == Fault::TakesAnyKnob => {}
            value => self.effort = value?.as_whole().expect("a whole number"),
        }
        Ok(())
    }
    fn clone_index(&self) -> Result<Box<dyn Index>, StoreError> {
        let mut clone = self.clone();
        if self.fault == Fault::ClonesAllButOne {
            clone.ids.pop();
            clone.data.truncate(clone.ids.len() * self.dim);
        }
        Ok(Box::new(clone))
    }
    fn memory(&self) -> usize {
        4 * self.data.len()
    }
    fn memory_with(&self, vectors: usize) -> usize {
        4 * self.dim * vectors.max(self.len())
    }
    fn export(&self) -> Result<Node<'_>, StoreError> {
        let mut node =
            Node::new("naive", 0).with("dim", self.dim).with("metric", self.metric).with("effort", self.effort);
        if let Some(largest) = self.largest {
            node = node.with("largest", largest.0);
        }
        let n = self.ids.len() as u64;
        node.push(NamedArray::owned("ids", &[n], self.ids.iter().map(|id| id.0).collect()));
        node.push(NamedArray::borrowed("data", &[n, self.dim as u64], &self.data));
        Ok(node)
    }
    fn as_add(&mut self) -> Option<&mut dyn Add> {
        Some(self)
    }
    fn as_add_with_ids(&mut self) -> Option<&mut dyn AddWithIds> {
        Some(self)
    }
    fn as_reset(&mut self) -> Option<&mut dyn Reset> {
        Some(self)
    }
    fn as_range_search(&self) -> Option<&dyn RangeSearch> {
        Some(self)
    }
    fn as_remove(&mut self) -> Option<&mut dyn Remove> {
        Some(self)
    }
    fn as_update(&mut self) -> Option<&mut dyn Update> {
        Some(self)
    }
    fn as_reconstruct(&self) -> Option<&dyn Reconstruct> {
        Some(self)
    }
    fn as_merge(&mut self) -> Option<&mut dyn Merge> {
        Some(self)
    }
    fn as_standalone_codec(&self) -> Option<&dyn StandaloneCodec> {
        Some(self)
    }
    fn as_add_codes(&mut self) -> Option<&mut dyn AddCodes> {
        Some(self)
    }
}

impl Add for Naive {
    fn add(&mut self, rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<AddReport, AddError> {
        let first = self.largest.map_or(Some(0), |id| id.0.max(-1).checked_add(1)).ok_or(AddError::IdsExhausted)?;
        self.insert(rows, |row| Id(first + row as i64), options)
    }
}

impl AddWithIds for Naive {
    fn add_with_ids(&mut self, rows: AnyRows<'_>, ids: &[Id], options: &AddOptions<'_>) -> Result<AddReport, AddError> {
        if ids.len() != rows.len() && rows.dim() == self.dim {
            return Err(InputError::IdCount { rows: rows.len(), ids: ids.len() }.into());
        }
        self.insert(rows, |row| ids[row], options)
    }
}

impl Reset for Naive {
    fn reset(&mut self) -> Result<(), StoreError> {
        let largest = self.largest.filter(|_| self.fault == Fault::CountsIdsOnAfterReset);
        *self = Self { largest, effort: self.effort, ..Self::new(self.dim, self.metric, self.fault) };
        Ok(())
    }
}

impl RangeSearch for Naive {
    fn range_takes(&self) -> Takes {
        self.takes().with(SearchParam::MaxResults)
    }
    fn range_search(
        &self,
        queries: AnyRows<'_>,
        radius: f32,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        check_radius(radius)?;
        let inner = self.metric.to_user_distance(radius);
        let radius = if self.fault == Fault::IncludesRadius { inner.next_up() } else { inner };
        let most = params.max_results.filter(|&most| most > 0 && self.fault != Fault::IgnoresMaxResults);
        self.find(queries, Sink::top_k_within(most.unwrap_or(usize::MAX), radius), params, &self.range_takes())
    }
}

impl Remove for Naive {
    fn remove(&mut self, selector: &IdSelector<'_>) -> Result<usize, EditError> {
        Ok(self.retain(|_, id| !selector.contains(id)))
    }
}

impl Update for Naive {
    fn update(&mut self, ids: &[Id], rows: AnyRows<'_>, _: &AddOptions<'_>) -> Result<(), EditError> {
        if ids.len() != rows.len() {
            return Err(InputError::IdCount { rows: rows.len(), ids: ids.len() }.into());
        }
        for (i, id) in ids.iter().enumerate() {
            if !self.ids.contains(id) {
                return Err(EditError::NoSuchId(*id));
            }
            if ids[..i].contains(id) {
                return Err(EditError::TwiceNamed(*id));
            }
        }
        self.vectors(rows, false)?;
        let first: Vec<Option<usize>> = ids.iter().map(|id| self.ids.iter().position(|known| known == id)).collect();
        let only_first = self.fault == Fault::UpdatesOnlyFirst;
        self.retain(|i, id| if only_first { !first.contains(&Some(i)) } else { !ids.contains(&id) });
        self.insert(rows, |row| ids[row], &AddOptions::new())?;
        Ok(())
    }
}

impl Reconstruct for Naive {
    fn reconstruct(&self, id: Id, vector: &mut [f32]) -> Result<(), ReconstructError> {
        let at = self.ids.iter().position(|known| *known == id).ok_or(ReconstructError::NoSuchId(id))?;
        if vector.len() != self.dim {
            return Err(ReconstructError::OutputLength { expected: self.dim, found: vector.len() });
        }
        vector.copy_from_slice(&self.data[at * self.dim..][..self.dim]);
        Ok(())
    }
    fn search_and_reconstruct(
        &self,
        queries: AnyRows<'_>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<(SearchResult, Vec<f32>), SearchError> {
        let found = self.search_rows(queries, k, params)?;
        let mut vectors = vec![0.0; found.hits.total() * self.dim];
        self.reconstruct_many(found.hits.ids(), &mut vectors)?;
        Ok((found, vectors))
    }
}

impl Merge for Naive {
    fn merge_from(&mut self, other: &mut dyn Index, shift: i64, _: &AddOptions<'_>) -> Result<(), MergeError> {
        let other: &mut dyn Any = other;
        let other = other.downcast_mut::<Self>().ok_or(MergeError::Incompatible("kind"))?;
        if other.dim != self.dim {
            return Err(MergeError::Incompatible("dimension"));
        }
        // Not `insert`: these vectors already have unit length.
        let shift = if self.fault == Fault::MergesWithoutShift { 0 } else { shift };
        self.ids.extend(other.ids.iter().map(|id| Id(id.0 + shift)));
        self.largest = self.largest.max(self.ids.iter().copied().max());
        self.data.extend_from_slice(&other.data);
        other.retain(|_, _| false);
        Ok(())
    }
}

impl StandaloneCodec for Naive {
    fn sa_code_size(&self) -> Result<usize, CodeError> {
        Ok(4 * self.dim)
    }
    fn sa_encode(&self, rows: AnyRows<'_>, _: &AddOptions<'_>) -> Result<Vec<u8>, CodeError> {
        Ok(self.vectors(rows, false)?.into_iter().flatten().flatten().flat_map(f32::to_le_bytes).collect())
    }
    fn sa_decode(&self, codes: &[u8]) -> Result<Vec<f32>, CodeError> {
        if !codes.len().is_multiple_of(4 * self.dim) {
            return Err(CodeError::Length { code_size: 4 * self.dim, found: codes.len() });
        }
        Ok(codes.chunks_exact(4).map(|x| f32::from_le_bytes([x[0], x[1], x[2], x[3]])).collect())
    }
}

impl AddCodes for Naive {
    fn add_codes(&mut self, codes: &[u8], ids: Option<&[Id]>, _: &AddOptions<'_>) -> Result<AddReport, CodeError> {
        let vectors = self.sa_decode(codes)?;
        // Not `insert`: these vectors already have unit length.
        let first = self.largest.map_or(0, |id| id.0.max(-1) + 1);
        let added = vectors.len() / self.dim;
        let ids = ids.map_or_else(|| (first..).map(Id).take(added).collect(), <[Id]>::to_vec);
        self.largest = self.largest.max(ids.iter().copied().max());
        self.ids.extend(ids);
        self.data.extend(vectors);
        Ok(AddReport::new(added, Vec::new()))
    }
}
