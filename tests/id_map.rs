//! Compares id maps with an index that stores the caller's ids itself: the same calls must give the
//! same answers. The vectors are random floats whose distances do not tie, since an id map orders
//! ties by insertion.

use ivf::params::NonFinite;
use ivf::{AddOptions, Id, IdSelector, Index, Metric, Rows, SearchParams};
use ivf_testkit::data;
use rand::RngExt;

const DIM: usize = 16;

fn make(spec: &str) -> Box<dyn Index> {
    let mut index = ivf::build(spec, DIM, Metric::L2).expect("a good string");
    index.train(data::uniform(1, 200, DIM).rows()).expect("enough vectors");
    if index.as_ivf().is_some() || spec.contains("IVF") {
        ivf::knobs::set_knobs(&mut *index, "nprobe=4").expect("a knob that is there");
    }
    index
}

fn same(index: &dyn Index, reference: &dyn Index, seed: u64, at: &str) {
    assert_eq!(index.len(), reference.len(), "{at}");
    let queries = data::uniform(seed, 4, DIM);
    let odd = |id: Id| id.0 % 2 != 0;
    let odd = IdSelector::Fn(&odd);
    for params in [SearchParams::new(), SearchParams::new().selector(&odd)] {
        let find = |index: &dyn Index| index.search(queries.rows(), 7, &params).expect("a good query").hits;
        assert_eq!(find(index), find(reference), "{at}");
        let within = |index: &dyn Index| {
            let search = index.as_range_search().expect("supported");
            search.range_search(queries.rows().into(), 3.0, &params).expect("a good query").hits
        };
        assert_eq!(within(index), within(reference), "{at}");
    }
}

#[test]
fn histories_under_an_id_map_are_those_of_the_index_itself() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for spec in ["IDMap,Flat", "IDMap2,Flat", "IDMap,IVF4,Flat", "IDMap2,IVF4,Flat", "IDMap2,(IDMap,Flat)"] {
        for seed in [1, 2, 3] {
            let mut random = data::random(seed);
            let (mut index, mut reference) = (make(spec), make("Flat"));
            let mut known: Vec<Id> = Vec::new();
            for step in 0..60_u64 {
                let at = format!("{spec}, seed {seed}, step {step}");
                let n = random.random_range(0..6_u64) as usize;
                let vectors = data::uniform(seed * 1000 + step, n, DIM);
                let rows = vectors.rows();
                match random.random_range(0..6_u32) {
                    0 => {
                        index.add(rows).expect(&at);
                        reference.add(rows).expect(&at);
                        let next = known.iter().map(|id| id.0).max().map_or(0, |largest| (largest + 1).max(0));
                        known.extend((next..).take(n).map(Id));
                    }
                    1 => {
                        let ids: Vec<Id> = (0..n).map(|_| Id(random.random_range(-50..400_i64))).collect();
                        index.add_with_ids(rows, &ids).expect(&at);
                        reference.add_with_ids(rows, &ids).expect(&at);
                        known.extend(ids);
                    }
                    2 => {
                        let start = random.random_range(-50..400_i64);
                        let selector = IdSelector::range(start..start + 15);
                        let removed = index.remove(&selector).expect(&at);
                        assert_eq!(removed, reference.remove(&selector).expect(&at), "{at}");
                    }
                    5 => {
                        // Most are gone after this.
                        let vectors = data::uniform(seed * 1000 + step, 100, DIM);
                        let ids: Vec<Id> = (500..600).map(Id).collect();
                        let rare = |id: Id| id.0 % 11 != 3;
                        for index in [&mut index, &mut reference] {
                            index.add_with_ids(vectors.rows(), &ids).expect(&at);
                        }
                        let removed = index.remove(&IdSelector::Fn(&rare)).expect(&at);
                        assert_eq!(removed, reference.remove(&IdSelector::Fn(&rare)).expect(&at), "{at}");
                        known.extend(ids);
                    }
                    3 => {
                        let mut ids: Vec<Id> =
                            known.iter().copied().filter(|id| reference.reconstruct(*id).is_ok()).collect();
                        ids.sort_unstable();
                        ids.dedup();
                        ids.truncate(n);
                        let rows = rows.slice(0..ids.len());
                        index.update(&ids, rows).expect(&at);
                        reference.update(&ids, rows).expect(&at);
                        for (id, row) in ids.iter().zip(rows.iter()) {
                            assert_eq!(index.reconstruct(*id).expect(&at), row, "{at}");
                        }
                    }
                    _ => {
                        let mut rows = vectors.data.clone();
                        if n > 2 {
                            rows[DIM + 3] = f32::NAN;
                        }
                        let rows = Rows::new(&rows, DIM).expect("whole rows");
                        let options = AddOptions::new().non_finite(NonFinite::SkipRow);
                        let report = index.as_add().expect("supported").add(rows.into(), &options).expect(&at);
                        assert_eq!(
                            reference.as_add().expect("supported").add(rows.into(), &options).expect(&at),
                            report
                        );
                        let next = known.iter().map(|id| id.0).max().map_or(0, |largest| (largest + 1).max(0));
                        known.extend((next..).take(n).map(Id));
                    }
                }
                same(&*index, &*reference, step, &at);
                if step % 20 == 19 {
                    // The history goes on with an index that was written and read.
                    let path = folder.path().join("index.ivf");
                    ivf::write_index(&*index, &path).expect("a writable folder");
                    index = ivf::read_index(&path).expect("just written");
                }
            }
        }
    }
}

