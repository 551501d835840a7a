//! Scripts in packetdrill's language, played against an emulated host in virtual time: inject, expect, call.
//!
//! Each file below `scripts/` is a test of its own, named by its path; `cargo test --test conformance listen/` runs one
//! row. `README.md` beside this file says what of the language is understood. `runner::` are the runner's own tests:
//! scripts that must fail, each with its message. `docs::` looks up
//! what the tables of `docs/` name.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod compare;
mod docs;
mod flow;
mod model;
mod parser;
mod peer;
mod runner;
mod self_test;
mod sockopts;
mod syscalls;
mod tcpdump;
mod wire;

use libtest_mimic::{Arguments, Failed, Trial};
use std::path::{Path, PathBuf};

fn main() {
    let arguments = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/scripts");
    let mut trials: Vec<Trial> = scripts(&root).into_iter().map(|path| script(&root, path)).collect();
    trials.extend(self_test::trials());
    trials.extend(docs::trials());
    libtest_mimic::run(&arguments, trials).exit();
}

fn script(root: &Path, path: PathBuf) -> Trial {
    let name = path.strip_prefix(root).unwrap().with_extension("").to_string_lossy().into_owned();
    Trial::test(name, move || {
        let text = std::fs::read_to_string(&path)?;
        runner::play(&path.file_name().unwrap().to_string_lossy(), &text).map_err(Failed::from)
    })
}

/// Every `.pkt` file below `folder`, sorted.
fn scripts(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            found.extend(scripts(&path));
        } else if path.extension().is_some_and(|extension| extension == "pkt") {
            found.push(path);
        }
    }
    found
}
