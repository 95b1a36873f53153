//! Codecs, which encode vectors into codes and scan the codes.
//!
//! A codec has three stages, each a type that cannot be in an invalid state. A [`CodecSpec`] is the
//! specification that a factory string names. Training turns it into a [`Codec`], which is always
//! trained. Binding a codec to the centroids of an index gives a [`BoundCodec`], which encodes,
//! decodes and creates scanners.
//!
//! A codec of one byte a dimension, the nearest whole number from -128 to 127. It has one parameter
//! of its own, `dims`. Its scanner decodes every code. A fast scanner looks up a table instead.
//!
//! ```
//! use ivf_core::error::{BindError, BuildError, TrainError};
//! use ivf_core::field::{Field, FieldType};
//! use ivf_core::param::{Param, ParamRange};
//! use ivf_core::registry::CodecRow;
//! use ivf_core::{
//!     Binding, BoundCodec, Centroids, CodeLayout, Codec, CodecContext, CodecSpec, CodecTraining, InvertedListScanner,
//!     ListNo, Metric, Node, Residuals, Rows, SearchParams, Settings, TrainOptions, TrainReport,
//! };
//! use std::{fmt, sync::Arc};
//!
//! /// The specification, which the token `Whole` names.
//! #[derive(Debug)]
//! struct Whole;
//!
//! impl fmt::Display for Whole {
//!     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
//!         f.write_str("Whole")
//!     }
//! }
//!
//! impl CodecSpec for Whole {
//!     fn check(&self, context: &CodecContext) -> Result<(), BuildError> {
//!         match context.metric {
//!             Metric::L2 => Ok(()),
//!             metric => Err(BuildError::Metric { kind: self.to_string(), metric }),
//!         }
//!     }
//!
//!     fn residuals(&self) -> Residuals {
//!         Residuals::Optional { default: true }
//!     }
//!
//!     fn training_points(&self, _options: &TrainOptions<'_>) -> usize {
//!         0 // It learns nothing from vectors.
//!     }
//!
//!     fn training_memory(&self, _context: &CodecContext, _points: usize, _options: &TrainOptions<'_>) -> usize {
//!         0
//!     }
//!
//!     fn code_size(&self, context: &CodecContext) -> usize {
//!         context.dim
//!     }
//!
//!     fn params(&self, context: &CodecContext) -> Vec<Param> {
//!         let range = ParamRange::Whole { least: 1, most: context.dim as u64 };
//!         vec![Param::new("dims", range, context.dim.into(), "leading dimensions that a distance uses")]
//!     }
//!
//!     fn train(&self, input: &CodecTraining<'_>) -> Result<(Arc<dyn Codec>, TrainReport), TrainError> {
//!         Ok((Arc::new(Bytes::new(input.context.dim)), TrainReport::default()))
//!     }
//! }
//!
//! /// The trained codec.
//! #[derive(Debug)]
//! struct Bytes {
//!     layout: CodeLayout,
//! }
//!
//! impl Bytes {
//!     fn new(dim: usize) -> Self {
//!         Self { layout: CodeLayout::rows(dim).of_codec(ROW.tag) }
//!     }
//! }
//!
//! impl Codec for Bytes {
//!     fn spec(&self) -> Arc<dyn CodecSpec> {
//!         Arc::new(Whole)
//!     }
//!
//!     fn tag(&self) -> &str {
//!         ROW.tag
//!     }
//!
//!     fn dim(&self) -> usize {
//!         self.layout.code_size()
//!     }
//!
//!     fn metric(&self) -> Metric {
//!         Metric::L2
//!     }
//!
//!     fn layout(&self) -> &CodeLayout {
//!         &self.layout
//!     }
//!
//!     fn encode(&self, rows: Rows<'_, f32>, codes: &mut [u8]) {
//!         assert_eq!((rows.dim(), codes.len()), (self.dim(), rows.as_slice().len()));
//!         // The cast to `i8` saturates.
//!         codes.iter_mut().zip(rows.as_slice()).for_each(|(byte, x)| *byte = x.round() as i8 as u8);
//!     }
//!
//!     fn decode(&self, code: &[u8], vector: &mut [f32]) {
//!         assert_eq!((code.len(), vector.len()), (self.dim(), self.dim()));
//!         vector.iter_mut().zip(code).for_each(|(x, byte)| *x = f32::from(*byte as i8));
//!     }
//!
//!     fn memory(&self) -> usize {
//!         0 // It has no tables.
//!     }
//!
//!     fn export(&self) -> Node<'_> {
//!         Node::new(ROW.tag, 0).with("dim", self.dim())
//!     }
//!
//!     fn bind(self: Arc<Self>, to: &Binding<'_>) -> Result<Arc<dyn BoundCodec>, BindError> {
//!         Ok(Arc::new(BoundBytes { codec: self, centroids: to.centroids.clone(), by_residual: to.by_residual }))
//!     }
//! }
//!
//! /// The codec in an index.
//! #[derive(Debug)]
//! struct BoundBytes {
//!     codec: Arc<Bytes>,
//!     centroids: Arc<dyn Centroids>,
//!     by_residual: bool,
//! }
//!
//! impl BoundCodec for BoundBytes {
//!     fn codec(&self) -> &dyn Codec {
//!         &*self.codec
//!     }
//!
//!     fn centroids(&self) -> &dyn Centroids {
//!         &*self.centroids
//!     }
//!
//!     fn by_residual(&self) -> bool {
//!         self.by_residual
//!     }
//!
//!     fn scanner(&self, settings: &Settings) -> Box<dyn InvertedListScanner + '_> {
//!         let dims = settings.whole("dims").map_or(self.codec.dim(), |dims| dims as usize);
//!         Box::new(Scanner { bound: self, dims, query: Vec::new(), list: ListNo(0) })
//!     }
//! }
//!
//! struct Scanner<'a> {
//!     bound: &'a BoundBytes,
//!     dims: usize,
//!     query: Vec<f32>,
//!     list: ListNo,
//! }
//!
//! impl InvertedListScanner for Scanner<'_> {
//!     fn set_query(&mut self, query: &[f32]) {
//!         self.query = query.to_vec();
//!     }
//!
//!     fn set_list(&mut self, list: ListNo, _coarse_distance: f32) {
//!         self.list = list;
//!     }
//!
//!     fn distance(&self, code: &[u8]) -> f32 {
//!         let mut vector = vec![0.0; self.query.len()];
//!         self.bound.decode(self.list, code, &mut vector); // adds the centroid to a residual
//!         self.query.iter().zip(&vector).take(self.dims).map(|(q, x)| (q - x) * (q - x)).sum()
//!     }
//! }
//!
//! /// The token, the tag in files, a parser and a reader.
//! const ROW: CodecRow = CodecRow::new(
//!     "whole",
//!     "Whole",
//!     |token, _| (token.plain()? == "Whole").then(|| Ok(Arc::new(Whole) as _)),
//!     |node, _| Ok(Arc::new(Bytes::new(node.fields(&[Field::new("dim", FieldType::UInt)])?.dim("dim")?))),
//! );
//!
//! // Every index of the library now takes the codec. Here its lists are around (10, 0) and (100, 0).
//! let registry = ivf_factory::default_registry().clone().with_codecs(&[ROW]);
//! let mut index = ivf_factory::build_with("IVF2,Whole", 2, Metric::L2, &registry)?;
//! let vectors = [8.0_f32, -1.0, 12.0, 1.0, 98.0, -1.0, 102.0, 1.0];
//! index.train(Rows::new(&vectors, 2)?)?;
//! index.add(Rows::new(&vectors, 2)?)?;
//! let query = [101.0_f32, -1.0];
//! let found = index.search(Rows::new(&query, 2)?, 2, &SearchParams::new())?.hits;
//! assert_eq!(found.row(0).distances, [1.0 + 4.0, 9.0]);
//! let found = index.search(Rows::new(&query, 2)?, 2, &SearchParams::new().set("dims", 1))?.hits;
//! assert_eq!(found.row(0).distances, [1.0, 9.0]);
//!
//! // A file keeps the node of the codec, and the row reads it.
//! let stored = Bytes::new(2).export().to_stored();
//! assert_eq!(registry.read_codec(&stored)?.dim(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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

