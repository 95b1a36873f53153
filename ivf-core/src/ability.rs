//! The optional operations of an index, beside searching. Each of these abilities is a trait of its
//! own.
//!
//! Applications call the methods of `dyn Index` that have the same names. Implementers write the
//! traits, and return `Some(self)` from the methods `as_*` of [`Index`]. For example, these are the
//! edits of a list of numbers. (It ignores the options. A real index would also search.)
//!
//! ```
//! use ivf_core::error::{AddError, EditError, InputError, StoreError};
//! # use ivf_core::*;
//! /// Numbers with their ids.
//! #[derive(Default)]
//! struct Numbers {
//!     entries: Vec<(Id, f32)>,
//!     next: i64,
//! }
//!
//! impl Numbers {
//!     fn check(rows: AnyRows<'_>, ids: &[Id]) -> Result<(), InputError> {
//!         rows.check(1)?;
//!         if ids.len() != rows.len() {
//!             return Err(InputError::IdCount { rows: rows.len(), ids: ids.len() });
//!         }
//!         Ok(())
//!     }
//!
//!     fn has(&self, id: Id) -> bool {
//!         self.entries.iter().any(|(known, _)| *known == id)
//!     }
//! }
//!
//! impl Add for Numbers {
//!     fn add(&mut self, rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<AddReport, AddError> {
//!         let ids: Vec<Id> = (self.next..).take(rows.len()).map(Id).collect();
//!         self.add_with_ids(rows, &ids, options)
//!     }
//! }
//!
//! impl AddWithIds for Numbers {
//!     fn add_with_ids(&mut self, rows: AnyRows<'_>, ids: &[Id], _: &AddOptions<'_>) -> Result<AddReport, AddError> {
//!         Self::check(rows, ids)?;
//!         let mut scratch = Vec::new();
//!         let numbers = rows.to_f32(&mut scratch).as_slice();
//!         self.entries.extend(ids.iter().copied().zip(numbers.iter().copied()));
//!         self.next = ids.iter().map(|id| id.0.saturating_add(1)).fold(self.next, i64::max);
//!         Ok(AddReport::new(ids.len(), Vec::new()))
//!     }
//! }
//!
//! impl Remove for Numbers {
//!     fn remove(&mut self, selector: &IdSelector<'_>) -> Result<usize, EditError> {
//!         let before = self.entries.len();
//!         self.entries.retain(|(id, _)| !selector.contains(*id));
//!         Ok(before - self.entries.len())
//!     }
//! }
//!
//! impl Upsert for Numbers {
//!     fn upsert(
//!         &mut self,
//!         ids: &[Id],
//!         rows: AnyRows<'_>,
//!         options: &AddOptions<'_>,
//!     ) -> Result<UpsertReport, EditError> {
//!         // Everything is checked before the first change.
//!         Self::check(rows, ids)?;
//!         if let Some((_, twice)) = ids.iter().enumerate().find(|(i, id)| ids[..*i].contains(id)) {
//!             return Err(EditError::TwiceNamed(*twice));
//!         }
//!         let updated = ids.iter().filter(|id| self.has(**id)).count();
//!         self.remove(&IdSelector::set(ids.iter().copied()))?;
//!         self.add_with_ids(rows, ids, options)?;
//!         Ok(UpsertReport::new(updated, ids.len() - updated))
//!     }
//! }
//!
//! impl Update for Numbers {
//!     fn update(&mut self, ids: &[Id], rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<(), EditError> {
//!         match ids.iter().find(|id| !self.has(**id)) {
//!             Some(missing) => Err(EditError::NoSuchId(*missing)),
//!             None => self.upsert(ids, rows, options).map(|_| ()),
//!         }
//!     }
//! }
//!
//! impl Reset for Numbers {
//!     fn reset(&mut self) -> Result<(), StoreError> {
//!         *self = Self::default();
//!         Ok(())
//!     }
//! }
//!
//! let options = AddOptions::new();
//! let (one, two) = (Rows::new(&[7.5_f32], 1)?.into(), Rows::new(&[0.5_f32, 1.5], 1)?.into());
//! let mut numbers = Numbers::default();
//! numbers.add(two, &options)?;
//! numbers.upsert(&[Id(1), Id(9)], two, &options)?;
//! assert_eq!(numbers.entries, [(Id(0), 0.5), (Id(1), 0.5), (Id(9), 1.5)]);
//! assert!(matches!(numbers.update(&[Id(3)], one, &options), Err(EditError::NoSuchId(Id(3)))));
//!
//! // Ids continue after the largest ever added, until all vectors are removed by a reset.
//! assert_eq!(numbers.remove(&IdSelector::range(0..100))?, 3);
//! numbers.add(one, &options)?;
//! numbers.reset()?;
//! numbers.add(one, &options)?;
//! assert_eq!(numbers.entries, [(Id(0), 7.5)]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::accelerator::{AcceleratedParts, Accelerator};
use crate::error::{AddError, CodeError, EditError, MergeError, ReconstructError, SearchError, StoreError, TrainError};
use crate::hits::SearchResult;
use crate::id::Id;
use crate::index::Index;
use crate::params::{AddOptions, SearchParams, Takes, TrainOptions};
use crate::report::{AddReport, TrainReport, UpsertReport};
use crate::rows::AnyRows;
use crate::selector::IdSelector;
use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

