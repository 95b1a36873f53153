//! Your own list store with a path, defined outside the library: each list is a file in a folder.
//!
//! ```text
//! folder/7.list    | id, 8 bytes | code | id | code | ...      entry after entry
//! index file       the path of the folder; for each list the number of its file and its length
//! ```
//!
//! A file belongs to the store that created it until a snapshot is taken or the index is saved.
//! From then on the file does not change: a write to the list copies it to a file with a new
//! number. So a snapshot costs no copy, and an index file that was saved earlier still finds the
//! lists that it was saved with. (Files that no index needs any more stay in the folder.)
//!
//! The index file stores the path of the folder, as it was passed to the store. An index file from
//! an untrusted source could name any folder. Even then, this store only reads files named
//! `<number>.list`.
//!
//! Run it with `cargo run --release --example 08_store_with_path`.
//! `cargo test --example 08_store_with_path` runs the conformance suites.

use ivf::cpu::IvfIndex;
use ivf::cpu::coarse::FlatQuantizerSpec;
use ivf::cpu::codec::FlatSpec;
use ivf::error::{BuildError, DecodeError, StoreError};
use ivf::extend::*;
use ivf::prelude::*;
use ivf::{Executor, ListNo, ListOffset, Location, Registry};
use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The tag in files, and a reader. The row cannot create lists, since it has no folder.
/// [`FolderSpec`] can.
const ROW: StoreRow = StoreRow::new(
    "folder",
    |_, _| Err(StoreError::Backend("lists in a folder need its path: build the index with a FolderSpec".into())),
    |node, layout| Ok(Box::new(FolderLists::read(node, layout)?)),
)
.about("lists in a folder, one file for each list");

const SCHEMA: &Schema = &[Field::new("path", FieldType::Text), Field::new("layout", FieldType::Text)];

/// Returns the default registry with this store added.
fn registry() -> Registry {
    ivf::default_registry().clone().with_stores(&[ROW])
}

/// Creates the lists of an index once it is trained, in a folder.
#[derive(Clone, Debug)]
struct FolderSpec {
    folder: PathBuf,
}

impl StoreSpec for FolderSpec {
    fn tag(&self) -> &str {
        ROW.tag
    }

    fn create(&self, nlist: usize, layout: &CodeLayout) -> Result<Box<dyn InvertedLists>, StoreError> {
        if u32::try_from(nlist.saturating_sub(1)).is_err() {
            return Err(StoreError::TooManyLists { nlist });
        }
        fs::create_dir_all(&self.folder).map_err(failed)?;
        Ok(Box::new(FolderLists::new(&self.folder, layout, vec![ListFile::default(); nlist])))
    }
}

fn failed(error: io::Error) -> StoreError {
    StoreError::Backend(error.into())
}

/// The file of a list, and the number of entries in it. Bytes after these entries are leftovers of
/// a failed write or of removed entries.
#[derive(Clone, Copy, Debug, Default)]
struct ListFile {
    number: u64,
    len: u32,
}

/// The lists of a folder.
#[derive(Debug)]
struct FolderLists {
    folder: PathBuf,
    layout: CodeLayout,
    lists: Vec<ListFile>,
    /// Files with numbers below this one are never changed, since snapshots or index files may
    /// refer to them. The first file has number 1.
    first_own: AtomicU64,
}

impl FolderLists {
    fn new(folder: &Path, layout: &CodeLayout, lists: Vec<ListFile>) -> Self {
        let lists = Self { folder: folder.to_owned(), layout: layout.clone(), lists, first_own: AtomicU64::new(1) };
        lists.share();
        lists
    }

    /// Marks the current files of all lists as shared, so that they are no longer changed.
    fn share(&self) {
        let last = self.lists.iter().map(|list| list.number).max().unwrap_or_default();
        self.first_own.fetch_max(last.saturating_add(1), Ordering::Relaxed);
    }

