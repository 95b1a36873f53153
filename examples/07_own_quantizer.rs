//! Your own coarse quantizer, defined outside the library: `Cells<n>(<index>)`, whose centroids any
//! index can search.
//!
//! Its centroids are training vectors, without k-means. The index in the parentheses searches them:
//! `Cells64(Flat)` compares a query with all centroids, `Cells64(IVF8,Flat)` with some,
//! `Cells256(PQ8)` with their codes. The results of that index are candidates. The quantizer
//! computes their exact distances and ranks the lists by these.
//!
//! | trait | here |
//! |---|---|
//! | `QuantizerSpec` | `Cells`: the parsed token; checks, memory, parameters, training |
//! | `Centroids` | `CellQuantizer`: the centroids of the lists |
//! | `Level1Quantizer` | `CellQuantizer`: the lists near each vector, and their guarantees ([`Promise`]) |
//!
//! (The library has such a quantizer, with k-means, in `ivf::cpu::coarse`.) Run it with
//! `cargo run --release --example 07_own_quantizer`. `cargo test --example 07_own_quantizer` runs
//! the conformance suites.

use ivf::error::{AddError, BuildError, DecodeError, InputError, SearchError, StoreError, TrainError};
use ivf::extend::*;
use ivf::prelude::*;
use ivf::{AnyRows, ListNo, Param, Probes, Registry, Spec, Takes, TrainReport};
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// The tag in files, the token, a parser and a reader. Both use the registry for the inner index.
const ROW: QuantizerRow = QuantizerRow::new(
    "cells",
    "Cells<n>(<index>)",
    |token, registry| {
        Some(Cells::parse(token, token.name().strip_prefix("Cells")?, registry).map(|cells| Arc::new(cells) as _))
    },
    |node, registry| Ok(Arc::new(CellQuantizer::read(node, registry)?)),
)
.about("n lists around training vectors, found by an index of these")
.samples(&["Cells16(Flat)"]);

/// Returns the default registry with this quantizer added.
fn registry() -> Registry {
    ivf::default_registry().clone().with_quantizers(&[ROW])
}

/// Schema of the fields in a file.
const SCHEMA: &Schema = &[Field::new("dim", FieldType::UInt), Field::new("metric", FieldType::Metric)];

/// Number of candidates for each list to return. It is a parameter of a search (`quantizer_widen`)
/// and a knob of the index.
const WIDEN: Param = Param::new(
    "widen",
    ParamRange::Whole { least: 1, most: 1 << 16 },
    KnobValue::Int(4),
    "candidate centroids for each list to return",
);

/// The specification that the token `Cells<n>(<index>)` parses to.
#[derive(Clone, Debug)]
struct Cells {
    nlist: usize,
    index: Arc<dyn IndexSpec>,
}

impl Cells {
    fn parse(token: &Token<'_>, number: &str, registry: &Registry) -> Result<Self, TokenError> {
        let fault = || TokenError::new(5..5 + number.len(), "a number of lists from 1 to 4294967295");
        let nlist: u32 = number.parse().ok().filter(|nlist| *nlist > 0).ok_or_else(fault)?;
        Ok(Self { nlist: nlist as usize, index: token.index_argument(registry)? })
    }

    /// Builds the index that searches the centroids, empty.
    fn empty(&self, dim: usize, metric: Metric) -> Result<Box<dyn Index>, BuildError> {
        self.index.build(dim, metric)
    }
}

impl fmt::Display for Cells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cells{}({})", self.nlist, self.index)
    }
}

impl QuantizerSpec for Cells {
    fn nlist(&self) -> usize {
        self.nlist
    }

    fn check(&self, dim: usize, metric: Metric) -> Result<(), BuildError> {
        if !matches!(metric, Metric::L2 | Metric::InnerProduct) {
            return Err(BuildError::Metric { kind: self.to_string(), metric });
        }
        let mut index = self.empty(dim, metric)?;
        match index.as_add().is_some() {
            true => Ok(()),
            false => Err(BuildError::Unable { wrapper: self.to_string(), unable: index.unable("add") }),
        }
    }

