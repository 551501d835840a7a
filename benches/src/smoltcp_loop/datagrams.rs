//! Datagrams in one direction.

use crate::request::{Requests, SIZE};
use crate::run::{Measured, Run, Until};
use crate::smoltcp_loop::{CLIENT_PORT, End, PORT, address, pair};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::udp;
use smoltcp::time::Instant;
use std::io;
use std::time::Duration;

/// Measures batches of `batch` datagrams between two interfaces; the receiver has `others` more bound sockets.
///
/// # Errors
/// When a datagram is lost or has a wrong byte.
pub fn measure(until: Until, batch: usize, others: usize) -> io::Result<Measured> {
    let (mut client, mut server) = pair(1500);
    for port in 0..others {
        bind(&mut server, 10_000 + u16::try_from(port).map_err(io::Error::other)?, 1)?;
    }
    let (ours, theirs) = (bind(&mut client, CLIENT_PORT, batch)?, bind(&mut server, PORT, batch)?);
    meet(&mut client, &mut server, (ours, theirs))?;
    let (mut requests, mut expected) = (Requests::of_connection(0), Requests::of_connection(0));
    let mut run = Run::new(until);
    while run.goes_on() {
        for _ in 0..batch {
            let socket = client.sockets.get_mut::<udp::Socket<'_>>(ours);
            socket.send_slice(requests.next_request(), (address(2), PORT)).map_err(io::Error::other)?;
        }
        let now = Instant::now();
        client.poll(now);
        server.poll(now);
        let mut buf = [0; SIZE];
        for _ in 0..batch {
            let socket = server.sockets.get_mut::<udp::Socket<'_>>(theirs);
            let (n, _) = socket.recv_slice(&mut buf).map_err(io::Error::other)?;
            expected.next_request();
            if n != SIZE {
                return Err(io::Error::other("a datagram was cut off"));
            }
            expected.check(&buf)?;
        }
    }
    Ok(run.finish())
}

/// Sends one datagram, which waits until the two interfaces know each other.
fn meet(client: &mut End, server: &mut End, (ours, theirs): (SocketHandle, SocketHandle)) -> io::Result<()> {
    let socket = client.sockets.get_mut::<udp::Socket<'_>>(ours);
    socket.send_slice(&[0], (address(2), PORT)).map_err(io::Error::other)?;
    let gives_up_at = std::time::Instant::now() + MEETING_TIME_MAX;
    while std::time::Instant::now() < gives_up_at {
        client.poll(Instant::now());
        server.poll(Instant::now());
        if server.sockets.get_mut::<udp::Socket<'_>>(theirs).recv().is_ok() {
            return Ok(());
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "smoltcp did not find its neighbour"))
}

/// smoltcp asks again after a second.
const MEETING_TIME_MAX: Duration = Duration::from_secs(5);

fn bind(end: &mut End, port: u16, datagrams: usize) -> io::Result<SocketHandle> {
    let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; datagrams], vec![0; datagrams * SIZE]);
    let mut socket = udp::Socket::new(buffer(), buffer());
    socket.bind(port).map_err(io::Error::other)?;
    Ok(end.sockets.add(socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_datagram_is_lost() {
        assert_eq!(measure(Until::Requests(10), 64, 5).unwrap().requests, 10);
    }
}
