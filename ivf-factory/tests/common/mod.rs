//! Toy kinds that have little more than a name, and trees of them.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use ivf_core::codec::{CodecTraining, Residuals};
use ivf_core::error::{BuildError, DecodeError, TrainError};
use ivf_core::node::StoredNode;
use ivf_core::params::TrainOptions;
use ivf_core::quantizer::Level1Quantizer;
use ivf_core::registry::{
    CodecRow, IndexRow, IndexSpec, Parsed, QuantizerRow, Side, Token, TokenError, TransformRow, WrapperRow, WrapperSpec,
};
use ivf_core::rows::AnyRows;
use ivf_core::transform::{Transform, TransformSpec};
use ivf_core::{Codec, CodecContext, CodecSpec, Index, Metric, QuantizerSpec, Registry, TrainReport};
use ivf_factory::SpecTree;
use proptest::prelude::*;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A toy kind: a name, and optional arguments.
#[derive(Clone, Debug)]
pub struct Named {
    pub name: String,
    /// The dimension must be a multiple of this.
    multiple: usize,
    codec: Option<Arc<dyn CodecSpec>>,
    index: Option<Arc<dyn IndexSpec>>,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Named {
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), multiple: 1, codec: None, index: None }
    }

    fn refuse<T>(&self, dim: usize) -> Result<T, BuildError> {
        Err(BuildError::Dim { kind: self.name.clone(), dim, why: "it is only a name".to_owned() })
    }

    /// Checks a dimension with this kind and its arguments.
    fn check_all(&self, dim: usize, metric: Metric) -> Result<(), BuildError> {
        if let Some(codec) = &self.codec {
            codec.check(&CodecContext::new(dim, metric))?;
        }
        if let Some(index) = &self.index {
            index.build(dim, metric)?;
        }
        if dim.is_multiple_of(self.multiple) { Ok(()) } else { self.refuse(dim) }
    }

    fn train_error(&self) -> TrainError {
        TrainError::Unsupported { kind: self.name.clone(), what: "training".to_owned() }
    }
}

impl CodecSpec for Named {
    fn check(&self, context: &CodecContext) -> Result<(), BuildError> {
        self.check_all(context.dim, context.metric)
    }
    fn residuals(&self) -> Residuals {
        Residuals::Never
    }
    fn training_points(&self, _options: &TrainOptions<'_>) -> usize {
        1
    }
    fn training_memory(&self, _: &CodecContext, _: usize, _: &TrainOptions<'_>) -> usize {
        0
    }
    fn code_size(&self, _: &CodecContext) -> usize {
        0
    }
    fn train(&self, _: &CodecTraining<'_>) -> Result<(Arc<dyn Codec>, TrainReport), TrainError> {
        Err(self.train_error())
    }
}

