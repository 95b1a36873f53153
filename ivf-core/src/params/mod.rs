//! Parameters and options of single calls.

use crate::error::{KnobError, SearchError};
use crate::executor::Executor;
use crate::names::is_same;
use crate::param::{KnobValue, Param, ParamRange, Settings};
use crate::selector::IdSelector;
use std::borrow::Cow;
use std::fmt;

/// Generates a setter for each field, which sets it to `Some` of its argument.
macro_rules! setters {
    ($($name:ident: $type:ty),* $(,)?) => {$(
        #[doc = concat!("Sets [`", stringify!($name), "`](field@Self::", stringify!($name), ").")]
        #[must_use]
        pub fn $name(mut self, $name: $type) -> Self {
            self.$name = Some($name);
            self
        }
    )*};
}

mod config;
mod options;
mod takes;

pub use options::{AddOptions, Cancel, DEFAULT_SEED, KMeansStart, NonFinite, Progress, TrainOptions};
pub use takes::Takes;

/// Declares the search parameters. Each declaration generates a field, a setter, a name, a
/// documentation text and a variant of [`SearchParam`].
///
/// Parameters of the first block are plain values, which a config file and [`SearchParams::set`]
/// can set. Parameters of the second block borrow data of the caller.
macro_rules! search_params {
    (
        values { $($(#[doc = $doc:literal])+ $value:ident: $type:ty = $Value:ident, $range:expr;)* }
        borrowed { $($(#[doc = $borrowed_doc:literal])+ $borrowed:ident: $borrowed_type:ty = $Borrowed:ident;)* }
    ) => {
        /// The parameters of one search. Every field is optional. An absent field means the setting
        /// of the index, so setting one field never resets another.
        ///
        /// A parameter that the index does not support is an error,
        /// [`SearchError::UnsupportedParam`]; it is never ignored.
        /// [`Index::takes`](crate::Index::takes) returns the supported ones. Wrappers pass
        /// parameters on to the index they wrap. Codecs, quantizers and wrappers have parameters of
        /// their own, which are set by name with [`set`](Self::set).
        ///
        /// In a config file (serde) the parameters are a map of names and values. A value out of
        /// the range of a field fails when it is read. Borrowed data (selectors, executors) is not
        /// part of it.
        ///
        /// ```
        /// use ivf_core::{IdSelector, SearchParams};
        /// let selector = IdSelector::range(0..1000);
        /// let params = SearchParams::new().nprobe(16).set("quantizer_efSearch", 64).selector(&selector);
        /// assert_eq!(params.nprobe, Some(16));
        /// assert_eq!(params.max_codes, None);
        /// ```
        #[derive(Clone, Default, serde::Serialize)]
        #[non_exhaustive]
        pub struct SearchParams<'a> {
            $($(#[doc = $doc])+
            #[serde(skip_serializing_if = "Option::is_none")]
            pub $value: Option<$type>,)*
            $($(#[doc = $borrowed_doc])+
            #[serde(skip)]
            pub $borrowed: Option<$borrowed_type>,)*
            /// Executor of the parallel loops. By default, small loops run on the calling thread,
            /// and large ones on rayon's global pool.
            #[serde(skip)]
            pub executor: Option<&'a dyn Executor>,
            /// Ends the search early with [`SearchError::Cancelled`].
            #[serde(skip)]
            pub cancel: Option<&'a Cancel>,
            /// Values of the parameters that a codec, a quantizer or a wrapper declares, by name.
            /// The names for the coarse quantizer begin with `quantizer_`.
            #[serde(flatten)]
            pub own: Settings,
        }

        impl<'a> SearchParams<'a> {
            $(
                #[doc = concat!("Sets [`", stringify!($value), "`](field@Self::", stringify!($value), ").")]
                #[must_use]
                pub fn $value(mut self, $value: $type) -> Self {
                    // Replaces a bad value that `set` kept.
                    self.own.remove(stringify!($value));
                    self.$value = Some($value);
                    self
                }
            )*

            setters! {
                $($borrowed: $borrowed_type,)*
                executor: &'a dyn Executor,
                cancel: &'a Cancel,
            }

            /// Sets a parameter by name: a field that is a plain value, or a parameter that a
            /// component of the index declares. A field may have a second name, its
            /// [alias](SearchParam::alias). An invalid value is reported as an error by the search.
            ///
            /// ```
            /// use ivf_core::SearchParams;
            /// assert_eq!(SearchParams::new().set("k_factor", 2).k_factor_rf, Some(2.0));
            /// ```
            #[must_use]
            pub fn set(mut self, name: &str, value: impl Into<KnobValue>) -> Self {
                let value = value.into();
                let name = SearchParam::of_name(name).map_or(name, |param| param.name());
                match name {
                    $(stringify!($value) => match FromKnob::from_knob(&value) {
                        Some(value) => return self.$value(value),
                        // Kept under its name, so that the search reports the error.
                        None => self.own.set(name, value),
                    },)*
                    _ => self.own.set(name, value),
                }
                self
            }

            /// Iterates over the parameters that are set, including those set only for single
            /// queries. `executor` and `cancel`, which every index supports, are not included.
            ///
            /// ```
            /// use ivf_core::{QueryParams, SearchParams};
            /// let queries = [QueryParams::new().nprobe(4)];
            /// let params = SearchParams::new().max_codes(100).per_query(&queries);
            /// let names: Vec<&str> = params.asked().map(|param| param.name()).collect();
            /// assert_eq!(names, ["nprobe", "max_codes", "per_query"]);
            /// ```
            pub fn asked(&self) -> impl Iterator<Item = SearchParam> {
                let of_queries = |param: SearchParam| {
                    self.per_query.is_some_and(|all| all.iter().any(|one| one.asked().any(|asked| asked == param)))
                };
                [
                    $((SearchParam::$Value, self.$value.is_some()),)*
                    $((SearchParam::$Borrowed, self.$borrowed.is_some()),)*
                ]
                .into_iter()
                .filter(move |(param, is_set)| *is_set || of_queries(*param))
                .map(|(param, _)| param)
            }

            /// Returns the parameters with one of them unset.
            #[must_use]
            pub fn without(mut self, param: SearchParam) -> Self {
                match param {
                    $(SearchParam::$Value => self.$value = None,)*
                    $(SearchParam::$Borrowed => self.$borrowed = None,)*
                }
                self
            }
        }

        impl fmt::Debug for SearchParams<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct("SearchParams")
                    $(.field(stringify!($value), &self.$value))*
                    $(.field(stringify!($borrowed), &self.$borrowed))*
                    .field("own", &self.own)
                    .finish_non_exhaustive()
            }
        }

        /// A parameter of a search: a field of [`SearchParams`].
        ///
        /// A program can list its search options by this type:
        ///
        /// ```
        /// use ivf_core::params::SearchParam;
        /// let param = SearchParam::MaxLists;
        /// assert_eq!(param.name(), "max_lists");
        /// assert!(param.about().contains("Maximum number of lists to scan per query"));
        /// let range = param.range().ok_or("it borrows data")?;
        /// assert_eq!(range.to_string(), "a whole number of at least 0");
        /// assert_eq!(SearchParam::Selector.range(), None);
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum SearchParam {
            $($(#[doc = $doc])+ $Value,)*
            $($(#[doc = $borrowed_doc])+ $Borrowed,)*
        }

        impl SearchParam {
            /// All search parameters, in the order of their declaration.
            pub const ALL: &'static [SearchParam] = &[$(Self::$Value,)* $(Self::$Borrowed,)*];

            /// Returns the name of the field.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$Value => stringify!($value),)*
                    $(Self::$Borrowed => stringify!($borrowed),)*
                }
            }

            /// Returns a second name that [`SearchParams::set`] accepts, if any.
            ///
            /// ```
            /// use ivf_core::params::SearchParam;
            /// assert_eq!(SearchParam::KFactorRf.alias(), Some("k_factor"));
            /// ```
            pub const fn alias(self) -> Option<&'static str> {
                match self {
                    Self::KFactorRf => Some("k_factor"),
                    _ => None,
                }
            }

            /// Returns the parameter with this name or alias.
            ///
            /// ```
            /// use ivf_core::params::SearchParam;
            /// assert_eq!(SearchParam::of_name("k_factor_rf"), Some(SearchParam::KFactorRf));
            /// assert_eq!(SearchParam::of_name("k_factor"), Some(SearchParam::KFactorRf));
            /// assert_eq!(SearchParam::of_name("k-factor"), None);
            /// ```
            pub fn of_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|param| param.name() == name || param.alias() == Some(name))
            }

            /// Returns a description of the field.
            pub const fn about(self) -> &'static str {
                match self {
                    $(Self::$Value => concat!($($doc),+).trim_ascii_start(),)*
                    $(Self::$Borrowed => concat!($($borrowed_doc),+).trim_ascii_start(),)*
                }
            }

            /// Returns the range of the value, or `None` for a parameter that borrows data.
            pub fn range(self) -> Option<ParamRange> {
                match self {
                    $(Self::$Value => Some($range),)*
                    _ => None,
                }
            }
        }
    };
}

search_params! {
    values {
        /// Number of lists to probe per query, at least 1. A number above nlist means all lists.
        nprobe: usize = Nprobe, ParamRange::at_least(1);
        /// Maximum number of codes to scan per query, counted in probe order and before the filter;
        /// 0 means no limit.
        max_codes: usize = MaxCodes, ParamRange::at_least(0);
        /// Maximum number of lists to scan per query, counted in probe order; 0 means no limit.
        /// Empty lists do not count.
        max_lists: usize = MaxLists, ParamRange::at_least(0);
        /// Whether queries that found fewer than k results probe more lists, in rounds. The rounds
        /// end when all lists are probed, or at the limit of [`max_lists`](SearchParams::max_lists)
        /// or [`max_codes`](SearchParams::max_codes).
        ensure_k: bool = EnsureK, ParamRange::Bool;
        /// Maximum number of results per query of a range search, which keeps the nearest ones; 0
        /// means no limit.
        max_results: usize = MaxResults, ParamRange::at_least(0);
        /// Number of consecutive lists without a result, in probe order, after which a range search
        /// ends for a query. Empty lists do not count; 0 means no limit. (Faiss's
        /// `max_empty_result_buckets`.)
        max_empty_lists: usize = MaxEmptyLists, ParamRange::at_least(0);
        /// How the work is divided over the threads. Results are the same in every mode.
        mode: ParallelMode = Mode, ParamRange::Word(ParallelMode::NAMES);
        /// Number of candidates per result that a refining index re-scores, at least 1. (At 1,
        /// refining changes only the order of the results.)
        k_factor_rf: f32 = KFactorRf, ParamRange::Number { least: 1.0 };
        /// Whether to return the location of each result (its list and offset) too.
        locations: bool = Locations, ParamRange::Bool;
        /// Whether a query that cannot be searched gets no results. Such a query holds a NaN or an
        /// infinity, or is zero where a direction is needed (cosine). By default it is an error of
        /// the whole call.
        skip_bad_queries: bool = SkipBadQueries, ParamRange::Bool;
    }
    borrowed {
        /// The ids that the search may return.
        selector: &'a IdSelector<'a> = Selector;
        /// Parameters of single queries that differ from those of the call, one item per query.
        per_query: &'a [QueryParams<'a>] = PerQuery;
    }
}

/// Conversion of a [`KnobValue`] to the type of a field.
trait FromKnob: Sized {
    fn from_knob(value: &KnobValue) -> Option<Self>;
}

impl FromKnob for usize {
    fn from_knob(value: &KnobValue) -> Option<Self> {
        usize::try_from(value.as_whole()?).ok()
    }
}

impl FromKnob for bool {
    fn from_knob(value: &KnobValue) -> Option<Self> {
        value.as_bool()
    }
}

impl FromKnob for f32 {
    fn from_knob(value: &KnobValue) -> Option<Self> {
        value.as_number().map(|number| number as f32)
    }
}

impl FromKnob for ParallelMode {
    fn from_knob(value: &KnobValue) -> Option<Self> {
        match ParamRange::Word(Self::NAMES).normal(value)? {
            KnobValue::Word(word) => word.parse().ok(),
            _ => None,
        }
    }
}

/// Prefix of the names of the coarse quantizer's parameters.
pub const QUANTIZER_PREFIX: &str = "quantizer_";

impl<'a> SearchParams<'a> {
    /// Creates empty parameters, with which a search uses the settings of the index.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks that an index of kind `index`, which supports the parameters `takes`, supports all
    /// parameters that are set.
    ///
    /// ```
    /// use ivf_core::params::{SearchParam, SearchParams, Takes};
    /// const TAKES: Takes = Takes::of(&[SearchParam::Nprobe]);
    /// let params = SearchParams::new().nprobe(4).k_factor_rf(2.0);
    /// let error = params.only("an IVF index", &TAKES).unwrap_err();
    /// let expected = "an IVF index does not take the search parameter k_factor_rf (a setting of RFlat, ";
    /// assert!(error.to_string().starts_with(expected));
    /// // A wrapper takes out its own parameter before it calls the index inside.
    /// assert!(params.without(SearchParam::KFactorRf).only("an IVF index", &TAKES).is_ok());
    /// ```
    ///
    /// # Errors
    /// [`SearchError::UnsupportedParam`] for the first parameter that is set but not in `takes`.
    /// [`SearchError::InvalidParam`] for an invalid value that was passed to [`set`](Self::set).
    pub fn only(&self, index: &'static str, takes: &Takes) -> Result<(), SearchError> {
        let unsupported = |param: Cow<'static, str>| Err(SearchError::UnsupportedParam { param, index });
        if let Some(param) = self.asked().find(|param| !takes.contains(*param)) {
            return unsupported(param.name().into());
        }
        for (name, value) in self.own.iter() {
            let field = SearchParam::ALL.iter().find(|param| param.name() == name);
            match field.filter(|param| takes.contains(**param)).and_then(|param| param.range()) {
                Some(range) => {
                    return Err(SearchError::invalid(name.to_owned(), range.to_string(), value));
                }
                None if !takes.contains_own(name) => return unsupported(name.to_owned().into()),
                None => {}
            }
        }
        Ok(())
    }

    /// Removes the parameters that are not in `takes`, and returns their names. One config can thus
    /// serve indexes of different kinds.
    ///
    /// ```
    /// use ivf_core::params::{SearchParam, Takes};
    /// use ivf_core::SearchParams;
    /// let mut params = SearchParams::new().nprobe(16).max_codes(1000);
    /// assert_eq!(params.retain(&Takes::of(&[SearchParam::MaxCodes])), ["nprobe"]);
    /// assert_eq!((params.nprobe, params.max_codes), (None, Some(1000)));
    /// ```
    pub fn retain(&mut self, takes: &Takes) -> Vec<String> {
        let unknown: Vec<SearchParam> = self.asked().filter(|param| !takes.contains(*param)).collect();
        let mut left_out: Vec<String> = unknown.iter().map(|param| param.name().to_owned()).collect();
        for param in unknown {
            *self = std::mem::take(self).without(param);
        }
        let own: Vec<String> = self.own.iter().map(|(name, _)| name.to_owned()).collect();
        // A bad value of a parameter that the index takes stays, and is an error of the search.
        let is_taken = |name: &str| {
            takes.contains_own(name) || takes.fields().any(|param| param.name() == name && param.range().is_some())
        };
        for name in own.into_iter().filter(|name| !is_taken(name)) {
            self.own.remove(&name);
            left_out.push(name);
        }
        left_out
    }

    /// Returns these parameters, with the values in `settings` for those that are not set.
    ///
    /// ```
    /// use ivf_core::{SearchParams, Settings};
    /// let config: Settings = [("nprobe", 16), ("max_codes", 1000)].into();
    /// let params = SearchParams::new().nprobe(4).or(&config);
    /// assert_eq!((params.nprobe, params.max_codes), (Some(4), Some(1000)));
    /// // An alias does not set a parameter a second time.
    /// let params = SearchParams::new().k_factor_rf(2.0).or(&[("k_factor", 8)].into());
    /// assert_eq!(params.k_factor_rf, Some(2.0));
    /// ```
    #[must_use]
    pub fn or(mut self, settings: &Settings) -> Self {
        for (name, value) in settings.iter() {
            let name = SearchParam::of_name(name).map_or(name, |param| param.name());
            let is_set = self.own.get(name).is_some() || self.asked().any(|param| param.name() == name);
            if !is_set {
                self = self.set(name, value.clone());
            }
        }
        self
    }

    /// Returns the parameters of the coarse search. These are the parameters whose names begin with
    /// [`QUANTIZER_PREFIX`], without the prefix. Values of the call take precedence over those in
    /// `settings`, the settings of the index. The executor and `cancel` are those of the call.
    ///
    /// ```
    /// use ivf_core::{SearchParams, Settings};
    /// let settings: Settings = [("quantizer_efSearch", 16), ("quantizer_nprobe", 2)].into();
    /// let params = SearchParams::new().nprobe(8).set("quantizer_efSearch", 64);
    /// let coarse = params.for_quantizer(&settings);
    /// assert_eq!(coarse.own.whole("efSearch"), Some(64));
    /// assert_eq!(coarse.nprobe, Some(2)); // the 8 is for the lists
    /// ```
    pub fn for_quantizer(&self, settings: &Settings) -> SearchParams<'a> {
        let own = SearchParams { executor: self.executor, cancel: self.cancel, ..SearchParams::default() };
        own.or(&self.own.under(QUANTIZER_PREFIX)).or(&settings.under(QUANTIZER_PREFIX))
    }

    /// Returns a value for each of `params`: the one of the call, else the one in `settings`, else
    /// the default.
    ///
    /// ```
    /// use ivf_core::param::{Param, ParamRange};
    /// use ivf_core::{SearchParams, Settings};
    /// let params = [Param::new("qb", ParamRange::Whole { least: 1, most: 8 }, 4.into(), "bits of a query")];
    /// let settings = SearchParams::new().set("qb", 6).resolved(&params, &Settings::new())?;
    /// assert_eq!(settings.whole("qb"), Some(6));
    /// assert!(SearchParams::new().set("qb", 9).resolved(&params, &Settings::new()).is_err());
    /// # Ok::<(), ivf_core::error::SearchError>(())
    /// ```
    ///
    /// # Errors
    /// [`SearchError::InvalidParam`] if a value is out of range.
    pub fn resolved(&self, params: &[Param], settings: &Settings) -> Result<Settings, SearchError> {
        self.own.resolved(params, settings).map_err(|error| match error {
            KnobError::Value { name, must, found } => SearchError::invalid(name, must, found),
            other => SearchError::invalid("a parameter", "one that a component declares", other),
        })
    }

    /// Returns the parameters of query `i`: its own fields, and the call's fields where it has
    /// none.
    pub fn of_query(&self, i: usize) -> QueryParams<'a> {
        let own = self.per_query.and_then(|all| all.get(i)).copied().unwrap_or_default();
        QueryParams {
            nprobe: own.nprobe.or(self.nprobe),
            max_codes: own.max_codes.or(self.max_codes),
            max_lists: own.max_lists.or(self.max_lists),
            selector: own.selector.or(self.selector),
        }
    }

    /// Checks that [`per_query`](field@Self::per_query), if set, has one item per query.
    ///
    /// ```
    /// use ivf_core::{QueryParams, SearchParams};
    /// let tenants = [QueryParams::new().nprobe(4)];
    /// let params = SearchParams::new().per_query(&tenants);
    /// assert!(params.check_per_query(1).is_ok() && params.check_per_query(2).is_err());
    /// ```
    ///
    /// # Errors
    /// [`SearchError::Count`] if it does not.
    pub fn check_per_query(&self, queries: usize) -> Result<(), SearchError> {
        match self.per_query {
            Some(all) if all.len() != queries => {
                Err(SearchError::Count { what: "per_query", found: all.len(), queries })
            }
            _ => Ok(()),
        }
    }

    /// Checks that the caller has not cancelled.
    ///
    /// ```
    /// use ivf_core::error::SearchError;
    /// use ivf_core::{Cancel, SearchParams};
    /// let cancel = Cancel::new();
    /// let params = SearchParams::new().cancel(&cancel);
    /// assert!(params.check_cancel().is_ok());
    /// cancel.cancel();
    /// assert!(matches!(params.check_cancel(), Err(SearchError::Cancelled)));
    /// ```
    ///
    /// # Errors
    /// [`SearchError::Cancelled`] if the caller has.
    pub fn check_cancel(&self) -> Result<(), SearchError> {
        match self.cancel {
            Some(cancel) if cancel.is_cancelled() => Err(SearchError::Cancelled),
            _ => Ok(()),
        }
    }
}

