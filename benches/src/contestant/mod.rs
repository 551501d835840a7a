//! The contestants of the runtime's rows: what every runtime can be asked for, in one set of names.
//!
//! A row is written once, against [`Contestant`] and [`Primitives`], and compiled for each runtime, so that all do the same
//! work. An adapter adds nothing: each function is the call that the runtime's own documentation shows.

mod smol;
mod tokio_shaped;

pub use self::smol::Smol;
pub use tokio_shaped::{Tokio, Wakeline};

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::ops::DerefMut;
use std::time::Duration;

/// A runtime: tasks, time, the blocking pool, sockets.
///
/// What takes no `self` is called by a task of the runtime.
pub trait Contestant: Sized + Send + Sync + 'static {
    /// Waits for a task. Dropping it does what the runtime does then.
    type Join<T: Send + 'static>: Send;
    /// A stream of the operating system's TCP.
    type Stream: Send;

    /// A runtime with I/O and time; with one worker it is driven by whoever calls [`block_on`](Contestant::block_on).
    ///
    /// # Errors
    /// What the operating system says.
    fn new(workers: usize) -> io::Result<Self>;

    /// Waits for `future` on the calling thread, which drives the runtime if it has no threads of its own.
    fn block_on<F: Future>(&self, future: F) -> F::Output;

    /// Begins a task from a thread that drives none.
    fn spawn_from_outside<F>(&self, future: F) -> Self::Join<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static;

    /// Begins a task.
    fn spawn<F>(future: F) -> Self::Join<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static;

    /// Waits for a task.
    fn join<T: Send + 'static>(task: Self::Join<T>) -> impl Future<Output = T> + Send;

    /// Lets a task go on by itself.
    fn detach<T: Send + 'static>(task: Self::Join<T>);

    /// Lets other tasks run.
    fn yield_now() -> impl Future<Output = ()> + Send;

    /// Waits until `duration` has passed.
    fn sleep(duration: Duration) -> impl Future<Output = ()> + Send;

    /// Waits for `future`, but not longer than `duration`.
    fn timeout<F>(duration: Duration, future: F) -> impl Future<Output = Option<F::Output>> + Send
    where
        F: Future + Send,
        F::Output: Send;

    /// Gives `work` to the blocking pool, at once, and waits for what it returns.
    fn spawn_blocking<T, F>(work: F) -> impl Future<Output = T> + Send
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static;

    /// Connects to `addr`.
    fn connect(addr: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Fills `buf`.
    fn read_exact(stream: &mut Self::Stream, buf: &mut [u8]) -> impl Future<Output = io::Result<()>> + Send;
}

/// What the users of a runtime take to talk between tasks: its own, or what its authors publish beside it.
pub trait Primitives: Contestant {
    /// The sending half of a oneshot channel.
    type OneshotSender: Send;
    /// The receiving half of a oneshot channel.
    type OneshotReceiver: Send;
    /// The sending half of a bounded channel.
    type Sender: Clone + Send + Sync;
    /// The receiving half of a bounded channel.
    type Receiver: Send;
    /// The sending half of an unbounded channel.
    type UnboundedSender: Send;
    /// The receiving half of an unbounded channel.
    type UnboundedReceiver: Send;
    /// A mutex that is waited for.
    type Mutex: Send + Sync;
    /// A counting semaphore.
    type Semaphore: Send + Sync;

    /// A channel for one message.
    fn oneshot() -> (Self::OneshotSender, Self::OneshotReceiver);
    /// Sends the message.
    fn oneshot_send(sender: Self::OneshotSender);
    /// Waits for the message.
    fn oneshot_receive(receiver: Self::OneshotReceiver) -> impl Future<Output = ()> + Send;

    /// A channel that holds at most `capacity` messages.
    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver);
    /// Sends a message, once there is room.
    fn send(sender: &Self::Sender, message: u64) -> impl Future<Output = ()> + Send;
    /// Waits for a message; `None` when there will be no more.
    fn receive(receiver: &mut Self::Receiver) -> impl Future<Output = Option<u64>> + Send;

    /// A channel without a bound.
    fn unbounded() -> (Self::UnboundedSender, Self::UnboundedReceiver);
    /// Sends a message.
    fn send_unbounded(sender: &Self::UnboundedSender, message: u64);
    /// Waits for a message; `None` when there will be no more.
    fn receive_unbounded(receiver: &mut Self::UnboundedReceiver) -> impl Future<Output = Option<u64>> + Send;

    /// A mutex around 0.
    fn mutex() -> Self::Mutex;
    /// Waits for the lock.
    fn lock(mutex: &Self::Mutex) -> impl Future<Output = impl DerefMut<Target = u64> + Send> + Send;

    /// A semaphore with this many permits.
    fn semaphore(permits: usize) -> Self::Semaphore;
    /// Waits for a permit, which the output holds.
    fn acquire(semaphore: &Self::Semaphore) -> impl Future<Output: Send> + Send;
}
