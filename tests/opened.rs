//! Indexes whose lists are in a file. Changes have the same effect as on an index in memory, and
//! the file stays as it is.

use ivf::{Id, IdSelector, Index, Metric, write_index};
use ivf_testkit::data;
use rand::RngExt;
use std::fs;
use std::path::Path;

const DIM: usize = 16;

/// Adds, removes and updates vectors in some of the lists, and returns the bytes of the resulting
/// file.
fn change(index: &mut dyn Index, folder: &Path) -> Vec<u8> {
    let more = data::clusters(2, 30, DIM, 2);
    index.add(more.rows()).unwrap();
    index.remove(&IdSelector::range(40..60)).unwrap();
    let ids: Vec<Id> = (300..303).map(Id).collect();
    index.as_update().unwrap().update(&ids, more.rows().slice(0..3).into(), &ivf::AddOptions::new()).unwrap();
    let path = folder.join("changed.ivf");
    write_index(index, &path).unwrap();
    fs::read(path).unwrap()
}

#[test]
fn an_opened_index_is_changed_in_memory_and_not_in_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ivf");
    for factory in
        ["Flat", "IVF8,Flat", "IVF8,PQ4", "IVF8,PQ4,RFlat", "IVF8,PQ4,Refine(SQ8)", "IVF8,PQ4+8", "L2norm,IVF8,Flat"]
    {
        let vectors = data::clusters(1, 400, DIM, 8);
        let mut index = ivf::build(factory, DIM, Metric::L2).unwrap();
        index.train(vectors.rows()).unwrap();
        index.add(vectors.rows()).unwrap();
        write_index(&*index, &path).unwrap();
        let file = fs::read(&path).unwrap();
        let expected = change(&mut *index, folder.path());

        let mut opened = ivf::open_index(&path).unwrap();
        assert!(change(&mut *opened, folder.path()) == expected, "{factory}, opened");
        assert!(change(&mut *ivf::read_index(&path).unwrap(), folder.path()) == expected, "{factory}, read");
        #[cfg(target_os = "linux")]
        {
            let sealed = ivf_testkit::sealed::SealedFile::new(&file).unwrap();
            let mut mapped = ivf::open_mapped(ivf::io::Map::open_if_safe(sealed.path()).unwrap()).unwrap();
            assert!(change(&mut *mapped, folder.path()) == expected, "{factory}, mapped");
        }
        assert!(fs::read(&path).unwrap() == file, "{factory}: the file has changed");

        // An index that is written over its own file keeps reading its lists from the old one.
        let other = ivf::open_index(&path).unwrap();
        write_index(&*opened, &path).unwrap();
        write_index(&*other, folder.path().join("other.ivf")).unwrap();
        assert!(fs::read(folder.path().join("other.ivf")).unwrap() == file, "{factory}: another file's lists");
    }
}

#[test]
fn an_opened_index_holds_what_it_has_read_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ivf");
    let vectors = data::clusters(1, 4000, DIM, 8);
    let mut index = ivf::build("IVF8,Flat", DIM, Metric::L2).unwrap();
    index.train(vectors.rows()).unwrap();
    index.add(vectors.rows()).unwrap();
    write_index(&*index, &path).unwrap();
    let codes = 4000 * DIM * size_of::<f32>();
    assert!(ivf::read_index(&path).unwrap().memory() > codes);
    let mut opened = ivf::open_index(&path).unwrap();
    assert!(opened.memory() < codes / 10, "{} bytes", opened.memory());
    // Writing to one list copies it to memory.
    opened.add(vectors.rows().slice(0..1)).unwrap();
    assert!((codes / 20..codes / 2).contains(&opened.memory()), "{} bytes", opened.memory());
}

/// Damages a file while an index is open on it: overwrites some bytes, or cuts off the end.
fn vandalise(path: &Path, good: &[u8], random: &mut data::Random) {
    use std::io::{Seek, SeekFrom, Write};
    let mut file = fs::File::options().write(true).open(path).unwrap();
    if random.random_ratio(1, 4) {
        return file.set_len(good.len() as u64 * 3 / 4).unwrap();
    }
    // Writes in place, as a program with the file open does, instead of replacing the file.
    let start = random.random_range(1000..good.len() - 200);
    file.seek(SeekFrom::Start(start as u64)).unwrap();
    let len = random.random_range(1..200);
    file.write_all(&data::bytes(random, len)).unwrap();
}

#[test]
fn a_file_that_is_written_to_while_it_is_open_gives_answers_or_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ivf");
    let vectors = data::clusters(1, 400, DIM, 8);
    let (mut answers, mut errors) = (0, 0);
    for factory in ["Flat", "IVF8,Flat", "IVF8,PQ4", "IVF8,PQ4,RFlat", "IDMap2,IVF8,Flat"] {
        for map in ["direct_map=0", "direct_map=1", "direct_map=2"] {
            let mut index = ivf::build(factory, DIM, Metric::L2).unwrap();
            index.train(vectors.rows()).unwrap();
            index.add(vectors.rows()).unwrap();
            let has_map = ivf::knobs::set_knobs(&mut *index, map).is_ok();
            write_index(&*index, &path).unwrap();
            let good = fs::read(&path).unwrap();
            for seed in 0..20 {
                let mut random = data::random(seed);
                fs::write(&path, &good).unwrap();
                let mut opened = ivf::open_index(&path).unwrap();
                vandalise(&path, &good, &mut random);
                let len = opened.len();
                let queries = vectors.rows().slice(0..3);
                let mut count = |done: bool| if done { answers += 1 } else { errors += 1 };
                count(opened.search(queries, 5, &ivf::SearchParams::new()).is_ok());
                count(opened.reconstruct(Id(7)).is_ok());
                let removed = opened.remove(&IdSelector::range(0..50));
                // Wrappers remove from two indexes, and document that they may stop half way.
                assert!(
                    removed.is_ok() || opened.len() == len || factory.contains("RFlat"),
                    "{factory}, {map}, {seed}: {removed:?}"
                );
                count(removed.is_ok());
                let len = opened.len();
                if let Some(update) = opened.as_update() {
                    let updated = update.update(&[Id(60), Id(61), Id(62)], queries.into(), &ivf::AddOptions::new());
                    assert!(updated.is_ok() || opened.len() == len, "{factory}, {map}, {seed}: {updated:?}");
                    count(updated.is_ok());
                }
                count(opened.add(queries).is_ok());
                count(write_index(&*opened, folder.path().join("b.ivf")).is_ok());
                if folder.path().join("b.ivf").exists() {
                    ivf::read_index(folder.path().join("b.ivf"))
                        .unwrap_or_else(|error| panic!("{factory}, {map}, {seed}: {error}"));
                    fs::remove_file(folder.path().join("b.ivf")).unwrap();
                }
            }
            if !has_map {
                break;
            }
        }
    }
    assert!(answers > 500 && errors > 50, "{answers} answers, {errors} errors");
}
