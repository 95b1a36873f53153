//! Vector files. They are read by their paths, so each input becomes a file, in memory where the system has a place for that.

use ivf::Rows;
use ivf::io::vectors::VectorElement;
use ivf::io::{VectorReader, read_vectors, write_vectors};
use std::io::Write;
use std::path::Path;

/// fvecs, ivecs or bvecs, as the first byte says.
pub fn vecs(bytes: &[u8]) {
    one_of(&["fvecs", "ivecs", "bvecs"], bytes);
}

/// fbin, ibin, u8bin or i8bin, as the first byte says.
pub fn bin(bytes: &[u8]) {
    one_of(&["fbin", "ibin", "u8bin", "i8bin"], bytes);
}

/// NumPy's.
pub fn npy(bytes: &[u8]) {
    one_of(&["npy"], &[&[0], bytes].concat());
}

/// HDF5, with the names that ann-benchmarks gives.
pub fn hdf5(bytes: &[u8]) {
    with_file("hdf5", bytes, |path| {
        // Few names and one type: what differs is how a dataset is found.
        for dataset in ["", ":train", ":neighbors", ":group/inner"] {
            read_as::<f32>(Path::new(&format!("{}{dataset}", path.display())), None);
        }
    });
}

/// Reads the rest of the bytes as a file of one of these kinds.
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

/// The file as numbers of several types; what is read is written again, in the same format if it can be, and read back.
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
    assert_eq!(whole.is_ok(), read, "in blocks as in one piece");
    let Ok(whole) = whole else { return };
    assert_eq!((whole.dim(), whole.rows().len() as u64), (dim, len));
    let whole = whole.into_data();
    assert!(same(&whole, &blocks), "the same numbers");

    let mut reader = VectorReader::open(path).expect("it opened before");
    reader.skip(len - 1).expect("vectors that are there");
    assert_eq!(reader.read_block(9, &mut block).expect("the last vector"), 1);
    assert!(same(&whole[whole.len() - dim..], &block), "the last vector is the last");

    if let Some(extension) = written_as {
        let copy = path.with_extension(format!("copy.{extension}"));
        // A format of other numbers may not take them.
        if write_vectors(&copy, Rows::new(&whole, dim).expect("whole rows")).is_ok() {
            let again = read_vectors::<T>(&copy).expect("a file just written");
            std::fs::remove_file(&copy).expect("the file just read");
            assert!(same(again.rows().as_slice(), &whole), "written and read again");
        }
    }
}

/// Bit for bit: what is no number has to stay what it is, too.
fn same<T: VectorElement>(a: &[T], b: &[T]) -> bool {
    bytemuck::cast_slice::<T, u8>(a) == bytemuck::cast_slice::<T, u8>(b)
}
