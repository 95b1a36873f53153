//! `IVF<n>,FlatDedup` against `IVF<n>,Flat` with the same centroids: the same calls must give the
//! same answers, also where vectors are equal and distances tie.

use ivf::extend::StoredNode;
use ivf::node::{NamedArray, StoredFields};
use ivf::{
    AddOptions, Id, IdSelector, Index, Metric, QueryParams, Rows, SearchParams, default_registry, read_index,
    write_index,
};
use ivf_testkit::data::{self, Random};
use rand::RngExt;

const DIM: usize = 4;
const NLIST: usize = 6;

/// Returns the two indexes, trained on the same vectors.
fn pair(metric: Metric) -> [Box<dyn Index>; 2] {
    ["Flat", "FlatDedup"].map(|codec| {
        let mut index = ivf::build(&format!("IVF{NLIST},{codec}"), DIM, metric).expect("a good string");
        index.train(data::uniform(1, 300, DIM).rows()).expect("enough vectors");
        index
    })
}

fn dedup() -> Box<dyn Index> {
    let [_, dedup] = pair(Metric::L2);
    dedup
}

/// Returns the number of copies in the lists.
fn copies(index: &dyn Index) -> usize {
    index.find_ivf().and_then(|ivf| ivf.lists()).expect("it is trained").total_len().expect("lists in memory")
}

/// Returns vectors of few values, so that most are equal to others. Some differ only in the sign of
/// a zero.
fn vectors(random: &mut Random, most: usize) -> Vec<f32> {
    let n = random.random_range(0..=most);
    let number = |random: &mut Random| [0.0, -0.0, 1.0, 0.5][random.random_range(0..4_usize)];
    (0..n)
        .flat_map(|_| {
            let (x, y) = (number(random), number(random));
            [x, y, y, 1.0]
        })
        .collect()
}

/// Compares every kind of search.
fn same(pair: &[Box<dyn Index>; 2], random: &mut Random, at: &str) {
    let [flat, dedup] = pair;
    assert_eq!(dedup.len(), flat.len(), "{at}");
    let queries = [vectors(random, 3), data::uniform(random.random(), 2, DIM).data].concat();
    let rows = Rows::new(&queries, DIM).expect("whole rows");
    let share = random.random_range(2..9);
    let some = move |id: Id| id.0.rem_euclid(share) == 1;
    let few: Vec<Id> = (0..6).map(|_| Id(random.random_range(-5..60))).collect();
    let selectors = [IdSelector::All, IdSelector::Fn(&some), IdSelector::range(10..30), IdSelector::sorted(few)];
    let each: Vec<QueryParams<'_>> =
        (0..rows.len()).map(|i| QueryParams::new().selector(&selectors[i % 4]).nprobe(1 + i % NLIST)).collect();
    for (i, selector) in selectors.iter().enumerate() {
        for k in [1, 3, 10, 40, 1000] {
            let nprobe = random.random_range(1..=NLIST);
            let mut params = SearchParams::new().nprobe(nprobe).ensure_k(random.random());
            params = if i == 0 { params.per_query(&each) } else { params.selector(selector) };
            let find = |index: &dyn Index| index.search(rows, k, &params).expect("a good query").hits;
            assert_eq!(find(&**dedup), find(&**flat), "{at}, k {k}, {params:?}");

            let radius = [0.5, 1.0, 1.5, f32::INFINITY][random.random_range(0..4_usize)];
            let mut params = SearchParams::new().nprobe(nprobe).max_results([0, 1, 5][random.random_range(0..3_usize)]);
            params = if i == 0 { params.per_query(&each) } else { params.selector(selector) };
            let within = |index: &dyn Index| index.range_search_with(rows, radius, &params).expect("a query").hits;
            assert_eq!(within(&**dedup), within(&**flat), "{at}, radius {radius}, {params:?}");
        }
    }
}

