//! The state of an index before an add, to which a wrapper returns if another of its indexes fails.

use ivf_core::Index;
use ivf_core::ability::AddMark;
use ivf_core::error::StoreError;

/// A state of an index, to which [`restore`](Self::restore) returns.
pub(crate) enum Before {
    /// A mark of an index that can [undo](ivf_core::ability::Undo) adds.
    Mark(AddMark),
    /// A snapshot of any other index.
    Snapshot(Box<dyn Index>),
}

impl Before {
    /// Returns the present state.
    pub(crate) fn of(index: &mut dyn Index) -> Result<Self, StoreError> {
        match index.as_undo() {
            Some(undo) => Ok(Self::Mark(undo.mark()?)),
            None => Ok(Self::Snapshot(index.clone_index()?)),
        }
    }

    /// Returns the index to the state, since which vectors were only added.
    pub(crate) fn restore(self, index: &mut Box<dyn Index>) -> Result<(), StoreError> {
        match self {
            Self::Mark(mark) => match index.as_undo() {
                Some(undo) => undo.undo(mark),
                None => Err(StoreError::Inconsistent(format!("{} cannot undo an add any more", index.spec()))),
            },
            Self::Snapshot(before) => {
                *index = before;
                Ok(())
            }
        }
    }
}