    fn read(node: &StoredNode, layout: &CodeLayout) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        let fault = |what: String| DecodeError::value(&node.tag, what);
        let fields = node.fields(SCHEMA)?;
        if fields.get::<String>("layout")? != layout.to_string() {
            return Err(fault(format!("the codes are not laid out as {layout}")));
        }
        let (numbers, lens) = (node.array::<u64>("files")?, node.array::<u32>("lens")?);
        if numbers.len() != lens.len() {
            return Err(fault(format!("{} files and {} lengths", numbers.len(), lens.len())));
        }
        if numbers.iter().any(|number| *number > 1 << 62) {
            return Err(fault("a file number that no store assigns".to_owned()));
        }
        let lists = numbers.iter().zip(lens).map(|(&number, &len)| ListFile { number, len }).collect();
        let lists = Self::new(Path::new(&fields.get::<String>("path")?), layout, lists);
        for (no, list) in lists.lists.iter().enumerate().filter(|(_, list)| list.len > 0) {
            let bytes = fs::metadata(lists.path(list.number)).map_or(0, |file| file.len());
            if bytes < lists.start(list.len as usize) {
                return Err(fault(format!("list {no}: {bytes} bytes in its file, too few for {} entries", list.len)));
            }
        }
        Ok(lists)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number}.list"))
    }

    /// Returns the size of an entry in bytes: the id and the code.
    fn entry_size(&self) -> usize {
        size_of::<Id>() + self.layout.code_size()
    }

    /// Returns the position of an entry in its file, in bytes.
    fn start(&self, offset: usize) -> u64 {
        offset as u64 * self.entry_size() as u64
    }

    fn file(&self, list: ListNo) -> Result<ListFile, StoreError> {
        let nlist = self.lists.len();
        self.lists.get(list.index()).copied().ok_or(StoreError::NoSuchList { list, nlist })
    }

    /// Reads some entries of a list, which must have them, in the format of the file.
    fn entries(&self, list: ListNo, range: Range<usize>) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![0; range.len() * self.entry_size()];
        if !range.is_empty() {
            let mut file = File::open(self.path(self.file(list)?.number)).map_err(failed)?;
            file.seek(SeekFrom::Start(self.start(range.start))).map_err(failed)?;
            file.read_exact(&mut bytes).map_err(failed)?;
        }
        Ok(bytes)
    }

    /// Returns an entry in the format of the file.
    fn entry(id: Id, code: &[u8]) -> impl Iterator<Item = u8> {
        id.0.to_le_bytes().into_iter().chain(code.iter().copied())
    }

    /// Splits an entry into id and code.
    fn parts(entry: &[u8]) -> (Id, &[u8]) {
        let (id, code) = entry.split_at(size_of::<Id>());
        (Id(i64::from_le_bytes(id.try_into().expect("8 bytes"))), code)
    }

    /// Writes `bytes` at entry `from` of a list, and sets the length of the list to `len` entries.
    /// Other entries keep their contents. Shared files are copied first.
    fn write(&mut self, list: ListNo, from: usize, bytes: &[u8], len: usize) -> Result<(), StoreError> {
        let before = self.file(list)?;
        let len = u32::try_from(len).map_err(|_| StoreError::ListFull { list })?;
        let (start, first_own) = (self.start(from), self.first_own.load(Ordering::Relaxed));
        let number = if before.number >= first_own {
            let mut file = OpenOptions::new().write(true).open(self.path(before.number)).map_err(failed)?;
            file.seek(SeekFrom::Start(start)).and_then(|_| file.write_all(bytes)).map_err(failed)?;
            before.number
        } else {
            let entries = self.entries(list, 0..before.len as usize)?;
            let (number, mut file) = self.new_file(first_own)?;
            // Entries after the written bytes are copied as well.
            let rest = entries.get(start as usize + bytes.len()..).unwrap_or_default();
            [&entries[..start as usize], bytes, rest]
                .iter()
                .try_for_each(|part| file.write_all(part))
                .map_err(failed)?;
            number
        };
        self.lists[list.index()] = ListFile { number, len };
        Ok(())
    }

    /// Creates a file with an unused number. Other stores may create files in the same folder at
    /// the same time.
    fn new_file(&self, first: u64) -> Result<(u64, File), StoreError> {
        let own = self.lists.iter().map(|list| list.number + 1).max().unwrap_or(first);
        let mut number = own.max(first);
        loop {
            match OpenOptions::new().write(true).create_new(true).open(self.path(number)) {
                Ok(file) => return Ok((number, file)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(failed(error)),
            }
        }
    }
}

