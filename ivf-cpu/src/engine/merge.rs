//! Taking over another index's entries, or some of them.

use super::entries::{Entries, Write};
use super::{IvfIndex, Trained};
use crate::executor::or_global;
use ivf_core::error::{AddError, MergeError, StoreError};
use ivf_core::{AddOptions, Cancel, CopySubset, DirectMapKind, Id, Index, ListNo, Merge, Reset, Subset};
use std::any::Any;
use std::ops::Range;

impl Merge for IvfIndex {
    fn merge_from(&mut self, other: &mut dyn Index, shift: i64, options: &AddOptions<'_>) -> Result<(), MergeError> {
        let other: &mut dyn Any = other;
        let other = other.downcast_mut::<IvfIndex>().ok_or(MergeError::Incompatible("kind"))?;
        self.merge_ivf(other, shift, options)
    }
}

impl CopySubset for IvfIndex {
    fn copy_subset_to(
        &self,
        other: &mut dyn Index,
        subset: &Subset<'_>,
        options: &AddOptions<'_>,
    ) -> Result<usize, MergeError> {
        let other: &mut dyn Any = other;
        let other = other.downcast_mut::<IvfIndex>().ok_or(MergeError::Incompatible("kind"))?;
        self.copy_ivf(other, subset, options)
    }
}

impl IvfIndex {
    pub(super) fn merge_ivf(
        &mut self,
        other: &mut IvfIndex,
        shift: i64,
        options: &AddOptions<'_>,
    ) -> Result<(), MergeError> {
        self.check_fits(other)?;
        let (entries, theirs) = (self.entries_mut()?, other.entries()?);
        let part = Part::all(theirs)?.shifted(shift)?;
        let write = entries.append_part(theirs, &part, options)?;
        // The other lets go first: if it cannot, both are as they were.
        if let Err(error) = other.reset() {
            entries.roll_back(&write)?;
            return Err(MergeError::Store(error));
        }
        entries.commit(write, part.len(), part.largest());
        Ok(())
    }

    pub(super) fn copy_ivf(
        &self,
        other: &mut IvfIndex,
        subset: &Subset<'_>,
        options: &AddOptions<'_>,
    ) -> Result<usize, MergeError> {
        other.check_fits(self)?;
        let (entries, ours) = (other.entries_mut()?, self.entries()?);
        let part = Part::of(ours, subset)?;
        let write = entries.append_part(ours, &part, options)?;
        entries.commit(write, part.len(), part.largest());
        Ok(part.len())
    }

    fn entries(&self) -> Result<&Entries, MergeError> {
        Ok(&self.trained.as_ref().ok_or(UNTRAINED)?.entries)
    }

    fn entries_mut(&mut self) -> Result<&mut Entries, MergeError> {
        Ok(&mut self.trained.as_mut().ok_or(UNTRAINED)?.entries)
    }

    /// Refuses an index in which codes mean something else.
    fn check_fits(&self, other: &IvfIndex) -> Result<(), MergeError> {
        if (self.dim, self.spec()) != (other.dim, other.spec()) || self.metric != other.metric {
            return Err(MergeError::Incompatible("dimension, metric or kind"));
        }
        let (Some(ours), Some(theirs)) = (&self.trained, &other.trained) else { return Err(UNTRAINED) };
        let Trained { quantizer, entries } = ours;
        if !quantizer.export().same(&theirs.quantizer.export()) {
            return Err(MergeError::Incompatible("their coarse quantizers"));
        }
        if !entries.bound.codec().export().same(&theirs.entries.bound.codec().export()) {
            return Err(MergeError::Incompatible("their codecs"));
        }
        Ok(())
    }
}

const UNTRAINED: MergeError = MergeError::Incompatible("training: both must be trained");

/// Entries of an index on their way into another: for each list which ones, ascending, and their ids there.
struct Part {
    lists: Vec<(Vec<usize>, Vec<Id>)>,
}

impl Part {
    /// The entries that `keep` says, by list, how many entries the list has, number in the list, and id.
    fn chosen(entries: &Entries, mut keep: impl FnMut(ListNo, usize, usize, Id) -> bool) -> Result<Self, StoreError> {
        let mut lists = Vec::with_capacity(entries.lists.nlist());
        for no in entries.list_numbers() {
            let list = entries.lists.list(no)?;
            lists.push(list.ids().enumerate().filter(|&(i, id)| keep(no, list.len(), i, id)).unzip());
        }
        Ok(Self { lists })
    }

    fn all(entries: &Entries) -> Result<Self, StoreError> {
        Self::chosen(entries, |_, _, _, _| true)
    }