    /// Returns the number of centroids. If given more training vectors, the index samples this many
    /// at random, and they become the centroids.
    fn training_points(&self, _options: &TrainOptions<'_>) -> usize {
        self.nlist
    }

    fn training_memory(&self, dim: usize, metric: Metric, points: usize, options: &TrainOptions<'_>) -> usize {
        let rows = self.nlist.saturating_mul(dim * size_of::<f32>());
        let Ok(mut index) = self.empty(dim, metric) else { return rows };
        let inside = index.as_train().map_or(0, |train| train.training_memory(points.min(self.nlist), options));
        rows.saturating_add(inside).saturating_add(index.memory_with(self.nlist))
    }

    fn params(&self, _dim: usize, _metric: Metric) -> Vec<Param> {
        vec![WIDEN]
    }

    fn train(
        &self,
        rows: AnyRows<'_>,
        metric: Metric,
        options: &TrainOptions<'_>,
    ) -> Result<(Arc<dyn Level1Quantizer>, TrainReport), TrainError> {
        options.check_cancel()?;
        if rows.len() < self.nlist {
            let who = format!("the {} centroids of {self}", self.nlist);
            return Err(TrainError::TooFew { who, needed: self.nlist, found: rows.len() });
        }
        let (dim, mut scratch) = (rows.dim(), Vec::new());
        let centroids = rows.slice(0..self.nlist).to_f32(&mut scratch);
        let unsupported = |what: String| TrainError::Unsupported { kind: self.to_string(), what };
        let mut index = self.empty(dim, metric).map_err(|error| unsupported(error.to_string()))?;
        let mut report = index.train_with(centroids, options)?;
        let mut add = AddOptions::new();
        (add.executor, add.cancel) = (options.executor, options.cancel);
        index.add_with(centroids, &add).map_err(|error| match error {
            AddError::Cancelled => TrainError::Cancelled,
            other => unsupported(other.to_string()),
        })?;
        report.points = self.nlist;
        let centroids = centroids.as_slice().to_vec();
        Ok((Arc::new(CellQuantizer { metric, centroids, index, spec: self.clone() }), report))
    }
}

/// The trained quantizer: the centroids, and an index that holds centroid `i` under id `i`.
#[derive(Debug)]
struct CellQuantizer {
    metric: Metric,
    centroids: Vec<f32>,
    index: Box<dyn Index>,
    spec: Cells,
}

impl CellQuantizer {
    /// Reads the quantizer from an exported node. Any contents of the node give a valid quantizer
    /// or an error.
    fn read(node: &StoredNode, registry: &Registry) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        let fault = |what: &str| DecodeError::value(&node.tag, what);
        let fields = node.fields(SCHEMA)?;
        let (dim, metric): (usize, Metric) = (fields.dim("dim")?, fields.get("metric")?);
        let centroids = node.array::<f32>("centroids")?.to_vec();
        let index = registry.read_index(node.child("index")?)?;
        let nlist = centroids.len() / dim;
        if nlist == 0 || nlist > u32::MAX as usize || nlist * dim != centroids.len() {
            return Err(fault("the centroids are not whole rows"));
        }
        if !centroids.iter().all(|x| x.is_finite()) {
            return Err(fault("a centroid has a NaN or an infinity"));
        }
        if (index.dim(), index.metric(), index.len(), index.is_trained()) != (dim, metric, nlist, true) {
            return Err(fault("the inner index does not fit the centroids"));
        }
        let spec = registry.parse_index(&index.spec()).map_err(|error| fault(&error.what))?;
        let spec = Cells { nlist, index: spec };
        spec.check(dim, metric).map_err(|error| fault(&error.to_string()))?;
        Ok(Self { metric, centroids, index, spec })
    }

    fn row(&self, list: usize) -> &[f32] {
        let dim = self.index.dim();
        &self.centroids[list * dim..][..dim]
    }

    /// Returns the distance from a query to a centroid; smaller is closer. Each dimension, in
    /// order, is one fused multiply-add.
    fn distance(&self, query: &[f32], list: usize) -> f32 {
        let pairs = query.iter().zip(self.row(list));
        match self.metric {
            Metric::L2 => pairs.fold(0.0, |sum, (q, c)| (q - c).mul_add(q - c, sum)),
            _ => 0.0 - pairs.fold(0.0, |sum, (q, c)| q.mul_add(*c, sum)),
        }
    }
}

