//! The fields of a node: named, typed values that any program can read.
//!
//! Each kind of node declares its fields once, as a [`Schema`]: the names, their types, and the
//! order in which version 1 of the index file stored them. [`Node::with`](crate::Node::with) writes
//! a field. [`StoredNode::fields`](crate::StoredNode::fields) reads all fields and checks their
//! names and types.

use crate::error::DecodeError;
use crate::metric::Metric;
use std::fmt;

/// A single value.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// True or false.
    Bool(bool),
    /// A whole number, at least 0.
    UInt(u64),
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A string.
    Text(String),
    /// A metric.
    Metric(Metric),
}

/// The value of a field: one scalar, or a list of them.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// One scalar.
    One(Scalar),
    /// A list of scalars.
    List(Vec<Scalar>),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::UInt(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            // The text may come from a file, so it must not pass control sequences to a terminal.
            Self::Text(value) => write!(f, "\"{}\"", value.escape_debug()),
            Self::Metric(value) => value.fmt(f),
        }
    }
}

/// Prints a scalar as itself and a list in brackets: `16`, `"PQ8"`, `[1, 2]`. Text is escaped.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(value) => value.fmt(f),
            Self::List(values) => {
                f.write_str("[")?;
                for (i, value) in values.iter().enumerate() {
                    let comma = if i > 0 { ", " } else { "" };
                    write!(f, "{comma}{value}")?;
                }
                f.write_str("]")
            }
        }
    }
}

macro_rules! scalars {
    ($($type:ty => |$value:ident| $scalar:expr),* $(,)?) => {$(
        impl From<$type> for Value {
            fn from($value: $type) -> Self {
                Self::One($scalar)
            }
        }

        impl From<Vec<$type>> for Value {
            fn from(values: Vec<$type>) -> Self {
                Self::List(values.into_iter().map(|$value| $scalar).collect())
            }
        }
    )*};
}
scalars! {
    bool => |value| Scalar::Bool(value),
    u64 => |value| Scalar::UInt(value),
    u32 => |value| Scalar::UInt(value.into()),
    usize => |value| Scalar::UInt(value as u64),
    i64 => |value| Scalar::Int(value),
    f64 => |value| Scalar::Float(value),
    f32 => |value| Scalar::Float(value.into()),
    &str => |value| Scalar::Text(value.to_owned()),
    String => |value| Scalar::Text(value),
    Metric => |value| Scalar::Metric(value),
}

/// A type that can be read from a field.
///
/// ```
/// use ivf_core::field::{FromValue, Value};
/// assert_eq!(u64::from_value(&Value::from(7_u64)), Some(7));
/// assert_eq!(u64::from_value(&Value::from("seven")), None);
/// assert_eq!(Vec::<f32>::from_value(&vec![0.5_f32, 2.0].into()), Some(vec![0.5, 2.0]));
/// ```
pub trait FromValue: Sized {
    /// Description of the expected value, for error messages: "a whole number".
    const WHAT: &'static str;

    /// Returns the value, or `None` if the field holds a value of another type.
    fn from_value(value: &Value) -> Option<Self>;
}

macro_rules! from_values {
    ($($type:ty, $what:literal, $list:literal, $pattern:pat => $value:expr;)*) => {$(
        impl FromValue for $type {
            const WHAT: &'static str = $what;
            fn from_value(value: &Value) -> Option<Self> {
                let Value::One($pattern) = value else { return None };
                $value
            }
        }

        impl FromValue for Vec<$type> {
            const WHAT: &'static str = $list;
            fn from_value(value: &Value) -> Option<Self> {
                let Value::List(values) = value else { return None };
                values.iter().map(|value| <$type>::from_value(&Value::One(value.clone()))).collect()
            }
        }
    )*};
}
from_values! {
    bool, "true or false", "a list of truth values", Scalar::Bool(value) => Some(*value);
    u64, "a whole number", "a list of whole numbers", Scalar::UInt(value) => Some(*value);
    u32, "a whole number below 2^32", "a list of whole numbers below 2^32", Scalar::UInt(value) => u32::try_from(*value).ok();
    usize, "a whole number that fits in a usize", "a list of whole numbers that fit in a usize", Scalar::UInt(value) => usize::try_from(*value).ok();
    i64, "a whole number", "a list of whole numbers", Scalar::Int(value) => Some(*value);
    f64, "a number", "a list of numbers", Scalar::Float(value) => Some(*value);
    f32, "a number", "a list of numbers", Scalar::Float(value) => Some(*value as f32);
    String, "a string", "a list of strings", Scalar::Text(value) => Some(value.clone());
    Metric, "a metric", "a list of metrics", Scalar::Metric(value) => Some(*value);
}

