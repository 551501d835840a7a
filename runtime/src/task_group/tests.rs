//! Groups on real runtimes: what ends when, what comes out, what goes with what.
#![allow(clippy::unwrap_used, reason = "a test's own functions may unwrap as the test does")]

use super::*;
use crate::builder::Builder;
use crate::local_runtime::LocalRuntime;
use crate::runtime::Runtime;
use crate::spawn::yield_now;
use std::convert::Infallible;
use std::future::{pending, ready};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;

fn one() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

fn several() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).build().unwrap()
}

async fn rest() {
    for _ in 0..4 {
        yield_now().await;
    }
}

/// Holds a count up for as long as it is not dropped, and never ends.
fn holds<V>(count: &Arc<()>) -> impl Future<Output = V> + Send + use<V> {
    let held = count.clone();
    async move {
        let _held = held;
        pending().await
    }
}

fn poll_now<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_group_gives_what_its_body_gives_when_all_have_ended() {
    let ended = AtomicUsize::new(0);
    let ended = Arc::new(ended);
    let text = "borrowed by the body".to_owned();
    let length = one().block_on(group(|group| {
        let (ended, text) = (&ended, &text);
        async move {
            for _ in 0..10 {
                let ended = ended.clone();
                group.spawn(async move {
                    rest().await;
                    ended.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                });
            }
            Ok::<_, Infallible>(text.len())
        }
    }));
    assert_eq!((length, ended.load(Ordering::SeqCst)), (Ok(20), 10));
}

#[test]
fn an_async_closure_will_do_and_children_give_their_outputs() {
    let sum = several().block_on(group(async |group: GroupHandle<String>| {
        let children: Vec<_> = (0..10).map(|i| group.spawn(async move { Ok(i) })).collect();
        let mut sum = 0;
        for child in children {
            sum += child.await.unwrap();
        }
        Ok(sum)
    }));
    assert_eq!(sum, Ok(45));
}

#[test]
fn it_can_be_spawned() {
    let runtime = several();
    let task = runtime.spawn(group(async |group: GroupHandle<()>| group.spawn(async { Ok(1) }).await.map_err(|_| ())));
    assert_eq!(runtime.block_on(task).unwrap(), Ok(1));
}

#[test]
fn the_first_error_ends_all_and_comes_out_last() {
    for runtime in [one(), several()] {
        let alive = Arc::new(());
        let result = runtime.block_on(group(|group| {
            let alive = &alive;
            async move {
                for _ in 0..10 {
                    group.spawn(holds::<Result<(), &str>>(alive));
                }
                let failed = group.spawn(async { Err::<u8, _>("first") });
                drop(failed);
                holds::<()>(alive).await;
                Ok(())
            }
        }));
        assert_eq!((result, Arc::strong_count(&alive)), (Err("first"), 1));
    }
}

#[test]
fn an_error_of_the_body_ends_the_children() {
    let alive = Arc::new(());
    let result = several().block_on(group(|group| {
        let alive = &alive;
        async move {
            group.spawn(holds::<Result<(), u8>>(alive));
            Err::<(), _>(7)
        }
    }));
    assert_eq!((result, Arc::strong_count(&alive)), (Err(7), 1));
}

#[test]
fn an_error_after_the_body_has_ended_counts() {
    let result = one().block_on(group(async |group: GroupHandle<u8>| {
        group.spawn(async {
            rest().await;
            Err::<(), _>(3)
        });
        Ok(())
    }));
    assert_eq!(result, Err(3));
}

#[test]
fn of_several_errors_the_first_counts() {
    let result = one().block_on(group(async |group: GroupHandle<u8>| {
        for i in 0..3 {
            group.spawn(async move { Err::<(), _>(i) });
        }
        pending::<()>().await;
        Ok(())
    }));
    assert_eq!(result, Err(0));
}

fn panic_of(run: impl FnOnce()) -> &'static str {
    *catch_unwind(AssertUnwindSafe(run)).unwrap_err().downcast().unwrap()
}

