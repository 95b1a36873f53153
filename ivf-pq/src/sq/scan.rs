//! Scan of lists. Some blocks are decoded at a time, for all queries, and stay in the cache.

use super::alone::ScanAlone;
use super::bound::BoundSq;
use super::bytes::List;
use super::codes::DistancesTo;
use super::first_pass::{FirstPass, Of, TOGETHER, serves};
use super::numbers::{Coded, Numbers};
use ivf_core::plan::PlannedProbe;
use ivf_core::scanner::{ScanQuery, ScanRange};
use ivf_core::{Codec, InvertedListScanner, ListNo, Rows, Sink};
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
    /// The first pass in bytes, where there is one.
    first_pass: Option<FirstPass>,
}

impl<'a, D: Distance, N: Numbers> SqScanner<'a, D, N> {
    pub(super) fn new(bound: &'a BoundSq, distance: D, numbers: N) -> Self {
        let dim = bound.codec.dim();
        let level = Level::get();
        let lists = Lists {
            bound,
            distance,
            numbers,
            level,
            bases: vec![0.0; dim],
            columns: Vec::new(),
            thresholds: Vec::new(),
            rows: Vec::new(),
            first_pass: has_first_pass::<D>(bound, level).then(FirstPass::default),
        };
        Self { query: vec![0.0; dim], lists }
    }

    /// Returns the scanner with another instruction set.
    #[cfg(test)]
    pub(super) fn at_level(mut self, level: Level) -> Self {
        self.lists.level = level;
        self.lists.first_pass = has_first_pass::<D>(self.lists.bound, level).then(FirstPass::default);
        self
    }
}

impl<D: Distance, N: Numbers> InvertedListScanner for SqScanner<'_, D, N> {
    fn set_query(&mut self, query: &[f32]) {
        self.query.copy_from_slice(query);
        self.lists.set_queries([query].into_iter());
    }

    fn set_list(&mut self, list: ListNo, _coarse_distance: f32) {
        self.lists.set(list);
    }

    fn distance(&self, code: &[u8]) -> f32 {
        let Lists { bound, distance, numbers, bases, .. } = &self.lists;
        assert_eq!(code.len(), bound.codec.layout().code_size(), "a code of the codec's size");
        let steps = bound.codec.scale().steps();
        let vector = steps.iter().zip(bases).enumerate();
        distance.between(&self.query, vector.map(|(d, (step, base))| step.mul_add(numbers.get(code, d), *base)))
    }

    fn distances(&self, codes: &[u8], distances: &mut [f32]) {
        let size = self.lists.bound.codec.layout().code_size();
        assert_eq!(codes.len(), distances.len() * size, "whole codes");
        self.distances_to(&codes.chunks_exact(size).collect::<Vec<_>>(), distances);
    }

    fn distances_to(&self, codes: &[&[u8]], out: &mut [f32]) {
        let Lists { bound, distance, numbers, bases, level, .. } = &self.lists;
        assert_eq!(codes.len(), out.len(), "a code for each distance");
        let size = bound.codec.layout().code_size();
        assert!(codes.iter().all(|code| code.len() == size), "codes of the codec's size");
        let (query, steps) = (&self.query[..], bound.codec.scale().steps());
        level.run(DistancesTo { distance: *distance, numbers: *numbers, query, steps, bases, codes, out });
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
        self.lists.scan_alone(scan_range, only);
    }

    fn set_queries(&mut self, queries: Rows<'_, f32>, _probes: &[&[PlannedProbe]]) {
        self.lists.set_queries(queries.iter());
    }

    fn scan_batch(&mut self, scan_range: &ScanRange<'_>, queries: &mut [ScanQuery<'_>]) {
        self.lists.set(scan_range.list());
        if self.lists.first_pass.is_some() {
            return self.lists.scan_bytes(scan_range, queries);
        }
        self.lists.scan(scan_range, scan_range.blocks(), queries, if queries.len() > 1 { SHARED } else { ALONE });
    }
}

