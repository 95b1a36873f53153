//! Codes of more than 8 bits a subquantizer. Their tables do not fit registers, so a scan looks up
//! one number after the other in memory.

use crate::codec::PqCodec;
use ivf_core::error::BindError;
use ivf_core::scanner::ScanRange;
use ivf_core::{Binding, BoundCodec, Centroids, Codec, InvertedListScanner, ListNo, Metric, Settings, Sink};
use ivf_cpu::kernels::{Distance, InnerProduct, L2};
use ivf_cpu::simd::{Kernel, Level, Simd};
use std::sync::Arc;

/// Codec that is bound to the centroids of an index.
#[derive(Debug)]
pub(crate) struct BoundWide {
    codec: Arc<PqCodec>,
    by_residual: bool,
    centroids: Arc<dyn Centroids>,
}

impl BoundWide {
    pub(crate) fn new(codec: Arc<PqCodec>, to: &Binding<'_>) -> Result<Self, BindError> {
        to.check_dim(&*codec)?;
        Ok(Self { codec, by_residual: to.by_residual, centroids: Arc::clone(&to.centroids) })
    }
}

impl BoundCodec for BoundWide {
    fn codec(&self) -> &dyn Codec {
        &*self.codec
    }

    fn centroids(&self) -> &dyn Centroids {
        &*self.centroids
    }

    fn by_residual(&self) -> bool {
        self.by_residual
    }

    fn scanner(&self, _settings: &Settings) -> Box<dyn InvertedListScanner + '_> {
        let (dim, quantizer) = (self.codec.dim(), self.codec.quantizer());
        let tables = vec![0.0; quantizer.subquantizers().len() << quantizer.bits()];
        let (query, z) = (vec![0.0; dim], vec![0.0; dim]);
        Box::new(WideScanner { bound: self, query, z, tables, start: 0.0, coarse_distance: 0.0, code: Vec::new() })
    }
}

/// Scanner of the distances of [`PerQueryScanner`](crate::per_query::PerQueryScanner), and for L2
/// and codes of residuals those of [`L2Scanner`](crate::l2::L2Scanner). The first have tables for
/// each query, the others are computed from the centroids of the subquantizers.
struct WideScanner<'a> {
    bound: &'a BoundWide,
    query: Vec<f32>,
    /// The query less everything that all vectors of the list have in common.
    z: Vec<f32>,
    /// One table after the other; used unless distances depend on the list.
    tables: Vec<f32>,
    /// Start value of a distance, without the term that depends on the list.
    start: f32,
    coarse_distance: f32,
    code: Vec<u8>,
}

impl WideScanner<'_> {
    fn has_tables(&self) -> bool {
        !(self.bound.by_residual && self.bound.codec.metric() == Metric::L2)
    }

    fn subtract_mean(&mut self) {
        if let Some(mean) = self.bound.codec.quantizer().mean() {
            self.z.iter_mut().zip(mean).for_each(|(z, mean)| *z -= mean);
        }
    }
}

struct MakeTables<'a, D>(D, &'a PqCodec, &'a [f32], &'a mut [f32]);

impl<D: Distance> Kernel for MakeTables<'_, D> {
    type Output = ();
    const BYTES: bool = false;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let quantizer = self.1.quantizer();
        quantizer.distances(simd, self.0, self.2, self.3.chunks_exact_mut(1 << quantizer.bits()));
    }
}

impl InvertedListScanner for WideScanner<'_> {
    fn set_query(&mut self, query: &[f32]) {
        let codec = &*self.bound.codec;
        self.query.copy_from_slice(query);
        self.z.copy_from_slice(query);
        self.start = 0.0;
        if !self.has_tables() {
            return;
        }
        if codec.metric() == Metric::L2 {
            self.subtract_mean();
            Level::get().run(MakeTables(L2, codec, &self.z, &mut self.tables));
        } else {
            let mean = codec.quantizer().mean();
            self.start = mean.map_or(0.0, |mean| InnerProduct.between(query, mean.iter().copied()));
            Level::get().run(MakeTables(InnerProduct, codec, query, &mut self.tables));
        }
    }

    fn set_list(&mut self, list: ListNo, coarse_distance: f32) {
        if self.has_tables() {
            self.coarse_distance = if self.bound.by_residual { coarse_distance } else { 0.0 };
            return;
        }
        self.bound.centroids.centroid(list, &mut self.z);
        self.z.iter_mut().zip(&self.query).for_each(|(z, q)| *z = q - *z);
        self.subtract_mean();
    }

    fn distance(&self, code: &[u8]) -> f32 {
        let quantizer = self.bound.codec.quantizer();
        if self.has_tables() {
            let tables = self.tables.chunks_exact(1 << quantizer.bits());
            let entries = tables.zip(quantizer.numbers(code)).map(|(table, number)| table[usize::from(number)]);
            return entries.fold(self.coarse_distance + self.start, |sum, entry| sum + entry);
        }
        quantizer.numbers(code).enumerate().fold(0.0, |sum, (m, number)| {
            let (part, centroid) = quantizer.centroid(m, number);
            sum + L2.between(&self.z[part], centroid.iter().copied())
        })
    }

    fn scan(&mut self, scan_range: &ScanRange<'_>, sink: &mut Sink) {
        let mut code = std::mem::take(&mut self.code);
        code.resize(scan_range.layout().code_size(), 0);
        for slot in scan_range.slots() {
            scan_range.segment().code(scan_range.layout(), slot, &mut code);
            sink.push(scan_range.neighbor(slot, self.distance(&code)));
        }
        self.code = code;
    }
}
