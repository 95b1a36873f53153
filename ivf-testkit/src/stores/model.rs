//! The expected content of a store.

use crate::layouts::pack;
use ivf_core::lists::{ListRef, Moved};
use ivf_core::{CodeLayout, Id, InvertedLists, ListNo, ListOffset};

/// The lists as plain vectors of ids and codes.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) layout: CodeLayout,
    pub(super) lists: Vec<Vec<Entry>>,
}

pub(super) type Entry = (Id, Vec<u8>);

impl Model {
    pub(super) fn new(nlist: usize, layout: &CodeLayout) -> Self {
        Self { layout: layout.clone(), lists: vec![Vec::new(); nlist] }
    }

    /// Removes entries as [`ivf_core::InvertedListsMut::remove`] specifies, independently of the
    /// library's implementation.
    pub(super) fn remove(&mut self, list: usize, offsets: &[ListOffset]) -> Vec<Moved> {
        let entries = &mut self.lists[list];
        let left = entries.len() - offsets.len();
        let mut gaps = offsets.iter().filter(|gap| gap.index() < left);
        let mut moves = Vec::new();
        for from in (left..entries.len()).map(|from| ListOffset(from as u32)).filter(|from| !offsets.contains(from)) {
            let to = *gaps.next().expect("as many gaps as survivors behind them");
            entries[to.index()] = entries[from.index()].clone();
            moves.push(Moved { id: entries[to.index()].0, from, to });
        }
        entries.truncate(left);
        moves
    }

    /// Asserts that the store holds the content of this model.
    pub(super) fn check(&self, store: &dyn InvertedLists, at: &str) {
        assert_eq!(store.nlist(), self.lists.len(), "{at}: number of lists");
        assert_eq!(store.layout(), &self.layout, "{at}: layout");
        let all: Vec<ListNo> = (0..self.lists.len() as u32 + 2).map(ListNo).collect();
        store.prefetch(&all);
        store.memory();
        for (no, entries) in self.lists.iter().enumerate() {
            let at = format!("{at}: list {no}");
            let no = ListNo(no as u32);
            let len = store.list_len(no).unwrap_or_else(|error| panic!("{at}: its length: {error}"));
            assert_eq!(len, entries.len(), "{at}: length");
            let list = store.list(no).unwrap_or_else(|error| panic!("{at}: reading it: {error}"));
            self.check_list(&list, entries, &at);
            self.check_ranges(store, no, entries, &at);
        }
        let total: usize = self.lists.iter().map(Vec::len).sum();
        assert_eq!(store.total_len().expect("every length was read above"), total, "{at}: entries of all lists");
    }

    /// Compares parts of a list with the same entries of the whole list.
    fn check_ranges(&self, store: &dyn InvertedLists, no: ListNo, entries: &[Entry], at: &str) {
        let (layout, len) = (&self.layout, entries.len());
        let mut code = vec![0; layout.code_size()];
        for range in [0..len, 0..0, 0..1, len / 3..len / 2, len / 2..len / 2 + 1, 1..len, len..len + 5, 2..len + 9] {
            let at = format!("{at}: entries {range:?}");
            let asked = range.start.min(len)..range.end.min(len).max(range.start.min(len));
            let part = store.list_range(no, range.clone()).unwrap_or_else(|error| panic!("{at}: reading: {error}"));
            let held = part.start()..part.start() + part.len();
            let is_held = held.start <= asked.start && asked.end <= held.end && held.end <= len;
            assert!(asked.is_empty() || is_held, "{at}: the part has the entries {held:?}");
            for offset in held.clone() {
                let id = part.entry(layout, ListOffset(offset as u32), &mut code);
                assert_eq!(id, Some(entries[offset].0), "{at}: id of entry {offset}");
                assert!(code == entries[offset].1, "{at}: code of entry {offset}");
            }
            assert_eq!(part.id(ListOffset(held.end as u32)), None, "{at}: an entry past the part");
            let first = part.placed().next().map(|(first, _)| first);
            assert!(first.is_none_or(|first| first == held.start), "{at}: the first segment begins at {first:?}");

            let ids = store.list_ids(no, range).unwrap_or_else(|error| panic!("{at}: reading ids: {error}"));
            let expected: Vec<Id> = entries[asked.clone()].iter().map(|(id, _)| *id).collect();
            assert_eq!(ids.iter().collect::<Vec<_>>(), expected, "{at}: ids");
            assert!(ids.is_empty() || ids.start() == asked.start, "{at}: the ids begin at {}", ids.start());
        }
    }

    fn check_list(&self, list: &ListRef<'_>, entries: &[Entry], at: &str) {
        let layout = &self.layout;
        assert_eq!(list.len(), entries.len(), "{at}: length of what is read");
        let ids: Vec<Id> = entries.iter().map(|(id, _)| *id).collect();
        assert_eq!(list.ids().collect::<Vec<_>>(), ids, "{at}: ids");
        let codes: Vec<u8> = entries.iter().flat_map(|(_, code)| code).copied().collect();
        assert!(list.unpack(layout) == codes, "{at}: codes\n found {:?}\n expected {codes:?}", list.unpack(layout));
        let mut code = vec![0; layout.code_size()];
        for offset in [0, entries.len() / 2, entries.len().saturating_sub(1), entries.len()] {
            let id = list.entry(layout, ListOffset(offset as u32), &mut code);
            assert_eq!(id, ids.get(offset).copied(), "{at}: id of entry {offset}");
            assert!(id.is_none() || code == entries[offset].1, "{at}: code of entry {offset}");
        }
        let mut first = 0;
        for segment in list.segments() {
            let size = layout.code_size();
            let expected = pack(layout, &codes[first * size..(first + segment.len()) * size]);
            for (p, plane) in expected.iter().enumerate() {
                assert!(
                    *segment.plane(p) == **plane,
                    "{at}: plane {p} of the segment from entry {first} on is not its codes in zeroed blocks"
                );
            }
            first += segment.len();
        }
    }
}
