//! Event against clear against registration, under every interleaving that loom can make.

use super::*;
use crate::park::Parker;
use loom::sync::Arc;
use loom::sync::atomic::AtomicUsize;
use loom::thread;

/// A socket of which the test is the kernel: bytes come, and each coming is told as an event.
struct Socket {
    state: SourceState,
    bytes: AtomicUsize,
}

impl Socket {
    fn new() -> Socket {
        Socket { state: SourceState::new(), bytes: AtomicUsize::new(0) }
    }

    /// The kernel: a byte comes, then the event.
    fn receive(&self) {
        self.bytes.fetch_add(1, Ordering::AcqRel);
        let mut batch = WakeBatch::new();
        self.state.set(Events::IN, &mut batch);
        batch.wake_all();
    }

    fn take(&self) -> bool {
        self.bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1)).is_ok()
    }

    /// What `Source::poll_io` does, with a thread in the place of the task. A lost wake-up is a deadlock.
    fn read(&self, drained: bool) {
        let parker = Parker::new();
        let waker = parker.waker();
        let mut slot = WaitSlot::new();
        loop {
            match self.state.look_or_wait(&waker, &mut slot, Events::READABLE).expect("the driver is there") {
                None => parker.park(),
                Some(ready) if self.take() => {
                    if drained {
                        self.state.clear_drained(ready, Events::READABLE);
                    }
                    self.state.release(&mut slot);
                    return;
                }
                Some(ready) => self.state.clear(ready, Events::READABLE),
            }
        }
    }
}

/// Without a bound on preemptions these models take minutes.
fn with_preemptions(at_most: usize) -> loom::model::Builder {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(at_most);
    model
}

#[test]
fn loom_an_event_is_never_cleared_unseen() {
    with_preemptions(5).check(|| {
        let socket = Arc::new(Socket::new());
        let kernel = {
            let socket = socket.clone();
            thread::spawn(move || {
                socket.receive();
                socket.receive();
            })
        };
        socket.read(false);
        socket.read(false);
        kernel.join().unwrap();
    });
}

/// The early clear after a short read: the read took the last byte that it saw, and another one comes.
#[test]
fn loom_an_early_clear_loses_no_byte() {
    with_preemptions(5).check(|| {
        let socket = Arc::new(Socket::new());
        let kernel = {
            let socket = socket.clone();
            thread::spawn(move || {
                socket.receive();
                socket.receive();
            })
        };
        // Not drained: it takes one of perhaps two. The second is, if it finds one at all.
        socket.read(false);
        socket.read(true);
        assert!(!socket.take());
        kernel.join().unwrap();
        socket.receive();
        socket.read(true);
    });
}

#[test]
fn loom_two_readers_share_two_bytes() {
    with_preemptions(2).check(|| {
        let socket = Arc::new(Socket::new());
        let kernel = {
            let socket = socket.clone();
            thread::spawn(move || {
                socket.receive();
                socket.receive();
            })
        };
        let other = {
            let socket = socket.clone();
            thread::spawn(move || socket.read(false))
        };
        socket.read(false);
        other.join().unwrap();
        kernel.join().unwrap();
    });
}

#[test]
fn loom_shutdown_reaches_a_waiter() {
    loom::model(|| {
        let state = Arc::new(SourceState::new());
        let driver = {
            let state = state.clone();
            thread::spawn(move || {
                let mut batch = WakeBatch::new();
                state.shutdown(&mut batch);
                batch.wake_all();
            })
        };
        let parker = Parker::new();
        let waker = parker.waker();
        let mut slot = WaitSlot::new();
        while state.look_or_wait(&waker, &mut slot, Events::READABLE).is_ok() {
            parker.park();
        }
        driver.join().unwrap();
    });
}
