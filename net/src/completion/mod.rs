//! The completion model over emulated sockets, in the shape of `io_uring`: what is to be done goes in, what is done comes out.
//!
//! # How it differs from all the others
//! A [`Ring`] takes operations with buffers that it owns from then on. What the socket has is moved at once; otherwise the
//! operation waits in the socket's wait queue, and *whoever brings the news*, which is the softirq side, moves the bytes and
//! puts a [`Completion`] into the ring's queue. The program sleeps on the ring, is woken when as many completions are there as it
//! asked for, and finds the work done. It alone of all who wait is never told to try again: in the other models a wake-up says
//! that a call would not wait, and here there is no call left to make.
//!
//! # Bounds
//! A ring has room for so many completions, and each operation has a place there from the beginning. When all places are
//! taken, submitting fails with `EBUSY`; nothing that is done is ever lost for room. A multishot operation of which another
//! completion would not fit ends with this one ([`Completion::more`] says so), and what comes later stays in the socket.
//!
//! # Ownership
//! Every buffer comes back: with its operation's completion, or with the refusal. An operation does not keep its socket open:
//! when that is dropped, the operation ends with `EBADF`. To take everything back, call [`Ring::shut_down`] and take
//! completions until [`Ring::is_idle`]; what a program leaves in a ring that it drops is gone, and nothing else is.
//!
//! # Differences from Linux
//! - Submitting is a function call, so there is no submission queue. What is to be done one after the other is a [`Chain`].
//! - A send is over when all of it is in the socket's buffer (`MSG_WAITALL`), or something went wrong.
//! - Cancelling says at once whether there was such an operation; it has no completion of its own.
//! - In Linux the socket's wake-up queues work for the task that submitted, which then moves the bytes. Here the softirq side moves
//!   them itself.
//!
//! # Examples
//! ```no_run
//! # async fn example(stream: wakeline_net::TcpStream) -> std::io::Result<()> {
//! use wakeline_net::completion::Ring;
//!
//! let ring = Ring::new(64)?;
//! ring.recv(&stream, vec![0; 4096], 1)?;
//! loop {
//!     ring.wait(1).await?;
//!     while let Some(done) = ring.pop() {
//!         let (n, mut buffer) = (done.result?, done.buffer.unwrap_or_default());
//!         match done.user_data {
//!             1 if n == 0 => return Ok(()), // the end
//!             1 => {
//!                 buffer.truncate(n);
//!                 ring.send(&stream, buffer, 2)?;
//!             }
//!             _ => ring.recv(&stream, vec![0; 4096], 1)?,
//!         }
//!     }
//! }
//! # }
//! ```

mod chain;
mod entry;
mod op;
mod queue;
mod shared;
mod source;
mod timeout;
mod turn;

pub use chain::{Chain, ChainRejected};
pub use entry::{Completion, Rejected};
pub use shared::CompletionCounters;
pub use source::{Datagrams, Listener, Stream};

use crate::api::budget::budgeted;
use crate::completion::op::{Op, Work};
use crate::completion::shared::Shared;
use crate::completion::source::file_of;
use crate::completion::timeout::{Timeout, Until};
use crate::host::socket::attempt::block;
use crate::host::socket::file::{Places, SocketFile};
use crate::host::socket::tcp as emulated;
use crate::netns::Netns;
use crate::poll::source::Source;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use wakeline_runtime::wait_queue::WaitSlot;

/// How many completions a ring may have room for (`IORING_MAX_CQ_ENTRIES`).
pub const ENTRIES_MAX: usize = 65_536;

/// How many buffers a group may have.
pub const GROUP_BUFFERS_MAX: usize = 32_768;

/// Operations under way and their completions; see the [module](self). Dropping it cancels what is under way.
///
/// Threads and tasks may share one, by reference or in an [`Arc`].
pub struct Ring {
    shared: Arc<Shared>,
    entries: usize,
}

impl Ring {
    /// A ring with room for `entries` completions.
    ///
    /// # Errors
    /// `EINVAL` for none, or more than [`ENTRIES_MAX`].
    pub fn new(entries: usize) -> io::Result<Ring> {
        if entries == 0 || entries > ENTRIES_MAX {
            return Err(invalid());
        }
        Ok(Ring { shared: Shared::new(entries), entries })
    }

    /// Receives into `buffer`, as much as there is and as its length allows, at least one byte; 0 is the end of the stream.
    ///
    /// # Errors
    /// `EBUSY` when the ring is full, `EBADF` when it was shut down, `Unsupported` for a socket of the operating system's
    /// network. The buffer comes back with each. All other errors come with the completion.
    pub fn recv(&self, stream: &dyn Stream, buffer: Vec<u8>, user_data: u64) -> Result<(), Rejected> {
        self.with_file(stream, buffer, user_data, |file, buf| Work::Recv { file, places: Places::new(), buf })
    }

