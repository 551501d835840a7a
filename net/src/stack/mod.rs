//! The network stack of one shard of a host, as a pure core: no clock, no thread, no lock, no I/O.
//!
//! `now` comes in with every call; frames, wake-ups and the next deadline go out. The host locks a stack, calls it,
//! unlocks it, and only then acts on the [`Effects`].
//!
//! # How to drive it
//! [`on_frame`](Stack::on_frame) for each frame of a batch, then [`on_batch_end`](Stack::on_batch_end), which sends what
//! the batch has made due; [`on_timer`](Stack::on_timer) when [`next_deadline`](Stack::next_deadline) has come; and the
//! programs' calls at any time. After any of them: put `tx` on the device's ring, give `loopback` back to `on_frame`
//! later, call the wakers, look at `next_deadline` again.
//!
//! # What it does not know
//! Devices and rings; tasks and threads (it only sees `WaitList`s); other shards.

pub(crate) mod config;
pub(crate) mod counters;
pub(crate) mod demux;
pub(crate) mod effects;
pub(crate) mod error;
pub(crate) mod icmp;
pub(crate) mod ip;
pub(crate) mod keyed_hash;
pub(crate) mod neigh;
pub(crate) mod rate_limit;
pub(crate) mod socket;
pub(crate) mod tcp;
pub(crate) mod timers;
pub(crate) mod udp;

#[cfg(test)]
mod tests;

use crate::event::{DropReason, Drops, Event};
use crate::packet::{PacketBuf, PoolCache};
use crate::sockopt::{Opt, Value};
use crate::stack::config::StackConfig;
use crate::stack::counters::{Counters, Mib};
use crate::stack::effects::Effects;
use crate::stack::error::SocketError;
use crate::stack::icmp::{About, Report};
use crate::stack::ip::{IpLayer, Lower};
use crate::stack::socket::{Socket, SocketId, Sockets};
use crate::stack::tcp::calls::EPHEMERAL;
use crate::stack::tcp::layer::TcpLayer;
use crate::stack::tcp::settings::{SettingFlags, Settings};
use crate::stack::timers::earlier;
use crate::stack::udp::UdpLayer;
use crate::tcp_info::TcpInfo;
use crate::wire::ethernet::{EtherType, EthernetHeader, MacAddr};
use crate::wire::icmp::unreachable;
use crate::wire::ipv4::protocol;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4};
use wakeline_runtime::clock::Instant;
use wakeline_runtime::rng::Rng;
use wakeline_runtime::wait_queue::{Events, WaitList};

/// A transport with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proto {
    Tcp,
    Udp,
}

/// See the [module](self).
pub(crate) struct Stack {
    ip: IpLayer,
    sockets: Sockets,
    tcp: TcpLayer,
    udp: UdpLayer,
    rng: Rng,
    is_down: bool,
}

impl Stack {
    /// A stack without sockets.
    pub(crate) fn new(config: StackConfig, pool: PoolCache, rng: Rng) -> Stack {
        Stack {
            sockets: Sockets::new(config.limits.sockets_max),
            tcp: TcpLayer::new(&config),
            udp: UdpLayer::new(config.secret),
            ip: IpLayer::new(config, pool),
            rng,
            is_down: false,
        }
    }

    // Frames and time.

    /// `__netif_receive_skb`: an Ethernet frame from the device, or from this host itself.
    pub(crate) fn on_frame(&mut self, now: Instant, mut frame: PacketBuf, fx: &mut Effects) {
        let len = frame.len() as u32;
        fx.tracer.emit(|| Event::NetifReceiveSkb { len });
        if self.is_down {
            return self.ip.drop_packet(frame, DropReason::DevReady, fx);
        }
        let Ok(header) = EthernetHeader::parse(frame.data()) else {
            return self.ip.drop_packet(frame, DropReason::PktTooSmall, fx);
        };
        if header.dst != self.ip.config.mac && !header.dst.is_multicast() {
            return self.ip.drop_packet(frame, DropReason::Otherhost, fx);
        }
        frame.pull(EthernetHeader::LEN);
        match header.ethertype {
            EtherType::Ipv4 => self.on_ipv4(now, frame, header.src == self.ip.config.mac, fx),
            EtherType::Arp => self.ip.on_arp(frame, now, fx),
            EtherType::Ipv6 | EtherType::Other(_) => self.ip.drop_packet(frame, DropReason::UnhandledProto, fx),
        }
    }

