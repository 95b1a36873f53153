//! Your own codec around any other codec, defined outside the library: `Sign(<codec>)`, one sign
//! bit a dimension before the code.
//!
//! `Sign(PQ8)` stores the codes of `PQ8`, and in a separate plane whether each dimension of the
//! coded vector is negative:
//!
//! ```text
//! plane 0   | signs of slot 0 | signs of slot 1 | ...      ceil(dim / 8) bytes each
//! plane 1   | the first plane of the inner codec |         as the inner layout defines
//! ```
//!
//! The search parameter `max_sign_flips` skips codes with more signs that differ from the query's.
//! The scan reads only the signs of a skipped code. By default no code is skipped, and the results
//! are those of the inner codec.
//!
//! The token's argument is any codec of the registry, from the library or your own. Run it with
//! `cargo run --release --example 06_wrapping_codec`. `cargo test --example 06_wrapping_codec` runs
//! the conformance suites.

use ivf::error::{BindError, BuildError, DecodeError, TrainError};
use ivf::extend::*;
use ivf::prelude::*;
use ivf::{ListNo, Param, Registry, Settings, Sink, Spec, TrainReport};
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// The tag in files, the token, a parser and a reader. Both use the registry for the inner codec.
const ROW: CodecRow = CodecRow::new(
    "sign",
    "Sign(<codec>)",
    |token, registry| (token.name() == "Sign").then(|| Ok(Arc::new(Sign::parse(token, registry)?) as _)),
    |node, registry| Ok(Arc::new(SignCodec::read(node, registry)?)),
)
.about("another codec, with a plane of sign bits before its planes")
.samples(&["Sign(Flat)", "Sign(PQ8)"]);

/// Returns the default registry with this codec added.
fn registry() -> Registry {
    ivf::default_registry().clone().with_codecs(&[ROW])
}

/// Name of the search parameter.
const FLIPS: &str = "max_sign_flips";

/// Returns the number of bytes for the signs of a vector.
fn sign_bytes(dim: usize) -> usize {
    dim.div_ceil(8)
}

/// Writes the signs of a vector: bit `d % 8` of byte `d / 8` is the sign of dimension `d`.
fn write_signs(vector: impl Iterator<Item = f32>, signs: &mut [u8]) {
    signs.fill(0);
    for (d, x) in vector.enumerate() {
        signs[d / 8] |= u8::from(x < 0.0) << (d % 8);
    }
}

/// The specification that the token `Sign(<codec>)` parses to.
#[derive(Clone, Debug)]
struct Sign {
    inner: Arc<dyn CodecSpec>,
}

impl Sign {
    fn parse(token: &Token<'_>, registry: &Registry) -> Result<Self, TokenError> {
        let inner = token.codec_argument(registry)?;
        // Nested `Sign` codecs would declare two parameters of the same name.
        if inner.to_string().starts_with("Sign(") {
            return Err(TokenError::new(token.arguments_span(), "`Sign` cannot contain another `Sign`"));
        }
        Ok(Self { inner })
    }
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sign({})", self.inner)
    }
}

/// Forwards most methods to the inner codec.
impl CodecSpec for Sign {
    fn check(&self, context: &CodecContext) -> Result<(), BuildError> {
        self.inner.check(context)
    }

    fn residuals(&self) -> Residuals {
        self.inner.residuals()
    }

    fn training_points(&self, options: &TrainOptions<'_>) -> usize {
        self.inner.training_points(options)
    }

    fn learns_from_lists(&self) -> bool {
        self.inner.learns_from_lists()
    }

    fn training_memory(&self, context: &CodecContext, points: usize, options: &TrainOptions<'_>) -> usize {
        self.inner.training_memory(context, points, options)
    }

    fn code_size(&self, context: &CodecContext) -> usize {
        sign_bytes(context.dim) + self.inner.code_size(context)
    }

    /// Returns the inner codec's parameters and `max_sign_flips`.
    fn params(&self, context: &CodecContext) -> Vec<Param> {
        let range = ParamRange::Whole { least: 0, most: context.dim as u64 };
        let about = "maximum number of signs that differ from the query's; codes with more are skipped";
        let mut params = self.inner.params(context);
        params.push(Param::new(FLIPS, range, context.dim.into(), about));
        params
    }

    /// Trains the inner codec; signs need no training. (A codec whose inner codec codes other rows,
    /// for example rotated vectors, would train it on `input.rows(rotated)`.)
    fn train(&self, input: &CodecTraining<'_>) -> Result<(Arc<dyn Codec>, TrainReport), TrainError> {
        let (inner, report) = self.inner.train(input)?;
        let unsupported = |what| TrainError::Unsupported { kind: self.to_string(), what };
        Ok((Arc::new(SignCodec::new(inner).map_err(unsupported)?), report))
    }
}