/// The ability to learn from vectors.
///
/// ```
/// use ivf_core::error::TrainError;
/// use ivf_core::{AnyRows, Rows, Train, TrainOptions, TrainReport};
/// /// Learns the mean of numbers.
/// #[derive(Default)]
/// struct Mean(f32);
///
/// impl Train for Mean {
///     fn train(&mut self, rows: AnyRows<'_>, options: &TrainOptions<'_>) -> Result<TrainReport, TrainError> {
///         options.check_cancel()?;
///         rows.check(1)?;
///         if rows.is_empty() {
///             return Err(TrainError::TooFew { who: "the means".to_owned(), needed: 1, found: 0 });
///         }
///         let mut scratch = Vec::new();
///         let numbers = rows.to_f32(&mut scratch).as_slice();
///         self.0 = numbers.iter().sum::<f32>() / numbers.len() as f32;
///         let mut report = TrainReport::default();
///         report.points = numbers.len();
///         Ok(report)
///     }
///
///     fn training_points(&mut self, _: &TrainOptions<'_>) -> usize {
///         usize::MAX
///     }
///
///     fn training_memory(&mut self, _: usize, _: &TrainOptions<'_>) -> usize {
///         0 // the numbers are added one by one
///     }
/// }
///
/// let mut mean = Mean::default();
/// mean.train(Rows::new(&[1.0_f32, 2.0, 6.0], 1)?.into(), &TrainOptions::new())?;
/// assert_eq!(mean.0, 3.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Train {
    /// Learns from `rows`, or from a sample of them if there are more than it can use. An empty
    /// index that is already trained discards its trained state.
    ///
    /// # Errors
    /// [`TrainError`] if the vectors are too few or unusable, if the index already holds vectors,
    /// or if the caller cancelled. The index is as it was before.
    fn train(&mut self, rows: AnyRows<'_>, options: &TrainOptions<'_>) -> Result<TrainReport, TrainError>;

    /// Returns the maximum number of vectors that training uses, or `usize::MAX` if it uses all of
    /// them. If given more, training samples this many.
    ///
    /// Callers that are short of memory can sample this many vectors themselves, at random. The
    /// result is equivalent. (The index is borrowed mutably because a wrapper reaches the training
    /// of its inner index through [`Index::as_train`].)
    ///
    /// ```
    /// use ivf_core::{Metric, TrainOptions};
    /// let mut index = ivf_factory::build("IVF1000,Flat", 64, Metric::L2)?;
    /// let options = TrainOptions::new();
    /// let train = index.as_train().ok_or("it needs no training")?;
    /// // 256 vectors for each list. A caller need not load more.
    /// let most = train.training_points(&options);
    /// assert_eq!(most, 256_000);
    /// // The program needs this memory, and that of the vectors:
    /// let bytes = train.training_memory(most, &options) + most * 64 * size_of::<f32>();
    /// assert!(bytes > 65_536_000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn training_points(&mut self, options: &TrainOptions<'_>) -> usize;

    /// Returns the peak memory of training on `points` vectors, in bytes. These vectors (as `f32`)
    /// and the final trained state of the index are not included. The value never falls as `points`
    /// grows.
    fn training_memory(&mut self, points: usize, options: &TrainOptions<'_>) -> usize;
}

