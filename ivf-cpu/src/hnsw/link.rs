//! Linking new nodes into the graph, batch by batch.
//!
//! The nodes of a batch search the graph as it was before the batch, in parallel. Then their links
//! are written, and the links back to them, row by row. Each row depends on the batch alone, so the
//! graph does not depend on the number of threads. (Batches that grow with the graph: ParlayANN,
//! arXiv 2305.04359.)

use super::beam::{self, Scratch};
use super::graph::{Graph, NONE, Rows, filled};
use super::pool::Pool;
use super::scorer::Scorer;
use super::select::Candidates;
use super::vectors::{Query, Vectors, WithScorer};
use crate::executor::executor_for;
use crate::simd::Simd;
use ivf_core::error::Cancelled;
use ivf_core::executor::{map, map_items};
use ivf_core::{AddOptions, Cancel, Executor, Settings};
use std::collections::{BTreeMap, HashMap};

/// A batch has at most one node for so many nodes of the graph. The nodes of a batch do not see
/// each other.
const NODES_PER_NEW: usize = 50;

/// Maximum number of nodes in a batch.
const MOST: usize = 8192;

/// Number of nodes that one task links.
const CHUNK: usize = 16;

/// Number of tasks for each thread.
const TASKS: usize = 8;

/// How a graph is extended.
pub(super) struct Linking<'a> {
    pub(super) vectors: &'a Vectors<'a>,
    pub(super) pool: &'a Pool,
    pub(super) ef: usize,
    pub(super) options: &'a AddOptions<'a>,
}

/// What a graph was before nodes were linked into it.
#[derive(Debug)]
pub(super) struct Before {
    len: usize,
    entry: Option<u32>,
    /// The rows of old nodes that were changed, on level 0 and above.
    rows: [BTreeMap<usize, Vec<u32>>; 2],
}

impl Before {
    pub(super) fn new(graph: &Graph) -> Self {
        Self { len: graph.len(), entry: graph.entry, rows: Default::default() }
    }

    /// Makes the graph again what it was.
    pub(super) fn restore(self, graph: &mut Graph) {
        graph.truncate(self.len);
        graph.entry = self.entry;
        for (links, rows) in [&mut graph.ground, &mut graph.upper].into_iter().zip(self.rows) {
            for (row, old) in rows {
                links.links[row * links.width..][..links.width].copy_from_slice(&old);
            }
        }
        for copies in graph.copies.values_mut() {
            copies.truncate(copies.partition_point(|copy| (*copy as usize) < self.len));
        }
        graph.copies.retain(|_, copies| !copies.is_empty());
    }
}

/// Returns the end of the batch that begins with a node. Batches have fixed bounds, so that most of
/// them are the same however vectors are divided among calls.
fn batch_end(start: usize) -> usize {
    batch_ends().find(|end| *end > start).expect("there is always a next one")
}

/// Returns the ends of all batches.
pub(super) fn batch_ends() -> impl Iterator<Item = usize> {
    std::iter::successors(Some(1_usize), |end| Some(end + (end / NODES_PER_NEW).clamp(1, MOST)))
}

/// What a new node gets.
enum Place {
    CopyOf(u32),
    /// Links on each level, from 0 on.
    Links(Vec<Vec<u32>>),
}

/// A link back to a new node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    /// Row of the node that gets the link.
    row: u32,
    source: u32,
    target: u32,
}

