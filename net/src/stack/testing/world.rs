//! The world in which two stacks live: a wire with delay, loss, reordering and duplication, and a clock.

use crate::event::{Trace, Tracer};
use crate::packet::{PacketBuf, Pool, copy};
use crate::sockopt::{Opt, Value};
use crate::stack::addresses::{Cidr, link_local};
use crate::stack::config::StackConfig;
use crate::stack::counters::Mib;
use crate::stack::effects::Effects;
use crate::stack::error::SocketError;
use crate::stack::route::{Route, RouteTo};
use crate::stack::shard::Stack;
use crate::stack::socket::SocketId;
use crate::wire::arp::ArpPacket;
use crate::wire::ethernet::{EtherType, EthernetHeader, MacAddr};
use crate::wire::icmp::IcmpHeader;
use crate::wire::icmpv6::Icmpv6Header;
use crate::wire::ipv4::{Ipv4Header, protocol};
use crate::wire::ipv6::Ipv6Header;
use crate::wire::ipv6_ext::{FragmentHeader, ext, upper};
use crate::wire::ndp::NdpMessage;
use crate::wire::tcp::TcpHeader;
use crate::wire::udp::UdpHeader;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;
use wakeline_runtime::clock::{Clock, Instant};
use wakeline_runtime::rng::Rng;

/// The two hosts: the client mostly opens, the server mostly listens.
pub(crate) const CLIENT: usize = 0;
pub(crate) const SERVER: usize = 1;

pub(crate) const ADDR: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)];
pub(crate) const MAC: [MacAddr; 2] = [MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2])];

pub(crate) const ADDR6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1), Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2)];

/// A host's addresses: of IPv4, of IPv6, and link-local.
pub(crate) fn addrs_of(host: usize) -> Vec<Cidr> {
    let v6 = |addr: Ipv6Addr| Cidr { addr: addr.into(), prefix_len: 64 };
    vec![Cidr { addr: ADDR[host].into(), prefix_len: 24 }, v6(ADDR6[host]), v6(link_local(MAC[host]))]
}

/// The way to everywhere.
pub(crate) fn default_via(router: IpAddr) -> Route {
    let prefix = if router.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
    Route { prefix: prefix.parse().unwrap(), to: RouteTo::Via(router), metric: 1024, expires_at: None }
}

/// What the wire does to frames.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire {
    pub(crate) delay_us: u64,
    pub(crate) jitter_us: u32,
    pub(crate) loss: f64,
    pub(crate) duplicate: f64,
    pub(crate) corrupt: f64,
    /// No frame arrives at all at this host.
    pub(crate) cut_to: Option<usize>,
    /// Packets whose ends know ECN are marked.
    pub(crate) is_congested: bool,
    /// Larger packets vanish.
    pub(crate) mtu: usize,
    /// What the receiver's device does to a frame.
    pub(crate) device: fn(&mut PacketBuf),
}

impl Default for Wire {
    fn default() -> Self {
        Wire {
            delay_us: 50,
            jitter_us: 0,
            loss: 0.0,
            duplicate: 0.0,
            corrupt: 0.0,
            cut_to: None,
            is_congested: false,
            mtu: usize::MAX,
            device: |_| {},
        }
    }
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) stacks: [Stack; 2],
    pub(crate) wire: Wire,
    pub(crate) pool: Pool,
    /// What was sent, as tcpdump prints it, with relative sequence numbers left as they are.
    pub(crate) log: Vec<String>,
    /// The TCP options of what was sent, as tcpdump prints them.
    pub(crate) options: Vec<String>,
    /// The last frame that was sent.
    pub(crate) last_frame: Vec<u8>,
    /// Type of service of the IPv4 packets that were sent.
    pub(crate) tos: Vec<u8>,
    in_flight: BTreeMap<(Instant, u64), (usize, PacketBuf)>,
    sent: u64,
    rng: Rng,
    tracer: Tracer,
}

/// What a stack wants to send, as far as its connections give it to a device that takes it at once.
pub(crate) fn take_tx(stack: &mut Stack, now: Instant, fx: &mut Effects) -> Vec<PacketBuf> {
    while stack.note_tx_completion() {
        stack.on_tx_completion(now, fx);
    }
    std::mem::take(&mut fx.tx)
}

impl World {
    pub(crate) fn new(seed: u64) -> World {
        World::with(seed, |_| {})
    }

