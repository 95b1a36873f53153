//! Access to knobs by name, in any part of an index.

use crate::error::KnobError;
use crate::index::Index;
use crate::param::{KnobValue, split_assignment};
use crate::part::{Part, unknown_knob};

/// The address of a knob: the path of its part, and its name.
type Place = (String, String);

/// Splits a name that includes a path: `"quantizer/efSearch"`.
fn address(name: &str) -> Option<Place> {
    name.rsplit_once('/').map(|(path, name)| (path.to_owned(), name.to_owned()))
}

/// Finds the outermost knob of a name. `quantizer_<name>` is a knob of the outermost quantizer.
fn find(parts: &[Part], name: &str) -> Option<Place> {
    let in_parts = |name: &str, fits: &dyn Fn(&Part) -> bool| {
        parts.iter().filter(|part| fits(part)).find_map(|part| {
            let knob = part.knobs.iter().find(|knob| knob.param.is_named(name))?;
            Some((part.path.clone(), knob.name().to_owned()))
        })
    };
    let of_quantizer = || {
        let inner = name.strip_prefix("quantizer_")?;
        in_parts(inner, &|part| part.path.rsplit('/').next() == Some("quantizer"))
    };
    in_parts(name, &|_| true).or_else(of_quantizer)
}

/// Access to knobs by name, in any part of the index.
impl dyn Index + '_ {
    /// Sets the knob `name`. If several parts have a knob of that name, sets the outermost one.
    /// `quantizer_<name>` is the knob `<name>` of the coarse quantizer.
    ///
    /// ```
    /// use ivf_core::Metric;
    /// let mut index = ivf_factory::build("IVF16,Flat,RFlat", 2, Metric::L2)?;
    /// index.set_knob("k_factor_rf", 8)?;
    /// // The refining index has no knob of this name. The inverted file inside it has one.
    /// index.set_knob("nprobe", 4)?;
    /// assert_eq!(index.knob("nprobe"), Some(4.into()));
    ///
    /// assert!(index.set_knob("nprobe", 0).is_err());
    /// assert_eq!(index.knob("nprobes"), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`KnobError`] if no part has a knob of that name, or if the value is out of range.
    pub fn set_knob(&mut self, name: &str, value: impl Into<KnobValue>) -> Result<(), KnobError> {
        let parts = self.parts();
        let (path, name) = find(&parts, name).ok_or_else(|| unknown_knob(name, &parts))?;
        self.set_knob_at(&path, &name, value.into())
    }

    /// Returns the value of the knob `name`. If several parts have a knob of that name, returns the
    /// value of the outermost one.
    pub fn knob(&self, name: &str) -> Option<KnobValue> {
        let parts = self.parts();
        let (path, name) = find(&parts, name)?;
        let mut knobs = parts.into_iter().filter(|part| part.path == path).flat_map(|part| part.knobs);
        knobs.find(|knob| knob.name() == name).map(|knob| knob.value)
    }
}

/// Sets several knobs at once: `"nprobe=16,quantizer_efSearch=64"`, as Faiss's `ParameterSpace`.
/// Commas or spaces divide them. A name may include a path: `"quantizer/efSearch=64"`.
///
/// If one knob cannot be set, the ones before it are set back to their old values. A knob may
/// refuse its old value (a direct map that no longer fits its ids). It then keeps its new value,
/// and the returned error is the one of that knob.
///
/// ```
/// use ivf_core::Metric;
/// use ivf_core::knobs::set_knobs;
/// let mut index = ivf_factory::build("IVF64(IVF16,Flat),Flat", 2, Metric::L2)?;
/// set_knobs(&mut *index, "nprobe=8,quantizer_nprobe=2")?;
/// assert_eq!(index.knob("quantizer_nprobe"), Some(2.into()));
///
/// // All or none: `nprobe` is set back.
/// assert!(set_knobs(&mut *index, "nprobe=16,max_codes=-1").is_err());
/// assert_eq!(index.knob("nprobe"), Some(8.into()));
/// assert!(set_knobs(&mut *index, "nprobe=2,nprobe=3").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`KnobError`] for the first knob that is malformed, unknown, out of range or set a second time,
/// under the same name or another.
pub fn set_knobs(index: &mut dyn Index, text: &str) -> Result<(), KnobError> {
    let items = text.split(',').flat_map(|item| match item.matches('=').count() {
        0 | 1 => vec![item.trim()],
        _ => item.split_whitespace().collect(),
    });
    let wanted = items.map(split_assignment).collect::<Result<Vec<_>, _>>()?;
    set_each(index, wanted, true)
}

