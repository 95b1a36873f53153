//! Tests of vector files through the public API: round trips and malformed files.

use half::f16;
use ivf_core::Rows;
use ivf_io::vectors::{FORMATS, VectorElement};
use ivf_io::{VectorFileError, VectorReader, VectorType, VectorWriter, Vectors, read_vectors, write_vectors};
use proptest::prelude::*;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// Returns a folder and a file in it, made of 32-bit words and some bytes after them.
fn file_of(words: &[i32], rest: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ivecs");
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
        let mut writer = VectorWriter::create(&path).unwrap();
        for block in data.chunks(write_rows * dim) {
            writer.write(Rows::new(block, dim).unwrap()).unwrap();
        }
        writer.finish().unwrap();

        let mut reader = VectorReader::open(&path).unwrap();
        prop_assert_eq!((reader.dim(), reader.len()), (dim, len as u64));
        let (mut read, mut block) = (Vec::new(), vec![0.0_f32; 3]);
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
        prop_assert_eq!(read_vectors::<f32>(&path).unwrap(), Vectors::new(data, dim).unwrap());
    }

    #[test]
    fn garbage_does_not_panic(words in prop::collection::vec(-2_i32..4, 0..12), rest in prop::collection::vec(any::<u8>(), 0..9)) {
        let (_folder, path) = file_of(&words, &rest);
        if let Ok(vectors) = read_vectors::<i32>(&path) {
            let elements = vectors.rows().len() * (vectors.dim() + 1);
            prop_assert_eq!(elements * 4, words.len() * 4 + rest.len());
        }
    }
}

#[test]
fn integers_and_special_floats_keep_their_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ivecs");
    let ids = [i32::MIN, -1, 0, i32::MAX];
    write_vectors(&path, Rows::new(&ids, 2).unwrap()).unwrap();
    assert_eq!(fs::read(&path).unwrap()[..8], [2, 0, 0, 0, 0, 0, 0, 0x80]);
    assert_eq!(read_vectors::<i32>(&path).unwrap().into_data(), ids);

    let path = folder.path().join("a.fvecs");
    let floats = [f32::NAN, f32::INFINITY, -0.0, f32::MIN_POSITIVE];
    write_vectors(&path, Rows::new(&floats, 4).unwrap()).unwrap();
    let read = read_vectors::<f32>(&path).unwrap().into_data();
    assert!(read.iter().map(|x| x.to_bits()).eq(floats.iter().map(|x| x.to_bits())));
}

#[test]
fn each_malformed_file_has_its_error() {
    use VectorFileError::*;

    let (_folder, path) = file_of(&[], &[]);
    let error = VectorReader::open(&path).unwrap_err();
    assert!(matches!(&error, Empty { path: named } if *named == path));
    assert_eq!(error.to_string(), format!("{} has no vectors", path.display()));

    for dim in [0, -1, i32::MIN, i32::MAX, (1 << 20) + 1] {
        let (_folder, path) = file_of(&[dim, 1, 2], &[]);
        let error = VectorReader::open(&path).unwrap_err();
        assert!(matches!(error, Dimension { record: 0, found, .. } if found == i64::from(dim)), "{error}");
    }

    let truncated = |words: &[i32], rest: &[u8], expected: (u64, u64, u64)| {
        let (_folder, path) = file_of(words, rest);
        match VectorReader::open(&path).unwrap_err() {
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
    let mut reader = VectorReader::open(&path).unwrap();
    let mut block: Vec<i32> = Vec::new();
    assert_eq!(reader.read_block(1, &mut block).unwrap(), 1);
    let error = reader.read_block(1, &mut block).unwrap_err();
    assert!(matches!(error, Ragged { record: 1, expected: 2, found: 3, .. }), "{error}");
    assert_eq!(error.to_string(), format!("{}: record 1 has dimension 3, record 0 has 2", path.display()));
}

#[test]
fn a_header_that_ends_too_soon_is_cut_short_wherever_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes, expected) in [
        ("a.fvecs", &[2, 0, 0][..], (4, 3)),
        ("a.fbin", &[2, 0, 0], (4, 3)),
        ("a.fbin", &[2, 0, 0, 0, 1, 0], (8, 6)),
        ("a.npy", b"\x93NUMP", (6, 5)),
        ("a.npy", b"\x93NUMPY\x01", (8, 7)),
        ("a.npy", b"\x93NUMPY\x02\0\x76\0\0", (12, 11)),
        ("a.npy", b"\x93NUMPY\x01\0\x76\0{", (128, 11)),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        match VectorReader::open(&path).unwrap_err() {
            VectorFileError::Truncated { path: named, record: 0, needed, left } => {
                assert_eq!((named, (needed, left)), (path, expected));
            }
            error => panic!("{error}"),
        }
    }
}

