//! tokio-console sees wakeline's tasks and what they wait for: console-subscriber's layer observes a program, its server is
//! asked as the console asks it, over gRPC, and what comes back is the program.

use console_api::field::{Name, Value};
use console_api::instrument::instrument_client::InstrumentClient;
use console_api::instrument::{InstrumentRequest, Update};
use console_api::{async_ops, resources, tasks};
use console_subscriber::{ConsoleLayer, Server, ServerParts};
use futures_util::stream;
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::{Endpoint, Uri};
use tracing_subscriber::layer::SubscriberExt;
use wakeline::sync::{Mutex, Semaphore, oneshot};
use wakeline::task::{Builder, yield_now};
use wakeline::time::sleep;

/// What the console knows of a program.
#[derive(Default)]
struct Seen {
    tasks: HashMap<u64, (tasks::Task, tasks::Stats)>,
    resources: HashMap<u64, (resources::Resource, resources::Stats)>,
    ops: HashMap<u64, (async_ops::AsyncOp, async_ops::Stats)>,
}

impl Seen {
    fn take(&mut self, update: Update) {
        if let Some(update) = update.task_update {
            assert_eq!(update.dropped_events, 0);
            for task in update.new_tasks {
                self.tasks.insert(task.id.expect("tasks have one").id, (task, Default::default()));
            }
            for (id, stats) in update.stats_update {
                self.tasks.get_mut(&id).expect("it was new before").1 = stats;
            }
        }
        if let Some(update) = update.resource_update {
            for resource in update.new_resources {
                self.resources.insert(resource.id.expect("resources have one").id, (resource, Default::default()));
            }
            for (id, stats) in update.stats_update {
                self.resources.get_mut(&id).expect("it was new before").1 = stats;
            }
        }
        if let Some(update) = update.async_op_update {
            for op in update.new_async_ops {
                self.ops.insert(op.id.expect("operations have one").id, (op, Default::default()));
            }
            for (id, stats) in update.stats_update {
                self.ops.get_mut(&id).expect("it was new before").1 = stats;
            }
        }
    }

    fn task(&self, name: &str) -> (u64, &tasks::Task, &tasks::Stats) {
        let named = self.tasks.iter().find(|(_, (task, _))| field(task, "task.name").is_some_and(|is| is == name));
        let (id, (task, stats)) = named.unwrap_or_else(|| panic!("the console has no task {name}"));
        (*id, task, stats)
    }

    /// What a task waited for, and by which method.
    fn waits(&self, task: u64) -> Vec<(&str, &str)> {
        let ops = self.ops.values().filter(|(_, stats)| stats.task_id.as_ref().is_some_and(|id| id.id == task));
        let mut waits: Vec<_> = ops
            .map(|(op, _)| {
                let (resource, _) = &self.resources[&op.resource_id.expect("it is of one").id];
                (resource.concrete_type.as_str(), op.source.as_str())
            })
            .collect();
        waits.sort_unstable();
        waits
    }

    /// The state of the only resource of its type: attributes by their names.
    fn state(&self, concrete_type: &str) -> Vec<(String, Value)> {
        let mut of_type = self.resources.values().filter(|(resource, _)| resource.concrete_type == concrete_type);
        let (resource, stats) = of_type.next().unwrap_or_else(|| panic!("the console has no {concrete_type}"));
        assert!(of_type.next().is_none(), "there is one {concrete_type}");
        let at = resource.location.as_ref().and_then(|location| location.file.as_deref());
        assert!(at.is_some_and(|file| file.ends_with("console.rs")), "{at:?}");
        let fields = stats.attributes.iter().filter_map(|attribute| attribute.field.clone());
        fields.map(|field| (name(&field), field.value.expect("fields have one"))).collect()
    }
}

fn name(field: &console_api::Field) -> String {
    match &field.name {
        Some(Name::StrName(name)) => name.clone(),
        other => panic!("a name by itself, not {other:?}"),
    }
}

fn field(task: &tasks::Task, wanted: &str) -> Option<String> {
    let found = task.fields.iter().find(|field| name(field) == wanted)?;
    match &found.value {
        Some(Value::DebugVal(value) | Value::StrVal(value)) => Some(value.clone()),
        Some(Value::U64Val(value)) => Some(value.to_string()),
        other => panic!("{wanted} has the value {other:?}"),
    }
}

