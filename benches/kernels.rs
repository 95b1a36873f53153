//! What an instruction set is worth: one query against packed vectors in cache, each level beside the scalar one.
//!
//! `cargo bench --bench kernels`. The two `unsafe` calls of `ivf_cpu::simd` are there for these ratios.

use ivf::Rows;
use ivf::cpu::kernels::{BLOCK, Distance, InnerProduct, L2, PackedRows, block_distances, tile_distances};
use ivf::cpu::simd::{Kernel, Level};
use std::hint::black_box;
use std::time::{Duration, Instant};

const DIM: usize = 100;
/// As many vectors as stay in the L2 cache.
const VECTORS: usize = 1024;
const ROUNDS: usize = 7;

struct Scan<'a, D> {
    distance: D,
    query: &'a [f32],
    packed: &'a PackedRows,
}

impl<D: Distance> Kernel for Scan<'_, D> {
    type Output = f32;

    #[inline(always)]
    fn run(self) -> f32 {
        let mut least = f32::INFINITY;
        for block in self.packed.blocks() {
            for distance in block_distances(self.distance, self.query, block) {
                least = least.min(distance);
            }
        }
        least
    }
}

struct Tile<'a, D> {
    distance: D,
    queries: [&'a [f32]; 4],
    packed: &'a PackedRows,
}

impl<D: Distance> Kernel for Tile<'_, D> {
    type Output = f32;

    #[inline(always)]
    fn run(self) -> f32 {
        let mut least = [f32::INFINITY; BLOCK];
        for block in self.packed.blocks() {
            for distances in tile_distances(self.distance, self.queries, block) {
                least.iter_mut().zip(distances).for_each(|(least, distance)| *least = least.min(distance));
            }
        }
        least.into_iter().fold(f32::INFINITY, f32::min)
    }
}

/// The same distances over vectors row by row: one chain of additions, since the sum runs over the dimensions in order.
struct Rowwise<'a, D> {
    distance: D,
    query: &'a [f32],
    vectors: &'a [f32],
}

impl<D: Distance> Kernel for Rowwise<'_, D> {
    type Output = f32;

    #[inline(always)]
    fn run(self) -> f32 {
        let vectors = self.vectors.chunks_exact(DIM);
        vectors.map(|row| self.distance.between(self.query, row.iter().copied())).fold(f32::INFINITY, f32::min)
    }
}

/// The shortest of some runs, each of `repeat` calls, per call; with the answer.
fn time(repeat: usize, mut call: impl FnMut() -> f32) -> (Duration, f32) {
    let mut best = Duration::MAX;
    let mut answer = 0.0;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        for _ in 0..repeat {
            answer = black_box(call());
        }
        best = best.min(started.elapsed() / repeat as u32);
    }
    (best, answer)
}

fn measure<D: Distance>(name: &str, distance: D, flops_a_step: usize) {
    let vectors: Vec<f32> = (0..VECTORS * DIM).map(|i| (i * 7919 % 1009) as f32 / 1009.0).collect();
    let packed = PackedRows::new(Rows::new(&vectors, DIM).expect("whole rows"));
    let queries: Vec<f32> = vectors[..4 * DIM].iter().map(|x| distance.enter(x + 0.25)).collect();
    let rows = Rows::new(&queries, DIM).expect("whole rows");
    for (form, together) in [("rows", 0), ("one query", 1), ("tile of 4", 4)] {
        let mut scalar: Option<(Duration, f32)> = None;
        for level in Level::available() {
            let repeat = if scalar.is_none() { 3 } else { 200 };
            let (took, answer) = time(repeat, || match together {
                0 => level.run(Rowwise { distance, query: black_box(rows.row(0)), vectors: &vectors }),
                1 => level.run(Scan { distance, query: black_box(rows.row(0)), packed: &packed }),
                _ => level.run(Tile { distance, queries: std::array::from_fn(|q| rows.row(q)), packed: &packed }),
            });
            let (base, expected) = *scalar.get_or_insert((took, answer));
            assert_eq!(answer.to_bits(), expected.to_bits(), "{level} gives other bits");
            let flops = (VECTORS * DIM * flops_a_step * together.max(1)) as f64;
            println!(
                "{name:<14} {form:<10} {:<8} {:>7.1} GFLOP/s {:>7.1} x scalar",
                level.to_string(),
                flops / took.as_secs_f64() / 1e9,
                base.as_secs_f64() / took.as_secs_f64()
            );
        }
    }
}

fn main() {
    measure("L2", L2, 3);
    measure("inner product", InnerProduct, 2);
}
