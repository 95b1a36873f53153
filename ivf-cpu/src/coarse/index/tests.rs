//! Quantizers on a small index that rounds its vectors, or has a fault.

use super::*;
use crate::coarse::{QUANTIZERS, nearest_many};
use crate::kernels::PackedRows;
use ivf_core::ability::{Add, Reconstruct, Train};
use ivf_core::error::KnobError;
use ivf_core::executor::Inline;
use ivf_core::node::NamedArray;
use ivf_core::param::ParamRange;
use ivf_core::registry::IndexRow;
use ivf_core::sink::Neighbor;
use ivf_core::{AddReport, Cancel, KnobValue, Location, Part, SearchResult, Sink, SpecText, part, report::SearchStats};

const DIM: usize = 3;

/// Fault of the index.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// It finds nothing unless it may widen the search.
    FindsNothing,
    /// It returns each hit twice.
    Twice,
    /// It returns an id that it does not have.
    Stranger(i64),
    /// It returns no results for the last row.
    Short,
    /// It replaces a coordinate of the first vector by a NaN.
    NotFinite,
    /// It cannot reconstruct vectors.
    Forgetful,
    /// Its metric is not the one requested.
    OtherMetric,
    /// It needs more training vectors than there are lists.
    Greedy,
}

#[derive(Clone, Copy, Debug)]
struct ToySpec(Fault);

impl fmt::Display for ToySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Toy")
    }
}

impl IndexSpec for ToySpec {
    fn build(&self, dim: usize, metric: Metric) -> Result<Box<dyn Index>, BuildError> {
        if dim > 100 {
            return Err(BuildError::Dim { kind: "Toy".into(), dim, why: "at most 100".into() });
        }
        let metric = if self.0 == Fault::OtherMetric { Metric::L1 } else { metric };
        Ok(Box::new(Toy { dim, metric, rows: Vec::new(), trained: false, fault: self.0, nprobe: 3 }))
    }
}

/// An index that rounds vectors to whole numbers.
#[derive(Clone, Debug)]
struct Toy {
    dim: usize,
    metric: Metric,
    rows: Vec<f32>,
    trained: bool,
    fault: Fault,
    nprobe: i64,
}

const OWN: Param = Param::new("quantizer_depth", ParamRange::at_least(1), KnobValue::Int(5), "");

impl Index for Toy {
    fn dim(&self) -> usize {
        self.dim
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn len(&self) -> usize {
        self.rows.len() / self.dim
    }

    fn is_trained(&self) -> bool {
        self.trained
    }

    fn spec_text(&self) -> SpecText {
        SpecText::base("Toy")
    }

    fn search_rows(
        &self,
        queries: AnyRows<'_>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        params.only("a toy", &self.takes())?;
        let mut scratch = Vec::new();
        let queries = queries.to_f32(&mut scratch);
        let packed = PackedRows::new(Rows::new(&self.rows, self.dim).unwrap());
        // With `nprobe` 1 it finds one vector, with any other value it finds up to `k`.
        let k = if params.nprobe == Some(1) { 1 } else { k.min(packed.len()) };
        let (numbers, distances) = nearest_many(queries, &packed, self.metric, k, &Inline);
        let mut sinks = Vec::new();
        for (numbers, distances) in numbers.chunks(k).zip(distances.chunks(k)) {
            let mut sink = Sink::top_k(2 * k);
            for (&number, &distance) in numbers.iter().zip(distances) {
                let mut push = |id| sink.push(Neighbor { distance, id: Id(id), location: Location::new(0, 0) });
                match self.fault {
                    Fault::FindsNothing if params.ensure_k != Some(true) => {}
                    Fault::Stranger(id) => push(id),
                    Fault::Twice => (push(number.into()), push(number.into())).0,
                    _ => push(number.into()),
                }
            }
            sinks.push(sink);
        }
        if self.fault == Fault::Short {
            sinks.pop();
        }
        Ok(SearchResult::new(Hits::from_sinks(self.metric, sinks, false), SearchStats::default()))
    }

    fn takes(&self) -> Takes {
        let takes = Takes::of(&[SearchParam::Nprobe, SearchParam::Selector]).with_own([OWN.name]);
        if self.fault == Fault::FindsNothing { takes.with(SearchParam::EnsureK) } else { takes }
    }

    fn parts(&self) -> Vec<Part> {
        let nprobe = Param::new("nprobe", ParamRange::at_least(1), KnobValue::Int(1), "");
        let unknown = Param::new("direct_map", ParamRange::Bool, KnobValue::Bool(false), "");
        let depth = Param::new("depth", ParamRange::at_least(1), KnobValue::Int(5), "");
        vec![
            Part::new("", "toy").with_knobs(vec![Knob::new(nprobe.clone(), self.nprobe), Knob::new(unknown, false)]),
            Part::new("quantizer", "toys").with_knobs(vec![Knob::new(depth, 5), Knob::new(nprobe, 1)]),
        ]
    }

    fn set_knob_at(&mut self, _path: &str, name: &str, _value: KnobValue) -> Result<(), KnobError> {
        Err(part::unknown_knob(name, &self.parts()))
    }

    fn memory(&self) -> usize {
        self.rows.capacity() * 4
    }

    fn memory_with(&self, vectors: usize) -> usize {
        self.memory().max(vectors * self.dim * 4)
    }

    fn export(&self) -> Result<Node<'_>, StoreError> {
        let mut node = Node::new("toy", 0).with("metric", self.metric).with("nprobe", self.nprobe);
        node.push(NamedArray::borrowed("rows", &[self.rows.len() as u64], &self.rows));
        Ok(node)
    }

