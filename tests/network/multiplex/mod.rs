//! epoll, poll and select over emulated sockets: the semantics that were measured on Linux 6.18, line by line.
//!
//! Expected text is what the measuring program printed there. Time stands still, and moves when all is quiet: so every
//! segment has arrived, and every callback was made, when [`settle`] returns.

mod epoll;
mod herd;
mod poll;
mod same_as_linux;
mod stress;

use std::fmt::Write as _;
use std::future::Future;
use std::io::ErrorKind;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::emulated::{Host, Lan};
use wakeline::net::epoll::{Ctl, Epoll, EpollFlags, Event};
use wakeline::net::poll::Source;
use wakeline::net::{TcpListener, TcpStream};

/// Two hosts, and a listener at one.
pub(super) struct World {
    pub(super) server: Host,
    pub(super) client: Host,
    pub(super) listener: TcpListener,
}

impl World {
    pub(super) async fn new() -> World {
        let lan = Lan::with_seed(1);
        let (server, client) = (lan.host("server").build().unwrap(), lan.host("client").build().unwrap());
        let listener = server.run(TcpListener::bind("0.0.0.0:7000")).await.unwrap();
        World { server, client, listener }
    }

    /// A connection: the client's end and the server's.
    pub(super) async fn pair(&self) -> (TcpStream, TcpStream) {
        let client = self.client.run(TcpStream::connect("server:7000")).await.unwrap();
        let (server, _) = self.listener.accept().await.unwrap();
        (client, server)
    }
}

/// Lets everything that is under way arrive.
pub(super) async fn settle() {
    wakeline::time::sleep(Duration::from_millis(1)).await;
}

pub(super) async fn send(stream: &mut TcpStream, bytes: usize) {
    stream.write_all(&vec![7; bytes]).await.unwrap();
    settle().await;
}

pub(super) async fn recv(stream: &mut TcpStream, bytes: usize) {
    stream.read_exact(&mut vec![0; bytes]).await.unwrap();
}

/// What a call gives that does not wait.
pub(super) fn at_once<T>(future: impl Future<Output = std::io::Result<T>>) -> std::io::Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(ErrorKind::WouldBlock.into()),
    }
}

/// An epoll with one item.
pub(super) fn watching(source: &dyn Source, flags: EpollFlags) -> Epoll {
    let epoll = Epoll::new().unwrap();
    epoll.ctl(source, Ctl::Add(Event::new(flags, 0))).unwrap();
    epoll
}

/// `epoll_wait` with a timeout of zero: the first event's mask, as the measuring program printed it.
pub(super) fn wait(epoll: &Epoll) -> String {
    let mut events = [Event::default(); 4];
    match epoll.wait_blocking(&mut events, Some(Duration::ZERO)).unwrap() {
        0 => "0".to_owned(),
        1 => format!("{:#x}", events[0].events.bits()),
        n => panic!("{n} events of one item"),
    }
}

pub(super) fn errno(result: std::io::Result<()>) -> String {
    match result {
        Ok(()) => "0".to_owned(),
        Err(error) => {
            let mut text = "-1 ".to_owned();
            write!(text, "{error}").unwrap();
            text.split(" (os error").next().unwrap().to_owned()
        }
    }
}
