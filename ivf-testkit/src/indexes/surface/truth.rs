//! Expected results of searches: distances by definition, parameters by their documentation.

use super::Subject;
use super::ask::Ask;
use super::model::{Entry, Model, place};
use crate::data::Vectors;
use ivf_core::{Hits, Id, Index, Limits, ListNo, Location, Metric, Probes};

/// A search result.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hit<'m> {
    /// The internal distance.
    pub(super) distance: f32,
    pub(super) at: Location,
    pub(super) entry: &'m Entry,
}

/// The entries of an index in their lists, and some queries with their distances from all entries.
pub(super) struct Truth<'m> {
    pub(super) model: &'m Model,
    pub(super) lists: Vec<Vec<&'m Entry>>,
    /// Whether the index shows its lists, so that offsets are known.
    pub(super) is_placed: bool,
    /// Whether entries at the same distance are ordered by id. Under an id map the order is another
    /// one.
    pub(super) ties_by_id: bool,
    pub(super) queries: Vectors,
    /// For each query, all lists with their coarse distances, nearest first.
    pub(super) probes: Vec<Vec<(ListNo, f32)>>,
    /// Distances by query, list and offset.
    distances: Vec<Vec<Vec<f32>>>,
}

/// The lists that a query scans, with the number of scanned entries of each.
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

    /// Returns the first lists of a query, as a quantizer assigns them.
    pub(super) fn nearest_lists(&self, query: usize, nprobe: usize) -> Vec<Option<ListNo>> {
        self.probes[query].iter().map(|(list, _)| Some(*list)).take(nprobe).collect()
    }

    /// Returns a caller's probes, with the coarse distances of their lists.
    pub(super) fn own_probes(&self, lists: &[Vec<Option<ListNo>>]) -> Probes {
        let coarse = |query: usize, list: Option<ListNo>| {
            let known = self.probes[query].iter().find(|(known, _)| Some(*known) == list);
            known.map_or(f32::NAN, |(_, distance)| *distance)
        };
        let distances = lists.iter().enumerate().flat_map(|(q, row)| row.iter().map(move |list| coarse(q, *list)));
        let distances = distances.collect();
        Probes::new(lists[0].len(), lists.concat(), distances).expect("rows of one length")
    }

    /// Returns the non-empty lists to scan within the limits. The last one may be cut.
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

    /// Returns the entries of a planned list that the selector of a query keeps.
    fn found(&self, query: usize, (list, len): (ListNo, usize), ask: &Ask<'_>) -> Vec<Hit<'m>> {
        let no = list.index();
        let all = self.lists[no].iter().zip(&self.distances[query][no]).take(len).enumerate();
        let hits = all.map(|(offset, (&entry, &distance))| Hit { distance, at: place(no, offset), entry });
        hits.filter(|hit| ask.keeps(query, hit.entry.id)).collect()
    }

    /// Returns all results of a query in the given lists, nearest first.
    pub(super) fn all(&self, query: usize, probes: &[Option<ListNo>], ask: &Ask<'_>) -> Vec<Hit<'m>> {
        let plan = self.plan(probes, ask.limits(query, self.model));
        sorted(plan.into_iter().flat_map(|planned| self.found(query, planned, ask)).collect())
    }

    /// Returns the `k` nearest results with the lists of the index's own quantizer. `ensure_k` may
    /// increase the number of lists.
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

    /// Returns the results of a query within an internal distance.
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

    /// Asserts that a search found these results, with bit-identical distances.
    pub(super) fn check(&self, found: &Hits, expected: &[Vec<Hit<'m>>], ask: &Ask<'_>, at: &str) {
        assert_eq!(found.len(), expected.len(), "{at}: a row a query");
        for (query, (row, expected)) in found.rows().zip(expected).enumerate() {
            // Ids are not compared where ties have an unknown order. Such ties are rare, since the
            // vectors of such an index are chosen to have none.
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
                "{at}: query {query} has locations {:?}, expected {:?}",
                row.locations,
                places.collect::<Vec<_>>()
            );
        }
    }

    /// Returns an internal distance as a user-facing one.
    pub(super) fn to_user_distance(&self, distance: f32) -> f32 {
        Metric::to_user_distance(self.model.metric, distance)
    }
}

/// Returns whether a distance may be tied: several results have it, or the last result has it,
/// which may be one of several.
pub(super) fn ties(hits: &[Hit<'_>], distance: f32) -> bool {
    let is_last = hits.last().is_some_and(|hit| hit.distance == distance);
    is_last || hits.iter().filter(|hit| hit.distance == distance).count() > 1
}

/// Sorts results by distance, then by id, then by location.
pub(super) fn sorted(mut hits: Vec<Hit<'_>>) -> Vec<Hit<'_>> {
    let key = |hit: &Hit<'_>| (hit.entry.id, hit.at);
    hits.sort_by(|a, b| a.distance.partial_cmp(&b.distance).expect("no NaN").then_with(|| key(a).cmp(&key(b))));
    hits
}
