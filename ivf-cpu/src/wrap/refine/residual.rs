//! `PQ<M>+<M2>`: an inverted file of product-quantised vectors, and a second product quantizer for
//! what the first one leaves. (Faiss's `IndexIVFPQR`.)
//!
//! The refining codes are of residuals: a vector minus what its code in the base stands for. So a
//! vector is the sum of what both of its codes stand for.

use super::refining::Refining;
use super::{K_FACTOR_RF, Refine, SCHEMA};
use crate::codec::as_rows;
use crate::engine::{CodesIndex, IvfIndex};
use crate::kmeans::{Random, sample};
use ivf_core::error::{
    AddError, BuildError, CodeError, Computed, DecodeError, InputError, SearchError, StoreError, TrainError,
};
use ivf_core::registry::{IndexRow, IndexSpec, Parsed, Registry, Token, TokenError};
use ivf_core::{
    AddOptions, AnyRows, Cancel, CodecSpec, Index, Metric, QuantizerSpec, Rows, StandaloneCodec, StoredNode,
    TrainOptions, TrainReport,
};
use rand::SeedableRng;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// The registry row of this index.
pub(crate) const ROW: IndexRow = IndexRow::new("refine-residual", "PQ<M>+<M2>", parse, |node, registry| {
    Ok(Box::new(Refine::read_residual(node, registry)?))
})
.about("PQ in the lists of the quantizer before it, and a second PQ of what is left, which re-ranks; knob k_factor_rf")
.samples(&["PQ8+16"])
.takes_quantizer(true);

/// The name of both codecs. The token has it once.
const NAME: &str = "PQ";

/// Separates the two codecs in the token.
const PLUS: char = '+';

/// Number of vectors whose residuals are computed at a time.
pub(super) const BLOCK: usize = 8192;

/// Memory used while assigning one vector to its list, in bytes.
const LISTS: usize = 40;

fn parse(token: &Token<'_>, registry: &Registry) -> Parsed<dyn IndexSpec> {
    let text = token.plain().filter(|text| text.starts_with(NAME))?;
    let (first, second) = text.split_once(PLUS)?;
    Some(parse_halves(token, first, second, registry).map(|spec| Arc::new(spec) as _))
}

fn parse_halves(token: &Token<'_>, first: &str, second: &str, registry: &Registry) -> Result<ResidualSpec, TokenError> {
    let text = token.text();
    let codec = parse_codec(first, registry)?;
    let second_at = first.len() + PLUS.len_utf8()..text.len();
    if second.is_empty() {
        let what = "the number of subquantizers of the second product quantizer must follow, as in PQ8+16";
        return Err(TokenError::new(second_at, what));
    }
    let refine = parse_codec(&format!("{NAME}{second}"), registry).map_err(|error| {
        // The name is not in the token.
        let within = |at: usize| at.saturating_sub(NAME.len()).min(second.len());
        let Range { start, end } = error.span;
        let span = if end <= NAME.len() { 0..second.len() } else { within(start)..within(end) };
        TokenError::new(span, error.what).shifted(second_at.start)
    })?;
    match token.quantizer() {
        Some(quantizer) => Ok(ResidualSpec { quantizer: quantizer.clone(), codec, refine }),
        None => {
            let what = format!("a coarse quantizer must stand before it: IVF64,{text}");
            Err(TokenError::new(0..text.len(), what))
        }
    }
}

fn parse_codec(text: &str, registry: &Registry) -> Result<Arc<dyn CodecSpec>, TokenError> {
    let unknown = || Err(TokenError::new(0..text.len(), format!("'{text}' is not a codec")));
    registry.parse_codec(&Token::new(text)?).unwrap_or_else(unknown)
}

/// The specification of the index, with its coarse quantizer.
#[derive(Debug)]
struct ResidualSpec {
    quantizer: Arc<dyn QuantizerSpec>,
    /// The codec of the lists.
    codec: Arc<dyn CodecSpec>,
    /// The codec of the residuals.
    refine: Arc<dyn CodecSpec>,
}

impl ResidualSpec {
    fn token(&self) -> String {
        joined(&self.codec.to_string(), &self.refine.to_string())
    }

    /// Returns the error with the whole token instead of one of its halves.
    fn of_token(&self, error: BuildError) -> BuildError {
        let whole = |kind: String| {
            let is_half = kind == self.codec.to_string() || kind == self.refine.to_string();
            if is_half { self.token() } else { kind }
        };
        match error {
            BuildError::Metric { kind, metric } => BuildError::Metric { kind: whole(kind), metric },
            BuildError::Dim { kind, dim, why } => BuildError::Dim { kind: whole(kind), dim, why },
            other => other,
        }
    }
}

