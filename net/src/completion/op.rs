//! One operation: it is tried when it is submitted, and again whenever the socket wakes it, by whoever brought the news.
//!
//! Whose turn it is, `turn.rs` says. What is being worked with (buffer, count, places in wait queues) lies there while the operation
//! is idle, and with whoever is at it while it is busy. So the lock is held for a few instructions, and never while a socket is
//! entered or a completion is told.

use crate::api::tcp::TcpStream;
use crate::completion::entry::Completion;
use crate::completion::shared::Shared;
use crate::completion::timeout::{Timeout, Until};
use crate::completion::turn::{Rested, Turn};
use crate::host::machine::Time;
use crate::host::socket::file::{Places, SocketFile};
use crate::host::socket::tcp as emulated;
use crate::stack::effects::Effects;
use crate::stack::shard::Stack;
use crate::stack::socket_wq::IN_RING;
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use wakeline_runtime::wait_queue::{Events, Mode, WaitSlot};

/// See the [module](self).
pub(super) struct Op {
    pub(super) user_data: u64,
    number: usize,
    ring: Arc<Shared>,
    state: Mutex<State>,
}

struct State {
    turn: Turn<Work>,
    /// What begins when this has succeeded, and is cancelled when it has not (`IOSQE_IO_LINK`).
    next: Option<Arc<Op>>,
    /// What ends this when it takes too long, and ends with it (`IORING_OP_LINK_TIMEOUT`).
    guard: Option<Arc<Op>>,
    /// The time of what is a timeout is over.
    is_due: bool,
}

/// What is to be done, and how far it is.
pub(super) enum Work {
    /// Received bytes go into the buffer.
    Recv { file: SocketFile, places: Places, buf: Vec<u8> },
    /// The same, again and again, into buffers of a group.
    RecvMany { file: SocketFile, places: Places, group: u16 },
    /// All of the buffer is sent; so much of it has been.
    Send { file: SocketFile, places: Places, buf: Vec<u8>, sent: usize },
    /// A datagram goes into the buffer.
    RecvFrom { file: SocketFile, places: Places, buf: Vec<u8> },
    /// A connection is accepted; with `many`, again and again.
    Accept { file: SocketFile, places: Places, many: bool },
    /// The stream becomes connected.
    Connect { stream: Option<emulated::TcpStream>, slot: WaitSlot },
    /// Time passes.
    Timeout(Timeout),
}

/// What a try has led to.
enum Tried {
    /// The socket has nothing; it will wake the operation.
    Waits,
    /// The operation is over.
    Over(Completion),
    /// It has given something, and goes on.
    Gave(Completion),
}

/// How it was left.
#[derive(PartialEq, Eq)]
enum Rest {
    Quiet,
    /// Somebody called while it was busy.
    Called,
    Over,
}

/// Who has brought an operation forward.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// Whoever submitted it.
    Submit,
    /// Whoever brought the news to the socket: the softirq side.
    Wake,
    /// The timer of a timeout.
    Timer,
    /// Whoever cancelled it.
    Cancel,
}

impl Op {
    pub(super) fn new(ring: Arc<Shared>, number: usize, user_data: u64, work: Option<Work>) -> Arc<Op> {
        let state = State::new(Turn::idle(work));
        Arc::new(Op { user_data, number, ring, state: Mutex::new(state) })
    }

    /// One whose maker is at work on it, and says how it went with [`Op::hand_over`] or [`Shared::finish`].
    pub(super) fn at_work(ring: Arc<Shared>, number: usize, user_data: u64) -> Arc<Op> {
        let state = State::new(Turn::busy());
        Arc::new(Op { user_data, number, ring, state: Mutex::new(state) })
    }

    /// `next` begins when this is over. Called before either has begun.
    pub(super) fn link(&self, next: Arc<Op>) {
        self.state.lock().next = Some(next);
    }

    /// `guard` is a timeout for this. Called before either has begun.
    pub(super) fn guard(&self, guard: Arc<Op>) {
        self.state.lock().guard = Some(guard);
    }