/// The ability to add vectors with consecutive ids, which the index assigns.
pub trait Add {
    /// Adds vectors. Their ids count up from the one after the largest id ever added. If no id of 0
    /// or above was ever added, they count up from 0.
    ///
    /// # Errors
    /// [`AddError`] if the vectors are unusable, the index is not trained, the caller cancelled, or
    /// the lists cannot be written. The index is as it was before.
    fn add(&mut self, rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<AddReport, AddError>;
}

/// The ability to add vectors with the caller's ids.
pub trait AddWithIds {
    /// Adds vectors, with `ids[i]` as the id of row `i`. Every id is allowed, including negative
    /// ids and ids that are already in the index.
    ///
    /// # Errors
    /// As [`Add::add`], and if the number of ids is not the number of rows.
    fn add_with_ids(&mut self, rows: AnyRows<'_>, ids: &[Id], options: &AddOptions<'_>) -> Result<AddReport, AddError>;
}

/// The ability to take back the vectors that were just added.
///
/// A wrapper of several indexes adds to one after the other. If one of them fails, it takes back
/// the vectors from those before. (A [clone](Index::clone_index) does the same, but a write to a
/// list that a clone shares copies the list.)
///
/// ```
/// use ivf_core::{Metric, Rows};
/// let mut index = ivf_factory::build("Flat", 1, Metric::L2)?;
/// index.add(Rows::new(&[0.5_f32], 1)?)?;
/// let undo = index.as_undo().ok_or("a clone would do")?;
/// let mark = undo.mark()?;
/// index.add(Rows::new(&[1.5_f32, 2.5], 1)?)?;
/// index.as_undo().ok_or("it had the ability before")?.undo(mark)?;
/// assert_eq!(index.len(), 1);
/// // Ids count on as if nothing had been added since the mark.
/// index.add(Rows::new(&[3.5_f32], 1)?)?;
/// assert_eq!(index.reconstruct(1.into())?, [3.5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Undo {
    /// Returns a mark of the present state.
    ///
    /// # Errors
    /// [`StoreError`] if the lists cannot be read.
    fn mark(&self) -> Result<AddMark, StoreError>;

    /// Returns to the state of `mark`, which this index made. Since then, vectors were only added.
    ///
    /// # Errors
    /// [`StoreError`] if the mark is of another index, or if the lists cannot be written.
    fn undo(&mut self, mark: AddMark) -> Result<(), StoreError>;
}

/// A state of an index between two adds, to which [`Undo::undo`] returns.
///
/// ```
/// use ivf_core::ability::AddMark;
/// // An implementer stores what it needs, such as the number of vectors.
/// let mark = AddMark::new(7_usize);
/// assert_eq!(mark.into_inner::<usize>()?, 7);
/// assert!(AddMark::new(7_usize).into_inner::<String>().is_err());
/// # Ok::<(), ivf_core::error::StoreError>(())
/// ```
#[derive(Debug)]
pub struct AddMark(Box<dyn Any + Send>);

impl AddMark {
    /// Creates a mark that holds `state`.
    pub fn new(state: impl Any + Send) -> Self {
        Self(Box::new(state))
    }

    /// Returns the state in the mark.
    ///
    /// # Errors
    /// [`StoreError::Inconsistent`] if the mark holds a state of another type.
    pub fn into_inner<T: Any>(self) -> Result<T, StoreError> {
        let wrong = |_| StoreError::Inconsistent("the mark is of another kind of index".to_owned());
        self.0.downcast::<T>().map(|state| *state).map_err(wrong)
    }
}

/// The ability to remove all vectors.
pub trait Reset {
    /// Removes all vectors and keeps the trained state. Ids count from 0 again.
    ///
    /// # Errors
    /// [`StoreError`] if the lists cannot be written.
    fn reset(&mut self) -> Result<(), StoreError>;
}

