//! Runtimes that are built by hand, and functions that bring their own.

use tokio::runtime::{Builder, Handle, Runtime};

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
    let handle = runtime.handle().clone();
    let thread = std::thread::spawn(move || {
        let _guard = handle.enter();
        handle.block_on(tokio::spawn(async { 5 })).unwrap()
    });
    assert_eq!(thread.join().unwrap(), 5);
    assert!(Handle::try_current().is_err());
}
