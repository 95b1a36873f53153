//! Tests of errors and their sources: a chain states each fact exactly once.

use ivf_core::Node;
use ivf_core::node::NamedArray;
use ivf_io::{
    Container, ContainerError, Map, VectorReader, VectorWriter, decode_container, read_container, write_container,
    write_container_to,
};
use std::error::Error;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Returns the error and its sources, outermost first.
fn links<'e>(error: &'e (dyn Error + 'static)) -> Vec<&'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source()).collect()
}

/// Returns the texts of the error and its sources, as a program prints them. Asserts that no text
/// repeats another.
fn chain(error: &(dyn Error + 'static)) -> String {
    let texts: Vec<String> = links(error).iter().map(ToString::to_string).collect();
    for (i, text) in texts.iter().enumerate() {
        assert!(texts[..i].iter().all(|earlier| !earlier.contains(text.as_str())), "said twice: {texts:?}");
    }
    texts.join(": ")
}

/// Asserts that the error's text is `what` and the file, and that its only source is a system error
/// of the given kind.
fn assert_io(error: &(dyn Error + 'static), what: &str, path: &Path, kind: ErrorKind) {
    assert_eq!(error.to_string(), format!("{what} {}", path.display()));
    let links = links(error);
    let [_, source] = links[..] else { panic!("{links:?}") };
    let source = source.downcast_ref::<io::Error>().expect("an I/O error");
    assert_eq!(source.kind(), kind);
    assert_eq!(chain(error), format!("{what} {}: {source}", path.display()));
}

fn demo() -> Node<'static> {
    let mut node = Node::new("demo", 0);
    node.push(NamedArray::owned("data", &[200], vec![1_u8; 200]));
    node
}

#[test]
fn a_missing_file_is_named_once_and_the_system_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let missing = |name: &str| folder.path().join(name);
    let path = missing("a.ivf");
    assert_io(&read_container(&path).unwrap_err(), "cannot read", &path, ErrorKind::NotFound);
    assert_io(&Container::open(&path).unwrap_err(), "cannot read", &path, ErrorKind::NotFound);
    assert_io(&Map::open_if_safe(&path).unwrap_err(), "cannot map", &path, ErrorKind::NotFound);
    let path = missing("a.fvecs");
    assert_io(&VectorReader::open(&path).unwrap_err(), "cannot read", &path, ErrorKind::NotFound);
    let path = missing("no/a.ivf");
    assert_io(&write_container(&path, &demo()).unwrap_err(), "cannot write", &path, ErrorKind::NotFound);
    let path = missing("no/a.fvecs");
    assert_io(&VectorWriter::create(&path).unwrap_err(), "cannot write", &path, ErrorKind::NotFound);
}

#[test]
fn a_file_that_anybody_may_change_is_not_mapped_and_the_system_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ivf");
    fs::write(&path, "text").unwrap();
    let refused = Map::open_if_safe(&path).unwrap_err();
    assert!(refused.source().is_some_and(|why| why.is::<io::Error>()), "{refused:?}");
    assert!(chain(&refused).starts_with(&format!("cannot map {} safely: ", path.display())));
}

#[test]
fn a_damaged_file_says_in_one_text_what_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ivf");
    write_container(&path, &demo()).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, &bytes).unwrap();
    let error = read_container(&path).unwrap_err();
    let damage = "the checksum of section 0 (data) is wrong: the bytes are damaged";
    assert_eq!(chain(&error), format!("cannot read {}: {damage}", path.display()));
    assert!(error.source().is_none());
    assert_eq!(chain(&decode_container(&bytes).unwrap_err()), damage);

    let container = Container::open(&path).unwrap();
    assert_eq!(chain(&container.node().array::<u8>("data").unwrap_err()), damage);
    bytes[70] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let damage = "the checksum of the header is wrong: the bytes are damaged";
    assert_eq!(chain(&Container::open(&path).unwrap_err()), format!("cannot read {}: {damage}", path.display()));
}

#[test]
fn a_file_that_shrinks_keeps_the_error_of_the_system() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ivf");
    write_container(&path, &demo()).unwrap();
    let container = Container::open(&path).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_len(container.len() - 10).unwrap();
    assert_io(&container.verify().unwrap_err(), "cannot read", &path, ErrorKind::UnexpectedEof);

    let node = container.node();
    let decode = node.array::<u8>("data").unwrap_err();
    assert!(chain(&decode).starts_with("section 0 (data) cannot be read: "));
    // Wrapped, it still shows its own part, and its source stays reachable.
    let error = ivf_io::ReadError { path: path.clone(), why: ContainerError::Decode(decode) };
    assert_eq!(error.to_string(), format!("cannot read {}: section 0 (data) cannot be read", path.display()));
    let links = links(&error);
    assert_eq!(links.len(), 2);
    assert_eq!(links[1].downcast_ref::<io::Error>().unwrap().kind(), ErrorKind::UnexpectedEof);
    chain(&error);
}

#[test]
fn a_stream_that_fails_and_a_tree_without_a_file_are_told_apart() {
    let error = write_container_to(&mut &mut [0_u8; 10][..], &demo()).unwrap_err();
    assert_eq!(error.to_string(), "the bytes cannot be written");
    assert_eq!(links(&error)[1].downcast_ref::<io::Error>().unwrap().kind(), ErrorKind::WriteZero);

    let mut unwritable = demo();
    unwritable.arrays[0].shape = vec![2];
    let fault = "the array 'data' of 'demo' has 200 bytes, which does not match its shape";
    assert_eq!(chain(&write_container_to(&mut Vec::new(), &unwritable).unwrap_err()), fault);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ivf");
    let error = write_container(&path, &unwritable).unwrap_err();
    assert_eq!(chain(&error), format!("cannot write {}: {fault}", path.display()));
}

#[test]
fn a_file_that_is_no_index_is_named_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let says = |name: &str, reason: &str| {
        let path = folder.path().join(name);
        let error = read_container(&path).unwrap_err();
        assert_eq!(error.path, path);
        assert_eq!(chain(&error), format!("cannot read {}: {reason}", path.display()));
    };
    for (name, bytes, looks) in [
        ("photo.jpg", &b"\xff\xd8\xff\xe0"[..], "; it looks like a picture: check the name of the file"),
        ("data", b"\xff\xfe\xfd\xfc", ""),
        ("long", &[b' '; 1000], ""),
    ] {
        fs::write(folder.path().join(name), bytes).unwrap();
        says(name, &format!("this is not an ivf index file{looks}"));
    }
    fs::write(folder.path().join("empty"), "").unwrap();
    says("empty", "the file is empty");
    says("", "it is a folder");
}
