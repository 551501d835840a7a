//! Sending a packet: its header, its neighbour, its frame.

use crate::event::{DropReason, Event};
use crate::packet::{IpSummed, PacketBuf};
use crate::stack::counters::Mib;
use crate::stack::effects::Effects;
use crate::stack::error::SocketError;
use crate::stack::fragment::{cut_v4, cut_v6};
use crate::stack::ip::{Hop, IpLayer};
use crate::stack::neigh::Resolution;
use crate::wire::ethernet::{EtherType, EthernetHeader, MacAddr};
use crate::wire::ip::{Envelope, Fragments};
use crate::wire::ipv4::{Ipv4Header, protocol};
use crate::wire::ipv6::Ipv6Header;
use std::net::IpAddr;
use wakeline_runtime::clock::Instant;

impl IpLayer {
    /// Sends `packet`, a transport's header and payload with [`HEADROOM`](crate::stack::ip::HEADROOM) in front.
    ///
    /// # Errors
    /// [`SocketError::NetworkUnreachable`] and [`SocketError::MessageTooLong`]; the packet is counted as lost.
    #[inline]
    pub(crate) fn send(
        &mut self,
        packet: PacketBuf,
        envelope: &Envelope,
        now: Instant,
        fx: &mut Effects,
    ) -> Result<(), SocketError> {
        match self.send_as_last(packet, envelope, now, fx) {
            None => Ok(()),
            Some(packet) => self.send_slowly(packet, envelope, now, fx),
        }
    }

    /// The same for whom no way is known, or no longer.
    #[inline(never)]
    fn send_slowly(
        &mut self,
        mut packet: PacketBuf,
        envelope: &Envelope,
        now: Instant,
        fx: &mut Effects,
    ) -> Result<(), SocketError> {
        let v4 = envelope.dst.is_ipv4();
        self.counters.count(if v4 { Mib::IpOutRequests } else { Mib::Ip6OutRequests });
        let hop = match self.route(envelope.dst, now) {
            Ok(hop) => hop,
            Err(error) => return self.refuse_to_send(packet, v4, error, fx),
        };
        let len = packet.len() + header_len(v4);
        let limit = self.limit(hop, envelope, now);
        let cuts = matches!(envelope.fragments, Fragments::IfLarge | Fragments::Freely);
        // What the device cuts may be longer.
        let large = len > limit && packet.rx.gso_size == 0;
        let countable = packet.len() <= if v4 { PACKET_MAX - Ipv4Header::LEN } else { PACKET_MAX };
        if !countable || (large && !cuts) {
            return self.refuse_to_send(packet, v4, SocketError::MessageTooLong, fx);
        }
        let whole = !large && envelope.fragments != Fragments::Freely;
        let ident = if whole || !v4 { 0 } else { self.idents.next_v4(envelope.dst, envelope.protocol) };
        push_header(&mut packet, envelope, whole, ident);
        if envelope.dst.is_multicast() || envelope.loops {
            if envelope.loops && matches!(hop, Hop::Group(_)) {
                self.loop_back(&packet, envelope.dst, fx);
            }
            if envelope.hop_limit == 0 {
                // It does not leave the host.
                self.pool.free(packet);
                return Ok(());
            }
        }
        if large {
            self.send_in_pieces(packet, hop, limit, now, fx);
            return Ok(());
        }
        self.send_to_hop(hop, packet, now, fx);
        Ok(())
    }

    /// The largest packet that this host sends to `dst` whole, with the header of IP.
    ///
    /// # Errors
    /// Those of [`route`](Self::route).
    pub(crate) fn largest_to(&mut self, dst: IpAddr, fragments: Fragments, now: Instant) -> Result<usize, SocketError> {
        Ok(match self.route(dst, now)? {
            Hop::Local => PACKET_MAX,
            _ if fragments == Fragments::NeverProbing => self.mtu(),
            _ => self.path_mtu(dst, now),
        })
    }

    /// The largest packet on the way. TCP minds its path by itself, and its segments of before it heard go as they are.
    #[inline]
    fn limit(&self, hop: Hop, envelope: &Envelope, now: Instant) -> usize {
        match hop {
            Hop::Local => PACKET_MAX,
            Hop::Via(_) if envelope.protocol != protocol::TCP && envelope.fragments != Fragments::NeverProbing => {
                self.path_mtu(envelope.dst, now)
            }
            Hop::Via(_) | Hop::Group(_) => self.mtu(),
        }
    }

    /// `ip_mc_output`, `ip6_output`: a group that this host is in, and everybody, includes the sender.
    fn loop_back(&mut self, packet: &PacketBuf, dst: IpAddr, fx: &mut Effects) {
        let member = match dst {
            IpAddr::V4(dst) => self.addresses.is_broadcast(dst) || self.listens_to_v4(dst),
            IpAddr::V6(dst) => self.listens_to_v6(dst),
        };
        if !member {
            return;
        }
        let Some(mut copy) = self.pool.alloc(EthernetHeader::LEN, packet.len()) else {
            return self.drops.count(DropReason::Nomem);
        };
        copy.put(packet.len()).copy_from_slice(packet.data());
        copy.rx.ip_summed = IpSummed::Partial;
        self.push_ethernet(MacAddr::BROADCAST, ethertype_of(&copy), &mut copy);
        fx.loopback.push(copy);
    }

    /// Sends a packet, from its IP header on.
    #[inline]
    pub(crate) fn send_to_hop(&mut self, hop: Hop, mut packet: PacketBuf, now: Instant, fx: &mut Effects) {
        match hop {
            Hop::Via(next_hop) => self.send_via(next_hop, packet, now, fx),
            Hop::Group(mac) => self.transmit(mac, packet, fx),
            Hop::Local => {
                packet.rx.ip_summed = IpSummed::Partial;
                self.push_ethernet(self.config.mac, ethertype_of(&packet), &mut packet);
                fx.loopback.push(packet);
            }
        }
    }