#[test]
fn histories_are_those_of_an_index_that_stores_every_vector() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("index.ivf");
    for (metric, seed) in [(Metric::L2, 1), (Metric::L2, 2), (Metric::InnerProduct, 3), (Metric::Cosine, 4)] {
        let mut random = data::random(seed);
        let mut pair = pair(metric);
        for step in 0..80 {
            let at = format!("{metric}, seed {seed}, step {step}");
            let vectors = vectors(&mut random, 12);
            let rows = Rows::new(&vectors, DIM).expect("whole rows");
            let mut ids: Vec<Id> = (0..rows.len()).map(|_| Id(random.random_range(-5..60))).collect();
            let (kind, share) = (random.random_range(0..8), random.random_range(2..6));
            let few = ids.clone();
            ids.sort_unstable();
            ids.dedup();
            let some = move |id: Id| id.0.rem_euclid(share) == 1;
            let done = pair.each_mut().map(|index| match kind {
                0 | 1 => index.add(rows).expect(&at).added,
                2 | 3 => index.add_with_ids(rows, &few).expect(&at).added,
                4 => index.remove(&IdSelector::sorted(few.clone())).expect(&at),
                5 => index.remove(&IdSelector::Fn(&some)).expect(&at),
                6 => index.upsert(&ids, rows.slice(0..ids.len())).expect(&at).updated,
                _ => {
                    write_index(&*index, &path).expect(&at);
                    *index = read_index(&path).expect(&at);
                    0
                }
            });
            assert_eq!(done[0], done[1], "{at}, kind {kind}");
            same(&pair, &mut random, &at);
        }
        // Vectors of ids that are there once.
        let mut ids = Vec::new();
        pair[0].scan_ids(|id| ids.push(id)).expect("lists in memory");
        ids.sort_unstable();
        let once: Vec<Id> = ids.chunk_by(|a, b| a == b).filter(|same| same.len() == 1).map(|same| same[0]).collect();
        let bits = |index: &dyn Index| -> Vec<u32> {
            index.reconstruct_many(&once).expect("ids that are there").into_iter().map(f32::to_bits).collect()
        };
        assert_eq!(bits(&*pair[1]), bits(&*pair[0]), "{metric}, seed {seed}");
        // There are 16 pairs of numbers. Scaling to unit length makes no two of them equal.
        assert!(copies(&*pair[1]) <= 16 && pair[1].len() > 30, "{} of {}", copies(&*pair[1]), pair[1].len());
    }
}

#[test]
fn ids_decide_between_copies_at_one_distance_under_a_filter() {
    let [mut flat, mut dedup] = pair(Metric::L2);
    // Two vectors are equally far from the query. Of the first, the filter leaves the greater id.
    let vectors = [1.0_f32, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0].repeat(2);
    for index in [&mut flat, &mut dedup] {
        index.add_with_ids(Rows::new(&vectors, DIM).expect("rows"), &[1, 2, 50, 20].map(Id)).expect("trained");
    }
    let query = Rows::new(&[0.0_f32; DIM], DIM).expect("a row");
    let selector = IdSelector::range(20..60);
    let params = SearchParams::new().nprobe(NLIST).selector(&selector);
    for index in [&flat, &dedup] {
        assert_eq!(index.search(query, 1, &params).expect("a good query").hits.ids(), [Id(20)]);
    }
    assert_eq!(copies(&*dedup), 2);
}

#[test]
fn zeros_of_different_signs_are_different_vectors() {
    let mut index = dedup();
    index.add(Rows::new(&[0.0_f32, 0.0, 0.0, 0.0, -0.0, 0.0, 0.0, 0.0], DIM).expect("rows")).expect("trained");
    assert_eq!(copies(&*index), 2);
    let vectors = index.reconstruct_many(&[Id(0), Id(1)]).expect("there");
    assert!(vectors[0].is_sign_positive() && vectors[4].is_sign_negative());
}