    /// `ip_rcv` to `ip_protocol_deliver_rcu`.
    fn on_ipv4(&mut self, now: Instant, packet: PacketBuf, from_self: bool, fx: &mut Effects) {
        let Some((header, packet)) = self.ip.receive(packet, from_self, fx) else { return };
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        match header.protocol {
            protocol::TCP => {
                lower.ip.counters.count(Mib::IpInDelivers);
                self.tcp.on_segment(&mut self.sockets, &header, packet, lower);
            }
            protocol::UDP => {
                lower.ip.counters.count(Mib::IpInDelivers);
                self.udp.on_datagram(&mut self.sockets, &header, packet, lower);
            }
            protocol::ICMP => {
                lower.ip.counters.count(Mib::IpInDelivers);
                if let Some(report) = icmp::on_message(&header, packet, lower) {
                    self.on_report(now, report, fx);
                }
            }
            _ => {
                lower.ip.counters.count(Mib::IpInUnknownProtos);
                icmp::send_unreachable(lower, &header, packet.data(), unreachable::PROTOCOL);
                lower.ip.drop_packet(packet, DropReason::UnhandledProto, lower.fx);
            }
        }
    }

    fn on_report(&mut self, now: Instant, report: Report, fx: &mut Effects) {
        let Report { flow, error, about } = report;
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        match about {
            About::Tcp(seq) => self.tcp.on_error(&mut self.sockets, &flow, seq, error, lower),
            About::Udp => self.udp.on_error(&mut self.sockets, &flow, error, lower),
        }
    }

    /// The end of a batch of frames, that is, of a NAPI poll: at most one acknowledgement goes out per connection, and
    /// what its acknowledgements have allowed.
    pub(crate) fn on_batch_end(&mut self, now: Instant, fx: &mut Effects) {
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        self.tcp.flush(&mut self.sockets, lower);
    }

    /// Does what time has made due, up to a bound; when more is due, [`next_deadline`](Self::next_deadline) says so.
    pub(crate) fn on_timer(&mut self, now: Instant, fx: &mut Effects) {
        for packet in self.ip.on_timer(now, fx) {
            // `arp_error_report`: as if a router had said that the host cannot be reached.
            let report = icmp::read_quoted(packet.data(), SocketError::HostUnreachable);
            self.ip.drop_packet(packet, DropReason::NeighFailed, fx);
            if let Some(report) = report {
                self.on_report(now, report, fx);
            }
        }
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        self.tcp.on_timer(&mut self.sockets, lower);
    }

