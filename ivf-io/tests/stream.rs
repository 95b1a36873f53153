//! Tests of vectors from and to streams, of formats by name, and of the ground truths of Big-ANN.

use ivf_core::Rows;
use ivf_io::vectors::{FORMATS, VectorFormat};
use ivf_io::{VectorFileError, VectorReader, VectorWriter, read_vectors, write_vectors};
use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

/// A stream that gives a few bytes at a time, as a pipe may.
struct Drops(io::Cursor<Vec<u8>>);

impl Read for Drops {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let most = bytes.len().min(7);
        self.0.read(&mut bytes[..most])
    }
}

fn stream(bytes: &[u8], format: &str) -> Result<VectorReader, VectorFileError> {
    VectorReader::from_reader(Drops(io::Cursor::new(bytes.to_vec())), "the stream", format.parse().unwrap())
}

/// A target that keeps what is written to it.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns a file of 100 vectors x 3 in a format.
fn file(format: &VectorFormat) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("a.{format}"));
    write_vectors(&path, Rows::new(&numbers(), 3).unwrap()).unwrap();
    fs::read(&path).unwrap()
}

fn numbers() -> Vec<f32> {
    (0..300).map(|i| (i % 120) as f32).collect()
}

fn written() -> impl Iterator<Item = &'static VectorFormat> {
    FORMATS.iter().filter(|format| format.is_written())
}

#[test]
fn every_format_goes_through_streams() {
    for format in written() {
        let bytes = file(format);
        let mut reader = stream(&bytes, format.extension).unwrap();
        assert_eq!((reader.dim(), reader.len()), (3, 100), "{format}");
        let mut block = Vec::<f32>::new();
        assert_eq!(reader.read_block(2, &mut block).unwrap(), 2);
        assert_eq!(block, numbers()[..6], "{format}");
        reader.skip(50).unwrap();
        assert_eq!(reader.read_all::<f32>().unwrap().into_data(), numbers()[52 * 3..], "{format}");
        stream(&bytes, format.extension).unwrap().skip(u64::MAX).unwrap();

        let kept = Kept::default();
        let mut writer = VectorWriter::to_writer(kept.clone(), "the stream", format).unwrap();
        for rows in numbers().chunks(33) {
            writer.write(Rows::new(rows, 3).unwrap()).unwrap();
        }
        writer.finish().unwrap();
        assert!(*kept.0.lock().unwrap() == bytes, "{format}");
    }
}

#[test]
fn a_stream_that_is_not_as_long_as_its_header_says_is_an_error() {
    for format in written() {
        let bytes = file(format);
        for len in (0..bytes.len()).filter(|len| len % 41 == 0 || bytes.len() - len < 5) {
            let read = stream(&bytes[..len], format.extension).and_then(VectorReader::read_all::<f32>);
            let whole_records = format.extension.ends_with("vecs") && len > 0;
            assert!(read.is_err() || (whole_records && read.unwrap().rows().len() < 100), "{format}: {len}");
        }
        let longer = [&bytes[..], &[0]].concat();
        let error = stream(&longer, format.extension).and_then(VectorReader::read_all::<f32>).unwrap_err();
        assert!(error.to_string().starts_with("the stream: "), "{error}");
        if !format.extension.ends_with("vecs") {
            let mut skipped = stream(&longer, format.extension).unwrap();
            assert!(skipped.skip(100).is_err(), "{format}");
        }
    }
    let error = stream(&file("fbin".parse().unwrap())[..100], "fbin").unwrap().read_all::<f32>().unwrap_err();
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(
        (error.to_string().as_str(), why.as_str()),
        ("cannot read the stream", "it ends inside vector 7 of 100")
    );
}

#[test]
fn a_stream_reserves_no_more_memory_than_it_fills() {
    // 2^52 numbers, of which there are four.
    let bytes = [u32::MAX, 1 << 20, 0, 0, 0, 0].map(u32::to_le_bytes).concat();
    let error = stream(&bytes, "fbin").unwrap().read_all::<f32>().unwrap_err();
    assert!(matches!(error, VectorFileError::Read { .. }), "{error}");
    let mut block = Vec::<f32>::new();
    let mut reader = stream(&bytes, "fbin").unwrap();
    assert!(reader.read_block(usize::MAX, &mut block).is_err());
    assert!(block.capacity() <= 2 << 20, "{} numbers", block.capacity());
}

#[test]
fn a_stream_of_another_format_is_recognized() {
    let refused = |bytes: &[u8], format: &str| stream(bytes, format).unwrap_err().to_string();
    assert!(refused(b"\x1f\x8b\x08\0\0\0\0\0", "fvecs").contains("it looks like gzip"));
    assert!(refused(b"<!doctype html>\n<html>", "fbin").contains("it looks like an HTML page"));
    // The header alone may pass; then the end tells.
    let error = stream(&file("npy".parse().unwrap()), "u8bin").unwrap().read_all::<f32>().unwrap_err();
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.starts_with("it ends inside vector 0 of 1297436307; it looks like a NumPy file"), "{why}");
    assert!(matches!(stream(b"", "fvecs"), Err(VectorFileError::Empty { .. })));
    assert!(matches!(stream(b"", "npy"), Err(VectorFileError::Empty { .. })));
    let hdf5 = stream(b"\x89HDF\r\n\x1a\n", "hdf5").unwrap_err();
    assert!(matches!(hdf5, VectorFileError::Head { .. } | VectorFileError::Feature { .. }), "{hdf5}");
}

