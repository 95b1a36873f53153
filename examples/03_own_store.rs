//! Your own list store, defined outside the library. It keeps only non-empty lists, and splits them
//! into chunks.
//!
//! The codec defines the layout of codes ([`CodeLayout`]). A store keeps blocks and never
//! interprets their bytes, so this one works with every codec. A list is a sequence of chunks, and
//! a reader gets each chunk as a segment. Appending never moves more than a chunk.
//!
//! ```text
//! list 7:    | chunk 0: 64 entries | chunk 1: 64 entries | chunk 2: 9 entries |
//! chunk 2:   ids      9 of them
//!            plane 0  | block 0: slots 0 to 8, then 23 zeroed |        blocks of 32: one is enough for 9
//! list 8:    not in the map, since it is empty
//! ```
//!
//! A snapshot shares every chunk. A write to a shared chunk copies the chunk first.
//!
//! Run it with `cargo run --release --example 03_own_store`. `cargo test --example 03_own_store`
//! runs the conformance suites over it.

use ivf::cpu::IvfIndex;
use ivf::cpu::coarse::FlatQuantizerSpec;
use ivf::cpu::codec::FlatSpec;
use ivf::error::{BuildError, DecodeError, StoreError};
use ivf::extend::*;
use ivf::prelude::*;
use ivf::{Executor, Ids, ListNo, ListOffset, Location, Registry};
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

/// Everything that the library needs to know: how to create the lists when an index is trained, and
/// how to read them.
const ROW: StoreRow = StoreRow::new(
    "sparse",
    |nlist, layout| Ok(Box::new(SparseLists::new(nlist, layout))),
    |node, layout| Ok(Box::new(SparseLists::read(node, layout)?)),
)
.about("non-empty lists, in chunks");

/// Schema of the fields in a file: the layout, which a reader compares with that of the codec.
const SCHEMA: &Schema = &[Field::new("layout", FieldType::Text)];

/// Returns the default registry with this store added.
fn registry() -> Registry {
    ivf::default_registry().clone().with_stores(&[ROW])
}

/// Number of entries of a full chunk: at least 64, in whole blocks.
fn chunk_len(layout: &CodeLayout) -> usize {
    64_usize.next_multiple_of(layout.block_len())
}

/// Up to [`chunk_len`] entries, in the blocks that they need.
#[derive(Clone, Debug)]
struct Chunk {
    ids: Vec<Id>,
    planes: Planes<AlignedBytes>,
}

impl Chunk {
    fn new(layout: &CodeLayout) -> Self {
        Self { ids: Vec::new(), planes: (0..layout.plane_count()).map(|_| AlignedBytes::new()).collect() }
    }

    fn push(&mut self, layout: &CodeLayout, id: Id, code: &[u8]) {
        let slot = self.ids.len();
        self.ids.push(id);
        self.resize_planes(layout);
        layout.put(&mut self.planes_mut(), slot, code);
    }

    fn get(&self, layout: &CodeLayout, slot: usize, code: &mut [u8]) -> Id {
        let planes: Planes<&[u8]> = self.planes.iter().map(|plane| &**plane).collect();
        layout.get(&planes, slot, code);
        self.ids[slot]
    }

    fn put(&mut self, layout: &CodeLayout, slot: usize, id: Id, code: &[u8]) {
        self.ids[slot] = id;
        layout.put(&mut self.planes_mut(), slot, code);
    }

    fn truncate(&mut self, layout: &CodeLayout, len: usize) {
        self.ids.truncate(len);
        self.resize_planes(layout);
        self.clear_rest(layout);
    }

    /// Resizes the planes to the blocks that the entries need.
    fn resize_planes(&mut self, layout: &CodeLayout) {
        for (p, plane) in self.planes.iter_mut().enumerate() {
            plane.resize(layout.plane_bytes(p, self.ids.len()));
        }
    }

