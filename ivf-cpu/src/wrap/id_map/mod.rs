//! `IDMap` and `IDMap2`: the caller's ids around an index that counts its own.

mod edit;
mod search;

use ivf_core::ability::{Add, AddWithIds, Merge, RangeSearch, Reconstruct, Remove, Reset, Train, Update, Upsert};
use ivf_core::error::{BuildError, DecodeError, KnobError, SearchError, StoreError};
use ivf_core::node::NamedArray;
use ivf_core::registry::{Parsed, Registry, Side, WrapperRow, WrapperSpec};
use ivf_core::{
    AddReport, AnyRows, Id, Index, KnobValue, Metric, Node, Part, SearchParams, SearchResult, SpecText, StoredNode,
};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

/// The row of `IDMap`.
pub(super) const ROW: WrapperRow = WrapperRow::new(
    "id-map",
    "IDMap",
    "the caller's ids around an index that counts its own",
    &["IDMap"],
    1,
    Side::Both,
    |token| parse(token, Kind::Map),
    |node, registry| Ok(Box::new(IdMap::read(node, registry, Kind::Map)?)),
);

/// The row of `IDMap2`.
pub(super) const ROW2: WrapperRow = WrapperRow::new(
    "id-map2",
    "IDMap2",
    "the same with a table from ids to places: finding an id takes no scan",
    &["IDMap2"],
    0,
    Side::Both,
    |token| parse(token, Kind::Map2),
    |node, registry| Ok(Box::new(IdMap::read(node, registry, Kind::Map2)?)),
);

fn parse(token: &str, kind: Kind) -> Parsed<dyn WrapperSpec> {
    (token == kind.row().grammar).then(|| Ok(Arc::new(kind) as _))
}

/// Which of the two.
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

/// The caller's ids around an index that counts its own: vector number `i` of the wrapped index is `ids[i]` outside.
///
/// Vectors of equal distance are in the order in which they were added, and so are, among equals, those that make it into the
/// k nearest. An id takes 9 bytes for as long as the index is not emptied, also when its vector is removed. With `IDMap2` a table leads from an id to its vectors; with `IDMap` they are found by a scan of the ids.
#[derive(Debug)]
pub struct IdMap {
    kind: Kind,
    inner: Box<dyn Index>,
    /// The id of each number the wrapped index ever gave out, also of vectors that are gone or were skipped.
    ids: Vec<Id>,
    /// Which of these numbers are in the index.
    present: Vec<bool>,
    /// The numbers of each id, ascending; empty for `IDMap`.
    numbers: HashMap<Id, Vec<u64>>,
    /// One more than the largest id ever added: what `add` counts up from.
    next_id: u64,
}

/// Bytes of an id in the table: its place there (three in four are taken on average, and a byte marks each) and the numbers, for
/// which a `Vec` takes room for four.
const IN_TABLE: usize = (size_of::<(Id, Vec<u64>)>() + 1) * 4 / 3 + 4 * size_of::<u64>();

/// The name under which the wrapped index stands among the parts.
const INNER: &str = "index";

impl IdMap {
    /// An `IDMap` around an empty index.
    ///
    /// # Errors
    /// [`BuildError::Unable`] if that cannot add, or has vectors already.
    pub fn new(inner: Box<dyn Index>) -> Result<Self, BuildError> {
        Self::of_kind(Kind::Map, inner)
    }

