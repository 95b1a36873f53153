//! Tests of containers through the public API: reading returns what was written, and a failed write
//! changes nothing.

use ivf_core::bytes::ALIGN;
use ivf_core::field::{Fields, Scalar, Value};
use ivf_core::node::{DType, NamedArray, StoredFields};
use ivf_core::{Metric, Node, StoredNode};
use ivf_io::{EncodeError, decode_container, read_container, write_container, write_container_to};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::borrow::Cow;
use std::fs;
use std::path::Path;

/// A random node that owns its data.
#[derive(Clone, Debug)]
struct Tree {
    tag: String,
    version: u16,
    fields: Vec<(String, Value)>,
    arrays: Vec<Array>,
    children: Vec<Tree>,
}

#[derive(Clone, Debug)]
struct Array {
    name: String,
    dtype: DType,
    shape: Vec<u64>,
    bytes: Vec<u8>,
    /// Offset at which the bytes are cut into pieces.
    cut: usize,
}

impl Array {
    /// Returns the array as array `i` of its node.
    fn named(&self, i: usize) -> NamedArray<'_> {
        let (head, tail) = self.bytes.split_at(self.cut);
        NamedArray {
            name: unique(&self.name, i),
            dtype: self.dtype,
            shape: self.shape.clone(),
            pieces: [head, &[], tail].map(Cow::Borrowed).to_vec(),
        }
    }
}

impl Tree {
    fn fields(&self) -> Fields {
        let mut fields = Fields::new();
        self.fields.iter().enumerate().for_each(|(i, (name, value))| fields.set(&unique(name, i), value.clone()));
        fields
    }

    fn node(&self) -> Node<'_> {
        Node {
            tag: self.tag.clone(),
            version: self.version,
            fields: self.fields(),
            arrays: self.arrays.iter().enumerate().map(|(i, array)| array.named(i)).collect(),
            children: self
                .children
                .iter()
                .enumerate()
                .map(|(i, child)| (unique(&child.tag, i), child.node()))
                .collect(),
        }
    }

    /// Asserts that `stored` is this node and that each of its arrays is aligned.
    fn assert_stored_as(&self, stored: &StoredNode) {
        assert_eq!((&self.tag, self.version), (&stored.tag, stored.version));
        assert_eq!(stored.fields, StoredFields::Named(self.fields()));
        assert_eq!(self.arrays.len(), stored.arrays.len());
        for (i, (array, stored)) in self.arrays.iter().zip(&stored.arrays).enumerate() {
            assert_eq!(unique(&array.name, i), stored.name);
            assert_eq!((array.dtype, &array.shape), (stored.dtype, &stored.shape));
            let bytes = stored.bytes.whole().unwrap();
            assert_eq!(array.bytes, bytes);
            assert_eq!(bytes.as_ptr().addr() % ALIGN, 0);
        }
        assert_eq!(self.children.len(), stored.children.len());
        for (i, (child, (name, stored))) in self.children.iter().zip(&stored.children).enumerate() {
            assert_eq!(unique(&child.tag, i), *name);
            child.assert_stored_as(stored);
        }
    }
}

/// Makes a name unique within its node.
fn unique(name: &str, i: usize) -> String {
    format!("{name}{i}")
}

fn arrays() -> impl Strategy<Value = Array> {
    let shape = prop::collection::vec(0_u64..6, 0..4);
    ("[a-z \u{e9}\u{4e00}]{0,40}", select(&DType::ALL[..]), shape, any::<Index>(), any::<u8>()).prop_map(
        |(name, (_, dtype), shape, cut, seed)| {
            let len = shape.iter().product::<u64>() as usize * dtype.size();
            let bytes = (0..len).map(|i| (i as u8).wrapping_mul(31) ^ seed).collect();
            Array { name, dtype, shape, bytes, cut: cut.index(len + 1) }
        },
    )
}

fn scalars() -> impl Strategy<Value = Scalar> {
    let metric = prop_oneof![Just(Metric::L2), Just(Metric::Cosine), (1e-30_f32..1e30).prop_map(Metric::Lp)];
    prop_oneof![
        any::<bool>().prop_map(Scalar::Bool),
        any::<u64>().prop_map(Scalar::UInt),
        any::<i64>().prop_map(Scalar::Int),
        any::<f64>().prop_map(Scalar::Float),
        any::<String>().prop_map(Scalar::Text),
        metric.prop_map(Scalar::Metric),
    ]
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![scalars().prop_map(Value::One), prop::collection::vec(scalars(), 0..4).prop_map(Value::List)]
}

fn trees() -> impl Strategy<Value = Tree> {
    let node = |children: BoxedStrategy<Vec<Tree>>| {
        let fields = prop::collection::vec(("[a-z_ \u{e9}\u{4e00}]{0,40}", values()), 0..4);
        let arrays = prop::collection::vec(arrays(), 0..4);
        ("[a-z \u{e9}\u{4e00}]{0,40}", any::<u16>(), fields, arrays, children)
            .prop_map(|(tag, version, fields, arrays, children)| Tree { tag, version, fields, arrays, children })
    };
    node(Just(vec![]).boxed()).prop_recursive(5, 20, 3, move |inner| node(prop::collection::vec(inner, 0..4).boxed()))
}

proptest! {
    #[test]
    fn what_is_written_is_read(tree in trees()) {
        let mut bytes = Vec::new();
        write_container_to(&mut bytes, &tree.node()).unwrap();
        tree.assert_stored_as(&decode_container(&bytes).unwrap());

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ivf");
        write_container(&path, &tree.node()).unwrap();
        prop_assert_eq!(fs::read(&path).unwrap(), bytes);
        tree.assert_stored_as(&read_container(&path).unwrap());
    }
}

fn node_of(data: &[f32]) -> Node<'_> {
    let mut node = Node::new("thing", 1);
    node.push(NamedArray::borrowed("data", &[data.len() as u64], data));
    node
}

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_new_file_replaces_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ivf");
    for data in [&[1.0_f32; 100][..], &[2.0], &[3.0; 1000]] {
        write_container(&path, &node_of(data)).unwrap();
        assert_eq!(read_container(&path).unwrap().array::<f32>("data").unwrap(), data);
        assert_eq!(names(folder.path()), ["a.ivf"]);
    }
}

#[test]
fn a_failed_write_leaves_the_old_file_and_no_temporary_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ivf");
    write_container(&path, &node_of(&[1.0])).unwrap();
    let old = fs::read(&path).unwrap();

    let mut unwritable = node_of(&[2.0]);
    unwritable.arrays[0].shape = vec![2];
    let places = [path.clone(), folder.path().to_owned(), path.join("below-a-file"), folder.path().join("no/folder")];
    for (i, place) in places.iter().enumerate() {
        let node = if i == 0 { &unwritable } else { &node_of(&[2.0]) };
        let error = write_container(place, node).unwrap_err();
        assert_eq!(error.path, *place);
        let text = format!("cannot write {}", place.display());
        match error.why {
            EncodeError::Io(_) => assert_eq!(error.to_string(), text),
            _ => assert!(error.to_string().starts_with(&(text + ": the array 'data' of 'thing' has")), "{error}"),
        }
        assert_eq!(names(folder.path()), ["a.ivf"]);
        assert_eq!(fs::read(&path).unwrap(), old);
    }
}