/// The trained codec.
#[derive(Debug)]
struct SignCodec {
    inner: Arc<dyn Codec>,
    layout: CodeLayout,
}

impl SignCodec {
    /// Creates the codec around a trained one. If no plane is left for the signs, returns the
    /// reason.
    fn new(inner: Arc<dyn Codec>) -> Result<Self, String> {
        let (layout, signs) = (inner.layout().clone(), sign_bytes(inner.dim()));
        if layout.plane_count() == MAX_PLANES {
            return Err(format!("a codec that has {MAX_PLANES} planes already"));
        }
        let planes = (0..layout.plane_count()).map(|plane| layout.block_bytes(plane));
        let blocks: Vec<usize> = [layout.block_len() * signs].into_iter().chain(planes).collect();
        // The name includes the inner codec and layout, since codes of equal sizes may have
        // different meanings.
        let name = format!("signs+{}+{}", layout.codec(), layout.name());
        let (code_size, block_len) = (signs + layout.code_size(), layout.block_len());
        let packer = Arc::new(SignPacker { signs, inner: layout });
        Ok(Self { inner, layout: CodeLayout::custom(&name, code_size, block_len, &blocks, packer).of_codec(ROW.tag) })
    }

    fn read(node: &StoredNode, registry: &Registry) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        node.fields(&[])?;
        let inner = registry.read_codec(node.child("codec")?)?;
        Self::new(inner).map_err(|what| DecodeError::value(&node.tag, what))
    }
}

/// Splits a code between the plane of signs and the planes of the inner layout.
#[derive(Debug)]
struct SignPacker {
    signs: usize,
    inner: CodeLayout,
}

impl BlockPacker for SignPacker {
    fn put(&self, planes: &mut [&mut [u8]], slot: usize, code: &[u8]) {
        let (signs, code) = code.split_at(self.signs);
        planes[0][slot * self.signs..][..self.signs].copy_from_slice(signs);
        self.inner.put(&mut planes[1..], slot, code);
    }

    fn get(&self, planes: &[&[u8]], slot: usize, code: &mut [u8]) {
        let (signs, code) = code.split_at_mut(self.signs);
        signs.copy_from_slice(&planes[0][slot * self.signs..][..self.signs]);
        self.inner.get(&planes[1..], slot, code);
    }
}

impl Codec for SignCodec {
    fn spec(&self) -> Arc<dyn CodecSpec> {
        Arc::new(Sign { inner: self.inner.spec() })
    }

    fn tag(&self) -> &str {
        ROW.tag
    }

    fn dim(&self) -> usize {
        self.inner.dim()
    }

    fn metric(&self) -> Metric {
        self.inner.metric()
    }

    fn layout(&self) -> &CodeLayout {
        &self.layout
    }

    fn encode(&self, rows: Rows<'_, f32>, codes: &mut [u8]) {
        let (size, inner_size) = (self.layout.code_size(), self.inner.layout().code_size());
        assert_eq!(codes.len(), rows.len() * size, "one code for each vector");
        let mut inner = vec![0; rows.len() * inner_size];
        self.inner.encode(rows, &mut inner);
        let parts = rows.iter().zip(inner.chunks_exact(inner_size));
        for (code, (row, inner)) in codes.chunks_exact_mut(size).zip(parts) {
            let (signs, rest) = code.split_at_mut(size - inner_size);
            write_signs(row.iter().copied(), signs);
            rest.copy_from_slice(inner);
        }
    }

    fn decode(&self, code: &[u8], vector: &mut [f32]) {
        assert_eq!(code.len(), self.layout.code_size(), "a code of the codec's size");
        self.inner.decode(&code[sign_bytes(self.dim())..], vector);
    }

    fn memory(&self) -> usize {
        self.inner.memory()
    }

    fn export(&self) -> Node<'_> {
        let mut node = Node::new(ROW.tag, 0);
        node.push_child("codec", self.inner.export());
        node
    }

    fn bind(self: Arc<Self>, to: &Binding<'_>) -> Result<Arc<dyn BoundCodec>, BindError> {
        let inner = self.inner.clone().bind(to)?;
        Ok(Arc::new(BoundSign { codec: self, inner }))
    }
}

/// The codec in an index, with the inner codec bound to the same index.
#[derive(Debug)]
struct BoundSign {
    codec: Arc<SignCodec>,
    inner: Arc<dyn BoundCodec>,
}

impl BoundCodec for BoundSign {
    fn codec(&self) -> &dyn Codec {
        &*self.codec
    }

    fn centroids(&self) -> &dyn Centroids {
        self.inner.centroids()
    }