#[test]
fn the_first_panic_goes_on_in_the_owner_when_all_have_ended() {
    let alive = Arc::new(());
    let of_child = panic_of(|| {
        let _ = one().block_on(group(|group| {
            let alive = &alive;
            async move {
                group.spawn(holds::<Result<(), ()>>(alive));
                group.spawn::<_, ()>(async { panic!("child") });
                holds::<Result<(), ()>>(alive).await
            }
        }));
    });
    assert_eq!((of_child, Arc::strong_count(&alive)), ("child", 1));
    let of_body = panic_of(|| {
        let _ = several().block_on(group(|group| {
            let alive = &alive;
            async move {
                group.spawn(holds::<Result<(), ()>>(alive));
                if true { panic!("body") } else { Ok(()) }
            }
        }));
    });
    assert_eq!((of_body, Arc::strong_count(&alive)), ("body", 1));
}

/// A child that panics when it drops.
struct PanicsLate;

impl Drop for PanicsLate {
    fn drop(&mut self) {
        panic!("late");
    }
}

#[test]
fn a_panic_in_a_childs_last_drop_is_a_panic_of_the_child() {
    let late = PanicsLate;
    let panic = panic_of(|| {
        let _ = one().block_on(group(async move |group: GroupHandle<()>| {
            group.spawn(poll_fn(move |_| {
                let _ = &late;
                Poll::Ready(Ok(()))
            }));
            Ok(())
        }));
    });
    assert_eq!(panic, "late");
}

#[test]
fn a_failed_child_is_cancelled_for_whoever_awaits_it_elsewhere() {
    one().block_on(async {
        let mut outside = None;
        let result = group(async |group: GroupHandle<u8>| {
            outside = Some(group.spawn(async { Err::<(), _>(1) }));
            Ok(())
        })
        .await;
        assert_eq!(result, Err(1));
        assert!(outside.take().unwrap().await.unwrap_err().is_cancelled());
    });
}

#[test]
fn an_aborted_child_is_no_failure() {
    let result = one().block_on(group(async |group: GroupHandle<u8>| {
        let child = group.spawn(pending::<Result<(), _>>());
        child.abort();
        assert!(child.await.unwrap_err().is_cancelled());
        Ok(5)
    }));
    assert_eq!(result, Ok(5));
}

#[test]
fn children_spawn_children_and_the_group_waits_for_all() {
    fn tree(group: &GroupHandle<Infallible>, count: &Arc<AtomicUsize>, depth: u32) {
        let (inner, count) = (group.clone(), count.clone());
        group.spawn(async move {
            rest().await;
            count.fetch_add(1, Ordering::SeqCst);
            (0..if depth > 0 { 3 } else { 0 }).for_each(|_| tree(&inner, &count, depth - 1));
            Ok(())
        });
    }
    for runtime in [one(), several()] {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        let result = runtime.block_on(group(async move |group: GroupHandle<Infallible>| {
            tree(&group, &counted, 4);
            Ok(())
        }));
        assert_eq!((result, count.load(Ordering::SeqCst)), (Ok(()), 121));
    }
}

#[test]
fn a_dropped_group_aborts_its_children_wherever_it_was() {
    one().block_on(async {
        let alive = Arc::new(());
        // Never polled.
        let unpolled = group(|group: GroupHandle<()>| {
            group.spawn(holds::<Result<(), ()>>(&alive));
            ready(Ok(()))
        });
        rest().await;
        assert_eq!(Arc::strong_count(&alive), 2);
        drop(unpolled);
        rest().await;
        assert_eq!(Arc::strong_count(&alive), 1);
        // With a body that waits, and with one that has ended.
        for ended in [false, true] {
            let mut begun = Box::pin(group(|group: GroupHandle<()>| {
                let alive = &alive;
                async move {
                    group.spawn(holds::<Result<(), ()>>(alive));
                    if !ended {
                        holds::<()>(alive).await;
                    }
                    Ok(())
                }
            }));
            assert!(poll_now(begun.as_mut()).is_pending());
            rest().await;
            assert!(poll_now(begun.as_mut()).is_pending());
            drop(begun);
            rest().await;
            assert_eq!(Arc::strong_count(&alive), 1);
        }
        // While it waits for the rest after an error.
        let mut failing = Box::pin(group(|group: GroupHandle<()>| {
            group.spawn(holds::<Result<(), ()>>(&alive));
            ready(Err::<(), ()>(()))
        }));
        assert!(poll_now(failing.as_mut()).is_pending());
        drop(failing);
        rest().await;
        assert_eq!(Arc::strong_count(&alive), 1);
    });
}