impl InvertedLists for FolderLists {
    fn tag(&self) -> &str {
        ROW.tag
    }

    fn nlist(&self) -> usize {
        self.lists.len()
    }

    fn layout(&self) -> &CodeLayout {
        &self.layout
    }

    fn list_len(&self, list: ListNo) -> Result<usize, StoreError> {
        Ok(self.file(list)?.len as usize)
    }

    fn list(&self, list: ListNo) -> Result<ListRef<'_>, StoreError> {
        self.list_range(list, 0..self.list_len(list)?)
    }

    /// Returns one segment, which owns the bytes that were read, packed in the codec's layout. The
    /// search of a long list calls this for one part after the other.
    fn list_range(&self, list: ListNo, range: Range<usize>) -> Result<ListRef<'_>, StoreError> {
        let end = range.end.min(self.list_len(list)?);
        let start = range.start.min(end);
        let bytes = self.entries(list, start..end)?;
        let (mut ids, mut codes) = (Vec::new(), Vec::new());
        for entry in bytes.chunks_exact(self.entry_size()) {
            let (id, code) = Self::parts(entry);
            ids.push(id);
            codes.extend_from_slice(code);
        }
        let layout = &self.layout;
        let blank = |p| AlignedBytes::zeroed(layout.plane_bytes(p, ids.len()));
        let mut planes: Planes<AlignedBytes> = (0..layout.plane_count()).map(blank).collect();
        layout.pack(&mut planes.iter_mut().map(|plane| &mut **plane).collect::<Planes<_>>(), 0, &codes);
        let planes = planes.into_iter().map(|plane| PlaneBytes::Shared(plane.into())).collect();
        Ok(ListRef::part(start, [Segment::new(layout, SegmentIds::Shared(ids.into()), planes)?]))
    }

    fn memory(&self) -> usize {
        self.lists.capacity() * size_of::<ListFile>()
    }

    /// Exports the path, the file numbers and the lengths, but not the contents of the files.
    fn export(&self) -> Result<Node<'_>, StoreError> {
        self.share();
        let path = self.folder.to_str().ok_or_else(|| StoreError::Backend("a path that is not UTF-8".into()))?;
        let nlist = [self.lists.len() as u64];
        let mut node = Node::new(ROW.tag, 0).with("path", path).with("layout", self.layout.to_string());
        node.push(NamedArray::owned("files", &nlist, self.lists.iter().map(|list| list.number).collect::<Vec<u64>>()));
        node.push(NamedArray::owned("lens", &nlist, self.lists.iter().map(|list| list.len).collect::<Vec<u32>>()));
        Ok(node)
    }

    fn snapshot(&self) -> Result<Box<dyn InvertedLists>, StoreError> {
        self.share();
        Ok(Box::new(Self::new(&self.folder, &self.layout, self.lists.clone())))
    }

    fn writer(&mut self) -> Option<&mut dyn InvertedListsMut> {
        Some(self)
    }
}

