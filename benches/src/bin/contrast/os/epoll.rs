//! One thread, one epoll: level-triggered and edge-triggered.

use super::listen;
use crate::epoll_loop::{self, EVENTS_MAX, Interest, Poller};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};

pub(crate) fn level_triggered(ready: &mut dyn FnMut(SocketAddr)) -> io::Result<()> {
    serve(ready, false)
}

pub(crate) fn edge_triggered(ready: &mut dyn FnMut(SocketAddr)) -> io::Result<()> {
    serve(ready, true)
}

fn serve(ready: &mut dyn FnMut(SocketAddr), is_edge: bool) -> io::Result<()> {
    let listener = listen()?;
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    ready(listener.local_addr()?);
    epoll_loop::serve(Os { epoll, events: vec![EpollEvent::empty(); EVENTS_MAX] }, &listener, is_edge)
}

struct Os {
    epoll: Epoll,
    events: Vec<EpollEvent>,
}

fn event(interest: Interest, key: u64) -> EpollEvent {
    let flags = match interest {
        Interest::In => EpollFlags::EPOLLIN,
        Interest::Out => EpollFlags::EPOLLOUT,
        Interest::Edges => EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET,
    };
    EpollEvent::new(flags, key)
}

impl Poller for Os {
    type Listener = TcpListener;
    type Stream = TcpStream;

    fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
        listener.accept().map(|(stream, _)| stream)
    }

    fn add_listener(&self, listener: &TcpListener, key: u64) -> io::Result<()> {
        Ok(self.epoll.add(listener, event(Interest::In, key))?)
    }

    fn add(&self, stream: &TcpStream, interest: Interest, key: u64) -> io::Result<()> {
        Ok(self.epoll.add(stream, event(interest, key))?)
    }

    fn modify(&self, stream: &TcpStream, interest: Interest, key: u64) -> io::Result<()> {
        Ok(self.epoll.modify(stream, &mut event(interest, key))?)
    }

    fn wait(&mut self, keys: &mut Vec<u64>) -> io::Result<()> {
        let told = loop {
            match self.epoll.wait(&mut self.events, EpollTimeout::NONE) {
                Err(Errno::EINTR) => {}
                other => break other?,
            }
        };
        keys.extend(self.events[..told].iter().map(EpollEvent::data));
        Ok(())
    }
}
