//! Steps that remove, update, upsert and merge.

use super::check::done;
use super::step::History;
use crate::indexes::selectors;
use ivf_core::error::{AddError, EditError, MergeError};
use ivf_core::{AddOptions, Id, IdSelector};
use rand::RngExt;

impl History<'_> {
    pub(super) fn remove(&mut self, at: &str) -> Option<String> {
        self.index.as_remove()?;
        let ids: Vec<Id> = self.model.ids().into_iter().collect();
        let (share, turn) = (self.random.random_range(2..9), self.random.random_range(0..3));
        let some = |id: Id| id.0.rem_euclid(share) == 1;
        let mut kinds = selectors(&ids, &some);
        // Removing nearly everything would leave the index empty for most of a history.
        let least = if self.random.random_ratio(1, 20) { 0 } else { 3 };
        let kind = self.random.random_range(least..kinds.len());
        let selector = if turn == 0 { kinds.swap_remove(kind) } else { IdSelector::Fn(&some) };
        let removed = done(self.index.remove(&selector), &format!("{at}: {selector:?}"));
        assert_eq!(removed, self.model.remove(&selector), "{at}: entries removed by {selector:?}");
        Some(format!("{removed} entries by {selector:?}"))
    }

    pub(super) fn update(&mut self, at: &str) -> Option<String> {
        self.index.as_update()?;
        let ids = self.known(7);
        let vectors = self.vectors_of(ids.len());
        done(self.index.update(&ids, vectors.rows()), &format!("{at}: {ids:?}"));
        self.model.remove(&IdSelector::set(ids.iter().copied()));
        let entries = self.entries(&ids, &vectors);
        self.model.push(entries);
        Some(format!("{ids:?}"))
    }

    pub(super) fn upsert(&mut self, at: &str) -> Option<String> {
        self.index.as_upsert()?;
        let mut ids = self.known(5);
        let updated = ids.len();
        let n = self.random.random_range(0..5);
        let known = self.model.ids();
        let mut new: Vec<Id> = self.ids(n).into_iter().filter(|id| !known.contains(id)).collect();
        new.sort_unstable();
        new.dedup();
        ids.extend(&new);
        // An array map requires the new ids in order. Known ids may lie between them.
        if self.random.random() {
            ids.rotate_left(updated);
        }
        let vectors = self.vectors_of(ids.len());
        match self.index.upsert(&ids, vectors.rows()) {
            Err(EditError::Add(AddError::IdNotSequential { .. })) if self.refuses(new.iter().copied()) => {
                return Some(format!("{ids:?}, refused"));
            }
            report => {
                let report = done(report, &format!("{at}: {ids:?}"));
                assert_eq!((report.updated, report.added), (updated, new.len()), "{at}: report of {ids:?}");
            }
        }
        assert!(!self.refuses(new.iter().copied()), "{at}: an array map takes {new:?}");
        self.model.remove(&IdSelector::set(ids.iter().copied()));
        let entries = self.entries(&ids, &vectors);
        self.model.push(entries);
        Some(format!("{ids:?}"))
    }

    pub(super) fn merge(&mut self, at: &str) -> Option<String> {
        self.index.as_merge()?;
        let mut other = self.other();
        let vectors = self.vectors();
        let ids =
            if self.random.random() { self.ids(vectors.len()) } else { (0..vectors.len() as i64).map(Id).collect() };
        done(other.add_with_ids(vectors.rows(), &ids), at);
        let shift = if self.random.random() { self.model.next as i64 } else { self.random.random_range(-50..300) };
        let mut shifted: Vec<Id> = ids.iter().map(|id| Id(id.0 + shift)).collect();
        let mut sorted = shifted.clone();
        sorted.sort_unstable();
        let is_refused = self.refuses(sorted.into_iter());
        match self.index.as_merge()?.merge_from(&mut *other, shift, &AddOptions::new()) {
            Err(MergeError::Add(AddError::IdNotSequential { .. })) if is_refused => {
                assert_eq!(other.len(), ids.len(), "{at}: refused, the other index has lost something");
                return Some(format!("{ids:?} shifted by {shift}, refused"));
            }
            merged => done(merged, at),
        }
        assert!(!is_refused, "{at}: an array map takes {ids:?} shifted by {shift}");
        assert!(other.is_empty(), "{at}: the index merged keeps {} vectors", other.len());
        let entries = self.entries(&shifted, &vectors);
        self.model.push(entries);
        shifted.truncate(3);
        Some(format!("{} vectors shifted by {shift}, the first {shifted:?}", ids.len()))
    }
}
