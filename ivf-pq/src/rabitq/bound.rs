//! The codec, bound to the centroids of an index, and its scanner.

use super::code::Form;
use super::codec::RaBitQCodec;
use super::encode::encode;
use super::query::{Query, SetQuery};
use super::scan::{InList, OneCode, ScanBits};
use ivf_core::codec::residuals;
use ivf_core::error::BindError;
use ivf_core::plan::PlannedProbe;
use ivf_core::scanner::{Exactness, ScanQuery, ScanRange};
use ivf_core::{Binding, BoundCodec, Centroids, Codec, InvertedListScanner, ListNo, Metric, Rows, Settings, Sink};
use ivf_cpu::simd::Level;
use std::sync::Arc;

/// Maximum size, in bytes, of the tables of a block of queries, so that they stay in a cache.
const BLOCK_BYTES: usize = 1 << 20;

/// Number of lists whose centroids are read at a time.
const LISTS: usize = 64;

#[derive(Debug)]
pub(super) struct BoundRaBitQ {
    codec: Arc<RaBitQCodec>,
    by_residual: bool,
    centroids: Arc<dyn Centroids>,
    /// Squared norms of the centroids; `None` if they are not needed, or beyond
    /// [`Binding::table_memory`].
    norms: Option<Vec<f32>>,
}

impl BoundRaBitQ {
    pub(super) fn new(codec: Arc<RaBitQCodec>, to: &Binding<'_>) -> Result<Self, BindError> {
        to.check_dim(&*codec)?;
        let dim = codec.dim();
        to.check_cancel()?;
        let (by_residual, centroids) = (to.by_residual, Arc::clone(&to.centroids));
        let mut bound = Self { codec, by_residual, centroids, norms: None };
        let nlist = bound.centroids.nlist();
        let fits = nlist.checked_mul(size_of::<f32>()).is_some_and(|bytes| bytes <= to.table_memory);
        if bound.needs_norms() && fits {
            let mut norms = Vec::with_capacity(nlist);
            let mut rows = vec![0.0; LISTS.min(nlist) * dim];
            for first in (0..nlist).step_by(LISTS) {
                to.check_cancel()?;
                let rows = &mut rows[..LISTS.min(nlist - first) * dim];
                bound.centroids.centroid_rows(ListNo(first as u32), rows);
                norms.extend(rows.chunks_exact(dim).map(squares));
            }
            bound.norms = Some(norms);
        }
        Ok(bound)
    }

    /// Returns whether the distance of a query from a centroid must be computed: the error of an
    /// estimate depends on it, and an inner product does not tell it.
    fn needs_norms(&self) -> bool {
        self.by_residual && self.codec.form().low > 0 && self.codec.metric() != Metric::L2
    }

    fn norm(&self, list: ListNo) -> f32 {
        match &self.norms {
            Some(norms) => norms[list.index()],
            None => {
                let mut centroid = vec![0.0; self.codec.dim()];
                self.centroids.centroid(list, &mut centroid);
                squares(&centroid)
            }
        }
    }
}

fn squares(vector: &[f32]) -> f32 {
    vector.iter().map(|x| x * x).sum()
}

impl BoundCodec for BoundRaBitQ {
    fn codec(&self) -> &dyn Codec {
        &*self.codec
    }

    fn centroids(&self) -> &dyn Centroids {
        &*self.centroids
    }

    fn by_residual(&self) -> bool {
        self.by_residual
    }

    fn shares_lists(&self, _len: usize) -> bool {
        true
    }

    fn queries_at_once(&self) -> usize {
        (BLOCK_BYTES / (12 * self.codec.dim())).max(1)
    }

    fn memory(&self) -> usize {
        self.codec.memory() + self.norms.as_ref().map_or(0, |norms| size_of_val(&norms[..]))
    }

    fn scanner(&self, settings: &Settings) -> Box<dyn InvertedListScanner + '_> {
        let bits = settings.whole(RaBitQCodec::QB).unwrap_or(0) as u32;
        let epsilon = settings.number(RaBitQCodec::EPSILON).unwrap_or(RaBitQCodec::DEFAULT_EPSILON) as f32;
        Box::new(Scanner {
            bound: self,
            level: Level::get(),
            bits,
            epsilon,
            query: OfQuery::default(),
            list: (0.0, 0.0),
            block: Vec::new(),
        })
    }

    fn encode(&self, rows: Rows<'_, f32>, lists: &[ListNo], codes: &mut [u8]) {
        if !self.by_residual {
            return self.codec.encode(rows, codes);
        }
        let form = self.codec.form();
        let residuals = residuals(rows, lists, &*self.centroids);
        let mut centroid = vec![0.0; rows.dim()];
        let codes = codes.chunks_exact_mut(form.code_size());
        for ((residual, list), code) in residuals.chunks_exact(rows.dim()).zip(lists).zip(codes) {
            self.centroids.centroid(*list, &mut centroid);
            encode(form, self.codec.metric(), residual, &centroid, code);
        }
    }
}

