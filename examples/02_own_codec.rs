//! Your own codec with its factory token, defined outside the library: `U4`, 4 bits a dimension.
//!
//! A codec consists of four types and a row:
//!
//! | here | implements | purpose |
//! |---|---|---|
//! | `U4` | `CodecSpec` | the parsed token; trains the codec |
//! | `Uniform4` | `Codec` | the trained codec: encodes vectors and decodes codes |
//! | `BoundUniform4` | `BoundCodec` | the codec in an index whose lists have centroids |
//! | `Uniform4Scanner` | `InvertedListScanner` | computes distances from one query to codes |
//! | `ROW` | `CodecRow` | the token, the tag in files, a parser and a reader |
//!
//! The codec declares its own parameter, `dims`: the number of leading dimensions that a distance
//! uses. This one declaration provides a knob of every index with the codec, a parameter of each
//! search, the check of its range, and its storage in files.
//!
//! The library provides the rest: wrappers around it, parallel modes, filters, files. Run it with
//! `cargo run --release --example 02_own_codec`. `cargo test --example 02_own_codec` runs the
//! conformance suites over it.

use ivf::error::{BindError, BuildError, DecodeError, TrainError};
use ivf::extend::*;
use ivf::prelude::*;
use ivf::{ListNo, MAX_DIM, ParallelMode, Param, Registry, Settings, Spec, TrainReport};
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// Everything that the library needs to know. In a registry, it makes `U4` a token like any other.
const ROW: CodecRow = CodecRow::new(
    "u4",
    "U4",
    |token, _| (token.plain()? == "U4").then(|| Ok(Arc::new(U4) as _)),
    |node, _| Ok(Arc::new(Uniform4::read(node)?)),
)
.about("4 bits a dimension: 16 uniform levels between the minimum and the maximum of the training vectors")
.samples(&["U4"]);

/// Schema of the codec's fields in a file.
const SCHEMA: &Schema = &[Field::new("metric", FieldType::Metric)];

/// Returns the parameter: name, range, default, description.
fn dims(dim: usize) -> Param {
    let range = ParamRange::Whole { least: 1, most: dim as u64 };
    Param::new(DIMS, range, dim.into(), "leading dimensions that a distance uses")
}

const DIMS: &str = "dims";

/// Returns the default registry with this codec added.
fn registry() -> Registry {
    ivf::default_registry().clone().with_codecs(&[ROW])
}

/// Number of quantisation levels of a dimension.
const LEVELS: usize = 16;

/// The specification that the token `U4` parses to.
#[derive(Clone, Copy, Debug)]
struct U4;

impl fmt::Display for U4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ROW.grammar)
    }
}

impl CodecSpec for U4 {
    fn check(&self, context: &CodecContext) -> Result<(), BuildError> {
        match context.metric {
            // Cosine never reaches a codec: the factory builds a normalising transform and an
            // inner-product index.
            Metric::L2 | Metric::InnerProduct => Ok(()),
            metric => Err(BuildError::Metric { kind: self.to_string(), metric }),
        }
    }

    /// Residuals from the centroids of lists have a smaller range than the vectors, so 16 levels
    /// are finer. The index decides: its knob `by_residual`, set before training, turns them off.
    fn residuals(&self) -> Residuals {
        Residuals::Optional { default: true }
    }

    fn training_points(&self, _options: &TrainOptions<'_>) -> usize {
        65_536
    }

    /// Training keeps only the minimum and the maximum of each dimension.
    fn training_memory(&self, context: &CodecContext, _points: usize, _options: &TrainOptions<'_>) -> usize {
        2 * context.dim * size_of::<f32>()
    }

    fn code_size(&self, context: &CodecContext) -> usize {
        context.dim.div_ceil(2)
    }

    fn params(&self, context: &CodecContext) -> Vec<Param> {
        vec![dims(context.dim)]
    }

    fn train(&self, input: &CodecTraining<'_>) -> Result<(Arc<dyn Codec>, TrainReport), TrainError> {
        input.options.check_cancel()?;
        let rows = input.rows;
        if rows.is_empty() {
            return Err(TrainError::TooFew { who: format!("the ranges of {self}"), needed: 1, found: 0 });
        }
        let (mut low, mut high) = (rows.row(0).to_vec(), rows.row(0).to_vec());
        for row in rows.iter() {
            low.iter_mut().zip(row).for_each(|(low, &x)| *low = low.min(x));
            high.iter_mut().zip(row).for_each(|(high, &x)| *high = high.max(x));
        }
        let mut report = TrainReport::default();
        report.points = rows.len();
        Ok((Arc::new(Uniform4::new(input.context.metric, low, high)), report))
    }
}

