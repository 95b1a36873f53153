//! One small error for each verb.

use crate::id::{Id, ListNo, Location};
use crate::metric::Metric;
use crate::rows::RowsError;
use std::borrow::Cow;
use std::error::Error;

/// An error of somebody else's making: a store's database, a driver.
pub type Source = Box<dyn Error + Send + Sync>;

/// An index was asked for an ability it does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{index} cannot {ability}{}", help.as_ref().map(|help| format!(": {help}")).unwrap_or_default())]
pub struct Unable {
    /// What was asked for: "add", "remove", ...
    pub ability: &'static str,
    /// The factory string of the index.
    pub index: String,
    /// What would help: "wrap it, IDMap2,Flat,RFlat".
    pub help: Option<String>,
}

/// Something is wrong with the vectors a caller passed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// Vectors of another dimension than the index's.
    #[error("vectors of {found} dimensions for an index of {expected}")]
    Dim {
        /// The index's dimension.
        expected: usize,
        /// The vectors' dimension.
        found: usize,
    },
    /// A NaN or an infinity.
    #[error("vector {row} holds a NaN or an infinity")]
    NonFinite {
        /// Number of the vector in the caller's rows.
        row: usize,
    },
    /// A vector without direction where one is needed (cosine, `L2norm`).
    #[error("vector {row} has no direction: its length is zero, or beyond the range of f32")]
    ZeroVector {
        /// Number of the vector in the caller's rows.
        row: usize,
    },
    /// As many ids as vectors are needed.
    #[error("{ids} ids for {rows} vectors")]
    IdCount {
        /// Vectors passed.
        rows: usize,
        /// Ids passed.
        ids: usize,
    },
    /// The slice is no matrix.
    #[error(transparent)]
    Rows(#[from] RowsError),
}

