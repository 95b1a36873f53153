//! The parts of an index and their knobs.

use super::{IvfIndex, Trained};
use ivf_core::error::{KnobError, PartsError};
use ivf_core::param::{Param, ParamRange};
use ivf_core::params::QUANTIZER_PREFIX;
use ivf_core::part::{unknown_knob, unknown_part};
use ivf_core::{Binding, DirectMapKind, Knob, KnobValue, ParallelMode, Part, Residuals, Settings, Takes};

/// The direct maps in the order of their numbers in Faiss.
const DIRECT_MAPS: [DirectMapKind; 3] = [DirectMapKind::None, DirectMapKind::Array, DirectMapKind::Hash];

/// Names of the direct maps, in the same order.
pub(super) const DIRECT_MAP_NAMES: &[&str] = &["none", "array", "hash"];

pub(super) fn direct_map_name(kind: DirectMapKind) -> &'static str {
    let place = DIRECT_MAPS.iter().position(|known| *known == kind).unwrap_or_default();
    DIRECT_MAP_NAMES[place]
}

pub(super) fn direct_map_named(name: &str) -> DirectMapKind {
    let place = DIRECT_MAP_NAMES.iter().position(|known| *known == name).unwrap_or_default();
    DIRECT_MAPS[place]
}

const fn word(word: &'static str) -> KnobValue {
    KnobValue::Word(std::borrow::Cow::Borrowed(word))
}

const NPROBE: Param = Param::new("nprobe", ParamRange::at_least(1), KnobValue::Int(1), "lists probed for each query");
const MAX_CODES: Param = Param::new(
    "max_codes",
    ParamRange::at_least(0),
    KnobValue::Int(0),
    "codes scanned at most for each query; 0 means no limit",
);
const MODE: Param =
    Param::new("mode", ParamRange::Word(ParallelMode::NAMES), word("auto"), "how the work of a search is divided");
const DIRECT_MAP: Param = Param::new(
    "direct_map",
    ParamRange::Word(DIRECT_MAP_NAMES),
    word("none"),
    "map from ids to locations: none, array (ids count up from 0) or hash",
);
const BY_RESIDUAL: Param = Param::new(
    "by_residual",
    ParamRange::Bool,
    KnobValue::Bool(true),
    "whether codes encode residuals; set it before training",
);
const TABLE_MEMORY: Param = Param::new(
    "table_memory",
    ParamRange::at_least(0),
    KnobValue::Int(Binding::TABLE_MEMORY as i64),
    "maximum bytes of precomputed tables of the lists; without the tables, searches are slower",
);

/// The names of the parts.
const QUANTIZER: &str = "quantizer";
const CODEC: &str = "codec";
const LISTS: &str = "lists";

impl IvfIndex {
    pub(super) fn own_knobs(&self) -> Vec<Knob> {
        let options = &self.options;
        let mut knobs = vec![
            Knob::new(NPROBE, options.nprobe),
            Knob::new(MAX_CODES, options.max_codes),
            Knob::new(MODE, options.mode.name()),
            Knob::new(DIRECT_MAP, direct_map_name(options.direct_map)),
            Knob::new(TABLE_MEMORY, options.table_memory),
        ];
        if let Residuals::Optional { default } = self.codec.residuals() {
            knobs.push(Knob::new(BY_RESIDUAL.with_default(default), self.by_residual));
        }
        knobs
    }

    pub(super) fn codec_params(&self) -> Vec<Param> {
        self.codec.params(&self.context())
    }

    pub(super) fn quantizer_params(&self) -> Vec<Param> {
        self.quantizer.params(self.dim, self.metric)
    }

    /// Returns a component with a knob for each parameter. The settings store the values under
    /// `prefix`.
    fn component(&self, path: &str, kind: &str, params: Vec<Param>, prefix: &str) -> Part {
        let knob = |param: Param| {
            let set = self.options.settings.get(&format!("{prefix}{}", param.name)).cloned();
            let value = set.unwrap_or_else(|| param.default.clone());
            Knob::new(param, value)
        };
        Part::new(path, kind).with_knobs(params.into_iter().map(knob).collect())
    }

    pub(super) fn codec_part(&self) -> Part {
        let token = self.codec.to_string();
        let kind = self.trained.as_ref().map_or(token.as_str(), |trained| trained.entries.bound.codec().tag());
        self.component(CODEC, kind, self.codec_params(), "")
    }

    pub(super) fn lists_part(&self) -> Part {
        let kind = self.trained.as_ref().map_or(self.store.tag(), |trained| trained.entries.lists.tag());
        Part::new(LISTS, kind)
    }

    pub(super) fn all_parts(&self) -> Vec<Part> {
        let token = self.quantizer.to_string();
        let kind = self.trained.as_ref().map_or(token.as_str(), |Trained { quantizer, .. }| quantizer.tag());
        vec![
            Part::new("", super::IVF.tag).with_knobs(self.own_knobs()),
            self.component(QUANTIZER, kind, self.quantizer_params(), QUANTIZER_PREFIX),
            self.codec_part(),
            self.lists_part(),
        ]
    }

    pub(super) fn set_knob_of(&mut self, path: &str, name: &str, value: &KnobValue) -> Result<(), KnobError> {
        match path {
            "" => self.set_own_knob(name, value),
            QUANTIZER => self.set_param(self.quantizer_params(), QUANTIZER_PREFIX, path, name, value),
            CODEC => self.set_param(self.codec_params(), "", path, name, value),
            LISTS => Err(unknown_knob(name, &[])),
            _ => Err(unknown_part(path, &self.all_parts())),
        }
    }

