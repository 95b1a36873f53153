//! How the tokens of a factory string are put together.

use std::fmt;

/// A factory string with what decides whether it needs parentheses inside another one.
///
/// A token that wraps what stands beside it binds more or less loosely: in `IDMap,L2norm,Flat,RFlat` the outermost is `IDMap`
/// (level 1), then `RFlat` (2), then `L2norm` ([`SpecText::TRANSFORM`]). What must be inside but would bind more loosely goes in
/// parentheses.
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
    /// How loosely the outermost token binds. Of two of one level the parser takes the one after for the outer one.
    binding: (u8, Side),
}

/// Where a token stands, the looser first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    After,
    Before,
}

impl SpecText {
    /// The level of transforms: looser than an index, tighter than every wrapper.
    pub const TRANSFORM: u8 = 254;
    /// The level of an index around which nothing stands.
    pub const BASE: u8 = 255;

    /// An index around which nothing stands: `Flat`, `IVF16,Flat`.
    pub fn base(text: impl Into<String>) -> Self {
        Self { text: text.into(), binding: (Self::BASE, Side::Before) }
    }

    /// This, with a token of `level` before it.
    #[must_use]
    pub fn before(self, level: u8, token: &str) -> Self {
        let binding = (level, Side::Before);
        Self { text: format!("{token},{}", self.inside(binding)), binding }
    }

    /// This, with a token of `level` after it.
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
