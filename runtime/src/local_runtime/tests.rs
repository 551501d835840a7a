//! The runtime of one thread.
#![allow(clippy::unwrap_used, reason = "a test's own functions may unwrap as the test does")]

use super::*;
use crate::atomic::Mutex;
use crate::local_set::{LocalSet, spawn_local};
use crate::spawn::{spawn, yield_now};
use std::cell::Cell;
use std::future::{pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

fn runtime() -> LocalRuntime {
    Builder::new_current_thread().enable_time().build_local(LocalOptions::default()).unwrap()
}

#[test]
fn local_tasks_and_others_run_side_by_side() {
    let runtime = runtime();
    let shared = Rc::new(Cell::new(0));
    let before = {
        let shared = shared.clone();
        runtime.spawn_local(async move { shared.set(shared.get() + 1) })
    };
    let sum = runtime.block_on(async {
        before.await.unwrap();
        let mine = shared.clone();
        let local = spawn_local(async move {
            let inner = mine.clone();
            spawn_local(async move { inner.set(inner.get() + 1) }).await.unwrap();
            spawn(async { 10 }).await.unwrap() + mine.get()
        });
        local.await.unwrap() + runtime.spawn_blocking(|| 100).await.unwrap()
    });
    assert_eq!(sum, 112);
    assert_eq!(runtime.metrics().live_tasks, 0);
}

#[test]
fn spawn_local_works_where_the_runtime_is_entered() {
    let runtime = runtime();
    let task = {
        let _here = runtime.enter();
        spawn_local(ready(Rc::new(3)))
    };
    assert_eq!(*runtime.block_on(task).unwrap(), 3);
}

#[test]
fn a_set_goes_before_the_runtime() {
    let runtime = runtime();
    let set = LocalSet::new();
    let task = runtime.block_on(set.run_until(async { spawn_local(pending::<()>()).abort_handle() }));
    drop(set);
    assert!(task.is_finished());
}

#[test]
fn other_threads_spawn_wake_and_abort() {
    let runtime = runtime();
    let here = thread::current().id();
    let wakers: Arc<Mutex<Vec<Waker>>> = Arc::default();
    let given = wakers.clone();
    let mut polls = 0;
    let not_send = Rc::new(());
    let local = runtime.spawn_local(poll_fn(move |cx| {
        assert_eq!(thread::current().id(), here);
        let _ = &not_send;
        given.lock().push(cx.waker().clone());
        polls += 1;
        if polls == 100 { Poll::Ready(polls) } else { Poll::Pending }
    }));
    let endless = runtime.spawn_local(pending::<()>());
    let (handle, abort) = (runtime.handle().clone(), endless.abort_handle());
    let other = thread::spawn(move || {
        let sent = handle.spawn(async { 5 });
        let mut woken = 0;
        while woken < 100 {
            let taken = std::mem::take(&mut *wakers.lock());
            woken += taken.len();
            taken.into_iter().for_each(Waker::wake);
            thread::yield_now();
        }
        abort.abort();
        sent
    });
    runtime.block_on(async {
        assert_eq!(local.await.unwrap(), 100);
        assert!(endless.await.unwrap_err().is_cancelled());
        assert_eq!(other.join().unwrap().await.unwrap(), 5);
    });
}

#[test]
fn on_another_thread_its_handle_spawns_nothing_local() {
    let runtime = runtime();
    let handle = runtime.handle().clone();
    let refused = thread::spawn(move || {
        let _here = handle.enter();
        catch_unwind(|| drop(spawn_local(ready(())))).is_err()
    });
    assert!(refused.join().unwrap());
}

/// Notes the thread on which it drops.
struct Here(Arc<Mutex<Vec<thread::ThreadId>>>, #[expect(dead_code, reason = "makes it `!Send`")] Rc<()>);

impl Drop for Here {
    fn drop(&mut self) {
        self.0.lock().push(thread::current().id());
    }
}

#[test]
fn every_way_to_end_it_drops_the_tasks_here() {
    let ends: [fn(LocalRuntime); 3] =
        [drop, LocalRuntime::shutdown_background, |runtime| runtime.shutdown_timeout(Duration::from_secs(10))];
    for end in ends {
        let runtime = runtime();
        let places = Arc::default();
        let handles = [false, true].map(|polled| {
            let here = Here(Arc::clone(&places), Rc::new(()));
            let handle = runtime.spawn_local(async move {
                let _here = here;
                pending::<()>().await;
            });
            if polled {
                runtime.block_on(yield_now());
            }
            handle
        });
        let wakes_late = handles[0].abort_handle();
        let handle = runtime.handle().clone();
        end(runtime);
        assert_eq!(*places.lock(), [thread::current().id(); 2]);
        assert!(handles.iter().all(JoinHandle::is_finished));
        thread::spawn(move || {
            wakes_late.abort();
            assert!(handle.spawn(pending::<()>()).is_finished());
        })
        .join()
        .unwrap();
    }
}

#[test]
fn a_panic_stays_in_its_task() {
    let error = runtime().block_on(async { spawn_local(async { panic!("oh") }).await.unwrap_err() });
    assert!(error.is_panic());
}

#[test]
fn misuse_says_what_to_do() {
    let text = |f: &dyn Fn()| {
        let panic = catch_unwind(AssertUnwindSafe(f)).unwrap_err();
        panic.downcast::<&str>().map_or_else(|other| *other.downcast::<String>().unwrap(), |text| text.to_string())
    };
    let threads = text(&|| drop(Builder::new_multi_thread().build_local(LocalOptions::default())));
    assert!(threads.contains("build it from `Builder::new_current_thread()`"), "{threads}");
    let nested = text(&|| runtime().block_on(async { runtime().block_on(async {}) }));
    assert!(nested.contains("runtime inside a runtime"), "{nested}");
    let dropped = text(&|| {
        let inner = runtime();
        runtime().block_on(async move { drop(inner) });
    });
    assert!(dropped.contains("dropping a runtime waits"), "{dropped}");
}

#[test]
fn time_passes() {
    let runtime = runtime();
    runtime.block_on(async {
        spawn_local(async {
            let not_send = Rc::new(());
            crate::time::sleep(Duration::from_micros(10)).await;
            drop(not_send);
        })
        .await
        .unwrap();
    });
    assert!(format!("{runtime:?}").starts_with("LocalRuntime"));
}
