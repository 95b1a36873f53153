//! First pass over codes of 4 and 8 bits: products of whole numbers rule out most codes, and only
//! the others get their exact distance.

use super::bytes::{ByteQuery, Limit, List, ListTerms, Terms, ToBytes, ToTerms, quads};
use super::codes::decode;
use super::layout::{Column, WORD};
use super::numbers::{Bits, Numbers};
use ivf_core::scanner::{ScanQuery, ScanRange};
use ivf_cpu::kernels::{BLOCK, Distance, distances_to_rows};
use ivf_cpu::simd::{Kernel, LANES, Lanes, Level, Simd};
use std::ops::Range;

/// Number of blocks that pass together.
pub(super) const TOGETHER: usize = 8;

/// A query for which more than one in so many codes of some blocks may be near is left to a pass
/// over whole vectors.
const CROWDED: usize = 8;

/// Bytes of queries, one row after the other.
#[derive(Debug, Default)]
struct Bytes {
    /// Bytes of queries in groups of four, [`quads`] for each query.
    rows: Vec<[i8; 4]>,
    queries: Vec<ByteQuery>,
}

/// The first pass of a scanner, with memory that scans use again.
#[derive(Debug, Default)]
pub(super) struct FirstPass {
    bytes: Bytes,
    list: ListTerms,
    terms: Vec<Terms>,
    /// Queries that have a limit for the current blocks, the rows of their bytes, and the limits.
    limited: Vec<usize>,
    rows: Vec<usize>,
    limits: Vec<Limit>,
    /// For each block, a mask of its codes for each limited query.
    masks: Vec<u32>,
    /// Queries and slots whose distances are computed.
    pairs: Vec<(usize, usize)>,
    decoded: Vec<f32>,
    /// For each query, whether the first pass leaves it.
    pub(super) crowded: Vec<bool>,
}

/// The list and range of a first pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Of<'a> {
    pub(super) level: Level,
    pub(super) list: List<'a>,
    pub(super) scan_range: &'a ScanRange<'a>,
}

impl Of<'_> {
    /// Returns a typical norm of a vector of the range, without its centroid.
    fn norm(&self) -> f64 {
        let range = self.scan_range.range();
        // The first few codes. A range without codes may begin anywhere.
        let terms = self.terms().get(range.start..range.end.min(range.start + BLOCK)).unwrap_or_default();
        let mean = terms.iter().map(|term| f64::from(*term)).sum::<f64>() / terms.len() as f64;
        let norm = self.list.scale.norm(mean);
        if norm > 0.0 { norm } else { 1.0 }
    }

    fn terms(&self) -> &[f32] {
        bytemuck::cast_slice(self.scan_range.segment().plane(1))
    }
}