impl InvertedListsMut for FolderLists {
    fn append(&mut self, batch: &ListBatch<'_>, _executor: &dyn Executor) -> Result<(), StoreError> {
        if batch.code_size() != self.layout.code_size() {
            let found = format!("{} bytes a code", batch.code_size());
            return Err(StoreError::Layout { expected: self.layout.to_string(), found });
        }
        for group in batch.groups() {
            let len = self.list_len(group.list)? + group.len();
            u32::try_from(len).map_err(|_| StoreError::ListFull { list: group.list })?;
        }
        for group in batch.groups() {
            let len = self.list_len(group.list)?;
            let bytes: Vec<u8> = group.ids().zip(group.codes()).flat_map(|(id, code)| Self::entry(id, code)).collect();
            self.write(group.list, len, &bytes, len + group.len())?;
        }
        Ok(())
    }

    /// Shortens the list. Its file keeps the removed entries until a write replaces them.
    fn truncate(&mut self, list: ListNo, len: usize) -> Result<(), StoreError> {
        let before = self.file(list)?.len as usize;
        self.lists[list.index()].len = len.min(before) as u32;
        Ok(())
    }

    fn put(&mut self, at: Location, id: Id, code: &[u8]) -> Result<(), StoreError> {
        let len = self.list_len(at.list)?;
        if code.len() != self.layout.code_size() {
            return Err(StoreError::Segment { len, what: "a code of another length" });
        }
        if at.offset.index() >= len {
            return Err(StoreError::NoSuchEntry { at, len });
        }
        self.write(at.list, at.offset.index(), &Self::entry(id, code).collect::<Vec<u8>>(), len)
    }

    fn remove(&mut self, list: ListNo, offsets: &[ListOffset]) -> Result<Vec<Moved>, StoreError> {
        let len = self.list_len(list)?;
        if let Some(&offset) = offsets.iter().find(|offset| offset.index() >= len) {
            return Err(StoreError::NoSuchEntry { at: Location { list, offset }, len });
        }
        let (mut bytes, size) = (self.entries(list, 0..len)?, self.entry_size());
        // `closing_moves` determines which entry fills which gap, for all stores alike.
        let moves = closing_moves(len, offsets).into_iter().map(|(from, to)| {
            bytes.copy_within(from.index() * size..(from.index() + 1) * size, to.index() * size);
            Moved { id: Self::parts(&bytes[to.index() * size..]).0, from, to }
        });
        let moves: Vec<Moved> = moves.collect();
        let left = len - offsets.len();
        if !moves.is_empty() {
            self.write(list, 0, &bytes[..left * size], left)?;
        }
        self.truncate(list, left)?;
        Ok(moves)
    }

    fn replace(&mut self, list: ListNo, ids: &[Id], codes: &[u8]) -> Result<(), StoreError> {
        self.file(list)?;
        u32::try_from(ids.len()).map_err(|_| StoreError::ListFull { list })?;
        if codes.len() != ids.len() * self.layout.code_size() {
            return Err(StoreError::Segment { len: ids.len(), what: "there is not one code per id" });
        }
        let entries = ids.iter().zip(codes.chunks_exact(self.layout.code_size()));
        let bytes: Vec<u8> = entries.flat_map(|(id, code)| Self::entry(*id, code)).collect();
        self.write(list, 0, &bytes, ids.len())
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        (0..self.lists.len() as u32).try_for_each(|list| self.truncate(ListNo(list), 0))
    }
}

/// Returns the index `IVF<nlist>,Flat` with its lists in a folder.
fn ivf_flat(dim: usize, metric: Metric, nlist: usize, folder: &Path) -> Result<IvfIndex, BuildError> {
    let index = IvfIndex::new(dim, metric, Arc::new(FlatQuantizerSpec { nlist }), Arc::new(FlatSpec))?;
    Ok(index.with_store(Arc::new(FolderSpec { folder: folder.to_owned() })))
}

const DIM: usize = 16;