#[test]
fn what_cannot_be_opened_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let a_folder = folder.path().join("folder.fvecs");
    fs::create_dir(&a_folder).unwrap();
    for path in [a_folder.clone(), folder.path().join("missing.fvecs")] {
        let error = read_vectors::<f32>(&path).unwrap_err();
        assert!(matches!(&error, VectorFileError::Read { path: named, .. } if *named == path));
        assert_eq!(error.to_string(), format!("cannot read {}", path.display()));
    }
    for path in [a_folder, folder.path().join("no/folder.fvecs")] {
        let error = write_vectors(&path, Rows::new(&[1.0_f32], 1).unwrap()).unwrap_err();
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

    let mut dropped = VectorWriter::create(&path).unwrap();
    dropped.write(Rows::new(&[1.0_f32; 100_000], 100).unwrap()).unwrap();
    drop(dropped);
    unchanged();

    let mut ragged = VectorWriter::create(&path).unwrap();
    ragged.write(Rows::new(&[1.0_f32, 2.0], 2).unwrap()).unwrap();
    let error = ragged.write(Rows::new(&[1.0_f32, 2.0], 1).unwrap()).unwrap_err();
    assert!(matches!(error, VectorFileError::Ragged { record: 1, expected: 2, found: 1, .. }), "{error}");
    drop(ragged);
    unchanged();

    let error = write_vectors::<f32>(&path, Rows::new(&[], 3).unwrap()).unwrap_err();
    assert!(matches!(error, VectorFileError::Empty { .. }), "{error}");
    unchanged();

    let wide = vec![0.0_f32; (1 << 20) + 1];
    let error = write_vectors(&path, Rows::new(&wide, wide.len()).unwrap()).unwrap_err();
    assert!(matches!(error, VectorFileError::Dimension { .. }), "{error}");
    unchanged();
}

/// Returns numbers that fit every type.
fn small<T: VectorElement>(len: usize) -> Vec<T> {
    (0..len as i64).map(|i| T::from_number(ivf_io::vectors::Number::Int(i * 7 % 101)).unwrap()).collect()
}

