//! `Shards<n>(<index>)` and `Replicas<n>(<index>)`: several indexes of one kind that work as one.
//!
//! | file | content |
//! |---|---|
//! | `mod` | the index with its members, parts and knobs |
//! | `token` | the tokens, reading and writing |
//! | `search` | searching all members, merging and joining results, reconstructing, distances |
//! | `edit` | training, adding, removing, replacing |

mod edit;
mod search;
mod token;

use ivf_core::error::{KnobError, PartsError, SearchError, StoreError};
use ivf_core::part::{below, unknown_knob, unknown_part};
use ivf_core::{
    Add, AddWithIds, AnyRows, Distances, Id, Index, KnobValue, Metric, Node, Part, RangeSearch, Reconstruct, Remove,
    Reset, ScanIds, SearchParam, SearchParams, SearchResult, SpecText, Takes, Train, Update, Upsert, index_as_ref,
};
pub(crate) use token::{REPLICAS, SHARDS};

/// Several indexes of one kind, dimension and metric, each of them with a part of the vectors
/// (shards), or each with all of them (replicas). (Faiss's `IndexShards` and `IndexReplicas`.)
///
/// Shards: an add cuts its rows into runs, one for each shard, so that shards become about equally
/// full. A search asks all shards and merges their results, with ties by id. A limit of a search,
/// such as `max_codes`, applies to each shard.
///
/// Replicas: an edit is made in each of them, and a search divides its queries among them. In one
/// process, one index with several threads is as fast and smaller. Replicas are for members whose
/// searches are limited by something else than the threads of this process.
///
/// Training trains the first member, and the others become its clones. Then shards of an inverted
/// file share its quantizer and its codec in memory, and find what one index of all vectors finds.
/// (In Faiss, shards that are to share a quantizer are an `IndexShardsIVF`.) Members that come from
/// the caller or from a file keep their own training. They are compared by factory string,
/// dimension, metric and whether they are trained, but not by what they learnt.
///
/// A knob is set in all members. Files have the members one after the other.
///
/// ```
/// use ivf_core::{Id, Index, Metric, Rows, SearchParams, error::BuildError};
/// use ivf_cpu::codec::FlatSpec;
/// use ivf_cpu::{CodesIndex, Group};
/// use std::sync::Arc;
///
/// let flat = || -> Result<Box<dyn Index>, BuildError> {
///     Ok(Box::new(CodesIndex::new(1, Metric::L2, Arc::new(FlatSpec))?))
/// };
/// let mut shards = Group::shards(vec![flat()?, flat()?])?;
/// let index: &mut dyn Index = &mut shards;
/// assert_eq!(index.spec(), "Shards2(Flat)");
/// index.add(Rows::new(&[5.0_f32, 6.0, 7.0], 1)?)?;
/// let found = index.search(Rows::new(&[6.4_f32], 1)?, 2, &SearchParams::new())?;
/// assert_eq!(found.hits.row(0).ids, [Id(1), Id(2)]);
/// assert_eq!(shards.members().iter().map(|shard| shard.len()).collect::<Vec<_>>(), [2, 1]);
///
/// let mut replicas = Group::replicas(vec![flat()?, flat()?])?;
/// let index: &mut dyn Index = &mut replicas;
/// index.add(Rows::new(&[5.0_f32, 6.0, 7.0], 1)?)?;
/// assert_eq!((index.spec().as_str(), index.len()), ("Replicas2(Flat)", 3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Group {
    kind: Kind,
    /// At least one.
    members: Vec<Box<dyn Index>>,
    /// One more than the largest id ever added; the first id that `add` assigns to vectors in
    /// shards.
    next_id: u64,
}

index_as_ref!(Group);

/// What the members have of the vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Shards,
    Replicas,
}

/// Name of all members together among the parts.
const MEMBERS: &str = "members";