/// The parameters of one query of a call. An absent field means the parameter of the call, and then
/// the setting of the index.
///
/// ```
/// use ivf_core::{IdSelector, QueryParams, SearchParams};
/// let (ours, theirs) = (IdSelector::range(0..1000), IdSelector::range(1000..2000));
/// let tenants = [QueryParams::new().selector(&ours), QueryParams::new().selector(&theirs).nprobe(64)];
/// let params = SearchParams::new().nprobe(16).per_query(&tenants);
/// assert_eq!(params.of_query(0).nprobe, Some(16));
/// assert_eq!(params.of_query(1).nprobe, Some(64));
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct QueryParams<'a> {
    /// As [`SearchParams::nprobe`].
    pub nprobe: Option<usize>,
    /// As [`SearchParams::max_codes`].
    pub max_codes: Option<usize>,
    /// As [`SearchParams::max_lists`].
    pub max_lists: Option<usize>,
    /// As [`SearchParams::selector`].
    pub selector: Option<&'a IdSelector<'a>>,
}

impl<'a> QueryParams<'a> {
    /// Creates empty parameters.
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        nprobe: usize,
        max_codes: usize,
        max_lists: usize,
        selector: &'a IdSelector<'a>,
    }

    fn asked(&self) -> impl Iterator<Item = SearchParam> {
        let set = [
            (SearchParam::Nprobe, self.nprobe.is_some()),
            (SearchParam::MaxCodes, self.max_codes.is_some()),
            (SearchParam::MaxLists, self.max_lists.is_some()),
            (SearchParam::Selector, self.selector.is_some()),
        ];
        set.into_iter().filter(|(_, is_set)| *is_set).map(|(param, _)| param)
    }
}

