//! `interval` and what becomes of ticks that are missed.

use super::*;
use MissedTickBehavior::{Burst, Delay, Skip};

/// Takes the second tick late, then four more; says when each was taken, in ms.
fn ticks(behavior: MissedTickBehavior, period: u64, late: u64) -> Vec<u128> {
    paused(async {
        let start = Instant::now();
        let mut interval = interval(ms(period));
        interval.set_missed_tick_behavior(behavior);
        let mut taken = Vec::new();
        interval.tick().await;
        sleep(ms(late)).await;
        for _ in 0..5 {
            interval.tick().await;
            taken.push(start.elapsed().as_millis());
        }
        taken
    })
}

#[test]
fn missed_ticks_burst_delay_or_are_skipped() {
    assert_eq!(ticks(Burst, 10, 25), [25, 25, 30, 40, 50]);
    assert_eq!(ticks(Delay, 10, 25), [25, 35, 45, 55, 65]);
    assert_eq!(ticks(Skip, 10, 25), [25, 30, 40, 50, 60]);
    assert_eq!(ticks(Skip, 10, 30), [30, 40, 50, 60, 70], "on the beat itself");
    assert_eq!(ticks(Burst, 50, 175), [175, 175, 175, 200, 250]);
    assert_eq!(ticks(Delay, 50, 175), [175, 225, 275, 325, 375]);
    assert_eq!(ticks(Skip, 50, 175), [175, 200, 250, 300, 350]);
}

#[test]
fn a_tick_counts_as_missed_when_it_is_more_than_5_ms_late() {
    for behavior in [Burst, Delay, Skip] {
        assert_eq!(ticks(behavior, 10, 0), [10, 20, 30, 40, 50]);
        assert_eq!(ticks(behavior, 10, 15), [15, 20, 30, 40, 50], "5 ms late");
        assert_eq!(ticks(behavior, 1, 6), [6, 6, 6, 6, 6], "5 ms late, and five periods");
    }
    assert_eq!(ticks(Burst, 10, 16), [16, 20, 30, 40, 50]);
    assert_eq!(ticks(Delay, 10, 16), [16, 26, 36, 46, 56]);
    assert_eq!(ticks(Skip, 10, 16), [16, 20, 30, 40, 50]);
    assert_eq!(ticks(Delay, 1, 7), [7, 8, 9, 10, 11]);
    assert_eq!(ticks(Skip, 1, 7), [7, 8, 9, 10, 11]);
}

#[test]
fn it_says_when_each_tick_was_due() {
    paused(async {
        let start = Instant::now();
        let mut interval = interval_at(start + ms(4), ms(10));
        assert_eq!(interval.period(), ms(10));
        assert_eq!(interval.missed_tick_behavior(), Burst);
        assert_eq!(interval.tick().await, start + ms(4));
        sleep(ms(15)).await;
        assert_eq!(interval.tick().await, start + ms(14));
    });
}

#[test]
fn one_that_begins_in_the_past_has_missed_ticks() {
    paused(async {
        sleep(ms(100)).await;
        let now = Instant::now();
        let mut interval = interval_at(now - ms(25), ms(10));
        for due in [now - ms(25), now - ms(15), now - ms(5), now + ms(5)] {
            assert_eq!(interval.tick().await, due);
        }
        let mut interval = interval_at(now - ms(25), ms(10));
        interval.set_missed_tick_behavior(Skip);
        assert_eq!(interval.tick().await, now - ms(25));
        assert_eq!(interval.tick().await, now + ms(15));
    });
}

#[test]
fn it_can_be_moved() {
    paused(async {
        let start = Instant::now();
        let at = |interval: Instant| (interval - start).as_millis();
        let mut interval = interval(ms(10));
        interval.tick().await;
        sleep(ms(3)).await;
        interval.reset();
        assert_eq!(at(interval.tick().await), 13);
        interval.reset_immediately();
        assert_eq!(at(interval.tick().await), 13);
        assert_eq!(at(interval.tick().await), 23);
        interval.reset_after(ms(1));
        assert_eq!(at(interval.tick().await), 24);
        interval.reset_at(start + ms(99));
        assert_eq!(at(interval.tick().await), 99);
        assert_eq!(at(interval.tick().await), 109);
    });
}

#[test]
fn moving_it_moves_the_task_that_waits() {
    let bench = Bench::new();
    let count = Arc::new(Count::default());
    let mut interval = {
        let _here = bench.runtime.enter();
        interval_at(Instant::now() + ms(50), ms(50))
    };
    let waker = Waker::from(count.clone());
    assert!(interval.poll_tick(&mut Context::from_waker(&waker)).is_pending());
    {
        let _here = bench.runtime.enter();
        interval.reset_after(ms(5));
    }
    bench.runtime.block_on(async { sleep(ms(5)).await });
    assert_eq!(count.get(), 1);
}

#[test]
fn a_tick_that_was_not_delivered_stays_due() {
    paused(async {
        let start = Instant::now();
        let mut interval = interval(ms(10));
        interval.tick().await;
        assert!(timeout(ms(7), interval.tick()).await.is_err());
        {
            let mut dropped = std::pin::pin!(interval.tick());
            assert!(poll(&mut dropped.as_mut()).is_pending());
        }
        assert_eq!(interval.tick().await, start + ms(10));
        assert_eq!(interval.tick().await, start + ms(20));
    });
}

#[test]
fn one_of_ages_ticks_once() {
    paused(async {
        let mut interval = interval(Duration::MAX);
        interval.tick().await;
        assert!(timeout(Duration::from_secs(1 << 32), interval.tick()).await.is_err());
    });
}

#[test]
fn a_period_of_zero_is_refused() {
    for panic in [
        panic_of(|| run(async { drop(interval(Duration::ZERO)) })),
        panic_of(|| run(async { drop(interval_at(Instant::now(), Duration::ZERO)) })),
    ] {
        assert!(panic.contains("period that is not zero"), "{panic}");
    }
}

#[test]
fn real_ticks_are_not_early() {
    run(async {
        let start = Instant::now();
        let mut interval = interval(Duration::from_micros(300));
        for n in 0..10 {
            interval.tick().await;
            assert!(start.elapsed() >= Duration::from_micros(300) * n);
        }
    });
}
