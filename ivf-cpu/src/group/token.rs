//! The tokens `Shards<n>(<index>)` and `Replicas<n>(<index>)`, and the form in files.

use super::{Group, Kind};
use ivf_core::error::{BuildError, DecodeError, StoreError};
use ivf_core::field::{Field, FieldType, Schema};
use ivf_core::registry::{IndexRow, IndexSpec, Parsed, Registry, Token, TokenError};
use ivf_core::{Index, Metric, Node, StoredNode};
use std::fmt;
use std::sync::Arc;

/// The registry row of shards.
pub(crate) const SHARDS: IndexRow = IndexRow::new(
    "shards",
    "Shards<n>(<index>)",
    |token, registry| parse(token, registry, Kind::Shards),
    |node, registry| Ok(Box::new(Group::read(node, registry, Kind::Shards)?)),
)
.about("n indexes of one training, each with a part of the vectors; a search merges their results")
.samples(&["Shards3(IVF16,Flat)"]);

/// The registry row of replicas.
pub(crate) const REPLICAS: IndexRow = IndexRow::new(
    "replicas",
    "Replicas<n>(<index>)",
    |token, registry| parse(token, registry, Kind::Replicas),
    |node, registry| Ok(Box::new(Group::read(node, registry, Kind::Replicas)?)),
)
.about("n indexes with the same vectors, which share the queries of a call")
.samples(&["Replicas2(Flat)"]);

/// Maximum number of members.
pub(super) const MOST: usize = 64;

/// Maximum number of groups in a token, itself included. Each may multiply the number of indexes.
const MOST_LEVELS: usize = 2;

const SCHEMA: &Schema = &[Field::new("members", FieldType::UInt), Field::new("next_id", FieldType::UInt)];

/// Returns the name of member number `i` in files.
fn member_name(i: usize) -> String {
    format!("member{i}")
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Shards => "Shards",
            Self::Replicas => "Replicas",
        }
    }

    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Shards => "shards",
            Self::Replicas => "replicas",
        }
    }

    pub(super) fn row(self) -> IndexRow {
        match self {
            Self::Shards => SHARDS,
            Self::Replicas => REPLICAS,
        }
    }
}

/// Returns the number of groups in a factory string.
fn levels(text: &str) -> usize {
    [Kind::Shards, Kind::Replicas].iter().map(|kind| text.matches(kind.name()).count()).sum()
}

fn parse(token: &Token<'_>, registry: &Registry, kind: Kind) -> Parsed<dyn IndexSpec> {
    let number = token.name().strip_prefix(kind.name())?;
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(parse_group(token, registry, kind, number).map(|spec| Arc::new(spec) as _))
}

fn parse_group(token: &Token<'_>, registry: &Registry, kind: Kind, number: &str) -> Result<GroupSpec, TokenError> {
    let at = kind.name().len()..token.name().len();
    let noun = kind.noun();
    let members = match number.parse::<usize>() {
        Ok(members) if (1..=MOST).contains(&members) => members,
        _ if number.is_empty() => {
            let what = format!("the number of {noun} must follow, as in {}3(IVF16,Flat)", kind.name());
            return Err(TokenError::new(at, what));
        }
        _ => return Err(TokenError::new(at, format!("the number of {noun} must be from 1 to {MOST}"))),
    };
    if levels(token.text()) > MOST_LEVELS {
        let what = format!("more than {MOST_LEVELS} of Shards and Replicas in one of them");
        return Err(TokenError::new(token.arguments_span(), what));
    }
    Ok(GroupSpec { kind, members, index: token.index_argument(registry)? })
}

/// The specification of a group.
#[derive(Debug)]
struct GroupSpec {
    kind: Kind,
    members: usize,
    index: Arc<dyn IndexSpec>,
}

impl fmt::Display for GroupSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}({})", self.kind.name(), self.members, self.index)
    }
}

impl IndexSpec for GroupSpec {
    fn build(&self, dim: usize, metric: Metric) -> Result<Box<dyn Index>, BuildError> {
        let built = (0..self.members).map(|_| self.index.build(dim, metric)).collect::<Result<Vec<_>, _>>()?;
        let fault = |why: String| BuildError::Dim { kind: self.to_string(), dim, why };
        let mut group = Group::of_members(self.kind, built).map_err(|error| fault(error.to_string()))?;
        if group.as_add().is_none() {
            let ability = if self.kind == Kind::Shards { "add with ids" } else { "add" };
            let mut unable = group.first().unable(ability);
            if group.members[0].as_add().is_some() {
                unable.help = Some(format!("{}{}(IDMap2,{})", self.kind.name(), self.members, self.index));
            }
            return Err(BuildError::Unable { wrapper: self.to_string(), unable });
        }
        Ok(Box::new(group))
    }
}

impl Group {
    pub(super) fn export_node(&self) -> Result<Node<'_>, StoreError> {
        if self.kind == Kind::Replicas && self.members.iter().any(|replica| replica.len() != self.len()) {
            // Do not overwrite a readable file with one that cannot be read.
            return Err(StoreError::Inconsistent("replicas differ in the number of vectors".to_owned()));
        }
        let mut node =
            Node::new(self.kind.row().tag, 0).with("members", self.members.len()).with("next_id", self.next_id);
        for (i, member) in self.members.iter().enumerate() {
            node.push_child(&member_name(i), member.export()?);
        }
        Ok(node)
    }

    fn read(node: &StoredNode, registry: &Registry, kind: Kind) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        let fields = node.fields(SCHEMA)?;
        let (members, next_id) = (fields.get::<u64>("members")?, fields.get::<u64>("next_id")?);
        let fault = |what: String| DecodeError::value(&node.tag, what);
        let members = usize::try_from(members).ok().filter(|members| *members <= MOST);
        let members = members.ok_or_else(|| fault(format!("more than {MOST} {}", kind.noun())))?;
        let read = (0..members).map(|i| registry.read_index(node.child(&member_name(i))?));
        let members = read.collect::<Result<Vec<_>, DecodeError>>()?;
        let group = match kind {
            Kind::Shards => Self::shards(members),
            Kind::Replicas => Self::replicas(members),
        };
        let group = group.map_err(|error| fault(error.to_string()))?;
        // The next id may be higher, if a larger id was removed. No id can follow 2^63 - 1.
        if !(group.next_id..=1 << 63).contains(&next_id) {
            return Err(fault(format!("the next id is {next_id}, and must be from {} to 2^63", group.next_id)));
        }
        Ok(Self { next_id, ..group })
    }
}
