//! Bad input is refused where it is given, with a text that says what to do.

use super::*;
use std::cell::RefCell;
use std::panic::{Location, PanicHookInfo};
use std::sync::Once;

thread_local! {
    static PANICKED_IN: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The text of the panic of `f`, which must be blamed on this file.
#[track_caller]
fn refusal(f: impl FnOnce()) -> String {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            let file = info.location().map(|location| location.file().to_owned());
            let _ = PANICKED_IN.try_with(|place| place.replace(file));
            before(info);
        }));
    });
    let text = panic_text(f);
    let file = PANICKED_IN.take();
    assert_eq!(file.as_deref(), Some(Location::caller().file()), "{text}");
    text
}

#[test]
fn outside_a_runtime() {
    let none = "there is no wakeline runtime here: call this from a task, or inside Runtime::enter()";
    assert_eq!(refusal(|| drop(spawn(async {}))), none);
    assert_eq!(refusal(|| drop(spawn_blocking(|| ()))), none);
    assert_eq!(refusal(|| drop(Handle::current())), none);
    assert_eq!(refusal(|| drop(TaskBuilder::new().name("x").spawn(async {}))), none);
    assert!(Handle::try_current().unwrap_err().is_missing_context());
}

#[test]
fn a_runtime_inside_a_runtime() {
    for runtime in [current_thread(), workers(2)] {
        let nested = |runtime: &Runtime| refusal(|| runtime.block_on(async {}));
        let text = runtime.block_on(async { nested(&runtime) });
        assert!(text.contains("a runtime inside a runtime") && text.contains("use `.await`"), "{text}");
        let handle = runtime.handle().clone();
        let text = runtime.block_on(runtime.spawn(async move { refusal(|| handle.block_on(async {})) })).unwrap();
        assert!(text.contains("a runtime inside a runtime"), "{text}");
        let other = current_thread();
        let text = runtime.block_on(async { nested(&other) });
        assert!(text.contains("a runtime inside a runtime"), "{text}");
    }
}

#[test]
fn a_runtime_that_goes_in_async_context() {
    let runtime = current_thread();
    // A drop has no caller to blame.
    let inner = workers(1);
    let text = runtime.block_on(async { panic_text(|| drop(inner)) });
    assert!(text.contains("move the runtime out of the task, or call `shutdown_background`"), "{text}");
    let inner = workers(1);
    let text = runtime.block_on(async { refusal(|| inner.shutdown_timeout(Duration::ZERO)) });
    assert!(text.contains("shutdown_timeout waits for its tasks and threads"), "{text}");
    let inner = workers(1);
    runtime.block_on(async { inner.shutdown_background() });
}

#[test]
fn numbers_that_can_not_be_meant() {
    let multi = Builder::new_multi_thread;
    let text = refusal(|| drop(multi().worker_threads(0).build()));
    assert!(text.contains("at least one worker: `worker_threads` takes a number above 0"), "{text}");
    let text = refusal(|| drop(multi().worker_threads(usize::MAX).build()));
    assert!(text.contains("`worker_threads` takes at most 32768, and"), "{text}");
    let text = refusal(|| drop(multi().max_blocking_threads(0).build()));
    assert!(text.contains("`max_blocking_threads` takes a number above 0"), "{text}");
    let text = refusal(|| drop(multi().event_interval(0).build()));
    assert!(text.contains("`event_interval` must be above 0"), "{text}");
    let text = refusal(|| drop(multi().global_queue_interval(0).build()));
    assert!(text.contains("the interval must be above 0"), "{text}");
    let text = refusal(|| drop(multi().thread_stack_size(usize::MAX).build()));
    assert!(text.contains("do not fit into memory: ask for some mebibytes"), "{text}");
    let text = refusal(|| drop(multi().unhandled_panic(UnhandledPanic::ShutdownRuntime).build()));
    assert!(text.contains("build one by `Builder::new_current_thread`"), "{text}");
}

#[cfg(target_pointer_width = "64")]
#[test]
fn a_stack_that_the_system_does_not_give_is_an_error() {
    let error = Builder::new_multi_thread().worker_threads(1).thread_stack_size(1 << 60).build().unwrap_err();
    assert!(!error.to_string().is_empty());
}

#[test]
fn names_that_a_thread_can_not_have() {
    let text = refusal(|| drop(Builder::new_multi_thread().thread_name("a\0b").build()));
    assert!(text.contains("can not hold a NUL byte: `thread_name` was given \"a\\0b\""), "{text}");
    let name = || "a\0b".to_owned();
    let error = Builder::new_multi_thread().worker_threads(1).thread_name_fn(name).build().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let runtime = Builder::new_current_thread().thread_name_fn(name).build().unwrap();
    let text = refusal(|| drop(runtime.spawn_blocking(|| ())));
    assert!(text.contains("gave no thread for `spawn_blocking`: the name of a thread can not hold"), "{text}");
}

#[test]
fn a_handle_polled_after_its_result() {
    let runtime = current_thread();
    let mut task = runtime.spawn(async { 1 });
    runtime.block_on(&mut task).unwrap();
    let mut cx = std::task::Context::from_waker(Waker::noop());
    let text = refusal(|| assert!(std::pin::Pin::new(&mut task).poll(&mut cx).is_pending()));
    assert!(text.contains("JoinHandle polled after it gave its output: it gives it once"), "{text}");
}

#[test]
fn two_aborts_are_one() {
    on_each(|| async {
        let task = spawn(pending::<()>());
        task.abort();
        task.abort();
        task.abort_handle().abort();
        let abort = task.abort_handle();
        assert!(task.await.unwrap_err().is_cancelled());
        abort.abort();
        assert!(abort.is_finished());
    });
}