#[test]
fn copies_are_found_again_whatever_became_of_their_names() {
    let row = |x: f32| [x, 0.0, 0.0, 0.0];
    let add = |index: &mut dyn Index, id: i64, x: f32| {
        index.add_with_ids(Rows::new(&row(x), DIM).expect("a row"), &[Id(id)]).expect("trained");
    };
    let mut index = dedup();
    [(4, 1.0), (5, 1.0), (8, 1.0)].iter().for_each(|&(id, x)| add(&mut *index, id, x));
    // The copy keeps the name 4 when the vector of id 4 goes, so another one needs a new name.
    index.remove(&IdSelector::sorted(vec![Id(4)])).expect("in memory");
    add(&mut *index, 4, 2.0);
    add(&mut *index, 9, 2.0);
    add(&mut *index, 10, 1.0);
    assert_eq!((index.len(), copies(&*index)), (5, 2));
    assert_eq!(
        index.reconstruct_many(&[4, 5, 8, 9, 10].map(Id)).expect("there"),
        [2.0, 1.0, 1.0, 2.0, 1.0].map(row).concat()
    );
    // Two ids exchange their vectors: no copy is written.
    let rows = [row(1.0), row(2.0)].concat();
    index.update(&[Id(4), Id(5)], Rows::new(&rows, DIM).expect("rows")).expect("in memory");
    assert_eq!((index.reconstruct(Id(4)).expect("there"), copies(&*index)), (row(1.0).to_vec(), 2));
    // After reading, an add finds the copies.
    let node = index.export().expect("in memory").to_stored();
    let mut back = default_registry().read_index(&node).expect("just exported");
    add(&mut *back, 11, 1.0);
    assert_eq!((back.len(), copies(&*back)), (6, 2));
    // A snapshot is not changed by its original.
    let snapshot = back.clone_index().expect("in memory");
    back.remove(&IdSelector::All).expect("in memory");
    assert_eq!((back.len(), copies(&*back), snapshot.len(), copies(&*snapshot)), (0, 0, 6, 2));
    add(&mut *back, 1, 1.0);
    assert_eq!(back.reconstruct(Id(1)).expect("there"), row(1.0));
}

#[test]
fn updates_of_single_vectors_keep_their_names() {
    let mut index = dedup();
    index.add(data::uniform(2, 50, DIM).rows()).expect("trained");
    let ids: Vec<Id> = (0..50).map(Id).collect();
    for seed in 3..6 {
        index.update(&ids, data::uniform(seed, 50, DIM).rows()).expect("in memory");
    }
    // No group is exported: each copy is named by its id.
    let node = index.export().expect("in memory");
    assert_eq!((copies(&*index), node.array("names").map(|names| names.byte_len())), (50, Some(0)));
}

/// All of these would take hours if a call took time that grows with the number of copies.
#[test]
fn vectors_that_are_all_equal_take_linear_time() {
    let mut index = dedup();
    let one = [0.25_f32; DIM];
    let row = || Rows::new(&one, DIM).expect("a row");
    let many = one.repeat(200_000);
    index.add(Rows::new(&many, DIM).expect("rows")).expect("trained");
    for id in (0..20_000).map(|i| Id(i * 7919 % 20_011 + 1_000_000)) {
        index.add_with_ids(row(), &[id]).expect("trained");
    }
    assert_eq!((index.len(), copies(&*index)), (220_000, 1));
    assert!(index.memory() < 220_000 * 100, "{} bytes", index.memory());
    let found = index.search(row(), 3, &SearchParams::new()).expect("a good query");
    assert_eq!((found.hits.ids(), found.stats.codes), (&[Id(0), Id(1), Id(2)][..], 1));
    assert_eq!(index.range_search(row(), 1.0).expect("a good query").hits.total(), 220_000);
    for id in (0..20_000).map(|i| Id(i * 7919 % 200_000)) {
        assert_eq!(index.remove(&IdSelector::sorted(vec![id])).expect("in memory"), 1);
    }
    assert_eq!(index.remove(&IdSelector::range(0..i64::MAX)).expect("in memory"), 200_000);
    assert_eq!((index.len(), copies(&*index)), (0, 0));
}

#[test]
fn a_merge_finds_equal_vectors_and_a_failed_one_changes_nothing() {
    let (mut index, mut other) = (dedup(), dedup());
    let vectors = data::small_integers(5, 60, DIM, 2);
    index.add(vectors.rows()).expect("trained");
    let before = copies(&*index);
    other.add(vectors.rows()).expect("trained");
    let error = index.merge_from(&mut *other, i64::MAX).unwrap_err();
    assert!(error.to_string().contains("overflows"), "{error}");
    let cancel = ivf::Cancel::new();
    cancel.cancel();
    let error = index.merge_from_with(&mut *other, 100, &AddOptions::new().cancel(&cancel)).unwrap_err();
    assert!(error.to_string().contains("cancelled"), "{error}");
    assert_eq!((index.len(), other.len(), copies(&*index)), (60, 60, before));
    let [mut flat, _] = pair(Metric::L2);
    assert!(index.merge_from(&mut *flat, 0).is_err());
    index.merge_from(&mut *other, 100).expect("the same centroids");
    assert_eq!((index.len(), other.len(), copies(&*index)), (120, 0, before));
    assert_eq!(index.reconstruct(Id(159)).expect("there"), vectors.rows().row(59));
}

