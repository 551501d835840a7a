//! What `ip_rcv` and `ipv6_rcv` check before a packet goes up.

use crate::event::DropReason;
use crate::packet::PacketBuf;
use crate::stack::counters::Mib;
use crate::stack::effects::Effects;
use crate::stack::ip::IpLayer;
use crate::stack::ip_output::ethertype_of;
use crate::wire::ethernet::{EtherType, EthernetHeader, MacAddr};
use crate::wire::ip::IpHeader;
use crate::wire::ipv4::Ipv4Header;
use crate::wire::ipv6::Ipv6Header;
use crate::wire::ipv6_ext::{Refused, Walked, has_whole_chain, walk};
use crate::wire::malformed::Malformed;
use crate::wire::ndp;
use std::net::Ipv6Addr;
use wakeline_runtime::clock::Instant;

/// How a frame has come to this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrived {
    /// From this host itself.
    pub(crate) from_self: bool,
    /// To more than this station.
    pub(crate) to_group: bool,
    /// As the packet that it carries, whose headers stand before it in one block.
    pub(crate) whole: bool,
}

/// A packet that does not go up, and must be answered all the same.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) ip: IpHeader,
    /// From its IP header on.
    pub(crate) packet: PacketBuf,
    pub(crate) code: u8,
    pub(crate) pointer: u32,
}

/// What becomes of a received packet.
pub(crate) enum Received {
    /// It goes up: the transport's part of it.
    Up(IpHeader, PacketBuf),
    /// It was dropped.
    Dropped,
    /// It is to be dropped, and its sender told why.
    Refused(Box<Problem>),
    /// It is for somebody else: the packet from its IP header on.
    Onward(IpHeader, PacketBuf),
}

impl IpLayer {
    /// `ip_rcv` up to the choice of the protocol. `packet` has been pulled to its IP header.
    #[inline]
    pub(crate) fn receive_v4(
        &mut self,
        mut packet: PacketBuf,
        arrived: Arrived,
        now: Instant,
        fx: &mut Effects,
    ) -> Received {
        self.counters.count(Mib::IpInReceives);
        let header = match Ipv4Header::parse_start(packet.data(), packet.len()) {
            Ok(header) => header,
            Err(malformed) => return self.on_malformed_v4(packet, malformed, fx),
        };
        packet.truncate(header.total_len.into());
        if !self.accepts_v4(&header, arrived.from_self) {
            if self.config.forwards && !self.is_own(header.dst.into()) {
                return Received::Onward(header_v4(&header, arrived), packet);
            }
            self.counters.count(Mib::IpInAddrErrors);
            self.drop_packet(packet, DropReason::Otherhost, fx);
            return Received::Dropped;
        }
        if header.is_fragment() {
            let Some(whole) = self.defragment_v4(packet, &header, now, fx) else { return Received::Dropped };
            return self.up_again(whole, arrived, fx);
        }
        packet.pull(header.header_len.into());
        Received::Up(header_v4(&header, arrived), packet)
    }

    /// A packet that has been put together. Its flow may belong to another CPU than its pieces: they have no ports to tell
    /// by. So it takes the way of any frame from there, as RPS would send it.
    #[cold]
    fn up_again(&mut self, mut packet: PacketBuf, arrived: Arrived, fx: &mut Effects) -> Received {
        let arrived = Arrived { whole: false, ..arrived };
        if self.config.shard.count > 1 && !arrived.from_self {
            let ethertype = ethertype_of(&packet);
            let dst = if arrived.to_group { MacAddr::BROADCAST } else { self.config.mac };
            let header = EthernetHeader { dst, src: MacAddr([0; 6]), ethertype };
            header.emit(packet.push(EthernetHeader::LEN).first_chunk_mut().expect("as many bytes as were pushed"));
            fx.steered.push(packet);
            return Received::Dropped;
        }
        match ethertype_of(&packet) {
            EtherType::Ipv4 => match Ipv4Header::parse_start(packet.data(), packet.len()) {
                Ok(header) => {
                    packet.pull(header.header_len.into());
                    Received::Up(header_v4(&header, arrived), packet)
                }
                Err(malformed) => self.on_malformed_v4(packet, malformed, fx),
            },
            _ => match Ipv6Header::parse_start(packet.data(), packet.len()) {
                Ok(header) => self.up_v6(packet, &header, arrived, fx),
                Err(malformed) => self.on_malformed_v6(packet, malformed, fx),
            },
        }
    }

