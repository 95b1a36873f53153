//! Rules of the project that a test can check: dependencies between crates, places of `unsafe`,
//! lengths of files, and others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// For each crate, the workspace crates that it may name under `[dependencies]`.
const ARROWS: &[(&str, &[&str])] = &[
    (".", &["ivf-core", "ivf-cpu", "ivf-pq", "ivf-io", "ivf-factory"]),
    ("ivf-cli", &["ivf-core", "ivf-cpu", "ivf-io", "ivf-factory"]),
    ("ivf-factory", &["ivf-core", "ivf-cpu", "ivf-pq", "ivf-io"]),
    ("ivf-cuda", &["ivf-core", "ivf-cpu"]),
    ("ivf-pq", &["ivf-core", "ivf-cpu"]),
    ("ivf-cpu", &["ivf-core"]),
    ("ivf-io", &["ivf-core"]),
    ("ivf-testkit", &["ivf-core"]),
    ("ivf-core", &[]),
    ("xtask", &[]),
];

/// The only places of `unsafe` code: those in the library, a benchmark that makes the promise of a
/// memory map as a user would, and a test that forks.
const UNSAFE: &[&str] = &[
    "ivf-cpu/src/simd",
    "ivf-io/src/mmap.rs",
    "ivf-cuda/src/driver/cuda",
    "ivf-cuda/src/module/nvrtc.rs",
    "ivf-cuda/src/probe.rs",
    "benches/open.rs",
    "tests/threads/fork.rs",
];

/// Maximum number of lines of a file, beyond which it contains more than one idea.
const MOST_LINES: usize = 800;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Finds the files below `folder` whose names end in `ending`, with their paths from the root and
/// their content. Build output is skipped.
fn files(folder: &Path, ending: &str, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" {
                files(&path, ending, found);
            }
        } else if name.ends_with(ending) {
            let short = path.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/");
            found.push((short, read(&path)));
        }
    }
}

fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    files(&root(), ".rs", &mut found);
    assert!(found.len() > 50, "the sources are found");
    found
}

/// Returns the dependencies in a manifest that are crates of this workspace.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let section = manifest.split("\n[").find(|section| section.starts_with("dependencies]")).unwrap_or_default();
    let names = section.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
    names.filter(|name| name.starts_with("ivf-")).map(str::to_owned).collect()
}

#[test]
fn no_arrow_between_crates_but_those_of_the_plan() {
    let manifest = read(&root().join("Cargo.toml"));
    let members = manifest.lines().find(|line| line.starts_with("members = ")).expect("workspace members");
    let known: BTreeMap<&str, BTreeSet<&str>> =
        ARROWS.iter().map(|(name, may)| (*name, may.iter().copied().collect())).collect();
    for member in members.split('"').skip(1).step_by(2).chain(["."]) {
        let may = known.get(member).unwrap_or_else(|| panic!("{member} has no line in the table of arrows"));
        for used in dependencies(&read(&root().join(member).join("Cargo.toml"))) {
            assert!(may.contains(used.as_str()), "{member} may not use {used}");
        }
    }
}

#[test]
fn every_crate_inherits_the_lints() {
    for (name, _) in ARROWS {
        let manifest = read(&root().join(name).join("Cargo.toml"));
        assert!(manifest.contains("[lints]\nworkspace = true"), "{name} does not inherit the workspace's lints");
    }
}

#[test]
fn unsafe_is_only_in_the_named_files_and_each_block_has_one_safety_line() {
    for (path, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let block = code.contains("unsafe {") || code.contains("unsafe impl") || code.contains("unsafe fn");
            if !block || path == "tests/tidy.rs" {
                continue;
            }
            assert!(UNSAFE.iter().any(|place| path.starts_with(place)), "{path}:{}: unsafe", number + 1);
            // The comment just above may have several lines. That of a function tells its callers.
            let comment = lines[..number].iter().rev().map(|line| line.trim_start());
            let mut comment = comment.take_while(|line| line.starts_with("//"));
            let is_safe = comment.any(|line| line.starts_with("// SAFETY: ") || line == "/// # Safety");
            assert!(is_safe, "{path}:{}: no SAFETY line just above", number + 1);
        }
    }
    for (name, _) in ARROWS.iter().filter(|(name, _)| name.starts_with("ivf-") || *name == ".") {
        let lib = root().join(name).join("src/lib.rs");
        if lib.exists() {
            let text = read(&lib);
            let fenced = text.contains("#![forbid(unsafe_code)]") || text.contains("#![deny(unsafe_code)]");
            assert!(fenced, "{name} does not forbid or deny unsafe code");
        }
    }
}

