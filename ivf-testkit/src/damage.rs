//! Damaged exports: a reader must answer them with a value or an error, never with a panic.

use crate::data::{Random, bytes};
use ivf_core::bytes::AlignedBytes;
use ivf_core::field::{Fields, Scalar, Value};
use ivf_core::node::{DType, StoredArray, StoredFields};
use ivf_core::{Metric, StoredNode};
use rand::RngExt;
use rand::seq::{IndexedMutRandom, IndexedRandom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Damages a node, or one of its descendants, in one random way and describes the damage.
///
/// Arrays are cut, grown, dropped, renamed, reshaped, retyped and exchanged, and their elements are
/// overwritten. Fields are dropped, renamed, added, and set to other values of the same or another
/// type. Children are dropped and renamed.
///
/// Two invariants hold after the damage: the product of an array's shape is its length, and its
/// bytes start on a 64-byte boundary. Whatever reads a file checks both before a reader of nodes
/// sees them.
pub fn damage(node: &mut StoredNode, random: &mut Random) -> String {
    if let Some((name, child)) = node.children.choose_mut(random)
        && random.random_ratio(3, 4)
    {
        return format!("{name}: {}", damage(child, random));
    }
    match random.random_range(0..10) {
        0..3 if node.children.is_empty() => damage_fields(&mut node.fields, random),
        0..2 => damage_fields(&mut node.fields, random),
        2 => {
            let at = random.random_range(0..node.children.len());
            if random.random() {
                return format!("child '{}' dropped", node.children.remove(at).0);
            }
            node.children[at].0.push('x');
            format!("child renamed to '{}'", node.children[at].0)
        }
        3 => {
            node.version = node.version.wrapping_add(random.random_range(1..=u16::MAX));
            format!("version {}", node.version)
        }
        _ if node.arrays.is_empty() => damage_fields(&mut node.fields, random),
        4 => {
            let at = random.random_range(0..node.arrays.len());
            if random.random() {
                return format!("array '{}' dropped", node.arrays.remove(at).name);
            }
            node.arrays[at].name.push('x');
            format!("array renamed to '{}'", node.arrays[at].name)
        }
        5 => {
            let other = node.arrays.choose(random).expect("not empty").clone();
            let array = node.arrays.choose_mut(random).expect("not empty");
            let what = format!("array '{}' replaced by '{}'", array.name, other.name);
            *array = StoredArray { name: array.name.clone(), ..other };
            what
        }
        _ => damage_array(node.arrays.choose_mut(random).expect("not empty"), random),
    }
}

fn damage_fields(fields: &mut StoredFields, random: &mut Random) -> String {
    match fields {
        StoredFields::Named(fields) => damage_named(fields, random),
        StoredFields::Version1(bytes) => damage_version_1(bytes, random),
    }
}

fn damage_named(fields: &mut Fields, random: &mut Random) -> String {
    let names: Vec<String> = fields.iter().map(|(name, _)| name.to_owned()).collect();
    let Some(name) = names.choose(random).filter(|_| !random.random_ratio(1, 12)) else {
        let value = any_scalar(random);
        fields.set("xyzzy", Value::One(value.clone()));
        return format!("an additional field 'xyzzy' of {value}");
    };
    let Some(old) = fields.value(name).cloned() else { return "nothing".to_owned() };
    let value = match random.random_range(0..10) {
        0 => {
            fields.remove(name);
            return format!("field '{name}' dropped");
        }
        1 => {
            fields.remove(name);
            fields.set(&format!("{name}x"), old);
            return format!("field '{name}' renamed to '{name}x'");
        }
        2 => Value::One(any_scalar(random)),
        3 => match old {
            Value::One(scalar) => Value::List(vec![scalar; random.random_range(0..3)]),
            Value::List(scalars) => Value::One(scalars.into_iter().next().unwrap_or(Scalar::Bool(false))),
        },
        _ => match old {
            Value::One(scalar) => Value::One(other_scalar(&scalar, random)),
            Value::List(mut scalars) => {
                match scalars.choose_mut(random) {
                    Some(scalar) if random.random_ratio(2, 3) => *scalar = other_scalar(scalar, random),
                    Some(scalar) => *scalar = any_scalar(random),
                    None => scalars.push(any_scalar(random)),
                }
                Value::List(scalars)
            }
        },
    };
    let what = format!("field '{name}' is {value}");
    fields.set(name, value);
    what
}

/// Returns a scalar of any type.
fn any_scalar(random: &mut Random) -> Scalar {
    match random.random_range(0..6) {
        0 => Scalar::Bool(random.random()),
        1 => Scalar::UInt(random.random()),
        2 => Scalar::Int(random.random()),
        3 => Scalar::Float(f64::from(random.random::<f32>())),
        4 => Scalar::Text(["", "x", "PQ4", "array", "\u{1b}[2J"][random.random_range(0..5)].to_owned()),
        _ => Scalar::Metric(any_metric(random)),
    }
}

fn any_metric(random: &mut Random) -> Metric {
    [Metric::L2, Metric::InnerProduct, Metric::Cosine, Metric::L1, Metric::Lp(3.0)][random.random_range(0..5)]
}

/// Returns another scalar of the same type, preferably one that is likely to break a reader.
fn other_scalar(scalar: &Scalar, random: &mut Random) -> Scalar {
    match scalar {
        Scalar::Bool(value) => Scalar::Bool(!value),
        Scalar::UInt(value) => Scalar::UInt(match random.random_range(0..7) {
            0 => 0,
            1 => u64::MAX,
            2 => u64::from(u32::MAX) + 1,
            3 => value.wrapping_add(1),
            4 => value.wrapping_sub(1),
            5 => random.random_range(0..70_000),
            _ => value ^ 1 << random.random_range(0..64),
        }),
        Scalar::Int(value) => Scalar::Int(match random.random_range(0..6) {
            0 => 0,
            1 => i64::MAX,
            2 => i64::MIN,
            3 => value.wrapping_add(1),
            4 => value.wrapping_neg().wrapping_sub(1),
            _ => random.random_range(-1000..1000),
        }),
        Scalar::Float(value) => {
            let others = [0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -value, value + 1.0];
            Scalar::Float(others[random.random_range(0..8)])
        }
        Scalar::Text(text) => Scalar::Text(match random.random_range(0..5) {
            0 => String::new(),
            1 => format!("{text}x"),
            2 => text.chars().skip(1).collect(),
            3 => text.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect(),
            _ => "(".repeat(300),
        }),
        Scalar::Metric(_) => Scalar::Metric(any_metric(random)),
    }
}

/// Damages fields in the form of version 1 of the file format.
fn damage_version_1(fields: &mut Vec<u8>, random: &mut Random) -> String {
    if fields.is_empty() || random.random_ratio(1, 6) {
        let n = random.random_range(1..9);
        fields.extend(bytes(random, n));
        return format!("fields: {n} bytes more");
    }
    let at = random.random_range(0..fields.len());
    if random.random_ratio(1, 5) {
        fields.truncate(at);
        return format!("fields cut to {at} bytes");
    }
    format!("fields: {}", overwrite(fields, at, random))
}

fn damage_array(array: &mut StoredArray, random: &mut Random) -> String {
    let size = array.dtype.size();
    let mut content = array.bytes.whole().expect("bytes in memory").to_vec();
    let elements = content.len() / size;
    let what = match random.random_range(0..9) {
        0 if elements > 0 => {
            content.truncate(random.random_range(0..elements) * size);
            format!("cut from {elements} to {} elements", content.len() / size)
        }
        1 if elements > 0 => {
            content.truncate((elements - 1) * size);
            "one element shorter".to_owned()
        }
        2 => {
            let n = random.random_range(1..100);
            content.extend(bytes(random, n * size));
            format!("{n} elements more")
        }
        3 => {
            content.clear();
            array.bytes = Arc::new(AlignedBytes::new());
            array.shape = vec![0, u64::MAX];
            return format!("array '{}': empty, of shape 0 x 2^64 - 1", array.name);
        }
        4 => {
            array.shape = [[1, elements as u64], [elements as u64, 1]][random.random_range(0..2)].to_vec();
            return format!("array '{}': of shape {:?}", array.name, array.shape);
        }
        5 => {
            array.dtype = DType::ALL.choose(random).expect("not empty").1;
            content.truncate(content.len() / array.dtype.size() * array.dtype.size());
            format!("of type {:?}", array.dtype)
        }
        _ if elements > 0 => {
            let at = random.random_range(0..elements) * size;
            overwrite(&mut content, at, random)
        }
        _ => {
            content.extend(bytes(random, size));
            "one element more".to_owned()
        }
    };
    let elements = content.len() / array.dtype.size();
    // A changed number of axes is a damage of its own, so keep the shape where it still fits.
    if array.shape.iter().product::<u64>() != elements as u64 {
        array.shape = vec![elements as u64];
    }
    array.bytes = Arc::new(AlignedBytes::copy_of(&content));
    format!("array '{}': {what}", array.name)
}

/// Overwrites up to 8 bytes, starting at `at`, with values that are likely to break a reader.
fn overwrite(content: &mut [u8], at: usize, random: &mut Random) -> String {
    let end = content.len().min(at + [1, 2, 4, 8][random.random_range(0..4)]);
    let place = &mut content[at..end];
    match random.random_range(0..5) {
        0 => place.fill(0),
        1 => place.fill(0xff),
        2 => place.fill(0x7f),
        3 => place.iter_mut().for_each(|byte| *byte = random.random()),
        _ => place[0] ^= 1 << random.random_range(0..8),
    }
    format!("bytes {at}..{end} are {place:x?}")
}

/// Calls `subject` with `count` copies of `node`, each damaged in one way, and every fourth in two.
///
/// # Panics
/// If `subject` does. The message describes the damage.
pub fn check_damaged_nodes(node: &StoredNode, seed: u64, count: usize, subject: impl Fn(&StoredNode)) {
    let mut random = crate::data::random(seed);
    for turn in 0..count {
        let mut damaged = node.clone();
        let mut what = damage(&mut damaged, &mut random);
        if turn % 4 == 3 {
            what = format!("{what}; {}", damage(&mut damaged, &mut random));
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| subject(&damaged)));
        assert!(outcome.is_ok(), "reading '{}' with this damage panicked: {what} (seed {seed}, turn {turn})", node.tag);
    }
}