/// Writes vectors of `T` in two blocks, then reads them in blocks and skips some.
fn check_format<T: VectorElement + PartialEq>(extension: &str) {
    const DIM: usize = 5;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("a.{extension}"));
    let data: Vec<T> = small(9 * DIM);
    let mut writer = VectorWriter::create(&path).unwrap();
    for block in [&data[..DIM], &[], &data[DIM..]] {
        writer.write(Rows::new(block, DIM).unwrap()).unwrap();
    }
    writer.finish().unwrap();
    let mut reader = VectorReader::open(&path).unwrap();
    assert_eq!((reader.dim(), reader.len(), reader.left()), (DIM, 9, 9), "{extension}");
    let mut block = Vec::<T>::new();
    assert_eq!(reader.read_block(2, &mut block).unwrap(), 2);
    assert_eq!(block, data[..2 * DIM]);
    reader.skip(3).unwrap();
    assert_eq!(reader.read_block(9, &mut block).unwrap(), 4);
    assert_eq!(block, data[5 * DIM..], "{extension}");
    reader.skip(9).unwrap();
    assert_eq!((reader.read_block(9, &mut block).unwrap(), reader.left()), (0, 0));
    // Read as other types.
    assert_eq!(read_vectors::<f32>(&path).unwrap().into_data(), small::<f32>(9 * DIM));
    assert_eq!(read_vectors::<i64>(&path).unwrap().into_data(), small::<i64>(9 * DIM));
    assert_eq!(read_vectors::<u8>(&path).unwrap().into_data(), small::<u8>(9 * DIM));
    // The way to a length does not depend on the type in memory: one is enough.
    if T::TYPE != VectorType::F32 {
        return;
    }
    // Truncated at every length: an error, or fewer vectors if the cut is between two records of a
    // format without a count.
    let bytes = fs::read(&path).unwrap();
    for len in 0..bytes.len() {
        fs::write(&path, &bytes[..len]).unwrap();
        if let Ok(vectors) = read_vectors::<T>(&path) {
            assert!(extension.ends_with("vecs") && vectors.rows().len() < 9, "{extension}, {len}");
        }
    }
    fs::write(&path, [&bytes[..], &[0]].concat()).unwrap();
    assert!(read_vectors::<T>(&path).is_err(), "{extension} and a byte more");
}

#[test]
fn every_format_keeps_numbers_of_every_type_it_takes() {
    for format in FORMATS.iter().filter(|format| format.is_written()) {
        check_format::<f32>(format.extension);
        check_format::<f16>(format.extension);
        check_format::<u8>(format.extension);
        check_format::<i8>(format.extension);
        check_format::<i32>(format.extension);
        check_format::<i64>(format.extension);
        check_format::<u64>(format.extension);
        check_format::<u32>(format.extension);
        check_format::<i16>(format.extension);
        check_format::<u16>(format.extension);
        check_format::<f64>(format.extension);
    }
}

#[test]
fn numbers_that_do_not_fit_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.u8bin");
    let error = write_vectors(&path, Rows::new(&[1.0_f32, 2.0, 3.0, 2.5], 2).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), format!("{}: vector 1, dimension 1: 2.5 does not fit u8", path.display()));
    assert!(!path.exists());
    let path = folder.path().join("A.FVECS");
    write_vectors(&path, Rows::new(&[1.0_f32, -2.0], 2).unwrap()).unwrap();
    let error = read_vectors::<u8>(&path).unwrap_err();
    assert!(matches!(error, VectorFileError::Number { record: 0, column: 1, element: VectorType::U8, .. }), "{error}");
    let error = VectorWriter::create(folder.path().join("a.hdf")).unwrap_err();
    assert!(
        error.to_string().ends_with("should end in .fvecs, .ivecs, .bvecs, .fbin, .ibin, .u8bin, .i8bin, .npy"),
        "{error}"
    );
}

/// Returns a NumPy file with this dictionary.
fn npy(version: u8, dictionary: &str, data: &[u8]) -> Vec<u8> {
    let len = dictionary.len();
    let len = if version == 1 { (len as u16).to_le_bytes().to_vec() } else { (len as u32).to_le_bytes().to_vec() };
    [b"\x93NUMPY", &[version, 0][..], &len, dictionary.as_bytes(), data].concat()
}

