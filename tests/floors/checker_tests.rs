//! The checker on small sources: what it must report, and what it must let pass.

use crate::rules::{Building, Keep, Law, Limit, Listed, Strangers};
use crate::scan::scan;

/// A small house: `top` over `middle` over `left`, `right` and `far`, over `ground`.
const LAW: Law = Law {
    buildings: &[
        Building { src: "net/src", floors: &["lib", "top", "middle", "left right far", "ground"] },
        Building { src: "src", floors: &["lib"] },
    ],
    strangers: &[
        Strangers { src: "net/src", parts: ["left", "right"], why: "`middle` introduces them" },
        Strangers { src: "net/src", parts: ["middle", "far"], why: "they meet at the top" },
    ],
    meetings: &[("net/src", ["middle", "far"], &["lib", "top"])],
    limits: &[
        Limit { folder: "net/src", of: "engine", only: &["clock", "spawn"], why: "the public face" },
        Limit { folder: "net/src/ground", of: "engine", only: &["clock::Instant"], why: "pure" },
    ],
    keeps: &[Keep {
        folders: &["net/src/ground"],
        out: &["std::thread", "std::sync::Mutex"],
        why: "no thread or lock",
    }],
    parents: &[],
    atomics: &[],
    unsafes: &[],
    clocks: &[],
};

/// `files` are (path, text); `expected` is each fault as `path:line: ` and words that its text holds.
#[track_caller]
fn check_by(law: &Law, files: &[(&str, &str)], expected: &[(&str, &str)]) {
    let files: Vec<_> = files.iter().map(|&(file, text)| (file.to_owned(), text.to_owned())).collect();
    let faults: Vec<String> = law.judge(&files).iter().map(ToString::to_string).collect();
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
    for (fault, (place, words)) in faults.iter().zip(expected) {
        assert!(fault.starts_with(&format!("{place}: ")), "{fault} is not at {place}");
        assert!(fault.contains(words), "{fault} does not say {words:?}");
    }
}

/// The same, with a file for every part of the house.
#[track_caller]
fn check(file: &str, text: &str, expected: &[(&str, &str)]) {
    let mut files = vec![(file, text)];
    for part in ["lib", "top", "middle", "left", "left/inner", "right", "far", "ground"] {
        let name = format!("net/src/{part}.rs").leak();
        if name != file && !file.ends_with(&format!("{part}/mod.rs")) {
            files.push((name, ""));
        }
    }
    check_by(&LAW, &files, expected);
}

#[test]
fn imports_point_down() {
    check("net/src/top.rs", "use crate::middle::X;\nuse crate::{left::Y, ground::{self, Z}};", &[]);
    check("net/src/lib.rs", "pub mod top;\npub use top::X; pub use crate::ground::Z;", &[]);
    check("net/src/far.rs", "use crate::left::SameFloor;", &[]);
    check(
        "net/src/middle.rs",
        "use crate::left::Down;\n\nuse crate::top::Up;",
        &[("net/src/middle.rs:3", "`crate::top::Up` points up, from `middle` to `top`")],
    );
    check(
        "net/src/ground.rs",
        "use std::fmt;\nuse crate::{\n    left::inner::A,\n    right::{B, C},\n};",
        &[
            ("net/src/ground.rs:3", "`crate::left::inner::A` points up, from `ground` to `left`"),
            ("net/src/ground.rs:4", "`crate::right::B`"),
            ("net/src/ground.rs:4", "`crate::right::C`"),
        ],
    );
    check("net/src/ground.rs", "use super::top::*;", &[("net/src/ground.rs:1", "`super::top::*` points up")]);
    check("net/src/ground/deep.rs", "use super::super::top as t;", &[("net/src/ground/deep.rs:1", "points up")]);
}