/// Data that is made once for each query.
#[derive(Debug, Default)]
struct OfQuery {
    query: Query,
    /// For codes of the vectors themselves: the terms that all codes have in common, and the
    /// distance of the query from the mean.
    start: f32,
    radius: f32,
}

struct Scanner<'a> {
    bound: &'a BoundRaBitQ,
    level: Level,
    /// Number of bits of a coordinate of the query, or 0.
    bits: u32,
    epsilon: f32,
    query: OfQuery,
    /// Term that the distances of all codes of the list have in common, and the error of an
    /// estimate for an error factor of 1.
    list: (f32, f32),
    block: Vec<OfQuery>,
}

impl Scanner<'_> {
    fn form(&self) -> Form {
        self.bound.codec.form()
    }

    fn make(&self, of_query: &mut OfQuery, vector: &[f32]) {
        let codec = &*self.bound.codec;
        assert_eq!(vector.len(), codec.dim(), "a query of the codec's dimension");
        let OfQuery { query, start, radius } = of_query;
        self.level.run(SetQuery { form: codec.form(), vector, bits: self.bits, query });
        (*start, *radius) = (0.0, 0.0);
        if self.bound.by_residual {
            return;
        }
        let moved = vector.iter().zip(codec.mean()).map(|(q, mean)| (q - mean) * (q - mean)).sum::<f32>();
        *radius = moved.sqrt();
        *start = match codec.metric() {
            Metric::L2 => moved,
            _ => -vector.iter().zip(codec.mean()).map(|(q, mean)| q * mean).sum::<f32>(),
        };
    }

    /// Returns the terms of a query in a list.
    fn terms(&self, of_query: &OfQuery, list: ListNo, coarse_distance: f32) -> (f32, f32) {
        if !self.bound.by_residual {
            return (of_query.start, self.epsilon * of_query.radius);
        }
        let squares = match self.bound.codec.metric() {
            _ if self.form().low == 0 => 0.0,
            Metric::L2 => coarse_distance,
            _ => of_query.query.squares + self.bound.norm(list) + 2.0 * coarse_distance,
        };
        (coarse_distance, self.epsilon * squares.max(0.0).sqrt())
    }
}

impl InvertedListScanner for Scanner<'_> {
    fn set_query(&mut self, query: &[f32]) {
        let mut of_query = std::mem::take(&mut self.query);
        self.make(&mut of_query, query);
        self.query = of_query;
    }

    fn set_list(&mut self, list: ListNo, coarse_distance: f32) {
        self.list = self.terms(&self.query, list, coarse_distance);
    }

    fn distance(&self, code: &[u8]) -> f32 {
        assert_eq!(code.len(), self.form().code_size(), "a code of the codec's size");
        let (start, error) = self.list;
        let list = InList { form: self.form(), query: &self.query.query, start, error };
        self.level.run(OneCode { list, code })
    }

    fn exactness(&self) -> Exactness {
        Exactness::Estimate
    }

    fn scan(&mut self, scan_range: &ScanRange<'_>, sink: &mut Sink) {
        let (start, error) = self.list;
        let list = InList { form: self.form(), query: &self.query.query, start, error };
        self.level.run(ScanBits { list, scan_range, sink });
    }

    fn set_queries(&mut self, queries: Rows<'_, f32>, probes: &[&[PlannedProbe]]) {
        assert_eq!(probes.len(), queries.len(), "one row of probes for each query");
        let mut block = std::mem::take(&mut self.block);
        block.resize_with(queries.len(), OfQuery::default);
        block.iter_mut().zip(queries.iter()).for_each(|(of_query, query)| self.make(of_query, query));
        self.block = block;
    }

    fn scan_batch(&mut self, scan_range: &ScanRange<'_>, queries: &mut [ScanQuery<'_>]) {
        for query in queries {
            let of_query = &self.block[query.number];
            let (start, error) = self.terms(of_query, scan_range.list(), query.coarse_distance);
            let list = InList { form: self.form(), query: &of_query.query, start, error };
            let scan_range = scan_range.clone().within(0..query.limit).masked(query.mask);
            self.level.run(ScanBits { list, scan_range: &scan_range, sink: query.sink });
        }
    }
}
