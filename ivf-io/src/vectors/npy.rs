//! The header of NumPy files: `\x93NUMPY`, a version, and a Python dictionary.
//!
//! ```text
//! 93 4e 55 4d 50 59   1 0   76 00   {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }      \n
//! magic               1.0   length  padded with spaces, so that the numbers start at a multiple of 64
//! ```

use super::format::{Shape, Source};
use super::{VectorFileError, VectorType};
use std::path::Path;

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// Maximum length of the dictionary in bytes. A longer one is taken as a sign of another format.
const MAX_HEAD: usize = 1 << 16;

/// NumPy's names of the element types: a letter for the kind, and the size in bytes. In a header, a
/// character for the byte order comes first.
const TYPES: [(&str, VectorType); 11] = [
    ("f4", VectorType::F32),
    ("f2", VectorType::F16),
    ("f8", VectorType::F64),
    ("u1", VectorType::U8),
    ("i1", VectorType::I8),
    ("u2", VectorType::U16),
    ("i2", VectorType::I16),
    ("u4", VectorType::U32),
    ("i4", VectorType::I32),
    ("u8", VectorType::U64),
    ("i8", VectorType::I64),
];

/// Returns the element type of a name, and whether its numbers are big-endian.
fn element_of(name: &str) -> Option<(VectorType, bool)> {
    let (order, kind) = name.split_at_checked(1)?;
    let &(_, element) = TYPES.iter().find(|(known, _)| *known == kind)?;
    match order {
        // A byte has no byte order.
        _ if element.size() == 1 && "|<>=".contains(order) => Some((element, false)),
        "<" | "=" => Some((element, false)),
        ">" => Some((element, true)),
        _ => None,
    }
}

pub(super) fn read_head(source: &mut Source<'_>) -> Result<Shape, VectorFileError> {
    let path = source.path.to_owned();
    let fault = |what: String| VectorFileError::Head { path: path.clone(), what };
    if &source.take::<6>()? != MAGIC {
        return Err(fault("it does not begin with NumPy's magic number".to_owned()));
    }
    let (len, before) = match source.take::<2>()? {
        [1, 0] => (u16::from_le_bytes(source.take()?).into(), 10),
        [2 | 3, 0] => (u32::from_le_bytes(source.take()?) as usize, 12),
        [major, minor] => return Err(fault(format!("version {major}.{minor} of NumPy's format is not supported"))),
    };
    if len > MAX_HEAD {
        return Err(fault(format!("the header has {len} bytes, more than {MAX_HEAD}")));
    }
    let mut head = vec![0; len];
    if source.bytes < (before + len) as u64 {
        return Err(source.truncated(0, (before + len) as u64, source.bytes));
    }
    source.file.read_exact(&mut head).map_err(|why| VectorFileError::read(source.path, why))?;
    let head = String::from_utf8(head).map_err(|_| fault("the header is not UTF-8 text".to_owned()))?;
    let entries = dictionary(&head).ok_or_else(|| fault(format!("the header is not a dictionary: {}", head.trim())))?;
    let entry = |name: &str| {
        let found = entries.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| *value).ok_or_else(|| fault(format!("the header has no '{name}'")))
    };

    let again = |change: &str| save_again(&path, change);
    let name = entry("descr")?.trim_matches(['\'', '"']);
    let (element, big_endian) = element_of(name).ok_or_else(|| {
        // NumPy loads no objects from a file, and turns only numbers into floats.
        let is_number = name.get(1..).is_some_and(|kind| kind.starts_with(['b', 'c', 'f', 'i', 'u']));
        let advice = match is_number {
            true => again("{}.astype('float32')"),
            false => "convert the array before it is saved: np.save('new.npy', array.astype('float32'))".to_owned(),
        };
        let name: String = name.chars().take(60).collect();
        fault(format!("numbers of type '{name}' cannot be read: {advice}"))
    })?;
    if entry("fortran_order")? != "False" {
        return Err(fault(format!("it is in Fortran order: {}", again("np.ascontiguousarray({})"))));
    }
    let shape = entry("shape")?;
    let axes = shape.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).unwrap_or("").split(',');
    let axes: Vec<&str> = axes.map(str::trim).filter(|axis| !axis.is_empty()).collect();
    let numbers: Option<Vec<u64>> = axes.iter().map(|axis| axis.parse().ok()).collect();
    let is_ids = !matches!(element, VectorType::F16 | VectorType::F32 | VectorType::F64);
    let (len, dim) = match numbers.as_deref() {
        Some(&[len, dim]) => (len, dim),
        // A list of ids, such as that of `np.arange`: rows of one.
        Some(&[len]) if is_ids => (len, 1),
        _ => return Err(fault(format!("the shape {shape}: vectors have two axes, (n, dim)"))),
    };
    let dim = source.dim(i64::try_from(dim).unwrap_or(i64::MAX))?;
    let start = (before + head.len()) as u64;
    source.check_len(Shape { start, big_endian, ..Shape::new(element, dim, len) })
}

/// Returns advice to save a file again. In `change`, `{}` stands for the loaded array.
pub(super) fn save_again(path: &Path, change: &str) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let load = format!("np.load('{}')", file.escape_debug());
    format!("save it again with np.save('new.npy', {})", change.replace("{}", &load))
}

/// Returns the keys and values, as text, of a Python dictionary of literals.
fn dictionary(text: &str) -> Option<Vec<(&str, &str)>> {
    let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let (key, after) = rest.split_once(':')?;
        let key = key.trim();
        let key = key.strip_prefix('\'').and_then(|key| key.strip_suffix('\''))?;
        // A comma inside parentheses or brackets does not end the value.
        let mut depth = 0;
        let end = after.char_indices().find_map(|(at, c)| {
            match c {
                '(' | '[' => depth += 1,
                ')' | ']' => depth -= 1,
                ',' if depth == 0 => return Some(at),
                _ => {}
            }
            None
        });
        let (value, after) = after.split_at(end.unwrap_or(after.len()));
        entries.push((key, value.trim()));
        rest = after.strip_prefix(',').unwrap_or(after).trim();
    }
    Some(entries)
}

/// Makes a header, always of 128 bytes. So a header that was written before the vectors were
/// counted can be replaced afterwards.
pub(super) fn head(shape: &Shape) -> Option<Vec<u8>> {
    let (name, _) = TYPES.iter().find(|(_, element)| *element == shape.element)?;
    let order = if shape.element.size() == 1 { '|' } else { '<' };
    let dictionary =
        format!("{{'descr': '{order}{name}', 'fortran_order': False, 'shape': ({}, {}), }}", shape.len, shape.dim);
    let mut head = [&MAGIC[..], &[1, 0, 118, 0], dictionary.as_bytes()].concat();
    // This fits: each axis has at most 20 digits.
    head.resize(127, b' ');
    head.push(b'\n');
    Some(head)
}
