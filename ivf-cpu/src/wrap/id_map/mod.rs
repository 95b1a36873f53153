//! `IDMap` and `IDMap2`: caller-supplied ids around an index that numbers its vectors itself.

mod edit;
mod search;

use super::{parts_around, set_inner_knob};
use crate::abilities::abilities;
use ivf_core::ability::{Update, Upsert};
use ivf_core::error::{BuildError, DecodeError, KnobError, PartsError, SearchError, StoreError};
use ivf_core::field::{Field, FieldType, Schema};
use ivf_core::node::NamedArray;
use ivf_core::registry::{Parsed, Registry, Side, Token, WrapperRow, WrapperSpec};
use ivf_core::{
    AddReport, AnyRows, Id, Index, KnobValue, Metric, Node, Part, SearchParams, SearchResult, SpecText, StoredNode,
    Takes,
};
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

/// Fields of the index in files.
const SCHEMA: &Schema = &[Field::new("next_id", FieldType::UInt)];

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

/// An index with caller-supplied ids around an index that numbers its vectors itself. The caller's
/// id of vector number `i` of the wrapped index is `ids[i]`.
///
/// Results of equal distance are ordered by when they were added. Ties for the last of the k
/// nearest are resolved in the same order. An id takes 9 bytes until the index is emptied, even if
/// its vector is removed. `IDMap2` has a table from ids to vectors; `IDMap` finds the vectors of an
/// id by a scan of the ids.
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
    /// The id of each number that the wrapped index ever assigned, including those of removed and
    /// skipped vectors.
    ids: Arc<Vec<Id>>,
    /// Whether each of these numbers is in the index.
    present: Arc<Vec<bool>>,
    /// The numbers of each id, ascending; empty for `IDMap`.
    numbers: Arc<HashMap<Id, Vec<u64>>>,
    /// One more than the largest id ever added; the first id that `add` assigns.
    next_id: u64,
}

