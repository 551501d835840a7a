//! What a subscriber is told, line by line.
#![allow(clippy::unwrap_used, reason = "a test's own functions may unwrap as the test does")]

use crate::time::sleep;
use crate::{Builder, Handle, LocalSet, TaskBuilder, spawn, spawn_blocking, spawn_local, sync, yield_now};
use std::collections::HashMap;
use std::fmt::{self, Write};
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Writes down what it is told: spans by numbers in their order, with references counted as a registry does.
#[derive(Clone, Default)]
struct Log(Arc<Inner>);

#[derive(Default)]
struct Inner {
    lines: Mutex<Vec<String>>,
    refs: Mutex<HashMap<u64, usize>>,
    next: AtomicU64,
    /// Does with the runtime what a subscriber may do, when it hears of the first task.
    uses_runtime: AtomicBool,
}

impl Log {
    fn line(&self, line: String) {
        self.0.lines.lock().unwrap().push(line);
    }

    /// Runs `future` on a runtime of this thread, and gives back all lines.
    fn of<F: Future>(self, future: F) -> Vec<String> {
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        tracing::subscriber::with_default(self.clone(), || {
            runtime.block_on(future);
            drop(runtime);
        });
        std::mem::take(&mut *self.0.lines.lock().unwrap())
    }
}

/// The fields that are the same in every run.
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let stays = !matches!(field.name(), "task.id" | "size.bytes" | "loc.line" | "loc.col" | "fn");
        if stays {
            let value = format!("{value:?}").replace(concat!(env!("CARGO_MANIFEST_DIR"), "/"), "");
            write!(self.0, " {}={}", field.name(), value.trim_matches('"').rsplit("src/").next().unwrap()).unwrap();
        }
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() || !metadata.target().starts_with("mio")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed) + 1;
        self.0.refs.lock().unwrap().insert(id, 1);
        let mut fields = Fields(String::new());
        span.record(&mut fields);
        self.line(format!("{id}: {} {}{}", span.metadata().target(), span.metadata().name(), fields.0));
        if self.0.uses_runtime.swap(false, Ordering::Relaxed) {
            let handle = Handle::current();
            let _here = handle.enter();
            drop(spawn(async {}));
        }
        Id::from_u64(id)
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        struct Task(Option<u64>);
        impl Visit for Task {
            fn record_u64(&mut self, field: &Field, value: u64) {
                self.0 = (field.name() == "task.id").then_some(value).or(self.0);
            }
            fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
        }
        let mut task = Task(None);
        event.record(&mut task);
        let of = task.0.map(|task| format!(" of {task}")).unwrap_or_default();
        self.line(format!("{}{}{of}", event.metadata().target(), fields.0));
    }

    fn enter(&self, span: &Id) {
        self.line(format!("> {}", span.into_u64()));
    }

    fn exit(&self, span: &Id) {
        self.line(format!("< {}", span.into_u64()));
    }

    fn clone_span(&self, span: &Id) -> Id {
        *self.0.refs.lock().unwrap().get_mut(&span.into_u64()).unwrap() += 1;
        span.clone()
    }

    fn try_close(&self, span: Id) -> bool {
        let mut refs = self.0.refs.lock().unwrap();
        let left = refs.get_mut(&span.into_u64()).unwrap();
        *left -= 1;
        let closed = *left == 0;
        drop(refs);
        if closed {
            self.line(format!("{} ends", span.into_u64()));
        }
        closed
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
}

fn check(lines: &[String], expected: &str) {
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(lines, expected, "\n{}", lines.join("\n"));
}

#[test]
fn a_task_is_told_of_from_its_spawning_to_its_end() {
    let lines = Log::default().of(async {
        TaskBuilder::new().name("reader").spawn(yield_now()).unwrap().await.unwrap();
    });
    check(
        &lines,
        "1: tokio::task runtime.spawn kind=block_on task.name= loc.file=trace/tests.rs
         > 1
         2: tokio::task runtime.spawn kind=task task.name=reader loc.file=trace/tests.rs
         < 1
         > 2
         tokio::task::waker op=waker.wake_by_ref of 2
         < 2
         > 2
         < 2
         > 2
         < 2
         2 ends
         > 1
         < 1
         > 1
         < 1
         1 ends",
    );
}

#[test]
fn wakers_are_told_of_by_the_identity_of_their_tasks_span() {
    let lines = Log::default().of(async {
        let (tx, rx) = sync::oneshot::channel();
        let task = spawn(rx);
        yield_now().await;
        tx.send(()).unwrap();
        task.await.unwrap().unwrap();
    });
    let wakers: Vec<_> = lines.into_iter().filter(|line| line.contains("waker")).collect();
    // The channel is the first span after the main future's, its receiver's wait the next two.
    check(&wakers, "tokio::task::waker op=waker.clone of 5\ntokio::task::waker op=waker.wake of 5");
}

