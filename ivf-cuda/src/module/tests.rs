//! Tests of the load order, with a cache in a temporary folder.

use super::cache::default_folder;
use super::*;
use std::cell::RefCell;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

const MANIFEST: &str = include_str!("../../kernels/manifest.json");

const CUBIN: &[u8] = b"a cubin";

fn device() -> DeviceInfo {
    DeviceInfo {
        name: "NVIDIA H200".into(),
        ordinal: 0,
        capability: (9, 0),
        multiprocessors: 132,
        memory: 1 << 37,
        shared_memory: 227 << 10,
        driver_version: 13_000,
    }
}

/// A compiler that remembers for which architectures it was asked.
struct Fake {
    result: Result<Vec<u8>, String>,
    asked: RefCell<Vec<String>>,
}

impl Fake {
    fn new(result: Result<&[u8], &str>) -> Self {
        Self { result: result.map(<[u8]>::to_vec).map_err(str::to_owned), asked: RefCell::default() }
    }
}

impl Compiler for Fake {
    fn version(&self) -> (i32, i32) {
        (12, 6)
    }

    fn compile(&self, architecture: &str) -> Result<Vec<u8>, String> {
        self.asked.borrow_mut().push(architecture.to_owned());
        self.result.clone()
    }
}

/// Loads with a compiler that works, and a device that accepts all. Returns the image, where it was
/// taken from, and whether the compiler was asked.
fn load_from(folder: Option<&Path>) -> (Vec<u8>, Origin, bool) {
    let compiler = Fake::new(Ok(CUBIN));
    let open = |image: &[u8]| Ok(image.to_vec());
    let (image, origin) = load(&device(), folder.map(Into::into), Some(&compiler), open).unwrap();
    (image, origin, !compiler.asked.take().is_empty())
}

fn only_file(folder: &Path) -> PathBuf {
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    file.clone()
}

#[test]
fn what_was_compiled_comes_from_the_cache_next_time() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("made/if need be");
    assert_eq!(load_from(Some(&folder)), (CUBIN.to_vec(), Origin::Nvrtc, true));
    assert_eq!(load_from(Some(&folder)), (CUBIN.to_vec(), Origin::Cache, false));
    only_file(&folder);
}

#[test]
fn the_folder_is_the_users_own() {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("cache");
        load_from(Some(&folder));
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        for mode in [0o720, 0o702, 0o777] {
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(load_from(Some(&folder)).1, Origin::Nvrtc, "mode {mode:o}");
        }
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(load_from(Some(&folder)).1, Origin::Cache);
    }
}

#[test]
fn a_damaged_file_is_replaced() {
    let place = tempfile::tempdir().unwrap();
    load_from(Some(place.path()));
    let path = only_file(place.path());
    let whole = fs::read(&path).unwrap();
    let check = |damaged: &[u8]| {
        fs::write(&path, damaged).unwrap();
        assert_eq!(load_from(Some(place.path())), (CUBIN.to_vec(), Origin::Nvrtc, true), "{damaged:?}");
        assert_eq!(fs::read(&path).unwrap(), whole);
    };
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        check(&changed);
        check(&whole[..at]);
    }
    check(&[&whole[..], b"more"].concat());
}

#[test]
fn a_file_of_another_key_is_not_used() {
    let place = tempfile::tempdir().unwrap();
    let path = |key: u128| place.path().join(format!("{key:032x}.cubin"));
    Cache::new(place.path().into()).put(7, b"foreign");
    fs::rename(path(7), path(key(&device(), (12, 6)))).unwrap();
    assert_eq!(load_from(Some(place.path())).1, Origin::Nvrtc);
}

#[test]
fn a_folder_that_cannot_be_written_is_as_good_as_none() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    fs::write(&file, "").unwrap();
    for folder in [&file, &file.join("below")] {
        assert_eq!(load_from(Some(folder)), (CUBIN.to_vec(), Origin::Nvrtc, true));
    }
    // Nor does a folder in place of the file hurt.
    let path = place.path().join(format!("{:032x}.cubin", key(&device(), (12, 6))));
    fs::create_dir(&path).unwrap();
    assert_eq!(load_from(Some(place.path())), (CUBIN.to_vec(), Origin::Nvrtc, true));
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 2);
}

#[test]
fn without_a_cache_each_start_compiles() {
    for _ in 0..2 {
        assert_eq!(load_from(None), (CUBIN.to_vec(), Origin::Nvrtc, true));
    }
}

