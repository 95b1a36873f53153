//! The components of an index by path, and the knobs they have.

use crate::error::KnobError;
use crate::index::Index;
use std::fmt;
use std::str::FromStr;

/// A component of an index.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Its path from the outside in: `""` is the index itself, `"base/quantizer"` the quantizer of its base.
    pub path: String,
    /// Its kind, the tag that files use.
    pub kind: String,
    /// What can be turned.
    pub knobs: Vec<Knob>,
}

impl Part {
    /// The part one level further in: `under("base")` of part `"x"` is `"base/x"`.
    #[must_use]
    pub fn under(mut self, name: &str) -> Self {
        self.path = if self.path.is_empty() { name.to_owned() } else { format!("{name}/{}", self.path) };
        self
    }
}

/// Something about an index that can be read and set at run time: `nprobe`, `k_factor`, ...
#[derive(Clone, Debug, PartialEq)]
pub struct Knob {
    /// The name that [`Index::set_knob`] takes.
    pub name: String,
    /// Its value now.
    pub value: KnobValue,
    /// What it may be, for an error and for help.
    pub must: &'static str,
}

impl Knob {
    /// A knob.
    pub fn new(name: &str, value: KnobValue, must: &'static str) -> Self {
        Self { name: name.to_owned(), value, must }
    }
}

/// The value of a knob.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum KnobValue {
    /// A whole number.
    Int(u64),
    /// Any number.
    Float(f64),
}

impl KnobValue {
    /// The value as a whole number of at least `least` (a float without fraction is one).
    ///
    /// # Errors
    /// [`KnobError::Value`].
    pub fn whole(self, name: &str, least: u64, must: &'static str) -> Result<usize, KnobError> {
        let fault = || KnobError::Value { name: name.to_owned(), must, found: self.to_string() };
        let value = match self {
            Self::Int(value) => value,
            Self::Float(value) if value.fract() == 0.0 && (0.0..9e15).contains(&value) => value as u64,
            Self::Float(_) => return Err(fault()),
        };
        usize::try_from(value).ok().filter(|_| value >= least).ok_or_else(fault)
    }

    /// The value as a finite number of at least `least`.
    ///
    /// # Errors
    /// [`KnobError::Value`].
    pub fn number(self, name: &str, least: f64, must: &'static str) -> Result<f64, KnobError> {
        let value = match self {
            Self::Int(value) => value as f64,
            Self::Float(value) => value,
        };
        if !(value.is_finite() && value >= least) {
            return Err(KnobError::Value { name: name.to_owned(), must, found: self.to_string() });
        }
        Ok(value)
    }
}

impl fmt::Display for KnobValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
        }
    }
}

impl FromStr for KnobValue {
    type Err = std::num::ParseFloatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self::Int).or_else(|_| text.parse().map(Self::Float))
    }
}

/// Turns several knobs at once: `"nprobe=16,k_factor=4"`, as Faiss's `ParameterSpace`. All are turned or none; only a knob that
/// refuses the value it had (a direct map that no longer fits its ids) stays turned, and that is the error then.
///
/// # Errors
/// [`KnobError`] for the first that is malformed, unknown or out of range.
pub fn set_knobs(index: &mut dyn Index, text: &str) -> Result<(), KnobError> {
    let mut wanted = Vec::new();
    for item in text.split(',').map(str::trim) {
        let syntax = || KnobError::Syntax(item.to_owned());
        let (name, value) = item.split_once('=').ok_or_else(syntax)?;
        wanted.push((name.trim(), value.trim().parse::<KnobValue>().map_err(|_| syntax())?));
    }
    let before: Vec<Knob> = index.parts().into_iter().flat_map(|part| part.knobs).collect();
    for (i, &(name, value)) in wanted.iter().enumerate() {
        if let Err(error) = index.set_knob(name, value) {
            for (name, _) in &wanted[..i] {
                if let Some(knob) = before.iter().find(|knob| knob.name == *name) {
                    index.set_knob(name, knob.value)?;
                }
            }
            return Err(error);
        }
    }
    Ok(())
}

/// The error for a knob that nobody has, with the names that there are.
pub fn unknown_knob(name: &str, parts: &[Part]) -> KnobError {
    let known: Vec<&str> = parts.iter().flat_map(|part| &part.knobs).map(|knob| knob.name.as_str()).collect();
    KnobError::Unknown {
        name: name.to_owned(),
        known: if known.is_empty() { "none".to_owned() } else { known.join(", ") },
    }
}
