//! Test of the whole demo.

use crate::files::Folder;
use crate::program::ivf;

#[test]
fn the_demo_runs() {
    let folder = Folder::new();
    let plot = folder.arg("demo.svg");
    let shown = ivf(["demo", "--plot", &plot]).ok();
    assert_eq!(shown.stderr, "");
    for expected in
        ["king", "queen", "factory string", "IVF64,PQ50", "recall@10", "1.000", "are equal", "in one batch", "thread"]
    {
        assert!(shown.stdout.contains(expected), "{expected} in\n{}", shown.stdout);
    }
    assert!(shown.stdout.is_ascii(), "{}", shown.stdout);
    let svg = std::fs::read_to_string(plot).unwrap();
    for expected in ["IVF64,PQ50", "IVF256,Flat", "recall@10", "16"] {
        assert!(svg.contains(&format!("\n{expected}\n")), "{expected} in\n{svg}");
    }
}