impl Group {
    /// Creates an index of shards, which may hold vectors. Their ids should differ.
    ///
    /// # Errors
    /// [`PartsError::Mismatch`] if there is no shard or more than 64, or if they differ in factory
    /// string, dimension, metric or whether they are trained. [`PartsError::Store`] if ids cannot
    /// be read.
    pub fn shards(members: Vec<Box<dyn Index>>) -> Result<Self, PartsError> {
        let mut group = Self::of_members(Kind::Shards, members)?;
        for scan in group.members.iter().filter_map(|member| member.as_scan_ids()) {
            let mut next = group.next_id;
            scan.scan_ids(&mut |id| next = next.max(after(id)))?;
            group.next_id = next;
        }
        Ok(group)
    }

    /// Creates an index of replicas, which may hold vectors.
    ///
    /// # Errors
    /// [`PartsError::Mismatch`] if there is no replica or more than 64, or if they differ in
    /// factory string, dimension, metric, number of vectors or whether they are trained.
    pub fn replicas(members: Vec<Box<dyn Index>>) -> Result<Self, PartsError> {
        Self::of_members(Kind::Replicas, members)
    }

    fn of_members(kind: Kind, members: Vec<Box<dyn Index>>) -> Result<Self, PartsError> {
        let fault = |what: String| Err(PartsError::Mismatch(what));
        let Some(first) = members.first() else { return fault(format!("no {}", kind.noun())) };
        if members.len() > token::MOST {
            return fault(format!("{} {}, more than {}", members.len(), kind.noun(), token::MOST));
        }
        let of = |index: &dyn Index| (index.dim(), index.metric(), index.spec());
        if members.iter().any(|member| of(&**member) != of(&**first)) {
            return fault(format!("{} that differ in kind, dimension or metric", kind.noun()));
        }
        if members.iter().any(|member| member.is_trained() != first.is_trained()) {
            return fault(format!("some {} are trained, and others not", kind.noun()));
        }
        if kind == Kind::Replicas && members.iter().any(|member| member.len() != first.len()) {
            return fault("replicas that differ in the number of vectors".to_owned());
        }
        Ok(Self { kind, members, next_id: 0 })
    }

    /// Returns the shards, or the replicas.
    pub fn members(&self) -> &[Box<dyn Index>] {
        &self.members
    }

    /// Returns the first member. All others have its factory string, dimension and metric.
    fn first(&self) -> &dyn Index {
        &*self.members[0]
    }

    /// Returns true if all members have an ability.
    fn all(&mut self, mut has: impl FnMut(&mut dyn Index) -> bool) -> bool {
        self.members.iter_mut().all(|member| has(&mut **member))
    }

    fn clones(&self) -> Result<Vec<Box<dyn Index>>, StoreError> {
        self.members.iter().map(|member| member.clone_index()).collect()
    }
}

/// Returns the id that follows `id`, at least 0.
fn after(id: Id) -> u64 {
    u64::try_from(id.0).map_or(0, |id| id + 1)
}

/// Returns `Some(self)` if all members have the abilities.
macro_rules! given_all {
    ($($method:ident: $ability:ident if $($needed:ident),+;)*) => {$(
        fn $method(&mut self) -> Option<&mut dyn $ability> {
            self.all(|member| $(member.$needed().is_some())&&+).then_some(self)
        }
    )*};
}

impl Index for Group {
    fn dim(&self) -> usize {
        self.first().dim()
    }

    fn metric(&self) -> Metric {
        self.first().metric()
    }

    fn len(&self) -> usize {
        match self.kind {
            Kind::Shards => self.members.iter().map(|shard| shard.len()).sum(),
            Kind::Replicas => self.first().len(),
        }
    }

    fn is_trained(&self) -> bool {
        self.first().is_trained()
    }

    fn spec_text(&self) -> SpecText {
        SpecText::base(format!("{}{}({})", self.kind.name(), self.members.len(), self.first().spec()))
    }

    fn search_rows(
        &self,
        queries: AnyRows<'_>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        self.search_members(queries, k, params)
    }

