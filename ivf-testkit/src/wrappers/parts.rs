//! Checks of the parts, knobs and parameters of the wrapped index that a wrapper shows.

use crate::indexes::good_values;
use ivf_core::error::KnobError;
use ivf_core::{Index, Knob, KnobValue, Part, SearchParam, Takes};

fn inside<'i>(index: &'i dyn Index, at: &str) -> &'i dyn Index {
    index.wrapped().unwrap_or_else(|| panic!("{at}: there is no index inside"))
}

/// Checks the paths of the parts, and returns the path of the wrapped index.
pub(super) fn check_parts(index: &dyn Index, at: &str) -> String {
    let (parts, inner) = (index.parts(), inside(index, at).parts());
    for (i, part) in parts.iter().enumerate() {
        let is_new = parts[..i].iter().all(|other| other.path != part.path);
        assert!(is_new, "{at}: two parts have the path '{}'", part.path);
    }
    let tag = index.export().unwrap_or_else(|error| panic!("{at}: export: {error}")).tag;
    let own = parts.first().map(|part| (&*part.path, &*part.kind));
    assert_eq!(own, Some(("", &*tag)), "{at}: the wrapper's part");
    let is_under = |path: &str| inner.iter().all(|part| parts.contains(&part.clone().under(path)));
    let paths = parts.iter().map(|part| &part.path);
    let under = paths.into_iter().find(|path| !path.is_empty() && is_under(path));
    let shown: Vec<&str> = parts.iter().map(|part| &*part.path).collect();
    let names: Vec<&str> = inner.iter().map(|part| &*part.path).collect();
    under.unwrap_or_else(|| panic!("{at}: the inner parts {names:?} are not all under one path of {shown:?}")).clone()
}

/// Returns a valid value of a knob that differs from its current one.
pub(super) fn other_value(knob: &Knob) -> Option<KnobValue> {
    let normal = good_values(&knob.param.range).into_iter().filter_map(|value| knob.param.range.normal(&value));
    let now = knob.param.range.normal(&knob.value);
    normal.into_iter().find(|value| Some(value) != now.as_ref())
}

/// Checks that every knob of the wrapped index can be set through the wrapper if it can be set at
/// all.
pub(super) fn check_knobs(index: &mut dyn Index, under: &str, at: &str) {
    for part in inside(index, at).parts() {
        for knob in &part.knobs {
            let Some(value) = other_value(knob) else { continue };
            let path = part.clone().under(under).path;
            let alone = inside(index, at)
                .clone_index()
                .map(|mut inner| inner.set_knob_at(&part.path, knob.name(), value.clone()).is_ok());
            let result = index.set_knob_at(&path, knob.name(), value.clone());
            let is_set = match &result {
                Ok(()) => true,
                Err(KnobError::Trained { .. } | KnobError::Value { .. }) => alone.unwrap_or(false),
                Err(_) => true,
            };
            let shown = [value_of(&index.parts(), &path, knob), value_of(&inside(index, at).parts(), &part.path, knob)];
            assert!(result.is_ok() || !is_set, "{at}: setting {} of '{path}' to {value} gives {result:?}", knob.name());
            if result.is_ok() {
                let wanted = [Some(value.clone()), Some(value.clone())];
                assert_eq!(
                    shown,
                    wanted,
                    "{at}: {} of '{path}' was set to {value}: through the wrapper, and inside",
                    knob.name()
                );
                let back = index.set_knob_at(&path, knob.name(), knob.value.clone());
                assert!(back.is_ok(), "{at}: setting {} of '{path}' back gives {back:?}", knob.name());
            }
        }
    }
}

/// Returns the value of a knob in the normal form of its parameter.
pub(super) fn value_of(parts: &[Part], path: &str, knob: &Knob) -> Option<KnobValue> {
    let mut knobs = parts.iter().filter(|part| part.path == path).flat_map(|part| &part.knobs);
    let found = knobs.find(|other| other.name() == knob.name())?;
    found.param.range.normal(&found.value)
}

/// Checks that the wrapper takes the search parameters that the wrapped index takes.
pub(super) fn check_takes(index: &dyn Index, at: &str) {
    let compare = |what: &str, inner: &Takes, outer: &Takes| {
        let fields = inner.fields().filter(|field| *field != SearchParam::Locations && !outer.contains(*field));
        let mut lost: Vec<&str> = fields.map(|field| field.name()).collect();
        lost.extend(inner.own().iter().map(|name| &**name).filter(|name| !outer.contains_own(name)));
        assert!(lost.is_empty(), "{at}: the index inside takes {lost:?} in a {what}, the wrapper does not");
    };
    let inner = inside(index, at);
    compare("search", &inner.takes(), &index.takes());
    if let (Some(inner), Some(outer)) = (inner.as_range_search(), index.as_range_search()) {
        compare("range search", &inner.range_takes(), &outer.range_takes());
    }
}
