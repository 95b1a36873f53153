//! `PQ<M>`: product-quantised codes in lists, by residual.

use crate::product::{CENTROIDS, ProductQuantizer, Table, equal_parts};
use crate::scan::{BLOCK, Scan, distance};
use crate::tables::ByteTables;
use ivf_core::error::{BuildError, DecodeError, TrainError};
use ivf_core::node::NamedArray;
use ivf_core::registry::{CodecRow, Parsed, TokenError};
use ivf_core::scanner::Piece;
use ivf_core::{
    BoundCodec, Centroids, CodeLayout, Codec, CodecSpec, InvertedListScanner, ListNo, MAX_DIM, Metric, Node, Rows,
    Sink, StoredNode, TrainOptions, TrainReport,
};
use ivf_cpu::kernels::{Distance, InnerProduct, L2};
use ivf_cpu::simd::{Kernel, Level, Simd};
use std::fmt;
use std::sync::Arc;

/// The row of this codec.
pub(crate) const ROW: CodecRow =
    CodecRow::new("pq", "PQ<M>[x8]", "product quantisation: M parts, a byte each", &["PQ8", "PQ16x8"], parse, |node| {
        Ok(Arc::new(PqCodec::read(node)?))
    });

/// Points for each centroid that training uses.
const POINTS: usize = 256;

/// Tables of the lists take at most this many bytes; beyond, they are computed for each query and list.
const MOST_TERMS: usize = 1 << 28;

fn parse(token: &str) -> Parsed<dyn CodecSpec> {
    let rest = token.strip_prefix("PQ")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (m, bits) = rest.split_at(digits);
    let fault = |span: std::ops::Range<usize>, what: &str| Some(Err(TokenError::new(span, what)));
    if m.is_empty() {
        return None;
    }
    let parts = match m.parse::<usize>() {
        Ok(parts) if (1..=MAX_DIM).contains(&parts) => parts,
        _ => return fault(2..2 + digits, &format!("the number of parts must be from 1 to {MAX_DIM}")),
    };
    match bits {
        "" | "x8" => Some(Ok(Arc::new(PqSpec { parts }))),
        _ => fault(2 + digits..token.len(), "after the number of parts stands x8 or nothing"),
    }
}

/// The metrics that sums over parts can give. (Cosine is a transform and the inner product.)
fn is_taken(metric: Metric) -> bool {
    matches!(metric, Metric::L2 | Metric::InnerProduct)
}

/// `PQ<M>`: `M` parts, 8 bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PqSpec {
    /// Parts of a vector, and bytes of a code.
    pub parts: usize,
}

impl fmt::Display for PqSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PQ{}", self.parts)
    }
}

impl CodecSpec for PqSpec {
    fn check(&self, dim: usize, metric: Metric) -> Result<(), BuildError> {
        if !is_taken(metric) {
            return Err(BuildError::Metric { kind: self.to_string(), metric });
        }
        if !dim.is_multiple_of(self.parts) {
            let why = format!("the number of parts, {}, must divide it", self.parts);
            return Err(BuildError::Dim { kind: self.to_string(), dim, why });
        }
        Ok(())
    }

    fn by_residual(&self) -> bool {
        true
    }

    fn training_points(&self) -> usize {
        CENTROIDS * POINTS
    }

    fn train(
        &self,
        rows: Rows<'_, f32>,
        metric: Metric,
        options: &TrainOptions<'_>,
    ) -> Result<(Arc<dyn Codec>, TrainReport), TrainError> {
        let (quantizer, report) = ProductQuantizer::train(rows, equal_parts(rows.dim(), self.parts), false, options)?;
        Ok((Arc::new(PqCodec::new(quantizer, metric)), report))
    }
}

/// A product quantizer as a list codec. Codes lie in blocks of 64, part after part.
#[derive(Clone, Debug)]
pub struct PqCodec {
    quantizer: ProductQuantizer,
    metric: Metric,
    layout: CodeLayout,
}

impl PqCodec {
    /// The codec of a trained quantizer, for L2 or inner product.
    ///
    /// # Panics
    /// For another metric.
    pub fn new(quantizer: ProductQuantizer, metric: Metric) -> Self {
        assert!(is_taken(metric), "L2 or inner product");
        let layout = CodeLayout::interleaved(1, quantizer.parts().len(), BLOCK);
        Self { quantizer, metric, layout }
    }

    /// The quantizer, with its codebooks.
    pub fn quantizer(&self) -> &ProductQuantizer {
        &self.quantizer
    }

