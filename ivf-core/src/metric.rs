//! Metrics: distances and similarities of vectors.

use crate::names::is_same;
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
/// accepts the names of the variants, with Faiss's prefix `METRIC_` or without it.
///
/// ```
/// use ivf_core::Metric;
/// assert_eq!("Cosine".parse(), Ok(Metric::Cosine));
/// assert_eq!("inner_product".parse(), Ok(Metric::InnerProduct));
/// assert_eq!(Metric::Lp(3.0).to_string(), "lp:3");
/// // Inside the library, -5 is closer than -4. The caller sees 5, which is more similar than 4.
/// assert!(Metric::InnerProduct.is_similarity() && !Metric::L2.is_similarity());
/// assert_eq!(Metric::InnerProduct.to_user_distance(-5.0), 5.0);
/// assert_eq!(Metric::L2.to_user_distance(5.0), 5.0);
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
pub struct UnknownMetric(pub String);

impl fmt::Display for UnknownMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(name) = self;
        if let Some(p) = power(name).filter(|p| p.parse::<f32>().is_ok()) {
            return write!(f, "metric '{name}': p must be above 0 and finite, not {p}");
        }
        write!(f, "unknown metric '{name}'{}; expected one of {}", meant(name), Metric::NAMES.join(", "))
    }
}

/// Returns the text of the power in `lp:3`.
fn power(name: &str) -> Option<&str> {
    name.split_once(':').filter(|(head, _)| is_name(head, "lp")).map(|(_, p)| p)
}

/// The metrics without an argument, by their names in lower case.
const PLAIN: &[(&str, Metric)] = &[
    ("l2", Metric::L2),
    ("ip", Metric::InnerProduct),
    ("innerproduct", Metric::InnerProduct),
    ("cosine", Metric::Cosine),
    ("l1", Metric::L1),
    ("linf", Metric::Linf),
    ("canberra", Metric::Canberra),
    ("braycurtis", Metric::BrayCurtis),
    ("jensenshannon", Metric::JensenShannon),
    ("jaccard", Metric::Jaccard),
];

/// Names of other libraries that this one does not take, because the distances differ or the name
/// is ambiguous, and what they may mean.
const FOREIGN: &[(&str, &str)] = &[
    ("euclidean", "l2, the squared distance, gives the same results"),
    ("sqeuclidean", "l2 is the squared distance"),
    ("angular", "cosine gives the same results"),
    ("cosinesimilarity", "cosine is the similarity"),
    ("dot", "ip is the inner product"),
    ("dotproduct", "ip is the inner product"),
    ("manhattan", "l1 is the sum of differences"),
    ("cityblock", "l1 is the sum of differences"),
    ("chebyshev", "linf is the greatest difference"),
    ("minkowski", "lp:<p> is the sum of powers"),
    ("lp", "the power follows a colon: lp:3"),
];

/// Returns a hint at the metric that a foreign name may mean.
fn meant(name: &str) -> String {
    let hint = FOREIGN.iter().find(|(foreign, _)| is_name(name, foreign));
    hint.map(|(_, hint)| format!(" ({hint})")).unwrap_or_default()
}

/// Returns whether `text` is `name`, in any case and with or without Faiss's prefix `METRIC_`.
fn is_name(text: &str, name: &str) -> bool {
    const PREFIX: &str = "metric";
    let bare = text.split_at_checked(PREFIX.len()).filter(|(head, _)| head.eq_ignore_ascii_case(PREFIX));
    is_same(text, name) || bare.is_some_and(|(_, rest)| is_same(rest, name))
}

impl FromStr for Metric {
    type Err = UnknownMetric;

    fn from_str(name: &str) -> Result<Self, UnknownMetric> {
        let unknown = || UnknownMetric(name.chars().take(60).flat_map(char::escape_debug).collect());
        let known = PLAIN.iter().find(|(known, _)| is_name(name, known)).map(|&(_, metric)| metric);
        let lp = || power(name)?.parse().ok().filter(|p: &f32| p.is_finite() && *p > 0.0).map(Self::Lp);
        known.or_else(lp).ok_or_else(unknown)
    }
}

/// Serializes a metric as its name.
impl Serialize for Metric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Deserializes a metric from its name. The map `{"Lp": 3.0}`, which an earlier version wrote, is
/// also accepted.
impl<'de> Deserialize<'de> for Metric {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl<'de> de::Visitor<'de> for Name {
            type Value = Metric;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a metric")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Metric, E> {
                name.parse().map_err(E::custom)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Metric, A::Error> {
                let Some((name, p)) = map.next_entry::<String, f32>()? else {
                    return Err(de::Error::invalid_type(de::Unexpected::Map, &self));
                };
                if map.next_key::<String>()?.is_some() {
                    return Err(de::Error::custom("a metric has one name"));
                }
                format!("{name}:{p}").parse().map_err(de::Error::custom)
            }
        }

        // Only a format that describes itself can hold either form.
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(Name)
        } else {
            deserializer.deserialize_str(Name)
        }
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
            ("METRIC_INNER_PRODUCT", Metric::InnerProduct),
            ("METRIC_L2", Metric::L2),
            ("METRIC_Linf", Metric::Linf),
            ("metric_lp:3", Metric::Lp(3.0)),
            ("METRIC_JensenShannon", Metric::JensenShannon),
            ("LP:0.5", Metric::Lp(0.5)),
            ("lp:1e-7", Metric::Lp(1e-7)),
        ] {
            assert_eq!(name.parse(), Ok(metric), "{name}");
            assert_eq!(metric.to_string().parse(), Ok(metric), "{name}");
        }
        for bad in ["", "lp", "lp:", "lp:-1", "lp:0", "lp:NaN", "lp:inf", "lp:1e300", "dot", "METRIC_", "ip:3"] {
            assert!(bad.parse::<Metric>().is_err(), "{bad}");
        }
        for bad in ["lp:-1", "Lp:0", "METRIC_LP:inf", "lp:NaN", "lp:1e300"] {
            let error = bad.parse::<Metric>().unwrap_err().to_string();
            assert!(error.contains("p must be above 0"), "{error}");
        }
        for (foreign, hint) in [("Euclidean", "l2, the squared distance"), ("DOT", "ip is"), ("METRIC_Lp", "lp:3")] {
            let error = foreign.parse::<Metric>().unwrap_err().to_string();
            assert!(error.contains(hint), "{error}");
        }
    }

    #[test]
    fn a_similarity_is_negated_and_never_minus_zero() {
        assert_eq!(Metric::InnerProduct.to_user_distance(-2.0), 2.0);
        assert_eq!(Metric::InnerProduct.to_user_distance(0.0).to_bits(), 0.0_f32.to_bits());
        assert_eq!(Metric::L2.to_user_distance(2.0), 2.0);
    }
}