    fn by_residual(&self) -> bool {
        self.inner.by_residual()
    }

    fn memory(&self) -> usize {
        self.inner.memory()
    }

    /// Creates the scanner. The inner scanner finds its own parameters in the same settings.
    fn scanner(&self, settings: &Settings) -> Box<dyn InvertedListScanner + '_> {
        let dim = self.codec.dim();
        let most = settings.whole(FLIPS).and_then(|flips| u32::try_from(flips).ok());
        Box::new(SignScanner {
            bound: self,
            inner: self.inner.scanner(settings),
            most: most.filter(|&most| (most as usize) < dim),
            query: vec![0.0; dim],
            centroid: vec![0.0; dim],
            signs: vec![0; sign_bytes(dim)],
        })
    }
}

/// Scanner that compares signs first, and uses the inner scanner for codes that are not skipped.
struct SignScanner<'a> {
    bound: &'a BoundSign,
    inner: Box<dyn InvertedListScanner + 'a>,
    /// Maximum number of signs that may differ; `None` for no limit.
    most: Option<u32>,
    query: Vec<f32>,
    centroid: Vec<f32>,
    /// Signs of the query, or of its residual from the list's centroid.
    signs: Vec<u8>,
}

impl SignScanner<'_> {
    fn is_skipped(&self, signs: &[u8]) -> bool {
        let flips = || self.signs.iter().zip(signs).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>();
        self.most.is_some_and(|most| flips() > most)
    }
}

impl InvertedListScanner for SignScanner<'_> {
    fn set_query(&mut self, query: &[f32]) {
        self.inner.set_query(query);
        self.query.copy_from_slice(query);
    }

    fn set_probes(&mut self, probes: &[PlannedProbe]) {
        self.inner.set_probes(probes);
    }

    fn set_list(&mut self, list: ListNo, coarse_distance: f32) {
        self.inner.set_list(list, coarse_distance);
        if self.bound.by_residual() {
            self.bound.centroids().centroid(list, &mut self.centroid);
        }
        let seen = self.query.iter().zip(&self.centroid).map(|(q, c)| q - c);
        write_signs(seen, &mut self.signs);
    }

    /// Returns NaN, which is no hit, for a skipped code.
    fn distance(&self, code: &[u8]) -> f32 {
        assert_eq!(code.len(), self.bound.codec.layout.code_size(), "a code of the codec's size");
        let (signs, code) = code.split_at(self.signs.len());
        if self.is_skipped(signs) { f32::NAN } else { self.inner.distance(code) }
    }

    fn exactness(&self) -> Exactness {
        self.inner.exactness()
    }

    fn bound(&self, code: &[u8]) -> f32 {
        self.inner.bound(&code[self.signs.len()..])
    }

    /// Scans like the provided method, except that it does not read the codes of skipped entries.
    fn scan(&mut self, scan_range: &ScanRange<'_>, sink: &mut Sink) {
        let (signs, size) = (scan_range.segment().plane(0), self.signs.len());
        let mut code = vec![0; scan_range.layout().code_size()];
        for slot in scan_range.slots() {
            if !self.is_skipped(&signs[slot * size..][..size]) {
                scan_range.segment().code(scan_range.layout(), slot, &mut code);
                sink.push(scan_range.neighbor(slot, self.inner.distance(&code[size..])));
            }
        }
    }
}

const DIM: usize = 32;
const K: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let registry = registry();
    let data = clusters(4_000, 20);
    let vectors = Rows::new(&data, DIM)?;
    let queries = vectors.slice(0..50);

    for codec in ["Flat", "PQ8"] {
        let built = |factory: &str| -> Result<_, Box<dyn Error>> {
            let mut index = Spec::parse(factory, &registry)?.build(DIM, Metric::L2)?;
            index.train(vectors)?;
            index.add(vectors)?;
            index.set_knob("nprobe", 8)?;
            Ok(index)
        };
        let (plain, signed) = (built(&format!("IVF16,{codec}"))?, built(&format!("IVF16,Sign({codec})"))?);
        let expected = plain.search(queries, K, &SearchParams::new())?.hits;
        let found = signed.search(queries, K, &SearchParams::new())?.hits;
        assert_eq!(found, expected, "without a limit, the results are those of the inner codec");

        println!("{}", signed.spec());
        for most in [16, 12, 8] {
            let few = signed.search(queries, K, &SearchParams::new().set(FLIPS, most))?.hits;
            let kept = few.ids().iter().filter(|id| found.ids().contains(id)).count();
            println!("  at most {most:2} differing signs: {kept} of {} results", found.total());
        }

        let folder = tempfile::tempdir()?;
        let path = folder.path().join("sign.ivf");
        ivf::write_index(&signed, &path)?;
        let loaded = ivf::read_index_with(&path, &registry)?;
        assert_eq!(loaded.search(queries, K, &SearchParams::new())?.hits, found);
    }

    // An error inside the parentheses points to the exact position.
    println!("\n{}", Spec::parse("IVF16,Sign(PQ)", &registry).expect_err("no number of parts"));
    Ok(())
}