/// Returns the number of bytes in the arrays of a node and its descendants.
pub fn array_bytes(node: &StoredNode) -> usize {
    let arrays: usize = node.arrays.iter().map(|array| array.bytes.len() as usize).sum();
    arrays + node.children.iter().map(|(_, child)| array_bytes(child)).sum::<usize>()
}

/// Returns the number of bytes in the fields and arrays of a node and its descendants.
pub fn byte_len(node: &StoredNode) -> usize {
    let arrays: usize = node.arrays.iter().map(|array| array.bytes.len() as usize).sum();
    let fields = match &node.fields {
        StoredFields::Named(fields) => fields.iter().map(|(name, value)| name.len() + value.to_string().len()).sum(),
        StoredFields::Version1(bytes) => bytes.len(),
    };
    fields + arrays + node.children.iter().map(|(_, child)| byte_len(child)).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data;
    use ivf_core::Node;
    use ivf_core::node::NamedArray;

    #[test]
    fn damage_is_of_many_kinds_and_leaves_shapes_consistent() {
        let mut inner = Node::new("inner", 0).with("metric", Metric::L2).with("names", vec!["a", "b"]);
        inner.push(NamedArray::owned("a", &[2, 3], vec![1.0_f32; 6]));
        let mut node =
            Node::new("outer", 0).with("dim", 3_u64).with("factor", 1.5).with("is", true).with("next", -4_i64);
        node.push(NamedArray::owned("b", &[0], Vec::<u8>::new()));
        node.push_child("inner", inner);
        let whole = node.to_stored();
        let mut random = data::random(1);
        let mut kinds = std::collections::HashSet::new();
        for _ in 0..1000 {
            let mut node = whole.clone();
            kinds.insert(damage(&mut node, &mut random));
            for array in node.arrays.iter().chain(node.children.iter().flat_map(|(_, child)| &child.arrays)) {
                let elements: u64 = array.shape.iter().product();
                assert_eq!(elements as usize * array.dtype.size(), array.bytes.len() as usize, "{array:?}");
            }
        }
        assert!(kinds.len() > 100, "only {} kinds", kinds.len());
        for words in
            ["field 'dim' dropped", "renamed to 'dimx'", "field 'metric' is", "field 'names' is \"a\"", "xyzzy"]
        {
            assert!(kinds.iter().any(|kind| kind.contains(words)), "no damage mentions {words}");
        }
    }
}
