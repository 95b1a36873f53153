//! Error types, one for each kind of operation.
//!
//! An implementation creates most errors as variants. The frequent ones have constructors:
//!
//! ```
//! use ivf_core::error::{BuildError, DecodeError, SearchError};
//! let refused = SearchError::invalid("nprobe", "at least 1", 0);
//! assert_eq!(refused.to_string(), "nprobe must be at least 1, not 0");
//! let damaged = DecodeError::value("pq", "3 subquantizers for 8 dimensions");
//! assert_eq!(damaged.to_string(), "pq: 3 subquantizers for 8 dimensions");
//! let build = BuildError::Dim { kind: "PQ3".into(), dim: 8, why: "3 does not divide it".into() };
//! assert_eq!(build.kind(), Some("PQ3")); // the part of the factory string that a message shows
//! ```

mod input;

pub use input::{Computed, InputError, RowsError};

use crate::faiss_params;
use crate::id::{Id, ListNo, Location};
use crate::metric::Metric;
use std::borrow::Cow;
use std::error::Error;

/// An error from outside this library, such as that of a store's database or of a driver.
pub type Source = Box<dyn Error + Send + Sync>;

/// The error for an operation that needs an ability which the index lacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{index} cannot {ability}{}", help.as_ref().map(|help| format!(": {help}")).unwrap_or_default())]
pub struct Unable {
    /// The ability as a verb: "add", "remove", ...
    pub ability: &'static str,
    /// The factory string of the index.
    pub index: String,
    /// A hint, if there is one: "wrap it as IDMap2,Flat,RFlat".
    pub help: Option<String>,
}

/// An error of reading or writing a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A list number past the last list.
    #[error("there is no list {list}: the store has {nlist}")]
    NoSuchList {
        /// The list number.
        list: ListNo,
        /// Number of lists in the store.
        nlist: usize,
    },
    /// An offset past the end of its list.
    #[error("list {} has {len} entries, so there is no offset {}", at.list, at.offset.0)]
    NoSuchEntry {
        /// The location.
        at: Location,
        /// Length of the list.
        len: usize,
    },
    /// The layout of the codes is not that of the store.
    #[error("codes of layout {found} for lists of layout {expected}")]
    Layout {
        /// The layout of the store.
        expected: String,
        /// The layout of the codes.
        found: String,
    },
    /// Ids and planes that do not match.
    #[error("a segment of {len} entries is malformed: {what}")]
    Segment {
        /// Number of entries in the segment.
        len: usize,
        /// The fault.
        what: &'static str,
    },
    /// A list would have more than 2^32 - 1 entries.
    #[error("list {list} is full: a list holds at most 2^32 - 1 entries")]
    ListFull {
        /// The list.
        list: ListNo,
    },
    /// A store would have more than 2^32 lists.
    #[error("{nlist} lists are too many: a store holds at most 2^32")]
    TooManyLists {
        /// Number of lists requested.
        nlist: usize,
    },
    /// The store does not support snapshots, because it cannot be copied.
    #[error("a store of kind '{tag}' does not support snapshots")]
    NoSnapshot {
        /// The tag of the store.
        tag: String,
    },
    /// Parts of an index that do not match, because the data they were opened from is damaged.
    #[error("the index is inconsistent: {0}")]
    Inconsistent(String),
    /// The store is read-only.
    #[error("these lists are read-only")]
    ReadOnly,
    /// The backend that holds the bytes failed.
    #[error("reading or writing the lists failed")]
    Backend(#[source] Source),
}

