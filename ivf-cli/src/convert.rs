//! `ivf convert`: converts a file of vectors to another format.

use crate::failure::{self, Failure};
use crate::paths::check_output;
use crate::progress::{ProgressArg, Stages};
use crate::table::plural;
use crate::vectors::{self, VectorsArg};
use half::f16;
use ivf_core::Rows;
use ivf_core::params::Progress as _;
use ivf_io::vectors::{VectorElement, VectorFormat};
use ivf_io::{VectorFileError, VectorReader, VectorType, VectorWriter};
use std::io::Write;
use std::path::PathBuf;

/// Number of bytes read and written at a time.
const BLOCK_BYTES: usize = 8 << 20;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// File to read, or - for standard input. Its extension determines the format (fvecs, ivecs,
    /// bvecs, fbin, ibin, u8bin, i8bin, npy, hdf5:DATASET)
    input: PathBuf,
    /// File to write, or - for standard output, in the format of its extension (the same formats
    /// except hdf5). All numbers keep their values. It is an error if one does not fit the format
    output: PathBuf,
    #[command(flatten)]
    vectors: VectorsArg,
    /// Format to write, if the name of the output does not end in one
    #[arg(long, value_name = "FORMAT")]
    output_format: Option<&'static VectorFormat>,
    /// Number of vectors to skip at the start
    #[arg(long, value_name = "N", default_value = "0")]
    skip: u64,
    /// Maximum number of vectors to convert
    #[arg(long, value_name = "N")]
    take: Option<u64>,
    #[command(flatten)]
    progress: ProgressArg,
}

/// Runs the command.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Result<(), Failure> {
    let to_stdout = vectors::is_standard(&args.output);
    if !to_stdout {
        check_output(&args.output, &[&args.input])?;
    }
    let stages = args.progress.start();
    args.vectors.will_open(&[&args.input]);
    let mut reader = args.vectors.open(&args.input)?;
    let writer = vectors::create(&args.output, args.output_format)?;
    reader.skip(args.skip)?;
    let (dim, element) = (reader.dim(), reader.element());
    let vectors = match element {
        VectorType::F32 => copy::<f32>(reader, writer, args.take, &stages),
        VectorType::F16 => copy::<f16>(reader, writer, args.take, &stages),
        VectorType::F64 => copy::<f64>(reader, writer, args.take, &stages),
        VectorType::U8 => copy::<u8>(reader, writer, args.take, &stages),
        VectorType::I8 => copy::<i8>(reader, writer, args.take, &stages),
        VectorType::I32 => copy::<i32>(reader, writer, args.take, &stages),
        VectorType::U64 => copy::<u64>(reader, writer, args.take, &stages),
        _ => copy::<i64>(reader, writer, args.take, &stages),
    };
    let vectors = vectors.map_err(|error| failure_of(error, to_stdout))?;
    let vectors = plural(vectors, "vector", "vectors");
    if to_stdout {
        failure::say(format_args!("standard output: {vectors} of {dim} x {element}"));
        return Ok(());
    }
    writeln!(out, "{}: {vectors} of {dim} x {element}", args.output.display())?;
    Ok(())
}

/// Copies the vectors that are left, at most `take`. Returns their number.
fn copy<T: VectorElement>(
    mut reader: VectorReader,
    mut writer: VectorWriter,
    take: Option<u64>,
    stages: &Stages,
) -> Result<u64, VectorFileError> {
    let all = take.unwrap_or(u64::MAX).min(reader.left());
    let most = (BLOCK_BYTES / (reader.dim() * size_of::<T>())).max(1);
    let bar = stages.stage();
    let (mut done, mut block) = (0, Vec::<T>::new());
    while done < all {
        let rows = reader.read_block(most.min(usize::try_from(all - done).unwrap_or(usize::MAX)), &mut block)?;
        writer.write(Rows::new(&block, reader.dim()).expect("whole vectors"))?;
        done += rows as u64;
        bar.step("convert", done, all);
    }
    writer.finish()?;
    Ok(done)
}

/// Returns the failure of a conversion. A pipe that its reader has closed is no file that cannot be
/// written.
fn failure_of(error: VectorFileError, to_stdout: bool) -> Failure {
    match error {
        VectorFileError::Write { why, .. } if to_stdout => Failure::Output(why),
        error => error.into(),
    }
}
