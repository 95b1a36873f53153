//! 50,000 damaged index files, read within an address space of 2 GiB. Each one must give an error
//! or an index that answers.

#![cfg(target_os = "linux")]

use ivf::executor::Inline;
use ivf::io::{Map, decode_container};
use ivf::{AddOptions, Id, IdSelector, Index, Rows, SearchParams, default_registry};
use ivf_testkit::data::{Random, random};
use ivf_testkit::reseal::reseal;
use ivf_testkit::sealed::SealedFile;
use rand::RngExt;
use std::cell::Cell;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

const FILES: u64 = 50_000;
const ADDRESS_SPACE: u64 = 2 << 30;
/// Largest dimension of a damaged index that is searched. A damaged file may declare any dimension.
const GREATEST: usize = 1 << 12;

/// Returns the golden files with their numbers of sections.
fn whole_files() -> Vec<(Vec<u8>, usize)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let paths = fs::read_dir(folder).expect("the golden files").map(|entry| entry.expect("a file").path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|end| end == "ivf")).collect();
    paths.sort();
    let sections = |path: &Path| ivf::io::Container::open(path).expect("a whole file").sections().len();
    paths.iter().map(|path| (fs::read(path).expect("a file"), sections(path))).collect()
}

/// Changes 1 to 8 bytes. Half of the files are damaged only in their first 1024 bytes, which
/// contain most of the structure.
fn damage(file: &mut [u8], random: &mut Random) {
    let end = if random.random() { file.len() } else { file.len().min(1024) };
    for _ in 0..random.random_range(1..=8) {
        let at = random.random_range(0..end);
        file[at] = match random.random_range(0..4) {
            0 => 0,
            1 => 0xff,
            2 => file[at] ^ 1 << random.random_range(0..8),
            _ => random.random(),
        };
    }
}

/// Calls the functions of an index. Errors are allowed.
fn use_it(mut index: Box<dyn Index>) {
    index.spec();
    index.parts();
    index.memory();
    let dim = index.dim();
    if dim > GREATEST {
        return;
    }
    let queries: Vec<f32> = (0..2 * dim).map(|i| (i % 7) as f32 / 8.0).collect();
    let rows = Rows::new(&queries, dim).expect("an index has a dimension");
    let params = || SearchParams::new().executor(&Inline);
    if let Ok(found) = index.search(rows, 5, &params()) {
        for id in found.hits.rows().flat_map(|row| row.ids) {
            let _ = index.reconstruct(*id);
        }
    }
    if let Some(range) = index.as_range_search() {
        let _ = range.range_search(rows.into(), 0.5, &params());
    }
    if let Some(add) = index.as_add() {
        let _ = add.add(rows.into(), &AddOptions::new().executor(&Inline));
    }
    let _ = index
        .as_update()
        .map(|update| update.update(&[Id(2), Id(5)], rows.into(), &AddOptions::new().executor(&Inline)));
    let _ = index.remove(&IdSelector::range(1..40));
    let _ = index.search(rows, 5, &params());
    let _ = index.export();
}

fn read(bytes: &[u8]) -> Option<Box<dyn Index>> {
    default_registry().read_index(&decode_container(bytes).ok()?).ok()
}

fn map(bytes: &[u8]) -> Option<Box<dyn Index>> {
    let file = SealedFile::new(bytes).expect("a file in memory");
    ivf::open_mapped(Map::open_if_safe(file.path()).expect("a sealed file")).ok()
}

#[test]
fn a_damaged_file_is_an_error_or_an_index_that_answers() {
    let limit = rustix::process::Rlimit { current: Some(ADDRESS_SPACE), maximum: Some(ADDRESS_SPACE) };
    rustix::process::setrlimit(rustix::process::Resource::As, limit).expect("a limit below the system's");
    let files = whole_files();

    // A reader must refuse every damaged file. A mapped file may open with damaged lists, since
    // opening does not read them. With recomputed checksums, any damage may get through.
    let opened = Cell::new([0; 3]);
    let count = |way: usize, index: Option<Box<dyn Index>>| {
        if let Some(index) = index {
            let mut counts = opened.get();
            counts[way] += 1;
            opened.set(counts);
            use_it(index);
        }
    };
    for turn in 0..FILES {
        let mut random = random(turn);
        let (whole, sections) = &files[random.random_range(0..files.len())];
        let mut file = whole.clone();
        damage(&mut file, &mut random);
        let tried = catch_unwind(AssertUnwindSafe(|| {
            count(0, read(&file).filter(|_| file != *whole));
            count(1, map(&file));
            reseal(&mut file, *sections);
            count(2, if turn % 2 == 0 { read(&file) } else { map(&file) });
        }));
        assert!(tried.is_ok(), "turn {turn}: a panic");
    }
    let [unseen, mapped, resealed] = opened.get();
    assert_eq!(unseen, 0, "damage that no checksum detected");
    assert!(mapped > FILES / 20, "{mapped} files were mapped");
    assert!(resealed > FILES / 4, "{resealed} files were read under right checksums");

    for (whole, _) in &files {
        for len in 0..whole.len() {
            assert!(decode_container(&whole[..len]).is_err(), "cut to {len} bytes");
        }
    }
}
