//! Ids on the command line and in files.

use crate::failure::Failure;
use crate::vectors::{is_standard, named};
use ivf_core::{Id, IdSelector, Index};
use ivf_io::read_vectors;
use roaring::RoaringTreemap;
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;

/// Maximum number of ids that a selector lists one by one. With more, it tests each id of the index
/// instead.
const MAX_LISTED: u128 = 1 << 20;

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
pub(crate) struct IdRanges(Vec<RangeInclusive<i64>>);

impl IdRanges {
    fn new(mut ranges: Vec<RangeInclusive<i64>>) -> Self {
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
        Self(merged)
    }

    /// Returns the number of ids.
    pub(crate) fn len(&self) -> u128 {
        self.0.iter().map(|range| u128::from(range.end().abs_diff(*range.start())) + 1).sum()
    }

    pub(crate) fn contains(&self, id: Id) -> bool {
        let at = self.0.partition_point(|range| *range.end() < id.0);
        self.0.get(at).is_some_and(|range| range.contains(&id.0))
    }

    /// Calls `call` with a selector of the ids.
    pub(crate) fn select<T>(&self, call: impl FnOnce(&IdSelector<'_>) -> T) -> T {
        if self.len() <= MAX_LISTED {
            let ids = self.0.iter().flat_map(Clone::clone).map(Id);
            return call(&IdSelector::sorted(ids.collect()));
        }
        call(&IdSelector::Fn(&|id| self.contains(id)))
    }
}

/// Parses ids and ranges of ids, such as `1,5,10..20`. As in Rust, `10..20` ends with 19, and
/// `10..=20` with 20.
impl FromStr for IdRanges {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str, of: &str| {
            text.trim().parse::<i64>().map_err(|_| format!("'{of}' is neither an id nor a range of ids such as 10..20"))
        };
        let range = |item: &str| {
            let Some((first, end)) = item.split_once("..") else {
                let id = number(item, item)?;
                return Ok(id..=id);
            };
            let (first, end, is_inclusive) = match end.strip_prefix('=') {
                Some(last) => (number(first, item)?, number(last, item)?, true),
                None => (number(first, item)?, number(end, item)?, false),
            };
            let last = if is_inclusive { Some(end) } else { end.checked_sub(1) };
            let range = last.map(|last| first..=last).filter(|range| !range.is_empty());
            range.ok_or_else(|| format!("the range {item} is empty"))
        };
        Ok(Self::new(text.split(',').map(|item| range(item.trim())).collect::<Result<_, _>>()?))
    }
}

/// Reads the ids of a file, in its order: one on each line of a `.txt` file or of standard input,
/// or the numbers of a file of integers (ivecs, ibin, npy, ...).
///
/// # Errors
/// [`Failure`] if the file cannot be read, or holds something else.
pub(crate) fn read_ids(path: &Path) -> Result<Vec<Id>, Failure> {
    let is_text = is_standard(path) || path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("txt"));
    if !is_text {
        return Ok(read_vectors::<i64>(path)?.into_data().into_iter().map(Id).collect());
    }
    let path_name = named(path).display();
    let text = read_text(path).map_err(|error| Failure::failed(format_args!("cannot read {path_name}"), &error))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let ids = lines.map(|(number, line)| {
        line.trim().parse().map(Id).map_err(|_| {
            let shown: String = line.chars().take(40).flat_map(char::escape_debug).collect();
            Failure::Failed(format!("{path_name}: line {}: '{shown}' is no id", number + 1))
        })
    });
    ids.collect()
}

/// Reads a file of text, or standard input.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    if is_standard(path) { io::read_to_string(io::stdin()) } else { fs::read_to_string(path) }
}

/// Returns the ids of a file as ranges.
pub(crate) fn read_ranges(path: &Path) -> Result<IdRanges, Failure> {
    Ok(IdRanges::new(read_ids(path)?.into_iter().map(|id| id.0..=id.0).collect()))
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
        ] {
            assert_eq!(text.parse(), Ok(IdRanges(expected)), "{text}");
        }
        for (text, why) in [
            ("", "'' is neither"),
            ("1,", "'' is neither"),
            ("a", "'a' is neither"),
            ("1..", "'1..' is neither"),
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
            let len = ranges.0.iter().map(|range| range.end() - range.start() + 1).sum::<i64>();
            assert_eq!(ranges.len(), len as u128);
            for id in [-5_000_000_000, -4, 0, 1, 3, 4, 5, 10, 19, 20, 999, 1000, i64::MIN, i64::MAX].map(Id) {
                let expected = ranges.0.iter().any(|range| range.contains(&id.0));
                assert_eq!(ranges.contains(id), expected, "{text}: {id}");
                assert_eq!(ranges.select(|selector| selector.contains(id)), expected, "{text}: {id}");
            }
        }
        assert_eq!(IdRanges(vec![i64::MIN..=i64::MAX]).len(), 1 << 64);
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