#[test]
fn numpy_files_of_any_writer_are_read_and_others_say_why_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    let read = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        read_vectors::<f32>(&path)
            .map(|vectors| (vectors.dim(), vectors.into_data()))
            .map_err(|error| error.to_string())
    };
    let ones = [1_u8, 2, 3, 4];
    for (version, dictionary) in [
        (1, "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2), }\n"),
        (2, "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2), }    \n"),
        (3, "{'shape': (2, 2), 'fortran_order': False, 'descr': '<u1'}"),
        (1, "{ 'descr' : \"|u1\" , 'fortran_order' : False , 'shape' : ( 2 , 2 ) }"),
    ] {
        assert_eq!(read(&npy(version, dictionary, &ones)), Ok((2, vec![1.0, 2.0, 3.0, 4.0])), "{dictionary}");
    }
    for (dictionary, why) in [
        (
            "{'descr': '<f16', 'fortran_order': False, 'shape': (1, 1), }",
            "np.save('new.npy', np.load('a.npy').astype('float32'))",
        ),
        ("{'descr': '<c8', 'fortran_order': False, 'shape': (1, 1), }", "numbers of type '<c8' cannot be read"),
        ("{'descr': '|b1', 'fortran_order': False, 'shape': (1, 1), }", "numbers of type '|b1' cannot be read"),
        (
            "{'descr': '|O', 'fortran_order': False, 'shape': (1, 1), }",
            "convert the array before it is saved: np.save('new.npy', array.astype('float32'))",
        ),
        ("{'descr': '<', 'fortran_order': False, 'shape': (1, 1), }", "numbers of type '<' cannot be read"),
        ("{'descr': '\u{e4}f4', 'fortran_order': False, 'shape': (1, 1), }", "cannot be read"),
        ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1, 1), }", "numbers of type"),
        (
            "{'descr': '<f4', 'fortran_order': True, 'shape': (1, 1), }",
            "in Fortran order: save it again with np.save('new.npy', np.ascontiguousarray(np.load('a.npy')))",
        ),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }", "two axes"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1), }", "two axes"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (1, -1), }", "two axes"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (), }", "two axes"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4), }", "has no vectors"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 0), }", "dimension 0"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 99999999999), }", "dimension 99999999999"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (18446744073709551615, 1000000), }", "cut short"),
        ("{'descr': '<f4', 'shape': (1, 1), }", "no 'fortran_order'"),
        ("'descr': '<f4'", "not a dictionary"),
        ("{:}", "not a dictionary"),
        ("", "not a dictionary"),
    ] {
        let error = read(&npy(1, dictionary, &ones)).unwrap_err();
        assert!(
            error.contains(why) || (why == "has no vectors" && error.contains("bytes more")),
            "{dictionary}: {error}"
        );
    }
    // Integers that a float cannot hold exactly.
    for (descr, bytes, number) in [
        ("<u4", &16_777_217_u32.to_le_bytes()[..], "16777217"),
        ("<u8", &u64::MAX.to_le_bytes(), "18446744073709551615"),
        (">i8", &(-16_777_217_i64).to_be_bytes(), "-16777217"),
    ] {
        let head = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (1, 1), }}");
        let error = read(&npy(1, &head, bytes)).unwrap_err();
        let why = format!(
            "{number} does not fit f32; to round such numbers, save it again with np.save('new.npy', \
             np.load('a.npy').astype('float32'))"
        );
        assert!(error.ends_with(&why), "{error}");
    }
    let error = read(b"\x93NUMPY\x04\0\x02\0{}").unwrap_err();
    assert!(error.contains("version 4.0"), "{error}");
    assert!(read(b"\xff\xd8\xff\xe0 a picture").unwrap_err().contains("does not begin"));
    let long = npy(2, &" ".repeat(70_000), &[]);
    assert!(read(&long).unwrap_err().contains("the header has 70000 bytes"));
}