impl FirstPass {
    /// Sets all queries of later scans.
    pub(super) fn set_queries<'q, D: Distance>(
        &mut self,
        level: Level,
        list: List<'_>,
        queries: impl Iterator<Item = &'q [f32]>,
    ) {
        if const { !is_l2::<D>() } {
            let Bytes { rows, queries: out } = &mut self.bytes;
            level.run(ToBytes::<_, false> { queries, list, rows, out });
        }
    }

    /// Sets the list, and those of the queries that scan it.
    pub(super) fn set_list<D: Distance>(&mut self, of: Of<'_>, queries: &[ScanQuery<'_>]) {
        let (level, scale) = (of.level, of.list.scale);
        self.list.set(of.list, of.norm());
        if const { is_l2::<D>() } {
            let Bytes { rows, queries: out } = &mut self.bytes;
            let queries = queries.iter().map(|query| query.query);
            level.run(ToBytes::<_, true> { queries, list: of.list, rows, out });
        }
        let bytes = &self.bytes.queries;
        let queries = queries.iter().enumerate().map(|(i, query)| (query.query, bytes[row_of::<D>(i, query)]));
        let (list, out) = (&self.list, &mut self.terms);
        if const { is_l2::<D>() } {
            level.run(ToTerms::<_, true> { queries, list, scale, out });
        } else {
            level.run(ToTerms::<_, false> { queries, list, scale, out });
        }
    }

    /// Scans blocks for the queries that were set. Those that are left are marked in `crowded`
    /// afterwards.
    pub(super) fn scan<D: Distance>(
        &mut self,
        distance: D,
        of: Of<'_>,
        blocks: Range<usize>,
        queries: &mut [ScanQuery<'_>],
    ) {
        self.limited.clear();
        self.rows.clear();
        self.limits.clear();
        self.crowded.clear();
        for (q, (query, terms)) in queries.iter().zip(&self.terms).enumerate() {
            let limit = terms.limit(query.sink.threshold());
            self.crowded.push(limit.is_none());
            if let Some(limit) = limit {
                self.limited.push(q);
                self.rows.push(row_of::<D>(q, query));
                self.limits.push(limit);
            }
        }
        if self.limited.is_empty() {
            return;
        }
        let per_byte = of.list.scale.per_byte;
        let quads = quads(of.list.steps.len(), per_byte);
        let words = quads / per_byte;
        let plane = bytemuck::cast_slice::<u8, Column>(of.scan_range.segment().plane(0));
        let masks = Masks {
            columns: &plane[blocks.start * words..blocks.end * words],
            terms: &of.terms()[blocks.start * BLOCK..blocks.end * BLOCK],
            rows: Rows { bytes: &self.bytes.rows, quads, rows: &self.rows },
            limits: &self.limits,
            out: &mut self.masks,
        };
        match per_byte {
            1 => of.level.run(PerByte::<1>(masks)),
            _ => of.level.run(PerByte::<2>(masks)),
        }
        self.pairs.clear();
        for (i, &q) in self.limited.iter().enumerate() {
            let first = self.pairs.len();
            for (b, masks) in blocks.clone().zip(self.masks.chunks_exact(self.limited.len())) {
                if masks[i] == 0 {
                    continue;
                }
                let lanes = u64::from(masks[i]) & queries[q].selected(of.scan_range, b * BLOCK, BLOCK);
                self.pairs.extend(Lanes(lanes).map(|lane| (q, b * BLOCK + lane)));
            }
            if self.pairs.len() - first > blocks.len() * BLOCK / CROWDED {
                self.pairs.truncate(first);
                self.crowded[q] = true;
            }
        }
        if self.pairs.is_empty() {
            return;
        }
        let (list, scan_range, first) = (of.list, of.scan_range, blocks.start * BLOCK);
        let (pairs, decoded) = (&self.pairs[..], &mut self.decoded);
        match per_byte {
            1 => of.level.run(Exact { distance, numbers: Bits::<8>, list, scan_range, first, pairs, decoded, queries }),
            _ => of.level.run(Exact { distance, numbers: Bits::<4>, list, scan_range, first, pairs, decoded, queries }),
        }
    }
}

/// Returns whether a distance has a first pass.
pub(super) const fn serves<D: Distance>() -> bool {
    is_l2::<D>() || matches!(D::BY_PRODUCT, Some((0.0, 1.0)))
}

const fn is_l2<D: Distance>() -> bool {
    matches!(D::BY_PRODUCT, Some((1.0, 2.0)))
}

/// Returns the row of the bytes of a query, the `i`-th of those that scan a list.
fn row_of<D: Distance>(i: usize, query: &ScanQuery<'_>) -> usize {
    if is_l2::<D>() { i } else { query.number }
}

/// Bytes of some queries, each in groups of four bytes.
struct Rows<'a> {
    bytes: &'a [[i8; 4]],
    quads: usize,
    rows: &'a [usize],
}

impl<'a> Rows<'a> {
    #[inline(always)]
    fn row(&self, i: usize) -> &'a [[i8; 4]] {
        &self.bytes[self.rows[i] * self.quads..][..self.quads]
    }
}

