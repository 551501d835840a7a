//! A LAN: one switch, the hosts plugged into it, their names, one seed and one trace.

use crate::engine::Spawner;
use crate::event::Trace;
use crate::host::builder::HostBuilder;
use crate::link::capture::{Capture, Scope};
use crate::link::delay::DelayEngine;
use crate::link::netem::{Links, Netem};
use crate::link::port::{Port, RawQueue, Sink};
use crate::link::switch::{Direction, PortId, Switch};
use crate::packet::{PacketBuf, Pool};
use crate::stack::addresses::{Cidr, link_local};
use crate::wire::ethernet::MacAddr;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wakeline_runtime::Handle;
use wakeline_runtime::clock::Clock;
use wakeline_runtime::rng::Rng;
use wakeline_runtime::wait_queue::{Events, Mode};

/// An emulated local network. Cheap to clone; clones are the same network.
///
/// Hosts get the addresses 10.0.0.1, 10.0.0.2 and fd00::1, fd00::2 and so on in the order in which they are built, each
/// also a link-local one, and find each other by name.
///
/// # Examples
/// ```
/// # fn main() -> std::io::Result<()> {
/// use wakeline_net::emulated::Lan;
/// use wakeline_net::blocking::{TcpListener, TcpStream};
/// use std::io::{Read, Write};
///
/// let lan = Lan::new();
/// let server = lan.host("server").build_threaded()?;
/// let client = lan.host("client").build_threaded()?;
///
/// let here = server.enter();
/// let listener = TcpListener::bind("0.0.0.0:7000")?;
/// drop(here);
/// let thread = std::thread::spawn(move || -> std::io::Result<()> {
///     let (mut stream, _peer) = listener.accept()?;
///     stream.write_all(b"hello")
/// });
///
/// let _here = client.enter();
/// let mut text = String::new();
/// TcpStream::connect("server:7000")?.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// thread.join().expect("the server does not panic")
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Lan(pub(crate) Arc<LanInner>);

#[derive(Debug)]
pub(crate) struct LanInner {
    pub(crate) switch: Arc<Switch>,
    pub(crate) pool: Pool,
    pub(crate) trace: Trace,
    pub(crate) clock: Clock,
    state: Mutex<LanState>,
}

#[derive(Debug)]
struct LanState {
    rng: Rng,
    names: BTreeMap<Arc<str>, Vec<IpAddr>>,
    /// How many addresses and stations have been given out.
    stations: u32,
}

/// How much memory all frames of a LAN may hold, unless said otherwise.
const PACKET_MEMORY_BYTES: usize = 256 << 20;

/// A LAN is 10.0.0.0/16 and fd00::/64.
const PREFIX_LEN: u8 = 16;
const PREFIX_LEN_V6: u8 = 64;

impl Lan {
    /// A network whose chance (losses, ports, sequence numbers) no seed repeats.
    #[must_use]
    pub fn new() -> Lan {
        Lan::with(Rng::from_entropy(), PACKET_MEMORY_BYTES)
    }

    /// A network whose chance `seed` decides.
    #[must_use]
    pub fn with_seed(seed: u64) -> Lan {
        Lan::with(Rng::seeded(seed), PACKET_MEMORY_BYTES)
    }

    /// A network whose frames, wherever they are, together hold at most `packet_memory_bytes`; more are dropped with the
    /// reason `NOMEM`.
    #[must_use]
    pub fn with_packet_memory(seed: u64, packet_memory_bytes: usize) -> Lan {
        Lan::with(Rng::seeded(seed), packet_memory_bytes)
    }

    fn with(rng: Rng, packet_memory_bytes: usize) -> Lan {
        let clock = Handle::try_current().map_or(Clock::Real, |handle| handle.clock().clone());
        let pool = Pool::new(packet_memory_bytes);
        let inner = LanInner {
            switch: Arc::new(Switch::new(pool.clone(), clock.clone())),
            pool,
            trace: Trace::new(clock.clone()),
            clock,
            state: Mutex::new(LanState { rng, names: BTreeMap::new(), stations: 0 }),
        };
        Lan(Arc::new(inner))
    }

    /// Starts to describe a new host. It is plugged in when it is built.
    pub fn host(&self, name: &str) -> HostBuilder {
        HostBuilder::new(self.0.clone(), name.into())
    }

    /// The events of all hosts on this network.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.0.trace
    }

    /// Plugs in a port that the program reads and writes itself, frame by frame.
    ///
    /// # Errors
    /// `AddrNotAvailable` when the network has no address left.
    pub fn raw_port(&self) -> io::Result<RawPort> {
        let station = self.0.new_station()?;
        let queue = Arc::new(RawQueue::default());
        let port = {
            let mut state = self.0.state();
            let name = format!("raw {}", station.addr).into();
            Port::new(name, Some(station.mac), Sink::Raw(queue.clone()), Netem::new(), &mut state.rng)
        };
        let port = Arc::new(port);
        let id = self.0.switch.plug(port.clone()).ok_or(io::ErrorKind::AddrInUse)?;
        Ok(RawPort { lan: self.0.clone(), queue, id, port, station })
    }

    /// Writes all that is sent on this network to `to`, as a pcapng file for Wireshark and its like: each frame once, as it
    /// leaves its sender, before a link loses it. What a host sends to itself is not on the network.
    ///
    /// A thread of its own writes. When it is too slow, frames are missing in the file, and counted; by a clock
    /// that stands when the capture begins the network waits for it, and the file is the same in every run of a seed.
    ///
    /// # Examples
    /// ```no_run
    /// # fn main() -> std::io::Result<()> {
    /// # let lan = wakeline_net::emulated::Lan::new();
    /// let capture = lan.capture(std::fs::File::create("lan.pcapng")?)?;
    /// // ..
    /// let captured = capture.finish()?;
    /// println!("{} frames, {} missing", captured.frames, captured.dropped);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of starting a thread.
    pub fn capture(&self, to: impl io::Write + Send + 'static) -> io::Result<Capture> {
        Capture::start(&self.0.switch.captures, &self.0.clock, Scope::Lan, to)
    }

    /// Bytes that all frames of this network hold now, and the most they may.
    #[must_use]
    pub fn packet_memory(&self) -> (usize, usize) {
        (self.0.pool.bytes_in_use(), self.0.pool.max_bytes())
    }
}