/// How the work of a search is divided over the threads. The results are the same in every mode and
/// for every number of threads.
///
/// The variants from `Queries` to `FineQueries` are Faiss's `parallel_mode` 0 to 3. Its flag 1024,
/// "accumulate into the caller's results", is
/// [`IndexIvf::search_preassigned_into`](crate::IndexIvf::search_preassigned_into) here. In text
/// (knobs, config files), a mode is one of the words `auto`, `queries`, `probes`,
/// `queries_and_probes`, `fine_queries`, `list_major`.
///
/// ```
/// use ivf_core::ParallelMode;
/// assert_eq!(ParallelMode::ListMajor.name(), "list_major");
/// assert_eq!("List_Major".parse(), Ok(ParallelMode::ListMajor));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ParallelMode {
    /// The library chooses.
    #[default]
    Auto,
    /// Each thread searches one contiguous range of queries, including the coarse search (0).
    Queries,
    /// Queries are searched one after the other, and the probes of each are split over the threads
    /// (1).
    Probes,
    /// Every (query, probe) pair is a task (2).
    QueriesAndProbes,
    /// Every query is a task, after one coarse search for all queries (3).
    FineQueries,
    /// List-major: each list is scanned once for all queries of a block that probe it.
    ListMajor,
}

impl ParallelMode {
    /// All modes.
    pub const ALL: [ParallelMode; 6] =
        [Self::Auto, Self::Queries, Self::Probes, Self::QueriesAndProbes, Self::FineQueries, Self::ListMajor];

