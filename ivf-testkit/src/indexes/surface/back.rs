//! Checks of returned vectors and codes: of results, of ids, of locations.

use super::Tally;
use super::ask::Takes;
use super::check::{Check, QUERIES, done};
use super::model::place;
use super::truth::{Hit, ties};
use crate::data::Random;
use ivf_core::error::ReconstructError;
use ivf_core::{Id, IndexIvf, Reconstruct, SearchParams};
use rand::RngExt;
use rand::seq::IndexedRandom;

impl Check<'_> {
    pub(super) fn codes(&self, ivf: &dyn IndexIvf, random: &mut Random, tally: &mut Tally) {
        tally.count("search and return codes");
        let ask = self.draw(random, tally, Takes { ensure_k: true, ..self.takes() }, QUERIES);
        let expected = self.each(|query| self.truth.nearest(query, 5, &ask));
        ask.with(|params| {
            let at = format!("{}: search with codes, {params:?}", self.at);
            let (found, codes) = done(ivf.search_and_return_codes(self.truth.queries.rows().into(), 5, params), &at);
            self.truth.check(&found.hits, &expected, &ask, &at);
            let wanted: Vec<u8> =
                expected.iter().flatten().flat_map(|hit| self.truth.model.standalone(hit.entry)).collect();
            assert!(codes == wanted, "{at}: the codes differ");
            if let Some(coder) = self.index.as_standalone_codec() {
                self.check_vectors(&done(coder.sa_decode(&codes), &at), &expected, &at);
            }
        });
    }

    /// Asserts that these are the vectors of the results.
    pub(super) fn check_vectors(&self, vectors: &[f32], expected: &[Vec<Hit<'_>>], at: &str) {
        let hits: Vec<(&[Hit<'_>], &Hit<'_>)> =
            expected.iter().flat_map(|row| row.iter().map(|hit| (&row[..], hit))).collect();
        assert_eq!(vectors.len(), hits.len() * self.truth.model.dim, "{at}: one vector per result");
        for ((row, hit), vector) in hits.iter().zip(vectors.chunks_exact(self.truth.model.dim)) {
            if !self.truth.ties_by_id && ties(row, hit.distance) {
                continue;
            }
            let named = |id: Id| self.truth.model.entries.iter().filter(move |entry| entry.id == id);
            // Which of several entries of an id was found is known only if the index shows its
            // lists.
            let is_one = if self.truth.is_placed {
                vector == hit.entry.vector
            } else {
                named(hit.entry.id).any(|entry| entry.vector == vector)
            };
            assert!(is_one, "{at}: the vector of {hit:?} is {vector:?}");
        }
    }

    /// Checks vectors by their ids and by their locations.
    pub(super) fn given_back(&self, random: &mut Random, tally: &mut Tally) {
        let (model, at) = (self.truth.model, self.at);
        if let Some(reconstruct) = self.index.as_reconstruct() {
            let ids: Vec<Id> = (0..4).filter_map(|_| self.selectors.ids.choose(random).copied()).collect();
            let vectors: Vec<Vec<f32>> = ids.iter().map(|id| self.reconstruct(reconstruct, *id)).collect();
            let at = format!("{at}: vectors of {ids:?}");
            assert_eq!(done(self.index.reconstruct_many(&ids), &at), vectors.concat(), "{at}");
            let nobody = Id(-987_654_321_987);
            let mut places = vec![0.0; 2 * model.dim];
            let single = reconstruct.reconstruct(nobody, &mut places[..model.dim]);
            let known = ids.first().copied().unwrap_or(nobody);
            for result in [single, reconstruct.reconstruct_many(&[known, nobody], &mut places)] {
                let named = matches!(result, Err(ReconstructError::NoSuchId(id)) if id == nobody);
                assert!(named, "{at}: an unknown id gives {result:?}");
            }
        }
        let Some(ivf) = self.index.as_ivf() else { return };
        let no = random.random_range(0..self.truth.lists.len());
        let len = self.truth.lists[no].len();
        let mut vector = vec![0.0; model.dim];
        let past = ivf.reconstruct_at(place(no, len), &mut vector);
        assert!(matches!(past, Err(ReconstructError::Store(_))), "{at}: entry {len} of list {no} is {past:?}");
        if len > 0 {
            tally.count("reconstruct at a place");
            let offset = random.random_range(0..len);
            done(ivf.reconstruct_at(place(no, offset), &mut vector), at);
            assert_eq!(vector, self.truth.lists[no][offset].vector, "{at}: the vector at {offset} of list {no}");
        }
        let nprobe = random.random_range(1..self.truth.lists.len() + 3);
        let assigned = done(ivf.assign(self.truth.queries.rows().into(), nprobe, &SearchParams::new()), at);
        for query in 0..assigned.len() {
            let expected = self.truth.probes[query].iter().map(|(list, distance)| (Some(*list), distance.to_bits()));
            let found = assigned.row(query).map(|(list, distance)| (list, distance.to_bits()));
            assert!(found.eq(expected.take(nprobe)), "{at}: the lists of query {query} of {}", self.subject.name);
        }
    }

    /// Returns the vector of an id. If the index shows its lists, it must be the id's first entry.
    fn reconstruct(&self, reconstruct: &dyn Reconstruct, id: Id) -> Vec<f32> {
        let mut vector = vec![0.0; self.truth.model.dim];
        done(reconstruct.reconstruct(id, &mut vector), self.at);
        let entries = || self.truth.lists.iter().flatten().filter(|entry| entry.id == id);
        let most = if self.truth.is_placed { 1 } else { usize::MAX };
        assert!(entries().take(most).any(|entry| entry.vector == vector), "{}: {id} is {vector:?}", self.at);
        vector
    }
}
