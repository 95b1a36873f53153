//! Steps that add vectors.

use super::check::done;
use super::step::History;
use crate::data::Random;
use ivf_core::error::{AddError, CodeError};
use ivf_core::params::NonFinite;
use ivf_core::{AddOptions, Id};
use rand::RngExt;

impl History<'_> {
    pub(super) fn add(&mut self, at: &str) -> Option<String> {
        self.index.as_add()?;
        let vectors = self.vectors();
        let ids = self.counted(vectors.len());
        let report = done(self.index.add(vectors.rows()), at);
        assert_eq!((report.added, report.skipped.len()), (ids.len(), 0), "{at}: report");
        let entries = self.entries(&ids, &vectors);
        self.model.push(entries);
        Some(format!("{} vectors from id {:?} on", ids.len(), ids.first()))
    }

    pub(super) fn add_with_ids(&mut self, at: &str) -> Option<String> {
        self.index.as_add_with_ids()?;
        let vectors = self.vectors();
        let ids = self.ids(vectors.len());
        match self.index.add_with_ids(vectors.rows(), &ids) {
            Err(AddError::IdNotSequential { .. }) if self.refuses(ids.iter().copied()) => {
                return Some(format!("{ids:?}, refused"));
            }
            added => assert_eq!(done(added, at).added, ids.len(), "{at}: report"),
        }
        assert!(!self.refuses(ids.iter().copied()), "{at}: an array map takes {ids:?}");
        let entries = self.entries(&ids, &vectors);
        self.model.push(entries);
        Some(format!("{ids:?}"))
    }

    pub(super) fn add_skipping(&mut self, at: &str) -> Option<String> {
        self.index.as_add()?;
        let mut vectors = self.vectors();
        let bad = |random: &mut Random| random.random_ratio(1, 4);
        let skipped: Vec<usize> = (0..vectors.len()).filter(|_| bad(&mut self.random)).collect();
        let ids = self.counted(vectors.len());
        let mut entries = self.entries(&ids, &vectors);
        for &row in &skipped {
            vectors.data[row * self.model.dim + row % self.model.dim] = [f32::NAN, f32::INFINITY][row % 2];
        }
        entries.retain(|entry| !skipped.iter().any(|&row| ids[row] == entry.id));
        let options = AddOptions::new().non_finite(NonFinite::SkipRow);
        let add = self.index.as_add()?;
        let report = done(add.add(vectors.rows().into(), &options), at);
        assert_eq!((report.added, &report.skipped), (entries.len(), &skipped), "{at}: report");
        self.model.push(entries);
        self.model.count(ids.iter().copied());
        Some(format!("{} vectors, of which {skipped:?} are skipped", ids.len()))
    }

    pub(super) fn add_codes(&mut self, at: &str) -> Option<String> {
        self.index.as_add_codes()?;
        let vectors = self.vectors();
        let ids = if self.random.random() { self.counted(vectors.len()) } else { self.ids(vectors.len()) };
        let is_counted = ids == self.counted(vectors.len());
        let entries = self.entries(&ids, &vectors);
        let coder = self.index.as_standalone_codec()?;
        let codes = done(coder.sa_encode(vectors.rows().into(), &AddOptions::new()), at);
        let expected: Vec<u8> = entries.iter().flat_map(|entry| self.model.standalone(entry)).collect();
        assert!(codes == expected, "{at}: standalone codes of {} vectors differ", vectors.len());
        assert_eq!(done(coder.sa_code_size(), at) * vectors.len(), codes.len(), "{at}: size of a code");
        let decoded: Vec<f32> = entries.iter().flat_map(|entry| entry.vector.clone()).collect();
        assert_eq!(done(coder.sa_decode(&codes), at), decoded, "{at}: vectors coded and decoded");
        let named = Some(&ids[..]).filter(|_| !is_counted);
        match self.index.as_add_codes()?.add_codes(&codes, named, &AddOptions::new()) {
            Err(CodeError::Add(AddError::IdNotSequential { .. })) if self.refuses(ids.iter().copied()) => {
                return Some(format!("of {ids:?}, refused"));
            }
            added => assert_eq!(done(added, at).added, ids.len(), "{at}: report"),
        }
        let size = codes.len() / ids.len().max(1);
        let of_code = |(id, code): (&Id, &[u8])| self.model.entry_of_code(*id, code);
        let entries = ids.iter().zip(codes.chunks_exact(size.max(1))).map(of_code).collect();
        self.model.push(entries);
        Some(format!("of {ids:?}"))
    }
}
