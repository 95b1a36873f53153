//! Index files.

use super::tree::{Tree, read_tree, write_tree};
use super::vectors::with_file;
use ivf::executor::Inline;
use ivf::io::{Container, decode_container, write_container_to};
use ivf::{AddOptions, Id, IdSelector, Index, Rows, SearchParams, StoredNode, default_registry, open_index};

/// Larger dimensions take memory for queries that the file is not to blame for.
const MAX_DIM: usize = 4096;

/// Any bytes are an index or an error, and an index answers, is written, and is read again as the same. Opened where it lies, a file
/// is whole if it is when it is read.
pub fn container(bytes: &[u8]) {
    let decoded = decode_container(bytes);
    with_file("ivf", bytes, |path| {
        let whole = Container::open(path).is_ok_and(|file| file.verify().is_ok_and(|damaged| damaged.is_empty()));
        assert_eq!(whole, decoded.is_ok(), "verified as it is read");
        if let Ok(mut index) = open_index(path) {
            use_it(&mut *index);
        }
    });
    if let Ok(node) = decoded {
        read(&node);
    }
}

/// The same, past the checksums: the bytes are a tree in the form of [`write_tree`].
pub fn container_resealed(bytes: &[u8]) {
    let tree = match read_tree(bytes) {
        // The library does not write the first version of the format. What its reader makes of a
        // file is this.
        Tree::Version1(node) => return read(&node),
        Tree::Exported(tree) => tree,
    };
    let mut file = Vec::new();
    // Two names may be the same, or a name too long.
    if write_container_to(&mut file, &tree).is_ok() {
        let stored = decode_container(&file).expect("a written container");
        assert!(write_tree(&stored) == write_tree(&tree.to_stored()), "what is written is what is read");
        container(&file);
    }
}

/// Any tree is an index or an error; an index is written, and read again as the same.
fn read(node: &StoredNode) {
    let Ok(mut index) = default_registry().read_index(node) else { return };
    let written = write(&*index);
    let again = decode_container(&written).expect("a written container");
    let again = default_registry().read_index(&again).expect("a written index");
    assert!(write(&*again) == written, "the second time it is written as it was the first");
    use_it(&mut *index);
}

fn write(index: &dyn Index) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_container_to(&mut bytes, &index.export().expect("lists in memory")).expect("a node with a container");
    bytes
}

/// Everything may fail, and nothing panic.
fn use_it(index: &mut dyn Index) {
    let dim = index.dim();
    if dim > MAX_DIM {
        return;
    }
    let queries: Vec<f32> = (0..2 * dim).map(|i| (i * 7 % 13) as f32 - 5.5).collect();
    let queries = Rows::new(&queries, dim).expect("whole rows");
    let inline = Inline;
    let mut params = SearchParams::new();
    params.executor = Some(&inline);
    for k in [1, 5] {
        if let Ok(found) = index.search(queries, k, &params) {
            assert!(found.hits.rows().all(|row| row.ids.len() <= k), "no more than k");
        }
    }
    let _ = index.range_search_with(queries, 1.0, &params);
    for part in index.parts() {
        for knob in part.knobs {
            let _ = index.set_knob_at(&part.path, &knob.param.name, knob.value);
        }
    }
    // Of an index as it was, while the other changes.
    let snapshot = index.clone_index();
    let mut options = AddOptions::new();
    options.executor = Some(&inline);
    let before = index.len();
    if index.add_with(queries, &options).is_ok() {
        assert_eq!(index.len(), before + 2, "two vectors more");
    }
    let ids = [2, 3].map(Id);
    let _ = index.reconstruct(ids[0]);
    let _ = index.update_with(&ids, queries, &options);
    let _ = index.remove(&IdSelector::range(1..4));
    let _ = index.search(queries, 5, &params);
    let _ = index.export();
    if let Ok(snapshot) = snapshot {
        assert_eq!(snapshot.len(), before, "a snapshot stays as it is");
        let _ = snapshot.search(queries, 5, &params);
    }
}
