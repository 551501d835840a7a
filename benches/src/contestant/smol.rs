//! smol: async-executor, async-io and the crates that smol's authors publish beside them.

use crate::contestant::{Contestant, Primitives};
use futures_channel::oneshot;
use futures_lite::{AsyncReadExt, future};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::ops::DerefMut;
use std::thread;
use std::time::Duration;

/// smol's executor, turned as `smol::spawn` turns its own: by threads that each `block_on(EXECUTOR.run(..))`.
///
/// With one worker that is the thread that calls `block_on`. With more, that thread only waits, and the others turn the
/// reactor as well. smol's own reactor thread is there in both cases; it steps in where no worker turns the reactor.
#[derive(Debug)]
pub struct Smol {
    workers: usize,
}

/// There is one for the process, as in `smol::spawn`: finding it costs a task nothing.
static EXECUTOR: smol::Executor<'static> = smol::Executor::new();

impl Contestant for Smol {
    type Join<T: Send + 'static> = smol::Task<T>;
    type Stream = smol::net::TcpStream;

    /// The threads of a runtime with more than one worker stay until the process ends.
    fn new(workers: usize) -> io::Result<Smol> {
        if workers > 1 {
            for number in 0..workers {
                let thread = thread::Builder::new().name(format!("smol-{number}"));
                thread.spawn(|| smol::block_on(EXECUTOR.run(future::pending::<()>())))?;
            }
        }
        Ok(Smol { workers })
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        match self.workers {
            1 => smol::block_on(EXECUTOR.run(future)),
            _ => future::block_on(future),
        }
    }

    fn spawn_from_outside<F>(&self, future: F) -> Self::Join<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        EXECUTOR.spawn(future)
    }

    fn spawn<F>(future: F) -> Self::Join<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        EXECUTOR.spawn(future)
    }

    fn join<T: Send + 'static>(task: Self::Join<T>) -> impl Future<Output = T> + Send {
        task
    }

    fn detach<T: Send + 'static>(task: Self::Join<T>) {
        task.detach();
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        future::yield_now()
    }

    async fn sleep(duration: Duration) {
        smol::Timer::after(duration).await;
    }

    /// smol has none; this is what its documentation shows.
    async fn timeout<F>(duration: Duration, future: F) -> Option<F::Output>
    where
        F: Future + Send,
        F::Output: Send,
    {
        future::or(async { Some(future.await) }, async {
            smol::Timer::after(duration).await;
            None
        })
        .await
    }

    fn spawn_blocking<T, F>(work: F) -> impl Future<Output = T> + Send
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        smol::unblock(work)
    }

    async fn connect(addr: SocketAddr) -> io::Result<Self::Stream> {
        smol::net::TcpStream::connect(addr).await
    }

    async fn read_exact(stream: &mut Self::Stream, buf: &mut [u8]) -> io::Result<()> {
        stream.read_exact(buf).await
    }
}

impl Primitives for Smol {
    type OneshotSender = oneshot::Sender<()>;
    type OneshotReceiver = oneshot::Receiver<()>;
    type Sender = smol::channel::Sender<u64>;
    type Receiver = smol::channel::Receiver<u64>;
    type UnboundedSender = smol::channel::Sender<u64>;
    type UnboundedReceiver = smol::channel::Receiver<u64>;
    type Mutex = smol::lock::Mutex<u64>;
    type Semaphore = smol::lock::Semaphore;

    fn oneshot() -> (Self::OneshotSender, Self::OneshotReceiver) {
        oneshot::channel()
    }

    fn oneshot_send(sender: Self::OneshotSender) {
        sender.send(()).expect("the receiver waits");
    }

    async fn oneshot_receive(receiver: Self::OneshotReceiver) {
        receiver.await.expect("the sender sends before it goes");
    }

    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver) {
        smol::channel::bounded(capacity)
    }

    async fn send(sender: &Self::Sender, message: u64) {
        sender.send(message).await.expect("the receiver takes every message");
    }

    async fn receive(receiver: &mut Self::Receiver) -> Option<u64> {
        receiver.recv().await.ok()
    }

    fn unbounded() -> (Self::UnboundedSender, Self::UnboundedReceiver) {
        smol::channel::unbounded()
    }

    /// Its own way to send without waiting; `send` would always be ready as well, and dearer.
    fn send_unbounded(sender: &Self::UnboundedSender, message: u64) {
        sender.try_send(message).expect("the receiver takes every message");
    }

    async fn receive_unbounded(receiver: &mut Self::UnboundedReceiver) -> Option<u64> {
        receiver.recv().await.ok()
    }

    fn mutex() -> Self::Mutex {
        smol::lock::Mutex::new(0)
    }

    fn lock(mutex: &Self::Mutex) -> impl Future<Output = impl DerefMut<Target = u64> + Send> + Send {
        mutex.lock()
    }

    fn semaphore(permits: usize) -> Self::Semaphore {
        smol::lock::Semaphore::new(permits)
    }

    fn acquire(semaphore: &Self::Semaphore) -> impl Future<Output: Send> + Send {
        semaphore.acquire()
    }
}