/// The trained codec: a range for each dimension, divided into 15 equal steps.
///
/// Two dimensions share a byte. If the number of dimensions is odd, the upper half of the last byte
/// is zero.
///
/// ```text
/// dimension   1   0     3   2     4
/// byte      | 7 | 15 | 0 | 12 | 0 | 3 |      code_size = 3 for 5 dimensions
/// ```
#[derive(Debug)]
struct Uniform4 {
    metric: Metric,
    low: Vec<f32>,
    high: Vec<f32>,
    /// The value of each of the 16 levels, for each dimension.
    values: Vec<[f32; LEVELS]>,
    layout: CodeLayout,
}

impl Uniform4 {
    /// Creates the codec from the range of each dimension.
    fn new(metric: Metric, low: Vec<f32>, high: Vec<f32>) -> Self {
        let value = |low: f32, high: f32, level: usize| {
            // In f64, since the width of a range may overflow f32.
            let (low, high) = (f64::from(low), f64::from(high));
            (low + (high - low) * level as f64 / (LEVELS - 1) as f64) as f32
        };
        let ranges = low.iter().zip(&high);
        let values = ranges.map(|(&low, &high)| std::array::from_fn(|level| value(low, high, level))).collect();
        let layout = CodeLayout::rows(low.len().div_ceil(2).max(1)).of_codec(ROW.tag);
        Self { metric, low, high, values, layout }
    }

    /// Reads the codec from an exported node. Any contents of the node give a valid codec or an
    /// error.
    fn read(node: &StoredNode) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        let fault = |what: String| DecodeError::value(&node.tag, what);
        let metric: Metric = node.fields(SCHEMA)?.get("metric")?;
        let (low, high) = (node.array::<f32>("low")?, node.array::<f32>("high")?);
        if low.len() != high.len() || !(1..=MAX_DIM).contains(&low.len()) {
            return Err(fault(format!("{} minima and {} maxima", low.len(), high.len())));
        }
        U4.check(&CodecContext::new(low.len(), metric)).map_err(|error| fault(error.to_string()))?;
        let is_range = |(low, high): (&f32, &f32)| low.is_finite() && high.is_finite() && low <= high;
        match low.iter().zip(high).position(|ends| !is_range(ends)) {
            Some(d) => Err(fault(format!("dimension {d} has the range {} to {}", low[d], high[d]))),
            None => Ok(Self::new(metric, low.to_vec(), high.to_vec())),
        }
    }

    /// Returns the level nearest to `x` in dimension `d`.
    fn level(&self, d: usize, x: f32) -> u8 {
        let (low, high) = (f64::from(self.low[d]), f64::from(self.high[d]));
        // The cast saturates: it maps values below the range to 0. It also maps NaN to 0, which a
        // range of zero width gives (0 / 0).
        let level = ((f64::from(x) - low) / (high - low) * (LEVELS - 1) as f64).round() as u8;
        level.min(LEVELS as u8 - 1)
    }
}

/// Returns the levels of a code, dimension by dimension.
fn levels(code: &[u8]) -> impl Iterator<Item = usize> {
    code.iter().flat_map(|byte| [byte & 15, byte >> 4]).map(usize::from)
}

impl Codec for Uniform4 {
    fn spec(&self) -> Arc<dyn CodecSpec> {
        Arc::new(U4)
    }

    fn tag(&self) -> &str {
        ROW.tag
    }