/// The ability to find all vectors within a radius.
///
/// ```
/// use ivf_core::error::SearchError;
/// use ivf_core::index_ivf::check_radius;
/// # use ivf_core::*;
/// /// The numbers 0, 1, 2, ... below a limit. The id of each is the number itself.
/// struct Below(i64);
///
/// impl RangeSearch for Below {
///     fn range_search(
///         &self,
///         queries: AnyRows<'_>,
///         radius: f32,
///         params: &SearchParams<'_>,
///     ) -> Result<SearchResult, SearchError> {
///         check_radius(radius)?;
///         params.only("an index of numbers", &self.range_takes())?;
///         queries.check(1)?;
///         let most = params.max_results.filter(|most| *most > 0).unwrap_or(usize::MAX);
///         let mut scratch = Vec::new();
///         let sinks = queries.to_f32(&mut scratch).iter().map(|query| {
///             let mut sink = Sink::top_k_within(most, radius);
///             for id in 0..self.0 {
///                 let distance = (query[0] - id as f32).powi(2);
///                 sink.push(Neighbor { distance, id: Id(id), location: Location::default() });
///             }
///             sink
///         });
///         let hits = Hits::from_sinks(Metric::L2, sinks, false);
///         Ok(SearchResult::new(hits, SearchStats::of_queries(queries.len())))
///     }
///
///     fn range_takes(&self) -> Takes {
///         Takes::of(&[SearchParam::MaxResults])
///     }
/// }
///
/// let query = Rows::new(&[5.0_f32], 1)?.into();
/// let found = Below(10).range_search(query, 4.0, &SearchParams::new())?;
/// // 3 and 7 are at exactly the radius, a squared distance.
/// assert_eq!(found.hits.row(0).ids, [Id(5), Id(4), Id(6)]);
/// let found = Below(10).range_search(query, 4.0, &SearchParams::new().max_results(1))?;
/// assert_eq!(found.hits.row(0).ids, [Id(5)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait RangeSearch {
    /// Returns all vectors nearer than `radius` (strictly): distances below it, or similarities
    /// above it.
    ///
    /// # Errors
    /// As [`Index::search_rows`], and if the radius is NaN.
    fn range_search(
        &self,
        queries: AnyRows<'_>,
        radius: f32,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError>;

    /// Returns the parameters that a range search supports.
    fn range_takes(&self) -> Takes;
}

