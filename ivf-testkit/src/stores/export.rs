//! Checks of a store that is exported and read back.

use super::MakeStore;
use super::history::History;
use crate::at_rest::{mapped, opened};
use crate::compare::assert_same_node;
use crate::damage::{byte_len, check_damaged_nodes};
use crate::data::random;
use crate::layouts;
use ivf_core::error::DecodeError;
use ivf_core::{CodeLayout, InvertedLists, ListNo, ListOffset, StoredNode};

/// A function that reads an exported store of codes in this layout.
pub type ReadStore<'a> = &'a dyn Fn(&StoredNode, &CodeLayout) -> Result<Box<dyn InvertedLists>, DecodeError>;

/// Number of damaged nodes for each exported store.
const DAMAGES: usize = 200;
/// Allowance, in bytes, for the content of a node besides its entries: fields and lengths.
const UNCOUNTED: usize = 1024;
/// Number of writes to lists that were read back.
const STEPS: usize = 30;

/// Checks a store that is exported and read back, from memory and from an open or mapped file:
///
/// * It holds the same lists, and keeps working if it can be written.
/// * Codes of another layout are refused. Each of code size, block length, name and codec is
///   changed on its own.
/// * A damaged node gives an error or lists that can be read completely.
/// * A store that exports its entries counts their memory. One that keeps the entries elsewhere
///   exports where they are.
///
/// # Panics
/// If a list differs, or `read` or a list from it panics. The message names layout, seed and
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
            // Each store is written to after the export. The export must not change for the next
            // one.
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

/// Maximum number of lists read from a damaged store, since lists without entries may take no
/// bytes.
const READ: usize = 2000;

/// Reads all lists. A list may be an error, since a store may check its bytes only on use.
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
