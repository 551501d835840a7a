//! Scripts in packetdrill's language, played against an emulated host in virtual time: inject, expect, call.
//!
//! Each file below `scripts/` is a test of its own, named by its path; `cargo test --test conformance listen/` runs one
//! row. `README.md` beside this file says what of the language is understood. `runner::` are the runner's own tests:
//! scripts that must fail, each with its message. `docs::` looks up
//! what the tables of `docs/` name.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod args;
mod calls;
mod compare;
mod docs;
mod flow;
mod model;
mod parser;
mod peer;
mod poll;
mod runner;
mod self_test;
mod settings;
mod sockopts;
mod syscalls;
mod tcpdump;
mod wire;

use libtest_mimic::{Arguments, Failed, Trial};
use settings::Version;
use std::path::{Path, PathBuf};

fn main() {
    let arguments = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/scripts");
    let mut trials: Vec<Trial> = scripts(&root).into_iter().flat_map(|path| trials_of(&root, &path)).collect();
    trials.extend(self_test::trials());
    trials.extend(docs::trials());
    libtest_mimic::run(&arguments, trials).exit();
}

/// A script is played over each version of IP, unless it asks for one.
fn trials_of(root: &Path, path: &Path) -> Vec<Trial> {
    let name = path.strip_prefix(root).unwrap().with_extension("").to_string_lossy().into_owned();
    let text = std::fs::read_to_string(path).unwrap();
    let play = |version| {
        let (file, text) = (path.file_name().unwrap().to_string_lossy().into_owned(), text.clone());
        let name = if version == Version::V4 { name.clone() } else { format!("{name} (IPv6)") };
        Trial::test(name, move || runner::play(&file, &text, version).map_err(Failed::from))
    };
    let versions = [(Version::V4, "--ip_version=ipv6"), (Version::V6, "--ip_version=ipv4")];
    versions.into_iter().filter(|(_, other)| !text.contains(other)).map(|(version, _)| play(version)).collect()
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
