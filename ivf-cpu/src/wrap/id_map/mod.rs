//! `IDMap` and `IDMap2`: caller-supplied ids around an index that numbers its vectors itself.

mod edit;
mod file;
mod numbers;
mod search;

use super::{parts_around, set_inner_knob};
use crate::abilities::abilities;
use ivf_core::ability::{Update, Upsert};
use ivf_core::error::{BuildError, KnobError, PartsError, SearchError, StoreError};
use ivf_core::registry::{Parsed, Side, Token, WrapperRow, WrapperSpec};
use ivf_core::{
    AddReport, AnyRows, Id, Index, KnobValue, Metric, Node, Part, SearchParams, SearchResult, SpecText, Takes,
};
use numbers::Numbers;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

/// The registry row of `IDMap`.
pub(super) const ROW: WrapperRow = WrapperRow::new(
    "id-map",
    "IDMap",
    |token, _| parse(token, Kind::Map),
    |node, registry| Ok(Box::new(IdMap::read(node, registry, Kind::Map)?)),
)
.about("maps the caller's ids to those of an index that numbers its vectors itself")
.samples(&["IDMap"])
.level(1)
.side(Side::Both);

/// The registry row of `IDMap2`.
pub(super) const ROW2: WrapperRow = WrapperRow::new(
    "id-map2",
    "IDMap2",
    |token, _| parse(token, Kind::Map2),
    |node, registry| Ok(Box::new(IdMap::read(node, registry, Kind::Map2)?)),
)
.about("like IDMap, with a hash table of the ids: finding an id needs no scan")
.samples(&["IDMap2"])
.level(0)
.side(Side::Both);

fn parse(token: &Token<'_>, kind: Kind) -> Parsed<dyn WrapperSpec> {
    (token.plain() == Some(kind.row().grammar)).then(|| Ok(Arc::new(kind) as _))
}

/// The kind of id map: `IDMap` or `IDMap2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Map,
    Map2,
}

impl Kind {
    fn row(self) -> WrapperRow {
        match self {
            Kind::Map => ROW,
            Kind::Map2 => ROW2,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().grammar)
    }
}

impl WrapperSpec for Kind {
    fn wrap(&self, inner: Box<dyn Index>) -> Result<Box<dyn Index>, BuildError> {
        Ok(Box::new(IdMap::of_kind(*self, inner)?))
    }
}

/// An index with caller-supplied ids around an index that numbers its vectors itself.
///
/// Results of equal distance are ordered by when they were added. Ties for the last of the k
/// nearest are resolved in the same order. An id takes about 9 bytes. Ids of removed vectors are
/// dropped once they are more than half of all. `IDMap2` has a table from ids to vectors; `IDMap`
/// finds the vectors of an id by a scan of the ids.
///
/// A clone shares the ids and the table until one of the two indexes changes them. The first such
/// change copies them.
///
/// ```
/// use ivf_core::{Id, IdSelector, Index, Metric, Rows};
/// use ivf_cpu::codec::FlatSpec;
/// use ivf_cpu::{CodesIndex, IdMap};
/// use std::sync::Arc;
///
/// let flat = || CodesIndex::new(1, Metric::L2, Arc::new(FlatSpec)).map(Box::new);
/// let mut map = IdMap::new(flat()?)?;
/// let index: &mut dyn Index = &mut map;
/// // One id may name several vectors.
/// index.add_with_ids(Rows::new(&[1.0_f32, 2.0, 3.0], 1)?, &[Id(70), Id(70), Id(90)])?;
/// assert_eq!(index.remove(&IdSelector::sorted(vec![Id(70)]))?, 2);
/// assert_eq!(index.reconstruct(Id(90))?, [3.0]);
/// assert_eq!(map.inner().len(), 1);
///
/// // With a table, such a call does not scan the ids.
/// assert_eq!(IdMap::with_table(flat()?)?.spec(), "IDMap2,Flat");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct IdMap {
    kind: Kind,
    inner: Box<dyn Index>,
    /// The ids of the wrapped index's vectors, by their numbers.
    ids: Arc<Numbers>,
    /// The numbers of each id, ascending; empty for `IDMap`.
    table: Arc<HashMap<Id, Vec<u64>>>,
    /// One more than the largest id ever added; the first id that `add` assigns.
    next_id: u64,
}

/// Returns the memory, in bytes, of a table with capacity for `ids` ids and `numbers` numbers. At
/// most seven of eight buckets are occupied, the number of buckets is a power of two, and each has
/// a byte of metadata. The numbers of an id are in a `Vec`, which has capacity for at least four.
fn table_memory(ids: usize, numbers: usize) -> usize {
    if ids == 0 {
        return 0;
    }
    let places = ids.saturating_mul(8).div_ceil(7).checked_next_power_of_two().unwrap_or(usize::MAX);
    places.saturating_mul(size_of::<(Id, Vec<u64>)>() + 1).saturating_add(numbers.saturating_mul(size_of::<u64>()))
}

/// Name of the wrapped index among the parts.
const INNER: &str = "index";