/// Compares codes of blocks with the limits of queries.
struct Masks<'a> {
    columns: &'a [Column],
    /// Terms of the codes.
    terms: &'a [f32],
    /// Bytes of the queries, and their limits.
    rows: Rows<'a>,
    limits: &'a [Limit],
    out: &'a mut Vec<u32>,
}

/// Compares codes with `P` numbers in a byte. (The kernel does not depend on more, so that it is
/// compiled only twice for each instruction set.)
struct PerByte<'a, const P: usize>(Masks<'a>);

impl<const P: usize> Kernel for PerByte<'_, P> {
    type Output = ();
    const BYTES: bool = true;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self(Masks { columns, terms, rows, limits, out }) = self;
        let (count, words) = (terms.len() / BLOCK, rows.quads / P);
        out.clear();
        out.resize(count * limits.len(), 0);
        let block = |b: usize| &columns[b * words..][..words];
        let terms = terms.as_chunks::<BLOCK>().0;
        if let [limit] = limits {
            // Two blocks at a time, whose four sums need not wait for each other.
            let mut b = 0;
            while b + 2 <= count {
                let [sums] = sums::<S, P, 1, 2, 4>(simd, [rows.row(0)], [block(b), block(b + 1)]);
                out[b] = mask(simd, [sums[0], sums[1]], &terms[b], *limit);
                out[b + 1] = mask(simd, [sums[2], sums[3]], &terms[b + 1], *limit);
                b += 2;
            }
            if b < count {
                let [sums] = sums::<S, P, 1, 1, 2>(simd, [rows.row(0)], [block(b)]);
                out[b] = mask(simd, sums, &terms[b], *limit);
            }
            return;
        }
        for b in 0..count {
            let out = &mut out[b * limits.len()..][..limits.len()];
            let mut q = 0;
            while q < limits.len() {
                let (block, terms) = (block(b), &terms[b]);
                let (limits, out) = (&limits[q..], &mut out[q..]);
                q += match limits.len() {
                    8.. => tile::<S, P, 8>(simd, &rows, q, block, terms, limits, out),
                    4.. => tile::<S, P, 4>(simd, &rows, q, block, terms, limits, out),
                    2.. => tile::<S, P, 2>(simd, &rows, q, block, terms, limits, out),
                    _ => tile::<S, P, 1>(simd, &rows, q, block, terms, limits, out),
                };
            }
        }
    }
}

/// Compares the codes of a block with the limits of `Q` queries. Returns `Q`.
#[inline(always)]
fn tile<S: Simd, const P: usize, const Q: usize>(
    simd: S,
    all: &Rows<'_>,
    first: usize,
    block: &[Column],
    terms: &[f32; BLOCK],
    limits: &[Limit],
    out: &mut [u32],
) -> usize {
    let mut rows = [&[][..]; Q];
    for (q, row) in rows.iter_mut().enumerate() {
        *row = all.row(first + q);
    }
    // The next tile's rows are scattered over the batch, so they are prefetched.
    for next in first + Q..(first + 2 * Q).min(all.rows.len()) {
        simd.prefetch(all.row(next));
    }
    let sums = sums::<S, P, Q, 1, 2>(simd, rows, [block]);
    for q in 0..Q {
        out[q] = mask(simd, sums[q], terms, limits[q]);
    }
    Q
}

