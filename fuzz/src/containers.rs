//! Fuzz targets for index files.

use super::tree::{Tree, read_tree, write_tree};
use super::vectors::with_file;
use ivf::executor::Inline;
use ivf::extend::StoredNode;
use ivf::io::{Container, decode_container, write_container_to};
use ivf::{AddOptions, Id, IdSelector, Index, Rows, SearchParams, default_registry, open_index};

/// Maximum dimension of an index that is searched. The queries of larger dimensions take much
/// memory, whatever the file.
const MAX_DIM: usize = 4096;

/// Decodes any bytes as an index file. The result is an index or an error. An index must accept
/// searches, and stay the same when it is written and read again. A file must be intact for
/// `Container::verify` exactly if it decodes.
pub fn container(bytes: &[u8]) {
    let decoded = decode_container(bytes);
    with_file("ivf", bytes, |path| {
        let whole = Container::open(path).is_ok_and(|file| file.verify().is_ok_and(|damaged| damaged.is_empty()));
        assert_eq!(whole, decoded.is_ok(), "a file verifies exactly if it decodes");
        if let Ok(mut index) = open_index(path) {
            use_it(&mut *index);
        }
    });
    if let Ok(node) = decoded {
        read(&node);
    }
}

/// Like [`container`], but past the checksums: the bytes are a tree in the format of
/// [`write_tree`].
pub fn container_resealed(bytes: &[u8]) {
    let tree = match read_tree(bytes) {
        // The library does not write version 1 of the format. This is the tree that its reader
        // would return.
        Tree::Version1(node) => return read(&node),
        Tree::Exported(tree) => tree,
    };
    let mut file = Vec::new();
    // Writing fails, for example, if two names are the same or a name is too long.
    if write_container_to(&mut file, &tree).is_ok() {
        let stored = decode_container(&file).expect("a written container");
        assert!(write_tree(&stored) == write_tree(&tree.to_stored()), "what is written is what is read");
        container(&file);
    }
}

/// Reads any tree as an index or an error. An index must stay the same when it is written and read
/// again.
fn read(node: &StoredNode) {
    let Ok(mut index) = default_registry().read_index(node) else { return };
    let written = write(&*index);
    let again = decode_container(&written).expect("a written container");
    let again = default_registry().read_index(&again).expect("a written index");
    assert!(write(&*again) == written, "the index changed when it was written and read");
    use_it(&mut *index);
}

fn write(index: &dyn Index) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_container_to(&mut bytes, &index.export().expect("lists in memory")).expect("a node with a container");
    bytes
}

/// Calls many operations. Each may fail, but must not panic.
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
    // A snapshot must stay as it is while the index changes.
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
