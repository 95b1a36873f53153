//! The fields of a node: named, typed values that anybody can read.
//!
//! A kind declares its fields once, as a [`Schema`]: the names, their types, and the order in which
//! version 1 of the index file wrote them. [`Node::with`](crate::Node::with) writes a field,
//! [`StoredNode::fields`](crate::StoredNode::fields) reads them all and checks names and types.

use crate::error::DecodeError;
use crate::metric::Metric;
use crate::wire::Reader;
use std::fmt;

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// True or false.
    Bool(bool),
    /// A whole number, 0 or more.
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
            // It may come from a file: nothing of it may command a terminal.
            Self::Text(value) => write!(f, "\"{}\"", value.escape_debug()),
            Self::Metric(value) => value.fmt(f),
        }
    }
}

/// A scalar as itself, a list in brackets: `16`, `"PQ8"`, `[1, 2]`. Text is escaped.
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

/// What can be read from a field.
pub trait FromValue: Sized {
    /// What the value must be, for an error: "a whole number".
    const WHAT: &'static str;

    /// The value, if the field holds one of this type.
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
    usize, "a whole number that fits memory", "a list of whole numbers that fit memory", Scalar::UInt(value) => usize::try_from(*value).ok();
    i64, "a whole number", "a list of whole numbers", Scalar::Int(value) => Some(*value);
    f64, "a number", "a list of numbers", Scalar::Float(value) => Some(*value);
    f32, "a number", "a list of numbers", Scalar::Float(value) => Some(*value as f32);
    String, "a string", "a list of strings", Scalar::Text(value) => Some(value.clone());
    Metric, "a metric", "a list of metrics", Scalar::Metric(value) => Some(*value);
}

/// Named values, in the order in which they were added. No name occurs twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields(Vec<(String, Value)>);

impl Fields {
    /// No fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a field.
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

    /// Forgets a field, and gives its value.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1)
    }

    /// The value of a field.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The fields in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there are none.
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
    /// A whole number, 0 or more.
    UInt,
    /// A whole number.
    Int,
    /// A number; version 1 of the file kept 64 bits.
    Float,
    /// A number; version 1 of the file kept 32 bits.
    Float32,
    /// A string.
    Text,
    /// A list of strings.
    Texts,
    /// A metric.
    Metric,
    /// One of these words; version 1 of the file kept its place among them.
    Word(&'static [&'static str]),
}

/// The declaration of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: FieldType,
    presence: Presence,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Presence {
    Always,
    /// Not in files of version 1; absent fields have the kind's default.
    SinceVersion2,
    /// Present or absent together with the other fields of the group, which ends the fields of
    /// version 1.
    Group,
}

impl Field {
    /// A field that is always there.
    pub const fn new(name: &'static str, kind: FieldType) -> Self {
        Self { name, kind, presence: Presence::Always }
    }

    /// A field that files of version 1 do not have, and that may be absent.
    pub const fn since_version_2(name: &'static str, kind: FieldType) -> Self {
        Self { name, kind, presence: Presence::SinceVersion2 }
    }

    /// A field of the group of optional fields, which are all there or all absent. Version 1 of the
    /// file kept one byte for the group.
    pub const fn grouped(name: &'static str, kind: FieldType) -> Self {
        Self { name, kind, presence: Presence::Group }
    }
}

/// The fields of a kind, in the order in which version 1 of the index file wrote them.
pub type Schema = [Field];

/// Checks that the fields are those of the schema: no other name, none missing, each of its type.
///
/// # Errors
/// [`DecodeError::Missing`] or [`DecodeError::Value`].
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

/// The fields that version 1 of the index file wrote: in the order of the schema, without names,
/// integers of fixed size.
///
/// # Errors
/// [`DecodeError::Meta`] if the bytes are others.
pub fn decode_version_1(tag: &str, bytes: &[u8], schema: &Schema) -> Result<Fields, DecodeError> {
    let decode = || -> Result<Fields, DecodeError> {
        let mut reader = Reader::new("the fields", bytes);
        let mut fields = Fields::new();
        let of = |presence| schema.iter().filter(move |field: &&Field| field.presence == presence);
        for field in of(Presence::Always) {
            fields.set(field.name, field.kind.decode_version_1(&mut reader)?);
        }
        if of(Presence::Group).next().is_some() && flag(&mut reader)? {
            for field in of(Presence::Group) {
                fields.set(field.name, field.kind.decode_version_1(&mut reader)?);
            }
        }
        reader.finish()?;
        Ok(fields)
    };
    decode().map_err(|error| DecodeError::Meta { tag: tag.to_owned(), why: error.to_string() })
}

fn flag(reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(DecodeError::value("the fields", format!("a flag of {other}"))),
    }
}

fn text(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    let len = reader.u64()?;
    let bytes = reader.bytes(usize::try_from(len).unwrap_or(usize::MAX))?;
    String::from_utf8(bytes.to_vec()).map_err(|_| DecodeError::value("the fields", "a string is not UTF-8"))
}

