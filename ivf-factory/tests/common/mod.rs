//! Kinds that can be named and nothing more, and trees of them.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use ivf_core::error::{BuildError, DecodeError, TrainError};
use ivf_core::node::StoredNode;
use ivf_core::params::TrainOptions;
use ivf_core::quantizer::Level1Quantizer;
use ivf_core::registry::{CodecRow, Parsed, QuantizerRow, Side, TokenError, TransformRow, WrapperRow, WrapperSpec};
use ivf_core::rows::{AnyRows, Rows};
use ivf_core::transform::{Transform, TransformSpec};
use ivf_core::{Codec, CodecSpec, Index, Metric, QuantizerSpec, Registry, TrainReport};
use ivf_factory::Spec;
use proptest::prelude::*;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A kind that is only a name.
#[derive(Clone, Debug)]
pub struct Named(pub String);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Named {
    fn build_error(&self) -> BuildError {
        BuildError::Dim { kind: self.0.clone(), dim: 0, why: "it is only a name".to_owned() }
    }

    fn train_error(&self) -> TrainError {
        TrainError::Unsupported { kind: self.0.clone(), what: "training".to_owned() }
    }
}

impl CodecSpec for Named {
    fn check(&self, _: usize, _: Metric) -> Result<(), BuildError> {
        Err(self.build_error())
    }
    fn by_residual(&self) -> bool {
        false
    }
    fn training_points(&self, _options: &TrainOptions<'_>) -> usize {
        0
    }
    fn training_memory(&self, _: usize, _: usize, _: &TrainOptions<'_>) -> usize {
        0
    }
    fn code_size(&self, _: usize) -> usize {
        0
    }
    fn train(
        &self,
        _: Rows<'_, f32>,
        _: Metric,
        _: &TrainOptions<'_>,
    ) -> Result<(Arc<dyn Codec>, TrainReport), TrainError> {
        Err(self.train_error())
    }
}

impl QuantizerSpec for Named {
    fn nlist(&self) -> usize {
        1
    }
    fn check(&self, _: usize, _: Metric) -> Result<(), BuildError> {
        Err(self.build_error())
    }
    fn training_points(&self, _: &TrainOptions<'_>) -> usize {
        0
    }
    fn training_memory(&self, _: usize, _: Metric, _: usize, _: &TrainOptions<'_>) -> usize {
        0
    }
    fn train(
        &self,
        _: AnyRows<'_>,
        _: Metric,
        _: &TrainOptions<'_>,
    ) -> Result<(Arc<dyn Level1Quantizer>, TrainReport), TrainError> {
        Err(self.train_error())
    }
}

impl TransformSpec for Named {
    fn dim_out(&self, dim: usize) -> Result<usize, BuildError> {
        Ok(dim)
    }
    fn training_points(&self) -> usize {
        0
    }
    fn train(&self, _: AnyRows<'_>, _: &TrainOptions<'_>) -> Result<(Arc<dyn Transform>, TrainReport), TrainError> {
        Err(self.train_error())
    }
}

impl WrapperSpec for Named {
    fn wrap(&self, _: Box<dyn Index>) -> Result<Box<dyn Index>, BuildError> {
        Err(self.build_error())
    }
}

fn unreadable<T>(node: &StoredNode) -> Result<T, DecodeError> {
    Err(DecodeError::value(&node.tag, "it is only a name"))
}

/// A token that is a word.
fn word(token: &str, word: &str) -> Own {
    (token == word).then(|| Ok(Arc::new(Named(word.to_owned()))))
}

/// `n` as a number of `range`, or the fault at its place in the token.
fn number(token: &str, n: &str, range: Range<u64>, what: &str) -> Result<u64, TokenError> {
    let start = n.as_ptr() as usize - token.as_ptr() as usize;
    let fault = |what: String| TokenError::new(start..start + n.len(), what);
    let number = n.parse().map_err(|_| fault(format!("'{n}' is too large")))?;
    if range.contains(&number) { Ok(number) } else { Err(fault(what.to_owned())) }
}