    /// Zeros the slots past the end, as the layout's contract requires.
    fn clear_rest(&mut self, layout: &CodeLayout) {
        let zero = vec![0; layout.code_size()];
        let len = self.ids.len();
        let mut planes = self.planes_mut();
        for slot in len..layout.blocks(len) * layout.block_len() {
            layout.put(&mut planes, slot, &zero);
        }
    }

    fn planes_mut(&mut self) -> Planes<&mut [u8]> {
        self.planes.iter_mut().map(|plane| &mut **plane).collect()
    }

    /// Returns the chunk as a segment, which a scan reads.
    fn segment(&self, layout: &CodeLayout) -> Result<Segment<'_>, StoreError> {
        let planes = self.planes.iter().map(|plane| PlaneBytes::Borrowed(plane)).collect();
        Segment::new(layout, SegmentIds::Borrowed(Ids::Listed(&self.ids)), planes)
    }
}

/// A list: full chunks, followed by one that may be partly filled.
#[derive(Clone, Debug, Default)]
struct List(Vec<Arc<Chunk>>);

impl List {
    fn len(&self) -> usize {
        self.0.iter().map(|chunk| chunk.ids.len()).sum()
    }

    fn push(&mut self, layout: &CodeLayout, id: Id, code: &[u8]) {
        if self.0.last().is_none_or(|last| last.ids.len() == chunk_len(layout)) {
            self.0.push(Arc::new(Chunk::new(layout)));
        }
        Arc::make_mut(self.0.last_mut().expect("pushed just above")).push(layout, id, code);
    }

    fn get(&self, layout: &CodeLayout, offset: ListOffset, code: &mut [u8]) -> Id {
        let (chunk, slot) = (offset.index() / chunk_len(layout), offset.index() % chunk_len(layout));
        self.0[chunk].get(layout, slot, code)
    }

    fn put(&mut self, layout: &CodeLayout, offset: ListOffset, id: Id, code: &[u8]) {
        let (chunk, slot) = (offset.index() / chunk_len(layout), offset.index() % chunk_len(layout));
        Arc::make_mut(&mut self.0[chunk]).put(layout, slot, id, code);
    }

    fn truncate(&mut self, layout: &CodeLayout, len: usize) {
        if len >= self.len() {
            return;
        }
        self.0.truncate(len.div_ceil(chunk_len(layout)));
        let full = self.0.len().saturating_sub(1) * chunk_len(layout);
        if let Some(last) = self.0.last_mut() {
            Arc::make_mut(last).truncate(layout, len - full);
        }
    }
}

/// The store: the non-empty lists by number.
#[derive(Clone, Debug)]
struct SparseLists {
    nlist: usize,
    layout: CodeLayout,
    lists: BTreeMap<ListNo, List>,
}

impl SparseLists {
    fn new(nlist: usize, layout: &CodeLayout) -> Self {
        Self { nlist, layout: layout.clone(), lists: BTreeMap::new() }
    }

    fn check(&self, list: ListNo) -> Result<(), StoreError> {
        if list.index() < self.nlist { Ok(()) } else { Err(StoreError::NoSuchList { list, nlist: self.nlist }) }
    }

    fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.lists.values().flat_map(|list| list.0.iter().map(|chunk| &**chunk))
    }

    /// Reads the lists from an exported node. It allocates memory only for bytes that are present.
    fn read(node: &StoredNode, layout: &CodeLayout) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        if node.fields(SCHEMA)?.get::<String>("layout")? != layout.to_string() {
            return Err(DecodeError::value(&node.tag, format!("the codes are not laid out as {layout}")));
        }
        let lens = node.array::<u64>("lens")?;
        let mut ids = Bound::new("ids", node.array::<i64>("ids")?);
        let planes = (0..layout.plane_count()).map(|p| Ok(Bound::new("a plane", node.array(&format!("plane{p}"))?)));
        let mut planes: Planes<Bound<'_, u8>> = planes.collect::<Result<_, DecodeError>>()?;
        let mut lists = Self::new(lens.len(), layout);
        for (no, &len) in (0..).map(ListNo).zip(lens) {
            let too_long = |_| DecodeError::value(&node.tag, format!("list {no} of {len} entries"));
            let mut left = u32::try_from(len).map_err(too_long)? as usize;
            while left > 0 {
                let len = left.min(chunk_len(layout));
                let ids = ids.take(len)?.iter().copied().map(Id).collect();
                let planes = planes.iter_mut().enumerate();
                let copy = |(p, plane): (usize, &mut Bound<'_, u8>)| {
                    Ok(AlignedBytes::copy_of(plane.take(layout.plane_bytes(p, len))?))
                };
                let mut chunk = Chunk { ids, planes: planes.map(copy).collect::<Result<_, DecodeError>>()? };
                chunk.clear_rest(layout);
                lists.lists.entry(no).or_default().0.push(Arc::new(chunk));
                left -= len;
            }
        }
        ids.finish()?;
        planes.into_iter().try_for_each(Bound::finish)?;
        Ok(lists)
    }
}

impl InvertedLists for SparseLists {
    fn tag(&self) -> &str {
        ROW.tag
    }

    fn nlist(&self) -> usize {
        self.nlist
    }

    fn layout(&self) -> &CodeLayout {
        &self.layout
    }

    fn list_len(&self, list: ListNo) -> Result<usize, StoreError> {
        self.check(list)?;
        Ok(self.lists.get(&list).map_or(0, List::len))
    }

    fn list(&self, list: ListNo) -> Result<ListRef<'_>, StoreError> {
        self.check(list)?;
        let chunks = self.lists.get(&list).map_or(&[][..], |list| &list.0);
        let segments = chunks.iter().map(|chunk| chunk.segment(&self.layout));
        Ok(ListRef::new(segments.collect::<Result<Vec<_>, _>>()?))
    }

    fn memory(&self) -> usize {
        let planes = |chunk: &Chunk| chunk.planes.iter().map(AlignedBytes::memory).sum::<usize>();
        let chunk = |chunk: &Chunk| size_of::<Chunk>() + chunk.ids.capacity() * size_of::<Id>() + planes(chunk);
        self.chunks().map(chunk).sum()
    }

    /// Exports the chunks of a list one after the other. Chunks consist of whole blocks, so the
    /// chunk length does not appear in a file.
    fn export(&self) -> Result<Node<'_>, StoreError> {
        let len = |no: u32| self.lists.get(&ListNo(no)).map_or(0, List::len) as u64;
        let lens: Vec<u64> = (0..self.nlist as u32).map(len).collect();
        let ids: Vec<i64> = self.chunks().flat_map(|chunk| &chunk.ids).map(|id| id.0).collect();
        let mut node = Node::new(ROW.tag, 0).with("layout", self.layout.to_string());
        node.push(NamedArray::owned("lens", &[lens.len() as u64], lens));
        node.push(NamedArray::owned("ids", &[ids.len() as u64], ids));
        for p in 0..self.layout.plane_count() {
            let blocks = self.chunks().map(|chunk| &chunk.planes[p][..]);
            node.push(NamedArray::pieces(&format!("plane{p}"), blocks));
        }
        Ok(node)
    }

    fn snapshot(&self) -> Result<Box<dyn InvertedLists>, StoreError> {
        Ok(Box::new(self.clone()))
    }

    fn writer(&mut self) -> Option<&mut dyn InvertedListsMut> {
        Some(self)
    }
}

