//! An echo server for several connections on one thread, by `poll`: `cargo run --example poll_echo`.
//!
//! Every call leaves the thread's waker with each socket, looks at all of them, and takes it back; compare epoll_echo. All of it
//! is emulated.

#[path = "common/askers.rs"]
mod askers;

use std::io::{self, Read, Write};
use std::thread;
use wakeline::net::blocking::{TcpListener, TcpStream};
use wakeline::net::emulated::Lan;
use wakeline::net::poll::{Events, PollFd, poll_blocking};

const CLIENTS: usize = 16;
const REQUESTS: u32 = 100;

fn main() -> io::Result<()> {
    let lan = Lan::new();
    let (server, client) = (lan.host("server").build_threaded()?, lan.host("client").build_threaded()?);
    let here = server.enter();
    let listener = TcpListener::bind("0.0.0.0:7000")?;
    drop(here);
    let serving = thread::spawn(move || serve(&listener));
    askers::ask(&client, CLIENTS, REQUESTS)?;
    let (calls, looks) = serving.join().expect("the server does not panic")?;
    println!("{CLIENTS} connections, {} requests, one thread: {calls} calls of poll looked at {looks} sockets", {
        CLIENTS * REQUESTS as usize
    });
    Ok(())
}

fn serve(listener: &TcpListener) -> io::Result<(usize, usize)> {
    let (mut streams, mut buf, mut accepted, mut calls, mut looks) = (Vec::<TcpStream>::new(), [0; 1024], 0, 0, 0);
    while accepted < CLIENTS || !streams.is_empty() {
        let mut fds = vec![PollFd::new(listener, Events::IN)];
        fds.extend(streams.iter().map(|stream| PollFd::new(stream, Events::IN)));
        poll_blocking(&mut fds, None)?;
        (calls, looks) = (calls + 1, looks + fds.len());
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents.is_empty()).collect();
        for at in (0..streams.len()).rev().filter(|at| ready[at + 1]) {
            match streams[at].read(&mut buf)? {
                0 => drop(streams.swap_remove(at)),
                n => streams[at].write_all(&buf[..n])?,
            }
        }
        if ready[0] {
            streams.push(listener.accept()?.0);
            accepted += 1;
        }
    }
    Ok((calls, looks))
}
