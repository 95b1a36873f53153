//! The expected content of an index: a vector of entries.

use super::Subject;
use crate::codecs::settings;
use crate::oracle;
use ivf_core::param::ParamRange;
use ivf_core::quantizer::{Origin, decode_list, encode_list, list_code_size, order_fault};
use ivf_core::{
    Binding, BoundCodec, Centroids, Codec, Id, IdSelector, Index, KnobValue, Level1Quantizer, ListNo, ListOffset,
    Location, Metric, Rows, Settings,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// An entry and its list. Its offset in the list is not part of the model.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) id: Id,
    pub(super) list: ListNo,
    pub(super) code: Vec<u8>,
    /// The decoded vector.
    pub(super) vector: Vec<f32>,
}

#[derive(Clone, Debug)]
pub(super) struct Model {
    /// The user-facing metric.
    pub(super) metric: Metric,
    pub(super) dim: usize,
    is_exact: bool,
    codec: Arc<dyn Codec>,
    quantizer: Option<Arc<dyn Level1Quantizer>>,
    bound: Arc<dyn BoundCodec>,
    /// The parameters of the codec's scanners.
    settings: Settings,
    /// For each list, its number in the trained quantizer.
    pub(super) order: Vec<ListNo>,
    pub(super) entries: Vec<Entry>,
    /// The id that `add` gives next.
    pub(super) next: u64,
    /// The kind of direct map, as the index of the knob's word.
    pub(super) map: u64,
    pub(super) nprobe: usize,
    pub(super) max_codes: usize,
}

impl Model {
    pub(super) fn new(subject: &Subject<'_>, index: &dyn Index) -> Self {
        let (codec, quantizer) = (subject.codec.clone(), subject.quantizer.clone());
        let by_residual = index.find_ivf().is_some_and(|ivf| ivf.by_residual());
        let bound = bind(&codec, quantizer.as_ref(), by_residual);
        let settings = settings(&*codec, by_residual);
        let nlist = quantizer.as_ref().map_or(1, |quantizer| quantizer.nlist());
        let (map, knob) = (knob(index, "direct_map"), |name| knob(index, name).map(|value| value as usize));
        Self {
            metric: index.metric(),
            dim: index.dim(),
            is_exact: subject.is_exact,
            codec,
            quantizer,
            bound,
            settings,
            order: (0..nlist as u32).map(ListNo).collect(),
            entries: Vec::new(),
            next: 0,
            map: map.unwrap_or(0),
            nprobe: knob("nprobe").unwrap_or(1),
            max_codes: knob("max_codes").unwrap_or(0),
        }
    }

    /// Returns the metric that codes are compared with.
    pub(super) fn inner_metric(&self) -> Metric {
        if self.metric == Metric::Cosine { Metric::InnerProduct } else { self.metric }
    }

    pub(super) fn nlist(&self) -> usize {
        self.order.len()
    }

    /// Returns a vector in the form in which lists and codes store it.
    pub(super) fn seen(&self, vector: &[f32]) -> Vec<f32> {
        if self.metric == Metric::Cosine { oracle::unit(vector) } else { vector.to_vec() }
    }

    /// Returns all lists with their coarse distances, nearest first, by comparing all centroids.
    pub(super) fn probes(&self, seen: &[f32]) -> Vec<(ListNo, f32)> {
        let Some(quantizer) = &self.quantizer else { return vec![(ListNo(0), 0.0)] };
        let mut centroid = vec![0.0; self.dim];
        let distance = |no: usize| {
            let list = ListNo(no as u32);
            quantizer.centroid(list, &mut centroid);
            (list, oracle::distance(self.inner_metric(), seen, &centroid))
        };
        let mut all: Vec<(ListNo, f32)> = (0..quantizer.nlist()).map(distance).collect();
        all.sort_by(|a, b| a.1.partial_cmp(&b.1).expect("finite centroids").then(a.0.cmp(&b.0)));
        all
    }

    /// Returns the entry of a vector, in its nearest list or in a given one.
    pub(super) fn entry(&self, id: Id, vector: &[f32], list: Option<ListNo>) -> Entry {
        let seen = self.seen(vector);
        let list = list.unwrap_or_else(|| self.probes(&seen)[0].0);
        let mut code = vec![0; self.codec.layout().code_size()];
        self.bound.encode(Rows::new(&seen, self.dim).expect("one row"), &[list], &mut code);
        let entry = self.decoded(id, list, code);
        assert!(!self.is_exact || entry.vector == seen, "an exact code of {seen:?} decodes to {:?}", entry.vector);
        entry
    }

    /// Returns the entry of a standalone code.
    pub(super) fn entry_of_code(&self, id: Id, code: &[u8]) -> Entry {
        let (list, code) = code.split_at(list_code_size(self.nlist()));
        self.decoded(id, decode_list(self.nlist(), list).expect("a list that is there"), code.to_vec())
    }

    fn decoded(&self, id: Id, list: ListNo, code: Vec<u8>) -> Entry {
        let mut vector = vec![0.0; self.dim];
        self.bound.decode(list, &code, &mut vector);
        Entry { id, list, code, vector }
    }

    /// Returns the standalone code of an entry.
    pub(super) fn standalone(&self, entry: &Entry) -> Vec<u8> {
        let mut code = vec![0; list_code_size(self.nlist())];
        encode_list(entry.list, &mut code);
        [code, entry.code.clone()].concat()
    }

