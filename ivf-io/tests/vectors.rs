//! Vector files over the public API: round trips, and each way in which a file may be malformed.

use ivf_core::Rows;
use ivf_io::{
    FvecsReader, FvecsWriter, IvecsReader, VectorFileError, Vectors, read_fvecs, read_ivecs, write_fvecs, write_ivecs,
};
use proptest::prelude::*;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// A folder, and a file in it made of 32-bit words and some bytes after them.
fn file_of(words: &[i32], rest: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.vecs");
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).chain(rest.iter().copied()).collect();
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

proptest! {
    #[test]
    fn blocks_of_any_size_make_the_same_file_and_are_read_back(
        dim in 1_usize..9,
        len in 1_usize..30,
        write_rows in 1_usize..35,
        read_rows in 1_usize..35,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.fvecs");
        let data: Vec<f32> = (0..dim * len).map(|i| i as f32 - 7.5).collect();
        let mut writer = FvecsWriter::create(&path).unwrap();
        for block in data.chunks(write_rows * dim) {
            writer.write(Rows::new(block, dim).unwrap()).unwrap();
        }
        writer.finish().unwrap();

        let mut reader = FvecsReader::open(&path).unwrap();
        prop_assert_eq!((reader.dim(), reader.len()), (dim, len as u64));
        let (mut read, mut block) = (Vec::new(), vec![0.0; 3]);
        loop {
            let rows = reader.read_block(read_rows, &mut block).unwrap();
            prop_assert_eq!(block.len(), rows * dim);
            prop_assert_eq!(rows, read_rows.min(len - read.len() / dim));
            if rows == 0 {
                break;
            }
            read.extend_from_slice(&block);
        }
        prop_assert_eq!(&read, &data);
        prop_assert_eq!(read_fvecs(&path).unwrap(), Vectors::new(data, dim).unwrap());
    }

    #[test]
    fn garbage_does_not_panic(words in prop::collection::vec(-2_i32..4, 0..12), rest in prop::collection::vec(any::<u8>(), 0..9)) {
        let (_folder, path) = file_of(&words, &rest);
        if let Ok(vectors) = read_ivecs(&path) {
            let elements = vectors.rows().len() * (vectors.dim() + 1);
            prop_assert_eq!(elements * 4, words.len() * 4 + rest.len());
        }
    }
}

#[test]
fn integers_and_special_floats_keep_their_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let ids = [i32::MIN, -1, 0, i32::MAX];
    write_ivecs(&path, Rows::new(&ids, 2).unwrap()).unwrap();
    assert_eq!(fs::read(&path).unwrap()[..8], [2, 0, 0, 0, 0, 0, 0, 0x80]);
    assert_eq!(read_ivecs(&path).unwrap().into_data(), ids);

    let floats = [f32::NAN, f32::INFINITY, -0.0, f32::MIN_POSITIVE];
    write_fvecs(&path, Rows::new(&floats, 4).unwrap()).unwrap();
    let read = read_fvecs(&path).unwrap().into_data();
    assert!(read.iter().map(|x| x.to_bits()).eq(floats.iter().map(|x| x.to_bits())));
}

#[test]
fn each_malformed_file_has_its_error() {
    use VectorFileError::*;

    let (_folder, path) = file_of(&[], &[]);
    let error = FvecsReader::open(&path).unwrap_err();
    assert!(matches!(&error, Empty { path: named } if *named == path));
    assert_eq!(error.to_string(), format!("{} has no vectors", path.display()));

    for dim in [0, -1, i32::MIN, i32::MAX, (1 << 20) + 1] {
        let (_folder, path) = file_of(&[dim, 1, 2], &[]);
        let error = IvecsReader::open(&path).unwrap_err();
        assert!(matches!(error, Dimension { record: 0, found, .. } if found == i64::from(dim)), "{error}");
    }

    let truncated = |words: &[i32], rest: &[u8], expected: (u64, u64, u64)| {
        let (_folder, path) = file_of(words, rest);
        match IvecsReader::open(&path).unwrap_err() {
            Truncated { path: named, record, needed, left } => {
                assert_eq!((named, (record, needed, left)), (path, expected));
            }
            error => panic!("{error}"),
        }
    };
    truncated(&[], &[1, 2, 3], (0, 4, 3));
    truncated(&[2, 10], &[], (0, 12, 8));
    truncated(&[2, 10, 11, 2, 12], &[1], (1, 12, 9));
    truncated(&[1, 10, 1, 11, 1], &[], (2, 8, 4));

    let (_folder, path) = file_of(&[2, 10, 11, 3, 12, 13], &[]);
    let mut reader = IvecsReader::open(&path).unwrap();
    let mut block = Vec::new();
    assert_eq!(reader.read_block(1, &mut block).unwrap(), 1);
    let error = reader.read_block(1, &mut block).unwrap_err();
    assert!(matches!(error, Ragged { record: 1, expected: 2, found: 3, .. }), "{error}");
    assert_eq!(error.to_string(), format!("{}: record 1 has dimension 3, record 0 has 2", path.display()));
}

#[test]
fn what_cannot_be_opened_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().to_owned(), folder.path().join("missing")] {
        let error = read_fvecs(&path).unwrap_err();
        assert!(matches!(&error, VectorFileError::Read { path: named, .. } if *named == path));
        assert!(error.to_string().starts_with(&format!("cannot read {}: ", path.display())), "{error}");
    }
    for path in [folder.path().to_owned(), folder.path().join("no/folder")] {
        let error = write_fvecs(&path, Rows::new(&[1.0], 1).unwrap()).unwrap_err();
        assert!(matches!(&error, VectorFileError::Write { path: named, .. } if *named == path));
    }
}

#[test]
fn a_file_that_is_not_finished_never_appears() {
    let (folder, path) = file_of(&[1, 7], &[]);
    let old = fs::read(&path).unwrap();
    let unchanged = || {
        assert_eq!(fs::read(&path).unwrap(), old);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    };

    let mut dropped = FvecsWriter::create(&path).unwrap();
    dropped.write(Rows::new(&[1.0; 100_000], 100).unwrap()).unwrap();
    drop(dropped);
    unchanged();

    let mut ragged = FvecsWriter::create(&path).unwrap();
    ragged.write(Rows::new(&[1.0, 2.0], 2).unwrap()).unwrap();
    let error = ragged.write(Rows::new(&[1.0, 2.0], 1).unwrap()).unwrap_err();
    assert!(matches!(error, VectorFileError::Ragged { record: 1, expected: 2, found: 1, .. }), "{error}");
    drop(ragged);
    unchanged();

    let error = write_fvecs(&path, Rows::new(&[], 3).unwrap()).unwrap_err();
    assert!(matches!(error, VectorFileError::Empty { .. }), "{error}");
    unchanged();

    let wide = vec![0.0; (1 << 20) + 1];
    let error = write_fvecs(&path, Rows::new(&wide, wide.len()).unwrap()).unwrap_err();
    assert!(matches!(error, VectorFileError::Dimension { .. }), "{error}");
    unchanged();
}