impl Linking<'_> {
    /// Links all nodes that the graph does not have yet. On an error, `before` has what restores
    /// the graph.
    pub(super) fn run(&self, graph: &mut Graph, before: &mut Before) -> Result<(), Cancelled> {
        let (first, len) = (graph.len(), self.vectors.len());
        graph.grow(len);
        let mut start = first;
        while start < len {
            Cancel::check(self.options.cancel)?;
            let end = batch_end(start).min(len);
            self.batch(graph, start as u32..end as u32, before)?;
            start = end;
            if let Some(progress) = self.options.progress {
                progress.step("add", (start - first) as u64, (len - first) as u64);
            }
        }
        Ok(())
    }

    fn batch(&self, graph: &mut Graph, nodes: std::ops::Range<u32>, before: &mut Before) -> Result<(), Cancelled> {
        let (m, dim) = (graph.upper.width, self.vectors.dim);
        let work = nodes.len().saturating_mul(self.ef.saturating_mul(m)).saturating_mul(dim);
        let executor = executor_for(self.options.executor, work);
        // Copies within the batch.
        let mut known: HashMap<&[u8], u32> = HashMap::new();
        let first: Vec<u32> = nodes.clone().map(|node| *known.entry(self.vectors.code(node)).or_insert(node)).collect();
        let tasks = nodes.len().div_ceil(CHUNK);
        let places: Vec<Vec<Place>> = map(executor, tasks, |task| {
            let some = task * CHUNK..nodes.len().min((task + 1) * CHUNK);
            if Cancel::check(self.options.cancel).is_err() {
                return Vec::new();
            }
            self.pool.with(|scratch| {
                let mut query = self.vectors.query(&Settings::new());
                let mut candidates = Candidates::default();
                let place = |i: usize| {
                    let node = nodes.start + i as u32;
                    match first[i] {
                        same if same != node => Place::CopyOf(same),
                        _ => self.place(graph, node, &mut query, scratch, &mut candidates),
                    }
                };
                some.map(place).collect()
            })
        });
        Cancel::check(self.options.cancel)?;
        let mut edges = [Vec::new(), Vec::new()];
        // The node that each new one is a copy of, or itself. (The first of its kind in the batch
        // may be a copy of an older node.)
        let mut same = Vec::with_capacity(nodes.len());
        for (node, place) in nodes.clone().zip(places.into_iter().flatten()) {
            match place {
                Place::CopyOf(of) => {
                    let of = if of < nodes.start { of } else { same[(of - nodes.start) as usize] };
                    graph.copies.entry(of).or_default().push(node);
                    same.push(of);
                }
                Place::Links(links) => {
                    write(graph, node, &links, &mut edges);
                    same.push(node);
                }
            }
        }
        let [ground, upper] = edges;
        let [ground_before, upper_before] = &mut before.rows;
        let keeps = self.options.cancel.is_some();
        let old = (before.len, graph.upper_rows[before.len] as usize);
        self.link_back(executor, &mut graph.ground, ground, keeps.then_some((old.0, ground_before)));
        self.link_back(executor, &mut graph.upper, upper, keeps.then_some((old.1, upper_before)));
        Ok(())
    }

    /// Finds the links of a new node.
    fn place(
        &self,
        graph: &Graph,
        node: u32,
        query: &mut Query<'_>,
        scratch: &mut Scratch,
        candidates: &mut Candidates,
    ) -> Place {
        let level = graph.level(node);
        let mut links = vec![Vec::new(); level + 1];
        let Some(entry) = graph.entry else { return Place::Links(links) };
        let (metric, dim) = (self.vectors.metric, self.vectors.dim);
        let mut vector = vec![0.0; dim];
        self.vectors.decode(node, &mut vector);
        self.vectors.set_query(query, &vector);
        let top = graph.level(entry);
        self.vectors.with_scorer(query, Start { graph, scratch, entry, below: level });
        for level in (0..=level.min(top)).rev() {
            self.vectors.with_scorer(query, Level { graph, scratch, level, ef: self.ef });
            let most = graph.row_of(node, level).0.width;
            if level == 0 {
                let code = self.vectors.code(node);
                if let Some(same) = scratch.beam.iter().find(|found| self.vectors.code(found.node()) == code) {
                    return Place::CopyOf(same.node());
                }
            }
            if scratch.beam.len() > most {
                candidates.clear();
                for found in &scratch.beam {
                    self.vectors.decode(found.node(), candidates.push(found.node(), dim));
                }
                candidates.found.extend_from_slice(&scratch.beam);
                candidates.select(metric, dim, most);
                links[level].extend(candidates.found.iter().map(|found| found.node()));
            } else {
                links[level].extend(scratch.beam.iter().map(|found| found.node()));
            }
        }
        Place::Links(links)
    }

    /// Adds links back to new nodes. A row that would be too long keeps the links that
    /// [`Candidates::select`] selects.
    fn link_back(
        &self,
        executor: &dyn Executor,
        rows: &mut Rows,
        mut edges: Vec<Edge>,
        before: Option<(usize, &mut BTreeMap<usize, Vec<u32>>)>,
    ) {
        if edges.is_empty() {
            return;
        }
        edges.sort_unstable();
        let width = rows.width;
        let old = before.as_ref().map(|(old, _)| *old);
        // Each task gets the edges of its rows.
        let share = edges.len().div_ceil(executor.threads() * TASKS);
        let (mut links, mut edges, mut done, mut jobs) = (&mut rows.links[..], &edges[..], 0, Vec::new());
        while let Some(last) = edges.get(share - 1).or(edges.last()) {
            let end = last.row as usize + 1;
            let (mine, rest) = edges.split_at(edges.partition_point(|edge| edge.row <= last.row));
            let (its_links, other_links) = links.split_at_mut((end - done) * width);
            jobs.push((done, its_links, mine));
            (links, edges, done) = (other_links, rest, end);
        }
        let changed = map_items(executor, jobs, |_, (first, links, edges)| {
            let mut changed = Vec::new();
            let (mut candidates, mut vector) = (Candidates::default(), vec![0.0; self.vectors.dim]);
            for of_row in edges.chunk_by(|a, b| a.row == b.row) {
                let row = of_row[0].row as usize;
                let links = &mut links[(row - first) * width..][..width];
                if old.is_some_and(|old| row < old) {
                    changed.push((row, links.to_vec()));
                }
                self.link_row(links, of_row, &mut candidates, &mut vector);
            }
            changed
        });
        if let Some((_, before)) = before {
            for (row, links) in changed.into_iter().flatten() {
                before.entry(row).or_insert(links);
            }
        }
    }

    /// Adds the sources of edges to the row of their target.
    fn link_row(&self, links: &mut [u32], edges: &[Edge], candidates: &mut Candidates, vector: &mut [f32]) {
        let count = filled(links);
        if let Some(free) = links[count..].get_mut(..edges.len()) {
            free.iter_mut().zip(edges).for_each(|(link, edge)| *link = edge.source);
            return;
        }
        let (metric, dim) = (self.vectors.metric, self.vectors.dim);
        candidates.clear();
        for node in links[..count].iter().copied().chain(edges.iter().map(|edge| edge.source)) {
            self.vectors.decode(node, candidates.push(node, dim));
        }
        self.vectors.decode(edges[0].target, vector);
        candidates.score(metric, vector);
        candidates.select(metric, dim, links.len());
        links.fill(NONE);
        links.iter_mut().zip(&candidates.found).for_each(|(link, found)| *link = found.node());
    }
}

