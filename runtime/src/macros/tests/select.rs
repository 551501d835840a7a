//! What `select!` does with its branches: who is evaluated, polled, dropped, and when.

use crate::macros::tests::{Log, now, poll};
use crate::{join, select};
use futures_lite::future::{pending, ready};
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{Future, IntoFuture};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

#[test]
fn the_first_to_complete_gives_the_value() {
    let log = Log::default();
    let mut select = pin!(async {
        select! {
            biased;
            a = log.after(2, "a") => a,
            b = log.after(1, "b") => b,
        }
    });
    assert_eq!(poll(select.as_mut()), Poll::Pending);
    assert_eq!(log.take(), "a b");
    assert_eq!(poll(select.as_mut()), Poll::Ready("b"));
    assert_eq!(log.take(), "a b -a -b");
}

#[test]
fn futures_are_dropped_before_the_handler_runs() {
    let log = Log::default();
    now(async {
        select! {
            biased;
            _ = log.after(1, "a") => {}
            _ = log.after(0, "off"), if false => {}
            5 = async { let _guard = log.guard("b"); 4 } => {}
            c = log.after(0, "c") => { log.say(format!("handler of {c}")) }
            _ = log.after(0, "d") => {}
        }
    });
    assert_eq!(log.take(), "a -b c -a -off -c -d handler of c");
}

#[test]
fn futures_are_dropped_before_else_runs() {
    let log = Log::default();
    now(async {
        select! {
            "x" = log.after(0, "a") => {}
            else => log.say("else"),
        }
    });
    assert_eq!(log.take(), "a -a else");
}

#[test]
fn a_dropped_select_drops_its_futures() {
    let log = Log::default();
    {
        let mut select = Box::pin(async {
            select! {
                biased;
                _ = log.after(9, "a") => log.say("never"),
                _ = log.after(9, "b") => log.say("never"),
            }
        });
        assert!(poll(select.as_mut()).is_pending());
    }
    assert_eq!(log.take(), "a b -a -b");
}

#[test]
fn preconditions_are_evaluated_before_futures_and_each_once() {
    let log = Log::default();
    let condition = |name: &str, value: bool| {
        log.say(format!("if-{name}"));
        value
    };
    let future = |polls, name| {
        log.say(format!("make-{name}"));
        log.after(polls, name)
    };
    let mut select = pin!(async {
        select! {
            biased;
            x = future(0, "a"), if condition("a", false) => x,
            x = future(1, "b"), if condition("b", true) => x,
            x = future(9, "c") => x,
        }
    });
    assert!(poll(select.as_mut()).is_pending());
    assert_eq!(log.take(), "if-a if-b make-a make-b make-c b c", "a disabled branch is evaluated and not polled");
    assert_eq!(poll(select.as_mut()), Poll::Ready("b"));
    assert_eq!(log.take(), "b -a -b -c", "and a precondition is not asked again");
}

#[test]
fn a_precondition_that_says_no_does_not_spare_the_evaluation() {
    let nothing = [0u8; 0].first().map(|&byte| ready(byte));
    let caught = catch_unwind(AssertUnwindSafe(|| {
        now(async {
            select! {
                _ = nothing.expect("evaluated all the same"), if false => {}
                _ = ready(()) => {}
            }
        });
    }));
    assert_eq!(caught.unwrap_err().downcast_ref::<String>().map(String::as_str), Some("evaluated all the same"));
}

#[test]
fn a_future_may_take_what_its_precondition_looked_at() {
    let mut given = Some(String::from("value"));
    let lengths = now(async {
        let mut lengths = Vec::new();
        for _ in 0..2 {
            select! {
                biased;
                text = ready(given.take().unwrap_or_default()), if given.is_some() => lengths.push(text.len()),
                else => lengths.push(99),
            }
        }
        lengths
    });
    assert_eq!(lengths, [5, 99]);
}

#[test]
fn a_pattern_that_does_not_match_disables_its_branch_until_the_next_select() {
    let log = Log::default();
    let mut select = pin!(async {
        let mut rounds = 0;
        while rounds < 2 {
            select! {
                biased;
                "never" = log.after(0, "a") => unreachable!(),
                _ = log.after(2, "b") => rounds += 1,
            }
        }
    });
    assert!(poll(select.as_mut()).is_pending());
    assert!(poll(select.as_mut()).is_pending());
    assert_eq!(log.take(), "a b b");
    assert!(poll(select.as_mut()).is_pending());
    assert_eq!(log.take(), "b -a -b a b");
}

