//! An echo server for many connections on one thread, by level-triggered epoll: `cargo run --example epoll_echo`.
//!
//! It sleeps on its epoll and never on a socket, as the counters say. All is emulated, on threads, without an executor.

#[path = "common/askers.rs"]
mod askers;

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::thread;
use wakeline::net::blocking::TcpListener;
use wakeline::net::emulated::Lan;
use wakeline::net::epoll::{Ctl, Epoll, EpollCounters, EpollFlags, Event};

const CLIENTS: u64 = 16;
const REQUESTS: u32 = 100;

fn main() -> io::Result<()> {
    let lan = Lan::new();
    let (server, client) = (lan.host("server").build_threaded()?, lan.host("client").build_threaded()?);
    let here = server.enter();
    let listener = TcpListener::bind("0.0.0.0:7000")?;
    drop(here);
    let serving = thread::spawn(move || serve(&listener));
    askers::ask(&client, CLIENTS as usize, REQUESTS)?;
    let counters = serving.join().expect("the server does not panic")?;
    println!("{CLIENTS} connections, {} requests, one thread: {counters:?}", CLIENTS * u64::from(REQUESTS));
    Ok(())
}

fn serve(listener: &TcpListener) -> io::Result<EpollCounters> {
    let (epoll, mut streams) = (Epoll::new()?, HashMap::new());
    let (mut events, mut buf, mut accepted) = ([Event::default(); 8], [0; 1024], 0);
    epoll.ctl(listener, Ctl::Add(Event::new(EpollFlags::IN, 0)))?;
    while accepted < CLIENTS || !streams.is_empty() {
        let told = epoll.wait_blocking(&mut events, None)?;
        for event in &events[..told] {
            let Some(stream) = streams.get_mut(&event.data) else {
                accepted += 1;
                let (stream, _) = listener.accept()?;
                epoll.ctl(&stream, Ctl::Add(Event::new(EpollFlags::IN, accepted)))?;
                streams.insert(accepted, stream);
                continue;
            };
            match stream.read(&mut buf)? {
                0 => drop(streams.remove(&event.data)), // and its item goes with it
                n => stream.write_all(&buf[..n])?,
            }
        }
    }
    Ok(epoll.counters())
}