/// The metrics by the numbers that version 1 of the file gave them; number 5 is [`Metric::Lp`],
/// with its exponent.
const METRICS: [Option<Metric>; 10] = [
    Some(Metric::L2),
    Some(Metric::InnerProduct),
    Some(Metric::Cosine),
    Some(Metric::L1),
    Some(Metric::Linf),
    None,
    Some(Metric::Canberra),
    Some(Metric::BrayCurtis),
    Some(Metric::JensenShannon),
    Some(Metric::Jaccard),
];

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

    fn decode_version_1(self, reader: &mut Reader<'_>) -> Result<Value, DecodeError> {
        let fault = |what: String| DecodeError::value("the fields", what);
        Ok(match self {
            Self::Bool => flag(reader)?.into(),
            Self::UInt => reader.u64()?.into(),
            Self::Int => reader.i64()?.into(),
            Self::Float => f64::from_bits(reader.u64()?).into(),
            Self::Float32 => reader.f32()?.into(),
            Self::Text => text(reader)?.into(),
            Self::Texts => {
                // A string takes at least the 8 bytes of its length.
                let count = reader.u64()?;
                if count > (reader.left() / 8) as u64 {
                    return Err(fault(format!("a list of {count} strings")));
                }
                (0..count).map(|_| text(reader)).collect::<Result<Vec<String>, _>>()?.into()
            }
            Self::Metric => {
                let number = reader.u32()?;
                match METRICS.get(number as usize) {
                    Some(Some(metric)) => (*metric).into(),
                    Some(None) => Metric::Lp(reader.f32()?).into(),
                    None => return Err(fault(format!("a metric of number {number}"))),
                }
            }
            Self::Word(words) => {
                let number = reader.u32()?;
                let word = words.get(number as usize);
                word.map(|word| Value::from(*word)).ok_or_else(|| fault(format!("a word of number {number}")))?
            }
        })
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

/// The fields of a node that was read: checked against the kind's schema.
#[derive(Debug)]
pub struct NodeFields<'n> {
    pub(crate) tag: &'n str,
    pub(crate) fields: std::borrow::Cow<'n, Fields>,
}

impl NodeFields<'_> {
    /// A field that the schema says is there.
    ///
    /// # Errors
    /// [`DecodeError::Missing`], or [`DecodeError::Value`] if it does not fit the type.
    pub fn get<T: FromValue>(&self, name: &str) -> Result<T, DecodeError> {
        self.opt(name)?.ok_or_else(|| DecodeError::Missing {
            tag: self.tag.to_owned(),
            what: "field",
            name: name.to_owned(),
        })
    }

    /// A field that may be absent.
    ///
    /// # Errors
    /// [`DecodeError::Value`] if it does not fit the type.
    pub fn opt<T: FromValue>(&self, name: &str) -> Result<Option<T>, DecodeError> {
        let Some(value) = self.fields.value(name) else { return Ok(None) };
        let fault = || DecodeError::value(self.tag, format!("the field '{name}' must be {}", T::WHAT));
        T::from_value(value).map(Some).ok_or_else(fault)
    }

    /// The field `name` as a dimension: from 1 to [`MAX_DIM`](crate::MAX_DIM).
    ///
    /// # Errors
    /// [`DecodeError::Missing`], or [`DecodeError::Value`].
    pub fn dim(&self, name: &str) -> Result<usize, DecodeError> {
        let dim = self.get::<u64>(name)?;
        let known = usize::try_from(dim).ok().filter(|dim| (1..=crate::rows::MAX_DIM).contains(dim));
        known.ok_or_else(|| DecodeError::value(self.tag, format!("{name} is {dim}, which cannot be")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FieldType::{Bool, Float32, Metric as MetricField, Text, Texts, UInt, Word};

    const SCHEMA: &Schema = &[
        Field::new("dim", UInt),
        Field::new("metric", MetricField),
        Field::new("mode", Word(&["auto", "queries"])),
        Field::new("tokens", Texts),
        Field::new("factor", Float32),
        Field::since_version_2("by_residual", Bool),
        Field::grouped("next_id", UInt),
        Field::grouped("store", Text),
    ];

    fn version_1(metric: &[u8], with_group: bool) -> Vec<u8> {
        let mut bytes = 7_u64.to_le_bytes().to_vec();
        bytes.extend(metric);
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(1_u64.to_le_bytes());
        bytes.extend(2_u64.to_le_bytes());
        bytes.extend(b"RR");
        bytes.extend(2.5_f32.to_le_bytes());
        bytes.push(with_group.into());
        if with_group {
            bytes.extend(9_u64.to_le_bytes());
            bytes.extend(5_u64.to_le_bytes());
            bytes.extend(b"array");
        }
        bytes
    }

    #[test]
    fn fields_of_version_1_get_their_names() {
        let lp = [&5_u32.to_le_bytes()[..], &3_f32.to_le_bytes()].concat();
        let fields = decode_version_1("t", &version_1(&lp, true), SCHEMA).unwrap();
        check_fields("t", &fields, SCHEMA).unwrap();
        let shown: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            shown.join(" "),
            "dim=7 metric=lp:3 mode=\"queries\" tokens=[\"RR\"] factor=2.5 next_id=9 store=\"array\""
        );
        let ip = 1_u32.to_le_bytes();
        let fields = decode_version_1("t", &version_1(&ip, false), SCHEMA).unwrap();
        assert_eq!(fields.value("metric"), Some(&Metric::InnerProduct.into()));
        assert!(fields.value("store").is_none());
        check_fields("t", &fields, SCHEMA).unwrap();
        let whole = version_1(&ip, true);
        for cut in 0..whole.len() {
            assert!(decode_version_1("t", &whole[..cut], SCHEMA).is_err(), "{cut}");
        }
        assert!(decode_version_1("t", &[&whole[..], &[0]].concat(), SCHEMA).is_err());
        assert!(decode_version_1("t", &version_1(&10_u32.to_le_bytes(), false), SCHEMA).is_err());
    }

    #[test]
    fn fields_that_are_not_those_of_the_schema_are_refused() {
        let good = decode_version_1("t", &version_1(&0_u32.to_le_bytes(), true), SCHEMA).unwrap();
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
