//! Checks of search parameters and knobs: an index takes what it declares, and refuses everything
//! else by its name.

use super::Want;
use crate::data::{Vectors, clusters};
use ivf_core::error::{KnobError, SearchError};
use ivf_core::param::ParamRange;
use ivf_core::params::QUANTIZER_PREFIX;
use ivf_core::{
    IdSelector, Index, Knob, KnobValue, ParallelMode, Part, QueryParams, SearchParam, SearchParams, SearchResult, Takes,
};

/// A name that no parameter has.
const NOBODY: &str = "no_such_parameter";
/// Number of queries of a search.
const QUERIES: usize = 3;

/// Returns values within a range.
pub(crate) fn good_values(range: &ParamRange) -> Vec<KnobValue> {
    match range {
        ParamRange::Bool => vec![false.into(), true.into(), 1.into()],
        ParamRange::Whole { least, most } => vec![(*least).into(), least.saturating_add(3).min(*most).into()],
        ParamRange::Number { least } if *least == f64::MIN => vec![(-1.5).into(), 0.into(), 2.into()],
        ParamRange::Number { least } => vec![(*least).into(), (least + 1.5).into()],
        ParamRange::Word(words) => words.iter().map(|word| KnobValue::from(*word)).chain([0.into()]).collect(),
        _ => Vec::new(),
    }
}

/// Returns values outside of a range.
pub(crate) fn bad_values(range: &ParamRange) -> Vec<KnobValue> {
    let mut values = vec![KnobValue::from("xyzzy")];
    match range {
        ParamRange::Bool => values.extend([2.into(), (-1).into(), 0.5.into()]),
        ParamRange::Whole { least, most } => {
            values.extend([(-1).into(), (*least as f64 + 0.5).into(), f64::NAN.into(), true.into()]);
            values.extend(least.checked_sub(1).map(KnobValue::from));
            values.extend(most.checked_add(1).map(KnobValue::from));
        }
        ParamRange::Number { least } => {
            values.extend([f64::NAN.into(), f64::INFINITY.into(), f64::NEG_INFINITY.into(), true.into()]);
            values.extend(Some(KnobValue::from(least - 1.0)).filter(|_| *least > f64::MIN));
        }
        ParamRange::Word(words) => values.extend([words.len().into(), (-1).into(), true.into()]),
        _ => {}
    }
    values
}

/// Checks that an index takes the parameters that it declares, in k-NN and range searches, with
/// every value in range, and refuses values out of range and parameters that it does not declare.
pub(super) fn check_params(index: &dyn Index) {
    let mut searches = vec![(Want::K(2), index.takes())];
    searches.extend(index.as_range_search().map(|range| (Want::Radius(1.0), range.range_takes())));
    for (want, takes) in searches {
        let queries = clusters(46, QUERIES, index.dim(), 2);
        let search = Search { index, want, takes: &takes, queries };
        for &param in SearchParam::ALL {
            search.check_field(param);
        }
        search.check_setters();
        for name in takes.own() {
            search.check_own(name);
        }
        for name in [NOBODY.to_owned(), format!("{QUANTIZER_PREFIX}{NOBODY}")] {
            search.expect_refused(&name, false, &SearchParams::new().set(&name, 1));
        }
    }
}

struct Search<'a> {
    index: &'a dyn Index,
    want: Want,
    takes: &'a Takes,
    queries: Vectors,
}

