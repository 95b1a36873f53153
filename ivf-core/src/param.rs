//! Parameters as data: names, ranges, and sets of values.
//!
//! A component (a codec, a quantizer, a wrapper) declares its own parameters as [`Param`]s. The
//! index that contains the component exposes each parameter as a knob. The index keeps the value of
//! the knob and saves it in its file. A search can also set the parameter by name, for that call
//! only ([`SearchParams::set`](crate::SearchParams::set)).

use crate::error::KnobError;
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// The value of a parameter or a knob.
///
/// ```
/// use ivf_core::KnobValue;
/// assert_eq!("16".parse(), Ok(KnobValue::Int(16)));
/// assert_eq!("true".parse(), Ok(KnobValue::Bool(true)));
/// assert_eq!(KnobValue::from("queries").to_string(), "queries");
/// // A config may write 4.0 for 4, and 1 for true.
/// assert_eq!(KnobValue::from(4.0).as_whole(), Some(4));
/// assert_eq!(KnobValue::from(1).as_bool(), Some(true));
/// assert_eq!((KnobValue::from(4).as_number(), KnobValue::from("four").as_number()), (Some(4.0), None));
/// ```
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum KnobValue {
    /// True or false.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A word, such as the name of a parallel mode.
    Word(Cow<'static, str>),
}

/// Deserializes a boolean, a number or a string.
impl<'de> serde::Deserialize<'de> for KnobValue {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = KnobValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, a number or a word")
            }

            fn visit_bool<E>(self, value: bool) -> Result<KnobValue, E> {
                Ok(value.into())
            }

            fn visit_i64<E>(self, value: i64) -> Result<KnobValue, E> {
                Ok(value.into())
            }

            fn visit_u64<E>(self, value: u64) -> Result<KnobValue, E> {
                Ok(value.into())
            }

            fn visit_f64<E>(self, value: f64) -> Result<KnobValue, E> {
                Ok(value.into())
            }

            fn visit_str<E>(self, value: &str) -> Result<KnobValue, E> {
                Ok(value.into())
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

macro_rules! knob_values {
    ($($type:ty => |$value:ident| $knob:expr),* $(,)?) => {$(
        impl From<$type> for KnobValue {
            fn from($value: $type) -> Self {
                $knob
            }
        }
    )*};
}
knob_values! {
    bool => |value| Self::Bool(value),
    i32 => |value| Self::Int(value.into()),
    u32 => |value| Self::Int(value.into()),
    i64 => |value| Self::Int(value),
    // No parameter distinguishes numbers above `i64::MAX`: all of them mean "unlimited".
    u64 => |value| Self::Int(i64::try_from(value).unwrap_or(i64::MAX)),
    usize => |value| Self::from(value as u64),
    f32 => |value| Self::Float(value.into()),
    f64 => |value| Self::Float(value),
    String => |value| Self::Word(value.into()),
}

impl From<&str> for KnobValue {
    fn from(value: &str) -> Self {
        Self::Word(value.to_owned().into())
    }
}

impl fmt::Display for KnobValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Word(value) => value.fmt(f),
        }
    }
}

/// Parses any text: text that is neither `true`, `false` nor a number is a word.
impl FromStr for KnobValue {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = || text.parse().map(Self::Int).or_else(|_| text.parse().map(Self::Float)).ok();
        Ok(match text {
            "true" => Self::Bool(true),
            "false" => Self::Bool(false),
            _ => number().unwrap_or_else(|| Self::from(text)),
        })
    }
}

impl KnobValue {
    /// Returns the value as an unsigned integer, or `None` if it is not one. A non-negative float
    /// without a fraction (below 9e15) counts as an integer.
    pub fn as_whole(&self) -> Option<u64> {
        match self {
            Self::Int(value) => u64::try_from(*value).ok(),
            Self::Float(value) if value.fract() == 0.0 && (0.0..9e15).contains(value) => Some(*value as u64),
            _ => None,
        }
    }

    /// Returns the value as a finite number, or `None` if it is not one.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(*value as f64),
            Self::Float(value) => Some(*value).filter(|value| value.is_finite()),
            _ => None,
        }
    }

    /// Returns the value as a boolean, or `None` if it is not one. The numbers 0 and 1 count as
    /// booleans.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => self.as_whole().filter(|number| *number < 2).map(|number| number == 1),
        }
    }
}

