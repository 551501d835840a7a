//! Connections that carry one byte.

use crate::run::{Measured, Run, Until};
use crate::smoltcp_loop::{CLIENT_PORT, PORT, pair};
use smoltcp::socket::tcp::State;
use smoltcp::time::Instant;
use std::io;

/// Measures connections, one after another, over one pair of sockets that is used again: smoltcp leaves TIME-WAIT to its
/// user, and this one skips it.
///
/// # Errors
/// When a connection is not established, does not end, or loses its byte.
pub fn measure(until: Until) -> io::Result<Measured> {
    let (mut client, mut server) = pair(1500);
    let (ours, theirs) = (client.add_tcp(), server.add_tcp());
    let mut port = CLIENT_PORT;
    let mut run = Run::new(until);
    while run.goes_on() {
        server.tcp(theirs).listen(PORT).map_err(io::Error::other)?;
        client.connect(ours, port)?;
        port = if port == u16::MAX { CLIENT_PORT } else { port + 1 };
        let (mut has_sent, mut bytes) = (false, 0);
        for _ in 0..MANY_TURNS {
            let now = Instant::now();
            client.poll(now);
            if !has_sent && client.tcp(ours).may_send() {
                has_sent = client.tcp(ours).send_slice(&[7]).map_err(io::Error::other)? == 1;
                client.tcp(ours).close();
                client.poll(now);
            }
            server.poll(now);
            if server.tcp(theirs).can_recv() {
                bytes += server.tcp(theirs).recv_slice(&mut [0; 8]).map_err(io::Error::other)?;
            }
            if server.tcp(theirs).state() == State::CloseWait {
                server.tcp(theirs).close();
                server.poll(now);
            }
            if client.tcp(ours).state() == State::TimeWait && server.tcp(theirs).state() == State::Closed {
                break;
            }
        }
        if bytes != 1 || client.tcp(ours).state() != State::TimeWait {
            return Err(io::Error::other("smoltcp did not finish a connection"));
        }
        client.tcp(ours).abort();
    }
    Ok(run.finish())
}

/// More than a handshake, a byte and two FINs take.
const MANY_TURNS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_come_and_go() {
        assert_eq!(measure(Until::Requests(50)).unwrap().requests, 50);
    }
}
