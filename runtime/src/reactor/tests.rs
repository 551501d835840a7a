//! The table of sources and the word of each.

use super::*;
use crate::wait_queue::WaitSlot;
use mio::net::UnixStream;
use std::io::Write;
use std::task::Waker;

fn poll(poller: &mut Poller, reactor: &ReactorHandle) -> usize {
    let mut batch = WakeBatch::new();
    poller.poll(reactor, Some(Duration::ZERO), &mut batch);
    batch.len()
}

fn registration(registered: Registered) -> (Registration, bool) {
    match registered {
        Registered::First(registration) => (registration, true),
        Registered::Another(registration) => (registration, false),
    }
}

#[test]
fn only_the_first_source_is_first() {
    let (_poller, reactor) = Poller::new(|_, _| None).unwrap();
    let (mut a, mut b) = UnixStream::pair().unwrap();
    let (first, is_first) = registration(reactor.register(&mut a, Interest::READABLE).unwrap());
    assert!(is_first);
    let (second, is_first) = registration(reactor.register(&mut b, Interest::READABLE).unwrap());
    assert!(!is_first);
    reactor.deregister(&first, &mut a).unwrap();
    assert!(reactor.has_sources());
    reactor.deregister(&second, &mut b).unwrap();
    assert!(!reactor.has_sources());
    let (_, is_first) = registration(reactor.register(&mut a, Interest::READABLE).unwrap());
    assert!(is_first, "again");
}

#[test]
fn a_late_event_does_not_reach_the_next_tenant() {
    let (mut poller, reactor) = Poller::new(|_, _| None).unwrap();
    let (mut ours, mut theirs) = UnixStream::pair().unwrap();
    let (first, _) = registration(reactor.register(&mut ours, Interest::READABLE).unwrap());
    theirs.write_all(b"!").unwrap();
    // The operating system has told, but the event is not handed out before the source has changed hands.
    poller.poll.poll(&mut poller.events, Some(Duration::ZERO)).unwrap();
    reactor.deregister(&first, &mut ours).unwrap();
    let (mut other, _peer) = UnixStream::pair().unwrap();
    let (second, _) = registration(reactor.register(&mut other, Interest::READABLE).unwrap());
    assert_eq!(first.index, second.index);
    let mut batch = WakeBatch::new();
    reactor.hand_out(&poller.events, &mut batch);
    assert_eq!(second.state().look(Events::READABLE).unwrap(), None);
    assert_eq!(first.state().look(Events::READABLE).unwrap(), None);
}

#[test]
fn a_source_that_the_system_refuses_leaves_no_trace() {
    let (_poller, reactor) = Poller::new(|_, _| None).unwrap();
    // A regular file can not be polled.
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
    assert!(reactor.register(&mut mio::unix::SourceFd(&fd), Interest::READABLE).is_err());
    assert!(!reactor.has_sources());
}

#[test]
fn readiness_is_cleared_only_as_far_as_it_was_seen() {
    let state = SourceState::new();
    let mut batch = WakeBatch::new();
    state.set(Events::IN | Events::OUT, &mut batch);
    let seen = state.look(Events::READABLE).unwrap().expect("it was told");
    assert_eq!(seen.events, Events::IN);
    state.set(Events::IN, &mut batch);
    state.clear(seen, Events::READABLE);
    let again = state.look(Events::READABLE).unwrap().expect("another event has come since");
    state.clear(again, Events::READABLE);
    assert_eq!(state.look(Events::READABLE).unwrap(), None);
    assert!(state.look(Events::WRITABLE).unwrap().is_some(), "the other direction is untouched");
}

#[test]
fn a_short_read_leaves_the_end_of_the_stream() {
    let state = SourceState::new();
    let mut batch = WakeBatch::new();
    state.set(Events::IN | Events::RDHUP, &mut batch);
    let seen = state.look(Events::READABLE).unwrap().unwrap();
    state.clear_drained(seen, Events::READABLE);
    let left = state.look(Events::READABLE).unwrap().expect("no other event will tell of the end");
    assert_eq!(left.events, Events::RDHUP);
    state.clear(left, Events::READABLE);
    assert_eq!(state.look(Events::READABLE).unwrap(), None, "an operation that would block is believed");
}

#[test]
fn an_event_wakes_only_whom_it_concerns() {
    let state = SourceState::new();
    let (mut reader, mut writer) = (WaitSlot::new(), WaitSlot::new());
    let told = |events: Events| {
        let mut batch = WakeBatch::new();
        state.set(events, &mut batch);
        batch.len()
    };
    assert_eq!(state.look_or_wait(Waker::noop(), &mut reader, Events::READABLE).unwrap(), None);
    assert_eq!(state.look_or_wait(Waker::noop(), &mut writer, Events::WRITABLE).unwrap(), None);
    assert_eq!(told(Events::OUT), 1);
    assert_eq!(told(Events::OUT), 0, "it has been told");
    assert_eq!(told(Events::RDHUP), 1);
}

#[test]
fn peers_closing_is_readable_and_told_once_each() {
    let (mut poller, reactor) = Poller::new(|_, _| None).unwrap();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let (source, _) = registration(reactor.register(&mut ours, Interest::READABLE).unwrap());
    let mut slot = WaitSlot::new();
    assert_eq!(source.state().look_or_wait(Waker::noop(), &mut slot, Events::READABLE).unwrap(), None);
    drop(theirs);
    assert_eq!(poll(&mut poller, &reactor), 1);
    let ready = source.state().look(Events::READABLE).unwrap().unwrap();
    assert!(ready.events.contains(Events::IN | Events::RDHUP), "{:?}", ready.events);
    assert_eq!(poll(&mut poller, &reactor), 0, "edge-triggered");
}

#[test]
fn the_alarm_ends_a_poll_in_time_and_only_then() {
    let (mut poller, reactor) = Poller::new(|_, _| None).unwrap();
    let mut batch = WakeBatch::new();
    for micros in [200, 3000, 300, 1500, 100] {
        let (start, wait) = (std::time::Instant::now(), Duration::from_micros(micros));
        let mut polls = 0;
        while start.elapsed() < wait {
            poller.poll(&reactor, Some(wait.saturating_sub(start.elapsed())), &mut batch);
            polls += 1;
        }
        // Its own end, and that of an alarm that was left standing.
        assert!(polls <= 3, "{polls} polls for {micros} us");
    }
}
