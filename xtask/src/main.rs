//! The chores of the workspace: `cargo xtask <chore>`.
//!
//! | chore | what it runs |
//! |---|---|
//! | `test` | every test: units, integration, examples, doctests; those of optional features |
//! | `levels` | the same on each instruction set of an x86-64 machine with AVX-512 |
//! | `neon` | the tests of ivf-cpu for 64-bit ARM, under qemu (needs the target, `gcc-aarch64-linux-gnu`, `qemu-user`) |
//! | `lint` | rustfmt, clippy and rustdoc, warnings as errors |
//! | `deny` | licences, duplicates and sources of the dependencies (needs cargo-deny) |
//! | `bless` | rewrites the tables and texts that tests compare with, and the seeds of the fuzz targets |
//! | `fuzz` | each fuzz target for ten minutes, or `IVF_FUZZ_SECONDS` (needs a nightly toolchain and cargo-fuzz) |

use std::fs;
use std::io;
use std::process::{Command, ExitCode};

/// A command to run: program arguments after `cargo`, and variables for it.
type Step = (&'static [&'static str], &'static [(&'static str, &'static str)]);

const TEST: &[Step] = &[
    (&["test", "--workspace"], &[]),
    // What the feature changes: readers of vectors, the program, the targets of the fuzzers.
    (
        &[
            "test",
            "--package",
            "ivf-io",
            "--package",
            "ivf-cli",
            "--package",
            "ivf-index",
            "--all-features",
            "--test",
            "hdf5",
            "--test",
            "cli",
            "--test",
            "fuzz_inputs",
        ],
        &[],
    ),
];

const LEVELS: &[Step] = &[
    (&["test", "--workspace"], &[("IVF_SIMD", "scalar")]),
    (&["test", "--workspace"], &[("IVF_SIMD", "avx2")]),
    (&["test", "--workspace"], &[("IVF_SIMD", "avx512")]),
];

const NEON: &[Step] = &[(
    &["test", "--package", "ivf-cpu", "--lib", "--target", "aarch64-unknown-linux-gnu"],
    &[
        ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc"),
        ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", "qemu-aarch64 -L /usr/aarch64-linux-gnu"),
    ],
)];

const LINT: &[Step] = &[
    (&["fmt", "--all", "--check"], &[]),
    (&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[]),
    (&["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"], &[]),
    (&["doc", "--workspace", "--no-deps", "--all-features"], &[("RUSTDOCFLAGS", "-D warnings")]),
];

const DENY: &[Step] = &[(&["deny", "check", "licenses", "bans", "sources"], &[])];

const BLESS: &[Step] = &[
    (&["test", "--package", "ivf-factory", "--test", "*"], &[("IVF_BLESS", "1")]),
    (&["test", "--package", "ivf-index", "--test", "golden"], &[("IVF_BLESS", "1")]),
    (&["test", "--package", "ivf-index", "--test", "fuzz_inputs"], &[("IVF_BLESS", "1")]),
];

/// A chore: its name, and what it does; whether all went well.
type Chore = (&'static str, fn() -> bool);

const CHORES: &[Chore] = &[
    ("test", || TEST.iter().all(run)),
    ("levels", || LEVELS.iter().all(run)),
    ("neon", || NEON.iter().all(run)),
    ("lint", || LINT.iter().all(run)),
    ("deny", || DENY.iter().all(run)),
    ("bless", || BLESS.iter().all(run)),
    ("fuzz", fuzz),
];

fn main() -> ExitCode {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let [chore] = &asked[..] else { return usage() };
    match CHORES.iter().find(|(name, _)| name == chore) {
        Some((_, chore)) if chore() => ExitCode::SUCCESS,
        Some(_) => ExitCode::FAILURE,
        None => usage(),
    }
}

fn usage() -> ExitCode {
    let names: Vec<&str> = CHORES.iter().map(|(name, _)| *name).collect();
    eprintln!("usage: cargo xtask {}", names.join("|"));
    ExitCode::from(2)
}

/// Runs every target that has seeds; its corpus grows in a folder that git ignores.
fn fuzz() -> bool {
    let targets = || -> io::Result<Vec<String>> {
        let names = fs::read_dir("fuzz/seeds")?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let names: Vec<String> = names.collect::<io::Result<_>>()?;
        let folders = names.iter().flat_map(|name| ["corpus", "regressions"].map(|kind| format!("fuzz/{kind}/{name}")));
        folders.into_iter().try_for_each(fs::create_dir_all)?;
        Ok(names)
    };
    let time = std::env::var("IVF_FUZZ_SECONDS").unwrap_or_else(|_| "600".to_owned());
    let time = format!("-max_total_time={time}");
    match targets() {
        Ok(targets) => targets.iter().all(|target| {
            let [corpus, seeds, old] = ["corpus", "seeds", "regressions"].map(|kind| format!("fuzz/{kind}/{target}"));
            let limits = ["--", &time, "-rss_limit_mb=2048"];
            let arguments = ["fuzz", "run", target, &corpus, &seeds, &old];
            cargo(&[&arguments[..], &limits].concat(), &[("RUSTUP_TOOLCHAIN", "nightly")])
        }),
        Err(error) => {
            eprintln!("error: fuzz/: {error}");
            false
        }
    }
}

fn run((arguments, variables): &Step) -> bool {
    cargo(arguments, variables)
}

fn cargo(arguments: &[&str], variables: &[(&str, &str)]) -> bool {
    eprintln!("$ cargo {}", arguments.join(" "));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo).args(arguments).envs(variables.iter().copied()).status();
    match status {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("error: cargo does not start: {error}");
            false
        }
    }
}
