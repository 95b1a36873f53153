//! Composition of factory strings from tokens.

use std::fmt;

/// A factory string, with the binding level that decides whether it needs parentheses inside
/// another one.
///
/// Each token that wraps its neighbours has a level; a lower level binds more loosely and is
/// further out. In `IDMap,L2norm,Flat,RFlat` the outermost token is `IDMap` (level 1), then `RFlat`
/// (2), then `L2norm` ([`SpecText::TRANSFORM`]). An inner string that binds more loosely than the
/// token around it is put in parentheses.
///
/// ```
/// use ivf_core::SpecText;
/// let flat = SpecText::base("Flat");
/// let refined = SpecText::base("Flat").after(2, "RFlat");
/// assert_eq!(flat.before(SpecText::TRANSFORM, "L2norm").after(2, "RFlat").to_string(), "L2norm,Flat,RFlat");
/// assert_eq!(refined.before(SpecText::TRANSFORM, "L2norm").to_string(), "L2norm,(Flat,RFlat)");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecText {
    text: String,
    /// The level and side of the outermost token. If two tokens have the same level, the parser
    /// takes the one after the inner string as the outer one.
    binding: (u8, Side),
}

/// The side of the inner string on which a token is written. The variant that binds more loosely
/// comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    After,
    Before,
}

impl SpecText {
    /// Level of transforms, which bind more loosely than an index and more tightly than every
    /// wrapper.
    pub const TRANSFORM: u8 = 254;
    /// Level of an index without wrappers and transforms.
    pub const BASE: u8 = 255;

    /// Creates the text of an index without wrappers and transforms: `Flat`, `IVF16,Flat`.
    pub fn base(text: impl Into<String>) -> Self {
        Self { text: text.into(), binding: (Self::BASE, Side::Before) }
    }

    /// Returns the string with a token of `level` before it.
    #[must_use]
    pub fn before(self, level: u8, token: &str) -> Self {
        let binding = (level, Side::Before);
        Self { text: format!("{token},{}", self.inside(binding)), binding }
    }

    /// Returns the string with a token of `level` after it.
    #[must_use]
    pub fn after(self, level: u8, token: &str) -> Self {
        let binding = (level, Side::After);
        Self { text: format!("{},{token}", self.inside(binding)), binding }
    }

    fn inside(self, binding: (u8, Side)) -> String {
        if self.binding < binding { format!("({})", self.text) } else { self.text }
    }
}

impl fmt::Display for SpecText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