    /// Returns the distances from a query to entries of a list.
    pub(super) fn distances(&self, seen: &[f32], list: ListNo, coarse: f32, entries: &[&Entry]) -> Vec<f32> {
        let mut scanner = self.bound.scanner(&self.settings);
        scanner.set_query(seen);
        scanner.set_list(list, coarse);
        let distance = |entry: &&Entry| {
            let distance = scanner.distance(&entry.code);
            if self.is_exact {
                let naive = oracle::distance(self.inner_metric(), seen, &entry.vector);
                assert_eq!(
                    distance.to_bits(),
                    naive.to_bits(),
                    "the scanner of {:?} differs from the oracle",
                    self.codec
                );
            }
            distance
        };
        entries.iter().map(distance).collect()
    }

    /// Marks ids as used.
    pub(super) fn count(&mut self, ids: impl IntoIterator<Item = Id>) {
        let ends = ids.into_iter().filter_map(|id| u64::try_from(id.0).ok()).map(|id| id + 1);
        self.next = ends.fold(self.next, u64::max);
    }

    pub(super) fn push(&mut self, entries: Vec<Entry>) {
        self.count(entries.iter().map(|entry| entry.id));
        self.entries.extend(entries);
    }

    /// Removes the selected entries and returns their number.
    pub(super) fn remove(&mut self, selector: &IdSelector<'_>) -> usize {
        let before = self.entries.len();
        self.entries.retain(|entry| !selector.contains(entry.id));
        before - self.entries.len()
    }

    pub(super) fn ids(&self) -> BTreeSet<Id> {
        self.entries.iter().map(|entry| entry.id).collect()
    }

    /// Renumbers the lists: list `i` becomes the previous list `order[i]`.
    pub(super) fn permute(&mut self, order: &[ListNo]) {
        let Some(quantizer) = &self.quantizer else { return };
        assert_eq!(order_fault(quantizer.nlist(), order), None, "an order of all lists");
        let mut to = vec![ListNo(0); order.len()];
        (0..).map(ListNo).zip(order).for_each(|(new, old)| to[old.index()] = new);
        self.entries.iter_mut().for_each(|entry| entry.list = to[entry.list.index()]);
        let permute = quantizer.as_permute().expect("a quantizer that renumbers its lists");
        self.quantizer = Some(permute.permuted(order));
        self.order = order.iter().map(|old| self.order[old.index()]).collect();
        self.bound = bind(&self.codec, self.quantizer.as_ref(), self.bound.by_residual());
    }

    /// Returns the entries of each list. They have the order of the index's lists if the index
    /// shows them (the result is then `true`), and any order otherwise.
    ///
    /// # Panics
    /// If the index holds other entries.
    pub(super) fn lists(&self, index: &dyn Index, at: &str) -> (Vec<Vec<&Entry>>, bool) {
        assert_eq!(index.len(), self.entries.len(), "{at}: number of vectors");
        let mut lists = vec![Vec::new(); self.nlist()];
        self.entries.iter().for_each(|entry| lists[entry.list.index()].push(entry));
        let Some(shown) = index.as_ivf().and_then(|ivf| ivf.lists()) else { return (lists, false) };
        assert_eq!(shown.nlist(), lists.len(), "{at}: number of lists");
        for (no, entries) in (0..).map(ListNo).zip(&mut lists) {
            let list = shown.list(no).unwrap_or_else(|error| panic!("{at}: list {no}: {error}"));
            assert_eq!(shown.list_len(no).ok(), Some(list.len()), "{at}: length of list {no}");
            let found: Vec<(Id, Vec<u8>)> = list.entries(shown.layout()).collect();
            entries.sort_by(|a, b| (a.id, &a.code).cmp(&(b.id, &b.code)));
            let mut order: Vec<usize> = (0..found.len()).collect();
            order.sort_by_key(|&i| &found[i]);
            let same = order.iter().map(|&i| (found[i].0, &found[i].1));
            assert!(
                same.eq(entries.iter().map(|entry| (entry.id, &entry.code))),
                "{at}: list {no} holds the ids {:?}, expected {:?} (or other codes)",
                order.iter().map(|&i| found[i].0.0).collect::<Vec<_>>(),
                entries.iter().map(|entry| entry.id.0).collect::<Vec<_>>()
            );
            let mut placed: Vec<(usize, &Entry)> = order.into_iter().zip(entries.iter().copied()).collect();
            placed.sort_by_key(|(place, _)| *place);
            *entries = placed.into_iter().map(|(_, entry)| entry).collect();
        }
        (lists, true)
    }
}

/// Returns the location of the entry at `offset` of list `no`.
pub(super) fn place(no: usize, offset: usize) -> Location {
    Location { list: ListNo(no as u32), offset: ListOffset(offset as u32) }
}

/// Returns the value of a knob as a whole number. For a word, this is its index among the allowed
/// words.
pub(super) fn knob(index: &dyn Index, name: &str) -> Option<u64> {
    let knob = index.parts().into_iter().flat_map(|part| part.knobs).find(|knob| knob.param.is_named(name))?;
    match (&knob.param.range, &knob.value) {
        (ParamRange::Word(words), KnobValue::Word(value)) => {
            words.iter().position(|word| word == value).map(|place| place as u64)
        }
        (_, value) => value.as_whole(),
    }
}

fn bind(
    codec: &Arc<dyn Codec>,
    quantizer: Option<&Arc<dyn Level1Quantizer>>,
    by_residual: bool,
) -> Arc<dyn BoundCodec> {
    let centroids: Arc<dyn Centroids> = match quantizer {
        Some(quantizer) => quantizer.clone(),
        None => Arc::new(Origin { dim: codec.dim() }),
    };
    let bound = codec.clone().bind(&Binding::new(centroids).by_residual(by_residual));
    bound.unwrap_or_else(|error| panic!("{}: binding it to the index's lists: {error}", codec.spec()))
}
