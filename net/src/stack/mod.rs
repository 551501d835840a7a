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

pub(crate) mod addresses;
pub(crate) mod arp;
pub(crate) mod complain;
pub(crate) mod config;
pub(crate) mod counters;
pub(crate) mod defrag;
pub(crate) mod demux;
pub(crate) mod effects;
pub(crate) mod endpoint;
pub(crate) mod error;
pub(crate) mod flow_table;
pub(crate) mod forward;
pub(crate) mod fragment;
pub(crate) mod icmp;
pub(crate) mod icmpv6;
pub(crate) mod ip;
pub(crate) mod ip_input;
pub(crate) mod ip_output;
pub(crate) mod keyed_hash;
pub(crate) mod listing;
pub(crate) mod membership;
pub(crate) mod ndp;
pub(crate) mod neigh;
pub(crate) mod path_mtu;
pub(crate) mod rate_limit;
pub(crate) mod reassembly;
pub(crate) mod report;
pub(crate) mod route;
pub(crate) mod socket;
pub(crate) mod tcp;
pub(crate) mod timers;
pub(crate) mod udp;
pub(crate) mod udp_options;

#[cfg(any(test, fuzzing))]
#[expect(clippy::unwrap_used, reason = "these are tests, but clippy only knows `cfg(test)`")]
#[cfg_attr(fuzzing, expect(dead_code, reason = "fuzzers use a part of what the tests do"))]
pub(crate) mod tests;

