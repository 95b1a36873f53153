//! Searching on a device: when the engine asks it, and what it tells it.

use super::filter::{Filter, Filters, SelectionCache};
use super::pieces::{TASK_CODES, piece};
use super::{Entries, IvfIndex, Trained};
use ivf_core::ability::Accelerate;
use ivf_core::accelerator::{AcceleratedParts, Accelerator, Selection};
use ivf_core::error::{SearchError, StoreError};
use ivf_core::mask::Mask;
use ivf_core::params::QUANTIZER_PREFIX;
use ivf_core::{InvertedLists, Level1Quantizer, ListNo, Probes, Rows, SearchParams, Settings};
use std::sync::Arc;

impl Accelerate for IvfIndex {
    fn accelerated(&self) -> Option<AcceleratedParts> {
        let Trained { quantizer, entries } = self.trained.as_ref()?;
        Some(AcceleratedParts::new(quantizer.clone(), entries.bound.clone(), entries.lists.clone()))
    }

    fn accelerator(&self) -> Option<Arc<dyn Accelerator>> {
        self.trained.as_ref()?.entries.accelerator.clone()
    }

    fn set_accelerator(&mut self, accelerator: Option<Arc<dyn Accelerator>>) -> Result<(), SearchError> {
        match &mut self.trained {
            Some(trained) => trained.entries.accelerator = accelerator,
            None if accelerator.is_some() => return Err(SearchError::NotTrained),
            None => {}
        }
        Ok(())
    }
}

impl IvfIndex {
    /// Returns the accelerator if it may assign vectors: the parameters of the quantizer have their
    /// defaults, in the index and among the parameters `own` of a call.
    pub(super) fn assigning<'t>(&self, trained: &'t Trained, own: &Settings) -> Option<&'t dyn Accelerator> {
        let accelerator = trained.entries.accelerator.as_deref()?;
        let (params, defaults) = (self.quantizer_params(), Settings::new());
        let settings = self.options.settings.under(QUANTIZER_PREFIX);
        // The quantizer reports a value out of range.
        let values = own.under(QUANTIZER_PREFIX).resolved(&params, &settings);
        (values == defaults.resolved(&params, &defaults)).then_some(accelerator)
    }

    /// Returns the accelerator if it may scan with these values of the codec's parameters: their
    /// defaults.
    pub(super) fn scanning<'t>(&self, entries: &'t Entries, values: &Settings) -> Option<&'t dyn Accelerator> {
        let accelerator = entries.accelerator.as_deref()?;
        let defaults = Settings::new();
        (defaults.resolved(&self.codec_params(), &defaults).as_ref() == Ok(values)).then_some(accelerator)
    }
}

/// Assigns vectors to lists: by an accelerator, or by the quantizer if there is none or it leaves
/// that to the quantizer.
pub(super) struct Assigner<'a> {
    pub(super) quantizer: &'a dyn Level1Quantizer,
    pub(super) accelerator: Option<&'a dyn Accelerator>,
    /// Parameters of the quantizer. If there is an accelerator, they have their defaults.
    pub(super) params: &'a SearchParams<'a>,
}

impl Assigner<'_> {
    /// Returns the nearest list of each row, or `None` where there is none.
    pub(super) fn nearest(&self, rows: Rows<'_, f32>) -> Result<Vec<Option<ListNo>>, SearchError> {
        let probes = self.assign(rows, 1)?;
        Ok((0..rows.len()).map(|row| probes.row(row).next().and_then(|(list, _)| list)).collect())
    }

    /// Returns the nearest lists of each row; see [`Level1Quantizer::assign`].
    pub(super) fn assign(&self, rows: Rows<'_, f32>, nprobe: usize) -> Result<Probes, SearchError> {
        if let Some(accelerator) = self.accelerator.filter(|_| nprobe > 0 && !rows.is_empty()) {
            self.params.check_cancel()?;
            if let Some(probes) = accelerator.assign(rows, nprobe)? {
                let (found, expected) = ((probes.len(), probes.nprobe()), (rows.len(), nprobe));
                if found != expected {
                    let what = format!("rows and probes {found:?} of an assignment, and not {expected:?}");
                    return Err(SearchError::Device(what.into()));
                }
                return Ok(probes);
            }
        }
        self.quantizer.assign(rows, nprobe, self.params)
    }
}

/// The filters of a batch, for an accelerator.
pub(super) struct BatchSelection<'a, 'f> {
    pub(super) filters: &'a Filters<'f>,
    pub(super) lists: &'a dyn InvertedLists,
    /// The position in the call of each query of the batch.
    pub(super) numbers: &'a [usize],
}

impl Selection for BatchSelection<'_, '_> {
    fn is_common(&self) -> bool {
        matches!(self.filters, Filters::None | Filters::Common(_))
    }

    fn select(&self, query: usize, list: ListNo) -> Result<Option<Mask>, SearchError> {
        let filter = self.filters.of(self.numbers[query]);
        Ok(filter.map(|filter| filter.select_all(self.lists, list)).transpose()?)
    }
}

impl Filter<'_> {
    /// Returns the selected entries of a whole list.
    fn select_all(&self, lists: &dyn InvertedLists, list: ListNo) -> Result<Mask, StoreError> {
        const WORDS: usize = TASK_CODES as usize / 64;
        let len = lists.list_len(list)?;
        let mut last = SelectionCache::default();
        let mut pieces: Vec<Mask> = Vec::new();
        for start in (0..len).step_by(TASK_CODES as usize) {
            let chosen = self.select(lists, list, start, &mut last)?;
            let len = piece(start, len).len();
            pieces.push(chosen.of_segment(start, len).into_owned().into_mask(len));
        }
        if pieces.len() == 1 {
            return Ok(pieces.swap_remove(0));
        }
        let mut mask = Mask::of_range(len, 0..0);
        mask.fill_words(|word| pieces[word / WORDS].bits(word % WORDS * 64, 64));
        Ok(mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coarse::OneList;
    use crate::codec::FlatCodec;
    use ivf_core::{ArrayLists, Binding, Codec, DirectMapKind, Id, IdSelector};

    #[test]
    fn the_mask_of_a_list_is_that_of_its_pieces() {
        for len in [0, 1, 63, 1 << 15, (1 << 15) + 1, (2 << 15) + 77] {
            let codec = Arc::new(FlatCodec::new(1, ivf_core::Metric::L2));
            let lists = Box::new(ArrayLists::new(1, codec.layout().clone()));
            let binding = Binding::new(Arc::new(OneList::new(1)));
            let mut entries = Entries::new(codec, &binding, lists, DirectMapKind::Hash).unwrap();
            let ids: Vec<Id> = (0..len).map(|i: i64| Id(i * 7 % len.max(1))).collect();
            let mut write = Default::default();
            let codes = vec![0; ids.len() * 4];
            entries.append(&mut write, &vec![ListNo(0); ids.len()], &ids, &codes, None).unwrap();
            entries.commit(write, ids.len(), ids.iter().copied().max());
            let third = |id: Id| id.0 % 3 == 0;
            for selector in [IdSelector::Fn(&third), IdSelector::range(5..40_000), IdSelector::set([Id(5), Id(33_000)])]
            {
                for passes in [1, 1 << 30] {
                    let filter = Filter::new(&selector, &entries, passes);
                    let mask = filter.select_all(&*entries.lists, ListNo(0)).unwrap();
                    assert_eq!(mask, Mask::from_fn(ids.len(), |i| selector.contains(ids[i])), "{len}, {passes}");
                }
            }
        }
    }
}
