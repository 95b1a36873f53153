//! Fuzz targets for vector files. The readers take paths, so each input becomes a file, in memory
//! if the system supports that.

use ivf::Rows;
use ivf::io::vectors::VectorElement;
use ivf::io::{VectorReader, read_vectors, write_vectors};
use std::io::Write;
use std::path::Path;

/// Reads an fvecs, ivecs or bvecs file. The first byte selects the format.
pub fn vecs(bytes: &[u8]) {
    one_of(&["fvecs", "ivecs", "bvecs"], bytes);
}

/// Reads an fbin, ibin, u8bin or i8bin file. The first byte selects the format.
pub fn bin(bytes: &[u8]) {
    one_of(&["fbin", "ibin", "u8bin", "i8bin"], bytes);
}

/// Reads a NumPy file.
pub fn npy(bytes: &[u8]) {
    one_of(&["npy"], &[&[0], bytes].concat());
}

/// Reads an HDF5 file, with the dataset names of ann-benchmarks.
pub fn hdf5(bytes: &[u8]) {
    with_file("hdf5", bytes, |path| {
        // A few names and one type are enough: only the way to find a dataset differs.
        for dataset in ["", ":train", ":neighbors", ":group/inner"] {
            read_as::<f32>(Path::new(&format!("{}{dataset}", path.display())), None);
        }
    });
}

/// Reads the bytes after the first as a file with one of these extensions.
fn one_of(extensions: &[&str], bytes: &[u8]) {
    let Some((&which, bytes)) = bytes.split_first() else { return };
    let extension = extensions[usize::from(which) % extensions.len()];
    with_file(extension, bytes, |path| read(path, Some(extension)));
}

pub(crate) fn with_file(extension: &str, bytes: &[u8], check: impl FnOnce(&Path)) {
    let shared = Path::new("/dev/shm");
    let folder = if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() };
    let mut builder = tempfile::Builder::new();
    let suffix = format!(".{extension}");
    let mut file = builder.prefix("ivf-fuzz-").suffix(&suffix).tempfile_in(folder).expect("a place for files");
    file.write_all(bytes).expect("room for a file");
    check(file.path());
}

/// Reads the file as numbers of several types. The numbers of the first type are also written in
/// the given format, if they fit, and read back.
fn read(path: &Path, written_as: Option<&str>) {
    read_as::<f32>(path, written_as);
    read_as::<i64>(path, None);
    read_as::<u8>(path, None);
}

fn read_as<T: VectorElement>(path: &Path, written_as: Option<&str>) {
    let Ok(mut reader) = VectorReader::open(path) else { return };
    let (dim, len) = (reader.dim(), reader.len());
    let (mut block, mut blocks) = (Vec::<T>::new(), Vec::<T>::new());
    let read = loop {
        match reader.read_block(3, &mut block) {
            Ok(0) => break true,
            Ok(rows) => assert_eq!(block.len(), rows * dim),
            Err(_) => break false,
        }
        blocks.extend(&block);
    };
    let whole = read_vectors::<T>(path);
    assert_eq!(whole.is_ok(), read, "reading in blocks and as a whole agree");
    let Ok(whole) = whole else { return };
    assert_eq!((whole.dim(), whole.rows().len() as u64), (dim, len));
    let whole = whole.into_data();
    assert!(same(&whole, &blocks), "the same numbers");

    let mut reader = VectorReader::open(path).expect("it opened before");
    reader.skip(len - 1).expect("vectors that are there");
    assert_eq!(reader.read_block(9, &mut block).expect("the last vector"), 1);
    assert!(same(&whole[whole.len() - dim..], &block), "skipping leads to the last vector");

    if let Some(extension) = written_as {
        let copy = path.with_extension(format!("copy.{extension}"));
        // The format may not accept these numbers.
        if write_vectors(&copy, Rows::new(&whole, dim).expect("whole rows")).is_ok() {
            let again = read_vectors::<T>(&copy).expect("a file just written");
            std::fs::remove_file(&copy).expect("the file just read");
            assert!(same(again.rows().as_slice(), &whole), "written and read again");
        }
    }
}

/// Compares bits, so that NaNs must stay the same too.
fn same<T: VectorElement>(a: &[T], b: &[T]) -> bool {
    bytemuck::cast_slice::<T, u8>(a) == bytemuck::cast_slice::<T, u8>(b)
}
