//! Tasks: their handles, their ends, and time.

use std::time::Duration;
use tokio::task::{self, JoinError, JoinHandle, JoinSet};
use tokio::time::{self, Instant};

#[tokio::test]
async fn a_task_gives_its_value_or_says_how_it_ended() {
    let fine: JoinHandle<u8> = tokio::spawn(async { 7 });
    assert_eq!(fine.await.unwrap(), 7);

    let panicked: JoinError = tokio::spawn(async { panic!("on purpose") }).await.unwrap_err();
    assert!(panicked.is_panic());
    assert_eq!(panicked.into_panic().downcast_ref(), Some(&"on purpose"));

    let endless = tokio::spawn(std::future::pending::<()>());
    assert!(!endless.is_finished());
    endless.abort();
    assert!(endless.await.unwrap_err().is_cancelled());
}

#[tokio::test]
async fn what_blocks_goes_elsewhere() {
    let sum = task::spawn_blocking(|| (1..=100).sum::<u32>());
    assert_eq!(sum.await.unwrap(), 5050);
}

#[tokio::test]
async fn a_set_of_tasks() {
    let mut set = JoinSet::new();
    for n in 0..5 {
        set.spawn(async move { n * n });
    }
    set.spawn(std::future::pending());
    let mut sum = 0;
    while set.len() > 1 {
        tokio::select! {
            Some(square) = set.join_next() => sum += square.unwrap(),
            else => break,
        }
    }
    assert_eq!(sum, 30);
    set.shutdown().await;
    assert!(set.is_empty());
}

tokio::task_local! {
    static REQUEST: u32;
}

#[tokio::test]
async fn what_a_task_carries_with_it() {
    let request = |id| {
        tokio::spawn(REQUEST.scope(id, async {
            task::yield_now().await;
            REQUEST.get()
        }))
    };
    let (a, b) = tokio::try_join!(request(1), request(2)).unwrap();
    assert_eq!((a, b), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_limit_in_time() {
    let never = std::future::pending::<()>();
    assert!(time::timeout(Duration::from_millis(1), never).await.is_err());
    let now = time::timeout(Duration::from_secs(60), async { 3 }).await;
    assert_eq!(now.unwrap(), 3);
    let past = time::timeout_at(Instant::now(), time::sleep_until(Instant::now() + Duration::from_secs(60)));
    assert!(past.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_task_against_the_clock() {
    let mut task = tokio::spawn(std::future::pending::<()>());
    let deadline = time::sleep(Duration::from_millis(1));
    tokio::pin!(deadline);
    let ended = tokio::select! {
        result = &mut task => result.is_ok(),
        () = &mut deadline => {
            task.abort();
            false
        }
    };
    assert!(!ended);
    assert!(task.await.unwrap_err().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn ticks() {
    let mut interval = time::interval(Duration::from_millis(1));
    let first = interval.tick().await;
    let third = (interval.tick().await, interval.tick().await).1;
    assert_eq!(third - first, Duration::from_millis(2));
}
