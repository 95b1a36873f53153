//! Ids on the command line and in files.

use crate::failure::Failure;
use crate::vectors::{is_standard, named};
use ivf_core::{Id, IdSelector, Index};
use ivf_io::read_vectors;
use ivf_io::vectors::VectorFormat;
use roaring::RoaringTreemap;
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Maximum number of ids that a selector lists one by one. With more, it tests each id of the index
/// instead.
const MAX_LISTED: u128 = 1 << 20;

/// Maximum number of ids of a range that a selector of searches lists one by one, if there are
/// several ranges.
const SHORT: u64 = 1024;

/// A set of ids. It takes little memory for ids that are close together, whether negative or not.
#[derive(Clone, Debug, Default)]
pub(crate) struct IdSet(RoaringTreemap);

impl IdSet {
    /// Adds an id. Returns false if it was there.
    pub(crate) fn insert(&mut self, id: Id) -> bool {
        self.0.insert(ordered(id))
    }

    pub(crate) fn contains(&self, id: Id) -> bool {
        self.0.contains(ordered(id))
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.len()
    }

    pub(crate) fn min(&self) -> Option<Id> {
        self.0.min().map(unordered)
    }

    pub(crate) fn max(&self) -> Option<Id> {
        self.0.max().map(unordered)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Id> {
        self.0.iter().map(unordered)
    }

    /// Returns the ids of an index, those for which `keep` returns true.
    ///
    /// # Errors
    /// [`Failure`] if the index cannot list its ids.
    pub(crate) fn of(index: &dyn Index, keep: impl Fn(Id) -> bool) -> Result<Self, Failure> {
        let mut set = Self::default();
        let scan = index.scan_ids(|id| {
            if keep(id) {
                set.insert(id);
            }
        });
        scan.map_err(|error| Failure::failed("cannot read the ids of the index", &error))?;
        Ok(set)
    }
}

/// Returns a number of the same order as the id: the lowest id is 0.
fn ordered(id: Id) -> u64 {
    id.0 as u64 ^ 1 << 63
}

fn unordered(number: u64) -> Id {
    Id((number ^ 1 << 63) as i64)
}

/// Ids as ranges, ascending and without overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdRanges {
    all: Vec<RangeInclusive<i64>>,
    /// The ids that were given one by one. They too may be neighbours, and are then one range.
    single: Vec<RangeInclusive<i64>>,
}

impl IdRanges {
    fn new(ranges: Vec<RangeInclusive<i64>>) -> Self {
        let is_single = |range: &&RangeInclusive<i64>| range.start() == range.end();
        let single = ranges.iter().filter(is_single).cloned().collect();
        Self { single: merge(single), all: merge(ranges) }
    }

    /// Returns the number of ids.
    pub(crate) fn len(&self) -> u128 {
        count(&self.all)
    }

    /// Returns the number of ids that were given one by one.
    pub(crate) fn single_len(&self) -> u128 {
        count(&self.single)
    }

    pub(crate) fn contains(&self, id: Id) -> bool {
        is_in(&self.all, id)
    }

    /// Returns whether the id was given by itself, and not only in a range.
    pub(crate) fn contains_single(&self, id: Id) -> bool {
        is_in(&self.single, id)
    }

    /// Calls `call` with a selector of the ids.
    pub(crate) fn select<T>(&self, call: impl FnOnce(&IdSelector<'_>) -> T) -> T {
        if self.len() <= MAX_LISTED {
            let ids = self.all.iter().flat_map(Clone::clone).map(Id);
            return call(&IdSelector::sorted(ids.collect()));
        }
        call(&IdSelector::Fn(&|id| self.contains(id)))
    }

    /// Returns a selector of the ids, for searches.
    pub(crate) fn selector(&self) -> IdSelector<'static> {
        let (mut ids, mut sets) = (Vec::new(), Vec::new());
        for range in &self.all {
            let (first, last) = (*range.start(), *range.end());
            // Many short ranges are found faster as ids.
            if first == last || (self.all.len() > 1 && last.abs_diff(first) < SHORT) {
                ids.extend(range.clone().map(Id));
                continue;
            }
            // The last of all ids is in no range that excludes its end.
            ids.extend((last == i64::MAX).then_some(Id(last)));
            sets.push(IdSelector::range(first..last.saturating_add(1)));
        }
        if !ids.is_empty() || sets.is_empty() {
            sets.push(IdSelector::sorted(ids));
        }
        // Pairs of pairs, so that the tree is not deep.
        while sets.len() > 1 {
            let mut left = sets.into_iter();
            let pair = || match (left.next()?, left.next()) {
                (a, Some(b)) => Some(a | b),
                (a, None) => Some(a),
            };
            sets = std::iter::from_fn(pair).collect();
        }
        sets.pop().expect("there is at least one set")
    }
}

/// Ids and ranges of ids in their order, as a user lists them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdList(Vec<RangeInclusive<i64>>);