    /// Whether a packet is for this host. Loopback addresses only mean something within it.
    #[inline]
    fn accepts_v4(&self, header: &Ipv4Header, from_self: bool) -> bool {
        let ours = self.addresses.is_own_v4(header.dst) || (header.dst.is_loopback() && from_self);
        let everybodys =
            || self.addresses.is_broadcast(header.dst) || (header.dst.is_multicast() && self.listens_to_v4(header.dst));
        let source = !(header.src.is_multicast() || header.src.is_broadcast());
        source && (from_self || !header.src.is_loopback()) && (ours || everybodys())
    }

    #[cold]
    fn on_malformed_v4(&mut self, packet: PacketBuf, malformed: Malformed, fx: &Effects) -> Received {
        let (mib, reason) = match malformed {
            Malformed::Truncated => (Mib::IpExtInTruncatedPkts, DropReason::PktTooSmall),
            Malformed::Header => (Mib::IpInHdrErrors, DropReason::IpInhdr),
            Malformed::Checksum => (Mib::IpExtInCsumErrors, DropReason::IpCsum),
        };
        self.counters.count(mib);
        self.drop_packet(packet, reason, fx);
        Received::Dropped
    }

    /// `ipv6_rcv` up to the choice of the protocol, extension headers included. `packet` has been pulled to its IP header.
    #[inline]
    pub(crate) fn receive_v6(
        &mut self,
        mut packet: PacketBuf,
        arrived: Arrived,
        now: Instant,
        fx: &mut Effects,
    ) -> Received {
        self.counters.count(Mib::Ip6InReceives);
        let header = match Ipv6Header::parse_start(packet.data(), packet.len()) {
            Ok(header) => header,
            Err(malformed) => return self.on_malformed_v6(packet, malformed, fx),
        };
        let mismatch = header.dst.is_loopback() || header.src.is_loopback();
        if header.src.is_multicast() || (mismatch && !arrived.from_self) {
            self.counters.count(Mib::Ip6InHdrErrors);
            self.drop_packet(packet, DropReason::IpInhdr, fx);
            return Received::Dropped;
        }
        packet.truncate(Ipv6Header::LEN + usize::from(header.payload_len));
        if !self.accepts_v6(&header) {
            if self.config.forwards && !header.dst.is_multicast() {
                return Received::Onward(header_v6(&header, arrived), packet);
            }
            self.counters.count(Mib::Ip6InAddrErrors);
            self.drop_packet(packet, DropReason::Otherhost, fx);
            return Received::Dropped;
        }
        if let Ok(Walked::Fragment { header: fragment, offset, previous }) = walk(packet.data(), header.next_header) {
            if fragment.offset == 0 && !has_whole_chain(packet.data(), header.next_header) {
                return self.on_refused(header_v6(&header, arrived), packet, Refused::Incomplete, fx);
            }
            let place = (fragment, offset, previous);
            if fragment.more && !(packet.len() - offset).is_multiple_of(8) {
                // RFC 8200 4.5: the length field is at fault.
                return self.on_refused(header_v6(&header, arrived), packet, Refused::Header(4), fx);
            }
            let Some(whole) = self.defragment_v6(packet, &header, place, now, fx) else { return Received::Dropped };
            return self.up_again(whole, arrived, fx);
        }
        self.up_v6(packet, &header, arrived, fx)
    }