/// Memory of one id in [`IdMap::ids`] and [`IdMap::present`], in bytes.
const OF_ID: usize = size_of::<Id>() + size_of::<bool>();

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
        let (ids, present, numbers) = (Arc::default(), Arc::default(), Arc::default());
        Ok(Self { kind, inner, ids, present, numbers, next_id: 0 })
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
        let next_id = ids.iter().copied().map(after).max().unwrap_or(0);
        let present = vec![true; ids.len()];
        Self::of_parts(kind, inner, ids, present, next_id)
    }

    /// Creates the map from ids and flags, where some numbers may belong to removed vectors.
    fn of_parts(
        kind: Kind,
        inner: Box<dyn Index>,
        ids: Vec<Id>,
        present: Vec<bool>,
        next_id: u64,
    ) -> Result<Self, PartsError> {
        let there = present.iter().filter(|present| **present).count();
        if ids.len() != present.len() || there != inner.len() {
            return Err(PartsError::Mismatch(format!(
                "{} ids, {} flags, {there} of them set, {} vectors",
                ids.len(),
                present.len(),
                inner.len()
            )));
        }
        // The next id may be higher, if a larger id was removed. No id can follow 2^63 - 1.
        let least = ids.iter().copied().map(after).max().unwrap_or(0);
        if !(least..=1 << 63).contains(&next_id) {
            return Err(PartsError::Mismatch(format!("the next id is {next_id}, and must be from {least} to 2^63")));
        }
        let mut numbers: HashMap<Id, Vec<u64>> = HashMap::new();
        if kind == Kind::Map2 {
            for (number, (&id, _)) in ids.iter().zip(&present).enumerate().filter(|(_, (_, present))| **present) {
                numbers.entry(id).or_default().push(number as u64);
            }
        }
        let (ids, present, numbers) = (Arc::new(ids), Arc::new(present), Arc::new(numbers));
        Ok(Self { kind, inner, ids, present, numbers, next_id })
    }

    /// Returns the wrapped index.
    pub fn inner(&self) -> &dyn Index {
        &*self.inner
    }

    /// Forgets all ids, because the wrapped index numbers its vectors from 0 again.
    fn forget(&mut self) {
        self.ids = Arc::default();
        self.present = Arc::default();
        self.numbers = Arc::default();
    }

    fn id_of(&self, number: Id) -> Option<Id> {
        usize::try_from(number.0).ok().and_then(|number| self.ids.get(number)).copied()
    }

    /// Returns, for each of the ids in the index, the numbers of its vectors, ascending.
    fn numbers_of(&self, ids: &[Id]) -> HashMap<Id, Vec<u64>> {
        match self.kind {
            Kind::Map2 => ids.iter().filter_map(|id| Some((*id, self.numbers.get(id)?.clone()))).collect(),
            Kind::Map => {
                let wanted: HashSet<Id> = ids.iter().copied().collect();
                let mut numbers: HashMap<Id, Vec<u64>> = HashMap::new();
                for (number, (id, present)) in self.ids.iter().zip(&*self.present).enumerate() {
                    if *present && wanted.contains(id) {
                        numbers.entry(*id).or_default().push(number as u64);
                    }
                }
                numbers
            }
        }
    }

    /// Records the ids of rows that were just added to the wrapped index.
    fn note(&mut self, ids: &[Id], report: &AddReport) {
        let mut skipped = report.skipped.iter().copied().peekable();
        let (known, present) = (Arc::make_mut(&mut self.ids), Arc::make_mut(&mut self.present));
        let numbers = Arc::make_mut(&mut self.numbers);
        known.reserve(ids.len());
        present.reserve(ids.len());
        for (row, &id) in ids.iter().enumerate() {
            let is_present = skipped.next_if_eq(&row).is_none();
            if is_present && self.kind == Kind::Map2 {
                numbers.entry(id).or_default().push(known.len() as u64);
            }
            known.push(id);
            present.push(is_present);
            self.next_id = self.next_id.max(after(id));
        }
    }

    /// Returns the memory of the ids and the table after `more` further ids, in bytes.
    fn own_memory(&self, more: usize) -> usize {
        let with_more = |capacity: usize, len: usize| capacity.max(len.saturating_add(more));
        let ids = with_more(self.ids.capacity().max(self.present.capacity()), self.ids.len()).saturating_mul(OF_ID);
        let table = match self.kind {
            Kind::Map => 0,
            Kind::Map2 => {
                // A `Vec` of numbers has an initial capacity of four.
                let numbers = with_more(0, self.numbers.len()).saturating_mul(4);
                let table = with_more(self.numbers.capacity(), self.numbers.len());
                table_memory(table, numbers.max(with_more(0, self.inner.len())))
            }
        };
        ids.saturating_add(table)
    }

    fn read(node: &StoredNode, registry: &Registry, kind: Kind) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        let next_id = node.fields(SCHEMA)?.get::<u64>("next_id")?;
        let inner = registry.read_index(node.child(INNER)?)?;
        let ids: Vec<Id> = node.array::<Id>("ids")?.to_vec();
        let present: Vec<bool> = node.array::<u8>("present")?.iter().map(|&byte| byte != 0).collect();
        Self::of_parts(kind, inner, ids, present, next_id)
            .map_err(|error| DecodeError::value(&node.tag, error.to_string()))
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
            present: Arc::clone(&self.present),
            numbers: Arc::clone(&self.numbers),
            next_id: self.next_id,
        }))
    }

    fn export(&self) -> Result<Node<'_>, StoreError> {
        let (there, inner) = (self.present.iter().filter(|&&present| present).count(), self.inner.len());
        if there != inner {
            // Do not overwrite a readable file with one that cannot be read.
            return Err(StoreError::Inconsistent(format!("{there} ids for {inner} vectors")));
        }
        let mut node = Node::new(self.kind.row().tag, 0).with("next_id", self.next_id);
        let present: Vec<u8> = self.present.iter().map(|&present| present.into()).collect();
        node.push(NamedArray::borrowed("ids", &[self.ids.len() as u64], &self.ids));
        node.push(NamedArray::owned("present", &[present.len() as u64], present));
        node.push_child(INNER, self.inner.export()?);
        Ok(node)
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