impl IdList {
    /// Returns the ids one by one.
    ///
    /// # Errors
    /// A text if there are more than [`MAX_LISTED`].
    pub(crate) fn ids(&self) -> Result<Vec<i64>, String> {
        match count(&self.0) {
            0..=MAX_LISTED => Ok(self.0.iter().flat_map(Clone::clone).collect()),
            many => Err(format!("these are {many} ids, more than {MAX_LISTED}")),
        }
    }
}

/// Parses the ids of an option. See [`words`] for the syntax.
impl FromStr for IdList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.split(',').any(|item| item.trim().is_empty()) {
            return Err(no_id(""));
        }
        Ok(Self(words(text).map(parse).collect::<Result<_, _>>()?))
    }
}

/// Parses as [`IdList`] does.
impl FromStr for IdRanges {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self::new(text.parse::<IdList>()?.0))
    }
}

/// Returns the ids and ranges in a text, as in `1,5,10..20`: commas or white space are between
/// them.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty())
}

/// Parses an id or a range of ids. As in Rust, `10..20` ends with 19, and `10..=20` with 20; `10..`
/// has no end, and `..20` has no start.
fn parse(word: &str) -> Result<RangeInclusive<i64>, String> {
    let number = |text: &str| text.parse::<i64>().map_err(|_| no_id(word));
    let or_open = |text: &str, open| if text.is_empty() { Ok(open) } else { number(text) };
    let range = match word.split_once("..") {
        None => {
            let id = number(word)?;
            return Ok(id..=id);
        }
        Some(("", "")) => return Err(no_id(word)),
        Some((first, end)) => match end.strip_prefix('=') {
            Some(last) => Some(or_open(first, i64::MIN)?..=number(last)?),
            None if end.is_empty() => Some(number(first)?..=i64::MAX),
            None => {
                let (first, end) = (or_open(first, i64::MIN)?, number(end)?);
                end.checked_sub(1).map(|last| first..=last)
            }
        },
    };
    let range = range.filter(|range| !range.is_empty());
    range.ok_or_else(|| format!("the range {word} is empty{}", if word.contains('=') { "" } else { ENDS_BEFORE }))
}

const ENDS_BEFORE: &str = ": its end is not in it";

fn no_id(word: &str) -> String {
    let shown: String = word.chars().take(60).flat_map(char::escape_debug).collect();
    format!("'{shown}' is neither an id nor a range of ids such as 10..20")
}

/// Sorts ranges, and joins those that overlap or follow each other without a gap.
fn merge(mut ranges: Vec<RangeInclusive<i64>>) -> Vec<RangeInclusive<i64>> {
    ranges.sort_unstable_by_key(|range| *range.start());
    let mut merged: Vec<RangeInclusive<i64>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if last.end().checked_add(1).is_none_or(|after| *range.start() <= after) => {
                *last = *last.start()..=*last.end().max(range.end());
            }
            _ => merged.push(range),
        }
    }
    merged
}

/// Returns whether an id is in one of some merged ranges.
fn is_in(ranges: &[RangeInclusive<i64>], id: Id) -> bool {
    let at = ranges.partition_point(|range| *range.end() < id.0);
    ranges.get(at).is_some_and(|range| range.contains(&id.0))
}

fn count(ranges: &[RangeInclusive<i64>]) -> u128 {
    ranges.iter().map(|range| u128::from(range.end().abs_diff(*range.start())) + 1).sum()
}

/// Ids in a file.
enum Content {
    /// The numbers of a file of vectors, row by row.
    Numbers(Vec<i64>),
    /// Ids and ranges, in the syntax of [`words`], and the file.
    Text(String, PathBuf),
}

impl Content {
    /// Reads a file. A file whose name ends like a format of vectors (ivecs, ibin, npy, ...) holds
    /// numbers. Any other file, and standard input, is text.
    fn read(path: &Path) -> Result<Self, Failure> {
        if !is_standard(path) && VectorFormat::of(path).is_ok() {
            return Ok(Self::Numbers(read_vectors::<i64>(path)?.into_data()));
        }
        let text = if is_standard(path) { io::read_to_string(io::stdin()) } else { fs::read_to_string(path) };
        let path = named(path);
        let text =
            text.map_err(|error| Failure::failed(format_args!("cannot read the ids in {}", path.display()), &error))?;
        Ok(Self::Text(text, path.to_owned()))
    }

    /// Passes all ranges to `each`, a number as a range of one id.
    fn each(self, mut each: impl FnMut(RangeInclusive<i64>)) -> Result<(), Failure> {
        let (text, path) = match self {
            Self::Numbers(ids) => {
                ids.into_iter().for_each(|id| each(id..=id));
                return Ok(());
            }
            Self::Text(text, path) => (text, path),
        };
        for (number, line) in text.lines().enumerate() {
            for word in words(line) {
                let range = parse(word).map_err(|what| {
                    let path = path.display();
                    Failure::Failed(format!("cannot read the ids in {path}: line {}: {what}", number + 1))
                })?;
                each(range);
            }
        }
        Ok(())
    }

    fn ranges(self) -> Result<IdRanges, Failure> {
        let mut ranges = Vec::new();
        self.each(|range| ranges.push(range))?;
        Ok(IdRanges::new(ranges))
    }
}