impl Default for Lan {
    fn default() -> Self {
        Lan::new()
    }
}

/// A place on a LAN.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Station {
    pub(crate) mac: MacAddr,
    pub(crate) addr: Ipv4Addr,
    pub(crate) addr6: Ipv6Addr,
}

impl Station {
    /// Its addresses: of IPv4, of IPv6, and link-local. They are unique on the LAN, so nobody has to ask (RFC 4862 5.1,
    /// `DupAddrDetectTransmits` 0).
    pub(crate) fn addrs(&self) -> [Cidr; 3] {
        let v6 = |addr: Ipv6Addr| Cidr { addr: addr.into(), prefix_len: PREFIX_LEN_V6 };
        [Cidr { addr: self.addr.into(), prefix_len: PREFIX_LEN }, v6(self.addr6), v6(link_local(self.mac))]
    }
}

impl LanInner {
    /// Starts what holds frames back, in each direction of the link to `port` that does.
    pub(crate) fn start_delay_lines(
        &self,
        spawner: &Spawner,
        name: &str,
        links: Links,
        port: &Port,
        id: PortId,
    ) -> io::Result<()> {
        let lines = [(Direction::Up, links.up, &port.up_line), (Direction::Down, links.down, &port.down_line)];
        for (direction, _, line) in lines.into_iter().filter(|(_, netem, _)| netem.delays()) {
            let engine = DelayEngine::new(line.clone(), Arc::downgrade(&self.switch), id, direction);
            spawner.start(format!("{name}/link"), self.clock.clone(), engine)?;
        }
        Ok(())
    }

    /// Gives out the next address.
    pub(crate) fn new_station(&self) -> io::Result<Station> {
        let mut state = self.state();
        let number = state.stations + 1;
        if number >= u32::from(u16::MAX) {
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "the LAN has no address left"));
        }
        state.stations = number;
        let [_, _, high, low] = number.to_be_bytes();
        let (mac, addr) = (MacAddr([0x02, 0, 0, 0, high, low]), Ipv4Addr::new(10, 0, high, low));
        Ok(Station { mac, addr, addr6: Ipv6Addr::from_bits(0xfd00 << 112 | u128::from(number)) })
    }

    /// Enters a name into the network's table.
    pub(crate) fn join(&self, name: &Arc<str>, addrs: Vec<IpAddr>) -> io::Result<()> {
        let mut state = self.state();
        if state.names.contains_key(name) {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("there is a host named {name} on this LAN already"),
            ));
        }
        state.names.insert(name.clone(), addrs);
        Ok(())
    }

    pub(crate) fn leave(&self, name: &Arc<str>, port: PortId) {
        self.switch.unplug(port);
        self.state().names.remove(name);
    }

    /// The addresses of the host with this name, the one of IPv4 first.
    pub(crate) fn resolve(&self, name: &str) -> Option<Vec<IpAddr>> {
        self.state().names.get(name).cloned()
    }

    /// An independent generator from the LAN's seed.
    pub(crate) fn fork_rng(&self) -> Rng {
        self.state().rng.fork()
    }

    fn state(&self) -> MutexGuard<'_, LanState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A port of a LAN in the hands of a program: for tests, captures, foreign stacks.
#[derive(Debug)]
pub struct RawPort {
    lan: Arc<LanInner>,
    queue: Arc<RawQueue>,
    id: PortId,
    port: Arc<Port>,
    station: Station,
}

impl RawPort {
    /// The port's station address.
    #[must_use]
    pub fn mac(&self) -> [u8; 6] {
        self.station.mac.0
    }

    /// An IPv4 address that no host of the LAN has.
    #[must_use]
    pub fn addr(&self) -> Ipv4Addr {
        self.station.addr
    }

    /// An IPv6 address that no host of the LAN has.
    #[must_use]
    pub fn addr_v6(&self) -> Ipv6Addr {
        self.station.addr6
    }

    /// Puts one frame, from the destination address to the end of its payload, on the wire.
    ///
    /// # Errors
    /// `InvalidInput` when the frame is shorter than an Ethernet header or longer than 65535 bytes; `OutOfMemory` when the
    /// LAN's packet memory is used up.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        if frame.len() < 14 || frame.len() > usize::from(u16::MAX) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a frame has 14 to 65535 bytes"));
        }
        let frame = PacketBuf::from_bytes(&self.lan.pool, frame).ok_or(io::ErrorKind::OutOfMemory)?;
        self.lan.switch.send(self.id, &self.port, &mut vec![frame]);
        Ok(())
    }

    /// The next frame that has arrived, if any. A port holds 1024 frames; more are lost.
    #[must_use]
    pub fn try_recv(&self) -> Option<Vec<u8>> {
        self.queue.pop()
    }

    /// Waits for the next frame.
    ///
    /// # Cancel safety
    /// Dropping the future loses no frame.
    pub async fn recv(&self) -> Vec<u8> {
        self.queue.waiters.wait_until(Events::READABLE, Mode::Exclusive, || self.queue.pop()).await
    }
}

impl Drop for RawPort {
    fn drop(&mut self) {
        self.lan.switch.unplug(self.id);
    }
}