#[test]
fn paths_without_use_count_too() {
    let up = &[("net/src/ground.rs:2", "`crate::top::now` points up")][..];
    check("net/src/ground.rs", "fn f() {\n    crate::top::now()\n}", up);
    check("net/src/ground.rs", "fn f() {\n    log!(\"{}\", crate::top::now::<u8>());\n}", up);
    check("net/src/ground.rs", "fn f() -> Vec<\n    crate::top::now> {}", up);
    check("net/src/ground.rs", "impl X {\n    fn f(&self, _: [&dyn crate::top::now; 2]) {} }", up);
    check("net/src/ground.rs", "macro_rules! m { () => {\n crate::top::now } }", up);
    check("net/src/ground.rs", "mod inner {\n    use crate::top::now; }", up);
    check("net/src/ground.rs", "mod inner { use super::super::\ntop::now; }", &[("net/src/ground.rs:1", "points up")]);
}

#[test]
fn what_is_no_import() {
    check("net/src/ground.rs", "//! [`crate::top`]\n// crate::top::X\nconst S: &str = \"crate::top::X\";", &[]);
    check("net/src/ground.rs", "/// See [`crate::top::X`].\npub(in crate::ground) fn f() {}", &[]);
    check("net/src/ground.rs", "macro_rules! m { () => { $crate::top::X } }", &[]);
    check("net/src/ground.rs", "fn f() { crate::from_the_root!(1); std::top::x(); other::crate_top::y() }", &[]);
    check("net/src/ground.rs", "use crate::ground::Own; mod inner { use super::Own; }", &[]);
}

#[test]
fn tests_may_look_anywhere() {
    for text in [
        "#[cfg(test)]\nmod tests { use crate::top::X; }",
        "#[cfg(all(test, not(loom)))]\nmod tests { use crate::top::X; }",
        "#[cfg(test)]\n#[allow(unused)]\nuse crate::top::X;",
        "#[cfg(test)] pub(crate) fn f<A, B>() -> [u8; 2] where A: C, B: C { crate::top::x() }",
        "struct S { a: u8, #[cfg(test)] b: crate::top::X, c: u8 }",
        "impl S { #[cfg(test)] fn f(&self) { crate::top::x() } fn g(&self) {} }",
        "#![cfg(test)]\nuse crate::top::X;",
    ] {
        check("net/src/ground.rs", text, &[]);
    }
    for file in ["net/src/ground/tests.rs", "net/src/ground/loom_tests.rs", "net/src/ground/tests/more.rs"] {
        check(file, "use crate::top::X;", &[]);
    }
    // But not what only stands beside tests.
    for text in [
        "#[cfg(test)] use crate::top::X; use crate::top::Y;",
        "#[cfg(test)] mod tests; use crate::top::Y;",
        "#[cfg(test)] fn f() {} use crate::top::Y;",
        "struct S { #[cfg(test)] b: crate::top::X, c: crate::top::Y }",
        "#[cfg(not(test))] use crate::top::Y;",
        "#[cfg(any(test, feature = \"x\"))] use crate::top::Y;",
        "#[cfg(loom)] use crate::top::Y;",
    ] {
        check("net/src/ground.rs", text, &[("net/src/ground.rs:1", "`crate::top::Y` points up")]);
    }
}

#[test]
fn a_child_does_not_name_its_parent() {
    let parent = &[("net/src/left/inner.rs:1", "names its parent")][..];
    check("net/src/left/inner.rs", "use super::Left;", parent);
    check("net/src/left/inner.rs", "use super::*;", parent);
    check("net/src/left/inner.rs", "use crate::left::Left;", parent);
    check("net/src/left/inner.rs", "mod x { use super::super::Left; }", parent);
    check("net/src/left/inner.rs", "mod x { use super::Own; }", &[]);
    check("net/src/left/inner/core.rs", "use super::super::Left;", &[("net/src/left/inner/core.rs:1", "parent")]);
    // Brothers and sisters, and what a parent knows of its children.
    check("net/src/left/other.rs", "use super::inner::X; use crate::left::inner::Y;", &[]);
    check("net/src/left.rs", "mod inner; use crate::left::inner::X; use self::inner::Y; use inner::Z;", &[]);
    check("net/src/left/mod.rs", "use super::ground::X; use self::inner::Y;", &[]);
}