    /// The time of this timeout is over.
    pub(super) fn expire(self: &Arc<Self>) {
        self.state.lock().is_due = true;
        self.run(By::Wake);
    }

    /// The maker leaves the rest to the socket.
    pub(super) fn hand_over(self: &Arc<Self>, work: Work) {
        if self.rest(work) != Rest::Over {
            self.run(By::Submit);
        }
    }

    /// The maker is done with all of it.
    pub(super) fn done(&self, completion: Completion) {
        self.state.lock().turn.end();
        self.ring.finish(self.number, completion, By::Submit);
    }

    /// Brings the operation forward, and, if it is over, those that are linked to it.
    pub(super) fn run(self: &Arc<Self>, by: By) {
        let mut next = self.bring_forward(by);
        while let Some(op) = next {
            next = op.bring_forward(by);
        }
    }

    /// Tries, until the socket has nothing more for it or it is over. Gives what is to begin then.
    fn bring_forward(self: &Arc<Self>, by: By) -> Option<Arc<Op>> {
        let waker = Waker::from(self.clone());
        while let Some(mut work) = self.begin() {
            if let Work::Timeout(timeout) = &mut work {
                timeout.start(self);
            }
            let more = match work.attempt(&waker, self.user_data, &self.ring) {
                Tried::Waits => false,
                Tried::Over(last) => return self.end(work, last, by),
                Tried::Gave(completion) => match self.ring.give(completion, by) {
                    None => true,
                    // There is no room for another one, so this is the last.
                    Some(last) => return self.end(work, last, by),
                },
            };
            match self.rest(work) {
                Rest::Quiet if !more => {
                    self.set_guard();
                    return None;
                }
                Rest::Over => return None,
                // Somebody called while it was busy and went; or there may be more.
                Rest::Quiet | Rest::Called => {}
            }
        }
        None
    }

    /// It waits: its timeout begins.
    fn set_guard(&self) {
        let guard = self.state.lock().guard.clone();
        if let Some(guard) = guard {
            guard.run(By::Submit);
        }
    }

    /// Takes the work in hand, unless somebody has it, who will then try once more.
    fn begin(&self) -> Option<Work> {
        let mut state = self.state.lock();
        let mut work = state.turn.begin()?;
        if let Work::Timeout(timeout) = &mut work {
            timeout.is_due |= state.is_due;
        }
        Some(work)
    }

    /// Puts the work down.
    fn rest(&self, work: Work) -> Rest {
        let rested = self.state.lock().turn.rest(work);
        match rested {
            Rested::Quiet => Rest::Quiet,
            Rested::Called => Rest::Called,
            Rested::Cancelled(mut work) => {
                let completion = work.cancelled(self.user_data);
                self.end_cancelled(work, completion);
                Rest::Over
            }
        }
    }

    /// Leaves the wait queues, and tells. Gives what is to begin now; if this has failed, that is cancelled, and so on.
    fn end(&self, mut work: Work, completion: Completion, by: By) -> Option<Arc<Op>> {
        let (next, guard) = {
            let mut state = self.state.lock();
            state.turn.end();
            (state.next.take(), state.guard.take())
        };
        let is_severed = work.has_failed(&completion);
        work.leave();
        self.tell(work, completion, by);
        if let Some(guard) = guard {
            guard.cancel();
        }
        if !is_severed {
            return next;
        }
        let mut severed = next;
        while let Some(op) = severed {
            severed = op.sever();
        }
        None
    }

    /// What was sent before it was cancelled may count as success, and yet nothing begins any more.
    fn end_cancelled(&self, work: Work, completion: Completion) {
        let mut next = self.end(work, completion, By::Cancel);
        while let Some(op) = next {
            next = op.sever();
        }
    }

    /// The operation before this one has failed. Gives the one behind it.
    fn sever(&self) -> Option<Arc<Op>> {
        let (next, guard, mut work) = {
            let mut state = self.state.lock();
            // Somebody else may have cancelled it before: then he has seen to those behind it.
            let work = state.turn.sever()?;
            (state.next.take(), state.guard.take(), work)
        };
        let completion = work.cancelled(self.user_data);
        self.tell(work, completion, By::Cancel);
        if let Some(guard) = guard {
            guard.cancel();
        }
        next
    }

