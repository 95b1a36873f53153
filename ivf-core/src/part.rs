//! The components of an index, addressed by path, and their knobs.

use crate::error::KnobError;
pub use crate::param::KnobValue;
use crate::param::Param;

/// A component of an index.
///
/// ```
/// use ivf_core::param::{Param, ParamRange};
/// use ivf_core::part::{Knob, Part};
/// let depth = Param::new("depth", ParamRange::at_least(1), 5.into(), "levels to search");
/// let quantizer = Part::new("quantizer", "tree").with_knobs(vec![Knob::new(depth, 8)]);
/// assert_eq!((quantizer.knobs[0].name(), &quantizer.knobs[0].value), ("depth", &8.into()));
///
/// // A wrapper lists itself and the parts of its base.
/// assert_eq!(quantizer.under("base").path, "base/quantizer");
/// assert_eq!(Part::new("", "ivf").under("base").path, "base");
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Part {
    /// The path from the outermost index inwards. `""` is the index itself, `"base/quantizer"` the
    /// quantizer of its base index.
    pub path: String,
    /// The kind: its tag in files.
    pub kind: String,
    /// The knobs of the component.
    pub knobs: Vec<Knob>,
}

impl Part {
    /// Creates a component without knobs.
    pub fn new(path: &str, kind: &str) -> Self {
        Self { path: path.to_owned(), kind: kind.to_owned(), knobs: Vec::new() }
    }

    /// Returns the component with the given knobs.
    #[must_use]
    pub fn with_knobs(self, knobs: Vec<Knob>) -> Self {
        Self { knobs, ..self }
    }

    /// Moves the part one level further in. For example, `under("base")` turns the path `"x"` into
    /// `"base/x"`.
    #[must_use]
    pub fn under(mut self, name: &str) -> Self {
        self.path = if self.path.is_empty() { name.to_owned() } else { format!("{name}/{}", self.path) };
        self
    }
}

/// A parameter of an index that can be read and set at run time: `nprobe`, `k_factor_rf`, ...
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Knob {
    /// The declaration: name, range, default.
    pub param: Param,
    /// The current value.
    pub value: KnobValue,
}

impl Knob {
    /// Creates a knob.
    pub fn new(param: Param, value: impl Into<KnobValue>) -> Self {
        Self { param, value: value.into() }
    }

    /// Returns the name that [`set_knob`](trait.Index.html#method.set_knob) takes.
    pub fn name(&self) -> &str {
        &self.param.name
    }
}

/// Returns the error for an unknown knob. It lists the names of the known knobs.
///
/// ```
/// use ivf_core::param::{Param, ParamRange};
/// use ivf_core::part::{Knob, Part, unknown_knob};
/// let depth = Param::new("depth", ParamRange::at_least(1), 5.into(), "levels to search");
/// let parts = [Part::new("", "tree").with_knobs(vec![Knob::new(depth, 5)])];
/// let error = unknown_knob("dept", &parts);
/// assert_eq!(error.to_string(), "there is no knob 'dept'; there are: depth");
/// ```
pub fn unknown_knob(name: &str, parts: &[Part]) -> KnobError {
    let mut known: Vec<&str> = Vec::new();
    for knob in parts.iter().flat_map(|part| &part.knobs) {
        if !known.contains(&knob.name()) {
            known.push(knob.name());
        }
    }
    KnobError::Unknown {
        name: name.to_owned(),
        known: if known.is_empty() { "none".to_owned() } else { known.join(", ") },
    }
}

/// Returns the error for a path that no part has. It lists the paths of the known parts.
///
/// ```
/// use ivf_core::part::{Part, unknown_part};
/// let parts = [Part::new("", "ivf"), Part::new("quantizer", "flat")];
/// let error = unknown_part("quantiser", &parts);
/// assert_eq!(error.to_string(), "there is no part 'quantiser'; there are: '', 'quantizer'");
/// ```
pub fn unknown_part(path: &str, parts: &[Part]) -> KnobError {
    let known: Vec<String> = parts.iter().map(|part| format!("'{}'", part.path)).collect();
    KnobError::NoSuchPart { path: path.to_owned(), known: known.join(", ") }
}

/// Returns the rest of a path below the part `name`: `""` for the part itself, `None` if the path
/// is not below it.
///
/// ```
/// use ivf_core::part::below;
/// // A wrapper passes a knob on to its base, under the rest of the path.
/// assert_eq!(below("base/quantizer", "base"), Some("quantizer"));
/// assert_eq!(below("base", "base"), Some(""));
/// assert_eq!(below("basement", "base"), None);
/// ```
pub fn below<'p>(path: &'p str, name: &str) -> Option<&'p str> {
    match path.strip_prefix(name)? {
        "" => Some(""),
        rest => rest.strip_prefix('/').filter(|rest| !rest.is_empty()),
    }
}