#[test]
fn tasks_of_other_kinds_say_so() {
    let lines = Log::default().of(async {
        spawn_blocking(|| ()).await.unwrap();
        LocalSet::new().run_until(async { spawn_local(async {}).await.unwrap() }).await;
    });
    let tasks: Vec<_> = lines.into_iter().filter(|line| line.contains("runtime.spawn")).collect();
    check(
        &tasks,
        "1: tokio::task runtime.spawn kind=block_on task.name= loc.file=trace/tests.rs
         2: tokio::task::blocking runtime.spawn kind=blocking task.name= loc.file=trace/tests.rs
         3: tokio::task runtime.spawn kind=local task.name= loc.file=trace/tests.rs",
    );
}

#[test]
fn a_timer_is_a_resource_and_its_polls_are_told_of() {
    let lines = Log::default().of(async { sleep(Duration::from_secs(2)).await });
    check(
        &lines,
        "1: tokio::task runtime.spawn kind=block_on task.name= loc.file=trace/tests.rs
         > 1
         2: runtime::resource runtime.resource concrete_type=Sleep kind=timer loc.file=trace/tests.rs
         > 2
         3: runtime::resource runtime.resource.async_op source=Sleep::new_timeout
         > 3
         4: runtime::resource runtime.resource.async_op.poll
         < 3
         < 2
         > 2
         > 3
         > 4
         > 2
         runtime::resource::state_update duration=2000 duration.op=override duration.unit=ms
         < 2
         runtime::resource::poll_op op_name=poll_elapsed is_ready=false
         < 4
         < 3
         < 2
         < 1
         > 1
         > 2
         > 3
         > 4
         runtime::resource::poll_op op_name=poll_elapsed is_ready=true
         < 4
         < 3
         < 2
         2 ends
         3 ends
         4 ends
         < 1
         > 1
         < 1
         1 ends",
    );
}

/// What was told of how it stands with resources, and of what they are.
fn states(lines: Vec<String>) -> Vec<String> {
    let states = lines.into_iter().filter_map(|line| {
        let resource = line.find("concrete_type=").map(|at| line[at..].to_owned());
        let resource = resource.map(|shown| shown.split(' ').next().unwrap().to_owned());
        resource.or_else(|| line.strip_prefix("runtime::resource::state_update ").map(ToOwned::to_owned))
    });
    states.collect()
}

#[test]
fn locks_tell_who_has_them() {
    let lines = Log::default().of(async {
        let mutex = sync::Mutex::new(());
        drop(mutex.lock().await);
        drop(mutex.try_lock().unwrap());
        let lock = sync::RwLock::with_max_readers((), 8);
        let readers = (lock.read().await, lock.read().await);
        drop(readers);
        drop(lock.write().await.downgrade());
        let semaphore = sync::Semaphore::new(3);
        let permit = semaphore.acquire_many(2).await.unwrap();
        drop(permit);
        semaphore.add_permits(4);
        static UNTOLD: sync::Mutex<()> = sync::Mutex::const_new(());
        drop(UNTOLD.lock().await);
    });
    check(
        &states(lines),
        "concrete_type=Mutex
         locked=false locked.op=override
         locked=true locked.op=override
         locked=false locked.op=override
         locked=true locked.op=override
         locked=false locked.op=override
         concrete_type=RwLock
         max_readers=8 max_readers.op=override
         write_locked=false write_locked.op=override
         current_readers=0 current_readers.op=override
         current_readers=1 current_readers.op=add
         current_readers=1 current_readers.op=add
         current_readers=1 current_readers.op=sub
         current_readers=1 current_readers.op=sub
         write_locked=true write_locked.op=override
         write_locked=false write_locked.op=override
         current_readers=1 current_readers.op=add
         current_readers=1 current_readers.op=sub
         concrete_type=Semaphore
         permits=3 permits.op=override
         permits=2 permits.op=sub
         permits=2 permits.op=add
         permits=4 permits.op=add",
    );
}

#[test]
fn a_subscriber_may_use_the_runtime_it_hears_of() {
    let log = Log::default();
    log.0.uses_runtime.store(true, Ordering::Relaxed);
    let runtime = Builder::new_current_thread().build().unwrap();
    tracing::subscriber::with_default(log.clone(), || {
        let _here = runtime.enter();
        let task = spawn(async {});
        assert!(!log.0.uses_runtime.load(Ordering::Relaxed), "it heard of the task");
        runtime.block_on(task).unwrap();
    });
    assert_eq!(runtime.metrics().spawned_tasks_count(), 2, "its own task too");
}

#[test]
fn a_task_that_comes_after_the_end_is_told_of_and_ends() {
    let runtime = Builder::new_current_thread().build().unwrap();
    let handle = runtime.handle().clone();
    drop(runtime);
    let log = Log::default();
    tracing::subscriber::with_default(log.clone(), || drop(handle.spawn(async {})));
    let lines = log.0.lines.lock().unwrap();
    assert!(lines[0].contains("runtime.spawn kind=task") && lines.last().unwrap() == "1 ends", "{lines:?}");
}
