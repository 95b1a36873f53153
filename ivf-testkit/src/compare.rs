//! Results compared bit for bit, with a message that names the first difference.

use ivf_core::node::StoredArray;
use ivf_core::{Hits, Id, Neighbor, StoredNode};
use std::fmt::Display;

/// Asserts that `found` equals the results of the [oracle](crate::oracle::exact).
///
/// # Panics
/// If they differ. The message starts with `context`.
pub fn assert_exact(found: &Hits, expected: &[Vec<(Id, f32)>], context: impl Display) {
    assert_eq!(found.len(), expected.len(), "{context}: a row of results for each query");
    for (query, (row, expected)) in found.rows().zip(expected).enumerate() {
        let found: Vec<(Id, f32)> = row.ids.iter().copied().zip(row.distances.iter().copied()).collect();
        assert_row(&found, expected, format_args!("{context}: query {query}"));
    }
}

/// Asserts that two searches found the same ids, distances and, if present, locations.
///
/// # Panics
/// If they differ. The message starts with `context`.
pub fn assert_same_hits(found: &Hits, expected: &Hits, context: impl Display) {
    assert_exact(found, &pairs(expected), &context);
    for (query, (found, expected)) in found.rows().zip(expected.rows()).enumerate() {
        assert_eq!(found.locations, expected.locations, "{context}: query {query}: locations");
    }
}

/// Returns the results in the form in which the [oracle](crate::oracle::exact) returns them.
pub fn pairs(hits: &Hits) -> Vec<Vec<(Id, f32)>> {
    hits.rows().map(|row| row.ids.iter().copied().zip(row.distances.iter().copied()).collect()).collect()
}

/// Asserts that two sorted sinks hold the same ids, distances and locations.
///
/// # Panics
/// If they differ. The message starts with `context`.
pub fn assert_same_neighbors(found: &[Neighbor], expected: &[Neighbor], context: impl Display) {
    let pairs = |all: &[Neighbor]| all.iter().map(|n| (n.id, n.distance)).collect::<Vec<_>>();
    assert_row(&pairs(found), &pairs(expected), &context);
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found.location, expected.location, "{context}: place {place}: location of id {}", found.id);
    }
}

fn assert_row(found: &[(Id, f32)], expected: &[(Id, f32)], context: impl Display) {
    let bits = |pair: Option<&(Id, f32)>| pair.map(|(id, distance)| (*id, distance.to_bits()));
    for place in 0..found.len().max(expected.len()) {
        let (found, expected) = (found.get(place), expected.get(place));
        assert!(
            bits(found) == bits(expected),
            "{context}, place {place}: found {}, expected {}",
            shown(found),
            shown(expected)
        );
    }
}

fn shown(pair: Option<&(Id, f32)>) -> String {
    pair.map_or("nothing".to_owned(), |(id, d)| format!("id {id} at {d:?} ({:#010x})", d.to_bits()))
}

/// Asserts that two nodes hold the same fields, arrays and children.
///
/// # Panics
/// If they differ. The message starts with `context`.
pub fn assert_same_node(found: &StoredNode, expected: &StoredNode, context: impl Display) {
    let context = format!("{context}: node '{}'", expected.tag);
    assert_eq!((&found.tag, found.version), (&expected.tag, expected.version), "{context}: tag and version");
    assert_eq!(found.fields, expected.fields, "{context}: fields");
    let names = |node: &StoredNode| node.arrays.iter().map(|array| array.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(found), names(expected), "{context}: arrays");
    for (found, expected) in found.arrays.iter().zip(&expected.arrays) {
        let context = format!("{context}: array '{}'", expected.name);
        assert_eq!((found.dtype, &found.shape), (expected.dtype, &expected.shape), "{context}: type and shape");
        let bytes = |array: &StoredArray| array.bytes.whole().expect("bytes that can be read").to_vec();
        assert!(bytes(found) == bytes(expected), "{context}: the bytes differ");
    }
    let names = |node: &StoredNode| node.children.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(found), names(expected), "{context}: children");
    for ((_, found), (_, expected)) in found.children.iter().zip(&expected.children) {
        assert_same_node(found, expected, &context);
    }
}
