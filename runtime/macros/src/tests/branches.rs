//! `select!`, `join!` and `try_join!` on text: what they accept, what they refuse, and where the refusal points.

use crate::join::{self, Kind};
use crate::select;
use crate::tests::{dense, errors};
use crate::tree::{self, Side};
use proc_macro2::TokenStream;

fn expand(macro_name: &str, input: &str) -> TokenStream {
    let input: TokenStream = format!("(krate) {input}").parse().unwrap();
    match macro_name {
        "select" => select::expand(input),
        "join" => join::expand(Kind::Join, input),
        _ => join::expand(Kind::TryJoin, input),
    }
}

/// The expansion is an expression.
fn accept(macro_name: &str, input: &str) -> String {
    let tokens = expand(macro_name, input);
    assert!(errors(tokens.clone()).is_empty(), "{macro_name}! {{ {input} }}: {tokens}");
    let text = dense(&tokens);
    syn::parse2::<syn::Expr>(tokens).unwrap_or_else(|error| panic!("{macro_name}! {{ {input} }}: {error}"));
    text
}

/// There is one error; it points at `place` (at the call when that is empty), and its message holds `words`.
fn refuse(macro_name: &str, input: &str, place: &str, words: &str) {
    let found = errors(expand(macro_name, input));
    let [(span, message)] = &found[..] else { panic!("{macro_name}! {{ {input} }}: {} errors", found.len()) };
    assert!(message.contains(words), "{message:?} does not say {words:?}");
    let source = span.source_text().unwrap_or_default();
    assert!(place.starts_with(&source) && source.is_empty() == place.is_empty(), "{input}: points at {source:?}");
}

#[test]
fn every_way_to_write_a_branch() {
    for input in [
        "x = f() => x",
        "x = f() => x,",
        "x = f() => { x }",
        "x = f() => { x } y = g() => { y }",
        "x = f() => { x }, y = g() => { y },",
        "x = f(), if ready => x, else => 0",
        "x = f(), if ready && { other } => x, else => { 0 }",
        "biased; x = f() => x, else => 0,",
        "| A(x) | B(x) = f() => x",
        "Some(Foo { ref x, y: [1..=9, .., ref mut z], .. }) | None = f::<A, B>() => match x { _ => g::<C, D>() },",
        "x @ 0..=9 = async { a == b } => |a, b| a >= b,",
        "_ = &mut f => return, _ = f?, if let_it_be() => break 'outer 7, _ = loop {} => continue",
        "biased = f() => 1",
        "else => 1",
        "biased; else => { 1 },",
    ] {
        accept("select", input);
    }
}

#[test]
fn a_branch_that_does_not_fit() {
    refuse("select", "", "", "needs at least one branch");
    refuse("select", "biased;", "", "needs at least one branch");
    refuse("select", "f() => 3", "=>", "expected `=` and a future");
    refuse("select", "x => 3", "=>", "expected `=` and a future");
    refuse("select", "x = f() => x y = g() => y", "y", "expected `,` after the handler");
    refuse("select", "x = f() => match x {} y = g() => y", "y", "expected `,` after the handler");
    refuse("select", "x = f(), y = g() => 3", ",", "expected `, if precondition` or `=> handler`");
    refuse("select", "x = f() if ready => 3", "if", "expected `, if precondition` or `=> handler`");
    refuse("select", "x = f(), if let Some(_) = ready => 3", "let", "a precondition is a `bool`");
    refuse("select", "else => 1, x = f() => x", "x", "`else` stands last");
    refuse("select", "else => 1, else => 2", "else", "`else` stands last");
    refuse("select", "x = f() => ", "", "expected an expression");
    refuse("select", "biased, x = f() => 3", ",", "expected `=` and a future");
    refuse("select", "x = f() => 3; y = g() => 3", ";", "expected `,` after the handler");
    refuse("select", "1 + = f() => 3", "+", "expected `=` and a future");
}

#[test]
fn sixty_four_branches_and_no_more() {
    let branches = "_ = f() => (),".repeat(64);
    let text = accept("select", &branches);
    assert_eq!(text.matches("macros::branch(").count(), 64);
    refuse("select", &format!("{branches} last = f() => ()"), "last", "at most 64 branches");
    accept("select", &format!("{branches} else => ()"));
}

#[test]
fn the_order_is_fair_where_there_is_a_choice() {
    assert!(accept("select", "_ = f() => 1, _ = g() => 2").contains("krate::macros::Fair"));
    assert!(accept("select", "biased; _ = f() => 1, _ = g() => 2").contains("krate::macros::Biased"));
    assert!(accept("select", "_ = f() => 1").contains("krate::macros::Biased"));
    assert!(accept("join", "f(), g()").contains("krate::macros::Rotating"));
    assert!(accept("join", "biased; f(), g()").contains("krate::macros::Biased"));
    assert!(accept("join", "f()").contains("krate::macros::Biased"));
}

#[test]
fn every_way_to_write_futures() {
    for macro_name in ["join", "try_join"] {
        for input in ["", "biased;", "f()", "f(),", "f(), g::<A, B>(), async { 1 }", "biased; f(), g(),", "biased"] {
            accept(macro_name, input);
        }
        refuse(macro_name, ",", ",", "expected an expression");
        refuse(macro_name, "f() g()", "g", "expected `,`");
        refuse(macro_name, "biased, ; f()", ";", "expected an expression");
    }
}

#[test]
fn what_the_macros_name_is_called_by_its_path() {
    for (macro_name, input) in [
        ("select", "Some(_) = f(), if ready => 1, _ = g() => 2, else => 3"),
        ("join", "f(), g()"),
        ("try_join", "f(), g()"),
    ] {
        let text = accept(macro_name, input);
        for word in ["Option", "Result", "Either", "Pair"] {
            assert_eq!(text.matches(word).count(), text.matches(&format!("krate::macros::{word}")).count(), "{text}");
        }
    }
}

#[test]
fn the_tree_is_balanced_and_its_paths_lead_to_its_leaves() {
    for count in 1..=64 {
        let leaves: Vec<(String, usize)> = (0..count).map(|leaf| (leaf.to_string(), 0)).collect();
        let tree = tree::build(&leaves, &|(left, a), (right, b)| (format!("({left} {right})"), 1 + a.max(b)));
        let (text, depth) = tree.unwrap();
        assert!(1 << depth < 2 * count, "{count} leaves: {text}");
        for leaf in 0..count {
            let mut range = 0..count;
            for side in tree::path(leaf, count) {
                let middle = range.start + range.len().div_ceil(2);
                range = match side {
                    Side::Left => range.start..middle,
                    Side::Right => middle..range.end,
                };
            }
            assert_eq!(range, leaf..leaf + 1);
        }
    }
    assert_eq!(tree::build::<u8>(&[], &|left, _| left), None);
}