/// Sets several knobs at once, as [`set_knobs`] does, from names and values. A knob may be set
/// twice, as by `nprobe` and `base/nprobe`. The last value counts.
///
/// ```
/// use ivf_core::Metric;
/// use ivf_core::knobs::set_all;
/// let mut index = ivf_factory::build("IVF16,Flat", 2, Metric::L2)?;
/// set_all(&mut *index, [("nprobe", 8.into()), ("direct_map", "hash".into())])?;
/// assert_eq!(index.knob("direct_map"), Some("hash".into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As for [`set_knobs`], except that a knob may be set twice.
pub fn set_all<'n>(
    index: &mut dyn Index,
    wanted: impl IntoIterator<Item = (&'n str, KnobValue)>,
) -> Result<(), KnobError> {
    set_each(index, wanted, false)
}

/// Sets several knobs, all or none. If `once` is true, a knob that is set twice is an error.
fn set_each<'n>(
    index: &mut dyn Index,
    wanted: impl IntoIterator<Item = (&'n str, KnobValue)>,
    once: bool,
) -> Result<(), KnobError> {
    let mut before: Vec<(Place, KnobValue)> = Vec::new();
    let mut set = |index: &mut dyn Index, name: &str, value: KnobValue| {
        let parts = index.parts();
        let at = address(name).or_else(|| find(&parts, name)).ok_or_else(|| unknown_knob(name, &parts))?;
        let knobs = parts.iter().filter(|part| part.path == at.0).flat_map(|part| &part.knobs);
        let old = knobs.into_iter().find(|knob| knob.param.is_named(&at.1)).cloned();
        // The name of the knob, not its alias.
        let at = old.as_ref().map_or(at.clone(), |old| (at.0, old.name().to_owned()));
        if once && before.iter().any(|(known, _)| *known == at) {
            return Err(KnobError::Twice(name.to_owned()));
        }
        index.set_knob_at(&at.0, &at.1, value).map_err(|error| match error {
            // Report the name with its path, as the caller wrote it.
            KnobError::Unknown { known, .. } => KnobError::Unknown { name: name.to_owned(), known },
            other => other,
        })?;
        before.extend(old.map(|old| (at, old.value)));
        Ok(())
    };
    for (name, value) in wanted {
        if let Err(error) = set(index, name, value) {
            // Restore all of them, even if one refuses its old value.
            let mut result = Err(error);
            for ((path, name), value) in before.into_iter().rev() {
                if let Err(refused) = index.set_knob_at(&path, &name, value) {
                    result = Err(refused);
                }
            }
            return result;
        }
    }
    Ok(())
}

/// Sets the knobs that the index has, as [`set_all`] does, and returns the names of the others. One
/// config can thus serve indexes of different kinds.
///
/// ```
/// use ivf_core::Metric;
/// use ivf_core::knobs::set_known;
/// let mut index = ivf_factory::build("IVF16,Flat", 2, Metric::L2)?;
/// let config = [("nprobe", 8.into()), ("k_factor_rf", 2.into())];
/// assert_eq!(set_known(&mut *index, config)?, ["k_factor_rf"]);
/// assert_eq!(index.knob("nprobe"), Some(8.into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`KnobError`] for the first knob that is out of range. The knobs are then set back as in
/// [`set_knobs`].
pub fn set_known<'n>(
    index: &mut dyn Index,
    wanted: impl IntoIterator<Item = (&'n str, KnobValue)>,
) -> Result<Vec<String>, KnobError> {
    let parts = index.parts();
    let is_known = |name: &str| match address(name) {
        Some((path, name)) => {
            parts.iter().any(|part| part.path == path && part.knobs.iter().any(|knob| knob.param.is_named(&name)))
        }
        None => find(&parts, name).is_some(),
    };
    let (known, others): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|(name, _)| is_known(name));
    set_all(index, known)?;
    Ok(others.into_iter().map(|(name, _)| name.to_owned()).collect())
}
