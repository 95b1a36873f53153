//! Generated histories of every operation on an index, compared with a naive model: every codec,
//! with every kind of lists and behind wrappers.
//!
//! `IVF_HISTORIES=200000 cargo test --release --test surface` runs this number of histories, for
//! example over night. By default there are few enough to check every change. Seeds are fixed, and
//! a long run begins with the seeds of a short one.

use ivf::cpu::coarse::FlatQuantizerSpec;
use ivf::cpu::{CodesIndex, DedupIndex, IvfIndex};
use ivf::executor::map;
use ivf::extend::{CodecSpec, StoredNode};
use ivf::lists::{ArrayLists, StoreSpec};
use ivf::{Index, Metric, Registry, default_registry};
use ivf_testkit::executor::Threads;
use ivf_testkit::indexes::MakeIndex;
use ivf_testkit::indexes::surface::{Subject, Tally, check_surface, surface_kinds};
use ivf_testkit::{at_rest, data, segments};
use std::sync::Arc;

/// A dimension that every sample supports.
const DIM: usize = 16;
/// Default number of histories, of all subjects together.
const HISTORIES: u64 = 2400;

/// A trained index, in exported form.
struct Learnt {
    name: String,
    node: StoredNode,
    is_exact: bool,
    keeps_ids: bool,
    rest: fn(&StoredNode) -> StoredNode,
    vectors: fn(u64, usize, usize) -> data::Vectors,
}

fn registry() -> Registry {
    default_registry().clone().with_stores(&[segments::ROW])
}

/// Generates vectors of few values, so that many distances tie.
fn tied(seed: u64, n: usize, dim: usize) -> data::Vectors {
    data::small_integers(seed, n, dim, 4)
}

/// A placement of the bytes of a node, with its name.
type Rest = (&'static str, fn(&StoredNode) -> StoredNode);

const RESTS: [Rest; 3] = [("in memory", StoredNode::clone), ("opened", at_rest::opened), ("mapped", at_rest::mapped)];

impl Learnt {
    fn new(name: String, index: &dyn Index, is_exact: bool) -> Self {
        let node = index.export().unwrap_or_else(|error| panic!("{name}: {error}")).to_stored();
        Self { name, node, is_exact, keeps_ids: true, rest: StoredNode::clone, vectors: tied }
    }

    fn check(&self, registry: &Registry, seeds: std::ops::Range<u64>) -> Tally {
        let read = |node: &StoredNode| registry.read_index(node);
        let make = || read(&(self.rest)(&self.node)).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let make: MakeIndex<'_> = &make;
        let codec = find(&self.node, "codec").expect("it has learnt a codec");
        // The single-list quantizer of a standalone index is an internal detail.
        let quantizer = find(&self.node, "quantizer").filter(|_| make().find_ivf().is_some());
        let subject = Subject {
            name: self.name.clone(),
            make,
            read: &read,
            rest: self.rest,
            codec: registry.read_codec(codec).expect("just exported"),
            quantizer: quantizer.map(|node| registry.read_quantizer(node).expect("just exported")),
            is_exact: self.is_exact,
            keeps_ids: self.keeps_ids,
            vectors: self.vectors,
        };
        check_surface(&subject, seeds)
    }
}

/// Trains the index unless it is trained.
fn learn(name: &str, mut index: Box<dyn Index>) -> Box<dyn Index> {
    if !index.is_trained() {
        let training = tied(1, 400, DIM);
        index.train(training.rows()).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    index
}

/// Returns the first child of this name, at any depth.
fn find<'n>(node: &'n StoredNode, name: &str) -> Option<&'n StoredNode> {
    let own = node.children.iter().find(|(known, _)| known == name).map(|(_, node)| node);
    own.or_else(|| node.children.iter().find_map(|(_, child)| find(child, name)))
}

/// Returns every codec alone, in few lists and in more, in every store and placement, with every
/// direct map.
fn bare() -> Vec<Learnt> {
    let mut all = Vec::new();
    for row in default_registry().codecs() {
        for token in row.samples {
            let token = ivf::registry::Token::new(token).expect("a token");
            let codec = default_registry().parse_codec(&token).expect("its own token").expect("a good token");
            let token = token.text();
            for metric in [Metric::L2, Metric::InnerProduct] {
                let alone = CodesIndex::new(DIM, metric, codec.clone()).expect("a metric that all take");
                all.extend(with_maps(format!("{token}, {metric}"), Box::new(alone), &RESTS));
                for nlist in [3, 12] {
                    let name = format!("IVF{nlist},{token}, {metric}");
                    all.extend(with_maps(name.clone(), ivf_of(nlist, metric, &codec, ArrayLists::ROW), &RESTS));
                    let lists = ivf_of(nlist, metric, &codec, segments::ROW);
                    all.extend(with_maps(format!("{name}, segments"), lists, &RESTS[..1]));
                }
            }
        }
    }
    all
}