    /// Sends all of `buffer`; the completion tells how much was, which is less only if then something went wrong.
    ///
    /// Two sends that are under way on one connection may mix their bytes, as in Linux.
    ///
    /// # Errors
    /// As [`recv`](Ring::recv).
    pub fn send(&self, stream: &dyn Stream, buffer: Vec<u8>, user_data: u64) -> Result<(), Rejected> {
        self.with_file(stream, buffer, user_data, |file, buf| Work::Send { file, places: Places::new(), buf, sent: 0 })
    }

    /// Receives again and again, each time into a buffer of `group`, until the stream ends, fails, the group has no buffer
    /// left, or the ring no room. Each completion brings its buffer.
    ///
    /// # Errors
    /// As [`recv`](Ring::recv).
    pub fn recv_multishot(&self, stream: &dyn Stream, group: u16, user_data: u64) -> Result<(), Rejected> {
        self.with_file(stream, Vec::new(), user_data, |file, _| Work::RecvMany { file, places: Places::new(), group })
    }

    /// Receives one datagram; what does not fit into `buffer` is cut off. The completion has the sender.
    ///
    /// # Errors
    /// As [`recv`](Ring::recv).
    pub fn recv_from(&self, socket: &dyn Datagrams, buffer: Vec<u8>, user_data: u64) -> Result<(), Rejected> {
        self.with_file(socket, buffer, user_data, |file, buf| Work::RecvFrom { file, places: Places::new(), buf })
    }

    /// Sends one datagram, to the socket's peer unless `to` is given.
    ///
    /// # Errors
    /// As [`recv`](Ring::recv).
    pub fn send_to(
        &self,
        socket: &dyn Datagrams,
        buffer: Vec<u8>,
        to: Option<SocketAddr>,
        user_data: u64,
    ) -> Result<(), Rejected> {
        if let Err(error) = file_of(socket) {
            return Err(Rejected { error, buffer });
        }
        match self.shared.begin(|ring, number| Op::at_work(ring, number, user_data)) {
            Ok(op) => {
                let result = socket.send_now(&buffer, to);
                op.done(Completion::new(user_data, result).with_buffer(buffer));
                Ok(())
            }
            Err(rejected) => Err(Rejected { buffer, ..rejected }),
        }
    }

    /// Accepts a connection; it comes with the completion.
    ///
    /// # Errors
    /// As [`recv`](Ring::recv).
    pub fn accept(&self, listener: &dyn Listener, user_data: u64) -> Result<(), Rejected> {
        self.with_file(listener, Vec::new(), user_data, |file, _| accept(file, false))
    }

    /// Accepts again and again, until it fails or the ring has no room. Each completion brings a connection.
    ///
    /// # Errors
    /// As [`recv`](Ring::recv).
    pub fn accept_multishot(&self, listener: &dyn Listener, user_data: u64) -> Result<(), Rejected> {
        self.with_file(listener, Vec::new(), user_data, |file, _| accept(file, true))
    }

    /// Connects from the host that the caller stands on; the connection comes with the completion.
    ///
    /// # Errors
    /// As [`recv`](Ring::recv).
    pub fn connect(&self, addr: SocketAddr, user_data: u64) -> Result<(), Rejected> {
        let Netns::Emulated(host) = Netns::current() else {
            let why = "the caller stands on the operating system's network, which has an io_uring of its own";
            return Err(Rejected::new(io::Error::new(io::ErrorKind::Unsupported, why)));
        };
        let op = self.shared.begin(|ring, number| Op::at_work(ring, number, user_data))?;
        match emulated::TcpStream::start_connect(host, addr) {
            Ok(stream) => op.hand_over(Work::Connect { stream: Some(stream), slot: WaitSlot::new() }),
            Err(error) => op.done(Completion::new(user_data, Err(error))),
        }
        Ok(())
    }

    /// Completes with `ETIME` when `duration` has passed, or with 0 as soon as `count` completions of other operations have been made from
    /// here on, timeouts not counted; with a count of 0 only time ends it (`IORING_OP_TIMEOUT`). [`cancel`](Ring::cancel) takes it
    /// back (`IORING_OP_TIMEOUT_REMOVE`), and so does the end of the runtime by whose clock it goes, which is the caller's.
    ///
    /// # Errors
    /// As [`recv`](Ring::recv), and `Unsupported` outside of a runtime.
    ///
    /// # Panics
    /// In a runtime that was built without `enable_time`.
    #[track_caller]
    pub fn timeout(&self, duration: Duration, count: u32, user_data: u64) -> Result<(), Rejected> {
        let mut timeout = Timeout::new(duration, Until::Time).map_err(Rejected::new)?;
        let mut place = 0;
        let op = self.shared.begin(|ring, number| {
            place = number;
            Op::at_work(ring, number, user_data)
        })?;
        if count > 0 {
            timeout.until = Until::Told(self.shared.count_from_here(&op, place, count));
        }
        op.hand_over(Work::Timeout(timeout));
        Ok(())
    }

