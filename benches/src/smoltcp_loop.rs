//! The named peer of the emulated stack: smoltcp's bare loop.
//!
//! Two interfaces over an in-memory pair of queues, turned by one thread in the order in which a request travels: no
//! executor, no device model, no wake-up. Ethernet with an MTU of 1500, checksums on, buffers of 64 KiB, frames taken from
//! a free list instead of the allocator, the clock read once a turn: as fast as its interface lets one be.

use crate::request::{Requests, SIZE};
use crate::run::{Measured, Run, Until};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

const BUFFER_BYTES: usize = 64 * 1024;
/// MTU in smoltcp's sense: with the Ethernet header.
const MTU: usize = 1514;
const PORT: u16 = 7000;

/// Measures requests over one connection between two interfaces.
///
/// # Errors
/// When the connection is not established, ends, or gives a wrong byte back.
pub fn measure(until: Until) -> io::Result<Measured> {
    let (mut client, mut server) = pair();
    establish(&mut client, &mut server)?;
    let mut requests = Requests::of_connection(0);
    let mut answer = [0; SIZE];
    let mut run = Run::new(until);
    while run.goes_on() {
        client.send(requests.next_request())?;
        let mut filled = 0;
        while filled < SIZE {
            let now = Instant::now();
            client.poll(now);
            server.poll(now);
            server.echo()?;
            server.poll(now);
            client.poll(now);
            filled += client.socket().recv_slice(&mut answer[filled..]).map_err(io::Error::other)?;
        }
        requests.check(&answer)?;
    }
    Ok(run.finish())
}

fn establish(client: &mut End, server: &mut End) -> io::Result<()> {
    server.socket().listen(PORT).map_err(io::Error::other)?;
    let handle = client.handle;
    let socket = client.sockets.get_mut::<tcp::Socket<'_>>(handle);
    socket.connect(client.interface.context(), (address(2), PORT), 49152).map_err(io::Error::other)?;
    for _ in 0..100 {
        client.poll(Instant::now());
        server.poll(Instant::now());
        if client.socket().may_send() && server.socket().may_send() {
            return Ok(());
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "smoltcp did not connect"))
}

/// One interface, its device and its only socket.
struct End {
    device: Wire,
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
}

fn pair() -> (End, End) {
    let (there, back, free) = (Frames::default(), Frames::default(), Frames::default());
    let left = Wire { rx: back.clone(), tx: there.clone(), free: free.clone() };
    let right = Wire { rx: there, tx: back, free };
    (End::new(1, left), End::new(2, right))
}

fn address(host: u8) -> IpAddress {
    IpAddress::v4(10, 0, 0, host)
}

impl End {
    fn new(host: u8, mut device: Wire) -> End {
        let config = Config::new(EthernetAddress([0x02, 0, 0, 0, 0, host]).into());
        let mut interface = Interface::new(config, &mut device, Instant::now());
        interface.update_ip_addrs(|addrs| {
            addrs.push(IpCidr::new(address(host), 16)).expect("an interface has room for one address");
        });
        let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER_BYTES]);
        let mut sockets = SocketSet::new(Vec::new());
        let handle = sockets.add(tcp::Socket::new(buffer(), buffer()));
        End { device, interface, sockets, handle }
    }

    fn socket(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    fn poll(&mut self, now: Instant) {
        self.interface.poll(now, &mut self.device, &mut self.sockets);
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.socket().send_slice(bytes).map_err(io::Error::other)? {
            sent if sent == bytes.len() => Ok(()),
            _ => Err(io::Error::other("64 KiB had no room for 64 bytes")),
        }
    }

    /// Sends back what has come.
    fn echo(&mut self) -> io::Result<()> {
        let mut buf = [0; SIZE];
        while self.socket().can_recv() {
            let received = self.socket().recv_slice(&mut buf).map_err(io::Error::other)?;
            self.send(&buf[..received])?;
        }
        Ok(())
    }
}

type Frames = Rc<RefCell<VecDeque<Vec<u8>>>>;

/// One end of the pair of queues.
struct Wire {
    rx: Frames,
    tx: Frames,
    free: Frames,
}

impl Device for Wire {
    type RxToken<'a> = Received;
    type TxToken<'a> = Transmit<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Received, Transmit<'_>)> {
        let frame = self.rx.borrow_mut().pop_front()?;
        Some((Received { frame, free: self.free.clone() }, Transmit { wire: self }))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Transmit<'_>> {
        Some(Transmit { wire: self })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }
}

struct Received {
    frame: Vec<u8>,
    free: Frames,
}

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let result = f(&self.frame);
        self.free.borrow_mut().push_back(self.frame);
        result
    }
}

struct Transmit<'a> {
    wire: &'a Wire,
}

impl TxToken for Transmit<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = self.wire.free.borrow_mut().pop_back().unwrap_or_else(|| Vec::with_capacity(MTU));
        frame.resize(len, 0);
        let result = f(&mut frame);
        self.wire.tx.borrow_mut().push_back(frame);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_echoes() {
        assert_eq!(measure(Until::Requests(100)).unwrap().requests, 100);
    }
}
