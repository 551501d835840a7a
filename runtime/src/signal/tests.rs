//! Signals that the process sends to itself, each test its own.

// Clippy knows tests by their attribute; these are what the tests here share.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::sync::test_support::spawn;
use signal_hook::low_level::raise;
use std::future::Future;

fn run<F: Future>(future: F) -> F::Output {
    crate::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn every_stream_hears_and_what_came_meanwhile_is_one() {
    run(async {
        let kind = SignalKind::user_defined1();
        let (mut one, mut other) = (signal(kind).unwrap(), signal(kind).unwrap());
        let mut wait = spawn(one.recv());
        wait.expect_pending();
        for _ in 0..1000 {
            raise(kind.as_raw_value()).unwrap();
        }
        other.recv().await.unwrap();
        assert!(wait.was_woken());
        assert_eq!(wait.expect_ready(), Some(()));
        drop(wait);
        spawn(one.recv()).expect_pending();
        spawn(other.recv()).expect_pending();
        raise(kind.as_raw_value()).unwrap();
        one.recv().await.unwrap();
    });
}

#[test]
fn a_signal_is_kept_for_who_waits_next_and_streams_that_are_gone_are_missed_by_nobody() {
    run(async {
        let kind = SignalKind::user_defined2();
        let mut kept = signal(kind).unwrap();
        spawn(kept.recv()).expect_pending();
        drop(signal(kind).unwrap());
        raise(kind.as_raw_value()).unwrap();
        kept.recv().await.unwrap();
        drop(kept);
        // Nobody listens, and the process lives.
        raise(kind.as_raw_value()).unwrap();
    });
}

#[test]
fn ctrl_c_is_the_interrupt() {
    run(async {
        let mut wait = spawn(ctrl_c());
        wait.expect_pending();
        let mut own = signal(SignalKind::interrupt()).unwrap();
        raise(libc::SIGINT).unwrap();
        own.recv().await.unwrap();
        wait.expect_ready().unwrap();
    });
}

#[test]
fn what_can_not_be_handled_is_refused() {
    run(async {
        for number in [libc::SIGKILL, libc::SIGSTOP, libc::SIGSEGV, libc::SIGILL, libc::SIGFPE, 0, -1, 4711] {
            let error = signal(SignalKind::from_raw(number)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{number}: {error}");
        }
    });
}

#[test]
fn streams_end_with_their_runtime() {
    let runtime = crate::Builder::new_current_thread().enable_all().build().unwrap();
    let mut stream = {
        let _here = runtime.enter();
        signal(SignalKind::window_change()).unwrap()
    };
    let mut wait = spawn(stream.recv());
    wait.expect_pending();
    drop(runtime);
    assert!(wait.was_woken());
    assert_eq!(wait.expect_ready(), None);
}