/// The properties of the index that the code size, memory and training of a codec may depend on.
///
/// ```
/// use ivf_core::{CodecContext, Metric};
/// let vectors = CodecContext::new(8, Metric::L2);
/// assert!(!vectors.by_residual);
/// assert!(vectors.by_residual(true).by_residual);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct CodecContext {
    /// Dimension of the vectors.
    pub dim: usize,
    /// The metric.
    pub metric: Metric,
    /// Whether the index encodes residuals: the differences between vectors and the centroids of
    /// their lists.
    pub by_residual: bool,
}

impl CodecContext {
    /// Creates the context of an index that encodes the vectors themselves.
    pub fn new(dim: usize, metric: Metric) -> Self {
        Self { dim, metric, by_residual: false }
    }

    /// Returns the context with `by_residual` replaced.
    #[must_use]
    pub fn by_residual(self, by_residual: bool) -> Self {
        Self { by_residual, ..self }
    }
}

/// Whether a codec encodes residuals. (Faiss's `by_residual`.)
///
/// ```
/// use ivf_core::Residuals;
/// let optional = Residuals::Optional { default: false };
/// assert!(!optional.default_choice() && optional.allows(true));
/// assert!(Residuals::Always.default_choice() && !Residuals::Always.allows(false));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residuals {
    /// The codec encodes vectors as they are.
    Never,
    /// The index chooses, by the knob `by_residual`.
    Optional {
        /// The value of the knob unless the caller sets it.
        default: bool,
    },
    /// The codec encodes residuals wherever there are lists.
    Always,
}

