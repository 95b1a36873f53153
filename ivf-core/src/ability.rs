//! The optional operations of an index, beside searching. Each of these abilities is a trait of its
//! own.

use crate::error::{AddError, CodeError, EditError, MergeError, ReconstructError, SearchError, StoreError, TrainError};
use crate::hits::SearchResult;
use crate::id::Id;
use crate::index::Index;
use crate::params::{AddOptions, SearchParams, Takes, TrainOptions};
use crate::report::{AddReport, TrainReport, UpsertReport};
use crate::rows::AnyRows;
use crate::selector::IdSelector;
use std::ops::Range;

/// The ability to learn from vectors.
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

/// The ability to remove all vectors.
pub trait Reset {
    /// Removes all vectors and keeps the trained state. Ids count from 0 again.
    ///
    /// # Errors
    /// [`StoreError`] if the lists cannot be written.
    fn reset(&mut self) -> Result<(), StoreError>;
}

/// The ability to find all vectors within a radius.
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
pub trait ScanIds {
    /// Calls `found` with the id of each entry, in no order that callers may rely on. An id that
    /// several entries have comes once for each of them.
    ///
    /// # Errors
    /// [`StoreError`] if the lists cannot be read. `found` may have been called before.
    fn scan_ids(&self, found: &mut dyn FnMut(Id)) -> Result<(), StoreError>;
}

/// The ability to reconstruct vectors from their codes.
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
