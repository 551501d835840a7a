//! Sockets as system calls see them: try; if the stack would block, join the socket's wait queue under the same lock.
//!
//! A task and a thread take the same path ([`attempt`]); they differ in the waker they leave. A poll is given its task's
//! waker and returns `Pending`; [`block`] leaves the waker of the thread's parker and parks.

use crate::event::Event;
use crate::host::busy_poll::busy_loop;
use crate::host::machine::{Machine, Time};
use crate::stack::effects::Effects;
use crate::stack::error::SocketError;
use crate::stack::shard::Stack;
use crate::stack::socket::SocketId;
use crate::stack::socket_wq::IN_RING;
use crate::syscall::Syscall;
use std::io;
use std::task::{Poll, Waker};
use std::time::Duration;
use wakeline_runtime::clock::Instant;
use wakeline_runtime::park::{might_sleep, with_thread_parker};
use wakeline_runtime::task::{is_awake, try_id};
use wakeline_runtime::wait_queue::{Events, Mode, Removed, WaitSlot};

/// One socket of one shard.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) host: &'a Machine,
    pub(crate) cpu: usize,
    pub(crate) id: SocketId,
}

/// How a caller waits if it must.
pub(crate) struct Waiting<'a> {
    pub(crate) waker: &'a Waker,
    pub(crate) slot: &'a mut WaitSlot,
    pub(crate) interest: Events,
    pub(crate) mode: Mode,
}

/// One try of a system call.
///
/// When it would block, the caller is in the socket's wait queue when this returns: the condition was tested and the
/// queue joined under one lock. Otherwise it has left the queue.
pub(crate) fn attempt<R>(
    place: Place<'_>,
    time: Time,
    waiting: Waiting<'_>,
    call: impl FnOnce(&mut Stack, SocketId, Instant, &mut Effects) -> Result<R, SocketError>,
) -> Poll<io::Result<R>> {
    let Waiting { waker, slot, interest, mode } = waiting;
    // Wakers that the list gave up; they drop when the lock is released.
    let (mut replaced, mut removed) = (None, Removed::Absent);
    let entered = |stack: &mut Stack, now: Instant, fx: &mut Effects| {
        // An operation of a ring stands in the queue, and nobody sleeps there.
        let sleeps = fx.tracer.is_listening() && !interest.contains(IN_RING);
        if sleeps && slot.is_set() && stack.wq(place.id).is_some_and(|wq| !wq.wait.is_waiting(slot)) {
            fx.tracer.emit(|| Event::SchedSwitch { to: what(interest), task: try_id() });
        }
        let result = call(stack, place.id, now, fx);
        let is_blocked = matches!(result, Err(SocketError::WouldBlock));
        // Who has not waited, and need not, has nothing to do with the queue.
        let wq = if is_blocked || slot.is_set() { stack.wq(place.id) } else { None };
        match (result, wq) {
            (Err(SocketError::WouldBlock), Some(wq)) => {
                wq.note_sleep(interest, true);
                replaced = wq.wait.join_sleeper(slot, waker, interest, mode, is_awake);
                if sleeps {
                    fx.tracer.emit(|| Event::SchedSleep { what: what(interest), task: try_id() });
                }
                Poll::Pending
            }
            (result, wq) => {
                if let Some(wq) = wq {
                    wq.note_sleep(interest, false);
                    removed = wq.wait.remove(slot);
                }
                *slot = WaitSlot::new();
                Poll::Ready(result.map_err(io::Error::from))
            }
        }
    };
    let polled = place.host.with_stack_at(place.cpu, time, entered);
    drop((replaced, removed));
    if polled.is_pending()
        && interest.intersects(Events::IN)
        && let Some(how) = place.host.busy_poll(place.cpu, place.id)
    {
        // What this brings is told to the waiter, who is in the queue.
        let _none = busy_loop(place.host, place.cpu, how, true, || Poll::<()>::Pending);
    }
    polled
}

fn what(interest: Events) -> &'static str {
    if interest.intersects(Events::IN) { "readable" } else { "writable" }
}

/// What a call gives that does not wait.
pub(crate) fn or_would_block<R>(polled: Poll<io::Result<R>>) -> io::Result<R> {
    match polled {
        Poll::Ready(result) => result,
        Poll::Pending => Err(SocketError::WouldBlock.into()),
    }
}

/// Leaves the wait queue of a socket. Says whether the waiter had been told and has not looked since.
pub(crate) fn release(place: Place<'_>, slot: &mut WaitSlot) -> bool {
    if !slot.is_set() {
        return false;
    }
    let removed = place.host.with_stack_recent(place.cpu, |stack, _, _| {
        let removed = stack.wq(place.id).map(|wq| {
            let removed = wq.wait.remove(slot);
            wq.note_gone();
            removed
        });
        *slot = WaitSlot::new();
        removed
    });
    removed.is_some_and(|removed| removed.is_told())
}

/// A system call of a task: told when it is begun, which is when its caller waits nowhere yet, and when it has a result.
#[inline]
pub(crate) fn told<T>(
    host: &Machine,
    (call, arg): (Syscall, usize),
    is_new: bool,
    poll: impl FnOnce() -> Poll<io::Result<T>>,
    count: impl FnOnce(&T) -> usize,
) -> Poll<io::Result<T>> {
    if is_new {
        host.tracer.enter_call(call, arg);
    }
    match poll() {
        Poll::Pending => Poll::Pending,
        Poll::Ready(result) => Poll::Ready(host.tracer.exit_call(call, result, count)),
    }
}

/// A system call that a task has tried, and does not wait for.
pub(crate) fn tell_would_block(host: &Machine, call: Syscall) -> io::Error {
    host.tracer.emit(|| Event::SysExit { call, ret: -i64::from(libc::EAGAIN) });
    SocketError::WouldBlock.into()
}

/// A system call of a thread.
#[inline]
pub(crate) fn told_blocking<T>(
    host: &Machine,
    (call, arg): (Syscall, usize),
    f: impl FnOnce() -> io::Result<T>,
    count: impl FnOnce(&T) -> usize,
) -> io::Result<T> {
    host.tracer.enter_call(call, arg);
    host.tracer.exit_call(call, f(), count)
}

/// Blocks the calling thread: tries, and parks in the socket's wait queue while it would block.
///
/// # Errors
/// `WouldBlock` when `timeout` has passed, as `SO_RCVTIMEO` and `SO_SNDTIMEO` give it.
pub(crate) fn block<R>(
    timeout: Option<Duration>,
    mut call: impl FnMut(&Waker) -> Poll<io::Result<R>>,
) -> io::Result<R> {
    if timeout != Some(Duration::ZERO) {
        might_sleep();
    }
    with_thread_parker(|parker| {
        let waker = parker.waker();
        let deadline = timeout.and_then(|t| std::time::Instant::now().checked_add(t));
        loop {
            if let Poll::Ready(result) = call(&waker) {
                return result;
            }
            match deadline {
                None => parker.park(),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(std::time::Instant::now());
                    if !parker.park_timeout(left) {
                        return Err(SocketError::WouldBlock.into());
                    }
                }
            }
        }
    })
}
