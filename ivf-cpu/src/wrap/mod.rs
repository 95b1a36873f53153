//! Wrappers: indexes around an index.

mod before;
mod id_map;
mod measure;
mod pre_transform;
mod refine;

pub use id_map::IdMap;
pub use pre_transform::PreTransform;
pub use refine::Refine;

pub(crate) use before::Before;
pub(crate) use measure::check_lengths;

use ivf_core::error::KnobError;
use ivf_core::part::{Part, below, unknown_knob, unknown_part};
use ivf_core::registry::{IndexRow, WrapperRow};
use ivf_core::{Index, KnobValue};

/// The wrappers of this crate that have a token.
pub const WRAPPERS: &[WrapperRow] = &[id_map::ROW2, id_map::ROW, refine::ROW];

/// The index that refines by codes of residuals. Its token follows a coarse
/// quantizer, where other indexes have their codec.
pub(crate) const REFINE_RESIDUAL: IndexRow = refine::RESIDUAL;

/// The wrapper that the factory adds without a token, for transforms and for the cosine.
pub(crate) const PRE_TRANSFORM: IndexRow = pre_transform::ROW;

ivf_core::index_as_ref!(IdMap, Refine, PreTransform);

/// Returns the parts of a wrapper: its own parts, and the parts of the inner index under `name`.
pub(crate) fn parts_around(own: Vec<Part>, name: &str, inner: &dyn Index) -> Vec<Part> {
    own.into_iter().chain(inner.parts().into_iter().map(|part| part.under(name))).collect()
}

/// Sets a knob of the inner index of a wrapper, which is the wrapper's part `part`. The wrapper
/// itself must have no knob of that path and name. Errors contain the paths of the wrapper.
pub(crate) fn set_inner_knob(
    wrapper: &mut impl Index,
    part: &str,
    path: &str,
    name: &str,
    value: KnobValue,
) -> Result<(), KnobError> {
    let set = below(path, part).zip(wrapper.wrapped_mut()).map(|(rest, inner)| inner.set_knob_at(rest, name, value));
    match set {
        Some(Err(KnobError::NoSuchPart { .. })) => Err(unknown_part(path, &wrapper.parts())),
        Some(set) => set,
        None => {
            let parts = wrapper.parts();
            let here: Vec<Part> = parts.iter().filter(|known| known.path == path).cloned().collect();
            Err(if here.is_empty() { unknown_part(path, &parts) } else { unknown_knob(name, &here) })
        }
    }
}
