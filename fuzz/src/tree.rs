//! Trees of nodes in a form without lengths of files and checksums, in which any bytes are some tree: so a mutation of a tree is
//! one more tree, and not a damaged file that the first checksum refuses.
//!
//! ```text
//! node      tag str, version u8, fields blob, count u8, arrays, count u8, children
//! array     name str, dtype u8, axes after the first: count u8, each u8; numbers blob
//! child     name str, node
//! str       length u8, UTF-8          blob      length u16, bytes
//! ```
//!
//! What is missing at the end reads as zeros.

use ivf::node::{DType, NamedArray, Node, StoredNode};
use std::borrow::Cow;

/// Levels of nodes that are read: the index kinds take fewer.
const MAX_DEPTH: usize = 12;

/// Axes of an array beside the first.
const MAX_AXES: u8 = 2;

/// The bytes of a tree; `None` for one with longer names or arrays than the form has room for.
pub fn write_tree(node: &StoredNode) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    put_node(&mut out, node)?;
    Some(out)
}

fn put_node(out: &mut Vec<u8>, node: &StoredNode) -> Option<()> {
    put_str(out, &node.tag)?;
    out.push(node.version.try_into().ok()?);
    put_blob(out, &node.meta)?;
    out.push(node.arrays.len().try_into().ok()?);
    for array in &node.arrays {
        put_str(out, &array.name)?;
        out.push(DType::ALL.iter().find(|(_, dtype)| *dtype == array.dtype)?.0);
        let axes = array.shape.get(1..).unwrap_or_default();
        out.push(axes.len().try_into().ok()?);
        for &axis in axes {
            out.push(axis.try_into().ok()?);
        }
        put_blob(out, array.bytes.whole().ok()?)?;
    }
    out.push(node.children.len().try_into().ok()?);
    for (name, child) in &node.children {
        put_str(out, name)?;
        put_node(out, child)?;
    }
    Some(())
}

fn put_str(out: &mut Vec<u8>, text: &str) -> Option<()> {
    out.push(text.len().try_into().ok()?);
    out.extend(text.as_bytes());
    Some(())
}

fn put_blob(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    out.extend(u16::try_from(bytes.len()).ok()?.to_le_bytes());
    out.extend(bytes);
    Some(())
}

/// The tree that any bytes are. The first axis of an array is as long as its numbers make it.
pub(crate) fn read_tree(mut bytes: &[u8]) -> Node<'_> {
    node(&mut bytes, 1)
}

fn node<'a>(bytes: &mut &'a [u8], depth: usize) -> Node<'a> {
    let (tag, version, meta) = (text(bytes), byte(bytes).into(), blob(bytes).to_vec());
    let arrays = (0..count(bytes)).map(|_| array(bytes)).collect();
    let children = if depth < MAX_DEPTH { count(bytes) } else { 0 };
    let children = (0..children).map(|_| (text(bytes), node(bytes, depth + 1))).collect();
    Node { tag, version, meta, arrays, children }
}

fn array<'a>(bytes: &mut &'a [u8]) -> NamedArray<'a> {
    let name = text(bytes);
    let (_, dtype) = DType::ALL[usize::from(byte(bytes)) % DType::ALL.len()];
    let mut shape = vec![0];
    shape.extend((0..byte(bytes).min(MAX_AXES)).map(|_| u64::from(byte(bytes))));
    let data = blob(bytes);
    let row = shape[1..].iter().product::<u64>() * dtype.size() as u64;
    shape[0] = (data.len() as u64).checked_div(row).unwrap_or(0);
    let data = &data[..(shape[0] * row) as usize];
    NamedArray { name, dtype, shape, pieces: vec![Cow::Borrowed(data)] }
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(len.min(bytes.len()));
    *bytes = rest;
    taken
}

fn byte(bytes: &mut &[u8]) -> u8 {
    take(bytes, 1).first().copied().unwrap_or(0)
}

/// A number of things, each of which takes a byte at least.
fn count(bytes: &mut &[u8]) -> usize {
    usize::from(byte(bytes)).min(bytes.len())
}

fn text(bytes: &mut &[u8]) -> String {
    let len = byte(bytes).into();
    String::from_utf8_lossy(take(bytes, len)).into_owned()
}

fn blob<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let len = u16::from_le_bytes([byte(bytes), byte(bytes)]);
    take(bytes, len.into())
}