#[test]
fn a_child_on_the_list_may_and_must_name_its_parent() {
    let law = Law { parents: &[Listed { file: "net/src/left/inner.rs", why: "old" }], ..LAW };
    let (parent, top) = (("net/src/left.rs", ""), ("net/src/top.rs", ""));
    check_by(&law, &[parent, ("net/src/left/inner.rs", "use super::Left;")], &[]);
    let stale = ("net/src/left/inner.rs:1", "is listed for naming its parent (\"old\") but has none");
    check_by(&law, &[parent, ("net/src/left/inner.rs", "")], &[stale]);
    let up = ("net/src/left/inner.rs:1", "points up");
    check_by(&law, &[parent, top, ("net/src/left/inner.rs", "use super::Left; use crate::top::X;")], &[up]);
}

#[test]
fn the_root_is_no_detour() {
    check("net/src/middle.rs", "use crate::Exported;", &[("net/src/middle.rs:1", "goes through the crate's root")]);
    check("net/src/middle.rs", "use super::Exported;", &[("net/src/middle.rs:1", "goes through the crate's root")]);
}

#[test]
fn strangers_do_not_meet() {
    let because = "`left` and `right` do not know each other: `middle` introduces them";
    check("net/src/left.rs", "use crate::right::X;", &[("net/src/left.rs:1", because)]);
    check("net/src/right.rs", "use crate::left::inner::X;", &[("net/src/right.rs:1", "do not know each other")]);
    check("net/src/left/inner.rs", "use crate::right::X;", &[("net/src/left/inner.rs:1", because)]);
    check("net/src/middle.rs", "use crate::left::X; use crate::right::Y;", &[]);
    // Even where the floors would let it pass.
    check("net/src/middle.rs", "use crate::far::X;", &[("net/src/middle.rs:1", "they meet at the top")]);
}

#[test]
fn some_meet_only_where_it_is_listed() {
    check("net/src/top/enum.rs", "use crate::middle::X; use crate::far::Y;", &[]);
    let law = Law { meetings: &[("net/src", ["middle", "far"], &["lib"])], ..LAW };
    let files = [("net/src/top.rs", "use crate::middle::X;\nuse crate::far::Y;"), ("net/src/middle.rs", "")];
    let files = [&files[..], &[("net/src/far.rs", "")]].concat();
    check_by(&law, &files, &[("net/src/top.rs:2", "`middle` and `far` meet only in: lib")]);
}

#[test]
fn other_crates_have_a_face() {
    check("net/src/middle.rs", "use engine::{spawn, clock::{Clock, Instant}};", &[]);
    check(
        "net/src/middle.rs",
        "use engine::{\n    scheduler::Queue,\n    spawner};",
        &[("net/src/middle.rs:2", "the public face (allowed: clock, spawn)"), ("net/src/middle.rs:3", "spawner")],
    );
    check("net/src/ground/pure.rs", "use engine::clock::Instant;", &[]);
    check("net/src/ground/pure.rs", "use engine::clock::Clock;", &[("net/src/ground/pure.rs:1", "pure")]);
    check("net/src/ground.rs", "fn f() { engine::spawn::now() }", &[("net/src/ground.rs:1", "pure")]);
}

#[test]
fn some_things_stay_out() {
    check("net/src/middle.rs", "use std::sync::Mutex;", &[]);
    check("net/src/ground.rs", "use std::sync::{Arc, MutexGuard};", &[]);
    check("net/src/ground.rs", "use std::sync::{Arc, Mutex};", &[("net/src/ground.rs:1", "no thread or lock")]);
    check("net/src/ground/x.rs", "fn f() { std::thread::yield_now() }", &[("net/src/ground/x.rs:1", "no thread")]);
}

