//! The components of an index by path, and the knobs they have.

use crate::error::KnobError;
use crate::index::Index;
pub use crate::param::KnobValue;
use crate::param::{Param, split_assignment};

/// A component of an index.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Its path from the outside in: `""` is the index itself, `"base/quantizer"` the quantizer of its base.
    pub path: String,
    /// Its kind, the tag that files use.
    pub kind: String,
    /// What can be set.
    pub knobs: Vec<Knob>,
}

impl Part {
    /// A component without knobs.
    pub fn new(path: &str, kind: &str) -> Self {
        Self { path: path.to_owned(), kind: kind.to_owned(), knobs: Vec::new() }
    }

    /// The same with knobs.
    #[must_use]
    pub fn with_knobs(self, knobs: Vec<Knob>) -> Self {
        Self { knobs, ..self }
    }

    /// The part one level further in: `under("base")` of part `"x"` is `"base/x"`.
    #[must_use]
    pub fn under(mut self, name: &str) -> Self {
        self.path = if self.path.is_empty() { name.to_owned() } else { format!("{name}/{}", self.path) };
        self
    }
}

/// Something about an index that can be read and set at run time: `nprobe`, `k_factor_rf`, ...
#[derive(Clone, Debug, PartialEq)]
pub struct Knob {
    /// Its name, what it may be, its default.
    pub param: Param,
    /// Its value now.
    pub value: KnobValue,
}

impl Knob {
    /// A knob.
    pub fn new(param: Param, value: impl Into<KnobValue>) -> Self {
        Self { param, value: value.into() }
    }

    /// The name that [`set_knob`](trait.Index.html#method.set_knob) takes.
    pub fn name(&self) -> &str {
        &self.param.name
    }
}

/// Where a knob stands: the path of its part and its name there.
type Place = (String, String);

/// The outermost knob of a name. `quantizer_<name>` is a knob of the outermost quantizer.
fn find(parts: &[Part], name: &str) -> Option<Place> {
    let in_parts = |name: &str, fits: &dyn Fn(&Part) -> bool| {
        parts.iter().filter(|part| fits(part)).find_map(|part| {
            let knob = part.knobs.iter().find(|knob| knob.param.is_named(name))?;
            Some((part.path.clone(), knob.name().to_owned()))
        })
    };
    let of_quantizer = || {
        let inner = name.strip_prefix("quantizer_")?;
        in_parts(inner, &|part| part.path.rsplit('/').next() == Some("quantizer"))
    };
    in_parts(name, &|_| true).or_else(of_quantizer)
}

/// Knobs by name, whichever part has them.
impl dyn Index + '_ {
    /// Sets the knob `name`; if several parts have one of that name, the outermost.
    /// `quantizer_<name>` is the knob of the coarse quantizer.
    ///
    /// # Errors
    /// [`KnobError`] for a name that no part knows or a value out of range.
    pub fn set_knob(&mut self, name: &str, value: impl Into<KnobValue>) -> Result<(), KnobError> {
        let parts = self.parts();
        let (path, name) = find(&parts, name).ok_or_else(|| unknown_knob(name, &parts))?;
        self.set_knob_at(&path, &name, value.into())
    }

    /// The value of the knob `name`; if several parts have one of that name, that of the outermost.
    pub fn knob(&self, name: &str) -> Option<KnobValue> {
        let parts = self.parts();
        let (path, name) = find(&parts, name)?;
        let mut knobs = parts.into_iter().filter(|part| part.path == path).flat_map(|part| part.knobs);
        knobs.find(|knob| knob.name() == name).map(|knob| knob.value)
    }
}

/// Sets several knobs at once: `"nprobe=16,quantizer_efSearch=64"`, as Faiss's `ParameterSpace`. A
/// name may be a path: `"quantizer/efSearch=64"`. All are set or none; only a knob that refuses the
/// value it had (a direct map that no longer fits its ids) stays set, and that is the error then.
///
/// # Errors
/// [`KnobError`] for the first that is malformed, unknown or out of range.
pub fn set_knobs(index: &mut dyn Index, text: &str) -> Result<(), KnobError> {
    let wanted = text.split(',').map(|item| split_assignment(item.trim())).collect::<Result<Vec<_>, _>>()?;
    set_all(index, wanted)
}

/// [`set_knobs`] of names and values.
///
/// # Errors
/// As [`set_knobs`].
pub fn set_all<'n>(
    index: &mut dyn Index,
    wanted: impl IntoIterator<Item = (&'n str, KnobValue)>,
) -> Result<(), KnobError> {
    let mut before: Vec<(Place, KnobValue)> = Vec::new();
    let mut set = |index: &mut dyn Index, name: &str, value: KnobValue| {
        let parts = index.parts();
        let at = match name.rsplit_once('/') {
            Some((path, name)) => (path.to_owned(), name.to_owned()),
            None => find(&parts, name).ok_or_else(|| unknown_knob(name, &parts))?,
        };
        let knobs = parts.iter().filter(|part| part.path == at.0).flat_map(|part| &part.knobs);
        let old = knobs.into_iter().find(|knob| knob.param.is_named(&at.1)).map(|knob| knob.value.clone());
        index.set_knob_at(&at.0, &at.1, value)?;
        before.extend(old.map(|old| (at, old)));
        Ok(())
    };
    for (name, value) in wanted {
        if let Err(error) = set(index, name, value) {
            for ((path, name), value) in before.into_iter().rev() {
                index.set_knob_at(&path, &name, value)?;
            }
            return Err(error);
        }
    }
    Ok(())
}

/// [`set_all`] of the knobs that the index has; gives the names of the others: one config serves
/// indexes of different kinds.
///
/// # Errors
/// [`KnobError`] for the first that is out of range. All are as they were then.
pub fn set_known<'n>(
    index: &mut dyn Index,
    wanted: impl IntoIterator<Item = (&'n str, KnobValue)>,
) -> Result<Vec<String>, KnobError> {
    let parts = index.parts();
    let is_known = |name: &str| match name.rsplit_once('/') {
        Some((path, name)) => {
            parts.iter().any(|part| part.path == path && part.knobs.iter().any(|knob| knob.param.is_named(name)))
        }
        None => find(&parts, name).is_some(),
    };
    let (known, others): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|(name, _)| is_known(name));
    set_all(index, known)?;
    Ok(others.into_iter().map(|(name, _)| name.to_owned()).collect())
}

/// The error for a knob that nobody has, with the names that there are.
pub fn unknown_knob(name: &str, parts: &[Part]) -> KnobError {
    let mut known: Vec<&str> = parts.iter().flat_map(|part| &part.knobs).map(Knob::name).collect();
    known.dedup();
    KnobError::Unknown {
        name: name.to_owned(),
        known: if known.is_empty() { "none".to_owned() } else { known.join(", ") },
    }
}

/// The error for a path at which no part stands, with the paths that there are.
pub fn unknown_part(path: &str, parts: &[Part]) -> KnobError {
    let known: Vec<String> = parts.iter().map(|part| format!("'{}'", part.path)).collect();
    KnobError::NoSuchPart { path: path.to_owned(), known: known.join(", ") }
}

/// The rest of a path below the part `name`: `""` for the part itself; `None` if it is not below
/// it.
pub fn below<'p>(path: &'p str, name: &str) -> Option<&'p str> {
    match path.strip_prefix(name)? {
        "" => Some(""),
        rest => rest.strip_prefix('/'),
    }
}