impl IdMap {
    /// Creates an `IDMap` around an empty index.
    ///
    /// # Errors
    /// [`BuildError::Unable`] if the index cannot add, or is not empty.
    pub fn new(inner: Box<dyn Index>) -> Result<Self, BuildError> {
        Self::of_kind(Kind::Map, inner)
    }

    /// Creates an `IDMap2` around an empty index.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_table(inner: Box<dyn Index>) -> Result<Self, BuildError> {
        Self::of_kind(Kind::Map2, inner)
    }

    fn of_kind(kind: Kind, mut inner: Box<dyn Index>) -> Result<Self, BuildError> {
        let unable = |unable| BuildError::Unable { wrapper: kind.to_string(), unable };
        if !inner.is_empty() {
            return Err(unable(inner.unable("start empty")));
        }
        if inner.as_add().is_none() {
            return Err(unable(inner.unable("add")));
        }
        Ok(Self { kind, inner, ids: Arc::default(), table: Arc::default(), next_id: 0 })
    }

    /// Creates an id map around an index that holds vectors. `ids[i]` is the id of its vector
    /// number `i`, as in an index without removals. The result is an `IDMap2` if `with_table` is
    /// true.
    ///
    /// ```
    /// use ivf_core::{Id, Index, Metric, Rows};
    /// use ivf_cpu::codec::FlatSpec;
    /// use ivf_cpu::{CodesIndex, IdMap};
    /// use std::sync::Arc;
    ///
    /// let mut inner: Box<dyn Index> = Box::new(CodesIndex::new(1, Metric::L2, Arc::new(FlatSpec))?);
    /// inner.add(Rows::new(&[1.0_f32, 2.0], 1)?)?;
    /// let mut map = IdMap::from_parts(inner, vec![Id(70), Id(90)], true)?;
    /// let map: &mut dyn Index = &mut map;
    /// assert_eq!(map.reconstruct(Id(90))?, [2.0]);
    /// // A vector without an id of the caller's gets the one after the largest.
    /// map.add(Rows::new(&[3.0_f32], 1)?)?;
    /// assert_eq!(map.reconstruct(Id(91))?, [3.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`PartsError::Mismatch`] if the number of ids is not the number of vectors.
    pub fn from_parts(inner: Box<dyn Index>, ids: Vec<Id>, with_table: bool) -> Result<Self, PartsError> {
        let kind = if with_table { Kind::Map2 } else { Kind::Map };
        let mut numbers = Numbers::default();
        numbers.reserve(ids.len());
        ids.iter().for_each(|id| {
            numbers.push(*id);
        });
        let next_id = ids.into_iter().map(after).max().unwrap_or(0);
        Self::of_parts(kind, inner, numbers, next_id)
    }

    /// Creates the map from the ids of all vectors.
    fn of_parts(kind: Kind, inner: Box<dyn Index>, ids: Numbers, next_id: u64) -> Result<Self, PartsError> {
        if ids.len() != inner.len() {
            return Err(PartsError::Mismatch(format!("{} ids for {} vectors", ids.len(), inner.len())));
        }
        // The next id may be higher, if a larger id was removed. No id can follow 2^63 - 1.
        let least = ids.iter().map(|(_, id)| after(id)).max().unwrap_or(0);
        if !(least..=1 << 63).contains(&next_id) {
            return Err(PartsError::Mismatch(format!("the next id is {next_id}, and must be from {least} to 2^63")));
        }
        let mut table: HashMap<Id, Vec<u64>> = HashMap::new();
        if kind == Kind::Map2 {
            ids.iter().for_each(|(number, id)| table.entry(id).or_default().push(number));
        }
        Ok(Self { kind, inner, ids: ids.into(), table: table.into(), next_id })
    }

    /// Returns the wrapped index.
    pub fn inner(&self) -> &dyn Index {
        &*self.inner
    }

    /// Forgets all ids, because the wrapped index numbers its vectors from 0 again.
    fn forget(&mut self) {
        self.ids = Arc::default();
        self.table = Arc::default();
    }

    fn id_of(&self, number: Id) -> Option<Id> {
        self.ids.get(u64::try_from(number.0).ok()?)
    }

    /// Returns, for each of the ids in the index, the numbers of its vectors, ascending.
    fn numbers_of(&self, ids: &[Id]) -> HashMap<Id, Vec<u64>> {
        match self.kind {
            Kind::Map2 => ids.iter().filter_map(|id| Some((*id, self.table.get(id)?.clone()))).collect(),
            Kind::Map => {
                let wanted: HashSet<Id> = ids.iter().copied().collect();
                let mut numbers: HashMap<Id, Vec<u64>> = HashMap::new();
                for (number, id) in self.ids.iter().filter(|(_, id)| wanted.contains(id)) {
                    numbers.entry(id).or_default().push(number);
                }
                numbers
            }
        }
    }

    /// Records the ids of rows that were just added to the wrapped index.
    fn note(&mut self, ids: &[Id], report: &AddReport) {
        let mut skipped = report.skipped.iter().copied().peekable();
        let known = Arc::make_mut(&mut self.ids);
        let table = Arc::make_mut(&mut self.table);
        known.reserve(report.added);
        for (row, &id) in ids.iter().enumerate() {
            self.next_id = self.next_id.max(after(id));
            if skipped.next_if_eq(&row).is_some() {
                known.skip_to(known.end() + 1);
                continue;
            }
            let number = known.push(id);
            if self.kind == Kind::Map2 {
                table.entry(id).or_default().push(number);
            }
        }
    }

    /// Forgets numbers whose vectors were just removed from the wrapped index. The table no longer
    /// has them.
    fn forget_numbers(&mut self, numbers: impl IntoIterator<Item = u64>) {
        if Arc::make_mut(&mut self.ids).remove(numbers) {
            Arc::make_mut(&mut self.table).shrink_to_fit();
        }
    }

    /// Returns the memory of the ids and the table after `more` further ids, in bytes.
    fn own_memory(&self, more: usize) -> usize {
        let with_more = |capacity: usize, len: usize, more: usize| capacity.max(len.saturating_add(more));
        let ((ids, words), (used_ids, used_words)) = (self.ids.capacity(), self.ids.used());
        let ids = with_more(ids, used_ids, more).saturating_mul(numbers::OF_ID);
        let more_words = if more > 0 { more.div_ceil(numbers::OF_WORD) + 1 } else { 0 };
        let words = with_more(words, used_words, more_words).saturating_mul(numbers::WORD);
        let table = match self.kind {
            Kind::Map => 0,
            Kind::Map2 => {
                // A `Vec` of numbers has an initial capacity of four.
                let numbers = with_more(0, self.table.len(), more).saturating_mul(4);
                let table = with_more(self.table.capacity(), self.table.len(), more);
                table_memory(table, numbers.max(with_more(0, self.inner.len(), more)))
            }
        };
        ids.saturating_add(words).saturating_add(table)
    }
}

