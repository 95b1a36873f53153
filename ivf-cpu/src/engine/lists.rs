//! Changes to the lists: adding to chosen lists, replacing lists or the quantizer, renumbering, and
//! sorting.

use super::entries::{binding, made_map};
use super::{IvfIndex, Trained};
use ivf_core::error::{AddError, EditError, InputError, KnobError, ReplaceError, StoreError};
use ivf_core::params::QUANTIZER_PREFIX;
use ivf_core::quantizer::order_fault;
use ivf_core::{
    AddOptions, AddReport, AnyRows, Centroids, Id, IndexIvfMut, InvertedLists, Level1Quantizer, ListNo, Param, Settings,
};
use std::sync::Arc;

impl IndexIvfMut for IvfIndex {
    fn set_nprobe(&mut self, nprobe: usize) -> Result<(), KnobError> {
        self.set_knob_of("", "nprobe", &nprobe.into())
    }

    fn add_preassigned(
        &mut self,
        rows: AnyRows<'_>,
        lists: &[Option<ListNo>],
        ids: Option<&[Id]>,
        options: &AddOptions<'_>,
    ) -> Result<AddReport, AddError> {
        let Trained { quantizer, entries } = self.trained.as_ref().ok_or(AddError::NotTrained)?;
        if lists.len() != rows.len() {
            return Err(AddError::ListCount { rows: rows.len(), lists: lists.len() });
        }
        let nlist = quantizer.nlist();
        for (row, list) in lists.iter().enumerate() {
            if let Some(list) = list.filter(|list| list.index() >= nlist) {
                return Err(AddError::NoSuchList { row, list, nlist });
            }
        }
        match ids {
            None => {
                let ids = entries.count_ids(rows.len())?;
                self.add_to(rows, &ids, Some(lists), options)
            }
            Some(ids) if ids.len() != rows.len() => {
                Err(InputError::IdCount { rows: rows.len(), ids: ids.len() }.into())
            }
            Some(ids) => {
                entries.check_ids(ids.iter().copied())?;
                self.add_to(rows, ids, Some(lists), options)
            }
        }
    }

    fn replace_quantizer(&mut self, quantizer: Arc<dyn Level1Quantizer>) -> Result<(), ReplaceError> {
        let Trained { quantizer: old, entries } = self.trained.as_mut().ok_or(ReplaceError::NotTrained)?;
        if quantizer.dim() != self.dim {
            return Err(ReplaceError::Dim { expected: self.dim, found: quantizer.dim() });
        }
        if quantizer.nlist() != old.nlist() {
            return Err(ReplaceError::ListCount { expected: old.nlist(), found: quantizer.nlist() });
        }
        if let Some(found) = quantizer.metric().filter(|metric| *metric != self.metric) {
            return Err(ReplaceError::Metric { expected: self.metric, found });
        }
        let spec = quantizer.spec();
        spec.check(self.dim, self.metric)?;
        if spec.to_string().is_empty() {
            return Err(ReplaceError::Nameless);
        }
        if let Some(list) = not_finite(&*quantizer) {
            return Err(ReplaceError::NonFinite { list });
        }
        if entries.len > 0
            && let Some(list) = other_centroid(&**old, &*quantizer)
        {
            return Err(ReplaceError::Centroid { len: entries.len, list });
        }
        entries.bind(binding(&quantizer, self.by_residual, &self.options))?;
        *old = quantizer;
        self.options.settings = kept_settings(&self.options.settings, &spec.params(self.dim, self.metric));
        self.quantizer = spec;
        Ok(())
    }

    fn replace_lists(&mut self, lists: Box<dyn InvertedLists>) -> Result<Arc<dyn InvertedLists>, ReplaceError> {
        let Trained { quantizer, entries } = self.trained.as_mut().ok_or(ReplaceError::NotTrained)?;
        if lists.nlist() != quantizer.nlist() {
            return Err(ReplaceError::ListCount { expected: quantizer.nlist(), found: lists.nlist() });
        }
        if lists.layout() != entries.layout() {
            let (expected, found) = (entries.layout().to_string(), lists.layout().to_string());
            return Err(StoreError::Layout { expected, found }.into());
        }
        let len = lists.total_len()?;
        let after = after_largest(&*lists)?;
        let next_id = entries.next_id.max(after);
        let map = made_map(&*lists, entries.map.kind(), len, after).map_err(|error| match error {
            EditError::NotForArray(id) => ReplaceError::NotForArray(id),
            EditError::Store(error) => error.into(),
            other => StoreError::Inconsistent(other.to_string()).into(),
        })?;
        (entries.map, entries.len, entries.next_id) = (map.into(), len, next_id);
        Ok(entries.set_lists(lists))
    }