    fn clone_index(&self) -> Result<Box<dyn Index>, StoreError> {
        Ok(Box::new(self.clone()))
    }

    fn as_train(&mut self) -> Option<&mut dyn Train> {
        Some(self)
    }

    fn as_add(&mut self) -> Option<&mut dyn Add> {
        Some(self)
    }

    fn as_reconstruct(&self) -> Option<&dyn Reconstruct> {
        (self.fault != Fault::Forgetful).then_some(self as _)
    }
}

impl Train for Toy {
    fn train(&mut self, rows: AnyRows<'_>, _options: &TrainOptions<'_>) -> Result<TrainReport, TrainError> {
        if self.fault == Fault::Greedy {
            return Err(TrainError::TooFew { who: "the codes of Toy".to_owned(), needed: 256, found: rows.len() });
        }
        self.trained = true;
        Ok(TrainReport::default())
    }

    fn training_points(&mut self, _options: &TrainOptions<'_>) -> usize {
        0
    }

    fn training_memory(&mut self, _points: usize, _options: &TrainOptions<'_>) -> usize {
        1 << 30
    }
}

impl Add for Toy {
    fn add(&mut self, rows: AnyRows<'_>, _options: &AddOptions<'_>) -> Result<AddReport, AddError> {
        assert!(self.trained);
        let mut scratch = Vec::new();
        self.rows.extend(rows.to_f32(&mut scratch).as_slice().iter().map(|x| x.round()));
        if self.fault == Fault::NotFinite {
            self.rows[0] = f32::NAN;
        }
        Ok(AddReport::new(rows.len(), Vec::new()))
    }
}

impl Reconstruct for Toy {
    fn reconstruct(&self, id: Id, vector: &mut [f32]) -> Result<(), ReconstructError> {
        let row = usize::try_from(id.0).ok().and_then(|id| self.rows.chunks_exact(self.dim).nth(id));
        vector.copy_from_slice(row.ok_or(ReconstructError::NoSuchId(id))?);
        Ok(())
    }

    fn search_and_reconstruct(
        &self,
        _queries: AnyRows<'_>,
        _k: usize,
        _params: &SearchParams<'_>,
    ) -> Result<(SearchResult, Vec<f32>), SearchError> {
        Err((self as &dyn Index).unable("search and reconstruct").into())
    }
}

fn registry() -> Registry {
    const TOY: IndexRow = IndexRow::without_token("toy", |node, _| {
        const SCHEMA: &Schema = &[Field::new("metric", FieldType::Metric), Field::new("nprobe", FieldType::Int)];
        let (fields, rows) = (node.fields(SCHEMA)?, node.array::<f32>("rows")?.to_vec());
        let (metric, nprobe) = (fields.get("metric")?, fields.get("nprobe")?);
        Ok(Box::new(Toy { dim: DIM, metric, rows, trained: true, fault: Fault::None, nprobe }))
    });
    Registry::new().with_quantizers(QUANTIZERS).with_indexes(&[TOY]).with_index_parser(|text, registry| match text {
        "Toy" => Ok(Arc::new(ToySpec(Fault::None))),
        // Nested indexes, as far as this test needs them.
        _ => Token::new(text)?.index_argument(registry),
    })
}

fn points(n: usize) -> Vec<f32> {
    (0..n * DIM).map(|i| (i * 7919 % 1013) as f32 / 16.0 - 30.0).collect()
}

fn train_faulty(fault: Fault, nlist: usize, metric: Metric) -> Result<Arc<dyn Level1Quantizer>, TrainError> {
    let points = points(400);
    let rows = Rows::new(&points, DIM).unwrap();
    let spec = IndexQuantizerSpec::new(nlist, Arc::new(ToySpec(fault)));
    spec.train(rows.into(), metric, &TrainOptions::new()).map(|(quantizer, _)| quantizer)
}

fn trained(fault: Fault, metric: Metric) -> Arc<dyn Level1Quantizer> {
    train_faulty(fault, 10, metric).unwrap()
}

