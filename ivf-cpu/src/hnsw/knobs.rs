//! The knobs: `efConstruction` and `efSearch`.

use super::{HnswIndex, ROW};
use ivf_core::error::KnobError;
use ivf_core::param::{Param, ParamRange};
use ivf_core::part::{unknown_knob, unknown_part};
use ivf_core::{Index, Knob, KnobValue, Part, SearchParam, Takes};

/// `efConstruction` unless it is set, as in Faiss.
pub(super) const EF_CONSTRUCTION_DEFAULT: usize = 40;

/// `efSearch` unless it is set, as in Faiss.
pub(super) const EF_SEARCH_DEFAULT: usize = 16;

pub(super) const EF_CONSTRUCTION: Param = Param::new(
    "efConstruction",
    ParamRange::at_least(1),
    KnobValue::Int(EF_CONSTRUCTION_DEFAULT as i64),
    "vectors that an add searches for, as candidates for links",
);

pub(super) const EF_SEARCH: Param = Param::new(
    "efSearch",
    ParamRange::at_least(1),
    KnobValue::Int(EF_SEARCH_DEFAULT as i64),
    "nearest vectors whose links a search follows",
);

/// The search parameters, without `efSearch` and those of the codec.
pub(super) const TAKES: Takes =
    Takes::of(&[SearchParam::Selector, SearchParam::Locations, SearchParam::SkipBadQueries, SearchParam::PerQuery]);

impl HnswIndex {
    /// Returns `takes` with `efSearch` and the parameters of the codec.
    pub(super) fn with_own(&self, takes: &Takes) -> Takes {
        self.storage.with_codec_params(takes).with_own([EF_SEARCH.name])
    }

    fn own_part(&self) -> Part {
        Part::new("", ROW.tag)
            .with_knobs(vec![Knob::new(EF_CONSTRUCTION, self.ef_construction), Knob::new(EF_SEARCH, self.ef_search)])
    }

    pub(super) fn all_parts(&self) -> Vec<Part> {
        // The codec and the lists. The knobs of the index of codes itself have no meaning here.
        let inner = self.storage.parts().into_iter().filter(|part| !part.path.is_empty());
        [self.own_part()].into_iter().chain(inner).collect()
    }

    pub(super) fn set_knob_of(&mut self, path: &str, name: &str, value: KnobValue) -> Result<(), KnobError> {
        if !path.is_empty() {
            return match self.storage.set_knob_at(path, name, value) {
                Err(KnobError::NoSuchPart { .. }) => Err(unknown_part(path, &self.all_parts())),
                set => set,
            };
        }
        let own = self.own_part();
        let Some(knob) = own.knobs.iter().find(|knob| knob.param.is_named(name)) else {
            return Err(unknown_knob(name, &[own]));
        };
        let value = knob.param.range.check(name, &value)?;
        let ef = value.as_whole().and_then(|ef| usize::try_from(ef).ok()).unwrap_or(usize::MAX);
        if knob.param.name == EF_SEARCH.name {
            self.ef_search = ef
        } else {
            self.ef_construction = ef
        }
        Ok(())
    }
}