impl Search<'_> {
    fn run(&self, params: &SearchParams<'_>) -> Result<SearchResult, SearchError> {
        self.want.search(self.index, self.queries.rows().into(), params)
    }

    fn check_field(&self, param: SearchParam) {
        let (name, is_taken) = (param.name(), self.takes.contains(param));
        let (all, each) = (IdSelector::All, [QueryParams::new(); QUERIES]);
        let plain = SearchParams::new();
        match (param, param.range()) {
            (_, Some(range)) => {
                for value in good_values(&range) {
                    self.expect(name, is_taken, &plain.clone().set(name, value));
                }
                for value in bad_values(&range) {
                    self.expect_refused(name, is_taken, &plain.clone().set(name, value));
                }
            }
            (SearchParam::Selector, _) => self.expect(name, is_taken, &plain.selector(&all)),
            (SearchParam::PerQuery, _) => self.expect(name, is_taken, &plain.per_query(&each)),
            (other, _) => panic!("{other:?} is a parameter that this suite has no value for"),
        }
    }

    /// Checks values that can be set on a field but not in a config file.
    fn check_setters(&self) {
        let plain = SearchParams::new();
        for (param, params) in [
            (SearchParam::Nprobe, plain.clone().nprobe(0)),
            (SearchParam::KFactorRf, plain.clone().k_factor_rf(0.0)),
            (SearchParam::KFactorRf, plain.clone().k_factor_rf(f32::NAN)),
            (SearchParam::KFactorRf, plain.clone().k_factor_rf(f32::INFINITY)),
        ] {
            self.expect_refused(param.name(), self.takes.contains(param), &params);
        }
        if self.takes.contains(SearchParam::Mode) {
            ParallelMode::ALL.iter().for_each(|mode| self.expect("mode", true, &plain.clone().mode(*mode)));
        }
        if self.takes.contains(SearchParam::PerQuery) {
            let each = [QueryParams::new(); QUERIES + 1];
            let result = self.run(&plain.per_query(&each));
            let is_counted = matches!(result, Err(SearchError::Count { found, queries, .. })
                if (found, queries) == (QUERIES + 1, QUERIES));
            assert!(is_counted, "{}: parameters of {} queries for {QUERIES} give {result:?}", self.name(), QUERIES + 1);
        }
    }

    /// Checks a parameter that a component declares. Some part must have it as a knob, under its
    /// name or without the quantizer's prefix.
    fn check_own(&self, name: &str) {
        let parts = self.index.parts();
        let knob = find_knob(&parts, name).unwrap_or_else(|| panic!("{}: {name} is no knob", self.name()));
        for value in good_values(&knob.param.range).into_iter().chain([knob.value.clone()]) {
            self.expect(name, true, &SearchParams::new().set(name, value));
        }
        for value in bad_values(&knob.param.range) {
            self.expect_refused(name, true, &SearchParams::new().set(name, value));
        }
    }

    fn expect(&self, name: &str, is_taken: bool, params: &SearchParams<'_>) {
        if !is_taken {
            return self.expect_refused(name, false, params);
        }
        match self.run(params) {
            Ok(_) => {}
            Err(SearchError::UnsupportedParam { param, .. }) => {
                panic!("{}: it refuses {param}, which it should take ({params:?})", self.name())
            }
            Err(error) => panic!("{}: {params:?} gives {error:?}", self.name()),
        }
    }

    /// Expects a refusal: of a value out of range if the parameter is taken, otherwise of the
    /// parameter.
    fn expect_refused(&self, name: &str, is_taken: bool, params: &SearchParams<'_>) {
        let result = self.run(params);
        // The quantizer knows its parameters without the prefix.
        let is_named = |param: &str| param == name || Some(param) == name.strip_prefix(QUANTIZER_PREFIX);
        let is_right = match &result {
            Err(SearchError::InvalidParam { param, .. }) => is_taken && is_named(param),
            Err(SearchError::UnsupportedParam { param, .. }) => !is_taken && is_named(param),
            Ok(_) if !is_taken => panic!("{}: it takes {name}, which it should refuse ({params:?})", self.name()),
            _ => false,
        };
        assert!(is_right, "{}: {params:?} gives {result:?}", self.name());
    }

    fn name(&self) -> String {
        format!("{}, {:?}", self.index.spec(), self.want)
    }
}

fn find_knob<'p>(parts: &'p [Part], name: &str) -> Option<&'p Knob> {
    let knobs = || parts.iter().flat_map(|part| part.knobs.iter().map(move |knob| (part, knob)));
    let is_quantizer = |part: &Part| part.path.rsplit('/').next() == Some("quantizer");
    let by_name = knobs().find(|(_, knob)| knob.param.is_named(name));
    let inner = || {
        let inner = name.strip_prefix(QUANTIZER_PREFIX)?;
        knobs().find(|(part, knob)| is_quantizer(part) && knob.param.is_named(inner))
    };
    by_name.or_else(inner).map(|(_, knob)| knob)
}

/// Checks that each knob accepts its current value, at its path and under its alias, and refuses
/// values out of range. Unknown names and paths must be errors, and no call may change anything.
pub(super) fn check_knobs(index: &mut dyn Index) {
    let (parts, spec) = (index.parts(), index.spec());
    for part in &parts {
        let at = format!("{spec}, part '{}'", part.path);
        for knob in &part.knobs {
            check_knob(index, &part.path, knob, &at);
            assert_eq!(index.parts(), parts, "{at}: {} was set to what it was, and the knobs changed", knob.name());
        }
        let result = index.set_knob_at(&part.path, "no_such_knob", 1.into());
        assert!(matches!(result, Err(KnobError::Unknown { .. })), "{at}: an unknown knob gives {result:?}");
        let below =
            if part.path.is_empty() { "no_such_part".to_owned() } else { format!("{}/no_such_part", part.path) };
        let name = part.knobs.first().map_or("no_such_knob", |knob| knob.name());
        let result = index.set_knob_at(&below, name, 1.into());
        assert!(matches!(result, Err(KnobError::NoSuchPart { .. })), "{at}: a knob of '{below}' gives {result:?}");
    }
    let result = index.set_knob("no_such_knob", 1);
    assert!(matches!(result, Err(KnobError::Unknown { .. })), "{spec}: an unknown knob gives {result:?}");
    assert_eq!(index.parts(), parts, "{spec}: calls that failed changed the knobs");
}

fn check_knob(index: &mut dyn Index, path: &str, knob: &Knob, at: &str) {
    let range = &knob.param.range;
    assert!(range.normal(&knob.value).is_some(), "{at}: {} is {}, and must be {range}", knob.name(), knob.value);
    assert!(range.normal(&knob.param.default).is_some(), "{at}: the default of {} is out of range", knob.name());
    for name in [knob.name()].into_iter().chain(knob.param.alias) {
        let result = index.set_knob_at(path, name, knob.value.clone());
        assert!(result.is_ok(), "{at}: setting {name} to {}, its value, gives {result:?}", knob.value);
        for value in bad_values(range) {
            let result = index.set_knob_at(path, name, value.clone());
            let is_refused = matches!(result, Err(KnobError::Value { .. } | KnobError::Trained { .. }));
            assert!(is_refused, "{at}: setting {name} to {value:?} gives {result:?}");
        }
    }
}