    fn of(entries: &Entries, subset: &Subset<'_>) -> Result<Self, MergeError> {
        let fault = |what| Err(MergeError::Subset { what, found: format!("{subset:?}") });
        let chosen = match subset {
            Subset::Ids(selector) => Self::chosen(entries, |_, _, _, id| selector.contains(id)),
            Subset::IdModulo { modulus, remainder } => {
                if *modulus < 1 || !(0..*modulus).contains(remainder) {
                    return fault("a modulus of at least 1 and a remainder below it");
                }
                Self::chosen(entries, |_, _, _, id| id.0.rem_euclid(*modulus) == *remainder)
            }
            Subset::Elements(range) => {
                let total = entries.len;
                if range.start > range.end || range.end > total {
                    return fault("a range of the entries");
                }
                let places = ranked(entries, range)?;
                Self::chosen(entries, |list, _, i, _| places[list.index()].contains(&i))
            }
            Subset::ListFraction { part, of } => {
                if part >= of {
                    return fault("a part below the number of parts");
                }
                let place = |len: usize, part: usize| (len as u128 * part as u128 / *of as u128) as usize;
                Self::chosen(entries, |_, len, i, _| (place(len, *part)..place(len, *part + 1)).contains(&i))
            }
            Subset::Lists(range) => {
                if range.start > range.end || range.end > entries.lists.nlist() {
                    return fault("a range of the lists");
                }
                Self::chosen(entries, |list, _, _, _| range.contains(&list.index()))
            }
            _ => return fault("a subset that this index knows"),
        };
        Ok(chosen?)
    }

    /// The same with `shift` added to each id.
    fn shifted(mut self, shift: i64) -> Result<Self, MergeError> {
        for id in self.lists.iter_mut().flat_map(|(_, ids)| ids) {
            let overflow = MergeError::IdOverflow { id: *id, shift };
            id.0 = id.0.checked_add(shift).ok_or(overflow)?;
        }
        Ok(self)
    }

    fn len(&self) -> usize {
        self.lists.iter().map(|(_, ids)| ids.len()).sum()
    }

    fn ids(&self) -> impl Iterator<Item = Id> {
        self.lists.iter().flat_map(|(_, ids)| ids).copied()
    }

    fn largest(&self) -> Option<Id> {
        self.ids().max()
    }
}

/// For each list which of its entries have these ranks among all: as each list's own ranks ascend, they stand side by side.
fn ranked(entries: &Entries, range: &Range<usize>) -> Result<Vec<Range<usize>>, StoreError> {
    let mut order = Vec::with_capacity(entries.len);
    let mut places = Vec::with_capacity(entries.lists.nlist());
    for no in entries.list_numbers() {
        let len = entries.lists.list_len(no)?;
        order.extend((0..len).map(|i| (2 * i as u64 + 1, len as u64, no)));
        places.push(0..0);
    }
    // Both below 2^33, so their products are exact in more bits.
    let product = |a: u64, b: u64| u128::from(a) * u128::from(b);
    order.sort_unstable_by(|a, b| product(a.0, b.1).cmp(&product(b.0, a.1)).then(a.2.cmp(&b.2)));
    for &(twice, _, no) in order.get(range.clone()).unwrap_or_default() {
        let (place, i) = (&mut places[no.index()], (twice / 2) as usize);
        *place = if place.end == 0 { i..i + 1 } else { place.start..i + 1 };
    }
    Ok(places)
}

impl Entries {
    /// Appends a part of another index's entries, list by list: all of it or nothing.
    fn append_part(&mut self, other: &Entries, part: &Part, options: &AddOptions<'_>) -> Result<Write, MergeError> {
        if self.map.kind() == DirectMapKind::Array {
            let mut ids: Vec<Id> = part.ids().collect();
            ids.sort_unstable();
            self.check_ids(ids.into_iter())?;
        }
        let mut write = Write::default();
        match self.append_lists(&mut write, other, part, options) {
            Ok(()) => Ok(write),
            Err(error) => {
                self.roll_back(&write)?;
                Err(error)
            }
        }
    }

    fn append_lists(
        &mut self,
        write: &mut Write,
        other: &Entries,
        part: &Part,
        options: &AddOptions<'_>,
    ) -> Result<(), MergeError> {
        let (executor, mut done) = (or_global(options.executor), 0);
        let size = other.layout().code_size();
        for (list, (chosen, ids)) in other.list_numbers().zip(&part.lists) {
            if options.cancel.is_some_and(Cancel::is_cancelled) {
                return Err(AddError::Cancelled.into());
            }
            if ids.is_empty() {
                continue;
            }
            let mut codes = other.lists.list(list)?.unpack(other.layout());
            if chosen.len() * size < codes.len() {
                codes = chosen.iter().flat_map(|&i| &codes[i * size..][..size]).copied().collect();
            }
            self.append(write, &vec![list; ids.len()], ids, &codes, executor)?;
            done += ids.len();
            if let Some(progress) = options.progress {
                progress.step("merge", done as u64, part.len() as u64);
            }
        }
        Ok(())
    }
}
