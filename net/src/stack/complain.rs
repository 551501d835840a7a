//! Telling the sender of a packet that it cannot be delivered: ICMP and ICMPv6 errors, and when there are none.

use crate::event::DropReason;
use crate::packet::PacketBuf;
use crate::stack::counters::Mib;
use crate::stack::ip::{HEADROOM, Lower};
use crate::wire::icmp::{IcmpHeader, unreachable};
use crate::wire::icmpv6::{Icmpv6Header, problem, unreachable6};
use crate::wire::ip::{Envelope, Fragments, IpHeader};
use crate::wire::ipv4::{Ipv4Header, protocol};
use crate::wire::ipv6::Ipv6Header;
use crate::wire::ipv6_ext::upper;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is wrong with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Complaint {
    /// Nobody listens on the port.
    Port,
    /// Nobody knows the protocol. (Of IPv6 that is an unrecognized next header.)
    Protocol,
    /// RFC 4443 3.4, IPv6 only.
    Parameter { code: u8, pointer: u32 },
    /// Not all of its fragments have come in time.
    ReassemblyTime,
    /// It has been through too many routers.
    TimeExceeded,
    /// There is no route to its destination.
    Net,
    /// Its destination does not answer.
    Host,
    /// This host may not pass it on.
    Prohibited,
    /// It is too large for the next link.
    TooBig { mtu: u32 },
}

impl Complaint {
    fn v4(self) -> Option<(IcmpHeader, Mib)> {
        let unreachable = |code| Some((IcmpHeader::Unreachable { code, mtu: 0 }, Mib::IcmpOutDestUnreachs));
        match self {
            Complaint::Port => unreachable(unreachable::PORT),
            Complaint::Protocol => unreachable(unreachable::PROTOCOL),
            Complaint::Net => unreachable(unreachable::NET),
            Complaint::Host => unreachable(unreachable::HOST),
            Complaint::Prohibited => unreachable(unreachable::PROHIBITED),
            Complaint::TooBig { mtu } => {
                let mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
                let code = unreachable::FRAGMENTATION_NEEDED;
                Some((IcmpHeader::Unreachable { code, mtu }, Mib::IcmpOutDestUnreachs))
            }
            Complaint::TimeExceeded => Some((IcmpHeader::TimeExceeded { code: 0 }, Mib::IcmpOutTimeExcds)),
            Complaint::ReassemblyTime => Some((IcmpHeader::TimeExceeded { code: 1 }, Mib::IcmpOutTimeExcds)),
            Complaint::Parameter { .. } => None,
        }
    }

    fn v6(self) -> Option<(Icmpv6Header, Mib)> {
        let unreachable = |code| Some((Icmpv6Header::Unreachable { code }, Mib::Icmp6OutDestUnreachs));
        match self {
            Complaint::Port => unreachable(unreachable6::PORT),
            Complaint::Net => unreachable(unreachable6::NO_ROUTE),
            Complaint::Host => unreachable(unreachable6::ADDRESS),
            Complaint::Prohibited => unreachable(unreachable6::PROHIBITED),
            Complaint::TooBig { mtu } => Some((Icmpv6Header::PacketTooBig { mtu }, Mib::Icmp6OutPktTooBigs)),
            Complaint::TimeExceeded => Some((Icmpv6Header::TimeExceeded { code: 0 }, Mib::Icmp6OutTimeExcds)),
            Complaint::ReassemblyTime => Some((Icmpv6Header::TimeExceeded { code: 1 }, Mib::Icmp6OutTimeExcds)),
            Complaint::Parameter { code, pointer } => {
                Some((Icmpv6Header::ParameterProblem { code, pointer }, Mib::Icmp6OutParmProblems))
            }
            Complaint::Protocol => None,
        }
    }

    /// RFC 4443 2.4 (e.3): what is told even about a packet for a group.
    fn concerns_groups(self) -> bool {
        matches!(self, Complaint::Parameter { code: problem::OPTION, .. } | Complaint::TooBig { .. })
    }
}

/// Sends the error about `packet`, which has been pulled from the IP header `ip` to its transport.
#[cold]
pub(crate) fn complain(lower: &mut Lower<'_>, ip: &IpHeader, packet: &mut PacketBuf, complaint: Complaint) {
    // The header was pulled off and is still there.
    packet.push(ip.header_len.into());
    complain_about(lower, ip, packet.data(), complaint);
    packet.pull(ip.header_len.into());
}