fn main() -> Result<(), Box<dyn Error>> {
    let data: Vec<f32> = (0..10_000 * DIM).map(|i| (i * i % 10_007) as f32).collect();
    let vectors = Rows::new(&data, DIM)?;
    let (queries, params) = (vectors.slice(0..50), SearchParams::new().nprobe(8));
    let folder = tempfile::tempdir()?;
    let (lists, path) = (folder.path().join("lists"), folder.path().join("index.ivf"));

    let mut index: Box<dyn Index> = Box::new(ivf_flat(DIM, Metric::L2, 32, &lists)?);
    index.train(vectors)?;
    index.add(vectors)?;
    let found = index.search(queries, 10, &params)?.hits;
    ivf::write_index(&index, &path)?;
    let sizes = (fs::metadata(&path)?.len(), fs::read_dir(&lists)?.count());
    println!(
        "{} vectors: {} bytes of memory, an index file of {} bytes, {} lists",
        index.len(),
        index.memory(),
        sizes.0,
        sizes.1
    );

    // The index changes. The snapshot and the saved index keep their lists.
    let snapshot = index.clone_index()?;
    let removed = index.remove(&IdSelector::range(0..5_000))?;
    println!("{removed} vectors removed, {} left; the snapshot has {}", index.len(), snapshot.len());
    assert_eq!(snapshot.search(queries, 10, &params)?.hits, found);
    let loaded = ivf::read_index_with(&path, &registry())?;
    assert_eq!(loaded.search(queries, 10, &params)?.hits, found);
    println!("saved and read back: {} vectors, the same results", loaded.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ivf_testkit::{data, indexes, stores};

    const NLIST: usize = 12;

    #[test]
    fn it_runs() -> Result<(), Box<dyn Error>> {
        main()
    }

    /// Returns a function that creates lists, each store in its own folder.
    fn make(root: &Path) -> impl Fn(usize, &CodeLayout) -> Box<dyn InvertedLists> {
        let (root, count) = (root.to_owned(), AtomicU64::new(0));
        move |nlist, layout| {
            let folder = root.join(count.fetch_add(1, Ordering::Relaxed).to_string());
            FolderSpec { folder }.create(nlist, layout).expect("a folder to write to")
        }
    }

    #[test]
    fn the_store_keeps_its_contract() {
        let root = tempfile::tempdir().expect("a temporary folder");
        stores::check_store(&make(root.path()));
    }

    #[test]
    fn the_store_is_read_back_and_damage_is_an_error() {
        let root = tempfile::tempdir().expect("a temporary folder");
        stores::check_store_export(&make(root.path()), &ROW.read);
    }

    #[test]
    fn a_row_alone_makes_no_lists() {
        let refused = (ROW.create)(1, &CodeLayout::rows(4));
        assert!(matches!(refused, Err(StoreError::Backend(_))), "{refused:?}");
    }

    #[test]
    fn an_index_over_it_is_exact_and_read_back() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let (path, count) = (root.path().join("index.ivf"), AtomicU64::new(0));
        let make = || {
            let lists = root.path().join(count.fetch_add(1, Ordering::Relaxed).to_string());
            let mut index: Box<dyn Index> = Box::new(ivf_flat(7, Metric::L2, NLIST, &lists).expect("a good metric"));
            index.train(data::clusters(1, 500, 7, NLIST).rows()).expect("enough vectors");
            index.set_knob("nprobe", NLIST).expect("a knob of every IVF index");
            index
        };
        indexes::check_exhaustive(&make);
        let mut index = make();
        index.add(data::small_integers(2, 900, 7, 5).with_duplicates(3).rows()).expect("trained");
        indexes::check_modes(&*index, data::clusters(4, 30, 7, 8).rows(), Some(5));
        indexes::check_bad_input(&mut *index);
        let registry = registry();
        indexes::check_reload(&*index, &|index| {
            ivf::write_index(index, &path).expect("a folder to write to");
            ivf::read_index_with(&path, &registry).expect("written just now")
        });
        indexes::check_damaged(&*index, &|node| registry.read_index(node));
    }
}
