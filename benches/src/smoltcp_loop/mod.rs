//! The named peer of the emulated stack: smoltcp's bare loop.
//!
//! Two interfaces over an in-memory pair of queues, turned by one thread in the order in which the work travels: no
//! executor, no device model, no wake-up. Ethernet, checksums on, frames taken from a free list instead of the allocator,
//! the clock read once a turn: as fast as its interface lets one be.

pub mod bulk;
pub mod datagrams;
pub mod echo;
pub mod short;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

/// Of each of a TCP socket's two buffers. Larger ones leave the cache, and make it slower.
const BUFFER_BYTES: usize = 64 * 1024;
const ETHERNET_HEADER: usize = 14;
const PORT: u16 = 7000;
const CLIENT_PORT: u16 = 49152;

/// One interface with its device and its sockets.
struct End {
    device: Wire,
    interface: Interface,
    sockets: SocketSet<'static>,
}

/// A client and a server, 10.0.0.1 and 10.0.0.2, with this MTU.
fn pair(mtu: usize) -> (End, End) {
    let (there, back, free) = (Frames::default(), Frames::default(), Frames::default());
    let left = Wire { rx: back.clone(), tx: there.clone(), free: free.clone(), mtu };
    let right = Wire { rx: there, tx: back, free, mtu };
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
        End { device, interface, sockets: SocketSet::new(Vec::new()) }
    }

    fn add_tcp(&mut self) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER_BYTES]);
        self.sockets.add(tcp::Socket::new(buffer(), buffer()))
    }

    fn tcp(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    fn connect(&mut self, handle: SocketHandle, from: u16) -> io::Result<()> {
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(handle);
        socket.connect(self.interface.context(), (address(2), PORT), from).map_err(io::Error::other)
    }

    fn poll(&mut self, now: Instant) {
        self.interface.poll(now, &mut self.device, &mut self.sockets);
    }
}

/// A connection between the two: the client's socket and the server's.
fn establish(client: &mut End, server: &mut End) -> io::Result<(SocketHandle, SocketHandle)> {
    let (ours, theirs) = (client.add_tcp(), server.add_tcp());
    server.tcp(theirs).listen(PORT).map_err(io::Error::other)?;
    client.connect(ours, CLIENT_PORT)?;
    for _ in 0..100 {
        client.poll(Instant::now());
        server.poll(Instant::now());
        if client.tcp(ours).may_send() && server.tcp(theirs).may_send() {
            return Ok((ours, theirs));
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "smoltcp did not connect"))
}

type Frames = Rc<RefCell<VecDeque<Vec<u8>>>>;

/// One end of the pair of queues.
struct Wire {
    rx: Frames,
    tx: Frames,
    free: Frames,
    mtu: usize,
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
        // In smoltcp's sense the Ethernet header belongs to it.
        capabilities.max_transmission_unit = self.mtu + ETHERNET_HEADER;
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
        let capacity = self.wire.mtu + ETHERNET_HEADER;
        let mut frame = self.wire.free.borrow_mut().pop_back().unwrap_or_else(|| Vec::with_capacity(capacity));
        frame.resize(len, 0);
        let result = f(&mut frame);
        self.wire.tx.borrow_mut().push_back(frame);
        result
    }
}