impl<D: Distance, N: Numbers> Lists<'_, D, N> {
    fn set(&mut self, list: ListNo) {
        self.bound.bases_of(list, &mut self.bases);
    }

    /// Scans the current list for one query.
    fn scan_alone(&mut self, scan_range: &ScanRange<'_>, query: ScanQuery<'_>) {
        if self.first_pass.is_some() {
            return self.scan_bytes(scan_range, &mut [query]);
        }
        self.scan_blocks_alone(scan_range, scan_range.blocks(), query);
    }

    fn scan_blocks_alone(&mut self, scan_range: &ScanRange<'_>, blocks: Range<usize>, query: ScanQuery<'_>) {
        if const { !D::IN_REGISTERS } {
            return self.scan(scan_range, blocks, &mut [query], ALONE);
        }
        let Self { bound, distance, numbers, level, bases, .. } = self;
        let (distance, numbers, steps) = (*distance, *numbers, bound.codec.scale().steps());
        level.run(ScanAlone { distance, numbers, steps, bases, scan_range, blocks, query });
    }

    /// Scans the current list with a first pass in bytes, some blocks at a time. Queries for which
    /// too many codes may be near are scanned without it.
    fn scan_bytes(&mut self, scan_range: &ScanRange<'_>, queries: &mut [ScanQuery<'_>]) {
        let mut first_pass = self.first_pass.take().expect("codes with a first pass");
        first_pass.set_list::<D>(self.of(scan_range), queries);
        let mut left = scan_range.blocks();
        while let Some(blocks) = next_wanted(scan_range, &mut left, TOGETHER, queries) {
            first_pass.scan(self.distance, self.of(scan_range), blocks.clone(), queries);
            let crowded = queries.iter_mut().zip(&first_pass.crowded).filter(|(_, is_crowded)| **is_crowded);
            let mut crowded: Vec<ScanQuery<'_>> = crowded.map(|(query, _)| query.reborrow()).collect();
            match &mut crowded[..] {
                [] => {}
                [query] => self.scan_blocks_alone(scan_range, blocks, query.reborrow()),
                queries => self.scan(scan_range, blocks, queries, SHARED),
            }
        }
        self.first_pass = Some(first_pass);
    }

    /// Returns what a first pass over the current list takes.
    fn of<'s>(&'s self, scan_range: &'s ScanRange<'s>) -> Of<'s> {
        Of { level: self.level, list: self.list(), scan_range }
    }

    fn list(&self) -> List<'_> {
        let scale = self.bound.codec.scale();
        let of_bytes = self.bound.codec.byte_scale().expect("codes with a first pass");
        List { scale: of_bytes, steps: scale.steps(), own: scale.bases(), bases: &self.bases }
    }

    /// Sets all queries of later scans.
    fn set_queries<'q>(&mut self, queries: impl Iterator<Item = &'q [f32]>) {
        if let Some(mut first_pass) = self.first_pass.take() {
            first_pass.set_queries::<D>(self.level, self.list(), queries);
            self.first_pass = Some(first_pass);
        }
    }

    /// Scans blocks of the current list for some queries. At most `bytes` of blocks are decoded at
    /// a time, or one block.
    fn scan(&mut self, scan_range: &ScanRange<'_>, blocks: Range<usize>, queries: &mut [ScanQuery<'_>], bytes: usize) {
        let dim = self.bases.len();
        let most = (bytes / (dim * size_of::<[f32; BLOCK]>())).max(1);
        self.thresholds.clear();
        self.thresholds.extend(queries.iter().map(|query| query.sink.threshold()));
        let mut rows: Vec<&[f32]> = std::mem::take(&mut self.rows);
        rows.extend(queries.iter().map(|query| query.query));
        let mut left = blocks;
        while let Some(blocks) = next_wanted(scan_range, &mut left, most, queries) {
            let first = blocks.start;
            self.decode(scan_range, blocks);
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

/// Takes the next blocks from `left`, at most `most` that follow one another, from which some query
/// may find an entry.
fn next_wanted(
    scan_range: &ScanRange<'_>,
    left: &mut Range<usize>,
    most: usize,
    queries: &[ScanQuery<'_>],
) -> Option<Range<usize>> {
    let wanted = |b: usize| queries.iter().any(|query| query.selected(scan_range, b * BLOCK, BLOCK) != 0);
    let first = left.find(|&b| wanted(b))?;
    let mut end = first + 1;
    while end - first < most && end < left.end && wanted(end) {
        end += 1;
    }
    left.start = end;
    Some(first..end)
}

/// Returns whether scans for a distance have a first pass.
fn has_first_pass<D: Distance>(bound: &BoundSq, level: Level) -> bool {
    serves::<D>() && bound.codec.byte_scale().is_some() && level.run(HasDot4)
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