#[test]
fn a_shutdown_waits_for_the_children_and_may_be_cancelled() {
    several().block_on(async {
        let alive = Arc::new(());
        let mut begun = pin!(group(|group: GroupHandle<()>| {
            let alive = &alive;
            async move {
                for _ in 0..10 {
                    group.spawn(holds::<Result<(), ()>>(alive));
                }
                holds::<Result<(), ()>>(alive).await
            }
        }));
        assert!(poll_now(begun.as_mut()).is_pending());
        let _ = poll_now(pin!(begun.as_mut().shutdown()));
        begun.as_mut().shutdown().await;
        assert_eq!(Arc::strong_count(&alive), 1);
        begun.as_mut().shutdown().await;
        assert_eq!(format!("{begun:?}"), "TaskGroup { children: 0, .. }");
    });
}

#[test]
fn a_cancelled_group_gives_what_its_body_gives() {
    one().block_on(async {
        let alive = Arc::new(());
        let result = group(|group: GroupHandle<&str>| {
            let alive = &alive;
            async move {
                let child = group.spawn(holds::<Result<(), _>>(alive));
                // Polled once more after the abort, as it is on its way: its error is of no interest.
                let canceller = group.clone();
                let late = group.spawn(async move {
                    canceller.cancel();
                    Err::<(), _>("late")
                });
                rest().await;
                assert!(group.is_cancelled() && child.is_finished() && late.is_finished() && group.is_empty());
                let refused = group.spawn(holds::<Result<(), _>>(alive));
                assert!(refused.await.unwrap_err().is_cancelled());
                Ok(9)
            }
        })
        .await;
        assert_eq!((result, Arc::strong_count(&alive)), (Ok(9), 1));
    });
}

#[test]
fn the_bodys_error_counts_after_a_cancel() {
    let result = one().block_on(group(async |group: GroupHandle<u8>| {
        group.cancel();
        Err::<(), _>(4)
    }));
    assert_eq!(result, Err(4));
}

#[test]
fn a_handle_that_outlives_its_group_begins_nothing() {
    one().block_on(async {
        let alive = Arc::new(());
        let handle = group(async |group: GroupHandle<()>| Ok(group)).await.unwrap();
        assert!(handle.is_cancelled());
        let late = handle.spawn(holds::<Result<(), ()>>(&alive));
        assert_eq!(Arc::strong_count(&alive), 1, "the future is dropped at once");
        assert!(late.await.unwrap_err().is_cancelled());
        assert_eq!(format!("{handle:?}"), "GroupHandle { children: 0, .. }");
    });
}

#[test]
fn the_end_of_the_runtime_is_the_end_of_the_children() {
    let outer = one();
    let other = one();
    let handle = other.handle().clone();
    let result = outer.block_on(group(async move |group: GroupHandle<()>| {
        let child = group.spawn_on(pending::<Result<(), ()>>(), &handle);
        drop(crate::spawn::spawn_blocking(move || drop(other)).await);
        assert!(child.await.unwrap_err().is_cancelled());
        Ok(1)
    }));
    assert_eq!(result, Ok(1));
}

#[test]
fn local_children_need_not_be_send() {
    let runtime = LocalRuntime::new().unwrap();
    let result = runtime.block_on(group(async |group: GroupHandle<String>| {
        let shared = Rc::new(5);
        let mine = shared.clone();
        let five = *group.spawn_local(async move { Ok(mine) }).await.unwrap();
        group.spawn_local(async move { Err::<Rc<()>, _>(format!("{} and {shared}", five)) });
        pending::<Result<(), String>>().await
    }));
    assert_eq!(result, Err("5 and 5".to_owned()));
}

#[test]
fn an_inner_groups_error_is_its_owners_to_handle() {
    let result = one().block_on(group(async |outer: GroupHandle<&str>| {
        let handled = outer.spawn(async {
            let inner = group(async |inner: GroupHandle<u8>| {
                inner.spawn(async { Err::<(), _>(1) });
                pending::<Result<(), _>>().await
            });
            Ok(inner.await.unwrap_err())
        });
        let one = handled.await.unwrap();
        let passed_on = outer.spawn(async {
            group(async |inner: GroupHandle<&str>| inner.spawn(async { Ok(2) }).await.map_err(|_| "no"))
                .await
                .and(Err::<(), _>("passed on"))
        });
        assert_eq!(one, 1);
        drop(passed_on.await);
        Ok(())
    }));
    assert_eq!(result, Err("passed on"));
}