#[test]
fn the_core_touches_no_file_and_no_thread() {
    for (path, text) in sources() {
        if path.starts_with("ivf-core/") {
            for word in ["std::fs", "std::thread", "std::net", "std::env", "std::arch", "rayon", "Instant::now"] {
                let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                assert!(code.clone().all(|line| !line.contains(word)), "{path} names {word}");
            }
        }
    }
}

#[test]
fn a_file_is_one_idea_and_nothing_is_left_undone() {
    // Built from pieces, so that this file does not contain them.
    let marks = ["TO", "FIX", "XX"].iter().zip(["DO", "ME", "X"]).map(|(a, b)| format!("{a}{b}"));
    let calls = ["todo", "unimplemented", "dbg"].iter().map(|name| format!("{name}!("));
    let undone: Vec<String> = marks.chain(calls).chain([format!("#[{}", "ignore")]).collect();
    for (path, text) in sources() {
        let count = text.lines().count();
        assert!(count <= MOST_LINES, "{path} has {count} lines");
        assert!(text.starts_with("//!"), "{path} does not begin with a `//!` comment");
        // An example in a doc comment may leave out a body.
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in code {
            for word in &undone {
                assert!(!line.contains(word.as_str()), "{path}: {}", line.trim());
            }
        }
    }
}

#[test]
fn nobody_downcasts_but_to_its_own_kind() {
    // A merge checks that the other index is of its own kind. Other code must use `export()` to
    // look into another kind.
    for (path, text) in sources() {
        let own = [
            // A mark of an add has what its own index put there.
            "ivf-core/src/ability.rs",
            "ivf-cpu/src/engine/merge.rs",
            "ivf-cpu/src/engine/codes.rs",
            "ivf-cpu/src/engine/dedup/edit.rs",
            "ivf-cpu/src/wrap/id_map/edit.rs",
            "ivf-cpu/src/wrap/pre_transform/abilities.rs",
        ];
        // Tests inspect the payloads of panics and the chains of errors, not kinds.
        let test = path.starts_with("tests/") || path.contains("/tests/") || path.starts_with("ivf-testkit/");
        if !test && !own.contains(&path.as_str()) {
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            assert!(
                code.clone().all(|line| !line.contains("downcast")),
                "{path} downcasts; ask `export()` or an ability instead"
            );
        }
    }
}

#[test]
fn every_file_of_a_crate_is_a_module_of_it() {
    let sources: BTreeMap<String, String> = sources().into_iter().collect();
    for path in sources.keys().filter(|path| path.starts_with("src/") || path.contains("/src/")) {
        let (folder, name) = path.rsplit_once('/').expect("below a folder");
        if ["lib.rs", "main.rs", "mod.rs"].contains(&name) {
            continue;
        }
        let name = name.trim_end_matches(".rs");
        let parents = ["lib.rs", "main.rs", "mod.rs"].map(|parent| format!("{folder}/{parent}"));
        let beside = format!("{folder}.rs");
        let named = parents.iter().chain([&beside]).filter_map(|parent| sources.get(parent));
        let declares = |text: &String| text.lines().any(|line| line.trim_end().ends_with(&format!("mod {name};")));
        assert!(named.into_iter().any(declares), "{path} is not a module");
    }
}

