//! The suite for wrappers of an index.
//!
//! | file | content |
//! |---|---|
//! | `parts` | parts, knobs and parameters of the wrapped index that the wrapper shows |
//! | `work` | adding, searching, cloning |

mod parts;
mod work;

use crate::data::clusters;
use crate::indexes::{ReadIndex, check_bad_input, check_damaged, check_reload};
use ivf_core::Index;
use ivf_core::registry::WrapperSpec;
use parts::{check_knobs, check_parts, check_takes};
use work::{check_clone, check_exact, fill};

/// A function that makes the index to wrap: empty, trained or not, and the same on every call.
pub type MakeInner<'a> = &'a dyn Fn() -> Box<dyn Index>;

/// Number of training vectors.
const POINTS: usize = 600;

/// Checks a wrapper around an empty index, trained or not:
///
/// * The wrapper has the dimension and the metric of the wrapped index, and its factory string
///   contains the wrapper's token. Wrapping an index that holds vectors is refused.
/// * Its own part has the path `""`. The parts of the wrapped index, with their knobs, have paths
///   below a common prefix, and these knobs can be set through the wrapper.
///   [`wrapped`](Index::wrapped) and [`wrapped_mut`](Index::wrapped_mut) return the same index.
/// * It takes the search parameters that the wrapped index takes, except `locations`, which refer
///   to the wrapped index. It takes exactly what it declares (see [`check_bad_input`]).
/// * It reports at least the memory of the wrapped index.
/// * If the wrapped index finds what the oracle finds, so does the wrapper, with selectors of every
///   kind. A wrapper that reconstructs other vectors than those that were added need not.
/// * Writes to a clone do not show in the wrapper, nor the other way round.
/// * Exported and read back, it is [the same](check_reload). A damaged node gives an error or an
///   [index that works](check_damaged).
///
/// # Panics
/// If a check fails.
pub fn check_wrapper(wrapper: &dyn WrapperSpec, make_inner: MakeInner<'_>, read: ReadIndex<'_>) {
    let inner = make_inner();
    let at = format!("{wrapper} around {}", inner.spec());
    assert!(inner.is_empty(), "{at}: the index to wrap is empty");
    let (spec, dim, metric) = (inner.spec(), inner.dim(), inner.metric());
    let mut index = wrap(wrapper, make_inner, &at);
    assert_eq!((index.dim(), index.metric(), index.len()), (dim, metric, 0), "{at}: dimension, metric, vectors");
    let tokens = [wrapper.to_string(), spec.clone()];
    let text = index.spec();
    assert!(
        tokens.iter().all(|token| text.contains(token)),
        "{at}: the specification {text} does not contain {tokens:?}"
    );
    train(&mut *index, &at);
    check_inside(&mut *index, &spec, &at);
    let under = check_parts(&*index, &at);
    check_knobs(&mut *index, &under, &at);
    check_takes(&*index, &at);
    check_full(wrapper, make_inner, &at);
    fill(&mut *index, &at);
    let inside = index.wrapped().map_or(0, |inner| inner.memory());
    assert!(index.memory() >= inside, "{at}: it takes {} bytes, what is inside {inside}", index.memory());
    check_exact(make_inner, &mut *index, &at);
    check_clone(&*index, &at);
    // It writes to clones.
    check_bad_input(&mut *index);
    check_reload(&*index, &|index| {
        let node = index.export().unwrap_or_else(|error| panic!("{at}: export: {error}")).to_stored();
        read(&node).unwrap_or_else(|error| panic!("{at}: reading it back: {error}"))
    });
    check_damaged(&*index, read);
}

fn wrap(wrapper: &dyn WrapperSpec, make_inner: MakeInner<'_>, at: &str) -> Box<dyn Index> {
    wrapper.wrap(make_inner()).unwrap_or_else(|error| panic!("{at}: refused: {error}"))
}

fn train(index: &mut dyn Index, at: &str) {
    if !index.is_trained() {
        let points = clusters(91, POINTS, index.dim(), 8);
        index.train(points.rows()).unwrap_or_else(|error| panic!("{at}: it does not train: {error}"));
    }
}

/// Checks access to the wrapped index, for reading and for changing.
fn check_inside(index: &mut dyn Index, spec: &str, at: &str) {
    let shown = |inner: Option<&dyn Index>| inner.map(|inner| (inner.spec(), inner.len(), inner.parts()));
    let inside = shown(index.wrapped());
    assert_eq!(inside.as_ref().map(|inner| &*inner.0), Some(spec), "{at}: the index inside");
    let to_change = shown(index.wrapped_mut().map(|inner| &*inner));
    assert_eq!(inside, to_change, "{at}: the index inside, and the one to change");
    assert_eq!(
        index.find_ivf().is_some(),
        index.find_ivf_mut().is_some(),
        "{at}: an inverted file, to read and to change"
    );
}

/// Checks that an index that holds vectors is not wrapped.
fn check_full(wrapper: &dyn WrapperSpec, make_inner: MakeInner<'_>, at: &str) {
    let mut full = make_inner();
    train(&mut *full, at);
    fill(&mut *full, at);
    let len = full.len();
    assert!(wrapper.wrap(full).is_err(), "{at}: it wraps an index that holds {len} vectors");
}
