//! ICMP (RFC 792): answers to echo requests, and errors, told and heard.

use crate::event::DropReason;
use crate::packet::PacketBuf;
use crate::stack::counters::Mib;
use crate::stack::demux::FourTuple;
use crate::stack::error::SocketError;
use crate::stack::ip::{HEADROOM, Lower};
use crate::wire::icmp::{IcmpHeader, unreachable};
use crate::wire::ipv4::{Ipv4Header, protocol};
use crate::wire::malformed::Malformed;
use crate::wire::tcp::{SeqNumber, TcpHeader};
use crate::wire::udp::UdpHeader;
use std::net::SocketAddrV4;

/// What the network says about a packet that this host has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) flow: FourTuple,
    pub(crate) error: SocketError,
    pub(crate) about: About,
}

/// Which packet it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    Tcp(SeqNumber),
    Udp,
}

/// `icmp_rcv`. `packet` has been pulled to its ICMP header; what concerns a transport is returned.
pub(crate) fn on_message(ip: &Ipv4Header, packet: PacketBuf, lower: &mut Lower<'_>) -> Option<Report> {
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
    match header {
        IcmpHeader::EchoRequest { ident, seq } => {
            lower.ip.counters.count(Mib::IcmpInEchos);
            // `icmp_echo_ignore_broadcasts`
            if lower.ip.is_own(ip.dst) {
                reply(ip, (ident, seq), &packet.data()[IcmpHeader::LEN..], lower);
            }
        }
        IcmpHeader::EchoReply { .. } => lower.ip.counters.count(Mib::IcmpInEchoReps),
        IcmpHeader::Unreachable { code, .. } => {
            lower.ip.counters.count(Mib::IcmpInDestUnreachs);
            let error = unreachable_error(code);
            report = error.and_then(|error| read_quoted(&packet.data()[IcmpHeader::LEN..], error));
        }
        IcmpHeader::TimeExceeded { .. } => {
            lower.ip.counters.count(Mib::IcmpInTimeExcds);
            report = read_quoted(&packet.data()[IcmpHeader::LEN..], SocketError::HostUnreachable);
        }
        IcmpHeader::Other { .. } => {}
    }
    lower.ip.pool.free(packet);
    report
}

/// `icmp_err_convert`. What needs fragments to be known is left out: nothing is ever fragmented here.
fn unreachable_error(code: u8) -> Option<SocketError> {
    Some(match code {
        unreachable::NET | 6 | 9 | 11 => SocketError::NetworkUnreachable,
        unreachable::HOST | 5 | 7 | 8 | 10 | 12..=15 => SocketError::HostUnreachable,
        unreachable::PROTOCOL => SocketError::ProtocolUnreachable,
        unreachable::PORT => SocketError::ConnectionRefused,
        _ => return None,
    })
}

/// Which of this host's flows a quoted packet, from its IP header on, belongs to.
pub(crate) fn read_quoted(packet: &[u8], error: SocketError) -> Option<Report> {
    let ip = Ipv4Header::parse_quoted(packet).ok()?;
    let rest = packet.get(usize::from(ip.header_len)..)?;
    let (src_port, dst_port, about) = match ip.protocol {
        protocol::TCP => {
            let (src_port, dst_port, seq) = TcpHeader::parse_quoted(rest).ok()?;
            (src_port, dst_port, About::Tcp(seq))
        }
        protocol::UDP => {
            let header = UdpHeader::parse_quoted(rest).ok()?;
            (header.src_port, header.dst_port, About::Udp)
        }
        _ => return None,
    };
    let local = SocketAddrV4::new(ip.src, src_port);
    let remote = SocketAddrV4::new(ip.dst, dst_port);
    Some(Report { flow: FourTuple { local, remote }, error, about })
}

fn reply(ip: &Ipv4Header, (ident, seq): (u16, u16), data: &[u8], lower: &mut Lower<'_>) {
    let len = IcmpHeader::LEN + data.len();
    let Some(mut packet) = lower.ip.pool.alloc(HEADROOM, len) else {
        return lower.ip.drops.count(DropReason::Nomem);
    };
    let message = packet.put(len);
    message[IcmpHeader::LEN..].copy_from_slice(data);
    IcmpHeader::EchoReply { ident, seq }.emit(message);
    lower.ip.counters.count(Mib::IcmpOutMsgs);
    lower.ip.counters.count(Mib::IcmpOutEchoReps);
    // A sender that no route leads to gets no answer.
    let _ = lower.ip.send(packet, (ip.dst, ip.src), protocol::ICMP, lower.now, lower.fx);
}

/// Tells the sender of a packet, of which `transport` is what follows the IP header, that it cannot be delivered. Not
/// for packets to or from everybody (RFC 1122 3.2.2), and not without limit.
pub(crate) fn send_unreachable(lower: &mut Lower<'_>, ip: &Ipv4Header, transport: &[u8], code: u8) {
    if !lower.ip.is_own(ip.dst) || ip.src.is_unspecified() || lower.ip.is_broadcast(ip.src) {
        return;
    }
    if !lower.ip.icmp_rate.allow(lower.now) {
        return lower.ip.counters.count(Mib::IcmpOutRateLimitGlobal);
    }
    let quoted = &transport[..transport.len().min(QUOTED_MAX)];
    let len = IcmpHeader::LEN + Ipv4Header::LEN + quoted.len();
    let Some(mut packet) = lower.ip.pool.alloc(HEADROOM, len) else {
        return lower.ip.drops.count(DropReason::Nomem);
    };
    let message = packet.put(len);
    let (headers, text) = message.split_at_mut(IcmpHeader::LEN + Ipv4Header::LEN);
    text.copy_from_slice(quoted);
    let original = Ipv4Header { header_len: Ipv4Header::LEN as u8, ..*ip };
    original.emit(headers[IcmpHeader::LEN..].first_chunk_mut().expect("as many bytes as were put"));
    IcmpHeader::Unreachable { code, mtu: 0 }.emit(message);
    lower.ip.counters.count(Mib::IcmpOutMsgs);
    lower.ip.counters.count(Mib::IcmpOutDestUnreachs);
    let _ = lower.ip.send(packet, (ip.dst, ip.src), protocol::ICMP, lower.now, lower.fx);
}

/// RFC 1812 4.3.2.3: as much of the packet as fits into 576 bytes.
const QUOTED_MAX: usize = 576 - 2 * Ipv4Header::LEN - IcmpHeader::LEN;
