//! One thread, one emulated epoll: level-triggered and edge-triggered.

use super::{echo_all, echo_once, host_and_listener};
use crate::model::READ_MAX;
use crate::server::returned;
use slab::Slab;
use std::io;
use std::thread::Builder;
use wakeline::net::blocking::{TcpListener, TcpStream};
use wakeline::net::emulated::{Host, Lan};
use wakeline::net::epoll::{Ctl, Epoll, EpollFlags, Event};

pub(crate) fn level_triggered(lan: &Lan) -> io::Result<Host> {
    serve(lan, EpollFlags::IN)
}

pub(crate) fn edge_triggered(lan: &Lan) -> io::Result<Host> {
    serve(lan, EpollFlags::IN | EpollFlags::ET)
}

fn serve(lan: &Lan, interest: EpollFlags) -> io::Result<Host> {
    let (host, listener) = host_and_listener(lan)?;
    Builder::new().spawn(move || turn_forever(&listener, interest))?;
    Ok(host)
}

const LISTENER: u64 = u64::MAX;
const EVENTS_MAX: usize = 1024;

fn turn_forever(listener: &TcpListener, interest: EpollFlags) -> io::Result<()> {
    let echo = if interest.contains(EpollFlags::ET) { echo_all } else { echo_once };
    let epoll = Epoll::new()?;
    epoll.ctl(listener, Ctl::Add(Event::new(EpollFlags::IN, LISTENER)))?;
    let mut connections: Slab<TcpStream> = Slab::new();
    let (mut events, mut buf) = (vec![Event::default(); EVENTS_MAX], [0; READ_MAX]);
    loop {
        let told = epoll.wait_blocking(&mut events, None)?;
        returned(told > 0);
        for event in &events[..told] {
            if event.data == LISTENER {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                let entry = connections.vacant_entry();
                epoll.ctl(&stream, Ctl::Add(Event::new(interest, entry.key() as u64)))?;
                entry.insert(stream);
            } else if !echo(&mut connections[event.data as usize], &mut buf) {
                connections.remove(event.data as usize);
            }
        }
    }
}