/// The ability to remove some vectors.
pub trait Remove {
    /// Removes the vectors whose ids are selected, and returns the number of removed entries. The
    /// other vectors keep their ids.
    ///
    /// # Errors
    /// [`EditError`] if the lists cannot be read or written.
    fn remove(&mut self, selector: &IdSelector<'_>) -> Result<usize, EditError>;
}

/// The ability to replace vectors.
pub trait Update {
    /// Replaces the vectors of `ids` by `rows`. If several entries have the same id, one entry
    /// replaces all of them.
    ///
    /// # Errors
    /// [`EditError`] if an id is not in the index or occurs twice in `ids`, or if a vector is
    /// unusable. ([`NonFinite::SkipRow`](crate::params::NonFinite) has no effect here: it would
    /// leave an id without a vector.) The index is as it was before.
    fn update(&mut self, ids: &[Id], rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<(), EditError>;
}

/// The ability to replace vectors and add those whose ids are new.
pub trait Upsert {
    /// Replaces the vectors of the ids that are in the index, as [`Update::update`] does. Adds the
    /// vectors of the other ids, as [`AddWithIds::add_with_ids`] does.
    ///
    /// # Errors
    /// As both, and if an id occurs twice in `ids`. (With an array direct map, new ids must
    /// continue the sequence of ids; an id that was removed is refused.) The index is as it was
    /// before.
    fn upsert(&mut self, ids: &[Id], rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<UpsertReport, EditError>;
}

/// The ability to pass through all ids.
///
/// ```
/// use ivf_core::error::StoreError;
/// use ivf_core::{Id, ScanIds};
/// /// The ids of each list.
/// struct Lists(Vec<Vec<Id>>);
///
/// impl ScanIds for Lists {
///     fn scan_ids(&self, found: &mut dyn FnMut(Id)) -> Result<(), StoreError> {
///         self.0.iter().flatten().for_each(|id| found(*id));
///         Ok(())
///     }
/// }
///
/// let lists = Lists(vec![vec![Id(7), Id(2)], vec![Id(7)]]);
/// let mut found = Vec::new();
/// lists.scan_ids(&mut |id| found.push(id))?;
/// found.sort();
/// assert_eq!(found, [Id(2), Id(7), Id(7)]); // two entries have the id 7
/// # Ok::<(), StoreError>(())
/// ```
pub trait ScanIds {
    /// Calls `found` with the id of each entry, in no order that callers may rely on. An id that
    /// several entries have comes once for each of them.
    ///
    /// # Errors
    /// [`StoreError`] if the lists cannot be read. `found` may have been called before.
    fn scan_ids(&self, found: &mut dyn FnMut(Id)) -> Result<(), StoreError>;
}

/// The ability to compute the distances from a query to the vectors of given ids. (Faiss's
/// `DistanceComputer`.)
///
/// An index without it can still be measured if it has [`Reconstruct`].
///
/// ```
/// use ivf_core::{Id, Metric, Rows};
/// let mut index = ivf_factory::build("Flat", 1, Metric::InnerProduct)?;
/// index.add(Rows::new(&[0.0_f32, 255.0], 1)?)?;
/// let mut distances = [0.0; 2];
/// index.as_distances().ok_or("no distances")?.distances_to(&[2.0], &[Id(1), Id(0)], &mut distances)?;
/// // Smaller is closer, so the inner products are negated.
/// assert_eq!(distances, [-510.0, 0.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Distances {
    /// Writes the inner distances (smaller is closer) from `query` to the vectors of `ids` to
    /// `distances`: to those that codes stand for, or as a search estimates them.
    ///
    /// # Errors
    /// [`SearchError`] if the query or an output has another length, an id is not in the index, the
    /// index is not trained, or the lists cannot be read.
    fn distances_to(&self, query: &[f32], ids: &[Id], distances: &mut [f32]) -> Result<(), SearchError>;
}

/// The ability to reconstruct vectors from their codes.
///
/// ```
/// use ivf_core::ability::check_output;
/// use ivf_core::error::{ReconstructError, SearchError};
/// # use ivf_core::*;
/// /// The numbers 0, 1, 2, ... below a limit. The id of each is the number itself.
/// struct Below(i64);
///
/// # impl Below {
/// #     fn search_rows(&self, queries: AnyRows<'_>, k: usize, _: &SearchParams<'_>)
/// #     -> Result<SearchResult, SearchError> {
/// #         let mut scratch = Vec::new();
/// #         let sinks = queries.to_f32(&mut scratch).iter().map(|query| {
/// #             let mut sink = Sink::top_k(k);
/// #             for id in 0..self.0 {
/// #                 let distance = (query[0] - id as f32).powi(2);
/// #                 sink.push(Neighbor { distance, id: Id(id), location: Location::default() });
/// #             }
/// #             sink
/// #         });
/// #         Ok(SearchResult::new(Hits::from_sinks(Metric::L2, sinks, false), SearchStats::of_queries(1)))
/// #     }
/// # }
/// #
/// impl Reconstruct for Below {
///     fn reconstruct(&self, id: Id, vector: &mut [f32]) -> Result<(), ReconstructError> {
///         check_output(1, 1, vector)?;
///         if !(0..self.0).contains(&id.0) {
///             return Err(ReconstructError::NoSuchId(id));
///         }
///         vector[0] = id.0 as f32;
///         Ok(())
///     }
///
///     fn search_and_reconstruct(
///         &self,
///         queries: AnyRows<'_>,
///         k: usize,
///         params: &SearchParams<'_>,
///     ) -> Result<(SearchResult, Vec<f32>), SearchError> {
///         let found = self.search_rows(queries, k, params)?;
///         let vectors = found.hits.ids().iter().map(|id| id.0 as f32).collect();
///         Ok((found, vectors))
///     }
/// }
///
/// let mut vectors = [0.0; 2];
/// Below(10).reconstruct_many(&[Id(7), Id(3)], &mut vectors)?;
/// assert_eq!(vectors, [7.0, 3.0]);
/// assert!(Below(10).reconstruct_many(&[Id(7), Id(30)], &mut vectors).is_err());
///
/// let query = Rows::new(&[6.9_f32], 1)?.into();
/// let (_, vectors) = Below(10).search_and_reconstruct(query, 2, &SearchParams::new())?;
/// assert_eq!(vectors, [7.0, 6.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Reconstruct {
    /// Writes the vector of `id`, as its code approximates it, to `vector` (`dim` elements). If
    /// several entries have the id, it is the vector of the first one in list order.
    ///
    /// # Errors
    /// [`ReconstructError`] if no entry has the id, or if `vector` has another length.
    fn reconstruct(&self, id: Id, vector: &mut [f32]) -> Result<(), ReconstructError>;