    /// Tells of its end.
    fn tell(&self, work: Work, completion: Completion, by: By) {
        if let Work::Timeout(timeout) = &work {
            self.ring.finish_timeout(self.number, completion, by.of_timeout(timeout.is_due), &timeout.until);
        } else {
            // A stream that was not handed out closes here.
            drop(work);
            self.ring.finish(self.number, completion, by);
        }
    }

    /// Ends the operation and those that are linked to it, unless it is over already. If somebody is at it, that one ends it.
    pub(super) fn cancel(&self) {
        let work = self.state.lock().turn.cancel();
        if let Some(mut work) = work {
            let completion = work.cancelled(self.user_data);
            self.end_cancelled(work, completion);
        }
    }
}

impl State {
    fn new(turn: Turn<Work>) -> State {
        State { turn, next: None, guard: None, is_due: false }
    }
}

impl Wake for Op {
    fn wake(self: Arc<Self>) {
        self.run(By::Wake);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.run(By::Wake);
    }
}

impl Work {
    /// One try.
    fn attempt(&mut self, waker: &Waker, user_data: u64, ring: &Shared) -> Tried {
        match self {
            Work::Recv { file, places, buf } => {
                let polled = recv(file, places, waker, buf);
                over(polled, |result| Completion::new(user_data, result).with_buffer(std::mem::take(buf)))
            }
            Work::RecvMany { file, places, group } => {
                let Some(mut buf) = ring.take_buffer(*group) else {
                    return Tried::Over(Completion::new(user_data, Err(errno(libc::ENOBUFS))));
                };
                match recv(file, places, waker, &mut buf) {
                    Poll::Ready(Ok(n)) if n > 0 => Tried::Gave(Completion::new(user_data, Ok(n)).with_buffer(buf)),
                    polled => {
                        ring.give_buffer(*group, buf);
                        over(polled, |end| Completion::new(user_data, end))
                    }
                }
            }
            Work::Send { file, places, buf, sent } => {
                let result = loop {
                    match send(file, places, waker, &buf[*sent..]) {
                        Poll::Pending => return Tried::Waits,
                        Poll::Ready(Ok(n)) if *sent + n < buf.len() => *sent += n,
                        Poll::Ready(Ok(n)) => break Ok(*sent + n),
                        Poll::Ready(Err(_)) if *sent > 0 => break Ok(*sent),
                        Poll::Ready(Err(error)) => break Err(error),
                    }
                };
                Tried::Over(Completion::new(user_data, result).with_buffer(std::mem::take(buf)))
            }
            Work::RecvFrom { file, places, buf } => {
                let polled = file.attempt(EXCLUSIVE, waker, places, Events::READABLE | IN_RING, |stack, id, _, _| {
                    stack.udp_recv_from(id, buf, false)
                });
                over(polled, |result| {
                    let peer = result.as_ref().ok().map(|&(_, (_, peer))| peer);
                    let done = Completion::new(user_data, result.map(|(_, (n, _))| n));
                    Completion { peer, ..done.with_buffer(std::mem::take(buf)) }
                })
            }
            Work::Accept { file, places, many } => {
                let accept = |stack: &mut Stack, id, _, _: &mut Effects| stack.tcp_accept(id);
                match file.attempt(EXCLUSIVE, waker, places, Events::READABLE | IN_RING, accept) {
                    Poll::Pending => Tried::Waits,
                    Poll::Ready(Err(error)) => Tried::Over(Completion::new(user_data, Err(error))),
                    Poll::Ready(Ok((cpu, (id, peer)))) => {
                        let stream = emulated::TcpStream::accepted(file.host().clone(), cpu, id);
                        let (stream, peer) = (Some(TcpStream::of_emulated(stream)), Some(peer));
                        let completion = Completion { stream, peer, ..Completion::new(user_data, Ok(0)) };
                        if *many { Tried::Gave(completion) } else { Tried::Over(completion) }
                    }
                }
            }
            Work::Connect { stream, slot } => {
                let polled = match stream {
                    Some(stream) => stream.poll_connected(&mut Context::from_waker(waker), slot),
                    None => Poll::Ready(Err(errno(libc::EBADF))),
                };
                over(polled, |result| {
                    let stream = stream.take().filter(|_| result.is_ok()).map(TcpStream::of_emulated);
                    Completion { stream, ..Completion::new(user_data, result.map(|()| 0)) }
                })
            }
            Work::Timeout(timeout) if timeout.is_due => {
                timeout.strike();
                Tried::Over(Completion::new(user_data, Err(errno(libc::ETIME))))
            }
            Work::Timeout(timeout) => match timeout.until {
                Until::Told(count) if ring.has_told(count) => Tried::Over(Completion::new(user_data, Ok(0))),
                _ => Tried::Waits,
            },
        }
    }