/// The digits at the start of a string, and the rest.
fn digits(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// `IVF<n>[k|M]`
fn ivf(token: &str) -> Own {
    let (n, unit) = digits(token.strip_prefix("IVF")?)?;
    let unit = match unit {
        "" => 1,
        "k" => 1024,
        "M" => 1024 * 1024,
        _ => {
            let span = token.len() - unit.len()..token.len();
            return Some(Err(TokenError::new(span, "after the number of lists comes one of k, M or nothing")));
        }
    };
    let n = number(token, n, 1..1 << 32, "there must be 1 to 2^32 - 1 lists");
    Some(n.map(|n| Arc::new(Named(format!("IVF{}", n * unit)))))
}

/// `PQ<M>[x<bits>]`
fn pq(token: &str) -> Own {
    let (m, rest) = digits(token.strip_prefix("PQ")?)?;
    let bits =
        if rest.is_empty() { "8" } else { digits(rest.strip_prefix('x')?).filter(|(_, rest)| rest.is_empty())?.0 };
    let m = number(token, m, 1..1 << 16, "there must be 1 to 65535 parts");
    Some(m.and_then(|m| match bits {
        "8" => Ok(Arc::new(Named(format!("PQ{m}")))),
        _ => number(token, bits, 1..25, "a part has 1 to 24 bits").map(|bits| Arc::new(Named(format!("PQ{m}x{bits}")))),
    }))
}

/// What a toy parser answers.
type Own = Option<Result<Arc<Named>, TokenError>>;

macro_rules! widen {
    ($parse:expr) => {
        |token| {
            let own: Own = $parse(token);
            own.map(|spec| spec.map(|spec| spec as Arc<_>))
        }
    };
}

const CODECS: &[CodecRow] = &[
    CodecRow::new("flat", "Flat", "vectors", &["Flat"], widen!(|t| word(t, "Flat")), unreadable),
    CodecRow::new("pq", "PQ<M>[x<bits>]", "products", &["PQ8", "PQ8x4"], widen!(pq), unreadable),
];
const QUANTIZERS: &[QuantizerRow] =
    &[QuantizerRow::new("ivf", "IVF<n>[k|M]", "lists", &["IVF16", "IVF4096"], widen!(ivf), |node, _| unreadable(node))];
const TRANSFORMS: &[TransformRow] = &[
    TransformRow::new("l2norm", "L2norm", "unit length", &["L2norm"], widen!(|t| word(t, "L2norm")), unreadable),
    TransformRow::new("rr", "RR", "rotation", &["RR"], widen!(|t| word(t, "RR")), unreadable),
];

macro_rules! wrapper {
    ($token:literal, $level:literal, $side:ident) => {
        WrapperRow::new($token, $token, "", &[$token], $level, Side::$side, widen!(|t| word(t, $token)), |node, _| {
            unreadable(node)
        })
    };
}
const WRAPPERS: &[WrapperRow] = &[wrapper!("IDMap", 1, Both), wrapper!("IDMap2", 0, Both), wrapper!("RFlat", 2, After)];
/// Wrappers of equal levels on both sides, which Faiss does not have and a user's registry may.
const TIED: &[WrapperRow] = &[wrapper!("Tie", 2, Both), wrapper!("Knot", 2, Both), wrapper!("Bow", 2, After)];

/// A registry with the tokens of the library's own and a few more.
pub fn toy_registry() -> Registry {
    Registry::new().with_codecs(CODECS).with_quantizers(QUANTIZERS).with_transforms(TRANSFORMS).with_wrappers(WRAPPERS)
}

/// The toy registry and wrappers of equal levels.
pub fn tied_registry() -> Registry {
    toy_registry().with_wrappers(TIED)
}

fn parsed<T: ?Sized>(parsed: Parsed<T>) -> Arc<T> {
    parsed.expect("a sample is its row's own").unwrap_or_else(|error| panic!("a sample is right: {error:?}"))
}

/// Trees of a registry's samples.
pub fn specs(registry: &Registry) -> impl Strategy<Value = Spec> + use<> {
    let codecs: Vec<Arc<dyn CodecSpec>> =
        registry.codecs().iter().flat_map(|row| row.samples.iter().map(|s| parsed((row.parse)(s)))).collect();
    let quantizers: Vec<Arc<dyn QuantizerSpec>> =
        registry.quantizers().iter().flat_map(|row| row.samples.iter().map(|s| parsed((row.parse)(s)))).collect();
    let transforms: Vec<Arc<dyn TransformSpec>> =
        registry.transforms().iter().flat_map(|row| row.samples.iter().map(|s| parsed((row.parse)(s)))).collect();
    let wrappers: Vec<(Arc<dyn WrapperSpec>, u8, Side)> = registry
        .wrappers()
        .iter()
        .flat_map(|row| row.samples.iter().map(|s| (parsed((row.parse)(s)), row.level, row.side)))
        .collect();
    let codec = prop::sample::select(codecs);
    let base = prop_oneof![
        codec.clone().prop_map(Spec::Codes),
        (prop::sample::select(quantizers), codec).prop_map(|(quantizer, codec)| Spec::Ivf { quantizer, codec }),
    ];
    base.prop_recursive(8, 9, 1, move |inner| {
        let transform = (prop::sample::select(transforms.clone()), inner.clone())
            .prop_map(|(transform, inner)| Spec::Transformed { transform, inner: Box::new(inner) });
        let wrapped = (prop::sample::select(wrappers.clone()), inner)
            .prop_map(|((wrapper, level, side), inner)| Spec::Wrapped { wrapper, level, side, inner: Box::new(inner) });
        prop_oneof![1 => transform, 3 => wrapped]
    })
}

/// The tree with a pair of parentheses a level: `RFlat(L2norm(IVF4,Flat))`.
pub fn nested(spec: &Spec) -> String {
    match spec {
        Spec::Codes(codec) => codec.to_string(),
        Spec::Ivf { quantizer, codec } => format!("{quantizer},{codec}"),
        Spec::Transformed { transform, inner } => format!("{transform}({})", nested(inner)),
        Spec::Wrapped { wrapper, inner, .. } => format!("{wrapper}({})", nested(inner)),
    }
}

/// Strings made of what factory strings are made of, mostly wrong.
pub fn scraps() -> impl Strategy<Value = String> {
    let scraps = [
        ",",
        ",",
        ",",
        ",",
        "(",
        ")",
        "IVF16",
        "IVF0",
        "Flat",
        "PQ8",
        "PQ8x99",
        "RFlat",
        "IDMap",
        "IDMap2",
        "L2norm",
        "ivf4k",
        " ",
        "\t",
        "\u{e4}",
        "\u{1f980}",
        "\u{301}",
        "\0",
        "falt",
        "x",
    ];
    prop::collection::vec(prop::sample::select(scraps.to_vec()), 0..12).prop_map(|scraps| scraps.concat())
}