/// Named values, in the order in which they were added. Names are unique.
///
/// ```
/// use ivf_core::field::Fields;
/// let mut fields = Fields::new();
/// fields.set("dim", 4_u64);
/// fields.set("store", "array");
/// fields.set("dim", 8_u64); // replaces the 4
/// assert_eq!((fields.len(), fields.value("dim")), (2, Some(&8_u64.into())));
/// let shown: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
/// assert_eq!(shown, ["dim=8", "store=\"array\""]);
/// assert_eq!(fields.remove("store"), Some("array".into()));
/// assert!(fields.remove("store").is_none() && !fields.is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields(Vec<(String, Value)>);

impl Fields {
    /// Creates an empty set of fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a field, and replaces its value if the name is already there.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        let value = value.into();
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Adds a field whose name is known to be new.
    pub(crate) fn push(&mut self, name: String, value: Value) {
        self.0.push((name, value));
    }

    /// Removes a field and returns its value.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1)
    }

    /// Returns the value of a field.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Iterates over the fields in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Returns the number of fields.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns true if there are no fields.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum FieldType {
    /// True or false.
    Bool,
    /// A whole number, at least 0.
    UInt,
    /// A whole number.
    Int,
    /// A number. Version 1 of the file stored it in 64 bits.
    Float,
    /// A number. Version 1 of the file stored it in 32 bits.
    Float32,
    /// A string.
    Text,
    /// A list of strings.
    Texts,
    /// A metric.
    Metric,
    /// One of these words. Version 1 of the file stored the index of the word.
    Word(&'static [&'static str]),
}

/// The declaration of a field.
///
/// A kind of node that always has a dimension. It has a store and a next id together, or neither.
/// The flag came with version 2:
///
/// ```
/// use ivf_core::field::{Field, FieldType, Fields, Schema, check_fields};
/// const SCHEMA: &Schema = &[
///     Field::new("dim", FieldType::UInt),
///     Field::since_version_2("by_residual", FieldType::Bool),
///     Field::grouped("store", FieldType::Text),
///     Field::grouped("next_id", FieldType::UInt),
/// ];
/// let mut fields = Fields::new();
/// fields.set("dim", 8_u64);
/// check_fields("node", &fields, SCHEMA)?;
///
/// fields.set("store", "array");
/// let refused = |fields: &Fields| check_fields("node", fields, SCHEMA).map_err(|error| error.to_string());
/// assert_eq!(refused(&fields), Err("node has no field 'next_id'".to_owned()));
/// fields.set("next_id", 5_u64);
/// check_fields("node", &fields, SCHEMA)?;
/// # Ok::<(), ivf_core::error::DecodeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field {
    /// Name of the field.
    pub name: &'static str,
    /// Type of the field.
    pub kind: FieldType,
    pub(crate) presence: Presence,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Presence {
    Always,
    /// Not in files of version 1. If absent, the field has the default of its kind of node.
    SinceVersion2,
    /// Present or absent together with the other fields of the group. The group comes last among
    /// the fields of version 1.
    Group,
}

impl Field {
    /// Declares a field that is always present.
    pub const fn new(name: &'static str, kind: FieldType) -> Self {
        Self { name, kind, presence: Presence::Always }
    }

    /// Declares a field that may be absent, and that files of version 1 do not have.
    pub const fn since_version_2(name: &'static str, kind: FieldType) -> Self {
        Self { name, kind, presence: Presence::SinceVersion2 }
    }