#[test]
fn an_id_of_two_vectors_is_updated_to_one() {
    for spec in ["IDMap,Flat", "IDMap2,Flat"] {
        let mut index = make(spec);
        let vectors = data::uniform(5, 3, DIM);
        index.add_with_ids(vectors.rows(), &[Id(8), Id(9), Id(8)]).expect("any ids");
        let new = data::uniform(6, 1, DIM);
        index.update(&[Id(8)], new.rows()).expect("it is there");
        assert_eq!((index.len(), index.reconstruct(Id(8)).expect("it is there")), (2, new.data));
    }
}

#[test]
fn an_emptied_id_map_takes_no_memory_and_repeats_no_id() {
    for spec in ["IDMap,Flat", "IDMap2,Flat"] {
        let mut index = make(spec);
        let vectors = data::uniform(7, 100, DIM);
        let mut memory = Vec::new();
        for round in 0..20 {
            index.add(vectors.rows()).expect("always trained");
            assert!(index.reconstruct(Id(round * 100 + 99)).is_ok(), "ids count on");
            memory.push(index.memory());
            assert_eq!(index.remove(&IdSelector::All).expect("supported"), 100);
        }
        assert!(memory.iter().all(|bytes| *bytes == memory[0]), "{memory:?}");
    }
}

#[test]
fn an_id_map_takes_as_much_as_the_vectors_that_are_left() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // The memory of the ids, without the vectors.
    let own = |index: &dyn Index| index.memory() - index.wrapped().map_or(0, |inner| inner.memory());
    let size = |index: &dyn Index| {
        let path = folder.path().join("index.ivf");
        ivf::write_index(index, &path).expect("a writable folder");
        let back = ivf::read_index(&path).expect("just written");
        assert!(back.export().expect("in memory").same(&index.export().expect("in memory")));
        (std::fs::metadata(&path).expect("just written").len(), own(&*back))
    };
    for spec in ["IDMap,Flat", "IDMap2,Flat"] {
        let vectors = data::uniform(7, 20_000, DIM);
        let (mut index, mut few) = (make(spec), make(spec));
        index.add(vectors.rows()).expect("always trained");
        few.add(vectors.rows().slice(0..10)).expect("always trained");
        let rare = |id: Id| id.0 % 2000 != 7;
        assert_eq!(index.remove(&IdSelector::Fn(&rare)).expect("supported"), 19_990);
        let (file, read) = size(&*index);
        let (few_file, few_memory) = size(&*few);
        assert!(file <= few_file + 1000, "{spec}: a file of {file} bytes, {few_file} for ten vectors");
        let left = own(&*index);
        for bytes in [left, read] {
            assert!(bytes <= few_memory + 5000, "{spec}: {bytes} bytes of ids, {few_memory} for ten vectors");
        }
        // One in, one out.
        for step in 0..5000_i64 {
            let vector = vectors.rows().slice(step as usize..step as usize + 1);
            index.add_with_ids(vector, &[Id(100_000 + step)]).expect("always trained");
            index.remove(&IdSelector::set([Id(100_000 + step)])).expect("supported");
        }
        assert!(own(&*index) <= left + 5000, "{spec}: {} bytes after many steps, {left} before", own(&*index));
        assert_eq!(index.search(vectors.rows().slice(7..8), 1, &SearchParams::new()).unwrap().hits.row(0).ids, [Id(7)]);
    }
}

#[test]
fn ids_go_on_after_emptying_a_file_and_training_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("index.ivf");
    let vectors = data::uniform(8, 100, DIM);
    for spec in ["Flat", "IVF4,Flat", "IDMap,Flat", "IDMap2,IVF4,Flat", "IDMap,IVF4,Flat,RFlat", "(IDMap,Flat),RFlat"] {
        let mut index = make(spec);
        index.add(vectors.rows()).expect("trained");
        assert_eq!(index.remove(&IdSelector::All).expect("supported"), 100);
        ivf::write_index(&*index, &path).expect("a writable folder");
        let mut index = ivf::read_index(&path).expect("just written");
        index.train(data::uniform(9, 200, DIM).rows()).expect("it is empty");
        index.add(vectors.rows()).expect("trained");
        let found = index.search(vectors.rows().slice(0..1), 1, &SearchParams::new()).expect("a good query");
        assert_eq!(found.hits.row(0).ids, [Id(100)], "{spec}");
        assert_eq!(index.reconstruct(Id(100)).expect("it is there"), vectors.rows().row(0), "{spec}");
    }
}

#[test]
fn training_again_after_a_skipped_row_keeps_ids_straight() {
    for spec in ["IDMap,IVF4,Flat", "IDMap2,IVF4,Flat"] {
        let mut index = make(spec);
        let options = AddOptions::new().non_finite(NonFinite::SkipRow);
        let skipped = [f32::NAN; DIM];
        let add = index.as_add_with_ids().expect("supported");
        add.add_with_ids(Rows::new(&skipped, DIM).expect("a row").into(), &[Id(7)], &options).expect("it is skipped");
        index.train(data::uniform(9, 200, DIM).rows()).expect("it is empty");
        let vectors = data::uniform(10, 1, DIM);
        index.add_with_ids(vectors.rows(), &[Id(42)]).expect("trained");
        let found = index.search(vectors.rows(), 1, &SearchParams::new()).expect("a good query");
        assert_eq!(found.hits.row(0).ids, [Id(42)], "{spec}");
        assert_eq!(index.reconstruct(Id(42)).expect("it is there"), vectors.data, "{spec}");
    }
}
