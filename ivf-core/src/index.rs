//! The index: the operations of every index, access to abilities, and their methods on `dyn Index`.
//!
//! The same call may be possible for one index and not for another. A program that accepts any
//! factory string can ask first:
//!
//! ```
//! use ivf_core::{Index, Metric};
//! /// Returns the names of the abilities that an index lacks.
//! fn lacks(index: &mut dyn Index) -> Vec<&'static str> {
//!     let abilities = [
//!         ("train", index.as_train().is_some()), ("add", index.as_add().is_some()),
//!         ("add_with_ids", index.as_add_with_ids().is_some()), ("reset", index.as_reset().is_some()),
//!         ("range_search", index.as_range_search().is_some()), ("remove", index.as_remove().is_some()),
//!         ("update", index.as_update().is_some()), ("upsert", index.as_upsert().is_some()),
//!         ("reconstruct", index.as_reconstruct().is_some()), ("merge", index.as_merge().is_some()),
//!         ("copy_subset", index.as_copy_subset().is_some()),
//!         ("encode", index.as_standalone_codec().is_some()), ("add_codes", index.as_add_codes().is_some()),
//!         ("lists", index.as_ivf().is_some() && index.as_ivf_mut().is_some()),
//!     ];
//!     abilities.into_iter().filter(|(_, has)| !has).map(|(name, _)| name).collect()
//! }
//! assert!(lacks(&mut *ivf_factory::build("IVF16,Flat", 2, Metric::L2)?).is_empty());
//! assert_eq!(lacks(&mut *ivf_factory::build("Flat", 2, Metric::L2)?), ["train", "lists"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::ability::{
    Add, AddCodes, AddWithIds, CopySubset, Merge, RangeSearch, Reconstruct, Remove, Reset, ScanIds, StandaloneCodec,
    Subset, Train, Update, Upsert,
};
use crate::error::{
    AddError, CodeError, EditError, KnobError, MergeError, ReconstructError, SearchError, StoreError, TrainError,
    Unable,
};
use crate::hits::SearchResult;
use crate::id::Id;
use crate::index_ivf::{IndexIvf, IndexIvfMut};
use crate::metric::Metric;
use crate::node::Node;
use crate::params::{AddOptions, SearchParams, Takes, TrainOptions};
use crate::part::{KnobValue, Part};
use crate::report::{AddReport, TrainReport, UpsertReport};
use crate::rows::AnyRows;
use crate::selector::IdSelector;
use crate::spec::SpecText;
use std::any::Any;
use std::fmt;
use std::ops::Range;

