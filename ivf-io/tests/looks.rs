//! Tests of files under the name of another format: the error says what they look like, and what
//! to do.

use ivf_core::{Node, Rows};
use ivf_io::{VectorFileError, VectorReader, read_container, read_vectors, write_container, write_vectors};
use std::fs;
use std::path::Path;

/// Writes files of many kinds, and returns for each its name, what it looks like and the advice to
/// a reader of vectors.
fn samples(folder: &Path) -> Vec<(&'static str, &'static str, &'static str)> {
    let plain = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).unwrap();
    plain("pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n");
    plain("page", b"\n<!DOCTYPE html>\n<html><head><title>404</title>");
    plain("gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\x03random");
    plain("zip", b"PK\x03\x04\x14\0\0\0\x08\0");
    plain("zstd", b"\x28\xb5\x2f\xfd\x04\x58\x09\0\0");
    plain("faiss", b"IwFl\x40\0\0\0\xe8\x03\0\0\0\0\0\0");
    plain("csv", b"1.0,2.5,-3e4\n4.0,5.0,6.0\n");
    plain("named.csv", b"x;y;z\n1;2;3\n");
    plain("text", b"404: Not Found");
    write_container(&folder.join("index"), &Node::new("demo", 0)).unwrap();
    let data: Vec<f32> = (0..30).map(|i| i as f32 / 8.0).collect();
    for extension in ["npy", "fvecs", "fbin"] {
        write_vectors(folder.join(format!("a.{extension}")), Rows::new(&data, 5).unwrap()).unwrap();
        fs::rename(folder.join(format!("a.{extension}")), folder.join(extension)).unwrap();
    }
    fs::write(folder.join("hdf5"), b"\x89HDF\r\n\x1a\n\0\0\0\0\0\x08\x08\0\x04\0").unwrap();
    vec![
        ("pointer", "a git-lfs pointer", "git lfs pull"),
        ("page", "an HTML page", "download the file again"),
        ("gzip", "gzip-compressed data", "gunzip"),
        ("zip", "a zip archive", "unzip"),
        ("zstd", "zstd-compressed data", "unzstd"),
        ("faiss", "an index file of Faiss", "build an index from the vectors"),
        ("csv", "a table of numbers in text", "np.loadtxt(FILE, 'float32', delimiter=',')"),
        ("named.csv", "a table of numbers in text", "delimiter=';'"),
        ("text", "text that begins with '404: Not Found'", "check the name"),
        ("index", "an index file of this library", "a file of vectors is expected here"),
        ("npy", "a NumPy file", "let its name end in .npy, or give the format npy"),
        ("fvecs", "an fvecs or ivecs file of 6 vectors x 5", "give the format fvecs"),
        ("fbin", "an fbin or ibin file of 6 vectors x 5", "give the format fbin"),
        ("hdf5", "an HDF5 file", "FILE.hdf5:DATASET"),
    ]
}

#[test]
fn a_file_under_the_name_of_a_format_of_vectors_is_recognized() {
    let folder = tempfile::tempdir().unwrap();
    for (name, what, advice) in samples(folder.path()) {
        for extension in ["fvecs", "bvecs", "fbin", "i8bin", "npy", "csv"] {
            if name == extension {
                continue;
            }
            let path = folder.path().join(format!("copy.{extension}"));
            fs::copy(folder.path().join(name), &path).unwrap();
            let error = read_vectors::<f32>(&path).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(&format!("; it looks like {what}")), "{name} as {extension}: {text}");
            assert!(text.contains(advice), "{name} as {extension}: {text}");
            assert!(text.starts_with(&path.display().to_string()), "{text}");
            let VectorFileError::Looks { why, looks } = error else { panic!("{error:?}") };
            assert_eq!(format!("{why}; {looks}"), text);
        }
    }
}

#[test]
fn a_file_that_is_no_index_is_recognized() {
    let folder = tempfile::tempdir().unwrap();
    for (name, what, _) in samples(folder.path()) {
        let path = folder.path().join(name);
        if name == "index" {
            read_container(&path).unwrap();
            continue;
        }
        let text = read_container(&path).unwrap_err().to_string();
        let start = format!("cannot read {}: this is not an ivf index file; it looks like {what}", path.display());
        assert!(text.starts_with(&start), "{name}: {text}");
        let holds_vectors = ["npy", "fvecs", "fbin", "hdf5"].contains(&name);
        assert_eq!(text.ends_with(": build an index from its vectors first"), holds_vectors, "{text}");
    }
    let changed = folder.path().join("changed.ivf");
    let bytes = fs::read(folder.path().join("index")).unwrap();
    fs::write(&changed, String::from_utf8_lossy(&bytes).replace("\r\n", "\n")).unwrap();
    let text = read_container(&changed).unwrap_err().to_string();
    assert!(text.ends_with("a transfer in text mode has changed: transfer it again, in binary mode"), "{text}");
}

#[test]
fn a_file_of_its_own_format_is_not_told_to_look_like_it() {
    let folder = tempfile::tempdir().unwrap();
    for extension in ["fvecs", "fbin", "npy"] {
        let path = folder.path().join(format!("a.{extension}"));
        write_vectors(&path, Rows::new(&[1.0_f32; 12], 4).unwrap()).unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
        let error = VectorReader::open(&path).unwrap_err();
        assert!(matches!(error, VectorFileError::Truncated { .. }), "{error}");
    }
}
