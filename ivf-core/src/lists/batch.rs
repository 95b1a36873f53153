//! The input of a write to a store: entries grouped by list.

use crate::id::{Id, ListNo};

/// The entries of one write: codes as rows, with their ids. They are grouped by list, so that a
/// store can fill its lists in parallel.
///
/// Within a list the entries keep their order in the batch, and the store appends them in that
/// order. The writer therefore knows the offset of every entry in advance: list length + rank in
/// the group.
///
/// ```
/// use ivf_core::{Id, ListNo, lists::ListBatch};
/// let ids = [Id(10), Id(11), Id(12)];
/// let batch = ListBatch::group(&[ListNo(5), ListNo(2), ListNo(5)], &ids, &[b'a', b'b', b'c'], 1);
/// let lists: Vec<_> = batch.groups().map(|g| (g.list.0, g.ids().collect::<Vec<_>>())).collect();
/// assert_eq!(lists, [(2, vec![Id(11)]), (5, vec![Id(10), Id(12)])]);
/// ```
#[derive(Debug)]
pub struct ListBatch<'a> {
    ids: &'a [Id],
    codes: &'a [u8],
    code_size: usize,
    /// Indices of the entries in the batch, sorted by list and then by index.
    order: Vec<u32>,
    /// For each list, in ascending order: the list and the end of its run in `order`.
    runs: Vec<(ListNo, u32)>,
}

impl<'a> ListBatch<'a> {
    /// Groups `n` entries by list. Entry `i` goes to list `lists[i]` and has the id `ids[i]`. Its
    /// code is `codes[i * code_size..][..code_size]`.
    ///
    /// # Panics
    /// If the three slices differ in their number of entries, or if there are more than `u32::MAX`.
    pub fn group(lists: &[ListNo], ids: &'a [Id], codes: &'a [u8], code_size: usize) -> Self {
        let n = u32::try_from(lists.len()).expect("a batch has at most 2^32 - 1 entries");
        assert_eq!(ids.len(), lists.len(), "there must be one id per entry");
        assert_eq!(codes.len(), lists.len() * code_size, "there must be one code per entry");
        let mut order: Vec<u32> = (0..n).collect();
        order.sort_by_key(|&i| lists[i as usize]);
        let mut runs: Vec<(ListNo, u32)> = Vec::new();
        for (end, &i) in (1..).zip(&order) {
            match runs.last_mut() {
                Some(run) if run.0 == lists[i as usize] => run.1 = end,
                _ => runs.push((lists[i as usize], end)),
            }
        }
        Self { ids, codes, code_size, order, runs }
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Returns true if there are no entries.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Returns the size of a code in bytes.
    pub fn code_size(&self) -> usize {
        self.code_size
    }

    /// Iterates over the lists that receive entries, in ascending order, each with its entries.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = Group<'_>> {
        (0..self.runs.len()).map(|r| {
            let start = if r == 0 { 0 } else { self.runs[r - 1].1 };
            let (list, end) = self.runs[r];
            Group { list, entries: &self.order[start as usize..end as usize], batch: self }
        })
    }
}

/// The entries of a batch that go to one list.
///
/// A store appends a group at the end of its list:
///
/// ```
/// use ivf_core::{Id, ListNo, lists::ListBatch};
/// let ids = [10, 11, 12].map(Id);
/// let batch = ListBatch::group(&[ListNo(5), ListNo(2), ListNo(5)], &ids, b"aabbcc", 2);
/// assert_eq!((batch.len(), batch.code_size(), batch.is_empty()), (3, 2, false));
/// let mut list_5 = Vec::new();
/// for group in batch.groups().filter(|group| group.list == ListNo(5)) {
///     assert_eq!((group.entries, group.len(), group.is_empty()), (&[0, 2][..], 2, false));
///     list_5.extend(group.ids().zip(group.codes()));
/// }
/// assert_eq!(list_5, [(Id(10), &b"aa"[..]), (Id(12), &b"cc"[..])]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    /// The list.
    pub list: ListNo,
    /// Indices of the entries in the batch, ascending; never empty.
    pub entries: &'a [u32],
    batch: &'a ListBatch<'a>,
}

impl<'a> Group<'a> {
    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns true if there are no entries, which never happens for a group of a batch.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the ids of the entries.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = Id> + use<'a> {
        let batch = self.batch;
        self.entries.iter().map(move |&i| batch.ids[i as usize])
    }

    /// Returns the codes of the entries.
    pub fn codes(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let batch = self.batch;
        self.entries.iter().map(move |&i| &batch.codes[i as usize * batch.code_size..][..batch.code_size])
    }
}