/// The range of values of a parameter.
///
/// ```
/// use ivf_core::KnobValue;
/// use ivf_core::param::ParamRange;
/// let nprobe = ParamRange::at_least(1);
/// assert_eq!(nprobe.normal(&4.0.into()), Some(KnobValue::Int(4)));
/// assert_eq!(nprobe.normal(&0.into()), None);
/// let error = nprobe.check("nprobe", &0.into()).unwrap_err();
/// assert_eq!(error.to_string(), "nprobe must be a whole number of at least 1, not 0");
///
/// let mode = ParamRange::Word(&["auto", "queries"]);
/// assert_eq!(mode.normal(&"Queries".into()), Some("queries".into()));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ParamRange {
    /// True or false.
    Bool,
    /// An integer of at least 0.
    Whole {
        /// The minimum.
        least: u64,
        /// The maximum.
        most: u64,
    },
    /// A finite number.
    Number {
        /// The minimum; `f64::MIN` means any finite number.
        least: f64,
    },
    /// One of these words, in any case, with or without `_`, `-` and spaces. The index of a word,
    /// counted from 0, is accepted in place of the word.
    Word(&'static [&'static str]),
}

/// Writes the range for errors and help, for example "a whole number of at least 1".
impl fmt::Display for ParamRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("true or false"),
            Self::Whole { least, most: u64::MAX } => write!(f, "a whole number of at least {least}"),
            Self::Whole { least, most } => write!(f, "a whole number from {least} to {most}"),
            Self::Number { least } if *least == f64::MIN => f.write_str("a number"),
            Self::Number { least } => write!(f, "a number of at least {least}"),
            Self::Word(words) => write!(f, "one of {}", words.join(", ")),
        }
    }
}

impl ParamRange {
    /// Returns the range of all integers of at least `least`.
    pub const fn at_least(least: u64) -> Self {
        Self::Whole { least, most: u64::MAX }
    }

    /// Converts a value to the normal form of this range, or returns `None` if it is out of range.
    ///
    /// The normal form of an integer is [`KnobValue::Int`], that of a number [`KnobValue::Float`],
    /// and that of a word the declared spelling.
    pub fn normal(&self, value: &KnobValue) -> Option<KnobValue> {
        match self {
            Self::Bool => value.as_bool().map(KnobValue::Bool),
            Self::Whole { least, most } => {
                value.as_whole().filter(|number| (*least..=*most).contains(number)).map(KnobValue::from)
            }
            Self::Number { least } => value.as_number().filter(|number| number >= least).map(KnobValue::Float),
            Self::Word(words) => {
                // Text that was parsed as a number or a boolean may be one of the words.
                let text = value.to_string();
                let by_name = words.iter().find(|known| crate::names::is_same(known, &text));
                let by_place = || words.get(usize::try_from(value.as_whole()?).ok()?);
                by_name.or_else(by_place).map(|word| KnobValue::Word(Cow::Borrowed(*word)))
            }
        }
    }

    /// Converts a value to its [`normal`](Self::normal) form. `name` is the name of the knob in the
    /// error.
    ///
    /// # Errors
    /// [`KnobError::Value`] if the value is out of range.
    pub fn check(&self, name: &str, value: &KnobValue) -> Result<KnobValue, KnobError> {
        self.normal(value).ok_or_else(|| KnobError::Value {
            name: name.to_owned(),
            must: self.to_string(),
            found: value.to_string(),
        })
    }
}

/// The declaration of a parameter.
///
/// ```
/// use ivf_core::param::{Param, ParamRange};
/// const QB: Param = Param::new("qb", ParamRange::Whole { least: 1, most: 8 }, ivf_core::KnobValue::Int(4), "bits of a query");
/// assert_eq!(QB.range.to_string(), "a whole number from 1 to 8");
///
/// // An index lists the parameters of its quantizer under longer names, with its own values.
/// let outer = QB.renamed("quantizer_qb".to_owned()).with_default(8);
/// assert!(outer.is_named("quantizer_qb") && !outer.is_named("qb"));
/// assert_eq!(outer.default, ivf_core::KnobValue::Int(8));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Param {
    /// The name, spelt as in Faiss where Faiss has the parameter.
    pub name: Cow<'static, str>,
    /// A second name that is accepted, if any.
    pub alias: Option<&'static str>,
    /// The range of its values.
    pub range: ParamRange,
    /// The default value.
    pub default: KnobValue,
    /// A one-sentence description.
    pub about: Cow<'static, str>,
}

impl Param {
    /// Declares a parameter without an alias.
    pub const fn new(name: &'static str, range: ParamRange, default: KnobValue, about: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), alias: None, range, default, about: Cow::Borrowed(about) }
    }

    /// Returns the same parameter with a second name that is accepted.
    ///
    /// ```
    /// use ivf_core::KnobValue;
    /// use ivf_core::param::{Param, ParamRange};
    /// const FACTOR: Param = Param::new("k_factor_rf", ParamRange::Bool, KnobValue::Bool(true), "re-ranks")
    ///     .with_alias("k_factor");
    /// assert_eq!(FACTOR.alias, Some("k_factor"));
    /// ```
    #[must_use]
    pub const fn with_alias(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }

    /// Returns the same parameter with another name and without its alias.
    #[must_use]
    pub fn renamed(self, name: String) -> Self {
        Self { name: name.into(), alias: None, ..self }
    }

    /// Returns the same parameter with another default value.
    #[must_use]
    pub fn with_default(self, default: impl Into<KnobValue>) -> Self {
        Self { default: default.into(), ..self }
    }

    /// Returns true if `name` is the name or the alias of the parameter.
    pub fn is_named(&self, name: &str) -> bool {
        self.name == name || self.alias == Some(name)
    }
}

/// Parameter values that have been set, sorted by name. A small map that is cheap to clone.
///
/// ```
/// use ivf_core::param::Settings;
/// let settings: Settings = [("qb", 8)].into();
/// assert_eq!(settings.whole("qb"), Some(8));
/// assert_eq!(settings.whole("efSearch"), None);
///
/// let mut settings = Settings::new();
/// assert!(settings.is_empty());
/// settings.set("mode", "queries");
/// settings.set("exact", true);
/// settings.set("factor", 2.5);
/// settings.set("quantizer_efSearch", 64);
/// assert_eq!((settings.word("mode"), settings.flag("exact")), (Some("queries"), Some(true)));
/// assert_eq!((settings.number("factor"), settings.number("mode")), (Some(2.5), None));
///
/// // The settings of the quantizer, and those of the index itself.
/// assert_eq!(settings.under("quantizer_"), [("efSearch", 64)].into());
/// let mut own = settings.without_prefix("quantizer_");
/// assert_eq!(own.get("quantizer_efSearch"), None);
/// assert_eq!(own.remove("mode"), Some("queries".into()));
/// assert_eq!(own.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["exact", "factor"]);
///
/// let lines = own.to_lines();
/// assert_eq!(lines, ["exact=true", "factor=2.5"]);
/// assert_eq!(Settings::from_lines(lines.iter().map(String::as_str))?, own);
/// # Ok::<(), ivf_core::error::KnobError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Settings(std::collections::BTreeMap<String, KnobValue>);

impl<const N: usize, V: Into<KnobValue>> From<[(&str, V); N]> for Settings {
    fn from(values: [(&str, V); N]) -> Self {
        Self(values.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect())
    }
}

impl Settings {
    /// Creates an empty set of values.
    pub const fn new() -> Self {
        Self(std::collections::BTreeMap::new())
    }

    /// Sets a value.
    pub fn set(&mut self, name: &str, value: impl Into<KnobValue>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Removes a value and returns it.
    pub fn remove(&mut self, name: &str) -> Option<KnobValue> {
        self.0.remove(name)
    }

    /// Returns a value.
    pub fn get(&self, name: &str) -> Option<&KnobValue> {
        self.0.get(name)
    }

    /// Returns a value as an unsigned integer.
    pub fn whole(&self, name: &str) -> Option<u64> {
        self.get(name)?.as_whole()
    }

    /// Returns a value as a finite number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.get(name)?.as_number()
    }

    /// Returns a value as a boolean.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.get(name)?.as_bool()
    }

    /// Returns a value that is a word.
    pub fn word(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            KnobValue::Word(word) => Some(word),
            _ => None,
        }
    }

    /// Iterates over the names and values.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &KnobValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Returns true if nothing is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the values whose names begin with `prefix`, under their names without the prefix.
    pub fn under(&self, prefix: &str) -> Self {
        let inner = |(name, value): (&String, &KnobValue)| Some((name.strip_prefix(prefix)?.to_owned(), value.clone()));
        Self(self.0.iter().filter_map(inner).collect())
    }

    /// Returns the values whose names do not begin with `prefix`.
    #[must_use]
    pub fn without_prefix(mut self, prefix: &str) -> Self {
        self.0.retain(|name, _| !name.starts_with(prefix));
        self
    }

    /// Returns a value for each parameter: the one set here, else the one in `rest`, else the
    /// default. The values are in [normal](ParamRange::normal) form. Names that no parameter has
    /// are ignored.
    ///
    /// ```
    /// use ivf_core::param::{Param, ParamRange, Settings};
    /// let params = ["a", "b", "c"].map(|name| Param::new(name, ParamRange::at_least(1), 1.into(), ""));
    /// let (call, index): (Settings, Settings) = ([("a", 10)].into(), [("a", 20), ("b", 30)].into());
    /// assert_eq!(call.resolved(&params, &index)?.to_lines(), ["a=10", "b=30", "c=1"]);
    /// # Ok::<(), ivf_core::error::KnobError>(())
    /// ```
    ///
    /// # Errors
    /// [`KnobError::Value`] if a value is out of range.
    pub fn resolved(&self, params: &[Param], rest: &Settings) -> Result<Self, KnobError> {
        let mut resolved = Self::new();
        for param in params {
            let named = |settings: &Self| {
                let by_alias = || param.alias.and_then(|alias| settings.get(alias));
                settings.get(&param.name).or_else(by_alias).cloned()
            };
            let value = named(self).or_else(|| named(rest)).unwrap_or_else(|| param.default.clone());
            resolved.0.insert(param.name.clone().into_owned(), param.range.check(&param.name, &value)?);
        }
        Ok(resolved)
    }
}