    fn dim(&self) -> usize {
        self.values.len()
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn layout(&self) -> &CodeLayout {
        &self.layout
    }

    fn encode(&self, rows: Rows<'_, f32>, codes: &mut [u8]) {
        let code_size = self.layout.code_size();
        assert_eq!((rows.dim(), codes.len()), (self.dim(), rows.len() * code_size), "one code for each vector");
        for (row, code) in rows.iter().zip(codes.chunks_exact_mut(code_size)) {
            for (i, (pair, byte)) in row.chunks(2).zip(code).enumerate() {
                *byte = self.level(2 * i, pair[0]);
                if let Some(&second) = pair.get(1) {
                    *byte |= self.level(2 * i + 1, second) << 4;
                }
            }
        }
    }

    fn decode(&self, code: &[u8], vector: &mut [f32]) {
        assert_eq!((code.len(), vector.len()), (self.layout.code_size(), self.dim()), "a code and a vector");
        for ((x, values), level) in vector.iter_mut().zip(&self.values).zip(levels(code)) {
            *x = values[level];
        }
    }

    fn memory(&self) -> usize {
        size_of_val(&self.values[..]) + size_of_val(&self.low[..]) + size_of_val(&self.high[..])
    }

    fn export(&self) -> Node<'_> {
        let mut node = Node::new(ROW.tag, 0).with("metric", self.metric);
        node.push(NamedArray::borrowed("low", &[self.low.len() as u64], &self.low));
        node.push(NamedArray::borrowed("high", &[self.high.len() as u64], &self.high));
        node
    }

    fn bind(self: Arc<Self>, to: &Binding<'_>) -> Result<Arc<dyn BoundCodec>, BindError> {
        Ok(Arc::new(BoundUniform4 { codec: self, centroids: to.centroids.clone(), by_residual: to.by_residual }))
    }
}

/// The codec in an index. The provided methods of the trait compute and add residuals.
#[derive(Debug)]
struct BoundUniform4 {
    codec: Arc<Uniform4>,
    centroids: Arc<dyn Centroids>,
    by_residual: bool,
}

impl BoundCodec for BoundUniform4 {
    fn codec(&self) -> &dyn Codec {
        &*self.codec
    }

    fn centroids(&self) -> &dyn Centroids {
        &*self.centroids
    }

    fn by_residual(&self) -> bool {
        self.by_residual
    }

    /// `settings` has a value in range for each declared parameter: that of the call, else that of
    /// the knob, else the default.
    fn scanner(&self, settings: &Settings) -> Box<dyn InvertedListScanner + '_> {
        let dim = self.codec.dim();
        let dims = settings.whole(DIMS).map_or(dim, |dims| dims as usize);
        Box::new(Uniform4Scanner {
            bound: self,
            query: vec![0.0; dim],
            centroid: vec![0.0; dim],
            start: 0.0,
            terms: vec![[0.0; LEVELS]; dims.min(dim)],
        })
    }
}

/// Computes distances from one query to the codes of one list: sums of one table entry for each
/// dimension.
struct Uniform4Scanner<'a> {
    bound: &'a BoundUniform4,
    query: Vec<f32>,
    centroid: Vec<f32>,
    /// The part of the distance that is the same for all codes of the list.
    start: f32,
    /// For each dimension that is used, the contribution of each level to the distance.
    terms: Vec<[f32; LEVELS]>,
}

impl InvertedListScanner for Uniform4Scanner<'_> {
    fn set_query(&mut self, query: &[f32]) {
        self.query.copy_from_slice(query);
    }

    /// Fills the table. With `q` the query, `c` the centroid and `r` the residual that a code
    /// decodes to, the vector is `c + r`:
    ///
    /// * L2: `|q - (c + r)|^2` is the sum over the dimensions of `((q - c) - r)^2`.
    /// * Inner product: `-q (c + r)` is the coarse distance `-q c` plus the sum of `-q r`. It is
    ///   negated, so that smaller is closer.
    ///
    /// Without residuals, the code decodes to the vector itself, and `c` is zero.
    fn set_list(&mut self, list: ListNo, coarse_distance: f32) {
        let Uniform4 { metric, values, .. } = &*self.bound.codec;
        let is_l2 = *metric == Metric::L2;
        self.start = 0.0;
        if self.bound.by_residual {
            self.bound.centroids.centroid(list, &mut self.centroid);
            self.start = if is_l2 { 0.0 } else { coarse_distance };
        }
        let query = self.query.iter().zip(&self.centroid);
        for ((terms, values), (q, c)) in self.terms.iter_mut().zip(values).zip(query) {
            *terms = if is_l2 { values.map(|r| (q - c - r) * (q - c - r)) } else { values.map(|r| -q * r) };
        }
    }

    fn distance(&self, code: &[u8]) -> f32 {
        assert_eq!(code.len(), self.bound.codec.layout.code_size(), "a code of the codec's size");
        self.terms.iter().zip(levels(code)).fold(self.start, |sum, (terms, level)| sum + terms[level])
    }

    /// With all dimensions, the result is the distance to the decoded vector. With fewer, it is an
    /// estimate.
    fn exactness(&self) -> Exactness {
        if self.terms.len() == self.bound.codec.dim() { Exactness::Exact } else { Exactness::Estimate }
    }
}

