//! Tests of what a graph is made of. (tests/hnsw.rs has those of its results.)

use super::graph::NONE;
use super::*;
use crate::codec::FlatSpec;
use crate::{CODECS, QUANTIZERS, RayonPool};
use ivf_core::error::AddError;
use ivf_core::executor::Inline;
use ivf_core::node::StoredArray;
use ivf_core::{AddOptions, ArrayLists, Cancel, Executor, Progress, Registry, Rows, bytes::AlignedBytes};
use std::sync::atomic::{AtomicU64, Ordering};

const DIM: usize = 6;

/// Returns vectors of numbers that every machine computes alike. One in `copies` of them is a copy
/// of another one.
fn vectors(n: usize, copies: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let mut number = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as f32 / 65_536.0
    };
    let mut rows: Vec<f32> = (0..n * DIM).map(|_| number()).collect();
    for copy in (copies..n).step_by(copies) {
        rows.copy_within((copy / 2) * DIM..(copy / 2 + 1) * DIM, copy * DIM);
    }
    rows
}

fn empty() -> HnswIndex {
    HnswIndex::new(DIM, Metric::L2, 4, Arc::new(FlatSpec)).unwrap()
}

fn add(index: &mut HnswIndex, rows: &[f32], executor: &dyn Executor) {
    let index: &mut dyn Index = index;
    index.add_with(Rows::new(rows, DIM).unwrap(), &AddOptions::new().executor(executor)).unwrap();
}

#[test]
fn the_graph_does_not_depend_on_threads() {
    let rows = vectors(3000, 7);
    let mut one = empty();
    add(&mut one, &rows, &Inline);
    for threads in [2, 5] {
        let mut many = empty();
        add(&mut many, &rows, &RayonPool::new(threads).unwrap());
        assert!(many.graph == one.graph, "{threads} threads");
    }
    one.graph.check().unwrap();
    assert!(one.graph.copies.values().flatten().count() > 300);
    // Pinned: files that are built again, and machines with other instructions, have this graph.
    let numbers = one.graph.ground.links.iter().chain(&one.graph.upper.links).chain(&one.graph.upper_rows);
    let sum = numbers.fold(0_u64, |sum, &x| (sum ^ u64::from(x)).wrapping_mul(0x100_0000_01b3).rotate_left(13));
    assert_eq!(sum, 10_709_433_515_054_222_578);
}

#[test]
fn calls_that_end_where_a_batch_does_do_not_show() {
    let rows = vectors(2000, 7);
    let (mut once, mut parts) = (empty(), empty());
    add(&mut once, &rows, &Inline);
    let mut start = 0;
    for end in link::batch_ends().take_while(|end| *end < 2000).step_by(20).chain([2000]) {
        add(&mut parts, &rows[start * DIM..end * DIM], &Inline);
        start = end;
    }
    assert!(once.graph == parts.graph);
}

/// Cancels when so many vectors are linked.
struct Stop(AtomicU64, Cancel);

impl Progress for Stop {
    fn step(&self, _: &'static str, done: u64, _: u64) {
        if done >= self.0.load(Ordering::Relaxed) {
            self.1.cancel();
        }
    }
}

#[test]
fn a_cancelled_add_leaves_the_index_as_it_was() {
    let rows = vectors(3000, 5);
    for old in [0, 1, 700] {
        let mut index = empty();
        add(&mut index, &rows[..old * DIM], &Inline);
        let before = index.clone_index().unwrap();
        let cancel = Cancel::new();
        let stop = Stop(AtomicU64::new(500), cancel.clone());
        let options = AddOptions::new().cancel(&cancel).progress(&stop);
        let rest = Rows::new(&rows[old * DIM..], DIM).unwrap();
        let dynamic: &mut dyn Index = &mut index;
        assert!(matches!(dynamic.add_with(rest, &options), Err(AddError::Cancelled)));
        assert!(index.export().unwrap().same(&before.export().unwrap()) && index.len() == old, "{old}");
        add(&mut index, &rows[old * DIM..], &Inline);
        let mut other = empty();
        add(&mut other, &rows[..old * DIM], &Inline);
        add(&mut other, &rows[old * DIM..], &Inline);
        assert!(index.graph == other.graph, "{old}");
    }
}