    /// `ip_fragment`: sends a packet, from its IP header on, in pieces of at most `limit` bytes.
    #[cold]
    pub(crate) fn send_in_pieces(&mut self, packet: PacketBuf, hop: Hop, limit: usize, now: Instant, fx: &mut Effects) {
        let v4 = ethertype_of(&packet) == EtherType::Ipv4;
        let mut pieces = Vec::new();
        let put = &mut |piece| pieces.push(piece);
        let count = match v4 {
            true => cut_v4(packet.data(), limit, &mut self.pool, put),
            false => {
                let ident = self.idents.next_v6();
                cut_v6(packet.data(), limit, ident, &mut self.pool, put)
            }
        };
        if count.is_none() {
            self.count_fragments(v4, Mib::IpFragFails, Mib::Ip6FragFails);
            pieces.into_iter().for_each(|piece| self.pool.free(piece));
            return self.drop_packet(packet, DropReason::Nomem, fx);
        }
        self.pool.free(packet);
        self.count_fragments(v4, Mib::IpFragOKs, Mib::Ip6FragOKs);
        for piece in pieces {
            self.count_fragments(v4, Mib::IpFragCreates, Mib::Ip6FragCreates);
            self.send_to_hop(hop, piece, now, fx);
        }
    }

    #[cold]
    fn refuse_to_send(
        &mut self,
        packet: PacketBuf,
        v4: bool,
        error: SocketError,
        fx: &Effects,
    ) -> Result<(), SocketError> {
        let (mib, reason) = match (error, v4) {
            (SocketError::MessageTooLong, true) => (Mib::IpOutDiscards, DropReason::PktTooBig),
            (SocketError::MessageTooLong, false) => (Mib::Ip6OutDiscards, DropReason::PktTooBig),
            (_, true) => (Mib::IpOutNoRoutes, DropReason::IpOutnoroutes),
            (_, false) => (Mib::Ip6OutNoRoutes, DropReason::IpOutnoroutes),
        };
        self.counters.count(mib);
        self.drop_packet(packet, reason, fx);
        Err(error)
    }

    #[inline]
    fn send_via(&mut self, next_hop: IpAddr, packet: PacketBuf, now: Instant, fx: &mut Effects) {
        match self.neighbours.resolve(next_hop, packet, now) {
            Resolution::Known(mac, packet) => self.transmit(mac, packet, fx),
            Resolution::Queued { ask, displaced } => {
                for packet in displaced {
                    self.drop_packet(packet, DropReason::NeighQueuefull, fx);
                }
                if ask {
                    self.ask(next_hop, None, now, fx);
                }
            }
            Resolution::Full(packet) => self.drop_packet(packet, DropReason::NeighQueuefull, fx),
        }
    }

    /// Sends a packet, from its IP header on, to a station.
    #[inline]
    pub(crate) fn transmit(&mut self, dst: MacAddr, mut packet: PacketBuf, fx: &mut Effects) {
        self.push_ethernet(dst, ethertype_of(&packet), &mut packet);
        self.hand_over(packet, fx);
    }

    /// Gives a frame to the device.
    #[inline]
    pub(crate) fn hand_over(&self, packet: PacketBuf, fx: &mut Effects) {
        let len = packet.len() as u32;
        fx.tracer.emit(|| Event::NetDevQueue { dev: self.config.dev.clone(), len });
        fx.tx.push(packet);
    }

    /// Writes the frame's header.
    #[inline]
    pub(crate) fn push_ethernet(&self, dst: MacAddr, ethertype: EtherType, packet: &mut PacketBuf) {
        let header = EthernetHeader { dst, src: self.config.mac, ethertype };
        let out = packet.push(EthernetHeader::LEN).first_chunk_mut().expect("as many bytes as were pushed");
        header.emit(out);
    }
}

/// What a length field can count, with the header of IPv4 and without that of IPv6; and the MTU of Linux's loopback, less
/// one.
pub(crate) const PACKET_MAX: usize = 65_535;

/// The length of an IP header without options, in bytes.
#[inline]
pub(crate) const fn header_len(v4: bool) -> usize {
    if v4 { Ipv4Header::LEN } else { Ipv6Header::LEN }
}

/// What a packet, from its IP header on, is.
#[inline]
pub(crate) fn ethertype_of(packet: &PacketBuf) -> EtherType {
    match packet.data().first() {
        Some(version) if version >> 4 == 6 => EtherType::Ipv6,
        _ => EtherType::Ipv4,
    }
}

#[inline]
fn push_header(packet: &mut PacketBuf, envelope: &Envelope, dont_fragment: bool, ident: u16) {
    let &Envelope { protocol, tos, hop_limit, .. } = envelope;
    let len = packet.len();
    match (envelope.src, envelope.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let plain = Ipv4Header::new(src, dst, protocol, len);
            let header = Ipv4Header { tos, ttl: hop_limit, dont_fragment, ident, ..plain };
            let out = packet.push(Ipv4Header::LEN).first_chunk_mut().expect("as many bytes as were pushed");
            header.emit(out);
        }
        (src, dst) => {
            let header = Ipv6Header {
                traffic_class: tos,
                flow_label: 0,
                payload_len: len as u16,
                next_header: protocol,
                hop_limit,
                src: as_v6(src),
                dst: as_v6(dst),
            };
            let out = packet.push(Ipv6Header::LEN).first_chunk_mut().expect("as many bytes as were pushed");
            header.emit(out);
        }
    }
}

/// Both addresses of an envelope are of one family, so none is ever mapped here.
fn as_v6(ip: IpAddr) -> std::net::Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}
