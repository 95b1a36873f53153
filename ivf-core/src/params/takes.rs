//! Sets of search parameters.

use super::SearchParam;
use std::borrow::Cow;

/// The search parameters that an index takes.
///
/// ```
/// use ivf_core::params::{SearchParam, Takes};
/// const TAKES: Takes = Takes::of(&[SearchParam::Nprobe, SearchParam::Selector]);
/// let takes = TAKES.with_own(["qb".into()]);
/// assert!(takes.contains(SearchParam::Nprobe) && takes.contains_own("qb"));
/// assert_eq!(takes.names(), ["nprobe", "selector", "qb"]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Takes {
    /// A bit for each [`SearchParam`].
    fields: u64,
    own: Vec<Cow<'static, str>>,
}

impl Takes {
    /// These fields of [`SearchParams`](super::SearchParams).
    pub const fn of(params: &[SearchParam]) -> Self {
        let (mut fields, mut i) = (0, 0);
        while i < params.len() {
            fields |= 1 << params[i] as u64;
            i += 1;
        }
        Self { fields, own: Vec::new() }
    }

    /// These, and a field.
    #[must_use]
    pub const fn with(mut self, param: SearchParam) -> Self {
        self.fields |= 1 << param as u64;
        self
    }

    /// These without a field.
    #[must_use]
    pub const fn without(mut self, param: SearchParam) -> Self {
        self.fields &= !(1 << param as u64);
        self
    }

    /// These, and parameters that components declare.
    #[must_use]
    pub fn with_own(mut self, names: impl IntoIterator<Item = Cow<'static, str>>) -> Self {
        self.own.extend(names);
        self
    }

    /// Whether a field is among them.
    pub const fn contains(&self, param: SearchParam) -> bool {
        self.fields >> param as u64 & 1 == 1
    }

    /// Whether a parameter that a component declares is among them.
    pub fn contains_own(&self, name: &str) -> bool {
        self.own.iter().any(|own| own == name)
    }

    /// The fields among them.
    pub fn fields(&self) -> impl Iterator<Item = SearchParam> {
        SearchParam::ALL.iter().copied().filter(|param| self.contains(*param))
    }

    /// The parameters of components among them.
    pub fn own(&self) -> &[Cow<'static, str>] {
        &self.own
    }

    /// The names of all.
    pub fn names(&self) -> Vec<&str> {
        let own = self.own.iter().map(|name| &**name);
        self.fields().map(|param| param.name()).chain(own).collect()
    }
}
