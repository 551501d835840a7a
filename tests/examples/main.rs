//! The examples as programs.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod echo;
#[cfg(unix)]
mod without_descriptors;

use std::path::PathBuf;

/// Cargo builds the examples beside the tests.
fn example(name: &str) -> PathBuf {
    let mut path: PathBuf = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("examples");
    path.push(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    path
}