/// Returns the error of reading a node after a change.
fn refused(change: impl FnOnce(&mut StoredNode)) -> String {
    let mut index = dedup();
    let vectors = [1.0_f32; 3 * DIM];
    index.add(Rows::new(&vectors, DIM).expect("rows")).expect("trained");
    index.add(data::uniform(2, 3, DIM).rows()).expect("trained");
    let mut node = index.export().expect("in memory").to_stored();
    change(&mut node);
    default_registry().read_index(&node).expect_err("a node that was changed").to_string()
}

fn array(node: &mut StoredNode, name: &str, ids: &[i64]) {
    let mut made = ivf::extend::Node::new("", 0);
    made.push(NamedArray::owned(name, &[ids.len() as u64], ids.iter().copied().map(Id).collect()));
    let made = made.to_stored().arrays.remove(0);
    *node.arrays.iter_mut().find(|array| array.name == name).expect("it is there") = made;
}

fn set(node: &mut StoredNode, name: &str, value: impl Into<ivf::field::Value>) {
    if let StoredFields::Named(fields) = &mut node.fields {
        fields.set(name, value);
    }
}

/// A change of a node.
type Change = fn(&mut StoredNode);

#[test]
fn nodes_that_do_not_fit_are_refused() {
    let cases: [(&str, Change); 9] = [
        ("no copy has the name 9", |node| array(node, "names", &[0, 0, 9])),
        ("2 names and 3 ids", |node| array(node, "names", &[0, 0])),
        ("the names and ids do not ascend", |node| array(node, "ids", &[0, 2, 1])),
        ("has no array 'ids'", |node| node.arrays.retain(|array| array.name != "ids")),
        ("the next id is 9223372036854775809, above 2^63", |node| set(node, "next_id", (1_u64 << 63) + 1)),
        ("the inverted file has no hash map", |node| set(&mut node.children[0].1, "direct_map", "none")),
        ("it has no coarse quantizer", |node| {
            let flat = ivf::build("Flat", DIM, Metric::L2).expect("a good string");
            node.children[0].1 = flat.export().expect("in memory").to_stored().children.remove(0).1;
        }),
        ("the codec of its copies is SQ8, not Flat", |node| {
            let mut other = ivf::build("IVF6,SQ8", DIM, Metric::L2).expect("a good string");
            other.train(data::uniform(1, 300, DIM).rows()).expect("enough vectors");
            node.children[0].1 = other.export().expect("in memory").to_stored();
        }),
        ("two copies have the name 3", |node| {
            let [mut flat, _] = pair(Metric::L2);
            flat.set_knob("direct_map", "hash").expect("a knob that is there");
            flat.add_with_ids(data::uniform(2, 3, DIM).rows(), &[0, 3, 3].map(Id)).expect("trained");
            node.children[0].1 = flat.export().expect("in memory").to_stored();
        }),
    ];
    for (expected, change) in cases {
        let error = refused(change);
        assert!(error.contains(expected), "{error}, expected: {expected}");
    }
}

#[test]
fn a_knob_of_the_inverted_file_is_its_own() {
    let mut index = dedup();
    index.set_knob("nprobe", NLIST).expect("a knob that is there");
    assert_eq!(index.find_ivf().map(|ivf| ivf.nprobe()), Some(NLIST));
    assert!(
        index.set_knob("direct_map", "none").is_err() && index.set_knob_at("index", "direct_map", 0.into()).is_err()
    );
    // Through the wrapped index it can be set. The next write restores it.
    index.wrapped_mut().expect("it wraps one").set_knob("direct_map", "array").expect("nothing to map yet");
    index.add_with_ids(data::uniform(2, 3, DIM).rows(), &[7, 5, 7].map(Id)).expect("trained");
    assert_eq!(index.len(), 3);
}