/// The same about a packet from its IP header on. Not about packets for or from everybody (RFC 1122 3.2.2, RFC 4443 2.4),
/// not about errors, and not without limit.
#[cold]
pub(crate) fn complain_about(lower: &mut Lower<'_>, ip: &IpHeader, packet: &[u8], complaint: Complaint) {
    let (src, dst) = (ip.src, ip.dst);
    let everybodys = ip.to_group || dst.is_multicast() || lower.ip.is_broadcast(dst);
    let nobodys = src.is_unspecified() || src.is_multicast() || lower.ip.is_broadcast(src);
    if nobodys || (everybodys && !(dst.is_ipv6() && complaint.concerns_groups())) {
        return;
    }
    let from = if lower.ip.is_own(dst) { Some(dst) } else { lower.ip.addresses.source_for(src) };
    match (src, from) {
        (IpAddr::V4(to), Some(IpAddr::V4(from))) => complain_v4(lower, (from, to), packet, complaint),
        (IpAddr::V6(to), Some(IpAddr::V6(from))) => complain_v6(lower, (from, to), packet, complaint),
        _ => {}
    }
}

fn complain_v4(lower: &mut Lower<'_>, (from, to): (Ipv4Addr, Ipv4Addr), packet: &[u8], complaint: Complaint) {
    let Some((header, mib)) = complaint.v4() else { return };
    if is_error_v4(packet) {
        return;
    }
    if !lower.ip.icmp_peers.allow(to.into(), lower.now) {
        return lower.ip.counters.count(Mib::IcmpOutRateLimitHost);
    }
    if !lower.ip.icmp_rate.allow(lower.now) {
        return lower.ip.counters.count(Mib::IcmpOutRateLimitGlobal);
    }
    let quoted = &packet[..packet.len().min(QUOTED_V4_MAX)];
    let Some(mut message) = lower.ip.pool.alloc(HEADROOM, IcmpHeader::LEN + quoted.len()) else {
        return lower.ip.drops.count(DropReason::Nomem);
    };
    let bytes = message.put(IcmpHeader::LEN + quoted.len());
    bytes[IcmpHeader::LEN..].copy_from_slice(quoted);
    header.emit(bytes);
    lower.ip.counters.count(Mib::IcmpOutMsgs);
    lower.ip.counters.count(mib);
    // A sender that no route leads to hears nothing.
    let plain = Envelope::new(from.into(), to.into(), protocol::ICMP);
    let envelope = Envelope { tos: PRECEDENCE, fragments: Fragments::Freely, ..plain };
    let _ = lower.ip.send(message, &envelope, lower.now, lower.fx);
}

fn complain_v6(lower: &mut Lower<'_>, (from, to): (Ipv6Addr, Ipv6Addr), packet: &[u8], complaint: Complaint) {
    let Some((header, mib)) = complaint.v6() else { return };
    if is_error_v6(packet) {
        return;
    }
    if !lower.ip.icmp_peers.allow(to.into(), lower.now) || !lower.ip.icmp_rate.allow(lower.now) {
        return lower.ip.counters.count(Mib::Icmp6OutRateLimitHost);
    }
    let quoted = &packet[..packet.len().min(QUOTED_V6_MAX)];
    let Some(mut message) = lower.ip.pool.alloc(HEADROOM, Icmpv6Header::LEN + quoted.len()) else {
        return lower.ip.drops.count(DropReason::Nomem);
    };
    let bytes = message.put(Icmpv6Header::LEN + quoted.len());
    bytes[Icmpv6Header::LEN..].copy_from_slice(quoted);
    header.emit((from, to), bytes);
    lower.ip.counters.count(Mib::Icmp6OutMsgs);
    lower.ip.counters.count(mib);
    let envelope = Envelope::new(from.into(), to.into(), protocol::ICMPV6);
    let _ = lower.ip.send(message, &envelope, lower.now, lower.fx);
}

/// Whether a packet, from its IPv4 header on, is itself an error, or a piece that cannot tell (RFC 1122 3.2.2).
fn is_error_v4(packet: &[u8]) -> bool {
    let Ok(header) = Ipv4Header::parse_quoted(packet) else { return true };
    let kind = packet.get(usize::from(header.header_len));
    let error = header.protocol == protocol::ICMP && !matches!(kind, Some(0 | 8 | 13 | 14));
    error || header.fragment_offset != 0
}

/// Whether a packet, from its IPv6 header on, is itself an error.
fn is_error_v6(packet: &[u8]) -> bool {
    let Ok(header) = Ipv6Header::parse_quoted(packet) else { return true };
    match upper(packet, header.next_header) {
        Some((protocol::ICMPV6, offset)) => packet.get(offset).is_none_or(|&kind| Icmpv6Header::is_error(kind)),
        _ => false,
    }
}

/// RFC 1812 4.3.2.3: as much of the packet as fits into 576 bytes.
const QUOTED_V4_MAX: usize = 576 - Ipv4Header::LEN - IcmpHeader::LEN;
/// RFC 4443 2.4 (c): as much as fits into the smallest MTU.
const QUOTED_V6_MAX: usize = 1280 - Ipv6Header::LEN - Icmpv6Header::LEN;
/// RFC 1812 4.3.2.5, and what Linux sends: internetwork control.
const PRECEDENCE: u8 = 0xc0;