impl Centroids for CellQuantizer {
    fn dim(&self) -> usize {
        self.index.dim()
    }

    fn nlist(&self) -> usize {
        self.spec.nlist
    }

    fn centroid(&self, list: ListNo, out: &mut [f32]) {
        out.copy_from_slice(self.row(list.index()));
    }
}

impl Level1Quantizer for CellQuantizer {
    fn tag(&self) -> &str {
        ROW.tag
    }

    fn assign(&self, rows: Rows<'_, f32>, nprobe: usize, params: &SearchParams<'_>) -> Result<Probes, SearchError> {
        params.only("a quantizer of cells", &Takes::default().with_own([WIDEN.name]))?;
        params.check_cancel()?;
        if rows.dim() != self.dim() {
            return Err(InputError::Dim { expected: self.dim(), found: rows.dim() }.into());
        }
        if nprobe == 0 {
            return Err(SearchError::invalid("nprobe", "at least 1", 0));
        }
        let nprobe = nprobe.min(self.nlist());
        let settings = params.resolved(&[WIDEN], &Default::default())?;
        let widen = settings.whole(&WIDEN.name).unwrap_or(1);
        let wanted = (nprobe as u64).saturating_mul(widen).min(self.nlist() as u64) as usize;
        // If the inner index is an inverted file, it probes more lists until it has enough results.
        // An index without this parameter returns enough results anyway.
        let mut inner = SearchParams::new().ensure_k(true);
        (inner.executor, inner.cancel) = (params.executor, params.cancel);
        inner.retain(&self.index.takes());
        let found = self.index.search_rows(rows.into(), wanted, &inner)?;

        let (mut lists, mut distances) = (Vec::new(), Vec::new());
        for (query, row) in rows.iter().zip(&found) {
            // From a damaged file, ids may be out of range or occur twice.
            let named = row.ids.iter().filter_map(|id| usize::try_from(id.0).ok()).filter(|list| *list < self.nlist());
            let mut near: Vec<(f32, usize)> = named.map(|list| (self.distance(query, list), list)).collect();
            near.retain(|(distance, _)| !distance.is_nan());
            near.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            near.dedup();
            near.truncate(nprobe);
            let absent = nprobe - near.len();
            lists.extend(near.iter().map(|near| Some(ListNo(near.1 as u32))).chain((0..absent).map(|_| None)));
            distances.extend(near.iter().map(|near| near.0).chain((0..absent).map(|_| f32::INFINITY)));
        }
        Probes::new(nprobe, lists, distances)
    }

    /// Promises nothing: the lists are not always the nearest, and the lists for more probes need
    /// not begin with the lists for fewer.
    fn promise(&self) -> Promise {
        Promise::NONE
    }

    fn spec(&self) -> Arc<dyn QuantizerSpec> {
        Arc::new(self.spec.clone())
    }

    fn metric(&self) -> Option<Metric> {
        Some(self.metric)
    }

    // No `as_permute`: the numbers of the lists are ids in the inner index, and cannot change.

    fn memory(&self) -> usize {
        self.centroids.capacity() * size_of::<f32>() + self.index.memory()
    }

    fn export(&self) -> Result<Node<'_>, StoreError> {
        let mut node = Node::new(ROW.tag, 0).with("dim", self.dim()).with("metric", self.metric);
        node.push(NamedArray::borrowed("centroids", &[self.nlist() as u64, self.dim() as u64], &self.centroids));
        node.push_child("index", self.index.export()?);
        Ok(node)
    }
}