/// Returns `n` vectors around `centres` points from a linear congruential generator, the same ones
/// on every run.
fn clusters(n: usize, centres: usize) -> Vec<f32> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    let middles: Vec<f32> = (0..centres * DIM).map(|_| 2.0 * next()).collect();
    middles.iter().cycle().take(n * DIM).map(|middle| middle + next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ivf_testkit::{codecs, data, indexes, scanners};

    #[test]
    fn it_runs() -> Result<(), Box<dyn Error>> {
        main()
    }

    fn spec(token: &str) -> Arc<dyn CodecSpec> {
        registry().codec_spec("test", token).expect("a token of the registry")
    }

    #[test]
    fn the_codec_and_its_scanner_keep_their_contracts() {
        let registry = registry();
        for (token, dims) in [("Sign(Flat)", [1, 9, 16]), ("Sign(PQ2)", [2, 8, 16])] {
            for metric in [Metric::L2, Metric::InnerProduct] {
                for dim in dims {
                    codecs::check_codec(&spec(token), dim, metric, &|node| registry.read_codec(node));
                    let codec = codecs::train(&spec(token), dim, metric);
                    scanners::check_scanner(codec.clone());
                    scanners::check_distances(codec);
                }
            }
        }
    }

    fn filled(factory: &str, registry: &Registry) -> Box<dyn Index> {
        let spec = Spec::parse(factory, registry).expect("a token of the registry");
        assert_eq!(spec.to_string(), factory);
        let mut index = spec.build(8, Metric::L2).expect("a metric it takes");
        index.train(data::clusters(1, 400, 8, 8).rows()).expect("enough vectors");
        index.add(data::clusters(2, 500, 8, 8).with_duplicates(3).rows()).expect("trained");
        index
    }

    #[test]
    fn indexes_of_it_keep_their_contracts() {
        let registry = registry();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("index.ivf");
        let queries = data::clusters(4, 30, 8, 8);
        for factory in ["Sign(PQ2)", "IVF16,Sign(Flat)", "IDMap2,IVF16,Sign(PQ4),RFlat"] {
            let mut index = filled(factory, &registry);
            indexes::check_modes(&*index, queries.rows(), factory.contains("IVF").then_some(5));
            // Again with skipped codes: the parameter as a knob, which the file keeps.
            index.set_knob(FLIPS, 3).expect("a knob of it");
            indexes::check_modes(&*index, queries.rows(), factory.contains("IVF").then_some(5));
            indexes::check_bad_input(&mut *index);
            indexes::check_reload(&*index, &|index| {
                ivf::write_index(index, &path).expect("a folder to write to");
                ivf::read_index_with(&path, &registry).expect("written just now")
            });
            assert_eq!(ivf::read_index_with(&path, &registry).expect("there").knob(FLIPS), Some(3.into()));
            indexes::check_damaged(&*index, &|node| registry.read_index(node));
        }
    }

    #[test]
    fn a_skipped_code_is_no_hit_in_any_loop() {
        let index = filled("IVF4,Sign(Flat)", &registry());
        let vectors = data::clusters(2, 500, 8, 8).with_duplicates(3);
        let query = vectors.rows().slice(0..1);
        let params = SearchParams::new().nprobe(4).set(FLIPS, 0);
        let found = index.search(query, 500, &params).expect("a good search").hits;
        let alike = |row: &[f32]| row.iter().zip(query.as_slice()).all(|(x, q)| (*x < 0.0) == (*q < 0.0));
        assert_eq!(found.total(), vectors.rows().iter().filter(|row| alike(row)).count());
    }

    #[test]
    fn lists_of_another_inner_codec_are_refused() {
        let layout = |token| codecs::train(&spec(token), 8, Metric::L2).layout().clone();
        assert_ne!(layout("Sign(PQ2)"), layout("Sign(PQ4)"));
        assert!(layout("Sign(PQ2)").name().contains("pq"), "{}", layout("Sign(PQ2)"));
    }

    #[test]
    fn faults_are_shown_where_they_stand() {
        let span = |factory: &str| Spec::parse(factory, &registry()).expect_err("a faulty token").span;
        assert_eq!(span("IVF16,Sign(Falt)"), 11..15);
        assert_eq!(span("IVF16,Sign(Sign(Flat))"), 11..21);
        assert_eq!(span("IVF16,Sign"), 6..10);
    }
}