impl Residuals {
    /// Returns the choice that applies unless the caller makes another.
    pub fn default_choice(self) -> bool {
        matches!(self, Self::Optional { default: true } | Self::Always)
    }

    /// Returns true if this choice is allowed.
    pub fn allows(self, by_residual: bool) -> bool {
        match self {
            Self::Never => !by_residual,
            Self::Optional { .. } => true,
            Self::Always => by_residual,
        }
    }
}

/// The input of the training of a codec.
///
/// The input for an index of two lists around 10 and 100, whose codec encodes residuals:
///
/// ```
/// use ivf_core::codec::residuals;
/// use ivf_core::{CodecContext, CodecTraining, ListNo, Metric, Rows, TrainOptions};
/// use ivf_cpu::coarse::FlatQuantizer;
/// let centroids = FlatQuantizer::from_centroids(Rows::new(&[10.0, 100.0], 1)?, Metric::L2)?;
/// let (vectors, lists) = ([11.0, 98.0], [ListNo(0), ListNo(1)]);
/// let residuals = residuals(Rows::new(&vectors, 1)?, &lists, &centroids);
///
/// let options = TrainOptions::new();
/// let input = CodecTraining::new(Rows::new(&residuals, 1)?, Metric::L2, &options)
///     .context(CodecContext::new(1, Metric::L2).by_residual(true))
///     .lists(&lists, &centroids);
/// assert_eq!(input.rows.as_slice(), [1.0, -2.0]);
///
/// // A codec that halves its vectors before another codec encodes them trains that one on half of each.
/// let halves = [0.5, -1.0];
/// let inner = input.rows(Rows::new(&halves, 1)?);
/// assert_eq!((inner.rows.row(1), inner.lists), (&[-1.0][..], Some(&lists[..])));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CodecTraining<'a> {
    /// The training vectors in the form in which the codec encodes them, which is residuals if the
    /// context has `by_residual` set. All are finite. There are at most
    /// [`CodecSpec::training_points`] of them.
    pub rows: Rows<'a, f32>,
    /// The properties of the index.
    pub context: CodecContext,
    /// The list of each row. The caller must give it if residuals are encoded, or if
    /// [`CodecSpec::learns_from_lists`] returns true.
    pub lists: Option<&'a [ListNo]>,
    /// The centroids of the lists, given together with `lists`.
    pub centroids: Option<&'a dyn Centroids>,
    /// Iterations, seed, executor, progress and cancellation.
    pub options: &'a TrainOptions<'a>,
}

