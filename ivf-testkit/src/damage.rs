//! Exported nodes, damaged: what a reader must answer with a value or an error, never with a panic.

use crate::data::{Random, bytes};
use ivf_core::StoredNode;
use ivf_core::bytes::AlignedBytes;
use ivf_core::node::{DType, StoredArray};
use rand::RngExt;
use rand::seq::{IndexedMutRandom, IndexedRandom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Damages a node, or one below it, in one random way and says how.
///
/// Arrays are cut, grown, dropped, renamed, reshaped, retyped, exchanged, and their elements overwritten; fields are cut, grown
/// and overwritten; children are dropped and renamed. Shapes go on multiplying to the length of the bytes and bytes go on
/// starting on a 64-byte boundary: whoever reads a file has checked that before a reader of nodes sees it.
pub fn damage(node: &mut StoredNode, random: &mut Random) -> String {
    if let Some((name, child)) = node.children.choose_mut(random)
        && random.random_ratio(3, 4)
    {
        return format!("{name}: {}", damage(child, random));
    }
    match random.random_range(0..10) {
        0..2 => damage_meta(&mut node.meta, random),
        2 if !node.children.is_empty() => {
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
        _ if node.arrays.is_empty() => damage_meta(&mut node.meta, random),
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

fn damage_meta(meta: &mut Vec<u8>, random: &mut Random) -> String {
    if meta.is_empty() || random.random_ratio(1, 6) {
        let n = random.random_range(1..9);
        meta.extend(bytes(random, n));
        return format!("fields: {n} bytes more");
    }
    let at = random.random_range(0..meta.len());
    if random.random_ratio(1, 5) {
        meta.truncate(at);
        return format!("fields cut to {at} bytes");
    }
    format!("fields: {}", overwrite(meta, at, random))
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
    // An axis more or less is damage of its own: keep the shape where it still fits.
    if array.shape.iter().product::<u64>() != elements as u64 {
        array.shape = vec![elements as u64];
    }
    array.bytes = Arc::new(AlignedBytes::copy_of(&content));
    format!("array '{}': {what}", array.name)
}

/// Overwrites up to 8 bytes from `at` on with something that tends to hurt.
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

/// Damages copies of `node` in `count` ways, one way each, and calls `subject` with each of them.
///
/// # Panics
/// If `subject` does; the message says what the damage was.
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

/// Bytes of a node, all its children's too.
pub fn byte_len(node: &StoredNode) -> usize {
    let arrays: usize = node.arrays.iter().map(|array| array.bytes.len() as usize).sum();
    node.meta.len() + arrays + node.children.iter().map(|(_, child)| byte_len(child)).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data;
    use ivf_core::Node;
    use ivf_core::node::NamedArray;

    #[test]
    fn damage_is_of_many_kinds_and_leaves_shapes_consistent() {
        let mut inner = Node::new("inner", 0, &1u64);
        inner.push(NamedArray::owned("a", &[2, 3], vec![1.0_f32; 6]));
        let mut node = Node::new("outer", 0, &(3u64, 4u8));
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
        assert!(kinds.len() > 100, "{} ways only", kinds.len());
    }
}
