//! The header of a dataset in an HDF5 file: its type, its shape, and the offset of its numbers.
//!
//! Only contiguous datasets are supported. h5py writes them by default, so the files of
//! ann-benchmarks have them. Such a dataset is read by the same code as any flat file, and as fast.
//! `hdf5-pure` reads only the metadata. Its code for decompressing chunks is left out of the build.

use super::format::{Shape, Source};
use super::{VectorFileError, VectorType};
use hdf5_pure::{
    Datatype, DatatypeByteOrder, Error, File, FloatingPointLayout, FormatError, Layout, ReadSeekSource, make_f32_type,
    make_f64_type, make_i8_type, make_i16_type, make_i32_type, make_i64_type, make_u8_type, make_u16_type,
    make_u32_type, make_u64_type,
};
use std::fs;
use std::io;
use std::thread;

/// Maximum number of bytes of metadata that are read at once. A header message has at most 65,535.
const MOST: usize = 128 << 10;

/// Stack size of the parser's thread in bytes. A level of nested types takes 8 bytes of metadata
/// and about 1 KiB of stack, or several KiB in builds without optimisation.
const STACK: usize = MOST / 8 * (8 << 10);

/// Returns the supported HDF5 types, in their little-endian form.
fn types() -> [(Datatype, VectorType); 11] {
    [
        (make_f32_type(), VectorType::F32),
        (half_type(), VectorType::F16),
        (make_f64_type(), VectorType::F64),
        (make_u8_type(), VectorType::U8),
        (make_i8_type(), VectorType::I8),
        (make_u16_type(), VectorType::U16),
        (make_i16_type(), VectorType::I16),
        (make_u32_type(), VectorType::U32),
        (make_i32_type(), VectorType::I32),
        (make_u64_type(), VectorType::U64),
        (make_i64_type(), VectorType::I64),
    ]
}

/// Returns the element type of a datatype, and whether its numbers are big-endian.
fn element_of(datatype: &Datatype) -> Option<(VectorType, bool)> {
    let mut little = datatype.clone();
    let big_endian = match &mut little {
        Datatype::FixedPoint { byte_order, .. } | Datatype::FloatingPoint { byte_order, .. } => {
            let order = std::mem::replace(byte_order, DatatypeByteOrder::LittleEndian);
            if order == DatatypeByteOrder::Vax {
                return None;
            }
            order == DatatypeByteOrder::BigEndian
        }
        _ => false,
    };
    types().into_iter().find(|(known, _)| *known == little).map(|(_, element)| (element, big_endian))
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
    let Some(handle) = source.handle else {
        return Err(source.fault("an HDF5 file is not read in order, so it cannot come from a stream"));
    };
    let handle = handle.try_clone().map_err(|why| VectorFileError::read(source.path, why))?;
    let of_thread = &mut *source;
    let read = thread::scope(|scope| -> io::Result<_> {
        let reader = thread::Builder::new().stack_size(STACK);
        let reader = reader.spawn_scoped(scope, move || read_tables(of_thread, handle))?;
        Ok(reader.join().ok())
    });
    match read {
        Ok(Some(shape)) => shape,
        Ok(None) => Err(source.fault("its HDF5 metadata is invalid: the parser panicked")),
        Err(why) => Err(VectorFileError::read(source.path, why)),
    }
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

fn read_tables(source: &Source<'_>, handle: fs::File) -> Result<Shape, VectorFileError> {
    let fault = |why: Error| match why {
        Error::Io(why) => VectorFileError::read(source.path, why),
        why => source.fault(why.to_string()),
    };
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
    let (element, big_endian) = element_of(&datatype).ok_or_else(|| {
        // The name of a nested type can be long.
        let of = datatype.to_string().chars().take(40).collect::<String>();
        source.fault(format!(
            "numbers of type {of} cannot be read: convert them with h5py: file['{0}_f4'] = file['{0}'].astype('f4')[:]",
            name.escape_debug()
        ))
    })?;
    let axes = dataset.shape().map_err(fault)?;
    let [len, dim] = axes[..] else {
        return Err(source.fault(format!("it has {} axes: vectors have two, (n, dim)", axes.len())));
    };
    let dim = source.dim(i64::try_from(dim).unwrap_or(i64::MAX))?;
    let mut shape = Shape { big_endian, ..Shape::new(element, dim, len) };
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
