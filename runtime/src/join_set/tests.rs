//! The set on real runtimes, and on one thread by hand.
#![allow(clippy::unwrap_used, reason = "a test's own functions may unwrap as the test does")]

use super::*;
use crate::atomic::Mutex;
use crate::builder::Builder;
use crate::local_runtime::LocalRuntime;
use crate::runtime::Runtime;
use crate::spawn::yield_now;
use std::future::{pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

fn one() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

fn several() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).build().unwrap()
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A future that others may finish, and that counts its polls and its end.
#[derive(Clone, Default)]
struct Gate(Arc<Mutex<GateState>>);

#[derive(Default)]
struct GateState {
    open: bool,
    polls: usize,
    waker: Option<Waker>,
}

impl Gate {
    fn open(&self) {
        let waker = {
            let mut state = self.0.lock();
            state.open = true;
            state.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    fn polls(&self) -> usize {
        self.0.lock().polls
    }
}

impl Future for Gate {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        state.polls += 1;
        state.waker = Some(cx.waker().clone());
        if state.open { Poll::Ready(()) } else { Poll::Pending }
    }
}

async fn rest() {
    for _ in 0..3 {
        yield_now().await;
    }
}

#[test]
fn an_empty_set_has_nothing_to_wait_for() {
    one().block_on(async {
        let mut set = JoinSet::<()>::default();
        assert!(set.is_empty());
        assert!(set.join_next().await.is_none());
        assert!(set.join_next_with_id().await.is_none());
        assert!(set.try_join_next().is_none());
        set.shutdown().await;
        set.abort_all();
        set.detach_all();
        assert_eq!(format!("{set:?}"), "JoinSet { len: 0 }");
        assert!(set.join_all().await.is_empty());
    });
}

#[test]
fn tasks_come_out_in_the_order_in_which_they_end() {
    one().block_on(async {
        let gates: Vec<_> = (0..3).map(|_| Gate::default()).collect();
        let mut set = JoinSet::new();
        let mut ids = Vec::new();
        for (i, gate) in gates.iter().cloned().enumerate() {
            let spawned = set.spawn(async move {
                gate.await;
                i
            });
            ids.push(spawned.id());
        }
        rest().await;
        assert!(set.try_join_next().is_none());
        for i in [2, 0, 1] {
            gates[i].open();
            rest().await;
        }
        assert_eq!(set.len(), 3);
        let mut order = Vec::new();
        while let Some(ended) = set.join_next_with_id().await {
            let (id, i) = ended.unwrap();
            assert_eq!(id, ids[i]);
            order.push(i);
        }
        assert_eq!(order, [2, 0, 1]);
    });
}

/// However many go on, a look at the set touches only the one that has ended, and wakes come one at a time.
#[test]
fn a_set_is_woken_once_for_what_ended_and_polls_no_other_task() {
    one().block_on(async {
        let gates: Vec<_> = (0..100).map(|_| Gate::default()).collect();
        let mut set: JoinSet<()> = gates.iter().cloned().collect();
        rest().await;
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let mut cx = Context::from_waker(&waker);
        assert!(set.poll_join_next(&mut cx).is_pending());
        assert!(set.poll_join_next(&mut cx).is_pending());
        gates[7].open();
        gates[3].open();
        rest().await;
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert!(set.poll_join_next(&mut cx).is_ready());
        assert!(set.poll_join_next(&mut cx).is_ready());
        assert!(set.poll_join_next(&mut cx).is_pending());
        let polls: usize = gates.iter().map(Gate::polls).sum();
        assert_eq!((polls, set.len()), (102, 98));
    });
}

#[test]
fn errors_come_out_with_their_tasks_identity() {
    one().block_on(async {
        let mut set = JoinSet::new();
        let aborted = set.spawn(pending::<()>());
        let panicked = set.spawn(async { panic!("oh") });
        aborted.abort();
        rest().await;
        let mut errors: Vec<JoinError> = Vec::new();
        while let Some(ended) = set.try_join_next_with_id() {
            errors.push(ended.unwrap_err());
        }
        errors.sort_by_key(JoinError::id);
        assert!(errors[0].is_cancelled() && errors[0].id() == aborted.id());
        assert!(errors[1].is_panic() && errors[1].id() == panicked.id());
        assert!(aborted.is_finished() && set.is_empty());
    });
}

#[test]
fn a_task_that_ended_before_the_set_knew_it_is_found() {
    one().block_on(async {
        let task = spawn(ready(5));
        rest().await;
        assert!(task.is_finished());
        let mut set = JoinSet::new();
        set.insert(task);
        assert_eq!(set.join_next().await.unwrap().unwrap(), 5);
    });
}

#[test]
fn a_cancelled_wait_loses_nothing() {
    one().block_on(async {
        let gate = Gate::default();
        let mut set = JoinSet::new();
        set.spawn(gate.clone());
        rest().await;
        {
            let mut next = pin!(set.join_next());
            assert!(futures_lite::future::poll_once(next.as_mut()).await.is_none());
            gate.open();
            rest().await;
        }
        assert_eq!(set.len(), 1);
        assert!(set.join_next().await.unwrap().is_ok());
    });
}

#[test]
fn the_last_waker_shown_is_the_one_that_is_woken() {
    one().block_on(async {
        let gate = Gate::default();
        let mut set: JoinSet<()> = [gate.clone()].into_iter().collect();
        let counts = [Arc::new(Count::default()), Arc::new(Count::default())];
        for count in &counts {
            let waker = Waker::from(count.clone());
            assert!(set.poll_join_next(&mut Context::from_waker(&waker)).is_pending());
        }
        gate.open();
        rest().await;
        assert_eq!(counts.map(|count| count.0.load(Ordering::SeqCst)), [0, 1]);
    });
}

#[test]
fn dropping_the_set_aborts_and_detaching_does_not() {
    one().block_on(async {
        let alive = Arc::new(());
        let hold = || {
            let held = alive.clone();
            async move {
                let _held = held;
                pending::<()>().await;
            }
        };
        let mut set = JoinSet::new();
        set.spawn(hold());
        set.spawn(hold());
        rest().await;
        drop(set);
        rest().await;
        assert_eq!(Arc::strong_count(&alive), 1);

        let (first, second) = (Gate::default(), Gate::default());
        let mut set = JoinSet::new();
        let done = set.spawn(first.clone());
        let going_on = set.spawn(second.clone());
        first.open();
        rest().await;
        set.detach_all();
        assert!(set.is_empty() && done.is_finished() && !going_on.is_finished());
        // The first key is used again; what the old task reports under it is not heard.
        set.spawn(pending());
        second.open();
        rest().await;
        assert!(going_on.is_finished() && set.try_join_next().is_none());
        set.shutdown().await;
    });
}

#[test]
fn a_shutdown_waits_until_all_have_ended() {
    let runtime = several();
    runtime.block_on(async {
        let alive = Arc::new(());
        let mut set = JoinSet::new();
        for _ in 0..20 {
            let held = alive.clone();
            set.spawn(async move {
                let _held = held;
                pending::<()>().await;
            });
        }
        let held = alive.clone();
        set.spawn_blocking(move || drop(held));
        set.shutdown().await;
        assert!(set.is_empty());
        assert_eq!(Arc::strong_count(&alive), 1);
        set.spawn(ready(()));
        assert!(set.join_next().await.unwrap().is_ok(), "it can be used again");
    });
}

#[test]
fn join_all_gives_all_or_the_first_failure() {
    one().block_on(async {
        let set: JoinSet<_> = (0..300).map(|i| async move { i }).collect();
        let mut outputs = set.join_all().await;
        outputs.sort_unstable();
        assert_eq!(outputs, (0..300).collect::<Vec<_>>());
    });
    let alive = Arc::new(());
    let failure = |aborts: bool| {
        let held = alive.clone();
        let panic = catch_unwind(AssertUnwindSafe(|| {
            one().block_on(async move {
                let mut set = JoinSet::new();
                set.spawn(async move {
                    let _held = held;
                    pending::<()>().await;
                });
                match aborts {
                    true => set.spawn(pending()).abort(),
                    false => drop(set.spawn(async { panic!("oh") })),
                }
                set.join_all().await
            })
        }));
        let panic = panic.unwrap_err();
        panic.downcast::<&str>().map_or_else(|other| *other.downcast::<String>().unwrap(), |text| text.to_string())
    };
    assert_eq!(failure(false), "oh");
    assert!(failure(true).ends_with("was cancelled, and `join_all` has no output for it"));
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[test]
fn members_come_from_everywhere() {
    let (here, elsewhere) = (LocalRuntime::new().unwrap(), several());
    let local = LocalSet::new();
    let sum = here.block_on(local.run_until(async {
        let mut set = JoinSet::new();
        set.spawn(ready(1));
        set.spawn_on(ready(10), elsewhere.handle());
        set.spawn_blocking(|| 100);
        set.spawn_blocking_on(|| 1_000, elsewhere.handle());
        let not_send = Rc::new(10_000);
        let same = not_send.clone();
        set.spawn_local(async move { *not_send });
        set.spawn_local_on(async move { *same * 10 }, &local);
        set.extend([ready(1_000_000), ready(1_000_000)]);
        set.join_all().await.into_iter().sum::<i32>()
    }));
    assert_eq!(sum, 2_111_111);
}

#[test]
fn members_have_names_and_the_place_that_spawned_them() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let noted = told.clone();
    let runtime = Builder::new_current_thread()
        .on_task_spawn(move |task| {
            noted.lock().push((task.name().map(str::to_owned), task.spawned_at().file()));
        })
        .build_local(crate::local_runtime::LocalOptions::default())
        .unwrap();
    let (local, other) = (LocalSet::new(), several());
    let sum = runtime.block_on(async {
        let mut set = JoinSet::new();
        set.spawn(ready(1));
        set.build_task().name("two").spawn(ready(2)).unwrap();
        set.build_task().name("three").spawn_local(async { *Rc::new(4) }).unwrap();
        set.build_task().name("elsewhere").spawn_on(ready(8), other.handle()).unwrap();
        set.build_task().spawn_local_on(ready(16), &local).unwrap();
        set.build_task().spawn_blocking(|| 32).unwrap();
        set.build_task().spawn_blocking_on(|| 64, other.handle()).unwrap();
        local.run_until(set.join_all()).await.into_iter().sum::<i32>()
    });
    assert_eq!(sum, 127);
    let told = told.lock();
    let names: Vec<_> = told.iter().map(|(name, _)| name.as_deref()).collect();
    assert_eq!(&names[..3], [None, Some("two"), Some("three")]);
    assert!(told.iter().all(|(_, file)| *file == file!()), "{told:?}");
}

#[test]
fn outputs_that_are_not_send_stay_here() {
    let runtime = LocalRuntime::new().unwrap();
    runtime.block_on(async {
        let alive = Rc::new(());
        let mut set = JoinSet::new();
        for _ in 0..3 {
            let output = alive.clone();
            set.spawn_local(async move { output });
        }
        drop(set.join_next().await);
        rest().await;
        drop(set);
        rest().await;
        assert_eq!(Rc::strong_count(&alive), 1);
    });
}

/// The budget makes a task that finds ever more results yield.
#[test]
fn taking_results_spends_the_budget() {
    one().block_on(async {
        let outcome = spawn(async {
            let mut set: JoinSet<()> = (0..500).map(|_| ready(())).collect();
            while set.ready.is_empty() {
                set.finished.take(&mut set.ready);
                yield_now().await;
            }
            let mut cx = Context::from_waker(Waker::noop());
            let taken = (0..500).take_while(|_| set.poll_join_next(&mut cx).is_ready()).count();
            assert!(set.try_join_next().is_some(), "`try_join_next` asks no budget");
            taken
        });
        assert_eq!(outcome.await.unwrap(), usize::from(coop::BUDGET));
    });
}

#[test]
#[should_panic(expected = "there is no wakeline runtime here")]
fn outside_a_runtime_nothing_is_spawned() {
    JoinSet::new().spawn(async {});
}

#[test]
fn auto_traits_are_as_promised() {
    fn send_sync<T: Send + Sync + Unpin>() {}
    send_sync::<JoinSet<std::cell::Cell<u8>>>();
}

/// Many short rounds: spawned by one worker, run by two, joined, aborted and detached as they come.
#[test]
fn stress_rounds_on_two_workers() {
    let runtime = several();
    let ran = Arc::new(AtomicUsize::new(0));
    let count = |ran: &Arc<AtomicUsize>| {
        let ran = ran.clone();
        async move {
            yield_now().await;
            ran.fetch_add(1, Ordering::Relaxed);
        }
    };
    let all = ran.clone();
    let joined = runtime.block_on(async {
        spawn(async move {
            let mut set = JoinSet::new();
            let (mut joined, mut spawned) = (0, 0);
            for round in 0..2_000 {
                for _ in 0..1 + round % 5 {
                    set.spawn(count(&all));
                    spawned += 1;
                }
                while let Some(ended) = set.try_join_next() {
                    ended.unwrap();
                    joined += 1;
                }
                if round % 7 == 0
                    && let Some(ended) = set.join_next().await
                {
                    ended.unwrap();
                    joined += 1;
                }
            }
            while let Some(ended) = set.join_next().await {
                ended.unwrap();
                joined += 1;
            }
            assert_eq!(joined, spawned);
            for round in 0..500 {
                set.extend((0..4).map(|_| count(&all)));
                match round % 3 {
                    0 => set.abort_all(),
                    1 => set.detach_all(),
                    _ => drop(set.join_next().await),
                }
            }
            set.shutdown().await;
            joined
        })
        .await
        .unwrap()
    });
    assert_eq!(joined, 6_000);
    assert!(ran.load(Ordering::Relaxed) >= joined);
}
