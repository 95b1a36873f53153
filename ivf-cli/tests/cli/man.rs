//! Tests of the manual pages.

use crate::files::Folder;
use crate::program::ivf;

#[test]
fn every_command_has_a_page() {
    let folder = Folder::new();
    ivf(["man", "--dir", &folder.arg(".")]).ok();
    let help = ivf(["--help"]).ok().stdout;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names: Vec<&str> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() > 10 && names.contains(&"merge"), "{help}");
    for name in names.into_iter().filter(|name| *name != "help") {
        let page = std::fs::read_to_string(folder.path(&format!("ivf-{name}.1"))).expect("a page");
        assert!(page.contains(&format!(".TH ivf-{name} 1")) && page.contains(".SH SYNOPSIS"), "{page}");
        assert_eq!(ivf(["man", name]).ok().stdout, page);
    }
    let page = std::fs::read_to_string(folder.path("ivf.1")).expect("a page");
    assert!(page.contains("ivf\\-merge(1)") && ivf(["man"]).ok().stdout.contains(".TH ivf 1"), "{page}");
    assert!(ivf(["man", "nonsense"]).failed(2).contains("there is no command 'nonsense'"));
    let nowhere = folder.arg("nowhere");
    assert!(ivf(["man", "--dir", &nowhere]).failed(1).contains(&nowhere));
}
