//! Exporting the index as a node, and reading it back.

use super::HnswIndex;
use super::graph::{Graph, MAX_LEVEL, MAX_NODES, Rows};
use super::pool::Pool;
use super::spec::{M, must, parse};
use crate::codec::as_rows;
use crate::engine::CodesIndex;
use ivf_core::error::{DecodeError, StoreError};
use ivf_core::field::{Field, FieldType, Schema};
use ivf_core::node::NamedArray;
use ivf_core::registry::{IndexRow, Registry};
use ivf_core::{Index, Node, StoredNode};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The registry row of this index.
pub(crate) const ROW: IndexRow =
    IndexRow::new("hnsw", "HNSW[<M>]", parse, |node, registry| Ok(Box::new(HnswIndex::read(node, registry)?)))
        .about(
            "a graph of the vectors, or of the codes of a codec after a comma or '_'; knobs efSearch, efConstruction",
        )
        .samples(&["HNSW8", "HNSW4,SQ8"])
        .takes_codec(true);

const SCHEMA: &Schema = &[
    Field::new("m", FieldType::UInt),
    Field::new("ef_construction", FieldType::UInt),
    Field::new("ef_search", FieldType::UInt),
    Field::grouped("entry", FieldType::UInt),
];

/// Name of the index of the codes.
const VECTORS: &str = "vectors";

impl HnswIndex {
    pub(super) fn export_node(&self) -> Result<Node<'_>, StoreError> {
        let graph = &*self.graph;
        let m = graph.upper.width;
        let mut node = Node::new(ROW.tag, 0)
            .with("m", m)
            .with("ef_construction", self.ef_construction)
            .with("ef_search", self.ef_search);
        if let Some(entry) = graph.entry {
            node = node.with("entry", entry);
        }
        let rows = |rows: &Rows| [rows.len() as u64, rows.width as u64];
        node.push(NamedArray::borrowed("links", &rows(&graph.ground), &graph.ground.links));
        node.push(NamedArray::borrowed("upper_links", &rows(&graph.upper), &graph.upper.links));
        node.push(NamedArray::borrowed("upper_rows", &[graph.upper_rows.len() as u64], &graph.upper_rows));
        let copies: Vec<u32> =
            graph.copies.iter().flat_map(|(node, copies)| copies.iter().flat_map(|copy| [*node, *copy])).collect();
        node.push(NamedArray::owned("copies", &[copies.len() as u64 / 2, 2], copies));
        node.push_child(VECTORS, self.storage.export()?);
        Ok(node)
    }

    pub(super) fn read(node: &StoredNode, registry: &Registry) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        let fault = |what: String| DecodeError::value(&node.tag, what);
        let fields = node.fields(SCHEMA)?;
        let m: usize = fields.get("m")?;
        if !M.contains(&m) {
            return Err(fault(format!("m is {m}: {}", must())));
        }
        let mut storage = CodesIndex::read(node.child(VECTORS)?, registry)?;
        // A file names the codec, and an index that is not trained has no codes yet.
        storage.map_codec(as_rows);
        let of_store = |error: StoreError| fault(error.to_string());
        storage.hold().map_err(of_store)?;
        let len = match storage.stored().map_err(of_store)? {
            None => 0,
            Some(stored) => {
                let ids = stored.ids();
                if !(1..ids.len()).all(|i| ids.get(i - 1) < ids.get(i)) {
                    return Err(fault("the ids of the vectors do not ascend".to_owned()));
                }
                ids.len()
            }
        };
        let graph = read_graph(node, m, len, fields.opt("entry")?).map_err(|error| match error {
            Fault::Decode(error) => error,
            Fault::Graph(what) => fault(what),
        })?;
        let ef = |name| fields.get::<usize>(name).map(|ef| ef.max(1));
        Ok(Self {
            storage,
            graph: Arc::new(graph),
            ef_construction: ef("ef_construction")?,
            ef_search: ef("ef_search")?,
            pool: Pool::default(),
        })
    }
}

enum Fault {
    Decode(DecodeError),
    Graph(String),
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

/// Reads a graph of `len` nodes, and checks every number in it.
fn read_graph(node: &StoredNode, m: usize, len: usize, entry: Option<u64>) -> Result<Graph, Fault> {
    let fault = |what: String| Err(Fault::Graph(what));
    let (ground, upper) = (node.array::<u32>("links")?, node.array::<u32>("upper_links")?);
    let upper_rows = node.array::<u32>("upper_rows")?;
    if len > MAX_NODES {
        return fault(format!("{len} nodes: at most {MAX_NODES} are supported"));
    }
    if upper_rows.len() != len + 1 || upper_rows[0] != 0 {
        return fault(format!("{} numbers of upper rows for {len} nodes", upper_rows.len()));
    }
    let is_level = |pair: &[u32]| pair[1].checked_sub(pair[0]).is_some_and(|level| level as usize <= MAX_LEVEL);
    if let Some(bad) = upper_rows.windows(2).position(|pair| !is_level(pair)) {
        return fault(format!("the upper rows of node {bad} end before they begin, or are more than {MAX_LEVEL}"));
    }
    let rows = upper_rows[len] as usize;
    if (ground.len() as u64, upper.len() as u64) != ((len * 2 * m) as u64, rows as u64 * m as u64) {
        return fault(format!("{} and {} links for {len} nodes with {rows} upper rows", ground.len(), upper.len()));
    }
    let mut copies: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let (pairs, rest) = node.array::<u32>("copies")?.as_chunks::<2>();
    if !rest.is_empty() || !pairs.is_sorted() {
        return fault("the copies do not ascend".to_owned());
    }
    pairs.iter().for_each(|[node, copy]| copies.entry(*node).or_default().push(*copy));
    let Ok(entry) = entry.map(u32::try_from).transpose() else { return fault("an entry above 2^32".to_owned()) };
    let graph = Graph {
        ground: Rows { links: ground.to_vec(), width: 2 * m },
        upper: Rows { links: upper.to_vec(), width: m },
        upper_rows: upper_rows.to_vec(),
        entry,
        copies,
    };
    graph.check().map_err(Fault::Graph)?;
    Ok(graph)
}
