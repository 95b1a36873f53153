//! The encoding of a node's fields in files: one list of (name, value), in the format of bincode 2
//! with little-endian, fixed-size integers.
//!
//! This is the only module that uses bincode. It is pinned at 2.0.1, because version 3 is an empty
//! tombstone.

use crate::error::DecodeError;
use crate::field::{Fields, Scalar, Value};
use crate::metric::Metric;

/// Maximum size of the encoded fields of a node, in bytes. Bulk data belongs in arrays.
pub const MAX_META: usize = 1 << 20;

/// Maximum length of the name of a field, in bytes.
pub const MAX_FIELD_NAME: usize = 255;

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_little_endian().with_fixed_int_encoding().with_limit::<MAX_META>()
}

/// The encoded form of a scalar. The variants are numbered from 0 in this order.
#[derive(serde::Serialize, serde::Deserialize)]
enum WireScalar {
    Bool(bool),
    UInt(u64),
    Int(i64),
    Float(f64),
    Text(String),
    /// The name of the metric.
    Metric(String),
}

/// The encoded form of a value. Lists hold only scalars, so that no input nests deeply.
#[derive(serde::Serialize, serde::Deserialize)]
enum WireValue {
    One(WireScalar),
    List(Vec<WireScalar>),
}

impl From<&Scalar> for WireScalar {
    fn from(scalar: &Scalar) -> Self {
        match scalar {
            Scalar::Bool(value) => Self::Bool(*value),
            Scalar::UInt(value) => Self::UInt(*value),
            Scalar::Int(value) => Self::Int(*value),
            Scalar::Float(value) => Self::Float(*value),
            Scalar::Text(value) => Self::Text(value.clone()),
            Scalar::Metric(value) => Self::Metric(value.to_string()),
        }
    }
}

impl WireScalar {
    fn scalar(self) -> Result<Scalar, String> {
        Ok(match self {
            Self::Bool(value) => Scalar::Bool(value),
            Self::UInt(value) => Scalar::UInt(value),
            Self::Int(value) => Scalar::Int(value),
            Self::Float(value) => Scalar::Float(value),
            Self::Text(value) => Scalar::Text(value),
            Self::Metric(name) => {
                let metric: Metric = name.parse().map_err(|_| "unknown metric".to_owned())?;
                // Only the canonical name is accepted, so that a file that is read is written again
                // byte for byte.
                if metric.to_string() != name {
                    return Err("the name of a metric is not in its canonical form".to_owned());
                }
                Scalar::Metric(metric)
            }
        })
    }
}

/// Encodes fields.
///
/// # Errors
/// The number of encoded bytes, if it is more than [`MAX_META`].
///
/// # Panics
/// Never, since values of these types can always be encoded.
pub fn to_bytes(fields: &Fields) -> Result<Vec<u8>, usize> {
    let list: Vec<(&str, WireValue)> = fields
        .iter()
        .map(|(name, value)| match value {
            Value::One(scalar) => (name, WireValue::One(scalar.into())),
            Value::List(scalars) => (name, WireValue::List(scalars.iter().map(WireScalar::from).collect())),
        })
        .collect();
    let bytes = bincode::serde::encode_to_vec(&list, config()).expect("plain values can always be encoded");
    if bytes.len() > MAX_META { Err(bytes.len()) } else { Ok(bytes) }
}

/// Decodes fields, which must take up all of `bytes`. `tag` is the tag of the node in errors.
///
/// ```
/// use ivf_core::field::Fields;
/// use ivf_core::wire::meta::{from_bytes, to_bytes};
/// let mut fields = Fields::new();
/// fields.set("dim", 8_u64);
/// let bytes = to_bytes(&fields).map_err(|len| format!("{len} bytes are too many"))?;
/// assert_eq!(from_bytes("flat", &bytes)?, fields);
/// assert!(from_bytes("flat", &bytes[..bytes.len() - 1]).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`DecodeError::Meta`] if the bytes are too few or too many, or hold an unknown variant. Also if
/// a name is too long, occurs twice, or has control characters.
pub fn from_bytes(tag: &str, bytes: &[u8]) -> Result<Fields, DecodeError> {
    let fault = |why: String| DecodeError::Meta { tag: tag.to_owned(), why };
    let decoded: Result<(Vec<(String, WireValue)>, usize), _> = bincode::serde::decode_from_slice(bytes, config());
    let (list, used) = decoded.map_err(|error| fault(error.to_string()))?;
    if used != bytes.len() {
        return Err(fault(format!("{} bytes are left over", bytes.len() - used)));
    }
    let mut fields = Fields::new();
    let mut names = std::collections::HashSet::new();
    for (name, value) in list {
        if name.len() > MAX_FIELD_NAME || name.chars().any(char::is_control) {
            return Err(fault(format!("a field name has more than {MAX_FIELD_NAME} bytes, or control characters")));
        }
        let value = match value {
            WireValue::One(scalar) => Value::One(scalar.scalar().map_err(&fault)?),
            WireValue::List(scalars) => {
                Value::List(scalars.into_iter().map(WireScalar::scalar).collect::<Result<_, _>>().map_err(&fault)?)
            }
        };
        if !names.insert(name.clone()) {
            return Err(fault(format!("two fields are named '{name}'")));
        }
        fields.push(name, value);
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Fields {
        let mut fields = Fields::new();
        fields.set("n", 1_u64);
        fields.set("m", Metric::Lp(3.0));
        fields.set("list", vec!["a", "b"]);
        fields.set("x", -0.5_f32);
        fields.set("is", true);
        fields.set("i", -7_i64);
        fields
    }

    #[test]
    fn fields_come_back_and_no_other_bytes_pass() {
        let bytes = to_bytes(&sample()).unwrap();
        // Count 6, name "n", One, UInt, 1.
        assert_eq!(
            bytes[..25],
            [&[6, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, b'n'][..], &[0; 4], &[1, 0, 0, 0]].concat()
        );
        assert_eq!(from_bytes("t", &bytes).unwrap(), sample());
        for cut in 0..bytes.len() {
            assert!(from_bytes("t", &bytes[..cut]).is_err());
        }
        assert!(from_bytes("t", &[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn a_length_beyond_the_bytes_takes_no_memory() {
        let mut bytes = vec![0xff; 8];
        bytes.extend([0; 16]);
        assert!(from_bytes("t", &bytes).is_err());
        let mut fields = Fields::new();
        fields.set("long", "x".repeat(MAX_META));
        assert!(to_bytes(&fields).is_err());
    }

    #[test]
    fn a_metric_has_one_spelling_and_a_name_one_field() {
        let mut fields = Fields::new();
        fields.set("m", Metric::L2);
        let mut bytes = to_bytes(&fields).unwrap();
        let last = bytes.len() - 2;
        bytes[last] = b'L';
        assert!(from_bytes("t", &bytes).is_err());
        let mut fields = Fields::new();
        fields.set("a", 1_u64);
        fields.set("b", 1_u64);
        let mut bytes = to_bytes(&fields).unwrap();
        let second = bytes.iter().position(|&byte| byte == b'b').unwrap();
        bytes[second] = b'a';
        assert!(from_bytes("t", &bytes).unwrap_err().to_string().contains("two fields are named 'a'"));
    }
}
