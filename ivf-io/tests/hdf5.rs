//! Tests of HDF5 files, intact and damaged, that h5py wrote (`data/make_hdf5.py`).

use ivf_io::vectors::file_of;
use ivf_io::{VectorFileError, VectorReader, VectorWriter, read_vectors};
use std::path::{Path, PathBuf};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

#[test]
fn such_files_are_only_read() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.hdf5", "a.hdf5:train", "a.H5", "a.h5:b/c"] {
        let error = VectorWriter::create(folder.path().join(name)).unwrap_err();
        assert!(matches!(error, VectorFileError::OnlyRead { .. }), "{error}");
        assert!(error.to_string().ends_with("this format can only be read; names of files to write end in .fvecs, .ivecs, .bvecs, .fbin, .ibin, .u8bin, .i8bin, .npy"), "{error}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_name_is_taken_apart_unless_there_is_such_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (name, file) in [
        ("a.hdf5:train", "a.hdf5"),
        ("a.H5:b/c.d", "a.H5"),
        ("a.h5:b.h5:c", "a.h5"),
        ("a:b.h5:c", "a:b.h5"),
        ("a.hdf5", "a.hdf5"),
        ("a.fvecs:train", "a.fvecs:train"),
        ("a.h5:b.fvecs", "a.h5"),
    ] {
        assert_eq!(file_of(&at(name)), at(file), "{name}");
    }
    let name = at("a.h5:b.fvecs");
    std::fs::write(&name, [1, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    assert_eq!(file_of(&name), name);
    assert_eq!(read_vectors::<f32>(&name).unwrap().into_data(), [0.0]);
    let error = VectorReader::open(at("missing.hdf5:train")).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot read {}", at("missing.hdf5").display()));
}

#[cfg(not(feature = "hdf5"))]
#[test]
fn a_build_without_the_feature_says_so() {
    for name in ["ann.hdf5", "ann.hdf5:train"] {
        let error = VectorReader::open(data(name)).unwrap_err();
        assert!(matches!(error, VectorFileError::Feature { feature: "hdf5", .. }), "{error}");
        assert!(error.to_string().ends_with("it lacks the feature `hdf5`"), "{error}");
    }
}

#[cfg(feature = "hdf5")]
mod with_the_feature {
    use super::data;
    use half::f16;
    use ivf_io::vectors::VectorElement;
    use ivf_io::{VectorReader, VectorType, read_vectors};

    #[test]
    fn the_sets_of_ann_benchmarks_are_read_in_blocks() {
        let mut reader = VectorReader::open(data("ann.hdf5:train")).unwrap();
        assert_eq!((reader.dim(), reader.len(), reader.element()), (4, 20, VectorType::F32));
        let mut block = Vec::<f32>::new();
        assert_eq!(reader.read_block(3, &mut block).unwrap(), 3);
        assert_eq!(block, [0.0, 0.0, 0.0, 1.0, 1.0, -1.0, 0.5, 1.0, 2.0, -2.0, 1.0, 1.0]);
        reader.skip(15).unwrap();
        assert_eq!(reader.read_block(3, &mut block).unwrap(), 2);
        assert_eq!(block, [18.0, -18.0, 9.0, 1.0, 19.0, -19.0, 9.5, 1.0]);
        assert_eq!((reader.read_block(3, &mut block).unwrap(), reader.left()), (0, 0));

        let test = read_vectors::<f32>(data("ann.hdf5:/test")).unwrap();
        assert_eq!(test.rows().iter().nth(1), Some(&[3.125, -2.875, 1.625, 1.125][..]));
        let neighbors = read_vectors::<i64>(data("ann.hdf5:neighbors")).unwrap();
        let nearest: Vec<i64> = neighbors.rows().iter().flat_map(|row| &row[..3]).copied().collect();
        assert_eq!(nearest, [0, 1, 2, 3, 4, 2, 6, 7, 5, 9, 10, 8, 12, 13, 11]);
        let distances = read_vectors::<f32>(data("ann.hdf5:distances")).unwrap();
        assert_eq!((distances.dim(), distances.rows().iter().nth(4).unwrap()[0]), (10, 0.25));
    }

    #[test]
    fn every_type_of_numbers_there_is_is_read() {
        fn check<T: VectorElement + PartialEq>(dataset: &str) {
            let path = data(&format!("others.hdf5:{dataset}"));
            assert_eq!(VectorReader::open(&path).unwrap().element(), T::TYPE, "{dataset}");
            let expected: Vec<T> = (0_u8..6).map(|i| T::from_number(i.number()).unwrap()).collect();
            let read = read_vectors::<T>(&path).unwrap();
            assert_eq!((read.dim(), read.into_data()), (3, expected), "{dataset}");
        }
        check::<f16>("f2");
        check::<f32>("f4");
        check::<u8>("u1");
        check::<i8>("i1");
        check::<i32>("i4");
        check::<i64>("i8");
        check::<f64>("f8");
        check::<u32>("u4");
        check::<f32>(">f4");
        check::<f32>("group/inner");
        check::<f32>("a:b");
    }

    #[test]
    fn a_file_of_any_name_is_read_in_its_format() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ann.dat");
        std::fs::copy(data("ann.hdf5"), &path).unwrap();
        let named = format!("{}:train", path.display());
        assert_eq!(VectorReader::open_as(named, "hdf5".parse().unwrap()).unwrap().len(), 20);
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let names = "FILE:DATASET takes one of distances, neighbors, test, train";
        for name in ["ann.hdf5", "ann.hdf5:", "ann.hdf5:nothing", "ann.hdf5:train/nothing"] {
            let error = VectorReader::open(data(name)).unwrap_err().to_string();
            assert_eq!(error, format!("{}: no dataset of that name; {names}", data(name).display()));
        }
        let types = "cannot be read: convert them with h5py: file['";
        for (dataset, why) in [
            ("group", "no dataset of that name"),
            ("?", types),
            ("c8", types),
            ("S3", types),
            ("scalar", "it has 0 axes"),
            ("line", "it has 1 axes"),
            ("cube", "it has 3 axes"),
            ("empty", "has no vectors"),
            ("flat", "dimension 0"),
            ("never", "its numbers are not in this file"),
            ("chunked", "h5repack -l CONTI -f NONE"),
            ("packed", "h5repack -l CONTI -f NONE"),
        ] {
            let error = VectorReader::open(data(&format!("others.hdf5:{dataset}"))).unwrap_err().to_string();
            assert!(error.contains(why), "{dataset}: {error}");
        }
    }

    const F4: &[u8] = &[0x11, 0x20, 0x1f, 0, 4, 0, 0, 0, 0, 0, 32, 0, 23, 8, 0, 23, 127, 0, 0, 0];

    /// Types that are nested very deeply: a parser may descend one level for each 8 bytes of the
    /// file, and its stack is finite.
    #[test]
    fn types_nested_without_end_are_an_error() {
        const SEQUENCE: [u8; 8] = [0x19, 0, 0, 0, 16, 0, 0, 0];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.hdf5");
        for (end, why) in [(&[][..], "need 8 bytes, have 0"), (F4, "numbers of type vlen")] {
            let nested = [&SEQUENCE.repeat(8184)[..], end].concat();
            std::fs::write(&path, with_type(&nested)).unwrap();
            let error = VectorReader::open(format!("{}:train", path.display())).unwrap_err().to_string();
            assert!(error.contains(why) && error.len() < 1000, "{error}");
        }
    }

    /// Returns `ann.hdf5` with another type of vectors.
    fn with_type(datatype: &[u8]) -> Vec<u8> {
        let mut bytes = std::fs::read(data("ann.hdf5")).unwrap();
        let more = [&[3, 0][..], &(datatype.len() as u16).to_le_bytes(), &[0; 4], datatype].concat();
        // Replaces the type message by a continuation message, which points to more of the header.
        let message = [(bytes.len() as u64).to_le_bytes(), (more.len() as u64).to_le_bytes()].concat();
        let places: Vec<usize> = (8..bytes.len() - F4.len()).filter(|&at| bytes[at..].starts_with(F4)).collect();
        assert_eq!(places.len(), 3);
        for at in places {
            assert_eq!(bytes[at - 8..at - 6], [3, 0]);
            bytes[at - 8] = 0x10;
            bytes[at..at + message.len()].copy_from_slice(&message);
        }
        bytes.extend(more);
        bytes
    }

    /// Writes `bytes` to a file and returns how many of the possible datasets can be read.
    fn read(path: &std::path::Path, bytes: &[u8]) -> usize {
        std::fs::write(path, bytes).unwrap();
        let named = |dataset: &str| format!("{}:{dataset}", path.display());
        let sets = ["train", "neighbors", "f2", "group/inner"];
        sets.iter().filter(|set| read_vectors::<f32>(named(set)).is_ok()).count()
    }

    #[test]
    fn damaged_files_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.hdf5");
        let mut state = 1_u64;
        let mut below = |n: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % n
        };
        for name in ["ann.hdf5", "others.hdf5"] {
            let bytes = std::fs::read(data(name)).unwrap();
            // The metadata: zeros lie between its parts.
            let used: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] != 0).collect();
            let mut refused = 0;
            for _ in 0..700 {
                let mut bytes = bytes.clone();
                for _ in 0..=below(4) {
                    let at = (used[below(used.len())] + below(3)).min(bytes.len() - 1);
                    bytes[at] = [0, 1, 0x7f, 0x80, 0xff, below(256) as u8][below(6)];
                }
                refused += usize::from(read(&path, &bytes) < 2);
            }
            assert!(refused > 100, "{name}: {refused}");
            for len in (0..bytes.len()).step_by(37) {
                read(&path, &bytes[..len]);
            }
        }
    }
}
