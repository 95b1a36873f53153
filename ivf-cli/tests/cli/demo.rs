//! Test of the whole demo.

use crate::program::ivf;

#[test]
fn the_demo_runs() {
    let shown = ivf(["demo"]).ok();
    assert_eq!(shown.stderr, "");
    for expected in ["king", "queen", "factory string", "IVF64,PQ50", "recall@10", "1.000", "are equal"] {
        assert!(shown.stdout.contains(expected), "{expected} in\n{}", shown.stdout);
    }
    assert!(shown.stdout.is_ascii(), "{}", shown.stdout);
}
