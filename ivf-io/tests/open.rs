//! Tests of open containers: reading in parts, verification, damage.

use ivf_core::Node;
use ivf_core::bytes::ALIGN;
use ivf_core::error::{DecodeError, StoreError};
use ivf_core::field::{Field, FieldType};
use ivf_core::node::{NamedArray, StoredFields};
use ivf_io::container::MAX_DEPTH;
use ivf_io::{Container, FORMAT_VERSION, decode_container, write_container, write_container_to};

/// Returns a container whose arrays have different lengths. The last one spans several pages.
fn three_arrays() -> Vec<u8> {
    let mut root = Node::new("root", 0);
    root.push(NamedArray::owned("few", &[3], vec![1_u32, 2, 3]));
    let mut child = Node::new("lists", 0);
    child.push(NamedArray::owned("many", &[100, 2], (0..200_i64).collect()));
    child.push(NamedArray::owned("most", &[50_000], (0..50_000_u32).map(|i| (i % 251) as u8).collect()));
    root.push_child("lists", child);
    let mut bytes = Vec::new();
    write_container_to(&mut bytes, &root).unwrap();
    bytes
}

/// The file that documented version 1.0 of the format: the tag `demo` of version 1, the field
/// `7_u32`, and an array `x` of the numbers 1 and 2. Only the nonzero bytes, by offset.
const VERSION_1: [(usize, &[u8]); 6] = [
    (0x00, b"\x89IVF\r\n\x1a\n\x01\0\0\0\x6e\x33\x86\xa6\x41\0\0\0\0\0\0\0\xc8"),
    (0x3c, b"\xbf\x6e\xd1\xfb\x04\0demo\x01\0\x04\0\0\0\x07\0\0\0\x01\0\0\0\x01\0x\0\x01\x02"),
    (0x69, b"\x01\0\0\0\xc0"),
    (0x75, b"\x08"),
    (0x7d, b"\xb1\xc9\xc0\x28"),
    (0xc2, b"\x80\x3f\0\0\0\x40"),
];

#[test]
fn a_file_of_version_1_is_read_and_its_fields_get_names() {
    let mut bytes = vec![0; 200];
    VERSION_1.iter().for_each(|(at, part)| bytes[*at..][..part.len()].copy_from_slice(part));
    let node = decode_container(&bytes).unwrap();
    assert_eq!((node.tag.as_str(), node.version), ("demo", 1));
    assert_eq!(node.array::<f32>("x").unwrap(), [1.0, 2.0]);
    assert_eq!(node.fields, StoredFields::Version1(vec![7, 0, 0, 0]));
    let fields =
        node.fields(&[Field::new("mode", FieldType::Word(&["a", "b", "c", "d", "e", "f", "g", "h"]))]).unwrap();
    assert_eq!(fields.get::<String>("mode").unwrap(), "h");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ivf");
    std::fs::write(&path, &bytes).unwrap();
    let container = Container::open(&path).unwrap();
    assert_eq!(container.version(), (1, 0));
    assert_eq!(container.node().fields, node.fields);
    assert!(container.verify().unwrap().is_empty());
    for at in 0..bytes.len() {
        bytes[at] ^= 1;
        assert!(decode_container(&bytes).is_err(), "byte {at}");
        bytes[at] ^= 1;
    }
}

#[test]
fn an_open_container_reads_what_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ivf");
    let bytes = three_arrays();
    std::fs::write(&path, &bytes).unwrap();
    let container = Container::open(&path).unwrap();
    assert_eq!((container.len(), container.version()), (bytes.len() as u64, FORMAT_VERSION));
    let sections = container.sections();
    assert_eq!(sections.iter().map(|s| s.path.as_str()).collect::<Vec<_>>(), ["few", "lists/many", "lists/most"]);
    assert_eq!((&sections[1].shape[..], sections[1].len), (&[100, 2][..], 1600));

    let (node, whole) = (container.node(), decode_container(&bytes).unwrap());
    assert_eq!(node.array::<u32>("few").unwrap(), [1, 2, 3]);
    let lists = node.child("lists").unwrap();
    assert_eq!(lists.array::<i64>("many").unwrap(), whole.child("lists").unwrap().array::<i64>("many").unwrap());
    let most = lists.section::<u8>("most").unwrap();
    let expected = whole.child("lists").unwrap().array::<u8>("most").unwrap();
    for range in [0..1, 64..128, 4095..9000, 49_999..50_000, 50_000..50_000, 0..50_000] {
        let part = most.part(range.clone()).unwrap();
        assert_eq!(&*part, &expected[range.start as usize..range.end as usize]);
        assert!(part.is_empty() || range.start % ALIGN as u64 != 0 || part.as_ptr().addr() % ALIGN == 0);
    }
    assert_eq!(most.memory(), 0);
    assert!(container.verify().unwrap().is_empty());
}

#[test]
fn damage_is_found_when_the_whole_is_asked_for_and_by_verifying() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ivf");
    let good = three_arrays();
    std::fs::write(&path, &good).unwrap();
    let sections = Container::open(&path).unwrap().sections();
    for at in (sections[0].offset as usize..good.len()).step_by(61) {
        let mut bytes = good.clone();
        bytes[at] ^= 4;
        std::fs::write(&path, &bytes).unwrap();
        let container = Container::open(&path).unwrap();
        let inside = sections.iter().position(|s| (s.offset..s.offset + s.len).contains(&(at as u64)));
        match inside {
            Some(number) => assert_eq!(container.verify().unwrap(), [number], "byte {at}"),
            None => assert!(container.verify().unwrap_err().to_string().contains("not zero"), "byte {at}"),
        }
        let few = container.node().array::<u32>("few").map(<[u32]>::to_vec);
        match inside == Some(0) {
            true => assert!(few.unwrap_err().to_string().contains("section 0 (few)")),
            false => assert_eq!(few.unwrap(), [1, 2, 3]),
        }
    }
}

#[test]
fn a_file_that_shrinks_while_it_is_open_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ivf");
    let bytes = three_arrays();
    std::fs::write(&path, &bytes).unwrap();
    let container = Container::open(&path).unwrap();
    let node = container.node();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(bytes.len() as u64 - 40_000).unwrap();
    let most = node.child("lists").unwrap().section::<u8>("most").unwrap();
    assert_eq!(most.part(0..100).unwrap().len(), 100);
    assert!(matches!(most.part(20_000..20_100), Err(StoreError::Backend(_))));
    assert!(matches!(most.whole(), Err(DecodeError::Read { .. })));
    assert!(container.verify().is_err());
}

#[test]
fn long_names_around_many_arrays_stay_a_small_list() {
    let mut node = Node::new("leaf", 0);
    for i in 0..20_000 {
        node.push(NamedArray::owned(&format!("x{i}"), &[1], vec![i as u8]));
    }
    for _ in 1..MAX_DEPTH {
        let mut parent = Node::new("node", 0);
        parent.push_child(&"n".repeat(255), node);
        node = parent;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ivf");
    write_container(&path, &node).unwrap();
    let container = Container::open(&path).unwrap();
    let sections = container.sections();
    assert_eq!(sections.len(), 20_000);
    assert!(sections[77].path.starts_with("...") && sections[77].path.ends_with("n/x77"), "{}", sections[77].path);
    assert!(sections.iter().map(|section| section.path.len()).sum::<usize>() < 3_000_000);
    assert_eq!(container.node().children.len(), 1);
    assert!(container.verify().unwrap().is_empty());
}
