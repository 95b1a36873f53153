//! Lists that stay in a stored node. Nothing is copied. Before the first access to a list, only the
//! lengths and positions of the lists are read.

use super::array_list::{packed, short};
use super::{ListIds, ListRef, PlaneBytes, Segment, SegmentIds};
use crate::bytes::ALIGN;
use crate::error::{DecodeError, StoreError};
use crate::field::{Field, FieldType, Schema};
use crate::id::{Id, Ids, ListNo};
use crate::layout::{CodeLayout, Planes};
use crate::node::StoredNode;
use crate::section::Section;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Returns the version of the exported node: 1 if short lists are stored in rows.
pub(super) fn version(short: usize) -> u16 {
    u16::from(short > 0)
}

/// The fields of the node. A reader compares them with the codec's layout.
const SCHEMA: &Schema = &[
    Field::new("nlist", FieldType::UInt),
    Field::new("layout", FieldType::Text),
    Field::new("code_size", FieldType::UInt),
    Field::new("block_len", FieldType::UInt),
    Field::since_version_2("codec", FieldType::Text),
];

/// The lists of an exported [`ArrayLists`](super::ArrayLists).
///
/// ```text
/// numbers  (none)                          or, if most lists are empty, the numbers of the others: 0 1 3
/// lens     3        2     0    40          numbers, lens and runs are read and checked when the lists are opened
/// runs     1 100    0 0   0 0  0 0
/// ids      (none)   7 9        40 ids      ids and planes are read on demand: a list begins at the end of the
/// plane0   | list 0 | list 1 | list 3 |    list before it, in a plane at the next multiple of 64
///
/// version 1, in which lists of fewer than 8 entries are short
/// rows     | list 0 | list 1 |             their codes, one after the other, without gaps
/// plane0   | list 3 |
/// ```
#[derive(Clone, Debug)]
pub(super) struct StoredLists {
    nlist: usize,
    /// The numbers of the lists in `lists`, ascending; `None` if `lists` has all lists.
    numbers: Option<Arc<[ListNo]>>,
    lists: Arc<[Place]>,
    ids: Arc<dyn Section>,
    planes: Planes<Arc<dyn Section>>,
    /// The codes of short lists, in version 1.
    rows: Option<Arc<dyn Section>>,
    /// For each list, whether `prefetch` was called before. The hint costs some system calls and is
    /// given only once.
    asked: Arc<[AtomicBool]>,
    /// For each list, whether its ids are sorted, once that is known. Empty unless the file was
    /// read into memory.
    order: Arc<[OnceLock<bool>]>,
}

/// The position of a list in the sections.
#[derive(Clone, Debug)]
struct Place {
    len: u32,
    ids: IdPlace,
    codes: CodePlace,
}

#[derive(Clone, Debug)]
enum CodePlace {
    /// Start of the blocks of the list in each plane, in bytes.
    Blocks(Planes<u64>),
    /// Start of the codes of a short list in the section of rows, in bytes.
    Rows(u64),
}

#[derive(Clone, Copy, Debug)]
enum IdPlace {
    /// Consecutive ids from this one on; they are not stored.
    Run(Id),
    /// Start of the ids of the list in the ids section, in bytes.
    Listed(u64),
}