    fn takes(&self) -> Takes {
        self.first().takes().without(SearchParam::Locations)
    }

    /// Returns the parts. Those of the members, which are alike, are there once.
    fn parts(&self) -> Vec<Part> {
        let own = Part::new("", self.kind.row().tag);
        [own].into_iter().chain(self.first().parts().into_iter().map(|part| part.under(MEMBERS))).collect()
    }

    fn set_knob_at(&mut self, path: &str, name: &str, value: KnobValue) -> Result<(), KnobError> {
        let Some(rest) = below(path, MEMBERS) else {
            let parts = self.parts();
            return Err(if path.is_empty() { unknown_knob(name, &parts[..1]) } else { unknown_part(path, &parts) });
        };
        let value_of = |member: &dyn Index| {
            let knobs = member.parts().into_iter().filter(|part| part.path == rest).flat_map(|part| part.knobs);
            knobs.into_iter().find(|knob| knob.param.is_named(name)).map(|knob| knob.value)
        };
        let before: Vec<Option<KnobValue>> = self.members.iter().map(|member| value_of(&**member)).collect();
        for at in 0..self.members.len() {
            let set = self.members[at].set_knob_at(rest, name, value.clone());
            let Err(error) = set else { continue };
            for (member, before) in self.members[..at].iter_mut().zip(before) {
                before.map_or(Ok(()), |before| member.set_knob_at(rest, name, before))?;
            }
            return Err(match error {
                KnobError::NoSuchPart { .. } => unknown_part(path, &self.parts()),
                other => other,
            });
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        self.members.iter().fold(0, |sum: usize, member| sum.saturating_add(member.memory()))
    }

    fn memory_with(&self, vectors: usize) -> usize {
        let each = match self.kind {
            Kind::Shards => {
                let more = vectors.saturating_sub(self.len()).div_ceil(self.members.len());
                return self.members.iter().fold(0, |sum: usize, shard| {
                    sum.saturating_add(shard.memory_with(shard.len().saturating_add(more)))
                });
            }
            Kind::Replicas => vectors,
        };
        self.members.iter().fold(0, |sum: usize, replica| sum.saturating_add(replica.memory_with(each)))
    }

    fn export(&self) -> Result<Node<'_>, StoreError> {
        self.export_node()
    }

    fn clone_index(&self) -> Result<Box<dyn Index>, StoreError> {
        Ok(Box::new(Self { members: self.clones()?, ..*self }))
    }

    given_all! {
        as_train: Train if as_train;
        as_reset: Reset if as_reset;
        as_remove: Remove if as_remove;
        as_update: Update if as_update, as_remove, as_scan_ids;
        as_upsert: Upsert if as_update, as_remove, as_scan_ids, as_add_with_ids;
        as_add_with_ids: AddWithIds if as_add_with_ids;
    }

    fn as_add(&mut self) -> Option<&mut dyn Add> {
        let can = match self.kind {
            // A shard cannot assign ids that the others do not have.
            Kind::Shards => self.all(|shard| shard.as_add_with_ids().is_some()),
            Kind::Replicas => self.all(|replica| replica.as_add().is_some()),
        };
        can.then_some(self)
    }

    fn as_range_search(&self) -> Option<&dyn RangeSearch> {
        self.members.iter().all(|member| member.as_range_search().is_some()).then_some(self)
    }

    fn as_distances(&self) -> Option<&dyn Distances> {
        if self.kind == Kind::Shards {
            // The shard with an id may have to be found by a scan.
            self.as_scan_ids()?;
        }
        self.members.iter().all(|member| member.as_distances().is_some()).then_some(self)
    }

    fn as_reconstruct(&self) -> Option<&dyn Reconstruct> {
        self.members.iter().all(|member| member.as_reconstruct().is_some()).then_some(self)
    }

    fn as_scan_ids(&self) -> Option<&dyn ScanIds> {
        self.members.iter().all(|member| member.as_scan_ids().is_some()).then_some(self)
    }
}
