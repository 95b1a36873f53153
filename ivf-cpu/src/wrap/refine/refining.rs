//! The index that re-ranks: codes of the wrapper's own, or any other index.

use super::super::before::Before;
use super::super::measure::measure;
use crate::codec::as_rows;
use crate::engine::{CodesIndex, Mark};
use ivf_core::error::{DecodeError, EditError, KnobError, ReconstructError, SearchError, StoreError};
use ivf_core::registry::Registry;
use ivf_core::{DirectMapKind, Id, Index, StoredNode};

/// Name of the knob of a direct map.
const DIRECT_MAP: &str = "direct_map";

/// The index that re-ranks candidates.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "an index has only one")]
pub(super) enum Refining {
    /// The codes of a codec, each of them contiguous. (`RFlat`, `Refine(SQ8)`.)
    Codes(CodesIndex),
    /// Any index that measures given ids. (`Refine(IVF16,Flat)`.)
    Index(Box<dyn Index>),
}

impl Refining {
    /// Prepares an index for the look-up of ids: an inverted file finds them in a map.
    pub(super) fn of_index(mut index: Box<dyn Index>) -> Result<Self, KnobError> {
        if index.knob(DIRECT_MAP).is_some() {
            index.set_knob(DIRECT_MAP, "hash")?;
        }
        Ok(Self::Index(index))
    }

    pub(super) fn read(node: &StoredNode, registry: &Registry) -> Result<Self, DecodeError> {
        if !CodesIndex::is_node(node) {
            return Ok(Self::Index(registry.read_index(node)?));
        }
        let mut codes = CodesIndex::read(node, registry)?;
        // A file names the codec, and an index that is not trained has no codes yet.
        codes.map_codec(as_rows);
        Ok(Self::Codes(codes))
    }

    pub(super) fn get(&self) -> &dyn Index {
        match self {
            Self::Codes(codes) => codes,
            Self::Index(index) => &**index,
        }
    }

    pub(super) fn get_mut(&mut self) -> &mut dyn Index {
        match self {
            Self::Codes(codes) => codes,
            Self::Index(index) => &mut **index,
        }
    }

    pub(super) fn snapshot(&self) -> Result<Self, StoreError> {
        Ok(match self {
            Self::Codes(codes) => Self::Codes(codes.snapshot()?),
            Self::Index(index) => Self::Index(index.clone_index()?),
        })
    }

    /// Returns the inner distances from a query to the vectors of `ids`.
    pub(super) fn distances(&self, query: &[f32], ids: &[Id]) -> Result<Vec<f32>, SearchError> {
        match self {
            Self::Codes(codes) => Ok(codes.distances(query, ids)?),
            Self::Index(index) => {
                let mut distances = vec![0.0; ids.len()];
                measure(&**index, query, ids, &mut distances)?;
                Ok(distances)
            }
        }
    }

    /// Reconstructs the vectors of `ids`, each of which is found on its own.
    pub(super) fn vectors(&self, ids: &[Id], vectors: &mut [f32]) -> Result<(), ReconstructError> {
        match self {
            Self::Codes(codes) => codes.vectors(ids, vectors),
            Self::Index(index) => {
                let reconstruct = index.as_reconstruct().ok_or_else(|| index.unable("reconstruct"))?;
                reconstruct.reconstruct_many(ids, vectors)
            }
        }
    }

    /// Returns whether the index may refuse vectors that an index without transforms takes.
    pub(super) fn may_refuse(&self) -> bool {
        matches!(self, Self::Index(_))
    }

    /// Builds a hash map from ids to locations, unless there is one. After vectors of one list have
    /// moved, its ids are no longer consecutive, and finding one without a map would need a scan.
    pub(super) fn map_ids(&mut self) -> Result<(), EditError> {
        match self {
            Self::Codes(codes) if codes.direct_map() != DirectMapKind::Hash => {
                codes.set_direct_map(DirectMapKind::Hash)
            }
            // It has a map from the start.
            Self::Codes(_) | Self::Index(_) => Ok(()),
        }
    }

    /// Returns the present state, to which [`restore`](Self::restore) returns.
    pub(super) fn before(&mut self) -> Result<RefiningBefore, StoreError> {
        Ok(match self {
            Self::Codes(codes) => RefiningBefore::Codes(codes.mark()?),
            Self::Index(index) => RefiningBefore::Index(Before::of(&mut **index)?),
        })
    }

    /// Returns to a state since which vectors were only added.
    pub(super) fn restore(&mut self, before: RefiningBefore) -> Result<(), StoreError> {
        match (self, before) {
            (Self::Codes(codes), RefiningBefore::Codes(mark)) => codes.undo(mark),
            (Self::Index(index), RefiningBefore::Index(before)) => before.restore(index),
            _ => Err(StoreError::Inconsistent("the state is of another refining index".to_owned())),
        }
    }
}

/// A state of the index that re-ranks.
pub(super) enum RefiningBefore {
    Codes(Mark),
    Index(Before),
}
