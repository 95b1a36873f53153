//! The header of a container: the tree of nodes, then the table of sections.
//!
//! ```text
//! header    tree: node, count u32, sections
//! node      tag str, version u16, fields (length u32, bytes), count u32, arrays, count u32, children
//! fields    version 2 of the format: a list of (name, value), as `ivf_core::wire::meta` writes it;
//!           version 1: the values alone
//! array     name str, dtype u8, axes u8, that many u64, section number u32
//! child     name str, node
//! section   offset u64, length u64, crc32c u32
//! str       length u16, UTF-8
//! ```

use super::error::NodeError;
use super::preamble::{self, Preamble};
use ivf_core::Section;
use ivf_core::bytes::ALIGN;
use ivf_core::error::DecodeError;
use ivf_core::field::{Scalar, Value};
use ivf_core::node::{DType, NamedArray, Node, StoredArray, StoredFields, StoredNode};
use ivf_core::wire::meta::{self, MAX_META};
use ivf_core::wire::{Reader, Writer};
use std::collections::HashSet;
use std::sync::Arc;

/// Maximum number of levels of nodes in a container. The root is level 1.
pub const MAX_DEPTH: usize = 100;

/// Maximum number of axes of an array.
pub const MAX_AXES: usize = u8::MAX as usize;

/// Maximum length in bytes of the path before an array's name, as reported. The end of a longer
/// path is kept.
const MAX_PATH: usize = 100;

/// Maximum length in bytes of a name: a tag, or the name of an array, a child or a field.
pub const MAX_NAME: usize = 255;

const WHAT: &str = "the header";

/// Minimum size in bytes of an encoded array, child and section. The reader checks counts against
/// it.
const LEAST_ARRAY: usize = 2 + 1 + 1 + 4;
const LEAST_CHILD: usize = 2 + 2 + 2 + 4 + 4 + 4;
const SECTION: usize = 8 + 8 + 4;

/// Offset, length and checksum of a section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) crc: u32,
}

/// An encoded header, the sections that follow it, and the length of the file.
pub(super) struct Encoded<'n, 'a> {
    pub(super) bytes: Vec<u8>,
    pub(super) sections: Vec<(Extent, &'n NamedArray<'a>)>,
    pub(super) file_len: u64,
}

/// Encodes the header of a tree. Reads all its arrays once, for their checksums.
pub(super) fn encode<'n, 'a>(root: &'n Node<'a>) -> Result<Encoded<'n, 'a>, NodeError> {
    let mut tree = Writer::new();
    let mut arrays = Vec::new();
    put_node(&mut tree, root, 1, &mut arrays)?;
    let mut bytes = tree.into_bytes();

    let mut table = Writer::new();
    table.count(arrays.len());
    let mut end = (preamble::LEN + bytes.len() + size_of::<u32>() + arrays.len() * SECTION) as u64;
    let mut sections = Vec::with_capacity(arrays.len());
    for array in arrays {
        let crc = array.pieces.iter().fold(0, |crc, piece| crc32c::crc32c_append(crc, piece));
        let section = Extent { offset: end.next_multiple_of(ALIGN as u64), len: array.byte_len(), crc };
        table.u64(section.offset);
        table.u64(section.len);
        table.u32(section.crc);
        end = section.offset + section.len;
        sections.push((section, array));
    }
    bytes.extend(table.into_bytes());
    Ok(Encoded { bytes, sections, file_len: end })
}

