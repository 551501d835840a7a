//! ICMPv6 (RFC 4443): answers to echo requests, errors that others send about packets of this host, and the way to
//! neighbour discovery.

use crate::event::DropReason;
use crate::packet::PacketBuf;
use crate::stack::counters::Mib;
use crate::stack::error::SocketError;
use crate::stack::ip::{HEADROOM, Lower};
use crate::stack::membership::mld_query;
use crate::stack::ndp;
use crate::stack::report::{Messenger, Report, Said, read_quoted};
use crate::wire::icmpv6::{Icmpv6Header, unreachable6, verify};
use crate::wire::ip::{Envelope, Fragments, IpHeader};
use crate::wire::ipv4::protocol;
use crate::wire::ndp::NdpMessage;
use std::net::{IpAddr, Ipv6Addr};

/// `icmpv6_rcv`. `packet` has been pulled to its ICMPv6 header; what concerns a transport is returned.
pub(crate) fn on_message(ip: &IpHeader, packet: PacketBuf, lower: &mut Lower<'_>) -> Option<Report> {
    let (IpAddr::V6(src), IpAddr::V6(dst)) = (ip.src, ip.dst) else {
        // ICMPv6 in IPv4 means nothing.
        lower.ip.drop_packet(packet, DropReason::UnhandledProto, lower.fx);
        return None;
    };
    lower.ip.counters.count(Mib::Icmp6InMsgs);
    let sound = verify(src, dst, packet.data());
    let header = match Icmpv6Header::parse(packet.data()) {
        Ok(header) if sound => header,
        _ => {
            lower.ip.counters.count(Mib::Icmp6InErrors);
            if !sound {
                lower.ip.counters.count(Mib::Icmp6InCsumErrors);
            }
            lower.ip.drop_packet(packet, DropReason::IcmpCsum, lower.fx);
            return None;
        }
    };
    let data = &packet.data()[Icmpv6Header::LEN..];
    let from = Messenger::new(ip.src, packet.data());
    let report = match header {
        Icmpv6Header::EchoRequest { ident, seq } => {
            lower.ip.counters.count(Mib::Icmp6InEchos);
            reply(ip, (src, dst), (ident, seq), data, lower);
            None
        }
        Icmpv6Header::EchoReply { .. } => {
            lower.ip.counters.count(Mib::Icmp6InEchoReplies);
            None
        }
        Icmpv6Header::Unreachable { code } => {
            lower.ip.counters.count(Mib::Icmp6InDestUnreachs);
            read_quoted(data, unreachable_error(code), from)
        }
        Icmpv6Header::PacketTooBig { mtu } => {
            lower.ip.counters.count(Mib::Icmp6InPktTooBigs);
            read_quoted(data, Said::too_big(mtu), from)
        }
        Icmpv6Header::TimeExceeded { .. } => {
            lower.ip.counters.count(Mib::Icmp6InTimeExcds);
            read_quoted(data, Said::soft(SocketError::HostUnreachable), from)
        }
        Icmpv6Header::ParameterProblem { .. } => {
            lower.ip.counters.count(Mib::Icmp6InParmProblems);
            read_quoted(data, Said::hard(SocketError::ProtocolError), from)
        }
        Icmpv6Header::Other { .. } => {
            if let Some(group) = mld_query(packet.data()).filter(|_| ip.hop_limit == 1 && src.is_unicast_link_local()) {
                lower.ip.on_membership_query(group.into(), lower.now, lower.fx);
            }
            if ip.hop_limit == ndp::HOP_LIMIT
                && let Ok(Some(message)) = NdpMessage::parse(packet.data())
            {
                ndp::on_message(ip, &message, lower);
            }
            None
        }
    };
    lower.ip.pool.free(packet);
    report
}

/// `icmpv6_err_convert`
fn unreachable_error(code: u8) -> Said {
    match code {
        unreachable6::NO_ROUTE => Said::soft(SocketError::NetworkUnreachable),
        unreachable6::PROHIBITED | unreachable6::POLICY | unreachable6::REJECT => {
            Said::hard(SocketError::PermissionDenied)
        }
        unreachable6::BEYOND_SCOPE | unreachable6::ADDRESS => Said::soft(SocketError::HostUnreachable),
        unreachable6::PORT => Said::hard(SocketError::ConnectionRefused),
        _ => Said::soft(SocketError::ProtocolError),
    }
}

fn reply(
    ip: &IpHeader,
    (src, dst): (Ipv6Addr, Ipv6Addr),
    (ident, seq): (u16, u16),
    data: &[u8],
    lower: &mut Lower<'_>,
) {
    if src.is_unspecified() || src.is_multicast() {
        return;
    }
    // RFC 4443 4.2: a request to a group is answered from an address of this host's own.
    let from = if dst.is_multicast() { lower.ip.addresses.source_for(ip.src) } else { Some(ip.dst) };
    let Some(IpAddr::V6(from)) = from else { return };
    let len = Icmpv6Header::LEN + data.len();
    let Some(mut packet) = lower.ip.pool.alloc(HEADROOM, len) else {
        return lower.ip.drops.count(DropReason::Nomem);
    };
    let message = packet.put(len);
    message[Icmpv6Header::LEN..].copy_from_slice(data);
    Icmpv6Header::EchoReply { ident, seq }.emit((from, src), message);
    lower.ip.counters.count(Mib::Icmp6OutMsgs);
    lower.ip.counters.count(Mib::Icmp6OutEchoReplies);
    let plain = Envelope::new(from.into(), src.into(), protocol::ICMPV6);
    let envelope = Envelope { tos: ip.tos, fragments: Fragments::Freely, ..plain };
    // A sender that no route leads to gets no answer.
    let _ = lower.ip.send(packet, &envelope, lower.now, lower.fx);
}
