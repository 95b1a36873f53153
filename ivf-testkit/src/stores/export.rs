//! A store exported and read back.

use super::MakeStore;
use super::history::History;
use crate::at_rest::{mapped, opened};
use crate::compare::assert_same_node;
use crate::damage::{byte_len, check_damaged_nodes};
use crate::data::random;
use crate::layouts;
use ivf_core::error::DecodeError;
use ivf_core::{CodeLayout, InvertedLists, ListNo, ListOffset, StoredNode};

/// Reads an exported store of codes laid out so.
pub type ReadStore<'a> = &'a dyn Fn(&StoredNode, &CodeLayout) -> Result<Box<dyn InvertedLists>, DecodeError>;

/// Damaged nodes tried for each store exported.
const DAMAGES: usize = 200;
/// Bytes of a node beside the entries: fields and lengths.
const UNCOUNTED: usize = 1024;
/// Writes tried on lists that were read back.
const STEPS: usize = 30;

/// Checks that a store which is exported and read back, from memory and from a file that is open or
/// mapped, holds the same lists (and goes on working, if it can be written), that codes of another
/// layout are refused (of another code size, block length, name or codec, each on its own), and
/// that a damaged node gives an error or lists that can be read whole. Memory must be counted of a
/// store that exports its entries; one that leaves them elsewhere exports where they are.
///
/// # Panics
/// If a list differs, or `read` or a list it made panics; the message names layout, seed and
/// damage.
pub fn check_store_export(make: MakeStore<'_>, read: ReadStore<'_>) {
    for layout in &layouts::samples() {
        for (seed, nlist, most) in [(4, 1, 0), (5, 3, 0), (6, 1, 100), (7, 6, 300)] {
            let at = format!("{layout}, {nlist} lists, seed {seed}");
            let mut store = make(nlist, layout);
            let mut history = History::new(nlist, layout, random(seed));
            history.append_some(&mut *store, most, &at);
            history.append_some(&mut *store, most, &at);
            let node = store.export().unwrap_or_else(|error| panic!("{at}: export: {error}")).to_stored();
            assert_eq!(store.tag(), node.tag, "{at}: tags of the store and of its node");
            let (memory, bytes) = (store.memory(), byte_len(&node));
            assert!(bytes <= 2 * memory + UNCOUNTED, "{at}: {memory} bytes of memory, out of which come {bytes}");
            for (what, other) in layouts::unlike(layout) {
                assert!(read(&node, &other).is_err(), "{at}: read as lists of another {what}, {other}");
            }
            check_damaged_nodes(&node, seed, DAMAGES, |damaged| {
                if let Ok(lists) = read(damaged, layout) {
                    read_whole(&*lists, layout, damaged);
                }
            });
            // Each of them writes on from what was exported, and none may change that for the next.
            for (place, node) in [("read back", &node), ("opened", &opened(&node)), ("mapped", &mapped(&node))] {
                let at = format!("{at}, {place}");
                let mut history = history.clone();
                let mut back = read(node, layout).unwrap_or_else(|error| panic!("{at}: {error}"));
                history.check(&*back, &at);
                let again = back.export().unwrap_or_else(|error| panic!("{at}: export: {error}")).to_stored();
                assert_same_node(&again, node, &at);
                let writable = (*back).writer().is_some();
                if writable {
                    (0..STEPS).for_each(|step| history.step(&mut *back, &format!("{at}, step {step}")));
                }
            }
        }
    }
}

/// Lists that are read of a store that says it has more: those without entries may take no bytes.
const READ: usize = 2000;

/// Reads everything there is; a list may be an error, since a store may check its bytes when they
/// are used.
fn read_whole(lists: &dyn InvertedLists, layout: &CodeLayout, node: &StoredNode) {
    assert_eq!(lists.layout(), layout, "the layout asked for");
    let (memory, bytes) = (lists.memory(), byte_len(node));
    assert!(memory <= 32 * bytes + 4096, "{} lists take {memory} bytes of memory, out of {bytes}", lists.nlist());
    for no in (0..lists.nlist().min(READ) as u32).map(ListNo) {
        let (Ok(len), Ok(list)) = (lists.list_len(no), lists.list(no)) else { continue };
        assert_eq!((list.len(), list.ids().count()), (len, len), "a length, told and read");
        assert_eq!(list.unpack(layout).len(), len * layout.code_size());
        list.entry(layout, ListOffset(0), &mut vec![0; layout.code_size()]);
    }
}
