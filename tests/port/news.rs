//! One tells many: `watch`, `broadcast` and `Notify`.

use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast, watch};

#[tokio::test]
async fn a_setting_that_changes() {
    let (set, mut setting) = watch::channel(1);
    let mut follower = set.subscribe();
    let seen = tokio::spawn(async move {
        let mut seen = vec![*follower.borrow_and_update()];
        while follower.changed().await.is_ok() {
            seen.push(*follower.borrow_and_update());
        }
        seen
    });
    tokio::task::yield_now().await;
    set.send(2).unwrap();
    setting.changed().await.unwrap();
    assert_eq!(*setting.borrow(), 2);
    drop(set);
    assert_eq!(seen.await.unwrap(), [1, 2]);
}

#[tokio::test]
async fn an_event_for_everybody() {
    let (sender, mut first) = broadcast::channel(2);
    let mut second = sender.subscribe();
    sender.send("a").unwrap();
    assert_eq!((first.recv().await, second.recv().await), (Ok("a"), Ok("a")));
    for event in ["b", "c", "d"] {
        sender.send(event).unwrap();
    }
    assert_eq!(first.recv().await, Err(RecvError::Lagged(1)));
    assert_eq!(first.recv().await, Ok("c"));
    drop(sender);
    assert_eq!((first.recv().await, first.recv().await), (Ok("d"), Err(RecvError::Closed)));
}

#[tokio::test]
async fn somebody_is_told() {
    let notify = Arc::new(Notify::new());
    let waiter = {
        let notify = notify.clone();
        tokio::spawn(async move {
            let told = notify.notified();
            tokio::pin!(told);
            tokio::select! {
                () = &mut told => "told",
                () = std::future::pending() => "never",
            }
        })
    };
    notify.notify_one();
    assert_eq!(waiter.await.unwrap(), "told");
}
