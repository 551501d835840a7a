//! Telling the sender of a packet that it cannot be delivered: ICMP and ICMPv6 errors, and when there are none.

use crate::event::DropReason;
use crate::packet::PacketBuf;
use crate::stack::counters::Mib;
use crate::stack::ip::{HEADROOM, Lower};
use crate::wire::icmp::{IcmpHeader, unreachable};
use crate::wire::icmpv6::{Icmpv6Header, problem, unreachable6};
use crate::wire::ip::{Envelope, IpHeader};
use crate::wire::ipv4::{Ipv4Header, protocol};
use crate::wire::ipv6::Ipv6Header;
use crate::wire::ipv6_ext::upper;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is wrong with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Complaint {
    /// Nobody listens on the port.
    Port,
    /// Nobody knows the protocol.
    Protocol,
    /// RFC 4443 3.4, IPv6 only.
    Parameter { code: u8, pointer: u32 },
}

/// Sends the error about `packet`, which has been pulled from the IP header `ip` to its transport. Not for packets to or
/// from everybody (RFC 1122 3.2.2, RFC 4443 2.4), and not without limit.
#[cold]
pub(crate) fn complain(lower: &mut Lower<'_>, ip: &IpHeader, packet: &mut PacketBuf, complaint: Complaint) {
    // RFC 4443 2.4 (e.3): an option may ask for an answer to a packet for a group.
    let option = matches!(complaint, Complaint::Parameter { code: problem::OPTION, .. });
    let may = lower.ip.is_unicast(ip) || (option && ip.dst.is_multicast() && !ip.src.is_unspecified());
    if !may {
        return;
    }
    // The header was pulled off and is still there.
    packet.push(ip.header_len.into());
    match (ip.src, ip.dst) {
        (IpAddr::V4(to), IpAddr::V4(from)) => complain_v4(lower, (from, to), packet.data(), complaint),
        (IpAddr::V6(to), IpAddr::V6(from)) => complain_v6(lower, (from, to), packet.data(), complaint),
        _ => {}
    }
    packet.pull(ip.header_len.into());
}

fn complain_v4(lower: &mut Lower<'_>, (from, to): (Ipv4Addr, Ipv4Addr), packet: &[u8], complaint: Complaint) {
    let (header, mib) = match complaint {
        Complaint::Port => (IcmpHeader::Unreachable { code: unreachable::PORT, mtu: 0 }, Mib::IcmpOutDestUnreachs),
        Complaint::Protocol => {
            (IcmpHeader::Unreachable { code: unreachable::PROTOCOL, mtu: 0 }, Mib::IcmpOutDestUnreachs)
        }
        Complaint::Parameter { .. } => return,
    };
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
    let envelope = Envelope { tos: PRECEDENCE, ..Envelope::new(from.into(), to.into(), protocol::ICMP) };
    let _ = lower.ip.send(message, &envelope, lower.now, lower.fx);
}

fn complain_v6(lower: &mut Lower<'_>, (from, to): (Ipv6Addr, Ipv6Addr), packet: &[u8], complaint: Complaint) {
    if is_error(packet) {
        return;
    }
    let (header, mib) = match complaint {
        Complaint::Port => (Icmpv6Header::Unreachable { code: unreachable6::PORT }, Mib::Icmp6OutDestUnreachs),
        // RFC 8200 4: an unknown transport is an unknown next header; the caller says where it stands.
        Complaint::Protocol => return,
        Complaint::Parameter { code, pointer } => {
            (Icmpv6Header::ParameterProblem { code, pointer }, Mib::Icmp6OutParmProblems)
        }
    };
    if !lower.ip.icmp_rate.allow(lower.now) {
        return lower.ip.counters.count(Mib::Icmp6OutRateLimitHost);
    }
    let from = if from.is_multicast() {
        match lower.ip.addresses.source_for(to.into()) {
            Some(IpAddr::V6(own)) => own,
            _ => return,
        }
    } else {
        from
    };
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

/// Whether a packet, from its IPv6 header on, is itself an error.
fn is_error(packet: &[u8]) -> bool {
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