#[test]
fn numpy_files_of_every_number_and_byte_order_are_converted() {
    fn check<T: VectorElement>(kind: &str, numbers: [T; 4], read: [f32; 4]) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        for order in ['<', '>'] {
            let mut bytes = little_endian(&numbers);
            if order == '>' {
                bytes.chunks_exact_mut(size_of::<T>()).for_each(<[u8]>::reverse);
            }
            let head = format!("{{'descr': '{order}{kind}', 'fortran_order': False, 'shape': (2, 2), }}");
            fs::write(&path, npy(1, &head, &bytes)).unwrap();
            let reader = VectorReader::open(&path).unwrap();
            assert_eq!((reader.element(), reader.dim(), reader.len()), (T::TYPE, 2, 2), "{order}{kind}");
            assert_eq!(reader.read_all::<f32>().unwrap().into_data(), read, "{order}{kind}");
            // Without a conversion of the type, the byte order alone changes.
            let same = read_vectors::<T>(&path).unwrap().into_data();
            assert_eq!(little_endian(&same), little_endian(&numbers), "{order}{kind}");
        }
    }

    check("f8", [0.1_f64, -2.5, 1e-300, 1e38], [0.1, -2.5, 0.0, 1e38]);
    check("f4", [0.1_f32, -2.5, 1e-40, f32::INFINITY], [0.1, -2.5, 1e-40, f32::INFINITY]);
    check("f2", [0.1, -2.5, 3.0, 65504.0].map(f16::from_f32), [0.099975586, -2.5, 3.0, 65504.0]);
    check("u2", [0_u16, 1, 2, 65_535], [0.0, 1.0, 2.0, 65_535.0]);
    check("i2", [0_i16, -1, 2, i16::MIN], [0.0, -1.0, 2.0, -32_768.0]);
    check("u4", [0_u32, 1, 2, 1 << 31], [0.0, 1.0, 2.0, 2_147_483_648.0]);
    check("i4", [0_i32, -1, 2, i32::MIN], [0.0, -1.0, 2.0, -2_147_483_648.0]);
    check("u8", [0_u64, 1, 2, 1 << 63], [0.0, 1.0, 2.0, 9_223_372_036_854_775_808.0]);
    check("i8", [0_i64, -1, 2, 1 << 40], [0.0, -1.0, 2.0, 1_099_511_627_776.0]);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    for (kind, bytes) in
        [("<f8", 1e300_f64.to_le_bytes()), (">u8", u64::MAX.to_be_bytes()), ("<i8", i64::MAX.to_le_bytes())]
    {
        let head = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': (1, 1), }}");
        fs::write(&path, npy(1, &head, &bytes)).unwrap();
        let error = read_vectors::<f32>(&path).unwrap_err();
        assert!(matches!(error, VectorFileError::Number { record: 0, column: 0, .. }), "{kind}: {error}");
    }
}

/// Returns the bytes of numbers, as the writer writes them after the header.
fn little_endian<T: VectorElement>(numbers: &[T]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("raw.npy");
    write_vectors(&path, Rows::new(numbers, numbers.len()).unwrap()).unwrap();
    fs::read(&path).unwrap()[128..].to_vec()
}

#[test]
fn heads_of_big_ann_files_that_cannot_be_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.i8bin");
    for (words, rest) in [
        (vec![0_u32, 4], &[][..]),
        (vec![1, 0], &[0; 4]),
        (vec![u32::MAX, u32::MAX], &[0; 4]),
        (vec![u32::MAX, 1 << 20], &[0; 4]),
        (vec![2, 4], &[0; 7]),
        (vec![2, 4], &[0; 9]),
        (vec![2], &[]),
    ] {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).chain(rest.iter().copied()).collect();
        fs::write(&path, bytes).unwrap();
        assert!(VectorReader::open(&path).is_err(), "{words:?}");
    }
}

#[test]
fn an_npy_file_of_ids_may_have_one_axis() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ids.npy");
    for (descr, size) in [("<i8", 8), ("<i4", 4), ("<u2", 2)] {
        let head = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (3,), }}");
        let mut bytes = b"\x93NUMPY\x01\0".to_vec();
        bytes.extend_from_slice(&(head.len() as u16).to_le_bytes());
        bytes.extend_from_slice(head.as_bytes());
        for id in [7_u64, 0, 300] {
            bytes.extend_from_slice(&id.to_le_bytes()[..size]);
        }
        fs::write(&path, bytes).unwrap();
        let ids = ivf_io::read_vectors::<i64>(&path).unwrap();
        assert_eq!((ids.dim(), ids.into_data()), (1, vec![7, 0, 300]), "{descr}");
    }
}