    /// Follows the extension headers of a packet that is whole.
    #[inline]
    fn up_v6(&mut self, mut packet: PacketBuf, header: &Ipv6Header, arrived: Arrived, fx: &mut Effects) -> Received {
        let mut ip = header_v6(header, arrived);
        match walk(packet.data(), header.next_header) {
            Ok(Walked::Upper { protocol, offset, previous }) => {
                (ip.protocol, ip.header_len, ip.protocol_at) = (protocol, offset as u16, previous as u16);
                packet.pull(offset);
                Received::Up(ip, packet)
            }
            // A fragment within a fragment makes no sense.
            Ok(Walked::Fragment { .. }) => self.on_refused(ip, packet, Refused::Malformed, fx),
            Ok(Walked::Nothing) => {
                self.counters.count(Mib::Ip6InDelivers);
                self.pool.free(packet);
                Received::Dropped
            }
            Err(refused) => self.on_refused(ip, packet, refused, fx),
        }
    }

    /// Whether a packet is for this host, or for a group that it listens to.
    fn accepts_v6(&self, header: &Ipv6Header) -> bool {
        if header.dst.is_multicast() {
            return self.listens_to_v6(header.dst);
        }
        self.addresses.is_own_v6(header.dst) || header.dst.is_loopback()
    }

    /// Whether the host is in a group: every host is in that of all nodes, and in one for each of its addresses (RFC 4291
    /// 2.8).
    pub(crate) fn listens_to_v6(&self, group: Ipv6Addr) -> bool {
        group == ndp::ALL_NODES
            || self.memberships.contains(group.into())
            || self.addresses.iter_v6().any(|own| ndp::solicited_node(own) == group)
            || self.autoconf.listens_to(group)
    }

    #[cold]
    fn on_malformed_v6(&mut self, packet: PacketBuf, malformed: Malformed, fx: &Effects) -> Received {
        let (mib, reason) = match malformed {
            Malformed::Truncated => (Mib::Ip6InTruncatedPkts, DropReason::PktTooSmall),
            Malformed::Header | Malformed::Checksum => (Mib::Ip6InHdrErrors, DropReason::IpInhdr),
        };
        self.counters.count(mib);
        self.drop_packet(packet, reason, fx);
        Received::Dropped
    }

    /// RFC 8200 4.2, 4.4 and 4.5, RFC 4443 3.4: which refusals are told, and to whom.
    #[cold]
    fn on_refused(&mut self, ip: IpHeader, packet: PacketBuf, refused: Refused, fx: &Effects) -> Received {
        use crate::wire::icmpv6::problem;
        self.counters.count(Mib::Ip6InHdrErrors);
        let for_group = ip.dst.is_multicast();
        let (code, pointer) = match refused {
            Refused::Header(at) => (problem::HEADER_FIELD, at),
            Refused::NextHeader(at) => (problem::NEXT_HEADER, at),
            Refused::Incomplete => (problem::INCOMPLETE, 0),
            Refused::Option { at, to_multicast } if to_multicast || !for_group => (problem::OPTION, at),
            Refused::Malformed | Refused::Silently | Refused::Option { .. } => {
                self.drop_packet(packet, DropReason::IpInhdr, fx);
                return Received::Dropped;
            }
        };
        Received::Refused(Box::new(Problem { ip, packet, code, pointer: pointer as u32 }))
    }
}

/// A header as transports see it.
#[inline]
pub(crate) fn header_v4(header: &Ipv4Header, arrived: Arrived) -> IpHeader {
    IpHeader {
        src: header.src.into(),
        dst: header.dst.into(),
        protocol: header.protocol,
        tos: header.tos,
        hop_limit: header.ttl,
        header_len: header.header_len.into(),
        protocol_at: 9,
        to_group: arrived.to_group,
        whole: arrived.whole,
    }
}

/// The same for IPv6, before its extension headers were looked at.
#[inline]
pub(crate) fn header_v6(header: &Ipv6Header, arrived: Arrived) -> IpHeader {
    IpHeader {
        src: header.src.into(),
        dst: header.dst.into(),
        protocol: header.next_header,
        tos: header.traffic_class,
        hop_limit: header.hop_limit,
        header_len: Ipv6Header::LEN as u16,
        protocol_at: 6,
        to_group: arrived.to_group,
        whole: arrived.whole,
    }
}