impl fmt::Display for ResidualSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.quantizer, self.token())
    }
}

impl IndexSpec for ResidualSpec {
    fn build(&self, dim: usize, metric: Metric) -> Result<Box<dyn Index>, BuildError> {
        let base = IvfIndex::new(dim, metric, self.quantizer.clone(), self.codec.clone());
        let base = base.map_err(|error| self.of_token(error))?;
        let refine =
            CodesIndex::new(dim, metric, as_rows(self.refine.clone())).map_err(|error| self.of_token(error))?;
        Ok(Box::new(Refine::unchecked(Box::new(base), Refining::Codes(refine), true)))
    }
}

/// Joins the tokens of two product quantizers, or that of an index and its refining codec.
pub(super) fn joined(first: &str, second: &str) -> String {
    format!("{first}{PLUS}{}", second.strip_prefix(NAME).unwrap_or(second))
}

impl Refine {
    fn read_residual(node: &StoredNode, registry: &Registry) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        let k_factor_rf = node.fields(SCHEMA)?.get::<f32>(&K_FACTOR_RF.name)?;
        let (base, refine) = Self::read_both(node, registry)?;
        let fault = |what: String| Err(DecodeError::value(&node.tag, what));
        let text = base.spec();
        // A wrapper or a transform may stand for other vectors than its codes do.
        let is_ivf = base.wrapped().is_none() && base.as_ivf().is_some() && base.as_standalone_codec().is_some();
        if !is_ivf || text.rsplit_once(',').is_none_or(|(_, codec)| !codec.starts_with(NAME)) {
            return fault(format!("the base is {text}, not an inverted file with the codec {NAME}"));
        }
        let refine = match refine {
            Refining::Codes(codes) if codes.spec().starts_with(NAME) => codes,
            other => return fault(format!("the codec of the residuals is {}, not {NAME}", other.get().spec())),
        };
        let checked = Self::from_parts(base, refine, k_factor_rf);
        let Self { base, refine, .. } = checked.map_err(|error| DecodeError::value(&node.tag, error.to_string()))?;
        Ok(Self { k_factor_rf, ..Self::unchecked(base, refine, true) })
    }
}

/// Returns the residuals of vectors, and their codes in the base.
///
/// # Errors
/// [`AddError`] if the base cannot encode a vector, or if a residual overflows.
pub(super) fn residuals(
    base: &dyn Index,
    rows: Rows<'_, f32>,
    options: &AddOptions<'_>,
) -> Result<(Vec<f32>, Vec<u8>), AddError> {
    let codec = base.as_standalone_codec().ok_or_else(|| base.unable("encode"))?;
    let (mut residuals, mut codes) = (Vec::with_capacity(rows.as_slice().len()), Vec::new());
    for start in (0..rows.len()).step_by(BLOCK) {
        Cancel::check(options.cancel).map_err(|_| AddError::Cancelled)?;
        let block = rows.slice(start..rows.len().min(start + BLOCK));
        let block_codes = codec.sa_encode(block.into(), options).map_err(|error| match added(error) {
            AddError::Input(error) => AddError::Input(error.renumbered(|row| start + row)),
            AddError::Unassigned { row } => AddError::Unassigned { row: start + row },
            other => other,
        })?;
        let decoded = codec.sa_decode(&block_codes).map_err(added)?;
        residuals.extend(block.as_slice().iter().zip(&decoded).map(|(x, decoded)| x - decoded));
        codes.extend_from_slice(&block_codes);
    }
    let checked = Rows::new(&residuals, rows.dim()).map_err(InputError::from)?;
    match AnyRows::from(checked).first_non_finite() {
        Some(row) => Err(InputError::Overflow { row, what: Computed::CodeResidual }.into()),
        None => Ok((residuals, codes)),
    }
}

/// Trains the codec of the residuals on a sample of the rows, with a trained base.
pub(super) fn train(
    base: &dyn Index,
    refine: &mut dyn Index,
    rows: AnyRows<'_>,
    options: &TrainOptions<'_>,
) -> Result<TrainReport, TrainError> {
    let most = refine.as_train().map_or(0, |train| train.training_points(options));
    let seed = options.seed_or_default();
    let number = |row| sample::number(rows.len(), most, seed, row);
    let renumbered = |error| match error {
        TrainError::Input(error) => TrainError::Input(error.renumbered(number)),
        other => other,
    };
    let residuals = {
        let mut scratch = Vec::new();
        let sample = sample::sample(rows, most, &mut Random::seed_from_u64(seed), &mut scratch);
        let mut encoding = AddOptions::new();
        (encoding.executor, encoding.cancel) = (options.executor, options.cancel);
        let residuals = residuals(base, sample, &encoding).map_err(|error| renumbered(learnt(base, error)))?;
        residuals.0
    };
    let residuals = Rows::new(&residuals, rows.dim()).map_err(InputError::from)?;
    refine.train_with(residuals, options).map_err(renumbered)
}