impl QuantizerSpec for Named {
    fn nlist(&self) -> usize {
        1
    }
    fn check(&self, dim: usize, metric: Metric) -> Result<(), BuildError> {
        self.check_all(dim, metric)
    }
    fn training_points(&self, _: &TrainOptions<'_>) -> usize {
        1
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
    fn dim_out(&self, dim: usize, metric: Metric) -> Result<usize, BuildError> {
        self.check_all(dim, metric).map(|()| dim)
    }
    fn training_points(&self, _: &TrainOptions<'_>) -> usize {
        1
    }
    fn training_memory(&self, _: usize, _: Metric, _: usize, _: &TrainOptions<'_>) -> usize {
        0
    }
    fn train(
        &self,
        _: AnyRows<'_>,
        _: Metric,
        _: &TrainOptions<'_>,
    ) -> Result<(Arc<dyn Transform>, TrainReport), TrainError> {
        Err(self.train_error())
    }
}

impl WrapperSpec for Named {
    fn wrap(&self, inner: Box<dyn Index>) -> Result<Box<dyn Index>, BuildError> {
        self.check_all(inner.dim(), inner.metric()).and_then(|()| self.refuse(inner.dim()))
    }
}

impl IndexSpec for Named {
    fn build(&self, dim: usize, metric: Metric) -> Result<Box<dyn Index>, BuildError> {
        self.check_all(dim, metric).and_then(|()| self.refuse(dim))
    }
}

fn unreadable<T>(node: &StoredNode, _: &Registry) -> Result<T, DecodeError> {
    Err(DecodeError::value(&node.tag, "it is only a name"))
}

/// Parses a token that is a fixed word.
fn word(token: &Token<'_>, word: &str) -> Own {
    (token.plain()? == word).then(|| Ok(Named::new(word)))
}

/// Parses `n` as a number in `range`. The error has the position of `n` in the token.
fn number(token: &str, n: &str, range: Range<u64>, what: &str) -> Result<u64, TokenError> {
    let start = n.as_ptr() as usize - token.as_ptr() as usize;
    let fault = |what: String| TokenError::new(start..start + n.len(), what);
    let number = n.parse().map_err(|_| fault(format!("'{n}' is too large")))?;
    if range.contains(&number) { Ok(number) } else { Err(fault(what.to_owned())) }
}

/// Splits a string after the digits at its start.
fn digits(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// `IVF<n>[k|M]`
fn ivf(token: &Token<'_>, _: &Registry) -> Own {
    let text = token.plain()?;
    let (n, unit) = digits(text.strip_prefix("IVF")?)?;
    let unit = match unit {
        "" => 1,
        "k" => 1024,
        "M" => 1024 * 1024,
        _ if unit.starts_with('_') => return None,
        _ => {
            let span = text.len() - unit.len()..text.len();
            return Some(Err(TokenError::new(span, "after the number of lists comes one of k, M or nothing")));
        }
    };
    let n = number(text, n, 1..1 << 32, "there must be 1 to 2^32 - 1 lists");
    Some(n.map(|n| Named::new(format!("IVF{}", n * unit))))
}

/// `IVF<n>_HNSW<m>`
fn ivf_hnsw(token: &Token<'_>, _: &Registry) -> Own {
    let text = token.plain()?;
    let (n, rest) = digits(text.strip_prefix("IVF")?)?;
    let (m, rest) = digits(rest.strip_prefix("_HNSW")?)?;
    let links = number(text, m, 1..1 << 16, "a node has 1 to 65535 links");
    rest.is_empty().then(|| links.map(|m| Named::new(format!("IVF{n}_HNSW{m}"))))
}

/// `IVF<n>(<index>)`
fn ivf_of(token: &Token<'_>, registry: &Registry) -> Own {
    token.arguments()?;
    let (n, _) = digits(token.name().strip_prefix("IVF")?).filter(|(_, rest)| rest.is_empty())?;
    let index = token.index_argument(registry);
    Some(index.map(|index| Named { index: Some(index.clone()), ..Named::new(format!("IVF{n}({index})")) }))
}

/// `PQ<M>[x<bits>]`
fn pq(token: &Token<'_>, _: &Registry) -> Own {
    let text = token.plain()?;
    let (m, rest) = digits(text.strip_prefix("PQ")?)?;
    let bits =
        if rest.is_empty() { "8" } else { digits(rest.strip_prefix('x')?).filter(|(_, rest)| rest.is_empty())?.0 };
    let m = number(text, m, 1..1 << 16, "there must be 1 to 65535 parts");
    Some(m.and_then(|m| {
        let name = match bits {
            "8" => format!("PQ{m}"),
            _ => format!("PQ{m}x{}", number(text, bits, 1..25, "a part has 1 to 24 bits")?),
        };
        Ok(Named { multiple: m as usize, ..Named::new(name) })
    }))
}

/// `PQ<M>x4fs[r]_<bbs>`
fn fast_scan(token: &Token<'_>, _: &Registry) -> Own {
    let (m, rest) = digits(token.plain()?.strip_prefix("PQ")?)?;
    let rest = rest.strip_prefix("x4fs")?;
    let (r, rest) = rest.strip_prefix('r').map_or(("", rest), |rest| ("r", rest));
    let (bbs, rest) = digits(rest.strip_prefix('_')?)?;
    rest.is_empty().then(|| Ok(Named::new(format!("PQ{m}x4fs{r}_{bbs}"))))
}

/// `OPQ<M>_<d>`
fn opq(token: &Token<'_>, _: &Registry) -> Own {
    let (m, rest) = digits(token.plain()?.strip_prefix("OPQ")?)?;
    let (d, rest) = digits(rest.strip_prefix('_')?)?;
    rest.is_empty().then(|| Ok(Named::new(format!("OPQ{m}_{d}"))))
}

/// `Sign(<codec>)` and `Refine(<codec>)`
fn of_codec(token: &Token<'_>, registry: &Registry, name: &str) -> Own {
    (token.name() == name).then(|| {
        let codec = token.codec_argument(registry)?;
        Ok(Named { codec: Some(codec.clone()), ..Named::new(format!("{name}({codec})")) })
    })
}

/// `HNSW<m>` and a codec
fn hnsw(token: &Token<'_>, _: &Registry) -> Own {
    let text = token.plain()?;
    let (m, _) = digits(text.strip_prefix("HNSW")?).filter(|(_, rest)| rest.is_empty())?;
    let codec = token.codec().map_or(String::new(), |codec| format!(",{codec}"));
    let m = number(text, m, 1..1 << 16, "a node has 1 to 65535 links");
    Some(m.map(|m| Named { codec: token.codec().cloned(), ..Named::new(format!("HNSW{m}{codec}")) }))
}

/// `Sorted<n>` after a coarse quantizer
fn sorted(token: &Token<'_>, _: &Registry) -> Own {
    let text = token.plain()?;
    let (n, _) = digits(text.strip_prefix("Sorted")?).filter(|(_, rest)| rest.is_empty())?;
    let n = number(text, n, 1..9, "there are 1 to 8 orders");
    Some(n.and_then(|n| match token.quantizer() {
        Some(quantizer) => Ok(Named::new(format!("{quantizer},Sorted{n}"))),
        None => Err(TokenError::new(0..text.len(), "a coarse quantizer must stand before it")),
    }))
}

/// Result of a toy parser.
type Own = Option<Result<Named, TokenError>>;

macro_rules! widen {
    ($parse:expr) => {
        |token, registry| {
            let own: Own = $parse(token, registry);
            own.map(|spec| spec.map(|spec| Arc::new(spec) as Arc<_>))
        }
    };
}

const CODECS: &[CodecRow] = &[
    CodecRow::new("flat", "Flat", widen!(|t, _| word(t, "Flat")), unreadable).samples(&["Flat"]),
    CodecRow::new("pq", "PQ<M>[x<bits>]", widen!(pq), unreadable).samples(&["PQ8", "PQ8x4"]),
    CodecRow::new("pqfs", "PQ<M>x4fs[r]_<bbs>", widen!(fast_scan), unreadable).samples(&["PQ16x4fsr_64", "PQ8x4fs_32"]),
    CodecRow::new("sign", "Sign(<codec>)", widen!(|t, r| of_codec(t, r, "Sign")), unreadable)
        .samples(&["Sign(PQ8)", "Sign(Sign(Flat))"]),
];
const QUANTIZERS: &[QuantizerRow] = &[
    QuantizerRow::new("ivf", "IVF<n>[k|M]", widen!(ivf), unreadable).samples(&["IVF16", "IVF4096"]),
    QuantizerRow::new("ivfhnsw", "IVF<n>_HNSW<m>", widen!(ivf_hnsw), unreadable).samples(&["IVF65536_HNSW32"]),
    QuantizerRow::new("ivfof", "IVF<n>(<index>)", widen!(ivf_of), unreadable)
        .samples(&["IVF64(IVF16,Flat)", "IVF64(IDMap,IVF16(HNSW8,PQ8),Flat,RFlat)"]),
];
const INDEXES: &[IndexRow] = &[
    IndexRow::new("hnsw", "HNSW<m>", widen!(hnsw), unreadable).takes_codec(true).samples(&["HNSW32"]),
    IndexRow::new("sorted", "Sorted<n>", widen!(sorted), unreadable).takes_quantizer(true).samples(&["Sorted8"]),
    IndexRow::new("graph", "Graph", widen!(|t, _| word(t, "Graph")), unreadable).samples(&["Graph"]),
    IndexRow::without_token("hidden", unreadable),
];
const TRANSFORMS: &[TransformRow] = &[
    TransformRow::new("l2norm", "L2norm", widen!(|t, _| word(t, "L2norm")), unreadable).samples(&["L2norm"]),
    TransformRow::new("rr", "RR", widen!(|t, _| word(t, "RR")), unreadable).samples(&["RR"]),
    TransformRow::new("opq", "OPQ<M>_<d>", widen!(opq), unreadable).samples(&["OPQ16_64"]),
];

macro_rules! wrapper {
    ($token:literal, $level:literal, $side:ident) => {
        WrapperRow::new($token, $token, widen!(|t, _| word(t, $token)), unreadable)
            .samples(&[$token])
            .level($level)
            .side(Side::$side)
    };
}
const WRAPPERS: &[WrapperRow] = &[
    wrapper!("IDMap", 1, Both),
    wrapper!("IDMap2", 0, Both),
    wrapper!("RFlat", 2, After),
    WrapperRow::new("refine", "Refine(<codec>)", widen!(|t, r| of_codec(t, r, "Refine")), unreadable)
        .samples(&["Refine(PQ8)", "Refine(Sign(PQ8x4))"])
        .level(2)
        .side(Side::After),
];
/// Wrappers of equal levels on both sides. Faiss has none, but a user's registry may.
const TIED: &[WrapperRow] = &[wrapper!("Tie", 2, Both), wrapper!("Knot", 2, Both), wrapper!("Bow", 2, After)];

/// Wrappers of many levels: each needs parentheses inside the next.
const LAYERS: &[WrapperRow] = &[wrapper!("Skin", 3, After), wrapper!("Coat", 4, After), wrapper!("Roof", 5, After)];

/// Returns a registry with the tokens of the library and a few more.
pub fn toy_registry() -> Registry {
    Registry::new()
        .with_codecs(CODECS)
        .with_quantizers(QUANTIZERS)
        .with_indexes(INDEXES)
        .with_transforms(TRANSFORMS)
        .with_wrappers(WRAPPERS)
        .with_index_parser(ivf_factory::parse_index)
}

/// Returns the toy registry with wrappers of equal levels.
pub fn tied_registry() -> Registry {
    toy_registry().with_wrappers(TIED)
}

/// Returns the toy registry with wrappers of more levels.
pub fn layered_registry() -> Registry {
    toy_registry().with_wrappers(LAYERS)
}

fn parsed<T: ?Sized>(parsed: Parsed<T>) -> Arc<T> {
    parsed.expect("a row accepts its own samples").unwrap_or_else(|error| panic!("a sample is valid: {error:?}"))
}

/// Parses the samples of rows.
macro_rules! samples {
    ($registry:expr, $rows:ident) => {
        $registry.$rows().iter().flat_map(|row| {
            row.samples.iter().map(move |sample| (row, parsed((row.parse)(&Token::new(sample).unwrap(), $registry))))
        })
    };
}

/// Returns a strategy for trees of a registry's samples.
pub fn specs(registry: &Registry) -> BoxedStrategy<SpecTree> {
    let codecs: Vec<Arc<dyn CodecSpec>> = samples!(registry, codecs).map(|(_, spec)| spec).collect();
    let quantizers: Vec<Arc<dyn QuantizerSpec>> = samples!(registry, quantizers).map(|(_, spec)| spec).collect();
    let transforms: Vec<Arc<dyn TransformSpec>> = samples!(registry, transforms).map(|(_, spec)| spec).collect();
    let wrappers: Vec<(Arc<dyn WrapperSpec>, u8, Side)> =
        samples!(registry, wrappers).map(|(row, spec)| (spec, row.level, row.side)).collect();
    let with_codec = |row: &IndexRow, sample: &'static str, codec: Option<&Arc<dyn CodecSpec>>| {
        let token = Token::new(sample).unwrap().with_codec(codec.cloned());
        parsed((row.parse)(&token, registry))
    };
    let of_quantizer = |row: &IndexRow, quantizer: &Arc<dyn QuantizerSpec>| {
        parsed((row.parse)(&Token::new(row.samples[0]).unwrap().with_quantizer(Some(quantizer.clone())), registry))
    };
    let mut indexes: Vec<Arc<dyn IndexSpec>> = Vec::new();
    for row in registry.indexes() {
        if row.takes_quantizer {
            indexes.extend(quantizers.iter().map(|quantizer| of_quantizer(row, quantizer)));
        } else {
            // The codec of a sample is parsed by a row of its own.
            indexes.extend(row.samples.iter().map(|sample| match sample.split_once(',') {
                Some((name, codec)) if row.takes_codec => {
                    with_codec(row, name, Some(&parsed(registry.parse_codec(&Token::new(codec).unwrap()))))
                }
                _ => with_codec(row, sample, None),
            }));
        }
    }
    for row in registry.indexes().iter().filter(|row| row.takes_codec) {
        indexes.extend(codecs.iter().map(|codec| with_codec(row, row.samples[0], Some(codec))));
    }
    let codec = prop::sample::select(codecs);
    let ivf = (prop::sample::select(quantizers), codec.clone())
        .prop_map(|(quantizer, codec)| SpecTree::Ivf { quantizer, codec });
    let base = prop_oneof![codec.prop_map(SpecTree::Codes), ivf].boxed();
    let base = if indexes.is_empty() {
        base
    } else {
        prop_oneof![2 => base, 1 => prop::sample::select(indexes).prop_map(SpecTree::Index)].boxed()
    };
    base.prop_recursive(8, 9, 1, move |inner| {
        let transform = (prop::sample::select(transforms.clone()), inner.clone())
            .prop_map(|(transform, inner)| SpecTree::Transformed { transform, inner: Box::new(inner) });
        let wrapped = (prop::sample::select(wrappers.clone()), inner).prop_map(|((wrapper, level, side), inner)| {
            SpecTree::Wrapped { wrapper, level, side, inner: Box::new(inner) }
        });
        prop_oneof![1 => transform, 3 => wrapped]
    })
    .boxed()
}

/// Returns a strategy for trees of the toy registry whose arguments are trees again.
pub fn specs_in_arguments() -> BoxedStrategy<SpecTree> {
    let codec = prop::sample::select(vec!["Flat", "PQ8", "Sign(PQ8)"]).prop_map(str::to_owned);
    let codec = codec.prop_recursive(4, 4, 1, |inner| inner.prop_map(|inner| format!("Sign({inner})")));
    let named = |name: String| Arc::new(Named::new(name));
    specs(&toy_registry())
        .prop_recursive(5, 16, 1, move |inner| {
            let quantizer = inner.clone().prop_map(move |inner| named(format!("IVF64({inner})")));
            let ivf = (quantizer, codec.clone())
                .prop_map(move |(quantizer, codec)| SpecTree::Ivf { quantizer, codec: named(codec) });
            let refined = (inner, codec.clone()).prop_map(move |(inner, codec)| SpecTree::Wrapped {
                wrapper: named(format!("Refine({codec})")),
                level: 2,
                side: Side::After,
                inner: Box::new(inner),
            });
            prop_oneof![2 => ivf, 1 => refined]
        })
        .boxed()
}

/// Returns the tree with a pair of parentheses per level: `RFlat(L2norm(IVF4,Flat))`.
pub fn nested(spec: &SpecTree) -> String {
    match spec {
        SpecTree::Codes(codec) => codec.to_string(),
        SpecTree::Ivf { quantizer, codec } => format!("{quantizer},{codec}"),
        SpecTree::Index(index) => index.to_string(),
        SpecTree::Transformed { transform, inner } => format!("{transform}({})", nested(inner)),
        SpecTree::Wrapped { wrapper, inner, .. } => format!("{wrapper}({})", nested(inner)),
        other => panic!("a new shape: {other:?}"),
    }
}

/// Returns a strategy for strings made of parts of factory strings, mostly invalid.
pub fn scraps() -> impl Strategy<Value = String> {
    let scraps = [
        ",",
        ",",
        ",",
        ",",
        "(",
        ")",
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
        "HNSW32",
        "Sign(",
        "IVF64(",
        "Refine(PQ8)",
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