/// Asks the server until `enough`, as tokio-console would: by a client over a connection, which here is a pipe.
fn ask(server: Server, enough: impl Fn(&Seen) -> bool) -> Seen {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio starts");
    runtime.block_on(async {
        let (near, far) = tokio::io::duplex(4096);
        let ServerParts { instrument_server, aggregator, .. } = server.into_parts();
        tokio::spawn(aggregator.run());
        let incoming = stream::iter([Ok::<_, std::io::Error>(far)]);
        tokio::spawn(tonic::transport::Server::builder().add_service(instrument_server).serve_with_incoming(incoming));
        let mut near = Some(TokioIo::new(near));
        let connect = tower::service_fn(move |_: Uri| {
            let near = near.take().ok_or_else(|| std::io::Error::other("there is one connection"));
            async move { near }
        });
        let endpoint = Endpoint::from_static("http://console");
        let channel = endpoint.connect_with_connector(connect).await.expect("the pipe is there");
        let asked = InstrumentClient::new(channel).watch_updates(InstrumentRequest {}).await;
        let mut updates = asked.expect("the server answers").into_inner();
        let mut seen = Seen::default();
        let complete = async {
            while !enough(&seen) {
                seen.take(updates.message().await.expect("a good message").expect("updates do not end"));
            }
        };
        tokio::time::timeout(Duration::from_secs(30), complete).await.expect("the console hears of all of it");
        seen
    })
}

/// What is observed: every named task does one thing.
async fn program() {
    let lock = Arc::new(Mutex::new(()));
    let held = lock.lock().await;
    let named = |name| Builder::new().name(name);
    let sleeper = named("sleeper").spawn(sleep(Duration::from_millis(5))).unwrap();
    let self_waker = named("self-waker")
        .spawn(async {
            for _ in 0..3 {
                yield_now().await;
            }
        })
        .unwrap();
    let contender = lock.clone();
    let locker = named("locker").spawn(async move { drop(contender.lock().await) }).unwrap();
    let (answer, question) = oneshot::channel::<()>();
    let permits = Arc::new(Semaphore::new(5));
    let mine = permits.clone();
    let unfinished = named("unfinished").spawn(async move {
        let _three = mine.acquire_many(3).await;
        let _ = question.await;
    });
    let worker = named("worker").spawn_blocking(|| ()).unwrap();
    sleeper.await.unwrap();
    self_waker.await.unwrap();
    drop(held);
    locker.await.unwrap();
    worker.await.unwrap();
    // They stay as they are while the console looks.
    std::mem::forget((answer, permits, lock));
    drop(unfinished);
}

/// A future is dropped within its span, which counts as one more poll; so it is with tokio's tasks.
const DROPPED: u64 = 1;

#[test]
fn tokio_console_sees_a_program_of_wakeline() {
    let (layer, server) = ConsoleLayer::builder().publish_interval(Duration::from_millis(10)).build();
    let subscriber = tracing_subscriber::registry().with(layer);
    let _observed = tracing::subscriber::set_default(subscriber);
    let runtime = wakeline::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(program());

    // The console's own tokio is not to be observed.
    let seen = std::thread::scope(|scope| {
        let console = scope.spawn(|| ask(server, |seen| !seen.ops.is_empty() && seen.tasks.len() >= 6));
        console.join().expect("the console's thread ends well")
    });

    let (sleeper, task, stats) = seen.task("sleeper");
    assert_eq!(field(task, "kind").as_deref(), Some("task"));
    assert!(field(task, "task.id").is_some_and(|id| id.parse::<u64>().is_ok()));
    let location = task.location.as_ref().expect("a task has a location");
    assert!(location.file.as_ref().is_some_and(|file| file.ends_with("console.rs")) && location.line > Some(100));
    let polls = stats.poll_stats.as_ref().expect("it was polled");
    assert_eq!((polls.polls, stats.wakes, stats.self_wakes), (2 + DROPPED, 1, 0));
    assert!(stats.dropped_at.is_some(), "it has ended");
    assert_eq!(seen.waits(sleeper), [("Sleep", "Sleep::new_timeout")]);

    let (_, _, stats) = seen.task("self-waker");
    let polls = stats.poll_stats.as_ref().expect("it was polled");
    assert_eq!((polls.polls, stats.wakes, stats.self_wakes), (4 + DROPPED, 3, 3));

    let (locker, _, stats) = seen.task("locker");
    assert_eq!((stats.wakes, stats.waker_clones), (1, 1));
    assert_eq!(seen.waits(locker), [("Mutex", "Mutex::lock")]);
    assert_eq!(seen.state("Mutex"), [("locked".to_owned(), Value::BoolVal(false))]);

    let (unfinished, _, stats) = seen.task("unfinished");
    assert!(stats.dropped_at.is_none(), "it waits");
    let waits = [("Semaphore", "Semaphore::acquire_many"), ("Sender|Receiver", "Receiver::await")];
    assert_eq!(seen.waits(unfinished), waits);
    assert_eq!(seen.state("Semaphore"), [("permits".to_owned(), Value::U64Val(2))]);

    let (_, task, stats) = seen.task("worker");
    assert_eq!(field(task, "kind").as_deref(), Some("blocking"));
    assert!(stats.dropped_at.is_some(), "it has ended");
    let main = seen.tasks.values().find(|(task, _)| field(task, "kind").as_deref() == Some("block_on"));
    assert!(main.is_some_and(|(_, stats)| stats.dropped_at.is_some()), "the main future is a task, and has ended");
}
