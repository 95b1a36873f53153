//! Metrics: distances and similarities of vectors.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;

/// A distance or similarity of two vectors.
///
/// Inside the library, smaller is always closer. A similarity is negated internally and converted
/// back once, in the public API ([`Metric::to_user_distance`]).
///
/// Sums run over the dimensions in order, and each step is one fused multiply-add. A distance is
/// therefore bit-identical on every machine. An entry whose distance is NaN is never a result. NaN
/// arises when an inner product of numbers near `f32::MAX` overflows, or from negative coordinates
/// under a metric of distributions.
///
/// A metric has one canonical name: the one that `Display` prints. It is used in factory calls, on
/// the command line and in config files (serde). Parsing ignores case, `_` and `-`, and also
/// accepts the names of the variants.
///
/// ```
/// use ivf_core::Metric;
/// assert_eq!("Cosine".parse(), Ok(Metric::Cosine));
/// assert_eq!("inner_product".parse(), Ok(Metric::InnerProduct));
/// assert_eq!(Metric::Lp(3.0).to_string(), "lp:3");
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Metric {
    /// Squared Euclidean distance, `sum (x - y)^2`.
    L2,
    /// Inner product, `sum x y`: a similarity, larger is closer.
    InnerProduct,
    /// Cosine similarity: vectors are scaled to unit length on entry, then compared by inner
    /// product. A zero vector has no direction and is an error.
    Cosine,
    /// `sum |x - y|`.
    L1,
    /// `max |x - y|`.
    Linf,
    /// `sum |x - y|^p` (no root, as in Faiss) for a finite `p > 0`.
    Lp(f32),
    /// `sum |x - y| / (|x| + |y|)`; 0 / 0 counts as 0.
    Canberra,
    /// `sum |x - y| / sum |x + y|`; 0 / 0 counts as 0.
    BrayCurtis,
    /// `1/2 sum (x ln (x / m) + y ln (y / m))` with `m = (x + y) / 2`, for distributions. A term
    /// with `x <= 0` counts as 0.
    JensenShannon,
    /// `sum min(x, y) / sum max(x, y)`: a similarity, larger is closer; 0 / 0 counts as 0.
    Jaccard,
}

impl Metric {
    /// The names of all metrics.
    pub const NAMES: &'static [&'static str] =
        &["l2", "ip", "cosine", "l1", "linf", "lp:<p> (p > 0)", "canberra", "braycurtis", "jensenshannon", "jaccard"];

    /// Returns true if larger values of the metric mean nearer vectors.
    pub fn is_similarity(self) -> bool {
        matches!(self, Self::InnerProduct | Self::Cosine | Self::Jaccard)
    }

    /// Converts an internal distance to the caller's value: a similarity is negated. The function
    /// is its own inverse.
    #[inline]
    pub fn to_user_distance(self, distance: f32) -> f32 {
        // `0.0 - x` instead of `-x`, so that the result is never -0.
        if self.is_similarity() { 0.0 - distance } else { distance }
    }
}

/// Writes the name in lower case: `l2`, `ip`, `cosine`, `l1`, `linf`, `lp:3`, `canberra`,
/// `braycurtis`, `jensenshannon`, `jaccard`.
impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::L2 => f.write_str("l2"),
            Self::InnerProduct => f.write_str("ip"),
            Self::Cosine => f.write_str("cosine"),
            Self::L1 => f.write_str("l1"),
            Self::Linf => f.write_str("linf"),
            Self::Lp(p) => write!(f, "lp:{p}"),
            Self::Canberra => f.write_str("canberra"),
            Self::BrayCurtis => f.write_str("braycurtis"),
            Self::JensenShannon => f.write_str("jensenshannon"),
            Self::Jaccard => f.write_str("jaccard"),
        }
    }
}

/// The error for a name that is not that of a metric.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown metric '{0}'; expected one of {names}", names = Metric::NAMES.join(", "))]
pub struct UnknownMetric(pub String);

impl FromStr for Metric {
    type Err = UnknownMetric;

    fn from_str(name: &str) -> Result<Self, UnknownMetric> {
        let unknown = || UnknownMetric(name.chars().take(60).flat_map(char::escape_debug).collect());
        let plain: String = name.chars().filter(|c| !matches!(c, '_' | '-')).collect::<String>().to_ascii_lowercase();
        Ok(match plain.as_str() {
            "l2" => Self::L2,
            "ip" | "innerproduct" => Self::InnerProduct,
            "cosine" => Self::Cosine,
            "l1" => Self::L1,
            "linf" => Self::Linf,
            "canberra" => Self::Canberra,
            "braycurtis" => Self::BrayCurtis,
            "jensenshannon" => Self::JensenShannon,
            "jaccard" => Self::Jaccard,
            _ => {
                let (head, p) = name.split_once(':').ok_or_else(unknown)?;
                let p: f32 = p.parse().map_err(|_| unknown())?;
                if !(head.eq_ignore_ascii_case("lp") && p.is_finite() && p > 0.0) {
                    return Err(unknown());
                }
                Self::Lp(p)
            }
        })
    }
}

/// Serializes a metric as its name.
impl Serialize for Metric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Deserializes a metric from its name.
impl<'de> Deserialize<'de> for Metric {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl de::Visitor<'_> for Name {
            type Value = Metric;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a metric")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Metric, E> {
                name.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        let names = Metric::NAMES.iter().map(|name| if name.starts_with("lp") { "lp:3" } else { name });
        for name in names.chain(["lp:0.5"]) {
            assert_eq!(name.parse::<Metric>().unwrap().to_string(), name);
        }
        for (name, metric) in [
            ("L2", Metric::L2),
            ("InnerProduct", Metric::InnerProduct),
            ("inner-product", Metric::InnerProduct),
            ("Bray_Curtis", Metric::BrayCurtis),
            ("LP:0.5", Metric::Lp(0.5)),
            ("lp:1e-7", Metric::Lp(1e-7)),
        ] {
            assert_eq!(name.parse(), Ok(metric), "{name}");
            assert_eq!(metric.to_string().parse(), Ok(metric), "{name}");
        }
        for bad in ["", "lp", "lp:", "lp:-1", "lp:NaN", "lp:inf", "dot"] {
            assert!(bad.parse::<Metric>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_similarity_is_negated_and_never_minus_zero() {
        assert_eq!(Metric::InnerProduct.to_user_distance(-2.0), 2.0);
        assert_eq!(Metric::InnerProduct.to_user_distance(0.0).to_bits(), 0.0_f32.to_bits());
        assert_eq!(Metric::L2.to_user_distance(2.0), 2.0);
    }
}