impl StoredLists {
    /// Opens the lists of a node. The lengths and positions of the lists are checked here. The ids
    /// and codes are not, and may hold any value.
    pub(super) fn read(node: &StoredNode, layout: &CodeLayout) -> Result<Self, DecodeError> {
        node.expect_version(1)?;
        let fault = |what: String| DecodeError::value(&node.tag, what);
        let fields = node.fields(SCHEMA)?;
        let (name, codec): (String, Option<String>) = (fields.get("layout")?, fields.opt("codec")?);
        let sizes: (u64, u64) = (fields.get("code_size")?, fields.get("block_len")?);
        let is_other_codec = codec.as_ref().is_some_and(|codec| codec != layout.codec());
        if name != layout.name() || sizes != (layout.code_size() as u64, layout.block_len() as u64) || is_other_codec {
            let shown = |text: &str| text.chars().take(60).flat_map(char::escape_debug).collect::<String>();
            let codec = codec.map(|codec| format!(" of {}", shown(&codec))).unwrap_or_default();
            return Err(fault(format!(
                "the codes have the layout {} ({} bytes, blocks of {}){codec}, the codec has {layout}",
                shown(&name),
                sizes.0,
                sizes.1
            )));
        }
        let nlist = fields.get::<u64>("nlist")?;
        let nlist = usize::try_from(nlist).ok().filter(|_| nlist <= 1 << 32);
        let nlist = nlist.ok_or_else(|| fault("more than 2^32 lists".to_owned()))?;
        let numbers = if node.arrays.iter().any(|array| array.name == "numbers") {
            let numbers: Vec<ListNo> = node.array::<u32>("numbers")?.iter().copied().map(ListNo).collect();
            let is_ascending = numbers.windows(2).all(|pair| pair[0] < pair[1]);
            if !is_ascending || numbers.last().is_some_and(|last| last.index() >= nlist) {
                return Err(fault("the list numbers do not ascend, or pass the last list".to_owned()));
            }
            Some(numbers)
        } else {
            None
        };
        let lens = node.array::<u64>("lens")?;
        let expected = numbers.as_ref().map_or(nlist, Vec::len);
        if lens.len() != expected {
            return Err(fault(format!("{} list lengths for {expected} lists", lens.len())));
        }
        let runs = node.array::<i64>("runs")?;
        if runs.len() != 2 * lens.len() {
            return Err(fault(format!("{} id runs for {} lists", runs.len(), lens.len())));
        }
        let mut ids = Claim::new("the ids", node.section::<Id>("ids")?);
        let mut planes = Planes::new();
        for p in 0..layout.plane_count() {
            planes.push(Claim::new("a plane", node.section::<u8>(&format!("plane{p}"))?));
        }
        let mut rows = match node.version {
            0 => None,
            _ => Some(Claim::new("the rows", node.section::<u8>("rows")?)),
        };
        let short = if rows.is_some() { short(nlist, layout) } else { 0 };
        let mut lists = Vec::with_capacity(lens.len());
        for (&len, run) in lens.iter().zip(runs.chunks_exact(2)) {
            let len = u32::try_from(len).map_err(|_| fault(format!("a list of {len} entries")))?;
            let ids = match run {
                [1, first] if len > 0 && first.checked_add(i64::from(len) - 1).is_some() => IdPlace::Run(Id(*first)),
                [0, 0] => IdPlace::Listed(ids.next(id_bytes(len))?),
                _ => return Err(fault("an invalid run of ids".into())),
            };
            let place = |(p, plane): (usize, &mut Claim<'_>)| {
                let bytes = layout.plane_bytes(p, len as usize);
                plane.next(bytes.next_multiple_of(ALIGN) as u64)
            };
            let codes = match &mut rows {
                Some(rows) if (len as usize) < short => {
                    CodePlace::Rows(rows.next(u64::from(len) * layout.code_size() as u64)?)
                }
                _ => CodePlace::Blocks(planes.iter_mut().enumerate().map(place).collect::<Result<_, _>>()?),
            };
            lists.push(Place { len, ids, codes });
        }
        let asked = lists.iter().map(|_| AtomicBool::new(false)).collect();
        let ids = ids.finish()?;
        // A check of the order would read the ids of a file that is only open, so it is made only
        // in memory.
        let known = if ids.memory() > 0 { lists.len() } else { 0 };
        Ok(Self {
            order: (0..known).map(|_| OnceLock::new()).collect(),
            nlist,
            numbers: numbers.map(Into::into),
            lists: lists.into(),
            asked,
            ids,
            planes: planes.into_iter().map(Claim::finish).collect::<Result<_, _>>()?,
            rows: rows.map(Claim::finish).transpose()?,
        })
    }

    /// Returns the number of lists.
    pub(super) fn nlist(&self) -> usize {
        self.nlist
    }

    /// Iterates over the lists that are not empty, in ascending order.
    pub(super) fn filled(&self) -> impl Iterator<Item = ListNo> {
        let number = |at: usize| self.numbers.as_ref().map_or(ListNo(at as u32), |numbers| numbers[at]);
        let filled = self.lists.iter().enumerate().filter(|(_, place)| place.len > 0);
        filled.map(move |(at, _)| number(at))
    }

    /// Returns the index of a list in `lists`, or `None` for an empty list that is not among them.
    fn find(&self, list: ListNo) -> Option<usize> {
        match &self.numbers {
            None => Some(list.index()),
            Some(numbers) => numbers.binary_search(&list).ok(),
        }
    }

    /// Returns the length of a list.
    ///
    /// # Panics
    /// If there is no such list. The same holds for the methods below.
    pub(super) fn len(&self, list: ListNo) -> usize {
        self.find(list).map_or(0, |at| self.lists[at].len as usize)
    }

    /// Returns the first id of a list, if its ids are consecutive.
    pub(super) fn run(&self, list: ListNo) -> Option<Id> {
        match self.lists[self.find(list)?].ids {
            IdPlace::Run(first) => Some(first),
            IdPlace::Listed(_) => None,
        }
    }

