//! What searches must find: every distance by its definition, every parameter by what its docs say.

use super::Subject;
use super::ask::Ask;
use super::model::{Entry, Model, place};
use crate::data::Vectors;
use ivf_core::{Hits, Id, Index, Limits, ListNo, Location, Metric, Probes};

/// A result.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hit<'m> {
    /// The inner distance.
    pub(super) distance: f32,
    pub(super) at: Location,
    pub(super) entry: &'m Entry,
}

/// The entries of an index in their lists, and some queries with their distances from all of them.
pub(super) struct Truth<'m> {
    pub(super) model: &'m Model,
    pub(super) lists: Vec<Vec<&'m Entry>>,
    /// Whether places in the lists are those of the index.
    pub(super) is_placed: bool,
    /// Whether entries at one distance come in the order of their ids; under an id map it is
    /// another one.
    pub(super) ties_by_id: bool,
    pub(super) queries: Vectors,
    /// For each query all lists, nearest first, with their coarse distances.
    pub(super) probes: Vec<Vec<(ListNo, f32)>>,
    /// For each query, list and entry.
    distances: Vec<Vec<Vec<f32>>>,
}

/// The lists that a query scans, with how many entries of each.
type Plan = Vec<(ListNo, usize)>;

impl<'m> Truth<'m> {
    pub(super) fn new(subject: &Subject<'_>, model: &'m Model, index: &dyn Index, queries: Vectors, at: &str) -> Self {
        let (lists, is_placed) = model.lists(index, at);
        let (mut probes, mut distances) = (Vec::new(), Vec::new());
        for query in queries.rows().iter() {
            let seen = model.seen(query);
            let nearest = model.probes(&seen);
            let mut to_lists = vec![Vec::new(); lists.len()];
            for &(list, coarse) in &nearest {
                to_lists[list.index()] = model.distances(&seen, list, coarse, &lists[list.index()]);
            }
            distances.push(to_lists);
            probes.push(nearest);
        }
        Self { model, lists, is_placed, ties_by_id: subject.keeps_ids, queries, probes, distances }
    }

    /// The first lists of a query, as a quantizer names them.
    pub(super) fn nearest_lists(&self, query: usize, nprobe: usize) -> Vec<Option<ListNo>> {
        self.probes[query].iter().map(|(list, _)| Some(*list)).take(nprobe).collect()
    }

    /// A caller's probes, with the coarse distances of their lists.
    pub(super) fn own_probes(&self, lists: &[Vec<Option<ListNo>>]) -> Probes {
        let coarse = |query: usize, list: Option<ListNo>| {
            let known = self.probes[query].iter().find(|(known, _)| Some(*known) == list);
            known.map_or(f32::NAN, |(_, distance)| *distance)
        };
        let distances = lists.iter().enumerate().flat_map(|(q, row)| row.iter().map(move |list| coarse(q, *list)));
        let distances = distances.collect();
        Probes::new(lists[0].len(), lists.concat(), distances).expect("rows of one length")
    }

    /// The lists that hold something, as far as the limits go; the last may be cut.
    pub(super) fn plan(&self, probes: &[Option<ListNo>], limits: Limits) -> Plan {
        let mut plan = Plan::new();
        let mut codes = 0;
        for list in probes.iter().flatten() {
            let len = self.lists[list.index()].len().min(limits.max_codes - codes);
            if len > 0 && plan.len() < limits.max_lists {
                plan.push((*list, len));
                codes += len;
            }
        }
        plan
    }