fn ivf_of(nlist: usize, metric: Metric, codec: &Arc<dyn CodecSpec>, store: impl StoreSpec + 'static) -> Box<dyn Index> {
    let quantizer = Arc::new(FlatQuantizerSpec { nlist });
    let index = IvfIndex::new(DIM, metric, quantizer, codec.clone()).expect("a metric that all take");
    Box::new(index.with_store(Arc::new(store)))
}

/// Returns an index that stores equal vectors once, in few lists and in more, in every store and
/// placement. The vectors have few values, so many are equal.
fn deduplicated() -> Vec<Learnt> {
    let mut all = Vec::new();
    for metric in [Metric::L2, Metric::InnerProduct] {
        for nlist in [3, 12] {
            let made = || DedupIndex::new(DIM, metric, Arc::new(FlatQuantizerSpec { nlist })).expect("a good metric");
            let name = format!("IVF{nlist},FlatDedup, {metric}");
            let index = learn(&name, Box::new(made()));
            for (place, rest) in RESTS {
                let learnt = Learnt::new(format!("{name}, {place}"), &*index, true);
                all.push(Learnt { rest, vectors: repeated, ..learnt });
            }
            let index = learn(&name, Box::new(made().with_store(Arc::new(segments::ROW))));
            all.push(Learnt { vectors: repeated, ..Learnt::new(format!("{name}, segments"), &*index, true) });
        }
    }
    all
}

/// Generates vectors of which most are equal to others, also of other calls.
fn repeated(seed: u64, n: usize, dim: usize) -> data::Vectors {
    let different = data::small_integers(7, 12, dim, 4);
    let mut some = data::small_integers(seed, n, dim, 4);
    for (row, vector) in some.data.chunks_exact_mut(dim).enumerate() {
        let number = (seed as usize % 1009 + row * row) % 16;
        if number < 12 {
            vector.copy_from_slice(different.rows().row(number));
        }
    }
    some
}

/// Returns the index with each kind of direct map and each of these placements.
fn with_maps(name: String, index: Box<dyn Index>, rests: &[Rest]) -> Vec<Learnt> {
    let is_exact = name.contains("Flat");
    let mut index = learn(&name, index);
    let mut all = Vec::new();
    for map in [0, 1, 2] {
        index.set_knob("direct_map", map).expect("nothing to map yet");
        for (place, rest) in rests {
            let learnt = Learnt::new(format!("{name}, {place}, direct map {map}"), &*index, is_exact);
            all.push(Learnt { rest: *rest, ..learnt });
        }
    }
    all
}

/// Returns cosine indexes and indexes behind wrappers.
fn wrapped() -> Vec<Learnt> {
    let mut all = Vec::new();
    for spec in ["IVF12,Flat", "Flat", "IVF12,PQ8"] {
        let index = learn(spec, ivf::build(spec, DIM, Metric::Cosine).expect("a good string"));
        all.push(Learnt::new(format!("{spec}, cosine"), &*index, spec.ends_with("Flat")));
    }
    for spec in ["IDMap2,IVF12,Flat", "IDMap2,Flat", "IDMap,IVF3,Flat"] {
        for metric in [Metric::L2, Metric::InnerProduct] {
            let index = learn(spec, ivf::build(spec, DIM, metric).expect("a good string"));
            let learnt = Learnt::new(format!("{spec}, {metric}"), &*index, true);
            all.push(Learnt { keeps_ids: false, vectors: data::uniform, ..learnt });
        }
    }
    all
}

#[test]
fn generated_histories_equal_a_naive_model() {
    let asked = std::env::var("IVF_HISTORIES")
        .map_or(HISTORIES, |text| text.parse().unwrap_or_else(|error| panic!("IVF_HISTORIES={text}: {error}")));
    let subjects: Vec<Learnt> = bare().into_iter().chain(wrapped()).chain(deduplicated()).collect();
    let each = asked.div_ceil(subjects.len() as u64);
    let registry = registry();
    let threads = Threads(std::thread::available_parallelism().map_or(1, usize::from));
    let tallies = map(&threads, subjects.len(), |i| {
        // No two subjects share a seed.
        let first = i as u64 * 1_000_000_000;
        subjects[i].check(&registry, first..first + each)
    });
    let mut tally = Tally::default();
    tallies.iter().for_each(|one| tally.add(one));
    assert_eq!(tally.of("history"), each * subjects.len() as u64, "as many histories as were to run");
    assert!(tally.of("history") >= asked, "as many histories as were asked for");
    if asked >= HISTORIES {
        let missing: Vec<&str> = surface_kinds().filter(|kind| tally.of(kind) == 0).collect();
        assert!(missing.is_empty(), "no history had one of {missing:?}: {tally:?}");
    }
}