fn assign(quantizer: &dyn Level1Quantizer, nprobe: usize, params: &SearchParams<'_>) -> Result<Probes, SearchError> {
    let queries = points(300);
    quantizer.assign(Rows::new(&queries, DIM).unwrap(), nprobe, params)
}

/// Returns the probes of an exhaustive search of the centroids.
fn exhaustive(quantizer: &dyn Level1Quantizer, nprobe: usize) -> Probes {
    let mut rows = vec![0.0; quantizer.nlist() * DIM];
    quantizer.centroid_rows(ListNo(0), &mut rows);
    let rows = Rows::new(&rows, DIM).unwrap();
    let flat = super::super::FlatQuantizer::from_centroids(rows, quantizer.metric().unwrap()).unwrap();
    assign(&flat, nprobe, &SearchParams::new()).unwrap()
}

#[test]
fn distances_are_exact_to_the_centroids_that_the_index_gives_back() {
    for metric in [Metric::L2, Metric::InnerProduct, Metric::L1] {
        for fault in [Fault::None, Fault::Twice] {
            let quantizer = trained(fault, metric);
            for nprobe in [1, 4, 10, 25] {
                let probes = assign(&*quantizer, nprobe, &SearchParams::new()).unwrap();
                assert_eq!(probes, exhaustive(&*quantizer, nprobe), "{metric}, {nprobe}");
            }
            let mut centroid = [0.5; DIM];
            quantizer.centroid(ListNo(3), &mut centroid);
            assert!(centroid.iter().all(|x| x.fract() == 0.0), "{centroid:?}");
        }
    }
    let quantizer = trained(Fault::None, Metric::L2);
    assert_eq!((quantizer.promise(), quantizer.tag(), quantizer.nlist()), (Promise::NONE, "index", 10));
    assert!(quantizer.as_permute().is_none());
    assert!(quantizer.memory() >= 2 * 10 * DIM * 4);
}

#[test]
fn what_the_index_does_not_find_is_absent_and_stands_last() {
    let quantizer = trained(Fault::None, Metric::L2);
    let probes = assign(&*quantizer, 3, &SearchParams::new().nprobe(1)).unwrap();
    let nearest = exhaustive(&*quantizer, 1);
    for row in 0..probes.len() {
        let first = nearest.row(row).next().unwrap();
        assert!(probes.row(row).eq([first, (None, f32::INFINITY), (None, f32::INFINITY)]));
    }
    // An index that can widen its search does.
    let quantizer = trained(Fault::FindsNothing, Metric::L2);
    assert_eq!(assign(&*quantizer, 2, &SearchParams::new()).unwrap(), exhaustive(&*quantizer, 2));
}

#[test]
fn an_index_that_answers_nonsense_is_an_error() {
    let stranger = |id| {
        matches!(
            assign(&*trained(Fault::Stranger(id), Metric::L2), 2, &SearchParams::new()),
            Err(SearchError::Store(StoreError::Inconsistent(_)))
        )
    };
    assert!([-1, 10, i64::MAX, i64::MIN, 1 << 32].into_iter().all(stranger));
    let short = assign(&*trained(Fault::Short, Metric::L2), 2, &SearchParams::new());
    assert!(matches!(short, Err(SearchError::Store(StoreError::Inconsistent(_)))));
}

#[test]
fn parameters_are_those_of_the_index() {
    let quantizer = trained(Fault::None, Metric::L2);
    let untrained = IndexQuantizerSpec::new(10, Arc::new(ToySpec(Fault::None))).params(DIM, Metric::L2);
    for params in [quantizer.spec().params(DIM, Metric::L2), untrained] {
        let shown: Vec<String> = params.iter().map(|param| format!("{}={}", param.name, param.default)).collect();
        assert_eq!(shown, ["nprobe=3", "quantizer_depth=5"]);
    }
    let ask = |params: &SearchParams<'_>| assign(&*quantizer, 1, params);
    assert!(ask(&SearchParams::new().nprobe(2).set("quantizer_depth", 7)).is_ok());
    let selector = ivf_core::IdSelector::range(0..5);
    for params in
        [SearchParams::new().selector(&selector), SearchParams::new().max_codes(1), SearchParams::new().set("x", 1)]
    {
        assert!(matches!(ask(&params), Err(SearchError::UnsupportedParam { .. })), "{params:?}");
    }
    assert!(matches!(ask(&SearchParams::new().set("nprobe", "many")), Err(SearchError::InvalidParam { .. })));
    assert!(matches!(assign(&*quantizer, 0, &SearchParams::new()), Err(SearchError::InvalidParam { .. })));
    let other = Rows::new(&[1.0_f32], 1).unwrap();
    assert!(matches!(quantizer.assign(other, 1, &SearchParams::new()), Err(SearchError::Input(_))));
    let cancel = Cancel::new();
    cancel.cancel();
    assert!(matches!(ask(&SearchParams::new().cancel(&cancel)), Err(SearchError::Cancelled)));
}

