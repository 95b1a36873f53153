//! The `--params` option: search parameters by name.

use ivf_core::param::split_assignment;
use ivf_core::{KnobValue, SearchParam, SearchParams};
use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

/// Search parameters, each set once.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Params(Vec<(String, KnobValue)>);

impl FromStr for Params {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut params = Self::default();
        for item in text.split(',') {
            let (name, value) = split_assignment(item).map_err(|error| error.to_string())?;
            params.set(name, Some(value))?;
        }
        Ok(params)
    }
}

impl Params {
    /// Adds the value of another option, if it is given. An alias counts as the name itself.
    ///
    /// # Errors
    /// A text if the parameter already has a value.
    pub(crate) fn set(&mut self, name: &str, value: Option<impl Into<KnobValue>>) -> Result<(), String> {
        let Some(value) = value else { return Ok(()) };
        let name = SearchParam::of_name(name).map_or(name, |param| param.name());
        if self.0.iter().any(|(known, _)| known == name) {
            return Err(format!("the search parameter {name} is given twice"));
        }
        self.0.push((name.to_owned(), value.into()));
        Ok(())
    }

    /// Returns the parameters of a search, which reports those that are unknown or out of range.
    pub(crate) fn search_params<'a>(&self) -> SearchParams<'a> {
        self.0.iter().fold(SearchParams::new(), |params, (name, value)| params.set(name, value.clone()))
    }

    /// Iterates over names and values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &KnobValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

/// Writes `name=value`, separated by commas.
impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.iter().enumerate() {
            write!(f, "{}{name}={value}", if i > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

/// Parses a number of lists to probe.
pub(crate) fn at_least_one(text: &str) -> Result<NonZeroUsize, String> {
    let number: usize = text.trim().parse().map_err(|error| format!("{error}"))?;
    NonZeroUsize::new(number).ok_or_else(|| "must be at least 1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_set_by_name_and_only_once() {
        let mut params: Params = "nprobe=4, quantizer_nprobe = 2".parse().unwrap();
        assert_eq!(params.to_string(), "nprobe=4,quantizer_nprobe=2");
        assert_eq!(params.search_params().nprobe, Some(4));
        assert_eq!(params.search_params().own.whole("quantizer_nprobe"), Some(2));
        assert_eq!(params.set("k_factor_rf", Some(2)), Ok(()));
        assert_eq!(params.set("max_codes", None::<i64>), Ok(()));
        assert!(params.set("nprobe", Some(4)).unwrap_err().contains("nprobe is given twice"));
        for (text, expected) in [
            ("", "name=value"),
            ("nprobe", "name=value"),
            ("a=1,a=1", "a is given twice"),
            ("k_factor=1,k_factor_rf=1", "k_factor_rf is given twice"),
        ] {
            let error = text.parse::<Params>().unwrap_err();
            assert!(error.contains(expected), "'{text}': {error}");
        }
    }
}