#[test]
fn prose_wraps_at_100_columns() {
    let mut files_found = Vec::new();
    files(&root(), ".rs", &mut files_found);
    files(&root(), ".md", &mut files_found);
    for (path, text) in files_found {
        let (is_markdown, mut is_code) = (path.ends_with(".md"), false);
        for (number, line) in text.lines().enumerate() {
            let comment = line.trim_start().strip_prefix("//").map(|rest| rest.trim_start_matches(['/', '!']));
            let Some(prose) = (if is_markdown { Some(line) } else { comment }) else { continue };
            let prose = prose.trim_start();
            if prose.starts_with("```") {
                is_code = !is_code;
            }
            // Exempt are tables and text that cannot be broken: addresses of links, code.
            let is_free = is_code || prose.starts_with('|') || prose.starts_with('<') || !prose.contains(' ');
            let columns = line.chars().count();
            assert!(columns <= 100 || is_free, "{path}:{}: {columns} columns of prose", number + 1);
        }
    }
}

/// Returns the names of the public functions and of the methods of public traits in a file, with
/// their line numbers. Its tests, and functions hidden from the docs, are left out.
fn public_functions(text: &str) -> Vec<(usize, String)> {
    let (mut is_trait, mut is_hidden, mut found) = (false, false, Vec::new());
    let own = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
    for (number, line) in own.lines().enumerate() {
        if line.starts_with("pub trait ") || line == "}" {
            is_trait = line.starts_with("pub trait ");
        }
        let trimmed = line.trim_start();
        let code = trimmed.trim_start_matches("pub ").trim_start_matches("const ").trim_start_matches("unsafe ");
        if let Some(name) = code.strip_prefix("fn ").and_then(|rest| rest.split(['(', '<']).next()) {
            let is_public = trimmed.starts_with("pub ") || is_trait && line.len() - trimmed.len() == 4;
            // The name of a macro's parameter is no function's.
            if is_public && !is_hidden && !name.starts_with('$') {
                found.push((number + 1, name.to_owned()));
            }
        }
        is_hidden =
            trimmed.contains("doc(hidden)") || is_hidden && (trimmed.starts_with("//") || trimmed.starts_with('#'));
    }
    found
}

/// Returns the functions that the examples in the doc comments of a file call, name or define.
fn functions_in_examples(text: &str) -> BTreeSet<&str> {
    let (mut is_example, mut found) = (false, BTreeSet::new());
    for line in text.lines() {
        let comment = line.trim_start().strip_prefix("///").or_else(|| line.trim_start().strip_prefix("//!"));
        match comment.map(str::trim_start) {
            Some(fence) if fence.starts_with("```") => is_example = !is_example,
            Some(code) if is_example => {
                let code = code.split("// ").next().unwrap_or_default();
                let is_word = |c: char| c.is_alphanumeric() || c == '_';
                let ends = code.char_indices().filter(|(end, _)| {
                    // A call, a call with types, or a path that is passed on.
                    let rest = &code[*end..];
                    rest.starts_with('(') || rest.starts_with("::<") || rest.starts_with('<') || rest.starts_with(')')
                });
                let start = |end: usize| code[..end].rfind(|c: char| !is_word(c)).map_or(0, |before| before + 1);
                found.extend(ends.map(|(end, _)| &code[start(end)..end]));
            }
            Some(_) => {}
            None => is_example = false,
        }
    }
    found
}

#[test]
fn every_public_function_is_in_an_example_of_its_file() {
    let published = ["ivf-core/src", "ivf-cpu/src", "ivf-pq/src", "ivf-io/src", "ivf-factory/src"];
    let mut missing = Vec::new();
    for (path, text) in sources() {
        if !published.iter().any(|folder| path.starts_with(folder)) || path.contains("tests") {
            continue;
        }
        let shown = functions_in_examples(&text);
        let functions = public_functions(&text).into_iter().filter(|(_, name)| !shown.contains(name.as_str()));
        missing.extend(functions.map(|(line, name)| format!("{path}:{line}: {name}")));
    }
    assert!(missing.is_empty(), "functions without an example:\n{}", missing.join("\n"));
}