/// Writes the links of a new node, and notes the links back to it.
fn write(graph: &mut Graph, node: u32, links: &[Vec<u32>], edges: &mut [Vec<Edge>; 2]) {
    if graph.entry.is_none_or(|entry| graph.level(node) > graph.level(entry)) {
        graph.entry = Some(node);
    }
    for (level, links) in links.iter().enumerate() {
        for &target in links {
            let row = graph.row_of(target, level).1 as u32;
            edges[usize::from(level > 0)].push(Edge { row, source: node, target });
        }
        let row = graph.row_of(node, level).1;
        let rows = if level == 0 { &mut graph.ground } else { &mut graph.upper };
        rows.links[row * rows.width..][..links.len()].copy_from_slice(links);
    }
}

/// Walks down to the level above `below`, and leaves the nearest node in the beam.
struct Start<'a> {
    graph: &'a Graph,
    scratch: &'a mut Scratch,
    entry: u32,
    below: usize,
}

impl WithScorer for Start<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, C: Scorer>(self, simd: S, scorer: &C) {
        let Self { graph, scratch, entry, below } = self;
        let levels = below + 1..=graph.level(entry);
        let start = beam::descend(simd, scorer, graph, scratch, entry, levels);
        scratch.beam.clear();
        scratch.beam.push(start);
    }
}

/// Searches a level from the nearest node of the beam on.
struct Level<'a> {
    graph: &'a Graph,
    scratch: &'a mut Scratch,
    level: usize,
    ef: usize,
}

impl WithScorer for Level<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, C: Scorer>(self, simd: S, scorer: &C) {
        let Self { graph, scratch, level, ef } = self;
        scratch.beam.truncate(1);
        beam::widen(simd, scorer, graph, scratch, level, ef);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_have_the_same_bounds_wherever_one_begins() {
        let mut ends = vec![0];
        while ends[ends.len() - 1] < 1_000_000 {
            ends.push(batch_end(ends[ends.len() - 1]));
        }
        assert_eq!(ends[..5], [0, 1, 2, 3, 4]);
        for start in (0..1_000_000).step_by(977) {
            let end = batch_end(start);
            assert!(end > start && ends.contains(&end), "{start}");
            assert!(end - start <= (start / NODES_PER_NEW).clamp(1, MOST), "{start}");
        }
    }
}
