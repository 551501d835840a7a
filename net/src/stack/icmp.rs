//! ICMP (RFC 792): answers to echo requests, and errors that others send about packets of this host.

use crate::event::DropReason;
use crate::packet::PacketBuf;
use crate::stack::counters::Mib;
use crate::stack::error::SocketError;
use crate::stack::ip::{HEADROOM, Lower};
use crate::stack::report::{Messenger, Report, Said, read_quoted};
use crate::wire::icmp::{IcmpHeader, unreachable};
use crate::wire::ip::{Envelope, Fragments, IpHeader};
use crate::wire::ipv4::protocol;
use crate::wire::malformed::Malformed;

/// `icmp_rcv`. `packet` has been pulled to its ICMP header; what concerns a transport is returned.
pub(crate) fn on_message(ip: &IpHeader, packet: PacketBuf, lower: &mut Lower<'_>) -> Option<Report> {
    lower.ip.counters.count(Mib::IcmpInMsgs);
    let header = match IcmpHeader::parse(packet.data()) {
        Ok(header) => header,
        Err(malformed) => {
            lower.ip.counters.count(Mib::IcmpInErrors);
            if malformed == Malformed::Checksum {
                lower.ip.counters.count(Mib::IcmpInCsumErrors);
            }
            lower.ip.drop_packet(packet, DropReason::IcmpCsum, lower.fx);
            return None;
        }
    };
    let mut report = None;
    let from = Messenger::new(ip.src, packet.data());
    match header {
        IcmpHeader::EchoRequest { ident, seq } => {
            lower.ip.counters.count(Mib::IcmpInEchos);
            // `icmp_echo_ignore_broadcasts`
            if lower.ip.is_own(ip.dst) {
                reply(ip, (ident, seq), &packet.data()[IcmpHeader::LEN..], lower);
            }
        }
        IcmpHeader::EchoReply { .. } => lower.ip.counters.count(Mib::IcmpInEchoReps),
        IcmpHeader::Unreachable { code, mtu } => {
            lower.ip.counters.count(Mib::IcmpInDestUnreachs);
            report = read_quoted(&packet.data()[IcmpHeader::LEN..], unreachable_error(code, mtu), from);
        }
        IcmpHeader::TimeExceeded { .. } => {
            lower.ip.counters.count(Mib::IcmpInTimeExcds);
            report = read_quoted(&packet.data()[IcmpHeader::LEN..], Said::soft(SocketError::HostUnreachable), from);
        }
        IcmpHeader::ParameterProblem { .. } => {
            lower.ip.counters.count(Mib::IcmpInParmProbs);
            report = read_quoted(&packet.data()[IcmpHeader::LEN..], Said::hard(SocketError::ProtocolError), from);
        }
        // RFC 6633: source quench is not listened to. Nor are redirects: hosts have a route or they have none.
        IcmpHeader::Other { kind: 4, .. } => lower.ip.counters.count(Mib::IcmpInSrcQuenchs),
        IcmpHeader::Other { kind: 5, .. } => lower.ip.counters.count(Mib::IcmpInRedirects),
        IcmpHeader::Other { .. } => {}
    }
    lower.ip.pool.free(packet);
    report
}

/// `icmp_err_convert`
fn unreachable_error(code: u8, mtu: u16) -> Said {
    match code {
        unreachable::NET | 11 => Said::soft(SocketError::NetworkUnreachable),
        unreachable::HOST | 12 => Said::soft(SocketError::HostUnreachable),
        unreachable::PROTOCOL => Said::hard(SocketError::ProtocolUnreachable),
        unreachable::PORT => Said::hard(SocketError::ConnectionRefused),
        unreachable::FRAGMENTATION_NEEDED => Said::too_big(mtu.into()),
        5 => Said::soft(SocketError::NotSupported),
        6 | 9 => Said::hard(SocketError::NetworkUnreachable),
        7 => Said::hard(SocketError::HostDown),
        8 => Said::hard(SocketError::NotOnNetwork),
        _ => Said::hard(SocketError::HostUnreachable),
    }
}

fn reply(ip: &IpHeader, (ident, seq): (u16, u16), data: &[u8], lower: &mut Lower<'_>) {
    let len = IcmpHeader::LEN + data.len();
    let Some(mut packet) = lower.ip.pool.alloc(HEADROOM, len) else {
        return lower.ip.drops.count(DropReason::Nomem);
    };
    let message = packet.put(len);
    message[IcmpHeader::LEN..].copy_from_slice(data);
    IcmpHeader::EchoReply { ident, seq }.emit(message);
    lower.ip.counters.count(Mib::IcmpOutMsgs);
    lower.ip.counters.count(Mib::IcmpOutEchoReps);
    let plain = Envelope::new(ip.dst, ip.src, protocol::ICMP);
    let envelope = Envelope { tos: ip.tos, fragments: Fragments::Freely, ..plain };
    // A sender that no route leads to gets no answer.
    let _ = lower.ip.send(packet, &envelope, lower.now, lower.fx);
}
