//! Shared state, and how many may touch it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tokio::sync::{Barrier, Mutex, OnceCell, RwLock, Semaphore};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_counter_under_a_mutex() {
    let counter = Arc::new(Mutex::new(0));
    let mut tasks = Vec::new();
    for _ in 0..20 {
        let counter = Arc::clone(&counter);
        tasks.push(tokio::spawn(async move {
            let mut count = counter.lock().await;
            tokio::task::yield_now().await;
            *count += 1;
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*counter.lock().await, 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_many_and_no_more() {
    let semaphore = Arc::new(Semaphore::new(3));
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut tasks = Vec::new();
    for _ in 0..30 {
        let permit = semaphore.clone().acquire_owned().await.unwrap();
        let (now, most) = (now.clone(), most.clone());
        tasks.push(tokio::spawn(async move {
            most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
            tokio::task::yield_now().await;
            now.fetch_sub(1, SeqCst);
            drop(permit);
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert!((1..=3).contains(&most.load(SeqCst)));
    assert_eq!(semaphore.available_permits(), 3);
}

#[tokio::test]
async fn readers_and_one_writer() {
    let list = Arc::new(RwLock::new(vec![1]));
    {
        let (a, b) = tokio::join!(list.read(), list.read());
        assert_eq!(a.len() + b.len(), 2);
        assert!(list.try_write().is_err());
    }
    list.write().await.push(2);
    assert_eq!(*list.read().await, [1, 2]);
}

static SETTINGS: OnceCell<String> = OnceCell::const_new();

async fn settings() -> &'static str {
    SETTINGS.get_or_init(|| async { "loaded".to_string() }).await
}

#[tokio::test]
async fn what_is_loaded_once() {
    let (a, b) = tokio::join!(settings(), settings());
    assert!(std::ptr::eq(a, b));
}

#[tokio::test]
async fn all_wait_for_all() {
    let barrier = Arc::new(Barrier::new(3));
    let wait = || {
        let barrier = barrier.clone();
        tokio::spawn(async move { barrier.wait().await.is_leader() })
    };
    let (a, b, c) = tokio::try_join!(wait(), wait(), wait()).unwrap();
    assert_eq!([a, b, c].into_iter().filter(|&leader| leader).count(), 1);
}