impl<'a> CodecTraining<'a> {
    /// Creates the training input for `rows`, in an index that encodes vectors as they are.
    pub fn new(rows: Rows<'a, f32>, metric: Metric, options: &'a TrainOptions<'a>) -> Self {
        Self { rows, context: CodecContext::new(rows.dim(), metric), lists: None, centroids: None, options }
    }

    /// Returns the input for another index of vectors of this dimension.
    #[must_use]
    pub fn context(self, context: CodecContext) -> Self {
        Self { context, ..self }
    }

    /// Returns the input with the list of each row, and the centroids of the lists.
    #[must_use]
    pub fn lists(self, lists: &'a [ListNo], centroids: &'a dyn Centroids) -> Self {
        Self { lists: Some(lists), centroids: Some(centroids), ..self }
    }

    /// Returns the input with other rows. A codec that wraps another one trains it on rows that it
    /// computes from its own.
    #[must_use]
    pub fn rows(self, rows: Rows<'a, f32>) -> Self {
        Self { rows, ..self }
    }
}

/// The specification of a codec, from which a codec is trained. `Display` prints its factory token,
/// which parses back into the same specification.
///
/// [The module](self) has an implementation. An index asks before it trains:
///
/// ```
/// use ivf_core::{CodecContext, Metric, TrainOptions};
/// let registry = ivf_factory::default_registry();
/// let pq = registry.codec_spec("example", "PQ2")?;
/// let context = CodecContext::new(4, Metric::L2).by_residual(pq.residuals().default_choice());
/// pq.check(&context)?;
/// assert!(pq.check(&CodecContext::new(5, Metric::L2)).is_err()); // 2 does not divide 5
/// assert_eq!(pq.code_size(&context), 2);
///
/// // 256 points for each of 256 centroids. Codes of `Flat` are the vectors, without training.
/// let options = TrainOptions::new();
/// let flat = registry.codec_spec("example", "Flat")?;
/// assert_eq!((pq.training_points(&options), flat.training_points(&options)), (256 * 256, 0));
/// assert!(pq.training_memory(&context, 65_536, &options) > flat.training_memory(&context, 0, &options));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait CodecSpec: Send + Sync + fmt::Debug + fmt::Display {
    /// Checks that the codec can work with this index. Called before anything is trained.
    ///
    /// # Errors
    /// [`BuildError`] if it cannot.
    fn check(&self, context: &CodecContext) -> Result<(), BuildError>;

    /// Returns whether the codec encodes residuals.
    fn residuals(&self) -> Residuals;

    /// Returns the maximum number of vectors that training uses. A codec that learns nothing from
    /// vectors returns 0 for all options.
    fn training_points(&self, options: &TrainOptions<'_>) -> usize;

    /// Returns true if [`CodecTraining::lists`] must be given even where no residuals are encoded.
    ///
    /// An index passes the lists to a codec of residuals, and to one that returns true here:
    ///
    /// ```
    /// use ivf_core::{CodecContext, CodecSpec};
    /// fn needs_lists(codec: &dyn CodecSpec, context: &CodecContext) -> bool {
    ///     context.by_residual || codec.learns_from_lists()
    /// }
    /// # let context = CodecContext::new(1, ivf_core::Metric::L2);
    /// assert!(!needs_lists(&ivf_cpu::codec::FlatSpec, &context));
    /// ```
    fn learns_from_lists(&self) -> bool {
        false
    }

    /// Returns the peak memory of training on `points` vectors, in bytes, without these vectors.
    fn training_memory(&self, context: &CodecContext, points: usize, options: &TrainOptions<'_>) -> usize;

    /// Returns the size of a code in bytes, in an index that [`check`](Self::check) accepts. It is
    /// the code size in the layout of the trained codec.
    fn code_size(&self, context: &CodecContext) -> usize;

    /// Returns the parameters of the scanners. Each is a knob of the index and a parameter of each
    /// search.
    fn params(&self, _context: &CodecContext) -> Vec<Param> {
        Vec::new()
    }

    /// Trains the codec.
    ///
    /// # Errors
    /// [`TrainError`] if the vectors are too few or the caller cancelled.
    fn train(&self, input: &CodecTraining<'_>) -> Result<(Arc<dyn Codec>, TrainReport), TrainError>;
}

/// A trained codec, which converts vectors to codes of a fixed size and back.
///
/// Implementations guarantee the following, and callers may rely on it. A codec never changes.
/// Every sequence of `code_size` bytes is a valid code, so a damaged file gives wrong answers but
/// no crash. `decode(encode(x))` always gives the same result for the same `x`.
pub trait Codec: Send + Sync + fmt::Debug {
    /// Returns the specification that the codec was trained from.
    fn spec(&self) -> Arc<dyn CodecSpec>;

    /// Returns the tag of the kind of codec. It is used in files and in the node of
    /// [`export`](Self::export).
    fn tag(&self) -> &str;

    /// Returns the dimension of the vectors.
    fn dim(&self) -> usize;

    /// Returns the metric that the codec was trained for.
    fn metric(&self) -> Metric;

    /// Returns the layout of the codes in lists, which also names the codec.
    fn layout(&self) -> &CodeLayout;

    /// Encodes vectors (residuals, if the index encodes residuals) into `codes`, which has
    /// `rows.len() * code_size` bytes.
    ///
    /// # Panics
    /// If the dimension or the length of `codes` is wrong.
    fn encode(&self, rows: Rows<'_, f32>, codes: &mut [u8]);

    /// Decodes one code of `code_size` bytes into a vector of `dim` elements.
    ///
    /// # Panics
    /// If the length of `code` or `vector` is wrong.
    fn decode(&self, code: &[u8], vector: &mut [f32]);

    /// Returns the memory of the codec's tables in bytes.
    fn memory(&self) -> usize;

    /// Returns the codec as a node, for a file or for another reader of its contents.
    fn export(&self) -> Node<'_>;

    /// Binds the codec to these centroids. This computes everything that depends on them, such as
    /// precomputed tables and rotated centroids. It is called again when an index is loaded or its
    /// quantizer is replaced.
    ///
    /// # Errors
    /// [`BindError`] if the codec needs more memory than it may use, if it does not work with the
    /// centroids, or if the caller cancelled.
    fn bind(self: Arc<Self>, to: &Binding<'_>) -> Result<Arc<dyn BoundCodec>, BindError>;
}

/// The centroids to bind a codec to, and the limits of binding.
///
/// ```
/// use ivf_core::quantizer::Origin;
/// use ivf_core::{Binding, Cancel, Codec, Metric, TrainOptions};
/// use ivf_cpu::codec::FlatCodec;
/// use std::sync::Arc;
/// let cancel = Cancel::new();
/// let options = TrainOptions::new().cancel(&cancel);
/// let to = Binding::new(Arc::new(Origin { dim: 2 })).by_residual(false).table_memory(1 << 20).options(&options);
/// let bound = Arc::new(FlatCodec::new(2, Metric::L2)).bind(&to)?;
/// assert_eq!(bound.centroids().nlist(), 1);
///
/// // A codec that computes a table for each list checks between two lists.
/// to.check_cancel()?;
/// cancel.cancel();
/// assert!(to.check_cancel().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Binding<'a> {
    /// The centroids of the lists.
    pub centroids: Arc<dyn Centroids>,
    /// Whether the index encodes residuals.
    pub by_residual: bool,
    /// Maximum memory of the tables that are computed for each list, in bytes. Tables that only
    /// save time are left out if they would exceed it. If a codec cannot do without its tables,
    /// `bind` fails.
    pub table_memory: usize,
    /// Executor of the parallel loops, or `None` for the codec's default.
    pub executor: Option<&'a dyn Executor>,
    /// Cancels the binding.
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
    /// Default of the knob `table_memory`, the maximum memory of the per-list tables: 256 MiB.
    pub const TABLE_MEMORY: usize = 1 << 28;

    /// Creates a binding to lists with these centroids, whose codes encode vectors as they are.
    pub fn new(centroids: Arc<dyn Centroids>) -> Self {
        Self { centroids, by_residual: false, table_memory: Self::TABLE_MEMORY, executor: None, cancel: None }
    }

    /// Returns the binding with `by_residual` replaced.
    #[must_use]
    pub fn by_residual(self, by_residual: bool) -> Self {
        Self { by_residual, ..self }
    }

    /// Returns the binding with this memory limit, in bytes.
    #[must_use]
    pub fn table_memory(self, table_memory: usize) -> Self {
        Self { table_memory, ..self }
    }

    /// Returns the binding with the executor and the cancel flag of a training.
    #[must_use]
    pub fn options(self, options: &TrainOptions<'a>) -> Self {
        Self { executor: options.executor, cancel: options.cancel, ..self }
    }

    /// Checks that the caller has not cancelled.
    ///
    /// # Errors
    /// [`Cancelled`] if the caller has.
    pub fn check_cancel(&self) -> Result<(), Cancelled> {
        Cancel::check(self.cancel)
    }

    /// Checks that the centroids have the dimension of a codec.
    ///
    /// ```
    /// use ivf_core::quantizer::Origin;
    /// use ivf_core::{Binding, Metric};
    /// use ivf_cpu::codec::FlatCodec;
    /// use std::sync::Arc;
    /// let to = Binding::new(Arc::new(Origin { dim: 2 }));
    /// assert!(to.check_dim(&FlatCodec::new(2, Metric::L2)).is_ok());
    /// assert!(to.check_dim(&FlatCodec::new(3, Metric::L2)).is_err());
    /// ```
    ///
    /// # Errors
    /// [`BindError::Unsupported`] if they have another dimension.
    pub fn check_dim(&self, codec: &dyn Codec) -> Result<(), BindError> {
        let (dim, found) = (codec.dim(), self.centroids.dim());
        if found != dim {
            let what = format!("centroids of {found} dimensions (expected {dim})");
            return Err(BindError::Unsupported { kind: codec.spec().to_string(), what });
        }
        Ok(())
    }
}

/// A codec bound to the centroids of an index.
///
/// [The module](self) has an implementation. An index encodes, decodes and scans with the bound
/// codec:
///
/// ```
/// use ivf_core::{Binding, Codec, ListNo, Metric, Rows, Settings};
/// use ivf_cpu::{coarse::FlatQuantizer, codec::FlatCodec};
/// use std::sync::Arc;
/// let centroids = FlatQuantizer::from_centroids(Rows::new(&[0.0, 10.0], 1)?, Metric::L2)?;
/// let bound = Arc::new(FlatCodec::new(1, Metric::L2)).bind(&Binding::new(Arc::new(centroids)))?;
///
/// let mut code = vec![0; bound.codec().layout().code_size()];
/// bound.encode(Rows::new(&[9.0], 1)?, &[ListNo(1)], &mut code);
/// let mut vector = [0.0];
/// bound.decode(ListNo(1), &code, &mut vector);
/// assert_eq!(vector, [9.0]);
///
/// let mut scanner = bound.scanner(&Settings::new());
/// scanner.set_query(&[7.0]);
/// scanner.set_list(ListNo(1), 9.0); // (7 - 10)^2, the distance from the centroid
/// assert_eq!(scanner.distance(&code), 4.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait BoundCodec: Send + Sync + fmt::Debug {
    /// Returns the codec.
    fn codec(&self) -> &dyn Codec;

    /// Returns the centroids.
    fn centroids(&self) -> &dyn Centroids;

    /// Returns whether the codes encode residuals, as [`Binding::by_residual`] declared.
    fn by_residual(&self) -> bool;

    /// Returns true if the scanners scan lists of about `len` codes faster for a block of queries
    /// than for one query after the other. An engine that is free to choose then takes each list
    /// once and scans it for all queries that probe it.
    fn shares_lists(&self, _len: usize) -> bool {
        false
    }

    /// Returns the maximum number of queries to pass to [`InvertedListScanner::set_queries`]. The
    /// per-query state of a scanner takes memory and cache space.
    ///
    /// An engine that scans a list for many queries does it block by block:
    ///
    /// ```
    /// use ivf_core::BoundCodec;
    /// fn blocks(bound: &dyn BoundCodec, queries: usize, len: usize) -> usize {
    ///     let at_once = if bound.shares_lists(len) { bound.queries_at_once() } else { 1 };
    ///     queries.div_ceil(at_once)
    /// }
    /// # use ivf_core::{Binding, Codec, Metric, quantizer::Origin};
    /// # use std::sync::Arc;
    /// # let to = Binding::new(Arc::new(Origin { dim: 2 }));
    /// # let flat = Arc::new(ivf_cpu::codec::FlatCodec::new(2, Metric::L2)).bind(&to)?;
    /// assert_eq!(blocks(&*flat, 1000, 500), 1); // `Flat` keeps no state per query
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn queries_at_once(&self) -> usize {
        usize::MAX
    }

    /// Returns the memory of the codec and of the per-list tables, in bytes. The default is for a
    /// codec without such tables.
    fn memory(&self) -> usize {
        self.codec().memory()
    }

    /// Creates a scanner of the lists. Creating one is cheap but not free, so an engine creates one
    /// per thread and call. `settings` has a value, in range, for each of [`CodecSpec::params`].
    fn scanner(&self, settings: &Settings) -> Box<dyn InvertedListScanner + '_>;

    /// Encodes vectors into `codes`, which has `rows.len() * code_size` bytes. Row `i` belongs to
    /// `lists[i]`. The caller has refused vectors with an [overflowing residual](overflowing).
    ///
    /// A code decodes as the one that [`Codec::encode`] gives for the residual. It may also keep
    /// numbers that depend on the centroid, which saves work for each query and list.
    ///
    /// # Panics
    /// If the dimension or a length is wrong.
    fn encode(&self, rows: Rows<'_, f32>, lists: &[ListNo], codes: &mut [u8]) {
        if !self.by_residual() {
            return self.codec().encode(rows, codes);
        }
        let residuals = residuals(rows, lists, self.centroids());
        self.codec().encode(Rows::new(&residuals, rows.dim()).expect("residuals have the vectors' shape"), codes);
    }

    /// Decodes a code of `list`. A sum of a residual and a centroid beyond the range of `f32`
    /// becomes its largest number, because a vector that could be added is finite.
    ///
    /// # Panics
    /// If a length is wrong.
    fn decode(&self, list: ListNo, code: &[u8], vector: &mut [f32]) {
        self.codec().decode(code, vector);
        if self.by_residual() {
            let mut centroid = vec![0.0; vector.len()];
            self.centroids().centroid(list, &mut centroid);
            vector.iter_mut().zip(&centroid).for_each(|(x, c)| *x = (*x + c).clamp(f32::MIN, f32::MAX));
        }
    }
}

/// Returns the differences between vectors and the centroids of their lists, row after row.
///
/// ```
/// use ivf_core::{ListNo, Metric, Rows, codec::residuals};
/// use ivf_cpu::coarse::FlatQuantizer;
/// let centroids = FlatQuantizer::from_centroids(Rows::new(&[10.0, 100.0], 1)?, Metric::L2)?;
/// let vectors = Rows::new(&[11.0, 98.0], 1)?;
/// assert_eq!(residuals(vectors, &[ListNo(0), ListNo(1)], &centroids), [1.0, -2.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Panics
/// If the number of lists is not the number of rows, or the dimensions differ.
pub fn residuals(rows: Rows<'_, f32>, lists: &[ListNo], centroids: &dyn Centroids) -> Vec<f32> {
    assert_eq!(rows.len(), lists.len(), "there must be one list per row");
    assert_eq!(rows.dim(), centroids.dim(), "the rows must have the dimension of the centroids");
    let mut centroid = vec![0.0; rows.dim()];
    let mut residuals = rows.as_slice().to_vec();
    for (residual, &list) in residuals.chunks_exact_mut(rows.dim()).zip(lists) {
        centroids.centroid(list, &mut centroid);
        residual.iter_mut().zip(&centroid).for_each(|(x, c)| *x -= c);
    }
    residuals
}

/// Returns the rows whose residual overflows `f32`, in order.
///
/// ```
/// use ivf_core::codec::overflowing;
/// use ivf_core::quantizer::Origin;
/// use ivf_core::{ListNo, Rows};
/// let rows = Rows::new(&[f32::MAX, 1.0], 1)?;
/// assert!(overflowing(rows, &[ListNo(0); 2], &Origin { dim: 1 }).is_empty());
/// # Ok::<(), ivf_core::RowsError>(())
/// ```
///
/// # Panics
/// If the number of lists is not the number of rows, or the dimensions differ.
pub fn overflowing(rows: Rows<'_, f32>, lists: &[ListNo], centroids: &dyn Centroids) -> Vec<usize> {
    assert_eq!(rows.len(), lists.len(), "there must be one list per row");
    let mut centroid = vec![0.0; rows.dim()];
    let mut overflows = |row: &[f32], list| {
        // Only the centroids of rows with a large coordinate are needed.
        if row.iter().fold(0.0_f32, |most, x| most.max(x.abs())) < HALF_A_PLACE {
            return false;
        }
        centroids.centroid(list, &mut centroid);
        row.iter().zip(&centroid).any(|(x, c)| !(x - c).is_finite())
    };
    (0..rows.len()).filter(|&i| overflows(rows.row(i), lists[i])).collect()
}

/// Half of the last place of the largest float. A sum of the largest float and a smaller number is
/// rounded to the largest float.
const HALF_A_PLACE: f32 = f32::MAX * f32::EPSILON / 4.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct One(f32);

    impl Centroids for One {
        fn dim(&self) -> usize {
            1
        }
        fn nlist(&self) -> usize {
            1
        }
        fn centroid(&self, _list: ListNo, out: &mut [f32]) {
            out[0] = self.0;
        }
    }

    #[test]
    fn overflowing_residuals_are_those_that_are_not_finite() {
        let large = HALF_A_PLACE;
        let values = [f32::MAX, f32::MAX / 2.0, large.next_up(), large, large.next_down(), 1.0, 1e-45, 0.0];
        let values: Vec<f32> = values.iter().flat_map(|x| [*x, -x]).collect();
        let (rows, lists) = (Rows::new(&values, 1).unwrap(), vec![ListNo(0); values.len()]);
        let mut found = 0;
        for &centroid in &values {
            let residuals = residuals(rows, &lists, &One(centroid));
            let expected: Vec<usize> = (0..rows.len()).filter(|&i| !residuals[i].is_finite()).collect();
            assert_eq!(overflowing(rows, &lists, &One(centroid)), expected, "{centroid}");
            found += expected.len();
        }
        assert!(found > 4);
    }
}
