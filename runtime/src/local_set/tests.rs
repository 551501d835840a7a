//! Sets on runtimes of each kind, under a foreign executor, and polled by hand.
#![allow(clippy::unwrap_used, reason = "a test's own functions may unwrap as the test does")]

use super::*;
use crate::atomic::Mutex;
use crate::builder::Builder;
use crate::spawn::{spawn, yield_now};
use crate::task::{self, JoinError};
use crate::{coop, namespace};
use futures_lite::future::{block_on as foreign_block_on, poll_once};
use std::cell::Cell;
use std::future::{pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::thread;

fn one() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

fn several() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).build().unwrap()
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn poll<F: Future>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

/// Gives its waker away at each poll, and is never ready.
fn gives_waker(to: &Arc<Mutex<Vec<Waker>>>) -> impl Future<Output = ()> + use<> {
    let to = to.clone();
    poll_fn(move |cx| {
        to.lock().push(cx.waker().clone());
        Poll::Pending
    })
}

/// Notes the thread on which it drops.
struct Here(Arc<Mutex<Vec<thread::ThreadId>>>, #[expect(dead_code, reason = "makes it `!Send`")] Rc<()>);

impl Drop for Here {
    fn drop(&mut self) {
        self.0.lock().push(thread::current().id());
    }
}

#[test]
fn futures_that_are_not_send_run_on_every_kind_of_runtime() {
    let sum = || async {
        let shared = Rc::new(Cell::new(0));
        let tasks: Vec<_> = (1..=100)
            .map(|i| {
                let shared = shared.clone();
                spawn_local(async move {
                    yield_now().await;
                    shared.set(shared.get() + i);
                    Rc::new(i)
                })
            })
            .collect();
        let mut outputs = 0;
        for task in tasks {
            outputs += *task.await.unwrap();
        }
        (outputs, shared.get())
    };
    assert_eq!(LocalSet::new().block_on(&one(), sum()), (5050, 5050));
    assert_eq!(LocalSet::new().block_on(&several(), sum()), (5050, 5050));
    assert_eq!(foreign_block_on(LocalSet::new().run_until(sum())), (5050, 5050));
}

#[test]
fn a_local_task_and_one_of_the_runtime_await_each_other() {
    let set = LocalSet::new();
    let runtime = several();
    let answer = set.block_on(&runtime, async {
        spawn_local(async { spawn(async { 20 }).await.unwrap() + spawn_local(ready(1)).await.unwrap() }).await.unwrap()
    });
    assert_eq!(answer, 21);
}

#[test]
fn the_set_is_ready_when_its_last_task_has_ended() {
    let set = LocalSet::new();
    let ended = Rc::new(Cell::new(0));
    let count = ended.clone();
    set.spawn_local(async move {
        for _ in 0..5 {
            let count = count.clone();
            spawn_local(async move {
                yield_now().await;
                count.set(count.get() + 1);
            });
        }
    });
    one().block_on(set);
    assert_eq!(ended.get(), 5);
    foreign_block_on(LocalSet::default());
}

#[test]
fn tasks_rest_between_two_drives() {
    let (set, runtime) = (LocalSet::new(), one());
    let polls = Rc::new(Cell::new(0));
    let counted = polls.clone();
    let task = set.spawn_local(async move {
        loop {
            counted.set(counted.get() + 1);
            yield_now().await;
        }
    });
    assert_eq!(polls.get(), 0);
    set.block_on(&runtime, yield_now());
    let first = polls.get();
    assert!(first > 0);
    runtime.block_on(yield_now());
    assert_eq!(polls.get(), first);
    set.block_on(&runtime, yield_now());
    assert!(polls.get() > first && !task.is_finished());
}

/// A task that never rests lets the driven future, and the runtime's other tasks, have their turns.
#[test]
fn a_set_that_is_always_busy_starves_nobody() {
    let set = LocalSet::new();
    for _ in 0..200 {
        set.spawn_local(async {
            loop {
                yield_now().await;
            }
        });
    }
    let runtime = one();
    let beside = runtime.spawn(async {
        for _ in 0..100 {
            yield_now().await;
        }
        7
    });
    assert_eq!(set.block_on(&runtime, beside).unwrap(), 7);
}

#[test]
fn one_poll_of_the_set_is_bounded() {
    let set = LocalSet::new();
    let polls = Rc::new(Cell::new(0));
    for _ in 0..1000 {
        let polls = polls.clone();
        set.spawn_local(async move { polls.set(polls.get() + 1) });
    }
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut set = pin!(set);
    assert!(poll(set.as_mut(), &waker).is_pending());
    assert_eq!((polls.get(), count.get()), (61, 1), "what is left wakes the set");
    let more = (0..100).take_while(|_| poll(set.as_mut(), &waker).is_pending()).count();
    assert_eq!((polls.get(), more), (1000, 15));
}

#[test]
fn a_wake_wakes_the_poller_unless_the_set_is_being_polled() {
    let set = LocalSet::new();
    let wakers = Arc::default();
    let task = set.spawn_local(gives_waker(&wakers));
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut driven = pin!(set.run_until(pending::<()>()));
    assert!(poll(driven.as_mut(), &waker).is_pending());
    assert_eq!((wakers.lock().len(), count.get()), (1, 0));
    wakers.lock()[0].wake_by_ref();
    assert_eq!(count.get(), 1);
    wakers.lock()[0].wake_by_ref();
    assert_eq!(count.get(), 1, "it is queued already");
    assert!(poll(driven.as_mut(), &waker).is_pending());
    let inside = wakers.clone();
    set.spawn_local(async move { inside.lock()[0].wake_by_ref() });
    assert_eq!(count.get(), 2, "spawned from outside");
    assert!(poll(driven.as_mut(), &waker).is_pending());
    assert_eq!((wakers.lock().len(), count.get()), (3, 2));
    task.abort();
    assert_eq!(count.get(), 3);
    assert!(poll(driven.as_mut(), &waker).is_pending());
    assert!(task.is_finished());
}

#[test]
fn work_left_by_one_driver_wakes_the_other() {
    let set = LocalSet::new();
    let (count, ran) = (Arc::new(Count::default()), Rc::new(Cell::new(false)));
    let waker = Waker::from(count.clone());
    let mut waits = pin!(set.run_until(pending::<()>()));
    assert!(poll(waits.as_mut(), &waker).is_pending());
    let runs = ran.clone();
    let mut ends = pin!(set.run_until(async move { drop(spawn_local(async move { runs.set(true) })) }));
    assert!(poll(ends.as_mut(), Waker::noop()).is_ready());
    assert_eq!((count.get(), ran.get()), (1, false));
    assert!(poll(waits.as_mut(), &waker).is_pending());
    assert!(ran.get());
}

#[test]
fn two_drivers_of_one_set_go_on_alone() {
    let set = LocalSet::new();
    let steps = |count| async move {
        for _ in 0..count {
            spawn_local(yield_now()).await.unwrap();
        }
        count
    };
    let (short, long) = (set.run_until(steps(2)), set.run_until(steps(200)));
    let both = one().block_on(async { futures_lite::future::zip(short, long).await });
    assert_eq!(both, (2, 200));
}

#[test]
fn a_set_can_be_driven_from_its_own_task() {
    let set = Rc::new(LocalSet::new());
    let inner = set.clone();
    let answer = set.block_on(&one(), async move {
        let task = spawn_local(async move {
            let three = inner.run_until(async { spawn_local(ready(3)).await.unwrap() }).await;
            drop(inner);
            three
        });
        task.await.unwrap()
    });
    assert_eq!(answer, 3);
}

#[test]
fn sets_nest_and_the_innermost_takes_what_is_spawned() {
    let (outer, inner) = (LocalSet::new(), LocalSet::new());
    let abort = outer.block_on(&one(), async {
        let abort = inner.run_until(async { spawn_local(pending::<()>()).abort_handle() }).await;
        assert_eq!(spawn_local(ready(1)).await.unwrap(), 1);
        abort
    });
    drop(outer);
    assert!(!abort.is_finished());
    drop(inner);
    assert!(abort.is_finished());
}

#[test]
fn a_dropped_drive_leaves_the_tasks_in_the_set() {
    let set = LocalSet::new();
    one().block_on(async {
        let count = Arc::new(Count::default());
        let task = {
            let mut driven = Box::pin(set.run_until(pending::<()>()));
            assert!(poll(driven.as_mut(), &Waker::from(count.clone())).is_pending());
            set.spawn_local(ready(5))
        };
        assert_eq!((count.get(), Arc::strong_count(&count)), (1, 1), "a poller that is gone is forgotten");
        assert!(poll_once(set.run_until(pending::<()>())).await.is_none());
        assert_eq!(task.await.unwrap(), 5);
    });
}

#[test]
fn dropping_the_set_drops_its_tasks_here() {
    let places = Arc::default();
    let (set, runtime) = (LocalSet::new(), one());
    let tasks: Vec<_> = (0..3)
        .map(|i| {
            let here = Here(Arc::clone(&places), Rc::new(()));
            set.spawn_local(async move {
                let _here = here;
                for _ in 0..i {
                    pending::<()>().await;
                }
            })
        })
        .collect();
    set.block_on(&runtime, async {
        yield_now().await;
        yield_now().await;
    });
    assert_eq!(places.lock().len(), 1);
    drop(set);
    assert_eq!(*places.lock(), [thread::current().id(); 3]);
    let results: Vec<_> =
        tasks.into_iter().map(|task| foreign_block_on(task).map_err(|error| error.is_cancelled())).collect();
    assert_eq!(results, [Ok(()), Err(true), Err(true)]);
}

#[test]
fn wakers_outlive_the_set_and_are_used_elsewhere() {
    let wakers: Arc<Mutex<Vec<Waker>>> = Arc::default();
    let set = LocalSet::new();
    let here = Here(Arc::default(), Rc::new(()));
    let places = here.0.clone();
    let waits = gives_waker(&wakers);
    let task = set.spawn_local(async move {
        let _here = here;
        waits.await;
    });
    let abort = task.abort_handle();
    assert!(poll(pin!(set.run_until(pending::<()>())), Waker::noop()).is_pending());
    wakers.lock()[0].wake_by_ref();
    drop((set, task));
    assert_eq!(places.lock().len(), 1);
    thread::spawn(move || {
        let waker = wakers.lock().pop().unwrap();
        waker.wake_by_ref();
        let other = waker.clone();
        other.wake();
        abort.abort();
        drop((waker, abort));
    })
    .join()
    .unwrap();
}

/// Spawns when it drops.
struct SpawnsLate(Arc<Mutex<Option<task::JoinHandle<()>>>>);

impl Drop for SpawnsLate {
    fn drop(&mut self) {
        *self.0.lock() = Some(spawn_local(pending()));
    }
}

#[test]
fn what_is_spawned_while_the_set_drops_is_cancelled() {
    let late = Arc::default();
    let set = LocalSet::new();
    let spawns = SpawnsLate(Arc::clone(&late));
    let task = set.spawn_local(async move {
        let _spawns = spawns;
        pending::<()>().await;
    });
    drop(set);
    assert!(foreign_block_on(task).unwrap_err().is_cancelled());
    let late = late.lock().take().unwrap();
    assert!(foreign_block_on(late).unwrap_err().is_cancelled());
}

#[test]
fn tasks_that_wake_each_other_as_they_drop_are_all_dropped() {
    struct WakesAll(Arc<Mutex<Vec<Waker>>>);
    impl Drop for WakesAll {
        fn drop(&mut self) {
            let wakers = std::mem::take(&mut *self.0.lock());
            wakers.into_iter().for_each(Waker::wake);
        }
    }
    let wakers = Arc::default();
    let set = LocalSet::new();
    let tasks = [0; 3].map(|_| {
        let (wakes, waits) = (WakesAll(Arc::clone(&wakers)), gives_waker(&wakers));
        set.spawn_local(async move {
            let _wakes = wakes;
            waits.await;
        })
    });
    assert!(poll(pin!(set.run_until(pending::<()>())), Waker::noop()).is_pending());
    drop(set);
    assert!(tasks.iter().all(task::JoinHandle::is_finished));
    assert_eq!(Arc::strong_count(&wakers), 1);
}

#[test]
fn a_panic_stays_in_its_task() {
    let set = LocalSet::new();
    let error: JoinError = set.block_on(&one(), async {
        let calm = spawn_local(yield_now());
        let error = spawn_local(async { panic!("oh") }).await.unwrap_err();
        calm.await.unwrap();
        error
    });
    assert!(error.is_panic());
    // A panic of the driven future is the caller's, and leaves the set whole.
    let panics = AssertUnwindSafe(|| set.block_on(&one(), async { panic!("the driven one") }));
    assert!(catch_unwind(panics).is_err());
    assert!(!local_scheduler::is_polled());
    assert_eq!(set.block_on(&one(), async { spawn_local(ready(2)).await.unwrap() }), 2);
}

#[test]
fn a_panic_may_be_the_end_of_the_set() {
    let places = Arc::default();
    let mut set = LocalSet::new();
    set.unhandled_panic(UnhandledPanic::Ignore).unhandled_panic(UnhandledPanic::ShutdownRuntime);
    let here = Here(Arc::clone(&places), Rc::new(()));
    let other = set.spawn_local(async move {
        let _here = here;
        pending::<()>().await;
    });
    let panics = set.spawn_local(async { panic!("oh") });
    for _ in 0..2 {
        let driven = catch_unwind(AssertUnwindSafe(|| set.block_on(&one(), pending::<()>())));
        let text = *driven.unwrap_err().downcast::<&str>().unwrap();
        assert!(text.contains("shut down on an unhandled panic"), "{text}");
        assert_eq!(places.lock().len(), 1);
    }
    assert!(foreign_block_on(panics).unwrap_err().is_panic());
    assert!(foreign_block_on(other).unwrap_err().is_cancelled());
    assert!(set.spawn_local(ready(())).is_finished());
    assert!(catch_unwind(AssertUnwindSafe(|| foreign_block_on(set))).is_err());
}

#[test]
fn an_entered_set_takes_what_is_spawned_until_its_guard_drops() {
    let (first, second) = (LocalSet::new(), LocalSet::new());
    let outer = first.enter();
    let in_first = spawn_local(pending::<()>());
    {
        let _inner = second.enter();
        drop(spawn_local(ready(())));
        assert!(!second.scheduler.is_empty());
    }
    drop(second);
    let again_in_first = spawn_local(pending::<()>());
    drop(first);
    assert!(in_first.is_finished() && again_in_first.is_finished());
    let too_late = spawn_local(pending::<()>());
    assert!(too_late.is_finished(), "the guard outlives the set");
    drop(outer);
    assert!(catch_unwind(|| spawn_local(ready(()))).is_err());
}

#[test]
fn a_set_may_end_with_its_thread() {
    thread_local! { static SET: RefCell<Option<LocalSet>> = const { RefCell::new(None) }; }
    let places: Arc<Mutex<Vec<thread::ThreadId>>> = Arc::default();
    let noted = places.clone();
    let thread = thread::spawn(move || {
        let here = Here(noted, Rc::new(()));
        SET.with(|set| {
            let new = LocalSet::new();
            drop(new.spawn_local(async move {
                let _here = here;
                pending::<()>().await;
            }));
            *set.borrow_mut() = Some(new);
        });
        thread::current().id()
    });
    let id = thread.join().unwrap();
    assert_eq!(*places.lock(), [id]);
}

#[test]
fn tasks_stand_in_their_spawners_namespace_and_have_identities() {
    let set = LocalSet::new();
    let task = {
        let _there = namespace::enter(Some(namespace::Namespace::new(Arc::new(7_u8))));
        set.spawn_local(async {
            yield_now().await;
            (task::id(), namespace::current().and_then(|own| own.downcast::<u8>()).map(|own| *own))
        })
    };
    let id = task.id();
    assert_eq!(set.block_on(&one(), task).unwrap(), (id, Some(7)));
}

#[test]
fn each_local_task_has_a_budget_of_its_own() {
    async fn greedy() -> usize {
        poll_fn(|cx| Poll::Ready((0..1000).take_while(|_| coop::poll_proceed(cx).map(|p| p.made()).is_ready()).count()))
            .await
    }
    let set = LocalSet::new();
    let budgets = set.block_on(&one(), async {
        let tasks = [spawn_local(greedy()), spawn_local(greedy())];
        let mut budgets = Vec::new();
        for task in tasks {
            budgets.push(task.await.unwrap());
        }
        budgets
    });
    assert_eq!(budgets, [usize::from(coop::BUDGET); 2]);
}

#[test]
fn outside_a_set_spawn_local_says_what_to_do() {
    let text = |f: &dyn Fn()| *catch_unwind(AssertUnwindSafe(f)).unwrap_err().downcast::<String>().unwrap();
    let bare = text(&|| drop(spawn_local(ready(()))));
    assert!(bare.starts_with("`spawn_local` called from outside of a `LocalSet` or `LocalRuntime`"), "{bare}");
    let runtime = text(&|| one().block_on(async { drop(spawn_local(ready(()))) }));
    assert!(runtime.contains("not a `LocalRuntime` of this thread"), "{runtime}");
    let task = one().block_on(async { spawn(async { drop(spawn_local(ready(()))) }).await });
    assert!(task.unwrap_err().is_panic());
}

trait AmbiguousIfSend<A> {
    fn is_not_send() {}
}
impl<T: ?Sized> AmbiguousIfSend<()> for T {}
impl<T: ?Sized + Send> AmbiguousIfSend<u8> for T {}
trait AmbiguousIfSync<A> {
    fn is_not_sync() {}
}
impl<T: ?Sized> AmbiguousIfSync<()> for T {}
impl<T: ?Sized + Sync> AmbiguousIfSync<u8> for T {}

/// Compiles only as long as these stay on their thread.
#[test]
fn auto_traits_are_as_promised() {
    <LocalSet as AmbiguousIfSend<_>>::is_not_send();
    <LocalSet as AmbiguousIfSync<_>>::is_not_sync();
    <LocalEnterGuard as AmbiguousIfSend<_>>::is_not_send();
    <RunUntil<'static, ()> as AmbiguousIfSend<_>>::is_not_send();
    <crate::local_runtime::LocalRuntime as AmbiguousIfSend<_>>::is_not_send();
    <crate::local_runtime::LocalRuntime as AmbiguousIfSync<_>>::is_not_sync();
    <task::JoinHandle<Rc<()>> as AmbiguousIfSend<_>>::is_not_send();
    fn send<T: Send>(_: &T) {}
    send(&LocalSet::new().spawn_local(async { drop(Rc::new(())) }));
}

/// Other threads wake local tasks all the time, and abort some; the set ends in the middle of it.
#[test]
fn stress_wakes_from_other_threads() {
    for _ in 0..20 {
        let wakers: Arc<Mutex<Vec<Waker>>> = Arc::default();
        let set = LocalSet::new();
        let here = thread::current().id();
        let tasks: Vec<_> = (0..10)
            .map(|_| {
                let (wakers, mut left, not_send) = (wakers.clone(), 50, Rc::new(()));
                set.spawn_local(poll_fn(move |cx| {
                    assert_eq!(thread::current().id(), here);
                    let _ = &not_send;
                    left -= 1;
                    wakers.lock().push(cx.waker().clone());
                    if left == 0 { Poll::Ready(()) } else { Poll::Pending }
                }))
            })
            .collect();
        // Never ends by itself: the set is dropped under it.
        let forever = set.spawn_local(gives_waker(&wakers));
        let stop = Arc::new(Count::default());
        let aborts = tasks[0].abort_handle();
        let threads = [0, 1].map(|_| {
            let (wakers, stop, aborts) = (wakers.clone(), stop.clone(), aborts.clone());
            thread::spawn(move || {
                while stop.get() == 0 {
                    let taken = std::mem::take(&mut *wakers.lock());
                    taken.into_iter().for_each(Waker::wake);
                    aborts.abort();
                    thread::yield_now();
                }
            })
        });
        let ended = set.block_on(&several(), async {
            let mut ended = 0;
            for task in tasks {
                ended += usize::from(task.await.is_ok());
            }
            ended
        });
        assert!((9..=10).contains(&ended));
        drop(set);
        stop.0.store(1, Ordering::SeqCst);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(foreign_block_on(forever).unwrap_err().is_cancelled());
    }
}