const DIM: usize = 32;
const K: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let registry = registry();
    let data = clusters(5_000, 20);
    let vectors = Rows::new(&data, DIM)?;
    let queries = vectors.slice(0..100);

    let mut flat = ivf::build("Flat", DIM, Metric::L2)?;
    flat.add(vectors)?;
    let exact = flat.search(queries, K, &SearchParams::new())?.hits;

    // The token is valid wherever the grammar expects a codec.
    for factory in ["U4", "IVF16,U4", "IDMap,IVF16,U4", "IVF16,U4,RFlat"] {
        let mut index = Spec::parse(factory, &registry)?.build(DIM, Metric::L2)?;
        index.train(vectors)?;
        index.add(vectors)?;
        if factory.contains("IVF") {
            index.set_knob("nprobe", 16)?;
        }
        if factory.contains("RFlat") {
            index.set_knob("k_factor_rf", 4.0)?;
        }
        let found = index.search(queries, K, &SearchParams::new())?.hits;

        for mode in ParallelMode::ALL {
            let again = index.search(queries, K, &SearchParams::new().mode(mode))?.hits;
            assert_eq!(again, found, "{factory}, {mode:?}");
        }

        // Set the codec's parameter for one call, or as a knob, which a file keeps.
        assert!(index.takes().contains_own(DIMS));
        let half = index.search(queries, K, &SearchParams::new().set(DIMS, DIM / 2))?.hits;
        index.set_knob(DIMS, DIM / 2)?;
        assert_eq!(index.search(queries, K, &SearchParams::new())?.hits, half);

        let folder = tempfile::tempdir()?;
        let path = folder.path().join("u4.ivf");
        ivf::write_index(&index, &path)?;
        let loaded = ivf::read_index_with(&path, &registry)?;
        assert_eq!(loaded.knob(DIMS), Some((DIM / 2).into()));
        assert_eq!(loaded.search(queries, K, &SearchParams::new())?.hits, half);
        assert_eq!(loaded.search(queries, K, &SearchParams::new().set(DIMS, DIM))?.hits, found);

        let bytes = index.memory() / index.len();
        let (all, half) = (recall(&found, &exact), recall(&half, &exact));
        println!("{factory:15} {bytes:4} bytes a vector, recall@{K} {all:.3}, with half of the dimensions {half:.3}");
    }

    // For a value out of range, the error names the range.
    let mut index = Spec::parse("U4", &registry)?.build(DIM, Metric::L2)?;
    println!("\n{}", index.set_knob(DIMS, 0).expect_err("at least one dimension counts"));

    // For a mistyped token, the error lists `U4` among the valid tokens.
    println!("\n{}", Spec::parse("IVF16,U5", &registry).expect_err("no such token"));
    Ok(())
}

/// Returns the share of the exact results that were found.
fn recall(found: &Hits, exact: &Hits) -> f64 {
    let both = found.rows().zip(exact.rows());
    let hits: usize = both.map(|(found, exact)| exact.ids.iter().filter(|id| found.ids.contains(id)).count()).sum();
    hits as f64 / exact.total() as f64
}