    /// Declares a field of the group of optional fields, which are all present or all absent.
    /// Version 1 of the file stored one byte for the group.
    pub const fn grouped(name: &'static str, kind: FieldType) -> Self {
        Self { name, kind, presence: Presence::Group }
    }
}

/// The fields of a kind of node, in the order in which version 1 of the index file stored them.
pub type Schema = [Field];

/// Checks fields against a schema: no unknown field, none missing, and each of the declared type.
///
/// # Errors
/// [`DecodeError::Missing`] for a missing field, or [`DecodeError::Value`] for an unknown one or
/// one of another type.
pub fn check_fields(tag: &str, fields: &Fields, schema: &Schema) -> Result<(), DecodeError> {
    for (name, value) in fields.iter() {
        let fault = |what: String| DecodeError::value(tag, what);
        let shown = || name.chars().take(60).flat_map(char::escape_debug).collect::<String>();
        let Some(field) = schema.iter().find(|field| field.name == name) else {
            return Err(fault(format!("the field '{}' is not known", shown())));
        };
        if !field.kind.fits(value) {
            let value: String = value.to_string().chars().take(60).collect();
            return Err(fault(format!("the field '{name}' is {value}, and must be {}", field.kind)));
        }
    }
    let missing = |name: &str| DecodeError::Missing { tag: tag.to_owned(), what: "field", name: name.to_owned() };
    let has_group = schema.iter().any(|field| field.presence == Presence::Group && fields.value(field.name).is_some());
    for field in schema {
        let is_needed = match field.presence {
            Presence::Always => true,
            Presence::SinceVersion2 => false,
            Presence::Group => has_group,
        };
        if is_needed && fields.value(field.name).is_none() {
            return Err(missing(field.name));
        }
    }
    Ok(())
}

impl FieldType {
    fn fits(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Bool, Value::One(Scalar::Bool(_)))
            | (Self::UInt, Value::One(Scalar::UInt(_)))
            | (Self::Int, Value::One(Scalar::Int(_)))
            | (Self::Float | Self::Float32, Value::One(Scalar::Float(_)))
            | (Self::Text, Value::One(Scalar::Text(_)))
            | (Self::Metric, Value::One(Scalar::Metric(_))) => true,
            (Self::Word(words), Value::One(Scalar::Text(text))) => words.contains(&text.as_str()),
            (Self::Texts, Value::List(values)) => values.iter().all(|value| matches!(value, Scalar::Text(_))),
            _ => false,
        }
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("true or false"),
            Self::UInt => f.write_str("a whole number of at least 0"),
            Self::Int => f.write_str("a whole number"),
            Self::Float | Self::Float32 => f.write_str("a number"),
            Self::Text => f.write_str("a string"),
            Self::Texts => f.write_str("a list of strings"),
            Self::Metric => f.write_str("a metric"),
            Self::Word(words) => write!(f, "one of {}", words.join(", ")),
        }
    }
}

/// The fields of a node that was read, checked against the schema of its kind.
///
/// ```
/// use ivf_core::Node;
/// use ivf_core::field::{Field, FieldType, Schema};
/// const SCHEMA: &Schema = &[Field::new("dim", FieldType::UInt), Field::since_version_2("note", FieldType::Text)];
/// let stored = Node::new("node", 0).with("dim", 8_u64).to_stored();
/// let fields = stored.fields(SCHEMA)?;
/// assert_eq!((fields.get::<u64>("dim")?, fields.opt::<String>("note")?), (8, None));
///
/// // A dimension of 0 is not one.
/// let damaged = Node::new("node", 0).with("dim", 0_u64).to_stored();
/// assert_eq!((fields.dim("dim")?, damaged.fields(SCHEMA)?.dim("dim").is_err()), (8, true));
/// # Ok::<(), ivf_core::error::DecodeError>(())
/// ```
#[derive(Debug)]
pub struct NodeFields<'n> {
    pub(crate) tag: &'n str,
    pub(crate) fields: std::borrow::Cow<'n, Fields>,
}