const DIM: usize = 16;
const K: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let registry = registry();
    let data = random(8_000 * DIM);
    let vectors = Rows::new(&data, DIM)?;
    let queries = vectors.slice(0..50);
    let folder = tempfile::tempdir()?;

    for factory in ["Cells64(Flat),Flat", "Cells64(IVF8,Flat),Flat", "Cells256(PQ4),PQ8"] {
        let mut index = Spec::parse(factory, &registry)?.build(DIM, Metric::L2)?;
        index.train(vectors)?;
        index.add(vectors)?;
        index.set_knob("nprobe", 8)?;
        let found = index.search(queries, K, &SearchParams::new())?.hits;

        // Set the quantizer's parameter for one call, or as a knob of its part, which a file keeps.
        let wide = index.search(queries, K, &SearchParams::new().set("quantizer_widen", 64))?.hits;
        index.set_knob_at("quantizer", "widen", 64.into())?;
        let path = folder.path().join("cells.ivf");
        ivf::write_index(&index, &path)?;
        let loaded = ivf::read_index_with(&path, &registry)?;
        assert_eq!(loaded.search(queries, K, &SearchParams::new())?.hits, wide);
        let same = found.ids().iter().zip(wide.ids()).filter(|(a, b)| a == b).count();
        println!("{}: {same} of {} results equal with 4 candidates a list and with all", loaded.spec(), found.total());
    }

    // An operation that the quantizer does not support returns a typed error.
    let mut index = Spec::parse("Cells16(Flat),Flat", &registry)?.build(DIM, Metric::L2)?;
    index.train(vectors)?;
    let refused = index.find_ivf_mut().ok_or("not an inverted file")?.sort_lists_by_size();
    println!("\nsorting lists by size: {}", refused.expect_err("the lists keep their numbers"));
    Ok(())
}

/// Returns numbers between 0 and 1 from a linear congruential generator, the same ones on every
/// run.
fn random(n: usize) -> Vec<f32> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    (0..n).map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ivf_testkit::{data, indexes, quantizers};

    #[test]
    fn it_runs() -> Result<(), Box<dyn Error>> {
        main()
    }

    #[test]
    fn the_quantizer_keeps_its_contract() {
        let registry = registry();
        for token in ["Cells20(Flat)", "Cells40(IVF4,Flat)", "Cells1(Flat)"] {
            let spec = registry.quantizer_spec("test", token).expect("a token of the registry");
            assert_eq!(spec.to_string(), token);
            for metric in [Metric::L2, Metric::InnerProduct] {
                quantizers::check_quantizer(&spec, 6, metric, &|node| registry.read_quantizer(node));
            }
        }
    }

    #[test]
    fn indexes_of_it_keep_their_contracts() {
        let registry = registry();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("index.ivf");
        for factory in ["Cells20(Flat),Flat", "IDMap2,Cells20(IVF4,Flat),PQ2"] {
            let mut index = Spec::parse(factory, &registry).expect("its token").build(8, Metric::L2).expect("L2");
            index.train(data::clusters(1, 400, 8, 8).rows()).expect("enough vectors");
            index.add(data::clusters(2, 500, 8, 8).with_duplicates(3).rows()).expect("trained");
            assert_eq!(index.spec(), factory);
            assert!(index.takes().contains_own("quantizer_widen"));
            indexes::check_modes(&*index, data::clusters(4, 30, 8, 8).rows(), Some(5));
            indexes::check_bad_input(&mut *index);
            indexes::check_reload(&*index, &|index| {
                ivf::write_index(index, &path).expect("a folder to write to");
                ivf::read_index_with(&path, &registry).expect("written just now")
            });
            indexes::check_damaged(&*index, &|node| registry.read_index(node));
        }
    }

    #[test]
    fn faults_are_shown_where_they_stand() {
        let span = |factory: &str| Spec::parse(factory, &registry()).expect_err("a faulty token").span;
        assert_eq!(span("Cells0(Flat),Flat"), 5..6);
        assert_eq!(span("Cells16(IVF4,Falt),Flat"), 13..17);
        assert_eq!(span("Cells16,Flat"), 0..7);
        let refused = Spec::parse("Cells16(PQ3),Flat", &registry()).expect("good tokens").build(8, Metric::L2);
        assert_eq!(refused.expect_err("3 parts of 8 dimensions").span, 8..11);
    }
}
