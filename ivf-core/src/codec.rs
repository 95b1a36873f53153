//! Codecs: how a vector becomes a code, and how codes are scanned.
//!
//! Three stages, each a value that cannot be in a wrong state: a [`CodecSpec`] is what the factory string says; training makes
//! it a [`Codec`], which is always trained; binding that to the centroids of an index makes a [`BoundCodec`], which encodes,
//! decodes and hands out scanners.

use crate::error::{BindError, BuildError, Cancelled, TrainError};
use crate::executor::Executor;
use crate::id::ListNo;
use crate::layout::CodeLayout;
use crate::metric::Metric;
use crate::node::Node;
use crate::param::{Param, Settings};
use crate::params::{Cancel, TrainOptions};
use crate::quantizer::Centroids;
use crate::report::TrainReport;
use crate::rows::Rows;
use crate::scanner::InvertedListScanner;
use std::fmt;
use std::sync::Arc;

/// The index that a codec is for: what the size of a code, memory and training may depend on.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct CodecContext {
    /// Dimension of the vectors.
    pub dim: usize,
    /// The metric.
    pub metric: Metric,
    /// Whether the index codes residuals: the differences between vectors and the centroids of
    /// their lists.
    pub by_residual: bool,
}

impl CodecContext {
    /// An index of vectors of `dim` that codes the vectors themselves.
    pub fn new(dim: usize, metric: Metric) -> Self {
        Self { dim, metric, by_residual: false }
    }

    /// The same index, coding residuals or not.
    #[must_use]
    pub fn by_residual(self, by_residual: bool) -> Self {
        Self { by_residual, ..self }
    }
}

/// Whether a codec codes residuals. (Faiss's `by_residual`.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residuals {
    /// It codes vectors as they are.
    Never,
    /// The index chooses; `default` is the choice unless somebody sets the knob `by_residual`.
    Optional {
        /// The choice unless somebody makes another.
        default: bool,
    },
    /// It codes residuals, wherever there are lists.
    Always,
}

impl Residuals {
    /// The choice unless somebody makes another.
    pub fn default_choice(self) -> bool {
        matches!(self, Self::Optional { default: true } | Self::Always)
    }

    /// Whether this choice can be made.
    pub fn allows(self, by_residual: bool) -> bool {
        match self {
            Self::Never => !by_residual,
            Self::Optional { .. } => true,
            Self::Always => by_residual,
        }
    }
}

/// What a codec learns from.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CodecTraining<'a> {
    /// The vectors as the codec will see them, all finite, at most [`CodecSpec::training_points`]:
    /// residuals if the context says so.
    pub rows: Rows<'a, f32>,
    /// The index.
    pub context: CodecContext,
    /// The list of each row. Given if residuals are coded, or if the codec [asks for
    /// them](CodecSpec::learns_from_lists).
    pub lists: Option<&'a [ListNo]>,
    /// The centroids of the lists, given with them.
    pub centroids: Option<&'a dyn Centroids>,
    /// Rounds, seed, executor, progress, cancel.
    pub options: &'a TrainOptions<'a>,
}

impl<'a> CodecTraining<'a> {
    /// Training on `rows`, vectors of an index that codes them as they are.
    pub fn new(rows: Rows<'a, f32>, metric: Metric, options: &'a TrainOptions<'a>) -> Self {
        Self { rows, context: CodecContext::new(rows.dim(), metric), lists: None, centroids: None, options }
    }

    /// The same for another index of vectors of this dimension.
    #[must_use]
    pub fn context(self, context: CodecContext) -> Self {
        Self { context, ..self }
    }

    /// The same with the list of each row, and the lists' centroids.
    #[must_use]
    pub fn lists(self, lists: &'a [ListNo], centroids: &'a dyn Centroids) -> Self {
        Self { lists: Some(lists), centroids: Some(centroids), ..self }
    }

    /// The same on other rows: for a codec that trains another one on what it makes of its own.
    #[must_use]
    pub fn rows(self, rows: Rows<'a, f32>) -> Self {
        Self { rows, ..self }
    }
}

