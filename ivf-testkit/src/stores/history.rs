//! Generated writes, applied to a store and to its model.

use super::model::Model;
use crate::data::{Random, bytes};
use crate::executor::Threads;
use ivf_core::error::StoreError;
use ivf_core::executor::Inline;
use ivf_core::lists::ListBatch;
use ivf_core::{CodeLayout, Executor, Id, InvertedLists, InvertedListsMut, ListNo, ListOffset, Location};
use rand::RngExt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The generator of writes, and the expected content of the store after them.
#[derive(Clone)]
pub(super) struct History {
    model: Model,
    random: Random,
    next_id: i64,
}

impl History {
    pub(super) fn new(nlist: usize, layout: &CodeLayout, random: Random) -> Self {
        Self { model: Model::new(nlist, layout), random, next_id: 0 }
    }

    /// Asserts that the store holds the expected content.
    pub(super) fn check(&self, store: &dyn InvertedLists, at: &str) {
        self.model.check(store, at);
    }

    /// Applies one write to the store and the model, and compares them.
    pub(super) fn step(&mut self, store: &mut dyn InvertedLists, at: &str) {
        let lists = store.writer().unwrap_or_else(|| panic!("{at}: the store cannot be written"));
        let done = match self.random.random_range(0..40) {
            0..14 => self.append(lists, at),
            14..18 => self.truncate(lists, at),
            18..23 => self.put(lists, at),
            23..30 => self.remove(lists, at),
            30..32 => self.replace(lists, at),
            32 => self.clear(lists, at),
            33 => self.misfit(lists, at),
            _ => self.fail(lists, at),
        };
        self.model.check(store, &format!("{at}, after {done}"));
    }

    /// Appends up to `most` entries to random lists.
    pub(super) fn append_some(&mut self, store: &mut dyn InvertedLists, most: usize, at: &str) {
        let lists = store.writer().unwrap_or_else(|| panic!("{at}: the store cannot be written"));
        let batch = self.batch(0..most + 1);
        self.append_batch(lists, &batch, &Inline, at);
    }

    fn append(&mut self, store: &mut dyn InvertedListsMut, at: &str) -> String {
        let most = [2, 12, 90][self.random.random_range(0..3)];
        let batch = self.batch(0..most);
        let executor: &dyn Executor = if self.random.random() { &Inline } else { &Threads(3) };
        self.append_batch(store, &batch, executor, at);
        format!("append of {} entries on {} threads", batch.ids.len(), executor.threads())
    }

    fn append_batch(&mut self, store: &mut dyn InvertedListsMut, batch: &Batch, executor: &dyn Executor, at: &str) {
        let size = self.model.layout.code_size();
        ok(store.append(&batch.grouped(size), executor), at, "append");
        for ((list, id), code) in batch.lists.iter().zip(&batch.ids).zip(batch.codes.chunks_exact(size)) {
            self.model.lists[list.index()].push((*id, code.to_vec()));
        }
    }

    fn truncate(&mut self, store: &mut dyn InvertedListsMut, at: &str) -> String {
        let list = self.any_list();
        let len = self.random.random_range(0..self.len(list) + 3);
        ok(store.truncate(list, len), at, "truncate");
        self.model.lists[list.index()].truncate(len);
        format!("truncate of list {list} to {len}")
    }

    fn put(&mut self, store: &mut dyn InvertedListsMut, at: &str) -> String {
        let list = self.any_list();
        if self.len(list) == 0 {
            return "nothing".to_owned();
        }
        let place = Location { list, offset: ListOffset(self.random.random_range(0..self.len(list) as u32)) };
        let (id, code) = (self.ids(1)[0], self.codes(1));
        ok(store.put(place, id, &code), at, "put");
        self.model.lists[list.index()][place.offset.index()] = (id, code);
        format!("put of id {id} at {place:?}")
    }

