//! Rates of the kernels, compared with the measured ceiling: the floating-point operations per
//! second that this core can do at all.
//!
//! Run `cargo bench --bench kernels`. The ceiling is a loop of fused multiply-adds that stay in
//! registers. A distance needs one of them for each dimension of a pair. The printed share is the
//! number of multiply-adds done over the number possible.

use ivf::Rows;
use ivf::bytes::AlignedBytes;
use ivf::cpu::kernels::{
    BLOCK, ByteQueries, Candidates, Distance, InnerProduct, L2, PackedBytes, SplitFloats, distances_to_rows, scan,
    scan_bytes, scan_split_floats, squared_norm,
};
use ivf::cpu::simd::{Kernel, Lane, Level, Simd};
use std::hint::black_box;
use std::time::{Duration, Instant};

const DIM: usize = 100;
/// Number of vectors, which stay in the L2 cache.
const VECTORS: usize = 1024;
const ROUNDS: usize = 7;
/// Number of bytes of a product-quantised code.
const PARTS: usize = 20;

/// Multiply-adds of registers alone, with enough chains to hide their latency.
struct Ceiling {
    steps: usize,
}

const CHAINS: usize = 6;

impl Kernel for Ceiling {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        // Opaque values, so that the compiler does not merge any two chains.
        let lanes = black_box([[0.5_f32; 16]; CHAINS + 2]);
        let (a, b) = (simd.load(&lanes[CHAINS]), simd.load(&lanes[CHAINS + 1]));
        let mut sums: [S::F32; CHAINS] = std::array::from_fn(|i| simd.load(&lanes[i]));
        for _ in 0..self.steps {
            for sum in &mut sums {
                *sum = simd.mul_add(*sum, a, b);
            }
        }
        sums.into_iter().flat_map(|sum| simd.to_array(sum)).sum()
    }
}

/// Products of bytes in registers alone.
struct ByteCeiling {
    steps: usize,
}

impl Kernel for ByteCeiling {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let start = black_box([1; 16]);
        let (a, b) = (black_box([3_u8; 4]), black_box([[5_i8; 4]; 16]));
        let [mut s0, mut s1, mut s2, mut s3, mut s4, mut s5] = [simd.load_i32(&start); CHAINS];
        for _ in 0..self.steps {
            (s0, s1, s2) = (simd.dot4(s0, a, &b), simd.dot4(s1, a, &b), simd.dot4(s2, a, &b));
            (s3, s4, s5) = (simd.dot4(s3, a, &b), simd.dot4(s4, a, &b), simd.dot4(s5, a, &b));
        }
        let last = [s0, s1, s2, s3, s4, s5].map(|sum| simd.to_array_i32(sum)[0]);
        last.iter().map(|&sum| sum as f32).sum()
    }
}

/// Scan that finds nothing: distances and comparisons alone.
struct Scan<'a, D, T> {
    distance: D,
    queries: &'a [&'a [f32]],
    columns: &'a [[T; BLOCK]],
}

impl<D: Distance, T: Lane> Kernel for Scan<'_, D, T> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let mut thresholds = [-1e30; 64];
        let thresholds = &mut thresholds[..self.queries.len()];
        let mut found = 0.0;
        scan(simd, self.distance, DIM, self.queries, thresholds, self.columns, |near| {
            found += near.distances[0];
            -1e30
        });
        found
    }
}

/// The same scan over floats in halves. A single query reads only the upper halves.
struct InHalves<'a, D> {
    distance: D,
    queries: &'a [&'a [f32]],
    blocks: SplitFloats<'a>,
    columns: &'a mut Vec<[f32; BLOCK]>,
}

impl<D: Distance> Kernel for InHalves<'_, D> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let mut thresholds = [-1e30; 64];
        let thresholds = &mut thresholds[..self.queries.len()];
        let mut found = 0.0;
        let near = |near: Candidates<'_>| {
            found += near.distances[0];
            -1e30
        };
        scan_split_floats(simd, self.distance, self.queries, thresholds, self.blocks, self.columns, |_| u32::MAX, near);
        found
    }
}

/// The first pass of k-means.
struct Bytes<'a> {
    queries: &'a ByteQueries<'a>,
    packed: &'a PackedBytes,
    bias: &'a [i32],
    thresholds: &'a [i32],
}