    fn read(node: &StoredNode) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        let fault = |what: String| DecodeError::value(&node.tag, what);
        let metric: Metric = node.meta()?;
        let (ends, codebooks, mean) =
            (node.array::<u32>("ends")?, node.array::<f32>("codebooks")?, node.array::<f32>("mean")?);
        let dim = ends.last().map_or(0, |&end| end as usize);
        if !(1..=MAX_DIM).contains(&dim) || ends.len() > dim || codebooks.len() != CENTROIDS * dim {
            return Err(fault(format!("{} parts, {} numbers in codebooks", ends.len(), codebooks.len())));
        }
        let (mut parts, mut start) = (Vec::with_capacity(ends.len()), 0);
        for &end in ends {
            if end as usize <= start || end as usize > dim {
                return Err(fault(format!("a part from {start} to {end}")));
            }
            parts.push(start..end as usize);
            start = end as usize;
        }
        if !is_taken(metric) {
            return Err(fault(format!("the metric {metric}")));
        }
        let books = parts.iter().map(|part| codebooks[CENTROIDS * part.start..CENTROIDS * part.end].to_vec()).collect();
        let mean = Some(mean.to_vec()).filter(|mean| !mean.is_empty());
        Ok(Self::new(ProductQuantizer::new(parts, books, mean).map_err(fault)?, metric))
    }
}

impl Codec for PqCodec {
    fn spec(&self) -> Arc<dyn CodecSpec> {
        Arc::new(PqSpec { parts: self.quantizer.parts().len() })
    }

    fn dim(&self) -> usize {
        self.quantizer.dim()
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn layout(&self) -> &CodeLayout {
        &self.layout
    }

    fn encode(&self, rows: Rows<'_, f32>, codes: &mut [u8]) {
        self.quantizer.encode(rows, codes);
    }

    fn decode(&self, code: &[u8], vector: &mut [f32]) {
        self.quantizer.decode(code, vector);
    }

    fn memory(&self) -> usize {
        self.quantizer.memory()
    }

    fn export(&self) -> Node<'_> {
        let mut node = Node::new(ROW.tag, 0, &self.metric);
        let parts = self.quantizer.parts();
        let ends: Vec<u32> = parts.iter().map(|part| part.end as u32).collect();
        node.push(NamedArray::owned("ends", &[ends.len() as u64], ends));
        let books = (0..parts.len()).map(|m| self.quantizer.codebook(m).as_slice());
        node.push(NamedArray::pieces("codebooks", books));
        node.push(NamedArray::pieces("mean", self.quantizer.mean()));
        node
    }

    fn bind(self: Arc<Self>, centroids: Arc<dyn Centroids>) -> Arc<dyn BoundCodec> {
        let terms = list_terms(&self, &*centroids);
        Arc::new(BoundPq { codec: self, centroids, terms })
    }
}

/// For L2, list after list, what its centroid and a part's centroid add to a distance together:
///
/// ```text
/// |q - (c + y)|^2 = |q - c|^2  +  |y|^2 + 2 c y  -  2 q y
///                   coarse        these             tables of the query
/// ```
///
/// None if they would not fit the budget; and for one list, which may be that of an index without coarse quantizer: its coarse
/// distances are 0.
fn list_terms(codec: &PqCodec, centroids: &dyn Centroids) -> Option<Vec<Table>> {
    let (parts, nlist) = (codec.quantizer.parts().len(), centroids.nlist());
    let fits = nlist.checked_mul(parts * size_of::<Table>()).is_some_and(|bytes| bytes <= MOST_TERMS);
    if codec.metric != Metric::L2 || nlist == 1 || !fits || codec.quantizer.mean().is_some() {
        return None;
    }
    struct Terms<'a>(&'a PqCodec, &'a dyn Centroids, &'a mut [Table]);
    impl Kernel for Terms<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let Self(codec, centroids, terms) = self;
            let pq = &codec.quantizer;
            let (parts, mut centroid) = (pq.parts().len(), vec![0.0; pq.dim()]);
            let mut norms = vec![[0.0; CENTROIDS]; parts];
            pq.distances(simd, L2, &centroid, &mut norms);
            for (list, terms) in terms.chunks_exact_mut(parts).enumerate() {
                centroids.centroid(ListNo(list as u32), &mut centroid);
                pq.distances(simd, InnerProduct, &centroid, terms);
                // The negated product twice, taken away from the norm.
                for (terms, norms) in terms.iter_mut().zip(&norms) {
                    terms.iter_mut().zip(norms).for_each(|(term, norm)| *term = (-2.0_f32).mul_add(*term, *norm));
                }
            }
        }
    }
    let mut terms = vec![[0.0; CENTROIDS]; nlist * parts];
    Level::get().run(Terms(codec, centroids, &mut terms));
    Some(terms)
}