    /// When [`on_timer`](Self::on_timer) is to be called. It may turn out that nothing is due yet.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        earlier(self.tcp.next_deadline(), self.ip.next_deadline())
    }

    // TCP.

    /// A listener on `local`, whose port has been chosen.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`, `AddrFamilyNotSupported`, `InvalidInput` without a port, `NoBuffers`.
    pub(crate) fn tcp_listen(
        &mut self,
        local: SocketAddr,
        backlog: u32,
        reuse_port: bool,
    ) -> Result<SocketId, SocketError> {
        let mut settings = self.tcp.default_settings();
        settings.flags |= SettingFlags::REUSE_ADDR;
        settings.flags.set(SettingFlags::REUSE_PORT, reuse_port);
        let id = self.tcp_bind(local, settings)?;
        self.tcp.listen(&mut self.sockets, id, backlog, settings)?;
        Ok(id)
    }

    /// Gives an address, whose port has been chosen, to a socket that does not listen yet.
    ///
    /// # Errors
    /// As [`tcp_listen`](Self::tcp_listen).
    pub(crate) fn tcp_bind(&mut self, local: SocketAddr, settings: Settings) -> Result<SocketId, SocketError> {
        let local = self.bindable(local)?;
        self.tcp.bind(&mut self.sockets, local, settings, self.ip.config.addr)
    }

    /// Lets a bound socket listen, with these settings from now on.
    ///
    /// # Errors
    /// `AddrInUse` when another one listens there, `Stale`.
    pub(crate) fn tcp_listen_on(&mut self, id: SocketId, backlog: u32, settings: Settings) -> Result<(), SocketError> {
        self.tcp.listen(&mut self.sockets, id, backlog, settings)
    }

    /// The settings of a new TCP socket.
    pub(crate) fn tcp_settings(&self) -> Settings {
        self.tcp.default_settings()
    }

    /// Begins to connect; an ephemeral port is chosen among those that `port_filter` accepts.
    ///
    /// # Errors
    /// `NetworkUnreachable`, `AddrNotAvailable` also when no port is left, `AddrFamilyNotSupported`, `NoBuffers`. What
    /// the peer says comes later, with [`tcp_connect_result`](Self::tcp_connect_result).
    #[cfg(test)]
    pub(crate) fn tcp_connect(
        &mut self,
        now: Instant,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        port_filter: &dyn Fn(u16) -> bool,
        fx: &mut Effects,
    ) -> Result<SocketId, SocketError> {
        self.tcp_open(now, (local, remote), self.tcp.default_settings(), port_filter, fx)
    }

    /// The same, for a socket that has been prepared: perhaps bound, and with settings.
    ///
    /// # Errors
    /// As [`tcp_connect`](Self::tcp_connect).
    pub(crate) fn tcp_open(
        &mut self,
        now: Instant,
        (local, remote): (Option<SocketAddr>, SocketAddr),
        settings: Settings,
        port_filter: &dyn Fn(u16) -> bool,
        fx: &mut Effects,
    ) -> Result<SocketId, SocketError> {
        self.check_up()?;
        let local = local.map(v4).transpose()?;
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        self.tcp.connect(&mut self.sockets, local, v4(remote)?, settings, port_filter, lower)
    }

    /// Takes a connection out of a listener's accept queue.
    ///
    /// # Errors
    /// `WouldBlock` when it is empty, `NetworkDown`.
    pub(crate) fn tcp_accept(&mut self, listener: SocketId) -> Result<(SocketId, SocketAddr), SocketError> {
        self.tcp.accept(&mut self.sockets, listener).map(|(id, peer)| (id, peer.into()))
    }

    /// How many connections wait in a listener's accept queue.
    #[cfg(test)]
    pub(crate) fn accept_backlog(&self, listener: SocketId) -> usize {
        match self.sockets.get(listener) {
            Ok(Socket::Listener(listener)) => listener.accept_queue.len(),
            _ => 0,
        }
    }

    /// Copies as much of `buf` as fits into the send buffer, and sends what the windows allow.
    ///
    /// # Errors
    /// `WouldBlock` while connecting and when the buffer is full, `BrokenPipe` after the end, and whatever happened to
    /// the connection.
    #[inline]
    pub(crate) fn tcp_send(
        &mut self,
        now: Instant,
        id: SocketId,
        buf: &[u8],
        fx: &mut Effects,
    ) -> Result<usize, SocketError> {
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        self.tcp.send(&mut self.sockets, id, buf, lower)
    }

    /// Copies what has arrived into `buf`; 0 is the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` when nothing has, `NotConnected`, and whatever happened to the connection.
    #[inline]
    pub(crate) fn tcp_recv(
        &mut self,
        now: Instant,
        id: SocketId,
        buf: &mut [u8],
        fx: &mut Effects,
    ) -> Result<usize, SocketError> {
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        self.tcp.recv(&mut self.sockets, id, buf, lower)
    }

    /// The same, leaving everything where it is.
    ///
    /// # Errors
    /// As [`tcp_recv`](Self::tcp_recv).
    pub(crate) fn tcp_peek(&mut self, id: SocketId, buf: &mut [u8]) -> Result<usize, SocketError> {
        TcpLayer::peek(&mut self.sockets, id, buf)
    }

    /// Ends one direction or both.
    ///
    /// # Errors
    /// `NotConnected`.
    pub(crate) fn tcp_shutdown(
        &mut self,
        now: Instant,
        id: SocketId,
        how: Shutdown,
        fx: &mut Effects,
    ) -> Result<(), SocketError> {
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        self.tcp.shutdown(&mut self.sockets, id, how, lower)
    }

    /// What became of [`tcp_connect`](Self::tcp_connect).
    ///
    /// # Errors
    /// `WouldBlock` while nothing did; otherwise why it failed.
    pub(crate) fn tcp_connect_result(&mut self, id: SocketId) -> Result<(), SocketError> {
        self.sockets.connection(id)?.connect_result()
    }

    /// `setsockopt(2)`. A listener's options are those of the connections that it will accept.
    ///
    /// # Errors
    /// `InvalidInput` for a value out of range, `NotFound`, `OptionUnknown`, `Stale`.
    pub(crate) fn set_option(
        &mut self,
        now: Instant,
        id: SocketId,
        (opt, value): (Opt, Value),
        fx: &mut Effects,
    ) -> Result<(), SocketError> {
        if let Ok(socket) = self.sockets.udp(id) {
            return socket.set_option(opt, value);
        }
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        self.tcp.set_option(&mut self.sockets, id, (opt, value), lower)
    }

    /// `getsockopt(2)`
    ///
    /// # Errors
    /// `OptionUnknown`, `Stale`.
    pub(crate) fn option(&self, id: SocketId, opt: Opt) -> Result<Value, SocketError> {
        match self.sockets.get(id)? {
            Socket::Udp(socket) => socket.option(opt),
            _ => TcpLayer::option(&self.sockets, id, opt),
        }
    }

    /// `TCP_INFO` of a connection; of a listener, the lengths of its queues.
    ///
    /// # Errors
    /// `Stale`, `OptionUnknown` for UDP.
    pub(crate) fn tcp_info(&self, now: Instant, id: SocketId) -> Result<TcpInfo, SocketError> {
        match self.sockets.get(id)? {
            Socket::Connection(connection) => Ok(connection.block.info(now)),
            Socket::Listener(listener) => Ok(listener.info()),
            Socket::Udp(_) => Err(SocketError::OptionUnknown),
        }
    }

    // UDP.

    /// A UDP socket on `local`, whose port has been chosen.
    ///
    /// # Errors
    /// As [`tcp_listen`](Self::tcp_listen).
    pub(crate) fn udp_bind(&mut self, local: SocketAddr) -> Result<SocketId, SocketError> {
        let local = self.bindable(local)?;
        let rcvbuf = self.ip.config.limits.udp_rcvbuf;
        self.udp.bind(&mut self.sockets, local, (self.ip.config.addr, rcvbuf))
    }

    /// Sets the peer of a UDP socket.
    ///
    /// # Errors
    /// `NetworkUnreachable`, `AddrFamilyNotSupported`, `AddrInUse`.
    pub(crate) fn udp_connect(&mut self, id: SocketId, peer: SocketAddr) -> Result<(), SocketError> {
        let peer = v4(peer)?;
        let to = if peer.ip().is_unspecified() { Ipv4Addr::LOCALHOST } else { *peer.ip() };
        let source = self.ip.source_for(to)?;
        self.udp.connect(&mut self.sockets, id, SocketAddrV4::new(to, peer.port()), source)
    }

    /// Sends one datagram, to the socket's peer unless `to` is given.
    ///
    /// # Errors
    /// `DestinationRequired`, `MessageTooLong`, `NetworkUnreachable`, `NoBuffers`, and what was reported about an
    /// earlier one.
    pub(crate) fn udp_send_to(
        &mut self,
        now: Instant,
        id: SocketId,
        payload: &[u8],
        to: Option<SocketAddr>,
        fx: &mut Effects,
    ) -> Result<usize, SocketError> {
        let to = to.map(v4).transpose()?;
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        UdpLayer::send(&mut self.sockets, id, payload, to, lower)
    }

    /// Takes the oldest datagram, or with `peek` looks at it; what does not fit into `buf` is cut off.
    ///
    /// # Errors
    /// `WouldBlock` when there is none, and what was reported about a datagram that was sent.
    pub(crate) fn udp_recv_from(
        &mut self,
        id: SocketId,
        buf: &mut [u8],
        peek: bool,
    ) -> Result<(usize, SocketAddr), SocketError> {
        let received = UdpLayer::recv(&mut self.sockets, id, buf, peek, &mut self.ip.pool);
        received.map(|(n, from)| (n, from.into()))
    }

    // Any socket.

    /// Closes a socket; its name is stale from now on. A TCP connection goes on until its FIN is through, or is reset
    /// when something was not read.
    pub(crate) fn close(&mut self, now: Instant, id: SocketId, fx: &mut Effects) {
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        match self.sockets.get(id) {
            Ok(Socket::Udp(_)) => self.udp.close(&mut self.sockets, id, lower),
            Ok(_) => self.tcp.close(&mut self.sockets, id, lower),
            Err(_) => {}
        }
    }

    /// SO_ERROR: what happened, once.
    pub(crate) fn take_error(&mut self, id: SocketId) -> Option<SocketError> {
        match self.sockets.get_mut(id).ok()? {
            Socket::Connection(connection) => connection.error.take(),
            Socket::Udp(socket) => socket.error.take(),
            Socket::Listener(_) => None,
        }
    }

    /// The socket's own address.
    ///
    /// # Errors
    /// `Stale`.
    pub(crate) fn local_addr(&self, id: SocketId) -> Result<SocketAddr, SocketError> {
        Ok(match self.sockets.get(id)? {
            Socket::Connection(connection) => connection.flow.local,
            Socket::Listener(listener) => listener.local,
            Socket::Udp(socket) => socket.local,
        }
        .into())
    }

    /// The peer's address.
    ///
    /// # Errors
    /// `NotConnected`, `Stale`.
    pub(crate) fn peer_addr(&self, id: SocketId) -> Result<SocketAddr, SocketError> {
        match self.sockets.get(id)? {
            Socket::Connection(connection) => Ok(connection.flow.remote.into()),
            Socket::Listener(_) => Err(SocketError::NotConnected),
            Socket::Udp(socket) => socket.peer.map(SocketAddr::from).ok_or(SocketError::NotConnected),
        }
    }

    /// What `poll(2)` says of it. Asking a full socket whether it is writable is asking to be told when it is.
    pub(crate) fn readiness(&mut self, id: SocketId) -> Events {
        match self.sockets.get_mut(id) {
            Ok(Socket::Connection(connection)) => connection.readiness(),
            Ok(Socket::Listener(listener)) => match (listener.is_down, listener.accept_queue.is_empty()) {
                (true, _) => Events::ERR | Events::HUP,
                (false, true) => Events::empty(),
                (false, false) => Events::IN | Events::RDNORM,
            },
            Ok(Socket::Udp(socket)) => socket.readiness(),
            Err(_) => Events::ERR | Events::HUP,
        }
    }

    /// Who waits for a socket (`socket_wq.wait`): to be joined under the lock under which the condition was tested.
    pub(crate) fn wait_list(&mut self, id: SocketId) -> Option<&mut WaitList> {
        self.sockets.wait_list(id)
    }

    /// Whether any socket, or connection that is still finishing, uses a local port.
    pub(crate) fn port_in_use(&self, proto: Proto, port: u16) -> bool {
        match proto {
            Proto::Tcp => self.tcp.demux().port_in_use(port),
            Proto::Udp => self.udp.demux().port_in_use(port),
        }
    }

    /// A free ephemeral port that `filter` accepts, for a socket that is bound to port 0.
    pub(crate) fn pick_port(&mut self, proto: Proto, filter: &dyn Fn(u16) -> bool) -> Option<u16> {
        let range = EPHEMERAL.len() as u32;
        let first = self.rng.below(range);
        let ports = (0..range).map(|step| EPHEMERAL.start() + ((first + step) % range) as u16);
        ports.into_iter().find(|&port| !self.port_in_use(proto, port) && filter(port))
    }

    // The host.

    /// The host goes down: every socket reports it, everybody who waits is woken, and frames are dropped.
    pub(crate) fn shut_down(&mut self, now: Instant, fx: &mut Effects) {
        self.is_down = true;
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        self.tcp.shut_down(&mut self.sockets, lower);
        self.udp.shut_down(&mut self.sockets, lower);
    }

    /// Tells where a neighbour is: for good, or as if ARP had said so.
    pub(crate) fn add_neighbour(
        &mut self,
        now: Instant,
        ip: Ipv4Addr,
        mac: MacAddr,
        permanent: bool,
        fx: &mut Effects,
    ) {
        self.ip.add_neighbour((ip, mac), permanent, now, fx);
    }

    /// What was counted.
    pub(crate) fn counters(&self) -> &Counters {
        &self.ip.counters
    }

    /// What was lost.
    pub(crate) fn drops(&self) -> &Drops {
        &self.ip.drops
    }

    /// How many sockets there are, connections without an owner included.
    pub(crate) fn socket_count(&self) -> usize {
        self.sockets.len()
    }

    /// How many connections are in TIME-WAIT.
    #[cfg(test)]
    pub(crate) fn time_wait_count(&self) -> usize {
        self.tcp.time_wait_len()
    }

    /// How many connections are half open.
    #[cfg(test)]
    pub(crate) fn half_open_count(&self) -> usize {
        self.tcp.requests_len()
    }

    /// An address that a socket may be bound to.
    fn bindable(&self, local: SocketAddr) -> Result<SocketAddrV4, SocketError> {
        self.check_up()?;
        let local = v4(local)?;
        if local.port() == 0 {
            return Err(SocketError::InvalidInput);
        }
        let own = local.ip().is_unspecified() || self.ip.is_own(*local.ip());
        if own { Ok(local) } else { Err(SocketError::AddrNotAvailable) }
    }

    fn check_up(&self) -> Result<(), SocketError> {
        if self.is_down { Err(SocketError::NetworkDown) } else { Ok(()) }
    }
}

/// The network is IPv4.
fn v4(addr: SocketAddr) -> Result<SocketAddrV4, SocketError> {
    match addr {
        SocketAddr::V4(addr) => Ok(addr),
        SocketAddr::V6(_) => Err(SocketError::AddrFamilyNotSupported),
    }
}
