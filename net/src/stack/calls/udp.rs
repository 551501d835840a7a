//! What programs ask of UDP: bind, connect, join a group, send, receive.

use crate::extended_error::ExtendedError;
use crate::recv_meta::RecvMeta;
use crate::sockopt::Sharing;
use crate::stack::demux::Binding;
use crate::stack::effects::{Effects, Stray};
use crate::stack::endpoint::{Endpoint, Family, destination};
use crate::stack::error::SocketError;
use crate::stack::ip::Lower;
use crate::stack::ip_output::PACKET_MAX;
use crate::stack::shard::Stack;
use crate::stack::socket::SocketId;
use crate::stack::udp::{Leftovers, UdpLayer};
use crate::stack::udp_options::UdpOptions;
use crate::wire::ip::Fragments;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use wakeline_runtime::clock::Instant;

impl Stack {
    /// A UDP socket on `local`, whose port has been chosen, that shares it with nobody.
    ///
    /// # Errors
    /// As [`tcp_listen`](Self::tcp_listen).
    #[cfg(any(test, fuzzing))]
    pub(crate) fn udp_bind(&mut self, local: SocketAddr) -> Result<SocketId, SocketError> {
        self.udp_open(local, Sharing::default())
    }

    /// The same, perhaps with others that share it.
    ///
    /// # Errors
    /// As [`tcp_listen`](Self::tcp_listen).
    pub(crate) fn udp_open(&mut self, local: SocketAddr, sharing: Sharing) -> Result<SocketId, SocketError> {
        let family = if local.is_ipv6() { Family::V6 { only: sharing.only_v6 } } else { Family::V4 };
        let binding =
            Binding { reuse_addr: sharing.reuse_addr, reuse_port: sharing.reuse_port, ..Binding::alone(family) };
        let local = self.bindable_for_many(local)?;
        let limits = &self.ip.config.limits;
        let options = UdpOptions::new(limits.udp_rcvbuf, limits.busy_read_usecs);
        self.udp.bind(&mut self.sockets, local, binding, options)
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

    /// Takes the oldest report about a datagram of the socket's out of its error queue.
    pub(crate) fn udp_take_report(&mut self, id: SocketId) -> Option<ExtendedError> {
        let socket = self.sockets.udp(id).ok()?;
        socket.errors.pop(&mut socket.error)
    }

    /// IP_MTU: the largest packet on the way to the peer. Linux's loopback takes 65,536 bytes, of which a packet of IPv4 can
    /// only have one less.
    ///
    /// # Errors
    /// `NotConnected`, and those of routes.
    pub(crate) fn udp_mtu(&mut self, now: Instant, id: SocketId) -> Result<usize, SocketError> {
        let peer = self.sockets.udp(id)?.peer.ok_or(SocketError::NotConnected)?;
        let largest = self.ip.largest_to(peer.ip(), Fragments::Never, now)?;
        Ok(if largest == PACKET_MAX && peer.ip().is_ipv6() { PACKET_MAX + 1 } else { largest })
    }

    /// Sets the peer of a UDP socket, of which the member of the CPU `keeper` keeps what comes; what this one has kept, if it is
    /// another, is the result, for [`udp_take_over`](Self::udp_take_over).
    ///
    /// # Errors
    /// `NetworkUnreachable`, `AddrFamilyNotSupported`, `AddrInUse`.
    pub(crate) fn udp_connect(
        &mut self,
        now: Instant,
        id: SocketId,
        peer: SocketAddr,
        keeper: u32,
    ) -> Result<Leftovers, SocketError> {
        let family = self.sockets.udp(id)?.binding.family;
        let peer = destination(family, peer)?;
        let source = self.ip.source_for(peer.ip(), now)?;
        let keeper = Some(keeper).filter(|&keeper| keeper != self.ip.config.shard.index);
        self.udp.connect(&mut self.sockets, id, (peer, keeper), source)
    }

    /// Takes what another member of the socket has kept.
    ///
    /// # Errors
    /// `Stale`.
    pub(crate) fn udp_take_over(
        &mut self,
        now: Instant,
        id: SocketId,
        left: Leftovers,
        fx: &mut Effects,
    ) -> Result<(), SocketError> {
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        UdpLayer::take_over(&mut self.sockets, id, left, lower)
    }

    /// A datagram that came to another member of its socket.
    pub(crate) fn udp_on_stray(&mut self, now: Instant, stray: Stray, fx: &mut Effects) {
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        self.udp.on_stray(&mut self.sockets, stray, lower);
    }

    /// The CPU whose member keeps what comes for the socket, where that is not this one.
    pub(crate) fn udp_keeper(&mut self, id: SocketId) -> Option<u32> {
        self.sockets.udp(id).ok()?.keeper
    }

    /// The address from which the socket sends to another host; none towards this one, or without a way.
    pub(crate) fn udp_source_towards(&mut self, now: Instant, id: SocketId, to: IpAddr) -> Option<IpAddr> {
        let source = self.source_towards(now, to)?;
        let local = self.sockets.udp(id).ok()?.local.ip();
        let is_one = self.ip.is_own(local) && local.is_ipv4() == to.is_ipv4();
        Some(if is_one { local } else { source })
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
        let segment = self.sockets.udp(id)?.options.segment;
        self.udp_send_segments(now, id, (payload, segment), to, fx)
    }

    /// The same in datagrams of `segment` bytes, whatever UDP_SEGMENT is set to; of 0 in one.
    ///
    /// # Errors
    /// As [`udp_send_to`](Self::udp_send_to); `MessageTooLong` for a segment that would have to be cut, `InvalidInput` for too
    /// many of them.
    pub(crate) fn udp_send_segments(
        &mut self,
        now: Instant,
        id: SocketId,
        (payload, segment): (&[u8], u16),
        to: Option<SocketAddr>,
        fx: &mut Effects,
    ) -> Result<usize, SocketError> {
        let family = self.sockets.udp(id)?.binding.family;
        let to = to.map(|to| destination(family, to)).transpose()?;
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        match segment {
            0 => UdpLayer::send(&mut self.sockets, id, payload, to, lower),
            _ => UdpLayer::send_segments(&mut self.sockets, id, (payload, segment), to, lower),
        }
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
        let segment = self.sockets.udp(id)?.options.segment;
        let lower = &mut Lower { now, ip: &mut self.ip, fx };
        let mut sent = 0;
        for payload in payloads {
            let result = match segment {
                0 => UdpLayer::send(&mut self.sockets, id, payload, None, lower),
                _ => UdpLayer::send_segments(&mut self.sockets, id, (payload, segment), None, lower),
            };
            match result {
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

    /// Takes the oldest datagram, or those of one flow that go together, with what is known of it.
    ///
    /// # Errors
    /// As [`udp_recv_from`](Self::udp_recv_from).
    pub(crate) fn udp_recv_msg(&mut self, id: SocketId, buf: &mut [u8]) -> Result<RecvMeta, SocketError> {
        UdpLayer::recv_msg(&mut self.sockets, id, buf, &mut self.ip.pool)
    }

    /// The same, for a socket that may also hear what is for many.
    fn bindable_for_many(&self, local: SocketAddr) -> Result<Endpoint, SocketError> {
        let end = Endpoint::from(local);
        let for_many = end.ip().is_multicast() || self.ip.is_broadcast(end.ip());
        if for_many && end.port() != 0 && !self.is_down { Ok(end) } else { self.bindable(local) }
    }
}
