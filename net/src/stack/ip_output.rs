//! Sending a packet: its header, its neighbour, its frame.

use crate::event::{DropReason, Event};
use crate::packet::{IpSummed, PacketBuf};
use crate::stack::counters::Mib;
use crate::stack::effects::Effects;
use crate::stack::error::SocketError;
use crate::stack::ip::{IpLayer, Route};
use crate::stack::neigh::Resolution;
use crate::wire::ethernet::{EtherType, EthernetHeader, MacAddr};
use crate::wire::ip::Envelope;
use crate::wire::ipv4::Ipv4Header;
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
        mut packet: PacketBuf,
        envelope: &Envelope,
        now: Instant,
        fx: &mut Effects,
    ) -> Result<(), SocketError> {
        let v4 = envelope.dst.is_ipv4();
        self.counters.count(if v4 { Mib::IpOutRequests } else { Mib::Ip6OutRequests });
        let route = match self.route(envelope.dst) {
            // What the device cuts may be longer.
            Ok(_) if packet.len() + header_len(v4) > self.mtu() && packet.rx.gso_size == 0 => {
                Err(SocketError::MessageTooLong)
            }
            route => route,
        };
        let route = match route {
            Ok(route) => route,
            Err(error) => return self.refuse_to_send(packet, v4, error, fx),
        };
        push_header(&mut packet, envelope);
        match route {
            Route::Via(next_hop) => self.send_via(next_hop, packet, now, fx),
            Route::Group(mac) => self.transmit(mac, packet, fx),
            Route::Local => {
                packet.rx.ip_summed = IpSummed::Partial;
                self.push_ethernet(self.config.mac, ethertype_of(&packet), &mut packet);
                fx.loopback.push(packet);
            }
        }
        Ok(())
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
            (_, true) => (Mib::IpOutNoRoutes, DropReason::NeighFailed),
            (_, false) => (Mib::Ip6OutNoRoutes, DropReason::NeighFailed),
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
                if let Some(packet) = displaced {
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

/// The length of an IP header without options, in bytes.
#[inline]
pub(crate) const fn header_len(v4: bool) -> usize {
    if v4 { Ipv4Header::LEN } else { Ipv6Header::LEN }
}

/// What a packet, from its IP header on, is.
#[inline]
fn ethertype_of(packet: &PacketBuf) -> EtherType {
    match packet.data().first() {
        Some(version) if version >> 4 == 6 => EtherType::Ipv6,
        _ => EtherType::Ipv4,
    }
}

#[inline]
fn push_header(packet: &mut PacketBuf, envelope: &Envelope) {
    let &Envelope { protocol, tos, hop_limit, dont_fragment, .. } = envelope;
    let len = packet.len();
    match (envelope.src, envelope.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let header = Ipv4Header { tos, ttl: hop_limit, dont_fragment, ..Ipv4Header::new(src, dst, protocol, len) };
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