fn put_node<'n, 'a>(
    out: &mut Writer,
    node: &'n Node<'a>,
    depth: usize,
    arrays: &mut Vec<&'n NamedArray<'a>>,
) -> Result<(), NodeError> {
    if depth > MAX_DEPTH {
        return Err(NodeError::Depth { tag: node.tag.clone() });
    }
    put_str(out, "the bytes of a tag", &node.tag)?;
    out.u16(node.version);
    let fields = field_bytes(node)?;
    out.count(fields.len());
    out.bytes(&fields);

    unique(node, "arrays", node.arrays.iter().map(|array| &array.name))?;
    put_count(out, "the arrays of a node", node.arrays.len())?;
    for array in &node.arrays {
        if shape_bytes(array.dtype, &array.shape) != Some(array.byte_len()) {
            let (tag, name) = (node.tag.clone(), array.name.clone());
            return Err(NodeError::Shape { tag, name, len: array.byte_len() });
        }
        put_str(out, "the bytes of a name", &array.name)?;
        out.u8(dtype_number(array.dtype));
        limit("the axes of an array", array.shape.len(), MAX_AXES)?;
        out.u8(array.shape.len() as u8);
        array.shape.iter().for_each(|&axis| out.u64(axis));
        put_count(out, "the arrays of a file", arrays.len())?;
        arrays.push(array);
    }

    unique(node, "children", node.children.iter().map(|(name, _)| name))?;
    put_count(out, "the children of a node", node.children.len())?;
    for (name, child) in &node.children {
        put_str(out, "the bytes of a name", name)?;
        put_node(out, child, depth + 1, arrays)?;
    }
    Ok(())
}

/// Encodes the fields of a node. Checks that a reader accepts them.
fn field_bytes(node: &Node<'_>) -> Result<Vec<u8>, NodeError> {
    for (name, value) in node.fields.iter() {
        check_name("the bytes of a field's name", name)?;
        let scalars = match value {
            Value::One(scalar) => std::slice::from_ref(scalar),
            Value::List(scalars) => scalars,
        };
        // A metric is stored by its name. The name of an invalid one, such as `Lp` of a NaN, does
        // not parse.
        let is_nameless =
            |scalar: &Scalar| matches!(scalar, Scalar::Metric(metric) if metric.to_string().parse() != Ok(*metric));
        if scalars.iter().any(is_nameless) {
            return Err(NodeError::Metric { tag: node.tag.clone(), name: name.to_owned() });
        }
    }
    let too_many = |len| NodeError::Limit { what: "the bytes of a node's fields", len, most: MAX_META };
    meta::to_bytes(&node.fields).map_err(too_many)
}

fn check_name(what: &'static str, text: &str) -> Result<(), NodeError> {
    limit(what, text.len(), MAX_NAME)?;
    if text.chars().any(char::is_control) {
        return Err(NodeError::Name { name: text.to_owned() });
    }
    Ok(())
}

fn put_str(out: &mut Writer, what: &'static str, text: &str) -> Result<(), NodeError> {
    check_name(what, text)?;
    out.str(text);
    Ok(())
}

fn put_count(out: &mut Writer, what: &'static str, count: usize) -> Result<(), NodeError> {
    limit(what, count, u32::MAX as usize)?;
    out.count(count);
    Ok(())
}

fn limit(what: &'static str, len: usize, most: usize) -> Result<(), NodeError> {
    if len > most { Err(NodeError::Limit { what, len, most }) } else { Ok(()) }
}

fn unique<'s>(
    node: &Node<'_>,
    what: &'static str,
    mut names: impl Iterator<Item = &'s String>,
) -> Result<(), NodeError> {
    let mut seen = HashSet::new();
    match names.find(|&name| !seen.insert(name)) {
        Some(name) => Err(NodeError::Duplicate { tag: node.tag.clone(), what, name: name.clone() }),
        None => Ok(()),
    }
}

/// A header that was read and checked. The sections lie inside the file, one after the other, and
/// each holds the bytes of exactly one array.
#[derive(Debug)]
pub(super) struct Header {
    root: NodeEntry,
    pub(super) sections: Vec<Extent>,
    /// The version of the file's format.
    pub(super) version: (u16, u16),
    /// Offset in the file at which the header ends.
    pub(super) end: u64,
}

#[derive(Debug)]
struct NodeEntry {
    tag: String,
    version: u16,
    fields: StoredFields,
    arrays: Vec<ArrayEntry>,
    children: Vec<(String, NodeEntry)>,
}

#[derive(Debug)]
struct ArrayEntry {
    name: String,
    dtype: DType,
    shape: Vec<u64>,
    section: usize,
}

