//! Memory of idle connections: what the server's process has more for each that it holds.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use wakeline_benches::child::{Figures, ServerProcess};
use wakeline_benches::memory::Memory;
use wakeline_benches::request::{Requests, SIZE};

/// How many connections are held at once.
const CONNECTIONS: usize = 4000;

/// In the server's process: what its parent asks for.
///
/// # Errors
/// When `/proc` is missing.
pub(crate) fn resident(_question: &str) -> io::Result<Figures> {
    Ok([("resident".to_owned(), Memory::now()?.resident as f64)].into_iter().collect())
}

/// Resident bytes of the server for each connection, all of which have been used once.
///
/// # Errors
/// Those of the sockets, and a wrong byte.
pub(crate) fn bytes_each(server: &mut ServerProcess) -> io::Result<Figures> {
    let addr = server.addr().to_owned();
    let ask = |stream: &mut TcpStream, number: u64| -> io::Result<()> {
        let (mut requests, mut answer) = (Requests::of_connection(number), [0; SIZE]);
        stream.write_all(requests.next_request())?;
        stream.read_exact(&mut answer)?;
        requests.check(&answer)
    };
    let connect = |number: u64| -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(&addr)?;
        ask(&mut stream, number)?;
        Ok(stream)
    };
    let _first = connect(0)?;
    let before = server.ask("memory")?.get("resident")?;
    let _held = (1..=CONNECTIONS as u64).map(connect).collect::<io::Result<Vec<_>>>()?;
    let after = server.ask("memory")?.get("resident")?;
    Ok([("bytes".to_owned(), (after - before) / CONNECTIONS as f64)].into_iter().collect())
}
