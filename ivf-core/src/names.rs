//! Names of values in text, as config files, knobs and the command line hold them.

/// Returns whether two names are the same, up to case, `_`, `-` and spaces: `SkipRow`, `skip_row`
/// and `skip-row` are.
pub(crate) fn is_same(a: &str, b: &str) -> bool {
    fn plain(name: &str) -> impl Iterator<Item = u8> {
        name.bytes().filter(|byte| !matches!(byte, b'_' | b'-' | b' ')).map(|byte| byte.to_ascii_lowercase())
    }
    plain(a).eq(plain(b))
}

/// Makes serde write the values of an enum by name. It reads each name in any case, and other names
/// after `|`, such as Faiss's.
macro_rules! serde_names {
    ($type:ident, $what:literal: $($variant:ident = $name:literal $(| $other:literal)*),+ $(,)?) => {
        /// Serializes the name of the value.
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(match self {
                    $($type::$variant => $name,)+
                })
            }
        }

        /// Deserializes a value from its name, in any case.
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let found = String::deserialize(deserializer)?;
                let known = [$((&[$name $(, $other)*][..], $type::$variant)),+];
                let is = |names: &[&str]| names.iter().any(|name| crate::names::is_same(name, &found));
                known.into_iter().find(|(names, _)| is(names)).map(|(_, value)| value).ok_or_else(|| {
                    let found: String = found.chars().take(60).flat_map(char::escape_debug).collect();
                    serde::de::Error::custom(format!(
                        "unknown {} '{found}'; expected one of {}", $what, [$($name),+].join(", ")
                    ))
                })
            }
        }
    };
}
pub(crate) use serde_names;

#[cfg(test)]
mod tests {
    use super::is_same;

    #[test]
    fn case_and_separators_do_not_matter() {
        for name in ["skip_row", "SkipRow", "SKIP-ROW", "skip row"] {
            assert!(is_same(name, "skip_row"), "{name}");
        }
        assert!(!is_same("skip_rows", "skip_row") && !is_same("", "skip_row"));
    }
}