    /// A world whose hosts are configured by `change`.
    pub(crate) fn with(seed: u64, change: impl Fn(&mut StackConfig)) -> World {
        let pool = Pool::new(64 << 20);
        let mut rng = Rng::seeded(seed);
        let stack = |index: usize, rng: &mut Rng| {
            let secret = [rng.next_u64(), rng.next_u64(), rng.next_u64(), rng.next_u64()];
            let mut config = StackConfig::new(MAC[index], addrs_of(index), secret);
            change(&mut config);
            Stack::new(config, pool.cache(), rng.fork())
        };
        let stacks = [stack(CLIENT, &mut rng), stack(SERVER, &mut rng)];
        World {
            now: Instant::from_virtual_ns(0),
            stacks,
            wire: Wire::default(),
            pool,
            log: Vec::new(),
            options: Vec::new(),
            last_frame: Vec::new(),
            tos: Vec::new(),
            in_flight: BTreeMap::new(),
            sent: 0,
            rng,
            tracer: Trace::new(Clock::Real).tracer(Arc::from("world")),
        }
    }

    /// Calls a stack and puts on the wire what it wants to send.
    pub(crate) fn call<R>(&mut self, host: usize, f: impl FnOnce(&mut Stack, Instant, &mut Effects) -> R) -> R {
        let tracer = self.tracer.clone();
        let mut fx = Effects::new(tracer.clone());
        let result = f(&mut self.stacks[host], self.now, &mut fx);
        self.send_all(host, &mut fx);
        while self.stacks[host].note_tx_completion() {
            self.stacks[host].on_tx_completion(self.now, &mut fx);
            self.send_all(host, &mut fx);
        }
        fx.wakes.wake_all();
        result
    }

    fn send_all(&mut self, host: usize, fx: &mut Effects) {
        for frame in std::mem::take(&mut fx.loopback) {
            self.sent += 1;
            self.in_flight.insert((self.now, self.sent), (host, frame));
        }
        for frame in std::mem::take(&mut fx.tx) {
            let bytes = frame.to_vec();
            self.log.push(format!("{} {}", ["C", "S"][host], describe(&bytes)));
            self.options.extend(tcp_options(&bytes));
            self.tos.extend(Ipv4Header::parse(&bytes[EthernetHeader::LEN..]).map(|ip| ip.tos));
            self.last_frame = bytes;
            self.transmit(1 - host, frame);
        }
    }

    /// Puts a frame for `to` on the wire.
    pub(crate) fn transmit(&mut self, to: usize, mut frame: PacketBuf) {
        let wire = self.wire;
        if frame.len() - EthernetHeader::LEN > wire.mtu || wire.cut_to == Some(to) || self.rng.chance(wire.loss) {
            return;
        }
        if wire.is_congested {
            mark(&mut frame);
        }
        if self.rng.chance(wire.corrupt) {
            assert!(frame.linearize(&mut self.pool.cache()), "the pool is large enough");
            let at = self.rng.below(frame.len() as u32) as usize;
            frame.data_mut()[at] ^= 1 << self.rng.below(8);
        }
        if self.rng.chance(wire.duplicate)
            && let Some(twin) = copy(&frame, &self.pool)
        {
            self.put_in_flight(to, twin);
        }
        self.put_in_flight(to, frame);
    }

    /// Puts a frame on the wire that comes later than others.
    pub(crate) fn transmit_late(&mut self, to: usize, frame: PacketBuf, extra: Duration) {
        self.sent += 1;
        let at = self.now + Duration::from_micros(self.wire.delay_us) + extra;
        self.in_flight.insert((at, self.sent), (to, frame));
    }

    fn put_in_flight(&mut self, to: usize, frame: PacketBuf) {
        let jitter = u64::from(self.rng.below(self.wire.jitter_us + 1));
        let at = self.now + Duration::from_micros(self.wire.delay_us + jitter);
        self.sent += 1;
        self.in_flight.insert((at, self.sent), (to, frame));
    }

    /// What is on the wire is lost.
    pub(crate) fn drop_in_flight(&mut self) {
        self.in_flight.clear();
    }