impl Kernel for Bytes<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let mut found = 0.0;
        scan_bytes(simd, self.queries, self.packed, self.bias, self.thresholds, |near| found += near.lanes as f32);
        found
    }
}

/// The first pass of product-quantised codes: lookups in tables of bytes.
struct Lookups<'a> {
    tables: &'a [[u8; 256]],
    codes: &'a [[u8; 64]],
}

impl Kernel for Lookups<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let parts = self.tables.len();
        let mut found = 0;
        for codes in self.codes.chunks_exact(8 * parts) {
            let blocks: [&[[u8; 64]]; 8] = std::array::from_fn(|b| &codes[b * parts..][..parts]);
            found += simd.lookups_at_most(self.tables, blocks, 0).iter().map(|bits| bits.count_ones()).sum::<u32>();
        }
        found as f32
    }
}

/// The squared norms of rows.
struct Norms<'a>(&'a [f32]);

impl Kernel for Norms<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> f32 {
        self.0.chunks_exact(DIM).map(squared_norm).sum()
    }
}

/// The same distances over vectors row by row. Several chains of additions run side by side,
/// because each sum runs over the dimensions in order.
struct Rowwise<'a, D> {
    distance: D,
    query: &'a [f32],
    vectors: &'a [f32],
    out: &'a mut [f32],
}

impl<D: Distance> Kernel for Rowwise<'_, D> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let pairs = self.vectors.chunks_exact(DIM).map(|row| (self.query, row));
        distances_to_rows(simd, self.distance, pairs, self.out);
        self.out[0]
    }
}

/// Returns the shortest time of a call over several runs of `repeat` calls each, and the answer.
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

/// Returns the multiply-adds per second of each level.
fn ceilings() -> Vec<(Level, f64)> {
    let steps = 100_000;
    let rate = |level: Level| {
        let repeat = if level == Level::available()[0] { 1 } else { 20 };
        let (took, _) = time(repeat, || level.run(Ceiling { steps }));
        (steps * CHAINS * 16) as f64 / took.as_secs_f64()
    };
    Level::available().into_iter().map(|level| (level, rate(level))).collect()
}

fn line(name: &str, form: &str, level: Level, pairs: usize, flops: f64, took: Duration, ceiling: f64) {
    let rate = pairs as f64 / took.as_secs_f64();
    println!(
        "{name:<14} {form:<10} {:<10} {:>7.1} M pairs/s {:>7.1} GFLOP/s {:>4.0} % of the ceiling",
        level.to_string(),
        rate / 1e6,
        rate * flops / 1e9,
        100.0 * rate * DIM as f64 / ceiling,
    );
}

/// Measures a distance. `flops` is the number of floating-point operations for each dimension.
fn measure<D: Distance, T: Lane>(name: &str, distance: D, flops: f64, ceilings: &[(Level, f64)]) {
    let value = |i: usize| (i * 7919 % 1009) as f32 / 1009.0;
    let vectors: Vec<f32> = (0..VECTORS * DIM).map(value).collect();
    let columns: Vec<[T; BLOCK]> = (0..VECTORS / BLOCK * DIM)
        .map(|c| std::array::from_fn(|lane| T::from_f32(value(c * BLOCK + lane) * 100.0)))
        .collect();
    let queries: Vec<f32> = vectors[..40 * DIM].iter().map(|x| x + 0.25).collect();
    let queries: Vec<&[f32]> = queries.chunks_exact(DIM).collect();
    let mut out = vec![0.0; VECTORS];
    for &(level, ceiling) in ceilings {
        let repeat = if level == ceilings[0].0 { 1 } else { 50 };
        for (form, together) in [("one query", 1), ("40 queries", 40)] {
            let queries = &queries[..together];
            let (took, _) =
                time(repeat, || level.run(Scan { distance, queries: black_box(queries), columns: &columns }));
            line(name, form, level, VECTORS * together, flops * DIM as f64, took, ceiling);
        }
        let query = queries[0];
        let (took, _) =
            time(repeat, || level.run(Rowwise { distance, query: black_box(query), vectors: &vectors, out: &mut out }));
        line(name, "rows", level, VECTORS, flops * DIM as f64, took, ceiling);
    }
}

