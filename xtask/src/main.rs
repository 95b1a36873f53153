//! The chores of the workspace: `cargo xtask <chore>`.
//!
//! | chore | what it runs |
//! |---|---|
//! | `test` | every test: unit and integration tests, examples, doctests, and tests of optional features |
//! | `levels` | the tests of the workspace on each instruction set of an x86-64 machine with AVX-512 |
//! | `neon` | the tests of ivf-cpu for 64-bit ARM, under qemu (needs the target, `gcc-aarch64-linux-gnu`, `qemu-user`) |
//! | `cross` | compiles everything for Windows, macOS and 64-bit ARM (needs the three targets of rustup) |
//! | `lint` | rustfmt, clippy and rustdoc, warnings as errors |
//! | `deny` | licences, duplicates and sources of the dependencies (needs cargo-deny) |
//! | `kernels` | compiles the CUDA kernels of ivf-cuda; with `--check`, compares with what is checked in (needs pip) |
//! | `bless` | rewrites the tables and texts that tests compare with, and the seeds of the fuzz targets |
//! | `fuzz` | each fuzz target for ten minutes, or `IVF_FUZZ_SECONDS` (needs a nightly toolchain and cargo-fuzz) |

use std::fmt;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

/// A command to run: the arguments of `cargo`, and environment variables.
type Step = (&'static [&'static str], &'static [(&'static str, &'static str)]);