/// Returns the sums of products of `Q` queries with the codes of `M` blocks, in `H = 2 M`
/// registers for each query.
#[inline(always)]
fn sums<S: Simd, const P: usize, const Q: usize, const M: usize, const H: usize>(
    simd: S,
    rows: [&[[i8; 4]]; Q],
    blocks: [&[Column]; M],
) -> [[S::I32; H]; Q] {
    let words = blocks[0].len();
    let (mut rows, mut blocks) = (rows, blocks);
    // Shows the compiler once that the lengths are equal.
    for row in &mut rows {
        *row = &row[..words * P];
    }
    for block in &mut blocks {
        *block = &block[..words];
    }
    let mut sums = [[simd.load_i32(&[0; LANES]); H]; Q];
    for w in 0..words {
        for m in 0..M {
            let halves = bytemuck::must_cast_ref::<Column, [[[u8; 4]; LANES]; 2]>(&blocks[m][w]);
            for h in 0..2 {
                if const { P == 1 } {
                    for q in 0..Q {
                        sums[q][2 * m + h] = simd.dot4_signed(sums[q][2 * m + h], &halves[h], rows[q][w]);
                    }
                    continue;
                }
                let [low, high] = simd.half_bytes(&halves[h]);
                for q in 0..Q {
                    let sum = simd.dot4_signed(sums[q][2 * m + h], &low, rows[q][2 * w]);
                    sums[q][2 * m + h] = simd.dot4_signed(sum, &high, rows[q][2 * w + 1]);
                }
            }
        }
    }
    sums
}

/// Returns a bit mask of the codes of a block within a limit.
#[inline(always)]
fn mask<S: Simd>(simd: S, sums: [S::I32; 2], terms: &[f32; BLOCK], limit: Limit) -> u32 {
    let of_term = simd.splat(limit.of_term);
    let [low, high] = terms.as_chunks::<LANES>().0 else { unreachable!("a block has two halves") };
    let low = simd.mul_add(of_term, simd.load(low), simd.floats_of(sums[0]));
    let high = simd.mul_add(of_term, simd.load(high), simd.floats_of(sums[1]));
    simd.at_most(low, limit.most) | simd.at_most(high, limit.most) << LANES
}

/// Computes distances of pairs of a query and a slot, and pushes the near ones.
struct Exact<'a, 'q, D, N> {
    distance: D,
    numbers: N,
    list: List<'a>,
    scan_range: &'a ScanRange<'a>,
    /// The first slot of the [`TOGETHER`] blocks that may have pairs.
    first: usize,
    pairs: &'a [(usize, usize)],
    /// Decoded vectors, as scratch.
    decoded: &'a mut Vec<f32>,
    queries: &'a mut [ScanQuery<'q>],
}

impl<D: Distance, N: Numbers> Kernel for Exact<'_, '_, D, N> {
    type Output = ();
    const BYTES: bool = false;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { distance, numbers, list: List { steps, bases, .. }, scan_range, first, pairs, decoded, queries } =
            self;
        let (dim, words) = (steps.len(), scan_range.layout().block_bytes(0) / size_of::<Column>());
        let columns = bytemuck::cast_slice::<u8, Column>(scan_range.segment().plane(0));
        // Several queries may have pairs with the same code, which is decoded once.
        let (mut rows, mut count) = ([u16::MAX; TOGETHER * BLOCK], 0);
        let mut code = vec![[0; WORD]; words];
        for (_, slot) in pairs {
            simd.prefetch(scan_range.stored_id(*slot));
            let row = &mut rows[slot - first];
            if *row != u16::MAX {
                continue;
            }
            *row = count as u16;
            count += 1;
            if decoded.len() < count * dim {
                decoded.resize(count * dim, 0.0);
            }
            for (word, column) in code.iter_mut().zip(&columns[slot / BLOCK * words..][..words]) {
                *word = column[slot % BLOCK].to_le_bytes();
            }
            decode(simd, numbers, code.as_flattened(), steps, bases, &mut decoded[(count - 1) * dim..][..dim]);
        }
        let row = |slot: usize| &decoded[usize::from(rows[slot - first]) * dim..][..dim];
        let mut distances = [0.0; LANES];
        for pairs in pairs.chunks(LANES) {
            let rows = pairs.iter().map(|(q, slot)| (queries[*q].query, row(*slot)));
            distances_to_rows(simd, distance, rows, &mut distances[..pairs.len()]);
            for ((q, slot), distance) in pairs.iter().zip(distances) {
                let sink = &mut queries[*q].sink;
                if distance <= sink.threshold() {
                    sink.push(scan_range.neighbor(*slot, distance));
                }
            }
        }
    }
}
