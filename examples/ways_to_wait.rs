//! One emulated connection and every way to wait for it, with counts: `cargo run --example ways_to_wait`.

use std::io::{self, Read, Write};
use std::thread;
use wakeline::net::blocking::{TcpListener, TcpStream};
use wakeline::net::completion::Ring;
use wakeline::net::emulated::Lan;
use wakeline::net::epoll::{Ctl, Epoll, EpollFlags, Event};
use wakeline::net::poll::{Events, FdSet, PollFd, poll_blocking, select_blocking};

const REQUESTS: u64 = 200;
const WAYS: [(&str, u32, &str); 5] =
    [("read", 2, "socket"), ("select", 3, "call"), ("poll", 3, "call"), ("epoll", 3, "epoll"), ("ring", 4, "ring")];

fn main() -> io::Result<()> {
    let host = Lan::new().host("host").build_threaded()?;
    let _here = host.enter();
    let listener = TcpListener::bind("127.0.0.1:7000")?;
    let mut asking = TcpStream::connect("127.0.0.1:7000")?;
    let (serving, _) = listener.accept()?;
    for (way, calls, place) in WAYS {
        let before = host.counters().wakeups;
        thread::scope(|scope| {
            let echoing = scope.spawn(|| serve(way, &serving));
            for n in 0..REQUESTS {
                asking.write_all(&n.to_be_bytes())?;
                asking.read_exact(&mut [0; 8])?;
            }
            echoing.join().expect("the server does not panic")
        })?;
        let wakeups = (host.counters().wakeups - before) as f64 / REQUESTS as f64;
        println!("{way:<6} {calls} calls and {wakeups:.2} wake-ups a request and its answer; sleeps on the {place}");
    }
    Ok(())
}

fn serve(way: &str, mut stream: &TcpStream) -> io::Result<()> {
    let (epoll, ring, mut buf) = (Epoll::new()?, Ring::new(1)?, vec![0; 8]);
    if way == "epoll" {
        epoll.ctl(stream, Ctl::Add(Event::new(EpollFlags::IN, 0)))?;
    }
    for _ in 0..REQUESTS {
        if way == "ring" {
            ring.recv(stream, buf, 1)?;
            ring.wait_blocking(1, None)?;
            buf = ring.pop().and_then(|done| done.buffer).expect("it is done, and the buffer is filled");
        } else {
            match way {
                "select" => select_blocking(Some(&mut FdSet::of(&[&stream])?), None, None, None)?,
                "poll" => poll_blocking(&mut [PollFd::new(stream, Events::IN)], None)?,
                "epoll" => epoll.wait_blocking(&mut [Event::default()], None)?,
                _ => 0,
            };
            stream.read_exact(&mut buf)?;
        }
        stream.write_all(&buf)?;
    }
    Ok(())
}