/// Environment variable with the format that the child process copies from its input to its output.
const COPY: &str = "IVF_TEST_COPY";

#[test]
fn a_dash_is_standard_input_and_output() {
    if let Ok(format) = std::env::var(COPY) {
        let vectors = VectorReader::open_as("-", format.parse().unwrap()).unwrap().read_all::<f32>().unwrap();
        let mut writer = VectorWriter::create_as("-", format.parse().unwrap()).unwrap();
        writer.write(vectors.rows()).unwrap();
        return writer.finish().unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("input");
    for format in written() {
        let bytes = file(format);
        fs::write(&path, &bytes).unwrap();
        for is_pipe in [true, false] {
            let input = if is_pipe { Stdio::piped() } else { fs::File::open(&path).unwrap().into() };
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "a_dash_is_standard_input_and_output", "--nocapture"])
                .env(COPY, format.extension)
                .stdin(input)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            if let Some(mut pipe) = child.stdin.take() {
                pipe.write_all(&bytes).unwrap();
            }
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{format}");
            // The test program writes lines of its own before and after the vectors.
            let found = output.stdout.windows(bytes.len()).any(|window| window == bytes);
            assert!(found, "{format}, pipe: {is_pipe}");
        }
    }
    let error = VectorReader::open("-").unwrap_err();
    assert!(matches!(error, VectorFileError::Format { .. }), "{error}");
}

/// A pipe with a name, as a shell makes it for `<(command)`, can be read only once.
#[cfg(unix)]
#[test]
fn a_named_pipe_is_refused_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["pipe", "pipe.fvecs"] {
        let path = folder.path().join(name);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        for error in
            [VectorReader::open(&path).unwrap_err(), VectorReader::open_as(&path, "fbin".parse().unwrap()).unwrap_err()]
        {
            let VectorFileError::Read { why, .. } = error else { panic!("{error:?}") };
            assert_eq!(why.to_string(), "it is not a regular file: use - for standard input");
        }
    }
}

#[test]
fn a_missing_file_of_any_name_is_missing() {
    for name in ["missing", "missing.csv", "missing.fvecs"] {
        let error = VectorReader::open(name).unwrap_err();
        assert!(matches!(error, VectorFileError::Read { .. }), "{error:?}");
    }
}

#[test]
fn formats_have_names() {
    for format in FORMATS {
        for name in [format.to_string(), format.to_string().to_uppercase(), format!(".{format}")] {
            let named: &VectorFormat = name.parse().unwrap();
            assert_eq!(named.extension, format.extension);
        }
    }
    let error = "csv".parse::<&VectorFormat>().unwrap_err().to_string();
    assert!(error.starts_with("unknown format of vectors 'csv'; expected one of fvecs, "), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vectors.dat");
    let mut writer = VectorWriter::create_as(&path, "fbin".parse().unwrap()).unwrap();
    writer.write(Rows::new(&[1.0_f32, 2.0], 2).unwrap()).unwrap();
    writer.finish().unwrap();
    let read = VectorReader::open_as(&path, "fbin".parse().unwrap()).unwrap().read_all::<f32>().unwrap();
    assert_eq!(read.into_data(), [1.0, 2.0]);
}

/// Returns a ground truth as Big-ANN writes it: ids, then distances.
fn ground_truth(queries: u32, k: u32) -> Vec<u8> {
    let ids = (0..queries * k).map(|i| (i * 7).to_le_bytes());
    let distances = (0..queries * k).map(|i| (i as f32 / 4.0).to_le_bytes());
    [queries, k].map(u32::to_le_bytes).into_iter().chain(ids).chain(distances).flatten().collect()
}

#[test]
fn a_ground_truth_of_big_ann_gives_its_ids() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let bytes = ground_truth(4, 3);
    let ids: Vec<i64> = (0..12).map(|i| i * 7).collect();
    let write = |path: &Path, bytes: &[u8]| fs::write(path, bytes).unwrap();
    for (name, bytes) in [("truth.ibin", &bytes[..]), ("ids.ibin", &bytes[..8 + 48]), ("truth.public.10K.bin", &bytes)]
    {
        write(&at(name), bytes);
        let reader = VectorReader::open_as(at(name), "ibin".parse().unwrap()).unwrap();
        assert_eq!((reader.dim(), reader.len()), (3, 4), "{name}");
        assert_eq!(reader.read_all::<i64>().unwrap().into_data(), ids, "{name}");
    }
    assert_eq!(read_vectors::<i64>(at("truth.ibin")).unwrap().into_data(), ids);
    assert_eq!(stream(&bytes, "ibin").unwrap().read_all::<i64>().unwrap().into_data(), ids);

    // Only the exact length tells a ground truth, and only ids may be one.
    let longer = [&bytes[..], &[0; 4]].concat();
    for (name, bytes) in [("a.ibin", &longer), ("a.fbin", &bytes)] {
        write(&at(name), bytes);
        assert!(VectorReader::open(at(name)).unwrap_err().to_string().contains("bytes more"), "{name}");
    }
    for (cut, what) in [
        (
            &bytes[..bytes.len() - 4],
            "are cut short: 104 bytes were expected, 100 are there; a file of the ids alone has 56",
        ),
        (&longer, "bytes more"),
    ] {
        write(&at("a.ibin"), cut);
        for error in
            [VectorReader::open(at("a.ibin")).unwrap_err(), stream(cut, "ibin").unwrap().read_all::<i64>().unwrap_err()]
        {
            assert!(error.to_string().contains(what), "{error}");
        }
    }
}