impl Header {
    /// Parses a header, which must use all of `bytes`.
    pub(super) fn parse(bytes: &[u8], preamble: &Preamble) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(WHAT, bytes);
        let root = NodeEntry::parse(&mut reader, preamble.version.0, 1)?;
        let end = (preamble::LEN + bytes.len()) as u64;
        let sections = parse_sections(&mut reader, end, preamble.file_len)?;
        reader.finish()?;
        let mut unused = vec![true; sections.len()];
        root.claim(&sections, &mut unused)?;
        match unused.iter().position(|&unused| unused) {
            Some(i) => Err(DecodeError::value(WHAT, format!("section {i} belongs to no array"))),
            None => Ok(Self { root, sections, version: preamble.version, end }),
        }
    }

    /// Returns the tree, with `sections` as the bytes of its arrays.
    ///
    /// # Panics
    /// If `sections` has fewer entries than the header.
    pub(super) fn to_stored(&self, sections: &[Arc<dyn Section>]) -> StoredNode {
        self.root.to_stored(sections)
    }

    /// Returns the arrays, ordered by section number.
    pub(super) fn arrays(&self) -> Vec<ArrayInfo<'_>> {
        let mut arrays = Vec::with_capacity(self.sections.len());
        self.root.collect_arrays("", &mut arrays);
        arrays.sort_by_key(|array| array.section);
        arrays
    }

    /// Returns the name of a section for error messages: its number and its array.
    pub(super) fn section_name(&self, number: usize) -> String {
        let arrays = self.arrays();
        format!("section {number} ({})", arrays.get(number).map_or("", |array| &array.path))
    }
}

impl NodeEntry {
    /// Parses a node at level `depth` of a file whose format has the major version `major`.
    fn parse(reader: &mut Reader<'_>, major: u16, depth: usize) -> Result<Self, DecodeError> {
        if depth > MAX_DEPTH {
            return Err(DecodeError::value(WHAT, format!("nodes are nested deeper than {MAX_DEPTH} levels")));
        }
        let tag = read_name(reader)?.to_owned();
        let version = reader.u16()?;
        let fields = read_fields(&tag, reader, major)?;

        // The vectors grow as items are read. With nested nodes, reserving memory by the counts
        // could take a multiple of the file's length.
        let mut arrays = Vec::new();
        let mut names = HashSet::new();
        for _ in 0..reader.count(LEAST_ARRAY)? {
            let name = read_name(reader)?;
            if !names.insert(name) {
                return Err(DecodeError::value(tag, format!("two arrays are named '{name}'")));
            }
            arrays.push(ArrayEntry::parse(name, reader)?);
        }
        let mut children = Vec::new();
        names.clear();
        for _ in 0..reader.count(LEAST_CHILD)? {
            let name = read_name(reader)?;
            if !names.insert(name) {
                return Err(DecodeError::value(tag, format!("two children are named '{name}'")));
            }
            children.push((name.to_owned(), Self::parse(reader, major, depth + 1)?));
        }
        Ok(Self { tag, version, fields, arrays, children })
    }

    /// Checks that each array has a section of its own, of matching length.
    fn claim(&self, sections: &[Extent], unused: &mut [bool]) -> Result<(), DecodeError> {
        for array in &self.arrays {
            let fault = |what: &str| Err(DecodeError::value(&self.tag, format!("array '{}' {what}", array.name)));
            let Some(section) = sections.get(array.section) else {
                return fault("names a section that does not exist");
            };
            if !std::mem::take(&mut unused[array.section]) {
                return fault("names a section of another array");
            }
            if shape_bytes(array.dtype, &array.shape) != Some(section.len) {
                return fault("has a shape that does not match the length of its section");
            }
        }
        self.children.iter().try_for_each(|(_, child)| child.claim(sections, unused))
    }

    fn to_stored(&self, sections: &[Arc<dyn Section>]) -> StoredNode {
        let array = |entry: &ArrayEntry| StoredArray {
            name: entry.name.clone(),
            dtype: entry.dtype,
            shape: entry.shape.clone(),
            bytes: sections[entry.section].clone(),
        };
        let child = |(name, child): &(String, NodeEntry)| (name.clone(), child.to_stored(sections));
        StoredNode {
            tag: self.tag.clone(),
            version: self.version,
            fields: self.fields.clone(),
            arrays: self.arrays.iter().map(array).collect(),
            children: self.children.iter().map(child).collect(),
        }
    }

