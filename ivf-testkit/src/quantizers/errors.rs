//! Calls that must fail, and the parameters of a quantizer.

use super::assign::Subject;
use crate::data::uniform;
use crate::indexes::{bad_values, good_values};
use ivf_core::error::{InputError, SearchError};
use ivf_core::{Cancel, IdSelector, Probes, QuantizerSpec, QueryParams, SearchParam, SearchParams};
use std::sync::Arc;

/// A name that no parameter has.
const NOBODY: &str = "no_such_parameter";
const ROWS: usize = 3;

fn assign(subject: &Subject<'_>, nprobe: usize, params: &SearchParams<'_>) -> Result<Probes, SearchError> {
    subject.quantizer.assign(uniform(75, ROWS, subject.quantizer.dim()).rows(), nprobe, params)
}

/// Checks that `nprobe` 0 and vectors of another dimension are errors.
pub(super) fn check_errors(subject: &Subject<'_>) {
    let (at, dim, plain) = (&subject.at, subject.quantizer.dim(), SearchParams::new());
    let result = assign(subject, 0, &plain);
    let is_right = matches!(&result, Err(SearchError::InvalidParam { param, .. }) if param == "nprobe");
    assert!(is_right, "{at}: nprobe 0 gives {result:?}");
    let result = subject.quantizer.assign(uniform(76, ROWS, dim + 1).rows(), 1, &plain);
    let expected = InputError::Dim { expected: dim, found: dim + 1 };
    let is_right = matches!(&result, Err(SearchError::Input(input)) if *input == expected);
    assert!(is_right, "{at}: vectors of {} dimensions give {result:?}", dim + 1);
}

/// Checks that the quantizer takes the parameters that its specification declares, with values in
/// range, and refuses all others.
pub(super) fn check_parameters(subject: &Subject<'_>, spec: &Arc<dyn QuantizerSpec>) {
    let plain = SearchParams::new();
    let params = spec.params(subject.quantizer.dim(), subject.quantizer.metric().unwrap_or(ivf_core::Metric::L2));
    for param in &params {
        assert!(param.range.normal(&param.default).is_some(), "{}: the default of {param:?}", subject.at);
        for value in good_values(&param.range).into_iter().chain([param.default.clone()]) {
            let result = assign(subject, 1, &plain.clone().set(&param.name, value.clone()));
            assert!(result.is_ok(), "{}: {} of {value} gives {result:?}", subject.at, param.name);
        }
        for value in bad_values(&param.range) {
            let result = assign(subject, 1, &plain.clone().set(&param.name, value.clone()));
            let is_right = matches!(&result, Err(SearchError::InvalidParam { param: name, .. }) if *name == param.name);
            assert!(is_right, "{}: {} of {value:?} gives {result:?}", subject.at, param.name);
        }
    }
    let (all, each) = (IdSelector::All, [QueryParams::new(); ROWS]);
    for field in SearchParam::ALL.iter().filter(|field| !params.iter().any(|param| param.is_named(field.name()))) {
        let asked = match field.range() {
            Some(range) => plain.clone().set(field.name(), good_values(&range).remove(0)),
            None if *field == SearchParam::PerQuery => plain.clone().per_query(&each),
            None => plain.clone().selector(&all),
        };
        expect_unsupported(subject, field.name(), &asked);
    }
    expect_unsupported(subject, NOBODY, &plain.set(NOBODY, 1));
}

fn expect_unsupported(subject: &Subject<'_>, name: &str, params: &SearchParams<'_>) {
    let result = assign(subject, 1, params);
    let is_right = matches!(&result, Err(SearchError::UnsupportedParam { param, .. }) if param == name);
    assert!(is_right, "{}: {name}, a parameter that it does not declare, gives {result:?}", subject.at);
}

pub(super) fn check_cancel(subject: &Subject<'_>) {
    let cancel = Cancel::new();
    cancel.cancel();
    let result = assign(subject, 1, &SearchParams::new().cancel(&cancel));
    assert!(matches!(result, Err(SearchError::Cancelled)), "{}: a cancelled assignment gives {result:?}", subject.at);
}
