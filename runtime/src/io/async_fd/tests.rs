//! Descriptors of others in the reactor.

// Clippy knows tests by their attribute; these are what the tests here share.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::sync::test_support::spawn;
use std::future::{Future, poll_fn};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

fn run<F: Future>(future: F) -> F::Output {
    crate::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// The end that is watched, and the far one.
fn pair() -> (AsyncFd<UnixStream>, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    far.set_nonblocking(true).unwrap();
    (AsyncFd::new(near).unwrap(), far)
}

fn read(fd: &AsyncFd<UnixStream>) -> io::Result<usize> {
    fd.get_ref().read(&mut [0; 64])
}

#[test]
fn a_guard_tells_and_clears_only_when_told_to() {
    run(async {
        let (near, mut far) = pair();
        far.write_all(b"abc").unwrap();
        let guard = near.readable().await.unwrap();
        assert!(guard.ready().intersects(Events::IN) && !guard.ready().intersects(Events::OUT));
        drop(guard);
        // Dropped without a word: it is still known to be readable.
        let mut guard = near.readable().await.unwrap();
        assert_eq!(guard.try_io(read).unwrap().unwrap(), 3);
        assert!(guard.try_io(read).is_err(), "nothing is left, and the guard clears");
        assert!(guard.ready().is_empty());
        let mut wait = spawn(near.readable());
        assert!(wait.poll().is_pending());
        drop(wait);
        far.write_all(b"d").unwrap();
        let mut guard = near.readable().await.unwrap();
        guard.clear_ready();
        assert!(spawn(near.readable()).poll().is_pending(), "cleared by its owner");
    });
}

#[test]
fn an_event_that_came_after_the_guard_is_not_cleared_by_it() {
    run(async {
        let (near, mut far) = pair();
        far.write_all(b"a").unwrap();
        let mut guard = near.readable().await.unwrap();
        assert_eq!(guard.try_io(read).unwrap().unwrap(), 1);
        far.write_all(b"b").unwrap();
        // The reactor takes the event of the second write.
        crate::yield_now().await;
        crate::time::sleep(std::time::Duration::from_millis(1)).await;
        guard.clear_ready();
        assert_eq!(near.async_io(Events::READABLE, |mut io| io.read(&mut [0; 8])).await.unwrap(), 1);
    });
}

#[test]
fn closing_stays_when_readiness_is_cleared() {
    run(async {
        let (near, far) = pair();
        drop(far);
        let mut guard = near.readable().await.unwrap();
        guard.clear_ready();
        let guard = near.readable().await.unwrap();
        assert!(guard.ready().intersects(Events::RDHUP));
        assert_eq!(read(&near).unwrap(), 0);
        assert!(near.writable().await.unwrap().ready().intersects(Events::HUP));
    });
}

#[test]
fn one_direction_of_a_guard_about_both_is_cleared_alone() {
    run(async {
        let (near, mut far) = pair();
        far.write_all(b"a").unwrap();
        near.readable().await.unwrap().retain_ready();
        let mut guard = near.ready(BOTH).await.unwrap();
        assert_eq!(guard.ready() & BOTH, Events::IN | Events::OUT);
        guard.clear_ready_matching(Events::READABLE);
        assert_eq!(guard.ready() & BOTH, Events::OUT);
        assert!(spawn(near.readable()).poll().is_pending());
        assert!(spawn(near.writable()).poll().is_ready());
    });
}

#[test]
fn try_io_waits_for_nobody_and_tells_of_both_reasons() {
    run(async {
        let (mut near, mut far) = pair();
        let not_known = near.try_io(Events::READABLE, |_| -> io::Result<()> { unreachable!("it is not ready") });
        assert_eq!(not_known.unwrap_err().kind(), ErrorKind::WouldBlock);
        far.write_all(b"abc").unwrap();
        near.readable().await.unwrap().retain_ready();
        assert_eq!(near.try_io_mut(Events::READABLE, |io| io.read(&mut [0; 8])).unwrap(), 3);
        let drained = near.try_io(Events::READABLE, |mut io| io.read(&mut [0; 8]));
        assert_eq!(drained.unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(
            near.try_io(Events::WRITABLE, |_| Err::<(), _>(ErrorKind::Other.into())).unwrap_err().kind(),
            ErrorKind::Other
        );
        far.write_all(b"abc").unwrap();
        assert_eq!(near.async_io_mut(Events::READABLE, |io| io.read(&mut [0; 8])).await.unwrap(), 3);
        let mut guard = near.writable_mut().await.unwrap();
        assert_eq!(guard.try_io(|fd| fd.get_mut().write(b"x")).unwrap().unwrap(), 1);
        assert!(guard.get_inner_mut().take_error().unwrap().is_none());
    });
}

#[test]
fn who_polls_last_is_woken_and_the_directions_are_apart() {
    run(async {
        let (near, mut far) = pair();
        let mut guard = near.writable().await.unwrap();
        while near.get_ref().write(&[0; 4096]).is_ok() {}
        guard.clear_ready();
        let poll_read = || poll_fn(|cx| near.poll_read_ready(cx).map_ok(|guard| guard.ready()));
        let (mut first, mut last) = (spawn(poll_read()), spawn(poll_read()));
        let mut writer = spawn(poll_fn(|cx| near.poll_write_ready(cx).map_ok(|guard| guard.ready())));
        assert!(first.poll().is_pending() && last.poll().is_pending() && writer.poll().is_pending());
        far.write_all(b"x").unwrap();
        near.readable().await.unwrap().retain_ready();
        assert!(last.was_woken() && !first.was_woken() && !writer.was_woken());
        assert!(last.poll().is_ready());
        while far.read(&mut [0; 4096]).is_ok() {}
        near.writable().await.unwrap().retain_ready();
        assert!(writer.was_woken());
    });
}

#[test]
fn any_owner_of_a_descriptor_will_do_and_gets_it_back() {
    run(async {
        let (near, mut far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let borrowed = AsyncFd::with_interest(near.as_raw_fd(), Events::READABLE).unwrap();
        far.write_all(b"x").unwrap();
        borrowed.readable().await.unwrap().retain_ready();
        assert!(spawn(borrowed.writable()).poll().is_pending(), "nobody asked to be told of it");
        let twice = AsyncFd::try_new(near.as_raw_fd()).unwrap_err();
        let (fd, cause) = twice.into_parts();
        assert_eq!((fd, cause.kind()), (near.as_raw_fd(), ErrorKind::AlreadyExists));
        drop(borrowed);
        let owned = AsyncFd::new(OwnedFd::from(near)).unwrap();
        owned.readable().await.unwrap().retain_ready();
        let mut back = UnixStream::from(owned.into_inner());
        assert_eq!(back.read(&mut [0; 8]).unwrap(), 1);

        let file = tempfile();
        let refused = AsyncFd::try_new(file).unwrap_err();
        assert_eq!(io::Error::from(refused).kind(), ErrorKind::PermissionDenied);
        assert_eq!(
            AsyncFd::with_interest(back, Events::PRI & Events::ERR).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    });
}

fn tempfile() -> std::fs::File {
    std::fs::File::open(std::env::current_exe().unwrap()).unwrap()
}

#[test]
fn waiters_hear_that_the_runtime_ends() {
    let runtime = crate::Builder::new_current_thread().enable_all().build().unwrap();
    let (near, _far) = {
        let _here = runtime.enter();
        pair()
    };
    let mut wait = spawn(async { near.readable().await.map(drop) });
    wait.expect_pending();
    drop(runtime);
    assert!(wait.was_woken());
    let error = wait.expect_ready().unwrap_err();
    assert!(error.to_string().contains("shutting down"), "{error}");
    assert!(near.try_io(Events::READABLE, |_| Ok(())).is_err());
}