/// Why a store could not read or write.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A list number past the end.
    #[error("there is no list {list}: the store has {nlist}")]
    NoSuchList {
        /// The number asked for.
        list: ListNo,
        /// How many lists there are.
        nlist: usize,
    },
    /// An offset past the end of its list.
    #[error("list {} has {len} entries, so none at {}", at.list, at.offset.0)]
    NoSuchEntry {
        /// The place asked for.
        at: Location,
        /// The length of the list.
        len: usize,
    },
    /// Codes of one layout for a store of another.
    #[error("codes laid out as {found} for lists of {expected}")]
    Layout {
        /// The store's layout.
        expected: String,
        /// The other one.
        found: String,
    },
    /// Ids and planes that do not fit together.
    #[error("a segment of {len} entries is malformed: {what}")]
    Segment {
        /// Entries of the segment.
        len: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// More than 2^32 - 1 entries in a list.
    #[error("list {list} is full: a list holds at most 2^32 - 1 entries")]
    ListFull {
        /// The list.
        list: ListNo,
    },
    /// More lists than the store has room to number.
    #[error("{nlist} lists are too many: a store holds at most 2^32")]
    TooManyLists {
        /// Lists asked for.
        nlist: usize,
    },
    /// The store cannot be copied, as a snapshot would be.
    #[error("a store of kind '{tag}' gives no snapshots")]
    NoSnapshot {
        /// The store's tag.
        tag: String,
    },
    /// Parts of an index that do not fit together: what they were opened from was damaged.
    #[error("the index is inconsistent: {0}")]
    Inconsistent(String),
    /// The store is read-only.
    #[error("these lists are read-only")]
    ReadOnly,
    /// What holds the bytes failed.
    #[error("reading or writing the lists failed")]
    Backend(#[source] Source),
}

/// Why training failed. The index is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// Unusable vectors.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Fewer training vectors than there are things to learn.
    #[error("{found} training vectors are too few: at least {needed} are needed")]
    TooFew {
        /// The least number that would do.
        needed: usize,
        /// The number given.
        found: usize,
    },
    /// The index holds vectors, coded with what training would replace.
    #[error("the index holds {len} vectors: reset it before training it again")]
    NotEmpty {
        /// Vectors in the index.
        len: usize,
    },
    /// The kind does not work with the metric or the dimension.
    #[error("{kind} does not support {what}")]
    Unsupported {
        /// The factory token of the kind.
        kind: String,
        /// What it does not support.
        what: String,
    },
    /// The caller cancelled.
    #[error("cancelled")]
    Cancelled,
    /// What the codec makes of the lists ahead of all searches could not be made.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The lists could not be made.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The index, or one inside it, cannot be trained.
    #[error(transparent)]
    Unable(#[from] Unable),
}

impl From<Cancelled> for TrainError {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}

/// The caller cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cancelled")]
pub struct Cancelled;

/// Why a codec could not be bound to the centroids of an index.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// What it needs for the lists, and cannot do without, takes more memory than it was given.
    #[error("{kind} needs {needed} bytes of tables for the lists, and may take {budget}")]
    Memory {
        /// The factory token of the codec.
        kind: String,
        /// Bytes it needs.
        needed: usize,
        /// Bytes it may take.
        budget: usize,
    },
    /// The codec does not work with the centroids, or not without residuals.
    #[error("{kind} does not support {what}")]
    Unsupported {
        /// The factory token of the codec.
        kind: String,
        /// What it does not support.
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

/// Why adding failed. The index is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// The index has learnt nothing yet.
    #[error("the index is not trained")]
    NotTrained,
    /// Unusable vectors or ids.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The ids counted up by `add` would pass `i64::MAX`.
    #[error("there are no ids left to count up to")]
    IdsExhausted,
    /// The index has a direct map of kind Array, which takes only ids that count up from 0.
    #[error("an array direct map takes no ids of the caller's own (id {id} at a place for {expected})")]
    IdNotSequential {
        /// The id given.
        id: Id,
        /// The id it takes next.
        expected: Id,
    },
    /// The caller cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The coarse quantizer named no list for a vector.
    #[error("the coarse quantizer has no list for vector {row}")]
    Unassigned {
        /// Number of the vector in the caller's rows.
        row: usize,
    },
    /// A list named for a vector is not there.
    #[error("vector {row} is for list {list}, but there are {nlist} lists")]
    NoSuchList {
        /// Number of the vector in the caller's rows.
        row: usize,
        /// The list named.
        list: ListNo,
        /// How many lists there are.
        nlist: usize,
    },
    /// As many list numbers as vectors are needed.
    #[error("{lists} list numbers for {rows} vectors")]
    ListCount {
        /// Vectors passed.
        rows: usize,
        /// List numbers passed.
        lists: usize,
    },
    /// The coarse quantizer failed.
    #[error("assigning the vectors to lists failed")]
    Assign(#[source] Box<SearchError>),
    /// The lists could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The index, or one inside it, cannot add.
    #[error(transparent)]
    Unable(#[from] Unable),
}

/// Why a search failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// The index has learnt nothing yet.
    #[error("the index is not trained")]
    NotTrained,
    /// Unusable queries.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A parameter the index has no use for: an error, since ignoring it would change the answer behind the caller's back.
    #[error("{index} does not take the search parameter {param}")]
    UnsupportedParam {
        /// Its name: a field of [`SearchParams`](crate::SearchParams), or one that no component of
        /// the index declares.
        param: Cow<'static, str>,
        /// The index's kind.
        index: &'static str,
    },
    /// A parameter out of its range.
    #[error("{param} must be {must}, not {found}")]
    InvalidParam {
        /// The parameter.
        param: Cow<'static, str>,
        /// Its range.
        must: Cow<'static, str>,
        /// What was given.
        found: String,
    },
    /// A probe that names no list.
    #[error("query {row} probes list {list}, but there are {nlist} lists")]
    NoSuchList {
        /// The query.
        row: usize,
        /// The list named.
        list: ListNo,
        /// How many lists there are.
        nlist: usize,
    },
    /// Lists and coarse distances that do not divide into rows of probes.
    #[error("{lists} lists and {distances} coarse distances do not make rows of {nprobe} probes")]
    Probes {
        /// Probes of a row.
        nprobe: usize,
        /// Lists passed.
        lists: usize,
        /// Coarse distances passed.
        distances: usize,
    },
    /// Probes, sinks and queries differ in number.
    #[error("{found} rows of {what} for {queries} queries")]
    Count {
        /// What was passed beside the queries.
        what: &'static str,
        /// How many of them.
        found: usize,
        /// How many queries.
        queries: usize,
    },
    /// The caller cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The lists could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A refining index could not get a vector back.
    #[error(transparent)]
    Reconstruct(#[from] ReconstructError),
    /// The index, or one inside it, lacks an ability.
    #[error(transparent)]
    Unable(#[from] Unable),
}

impl SearchError {
    /// A parameter out of its range.
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

/// Why a vector could not be reconstructed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReconstructError {
    /// No entry has the id.
    #[error("there is no vector with id {0}")]
    NoSuchId(Id),
    /// The index has learnt nothing yet.
    #[error("the index is not trained")]
    NotTrained,
    /// The output slice has another length than the dimension.
    #[error("{found} places for a vector of {expected} dimensions")]
    OutputLength {
        /// The dimension.
        expected: usize,
        /// The length of the slice.
        found: usize,
    },
    /// The lists could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The index, or one inside it, cannot reconstruct.
    #[error(transparent)]
    Unable(#[from] Unable),
}

/// Why vectors could not be removed or updated. The index is as it was, unless a store failed half way.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// Unusable vectors or ids.
    #[error(transparent)]
    Input(#[from] InputError),
    /// No entry has the id.
    #[error("there is no vector with id {0}")]
    NoSuchId(Id),
    /// An array direct map was asked for, and an id is negative or far beyond the number of vectors.
    #[error("an array direct map is for ids that count up from 0, not for {0}")]
    NotForArray(Id),
    /// An id named twice in one update.
    #[error("id {0} stands twice in the update")]
    TwiceNamed(Id),
    /// The index has learnt nothing yet.
    #[error("the index is not trained")]
    NotTrained,
    /// The lists could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The new vectors could not be added.
    #[error(transparent)]
    Add(#[from] AddError),
    /// The index, or one inside it, cannot do this.
    #[error(transparent)]
    Unable(#[from] Unable),
}

/// Why two indexes could not be merged. Both are as they were.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// The indexes differ in something that decides what a code means.
    #[error("the indexes differ in {0}")]
    Incompatible(&'static str),
    /// A subset that cannot be.
    #[error("no such part of an index: {what}, not {found}")]
    Subset {
        /// What it must be.
        what: &'static str,
        /// What was asked for.
        found: String,
    },
    /// An id of the other index plus the shift is no `i64`.
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
    /// The index, or one inside it, cannot merge.
    #[error(transparent)]
    Unable(#[from] Unable),
}

/// Why a part of an index could not be put in the place of another. The index is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplaceError {
    /// The index has learnt nothing yet.
    #[error("the index is not trained")]
    NotTrained,
    /// Another number of lists.
    #[error("{found} lists for an index of {expected}")]
    ListCount {
        /// Lists of the index.
        expected: usize,
        /// Lists of the other part.
        found: usize,
    },
    /// A quantizer of other vectors.
    #[error("a quantizer of {found} dimensions for an index of {expected}")]
    Dim {
        /// The index's dimension.
        expected: usize,
        /// The quantizer's.
        found: usize,
    },
    /// A quantizer that was trained for another metric.
    #[error("a quantizer for {found} in an index for {expected}")]
    Metric {
        /// The index's metric.
        expected: Metric,
        /// The quantizer's.
        found: Metric,
    },
    /// The index holds vectors that stand in lists around other centroids.
    #[error("the index holds {len} vectors, and the centroid of list {list} is another one: reset it first")]
    Centroid {
        /// Vectors in the index.
        len: usize,
        /// The first list whose centroid differs.
        list: ListNo,
    },
    /// A centroid with a NaN or an infinity.
    #[error("the centroid of list {list} holds a NaN or an infinity")]
    NonFinite {
        /// The list.
        list: ListNo,
    },
    /// A quantizer without a factory token, such as that of a standalone index: an index with it could not be named, nor read from a file.
    #[error("a quantizer that has no factory token")]
    Nameless,
    /// The quantizer cannot give its lists other numbers.
    #[error("the quantizer {quantizer} cannot renumber its lists")]
    FixedNumbers {
        /// The factory token of the quantizer.
        quantizer: String,
    },
    /// The codec could not be bound to the new centroids.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Not every list named once.
    #[error("the order names list {list} a second time, or it is not there: {nlist} lists, each once")]
    Order {
        /// The list.
        list: ListNo,
        /// How many lists there are.
        nlist: usize,
    },
    /// The index has an array direct map, and the ids in the lists are not for one.
    #[error("an array direct map is for ids that count up from 0, not for {0}")]
    NotForArray(Id),
    /// The kind of the part does not work with the index.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The index, or one inside it, has no such part.
    #[error(transparent)]
    Unable(#[from] Unable),
    /// The lists could not be read or written, or are laid out for another codec.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why standalone codes could not be made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// Unusable vectors or ids.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The index has learnt nothing yet.
    #[error("the index is not trained")]
    NotTrained,
    /// The bytes do not divide into codes.
    #[error("{found} bytes do not divide into codes of {code_size}")]
    Length {
        /// Bytes of a code.
        code_size: usize,
        /// Bytes given.
        found: usize,
    },
    /// A code names a list that is not there.
    #[error("code {code} names list {list}, but there are {nlist} lists")]
    NoSuchList {
        /// Number of the code.
        code: usize,
        /// The list it names.
        list: u64,
        /// How many lists there are.
        nlist: usize,
    },
    /// Reading or assigning failed.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// The vectors could not be added.
    #[error(transparent)]
    Add(#[from] AddError),
    /// The index, or one inside it, has no standalone codes.
    #[error(transparent)]
    Unable(#[from] Unable),
}

/// Why a specification cannot become an index.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The kind does not work with the metric.
    #[error("{kind} does not support the metric {metric}")]
    Metric {
        /// The factory token of the kind.
        kind: String,
        /// The metric.
        metric: Metric,
    },
    /// The kind does not work with the dimension.
    #[error("{kind} does not work in {dim} dimensions: {why}")]
    Dim {
        /// The factory token of the kind.
        kind: String,
        /// The dimension.
        dim: usize,
        /// What it needs.
        why: String,
    },
    /// The wrapped index lacks an ability that the wrapper lives on.
    #[error("{wrapper} cannot wrap it: {unable}")]
    Unable {
        /// The factory token of the wrapper.
        wrapper: String,
        /// What is missing.
        unable: Unable,
    },
    /// Something about the machine or the process is not as the index needs it.
    #[error("{0}")]
    Environment(String),
}

impl BuildError {
    /// The factory token of the kind that refuses, if it is one that does.
    pub fn kind(&self) -> Option<&str> {
        match self {
            Self::Metric { kind, .. } | Self::Dim { kind, .. } => Some(kind),
            Self::Unable { wrapper, .. } => Some(wrapper),
            Self::Environment(_) => None,
        }
    }
}

/// Why parts do not make an index.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PartsError {
    /// Parts that do not fit together, or a value that cannot be.
    #[error("{0}")]
    Mismatch(String),
    /// A part does not work with the dimension or the metric.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The codec could not be bound to the centroids.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The lists cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why bytes are not what they claim to be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end too early.
    #[error("{what}: {needed} bytes are needed and {left} are left")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Bytes it needs.
        needed: u64,
        /// Bytes there are.
        left: u64,
    },
    /// Bytes are left over where none should be.
    #[error("{what}: {left} bytes too many")]
    Trailing {
        /// What was being read.
        what: &'static str,
        /// Bytes left over.
        left: u64,
    },
    /// A kind's own fields do not decode.
    #[error("the fields of {tag} do not decode: {why}")]
    Meta {
        /// The node's tag.
        tag: String,
        /// What the decoder says.
        why: String,
    },
    /// No row of the registry has the tag.
    #[error("no {what} is known by the tag '{tag}' (known: {known})")]
    UnknownTag {
        /// The sort of thing: codec, store, ...
        what: &'static str,
        /// The tag.
        tag: String,
        /// The tags there are.
        known: String,
    },
    /// A node of a later version than this library reads.
    #[error("{tag} has version {found}; this library reads up to {supported}")]
    Version {
        /// The node's tag.
        tag: String,
        /// Its version.
        found: u16,
        /// The newest version known.
        supported: u16,
    },
    /// A node lacks an array or a child.
    #[error("{tag} has no {what} '{name}'")]
    Missing {
        /// The node's tag.
        tag: String,
        /// Array or child.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A value that cannot be.
    #[error("{tag}: {what}")]
    Value {
        /// The node's tag, or the part of the file.
        tag: String,
        /// What is wrong.
        what: String,
    },
    /// Bytes that could not be had: a file that is read only when they are asked for has failed.
    #[error("{what} cannot be read")]
    Read {
        /// The part of the file.
        what: String,
        /// Why not.
        #[source]
        why: Source,
    },
    /// A section whose bytes do not have the checksum that the file says.
    #[error("the checksum of {what} is wrong: the bytes are damaged")]
    Checksum {
        /// The part of the file.
        what: String,
    },
}

impl DecodeError {
    /// A value that cannot be.
    pub fn value(tag: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Value { tag: tag.into(), what: what.into() }
    }
}

/// Why a knob could not be turned.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KnobError {
    /// No part has a knob of that name.
    #[error("there is no knob '{name}'; there are: {known}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The value is of the wrong type or out of range.
    #[error("{name} must be {must}, not {found}")]
    Value {
        /// The knob.
        name: String,
        /// Its range.
        must: String,
        /// What was given.
        found: String,
    },
    /// A path at which no part stands.
    #[error("there is no part '{path}'; there are: {known}")]
    NoSuchPart {
        /// The path asked for.
        path: String,
        /// The paths there are.
        known: String,
    },
    /// The knob can be set only before training.
    #[error("{name} can be set only before training")]
    Trained {
        /// The knob.
        name: String,
    },
    /// Text that is no `name=value`.
    #[error("'{0}' is not of the form name=value")]
    Syntax(String),
}