use crate::event::{DropReason, Drops, Event};
use crate::packet::{PacketBuf, PoolCache};
use crate::sockopt::{Opt, Value};
use crate::stack::addresses::Cidr;
use crate::stack::complain::{Complaint, complain};
use crate::stack::config::StackConfig;
use crate::stack::counters::{Counters, Mib};
use crate::stack::defrag::on_expired;
use crate::stack::demux::Binding;
use crate::stack::effects::{Effects, Fact};
use crate::stack::endpoint::{Endpoint, Family, destination};
use crate::stack::error::SocketError;
use crate::stack::forward::{forward, tell_sender};
use crate::stack::ip::{IpLayer, Lower, TimedOut};
use crate::stack::ip_input::{Arrived, Problem, Received};
use crate::stack::listing::{Cursor, SocketEntry};
use crate::stack::membership::igmp_query;
use crate::stack::report::{About, Report, Said, read_quoted};
use crate::stack::route::Route;
use crate::stack::socket::{Socket, SocketId, Sockets};
use crate::stack::tcp::calls::EPHEMERAL;
use crate::stack::tcp::layer::TcpLayer;
use crate::stack::tcp::settings::{SettingFlags, Settings};
use crate::stack::timers::earlier;
use crate::stack::udp::UdpLayer;
use crate::tcp_info::TcpInfo;
use crate::wire::ethernet::{EtherType, EthernetHeader, MacAddr};
use crate::wire::icmpv6::problem;
use crate::wire::ip::IpHeader;
use crate::wire::ipv4::protocol;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};
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
        let from_self = header.src == self.ip.config.mac;
        let arrived = Arrived { from_self, to_group: header.dst.is_multicast() };
        let received = match header.ethertype {
            EtherType::Ipv4 => self.ip.receive_v4(frame, arrived, now, fx),
            EtherType::Ipv6 => self.ip.receive_v6(frame, arrived, now, fx),
            EtherType::Arp => return self.ip.on_arp(frame, arrived, now, fx),
            EtherType::Other(_) => return self.ip.drop_packet(frame, DropReason::UnhandledProto, fx),
        };
        match received {
            Received::Up(ip, packet) => self.deliver(now, &ip, packet, fx),
            Received::Dropped => {}
            Received::Refused(problem) => self.refuse(now, *problem, fx),
            Received::Onward(ip, packet) => forward(&mut Lower { now, ip: &mut self.ip, fx }, &ip, packet),
        }
    }

    /// `ip_protocol_deliver_rcu` and `ip6_protocol_deliver_rcu`.
    #[inline]
    fn deliver(&mut self, now: Instant, ip: &IpHeader, packet: PacketBuf, fx: &mut Effects) {
        let v4 = ip.dst.is_ipv4();
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        let delivers = if v4 { Mib::IpInDelivers } else { Mib::Ip6InDelivers };
        match ip.protocol {
            protocol::TCP => {
                lower.ip.counters.count(delivers);
                self.tcp.on_segment(&mut self.sockets, ip, packet, lower);
            }
            protocol::UDP => {
                lower.ip.counters.count(delivers);
                self.udp.on_datagram(&mut self.sockets, ip, packet, lower);
            }
            protocol::ICMP if v4 => {
                lower.ip.counters.count(delivers);
                if let Some(report) = icmp::on_message(ip, packet, lower) {
                    self.hear_report(now, report, fx);
                }
            }
            protocol::ICMPV6 if !v4 => {
                lower.ip.counters.count(delivers);
                if let Some(report) = icmpv6::on_message(ip, packet, lower) {
                    self.hear_report(now, report, fx);
                }
            }
            protocol::IGMP if v4 => {
                lower.ip.counters.count(delivers);
                if let Some(group) = igmp_query(packet.data()) {
                    lower.ip.on_membership_query(group.into(), now, lower.fx);
                }
                lower.ip.pool.free(packet);
            }
            _ => on_unknown_protocol(ip, packet, lower),
        }
    }

    /// A packet with an extension header that was not to be skipped.
    #[cold]
    fn refuse(&mut self, now: Instant, problem: Problem, fx: &mut Effects) {
        let Problem { ip, mut packet, code, pointer } = problem;
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        packet.pull(ip.header_len.into());
        complain(lower, &ip, &mut packet, Complaint::Parameter { code, pointer });
        lower.ip.drop_packet(packet, DropReason::IpInhdr, lower.fx);
    }

    /// A router's word, or the other host's, about a packet of ours: it comes to whichever shard its own ends lead to.
    #[cold]
    fn hear_report(&mut self, now: Instant, report: Report, fx: &mut Effects) {
        // A connected UDP socket stands on every shard, and hears of it once.
        if self.ip.config.shard.count > 1 && report.about != About::Udp {
            fx.facts.push(Fact::Report(report));
        }
        self.on_report(now, report, fx);
    }

    fn on_report(&mut self, now: Instant, report: Report, fx: &mut Effects) {
        let Report { flow, said, about } = report;
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        match about {
            About::Tcp(seq) => self.tcp.on_error(&mut self.sockets, &flow, seq, said, lower),
            About::Udp => self.udp.on_error(&mut self.sockets, &flow, said, lower),
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
        let TimedOut { undelivered, incomplete } = self.ip.on_timer(now, fx);
        for packet in undelivered {
            // `arp_error_report`: as if a router had said that the host cannot be reached.
            let report = read_quoted(packet.data(), Said::soft(SocketError::HostUnreachable));
            match report {
                Some(report) if self.ip.is_own(report.flow.local.ip()) => self.on_report(now, report, fx),
                _ => tell_sender(&packet, &mut Lower { now, ip: &mut self.ip, fx }),
            }
            self.ip.drop_packet(packet, DropReason::NeighFailed, fx);
        }
        for expired in incomplete {
            on_expired(expired, &mut Lower { now, ip: &mut self.ip, fx });
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
        let only = settings.flags.contains(SettingFlags::ONLY_V6);
        let family = if local.is_ipv6() { Family::V6 { only } } else { Family::V4 };
        let local = self.bindable(local)?;
        if !family.speaks(local.ip()) {
            return Err(SocketError::InvalidInput);
        }
        self.tcp.bind(&mut self.sockets, local, family, settings)
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
    #[cfg(any(test, fuzzing))]
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
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        self.tcp.connect(&mut self.sockets, local, remote, settings, port_filter, lower)
    }

    /// Takes a connection out of a listener's accept queue.
    ///
    /// # Errors
    /// `WouldBlock` when it is empty, `NetworkDown`.
    pub(crate) fn tcp_accept(&mut self, listener: SocketId) -> Result<(SocketId, SocketAddr), SocketError> {
        self.tcp.accept(&mut self.sockets, listener)
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
        if opt == Opt::OnlyV6 && self.sockets.get(id)?.family() != Family::V4 {
            // It has an address already.
            return Err(SocketError::InvalidInput);
        }
        if let Ok(socket) = self.sockets.udp(id) {
            return socket.options.set(opt, value);
        }
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        self.tcp.set_option(&mut self.sockets, id, (opt, value), lower)
    }

    /// `getsockopt(2)`
    ///
    /// # Errors
    /// `OptionUnknown`, `Stale`.
    pub(crate) fn option(&self, id: SocketId, opt: Opt) -> Result<Value, SocketError> {
        let socket = self.sockets.get(id)?;
        match (socket, opt, socket.family()) {
            (_, Opt::OnlyV6, Family::V6 { only }) => Ok(Value::Flag(only)),
            (Socket::Udp(socket), opt, _) => socket.options.get(opt),
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
        let binding = Binding::alone(Family::of(&local));
        let local = self.bindable_for_many(local)?;
        let rcvbuf = self.ip.config.limits.udp_rcvbuf;
        self.udp.bind(&mut self.sockets, local, binding, rcvbuf)
    }

    /// Joins a group, or leaves it.
    ///
    /// # Errors
    /// `InvalidInput` for what is no group, `AddrInUse` when it is joined already, `AddrNotAvailable` when it is not,
    /// `NoBuffers`, `OptionUnknown` for a group of IPv6 and a socket of IPv4.
    pub(crate) fn udp_membership(
        &mut self,
        now: Instant,
        id: SocketId,
        (group, joins): (IpAddr, bool),
        fx: &mut Effects,
    ) -> Result<(), SocketError> {
        let socket = self.sockets.udp(id)?;
        if group.is_ipv6() && socket.binding.family == Family::V4 {
            return Err(SocketError::OptionUnknown);
        }
        if joins {
            socket.options.join(group)?;
            self.ip.join_group(group, now, fx);
        } else {
            socket.options.leave(group)?;
            self.ip.leave_group(group, now, fx);
        }
        Ok(())
    }

    /// Whether the interface is the one with this address; unspecified is any.
    pub(crate) fn has_interface(&self, addr: Ipv4Addr) -> bool {
        addr.is_unspecified() || self.ip.is_own(addr.into())
    }

    /// Sets the peer of a UDP socket.
    ///
    /// # Errors
    /// `NetworkUnreachable`, `AddrFamilyNotSupported`, `AddrInUse`.
    pub(crate) fn udp_connect(&mut self, now: Instant, id: SocketId, peer: SocketAddr) -> Result<(), SocketError> {
        let family = self.sockets.udp(id)?.binding.family;
        let peer = destination(family, peer)?;
        let source = self.ip.source_for(peer.ip(), now)?;
        self.udp.connect(&mut self.sockets, id, peer, source)
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
        let family = self.sockets.udp(id)?.binding.family;
        let to = to.map(|to| destination(family, to)).transpose()?;
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        UdpLayer::send(&mut self.sockets, id, payload, to, lower)
    }

    /// Sends datagrams to the socket's peer until one is refused; gives how many were sent.
    ///
    /// # Errors
    /// As [`udp_send_to`](Self::udp_send_to), about the first one.
    pub(crate) fn udp_send_many<'a>(
        &mut self,
        now: Instant,
        id: SocketId,
        payloads: impl Iterator<Item = &'a [u8]>,
        fx: &mut Effects,
    ) -> Result<usize, SocketError> {
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        let mut sent = 0;
        for payload in payloads {
            match UdpLayer::send(&mut self.sockets, id, payload, None, lower) {
                Ok(_) => sent += 1,
                Err(error) if sent == 0 => return Err(error),
                // Whoever goes on from there meets it again.
                Err(_) => break,
            }
        }
        Ok(sent)
    }

    /// Takes the oldest datagrams, one into each of `bufs`; gives how many.
    ///
    /// # Errors
    /// As [`udp_recv_from`](Self::udp_recv_from), about the first one.
    pub(crate) fn udp_recv_many<'a>(
        &mut self,
        id: SocketId,
        bufs: impl Iterator<Item = &'a mut [u8]>,
        received: &mut Vec<(usize, SocketAddr)>,
    ) -> Result<usize, SocketError> {
        let before = received.len();
        for buf in bufs {
            match self.udp_recv_from(id, buf, false) {
                Ok(one) => received.push(one),
                Err(error) if received.len() == before => return Err(error),
                Err(_) => break,
            }
        }
        Ok(received.len() - before)
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
        UdpLayer::recv(&mut self.sockets, id, buf, peek, &mut self.ip.pool)
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
            Socket::Connection(connection) => connection.family.show(connection.flow.local),
            Socket::Listener(listener) => listener.binding.family.show(listener.local),
            Socket::Udp(socket) => socket.binding.family.show(socket.local),
        })
    }

    /// The peer's address.
    ///
    /// # Errors
    /// `NotConnected`, `Stale`.
    pub(crate) fn peer_addr(&self, id: SocketId) -> Result<SocketAddr, SocketError> {
        match self.sockets.get(id)? {
            // `inet_getname`
            Socket::Connection(connection) if connection.has_no_peer() => Err(SocketError::NotConnected),
            Socket::Connection(connection) => Ok(connection.family.show(connection.flow.remote)),
            Socket::Listener(_) => Err(SocketError::NotConnected),
            Socket::Udp(socket) => {
                let peer = socket.peer.ok_or(SocketError::NotConnected)?;
                Ok(socket.binding.family.show(peer))
            }
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

    /// The address from which this host talks to another one; none for itself, or without a way.
    pub(crate) fn source_towards(&mut self, now: Instant, to: IpAddr) -> Option<IpAddr> {
        if self.ip.is_own(to) { None } else { self.ip.source_for(to, now).ok() }
    }

    /// The host's addresses, those of IPv4 first.
    pub(crate) fn addrs(&self) -> Vec<IpAddr> {
        self.ip.addresses.iter().map(|own| own.addr).collect()
    }

    /// Adds a route.
    ///
    /// # Errors
    /// `NetworkUnreachable` when its router is not on the link, `InvalidInput`, `NoBuffers`.
    pub(crate) fn add_route(&mut self, now: Instant, route: Route) -> Result<(), SocketError> {
        self.ip.add_route(route, now)
    }

    /// Removes the routes to a network.
    ///
    /// # Errors
    /// `NotFound` when there was none.
    pub(crate) fn remove_route(&mut self, prefix: Cidr) -> Result<(), SocketError> {
        if self.ip.remove_route(prefix) { Ok(()) } else { Err(SocketError::NotFound) }
    }

    /// The host goes down: every socket reports it, everybody who waits is woken, and frames are dropped.
    pub(crate) fn shut_down(&mut self, now: Instant, fx: &mut Effects) {
        self.is_down = true;
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        self.tcp.shut_down(&mut self.sockets, lower);
        self.udp.shut_down(&mut self.sockets, lower);
    }

    /// Tells where a neighbour is, for good.
    pub(crate) fn add_neighbour(&mut self, now: Instant, ip: IpAddr, mac: MacAddr, fx: &mut Effects) {
        self.ip.add_neighbour(ip, mac, now, fx);
    }

    /// Something that another shard of this host has learned.
    pub(crate) fn on_fact(&mut self, now: Instant, fact: &Fact, fx: &mut Effects) {
        match fact {
            Fact::Neighbour(ip, word) => self.ip.learn_neighbour(*ip, *word, now, fx),
            Fact::Report(report) => self.on_report(now, *report, fx),
            Fact::PathMtu(dst, mtu) => {
                let current = self.ip.mtu();
                let _ = self.ip.paths.learn(*dst, *mtu, current, now);
            }
        }
    }

    /// The next page of what `ss` lists, of `most` places at most.
    pub(crate) fn list(&self, now: Instant, cursor: &mut Cursor, most: u32, out: &mut Vec<SocketEntry>) {
        self.tcp.list(&self.sockets, now, cursor, most, out);
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

    /// How many connections are in FIN-WAIT-2 without a user.
    #[cfg(test)]
    pub(crate) fn fin_wait_2_count(&self) -> usize {
        self.tcp.fin_wait_2_len()
    }

    /// How many connections are half open.
    #[cfg(test)]
    pub(crate) fn half_open_count(&self) -> usize {
        self.tcp.requests_len()
    }

    /// An address that a socket may be bound to.
    fn bindable(&self, local: SocketAddr) -> Result<Endpoint, SocketError> {
        self.check_up()?;
        let local = Endpoint::from(local);
        if local.port() == 0 {
            return Err(SocketError::InvalidInput);
        }
        let own = local.ip().is_unspecified() || self.ip.is_own(local.ip());
        if own { Ok(local) } else { Err(SocketError::AddrNotAvailable) }
    }

    /// The same, for a socket that may also hear what is for many.
    fn bindable_for_many(&self, local: SocketAddr) -> Result<Endpoint, SocketError> {
        let end = Endpoint::from(local);
        let for_many = end.ip().is_multicast() || self.ip.is_broadcast(end.ip());
        if for_many && end.port() != 0 && !self.is_down { Ok(end) } else { self.bindable(local) }
    }

    fn check_up(&self) -> Result<(), SocketError> {
        if self.is_down { Err(SocketError::NetworkDown) } else { Ok(()) }
    }
}

/// RFC 1122 3.2.2.1 and RFC 8200 4: nobody here knows the protocol, or the next header.
#[cold]
fn on_unknown_protocol(ip: &IpHeader, mut packet: PacketBuf, lower: &mut Lower<'_>) {
    let complaint = if ip.dst.is_ipv4() {
        lower.ip.counters.count(Mib::IpInUnknownProtos);
        Complaint::Protocol
    } else {
        lower.ip.counters.count(Mib::Ip6InUnknownProtos);
        Complaint::Parameter { code: problem::NEXT_HEADER, pointer: ip.protocol_at.into() }
    };
    complain(lower, ip, &mut packet, complaint);
    lower.ip.drop_packet(packet, DropReason::UnhandledProto, lower.fx);
}