    /// The names of the modes, in the order of [`ALL`](Self::ALL).
    pub const NAMES: &'static [&'static str] =
        &["auto", "queries", "probes", "queries_and_probes", "fine_queries", "list_major"];

    /// Returns the name.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

impl fmt::Display for ParallelMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Serializes the name of the mode.
impl serde::Serialize for ParallelMode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Deserializes a mode from its name, in any case.
impl<'de> serde::Deserialize<'de> for ParallelMode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}

impl std::str::FromStr for ParallelMode {
    type Err = KnobError;

    fn from_str(text: &str) -> Result<Self, KnobError> {
        let place = Self::NAMES.iter().position(|name| is_same(name, text));
        place.map(|place| Self::ALL[place]).ok_or_else(|| KnobError::Value {
            name: "mode".into(),
            must: ParamRange::Word(Self::NAMES).to_string(),
            found: text.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_declared_once() {
        let names: Vec<&str> = SearchParam::ALL.iter().map(|param| param.name()).collect();
        assert_eq!(names.len(), 12);
        for &param in SearchParam::ALL {
            assert!(!param.about().is_empty() && param.about().trim() == param.about(), "{param:?}");
            let range = param.range();
            if let Some(range) = range {
                let value: KnobValue = match range {
                    ParamRange::Bool => true.into(),
                    ParamRange::Word(words) => words[1].into(),
                    _ => 3.into(),
                };
                let params = SearchParams::new().set(param.name(), value);
                assert_eq!(params.asked().collect::<Vec<_>>(), [param]);
                assert_eq!(params.without(param).asked().count(), 0);
            }
        }
    }

    #[test]
    fn what_an_index_does_not_take_is_refused_or_left_out() {
        let takes = Takes::of(&[SearchParam::Nprobe]).with_own(["qb".into()]);
        let refused = |params: SearchParams<'_>| match params.only("x", &takes).unwrap_err() {
            SearchError::UnsupportedParam { param, .. } => param.into_owned(),
            SearchError::InvalidParam { param, .. } => format!("bad {param}"),
            other => panic!("{other}"),
        };
        assert!(SearchParams::new().nprobe(2).set("qb", 4).only("x", &takes).is_ok());
        assert_eq!(refused(SearchParams::new().max_codes(3)), "max_codes");
        assert_eq!(refused(SearchParams::new().set("efSearch", 3)), "efSearch");
        assert_eq!(refused(SearchParams::new().set("nprobe", "many")), "bad nprobe");
        let query = [QueryParams::new().max_lists(1)];
        assert_eq!(refused(SearchParams::new().per_query(&query)), "max_lists");
        let mut params = SearchParams::new().nprobe(2).max_codes(3).set("efSearch", 3);
        assert_eq!(params.retain(&takes), ["max_codes", "efSearch"]);
        assert!(params.only("x", &takes).is_ok() && params.nprobe == Some(2));
    }

    #[test]
    fn the_quantizer_gets_its_own() {
        let settings: Settings = [("quantizer_efSearch", 16), ("quantizer_nprobe", 2), ("qb", 1)].into();
        let params = SearchParams::new().nprobe(8).set("quantizer_efSearch", 64).for_quantizer(&settings);
        assert_eq!((params.nprobe, params.own.whole("efSearch"), params.own.get("qb")), (Some(2), Some(64), None));
    }
}