/// The outer group is over only when the children of inner groups are gone, though those groups were dropped and not
/// waited for.
#[test]
fn the_children_of_inner_groups_are_the_outer_ones_too() {
    for runtime in [one(), several()] {
        let alive = Arc::new(());
        let result = runtime.block_on(group(|outer| {
            let alive = &alive;
            async move {
                let held = alive.clone();
                outer.spawn(group(move |inner: GroupHandle<&str>| async move {
                    for _ in 0..5 {
                        inner.spawn(holds::<Result<(), &str>>(&held));
                    }
                    group(|innermost: GroupHandle<&str>| {
                        innermost.spawn(holds::<Result<(), &str>>(&held));
                        holds::<Result<(), _>>(&held)
                    })
                    .await
                }));
                // And one in the body, which is dropped with it.
                let in_body = group(|inner: GroupHandle<&str>| {
                    inner.spawn(holds::<Result<(), &str>>(alive));
                    holds::<Result<(), &str>>(alive)
                });
                outer.spawn(async {
                    rest().await;
                    Err::<(), _>("out")
                });
                in_body.await
            }
        }));
        assert_eq!((result, Arc::strong_count(&alive)), (Err("out"), 1));
    }
}

#[test]
fn an_outer_group_counts_and_cancels_inner_children() {
    one().block_on(async {
        let counts = group(async |outer: GroupHandle<()>| {
            let inner = group(async |inner: GroupHandle<()>| {
                let child = inner.spawn(pending::<Result<(), ()>>());
                let before = (outer.len(), inner.len());
                outer.cancel();
                assert!(child.await.unwrap_err().is_cancelled());
                let late = inner.spawn(pending::<Result<(), ()>>());
                assert!(late.await.unwrap_err().is_cancelled());
                assert!(!inner.is_cancelled());
                Ok((before, outer.len(), inner.len()))
            });
            inner.await
        });
        assert_eq!(counts.await, Ok(((1, 1), 0, 0)));
    });
}

#[test]
fn outside_a_runtime_a_child_is_refused_and_the_group_left_as_it_was() {
    let alive = Arc::new(());
    let _group = group(|group: GroupHandle<()>| {
        let spawned = catch_unwind(AssertUnwindSafe(|| group.spawn(holds::<Result<(), ()>>(&alive))));
        assert!(spawned.is_err() && group.is_empty());
        ready(Ok(()))
    });
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[test]
#[should_panic(expected = "`TaskGroup` polled after completion")]
fn a_group_is_polled_once_to_its_end() {
    let mut group = pin!(group(async |_: GroupHandle<()>| Ok(())));
    assert!(poll_now(group.as_mut()).is_ready());
    let _ = poll_now(group);
}

#[test]
fn auto_traits_are_as_promised() {
    fn send<T: Send + Unpin>(_: &T) {}
    fn sync<T: Sync>(_: &T) {}
    let group = group(|group: GroupHandle<std::cell::Cell<u8>>| {
        send(&group);
        sync(&group);
        ready(Ok(()))
    });
    send(&group);
}

/// Trees of groups on two workers, some of which fail, panic or are dropped: nothing of them is left.
#[test]
fn stress_groups_end_as_a_whole() {
    let runtime = several();
    let alive = Arc::new(());
    for round in 0..300_usize {
        let result = catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(group(|outer| {
                let alive = &alive;
                async move {
                    for i in 0..8 {
                        let held = alive.clone();
                        outer.spawn(group(move |inner: GroupHandle<usize>| async move {
                            let leaf = inner.spawn(holds::<Result<(), usize>>(&held));
                            yield_now().await;
                            if i == round % 11 {
                                return Err(i);
                            }
                            if i + 20 == round % 31 {
                                resume_unwind(Box::new(i));
                            }
                            leaf.abort();
                            Ok(())
                        }));
                    }
                    if round % 5 == 0 {
                        outer.cancel();
                    }
                    Ok(())
                }
            }))
        }));
        assert_eq!(Arc::strong_count(&alive), 1, "round {round}");
        if let Ok(Err(error)) = result {
            assert_eq!(error, round % 11);
        }
    }
}
