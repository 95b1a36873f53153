//! The `--filter` option: the ids that a search may return.

use crate::failure::Failure;
use crate::ids::{IdRanges, read_selector};
use ivf_core::IdSelector;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Prefix of a filter that excludes ids.
const NOT: &str = "not:";

/// Prefix of the name of a file of ids.
const FILE: char = '@';

/// A filter: the ids that it names, or all others.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    excludes: bool,
    ids: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Listed(IdRanges),
    File(PathBuf),
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (excludes, text) = text.strip_prefix(NOT).map_or((false, text), |rest| (true, rest));
        let ids = match text.strip_prefix(FILE) {
            Some("") => return Err(format!("a file name must follow {FILE}")),
            Some(path) => Source::File(path.into()),
            None => Source::Listed(text.parse()?),
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

    /// Returns the set of ids.
    ///
    /// # Errors
    /// [`Failure`] if the file cannot be read.
    pub(crate) fn selector(&self) -> Result<IdSelector<'static>, Failure> {
        let selector = match &self.ids {
            Source::Listed(ids) => ids.selector(),
            Source::File(path) => read_selector(path)?,
        };
        Ok(if self.excludes { !selector } else { selector })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ivf_core::Id;

    fn selector(text: &str) -> IdSelector<'static> {
        text.parse::<Filter>().unwrap().selector().unwrap()
    }

    #[test]
    fn ids_and_ranges_are_a_set() {
        for (text, expected) in [
            ("3", vec![3]),
            ("1,5,10..13", vec![1, 5, 10, 11, 12]),
            ("-2..1,9,0..=2", vec![-2, -1, 0, 1, 2, 9]),
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
            ("1..=", "'1..=' is neither"),
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