    /// Writes the vectors of `ids`, row after row (`ids.len() x dim` elements). An index without a
    /// direct map finds all of them in one pass over its lists.
    ///
    /// # Errors
    /// [`ReconstructError`] if an id is not in the index (the rows before it may be written), or if
    /// `vectors` has another length.
    fn reconstruct_many(&self, ids: &[Id], vectors: &mut [f32]) -> Result<(), ReconstructError> {
        let dim = vectors.len().checked_div(ids.len()).unwrap_or(0);
        check_output(ids.len(), dim.max(1), vectors)?;
        ids.iter().zip(vectors.chunks_exact_mut(dim.max(1))).try_for_each(|(id, vector)| self.reconstruct(*id, vector))
    }

    /// Searches like [`Index::search_rows`], and also returns the vectors of the results in the
    /// same order, row after row (`hits.total() x dim` elements). If several entries have one id,
    /// these are the vectors of the entries that were found.
    ///
    /// # Errors
    /// As [`Index::search_rows`], and if the lists cannot be read.
    fn search_and_reconstruct(
        &self,
        queries: AnyRows<'_>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<(SearchResult, Vec<f32>), SearchError>;
}

/// Checks that the length of an output is that of `rows` vectors of dimension `dim`.
///
/// # Errors
/// [`ReconstructError::OutputLength`] if it is not.
pub fn check_output(rows: usize, dim: usize, output: &[f32]) -> Result<(), ReconstructError> {
    match rows.checked_mul(dim) {
        Some(expected) if expected == output.len() => Ok(()),
        expected => {
            let expected = expected.unwrap_or(usize::MAX);
            Err(ReconstructError::OutputLength { expected, found: output.len() })
        }
    }
}

/// The ability to absorb the vectors of another index.
///
/// ```
/// # use ivf_core::{Metric, Rows};
/// # let mut index = ivf_factory::build("IVF2,Flat", 1, Metric::L2)?;
/// # let mut other = ivf_factory::build("IVF2,Flat", 1, Metric::L2)?;
/// index.train(Rows::new(&[0.0_f32, 1.0, 10.0, 11.0], 1)?)?;
/// other.train(Rows::new(&[0.0_f32, 1.0, 20.0, 21.0], 1)?)?;
/// other.add(Rows::new(&[0.0_f32], 1)?)?;
/// // The second list of `other` is elsewhere.
/// assert!(index.merge_from(&mut *other, 0).is_err());
/// assert_eq!((index.len(), other.len()), (0, 1));
///
/// // A clone has the same training.
/// let mut shard = index.clone_index()?;
/// shard.add(Rows::new(&[0.0_f32], 1)?)?;
/// index.merge_from(&mut *shard, 0)?;
/// assert_eq!((index.len(), shard.len()), (1, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Merge {
    /// Moves all vectors of `other` into this index and adds `shift` to their ids. `other` must be
    /// an index of the same kind with the same trained state.
    ///
    /// # Errors
    /// [`MergeError`] if the indexes are incompatible, or if an id overflows. Both indexes are as
    /// they were before.
    fn merge_from(&mut self, other: &mut dyn Index, shift: i64, options: &AddOptions<'_>) -> Result<(), MergeError>;
}

/// The ability to copy some of the vectors into another index.
///
/// ```
/// # use ivf_core::ability::Subset;
/// # use ivf_core::{IdSelector, Metric, Rows};
/// let mut index = ivf_factory::build("Flat", 1, Metric::L2)?;
/// let mut parts = [index.clone_index()?, index.clone_index()?];
/// index.add(Rows::new(&[0.0_f32, 1.0, 2.0], 1)?)?;
/// // A partition: each entry is in one part.
/// for (remainder, part) in (0..).zip(&mut parts) {
///     index.copy_subset_to(&mut **part, &Subset::IdModulo { modulus: 2, remainder })?;
/// }
/// assert_eq!(parts.each_ref().map(|part| part.len()), [2, 1]);
/// assert_eq!(index.len(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait CopySubset {
    /// Adds the entries of a subset to `other`, with their ids, and returns the number of entries.
    /// `other` must be an index of the same kind with the same trained state. This index does not
    /// change.
    ///
    /// # Errors
    /// [`MergeError`] if the indexes are incompatible, or if the subset is invalid
    /// ([`MergeError::Subset`]). `other` is as it was before.
    fn copy_subset_to(
        &self,
        other: &mut dyn Index,
        subset: &Subset<'_>,
        options: &AddOptions<'_>,
    ) -> Result<usize, MergeError>;
}

/// A subset of the entries of an index. (Faiss's `subset_type` 0 to 4, and arbitrary sets of ids.)
///
/// The parts of a partition contain every entry exactly once. Partitions are
/// [`IdModulo`](Self::IdModulo) with every remainder, [`Elements`](Self::Elements) with adjoining
/// ranges, [`ListFraction`](Self::ListFraction) with every part, and [`Lists`](Self::Lists) with
/// adjoining ranges.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Subset<'a> {
    /// The entries whose ids are selected. Faiss's `ID_RANGE` is `IdSelector::range`.
    Ids(&'a IdSelector<'a>),
    /// The entries whose ids leave `remainder` when divided by `modulus`. The remainder is from 0
    /// to `modulus - 1`, for negative ids too.
    IdModulo {
        /// The divisor, at least 1.
        modulus: i64,
        /// The remainder.
        remainder: i64,
    },
    /// The entries whose ranks are in this range. Ranks advance through all lists in proportion:
    /// entry `i` of a list of `n` is ranked by the key `(2 i + 1) / 2 n`, and equal keys by list
    /// number. Each list thus contributes about the same share of its entries, in order. (Faiss's
    /// `ELEMENT_RANGE` rounds per list, so an entry may be in two adjoining ranges, or in none.)
    Elements(Range<usize>),
    /// The `part`-th of `of` pieces of each list, in order.
    ListFraction {
        /// The number of the piece, counted from 0.
        part: usize,
        /// The number of pieces.
        of: usize,
    },
    /// All entries of the lists in this range.
    Lists(Range<usize>),
}

