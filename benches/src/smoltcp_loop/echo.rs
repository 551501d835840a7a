//! Requests and answers over one connection.

use crate::request::{Requests, SIZE};
use crate::run::{Measured, Run, Until};
use crate::smoltcp_loop::{End, establish, pair};
use smoltcp::iface::SocketHandle;
use smoltcp::time::Instant;
use std::io;

/// Measures requests over one connection between two interfaces.
///
/// # Errors
/// When the connection is not established, ends, or gives a wrong byte back.
pub fn measure(until: Until) -> io::Result<Measured> {
    let (mut client, mut server) = pair(1500);
    let (ours, theirs) = establish(&mut client, &mut server)?;
    let mut requests = Requests::of_connection(0);
    let mut answer = [0; SIZE];
    let mut run = Run::new(until);
    while run.goes_on() {
        send(&mut client, ours, requests.next_request())?;
        let mut filled = 0;
        while filled < SIZE {
            let now = Instant::now();
            client.poll(now);
            server.poll(now);
            echo(&mut server, theirs)?;
            server.poll(now);
            client.poll(now);
            filled += client.tcp(ours).recv_slice(&mut answer[filled..]).map_err(io::Error::other)?;
        }
        requests.check(&answer)?;
    }
    Ok(run.finish())
}

fn send(end: &mut End, handle: SocketHandle, bytes: &[u8]) -> io::Result<()> {
    match end.tcp(handle).send_slice(bytes).map_err(io::Error::other)? {
        sent if sent == bytes.len() => Ok(()),
        _ => Err(io::Error::other("64 KiB had no room for 64 bytes")),
    }
}

/// Sends back what has come.
fn echo(end: &mut End, handle: SocketHandle) -> io::Result<()> {
    let mut buf = [0; SIZE];
    while end.tcp(handle).can_recv() {
        let received = end.tcp(handle).recv_slice(&mut buf).map_err(io::Error::other)?;
        send(end, handle, &buf[..received])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_echoes() {
        assert_eq!(measure(Until::Requests(100)).unwrap().requests, 100);
    }
}
