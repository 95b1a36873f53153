//! Tests of interrupted saves.

use super::{EncodeError, write_container, write_container_to};
use crate::file::crash;
use ivf_core::node::{NamedArray, Node};
use std::io;
use std::path::Path;

fn bytes(root: &Node<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_container_to(&mut bytes, root).unwrap();
    bytes
}

/// Returns a tree of several hundred kilobytes, more than the write buffer holds.
fn large(seed: u32) -> Node<'static> {
    let mut root = Node::new("root", 1).with("seed", seed);
    for (name, len) in [("many", 100_000_u32), ("few", 10), ("more", 50_000)] {
        root.push(NamedArray::owned(name, &[len.into()], (0..len).map(|i| i.wrapping_mul(seed)).collect()));
    }
    root
}

/// Environment variable with the path to save to. It turns the test into the child process, which
/// the variables of [`crash`] kill.
const SAVE_TO: &str = "IVF_TEST_SAVE_TO";

#[test]
fn a_save_that_is_killed_anywhere_leaves_the_old_file_or_the_new_one() {
    if let Some(path) = std::env::var_os(SAVE_TO) {
        return write_container(path.as_ref(), &large(3)).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ivf");
    let [old, new] = [2, 3].map(|seed| bytes(&large(seed)));
    let save = |variable: &str, limit: u64| {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "container::saves::a_save_that_is_killed_anywhere_leaves_the_old_file_or_the_new_one"])
            .env(SAVE_TO, &path)
            .env(variable, limit.to_string())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status();
        status.unwrap().success()
    };
    // Crash points all over the file, including its first and last bytes; then each step of the
    // commit.
    let len = new.len() as u64;
    let drawn = (0..90).map(|i: u64| i.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(i << 40) % len);
    let positions = drawn.chain([0, 1, 63, 64, 65, len - 1]).map(|at| (crash::BYTES, at));
    let mut seen = [0; 2];
    for (variable, limit) in positions.chain((0..5).map(|step| (crash::STEPS, step))) {
        std::fs::write(&path, &old).unwrap();
        assert!(!save(variable, limit), "{variable} {limit}: it was not killed");
        let found = std::fs::read(&path).unwrap();
        assert!(found == old || found == new, "{variable} {limit}: {} bytes", found.len());
        seen[usize::from(found == new)] += 1;
        assert_eq!(found == new, variable == crash::STEPS && limit >= 3, "{variable} {limit}");
        // A leftover temporary file does not prevent the next save.
        if limit % 16 == 0 {
            assert!(save(crash::BYTES, len));
            assert_eq!(std::fs::read(&path).unwrap(), new);
        }
    }
    assert_eq!(seen, [99, 2]);
}

fn names(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_full_disk_leaves_the_old_file_and_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ivf");
    let [old, new] = [2, 3].map(|seed| bytes(&large(seed)));
    std::fs::write(&path, &old).unwrap();
    let len = new.len() as u64;
    let drawn = (0..50).map(|i: u64| i.wrapping_mul(6_364_136_223_846_793_005) % len).chain([0, 1, 63, 64, len - 1]);
    // Only the steps up to the rename: after it, the new file is in place.
    for (bytes, steps) in drawn.map(|bytes| (bytes, u64::MAX)).chain((0..3).map(|steps| (u64::MAX, steps))) {
        crash::fill_disk(bytes, steps);
        let error = write_container(&path, &large(3)).unwrap_err();
        assert!(
            matches!(&error.why, EncodeError::Io(why) if why.kind() == io::ErrorKind::StorageFull),
            "{bytes} bytes, {steps} steps: {error}"
        );
        assert_eq!(error.to_string(), format!("cannot write {}", path.display()));
        assert!(std::fs::read(&path).unwrap() == old, "{bytes} bytes, {steps} steps: the old file has changed");
        assert_eq!(names(folder.path()), ["a.ivf"], "{bytes} bytes, {steps} steps");
    }
    crash::fill_disk(u64::MAX, u64::MAX);
    write_container(&path, &large(3)).unwrap();
    assert!(std::fs::read(&path).unwrap() == new);
}

#[test]
fn a_folder_that_takes_no_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing/a.ivf");
    assert!(write_container(&missing, &large(1)).unwrap_err().to_string().contains("missing"));
    // Not even root can create files there.
    #[cfg(target_os = "linux")]
    assert!(write_container(Path::new("/proc/a.ivf"), &large(1)).is_err());
    assert_eq!(names(folder.path()), [""; 0]);
}
