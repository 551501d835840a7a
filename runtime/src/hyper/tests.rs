//! hyper's timer under a paused clock, and hyper's reading.

// Clippy knows tests by their attribute; these are what the tests here share.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::io::duplex;
use crate::sync::test_support::now;
use hyper::rt::{Read, ReadBuf, Timer, Write};
use std::future::poll_fn;

#[test]
fn the_timer_goes_by_the_clock_of_the_runtime() {
    let runtime = crate::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let timer = HyperTimer::new();
        let began = timer.now();
        timer.sleep(Duration::from_secs(3600)).await;
        assert_eq!(timer.now() - began, Duration::from_secs(3600));
        let mut sleep = timer.sleep_until(began);
        timer.reset(&mut sleep, began + Duration::from_secs(7200));
        sleep.await;
        assert_eq!(timer.now() - began, Duration::from_secs(7200));
    });
}

#[test]
fn a_deadline_that_has_passed_is_heard_of_by_either_clock() {
    for paused in [false, true] {
        let runtime = crate::Builder::new_current_thread().enable_all().start_paused(paused).build().unwrap();
        runtime.block_on(async {
            let timer = HyperTimer::new();
            let began = timer.now();
            timer.sleep(Duration::from_millis(2)).await;
            timer.sleep_until(began).await;
            timer.sleep_until(began + Duration::from_millis(1)).await;
            assert!(timer.now() >= began + Duration::from_millis(2));
        });
    }
}

#[test]
fn bytes_are_read_into_what_the_cursor_has_left() {
    let (mut one, mut other) = duplex(1 << 20);
    let sent = vec![7; 100_000];
    let n = now(poll_fn(|cx| Write::poll_write(Pin::new(&mut one), cx, &sent))).unwrap();
    assert_eq!(n, sent.len());
    assert!(Write::is_write_vectored(&one));
    now(poll_fn(|cx| Write::poll_shutdown(Pin::new(&mut one), cx))).unwrap();
    let mut room = vec![0; 200_000];
    let mut buf = ReadBuf::new(&mut room);
    let mut reads = 0;
    while {
        let before = buf.filled().len();
        now(poll_fn(|cx| Read::poll_read(Pin::new(&mut other), cx, buf.unfilled()))).unwrap();
        reads += 1;
        buf.filled().len() > before
    } {}
    assert!(buf.filled() == sent);
    assert_eq!(reads, 3, "64 KiB, the rest, the end");
}