    /// Lets one thing happen: the next frame or the next timer. Says whether there was one before `limit`.
    pub(crate) fn step(&mut self, limit: Instant) -> bool {
        let frame_at = self.in_flight.first_key_value().map(|(&(at, _), _)| at);
        let timer_at = self.stacks.iter().filter_map(Stack::next_deadline).min();
        let Some(at) = [frame_at, timer_at].into_iter().flatten().min().filter(|&at| at <= limit) else {
            self.now = self.now.max(limit);
            return false;
        };
        self.now = self.now.max(at);
        if frame_at.is_some_and(|frame_at| frame_at <= at) {
            let ((_, _), (host, mut frame)) = self.in_flight.pop_first().unwrap();
            (self.wire.device)(&mut frame);
            self.call(host, |stack, now, fx| {
                stack.on_frame(now, frame, fx);
                stack.on_batch_end(now, fx);
            });
        } else {
            for host in [CLIENT, SERVER] {
                self.call(host, |stack, now, fx| stack.on_timer(now, fx));
            }
        }
        true
    }

    /// Lets `time` pass.
    pub(crate) fn run(&mut self, time: Duration) {
        let limit = self.now + time;
        while self.step(limit) {}
    }

    pub(crate) fn run_ms(&mut self, ms: u64) {
        self.run(Duration::from_millis(ms));
    }

    /// Both hosts know where the other is, so that no ARP is needed, or lost.
    pub(crate) fn introduce(&mut self) {
        for host in [CLIENT, SERVER] {
            let (peers, mac) = (addrs_of(1 - host), MAC[1 - host]);
            for peer in peers {
                self.call(host, |stack, now, fx| stack.add_neighbour(now, peer.addr, mac, fx));
            }
        }
    }

    // What programs do.

    pub(crate) fn listen(&mut self, port: u16, backlog: u32) -> SocketId {
        self.stacks[SERVER].tcp_listen(any_addr(port), backlog, false).unwrap()
    }

    pub(crate) fn connect(&mut self, port: u16) -> SocketId {
        let to = SocketAddr::new(ADDR[SERVER].into(), port);
        self.call(CLIENT, |stack, now, fx| stack.tcp_connect(now, None, to, &|_| true, fx)).unwrap()
    }

    /// An established connection: the client's socket, the server's, and the listener.
    pub(crate) fn establish(&mut self) -> (SocketId, SocketId, SocketId) {
        let listener = self.listen(7, 16);
        let client = self.connect(7);
        self.run_ms(5);
        assert_eq!(self.stacks[CLIENT].tcp_connect_result(client), Ok(()));
        let (server, peer) = self.stacks[SERVER].tcp_accept(listener).unwrap();
        assert_eq!(Ok(peer), self.stacks[CLIENT].local_addr(client));
        (client, server, listener)
    }

    pub(crate) fn udp_connect(&mut self, host: usize, id: SocketId, to: SocketAddr) -> Result<(), SocketError> {
        self.stacks[host].udp_connect(self.now, id, to, 0).map(drop)
    }

    pub(crate) fn send(&mut self, host: usize, id: SocketId, bytes: &[u8]) -> Result<usize, SocketError> {
        self.call(host, |stack, now, fx| stack.tcp_send(now, id, bytes, fx))
    }

    /// Reads everything that is there; the error, or the end as an empty vector, only when nothing is.
    pub(crate) fn recv(&mut self, host: usize, id: SocketId) -> Result<Vec<u8>, SocketError> {
        let mut all = Vec::new();
        let mut buf = [0; 4096];
        loop {
            match self.call(host, |stack, now, fx| stack.tcp_recv(now, id, &mut buf[..], fx)) {
                Ok(0) => return Ok(all),
                Ok(n) => all.extend_from_slice(&buf[..n]),
                Err(_) if !all.is_empty() => return Ok(all),
                Err(error) => return Err(error),
            }
        }
    }

    /// SO_RCVBUF.
    pub(crate) fn set_rcvbuf(&mut self, host: usize, id: SocketId, bytes: u32) {
        self.call(host, |stack, now, fx| stack.set_option(now, id, (Opt::RcvBuf, Value::Number(bytes)), fx)).unwrap();
    }

    pub(crate) fn close(&mut self, host: usize, id: SocketId) {
        self.call(host, |stack, now, fx| stack.close(now, id, fx));
    }

