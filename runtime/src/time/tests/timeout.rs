//! `timeout` and `timeout_at`.

use super::*;
use std::future::{pending, ready};
use std::pin::pin;

#[test]
fn a_timeout_elapses_only_over_what_is_not_ready() {
    Bench::new().runtime.block_on(async {
        let start = Instant::now();
        assert_eq!(timeout(ms(5), ready(1)).await, Ok(1));
        assert_eq!(timeout(Duration::ZERO, ready(2)).await, Ok(2), "the future is polled first");
        let elapsed = timeout(ms(5), pending::<()>()).await.unwrap_err();
        assert_eq!(start.elapsed(), ms(5));
        assert_eq!(elapsed.to_string(), "deadline has elapsed");
        assert_eq!(std::io::Error::from(elapsed).kind(), std::io::ErrorKind::TimedOut);
        assert!(timeout_at(start + ms(7), pending::<()>()).await.is_err());
        assert_eq!(start.elapsed(), ms(7));
        assert_eq!(timeout(Duration::MAX, sleep(ms(1))).await, Ok(()));
        assert_eq!(timeout_at(start, ready(3)).await, Ok(3));
        assert!(timeout_at(start, pending::<()>()).await.is_err());
        assert!(timeout(Duration::ZERO, pending::<()>()).await.is_err());
        assert_eq!(start.elapsed(), ms(8));
    });
}

#[test]
fn the_future_wins_when_both_are_due() {
    paused(async {
        assert_eq!(timeout(ms(5), sleep(ms(5))).await, Ok(()));
        assert!(timeout(ms(5), sleep(ms(5) + Duration::from_nanos(1))).await.is_err());
    });
}

#[test]
fn it_counts_from_the_call_and_not_from_the_first_poll() {
    paused(async {
        let start = Instant::now();
        let late = timeout(ms(10), pending::<()>());
        let too_late = timeout(ms(5), pending::<()>());
        sleep(ms(6)).await;
        let mut too_late = pin!(too_late);
        assert!(matches!(poll(&mut too_late.as_mut()), Poll::Ready(Err(_))));
        assert!(late.await.is_err());
        assert_eq!(start.elapsed(), ms(10));
    });
}

#[test]
fn a_real_timeout_is_not_early_and_ends() {
    run(async {
        let start = Instant::now();
        assert!(timeout(ms(2), pending::<()>()).await.is_err());
        assert!(start.elapsed() >= ms(2));
        let late = timeout(ms(1), pending::<()>());
        sleep(ms(2)).await;
        assert!(late.await.is_err());
    });
}

#[test]
fn around_a_ready_future_there_is_no_timer_and_afterwards_neither() {
    let bench = Bench::new();
    let _here = bench.runtime.enter();
    let mut ready = pin!(timeout(ms(1), ready(())));
    assert_eq!(poll(&mut ready.as_mut()), Poll::Ready(Ok(())));
    assert_eq!(pending_on(&bench), 0);
    let mut waits = Box::pin(timeout(ms(1), pending::<()>()));
    assert!(poll(&mut waits).is_pending());
    assert_eq!(pending_on(&bench), 1);
    drop(waits);
    assert_eq!(pending_on(&bench), 0, "dropping it cancels");
}

/// A future that never waits but for its budget holds up neither other tasks nor its own deadline.
#[test]
fn a_future_that_uses_up_the_budget_is_timed_out() {
    run(async {
        let greedy = crate::spawn(timeout(ms(2), async {
            loop {
                crate::coop::consume_budget().await;
            }
        }));
        assert!(greedy.await.unwrap().is_err());
    });
}

#[test]
fn the_future_is_dropped_with_the_timeout_and_given_out_before() {
    struct Flag(Arc<Count>);
    impl Drop for Flag {
        fn drop(&mut self) {
            Waker::from(self.0.clone()).wake();
        }
    }
    let dropped = Arc::new(Count::default());
    let (flag, there) = (Flag(dropped.clone()), dropped);
    paused(async move {
        let held = async move {
            let _flag = flag;
            pending::<()>().await;
        };
        let mut held = Box::pin(timeout(ms(1), held));
        assert!(held.as_mut().await.is_err());
        assert_eq!(there.get(), 0, "it is the owner's to drop");
        drop(held);
        assert_eq!(there.get(), 1);
    });
    paused(async {
        let mut future = timeout(ms(1), ready(3));
        assert_eq!(format!("{:?}", future.get_ref()), format!("{:?}", ready(3)));
        *future.get_mut() = ready(4);
        assert_eq!(future.into_inner().await, 4);
    });
}

#[test]
fn what_outlives_its_runtime_says_so_when_it_would_wait() {
    let bench = Bench::new();
    let (mut ready, mut waits) = {
        let _here = bench.runtime.enter();
        (Box::pin(timeout(ms(1), ready(1))), Box::pin(timeout(ms(1), pending::<()>())))
    };
    drop(bench);
    assert_eq!(poll(&mut ready), Poll::Ready(Ok(1)));
    assert!(panic_of(|| assert!(poll(&mut waits).is_pending())).contains("the runtime of this timer has shut down"));
}

#[test]
fn into_future_is_taken() {
    struct Later(u8);
    impl std::future::IntoFuture for Later {
        type Output = u8;
        type IntoFuture = std::future::Ready<u8>;
        fn into_future(self) -> Self::IntoFuture {
            ready(self.0)
        }
    }
    paused(async {
        assert_eq!(timeout(ms(1), Later(9)).await, Ok(9));
        assert_eq!(timeout_at(Instant::now() + ms(1), Later(8)).await, Ok(8));
    });
}