/// An error of training. The index is as it was before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// Unusable vectors.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Fewer training vectors than training needs.
    #[error(
        "{found} training vectors are too few: {who} need at least {needed}, which is {} more",
        needed.saturating_sub(*found)
    )]
    TooFew {
        /// What needs them, as a plural: "the 256 centroids of PQ4".
        who: String,
        /// Minimum number of training vectors.
        needed: usize,
        /// Number of vectors given.
        found: usize,
    },
    /// The index already holds vectors, whose codes depend on the trained state.
    #[error("the index holds {len} vectors: reset it before training it again")]
    NotEmpty {
        /// Number of vectors in the index.
        len: usize,
    },
    /// The component does not support the metric, the dimension or another property.
    #[error("{kind} does not support {what}")]
    Unsupported {
        /// The factory token of the component.
        kind: String,
        /// The unsupported property.
        what: String,
    },
    /// The caller cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The index of the centroids, in a coarse quantizer, cannot hold a centroid that was learnt.
    #[error("the index of the centroids cannot hold the centroid of list {list}")]
    Centroid {
        /// The list.
        list: ListNo,
        /// The fault of the centroid. Its row is the number of the list.
        #[source]
        error: InputError,
    },
    /// The codec could not be bound to the centroids.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The lists could not be created.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The device of [`TrainOptions::device`](field@crate::TrainOptions::device) failed.
    #[error("training on the device failed")]
    Device(#[source] Source),
    /// The index, or an index inside it, cannot be trained.
    #[error(transparent)]
    Unable(#[from] Unable),
}

impl From<Cancelled> for TrainError {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}

/// The caller cancelled the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cancelled")]
pub struct Cancelled;

/// An error of binding a codec to the centroids of an index.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The codec needs per-list tables that exceed its memory limit.
    #[error("{kind} needs {needed} bytes for the per-list tables, but may use only {budget}")]
    Memory {
        /// The factory token of the codec.
        kind: String,
        /// Number of bytes that the codec needs.
        needed: usize,
        /// Number of bytes that the codec may use.
        budget: usize,
    },
    /// The codec does not work with the centroids, or does not support this choice about residuals.
    #[error("{kind} does not support {what}")]
    Unsupported {
        /// The factory token of the codec.
        kind: String,
        /// The unsupported property.
        what: String,
    },
    /// The caller cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl From<Cancelled> for BindError {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}

/// An error of adding. The index is as it was before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// The index is not trained.
    #[error("the index is not trained")]
    NotTrained,
    /// Unusable vectors or ids.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The ids that `add` assigns would exceed `i64::MAX`.
    #[error("there are no ids left: the next one would be above 2^63 - 1")]
    IdsExhausted,
    /// The index has a direct map of kind Array, which accepts only ids that count up from 0.
    #[error("an array direct map accepts only ids that count up: expected id {expected}, found {id}")]
    IdNotSequential {
        /// The id given.
        id: Id,
        /// The id that the map accepts next.
        expected: Id,
    },
    /// The caller cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The coarse quantizer returned no list for a vector.
    #[error("the coarse quantizer returned no list for vector {row}")]
    Unassigned {
        /// Index of the vector in the caller's rows.
        row: usize,
    },
    /// The list given for a vector does not exist.
    #[error("vector {row} is for list {list}, but there are {nlist} lists")]
    NoSuchList {
        /// Index of the vector in the caller's rows.
        row: usize,
        /// The list number.
        list: ListNo,
        /// Number of lists in the index.
        nlist: usize,
    },
    /// The number of list numbers is not the number of vectors.
    #[error("{lists} list numbers for {rows} vectors")]
    ListCount {
        /// Number of vectors.
        rows: usize,
        /// Number of list numbers.
        lists: usize,
    },
    /// The coarse quantizer failed.
    #[error("assigning the vectors to lists failed")]
    Assign(#[source] Box<SearchError>),
    /// The lists could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The index, or an index inside it, cannot add.
    #[error(transparent)]
    Unable(#[from] Unable),
}

/// An error of a search.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// The index is not trained.
    #[error("the index is not trained")]
    NotTrained,
    /// Unusable queries.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A parameter that the index does not support. It is an error because ignoring it would
    /// silently change the results.
    #[error("{index} does not take the search parameter {param}{}", faiss_params::reason(param))]
    UnsupportedParam {
        /// The name of the parameter: a field of [`SearchParams`](crate::SearchParams), or a name
        /// that no component of the index declares.
        param: Cow<'static, str>,
        /// The kind of the index.
        index: &'static str,
    },
    /// The value of a parameter is out of range.
    #[error("{param} must be {must}, not {found}")]
    InvalidParam {
        /// The parameter.
        param: Cow<'static, str>,
        /// The range of the parameter.
        must: Cow<'static, str>,
        /// The value that was given.
        found: String,
    },
    /// A probe of a list that does not exist.
    #[error("query {row} probes list {list}, but there are {nlist} lists")]
    NoSuchList {
        /// Index of the query.
        row: usize,
        /// The list number.
        list: ListNo,
        /// Number of lists in the index.
        nlist: usize,
    },
    /// The numbers of lists and coarse distances do not divide into rows of probes.
    #[error("{lists} lists and {distances} coarse distances do not divide into rows of {nprobe} probes")]
    Probes {
        /// Number of probes per row.
        nprobe: usize,
        /// Number of lists passed.
        lists: usize,
        /// Number of coarse distances passed.
        distances: usize,
    },
    /// The number of probe rows, sinks or per-query parameters is not the number of queries.
    #[error("{found} rows of {what} for {queries} queries")]
    Count {
        /// What was passed along with the queries.
        what: &'static str,
        /// Number of items passed.
        found: usize,
        /// Number of queries.
        queries: usize,
    },
    /// The caller cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The lists could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The [accelerator](crate::Accelerator) of the index failed.
    #[error("searching on the device failed")]
    Device(#[source] Source),
    /// A refining index could not reconstruct a vector.
    #[error(transparent)]
    Reconstruct(#[from] ReconstructError),
    /// The index, or an index inside it, lacks an ability.
    #[error(transparent)]
    Unable(#[from] Unable),
}

impl SearchError {
    /// Creates [`InvalidParam`](Self::InvalidParam), the error for a value that is out of range.
    pub fn invalid(
        param: impl Into<Cow<'static, str>>,
        must: impl Into<Cow<'static, str>>,
        found: impl ToString,
    ) -> Self {
        Self::InvalidParam { param: param.into(), must: must.into(), found: found.to_string() }
    }
}

impl From<Cancelled> for SearchError {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}

/// An error of reconstructing a vector.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReconstructError {
    /// No entry has the id.
    #[error("there is no vector with id {0}")]
    NoSuchId(Id),
    /// The index is not trained.
    #[error("the index is not trained")]
    NotTrained,
    /// The length of the output is not that of the vectors.
    #[error("the output has {found} elements, but the vectors have {expected}")]
    OutputLength {
        /// Number of elements of the vectors.
        expected: usize,
        /// Length of the output.
        found: usize,
    },
    /// The lists could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The index, or an index inside it, cannot reconstruct.
    #[error(transparent)]
    Unable(#[from] Unable),
}

/// An error of removing or updating vectors. The index is as it was before, unless a store failed
/// half way.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// Unusable vectors or ids.
    #[error(transparent)]
    Input(#[from] InputError),
    /// No entry has the id.
    #[error("there is no vector with id {0}")]
    NoSuchId(Id),
    /// An array direct map was requested, but an id is negative or far larger than the number of
    /// vectors.
    #[error("an array direct map is for ids that count up from 0, not for {0}")]
    NotForArray(Id),
    /// An id occurs twice in one update.
    #[error("id {0} occurs twice in the update")]
    TwiceNamed(Id),
    /// The index is not trained.
    #[error("the index is not trained")]
    NotTrained,
    /// The lists could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The new vectors could not be added.
    #[error(transparent)]
    Add(#[from] AddError),
    /// The index, or an index inside it, lacks the ability.
    #[error(transparent)]
    Unable(#[from] Unable),
}

/// An error of merging two indexes, or of copying a subset. Both indexes are as they were before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// The indexes differ in something that determines the meaning of codes.
    #[error("the indexes differ in {0}")]
    Incompatible(&'static str),
    /// The subset is invalid.
    #[error("invalid subset: expected {what}, found {found}")]
    Subset {
        /// The expected kind of value.
        what: &'static str,
        /// The requested subset.
        found: String,
    },
    /// An id of the other index plus the shift does not fit in an `i64`.
    #[error("id {id} plus {shift} overflows")]
    IdOverflow {
        /// The id.
        id: Id,
        /// The shift.
        shift: i64,
    },
    /// The vectors could not be added.
    #[error(transparent)]
    Add(#[from] AddError),
    /// The lists could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The index, or an index inside it, cannot merge.
    #[error(transparent)]
    Unable(#[from] Unable),
}

/// An error of replacing a part of an index. The index is as it was before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplaceError {
    /// The index is not trained.
    #[error("the index is not trained")]
    NotTrained,
    /// The other part has another number of lists.
    #[error("{found} lists for an index of {expected}")]
    ListCount {
        /// Number of lists of the index.
        expected: usize,
        /// Number of lists of the other part.
        found: usize,
    },
    /// The quantizer has another dimension.
    #[error("a quantizer of {found} dimensions for an index of {expected}")]
    Dim {
        /// Dimension of the index.
        expected: usize,
        /// Dimension of the quantizer.
        found: usize,
    },
    /// The quantizer was trained for another metric.
    #[error("a quantizer for the metric {found} in an index with the metric {expected}")]
    Metric {
        /// Metric of the index.
        expected: Metric,
        /// Metric of the quantizer.
        found: Metric,
    },
    /// The quantizer has other centroids, but the index holds vectors.
    #[error("the index holds {len} vectors, and list {list} would get another centroid: reset the index first")]
    Centroid {
        /// Number of vectors in the index.
        len: usize,
        /// The first list whose centroid differs.
        list: ListNo,
    },
    /// A centroid holds a NaN or an infinity.
    #[error("the centroid of list {list} holds a NaN or an infinity")]
    NonFinite {
        /// The list.
        list: ListNo,
    },
    /// A quantizer without a factory token, such as that of a standalone index. An index with it
    /// would have no factory string and could not be read from a file.
    #[error("the quantizer has no factory token")]
    Nameless,
    /// The quantizer cannot renumber its lists.
    #[error("the quantizer {quantizer} cannot renumber its lists")]
    FixedNumbers {
        /// The factory token of the quantizer.
        quantizer: String,
    },
    /// The codec could not be bound to the new centroids.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The order does not name every list exactly once.
    #[error("the order must name each of the {nlist} lists once, but list {list} is repeated or does not exist")]
    Order {
        /// The list.
        list: ListNo,
        /// Number of lists in the index.
        nlist: usize,
    },
    /// The index has an array direct map, but the ids in the lists do not count up from 0.
    #[error("an array direct map is for ids that count up from 0, not for {0}")]
    NotForArray(Id),
    /// The new part does not work with the index.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The index, or an index inside it, has no such part.
    #[error(transparent)]
    Unable(#[from] Unable),
    /// The lists could not be read or written, or are laid out for another codec.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An error of encoding or decoding standalone codes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// Unusable vectors or ids.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The index is not trained.
    #[error("the index is not trained")]
    NotTrained,
    /// The length is not a multiple of the code size.
    #[error("{found} bytes do not divide into codes of {code_size}")]
    Length {
        /// Code size in bytes.
        code_size: usize,
        /// Number of bytes given.
        found: usize,
    },
    /// A code names a list that does not exist.
    #[error("code {code} names list {list}, but there are {nlist} lists")]
    NoSuchList {
        /// Index of the code.
        code: usize,
        /// The list number.
        list: u64,
        /// Number of lists in the index.
        nlist: usize,
    },
    /// Reading or assigning failed.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// The vectors could not be added.
    #[error(transparent)]
    Add(#[from] AddError),
    /// The index, or an index inside it, does not support standalone codes.
    #[error(transparent)]
    Unable(#[from] Unable),
}

/// An error of building an index from a specification.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The component does not support the metric.
    #[error("{kind} does not support the metric {metric}")]
    Metric {
        /// The factory token of the component.
        kind: String,
        /// The metric.
        metric: Metric,
    },
    /// The component does not support the dimension.
    #[error("{kind} does not work in {dim} dimensions: {why}")]
    Dim {
        /// The factory token of the component.
        kind: String,
        /// The dimension.
        dim: usize,
        /// The reason.
        why: String,
    },
    /// The wrapped index lacks an ability that the wrapper needs.
    #[error("{wrapper} cannot wrap the index: {unable}")]
    Unable {
        /// The factory token of the wrapper.
        wrapper: String,
        /// The missing ability.
        unable: Unable,
    },
    /// The machine or the environment of the process does not meet the needs of the index.
    #[error("{0}")]
    Environment(String),
}

impl BuildError {
    /// Returns the factory token of the component that caused the error, if there is one.
    pub fn kind(&self) -> Option<&str> {
        match self {
            Self::Metric { kind, .. } | Self::Dim { kind, .. } => Some(kind),
            Self::Unable { wrapper, .. } => Some(wrapper),
            Self::Environment(_) => None,
        }
    }
}

/// An error of assembling an index from parts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PartsError {
    /// Parts that do not match, or an invalid value.
    #[error("{0}")]
    Mismatch(String),
    /// A part does not support the dimension or the metric.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The codec could not be bound to the centroids.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The lists cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An error of decoding bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end too early.
    #[error("{what}: {needed} bytes are needed and {left} are left")]
    Truncated {
        /// The item that was being read.
        what: &'static str,
        /// Number of bytes that the item needs.
        needed: u64,
        /// Number of bytes left.
        left: u64,
    },
    /// Bytes are left over at the end.
    #[error("{what}: {left} bytes too many")]
    Trailing {
        /// The item that was being read.
        what: &'static str,
        /// Number of bytes left over.
        left: u64,
    },
    /// The fields of a node do not decode.
    #[error("the fields of {tag} do not decode: {why}")]
    Meta {
        /// The tag of the node.
        tag: String,
        /// The message of the decoder.
        why: String,
    },
    /// No row of the registry has the tag.
    #[error("unknown {what} tag '{tag}' (known: {known})")]
    UnknownTag {
        /// The kind of component: codec, store, ...
        what: &'static str,
        /// The tag.
        tag: String,
        /// The known tags.
        known: String,
    },
    /// A node has a later version than this library reads.
    #[error("{tag} has version {found}; this library reads up to {supported}")]
    Version {
        /// The tag of the node.
        tag: String,
        /// The version of the node.
        found: u16,
        /// The newest supported version.
        supported: u16,
    },
    /// A node lacks a field, an array or a child.
    #[error("{tag} has no {what} '{name}'")]
    Missing {
        /// The tag of the node.
        tag: String,
        /// The kind of item: field, array or child.
        what: &'static str,
        /// The name of the item.
        name: String,
    },
    /// A value is invalid.
    #[error("{tag}: {what}")]
    Value {
        /// The tag of the node, or the part of the file.
        tag: String,
        /// The fault.
        what: String,
    },
    /// Bytes could not be read: a file that is read lazily has failed.
    #[error("{what} cannot be read")]
    Read {
        /// The part of the file.
        what: String,
        /// The cause.
        #[source]
        why: Source,
    },
    /// The bytes of a section do not match the checksum in the file.
    #[error("the checksum of {what} is wrong: the bytes are damaged")]
    Checksum {
        /// The part of the file.
        what: String,
    },
}

impl DecodeError {
    /// Creates [`Value`](Self::Value), the error for an invalid value.
    pub fn value(tag: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Value { tag: tag.into(), what: what.into() }
    }
}

/// An error of setting a knob.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KnobError {
    /// No part has a knob of that name.
    #[error("there is no knob '{name}'{}; there are: {known}", faiss_params::reason(name))]
    Unknown {
        /// The requested name.
        name: String,
        /// The known names.
        known: String,
    },
    /// The value has the wrong type or is out of range.
    #[error("{name} must be {must}, not {found}")]
    Value {
        /// The knob.
        name: String,
        /// The range of the knob.
        must: String,
        /// The value that was given.
        found: String,
    },
    /// No part has that path.
    #[error("there is no part '{path}'; there are: {known}")]
    NoSuchPart {
        /// The requested path.
        path: String,
        /// The known paths.
        known: String,
    },
    /// The knob can be set only before training.
    #[error("{name} can be set only before training")]
    Trained {
        /// The knob.
        name: String,
    },
    /// The text does not have the form `name=value`.
    #[error("'{0}' is not of the form name=value")]
    Syntax(String),
    /// One call sets the knob of this name twice.
    #[error("the knob {0} is given twice")]
    Twice(String),
}
