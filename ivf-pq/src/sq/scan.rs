//! Scan of lists. Some blocks are decoded at a time, for all queries, and stay in the cache.

use super::alone::{ByteQuery, ScanAlone, serves};
use super::bound::BoundSq;
use super::numbers::{Coded, Numbers};
use ivf_core::scanner::{ScanQuery, ScanRange};
use ivf_core::{Codec, InvertedListScanner, ListNo, Sink};
use ivf_cpu::kernels::{BLOCK, Columns, Distance, scan};
use ivf_cpu::simd::{Kernel, LANES, Level, Simd};
use std::ops::Range;

/// Size, in bytes, of the decoded blocks that several queries pass over: they stay in the
/// second-level cache.
const SHARED: usize = 1 << 17;

/// The same for a query alone, in the first-level cache.
const ALONE: usize = 1 << 14;

/// Scanner for a distance and the numbers of codes.
///
/// ```text
/// blocks of codes   ->   columns of floats, of some blocks   ->   tiles of queries (kernels::scan)
///                        number * step + (base + centroid)
/// ```
///
/// The columns hold vectors, so every distance works. A query passes over them at the speed of a
/// scan of floats.
pub(super) struct SqScanner<'a, D, N> {
    query: Vec<f32>,
    /// The query in bytes, where they make a first pass.
    bytes: Option<ByteQuery>,
    lists: Lists<'a, D, N>,
}

/// Everything but the query.
struct Lists<'a, D, N> {
    bound: &'a BoundSq,
    distance: D,
    numbers: N,
    level: Level,
    /// What is added to the numbers of the current list, times their steps.
    bases: Vec<f32>,
    columns: Vec<[f32; BLOCK]>,
    thresholds: Vec<f32>,
    /// An empty vector with room for the queries of a call.
    rows: Vec<&'static [f32]>,
}

impl<'a, D: Distance, N: Numbers> SqScanner<'a, D, N> {
    pub(super) fn new(bound: &'a BoundSq, distance: D, numbers: N) -> Self {
        let dim = bound.codec.dim();
        let lists = Lists {
            bound,
            distance,
            numbers,
            level: Level::get(),
            bases: vec![0.0; dim],
            columns: Vec::new(),
            thresholds: Vec::new(),
            rows: Vec::new(),
        };
        let bytes = (serves::<D, N>() && lists.level.run(HasDot4)).then(ByteQuery::default);
        Self { query: vec![0.0; dim], bytes, lists }
    }

    /// Returns the scanner with another instruction set.
    #[cfg(test)]
    pub(super) fn at_level(mut self, level: Level) -> Self {
        self.lists.level = level;
        self.bytes = self.bytes.filter(|_| level.run(HasDot4));
        self
    }
}

impl<D: Distance, N: Numbers> InvertedListScanner for SqScanner<'_, D, N> {
    fn set_query(&mut self, query: &[f32]) {
        self.query.copy_from_slice(query);
        if let Some(bytes) = &mut self.bytes {
            bytes.set(query, self.lists.bound.codec.scale().steps());
        }
    }

    fn set_list(&mut self, list: ListNo, _coarse_distance: f32) {
        self.lists.set(list);
        if let Some(bytes) = &mut self.bytes {
            bytes.set_list(&self.query, self.lists.bound.codec.scale().steps(), &self.lists.bases);
        }
    }

    fn distance(&self, code: &[u8]) -> f32 {
        let Lists { bound, distance, numbers, bases, .. } = &self.lists;
        assert_eq!(code.len(), bound.codec.layout().code_size(), "a code of the codec's size");
        let steps = bound.codec.scale().steps();
        let vector = steps.iter().zip(bases).enumerate();
        distance.between(&self.query, vector.map(|(d, (step, base))| step.mul_add(numbers.get(code, d), *base)))
    }

    fn scan(&mut self, scan_range: &ScanRange<'_>, sink: &mut Sink) {
        let only = ScanQuery {
            number: 0,
            query: &self.query,
            probes: &[],
            coarse_distance: 0.0,
            limit: usize::MAX,
            mask: None,
            sink,
        };
        if const { D::IN_REGISTERS } {
            return self.lists.scan_alone(scan_range, only, self.bytes.as_ref());
        }
        self.lists.scan(scan_range, &mut [only], ALONE);
    }

    fn scan_batch(&mut self, scan_range: &ScanRange<'_>, queries: &mut [ScanQuery<'_>]) {
        self.lists.set(scan_range.list());
        self.lists.scan(scan_range, queries, if queries.len() > 1 { SHARED } else { ALONE });
    }
}