#[test]
fn an_output_that_does_not_match_is_dropped_at_once_and_one_that_does_is_moved() {
    let log = Log::default();
    let mut select = pin!(async {
        select! {
            biased;
            (_guard, 1) = async { (log.guard("unfit"), 2) } => panic!("does not match"),
            (guard, 7) = async { futures_lite::future::yield_now().await; (log.guard("fit"), 7) } => {
                log.say("handler");
                drop(guard);
                log.say("end");
            }
        }
    });
    assert!(poll(select.as_mut()).is_pending());
    assert_eq!(log.take(), "-unfit");
    assert!(poll(select.as_mut()).is_ready());
    assert_eq!(log.take(), "handler -fit end");
}

#[test]
fn else_runs_when_nothing_is_left() {
    let by_pattern = now(async {
        select! { Some(()) = async { None } => 1, Err(()) = async { Ok(7) } => 2, else => 3 }
    });
    let by_precondition = now(async {
        select! { _ = pending::<()>(), if false => 1, else => { ready(2).await } }
    });
    let mut late = pin!(async {
        select! {
            Some(()) = async { futures_lite::future::yield_now().await; None } => 1,
            _ = pending::<()>(), if false => 2,
            else => 3,
        }
    });
    assert_eq!((by_pattern, by_precondition), (3, 2));
    assert!(poll(late.as_mut()).is_pending());
    assert_eq!(poll(late), Poll::Ready(3));
    assert_eq!((select! { else => 4 }, select! { biased; else => { 5 } }), (4, 5));
}

#[test]
fn without_else_it_panics_where_it_stands_and_says_what_to_do() {
    let caught = catch_unwind(|| {
        now(async {
            select! { Some(()) = async { None } => {} _ = ready(()), if false => {} }
        })
    });
    let text = *caught.unwrap_err().downcast::<&str>().expect("a text without arguments");
    assert!(text.starts_with("all branches are disabled and there is no else branch: add `else => ..`"), "{text}");
}

#[test]
fn a_pending_branch_keeps_it_from_giving_up() {
    let mut select = pin!(async {
        select! { Some(()) = async { None } => {} _ = pending::<()>() => {} }
    });
    assert!(poll(select.as_mut()).is_pending());
    assert!(poll(select.as_mut()).is_pending());
}

#[test]
fn a_panic_in_a_branch_comes_through_and_the_others_are_dropped() {
    let log = Log::default();
    let caught = catch_unwind(AssertUnwindSafe(|| {
        now(async {
            select! {
                biased;
                _ = log.after(1, "a") => {}
                _ = async { panic!("in b") } => {}
            }
        });
    }));
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"in b"));
    assert_eq!(log.take(), "a -a");
}

#[test]
fn a_future_goes_on_by_reference_from_one_select_to_the_next() {
    let log = Log::default();
    let work = log.after(3, "work");
    crate::pin!(work);
    let mut rounds = 0;
    let done = now(async {
        loop {
            select! {
                biased;
                done = &mut work => break done,
                _ = ready(()) => rounds += 1,
            }
        }
    });
    assert_eq!((done, rounds), ("work", 3));
    assert_eq!(log.take(), "work work work work");
}

#[test]
fn handlers_borrow_what_futures_borrowed() {
    async fn push(list: &mut Vec<u8>, value: u8) -> usize {
        list.push(value);
        list.len()
    }
    let (mut list, mut other) = (vec![1], String::new());
    now(async {
        select! {
            biased;
            len = push(&mut list, 2) => {
                list.push(len as u8);
                other.push('a');
            }
            _ = async { other.push('b') } => {
                other.push('c');
                list.clear();
            }
        }
    });
    assert_eq!((list, other), (vec![1, 2, 2], "a".to_owned()));
}

#[test]
fn one_mutable_thing_in_all_handlers() {
    let mut sum = 0;
    now(async {
        for _ in 0..10 {
            select! {
                a = ready(1) => sum += a,
                b = ready(1) => sum += b,
            }
        }
    });
    assert_eq!(sum, 10);
}

#[test]
fn handlers_leave_by_every_way_there_is() {
    async fn leave(way: u8) -> Result<u8, String> {
        let mut rounds = 0;
        let value = 'outer: loop {
            rounds += 1;
            loop {
                select! {
                    _ = ready(()), if way == 0 => return Ok(10),
                    _ = ready(()), if way == 1 => Err("error".to_owned())?,
                    _ = ready(()), if way == 2 => break 'outer 12,
                    _ = ready(()), if way == 3 => break,
                    _ = ready(()), if way == 4 && rounds < 3 => continue 'outer,
                    else => break 'outer 14,
                }
            }
            break 13;
        };
        Ok(value + rounds)
    }
    let outcomes: Vec<_> = (0..5).map(|way| now(leave(way))).collect();
    assert_eq!(outcomes, [Ok(10), Err("error".to_owned()), Ok(13), Ok(14), Ok(17)]);
}