/// The ability to encode vectors without storing them. (Faiss's `sa_encode`, `sa_decode`.)
///
/// ```
/// use ivf_core::error::CodeError;
/// use ivf_core::{AddOptions, AnyRows, Rows, StandaloneCodec};
/// /// Numbers as four bytes each.
/// struct Bytes;
///
/// impl StandaloneCodec for Bytes {
///     fn sa_code_size(&self) -> Result<usize, CodeError> {
///         Ok(4)
///     }
///
///     fn sa_encode(&self, rows: AnyRows<'_>, _: &AddOptions<'_>) -> Result<Vec<u8>, CodeError> {
///         rows.check(1)?;
///         let mut scratch = Vec::new();
///         let numbers = rows.to_f32(&mut scratch).as_slice();
///         Ok(numbers.iter().flat_map(|number| number.to_le_bytes()).collect())
///     }
///
///     fn sa_decode(&self, codes: &[u8]) -> Result<Vec<f32>, CodeError> {
///         if !codes.len().is_multiple_of(4) {
///             return Err(CodeError::Length { code_size: 4, found: codes.len() });
///         }
///         Ok(codes.chunks_exact(4).map(|code| f32::from_le_bytes([code[0], code[1], code[2], code[3]])).collect())
///     }
/// }
///
/// let codes = Bytes.sa_encode(Rows::new(&[1.5_f32, -2.0], 1)?.into(), &AddOptions::new())?;
/// assert_eq!(codes.len(), 2 * Bytes.sa_code_size()?);
/// assert_eq!(Bytes.sa_decode(&codes)?, [1.5, -2.0]);
/// assert!(Bytes.sa_decode(&codes[1..]).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait StandaloneCodec {
    /// Returns the size of a standalone code in bytes. It consists of the list number, if there are
    /// lists, and the code.
    fn sa_code_size(&self) -> Result<usize, CodeError>;

    /// Encodes vectors into codes of `sa_code_size` bytes each.
    ///
    /// # Errors
    /// [`CodeError`] if the vectors are unusable or the index is not trained.
    fn sa_encode(&self, rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<Vec<u8>, CodeError>;

    /// Decodes codes made by [`sa_encode`](Self::sa_encode) into vectors of `dim` elements, row
    /// after row. The codes may come from an untrusted source.
    ///
    /// # Errors
    /// [`CodeError`] if the length of `codes` is not a multiple of the code size, or if a code
    /// names a list that does not exist.
    fn sa_decode(&self, codes: &[u8]) -> Result<Vec<f32>, CodeError>;
}

