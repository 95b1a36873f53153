//! Trees of nodes in an encoding without file lengths and checksums, in which any bytes encode some
//! tree. So a mutation of a tree is another tree, and not a damaged file that the first checksum
//! rejects.
//!
//! ```text
//! tree      format u8 (odd: version 1 of the index file, even: version 2), node
//! node      tag str, version u8, fields, count u8, arrays, count u8, children
//! fields    version 1: blob           version 2: count u8, each: name str, value
//! value     0 u8, scalar              1 u8, count u8, scalars
//! scalar    type u8, then             bool u8; uint, int, float 8 bytes; text blob; metric u8, power f32
//! array     name str, dtype u8, axes after the first: count u8, each u8; numbers blob
//! child     name str, node
//! str       length u8, UTF-8          blob      length u16, bytes
//! ```
//!
//! Missing bytes at the end are read as zeros.

use ivf::Metric;
use ivf::field::{Fields, Scalar, Value};
use ivf::node::{DType, NamedArray, Node, StoredFields, StoredNode};
use std::borrow::Cow;

/// Maximum number of levels of nodes that are read. The index kinds have fewer.
const MAX_DEPTH: usize = 12;

/// Maximum number of axes of an array, beside the first.
const MAX_AXES: u8 = 2;

/// The metrics, by number. [`LP`] is for the metric with a power.
const METRICS: [Metric; 9] = [
    Metric::L2,
    Metric::InnerProduct,
    Metric::Cosine,
    Metric::L1,
    Metric::Linf,
    Metric::Canberra,
    Metric::BrayCurtis,
    Metric::JensenShannon,
    Metric::Jaccard,
];

/// Number of [`Metric::Lp`]. All larger numbers mean the same.
const LP: u8 = METRICS.len() as u8;

/// A decoded tree.
pub(crate) enum Tree<'a> {
    /// A tree as read from version 1 of the format.
    Version1(StoredNode),
    /// A tree that can be written.
    Exported(Node<'a>),
}

/// Encodes a tree that was read. Returns `None` if its names or arrays are too long for the
/// encoding, or if it has fields of both versions.
pub fn write_tree(node: &StoredNode) -> Option<Vec<u8>> {
    let of_version_1 = matches!(node.fields, StoredFields::Version1(_));
    let mut out = vec![of_version_1.into()];
    put_node(&mut out, node, of_version_1)?;
    Some(out)
}

fn put_node(out: &mut Vec<u8>, node: &StoredNode, of_version_1: bool) -> Option<()> {
    put_str(out, &node.tag)?;
    out.push(node.version.try_into().ok()?);
    match &node.fields {
        StoredFields::Version1(bytes) if of_version_1 => put_blob(out, bytes)?,
        StoredFields::Named(fields) if !of_version_1 => put_fields(out, fields)?,
        _ => return None,
    }
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
        put_node(out, child, of_version_1)?;
    }
    Some(())
}

fn put_fields(out: &mut Vec<u8>, fields: &Fields) -> Option<()> {
    out.push(fields.len().try_into().ok()?);
    for (name, value) in fields.iter() {
        put_str(out, name)?;
        match value {
            Value::One(scalar) => {
                out.push(0);
                put_scalar(out, scalar)?;
            }
            Value::List(scalars) => {
                out.extend([1, scalars.len().try_into().ok()?]);
                scalars.iter().try_for_each(|scalar| put_scalar(out, scalar))?;
            }
        }
    }
    Some(())
}

