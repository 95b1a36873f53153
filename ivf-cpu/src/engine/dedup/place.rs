//! Finding out which copy each vector of a call shares.

use super::DedupIndex;
use super::known::{Known, same_bits};
use crate::engine::Trained;
use ivf_core::error::StoreError;
use ivf_core::{Id, Index, Rows, ScanIds};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Number of copies that are read at a time.
const TOGETHER: usize = 256;

/// Number of entries of the table of known vectors that may be outdated, in addition to as many as
/// there are copies.
const MOST_OUTDATED: usize = 1024;

/// The copies of the vectors of a call.
#[derive(Debug)]
pub(super) struct Placement {
    /// The name of the copy of each row.
    pub(super) names: Vec<Id>,
    /// The rows that become new copies, ascending.
    pub(super) new: Vec<usize>,
    /// The hashes of all rows.
    hashes: Vec<u64>,
}

/// What is known of the copy of a row.
#[derive(Clone, Copy, Debug)]
enum Found {
    /// A stored one, by its name.
    Stored(Id),
    /// That of an earlier row.
    OfRow(usize),
    New,
}

impl DedupIndex {
    /// Finds the copies of rows that are to be added under these ids. With `replaces`, the vectors
    /// that these ids have now are removed afterwards, so that their names are free.
    pub(super) fn place(&mut self, rows: Rows<'_, f32>, ids: &[Id], replaces: bool) -> Result<Placement, StoreError> {
        let known = self.known()?;
        let hashes: Vec<u64> = rows.iter().map(|row| known.hash(row)).collect();
        let mut found = vec![Found::New; rows.len()];
        let mut first: HashMap<u64, usize> = HashMap::with_capacity(rows.len());
        let mut hints = Vec::new();
        for (row, hash) in hashes.iter().enumerate() {
            let earlier = *first.entry(*hash).or_insert(row);
            if earlier < row && same_bits(rows.row(earlier), rows.row(row)) {
                found[row] = Found::OfRow(earlier);
            } else {
                hints.extend(known.hint(*hash).map(|name| (row, name)));
            }
        }
        self.compare(rows, &hints, &mut found)?;

        let stored = |found: &Found| if let Found::Stored(name) = found { Some(*name) } else { None };
        let mut used: HashSet<Id> = found.iter().filter_map(stored).collect();
        let mut names = Vec::with_capacity(rows.len());
        let mut new = Vec::new();
        for (row, found) in found.iter().enumerate() {
            names.push(match found {
                Found::Stored(name) => *name,
                Found::OfRow(earlier) => names[*earlier],
                Found::New => {
                    let name = self.free_name(ids[row], &used, replaces)?;
                    used.insert(name);
                    new.push(row);
                    name
                }
            });
        }
        Ok(Placement { names, new, hashes })
    }

    /// Records that the new copies of a placement are in the lists, and the ids of all rows.
    pub(super) fn note(&mut self, placement: &Placement, ids: &[Id]) {
        let mut new = placement.new.iter().copied().peekable();
        let known = self.known.as_mut().map(Arc::make_mut);
        if let Some(known) = known {
            placement.new.iter().for_each(|&row| known.insert(placement.hashes[row], placement.names[row]));
        }
        for (row, (&name, &id)) in placement.names.iter().zip(ids).enumerate() {
            let is_new = new.next_if_eq(&row).is_some();
            if is_new && name == id {
                continue;
            }
            let groups = Arc::make_mut(&mut self.groups);
            if is_new { groups.start(name, id) } else { groups.join(name, id) }
        }
    }

    /// Compares rows with the copies that may be of the same vectors, and records those that are.
    fn compare(&self, rows: Rows<'_, f32>, hints: &[(usize, Id)], found: &mut [Found]) -> Result<(), StoreError> {
        let names: Vec<Id> = hints.iter().map(|(_, name)| *name).collect();
        self.each_copy(&names, |hint, vector| {
            let (row, name) = hints[hint];
            if same_bits(rows.row(row), vector) {
                found[row] = Found::Stored(name);
            }
        })
    }

    /// Returns the table of known vectors. It is built if it is missing or mostly outdated.
    fn known(&mut self) -> Result<Arc<Known>, StoreError> {
        if let Some(known) = self.known.as_ref().filter(|known| known.len() <= 2 * self.inner.len() + MOST_OUTDATED) {
            return Ok(Arc::clone(known));
        }
        let mut known = Known::default();
        let mut names = Vec::with_capacity(self.inner.len());
        self.inner.scan_ids(&mut |name| names.push(name))?;
        self.each_copy(&names, |i, vector| known.insert(known.hash(vector), names[i]))?;
        let known = Arc::new(known);
        self.known = Some(Arc::clone(&known));
        Ok(known)
    }

    /// Passes the vectors of those copies that are in the lists to `found`, each with its position
    /// among the names.
    pub(super) fn each_copy(&self, names: &[Id], mut found: impl FnMut(usize, &[f32])) -> Result<(), StoreError> {
        let Some(Trained { entries, .. }) = &self.inner.trained else { return Ok(()) };
        let dim = self.inner.dim;
        let mut vectors = vec![0.0; names.len().min(TOGETHER) * dim];
        for start in (0..names.len()).step_by(TOGETHER) {
            let (mut there, mut places) = (Vec::new(), Vec::new());
            for (i, name) in (start..names.len()).zip(&names[start..]).take(TOGETHER) {
                if let Some(place) = entries.find(*name)? {
                    there.push(i);
                    places.push(place);
                }
            }
            let vectors = &mut vectors[..there.len() * dim];
            entries.decode_at(&places, vectors)?;
            there.into_iter().zip(vectors.chunks_exact(dim)).for_each(|(i, vector)| found(i, vector));
        }
        Ok(())
    }

    /// Returns true if a copy of this name is in the lists.
    pub(super) fn has_copy(&self, name: Id) -> Result<bool, StoreError> {
        match &self.inner.trained {
            Some(Trained { entries, .. }) => Ok(entries.find(name)?.is_some()),
            None => Ok(false),
        }
    }

    /// Returns a name for a copy of a vector with this id: the id itself if possible. `used` holds
    /// the names that the call uses.
    fn free_name(&mut self, id: Id, used: &HashSet<Id>, replaces: bool) -> Result<Id, StoreError> {
        let is_free = replaces && !self.groups.has(id) || !self.has_copy(id)?;
        if is_free && !used.contains(&id) {
            return Ok(id);
        }
        loop {
            let name = Id(self.next_name);
            self.next_name = self.next_name.wrapping_add(1);
            if !used.contains(&name) && !self.has_copy(name)? {
                return Ok(name);
            }
        }
    }
}
