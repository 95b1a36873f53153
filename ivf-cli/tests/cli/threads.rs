//! Tests of the threads of commands, where the system allows no second one.

use crate::files::vectors;
use crate::ordinary::Ordinary;

const DIM: usize = 4;

/// Allows the user no process or thread beside the program. The option is `-u` in bash and `-p` in
/// dash.
const ALONE: &str = "ulimit -u 1 2>/dev/null || ulimit -p 1";

#[test]
fn one_thread_is_enough_and_more_are_an_error_of_one_sentence() {
    let user = Ordinary::new();
    let folder = user.folder();
    let (base, truth) = (
        folder.fvecs("a.fvecs", DIM, &vectors(60, DIM, 1)),
        folder.ivecs("a.ivecs", 10, &(0..600).map(|i| i / 10).collect::<Vec<i32>>()),
    );
    let [index, other] = ["a.ivf", "b.ivf"].map(|name| folder.arg(name));
    let build = |out| ["build", "--factory", "IVF2,Flat", "--metric", "l2", "--base", &base, "--out", out];
    let eval = ["eval", &index, "--queries", &base, "--ground-truth", &truth];
    let commands: [&[&str]; 6] = [
        &build(&other),
        &build(&index),
        &["add", &index, "--base", &base],
        &["merge", &index, &other, "--shift-ids"],
        &["search", &index, "--queries", &base],
        &eval,
    ];
    for args in commands {
        user.ran(ALONE, args.iter().chain(&["--threads", "1"]), &[]).ok();
        let many = user.ran(ALONE, args.iter().chain(&["--threads", "3"]), &[]).failed(1);
        assert!(many.starts_with("error: cannot start 3 threads (try --threads 1): "), "{many}");
        assert_eq!((many.lines().count(), many.matches("os error").count()), (1, 1), "{many}");
    }
    // Without a number, the variable decides, up to a bound.
    let most = std::thread::available_parallelism().map_or(1, usize::from).saturating_mul(8).min(1024);
    for args in commands.iter().copied().filter(|args| *args != eval).chain([&["demo"][..]]) {
        for (variable, threads) in [("3", 3), ("100000", most)] {
            let many = user.ran(ALONE, args, &[("RAYON_NUM_THREADS", variable)]).failed(1);
            assert!(many.starts_with(&format!("error: cannot start {threads} threads ")), "{many}");
            assert_eq!(many.lines().count(), 1, "{many}");
        }
    }
    user.ran(ALONE, ["search", &index, "--queries", &base], &[("RAYON_NUM_THREADS", "1")]).ok();
}