    /// The state of one host's only connection, as the kernel names it.
    pub(crate) fn state(&mut self, host: usize, id: SocketId) -> &'static str {
        self.stacks[host].sockets.connection_at(id.index()).map_or("(gone)", |c| c.block.state().name())
    }

    /// Whether a connection is still in its host's table.
    pub(crate) fn has_connection(&mut self, host: usize, id: SocketId) -> bool {
        self.stacks[host].sockets.connection_at(id.index()).is_some()
    }

    pub(crate) fn count(&self, host: usize, mib: Mib) -> u64 {
        self.stacks[host].counters().get(mib)
    }

    /// What was sent since the last time.
    pub(crate) fn take_log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }
}

/// The address of any interface.
pub(crate) fn any_addr(port: u16) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port)
}

/// A frame in short: protocol, flags and lengths, as tcpdump abbreviates them; no numbers that depend on a key.
pub(crate) fn describe(frame: &[u8]) -> String {
    let Some((protocol, rest)) = transport_of(frame) else {
        return describe_rest(&frame[EthernetHeader::LEN..], EthernetHeader::parse(frame).unwrap().ethertype);
    };
    match protocol {
        protocol::TCP => {
            let (header, len) = TcpHeader::parse(rest).unwrap();
            format!("[{}] {}", header.flags, rest.len() - len)
        }
        protocol::UDP => UdpHeader::parse(rest).unwrap().to_string(),
        protocol::ICMPV6 => match NdpMessage::parse(rest).unwrap() {
            Some(message) => message.to_string(),
            None => Icmpv6Header::parse(rest).unwrap().to_string(),
        },
        _ => IcmpHeader::parse(rest).unwrap().to_string(),
    }
}

/// A fragment, or ARP.
fn describe_rest(packet: &[u8], ethertype: EtherType) -> String {
    match ethertype {
        EtherType::Ipv4 => {
            let ip = Ipv4Header::parse(packet).unwrap();
            let more = if ip.more_fragments { "+" } else { "none" };
            format!("frag offset {}, flags [{more}], length {}", ip.fragment_offset * 8, ip.total_len)
        }
        EtherType::Ipv6 => {
            let header = FragmentHeader::parse(&packet[Ipv6Header::LEN..]).unwrap();
            let last = packet.len() - Ipv6Header::LEN - FragmentHeader::LEN;
            format!("frag (0x{:08x}:{}|{last})", 0, header.offset * 8)
        }
        _ => ArpPacket::parse(packet).unwrap().to_string(),
    }
}

/// The options of a TCP segment.
fn tcp_options(frame: &[u8]) -> Option<String> {
    let (protocol, rest) = transport_of(frame)?;
    (protocol == protocol::TCP).then(|| TcpHeader::parse(rest).unwrap().0.options.to_string())
}

/// The number of the transport that a frame of IP carries, and the transport.
fn transport_of(frame: &[u8]) -> Option<(u8, &[u8])> {
    let packet = &frame[EthernetHeader::LEN..];
    match EthernetHeader::parse(frame).unwrap().ethertype {
        EtherType::Ipv4 => {
            let ip = Ipv4Header::parse(packet).unwrap();
            (!ip.is_fragment()).then(|| (ip.protocol, &packet[ip.header_len.into()..]))
        }
        EtherType::Ipv6 => {
            let ip = Ipv6Header::parse(packet).unwrap();
            if ip.next_header == ext::FRAGMENT {
                return None;
            }
            let (protocol, offset) = upper(packet, ip.next_header).unwrap();
            Some((protocol, &packet[offset..]))
        }
        _ => None,
    }
}

/// RFC 3168 section 5: a router that is congested.
fn mark(frame: &mut PacketBuf) {
    let packet = &mut frame.data_mut()[EthernetHeader::LEN..];
    if let Ok(ip) = Ipv4Header::parse_quoted(packet)
        && ip.tos & 3 != 0
    {
        Ipv4Header { tos: ip.tos | 3, ..ip }.emit(packet.first_chunk_mut().unwrap());
    }
}

/// A waker that counts how often it was called.
#[derive(Default)]
pub(crate) struct Count(AtomicU32);

impl Count {
    pub(crate) fn new() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        (count.clone(), Waker::from(count))
    }

    /// How often, since the last time.
    pub(crate) fn take(&self) -> u32 {
        self.0.swap(0, Ordering::SeqCst)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// `n` bytes that differ from place to place.
pub(crate) fn pattern(n: usize) -> Vec<u8> {
    (0..n).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}