    /// An `IDMap2` around an empty index.
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
        Ok(Self { kind, inner, ids: Vec::new(), present: Vec::new(), numbers: HashMap::new(), next_id: 0 })
    }

    /// The wrapped index.
    pub fn inner(&self) -> &dyn Index {
        &*self.inner
    }

    /// Forgets all ids, since the wrapped index counts from 0 again.
    fn forget(&mut self) {
        self.ids.clear();
        self.present.clear();
        self.numbers.clear();
    }

    fn id_of(&self, number: Id) -> Option<Id> {
        usize::try_from(number.0).ok().and_then(|number| self.ids.get(number)).copied()
    }

    /// For each of the ids that is there the numbers of its vectors, ascending.
    fn numbers_of(&self, ids: &[Id]) -> HashMap<Id, Vec<u64>> {
        match self.kind {
            Kind::Map2 => ids.iter().filter_map(|id| Some((*id, self.numbers.get(id)?.clone()))).collect(),
            Kind::Map => {
                let wanted: HashSet<Id> = ids.iter().copied().collect();
                let mut numbers: HashMap<Id, Vec<u64>> = HashMap::new();
                for (number, (id, present)) in self.ids.iter().zip(&self.present).enumerate() {
                    if *present && wanted.contains(id) {
                        numbers.entry(*id).or_default().push(number as u64);
                    }
                }
                numbers
            }
        }
    }

    /// Notes the ids of rows that the wrapped index has just taken.
    fn note(&mut self, ids: &[Id], report: &AddReport) {
        let mut skipped = report.skipped.iter().copied().peekable();
        for (row, &id) in ids.iter().enumerate() {
            let present = skipped.next_if_eq(&row).is_none();
            if present && self.kind == Kind::Map2 {
                self.numbers.entry(id).or_default().push(self.ids.len() as u64);
            }
            self.ids.push(id);
            self.present.push(present);
            self.next_id = self.next_id.max(after(id));
        }
    }

    fn read(node: &StoredNode, registry: &Registry, kind: Kind) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        let inner = registry.read_index(node.child(INNER)?)?;
        let ids: Vec<Id> = node.array::<Id>("ids")?.to_vec();
        let present: Vec<bool> = node.array::<u8>("present")?.iter().map(|&byte| byte != 0).collect();
        let there = present.iter().filter(|present| **present).count();
        if ids.len() != present.len() || there != inner.len() {
            let what =
                format!("{} ids, {} flags, {there} of them set, {} vectors", ids.len(), present.len(), inner.len());
            return Err(DecodeError::value(&node.tag, what));
        }
        let mut numbers: HashMap<Id, Vec<u64>> = HashMap::new();
        if kind == Kind::Map2 {
            for (number, (&id, _)) in ids.iter().zip(&present).enumerate().filter(|(_, (_, present))| **present) {
                numbers.entry(id).or_default().push(number as u64);
            }
        }
        // Larger than any id here, if that was removed; and no id can follow 2^63 - 1.
        let next_id: u64 = node.meta()?;
        let least = ids.iter().copied().map(after).max().unwrap_or(0);
        if !(least..=1 << 63).contains(&next_id) {
            return Err(DecodeError::value(&node.tag, format!("the next id is {next_id}, after ids up to {least}")));
        }
        Ok(Self { kind, inner, ids, present, numbers, next_id })
    }
}

/// The first id that counts up from `id`.
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

    fn search(&self, queries: AnyRows<'_>, k: usize, params: &SearchParams<'_>) -> Result<SearchResult, SearchError> {
        let search = |params: &SearchParams<'_>| self.inner.search(queries, k, params);
        Ok(self.named(self.through(params, search)?))
    }

    fn parts(&self) -> Vec<Part> {
        let own = Part { path: String::new(), kind: self.kind.row().tag.to_owned(), knobs: Vec::new() };
        std::iter::once(own).chain(self.inner.parts().into_iter().map(|part| part.under(INNER))).collect()
    }

    fn set_knob(&mut self, name: &str, value: KnobValue) -> Result<(), KnobError> {
        self.inner.set_knob(name, value)
    }

    fn memory(&self) -> usize {
        self.inner.memory() + self.ids.len() * (size_of::<Id>() + 1) + self.numbers.len() * IN_TABLE
    }

    fn memory_with(&self, vectors: usize) -> usize {
        let in_table = if self.kind == Kind::Map2 { IN_TABLE } else { 0 };
        let more = vectors.saturating_sub(self.len()).saturating_mul(size_of::<Id>() + 1 + in_table);
        (self.memory() - self.inner.memory()).saturating_add(self.inner.memory_with(vectors)).saturating_add(more)
    }

    fn wrapped(&self) -> Option<&dyn Index> {
        Some(&*self.inner)
    }

    fn export(&self) -> Result<Node<'_>, StoreError> {
        let (there, inner) = (self.present.iter().filter(|&&present| present).count(), self.inner.len());
        if there != inner {
            // No file that cannot be read again takes the place of one that can.
            return Err(StoreError::Inconsistent(format!("{there} ids for {inner} vectors")));
        }
        let mut node = Node::new(self.kind.row().tag, 0, &self.next_id);
        let present: Vec<u8> = self.present.iter().map(|&present| present.into()).collect();
        node.push(NamedArray::borrowed("ids", &[self.ids.len() as u64], &self.ids));
        node.push(NamedArray::owned("present", &[present.len() as u64], present));
        node.push_child(INNER, self.inner.export()?);
        Ok(node)
    }

    fn as_train(&mut self) -> Option<&mut dyn Train> {
        self.inner.as_train()
    }

    fn as_add(&mut self) -> Option<&mut dyn Add> {
        Some(self)
    }

    fn as_add_with_ids(&mut self) -> Option<&mut dyn AddWithIds> {
        Some(self)
    }

    fn as_reset(&mut self) -> Option<&mut dyn Reset> {
        self.inner.as_reset()?;
        Some(self)
    }

    fn as_range_search(&self) -> Option<&dyn RangeSearch> {
        self.inner.as_range_search()?;
        Some(self)
    }

    fn as_remove(&mut self) -> Option<&mut dyn Remove> {
        self.inner.as_remove()?;
        Some(self)
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

    fn as_merge(&mut self) -> Option<&mut dyn Merge> {
        self.inner.as_merge()?;
        Some(self)
    }

    fn as_reconstruct(&self) -> Option<&dyn Reconstruct> {
        self.inner.as_reconstruct()?;
        Some(self)
    }
}