#[test]
fn the_key_has_all_that_a_cubin_depends_on() {
    let base = key(&device(), (12, 6));
    assert_eq!(base, key(&device(), (12, 6)));
    assert_ne!(base, key(&device(), (12, 8)));
    assert_ne!(base, key(&DeviceInfo { capability: (8, 0), ..device() }, (12, 6)));
    assert_ne!(base, key(&DeviceInfo { driver_version: 12_080, ..device() }, (12, 6)));
    assert_ne!(Hash::new().with(b"ab").with(b"c").value(), Hash::new().with(b"a").with(b"bc").value());
}

#[test]
fn what_the_device_refuses_is_followed_by_the_next() {
    let place = tempfile::tempdir().unwrap();
    load_from(Some(place.path()));
    let compiler = Fake::new(Ok(CUBIN));
    let mut images = Vec::new();
    let open = |image: &[u8]| {
        images.push(image.to_vec());
        if image == CUBIN { Err("wrong device".to_owned()) } else { Ok(()) }
    };
    let ((), origin) = load(&device(), Some(place.path().into()), Some(&compiler), open).unwrap();
    assert_eq!(origin, Origin::Ptx);
    assert_eq!(images, [CUBIN, CUBIN, &ptx().unwrap()]);
    assert_eq!(compiler.asked.take(), ["sm_90a"]);

    let failing = Fake::new(Err("no headers"));
    assert_eq!(load(&device(), None, Some(&failing), |_| Ok(())).unwrap().1, Origin::Ptx);
    assert_eq!(load(&device(), None, None, |_| Ok(())).unwrap().1, Origin::Ptx);
    let error = load::<()>(&device(), None, Some(&failing), |_| Err("too new".into())).unwrap_err();
    assert_eq!(error, CudaError::Kernels("NVRTC: no headers; PTX: too new".into()));
}

#[test]
fn the_environment_names_the_folder() {
    let folder = |variables: &[(&str, &str)]| {
        default_folder(|asked| {
            variables.iter().find(|(name, _)| *name == asked).map(|(_, value)| OsString::from(value))
        })
    };
    let absolute = std::env::temp_dir();
    let absolute = absolute.to_str().unwrap();
    let caches = Path::new(absolute);
    assert_eq!(folder(&[]), None);
    assert_eq!(folder(&[("HOME", absolute)]), Some(caches.join(".cache").join("ivf-cuda")));
    assert_eq!(folder(&[("XDG_CACHE_HOME", absolute), ("HOME", "/x")]), Some(caches.join("ivf-cuda")));
    assert_eq!(
        folder(&[("XDG_CACHE_HOME", "x"), ("HOME", "x"), ("LOCALAPPDATA", absolute)]),
        Some(caches.join("ivf-cuda"))
    );
    assert_eq!(folder(&[("IVF_CUDA_CACHE", "off"), ("HOME", absolute)]), None);
    assert_eq!(folder(&[("IVF_CUDA_CACHE", ""), ("HOME", absolute)]), None);
    assert_eq!(folder(&[("IVF_CUDA_CACHE", "mine"), ("HOME", absolute)]), Some("mine".into()));
}

#[test]
fn the_ptx_is_of_the_sources() {
    let hash = format!("\"fnv1a\": \"{:032x}\"", sources_hash().value());
    assert!(MANIFEST.contains(&hash), "run `cargo xtask kernels`: {hash} is not in kernels/manifest.json");
    let ptx = String::from_utf8(ptx().unwrap()).unwrap();
    assert!(ptx.ends_with('\0'));
    // What src/probe.rs says of drivers and devices follows from these.
    assert!(ptx.contains("\n.version 8.5\n") && ptx.contains("\n.target sm_80\n"));
}

#[test]
fn the_options_are_those_that_are_checked() {
    let options = nvrtc::OPTIONS.iter().map(|option| format!("{option:?}")).collect::<Vec<_>>().join(", ");
    assert!(MANIFEST.contains(&format!("\"options\": [{options}]")));
}

#[test]
fn the_compiler_of_the_host_compiles_the_kernels() {
    let Some(nvrtc) = nvrtc::Nvrtc::find() else {
        println!("not tested: there is no NVRTC");
        return;
    };
    let cubin = nvrtc.compile(&architecture((9, 0))).unwrap();
    assert!(cubin.starts_with(b"\x7fELF"));
    assert!(nvrtc.compile("sm_1").unwrap_err().contains("gpu-architecture"));
}
