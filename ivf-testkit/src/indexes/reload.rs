//! The suite for indexes that are exported and read back.

use super::{Want, middle_radius};
use crate::compare::{assert_same_hits, pairs};
use crate::damage::check_damaged_nodes;
use crate::data::clusters;
use ivf_core::error::DecodeError;
use ivf_core::{Index, SearchParams, StoredNode};

/// A function that reads an exported index.
pub type ReadIndex<'a> = &'a dyn Fn(&StoredNode) -> Result<Box<dyn Index>, DecodeError>;

/// Number of damaged nodes.
const DAMAGES: usize = 500;
/// Largest dimension of a damaged index that is searched. A damaged node may declare any dimension.
const GREATEST: usize = 1 << 12;

/// Checks that an index that `reload` writes and reads back is the same: specification, dimension,
/// metric, length, parts with their knobs, results and reconstructed vectors.
///
/// # Panics
/// If something differs. The message names it.
pub fn check_reload(index: &dyn Index, reload: &dyn Fn(&dyn Index) -> Box<dyn Index>) {
    let back = reload(index);
    let at = format!("{}, read back", index.spec());
    assert_eq!(back.spec(), index.spec(), "{at}: specification");
    assert_eq!(back.spec_text(), index.spec_text(), "{at}: how its specification binds");
    assert_eq!((back.dim(), back.metric()), (index.dim(), index.metric()), "{at}: dimension and metric");
    assert_eq!((back.len(), back.is_trained()), (index.len(), index.is_trained()), "{at}: vectors, training");
    assert_eq!(back.parts(), index.parts(), "{at}: parts");
    if !index.is_trained() {
        return;
    }
    let queries = clusters(61, 12, index.dim(), 3);
    let search = |index: &dyn Index, want: Want| {
        let found = want.search(index, queries.rows().into(), &SearchParams::new());
        found.unwrap_or_else(|error| panic!("{at}: {want:?}: {error}")).hits
    };
    let nearest = search(index, Want::K(10));
    assert_same_hits(&search(&*back, Want::K(10)), &nearest, &at);
    if index.as_range_search().is_some() {
        let radius = Want::Radius(middle_radius(&pairs(&nearest)).unwrap_or(1.0));
        assert_same_hits(&search(&*back, radius), &search(index, radius), format_args!("{at}: {radius:?}"));
    }
    assert_eq!(back.as_reconstruct().is_some(), index.as_reconstruct().is_some(), "{at}: reconstructs");
    if index.as_reconstruct().is_some() {
        for id in nearest.rows().flat_map(|row| row.ids) {
            let vector = |index: &dyn Index| {
                let vector =
                    index.reconstruct(*id).unwrap_or_else(|error| panic!("{at}: reconstructing {id}: {error}"));
                vector.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            };
            assert!(vector(&*back) == vector(index), "{at}: another vector of id {id}");
        }
    }
}

/// Checks that a damaged export gives an error or an index that answers searches with results or
/// errors, without a panic.
///
/// # Panics
/// If reading or using one panics. The message describes the damage.
pub fn check_damaged(index: &dyn Index, read: ReadIndex<'_>) {
    let node = index.export().unwrap_or_else(|error| panic!("{}: export: {error}", index.spec())).to_stored();
    read(&node).unwrap_or_else(|error| panic!("{}: reading it undamaged: {error}", index.spec()));
    check_damaged_nodes(&node, 62, DAMAGES, |damaged| {
        let Ok(mut index) = read(damaged) else { return };
        index.spec();
        index.parts();
        index.memory();
        let dim = index.dim();
        if dim == 0 || dim > GREATEST {
            assert!(dim > 0, "an index of no dimension");
            return;
        }
        let queries = clusters(63, 2, dim, 1);
        // Errors are allowed: the index may detect the damage only here.
        let found = index.search(queries.rows(), 3, &SearchParams::new());
        if let Ok(found) = found {
            for id in found.hits.rows().flat_map(|row| row.ids) {
                let _ = index.reconstruct(*id);
            }
        }
        let _ = index.range_search(queries.rows(), 1.0);
        let _ = index.add(queries.rows());
        let _ = index.search(queries.rows(), 3, &SearchParams::new());
    });
}