    fn collect_arrays<'s>(&'s self, path: &str, found: &mut Vec<ArrayInfo<'s>>) {
        found.extend(self.arrays.iter().map(|array| ArrayInfo {
            section: array.section,
            path: format!("{path}{}", array.name),
            dtype: array.dtype,
            shape: &array.shape,
        }));
        for (name, child) in &self.children {
            child.collect_arrays(&shortened(format!("{path}{name}/")), found);
        }
    }
}

/// Reads the fields of a node. In major version 1 they stay bytes, because only the node's kind
/// knows their names.
fn read_fields(tag: &str, reader: &mut Reader<'_>, major: u16) -> Result<StoredFields, DecodeError> {
    let len = reader.count(1)?;
    if len > MAX_META {
        return Err(DecodeError::value(tag, format!("its fields take {len} bytes, more than {MAX_META}")));
    }
    let bytes = reader.bytes(len)?;
    Ok(match major {
        1 => StoredFields::Version1(bytes.to_vec()),
        _ => StoredFields::Named(meta::from_bytes(tag, bytes)?),
    })
}

/// Reads a name that is safe to print. Control characters in an error message could control a
/// terminal.
fn read_name<'a>(reader: &mut Reader<'a>) -> Result<&'a str, DecodeError> {
    let name = reader.str()?;
    if name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(DecodeError::value(
            WHAT,
            format!("a name of more than {MAX_NAME} bytes, or with control characters"),
        ));
    }
    Ok(name)
}

/// Shortens a long path to its end. Otherwise a small file with many arrays below a long path would
/// produce a large list.
fn shortened(path: String) -> String {
    if path.len() <= MAX_PATH {
        return path;
    }
    format!("...{}", &path[path.ceil_char_boundary(path.len() - MAX_PATH)..])
}

/// An array as described by the header.
#[derive(Debug)]
pub(super) struct ArrayInfo<'s> {
    /// Section number.
    pub(super) section: usize,
    /// Path in the tree, such as `lists/plane0`. A long path is shortened to its end.
    pub(super) path: String,
    pub(super) dtype: DType,
    pub(super) shape: &'s [u64],
}

impl ArrayEntry {
    fn parse(name: &str, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let number = reader.u8()?;
        let known = DType::ALL.iter().find(|(known, _)| *known == number);
        let Some(&(_, dtype)) = known else {
            return Err(DecodeError::value(WHAT, format!("array '{name}' has the unknown element type {number}")));
        };
        let axes = reader.u8()?;
        let shape = (0..axes).map(|_| reader.u64()).collect::<Result<_, _>>()?;
        Ok(Self { name: name.to_owned(), dtype, shape, section: reader.u32()? as usize })
    }
}

/// Parses the section table. Checks that each section begins at the next multiple of 64 and that
/// the last one ends at the end of the file.
fn parse_sections(reader: &mut Reader<'_>, header_end: u64, file_len: u64) -> Result<Vec<Extent>, DecodeError> {
    let count = reader.count(SECTION)?;
    let mut sections = Vec::with_capacity(count);
    let mut end = header_end;
    for i in 0..count {
        let section = Extent { offset: reader.u64()?, len: reader.u64()?, crc: reader.u32()? };
        if Some(section.offset) != end.checked_next_multiple_of(ALIGN as u64) {
            let what = format!("section {i} does not begin at the next multiple of {ALIGN}");
            return Err(DecodeError::value(WHAT, what));
        }
        end = match section.offset.checked_add(section.len) {
            Some(end) if end <= file_len => end,
            _ => return Err(DecodeError::value(WHAT, format!("section {i} extends past the end of the file"))),
        };
        sections.push(section);
    }
    if end != file_len {
        return Err(DecodeError::Trailing { what: "the file", left: file_len - end });
    }
    Ok(sections)
}

/// Returns the size of an array in bytes, or `None` if it exceeds 64 bits.
fn shape_bytes(dtype: DType, shape: &[u64]) -> Option<u64> {
    shape.iter().try_fold(dtype.size() as u64, |bytes, &axis| bytes.checked_mul(axis))
}

fn dtype_number(dtype: DType) -> u8 {
    let known = DType::ALL.iter().find(|(_, known)| *known == dtype);
    known.expect("every element type has a number").0
}