    /// Stores the value of a parameter of a component in the settings.
    fn set_param(
        &mut self,
        params: Vec<Param>,
        prefix: &str,
        path: &str,
        name: &str,
        value: &KnobValue,
    ) -> Result<(), KnobError> {
        let Some(param) = params.iter().find(|param| param.is_named(name)) else {
            let parts: Vec<Part> = self.all_parts().into_iter().filter(|part| part.path == path).collect();
            return Err(unknown_knob(name, &parts));
        };
        let full = format!("{prefix}{}", param.name);
        let value = param.range.check(&full, value)?;
        self.options.settings.set(&full, value);
        Ok(())
    }

    pub(super) fn set_codec_param(&mut self, name: &str, value: &KnobValue) -> Result<(), KnobError> {
        self.set_param(self.codec_params(), "", CODEC, name, value)
    }

    fn set_own_knob(&mut self, name: &str, value: &KnobValue) -> Result<(), KnobError> {
        let Some(knob) = self.own_knobs().into_iter().find(|knob| knob.param.is_named(name)) else {
            return Err(unknown_knob(name, &self.all_parts()[..1]));
        };
        let value = knob.param.range.check(name, value)?;
        let size = |value: &KnobValue| value.as_whole().and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
        match name {
            "nprobe" => self.options.nprobe = size(&value),
            "max_codes" => self.options.max_codes = size(&value),
            "mode" => self.options.mode = value.to_string().parse()?,
            "direct_map" => self.turn_direct_map(&value)?,
            "table_memory" => self.set_table_memory(size(&value))?,
            _ => self.set_by_residual(value.as_bool().unwrap_or_default())?,
        }
        Ok(())
    }

    fn turn_direct_map(&mut self, value: &KnobValue) -> Result<(), KnobError> {
        let word = DIRECT_MAP.range.check(&DIRECT_MAP.name, value)?.to_string();
        self.set_direct_map(direct_map_named(&word)).map_err(|error| KnobError::Value {
            name: DIRECT_MAP.name.into_owned(),
            must: DIRECT_MAP.range.to_string(),
            found: format!("{word}: {error}"),
        })
    }

    /// Rebuilds the per-list tables within a limit in bytes.
    fn set_table_memory(&mut self, bytes: usize) -> Result<(), KnobError> {
        let before = std::mem::replace(&mut self.options.table_memory, bytes);
        if bytes == before {
            return Ok(());
        }
        let (by_residual, options) = (self.by_residual, self.options.clone());
        let Some(Trained { quantizer, entries }) = &mut self.trained else { return Ok(()) };
        entries.bind(super::entries::binding(quantizer, by_residual, &options)).map_err(|error| {
            self.options.table_memory = before;
            let must = TABLE_MEMORY.range.to_string();
            KnobError::Value { name: TABLE_MEMORY.name.into_owned(), must, found: format!("{bytes}: {error}") }
        })
    }

    fn set_by_residual(&mut self, by_residual: bool) -> Result<(), KnobError> {
        if by_residual != self.by_residual {
            if self.trained.is_some() {
                return Err(KnobError::Trained { name: BY_RESIDUAL.name.into_owned() });
            }
            self.by_residual = by_residual;
        }
        Ok(())
    }

    /// Returns the settings of the codec and the quantizer, normalised to the names and
    /// value types of their parameters.
    pub(super) fn normal_settings(&self) -> Result<Settings, PartsError> {
        let (codec, quantizer) = (self.codec_params(), self.quantizer_params());
        let mut settings = Settings::new();
        for (name, value) in self.options.settings.iter() {
            let (prefix, own, params) = match name.strip_prefix(QUANTIZER_PREFIX) {
                Some(own) => (QUANTIZER_PREFIX, own, &quantizer),
                None => ("", name, &codec),
            };
            let shown = name.escape_debug();
            let fault = |what: String| PartsError::Mismatch(what);
            let param = params.iter().find(|param| param.is_named(own));
            let param = param.ok_or_else(|| fault(format!("no component takes the setting '{shown}'")))?;
            let value = param.range.normal(value).ok_or_else(|| {
                fault(format!("{shown} must be {}, not {}", param.range, value.to_string().escape_debug()))
            })?;
            settings.set(&format!("{prefix}{}", param.name), value);
        }
        Ok(settings)
    }

    /// Returns `takes` with the parameters that the quantizer and the codec declare.
    pub(super) fn with_own(&self, takes: &Takes) -> Takes {
        let quantizer =
            self.quantizer_params().into_iter().map(|param| format!("{QUANTIZER_PREFIX}{}", param.name).into());
        self.with_codec_params(takes).with_own(quantizer)
    }

    /// Returns `takes` with the parameters that the codec declares.
    pub(super) fn with_codec_params(&self, takes: &Takes) -> Takes {
        takes.clone().with_own(self.codec_params().into_iter().map(|param| param.name))
    }

    /// Returns the default values of the codec's parameters, which apply unless a search overrides
    /// them.
    pub(super) fn codec_settings(&self) -> Settings {
        // The settings were checked when they were stored.
        Settings::new().resolved(&self.codec_params(), &self.options.settings).unwrap_or_default()
    }
}