    /// Returns the bytes of the ids of a list, or no bytes if the ids are consecutive.
    pub(super) fn listed_ids(&self, list: ListNo) -> Result<PlaneBytes<'_>, StoreError> {
        match self.find(list).map(|at| &self.lists[at]) {
            Some(Place { len, ids: IdPlace::Listed(start), .. }) if *len > 0 => {
                self.ids.part(*start..start + id_bytes(*len))
            }
            _ => Ok(PlaneBytes::Borrowed(&[])),
        }
    }

    /// Returns the blocks of a list in a plane, packed if the list is short.
    pub(super) fn plane(&self, list: ListNo, p: usize, layout: &CodeLayout) -> Result<PlaneBytes<'_>, StoreError> {
        let entries = 0..self.len(list);
        match self.find(list).map(|at| &self.lists[at].codes) {
            Some(CodePlace::Blocks(starts)) => self.blocks(p, starts[p], layout, entries),
            _ => {
                let planes = self.planes(list, layout, entries)?;
                Ok(planes.into_iter().nth(p).unwrap_or(PlaneBytes::Borrowed(&[])))
            }
        }
    }

    /// Returns the blocks of some entries of a list in a plane, where the list begins at `start`.
    fn blocks(
        &self,
        p: usize,
        start: u64,
        layout: &CodeLayout,
        entries: Range<usize>,
    ) -> Result<PlaneBytes<'_>, StoreError> {
        let byte = |entry| start + layout.plane_bytes(p, entry) as u64;
        let range = byte(entries.start)..byte(entries.end);
        if range.is_empty() { Ok(PlaneBytes::Borrowed(&[])) } else { self.planes[p].part(range) }
    }

    /// Returns the codes of a list, one after the other.
    pub(super) fn rows(&self, list: ListNo, layout: &CodeLayout) -> Result<Cow<'_, [u8]>, StoreError> {
        match self.find(list).map(|at| &self.lists[at].codes) {
            Some(CodePlace::Rows(start)) => Ok(self.short_rows(*start, 0..self.len(list), layout)?.into()),
            _ => Ok(self.list(list, layout)?.unpack(layout).into()),
        }
    }

    /// Returns the codes of some entries of a short list that begins at `start`.
    fn short_rows(&self, start: u64, entries: Range<usize>, layout: &CodeLayout) -> Result<PlaneBytes<'_>, StoreError> {
        let byte = |entry: usize| start + (entry * layout.code_size()) as u64;
        match &self.rows {
            Some(rows) if !entries.is_empty() => rows.part(byte(entries.start)..byte(entries.end)),
            _ => Ok(PlaneBytes::Borrowed(&[])),
        }
    }

    /// Returns the blocks of some entries of a list in each plane. The entries begin with a block.
    fn planes(
        &self,
        list: ListNo,
        layout: &CodeLayout,
        entries: Range<usize>,
    ) -> Result<Planes<PlaneBytes<'_>>, StoreError> {
        let Some(at) = self.find(list) else { return Ok(Planes::new()) };
        let starts = match &self.lists[at].codes {
            CodePlace::Blocks(starts) => starts,
            CodePlace::Rows(start) => {
                let rows = self.short_rows(*start, entries.clone(), layout)?;
                return Ok(packed(layout, &rows, entries.len()));
            }
        };
        starts.iter().enumerate().map(|(p, start)| self.blocks(p, *start, layout, entries.clone())).collect()
    }

    /// Returns the ids of some entries of a list, which must have them.
    fn ids(&self, list: ListNo, entries: Range<usize>) -> Result<SegmentIds<'_>, StoreError> {
        let len = entries.len();
        let misplaced = |_| StoreError::Segment { len, what: "its ids are misaligned" };
        let Some((at, place)) = self.find(list).map(|at| (at, &self.lists[at])).filter(|_| len > 0) else {
            return Ok(SegmentIds::Borrowed(Ids::Listed(&[])));
        };
        let start = match place.ids {
            IdPlace::Run(first) => {
                let first = Id(first.0 + entries.start as i64);
                return Ok(SegmentIds::Borrowed(Ids::Run { first, len }));
            }
            IdPlace::Listed(start) => start,
        };
        let bytes = start + id_bytes(entries.start as u32)..start + id_bytes(entries.end as u32);
        Ok(match self.ids.part(bytes)? {
            PlaneBytes::Borrowed(bytes) => {
                let ids: &[Id] = bytemuck::try_cast_slice(bytes).map_err(misplaced)?;
                let is_ascending = match self.order.get(at) {
                    Some(order) => *order.get_or_init(|| self.is_sorted(list)),
                    None => false,
                };
                SegmentIds::Borrowed(if is_ascending { Ids::Ascending(ids) } else { Ids::Listed(ids) })
            }
            PlaneBytes::Shared(bytes) => {
                SegmentIds::Shared(bytemuck::try_cast_slice::<u8, Id>(&bytes).map_err(misplaced)?.into())
            }
        })
    }

    /// Returns whether all ids of a list are known to be in ascending order.
    fn is_sorted(&self, list: ListNo) -> bool {
        let bytes = self.listed_ids(list);
        bytes.is_ok_and(|bytes| bytemuck::try_cast_slice::<u8, Id>(&bytes).is_ok_and(|ids| ids.is_sorted()))
    }

    /// Returns the part of a list that holds some entries, in whole blocks. Nothing else is read.
    pub(super) fn list_range(
        &self,
        list: ListNo,
        layout: &CodeLayout,
        entries: Range<usize>,
    ) -> Result<ListRef<'_>, StoreError> {
        let len = self.len(list);
        if entries.start >= entries.end.min(len) {
            return Ok(ListRef::part(entries.start, []));
        }
        let part = Segment::whole_blocks(layout, len, entries);
        let ids = self.ids(list, part.clone())?;
        let segment = Segment::new(layout, ids, self.planes(list, layout, part.clone())?)?;
        Ok(ListRef::part(part.start, [segment]))
    }

    /// Returns the ids of some entries of a list. Nothing else is read.
    pub(super) fn list_ids(&self, list: ListNo, entries: Range<usize>) -> Result<ListIds<'_>, StoreError> {
        let end = entries.end.min(self.len(list));
        let start = entries.start.min(end);
        Ok(ListIds::new(start, [self.ids(list, start..end)?]))
    }

    pub(super) fn list(&self, list: ListNo, layout: &CodeLayout) -> Result<ListRef<'_>, StoreError> {
        self.list_range(list, layout, 0..self.len(list))
    }

    /// Gives the hint that the list will be read soon.
    pub(super) fn prefetch(&self, list: ListNo, layout: &CodeLayout) {
        let Some(at) = self.find(list) else { return };
        let (place, asked) = (&self.lists[at], &self.asked[at]);
        if place.len == 0 || asked.load(Ordering::Relaxed) {
            return;
        }
        asked.store(true, Ordering::Relaxed);
        if let IdPlace::Listed(start) = place.ids {
            self.ids.prefetch(start..start + id_bytes(place.len));
        }
        let len = place.len as usize;
        match &place.codes {
            CodePlace::Blocks(starts) => {
                for (p, (section, start)) in self.planes.iter().zip(starts).enumerate() {
                    section.prefetch(*start..start + layout.plane_bytes(p, len) as u64);
                }
            }
            CodePlace::Rows(start) => {
                let rows = *start..start + (len * layout.code_size()) as u64;
                self.rows.iter().for_each(|section| section.prefetch(rows.clone()));
            }
        }
    }

    /// Returns the memory that the lists take, in bytes. Bytes in a file do not count.
    pub(super) fn memory(&self) -> usize {
        let sections = self.sections().map(|section| section.memory());
        self.lists.len() * (size_of::<Place>() + size_of::<AtomicBool>())
            + size_of_val(&self.order[..])
            + self.numbers.as_ref().map_or(0, |numbers| size_of_val(&numbers[..]))
            + sections.sum::<usize>()
    }

    /// Returns true if the lists lie in the process's own memory, which is freed once all lists are
    /// copied.
    pub(super) fn in_memory(&self) -> bool {
        self.sections().any(|section| section.memory() > 0)
    }

    fn sections(&self) -> impl Iterator<Item = &Arc<dyn Section>> {
        self.planes.iter().chain(&self.rows).chain([&self.ids])
    }
}

fn id_bytes(len: u32) -> u64 {
    u64::from(len) * size_of::<Id>() as u64
}

/// Divides a section into consecutive pieces, never past its end.
struct Claim<'a> {
    what: &'static str,
    section: &'a Arc<dyn Section>,
    next: u64,
}

impl<'a> Claim<'a> {
    fn new(what: &'static str, section: &'a Arc<dyn Section>) -> Self {
        Self { what, section, next: 0 }
    }

    /// Claims the next piece of `bytes` bytes and returns its start.
    fn next(&mut self, bytes: u64) -> Result<u64, DecodeError> {
        let left = self.section.len() - self.next;
        if bytes > left {
            return Err(DecodeError::Truncated { what: self.what, needed: bytes, left });
        }
        self.next += bytes;
        Ok(self.next - bytes)
    }

    fn finish(self) -> Result<Arc<dyn Section>, DecodeError> {
        match self.section.len() - self.next {
            0 => Ok(self.section.clone()),
            left => Err(DecodeError::Trailing { what: self.what, left }),
        }
    }
}