#[derive(Debug)]
struct BoundPq {
    codec: Arc<PqCodec>,
    centroids: Arc<dyn Centroids>,
    terms: Option<Vec<Table>>,
}

impl BoundCodec for BoundPq {
    fn codec(&self) -> &dyn Codec {
        &*self.codec
    }

    fn centroids(&self) -> &dyn Centroids {
        &*self.centroids
    }

    fn scanner(&self) -> Box<dyn InvertedListScanner + '_> {
        let (dim, parts) = (self.codec.dim(), self.codec.quantizer.parts().len());
        Box::new(PqScanner {
            bound: self,
            level: Level::get(),
            query: vec![0.0; dim],
            centroid: vec![0.0; dim],
            products: vec![[0.0; CENTROIDS]; parts],
            sums: vec![[0.0; CENTROIDS]; if self.codec.metric == Metric::L2 { parts } else { 0 }],
            start: 0.0,
            bytes: ByteTables::default(),
            ready: false,
        })
    }
}

struct PqScanner<'a> {
    bound: &'a BoundPq,
    level: Level,
    query: Vec<f32>,
    centroid: Vec<f32>,
    /// The query's negated products with the centroids of the parts.
    products: Vec<Table>,
    /// For L2 the tables of the query and the list. (For the inner product a list changes no table.)
    sums: Vec<Table>,
    /// What every code of the list has in its distance.
    start: f32,
    bytes: ByteTables,
    /// True if the bytes are those of the tables.
    ready: bool,
}

/// The tables of a query: its parts' distances from all centroids.
struct Distances<'a, D>(D, &'a ProductQuantizer, &'a [f32], &'a mut [Table]);

impl<D: Distance> Kernel for Distances<'_, D> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        self.1.distances(simd, self.0, self.2, self.3);
    }
}

/// `terms + 2 products`.
struct AddTerms<'a>(&'a [Table], &'a [Table], &'a mut [Table]);

impl Kernel for AddTerms<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        for ((terms, products), sums) in self.0.iter().zip(self.1).zip(self.2) {
            for ((term, product), sum) in terms.iter().zip(products).zip(sums) {
                *sum = 2.0_f32.mul_add(*product, *term);
            }
        }
    }
}

impl PqScanner<'_> {
    fn tables(&self) -> &[Table] {
        if self.sums.is_empty() { &self.products } else { &self.sums }
    }
}

impl InvertedListScanner for PqScanner<'_> {
    fn set_query(&mut self, query: &[f32]) {
        self.query.copy_from_slice(query);
        self.ready = false;
        if self.sums.is_empty() || self.bound.terms.is_some() {
            self.level.run(Distances(InnerProduct, &self.bound.codec.quantizer, query, &mut self.products));
        }
    }

    /// With `c` the centroid of the list, `m` the mean of the quantizer and `y` what a code stands for:
    ///
    /// * inner product: `-q (c + m + y)` is the coarse distance, `-q m`, and a sum of `-q y`;
    /// * L2: as [`list_terms`] says, or without terms a sum of the parts of `|(q - c - m) - y|^2`.
    fn set_list(&mut self, list: ListNo, coarse_distance: f32) {
        let pq = &self.bound.codec.quantizer;
        if self.sums.is_empty() {
            let mean = pq.mean().map_or(0.0, |mean| InnerProduct.between(&self.query, mean.iter().copied()));
            self.start = coarse_distance + mean;
            return;
        }
        self.ready = false;
        if let Some(terms) = &self.bound.terms {
            let terms = &terms[list.index() * self.sums.len()..][..self.sums.len()];
            self.start = coarse_distance;
            return self.level.run(AddTerms(terms, &self.products, &mut self.sums));
        }
        self.bound.centroids.centroid(list, &mut self.centroid);
        self.centroid.iter_mut().zip(&self.query).for_each(|(c, q)| *c = q - *c);
        if let Some(mean) = pq.mean() {
            self.centroid.iter_mut().zip(mean).for_each(|(c, m)| *c -= m);
        }
        self.start = 0.0;
        self.level.run(Distances(L2, pq, &self.centroid, &mut self.sums));
    }

    fn distance(&self, code: &[u8]) -> f32 {
        assert_eq!(code.len(), self.products.len(), "a code of the codec's size");
        distance(self.tables(), self.start, code.iter().copied())
    }

    fn scan(&mut self, piece: &Piece<'_>, sink: &mut Sink) {
        // Not `tables()`: the bytes beside them are borrowed too.
        let tables = if self.sums.is_empty() { &self.products } else { &self.sums };
        let (bytes, ready) = (&mut self.bytes, &mut self.ready);
        self.level.run(Scan { tables, start: self.start, bytes, ready, piece, sink });
    }
}