    fn permute_lists(&mut self, order: &[ListNo]) -> Result<(), ReplaceError> {
        let Trained { quantizer, entries } = self.trained.as_mut().ok_or(ReplaceError::NotTrained)?;
        if order.len() != quantizer.nlist() {
            return Err(ReplaceError::ListCount { expected: quantizer.nlist(), found: order.len() });
        }
        if let Some(list) = order_fault(quantizer.nlist(), order) {
            return Err(ReplaceError::Order { list, nlist: quantizer.nlist() });
        }
        let Some(permute) = quantizer.as_permute() else {
            return Err(ReplaceError::FixedNumbers { quantizer: quantizer.spec().to_string() });
        };
        let permuted = permute.permuted(order);
        let bound = entries.codec.clone().bind(&binding(&permuted, self.by_residual, &self.options))?;
        let mut contents = Vec::with_capacity(order.len());
        for list in entries.list_numbers() {
            let list = entries.lists.list(list)?;
            contents.push((list.ids().collect::<Vec<Id>>(), list.unpack(entries.layout())));
        }
        let numbers: Vec<ListNo> = entries.list_numbers().collect();
        let writer = entries.writer()?;
        writer.prepare(&numbers)?;
        for (done, (&to, from)) in numbers.iter().zip(order).enumerate() {
            let (ids, codes) = &contents[from.index()];
            if let Err(error) = writer.replace(to, ids, codes) {
                for &list in &numbers[..=done] {
                    let (ids, codes) = &contents[list.index()];
                    writer.replace(list, ids, codes)?;
                }
                return Err(error.into());
            }
        }
        *quantizer = permuted;
        entries.set_bound(bound);
        let mut places = vec![ListNo(0); order.len()];
        numbers.iter().zip(order).for_each(|(&to, from)| places[from.index()] = to);
        entries.map_mut().renumber(&places);
        Ok(())
    }

    fn sort_entries(&mut self) -> Result<(), StoreError> {
        let Some(Trained { entries, .. }) = &mut self.trained else { return Ok(()) };
        for list in entries.list_numbers() {
            let len = entries.lists.list_len(list)?;
            let before: Vec<Id> = entries.lists.list_ids(list, 0..len)?.iter().collect();
            if before.is_sorted() {
                continue;
            }
            let (size, codes) = (entries.layout().code_size(), entries.lists.list(list)?.unpack(entries.layout()));
            let mut order: Vec<usize> = (0..before.len()).collect();
            order.sort_by_key(|&i| before[i]);
            let ids: Vec<Id> = order.iter().map(|&i| before[i]).collect();
            let codes: Vec<u8> = order.iter().flat_map(|&i| &codes[i * size..][..size]).copied().collect();
            entries.writer()?.replace(list, &ids, &codes)?;
            entries.map_mut().reordered(list, &before, &ids);
        }
        Ok(())
    }
}

/// Returns the settings of the index without the quantizer settings that `params` does not declare
/// or whose values are out of range.
fn kept_settings(settings: &Settings, params: &[Param]) -> Settings {
    let fits = |name: &str, value| params.iter().any(|param| param.name == name && param.range.normal(value).is_some());
    let mut kept = Settings::new();
    for (name, value) in settings.iter() {
        if name.strip_prefix(QUANTIZER_PREFIX).is_none_or(|name| fits(name, value)) {
            kept.set(name, value.clone());
        }
    }
    kept
}

/// Number of centroids compared at a time.
const TOGETHER: usize = 1024;

/// Returns the first list for which `odds` holds for some coordinate of the two centroids.
fn first_at_odds(ours: &dyn Centroids, theirs: &dyn Centroids, odds: impl Fn(f32, f32) -> bool) -> Option<ListNo> {
    let (dim, nlist) = (ours.dim(), ours.nlist());
    let (mut our, mut their) = (vec![0.0; TOGETHER.min(nlist) * dim], vec![0.0; TOGETHER.min(nlist) * dim]);
    for first in (0..nlist).step_by(TOGETHER) {
        let len = TOGETHER.min(nlist - first) * dim;
        ours.centroid_rows(ListNo(first as u32), &mut our[..len]);
        theirs.centroid_rows(ListNo(first as u32), &mut their[..len]);
        if let Some(at) = our[..len].iter().zip(&their[..len]).position(|(a, b)| odds(*a, *b)) {
            return Some(ListNo((first + at / dim) as u32));
        }
    }
    None
}

/// Returns the first list whose two centroids are not bit-identical.
fn other_centroid(ours: &dyn Centroids, theirs: &dyn Centroids) -> Option<ListNo> {
    first_at_odds(ours, theirs, |a, b| a.to_bits() != b.to_bits())
}

/// Returns the first list whose centroid holds a NaN or an infinity.
pub(super) fn not_finite(centroids: &dyn Centroids) -> Option<ListNo> {
    first_at_odds(centroids, centroids, |a, _| !a.is_finite())
}

/// Returns one more than the largest id in the lists, or 0 if no id is at least 0.
pub(super) fn after_largest(lists: &dyn InvertedLists) -> Result<u64, StoreError> {
    let mut largest = None;
    for list in (0..lists.nlist()).map(|no| ListNo(no as u32)) {
        largest = largest.max(lists.list_ids(list, 0..lists.list_len(list)?)?.iter().max());
    }
    Ok(largest.and_then(|id| u64::try_from(id.0).ok()).map_or(0, |id| id + 1))
}
