//! Runtimes that are built by hand, and functions that bring their own.

use std::rc::Rc;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::{LocalSet, spawn_local};

#[tokio::main(flavor = "current_thread")]
async fn twice(number: u32) -> u32 {
    tokio::spawn(async move { number * 2 }).await.unwrap()
}

#[tokio::main(worker_threads = 2)]
async fn on_two_workers<T: ToString + Send + 'static>(value: T) -> String {
    tokio::spawn(async move { value.to_string() }).await.unwrap()
}

#[test]
fn a_function_with_a_runtime_of_its_own() {
    assert_eq!(twice(21), 42);
    assert_eq!(on_two_workers(7), "7");
}

#[tokio::test(flavor = "local")]
async fn on_one_thread_for_good() {
    let here = Rc::new(7);
    let task = spawn_local({
        let here = here.clone();
        async move { *here }
    });
    assert_eq!((task.await.unwrap(), *here), (7, 7));
}

#[tokio::test]
async fn a_set_of_local_tasks() {
    let set = LocalSet::new();
    let value = set.run_until(async { spawn_local(async { Rc::new(5) }).await.unwrap() });
    assert_eq!(*value.await, 5);
}

#[tokio::test(flavor = "current_thread", unhandled_panic = "ignore")]
async fn a_panic_that_nobody_looks_at() {
    let task = tokio::spawn(async { panic!("on purpose") });
    tokio::task::yield_now().await;
    assert!(task.is_finished());
}

#[tokio::test(unhandled_panic = "shutdown_runtime")]
#[should_panic]
async fn a_panic_that_ends_the_runtime() {
    tokio::spawn(async { panic!("on purpose") });
    std::future::pending::<()>().await;
}

#[tokio::test(name = "named")]
async fn one_with_a_name() {
    assert_eq!(Handle::current().name(), Some("named"));
}

#[test]
#[should_panic(expected = "a runtime's name has at least one character")]
fn one_with_an_empty_name() {
    Builder::new_current_thread().name("");
}

#[test]
fn by_hand() -> std::io::Result<()> {
    let runtime = Builder::new_multi_thread().worker_threads(2).thread_name("by-hand").enable_all().build()?;
    let task = runtime.spawn(async { std::thread::current().name().map(str::to_owned) });
    let name = runtime.block_on(async {
        let inner = Handle::current().spawn(async { 1 });
        assert_eq!(inner.await.unwrap(), 1);
        task.await.unwrap()
    });
    assert_eq!(name.as_deref(), Some("by-hand"));
    runtime.shutdown_background();
    Ok(())
}

#[test]
fn entered_from_outside() {
    let runtime = Runtime::new().unwrap();
    assert_eq!(runtime.handle().name(), None);
    let handle = runtime.handle().clone();
    let thread = std::thread::spawn(move || {
        let _guard = handle.enter();
        handle.block_on(tokio::spawn(async { 5 })).unwrap()
    });
    assert_eq!(thread.join().unwrap(), 5);
    assert!(Handle::try_current().is_err());
}