    fn remove(&mut self, store: &mut dyn InvertedListsMut, at: &str) -> String {
        let list = self.any_list();
        let share = [0.05, 0.5, 1.0][self.random.random_range(0..3)];
        let offsets: Vec<ListOffset> =
            (0..self.len(list) as u32).filter(|_| self.random.random_bool(share)).map(ListOffset).collect();
        let moves = ok(store.remove(list, &offsets), at, "remove");
        let expected = self.model.remove(list.index(), &offsets);
        assert_eq!(moves, expected, "{at}: moves of the removal of {offsets:?} from list {list}");
        format!("removal of {offsets:?} from list {list}")
    }

    fn replace(&mut self, store: &mut dyn InvertedListsMut, at: &str) -> String {
        let list = self.any_list();
        let n = self.random.random_range(0..80);
        let (ids, codes) = (self.ids(n), self.codes(n));
        ok(store.replace(list, &ids, &codes), at, "replace");
        let codes = codes.chunks_exact(self.model.layout.code_size()).map(<[u8]>::to_vec);
        self.model.lists[list.index()] = ids.into_iter().zip(codes).collect();
        format!("replacement of list {list} by {n} entries")
    }

    fn clear(&mut self, store: &mut dyn InvertedListsMut, at: &str) -> String {
        ok(store.clear(), at, "clear");
        self.model.lists.iter_mut().for_each(Vec::clear);
        "clear".to_owned()
    }

    /// Makes a call that must fail and checks its error. The comparison after the step checks that
    /// the call changed nothing.
    fn fail(&mut self, store: &mut dyn InvertedListsMut, at: &str) -> String {
        let past = ListNo(self.model.lists.len() as u32 + self.random.random_range(0..3));
        let list = self.any_list();
        let len = self.len(list);
        let place = Location { list, offset: ListOffset((len + self.random.random_range(0..3)) as u32) };
        let (id, code, size) = (self.ids(1)[0], self.codes(1), self.model.layout.code_size());
        let (what, error) = match self.random.random_range(0..10) {
            0 => ("length of a list past the end", store.list_len(past).err()),
            1 => ("reading of a list past the end", store.list(past).err()),
            2 => ("truncate of a list past the end", store.truncate(past, 0).err()),
            3 => {
                let place = Location { list: past, offset: ListOffset(0) };
                ("put into a list past the end", store.put(place, id, &code).err())
            }
            4 => ("removal from a list past the end", store.remove(past, &[]).err()),
            5 => ("replacement of a list past the end", store.replace(past, &[id], &code).err()),
            6 => {
                let mut batch = self.batch(1..20);
                let lost = self.random.random_range(0..batch.lists.len());
                batch.lists[lost] = past;
                ("append with a list past the end", store.append(&batch.grouped(size), &Threads(2)).err())
            }
            7 => {
                let (lists, ids, codes) = ([list; 2], [id; 2], vec![1; 2 * (size + 1)]);
                let batch = ListBatch::group(&lists, &ids, &codes, size + 1);
                ("append of longer codes", store.append(&batch, &Inline).err())
            }
            8 => ("put past the end of a list", store.put(place, id, &code).err()),
            _ => {
                let offsets: Vec<ListOffset> =
                    (0..len as u32).step_by(2).map(ListOffset).chain([place.offset]).collect();
                ("removal past the end of a list", store.remove(list, &offsets).err())
            }
        };
        let right = match error {
            Some(StoreError::NoSuchList { list, nlist }) => {
                what.contains("list past the end") && (list, nlist) == (past, self.model.lists.len())
            }
            Some(StoreError::NoSuchEntry { at, len: found }) => {
                what.contains("past the end of a list") && (at, found) == (place, len)
            }
            Some(StoreError::Layout { .. }) => what.contains("longer codes"),
            _ => false,
        };
        assert!(right, "{at}: {what} gives {error:?} (list {past} of {}, {place:?} of {len})", self.model.lists.len());
        format!("failed {what}")
    }