/// Returns the id that follows `id`, at least 0.
fn after(id: Id) -> u64 {
    u64::try_from(id.0).map_or(0, |id| id + 1)
}

impl Index for IdMap {
    fn dim(&self) -> usize {
        self.inner.dim()
    }

    fn metric(&self) -> Metric {
        self.inner.metric()
    }

    fn len(&self) -> usize {
        self.inner.len()
    }

    fn is_trained(&self) -> bool {
        self.inner.is_trained()
    }

    fn spec_text(&self) -> SpecText {
        self.inner.spec_text().before(self.kind.row().level, self.kind.row().grammar)
    }

    fn search_rows(
        &self,
        queries: AnyRows<'_>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        let search = |params: &SearchParams<'_>| self.inner.search_rows(queries, k, params);
        Ok(self.named(self.through(params, search)?))
    }

    fn takes(&self) -> Takes {
        self.inner.takes()
    }

    fn parts(&self) -> Vec<Part> {
        parts_around(vec![Part::new("", self.kind.row().tag)], INNER, &*self.inner)
    }

    fn set_knob_at(&mut self, path: &str, name: &str, value: KnobValue) -> Result<(), KnobError> {
        set_inner_knob(self, INNER, path, name, value)
    }

    fn memory(&self) -> usize {
        self.inner.memory().saturating_add(self.own_memory(0))
    }

    fn memory_with(&self, vectors: usize) -> usize {
        let more = vectors.saturating_sub(self.len());
        self.inner.memory_with(vectors).saturating_add(self.own_memory(more))
    }

    fn wrapped(&self) -> Option<&dyn Index> {
        Some(&*self.inner)
    }

    fn wrapped_mut(&mut self) -> Option<&mut dyn Index> {
        Some(&mut *self.inner)
    }

    fn clone_index(&self) -> Result<Box<dyn Index>, StoreError> {
        Ok(Box::new(Self {
            kind: self.kind,
            inner: self.inner.clone_index()?,
            ids: Arc::clone(&self.ids),
            table: Arc::clone(&self.table),
            next_id: self.next_id,
        }))
    }

    fn export(&self) -> Result<Node<'_>, StoreError> {
        self.export_node()
    }

    abilities! {
        own self {
            mut as_add: Add,
            mut as_add_with_ids: AddWithIds,
            shared as_scan_ids: ScanIds,
        }
        given inner {
            mut as_reset: Reset,
            shared as_range_search: RangeSearch,
            mut as_remove: Remove,
            mut as_merge: Merge,
            shared as_reconstruct: Reconstruct,
        }
        of inner {
            mut as_train: Train,
            shared as_accelerate: Accelerate,
            mut as_accelerate_mut: Accelerate,
        }
    }

    fn as_update(&mut self) -> Option<&mut dyn Update> {
        self.inner.as_remove()?;
        self.inner.as_update()?;
        Some(self)
    }

    fn as_upsert(&mut self) -> Option<&mut dyn Upsert> {
        self.as_update()?;
        Some(self)
    }
}