const TEST: &[Step] = &[
    (&["test", "--workspace", "--no-fail-fast"], &[]),
    // The crates that the feature `hdf5` changes: readers of vectors, the program, the fuzz
    // targets.
    (
        &[
            "test",
            "--no-fail-fast",
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
    (&["test", "--workspace", "--no-fail-fast"], &[("IVF_SIMD", "scalar")]),
    (&["test", "--workspace", "--no-fail-fast"], &[("IVF_SIMD", "avx2")]),
    (&["test", "--workspace", "--no-fail-fast"], &[("IVF_SIMD", "avx512")]),
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

/// Warnings are errors.
const WARNINGS: &[(&str, &str)] = &[("RUSTFLAGS", "-D warnings")];

/// Operating systems and processors that the tests do not run on here.
const CROSS: &[Step] = &[
    (&["check", "--workspace", "--all-targets", "--target", "x86_64-pc-windows-gnu"], WARNINGS),
    (&["check", "--workspace", "--all-targets", "--target", "aarch64-apple-darwin"], WARNINGS),
    (&["check", "--workspace", "--all-targets", "--target", "aarch64-unknown-linux-gnu"], WARNINGS),
];

const DENY: &[Step] = &[(&["deny", "check", "licenses", "bans", "sources"], &[])];

const BLESS: &[Step] = &[
    (&["test", "--package", "ivf-factory", "--test", "*"], &[("IVF_BLESS", "1")]),
    (&["test", "--package", "ivf-cli", "--test", "cli", "walk"], &[("IVF_BLESS", "1")]),
    (&["test", "--package", "ivf-index", "--test", "golden"], &[("IVF_BLESS", "1")]),
    (&["test", "--package", "ivf-index", "--test", "fuzz_inputs"], &[("IVF_BLESS", "1")]),
];

/// A chore: its name, and the function that runs it and returns whether it succeeded.
type Chore = (&'static str, fn() -> bool);

const CHORES: &[Chore] = &[
    ("test", || tests(TEST)),
    ("levels", || tests(LEVELS)),
    ("neon", || tests(NEON)),
    ("cross", || CROSS.iter().all(run)),
    ("lint", || LINT.iter().all(run)),
    ("deny", || DENY.iter().all(run)),
    ("kernels", || kernels(&[])),
    ("kernels --check", || kernels(&["--check"])),
    ("bless", || BLESS.iter().all(run)),
    ("fuzz", fuzz),
];

fn main() -> ExitCode {
    let asked = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    match CHORES.iter().find(|(name, _)| *name == asked) {
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

/// Runs every fuzz target that has seeds. Each corpus grows in a folder that git ignores.
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

/// Compiles the CUDA kernels with the NVRTC that the requirements name, which pip installs first.
/// Needs no GPU. Where pip cannot, a check is left out, and the output says so.
fn kernels(arguments: &[&str]) -> bool {
    const REQUIREMENTS: &str = "ivf-cuda/kernels/requirements.txt";
    let requirements = fs::read_to_string(REQUIREMENTS).unwrap_or_default();
    let version = requirements.split("==").nth(1).and_then(|rest| rest.split_whitespace().next());
    let folder = format!("target/nvrtc-{}", version.unwrap_or("unknown"));
    let library = format!("{folder}/nvidia/cuda_nvrtc/lib");
    let install = ["-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps", "--only-binary=:all:"];
    let install = [&install[..], &["--target", &folder, "--requirement", REQUIREMENTS]].concat();
    if !Path::new(&library).join("libnvrtc.so.12").exists() && !python(&install) {
        eprintln!("not checked: the CUDA kernels (pip cannot install NVRTC)");
        return arguments.contains(&"--check");
    }
    python(&[&["ivf-cuda/kernels/compile.py", &library], arguments].concat())
}

fn python(arguments: &[&str]) -> bool {
    eprintln!("$ python3 {}", arguments.join(" "));
    said(Command::new("python3").args(arguments).status().map(|status| status.success()))
}

fn run((arguments, variables): &Step) -> bool {
    cargo(arguments, variables)
}

/// Runs every step, even after one that fails, and prints how many tests passed in all.
fn tests(steps: &[Step]) -> bool {
    let start = Instant::now();
    let mut total = Total::default();
    let failed_steps = steps.iter().filter(|(arguments, variables)| !counted(arguments, variables, &mut total)).count();
    println!("{total}, in {} s", start.elapsed().as_secs());
    failed_steps == 0 && total.failed == 0
}

/// Numbers of tests, summed over test binaries.
#[derive(Default)]
struct Total {
    passed: u64,
    failed: u64,
}

impl Total {
    /// Adds the numbers in a line such as `test result: ok. 12 passed; 0 failed; ...`. Ignores all
    /// other lines.
    fn add(&mut self, line: &str) {
        let Some((_, numbers)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else {
            return;
        };
        for part in numbers.split("; ") {
            let Some((number, what)) = part.split_once(' ') else { continue };
            let number = number.parse().unwrap_or(0);
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                _ => {}
            }
        }
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tests passed, {} failed", self.passed, self.failed)
    }
}

/// Runs cargo, passes its output on, and adds up the results of the tests in it.
fn counted(arguments: &[&str], variables: &[(&str, &str)], total: &mut Total) -> bool {
    let mut cargo = command(arguments, variables);
    let mut done = || -> io::Result<bool> {
        let mut running = cargo.stdout(Stdio::piped()).spawn()?;
        let output = running.stdout.take().ok_or_else(|| io::Error::other("no output of cargo"))?;
        for line in BufReader::new(output).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            total.add(&line);
        }
        Ok(running.wait()?.success())
    };
    said(done())
}

fn cargo(arguments: &[&str], variables: &[(&str, &str)]) -> bool {
    said(command(arguments, variables).status().map(|status| status.success()))
}

fn command(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let variables_text: String = variables.iter().map(|(name, value)| format!("{name}={value} ")).collect();
    eprintln!("$ {variables_text}cargo {}", arguments.join(" "));
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments).envs(variables.iter().copied());
    cargo
}

/// Whether a command succeeded. Prints why it did not start.
fn said(done: io::Result<bool>) -> bool {
    done.unwrap_or_else(|error| {
        eprintln!("error: the command did not run: {error}");
        false
    })
}

#[cfg(test)]
mod tests {
    use super::Total;

    #[test]
    fn results_of_test_binaries_add_up() {
        let mut total = Total::default();
        for line in [
            "running 3 tests",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: no numbers",
        ] {
            total.add(line);
        }
        assert_eq!(total.to_string(), "4 tests passed, 2 failed");
    }
}
