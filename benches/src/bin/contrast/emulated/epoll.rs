//! One thread, one emulated epoll: level-triggered and edge-triggered.

use super::host_and_listener;
use crate::epoll_loop::{self, EVENTS_MAX, Interest, Poller};
use std::io;
use std::thread::Builder;
use wakeline::net::blocking::{TcpListener, TcpStream};
use wakeline::net::emulated::{Host, Lan};
use wakeline::net::epoll::{Ctl, Epoll, EpollFlags, Event};

pub(crate) fn level_triggered(lan: &Lan) -> io::Result<Host> {
    serve(lan, false)
}

pub(crate) fn edge_triggered(lan: &Lan) -> io::Result<Host> {
    serve(lan, true)
}

fn serve(lan: &Lan, is_edge: bool) -> io::Result<Host> {
    let (host, listener) = host_and_listener(lan)?;
    listener.set_nonblocking(true)?;
    Builder::new().spawn(move || {
        let poller = Emulated { epoll: Epoll::new()?, events: vec![Event::default(); EVENTS_MAX] };
        epoll_loop::serve(poller, &listener, is_edge)
    })?;
    Ok(host)
}

struct Emulated {
    epoll: Epoll,
    events: Vec<Event>,
}

fn event(interest: Interest, key: u64) -> Event {
    let flags = match interest {
        Interest::In => EpollFlags::IN,
        Interest::Out => EpollFlags::OUT,
        Interest::Edges => EpollFlags::IN | EpollFlags::OUT | EpollFlags::ET,
    };
    Event::new(flags, key)
}

impl Poller for Emulated {
    type Listener = TcpListener;
    type Stream = TcpStream;

    fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
        listener.accept().map(|(stream, _)| stream)
    }

    fn add_listener(&self, listener: &TcpListener, key: u64) -> io::Result<()> {
        self.epoll.ctl(listener, Ctl::Add(event(Interest::In, key)))
    }

    fn add(&self, stream: &TcpStream, interest: Interest, key: u64) -> io::Result<()> {
        self.epoll.ctl(stream, Ctl::Add(event(interest, key)))
    }

    fn modify(&self, stream: &TcpStream, interest: Interest, key: u64) -> io::Result<()> {
        self.epoll.ctl(stream, Ctl::Mod(event(interest, key)))
    }

    fn wait(&mut self, keys: &mut Vec<u64>) -> io::Result<()> {
        let told = self.epoll.wait_blocking(&mut self.events, None)?;
        keys.extend(self.events[..told].iter().map(|event| event.data));
        Ok(())
    }
}