    /// Writes codes of a wrong length, which must be an error.
    fn misfit(&mut self, store: &mut dyn InvertedListsMut, at: &str) -> String {
        let list = self.any_list();
        let (ids, size) = (self.ids(3), self.model.layout.code_size());
        let wrong = [size - 1, size + 1][self.random.random_range(0..2)];
        let puts = self.len(list) > 0 && self.random.random();
        let count = if puts { 1 } else { ids.len() };
        let codes = bytes(&mut self.random, (count - 1) * size + wrong);
        let what = if puts { "put" } else { "replacement" };
        let what = format!("{what} of {count} ids with {} bytes of codes of {size}", codes.len());
        let place = Location { list, offset: ListOffset(0) };
        let call = || if puts { store.put(place, ids[0], &codes) } else { store.replace(list, &ids, &codes) };
        let result = catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| panic!("{at}: {what} panics"));
        let is_typed = matches!(&result, Err(StoreError::Segment { .. } | StoreError::Layout { .. }));
        assert!(is_typed, "{at}: {what} gives {result:?}");
        format!("failed {what}")
    }

    /// Number of ways to empty lists.
    pub(super) const WAYS: usize = 4;

    /// Fills the lists, empties them in the given way, and returns a description of it.
    pub(super) fn empty_lists(&mut self, store: &mut dyn InvertedLists, way: usize, at: &str) -> &'static str {
        for _ in 0..8 {
            self.append_some(store, 2000, at);
        }
        self.model.check(store, at);
        let lists = store.writer().unwrap_or_else(|| panic!("{at}: the store cannot be written"));
        let what = ["clear", "removal of everything", "truncation to nothing", "replacement by nothing"][way];
        if way == 0 {
            ok(lists.clear(), at, what);
        }
        for no in (0..self.model.lists.len() as u32).map(ListNo).filter(|_| way > 0) {
            let all: Vec<ListOffset> = (0..self.len(no) as u32).map(ListOffset).collect();
            match way {
                1 => drop(ok(lists.remove(no, &all), at, what)),
                2 => ok(lists.truncate(no, 0), at, what),
                _ => ok(lists.replace(no, &[], &[]), at, what),
            }
        }
        self.model.lists.iter_mut().for_each(Vec::clear);
        self.model.check(store, &format!("{at}, after {what}"));
        what
    }

    fn any_list(&mut self) -> ListNo {
        ListNo(self.random.random_range(0..self.model.lists.len() as u32))
    }

    fn len(&self, list: ListNo) -> usize {
        self.model.lists[list.index()].len()
    }

    fn batch(&mut self, sizes: Range<usize>) -> Batch {
        let n = self.random.random_range(sizes);
        // Using all lists or only a few gives both many groups and long ones.
        let some = self.random.random_range(1..=self.model.lists.len() as u32);
        Batch {
            lists: (0..n).map(|_| ListNo(self.random.random_range(0..some))).collect(),
            ids: self.ids(n),
            codes: self.codes(n),
        }
    }

    /// Returns ids that continue the last ones, or arbitrary ids, or repeated ids.
    fn ids(&mut self, n: usize) -> Vec<Id> {
        match self.random.random_range(0..4) {
            0..2 => {
                let first = self.next_id;
                self.next_id += n as i64;
                (first..self.next_id).map(Id).collect()
            }
            2 => (0..n).map(|_| Id(self.random.random())).collect(),
            _ => (0..n).map(|_| Id([i64::MIN, -1, 0, 5, i64::MAX][self.random.random_range(0..5)])).collect(),
        }
    }

    fn codes(&mut self, n: usize) -> Vec<u8> {
        bytes(&mut self.random, n * self.model.layout.code_size())
    }
}

struct Batch {
    lists: Vec<ListNo>,
    ids: Vec<Id>,
    codes: Vec<u8>,
}

impl Batch {
    fn grouped(&self, code_size: usize) -> ListBatch<'_> {
        ListBatch::group(&self.lists, &self.ids, &self.codes, code_size)
    }
}

fn ok<T>(result: Result<T, StoreError>, at: &str, what: &str) -> T {
    result.unwrap_or_else(|error| panic!("{at}: {what} failed: {error}"))
}
