//! Fields as version 1 of the index file stored them.

use super::Reader;
use crate::error::DecodeError;
use crate::field::{Field, FieldType, Fields, Presence, Schema, Value};
use crate::metric::Metric;

/// Decodes fields as version 1 of the index file stored them: in the order of the schema, without
/// names, and with integers of fixed size.
///
/// ```
/// use ivf_core::field::{Field, FieldType};
/// use ivf_core::wire::{Writer, decode_version_1};
/// let mut writer = Writer::new();
/// writer.u64(8); // the dimension
/// writer.u32(1); // the number of a metric
/// let schema = [Field::new("dim", FieldType::UInt), Field::new("metric", FieldType::Metric)];
/// let fields = decode_version_1("flat", &writer.into_bytes(), &schema)?;
/// assert_eq!(fields.value("metric"), Some(&ivf_core::Metric::InnerProduct.into()));
/// # Ok::<(), ivf_core::error::DecodeError>(())
/// ```
///
/// # Errors
/// [`DecodeError::Meta`] if the bytes do not decode.
pub fn decode_version_1(tag: &str, bytes: &[u8], schema: &Schema) -> Result<Fields, DecodeError> {
    let all = || -> Result<Fields, DecodeError> {
        let mut reader = Reader::new("the fields", bytes);
        let mut fields = Fields::new();
        let of = |presence| schema.iter().filter(move |field: &&Field| field.presence == presence);
        for field in of(Presence::Always) {
            fields.set(field.name, decode(field.kind, &mut reader)?);
        }
        if of(Presence::Group).next().is_some() && flag(&mut reader)? {
            for field in of(Presence::Group) {
                fields.set(field.name, decode(field.kind, &mut reader)?);
            }
        }
        reader.finish()?;
        Ok(fields)
    };
    all().map_err(|error| DecodeError::Meta { tag: tag.to_owned(), why: error.to_string() })
}

fn flag(reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(DecodeError::value("the fields", format!("a flag is {other}, not 0 or 1"))),
    }
}

fn text(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    let len = reader.u64()?;
    let bytes = reader.bytes(usize::try_from(len).unwrap_or(usize::MAX))?;
    String::from_utf8(bytes.to_vec()).map_err(|_| DecodeError::value("the fields", "a string is not UTF-8"))
}

/// The metrics by their numbers in version 1 of the file. Number 5 is [`Metric::Lp`], whose
/// exponent follows it.
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

fn decode(kind: FieldType, reader: &mut Reader<'_>) -> Result<Value, DecodeError> {
    let fault = |what: String| DecodeError::value("the fields", what);
    Ok(match kind {
        FieldType::Bool => flag(reader)?.into(),
        FieldType::UInt => reader.u64()?.into(),
        FieldType::Int => reader.i64()?.into(),
        FieldType::Float => f64::from_bits(reader.u64()?).into(),
        FieldType::Float32 => reader.f32()?.into(),
        FieldType::Text => text(reader)?.into(),
        FieldType::Texts => {
            // A string takes at least 8 bytes, those of its length.
            let count = reader.u64()?;
            if count > (reader.left() / 8) as u64 {
                return Err(fault(format!("a list of {count} strings")));
            }
            (0..count).map(|_| text(reader)).collect::<Result<Vec<String>, _>>()?.into()
        }
        FieldType::Metric => {
            let number = reader.u32()?;
            match METRICS.get(number as usize) {
                Some(Some(metric)) => (*metric).into(),
                Some(None) => Metric::Lp(reader.f32()?).into(),
                None => return Err(fault(format!("unknown metric number {number}"))),
            }
        }
        FieldType::Word(words) => {
            let number = reader.u32()?;
            let word = words.get(number as usize);
            word.map(|word| Value::from(*word)).ok_or_else(|| fault(format!("unknown word number {number}")))?
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::check_fields;
    use crate::field::tests::SCHEMA;

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
}
