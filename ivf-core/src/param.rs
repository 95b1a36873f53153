//! Parameters as data: their names, what they may be, and settings of them.
//!
//! A component (a codec, a quantizer, a wrapper) declares its own parameters as [`Param`]s. The
//! index that it is part of shows each as a knob, whose value it keeps and saves, and takes it by
//! name in each call ([`SearchParams::set`](crate::SearchParams::set)).

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
/// ```
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum KnobValue {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any number.
    Float(f64),
    /// A word, such as the name of a parallel mode.
    Word(Cow<'static, str>),
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
    // No parameter tells numbers beyond 2^63 apart: all of them mean "unlimited".
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

/// Any text is a value: what is neither a truth value nor a number is a word.
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
    /// The number, if it is a whole one of at least 0 (a float without fraction is one).
    pub fn as_whole(&self) -> Option<u64> {
        match self {
            Self::Int(value) => u64::try_from(*value).ok(),
            Self::Float(value) if value.fract() == 0.0 && (0.0..9e15).contains(value) => Some(*value as u64),
            _ => None,
        }
    }

    /// The number, if it is a finite one.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(*value as f64),
            Self::Float(value) => Some(*value).filter(|value| value.is_finite()),
            _ => None,
        }
    }

    /// The truth value; 0 and 1 are such, too.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => self.as_whole().filter(|number| *number < 2).map(|number| number == 1),
        }
    }
}

/// What a parameter may be.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ParamRange {
    /// True or false.
    Bool,
    /// A whole number.
    Whole {
        /// The least.
        least: u64,
        /// The greatest.
        most: u64,
    },
    /// A finite number.
    Number {
        /// The least.
        least: f64,
    },
    /// One of these words. The place of a word stands for it, too.
    Word(&'static [&'static str]),
}

/// What it must be, for errors and help: "a whole number of at least 1".
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
    /// Any whole number of at least `least`.
    pub const fn at_least(least: u64) -> Self {
        Self::Whole { least, most: u64::MAX }
    }

    /// The value in the form that the parameter has: a whole number as [`KnobValue::Int`], a number
    /// as [`KnobValue::Float`], a word with its own spelling. `None` if it is out of range.
    pub fn normal(&self, value: &KnobValue) -> Option<KnobValue> {
        match self {
            Self::Bool => value.as_bool().map(KnobValue::Bool),
            Self::Whole { least, most } => {
                value.as_whole().filter(|number| (*least..=*most).contains(number)).map(KnobValue::from)
            }
            Self::Number { least } => value.as_number().filter(|number| number >= least).map(KnobValue::Float),
            Self::Word(words) => {
                // Text that was read as a number or a truth value may be one of the words.
                let text = value.to_string();
                let by_name = words.iter().find(|known| known.eq_ignore_ascii_case(&text));
                let by_place = || words.get(usize::try_from(value.as_whole()?).ok()?);
                by_name.or_else(by_place).map(|word| KnobValue::Word(Cow::Borrowed(*word)))
            }
        }
    }

    /// [`normal`](Self::normal), or the error that names the knob and its range.
    ///
    /// # Errors
    /// [`KnobError::Value`].
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
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// The name, in Faiss's spelling where Faiss has it.
    pub name: Cow<'static, str>,
    /// Another name that it is known by.
    pub alias: Option<&'static str>,
    /// What it may be.
    pub range: ParamRange,
    /// Its value unless somebody sets it.
    pub default: KnobValue,
    /// What it does, in a sentence.
    pub about: Cow<'static, str>,
}

impl Param {
    /// A parameter.
    pub const fn new(name: &'static str, range: ParamRange, default: KnobValue, about: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), alias: None, range, default, about: Cow::Borrowed(about) }
    }

    /// The same under another name.
    #[must_use]
    pub fn renamed(self, name: String) -> Self {
        Self { name: name.into(), alias: None, ..self }
    }

    /// The same with another value unless somebody sets it.
    #[must_use]
    pub fn with_default(self, default: impl Into<KnobValue>) -> Self {
        Self { default: default.into(), ..self }
    }

    /// Whether it is known by this name.
    pub fn is_named(&self, name: &str) -> bool {
        self.name == name || self.alias == Some(name)
    }
}

/// Values of parameters, by name: what somebody has set, in the order of the names. A few values,
/// cheap to clone.
///
/// ```
/// use ivf_core::param::Settings;
/// let settings: Settings = [("qb", 8)].into();
/// assert_eq!(settings.whole("qb"), Some(8));
/// assert_eq!(settings.whole("efSearch"), None);
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
    /// Nothing set.
    pub const fn new() -> Self {
        Self(std::collections::BTreeMap::new())
    }

    /// Sets a value.
    pub fn set(&mut self, name: &str, value: impl Into<KnobValue>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Forgets a value.
    pub fn remove(&mut self, name: &str) -> Option<KnobValue> {
        self.0.remove(name)
    }

    /// A value.
    pub fn get(&self, name: &str) -> Option<&KnobValue> {
        self.0.get(name)
    }

    /// A value that is a whole number.
    pub fn whole(&self, name: &str) -> Option<u64> {
        self.get(name)?.as_whole()
    }

    /// A value that is a number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.get(name)?.as_number()
    }

    /// A value that is true or false.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.get(name)?.as_bool()
    }

    /// A value that is a word.
    pub fn word(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            KnobValue::Word(word) => Some(word),
            _ => None,
        }
    }

    /// The names and values.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &KnobValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// True if nothing is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those whose names begin with `prefix`, without it.
    pub fn under(&self, prefix: &str) -> Self {
        let inner = |(name, value): (&String, &KnobValue)| Some((name.strip_prefix(prefix)?.to_owned(), value.clone()));
        Self(self.0.iter().filter_map(inner).collect())
    }

    /// Those whose names do not begin with `prefix`.
    #[must_use]
    pub fn without_prefix(mut self, prefix: &str) -> Self {
        self.0.retain(|name, _| !name.starts_with(prefix));
        self
    }

    /// For each parameter its value: the one set here, else the one in `rest`, else its default.
    /// Values are in [normal](ParamRange::normal) form.
    ///
    /// # Errors
    /// [`KnobError::Value`] for one out of range.
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

/// As the lines of [`Settings::from_lines`].
impl Settings {
    /// `name=value`, one string a value.
    pub fn to_lines(&self) -> Vec<String> {
        self.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// What [`to_lines`](Self::to_lines) gave.
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

/// The name and the value of `name=value`, white space around both left out.
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