/// What a codec shall be: trains into one. Displayed as its factory token, which parses back into it.
pub trait CodecSpec: Send + Sync + fmt::Debug + fmt::Display {
    /// Says whether it can work with this index, before anything is trained.
    ///
    /// # Errors
    /// [`BuildError`].
    fn check(&self, context: &CodecContext) -> Result<(), BuildError>;

    /// Whether it codes residuals.
    fn residuals(&self) -> Residuals;

    /// How many training vectors it can use; 0 if it learns nothing from vectors, whatever the options.
    fn training_points(&self, options: &TrainOptions<'_>) -> usize;

    /// True if [`CodecTraining::lists`] shall be given even where no residuals are coded.
    fn learns_from_lists(&self) -> bool {
        false
    }

    /// Bytes of memory that training on `points` vectors takes at its peak, beside those vectors.
    fn training_memory(&self, context: &CodecContext, points: usize, options: &TrainOptions<'_>) -> usize;

    /// Bytes of the code of a vector, in an index that [`check`](Self::check) takes: those of the
    /// layout of the codec it trains into.
    fn code_size(&self, context: &CodecContext) -> usize;

    /// The parameters of its scanners: knobs of the index, and parameters of each search.
    fn params(&self, _context: &CodecContext) -> Vec<Param> {
        Vec::new()
    }

    /// Learns the codec.
    ///
    /// # Errors
    /// [`TrainError`]: too few vectors, cancelled.
    fn train(&self, input: &CodecTraining<'_>) -> Result<(Arc<dyn Codec>, TrainReport), TrainError>;
}

/// A trained codec: turns vectors into codes of a fixed size and back.
///
/// Both sides may rely on: it never changes; every string of `code_size` bytes is a valid code (a damaged file gives wrong
/// answers, not a crash); `decode(encode(x))` is the same for the same `x`, always.
pub trait Codec: Send + Sync + fmt::Debug {
    /// The specification it was trained from.
    fn spec(&self) -> Arc<dyn CodecSpec>;

    /// The tag of its kind, in files and of [`export`](Self::export)'s node.
    fn tag(&self) -> &str;

    /// Dimension of the vectors.
    fn dim(&self) -> usize;

    /// The metric it was trained for.
    fn metric(&self) -> Metric;

    /// How codes lie in lists, and whose codes they are.
    fn layout(&self) -> &CodeLayout;

    /// Codes vectors (residuals, if the index codes those): `codes` has `rows.len() * code_size`
    /// bytes.
    ///
    /// # Panics
    /// If the dimension or the length of `codes` is another one.
    fn encode(&self, rows: Rows<'_, f32>, codes: &mut [u8]);

    /// Decodes one code of `code_size` bytes into `dim` places.
    ///
    /// # Panics
    /// If a length is another one.
    fn decode(&self, code: &[u8], vector: &mut [f32]);

    /// Bytes of memory its tables take.
    fn memory(&self) -> usize;

    /// The codec for a file or another reader of its insides.
    fn export(&self) -> Node<'_>;

    /// The codec for lists around these centroids; what depends on them (precomputed tables, rotated centroids) is made here.
    /// Called again when an index is loaded or its quantizer is replaced.
    ///
    /// # Errors
    /// [`BindError`]: it needs more memory than it may take, does not work with the centroids, or
    /// the caller cancelled.
    fn bind(self: Arc<Self>, to: &Binding<'_>) -> Result<Arc<dyn BoundCodec>, BindError>;
}

/// What a codec is bound to, and what binding may take.
#[derive(Clone)]
#[non_exhaustive]
pub struct Binding<'a> {
    /// The centroids of the lists.
    pub centroids: Arc<dyn Centroids>,
    /// Whether the index codes residuals.
    pub by_residual: bool,
    /// Bytes that tables of the lists may take. Tables that only save time are left out if they
    /// would take more.
    pub table_memory: usize,
    /// Who runs the loops; the codec's default if absent.
    pub executor: Option<&'a dyn Executor>,
    /// Ends the work early.
    pub cancel: Option<&'a Cancel>,
}

impl fmt::Debug for Binding<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binding")
            .field("centroids", &self.centroids)
            .field("by_residual", &self.by_residual)
            .field("table_memory", &self.table_memory)
            .finish_non_exhaustive()
    }
}

impl<'a> Binding<'a> {
    /// Bytes that tables of the lists may take unless somebody sets the knob `table_memory`: 256
    /// MiB.
    pub const TABLE_MEMORY: usize = 1 << 28;

    /// Lists around these centroids, whose codes are of vectors as they are.
    pub fn new(centroids: Arc<dyn Centroids>) -> Self {
        Self { centroids, by_residual: false, table_memory: Self::TABLE_MEMORY, executor: None, cancel: None }
    }

    /// The same lists, of codes of residuals or not.
    #[must_use]
    pub fn by_residual(self, by_residual: bool) -> Self {
        Self { by_residual, ..self }
    }

    /// The same within this many bytes.
    #[must_use]
    pub fn table_memory(self, table_memory: usize) -> Self {
        Self { table_memory, ..self }
    }

    /// The same with the executor and the cancel of a training.
    #[must_use]
    pub fn options(self, options: &TrainOptions<'a>) -> Self {
        Self { executor: options.executor, cancel: options.cancel, ..self }
    }

    /// Says whether the caller has cancelled.
    ///
    /// # Errors
    /// [`Cancelled`].
    pub fn check_cancel(&self) -> Result<(), Cancelled> {
        Cancel::check(self.cancel)
    }
}

/// A codec bound to the centroids of an index.
pub trait BoundCodec: Send + Sync + fmt::Debug {
    /// The codec.
    fn codec(&self) -> &dyn Codec;

    /// The centroids.
    fn centroids(&self) -> &dyn Centroids;

    /// Whether its codes are of residuals, as [`Binding::by_residual`] said.
    fn by_residual(&self) -> bool;

    /// True if its scanners scan lists of about `len` codes for a block of queries in less time than for one after the other: an
    /// engine that may choose then goes list after list.
    fn shares_lists(&self, _len: usize) -> bool {
        false
    }

    /// The most queries that [`InvertedListScanner::set_queries`] should be given: what a scanner keeps for them takes memory, and
    /// a place in a cache.
    fn queries_at_once(&self) -> usize {
        usize::MAX
    }

    /// Bytes of memory the codec takes, and what was made for the lists.
    fn memory(&self) -> usize {
        self.codec().memory()
    }

    /// A scanner of its lists. Making one is cheap but not free: an engine makes one a thread and
    /// call. `settings` has a value for each of [`CodecSpec::params`], in range.
    fn scanner(&self, settings: &Settings) -> Box<dyn InvertedListScanner + '_>;

    /// Codes vectors that belong to `lists`, one each: `codes` has `rows.len() * code_size` bytes.
    ///
    /// # Panics
    /// If a length is another one.
    fn encode(&self, rows: Rows<'_, f32>, lists: &[ListNo], codes: &mut [u8]) {
        if !self.by_residual() {
            return self.codec().encode(rows, codes);
        }
        let residuals = residuals(rows, lists, self.centroids());
        self.codec().encode(Rows::new(&residuals, rows.dim()).expect("residuals have the vectors' shape"), codes);
    }

    /// Decodes a code of `list`.
    ///
    /// # Panics
    /// If a length is another one.
    fn decode(&self, list: ListNo, code: &[u8], vector: &mut [f32]) {
        self.codec().decode(code, vector);
        if self.by_residual() {
            let mut centroid = vec![0.0; vector.len()];
            self.centroids().centroid(list, &mut centroid);
            vector.iter_mut().zip(&centroid).for_each(|(x, c)| *x += c);
        }
    }
}

/// The differences between vectors and the centroids of their lists, row after row.
///
/// # Panics
/// If there is not one list a row, or the dimensions differ.
pub fn residuals(rows: Rows<'_, f32>, lists: &[ListNo], centroids: &dyn Centroids) -> Vec<f32> {
    assert_eq!(rows.len(), lists.len(), "a list a row");
    let mut centroid = vec![0.0; rows.dim()];
    let mut residuals = rows.as_slice().to_vec();
    for (residual, &list) in residuals.chunks_exact_mut(rows.dim()).zip(lists) {
        centroids.centroid(list, &mut centroid);
        residual.iter_mut().zip(&centroid).for_each(|(x, c)| *x -= c);
    }
    residuals
}