/// A searchable collection of vectors.
///
/// This trait has the operations of every index. All others are abilities: traits of their own,
/// which `as_*` returns. If `as_remove` returns `None`, the index cannot remove vectors. No method
/// exists only to fail.
///
/// Callers and implementers rely on these promises:
///
/// * Many threads may search at the same time.
/// * Results do not depend on the number of threads, on the batches of queries, or on the parallel
///   mode.
/// * A call that fails leaves the index unchanged. (Exception: a removal or an update may be done
///   in part if the store of the lists fails during the call.)
///
/// Applications call methods of `dyn Index`, for abilities too. A method takes default options
/// under its own name, and given options as `*_with`. If the index lacks the ability, the call
/// returns an error. For ids of the caller, the error names the wrapper that provides them.
///
/// ```
/// use ivf_core::{Id, Metric, Rows, SearchParams};
/// let mut index = ivf_factory::build("IVF2,Flat", 2, Metric::L2)?;
/// let vectors = [0.0_f32, 0.0, 0.0, 1.0, 10.0, 10.0, 10.0, 11.0];
/// let rows = Rows::new(&vectors, 2)?;
/// index.train(rows)?;
/// index.add(rows)?;
/// let found = index.search(Rows::new(&[9.0_f32, 10.0], 2)?, 2, &SearchParams::new())?;
/// assert_eq!(found.hits.row(0).ids, [Id(2), Id(3)]);
/// assert_eq!(found.hits.row(0).distances, [1.0, 2.0]);
/// // A million vectors: two `f32` and an id take 16 bytes.
/// assert!((16_000_000..16_010_000).contains(&index.memory_with(1_000_000)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// An implementer writes the operations of every index, and one `as_*` for each ability. This index
/// has none:
///
/// ```
/// use ivf_core::error::{KnobError, SearchError, StoreError};
/// use ivf_core::{index_ivf::check_k, part::{unknown_knob, unknown_part}};
/// # use ivf_core::*;
/// /// The numbers 0, 1, 2, ... below a limit. The id of each is the number itself.
/// #[derive(Clone, Debug)]
/// struct Below(i64);
///
/// impl Index for Below {
///     fn dim(&self) -> usize { 1 }
///     fn metric(&self) -> Metric { Metric::L2 }
///     fn len(&self) -> usize { self.0 as usize }
///     fn is_trained(&self) -> bool { true }
///     fn spec_text(&self) -> SpecText { SpecText::base(format!("Below{}", self.0)) }
///     fn memory(&self) -> usize { 0 }
///     fn memory_with(&self, _: usize) -> usize { 0 }
///     fn takes(&self) -> Takes { Takes::of(&[SearchParam::Selector]) }
///     fn parts(&self) -> Vec<Part> { vec![Part::new("", "below")] }
///     fn search_rows(&self, queries: AnyRows<'_>, k: usize, params: &SearchParams<'_>)
///     -> Result<SearchResult, SearchError> {
///         check_k(k)?;
///         params.only("an index of numbers", &self.takes())?;
///         queries.check(self.dim())?;
///         let mut scratch = Vec::new();
///         let sinks = queries.to_f32(&mut scratch).iter().map(|query| {
///             let mut sink = Sink::top_k(k);
///             for id in (0..self.0).map(Id).filter(|id| params.selector.is_none_or(|s| s.contains(*id))) {
///                 let distance = (query[0] - id.0 as f32).powi(2);
///                 sink.push(Neighbor { distance, id, location: Location::default() });
///             }
///             sink
///         });
///         let hits = Hits::from_sinks(self.metric(), sinks, false);
///         Ok(SearchResult::new(hits, SearchStats::of_queries(queries.len())))
///     }
///     fn set_knob_at(&mut self, path: &str, name: &str, _: KnobValue) -> Result<(), KnobError> {
///         Err(if path.is_empty() { unknown_knob(name, &[]) } else { unknown_part(path, &self.parts()) })
///     }
///     fn export(&self) -> Result<Node<'_>, StoreError> { Ok(Node::new("below", 0).with("limit", self.0)) }
///     fn clone_index(&self) -> Result<Box<dyn Index>, StoreError> { Ok(Box::new(self.clone())) }
/// }
///
/// let index: &mut dyn Index = &mut Below(10);
/// let query = Rows::new(&[6.9_f32], 1)?;
/// assert_eq!(index.search(query, 2, &SearchParams::new())?.hits.row(0).ids, [Id(7), Id(6)]);
/// assert_eq!((index.spec().as_str(), index.is_empty()), ("Below10", false));
/// assert_eq!(index.add(query).unwrap_err().to_string(), "Below10 cannot add");
/// assert_eq!(index.unable("sort").to_string(), "Below10 cannot sort");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Index: Any + Send + Sync + fmt::Debug {
    /// Returns the dimension of the vectors.
    fn dim(&self) -> usize;

    /// Returns the metric.
    fn metric(&self) -> Metric;

    /// Returns the number of vectors.
    fn len(&self) -> usize;

    /// Returns true if there are no vectors.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns true if vectors can be added. An index without the ability [`Train`] is always
    /// trained.
    fn is_trained(&self) -> bool;

    /// Returns the factory string with its outermost level, which a wrapper needs to add its token.
    fn spec_text(&self) -> SpecText;

    /// Returns the factory string that builds such an index, untrained and empty.
    fn spec(&self) -> String {
        self.spec_text().to_string()
    }

    /// Returns the `k` nearest vectors of each query, or fewer if the scanned lists hold fewer.
    /// `search` of `dyn Index` calls this.
    ///
    /// # Errors
    /// [`SearchError`]: `k` is 0, the queries have another dimension or hold a NaN or an infinity,
    /// the index does not take a parameter, it is not trained, the call was cancelled, or the lists
    /// cannot be read.
    fn search_rows(
        &self,
        queries: AnyRows<'_>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError>;

    /// Returns the parameters that a search takes. Any other is [`SearchError::UnsupportedParam`].
    /// ([`SearchParams::retain`] removes the others from a config.)
    fn takes(&self) -> Takes;

    /// Returns the index and its components with their knobs, from the outside in: wrappers,
    /// transforms, the coarse quantizer, the codec, the lists.
    fn parts(&self) -> Vec<Part>;

    /// Sets the knob `name` of the part at `path` (a [`Part::path`]; `""` is the index itself).
    /// `set_knob` of `dyn Index` finds the part by itself.
    ///
    /// # Errors
    /// [`KnobError`] for an unknown path or name, or a value out of range. The index is unchanged.
    fn set_knob_at(&mut self, path: &str, name: &str, value: KnobValue) -> Result<(), KnobError>;

    /// Returns the memory of vectors and tables, in bytes.
    fn memory(&self) -> usize;

    /// Estimates [`memory`](Self::memory) for an index of `vectors` vectors, at least as many as it
    /// holds now. The estimate assumes that the last block of each list is half full. For an
    /// untrained index, it excludes what training will create.
    fn memory_with(&self, vectors: usize) -> usize;

    /// Returns the contents of the index as data, for a file or another reader.
    ///
    /// # Errors
    /// [`StoreError`] if the lists cannot be read.
    fn export(&self) -> Result<Node<'_>, StoreError>;

    /// Returns a snapshot. It shares the quantizer, the codec, and the lists in memory with this
    /// index. A list is copied when either of the two writes to it. (Faiss's `clone_index` copies
    /// everything.)
    ///
    /// # Errors
    /// [`StoreError::NoSnapshot`] if the lists are in a store that cannot be copied.
    fn clone_index(&self) -> Result<Box<dyn Index>, StoreError>;

    /// Returns the ability to train on vectors.
    fn as_train(&mut self) -> Option<&mut dyn Train> {
        None
    }

    /// Returns the ability to add vectors with consecutive ids.
    fn as_add(&mut self) -> Option<&mut dyn Add> {
        None
    }

    /// Returns the ability to add vectors with the caller's ids.
    fn as_add_with_ids(&mut self) -> Option<&mut dyn AddWithIds> {
        None
    }

    /// Returns the ability to remove all vectors.
    fn as_reset(&mut self) -> Option<&mut dyn Reset> {
        None
    }

    /// Returns the ability to find all vectors within a radius.
    fn as_range_search(&self) -> Option<&dyn RangeSearch> {
        None
    }

    /// Returns the ability to remove selected vectors.
    fn as_remove(&mut self) -> Option<&mut dyn Remove> {
        None
    }

    /// Returns the ability to replace vectors by id.
    fn as_update(&mut self) -> Option<&mut dyn Update> {
        None
    }

    /// Returns the ability to replace vectors by id and to add those that are new.
    fn as_upsert(&mut self) -> Option<&mut dyn Upsert> {
        None
    }

    /// Returns the ability to pass through all ids.
    fn as_scan_ids(&self) -> Option<&dyn ScanIds> {
        None
    }

    /// Returns the ability to reconstruct vectors from their codes.
    fn as_reconstruct(&self) -> Option<&dyn Reconstruct> {
        None
    }

    /// Returns the ability to move the vectors of another index into this one.
    fn as_merge(&mut self) -> Option<&mut dyn Merge> {
        None
    }

    /// Returns the ability to copy a subset of the vectors into another index.
    fn as_copy_subset(&self) -> Option<&dyn CopySubset> {
        None
    }

    /// Returns the ability to encode vectors without storing them.
    fn as_standalone_codec(&self) -> Option<&dyn StandaloneCodec> {
        None
    }

    /// Returns the ability to add codes that a standalone codec made.
    fn as_add_codes(&mut self) -> Option<&mut dyn AddCodes> {
        None
    }

    /// Returns the index as an inverted-file index, if it is one.
    fn as_ivf(&self) -> Option<&dyn IndexIvf> {
        None
    }

    /// Returns the write half of an inverted-file index, if it is one.
    fn as_ivf_mut(&mut self) -> Option<&mut dyn IndexIvfMut> {
        None
    }

    /// Returns the wrapped index, if this is a wrapper.
    fn wrapped(&self) -> Option<&dyn Index> {
        None
    }

    /// Returns the wrapped index, to change its knobs, its quantizer or the order of its lists. Add
    /// and remove vectors only through the wrapper, which keeps ids or copies of them: after a
    /// change behind it, searches may fail or return wrong ids, and the index cannot be saved.
    fn wrapped_mut(&mut self) -> Option<&mut dyn Index> {
        None
    }
}