    /// The entries of a planned list that a query may find.
    fn found(&self, query: usize, (list, len): (ListNo, usize), ask: &Ask<'_>) -> Vec<Hit<'m>> {
        let no = list.index();
        let all = self.lists[no].iter().zip(&self.distances[query][no]).take(len).enumerate();
        let hits = all.map(|(offset, (&entry, &distance))| Hit { distance, at: place(no, offset), entry });
        hits.filter(|hit| ask.keeps(query, hit.entry.id)).collect()
    }

    /// What a query finds in its first lists, or in given ones: all of it, nearest first.
    pub(super) fn all(&self, query: usize, probes: &[Option<ListNo>], ask: &Ask<'_>) -> Vec<Hit<'m>> {
        let plan = self.plan(probes, ask.limits(query, self.model));
        sorted(plan.into_iter().flat_map(|planned| self.found(query, planned, ask)).collect())
    }

    /// The `k` nearest of a search by the index's own quantizer, which may have to widen.
    pub(super) fn nearest(&self, query: usize, k: usize, ask: &Ask<'_>) -> Vec<Hit<'m>> {
        let mut nprobe = ask.limits(query, self.model).nprobe;
        loop {
            let mut hits = self.all(query, &self.nearest_lists(query, nprobe), ask);
            hits.truncate(k);
            if !ask.ensures_k() || hits.len() == k || nprobe >= self.lists.len() {
                return hits;
            }
            nprobe *= 2;
        }
    }

    /// What a query finds within an inner distance.
    pub(super) fn within(&self, query: usize, probes: &[Option<ListNo>], radius: f32, ask: &Ask<'_>) -> Vec<Hit<'m>> {
        let (mut hits, mut empty) = (Vec::new(), 0);
        for planned in self.plan(probes, ask.limits(query, self.model)) {
            if empty == ask.most_empty() {
                break;
            }
            let mut found = self.found(query, planned, ask);
            found.retain(|hit| hit.distance < radius);
            empty = if found.is_empty() { empty + 1 } else { 0 };
            hits.extend(found);
        }
        let mut hits = sorted(hits);
        hits.truncate(ask.most_results());
        hits
    }

    /// Asserts that a search found these, to the bit.
    pub(super) fn check(&self, found: &Hits, expected: &[Vec<Hit<'m>>], ask: &Ask<'_>, at: &str) {
        assert_eq!(found.len(), expected.len(), "{at}: a row a query");
        for (query, (row, expected)) in found.rows().zip(expected).enumerate() {
            // Of a tie whose order is not known, ids are not compared: it is rare, as the vectors
            // of such an index are chosen.
            let bits = |(id, distance): (Id, f32)| {
                (
                    Some(id).filter(|_| self.ties_by_id || !ties(expected, self.to_user_distance(distance))),
                    distance.to_bits(),
                )
            };
            let shown = || row.ids.iter().copied().zip(row.distances.iter().copied());
            let wanted = || expected.iter().map(|hit| (hit.entry.id, self.to_user_distance(hit.distance)));
            assert!(
                shown().map(bits).eq(wanted().map(bits)),
                "{at}: query {query} found\n{:?}, expected\n{:?}",
                shown().collect::<Vec<_>>(),
                wanted().collect::<Vec<_>>()
            );
            assert_eq!(row.locations.len(), if ask.locates() { expected.len() } else { 0 }, "{at}: places given");
            let places = expected.iter().map(|hit| hit.at);
            let same = row.locations.is_empty() || !self.is_placed || places.clone().eq(row.locations.iter().copied());
            assert!(
                same,
                "{at}: query {query} has places {:?}, expected {:?}",
                row.locations,
                places.collect::<Vec<_>>()
            );
        }
    }

    /// An inner distance as a caller knows it.
    pub(super) fn to_user_distance(&self, distance: f32) -> f32 {
        Metric::to_user_distance(self.model.metric, distance)
    }
}

/// Whether several results stand at a distance, or one last, which may be one of several.
pub(super) fn ties(hits: &[Hit<'_>], distance: f32) -> bool {
    let is_last = hits.last().is_some_and(|hit| hit.distance == distance);
    is_last || hits.iter().filter(|hit| hit.distance == distance).count() > 1
}

/// By distance, then by id, then by place.
pub(super) fn sorted(mut hits: Vec<Hit<'_>>) -> Vec<Hit<'_>> {
    let key = |hit: &Hit<'_>| (hit.entry.id, hit.at);
    hits.sort_by(|a, b| a.distance.partial_cmp(&b.distance).expect("no NaN").then_with(|| key(a).cmp(&key(b))));
    hits
}