#[test]
fn what_cannot_be_trained_says_why() {
    let check = |fault, dim, metric| IndexQuantizerSpec::new(4, Arc::new(ToySpec(fault))).check(dim, metric);
    assert_eq!(check(Fault::None, DIM, Metric::L2), Ok(()));
    assert!(matches!(check(Fault::None, 200, Metric::L2), Err(BuildError::Dim { kind, .. }) if kind == "Toy"));
    assert!(
        matches!(check(Fault::None, DIM, Metric::Cosine), Err(BuildError::Metric { kind, .. }) if kind == "IVF4(Toy)")
    );
    assert!(matches!(check(Fault::OtherMetric, DIM, Metric::L2), Err(BuildError::Metric { .. })));
    assert!(matches!(check(Fault::Forgetful, DIM, Metric::L2), Err(BuildError::Unable { .. })));
    let error = |fault| train_faulty(fault, 10, Metric::L2).unwrap_err().to_string();
    assert_eq!(
        error(Fault::Greedy),
        "IVF10(Toy) does not support 10 lists: in its index, the codes of Toy need at least 256 centroids"
    );
    assert_eq!(
        error(Fault::NotFinite),
        "IVF10(Toy) does not support these vectors: the centroid of list 0 holds a NaN or an infinity"
    );
    assert!(matches!(train_faulty(Fault::None, 500, Metric::L2), Err(TrainError::TooFew { .. })));
    let spec = IndexQuantizerSpec::new(4, Arc::new(ToySpec(Fault::None)));
    assert!(spec.training_memory(DIM, Metric::L2, 400, &TrainOptions::new()) > 1 << 30);
}

#[test]
fn a_quantizer_is_read_as_it_was_exported() {
    let registry = registry();
    let quantizer = trained(Fault::None, Metric::L2);
    let node = quantizer.export().unwrap();
    let read = registry.read_quantizer(&node.to_stored()).unwrap();
    assert!(read.export().unwrap().same(&node));
    assert_eq!(read.spec().to_string(), "IVF10(Toy)");
    let ask = |quantizer: &dyn Level1Quantizer| assign(quantizer, 3, &SearchParams::new()).unwrap();
    assert_eq!(ask(&*read), ask(&*quantizer));
    let refused = |change: fn(&mut Node<'_>)| {
        let mut node = quantizer.export().unwrap();
        change(&mut node);
        registry.read_quantizer(&node.to_stored()).unwrap_err().to_string()
    };
    assert_eq!(
        refused(|node| node.fields.set("nlist", 9_u64)),
        "index: 10 centroids for l2 in a quantizer of 9 for l2"
    );
    assert_eq!(
        refused(|node| node.fields.set("metric", Metric::L1)),
        "index: 10 centroids for l2 in a quantizer of 10 for l1"
    );
    assert!(refused(|node| node.fields.set("token", "\u{1b}(")).starts_with("index: the stored token '\\u{1b}('"));
    assert_eq!(refused(|node| node.children.clear()), "index has no child 'index'");
    let cosine = refused(|node| {
        node.fields.set("metric", Metric::Cosine);
        node.children[0].1.fields.set("metric", Metric::Cosine);
    });
    assert_eq!(cosine, "index: the index of centroids normalises vectors");
    let infinite =
        refused(|node| node.children[0].1.arrays[0] = NamedArray::owned("rows", &[30], vec![f32::INFINITY; 30]));
    assert_eq!(infinite, "index: the centroid of list 0 holds a NaN or an infinity");
}

#[test]
fn tokens_nest_within_limits() {
    let registry = registry();
    let parse = |text: &str| registry.parse_quantizer(&Token::new(text).unwrap());
    for text in ["IVF16(Toy)", "IVF2k(Toy)"] {
        let spec = parse(text).unwrap().unwrap();
        assert_eq!(parse(&spec.to_string()).unwrap().unwrap().to_string(), spec.to_string());
    }
    assert_eq!(parse("IVF2k(Toy)").unwrap().unwrap().nlist(), 2048);
    assert!(parse("HNSW(Toy)").is_none() && parse("IVF16_HNSW32(Toy)").is_none());
    let span = |text: &str| parse(text).unwrap().unwrap_err().span;
    assert_eq!((span("IVF0(Toy)"), span("IVF16x(Toy)")), (3..4, 5..6));
    assert_eq!(span("IVF4(Foo)"), 5..8);
    let nested = |depth: usize| format!("IVF4({}Toy{})", "(".repeat(depth), ")".repeat(depth));
    assert!(parse(&nested(3)).is_some());
    assert!(parse(&nested(4)).unwrap().unwrap_err().what.contains("more than 4 nested parentheses"));
}
