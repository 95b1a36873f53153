//! The nearest of a set of packed vectors, without writing the matrix of all distances.

use crate::kernels::{BLOCK, Distance, PackedRows, Visitor, tile_distances, with_distance};
use crate::simd::{Kernel, Level};
use ivf_core::executor::{Executor, map_items};
use ivf_core::{Id, Location, Metric, Neighbor, Rows, Sink};

/// Queries in a tile: enough chains of multiply-adds to hide their latency, few enough sums to stay in registers.
const TILE: usize = 4;

/// Rows that one turn of a parallel loop takes.
const CHUNK: usize = 256;

/// For each row the nearest of `packed` by the metric's inner distance, ties by number, with that distance. A row whose every
/// distance is NaN (overflow) gets number 0.
///
/// # Panics
/// If `packed` is empty, has another dimension, or the outputs are not as long as the rows.
pub fn nearest(
    rows: Rows<'_, f32>,
    packed: &PackedRows,
    metric: Metric,
    executor: &dyn Executor,
    numbers: &mut [u32],
    distances: &mut [f32],
) {
    assert!(!packed.is_empty() && packed.dim() == rows.dim(), "vectors to choose from, of the same dimension");
    assert!(numbers.len() == rows.len() && distances.len() == rows.len(), "one answer a row");
    let jobs: Vec<_> = numbers.chunks_mut(CHUNK).zip(distances.chunks_mut(CHUNK)).collect();
    map_items(executor, jobs, |job, (numbers, distances)| {
        let rows = rows.slice(job * CHUNK..job * CHUNK + numbers.len());
        with_distance(metric, Nearest { rows, packed, numbers, distances });
    });
}

struct Nearest<'a> {
    rows: Rows<'a, f32>,
    packed: &'a PackedRows,
    numbers: &'a mut [u32],
    distances: &'a mut [f32],
}

impl Visitor for Nearest<'_> {
    type Output = ();

    fn visit<D: Distance>(self, distance: D) {
        let entered: Vec<f32> = self.rows.as_slice().iter().map(|&q| distance.enter(q)).collect();
        let mut queries = entered.chunks_exact(self.rows.dim()).zip(self.numbers).zip(self.distances);
        let level = Level::get();
        loop {
            // The last tile may be short: it repeats its first query, and drops the answers.
            let tile: Vec<_> = queries.by_ref().take(TILE).collect();
            let Some(((first, _), _)) = tile.first() else { break };
            let mut padded = [*first; TILE];
            tile.iter().zip(&mut padded).for_each(|(((query, _), _), place)| *place = query);
            let found = level.run(NearestTile { distance, queries: padded, packed: self.packed });
            for (((_, number), best), found) in tile.into_iter().zip(found) {
                (*number, *best) = found;
            }
        }
    }
}

struct NearestTile<'a, D> {
    distance: D,
    queries: [&'a [f32]; TILE],
    packed: &'a PackedRows,
}

impl<D: Distance> Kernel for NearestTile<'_, D> {
    type Output = [(u32, f32); TILE];

    #[inline(always)]
    fn run(self) -> [(u32, f32); TILE] {
        // Each lane keeps its own best; a strict comparison keeps the lowest block.
        let mut best = [[f32::INFINITY; BLOCK]; TILE];
        let mut best_block = [[0u32; BLOCK]; TILE];
        for (b, block) in self.packed.blocks().enumerate() {
            let mut distances = tile_distances(self.distance, self.queries, block);
            let valid = (self.packed.len() - b * BLOCK).min(BLOCK);
            for q in 0..TILE {
                distances[q][valid..].fill(f32::NAN);
                for lane in 0..BLOCK {
                    let better = distances[q][lane] < best[q][lane];
                    best[q][lane] = if better { distances[q][lane] } else { best[q][lane] };
                    best_block[q][lane] = if better { b as u32 } else { best_block[q][lane] };
                }
            }
        }
        let mut found = [(0, f32::INFINITY); TILE];
        for q in 0..TILE {
            for lane in 0..BLOCK {
                let number = best_block[q][lane] * BLOCK as u32 + lane as u32;
                let (nearest, distance) = found[q];
                if best[q][lane] < distance || (best[q][lane] == distance && number < nearest) {
                    found[q] = (number, best[q][lane]);
                }
            }
        }
        found
    }
}

/// For each row the `k` nearest of `packed`, nearest first, ties by number, each with its inner distance.
///
/// # Panics
/// If the dimensions differ.
pub fn nearest_many(
    rows: Rows<'_, f32>,
    packed: &PackedRows,
    metric: Metric,
    k: usize,
    executor: &dyn Executor,
) -> Vec<Vec<Neighbor>> {
    assert_eq!(packed.dim(), rows.dim(), "vectors of the same dimension");
    let jobs = rows.len().div_ceil(CHUNK);
    let found = ivf_core::executor::map(executor, jobs, |job| {
        let rows = rows.slice(job * CHUNK..rows.len().min((job + 1) * CHUNK));
        with_distance(metric, NearestMany { rows, packed, k })
    });
    found.into_iter().flatten().collect()
}

struct NearestMany<'a> {
    rows: Rows<'a, f32>,
    packed: &'a PackedRows,
    k: usize,
}

impl Visitor for NearestMany<'_> {
    type Output = Vec<Vec<Neighbor>>;

    fn visit<D: Distance>(self, distance: D) -> Vec<Vec<Neighbor>> {
        let entered: Vec<f32> = self.rows.as_slice().iter().map(|&q| distance.enter(q)).collect();
        let entered = Rows::new(&entered, self.rows.dim()).expect("the shape of the rows");
        let level = Level::get();
        (0..entered.len())
            .step_by(TILE)
            .flat_map(|start| {
                let queries: [&[f32]; TILE] = std::array::from_fn(|i| entered.row((start + i).min(entered.len() - 1)));
                let sinks = level.run(ManyTile { distance, queries, packed: self.packed, k: self.k });
                sinks.into_iter().take(entered.len() - start)
            })
            .map(Sink::into_sorted)
            .collect()
    }
}

struct ManyTile<'a, D> {
    distance: D,
    queries: [&'a [f32]; TILE],
    packed: &'a PackedRows,
    k: usize,
}

impl<D: Distance> Kernel for ManyTile<'_, D> {
    type Output = [Sink; TILE];

    #[inline(always)]
    fn run(self) -> [Sink; TILE] {
        let mut sinks: [Sink; TILE] = std::array::from_fn(|_| Sink::top_k(self.k));
        for (b, block) in self.packed.blocks().enumerate() {
            let valid = (self.packed.len() - b * BLOCK).min(BLOCK);
            for (sink, distances) in sinks.iter_mut().zip(tile_distances(self.distance, self.queries, block)) {
                offer(&distances[..valid], (b * BLOCK) as u32, sink);
            }
        }
        sinks
    }
}

/// Offers the distances of numbers `first`, `first + 1`, ... to a sink.
#[inline(always)]
fn offer(distances: &[f32], first: u32, sink: &mut Sink) {
    let threshold = sink.threshold();
    if distances.iter().any(|&d| d <= threshold) {
        for (number, &distance) in (first..).zip(distances) {
            if distance <= sink.threshold() {
                sink.push(Neighbor { distance, id: Id(number.into()), location: Location::default() });
            }
        }
    }
}
