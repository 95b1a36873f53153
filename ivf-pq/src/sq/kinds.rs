//! The table of scalar quantizers. A kind is one row of it.

use super::codec::{SqCodec, SqSpec};
use super::numbers::{AnyNumbers, Bits, Halves};
use half::{bf16, f16};
use ivf_core::registry::{CodecRow, Decoded, Parsed, Registry, Token};
use ivf_core::{Codec, CodecSpec, StoredNode};
use std::sync::Arc;

/// A kind of scalar quantizer.
#[derive(Debug)]
pub(super) struct Kind {
    /// The factory token.
    pub(super) token: &'static str,
    /// The tag in files.
    pub(super) tag: &'static str,
    about: &'static str,
    /// How a code holds its numbers.
    pub(super) numbers: &'static dyn AnyNumbers,
    /// A number is a coordinate plus this constant. `None` if training learns the range of each
    /// dimension: its least and largest coordinate.
    pub(super) constant: Option<f32>,
    /// Whether an index encodes residuals by default. Not for numbers that are whole and have a
    /// fixed range: residuals are small fractions, or of another range.
    pub(super) by_residual: bool,
}

/// All kinds. Faiss has the same tokens.
const KINDS: &[Kind; 7] = &[
    Kind {
        token: "SQ4",
        tag: "sq4",
        about: "scalar quantisation: 4 bits for each dimension, between its least and largest value in training",
        numbers: &Bits::<4>,
        constant: None,
        by_residual: true,
    },
    Kind {
        token: "SQ6",
        tag: "sq6",
        about: "the same with 6 bits",
        numbers: &Bits::<6>,
        constant: None,
        by_residual: true,
    },
    Kind {
        token: "SQ8",
        tag: "sq8",
        about: "the same with 8 bits",
        numbers: &Bits::<8>,
        constant: None,
        by_residual: true,
    },
    Kind {
        token: "SQ8_direct",
        tag: "sq8_direct",
        about: "whole numbers from 0 to 255, one byte each; other coordinates are cut to them",
        numbers: &Bits::<8>,
        constant: Some(0.0),
        by_residual: false,
    },
    Kind {
        token: "SQ8_direct_signed",
        tag: "sq8_direct_signed",
        about: "whole numbers from -128 to 127, one byte each; other coordinates are cut to them",
        numbers: &Bits::<8>,
        constant: Some(128.0),
        by_residual: false,
    },
    Kind {
        token: "SQfp16",
        tag: "sq_fp16",
        about: "half-precision floats, 2 bytes for each dimension",
        numbers: &Halves::<f16>::NEW,
        constant: Some(0.0),
        by_residual: true,
    },
    Kind {
        token: "SQbf16",
        tag: "sq_bf16",
        about: "the upper halves of floats, rounded (bfloat16), 2 bytes for each dimension",
        numbers: &Halves::<bf16>::NEW,
        constant: Some(0.0),
        by_residual: true,
    },
];

/// Registry rows of the kinds.
pub(crate) const ROWS: [CodecRow; 7] =
    [row::<0>(), row::<1>(), row::<2>(), row::<3>(), row::<4>(), row::<5>(), row::<6>()];

impl SqSpec {
    /// 4 bits for each dimension, between its least and largest value in training.
    pub const SQ4: Self = Self::new(&KINDS[0]);
    /// 6 bits for each dimension, between its least and largest value in training.
    pub const SQ6: Self = Self::new(&KINDS[1]);
    /// 8 bits for each dimension, between its least and largest value in training.
    pub const SQ8: Self = Self::new(&KINDS[2]);
    /// The whole numbers from 0 to 255.
    pub const SQ8_DIRECT: Self = Self::new(&KINDS[3]);
    /// The whole numbers from -128 to 127.
    pub const SQ8_DIRECT_SIGNED: Self = Self::new(&KINDS[4]);
    /// Half-precision floats.
    pub const SQ_FP16: Self = Self::new(&KINDS[5]);
    /// The upper halves of floats, rounded.
    pub const SQ_BF16: Self = Self::new(&KINDS[6]);
}

const fn row<const K: usize>() -> CodecRow {
    let kind = &KINDS[K];
    CodecRow::new(kind.tag, kind.token, parse::<K>, read::<K>).about(kind.about).samples(sample::<K>())
}

const fn sample<const K: usize>() -> &'static [&'static str] {
    const { &[KINDS[K].token] }
}

fn parse<const K: usize>(token: &Token<'_>, _registry: &Registry) -> Parsed<dyn CodecSpec> {
    (token.plain()? == KINDS[K].token).then(|| Ok(Arc::new(SqSpec::new(&KINDS[K])) as _))
}

fn read<const K: usize>(node: &StoredNode, _registry: &Registry) -> Decoded<Arc<dyn Codec>> {
    Ok(Arc::new(SqCodec::read(node, &KINDS[K])?))
}