    /// The buffer that came with it.
    pub(super) fn into_buffer(self) -> Option<Vec<u8>> {
        match self {
            Work::Recv { buf, .. } | Work::Send { buf, .. } | Work::RecvFrom { buf, .. } => Some(buf),
            Work::RecvMany { .. } | Work::Accept { .. } | Work::Connect { .. } | Work::Timeout(_) => None,
        }
    }

    /// Leaves the wait queues. Who waits for one of many, and was told, tells the next.
    fn leave(&mut self) {
        match self {
            Work::Recv { file, places, .. } | Work::RecvMany { file, places, .. } | Work::Send { file, places, .. } => {
                file.leave(places);
            }
            Work::RecvFrom { file, places, .. } | Work::Accept { file, places, .. } => file.release(places),
            Work::Connect { stream, slot } => {
                if let Some(stream) = stream {
                    stream.release(slot);
                }
            }
            Work::Timeout(_) => {}
        }
    }

    /// Whether what is linked to it does not begin: it has failed, or sent less than it should (`req_set_fail`).
    fn has_failed(&self, completion: &Completion) -> bool {
        let whole = completion.buffer.as_ref().map_or(0, Vec::len);
        completion.result.as_ref().map_or(true, |&n| matches!(self, Work::Send { .. }) && n < whole)
    }

    /// What is told of it when it is cancelled. What was sent was sent.
    fn cancelled(&mut self, user_data: u64) -> Completion {
        let result = match self {
            Work::Send { sent, .. } if *sent > 0 => Ok(*sent),
            _ => Err(errno(libc::ECANCELED)),
        };
        let completion = Completion::new(user_data, result);
        match self {
            Work::Recv { buf, .. } | Work::Send { buf, .. } | Work::RecvFrom { buf, .. } => {
                completion.with_buffer(std::mem::take(buf))
            }
            _ => completion,
        }
    }
}

/// One waiter for each event.
const EXCLUSIVE: (Time, Mode) = (Time::Recent, Mode::Exclusive);

fn recv(file: &SocketFile, places: &mut Places, waker: &Waker, buf: &mut [u8]) -> Poll<io::Result<usize>> {
    let interest = Events::READABLE | Events::RDHUP | IN_RING;
    let call = |stack: &mut Stack, id, now, fx: &mut Effects| emulated::recv(stack, id, now, buf, fx);
    file.attempt((Time::Recent, Mode::Shared), waker, places, interest, call).map_ok(|(_, n)| n)
}

fn send(file: &SocketFile, places: &mut Places, waker: &Waker, buf: &[u8]) -> Poll<io::Result<usize>> {
    let call = |stack: &mut Stack, id, now, fx: &mut Effects| emulated::send(stack, id, now, buf, fx);
    file.attempt((Time::Now, Mode::Shared), waker, places, Events::WRITABLE | IN_RING, call).map_ok(|(_, n)| n)
}

/// What is over once there is a result.
fn over<R>(polled: Poll<io::Result<R>>, tell: impl FnOnce(io::Result<R>) -> Completion) -> Tried {
    match polled {
        Poll::Pending => Tried::Waits,
        Poll::Ready(result) => Tried::Over(tell(result)),
    }
}

fn errno(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}
