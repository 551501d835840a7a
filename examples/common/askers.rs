//! Threads on an emulated host that ask the echo server there is at `server:7000`, each over a connection of its own.

use std::io::{self, Read, Write};
use std::thread;
use wakeline::net::blocking::TcpStream;
use wakeline::net::emulated::Host;

/// Asks `clients` times `requests` questions at once; every answer must be its question.
pub(crate) fn ask(host: &Host, clients: usize, requests: u32) -> io::Result<()> {
    let clients: Vec<_> =
        (0..clients).map(|_| host.clone()).map(|host| thread::spawn(move || one(&host, requests))).collect();
    clients.into_iter().try_for_each(|client| client.join().expect("a client does not panic"))
}

fn one(host: &Host, requests: u32) -> io::Result<()> {
    let _here = host.enter();
    let mut stream = TcpStream::connect("server:7000")?;
    for question in (0..requests).map(u32::to_be_bytes) {
        let mut answer = [0; 4];
        stream.write_all(&question)?;
        stream.read_exact(&mut answer)?;
        if answer != question {
            return Err(io::Error::other(format!("{question:?} was answered by {answer:?}")));
        }
    }
    Ok(())
}