/// Reads the ids of a file in its order, those of ranges one by one.
///
/// # Errors
/// [`Failure`] if the file cannot be read, holds something else, or has not exactly as many ids as
/// there are `vectors` in the file `base`.
pub(crate) fn read_ids(path: &Path, vectors: u64, base: &Path) -> Result<Vec<Id>, Failure> {
    let (mut ids, mut found) = (Vec::new(), 0);
    Content::read(path)?.each(|range| {
        found += count(std::slice::from_ref(&range));
        // A range may be longer than the memory.
        if found <= vectors.into() {
            ids.extend(range.map(Id));
        }
    })?;
    if found != vectors.into() {
        let (path, base) = (named(path).display(), named(base).display());
        return Err(Failure::Failed(format!("{path} has {found} ids for the {vectors} vectors of {base}")));
    }
    Ok(ids)
}

/// Reads the ids of a file as ranges.
///
/// # Errors
/// [`Failure`] if the file cannot be read, or holds something else.
pub(crate) fn read_ranges(path: &Path) -> Result<IdRanges, Failure> {
    Content::read(path)?.ranges()
}

/// Reads the ids of a file as a selector.
///
/// # Errors
/// [`Failure`] if the file cannot be read, or holds something else.
pub(crate) fn read_selector(path: &Path) -> Result<IdSelector<'static>, Failure> {
    match Content::read(path)? {
        // Without ranges, which take more memory.
        Content::Numbers(ids) => Ok(IdSelector::sorted(ids.into_iter().map(Id).collect())),
        text => Ok(text.ranges()?.selector()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_ranges_are_read_and_merged() {
        for (text, expected) in [
            ("1", vec![1..=1]),
            ("1,5,10..20", vec![1..=1, 5..=5, 10..=19]),
            (" 5 , 3..=4, 4..6, -7", vec![-7..=-7, 3..=5]),
            ("-3..-1,9223372036854775807", vec![-3..=-2, i64::MAX..=i64::MAX]),
            ("-9223372036854775808..=9223372036854775807,3", vec![i64::MIN..=i64::MAX]),
            ("7.., ..-5", vec![i64::MIN..=-6, 7..=i64::MAX]),
            ("1 2\t3..=5 ..=-3", vec![i64::MIN..=-3, 1..=5]),
        ] {
            assert_eq!(text.parse().map(|ids: IdRanges| ids.all), Ok(expected), "{text}");
        }
        for (text, why) in [
            ("", "'' is neither"),
            ("1,", "'' is neither"),
            ("a", "'a' is neither"),
            ("..", "'..' is neither"),
            ("1..=", "'1..=' is neither"),
            ("1 - 2", "'-' is neither"),
            ("1..2..3", "'1..2..3' is neither"),
            ("9223372036854775808", "neither"),
            ("5..5", "the range 5..5 is empty"),
            ("5..=4", "the range 5..=4 is empty"),
            ("0..-9223372036854775808", "is empty"),
        ] {
            let error = text.parse::<IdRanges>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn ranges_select_the_ids_in_them() {
        for text in ["1,5,10..20,-4", "-5000000000..-4999999999,3,1000..9000000000000000000"] {
            let ranges: IdRanges = text.parse().unwrap();
            let len = ranges.all.iter().map(|range| range.end() - range.start() + 1).sum::<i64>();
            assert_eq!(ranges.len(), len as u128);
            for id in [-5_000_000_000, -4, 0, 1, 3, 4, 5, 10, 19, 20, 999, 1000, i64::MIN, i64::MAX].map(Id) {
                let expected = ranges.all.iter().any(|range| range.contains(&id.0));
                assert_eq!(ranges.contains(id), expected, "{text}: {id}");
                assert_eq!(ranges.select(|selector| selector.contains(id)), expected, "{text}: {id}");
            }
        }
        assert_eq!(IdRanges::new(vec![i64::MIN..=i64::MAX]).len(), 1 << 64);
    }

    #[test]
    fn a_list_keeps_its_order() {
        let ids = |text: &str| text.parse::<IdList>().unwrap().ids();
        assert_eq!(ids("7,299,7,5..8"), Ok(vec![7, 299, 7, 5, 6, 7]));
        assert_eq!(ids("5.."), Err("these are 9223372036854775803 ids, more than 1048576".to_owned()));
    }

    #[test]
    fn single_ids_are_counted_without_those_in_ranges() {
        let ids: IdRanges = "..3,5..7,9,6,10,9,100..".parse().unwrap();
        assert_eq!((ids.single_len(), ids.single.len()), (3, 2));
        assert!(ids.contains_single(Id(6)) && ids.contains_single(Id(10)) && !ids.contains_single(Id(5)));
    }

    #[test]
    fn a_set_has_its_ids_in_order() {
        let mut set = IdSet::default();
        for id in [3, -1, i64::MIN, 7, i64::MAX] {
            assert!(set.insert(Id(id)) && !set.insert(Id(id)) && set.contains(Id(id)) && !set.contains(Id(5)));
        }
        assert_eq!((set.len(), set.min(), set.max()), (5, Some(Id(i64::MIN)), Some(Id(i64::MAX))));
    }
}