/// Measures the kernels without tiles of whole floats. Products of bytes have a ceiling of their
/// own.
fn measure_others(ceilings: &[(Level, f64)]) {
    let value = |i: usize| (i * 7919 % 1009) as f32 / 1009.0;
    let vectors: Vec<f32> = (0..VECTORS * DIM).map(value).collect();
    let points: Vec<f32> = vectors[..40 * DIM].iter().map(|x| x + 0.25).collect();
    let (rows, queries) = (Rows::new(&vectors, DIM).expect("rows"), Rows::new(&points, DIM).expect("rows"));
    let (packed, bytes) = (PackedBytes::new(rows), ByteQueries::new(queries));
    let (bias, thresholds) = (vec![0; VECTORS], [i32::MAX; 40]);
    let layout = SplitFloats::layout(DIM);
    let mut planes = [0, 1].map(|p| AlignedBytes::zeroed(layout.plane_bytes(p, VECTORS)));
    let [upper, lower] = &mut planes;
    for (i, row) in rows.iter().enumerate() {
        layout.put(&mut [&mut *upper, &mut *lower], i, &row.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
    }
    let blocks = SplitFloats::new(&planes[0], &planes[1], DIM);
    let queries: Vec<&[f32]> = queries.iter().collect();
    let mut columns = Vec::new();
    for &(level, ceiling) in ceilings {
        let repeat = if level == ceilings[0].0 { 1 } else { 50 };
        for (form, together) in [("one query", 1), ("40 queries", 40)] {
            let queries = &queries[..together];
            let call = || {
                level.run(InHalves {
                    distance: InnerProduct,
                    queries: black_box(queries),
                    blocks,
                    columns: &mut columns,
                })
            };
            line("halves", form, level, VECTORS * together, 2.0 * DIM as f64, time(repeat, call).0, ceiling);
        }
        let found = Bytes { queries: &bytes, packed: &packed, bias: &bias, thresholds: &thresholds };
        let (took, _) = time(repeat, || level.run(black_box(Bytes { ..found })));
        let steps = 100_000;
        let (fastest, _) = time(repeat.min(5), || level.run(ByteCeiling { steps }));
        let ceiling_of_bytes = (steps * CHAINS * 16 * 4) as f64 / fastest.as_secs_f64();
        line("bytes", "40 queries", level, VECTORS * 40, 2.0 * DIM as f64, took, ceiling_of_bytes);
        let tables: Vec<[u8; 256]> = (0..PARTS).map(|m| std::array::from_fn(|i| (i * 7 + m) as u8 | 1)).collect();
        let codes: Vec<[u8; 64]> =
            (0..64 * PARTS).map(|c| std::array::from_fn(|i| ((c * 64 + i) * 7919 % 251) as u8)).collect();
        let (took, _) = time(repeat, || level.run(Lookups { tables: black_box(&tables), codes: &codes }));
        let rate = codes.len() as f64 * 64.0 / took.as_secs_f64();
        println!(
            "{:<14} {:<10} {:<10} {:>7.1} M codes/s {:>7.1} G lookups/s",
            "lookups",
            format!("{PARTS} bytes"),
            level.to_string(),
            rate / PARTS as f64 / 1e6,
            rate / 1e9
        );
        let (took, _) = time(repeat, || level.run(Norms(black_box(&vectors))));
        line("norms", "rows", level, VECTORS, 2.0 * DIM as f64, took, ceiling);
    }
}

fn main() {
    let ceilings = ceilings();
    for (level, rate) in &ceilings {
        println!("ceiling        {:<10} {:>7.1} GFLOP/s of fused multiply-adds", level.to_string(), 2.0 * rate / 1e9);
    }
    measure::<_, f32>("inner product", InnerProduct, 2.0, &ceilings);
    measure::<_, half::f16>("product, f16", InnerProduct, 2.0, &ceilings);
    measure::<_, half::bf16>("product, bf16", InnerProduct, 2.0, &ceilings);
    measure::<_, u8>("product, u8", InnerProduct, 2.0, &ceilings);
    measure::<_, i8>("product, i8", InnerProduct, 2.0, &ceilings);
    measure::<_, f32>("L2", L2, 3.0, &ceilings);
    measure::<_, half::f16>("L2, f16", L2, 3.0, &ceilings);
    measure::<_, half::bf16>("L2, bf16", L2, 3.0, &ceilings);
    measure::<_, u8>("L2, u8", L2, 3.0, &ceilings);
    measure::<_, i8>("L2, i8", L2, 3.0, &ceilings);
    measure_others(&ceilings);
}
