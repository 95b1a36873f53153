//! The header of a dataset in an HDF5 file: its type, its shape, and the offset of its numbers.
//!
//! Only contiguous datasets are supported. h5py writes them by default, so the files of
//! ann-benchmarks have them. Such a dataset is read by the same code as any flat file, and as fast.
//! `hdf5-pure` reads only the metadata. Its code for decompressing chunks is left out of the build.

use super::format::{Shape, Source};
use super::{VectorFileError, VectorType};
use hdf5_pure::{
    Datatype, DatatypeByteOrder, Error, File, FloatingPointLayout, FormatError, Layout, ReadSeekSource, make_f32_type,
    make_i8_type, make_i32_type, make_i64_type, make_u8_type,
};
use std::fs;
use std::thread;

/// Maximum number of bytes of metadata that are read at once. A header message has at most 65,535.
const MOST: usize = 128 << 10;

/// Stack size of the parser's thread in bytes. A level of nested types takes 8 bytes of metadata
/// and about 1 KiB of stack, or several KiB in builds without optimisation.
const STACK: usize = MOST / 8 * (8 << 10);

/// Returns the supported HDF5 types, all little-endian.
fn types() -> [(Datatype, VectorType); 6] {
    [
        (make_f32_type(), VectorType::F32),
        (half_type(), VectorType::F16),
        (make_u8_type(), VectorType::U8),
        (make_i8_type(), VectorType::I8),
        (make_i32_type(), VectorType::I32),
        (make_i64_type(), VectorType::I64),
    ]
}

fn half_type() -> Datatype {
    let layout = FloatingPointLayout {
        bit_offset: 0,
        bit_precision: 16,
        exponent_location: 10,
        exponent_size: 5,
        mantissa_location: 0,
        mantissa_size: 10,
        exponent_bias: 15,
    };
    Datatype::FloatingPoint { size: 2, byte_order: DatatypeByteOrder::LittleEndian, layout }
}

/// Reads the header of a dataset. The parser is a large third-party library, and the bytes may be
/// hostile. The parser recurses as deep as types are nested, so it runs in a thread with a large
/// stack, which takes memory only as it is used. A panic of the parser becomes an error.
pub(super) fn read_head(source: &mut Source<'_>) -> Result<Shape, VectorFileError> {
    let source = &*source;
    thread::scope(|scope| {
        let reader = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || read_tables(source));
        let reader = reader.map_err(|why| VectorFileError::read(source.path, why))?;
        reader.join().unwrap_or_else(|_| Err(source.fault("its HDF5 metadata is invalid: the parser panicked")))
    })
}

/// A file that refuses long reads.
struct Tables(ReadSeekSource<fs::File>);

impl hdf5_pure::Source for Tables {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<(), FormatError> {
        match bytes.len() {
            0..=MOST => self.0.read_at(offset, bytes),
            len => Err(FormatError::Source(format!("a read of {len} bytes of metadata"))),
        }
    }
}

fn read_tables(source: &Source<'_>) -> Result<Shape, VectorFileError> {
    let fault = |why: Error| match why {
        Error::Io(why) => VectorFileError::read(source.path, why),
        why => source.fault(why.to_string()),
    };
    let handle = source.file.try_clone().map_err(|why| VectorFileError::read(source.path, why))?;
    let tables = ReadSeekSource::new(handle).map(Tables).map_err(Error::from);
    let file = tables.and_then(File::from_source).map_err(fault)?;
    let there = || file.root().datasets().map_err(fault);
    let missing = |there| VectorFileError::Dataset { path: source.path.to_owned(), there };
    let Some(name) = source.dataset else { return Err(missing(there()?)) };
    let dataset = match file.dataset(name) {
        Ok(dataset) => dataset,
        Err(why) => {
            let there = there()?;
            return Err(if there.iter().any(|other| other == name) { fault(why) } else { missing(there) });
        }
    };

    let datatype = dataset.datatype().map_err(fault)?;
    let element = types().into_iter().find(|(known, _)| *known == datatype).map(|(_, element)| element);
    // The name of a nested type can be long.
    let name = || datatype.to_string().chars().take(40).collect::<String>();
    let known = || types().map(|(_, element)| element.to_string()).join(", ");
    let element = element.ok_or_else(|| source.fault(format!("numbers of type {}; known are {}", name(), known())))?;
    let axes = dataset.shape().map_err(fault)?;
    let [len, dim] = axes[..] else {
        return Err(source.fault(format!("it has {} axes: vectors have two, (n, dim)", axes.len())));
    };
    let dim = source.dim(i64::try_from(dim).unwrap_or(i64::MAX))?;
    let mut shape = Shape { element, dim, len, start: 0, record_head: 0 };
    if len == 0 {
        return Ok(shape);
    }
    let (start, size) = match dataset.layout().map_err(fault)? {
        Layout::Contiguous { address: Some(start), size } => (start, size),
        Layout::Contiguous { .. } => return Err(source.fault("its numbers are not in this file")),
        layout => {
            let what = format!("its layout is {layout}, not contiguous: convert it with h5repack -l CONTI -f NONE");
            return Err(source.fault(what));
        }
    };
    shape.start = start;
    let left = source.bytes.saturating_sub(start);
    if u128::from(size) != shape.whole() {
        return Err(source.fault(format!("{len} vectors of {} bytes in {size} bytes", shape.record())));
    }
    if size > left {
        return Err(source.truncated(left / shape.record(), shape.record(), left % shape.record()));
    }
    Ok(shape)
}
