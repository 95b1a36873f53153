//! Steps on the index as a whole: reset, reload, clone, knobs, and calls that must fail.

use super::Tally;
use super::check::{Check, done};
use super::lists;
use super::model::knob;
use super::step::History;
use ivf_core::error::StoreError;
use ivf_core::{AddOptions, Id, Rows};
use rand::RngExt;

impl History<'_> {
    pub(super) fn reset(&mut self, at: &str) -> Option<String> {
        done(self.index.as_reset()?.reset(), at);
        self.model.entries.clear();
        self.model.next = 0;
        Some("all".to_owned())
    }

    pub(super) fn reload(&mut self, at: &str) -> Option<String> {
        let node = done(self.index.export(), at).to_stored();
        let is_written_before = self.random.random_ratio(1, 6);
        let node = if is_written_before { node } else { (self.subject.rest)(&node) };
        self.index = done((self.subject.read)(&node), at);
        let map = knob(&*self.index, "direct_map").unwrap_or(0);
        // An array map that would be mostly empty is read back as a hash map.
        let is_sparse = self.model.next > 4096 && (self.model.map, map) == (1, 2);
        assert!(map == self.model.map || is_sparse, "{at}: map {} comes back as {map}", self.model.map);
        self.model.map = map;
        Some("from what it exports".to_owned())
    }

    /// Takes a clone, after comparing the previous one with its expected content. Either the index
    /// or the clone continues the history.
    pub(super) fn clone_index(&mut self, at: &str) -> Option<String> {
        let clone = match self.index.clone_index() {
            Ok(clone) => clone,
            Err(StoreError::NoSnapshot { .. }) => return None,
            Err(error) => panic!("{at}: {error}"),
        };
        assert_eq!(clone.parts(), self.index.parts(), "{at}: parts of a clone");
        self.check_clone(at);
        self.clone = Some((clone, self.model.clone()));
        let goes_on = self.random.random();
        if let Some((clone, _)) = self.clone.as_mut().filter(|_| goes_on) {
            std::mem::swap(clone, &mut self.index);
        }
        Some(if goes_on { "which goes on" } else { "which stays" }.to_owned())
    }

    /// Checks that the clone still has its expected content.
    pub(super) fn check_clone(&mut self, at: &str) {
        if let Some((clone, model)) = &self.clone {
            let at = format!("{at}: a clone that was left as it was");
            Check::run(self.subject, model, &**clone, &mut self.random, &mut Tally::default(), &at);
        }
    }

    pub(super) fn knobs(&mut self, at: &str) -> Option<String> {
        let (name, value) = match self.random.random_range(0..4) {
            0 => ("nprobe", self.random.random_range(1..14)),
            1 => ("max_codes", [0, 0, 20, 60][self.random.random_range(0..4)]),
            _ => ("direct_map", self.random.random_range(0..3_u64)),
        };
        knob(&*self.index, name)?;
        // Under an id map, the order within a list is not known.
        if name == "max_codes" && self.index.as_ivf().is_none() {
            return None;
        }
        let result = self.index.set_knob(name, value);
        let has_negative = self.model.entries.iter().any(|entry| entry.id.0 < 0);
        let may_refuse = self.subject.keeps_ids && (has_negative || self.model.next > 4096);
        if (name, value) == ("direct_map", 1) && self.model.map != 1 && result.is_err() {
            assert!(may_refuse, "{at}: an array map is refused: {result:?}");
            return Some("an array map, refused".to_owned());
        }
        done(result, at);
        match name {
            "nprobe" => self.model.nprobe = value as usize,
            "max_codes" => self.model.max_codes = value as usize,
            _ => {
                let takes = value != 1 || !(self.subject.keeps_ids && has_negative);
                assert!(takes || self.model.map == 1, "{at}: an array map of negative ids");
                self.model.map = value;
            }
        }
        Some(format!("{name}={value}"))
    }

    /// Makes calls that must fail. The comparison after the step checks that nothing has changed.
    pub(super) fn refused(&mut self, at: &str) -> Option<String> {
        let mut vectors = self.vectors_of(3);
        let known = self.known(1);
        let nobody = Id(-987_654_321_987);
        let ids = [known.first().copied().unwrap_or(nobody), nobody, nobody];
        let results = [
            self.index
                .as_update()
                .map(|update| update.update(&ids[..2], vectors.rows().slice(0..2).into(), &AddOptions::new()).is_err()),
            self.index
                .as_upsert()
                .map(|upsert| upsert.upsert(&ids, vectors.rows().into(), &AddOptions::new()).is_err()),
            self.index.as_add_codes().map(|add| add.add_codes(&[1], None, &AddOptions::new()).is_err()),
        ];
        vectors.data[2 * self.model.dim] = f32::NAN;
        let rows: Rows<'_, f32> = vectors.rows();
        let adds = [
            self.index.as_add().map(|add| add.add(rows.into(), &AddOptions::new()).is_err()),
            self.index
                .as_upsert()
                .map(|upsert| upsert.upsert(&[nobody, ids[0], Id(7)], rows.into(), &AddOptions::new()).is_err()),
        ];
        let fails: Vec<bool> =
            results.into_iter().chain(adds).chain(lists::refused(&mut *self.index)).flatten().collect();
        assert!(fails.iter().all(|fails| *fails), "{at}: calls that must fail: {fails:?}");
        Some("nothing changed".to_owned())
    }
}