impl<'i> AsRef<dyn Index + 'i> for dyn Index + 'i {
    fn as_ref(&self) -> &(dyn Index + 'i) {
        self
    }
}

/// Lets functions take a boxed index and a concrete one alike: `write_index(&index, path)`.
#[macro_export]
macro_rules! index_as_ref {
    ($($index:ty),* $(,)?) => {$(
        impl AsRef<dyn $crate::Index> for $index {
            fn as_ref(&self) -> &(dyn $crate::Index + 'static) {
                self
            }
        }
    )*};
}

/// Operations of every index, and those of abilities.
///
/// A method `*_with` takes options. For example, one flag cancels changes of every kind:
///
/// ```
/// # use ivf_core::{AddOptions, Cancel, Id, Metric, Rows, ability::Subset};
/// # let rows = Rows::new(&[0.0_f32, 1.0], 1)?;
/// # let mut index = ivf_factory::build("Flat", 1, Metric::L2)?;
/// # index.add(rows)?;
/// # let (mut shard, mut copy) = (index.clone_index()?, ivf_factory::build("Flat", 1, Metric::L2)?);
/// let cancel = Cancel::new();
/// let options = AddOptions::new().cancel(&cancel);
/// cancel.cancel();
/// assert!(index.add_with(rows, &options).is_err());
/// assert!(index.add_with_ids_with(rows, &[Id(7), Id(8)], &options).is_err());
/// assert!(index.update_with(&[Id(0), Id(1)], rows, &options).is_err());
/// assert!(index.upsert_with(&[Id(1), Id(2)], rows, &options).is_err());
/// assert!(index.merge_from_with(&mut *shard, 2, &options).is_err());
/// assert!(index.copy_subset_to_with(&mut *copy, &Subset::Elements(0..1), &options).is_err());
/// assert_eq!((index.len(), shard.len(), copy.len()), (2, 2, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl dyn Index + '_ {
    /// Returns the `k` nearest vectors of each query, or fewer if the scanned lists hold fewer.
    ///
    /// # Errors
    /// As [`search_rows`](Index::search_rows).
    pub fn search<'r>(
        &self,
        queries: impl Into<AnyRows<'r>>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        self.search_rows(queries.into(), k, params)
    }

    /// Returns this index if it is an inverted-file index, or else the one inside its wrappers.
    /// (Faiss's `extract_index_ivf`.) Its ids and vectors may differ from those of the wrapper.
    pub fn find_ivf(&self) -> Option<&dyn IndexIvf> {
        self.as_ivf().or_else(|| self.wrapped()?.find_ivf())
    }

    /// Like `find_ivf`, for changes such as [`set_nprobe`](IndexIvfMut::set_nprobe).
    /// [`wrapped_mut`](Index::wrapped_mut) lists the changes that are allowed behind a wrapper.
    ///
    /// ```
    /// let mut index = ivf_factory::build("IVF16,Flat,RFlat", 2, ivf_core::Metric::L2)?;
    /// assert!(index.as_ivf().is_none());
    /// assert_eq!(index.find_ivf().map(|ivf| ivf.nlist()), Some(16));
    /// index.find_ivf_mut().ok_or("not an inverted file")?.set_nprobe(4)?;
    /// // The parts of the index inside have the path "base" and paths below it.
    /// let paths: Vec<String> = index.parts().into_iter().map(|part| part.path).collect();
    /// assert_eq!(paths[..3], ["", "base", "base/quantizer"]);
    /// assert_eq!(index.wrapped().map(|base| base.spec()).as_deref(), Some("IVF16,Flat"));
    /// assert_eq!(index.wrapped_mut().and_then(|base| base.knob("nprobe")), Some(4.into()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn find_ivf_mut(&mut self) -> Option<&mut dyn IndexIvfMut> {
        if self.as_ivf().is_some() {
            return self.as_ivf_mut();
        }
        self.wrapped_mut()?.find_ivf_mut()
    }

    /// Trains on vectors with default options.
    ///
    /// # Errors
    /// As [`Train::train`].
    pub fn train<'r>(&mut self, rows: impl Into<AnyRows<'r>>) -> Result<TrainReport, TrainError> {
        self.train_with(rows, &TrainOptions::new())
    }

    /// Trains on vectors. An index without the ability needs no training and returns an empty
    /// report.
    ///
    /// ```
    /// # use ivf_core::{Metric, Rows, TrainOptions};
    /// let mut index = ivf_factory::build("IVF2,Flat", 1, Metric::L2)?;
    /// let sample = Rows::new(&[0.0_f32, 1.0, 10.0, 11.0], 1)?;
    /// let report = index.train_with(sample, &TrainOptions::new().iterations(3).seed(7))?;
    /// assert_eq!((report.points, report.objectives[0].len()), (4, 3));
    /// // Four vectors are few for two lists.
    /// assert_eq!(report.warnings.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Train::train`].
    pub fn train_with<'r>(
        &mut self,
        rows: impl Into<AnyRows<'r>>,
        options: &TrainOptions<'_>,
    ) -> Result<TrainReport, TrainError> {
        match self.as_train() {
            Some(train) => train.train(rows.into(), options),
            None => Ok(TrainReport::default()),
        }
    }

    /// Calls [`Add::add`] with default options.
    ///
    /// # Errors
    /// As [`Add::add`]; [`Unable`] without the ability.
    pub fn add<'r>(&mut self, rows: impl Into<AnyRows<'r>>) -> Result<AddReport, AddError> {
        self.add_with(rows, &AddOptions::new())
    }

    /// Calls [`Add::add`].
    ///
    /// # Errors
    /// As [`Add::add`]; [`Unable`] without the ability.
    pub fn add_with<'r>(
        &mut self,
        rows: impl Into<AnyRows<'r>>,
        options: &AddOptions<'_>,
    ) -> Result<AddReport, AddError> {
        match self.as_add() {
            Some(able) => able.add(rows.into(), options),
            None => Err(self.unable("add").into()),
        }
    }

    /// Calls [`AddWithIds::add_with_ids`] with default options.
    ///
    /// ```
    /// # use ivf_core::{Id, Metric, Rows, SearchParams};
    /// # let rows = Rows::new(&[0.0_f32, 1.0], 1)?;
    /// let mut index = ivf_factory::build("Flat", 1, Metric::L2)?;
    /// index.add_with_ids(rows, &[Id(70), Id(-3)])?;
    /// assert_eq!(index.search(rows, 1, &SearchParams::new())?.hits.ids(), [Id(70), Id(-3)]);
    ///
    /// let mut refined = ivf_factory::build("Flat,RFlat", 1, Metric::L2)?;
    /// let error = refined.add_with_ids(rows, &[Id(70), Id(-3)]).unwrap_err();
    /// assert!(error.to_string().ends_with("wrap it as IDMap2,Flat,RFlat"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`AddWithIds::add_with_ids`]; [`Unable`] without the ability.
    pub fn add_with_ids<'r>(&mut self, rows: impl Into<AnyRows<'r>>, ids: &[Id]) -> Result<AddReport, AddError> {
        self.add_with_ids_with(rows, ids, &AddOptions::new())
    }

    /// Calls [`AddWithIds::add_with_ids`].
    ///
    /// # Errors
    /// As [`AddWithIds::add_with_ids`]; [`Unable`] without the ability.
    pub fn add_with_ids_with<'r>(
        &mut self,
        rows: impl Into<AnyRows<'r>>,
        ids: &[Id],
        options: &AddOptions<'_>,
    ) -> Result<AddReport, AddError> {
        match self.as_add_with_ids() {
            Some(able) => able.add_with_ids(rows.into(), ids, options),
            None => Err(self.unable_unless_wrapped("add with ids").into()),
        }
    }

    /// Calls [`Reset::reset`].
    ///
    /// # Errors
    /// As [`Reset::reset`]; [`Unable`] without the ability.
    pub fn reset(&mut self) -> Result<(), EditError> {
        match self.as_reset() {
            Some(able) => Ok(able.reset()?),
            None => Err(self.unable("reset").into()),
        }
    }

    /// Calls [`RangeSearch::range_search`] with default parameters.
    ///
    /// # Errors
    /// As [`RangeSearch::range_search`]; [`Unable`] without the ability.
    pub fn range_search<'r>(&self, queries: impl Into<AnyRows<'r>>, radius: f32) -> Result<SearchResult, SearchError> {
        self.range_search_with(queries, radius, &SearchParams::new())
    }

    /// Calls [`RangeSearch::range_search`].
    ///
    /// ```
    /// # use ivf_core::{Id, IdSelector, Metric, Rows, SearchParams};
    /// let mut index = ivf_factory::build("Flat", 1, Metric::L2)?;
    /// index.add(Rows::new(&[0.0_f32, 1.0, 3.0], 1)?)?;
    /// // The radius is a squared distance. A vector at exactly this distance is left out.
    /// let query = Rows::new(&[0.0_f32], 1)?;
    /// assert_eq!(index.range_search(query, 9.0)?.hits.row(0).ids, [Id(0), Id(1)]);
    /// let found = index.range_search_with(query, 9.0, &SearchParams::new().max_results(1))?;
    /// assert_eq!(found.hits.row(0).ids, [Id(0)]);
    /// // The vectors of the results:
    /// assert_eq!(index.search_and_reconstruct(query, 2)?.1, [0.0, 1.0]);
    /// let high = IdSelector::range(1..100);
    /// let params = SearchParams::new().selector(&high);
    /// assert_eq!(index.search_and_reconstruct_with(query, 2, &params)?.1, [1.0, 3.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`RangeSearch::range_search`]; [`Unable`] without the ability.
    pub fn range_search_with<'r>(
        &self,
        queries: impl Into<AnyRows<'r>>,
        radius: f32,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        let search = self.as_range_search().ok_or_else(|| self.unable("search within a radius"))?;
        search.range_search(queries.into(), radius, params)
    }

    /// Calls [`Remove::remove`].
    ///
    /// # Errors
    /// As [`Remove::remove`]; [`Unable`] without the ability.
    pub fn remove(&mut self, selector: &IdSelector<'_>) -> Result<usize, EditError> {
        match self.as_remove() {
            Some(able) => able.remove(selector),
            None => Err(self.unable("remove").into()),
        }
    }

    /// Calls [`Update::update`] with default options.
    ///
    /// # Errors
    /// As [`Update::update`]; [`Unable`] without the ability.
    pub fn update<'r>(&mut self, ids: &[Id], rows: impl Into<AnyRows<'r>>) -> Result<(), EditError> {
        self.update_with(ids, rows, &AddOptions::new())
    }

    /// Calls [`Update::update`].
    ///
    /// # Errors
    /// As [`Update::update`]; [`Unable`] without the ability.
    pub fn update_with<'r>(
        &mut self,
        ids: &[Id],
        rows: impl Into<AnyRows<'r>>,
        options: &AddOptions<'_>,
    ) -> Result<(), EditError> {
        match self.as_update() {
            Some(able) => able.update(ids, rows.into(), options),
            None => Err(self.unable("update").into()),
        }
    }

    /// Calls [`Upsert::upsert`] with default options.
    ///
    /// ```
    /// # use ivf_core::{Id, IdSelector, Metric, Rows};
    /// let mut index = ivf_factory::build("Flat", 1, Metric::L2)?;
    /// index.add(Rows::new(&[0.0_f32, 1.0], 1)?)?;
    /// let two = Rows::new(&[5.0_f32, 6.0], 1)?;
    /// // An update needs both ids to be there.
    /// assert!(index.update(&[Id(1), Id(9)], two).is_err());
    /// let report = index.upsert(&[Id(1), Id(9)], two)?;
    /// assert_eq!((report.updated, report.added), (1, 1));
    /// assert_eq!(index.reconstruct(Id(1))?, [5.0]);
    ///
    /// assert_eq!(index.remove(&IdSelector::range(1..1000))?, 2);
    /// // After a removal, ids count on. After a reset, they count from 0.
    /// index.reset()?;
    /// index.add(two)?;
    /// assert_eq!(index.reconstruct_n(0..2)?, [5.0, 6.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Upsert::upsert`]; [`Unable`] without the ability.
    pub fn upsert<'r>(&mut self, ids: &[Id], rows: impl Into<AnyRows<'r>>) -> Result<UpsertReport, EditError> {
        self.upsert_with(ids, rows, &AddOptions::new())
    }

    /// Calls [`Upsert::upsert`].
    ///
    /// # Errors
    /// As [`Upsert::upsert`]; [`Unable`] without the ability.
    pub fn upsert_with<'r>(
        &mut self,
        ids: &[Id],
        rows: impl Into<AnyRows<'r>>,
        options: &AddOptions<'_>,
    ) -> Result<UpsertReport, EditError> {
        match self.as_upsert() {
            Some(able) => able.upsert(ids, rows.into(), options),
            None => Err(self.unable_unless_wrapped("upsert").into()),
        }
    }

    /// Calls [`ScanIds::scan_ids`].
    ///
    /// ```
    /// # use ivf_core::{Id, Metric, Rows};
    /// let mut index = ivf_factory::build("Flat", 1, Metric::L2)?;
    /// index.add_with_ids(Rows::new(&[0.0_f32, 1.0], 1)?, &[Id(70), Id(-3)])?;
    /// let mut largest = None;
    /// index.scan_ids(|id| largest = largest.max(Some(id)))?;
    /// assert_eq!(largest, Some(Id(70)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`ScanIds::scan_ids`]; [`Unable`] without the ability.
    pub fn scan_ids(&self, mut found: impl FnMut(Id)) -> Result<(), ReconstructError> {
        let scan = self.as_scan_ids().ok_or_else(|| self.unable("list its ids"))?;
        Ok(scan.scan_ids(&mut found)?)
    }

    /// Calls [`Merge::merge_from`] with default options.
    ///
    /// ```
    /// # use ivf_core::{Id, Metric, Rows, ability::Subset};
    /// # let mut index = ivf_factory::build("IVF2,Flat", 1, Metric::L2)?;
    /// index.train(Rows::new(&[0.0_f32, 1.0, 10.0, 11.0], 1)?)?;
    /// let mut shard = index.clone_index()?;
    /// index.add(Rows::new(&[0.0_f32, 1.0], 1)?)?;
    /// shard.add(Rows::new(&[10.0_f32, 11.0], 1)?)?;
    /// // The ids of the shard, 0 and 1, become 2 and 3.
    /// index.merge_from(&mut *shard, 2)?;
    /// assert_eq!((index.len(), shard.len(), index.reconstruct(Id(3))?), (4, 0, vec![11.0]));
    /// // The shard gets the odd ids again, this time as copies.
    /// let odd = Subset::IdModulo { modulus: 2, remainder: 1 };
    /// assert_eq!((index.copy_subset_to(&mut *shard, &odd)?, index.len()), (2, 4));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Merge::merge_from`]; [`Unable`] without the ability.
    pub fn merge_from(&mut self, other: &mut dyn Index, shift: i64) -> Result<(), MergeError> {
        self.merge_from_with(other, shift, &AddOptions::new())
    }

    /// Calls [`Merge::merge_from`].
    ///
    /// # Errors
    /// As [`Merge::merge_from`]; [`Unable`] without the ability.
    pub fn merge_from_with(
        &mut self,
        other: &mut dyn Index,
        shift: i64,
        options: &AddOptions<'_>,
    ) -> Result<(), MergeError> {
        match self.as_merge() {
            Some(able) => able.merge_from(other, shift, options),
            None => Err(self.unable("merge").into()),
        }
    }

    /// Calls [`CopySubset::copy_subset_to`] with default options.
    ///
    /// # Errors
    /// As [`CopySubset::copy_subset_to`]; [`Unable`] without the ability.
    pub fn copy_subset_to(&self, other: &mut dyn Index, subset: &Subset<'_>) -> Result<usize, MergeError> {
        self.copy_subset_to_with(other, subset, &AddOptions::new())
    }

    /// Calls [`CopySubset::copy_subset_to`].
    ///
    /// # Errors
    /// As [`CopySubset::copy_subset_to`]; [`Unable`] without the ability.
    pub fn copy_subset_to_with(
        &self,
        other: &mut dyn Index,
        subset: &Subset<'_>,
        options: &AddOptions<'_>,
    ) -> Result<usize, MergeError> {
        let copy = self.as_copy_subset().ok_or_else(|| self.unable("copy a subset"))?;
        copy.copy_subset_to(other, subset, options)
    }

    /// Returns the vectors of the ids from `ids.start` to `ids.end - 1`, row after row.
    ///
    /// # Errors
    /// As [`Reconstruct::reconstruct_many`]; every id must be in the index. [`Unable`] without the
    /// ability.
    pub fn reconstruct_n(&self, ids: Range<i64>) -> Result<Vec<f32>, ReconstructError> {
        if ids.start < ids.end && ids.end.abs_diff(ids.start) > self.len() as u64 {
            // There are more ids than vectors, so at least one is missing. Find it without
            // allocating memory for all of them.
            let mut start = ids.start;
            while start < ids.end {
                let end = start.saturating_add(4096).min(ids.end);
                self.reconstruct_many(&(start..end).map(Id).collect::<Vec<Id>>())?;
                start = end;
            }
        }
        let ids: Vec<Id> = ids.map(Id).collect();
        self.reconstruct_many(&ids)
    }

    /// Calls [`Reconstruct::reconstruct_many`] and returns the vectors, row after row.
    ///
    /// # Errors
    /// As [`Reconstruct::reconstruct_many`]; [`Unable`] without the ability.
    pub fn reconstruct_many(&self, ids: &[Id]) -> Result<Vec<f32>, ReconstructError> {
        let reconstruct = self.as_reconstruct().ok_or_else(|| self.unable("reconstruct"))?;
        let mut vectors = vec![0.0; ids.len() * self.dim()];
        reconstruct.reconstruct_many(ids, &mut vectors)?;
        Ok(vectors)
    }

    /// Calls [`Reconstruct::search_and_reconstruct`] with default parameters.
    ///
    /// # Errors
    /// As [`Reconstruct::search_and_reconstruct`]; [`Unable`] without the ability.
    pub fn search_and_reconstruct<'r>(
        &self,
        queries: impl Into<AnyRows<'r>>,
        k: usize,
    ) -> Result<(SearchResult, Vec<f32>), SearchError> {
        self.search_and_reconstruct_with(queries, k, &SearchParams::new())
    }

    /// Calls [`Reconstruct::search_and_reconstruct`].
    ///
    /// # Errors
    /// As [`Reconstruct::search_and_reconstruct`]; [`Unable`] without the ability.
    pub fn search_and_reconstruct_with<'r>(
        &self,
        queries: impl Into<AnyRows<'r>>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<(SearchResult, Vec<f32>), SearchError> {
        let reconstruct = self.as_reconstruct().ok_or_else(|| self.unable("reconstruct"))?;
        reconstruct.search_and_reconstruct(queries.into(), k, params)
    }

    /// Calls [`Reconstruct::reconstruct`] and returns the vector.
    ///
    /// # Errors
    /// As [`Reconstruct::reconstruct`]; [`Unable`] without the ability.
    pub fn reconstruct(&self, id: Id) -> Result<Vec<f32>, ReconstructError> {
        let reconstruct = self.as_reconstruct().ok_or_else(|| self.unable("reconstruct"))?;
        let mut vector = vec![0.0; self.dim()];
        reconstruct.reconstruct(id, &mut vector)?;
        Ok(vector)
    }

    /// Calls [`StandaloneCodec::sa_encode`] with default options.
    ///
    /// # Errors
    /// As [`StandaloneCodec::sa_encode`]; [`Unable`] without the ability.
    pub fn sa_encode<'r>(&self, rows: impl Into<AnyRows<'r>>) -> Result<Vec<u8>, CodeError> {
        let codec = self.as_standalone_codec().ok_or_else(|| self.unable("encode vectors"))?;
        codec.sa_encode(rows.into(), &AddOptions::new())
    }

    /// Calls [`StandaloneCodec::sa_decode`].
    ///
    /// # Errors
    /// As [`StandaloneCodec::sa_decode`]; [`Unable`] without the ability.
    pub fn sa_decode(&self, codes: &[u8]) -> Result<Vec<f32>, CodeError> {
        self.as_standalone_codec().ok_or_else(|| self.unable("decode vectors"))?.sa_decode(codes)
    }

    /// Calls [`AddCodes::add_codes`] with default options.
    ///
    /// ```
    /// # use ivf_core::{Id, Metric, Rows};
    /// let mut encoder = ivf_factory::build("IVF2,Flat", 1, Metric::L2)?;
    /// encoder.train(Rows::new(&[0.0_f32, 1.0, 10.0, 11.0], 1)?)?;
    /// let mut index = encoder.clone_index()?;
    /// // A code is the number of a list (one byte) and a vector (four bytes).
    /// let codes = encoder.sa_encode(Rows::new(&[10.0_f32, 0.0], 1)?)?;
    /// assert_eq!((codes.len(), encoder.sa_decode(&codes)?), (2 * 5, vec![10.0, 0.0]));
    /// index.add_codes(&codes, Some(&[Id(7), Id(8)]))?;
    /// assert_eq!(index.reconstruct_many(&[Id(8), Id(7)])?, [0.0, 10.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`AddCodes::add_codes`]; [`Unable`] without the ability.
    pub fn add_codes(&mut self, codes: &[u8], ids: Option<&[Id]>) -> Result<AddReport, CodeError> {
        match self.as_add_codes() {
            Some(able) => able.add_codes(codes, ids, &AddOptions::new()),
            None => Err(self.unable("add codes").into()),
        }
    }

    /// Returns the error for an ability that this index lacks.
    pub fn unable(&self, ability: &'static str) -> Unable {
        Unable { ability, index: self.spec(), help: None }
    }

    /// Returns the error for an ability that the index would have inside an id map.
    fn unable_unless_wrapped(&mut self, ability: &'static str) -> Unable {
        let index = self.spec();
        let help = self.as_add().map(|_| format!("wrap it as IDMap2,{index}"));
        Unable { ability, index, help }
    }
}