/// Returns the peak memory of [`train`] on `points` vectors of `dim` dimensions, of which the codec
/// of the residuals learns from at most `most` and takes `learning` bytes meanwhile.
pub(super) fn training_memory(dim: usize, points: usize, most: usize, learning: usize) -> usize {
    let vector = dim * size_of::<f32>();
    let seen = points.min(most);
    let drawn = if points > most { seen.saturating_mul(vector + sample::CHOSEN) } else { 0 };
    // The lists of a block, its codes (in several forms) and its decoded vectors.
    let block = seen.min(BLOCK).saturating_mul(3 * vector + LISTS);
    seen.saturating_mul(vector).saturating_add(drawn.saturating_add(block).max(learning))
}

/// Returns the error of encoding vectors as an error of adding them.
pub(super) fn added(error: CodeError) -> AddError {
    match error {
        CodeError::Add(error) => error,
        CodeError::Input(error) => error.into(),
        CodeError::NotTrained => AddError::NotTrained,
        CodeError::Unable(unable) => unable.into(),
        CodeError::Search(SearchError::Cancelled) => AddError::Cancelled,
        CodeError::Search(error) => AddError::Assign(Box::new(error)),
        other => StoreError::Inconsistent(other.to_string()).into(),
    }
}

/// Returns the error of encoding training vectors.
fn learnt(base: &dyn Index, error: AddError) -> TrainError {
    match error {
        AddError::Input(error) => error.into(),
        AddError::Cancelled => TrainError::Cancelled,
        AddError::Store(error) => error.into(),
        AddError::Unable(unable) => unable.into(),
        other => TrainError::Unsupported { kind: base.spec(), what: other.to_string() },
    }
}

/// Codes of the base, each followed by the code of the residual.
impl StandaloneCodec for Refine {
    fn sa_code_size(&self) -> Result<usize, CodeError> {
        let (base, refine) = self.codecs()?;
        Ok(base.sa_code_size()? + refine.sa_code_size()?)
    }

    fn sa_encode(&self, rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<Vec<u8>, CodeError> {
        let (base, refine) = self.codecs()?;
        let (base_size, refine_size) = (base.sa_code_size()?, refine.sa_code_size()?);
        rows.check(self.dim())?;
        let mut scratch = Vec::new();
        let (residuals, base_codes) = residuals(&*self.base, rows.to_f32(&mut scratch), options)?;
        let residuals = Rows::new(&residuals, self.dim()).map_err(InputError::from)?;
        let refine_codes = refine.sa_encode(residuals.into(), options)?;
        let pairs = base_codes.chunks_exact(base_size).zip(refine_codes.chunks_exact(refine_size));
        Ok(pairs.flat_map(|(base, refine)| base.iter().chain(refine)).copied().collect())
    }

    fn sa_decode(&self, codes: &[u8]) -> Result<Vec<f32>, CodeError> {
        let (base, refine) = self.codecs()?;
        let (base_size, code_size) = (base.sa_code_size()?, self.sa_code_size()?);
        if !codes.len().is_multiple_of(code_size) {
            return Err(CodeError::Length { code_size, found: codes.len() });
        }
        let (mut base_codes, mut refine_codes) = (Vec::new(), Vec::new());
        for code in codes.chunks_exact(code_size) {
            base_codes.extend_from_slice(&code[..base_size]);
            refine_codes.extend_from_slice(&code[base_size..]);
        }
        let mut vectors = base.sa_decode(&base_codes)?;
        add_to(&mut vectors, &refine.sa_decode(&refine_codes)?);
        Ok(vectors)
    }
}

impl Refine {
    /// Returns the standalone codecs of the base and of the residuals.
    fn codecs(&self) -> Result<(&dyn StandaloneCodec, &dyn StandaloneCodec), CodeError> {
        let refine = self.refine.get();
        let base = self.base.as_standalone_codec().ok_or_else(|| self.base.unable("encode"))?;
        Ok((base, refine.as_standalone_codec().ok_or_else(|| refine.unable("encode"))?))
    }
}

/// Adds residuals to vectors.
pub(super) fn add_to(vectors: &mut [f32], residuals: &[f32]) {
    vectors.iter_mut().zip(residuals).for_each(|(x, residual)| *x += residual);
}