#[test]
fn futures_and_preconditions_leave_too() {
    async fn leave(way: u8) -> Option<u8> {
        let none: Option<std::future::Ready<u8>> = None;
        let no = None::<bool>;
        let value = 'out: {
            select! {
                x = if way == 0 { none? } else { ready(1) }, if way != 1 || no? => x,
                x = if way == 2 { break 'out 9 } else { ready(ready(2).await) } => x,
            }
        };
        Some(value)
    }
    assert_eq!([now(leave(0)), now(leave(1)), now(leave(2))], [None, None, Some(9)]);
}

#[test]
fn a_handler_waits_and_selects_itself() {
    let log = Log::default();
    let mut select = pin!(async {
        select! {
            biased;
            a = log.after(0, "a") => {
                let b = select! { biased; c = pending() => c, b = log.after(1, "b") => b };
                select! { x = log.after(0, "x") => [a, b, x].concat() }
            }
            c = pending::<String>() => c,
        }
    });
    assert!(poll(select.as_mut()).is_pending());
    assert_eq!(poll(select.as_mut()), Poll::Ready("abx".to_owned()));
    assert_eq!(log.take(), "a -a b b -b x -x");
}

#[test]
fn a_select_is_a_branch_of_another() {
    let value = now(async {
        select! {
            x = async { select! { x = ready(1) => x, y = pending() => y } } => x + 1,
            y = select! { z = ready(pending::<u8>()) => z } => y,
        }
    });
    assert_eq!(value, 2);
}

#[test]
fn what_a_future_borrows_from_a_temporary_lives_long_enough() {
    let cell = RefCell::new(1);
    let value = now(async {
        select! {
            biased;
            x = &mut Box::pin(async { futures_lite::future::ready(3).await }) => x,
            // Both borrow at their evaluation; each gives back before the next.
            y = ready(*cell.borrow_mut()) => y,
            z = ready(*cell.borrow_mut()) => z,
        }
    });
    assert_eq!(value, 3);
}

#[test]
fn outputs_that_can_not_be() {
    async fn never() -> Infallible {
        pending().await
    }
    let value = now(async {
        select! {
            nothing = never() => match nothing {},
            nothing = async { loop { pending::<()>().await } } => nothing,
            value = ready(5) => value,
        }
    });
    assert_eq!(value, 5);
}

#[test]
fn whatever_becomes_a_future() {
    struct Later(u8);
    impl IntoFuture for Later {
        type Output = u8;
        type IntoFuture = std::future::Ready<u8>;
        fn into_future(self) -> Self::IntoFuture {
            std::future::ready(self.0)
        }
    }
    let boxed: std::pin::Pin<Box<dyn Future<Output = u8>>> = Box::pin(pending());
    assert_eq!(
        now(async {
            select! { x = Later(6) => x, y = boxed => y }
        }),
        6
    );
}

#[test]
fn values_that_are_neither_send_nor_copy_pass_through() {
    let shared = std::rc::Rc::new(Cell::new(0));
    let value = now(async {
        select! {
            shared = { let shared = shared.clone(); async move { shared } } => { shared.set(3); shared }
        }
    });
    assert_eq!((value.get(), shared.get()), (3, 3));
}

#[test]
fn a_select_of_what_may_be_sent_may_be_sent() {
    fn sent<T: Send + 'static>(value: T) -> T {
        value
    }
    let future = sent(async {
        let text = String::from("x");
        select! {
            x = async { futures_lite::future::yield_now().await; text.len() } => { ready(()).await; x }
            (a, b) = async { join!(ready(1), pending::<usize>()) } => a + b,
        }
    });
    assert_eq!(futures_lite::future::block_on(future), 1);
}

#[test]
fn the_future_is_not_much_larger_than_its_branches() {
    async fn branch(bytes: [u8; 256]) -> usize {
        pending::<()>().await;
        bytes.len()
    }
    let one = size_of_val(&branch([0; 256]));
    let select = async {
        select! { a = branch([0; 256]) => a, b = branch([1; 256]) => b, c = branch([2; 256]) => c }
    };
    assert!(size_of_val(&select) <= 3 * one + 32, "{} for three of {one}", size_of_val(&select));
}