impl InvertedListsMut for SparseLists {
    fn append(&mut self, batch: &ListBatch<'_>, executor: &dyn Executor) -> Result<(), StoreError> {
        if batch.code_size() != self.layout.code_size() {
            let found = format!("{} bytes a code", batch.code_size());
            return Err(StoreError::Layout { expected: self.layout.to_string(), found });
        }
        for group in batch.groups() {
            let len = self.list_len(group.list)? + group.len();
            u32::try_from(len).map_err(|_| StoreError::ListFull { list: group.list })?;
        }
        for group in batch.groups() {
            self.lists.entry(group.list).or_default();
        }
        // Groups and lists both ascend, so one pass finds the list of each group. The lists are
        // then filled in parallel.
        let mut lists = self.lists.iter_mut();
        let mut own = |no| lists.find(|(list, _)| **list == no).expect("inserted just above").1;
        let jobs: Vec<(&mut List, Group<'_>)> = batch.groups().map(|group| (own(group.list), group)).collect();
        let layout = &self.layout;
        map_items(executor, jobs, |_, (list, group)| {
            group.ids().zip(group.codes()).for_each(|(id, code)| list.push(layout, id, code));
        });
        Ok(())
    }

    fn truncate(&mut self, list: ListNo, len: usize) -> Result<(), StoreError> {
        self.check(list)?;
        if len == 0 {
            self.lists.remove(&list);
        } else if let Some(entries) = self.lists.get_mut(&list) {
            entries.truncate(&self.layout, len);
        }
        Ok(())
    }

    fn put(&mut self, at: Location, id: Id, code: &[u8]) -> Result<(), StoreError> {
        let len = self.list_len(at.list)?;
        if code.len() != self.layout.code_size() {
            return Err(StoreError::Segment { len, what: "a code of another length" });
        }
        let entries = self.lists.get_mut(&at.list).filter(|_| at.offset.index() < len);
        let entries = entries.ok_or(StoreError::NoSuchEntry { at, len })?;
        entries.put(&self.layout, at.offset, id, code);
        Ok(())
    }

    fn remove(&mut self, list: ListNo, offsets: &[ListOffset]) -> Result<Vec<Moved>, StoreError> {
        let len = self.list_len(list)?;
        if let Some(&offset) = offsets.iter().find(|offset| offset.index() >= len) {
            return Err(StoreError::NoSuchEntry { at: Location { list, offset }, len });
        }
        let Some(entries) = self.lists.get_mut(&list) else { return Ok(Vec::new()) };
        let mut code = vec![0; self.layout.code_size()];
        // `closing_moves` determines which entry fills which gap, for all stores alike.
        let moves = closing_moves(len, offsets).into_iter().map(|(from, to)| {
            let id = entries.get(&self.layout, from, &mut code);
            entries.put(&self.layout, to, id, &code);
            Moved { id, from, to }
        });
        let moves = moves.collect();
        self.truncate(list, len - offsets.len())?;
        Ok(moves)
    }

    fn replace(&mut self, list: ListNo, ids: &[Id], codes: &[u8]) -> Result<(), StoreError> {
        self.check(list)?;
        u32::try_from(ids.len()).map_err(|_| StoreError::ListFull { list })?;
        if codes.len() != ids.len() * self.layout.code_size() {
            return Err(StoreError::Segment { len: ids.len(), what: "there is not one code per id" });
        }
        self.lists.remove(&list);
        for (id, code) in ids.iter().zip(codes.chunks_exact(self.layout.code_size())) {
            self.lists.entry(list).or_default().push(&self.layout, *id, code);
        }
        Ok(())
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        self.lists.clear();
        Ok(())
    }
}

/// Returns the index `IVF<nlist>,Flat`, whose codes lie in blocks of 32.
fn ivf_flat(dim: usize, metric: Metric, nlist: usize) -> Result<IvfIndex, BuildError> {
    IvfIndex::new(dim, metric, Arc::new(FlatQuantizerSpec { nlist }), Arc::new(FlatSpec))
}

const DIM: usize = 16;

fn main() -> Result<(), Box<dyn Error>> {
    let data: Vec<f32> = (0..20_000 * DIM).map(|i| (i * i % 10_007) as f32).collect();
    let vectors = Rows::new(&data, DIM)?;
    let queries = vectors.slice(0..100);
    let params = SearchParams::new().nprobe(8);

    let mut default: Box<dyn Index> = Box::new(ivf_flat(DIM, Metric::L2, 64)?);
    let mut index: Box<dyn Index> = Box::new(ivf_flat(DIM, Metric::L2, 64)?.with_store(Arc::new(ROW)));
    for (name, index) in [("the default store", &mut default), ("lists in chunks", &mut index)] {
        index.train(vectors)?;
        index.add(vectors)?;
        let removed = index.remove(&IdSelector::range(5_000..12_000))?;
        println!("{name}: {removed} vectors removed, {} left, {} bytes", index.len(), index.memory());
    }

    let lists = index.as_ivf().and_then(|ivf| ivf.lists()).ok_or("a trained IVF index has lists")?;
    let list = lists.list(ListNo(0))?;
    println!("list 0 in chunks: {} entries, {} segments, {}", list.len(), list.segments().count(), lists.layout());

    let found = index.search(queries, 10, &params)?.hits;
    assert_eq!(found, default.search(queries, 10, &params)?.hits);
    println!("both stores give the same results");

    let folder = tempfile::tempdir()?;
    let path = folder.path().join("sparse.ivf");
    ivf::write_index(&index, &path)?;
    let loaded = ivf::read_index_with(&path, &registry())?;
    assert_eq!(loaded.search(queries, 10, &params)?.hits, found);
    println!("saved and loaded: the same results");

    let unknown = ivf::read_index(&path).expect_err("the default registry does not know these lists").to_string();
    println!("without the row: {}", unknown.replace(&path.display().to_string(), "sparse.ivf"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ivf_testkit::{data, indexes, stores};

    const METRICS: [Metric; 2] = [Metric::L2, Metric::InnerProduct];
    const NLIST: usize = 12;

    #[test]
    fn it_runs() -> Result<(), Box<dyn Error>> {
        main()
    }

    #[test]
    fn the_store_keeps_its_contract() {
        stores::check_store(&|nlist, layout| Box::new(SparseLists::new(nlist, layout)));
    }

    #[test]
    fn the_store_is_read_back_and_damage_is_an_error() {
        stores::check_store_export(&|nlist, layout| Box::new(SparseLists::new(nlist, layout)), &ROW.read);
    }

    /// Returns a trained, empty index over the store that probes every list.
    fn make(metric: Metric) -> Box<dyn Index> {
        let index = ivf_flat(7, metric, NLIST).expect("a metric that Flat takes").with_store(Arc::new(ROW));
        let mut index: Box<dyn Index> = Box::new(index);
        index.train(data::clusters(1, 500, 7, NLIST).rows()).expect("enough vectors");
        index.set_knob("nprobe", NLIST).expect("a knob of every IVF index");
        index
    }

    fn filled(metric: Metric) -> Box<dyn Index> {
        let mut index = make(metric);
        index.add(data::small_integers(2, 900, 7, 5).with_duplicates(3).rows()).expect("trained");
        index
    }

    #[test]
    fn an_index_over_it_is_exact_in_every_mode() {
        let queries = data::clusters(4, 30, 7, 8);
        for metric in METRICS {
            indexes::check_exhaustive(&|| make(metric));
            indexes::check_history(&|| make(metric));
            indexes::check_modes(&*filled(metric), queries.rows(), Some(5));
        }
    }

    #[test]
    fn an_index_over_it_is_read_back_and_damage_is_an_error() {
        let registry = registry();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("index.ivf");
        for metric in METRICS {
            let index = filled(metric);
            indexes::check_reload(&*index, &|index| {
                ivf::write_index(index, &path).expect("a folder to write to");
                ivf::read_index_with(&path, &registry).expect("written just now")
            });
            indexes::check_damaged(&*index, &|node| registry.read_index(node));
        }
    }
}
