//! The `--filter` option: the ids that a search may return.

use crate::failure::Failure;
use crate::ids::read_text;
use crate::vectors::named;
use ivf_core::{Id, IdSelector};
use ivf_io::read_vectors;
use ivf_io::vectors::VectorFormat;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Prefix of a filter that excludes ids.
const NOT: &str = "not:";

/// Prefix of the name of a file of ids.
const FILE: char = '@';

/// Maximum number of ids of a range that is kept as a list of ids, if there are several ranges.
const SHORT: u64 = 1024;

/// A filter: the ids that it names, or all others.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    excludes: bool,
    ids: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Listed(Listed),
    File(PathBuf),
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (excludes, text) = text.strip_prefix(NOT).map_or((false, text), |rest| (true, rest));
        let ids = match text.strip_prefix(FILE) {
            Some("") => return Err(format!("a file name must follow {FILE}")),
            Some(path) => Source::File(path.into()),
            None => Source::Listed(Listed::parse(text.split(','))?),
        };
        Ok(Self { excludes, ids })
    }
}

impl Filter {
    /// Returns the file that the filter names, if any.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.ids {
            Source::Listed(_) => None,
            Source::File(path) => Some(path),
        }
    }

    /// Returns the set of ids. A file of vectors (such as ivecs or npy) is a list of ids, row by
    /// row. Any other file, and standard input, is text: ids and ranges, separated by white space
    /// or commas.
    ///
    /// # Errors
    /// [`Failure`] if the file cannot be read.
    pub(crate) fn selector(&self) -> Result<IdSelector<'static>, Failure> {
        let selector = match &self.ids {
            Source::Listed(listed) => listed.selector(),
            Source::File(path) if VectorFormat::of(path).is_ok() => {
                let ids = read_vectors::<i64>(path)?.into_data();
                IdSelector::sorted(ids.into_iter().map(Id).collect())
            }
            Source::File(path) => {
                let cannot = |what: &dyn std::fmt::Display| {
                    Failure::Failed(format!("cannot read the ids in {}: {what}", named(path).display()))
                };
                let text = read_text(path).map_err(|error| cannot(&error))?;
                let words = text.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty());
                Listed::parse(words).map_err(|what| cannot(&what))?.selector()
            }
        };
        Ok(if self.excludes { !selector } else { selector })
    }
}

/// Ids, and ranges of ids.
#[derive(Clone, Debug, Default)]
struct Listed {
    ids: Vec<Id>,
    ranges: Vec<Range<i64>>,
}

impl Listed {
    /// Parses ids, and ranges without their ends.
    fn parse<'t>(words: impl Iterator<Item = &'t str>) -> Result<Self, String> {
        let mut listed = Self::default();
        for word in words {
            let id = |text: &str| {
                let shown = || word.chars().take(60).flat_map(char::escape_debug).collect::<String>();
                let wrong = |_| format!("'{}' is neither an id nor a range of ids such as 10..20", shown());
                text.parse::<i64>().map_err(wrong)
            };
            match word.split_once("..") {
                None => listed.ids.push(Id(id(word)?)),
                Some((start, end)) => {
                    let range = id(start)?..id(end)?;
                    if range.is_empty() {
                        return Err(format!("the range {word} is empty: its end is not in it"));
                    }
                    listed.ranges.push(range);
                }
            }
        }
        Ok(listed)
    }

    /// Returns the set of all ids.
    fn selector(&self) -> IdSelector<'static> {
        let mut ids = self.ids.clone();
        let mut sets = Vec::new();
        for range in &self.ranges {
            // Many short ranges are found faster as ids.
            if self.ranges.len() > 1 && range.end.abs_diff(range.start) <= SHORT {
                ids.extend(range.clone().map(Id));
            } else {
                sets.push(IdSelector::range(range.clone()));
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(text: &str) -> IdSelector<'static> {
        text.parse::<Filter>().unwrap().selector().unwrap()
    }

    #[test]
    fn ids_and_ranges_are_a_set() {
        for (text, expected) in [
            ("3", vec![3]),
            ("1,5,10..13", vec![1, 5, 10, 11, 12]),
            ("-2..1,9,0..3", vec![-2, -1, 0, 1, 2, 9]),
            ("7..9,-9223372036854775808..-5,9223372036854775807", vec![-20, -6, 7, 8, i64::MAX]),
        ] {
            let (only, others) = (selector(text), selector(&format!("not:{text}")));
            for id in (-20..20).chain([i64::MAX]) {
                assert_eq!(
                    only.contains(Id(id)),
                    expected.contains(&id) || (text.len() > 20 && id < -5),
                    "{text}: {id}"
                );
                assert_ne!(only.contains(Id(id)), others.contains(Id(id)), "{text}: {id}");
            }
        }
    }

    #[test]
    fn many_ranges_do_not_make_a_deep_tree() {
        let ranges: Vec<String> = (0..20_000_i64).map(|i| format!("{}..{}", 2000 * i, 2000 * i + 1500)).collect();
        let filter = selector(&ranges.join(","));
        assert!(filter.contains(Id(1499)) && !filter.contains(Id(1500)) && filter.contains(Id(2000 * 19_999)));
    }

    #[test]
    fn what_is_no_filter_is_an_error() {
        for (text, expected) in [
            ("", "'' is neither an id nor a range"),
            ("1,", "'' is neither"),
            ("1,x", "'x' is neither"),
            ("1..", "'1..' is neither"),
            ("5..5", "the range 5..5 is empty"),
            ("not:9..2", "the range 9..2 is empty"),
            ("9223372036854775808", "is neither"),
            ("@", "a file name must follow @"),
        ] {
            let error = text.parse::<Filter>().unwrap_err();
            assert!(error.contains(expected), "'{text}': {error}");
        }
    }
}
