//! Tests of the replacement of files: what is refused, and what is kept.

use super::*;

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_dropped_file_leaves_the_old_one_and_no_rest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    fs::write(&path, "old").unwrap();
    let mut file = AtomicFile::create(&path).unwrap();
    file.write_all(&vec![1; 2 * BUFFER]).unwrap();
    assert_eq!(names(folder.path()).len(), 2);
    drop(file);
    assert_eq!(names(folder.path()), ["a"]);
    assert_eq!(fs::read(&path).unwrap(), b"old");
}

#[test]
fn a_failed_rename_leaves_no_rest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let mut file = AtomicFile::create(&path).unwrap();
    file.write_all(b"new").unwrap();
    fs::create_dir(&path).unwrap();
    assert!(file.commit().is_err());
    assert_eq!(names(folder.path()), ["a"]);
    assert!(path.is_dir());
}

#[test]
fn a_bare_name_lies_in_the_current_folder() {
    assert_eq!(folder_of(Path::new("a.ivf")), Path::new("."));
    assert_eq!(folder_of(Path::new("b/a.ivf")), Path::new("b"));
    assert_eq!(folder_of(Path::new("/a.ivf")), Path::new("/"));
}

#[test]
fn only_a_regular_file_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(AtomicFile::create(folder.path()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
    assert!(AtomicFile::create(Path::new("")).is_err());
    assert!(AtomicFile::create(Path::new("..")).is_err());
    #[cfg(unix)]
    assert_eq!(AtomicFile::create(Path::new("/dev/null")).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert_eq!(names(folder.path()), [""; 0]);
}

#[cfg(unix)]
#[test]
fn links_and_modes_are_kept() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("a"), folder.path().join("link"));
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let mut file = AtomicFile::create(&link).unwrap();
    file.write_all(b"new").unwrap();
    file.commit().unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn what_cannot_be_written_is_told_before_the_work_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("file"), "old").unwrap();
    fs::create_dir(at("folder")).unwrap();
    let shown = folder.path().display();
    for (path, kind, text) in [
        (at("no/such/a.ivf"), ErrorKind::NotFound, format!("there is no folder {shown}/no/such")),
        (at("file/a.ivf"), ErrorKind::NotADirectory, format!("{shown}/file is not a folder")),
        (at("folder"), ErrorKind::IsADirectory, "it is a folder".to_owned()),
        (at("new/"), ErrorKind::IsADirectory, "it is the name of a folder".to_owned()),
        (at(&"n".repeat(300)), ErrorKind::InvalidFilename, "the file name is too long, or invalid".to_owned()),
    ] {
        for error in [AtomicFile::check(&path).unwrap_err(), AtomicFile::create(&path).unwrap_err()] {
            assert_eq!((error.kind(), error.to_string()), (kind, text.clone()), "{}", path.display());
        }
    }
    assert_eq!(AtomicFile::check(&at("file")).unwrap(), WriteCheck::default());
    assert_eq!(AtomicFile::check(&at("new")).unwrap(), WriteCheck::default());
    assert_eq!(
        (names(folder.path()), fs::read(at("file")).unwrap()),
        (vec!["file".into(), "folder".into()], b"old".into())
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_takes_no_file_and_a_full_disk_are_told_before_the_work() {
    // Not even root can create files there.
    let error = AtomicFile::check(Path::new("/proc/a.ivf")).unwrap_err();
    assert!(error.to_string().contains("the folder /proc "), "{error}");
    let full = in_folder(ErrorKind::StorageFull.into(), Path::new("x"));
    assert_eq!((full.kind(), full.to_string()), (ErrorKind::StorageFull, "no space is left in the folder x".into()));
}

/// Environment variable with the folder of the child process, which runs as [`NOBODY`].
#[cfg(unix)]
const AS_NOBODY: &str = "IVF_TEST_AS_NOBODY";

#[cfg(unix)]
const NOBODY: u32 = 65_534;

/// Only root can give files away, so only root's run has files of two users.
#[cfg(unix)]
#[test]
fn the_owner_is_kept_or_the_change_is_told() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    use std::os::unix::process::CommandExt;
    let replace = |path: &Path| {
        let check = AtomicFile::check(path).unwrap();
        let mut file = AtomicFile::create(path).unwrap();
        file.write_all(b"new").unwrap();
        file.commit().unwrap();
        let new = fs::metadata(path).unwrap();
        (check.owner, (new.uid(), new.gid()), new.mode() & 0o777)
    };
    if let Some(folder) = std::env::var_os(AS_NOBODY) {
        let to = (NOBODY, NOBODY);
        let change = Some(OwnerChange { from: (1234, 4321), to });
        assert_eq!(replace(&Path::new(&folder).join("b")), (change, to, 0o644));
        let error = AtomicFile::check(&Path::new(&folder).join("sticky/c")).unwrap_err();
        assert!(error.to_string().contains("the file of another user cannot be replaced"), "{error}");
        let error = AtomicFile::check(&Path::new(&folder).join("closed/d")).unwrap_err();
        assert!(error.to_string().starts_with("no permission to write files in the folder "), "{error}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mode = |name: &str, mode| fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    fs::write(at("a"), "old").unwrap();
    mode("a", 0o640);
    let me = fs::metadata(at("a")).unwrap();
    assert_eq!(replace(&at("a")), (None, (me.uid(), me.gid()), 0o640));
    if me.uid() != 0 {
        return;
    }
    chown(at("a"), Some(1234), Some(4321)).unwrap();
    assert_eq!(replace(&at("a")), (None, (1234, 4321), 0o640));

    for (name, bits) in [("sticky", 0o1777), ("closed", 0o755)] {
        fs::create_dir(at(name)).unwrap();
        mode(name, bits);
    }
    for name in ["b", "sticky/c"] {
        fs::write(at(name), "old").unwrap();
        mode(name, 0o664);
        chown(at(name), Some(1234), Some(4321)).unwrap();
    }
    // The other user may not be able to reach the test program where it is.
    let program = at("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let child = std::process::Command::new(&program)
        .args(["--exact", "file::tests::the_owner_is_kept_or_the_change_is_told"])
        .env(AS_NOBODY, folder.path())
        .current_dir(folder.path())
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
}
