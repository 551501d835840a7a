//! `ip_forward` and `ip6_forward`: a packet for somebody else goes on, if this host is a router.
//!
//! Simplifications: no redirects are sent, and options of IPv4 and hop-by-hop options of IPv6 are passed on unread.

use crate::event::DropReason;
use crate::packet::PacketBuf;
use crate::stack::complain::{Complaint, complain_about};
use crate::stack::counters::Mib;
use crate::stack::error::SocketError;
use crate::stack::fragment::seal_v4;
use crate::stack::ip::{Hop, Lower};
use crate::stack::ip_input::{Arrived, header_v4, header_v6};
use crate::wire::ip::IpHeader;
use crate::wire::ipv4::Ipv4Header;
use crate::wire::ipv6::Ipv6Header;
use std::net::IpAddr;

/// Passes `packet`, from its IP header `ip` on, to the next hop.
pub(crate) fn forward(lower: &mut Lower<'_>, ip: &IpHeader, mut packet: PacketBuf) {
    let v4 = ip.dst.is_ipv4();
    if !may_travel(ip) {
        lower.ip.count_fragments(v4, Mib::IpInAddrErrors, Mib::Ip6InAddrErrors);
        return lower.ip.drop_packet(packet, DropReason::Otherhost, lower.fx);
    }
    if ip.hop_limit <= 1 {
        lower.ip.count_fragments(v4, Mib::IpInHdrErrors, Mib::Ip6InHdrErrors);
        return refuse(lower, ip, packet, Complaint::TimeExceeded, DropReason::IpInhdr);
    }
    let hop = match lower.ip.route(ip.dst, lower.now) {
        Ok(hop @ Hop::Via(_)) => hop,
        Ok(_) => return lower.ip.drop_packet(packet, DropReason::Otherhost, lower.fx),
        Err(error) => {
            lower.ip.count_fragments(v4, Mib::IpOutNoRoutes, Mib::Ip6OutNoRoutes);
            let complaint = match error {
                SocketError::InvalidInput => {
                    return lower.ip.drop_packet(packet, DropReason::IpOutnoroutes, lower.fx);
                }
                SocketError::HostUnreachable => Complaint::Host,
                SocketError::PermissionDenied => Complaint::Prohibited,
                _ => Complaint::Net,
            };
            return refuse(lower, ip, packet, complaint, DropReason::IpOutnoroutes);
        }
    };
    let limit = lower.ip.mtu();
    let too_long = packet.len() > limit && packet.rx.gso_size == 0;
    let whole = packet.data().get(6).is_none_or(|flags| flags & 0x40 != 0);
    if too_long && (whole || !v4) {
        lower.ip.count_fragments(v4, Mib::IpFragFails, Mib::Ip6InTooBigErrors);
        return refuse(lower, ip, packet, Complaint::TooBig { mtu: limit as u32 }, DropReason::PktTooBig);
    }
    let bytes = packet.data_mut();
    if v4 {
        bytes[8] -= 1;
        let header_len = usize::from(bytes[0] & 0x0f) * 4;
        seal_v4(&mut bytes[..header_len]);
        lower.ip.counters.count(Mib::IpForwDatagrams);
    } else {
        bytes[7] -= 1;
        lower.ip.counters.count(Mib::Ip6OutForwDatagrams);
    }
    if too_long {
        if !packet.linearize(&mut lower.ip.pool) {
            return lower.ip.drop_packet(packet, DropReason::Nomem, lower.fx);
        }
        return lower.ip.send_in_pieces(packet, hop, limit, lower.now, lower.fx);
    }
    lower.ip.send_to_hop(hop, packet, lower.now, lower.fx);
}

/// The packets, from their IP headers on, that GRO has put together: they go on as they came.
pub(crate) fn taken_apart(mut packet: PacketBuf) -> impl Iterator<Item = PacketBuf> {
    let rest = packet.take_rest();
    // Only TCP is put together, behind IP headers without options, and every segment has the same headers.
    let ip = if packet.data().first().is_some_and(|byte| byte >> 4 == 6) { Ipv6Header::LEN } else { Ipv4Header::LEN };
    let data_offset = packet.data().get(ip + 12).map_or(0, |byte| usize::from(byte >> 4) * 4);
    let headers = ip + data_offset;
    std::iter::once(packet).chain(rest.into_iter().map(move |mut piece| {
        piece.push(headers);
        piece
    }))
}

/// RFC 1812 5.3.7, RFC 4291 2.5.6: what does not leave its link.
fn may_travel(ip: &IpHeader) -> bool {
    let stays = |addr: IpAddr| match addr {
        IpAddr::V4(addr) => addr.is_loopback() || addr.is_link_local(),
        IpAddr::V6(addr) => addr.is_loopback() || addr.is_unicast_link_local(),
    };
    let nobody = ip.src.is_unspecified() || ip.dst.is_unspecified() || ip.src.is_multicast() || ip.dst.is_multicast();
    !ip.to_group && !nobody && !stays(ip.src) && !stays(ip.dst)
}

/// A packet, from its IP header on, whose next hop does not answer: if it came from elsewhere, its sender is told.
#[cold]
pub(crate) fn tell_sender(packet: &PacketBuf, lower: &mut Lower<'_>) {
    let arrived = Arrived { from_self: false, to_group: false, whole: false };
    let ip = match packet.data().first().map(|version| version >> 4) {
        Some(4) => Ipv4Header::parse_quoted(packet.data()).map(|header| header_v4(&header, arrived)),
        _ => Ipv6Header::parse_quoted(packet.data()).map(|header| header_v6(&header, arrived)),
    };
    if let Ok(ip) = ip
        && !lower.ip.is_own(ip.src)
    {
        complain_about(lower, &ip, packet.data(), Complaint::Host);
    }
}

#[cold]
fn refuse(lower: &mut Lower<'_>, ip: &IpHeader, mut packet: PacketBuf, complaint: Complaint, reason: DropReason) {
    // Without memory for that, less of it is quoted.
    let _ = packet.linearize(&mut lower.ip.pool);
    complain_about(lower, ip, packet.data(), complaint);
    lower.ip.drop_packet(packet, reason, lower.fx);
}
