//! Any index around an index.
//!
//! | file | what |
//! |---|---|
//! | `parts` | what shows of the index inside: parts, knobs, parameters |
//! | `work` | vectors added, found, cloned |

mod parts;
mod work;

use crate::data::clusters;
use crate::indexes::{ReadIndex, check_bad_input, check_damaged, check_reload};
use ivf_core::Index;
use ivf_core::registry::WrapperSpec;
use parts::{check_knobs, check_parts, check_takes};
use work::{check_clone, check_exact, fill};

/// Makes an index to wrap: empty, trained or not, the same one every time.
pub type MakeInner<'a> = &'a dyn Fn() -> Box<dyn Index>;

/// Training vectors.
const POINTS: usize = 600;

/// Checks a wrapper around an index, which is empty, trained or not:
///
/// * it has the dimension and the metric of the index inside, and its factory string contains the
///   wrapper's token; an index that holds vectors is refused;
/// * its part stands at the path `""`, and the parts of the index inside, with their knobs, under a
///   path of their own; these knobs can be set through the wrapper; [`wrapped`](Index::wrapped) and
///   [`wrapped_mut`](Index::wrapped_mut) give the same index;
/// * it takes the search parameters that the index inside takes (but for `locations`, which are
///   places inside), and keeps to what it declares, as [`check_bad_input`] says;
/// * it takes at least the memory of the index inside;
/// * around an index that finds what the oracle finds, it finds that too, with selectors of every
///   kind;
/// * a clone does not see what is written to the wrapper, nor the other way round;
/// * exported and read back, it is [the same](check_reload); a damaged node gives an error or an
///   [index that works](check_damaged).
///
/// # Panics
/// If one of these does not hold.
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
    check_bad_input(&mut *index);
    check_clone(&*index, &at);
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

/// The index inside, to read and to change.
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

/// An index that holds vectors is not wrapped.
fn check_full(wrapper: &dyn WrapperSpec, make_inner: MakeInner<'_>, at: &str) {
    let mut full = make_inner();
    train(&mut *full, at);
    fill(&mut *full, at);
    let len = full.len();
    assert!(wrapper.wrap(full).is_err(), "{at}: it wraps an index that holds {len} vectors");
}