#[test]
fn every_file_has_a_place() {
    check("net/src/attic.rs", "", &[("net/src/attic.rs:1", "stands on no floor")]);
    check("net/src/leftover/x.rs", "", &[("net/src/leftover/x.rs:1", "stands on no floor")]);
    check("net/src/left/new/deep.rs", "", &[]);
    check("src/lib.rs", "pub use anything::at_all;", &[]);
    check("src/second.rs", "", &[("src/second.rs:1", "stands on no floor")]);
}

#[test]
fn the_longest_word_places_a_file() {
    let law = Law {
        buildings: &[Building { src: "net/src", floors: &["lib", "left/roof", "middle", "left"] }],
        strangers: &[],
        ..LAW
    };
    let files = [("net/src/left/roof.rs", "use crate::middle::X;"), ("net/src/middle.rs", "use crate::left::Y;")];
    let files = [&files[..], &[("net/src/left.rs", "use crate::middle::X;")]].concat();
    check_by(&law, &files, &[("net/src/left.rs:1", "points up")]);
}

#[test]
fn atomics_unsafe_and_clocks_are_listed() {
    let what = "(1 in all) stands only in the files listed";
    check("net/src/left.rs", "use std::cmp::Ordering; fn f() { Ordering::Less; g(Ordering::Equal) }", &[]);
    check("net/src/left.rs", "fn f() {\n x.load(Ordering::Relaxed) }", &[("net/src/left.rs:2", what)]);
    let twice = "use std::sync::atomic::Ordering;\nfn f() { unsafe { x.load(Ordering::SeqCst); unsafe {} } }";
    check(
        "net/src/left.rs",
        twice,
        &[("net/src/left.rs:1", "(2 in all)"), ("net/src/left.rs:2", "`unsafe` (2 in all)")],
    );
    check("net/src/left.rs", "use std::sync::atomic::{AtomicU8, Ordering};", &[("net/src/left.rs:1", what)]);
    check("net/src/left.rs", "use crate::ground::atomic::*;", &[("net/src/left.rs:1", "an atomic ordering")]);
    check("net/src/left.rs", "use std::sync::atomic::Ordering::SeqCst;", &[("net/src/left.rs:1", what)]);
    check("net/src/left.rs", "\nfn f() { unsafe { g() } }", &[("net/src/left.rs:2", "`unsafe`")]);
    check("net/src/left.rs", "m!(unsafe impl Send for X {});", &[("net/src/left.rs:1", "`unsafe`")]);
    check("net/src/left.rs", "#![deny(unsafe_op_in_unsafe_fn)] // unsafe\nconst S: &str = \"unsafe\";", &[]);
    check("net/src/left.rs", "#[cfg(test)] mod tests { fn f() { unsafe { g() }; x.load(Ordering::Relaxed) } }", &[]);
    check("net/src/left.rs", "fn f() { std::time::Instant::now() }", &[("net/src/left.rs:1", "system's clock")]);
    check("net/src/left.rs", "fn f() { thread::sleep(d); clock.now() }", &[("net/src/left.rs:1", "system's clock")]);

    let law = Law { atomics: &[Listed { file: "net/src/left.rs", why: "its word" }], ..LAW };
    check_by(&law, &[("net/src/left.rs", "fn f() { x.load(Ordering::Relaxed) }")], &[]);
    check_by(&law, &[("net/src/left.rs", "")], &[("net/src/left.rs:1", "take it off the list")]);
    check_by(&law, &[], &[("net/src/left.rs:1", "take it off the list")]);
}

#[test]
fn what_is_not_rust_is_reported_where_it_ends() {
    check("net/src/left.rs", "fn f() {}\nfn g( {}", &[("net/src/left.rs:2", "is not Rust from here")]);
}

#[test]
fn use_trees_are_spread_out() {
    let text = "use a::{self, b::{C, D as E}, f::*, r#type::G};";
    let paths: Vec<_> = scan(text).unwrap().paths.iter().map(|named| named.segments.join("::")).collect();
    assert_eq!(paths, ["a::b::C", "a::b::D", "a::f::*", "a::type::G"]);
}
