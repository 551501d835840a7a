//! A stream in one direction.

use crate::run::{Measured, Run, Until};
use crate::smoltcp_loop::{establish, pair};
use crate::stream::{CHUNK, Pattern};
use smoltcp::time::Instant;
use std::io;

/// Measures chunks of a stream between two interfaces with this MTU.
///
/// # Errors
/// When the connection is not established, ends, or gives a wrong byte.
pub fn measure(until: Until, mtu: usize) -> io::Result<Measured> {
    let (mut client, mut server) = pair(mtu);
    let (ours, theirs) = establish(&mut client, &mut server)?;
    let pattern = Pattern::new();
    let mut buf = vec![0; CHUNK];
    let (mut sent, mut received) = (0, 0);
    let mut run = Run::new(until);
    while run.goes_on() {
        let mut filled = 0;
        while filled < CHUNK {
            sent += client.tcp(ours).send_slice(pattern.at(sent)).map_err(io::Error::other)? as u64;
            let now = Instant::now();
            client.poll(now);
            server.poll(now);
            let n = server.tcp(theirs).recv_slice(&mut buf[filled..]).map_err(io::Error::other)?;
            pattern.check(received, &buf[filled..filled + n])?;
            filled += n;
            received += n as u64;
            // The window has opened.
            server.poll(now);
            client.poll(now);
        }
    }
    Ok(run.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_streams() {
        for mtu in [1500, 9000] {
            assert_eq!(measure(Until::Requests(100), mtu).unwrap().requests, 100);
        }
    }
}
