//! A task that owns a map, and clients that ask it: `mpsc` for the questions, a `oneshot` for each answer.

use std::collections::HashMap;
use tokio::sync::{mpsc, oneshot};

#[derive(Debug)]
enum Command {
    Get { key: String, reply: oneshot::Sender<Option<String>> },
    Set { key: String, value: String, reply: oneshot::Sender<()> },
}

async fn serve(mut commands: mpsc::Receiver<Command>) -> usize {
    let mut map = HashMap::new();
    while let Some(command) = commands.recv().await {
        match command {
            Command::Get { key, reply } => {
                let _ = reply.send(map.get(&key).cloned());
            }
            Command::Set { key, value, reply } => {
                map.insert(key, value);
                let _ = reply.send(());
            }
        }
    }
    map.len()
}

async fn set(server: &mpsc::Sender<Command>, key: &str, value: &str) {
    let (reply, answer) = oneshot::channel();
    server.send(Command::Set { key: key.into(), value: value.into(), reply }).await.unwrap();
    answer.await.unwrap();
}

async fn get(server: &mpsc::Sender<Command>, key: &str) -> Option<String> {
    let (reply, answer) = oneshot::channel();
    server.send(Command::Get { key: key.into(), reply }).await.unwrap();
    answer.await.unwrap()
}

#[tokio::test]
async fn clients_see_what_others_have_set() {
    let (server, commands) = mpsc::channel(4);
    let task = tokio::spawn(serve(commands));

    let mut clients = Vec::new();
    for n in 0..10 {
        let server = server.clone();
        clients.push(tokio::spawn(async move {
            set(&server, &format!("key {n}"), &format!("value {n}")).await;
            get(&server, &format!("key {n}")).await
        }));
    }
    for (n, client) in clients.into_iter().enumerate() {
        assert_eq!(client.await.unwrap(), Some(format!("value {n}")));
    }
    assert_eq!(get(&server, "nothing").await, None);
    drop(server);
    assert_eq!(task.await.unwrap(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_questions_at_once() {
    let (server, commands) = mpsc::channel(2);
    let task = tokio::spawn(serve(commands));
    let ((), (), early) = tokio::join!(set(&server, "a", "1"), set(&server, "b", "2"), get(&server, "c"));
    assert_eq!(early, None);
    let (a, b) = tokio::join!(get(&server, "a"), get(&server, "b"));
    assert_eq!((a.as_deref(), b.as_deref()), (Some("1"), Some("2")));
    drop(server);
    assert_eq!(task.await.unwrap(), 2);
}
