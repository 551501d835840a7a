//! What a socket with one peer remembers of the way there (`sk_dst_cache`): the headers of its packets, written once, and how
//! long they hold.
//!
//! There is one only where no packet needs a decision of its own: to a neighbour whose station is known, in packets that
//! nobody cuts. It knows no transport.

use crate::packet::PacketBuf;
use crate::stack::counters::Mib;
use crate::stack::effects::Effects;
use crate::stack::ip::{Hop, IpLayer};
use crate::stack::ip_output::{PACKET_MAX, header_len};
use crate::wire::checksum::Sum;
use crate::wire::ethernet::{EtherType, EthernetHeader};
use crate::wire::ip::{Envelope, Fragments};
use crate::wire::ipv4::Ipv4Header;
use crate::wire::ipv6::Ipv6Header;
use std::net::{IpAddr, Ipv6Addr};
use wakeline_runtime::clock::Instant;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Dst {
    headers: Headers,
    /// The largest packet that goes there whole, with the header of IP.
    pub(crate) largest: usize,
    /// [`IpLayer::version`] when it was made.
    version: u64,
    until: Instant,
}

/// Ethernet's and IP's as all packets have them; the length and the checksum are zero.
#[derive(Debug)]
enum Headers {
    /// With the sum of IPv4's.
    V4([u8; LEN_V4], Sum),
    V6([u8; LEN_V6]),
}

const LEN_V4: usize = EthernetHeader::LEN + Ipv4Header::LEN;
const LEN_V6: usize = EthernetHeader::LEN + Ipv6Header::LEN;

impl IpLayer {
    /// What packets in such envelopes have in common, if they do.
    pub(crate) fn dst(&mut self, envelope: &Envelope, now: Instant) -> Option<Dst> {
        let &Envelope { src, dst, protocol, tos, hop_limit, fragments, .. } = envelope;
        let (Hop::Via(next_hop), routed_until) = self.route_until(dst, now).ok()? else { return None };
        let (mac, known_until) = self.neighbours.known(next_hop, now)?;
        let (largest, sized_until) = match fragments {
            // Each packet has an identification.
            Fragments::Freely => return None,
            Fragments::NeverProbing => (self.mtu(), Instant::FAR_FUTURE),
            Fragments::Never | Fragments::IfLarge => (self.path_mtu(dst, now), self.paths.until(dst, now)),
        };
        let ethernet = |ethertype| {
            let mut out = [0; EthernetHeader::LEN];
            EthernetHeader { dst: mac, src: self.config.mac, ethertype }.emit(&mut out);
            out
        };
        let headers = match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let plain = Ipv4Header::new(src, dst, protocol, 0);
                let mut ip = [0; Ipv4Header::LEN];
                Ipv4Header { tos, ttl: hop_limit, total_len: 0, ..plain }.emit(&mut ip);
                ip[Ipv4Header::CHECKSUM_AT..][..2].fill(0);
                let mut sum = Sum::default();
                sum.add(&ip);
                let mut headers = [0; LEN_V4];
                headers[..EthernetHeader::LEN].copy_from_slice(&ethernet(EtherType::Ipv4));
                headers[EthernetHeader::LEN..].copy_from_slice(&ip);
                Headers::V4(headers, sum)
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let mut headers = [0; LEN_V6];
                headers[..EthernetHeader::LEN].copy_from_slice(&ethernet(EtherType::Ipv6));
                let ip = headers[EthernetHeader::LEN..].first_chunk_mut().expect("LEN_V6 has room for it");
                header_v6(src, dst, envelope).emit(ip);
                Headers::V6(headers)
            }
            _ => return None,
        };
        let until = routed_until.min(known_until).min(sized_until);
        Some(Dst { headers, largest: largest.min(PACKET_MAX), version: self.version(), until })
    }

    /// Whether it still is the way.
    #[inline]
    pub(crate) fn holds(&self, dst: &Dst, now: Instant) -> bool {
        dst.version == self.version() && now < dst.until
    }

    /// Sends `packet`, a transport's header and payload that are not too large together, the way that [holds](Self::holds).
    #[inline]
    pub(crate) fn send_along(&mut self, dst: &Dst, mut packet: PacketBuf, fx: &mut Effects) {
        self.counters.count(dst.push_headers(&mut packet));
        self.hand_over(packet, fx);
    }

    /// Sends `packet` the way of the last one that went in such an `envelope`, as it is while a connection has the word; or
    /// gives it back. Who comes the second time has its way remembered: those who take turns only look for theirs.
    #[inline]
    pub(crate) fn send_as_last(
        &mut self,
        mut packet: PacketBuf,
        envelope: &Envelope,
        now: Instant,
        fx: &mut Effects,
    ) -> Option<PacketBuf> {
        let known = self.last_dst.as_ref().filter(|(last, _)| last == envelope);
        match known.and_then(|(_, dst)| dst.as_ref()).filter(|dst| self.holds(dst, now)) {
            Some(dst) if packet.len() + header_len(envelope.dst.is_ipv4()) <= dst.largest => {
                let requests = dst.push_headers(&mut packet);
                self.counters.count(requests);
                self.hand_over(packet, fx);
                return None;
            }
            // One of the few that are cut.
            Some(_) => {}
            None => self.remember(known.is_some(), envelope, now),
        }
        Some(packet)
    }

    /// A packet has to look for its way.
    #[cold]
    fn remember(&mut self, again: bool, envelope: &Envelope, now: Instant) {
        let dst = if again && !envelope.loops { self.dst(envelope, now) } else { None };
        self.last_dst = Some((*envelope, dst));
    }
}

impl Dst {
    /// Writes the headers of a packet in front of it. Says what it counts as.
    #[inline]
    fn push_headers(&self, packet: &mut PacketBuf) -> Mib {
        let len = packet.len();
        match &self.headers {
            Headers::V4(headers, sum) => {
                let out: &mut [u8; LEN_V4] =
                    packet.push(LEN_V4).first_chunk_mut().expect("as many bytes as were pushed");
                *out = *headers;
                let total_len = (Ipv4Header::LEN + len) as u16;
                let mut sum = *sum;
                sum.add_field(total_len);
                out[EthernetHeader::LEN + Ipv4Header::TOTAL_LEN_AT..][..2].copy_from_slice(&total_len.to_be_bytes());
                out[EthernetHeader::LEN + Ipv4Header::CHECKSUM_AT..][..2].copy_from_slice(&sum.checksum());
                Mib::IpOutRequests
            }
            Headers::V6(headers) => {
                let out: &mut [u8; LEN_V6] =
                    packet.push(LEN_V6).first_chunk_mut().expect("as many bytes as were pushed");
                *out = *headers;
                let at = EthernetHeader::LEN + Ipv6Header::PAYLOAD_LEN_AT;
                out[at..at + 2].copy_from_slice(&(len as u16).to_be_bytes());
                Mib::Ip6OutRequests
            }
        }
    }
}

fn header_v6(src: Ipv6Addr, dst: Ipv6Addr, envelope: &Envelope) -> Ipv6Header {
    Ipv6Header {
        traffic_class: envelope.tos,
        flow_label: 0,
        payload_len: 0,
        next_header: envelope.protocol,
        hop_limit: envelope.hop_limit,
        src,
        dst,
    }
}
