//! The index: the operations of every index, and access to abilities.
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
//!         ("scan_ids", index.as_scan_ids().is_some()), ("undo", index.as_undo().is_some()),
//!         ("distances", index.as_distances().is_some()),
//!         ("accelerate", index.as_accelerate().is_some() && index.as_accelerate_mut().is_some()),
//!         ("lists", index.as_ivf().is_some() && index.as_ivf_mut().is_some()),
//!     ];
//!     abilities.into_iter().filter(|(_, has)| !has).map(|(name, _)| name).collect()
//! }
//! assert!(lacks(&mut *ivf_factory::build("IVF16,Flat", 2, Metric::L2)?).is_empty());
//! assert_eq!(lacks(&mut *ivf_factory::build("Flat", 2, Metric::L2)?), ["train", "lists"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod calls;

use crate::ability::{
    Accelerate, Add, AddCodes, AddWithIds, CopySubset, Distances, Merge, RangeSearch, Reconstruct, Remove, Reset,
    ScanIds, StandaloneCodec, Train, Undo, Update, Upsert,
};
use crate::error::{KnobError, SearchError, StoreError};
use crate::hits::SearchResult;
use crate::index_ivf::{IndexIvf, IndexIvfMut};
use crate::metric::Metric;
use crate::node::Node;
use crate::params::{SearchParams, Takes};
use crate::part::{KnobValue, Part};
use crate::rows::AnyRows;
use crate::spec::SpecText;
use std::any::Any;
use std::fmt;

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

    /// Returns the ability to take back the vectors that were just added.
    fn as_undo(&mut self) -> Option<&mut dyn Undo> {
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

    /// Returns the ability to compute the distances to the vectors of given ids.
    fn as_distances(&self) -> Option<&dyn Distances> {
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

    /// Returns the ability to let a device search the lists.
    fn as_accelerate(&self) -> Option<&dyn Accelerate> {
        None
    }

    /// Returns the ability to let a device search the lists, to choose the device.
    fn as_accelerate_mut(&mut self) -> Option<&mut dyn Accelerate> {
        None
    }

    /// Returns the wrapped index, if this is a wrapper.
    ///
    /// ```
    /// use ivf_core::Metric;
    /// let index = ivf_factory::build("IDMap2,IVF16,Flat,RFlat", 2, Metric::L2)?;
    /// let levels = std::iter::successors(Some(&*index), |index| index.wrapped());
    /// let specs: Vec<String> = levels.map(|index| index.spec()).collect();
    /// assert_eq!(specs, ["IDMap2,IVF16,Flat,RFlat", "IVF16,Flat,RFlat", "IVF16,Flat"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn wrapped(&self) -> Option<&dyn Index> {
        None
    }

    /// Returns the wrapped index, to change its knobs, its quantizer or the order of its lists. Add
    /// and remove vectors only through the wrapper, which keeps ids or copies of them: after a
    /// change behind it, searches may fail or return wrong ids, and the index cannot be saved.
    ///
    /// ```
    /// use ivf_core::Metric;
    /// let mut index = ivf_factory::build("IVF16,Flat,RFlat", 2, Metric::L2)?;
    /// let base = index.wrapped_mut().ok_or("no wrapper")?;
    /// base.set_knob("nprobe", 4)?;
    /// assert!(base.wrapped_mut().is_none()); // an inverted file wraps nothing
    /// assert_eq!(index.knob("nprobe"), Some(4.into()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