    /// Begins a chain of operations, each of which waits for the one before it.
    pub fn chain(&self) -> Chain<'_> {
        Chain::new(&self.shared)
    }

    /// Adds buffers to a group, from which [`recv_multishot`](Ring::recv_multishot) takes.
    ///
    /// # Errors
    /// `EINVAL` when a buffer is empty, `ENOBUFS` when the group would have more than [`GROUP_BUFFERS_MAX`]; then those that
    /// fit were added.
    pub fn provide_buffers(&self, group: u16, buffers: Vec<Vec<u8>>) -> io::Result<()> {
        if buffers.iter().any(Vec::is_empty) {
            return Err(invalid());
        }
        let rest = self.shared.provide(group, buffers, GROUP_BUFFERS_MAX);
        if rest.is_empty() { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ENOBUFS)) }
    }

    /// Cancels the operation that was submitted with `user_data`, the first of them if there are several. Its completion
    /// comes all the same: with `ECANCELED`, or with what it had done before.
    ///
    /// # Errors
    /// `ENOENT` when none is under way.
    pub fn cancel(&self, user_data: u64) -> io::Result<()> {
        if self.shared.cancel(user_data) { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ENOENT)) }
    }

    /// Cancels everything that is under way, and takes nothing any more. What is done can still be taken.
    pub fn shut_down(&self) {
        self.shared.close();
    }

    /// Takes the oldest completion, without waiting.
    #[must_use]
    pub fn pop(&self) -> Option<Completion> {
        self.shared.pop()
    }

    /// Waits until `n` completions can be taken, or all that will ever be if the ring was shut down; gives how many can.
    /// Nobody is woken for fewer. With several waiters they are served in the order in which they came.
    ///
    /// # Errors
    /// `EINVAL` when the ring has no room for `n`.
    ///
    /// # Cancel safety
    /// Yes: nothing is taken by waiting.
    pub async fn wait(&self, n: usize) -> io::Result<usize> {
        self.check(n)?;
        let mut waiter = Waiter { shared: &self.shared, slot: WaitSlot::new() };
        poll_fn(|cx| budgeted(cx, |cx| self.shared.poll_done(cx.waker(), &mut waiter.slot, n).map(Ok))).await
    }

    /// The same for threads, until `timeout` has passed (`None`: no limit); gives how many can be taken then.
    ///
    /// # Errors
    /// As [`wait`](Ring::wait).
    pub fn wait_blocking(&self, n: usize, timeout: Option<Duration>) -> io::Result<usize> {
        self.check(n)?;
        if timeout == Some(Duration::ZERO) {
            return Ok(self.shared.len());
        }
        let mut waiter = Waiter { shared: &self.shared, slot: WaitSlot::new() };
        let done = block(timeout, |waker| self.shared.poll_done(waker, &mut waiter.slot, n).map(Ok));
        done.or_else(|_timed_out| Ok(self.shared.len()))
    }

    /// How many operations are under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.shared.under_way()
    }

    /// Whether nothing is under way and nothing left to take.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.shared.under_way() == 0 && self.shared.len() == 0
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> CompletionCounters {
        self.shared.counters()
    }

    fn with_file<S: Source + ?Sized>(
        &self,
        source: &S,
        buffer: Vec<u8>,
        user_data: u64,
        work: impl FnOnce(SocketFile, Vec<u8>) -> Work,
    ) -> Result<(), Rejected> {
        match file_of(source) {
            Ok(file) => self.shared.submit(user_data, work(file, buffer)),
            Err(error) => Err(Rejected { error, buffer }),
        }
    }

    fn check(&self, n: usize) -> io::Result<()> {
        if n > self.entries { Err(invalid()) } else { Ok(()) }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (entries, under_way, done) = (self.entries, self.under_way(), self.shared.len());
        f.debug_struct("Ring").field("entries", &entries).field("under_way", &under_way).field("done", &done).finish()
    }
}

fn accept(file: SocketFile, many: bool) -> Work {
    Work::Accept { file, places: Places::new(), many }
}

fn invalid() -> io::Error {
    io::Error::from_raw_os_error(libc::EINVAL)
}

/// The place of one `wait` in the ring's queue, given up when the call ends or is dropped.
struct Waiter<'a> {
    shared: &'a Shared,
    slot: WaitSlot,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.shared.give_up(&mut self.slot);
    }
}