impl NodeFields<'_> {
    /// Returns a field that must be present.
    ///
    /// # Errors
    /// [`DecodeError::Missing`] if the field is absent, or [`DecodeError::Value`] if its value does
    /// not fit the type.
    pub fn get<T: FromValue>(&self, name: &str) -> Result<T, DecodeError> {
        self.opt(name)?.ok_or_else(|| DecodeError::Missing {
            tag: self.tag.to_owned(),
            what: "field",
            name: name.to_owned(),
        })
    }

    /// Returns a field that may be absent.
    ///
    /// # Errors
    /// [`DecodeError::Value`] if the value does not fit the type.
    pub fn opt<T: FromValue>(&self, name: &str) -> Result<Option<T>, DecodeError> {
        let Some(value) = self.fields.value(name) else { return Ok(None) };
        let fault = || DecodeError::value(self.tag, format!("the field '{name}' must be {}", T::WHAT));
        T::from_value(value).map(Some).ok_or_else(fault)
    }

    /// Returns the field `name` as a dimension, from 1 to [`MAX_DIM`](crate::MAX_DIM).
    ///
    /// # Errors
    /// [`DecodeError::Missing`] if the field is absent, or [`DecodeError::Value`] if it is not a
    /// valid dimension.
    pub fn dim(&self, name: &str) -> Result<usize, DecodeError> {
        let dim = self.get::<u64>(name)?;
        let known = usize::try_from(dim).ok().filter(|dim| (1..=crate::rows::MAX_DIM).contains(dim));
        known.ok_or_else(|| DecodeError::value(self.tag, format!("{name} is {dim}, which is not a valid dimension")))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use FieldType::{Bool, Float32, Metric as MetricField, Text, Texts, UInt, Word};

    pub(crate) const SCHEMA: &Schema = &[
        Field::new("dim", UInt),
        Field::new("metric", MetricField),
        Field::new("mode", Word(&["auto", "queries"])),
        Field::new("tokens", Texts),
        Field::new("factor", Float32),
        Field::since_version_2("by_residual", Bool),
        Field::grouped("next_id", UInt),
        Field::grouped("store", Text),
    ];

    #[test]
    fn fields_that_are_not_those_of_the_schema_are_refused() {
        let mut good = Fields::new();
        good.set("dim", 7_u64);
        good.set("metric", Metric::L2);
        good.set("mode", "queries");
        good.set("tokens", vec!["RR".to_owned()]);
        good.set("factor", 2.5_f32);
        good.set("next_id", 9_u64);
        good.set("store", "array");
        let faulty = |change: fn(&mut Fields)| {
            let mut fields = good.clone();
            change(&mut fields);
            check_fields("t", &fields, SCHEMA).unwrap_err().to_string()
        };
        assert_eq!(faulty(|f| f.set("more", 1_u64)), "t: the field 'more' is not known");
        assert_eq!(
            faulty(|f| f.set("dim", -1_i64)),
            "t: the field 'dim' is -1, and must be a whole number of at least 0"
        );
        assert_eq!(faulty(|f| f.set("mode", "x")), "t: the field 'mode' is \"x\", and must be one of auto, queries");
        assert_eq!(faulty(|f| f.0.retain(|(name, _)| name != "dim")), "t has no field 'dim'");
        assert_eq!(faulty(|f| f.0.retain(|(name, _)| name != "store")), "t has no field 'store'");
        let mut without = good.clone();
        without.0.retain(|(name, _)| name != "store" && name != "next_id");
        check_fields("t", &without, SCHEMA).unwrap();
    }

    #[test]
    fn a_field_is_set_once_and_read_by_its_type() {
        let mut fields = Fields::new();
        fields.set("a", 1_u64);
        fields.set("a", vec![1.5_f32, 2.0]);
        assert_eq!(fields.len(), 1);
        let read = NodeFields { tag: "t", fields: std::borrow::Cow::Owned(fields) };
        assert_eq!(read.get::<Vec<f32>>("a").unwrap(), [1.5, 2.0]);
        assert!(read.get::<f32>("a").is_err() && read.get::<f32>("b").is_err());
        assert_eq!(read.opt::<f32>("b").unwrap(), None);
    }
}