fn put_scalar(out: &mut Vec<u8>, scalar: &Scalar) -> Option<()> {
    match scalar {
        Scalar::Bool(value) => out.extend([0, u8::from(*value)]),
        Scalar::UInt(value) => out.extend([&[1][..], &value.to_le_bytes()].concat()),
        Scalar::Int(value) => out.extend([&[2][..], &value.to_le_bytes()].concat()),
        Scalar::Float(value) => out.extend([&[3][..], &value.to_le_bytes()].concat()),
        Scalar::Text(value) => {
            out.push(4);
            put_blob(out, value.as_bytes())?;
        }
        Scalar::Metric(Metric::Lp(power)) => out.extend([&[5, LP][..], &power.to_le_bytes()].concat()),
        Scalar::Metric(metric) => {
            let number = METRICS.iter().position(|known| known == metric)?;
            out.extend([&[5, number as u8][..], &[0; 4]].concat());
        }
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

/// Decodes any bytes as a tree. The length of an array's first axis follows from its data.
pub(crate) fn read_tree(mut bytes: &[u8]) -> Tree<'_> {
    if byte(&mut bytes).is_multiple_of(2) {
        return Tree::Exported(node(&mut bytes, 1, &mut fields));
    }
    // The blobs of fields, in the order of a walk from the root.
    let mut blobs = Vec::new();
    let tree = node(&mut bytes, 1, &mut |bytes| {
        blobs.push(blob(bytes).to_vec());
        Fields::new()
    });
    let mut stored = tree.to_stored();
    put_blobs(&mut stored, &mut blobs.into_iter());
    Tree::Version1(stored)
}

fn put_blobs(node: &mut StoredNode, blobs: &mut impl Iterator<Item = Vec<u8>>) {
    node.fields = StoredFields::Version1(blobs.next().unwrap_or_default());
    node.children.iter_mut().for_each(|(_, child)| put_blobs(child, blobs));
}

fn node<'a>(bytes: &mut &'a [u8], depth: usize, fields: &mut impl FnMut(&mut &'a [u8]) -> Fields) -> Node<'a> {
    let (tag, version, fields_here) = (text(bytes), byte(bytes).into(), fields(bytes));
    let arrays = (0..count(bytes)).map(|_| array(bytes)).collect();
    let children = if depth < MAX_DEPTH { count(bytes) } else { 0 };
    let children = (0..children).map(|_| (text(bytes), node(bytes, depth + 1, fields))).collect();
    Node { tag, version, fields: fields_here, arrays, children }
}

fn fields(bytes: &mut &[u8]) -> Fields {
    let mut fields = Fields::new();
    for _ in 0..count(bytes) {
        let name = text(bytes);
        let value = match byte(bytes) % 2 {
            0 => Value::One(scalar(bytes)),
            _ => Value::List((0..count(bytes)).map(|_| scalar(bytes)).collect()),
        };
        fields.set(&name, value);
    }
    fields
}

fn scalar(bytes: &mut &[u8]) -> Scalar {
    match byte(bytes) % 6 {
        0 => Scalar::Bool(byte(bytes) % 2 == 1),
        1 => Scalar::UInt(u64::from_le_bytes(all(bytes))),
        2 => Scalar::Int(i64::from_le_bytes(all(bytes))),
        3 => Scalar::Float(f64::from_le_bytes(all(bytes))),
        4 => Scalar::Text(String::from_utf8_lossy(blob(bytes)).into_owned()),
        _ => {
            let (number, power) = (byte(bytes), f32::from_le_bytes(all(bytes)));
            Scalar::Metric(METRICS.get(usize::from(number)).copied().unwrap_or(Metric::Lp(power)))
        }
    }
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

/// Reads the next `N` bytes. Missing bytes are zeros.
fn all<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    std::array::from_fn(|_| byte(bytes))
}

/// Reads a count of items. Each item takes at least one byte.
fn count(bytes: &mut &[u8]) -> usize {
    usize::from(byte(bytes)).min(bytes.len())
}

fn text(bytes: &mut &[u8]) -> String {
    let len = byte(bytes).into();
    String::from_utf8_lossy(take(bytes, len)).into_owned()
}

fn blob<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let len = u16::from_le_bytes(all(bytes));
    take(bytes, len.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Node<'static> {
        let mut root = Node::new("root", 3)
            .with("flag", true)
            .with("dim", u64::MAX)
            .with("shift", -7_i64)
            .with("factor", 2.5_f64)
            .with("tokens", vec!["IVF4", ""])
            .with("metric", Metric::Lp(3.0))
            .with("metrics", METRICS.to_vec());
        root.push(NamedArray::owned("a", &[2, 3], vec![1_u32, 2, 3, 4, 5, 6]));
        root.push_child("child", Node::new("leaf", 0).with("word", "flat"));
        root
    }

    #[test]
    fn a_tree_comes_back_in_both_versions() {
        let mut stored = sample().to_stored();
        let written = write_tree(&stored).expect("a small tree");
        let Tree::Exported(again) = read_tree(&written) else { panic!("a tree of version 2") };
        assert!(again.same(&sample()));

        stored.fields = StoredFields::Version1(vec![1, 2, 3]);
        assert!(write_tree(&stored).is_none(), "fields of both versions");
        stored.children[0].1.fields = StoredFields::Version1(vec![4]);
        let written = write_tree(&stored).expect("a small tree");
        let Tree::Version1(again) = read_tree(&written) else { panic!("a tree of version 1") };
        assert_eq!((&again.fields, &again.children[0].1.fields), (&stored.fields, &stored.children[0].1.fields));
        assert_eq!(write_tree(&again), Some(written));
    }
}
