//! Reading of search parameters from config files.

use super::{SearchParam, SearchParams};
use crate::param::KnobValue;
use serde::de::{self, Deserialize, Deserializer};
use std::collections::BTreeSet;
use std::fmt;

/// Deserializes a map of names and values. A value of a field must be in its range; only the index
/// knows the ranges of the other names. `null` means that a parameter is not set.
impl<'de> Deserialize<'de> for SearchParams<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = SearchParams<'static>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of search parameters")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut params, mut seen) = (SearchParams::new(), BTreeSet::new());
                while let Some((name, value)) = map.next_entry::<String, Option<KnobValue>>()? {
                    let field = SearchParam::of_name(&name);
                    if !seen.insert(field.map_or_else(|| name.clone(), |field| field.name().to_owned())) {
                        return Err(de::Error::custom(format!("the parameter '{name}' is given twice")));
                    }
                    let Some(value) = value else { continue };
                    if let Some(range) = field.and_then(|field| field.range()) {
                        range.check(&name, &value).map_err(de::Error::custom)?;
                    }
                    params = params.set(&name, value);
                }
                Ok(params)
            }
        }

        deserializer.deserialize_map(Visitor)
    }
}