#[test]
fn a_snapshot_stays_as_it_was() {
    let rows = vectors(900, 5);
    let mut index = empty();
    add(&mut index, &rows[..600 * DIM], &Inline);
    let snapshot = index.clone_index().unwrap();
    add(&mut index, &rows[600 * DIM..], &Inline);
    assert_eq!((index.len(), snapshot.len()), (900, 600));
    let mut same = empty();
    add(&mut same, &rows[..600 * DIM], &Inline);
    assert!(snapshot.export().unwrap().same(&same.export().unwrap()));
}

#[test]
fn numbers_of_a_file_are_checked() {
    let registry = Registry::new().with_codecs(CODECS).with_quantizers(QUANTIZERS).with_stores(&[ArrayLists::ROW]);
    let mut index = empty();
    add(&mut index, &vectors(500, 7), &Inline);
    let node = index.export().unwrap().to_stored();
    let back = HnswIndex::read(&node, &registry).unwrap();
    assert!(back.graph == index.graph);
    let (entry, rows) = (index.graph.entry.unwrap(), index.graph.upper_rows.clone());
    let (copied, copies) = index.graph.copies.iter().next().unwrap();
    let low = (0..500).find(|node| index.graph.level(*node) == 0).unwrap();
    type Damage<'a> = Box<dyn Fn(&mut Vec<u32>) + 'a>;
    let damages: Vec<(&str, &str, Damage<'_>)> = vec![
        ("a link to no node", "links", Box::new(|links| links[0] = 500)),
        ("a link to itself", "links", Box::new(|links| links[0] = 0)),
        ("a link to a copy", "links", Box::new(|links| links[0] = copies[0])),
        ("a link after the end", "links", Box::new(|links| (links[0], links[1]) = (NONE, 1))),
        ("fewer links", "links", Box::new(|links| links.truncate(8))),
        ("more links", "links", Box::new(|links| links.push(1))),
        ("a link to a lower level", "upper_links", Box::new(move |links| links[0] = low)),
        ("fewer upper links", "upper_links", Box::new(|links| links.truncate(4))),
        ("rows that go back", "upper_rows", Box::new(|rows| rows[1] = u32::MAX)),
        ("rows that begin late", "upper_rows", Box::new(|rows| rows[0] = 1)),
        ("no rows", "upper_rows", Box::new(Vec::clear)),
        ("a copy of itself", "copies", Box::new(|copies| copies[1] = copies[0])),
        ("a copy of no node", "copies", Box::new(|copies| copies.extend([500, 501]))),
        ("a copy twice", "copies", Box::new(|copies| copies.extend_from_within(..2))),
        ("half a copy", "copies", Box::new(|copies| copies.push(499))),
        ("the entry as a copy", "copies", Box::new(move |copies| copies.extend([499, entry]))),
    ];
    assert!(rows.len() == 501 && copies[0] > *copied);
    for (what, name, damage) in damages {
        let mut damaged = node.clone();
        let mut numbers = node.array::<u32>(name).unwrap().to_vec();
        damage(&mut numbers);
        let array: &mut StoredArray = damaged.arrays.iter_mut().find(|array| array.name == name).unwrap();
        array.shape = vec![numbers.len() as u64];
        array.bytes = Arc::new(AlignedBytes::copy_of(bytemuck::cast_slice(&numbers)));
        assert!(HnswIndex::read(&damaged, &registry).is_err(), "{what}");
    }
    let damaged = |name: &str, value: u64| {
        let mut node = index.export().unwrap();
        node.fields.set(name, value);
        HnswIndex::read(&node.to_stored(), &registry)
    };
    for (name, value) in [("m", 0), ("m", 1), ("m", 5), ("m", u64::MAX), ("entry", 500), ("entry", 1 << 40)] {
        assert!(damaged(name, value).is_err(), "{name} = {value}");
    }
    assert!(damaged("entry", low.into()).is_err());
}
