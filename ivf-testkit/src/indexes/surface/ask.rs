//! Random search parameters.

use super::Tally;
use super::model::Model;
use crate::data::Random;
use crate::executor::Threads;
use crate::indexes::selectors;
use ivf_core::executor::Inline;
use ivf_core::{Executor, Id, IdSelector, Limits, ParallelMode, QueryParams, SearchParams};
use rand::RngExt;

/// The parameters that a kind of search takes, besides those that all searches take.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Takes {
    pub(super) nprobe: bool,
    pub(super) max_lists: bool,
    pub(super) max_codes: bool,
    pub(super) ensure_k: bool,
    pub(super) max_results: bool,
    pub(super) max_empty_lists: bool,
    /// The parameters of calls for several queries: `mode`, `locations` and `per_query`.
    pub(super) many: bool,
}

/// The parameters of a search.
pub(super) struct Ask<'s> {
    all: One<'s>,
    own: Option<Vec<One<'s>>>,
    ensure_k: Option<bool>,
    max_results: Option<usize>,
    max_empty_lists: Option<usize>,
    mode: Option<ParallelMode>,
    locations: Option<bool>,
    executor: Option<Box<dyn Executor>>,
}

/// The parameters of one query, or the common ones of all queries.
#[derive(Default)]
struct One<'s> {
    nprobe: Option<usize>,
    max_codes: Option<usize>,
    max_lists: Option<usize>,
    selector: Option<IdSelector<'s>>,
}

/// Draws random selectors over some ids.
pub(super) struct Selectors<'k> {
    pub(super) ids: Vec<Id>,
    pub(super) keep: &'k (dyn Fn(Id) -> bool + Sync),
}

/// Names of the kinds of [`selectors`], in their order.
pub(super) const KINDS: [&str; 13] = [
    "selector all",
    "selector range below",
    "selector range above",
    "selector empty range",
    "selector sorted",
    "selector set",
    "selector bitmap",
    "selector roaring",
    "selector not",
    "selector and",
    "selector or",
    "selector xor",
    "selector closure",
];

impl<'k> Selectors<'k> {
    pub(super) fn draw(&self, random: &mut Random, tally: &mut Tally) -> IdSelector<'k> {
        let mut one = |random: &mut Random| {
            let mut kinds = selectors(&self.ids, self.keep);
            assert_eq!(kinds.len(), KINDS.len(), "a name for each kind of selector");
            let kind = random.random_range(0..kinds.len());
            tally.count(KINDS[kind]);
            kinds.swap_remove(kind)
        };
        let first = one(random);
        match random.random_range(0..8) {
            0 => first & one(random),
            1 => first | one(random),
            2 => first ^ !one(random),
            _ => first,
        }
    }
}

impl<'s> Ask<'s> {
    /// Returns empty parameters with an executor that runs on the calling thread.
    pub(super) fn plain() -> Self {
        Self {
            all: One::default(),
            own: None,
            ensure_k: None,
            max_results: None,
            max_empty_lists: None,
            mode: None,
            locations: None,
            executor: Some(Box::new(Inline)),
        }
    }

    /// Sets `nprobe` for all queries.
    pub(super) fn probe(&mut self, nprobe: Option<usize>) {
        self.all.nprobe = nprobe;
    }