/// Returns `n` vectors around `centres` points from a linear congruential generator, the same ones
/// on every run.
fn clusters(n: usize, centres: usize) -> Vec<f32> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    let middles: Vec<f32> = (0..centres * DIM).map(|_| 3.0 * next()).collect();
    middles.iter().cycle().take(n * DIM).map(|middle| middle + next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ivf_testkit::{codecs, data, indexes, scanners};

    const METRICS: [Metric; 2] = [Metric::L2, Metric::InnerProduct];

    #[test]
    fn it_runs() -> Result<(), Box<dyn Error>> {
        main()
    }

    #[test]
    fn the_codec_and_its_scanner_keep_their_contracts() {
        let spec: Arc<dyn CodecSpec> = Arc::new(U4);
        for metric in METRICS {
            for dim in [1, 7, 16] {
                codecs::check_codec(&spec, dim, metric, &|node| (ROW.read)(node, &Registry::new()));
                let codec = codecs::train(&spec, dim, metric);
                scanners::check_scanner(codec.clone());
                scanners::check_distances(codec);
            }
        }
    }

    #[test]
    fn indexes_of_it_keep_their_contracts() {
        let registry = registry();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("index.ivf");
        let queries = data::clusters(4, 30, 9, 8);
        for metric in METRICS {
            for factory in ["U4", "IVF16,U4", "IDMap,IVF16,U4", "IVF16,U4,RFlat"] {
                let mut index = filled(factory, metric, &registry);
                indexes::check_modes(&*index, queries.rows(), factory.contains("IVF").then_some(5));
                indexes::check_bad_input(&mut *index);
                indexes::check_reload(&*index, &|index| {
                    ivf::write_index(index, &path).expect("a folder to write to");
                    ivf::read_index_with(&path, &registry).expect("written just now")
                });
                indexes::check_damaged(&*index, &|node| registry.read_index(node));
            }
        }
    }

    fn filled(factory: &str, metric: Metric, registry: &Registry) -> Box<dyn Index> {
        let spec = Spec::parse(factory, registry).expect("a token of the registry");
        assert_eq!(spec.to_string(), factory);
        let mut index = spec.build(9, metric).expect("a metric it takes");
        index.train(data::clusters(1, 400, 9, 8).rows()).expect("enough vectors");
        index.add(data::clusters(2, 500, 9, 8).with_duplicates(3).rows()).expect("trained");
        index
    }

    #[test]
    fn fewer_dimensions_are_an_estimate_and_all_are_exact() {
        let codec = codecs::train(&(Arc::new(U4) as Arc<dyn CodecSpec>), 9, Metric::L2);
        let bound = codec.bind(&Binding::new(Arc::new(Origin { dim: 9 }))).expect("it binds to any centroids");
        let exactness = |dims: usize| bound.scanner(&[(DIMS, dims)].into()).exactness();
        assert_eq!((exactness(8), exactness(9)), (Exactness::Estimate, Exactness::Exact));
    }

    #[test]
    fn without_residuals_it_codes_vectors() {
        let mut index = Spec::parse("IVF16,U4", &registry()).expect("its token").build(9, Metric::L2).expect("L2");
        index.set_knob("by_residual", false).expect("not trained yet");
        index.train(data::clusters(1, 400, 9, 8).rows()).expect("enough vectors");
        assert!(index.as_ivf().is_some_and(|ivf| !ivf.by_residual()));
        assert!(index.set_knob("by_residual", true).is_err());
        let rows = data::clusters(2, 500, 9, 8);
        index.add(rows.rows()).expect("trained");
        indexes::check_modes(&*index, data::clusters(4, 30, 9, 8).rows(), Some(5));
    }

    #[test]
    fn a_value_decodes_to_the_nearest_level() {
        let codec = Uniform4::new(Metric::L2, vec![0.0, -3.0, 2.0], vec![15.0, 12.0, 2.0]);
        let (mut code, mut vector) = ([0; 2], [0.0; 3]);
        codec.encode(Rows::new(&[3.4, 20.0, 1.0], 3).expect("one row"), &mut code);
        codec.decode(&code, &mut vector);
        assert_eq!((code, vector), ([0xf3, 0], [3.0, 12.0, 2.0]));
    }

    #[test]
    fn other_metrics_are_refused() {
        for metric in [Metric::L1, Metric::Linf, Metric::Jaccard] {
            let refused = Spec::parse("IVF16,U4", &registry()).expect("its token").build(DIM, metric);
            let error = refused.expect_err("no scanner for it");
            assert!(matches!(error.why, BuildError::Metric { .. }), "{metric}: {error}");
        }
    }

    #[test]
    fn a_node_of_ranges_that_cannot_be_is_an_error() {
        let read = |metric, low: &[f32], high: &[f32]| {
            let codec = Uniform4::new(metric, low.to_vec(), high.to_vec());
            (ROW.read)(&codec.export().to_stored(), &Registry::new())
        };
        assert!(read(Metric::L2, &[0.0, -f32::MAX], &[0.0, f32::MAX]).is_ok());
        for (low, high) in [
            (&[0.0, 1.0][..], &[1.0, 0.0][..]),
            (&[0.0, f32::NAN], &[1.0, 1.0]),
            (&[0.0, 0.0], &[1.0, f32::INFINITY]),
            (&[], &[1.0]),
        ] {
            let codec = read(Metric::L2, low, high);
            assert!(matches!(codec, Err(DecodeError::Value { .. })), "{low:?} to {high:?}: {codec:?}");
        }
        assert!(read(Metric::L1, &[0.0], &[1.0]).is_err());
    }
}
