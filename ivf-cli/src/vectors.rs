//! Files of vectors on the command line: their formats, and standard input.

use crate::failure::Failure;
use ivf_io::vectors::{VectorElement, VectorFormat};
use ivf_io::{VectorReader, VectorWriter, Vectors};
use std::cell::Cell;
use std::path::Path;

/// The option that names the format of vectors.
#[derive(clap::Args)]
pub(crate) struct VectorsArg {
    /// Format of vectors in files whose names do not end in one, and in standard input, which is
    /// the file named "-": fvecs, ivecs, bvecs, fbin, ibin, u8bin, i8bin, npy, hdf5. If all names
    /// end in one, it is that of all files
    #[arg(long, value_name = "FORMAT")]
    vector_format: Option<&'static VectorFormat>,
    /// Whether the names of all files to open end in a format.
    #[arg(skip)]
    all_named: Cell<bool>,
}

impl VectorsArg {
    /// Takes note of the files of vectors that the command will open. If all their names end in a
    /// format, the option is about all of them.
    pub(crate) fn will_open(&self, files: &[&Path]) {
        self.all_named.set(files.iter().all(|path| VectorFormat::of(path).is_ok()));
    }

    /// Opens a file of vectors, or standard input.
    ///
    /// # Errors
    /// [`Failure`] if the format is unknown, or if the file cannot be read.
    pub(crate) fn open(&self, path: &Path) -> Result<VectorReader, Failure> {
        let given = self.vector_format;
        match given.filter(|_| self.all_named.get()).or_else(|| format(path, given)) {
            Some(format) => Ok(VectorReader::open_as(path, format)?),
            None if is_standard(path) => {
                Err(Failure::Usage("the format of standard input is unknown: --vector-format names it".to_owned()))
            }
            None => Ok(VectorReader::open(path)?),
        }
    }

    /// Reads all vectors of a file, or of standard input.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub(crate) fn read<T: VectorElement>(&self, path: &Path) -> Result<Vectors<T>, Failure> {
        Ok(self.open(path)?.read_all()?)
    }
}

/// Starts a file of vectors, or standard output. `given` is the format if the name does not end in
/// one.
///
/// # Errors
/// [`Failure`] if the format is unknown, or if the file cannot be written.
pub(crate) fn create(path: &Path, given: Option<&'static VectorFormat>) -> Result<VectorWriter, Failure> {
    match format(path, given) {
        Some(format) => Ok(VectorWriter::create_as(path, format)?),
        None if is_standard(path) => {
            Err(Failure::Usage("the format of standard output is unknown: --output-format names it".to_owned()))
        }
        None => Ok(VectorWriter::create(path)?),
    }
}

/// Returns the format that the name ends in, or else the given one.
fn format(path: &Path, given: Option<&'static VectorFormat>) -> Option<&'static VectorFormat> {
    VectorFormat::of(path).ok().or(given)
}

/// Returns whether a path stands for standard input or output.
pub(crate) fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Returns the name of an input in messages.
pub(crate) fn named(path: &Path) -> &Path {
    if is_standard(path) { Path::new("standard input") } else { path }
}

/// Checks that at most one input is standard input.
///
/// # Errors
/// [`Failure`] if there are more.
pub(crate) fn check_inputs(inputs: &[&Path]) -> Result<(), Failure> {
    match inputs.iter().filter(|path| is_standard(path)).count() {
        0 | 1 => Ok(()),
        _ => Err(Failure::Usage("only one input can be standard input (-)".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_of_a_name_comes_before_the_given_format() {
        let given: Option<&'static VectorFormat> = Some("bvecs".parse().expect("a format"));
        let extension = |name: &str, given| format(Path::new(name), given).map(|format| format.extension);
        assert_eq!(extension("a.fbin", given), Some("fbin"));
        assert_eq!(extension("a.NPY", None), Some("npy"));
        assert_eq!(extension("a.part1", given), Some("bvecs"));
        assert_eq!(extension("-", given), Some("bvecs"));
        assert_eq!(extension("-", None), None);
    }

    #[test]
    fn one_input_can_be_standard_input() {
        let [standard, file] = ["-", "./-"].map(Path::new);
        assert!(check_inputs(&[]).is_ok() && check_inputs(&[file, standard, file]).is_ok());
        let error = check_inputs(&[standard, file, standard]).expect_err("two of them");
        assert_eq!(error.to_string(), "only one input can be standard input (-)");
        assert_eq!((named(standard), named(file)), (Path::new("standard input"), file));
    }
}