    pub(super) fn draw(
        random: &mut Random,
        tally: &mut Tally,
        takes: Takes,
        queries: usize,
        from: &Selectors<'s>,
    ) -> Self {
        let all = One::draw(random, tally, takes, from);
        let own = (takes.many && random.random_ratio(1, 4)).then(|| {
            tally.count("per_query");
            (0..queries).map(|_| One::draw(random, tally, takes, from)).collect()
        });
        let mut may = |name: &'static str, taken: bool| {
            let is_set = taken && random.random_ratio(1, 3);
            if is_set {
                tally.count(name);
            }
            is_set.then(|| random.random_range(0..60_usize))
        };
        Self {
            all,
            own,
            ensure_k: may("ensure_k", takes.ensure_k).map(|n| n % 4 != 0),
            max_results: may("max_results", takes.max_results),
            max_empty_lists: may("max_empty_lists", takes.max_empty_lists).map(|n| n % 5),
            locations: may("locations", takes.many).map(|n| n % 3 != 0),
            mode: takes.many.then(|| {
                let mode = random.random_range(0..ParallelMode::ALL.len());
                tally.count(["Auto", "Queries", "Probes", "QueriesAndProbes", "FineQueries", "ListMajor"][mode]);
                ParallelMode::ALL[mode]
            }),
            executor: match random.random_range(0..12) {
                0 => Some((tally.count("threads 2"), Box::new(Threads(2)) as Box<dyn Executor>).1),
                1 => Some((tally.count("threads 4"), Box::new(Threads(4)) as Box<dyn Executor>).1),
                2 => {
                    tally.count("default executor");
                    None
                }
                _ => Some(Box::new(Inline)),
            },
        }
    }

    /// Calls `call` with these parameters.
    pub(super) fn with<T>(&self, call: impl FnOnce(&SearchParams<'_>) -> T) -> T {
        let own = self.own.as_ref().map(|own| own.iter().map(One::params).collect::<Vec<_>>());
        let mut params = SearchParams::new();
        let all = self.all.params();
        (params.nprobe, params.max_codes, params.max_lists) = (all.nprobe, all.max_codes, all.max_lists);
        (params.selector, params.per_query) = (all.selector, own.as_deref());
        (params.ensure_k, params.max_results) = (self.ensure_k, self.max_results);
        (params.max_empty_lists, params.mode) = (self.max_empty_lists, self.mode);
        (params.locations, params.executor) = (self.locations, self.executor.as_deref());
        call(&params)
    }

    /// Returns the scan limits of a query.
    pub(super) fn limits(&self, query: usize, model: &Model) -> Limits {
        let own = |field: fn(&One<'s>) -> Option<usize>| self.one(query).and_then(field).or_else(|| field(&self.all));
        let limit = |most: Option<usize>| most.filter(|&most| most > 0).unwrap_or(usize::MAX);
        Limits {
            nprobe: own(|one| one.nprobe).unwrap_or(model.nprobe),
            max_lists: limit(own(|one| one.max_lists)),
            max_codes: limit(own(|one| one.max_codes).or(Some(model.max_codes))),
        }
    }

    /// Returns whether the selector of a query keeps an id.
    pub(super) fn keeps(&self, query: usize, id: Id) -> bool {
        let selector = self.one(query).and_then(|one| one.selector.as_ref()).or(self.all.selector.as_ref());
        selector.is_none_or(|selector| selector.contains(id))
    }

    pub(super) fn ensures_k(&self) -> bool {
        self.ensure_k == Some(true)
    }

    pub(super) fn locates(&self) -> bool {
        self.locations == Some(true)
    }

    pub(super) fn most_results(&self) -> usize {
        self.max_results.filter(|&most| most > 0).unwrap_or(usize::MAX)
    }

    pub(super) fn most_empty(&self) -> usize {
        self.max_empty_lists.filter(|&most| most > 0).unwrap_or(usize::MAX)
    }

    fn one(&self, query: usize) -> Option<&One<'s>> {
        self.own.as_ref().map(|own| &own[query])
    }
}

impl<'s> One<'s> {
    fn draw(random: &mut Random, tally: &mut Tally, takes: Takes, from: &Selectors<'s>) -> Self {
        let mut may = |name: &'static str, taken: bool, from: usize, below: usize| {
            let is_set = taken && random.random_ratio(2, 5);
            if is_set {
                tally.count(name);
            }
            is_set.then(|| random.random_range(from..below))
        };
        let nprobe = may("nprobe", takes.nprobe, 1, 15);
        let max_codes = may("max_codes", takes.max_codes, 0, 120);
        let max_lists = may("max_lists", takes.max_lists, 0, 6);
        let selector = random.random_ratio(2, 5).then(|| from.draw(random, tally));
        Self { nprobe, max_codes, max_lists, selector }
    }

    fn params(&self) -> QueryParams<'_> {
        let mut params = QueryParams::new();
        (params.nprobe, params.max_codes, params.max_lists) = (self.nprobe, self.max_codes, self.max_lists);
        params.selector = self.selector.as_ref();
        params
    }
}
