//! Sets of search parameters.

use super::SearchParam;
use std::borrow::Cow;

/// The set of search parameters that an index supports.
///
/// ```
/// use ivf_core::params::{SearchParam, Takes};
/// const TAKES: Takes = Takes::of(&[SearchParam::Nprobe, SearchParam::Selector]);
/// let takes = TAKES.with_own(["qb".into()]);
/// assert!(takes.contains(SearchParam::Nprobe) && takes.contains_own("qb"));
/// assert_eq!(takes.names(), ["nprobe", "selector", "qb"]);
///
/// // A wrapper takes what its base takes, except for filters, and a parameter of its own.
/// let wrapper = takes.with(SearchParam::KFactorRf).without(SearchParam::Selector);
/// assert_eq!(wrapper.fields().collect::<Vec<_>>(), [SearchParam::Nprobe, SearchParam::KFactorRf]);
/// assert_eq!(wrapper.own(), ["qb"]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Takes {
    /// One bit per [`SearchParam`].
    fields: u64,
    own: Vec<Cow<'static, str>>,
}

impl Takes {
    /// Creates a set of fields of [`SearchParams`](super::SearchParams).
    pub const fn of(params: &[SearchParam]) -> Self {
        let (mut fields, mut i) = (0, 0);
        while i < params.len() {
            fields |= 1 << params[i] as u64;
            i += 1;
        }
        Self { fields, own: Vec::new() }
    }

    /// Returns the set with a field added.
    #[must_use]
    pub const fn with(mut self, param: SearchParam) -> Self {
        self.fields |= 1 << param as u64;
        self
    }

    /// Returns the set with a field removed.
    #[must_use]
    pub const fn without(mut self, param: SearchParam) -> Self {
        self.fields &= !(1 << param as u64);
        self
    }

    /// Returns the set with parameters added that components declare.
    #[must_use]
    pub fn with_own(mut self, names: impl IntoIterator<Item = Cow<'static, str>>) -> Self {
        self.own.extend(names);
        self
    }

    /// Returns true if the set contains a field.
    pub const fn contains(&self, param: SearchParam) -> bool {
        self.fields >> param as u64 & 1 == 1
    }

    /// Returns true if the set contains a parameter that a component declares.
    pub fn contains_own(&self, name: &str) -> bool {
        self.own.iter().any(|own| own == name)
    }

    /// Iterates over the fields in the set.
    pub fn fields(&self) -> impl Iterator<Item = SearchParam> {
        SearchParam::ALL.iter().copied().filter(|param| self.contains(*param))
    }

    /// Returns the names of the components' parameters in the set.
    pub fn own(&self) -> &[Cow<'static, str>] {
        &self.own
    }

    /// Returns the names of all parameters in the set.
    pub fn names(&self) -> Vec<&str> {
        let own = self.own.iter().map(|name| &**name);
        self.fields().map(|param| param.name()).chain(own).collect()
    }
}
