//! The guide from tokio: each path that it names stands in its block of code too, which `cargo test` compiles.

use std::collections::BTreeSet;

const GUIDE: &str = include_str!("../../docs/from-tokio.md");

/// Every `wakeline::..` in backticks.
fn named(prose: &str) -> BTreeSet<String> {
    prose.split('`').skip(1).step_by(2).filter(|code| code.starts_with("wakeline::")).map(ToOwned::to_owned).collect()
}

/// Every path that the `use` lines import.
fn imported(block: &str) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for line in block.lines().filter_map(|line| line.strip_prefix("use ")?.strip_suffix(';')) {
        let (module, names) = line.rsplit_once("::").unwrap();
        for name in names.trim_matches(['{', '}']).split(", ") {
            let name = name.split(" as ").next().unwrap();
            paths.insert(format!("{module}::{name}"));
        }
    }
    paths
}

#[test]
fn the_guide_names_no_path_that_is_not_compiled() {
    let (prose, rest) = GUIDE.split_once("```rust\n").unwrap();
    let (block, _) = rest.split_once("```").unwrap();
    let named = named(prose);
    assert!(named.len() > 50, "the table was not found: {named:?}");
    assert_eq!(named, imported(block));
}