impl<D: Distance, N: Numbers> Lists<'_, D, N> {
    fn set(&mut self, list: ListNo) {
        self.bound.bases_of(list, &mut self.bases);
    }

    /// Scans the current list for one query.
    fn scan_alone(&self, scan_range: &ScanRange<'_>, query: ScanQuery<'_>, bytes: Option<&ByteQuery>) {
        let Self { bound, distance, numbers, level, bases, .. } = self;
        let (distance, numbers, steps) = (*distance, *numbers, bound.codec.scale().steps());
        level.run(ScanAlone { distance, numbers, bytes, steps, bases, scan_range, query });
    }

    /// Scans the current list for some queries. At most `bytes` of blocks are decoded at a time, or
    /// one block.
    fn scan(&mut self, scan_range: &ScanRange<'_>, queries: &mut [ScanQuery<'_>], bytes: usize) {
        let dim = self.bases.len();
        let most = (bytes / (dim * size_of::<[f32; BLOCK]>())).max(1);
        self.thresholds.clear();
        self.thresholds.extend(queries.iter().map(|query| query.sink.threshold()));
        let mut rows: Vec<&[f32]> = std::mem::take(&mut self.rows);
        rows.extend(queries.iter().map(|query| query.query));
        let wanted = |b: usize, queries: &[ScanQuery<'_>]| {
            queries.iter().any(|query| query.selected(scan_range, b * BLOCK, BLOCK) != 0)
        };
        let mut left = scan_range.blocks();
        while let Some(first) = left.find(|&b| wanted(b, queries)) {
            let mut end = first + 1;
            while end - first < most && left.start < left.end && wanted(left.start, queries) {
                left.start += 1;
                end += 1;
            }
            self.decode(scan_range, first..end);
            let (distance, columns, thresholds) = (self.distance, &self.columns[..], &mut self.thresholds[..]);
            self.level.run(ScanColumns { distance, columns, first, rows: &rows, thresholds, scan_range, queries });
        }
        // The memory is used again, for references of another lifetime.
        rows.clear();
        self.rows = rows.into_iter().map(|_| &[][..]).collect();
    }

    /// Decodes blocks into the columns.
    fn decode(&mut self, scan_range: &ScanRange<'_>, blocks: Range<usize>) {
        let (dim, bytes) = (self.bases.len(), scan_range.layout().block_bytes(0));
        self.columns.resize(blocks.len() * dim, [0.0; BLOCK]);
        let codes = &scan_range.segment().plane(0)[blocks.start * bytes..blocks.end * bytes];
        let codes = bytemuck::cast_slice(codes);
        let (steps, bases) = (self.bound.codec.scale().steps(), &self.bases[..]);
        self.level.run(Decode { numbers: self.numbers, codes, steps, bases, columns: &mut self.columns });
    }
}

struct HasDot4;

impl Kernel for HasDot4 {
    type Output = bool;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> bool {
        S::HAS_DOT4
    }
}

/// Decodes whole blocks.
struct Decode<'a, N: Numbers> {
    numbers: N,
    codes: &'a [N::Column],
    steps: &'a [f32],
    bases: &'a [f32],
    columns: &'a mut [[f32; BLOCK]],
}

impl<N: Numbers> Kernel for Decode<'_, N> {
    type Output = ();
    const BYTES: bool = false;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { numbers, codes, steps, bases, columns } = self;
        let (dim, bases) = (steps.len(), &bases[..steps.len()]);
        let blocks = codes.chunks_exact(codes.len() / (columns.len() / dim));
        for (block, columns) in blocks.zip(columns.chunks_exact_mut(dim)) {
            let coded = Coded { numbers, blocks: [block], steps, bases };
            for (d, column) in columns.iter_mut().enumerate() {
                for (half, out) in column.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                    *out = simd.to_array(coded.load(simd, d, half));
                }
            }
        }
    }
}

/// Compares queries with decoded blocks, from block number `first` on.
struct ScanColumns<'a, 'q, D> {
    distance: D,
    columns: &'a [[f32; BLOCK]],
    first: usize,
    rows: &'a [&'a [f32]],
    thresholds: &'a mut [f32],
    scan_range: &'a ScanRange<'a>,
    queries: &'a mut [ScanQuery<'q>],
}

impl<D: Distance> Kernel for ScanColumns<'_, '_, D> {
    type Output = ();
    const BYTES: bool = false;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { distance, columns, first, rows, thresholds, scan_range, queries } = self;
        let Some(dim) = rows.first().map(|row| row.len()) else { return };
        scan(simd, distance, dim, rows, thresholds, columns, |near| {
            let start = (first + near.block) * BLOCK;
            let query = &mut queries[near.query];
            for (lane, distance) in near.hits(query.selected(scan_range, start, BLOCK) as u32) {
                query.sink.push(scan_range.neighbor(start + lane, distance));
            }
            query.sink.threshold()
        });
    }
}
