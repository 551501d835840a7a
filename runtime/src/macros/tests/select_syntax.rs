//! What may stand in a branch of `select!`, and what names around it may be called.

use crate::macros::tests::now;
use crate::select;
use futures_lite::future::{pending, ready};

#[derive(Clone, Debug, PartialEq)]
enum Shape {
    Point,
    Circle { radius: u32 },
    Path(Vec<u32>, Option<String>),
}

const SEVEN: u32 = 7;

#[test]
fn every_kind_of_pattern() {
    async fn name(shape: Shape, number: u32, pair: (&str, Option<&u32>)) -> String {
        let given = std::cell::Cell::new(Some(shape));
        let look = || {
            let shape = given.take();
            given.set(shape.clone());
            shape
        };
        select! {
            biased;
            Some(Shape::Point) = async { look() } => "point".to_owned(),
            Some(Shape::Circle { radius: r @ 1..=9 } | Shape::Circle { radius: r @ 100.. }) = async { look() } => {
                format!("circle {r}")
            }
            Some(Shape::Path(ref steps, _)) = async { look() }, if number == 0 => format!("{} steps", steps.len()),
            Some(Shape::Path(mut steps, Some(ref mut end))) = async { given.take() } => {
                steps.push(0);
                end.push('!');
                format!("{steps:?} {end}")
            }
            [first, .., last] = async { [number, 5, 6] }, if number == 3 => format!("{first}..{last}"),
            SEVEN = ready(number) => "seven".to_owned(),
            (.., Some(&9)) = ready(pair) => "nine".to_owned(),
            ("x", Some(&other)) = ready(pair) => format!("x {other}"),
            (text @ ("y" | "z"), None) = ready(pair) => text.to_owned(),
            -1 = ready(-1) => "else".to_owned(),
        }
    }
    let other = ("", None);
    for (shape, number, pair, expected) in [
        (Shape::Point, 1, other, "point"),
        (Shape::Circle { radius: 4 }, 1, other, "circle 4"),
        (Shape::Circle { radius: 400 }, 1, other, "circle 400"),
        (Shape::Path(vec![1, 2], None), 0, other, "2 steps"),
        (Shape::Path(vec![1, 2], Some("end".into())), 1, other, "[1, 2, 0] end!"),
        (Shape::Circle { radius: 40 }, 3, other, "3..6"),
        (Shape::Circle { radius: 40 }, 7, other, "seven"),
        (Shape::Path(vec![], None), 1, ("", Some(&9)), "nine"),
        (Shape::Circle { radius: 40 }, 1, ("x", Some(&8)), "x 8"),
        (Shape::Circle { radius: 40 }, 1, ("z", None), "z"),
        (Shape::Circle { radius: 40 }, 1, ("w", None), "else"),
    ] {
        assert_eq!(now(name(shape.clone(), number, pair)), expected, "{shape:?} {number} {pair:?}");
    }
}

#[test]
fn patterns_on_references() {
    let (mut number, mut four, list) = (1, 4, vec![Some(String::from("a")), None]);
    let seen = now(async {
        select! {
            biased;
            // Matched through the reference, and by it.
            Some(text) = ready(&list[1]) => text.len(),
            &None = ready(&list[0]) => 90,
            &mut 5 = ready(&mut four) => 91,
            &mut ref mut n = ready(&mut number) => { *n += 1; *n as usize }
        }
    });
    assert_eq!((seen, number), (2, 2));
}

#[test]
fn with_and_without_commas_and_braces() {
    async fn pick(which: u8) -> u8 {
        select! {
            _ = ready(()), if which == 0 => 0,
            _ = ready(()), if which == 1 => { 1 }
            _ = ready(()), if which == 2 => { 2 },
            _ = ready(()), if { let wanted = 3; which == wanted } => if which == 3 { 3 } else { 4 },
            _ = { let wait = false; async move { if wait { pending().await } } }, if matches!(which, 4 | 5) => match which { 4 => 4, _ => 5 },
            else => Vec::<u8>::from([6]).into_iter().collect::<std::collections::VecDeque<_>>()[0]
        }
    }
    assert_eq!((0..7).map(|which| now(pick(which))).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn as_a_statement_and_as_an_expression() {
    now(async {
        let mut seen = 0;
        select! { x = ready(1) => seen += x }
        select! { x = ready(1) => { seen += x } };
        seen += select! { x = ready(1) => x } + select! { x = ready(1) => x };
        assert_eq!(seen, 4);
    });
}

#[test]
fn inside_a_macro_of_the_callers_own() {
    macro_rules! first {
        ($($pattern:pat = $future:expr, if $condition:expr => $handler:block),* ; $otherwise:expr) => {
            $crate::select! {
                $($pattern = $future, if $condition => $handler)*
                else => $otherwise,
            }
        };
    }
    macro_rules! with_tokens {
        ($name:ident: $future:expr => $($handler:tt)*) => {
            $crate::select! { biased; $name = $future => $($handler)*, _ = pending::<()>() => unreachable!() }
        };
    }
    let value = now(async {
        first! {
            Some(x) = ready(Some(1)), if false => { x },
            Err(x) = ready(Ok(5)), if true => { x }
            ; 0
        }
    });
    assert_eq!((value, now(async { with_tokens!(x: ready(2) => x + 1) })), (0, 3));
}

#[test]
fn names_of_the_expansion_are_not_in_the_way() {
    let (output, disabled, matches, future_0) = (1, 2, 3, 4);
    let value = now(async {
        select! {
            biased;
            (9, _) = ready((output, disabled)), if matches == 3 => 0,
            x = ready(output + disabled + matches + future_0) => x + output + disabled + matches + future_0,
        }
    });
    assert_eq!(value, 20);
}

#[test]
fn names_of_the_prelude_may_be_something_else() {
    #![allow(dead_code, non_camel_case_types, clippy::items_after_statements)]
    mod own {
        pub(super) enum Option {
            Some(u8),
            None,
        }
        pub(super) struct Result;
        pub(super) struct Pair;
        pub(super) struct Either;
    }
    use own::Option::{None, Some};
    use own::{Either, Option, Pair, Result};
    type bool = u8;
    type u64 = Either;
    let _: (Result, Pair, bool) = (Result, Pair, 0);
    let value = now(async {
        let (a, b) = crate::join!(async { Some(1) }, async { None });
        let c = crate::try_join!(async { std::result::Result::<_, u8>::Ok(1) }, async { Err::<u8, _>(2) });
        assert!(matches!((a, b, c), (Some(1), None, Err(2))));
        select! {
            Some(x) = async { None } => x,
            None = async { Option::None }, if true => 3,
        }
    });
    assert_eq!(value, 3);
}

#[test]
fn sixty_four_branches() {
    macro_rules! of_64 {
        ($which:expr, $($index:literal)*) => {
            now(async { select! { $( x = ready($index), if $which == $index => x, )* } })
        };
    }
    macro_rules! digits {
        ($which:expr) => {
            of_64!($which, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34
                35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63)
        };
    }
    for which in 0..64 {
        assert_eq!(digits!(which), which);
    }
}