/// The ability to add codes made by a standalone codec. (Faiss's `add_sa_codes`.)
///
/// ```
/// # use ivf_core::{Id, Metric, Rows};
/// let mut index = ivf_factory::build("Flat", 1, Metric::L2)?;
/// let codes = index.sa_encode(Rows::new(&[1.5_f32, -2.0], 1)?)?;
/// // Another process may have made the codes, so they are checked.
/// assert!(index.add_codes(&codes[1..], None).is_err());
/// assert_eq!(index.add_codes(&codes, None)?.added, 2);
/// assert_eq!(index.reconstruct(Id(1))?, [-2.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait AddCodes {
    /// Adds codes made by [`StandaloneCodec::sa_encode`] of this index, or of one with the same
    /// trained state. The id of code `i` is `ids[i]`; if `ids` is `None`, ids count up as in
    /// [`Add::add`].
    ///
    /// # Errors
    /// [`CodeError`] if the length of `codes` is not a multiple of the code size, if a code names a
    /// list that does not exist, or if the number of ids is not the number of codes.
    fn add_codes(&mut self, codes: &[u8], ids: Option<&[Id]>, options: &AddOptions<'_>)
    -> Result<AddReport, CodeError>;
}

/// The ability to let a device, such as a GPU, search the lists.
///
/// An accelerator is made from the parts of the index. Any change of the lists, the codec or the
/// quantizer drops it, also a change that fails half way. A [clone](Index::clone_index) keeps it
/// until the clone changes. It is not part of files.
///
/// The CPU still handles searches with a collector. It scans the lists if a parameter or a knob of
/// the codec has another value than its default, and finds them if one of the quantizer has.
///
/// [`accelerator`](crate::accelerator) has an example with a device.
///
/// ```
/// use ivf_core::{Metric, Rows};
/// let mut index = ivf_factory::build("Flat", 1, Metric::L2)?;
/// index.add(Rows::new(&[1.0_f32, 2.0], 1)?)?;
/// let ability = index.as_accelerate_mut().ok_or("it has no lists")?;
/// let parts = ability.accelerated().ok_or("it is not trained")?;
/// // A device copies the codes, and is set as the accelerator.
/// assert_eq!((parts.lists.total_len()?, parts.bound.codec().layout().code_size()), (2, 4));
/// // From now on, the CPU searches again.
/// ability.set_accelerator(None)?;
/// assert!(ability.accelerator().is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Accelerate {
    /// Returns the present parts of the index, or `None` if it is not trained. If the index is
    /// behind a transform, they are of transformed vectors.
    fn accelerated(&self) -> Option<AcceleratedParts>;

    /// Returns the accelerator, or `None` if the CPU searches.
    fn accelerator(&self) -> Option<Arc<dyn Accelerator>>;

    /// Sets or removes the accelerator. It must be made from the present
    /// [parts](Self::accelerated): one made from others would return their results.
    ///
    /// # Errors
    /// [`SearchError::NotTrained`] if an accelerator is given and the index is not trained.
    fn set_accelerator(&mut self, accelerator: Option<Arc<dyn Accelerator>>) -> Result<(), SearchError>;
}
