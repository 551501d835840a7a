//! tokio and wakeline: their public names are the same, so one adapter serves both, letter by letter.

use crate::contestant::{Contestant, Primitives};
use futures_lite::AsyncReadExt as FuturesRead;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::ops::DerefMut;
use std::time::Duration;
use tokio::io::AsyncReadExt as TokioRead;

/// tokio's runtime.
#[derive(Debug)]
pub struct Tokio(tokio::runtime::Runtime);

/// wakeline's runtime.
#[derive(Debug)]
pub struct Wakeline(wakeline::runtime::Runtime);

macro_rules! contestant {
    ($name:ident, $runtime:ident, $read:ident) => {
        impl Contestant for $name {
            type Join<T: Send + 'static> = $runtime::task::JoinHandle<T>;
            type Stream = $runtime::net::TcpStream;

            fn new(workers: usize) -> io::Result<Self> {
                let mut builder = match workers {
                    1 => $runtime::runtime::Builder::new_current_thread(),
                    _ => $runtime::runtime::Builder::new_multi_thread(),
                };
                if workers > 1 {
                    builder.worker_threads(workers);
                }
                builder.enable_all().build().map($name)
            }

            fn block_on<F: Future>(&self, future: F) -> F::Output {
                self.0.block_on(future)
            }

            fn spawn_from_outside<F>(&self, future: F) -> Self::Join<F::Output>
            where
                F: Future + Send + 'static,
                F::Output: Send + 'static,
            {
                self.0.spawn(future)
            }

            fn spawn<F>(future: F) -> Self::Join<F::Output>
            where
                F: Future + Send + 'static,
                F::Output: Send + 'static,
            {
                $runtime::spawn(future)
            }

            async fn join<T: Send + 'static>(task: Self::Join<T>) -> T {
                task.await.expect("no row's task panics or is aborted")
            }

            fn detach<T: Send + 'static>(task: Self::Join<T>) {
                drop(task);
            }

            fn yield_now() -> impl Future<Output = ()> + Send {
                $runtime::task::yield_now()
            }

            fn sleep(duration: Duration) -> impl Future<Output = ()> + Send {
                $runtime::time::sleep(duration)
            }

            async fn timeout<F>(duration: Duration, future: F) -> Option<F::Output>
            where
                F: Future + Send,
                F::Output: Send,
            {
                $runtime::time::timeout(duration, future).await.ok()
            }

            fn spawn_blocking<T, F>(work: F) -> impl Future<Output = T> + Send
            where
                T: Send + 'static,
                F: FnOnce() -> T + Send + 'static,
            {
                let task = $runtime::task::spawn_blocking(work);
                async move { task.await.expect("no row's closure panics") }
            }

            async fn connect(addr: SocketAddr) -> io::Result<Self::Stream> {
                $runtime::net::TcpStream::connect(addr).await
            }

            async fn read_exact(stream: &mut Self::Stream, buf: &mut [u8]) -> io::Result<()> {
                $read::read_exact(stream, buf).await.map(drop)
            }
        }
    };
}

macro_rules! primitives {
    ($name:ident, $runtime:ident) => {
        impl Primitives for $name {
            type OneshotSender = $runtime::sync::oneshot::Sender<()>;
            type OneshotReceiver = $runtime::sync::oneshot::Receiver<()>;
            type Sender = $runtime::sync::mpsc::Sender<u64>;
            type Receiver = $runtime::sync::mpsc::Receiver<u64>;
            type UnboundedSender = $runtime::sync::mpsc::UnboundedSender<u64>;
            type UnboundedReceiver = $runtime::sync::mpsc::UnboundedReceiver<u64>;
            type Mutex = $runtime::sync::Mutex<u64>;
            type Semaphore = $runtime::sync::Semaphore;

            fn oneshot() -> (Self::OneshotSender, Self::OneshotReceiver) {
                $runtime::sync::oneshot::channel()
            }

            fn oneshot_send(sender: Self::OneshotSender) {
                sender.send(()).expect("the receiver waits");
            }

            async fn oneshot_receive(receiver: Self::OneshotReceiver) {
                receiver.await.expect("the sender sends before it goes");
            }

            fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver) {
                $runtime::sync::mpsc::channel(capacity)
            }

            async fn send(sender: &Self::Sender, message: u64) {
                sender.send(message).await.expect("the receiver takes every message");
            }

            fn receive(receiver: &mut Self::Receiver) -> impl Future<Output = Option<u64>> + Send {
                receiver.recv()
            }

            fn unbounded() -> (Self::UnboundedSender, Self::UnboundedReceiver) {
                $runtime::sync::mpsc::unbounded_channel()
            }

            fn send_unbounded(sender: &Self::UnboundedSender, message: u64) {
                sender.send(message).expect("the receiver takes every message");
            }

            fn receive_unbounded(receiver: &mut Self::UnboundedReceiver) -> impl Future<Output = Option<u64>> + Send {
                receiver.recv()
            }

            fn mutex() -> Self::Mutex {
                $runtime::sync::Mutex::new(0)
            }

            fn lock(mutex: &Self::Mutex) -> impl Future<Output = impl DerefMut<Target = u64> + Send> + Send {
                mutex.lock()
            }

            fn semaphore(permits: usize) -> Self::Semaphore {
                $runtime::sync::Semaphore::new(permits)
            }

            fn acquire(semaphore: &Self::Semaphore) -> impl Future<Output: Send> + Send {
                async { semaphore.acquire().await.expect("nobody closes it") }
            }
        }
    };
}

contestant!(Tokio, tokio, TokioRead);
primitives!(Tokio, tokio);
contestant!(Wakeline, wakeline, FuturesRead);
primitives!(Wakeline, wakeline);
