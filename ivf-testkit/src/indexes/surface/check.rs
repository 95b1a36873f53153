//! Comparison of every kind of search with the expected results.

use super::ask::{Ask, Selectors, Takes};
use super::model::Model;
use super::truth::Truth;
use super::{Subject, Tally};
use crate::data::Random;
use ivf_core::{Collector, Id, Index, IndexIvf, ListNo, Neighbor, SearchStats, Sink};
use rand::RngExt;
use rand::seq::IndexedRandom;
use std::fmt::Display;
use std::ops::ControlFlow;

/// Number of queries of a step.
pub(super) const QUERIES: usize = 3;

/// One comparison of an index with its model.
pub(super) struct Check<'a> {
    pub(super) subject: &'a Subject<'a>,
    pub(super) index: &'a dyn Index,
    pub(super) truth: Truth<'a>,
    pub(super) selectors: Selectors<'a>,
    pub(super) at: &'a str,
}

impl Check<'_> {
    /// Compares the contents, searches of every kind, and returned vectors and codes.
    pub(super) fn run(
        subject: &Subject<'_>,
        model: &Model,
        index: &dyn Index,
        random: &mut Random,
        tally: &mut Tally,
        at: &str,
    ) {
        let queries = (subject.vectors)(random.random(), QUERIES, model.dim);
        let truth = Truth::new(subject, model, index, queries, at);
        let share = random.random_range(2..9);
        let keep = move |id: Id| id.0.rem_euclid(share) == 1;
        let check = Check {
            subject,
            index,
            truth,
            selectors: Selectors { ids: model.ids().into_iter().collect(), keep: &keep },
            at,
        };
        check.everything();
        check.ids();
        check.nearest(random, tally);
        check.range(random, tally);
        check.given_back(random, tally);
        let Some(ivf) = index.as_ivf() else { return };
        match random.random_range(0..4) {
            0 => check.preassigned(ivf, random, tally),
            1 => check.range_preassigned(ivf, random, tally),
            2 => check.one(ivf, random, tally),
            _ => check.codes(ivf, random, tally),
        }
    }

    pub(super) fn takes(&self) -> Takes {
        let has_lists = self.truth.model.nlist() > 1;
        // The order within a list, which `max_codes` depends on, is known only if lists are shown.
        let max_codes = has_lists && self.truth.is_placed;
        Takes { nprobe: has_lists, max_lists: has_lists, max_codes, many: true, ..Takes::default() }
    }

    pub(super) fn draw(&self, random: &mut Random, tally: &mut Tally, takes: Takes, queries: usize) -> Ask<'_> {
        Ask::draw(random, tally, takes, queries, &self.selectors)
    }

    pub(super) fn each<T>(&self, of_query: impl FnMut(usize) -> T) -> Vec<T> {
        (0..self.truth.queries.len()).map(of_query).collect()
    }

    /// Returns a user-facing radius: mostly the distance of a result, to check strictness.
    fn radius(&self, random: &mut Random) -> f32 {
        let query = random.random_range(0..QUERIES);
        let plain = Ask::plain();
        let hits = self.truth.all(query, &self.truth.nearest_lists(query, usize::MAX), &plain);
        match hits.choose(random) {
            Some(hit) if random.random_ratio(9, 10) => self.truth.to_user_distance(hit.distance),
            _ => *[0.0, 1e30, -1e30, f32::INFINITY].choose(random).expect("it has some"),
        }
    }

    /// Searches for all entries of an index that does not show its lists, so that a wrong entry
    /// shows immediately.
    fn everything(&self) {
        if self.truth.is_placed {
            return;
        }
        let (k, nlist) = (self.truth.model.entries.len() + 1, self.truth.lists.len());
        let mut ask = Ask::plain();
        ask.probe(if nlist > 1 { Some(nlist) } else { None });
        let query = self.truth.queries.rows().slice(0..1);
        let expected = [self.truth.nearest(0, k, &ask)];
        let at = format!("{}: search for all", self.at);
        let found = ask.with(|params| done(self.index.search(query, k, params), &at));
        self.truth.check(&found.hits, &expected, &ask, &at);
    }

    /// Compares the ids of all entries.
    fn ids(&self) {
        let Some(scan) = self.index.as_scan_ids() else { return };
        let (mut found, at) = (Vec::new(), format!("{}: all ids", self.at));
        done(scan.scan_ids(&mut |id| found.push(id)), &at);
        let mut expected: Vec<Id> = self.truth.model.entries.iter().map(|entry| entry.id).collect();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{at}");
    }

    fn nearest(&self, random: &mut Random, tally: &mut Tally) {
        let takes = Takes { ensure_k: self.takes().nprobe, ..self.takes() };
        let ask = self.draw(random, tally, takes, QUERIES);
        let k = *[1, 5, 40].choose(random).expect("it has some");
        let expected = self.each(|query| self.truth.nearest(query, k, &ask));
        let queries = self.truth.queries.rows();
        ask.with(|params| {
            let at = format!("{}: search for {k}, {params:?}", self.at);
            let found = done(self.index.search(queries, k, params), &at);
            self.truth.check(&found.hits, &expected, &ask, &at);
            if !ask.ensures_k() {
                self.check_stats(&found.stats, &ask, &at);
            }
            if let Some(reconstruct) = self.index.as_reconstruct().filter(|_| k == 5) {
                tally.count("search and reconstruct");
                let at = format!("{at}, and reconstruct");
                let (found, vectors) = done(reconstruct.search_and_reconstruct(queries.into(), k, params), &at);
                self.truth.check(&found.hits, &expected, &ask, &at);
                self.check_vectors(&vectors, &expected, &at);
            }
        });
    }

    fn check_stats(&self, stats: &SearchStats, ask: &Ask<'_>, at: &str) {
        if !self.truth.is_placed {
            return;
        }
        let plan = |query: usize| {
            let limits = ask.limits(query, self.truth.model);
            self.truth.plan(&self.truth.nearest_lists(query, limits.nprobe), limits)
        };
        let plans = self.each(plan).concat();
        let codes: usize = plans.iter().map(|(_, len)| len).sum();
        let found = (stats.queries, stats.lists, stats.codes);
        assert_eq!(found, (QUERIES as u64, plans.len() as u64, codes as u64), "{at}: queries, lists, codes scanned");
    }

    fn range(&self, random: &mut Random, tally: &mut Tally) {
        let Some(range) = self.index.as_range_search() else { return };
        let takes = Takes { max_results: true, max_empty_lists: self.takes().nprobe, ..self.takes() };
        let ask = self.draw(random, tally, takes, QUERIES);
        let radius = self.radius(random);
        let expected = self.each(|query| {
            let lists = self.truth.nearest_lists(query, ask.limits(query, self.truth.model).nprobe);
            self.truth.within(query, &lists, self.truth.to_user_distance(radius), &ask)
        });
        ask.with(|params| {
            let at = format!("{}: range search within {radius}, {params:?}", self.at);
            let found = done(range.range_search(self.truth.queries.rows().into(), radius, params), &at);
            self.truth.check(&found.hits, &expected, &ask, &at);
        });
    }

    /// Returns random probes, with absent and repeated lists.
    fn own_lists(&self, random: &mut Random) -> Vec<Vec<Option<ListNo>>> {
        let nprobe = random.random_range(1..9);
        let nlist = self.truth.lists.len() as u32;
        let mut list = || random.random_ratio(5, 6).then(|| ListNo(random.random_range(0..nlist)));
        self.each(|_| (0..nprobe).map(|_| list()).collect())
    }

    fn preassigned(&self, ivf: &dyn IndexIvf, random: &mut Random, tally: &mut Tally) {
        tally.count("search preassigned");
        let ask = self.draw(random, tally, Takes { nprobe: false, ..self.takes() }, QUERIES);
        let lists = self.own_lists(random);
        let k = *[1, 5, 40].choose(random).expect("it has some");
        let expected = self.each(|query| {
            let mut hits = self.truth.all(query, &lists[query], &ask);
            hits.truncate(k);
            hits
        });
        let (queries, probes) = (self.truth.queries.rows(), self.truth.own_probes(&lists));
        ask.with(|params| {
            let at = format!("{}: search for {k} in the lists {lists:?}, {params:?}", self.at);
            let found = done(ivf.search_preassigned(queries.into(), &probes, k, params), &at);
            self.truth.check(&found.hits, &expected, &ask, &at);
        });
    }

    fn range_preassigned(&self, ivf: &dyn IndexIvf, random: &mut Random, tally: &mut Tally) {
        tally.count("range search preassigned");
        let takes = Takes { nprobe: false, max_results: true, max_empty_lists: true, ..self.takes() };
        let ask = self.draw(random, tally, takes, QUERIES);
        let (lists, radius) = (self.own_lists(random), self.radius(random));
        let expected =
            self.each(|query| self.truth.within(query, &lists[query], self.truth.to_user_distance(radius), &ask));
        let (queries, probes) = (self.truth.queries.rows(), self.truth.own_probes(&lists));
        ask.with(|params| {
            let at = format!("{}: range search within {radius} in the lists {lists:?}, {params:?}", self.at);
            let found = done(ivf.range_search_preassigned(queries.into(), &probes, radius, params), &at);
            self.truth.check(&found.hits, &expected, &ask, &at);
        });
    }

    /// Checks a search of a single query into a collector.
    fn one(&self, ivf: &dyn IndexIvf, random: &mut Random, tally: &mut Tally) {
        tally.count("search one");
        let ask = self.draw(random, tally, Takes { many: false, ..self.takes() }, 1);
        let lists = self.truth.nearest_lists(0, ask.limits(0, self.truth.model).nprobe);
        let mut expected = self.truth.all(0, &lists, &ask);
        let k = *[1, 5, usize::MAX].choose(random).expect("it has some");
        let stops = random.random_ratio(1, 5);
        let mut collector = Nearest { sink: Sink::top_k(k), calls: 0, stops };
        let query = self.truth.queries.rows().slice(0..1);
        ask.with(|params| {
            let at = format!("{}: search of one query for {k}, {params:?}", self.at);
            done(ivf.search_one(query.into(), &mut collector, params), &at);
        });
        if stops {
            assert!(collector.calls <= 1, "{}: a stopped collector gets more results", self.at);
            assert_eq!(collector.calls == 0, expected.is_empty(), "{}: calls of a collector", self.at);
            return;
        }
        expected.truncate(k);
        let bits = |id: Id, distance: f32| (id, distance.to_bits());
        let found = collector.sink.into_sorted();
        let same = found.iter().map(|hit| (bits(hit.id, hit.distance), hit.location));
        assert!(
            same.eq(expected.iter().map(|hit| (bits(hit.entry.id, hit.distance), hit.at))),
            "{}: a collector of {k} got\n{found:?}, expected\n{expected:?}",
            self.at
        );
    }
}

/// Returns the result of a call, or panics with a message that names the call.
pub(super) fn done<T, E: Display>(result: Result<T, E>, at: &str) -> T {
    result.unwrap_or_else(|error| panic!("{at}: {error}"))
}

/// A collector of the nearest results. If `stops` is set, it stops after the first batch.
struct Nearest {
    sink: Sink,
    calls: usize,
    stops: bool,
}

impl Collector for Nearest {
    fn threshold(&self) -> f32 {
        self.sink.threshold()
    }

    fn collect(&mut self, found: &[Neighbor]) -> ControlFlow<()> {
        self.calls += 1;
        found.iter().for_each(|hit| self.sink.push(*hit));
        if self.stops { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
