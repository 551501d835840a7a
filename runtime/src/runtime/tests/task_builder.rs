//! Names, and where tasks come from.

use super::*;
use crate::join_set::JoinSet;
use crate::local_runtime::LocalOptions;

type Seen = Arc<Mutex<Vec<(Option<String>, &'static str, u32)>>>;

fn seeing(builder: &mut Builder) -> Seen {
    let seen = Seen::default();
    let sees = seen.clone();
    builder.on_task_spawn(move |task| {
        let place = task.spawned_at();
        sees.lock().push((task.name().map(str::to_owned), place.file(), place.line()));
    });
    seen
}

#[test]
fn a_task_has_the_place_of_whoever_spawned_it_and_the_name_it_was_given() {
    let mut builder = Builder::new_current_thread();
    let seen = seeing(&mut builder);
    let runtime = builder.build().unwrap();
    let handle = runtime.handle().clone();
    let before = line!();
    runtime.spawn(async {});
    handle.spawn(async {});
    TaskBuilder::new().name("on").spawn_on(async {}, &handle).unwrap();
    let _here = runtime.enter();
    spawn(async {});
    TaskBuilder::new().name("here").spawn(async {}).unwrap();
    TaskBuilder::new().spawn(async {}).unwrap();
    JoinSet::new().spawn(async {});
    let seen: Vec<_> = std::mem::take(&mut *seen.lock());
    let expected = [(1, None), (2, None), (3, Some("on")), (5, None), (6, Some("here")), (7, None), (8, None)];
    let expected: Vec<_> = expected.map(|(line, name)| (name.map(str::to_owned), file!(), before + line)).into();
    assert_eq!(seen, expected);
}

#[test]
fn local_tasks_have_a_place_too() {
    let mut builder = Builder::new_current_thread();
    let seen = seeing(&mut builder);
    let runtime = builder.build_local(LocalOptions::default()).unwrap();
    let line = line!() + 1;
    runtime.spawn_local(async {});
    assert_eq!(*seen.lock(), [(None, file!(), line)]);
}

#[test]
fn named_closures_run_in_the_pool() {
    let runtime = current_thread();
    let on = TaskBuilder::new().name("closure").spawn_blocking_on(|| 1, runtime.handle()).unwrap();
    let here = {
        let _here = runtime.enter();
        TaskBuilder::new().name("closure").spawn_blocking(|| 2).unwrap()
    };
    assert_eq!(runtime.block_on(async { (on.await.unwrap(), here.await.unwrap()) }), (1, 2));
}

#[test]
fn meta_reads_as_a_report_calls_it() {
    let (send, receive) = mpsc::channel();
    let runtime = Builder::new_current_thread()
        .on_task_spawn(move |task| send.send((task.to_string(), format!("{task:?}"))).unwrap())
        .build()
        .unwrap();
    let id = TaskBuilder::new().name("a \"b\"").spawn_on(async {}, runtime.handle()).unwrap().id();
    let (display, debug) = receive.recv().unwrap();
    let place = format!("{}:{}:", file!(), line!() - 2);
    assert!(display.starts_with(&format!("task {id} \"a \\\"b\\\"\", spawned at {place}")), "{display}");
    assert!(debug.contains(&format!("spawned_at: {place}")), "{debug}");
}
