//! Tasks: their handles, their ends, and time.

use std::time::Duration;
use tokio::task::{self, JoinError, JoinHandle};
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
async fn a_limit_in_time() {
    let never = std::future::pending::<()>();
    assert!(time::timeout(Duration::from_millis(1), never).await.is_err());
    let now = time::timeout(Duration::from_secs(60), async { 3 }).await;
    assert_eq!(now.unwrap(), 3);
    let past = time::timeout_at(Instant::now(), time::sleep_until(Instant::now() + Duration::from_secs(60)));
    assert!(past.await.is_err());
}

#[tokio::test]
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

#[tokio::test]
async fn ticks() {
    let mut interval = time::interval(Duration::from_millis(1));
    let first = interval.tick().await;
    let third = (interval.tick().await, interval.tick().await).1;
    assert!(third >= first + Duration::from_millis(2));
}