/// Conversion to and from lines of text.
impl Settings {
    /// Returns one string `name=value` per value.
    pub fn to_lines(&self) -> Vec<String> {
        self.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// Parses lines in the format of [`to_lines`](Self::to_lines).
    ///
    /// # Errors
    /// [`KnobError::Syntax`] for a line of another form.
    pub fn from_lines<'l>(lines: impl IntoIterator<Item = &'l str>) -> Result<Self, KnobError> {
        let mut settings = Self::new();
        for line in lines {
            let (name, value) = split_assignment(line)?;
            settings.set(name, value);
        }
        Ok(settings)
    }
}

/// Splits `name=value` into name and value, and trims white space around both.
///
/// ```
/// use ivf_core::param::split_assignment;
/// assert_eq!(split_assignment("nprobe = 16"), Ok(("nprobe", 16.into())));
/// assert!(split_assignment("nprobe").is_err());
/// ```
///
/// # Errors
/// [`KnobError::Syntax`] for text of another form.
pub fn split_assignment(text: &str) -> Result<(&str, KnobValue), KnobError> {
    let syntax = || KnobError::Syntax(text.to_owned());
    let (name, value) = text.split_once('=').ok_or_else(syntax)?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || value.is_empty() {
        return Err(syntax());
    }
    let Ok(value) = value.parse();
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_brought_into_their_form_or_refused() {
        let whole = ParamRange::Whole { least: 1, most: 8 };
        assert_eq!(whole.normal(&4.0.into()), Some(4.into()));
        for bad in [0.into(), 9.into(), (-1).into(), 4.5.into(), "four".into(), true.into(), f64::NAN.into()] {
            assert_eq!(whole.normal(&bad), None, "{bad}");
        }
        let number = ParamRange::Number { least: 1.0 };
        assert_eq!(number.normal(&2.into()), Some(2.0.into()));
        assert_eq!(number.normal(&f64::INFINITY.into()), None);
        let word = ParamRange::Word(&["auto", "queries"]);
        assert_eq!(word.normal(&"Queries".into()), Some("queries".into()));
        assert_eq!(ParamRange::Word(&["list_major"]).normal(&"ListMajor".into()), Some("list_major".into()));
        assert_eq!(word.normal(&1.into()), Some("queries".into()));
        assert_eq!(word.normal(&2.into()), None);
        let like_others = ParamRange::Word(&["off", "8", "true"]);
        for text in ["8", "true"] {
            let Ok(read) = text.parse::<KnobValue>();
            assert_eq!(like_others.normal(&read), Some(KnobValue::from(text)));
        }
        assert_eq!(ParamRange::Bool.normal(&1.into()), Some(true.into()));
        assert_eq!(ParamRange::Bool.normal(&2.into()), None);
        assert_eq!(ParamRange::at_least(1).normal(&u64::MAX.into()), Some(KnobValue::Int(i64::MAX)));
    }

    #[test]
    fn settings_resolve_from_the_call_to_the_default() {
        let params = [
            Param::new("a", ParamRange::at_least(1), KnobValue::Int(1), ""),
            Param::new("b", ParamRange::at_least(1), KnobValue::Int(2), ""),
            Param::new("c", ParamRange::Bool, KnobValue::Bool(false), ""),
        ];
        let (call, index): (Settings, Settings) = ([("a", 10)].into(), [("a", 20), ("b", 30)].into());
        let resolved = call.resolved(&params, &index).unwrap();
        assert_eq!(resolved.to_lines(), ["a=10", "b=30", "c=false"]);
        assert_eq!(Settings::from_lines(["a=10", "b=30", "c=false"]).unwrap(), resolved);
        assert!(Settings::from([("a", 0)]).resolved(&params, &index).is_err());
        let nested: Settings = [("quantizer_efSearch", 64), ("qb", 8)].into();
        assert_eq!(nested.under("quantizer_"), [("efSearch", 64)].into());
        assert!(Settings::from_lines(["a"]).is_err() && Settings::from_lines(["=1"]).is_err());
    }
}
